"""Shares and categories counted on two sides: intervals, tests and effect sizes.

Pure: counts in. Knows nothing of records or SQL.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from data_access.statistics.significance import ENOUGH, SIGNIFICANT, Z95, Verdict

WEAK_ASSOCIATION, STRONG_ASSOCIATION = 0.1, 0.3  # of Cramér's V: small and medium, Cohen, 1988
TESTABLE = 5.0  # records expected of a value on each side; rarer ones are tested as one
TIED = 1e-9


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
    present = (counts + baseline_counts) > 0
    p, q = counts[present] / n, baseline_counts[present] / m
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


def association_verdict(association: Association, few: int, corrected_p: float) -> Verdict:
    """The comparison of a category in words; few: records of the smaller side."""
    if not few:
        return "no values"
    if few < ENOUGH or math.isnan(corrected_p):
        return "not enough data"
    if corrected_p >= SIGNIFICANT:
        return "no clear difference"
    if association.cramers_v < WEAK_ASSOCIATION:
        return "negligible difference"
    return "clearly different" if association.cramers_v >= STRONG_ASSOCIATION else "different"
