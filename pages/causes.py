"""Causes: what separates these cases from others?"""

import streamlit as st

from data_access import queries
from pages.parts import bar, cards, causes, choices, frame, state, words

log = frame.enter()
selection = state.selection()
baseline = state.baseline(log)
warehouse = log.warehouse

counts = queries.coverage(warehouse, selection)
st.title("What separates these cases?")
if not counts.predictions:
    cards.empty("No predictions match these filters.", selection)

labels = {
    "baseline": baseline.label,
    "rest": "the other records of the same time, version and environment",
}
against = choices.choice("against", "From", list(labels), labels.__getitem__)
rest = against == "rest"
other = "the rest" if rest else words.escape_markdown(baseline.label)
with st.spinner("Comparing records…"):
    ranking = queries.rank_causes(
        warehouse,
        selection if rest else baseline.compared,
        None if rest else baseline.selection,
    )
if not ranking.others:
    cards.empty(
        "The selection includes every record of this time, version and environment: there are no "
        "others to compare with. Filter by what is unusual about the cases, or compare with the "
        "baseline."
        if rest
        else f"No record in {other} that is not selected.",
        selection,
    )

causes.answer(ranking, other)
bar.page_link("replay", "Replay these cases", selection, of="selection")
st.caption(
    f"Blue: the {ranking.selected:,} cases. "
    f"Grey: {other}, {words.count(ranking.others, 'record')}. "
    "Each card shows the yes/no question that separates them best. Separation is not proof of "
    "a cause." + causes.sample(ranking)
)
if ranking.causes:
    st.header("Inputs and context")
    causes.gallery(ranking.causes, other, "cause")
    st.header("After removing the top cause")
    causes.then(ranking, other)
if ranking.symptoms:
    st.header("Outputs and feedback")
    st.caption("Symptoms of the same cases, rather than causes.")
    causes.gallery(ranking.symptoms, other, "symptom")
if ranking.general:
    with st.expander("Equally common outside the selection"):
        causes.general(ranking.general, other)
with st.expander("All candidates"):
    causes.table(ranking.looked_at)
    causes.left_out(ranking.left_out)
