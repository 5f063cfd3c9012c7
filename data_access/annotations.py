"""What people keep in the log beside its records, for all who look at it: saved selections so far.

Each save and each removal is an event below annotations/, and nothing is ever changed there. How
these are asked for is in `queries.annotations`.
"""

import contextlib
import enum
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from data_access.errors import LogError, NameTakenError, SelectionError
from data_access.ingest.store import read_added
from data_access.log import Log
from data_access.queries.annotations import SELECTION, last_annotated, saved_selections
from data_access.records import Annotation
from data_access.selection import Selection, query_string
from data_access.settings import spool_folder
from data_access.warehouse import Warehouse
from data_access.writer import Writer, annotations_key, to_json

MAX_NAME = 60  # characters: what a menu can show


class Kept(enum.Enum):
    """Where an annotation is by now; true where every page of this dashboard shows it."""

    SHOWN = "in the log and in the warehouse"
    LOGGED = "in the log; the next sync reads it"
    WAITING = "on this machine, until the store takes it"

    def __bool__(self) -> bool:
        return self is Kept.SHOWN


@dataclass(frozen=True)
class Change:
    """How one thing that people keep is from now on. payload: None removes it.

    key: the event's own, so that writing it again adds nothing; a new one unless given.
    """

    kind: str
    name: str
    payload: dict[str, Any] | None
    key: str | None = None


def annotate(
    log: Log, warehouse: Warehouse, changes: Sequence[Change], actor: str | None = None
) -> Kept:
    """Write changes as events of one object, through the spool of MISREAD_SPOOL.

    They are on disk before anything is sent, and sent later where the store is down. actor: who
    makes them. Raises LogError where the store refuses them; nothing is kept then.
    """
    last = last_annotated(warehouse, [(change.kind, change.name) for change in changes])
    now = datetime.now(UTC)
    events = []
    for number, change in enumerate(changes):
        before = last.get((change.kind, change.name))
        moment = now + timedelta(microseconds=number)
        event = Annotation(
            annotation_key=change.key or uuid.uuid4().hex,
            # newer than what it takes the place of, also where that was written by a fast clock
            timestamp=moment if before is None else max(moment, before + timedelta(microseconds=1)),
            kind=change.kind,
            name=change.name,
            actor=actor,
            payload=change.payload,
        )
        last[change.kind, change.name] = event.timestamp
        events.append(event)
    key = annotations_key(events)
    try:
        is_logged = _write(log, events)
    except LogError as error:
        sentence = str(error).replace(f"{log.uri}/{key}", log.uri)
        raise LogError(sentence, retryable=error.retryable) from error
    if not is_logged:
        return Kept.WAITING
    return Kept.SHOWN if read_added(log, warehouse, key) else Kept.LOGGED


def _write(log: Log, events: Sequence[Annotation]) -> bool:
    """Whether the log has the events, which otherwise wait in the spool."""
    try:
        writer = Writer(log, spool_folder())
    except LogError:  # no folder for a spool: the log itself must take them
        log.put(annotations_key(events), b"\n".join(map(to_json, events)))
        return True
    return writer.write_annotations(events)[1]


def send_waiting(log: Log) -> None:
    """Send what waits in the spool, if the store takes it now."""
    with contextlib.suppress(LogError):
        Writer(log, spool_folder()).flush()


def save_selection(
    log: Log, warehouse: Warehouse, name: str, selection: Selection, replace: bool = False
) -> Kept:
    """Keep a selection under a name.

    replace: let it take the place of one of that name; what that was stays in the log. Raises
    NameTakenError where there is one and it is not to be replaced, SelectionError where the name
    will not do, LogError where the log does not take it.
    """
    chosen = checked_name(name)
    taken = [
        saved.name
        for saved in saved_selections(warehouse)
        if saved.name.casefold() == chosen.casefold()
    ]
    if taken and not replace:
        raise NameTakenError(
            f"There is a selection named “{taken[0]}” already: choose another name, or replace it.",
        )
    if taken and chosen not in taken:
        chosen = taken[0]
    try:
        change = Change(SELECTION, chosen, {"query": query_string(selection)})
        return annotate(log, warehouse, [change])
    except LogError as error:
        raise _refused(f"“{chosen}” was not saved", error) from error


def remove_selection(log: Log, warehouse: Warehouse, name: str) -> Kept:
    """Take a saved selection away; its events stay in the log. As `save_selection` otherwise."""
    try:
        return annotate(log, warehouse, [Change(SELECTION, name, None)])
    except LogError as error:
        raise _refused(f"“{name}” was not removed", error) from error


def checked_name(name: str) -> str:
    """A name as it is kept: in one line, letters composed. Raises SelectionError where it is none.

    Characters that do not show could make two names look the same, or one like another text.
    """
    cleaned = " ".join(unicodedata.normalize("NFC", name).split())
    if not cleaned:
        raise SelectionError("A selection needs a name to be saved under.")
    if len(cleaned) > MAX_NAME:
        raise SelectionError(
            f"This name has {len(cleaned):,} characters; a name can have {MAX_NAME}."
        )
    if not cleaned.isprintable():
        raise SelectionError("This name has characters in it that cannot be seen: type it anew.")
    return cleaned


def _refused(what: str, error: LogError) -> LogError:
    cause = str(error).rstrip(".")
    right = "Saving takes the right to write below annotations/ (s3:PutObject in a bucket)."
    return LogError(f"{what}: {cause}. {right}", retryable=error.retryable)
