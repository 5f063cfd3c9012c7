"""The command line: `python -m data_access sync | score | status | compact | export | import-…`."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path

from tqdm import tqdm

from data_access import api, queries
from data_access.errors import MisreadError
from data_access.export import export
from data_access.importers import ImportReport, gantry, gradio, gradio_sheets
from data_access.ingest.compaction import compact
from data_access.log import Log
from data_access.progress import SyncBars
from data_access.scoring.images import MeasuringReport
from data_access.scoring.texts import ScoringReport
from data_access.selection import parse_selection
from data_access.times import parse_time

EPILOG = """
The log is named by --log or MISREAD_LOG: s3://bucket/prefix (credentials, profile and endpoint
from the usual AWS variables and files) or a folder of the same shape. What is read from it is
cached in a DuckDB file (MISREAD_WAREHOUSE), which can be deleted at any time.

exit codes: 0 done; 1 done, but part of the log could not be read (said on standard error);
2 not done, and why.
"""
SCORE_EPILOG = """
MODEL is bundled; one that Detoxify publishes (original, original-small, unbiased, unbiased-small,
multilingual), whose weights are downloaded once into TORCH_HOME; or the path of a checkpoint. The
scores of two models are never mixed: the pages show those of MISREAD_TOXICITY once it has as many
as any other, and name the model.
"""
IMPORT_EPILOG = """
Importing the same thing again adds nothing, so an import can be stopped and run again. Rows that
cannot be read are told on standard error with file, line and reason, and the exit code is 1.
"""
EXPORT_EPILOG = """
A selection is written as the dashboard's address writes it; paste the whole address if you like.
  python -m data_access export "environment=prod&flag=incorrect&flag=offensive" flagged.csv
  python -m data_access export "since=2026-09-01&until=2026-09-30" september.parquet
  python -m data_access export "entropy(outputs.output_text)=..2.5" gibberish.csv
