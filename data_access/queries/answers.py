"""From an answer's frame to plain Python values."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from data_access.records import Record
from data_access.warehouse import Warehouse


def row_of(warehouse: Warehouse, sql: str, params: Sequence[Any] = ()) -> dict[str, Any]:
    """The one row of an answer, by column."""
    return {str(name): value for name, value in warehouse.query(sql, params).iloc[0].items()}


def records_of(warehouse: Warehouse, keys: Sequence[str]) -> pd.DataFrame:
    """These records with all of their columns, in no particular order.

    Few rows are found by narrow columns and only then read in full: by row number, because
    DuckDB reads whole columns to find keys among them.
    """
    return warehouse.query(
        """
        select * exclude (object_key, origin, line, fold_order)
        from records
        where rowid in (select rowid from records where record_key in (select unnest(?)))
        """,
        [list(keys)],
    )


def with_records(warehouse: Warehouse, found: pd.DataFrame) -> pd.DataFrame:
    """A frame with column record_key, and all columns of these records, in its order.

    found: with column rowid, which spares looking keys up; rows that a sync has moved since are
    found by their keys.
    """
    sql = """
        select * exclude (object_key, origin, line, fold_order)
        from records
        where rowid in (select unnest(?))
    """
    records = warehouse.query(sql, [found["rowid"].tolist()])
    keys = found.drop(columns="rowid")
    rows = keys.merge(records, on="record_key")
    if len(rows) < len(keys):
        rows = keys.merge(records_of(warehouse, list(keys["record_key"])), on="record_key")
    return rows


def as_moment(value: Any) -> datetime | None:
    """A time of the warehouse, which is UTC without saying so."""
    return None if pd.isna(value) else pd.Timestamp(value).to_pydatetime().replace(tzinfo=UTC)


def as_plain(value: Any) -> Any:
    """A Python value from a frame's cell; None for every kind of nothing."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a page of cases as dicts of plain Python values."""
    return [
        {str(name): as_plain(value) for name, value in zip(frame.columns, row, strict=True)}
        for row in frame.itertuples(index=False, name=None)
    ]


def as_records(warehouse: Warehouse, frame: pd.DataFrame) -> tuple[Record, ...]:
    """The rows of a frame that has the columns of `records`, in its order."""
    names = [row.name for row in warehouse.projections.rows]
    return tuple(Record.from_row(row, names) for row in plain_rows(frame))
