"""Sync: makes the warehouse hold what the log holds, and scores what has no score yet.

Each object's rows and the mark that it was read land in one transaction, so a sync can be
killed at any moment and the next one goes on.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from data_access.errors import ChangedObjectError, LogError, WarehouseError
from data_access.ingest.ahead import one_ahead
from data_access.ingest.compute import FETCHERS, MISSING_AGAIN, compute_images
from data_access.ingest.reading import ReadObjects, fetch, parse_objects
from data_access.ingest.report import SyncReport
from data_access.ingest.snapshots import begin
from data_access.ingest.store import forget, score_texts, store_objects
from data_access.log import Log, LogObject
from data_access.progress import Progress, silent
from data_access.projections.values import PREFIX, image_values_version
from data_access.records import (
    ANNOTATIONS,
    is_compacted,
)
from data_access.records.framing import LEFT_OUT, is_left_out
from data_access.warehouse import Warehouse

PREFIXES = ("predictions/", "feedback/", "projections/", ANNOTATIONS)
OBJECTS_AT_ONCE = 512  # fetched, then parsed together
BYTES_AT_ONCE = 64 * 1024 * 1024
ROWS_AT_ONCE = 500_000  # of one transaction: DuckDB writes fewer twice, to its journal first
STORE_SECONDS = 2.0  # or as many as were read in this time
ASKED_FOR = 32  # of the objects that a listing leaves out
REFRESH_SECONDS = 10.0  # how often readers see what a long sync has read so far


def sync(
    log: Log,
    warehouse: Warehouse,
    progress: Progress = silent,
    images: bool = True,
    missing_again: timedelta = MISSING_AGAIN,
) -> SyncReport:
    """Read new and changed objects, drop removed ones, compute missing values.

    progress(stage, done, total) is called as work goes on. images: whether images are scored
    that nobody has scored yet. missing_again: how long a missing image is not looked for again.
    Raises LogError where the log cannot be listed; the warehouse then stays as it was.
    """
    report = SyncReport()
    with warehouse.writing:
        _load(log, warehouse, progress, report)
        score_texts(warehouse, report, progress)
        warehouse.refresh(changed=report.changed)
        if images:
            compute_images(log, warehouse, progress, report, missing_again)
            warehouse.refresh()
        with warehouse.transaction() as cursor:
            cursor.execute("delete from meta where name = 'synced'")
            cursor.execute("insert into meta values ('synced', ?)", [datetime.now(UTC).isoformat()])
    return report


def _load(log: Log, warehouse: Warehouse, progress: Progress, report: SyncReport) -> None:
    """Read what is new and forget what is gone, until the warehouse holds what was listed.

    Compacted objects come first, as what they cover need not be read. Nothing is forgotten before
    a listing that was begun after it was gone: the compacted object in its place is then listed.
    Objects that others gave way to may have to be read again once those are gone.
    """
    try:
        begin(log, warehouse, progress)
    except (LogError, WarehouseError) as error:  # all that it holds is in the log too
        report.fail(str(error))
    progress("Listing the log", 0, 0)
    unreadable: dict[str, str] = {}
    listed = _listed(log, unreadable)
    if _gone(warehouse, listed, unreadable):
        listed = _listed(log, unreadable)
    failed: set[tuple[str, str]] = set()
    with ThreadPoolExecutor(FETCHERS) as pool:
        while True:
            new = [o for o in _new(warehouse, listed) if (o.key, o.e_tag) not in failed]
            compacted = [entry for entry in new if is_compacted(entry.key)]
            gone = [] if compacted else _gone(warehouse, listed, unreadable)
            if gone:
                _make_sure(log, gone)
                with warehouse.transaction() as cursor:
                    forget(cursor, gone)
                report.removed += len(gone)
            elif new:
                changed = _read(log, warehouse, compacted or new, pool, progress, report, failed)
                if changed:
                    listed = _listed(log, unreadable)
                    tags = zip(*listed.select(["key", "e_tag"]).to_pydict().values(), strict=True)
                    tried = sorted(failed.intersection(tags))
                    report.fail(*(changed[key] for key, _ in tried if key in changed))
            else:
                break
    report.fail(*unreadable.values())


def _make_sure(log: Log, gone: Sequence[str]) -> None:
    """Raises LogError where objects that were not listed are there: then the listing was wrong.

    A page to sign in to some network, say, is read as the listing of a bucket without objects.
    """
    for key in gone[:: 1 + len(gone) // ASKED_FOR]:
        if not is_left_out(key) and log.is_there(key):
            raise LogError(f"The listing of {log.uri} leaves out {key}, which is there.")


def _listed(log: Log, unreadable: dict[str, str]) -> pa.Table:
    listed = pa.concat_tables([log.listing(prefix, unreadable) for prefix in PREFIXES])
    return listed.filter(pc.invert(pc.match_substring_regex(listed["key"], LEFT_OUT)))


def _gone(warehouse: Warehouse, listed: pa.Table, unreadable: Mapping[str, str]) -> list[str]:
    """Keys of the objects that were read and are not listed, but in parts that can be listed."""
    gone = "select key from objects anti join listed using (key)"
    return [
        key
        for (key,) in warehouse.rows(gone, listed=listed)
        if not any(f"{key}/".startswith(f"{part.rstrip('/')}/") for part in unreadable)
    ]


def _new(warehouse: Warehouse, listed: pa.Table) -> list[LogObject]:
    """Objects that are to be read, in the order of their keys, but values before predictions, so
    that records are written with them.
    """
    new = """
        select key, e_tag, size, last_modified
        from listed
        anti join objects using (key, e_tag, size)
        anti join covered on key = source and listed.e_tag = covered.e_tag
        order by starts_with(key, ?) desc, key
    """
    return [LogObject(*row) for row in warehouse.rows(new, [PREFIX], listed=listed)]


def _read(
    log: Log,
    warehouse: Warehouse,
    objects: Sequence[LogObject],
    pool: ThreadPoolExecutor,
    progress: Progress,
    report: SyncReport,
    failed: set[tuple[str, str]],
) -> dict[str, str]:
    """Read objects into the warehouse; by key, a sentence for each that is not as it was listed.

    One batch is fetched while the one before is parsed and the one before that is stored.
    """
    version = image_values_version(warehouse.projections)
    fetched = one_ahead(
        [*pool.map(partial(fetch, log, version), batch)] for batch in _object_batches(objects)
    )
    read: list[ReadObjects] = []
    changed: dict[str, str] = {}
    done = 0
    shown = stored = time.monotonic()
    for batch in one_ahead(map(partial(parse_objects, warehouse.projections), fetched)):
        for entry, error in batch.failures:
            failed.add((entry.key, entry.e_tag))
            if isinstance(error, ChangedObjectError):
                changed[entry.key] = str(error)
            else:
                report.fail(str(error))
        read.append(batch)
        done += len(batch.objects) + len(batch.failures)
        progress("Reading objects", done, len(objects))
        now = time.monotonic()
        if sum(part.rows for part in read) > ROWS_AT_ONCE or now > stored + STORE_SECONDS:
            store_objects(warehouse, read, report, progress)
            read, stored = [], now
        if now > shown + REFRESH_SECONDS:
            warehouse.refresh()
            shown = now
    store_objects(warehouse, read, report, progress)
    return changed


def _object_batches(objects: Sequence[LogObject]) -> Iterator[list[LogObject]]:
    """Objects that are fetched and parsed together: as many as fit in memory."""
    batch: list[LogObject] = []
    size = 0
    for entry in objects:
        if batch and (len(batch) == OBJECTS_AT_ONCE or size + entry.size > BYTES_AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch
