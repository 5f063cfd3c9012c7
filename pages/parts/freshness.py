"""How up to date the dashboard is: a line at the foot, a banner where something is wrong."""

from datetime import UTC, datetime
from functools import partial

import streamlit as st

from data_access import OpenLog, queries
from data_access.jobs import SyncJob
from pages.parts import cards, jobs, state, store, words

MORE = "The Data page lists what the last sync did."


@st.fragment(run_every=4.0)
def foot(log: OpenLog) -> None:
    """Sync state, redrawn by itself every few seconds."""
    if queries.status(log.warehouse).predictions and state.is_waiting_for_records():
        st.rerun(scope="app")
    jobs.show(
        store.syncing(),
        lambda: _synced(log),
        key="foot",
        shows=lambda outcome: outcome.cancelled,
    )


def _synced(log: OpenLog) -> None:
    job = store.syncing()
    status = queries.status(log.warehouse)
    last = job.finished or status.synced
    when = words.ago(last, datetime.now(UTC)) if last else "never"
    st.caption(
        f"Synced {when} · {words.count(status.predictions, 'record')} · "
        f"{status.quarantined:,} quarantined"
    )
    st.button(
        "Sync now",
        on_click=job.start,
        type="tertiary",
        icon=":material/sync:",
        help="Read what is new in the log. Pages show it when you next change something.",
    )


@st.fragment(run_every=2.0)
def wait_for(log: OpenLog, record_key: str) -> None:
    """That a record is not there, and a button that syncs; draws the page once it is there."""
    if queries.case(log.warehouse, record_key) is not None:
        st.rerun(scope="app")
    st.info("This record is not in the log, or not synced yet.")
    job = store.syncing()
    st.button(
        "Syncing …" if job.busy else "Sync now",
        key="sync-for-record",
        on_click=job.start,
        disabled=job.busy,
        icon=":material/sync:",
    )


def panel(log: OpenLog, version: int) -> None:
    """How up to date the warehouse is, a button that syncs, and what the last sync did.

    version: of the sync job when the page's numbers were counted.
    """
    _facts(log)
    job = store.syncing()
    jobs.panel(job, partial(_start, job), version=version)


def _start(job: SyncJob) -> None:
    st.button(
        "Sync now",
        key="sync-now",
        on_click=job.start,
        icon=":material/sync:",
        help="Read what is new in the log, and score it.",
    )


@st.fragment(run_every=30.0)  # for how long ago things were
def _facts(log: OpenLog) -> None:
    status = queries.status(log.warehouse)
    zone, now = state.viewer_zone(), datetime.now(UTC)
    objects = queries.objects_by_day(log.warehouse)
    last = store.syncing().finished or status.synced
    with st.grid(4, min_column_width=190):
        for label, moment, explanation in (
            ("Synced", last, "End of the last successful sync."),
            ("Newest record", status.newest, "Time of the newest prediction read."),
            ("Oldest record", status.oldest, "Time of the oldest prediction read."),
        ):
            cards.fact(
                label,
                words.ago(moment, now) if moment else "never",
                words.moment(moment, zone) if moment else "nothing yet",
                explanation + (f" {moment:%Y-%m-%d %H:%M:%S} UTC." if moment else ""),
            )
        count, size = int(objects["objects"].sum()), int(objects["bytes"].sum())
        cards.fact(
            "Objects read",
            words.count(count),
            words.size(size),
            f"{count:,} objects of {size:,} bytes: records, feedback, values, annotations.",
        )


def banner(log: OpenLog) -> None:
    """What went wrong in the last sync, and what the pages show."""
    job = store.syncing()
    if job.problem:
        problem = words.sentence(words.escape_markdown(job.problem))
        rest = "The pages show what was read before." if job.report is None else MORE
        st.warning(f"{problem} {rest}")
    if job.running and queries.status(log.warehouse).predictions == 0:
        st.info("The log is being read for the first time; numbers appear as records come in.")
