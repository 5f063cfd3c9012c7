"""Ranges of numbers: `0.5..3`, `..3`, `0.5..`, or `none` for the records without a value."""

import math

from data_access.errors import SelectionError
from data_access.selection.value import Range
from data_access.sql import Condition, quoted

MISSING = "none"


def read_range(name: str, text: str) -> Range:
    """The range that a URL says. Raises SelectionError where it is not understood."""
    if text == MISSING:
        return Range(name, missing=True)
    low, dots, high = text.partition("..")
    if not dots:
        raise SelectionError(f"“{text}” is not a range such as 0.5..3, ..3 or 0.5..")
    lowest = _number(low) if low else None
    highest = _number(high) if high else None
    if lowest is not None and highest is not None and lowest > highest:
        raise SelectionError(f"“{text}” ends before it begins.")
    return Range(name, lowest, highest)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SelectionError(f"“{text}” is not a number.")
    return value


def write_range(range_: Range) -> str:
    if range_.missing:
        return MISSING
    low, high = ("" if side is None else repr(side) for side in (range_.low, range_.high))
    return f"{low}..{high}"


def range_sentence(label: str, range_: Range) -> str:
    """`entropy < 3.2`, `obscene ≥ 0.024`, `confidence 0.5–0.75`: numbers in three digits."""
    if range_.missing:
        return f"no {label}"
    if range_.low is None and range_.high is None:
        return f"any {label}"
    if range_.low is None:
        return f"{label} < {_short(range_.high)}"
    if range_.high is None:
        return f"{label} ≥ {_short(range_.low)}"
    return f"{label} {_short(range_.low)}–{_short(range_.high)}"


def _short(number: float | None) -> str:
    assert number is not None
    shown = f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
    return shown.replace("-", "−")


def range_sql(range_: Range) -> Condition:
    """The range of a projection."""
    column = quoted(range_.name)
    if range_.missing:
        return f"{column} is null", []
    conditions, params = [f"{column} is not null"], []
    if range_.low is not None:
        conditions.append(f"{column} >= ?")
        params.append(range_.low)
    if range_.high is not None:
        conditions.append(f"{column} < ?")
        params.append(range_.high)
    return " and ".join(conditions), params
