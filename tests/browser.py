"""The dashboard in a real browser: fixtures and what tests do there.

Where there is no Chromium the tests that need it are left out with a word, but not in CI, where a
missing browser is a failure; see `install_browser`.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    FloatRect,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from tests.install_browser import find_browser
from tests.samples import ROOT

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ENTROPY = "entropy(outputs.output_text)"
WAIT = 30_000  # milliseconds; machines that do other things are slow
expect.set_options(timeout=WAIT)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make run` leaves once the sample is in its S3 server and read; see `copy_of`.

    Made once for all processes that run tests side by side.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "demo"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            folder.mkdir()
            with launched(folder):
                pass
            (folder / "complete").touch()
    return folder


@pytest.fixture(scope="session")
def address(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard on the sample log, as a second `make run` starts it."""
    with launched(copy_of(demo, tmp_path_factory)) as (address, _):
        yield address


def copy_of(demo: Path, factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(demo, factory.mktemp("demo") / "state"))


@contextlib.contextmanager
def launched(state: Path, *arguments: str, **environ: str) -> Iterator[tuple[str, str]]:
    """`launch.py` in a process of its own: addresses of the dashboard and of the capture app."""
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        port, capture_port = one.getsockname()[1], other.getsockname()[1]
    output = (state / "output").open("wb")
    process = subprocess.Popen(
        [sys.executable, "launch.py", *arguments],
        cwd=ROOT,
        env=os.environ
        | {
            "MISREAD_STATE": str(state),
            "MISREAD_SPOOL": str(state / "spool"),
            "MISREAD_PORT": str(port),
            "MISREAD_CAPTURE_PORT": str(capture_port),
        }
        | environ,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    addresses = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{capture_port}"
    try:
        _wait_for(f"{addresses[0]}/_stcore/health", process, state / "output")
        if arguments:
            _wait_for(addresses[1], process, state / "output")
        yield addresses
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            assert process.poll() is None, output.read_text()
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"the dashboard did not start: {output.read_text()}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = find_browser()
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium for the browser tests")
        pytest.skip("no Chromium on this machine: the browser tests are left out")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(WAIT)
    outside: list[str] = []
    context.on(
        "request",
        lambda request: (
            outside.append(request.url)
            if not re.match(r"(https?|wss?)://127\.0\.0\.1|data:|blob:", request.url)
            else None
        ),
    )
    yield context.new_page()
    context.close()
    assert not outside, "the dashboard asks nobody but its own server"


def heading(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", name=text).first).to_be_visible()


def rested(page: Page) -> None:
    """Wait for the end of a run: until then, what was drawn before is still there."""
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning")


def selected_count(page: Page) -> int:
    """How many records the bar at the top says are selected."""
    bar = page.locator(".st-key-bar").get_by_text(re.compile(r"^[\d,.kM]+ of [\d,.kM]+ records?"))
    return int(bar.first.inner_text().split()[0].replace(",", ""))


def settled(page: Page, part: str | Locator) -> FloatRect:
    """Where a part of a chart is, once it is no longer laid out again."""
    rested(page)
    plot = (page.locator(part) if isinstance(part, str) else part).first
    expect(plot).to_be_visible()
    box = None
    while box is None or box != plot.bounding_box():
        box = plot.bounding_box()
        page.wait_for_timeout(300)
    return box


def brush_low_entropy(page: Page, share: float = 0.36) -> None:
    """Drag over the left part of the first histogram, as a person would."""
    box = settled(page, '[data-testid="stVegaLiteChart"] svg .background')
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 3, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * share / 2, y, steps=5)
    page.mouse.move(box["x"] + box["width"] * share, y, steps=5)
    page.mouse.up()
