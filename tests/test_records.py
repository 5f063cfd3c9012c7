import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_access import queries
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.records import (
    FEEDBACK_FIELDS,
    FEEDBACK_SCHEMA,
    INTERNAL_COLUMNS,
    PREDICTION_SCHEMA,
    RECORD_COLUMNS,
    Record,
    prediction_table,
)
from data_access.records.decoding import Contents, read_object
from data_access.selection import Selection
from tests.conftest import OpenWarehouse
from tests.samples import NOON, Event, feedback, lines, picture, prediction, write

NESTED: list[Event] = [
    {
        "record_key": "a",
        "timestamp": NOON,
        "environment": "prod",
        "version": None,
        "inputs": {"image": "images/a.png"},
        "outputs": {"output_text": "née\n✓", "confidence": 0.5},
        "tags": {"client": "ios", "latency_ms": 12},
    },
    {"record_key": "b", "timestamp": NOON, "environment": "test", "version": "2"},
]
DOTTED: list[Event] = [
    {
        "record_key": "a",
        "timestamp": NOON,
        "environment": "prod",
        "version": None,
        "inputs.image": "images/a.png",
        "outputs.output_text": "née\n✓",
        "outputs.confidence": 0.5,
        "tags.client": "ios",
        "tags.latency_ms": 12,
    },
    NESTED[1],
]


def parquet(rows: list[Event] | pa.Table) -> bytes:
    body = io.BytesIO()
    pq.write_table(rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows), body)
    return body.getvalue()


def read(event: Event | bytes, key: str = "predictions/one.json") -> Contents:
    return read_object(key, event if isinstance(event, bytes) else json.dumps(event).encode())


