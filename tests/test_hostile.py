"""Hostile content through a real sync: each ends in quarantine with its reason, or is shown as
what it is; what lies around it is read all the same, and nothing goes uncounted.
"""

import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import PIL.EpsImagePlugin  # noqa: F401
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_access import queries
from data_access.embedded import EmbeddedServer
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import load_projections
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.faulty_proxy import Exchange, FaultyProxy, Response
from tests.samples import Event, feedback, lines, picture, png, prediction
from tests.test_sync import png_header

MEGABYTE = 1_000_000
BOTH_WAYS = "\u202eevil\u202c \u2066x\u2069"
ZERO_WIDTH = "a\u200bb\u200dc\ufeffd\u00ade"
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)> **b** $x$ {{7*7}} ${jndi:ldap://x}"
FORMULA = '=HYPERLINK("http://evil","x") +cmd|\' /C calc\'!A0'


@dataclass(frozen=True)
class Case:
    """What one line of an object says, and what becomes of it: the reason why it is no record
    (how it begins), or what its record shows, by column.
    """

    line: bytes
    reason: str | None = None
    shown: dict[str, Any] = field(default_factory=dict)


def said(reason: str | None = None, shown: dict[str, Any] | None = None, **more: Any) -> Case:
    """A line that json.dumps can write; its record key is `key` but where it is named."""
    event = prediction("key", "text") | {k.replace("__", "."): v for k, v in more.items()}
    return Case(json.dumps(event).encode(), reason, shown or {})


def raw(text: str, reason: str | None = None, shown: dict[str, Any] | None = None) -> Case:
    """A good line with this in it, as it is written."""
    line = lines([prediction("key")])[:-1] + b", " + text.encode() + b"}"
    return Case(line, reason, shown or {})


def without(name: str) -> Case:
    event = {key: value for key, value in prediction("key").items() if key != name}
    return Case(lines([event]), f"{name}: Field required")


def text(value: str) -> Case:
    """A text that is shown as it is, in the output, a tag and a key."""
    more: Event = {"outputs.output_text": value, "tags": {value: value}, "application": value}
    shown = {"outputs.output_text": value, "application": value, "tags": {value: value}}
    return Case(lines([prediction("key") | more]), None, shown)


UNKNOWN: dict[str, Any] = {f"x{n}": n for n in range(100_000)}
NESTED: dict[str, Any] = {"outputs.output_text": "nested"}
UNSURE: dict[str, Any] = {"outputs.confidence": None}
HALF_A_NAME: dict[str, Any] = {"\udc00": 1}
NO_YEAR = "timestamp: the year {} is not between 1970 and 2199"
CASES: dict[str, Case] = {
    "broken": Case(b"{broken", "not JSON: "),
    "python": Case(b"{'record_key': 'key'}", "not JSON: "),
    "trailing comma": Case(b'{"record_key": "key",}', "not JSON: "),
    "cut off": Case(lines([prediction("key")])[:-7], "not JSON: "),
    "latin-1": Case('{"record_key": "ü"}'.encode("latin-1"), "not JSON: "),
    "NUL bytes": Case(b"\0\0\0\0", "not JSON: "),
    "HTML": Case(b"<html><body>503</body></html>", "not JSON: "),
    "XML bomb": Case(b"<!DOCTYPE x [<!ENTITY a '&b;'>]>", "not JSON: "),
    "a list": Case(b'["record_key"]', "not a JSON object"),
    "a number": Case(b"1e400", "not a JSON object"),
    "null": Case(b"null", "not a JSON object"),
    "deep": Case(b"[" * 5_000 + b"]" * 5_000, "not JSON: "),
    "key a number": said("record_key: Input should be a valid string", record_key=7),
    "key an object": said("record_key: Input should be a valid string", record_key={"a": 1}),
    "time a truth": said("timestamp: ", timestamp=[2026, 7, 6]),
    "environment a list": said("environment: ", environment=["prod"]),
    "text a number": said(
        "outputs.output_text: Input should be a valid str", outputs__output_text=1
    ),
    "text an object": said("outputs.output_text: ", outputs__output_text={"a": "b"}),
    "image a list": said("inputs.image: Input should be a valid string", inputs__image=["a.png"]),
    "confidence a word": said("outputs.confidence: ", outputs__confidence="sure"),
    "tags a list": said(shown={"tags": {"tags": ["a"]}}, tags=["a"]),
    "outputs a text": said(shown={"tags": {"outputs": "x"}}, outputs="x"),
    "no key": without("record_key"),
    "no time": without("timestamp"),
    "no environment": without("environment"),
    "nothing": Case(b"{}", "record_key: Field required"),
    "empty key": said("record_key: String should have at least 1 character", record_key=""),
    "a name twice": raw('"version": "1", "version": "2"', shown={"version": "2"}),
    "a tag twice": raw('"tags": {"a": 1, "a": 2}', shown={"tags": {"a": 2}}),
    "a group and a dotted name": raw('"outputs": {"output_text": "nested"}', shown=NESTED),
    "NaN": raw('"outputs.confidence": NaN', shown=UNSURE),
    "infinity": raw('"outputs.confidence": -Infinity', shown=UNSURE),
    "1e400": raw('"outputs.confidence": 1e400', shown=UNSURE),
    "-1e400 in a tag": raw('"tags": {"x": -1e400, "y": 1}', shown={"tags": {"y": 1}}),
    "NaN in a tag": raw('"tags": {"x": [NaN]}', shown={"tags": {"x": [None]}}),
    "NaN for a time": raw('"timestamp": NaN', "timestamp: "),
    "1e308": raw('"outputs.confidence": 1e308', shown={"outputs.confidence": 1e308}),
    "1e-400": raw('"outputs.confidence": 1e-400', shown={"outputs.confidence": 0.0}),
    "a large number in a tag": raw(
        f'"tags": {{"x": {"9" * 400}}}', shown={"tags": {"x": int("9" * 400)}}
    ),
    "digits without end": raw(f'"tags": {{"x": {"9" * 10_000}}}', "not JSON: "),
    "time without a zone": said(shown={"hour": 12}, timestamp="2026-07-06T12:00:00"),
    "time of another zone": said(shown={"hour": 1}, timestamp="2026-07-06T12:00:00+11:00"),
    "year 1": said(NO_YEAR.format(1), timestamp="0001-01-01T00:00:00Z"),
    "before year 1": said(NO_YEAR.format(1), timestamp="0001-01-01T00:00:00+01:00"),
    "year 9999": said(NO_YEAR.format(9999), timestamp="9999-12-31T23:59:59.999999Z"),
    "after year 9999": said(NO_YEAR.format(9999), timestamp="9999-12-31T23:59:59-01:00"),
    "30 February": said("timestamp: ", timestamp="2026-02-30T12:00:00Z"),
    "hour 25": said("timestamp: ", timestamp="2026-07-06T25:00:00Z"),
    "no time at all": said("timestamp: ", timestamp=""),
    "10 MB of text": said(
        "outputs.output_text: String should have at most 1000000 characters",
        outputs__output_text="x" * 10 * MEGABYTE,
    ),
    "10 MB of key": said(
        "record_key: String should have at most 200", record_key="x" * 10 * MEGABYTE
    ),
    "10 MB in a tag": said(
        shown={"tags": {"t": "x" * 10 * MEGABYTE}}, tags={"t": "x" * 10 * MEGABYTE}
    ),
    "100,000 tags": said(
        "tags: Dictionary should have at most 1000 items", tags={str(n): n for n in range(100_000)}
    ),
    "100,000 unknown names": said("tags: Dictionary should have at most 1000 items", **UNKNOWN),
    "1,000 tags": said(
        shown={"tags": {str(n): n for n in range(1_000)}},
        tags={str(n): n for n in range(1_000)},
    ),
    "half a character": said("outputs.output_text: Input should be", outputs__output_text="\ud83d"),
    "half a character in a key": said("record_key: ", record_key="a\udc00"),
    "half a character in a tag": said(
        "a text has half of a surrogate pair", tags={"a": ["\udc00"]}
    ),
    "half a character in a name": said("a text has half of a surrogate pair", **HALF_A_NAME),
    "half a character in the image": said("inputs.image: ", inputs__image="\ud800.png"),
    "NUL in a text": text("a\0b"),
    "control characters": text("\x01\x08\x1b[31m\x7f\x85\u2028"),
    "markup": text(MARKUP),
    "a formula": text(FORMULA),
    "SQL": text("'; drop table records; -- \" \\"),
    "both ways": text(BOTH_WAYS),
    "zero width": text(ZERO_WIDTH),
    "combining": text("Z" + "\u0300" * 100),
    "private and unassigned": text("\ue000\U000e0001\U0010ffff\ufffe"),
}


def keyed(name: str, case: Case) -> bytes:
    """The case's line with a record key of its own, where it has the usual one."""
    return case.line.replace(b'"record_key": "key"', f'"record_key": "{name}"'.encode())


@dataclass(frozen=True)
class Synced:
    warehouse: Warehouse
    report: SyncReport


@pytest.fixture(scope="module")
def synced(s3_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synced]:
    """All cases in one log, each in an object of its own between two good lines."""
    log = Log.open("s3://misread-tests/hostile")
    for number, (name, case) in enumerate(CASES.items()):
        before, after = (lines([prediction(f"{name}, {where}")]) for where in ("before", "after"))
        body = b"\n".join([before, keyed(name, case), after])
        assert log.put(f"predictions/{number:03}.jsonl", body)
    path = tmp_path_factory.mktemp("hostile") / "warehouse.duckdb"
    warehouse = Warehouse.open(path, log.uri, load_projections())
    yield Synced(warehouse, sync(log, warehouse))
    warehouse.close()


def test_accepted_and_quarantined_are_all_that_was_sent(synced: Synced) -> None:
    refused = sum(case.reason is not None for case in CASES.values())
    report = synced.report
    assert (report.objects, report.failures) == (len(CASES), {})
    assert (report.predictions, report.quarantined) == (3 * len(CASES) - refused, refused)
    status = queries.status(synced.warehouse)
    assert (status.predictions, status.quarantined) == (report.predictions, report.quarantined)
    assert status.unscored == 0


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_line_is_quarantined_or_shown_as_it_is(synced: Synced, name: str) -> None:
    case = CASES[name]
    warehouse = synced.warehouse
    for where in ("before", "after"):
        assert queries.case(warehouse, f"{name}, {where}") is not None
    key = f"predictions/{list(CASES).index(name):03}.jsonl"
    asked = "select line, reason, excerpt from quarantine where object_key = ?"
    told = warehouse.rows(asked, [key])
    if case.reason is not None:
        ((line, reason, excerpt),) = told
        assert line == 2
        assert reason.startswith(case.reason)
        assert len(reason) < 400
        assert 0 < len(excerpt) <= 200
        return
    assert told == []
    stored = queries.case(warehouse, name)
    assert stored is not None
    hour = {"hour": stored.record.timestamp.hour}
    shown = {column: stored.record.value(column) for column in {*case.shown} - {*hour}} | hour
    assert {column: shown[column] for column in case.shown} == case.shown


def test_keys_that_look_like_paths_or_like_each_other_are_keys(
    folder_log: Log, tmp_path: Path
) -> None:
    keys = [
        "..",
        "../..",
        "/etc/passwd",
        "a/../b",
        "%2e%2e",
        "b",
        "a",
        "a\u200b",
        "A",
        "\u0430",
        "a ",
    ]
    for number, key in enumerate(keys):
        event = prediction(key, key, inputs__image=f"../{key}")
        assert folder_log.put(f"predictions/{number}.json", lines([event]))
        assert folder_log.put(f"feedback/{number}.json", lines([feedback(key, key)]))
    warehouse = Warehouse.open(tmp_path / "w.duckdb", folder_log.uri, load_projections())
    try:
        report = sync(folder_log, warehouse)
        assert (report.predictions, report.feedback, report.failures) == (11, 11, {})
        told = warehouse.rows(
            'select record_key, "outputs.output_text", "feedback.flag", image_failure from records'
        )
        left = "the image's name leaves the log, so it was not fetched"
        assert sorted(told) == sorted((key, key, key, left) for key in keys)
    finally:
        warehouse.close()


@pytest.mark.parametrize(
    "key",
    [
        "predictions/%2e%2e/x.json",
        "predictions/x../x...json",
        "predictions/\u202e\u200b.json",
        "predictions/a b+c%20d~#?&=*'\"<>|.json",
        "predictions/\U0001f600/é.json",
        "predictions/" + "x" * 200,
    ],
)
def test_an_object_of_any_name_is_read(log: Log, tmp_path: Path, key: str) -> None:
    assert log.put(key, lines([prediction("a")]) + b"\n{broken")
    warehouse = Warehouse.open(tmp_path / "w.duckdb", log.uri, load_projections())
    try:
        report = sync(log, warehouse)
        assert (report.predictions, report.quarantined, report.failures) == (1, 1, {})
        assert list(queries.quarantine(warehouse)["object_key"]) == [key]
    finally:
        warehouse.close()


LEFT_OUT = [
    "predictions/_SUCCESS",
    "predictions/.DS_Store",
    "predictions/date=2026-07-06/.part-0.parquet.crc",
    "predictions/_delta_log/00000000000000000000.json",
    "predictions/date=2026-07-06/_temporary/0/part-0.json",
    "feedback/.hidden/x.json",
    "annotations/._x.json",
]
READ = ["predictions/_day=1/a.json", "predictions/b_.json", "predictions/c.d/x._y"]


def test_what_other_engines_leave_out_is_left_out(log: Log, open_warehouse: OpenWarehouse) -> None:
    for key in LEFT_OUT:
        assert log.put(key, b"\0\0\0\1Bud1" + lines([prediction(key)]))
    for key in READ:
        assert log.put(key, lines([prediction(key)]))
    warehouse = open_warehouse(log)
    report = sync(log, warehouse)
    assert (report.objects, report.quarantined, report.failures) == (len(READ), 0, {})
    assert sorted(warehouse.rows("select record_key from records")) == [(k,) for k in sorted(READ)]


def test_what_an_earlier_version_read_and_is_left_out_now_is_dropped(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    assert log.put(LEFT_OUT[0], b"")
    assert log.put(READ[0], lines([prediction("a")]))
    warehouse = open_warehouse(log)
    with warehouse.transaction() as cursor:
        cursor.execute("insert into objects values (?, 'tag', 1, 0)", [LEFT_OUT[0]])
    report = sync(log, warehouse)
    assert (report.objects, report.removed, report.failures) == (1, 1, {})


def test_an_image_beside_its_record_is_one_line_of_quarantine(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    noise = encoded(Image.effect_noise((300, 300), 90), "PNG")
    assert noise.count(b"\n") > 100
    assert log.put("predictions/a.png", noise)
    assert log.put("predictions/a.json", lines([prediction("a")]))
    warehouse = open_warehouse(log)
    report = sync(log, warehouse)
    assert (report.predictions, report.quarantined) == (1, 1)
    reason = "the object is a PNG image, and events are JSON, JSON lines or Parquet"
    assert list(queries.quarantine(warehouse)["reason"]) == [reason]


def parquet(columns: dict[str, Any]) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table(columns), body)
    return body.getvalue()


PARQUET: dict[str, Any] = {
    "record_key": ["a", "b"],
    "timestamp": ["2026-07-06T12:00:00Z"] * 2,
    "environment": ["prod"] * 2,
}


@pytest.mark.parametrize(
    ("columns", "reasons"),
    [
        ({"outputs.confidence": [float("nan"), 0.5]}, []),
        ({"tags.x": [float("inf"), 0.5]}, []),
        ({"record_key": [None, "b"]}, ["record_key: Input should be a valid string"]),
        ({"record_key": pa.array([b"\xff\xfe", b"b"], pa.binary())}, ["record_key: "]),
        ({"outputs.output_text": ["x" * 1_000_001, "\0"]}, ["outputs.output_text: "]),
        ({"outputs.output_text": [1, 2]}, ["outputs.output_text: "] * 2),
        ({"timestamp": pa.array([-(2**60), 0], pa.timestamp("us"))}, [""]),
        ({"timestamp": pa.array([-(2**55), 0], pa.timestamp("us"))}, ["timestamp: the year"]),
        ({f"x{n}": [n, n] for n in range(2_000)}, ["tags: Dictionary should have at most"] * 2),
    ],
)
def test_hostile_parquet_is_quarantined_row_by_row(
    folder_log: Log, tmp_path: Path, columns: dict[str, Any], reasons: list[str]
) -> None:
    assert folder_log.put("predictions/1.parquet", parquet(PARQUET | columns))
    warehouse = Warehouse.open(tmp_path / "w.duckdb", folder_log.uri, load_projections())
    try:
        report = sync(folder_log, warehouse)
        told = list(queries.quarantine(warehouse)["reason"])
        assert len(told) == len(reasons)
        assert all(one.startswith(begins) for one, begins in zip(told, reasons, strict=True))
        if not told or not told[0].startswith("the object cannot be read"):
            assert report.predictions + report.quarantined == 2
    finally:
        warehouse.close()


NO_UTF8 = pa.Array.from_buffers(
    pa.string(),
    2,
    [None, pa.py_buffer(struct.pack("<3i", 0, 2, 4)), pa.py_buffer(b"\xff\xfeok")],
)
STRUCT_OF_TIME = pa.struct([("at", pa.timestamp("us"))])
TYPES: dict[str, pa.Array] = {
    "null": pa.nulls(2),
    "truth": pa.array([True, None]),
    "uint64": pa.array([2**64 - 1, 0], pa.uint64()),
    "half": pa.array([float("inf"), 1.5], pa.float16()),
    "double": pa.array([float("nan"), 1e300]),
    "decimal": pa.array([Decimal(10) ** 60, None], pa.decimal256(70, 2)),
    "binary": pa.array([b"\xff\xfe", b"ok"]),
    "text that is no UTF-8": NO_UTF8,
    "large text": pa.array(["a", "b"], pa.large_string()),
    "text view": pa.array(["a", "b" * 40], pa.string_view()),
    "dictionary": pa.array(["a", "b"]).dictionary_encode(),
    "date": pa.array([0, 2**31 - 1], pa.date32()),
    "time": pa.array([0, 2**62], pa.time64("ns")),
    "timestamp": pa.array([2**60, 0], pa.timestamp("us")),
    "timestamp with a zone": pa.array([2**60, 0], pa.timestamp("us", tz="Europe/Berlin")),
    "nanoseconds": pa.array([2**62, -(2**63)], pa.timestamp("ns")),
    "duration": pa.array([2**62, 0], pa.duration("ns")),
    "list": pa.array([[float("nan")], None]),
    "struct": pa.array([{"a": float("nan"), "": "x"}, None]),
    "struct of a time": pa.array([{"at": 2**60}, None], STRUCT_OF_TIME),
    "map with a key twice": pa.array([[("a", 1), ("a", 2)], []], pa.map_(pa.string(), pa.int64())),
    "deep": pa.array([{"tags": {"tags": {"x": [{"y": float("inf")}]}}}, None]),
}
COLUMNS = ("record_key", "timestamp", "outputs.output_text", "outputs.confidence", "inputs.image",
           "tags", "tags.x", "feedback.flag", "feedback", "")  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_a_parquet_column_of_any_type_is_read_or_quarantined(
    folder_log: Log, open_warehouse: OpenWarehouse, name: str
) -> None:
    for number, column in enumerate(COLUMNS):
        body = parquet(PARQUET | {column: TYPES[name]})
        assert folder_log.put(f"predictions/{number}.parquet", body)
    warehouse = open_warehouse(folder_log)
    report = sync(folder_log, warehouse)
    assert (report.objects, report.failures) == (len(COLUMNS), {})
    quarantined = warehouse.rows("select line, reason from quarantine")
    whole = sum(line == 0 for line, _ in quarantined)
    assert report.predictions + report.quarantined + whole == 2 * len(COLUMNS)
    assert all(reason for _, reason in quarantined)


def encoded(image: Image.Image, kind: str) -> bytes:
    body = io.BytesIO()
    image.save(body, kind)
    return body.getvalue()


def bmp_header(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head


def with_text_bomb() -> bytes:
    """A PNG with a comment that unpacks to 100 MB."""
    body = png(Image.new("L", (4, 4), 99))
    data = b"Comment\0\0" + zlib.compress(b"x" * 100 * MEGABYTE)
    chunk = (
        struct.pack(">I", len(data))
        + b"zTXt"
        + data
        + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    )
    return body[:33] + chunk + body[33:]


UNREADABLE = "the bytes are not an image that can be read"
TOO_LARGE = "an image of 10,000 × 10,000 pixels is too large"
IMAGES: dict[str, tuple[bytes | None, str | None]] = {
    "missing": (None, "the image is missing from the log"),
    "empty": (b"", UNREADABLE),
    "text": (b"not an image", UNREADABLE),
    "HTML": (b"<html><img src=x></html>", UNREADABLE),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", UNREADABLE),
    "PDF": (b"%PDF-1.4\n", "a PDF: convert it to PNG or JPEG"),
    "truncated PNG": (picture(size=(200, 200))[:-60], UNREADABLE),
    "truncated JPEG": (encoded(Image.effect_noise((99, 99), 50), "JPEG")[:-900], UNREADABLE),
    "truncated GIF": (encoded(Image.effect_noise((99, 99), 50), "GIF")[:-900], UNREADABLE),
    "signature alone": (b"\x89PNG\r\n\x1a\n", UNREADABLE),
    "50,000 × 50,000 PNG": (png_header(50_000, 50_000), "an image of too many pixels"),
    "50,000 × 50,000 BMP": (bmp_header(50_000, 50_000), "an image of too many pixels"),
    "10,000 × 10,000": (encoded(Image.new("1", (10_000, 10_000)), "PNG"), TOO_LARGE),
    "text that unpacks": (with_text_bomb(), None),
    "1 × 1": (png(Image.new("L", (1, 1))), None),
    "a strip": (png(Image.new("L", (30_000, 1))), None),
    "transparent": (png(Image.new("RGBA", (5, 5))), None),
    "not a number": (encoded(Image.new("F", (5, 5), float("nan")), "TIFF"), None),
}


def test_hostile_images_are_told_apart_and_counted(log: Log, tmp_path: Path) -> None:
    events = []
    for number, (name, (body, _)) in enumerate(IMAGES.items()):
        if body is not None:
            assert log.put(f"images/{number}", body)
        events.append(prediction(name, inputs__image=f"images/{number}"))
    assert log.put("predictions/1.jsonl", lines(events))
    warehouse = Warehouse.open(tmp_path / "w.duckdb", log.uri, load_projections())
    try:
        report = sync(log, warehouse)
        assert (report.predictions, report.scored_images) == (len(IMAGES), len(IMAGES))
        told = dict(warehouse.rows("select record_key, image_failure from records"))
        for name in ("text that unpacks", "not a number"):  # either is right; neither may raise
            assert told.pop(name) in (None, UNREADABLE)
        expected = {name: reason for name, (_, reason) in IMAGES.items() if name in told}
        assert told == expected
        assert queries.status(warehouse).unscored == 0
    finally:
        warehouse.close()


@pytest.mark.parametrize("name", ["a/../b", "../up", "..", "./c", "a//b", "a\nb"])
def test_one_key_that_is_no_path_does_not_hide_the_log(
    log_uri: str,
    s3_server: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
    open_warehouse: OpenWarehouse,
    name: str,
) -> None:
    """S3 allows such keys; the server of these tests does not, so its listing is changed."""

    def rename(exchange: Exchange) -> None:
        listing = exchange.forward()
        written = name.replace("\n", "&#10;").encode()
        body = listing.body.replace(b"/odd.json", b"/" + written)
        exchange.send(Response(listing.status, listing.headers, body))

    with FaultyProxy(s3_server.endpoint).running() as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        log = Log.open(log_uri)
        for key in ("good", "odd"):
            assert log.put(f"predictions/{key}.json", lines([prediction(key)]))
        rule = proxy.on("LIST", "predictions/", rename)
        warehouse = open_warehouse(log)
        report = sync(log, warehouse)
        assert rule.met
        assert queries.case(warehouse, "good") is not None
        assert report.quarantined + sum(report.failures.values()) == 1


@pytest.mark.parametrize("name", [b"a\nb.json", b"\x01.json", b"\xff.json"])
def test_one_file_name_that_is_no_key_does_not_hide_the_log(
    folder_log: Log, open_warehouse: OpenWarehouse, name: bytes
) -> None:
    assert folder_log.put("predictions/good.json", lines([prediction("good")]))
    odd = os.path.join(os.fsencode(folder_log.uri), b"predictions", name)  # noqa: PTH118
    with open(odd, "wb") as file:  # noqa: PTH123
        file.write(lines([prediction("odd")]))
    warehouse = open_warehouse(folder_log)
    report = sync(folder_log, warehouse)
    assert queries.case(warehouse, "good") is not None
    assert report.predictions + report.quarantined + sum(report.failures.values()) == 2


def test_a_folder_made_in_the_console_is_no_failure(
    log_uri: str, s3_server: EmbeddedServer, open_warehouse: OpenWarehouse
) -> None:
    """An empty object whose key ends in a slash."""
    log = Log.open(log_uri)
    assert log.put("predictions/good.json", lines([prediction("good")]))
    bucket, _, prefix = log_uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/predictions/made/", Body=b"")
    report = sync(log, open_warehouse(log))
    assert (report.predictions, report.quarantined, report.failures) == (1, 0, {})


def test_an_image_in_postscript_is_not_run(
    folder_log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_warehouse: OpenWarehouse
) -> None:
    """Pillow hands EPS to Ghostscript, which is a program for programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    (folder / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    assert folder_log.put("images/x.eps", encoded(Image.new("L", (9, 9)), "EPS"))
    event = prediction("a", inputs__image="images/x.eps")
    assert folder_log.put("predictions/1.json", lines([event]))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    assert warehouse.rows("select image_failure from records") == [(UNREADABLE,)]
    assert not (tmp_path / "was-run").exists()
