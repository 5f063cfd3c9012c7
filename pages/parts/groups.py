"""By group on a page: two groups in a sentence, and a table with a link to each group's cases."""

import math
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from data_access import OpenLog, queries
from data_access.projections.table import ENTROPY, ERROR_RATE
from data_access.queries import Category, Estimate, Group, GroupChange, GroupTable
from data_access.selection import Selection
from data_access.statistics.samples import Change
from pages.parts import bar, choices, words

TOO_FEW = "not enough data"
TRUTHS_ONLY = "corrected or with ground truth only"


def by_group(log: OpenLog, selection: Selection, offered: Sequence[Category]) -> None:
    """Menus for the group and the projection, the sentence, and the table."""
    by_name = {
        category.name: category for category in offered if category.name not in ("flag", "mode")
    }
    measured = [name for name in queries.extents(log.warehouse) if name != ERROR_RATE]
    st.header("By group")
    if not by_name or not measured:
        st.caption(
            "Nothing to group by: the records have no version, and no tag whose values repeat."
        )
        return
    with st.container(horizontal=True):
        name = choices.menu("group", "Group by", list(by_name), lambda name: by_name[name].noun)
        projection = choices.menu(
            "median",
            "Median of",
            sorted(measured, key=lambda name: name != ENTROPY),
            lambda name: log.warehouse.projections[name].label,
        )
    category = by_name[name]
    table = queries.group_table(log.warehouse, selection, category, projection)
    if table.change is not None:
        st.markdown(_sentence(table.change, table))
    _table(table, category)
    notes = ["Intervals: 95% CI.", f"Error rate: mean character error rate, {TRUTHS_ONLY}."]
    if selection.flag or selection.without_flag:
        notes.append("Filters by flag do not apply here.")
    if table.others:
        notes.append(f"{words.count(table.others, 'record')} with other values.")
    st.caption(" ".join(notes))


def _sentence(change: GroupChange, table: GroupTable) -> str:
    """`v2 against v1: flag rate 7% vs 46%, ▼ 39 points (95% CI 33–45); error rate …`."""
    after, before = change.after, change.before
    rates = [words.rounded_share(side.flag_rate.value) for side in (after, before)]
    parts = [f"flag rate {rates[0]} vs {rates[1]}, {_points(change.flag_rate)}"]
    for label, difference, sides in (
        (f"error rate ({TRUTHS_ONLY})", change.error_rate, (after.error_rate, before.error_rate)),
        (f"median {table.projection.label}", change.median, (after.median, before.median)),
    ):
        if math.isnan(difference.by):
            parts.append(f"{label}: {TOO_FEW}")
        else:
            first, second = (words.value(side.value) for side in sides)
            parts.append(f"{label} {first} vs {second}, {_difference(difference)}")
    names = [words.escape_markdown(side.value) for side in (after, before)]
    return f"**{names[0]} against {names[1]}**: {words.escape_markdown('; '.join(parts))}."


def _points(change: Change) -> str:
    if change.low <= 0 <= change.high:
        return f"no clear difference ({words.point_interval(change.low, change.high)})"
    return words.points(change.by, change.low, change.high)


def _difference(change: Change) -> str:
    interval = f"95% CI {words.interval(change.low, change.high)}"
    if change.low <= 0 <= change.high:
        return f"no clear difference ({interval})"
    return f"{'▲' if change.by > 0 else '▼'} {words.value(abs(change.by))} ({interval})"


def _table(table: GroupTable, category: Category) -> None:
    row, text = table.projection, st.column_config.TextColumn
    st.dataframe(
        pd.DataFrame(
            {
                "group": [words.named(group.value, category.noun) for group in table.groups],
                "records": [group.flag_rate.count for group in table.groups],
                "flag_rate": [_rate(group) for group in table.groups],
                "error_rate": [_estimate(group.error_rate) for group in table.groups],
                "median": [_estimate(group.median) for group in table.groups],
                "cases": [bar.cases_address(group.records) for group in table.groups],
                "flagged": [bar.cases_address(group.flagged_records) for group in table.groups],
            }
        ),
        hide_index=True,
        column_config={
            "group": text(category.noun, pinned=True),
            "records": st.column_config.NumberColumn("records", format="localized"),
            "flag_rate": text("flag rate (95% CI)", help="Wilson's interval."),
            "error_rate": text(
                "error rate (95% CI)",
                help=f"Mean character error rate, {TRUTHS_ONLY}; Student's interval.",
            ),
            "median": text(
                f"median {row.label} (95% CI)", help=f"{row.explanation} By the bootstrap."
            ),
            "cases": st.column_config.LinkColumn("cases", display_text="All"),
            "flagged": st.column_config.LinkColumn("flagged", display_text="Flagged"),
        },
    )


def _rate(group: Group) -> str:
    rate = group.flag_rate
    if not rate.is_enough:
        return f"{TOO_FEW} ({group.flagged} of {rate.count})"
    low, high = rate.low * 100, rate.high * 100
    return f"{words.share(rate.value)} ({low:.1f}–{high:.1f})"


def _estimate(estimate: Estimate) -> str:
    """Of a group with enough values, and of how many."""
    if not estimate.is_enough:
        return f"{TOO_FEW} ({estimate.count})" if estimate.count else "–"
    low, high = words.value(estimate.low), words.value(estimate.high)
    return f"{words.value(estimate.value)} ({low}–{high})"
