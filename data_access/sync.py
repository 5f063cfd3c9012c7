"""Sync: makes the warehouse hold what the log holds, and scores what has no score yet.

Each object's rows and the mark that it was read land in one transaction, so a sync can be
killed at any moment and the next one goes on.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from data_access.columns import Events, read_objects
from data_access.errors import ChangedObjectError, LogError, MisreadError
from data_access.log import MISSING_IMAGE, Log, LogObject, is_plain
from data_access.measures import MAY_HEAL, is_of_another, measures_version
from data_access.measuring import (
    FETCHERS,
    IMAGES_AT_ONCE,
    Measured,
    measure,
    measures_table,
    pieces,
)
from data_access.measuring import STAGE as MEASURING
from data_access.progress import Progress, silent
from data_access.projections import IMAGE, TEXT, TRUTH, Computed, Projection, compute_column
from data_access.queries import unmeasured_images
from data_access.records import (
    ANNOTATIONS,
    MAX_OBJECT_BYTES,
    Quarantined,
    is_compacted,
    quarantine_table,
)
from data_access.sql import quoted
from data_access.warehouse import Warehouse

PREFIXES = ("predictions/", "feedback/", "projections/", ANNOTATIONS)
OBJECTS_AT_ONCE = 512  # fetched, then parsed together
BYTES_AT_ONCE = 64 * 1024 * 1024
ROWS_AT_ONCE = 500_000  # of one transaction: DuckDB writes fewer twice, to its journal first
STORE_SECONDS = 2.0  # or as many as were read in this time
ASKED_FOR = 32  # of the objects that a listing leaves out
MISSING_AT_ONCE = 1_000  # missing images looked for again in one sync
MISSING_AGAIN = timedelta(minutes=10)
REFRESH_SECONDS = 10.0  # how often readers see what a long sync has read so far
ADDED_SECONDS = 2.0  # how long one who has added an object waits for a sync to end
TEXTS_AT_ONCE = 5_000

FROM_OBJECTS = (
    "records", "feedback", "annotations", "quarantine", "shadowed", "covered", "scores",
    "image_measures",
)  # fmt: skip

REHOME = """
update records
set object_key = covered.object_key
from covered
join objects on objects.key = covered.source and objects.e_tag = covered.e_tag
where covered.source = records.object_key
and covered.source in (from gone)
and covered.object_key not in (from gone)
"""

# what was said in these objects, and in no other: a compacted one may say it too
UNSAID = """
insert into touched
select record_key
from feedback
semi join gone using (object_key)
anti join (from feedback anti join gone using (object_key)) using (origin, line)
union all
select record_key
from scores
semi join gone using (object_key)
"""

OF_IMAGES = """
select record_key
from records
semi join {images} on records."inputs.image" = {images}.image
"""

# of several objects that measured an image, the first counts
TAKEN = """
create or replace temp table taken as
select *
from image_measures
semi join records on records."inputs.image" = image_measures.image
anti join (
    select image
    from image_scores
    where failure is null or failure not in (?, ?)
) as lasting using (image)
qualify row_number() over (partition by image order by object_key) = 1
"""

Item = TypeVar("Item")


@dataclass
class SyncReport:
    """What one sync did. `failures`: sentences and how often; what they name is tried again.

    found_images: those that got the measures that the log has of them.
    """

    objects: int = 0
    removed: int = 0
    predictions: int = 0
    feedback: int = 0
    quarantined: int = 0
    scored_texts: int = 0
    scored_images: int = 0
    found_images: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def fail(self, *sentences: str) -> None:
        for sentence in sentences:
            self.failures[sentence] = self.failures.get(sentence, 0) + 1

    @property
    def changed(self) -> bool:
        return bool(self.objects or self.removed or self.scored_texts or self.scored_images)


def sync(
    log: Log, warehouse: Warehouse, progress: Progress = silent, measuring: bool = True
) -> SyncReport:
    """Read new and changed objects, forget removed ones, compute missing scores.

    progress(stage, done, total) is called as work goes on. measuring: whether images are measured
    that nobody has measured yet. Raises LogError where the log cannot be listed; the warehouse
    then stays as it was.
    """
    report = SyncReport()
    with warehouse.writing:
        _load(log, warehouse, progress, report)
        _take_measures(warehouse, report)
        warehouse.refresh(changed=report.changed)
        _score_texts(warehouse, progress, report)
        warehouse.refresh()
        if measuring:
            _score_images(log, warehouse, progress, report)
            warehouse.refresh()
        with warehouse.transaction() as cursor:
            cursor.execute("delete from meta where name = 'synced'")
            cursor.execute("insert into meta values ('synced', ?)", [datetime.now(UTC).isoformat()])
    return report


def read_added(log: Log, warehouse: Warehouse, key: str) -> bool:
    """Read one object that was just added, so that its writer sees it at once.

    False where that has to be left to the next sync: another one is at work, or the object
    cannot be had.
    """
    if not warehouse.writing.acquire(timeout=ADDED_SECONDS):
        return False
    try:
        body, e_tag = log.get_tagged(key)
        found = LogObject(key, e_tag, len(body), datetime.now(UTC).replace(tzinfo=None))
        _store(warehouse, [_parse([], [(found, body)])], SyncReport())
    except LogError:
        return False
    finally:
        warehouse.writing.release()
    return True


def _load(log: Log, warehouse: Warehouse, progress: Progress, report: SyncReport) -> None:
    """Read what is new and forget what is gone, until the warehouse holds what was listed.

    Compacted objects come first, as what they cover need not be read. Nothing is forgotten before
    a listing that was begun after it was gone: the compacted object in its place is then listed.
    Objects that others gave way to may have to be read again once those are gone.
    """
    progress("Listing the log", 0, 0)
    listed = _listed(log)
    if _gone(warehouse, listed):
        listed = _listed(log)
    failed: set[tuple[str, str]] = set()
    with ThreadPoolExecutor(FETCHERS) as pool:
        while True:
            new = [o for o in _new(warehouse, listed) if (o.key, o.e_tag) not in failed]
            compacted = [found for found in new if is_compacted(found.key)]
            gone = [] if compacted else _gone(warehouse, listed)
            if gone:
                _make_sure(log, gone)
                with warehouse.transaction() as cursor:
                    _forget(cursor, gone)
                report.removed += len(gone)
            elif new:
                changed = _read(log, warehouse, compacted or new, pool, progress, report, failed)
                if changed:
                    listed = _listed(log)
                    tags = zip(*listed.select(["key", "e_tag"]).to_pydict().values(), strict=True)
                    tried = sorted(failed.intersection(tags))
                    report.fail(*(changed[key] for key, _ in tried if key in changed))
            else:
                break


def _make_sure(log: Log, gone: Sequence[str]) -> None:
    """Raises LogError where objects that were not listed are there: then the listing was wrong.

    A page to sign in to some network, say, is read as the listing of a bucket without objects.
    """
    for key in gone[:: 1 + len(gone) // ASKED_FOR]:
        if log.is_there(key):
            raise LogError(f"The listing of {log.uri} leaves out {key}, which is there.")


def _listed(log: Log) -> pa.Table:
    return pa.concat_tables([log.listing(prefix) for prefix in PREFIXES])


def _gone(warehouse: Warehouse, listed: pa.Table) -> list[str]:
    """Keys of the objects that were read and are not listed."""
    gone = "select key from objects anti join listed using (key)"
    return [key for (key,) in warehouse.rows(gone, listed=listed)]


def _new(warehouse: Warehouse, listed: pa.Table) -> list[LogObject]:
    """Objects that are to be read, in the order of their keys."""
    new = """
        select key, e_tag, size, last_modified
        from listed
        anti join objects using (key, e_tag, size)
        anti join covered on key = source and listed.e_tag = covered.e_tag
        order by key
    """
    return [LogObject(*row) for row in warehouse.rows(new, listed=listed)]


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
    wanted = measures_version(warehouse.projections)
    names = [row.name for row in warehouse.projections.computed_from_image()]
    fetched = _one_ahead(
        [*pool.map(partial(_fetch, log, wanted), batch)] for batch in _object_batches(objects)
    )
    read: list[_Read] = []
    changed: dict[str, str] = {}
    done = 0
    shown = stored = time.monotonic()
    for batch in _one_ahead(map(partial(_parse, names), fetched)):
        for found, error in batch.failures:
            failed.add((found.key, found.e_tag))
            if isinstance(error, ChangedObjectError):
                changed[found.key] = str(error)
            else:
                report.fail(str(error))
        read.append(batch)
        done += len(batch.objects) + len(batch.failures)
        progress("Reading objects", done, len(objects))
        now = time.monotonic()
        if sum(held.rows for held in read) > ROWS_AT_ONCE or now > stored + STORE_SECONDS:
            _store(warehouse, read, report)
            read, stored = [], now
        if now > shown + REFRESH_SECONDS:
            warehouse.refresh()
            shown = now
    _store(warehouse, read, report)
    return changed


def _one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next of them made in a thread while the last one is worked on."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item


def _object_batches(objects: Sequence[LogObject]) -> Iterator[list[LogObject]]:
    """Objects that are fetched and parsed together: as many as fit in memory."""
    batch: list[LogObject] = []
    size = 0
    for found in objects:
        if batch and (len(batch) == OBJECTS_AT_ONCE or size + found.size > BYTES_AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append(found)
        size += found.size
    if batch:
        yield batch


def _fetch(log: Log, wanted: str, found: LogObject) -> tuple[LogObject, bytes | LogError]:
    """An object's bytes; none of one that is not to be read, as measures not of that version."""
    if not found.size or _refusal(found):  # without bytes: the folders that S3's console makes
        return found, b""
    if is_of_another(found.key, wanted):
        return found, b""
    try:
        body = log.get(found.key)
    except LogError as error:
        return found, error
    if len(body) != found.size:  # another one of that size has another e-tag in the next listing
        return found, ChangedObjectError(f"{log.uri}/{found.key} came otherwise than listed.")
    return found, body


