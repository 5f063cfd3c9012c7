"""Widgets and what they stand for: the selection, the baseline, the page's own choices.

The only file that touches session_state and the URL. The URL is the truth: a pasted link shows a
colleague the same records. While a person works, the selection is kept here and written there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data_access import OpenLog, queries
from data_access.errors import LogError, NameTakenError, SelectionError
from data_access.projections import Projection
from data_access.queries import (
    Axis,
    Baseline,
    Brushes,
    Category,
    Cube,
    HistogramPair,
    Preset,
    SavedSelection,
)
from data_access.selection import (
    ANY_FLAG,
    FILTERS,
    IMAGE_STATES,
    NO_FLAG,
    NO_VALUE,
    WEEKDAYS,
    Range,
    Selection,
    Tag,
    encoded,
    read_selection,
    sentences,
    write_selection,
)
from pages.parts import words

Option = TypeVar("Option", bound=str)
ORDERS = ("down", "up")
MOST_TAG_VALUES = 20
EVERYTHING = {"images": ["each"]}  # how the URL says that no filter is meant
GROUPS = ("When", "Where", "What users said", "What the model said", "What the image looks like")


def begin(log: OpenLog) -> None:
    """Take over the URL where it says something new, and otherwise write the URL."""
    state = st.session_state
    given = _own_parameters(log)
    if "selection" not in state or (given and given != state["written"]):
        state["problems"] = []
        state["selection"], state["baseline"] = Selection(), None
        state["written"] = None
        if given:
            pairs = [(key, value) for key, values in given.items() for value in values]
            state["selection"], state["problems"] = read_selection(pairs, log.warehouse.projections)
            state["baseline"] = given.get("baseline", [None])[-1]
        elif "prod" in queries.choices(log.warehouse, "environment"):
            state["selection"] = Selection(environment=("prod",))
    if not queries.status(log.warehouse).predictions:
        del state["selection"]  # decided anew, from the URL as it is, once there is something
        state["shown"], state["baseline"] = Selection(), queries.BEFORE
        return
    state["shown"] = state["selection"]
    usual = queries.usual_baseline(log.warehouse, selection())
    state["baseline"] = state["baseline"] or usual
    try:
        baseline(log)
    except SelectionError as error:
        state["problems"].append(str(error))
        state["baseline"] = usual
    _write_url(log)
    for problem in state["problems"]:
        st.warning(words.plain(problem))


def frame() -> None:
    """Tell the page that is about to run that the frame stands around it."""
    st.session_state["framed"] = True


def is_framed() -> bool:
    """Whether this run of the page came through the frame; to be asked once a run."""
    return bool(st.session_state.pop("framed", False))


def _own_parameters(log: OpenLog) -> dict[str, list[str]]:
    filters = {row.key for row in FILTERS} | {"baseline"}
    return {
        key: st.query_params.get_all(key)
        for key in st.query_params
        if key in filters or key in log.warehouse.projections or "(" in key
    }


def _write_url(log: OpenLog) -> None:
    """In one step and only where it differs: each step is one in the browser's history."""
    wanted = link(selection(), baseline_name())
    held = _own_parameters(log)
    if held != wanted:
        others = {key: st.query_params.get_all(key) for key in st.query_params if key not in held}
        st.query_params.from_dict({**wanted, **others})
    st.session_state["written"] = wanted


def waits_for_records() -> bool:
    """Whether this page was drawn before there was anything to show."""
    return "selection" not in st.session_state


def selection() -> Selection:
    held: Selection = st.session_state["shown"]
    return held


def baseline_name() -> str:
    return str(st.session_state["baseline"])


def baseline(log: OpenLog) -> Baseline:
    return queries.baseline(log.warehouse, selection(), baseline_name())


def select(wanted: Selection) -> None:
    """Make this the selection; for callbacks."""
    st.session_state["selection"] = st.session_state["shown"] = wanted
    st.session_state["problems"] = []


