"""Filters by what reviewers said: failure modes, verdicts, and who reviewed."""

from collections.abc import Sequence

from data_access.errors import SelectionError
from data_access.selection.names import names_sentence
from data_access.selection.value import NO_VALUE, REVIEW_STATES
from data_access.sql import Condition

_STATES = {
    "reviewed": "true",
    "unreviewed": "",
    "right": "verdict = 'right'",
    "wrong": "verdict = 'wrong'",
    "disputed": "disputed",
}
_TARGETS = (
    "(select list(coalesce(target, named)) from (select unnest(?::varchar[]) as named) "
    "left join merged on mode = named)"
)


def mode_sql(modes: Sequence[str]) -> Condition:
    """Records whose verdict names any of these modes, or those that took them over; NO_VALUE: or
    none at all."""
    named = f"record_key in (select record_key from verdicts where list_has_any(modes, {_TARGETS}))"
    if NO_VALUE in modes:
        none = "record_key not in (select record_key from verdicts where len(modes) > 0)"
        return f"({named} or {none})", [list(modes)]
    return named, [list(modes)]


def without_mode_sql(modes: Sequence[str]) -> Condition:
    sql, params = mode_sql([mode for mode in modes if mode != NO_VALUE])
    return f"not {sql}", params


def mode_sentence(modes: Sequence[str]) -> str:
    return names_sentence("failure mode", modes)


def read_review_states(values: list[str]) -> tuple[str, ...]:
    if wrong := [value for value in values if value and value not in REVIEW_STATES]:
        raise SelectionError(f"“{wrong[0]}” is not one of {', '.join(REVIEW_STATES)}.")
    return tuple(state for state in REVIEW_STATES if state in values)


def review_sql(states: Sequence[str]) -> Condition:
    conditions = [
        f"record_key in (select record_key from verdicts where {_STATES[state]})"
        if _STATES[state]
        else "record_key not in (select record_key from verdicts)"
        for state in states
    ]
    return f"({' or '.join(conditions)})", []


def review_sentence(states: Sequence[str]) -> str:
    return " or ".join(REVIEW_STATES[state] for state in states)


def reviewer_sql(names: Sequence[str]) -> Condition:
    marks = ", ".join("?" * len(names))
    return (
        f"record_key in (select record_key from reviews where counts and actor in ({marks}))",
        list(names),
    )