def reasons(contents: Contents) -> list[str]:
    assert not contents.predictions
    assert not contents.feedback
    return [row.reason for row in contents.quarantined]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(json.dumps(NESTED).encode(), id="array"),
        pytest.param(json.dumps(DOTTED, indent=2).encode(), id="dotted, indented"),
        pytest.param(lines(NESTED), id="JSON lines"),
        pytest.param(lines(DOTTED) + b"\r\n\n  \n", id="empty lines"),
        pytest.param(b"\xef\xbb\xbf" + lines(NESTED), id="byte order mark"),
        pytest.param(json.dumps(NESTED).encode("utf-16"), id="UTF-16"),
        pytest.param(gzip.compress(lines(NESTED)), id="gzip"),
        pytest.param(gzip.compress(lines(NESTED[:1])) + gzip.compress(b"\n" + lines(NESTED[1:])),
                     id="two gzip members"),
        pytest.param(parquet(DOTTED), id="Parquet, dotted"),
        pytest.param(parquet(NESTED), id="Parquet, nested"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet", "x"])
def test_every_format_is_told_by_its_bytes_and_reads_the_same(body: bytes, name: str) -> None:
    contents = read_object(f"predictions/date=2026-07-06/{name}", body)
    assert not contents.quarantined
    assert [line for line, _ in contents.predictions] == [1, 2]
    first, second = (row for _, row in contents.predictions)
    assert first.image == "images/a.png"
    assert first.output_text == "née\n✓"
    assert first.confidence == 0.5
    assert first.tags == {"client": "ios", "latency_ms": 12}
    assert first.timestamp == datetime(2026, 7, 6, 12, tzinfo=UTC)
    assert (second.environment, second.version, second.output_text) == ("test", "2", None)


def test_names_that_are_no_columns_become_tags() -> None:
    [(_, row)] = read(prediction("a", shade="dark", tags={"client": "web"})).predictions
    assert row.tags == {"shade": "dark", "client": "web"}


def test_a_prediction_can_bring_its_feedback() -> None:
    contents = read(prediction("a", feedback={"flag": "other", "comment": "why?"}))
    [(_, judged)] = contents.feedback
    assert (judged.record_key, judged.flag, judged.comment) == ("a", "other", "why?")
    assert judged.timestamp == contents.predictions[0][1].timestamp


def test_a_prediction_with_bad_feedback_is_quarantined_whole() -> None:
    assert reasons(read(prediction("a", feedback__flag=3))) == [
        "flag: Input should be a valid string"
    ]


def test_feedback_without_a_key_is_known_by_what_it_says() -> None:
    one, same, other = (
        read(event, "feedback/x").feedback[0][1].feedback_key
        for event in (feedback("a"), feedback("a"), feedback("a", user="eve"))
    )
    assert one == same != other


def test_feedback_that_says_nothing_is_quarantined() -> None:
    assert reasons(read(feedback("a", None), "feedback/x")) == [
        "feedback without a flag, a ground truth or a comment says nothing"
    ]


def test_the_good_lines_around_a_bad_one_are_kept() -> None:
    body = b"\n".join([lines([prediction("a")]), b'{"record_key": "b', lines([prediction("c")])])
    contents = read(body)
    assert [(line, row.record_key) for line, row in contents.predictions] == [(1, "a"), (3, "c")]
    [bad] = contents.quarantined
    assert (bad.line, bad.excerpt) == (2, '{"record_key": "b')
    assert bad.reason.startswith("not JSON: Unterminated string")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"record_key": None}, "record_key: Input should be a valid string"),
        ({"record_key": ""}, "record_key: String should have at least 1 character"),
        ({"record_key": "x" * 201}, "record_key: String should have at most 200 characters"),
        ({"environment": ["prod"]}, "environment: Input should be a valid string"),
        ({"outputs.confidence": "sure"}, "outputs.confidence: Input should be a valid number"),
        (
            {"outputs.character_confidences": [0.5, 1.2]},
            "outputs.character_confidences: confidences are numbers from 0 to 1",
        ),
        (
            {"outputs.character_confidences": 0.5},
            "outputs.character_confidences: Input should be a valid string",
        ),
        ({"timestamp": "yesterday"}, "timestamp: 'yesterday' is not a time: write it as"),
        ({"timestamp": float("nan")}, "timestamp: the number NaN is not a time since 1970"),
        ({"timestamp": "0001-01-01T00:00:00"}, "timestamp: the year 1 is not between"),
        ({"timestamp": "0001-01-01T00:00:00+05:00"}, "timestamp: the year 1 is not between"),
        ({"timestamp": "9999-12-31T23:00:00-05:00"}, "timestamp: the year 9999 is not between"),
        ({"outputs.output_text": "x" * 1_000_001}, "outputs.output_text: String should have at"),
        ({"outputs.output_text": "\ud800"}, "outputs.output_text: Input should be a valid string"),
        ({"tags": {str(n): n for n in range(100_000)}}, "tags: Dictionary should have at most"),
        ({"tags": {"x": "\udfff"}}, "a text has half of a surrogate pair"),
        ({"\udfff": "x"}, "a text has half of a surrogate pair"),
    ],
)
def test_hostile_values_are_quarantined_with_a_reason(change: Event, reason: str) -> None:
    [refused] = reasons(read(prediction("a") | change))
    assert refused.startswith(reason)
    assert len(refused) < 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", None),
        (b"null", "not a JSON object"),
        (b"42", "not a JSON object"),
        (b"\xff\xfe\x00", "the object is UTF-16 text, and events are"),
        (lines([prediction("a")]) + b" x", "not JSON: Extra data"),
        (b'{"record_key": "caf\xe9"}', "not JSON: it is not UTF-8"),
        (b"[" * 200_000 + b"]" * 200_000, "not JSON: it is nested too deeply"),
        (b'{"x": ' + b"9" * 10_000 + b"}", "not JSON: Exceeds the limit"),
        (b"\x1f\x8bnot gzip at all", "the object cannot be read: "),
        (gzip.compress(lines([prediction("a")]))[:-9], "the object cannot be read: "),
        (b"PAR1 but nothing else", "the object cannot be read: "),
        (parquet(DOTTED)[:-20], "the object cannot be read: "),
        (
            parquet(pa.table({"timestamp": pa.array([300_000_000_000], pa.timestamp("s"))})),
            "the object cannot be read: ",
        ),
    ],
)
def test_hostile_bytes_are_quarantined_with_a_reason(body: bytes, reason: str | None) -> None:
    refused = reasons(read(body))
    assert len(refused) == (0 if reason is None else 1)
    assert reason is None or refused[0].startswith(reason)


