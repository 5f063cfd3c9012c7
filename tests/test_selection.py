import math
import re
from dataclasses import replace
from datetime import UTC, datetime, time
from urllib.parse import parse_qsl, quote

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_access import queries
from data_access.api import OpenLog
from data_access.errors import SelectionError
from data_access.projections import load_projections
from data_access.selection import (
    ANY_FLAG,
    FILTERS,
    IMAGE_STATES,
    NO_FLAG,
    NO_VALUE,
    PUNCTUATION,
    WEEKDAYS,
    Range,
    Selection,
    parse_selection,
    query_string,
    read_selection,
    sentences,
    source,
    write_selection,
)
from tests.samples import IMAGES, RECORDS

TABLE = load_projections()
ENTROPY = "entropy(outputs.output_text)"
ERRORS = "character_error_rate(outputs.output_text)"
JULY, AUGUST = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)

words = st.text(max_size=8)
moments = st.one_of(
    st.dates(datetime(1971, 1, 1).date(), datetime(2198, 1, 1).date()).map(str),
    st.datetimes(datetime(1971, 1, 1), datetime(2198, 1, 1)).map(lambda at: at.isoformat()),
)
ends = st.one_of(st.just(""), st.floats(allow_nan=False, allow_infinity=False).map(repr))
ranges = st.one_of(st.just("none"), st.tuples(ends, ends).map("..".join))
parameters = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(
                [
                    "environment",
                    "version",
                    "application",
                    "flag",
                    "without_flag",
                    "text",
                    "truth",
                    "comment",
                    "user",
                    "record_key",
                    "image_name",
                ]
            ),
            words,
        ),
        st.tuples(
            st.sampled_from(["word", "without_word"]),
            words.filter(lambda text: text.strip(PUNCTUATION) and len(text.split()) == 1),
        ),
        st.tuples(st.just("hour"), st.integers(0, 23).map(str)),
        st.tuples(st.just("weekday"), st.sampled_from(WEEKDAYS)),
        st.tuples(st.just("around"), st.times().map(lambda at: f"{at:%H:%M}")),
        st.tuples(st.just("image_state"), st.sampled_from(list(IMAGE_STATES))),
        st.tuples(st.just("tag_range"), st.tuples(words.map(quote), ranges).map(":".join)),
        st.tuples(st.sampled_from(["since", "until"]), moments),
        st.tuples(st.just("images"), st.sampled_from(["once", "each"])),
        st.tuples(st.just("tag"), st.tuples(words, words).map(":".join)),
        st.tuples(st.sampled_from([row.name for row in TABLE.rows]), ranges),
    ),
    max_size=6,
)
anything = st.lists(
    st.tuples(st.sampled_from([row.key for row in FILTERS] + [ENTROPY, "x(y)", "page"]), words)
)


@given(parameters)
def test_a_selection_survives_the_way_through_a_url(pairs: list[tuple[str, str]]) -> None:
    selection, _ = read_selection(pairs, TABLE)
    written = query_string(selection)
    assert parse_selection(written, TABLE) == selection
    assert (
        parse_selection(f"https://misread.example/cases?page.number=2&{written}", TABLE)
        == selection
    )
    again, problems = read_selection(parse_qsl(written, keep_blank_values=True), TABLE)
    assert (again, problems) == (selection, [])
    assert query_string(again) == written


@given(anything)
@settings(max_examples=50)
def test_whatever_a_url_says_there_is_a_selection_that_can_be_asked(
    sample_log: OpenLog, pairs: list[tuple[str, str]]
) -> None:
    selection, problems = read_selection(pairs, TABLE)
    assert all(problem.endswith(".") for problem in problems)
    sentences(selection, TABLE)
    assert 0 <= queries.coverage(sample_log.warehouse, selection).predictions <= RECORDS


