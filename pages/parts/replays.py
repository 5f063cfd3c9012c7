"""Replays on a page: a question, what is known of it, and the job that finds out more."""

import atexit
import functools
from dataclasses import asdict, dataclass

import pandas as pd
import streamlit as st

from data_access import OpenLog
from data_access.errors import SettingsError
from data_access.queries import Baseline
from pages.parts import jobs, store, words
from readings.sources import own_models, source
from replay.background import ReplayRequest, Replays
from replay.engine import BY_VERSION, Plan, Question, Report, answer, limits_of, plan
from replay.interventions import INTERVENTIONS
from replay.judgement import Limits, Outcome, outcomes


@functools.lru_cache(maxsize=2)
def replays(log: OpenLog) -> Replays:
    """Those of this dashboard."""
    opened = Replays(log, store.evidence().readings)
    atexit.register(opened.job.stop)
    return opened


@dataclass(frozen=True)
class Findings:
    """What is known of a question: what it needs, its trials, and what they come to.

    version: of the job when this was looked up.
    """

    question: Question
    planned: Plan
    limits: Limits
    trials: pd.DataFrame
    outcomes: list[Outcome]
    version: int

    @property
    def cases(self) -> int:
        """How many were read at all."""
        return int(self.trials["record_key"].nunique())

    @property
    def readers(self) -> str:
        """Who reads, in words."""
        labels = dict.fromkeys(reader.label for reader in self.planned.readers.values())
        return words.escape_markdown(" and ".join(labels))


def readers(log: OpenLog) -> dict[str, str]:
    """Labels of the readers to choose from, by setting; the default first."""
    labels = {BY_VERSION: "as logged"}
    labels |= {name: f"always {name}" for name in own_models()}
    default = log.settings.recognizer
    if default and default != BY_VERSION:
        try:
            labels = {default: f"always {source(default).label}"} | labels
        except SettingsError as error:
            st.warning(words.escape_markdown(str(error)))
    return labels


def look(log: OpenLog, question: Question, baseline: Baseline) -> Findings:
    """What the log knows of a question now."""
    known = replays(log)
    version = known.job.version
    with st.spinner("Looking for earlier readings …"):
        planned, problem = known.plan(question)
        findings = _findings(log, question, baseline, planned, version)
    if problem:
        st.warning(f"{words.sentence(words.escape_markdown(problem))} Earlier readings are shown.")
    return findings


def known(log: OpenLog, question: Question, baseline: Baseline) -> Findings:
    """What is known of a question without asking the log."""
    opened = replays(log)
    planned = plan(log, question, opened.readings)
    return _findings(log, question, baseline, planned, opened.job.version)


def _findings(
    log: OpenLog, question: Question, baseline: Baseline, planned: Plan, version: int
) -> Findings:
    readings = replays(log).readings
    trials = answer(log, question, baseline.selection, planned, readings)
    judged = log.warehouse.cached(
        ("replay outcomes", question, baseline.selection, readings.version),
        lambda: outcomes(trials),
    )
    limits = limits_of(log, baseline.selection)
    return Findings(question, planned, limits, trials, judged, version)


def panel(log: OpenLog, findings: Findings) -> None:
    """How far the running replay is, or a button that starts one, and how the last one ended."""
    jobs.panel(
        replays(log).job,
        functools.partial(_start, log, findings),
        shows=lambda outcome: outcome.request.question == findings.question,
        details=_problems,
        version=findings.version,
    )


def _start(log: OpenLog, findings: Findings) -> None:
    job, tasks = replays(log).job, findings.planned.tasks
    if not tasks:
        return
    rest = "the rest: " if findings.cases else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Replay {rest}{words.count(len(tasks), 'image')}",
            type="primary",
            icon=":material/replay:",
            on_click=job.start,
            args=(ReplayRequest(findings.question, tasks),),
            help="In the background, at low priority. Readings are kept in the log, under "
            "replays/, and never made twice.",
        )
        st.caption(
            f"{findings.planned.waiting:,} readings by {findings.readers}, "
            f"{words.duration(job.seconds(tasks))}."
        )


def _problems(report: Report) -> None:
    if report.problems:
        with st.expander("Failed readings"):
            st.dataframe(pd.DataFrame(map(asdict, report.problems)), hide_index=True)


def unread(findings: Findings) -> None:
    """Versions whose records cannot be read again."""
    for version, count in findings.planned.unknown.items():
        st.info(
            f"{words.count(count, 'image')} of version {words.escape_markdown(version)} cannot be "
            "read again: there is no model of that version here. Choose another model above, or "
            "set MISREAD\\_RECOGNIZER to yours."
        )


def explanations() -> None:
    """What each intervention does."""
    rows = [f"- **{row.label}**: {words.escape_markdown(row.explanation)}" for row in INTERVENTIONS]
    st.markdown("\n".join(rows))
