"""Distributions: how does production differ from what was tested?"""

import streamlit as st

from data_access import queries
from data_access.export import safe_csv
from pages.parts import cards, controls, frame, toxicity, words

FIRST = 2  # entropy and image mean come first, then what differs most

log = frame.enter()
selection = controls.selection()
baseline = controls.baseline(log)
warehouse = log.warehouse

against = words.plain(baseline.label)

st.header(f"How it differs from {against}")
if not queries.coverage(warehouse, selection).served:
    cards.empty("No record in this selection, so there is nothing to compare.", selection)

compared = queries.histogram_pairs(warehouse, baseline.compared, baseline.selection)
table = queries.drift_table(compared)
different = table[table["verdict"].isin(queries.DIFFERENT)]
labels = [
    f"{warehouse.projections[name].label} is {verdict}"
    for name, verdict in different[["projection", "verdict"]].head(3).itertuples(index=False)
]
st.markdown(
    f"**{len(different)} of {len(table)}** projections differ from {against}"
    + (f"; most of all, {', '.join(labels)}." if labels else ".")
)
st.caption(
    f"Blue: the selection. Grey: {against}. Both as shares of their own records, in the "
    "same bars; the outermost bars hold everything beyond. Drag over a chart to keep only those "
    "bars."
)
if len(selection.ranges):
    shown = queries.coverage(warehouse, selection).served
    controls.page_link("cases", f"Show the {words.count(shown, 'case')}", selection)

shares = {pair.projection.name: pair for pair in compared}
order = [row.name for row in warehouse.projections.rows[:FIRST]]
order += [name for name in table["projection"] if name not in order]
with st.grid(3, min_column_width=280):
    for name in order:
        if name in shares:
            held = next((r for r in selection.ranges if r.projection == name), None)
            cards.histogram(log, shares[name], held, baseline)

unscored = [
    f"{warehouse.projections[name].label}: not scored yet ({words.count(count, 'record')})"
    for name, count in queries.unscored_by_projection(warehouse).items()
    if name not in shares and count
]
if unscored:
    st.caption(" · ".join(unscored))

st.subheader("Drift table")
st.caption(
    "Effect: Cliff's delta, from −1 (every value lower than every baseline value) to 1, with its "
    "95% interval. KS: Kolmogorov–Smirnov distance. JS: Jensen–Shannon divergence in bits. "
    "p: of KS, corrected for the number of projections (Benjamini–Hochberg)."
)
cards.drift_table(table, warehouse.projections)
toxicity.caption(warehouse.score_sources())
st.download_button(
    "Download as CSV", safe_csv(table), "drift.csv", "text/csv", icon=":material/download:"
)
