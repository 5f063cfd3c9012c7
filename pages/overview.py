"""Overview: is it getting worse, and of which kind?"""

import streamlit as st

from data_access import queries
from data_access.projections.table import ENTROPY
from data_access.selection import ANY_FLAG, until_text
from pages.parts import bar, cards, charts, choices, frame, state, words

MOVES = 5
NEWEST = 6

log = frame.enter()
selection = state.selection()
baseline = state.baseline(log)
warehouse = log.warehouse

st.title("Is it getting worse?")
counts = queries.coverage(warehouse, selection)
if not counts.predictions:
    cards.empty("No predictions match these filters.", selection)

recent = queries.recent_window(warehouse, selection)
before = queries.window_before(warehouse, recent)
assert recent.until is not None
window = f"the {words.count(recent.days, 'day')} to {until_text(recent.until)}"
changes = queries.share_changes(warehouse, recent, before, baseline.selection)
cards.shares(changes, window, baseline.label, counts.unscored)

st.header("Flags over time")
with st.container(horizontal=True):
    bucket: queries.Bucket = choices.choice("bucket", "Bars by", ["week", "day", "hour"])
    measure = choices.choice(
        "measure",
        "Show",
        ["counts", "rate"],
        lambda name: {"counts": "count", "rate": "share of predictions"}[name],
    )
trend = queries.flag_trend(warehouse, selection, bucket)
if trend.empty:
    st.info("No flags match these filters.")
else:
    releases = queries.releases(warehouse, selection)
    st.altair_chart(
        charts.flag_trend(trend, releases, bucket, measure == "rate"),
        key="flag-trend",
        alt="Flags by category over time",
    )
    cards.trend_notes(trend, as_rate=measure == "rate")

st.header("Largest changes from the preceding window")
moves = queries.moves(warehouse, recent, before, MOVES)
if not moves:
    st.caption("No significant change, or not enough data in the preceding window.")
for move in moves:
    cards.move(move, recent)

st.header("Newest flags")
newest = queries.newest_flags(warehouse, selection, NEWEST)
if newest.empty:
    st.caption("No flags match these filters.")
else:
    records = queries.as_records(warehouse, newest)
    flagged = newest["flagged"].tolist()
    cards.gallery(log, records, [warehouse.projections[ENTROPY]], moments=flagged)
    any_flag = selection if selection.flag else selection.with_flag(ANY_FLAG)
    count = queries.coverage(warehouse, any_flag).predictions
    bar.page_link("cases", f"All {words.count(count, 'flagged record')}", any_flag)
