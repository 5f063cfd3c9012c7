"""Measuring images: each is fetched, opened, and given to every projection of images.

The same batch function for a sync, for `score` and for the workers of a cluster. `score` puts what
it measures into the log, where every reader finds it; a run can be killed at any moment and the
next one goes on.
"""

import hashlib
import math
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from data_access import queries
from data_access.errors import LogError
from data_access.log import DAMAGED_IMAGE, Log
from data_access.measures import measures_schema, measures_version, put_measures
from data_access.progress import Progress, silent
from data_access.projections import Projection, Table, compute_column
from data_access.projections.image import UnreadableImageError, greyscale, open_image
from data_access.warehouse import Warehouse

IMAGES_AT_ONCE = 256  # of one object; as many are lost where a run is killed
FETCHERS = 16  # past this obstore gains nothing on two cores
DECODERS = 4  # images open at a time: a large one takes hundreds of megabytes
STAGE = "Measuring images"
HASHED = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.\w+)?$")  # an image named by its content

_decoding = threading.Semaphore(DECODERS)


@dataclass(frozen=True)
class Measured:
    """What was found of an image.

    sha256: of its bytes; None where they could not be had. failure: why there are no pixels.
    passing: whether that may well be otherwise the next time. values: of each projection, NaN for
    none. failed: (projection, sentence) of what could not be computed.
    """

    image: str
    sha256: str | None
    failure: str | None
    passing: bool
    values: list[float]
    failed: list[tuple[str, str]]

    @property
    def lasting(self) -> bool:
        """Whether any reader would find the same, now and later."""
        return self.sha256 is not None and self.failure != DAMAGED_IMAGE and not self.failed


@dataclass
class MeasuringReport:
    """What one run did. measured: images whose measures are new in the log, `known` of them by a
    sync before. left: images that could not be had or not be measured whole; syncs look again.
    """

    measured: int = 0
    known: int = 0
    left: int = 0
    objects: int = 0

    def add(self, other: "MeasuringReport") -> None:
        self.measured += other.measured
        self.known += other.known
        self.left += other.left
        self.objects += other.objects

    @property
    def images(self) -> int:
        return self.measured + self.left


def measure(
    log: Log, images: Sequence[str], projections: Sequence[Projection], pool: ThreadPoolExecutor
) -> list[Measured]:
    """Fetch, open and measure images by the names that records have of them."""
    return [*pool.map(lambda image: _measure(log, image, projections), images)]


def _measure(log: Log, image: str, projections: Sequence[Projection]) -> Measured:
    nothing = [math.nan] * len(projections)
    try:
        body = log.image(image)
    except LogError as error:
        return Measured(image, None, str(error), error.passing, nothing, [])
    sha256 = hashlib.sha256(body).hexdigest()
    with _decoding:
        try:
            levels = greyscale(open_image(body))
        except UnreadableImageError as error:
            named = HASHED.search(image)
            failure = DAMAGED_IMAGE if named and named[1] != sha256 else str(error)
            return Measured(image, sha256, failure, False, nothing, [])
        computed = [compute_column(row, [levels]) for row in projections]
    failed = [
        (row.name, sentence)
        for row, one in zip(projections, computed, strict=True)
        for sentence in one.failed.values()
    ]
    return Measured(image, sha256, None, False, [float(one.values[0]) for one in computed], failed)


def measures_table(measured: Sequence[Measured], projections: Sequence[Projection]) -> pa.Table:
    """Measures with the columns of `measures_schema`."""
    columns = {
        "image": [one.image for one in measured],
        "sha256": [one.sha256 for one in measured],
        "failure": [one.failure for one in measured],
    }
    for number, row in enumerate(projections):
        values = [one.values[number] for one in measured]
        columns[row.name] = pa.array(values, pa.float64(), from_pandas=True)
    return pa.table(columns, measures_schema([row.name for row in projections]))


def measure_images(
    log: Log,
    warehouse: Warehouse,
    progress: Progress = silent,
    images_at_once: int = IMAGES_AT_ONCE,
) -> MeasuringReport:
    """Measure images that no object of the log has measures of, and add these to the log.

    Which ones these are is what the warehouse knows; the next sync reads the measures. Raises
    LogError where the log takes none; those added before stay.
    """
    report = put_known(log, warehouse, images_at_once)
    images = queries.unmeasured_images(warehouse)
    progress(STAGE, 0, len(images))
    done = 0
    with ThreadPoolExecutor(FETCHERS) as pool:
        for piece in pieces(images, images_at_once):
            report.add(measure_piece(log, piece, warehouse.projections, pool))
            done += len(piece)
            progress(STAGE, done, len(images))
    return report


def put_known(log: Log, warehouse: Warehouse, images_at_once: int) -> MeasuringReport:
    """Add to the log what the warehouse has measured itself and no object of the log holds."""
    known = queries.images_measured_here(warehouse)
    report = MeasuringReport(len(known), len(known))
    wanted = measures_version(warehouse.projections)
    for start in range(0, len(known), images_at_once):
        report.objects += put_measures(log, wanted, known.slice(start, images_at_once))
    return report


def measure_piece(
    log: Log, images: Sequence[str], projections: Table, pool: ThreadPoolExecutor
) -> MeasuringReport:
    """Measure images and add to the log, as one object, what any reader would find of them."""
    rows = projections.computed_from_image()
    lasting = [one for one in measure(log, images, rows, pool) if one.lasting]
    report = MeasuringReport(len(lasting), left=len(images) - len(lasting))
    if lasting:
        table = measures_table(lasting, rows)
        report.objects += put_measures(log, measures_version(projections), table)
    return report


def pieces(images: Sequence[str], size: int) -> Iterator[list[str]]:
    """Images that are measured together."""
    iterator = iter(images)
    while piece := list(islice(iterator, size)):
        yield piece
