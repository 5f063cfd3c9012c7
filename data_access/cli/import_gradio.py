"""`import-gradio`: add what a Gradio app flagged into a folder."""

from pathlib import Path

import click

from data_access import api
from data_access.cli._shared import IMPORT_EPILOG, csv_options, log_option, report_import
from data_access.importers import gradio, gradio_sheets
from data_access.progress import SyncBars


@click.command(
    "import-gradio",
    short_help="add what a Gradio app flagged into a folder",
    epilog=IMPORT_EPILOG,
)
@log_option
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--application-folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="the app's working directory, where images are not found below FOLDER",
)
@click.option(
    "--timezone",
    metavar="ZONE",
    help="of the app's clock, such as Europe/Berlin (default: this machine's)",
)
@click.option(
    "--environment", metavar="NAME", default="prod", help="of the records (default: prod)"
)
@click.option("--application", metavar="NAME", help="of the records")
@click.option("--version", metavar="V", help="of the model that wrote the outputs")
@click.option("--image-column", metavar="NAME", help="default: found by its files")
@click.option("--output-column", metavar="NAME", help="default: the other one, or output")
@click.option("--flag-column", metavar="NAME", default="flag", help="default: flag")
@click.option(
    "--default-flag",
    metavar="LABEL",
    help="of rows without a flag, such as those of Gradio's single button (default: none)",
)
@csv_options
def command(
    place: str | None,
    folder: Path,
    application_folder: Path | None,
    timezone: str | None,
    environment: str,
    application: str | None,
    version: str | None,
    image_column: str | None,
    output_column: str | None,
    flag_column: str,
    default_flag: str | None,
    encoding: str | None,
    delimiter: str | None,
) -> int:
    """Add every row of the .csv files that Gradio 5 and 6 flag into, as a record with its image and
    its flag. FOLDER is the app's flagging_dir, or one file in it.
    """
    log = api.open_log(place)
    options = gradio.Options(
        application_folder=application_folder,
        timezone=None if timezone is None else gradio.zone(timezone),
        environment=environment,
        application=application,
        version=version,
        columns=gradio_sheets.Columns(image=image_column, output=output_column, flag=flag_column),
        default_flag=default_flag,
        encoding=encoding,
        delimiter=delimiter,
    )
    with SyncBars() as bars:
        report = gradio.import_folder(log, folder, options, bars.show)
    return report_import(report)
