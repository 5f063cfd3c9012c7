"""What a replay shows: which cases changed, which are fixed, and whether that could be chance.

Pure: frames and limits in, frames and numbers out.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from data_access.projections.text import character_error_rate, word_entropy
from data_access.statistics import rates, significance
from readings.answers import Reading
from readings.cache import Altered
from replay.interventions import INTERVENTIONS, NOTHING

RANDOM = "random"
CONTROLS = (NOTHING.name, RANDOM)
TRIALS = (
    "record_key", "sha256", "image", "version", "recognizer", "intervention",
    "before", "after", "truth", "changed", "fixed", "broken", "inside_before", "inside_after",
    "entropy_before", "entropy_after", "confidence_before", "confidence_after",
    "error_before", "error_after",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """Where the baseline's range begins: its 5th percentiles; None where it has no values.

    An output with less word entropy or less confidence is outside the range.
    """

    entropy: float | None
    confidence: float | None


@dataclass(frozen=True)
class Outcome:
    """What one intervention did to the cases that were read with it.

    changed: cases whose text differs from the logged one, ignoring white space.
    outside: cases whose logged output is outside the baseline's range; fixed: those of them whose
    new output is inside; low, high: the 95% confidence interval of that share, each image counted
    once (records of one image are not independent).
    inside, broken: the reverse.
    truths: cases with a known truth; error_before, error_after: their median character error rate,
    NaN without any.
    p: one-sided, of McNemar's exact test against the unchanged image, corrected for the number of
    interventions; NaN where there is nothing to compare.
    better: whether it fixes significantly more than rereading the unchanged image.
    """

    intervention: str
    read: int
    changed: int
    outside: int
    fixed: int
    low: float
    high: float
    inside: int
    broken: int
    truths: int
    error_before: float
    error_after: float
    p: float = np.nan
    better: bool = False

    @property
    def control(self) -> bool:
        return self.intervention in CONTROLS


def trials(
    cases: pd.DataFrame,
    readings: Mapping[str, Mapping[Altered, Reading]],
    recognizers: Mapping[str | None, str],
    limits: Limits,
) -> pd.DataFrame:
    """One row for each case and each intervention that was read, with TRIALS as columns.

    cases: as of `queries.replay_cases`. recognizers: by record version, the key of the one that
    reads it. readings: by recognizer. Where one side has no confidence, entropy alone decides.
    """
    rows = []
    for case in cases.to_dict("records"):
        key = recognizers.get(_text(case["version"]))
        known = readings[key] if key is not None else {}
        for row in INTERVENTIONS:
            reading = known.get((case["sha256"], row.key))
            if reading is not None:
                rows.append((case, key, row.name, reading))
    frame = pd.DataFrame(
        {
            "record_key": [case["record_key"] for case, *_ in rows],
            "sha256": [case["sha256"] for case, *_ in rows],
            "image": [case["image"] for case, *_ in rows],
            "version": [case["version"] for case, *_ in rows],
            "recognizer": [key for _, key, _, _ in rows],
            "intervention": [name for _, _, name, _ in rows],
            "before": [_text(case["before"]) for case, *_ in rows],
            "after": [reading.text for *_, reading in rows],
            "truth": [_text(case["truth"]) for case, *_ in rows],
            "entropy_before": np.array([case["entropy"] for case, *_ in rows], dtype=float),
            "confidence_before": np.array([case["confidence"] for case, *_ in rows], dtype=float),
            "confidence_after": np.array([reading.confidence for *_, reading in rows], dtype=float),
        }
    )
    distinct = frame["after"].drop_duplicates()
    entropies = dict(zip(distinct, word_entropy(list(distinct)), strict=True))
    frame["entropy_after"] = frame["after"].map(entropies).astype(float)
    frame["error_before"] = _errors(frame, "before")
    frame["error_after"] = _errors(frame, "after")
    both = frame["confidence_before"].notna() & frame["confidence_after"].notna()
    for side in ("before", "after"):
        inside = frame[f"entropy_{side}"].notna()
        if limits.entropy is not None:
            inside &= frame[f"entropy_{side}"] >= limits.entropy
        if limits.confidence is not None:
            inside &= ~both | (frame[f"confidence_{side}"] >= limits.confidence)
        frame[f"inside_{side}"] = inside
    frame["changed"] = _folded(frame["before"]) != _folded(frame["after"])
    frame["fixed"] = ~frame["inside_before"] & frame["inside_after"]
    frame["broken"] = frame["inside_before"] & ~frame["inside_after"]
    return frame[list(TRIALS)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _folded(texts: pd.Series) -> pd.Series:
    return texts.map(lambda text: " ".join(text.split()) if isinstance(text, str) else None)


def _errors(frame: pd.DataFrame, side: str) -> list[float]:
    return [
        character_error_rate([text], [truth])[0]
        if isinstance(text, str) and isinstance(truth, str)
        else np.nan
        for text, truth in zip(frame[side], frame["truth"], strict=True)
    ]


def outcomes(trials: pd.DataFrame) -> list[Outcome]:
    """What each intervention did, the most effective first; the controls come last.

    trials: as of `trials`. The controls are the unchanged image and a random other intervention:
    for each case another than the first, drawn by its key and so reproducible.
    """
    by_name = {str(name): rows for name, rows in trials.groupby("intervention", sort=False)}
    unchanged = by_name.pop(NOTHING.name, None)
    order = [row.name for row in INTERVENTIONS]
    tried = sorted(
        (_outcome(name, rows) for name, rows in by_name.items()),
        key=lambda outcome: (
            -outcome.fixed / max(outcome.outside, 1),
            order.index(outcome.intervention),
        ),
    )
    if unchanged is not None:
        p_values = [_mcnemar(by_name[outcome.intervention], unchanged) for outcome in tried]
        corrected = significance.benjamini_hochberg(np.array(p_values))
        tried = [
            replace(outcome, p=float(p), better=bool(p < significance.SIGNIFICANT))
            for outcome, p in zip(tried, corrected, strict=True)
        ]
        tried.append(_outcome(NOTHING.name, unchanged))
    drawn = _drawn(trials, tried[0].intervention) if tried else trials
    return [*tried, _outcome(RANDOM, drawn)] if len(drawn) else tried


def _outcome(name: str, rows: pd.DataFrame) -> Outcome:
    independent = rows.drop_duplicates("sha256")
    low, high = rates.wilson(int(independent["fixed"].sum()), _outside(independent))
    errors = rows.dropna(subset=["error_before", "error_after"])
    return Outcome(
        intervention=name,
        read=len(rows),
        changed=int(rows["changed"].sum()),
        outside=_outside(rows),
        fixed=int(rows["fixed"].sum()),
        low=low,
        high=high,
        inside=int(rows["inside_before"].sum()),
        broken=int(rows["broken"].sum()),
        truths=len(errors),
        error_before=float(errors["error_before"].median()),
        error_after=float(errors["error_after"].median()),
    )


def _outside(rows: pd.DataFrame) -> int:
    return int((~rows["inside_before"]).sum())


def _mcnemar(rows: pd.DataFrame, unchanged: pd.DataFrame) -> float:
    """One-sided p over the images that only one of both fixed; NaN without images."""
    sides = [side.drop_duplicates("sha256")[["sha256", "fixed"]] for side in (rows, unchanged)]
    pairs = sides[0].merge(sides[1], on="sha256", suffixes=("", "_unchanged"))
    won = int((pairs["fixed"] & ~pairs["fixed_unchanged"]).sum())
    lost = int((~pairs["fixed"] & pairs["fixed_unchanged"]).sum())
    if won + lost == 0:
        return np.nan if pairs.empty else 1.0
    return float(binomtest(won, won + lost, alternative="greater").pvalue)


def _drawn(trials: pd.DataFrame, best: str) -> pd.DataFrame:
    """One row of each case, of an intervention that is neither the best nor the unchanged image."""
    others = trials[~trials["intervention"].isin([best, NOTHING.name])]
    draws = [
        int(hashlib.sha256(f"{key} {name}".encode(errors="replace")).hexdigest()[:12], 16)
        for key, name in zip(others["record_key"], others["intervention"], strict=True)
    ]
    chosen = others.assign(draw=draws).sort_values("draw").drop_duplicates("record_key")
    return chosen.drop(columns="draw")


def best(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The most effective intervention, if it is better than the unchanged image."""
    return outcomes[0] if outcomes and outcomes[0].better else None