def link(wanted: Selection, baseline: str | None = None, **more: str) -> dict[str, list[str]]:
    """The parameters of a page's URL for a selection."""
    parameters = write_selection(wanted) or EVERYTHING
    extra = {key: [value] for key, value in more.items()}
    return {**parameters, "baseline": [baseline or baseline_name()], **extra}


def page_link(
    page: str, label: str, wanted: Selection, baseline: str | None = None, **more: str
) -> None:
    """A link to a page of this dashboard that shows a selection."""
    if page in ("cases", "case"):
        more = {**_order_parameters(), **more}
    parameters = link(wanted, baseline, **more)
    st.page_link(
        f"pages/{page}.py",
        label=label,
        icon=":material/arrow_forward:",
        icon_position="right",
        query_params=[(key, value) for key, values in parameters.items() for value in values],
    )


def _order_parameters() -> dict[str, str]:
    """How cases are sorted, where that is not as usual."""
    held = {name: st.session_state.get(name) for name in ("sort", "order")}
    usual = (None, "timestamp", ORDERS[0])
    return {name: str(value) for name, value in held.items() if value not in usual}


def viewer_zone() -> str | None:
    return st.context.timezone


# --- the sidebar ----------------------------------------------------------------------------


def sidebar(log: OpenLog) -> None:
    """All filters in groups that fold, presets, and the baseline."""
    chosen = selection()
    _presets(log, chosen)
    counts = _active(log, chosen)
    for group, fill in (
        ("When", _when),
        ("Where", _where),
        ("What users said", _users),
        ("What the model said", _model),
        ("What the image looks like", _image),
    ):
        active = counts[group]
        label = f"{group} · **{active}**" if active else group
        with st.expander(label, expanded=active > 0):
            fill(log, chosen)
    offered = [*queries.baseline_names(log.warehouse, chosen), baseline_name()]
    labels = {name: _baseline_label(log, name) for name in offered}
    st.selectbox(
        "Compare with",
        list(labels),
        key=_preset_widget("baseline", baseline_name()),
        format_func=lambda name: labels.get(name, name),
        on_change=_baseline_changed,
        help="The baseline: what every distribution is drawn beside. Usually the test set; or "
        "the window of the same length before (of all times, the older half), what nobody "
        "flagged (against what was flagged), another version, or a saved selection.",
    )
    _saved(log, chosen)


@dataclass(frozen=True)
class _Told:
    """What came of writing to the log; taken: a name that could be replaced."""

    done: bool
    sentence: str
    taken: str = ""


def _baseline_label(log: OpenLog, name: str) -> str:
    if name == queries.BEFORE:
        return "the window before"
    return queries.baseline(log.warehouse, selection(), name).label


def _saved(log: OpenLog, chosen: Selection) -> None:
    """Selections that have a name: open one, compare with it, remove it, save this one."""
    told = st.session_state.pop("told", None)
    saved = {found.name: found for found in queries.saved_selections(log.warehouse)}
    label = f"Saved selections · **{len(saved)}**" if saved else "Saved selections"
    with st.expander(label, expanded=told is not None, key="saved"):
        if told is not None:
            (st.success if told.done else st.warning)(words.plain(told.sentence))
            if told.taken:
                st.button(
                    "Replace it",
                    key="saved.replace",
                    on_click=_save,
                    args=(log, chosen, told.taken),
                    help="For everybody who looks at this log.",
                )
        if saved:
            name = st.selectbox(
                "Saved selection",
                list(saved),
                index=None,
                key="widget.saved",
                placeholder="Choose one",
                label_visibility="collapsed",
            )
            if name is not None:
                _saved_one(log, saved[name])
        with st.form("save", border=False):
            st.text_input(
                "Save this selection as", key="widget.name", placeholder="its name, for all to see"
            )
            st.form_submit_button("Save", on_click=_save, args=(log, chosen))


