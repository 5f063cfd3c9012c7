"""What a sync computes: projections of texts and images that have no value yet."""

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import pyarrow as pa

from data_access.errors import LogError
from data_access.images import UnreadableImageError, greyscale, opened
from data_access.ingest.ahead import one_ahead
from data_access.ingest.report import SyncReport
from data_access.ingest.store import (
    OF_IMAGES,
    TEXT_STAGE,
    TEXTS_AT_ONCE,
    insert,
    keep_failures,
    store_texts,
)
from data_access.log import DAMAGED_IMAGE, MISSING_IMAGE, Log
from data_access.progress import Progress
from data_access.projections.compute import compute_column
from data_access.projections.table import IMAGE, TEXT, TRUTH, Projection
from data_access.projections.values import RETRYABLE_FAILURES, image_values_schema
from data_access.sql import quoted
from data_access.warehouse import Warehouse

MISSING_AT_ONCE = 1_000  # missing images looked for again in one sync
MISSING_AGAIN = timedelta(minutes=10)
IMAGES_AT_ONCE = 256  # of one object; as many are lost where a run is killed
FETCHERS = 16  # past this obstore gains nothing on two cores
STAGE = "Scoring images"
HASHED = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.\w+)?$")  # an image named by its content

# of several objects that scored an image, the first counts
TAKEN = """
create or replace temp table taken as
select *
from logged_image_values
semi join records on records."inputs.image" = logged_image_values.image
anti join (
    select image
    from image_values
    where failure is null or failure not in (?, ?)
) as lasting using (image)
qualify row_number() over (partition by image order by object_key) = 1
"""


@dataclass(frozen=True)
class ScoredImage:
    """What was found of an image.

    sha256: of its bytes; None where they could not be had. failure: why there are no pixels.
    retryable: whether that may well be otherwise the next time. values: of each projection, NaN for
    none. failed: (projection, sentence) of what could not be computed.
    """

    image: str
    sha256: str | None
    failure: str | None
    retryable: bool
    values: list[float]
    failed: list[tuple[str, str]]

    @property
    def lasting(self) -> bool:
        """Whether any reader would find the same, now and later."""
        return self.sha256 is not None and self.failure != DAMAGED_IMAGE and not self.failed


def score_batch(
    log: Log, images: Sequence[str], projections: Sequence[Projection], pool: ThreadPoolExecutor
) -> list[ScoredImage]:
    """Fetch, open and score images by the names that records have of them."""
    return [*pool.map(lambda image: _score_image(log, image, projections), images)]


def _score_image(log: Log, image: str, projections: Sequence[Projection]) -> ScoredImage:
    nothing = [math.nan] * len(projections)
    try:
        body = log.image(image)
    except LogError as error:
        return ScoredImage(image, None, str(error), error.retryable, nothing, [])
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        with opened(body) as pixels:
            levels = greyscale(pixels)
            computed = [compute_column(row, [levels]) for row in projections]
    except UnreadableImageError as error:
        named = HASHED.search(image)
        failure = DAMAGED_IMAGE if named and named[1] != sha256 else str(error)
        return ScoredImage(image, sha256, failure, False, nothing, [])
    failed = [
        (row.name, sentence)
        for row, one in zip(projections, computed, strict=True)
        for sentence in one.failed.values()
    ]
    return ScoredImage(
        image, sha256, None, False, [float(one.values[0]) for one in computed], failed
    )


def image_values_table(
    scored: Sequence[ScoredImage], projections: Sequence[Projection]
) -> pa.Table:
    """Values with the columns of `image_values_schema`."""
    columns = {
        "image": [one.image for one in scored],
        "sha256": [one.sha256 for one in scored],
        "failure": [one.failure for one in scored],
    }
    for number, row in enumerate(projections):
        values = [one.values[number] for one in scored]
        columns[row.name] = pa.array(values, pa.float64(), from_pandas=True)
    return pa.table(columns, image_values_schema([row.name for row in projections]))


def pieces(images: Sequence[str], size: int) -> Iterator[list[str]]:
    """Images that are scored together."""
    iterator = iter(images)
    while piece := list(islice(iterator, size)):
        yield piece


