"""`export`: write the records of a selection to a file."""

from pathlib import Path

import click
from tqdm import tqdm

from data_access import queries
from data_access.cli._shared import log_option, opened, refresh_copy
from data_access.errors import MisreadError
from data_access.export import export
from data_access.progress import counted
from data_access.selection import parse_selection

EPILOG = """\b
A selection is written as the dashboard's address writes it; paste the whole address if you like.
  python -m data_access export "environment=prod&flag=incorrect&flag=offensive" flagged.csv
  python -m data_access export "since=2026-09-01&until=2026-09-30" september.parquet
  python -m data_access export "entropy(outputs.output_text)=..2.5" gibberish.csv

\b
filters: environment, version, application, since, until, hour (0 to 23, UTC), weekday, around
(HH:MM, UTC), flag (* for any, - for none), without_flag, truth, comment, user, text, word,
without_word, tag=NAME:VALUE (- for none), tag_range=NAME:LOW..HIGH, record_key, image_name,
image_state (readable, unreadable, none), mode (- for none), without_mode, review (reviewed,
unreviewed, right, wrong, disputed), reviewer, images=once, and ranges LOW..HIGH (HIGH excluded) of
any projection, or none for records without a value.
"""


@click.command(
    "export",
    short_help="write the records of a selection to a .csv or .parquet file",
    epilog=EPILOG,
)
@log_option
@click.argument("query", metavar="SELECTION")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
def command(place: str | None, query: str, file: Path) -> int:
    """Write the records of a selection to a file that ends in .csv or .parquet, as of the last
    sync. SELECTION is filters; "" means all records. In CSV, texts that a spreadsheet would run as
    formulas get a leading apostrophe.
    """
    with opened(place) as log:
        selection = parse_selection(query, log.warehouse.projections)
        refresh_copy(log)
        if queries.status(log.warehouse).synced is None:
            raise MisreadError(
                f"Nothing of this log is in {log.warehouse.path} yet: "
                "run `python -m data_access sync` first."
            )
        total = queries.coverage(log.warehouse, selection).predictions
        with tqdm(total=total, unit=" records", disable=None) as bar:
            count = export(log.warehouse, selection, file, bar.update)
    print(f"{counted(count, 'record')} written to {file}.")
    return 0
