"""Filters by name: any of a few environments, versions, applications or values of a tag."""

from collections.abc import Callable, Sequence

from data_access.selection.value import NO_VALUE
from data_access.sql import Condition


def read_names(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def any_of(column: str) -> Callable[[Sequence[object]], Condition]:
    """Whether a column has any of some values; NO_VALUE: or none at all."""

    def sql(values: Sequence[object]) -> Condition:
        value = f"coalesce({column}, '{NO_VALUE}')" if NO_VALUE in values else column
        return f"{value} in ({', '.join('?' * len(values))})", list(values)

    return sql


def names_sentence(noun: str, values: Sequence[str]) -> str:
    """`version 1 or 2 or no version`."""
    named = [value for value in values if value != NO_VALUE]
    present = [f"{noun} {' or '.join(named)}"] if named else []
    return " or ".join([*present, *([f"no {noun}"] if NO_VALUE in values else [])])
