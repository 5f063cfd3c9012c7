import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import launch
from data_access.api import open as open_api
from data_access.embedded import embedded_server, is_available
from data_access.log import Log
from sample import seeding
from tests.samples import OBJECTS, RECORDS, ROOT, SAMPLE, prediction, write

FEW = (
    "predictions/date=2026-08-30/part-000.jsonl",
    "predictions/date=2026-08-12/part-000.parquet",
    "feedback/date=2026-08-29/1316d19141af9057979cbf8eb4.json",
    "images/7c/7c4cdd9eca746245ed77fc309dec7a04cbca2fdb0d5c497725855e04573846e1.png",
)
DEMO_LOG = "s3://misread-demo/handwriting-reader"
DEAD_PROXY = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
}
needs_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Launched:
    """`python launch.py`, as `make run` starts it."""

    def __init__(self, state: Path, *arguments: str, **environ: str) -> None:
        self.port = free_port()
        self.capture_port = free_port()
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "launch.py", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "MISREAD_STATE": str(state),
                "MISREAD_PORT": str(self.port),
                "MISREAD_CAPTURE_PORT": str(self.capture_port),
                "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.descendants: set[int] = set()
        self._printed = ""

    def wait_until_healthy(self) -> float:
        """Seconds from the start to an answer of the dashboard, whose address is then printed."""
        for _ in range(600):
            assert self.process.poll() is None, self.process.communicate()[0]
            try:
                address = f"http://127.0.0.1:{self.port}/_stcore/health"
                with urllib.request.urlopen(address, timeout=5) as answer:
                    assert answer.read() == b"ok"
                seconds = time.monotonic() - self.started
                assert self.process.stdout is not None
                while "Misread is at" not in self._printed:
                    line = self.process.stdout.readline()
                    assert line, self._printed
                    self._printed += line
                self.descendants = descendants(self.process.pid)
                return seconds
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise AssertionError("no dashboard within a minute")

    def stop(self, number: signal.Signals = signal.SIGINT) -> str:
        """What it printed, once it has ended."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        return self._printed + rest


def descendants(pid: int) -> set[int]:
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family - {pid}


@pytest.fixture(autouse=True)
def _no_s3_server_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("AWS_") and name != "AWS_EC2_METADATA_DISABLED":
            monkeypatch.delenv(name)
    yield


@needs_linux
@pytest.mark.skipif(not is_available(), reason="there is no embedded S3 server for this machine")
def test_the_demo_starts_beside_a_dead_proxy_stops_whole_and_keeps_what_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    first = Launched(state)
    days = {datetime.now(UTC).date()}
    first.wait_until_healthy()
    days.add(datetime.now(UTC).date())
    assert len(first.descendants) >= 2  # the S3 server and the dashboard

    beside = Launched(state, "--capture", **DEAD_PROXY)
    assert beside.process.stdout is not None
    lines = []
    for line in beside.process.stdout:
        lines.append(line)
        if "The capture app is at" in line:
            break
    else:
        raise AssertionError("".join(lines))
    assert not any("S3 server" in line for line in lines), "it uses the one that runs"
    assert str(beside.capture_port) in lines[-1]
    beside.stop()
    assert beside.process.returncode == 0
    status = [sys.executable, "-m", "data_access", "status", "--json"]
    environ = {**os.environ, "MISREAD_STATE": str(state)}
    told = subprocess.run(status, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert json.loads(told.stdout)["predictions"] == RECORDS, told.stderr
    printed = first.stop()
    assert f"Misread is at http://127.0.0.1:{first.port}  (Ctrl-C stops it)" in printed
    assert first.process.returncode == 0
    assert "Traceback" not in printed
    assert not any(Path(f"/proc/{pid}").exists() for pid in first.descendants)

    with embedded_server(state / "s3") as server, monkeypatch.context() as patch:
        for name, value in server.environ.items():
            patch.setenv(name, value)
        log = Log.open(DEMO_LOG)
        keys = {row.key for row in log.list("")}
        assert len(keys) == OBJECTS
        newest = max(key for key in keys if key.startswith("predictions/"))
        assert newest.split("/")[1] in {f"date={today - timedelta(days=1)}" for today in days}
        write(log, "predictions/date=2026-08-31/added.json", prediction("added"))

    second = Launched(state, **DEAD_PROXY)
    assert second.wait_until_healthy() < 20
    printed = second.stop(signal.SIGTERM)
    assert "Uploading" not in printed
    assert not any(Path(f"/proc/{pid}").exists() for pid in second.descendants)
    done = subprocess.run(status, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("MISREAD_LOG is not set: ") and "`make run`" in done.stderr

    monkeypatch.setenv("MISREAD_WAREHOUSE", str(state / "demo.duckdb"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    log_and_warehouse = open_api(DEMO_LOG)
    assert len(log_and_warehouse.records()) == RECORDS + 1
    log_and_warehouse.close()


@needs_linux
def test_a_log_of_ones_own_is_shown_without_a_server(folder_log: Log, tmp_path: Path) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    warehouse = tmp_path / "own.duckdb"
    launched = Launched(
        tmp_path / "state", MISREAD_LOG=folder_log.uri, MISREAD_WAREHOUSE=str(warehouse)
    )
    launched.wait_until_healthy()
    assert f"Your log: {folder_log.uri}" in launched.stop()
    assert warehouse.exists()
    assert not (tmp_path / "state" / "s3").exists()


def test_the_days_of_the_sample_are_moved_once(
    folder_log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next day's run adds nothing, also to a log from before days were moved."""
    monkeypatch.setattr(seeding, "files", lambda: {key: SAMPLE / key for key in FEW})
    moved, unmoved = tmp_path / "moved", tmp_path / "unmoved"
    for state in (moved, unmoved):
        state.mkdir()
    launch._seed(folder_log, moved)
    keys = {row.key for row in folder_log.list("")}
    assert len(keys) == len(FEW)
    assert not keys & {key for key in FEW if key.startswith(seeding.EVENTS)}
    monkeypatch.setattr(seeding, "days_until", lambda last: 1_000)
    launch._seed(folder_log, moved)
    assert {row.key for row in folder_log.list("")} == keys

    (tmp_path / "older").mkdir()
    older = Log.open(str(tmp_path / "older"))
    older.put(FEW[0], (SAMPLE / FEW[0]).read_bytes())
    launch._seed(older, unmoved)
    launch._seed(older, unmoved)
    assert {row.key for row in older.list("")} == set(FEW)


def test_what_cannot_be_started_is_told_in_a_sentence(tmp_path: Path) -> None:
    launched = Launched(tmp_path / "state", MISREAD_LOG=str(tmp_path / "nowhere"))
    printed, _ = launched.process.communicate(timeout=60)
    assert launched.process.returncode == 2
    assert printed.splitlines()[-1] == f"There is no folder {tmp_path / 'nowhere'}."
    assert "Traceback" not in printed


@needs_linux
def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "launch.py"],
            cwd=ROOT,
            env={**os.environ, "MISREAD_STATE": str(tmp_path), "MISREAD_PORT": port},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert "MISREAD_PORT" in done.stderr and "Traceback" not in done.stderr
