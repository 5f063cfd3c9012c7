"""Reading by columns is reading row by row: any difference is a defect of the columns."""

import gzip
import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data_access.ingest import bulk
from data_access.ingest import lines as lines_module
from data_access.ingest import parquet as parquet_module
from data_access.ingest.bulk import read_objects
from data_access.ingest.events import Events
from data_access.records import (
    COVERED_SCHEMA,
    annotation_table,
    feedback_table,
    prediction_table,
    quarantine_table,
)
from data_access.records.decoding import read_object
from tests.samples import NOON, Event, feedback, lines, prediction, rounds

Objects = list[tuple[str, bytes]]


def by_rows(objects: Objects) -> Events:
    read = [(key, read_object(key, body)) for key, body in objects]
    return Events(
        prediction_table([(key, *row) for key, contents in read for row in contents.predictions]),
        feedback_table([(key, *row) for key, contents in read for row in contents.feedback]),
        quarantine_table([(key, row) for key, contents in read for row in contents.quarantined]),
        COVERED_SCHEMA.empty_table(),
        read_objects([]).text_values,
        annotation_table([(key, *row) for key, contents in read for row in contents.annotations]),
        read_objects([]).image_values,
    )


def comparable(events: Events) -> dict[str, list[str]]:
    tables = {
        "predictions": events.predictions.to_pylist(),
        "feedback": events.feedback.to_pylist(),
        "quarantined": events.quarantined.to_pylist(),
        "annotations": events.annotations.to_pylist(),
    }
    for row in tables["predictions"]:
        row["tags"] = sorted(json.loads(row["tags"]).items())
    return {name: sorted(map(repr, rows)) for name, rows in tables.items()}


def assert_same(objects: Objects, reader: Callable[[Objects], Events] = read_objects) -> Events:
    read = reader(objects)
    assert comparable(read) == comparable(by_rows(objects))
    return read


odd_text = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "\0", "a\0b", "\u202e", "x,}", "y ,\t]", '"', "\\", "'", "é" * 250]),
)
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([2**63, 2**64, 10**30, 1.5, -0.0, 1e300, float("nan"), float("-inf")]),
    odd_text,
    st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(odd_text, st.one_of(st.none(), st.integers(), odd_text), max_size=3),
)
moment = st.sampled_from(
    [
        *[NOON] * 6,
        "2026-07-06 12:00:00",
        "2026-07-06T12:00:00.5+02:00",
        "2026-07-06T12:00:00.1234567Z",
        "2026-07-06T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-07-06T23:59:60Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "1970-01-01T00:30:00+01:00",
        "2026-07-06",
        "2026-07-06t12:00:00z",
        "2026-07-06T12:00:00+0200",
        "2026-07-06 12:00:00+00",
        "2026-07-06 12:00:00.5-1130",
        "2026-07-06T12:00:00+24:00",
        "2026-07-06T12:00:00-1260",
        "2026-07-06T12:00:00,25Z",
        "2026-07-06 12:00:00 UTC",
        "20260706T120000Z",
        "2026-W28-1T12Z",
        "2026-187",
        "20260706",
        "1783339200.5",
        "yesterday",
        1_750_000_000,
        1_750_000_000.25,
        1_750_000_000_000,
        1_750_000_000_000_000,
        1_750_000_000_000_000_000,
        None,
        "",
    ]
)
names = st.sampled_from(
    [
        *("application", "version", "inputs.image", "outputs.output_text", "outputs.confidence"),
        "outputs.character_confidences",
        *("feedback.flag", "feedback.user", "feedback.ground_truth_string", "feedback.comment"),
        *("feedback.timestamp", "feedback.feedback_key", "flag", "user", "comment"),
        *("tags", "tags.client", "client", "tags.tags", "latency", "", 'a"b', "a/b~c", "a*", "é"),
        *("inputs", "outputs", "feedback", "ground_truth_string", "feedback_key", "record_key"),
        *("log.object_key", "log.line", "environment", "timestamp"),
    ]
)
nested = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.one_of(odd, st.fixed_dictionaries({}, optional={"image": odd, "x": odd})),
        "outputs": st.fixed_dictionaries(
            {}, optional={"output_text": odd, "confidence": odd, "character_confidences": odd}
        ),
        "tags": st.one_of(odd, st.dictionaries(odd_text, odd, max_size=4)),
        "feedback": st.one_of(odd, st.fixed_dictionaries({}, optional={"flag": odd_text})),
    },
)
base = st.fixed_dictionaries(
    {
        "record_key": st.one_of(st.text(min_size=1, max_size=5), odd_text),
        "timestamp": moment,
        "environment": st.sampled_from(["prod", "test", ""]),
        "feedback_key": st.sampled_from(["1", "2", None]),
        "flag": st.sampled_from(["incorrect", None, "x" * 201]),
    }
)
event = st.builds(
    lambda first, some, deep: first | some | deep,
    base,
    st.dictionaries(names, odd, max_size=4),
    nested,
)


