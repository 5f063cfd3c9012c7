"""Data: what does the log hold, and what in it could not be read?"""

import streamlit as st

from data_access import queries
from data_access.export import safe_csv
from pages.parts import controls, frame, words

log = frame.enter()
warehouse = log.warehouse
status = queries.status(warehouse)

st.header("What the log holds")
newest = words.moment(status.newest, controls.viewer_zone()) if status.newest else "never"
st.markdown(
    f"`{log.settings.log}` holds **{status.served:,}** records, **{status.flagged:,}** of them "
    f"flagged; the newest is of {newest}. **{status.quarantined:,}** lines are no records, "
    f"**{status.waiting:,}** pieces of feedback wait for their prediction."
)

st.subheader("Quarantine")
quarantine = queries.quarantine(warehouse)
if quarantine.empty:
    st.caption("Everything in the log could be read as a record.")
else:
    if len(quarantine) < status.quarantined:
        st.caption(f"The first {len(quarantine):,} of {status.quarantined:,}.")
    st.dataframe(
        quarantine,
        hide_index=True,
        column_config={
            "object_key": st.column_config.TextColumn("object", width="medium"),
            "line": st.column_config.NumberColumn("line", format="%d", width="small"),
            "reason": st.column_config.TextColumn("why", width="medium"),
            "excerpt": st.column_config.TextColumn("begins with", width="large"),
        },
    )
    st.download_button(
        "Download as CSV", safe_csv(quarantine), "quarantine.csv", "text/csv",
        icon=":material/download:",
    )  # fmt: skip

st.subheader("By day")
st.dataframe(
    queries.objects_by_day(warehouse),
    hide_index=True,
    column_config={
        "day": "day (UTC)",
        "kind": "what",
        "bytes": st.column_config.NumberColumn("size", format="bytes"),
    },
)

st.subheader("Projections")
unscored = queries.unscored_by_projection(warehouse)
st.dataframe(
    [
        {
            "projection": row.name,
            "unit": row.unit,
            "version": row.version.partition("+")[0],
            "without a value": unscored[row.name],
            "means": row.explanation,
        }
        for row in warehouse.projections.rows
    ],
    hide_index=True,
    column_config={"means": st.column_config.TextColumn(width="large")},
)
