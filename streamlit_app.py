"""The frame of every page: configuration, navigation, the selection, and how fresh the log is."""

import streamlit as st

from pages.parts import cards, controls, frame, freshness, store

st.set_page_config(page_title="Misread", page_icon="pages/parts/icon.png", layout="wide")

page = frame.navigation()
cards.style()
log = store.opened()
controls.begin(log)
with st.sidebar:
    controls.sidebar(log)
    freshness.foot(log)
freshness.banner(log)
link = controls.selection_bar(log)
controls.frame()
try:
    page.run()
finally:
    controls.address(link)
