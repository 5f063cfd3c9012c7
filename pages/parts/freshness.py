"""How near the dashboard is to its log: a line at the foot, a banner where something is wrong."""

from datetime import UTC, datetime

import streamlit as st

from data_access import OpenLog, queries
from pages.parts import controls, store, words


@st.fragment(run_every=4.0)
def foot(log: OpenLog) -> None:
    """Sync state, redrawn by itself every few seconds."""
    background = store.syncing()
    status = queries.status(log.warehouse)
    if status.served and controls.waits_for_records():
        st.rerun(scope="app")
    if background.running and background.stage:
        total = max(background.total, 1)
        st.progress(
            min(background.done / total, 1.0),
            f"{background.stage} … {background.done:,} of {background.total:,}",
        )
    else:
        last = background.finished or status.synced
        when = words.ago(last, datetime.now(UTC)) if last else "never"
        st.caption(
            f"Synced {when} · {words.count(status.served, 'record')} · "
            f"{status.quarantined:,} quarantined"
        )
    st.button(
        "Sync now",
        on_click=background.ask,
        type="tertiary",
        icon=":material/sync:",
        help="Read what is new in the log. Pages show it when you next change something.",
    )


def banner(log: OpenLog) -> None:
    """What went wrong with the last sync, and what still works."""
    background = store.syncing()
    if background.problem:
        st.warning(f"{words.plain(background.problem)} The pages show what was read before.")
    if background.running and queries.status(log.warehouse).served == 0:
        st.info("The log is being read for the first time; numbers appear as it comes in.")
