"""Widgets for the choices of single pages: each is kept in the URL under a name of the page's."""

from collections.abc import Callable

import streamlit as st

from data_access import OpenLog, queries
from pages.parts import state
from pages.parts.state import Option

ORDERS = ("down", "up")


def choice(
    name: str, label: str, options: list[Option], format_func: Callable[[Option], str] = str
) -> Option:
    """One of a few options, side by side."""
    option = state.chosen(name, options)
    st.segmented_control(
        label,
        options,
        required=True,
        key=state.widget(f"page.{name}", option),
        format_func=format_func,
        on_change=_choose,
        args=(name,),
    )
    return option


def menu(
    name: str, label: str, options: list[Option], format_func: Callable[[Option], str] = str
) -> Option:
    """One of many options, in a menu."""
    option = state.chosen(name, options)
    st.selectbox(
        label,
        options,
        key=state.widget(f"page.{name}", option),
        format_func=format_func,
        on_change=_choose,
        args=(name,),
    )
    return option


def several(
    name: str,
    label: str,
    options: list[str],
    usual: list[str],
    most: int,
    format_func: Callable[[str], str],
) -> list[str]:
    """At least one and at most `most` of many options; `usual` where nothing was chosen."""
    wanted = state.asked(name) or usual
    picked = [option for option in dict.fromkeys(wanted) if option in options][:most]
    picked = picked or [option for option in usual if option in options]
    state.settle(name, picked, usual)
    st.multiselect(
        label,
        options,
        key=state.widget(f"page.{name}", picked),
        format_func=format_func,
        max_selections=most,
        on_change=_choose_several,
        args=(name,),
    )
    return picked


def _choose(name: str) -> None:
    state.choose(name, [str(state.entered(f"page.{name}"))])


def _choose_several(name: str) -> None:
    state.choose(name, list(state.entered(f"page.{name}")))


def page_number(pages: int, name: str = "number", *also_of: object) -> int:
    """Which page of cases, from 0; the first again when the selection or the order changes.

    also_of: what else it is a page of.
    """
    of = (state.selection(), state.asked("sort"), state.asked("order"), *also_of)
    if state.recall(f"pages of {name}") not in (None, of):
        state.settle(name, ["1"], ["1"])
    state.remember(f"pages of {name}", of)
    wanted = (state.asked(name) or ["1"])[-1]
    number = min(max(int(wanted) if wanted.isdecimal() else 1, 1), pages)
    shown = state.chosen(name, ["1", str(number)])
    key = f"page.{name}|{shown}"  # a pagination cannot be set: another page is another widget
    st.pagination(pages, default=int(shown), key=f"widget.{key}", on_change=_turn, args=(name, key))
    return int(shown) - 1


def _turn(name: str, key: str) -> None:
    state.choose(name, [str(state.entered(key))])


def case_order(log: OpenLog) -> tuple[str, bool]:
    """What the Cases page is sorted by, and whether downwards."""
    sort = state.chosen("sort", queries.sort_names(log.warehouse))
    return sort, state.chosen("order", ORDERS) == "down"


def record_key(log: OpenLog) -> str | None:
    """The record of the Case page: that of the URL, the one opened last, or the first there is."""
    wanted = state.asked("record")[-1:]
    if not wanted:
        sort, descending = case_order(log)
        first = queries.cases_page(log.warehouse, state.selection(), sort, descending, 0, 1)
        wanted = [record.record_key for record in first.records]
    if not wanted:
        return None
    state.settle("record", wanted, [])
    return wanted[0]


def open_case(key: str) -> None:
    """Show another record; for callbacks."""
    state.choose("record", [key])


def is_of_one_case() -> bool:
    """Whether a page that can be of a selection or of one record is asked for the record."""
    return state.in_url("of") == ["case"]
