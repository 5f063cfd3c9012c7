"""What a replay proves, in sentences, a chart and a table."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from data_access import OpenLog
from data_access.projections.table import ENTROPY
from data_access.queries import Baseline
from data_access.statistics.significance import ENOUGH
from pages.parts import charts, words
from pages.parts.replays import Findings
from replay.engine import CONFIDENCE
from replay.interventions import NOTHING, intervention
from replay.judgement import RANDOM, Limits, Outcome, best

NAMED = 3  # interventions that the first sentence names


def label(name: str) -> str:
    return "random alteration (control)" if name == RANDOM else intervention(name).label


def so_far(findings: Findings) -> str:
    """`31 of 100 images so far: ` while some are not read yet; empty when all are."""
    read = findings.trials["sha256"].nunique()
    if not findings.planned.tasks:
        return ""
    return f"{read:,} of {words.count(findings.planned.images, 'image')} so far: "


def verdict(findings: Findings, baseline: Baseline) -> str:
    """The answer in a sentence."""
    against = words.escape_markdown(baseline.label)
    if findings.limits == Limits(None, None):
        return f"**{against}** has neither word entropy nor confidence, so nothing can be judged."
    tried = [outcome for outcome in findings.outcomes if not outcome.control]
    unchanged = next(
        (outcome for outcome in findings.outcomes if outcome.intervention == NOTHING.name), None
    )
    first = tried[0]
    if not first.outside:
        worst = max(tried, key=lambda outcome: outcome.broken)
        return (
            f"None of these {words.count(first.read, 'case')} is outside the range of {against}, "
            f"so there is nothing to fix. {label(worst.intervention).capitalize()} makes "
            f"{worst.broken:,} of them worse."
        )
    control = "" if unchanged is None else f"; rereading the unchanged image {unchanged.fixed:,}"
    share = f"{first.low:.0%}–{first.high:.0%}"
    proven = best(findings.outcomes) is not None
    floor = 0 if unchanged is None else unchanged.fixed
    few = first.fixed > floor and first.outside < ENOUGH
    if not proven and not few:
        return (
            "**No intervention fixes more cases than reading the unchanged image again.** "
            f"The best, {label(first.intervention)}, fixes {first.fixed:,} of "
            f"{first.outside:,} ({share}){control}."
        )
    others = "".join(
        f"; {label(outcome.intervention)} {outcome.fixed:,}" for outcome in tried[1:NAMED]
    )
    errors = (
        f" Of the {first.truths:,} with a known truth, the median character error rate goes "
        f"from {words.value(first.error_before)} to {words.value(first.error_after)}."
        if first.truths
        else ""
    )
    harm = f" It makes {first.broken:,} of {first.inside:,} others worse." if first.broken else ""
    return (
        f"**{label(first.intervention).capitalize()} fixes {first.fixed:,} of {first.outside:,}** "
        f"cases outside the range of {against} ({share}){others}{control}."
        f"{harm}{errors}{'' if proven else ' Too few cases to rule out chance.'}"
    )


def verdict_on_case(findings: Findings, baseline: Baseline) -> str:
    """The answer for a single case."""
    against = words.escape_markdown(baseline.label)
    fixing = [
        outcome.intervention
        for outcome in findings.outcomes
        if outcome.fixed and not outcome.control
    ]
    if any(outcome.inside for outcome in findings.outcomes):
        return f"The logged output is inside the range of {against}: there is nothing to fix."
    if not fixing:
        return f"**No intervention** brings the output inside the range of {against}."
    names = " and ".join(filter(None, [", ".join(map(label, fixing[:-1])), label(fixing[-1])]))
    return f"**{names[:1].upper()}{names[1:]}** brings the output inside the range of {against}."


def meaning(
    log: OpenLog, findings: Findings, baseline: Baseline, *, one_case: bool = False
) -> None:
    """What “outside” and “fixed” mean here."""
    limits = [
        f"{log.warehouse.projections[name].label} {words.value(low)}"
        for name, low in (
            (ENTROPY, findings.limits.entropy),
            (CONFIDENCE, findings.limits.confidence),
        )
        if low is not None
    ]
    of = "Read" if one_case else f"Of {words.count(findings.cases, 'case')} read"
    controls = (
        ""
        if one_case
        else " Grey: the controls, the unchanged image and, for each case, another intervention "
        "drawn at random. Intervals count each image once."
    )
    st.caption(
        f"{of} again by {findings.readers}. Outside: under {' or '.join(limits)}, the 5th "
        f"percentiles of {words.escape_markdown(baseline.label)}. Fixed: the logged output is "
        "outside, the new one inside; a very short text stays outside however well it is read."
        f"{controls}"
    )


def chart(outcomes: Sequence[Outcome]) -> None:
    frame = pd.DataFrame([_row(outcome) for outcome in outcomes])
    st.altair_chart(charts.replay_outcomes(frame), key="replay-outcomes")


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "label": f"{label(outcome.intervention)}  {outcome.fixed:,} of {outcome.outside:,}",
        "kind": "control" if outcome.control else "tried",
        "share": outcome.fixed / max(outcome.outside, 1),
        "low": 0.0 if math.isnan(outcome.low) else outcome.low,
        "high": 0.0 if math.isnan(outcome.high) else outcome.high,
        "fixed": outcome.fixed,
        "outside": outcome.outside,
        "changed": outcome.changed,
        "broken": outcome.broken,
    }


def table(outcomes: Sequence[Outcome]) -> None:
    """Every number of every intervention."""
    number, percent = st.column_config.NumberColumn, "percent"
    rows = [
        {
            "intervention": label(outcome.intervention),
            "fixed": outcome.fixed,
            "outside": outcome.outside,
            "low": outcome.low,
            "high": outcome.high,
            "p": outcome.p,
            "changed": outcome.changed,
            "read": outcome.read,
            "broken": outcome.broken,
            "inside": outcome.inside,
            "error_before": outcome.error_before,
            "error_after": outcome.error_after,
            "truths": outcome.truths,
        }
        for outcome in outcomes
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "fixed": number("fixed", help="Outside the baseline's range before, inside now."),
            "outside": number("of", help="Cases whose logged output is outside the range."),
            "low": number(
                "from",
                format=percent,
                help="95% interval of the share (Wilson), each image counted once.",
            ),
            "high": number("to", format=percent),
            "p": number(
                "p",
                format="%.2g",
                help="That it fixes no more than the unchanged image does: McNemar's exact test, "
                "one-sided, corrected for the number of interventions (Benjamini–Hochberg).",
            ),
            "changed": number("changed", help="Texts that differ from the logged ones."),
            "read": number("of", help="Cases read."),
            "broken": number("made worse", help="Inside the range before, outside now."),
            "inside": number("of", help="Cases whose logged output is inside the range."),
            "error_before": number(
                "error rate", format="%.2f", help="Median character error rate as logged."
            ),
            "error_after": number("now", format="%.2f", help="The same, of the new readings."),
            "truths": number("truths known", help="Cases with a correction or a ground truth."),
        },
    )
