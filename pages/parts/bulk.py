"""Labelling many cases at once: those that are ticked, or all of the selection.

What is labelled are records by their keys, as they were shown.
"""

from collections.abc import Sequence

import streamlit as st

from data_access import OpenLog, judging, queries
from data_access.annotations import Kept
from data_access.records import Record
from data_access.selection import Selection
from pages.parts import modes, people, state, words

MOST = 50_000
LAST = "last batch"


def is_on() -> bool:
    """Whether cards have a box to tick."""
    st.toggle("Label", key=state.widget("label", bool(state.recall("labelling"))),
              on_change=_switch, help="Tick cases and give them a failure mode.")  # fmt: skip
    return bool(state.recall("labelling"))


def _switch() -> None:
    state.remember("labelling", state.entered("label"))


def tick(record: Record) -> None:
    """A box of one card."""
    ticked: set[str] = state.recall("ticked") or set()
    st.checkbox(
        "Tick",
        key=state.widget(f"tick.{record.record_key}", record.record_key in ticked),
        on_change=_tick,
        args=(record.record_key,),
    )


def _tick(key: str) -> None:
    ticked: set[str] = state.recall("ticked") or set()
    state.remember("ticked", ticked ^ {key})


def panel(log: OpenLog, selection: Selection, records: Sequence[Record], total: int) -> None:
    """What to do with the ticked cases, with all of this page, or with all of the selection."""
    modes.outcome()
    ticked: set[str] = state.recall("ticked") or set()
    known = {mode.id: mode.title for mode in queries.failure_modes(log.warehouse)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        actor = people.ask("Kept with each label.")
        if not known:
            st.caption("No failure modes yet.")
            modes.new(log, selection)
            return
        mode = st.selectbox(
            "Failure mode", list(known), format_func=known.__getitem__, key="widget.bulk.mode",
            width=260,
        )  # fmt: skip
        st.button(
            f"Label {words.count(len(ticked), 'ticked case')}",
            type="primary", disabled=not (ticked and actor),
            on_click=_label, args=(log, tuple(sorted(ticked)), mode, known[mode], actor),
        )  # fmt: skip
        st.button(
            "Tick this page", on_click=state.remember,
            args=("ticked", ticked | {record.record_key for record in records}),
        )  # fmt: skip
        st.button("Untick all", on_click=state.remember, args=("ticked", set()),
                  disabled=not ticked)  # fmt: skip
        shown = tuple(queries.record_keys(log.warehouse, selection)) if total <= MOST else ()
        with st.popover(f"Label all {total:,}", disabled=not actor or total > MOST):
            st.caption(
                f"Gives all {total:,} records of the current filters the mode "
                f"“{words.escape_markdown(known[mode])}”. It can be undone as one."
            )
            st.button(
                f"Label these {total:,}", key="label-all",
                on_click=_label, args=(log, shown, mode, known[mode], actor),
            )  # fmt: skip
        modes.new(log, selection)
        batch: tuple[str, str] | None = state.recall(LAST)
        if batch is not None:
            what = words.escape_markdown(batch[1])
            st.button(f"Undo: {what}", icon=":material/undo:", on_click=_undo,
                      args=(log, batch[0], actor))  # fmt: skip


def _label(log: OpenLog, keys: tuple[str, ...], mode: str, title: str, actor: str) -> None:
    batches: list[str] = []

    def write() -> Kept:
        batch, kept = judging.label(log.log, log.warehouse, keys, mode, actor)
        batches.append(batch)
        return kept

    what = f"{words.count(len(keys), 'label')} “{title}”"
    if modes.attempt(write, f"{what}: written."):
        state.remember(LAST, (batches[0], what))
        state.remember("ticked", set())


def _undo(log: OpenLog, batch: str, actor: str) -> None:
    if modes.attempt(lambda: judging.undo(log.log, log.warehouse, batch, actor), "Undone."):
        state.remember(LAST, None)
