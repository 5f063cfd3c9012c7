"""Annotations: the latest event of each kind and name, and the selections people saved."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from data_access.errors import SelectionError
from data_access.queries.answers import as_moment
from data_access.selection import Selection, parse_selection
from data_access.warehouse import Warehouse

SELECTION = "selection"


@dataclass(frozen=True)
class SavedSelection:
    """A selection saved under a name. selection: None where it cannot be read here.

    problem: why it cannot be read. saved: when (UTC).
    """

    name: str
    selection: Selection | None
    saved: datetime
    problem: str = ""


def last_annotations(warehouse: Warehouse, kind: str) -> pd.DataFrame:
    """The latest annotation of each name of a kind: columns name, timestamp, payload.

    payload: a JSON object. Removed names are left out; of two events at the same moment the one
    with the greater key counts.
    """
    return warehouse.query(
        """
        select name, timestamp, payload
        from annotations
        where kind = ?
        qualify row_number() over (
            partition by name order by timestamp desc, annotation_key desc
        ) = 1 and payload is not null
        order by lower(name), name
        """,
        [kind],
    )


def last_annotated(
    warehouse: Warehouse, names: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], datetime]:
    """By (kind, name): the time of the latest event (UTC), removals included."""
    rows = warehouse.rows(
        """
        select kind, name, max(timestamp)
        from annotations
        where (kind, name) in (select unnest(?), unnest(?))
        group by kind, name
        """,
        [[kind for kind, _ in names], [name for _, name in names]],
    )
    return {(kind, name): moment.replace(tzinfo=UTC) for kind, name, moment in rows}


def saved_selections(warehouse: Warehouse) -> list[SavedSelection]:
    """Selections that were saved and not removed, by name."""
    return warehouse.cached(("saved selections",), lambda: _saved_selections(warehouse))


def _saved_selections(warehouse: Warehouse) -> list[SavedSelection]:
    selections = []
    for name, timestamp, payload in last_annotations(warehouse, SELECTION).itertuples(
        index=False, name=None
    ):
        saved = as_moment(timestamp)
        assert saved is not None
        query = json.loads(payload).get("query")
        try:
            if not isinstance(query, str):
                raise SelectionError("It was saved without its filters.")
            selection = parse_selection(query, warehouse.projections)
        except SelectionError as error:
            selections.append(SavedSelection(name, None, saved, str(error)))
        else:
            selections.append(SavedSelection(name, selection, saved))
    return selections