filters: environment, version, application, since, until, hour (0 to 23, UTC), weekday, flag (* for
any, - for none), without_flag, text, word, without_word, tag=NAME:VALUE (- for none),
tag_range=NAME:LOW..HIGH, image_state (readable, unreadable, none), images=once, and ranges
LOW..HIGH (HIGH excluded) of any projection, or none for records without a value.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.only_adds:
            return int(asked.run(api.open_log(asked.log), asked))
        log = api.open(asked.log)
        try:
            return int(asked.run(log, asked))
        finally:
            log.close()
    except MisreadError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was done so far is kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m data_access",
        description="Read a log of predictions and flags, and answer questions about it.",
        epilog=EPILOG,
        formatter_class=plain,
    )
    parser.set_defaults(log=None, only_adds=False)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--log", metavar="PLACE", help="s3://bucket/prefix or a folder (default: MISREAD_LOG)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "sync",
        parents=[common],
        help="read what is new in the log and score it",
        description="Read new and changed objects of the log, forget removed ones, and compute "
        "the scores that are missing. Can be stopped at any moment and run again.",
    )
    command.set_defaults(run=_sync)

    command = commands.add_parser(
        "score",
        parents=[common],
        help="score texts with Detoxify, and measure images, into the log",
        description="Give every output and every truth that has none yet the six scores of a "
        "Detoxify model, and write them into the log, where every reader finds them; or do so with "
        "the projections of every image. Can be stopped at any moment and run again; nothing is "
        "scored twice.",
        epilog=SCORE_EPILOG,
        formatter_class=plain,
    )
    command.add_argument(
        "--what",
        choices=["texts", "images", "all"],
        default="texts",
        help="images: those that would be measured by each reader for itself (default: texts)",
    )
    command.add_argument(
        "--model", metavar="MODEL", help="of texts (default: MISREAD_TOXICITY, or else bundled)"
    )
    command.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="ray: on a cluster, or on this machine's processors (needs requirements-ray.txt)",
    )
    command.add_argument(
        "--address", metavar="ADDRESS", help="of a Ray cluster (default: start one here)"
    )
    command.set_defaults(run=_score)

    command = commands.add_parser(
        "status",
        parents=[common],
        help="what has been read: predictions, flagged, unscored, quarantined",
        description="Tell what the warehouse holds of the log, as of its last sync (or as of now, "
        "where a dashboard has the warehouse and this reads into a copy).",
    )
    command.add_argument("--json", action="store_true", help="as one JSON object, for scripts")
    command.set_defaults(run=_status)

    command = commands.add_parser(
        "compact",
        parents=[common],
        help="merge the small objects of past days into Parquet",
        description="Merge the small objects of each folder of past days into one, so that the "
        "log stays cheap to list and to read. Readers see every event once, before, during and "
        "after. Can be stopped at any moment and run again.",
    )
    command.add_argument(
        "--before",
        metavar="DATE",
        type=date.fromisoformat,
        help="only days before this one (default: today, UTC)",
    )
    command.add_argument(
        "--remove-originals",
        action="store_true",
        help="delete the merged objects, after the one in their place was read back and compared",
    )
    command.set_defaults(run=_compact, only_adds=True)

    command = commands.add_parser(
        "export",
        parents=[common],
        help="write the records of a selection to a .csv or .parquet file",
        description="Write the records of a selection to a file, as of the last sync. In CSV, "
        "texts that a spreadsheet would run as formulas get a leading apostrophe.",
        epilog=EXPORT_EPILOG,
        formatter_class=plain,
    )
    command.add_argument("selection", metavar="SELECTION", help='filters; "" means all records')
    command.add_argument("file", metavar="FILE", type=Path, help="ends in .csv or .parquet")
    command.set_defaults(run=_export)

    command = commands.add_parser(
        "import-gradio",
        parents=[common],
        help="add what a Gradio app flagged into a folder",
        description="Add every row of the .csv files that Gradio 5 and 6 flag into, as a record "
        "with its image and its flag.",
        epilog=IMPORT_EPILOG,
        formatter_class=plain,
    )
    command.add_argument(
        "place", metavar="FOLDER", type=Path, help="the app's flagging_dir, or one file in it"
    )
    command.add_argument(
        "--application-folder",
        metavar="DIR",
        type=Path,
        help="the app's working directory, where images are not found below FOLDER",
    )
    command.add_argument(
        "--timezone",
        metavar="ZONE",
        help="of the app's clock, such as Europe/Berlin (default: this machine's)",
    )
    command.add_argument("--environment", default="prod", help="of the records (default: prod)")
    command.add_argument("--application", metavar="NAME", help="of the records")
    command.add_argument("--version", metavar="V", help="of the model that wrote the outputs")
    command.add_argument("--image-column", metavar="NAME", help="default: found by its files")
    command.add_argument(
        "--output-column", metavar="NAME", help="default: the other one, or output"
    )
    command.add_argument("--flag-column", metavar="NAME", default="flag", help="default: flag")
    command.add_argument(
        "--default-flag",
        metavar="LABEL",
        help="of rows without a flag, such as those of Gradio's single button (default: none)",
    )
    _add_dialect(command)
    command.set_defaults(run=_import_gradio, only_adds=True)

    command = commands.add_parser(
        "import-gantry",
        parents=[common],
        help="add a data frame as Gantry exported it: .csv, .jsonl or .parquet",
        description="Add every row of a table with columns such as inputs.image, "
        "outputs.output_text, feedback.flag and tags.env as a record. Columns named as calls, such "
        "as detoxify.obscene(outputs.output_text), are kept as scores.",
        epilog=IMPORT_EPILOG,
        formatter_class=plain,
    )
    command.add_argument("file", metavar="FILE", type=Path)
    command.add_argument("--environment", help="of rows that name none in tags.env")
    command.add_argument(
        "--time",
        type=parse_time,
        help="of rows without a timestamp, ISO 8601 (default: when FILE was last changed)",
    )
    _add_dialect(command)
    command.set_defaults(run=_import_gantry, only_adds=True)
    return parser


def _add_dialect(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--encoding", metavar="NAME", help="of CSV, such as cp1252 (default: UTF-8, or as marked)"
    )
    command.add_argument(
        "--delimiter", metavar="CHARACTER", help="of CSV, such as ; or tab (default: found)"
    )


def _sync(log: api.OpenLog, asked: argparse.Namespace) -> int:
    with SyncBars() as bars:
        report = log.sync(bars.show)
    print(
        f"{_number(report.objects, 'object')} read, {report.removed:,} removed: "
        f"{_number(report.predictions, 'prediction')}, {report.feedback:,} feedback, "
        f"{report.quarantined:,} quarantined. "
        f"{_number(report.scored_texts, 'text')} and "
        f"{_number(report.scored_images, 'image')} scored."
        + (
            f" {_number(report.found_images, 'image')} were measured before, in the log."
            if report.found_images
            else ""
        )
    )
    for failure in list(report.failures)[:10]:
        print(failure, file=sys.stderr)
    if len(report.failures) > 10:
        print(f"… and {len(report.failures) - 10:,} more like these.", file=sys.stderr)
    return 1 if report.failures else 0


def _score(log: api.OpenLog, asked: argparse.Namespace) -> int:
    if asked.model:
        log.settings = replace(log.settings, toxicity=asked.model)
    ray = asked.engine == "ray"
    if asked.what in ("images", "all"):
        with SyncBars() as bars:
            measured = log.measure(bars.show, ray=ray, address=asked.address)
        print(_told_of_images(measured))
    if asked.what in ("texts", "all"):
        with SyncBars() as bars:
            scored = log.score(bars.show, ray=ray, address=asked.address)
        print(_told_of_texts(scored))
    return 0


