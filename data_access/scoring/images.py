"""Scoring images for all readers: the batch function of a sync, with values added to the log.

The same for one machine and for the workers of a cluster. A run can be killed at any moment; the
next one goes on.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

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
from data_access.scoring.report import ScoringReport
from data_access.warehouse import Warehouse


def score_images(
    log: Log,
    warehouse: Warehouse,
    progress: Progress = silent,
    images_at_once: int = IMAGES_AT_ONCE,
) -> ScoringReport:
    """Score the images without values in the log, by what the warehouse knows, and add these.

    The next sync reads the values. Raises LogError where the log cannot be written; those added
    before stay.
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


def put_known(log: Log, warehouse: Warehouse, images_at_once: int) -> ScoringReport:
    """Add to the log the values that a sync has computed and no object of the log contains."""
    known = queries.images_scored_here(warehouse)
    report = ScoringReport(scored=len(known))
    version = image_values_version(warehouse.projections)
    for start in range(0, len(known), images_at_once):
        report.objects += put_values(log, IMAGE, version, known.slice(start, images_at_once))
    return report


def score_image_batch(
    log: Log, images: Sequence[str], projections: ProjectionTable, pool: ThreadPoolExecutor
) -> ScoringReport:
    """Score images and add their lasting values, which any reader would get, as one object."""
    rows = projections.computed_from_image()
    lasting = [image for image in score_batch(log, images, rows, pool) if image.lasting]
    report = ScoringReport(len(lasting), len(lasting), left=len(images) - len(lasting))
    if lasting:
        table = image_values_table(lasting, rows)
        report.objects += put_values(log, IMAGE, image_values_version(projections), table)
    return report
