"""The command line: `python -m replay SELECTION` has altered images read again and counts fixes."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from data_access import queries
from data_access.cli import run as run_command
from data_access.cli._shared import log_option, opened
from data_access.errors import MisreadError
from data_access.export import safe_csv
from data_access.progress import SyncBars
from data_access.selection import parse_selection
from data_access.worker import use_one_thread
from readings.cache import Readings
from replay.engine import BY_VERSION, MAX_IMAGES, Plan, Question, Report, answer, plan, run
from replay.interventions import INTERVENTIONS
from replay.judgement import RANDOM, Outcome, outcomes

EPILOG = """\b
A selection is written as the dashboard's address writes it; paste the whole address if you like.
  python -m replay "environment=prod&version=v1&entropy(outputs.output_text)=..2.5"

\b
READER is record (the own model of each record's version), v1, v2, v3, a file of weights, https://…
(an endpoint that takes {"image": base64} and returns {"pred": text}) or module:function (from a PIL
image to its text). Readings are kept in the log under replays/, by image, intervention and reader:
nothing is read twice, and a replay can be stopped and started again.

\b
exit codes: 0 done; 1 done, but some images could not be read (listed on standard error); 2 failed,
with the reason.
"""


@click.command(epilog=EPILOG)
@click.argument("query", metavar="SELECTION")
@log_option
@click.option("--record", metavar="KEY", help="only this record, whatever is selected")
@click.option("--baseline", "baseline_name", metavar="NAME", help="an environment (default: test)")
@click.option("--reader", metavar="READER", help=f"default: MISREAD_RECOGNIZER, or {BY_VERSION}")
@click.option(
    "--images",
    metavar="N",
    type=click.IntRange(1, MAX_IMAGES),
    default=100,
    help=f"at most this many distinct images, a reproducible random sample (default: 100, at most "
    f"{MAX_IMAGES:,})",
)
@click.option(
    "--only",
    metavar="NAME",
    multiple=True,
    type=click.Choice([row.name for row in INTERVENTIONS]),
    help="this intervention and the unchanged image; can be repeated",
)
@click.option(
    "--csv",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="also write every trial here",
)
def replay(
    query: str,
    place: str | None,
    record: str | None,
    baseline_name: str | None,
    reader: str | None,
    images: int,
    only: tuple[str, ...],
    file: Path | None,
) -> int:
    """Alter the images of a selection, have them read again, and count what is fixed: outputs whose
    word entropy and confidence return to the baseline's range. SELECTION is filters; "" means all
    records.
    """
    use_one_thread()
    sys.path.append(str(Path.cwd()))
    with opened(place) as log:
        with SyncBars() as bars:
            log.sync(bars.show)
        selection = parse_selection(query, log.warehouse.projections)
        setting = reader or log.settings.recognizer or BY_VERSION
        question = Question(selection, setting, images, record)
        rows = [row for row in INTERVENTIONS if not only or row.control or row.name in only]
        name = baseline_name or queries.usual_baseline(log.warehouse, selection)
        baseline = queries.baseline(log.warehouse, selection, name)

        readings = Readings(log.log)
        planned = plan(log, question, readings, rows)
        readings.refresh(set(planned.recognizers.values()))
        planned = plan(log, question, readings, rows)
        if not planned.images:
            raise MisreadError("No record in this selection has an image that can be read.")
        report = Report()
        if planned.tasks:
            with SyncBars() as bars:
                report = run(log.log, planned.tasks, bars.show, interventions=rows)
            readings.refresh(set(planned.recognizers.values()))
        trials = answer(log, question, baseline.selection, planned, readings)
        trials = trials[trials["intervention"].isin([row.name for row in rows])]
        if file:
            file.write_bytes(safe_csv(trials))
        _print_outcomes(planned, report, outcomes(trials), trials["record_key"].nunique())
    return 1 if report.problems or planned.unknown else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a selection; returns the exit code."""
    when_stopped = "Stopped. Readings so far are kept."
    return run_command(replay, "python -m replay", arguments, when_stopped)


def _print_outcomes(planned: Plan, report: Report, results: Sequence[Outcome], cases: int) -> None:
    read = ", ".join(dict.fromkeys(reader.label for reader in planned.readers.values()))
    print(
        f"{cases:,} cases, {planned.images:,} images, read by {read or 'no model'}: "
        f"{report.readings:,} new readings in {report.objects:,} objects.\n"
    )
    print(f"{'':<22}{'fixed':>14}{'95% CI':>16}{'changed':>9}{'worse':>7}{'error rate':>16}")
    labels = {row.name: row.label for row in INTERVENTIONS} | {
        RANDOM: "random alteration (control)"
    }
    for outcome in results:
        share = "–" if math.isnan(outcome.low) else f"{outcome.low:.0%} to {outcome.high:.0%}"
        error_rates = f"{outcome.error_before:.2f} to {outcome.error_after:.2f}"
        fixed = f"{outcome.fixed:,} of {outcome.outside:,}"
        print(
            f"{labels[outcome.intervention]:<22}{fixed:>14}{share:>16}"
            f"{outcome.changed:>9,}{outcome.broken:>7,}"
            f"{error_rates if outcome.truths else 'no ground truth':>16}"
            + ("" if outcome.control or not outcome.better else "  more than the unchanged image")
        )
    for version, count in planned.unknown.items():
        print(
            f"{count:,} images of version {version} were left out: no own model has that version; "
            "choose a reader with --reader.",
            file=sys.stderr,
        )
    for sentence, count in list(report.counted().items())[:10]:
        print(f"{count:,} times: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