def _saved_one(log: OpenLog, found: SavedSelection) -> None:
    if found.selection is None:
        st.caption(f"This dashboard cannot open it: {words.plain(found.problem)}")
    else:
        said = [what for _, what in sentences(found.selection, log.warehouse.projections)]
        st.caption(words.plain(" · ".join(said) or "all records"))
    with st.container(horizontal=True, gap="xxsmall"):
        if found.selection is not None:
            st.button("Open", key="saved.open", on_click=select, args=(found.selection,))
            st.button(
                "Compare",
                key="saved.compare",
                on_click=_compare_with,
                args=(queries.selection_baseline(found.selection),),
                help="Make it the baseline.",
            )
        with st.popover("Remove", type="tertiary"):
            st.caption("It goes for everybody who looks at this log.")
            st.button("Remove it", key="saved.remove", on_click=_remove, args=(log, found.name))


def _save(log: OpenLog, chosen: Selection, replaced: str = "") -> None:
    """Under the name that was typed, or in the place of the one that has this name."""
    name = replaced or st.session_state["widget.name"]
    done = "Replaced" if replaced else "Saved"
    if _told(name, lambda: log.save_selection(name, chosen, bool(replaced)), done):
        st.session_state["widget.name"] = ""


def _remove(log: OpenLog, name: str) -> None:
    _told(name, lambda: log.remove_selection(name), "Removed")


def _told(name: str, write: Callable[[], bool], done: str) -> bool:
    """Whether it was written; what came of it is told where it was asked for."""
    try:
        shown = write()
    except (SelectionError, LogError) as error:
        taken = name if isinstance(error, NameTakenError) else ""
        st.session_state["told"] = _Told(False, str(error), taken)
        return False
    sentence = f"{done}." if shown else f"{done}. It shows after the next sync."
    st.session_state["told"] = _Told(True, sentence)
    return True


def _active(log: OpenLog, chosen: Selection) -> dict[str, int]:
    counts = dict.fromkeys(GROUPS, 0)
    for row in FILTERS:
        counts[row.group] += bool(getattr(chosen, row.key))
    for held in chosen.ranges:
        counts[_group(log.warehouse.projections[held.projection])] += 1
    return counts


def _group(row: Projection) -> str:
    return "What the image looks like" if row.of_image else "What the model said"


def _presets(log: OpenLog, chosen: Selection) -> None:
    with st.container(horizontal=True, gap="xxsmall", key="presets"):
        for preset in queries.presets(log.warehouse, baseline(log).selection):
            st.button(
                preset.label,
                help=f"Show {preset.explanation}.",
                type="primary" if preset.apply(chosen) == chosen else "secondary",
                on_click=_toggle,
                args=(preset,),
                key=f"preset.{preset.label}",
            )
        if chosen != Selection():
            st.button(
                "Show all",
                type="tertiary",
                on_click=select,
                args=(Selection(),),
                help="Show every record of the log.",
            )


def _toggle(preset: Preset) -> None:
    chosen = selection()
    if preset.apply(chosen) != chosen:
        select(preset.apply(chosen))
    else:
        select(chosen.without(preset.range.projection if preset.range else "flag"))


def _preset_widget(name: str, value: Any) -> str:
    """The key of a widget, after making it show a value that may have been set elsewhere."""
    key = f"widget.{name}"
    st.session_state[key] = value
    return key


def _changed(field: str, read: Callable[[Any], Any] = lambda value: value) -> None:
    select(replace(selection(), **{field: read(st.session_state[f"widget.{field}"])}))


def _baseline_changed() -> None:
    _compare_with(st.session_state["widget.baseline"])


def _compare_with(name: str) -> None:
    st.session_state["baseline"] = name
    st.session_state["problems"] = []


