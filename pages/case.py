"""Case: what happened here?"""

import json

import streamlit as st

from data_access import queries
from data_access.records import RECORD_COLUMNS
from pages.parts import bar, cards, charts, choices, frame, pictures, state, toxicity, words

log = frame.enter()
selection = state.selection()
baseline = state.baseline(log)
warehouse = log.warehouse

key = choices.record_key(log)
case = queries.case(warehouse, key) if key else None
if case is None:
    st.title("No such case" if key else "No case")
    cards.empty(
        "This record is not in the log, or not synced yet."
        if key
        else "No predictions match these filters.",
        selection,
    )
    st.stop()
record = case.record

cards.walk(log, selection, record.record_key)
st.title(cards.headline(record))
st.markdown(
    f"{words.escape_markdown(record.environment)} · "
    f"version {words.escape_markdown(record.version or 'unknown')} · "
    f" {words.moment(record.timestamp, state.viewer_zone())}"
    + (f" · this image is in {case.same_image:,} records" if case.same_image > 1 else ""),
    help=f"{record.timestamp:%Y-%m-%d %H:%M:%S} UTC; record "
    + words.escape_markdown(record.record_key),
)

left, right = st.columns([3, 2], gap="medium")
with left:
    with st.container(horizontal=True):
        inverted = st.toggle("Invert", help="Swap light and dark.")
        stretched = st.toggle("Stretch contrast", help="Stretch grey levels to the full range.")
        zoomed = st.toggle("Zoom", help="Show at 200%.")
    picture = pictures.large(log, record.image, inverted=inverted, stretched=stretched)
    if picture.encoded is None:
        st.info(words.escape_markdown(picture.problem or ""))
    else:
        alt = record.output_text or "no output"
        st.image(
            picture.encoded, width=pictures.width(picture) * 2 if zoomed else "content", alt=alt
        )
    bar.page_link("replay", "Replay this case", selection, record=record.record_key, of="case")
    counts = pictures.levels(log, record.image) if record.image and picture.encoded else None
    if counts is not None:
        with st.expander("Pixel histogram"):
            st.altair_chart(charts.grey_levels(counts), key="grey-levels")
with right:
    st.caption("The recognizer read")
    st.html(cards.output(record.output_text, record.ground_truth_string))
    st.caption("What users said")
    cards.thread(case.feedback)

toxicity.side_by_side(record, warehouse.score_sources())
st.header(f"Against {words.escape_markdown(baseline.label)}")
with st.grid(4, min_column_width=200):
    for place in queries.places(warehouse, baseline.selection, record):
        with st.container():
            cards.place(place, baseline.label)
unscored = [
    row.label
    for row in warehouse.projections.rows
    if record.projections[row.name] is None
    and record.value(row.source) is not None
    and not row.compute
]
if unscored:
    st.caption(f"Not scored yet: {', '.join(unscored)}.")

with st.expander("Tags"):
    st.json(record.tags)
with st.expander("Raw record"):
    raw = {
        column: record.value(column) for column in [*RECORD_COLUMNS.values(), *record.projections]
    }
    st.json(json.loads(json.dumps(raw, default=str)), expanded=1)
