"""The frame of every page: configuration, navigation, the selection, and how fresh the log is."""

from functools import partial

import streamlit as st

from pages.parts import bar, frame, freshness, keys, palette, search, sidebar, state, store

st.set_page_config(page_icon=frame.STATIC / "mark.svg", layout="wide")  # before anything is drawn
page = frame.navigation()
st.set_page_config(f"{page.title} · Misread")
frame.logo()
palette.style()
log = store.opened()
with frame.asking(log):
    drawn = freshness.drawn(log)
    state.begin(log)
    freshness.banner(log)
    search.box(log, state.selection(), page.url_path)
    page_keys = keys.OF_PAGES.get(page.url_path, ())
    link = bar.selection_bar(log, partial(freshness.news, log, drawn), page_keys)
    bar.address(link)  # here too: a page that stops takes along all that follows it
    with st.sidebar:  # after the chips, which say at once that a filter was understood
        sidebar.sidebar(log)
        freshness.foot(log, drawn)
    state.enter_frame()
    page.run()
    bar.address(link)