@pytest.mark.parametrize("depth", [10, 500, 900, 950, 980, 990, 1_000, 1_100])
def test_deep_nesting_is_read_or_quarantined_never_raised(depth: int) -> None:
    body = lines([prediction("a")])[:-1] + b', "x": ' + b"[" * depth + b"]" * depth + b"}"
    contents = read(body)
    assert len(contents.predictions) + len(contents.quarantined) == 1


def test_a_gzip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b" " * 2_000_000)
    [refused] = reasons(read_object("predictions/1", bomb, max_bytes=1_000_000))
    assert refused == "the object cannot be read: it unpacks to more than 1,000,000 bytes"


def test_gzip_within_gzip_is_unpacked_but_not_without_end() -> None:
    body = gzip.compress(gzip.compress(lines(NESTED)))
    assert len(read(body).predictions) == 2
    for _ in range(3):
        body = gzip.compress(body)
    assert reasons(read(body)) == [
        "the object cannot be read: it is gzipped more than 3 times over"
    ]


BINARIES = {
    "a PNG image": picture(size=(300, 200)),
    "a JPEG image": b"\xff\xd8\xff\xe0" + b"\n{" * 500,
    "a HEIC or AVIF image, or a video": b"\0\0\0\x18ftypheic" + b"\n" * 500,
    "a ZIP archive": b"PK\x03\x04" + b"\n" * 500,
    "a tar archive": b"x.json".ljust(257, b"\0") + b"ustar\x0000" + b"\n" * 500,
    "compressed with Zstandard": b"\x28\xb5\x2f\xfd" + b"\n" * 500,
    "UTF-16 text": (lines(NESTED) + b"\n").decode().encode("utf-16"),
    "binary data": b"\0\0\0\1Bud1\0\0\n" * 500,
}


@pytest.mark.parametrize("kind", BINARIES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_object_that_is_no_text_is_one_thing_that_cannot_be_read(
    kind: str, pack: Callable[[bytes], bytes]
) -> None:
    contents = read(pack(BINARIES[kind]))
    assert reasons(contents) == [
        f"the object is {kind}, and events are JSON, JSON lines or Parquet"
    ]
    assert contents.quarantined[0].line == 0


THREE = [prediction(key, "}{ and \n {", tags={"deep": {"a": [{}]}}) for key in "abc"]
COMPACT = [json.dumps(event, separators=(",", ":")) for event in THREE]
INDENTED = [json.dumps(event, indent=2) for event in THREE]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("".join(COMPACT), [1, 2, 3], id="no separators"),
        pytest.param(" ".join(COMPACT) + "\n", [1, 2, 3], id="spaces"),
        pytest.param("\n".join(INDENTED), [1, 14, 27], id="indented"),
        pytest.param("\r\n".join(INDENTED).replace("\n", "\r\n"), [1, 14, 27], id="Windows"),
        pytest.param("".join(INDENTED), [1, 13, 25], id="indented, no separators"),
        pytest.param("".join(f"\x1e{text}\n" for text in COMPACT), [1, 2, 3], id="RFC 7464"),
        pytest.param("".join(f"\x1e{text}" for text in COMPACT), [1, 2, 3], id="separators alone"),
        pytest.param("".join(f"\x1e{text}\n" for text in INDENTED), [1, 14, 27],
                     id="RFC 7464, indented"),
        pytest.param(f"{COMPACT[0]}{COMPACT[1]}\n{COMPACT[2]}", [1, 2, 3], id="two in one line"),
        pytest.param(f"\n\n{COMPACT[0]}\n\n{COMPACT[1]}{COMPACT[2]}", [3, 5, 6], id="blank lines"),
        pytest.param(f"{COMPACT[0]}\n{INDENTED[1]}\n{COMPACT[2]}", [1, 2, 15], id="mixed"),
    ],
)  # fmt: skip
def test_values_one_after_another_are_read_each(text: str, numbers: list[int]) -> None:
    contents = read(text.encode())
    assert not contents.quarantined
    assert [line for line, _ in contents.predictions] == numbers
    assert [row.record_key for _, row in contents.predictions] == ["a", "b", "c"]
    assert {row.output_text for _, row in contents.predictions} == {"}{ and \n {"}


