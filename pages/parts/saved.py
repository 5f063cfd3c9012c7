"""Saved selections in the sidebar: open one, compare with it, delete it, save the current one."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from data_access import OpenLog, queries
from data_access.annotations import Kept
from data_access.errors import LogError, NameTakenError, SelectionError
from data_access.queries import SavedSelection
from data_access.selection import Selection
from pages.parts import state, words

OUTCOME = "outcome of saving"
WHERE = {
    Kept.SHOWN: "",
    Kept.LOGGED: " Visible after the next sync.",
    Kept.WAITING: " The store does not answer: kept on this machine and sent when it does.",
}


@dataclass(frozen=True)
class _Outcome:
    """What came of writing to the log; taken: the name, where another selection has it."""

    written: bool
    sentence: str
    taken: str = ""


def panel(log: OpenLog, selection: Selection) -> None:
    outcome: _Outcome | None = state.recall(OUTCOME)
    state.remember(OUTCOME, None)
    by_name = {saved.name: saved for saved in queries.saved_selections(log.warehouse)}
    label = f"Saved selections · **{len(by_name)}**" if by_name else "Saved selections"
    with st.expander(label, expanded=outcome is not None, key="saved"):
        if outcome is not None:
            (st.success if outcome.written else st.warning)(words.escape_markdown(outcome.sentence))
            if outcome.taken:
                st.button(
                    "Replace it",
                    key="saved.replace",
                    on_click=_save,
                    args=(log, selection, outcome.taken),
                    help="Saved selections are shared by everyone who uses this log.",
                )
        if by_name:
            name = st.selectbox(
                "Saved selection",
                list(by_name),
                index=None,
                key="widget.saved",
                placeholder="Choose one",
                label_visibility="collapsed",
            )
            if name is not None:
                _details(log, by_name[name])
        with st.form("save", border=False):
            st.text_input(
                "Save this selection as", key="widget.name", placeholder="a name, visible to all"
            )
            st.form_submit_button("Save", on_click=_save, args=(log, selection))


def _details(log: OpenLog, saved: SavedSelection) -> None:
    if saved.selection is None:
        st.caption(f"This dashboard cannot open it: {words.escape_markdown(saved.problem)}")
    else:
        filters = [text for _, text in queries.filter_sentences(log.warehouse, saved.selection)]
        st.caption(words.escape_markdown(" · ".join(filters) or "all records"))
    with st.container(horizontal=True, gap="xxsmall"):
        if saved.selection is not None:
            st.button("Open", key="saved.open", on_click=state.select, args=(saved.selection,))
            st.button(
                "Compare",
                key="saved.compare",
                type="tertiary",
                on_click=state.compare_with,
                args=(queries.selection_baseline(saved.selection),),
                help="Use it as the baseline.",
            )
        with st.popover("Delete", type="tertiary"):
            st.caption("Deletes it for everyone who uses this log.")
            st.button("Delete it", key="saved.remove", on_click=_remove, args=(log, saved.name))


def _save(log: OpenLog, selection: Selection, replaced: str = "") -> None:
    """Under the name that was typed, or in the place of the one that has this name."""
    name = replaced or state.entered("name")
    done = "Replaced" if replaced else "Saved"
    if _write(name, lambda: log.save_selection(name, selection, bool(replaced)), done):
        state.widget("name", "")


def _remove(log: OpenLog, name: str) -> None:
    _write(name, lambda: log.remove_selection(name), "Deleted")


def _write(name: str, write: Callable[[], Kept], done: str) -> bool:
    """Whether it was written; the outcome is shown in the panel at the next run."""
    try:
        kept = write()
    except (SelectionError, LogError) as error:
        taken = name if isinstance(error, NameTakenError) else ""
        state.remember(OUTCOME, _Outcome(False, str(error), taken))
        return False
    state.remember(OUTCOME, _Outcome(True, f"{done}.{WHERE[kept]}"))
    return True
