"""Causes: what separates these cases from others?"""

import streamlit as st

from data_access import queries
from pages.parts import bar, cards, causes, choices, frame, notes, state, words

TITLE = "What separates these cases?"

log = frame.enter()
selection = state.selection()
baseline = state.baseline(log)
warehouse = log.warehouse

counts = queries.coverage(warehouse, selection)
st.title(TITLE)
if not counts.predictions:
    cards.no_match(selection)

others = causes.other_records(selection)
labels = {"baseline": words.environment(baseline.label), "rest": others}
against = choices.choice("against", "Compare with", list(labels), labels.__getitem__)
rest = against == "rest"
other = words.escape_markdown(others if rest else baseline.label)
sides = (selection, None) if rest else (baseline.compared, baseline.selection)
with st.spinner("Comparing records…"):
    ranking = queries.rank_causes(warehouse, *sides)
if not ranking.others:
    cards.empty(
        "The selection includes every record of this time, version and environment: there are no "
        "others to compare with. Filter by what is unusual about the cases, or compare with the "
        "baseline."
        if rest
        else f"There are no records in {other} outside the selection: choose another baseline.",
        selection,
    )

causes.answer(ranking, other)
with st.container(horizontal=True, vertical_alignment="center"):
    bar.page_link("replay", "Replay these cases", selection, of="selection")
    answer, numbers = causes.answer_sentence(ranking, other), causes.numbers(ranking, other)
    dated = queries.window(warehouse, sides[0])
    notes.copy_as_text(log, TITLE, answer, numbers, dated, against=against)
st.caption(
    f"Blue: the {ranking.selected:,} cases. "
    f"Grey: {other}, {words.count(ranking.others, 'record')}. "
    "Each card shows the yes/no question that separates them best. Separation is not proof of "
    "a cause." + causes.sample(ranking)
)
if ranking.causes:
    st.header("Inputs and context")
    causes.gallery(log, sides, ranking.causes, other, "cause", images=True)
    st.header("After removing the top cause")
    causes.then(log, sides, ranking, other)
if ranking.symptoms:
    st.header("Outputs and feedback")
    st.caption("Symptoms of the same cases, rather than causes.")
    causes.gallery(log, sides, ranking.symptoms, other, "symptom", images=False)
causes.constructed(log, sides, ranking, other)
if ranking.general:
    with st.expander("Equally common outside the selection"):
        causes.general(ranking.general, other)
with st.expander("All candidates"):
    causes.table(ranking.looked_at)
    causes.left_out(ranking.left_out)