def _when(log: OpenLog, chosen: Selection) -> None:
    newest = queries.time_span(log.warehouse, Selection())
    if newest is None:
        st.caption("The log is empty.")
        return
    first, last = newest[0].date(), newest[1].date()
    with st.container(horizontal=True, gap="xxsmall"):
        for label, days in (("1 week", 7), ("4 weeks", 28), ("8 weeks", 56)):
            since = datetime.combine(last - timedelta(days=days - 1), datetime.min.time(), UTC)
            st.button(
                label,
                on_click=select,
                args=(replace(chosen, since=since, until=None),),
                help="Counted back from the newest record.",
            )
    st.date_input(
        "From (UTC)",
        key=_preset_widget("since", _day(chosen.since)),
        min_value=min(first, _day(chosen.since) or first),
        max_value=max(last, _day(chosen.since) or last),
        on_change=_changed,
        args=("since", _midnight),
        format="YYYY-MM-DD",
    )
    until = _day(chosen.until - timedelta(microseconds=1) if chosen.until else None)
    st.date_input(
        "To, that day included (UTC)",
        key=_preset_widget("until", until),
        min_value=min(first, until or first),
        max_value=max(last, until or last),
        on_change=_changed,
        args=("until", lambda day: _midnight(day + timedelta(days=1) if day else None)),
        format="YYYY-MM-DD",
    )
    _several("hour", "Hours of the day (UTC)", range(24), chosen.hour, lambda hour: f"{hour:02}")
    _several("weekday", "Days of the week (UTC)", WEEKDAYS, chosen.weekday)


def _several(
    field: str,
    label: str,
    options: Sequence[Any],
    held: Sequence[Any],
    format_func: Callable[[Any], str] = str,
    placeholder: str = "All",
) -> None:
    """Some of a few values, in their order."""
    st.multiselect(
        label,
        options,
        key=_preset_widget(field, list(held)),
        format_func=format_func,
        on_change=_changed,
        args=(field, lambda picked: tuple(value for value in options if value in picked)),
        placeholder=placeholder,
    )


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, datetime.min.time(), UTC)


def _where(log: OpenLog, chosen: Selection) -> None:
    for field, label in (
        ("environment", "Environment"),
        ("version", "Model version"),
        ("application", "Application"),
    ):
        held = list(getattr(chosen, field))
        found = queries.choices(log.warehouse, field)  # type: ignore[arg-type]
        if field == "application" and len(found) < 2 and not held:
            continue
        st.multiselect(
            label,
            list(dict.fromkeys([*found, *held])),
            key=_preset_widget(field, held),
            on_change=_changed,
            args=(field, tuple),
            placeholder="All",
        )
    found_tags = [
        Tag(name, value)
        for name, values in queries.log_tags(log.warehouse).categories.items()
        for value in [*values[:MOST_TAG_VALUES], NO_VALUE]
    ]
    if found_tags or chosen.tag:
        st.multiselect(
            "Tags",
            list(dict.fromkeys([*found_tags, *chosen.tag])),
            key=_preset_widget("tag", list(chosen.tag)),
            format_func=lambda tag: f"{tag.name}: {words.named(tag.value, tag.name)}",
            on_change=_changed,
            args=("tag", tuple),
            placeholder="All",
            help="What the application logged beside its predictions. Of one tag, any value.",
        )
    _tag_ranges(log, chosen)
    st.toggle(
        "Each image once",
        key=_preset_widget("images", chosen.each_image_once),
        on_change=_changed,
        args=("images", lambda on: "once" if on else ""),
        help="Several records of the same image (the same bytes) count as one: the first.",
    )


