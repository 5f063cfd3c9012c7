"""How a selection's projections are distributed, beside its baseline's."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data_access.projections.table import ENTROPY, IMAGE, TEXT, TRUTH, Projection
from data_access.queries.answers import row_of
from data_access.queries.counts import flags
from data_access.queries.tallies import tallies
from data_access.records import Record
from data_access.selection import ANY_FLAG, Range, Selection, source
from data_access.sql import quoted
from data_access.statistics import samples, significance
from data_access.statistics import tallied as tallied_samples
from data_access.statistics.bins import Bins, linear_bins, log_bins
from data_access.statistics.samples import Drift
from data_access.statistics.significance import Verdict
from data_access.warehouse import Warehouse

SHIFTED = ("moderately lower", "moderately higher", "clearly lower", "clearly higher")
VALUES_AT_ONCE = 20_000_000  # numbers fetched together for statistics: 160 MB
COARSEST = 0.02  # by how much a distance of distributions could be off, of large selections
LOW_QUANTILE, HIGH_QUANTILE = 0.05, 0.95


def extents(warehouse: Warehouse) -> dict[str, Bins]:
    """The bins of each projection that has values, the same whatever is selected."""
    spans = warehouse.query(
        "select name, lowest, highest, low, high from extents where lowest is not null"
    )
    return {
        name: _bins(warehouse.projections[name], *span)
        for name, *span in spans.itertuples(index=False, name=None)
    }


def _bins(projection: Projection, lowest: float, highest: float, low: float, high: float) -> Bins:
    """Bins over nearly all values; the outermost bars take what lies far outside."""
    if projection.scale == "log":
        return log_bins(max(low, lowest), highest if highest <= 3 * high else high)
    if lowest == highest:
        limits = projection.bounds
        return linear_bins(*((0.0, 1.0) if limits == (0.0, 1.0) else (lowest - 0.5, lowest + 0.5)))
    if low == high:  # nearly all are equal: show the others too
        low, high = lowest, highest
    room = high - low
    if lowest >= low - room / 2:
        low = lowest
    if highest <= high + room / 2:
        high = highest
    return linear_bins(low, high)


@dataclass(frozen=True)
class HistogramPair:
    """One projection of a selection and of its baseline, in the same bins.

    counts, baseline_counts: shape (bars,). missing: records without a value.
    """

    projection: Projection
    bins: Bins
    counts: np.ndarray
    baseline_counts: np.ndarray
    missing: int
    baseline_missing: int
    drift: Drift
    corrected_p: float
    verdict: Verdict

    @property
    def n(self) -> int:
        """How many selected records have a value."""
        return self.drift.n

    @property
    def baseline_n(self) -> int:
        return self.drift.baseline_n


def histogram_pairs(
    warehouse: Warehouse,
    selection: Selection,
    baseline: Selection,
    names: tuple[str, ...] | None = None,
) -> list[HistogramPair]:
    """A histogram pair and its drift for each projection that has values, in table order.

    P-values are corrected for the number of projections compared (Benjamini–Hochberg).
    """
    return warehouse.cached(
        ("histogram pairs", selection, baseline, names),
        lambda: _histogram_pairs(warehouse, selection, baseline, names),
    )


def _histogram_pairs(
    warehouse: Warehouse,
    selection: Selection,
    baseline: Selection,
    names: tuple[str, ...] | None,
) -> list[HistogramPair]:
    bins = extents(warehouse)
    rows = [
        row
        for row in warehouse.projections.rows
        if row.name in bins and (names is None or row.name in names)
    ]
    compared = _compared_by_cells(warehouse, selection, baseline, rows)
    exact = [row for row in rows if row.name not in compared]
    if exact:
        sides = [_ascending(warehouse, side, exact) for side in (selection, baseline)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(
                lambda row: _compare(bins[row.name], sides[0][row.name], sides[1][row.name]), exact
            )
            compared |= zip([row.name for row in exact], found, strict=True)
    drifts = [compared[row.name].drift for row in rows]
    corrected = significance.benjamini_hochberg(np.array([drift.p for drift in drifts]))
    return [
        HistogramPair(
            projection=row,
            bins=bins[row.name],
            counts=each.counts,
            baseline_counts=each.baseline_counts,
            missing=each.missing,
            baseline_missing=each.baseline_missing,
            drift=each.drift,
            corrected_p=float(p),
            verdict=samples.verdict(each.drift, float(p)),
        )
        for row, p in zip(rows, corrected, strict=True)
        for each in [compared[row.name]]
    ]


@dataclass(frozen=True)
class _Compared:
    """What a HistogramPair has of two sides."""

    counts: np.ndarray
    baseline_counts: np.ndarray
    missing: int
    baseline_missing: int
    drift: Drift


def _compared_by_cells(
    warehouse: Warehouse, selection: Selection, baseline: Selection, rows: Sequence[Projection]
) -> dict[str, _Compared]:
    """By projection, what sums of daily counts tell finely enough; all else is left out."""
    tallied = tallies(warehouse, extents(warehouse))
    if tallied is None:
        return {}
    sides = [tallied.sides(side) for side in (selection, baseline)]
    if sides[0] is None or sides[1] is None:
        return {}
    compared = {}
    for row in rows:
        one, other = sides[0][row.name], sides[1][row.name]
        ruler = one.ruler
        if tallied_samples.coarseness(one.tally, other.tally, ruler.single) <= COARSEST:
            compared[row.name] = _Compared(
                ruler.grid.count_bars(one.tally.counts),
                ruler.grid.count_bars(other.tally.counts),
                one.missing,
                other.missing,
                tallied_samples.compare(ruler.middles, ruler.grid, one.tally, other.tally),
            )
    return compared


def histogram_pair(
    warehouse: Warehouse, selection: Selection, baseline: Selection, name: str
) -> HistogramPair | None:
    """One of `histogram_pairs`, its p-value not corrected; None where it has no values at all."""
    pairs = histogram_pairs(warehouse, selection, baseline, (name,))
    return pairs[0] if pairs else None


@dataclass(frozen=True)
class _Column:
    """One projection's values, ascending, shape (n,), and how many records have none."""

    values: np.ndarray
    missing: int


