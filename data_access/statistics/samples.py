"""Statistics of two samples, and what they mean in words. Pure: arrays and counts in.

Knows nothing of records or SQL.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import betaincinv, chdtrc, kolmogorov, ndtri, stdtrit

Z95 = float(ndtri(0.975))
ENOUGH = 30  # values on each side; with fewer, only a huge difference could be told from chance
NEGLIGIBLE = 0.147  # of Cliff's delta: Romano et al., 2006
LARGE = 0.474
OTHER_SHAPE = 0.1  # Kolmogorov–Smirnov distance from which shapes differ visibly
SIGNIFICANT = 0.05
WEAK_ASSOCIATION, STRONG_ASSOCIATION = 0.1, 0.3  # of Cramér's V: small and medium, Cohen, 1988
TESTABLE = 5.0  # records expected of a value on each side; rarer ones are tested as one
EMPTY_SHARE = 1e-4  # what the population stability index takes for a share of nothing
MEDIANS = 256  # equally likely medians of each side
TIED = 1e-9
AT_ONCE = 32_768  # ranks worked on together: as many as stay in the processor's cache

Verdict = Literal[
    "no values",
    "not enough data",
    "negligible difference",
    "no clear difference",
    "lower",
    "higher",
    "clearly lower",
    "clearly higher",
    "different shape",
    "different",
    "clearly different",
]


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


def compare(
    values: np.ndarray, baseline: np.ndarray, bars: np.ndarray, baseline_bars: np.ndarray
) -> Drift:
    """Compare ascending values, shapes (n,) and (m,), and their bar counts, shapes (bars,)."""
    n, m = len(values), len(baseline)
    mean, baseline_mean = (float(v.mean()) if len(v) else math.nan for v in (values, baseline))
    median, baseline_median = (_middle(values), _middle(baseline))
    if not n or not m:
        changes = (NO_CHANGE, NO_CHANGE)
        return Drift(n, m, mean, baseline_mean, median, baseline_median, *changes, *[math.nan] * 7)
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
        psi=stability_index(values, baseline),
        mean_change=_mean_change(values, baseline, mean - baseline_mean),
        median_change=_median_change(values, baseline, median - baseline_median),
    )


def _mean_change(values: np.ndarray, baseline: np.ndarray, by: float) -> Change:
    """Source: Welch, The generalization of Student's problem, 1947."""
    if min(len(values), len(baseline)) < 2:
        return Change(by, math.nan, math.nan)
    errors = [float(side.var(ddof=1)) / len(side) for side in (values, baseline)]
    if not sum(errors):
        return Change(by, by, by)
    freedom = sum(errors) ** 2 / sum(
        error**2 / (len(side) - 1) for error, side in zip(errors, (values, baseline), strict=True)
    )
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(sum(errors))
    return Change(by, by - half, by + half)


def _median_change(values: np.ndarray, baseline: np.ndarray, by: float) -> Change:
    """The percentile interval of the bootstrap, worked out instead of drawn.

    Source: Efron, Bootstrap methods: another look at the jackknife, 1979, section 3.
    """
    changes = np.subtract.outer(_likely_medians(values), _likely_medians(baseline)).ravel()
    tail = round(len(changes) * 0.025)
    ordered = np.partition(changes, [tail, len(changes) - 1 - tail])
    low, high = float(ordered[tail]), float(ordered[-1 - tail])
    return Change(by, min(low, by), max(high, by))


def _likely_medians(ascending: np.ndarray) -> np.ndarray:
    """Medians of resamples, equally likely, ascending, shape (MEDIANS,).

    A resample's median is the value whose rank, as a share of all, has a beta distribution.
    """
    count = len(ascending)
    shares = betaincinv((count + 1) / 2, (count + 1) / 2, (np.arange(MEDIANS) + 0.5) / MEDIANS)
    medians: np.ndarray = ascending[np.minimum((shares * count).astype(int), count - 1)]
    return medians


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
    filled = (p > 0) | (q > 0)
    p, q = (np.where(share > 0, share, EMPTY_SHARE)[filled] for share in (p, q))
    return float(((p - q) * np.log(p / q)).sum())


@dataclass(frozen=True)
class Association:
    """How the values of a category differ from the baseline's.

    chi_square: Pearson's statistic, of so many degrees of freedom; p: its p-value, not corrected.
    cramers_v: the size of the difference, from 0 to 1; v_low, v_high: its 95% interval. NaN where
    there is nothing to test.
    """

    chi_square: float
    freedom: int
    p: float
    cramers_v: float
    v_low: float
    v_high: float


