"""Data: what does the log hold, how fresh is it, and what in it could not be read or scored?"""

import streamlit as st

from data_access import queries
from data_access.export import quarantine_csv
from pages.parts import choices, frame, freshness, inventory, store, toxicity, words

SPLITS: dict[queries.Origin, str] = {
    "environment": "environment",
    "application": "application",
    "object": "kind of object",
}

log = frame.enter()
warehouse = log.warehouse
version = store.syncing().version
status = queries.status(warehouse)

st.title("What the log holds")
st.markdown(
    f"`{log.settings.log}` holds **{status.predictions:,}** records, "
    f"**{status.flagged:,}** of them flagged. **{status.quarantined:,}** unreadable lines, "
    f"**{status.waiting:,}** pieces of feedback wait for their prediction, "
    f"**{status.unscored:,}** records are not scored yet."
)
freshness.panel(log, version)

st.header("By day")
split: queries.Origin = choices.choice("by", "Split by", list(SPLITS), SPLITS.__getitem__)
by_day = queries.events_by_day(warehouse, split)
if by_day.empty:
    st.info("Nothing has been read from this log yet.")
else:
    inventory.by_day(by_day)
    with st.expander("Objects by day"):
        inventory.objects(queries.objects_by_day(warehouse))

st.header("Quarantine")
if not status.quarantined:
    st.caption("Every line could be read.")
else:
    st.caption("Unreadable lines by reason. They are kept and counted, never dropped.")
    inventory.reasons(queries.quarantine_reasons(warehouse))
    filtered, download = st.columns([3, 2], vertical_alignment="bottom")
    within = filtered.text_input(
        "Lines of objects whose key contains", placeholder="such as date=2026-07", key="within"
    )
    with download:
        st.download_button(
            f"Download all {words.count(status.quarantined, 'line')} as CSV",
            lambda: quarantine_csv(warehouse),
            "quarantine.csv",
            "text/csv",
            icon=":material/download:",
        )
    inventory.quarantine(
        queries.quarantine(warehouse, within=within), queries.quarantined(warehouse, within)
    )

st.header("Scores")
toxicity.panel(log)
st.caption("Coverage and version of each projection, and why values are missing.")
inventory.scores(queries.scored(warehouse), status.predictions, warehouse.score_sources())
failures = queries.failures(warehouse)
if len(failures):
    st.markdown("**Failures**", help="Retried when the version of the projection changes.")
    inventory.failures(failures)
