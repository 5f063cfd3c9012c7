"""A background job on a page: how far it is and a button that cancels it, or how it ended."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import streamlit as st

from data_access.jobs import Job, Outcome
from pages.parts import words

REFRESH_SECONDS = 2.0
MAX_FAILURES = 10  # shown


def panel(
    job: Job[Any, Any],
    idle: Callable[[], object] = lambda: None,
    *,
    shows: Callable[[Outcome[Any, Any]], bool] = lambda outcome: True,
    details: Callable[[Any], object] = lambda report: None,
    version: int | None = None,
) -> None:
    """A job, redrawn by itself; when it has added something, the whole page is run again.

    idle: draws what starts it. shows: whether an outcome belongs on this page. details: draws more
    of a report. version: of the job when the page's data was fetched (default: now).
    """
    draw = partial(show, job, idle, key=job.name, shows=shows, details=details)
    _redrawn(job, draw, job.version if version is None else version)


@st.fragment(run_every=REFRESH_SECONDS)
def _redrawn(job: Job[Any, Any], draw: Callable[[], None], version: int) -> None:
    if job.version != version:
        st.rerun(scope="app")
    draw()


def show(
    job: Job[Any, Any],
    idle: Callable[[], object] = lambda: None,
    *,
    key: str,
    shows: Callable[[Outcome[Any, Any]], bool] = lambda outcome: True,
    details: Callable[[Any], object] = lambda report: None,
) -> None:
    """The same, drawn once, for a fragment. key: differs between places of one page."""
    if job.busy:
        _progress(job, key)
        return
    idle()
    if job.outcome is not None and shows(job.outcome):
        _outcome(job, job.outcome, details)


def _progress(job: Job[Any, Any], key: str) -> None:
    done, total, left = job.done, max(job.total, job.done), job.left
    parts = [f"{words.escape_markdown(job.stage) or 'Starting'} …"]
    if total:
        parts.append(f" {done:,} of {total:,}")
    if left is not None:
        parts.append(f", {words.duration(left)} left")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(done / total if total else 0.0, "".join(parts))
        st.button(
            "Cancel",
            key=f"cancel.{key}",
            on_click=job.cancel,
            icon=":material/stop:",
            help="What was done so far is kept.",
        )


def _outcome(
    job: Job[Any, Any], outcome: Outcome[Any, Any], details: Callable[[Any], object]
) -> None:
    if outcome.cancelled:
        st.caption("Cancelled. What was done so far is kept.")
    elif outcome.report is None:
        st.warning(words.escape_markdown(outcome.problem or job.failure))
    else:
        st.caption(words.escape_markdown(job.summary(outcome.report)))
        _failures(job.failures(outcome.report))
        details(outcome.report)


def _failures(failures: Mapping[str, int]) -> None:
    if failures:
        lines = [
            f"- {words.escape_markdown(sentence)}" + (f" ({number:,} times)" if number > 1 else "")
            for sentence, number in list(failures.items())[:MAX_FAILURES]
        ]
        more = len(failures) - MAX_FAILURES
        lines += [f"- and {more:,} more"] if more > 0 else []
        st.warning("Errors:\n\n" + "\n".join(lines))
