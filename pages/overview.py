"""Overview: are users flagging more, which kind, and since which version?"""

import streamlit as st

from data_access import queries
from data_access.projections.table import ENTROPY
from data_access.selection import ANY_FLAG
from pages.parts import (
    bar,
    cards,
    choices,
    frame,
    notes,
    roadmaps,
    start,
    state,
    trends,
    words,
)

TITLE = "Are users flagging more?"
MOVES = 5
NEWEST = 6

log = frame.enter()
selection = state.selection()
baseline = state.baseline(log)
warehouse = log.warehouse

contents = queries.contents(warehouse)
if contents is not None:
    trends.about(contents)
st.title(TITLE)
counts = queries.coverage(warehouse, selection)
if not counts.predictions:
    cards.no_match(selection)

with st.container(horizontal=True, vertical_alignment="bottom"):
    answer = st.container(width="stretch")
    days = trends.window_days(selection)
    copying = st.container(width="content")
recent = queries.recent_window(warehouse, selection, days)
before = queries.window_before(warehouse, recent)
changes = queries.share_changes(warehouse, recent, before, baseline.selection)
flagged = changes[0]
with answer:
    said = trends.answer(flagged, recent)
    st.markdown(said)
fuller = None if flagged.is_rate else queries.earlier_window(warehouse, recent)
if fuller is not None:
    trends.earlier(selection, recent, fuller)
with copying:
    notes.copy_as_text(log, TITLE, said, trends.numbers(changes), recent)
start.start(log, selection, baseline)
trends.shares(changes, recent, baseline.label, counts.unscored)

if queries.failure_modes(warehouse):
    roadmaps.in_overview(queries.roadmap_of(warehouse, selection))

st.header("Flags over time")
with st.container(horizontal=True):
    bucket: queries.Bucket = choices.choice("bucket", "Group by", ["week", "day", "hour"])
    measure = choices.choice("measure", "Show", ["rate", "counts"], trends.MEASURES.__getitem__)
trend = queries.flag_trend(warehouse, selection, bucket)
if trend.empty:
    st.info("No flags match these filters.")
else:
    releases = queries.releases(warehouse, selection)
    trends.flags_over_time(trend, releases, recent, bucket, as_rate=measure == "rate")

st.header(f"Largest changes from the {trends.span(recent)} before")
moves = queries.moves(warehouse, recent, before, MOVES)
if not moves:
    st.caption("No significant change, or not enough data in one of the two windows.")
for move in moves:
    trends.move(move, recent, before)

st.header("Newest flags")
newest = queries.newest_flags(warehouse, selection, NEWEST)
if newest.empty:
    st.caption("No flags match these filters.")
else:
    records = queries.as_records(warehouse, newest)
    moments = newest["flagged"].tolist()
    cards.gallery(log, records, [warehouse.projections[ENTROPY]], moments=moments)
    any_flag = selection if selection.flag else selection.with_flag(ANY_FLAG)
    count = queries.coverage(warehouse, any_flag).predictions
    label = f"All {words.count(count, 'flagged record')}" if count > 1 else "The flagged record"
    bar.page_link("cases", label, any_flag)