def doubled(one: Event) -> str:
    """An event whose names all come twice."""
    written = json.dumps(one)
    return written[:-1] + "," + json.dumps({**one, "record_key": "again"})[1:] if one else written


line = st.one_of(
    event.map(json.dumps),
    event.map(lambda one: json.dumps(one, ensure_ascii=False)),
    event.map(doubled),
    st.sampled_from(
        [
            "",
            "  ",
            "null",
            "[]",
            "{",
            '{"a":1,}',
            "\ufeff{}",
            json.dumps(prediction("a"))[:-1] + ', "tags": {"a": 1, "a": 2}}',
            json.dumps(prediction("a"))[:-1] + ', "tags": {"a": 1e400}}',
            json.dumps(prediction("a"))[:-1] + ', "tags": {"a": NaN}}',
            json.dumps(prediction("a"))[:-1] + ', "outputs.confidence": 1e400}',
            json.dumps(prediction("a"))[:-1] + ', "version": "1",}',
            json.dumps(prediction("a"))[:-1] + ', "version": "\\ud800"}',
            json.dumps(prediction("a"))[:-1] + ', "tags": {"b": "\\ud800"}}',
            json.dumps(prediction("a"))[:-1] + ', "tags": {"b": 0.10000000000000000555}}',
            json.dumps(prediction("a")) + "\r",
            json.dumps(prediction("a")) + json.dumps(prediction("b")),
        ]
    ),
)
body = st.one_of(
    st.lists(line, max_size=5).map(lambda parts: "\n".join(parts).encode(errors="replace")),
    st.lists(event, max_size=4).map(lambda rows: json.dumps(rows).encode()),
    event.map(lambda one: json.dumps(one, indent=1).encode()),
    st.lists(line, max_size=3).map(lambda parts: b"\n\xff\n".join(p.encode() for p in parts)),
    st.binary(max_size=20),
    st.lists(st.one_of(line, event.map(lambda one: json.dumps(one, indent=1))), max_size=4).flatmap(
        lambda parts: st.sampled_from(["", " ", "\n", "\x1e", "\n\x1e", "\t\r"]).map(
            lambda separator: separator.join(parts).encode(errors="replace")
        )
    ),
)
keys = st.sampled_from(["predictions/1", "predictions/2.jsonl", "feedback/1", "feedback/2"])
objects_of_lines = st.lists(
    st.tuples(keys, st.one_of(body, body.map(gzip.compress))), max_size=4, unique_by=lambda o: o[0]
)


@pytest.mark.soak
@settings(max_examples=rounds(60, 300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(objects_of_lines)
@example([("predictions/1", b"{\x00}"), ("feedback/1", b"\xff\xfe{\x00}\x00")])
def test_lines_are_read_as_they_are_row_by_row(objects: Objects) -> None:
    assert_same(objects)


def parquet(rows: list[Event]) -> bytes | None:
    """None where Arrow has no type for what the rows hold."""
    try:
        table = pa.Table.from_pylist(rows, pa.schema(_fields(rows)))
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return None
    written = io.BytesIO()
    try:
        pq.write_table(table, written)
    except (pa.ArrowException, ValueError):
        return None
    return written.getvalue()


def _fields(rows: list[Event]) -> list[tuple[str, pa.DataType]]:
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return [(name, pa.array(values).type) for name, values in columns.items()]


@pytest.mark.soak
@settings(max_examples=rounds(40, 200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(event, min_size=1, max_size=4), keys)
def test_parquet_is_read_as_it_is_row_by_row(rows: list[Event], key: str) -> None:
    body = parquet(rows) or parquet(rows[:1])
    if body is not None:
        assert_same([(key, body)])


tag = st.one_of(st.integers(0, 9), st.sampled_from(["a", "", None, True, 1.5, [1], {"b": 1}]))


@pytest.mark.soak
@settings(max_examples=rounds(20, 50), deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), tag), min_size=1, max_size=3))
def test_tags_as_text_in_parquet_are_tags(tags: list[dict[str, Any]]) -> None:
    rows = [
        prediction(f"{number}", tags=json.dumps(nested), **{"tags.c": "beside"})
        for number, nested in enumerate(tags)
    ]
    body = parquet(rows)
    assert body is not None
    read = assert_same([("predictions/1.parquet", body)])
    assert len(read.predictions) == len(rows)


