"""The frame of every page: configuration, navigation, the selection, and how fresh the log is."""

import streamlit as st

from pages.parts import bar, cards, frame, freshness, sidebar, state, store

st.set_page_config(page_title="Misread", page_icon="pages/parts/icon.png", layout="wide")

page = frame.navigation()
cards.style()
log = store.opened()
state.begin(log)
with st.sidebar:
    sidebar.sidebar(log)
    freshness.foot(log)
freshness.banner(log)
link = bar.selection_bar(log)
bar.address(link)  # here too: a page that stops takes along all that follows it
state.enter_frame()
page.run()
bar.address(link)
