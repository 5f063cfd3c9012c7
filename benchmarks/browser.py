"""What a person waits for in a browser, on the sample log.

`python -m benchmarks.browser [--times K]`. Starts the dashboard as `make run` does, with an empty
state of its own, and drives Chromium: from a click or key to the new content, and until the page
rests; how many runs of the page that took, and how far the layout shifted, then and while each page
opens. Nothing else should run.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.install_browser import find_browser

ROOT = Path(__file__).parent.parent
TIMES = 10
WAIT_SECONDS = 120
SIZE = {"width": 1440, "height": 1000}
MOST_TABS = 60
PAGES = ("", "distributions", "explore", "cases", "case", "causes", "replay", "data")
WATCH = """
([selector, text]) => {
  const app = document.querySelector('[data-testid="stApp"]');
  const seen = window.seen = {start: performance.now(), content: null, rested: null, runs: 0};
  const running = () => app.getAttribute('data-test-script-state') === 'running';
  let was = running();
  const look = () => {
    const now = performance.now();
    if (running() && !was) seen.runs += 1;
    was = running();
    const part = document.querySelector(selector);
    const there = part && part.innerText.includes(text);
    if (seen.content === null && there) seen.content = now - seen.start;
    if (running()) seen.rested = null;
    else if (seen.content !== null && seen.rested === null) seen.rested = now - seen.start;
    requestAnimationFrame(look);
  };
  look();
}
"""
SHIFTS = """
window.shifts = 0;
window.aside = 0;  // the shifts in which the page moved aside for the sidebar
window.moved = {};
const nameOf = node => {
  const element = node?.nodeType === 1 ? node : node?.parentElement;
  const part = element?.closest('[class*="st-key-"], [data-testid]');
  const key = [...part?.classList ?? []].find(name => name.startsWith('st-key-'));
  return key ?? part?.dataset.testid ?? 'page';
};
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) {
    window.shifts += entry.value;
    const wholes = entry.sources.filter(source => source.currentRect.height >= innerHeight * 0.9);
    if (wholes.some(({previousRect, currentRect}) => previousRect.x === 0 && currentRect.x > 0)) {
      window.aside += entry.value;
      continue;
    }
    for (const name of new Set(entry.sources.map(source => nameOf(source.node))))
      window.moved[name] = (window.moved[name] ?? 0) + entry.value;
  }
}).observe({type: 'layout-shift', buffered: true});
"""
MOST_NAMED = 3  # parts of a page that moved


@dataclass(frozen=True)
class Interaction:
    """One thing that a person does, and what shows that it is done.

    path: the page that it begins on. selector, text: the part of the page that says so.
    """

    name: str
    path: str
    act: Callable[[Page], object]
    selector: str
    text: str


def brush(page: Page) -> None:
    box = page.locator('[data-testid="stVegaLiteChart"] svg .background').first.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.02, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=4)
    page.mouse.up()


BAR = ".st-key-bar"
INTERACTIONS = (
    Interaction(
        "page switch",
        "?environment=prod",
        lambda page: page.get_by_role("link", name="Cases", exact=True).first.click(),
        "h1",
        "570 cases",
    ),
    Interaction(
        "chip",
        "cases?environment=prod&version=v1",
        lambda page: page.get_by_role("button", name="version v1").first.click(),
        "h1",
        "570 cases",
    ),
    Interaction("brush", "distributions?environment=prod", brush, BAR, "word entropy"),
    Interaction(
        "next case",
        "case?environment=prod",
        lambda page: page.keyboard.press("ArrowRight"),
        '[data-testid="stMain"]',
        "2 of 570",
    ),
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--times", type=int, default=TIMES)
    times = arguments.parse_args().times
    browser_file = find_browser()
    if browser_file is None:
        raise SystemExit("There is no Chromium: python -m tests.install_browser")
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        began = time.perf_counter()
        with launched(Path(folder)) as address:
            browser = playwright.chromium.launch(
                executable_path=browser_file, args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
            page.add_init_script(SHIFTS)
            page.goto(address)
            page.get_by_role("heading", level=1).wait_for(timeout=WAIT_SECONDS * 1000)
            print(f"medians of {times}; load {load}")
            print(f"from start to the first page: {time.perf_counter() - began:.1f} s")
            rest(page)
            print(f"tab stops to the first filter: {tab_stops(page)}\n")
            print("| interaction | new content, ms | at rest, ms | runs | layout shift |")
            print("|---|--:|--:|--:|--:|")
            for interaction in INTERACTIONS:
                rows = [measured(page, address, interaction) for _ in range(times)]
                content, rested, runs, shift = (median(row) for row in zip(*rows, strict=True))
                numbers = f"{content:.0f} | {rested:.0f} | {runs:g} | {shift:.3f}"
                print(f"| {interaction.name} | {numbers} |")
            print("\n| page | layout shift while it opens | beside the sidebar's | with |")
            print("|---|--:|--:|---|")
            for path in PAGES:
                opened(page, f"{address}/{path}")
                whole, aside = page.evaluate("[window.shifts, window.aside]")
                numbers = f"{whole:.3f} | {whole - aside:.3f}"
                print(f"| {path or 'overview'} | {numbers} | {moved(page)} |")


def measured(
    page: Page, address: str, interaction: Interaction
) -> tuple[float, float, float, float]:
    """Milliseconds to the new content and to rest, runs of the page, and the layout shift."""
    opened(page, f"{address}/{interaction.path}")
    shift = page.evaluate("window.shifts")
    page.evaluate(WATCH, [interaction.selector, interaction.text])
    interaction.act(page)
    page.wait_for_function("window.seen.rested !== null", timeout=WAIT_SECONDS * 1000)
    page.wait_for_timeout(1000)  # a second run would begin by then
    seen: dict[str, Any] = page.evaluate("window.seen")
    moved = page.evaluate("window.shifts") - shift
    return seen["content"], seen["rested"], seen["runs"], moved


def moved(page: Page) -> str:
    """The parts of the page that moved most since it was opened, and the shifts they took part in.

    Parts that move together are in the same shifts. Not of the shift in which the page moves aside
    once Streamlit draws its sidebar, which every app with one has.
    """
    parts: dict[str, float] = page.evaluate("window.moved")
    most = sorted(parts.items(), key=lambda part: -part[1])[:MOST_NAMED]
    return ", ".join(f"{name} {shift:.3f}" for name, shift in most)


def opened(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("heading", level=1).wait_for(timeout=WAIT_SECONDS * 1000)
    rest(page)
    page.wait_for_timeout(1500)  # charts are drawn after the last run


def rest(page: Page) -> None:
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def tab_stops(page: Page) -> int:
    """How often Tab is pressed until the first field or button of the filters has the focus."""
    for count in range(1, MOST_TABS):
        page.keyboard.press("Tab")
        inside = "document.activeElement.closest('[class*=\"st-key-preset\"]') !== null"
        if page.evaluate(inside):
            return count
    return MOST_TABS


@contextmanager
def launched(state: Path) -> Iterator[str]:
    """The dashboard in a process of its own, at this address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {
        "MISREAD_STATE": str(state),
        "MISREAD_SPOOL": str(state / "spool"),
        "MISREAD_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "launch.py"],
        cwd=ROOT,
        env=os.environ | environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


if __name__ == "__main__":
    main()