def timed(moments: pa.Array) -> bytes:
    rows = [prediction(f"{number}") for number in range(len(moments))]
    table = pa.Table.from_pylist(rows).drop_columns(["timestamp"])
    written = io.BytesIO()
    pq.write_table(table.append_column("timestamp", moments), written)
    return written.getvalue()


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_and_zone(unit: str, zone: str | None) -> None:
    moments = (
        pa.array([0, 1, 1_750_000_000], pa.int64()).cast(pa.timestamp("s")).cast(unit_of(unit))
    )
    read = assert_same([("predictions/1", timed(moments.cast(pa.timestamp(unit, zone))))])
    assert len(read.predictions) == 3


NAN = float("nan")


def mapped(maps: list[Any], values: pa.DataType | None = None) -> bytes:
    rows = [prediction(f"{number}") for number in range(len(maps))]
    column = pa.array(maps, pa.map_(pa.string(), values or pa.string()))
    written = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows).append_column("tags", column), written)
    return written.getvalue()


@pytest.mark.parametrize(
    ("maps", "values", "tags"),
    [
        ([[("a", "x"), ("b", "")], None], pa.string(), [{"a": "x"}, {}]),
        ([[("a", None), ("b", "y")], []], pa.string(), [{"b": "y"}, {}]),
        ([[("a", "x"), ("a", "y")]], pa.string(), [{"a": "y"}]),
        ([[("a", 2**60), ("b", -1)]], pa.int64(), [{"a": 2**60, "b": -1}]),
        ([[("a", True)]], pa.bool_(), [{"a": True}]),
        ([[("a", 0.1), ("b", NAN)]], pa.float64(), [{"a": 0.1}]),
        ([[("a", ["x", "y"])]], pa.list_(pa.string()), [{"a": ["x", "y"]}]),
        ([[("a", b"x"), ("b", b"\xff")]], pa.binary(), [{"a": "x", "b": "ff"}]),
    ],
)
def test_maps_are_tags(maps: list[Any], values: pa.DataType, tags: list[Event]) -> None:
    read = assert_same([("predictions/1.parquet", mapped(maps, values))])
    assert [
        json.loads(text) for text in read.predictions.sort_by("line")["tags"].to_pylist()
    ] == tags


def unit_of(unit: str) -> pa.DataType:
    return pa.timestamp(unit)


def test_usual_rows_are_all_read_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the columns would be no faster, and no other test would tell."""
    monkeypatch.setattr(lines_module, "read_lines", None)
    monkeypatch.setattr(parquet_module, "read_rows", None)
    monkeypatch.setattr(bulk, "read_object", None)
    flat = [
        prediction("a", version="v1", inputs__image="images/a.png", outputs__confidence=0.5),
        prediction("b", None, application="app", tags={"client": "ios", "latency": 12}),
        prediction("c", "", feedback__flag="incorrect", client="web", tags__host="h"),
    ]
    deep = [
        {
            "record_key": "d",
            "timestamp": NOON,
            "environment": "test",
            "inputs": {"image": "images/d.png"},
            "outputs": {"output_text": "“quoted”", "confidence": 1},
            "feedback": {"ground_truth_string": "x"},
            "tags": {},
        },
        prediction("e", tags=None, inputs=None),
    ]
    judged = [feedback("a", feedback_key="1"), {"feedback": feedback("b", feedback_key="2")}]
    table = parquet([row | {"tags": '{"client": "ios"}'} for row in flat[:2]])
    assert table is not None
    numbers = parquet([prediction(key, outputs__confidence=NAN, tags__x=NAN) for key in "fg"])
    assert numbers is not None
    read = read_objects(
        [
            ("predictions/1.jsonl", lines([*flat, *deep])),
            ("predictions/2.jsonl.gz", gzip.compress(lines(deep) + b"\n\n")),
            ("predictions/3.parquet", table),
            ("predictions/4.parquet", mapped([[("client", "ios")], [], None])),
            ("predictions/5.parquet", numbers),
            ("feedback/1.jsonl", lines(judged)),
        ]
    )
    assert len(read.predictions) == 5 + 2 + 2 + 3 + 2
    assert len(read.feedback) == 2 + 1 + 2
    assert not len(read.quarantined)


def test_many_shapes_and_long_objects_are_cut_up() -> None:
    rows = [prediction(f"{n}") | {f"tag{n % 7}": n} for n in range(40)]
    body = b"\n" + lines(rows).replace(b"\n", b"\n\n\n") + b"\n"
    objects = [(f"predictions/{n}", body[n:]) for n in range(3)]
    objects.append(("predictions/long", lines([prediction("x", "y" * 2000)] * 3)))
    read = assert_same(objects, partial(read_objects, max_shapes=3, slice_bytes=500))
    assert len(read.predictions) == 3 * 40 - 1 + 3


def test_nothing_is_nothing() -> None:
    assert not any(comparable(read_objects([])).values())
    assert_same([("predictions/1", b""), ("feedback/1", b"\n\n")])
