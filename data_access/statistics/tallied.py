"""Two samples of a number compared by how many of their values lie in each cell of a fine grid.

What `samples` says of sorted values, said of counts: at any number of values it costs the same.
All values of a cell are taken for its middle, so that ranks are exact to a cell's share.
Pure: arrays in. Knows nothing of records or SQL.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from data_access.statistics import samples
from data_access.statistics.bins import Bins
from data_access.statistics.samples import MEDIANS, NO_CHANGE, Drift

CELLS = 256  # that share a sample's values evenly, beside the edges of bars


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of a number. edges: ascending, shape (k,); cell 0 is below the first of them, cell k
    from the last on. bars: of a histogram, whose edges are among the cells'.
    """

    edges: np.ndarray
    bins: Bins

    @classmethod
    def of(cls, samples_ascending: list[np.ndarray], bins: Bins) -> "Grid":
        """A grid in which no cell has more than about one in CELLS of any of these samples.

        samples_ascending: shapes (n,); a value that a larger share has gets a cell of its own.
        """
        edges = [np.array(bins.edges[1:-1], np.float64)]
        for values in samples_ascending:
            if len(values):
                places = np.linspace(0, len(values) - 1, CELLS + 1).round().astype(int)
                cuts, repeats = np.unique(values[places], return_counts=True)
                edges += [cuts, np.nextafter(cuts[repeats > 1], np.inf)]
        return cls(np.unique(np.concatenate(edges)), bins)

    @property
    def cells(self) -> int:
        return len(self.edges) + 1

    def cell(self, values: np.ndarray) -> np.ndarray:
        """Which cell each value is in; `cells` for NaN, shape (n,)."""
        cells: np.ndarray = np.searchsorted(self.edges, values, side="right") + np.isnan(values)
        return cells

    def count_bars(self, counts: np.ndarray) -> np.ndarray:
        """Values in each bar, shape (bars,), from those in each cell, shape (cells,)."""
        starts = np.searchsorted(self.edges, self.bins.edges[1:-1], side="left") + 1
        bars: np.ndarray = np.add.reduceat(counts, np.append(0, starts))
        return bars


@dataclass(frozen=True, eq=False)
class Tally:
    """A sample by cell. counts: shape (cells,), int64; mean, variance: exact, NaN of too few."""

    counts: np.ndarray
    mean: float
    variance: float

    @property
    def n(self) -> int:
        return int(self.counts.sum())


def coarseness(one: Tally, other: Tally, single: np.ndarray) -> float:
    """By how much a distance between distribution functions can be wrong, at most.

    single: which cells have a single value, shape (cells,).
    """
    shares = [
        np.where(single, 0, side.counts).max(initial=0) / max(side.n, 1) for side in (one, other)
    ]
    return float(max(shares))


def compare(middles: np.ndarray, grid: Grid, side: Tally, baseline: Tally) -> Drift:
    """As `samples.compare`. middles: the value that each cell stands for, ascending."""
    n, m = side.n, baseline.n
    median, baseline_median = (_middle(middles, each.counts) for each in (side, baseline))
    if not n or not m:
        means = side.mean, baseline.mean
        return Drift(n, m, *means, median, baseline_median, NO_CHANGE, NO_CHANGE, *[math.nan] * 7)
    distance, delta, error = _rank_statistics(side.counts, baseline.counts)
    low, high = samples.delta_interval(delta, error, min(n, m))
    bars, baseline_bars = grid.count_bars(side.counts), grid.count_bars(baseline.counts)
    return Drift(
        n=n,
        baseline_n=m,
        mean=side.mean,
        baseline_mean=baseline.mean,
        median=median,
        baseline_median=baseline_median,
        ks=distance,
        p=samples.distance_p(distance, n, m),
        effect=delta,
        effect_low=low,
        effect_high=high,
        jensen_shannon=samples.jensen_shannon(bars, baseline_bars),
        psi=_stability_index(side.counts, baseline.counts),
        mean_change=samples.mean_change_of(
            (side.variance, n), (baseline.variance, m), side.mean - baseline.mean
        ),
        median_change=samples.median_change_of(
            _likely_medians(middles, side.counts),
            _likely_medians(middles, baseline.counts),
            median - baseline_median,
        ),
    )


def quantile(middles: np.ndarray, counts: np.ndarray, share: float) -> float:
    """NaN of no values."""
    n = int(counts.sum())
    return _at(middles, counts, np.array([round(share * (n - 1))]))[0] if n else math.nan


def _at(middles: np.ndarray, counts: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The values with these ranks, from 0."""
    values: np.ndarray = middles[np.searchsorted(np.cumsum(counts), ranks, side="right")]
    return values


def _middle(middles: np.ndarray, counts: np.ndarray) -> float:
    n = int(counts.sum())
    if not n:
        return math.nan
    low, high = _at(middles, counts, np.array([n - n // 2 - 1, n // 2]))
    return float(low + high) / 2


def _likely_medians(middles: np.ndarray, counts: np.ndarray) -> np.ndarray:
    n = int(counts.sum())
    chances = (np.arange(MEDIANS) + 0.5) / MEDIANS
    shares = betaincinv((n + 1) / 2, (n + 1) / 2, chances)
    return _at(middles, counts, np.minimum((shares * n).astype(int), n - 1))


def _rank_statistics(counts: np.ndarray, baseline: np.ndarray) -> tuple[float, float, float]:
    """Kolmogorov–Smirnov distance, Cliff's delta and its standard error, as `samples` has them."""
    upto, baseline_upto = np.cumsum(counts), np.cumsum(baseline)
    n, m = int(upto[-1]), int(baseline_upto[-1])
    distance = float(np.abs(upto / n - baseline_upto / m).max())
    below_twice = 2 * baseline_upto - baseline  # of the baseline: below and up to a cell
    area = float((below_twice * counts).sum()) / (2 * n * m)
    placement = below_twice / (2 * m) - area
    spread = float((counts * placement**2).sum())
    level = 1 - (2 * upto - counts) / (2 * n) - area
    baseline_spread = float((baseline * level**2).sum())
    error = 2 * math.sqrt(spread / max(n - 1, 1) / n + baseline_spread / max(m - 1, 1) / m)
    return distance, 2 * area - 1, error


def _stability_index(counts: np.ndarray, baseline: np.ndarray) -> float:
    """As `samples.stability_index`, whose bins begin where cells do."""
    upto, baseline_upto = np.cumsum(counts), np.cumsum(baseline)
    n, m = int(upto[-1]), int(baseline_upto[-1])
    ends = np.searchsorted(baseline_upto, np.arange(1, 10) * m // 10, side="right")  # cells
    cells, repeats = np.unique(ends, return_counts=True)

    def shares(total: int, reached: np.ndarray, own: np.ndarray) -> np.ndarray:
        below = (reached - own)[cells]
        through = reached[cells][repeats > 1]
        share: np.ndarray = np.diff(np.sort(np.concatenate([[0, total], below, through]))) / total
        return share

    return samples.stability(shares(n, upto, counts), shares(m, baseline_upto, baseline))
