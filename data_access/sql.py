"""Small pieces of SQL text. User values are parameters, never text."""

from typing import Any

Condition = tuple[str, list[Any]]
"""SQL that is true or false of a record, with its parameters."""


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def json_pointer(name: str) -> str:
    """One step into a JSON object (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def literal(text: str) -> str:
    """A name of our own as an SQL string."""
    return "'" + text.replace("'", "''") + "'"
