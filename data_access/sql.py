"""Small pieces of SQL text. User values are parameters, never text."""

from typing import Any

import pyarrow as pa

Condition = tuple[str, list[Any]]
"""SQL that is true or false of a record, with its parameters."""


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


SQL_TYPES = {
    pa.string(): "varchar",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.timestamp("us"): "timestamp",
    pa.bool_(): "boolean",
    pa.list_(pa.string()): "varchar[]",
}


def declared(schema: pa.Schema) -> str:
    """The columns of a table as `create table` lists them."""
    return ", ".join(f"{quoted(column.name)} {SQL_TYPES[column.type]}" for column in schema)


def listed(schema: pa.Schema) -> str:
    """The columns of a table as `select` lists them."""
    return ", ".join(map(quoted, schema.names))


def json_pointer(name: str) -> str:
    """One step into a JSON object (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def literal(text: str) -> str:
    """A name of our own as an SQL string."""
    return "'" + text.replace("'", "''") + "'"
