"""The filters of the sidebar as widgets: those in view, and a function for each further group."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import streamlit as st

from data_access import OpenLog, queries
from data_access.errors import SelectionError
from data_access.projections import Projection
from data_access.selection import (
    ANY_FLAG,
    FILTERS,
    IMAGE_STATES,
    NO_FLAG,
    NO_VALUE,
    REVIEW_STATES,
    WEEKDAYS,
    Range,
    Selection,
    Tag,
)
from pages.parts import state, words

IN_VIEW = ("since", "until", "environment", "version")
MOST_TAG_VALUES = 20
PART = "Any part of the text."
OUTPUT, IMAGE = "What the model said", "What the image looks like"


def group_of(row: Projection) -> str:
    """The group that holds the range of a projection."""
    return IMAGE if row.of_image else OUTPUT


def slider_ends(range_: Range, edges: Sequence[float]) -> tuple[float, float]:
    """Where the two handles of a slider over these edges stand."""
    low = edges[0] if range_.low is None else range_.low
    high = edges[-1] if range_.high is None else range_.high
    return low, high


def slider_range(name: str, ends: tuple[float, float], edges: Sequence[float]) -> Range:
    """The range between the handles of a slider; open at an end where a handle is at its stop."""
    low, high = ends
    return Range(name, None if low <= edges[0] else low, None if high >= edges[-1] else high)


def _changed(field: str, read: Callable[[Any], Any] = lambda value: value) -> None:
    state.select(replace(state.selection(), **{field: read(state.entered(field))}))


def in_view(log: OpenLog, selection: Selection) -> None:
    """Time, environment and version."""
    _window(log, selection)
    _names(log, selection, "environment", "Environment")
    _names(log, selection, "version", "Model version")


def _window(log: OpenLog, selection: Selection) -> None:
    span = queries.time_span(log.warehouse, Selection())
    if span is None:
        st.caption("The log is empty.")
        return
    first, last = span[0].date(), span[1].date()
    with st.container(horizontal=True, gap="xxsmall"):
        for label, days in (("1 week", 7), ("4 weeks", 28), ("8 weeks", 56)):
            since = datetime.combine(last - timedelta(days=days - 1), datetime.min.time(), UTC)
            st.button(
                label,
                on_click=state.select,
                args=(replace(selection, since=since, until=None),),
                help="Counted back from the newest record.",
            )
    since_day = _day(selection.since)
    until_day = _day(selection.until - timedelta(microseconds=1) if selection.until else None)
    for field, label, day, read in (
        ("since", "From (UTC)", since_day, _midnight),
        ("until", "To (UTC, inclusive)", until_day, _midnight_after),
    ):
        st.date_input(
            label,
            key=state.widget(field, day),
            min_value=min(first, day or first),
            max_value=max(last, day or last),
            on_change=_changed,
            args=(field, read),
            format="YYYY-MM-DD",
        )


def _names(
    log: OpenLog,
    selection: Selection,
    field: Literal["environment", "version", "application"],
    label: str,
) -> None:
    """Some of the values that a column has; nothing where there is no choice."""
    picked = list(getattr(selection, field))
    values = queries.choices(log.warehouse, field)
    if field == "application" and len(values) < 2 and not picked:
        return
    st.multiselect(
        label,
        list(dict.fromkeys([*values, *picked])),
        key=state.widget(field, picked),
        on_change=_changed,
        args=(field, tuple),
        placeholder="All",
    )


def _when(log: OpenLog, selection: Selection) -> None:
    _several("hour", "Hours of the day (UTC)", range(24), selection.hour, lambda hour: f"{hour:02}")
    _several("weekday", "Days of the week (UTC)", WEEKDAYS, selection.weekday)


def _several(
    field: str,
    label: str,
    options: Sequence[Any],
    picked: Sequence[Any],
    format_func: Callable[[Any], str] = str,
    placeholder: str = "All",
) -> None:
    """Some of a few values, in their order."""
    st.multiselect(
        label,
        options,
        key=state.widget(field, list(picked)),
        format_func=format_func,
        on_change=_changed,
        args=(field, lambda values: tuple(value for value in options if value in values)),
        placeholder=placeholder,
    )


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, datetime.min.time(), UTC)


def _midnight_after(day: date | None) -> datetime | None:
    return _midnight(day and day + timedelta(days=1))


def _where(log: OpenLog, selection: Selection) -> None:
    _names(log, selection, "application", "Application")
    tags = [
        Tag(name, value)
        for name, values in queries.log_tags(log.warehouse).categories.items()
        for value in [*values[:MOST_TAG_VALUES], NO_VALUE]
    ]
    if tags or selection.tag:
        st.multiselect(
            "Tags",
            list(dict.fromkeys([*tags, *selection.tag])),
            key=state.widget("tag", list(selection.tag)),
            format_func=lambda tag: f"{tag.name}: {words.named(tag.value, tag.name)}",
            on_change=_changed,
            args=("tag", tuple),
            placeholder="All",
            help="Logged by the application with its predictions. Values of one tag combine with "
            "OR, different tags with AND.",
        )
    _tag_ranges(log, selection)
    st.toggle(
        "Each image once",
        key=state.widget("images", selection.each_image_once),
        on_change=_changed,
        args=("images", lambda on: "once" if on else ""),
        help="Records of the same image (identical bytes) count as one: the first that was "
        "flagged, or else the first.",
    )


def _tag_ranges(log: OpenLog, selection: Selection) -> None:
    """From and to of each numeric tag that is filtered by, and a way to add one."""
    for range_ in selection.tag_range:
        label = words.escape_markdown(range_.name)
        if range_.missing:
            st.caption(f"{label}: not a number")
            continue
        with st.container(horizontal=True):
            for side, preposition, lowest, highest in (
                ("low", "from", None, range_.high),
                ("high", "to under", range_.low, None),
            ):
                st.number_input(
                    f"{label} {preposition}",
                    min_value=lowest,
                    max_value=highest,
                    value=None,
                    key=state.widget(f"{side}.{range_.name}", getattr(range_, side)),
                    format="%g",
                    on_change=_tag_range_changed,
                    args=(range_, side),
                )
    used = {range_.name for range_ in selection.tag_range}
    tags = queries.log_tags(log.warehouse).tags
    offered = [tag.name for tag in tags if tag.is_number and tag.name not in used]
    if offered:
        st.selectbox(
            "Add a tag range",
            offered,
            index=None,
            key=state.widget("add.tag_range", None),
            placeholder="Choose a numeric tag",
            on_change=_tag_range_added,
        )


def _tag_range_changed(range_: Range, side: str) -> None:
    bounds = {side: state.entered(f"{side}.{range_.name}")}
    state.select(state.selection().with_tag_range(replace(range_, **bounds)))


def _tag_range_added() -> None:
    name = state.entered("add.tag_range")
    if name is not None:
        state.select(state.selection().with_tag_range(Range(name)))


def _users(log: OpenLog, selection: Selection) -> None:
    flags = queries.flags(log.warehouse)
    names = {ANY_FLAG: "any flag", NO_FLAG: "no flag"}
    st.pills(
        "Flags",
        list(dict.fromkeys([ANY_FLAG, NO_FLAG, *flags, *selection.flag])),
        selection_mode="multi",
        format_func=lambda flag: names.get(flag) or words.escape_markdown(flag),
        key=state.widget("flag", list(selection.flag)),
        on_change=_changed,
        args=("flag", tuple),
    )
    if flags or selection.without_flag:
        every = list(dict.fromkeys([*flags, *selection.without_flag]))
        _several("without_flag", "Without flags", every, selection.without_flag, placeholder="None")
    _texts(selection, ("truth", "Any part of a truth or correction."), ("comment", PART))


def _reviewers(log: OpenLog, selection: Selection) -> None:
    titles = queries.mode_titles(log.warehouse) | {NO_VALUE: "wrong, no mode yet"}
    offered = [mode.id for mode in queries.failure_modes(log.warehouse)]
    every = list(dict.fromkeys([*offered, NO_VALUE, *selection.mode]))
    _several("mode", "Failure modes", every, selection.mode, lambda name: titles.get(name, name))
    _several("review", "Review", list(REVIEW_STATES), selection.review, REVIEW_STATES.__getitem__)
    people = list(dict.fromkeys([*queries.reviewers(log.warehouse), *selection.reviewer]))
    if people:
        _several("reviewer", "Reviewers", people, selection.reviewer)


def _model(log: OpenLog, selection: Selection) -> None:
    _texts(
        selection,
        ("text", PART),
        ("word", "A whole word; punctuation around it is ignored."),
        ("without_word", "A whole word that does not occur."),
    )
    _ranges(log, selection, OUTPUT)


def _texts(selection: Selection, *fields: tuple[str, str]) -> None:
    """A box for each of some fields, with a hint."""
    labels = {row.key: row.label for row in FILTERS}
    for field, hint in fields:
        st.text_input(
            labels[field],
            key=state.widget(field, getattr(selection, field)),
            on_change=_text_changed,
            args=(field,),
            max_chars=1000,
            help=f"{hint} Case is ignored.",
        )


def _text_changed(field: str) -> None:
    """A text of the sidebar becomes a filter as it would from the URL."""
    row = next(row for row in FILTERS if row.key == field)
    try:
        _changed(field, lambda text: row.read([text]))
    except SelectionError as error:
        state.warn(f"Filter ignored. {row.label}: {error}")


def _image(log: OpenLog, selection: Selection) -> None:
    _several("image_state", "Image", list(IMAGE_STATES), selection.image_state)
    _texts(selection, ("image_name", PART))
    _ranges(log, selection, IMAGE)


def _ranges(log: OpenLog, selection: Selection, group: str) -> None:
    """A slider for each range in force, and a way to add one."""
    bins = queries.extents(log.warehouse)
    projections = log.warehouse.projections
    for range_ in selection.ranges:
        row = projections[range_.name]
        if group_of(row) != group:
            continue
        if range_.missing or range_.name not in bins:
            st.caption(f"{row.label}: records without a value")
            continue
        edges = bins[range_.name].edges
        ends = slider_ends(range_, edges)
        st.select_slider(
            f"{row.label} ({row.unit})",
            sorted({*edges, *ends}),
            ends,
            key=state.widget(f"range.{row.name}", ends),
            format_func=words.edge,
            on_change=_range_changed,
            args=(row.name, edges),
            help=row.explanation,
        )
    used = {range_.name for range_ in selection.ranges}
    offered = [name for name in bins if name not in used and group_of(projections[name]) == group]
    if offered:
        st.selectbox(
            "Add a range",
            offered,
            index=None,
            key=state.widget(f"add.{group}", None),
            format_func=lambda name: projections[name].label,
            placeholder="Choose a projection",
            on_change=_range_added,
            args=(group,),
        )


def _range_changed(name: str, edges: Sequence[float]) -> None:
    range_ = slider_range(name, state.entered(f"range.{name}"), edges)
    state.select(state.selection().with_range(range_))


def _range_added(group: str) -> None:
    name = state.entered(f"add.{group}")
    if name is not None:
        state.select(state.selection().with_range(Range(name)))


GROUPS: dict[str, Callable[[OpenLog, Selection], None]] = {
    "When": _when,
    "Where": _where,
    "What users said": _users,
    "What reviewers said": _reviewers,
    OUTPUT: _model,
    IMAGE: _image,
}
