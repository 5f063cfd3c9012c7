"""The sidebar: presets, the filters that everybody needs, the others folded, saved selections."""

import streamlit as st

from data_access import OpenLog, queries
from data_access.queries import Preset
from data_access.selection import FILTERS, Selection
from pages.parts import filters, saved, state


def sidebar(log: OpenLog) -> None:
    """What narrows down the pages, and what they compare with."""
    selection = state.selection()
    _presets(log, selection)
    _baseline(log, selection)
    filters.in_view(log, selection)
    _more(log, selection)
    saved.panel(log, selection)


@st.fragment
def _more(log: OpenLog, selection: Selection) -> None:
    """All other filters; they cost nothing as long as they are folded."""
    state.redraw_if_changed()
    fold = st.expander("More filters", key="more-filters", on_change="rerun")
    if fold.open:
        active = _active(log, selection)
        with fold:
            for group, fill in filters.GROUPS.items():
                name = f"{group} · {active[group]}" if active[group] else group
                st.markdown(f"**{name}**")
                fill(log, selection)


def _active(log: OpenLog, selection: Selection) -> dict[str, int]:
    """How many filters are active in each group, without those that are in view."""
    counts = dict.fromkeys(filters.GROUPS, 0)
    for row in FILTERS:
        if row.key not in filters.IN_VIEW:
            counts[row.group] += bool(getattr(selection, row.key))
    for range_ in selection.ranges:
        counts[filters.group_of(log.warehouse.projections[range_.name])] += 1
    return counts


def _presets(log: OpenLog, selection: Selection) -> None:
    with st.container(horizontal=True, gap="xxsmall", key="presets"):
        for preset in queries.presets(log.warehouse, state.baseline(log).selection):
            st.button(
                preset.label,
                help=f"Show {preset.explanation}.",
                type="primary" if preset.is_in(selection) else "secondary",
                on_click=_toggle,
                args=(preset,),
                key=f"preset.{preset.label}",
            )
        if selection != (usual := state.usual_selection(log)):
            st.button(
                "Reset",
                icon=":material/restart_alt:",
                type="tertiary",
                on_click=state.select,
                args=(usual,),
                help="Back to production, without other filters."
                if usual.environment
                else "Remove all filters.",
            )


def _toggle(preset: Preset) -> None:
    selection = state.selection()
    if preset.is_in(selection):
        state.select(selection.without(preset.range.name if preset.range else "flag"))
    else:
        state.select(preset.apply(selection))


def _baseline(log: OpenLog, selection: Selection) -> None:
    offered = [*queries.baseline_names(log.warehouse, selection), state.baseline_name()]
    labels = {name: _label(log, name) for name in offered}
    st.selectbox(
        "Compare with",
        list(labels),
        key=state.widget("baseline", state.baseline_name()),
        format_func=lambda name: labels.get(name, name),
        on_change=_compare,
        help="The baseline of every comparison: the test set by default; or the preceding window "
        "of the same length (without a time filter, the last 28 days against the 28 before), "
        "unflagged records (against flagged ones), another version, or a saved selection.",
    )


def _label(log: OpenLog, name: str) -> str:
    if name == queries.BEFORE:
        return "the preceding window"
    return queries.baseline(log.warehouse, state.selection(), name).label


def _compare() -> None:
    state.compare_with(state.entered("baseline"))
