"""The pages of this dashboard, and how one is entered."""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from data_access import OpenLog
from pages.parts import state, store


def navigation() -> StreamlitPage:
    """Declares the pages; the one that is asked for, to be run."""
    return st.navigation(
        [
            st.Page("pages/overview.py", title="Overview", default=True),
            st.Page("pages/distributions.py", title="Distributions"),
            st.Page("pages/explore.py", title="Explore"),
            st.Page("pages/cases.py", title="Cases"),
            st.Page("pages/case.py", title="Case"),
            st.Page("pages/causes.py", title="Causes"),
            st.Page("pages/replay.py", title="Replay"),
            st.Page("pages/data.py", title="Data"),
        ],
        position="top",
    )


def enter() -> OpenLog:
    """What every page begins with: the open log, once the frame is around the page.

    Until a server has declared its pages, Streamlit 1.67 takes pages/ for an app of the old kind
    and runs the page of a first, deep link alone; declared, it is run again as it should be.
    """
    if not state.leave_frame():
        navigation()
        st.rerun()
    return store.opened()
