"""One parser of times, for what is synced and for what is imported."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_access.records.times import parse_time

SECOND = datetime(2026, 9, 5, 21, 25, 43, tzinfo=UTC)
MIDNIGHT = datetime(2026, 9, 5, tzinfo=UTC)
SECONDS = 1_788_643_543


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-05T21:25:43Z",
        "2026-09-05t21:25:43z",
        "2026-09-05T21:25:43",
        "2026-09-05 21:25:43+00",
        "2026-09-05 21:25:43 +0000",
        "2026-09-05T23:25:43+02:00",
        "2026-09-05 23:25:43+02",
        "2026-09-05T15:55:43-0530",
        "2026-09-05 21:25:43.000 UTC",
        " 2026-09-05T21:25:43.000Z\n",
        "2026-09-05T21:25:43,0000000001Z",
        "20260905T212543Z",
        "20260905T232543+0200",
        "2026-W36-6T21:25:43Z",
        "2026W366T212543Z",
        "2026-248T21:25:43Z",
        "2026248T212543Z",
    ],
)
def test_iso_8601_in_all_its_forms(text: str) -> None:
    assert parse_time(text) == SECOND
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-09-04T24:00:00Z", MIDNIGHT),
        ("2026-09-05", MIDNIGHT),
        ("20260905", MIDNIGHT),
        ("2026-09-05T21", SECOND.replace(minute=0, second=0)),
        ("2026-09-05T21:25Z", SECOND.replace(second=0)),
        ("2026-09-05T21:25:43.1239999Z", SECOND.replace(microsecond=123_999)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2024-366", datetime(2024, 12, 31, tzinfo=UTC)),
    ],
)
def test_parts_that_are_left_out_are_zero_and_what_runs_over_carries(
    text: str, moment: datetime
) -> None:
    assert parse_time(text) == moment


@pytest.mark.parametrize("written", [str, int, float, Decimal, np.int64, np.float64])
@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_numbers_since_1970_are_told_by_their_size(written: type, unit: int) -> None:
    assert parse_time(written(SECONDS * unit)) == SECOND


@pytest.mark.parametrize("written", [str, float, Decimal])
def test_fractions_of_seconds_are_kept(written: type) -> None:
    assert parse_time(written("1788643543.125")) == SECOND.replace(microsecond=125_000)


@pytest.mark.parametrize(
    "value",
    [
        SECOND,
        SECOND.replace(tzinfo=None),
        SECOND.astimezone(timezone(timedelta(hours=-7))),
        pd.Timestamp(SECOND).tz_convert("Asia/Kolkata"),
        np.datetime64("2026-09-05T21:25:43.000000999", "ns"),
        np.array(SECONDS),
    ],
    ids=repr,
)
def test_values_that_are_times(value: object) -> None:
    moment = parse_time(value)
    assert (moment, type(moment)) == (SECOND, datetime)


def test_a_date_is_its_midnight() -> None:
    assert parse_time(date(2026, 9, 5)) == parse_time(np.datetime64("2026-09-05")) == MIDNIGHT


def test_a_time_without_a_zone_is_of_the_zone_that_is_given() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for naive in ("2026-09-05 23:25:43", datetime(2026, 9, 5, 23, 25, 43)):
        assert parse_time(naive, berlin) == SECOND
    for aware in ("2026-09-05T21:25:43Z", SECOND, SECONDS):
        assert parse_time(aware, berlin) == SECOND


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the time is missing"),
        (pd.NaT, "the time is missing"),
        (np.datetime64("NaT"), "the time is missing"),
        ("yesterday", "'yesterday' is not a time: write it as 2026-09-05T21:25:43Z"),
        ("", "'' is not a time: write it as"),
        ("x" * 10**6, f"'{'x' * 40}…' is not a time: write it as"),
        ("05/09/2026", "'05/09/2026' is not a time: write it as"),
        ("2026-09-05x21:25", "'2026-09-05x21:25' is not a time: write it as"),
        ("2026-02-30", "'2026-02-30' is not a time: day is out of range for month"),
        ("2026-366", "'2026-366' is not a time: the year 2026 has no day 366"),
        ("2026-000", "'2026-000' is not a time: the year 2026 has no day 000"),
        ("2026-09-05T25:00", "'2026-09-05T25:00' is not a time: hour must be in 0..23"),
        ("2026-09-05T24:00:01", "'2026-09-05T24:00:01' is not a time: hour must be in 0..23"),
        ("2026-09-05T21+99", "'2026-09-05T21+99' is not a time: the offset must be below 24:00"),
        ("٢٠٢٦-09-05", "'٢٠٢٦-09-05' is not a time: write it as"),
        (True, "'True' is not a time: write it as"),
        ([2026, 9, 5], "'[2026, 9, 5]' is not a time: write it as"),
        (float("nan"), "the number NaN is not a time since 1970"),
        pytest.param(10**5000, "the number 1.00000e+5000 is not a time since 1970", id="large"),
        ("9e999", "the number 9e+999 is not a time since 1970"),
        (-1e18, "the year 1938 is not between 1970 and 2199"),
        (-1, "the year 1969 is not between 1970 and 2199"),
        (10**10, "the year 2286 is not between 1970 and 2199"),
        ("0001-01-01T00:00:00+01:00", "the year 1 is not between 1970 and 2199"),
        ("9999-12-31T23:59:59-01:00", "the year 9999 is not between 1970 and 2199"),
    ],
)
def test_what_is_no_time_is_said_in_a_sentence(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        parse_time(value)
    assert str(caught.value).startswith(reason)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)),
    st.integers(-23 * 60, 23 * 60),
    st.sampled_from(["T", " "]),
)
def test_what_python_writes_is_read_back(naive: datetime, minutes: int, separator: str) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_time(moment.isoformat(separator)) == moment


@given(st.one_of(st.text(), st.integers(), st.floats(), st.decimals(), st.binary()))
def test_anything_is_read_or_refused(value: object) -> None:
    try:
        moment = parse_time(value)
    except ValueError as error:
        assert len(str(error)) < 200
    else:
        assert moment.tzinfo is UTC
        assert 1970 <= moment.year < 2200
