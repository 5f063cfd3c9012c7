"""Brings values of Python, numpy, torch and Parquet to what JSON can say."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np

MISSING = ("NaTType", "NAType")  # of pandas


def json_value(value: Any) -> Any:
    """The value as a number, boolean, text, null, or lists and objects of these.

    NaN and infinities are null. Enums are their value, arrays and tensors of one element that
    element, others lists; durations are seconds; bytes are text where they are UTF-8, else
    hexadecimal. Raises ValueError for a type that is none of these, and for endless nesting.
    """
    try:
        return _convert(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _convert(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (str, int, bool):
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is dict or isinstance(value, Mapping):
        return dict(zip(map(_name, value), map(_convert, value.values()), strict=True))
    if kind in (list, tuple) or isinstance(value, Set):
        return list(map(_convert, value))
    return _convert_unusual(value)


def _convert_unusual(value: Any) -> Any:
    if isinstance(value, Enum):
        return _convert(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return _convert(float(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _text(bytes(value))
    if type(value).__name__ in MISSING or isinstance(value, np.datetime64 | np.timedelta64):
        text = str(value)
        return None if text in ("NaT", "<NA>") else text
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, date | time | UUID | os.PathLike):
        return str(value)
    if hasattr(value, "item") and hasattr(value, "tolist"):
        return _convert(_elements(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _convert(dataclasses.asdict(value))
    if isinstance(value, Sequence):
        return list(map(_convert, value))
    raise ValueError(f"a value of type {type(value).__name__} cannot be logged")


def _elements(array: Any) -> Any:
    """Of an array of numpy or a tensor of torch."""
    try:
        return array.item()
    except (ValueError, RuntimeError, TypeError):
        return array.tolist()


def _number(value: Decimal) -> int | float | None:
    if not value.is_finite():
        return None
    if value == value.to_integral_value() and value.adjusted() < 400:
        return int(value)
    return _convert(float(value))  # type: ignore[no-any-return]


def _name(key: Any) -> str:
    """As JSON writes a name; those that are no text are written as their value is."""
    if isinstance(key, str) and not isinstance(key, Enum):
        return key
    key = _convert(key)
    return key if isinstance(key, str) else json.dumps(key)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()
