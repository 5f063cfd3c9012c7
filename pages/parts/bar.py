"""The top of every page, the selection as chips and the page's address; and links to pages."""

from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data_access import OpenLog, queries
from data_access.selection import Selection, encoded
from pages.parts import keys, state, words
from pages.parts.keys import Key

ADDRESS = "place of the address"


def selection_bar(
    log: OpenLog, news: Callable[[], None], page_keys: Sequence[Key]
) -> DeltaGenerator:
    """The selection as removable chips, and how much it holds; returns a place for the link.

    news: draws what has come since. page_keys: what keys do on this page alone.
    """
    selection = state.selection()
    coverage = queries.coverage(log.warehouse, selection)
    total = queries.status(log.warehouse).predictions
    named = {
        preset.range: preset.label
        for preset in queries.presets(log.warehouse, state.baseline(log).selection)
    }
    ranges = {range_.name: named.get(range_) for range_ in selection.ranges}
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="bar"):
        for name, sentence in queries.filter_sentences(log.warehouse, selection):
            st.button(
                words.escape_markdown(ranges.get(name) or sentence),
                icon=":material/close:",
                icon_position="right",
                key=f"chip.{name}",
                on_click=state.select,
                args=(selection.without(name),),
                help=f"{words.escape_markdown(sentence)} (click to remove)",
            )
        _baseline_chip(log)
        st.markdown(
            f"**{words.count(coverage.predictions)}** of {words.count(total, 'record')}",
            help=f"{coverage.predictions:,} of {total:,} records; "
            f"{coverage.images:,} distinct images.",
            width="content",
        )
        with st.container(width="content"):
            news()
        link = st.empty()
        keys.panel(page_keys)
        return link


def _baseline_chip(log: OpenLog) -> None:
    """Says what is compared with, where that is not the usual baseline."""
    if not queries.status(log.warehouse).predictions:
        return
    usual = queries.usual_baseline(log.warehouse, state.selection())
    if state.baseline_name() != usual:
        st.button(
            words.escape_markdown(f"compared with {state.baseline(log).label}"),
            icon=":material/close:",
            icon_position="right",
            key="chip.baseline",
            on_click=state.compare_with,
            args=(usual,),
            help=words.escape_markdown(f"Compare with {usual} again"),
        )


def address(place: DeltaGenerator) -> None:
    """The page's address, complete once the page has run."""
    state.remember(ADDRESS, place)
    page, parameters = state.address()
    with place.popover("Link", icon=":material/link:", type="tertiary"):
        st.caption("Anyone who opens this link sees the same records.")
        st.code(f"{page}?{encoded(parameters)}", language=None, wrap_lines=True)


def redraw_address() -> None:
    """The address again, where a fragment alone has changed what the page shows."""
    address(state.recall(ADDRESS))


def page_link(
    page: str,
    label: str,
    selection: Selection,
    baseline: str | None = None,
    back: bool = False,
    **choices: str,
) -> None:
    """A link to a page of this dashboard that shows a selection; choices: that page's own.

    back: whether it leads back to where one came from.
    """
    parameters = _parameters(page, selection, baseline, choices)
    st.page_link(
        f"pages/{page}.py",
        label=label,
        icon=f":material/arrow_{'back' if back else 'forward'}:",
        icon_position="left" if back else "right",
        query_params=[(key, value) for key, values in parameters.items() for value in values],
    )


def case_address(record_key: str) -> str:
    """The address of a case beside that of the page."""
    parameters = _parameters("case", state.selection(), None, {"record": record_key})
    return f"case?{encoded(parameters)}"


def cases_address(selection: Selection) -> str:
    """The address of the cases of a selection."""
    return f"cases?{encoded(_parameters('cases', selection, None, {}))}"


def _parameters(
    page: str, selection: Selection, baseline: str | None, choices: dict[str, str]
) -> state.Parameters:
    if page in ("cases", "case"):
        choices = {**_order(), **choices}
    return state.link(selection, baseline, **choices)


def _order() -> dict[str, str]:
    """How a person chose to sort cases."""
    wanted = {name: state.asked(name)[-1:] for name in ("sort", "order")}
    return {name: values[0] for name, values in wanted.items() if values}
