"""The writer: what was written is in the log once, whatever was killed or down in between."""

import hashlib
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_access.api import OpenLog, open_writer
from data_access.embedded import EmbeddedServer, embedded_server
from data_access.errors import LogError
from data_access.ingest.sync import sync
from data_access.log import Log, create_bucket
from data_access.records import Feedback, Prediction
from data_access.records.decoding import read_object
from data_access.schema import FOLDER, schemas, text
from data_access.settings import spool_folder
from data_access.writer import (
    EVENT,
    UNFINISHED,
    UNREADABLE,
    Writer,
    _Parcel,
    image_key,
    object_key,
    to_json,
)
from tests.conftest import OpenWarehouse
from tests.samples import NOON, ROOT, open_log, picture, png, rounds

AT = datetime(2026, 7, 6, 12, tzinfo=UTC)


class FailingLog(Log):
    """Stands for a store that fails now and then, which no server does on cue."""

    def __init__(self, log: Log) -> None:
        super().__init__(log.uri, log._store)
        self.fails: Callable[[str], bool] = lambda key: False
        self.asked: list[str] = []
        self.order: list[str] = []

    def put(self, key: str, body: bytes) -> bool:
        self.asked.append(key)
        if self.fails(key):
            raise LogError("The store is down.")
        self.order.append(key)
        return super().put(key, body)


def event(record_key: str = "a", **more: Any) -> Prediction:
    said: dict[str, Any] = {"record_key": record_key, "timestamp": AT, "environment": "prod"}
    return Prediction(**said | more)


def flagged(feedback_key: str, record_key: str = "a", **more: Any) -> Feedback:
    said: dict[str, Any] = {"feedback_key": feedback_key, "record_key": record_key}
    said |= {"timestamp": AT, "flag": "other"}
    return Feedback(**said | more)


def keys(log: Log) -> list[str]:
    return sorted(
        held.key for prefix in ("predictions/", "feedback/", "images/") for held in log.list(prefix)
    )


def spooled(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "spool").rglob(f"*{EVENT}"))


def test_events_and_images_are_written_once(
    log: Log, tmp_path: Path, open_warehouse: OpenWarehouse
) -> None:
    body = picture()
    with Writer(log, tmp_path / "spool") as writer:
        for _ in range(2):
            assert writer.write_prediction(event("a", output_text="text"), body) == "a"
            assert writer.write_prediction(event("b"), Image.open(io.BytesIO(body))) == "b"
            assert writer.write_prediction(event("c", image="images/other.png")) == "c"
            assert writer.write_feedback(flagged("f")) == "f"
        assert writer.waiting == 0
    name = hashlib.sha256(body).hexdigest()
    image = f"images/{name[:2]}/{name}.png"
    assert keys(log) == [
        "feedback/date=2026-07-06/f.json",
        image,
        "predictions/date=2026-07-06/a.json",
        "predictions/date=2026-07-06/b.json",
        "predictions/date=2026-07-06/c.json",
    ]
    assert json.loads(log.get("predictions/date=2026-07-06/a.json")) == {
        "record_key": "a",
        "timestamp": NOON,
        "environment": "prod",
        "inputs": {"image": image},
        "outputs": {"output_text": "text"},
    }
    assert not spooled(tmp_path)
    report = sync(log, open_warehouse(log))
    assert (report.predictions, report.feedback, report.quarantined) == (3, 1, 0)


def test_an_image_goes_up_before_the_record_that_names_it(folder_log: Log, tmp_path: Path) -> None:
    log = FailingLog(folder_log)
    writer = Writer(log, tmp_path / "spool")
    writer.write_prediction(event("a"), picture())
    writer.write_prediction(event("b"), picture())
    assert [key.partition("/")[0] for key in log.order] == ["images", "predictions", "predictions"]


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        (png(Image.new("L", (1, 1))), "png"),
        (b"\xff\xd8\xff\xe0JFIF", "jpg"),
        (b"GIF89a", "gif"),
        (b"BM00", "bmp"),
        (b"RIFF0000WEBPVP8 ", "webp"),
        (b"\0\0\0\x20ftypavif", "avif"),
        (b"II*\0", "tif"),
        (b"", "bin"),
        (b"<svg>", "bin"),
    ],
)
def test_an_image_ends_as_its_bytes_begin(body: bytes, ending: str) -> None:
    assert image_key(body).endswith(f"{hashlib.sha256(body).hexdigest()}.{ending}")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "F", "CMYK"])
