"""The pages of this dashboard, and how one is entered."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests, ScriptRequestType

from data_access import OpenLog
from data_access.warehouse import SupersededError
from pages.parts import palette, state, store

STATIC = Path(__file__).parent.parent.parent / "static"


def navigation() -> StreamlitPage:
    """Declares the pages, in groups; the one that is asked for, to be run.

    Streamlit's own menu closes on a phone once a page is chosen; links of one's own leave it open.
    """
    return st.navigation(_pages(), expanded=True)


def _pages() -> dict[str, list[StreamlitPage]]:
    return {
        "Watch": [st.Page("pages/overview.py", title="Overview", default=True)],
        "Investigate": [
            st.Page("pages/distributions.py", title="Distributions"),
            st.Page("pages/explore.py", title="Explore"),
            st.Page("pages/cases.py", title="Cases"),
            st.Page("pages/case.py", title="Case", visibility="hidden"),
            st.Page("pages/causes.py", title="Causes"),
            st.Page("pages/replay.py", title="Replay"),
        ],
        "Fix": [
            st.Page("pages/review.py", title="Review"),
            st.Page("pages/roadmap.py", title="Roadmap"),
        ],
        "Log": [st.Page("pages/data.py", title="Data")],
    }


def logo() -> None:
    """The name and the mark, in the ink of the theme that is on."""
    scheme = "dark" if palette.is_dark() else "light"
    st.logo(STATIC / f"logo_{scheme}.svg", icon_image=STATIC / "mark.svg")


def enter() -> OpenLog:
    """What every page begins with: the open log, once the frame is around the page.

    Until a server has declared its pages, Streamlit 1.67 takes pages/ for an app of the old kind
    and runs the page of a first, deep link alone; declared, it is run again as it should be.
    """
    if not state.leave_frame():
        navigation()
        st.rerun()
    return store.opened()


@contextlib.contextmanager
def asking(log: OpenLog) -> Iterator[None]:
    """Run a page whose questions are given up once its viewer has moved on.

    Streamlit alone would notice only after the question that is being answered.
    """
    context = get_script_run_ctx()
    requests = context.script_requests if context else None
    if requests is None:
        yield
        return
    try:
        with log.warehouse.asked_by(lambda: is_superseded(requests)):
            yield
    except SupersededError:
        st.stop()  # Streamlit goes on with what was asked for instead


def is_superseded(requests: ScriptRequests) -> bool:
    """Whether a script is to stop or to run anew; a fragment of it waits for its end."""
    asked = requests._state
    if asked == ScriptRequestType.RERUN:
        return not requests._rerun_data.fragment_id_queue
    return asked == ScriptRequestType.STOP
