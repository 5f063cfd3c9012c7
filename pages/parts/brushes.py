"""Drags over histograms, and the same by keyboard, as filters of the selection."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from data_access.queries import Axis, Brushes, Category, Cube, HistogramPair
from data_access.selection import Range, Selection
from pages.parts import state, words
from pages.parts.filters import slider_ends, slider_range

LINKED = "linked histograms"
TOUCH = "drags by touch"


@dataclass
class DrawnChart:
    """A chart that is on the page and can be brushed.

    of: what it shows. begun: the brushes that it was drawn with. now: those that the last run of
    the page had; None after a drag in the chart itself.
    """

    name: str
    of: Any
    number: int
    begun: Any
    now: Any

    @property
    def key(self) -> str:
        return f"{self.name}|{self.number}"


def _chart(name: str, of: Any, now: Any) -> DrawnChart:
    """The chart of that name, with the brushes that are in force.

    As long as only drags in it change the brushes it stays the same chart, and is not drawn anew
    during a drag; when anything else does, a new one begins with them.
    """
    chart: DrawnChart | None = state.recall(name)
    of = (of, by_touch())
    if (
        chart is None
        or not state.drawn(chart.key)
        or chart.of != of
        or chart.now not in (None, now)
    ):
        chart = DrawnChart(name, of, chart.number + 1 if chart else 0, now, now)
    chart.now = now
    state.remember(name, chart)
    return chart


def touch_switch() -> None:
    """Where there is no mouse, what lets fingers drag over charts: otherwise a swipe scrolls."""
    if state.is_touched():
        st.toggle(
            "Drag over charts with a finger",
            key=state.widget("touch", by_touch()),
            on_change=lambda: state.remember(TOUCH, state.entered("touch")),
        )


def by_touch() -> bool:
    """Whether fingers drag over charts."""
    return bool(state.recall(TOUCH))


def histogram(pair: HistogramPair, bounds: Range | None) -> str:
    """The key of a histogram's chart; bounds: the range of its projection that is in force."""
    return _chart(_histogram_name(pair), pair.bins, (bounds,)).key


def _histogram_name(pair: HistogramPair) -> str:
    return f"histogram of {pair.projection.name}"


def histogram_brushed(pair: HistogramPair) -> None:
    """What a drag over a histogram does: the bars that it touches are the filter; a click: none."""
    chart: DrawnChart = state.recall(_histogram_name(pair))
    drag = state.drag(chart.key)
    if "brush" not in drag:
        return
    name, ends = pair.projection.name, next(iter(drag["brush"].values()), None)
    range_ = Range(name, *pair.bins.around(*map(float, ends))) if ends else None
    selection = state.selection()
    state.select(selection.with_range(range_) if range_ else selection.without(name))
    chart.now = None


def linked(cube: Cube) -> tuple[str, Brushes]:
    """The key of the linked histograms' chart, and the brushes and values that it begins with."""
    of, now = (cube.axes, cube.category, cube.frame), (cube.brushes, cube.chosen)
    chart = _chart(LINKED, of, now)
    return chart.key, chart.begun


def linked_brushed(cube: Cube) -> None:
    """What a drag or a click in the linked histograms does: the bars become filters."""
    chart: DrawnChart = state.recall(LINKED)
    drag = state.drag(chart.key)
    selection = state.selection()
    for k, axis in enumerate(cube.axes):
        if f"brush_{k}" in drag:  # what was not touched is not there
            places = drag[f"brush_{k}"].get("place")
            selection = _with_brush(selection, axis, axis.brush(*places) if places else None)
    if "picked" in drag:
        values = [cube.category.values[row["value"]] for row in drag["picked"] or ()]
        selection = cube.category.choose(selection, values)
    state.select(selection)
    chart.now = None


def _with_brush(selection: Selection, axis: Axis, range_: Range | None) -> Selection:
    if range_ is None:
        return selection.without(axis.projection.name)
    return selection.with_range(range_)


def brush_slider(axis: Axis, without: int) -> None:
    """The brush of a histogram for the keyboard: its bars from and to, or those without a value.

    without: the number of records without a value.
    """
    name, edges = axis.projection.name, axis.bins.edges
    ranges = state.selection().ranges
    range_ = next((range_ for range_ in ranges if range_.name == name), Range(name))
    ends = slider_ends(range_, edges)
    st.select_slider(
        f"{axis.projection.label}, from and to",
        sorted({*edges, *ends}),
        ends,
        key=state.widget(f"slider.{name}", ends),
        format_func=words.edge,
        on_change=_slid,
        args=(axis,),
        disabled=range_.missing,
        label_visibility="collapsed",
        help=axis.projection.explanation,
    )
    if without:
        st.checkbox(
            f"only the {words.count(without)} without a value",
            key=state.widget(f"missing.{name}", range_.missing),
            on_change=_missing_chosen,
            args=(axis,),
        )


def _slid(axis: Axis) -> None:
    name = axis.projection.name
    range_ = slider_range(name, state.entered(f"slider.{name}"), axis.bins.edges)
    state.select(_with_brush(state.selection(), axis, None if range_ == Range(name) else range_))


def _missing_chosen(axis: Axis) -> None:
    name = axis.projection.name
    range_ = Range(name, missing=True) if state.entered(f"missing.{name}") else None
    state.select(_with_brush(state.selection(), axis, range_))


def value_pills(cube: Cube) -> None:
    """The values of the category for the keyboard."""
    category = cube.category
    counts = dict(zip(category.values, cube.value_counts(), strict=False))
    picked = list(category.chosen(state.selection()))
    shown = [value for value in category.values if counts[value] or value in picked]
    st.pills(
        category.noun,
        list(dict.fromkeys([*shown, *picked])),
        selection_mode="multi",
        format_func=lambda value: words.escape_markdown(words.named(value, category.noun)),
        key=state.widget(f"values.{category.name}", picked),
        on_change=_values_chosen,
        args=(category,),
        label_visibility="collapsed",
    )


def _values_chosen(category: Category) -> None:
    values = state.entered(f"values.{category.name}")
    state.select(category.choose(state.selection(), values))


def clear_brushes(cube: Cube) -> None:
    """Take all brushes off; for callbacks."""
    selection = state.selection()
    for range_ in cube.brushes:
        selection = selection.without(range_.name)
    state.select(cube.category.choose(selection, ()) if cube.chosen else selection)