def _tag_ranges(log: OpenLog, chosen: Selection) -> None:
    """From and to of each tag of numbers that is asked about, and a way to add one."""
    for held in chosen.tag_range:
        label = words.plain(held.projection)
        if held.missing:
            st.caption(f"{label}: records without a number")
            continue
        with st.container(horizontal=True):
            for side, said, lowest, highest in (
                ("low", "from", None, held.high),
                ("high", "to under", held.low, None),
            ):
                st.number_input(
                    f"{label} {said}",
                    min_value=lowest,
                    max_value=highest,
                    value=None,
                    key=_preset_widget(f"{side}.{held.projection}", getattr(held, side)),
                    format="%g",
                    on_change=_tag_range_changed,
                    args=(held, side),
                )
    used = {held.projection for held in chosen.tag_range}
    tags = queries.log_tags(log.warehouse).tags
    offered = [tag.name for tag in tags if tag.is_number and tag.name not in used]
    if offered:
        st.selectbox(
            "Add a range of a tag",
            offered,
            index=None,
            key=_preset_widget("add.tag_range", None),
            placeholder="Choose a tag of numbers",
            on_change=_tag_range_added,
        )


def _tag_range_changed(held: Range, side: str) -> None:
    limits = {side: st.session_state[f"widget.{side}.{held.projection}"]}
    select(selection().with_tag_range(replace(held, **limits)))


def _tag_range_added() -> None:
    name = st.session_state["widget.add.tag_range"]
    if name is not None:
        select(selection().with_tag_range(Range(name)))


def _users(log: OpenLog, chosen: Selection) -> None:
    held = list(chosen.flag)
    found = queries.flags(log.warehouse)
    names = {ANY_FLAG: "any flag", NO_FLAG: "no flag"}
    st.pills(
        "Flags",
        list(dict.fromkeys([ANY_FLAG, NO_FLAG, *found, *held])),
        selection_mode="multi",
        format_func=lambda flag: names.get(flag) or words.plain(flag),
        key=_preset_widget("flag", held),
        on_change=_changed,
        args=("flag", tuple),
    )
    if found or chosen.without_flag:
        every = list(dict.fromkeys([*found, *chosen.without_flag]))
        _several("without_flag", "Without flags", every, chosen.without_flag, placeholder="None")


def _model(log: OpenLog, chosen: Selection) -> None:
    for field, label, help in (
        ("text", "Output contains", "Any part of the text."),
        ("word", "Output has the word", "A whole word, with or without punctuation around it."),
        ("without_word", "Output without the word", "A whole word that is not there."),
    ):
        st.text_input(
            label,
            key=_preset_widget(field, getattr(chosen, field)),
            on_change=_written,
            args=(field,),
            max_chars=1000,
            help=f"{help} Upper and lower case are the same.",
        )
    _ranges(log, chosen, "What the model said")


def _written(field: str) -> None:
    """A text of the sidebar becomes a filter as it would from the address."""
    row = next(row for row in FILTERS if row.key == field)
    try:
        _changed(field, lambda text: row.read([text]))
    except SelectionError as error:
        st.session_state["problems"] = [f"{row.label} was left out: {error}"]


def _image(log: OpenLog, chosen: Selection) -> None:
    _several("image_state", "Image", list(IMAGE_STATES), chosen.image_state)
    _ranges(log, chosen, "What the image looks like")


def _ranges(log: OpenLog, chosen: Selection, group: str) -> None:
    """A slider for each range in force, and a way to add one."""
    bins = queries.extents(log.warehouse)
    projections = log.warehouse.projections
    for held in chosen.ranges:
        row = projections[held.projection]
        if _group(row) != group:
            continue
        if held.missing or held.projection not in bins:
            st.caption(f"{row.label}: records without a value")
            continue
        edges = bins[held.projection].edges
        low = edges[0] if held.low is None else held.low
        high = edges[-1] if held.high is None else held.high
        st.select_slider(
            f"{row.label} ({row.unit})",
            sorted({*edges, low, high}),
            (low, high),
            key=_preset_widget(f"range.{row.name}", (low, high)),
            format_func=words.edge,
            on_change=_range_changed,
            args=(f"widget.range.{row.name}", row.name, edges[0], edges[-1]),
            help=row.explanation,
        )
    used = {held.projection for held in chosen.ranges}
    offered = [n for n in bins if n not in used and _group(projections[n]) == group]
    if offered:
        st.selectbox(
            "Add a range of",
            offered,
            index=None,
            key=_preset_widget(f"add.{group}", None),
            format_func=lambda name: projections[name].label,
            placeholder="Choose a projection",
            on_change=_range_added,
            args=(f"widget.add.{group}",),
        )


