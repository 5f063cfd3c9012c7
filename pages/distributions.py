"""Distributions: how does production differ from what was tested?"""

import streamlit as st

from data_access import queries
from data_access.export import safe_csv
from pages.parts import bar, cards, choices, frame, state, tables, toxicity, words

FIRST = 2  # entropy and image mean come first, then what differs most

log = frame.enter()
selection = state.selection()
baseline = state.baseline(log)
warehouse = log.warehouse

against = words.escape_markdown(baseline.label)

st.title(f"How it differs from {against}")
if not queries.coverage(warehouse, selection).predictions:
    cards.empty("No predictions match these filters.", selection)

compared = queries.histogram_pairs(warehouse, baseline.compared, baseline.selection)
table = queries.drift_table(compared)
different = table[table["verdict"].isin(queries.DIFFERENT)]
few = int((table["verdict"] == "not enough data").sum())
labels = [
    f"{warehouse.projections[name].label} is {verdict}"
    for name, verdict in different[["projection", "verdict"]].head(3).itertuples(index=False)
]
st.markdown(
    f"**{len(different)} of {len(table)}** projections differ from {against}"
    + (f"; most of all, {', '.join(labels)}." if labels else ".")
    + (f" Not enough data for {few}." if few else "")
)
st.caption(
    f"Blue: {words.escape_markdown(baseline.compared_label)}. Grey: {against}. Both as shares of "
    "their own records, in the same bars; the outermost bars include everything beyond. Drag over "
    "a chart to keep only those bars."
)
if shared := queries.shared_records(warehouse, baseline):
    st.info(
        f"{words.count(shared, 'record')} are on both sides, which hides differences: "
        "compare with another time window, version or environment."
    )
if len(selection.ranges):
    shown = queries.coverage(warehouse, selection).predictions
    with st.container(horizontal=True):
        bar.page_link("cases", f"Show the {words.count(shown, 'case')}", selection)
        bar.page_link("causes", "What separates them?", selection)

shares = {pair.projection.name: pair for pair in compared}
order = [row.name for row in warehouse.projections.rows[:FIRST]]
order += [name for name in table["projection"] if name not in order]
with st.grid(3, min_column_width=280):
    for name in order:
        if name in shares:
            bounds = next((r for r in selection.ranges if r.name == name), None)
            cards.histogram(log, shares[name], bounds, baseline)

unscored = [
    f"{warehouse.projections[name].label}: not scored yet ({words.count(count, 'record')})"
    for name, count in queries.unscored_by_projection(warehouse).items()
    if name not in shares and count
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
