"""Statistics of two samples, and what they mean in words. Pure: arrays and counts in.

Knows nothing of records or SQL.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import kolmogorov, ndtri

Z95 = float(ndtri(0.975))
ENOUGH = 30  # values on each side; with fewer, only a huge difference could be told from chance
NEGLIGIBLE = 0.147  # of Cliff's delta: Romano et al., 2006
LARGE = 0.474
OTHER_SHAPE = 0.1  # Kolmogorov–Smirnov distance from which shapes differ visibly
SIGNIFICANT = 0.05

Verdict = Literal[
    "no values",
    "too few to say",
    "no difference to speak of",
    "no clear difference",
    "lower",
    "higher",
    "clearly lower",
    "clearly higher",
    "different shape",
]


@dataclass(frozen=True)
class Drift:
    """How one sample differs from its baseline.

    ks: Kolmogorov–Smirnov distance, the largest gap between the two distribution functions.
    p: its asymptotic two-sided p-value, not corrected.
    effect: Cliff's delta, from −1 (every value lower than every baseline value) to 1.
    effect_low, effect_high: its 95% interval.
    median, baseline_median: the middle values.
    jensen_shannon: divergence in bits over the histogram's bars, 0 to 1.
    All NaN where a side has no values.
    """

    n: int
    baseline_n: int
    mean: float
    baseline_mean: float
    median: float
    baseline_median: float
    ks: float
    p: float
    effect: float
    effect_low: float
    effect_high: float
    jensen_shannon: float


def compare(
    values: np.ndarray, baseline: np.ndarray, bars: np.ndarray, baseline_bars: np.ndarray
) -> Drift:
    """Compare ascending values, shapes (n,) and (m,), and their bar counts, shapes (bars,)."""
    n, m = len(values), len(baseline)
    mean, baseline_mean = (float(v.mean()) if len(v) else math.nan for v in (values, baseline))
    median, baseline_median = (_middle(values), _middle(baseline))
    if not n or not m:
        return Drift(n, m, mean, baseline_mean, median, baseline_median, *[math.nan] * 6)
    distance, delta, error = _rank_statistics(values, baseline)
    low, high = _delta_interval(delta, error, min(n, m))
    return Drift(
        n=n,
        baseline_n=m,
        mean=mean,
        baseline_mean=baseline_mean,
        median=median,
        baseline_median=baseline_median,
        ks=distance,
        p=float(kolmogorov(distance * math.sqrt(n * m / (n + m)))),
        effect=delta,
        effect_low=low,
        effect_high=high,
        jensen_shannon=jensen_shannon(bars, baseline_bars),
    )


def _middle(ascending: np.ndarray) -> float:
    """The median of sorted values; NaN of none."""
    if not len(ascending):
        return math.nan
    half = len(ascending) // 2
    return float(ascending[half] + ascending[-half - 1]) / 2


def _rank_statistics(values: np.ndarray, baseline: np.ndarray) -> tuple[float, float, float]:
    """Kolmogorov–Smirnov distance, Cliff's delta and its standard error.

    The share of the longer sample below each value of the shorter one gives all three; between
    two values of the shorter sample the gap is largest at one of them.
    Standard error: DeLong, DeLong and Clarke-Pearson, Biometrics 1988, from both samples'
    placements; those of the longer sample come from counting the shorter one's.
    """
    swapped = len(values) < len(baseline)
    long, short = (baseline, values) if swapped else (values, baseline)
    n, m = len(long), len(short)
    starts = np.flatnonzero(np.append(True, short[1:] != short[:-1]))
    distinct, counts = short[starts], np.diff(starts, append=m)  # (k,), (k,)
    below = np.searchsorted(long, distinct, side="left")  # (k,) of `long` strictly below
    upto = below.copy()
    tied = np.flatnonzero(below < n)
    tied = tied[long[below[tied]] == distinct[tied]]
    upto[tied] = np.searchsorted(long, distinct[tied], side="right")
    through = counts.cumsum()  # (k,) of `short` up to each distinct value
    gaps = np.concatenate([upto / n - through / m, below / n - (through - counts) / m])
    placement = (below + upto) / (2 * n)  # share of `long` under each value, ties half
    area = float(np.average(placement, weights=counts))
    short_variance = float(np.average((placement - area) ** 2, weights=counts)) * m / max(m - 1, 1)
    # values of `long`: equal to a distinct value, or strictly between two of them
    ties = upto - below
    between = np.diff(np.concatenate([[0], np.ravel([below, upto], order="F"), [n]]))[::2]
    above = np.concatenate([[1.0], 1 - through / m])  # share of `short` over each gap
    spread = float((between * (above - area) ** 2).sum())
    spread += float((ties * (1 - (through - counts / 2) / m - area) ** 2).sum())
    long_variance = spread / max(n - 1, 1)
    error = 2 * math.sqrt(short_variance / m + long_variance / n)
    higher = 2 * area - 1  # of the shorter sample over the longer one
    return float(np.abs(gaps).max()), higher if swapped else -higher, error


def _delta_interval(delta: float, error: float, few: int) -> tuple[float, float]:
    """95% interval of Cliff's delta on the scale of Fisher's z, which keeps it inside −1 and 1.

    Where the samples do not overlap, the standard error is 0 and says nothing: the limit is then
    what `few` independent values on one side would show by chance in one case of forty. NaN for
    a sample of one value.
    """
    if few < 2:
        return math.nan, math.nan
    if abs(delta) >= 1:
        limit = 2 * 0.025 ** (1 / few) - 1
        return (limit, 1.0) if delta > 0 else (-1.0, -limit)
    centre, half = math.atanh(delta), Z95 * error / (1 - delta * delta)
    return math.tanh(centre - half), math.tanh(centre + half)


def jensen_shannon(counts: np.ndarray, baseline_counts: np.ndarray) -> float:
    """Jensen–Shannon divergence in bits of two histograms over the same bars; NaN if empty.

    Source: Lin, Divergence measures based on the Shannon entropy, 1991.
    """
    if not counts.sum() or not baseline_counts.sum():
        return math.nan
    p, q = counts / counts.sum(), baseline_counts / baseline_counts.sum()
    mixture = (p + q) / 2

    def divergence(share: np.ndarray) -> float:
        held = share > 0
        return float((share[held] * np.log2(share[held] / mixture[held])).sum())

    return (divergence(p) + divergence(q)) / 2


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """P-values, shape (n,), corrected for their number; NaN stay out of the count.

    Source: Benjamini and Hochberg, Controlling the false discovery rate, 1995.
    """
    corrected = np.full(len(p_values), np.nan)
    held = np.flatnonzero(~np.isnan(p_values))
    order = held[np.argsort(p_values[held])[::-1]]
    ranks = np.arange(len(held), 0, -1)
    corrected[order] = np.minimum.accumulate(np.minimum(1, p_values[order] * len(held) / ranks))
    return corrected


def verdict(drift: Drift, corrected_p: float) -> Verdict:
    """The comparison in words, from its size and its p-value corrected for all comparisons."""
    if not drift.n or not drift.baseline_n:
        return "no values"
    if min(drift.n, drift.baseline_n) < ENOUGH:
        return "too few to say"
    if corrected_p >= SIGNIFICANT:
        within = drift.effect_low > -NEGLIGIBLE and drift.effect_high < NEGLIGIBLE
        return "no difference to speak of" if within else "no clear difference"
    if abs(drift.effect) < NEGLIGIBLE:
        return "different shape" if drift.ks >= OTHER_SHAPE else "no difference to speak of"
    if drift.effect < 0:
        return "clearly lower" if drift.effect <= -LARGE else "lower"
    return "clearly higher" if drift.effect >= LARGE else "higher"


def wilson(count: int, total: int) -> tuple[float, float]:
    """95% interval of a share; NaN of none. Source: Wilson, 1927."""
    if not total:
        return math.nan, math.nan
    share, z2 = count / total, Z95 * Z95
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    half /= 1 + z2 / total
    return (
        0.0 if count == 0 else max(0.0, centre - half),
        1.0 if count == total else min(1.0, centre + half),
    )


def share_change(
    count: int, total: int, before_count: int, before_total: int
) -> tuple[float, float, float]:
    """Difference of two shares and its 95% interval; NaN where a side has none.

    Source: Newcombe, Interval estimation for the difference between independent proportions,
    1998, method 10.
    """
    if not total or not before_total:
        return math.nan, math.nan, math.nan
    share, before = count / total, before_count / before_total
    low, high = wilson(count, total)
    before_low, before_high = wilson(before_count, before_total)
    return (
        share - before,
        share - before - math.hypot(share - low, before_high - before),
        share - before + math.hypot(high - share, before - before_low),
    )
