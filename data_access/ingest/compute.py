"""Scoring the images that have no values yet: fetched, opened and given to every projection.

What is kept of them is left to `store`.
"""

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
from data_access.ingest.store import store_images
from data_access.log import DAMAGED_IMAGE, Log
from data_access.progress import Progress
from data_access.projections.compute import compute_column
from data_access.projections.table import IMAGE, Projection
from data_access.projections.values import IMAGES, RETRYABLE_FAILURES, values_schema
from data_access.sql import quoted
from data_access.warehouse import Warehouse

MISSING_AT_ONCE = 1_000  # missing images looked for again in one sync
MISSING_AGAIN = timedelta(minutes=10)
IMAGES_AT_ONCE = 256  # of one object; as many are lost where a run is killed
FETCHERS = 16  # past this obstore gains nothing on two cores
STAGE = "Scoring images"
HASHED = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.\w+)?$")  # an image named by its content


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
        for row, column in zip(projections, computed, strict=True)
        for sentence in column.failed.values()
    ]
    values = [float(column.values[0]) for column in computed]
    return ScoredImage(image, sha256, None, False, values, failed)


def image_values_table(
    scored: Sequence[ScoredImage], projections: Sequence[Projection]
) -> pa.Table:
    """Values with the columns of `values_schema`."""
    columns = {name: [getattr(image, name) for image in scored] for name in IMAGES.columns}
    for number, row in enumerate(projections):
        values = [image.values[number] for image in scored]
        columns[row.name] = pa.array(values, pa.float64(), from_pandas=True)
    return pa.table(columns, values_schema(IMAGES, [row.name for row in projections]))


def pieces(images: Sequence[str], size: int) -> Iterator[list[str]]:
    """Images that are scored together."""
    iterator = iter(images)
    while piece := list(islice(iterator, size)):
        yield piece


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


def compute_images(
    log: Log,
    warehouse: Warehouse,
    progress: Progress,
    report: SyncReport,
    missing_again: timedelta = MISSING_AGAIN,
) -> None:
    """Score what has no row in `image_values`.

    An image that cannot be had now is left for the next sync; one that cannot be read gets a
    row with the reason. A missing or damaged one is looked for again after missing_again.
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
    again = [*RETRYABLE_FAILURES, now - missing_again, now, MISSING_AT_ONCE]
    names += [name for (name,) in warehouse.rows(missing, again)]
    projections = warehouse.projections.computed_from_image()
    done = 0
    with ThreadPoolExecutor(FETCHERS) as pool:
        for scored in one_ahead(
            score_batch(log, piece, projections, pool) for piece in pieces(names, IMAGES_AT_ONCE)
        ):
            for image in scored:
                report.fail(*[f"{name}: {sentence}" for name, sentence in image.failed])
                if image.retryable and image.failure is not None:
                    report.fail(image.failure)
            known = [image for image in scored if not image.retryable]
            failed = [(image.image, *failure) for image in known for failure in image.failed]
            store_images(warehouse, image_values_table(known, projections), failed)
            report.scored_images += len(known)
            done += len(scored)
            progress(STAGE, done, len(names))