def _told_of_texts(report: ScoringReport) -> str:
    if not report.rows:
        return f"Nothing to score: every text has its scores by {report.model}."
    return (
        f"{_number(report.rows, 'output or truth', 'outputs and truths')} scored by "
        f"{report.model} ({_number(report.texts, 'different text')}), in "
        f"{_number(report.objects, 'object')}."
    )


def _told_of_images(report: MeasuringReport) -> str:
    if not report.images:
        return "Nothing to measure: the log has measures of every image that can be had."
    told = f"{_number(report.measured, 'image')} measured, in {_number(report.objects, 'object')}"
    told += f" ({report.known:,} of them before)." if report.known else "."
    if report.left:
        told += f" {_number(report.left, 'image')} could not be, and will be tried again."
    return told


def _bring_up_a_copy(log: api.OpenLog) -> None:
    """A copy of the warehouse may be old: read what is new before answering from it."""
    if log.warehouse.path != log.settings.warehouse:
        print("Another process has the warehouse; reading into a copy first.", file=sys.stderr)
        with SyncBars() as bars:
            log.sync(bars.show)


def _status(log: api.OpenLog, asked: argparse.Namespace) -> int:
    _bring_up_a_copy(log)
    status = queries.status(log.warehouse)
    if asked.json:
        told = {"log": log.settings.log, **asdict(status)}
        print(json.dumps(told, default=lambda moment: moment.isoformat()))
        return 0
    synced = "never; run `python -m data_access sync`" if status.synced is None else status.synced
    lines = {
        "log": log.settings.log,
        "warehouse": log.warehouse.path,
        "synced": synced,
        "predictions": f"{status.predictions:,}",
        "flagged": f"{status.flagged:,}",
        "unscored": f"{status.unscored:,}",
        "quarantined": f"{status.quarantined:,}",
        "feedback waiting for its prediction": f"{status.waiting:,}",
        "newest record": status.newest or "none",
    }
    for name, value in lines.items():
        print(f"{name + ':':<37}{value}")
    return 0


def _export(log: api.OpenLog, asked: argparse.Namespace) -> int:
    selection = parse_selection(asked.selection, log.warehouse.projections)
    _bring_up_a_copy(log)
    if queries.status(log.warehouse).synced is None:
        raise MisreadError(
            f"Nothing of this log is in {log.warehouse.path} yet: "
            "run `python -m data_access sync` first."
        )
    total = queries.coverage(log.warehouse, selection).predictions
    with tqdm(total=total, unit=" records", disable=None) as bar:
        count = export(log.warehouse, selection, asked.file, bar.update)
    print(f"{_number(count, 'record')} written to {asked.file}.")
    return 0


def _compact(log: Log, asked: argparse.Namespace) -> int:
    before = asked.before or datetime.now(UTC).date()
    with SyncBars() as bars:
        report = compact(log, before, asked.remove_originals, bars.show)
    print(
        f"{_number(report.merged, 'object')} merged into {report.written:,}, with "
        f"{_number(report.events, 'event')}; {_number(report.removed, 'original')} removed."
    )
    if report.unreadable:
        left = _number(report.unreadable, "object")
        print(f"{left} left as they are: part of them is in quarantine.", file=sys.stderr)
    for failure in report.failures:
        print(failure, file=sys.stderr)
    return 1 if report.failures else 0


def _import_gradio(log: Log, asked: argparse.Namespace) -> int:
    options = gradio.Options(
        application_folder=asked.application_folder,
        timezone=None if asked.timezone is None else gradio.zone(asked.timezone),
        environment=asked.environment,
        application=asked.application,
        version=asked.version,
        columns=gradio_sheets.Columns(
            image=asked.image_column, output=asked.output_column, flag=asked.flag_column
        ),
        default_flag=asked.default_flag,
        encoding=asked.encoding,
        delimiter=asked.delimiter,
    )
    with SyncBars() as bars:
        report = gradio.import_folder(log, asked.place, options, bars.show)
    return _imported(report)


def _import_gantry(log: Log, asked: argparse.Namespace) -> int:
    with SyncBars() as bars:
        report = gantry.import_file(
            log, asked.file, asked.environment, asked.time, bars.show,
            asked.encoding, asked.delimiter,
        )  # fmt: skip
    return _imported(report)


def _imported(report: ImportReport) -> int:
    print(
        f"{_number(report.rows, 'row')} read, {len(report.refused):,} refused. New in the log: "
        f"{_number(report.predictions_added, 'prediction')}, {report.feedback_added:,} feedback, "
        f"{_number(report.images_added, 'image')}, "
        f"{_number(report.scores_added, 'column')} of scores."
    )
    refused = report.refused + report.refused_cells
    for row in refused:
        print(row, file=sys.stderr)
    return 1 if refused else 0


def _number(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


if __name__ == "__main__":
    sys.exit(main())
