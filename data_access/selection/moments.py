"""Filters by time: dates and moments, hours and times of the day, days of the week. All in UTC."""

from datetime import UTC, date, datetime, time, timedelta

from data_access.errors import SelectionError
from data_access.selection.value import DAY, WEEKDAYS
from data_access.sql import Condition

AROUND = timedelta(minutes=15)  # to either side of a time


def read_moment(values: list[str]) -> datetime | None:
    if not values:
        return None
    try:
        moment = datetime.fromisoformat(values[-1])
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise SelectionError(f"“{values[-1]}” is not a date such as 2026-09-30.") from None
    if not 1970 <= moment.year < 2200:
        raise SelectionError(f"“{values[-1]}” is not a date between 1970 and 2199.")
    return moment


def read_until(values: list[str]) -> datetime | None:
    """A date names the whole of its day."""
    moment = read_moment(values)
    return moment + DAY if moment is not None and _is_date(values[-1]) else moment


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def write_moment(moment: datetime) -> str:
    if _is_midnight(moment):
        return moment.date().isoformat()
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def write_until(moment: datetime) -> str:
    return write_moment(moment - DAY if _is_midnight(moment) else moment)


def moment_text(moment: datetime) -> str:
    """`1 Jul 2026`, or `1 Jul 2026 14:30 UTC`."""
    day = f"{moment.day} {moment:%b %Y}"
    return day if _is_midnight(moment) else f"{day} {moment:%H:%M} UTC"


def until_text(moment: datetime) -> str:
    """The same of the end of a window: of a midnight, the day before it."""
    return moment_text(moment - DAY if _is_midnight(moment) else moment)


def _is_midnight(moment: datetime) -> bool:
    return moment == moment.replace(hour=0, minute=0, second=0, microsecond=0)


def warehouse_time(moment: datetime) -> datetime:
    """Times in the warehouse are UTC without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def read_hours(values: list[str]) -> tuple[int, ...]:
    hours = {value: int(value) for value in values if value.isdecimal() and len(value) <= 2}
    if wrong := [value for value in values if value and hours.get(value, 24) > 23]:
        raise SelectionError(f"“{wrong[0]}” is not an hour from 0 to 23.")
    return tuple(sorted(set(hours.values())))


def hours_sentence(hours: tuple[int, ...]) -> str:
    return f"hour {' or '.join(f'{hour:02}' for hour in hours)} (UTC)"


def read_weekdays(values: list[str]) -> tuple[str, ...]:
    by_name = {value.capitalize(): value for value in values if value}
    if wrong := [value for day, value in by_name.items() if day not in WEEKDAYS]:
        raise SelectionError(f"“{wrong[0]}” is not a day of the week such as Monday.")
    return tuple(day for day in WEEKDAYS if day in by_name)


def weekdays_sentence(days: tuple[str, ...]) -> str:
    return f"on {' or '.join(f'{day}s' for day in days)} (UTC)"


def read_clock(values: list[str]) -> time | None:
    if not values or not values[-1]:
        return None
    try:
        return datetime.strptime(values[-1], "%H:%M").time()
    except ValueError:
        raise SelectionError(f"“{values[-1]}” is not a time of day such as 14:30.") from None


def around_sql(clock: time) -> Condition:
    """Whether the time of day is within AROUND, past midnight too."""
    return (
        "abs((hour(timestamp) * 60 + minute(timestamp) - ? + 2160) % 1440 - 720) <= ?",
        [clock.hour * 60 + clock.minute, int(AROUND.total_seconds()) // 60],
    )
