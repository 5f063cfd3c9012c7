"""Replays on a page: what is asked, how far it is, what came of it, texts side by side."""

import atexit
import functools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import streamlit as st

from data_access import OpenLog, queries
from data_access.errors import SettingsError
from data_access.projections.table import ENTROPY
from data_access.queries import Baseline
from data_access.statistics.significance import ENOUGH
from data_access.statistics.text_differences import likeness
from pages.parts import bar, cards, charts, pictures, state, words
from readings.sources import own_models, source
from replay.background import Replays
from replay.engine import BY_VERSION, CONFIDENCE, Plan, Question, answer, limits_of
from replay.interventions import INTERVENTIONS, NOTHING, intervention
from replay.judgement import RANDOM, Limits, Outcome, best, outcomes

NAMED = 3  # interventions that the first sentence names
CARDS = 6  # of a page
LIKE = 0.5  # texts with less in common are not compared letter by letter
MOST_PROBLEMS = 5
KINDS = {
    "all": "all",
    "fixed": "fixed",
    "unfixed": "not fixed",
    "changed": "changed",
    "broken": "made worse",
}


@functools.lru_cache(maxsize=2)
def replays(log: OpenLog) -> Replays:
    """Those of this dashboard."""
    found = Replays(log)
    atexit.register(found.background.stop)
    return found


@dataclass(frozen=True)
class Found:
    """What is known of a question: what it needs, its trials, and what they come to."""

    question: Question
    planned: Plan
    limits: Limits
    trials: pd.DataFrame
    outcomes: list[Outcome]

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
    """What can be asked, by setting, in words; the usual one first."""
    found = {BY_VERSION: "the version of each record"}
    found |= {name: f"always {name}" for name in own_models()}
    usual = log.settings.recognizer
    if usual and usual != BY_VERSION:
        try:
            found = {usual: f"always {source(usual).label}"} | found
        except SettingsError as error:
            st.warning(words.escape_markdown(str(error)))
    return found


def look(log: OpenLog, question: Question, baseline: Baseline) -> Found:
    """What the log says to a question now."""
    held = replays(log)
    with st.spinner("Looking for what was replayed before …"):
        planned, problem = held.plan(question)
        trials = answer(log, question, baseline.selection, planned, held.readings)
        judged = log.warehouse.cached(
            ("replay outcomes", question, baseline.selection, held.readings.version),
            lambda: outcomes(trials),
        )
    if problem:
        st.warning(
            f"{words.sentence(words.escape_markdown(problem))} What was read before is shown."
        )
    return Found(question, planned, limits_of(log, baseline.selection), trials, judged)


def panel(log: OpenLog, found: Found) -> None:
    """How far the running replay is, or a button that starts one."""
    background = replays(log).background
    every = 1.0 if background.running else None
    st.fragment(_panel, run_every=every)(log, found, background.running, background.version)


def _panel(log: OpenLog, found: Found, was_running: bool, version: int) -> None:
    background = replays(log).background
    if (background.running, background.version) != (was_running, version):
        st.rerun(scope="app")
    if background.running:
        with st.container(horizontal=True, vertical_alignment="center"):
            left = background.left
            st.progress(
                background.done / max(background.total, 1),
                f"{words.escape_markdown(background.stage)} … "
                f"{background.done:,} of {background.total:,}"
                + ("" if math.isnan(left) else f", {words.duration(left)} left"),
            )
            st.button("Stop", on_click=background.cancel, icon=":material/stop:")
        return
    if found.planned.jobs:
        _start(log, found)
    _told(log)


def _start(log: OpenLog, found: Found) -> None:
    background = replays(log).background
    waiting, images = found.planned.waiting, len(found.planned.jobs)
    again = "the rest: " if found.cases else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Replay {again}{words.count(images, 'image')}",
            type="primary",
            icon=":material/replay:",
            on_click=background.ask,
            args=(found.planned.jobs,),
            help="In the background, at low priority. What is read goes into the log, under "
            "replays/, and is never read again.",
        )
        st.caption(
            f"{waiting:,} readings by {found.readers}, "
            f"{words.duration(background.seconds(found.planned.jobs))}."
        )


