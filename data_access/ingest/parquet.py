"""Reads Parquet objects by columns."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access.ingest.events import EventTables
from data_access.ingest.flat import (
    FLAT,
    LENIENT,
    all_of,
    sort_names,
    tags_sql,
    take_events,
    value_sql,
)
from data_access.records import GROUPS, ORIGIN, ORIGIN_LINE, SOURCES, is_compacted
from data_access.records.decoding import parquet_rows, read_rows
from data_access.sql import json_pointer, literal, quoted


def read_table(key: str, kind: str, table: pa.Table, tables: EventTables) -> None:
    """Add the events of one Parquet object to `tables`.

    kind: predictions, feedback or annotations. Raises whatever Arrow and DuckDB do on
    what they cannot convert.
    """
    table.validate(full=True)  # texts may be no UTF-8
    columns = _flat_columns(table)
    count = table.num_rows
    keys = pa.repeat(key, count)
    places = pa.table({"object_key": keys, "origin": keys, "line": np.arange(1, count + 1)})
    if is_compacted(key) and SOURCES in (table.schema.metadata or {}):
        sources = json.loads(table.schema.metadata[SOURCES])
        tables.covered += [(source, e_tag, key) for source, e_tag in sources]
        places = places.set_column(1, "origin", columns.pop(ORIGIN).cast(pa.string()))
        places = places.set_column(2, "line", columns.pop(ORIGIN_LINE).cast(pa.int64()))
        table = table.drop_columns([ORIGIN, ORIGIN_LINE])
    flat = None if kind == "annotations" else _flat_parquet(kind, columns)
    left = np.arange(count)
    if flat is not None:
        rows = pa.table({"ordinal": left} | {f"c{i}": c for i, c in enumerate(columns.values())})
        left = take_events(kind, flat, rows, places, tables)
    if len(left):
        odd = table.take(pa.array(left))
        rest = EventTables()
        rows = parquet_rows(odd.to_batches(max_chunksize=10_000))
        rest.add(key, read_rows(kind, zip((left + 1).tolist(), rows, strict=True)))
        rest.predictions = [_moved(rows, places) for rows in rest.predictions]
        rest.feedback = [_moved(rows, places) for rows in rest.feedback]
        rest.annotations = [_moved(rows, places) for rows in rest.annotations]
        tables.extend(rest)


def _moved(rows: pa.Table, places: pa.Table) -> pa.Table:
    """Rows whose `line` counts those of their object, as of where they were first logged."""
    there = places.take(pc.subtract(rows["line"], 1))
    for name in ("origin", "line"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, there[name])
    return rows


def _flat_columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Columns by dotted name, groups taken apart, times in microseconds of UTC.

    Raises ValueError where two columns have one name, and where a time is beyond all calendars.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        parts = [(name, column)]
        if name in GROUPS and pa.types.is_struct(column.type):
            inner = pa.table({name: column}).flatten()
            parts = list(zip(inner.column_names, inner.columns, strict=True))
        for part, values in parts:
            if part in columns:
                raise ValueError(f"two columns are named {part}")
            if pa.types.is_timestamp(values.type):
                values = pc.cast(values, pa.timestamp("us"), safe=values.type.unit != "ns")
            columns[part] = values
    return columns


def _flat_parquet(kind: str, columns: dict[str, pa.ChunkedArray]) -> str | None:
    """SQL that brings the columns c0, c1, … to FLAT; None where a type is not a usual one."""
    addresses = [(name, (f"c{i}", column.type)) for i, (name, column) in enumerate(columns.items())]
    names = sort_names(kind, addresses)
    if names is None:
        return None
    trusted = ["true"]
    selected = []
    for name, sql_type in FLAT.items():
        address = names.known.get("timestamp" if name == "moment" else name)
        sql: str | None = f"null::{sql_type}"
        if address is not None:
            sql = _column_sql(sql_type, *address)
        if sql is None:
            return None
        selected.append(f"{sql} as {quoted(name)}")
    nested = "null"
    if names.nested_tags and not pa.types.is_null(names.nested_tags[1]):
        column, type_ = names.nested_tags
        if _is_map_of_values(type_):
            column = f"to_json({column})::varchar"
        elif not _is_text(type_):
            return None
        document = f"case when json_valid({column}) then {column} end"
        nested = f"json({document})::varchar"
        inside = f"json_keys({document})"
        trusted.append(
            f"{column} is null or (json_type({document}) = 'OBJECT' "
            f"and len({inside}) = list_unique({inside}) "
            f"and not regexp_matches({column}, '{LENIENT}'))"
        )
        trusted += [
            f"coalesce(not json_exists({document}, {literal(json_pointer(tag))}), true)"
            for tag in names.tags
        ]
    tags = {}
    if kind == "predictions":
        for tag, (column, type_) in names.tags.items():
            if pa.types.is_null(type_):
                continue
            if pa.types.is_floating(type_):
                column = f"if(isfinite({column}), {column}::double, null)"
            elif _is_text(type_):
                column = f"{column}::varchar"
            elif not (pa.types.is_integer(type_) or pa.types.is_boolean(type_)):
                return None
            tags[tag] = f"to_json({column})::varchar"
    return (
        f"select ordinal, {', '.join(selected)}, {tags_sql(nested, tags)} as tags, "
        f"{all_of(trusted)} as trusted from rows"
    )


def _column_sql(sql_type: str, column: str, type_: pa.DataType) -> str | None:
    if pa.types.is_null(type_):
        return f"null::{sql_type}"
    if sql_type == "varchar":
        return f"{column}::varchar" if _is_text(type_) else None
    if sql_type == "double":
        number = pa.types.is_floating(type_) or pa.types.is_integer(type_)
        return f"{column}::double" if number else None
    if pa.types.is_timestamp(type_):
        return column
    return value_sql(sql_type, f"{column}::varchar") if _is_text(type_) else None


def _is_map_of_values(type_: pa.DataType) -> bool:
    if not pa.types.is_map(type_) or not _is_text(type_.key_type):
        return False
    value = type_.item_type
    return _is_text(value) or pa.types.is_integer(value) or pa.types.is_boolean(value)


def _is_text(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))
