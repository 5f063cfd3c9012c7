"""Linked histograms on a page: the chart, and beside it the same brushes for the keyboard."""

from collections.abc import Sequence

import streamlit as st

from data_access import OpenLog, queries
from data_access.queries import Baseline, Category, Cube
from pages.parts import brushes, choices, linked_charts, state, words

ABOVE = 62  # pixels from the top of the chart to the first histogram's name


def names(log: OpenLog, usual: Sequence[str]) -> list[str]:
    """The projections that are drawn: those chosen, or the usual ones that have values."""
    measured = list(queries.extents(log.warehouse))
    return choices.several(
        "axes",
        f"Histograms of up to {queries.MOST_AXES} projections",
        measured,
        [name for name in usual if name in measured] or measured[:1],
        queries.MOST_AXES,
        lambda name: log.warehouse.projections[name].label,
    )


def category(offered: Sequence[Category]) -> Category:
    """The category whose values are bars; its menu is drawn beside them."""
    by_name = {row.name: row for row in offered}
    return by_name[state.chosen("category", list(by_name))]


def histograms(
    cube: Cube, baseline_cube: Cube, baseline: Baseline, offered: Sequence[Category]
) -> None:
    """One chart that filters itself, and a slider or pills beside each of its parts."""
    brushes.touch_switch()
    chart, side = st.columns([3, 1], gap="medium")
    with chart:
        key, begun = brushes.linked(cube)
        drags = [f"brush_{k}" for k in range(len(cube.axes))]
        st.vega_lite_chart(
            linked_charts.linked(cube, baseline_cube, baseline.label, begun, brushes.by_touch()),
            key=key,
            on_select=lambda: brushes.linked_brushed(cube),
            width="stretch",
            selection_mode=[*drags, "picked"],
            alt=_said(cube, baseline),
        )
    with side, st.container(gap=None):
        st.container(height=ABOVE, border=False)
        for axis in cube.axes:
            with st.container(height=linked_charts.PITCH, border=False, gap="xsmall"):
                row = axis.projection
                st.markdown(f"**{words.escape_markdown(row.label)}**", help=row.explanation)
                without = int(cube.counts(axis)[axis.missing])
                brushes.brush_slider(axis, without)
        with st.container(gap="xsmall"):
            nouns = {row.name: row.noun for row in offered}
            choices.menu("category", "Break down by", list(nouns), lambda name: nouns[name])
            brushes.value_pills(cube)
            if others := cube.value_counts()[-1]:
                st.caption(f"{words.count(others, 'record')} with other values")


def _said(cube: Cube, baseline: Baseline) -> str:
    """The chart in words; nothing that a brush changes, or it would be drawn anew."""
    labels = ", ".join(axis.projection.label for axis in cube.axes)
    return (
        f"Histograms of {labels}, broken down by {cube.category.noun}, over those of "
        f"{baseline.label}. The controls beside the chart choose bars too."
    )
