"""Widgets for the choices of single pages: each is kept in the URL under a name of the page's."""

from collections.abc import Callable, Sequence

import streamlit as st

from data_access import OpenLog, queries
from data_access.queries import Order
from pages.parts import state
from pages.parts.state import Option

ORDERS = ("down", "up")
CASES_A_PAGE = 24
PAGE_OF_CASES = "number"
OPENED_CASE = "opened case"
CHOSEN_ORDER, LINKED_ORDER = "chosen order", "order of a link"  # of cases


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


def page_number(pages: int, name: str = PAGE_OF_CASES, *also_of: object) -> int:
    """Which page of cases, from 0; the first again when the selection or the order changes.

    also_of: what else it is a page of.
    """
    of = (*_listed(), *also_of)
    if state.recall(f"pages of {name}") not in (None, of):
        state.settle(name, ["1"], ["1"])
    state.remember(f"pages of {name}", of)
    wanted = (state.asked(name) or ["1"])[-1]
    number = min(max(int(wanted) if wanted.isdecimal() else 1, 1), pages)
    shown = state.chosen(name, ["1", str(number)])
    key = f"page.{name}|{shown}"  # a pagination cannot be set: another page is another widget
    st.pagination(pages, default=int(shown), key=f"widget.{key}", on_change=_turn, args=(name, key))
    return int(shown) - 1


def _listed() -> tuple[object, ...]:
    """Which cases are listed, in which order."""
    return state.selection(), state.asked("sort"), state.asked("order")


def _turn(name: str, key: str) -> None:
    state.choose(name, [str(state.entered(key))])


def keep_page_of(place: int) -> int:
    """Have the Cases page open where the case at this place (from 0) is; its page, from 1."""
    number = place // CASES_A_PAGE + 1
    state.keep(PAGE_OF_CASES, [str(number)])
    state.remember(f"pages of {PAGE_OF_CASES}", _listed())
    return number


def case_order(log: OpenLog) -> Order:
    """How cases are sorted: as a person chose, as a link says, or else strangest first.

    The order of a link lasts until something else is filtered.
    """
    names = queries.sort_names(log.warehouse)
    usual = _usual_order(log, names)
    sort, order = asked = _asked_order("sort", names), _asked_order("order", ORDERS)
    linked = state.recall(LINKED_ORDER) or (asked, usual)
    state.remember(LINKED_ORDER, (asked, usual))
    lapsed = linked[0] == asked and linked[1] != usual
    if lapsed and asked != state.recall(CHOSEN_ORDER):
        _forget_order()
        return usual
    if order is None:
        return usual if sort in (None, usual.sort) else Order(sort)
    return Order(sort or usual.sort, order == "down")


def _usual_order(log: OpenLog, names: list[str]) -> Order:
    usual = queries.usual_order(log.warehouse, state.selection(), state.baseline(log).selection)
    return usual if usual.sort in names else Order()


def _asked_order(name: str, options: Sequence[str]) -> str | None:
    """What was chosen, kept in the URL; None where nothing was, or no option."""
    wanted = state.asked(name)[-1:]
    if wanted and wanted[0] in options:
        state.settle(name, wanted, [])
        return wanted[0]
    state.forget(name)
    return None


def order_of_cases(log: OpenLog) -> Order:
    """Widgets for the order of cases; that which is usual for a selection changes with it."""
    names = queries.sort_names(log.warehouse)
    usual, order = _usual_order(log, names), case_order(log)
    labels = log.warehouse.projections
    ends = ("newest", "oldest") if order.sort == "timestamp" else ("highest", "lowest")
    sides = dict(zip(ORDERS, ends, strict=True))
    st.selectbox(
        "Sort by",
        names,
        key=state.widget("page.sort", order.sort),
        format_func=lambda name: "time" if name == "timestamp" else labels[name].label,
        on_change=_sort,
        args=(usual,),
        width=260,
    )
    st.segmented_control(
        "Order",
        ORDERS,
        required=True,
        key=state.widget("page.order", ORDERS[not order.descending]),
        format_func=lambda side: f"{sides[side]} first",
        on_change=_turn_round,
        args=(order.sort, usual),
    )
    return order


def _sort(usual: Order) -> None:
    sort = str(state.entered("page.sort"))
    _choose_order(usual if sort == usual.sort else Order(sort), usual)


def _turn_round(sort: str, usual: Order) -> None:
    _choose_order(Order(sort, state.entered("page.order") == "down"), usual)


def _choose_order(order: Order, usual: Order) -> None:
    if order == usual:
        _forget_order()
        return
    side = ORDERS[not order.descending]
    state.choose("sort", [order.sort])
    state.choose("order", [side])
    state.remember(CHOSEN_ORDER, (order.sort, side))


def _forget_order() -> None:
    state.forget("sort")
    state.forget("order")


def record_key(log: OpenLog) -> str | None:
    """The record of the Case page: that of the URL, the one opened last, or the first there is."""
    wanted = state.asked("record")[-1:]
    if not wanted:
        first = queries.cases_page(log.warehouse, state.selection(), *case_order(log), 0, 1)
        wanted = [record.record_key for record in first.records]
    if not wanted:
        return None
    state.settle("record", wanted, [])
    return wanted[0]


def open_case(key: str) -> None:
    """Show another record; for callbacks."""
    state.choose("record", [key])


def leave_case(key: str) -> None:
    """Remember which case is being looked at, for the list that one goes back to."""
    state.remember(OPENED_CASE, key)


def opened_case() -> str | None:
    """The case that was looked at last, until a list has shown it."""
    key: str | None = state.recall(OPENED_CASE)
    return key


def shown_again() -> None:
    """The list has shown the case that was looked at."""
    state.remember(OPENED_CASE, None)


def is_of_one_case() -> bool:
    """Whether a page that can be of a selection or of one record is asked for the record."""
    return state.in_url("of") == ["case"]
