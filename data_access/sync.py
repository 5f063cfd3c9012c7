"""Sync: makes the warehouse hold what the log holds, and scores what has no score yet.

Each object's rows and the mark that it was read land in one transaction, so a sync can be
killed at any moment and the next one goes on.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from data_access.errors import LogError, MisreadError
from data_access.log import MISSING_IMAGE, Log, LogObject
from data_access.projections import IMAGE, TEXT, TRUTH, Projection, compute_column
from data_access.projections.image import UnreadableImageError, greyscale, open_image
from data_access.records import (
    MAX_OBJECT_BYTES,
    Contents,
    Quarantined,
    feedback_table,
    prediction_table,
    quarantine_table,
    read_object,
)
from data_access.sql import quoted
from data_access.warehouse import Warehouse

PREFIXES = ("predictions/", "feedback/")
FETCHERS = 16  # past this obstore gains nothing on two cores
OBJECTS_AT_ONCE = 512  # of one transaction
BYTES_AT_ONCE = 64 * 1024 * 1024
DECODERS = 4  # images open at a time: a large one takes hundreds of megabytes
MISSING_AT_ONCE = 1_000  # missing images looked for again in one sync
MISSING_AGAIN = timedelta(minutes=10)
REFRESH_SECONDS = 10.0  # how often readers see what a long sync has read so far
TEXTS_AT_ONCE = 5_000
IMAGES_AT_ONCE = 256

_decoding = threading.Semaphore(DECODERS)
Item = TypeVar("Item")
Progress = Callable[[str, int, int], None]


@dataclass
class SyncReport:
    """What one sync did. `failures`: sentences and how often; what they name is tried again."""

    objects: int = 0
    removed: int = 0
    predictions: int = 0
    feedback: int = 0
    quarantined: int = 0
    scored_texts: int = 0
    scored_images: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def fail(self, *sentences: str) -> None:
        for sentence in sentences:
            self.failures[sentence] = self.failures.get(sentence, 0) + 1

    @property
    def changed(self) -> bool:
        return bool(self.objects or self.removed or self.scored_texts or self.scored_images)


def silent(stage: str, done: int, total: int) -> None:
    pass


def sync(log: Log, warehouse: Warehouse, progress: Progress = silent) -> SyncReport:
    """Read new and changed objects, forget removed ones, compute missing scores.

    progress(stage, done, total) is called as work goes on. Raises LogError where the log
    cannot be listed; the warehouse then stays as it was.
    """
    report = SyncReport()
    with warehouse.writing:
        _load(log, warehouse, progress, report)
        warehouse.refresh(changed=report.changed)
        _score_texts(warehouse, progress, report)
        warehouse.refresh()
        _score_images(log, warehouse, progress, report)
        warehouse.refresh()
        with warehouse.transaction() as cursor:
            cursor.execute("delete from meta where name = 'synced'")
            cursor.execute("insert into meta values ('synced', ?)", [datetime.now(UTC).isoformat()])
    return report


def _load(log: Log, warehouse: Warehouse, progress: Progress, report: SyncReport) -> None:
    progress("Listing the log", 0, 0)
    listed = {found.key: found for prefix in PREFIXES for found in log.list(prefix)}
    known = {
        key: (e_tag, size)
        for key, e_tag, size in warehouse.rows("select key, e_tag, size from objects")
    }
    gone = [key for key in known if key not in listed]
    new = sorted(
        (o for o in listed.values() if known.get(o.key) != (o.e_tag, o.size)), key=lambda o: o.key
    )
    if gone:
        with warehouse.transaction() as cursor:
            _forget(cursor, gone)
        report.removed += len(gone)
    done = 0
    with ThreadPoolExecutor(FETCHERS) as pool:
        shown = time.monotonic()
        for batch in _object_batches(new):
            fetched = list(pool.map(lambda found: _fetch(log, found), batch))
            _store(warehouse, fetched, report)
            done += len(batch)
            progress("Reading objects", done, len(new))
            if time.monotonic() > shown + REFRESH_SECONDS:
                warehouse.refresh()
                shown = time.monotonic()


def _object_batches(objects: Sequence[LogObject]) -> Iterator[list[LogObject]]:
    """Objects of one transaction: as many as fit in memory together."""
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


def _fetch(log: Log, found: LogObject) -> tuple[LogObject, Contents | LogError]:
    if found.size > MAX_OBJECT_BYTES:
        reason = f"the object has {found.size:,} bytes; {MAX_OBJECT_BYTES:,} can be read"
        return found, Contents(quarantined=[Quarantined(0, reason, "")])
    try:
        return found, read_object(found.key, log.get(found.key))
    except LogError as error:
        return found, error


def _store(
    warehouse: Warehouse,
    fetched: Sequence[tuple[LogObject, Contents | LogError]],
    report: SyncReport,
) -> None:
    read = [(found, held) for found, held in fetched if isinstance(held, Contents)]
    report.fail(*(str(error) for _, error in fetched if isinstance(error, LogError)))
    predictions = [(o.key, line, row) for o, held in read for line, row in held.predictions]
    feedback = [(o.key, line, row) for o, held in read for line, row in held.feedback]
    quarantined = [(o.key, row) for o, held in read for row in held.quarantined]
    with warehouse.transaction() as cursor:
        _forget(cursor, [found.key for found, _ in read])
        _insert(cursor, "predictions", prediction_table(predictions))
        _insert(cursor, "feedback", feedback_table(feedback))
        _insert(cursor, "quarantine", quarantine_table(quarantined))
        _insert(cursor, "objects", _object_table(read))
        keys = {row.record_key for _, _, row in predictions}
        truths = {row.record_key for _, _, row in feedback if row.ground_truth_string is not None}
        flagged = {row.record_key for _, _, row in feedback}
        _touch(cursor, sorted(keys | flagged), rescored=sorted(keys | truths))
    report.objects += len(read)
    report.predictions += len(predictions)
    report.feedback += len(feedback)
    report.quarantined += len(quarantined)


def _object_table(read: Sequence[tuple[LogObject, Contents]]) -> pa.Table:
    return pa.table(
        {
            "key": [found.key for found, _ in read],
            "e_tag": [found.e_tag for found, _ in read],
            "size": [found.size for found, _ in read],
            "events": [len(held.predictions) + len(held.feedback) for _, held in read],
        }
    )


def _forget(cursor: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
    """Take out all that came from these objects; its records are rewritten or vanish."""
    gone = "object_key in (select unnest(?))"
    cursor.execute(
        f"insert into touched select record_key from predictions where {gone} "
        f"union select record_key from feedback where {gone}",
        [list(keys), list(keys)],
    )
    for table in ("predictions", "feedback", "quarantine"):
        cursor.execute(f"delete from {table} where {gone}", [list(keys)])
    cursor.execute("delete from objects where key in (select unnest(?))", [list(keys)])
    cursor.execute("delete from text_scores where record_key in (select record_key from touched)")


def _touch(cursor: duckdb.DuckDBPyConnection, keys: Sequence[str], rescored: Sequence[str]) -> None:
    """Have these records rewritten, and those whose text or truth is new scored anew."""
    cursor.execute("insert into touched select unnest(?)", [keys])
    cursor.execute("delete from text_scores where record_key in (select unnest(?))", [rescored])


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
        for projection in warehouse.projections.computed_from_text():
            values, failure = _where_present(projection, inputs)
            scores[projection.name] = pa.array(values, from_pandas=True)
            if failure:
                report.fail(failure)
        with warehouse.transaction() as cursor:
            _insert(cursor, "text_scores", pa.table(scores))
            cursor.execute("insert into touched select unnest(?)", [scores["record_key"]])
        report.scored_texts += len(rows)
        progress("Scoring texts", report.scored_texts, total)


def _where_present(
    projection: Projection, inputs: Mapping[str, Sequence[str | None]]
) -> tuple[np.ndarray, str | None]:
    """Values of shape (n,), NaN where an input is missing."""
    columns = [inputs[name] for name in projection.inputs]
    present = [i for i, row in enumerate(zip(*columns, strict=True)) if None not in row]
    values = np.full(len(columns[0]), np.nan)
    failure = None
    if present:
        values[present], failure = compute_column(
            projection, *[[column[i] for i in present] for column in columns]
        )
    return values, failure


@dataclass(frozen=True)
class _Picture:
    """One fetched image: grey levels (height, width), or why there are none."""

    name: str
    sha256: str | None
    levels: np.ndarray | None
    failure: str | None


def _score_images(log: Log, warehouse: Warehouse, progress: Progress, report: SyncReport) -> None:
    """Compute what has no row in `image_scores`.

    An image that cannot be had now is left for the next sync; one that cannot be read gets a
    row with the reason. A missing one is looked for again after MISSING_AGAIN.
    """
    never = f"""
        select distinct {quoted(IMAGE)}
        from records
        where {quoted(IMAGE)} is not null
        and {quoted(IMAGE)} not in (select image from image_scores)
        order by all
    """
    missing = """
        select image
        from image_scores
        where failure = ? and tried < ?
        order by tried, image
        limit ?
    """
    names = [name for (name,) in warehouse.rows(never)]
    long_ago = datetime.now(UTC).replace(tzinfo=None) - MISSING_AGAIN
    again = [MISSING_IMAGE, long_ago, MISSING_AT_ONCE]
    names += [name for (name,) in warehouse.rows(missing, again)]
    projections = warehouse.projections.computed_from_image()
    done = 0
    with ThreadPoolExecutor(FETCHERS) as pool:
        for batch in _batches(names, IMAGES_AT_ONCE):
            scored = list(pool.map(lambda name: _score_image(log, name, projections), batch))
            kept = [(picture, values) for picture, values, _ in scored if picture is not None]
            for _, _, failures in scored:
                report.fail(*failures)
            _store_images(warehouse, kept, projections)
            report.scored_images += len(kept)
            done += len(batch)
            progress("Measuring images", done, len(names))


def _score_image(
    log: Log, name: str, projections: Sequence[Projection]
) -> tuple[_Picture | None, list[float], list[str]]:
    """The picture without its pixels (None: try again later), its values, failures to tell."""
    with _decoding:
        try:
            picture = _open_picture(log, name)
        except LogError as error:
            return None, [], [str(error)]
        if picture.levels is None:
            return picture, [float("nan")] * len(projections), []
        computed = [compute_column(row, [picture.levels]) for row in projections]
    bare = _Picture(picture.name, picture.sha256, None, picture.failure)
    return bare, [float(values[0]) for values, _ in computed], [f for _, f in computed if f]


def _open_picture(log: Log, name: str) -> _Picture:
    """Raises LogError where the store does not answer; every other failure is in the picture."""
    try:
        body = log.image(name)
    except LogError as error:
        if error.passing:
            raise
        return _Picture(name, None, None, str(error))
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        return _Picture(name, sha256, greyscale(open_image(body)), None)
    except UnreadableImageError as error:
        return _Picture(name, sha256, None, str(error))


def _store_images(
    warehouse: Warehouse,
    scored: Sequence[tuple[_Picture, list[float]]],
    projections: Sequence[Projection],
) -> None:
    scores: dict[str, Any] = {
        "image": [picture.name for picture, _ in scored],
        "sha256": pa.array([picture.sha256 for picture, _ in scored], pa.string()),
        "failure": pa.array([picture.failure for picture, _ in scored], pa.string()),
    }
    for column, row in enumerate(projections):
        values = [held[column] for _, held in scored]
        scores[row.name] = pa.array(values, pa.float64(), from_pandas=True)
    scores["tried"] = [datetime.now(UTC).replace(tzinfo=None)] * len(scored)
    with warehouse.transaction() as cursor:
        known = cursor.execute(
            "select image from image_scores where failure = ? and image in (select unnest(?))",
            [MISSING_IMAGE, scores["image"]],
        ).fetchall()
        still_missing = {name for (name,) in known} & {
            picture.name for picture, _ in scored if picture.failure == MISSING_IMAGE
        }
        cursor.execute(
            "delete from image_scores where image in (select unnest(?))", [scores["image"]]
        )
        _insert(cursor, "image_scores", pa.table(scores))
        cursor.execute(
            f"insert into touched select record_key from records "
            f"where {quoted(IMAGE)} in (select unnest(?))",
            [[name for name in scores["image"] if name not in still_missing]],
        )


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _told(report: SyncReport) -> str | None:
    """What a sync could not do, in one line; None where it did all."""
    if not report.failures:
        return None
    others = len(report.failures) - 1
    return next(iter(report.failures)) + (f" (And {others:,} more like this.)" if others else "")


class _StoppedError(Exception):
    """Ends a sync from within, between two transactions."""


class BackgroundSync:
    """Keeps a warehouse near its log from a thread of its own: every so often, and when asked."""

    def __init__(self, log: Log, warehouse: Warehouse, seconds: float) -> None:
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

    def stop(self) -> None:
        """End the thread soon; what was read so far is kept."""
        self._stopped.set()
        self._asked.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._asked.wait(self._seconds or None)
            self._asked.clear()
            if not self._stopped.is_set():
                self._sync()

    def _sync(self) -> None:
        self.running = True
        try:
            self.report = sync(self._log, self._warehouse, self._progress)
            self.problem = _told(self.report)
            self.finished = datetime.now(UTC)
        except MisreadError as error:
            self.problem = str(error)
        except _StoppedError:
            pass
        except Exception as error:  # the thread must outlive whatever one sync runs into
            self.problem = f"The sync failed: {type(error).__name__}: {error}"
        finally:
            self.running = False
            self.stage = ""

    def _progress(self, stage: str, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        self.stage, self.done, self.total = stage, done, total
