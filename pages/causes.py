"""Causes: what separates these cases from others?"""

import streamlit as st

from data_access import queries
from pages.parts import bar, cards, causes, choices, frame, state, words

log = frame.enter()
selection = state.selection()
baseline = state.baseline(log)
warehouse = log.warehouse

held = queries.coverage(warehouse, selection)
st.header("What separates these cases?")
if not held.predictions:
    cards.empty("No record in this selection, so there is nothing to separate.", selection)

labels = {"baseline": baseline.label, "rest": "the rest of the same place and time"}
against = choices.choice("against", "From", list(labels), labels.__getitem__)
rest = against == "rest"
other = "the rest" if rest else words.escape_markdown(baseline.label)
with st.spinner("Asking everything that is known of these records …"):
    found = queries.causes(
        warehouse,
        selection if rest else baseline.compared,
        None if rest else baseline.selection,
    )
if not found.others:
    cards.empty(
        "This selection holds every record of its place and time: there is no rest. Filter by what "
        "is strange about the cases, or separate them from the baseline."
        if rest
        else f"No record in {other} that is not selected.",
        selection,
    )

causes.answer(found, other)
bar.page_link("replay", "Replay these cases", selection, of="selection")
st.caption(
    f"Blue: the {found.selected:,} cases. Grey: {other}, {words.count(found.others, 'record')}. "
    "Of everything that is known, the yes/no question is shown that tells them apart best. What "
    "separates cases need not be what caused them." + causes.sample(found)
)
if found.causes:
    st.subheader("What came in")
    causes.gallery(found.causes, other, "cause")
    st.subheader("Without the first of these")
    causes.then(found, other)
if found.symptoms:
    st.subheader("What came out")
    st.caption("Other symptoms of the same cases: what the model and the users made of them.")
    causes.gallery(found.symptoms, other, "symptom")
if found.general:
    with st.expander("Equally common outside the selection"):
        causes.general(found.general, other)
with st.expander("Everything that was looked at"):
    causes.table(found.looked_at)
    causes.left_out(found.left_out)