def test_a_picture_of_any_mode_is_kept_without_loss(
    folder_log: Log, tmp_path: Path, mode: str
) -> None:
    image = Image.new(mode, (3, 2))
    image.putpixel((1, 1), {"1": 255, "I": 70_000, "I;16": 60_000, "F": 0.25}.get(mode, 1))
    Writer(folder_log, tmp_path / "spool").write_prediction(event(), image)
    (key,) = (key for key in keys(folder_log) if key.startswith("images/"))
    kept = Image.open(io.BytesIO(folder_log.get(key)))
    assert list(kept.convert(mode).getdata()) == list(image.getdata())


JSON = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
TEXT = st.none() | st.text(min_size=1)  # a name without a value is one that is not there
KEY = st.text(min_size=1, max_size=200)
MOMENT = st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC))
PREDICTIONS = st.builds(
    Prediction,
    record_key=KEY,
    timestamp=MOMENT,
    environment=KEY,
    application=st.none() | KEY,
    image=TEXT,
    output_text=st.none() | st.text(),
    confidence=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    tags=st.dictionaries(st.text(), JSON.filter(lambda value: value != ""), max_size=4),
)
FEEDBACK = st.builds(
    Feedback, feedback_key=KEY, record_key=KEY, timestamp=MOMENT, flag=KEY, comment=TEXT
)


@pytest.mark.soak
@settings(max_examples=rounds(20, 60))
@given(PREDICTIONS | FEEDBACK)
def test_reading_is_the_inverse_of_writing(one: Prediction | Feedback) -> None:
    body = to_json(one)
    contents = read_object(object_key(one), body)
    assert [row for _, row in [*contents.predictions, *contents.feedback]] == [one]
    schema = "prediction.json" if isinstance(one, Prediction) else "feedback.json"
    jsonschema.validate(json.loads(body), schemas()[schema])


@pytest.mark.parametrize("tags", [{"a": "\ud800"}, {"a": ["\udfff"]}])
def test_what_is_no_record_is_refused_at_once(
    folder_log: Log, tmp_path: Path, tags: dict[str, Any]
) -> None:
    writer = Writer(folder_log, tmp_path / "spool")
    with pytest.raises(LogError, match=r"^The event cannot be written: "):
        writer.write_prediction(event(tags=tags), picture())
    assert not keys(folder_log)
    assert not writer.waiting


@given(KEY)
def test_every_key_makes_a_safe_name(record_key: str) -> None:
    name = object_key(event(record_key)).removeprefix("predictions/date=2026-07-06/")
    assert name == name.lower()
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    assert len(name) < 120 and not name.startswith(".")


def test_names_that_some_stores_do_not_tell_apart_are_told_apart() -> None:
    hashed = object_key(event("Ä"))
    literal = object_key(event(hashed.rpartition("/")[2].removesuffix(".json")))
    assert len({object_key(event("A")), object_key(event("a")), hashed, literal}) == 4


def test_what_could_not_be_sent_is_sent_later_in_order(folder_log: Log, tmp_path: Path) -> None:
    log = FailingLog(folder_log)
    log.fails = lambda key: True
    first = Writer(log, tmp_path / "spool")
    for number in range(5):
        first.write_prediction(event(f"p{number}"), picture(number))
    first.write_feedback(flagged("f"))
    assert (first.waiting, keys(folder_log)) == (6, [])
    with pytest.raises(LogError, match=r"The store is down\. What could not be sent waits in"):
        first.flush()

    log.fails = lambda key: key.endswith("p3.json")
    again = Writer(log, tmp_path / "spool")  # as after a restart
    with pytest.raises(LogError):
        again.flush()
    assert again.waiting == 3, "what comes after p3 waits with it"
    log.fails = lambda key: False
    assert again.flush() == 3
    sent = [key.rpartition("/")[2] for key in log.order if not key.startswith("images/")]
    assert sent == ["p0.json", "p1.json", "p2.json", "p3.json", "p4.json", "f.json"]
    assert (again.flush(), again.waiting) == (0, 0)