def _range_changed(key: str, name: str, lowest: float, highest: float) -> None:
    low, high = st.session_state[key]
    wanted = Range(name, None if low <= lowest else low, None if high >= highest else high)
    select(selection().with_range(wanted))


def _range_added(key: str) -> None:
    if st.session_state[key] is not None:
        select(selection().with_range(Range(st.session_state[key])))


# --- the top of every page --------------------------------------------------------------------


def selection_bar(log: OpenLog) -> DeltaGenerator:
    """The selection as removable chips, and how much it holds; returns a place for the link."""
    chosen = selection()
    held = queries.coverage(log.warehouse, chosen)
    total = queries.status(log.warehouse).predictions
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="bar"):
        for name, sentence in sentences(chosen, log.warehouse.projections):
            st.button(
                words.plain(sentence),
                icon=":material/close:",
                icon_position="right",
                key=f"chip.{name}",
                on_click=select,
                args=(chosen.without(name),),
                help="Remove this filter",
            )
        st.markdown(
            f"**{words.count(held.predictions)}** of {words.count(total, 'record')}",
            help=f"{held.predictions:,} of {total:,} records; {held.images:,} distinct images.",
            width="content",
        )
        return st.empty()


def address(place: DeltaGenerator) -> None:
    """The page's address, complete once the page has run."""
    parameters = {key: st.query_params.get_all(key) for key in st.query_params}
    with place.popover("Link", icon=":material/link:", type="tertiary"):
        st.caption("Whoever opens this address sees the same records.")
        base = (st.context.url or "").partition("?")[0]
        st.code(f"{base}?{encoded(parameters)}", language=None, wrap_lines=True)


# --- choices of single pages --------------------------------------------------------------------


def choice(
    name: str, label: str, options: list[Option], format_func: Callable[[Option], str] = str
) -> Option:
    """A row of options of which one is chosen, kept in the URL under `name`."""
    held = chosen(name, options)
    st.segmented_control(
        label,
        options,
        required=True,
        key=_preset_widget(name, held),
        format_func=format_func,
        on_change=_choose,
        args=(name,),
    )
    return held


def menu(
    name: str, label: str, options: list[Option], format_func: Callable[[Option], str] = str
) -> Option:
    """A menu of which one is chosen, kept in the URL under `name`."""
    held = chosen(name, options)
    st.selectbox(
        label,
        options,
        key=_preset_widget(name, held),
        format_func=format_func,
        on_change=_choose,
        args=(name,),
    )
    return held


def several(
    name: str,
    label: str,
    options: list[str],
    usual: list[str],
    most: int,
    format_func: Callable[[str], str],
) -> list[str]:
    """A few of many, at least one, kept in the URL under `name`; `usual` where nothing is said."""
    asked = st.query_params.get_all(name) or st.session_state.get(name) or usual
    chosen = [option for option in dict.fromkeys(asked) if option in options][:most]
    chosen = chosen or [option for option in usual if option in options]
    st.session_state[name] = chosen
    if chosen == usual:
        st.query_params.pop(name, None)
    elif st.query_params.get_all(name) != chosen:
        st.query_params[name] = chosen
    st.multiselect(
        label,
        options,
        key=_preset_widget(name, chosen),
        format_func=format_func,
        max_selections=most,
        on_change=_choose_several,
        args=(name,),
    )
    return chosen


