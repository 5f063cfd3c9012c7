"""Answers and their log: what is kept, what a store that is down costs, the Lambda contract."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

import serving
from data_access.errors import LogError
from data_access.images import UnreadableImageError
from data_access.log import Log
from data_access.records.decoding import read_object
from data_access.settings import spool_folder
from data_access.writer import Writer
from recognizer.reader import Recognizer
from serving import Service, handler
from tests.samples import ROOT, picture, png

LETTER = ROOT / "tests" / "data" / "recognizer" / "notice_printed.png"


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("v2")


@pytest.fixture
def service(recognizer: Recognizer, folder_log: Log, tmp_path: Path) -> Iterator[Service]:
    made = Service(recognizer, Writer(folder_log, tmp_path / "spool"))
    yield made
    made.close()


def events(log: Log, prefix: str) -> list[Any]:
    bodies = [read_object(found.key, log.get(found.key)) for found in log.list(prefix)]
    assert not any(contents.quarantined for contents in bodies)
    return [row for body in bodies for _, row in [*body.predictions, *body.feedback]]


def test_an_answer_is_logged_with_what_made_it(service: Service, folder_log: Log) -> None:
    body = LETTER.read_bytes()
    served = service.read(body, "test")
    [logged] = events(folder_log, "predictions/")
    assert logged.record_key == served.record_key
    assert (logged.output_text, logged.version) == (served.text, "v2")
    assert logged.confidence == pytest.approx(served.confidence)
    percents = logged.character_confidences.split()
    assert len(percents) == len(served.text) and all(0 <= int(value) <= 100 for value in percents)
    assert (logged.application, logged.environment) == ("handwriting-reader", "prod")
    with Image.open(LETTER) as image:
        assert (logged.tags["image_width"], logged.tags["image_height"]) == image.size
    assert logged.tags["latency_ms"] > 0 and 0 < logged.tags["image_mean"] < 255
    assert folder_log.image(logged.image) == body


def test_a_flag_is_logged_when_it_is_given(service: Service, folder_log: Log) -> None:
    key = service.read(picture(), "test").record_key
    assert key is not None
    service.flag(key, "other", correction="", comment="<b>=1+1</b>")
    service.flag(key, "incorrect", correction="what it says")
    other, wrong = sorted(events(folder_log, "feedback/"), key=lambda row: row.timestamp)
    assert (other.flag, other.ground_truth_string, other.comment) == ("other", None, "<b>=1+1</b>")
    assert (wrong.flag, wrong.ground_truth_string, wrong.comment) == (
        "incorrect", "what it says", None
    )  # fmt: skip


def test_a_store_that_is_down_costs_neither_answer_nor_event(
    recognizer: Recognizer, log_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as down:
        down.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        service = Service(recognizer, Writer(Log.open(log_uri), tmp_path / "spool"))
        served = service.read(LETTER.read_bytes(), "test")
        assert served.text and served.record_key is not None
        service.flag(served.record_key, "incorrect")
        service.close()
        assert service.waiting == 2
    log = Log.open(log_uri)
    Writer(log, tmp_path / "spool").close()
    assert [row.record_key for row in events(log, "predictions/")] == [served.record_key]
    assert [row.record_key for row in events(log, "feedback/")] == [served.record_key]


def test_without_log_and_spool_there_is_still_an_answer(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    class Gone(Writer):
        """Neither its spool nor its log takes anything: a full disk cannot be had here."""

        def _write(self, parcel: object) -> None:
            raise LogError("nothing is taken")

    folder = tmp_path / "log"
    folder.mkdir()
    served = Service(recognizer, Gone(Log.open(str(folder)), tmp_path / "spool")).read(
        LETTER.read_bytes(), "test"
    )
    assert served.text and served.record_key is None


@pytest.mark.parametrize(
    "body", [b"", b"<svg/>", picture()[:60], png(Image.new("1", (30_000, 30_000)))]
)
def test_what_is_no_image_is_refused_and_not_logged(
    service: Service, folder_log: Log, body: bytes
) -> None:
    with pytest.raises(UnreadableImageError):
        service.read(body, "test")
    assert not events(folder_log, "predictions/")


@pytest.fixture
def deployed(folder_log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """The Lambda function with its settings."""
    monkeypatch.setenv("MISREAD_LOG", folder_log.uri)
    monkeypatch.setenv("MISREAD_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("MISREAD_MODEL", "v1")
    monkeypatch.setenv("MISREAD_APPLICATION", "reader")
    serving._service.cache_clear()
    yield folder_log
    serving._service().close()
    serving._service.cache_clear()
    assert spool_folder() == tmp_path / "spool"


def test_the_lambda_function_answers_and_logs(deployed: Log) -> None:
    encoded = base64.b64encode(LETTER.read_bytes()).decode()
    bare = {"image": encoded}
    url = {"image": f"data:image/png;base64,{encoded}"}
    answers = [
        handler(event, None)
        for event in (bare, url, json.dumps(url), {"body": json.dumps(url)}, {"body": bare})
    ]
    serving._service().close()
    assert {tuple(answer) for answer in answers} == {("pred",)}
    assert len({answer["pred"] for answer in answers}) == 1
    logged = events(deployed, "predictions/")
    assert len(logged) == len(answers)
    assert {(row.application, row.version, row.tags["client"]) for row in logged} == {
        ("reader", "v1", "lambda")
    }
    assert len(deployed.list("images/")) == 1


@pytest.mark.parametrize(
    "event",
    [None, 7, [], {}, "not JSON", "[" * 100_000, {"body": None}, {"image": None},
     {"image": "%%%"}, {"image": "data:image/png;base64"}, {"image": "eA=="},
     {"image_url": "file:///etc/passwd"}],
)  # fmt: skip
def test_an_event_without_an_image_is_answered_with_a_sentence(deployed: Log, event: Any) -> None:
    answer = handler(event, None)
    assert answer["statusCode"] == 400 and answer["message"]
    assert not events(deployed, "predictions/")


ENCODED = base64.b64encode(LETTER.read_bytes()).decode()
URL_SAFE = base64.urlsafe_b64encode(LETTER.read_bytes()).decode()
WRAPPED = base64.encodebytes(LETTER.read_bytes()).decode()
BODY = base64.b64encode(json.dumps({"image": ENCODED}).encode()).decode()


@pytest.mark.parametrize(
    "event",
    [
        {"image": WRAPPED},
        {"image": WRAPPED.replace("\n", "\r\n")},
        {"image": f" {ENCODED}\t"},
        {"image": URL_SAFE},
        {"image": URL_SAFE.rstrip("=")},
        {"image": ENCODED.rstrip("=")},
        {"image": f"data:image/png;base64,{WRAPPED}"},
        {"image": f"DATA:image/png;charset=utf-8;BASE64,{ENCODED}"},
        {"image": "data:image/png;base64," + quote(ENCODED, safe="")},
        {"isBase64Encoded": True, "body": BODY},
        {"isBase64Encoded": True, "body": ENCODED},
        {"isBase64Encoded": False, "body": json.dumps({"image": URL_SAFE})},
        json.dumps({"isBase64Encoded": True, "body": BODY}),
    ],
)
def test_base64_is_read_as_clients_and_gateways_send_it(event: Any) -> None:
    assert serving._image_in(event) == LETTER.read_bytes()


def test_every_alphabet_and_length_of_base64_is_read() -> None:
    for length in range(6):
        body = bytes([0xFB, 0xFF, 0xBF, 0xFE, 0x3E, 0x3F][:length])
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            for text in (encode(body).decode(), encode(body).decode().rstrip("=")):
                assert serving.decode_base64(text, "it") == body


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({"image": "a"}, "`image` is not base64"),
        ({"image": "ab*d"}, "`image` is not base64"),
        ({"image": "data:image/png,%89PNG"}, "`image` is a data URL without base64"),
        ({"image": "A" * (serving.LAMBDA_BYTES + 1)}, "`image` is too large"),
        ({"isBase64Encoded": True, "body": "*"}, "the body is not base64"),
        ({"isBase64Encoded": True, "body": "e30="}, "there is no image in the event"),
        ({"isBase64Encoded": True, "body": "bm8="}, "not an image that can be read"),
        ({"isBase64Encoded": False, "body": ENCODED}, "the event is not JSON"),
    ],
)
def test_bad_base64_is_answered_with_a_sentence(deployed: Log, event: Any, sentence: str) -> None:
    answer = handler(event, None)
    assert answer["statusCode"] == 400
    assert sentence in answer["message"]
    assert not events(deployed, "predictions/")


def test_an_image_with_damaged_metadata_is_read_and_logged(
    service: Service, folder_log: Log
) -> None:
    body = png(Image.open(LETTER), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert service.read(body, "test").text == service.read(LETTER.read_bytes(), "test").text
    assert len(events(folder_log, "predictions/")) == 2