def test_what_a_selection_says_in_english() -> None:
    selection = Selection(
        environment=("prod", "dev"),
        version=("1.0.0",),
        application=("notes", NO_VALUE),
        since=JULY,
        until=AUGUST,
        hour=(3, 14),
        weekday=("Sunday",),
        around=time(14, 30),
        flag=(ANY_FLAG, NO_FLAG, "offensive"),
        without_flag=("other",),
        truth="dear",
        comment="too dark",
        user=("ann", "bo"),
        text="of to",
        word="the",
        without_word="or",
        tag_range=(Range("latency_ms", 200.0), Range("size", missing=True)),
        record_key=("3617c853",),
        image_name="ab/ab",
        image_state=("none", "unreadable"),
        images="once",
        ranges=(
            Range(ENTROPY, high=3.2),
            Range("polarity(inputs.image)", low=0.0),
            Range("outputs.confidence", 0.5, 0.75),
            Range(ERRORS, missing=True),
        ),
    )
    assert sentences(selection, TABLE) == [
        ("environment", "prod or dev"),
        ("version", "version 1.0.0"),
        ("application", "application notes or no application"),
        ("since", "from 1 Jul 2026"),
        ("until", "to 31 Jul 2026"),
        ("hour", "hour 03 or 14 (UTC)"),
        ("weekday", "on Sundays (UTC)"),
        ("around", "around 14:30 (UTC)"),
        ("flag", "flagged or not flagged or flagged offensive"),
        ("without_flag", "not flagged other"),
        ("truth", "truth contains “dear”"),
        ("comment", "comment contains “too dark”"),
        ("user", "user ann or bo"),
        ("text", "output contains “of to”"),
        ("word", "output has the word “the”"),
        ("without_word", "output lacks the word “or”"),
        ("tag_range", "latency_ms ≥ 200, no size"),
        ("record_key", "record 3617c853"),
        ("image_name", "image name contains “ab/ab”"),
        ("image_state", "no image or an unreadable image"),
        ("images", "each image once"),
        (ENTROPY, "word entropy < 3.2"),
        ("polarity(inputs.image)", "polarity ≥ 0"),
        ("outputs.confidence", "confidence 0.5–0.75"),
        (ERRORS, "no character error rate"),
    ]
    for name, _ in sentences(selection, TABLE):
        selection = selection.without(name)
    assert selection == Selection()


def test_a_url_is_legible() -> None:
    selection = Selection(
        environment=("prod",), flag=("incorrect", "other"), since=JULY, until=AUGUST,
        ranges=(Range(ENTROPY, high=2.5),),
    )  # fmt: skip
    assert query_string(selection) == (
        "environment=prod&since=2026-07-01&until=2026-07-31&flag=incorrect&flag=other"
        "&entropy(outputs.output_text)=..2.5"
    )


def test_a_range_takes_the_place_of_another_of_its_projection() -> None:
    selection = Selection().with_range(Range(ENTROPY, 1, 2)).with_range(Range(ENTROPY, 3, 4))
    assert write_selection(selection) == {ENTROPY: ["3..4"]}


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ("since=yesterday", "From: “yesterday” is not a date such as 2026-09-30."),
        ("since=1969-12-31", "From: “1969-12-31” is not a date between 1970 and"),
        ("until=0001-01-01T00:00:00%2B05:00", "To: “0001-01-01T00:00:00+05:00” is"),
        ("until=2026-13-01", "To: “2026-13-01” is not a date"),
        ("images=twice", "Repeated images: “twice” is neither once nor each."),
        (f"{ENTROPY}=3", f"{ENTROPY}: “3” is not a range such as"),
        (f"{ENTROPY}=nan..", f"{ENTROPY}: “nan” is not a number."),
        (f"{ENTROPY}=..inf", f"{ENTROPY}: “inf” is not a number."),
        (f"{ENTROPY}=4..3", f"{ENTROPY}: “4..3” ends before it begins."),
        (f"{ENTROPY}=0..1 or 1=1", f"{ENTROPY}: “1 or 1=1” is not a number."),
        ("hour=24", "Hours: “24” is not an hour from 0 to 23."),
        ("hour=-1", "Hours: “-1” is not an hour"),
        (f"hour={'9' * 5000}", "Hours: “999"),
        ("hour=3 or 1=1", "Hours: “3 or 1=1” is not an hour"),
        ("around=25:00", "Time of day: “25:00” is not a time of day such as 14:30."),
        ("weekday=Moonday", "Days of the week: “Moonday” is not a day of the week"),
        ("image_state=broken", "Image: “broken” is not one of readable, unreadable or"),
        ("word=of to", "Output has the word: “of to” is not a single word; use text="),
        ("without_word=...", "Output lacks the word: “...” is not a single word;"),
        ("tag_range=latency", "Numeric tags: “latency” is not a tag such as"),
        ("tag_range=latency:3", "Numeric tags: “3” is not a range such as 0.5"),
        ("tag_range=latency:1e999..", "Numeric tags: “1e999” is not a number."),
        ("entropy(x)=..3", "entropy(x): there is no such projection."),
        ("http://127.0.0.1/cases?page.view=table&colour=red", "colour is not a filter: use"),
        ("colour=red", "colour is not a filter: use application, around, comment, environment,"),
        ("prod", "prod is not a filter:"),
        ("&&", "&& is not a filter:"),
        ("https://misread.example/cases", "https://misread.example/cases is not a filter:"),
    ],
)
def test_what_is_not_understood_is_told(asked: str, problem: str) -> None:
    with pytest.raises(SelectionError) as caught:
        parse_selection(asked, TABLE)
    assert str(caught.value).startswith(problem)


