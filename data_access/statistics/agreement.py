"""How far reviewers agree: Cohen's κ, Krippendorff's α and positive agreement, with intervals.

Pure: judgements in. κ and α collapse where a mode is rare, so positive agreement stands beside
them. Intervals are a bootstrap's over whole records, drawn with a fixed seed.
"""

import math
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1_000
ENOUGH_RECORDS = 10


@dataclass(frozen=True)
class Agreed:
    """A measure of agreement with its 95% interval; NaN where it says nothing."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Of records that at least two people judged: how many, and how far they agree.

    kappa: of two reviewers, NaN of more; alpha: of any number; positive: the share of times that
    one says yes in which another does too.
    """

    records: int
    kappa: Agreed
    alpha: Agreed
    positive: Agreed


def agreement(judged: np.ndarray, seed: int = 0) -> Agreement:
    """judged: shape (records, reviewers), 1 for yes, 0 for no, NaN where one did not judge.

    Sources: Cohen, 1960; Krippendorff, Content analysis, 2004 (nominal data); Cicchetti and
    Feinstein, 1990.
    """
    rows = judged[np.isfinite(judged).sum(axis=1) >= 2]
    yes = np.nansum(rows, axis=1)
    total = np.isfinite(rows).sum(axis=1)
    pairs = _pairs(rows)
    n = len(rows)
    if not n:
        nothing = Agreed(math.nan, math.nan, math.nan)
        return Agreement(0, nothing, nothing, nothing)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    weights = np.vstack([np.ones(n), draws])  # (1 + resamples, n); the first is the data itself
    measures = (
        _kappa(weights, pairs) if pairs is not None else np.full(len(weights), math.nan),
        _alpha(weights, yes, total),
        _positive(weights, yes, total),
    )
    kappa, alpha, positive = (_with_interval(values, n) for values in measures)
    return Agreement(n, kappa, alpha, positive)


def _pairs(rows: np.ndarray) -> np.ndarray | None:
    """The two judgements of each record, shape (records, 2), where there are two reviewers."""
    judging = np.isfinite(rows).any(axis=0)
    if judging.sum() != 2:
        return None
    return rows[:, judging]


def _kappa(weights: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1)
    observed = weights @ (pairs[:, 0] == pairs[:, 1]) / total
    first, second = (weights @ pairs[:, side] / total for side in (0, 1))
    expected = first * second + (1 - first) * (1 - second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1, (observed - expected) / (1 - expected), math.nan)


def _alpha(weights: np.ndarray, yes: np.ndarray, total: np.ndarray) -> np.ndarray:
    """1 − Do/De; each judgement of a record is compared with the others of that record."""
    no = total - yes
    values, positives = weights @ total, weights @ yes
    observed = weights @ (2 * yes * no / (total - 1)) / values
    expected = 2 * positives * (values - positives) / (values * (values - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - observed / expected, math.nan)


def _positive(weights: np.ndarray, yes: np.ndarray, total: np.ndarray) -> np.ndarray:
    """2a / (2a + b + c) of two reviewers; of more, over all pairs of judgements of a record."""
    both = weights @ (yes * (yes - 1) / (total - 1))
    either = weights @ yes
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(either > 0, both / either, math.nan)


def _with_interval(values: np.ndarray, records: int) -> Agreed:
    resampled = values[1:][np.isfinite(values[1:])]
    if math.isnan(values[0]) or records < ENOUGH_RECORDS or len(resampled) < RESAMPLES / 2:
        return Agreed(float(values[0]), math.nan, math.nan)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Agreed(float(values[0]), float(low), float(high))