NO_ASSOCIATION = Association(math.nan, 0, *[math.nan] * 4)


def associate(counts: np.ndarray, baseline_counts: np.ndarray) -> Association:
    """Test the counts of each value of a category, shapes (values,), for a difference.

    Values of which fewer than TESTABLE records would be expected on a side are one value, with the
    next rarest where they are too few together.
    Sources: Pearson, 1900; Cramér, Mathematical methods of statistics, 1946.
    """
    table = np.array([counts, baseline_counts], dtype=float)  # (2, values)
    sides = table.sum(axis=1, keepdims=True)
    if not sides.all():
        return NO_ASSOCIATION
    table = table[:, np.argsort(table.sum(axis=0))]  # the rarest value first
    totals = table.sum(axis=0)
    enough = TESTABLE * sides.sum() / sides.min()
    pooled_count = max((totals < enough).sum(), np.searchsorted(totals.cumsum(), enough) + 1)
    rare = table[:, :pooled_count].sum(axis=1)
    pooled = np.column_stack([rare, table[:, pooled_count:]])
    freedom = pooled.shape[1] - 1
    if not freedom:
        return NO_ASSOCIATION
    expected = sides * pooled.sum(axis=0) / sides.sum()
    statistic = float(((pooled - expected) ** 2 / expected).sum())
    size, low, high = cramers_v(pooled[0], pooled[1], float(sides[0, 0] / sides.sum()))
    return Association(statistic, freedom, float(chdtrc(freedom, statistic)), size, low, high)


def cramers_v(
    counts: np.ndarray, baseline_counts: np.ndarray, weight: float = 0.5
) -> tuple[float, float, float]:
    """Cramér's V of two groups' categories and its 95% interval; counts of shape (categories,).

    weight: of the first group. With the same for each, V does not depend on how many records
    there are of each; with its share of all records, V is the usual one, of chi-square. The
    interval is the delta method's, about V without what chance alone adds (Bergsma, 2013), on the
    scale of Fisher's z. NaN where a group is empty.
    """
    n, m = int(counts.sum()), int(baseline_counts.sum())
    if not n or not m:
        return math.nan, math.nan, math.nan
    held = (counts + baseline_counts) > 0
    p, q = counts[held] / n, baseline_counts[held] / m
    other = 1 - weight
    mixture = weight * p + other * q
    squared = weight * other * float(((p - q) ** 2 / mixture).sum())
    if squared >= 1 - TIED:  # no variance to go by: what so few could show by chance
        return 1.0, max(0.0, 2 * 0.025 ** (1 / min(n, m)) - 1), 1.0
    spread, freedom = weight * other * (1 / n + 1 / m), len(p) - 1
    variance = 2 * freedom * spread**2
    for size, share, slope in (
        (n, p, (p - q) * (mixture + q) / mixture**2),
        (m, q, (q - p) * (mixture + p) / mixture**2),
    ):
        slope = weight * other * slope
        variance += float((share * slope**2).sum() - (share * slope).sum() ** 2) / size
    centre = math.sqrt(max(0.0, squared - freedom * spread))
    error = math.sqrt(variance) / (2 * max(centre, math.sqrt(spread)))
    middle, half = math.atanh(centre), Z95 * error / (1 - centre * centre)
    return math.sqrt(squared), max(0.0, math.tanh(middle - half)), math.tanh(middle + half)


def association_verdict(found: Association, few: int, corrected_p: float) -> Verdict:
    """The comparison of a category in words; few: records of the smaller side."""
    if not few:
        return "no values"
    if few < ENOUGH or math.isnan(corrected_p):
        return "not enough data"
    if corrected_p >= SIGNIFICANT:
        return "no clear difference"
    if found.cramers_v < WEAK_ASSOCIATION:
        return "negligible difference"
    return "clearly different" if found.cramers_v >= STRONG_ASSOCIATION else "different"


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
        return "not enough data"
    if corrected_p >= SIGNIFICANT:
        within = drift.effect_low > -NEGLIGIBLE and drift.effect_high < NEGLIGIBLE
        return "negligible difference" if within else "no clear difference"
    if abs(drift.effect) < NEGLIGIBLE:
        return "different shape" if drift.ks >= OTHER_SHAPE else "negligible difference"
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