def _ascending(
    warehouse: Warehouse, selection: Selection, rows: Sequence[Projection]
) -> dict[str, _Column]:
    """Sorted values of a selection, fetched for as many projections at once as fit in memory."""
    selected, params = source(selection)
    total = _count_if_many(warehouse, selected, params, VALUES_AT_ONCE // max(len(rows), 1))
    at_once = max(1, VALUES_AT_ONCE // max(total, 1))
    columns_by_name: dict[str, _Column] = {}
    for start in range(0, len(rows), at_once):
        names = [row.name for row in rows[start : start + at_once]]
        columns = ", ".join(map(quoted, names))
        table = warehouse.table(f"select {columns} from {selected}", params)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            columns_by_name |= dict(zip(names, pool.map(_sorted, table.columns), strict=True))
    return columns_by_name


def _count_if_many(warehouse: Warehouse, selected: str, params: Sequence[Any], many: int) -> int:
    """How many records are selected; all there are, where these are not many anyway."""
    total = int(row_of(warehouse, "select count(*) as n from records")["n"])
    if total > many:
        total = int(row_of(warehouse, f"select count(*) as n from {selected}", params)["n"])
    return total


def _sorted(column: pa.ChunkedArray) -> _Column:
    values = column.drop_null().to_numpy()
    if not values.flags.writeable:  # still Arrow's own memory
        values = values.copy()
    values.sort()
    return _Column(values, column.null_count)


def _compare(bins: Bins, column: _Column, baseline: _Column) -> _Compared:
    counts, baseline_counts = bins.count(column.values), bins.count(baseline.values)
    drift = samples.compare(column.values, baseline.values, counts, baseline_counts)
    return _Compared(counts, baseline_counts, column.missing, baseline.missing, drift)


def low_range(warehouse: Warehouse, baseline: Selection, name: str) -> Range | None:
    """Values under the baseline's 5th percentile; None where the baseline has none.

    Where nothing lies under it (many of the baseline share the lowest value), the lowest bar.
    """
    low = _quantile(warehouse, baseline, name, LOW_QUANTILE)
    if low is None:
        return None
    bins = extents(warehouse)[name]
    return Range(name, high=low if low > bins.edges[0] else bins.edges[1])


def high_range(warehouse: Warehouse, baseline: Selection, name: str) -> Range | None:
    """Values from the baseline's 95th percentile on; None where the baseline has none."""
    high = _quantile(warehouse, baseline, name, HIGH_QUANTILE)
    return None if high is None else Range(name, low=high)


def _quantile(
    warehouse: Warehouse, selection: Selection, name: str, quantile: float
) -> float | None:
    selected, params = source(selection)
    sql = f"select quantile_cont({quoted(name)}, ?) as value from {selected}"
    value = row_of(warehouse, sql, [quantile, *params])["value"]
    return None if pd.isna(value) else float(value)


@dataclass(frozen=True)
class Place:
    """One value of a record against its baseline's histogram, shape (bars,).

    lower, higher: the shares of baseline values that are above and below the record's.
    """

    projection: Projection
    value: float | None
    bins: Bins
    baseline_counts: np.ndarray
    lower: float
    higher: float


def places(warehouse: Warehouse, baseline: Selection, record: Record) -> list[Place]:
    """Where each projection of a record stands in the baseline, in table order; those of the truth
    only where it is known.
    """
    standings = []
    histograms = warehouse.cached(
        ("histograms", baseline), lambda: _histograms(warehouse, baseline)
    )
    for row, bins, counts, percentiles in histograms:
        value = record.projections[row.name]
        if row.source == TRUTH and record.ground_truth_string is None:
            continue
        lower = higher = math.nan
        if value is not None and len(percentiles):
            lower = 1 - np.searchsorted(percentiles, value, side="right") / len(percentiles)
            higher = np.searchsorted(percentiles, value, side="left") / len(percentiles)
        standings.append(Place(row, value, bins, counts, float(lower), float(higher)))
    return standings


def _histograms(
    warehouse: Warehouse, selection: Selection
) -> list[tuple[Projection, Bins, np.ndarray, np.ndarray]]:
    """Each projection's bins, its counts, shape (bars,), and its percentiles."""
    bins = extents(warehouse)
    rows = [row for row in warehouse.projections.rows if row.name in bins]
    columns = _ascending(warehouse, selection, rows)
    return [
        (
            row,
            bins[row.name],
            bins[row.name].count(columns[row.name].values),
            _percentiles(columns[row.name].values),
        )
        for row in rows
    ]


def _percentiles(ascending: np.ndarray) -> np.ndarray:
    """At most 1,000 of the sorted values, evenly spread: enough to say "lower than 98%"."""
    if len(ascending) <= 1000:
        return ascending
    chosen: np.ndarray = ascending[np.linspace(0, len(ascending) - 1, 1000).round().astype(int)]
    return chosen


@dataclass(frozen=True)
class Preset:
    """A filter worth one click: a range of a projection, or a flag."""

    label: str
    explanation: str
    range: Range | None = None
    flag: str | None = None

    def apply(self, selection: Selection) -> Selection:
        if self.range is not None:
            return selection.with_range(self.range)
        return selection.with_flag(self.flag or ANY_FLAG)

    def is_in(self, selection: Selection) -> bool:
        """Whether a selection has it already."""
        if self.range is not None:
            return self.range in selection.ranges
        return self.apply(selection) == selection


def presets(warehouse: Warehouse, baseline: Selection) -> list[Preset]:
    """The usual suspects, those that have values in this log."""
    bins = extents(warehouse)
    available = []
    for label, name, side in (
        ("low entropy", ENTROPY, low_range),
        ("repetitive", f"repetition({TEXT})", high_range),
        ("low confidence", "outputs.confidence", low_range),
        ("obscene", f"detoxify.obscene({TEXT})", high_range),
    ):
        limits = side(warehouse, baseline, name) if name in bins else None
        if limits is not None:
            under = "under the baseline's 5th" if limits.low is None else "over the baseline's 95th"
            words = f"{warehouse.projections[name].label} {under} percentile"
            available.append(Preset(label, words, range=limits))
    if f"polarity({IMAGE})" in bins:
        words = "images with dark ink on a light ground"
        available.append(Preset("dark on light", words, range=Range(f"polarity({IMAGE})", low=0.0)))
    if "offensive" in flags(warehouse):
        available.append(
            Preset("flagged offensive", "records that a user flagged offensive", flag="offensive")
        )
    return available
