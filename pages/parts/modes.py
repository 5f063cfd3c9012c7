"""Failure modes: a form for a new one, and one to change, merge or retire it."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from data_access import OpenLog, judging, queries
from data_access.annotations import Kept
from data_access.errors import JudgementError, LogError, SelectionError
from data_access.queries import Mode
from data_access.records import MAX_DEFINITION, MAX_TITLE, SEVERITIES, STATES
from data_access.selection import Selection, query_string
from pages.parts import people, state, words
from pages.parts.saved import WHERE

OUTCOME = "outcome of judging"
STATE_NAMES = {"open": "open", "resolved": "resolved", "archived": "archived", "retired": "retired"}


def attempt(write: Callable[[], Kept], done: str) -> bool:
    """Whether it was written; the outcome is shown by `outcome` at the next run."""
    try:
        kept = write()
    except (JudgementError, SelectionError) as error:
        state.remember(OUTCOME, (False, str(error)))
        return False
    except LogError as error:
        right = "Judging takes the right to write below annotations/ (s3:PutObject in a bucket)."
        state.remember(OUTCOME, (False, f"Not written: {str(error).rstrip('.')}. {right}"))
        return False
    state.remember(OUTCOME, (True, f"{done}{WHERE[kept]}"))
    return True


def outcome() -> None:
    """What came of the last change."""
    last: tuple[bool, str] | None = state.recall(OUTCOME)
    state.remember(OUTCOME, None)
    if last is not None:
        (st.success if last[0] else st.warning)(words.escape_markdown(last[1]))


def new(log: OpenLog, selection: Selection) -> None:
    """A form for a new failure mode."""
    with (
        st.popover("New failure mode", icon=":material/add:"),
        st.form("new-mode", border=False, clear_on_submit=True),
    ):
        st.text_input("Name", key="widget.mode.title", max_chars=MAX_TITLE)
        st.text_area("Definition", key="widget.mode.definition", max_chars=MAX_DEFINITION)
        st.selectbox("Severity", SEVERITIES, index=1, key="widget.mode.severity")
        st.toggle(
            "Use the current filters as its rule",
            key="widget.mode.rule",
            help="Records that fit the rule and are not reviewed count as suspected.",
        )
        st.form_submit_button("Create", on_click=_create, args=(log, selection))


def _create(log: OpenLog, selection: Selection) -> None:
    title = state.entered("mode.title")
    fields: dict[str, Any] = {"severity": state.entered("mode.severity")}
    if definition := state.entered("mode.definition").strip():
        fields["definition"] = definition
    if state.entered("mode.rule"):
        fields["rule"] = query_string(selection)
    attempt(
        lambda: judging.create_mode(
            log.log, log.warehouse, title, people.actor() or None, **fields
        )[1],
        "Created.",
    )


def edit(log: OpenLog, mode: Mode, selection: Selection) -> None:
    """Forms that change a failure mode: its fields, what it is merged into, its rule."""
    versions = queries.choices(log.warehouse, "version")
    with st.form(f"edit-{mode.id}", border=False):
        left, right = st.columns(2)
        left.text_input("Name", mode.title, key="widget.edit.title", max_chars=MAX_TITLE)
        left.text_input("Owner", mode.owner, key="widget.edit.owner", max_chars=200)
        left.selectbox(
            "Severity", SEVERITIES, SEVERITIES.index(mode.severity), key="widget.edit.severity"
        )
        right.selectbox(
            "State",
            STATES,
            STATES.index(mode.state),
            key="widget.edit.state",
            format_func=STATE_NAMES.__getitem__,
        )
        offered = list(dict.fromkeys([*versions, *filter(None, [mode.resolved_in])]))
        right.selectbox(
            "Resolved in version",
            offered,
            offered.index(mode.resolved_in) if mode.resolved_in else None,
            key="widget.edit.resolved_in",
        )
        right.date_input("Archived until", mode.archived_until, key="widget.edit.archived_until")
        st.text_area(
            "Definition", mode.definition, key="widget.edit.definition", max_chars=MAX_DEFINITION
        )
        st.text_input(
            "Issue", mode.issue, key="widget.edit.issue", placeholder="https://…", max_chars=2_000
        )
        st.text_input(
            "Rule",
            mode.rule,
            key="widget.edit.rule",
            help="A selection as the address writes it. Records that fit it and are not reviewed "
            "count as suspected.",
        )
        st.form_submit_button("Save", on_click=_save, args=(log, mode))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            "Use the current filters as its rule",
            on_click=_change,
            args=(log, mode, {"rule": query_string(selection)}),
        )
        others = {one.id: one for one in queries.failure_modes(log.warehouse) if one.id != mode.id}
        if others:
            with st.popover("Merge"):
                target = st.selectbox(
                    "Merge into",
                    list(others),
                    format_func=lambda name: others[name].title,
                    key="widget.merge",
                )
                st.caption("Its records become records of the other mode, for everyone.")
                st.button("Merge it", on_click=_merge, args=(log, mode, others[target]))


def _save(log: OpenLog, mode: Mode) -> None:
    fields: dict[str, Any] = {}
    for name in ("title", "owner", "severity", "state", "resolved_in", "archived_until",
                 "definition", "issue", "rule"):  # fmt: skip
        value = state.entered(f"edit.{name}")
        value = value.strip() if isinstance(value, str) else value
        if (value or None) != (getattr(mode, name) or None):
            fields[name] = value or None
    if "title" in fields and fields["title"] is None:
        fields["title"] = ""
    if fields:
        _change(log, mode, fields)


def _change(log: OpenLog, mode: Mode, fields: dict[str, Any]) -> None:
    attempt(
        lambda: judging.change_mode(log.log, log.warehouse, mode, people.actor() or None, **fields),
        "Saved.",
    )


def _merge(log: OpenLog, mode: Mode, target: Mode) -> None:
    who = people.actor() or None
    if attempt(
        lambda: judging.merge_modes(log.log, log.warehouse, mode, target, who),
        f"Merged into {target.title}.",
    ):
        state.choose("mode", [target.id])
