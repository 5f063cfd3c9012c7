"""`sync`: read what is new in the log and score it."""

import sys

import click

from data_access.cli._shared import log_option, opened
from data_access.progress import SyncBars, counted

MAX_FAILURES = 10  # printed


@click.command("sync", short_help="read what is new in the log and score it")
@log_option
def command(place: str | None) -> int:
    """Read new and changed objects of the log, drop deleted ones, and compute the values that are
    missing. Can be stopped at any moment and run again.
    """
    with opened(place) as log, SyncBars() as bars:
        report = log.sync(bars.show)
    known_images = (
        f" {counted(report.logged_images, 'image')} were scored before, in the log."
        if report.logged_images
        else ""
    )
    print(
        f"{counted(report.objects, 'object')} read, {report.removed:,} removed: "
        f"{counted(report.predictions, 'prediction')}, {report.feedback:,} feedback, "
        f"{report.quarantined:,} quarantined. "
        f"{counted(report.scored_texts, 'text')} and "
        f"{counted(report.scored_images, 'image')} scored.{known_images}"
    )
    for failure in list(report.failures)[:MAX_FAILURES]:
        print(failure, file=sys.stderr)
    if len(report.failures) > MAX_FAILURES:
        print(f"… and {len(report.failures) - MAX_FAILURES:,} more like these.", file=sys.stderr)
    return 1 if report.failures else 0
