"""Case: what happened here?"""

import json

import streamlit as st

from data_access import queries
from data_access.records import RECORD_COLUMNS
from pages.parts import (
    bar,
    cards,
    charts,
    choices,
    frame,
    freshness,
    one_case,
    pictures,
    state,
    toxicity,
)

log = frame.enter()


@st.fragment  # the next case is drawn alone, without the sidebar and the rest of the frame
@frame.asking(log)
def shown() -> None:
    state.redraw_if_changed()
    selection = state.selection()
    baseline = state.baseline(log)
    warehouse = log.warehouse
    key = choices.record_key(log)
    case = queries.case(warehouse, key) if key else None
    if case is None:
        st.title("No such case" if key else "No case")
        if key:
            freshness.wait_for(log, key)
            return
        cards.no_match(selection)
        return
    record = case.record

    following = one_case.walk(log, selection, record.record_key)
    st.title(one_case.headline(record))
    one_case.facts(case)
    places = queries.places(warehouse, baseline.selection, record)
    with st.grid(2, min_column_width=330, gap="medium"):
        with st.container():
            one_case.image(log, record, selection)
            one_case.unusual(places, baseline.label)
        with st.container():
            one_case.texts(log, record)
            one_case.history(case)

    toxicity.side_by_side(log, record, baseline)
    one_case.same_image(log, case)
    one_case.against(places, baseline.label)
    unscored = [
        row.label
        for row in warehouse.projections.rows
        if record.projections[row.name] is None
        and record.value(row.source) is not None
        and not row.compute
    ]
    if unscored:
        st.caption(f"Not scored yet: {', '.join(unscored)}.")
    one_case.similar(log, record)

    histogram = st.expander("Pixel histogram", key="pixels", on_change="rerun")
    if histogram.open and record.image is not None:
        counts = pictures.levels(log, record.image)
        with histogram:
            if counts is None:
                st.caption("No image.")
            else:
                st.altair_chart(charts.grey_levels(counts), key="grey-levels")
    with st.expander("Tags"):
        st.json(record.tags)
    with st.expander("Raw record"):
        raw = {
            column: record.value(column)
            for column in [*RECORD_COLUMNS.values(), *record.projections]
        }
        st.json(json.loads(json.dumps(raw, default=str)), expanded=1)
    one_case.prepare(log, selection, following)
    bar.redraw_address()


shown()
