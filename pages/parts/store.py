"""The log of this dashboard: opened once per process, and the jobs that keep it up to date."""

import atexit

import streamlit as st

import data_access
from data_access.errors import MisreadError
from data_access.jobs import ScoringJob, SyncJob
from replay.evidence import Evidence

FIRST_RUN = """
There are two ways to get one:

- **The sample log.** In a terminal, run `make run`.
- **Your own.** Set `MISREAD_LOG=s3://bucket/prefix` (with your usual AWS profile or variables), or
  `MISREAD_LOG=/path/to/folder`, and run `make run` again.

The README describes the format of a log and the permissions that reading one needs.
"""


@st.cache_resource(show_spinner="Opening the log …")
def _open() -> tuple[data_access.OpenLog, SyncJob, ScoringJob, Evidence]:
    log = data_access.open()
    settings = log.settings
    scoring_job = ScoringJob(log.log, log.warehouse, settings.toxicity, lambda: sync_job.start())
    evidence = Evidence(log.log, log.warehouse.projections.scorer)

    def after() -> None:
        evidence.look()
        if settings.score_new:
            scoring_job.start()

    sync_job = SyncJob(log.log, log.warehouse, settings.sync_seconds, after)
    sync_job.start()
    atexit.register(sync_job.stop)
    atexit.register(scoring_job.stop)
    return log, sync_job, scoring_job, evidence


def opened() -> data_access.OpenLog:
    """The open log; without one, a page that says how to get it, and the end of the run."""
    try:
        return _open()[0]
    except MisreadError as error:
        st.title("No log to show")
        st.error(str(error))
        st.markdown(FIRST_RUN)
        st.stop()


def syncing() -> SyncJob:
    return _open()[1]


def scoring() -> ScoringJob:
    return _open()[2]


def evidence() -> Evidence:
    """Readings and scores of words, as of the last sync."""
    return _open()[3]
