"""How up to date the dashboard is: a line at the foot, a banner where something is wrong."""

from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from data_access import OpenLog, queries
from data_access.queries import Status
from pages.parts import cards, jobs, state, store, words

MORE = "The Data page lists what the last sync did."


REQUESTED = "sync requested"
SHORT_SECONDS = 2.0  # a periodic sync that takes no longer is not worth a word


@dataclass(frozen=True)
class Drawn:
    """What a page was drawn from: the counts of the whole log, and the version of the data."""

    status: Status
    version: int


def drawn(log: OpenLog) -> Drawn:
    """To be called before the page asks anything, so that nothing that came later is missed."""
    version = log.warehouse.version
    return Drawn(queries.status(log.warehouse), version)


@st.fragment(run_every=4.0)
def foot(log: OpenLog, of: Drawn) -> None:
    """Sync state, redrawn by itself every few seconds; of: what the page around it shows."""
    if queries.status(log.warehouse).predictions and state.is_waiting_for_records():
        st.rerun(scope="app")
    job = store.syncing()
    if state.recall(REQUESTED) and not job.busy:
        state.remember(REQUESTED, None)
        if log.warehouse.version != of.version:
            st.rerun(scope="app")
    if job.busy and not state.recall(REQUESTED) and job.elapsed < SHORT_SECONDS:
        _synced(of)
    else:
        jobs.show(job, lambda: _synced(of), key="foot", shows=lambda outcome: outcome.cancelled)


def _synced(of: Drawn) -> None:
    last = store.syncing().finished or of.status.synced
    when = words.ago(last, datetime.now(UTC)) if last else "never"
    st.caption(
        f"Synced {when} · {words.count(of.status.predictions, 'record')} · "
        f"{of.status.quarantined:,} quarantined"
    )
    st.button(
        "Sync now",
        on_click=_request,
        type="tertiary",
        icon=":material/sync:",
        help="Read what is new in the log, and show it.",
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


def _request() -> None:
    state.remember(REQUESTED, True)
    store.syncing().start()


@st.fragment(run_every=4.0)
def news(log: OpenLog, of: Drawn) -> None:
    """Offers what has come since the page was drawn."""
    if log.warehouse.version == of.version:
        return
    more = queries.status(log.warehouse).predictions - of.status.predictions
    if st.button(
        f"{words.count(more)} new: show" if more > 0 else "Updated: show",
        key="news",
        icon=":material/refresh:",
        type="primary",
        help="The log has new records." if more > 0 else "Feedback, scores or other data changed.",
    ):
        st.rerun(scope="app")


def panel(log: OpenLog, version: int) -> None:
    """How up to date the warehouse is, a button that syncs, and what the last sync did.

    version: of the sync job when the page's numbers were counted.
    """
    _facts(log)
    job = store.syncing()
    jobs.panel(job, _start, version=version)


def _start() -> None:
    st.button(
        "Sync now",
        key="sync-now",
        on_click=_request,
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
