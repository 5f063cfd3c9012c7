"""How long each page's questions take, beside the same answers worked out in pandas.

`python -m benchmarks.queries [--records N]`. Every answer is compared with that of pandas before
its time counts.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import by_pandas
from benchmarks.by_pandas import ENTROPY, FLAGS, IMAGE_MEAN, Frames
from benchmarks.synthetic import RECORDS, open_synthetic
from data_access import queries
from data_access.queries import HistogramPair
from data_access.selection import Selection
from data_access.warehouse import Warehouse

RUNS = 5
SLOW = 1.0  # seconds; what takes longer in pandas is run twice
SIZE = 24
FAR = 1000
CLOSE = 1e-9
PROD = Selection(environment=("prod",))
TEST = Selection(environment=("test",))
EXACT = ["jensen_shannon", "mean", "baseline_mean"]
RANKED = ["ks", "effect"]  # of large selections from counts by cell
BY_CELLS = 0.001
FEW = 0.1  # of p: a limit and scipy's approximation, and what BY_CELLS makes of a distance


@dataclass(frozen=True)
class Question:
    """One question: the query here, the same in pandas, and what to assert of both answers."""

    page: str
    name: str
    query: Callable[[], Any]
    ask_pandas: Callable[[], Any]
    compare: Callable[[Any, Any], None]


@dataclass(frozen=True)
class Times:
    """Seconds."""

    best: float
    middle: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=RECORDS)
    arguments.add_argument("--no-pandas", action="store_true", help="only the times of Misread")
    chosen = arguments.parse_args()
    log = open_synthetic(chosen.records)
    frames = None if chosen.no_pandas else _frames(log.warehouse)
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{chosen.records:,} records; milliseconds, best of {RUNS} (median); load {load}\n")
    print("| page | question | ms | pandas ms | times faster |\n|---|---|--:|--:|--:|")
    for question in questions(log.warehouse, frames):
        print(_row(question, *_measure(log.warehouse, question, frames is not None)), flush=True)
    log.close()


def _frames(warehouse: Warehouse) -> Frames:
    records = warehouse.stream("select * from records").read_all().to_pandas()
    return by_pandas.frames(records, warehouse.query("select * from feedback").copy())


def _measure(
    warehouse: Warehouse, question: Question, with_pandas: bool
) -> tuple[Times, Times | None]:
    """Both sides' times; the warehouse's cache of answers is empty before every run."""

    def ask_cold() -> Any:
        warehouse.refresh(changed=True)
        return question.query()

    answer, times = _timed(ask_cold)
    if not with_pandas:
        return times, None
    pandas_answer, pandas_times = _timed(question.ask_pandas)
    question.compare(answer, pandas_answer)
    return times, pandas_times


def _timed(query: Callable[[], Any]) -> tuple[Any, Times]:
    seconds: list[float] = []
    while len(seconds) < (2 if seconds and seconds[0] > SLOW else RUNS):
        started = perf_counter()
        answer = query()
        seconds.append(perf_counter() - started)
    return answer, Times(min(seconds), median(seconds))


def _row(question: Question, times: Times, pandas: Times | None) -> str:
    row = f"| {question.page} | {question.name} | {_milliseconds(times)} |"
    if pandas is None:
        return f"{row} | |"
    return f"{row} {_milliseconds(pandas)} | {pandas.best / times.best:.0f} |"


def _milliseconds(times: Times) -> str:
    return f"{times.best * 1e3:,.0f} ({times.middle * 1e3:,.0f})"


def questions(warehouse: Warehouse, loaded: Frames | None) -> list[Question]:
    """What the pages ask of production, with the test set as the baseline."""
    frames = loaded or Frames(pd.DataFrame(), pd.DataFrame())
    recent = queries.recent_window(warehouse, PROD)
    before = queries.window_before(warehouse, recent)
    key = str(queries.cases_page(warehouse, PROD, ENTROPY, True, FAR).rows["record_key"].iloc[3])
    return [
        *_overview(warehouse, frames, recent, before),
        *_distributions(warehouse, frames),
        *_cases(warehouse, frames, "Cases", PROD),
        *_case(warehouse, frames, key),
        *(_search(warehouse, frames, text) for text in ("river", "user 123")),
        _groups(warehouse, frames),
        *_narrowed(warehouse, frames, "text contains “river”", replace(PROD, text="river")),
        *_narrowed(warehouse, frames, "each image once", replace(PROD, images="once")),
    ]


def _overview(
    warehouse: Warehouse, frames: Frames, recent: Selection, before: Selection
) -> list[Question]:
    bins = queries.extents(warehouse)
    return [
        _coverage(warehouse, frames, "Overview", PROD),
        Question(
            "Overview",
            "share_changes",
            lambda: queries.share_changes(warehouse, recent, before, TEST),
            lambda: by_pandas.share_changes(frames, recent, before, TEST),
            _same_shares,
        ),
        *[_flag_trend(warehouse, frames, bucket) for bucket in ("week", "day")],
        Question(
            "Overview",
            "moves",
            lambda: queries.moves(warehouse, recent, before, 5),
            lambda: by_pandas.moves(frames, recent, before, bins, 5),
            _same_moves,
        ),
        Question(
            "Overview",
            "newest_flags",
            lambda: queries.newest_flags(warehouse, PROD, 6),
            lambda: by_pandas.newest_flags(frames, PROD, 6),
            lambda ours, theirs: _equal(
                list(zip(ours["record_key"], ours["flagged"], strict=True)), theirs
            ),
        ),
    ]


def _flag_trend(warehouse: Warehouse, frames: Frames, bucket: Any) -> Question:
    return Question(
        "Overview",
        f"flag_trend by {bucket}",
        lambda: queries.flag_trend(warehouse, PROD, bucket),
        lambda: by_pandas.flag_trend(frames, PROD, bucket),
        _same_trend,
    )


def _coverage(warehouse: Warehouse, frames: Frames, page: str, chosen: Selection) -> Question:
    return Question(
        page,
        "coverage",
        lambda: queries.coverage(warehouse, chosen),
        lambda: by_pandas.coverage(frames, chosen),
        lambda ours, theirs: _equal(list(astuple(ours)), theirs),
    )


def _distributions(warehouse: Warehouse, frames: Frames) -> list[Question]:
    bins = queries.extents(warehouse)
    return [
        _drift(warehouse, frames, "Distributions", PROD),
        Question(
            "Distributions",
            "histogram_pair, image mean",
            lambda: [queries.histogram_pair(warehouse, PROD, TEST, IMAGE_MEAN)],
            lambda: by_pandas.drift(frames, PROD, TEST, {IMAGE_MEAN: bins[IMAGE_MEAN]}),
            _same_pairs,
        ),
    ]


def _drift(warehouse: Warehouse, frames: Frames, page: str, chosen: Selection) -> Question:
    baseline = replace(TEST, images=chosen.images)
    bins = queries.extents(warehouse)

    def pairs() -> list[HistogramPair]:
        pairs = queries.histogram_pairs(warehouse, chosen, baseline)
        queries.drift_table(pairs)
        return pairs

    return Question(
        page,
        f"histogram_pairs, drift_table ({len(bins)} projections)",
        pairs,
        lambda: by_pandas.drift(frames, chosen, baseline, bins),
        _same_pairs,
    )


def _cases(warehouse: Warehouse, frames: Frames, page: str, chosen: Selection) -> list[Question]:
    return [
        _coverage(warehouse, frames, page, chosen),
        _cases_page(warehouse, frames, page, chosen, "timestamp", 0),
        _cases_page(warehouse, frames, page, chosen, ENTROPY, FAR),
    ]


def _cases_page(
    warehouse: Warehouse, frames: Frames, page: str, chosen: Selection, sort: str, number: int
) -> Question:
    total = queries.coverage(warehouse, chosen).predictions
    number = min(number, (total - 1) // SIZE)
    return Question(
        page,
        f"cases_page {number + 1:,} by {'time' if sort == 'timestamp' else 'entropy'}",
        lambda: queries.cases_page(warehouse, chosen, sort, True, number, SIZE),
        lambda: by_pandas.cases_page(frames, chosen, sort, number, SIZE),
        lambda ours, theirs: _equal(
            (ours.total, list(ours.rows["record_key"]), list(ours.rows["same_image"])), theirs
        ),
    )


def _case(warehouse: Warehouse, frames: Frames, key: str) -> list[Question]:
    case = queries.case(warehouse, key)
    assert case is not None
    bins = {row.projection.name: row.bins for row in queries.places(warehouse, TEST, case.record)}
    return [
        Question(
            "Case",
            "case",
            lambda: queries.case(warehouse, key),
            lambda: by_pandas.case(frames, key),
            lambda ours, theirs: _equal(
                (ours.record.projections[ENTROPY], len(ours.feedback), ours.same_image),
                (theirs[0][ENTROPY], theirs[1], theirs[2]),
            ),
        ),
        Question(
            "Case",
            "neighbours by entropy",
            lambda: queries.neighbours(warehouse, PROD, ENTROPY, True, key),
            lambda: by_pandas.neighbours(frames, PROD, ENTROPY, key),
            lambda ours, theirs: _equal(astuple(ours), theirs),
        ),
        Question(
            "Case",
            "places",
            lambda: queries.places(warehouse, TEST, case.record),
            lambda: by_pandas.places(frames, TEST, case.record.projections, bins),
            _same_places,
        ),
    ]


def _search(warehouse: Warehouse, frames: Frames, text: str) -> Question:
    return Question(
        "every page",
        f"search “{text}”",
        lambda: queries.search(warehouse, PROD, text),
        lambda: by_pandas.search(frames, PROD, text),
        lambda ours, theirs: _equal(
            [(match.kind, match.value, match.count) for match in ours], theirs
        ),
    )


def _groups(warehouse: Warehouse, frames: Frames) -> Question:
    category = next(
        row for row in queries.cube_categories(warehouse, PROD) if row.name == "version"
    )
    return Question(
        "Explore",
        "group_table by version, median entropy",
        lambda: queries.group_table(warehouse, PROD, category, ENTROPY),
        lambda: by_pandas.versions(frames, PROD, ENTROPY),
        _same_groups,
    )


def _narrowed(warehouse: Warehouse, frames: Frames, page: str, chosen: Selection) -> list[Question]:
    return [
        _drift(warehouse, frames, page, chosen),
        *_cases(warehouse, frames, page, chosen),
    ]


def _equal(ours: Any, theirs: Any) -> None:
    assert ours == theirs, f"{ours} is not {theirs}"


def _same_shares(ours: list[queries.ShareChange], theirs: list[list[int]]) -> None:
    shares = {s.name: [s.count, s.predictions, s.before_count, s.before_predictions] for s in ours}
    names = ["flagged", *(f"flagged {flag}" for flag in FLAGS), "low word entropy"]
    _equal([shares[name] for name in names], theirs)


def _same_trend(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    for flag in FLAGS:
        rows = ours[ours["flag"] == flag]
        _equal(list(rows["bucket"]), list(theirs.index))
        _equal(list(rows["flagged"]), list(theirs[f"flag.{flag}"]))
        _equal(list(rows["predictions"]), list(theirs["predictions"]))


def _same_pairs(ours: list[HistogramPair], theirs: pd.DataFrame) -> None:
    table = queries.drift_table(ours).set_index("projection").loc[theirs.index]
    for pair in ours:
        row = theirs.loc[pair.projection.name]
        np.testing.assert_array_equal(pair.counts, row["counts"])
        np.testing.assert_array_equal(pair.baseline_counts, row["baseline_counts"])
    for column in EXACT:
        np.testing.assert_allclose(table[column], theirs[column], rtol=CLOSE, atol=CLOSE)
    for column in RANKED:
        np.testing.assert_allclose(table[column], theirs[column], atol=BY_CELLS)
    np.testing.assert_allclose(table["p_corrected"], theirs["p_corrected"], atol=FEW)


def _same_moves(ours: list[queries.Move], theirs: tuple[list[str], pd.DataFrame]) -> None:
    names, means = theirs
    _equal([move.pair.projection.name for move in ours], names)
    for move, name in zip(ours, names, strict=True):
        np.testing.assert_allclose(move.days["mean"], means[name].dropna(), rtol=CLOSE)


def _same_groups(ours: queries.GroupTable, theirs: pd.DataFrame) -> None:
    table = theirs.loc[[group.value for group in ours.groups]]
    for column, values in (
        ("records", [group.flag_rate.count for group in ours.groups]),
        ("flagged", [group.flagged for group in ours.groups]),
        ("error", [group.error_rate.value for group in ours.groups]),
        ("median", [group.median.value for group in ours.groups]),
    ):
        np.testing.assert_allclose(values, table[column], rtol=CLOSE)


def _same_places(ours: list[queries.Place], theirs: list[tuple[np.ndarray, float]]) -> None:
    """Shares are read off 1,000 of the baseline's values, so they are a thousandth off at most."""
    for place, (counts, above) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(place.baseline_counts, counts)
        np.testing.assert_allclose(place.lower, above, atol=0.002)


if __name__ == "__main__":
    main()