def _told(log: OpenLog) -> None:
    """What came of the last run that is not in its answer."""
    background = replays(log).background
    if background.problem:
        st.error(words.escape_markdown(background.problem))
    if background.cancelled:
        st.caption("Stopped. What was read so far is kept and shown.")
    if background.report is not None and background.report.problems:
        counted = background.report.counted()
        lines = [
            f"- {words.escape_markdown(sentence)}" + (f" ({number:,} times)" if number > 1 else "")
            for sentence, number in list(counted.items())[:MOST_PROBLEMS]
        ]
        more = len(counted) - MOST_PROBLEMS
        lines += [f"- and {more:,} more"] if more > 0 else []
        total = words.count(len(background.report.problems), "reading")
        st.warning(f"{total} could not be made in the last run:\n\n" + "\n".join(lines))
        with st.expander("Which"):
            st.dataframe(pd.DataFrame(map(asdict, background.report.problems)), hide_index=True)


def unread(found: Found) -> None:
    """Whose records nobody can read again."""
    for version, count in found.planned.unknown.items():
        st.info(
            f"{words.count(count, 'image')} of version {words.escape_markdown(version)} cannot be "
            "read again: the project has no model of that version. Choose a reader above, or name "
            "yours in MISREAD\\_RECOGNIZER."
        )


def label(name: str) -> str:
    return "a random other one" if name == RANDOM else intervention(name).label


def verdict(found: Found, baseline: Baseline) -> str:
    """The answer in a sentence."""
    against = words.escape_markdown(baseline.label)
    if found.limits == Limits(None, None):
        return f"**{against}** has no word entropy and no confidence, so nothing can be judged."
    tried = [one for one in found.outcomes if not one.control]
    unchanged = next((one for one in found.outcomes if one.intervention == NOTHING.name), None)
    first = tried[0]
    if not first.outside:
        worst = max(tried, key=lambda one: one.broken)
        return (
            f"None of these {words.count(first.read, 'case')} is outside the range of {against}, "
            f"so there is nothing to fix. {label(worst.intervention).capitalize()} makes "
            f"{worst.broken:,} of them worse."
        )
    control = "" if unchanged is None else f"; the unchanged image {unchanged.fixed:,}"
    share = f"{first.low:.0%}–{first.high:.0%}"
    proven = best(found.outcomes) is not None
    floor = 0 if unchanged is None else unchanged.fixed
    few = first.fixed > floor and first.outside < ENOUGH
    if not proven and not few:
        return (
            "**Nothing that was tried fixes more than reading the unchanged image again would.** "
            f"The best of them, {label(first.intervention)}, fixes {first.fixed:,} of "
            f"{first.outside:,} ({share}){control}."
        )
    others = "".join(
        f"; {label(one.intervention)} {one.fixed:,}" for one in tried[1 : 1 + NAMED - 1]
    )
    errors = (
        f" Of the {first.truths:,} whose truth is known, the median character error rate goes "
        f"from {words.value(first.error_before)} to {words.value(first.error_after)}."
        if first.truths
        else ""
    )
    harm = f" It makes {first.broken:,} of {first.inside:,} others worse." if first.broken else ""
    return (
        f"**{label(first.intervention).capitalize()} fixes {first.fixed:,} of {first.outside:,}** "
        f"cases outside the range of {against} ({share}){others}{control}."
        f"{harm}{errors}{'' if proven else ' These are too few cases to tell it from chance.'}"
    )


def verdict_of_one(found: Found, baseline: Baseline) -> str:
    """The answer for a single case."""
    against = words.escape_markdown(baseline.label)
    mended = [one.intervention for one in found.outcomes if one.fixed and not one.control]
    if any(one.inside for one in found.outcomes):
        return f"The logged output is inside the range of {against}: there is nothing to fix."
    if not mended:
        return f"**Nothing that was tried** brings the output inside the range of {against}."
    names = " and ".join(filter(None, [", ".join(map(label, mended[:-1])), label(mended[-1])]))
    return f"**{names[:1].upper()}{names[1:]}** brings the output inside the range of {against}."