def compute_texts(warehouse: Warehouse, progress: Progress, report: SyncReport) -> None:
    """Compute what has no row in `text_values`: records whose truth or projections are new."""
    unscored = "from records anti join text_values using (record_key)"
    total = warehouse.rows(f"select count(*) {unscored}")[0][0]
    asked = f"select record_key, {quoted(TEXT)}, {quoted(TRUTH)} {unscored} limit {TEXTS_AT_ONCE}"
    scored = 0
    while (texts := warehouse.table(asked)).num_rows:
        with warehouse.transaction() as cursor:
            store_texts(cursor, warehouse.projections, texts, report)
            cursor.execute(
                "insert into touched select unnest(?)", [texts["record_key"].to_pylist()]
            )
        scored += texts.num_rows
        progress(TEXT_STAGE, scored, total)


def unscored_images(warehouse: Warehouse) -> list[str]:
    """Images that nobody has scored or tried to, in the order of their names."""
    rows = warehouse.rows(
        f"""
        select distinct {quoted(IMAGE)}
        from records
        where {quoted(IMAGE)} is not null
        and {quoted(IMAGE)} not in (select image from image_values)
        order by all
        """
    )
    return [image for (image,) in rows]


def take_logged_image_values(warehouse: Warehouse, report: SyncReport) -> None:
    """Give images what objects of the log hold of them, but those that were scored here."""
    with warehouse.transaction() as cursor:
        if not cursor.execute("select 1 from logged_image_values limit 1").fetchall():
            return
        cursor.execute(TAKEN, RETRYABLE_FAILURES)
        cursor.execute("delete from image_values where image in (select image from taken)")
        [(taken,)] = cursor.execute(
            "insert into image_values by name select * exclude (object_key), "
            "object_key as found_in, ?::timestamp as tried from taken",
            [datetime.now(UTC).replace(tzinfo=None)],
        ).fetchall()
        cursor.execute(f"insert into touched {OF_IMAGES.format(images='taken')}")
    report.logged_images += taken


def compute_images(log: Log, warehouse: Warehouse, progress: Progress, report: SyncReport) -> None:
    """Score what has no row in `image_values`.

    An image that cannot be had now is left for the next sync; one that cannot be read gets a
    row with the reason. A missing or damaged one is looked for again after MISSING_AGAIN.
    """
    missing = """
        select image
        from image_values
        where failure in (?, ?) and (tried < ? or tried > ?)
        order by tried, image
        limit ?
    """
    names = unscored_images(warehouse)
    now = datetime.now(UTC).replace(tzinfo=None)
    again = [*RETRYABLE_FAILURES, now - MISSING_AGAIN, now, MISSING_AT_ONCE]
    names += [name for (name,) in warehouse.rows(missing, again)]
    projections = warehouse.projections.computed_from_image()
    done = 0
    with ThreadPoolExecutor(FETCHERS) as pool:
        for scored in one_ahead(
            score_batch(log, piece, projections, pool) for piece in pieces(names, IMAGES_AT_ONCE)
        ):
            kept = [one for one in scored if not one.retryable]
            for one in scored:
                report.fail(*[f"{name}: {sentence}" for name, sentence in one.failed])
                if one.retryable and one.failure is not None:
                    report.fail(one.failure)
            _store_images(warehouse, kept, projections)
            report.scored_images += len(kept)
            done += len(scored)
            progress(STAGE, done, len(names))


def _store_images(
    warehouse: Warehouse, scored: Sequence[ScoredImage], projections: Sequence[Projection]
) -> None:
    images = [one.image for one in scored]
    moment = pa.scalar(datetime.now(UTC).replace(tzinfo=None))
    scores = image_values_table(scored, projections).append_column(
        "tried", pa.repeat(moment, len(images))
    )
    with warehouse.transaction() as cursor:
        known = cursor.execute(
            "select image from image_values where failure = ? and image in (select unnest(?))",
            [MISSING_IMAGE, images],
        ).fetchall()
        still_missing = {name for (name,) in known} & {
            one.image for one in scored if one.failure == MISSING_IMAGE
        }
        cursor.execute("delete from image_values where image in (select unnest(?))", [images])
        insert(cursor, "image_values", scores)
        failed = [(one.image, *f) for one in scored for f in one.failed]
        keep_failures(cursor, "image", images, failed)
        cursor.execute(
            f"insert into touched select record_key from records "
            f"where {quoted(IMAGE)} in (select unnest(?))",
            [[name for name in images if name not in still_missing]],
        )
