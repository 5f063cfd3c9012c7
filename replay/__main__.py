"""The command line: `python -m replay SELECTION` has altered images read again, and counts."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from data_access import api, queries
from data_access.errors import MisreadError
from data_access.export import safe_csv
from data_access.progress import SyncBars
from data_access.selection import parse_selection
from readings.cache import Readings
from readings.sources import single_thread
from replay.engine import BY_VERSION, Plan, Question, Report, answer, plan, run
from replay.interventions import INTERVENTIONS
from replay.judgement import RANDOM, Outcome, outcomes

EPILOG = """
A selection is written as the dashboard's address writes it; paste the whole address if you like.
  python -m replay "environment=prod&version=v1&entropy(outputs.output_text)=..2.5"
READER is record (the own model of each record's version), v1, v2, a file of weights, https://… (an
endpoint that takes {"image": base64} and answers {"pred": text}) or module:function (from a PIL
image to its text). Readings are kept in the log under replays/, by image, intervention and reader:
nothing is read twice, by anybody, and a replay can be stopped and started again.

exit codes: 0 done; 1 done, but some images could not be read (said on standard error); 2 not done,
and why.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a selection; returns the exit code."""
    asked = _parser().parse_args(arguments)
    single_thread()
    sys.path.append(str(Path.cwd()))
    try:
        log = api.open(asked.log)
        try:
            return _replay(log, asked)
        finally:
            log.close()
    except MisreadError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was read so far is kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m replay",
        description="Alter the images of a selection, have them read again, and count what is "
        "fixed: outputs whose word entropy and confidence come back inside the baseline's range.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("selection", metavar="SELECTION", help='filters; "" means all records')
    parser.add_argument(
        "--log", metavar="PLACE", help="s3://bucket/prefix or a folder (default: MISREAD_LOG)"
    )
    parser.add_argument("--record", metavar="KEY", help="this record alone, whatever is selected")
    parser.add_argument("--baseline", metavar="NAME", help="an environment (default: test)")
    parser.add_argument(
        "--reader", metavar="READER", help=f"default: MISREAD_RECOGNIZER, or {BY_VERSION}"
    )
    parser.add_argument(
        "--images",
        metavar="N",
        type=int,
        default=100,
        help="at most so many distinct ones, drawn by their content (default: 100)",
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=[row.name for row in INTERVENTIONS],
        help="this intervention, and the unchanged image; can be given again",
    )
    parser.add_argument("--csv", metavar="FILE", type=Path, help="also write every case here")
    return parser


def _replay(log: api.OpenLog, asked: argparse.Namespace) -> int:
    with SyncBars() as bars:
        log.sync(bars.show)
    selection = parse_selection(asked.selection, log.warehouse.projections)
    reader = asked.reader or log.settings.recognizer or BY_VERSION
    question = Question(selection, reader, max(1, asked.images), asked.record)
    rows = [row for row in INTERVENTIONS if not asked.only or row.control or row.name in asked.only]
    name = asked.baseline or queries.usual_baseline(log.warehouse, selection)
    baseline = queries.baseline(log.warehouse, selection, name)

    readings = Readings(log.log)
    planned = plan(log, question, readings, rows)
    readings.refresh(set(planned.recognizers.values()))
    planned = plan(log, question, readings, rows)
    if not planned.images:
        raise MisreadError("No record in this selection has an image that can be read.")
    report = Report()
    if planned.jobs:
        with SyncBars() as bars:
            report = run(log.log, planned.jobs, bars.show, interventions=rows)
        readings.refresh(set(planned.recognizers.values()))
    found = answer(log, question, baseline.selection, planned, readings)
    found = found[found["intervention"].isin([row.name for row in rows])]
    if asked.csv:
        asked.csv.write_bytes(safe_csv(found))
    _tell(planned, report, outcomes(found), found["record_key"].nunique())
    return 1 if report.problems or planned.unknown else 0


def _tell(planned: Plan, report: Report, found: Sequence[Outcome], cases: int) -> None:
    read = ", ".join(dict.fromkeys(reader.label for reader in planned.readers.values()))
    print(
        f"{cases:,} cases, {planned.images:,} images, read by {read or 'nobody'}: "
        f"{report.readings:,} new readings in {report.objects:,} objects.\n"
    )
    print(f"{'':<22}{'fixed':>14}{'95% interval':>16}{'changed':>9}{'worse':>7}{'error rate':>16}")
    labels = {row.name: row.label for row in INTERVENTIONS} | {RANDOM: "a random other one"}
    for one in found:
        share = "–" if math.isnan(one.low) else f"{one.low:.0%} to {one.high:.0%}"
        errors = (
            f"{one.error_before:.2f} to {one.error_after:.2f}" if one.truths else "no truth known"
        )
        print(
            f"{labels[one.intervention]:<22}{f'{one.fixed:,} of {one.outside:,}':>14}{share:>16}"
            f"{one.changed:>9,}{one.broken:>7,}{errors:>16}"
            + ("" if one.control or not one.better else "  more than the unchanged image")
        )
    for version, count in planned.unknown.items():
        print(
            f"{count:,} images of version {version} were left out: no own model has that version; "
            "choose one with --reader.",
            file=sys.stderr,
        )
    for sentence, count in list(report.counted().items())[:10]:
        print(f"{count:,} times: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
