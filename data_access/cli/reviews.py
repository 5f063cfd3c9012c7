"""`reviews`: what reviewers said, as a file."""

from pathlib import Path

import click

from data_access import queries
from data_access.cli._shared import log_option, opened, refresh_copy
from data_access.export import export_batches
from data_access.progress import counted
from data_access.selection import parse_selection


@click.group("reviews", short_help="what reviewers said: `reviews export`")
def command() -> None:
    """What reviewers said of records."""


@command.command("export", short_help="write reviews to a .csv or .parquet file")
@log_option
@click.argument("query", metavar="SELECTION")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def export_reviews(place: str | None, query: str, file: Path) -> int:
    """Write the reviews of selected records, one row a review, with the verdict of all, to a file
    that ends in .csv or .parquet. SELECTION is filters, as of `export`; "" means all records.
    """
    with opened(place) as log:
        selection = parse_selection(query, log.warehouse.projections)
        refresh_copy(log)
        count = export_batches(queries.review_batches(log.warehouse, selection), file)
    print(f"{counted(count, 'review')} written to {file}.")
    return 0