def test_a_url_with_a_bad_parameter_keeps_the_good_ones() -> None:
    pairs = [("environment", "prod"), ("since", "soon"), ("entropy(x)", "..3"), ("page", "2")]
    selection, problems = read_selection(pairs, TABLE)
    assert selection == Selection(environment=("prod",))
    assert len(problems) == 2


def test_a_question_mark_in_a_value_is_part_of_it() -> None:
    asked = parse_selection("environment=prod&text=why?", TABLE)
    assert asked == Selection(environment=("prod",), text="why?")
    assert parse_selection("?environment=prod&text=why?", TABLE) == asked


@pytest.mark.parametrize(
    "text", ["' or 1=1 --", "%", "_", "\0", "'; drop table records; --", "\\", "?", "“"]
)
def test_hostile_text_is_only_looked_for(sample_log: OpenLog, text: str) -> None:
    warehouse = sample_log.warehouse
    hostile = Selection(
        environment=(text,),
        version=(text,),
        application=(text,),
        flag=(text,),
        truth=text,
        comment=text,
        user=(text,),
        record_key=(text,),
        image_name=text,
        text=text,
        word=text,
        tag_range=(Range(text, 0.0),),
    )
    assert queries.coverage(warehouse, hostile).predictions == 0
    found = queries.cases_page(warehouse, Selection(text=text), size=RECORDS).rows
    assert all(text in output for output in found["outputs.output_text"])
    assert queries.status(warehouse).predictions == RECORDS


