"""Rates measured by reviewing a random draw, their differences, and what more reviews would bring.

Pure: counts in. A rate is put together from strata by the method of variance estimates recovery
(Zou and Donner, Construction of confidence limits about effect measures, 2008): each stratum's
exact limits (Clopper and Pearson, 1934), narrowed where much of a finite population was seen, give
those of the weighted sum, and those of two rates give those of their difference as Newcombe's
method 10 (1998) does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincinv

from data_access.statistics.rates import wilson

TAIL = 0.025  # of a 95% interval
TAIL_OF_STRATA = 0.02  # with 0.025, sums of strata with few errors covered 92.8% in places
FEWEST = 5  # reviewed on each side, or a difference is "not enough data"
MOST_MORE = 100_000


@dataclass(frozen=True)
class Stratum:
    """count of the `total` reviewed records; of `population` records, which weigh `weight`."""

    weight: float
    count: int
    total: int
    population: float


@dataclass(frozen=True)
class Rate:
    """A share with its 95% interval, of `total` reviewed records; NaN of none.

    count: reviewed records that have it, without weights.
    """

    share: float
    low: float
    high: float
    count: int
    total: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def exact(count: int, total: int, tail: float = TAIL) -> tuple[float, float]:
    """95% interval of a share; NaN of none. Source: Clopper and Pearson, 1934."""
    if not total:
        return math.nan, math.nan
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1 - tail))
    return low, high


def simple(count: int, total: int, population: float = math.inf) -> Rate:
    """The rate of a draw without strata."""
    return rate([Stratum(1.0, count, total, population)])


def rate(strata: Sequence[Stratum]) -> Rate:
    """The weighted sum of the strata's shares; those without a review leave their weight to others.

    Weights are those of the strata in the population, what the inverse inclusion probabilities of
    their records add up to.
    """
    seen = [stratum for stratum in strata if stratum.total]
    whole = sum(stratum.weight for stratum in seen)
    if not seen or whole <= 0:
        return Rate(math.nan, math.nan, math.nan, 0, 0)
    tail = TAIL if len(seen) == 1 else TAIL_OF_STRATA
    share = below = above = 0.0
    for stratum in seen:
        weight = stratum.weight / whole
        own = stratum.count / stratum.total
        low, high = exact(stratum.count, stratum.total, tail)
        narrowed = _unseen(stratum)
        share += weight * own
        below += narrowed * (weight * (own - low)) ** 2
        above += narrowed * (weight * (high - own)) ** 2
    count, total = (sum(getattr(part, name) for part in seen) for name in ("count", "total"))
    return Rate(
        float(share),
        max(0.0, float(share - math.sqrt(below))),
        min(1.0, float(share + math.sqrt(above))),
        count,
        total,
    )


def _unseen(stratum: Stratum) -> float:
    """What the variance is multiplied by, as part of a finite population was seen."""
    if math.isinf(stratum.population) or stratum.population <= 1:
        return 1.0
    return max(0.0, (stratum.population - stratum.total) / (stratum.population - 1))


def difference(after: Rate, before: Rate) -> tuple[float, float, float]:
    """after − before with its 95% interval; NaN where a side has no review.

    Source: Newcombe, Interval estimation for the difference between independent proportions, 1998.
    """
    if not after.total or not before.total:
        return math.nan, math.nan, math.nan
    change = after.share - before.share
    return (
        change,
        max(-1.0, change - math.hypot(after.share - after.low, before.high - before.share)),
        min(1.0, change + math.hypot(after.high - after.share, before.share - before.low)),
    )


def more_needed(strata: Sequence[Stratum], half_width: float) -> int | None:
    """How many more reviews, spread as those so far, would give ± half_width; None of no review,
    0 where it is reached. At the share measured so far.
    """
    now = rate(strata)
    if not now.total:
        return None
    if now.half_width <= half_width:
        return 0
    few, many = 1.0, 2.0
    while rate(_grown(strata, many)).half_width > half_width:
        few, many = many, many * 2
        if many * now.total > MOST_MORE:
            return None
    while (many - few) * now.total > 1:
        middle = (few + many) / 2
        if rate(_grown(strata, middle)).half_width > half_width:
            few = middle
        else:
            many = middle
    return math.ceil((many - 1) * now.total)


def _grown(strata: Sequence[Stratum], factor: float) -> list[Stratum]:
    grown = []
    for part in strata:
        total = min(round(part.total * factor), part.population)
        count = round(part.count * total / part.total) if part.total else 0
        grown.append(replace(part, count=int(count), total=int(total)))
    return grown


def allocation(weights: Sequence[float], guesses: Sequence[float], size: int) -> list[int] | None:
    """How many of `size` records to draw in each stratum; None where no strata give an interval at
    least a tenth narrower than a draw from all of them.

    weights: shares of the population; guesses: the rate expected in each. Tried are shares of the
    draw as large as the strata, and in proportion to what they add to the variance (Neyman, 1934).
    """
    shares = np.array(weights) / sum(weights)
    spread = shares * np.sqrt(np.array(guesses) * (1 - np.array(guesses)))
    pooled = float(shares @ np.array(guesses))
    plain = simple(round(pooled * size), size).half_width
    best: tuple[float, list[int]] | None = None
    for parts in (shares, spread / spread.sum() if spread.sum() else shares):
        counts = [round(part * size) for part in parts]
        if min(counts) < FEWEST:
            continue
        expected = rate(
            [
                Stratum(share, round(guess * count), count, math.inf)
                for share, guess, count in zip(shares, guesses, counts, strict=True)
            ]
        ).half_width
        if expected < 0.9 * plain and (best is None or expected < best[0]):
            best = expected, counts
    return None if best is None else best[1]


@dataclass(frozen=True)
class RuleQuality:
    """How a rule fits what reviewers say: precision and recall with 95% intervals."""

    precision: Rate
    recall: Rate


def rule_quality(both: int, rule_alone: int, mode_alone: int) -> RuleQuality:
    """both: reviewed records that fit the rule and have the mode, and so on."""
    return RuleQuality(_by_wilson(both, both + rule_alone), _by_wilson(both, both + mode_alone))


def _by_wilson(count: int, total: int) -> Rate:
    low, high = wilson(count, total)
    return Rate(count / total if total else math.nan, low, high, count, total)
