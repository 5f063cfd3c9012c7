import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data_access import embedded
from data_access.embedded import EmbeddedServer, embedded_server
from data_access.embedded import _free_port as free_port
from data_access.errors import LogError
from data_access.ingest.sync import sync
from data_access.log import Log, create_bucket
from tests.conftest import OpenWarehouse
from tests.samples import picture, prediction, write

ACCESS = [
    lambda log: list(log.list("predictions/")),
    lambda log: log.get("predictions/1.json"),
    lambda log: log.put("predictions/1.json", b"{}"),
    lambda log: log.image("images/1.png"),
]


def refusal(attempt: Callable[[], object]) -> LogError:
    with pytest.raises(LogError) as caught:
        attempt()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 300
    return caught.value


def test_objects_are_listed_with_keys_below_the_root(log: Log) -> None:
    keys = {"predictions/date=2026-07-06/a b.json", "feedback/ü.json", "images/ab/abc.png"}
    for key in keys:
        log.put(key, b"12345")
    listed = list(log.list(""))
    assert {found.key for found in listed} == keys
    assert {found.size for found in listed} == {5}
    assert all(found.e_tag for found in listed)
    assert [found.key for found in log.list("feedback/")] == ["feedback/ü.json"]
    assert list(log.list("annotations/")) == []


def test_a_listing_shows_a_thousand_objects_and_more(folder_log: Log) -> None:
    for number in range(1_100):
        folder_log.put(f"predictions/{number}.json", b"")
    assert len(set(folder_log.list("predictions/"))) == 1_100


def test_logs_in_one_bucket_do_not_see_each_other(log_uri: str) -> None:
    Log.open(f"{log_uri}/one").put("predictions/1.json", b"1")
    assert list(Log.open(f"{log_uri}/on").list("")) == []
    assert [found.key for found in Log.open(log_uri).list("")] == ["one/predictions/1.json"]


def test_putting_never_changes_what_is_there(log: Log) -> None:
    assert log.put("predictions/1.json", b"first")
    assert not log.put("predictions/1.json", b"second")
    assert log.get("predictions/1.json") == b"first"


@pytest.mark.parametrize("key", ["../out.json", "a/../../out.json", "a//b", "./a", "\0"])
def test_a_key_that_is_none_is_refused(log: Log, tmp_path: Path, key: str) -> None:
    refusal(lambda: log.put(key, b"x"))
    refusal(lambda: log.get(key))
    assert not (tmp_path / "out.json").exists()


def test_an_object_that_is_not_there_is_told_so(log: Log) -> None:
    failure = refusal(lambda: log.get("predictions/1.json"))
    assert str(failure) == f"{log.uri}/predictions/1.json is not there (any more)."
    assert not refusal(lambda: log.image("images/1.png")).retryable


def test_an_image_of_too_many_bytes_is_not_fetched(log: Log) -> None:
    log.put("images/1.png", picture())
    log = Log(log.uri, log._store, max_image_bytes=10)
    failure = refusal(lambda: log.image("images/1.png"))
    assert str(failure).endswith("bytes, too many to open")
    assert not failure.retryable


@pytest.mark.parametrize("access", ACCESS)
def test_a_store_that_is_down_is_told_in_seconds(
    s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, access: Callable[[Log], object]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    log = Log.open("s3://misread-tests/x")
    started = time.monotonic()
    failure = refusal(lambda: access(log))
    assert time.monotonic() - started < 10
    assert str(failure).endswith("does not answer: is the store up, and its address right?")
    assert failure.retryable


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_told(
    log_uri: str, monkeypatch: pytest.MonkeyPatch, access: Callable[[Log], object], name: str
) -> None:
    monkeypatch.setenv(name, "wrong")
    failure = refusal(lambda: access(Log.open(log_uri)))
    assert "denied: check the credentials and the bucket's policy" in str(failure)
    assert failure.retryable


def test_no_credentials_at_all_are_told(log_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    failure = refusal(lambda: Log.open(log_uri))
    assert str(failure).startswith(f"No AWS credentials for {log_uri}: set AWS_PROFILE")


def test_credentials_and_endpoint_can_come_from_a_profile(
    s3_server: EmbeddedServer, log_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(
        "[profile team]\n"
        f"aws_access_key_id = {s3_server.access_key}\n"
        f"aws_secret_access_key = {s3_server.secret_key}\n"
        f"endpoint_url = {s3_server.endpoint}\n"
    )
    for name in s3_server.environ:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "team")
    log = Log.open(log_uri)
    write(log, "predictions/1.json", prediction("a"))
    assert len(list(log.list(""))) == 1


def test_without_an_endpoint_the_log_is_sought_at_aws(
    log_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert Log.open(log_uri).uri == log_uri  # opened, not fetched: that would need AWS itself


def test_a_missing_bucket_is_no_empty_log(
    s3_server: EmbeddedServer, open_warehouse: OpenWarehouse
) -> None:
    log = Log.open("s3://misread-nowhere/log")
    assert str(refusal(lambda: sync(log, open_warehouse(log)))) == (
        "There is no bucket for s3://misread-nowhere/log."
    )


def test_a_missing_folder_is_no_empty_log(tmp_path: Path) -> None:
    assert str(refusal(lambda: Log.open(str(tmp_path / "nowhere")))) == (
        f"There is no folder {tmp_path / 'nowhere'}."
    )
    (tmp_path / "log").mkdir()
    log = Log.open(str(tmp_path / "log"))
    (tmp_path / "log").rmdir()
    refusal(lambda: list(log.list("predictions/")))


@pytest.mark.parametrize("uri", ["s3://", "s3:///log", "s3://a b/log", "s3://a/../b"])
def test_an_address_that_is_none_is_told(s3_server: EmbeddedServer, uri: str) -> None:
    refusal(lambda: Log.open(uri))


def test_a_bucket_is_made_once(s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        create_bucket("s3://misread-made/some/prefix")
    assert list(Log.open("s3://misread-made").list("")) == []
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refusal(lambda: create_bucket("s3://misread-other"))


def test_two_servers_run_at_once_each_with_its_own_key(
    s3_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_server(tmp_path / "s3") as server:
        assert server.secret_key != s3_server.secret_key
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        create_bucket("s3://misread-other-server")
        assert Log.open("s3://misread-other-server").put("1.json", b"1")
    assert server.process.poll() is not None
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    refusal(lambda: list(Log.open("s3://misread-other-server").list("")))


def test_a_port_that_is_taken_meanwhile_is_left_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [taken.getsockname()[1]]
        monkeypatch.setattr(embedded, "_free_port", lambda: ports.pop() if ports else free_port())
        with embedded_server(tmp_path / "s3") as server:
            assert server.endpoint != f"http://127.0.0.1:{taken.getsockname()[1]}"
            assert not ports


def test_another_process_opens_the_same_log(tmp_path: Path) -> None:
    log = Log.open(str(tmp_path), ("s3://elsewhere/images",), conditional_writes=False)
    arguments = json.loads(json.dumps(log.opened_with))
    again = Log.open(**arguments)
    assert again.opened_with == log.opened_with == arguments
    assert arguments["conditional_writes"] is False
