"""Objects of the log, fetched and parsed; what is done with their events is left to `store`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from data_access.errors import ChangedObjectError, LogError
from data_access.ingest.bulk import read_objects
from data_access.ingest.events import Events
from data_access.log import Log, LogObject, is_plain
from data_access.projections import ProjectionTable
from data_access.projections.values import has_other_version
from data_access.records import MAX_OBJECT_BYTES, Quarantined, quarantine_table


@dataclass(frozen=True)
class ReadObjects:
    """What a batch of objects holds, and those that could not be had."""

    objects: list[LogObject]
    events: Events
    failures: list[tuple[LogObject, LogError]]

    @property
    def rows(self) -> int:
        events = self.events
        tables = (events.predictions, events.feedback, events.text_values, events.image_values)
        return sum(map(len, tables))


def parse_objects(
    projections: ProjectionTable, fetched: Sequence[tuple[LogObject, bytes | LogError]]
) -> ReadObjects:
    """projections: those whose values are read."""
    bodies = [(entry, body) for entry, body in fetched if isinstance(body, bytes)]
    refused = [(o.key, Quarantined(0, reason, "")) for o, _ in bodies if (reason := refusal(o))]
    events = read_objects([(entry.key, body) for entry, body in bodies if body], projections)
    quarantined = pa.concat_tables([events.quarantined, quarantine_table(refused)])
    return ReadObjects(
        [entry for entry, _ in bodies],
        replace(events, quarantined=quarantined),
        [(entry, error) for entry, error in fetched if isinstance(error, LogError)],
    )


def refusal(entry: LogObject) -> str | None:
    """Why an object is not fetched at all; None where it is."""
    if entry.size > MAX_OBJECT_BYTES:
        return f"the object has {entry.size:,} bytes; {MAX_OBJECT_BYTES:,} can be read"
    if not is_plain(entry.key):
        return "an object with such a key is not read"
    return None


def fetch(log: Log, version: str, entry: LogObject) -> tuple[LogObject, bytes | LogError]:
    """An object's bytes; none of one that is not to be read, as values not of that version."""
    if not entry.size or refusal(entry):  # without bytes: the folders that S3's console makes
        return entry, b""
    if has_other_version(entry.key, version):
        return entry, b""
    try:
        body = log.get(entry.key)
    except LogError as error:
        return entry, error
    if len(body) != entry.size:  # another one of that size has another e-tag in the next listing
        return entry, ChangedObjectError(f"{log.uri}/{entry.key} changed since it was listed.")
    return entry, body
