"""What `make run` starts: an S3 server with the sample log (unless MISREAD_LOG names one), a sync,
and the dashboard. With `--capture`, the capture app beside it; or that alone, on the log of the
dashboard that runs already. Ctrl-C stops all of it."""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from data_access import api
from data_access.demo import answers, published, served_log
from data_access.embedded import embedded_server, is_available
from data_access.errors import LogError, MisreadError
from data_access.log import Log, create_bucket
from data_access.log.stores import bypass_proxies_on_loopback
from data_access.progress import SyncBars, tolerate_any_encoding
from data_access.settings import LaunchSettings
from sample import seeding

HERE = Path(__file__).parent
SEEDED = "sample.json"
DEMO_LOG = "s3://misread-demo/handwriting-reader"


def main() -> int:
    """Returns the exit code: 0 when stopped by Ctrl-C, 2 where something could not start."""
    tolerate_any_encoding()
    bypass_proxies_on_loopback()
    # SIGINT too: a shell that starts this in the background has it ignored
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--capture", action="store_true", help="run the capture app too")
    capture = parser.parse_args().capture
    try:
        settings = LaunchSettings.from_environment()
        capture_apps = [_capture_app(settings.capture_port)] if capture else []
        if capture:
            _require_port(settings.capture_port, "MISREAD_CAPTURE_PORT")
            if environ := served_log():
                os.environ.update(environ)
                return _serve(capture_apps)
        _require_port(settings.port, "MISREAD_PORT")
        with _log_environment(settings.state) as environ:
            os.environ.update(environ)
            _sync()
            return _serve([_dashboard(settings.port), *capture_apps])
    except MisreadError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0


def _require_port(port: int, variable: str) -> None:
    """Raises MisreadError where something listens there already, such as another dashboard."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise MisreadError(
                f"Something answers at http://127.0.0.1:{port} already: stop it, "
                f"or choose another port with {variable}."
            )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else serves the demo's data meanwhile. Raises MisreadError where somebody does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        with contextlib.suppress(ImportError):  # there is no fcntl on Windows
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise MisreadError(
                    f"Another `make run` serves {folder}: stop it, or set MISREAD_STATE."
                ) from error
        yield


def _stop(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _log_environment(state: Path) -> Iterator[dict[str, str]]:
    """The variables that name the log: the user's own, or the demo's, served while in use."""
    if os.environ.get("MISREAD_LOG"):
        print(f"Your log: {os.environ['MISREAD_LOG']}")
        yield {}
    elif is_available():
        print("The sample log, in an S3 server on this machine (set MISREAD_LOG to see your own).")
        with _alone(state), embedded_server(state / "s3") as server:
            os.environ.update(server.environ)
            create_bucket(DEMO_LOG)
            _seed(Log.open(DEMO_LOG), state)
            environ = {"MISREAD_LOG": DEMO_LOG, "MISREAD_WAREHOUSE": str(state / "demo.duckdb")}
            with published(state, {**environ, **server.environ}):
                yield environ
    else:
        print("The sample log, in a folder (there is no embedded S3 server for this machine).")
        folder = state / "log"
        folder.mkdir(parents=True, exist_ok=True)
        _seed(Log.open(str(folder)), state)
        environ = {
            "MISREAD_LOG": str(folder),
            "MISREAD_WAREHOUSE": str(state / "demo-folder.duckdb"),
        }
        with published(state, environ):
            yield environ


def _seed(log: Log, state: Path) -> None:
    """Add what the demo's log does not have yet of the sample, which ends the day before it was
    first put there.
    """
    present = {row.key for row in log.list("")}
    days = _days_moved(state / SEEDED, present)
    files = {seeding.moved_key(key, days): path for key, path in seeding.files().items()}
    missing = [key for key in files if key not in present]
    for key in tqdm(missing, desc="Uploading the sample log", disable=None if missing else True):
        log.put(key, seeding.moved_body(key, files[key].read_bytes(), days))


def _days_moved(kept: Path, present: Collection[str]) -> int:
    """By how many days the demo's log is later than the sample's files; kept from the first time.

    A log from before this was kept is as the files are.
    """
    if kept.exists():
        return int(json.loads(kept.read_text())["days"])
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    is_new = not any(key.startswith(seeding.EVENTS) for key in present)
    days = seeding.days_until(yesterday) if is_new else 0
    kept.write_text(json.dumps({"days": days}))
    return days


def _sync() -> None:
    """Fill the warehouse; a log that does not answer still leaves what was read before."""
    log = api.open()
    try:
        with SyncBars() as bars:
            log.sync(bars.show)
    except LogError as error:
        print(f"{error} The dashboard shows what was read before.", file=sys.stderr)
    finally:
        log.close()


@dataclass(frozen=True)
class _Server:
    """One program to run, and where it answers once it is there."""

    name: str
    command: list[str]
    address: str
    health: str


def _dashboard(port: int) -> _Server:
    address = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "streamlit", "run", str(HERE / "streamlit_app.py"),
        "--server.address", "127.0.0.1", "--server.port", str(port),
    ]  # fmt: skip
    return _Server("Misread", command, address, f"{address}/_stcore/health")


def _capture_app(port: int) -> _Server:
    address = f"http://127.0.0.1:{port}"
    return _Server(
        "The capture app", [sys.executable, str(HERE / "capture_app.py")], address, address
    )


def _serve(servers: Sequence[_Server]) -> int:
    """Run them until one of them ends or Ctrl-C; returns that one's exit code."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_running(server)) for server in servers]
        for server, process in zip(servers, processes, strict=True):
            while process.poll() is None and not answers(server.health):
                time.sleep(0.2)
            if process.poll() is None:
                print(f"\n  {server.name} is at {server.address}  (Ctrl-C stops it)\n", flush=True)
        while all(process.poll() is None for process in processes):
            time.sleep(0.2)
        return next(process.returncode for process in processes if process.poll() is not None)


@contextlib.contextmanager
def _running(server: _Server) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        server.command, cwd=HERE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()


if __name__ == "__main__":
    sys.exit(main())
