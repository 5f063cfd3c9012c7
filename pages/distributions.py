"""Distributions: how does production differ from what was tested?"""

from dataclasses import replace

import streamlit as st

from data_access import queries
from data_access.export import safe_csv
from data_access.projections.table import ENTROPY, IMAGE_MEAN, TEXT, toxicity_name
from pages.parts import bar, cards, choices, frame, histograms, state, tables, toxicity, words

FIRST = (ENTROPY, toxicity_name("obscene", TEXT), IMAGE_MEAN)

log = frame.enter()
selection = state.selection()
baseline = state.baseline(log)
warehouse = log.warehouse

compared, against = map(words.escape_markdown, histograms.sides(baseline))

st.title(f"{compared[0].upper()}{compared[1:]} vs. {against}")
counts = queries.coverage(warehouse, selection)
if not counts.predictions:
    cards.no_match(selection)

pairs = queries.histogram_pairs(warehouse, baseline.compared, baseline.selection)
histograms.answer(pairs, baseline)
# what a brush must not move: where each histogram stands, and the notice above them
unbrushed = queries.baseline(warehouse, replace(selection, ranges=()), baseline.name)
histograms.shared(queries.shared_records(warehouse, unbrushed))
with st.container(horizontal=True):
    bar.page_link("cases", f"Show the {words.count(counts.predictions, 'case')}", selection)
    bar.page_link("causes", "What separates them?", selection)

whole = queries.histogram_pairs(warehouse, unbrushed.compared, unbrushed.selection)
by_name = {pair.projection.name: pair for pair in pairs}
histograms.row(log, by_name, FIRST, baseline)
toxicity.summary(log, selection, baseline)
for group in queries.drift_groups([p for p in whole if p.projection.name not in FIRST]):
    histograms.group(log, by_name, group, baseline)

unscored = [
    f"{warehouse.projections[name].label}: not scored yet ({words.count(count, 'record')})"
    for name, count in queries.unscored_by_projection(warehouse).items()
    if name not in by_name and count
]
if unscored:
    st.caption(" · ".join(unscored))

st.header("Drift table")
st.caption("Hover over a column header for its definition.")
columns = choices.choice(
    "columns",
    "Columns",
    list(tables.COLUMNS),
    lambda name: {"main": "main", "all": "all"}[name],
)
table = queries.drift_table(pairs)
tables.drift(table, warehouse.projections, columns)
st.download_button(
    "Download as CSV", safe_csv(table), "drift.csv", "text/csv", icon=":material/download:"
)
toxicity.caption(warehouse.score_sources())

st.header("Categories")
categories = queries.category_table(
    queries.category_pairs(warehouse, baseline.compared, baseline.selection)
)
if categories.empty:
    st.caption("No flag, version or tag has more than one value in these records.")
else:
    st.caption(
        "Flag, version and tags, each with the value whose share differs most."
        + tables.tags_note(queries.log_tags(warehouse))
    )
    tables.categories(categories)
    st.download_button(
        "Download as CSV",
        safe_csv(categories),
        "categories.csv",
        "text/csv",
        icon=":material/download:",
        key="categories-csv",
    )