def _refusal(found: LogObject) -> str | None:
    """Why an object is not fetched at all; None where it is."""
    if found.size > MAX_OBJECT_BYTES:
        return f"the object has {found.size:,} bytes; {MAX_OBJECT_BYTES:,} can be read"
    if not is_plain(found.key):
        return "an object with such a key is not read"
    return None


@dataclass(frozen=True)
class _Read:
    """What a batch of objects holds, and those that could not be had."""

    objects: list[LogObject]
    events: Events
    failures: list[tuple[LogObject, LogError]]

    @property
    def rows(self) -> int:
        return len(self.events.predictions) + len(self.events.feedback)


def _parse(names: Sequence[str], fetched: Sequence[tuple[LogObject, bytes | LogError]]) -> _Read:
    """names: of the projections of images."""
    bodies = [(found, body) for found, body in fetched if isinstance(body, bytes)]
    refused = [(o.key, Quarantined(0, reason, "")) for o, _ in bodies if (reason := _refusal(o))]
    events = read_objects([(found.key, body) for found, body in bodies if body], names)
    quarantined = pa.concat_tables([events.quarantined, quarantine_table(refused)])
    return _Read(
        [found for found, _ in bodies],
        replace(events, quarantined=quarantined),
        [(found, error) for found, error in fetched if isinstance(error, LogError)],
    )


