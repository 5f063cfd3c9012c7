"""Scoring images: each is fetched, opened, and given to every projection of images.

The same batch function for a sync, for `score` and for the workers of a cluster. `score` puts what
it scores into the log, where every reader finds it; a run can be killed at any moment and the
next one goes on.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from data_access import queries
from data_access.ingest.compute import (
    FETCHERS,
    IMAGES_AT_ONCE,
    STAGE,
    image_values_table,
    pieces,
    score_batch,
    unscored_images,
)
from data_access.log import Log
from data_access.progress import Progress, silent
from data_access.projections.table import IMAGE, ProjectionTable
from data_access.projections.values import image_values_version, put_values
from data_access.warehouse import Warehouse


@dataclass
class ImageScoringReport:
    """What one run did. scored: images whose values are new in the log, `known` of them by a
    sync before. left: images that could not be had or not be scored whole; syncs look again.
    """

    scored: int = 0
    known: int = 0
    left: int = 0
    objects: int = 0

    def add(self, other: "ImageScoringReport") -> None:
        self.scored += other.scored
        self.known += other.known
        self.left += other.left
        self.objects += other.objects

    @property
    def images(self) -> int:
        return self.scored + self.left


def score_images(
    log: Log,
    warehouse: Warehouse,
    progress: Progress = silent,
    images_at_once: int = IMAGES_AT_ONCE,
) -> ImageScoringReport:
    """Score images that no object of the log has values of, and add these to the log.

    Which ones these are is what the warehouse knows; the next sync reads the values. Raises
    LogError where the log takes none; those added before stay.
    """
    report = put_known(log, warehouse, images_at_once)
    images = unscored_images(warehouse)
    progress(STAGE, 0, len(images))
    done = 0
    with ThreadPoolExecutor(FETCHERS) as pool:
        for piece in pieces(images, images_at_once):
            report.add(score_image_batch(log, piece, warehouse.projections, pool))
            done += len(piece)
            progress(STAGE, done, len(images))
    return report


def put_known(log: Log, warehouse: Warehouse, images_at_once: int) -> ImageScoringReport:
    """Add to the log what the warehouse has scored itself and no object of the log holds."""
    known = queries.images_scored_here(warehouse)
    report = ImageScoringReport(len(known), len(known))
    version = image_values_version(warehouse.projections)
    for start in range(0, len(known), images_at_once):
        report.objects += put_values(log, IMAGE, version, known.slice(start, images_at_once))
    return report


def score_image_batch(
    log: Log, images: Sequence[str], projections: ProjectionTable, pool: ThreadPoolExecutor
) -> ImageScoringReport:
    """Score images and add to the log, as one object, what any reader would find of them."""
    rows = projections.computed_from_image()
    lasting = [one for one in score_batch(log, images, rows, pool) if one.lasting]
    report = ImageScoringReport(len(lasting), left=len(images) - len(lasting))
    if lasting:
        table = image_values_table(lasting, rows)
        report.objects += put_values(log, IMAGE, image_values_version(projections), table)
    return report
