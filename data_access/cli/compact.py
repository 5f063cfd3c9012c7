"""`compact`: merge the small objects of past days."""

import sys
from datetime import UTC, datetime

import click

from data_access import api
from data_access.cli._shared import log_option
from data_access.ingest.compaction import compact
from data_access.progress import SyncBars, counted


@click.command("compact", short_help="merge the small objects of past days into Parquet")
@log_option
@click.option(
    "--before",
    metavar="DATE",
    type=click.DateTime(["%Y-%m-%d"]),
    help="only days before this one (default: today, UTC)",
)
@click.option(
    "--remove-originals",
    is_flag=True,
    help="delete the merged objects, after the one in their place was read back and compared",
)
def command(place: str | None, before: datetime | None, remove_originals: bool) -> int:
    """Merge the small objects of each folder of past days into one, so that the log stays cheap to
    list and to read. Readers see every event once, before, during and after. Can be stopped at any
    moment and run again.
    """
    log = api.open_log(place)
    day = (before or datetime.now(UTC)).date()
    with SyncBars() as bars:
        report = compact(log, day, remove_originals, bars.show)
    print(
        f"{counted(report.merged, 'object')} merged into {report.written:,}, with "
        f"{counted(report.events, 'event')}; {counted(report.removed, 'original')} removed."
    )
    if report.unreadable:
        unreadable = counted(report.unreadable, "object")
        print(f"{unreadable} left as they are: part of them is in quarantine.", file=sys.stderr)
    for failure in report.failures:
        print(failure, file=sys.stderr)
    return 1 if report.failures else 0