@pytest.mark.parametrize(
    ("text", "line", "excerpt"),
    [
        (f"{COMPACT[0]}{{broken}}{COMPACT[2]}", 2, "{broken}"),
        (f"{INDENTED[0]}\n{INDENTED[1][:-9]}\n{INDENTED[2]}", 14, INDENTED[1][:-9].rstrip()),
        (f"{INDENTED[0]}\n<html>\n{INDENTED[2]}", 14, "<html>"),
        (f"{INDENTED[0]}\n{INDENTED[2]}\n{INDENTED[1][:40]}", 27, INDENTED[1][:40]),
        (f'{COMPACT[0]}{COMPACT[2]}\n"\udcff"', 3, '"?"'),
    ],
)
def test_a_broken_value_among_others_is_one_line_of_quarantine(
    text: str, line: int, excerpt: str
) -> None:
    contents = read(text.encode(errors="surrogateescape"))
    assert [row.record_key for _, row in contents.predictions] == ["a", "c"]
    [broken] = contents.quarantined
    assert (broken.line, broken.excerpt) == (line, excerpt)
    assert broken.reason.startswith("not JSON: ")


def test_numbers_that_are_none_are_no_values_and_the_record_is_kept() -> None:
    odd = [float("nan"), float("inf"), float("-inf")]
    tags: Event = {"a": 1, "nan": odd[0], "deep": {"b": odd}}
    [(_, row)] = read(prediction("a", outputs__confidence=odd[0], tags=tags)).predictions
    assert row.confidence is None
    assert row.tags == {"a": 1, "deep": {"b": [None, None, None]}}


def test_tags_in_a_map_of_parquet_are_tags() -> None:
    text_map = pa.map_(pa.string(), pa.string())
    table = pa.Table.from_pylist([prediction("a"), prediction("b"), prediction("c")])
    maps = pa.array([[("client", "ios"), ("none", None)], [], None], text_map)
    contents = read(parquet(table.append_column("tags", maps)))
    assert [row.tags for _, row in contents.predictions] == [{"client": "ios"}, {}, {}]


def test_nul_characters_are_text_like_any_other() -> None:
    [(_, row)] = read(prediction("a\0b", "x\0y", tags={"t\0": "\0"})).predictions
    table = prediction_table([("predictions/x", 1, row)]).to_pylist()[0]
    assert (table["record_key"], table["outputs.output_text"]) == ("a\0b", "x\0y")
    assert json.loads(table["tags"]) == {"t\0": "\0"}


@pytest.mark.parametrize(
    ("written", "hour"),
    [
        ("2026-07-06T12:00:00", 12),
        ("2026-07-06 12:00:00", 12),
        ("2026-07-06T12:00:00+02:00", 10),
        (1_783_339_200, 12),
    ],
)
def test_times_are_utc_and_one_without_a_zone_is_taken_for_utc(written: Any, hour: int) -> None:
    [(_, row)] = read(prediction("a", timestamp=written)).predictions
    assert row.timestamp == datetime(2026, 7, 6, hour, tzinfo=UTC)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
names = st.sampled_from(
    ["record_key", "timestamp", "environment", "version", "inputs.image", "outputs.output_text",
     "outputs", "outputs.confidence", "tags", "tags.x", "feedback", "feedback.flag", "flag", "x"]
)  # fmt: skip
events = st.builds(lambda change: prediction("a") | change, st.dictionaries(names, values))
# an object that begins with an event is text, whatever follows
junk = st.sampled_from([b"null", b"1", b"[]", b'"text"', b"{broken", b"\xff\xfe", b"NaN", b"\0"])
written = events.map(lambda event: json.dumps(event).encode())
sent = st.builds(lambda first, rest: [first, *rest], written, st.lists(junk | written, min_size=1))


@given(sent, st.sampled_from(["predictions/x", "feedback/x"]), st.booleans())
def test_accepted_plus_quarantined_is_what_was_sent(
    rows: list[bytes], key: str, zipped: bool
) -> None:
    body = b"\n".join(rows)
    contents = read_object(key, gzip.compress(body) if zipped else body)
    accepted = contents.predictions if key.startswith("predictions/") else contents.feedback
    line_numbers = [line for line, _ in accepted] + [row.line for row in contents.quarantined]
    assert sorted(line_numbers) == list(range(1, len(rows) + 1))


