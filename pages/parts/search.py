"""The search box at the top of every page: what a text may mean, each meaning one click away."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from data_access import OpenLog, queries
from data_access.queries import Match
from data_access.selection import Selection
from pages.parts import bar, state, words

SHOWN_CHARACTERS = 40
SEARCHED = (
    "Searched: outputs, truths and corrections, comments, users, image names and the start of "
    "record keys, as spelled here. A date (28 Aug 2026) or a time (14:30) works too."
)
CONTAINING = {
    "output": ("output contains", "outputs contain"),
    "truth": ("truth contains", "truths contain"),
    "comment": ("comment contains", "comments contain"),
    "image": ("image name contains", "image names contain"),
}


@st.fragment
def box(log: OpenLog, selection: Selection, page: str) -> None:
    """The box, and below it what was found.

    selection, page: those that the whole page was drawn for. A search ends with them.
    """
    state.redraw_if_changed()
    if state.recall("searched") not in (None, (selection, page)):
        _end()
    text = st.text_input(
        "Search",
        key="widget.search",
        placeholder="Find text, a user, a record key, a date … ( / )",
        icon=":material/search:",
        label_visibility="collapsed",
        width=380,
        on_change=state.remember,
        args=("searched", (selection, page)),
    ).strip()
    if text:
        with st.container(horizontal=True, border=True, gap="xsmall", key="search-results"):
            _results(log, selection, text)


def _end() -> None:
    state.remember("searched", None)
    state.widget("search", "")


def _results(log: OpenLog, selection: Selection, text: str) -> None:
    matches = queries.search(log.warehouse, selection, text, _utc_offset())
    if not matches:
        st.markdown(f"Nothing matches “{_shown(text)}”.", width="content")
        st.caption(SEARCHED)
    for number, match in enumerate(matches):
        if match.kind == "record":
            bar.page_link("case", _label(log, match), match.records, record=match.value)
            continue
        st.button(
            _label(log, match) + (" in the whole log" if match.everywhere else ""),
            icon=":material/filter_alt:",
            key=f"search.{number}",
            on_click=_choose,
            args=(match,),
            help="Replaces all other filters: none of these match them."
            if match.everywhere and selection != Selection()
            else "Adds this filter.",
        )


def _choose(match: Match) -> None:
    state.select(match.records)
    _end()


def _label(log: OpenLog, match: Match) -> str:
    if match.kind == "record":
        return f"Open record {_shown(match.value)}"
    if match.kind in CONTAINING:
        one, more = CONTAINING[match.kind]
        verb = one if match.count == 1 else more
        return f"{words.count(match.count)} {verb} “{_shown(match.value)}”"
    filters = [text for _, text in queries.filter_sentences(log.warehouse, match.filter)]
    if match.kind == "day" and match.filter.since is not None:
        filters = [words.day(match.filter.since)]
    name = _shown(" ".join(filters), most=80)
    return f"{name[0].upper()}{name[1:]}: {words.count(match.count, 'record')}"


def _shown(text: str, most: int = SHOWN_CHARACTERS) -> str:
    short = text if len(text) <= most else f"{text[:most]}…"
    return words.escape_markdown(short)


def _utc_offset() -> timedelta:
    """Of the viewer's clock, today."""
    try:
        zone = ZoneInfo(state.viewer_zone() or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return timedelta()
    return datetime.now(UTC).astimezone(zone).utcoffset() or timedelta()