def _store(warehouse: Warehouse, read: Sequence[_Read], report: SyncReport) -> None:
    """Put all that these objects hold, and that they were read, into the warehouse."""
    objects = [found for held in read for found in held.objects]
    if not objects:
        return
    predictions = pa.concat_tables([held.events.predictions for held in read])
    feedback = pa.concat_tables([held.events.feedback for held in read])
    quarantined = pa.concat_tables([held.events.quarantined for held in read])
    scores = pa.concat_tables([held.events.scores for held in read])
    annotations = pa.concat_tables([held.events.annotations for held in read])
    measures = pa.concat_tables([held.events.measures for held in read])
    with warehouse.transaction() as cursor:
        _forget(cursor, [found.key for found in objects])
        _insert(cursor, "scores", scores)
        _touch(cursor, scores)
        _insert(cursor, "feedback", feedback)
        _insert(cursor, "quarantine", quarantined)
        _insert(cursor, "covered", pa.concat_tables([held.events.covered for held in read]))
        _insert(cursor, "annotations", annotations)
        _insert(cursor, "image_measures", measures)
        held_rows = [predictions, feedback, scores, annotations, measures]
        _insert(cursor, "objects", _object_table(objects, held_rows))
        _touch(cursor, feedback)
        _rescore(cursor, feedback)
        warehouse.insert_predictions(cursor, predictions)
    warehouse.announce()
    report.objects += len(objects)
    report.predictions += len(predictions)
    report.feedback += len(feedback)
    report.quarantined += len(quarantined)


