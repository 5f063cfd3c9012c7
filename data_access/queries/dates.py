"""Dates and times of day as people write them in a search."""

import re
from datetime import date, datetime, time

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
CLOCK = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?::\d{2})?\s*(am|pm)?(?![\d:])", re.I)
ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})?")
DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?\.? ([a-z]{3,9})\.?,?(?: (\d{4}))?", re.I)
MONTH_FIRST = re.compile(r"([a-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,?(?: (\d{4}))?", re.I)
BETWEEN = re.compile(r"^(at|on|around)\b|[,tT@]$|\b(at|on|around)$|\b(utc|z)$", re.I)


def read_when(text: str, newest: datetime) -> tuple[date | None, time | None]:
    """The date and the time of day that a text consists of: `28 Aug 2026`, `14:30`, or both.

    newest: a date without a year is the last one up to then. (None, None) for any other text.
    """
    text = " ".join(text.split())
    clock = None
    if match := CLOCK.search(text):
        clock = _clock(*match.groups())
        if clock is None:
            return None, None
        text = f"{text[: match.start()]} {text[match.end() :]}"
    rest = " ".join(text.split())
    if clock is not None:
        while (shorter := BETWEEN.sub("", rest).strip()) != rest:
            rest = shorter
        if not rest:
            return None, clock
    day = _day(rest, newest.date())
    return (day, clock) if day is not None else (None, None)


def _clock(hour: str, minute: str, half: str | None) -> time | None:
    number = int(hour)
    if half:
        if not 1 <= number <= 12:
            return None
        number = number % 12 + 12 * (half.lower() == "pm")
    try:
        return time(number, int(minute))
    except ValueError:
        return None


def _day(text: str, newest: date) -> date | None:
    if match := ISO.fullmatch(text):
        return _date(*map(int, match.groups()))
    if match := DOTTED.fullmatch(text):
        day, month, year = match.groups()
        return _dated(int(day), int(month), year, newest)
    if match := DAY_FIRST.fullmatch(text):
        day, name, year = match.groups()
    elif match := MONTH_FIRST.fullmatch(text):
        name, day, year = match.groups()
    else:
        return None
    month = next((k for k, begin in enumerate(MONTHS, 1) if _is_month(name.lower(), begin)), 0)
    return _dated(int(day), month, year, newest)


def _is_month(name: str, begin: str) -> bool:
    full = date(2000, MONTHS.index(begin) + 1, 1).strftime("%B").lower()
    return name in (begin, full, "sept" if begin == "sep" else begin)


def _dated(day: int, month: int, year: str | None, newest: date) -> date | None:
    if year:
        return _date(int(year), month, day)
    this_year = _date(newest.year, month, day)
    if this_year is not None and this_year <= newest:
        return this_year
    return _date(newest.year - 1, month, day) or this_year


def _date(year: int, month: int, day: int) -> date | None:
    """Within the years that a filter takes."""
    try:
        return date(year, month, day) if 1970 <= year < 2200 else None
    except ValueError:
        return None
