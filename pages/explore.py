"""Explore: which records lie in these bars of several histograms at once?"""

import streamlit as st

from data_access import queries
from data_access.projections.table import ENTROPY, IMAGE_MEAN
from pages.parts import bar, brushes, cards, choices, frame, groups, linked, state, toxicity, words

USUAL = (ENTROPY, IMAGE_MEAN, "outputs.confidence")
SHOWN = 12

log = frame.enter()
baseline = state.baseline(log)
selection = baseline.compared
warehouse = log.warehouse

st.title("Explore")
if not queries.extents(warehouse):
    cards.empty("No records are scored yet.", selection)

axes = queries.axes(warehouse, linked.names(log, USUAL))
offered = queries.cube_categories(warehouse, selection)
category = linked.category(offered)
cube = queries.count_cube(warehouse, selection, axes, category)
other = queries.count_cube(warehouse, baseline.selection, axes, category)
if not cube.records:
    cards.no_match(selection)

against = words.escape_markdown(words.environment(baseline.label))
st.caption(
    "Drag over a histogram, or click bars at the bottom; the others update as you drag. Blue: "
    "records matching the other filters. Grey: all "
    f"{words.count(other.records, 'record')} ({against}). Bars: % of each."
)
linked.histograms(cube, other, baseline, offered)
groups.by_group(log, selection, offered)

with st.container(horizontal=True, vertical_alignment="center"):
    st.header(f"{words.count(cube.brushed, 'case').capitalize()} in these bars")
    if cube.brushes or cube.chosen:
        st.button("Clear brushes", on_click=brushes.clear_brushes, args=(cube,), key="clear")
    bar.page_link("cases", "Show all", selection)
sort, descending = choices.case_order(log)
page = queries.cases_page(warehouse, selection, sort, descending, 0, SHOWN)
if not page.records:
    st.info("No record is in all of these bars.")
    st.stop()
st.caption(f"First {len(page.records):,} of {page.total:,}, sorted as on Cases.")
cards.gallery(
    log, page.records, [axis.projection for axis in axes], page.rows["same_image"].tolist()
)
toxicity.caption(warehouse.score_sources())