def _object_table(objects: Sequence[LogObject], events: Sequence[pa.Table]) -> pa.Table:
    counted = Counter[str]()
    for table in events:
        for found in table["object_key"].value_counts().to_pylist():
            counted[found["values"]] += found["counts"]
    return pa.table(
        {
            "key": [found.key for found in objects],
            "e_tag": [found.e_tag for found in objects],
            "size": [found.size for found in objects],
            "events": [counted[found.key] for found in objects],
        }
    )


def _forget(cursor: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
    """Take out all that came from these objects; what gave way to it is to be read again.

    Records that a compacted object holds too are from then on that object's.
    """
    cursor.execute("create or replace temp table gone as select unnest(?) as object_key", [keys])
    cursor.execute("delete from cubes")
    cursor.execute(REHOME)
    cursor.execute(
        "create or replace temp table lost as "
        "select record_key from records semi join gone using (object_key)"
    )
    cursor.execute(UNSAID)
    cursor.execute(
        "delete from text_scores where record_key in "
        "(select record_key from lost union select record_key from touched)"
    )
    cursor.execute(
        "create or replace temp table unmeasured as "
        "select image from image_scores where found_in in (from gone)"
    )
    cursor.execute(f"insert into touched {OF_IMAGES.format(images='unmeasured')}")
    cursor.execute("delete from image_scores where found_in in (from gone)")
    cursor.execute(
        "delete from objects where key in (from gone) or key in "
        "(select object_key from shadowed semi join lost using (record_key))"
    )
    for table in FROM_OBJECTS:
        cursor.execute(f"delete from {table} where object_key in (from gone)")


def _touch(cursor: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    """Have the records that these rows speak of rewritten."""
    cursor.register("incoming", rows)
    cursor.execute("insert into touched select distinct record_key from incoming")
    cursor.unregister("incoming")


def _rescore(cursor: duckdb.DuckDBPyConnection, feedback: pa.Table) -> None:
    """Have the texts scored anew whose truth is new."""
    cursor.register("incoming", feedback)
    cursor.execute(
        "delete from text_scores where record_key in "
        "(select record_key from incoming where ground_truth_string is not null)"
    )
    cursor.unregister("incoming")


def _insert(cursor: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    if rows.num_rows:
        cursor.register("incoming", rows)
        cursor.execute(f"insert into {table} by name select * from incoming")
        cursor.unregister("incoming")


def _score_texts(warehouse: Warehouse, progress: Progress, report: SyncReport) -> None:
    """Compute what has no row in `text_scores`: records whose text or truth is new."""
    unscored = "from records anti join text_scores using (record_key)"
    total = warehouse.rows(f"select count(*) {unscored}")[0][0]
    columns = {TEXT: quoted(TEXT), TRUTH: quoted(TRUTH)}
    asked = f"select record_key, {', '.join(columns.values())} {unscored} limit {TEXTS_AT_ONCE}"
    while rows := warehouse.rows(asked):
        inputs = dict(zip(columns, zip(*[row[1:] for row in rows], strict=True), strict=True))
        scores: dict[str, Any] = {"record_key": [row[0] for row in rows]}
        failed: list[tuple[str, str, str]] = []
        for projection in warehouse.projections.computed_from_text():
            computed = _where_present(projection, inputs)
            scores[projection.name] = pa.array(computed.values, from_pandas=True)
            if computed.failure:
                report.fail(computed.failure)
            failed += [
                (scores["record_key"][row], projection.name, sentence)
                for row, sentence in computed.failed.items()
            ]
        with warehouse.transaction() as cursor:
            _insert(cursor, "text_scores", pa.table(scores))
            _keep_failures(cursor, "text", scores["record_key"], failed)
            cursor.execute("insert into touched select unnest(?)", [scores["record_key"]])
        report.scored_texts += len(rows)
        progress("Scoring texts", report.scored_texts, total)


def _where_present(projection: Projection, inputs: Mapping[str, Sequence[str | None]]) -> Computed:
    """Values of shape (n,), NaN where an input is missing."""
    columns = [inputs[name] for name in projection.inputs]
    present = [i for i, row in enumerate(zip(*columns, strict=True)) if None not in row]
    values = np.full(len(columns[0]), np.nan)
    if not present:
        return Computed(values, None, {})
    computed = compute_column(projection, *[[column[i] for i in present] for column in columns])
    values[present] = computed.values
    failed = {present[number]: sentence for number, sentence in computed.failed.items()}
    return Computed(values, computed.failure, failed)


def _keep_failures(
    cursor: duckdb.DuckDBPyConnection,
    kind: str,
    scored: Sequence[str],
    failed: Sequence[tuple[str, str, str]],
) -> None:
    """Note which projections failed on these; failed: rows of (scored, projection, sentence)."""
    cursor.execute(
        "delete from failures where kind = ? and scored in (select unnest(?))", [kind, scored]
    )
    if failed:
        names = ("scored", "projection", "sentence")
        columns = dict(zip(names, map(list, zip(*failed, strict=True)), strict=True))
        _insert(cursor, "failures", pa.table({"kind": [kind] * len(failed), **columns}))


def _take_measures(warehouse: Warehouse, report: SyncReport) -> None:
    """Give images what objects of the log hold of them, but those that were measured here."""
    with warehouse.transaction() as cursor:
        if not cursor.execute("select 1 from image_measures limit 1").fetchall():
            return
        cursor.execute(TAKEN, MAY_HEAL)
        cursor.execute("delete from image_scores where image in (select image from taken)")
        [(taken,)] = cursor.execute(
            "insert into image_scores by name select * exclude (object_key), "
            "object_key as found_in, ?::timestamp as tried from taken",
            [datetime.now(UTC).replace(tzinfo=None)],
        ).fetchall()
        cursor.execute(f"insert into touched {OF_IMAGES.format(images='taken')}")
    report.found_images += taken


def _score_images(log: Log, warehouse: Warehouse, progress: Progress, report: SyncReport) -> None:
    """Measure what has no row in `image_scores`.

    An image that cannot be had now is left for the next sync; one that cannot be read gets a
    row with the reason. A missing or damaged one is looked for again after MISSING_AGAIN.
    """
    missing = """
        select image
        from image_scores
        where failure in (?, ?) and (tried < ? or tried > ?)
        order by tried, image
        limit ?
    """
    names = unmeasured_images(warehouse)
    now = datetime.now(UTC).replace(tzinfo=None)
    again = [*MAY_HEAL, now - MISSING_AGAIN, now, MISSING_AT_ONCE]
    names += [name for (name,) in warehouse.rows(missing, again)]
    projections = warehouse.projections.computed_from_image()
    done = 0
    with ThreadPoolExecutor(FETCHERS) as pool:
        for measured in _one_ahead(
            measure(log, piece, projections, pool) for piece in pieces(names, IMAGES_AT_ONCE)
        ):
            kept = [one for one in measured if not one.passing]
            for one in measured:
                report.fail(*[f"{name}: {sentence}" for name, sentence in one.failed])
                if one.passing and one.failure is not None:
                    report.fail(one.failure)
            _store_images(warehouse, kept, projections)
            report.scored_images += len(kept)
            done += len(measured)
            progress(MEASURING, done, len(names))


def _store_images(
    warehouse: Warehouse, measured: Sequence[Measured], projections: Sequence[Projection]
) -> None:
    images = [one.image for one in measured]
    moment = pa.scalar(datetime.now(UTC).replace(tzinfo=None))
    scores = measures_table(measured, projections).append_column(
        "tried", pa.repeat(moment, len(images))
    )
    with warehouse.transaction() as cursor:
        known = cursor.execute(
            "select image from image_scores where failure = ? and image in (select unnest(?))",
            [MISSING_IMAGE, images],
        ).fetchall()
        still_missing = {name for (name,) in known} & {
            one.image for one in measured if one.failure == MISSING_IMAGE
        }
        cursor.execute("delete from image_scores where image in (select unnest(?))", [images])
        _insert(cursor, "image_scores", scores)
        failed = [(one.image, *f) for one in measured for f in one.failed]
        _keep_failures(cursor, "image", images, failed)
        cursor.execute(
            f"insert into touched select record_key from records "
            f"where {quoted(IMAGE)} in (select unnest(?))",
            [[name for name in images if name not in still_missing]],
        )


def _told(report: SyncReport) -> str | None:
    """What a sync could not do, in one line; None where it did all."""
    if not report.failures:
        return None
    others = len(report.failures) - 1
    return next(iter(report.failures)) + (f" (And {others:,} more like this.)" if others else "")


class _StoppedError(Exception):
    """Ends a sync from within, between two transactions."""


class BackgroundSync:
    """Keeps a warehouse near its log from a thread of its own: every so often, and when asked.

    `report` says what the last sync did; None before the first, or where it did not succeed.
    """

    def __init__(
        self,
        log: Log,
        warehouse: Warehouse,
        seconds: float,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        """after: called in the thread when a sync has succeeded."""
        self.stage = ""
        self.done = 0
        self.total = 0
        self.running = False
        self.problem: str | None = None
        self.report: SyncReport | None = None
        self.finished: datetime | None = None
        self._log = log
        self._warehouse = warehouse
        self._seconds = seconds
        self._after = after
        self._asked = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="misread-sync", daemon=True)

    def start(self) -> None:
        """Sync at once, then every `seconds` seconds (0: only when asked)."""
        self._asked.set()
        self._thread.start()

    def ask(self) -> None:
        """Sync now, or again as soon as the running one ends."""
        self._asked.set()

    @property
    def busy(self) -> bool:
        """Whether a sync runs or is about to."""
        return self.running or self._asked.is_set()

    def stop(self) -> None:
        """End the thread soon; what was read so far is kept."""
        self._stopped.set()
        self._asked.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._asked.wait(self._seconds or None)
            self.running = not self._stopped.is_set()
            self._asked.clear()
            if self.running:
                self._sync()

    def _sync(self) -> None:
        report = None
        try:
            report = sync(self._log, self._warehouse, self._progress)
            self.problem = _told(report)
            self.finished = datetime.now(UTC)
            self._after()
        except MisreadError as error:
            self.problem = str(error)
        except _StoppedError:
            pass
        except Exception as error:  # the thread must outlive whatever one sync runs into
            self.problem = f"The sync failed: {type(error).__name__}: {error}"
        finally:
            self.report = report
            self.running = False
            self.stage = ""

    def _progress(self, stage: str, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        self.stage, self.done, self.total = stage, done, total
