"""Finding anything: what a text may mean, and that hostile ones are only texts."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from data_access import queries
from data_access.api import OpenLog
from data_access.log import Log
from data_access.queries.dates import read_when
from data_access.selection import Selection
from tests.samples import SAMPLE, feedback, open_log, prediction, write
from tests.test_pages import Dashboard, dashboard, displayed, stands, text

__all__ = ["dashboard", "displayed"]

NEWEST = datetime(2026, 8, 30, 19, 23)
LONG = datetime(2026, 7, 7, 23, 55, tzinfo=UTC)


@pytest.fixture
def log(folder_log: Log, tmp_path: Path) -> Iterator[OpenLog]:
    write(
        folder_log,
        "predictions/a.jsonl",
        prediction("abcd-1", "Two  boats\n\tat SEA", inputs__image="images/ab/abba.png"),
        prediction("abcd-2", "100% of_it", timestamp="2026-07-08T00:05:00Z"),
        prediction("abce", "A boat", environment="test", timestamp=LONG.isoformat()),
    )
    write(
        folder_log,
        "feedback/a.jsonl",
        feedback("abcd-1", None, user="Ann", comment="upside\ndown, boats?"),
        feedback("abcd-1", "other", user="bo", timestamp="2026-07-09T00:00:00Z"),
        feedback("abcd-2", None, user="ann", ground_truth_string="100 %\nof it"),
        feedback("nowhere", user="annika"),
    )
    opened = open_log(folder_log.uri, tmp_path / "search.duckdb")
    opened.sync()
    yield opened
    opened.close()


def matches(log: OpenLog, asked: str, **selected: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """Counts by kind and value; each is what its selection holds."""
    answer = queries.search(log.warehouse, Selection(**selected), asked)  # type: ignore[arg-type]
    for match in answer:
        held = queries.coverage(log.warehouse, match.records).predictions
        assert held == match.count > 0
    return {(match.kind, match.value): match.count for match in answer}


def test_a_text_is_matched_by_kind_whatever_its_white_space_and_case(log: OpenLog) -> None:
    assert matches(log, "boats") == {("output", "boats"): 1, ("comment", "boats"): 1}
    assert matches(log, " BOATS at\nsea ") == {("output", "BOATS at sea"): 1}
    assert matches(log, "down, boats") == {("comment", "down, boats"): 1}
    assert matches(log, "% of IT") == {("truth", "% of IT"): 1}
    assert matches(log, "ann") == {("user", "Ann"): 1, ("user", "ann"): 1}, "any of the feedback"
    assert matches(log, "ab/AB") == {("image", "ab/AB"): 1}
    assert matches(log, "abcd") == {("record", "abcd-1"): 1, ("record", "abcd-2"): 1}
    assert matches(log, "abc") == {}
    assert matches(log, "boat") == {("output", "boat"): 2, ("comment", "boat"): 1}
    for plain in ("", " \n", "boats sea", "%", "10_%", "100% .*", "(", "' or 1=1 --", "\\", "<b>"):
        expected = {("output", "%"): 1, ("truth", "%"): 1} if plain == "%" else {}
        assert matches(log, plain) == expected, plain


def test_what_the_other_filters_leave_out_is_offered_without_them(log: OpenLog) -> None:
    [match] = queries.search(log.warehouse, Selection(environment=("test",)), "boats at")
    assert (match.everywhere, match.records) == (True, Selection(text="boats at"))
    [match] = queries.search(log.warehouse, Selection(environment=("prod",), text="x"), "boats at")
    assert match.records == Selection(environment=("prod",), text="boats at")


def test_days_and_times(log: OpenLog) -> None:
    [match] = queries.search(log.warehouse, Selection(), "8 July")
    day = datetime(2026, 7, 8, tzinfo=UTC)
    assert (match.kind, match.count) == ("day", 1)
    assert match.filter == Selection(since=day, until=day + timedelta(days=1))
    assert matches(log, "00:05", environment=("prod", "test")) == {("time", ""): 2}, "past midnight"
    assert matches(log, "7 Jul 23:55") == {("time", ""): 2}
    there = queries.search(log.warehouse, Selection(), "01:05", timedelta(hours=1))
    assert [match.filter.around for match in there] == [time(0, 5)]
    there = queries.search(log.warehouse, Selection(), "8 Jul 2026, 01:05", timedelta(hours=1))
    assert [match.count for match in there] == [2]


@pytest.mark.parametrize(
    ("written", "day", "clock"),
    [
        ("2026-08-28", date(2026, 8, 28), None),
        ("28 Aug 2026", date(2026, 8, 28), None),
        ("28th  august", date(2026, 8, 28), None),
        ("Sept 5", date(2025, 9, 5), None),
        ("31.8.", date(2025, 8, 31), None),
        ("29 Feb", None, None),
        ("around 2:30 pm", None, time(14, 30)),
        ("12:05 am", None, time(0, 5)),
        ("2026-08-28T14:30:59Z", date(2026, 8, 28), time(14, 30)),
        ("Aug 28, 2026 at 14:30 UTC", date(2026, 8, 28), time(14, 30)),
        ("25:00", None, None),
        ("13:00 pm", None, None),
        ("32 Aug", None, None),
        ("0001-01-01", None, None),
        ("version 12:30 of", None, None),
        ("may", None, None),
        ("²8 Aug", None, None),
    ],
)
def test_dates_and_times_as_people_write_them(
    written: str, day: date | None, clock: time | None
) -> None:
    assert read_when(written, NEWEST) == (day, clock)


def test_a_search_becomes_a_filter_with_a_sentence(dashboard: Dashboard) -> None:
    app = dashboard("cases", SAMPLE)
    app.text_input(key="widget.search").set_value(" THE ").run()
    [output] = [button for button in app.button if "outputs contain “THE”" in button.label]
    output.click().run()
    stands(app)
    assert app.button(key="chip.text").label == "output contains “THE”"
    assert app.query_params["text"] == "THE"
    assert app.text_input(key="widget.search").value == ""
    hostile = "*no* <b>%' or 1=1"
    app.text_input(key="widget.search").set_value(hostile).run()
    stands(app)
    assert r"Nothing matches “\*no\* \<b\>%' or 1=1”." in text(app)
    assert "Searched: outputs, truths" in text(app)
    app.switch_page("pages/data.py").run()
    assert app.text_input(key="widget.search").value == "", "a search ends with its page"