def _choose_several(name: str) -> None:
    st.session_state[name] = st.session_state[f"widget.{name}"]
    st.query_params.pop(name, None)


def page_number(pages: int, name: str = "page", *also_of: object) -> int:
    """Which page of cases, from 0; in the URL; the first again when the selection changes.

    also_of: what else it is a page of.
    """
    of = (selection(), st.session_state.get("sort"), st.session_state.get("order"), *also_of)
    if st.session_state.get(f"{name}d", of) != of:
        st.session_state[name] = "1"
        st.query_params.pop(name, None)
    st.session_state[f"{name}d"] = of
    asked = st.query_params.get(name) or st.session_state.get(name) or "1"
    number = min(max(int(asked) if asked.isdecimal() else 1, 1), pages)
    held = chosen(name, ["1", str(number)])
    key = f"widget.{name}|{held}"
    st.pagination(pages, default=int(held), key=key, on_change=_choose, args=(name, key))
    return int(held) - 1


def chosen(name: str, options: list[Option]) -> Option:
    """What the URL says, or what was chosen before, or the first option; written to the URL."""
    asked = st.query_params.get(name) or st.session_state.get(name)
    held = next((option for option in options if option == asked), options[0])
    st.session_state[name] = held
    if held != options[0] and st.query_params.get(name) != held:
        st.query_params[name] = held
    elif held == options[0]:
        st.query_params.pop(name, None)
    return held


def _choose(name: str, key: str | None = None) -> None:
    chosen = str(st.session_state[key or f"widget.{name}"])
    st.session_state[name] = chosen
    st.query_params[name] = chosen


def record_key(log: OpenLog) -> str | None:
    """The record of the Case page: that of the URL, the one opened last, or the first there is."""
    state = st.session_state
    asked = st.query_params.get("record") or state.get("record")
    if asked is None:
        sort, descending = case_order(log)
        first = queries.cases_page(log.warehouse, selection(), sort, descending, 0, 1).rows
        asked = None if first.empty else str(first["record_key"].iloc[0])
    if asked is not None and st.query_params.get("record") != asked:
        st.query_params["record"] = asked
    state["record"] = asked
    return asked


def is_of_one_case() -> bool:
    """Whether a page that can be of a selection or of one record is asked for the record."""
    return st.query_params.get("of") == "case"


def open_case(key: str) -> None:
    """Show another record; for callbacks."""
    st.session_state["record"] = key
    st.query_params["record"] = key


def case_order(log: OpenLog) -> tuple[str, bool]:
    """What the Cases page is sorted by, and whether downwards."""
    sort = chosen("sort", queries.sort_names(log.warehouse))
    return sort, chosen("order", list(ORDERS)) == "down"


def brush(pair: HistogramPair) -> str:
    """The key of a histogram's chart; it changes with the range, so that no old brush is left."""
    held = [r for r in selection().ranges if r.projection == pair.projection.name]
    return f"brush|{pair.projection.name}|{held}"


def brushed(key: str, pair: HistogramPair) -> None:
    """What a drag over a histogram does: all bars that it touches become the filter."""
    drag = st.session_state[key]["selection"].get("brush", {})
    if not drag:
        return
    low, high = next(iter(drag.values()))
    wanted = Range(pair.projection.name, *pair.bins.around(float(low), float(high)))
    select(selection().with_range(wanted))


# --- linked histograms ----------------------------------------------------------------------------


@dataclass
class _Linked:
    """The chart that is drawn: of what, its number, what it began with and what is brushed now."""

    of: tuple[Any, ...]
    number: int
    begun: Brushes
    now: Brushes | None

    @property
    def key(self) -> str:
        return f"linked|{self.number}"


