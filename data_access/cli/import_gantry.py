"""`import-gantry`: add a data frame as Gantry exported it."""

from datetime import datetime
from pathlib import Path

import click

from data_access import api
from data_access.cli._shared import IMPORT_EPILOG, csv_options, log_option, report_import
from data_access.importers import gantry
from data_access.progress import SyncBars
from data_access.records.times import parse_time


def _time(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(
    "import-gantry",
    short_help="add a data frame as Gantry exported it: .csv, .jsonl or .parquet",
    epilog=IMPORT_EPILOG,
)
@log_option
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--environment", metavar="NAME", help="of rows that name none in tags.env")
@click.option(
    "--time",
    metavar="TIME",
    callback=_time,
    help="of rows without a timestamp, ISO 8601 (default: when FILE was last changed)",
)
@csv_options
def command(
    place: str | None,
    file: Path,
    environment: str | None,
    time: datetime | None,
    encoding: str | None,
    delimiter: str | None,
) -> int:
    """Add every row of a table with columns such as inputs.image, outputs.output_text,
    feedback.flag and tags.env as a record. Columns named as calls, such as
    detoxify.obscene(outputs.output_text), are kept as scores.
    """
    log = api.open_log(place)
    with SyncBars() as bars:
        report = gantry.import_file(log, file, environment, time, bars.show, encoding, delimiter)
    return report_import(report)
