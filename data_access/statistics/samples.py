"""Two samples of a number compared: their distributions, and what the difference means in words.

Pure: arrays in. Knows nothing of records or SQL.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, kolmogorov, stdtrit

from data_access.statistics.significance import ENOUGH, SIGNIFICANT, Z95, Verdict

NEGLIGIBLE = 0.147  # of Cliff's delta: Romano et al., 2006
LARGE = 0.474
OTHER_SHAPE = 0.1  # Kolmogorov–Smirnov distance from which shapes differ visibly
EMPTY_SHARE = 1e-4  # what the population stability index takes for a share of nothing
MEDIANS = 256  # equally likely medians of each side
AT_ONCE = 32_768  # ranks worked on together: as many as stay in the processor's cache


@dataclass(frozen=True)
class Change:
    """By how much something differs from the baseline, in its own unit, with its 95% interval."""

    by: float
    low: float
    high: float


@dataclass(frozen=True)
class Drift:
    """How one sample differs from its baseline.

    mean_change: with Welch's interval, NaN for one value. median_change: with a bootstrap interval.
    ks: Kolmogorov–Smirnov distance, the largest gap between the two distribution functions.
    p: its asymptotic two-sided p-value, not corrected.
    effect: Cliff's delta, from −1 (every value lower than every baseline value) to 1.
    effect_low, effect_high: its 95% interval.
    median, baseline_median: the middle values.
    jensen_shannon: divergence in bits over the histogram's bars, 0 to 1.
    psi: population stability index over the baseline's tenths; 0 for equal shares, no upper end.
    All NaN where a side has no values.
    """

    n: int
    baseline_n: int
    mean: float
    baseline_mean: float
    median: float
    baseline_median: float
    mean_change: Change
    median_change: Change
    ks: float
    p: float
    effect: float
    effect_low: float
    effect_high: float
    jensen_shannon: float
    psi: float


NO_CHANGE = Change(math.nan, math.nan, math.nan)


def distance_p(distance: float, n: int, m: int) -> float:
    """The asymptotic two-sided p-value of a Kolmogorov–Smirnov distance of n and m values."""
    return float(kolmogorov(distance * math.sqrt(n * m / (n + m))))


def compare(
    values: np.ndarray, baseline: np.ndarray, bars: np.ndarray, baseline_bars: np.ndarray
) -> Drift:
    """Compare ascending values, shapes (n,) and (m,), and their bar counts, shapes (bars,)."""
    n, m = len(values), len(baseline)
    mean, baseline_mean = (float(v.mean()) if len(v) else math.nan for v in (values, baseline))
    median, baseline_median = (middle(values), middle(baseline))
    if not n or not m:
        changes = (NO_CHANGE, NO_CHANGE)
        return Drift(n, m, mean, baseline_mean, median, baseline_median, *changes, *[math.nan] * 7)
    distance, delta, error = _rank_statistics(values, baseline)
    low, high = delta_interval(delta, error, min(n, m))
    return Drift(
        n=n,
        baseline_n=m,
        mean=mean,
        baseline_mean=baseline_mean,
        median=median,
        baseline_median=baseline_median,
        ks=distance,
        p=distance_p(distance, n, m),
        effect=delta,
        effect_low=low,
        effect_high=high,
        jensen_shannon=jensen_shannon(bars, baseline_bars),
        psi=stability_index(values, baseline),
        mean_change=mean_change(values, baseline, mean - baseline_mean),
        median_change=median_change(values, baseline, median - baseline_median),
    )


def mean_change(values: np.ndarray, baseline: np.ndarray, by: float) -> Change:
    """`mean_change_of` values, shapes (n,) and (m,)."""
    if min(len(values), len(baseline)) < 2:
        return Change(by, math.nan, math.nan)
    one, other = ((float(side.var(ddof=1)), len(side)) for side in (values, baseline))
    return mean_change_of(one, other, by)


def mean_change_of(one: tuple[float, int], other: tuple[float, int], by: float) -> Change:
    """By how much means differ, of samples given by variance and size.

    Source: Welch, The generalization of Student's problem, 1947.
    """
    if min(one[1], other[1]) < 2:
        return Change(by, math.nan, math.nan)
    errors = [variance / size for variance, size in (one, other)]
    if not sum(errors):
        return Change(by, by, by)
    freedom = sum(errors) ** 2 / sum(
        error**2 / (size - 1) for error, (_, size) in zip(errors, (one, other), strict=True)
    )
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(sum(errors))
    return Change(by, by - half, by + half)


def median_change(values: np.ndarray, baseline: np.ndarray, by: float) -> Change:
    """`median_change_of` the likely medians of ascending values."""
    return median_change_of(_likely_medians(values), _likely_medians(baseline), by)


def median_change_of(likely: np.ndarray, baseline_likely: np.ndarray, by: float) -> Change:
    """The percentile interval of the bootstrap, worked out instead of drawn.

    likely, baseline_likely: equally likely medians, shapes (MEDIANS,).
    Source: Efron, Bootstrap methods: another look at the jackknife, 1979, section 3.
    """
    changes = np.subtract.outer(likely, baseline_likely).ravel()
    tail = round(len(changes) * 0.025)
    ordered = np.partition(changes, [tail, len(changes) - 1 - tail])
    low, high = float(ordered[tail]), float(ordered[-1 - tail])
    return Change(by, min(low, by), max(high, by))


def _likely_medians(ascending: np.ndarray) -> np.ndarray:
    """Medians of resamples, equally likely, ascending, shape (MEDIANS,)."""
    return _resampled_medians(ascending, (np.arange(MEDIANS) + 0.5) / MEDIANS)


def _resampled_medians(ascending: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """What the median of a resample stays under with these chances, shapes (k,).

    A resample's median is the value whose rank, as a share of all, has a beta distribution.
    """
    count = len(ascending)
    shares = betaincinv((count + 1) / 2, (count + 1) / 2, chances)
    medians: np.ndarray = ascending[np.minimum((shares * count).astype(int), count - 1)]
    return medians


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """95% interval of a mean, shape (n,); NaN for fewer than two. Source: Student, 1908."""
    if len(values) < 2:
        return math.nan, math.nan
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, 0.975)) * error
    return mean - half, mean + half


def median_interval(ascending: np.ndarray) -> tuple[float, float]:
    """95% interval of the median of sorted values; NaN of none. By the bootstrap, as changes."""
    if not len(ascending):
        return math.nan, math.nan
    low, high = map(float, _resampled_medians(ascending, np.array([0.025, 0.975])))
    return low, high


def middle(ascending: np.ndarray) -> float:
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
    starts = np.flatnonzero(np.append(True, short[1:] != short[:-1]))  # (k,) distinct values
    ends = np.append(starts[1:], m)
    pieces = [
        (starts[i : i + AT_ONCE], ends[i : i + AT_ONCE]) for i in range(0, len(starts), AT_ONCE)
    ]
    ranks = []  # of `long`, for each distinct value: those strictly below it, and those up to it
    distance, ranked = 0.0, 0
    for before, through in pieces:
        below, upto = _ranks(long, short[before])
        ranks.append((below, upto))
        for mine, others in ((upto, through), (below, before)):
            distance = max(distance, float(np.abs(mine / n - others / m).max()))
        ranked += int(((below + upto) * (through - before)).sum())
    area = ranked / (2 * n * m)  # mean share of `long` under a value, ties half
    short_spread, long_spread, last = 0.0, 0.0, 0
    for (before, through), (below, upto) in zip(pieces, ranks, strict=True):
        placement = (below + upto) / (2 * n) - area
        short_spread += float(((through - before) * placement**2).sum())
        # values of `long`: equal to a distinct value, or strictly between two of them
        level = 1 - (before + through) / (2 * m) - area
        between = below - np.append(last, upto[:-1])
        long_spread += float(((upto - below) * level**2).sum())
        long_spread += float((between * (1 - before / m - area) ** 2).sum())
        last = int(upto[-1])
    long_spread += (n - last) * area**2
    error = 2 * math.sqrt(short_spread / max(m - 1, 1) / m + long_spread / max(n - 1, 1) / n)
    higher = 2 * area - 1  # of the shorter sample over the longer one
    return distance, higher if swapped else -higher, error


def _ranks(ascending: np.ndarray, distinct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of `ascending` are strictly below each of these values, and how many up to it."""
    below = np.searchsorted(ascending, distinct, side="left")
    upto = below.copy()
    tied = np.flatnonzero(ascending[np.minimum(below, len(ascending) - 1)] == distinct)
    upto[tied] = np.searchsorted(ascending, distinct[tied], side="right")
    return below, upto