def test_tables_derive_from_the_models() -> None:
    place = [("object_key", "string"), ("origin", "string"), ("line", "int64")]
    assert [(column.name, str(column.type)) for column in PREDICTION_SCHEMA] == [
        *place,
        ("record_key", "string"),
        ("timestamp", "timestamp[us]"),
        ("environment", "string"),
        ("application", "string"),
        ("version", "string"),
        ("inputs.image", "string"),
        ("outputs.output_text", "string"),
        ("outputs.confidence", "double"),
        ("outputs.character_confidences", "string"),
        ("tags", "string"),
    ]
    assert FEEDBACK_FIELDS == ("flag", "user", "ground_truth_string", "comment")
    assert FEEDBACK_SCHEMA.names[3:] == [
        "feedback_key", "record_key", "timestamp", *FEEDBACK_FIELDS
    ]  # fmt: skip


def test_records_and_exports_have_every_column_of_the_events(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    predicted = {*PREDICTION_SCHEMA.names} - {"object_key", "origin", "line"}
    judged = {f"feedback.{name}" for name in FEEDBACK_FIELDS}
    derived = {"feedback.flags", "feedback.reports", *INTERNAL_COLUMNS}
    assert set(RECORD_COLUMNS.values()) == predicted | judged | derived
    write(folder_log, "predictions/1.json", prediction("a"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    stored = set(warehouse.query("from records").columns)
    projections = {row.name for row in warehouse.projections.rows}
    assert stored == predicted | judged | derived | projections | {
        "object_key", "origin", "line", "fold_order"
    }  # fmt: skip
    exported = queries.record_batches(warehouse, Selection()).schema.names
    assert len(exported) == len(set(exported))
    assert set(exported) == (predicted | judged | derived | projections) - {
        "tags", *INTERNAL_COLUMNS
    }  # fmt: skip


def test_a_record_has_all_that_is_known_of_it(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    full = {
        "application": "notes",
        "version": "3",
        "inputs.image": "images/gone.png",
        "outputs.confidence": 0.5,
        "outputs.character_confidences": [0.98, 0.05, 1],
        "tags": {"client": "ios", "latency_ms": 12},
    }
    write(folder_log, "predictions/1.json", prediction("a", "née", **full), prediction("b", None))
    write(folder_log, "feedback/1.json", feedback("a", "offensive", user="ann", comment="rude"))
    later = feedback("a", "incorrect", ground_truth_string="nee", timestamp="2026-07-08T12:00:00Z")
    write(folder_log, "feedback/2.json", later)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    names = [row.name for row in warehouse.projections.rows]
    rows = queries.plain_rows(warehouse.query("select * from records order by record_key"))
    record, bare = [Record.from_row(row, names) for row in rows]
    assert (record.record_key, record.timestamp) == ("a", datetime(2026, 7, 6, 12, tzinfo=UTC))
    assert (record.environment, record.application, record.version) == ("prod", "notes", "3")
    assert (record.image, record.output_text) == ("images/gone.png", "née")
    assert record.image_failure == "the image is missing from the log"
    assert (record.flag, record.flags, record.reports) == (
        "incorrect", ["incorrect", "offensive"], 2
    )  # fmt: skip
    assert (record.user, record.comment, record.ground_truth_string) == ("ann", "rude", "nee")
    assert record.tags == {"client": "ios", "latency_ms": 12}
    assert list(record.projections) == names
    assert record.projections["outputs.confidence"] == record.value("outputs.confidence") == 0.5
    assert record.value("outputs.output_text") == "née"
    assert record.character_confidences == "98 5 100" and record.confidences == [98, 5, 100]
    assert bare.confidences is None
    assert record.model_copy(update={"output_text": "ne"}).confidences is None, "not for each"
    assert record.model_copy(update={"character_confidences": "1 x 2"}).confidences is None
    assert record.projections["greyscale_image_mean(inputs.image)"] is None
    assert (bare.output_text, bare.flag, bare.flags, bare.reports, bare.tags) == (
        None, None, [], 0, {}
    )  # fmt: skip
    with pytest.raises(KeyError):
        record.value("no such column")
