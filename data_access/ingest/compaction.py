"""Compaction: merges the small objects of closed days into Parquet.

A log of millions of one-event objects is slow to list and to read; a few large objects are not.
A compacted object holds the events of others as they are, each with the object and the line where
it was first logged, and names the objects that it covers; readers that know it need not read
those. Nothing is removed unless that is asked for, and then only what a compacted object, read
back, was seen to hold. Every step adds or removes whole objects and can be done twice, so that a
compaction can be killed at any moment, and two of them can run at once.
"""

import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_access.errors import ChangedObjectError, LogError
from data_access.ingest.bulk import read_objects
from data_access.ingest.events import Events
from data_access.log import Log, LogObject, is_plain
from data_access.progress import Progress, silent
from data_access.records import ANNOTATIONS, ORIGIN, ORIGIN_LINE, SOURCES, is_compacted
from data_access.records.framing import is_left_out

KINDS = ("predictions/", "feedback/", ANNOTATIONS)
FETCHERS = 16
ORDER = [("origin", "ascending"), ("line", "ascending")]


@dataclass
class CompactionReport:
    """What one compaction did. `failures`: sentences; what they name is tried again next time.

    merged: objects that are now covered by a `written` one; unreadable: those left as they are
    because part of them is in quarantine.
    """

    written: int = 0
    merged: int = 0
    events: int = 0
    removed: int = 0
    unreadable: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """Sizes of a compaction.

    small_bytes: larger objects are left as they are. merged_bytes, merged_objects: at most so much
    becomes one object. footer_bytes: fetched from the end of a compacted object to learn what it
    covers, and more where that is not all.
    """

    small_bytes: int = 8 * 1024 * 1024
    merged_bytes: int = 64 * 1024 * 1024
    merged_objects: int = 20_000
    footer_bytes: int = 256 * 1024


def compact(
    log: Log,
    before: date,
    remove_originals: bool = False,
    progress: Progress = silent,
    limits: Limits = Limits(),
) -> CompactionReport:
    """Merge the small objects of the days before `before`, folder by folder.

    An object's day is that of a `date=` in its key, else the one it was written on. Raises
    LogError where the log cannot be listed.
    """
    report = CompactionReport()
    with ThreadPoolExecutor(FETCHERS) as pool:
        for kind in KINDS:
            progress("Listing the log", 0, 0)
            listed = {o.key: o for o in log.list(kind) if not is_left_out(o.key)}
            covering = _covering(log, listed, pool, report, limits)
            covered = {source for sources in covering.values() for source in sources}
            chunks = list(_chunks(listed.values(), covered, before, limits))
            for done, chunk in enumerate(chunks, start=1):
                covering |= _merge(log, kind, chunk, pool, report)
                progress("Merging objects", done, len(chunks))
            if remove_originals:
                for done, (key, sources) in enumerate(covering.items(), start=1):
                    left = [listed[name] for name, tag in sources if _is_there(listed, name, tag)]
                    _remove(log, key, left, pool, report)
                    progress("Removing originals", done, len(covering))
    return report


Source = tuple[str, str]
"""Key and e-tag of an object that a compacted one covers."""


def _is_there(listed: Mapping[str, LogObject], key: str, e_tag: str) -> bool:
    return key in listed and listed[key].e_tag == e_tag


def _covering(
    log: Log,
    listed: Mapping[str, LogObject],
    pool: ThreadPoolExecutor,
    report: CompactionReport,
    limits: Limits,
) -> dict[str, list[Source]]:
    """The compacted objects that are there already, and what each of them covers."""
    compacted = [entry for entry in listed.values() if is_compacted(entry.key)]
    covering: dict[str, list[Source]] = {}
    read = pool.map(lambda entry: _sources(log, entry, limits.footer_bytes), compacted)
    for entry, sources in zip(compacted, read, strict=True):
        if isinstance(sources, LogError):
            report.failures.append(str(sources))
        elif sources:
            covering[entry.key] = sources
    return covering


def _sources(log: Log, entry: LogObject, count: int) -> list[Source] | LogError:
    """Read from the end of the object alone, where Parquet keeps its schema; count: bytes."""
    try:
        while True:
            end = log.tail(entry.key, entry.size, count)
            length = int.from_bytes(end[-8:-4], "little") + 8
            if length <= len(end) or len(end) == entry.size:
                break
            count = length
        schema = pq.read_schema(io.BytesIO(end))
    except LogError as error:
        return error
    except (pa.ArrowException, OSError, ValueError) as error:
        return LogError(f"{log.uri}/{entry.key} is no compacted object: {error}", retryable=False)
    return [(key, tag) for key, tag in json.loads((schema.metadata or {}).get(SOURCES, b"[]"))]


def _day(entry: LogObject) -> date:
    in_key = re.search(r"(?:^|/)date=(\d{4}-\d\d-\d\d)/", entry.key)
    if in_key:
        try:
            return date.fromisoformat(in_key[1])
        except ValueError:
            pass
    return entry.last_modified.date()


def _chunks(
    listed: Iterable[LogObject], covered: set[Source], before: date, limits: Limits
) -> Iterator[list[LogObject]]:
    """Objects of one folder that become one object: at least two, in the order of their keys."""
    folders: dict[str, list[LogObject]] = defaultdict(list)
    for entry in sorted(listed, key=lambda entry: entry.key):
        if (
            entry.size < limits.small_bytes
            and is_plain(entry.key)
            and not is_compacted(entry.key)
            and (entry.key, entry.e_tag) not in covered
            and _day(entry) < before
        ):
            folders[entry.key.rpartition("/")[0]].append(entry)
    for objects in folders.values():
        chunk: list[LogObject] = []
        size = 0
        for entry in objects:
            if len(chunk) == limits.merged_objects or size + entry.size > limits.merged_bytes:
                yield chunk
                chunk, size = [], 0
            chunk.append(entry)
            size += entry.size
        if len(chunk) > 1:
            yield chunk


