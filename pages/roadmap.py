"""Roadmap: which kinds of failure are there, how large are they, and did they fall?"""

import streamlit as st

from data_access import queries
from pages.parts import cards, frame, modes, people, roadmaps, state

log = frame.enter()
selection = state.selection()
warehouse = log.warehouse

st.title("Failure modes")
if not queries.coverage(warehouse, selection).predictions:
    cards.empty("No predictions match these filters.", selection)
modes.outcome()
scope = queries.scope_of_roadmap(selection)
found = queries.roadmap_of(warehouse, selection)

asked = state.asked("mode")[-1:]
mode = queries.failure_mode(warehouse, asked[0]) if asked else None
state.settle("mode", [mode.id] if mode else [], [])
if mode is not None:
    roadmaps.opened(log, found, mode, selection)
    st.stop()

roadmaps.answer(found)
if scope != selection:
    st.caption("Sizes are shares of all predictions of these dates, environments, versions and "
               "applications; other filters do not apply here.")  # fmt: skip
with st.container(horizontal=True, vertical_alignment="bottom"):
    people.ask("Kept with what you change.")
    modes.new(log, selection)
if not found.rows:
    st.info("No failure modes yet. Create one here, or while you review.")
    st.stop()
st.caption(
    "Ordered by size × severity. Bars: labelled records by week; dashed lines: releases. "
    "A share of flags is of what users flagged, not an error rate."
)
roadmaps.rows(log, found)
roadmaps.downloads(found)