def meaning(log: OpenLog, found: Found, baseline: Baseline, *, one_case: bool = False) -> None:
    """What “fixed” means here, and of what."""
    limits = [
        f"{log.warehouse.projections[name].label} {words.value(low)}"
        for name, low in ((ENTROPY, found.limits.entropy), (CONFIDENCE, found.limits.confidence))
        if low is not None
    ]
    of = "Read" if one_case else f"Of {words.count(found.cases, 'case')} read"
    controls_are = (
        ""
        if one_case
        else " Grey: the controls, the image as it was and, for each case, one other intervention "
        "drawn by chance. Intervals count each image once."
    )
    st.caption(
        f"{of} again by {found.readers}. Outside: under {' or '.join(limits)}, the 5th "
        f"percentiles of {words.escape_markdown(baseline.label)}. Fixed: the logged output is "
        f"outside, the new one is not; a very short text stays outside however well it is read."
        f"{controls_are}"
    )


def chart(found: Sequence[Outcome]) -> None:
    frame = pd.DataFrame([_row(one) for one in found])
    st.altair_chart(charts.replay_outcomes(frame), key="replay-outcomes")


def _row(one: Outcome) -> dict[str, Any]:
    return {
        "label": f"{label(one.intervention)}  {one.fixed:,} of {one.outside:,}",
        "kind": "control" if one.control else "tried",
        "share": one.fixed / max(one.outside, 1),
        "low": 0.0 if math.isnan(one.low) else one.low,
        "high": 0.0 if math.isnan(one.high) else one.high,
        "fixed": one.fixed,
        "outside": one.outside,
        "changed": one.changed,
        "broken": one.broken,
    }


def table(found: Sequence[Outcome]) -> None:
    """Every number of every intervention."""
    number, percent = st.column_config.NumberColumn, "percent"
    rows = [
        {
            "intervention": label(one.intervention),
            "fixed": one.fixed,
            "outside": one.outside,
            "low": one.low,
            "high": one.high,
            "p": one.p,
            "changed": one.changed,
            "read": one.read,
            "broken": one.broken,
            "inside": one.inside,
            "error_before": one.error_before,
            "error_after": one.error_after,
            "truths": one.truths,
        }
        for one in found
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "fixed": number("fixed", help="Outside the baseline's range before, inside now."),
            "outside": number("of", help="Cases whose logged output is outside the range."),
            "low": number(
                "from",
                format=percent,
                help="95% interval of the share (Wilson), each image counted once.",
            ),
            "high": number("to", format=percent),
            "p": number(
                "p",
                format="%.2g",
                help="That it fixes no more than the unchanged image does: McNemar's exact test, "
                "one-sided, corrected for the number of interventions (Benjamini–Hochberg).",
            ),
            "changed": number("changed", help="Texts that differ from the logged ones."),
            "read": number("of", help="Cases that were read."),
            "broken": number("made worse", help="Inside the range before, outside now."),
            "inside": number("of", help="Cases whose logged output is inside the range."),
            "error_before": number(
                "error rate", format="%.2f", help="Median character error rate as logged."
            ),
            "error_after": number("now", format="%.2f", help="The same of what was read now."),
            "truths": number("truths known", help="Cases with a correction or a ground truth."),
        },
    )


def tried(found: Found) -> list[str]:
    """Interventions that have trials, the best first."""
    return [one.intervention for one in found.outcomes if one.intervention != RANDOM]


def chosen(found: Found, name: str, kind: str) -> pd.DataFrame:
    """The trials of an intervention of which that is true, those fixed first."""
    rows = found.trials[found.trials["intervention"] == name]
    masks = {
        "fixed": rows["fixed"],
        "unfixed": ~rows["inside_before"] & ~rows["fixed"],
        "changed": rows["changed"],
        "broken": rows["broken"],
    }
    kept = rows[masks[kind]] if kind in masks else rows
    return kept.sort_values("fixed", ascending=False, kind="stable")


