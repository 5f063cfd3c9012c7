"""What a page says as plain text, to be pasted into a note: a sentence, numbers, dates, a link."""

from collections.abc import Sequence

import streamlit as st

from data_access import OpenLog, queries
from data_access.selection import Selection, encoded
from pages.parts import state, words


def note(title: str, sentence: str, numbers: Sequence[str], window: str, address: str) -> str:
    """Plain text of all of these. sentence, numbers: Markdown, as a page shows them."""
    facts = [f"- {words.unmarked(number)}" for number in numbers]
    return "\n".join([title, words.unmarked(sentence), *facts, window, address])


def window(log: OpenLog, selection: Selection) -> str:
    """`6 Jul – 30 Aug 2026 (UTC) · environment prod`: when and where the records are from."""
    span = queries.time_span(log.warehouse, selection)
    when = [f"{words.dates(*span)} (UTC)"] if span else []
    where = [
        sentence
        for name, sentence in queries.filter_sentences(log.warehouse, selection)
        if name not in ("since", "until")
    ]
    return " · ".join([*when, *where])


def copy_as_text(
    log: OpenLog,
    title: str,
    sentence: str,
    numbers: Sequence[str],
    selection: Selection,
    **choices: str,
) -> None:
    """A button that shows what the page says as plain text, with one click to copy it.

    choices: the page's own, see `state.link`.
    """
    page, _ = state.address()
    parameters = state.link(selection, **choices)
    text = note(title, sentence, numbers, window(log, selection), f"{page}?{encoded(parameters)}")
    with st.popover("Copy as text", icon=":material/content_copy:", type="tertiary"):
        st.caption("For a weekly note: the answer, its numbers, its dates and a link.")
        st.code(text, language=None, wrap_lines=True)
