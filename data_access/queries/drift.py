"""What differs between a selection and its baseline: the answer, the order, the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from data_access.projections.table import TRUTH, Group
from data_access.queries.distributions import SHIFTED, HistogramPair

DIFFERENT = (*SHIFTED, "different shape")
SIMILAR = ("negligible difference", "no clear difference")
ALMOST_ALL, MOST = 0.95, 0.5
GROUPS: tuple[Group, ...] = ("text", "image", "toxicity", "truth")

Gap = Literal["corrected records only", "mostly missing"]


def gap(pair: HistogramPair) -> Gap | None:
    """Why a comparison does not stand for all records; None where it does.

    Whom users correct is no random choice: what needs the truth is compared for all only where
    almost all records have one. Anything else must have a value for most records of each side.
    """
    sides = ((pair.n, pair.missing), (pair.baseline_n, pair.baseline_missing))
    lowest = min((n / (n + missing) for n, missing in sides if n + missing), default=1.0)
    if pair.projection.source == TRUTH:
        return "corrected records only" if lowest < ALMOST_ALL else None
    return "mostly missing" if lowest < MOST else None


@dataclass(frozen=True)
class Answer:
    """What differs, of the projections that stand for all records.

    different: the largest effect first. compared, too_few: how many were compared, and how many
    of these have not enough data. partial: those that were left out, see `gap`.
    """

    different: tuple[HistogramPair, ...]
    compared: int
    too_few: int
    partial: tuple[HistogramPair, ...]


def drift_answer(pairs: Sequence[HistogramPair]) -> Answer:
    """The answer that histogram pairs give."""
    compared = [pair for pair in pairs if gap(pair) is None]
    return Answer(
        different=tuple(pair for pair in by_effect(compared) if pair.verdict in DIFFERENT),
        compared=len(compared),
        too_few=sum(pair.verdict == "not enough data" for pair in compared),
        partial=tuple(pair for pair in pairs if gap(pair) is not None),
    )


@dataclass(frozen=True)
class DriftGroup:
    """Projections of one group by name, the largest effect first; similar: those that are alike."""

    name: Group
    shown: tuple[str, ...]
    similar: tuple[str, ...]


def drift_groups(pairs: Sequence[HistogramPair]) -> list[DriftGroup]:
    """Histogram pairs by group; groups without any are left out."""
    ordered = by_effect(pairs)
    groups = []
    for name in GROUPS:
        members = [pair for pair in ordered if pair.projection.group == name]
        shown = tuple(p.projection.name for p in members if p.verdict not in SIMILAR)
        similar = tuple(p.projection.name for p in members if p.verdict in SIMILAR)
        if members:
            groups.append(DriftGroup(name, shown, similar))
    return groups


def by_effect(pairs: Sequence[HistogramPair]) -> list[HistogramPair]:
    """What differs first, then by the size of the effect; what does not stand for all last."""

    def rank(pair: HistogramPair) -> tuple[bool, bool, float]:
        effect = abs(pair.drift.effect)
        return gap(pair) is not None, pair.verdict not in DIFFERENT, -(effect if effect > 0 else 0)

    return sorted(pairs, key=rank)


def drift_table(pairs: Sequence[HistogramPair]) -> pd.DataFrame:
    """Histogram pairs as a table in the order of `by_effect`; gap: see `gap`."""
    ordered = by_effect(pairs)
    return pd.DataFrame(
        {
            "projection": [pair.projection.name for pair in ordered],
            "verdict": [pair.verdict for pair in ordered],
            "gap": [gap(pair) for pair in ordered],
            "effect": [pair.drift.effect for pair in ordered],
            "effect_low": [pair.drift.effect_low for pair in ordered],
            "effect_high": [pair.drift.effect_high for pair in ordered],
            "ks": [pair.drift.ks for pair in ordered],
            "jensen_shannon": [pair.drift.jensen_shannon for pair in ordered],
            "psi": [pair.drift.psi for pair in ordered],
            "p_corrected": [pair.corrected_p for pair in ordered],
            "n": [pair.n for pair in ordered],
            "baseline_n": [pair.baseline_n for pair in ordered],
            "mean": [pair.drift.mean for pair in ordered],
            "baseline_mean": [pair.drift.baseline_mean for pair in ordered],
            "mean_change": [pair.drift.mean_change.by for pair in ordered],
            "mean_change_low": [pair.drift.mean_change.low for pair in ordered],
            "mean_change_high": [pair.drift.mean_change.high for pair in ordered],
            "median": [pair.drift.median for pair in ordered],
            "baseline_median": [pair.drift.baseline_median for pair in ordered],
            "median_change": [pair.drift.median_change.by for pair in ordered],
            "median_change_low": [pair.drift.median_change.low for pair in ordered],
            "median_change_high": [pair.drift.median_change.high for pair in ordered],
        }
    )
