"""Replay: which alteration of the images fixes these cases?"""

import math

import streamlit as st

from data_access import queries
from data_access.export import safe_csv
from data_access.selection import query_string
from pages.parts import (
    bar,
    cards,
    choices,
    frame,
    replay_cases,
    replay_verdicts,
    replays,
    state,
    words,
)
from replay.engine import MAX_IMAGES, Question
from replay.judgement import best

TAKES = {"100": "100 images", "500": "500", str(MAX_IMAGES): f"all, up to {MAX_IMAGES:,}"}

log = frame.enter()
selection = state.selection()
baseline = state.baseline(log)
one_case = choices.is_of_one_case()
key = choices.record_key(log) if one_case else None

counts = queries.replayable(log.warehouse, selection, key)
st.title("What fixes this case?" if one_case else "What fixes these cases?")
if not counts.cases:
    cards.empty(
        "The image of this case cannot be read again."
        if one_case
        else "No record in this selection has an image that can be read again.",
        selection,
    )

with st.container(horizontal=True, vertical_alignment="bottom"):
    readers = replays.readers(log)
    reader = choices.menu("reader", "Model", list(readers), readers.__getitem__)
    take = "100"
    if counts.images > 100:
        take = choices.choice("take", "How many of them", list(TAKES), TAKES.__getitem__)
    if one_case:
        bar.page_link("case", "Back to the case", selection, record=key or "")
        bar.page_link("replay", "Replay the selection", selection, of="selection")

question = Question(selection, reader, int(take), key)
results = replays.look(log, question, baseline)
replays.unread(results)
if results.trials.empty:
    st.markdown(
        "Change one thing about the images, have the recognizer read them again, and see whether "
        "the outputs come out right: that separates a cause from a coincidence. "
        + (
            "This case has not been replayed yet."
            if one_case or counts.cases == 1
            else f"None of these {words.count(counts.cases, 'case')} has been replayed yet."
        )
    )
    replays.panel(log, results)
    with st.expander("Interventions", expanded=not results.planned.unknown):
        replays.explanations()
    st.stop()

if one_case:
    st.markdown(replay_verdicts.verdict_on_case(results, baseline))
    replays.panel(log, results)
    replay_verdicts.meaning(log, results, baseline, one_case=True)
    replay_cases.one_by_one(log, replay_cases.trials_of_case(results))
    st.stop()

st.markdown(replay_verdicts.so_far(results) + replay_verdicts.verdict(results, baseline))
replays.panel(log, results)
if (proven := best(results.outcomes)) is not None:
    st.caption(f"Above: as logged. Below: {replay_verdicts.label(proven.intervention)}.")
    replay_cases.before_and_after(log, results, proven.intervention)
replay_verdicts.chart(results.outcomes)
replay_verdicts.meaning(log, results, baseline)
if counts.images > results.planned.images:
    st.caption(
        f"{results.planned.images:,} of {counts.images:,} distinct images, a random sample "
        "that is the same for everyone."
    )
with st.expander("All numbers"):
    replay_verdicts.table(results.outcomes)

st.header("Side by side")
with st.container(horizontal=True, vertical_alignment="bottom"):
    names = replay_cases.interventions(results)
    tried = choices.menu("tried", "Altered by", names, replay_verdicts.label)
    kind = choices.choice("kind", "Cases", list(replay_cases.KINDS), replay_cases.KINDS.__getitem__)
rows = replay_cases.trials_of_kind(results, tried, kind)
if rows.empty:
    st.info("No cases of this kind.")
else:
    pages = math.ceil(len(rows) / replay_cases.CARDS)
    first = choices.page_number(pages, "sheet", tried, kind) * replay_cases.CARDS
    st.caption(
        f"{first + 1:,} to {min(first + replay_cases.CARDS, len(rows)):,} of "
        f"{words.count(len(rows), 'case')}. Struck out: only in the logged text; underlined: only "
        "in the new one."
    )
    replay_cases.side_by_side(log, rows.iloc[first : first + replay_cases.CARDS])

with st.expander("Export"):
    st.download_button(
        "Download as CSV",
        lambda: safe_csv(results.trials),
        "replay.csv",
        "text/csv",
        icon=":material/download:",
    )
    st.caption("From a terminal, with `MISREAD_LOG` set to this log:")
    st.code(
        f'python -m replay "{query_string(selection)}" --reader {reader} --images {take}',
        language="bash",
    )
