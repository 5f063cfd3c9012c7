"""What several verbs share: the log they work on, and how they report."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from data_access import api
from data_access.importers import ImportReport
from data_access.progress import SyncBars, counted

IMPORT_EPILOG = """
Importing the same thing again adds nothing, so an import can be stopped and run again. Rows that
cannot be read are listed on standard error with file, line and reason, and the exit code is 1.
"""
log_option = click.option(
    "--log",
    "place",
    metavar="PLACE",
    help="s3://bucket/prefix or a folder (default: MISREAD_LOG, or what `make run` serves now)",
)


def csv_options(function: Callable[..., int]) -> Callable[..., int]:
    """How to read CSV whose dialect must be stated."""
    encoding = click.option(
        "--encoding", metavar="NAME", help="of CSV, such as cp1252 (default: UTF-8, or as marked)"
    )
    delimiter = click.option(
        "--delimiter", metavar="CHARACTER", help="of CSV, such as ; or tab (default: found)"
    )
    return encoding(delimiter(function))


@contextmanager
def opened(place: str | None) -> Iterator[api.OpenLog]:
    """The log with its warehouse. Raises MisreadError as `api.open` does."""
    log = api.open(place)
    try:
        yield log
    finally:
        log.close()


def refresh_copy(log: api.OpenLog) -> None:
    """A copy of the warehouse may be old: read what is new before answering from it."""
    if log.warehouse.path != log.settings.warehouse:
        print("Another process has the warehouse; reading into a copy first.", file=sys.stderr)
        with SyncBars() as bars:
            log.sync(bars.show)


def report_import(report: ImportReport) -> int:
    """Print what an import added and refused; returns the exit code."""
    print(
        f"{counted(report.rows, 'row')} read, {len(report.refused):,} refused. New in the log: "
        f"{counted(report.predictions_added, 'prediction')}, {report.feedback_added:,} feedback, "
        f"{counted(report.images_added, 'image')}, "
        f"{counted(report.scores_added, 'column')} of scores."
    )
    refused = report.refused + report.refused_cells
    for row in refused:
        print(row, file=sys.stderr)
    return 1 if refused else 0
