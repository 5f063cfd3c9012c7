"""Replayed cases side by side: images and texts, as logged and after an intervention."""

from typing import Any

import pandas as pd
import streamlit as st

from data_access import OpenLog, queries
from data_access.statistics.text_differences import alike
from pages.parts import bar, cards, pictures, state, words
from pages.parts.replay_verdicts import label
from pages.parts.replays import Findings
from replay.interventions import NOTHING
from replay.judgement import RANDOM

CARDS = 6  # of a page
PAIRS = 3  # images before and after
KINDS = {
    "all": "all",
    "fixed": "fixed",
    "unfixed": "not fixed",
    "changed": "changed",
    "broken": "made worse",
}


def interventions(findings: Findings) -> list[str]:
    """Interventions that have trials, the best first."""
    return [outcome.intervention for outcome in findings.outcomes if outcome.intervention != RANDOM]


def trials_of_kind(findings: Findings, name: str, kind: str) -> pd.DataFrame:
    """The trials of an intervention that are of a kind, see KINDS; those fixed first."""
    rows = findings.trials[findings.trials["intervention"] == name]
    masks = {
        "fixed": rows["fixed"],
        "unfixed": ~rows["inside_before"] & ~rows["fixed"],
        "changed": rows["changed"],
        "broken": rows["broken"],
    }
    kept = rows[masks[kind]] if kind in masks else rows
    return kept.sort_values("fixed", ascending=False, kind="stable")


def trials_of_case(findings: Findings) -> pd.DataFrame:
    """The trials of one case, the best intervention first."""
    order = {name: place for place, name in enumerate(interventions(findings))}
    return findings.trials.sort_values("intervention", key=lambda names: names.map(order))


def before_and_after(log: OpenLog, findings: Findings, name: str) -> None:
    """A few images that an intervention fixed, over and under it, and what was read; strangest
    first.
    """
    rows = findings.trials
    fixed = rows[(rows["intervention"] == name) & rows["fixed"]].drop_duplicates("sha256")
    with st.grid(PAIRS, min_column_width=cards.GLANCE):
        for trial in queries.plain_rows(fixed.sort_values("entropy_before").head(PAIRS)):
            with st.container(gap="xxsmall"):
                cards.glance(pictures.strip(log, trial["image"]), trial["before"] or "")
                cards.glance(pictures.strip(log, trial["image"], name), trial["after"])


def side_by_side(log: OpenLog, rows: pd.DataFrame) -> None:
    """Cases before and after, images and texts, differences marked."""
    with st.grid(2, min_column_width=430):
        for trial in queries.plain_rows(rows):
            with st.container(border=True):
                before, after = cards.marked(trial["before"] or "", trial["after"])
                sides = st.columns(2, gap="small")
                with sides[0]:
                    _picture(log, trial["image"], NOTHING.name, "as logged", before)
                with sides[1]:
                    name = trial["intervention"]
                    _picture(log, trial["image"], name, label(name), after)
                _truth(trial)
                st.html(f'<div class="misread-meta">{_change(trial)}</div>')
                bar.page_link("case", "Open", state.selection(), record=trial["record_key"])


def one_by_one(log: OpenLog, rows: pd.DataFrame) -> None:
    """One case as it was logged, and as it is read after each intervention."""
    trials = queries.plain_rows(rows)
    with st.grid(3, min_column_width=280):
        with st.container(border=True):
            logged = words.escaped(trials[0]["before"] or "")
            _picture(log, trials[0]["image"], NOTHING.name, "as logged", logged)
            _truth(trials[0])
        for trial in trials:
            with st.container(border=True):
                _, after = cards.marked(trial["before"] or "", trial["after"])
                name = trial["intervention"]
                _picture(log, trial["image"], name, label(name), after)
                st.html(f'<div class="misread-meta">{_change(trial)}</div>')


def _picture(log: OpenLog, image: str, name: str, title: str, text: str) -> None:
    """An image as an intervention makes it, and HTML of what was read in it."""
    st.caption(title)
    picture = pictures.altered(log, image, name)
    if picture.encoded is None:
        st.caption(words.escape_markdown(picture.problem or ""))
    else:
        st.image(picture.encoded, alt=title)
    st.html(f'<div class="misread-text">{text or "<em>empty</em>"}</div>')


def _truth(trial: dict[str, Any]) -> None:
    if trial["truth"] is not None:
        truth = words.escaped(trial["truth"])
        st.html(f'<div class="misread-text misread-truth">truth: {truth}</div>')


def _change(trial: dict[str, Any]) -> str:
    """`fixed · word entropy 1.2 → 4.5`, as HTML."""
    state = (
        "fixed"
        if trial["fixed"]
        else "made worse"
        if trial["broken"]
        else "inside the range before and after"
        if trial["inside_before"]
        else "still outside the range"
    )
    parts = [f"<b>{state}</b>"]
    for name, noun in (
        ("entropy", "word entropy"),
        ("confidence", "confidence"),
        ("error", "character error rate"),
    ):
        before, after = trial[f"{name}_before"], trial[f"{name}_after"]
        if after is not None and not (name == "error" and before is None):
            parts.append(f"{noun} {words.value(before)} → {words.value(after)}")
    if not trial["changed"]:
        parts.append("text unchanged")
    elif not alike(trial["before"] or "", trial["after"]):
        parts.append("completely different text")
    return " · ".join(parts)
