"""Failure modes as the log has them: each is the sum of its events."""

import json
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime
from typing import Any

from data_access.errors import SelectionError
from data_access.records import MODE, SEVERITIES, Severity, State
from data_access.selection import Selection, parse_selection, sentences
from data_access.warehouse import Warehouse

MODES_OF_RECORD = """coalesce(
    (select modes from verdicts where verdicts.record_key = selected.record_key), []
) as modes"""
"""The failure modes of each record of `selected`, as one more column."""


@dataclass(frozen=True)
class Mode:
    """A failure mode. rule: a selection as the URL writes it, or empty. created: UTC.

    merged_into: the mode that took it over, or empty.
    """

    id: str
    title: str
    definition: str = ""
    severity: Severity = "medium"
    owner: str = ""
    state: State = "open"
    resolved_in: str = ""
    archived_until: date | None = None
    issue: str = ""
    rule: str = ""
    merged_into: str = ""
    created: datetime = field(default=datetime.min)
    created_by: str = ""

    @property
    def weight(self) -> int:
        """What its severity multiplies its size by, from 1 to 4."""
        return SEVERITIES.index(self.severity) + 1

    def selection(self, warehouse: Warehouse) -> Selection | None:
        """Its rule, where it has one that this dashboard understands."""
        try:
            return parse_selection(self.rule, warehouse.projections) if self.rule else None
        except SelectionError:
            return None


_FIELDS = {row.name for row in fields(Mode)} - {"id", "created", "created_by"}


def failure_modes(warehouse: Warehouse, retired: bool = False) -> list[Mode]:
    """Modes in use, by title; also retired ones where that is asked for, never merged ones."""
    return [
        mode
        for mode in sorted(_every_mode(warehouse).values(), key=lambda mode: mode.title.casefold())
        if not mode.merged_into and (retired or mode.state != "retired")
    ]


def failure_mode(warehouse: Warehouse, identifier: str) -> Mode | None:
    """The mode of an id, or the one that took it over."""
    target = warehouse.rows("select target from merged where mode = ?", [identifier])
    return _every_mode(warehouse).get(target[0][0] if target else identifier)


def mode_ids(warehouse: Warehouse) -> set[str]:
    """Every id that was ever used."""
    return set(_every_mode(warehouse))


def mode_titles(warehouse: Warehouse) -> dict[str, str]:
    """By id, the titles of all modes, retired and merged ones included."""
    return {mode.id: mode.title for mode in _every_mode(warehouse).values()}


def filter_sentences(warehouse: Warehouse, selection: Selection) -> list[tuple[str, str]]:
    """(the name that `Selection.without` takes, its sentence) for each filter in force, with
    failure modes by their titles."""
    if selection.mode or selection.without_mode:
        titles = mode_titles(warehouse)
        selection = replace(
            selection,
            mode=tuple(titles.get(name, name) for name in selection.mode),
            without_mode=tuple(titles.get(name, name) for name in selection.without_mode),
        )
    return sentences(selection, warehouse.projections)


def frequent_modes(warehouse: Warehouse) -> list[str]:
    """Ids of the modes that any verdict names, the most frequent first."""
    frame = warehouse.query(
        "select unnest(modes) as mode, count(*) as n from verdicts group by 1 order by n desc, mode"
    )
    return list(frame["mode"])


@dataclass(frozen=True)
class ModeEvent:
    """Who changed what of a mode. moment: UTC. payload: JSON; None where it was removed."""

    moment: datetime
    actor: str
    payload: str | None


def mode_events(warehouse: Warehouse, identifier: str) -> list[ModeEvent]:
    """All changes of a mode, oldest first."""
    rows = warehouse.rows(
        """
        select timestamp, coalesce(actor, ''), payload
        from annotations
        where kind = ? and name = ?
        qualify row_number() over (
            partition by annotation_key order by origin, line, object_key
        ) = 1
        order by timestamp, annotation_key
        """,
        [MODE, identifier],
    )
    return [ModeEvent(*row) for row in rows]


def _every_mode(warehouse: Warehouse) -> dict[str, Mode]:
    return warehouse.cached(("modes",), lambda: _folded(warehouse))


def _folded(warehouse: Warehouse) -> dict[str, Mode]:
    events = warehouse.rows(
        "select name, timestamp, actor, payload from annotations where kind = ? "
        "order by timestamp, annotation_key",
        [MODE],
    )
    states: dict[str, dict[str, Any]] = {}
    for name, timestamp, actor, payload in events:
        first = {"created": timestamp.replace(tzinfo=UTC), "created_by": actor or ""}
        state = states.setdefault(name, first)
        if payload is None:
            state["state"] = "retired"
        for key, value in json.loads(payload or "{}").items():
            if key in _FIELDS and value is None:
                state.pop(key, None)
            elif key in _FIELDS:
                state[key] = date.fromisoformat(value) if key == "archived_until" else value
    merged = dict(warehouse.rows("select mode, target from merged"))
    return {
        name: Mode(id=name, **{"title": name, **state, "merged_into": merged.get(name, "")})
        for name, state in states.items()
    }