def _merge(
    log: Log,
    kind: str,
    chunk: Sequence[LogObject],
    pool: ThreadPoolExecutor,
    report: CompactionReport,
) -> dict[str, list[Source]]:
    """Write one compacted object: its key and what it covers; empty where nothing was merged.

    Feedback that was logged within predictions gets an object of its own, written first: what
    covers the originals is there last.
    """
    bodies = _fetched(log, chunk, pool, report)
    broken = set(read_objects(_plain(bodies)).quarantined["object_key"].to_pylist())
    report.unreadable += len(broken)
    readable = [(entry, body) for entry, body in bodies if entry.key not in broken]
    if len(readable) < 2:
        return {}
    sources = [(entry.key, entry.e_tag) for entry, _ in readable]
    events = read_objects(_plain(readable))
    name = hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:32]
    folder = chunk[0].key.rpartition("/")[0]
    key = f"{folder}/compacted-{name}.parquet"
    parts = {key: _parquet(_rows(kind, events), sources)}
    if kind == "predictions/" and len(events.feedback):
        feedback = _parquet(_rows("feedback/", events), [])
        parts = {_feedback_part(key): feedback} | parts
    if not _holds(read_objects(list(parts.items())), events):
        report.failures.append(f"{folder} cannot be merged: what was written reads differently.")
        return {}
    try:
        for part, body in parts.items():
            log.put(part, body)
    except LogError as error:
        report.failures.append(str(error))
        return {}
    report.written += 1
    report.merged += len(readable)
    report.events += sum(map(len, (events.predictions, events.feedback, events.annotations)))
    return {key: sources}


def _plain(bodies: Sequence[tuple[LogObject, bytes]]) -> list[tuple[str, bytes]]:
    return [(entry.key, body) for entry, body in bodies]


def _feedback_part(key: str) -> str:
    return key.replace("predictions/", "feedback/", 1)


def _fetched(
    log: Log, objects: Sequence[LogObject], pool: ThreadPoolExecutor, report: CompactionReport
) -> list[tuple[LogObject, bytes]]:
    """Those of the objects that are still what was listed, with their bytes."""

    def fetch(entry: LogObject) -> tuple[bytes, str] | LogError:
        try:
            return log.get_tagged(entry.key)
        except LogError as error:
            return error

    bodies = []
    for entry, fetched in zip(objects, pool.map(fetch, objects), strict=True):
        if isinstance(fetched, LogError):
            if not isinstance(fetched, ChangedObjectError):
                report.failures.append(str(fetched))
        elif fetched[1] == entry.e_tag:
            bodies.append((entry, fetched[0]))
    return bodies


def _rows(kind: str, events: Events) -> pa.Table:
    """The events of one kind as a compacted object keeps them."""
    table = {
        "predictions/": events.predictions,
        "feedback/": events.feedback,
        ANNOTATIONS: events.annotations,
    }[kind]
    names = [n for n in table.column_names if n not in ("object_key", "origin", "line")]
    rows = table.sort_by(ORDER)
    columns = {name: rows[name] for name in names}
    return pa.table(columns | {ORIGIN: rows["origin"], ORIGIN_LINE: rows["line"]})


def _parquet(rows: pa.Table, sources: Sequence[Source]) -> bytes:
    body = io.BytesIO()
    table = rows.replace_schema_metadata({SOURCES: json.dumps(sources).encode()})
    pq.write_table(table, body, compression="zstd")
    return body.getvalue()


def _holds(compacted: Events, originals: Events) -> bool:
    """Whether every event of the originals is in the compacted objects, as it was and in order."""
    if len(compacted.quarantined) or len(originals.quarantined):
        return False
    return all(
        _comparable(merged, original).equals(_comparable(original, original))
        for merged, original in (
            (compacted.predictions, originals.predictions),
            (compacted.feedback, originals.feedback),
            (compacted.annotations, originals.annotations),
        )
    )


def _comparable(table: pa.Table, original: pa.Table) -> pa.Table:
    """Rows first logged in the same objects as the original ones, without where they are now."""
    origins = pc.unique(original["origin"])
    same = table.filter(pc.is_in(table["origin"], origins)).drop_columns(["object_key"])
    return same.sort_by(ORDER).combine_chunks()


def _remove(
    log: Log,
    key: str,
    originals: Sequence[LogObject],
    pool: ThreadPoolExecutor,
    report: CompactionReport,
) -> None:
    """Remove what a compacted object covers, once it was read back and compared."""
    bodies = _fetched(log, originals, pool, report)
    if not bodies:
        return
    try:
        parts = [(key, log.get(key))]
        if key.startswith("predictions/"):
            with suppress(ChangedObjectError):  # where none of its predictions carried feedback
                parts.append((_feedback_part(key), log.get(_feedback_part(key))))
        if not _holds(read_objects(parts), read_objects(_plain(bodies))):
            report.failures.append(f"{key} does not hold what it covers; nothing was removed.")
            return
        list(pool.map(log.remove, [entry.key for entry, _ in bodies]))
        report.removed += len(bodies)
    except LogError as error:
        report.failures.append(str(error))
