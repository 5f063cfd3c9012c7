"""Who is at work: from sign-in, or the name that was typed."""

import streamlit as st

from data_access.records import MAX_LABEL
from pages.parts import state

TYPED = "typed name"


def actor() -> str:
    """The name under which a person's work is kept; empty where it is not known."""
    return state.signed_in() or state.recall(TYPED) or ""


def ask(why: str) -> str:
    """As `actor`; where nobody signs in, a box to type a name in. why: what the name is for."""
    if signed_in := state.signed_in():
        return signed_in
    st.text_input(
        "Your name",
        key=state.widget("actor", state.recall(TYPED) or ""),
        max_chars=MAX_LABEL,
        placeholder="such as Ada",
        help=why,
        on_change=_typed,
        width=260,
    )
    return actor()


def _typed() -> None:
    state.remember(TYPED, " ".join(state.entered("actor").split()))
