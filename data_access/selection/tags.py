"""Filters by tags: `client:web` by value, `latency_ms:100..200` by number."""

import math
import sys
from itertools import groupby
from operator import attrgetter
from typing import Any
from urllib.parse import quote, unquote

from data_access.errors import SelectionError
from data_access.selection.names import any_of, names_sentence
from data_access.selection.ranges import range_sentence, read_range, write_range
from data_access.selection.value import Range, Tag
from data_access.sql import Condition, json_pointer

LARGEST = sys.float_info.max


def read_tags(values: list[str]) -> tuple[Tag, ...]:
    """`client:web`, or `client:-` for the records without this tag."""
    return tuple(dict.fromkeys(Tag(*parts) for parts in _by_colon(values, "client:web")))


def read_tag_ranges(values: list[str]) -> tuple[Range, ...]:
    """`latency_ms:100..200`, or `latency_ms:none` for the records where it is no number."""
    ranges = [read_range(*parts) for parts in _by_colon(values, "latency_ms:100..200")]
    return tuple({range_.name: range_ for range_ in ranges}.values())


def _by_colon(values: list[str], example: str) -> list[tuple[str, str]]:
    """The names of tags, and what follows each."""
    if wrong := [value for value in values if ":" not in value]:
        raise SelectionError(f"“{wrong[0]}” is not a tag such as {example}.")
    parts = [value.partition(":") for value in values]
    return [(unquote(name), value) for name, _, value in parts]


def write_tags(tags: tuple[Tag, ...]) -> list[str]:
    return [_write(tag.name, tag.value) for tag in tags]


def write_tag_ranges(ranges: tuple[Range, ...]) -> list[str]:
    return [_write(range_.name, write_range(range_)) for range_ in ranges]


def _write(name: str, value: str) -> str:
    return f"{quote(name, safe=' ')}:{value}"


def tag_value(name: str) -> Condition:
    """The value of a tag as text, in SQL; null where there is none."""
    return "json_extract_string(tags, ?)", [json_pointer(name)]


def tag_number(name: str) -> Condition:
    """The value of a tag as a number, in SQL; null or not finite where it is none."""
    value, path = tag_value(name)
    return f"try_cast({value} as double)", path


def tag_sql(tags: tuple[Tag, ...]) -> Condition:
    """Values of one tag combine with OR, different tags with AND."""
    conditions: list[str] = []
    params: list[Any] = []
    for name, values in _by_name(tags).items():
        value, path = tag_value(name)
        sql, wanted = any_of(value)(values)
        conditions.append(sql)
        params += [*path, *wanted]
    return " and ".join(conditions), params


def tag_range_sql(ranges: tuple[Range, ...]) -> Condition:
    conditions: list[str] = []
    params: list[Any] = []
    for range_ in ranges:
        number, path = tag_number(range_.name)
        low = -LARGEST if range_.low is None else range_.low
        high = LARGEST if range_.high is None else math.nextafter(range_.high, -math.inf)
        conditions.append(f"({number} between ? and ?) is {'not ' if range_.missing else ''}true")
        params += [*path, low, high]
    return " and ".join(conditions), params


def tag_sentence(tags: tuple[Tag, ...]) -> str:
    return ", ".join(names_sentence(name, values) for name, values in _by_name(tags).items())


def tag_range_sentence(ranges: tuple[Range, ...]) -> str:
    return ", ".join(range_sentence(range_.name, range_) for range_ in ranges)


def _by_name(tags: tuple[Tag, ...]) -> dict[str, tuple[str, ...]]:
    ordered = sorted(tags, key=attrgetter("name"))
    return {
        name: tuple(tag.value for tag in same)
        for name, same in groupby(ordered, attrgetter("name"))
    }
