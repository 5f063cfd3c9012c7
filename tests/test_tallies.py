"""Comparisons by counts of cells give what comparisons of sorted values give."""

from dataclasses import astuple, replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from data_access import queries
from data_access.api import OpenLog
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.queries import distributions, tallies
from data_access.selection import NO_VALUE, WEEKDAYS, Range, Selection, source
from data_access.statistics import samples, tallied
from data_access.statistics.bins import linear_bins
from data_access.statistics.tallied import Grid, Tally
from tests.conftest import OpenWarehouse
from tests.samples import prediction, write

few_values = arrays.arrays(np.float64, st.integers(1, 60), elements=st.integers(-5, 5).map(float))
BINS = linear_bins(-5, 5)


def tally(grid: Grid, values: np.ndarray) -> Tally:
    counts = np.bincount(grid.cell(values), minlength=grid.cells)
    variance = float(values.var(ddof=1)) if len(values) > 1 else np.nan
    return Tally(counts, float(values.mean()), variance)


@given(few_values, few_values)
def test_where_each_value_has_a_cell_nothing_is_lost(one: np.ndarray, other: np.ndarray) -> None:
    both = np.unique(np.concatenate([one, other]))
    grid = Grid(np.unique(np.concatenate([both, BINS.edges[1:-1]])), BINS)
    middles = np.append(grid.edges[0] - 1, grid.edges)
    one, other = np.sort(one), np.sort(other)
    exact = samples.compare(one, other, BINS.count(one), BINS.count(other))
    counted = tallied.compare(middles, grid, tally(grid, one), tally(grid, other))
    flat = [
        np.array([*astuple(drift)[:6], *astuple(drift)[8:], *mean_and_median])
        for drift in (counted, exact)
        for mean_and_median in [[*astuple(drift.mean_change), *astuple(drift.median_change)]]
    ]
    np.testing.assert_allclose(flat[0], flat[1], rtol=1e-9, atol=1e-12)
    assert (grid.count_bars(tally(grid, one).counts) == BINS.count(one)).all()


def test_a_grid_shares_every_sample_evenly_and_says_how_fine_it_is() -> None:
    random = np.random.default_rng(1)
    wide = np.sort(random.normal(0, 100, 50_000))
    narrow = np.sort(np.concatenate([random.normal(0, 0.01, 5_000), np.full(5_000, 7.0)]))
    grid = Grid.of([wide, narrow], linear_bins(-300, 300))
    single = np.nextafter(np.append(-np.inf, grid.edges), np.inf) >= np.append(grid.edges, np.inf)
    sides = tally(grid, wide), tally(grid, narrow)
    coarseness = tallied.coarseness(*sides, single)
    assert 1 / tallied.CELLS < coarseness < 3 / tallied.CELLS
    middles = np.append(grid.edges[0], grid.edges)
    counted = tallied.compare(middles, grid, *sides)
    bars = [np.ones(1), np.ones(1)]
    exact = samples.compare(wide, narrow, *bars)
    assert counted.ks == pytest.approx(exact.ks, abs=coarseness)
    assert counted.effect == pytest.approx(exact.effect, abs=coarseness)


CHOSEN = [
    Selection(),
    Selection(environment=("prod",)),
    Selection(environment=("test",), version=(NO_VALUE,)),
    Selection(weekday=WEEKDAYS[:2]),
]


def test_sums_of_days_are_what_the_records_are(
    sample_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = sample_log.warehouse
    first, last = queries.time_span(warehouse, Selection()) or (None, None)
    assert first is not None and last is not None
    half = (first + (last - first) / 2).replace(hour=0, minute=0, second=0, microsecond=0)
    chosen = [*CHOSEN, Selection(since=half), Selection(until=half)]
    exact = [distributions._histogram_pairs(warehouse, one, Selection(), None) for one in chosen]
    means = queries.daily_means(warehouse, chosen[1], [pair.projection.name for pair in exact[0]])
    monkeypatch.setattr(tallies, "TALLIED_FROM", 1)
    monkeypatch.setattr(distributions, "COARSEST", 1.0)
    warehouse.announce()
    for selection, pairs in zip(chosen, exact, strict=True):
        counted = distributions._histogram_pairs(warehouse, selection, Selection(), None)
        for mine, theirs in zip(counted, pairs, strict=True):
            assert mine.projection == theirs.projection
            assert mine.counts.tolist() == theirs.counts.tolist()
            assert (mine.n, mine.missing) == (theirs.n, theirs.missing)
            for name in ("mean", "ks", "effect", "effect_low", "jensen_shannon"):
                assert getattr(mine.drift, name) == pytest.approx(
                    getattr(theirs.drift, name), abs=0.01, rel=1e-9, nan_ok=True
                ), (name, selection)
    again = queries.daily_means(warehouse, chosen[1], [pair.projection.name for pair in exact[0]])
    assert again["day"].tolist() == means["day"].tolist()
    np.testing.assert_allclose(again[means.columns].drop(columns="day"), means.drop(columns="day"))
    warehouse.announce()


@pytest.mark.parametrize(
    "selection",
    [
        Selection(flag=("incorrect",)),
        Selection(text="a"),
        Selection(images="once"),
        Selection(ranges=(Range("outputs.confidence", low=0.5),)),
        Selection(since=datetime(2026, 8, 1, 12, tzinfo=UTC)),
        Selection(hour=(3,)),
    ],
)
def test_what_cuts_a_day_or_a_place_is_no_sum(selection: Selection) -> None:
    assert not tallies.is_union_of_days(selection)
    midnight = datetime(2026, 8, 1, tzinfo=UTC)
    assert tallies.is_union_of_days(replace(Selection(), since=midnight, version=("1",)))


def test_only_days_that_changed_are_counted_anew(
    folder_log: Log, open_warehouse: OpenWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "TALLIED_FROM", 1)
    counted: list[tuple[str, str]] = []
    count = tallies._count

    def watched(warehouse, rulers, first, through, fingerprints):  # type: ignore[no-untyped-def]
        counted.append((f"{first:%d}", f"{through:%d}"))
        return count(warehouse, rulers, first, through, fingerprints)

    monkeypatch.setattr(tallies, "_count", watched)
    warehouse = open_warehouse(folder_log)
    for day in range(1, 6):
        at = f"2026-08-{day:02}T10:00:00Z"
        write(
            folder_log,
            f"predictions/date=2026-08-{day:02}/a.jsonl",
            *[prediction(f"{day}-{n}", "a word " * n, timestamp=at) for n in range(1, 9)],
        )
    sync(folder_log, warehouse)

    def days() -> int:
        found = tallies.tallies(warehouse, queries.extents(warehouse))
        assert found is not None
        sides = found.sides(Selection())
        assert sides is not None
        selected, _ = source(Selection())
        side = sides["words(outputs.output_text)"]
        total = int(warehouse.rows(f"select count(*) from {selected}")[0][0])
        assert side.tally.n + side.missing == total
        return total

    assert days() == 40
    assert counted == [("01", "05")]
    write(
        folder_log,
        "predictions/date=2026-08-03/b.json",
        prediction("later", "a word " * 4, timestamp="2026-08-03T11:00:00Z"),
    )
    sync(folder_log, warehouse)
    assert days() == 41
    assert counted[1:] == [("03", "03")]