def by_pandas(frame: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """The same filter by other means."""
    keep = pd.Series(True, frame.index)
    if selection.environment:
        keep &= frame["environment"].isin(selection.environment)
    if selection.version:
        keep &= frame["version"].isin(selection.version)
    if selection.hour:
        keep &= frame["timestamp"].dt.hour.isin(selection.hour)
    if selection.weekday:
        keep &= frame["timestamp"].dt.strftime("%A").isin(selection.weekday)
    if selection.without_flag:
        unwanted = set(selection.without_flag)
        keep &= frame["feedback.flags"].map(lambda flags: not unwanted & set(flags))
    said = frame["outputs.output_text"].map(
        lambda text: {part.strip(PUNCTUATION) for part in text.lower().split()}
    )
    if selection.word:
        keep &= said.map(lambda words: selection.word.lower() in words)
    if selection.without_word:
        keep &= said.map(lambda words: selection.without_word.lower() not in words)
    if selection.since is not None:
        keep &= frame["timestamp"] >= selection.since
    if selection.until is not None:
        keep &= frame["timestamp"] < selection.until
    if selection.flag:
        keep &= frame["feedback.flags"].map(
            lambda flags: any(
                len(flags) > 0 if flag == ANY_FLAG else len(flags) == 0 if flag == NO_FLAG
                else flag in flags
                for flag in selection.flag
            )
        )  # fmt: skip
    if selection.text:
        keep &= (
            frame["outputs.output_text"]
            .str.split()
            .str.join(" ")
            .str.lower()
            .str.contains(selection.text.lower(), regex=False)
        )
    if selection.truth:
        truths = frame["feedback.ground_truth_string"].fillna("").str.split().str.join(" ")
        keep &= truths.str.lower().str.contains(selection.truth.lower(), regex=False)
    if selection.user:
        keep &= frame["feedback.user"].isin(selection.user)
    if selection.around:
        clock = frame["timestamp"].dt.hour * 60 + frame["timestamp"].dt.minute
        after = (clock - selection.around.hour * 60 - selection.around.minute) % 1440
        keep &= (after <= 15) | (after >= 1425)
    if selection.application:
        keep &= frame["application"].isin(selection.application)
    if selection.image_state:
        keep &= "readable" in selection.image_state
    tags = (replace(range_, name=f"tags.{range_.name}") for range_ in selection.tag_range)
    for range_ in (*selection.ranges, *tags):
        values = frame[range_.name]
        if range_.missing:
            keep &= values.isna()
        else:
            low = -math.inf if range_.low is None else range_.low
            high = math.inf if range_.high is None else range_.high
            keep &= (values >= low) & (values < high)
    kept = frame[keep]
    if selection.each_image_once:  # the frame is ordered by time and key
        kept = kept.drop_duplicates("inputs.image")
    return kept


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(environment=("prod",)),
        Selection(environment=("prod", "test"), version=("v2",)),
        Selection(environment=("nowhere",)),
        Selection(since=datetime(2026, 7, 20, 12, 30, tzinfo=UTC)),
        Selection(since=JULY, until=AUGUST),
        Selection(since=AUGUST, until=JULY),
        Selection(flag=(ANY_FLAG,)),
        Selection(flag=(NO_FLAG,), environment=("prod",)),
        Selection(flag=("incorrect", "offensive")),
        Selection(flag=(NO_FLAG, "other")),
        Selection(text="THE"),
        Selection(text="of THE", environment=("prod",)),
        Selection(truth="of the"),
        Selection(around=time(0, 5)),
        Selection(word="THE"),
        Selection(word="to", without_word="the", flag=(ANY_FLAG,)),
        Selection(hour=(9, 10, 23), weekday=("Monday", "Sunday")),
        Selection(without_flag=("incorrect", "offensive"), environment=("prod",)),
        Selection(application=("handwriting-reader", NO_VALUE), image_state=("readable",)),
        Selection(application=("nowhere", NO_VALUE)),
        Selection(image_state=("none", "unreadable")),
        Selection(tag_range=(Range("latency_ms", 200.0, 251.4),)),
        Selection(tag_range=(Range("latency_ms", missing=True),)),
        Selection(ranges=(Range(ENTROPY, high=3.0), Range("polarity(inputs.image)", low=0.0))),
        Selection(ranges=(Range("outputs.confidence", 0.5, 0.9),)),
        Selection(ranges=(Range(ERRORS, missing=True),), flag=(ANY_FLAG,)),
        Selection(ranges=(Range(ERRORS),)),
        Selection(ranges=(Range(ENTROPY, 3.0, 3.0),)),
        Selection(images="once"),
        Selection(images="once", flag=(ANY_FLAG,), environment=("prod",)),
    ],
    ids=query_string,
)
def test_a_selection_holds_what_a_pandas_filter_keeps(
    sample_log: OpenLog, sample_frame: pd.DataFrame, selection: Selection
) -> None:
    expected = list(by_pandas(sample_frame, selection)["record_key"])
    assert list(sample_log.records(selection)["record_key"]) == expected
    assert list(sample_log.records(query_string(selection))["record_key"]) == expected
    coverage = queries.coverage(sample_log.warehouse, selection)
    assert coverage.predictions == len(expected)
    assert coverage.images == by_pandas(sample_frame, selection)["inputs.image"].nunique()


def test_each_image_once_keeps_its_first_report(
    sample_log: OpenLog, sample_frame: pd.DataFrame
) -> None:
    once = sample_log.records(Selection(images="once"))
    assert len(once) == IMAGES
    assert once["inputs.image"].is_unique
    first = sample_frame.groupby("inputs.image")["timestamp"].min()
    assert np.all(first[once["inputs.image"]].to_numpy() == once["timestamp"].to_numpy())


def test_no_value_of_a_user_is_in_the_sql() -> None:
    selection = Selection(
        environment=("ENV",), version=("VER",), application=("APP",), flag=("FLAG",),
        without_flag=("UN",), text="TEXT TWO", word="WORD", without_word="WITHOUT", since=JULY,
        truth="TRUTH", comment="COMMENT", user=("USER",), record_key=("KEY",), image_name="IMAGE",
        around=time(3, 33),
        tag_range=(Range("TAG", 3.5),), ranges=(Range(ENTROPY, 1.5, 2.5),),
    )  # fmt: skip
    sql, params = source(selection)
    given = [
        "ENV",
        "VER",
        "APP",
        datetime(2026, 7, 1),
        "FLAG",
        "UN",
        "TEXT",
        "TWO",
        "WORD",
        "WITHOUT",
    ]
    given += ["TRUTH", "COMMENT", "USER", "KEY", "IMAGE", 213]
    assert {*given, "/TAG", 3.5, 1.5, 2.5} <= set(params)
    assert not re.search("ENV|VER|APP|FLAG|UN|TEXT|WORD|WITHOUT|TAG|TRUTH|COMM|USER|KEY", sql)
    assert not re.search("IMAGE|2026|1.5|3.5|213", sql)
