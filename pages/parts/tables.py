"""Tables of comparisons: the numbers behind the pictures, each header with what it means."""

import pandas as pd
import streamlit as st

from data_access.projections import ProjectionTable
from data_access.queries import LogTags
from pages.parts import words

INTERVALS = ("effect", "median_change", "mean_change")
COLUMNS = {
    "main": (
        "projection", "verdict", "gap", "effect", "effect_interval", "median", "baseline_median",
        "ks", "p_corrected", "n", "baseline_n",
    ),
    "all": (
        "projection", "verdict", "gap", "effect", "effect_interval", "median", "baseline_median",
        "median_change", "median_change_interval", "mean", "baseline_mean", "mean_change",
        "mean_change_interval", "unit", "ks", "jensen_shannon", "psi", "p_corrected", "n",
        "baseline_n",
    ),
}  # fmt: skip
WITHOUT = {"flag": "not flagged"}
"""What it is called to have no value of a category; of the others: none."""

CORRECTED = (
    "How often chance alone would show a difference as large as this, corrected for the number of "
    "rows (Benjamini–Hochberg). Under 0.05 counts as a difference."
)


def drift(table: pd.DataFrame, projections: ProjectionTable, columns: str) -> None:
    """The drift table of `queries.drift_table`; columns: a name in COLUMNS."""
    shown = table.assign(
        projection=[projections[name].label for name in table["projection"]],
        unit=[projections[name].unit for name in table["projection"]],
        gap=table["gap"].fillna(""),
        **{
            f"{name}_interval": [
                words.interval(low, high)
                for low, high in zip(table[f"{name}_low"], table[f"{name}_high"], strict=True)
            ]
            for name in INTERVALS
        },
    )
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        shown,
        hide_index=True,
        column_order=COLUMNS[columns],
        column_config={
            "projection": text("projection", pinned=True),
            "verdict": text("verdict", help="From effect and p together."),
            "gap": text("left out", help="Why the difference does not stand for all records."),
            "effect": number(
                "effect",
                format="%.2f",
                help="Cliff's delta: from −1, every value is lower than every one of the "
                "baseline, to 1, every one is higher. Below 0.15 is negligible.",
            ),
            "effect_interval": text("effect (95% CI)", help="By the DeLong method."),
            "median": number("median", format="%.4g", help="The middle value."),
            "baseline_median": number("baseline median", format="%.4g"),
            "median_change": number(
                "change of median", format="%.4g", help="Median less the baseline's."
            ),
            "median_change_interval": text(
                "change of median (95% CI)", help="By the bootstrap."
            ),
            "mean": number("mean", format="%.4g"),
            "baseline_mean": number("baseline mean", format="%.4g"),
            "mean_change": number(
                "change of mean", format="%.4g", help="Mean less the baseline's."
            ),
            "mean_change_interval": text("change of mean (95% CI)", help="By Welch's method."),
            "unit": text("unit", help="Of medians, means and their changes."),
            "ks": number(
                "KS",
                format="%.3f",
                help="Kolmogorov–Smirnov distance: the largest gap between the shares of records "
                "up to a value, 0 to 1. It sees any difference of shape.",
            ),
            "jensen_shannon": number(
                "JS (bits)",
                format="%.3f",
                help="Jensen–Shannon divergence over the bars of the histogram, in bits: 0 for "
                "the same, 1 for no bar in common.",
            ),
            "psi": number(
                "PSI",
                format="%.3f",
                help="Population stability index over the tenths of the baseline. Under 0.1 is "
                "usually called stable, over 0.25 a shift; with few records chance gives as much.",
            ),
            "p_corrected": number("p", format="%.2g", help=f"{CORRECTED} Of KS."),
            "n": number("n", format="localized", help="Records with a value."),
            "baseline_n": number(
                "baseline n", format="localized", help="Records of the baseline with a value."
            ),
        },
    )  # fmt: skip


def tags_note(tags: LogTags) -> str:
    """How much of the log was searched for tags, and how many are not shown; empty if all."""
    sampled = tags.looked_at < tags.records
    where = f" Tags found in {tags.looked_at:,} of {tags.records:,} records." if sampled else ""
    rarer = f" {words.count(tags.left_out, 'rarer tag')} not shown." if tags.left_out else ""
    return where + rarer


def categories(table: pd.DataFrame) -> None:
    """The table of `queries.category_table`."""
    shown = table.assign(
        value=[
            WITHOUT.get(category, "none") if pd.isna(value) else value
            for category, value in zip(table["category"], table["value"], strict=True)
        ],
        category=[name.removeprefix("tags.") for name in table["category"]],
        **{name: table[name] * 100 for name in ("share", "baseline_share", "change")},
        change_interval=[
            words.interval(low * 100, high * 100)
            for low, high in zip(table["change_low"], table["change_high"], strict=True)
        ],
        cramers_v_interval=[
            words.interval(low, high)
            for low, high in zip(table["cramers_v_low"], table["cramers_v_high"], strict=True)
        ],
    )
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        shown,
        hide_index=True,
        column_order=[
            "category", "verdict", "value", "share", "baseline_share", "change", "change_interval",
            "cramers_v", "cramers_v_interval", "chi_square", "freedom", "p_corrected", "n",
            "baseline_n",
        ],
        column_config={
            "category": text("category", pinned=True),
            "verdict": text("verdict", help="From Cramér's V and p together."),
            "value": text("value", help="The one whose share differs most."),
            "share": number("its share", format="%.1f%%"),
            "baseline_share": number("baseline share", format="%.1f%%"),
            "change": number("change (points)", format="%+.1f", help="In percentage points."),
            "change_interval": text("change (95% CI)", help="By Newcombe's method."),
            "cramers_v": number(
                "Cramér's V",
                format="%.2f",
                help="How far apart all shares are, from 0 to 1. Below 0.1 is negligible.",
            ),
            "cramers_v_interval": text("V (95% CI)", help="By the delta method."),
            "chi_square": number(
                "chi-square",
                format="%.1f",
                help="Pearson's statistic. Values too rare to test, with fewer than "
                "5 records expected on a side, are tested as one.",
            ),
            "freedom": number("degrees", help="Degrees of freedom of chi-square."),
            "p_corrected": number("p", format="%.2g", help=f"{CORRECTED} Of chi-square."),
            "n": number("n", format="localized"),
            "baseline_n": number("baseline n", format="localized"),
        },
    )  # fmt: skip
