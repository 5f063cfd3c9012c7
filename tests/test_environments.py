"""Stores, networks, folders and terminals as companies have them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data_access.embedded import EmbeddedServer
from data_access.errors import LogError, SettingsError, WarehouseError
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import load_projections
from data_access.settings import LaunchSettings
from data_access.warehouse import Warehouse
from data_access.writer import Writer
from tests.conftest import OpenWarehouse
from tests.faulty_proxy import FaultyProxy, refuse
from tests.samples import ROOT, picture, prediction, write, write_picture
from tests.test_writer import event


@pytest.fixture
def proxy(s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """Logs opened during the test reach the server through this."""
    with FaultyProxy(s3_server.endpoint).running() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


@contextmanager
def without_privileges() -> Iterator[Path]:
    """A folder of the user's own, while root, where the tests run as root, is nobody."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
def test_a_conflict_is_not_taken_for_an_object_that_is_there(
    proxy: FaultyProxy, log_uri: str, tmp_path: Path, code: str
) -> None:
    rule = proxy.on("PUT", "predictions/", refuse(409, code))
    with Writer(Log.open(log_uri), tmp_path) as writer:
        writer.write_prediction(event("a"))
        assert rule.met
        assert writer.waiting == 1
        with pytest.raises(LogError, match=f"another request is changing it.*{code}"):
            writer.flush()
        proxy.heal()
        assert writer.flush() == 1
    assert len(Log.open(log_uri).list("predictions/")) == 1


def test_a_conflict_that_passes_is_tried_again_at_once(proxy: FaultyProxy, log_uri: str) -> None:
    proxy.on("PUT", "a", refuse(409, "ConditionalRequestConflict"), times=1)
    assert Log.open(log_uri).put("a", b"1")


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, "ExpiredToken", "renew"),
        (400, "InvalidToken", "renew"),
        (400, "RequestTimeout", "RequestTimeout"),
        (400, "KMS.DisabledException", "KMS key"),
        (403, "InvalidObjectState", "restore it"),
        (400, "", "error 400"),
    ],
)
def test_an_image_that_a_store_refuses_is_measured_by_the_next_sync(
    proxy: FaultyProxy,
    log_uri: str,
    open_warehouse: OpenWarehouse,
    status: int,
    code: str,
    advice: str,
) -> None:
    log = Log.open(log_uri)
    write(log, "predictions/1.json", prediction("a", inputs__image=write_picture(log, picture(1))))
    warehouse = open_warehouse(log)
    proxy.on("GET", "images/", refuse(status, code))
    (sentence,) = sync(log, warehouse).failures
    assert advice in sentence
    assert code in sentence
    proxy.heal()
    report = sync(log, warehouse)
    assert not report.failures
    assert report.scored_images == 1


def test_a_request_that_nothing_can_mend_is_final(proxy: FaultyProxy, log_uri: str) -> None:
    proxy.on("GET", "images/", refuse(400, "KeyTooLongError"))
    with pytest.raises(LogError) as failure:
        Log.open(log_uri).image("images/1.png")
    assert not failure.value.retryable


def test_a_store_without_conditional_writes_names_the_setting_that_does_without(
    proxy: FaultyProxy, log_uri: str
) -> None:
    rule = proxy.on("PUT", "a", refuse(501, "NotImplemented"))
    with pytest.raises(LogError, match="MISREAD_CONDITIONAL_WRITES=0"):
        Log.open(log_uri).put("a", b"1")
    assert rule.met
    proxy.heal()
    log = Log.open(log_uri, conditional_writes=False)
    assert log.put("a", b"1")
    assert not log.put("a", b"2")
    assert log.get("a") == b"1"


def test_a_part_of_a_folder_that_cannot_be_listed_is_told_and_not_forgotten() -> None:
    with without_privileges() as folder:
        log = Log.open(str(folder))
        write(log, "predictions/good/1.json", prediction("a"))
        write(log, "predictions/bad/2.json", prediction("b"))
        warehouse = Warehouse.open(folder / "w.duckdb", log.uri, load_projections())
        try:
            assert not sync(log, warehouse).failures
            (folder / "predictions/bad").chmod(0)
            write(log, "predictions/good/3.json", prediction("c"))
            (sentence,) = sync(log, warehouse).failures
            keys = {key for (key,) in warehouse.rows("select record_key from records")}
            (folder / "predictions/bad").chmod(0o755)
        finally:
            warehouse.close()
        assert sentence == f"{folder / 'predictions/bad'} cannot be listed: Permission denied."
        assert keys == {"a", "b", "c"}


def test_links_that_loop_are_told_and_the_rest_is_listed(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(folder_log, "predictions/day/1.json", prediction("a"))
    (Path(folder_log.uri) / "predictions/day/loop").symlink_to("..")
    warehouse = open_warehouse(folder_log)
    (sentence,) = sync(folder_log, warehouse).failures
    assert sentence.endswith("loop cannot be listed: it is a link to a folder that it lies in.")
    assert warehouse.rows("select record_key from records") == [("a",)]


def test_a_folder_that_may_not_be_written_is_told() -> None:
    with without_privileges() as folder:
        folder.chmod(0o555)
        with pytest.raises(LogError, match="cannot be written: permission denied"):
            Log.open(str(folder)).put("predictions/1.json", b"{}")
        with pytest.raises(WarehouseError, match="MISREAD_WAREHOUSE"):
            Warehouse.open(folder / "w.duckdb", "/log", load_projections())
        with pytest.raises(WarehouseError, match="MISREAD_WAREHOUSE"):
            Warehouse.open(folder / "new" / "w.duckdb", "/log", load_projections())


def test_a_warehouse_of_somebody_else_is_left_alone() -> None:
    with without_privileges() as folder:
        file = folder / "w.duckdb"
        Warehouse.open(file, "/log", load_projections()).close()
        log_ahead = folder / "w.duckdb.wal"
        log_ahead.write_bytes(b"")
        file.chmod(0o444)
        names = sorted(path.name for path in folder.iterdir())
        with pytest.raises(WarehouseError, match="MISREAD_WAREHOUSE"):
            Warehouse.open(file, "/log", load_projections())
        assert sorted(path.name for path in folder.iterdir()) == names


def test_loopback_needs_no_entry_in_no_proxy(log_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "intranet.example")
    log = Log.open(log_uri)
    assert log.put("a", b"1")
    assert log.list("")
    assert os.environ["NO_PROXY"].split(",")[0] == "intranet.example"


@pytest.mark.parametrize("value", ["abc", "0", "70000", "-1"])
def test_a_port_that_is_none_is_told(value: str) -> None:
    with pytest.raises(SettingsError, match=f"MISREAD_PORT={value}"):
        LaunchSettings.from_environment({"MISREAD_PORT": value})


def test_a_terminal_that_is_not_utf_8_gets_escapes(tmp_path: Path) -> None:
    missing = tmp_path / "größe"
    done = subprocess.run(
        [sys.executable, "-m", "data_access", "sync", "--log", str(missing)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"gr\\xf6" in done.stderr