def test_a_store_that_failed_is_left_alone_for_a_while(folder_log: Log, tmp_path: Path) -> None:
    log = FailingLog(folder_log)
    log.fails = lambda key: True
    writer = Writer(log, tmp_path / "spool")
    for number in range(10):
        writer.write_feedback(flagged(str(number)))
    assert len(log.asked) == 1
    assert writer.waiting == 10


def test_the_server_may_be_down_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_server: EmbeddedServer
) -> None:
    folder = tmp_path / "server"
    with embedded_server(folder) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        create_bucket("s3://writer")
        writer = Writer(Log.open("s3://writer/log"), tmp_path / "spool")
        writer.write_prediction(event("before"), picture())
    writer.write_prediction(event("during"), picture(1))
    writer.write_feedback(flagged("during"))
    assert writer.waiting == 2
    with embedded_server(folder) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        log = Log.open("s3://writer/log")
        assert Writer(log, tmp_path / "spool").flush() == 2
        assert [key for key in keys(log) if not key.startswith("images/")] == [
            "feedback/date=2026-07-06/during.json",
            "predictions/date=2026-07-06/before.json",
            "predictions/date=2026-07-06/during.json",
        ]


def test_a_thread_sends_what_is_written(folder_log: Log, tmp_path: Path) -> None:
    down = threading.Event()
    down.set()
    log = FailingLog(folder_log)
    log.fails = lambda key: down.is_set()
    with Writer(log, tmp_path / "spool", seconds=0.05) as writer:
        writer.write_feedback(flagged("f"))
        time.sleep(0.2)
        assert writer.waiting == 1
        down.clear()
        deadline = time.monotonic() + 10
        while writer.waiting and time.monotonic() < deadline:
            time.sleep(0.02)
        assert keys(folder_log) == ["feedback/date=2026-07-06/f.json"]


