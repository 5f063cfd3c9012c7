"""Reads a time, however it is written: ISO 8601, or a number since 1970."""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

import numpy as np

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEARS = range(1970, 2200)
# The unit of a number is told by its size: in each unit, the next one begins with the year 2603.
MICROSECONDS_PER_UNIT = (
    (Decimal("2e10"), Decimal(1_000_000)),  # up to this: seconds
    (Decimal("2e13"), Decimal(1_000)),  # milliseconds
    (Decimal("2e16"), Decimal(1)),  # microseconds
    (Decimal("2e19"), Decimal("0.001")),  # nanoseconds
)
NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
BASIC_DATE = re.compile(r"\d{8}", re.ASCII)
ISO_8601 = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d|\d{8}|\d{4}-W\d\d(-\d)?|\d{4}W\d\d\d?|(?P<year>\d{4})-?(?P<day>\d{3}))"
    r"([T ]\s?(?P<hour>\d\d)(:?(?P<minute>\d\d)(:?(?P<second>\d\d)([.,](?P<fraction>\d+))?)?)?)?"
    r"\s?(?P<zone>Z|UTC|GMT|(?P<sign>[+-])(?P<zone_hour>\d\d)(:?(?P<zone_minute>\d\d))?)?",
    re.ASCII | re.IGNORECASE,
)


def parse_time(value: object, zone: tzinfo = UTC) -> datetime:
    """A time in UTC. zone: of times that name none.

    Reads ISO 8601 (extended or basic, calendar, week or ordinal dates; a date alone is its
    midnight), datetimes, dates, numpy and pandas timestamps, and numbers, or their text, since
    1970: seconds up to 2e10, milliseconds up to 2e13, microseconds up to 2e16, then nanoseconds.
    Text of eight digits is a date. Fractions of a microsecond are cut off.
    Raises ValueError, in one sentence, for anything else and outside the years 1970 to 2199.
    """
    moment = _parse_text(value.strip()) if isinstance(value, str) else _convert(value)
    year = moment.year
    try:
        moment = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
        moment = moment.astimezone(UTC)
        year = moment.year
    except OverflowError:  # years 1 and 9999, beyond which a zone can lead
        pass
    if year not in YEARS:
        raise ValueError(f"the year {year} is not between {YEARS[0]} and {YEARS[-1]}")
    return moment


def _parse_text(text: str) -> datetime:
    if NUMBER.fullmatch(text) and not BASIC_DATE.fullmatch(text):
        return _since_1970(Decimal(text))
    match = ISO_8601.fullmatch(text)
    if match is None:
        raise ValueError(f"{_shown(text)} is not a time: write it as 2026-09-05T21:25:43Z")
    try:
        return _from_iso(match)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{_shown(text)} is not a time: {error}") from None


def _from_iso(match: re.Match[str]) -> datetime:
    """Hour 24 is the next day's midnight, second 60 (a leap second) the next minute's start."""
    if match["year"]:
        day = date(int(match["year"]), 1, 1) + timedelta(days=int(match["day"]) - 1)
        if not 1 <= int(match["day"]) <= 366 or day.year != int(match["year"]):
            raise ValueError(f"the year {match['year']} has no day {match['day']}")
    else:
        day = date.fromisoformat(match["date"].upper())
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    microsecond = int((match["fraction"] or "")[:6].ljust(6, "0"))
    moment = datetime(day.year, day.month, day.day, tzinfo=_zone(match))
    if hour == 24 and not (minute or second or microsecond):
        return moment + timedelta(days=1)
    if second == 60:
        return moment.replace(hour=hour, minute=minute, second=59) + timedelta(seconds=1)
    return moment.replace(hour=hour, minute=minute, second=second, microsecond=microsecond)


def _zone(match: re.Match[str]) -> tzinfo | None:
    if not match["zone"]:
        return None
    if not match["sign"]:
        return UTC
    hours, minutes = int(match["zone_hour"]), int(match["zone_minute"] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("the offset must be below 24:00")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if match["sign"] == "-" else offset)


def _convert(value: Any) -> datetime:
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False) if value == value else None  # NaT is not itself
    elif hasattr(value, "item"):
        value = value.item() if getattr(value, "size", 1) == 1 else value.tolist()
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _since_1970(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
    if value is None:
        raise ValueError("the time is missing")
    raise ValueError(f"{_shown(value)} is not a time: write it as 2026-09-05T21:25:43Z")


def _since_1970(number: Decimal) -> datetime:
    if number.is_finite():
        for limit, microseconds in MICROSECONDS_PER_UNIT:
            if abs(number) <= limit:
                try:
                    return EPOCH + timedelta(microseconds=int(number * microseconds))
                except OverflowError:  # before the year 1
                    break
    raise ValueError(f"the number {number:.6g} is not a time since 1970")


def _shown(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
