"""`publish`: write a snapshot of the warehouse into the log."""

import sys

import click

from data_access.cli._shared import log_option, opened
from data_access.ingest.snapshots import publish
from data_access.progress import SyncBars, counted


@click.command("publish", short_help="write a snapshot, from which new readers begin")
@log_option
def command(place: str | None) -> int:
    """Sync, then write the warehouse's tables into the log as Parquet. A reader that has nothing
    begins from the newest snapshot and reads only what came since. Can be stopped at any moment:
    an unfinished snapshot is not read.
    """
    with opened(place) as log:
        with SyncBars() as bars:
            report = log.sync(bars.show)
            written = publish(log.log, log.warehouse, bars.show)
        print(
            f"{counted(written.records, 'record')} in {counted(len(written.files), 'file')}, "
            f"{written.bytes / 1e6:,.1f} MB: {written.prefix}"
        )
        for failure in report.failures:
            print(failure, file=sys.stderr)
        return 1 if report.failures else 0