def linked(cube: Cube) -> tuple[str, Brushes]:
    """The key of the linked histograms' chart, and the brushes and values that it begins with.

    As long as only drags in it change the brushes it stays the same chart, and is not drawn anew
    under the hand; when anything else does, a new one begins with them.
    """
    state = st.session_state
    of, now = (cube.axes, cube.category, cube.frame), (cube.brushes, cube.chosen)
    held: _Linked | None = state.get("linked")
    if held is None or held.key not in state or held.of != of or held.now not in (None, now):
        held = _Linked(of, held.number + 1 if held else 0, now, now)
    held.now = now
    state["linked"] = held
    return held.key, held.begun


def linked_brushed(cube: Cube) -> None:
    """What a drag or a click in the linked histograms does: the bars become filters."""
    held: _Linked = st.session_state["linked"]
    drawn = st.session_state[held.key]["selection"]
    wanted = selection()
    for k, axis in enumerate(cube.axes):
        if f"brush_{k}" in drawn:  # what was not touched is not there
            places = drawn[f"brush_{k}"].get("place")
            wanted = _brush(wanted, axis, axis.brush(*places) if places else None)
    if "picked" in drawn:
        values = [cube.category.values[row["value"]] for row in drawn["picked"] or ()]
        wanted = cube.category.choose(wanted, values)
    select(wanted)
    held.now = None


def _brush(wanted: Selection, axis: Axis, new: Range | None) -> Selection:
    return wanted.without(axis.projection.name) if new is None else wanted.with_range(new)


def brush_slider(axis: Axis, without: int) -> None:
    """The brush of a histogram for the keyboard: its bars from and to, or those without a value."""
    name, edges = axis.projection.name, axis.bins.edges
    held = next((r for r in selection().ranges if r.projection == name), Range(name))
    low = edges[0] if held.low is None else held.low
    high = edges[-1] if held.high is None else held.high
    st.select_slider(
        f"{axis.projection.label}, from and to",
        sorted({*edges, low, high}),
        (low, high),
        key=_preset_widget(f"slider.{name}", (low, high)),
        format_func=words.edge,
        on_change=_slid,
        args=(axis,),
        disabled=held.missing,
        label_visibility="collapsed",
        help=axis.projection.explanation,
    )
    if without:
        st.checkbox(
            f"only the {words.count(without)} without a value",
            key=_preset_widget(f"missing.{name}", held.missing),
            on_change=_missing_chosen,
            args=(axis,),
        )


def _slid(axis: Axis) -> None:
    low, high = st.session_state[f"widget.slider.{axis.projection.name}"]
    lowest, highest = axis.bins.edges[0], axis.bins.edges[-1]
    new = Range(
        axis.projection.name, None if low <= lowest else low, None if high >= highest else high
    )
    everything = new.low is None and new.high is None
    select(_brush(selection(), axis, None if everything else new))


def _missing_chosen(axis: Axis) -> None:
    name = axis.projection.name
    only = st.session_state[f"widget.missing.{name}"]
    select(_brush(selection(), axis, Range(name, missing=True) if only else None))


def value_pills(cube: Cube) -> None:
    """The values of the category for the keyboard."""
    category = cube.category
    counts = dict(zip(category.values, cube.value_counts(), strict=False))
    chosen = list(category.chosen(selection()))
    shown = [value for value in category.values if counts[value] or value in chosen]
    st.pills(
        category.noun,
        list(dict.fromkeys([*shown, *chosen])),
        selection_mode="multi",
        format_func=lambda value: words.plain(words.named(value, category.noun)),
        key=_preset_widget(f"values.{category.name}", chosen),
        on_change=_values_chosen,
        args=(category,),
        label_visibility="collapsed",
    )


def _values_chosen(category: Category) -> None:
    values = st.session_state[f"widget.values.{category.name}"]
    select(category.choose(selection(), values))


def clear_brushes(cube: Cube) -> None:
    """Take all brushes off; for callbacks."""
    wanted = selection()
    for held in cube.brushes:
        wanted = wanted.without(held.projection)
    select(cube.category.choose(wanted, ()) if cube.chosen else wanted)
