"""The frame of every page: configuration, navigation, the selection, and how fresh the log is."""

import streamlit as st

from pages.parts import cards, controls, freshness, store

st.set_page_config(page_title="Misread", page_icon="pages/parts/icon.png", layout="wide")

page = st.navigation(
    [
        st.Page("pages/overview.py", title="Overview", default=True),
        st.Page("pages/distributions.py", title="Distributions"),
        st.Page("pages/cases.py", title="Cases"),
        st.Page("pages/case.py", title="Case"),
        st.Page("pages/data.py", title="Data"),
    ],
    position="top",
)
cards.style()
log = store.opened()
controls.begin(log)
with st.sidebar:
    controls.sidebar(log)
    freshness.foot(log)
freshness.banner(log)
controls.selection_bar(log)
page.run()