def test_threads_may_share_a_writer_and_processes_a_spool(log: Log, tmp_path: Path) -> None:
    writers = [Writer(log, tmp_path / "spool") for _ in range(3)]

    def write(number: int) -> None:
        for turn in range(8):
            writers[number % 3].write_feedback(flagged(f"{number}-{turn}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys(log)) == 48
    assert not spooled(tmp_path)


def test_a_spool_is_shared_by_logs_without_mixing_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (FailingLog(Log.open(str(tmp_path / name))) for name in ("one", "two"))
    one.fails = lambda key: True
    Writer(one, tmp_path / "spool").write_feedback(flagged("one"))
    Writer(two, tmp_path / "spool").write_feedback(flagged("two"))
    assert (keys(one), keys(two)) == ([], ["feedback/date=2026-07-06/two.json"])
    assert len(spooled(tmp_path)) == 1


def test_a_damaged_file_is_set_aside_and_stops_nothing(folder_log: Log, tmp_path: Path) -> None:
    log = FailingLog(folder_log)
    log.fails = lambda key: True
    writer = Writer(log, tmp_path / "spool")
    for number in range(3):
        writer.write_feedback(flagged(str(number)))
    for number, damaged in enumerate((b"no event", spooled(tmp_path)[1].read_bytes()[:-1])):
        spooled(tmp_path)[number].write_bytes(damaged)
    log.fails = lambda key: False
    assert writer.flush() == 1
    assert keys(folder_log) == ["feedback/date=2026-07-06/2.json"]
    assert len(list((tmp_path / "spool").rglob(f"*{UNREADABLE}"))) == 2


def test_a_number_is_larger_than_all_that_wait(folder_log: Log, tmp_path: Path) -> None:
    """A clock set back between two processes does not change the order."""
    writer = Writer(folder_log, tmp_path / "spool")
    later = time.time_ns() + 10**15
    waiting = next((tmp_path / "spool").iterdir()) / f"{later:020d}-1-a{EVENT}"
    waiting.write_bytes(_Parcel("feedback/x.json", to_json(flagged("x"))).pack())
    log = FailingLog(folder_log)
    Writer(log, tmp_path / "spool").write_feedback(flagged("y"))
    assert log.order == ["feedback/x.json", "feedback/date=2026-07-06/y.json"]
    writer.close()


def test_a_spool_that_is_full_is_passed_by(folder_log: Log, tmp_path: Path) -> None:
    log = FailingLog(folder_log)
    writer = Writer(log, tmp_path / "spool")
    folder = next((tmp_path / "spool").iterdir())
    folder.rmdir()  # a place that takes no file, as a full disk does not
    writer.write_feedback(flagged("f"))
    assert keys(folder_log) == ["feedback/date=2026-07-06/f.json"]
    log.fails = lambda key: True
    with pytest.raises(LogError, match=r"The event was neither sent nor kept: The store is down"):
        writer.write_feedback(flagged("g"))
    folder.mkdir()


def test_a_spool_that_cannot_be_made_is_told(folder_log: Log, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="MISREAD_SPOOL"):
        Writer(folder_log, tmp_path / "file" / "spool")


def test_what_a_killed_process_left_half_written_goes_in_time(
    folder_log: Log, tmp_path: Path
) -> None:
    Writer(folder_log, tmp_path / "spool")
    folder = next((tmp_path / "spool").iterdir())
    old, new = folder / f"1{UNFINISHED}", folder / f"2{UNFINISHED}"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert Writer(folder_log, tmp_path / "spool").flush() == 0
    assert (old.exists(), new.exists()) == (False, True)


def test_the_spool_is_where_the_settings_say(
    folder_log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spool_folder({"MISREAD_SPOOL": str(tmp_path)}) == tmp_path
    assert spool_folder({"XDG_STATE_HOME": "/state"}) == Path("/state/misread/spool")
    assert spool_folder({}) == Path.home() / ".local" / "state" / "misread" / "spool"
    monkeypatch.setenv("MISREAD_SPOOL", str(tmp_path / "spool"))
    opened: OpenLog = open_log(folder_log.uri, tmp_path / "warehouse.duckdb")
    for writer in (opened.writer(), open_writer(folder_log.uri)):
        with writer:
            writer.write_prediction(event())
    opened.close()
    assert keys(folder_log) == ["predictions/date=2026-07-06/a.json"]
    assert (tmp_path / "spool").is_dir()


def test_the_example_of_the_docs_works(
    folder_log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISREAD_SPOOL", str(tmp_path / "spool"))
    paper = (ROOT / "docs" / "log.md").read_text()
    example = re.findall(r"### From your own code\n\n```python\n(.*?)```", paper, re.S)[0]
    example = example.replace("s3://my-bucket/my-prefix", folder_log.uri)
    exec(example, {"image": picture()})
    assert [key.partition("/")[0] for key in keys(folder_log)] == [
        "feedback",
        "images",
        "predictions",
    ]


def test_the_schemas_in_the_docs_are_current() -> None:
    held = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert held == {name: text(schema) for name, schema in schemas().items()}, (
        "run python -m data_access.schema"
    )


@pytest.mark.parametrize(
    ("schema", "event"),
    [
        ("prediction.json", {"record_key": "a", "timestamp": NOON}),
        ("prediction.json", {"record_key": "", "timestamp": NOON, "environment": "prod"}),
        ("feedback.json", {"record_key": "a", "timestamp": NOON, "flag": None}),
        ("feedback.json", {"record_key": "a", "timestamp": NOON, "user": "eve"}),
    ],
)
def test_the_schemas_refuse_what_sync_refuses(schema: str, event: dict[str, Any]) -> None:
    prefix = "predictions/" if schema.startswith("prediction") else "feedback/"
    assert read_object(prefix, json.dumps(event).encode()).quarantined
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, schemas()[schema])