def delta_interval(delta: float, error: float, few: int) -> tuple[float, float]:
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
        filled = share > 0
        return float((share[filled] * np.log2(share[filled] / mixture[filled])).sum())

    return (divergence(p) + divergence(q)) / 2


def stability_index(values: np.ndarray, baseline: np.ndarray) -> float:
    """Population stability index of ascending values over the tenths of a baseline's.

    A value that several tenths end at is a bin of its own. A bin that is empty on one side counts
    as EMPTY_SHARE there. Source: Siddiqi, Credit risk scorecards, 2006; it is Jeffreys'
    divergence in nats, over bins.
    """
    ends = baseline[np.arange(1, 10) * len(baseline) // 10]
    edges, repeats = np.unique(ends, return_counts=True)
    p, q = (
        np.diff(
            np.sort(
                np.concatenate(
                    [
                        [0, len(side)],
                        np.searchsorted(side, edges, side="left"),
                        np.searchsorted(side, edges[repeats > 1], side="right"),
                    ]
                )
            )
        )
        / len(side)
        for side in (values, baseline)
    )
    return stability(p, q)


def stability(p: np.ndarray, q: np.ndarray) -> float:
    """Jeffreys' divergence in nats of shares over the same bins; empty ones as EMPTY_SHARE."""
    filled = (p > 0) | (q > 0)
    p, q = (np.where(share > 0, share, EMPTY_SHARE)[filled] for share in (p, q))
    return float(((p - q) * np.log(p / q)).sum())


def verdict(drift: Drift, corrected_p: float) -> Verdict:
    """The comparison in words, from its size and its p-value corrected for all comparisons."""
    if not drift.n or not drift.baseline_n:
        return "no values"
    if min(drift.n, drift.baseline_n) < ENOUGH:
        return "not enough data"
    if corrected_p >= SIGNIFICANT:
        within = drift.effect_low > -NEGLIGIBLE and drift.effect_high < NEGLIGIBLE
        return "negligible difference" if within else "no clear difference"
    if abs(drift.effect) < NEGLIGIBLE:
        return "different shape" if drift.ks >= OTHER_SHAPE else "negligible difference"
    if drift.effect < 0:
        return "clearly lower" if drift.effect <= -LARGE else "moderately lower"
    return "clearly higher" if drift.effect >= LARGE else "moderately higher"
