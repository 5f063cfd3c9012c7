"""How long pages take while many people look at them.

`python -m benchmarks.load [--sessions N …] [--seconds S] [--records N]`. Each session is a browser
tab without the browser: a websocket to a real server, over which it asks for a page, waits until
the page is whole, reads it for 2 to 5 seconds and clicks on. Selections are its own. An app that
does nothing is clicked in the same way, beside it, for what Streamlit and the sockets cost.
"""

import argparse
import asyncio
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.synthetic import RECORDS, ROOT, open_synthetic
from data_access.projections.table import ENTROPY, IMAGE_MEAN

PAGES = ("", "distributions", "explore", "cases", "causes", "replay", "data")
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
PAUSE = (2.0, 5.0)
TIMEOUT = 120.0
BARE = "import streamlit as st\nst.write('nothing')\n"


@dataclass
class Clicks:
    """What sessions met with. seconds: from a click to the whole page, by page."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def at(self, share: float, page: str | None = None) -> float:
        chosen = self.seconds.values() if page is None else [self.seconds[page]]
        return float(np.quantile([second for each in chosen for second in each], share))

    @property
    def count(self) -> int:
        return sum(map(len, self.seconds.values()))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sessions", type=int, nargs="+", default=[20, 50])
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--records", type=int, default=RECORDS)
    options = arguments.parse_args()
    log = open_synthetic(options.records)
    environment = {
        "MISREAD_LOG": log.settings.log,
        "MISREAD_WAREHOUSE": str(log.settings.warehouse),
        "MISREAD_SYNC_SECONDS": "0",
    }
    log.close()
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{options.records:,} records, {options.seconds:.0f} s each; load before {load}\n")
    print("| app | sessions | reruns | a second | p50, s | p95, s | longest, s | errors | MB |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    by_page = []
    for sessions in options.sessions:
        clicks = _measure("Misread", ROOT / "streamlit_app.py", environment, sessions, options)
        by_page.append((sessions, clicks))
        with tempfile.TemporaryDirectory() as folder:
            bare = Path(folder, "bare.py")
            bare.write_text(BARE)
            _measure("an app that does nothing", bare, {}, sessions, options)
    for sessions, clicks in by_page:
        print(f"\n{sessions} sessions, seconds: ", end="")
        pages = [
            f"{page or 'overview'} {clicks.at(0.5, page):.2f} (p95 {clicks.at(0.95, page):.2f})"
            for page in sorted(clicks.seconds)
        ]
        print(", ".join(pages))


def _measure(
    name: str, app: Path, environment: dict[str, str], sessions: int, options: argparse.Namespace
) -> Clicks:
    """Prints the row of a table."""
    pages = PAGES if environment else ("",)
    with _served(app, environment) as (process, port):
        asyncio.run(_click(port, pages, 1, 0.0))  # the first page of the process
        before = _resident(process)
        started = time.monotonic()
        clicks = asyncio.run(_click(port, pages, sessions, options.seconds))
        took = time.monotonic() - started
        memory = f"{before:,} to {_resident(process):,}"
    for error in dict.fromkeys(clicks.errors):
        print(f"error: {error}", file=sys.stderr)
    print(
        f"| {name} | {sessions} | {clicks.count} | {clicks.count / took:.1f} "
        f"| {clicks.at(0.5):.2f} | {clicks.at(0.95):.2f} | {clicks.at(1.0):.2f} "
        f"| {len(clicks.errors)} | {memory} |",
        flush=True,
    )
    return clicks


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def _served(
    app: Path, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MISREAD_")}
    port = _free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(app), "--server.port", str(port)]
    process = subprocess.Popen(
        [*command, "--server.address", "127.0.0.1"],
        cwd=ROOT, env=kept | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2)
                break
            except OSError:
                time.sleep(0.1)
        yield process, port
    finally:
        process.terminate()
        process.wait()


def _resident(process: subprocess.Popen[bytes]) -> int:
    """Megabytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


async def _click(port: int, pages: Sequence[str], sessions: int, seconds: float) -> Clicks:
    clicks = Clicks()
    until = time.monotonic() + seconds
    await asyncio.gather(*(_session(port, n, pages, until, clicks) for n in range(sessions)))
    return clicks


async def _session(
    port: int, number: int, pages: Sequence[str], until: float, clicks: Clicks
) -> None:
    draw = random.Random(number)
    await asyncio.sleep(draw.uniform(0, min(PAUSE[1], max(0.0, until - time.monotonic()))))
    address = f"127.0.0.1:{port}"
    try:
        async with websockets.connect(
            f"ws://{address}/_stcore/stream",
            max_size=None,
            origin=websockets.Origin(f"http://{address}"),
            subprotocols=[websockets.Subprotocol("streamlit")],
        ) as tab:
            while True:
                page = draw.choice(pages)
                message = BackMsg()
                message.rerun_script.query_string = urllib.parse.urlencode(_selection(draw))
                message.rerun_script.page_name = page
                started = time.monotonic()
                await tab.send(message.SerializeToString())
                clicks.errors += await asyncio.wait_for(_whole_page(tab), TIMEOUT)
                clicks.seconds.setdefault(page, []).append(time.monotonic() - started)
                if time.monotonic() > until:
                    return
                await asyncio.sleep(draw.uniform(*PAUSE))
    except (OSError, TimeoutError, websockets.WebSocketException) as error:
        clicks.errors.append(f"{type(error).__name__}: {error}")


def _selection(draw: random.Random) -> dict[str, str]:
    """As people choose: a third all of production, a third a version or a window, a third values
    that nobody else has chosen.
    """
    chosen = {"environment": "prod"}
    kind = draw.random()
    if kind < 0.15:
        chosen["version"] = draw.choice(VERSIONS)
    elif kind < 0.3:
        month, day = draw.randint(6, 8), draw.randint(1, 30)
        chosen["since"] = f"2026-{month:02}-{day:02}"
    elif kind < 0.5:
        chosen[ENTROPY] = f"..{draw.uniform(2, 5):.3f}"
    elif kind < 0.7:
        chosen[IMAGE_MEAN] = f"{draw.uniform(0, 180):.2f}.."
    return chosen


async def _whole_page(tab: websockets.ClientConnection) -> list[str]:
    """Reads until the script has finished; the exceptions that it shows."""
    errors = []
    while True:
        message = ForwardMsg()
        message.ParseFromString(await tab.recv())
        kind = message.WhichOneof("type")
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            if element.WhichOneof("type") == "exception":
                errors.append(element.exception.message[:200])
        if kind == "script_finished":
            if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                errors.append("the script cannot be compiled")
            if message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return errors


if __name__ == "__main__":
    main()