def of_one_case(found: Found) -> pd.DataFrame:
    """The trials of one case, the best intervention first."""
    order = {name: place for place, name in enumerate(tried(found))}
    return found.trials.sort_values("intervention", key=lambda names: names.map(order))


def side_by_side(log: OpenLog, rows: pd.DataFrame) -> None:
    """Cases before and after, images and texts, differences marked."""
    with st.grid(2, min_column_width=430):
        for trial in queries.plain_rows(rows):
            with st.container(border=True):
                before, after = _marked(trial["before"] or "", trial["after"])
                sides = st.columns(2, gap="small")
                with sides[0]:
                    _picture(log, trial["image"], NOTHING.name, "as it was", before)
                with sides[1]:
                    name = trial["intervention"]
                    _picture(log, trial["image"], name, label(name), after)
                _truth(trial)
                st.html(f'<div class="misread-meta">{_change(trial)}</div>')
                bar.page_link("case", "Open", state.selection(), record=trial["record_key"])


def one_by_one(log: OpenLog, rows: pd.DataFrame) -> None:
    """One case as it was logged, and as it is read after each intervention."""
    tried = queries.plain_rows(rows)
    with st.grid(3, min_column_width=280):
        with st.container(border=True):
            logged = words.escaped(tried[0]["before"] or "")
            _picture(log, tried[0]["image"], NOTHING.name, "as it was logged", logged)
            _truth(tried[0])
        for trial in tried:
            with st.container(border=True):
                _, after = _marked(trial["before"] or "", trial["after"])
                name = trial["intervention"]
                _picture(log, trial["image"], name, label(name), after)
                st.html(f'<div class="misread-meta">{_change(trial)}</div>')


def _picture(log: OpenLog, image: str, name: str, title: str, text: str) -> None:
    """An image as an intervention makes it, and HTML of what was read in it."""
    st.caption(title)
    found = pictures.altered(log, image, name)
    if found.encoded is None:
        st.caption(words.escape_markdown(found.problem or ""))
    else:
        st.image(found.encoded, alt=title)
    st.html(f'<div class="misread-text">{text or "<em>empty</em>"}</div>')


def _truth(trial: dict[str, Any]) -> None:
    if trial["truth"] is not None:
        truth = words.escaped(trial["truth"])
        st.html(f'<div class="misread-text misread-truth">truth: {truth}</div>')


def _marked(before: str, after: str) -> tuple[str, str]:
    """Both as HTML, differences marked where they have something in common."""
    if likeness(before, after) < LIKE:
        return words.escaped(before), words.escaped(after)
    return cards.marked(before, after)


def _change(trial: dict[str, Any]) -> str:
    """`fixed · word entropy 1.2 → 4.5`, as HTML."""
    state = (
        "fixed"
        if trial["fixed"]
        else "made worse"
        if trial["broken"]
        else "inside the range before and now"
        if trial["inside_before"]
        else "still outside the range"
    )
    said = [f"<b>{state}</b>"]
    for name, noun in (
        ("entropy", "word entropy"),
        ("confidence", "confidence"),
        ("error", "character error rate"),
    ):
        before, after = trial[f"{name}_before"], trial[f"{name}_after"]
        if after is not None and not (name == "error" and before is None):
            said.append(f"{noun} {words.value(before)} → {words.value(after)}")
    if not trial["changed"]:
        said.append("the text did not change")
    elif likeness(trial["before"] or "", trial["after"]) < LIKE:
        said.append("completely different text")
    return " · ".join(said)


def explanations() -> None:
    """What each intervention does."""
    rows = [f"- **{row.label}**: {words.escape_markdown(row.explanation)}" for row in INTERVENTIONS]
    st.markdown("\n".join(rows))
