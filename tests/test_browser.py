"""The main paths in a real browser, against the dashboard that `make run` starts.

Where there is no Chromium these tests are left out with a word, but not in CI, where a missing
browser is a failure; see `install_browser`.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    FloatRect,
    Locator,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from data_access import queries
from data_access.api import OpenLog
from data_access.selection import Selection, parse_selection
from pages.parts import words
from pages.parts.linked_charts import GUTTER
from pages.parts.palette import PRODUCTION
from sample import seeding
from tests.install_browser import find_browser
from tests.samples import FLAGGED, RECORDS, ROOT, SERVED
from tests.test_serving import LETTER

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
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard on the sample log, started as `make run` starts it."""
    with launched(tmp_path_factory.mktemp("state")) as (address, _):
        yield address


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


def held(page: Page) -> int:
    """How many records the bar at the top says are selected."""
    bar = page.locator(".st-key-bar").get_by_text(re.compile(r"^[\d,.kM]+ of [\d,.kM]+ records?"))
    return int(bar.first.inner_text().split()[0].replace(",", ""))


def test_a_first_deep_link_is_framed(page: Page, address: str) -> None:
    """Must run first: it is about the first session of a server."""
    page.goto(f"{address}/cases?environment=prod&page.number=2")
    heading(page, f"{SERVED} cases")
    expect(page.get_by_text(f"25 to 48 of {SERVED}")).to_be_visible()
    assert held(page) == SERVED


def test_from_the_overview_to_one_misread_image(
    page: Page, address: str, sample_log: OpenLog
) -> None:
    page.goto(address)
    heading(page, "Are users flagging more?")
    page.get_by_role("link", name="Distributions").first.click()
    heading(page, "Production vs. test set")

    brush_low_entropy(page)
    expect(page).to_have_url(re.compile("entropy"))
    chip = page.get_by_role("button", name=re.compile("word entropy <"))
    expect(chip).to_be_visible()
    wanted = parse_selection(page.url, sample_log.warehouse.projections)
    expected = in_brushed_bars(sample_log, wanted)
    assert 0 < expected < SERVED
    page.get_by_role("link", name="Show the").click()

    heading(page, f"{expected} cases")
    assert held(page) == expected
    expect(page.get_by_text(re.compile(rf"^1 to \d+ of {expected}$"))).to_be_visible()
    rested(page)
    expect(page.locator(".misread-meta").first).to_contain_text("word entropy 0")
    page.get_by_role("link", name="Open").first.click()

    expect(page.get_by_text(f"1 of {expected}", exact=True)).to_be_visible()
    expect(page.get_by_text("Model output")).to_be_visible()
    expect(page.get_by_text("lower than all of test").first).to_be_visible()
    first = page.url
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text(f"2 of {expected}", exact=True)).to_be_visible()
    assert page.url != first
    page.get_by_role("link", name="Back to cases").click()
    heading(page, f"{expected} cases")
    expect(page.locator(".st-key-card-opened")).to_be_in_viewport()


def test_the_first_screen_tells_what_went_wrong_why_and_that_it_was_mended(
    page: Page, address: str
) -> None:
    page.goto(address)
    heading(page, "Are users flagging more?")
    main = page.get_by_test_id("stMain")
    for text in (
        "v1 46% → v2 7%",
        "7 by the model, 4 by users",
        "186 of 570",
        re.compile(r"^Inverting fixes \d+ of \d+$"),
    ):
        expect(main.get_by_text(text).first).to_be_visible()
    page.get_by_role("link", name="See them, strangest first").click()
    heading(page, "186 cases")
    page.go_back()
    page.get_by_role("link", name="What separates them").click()
    heading(page, "What separates these cases?")
    expect(main.get_by_text("have a lighter image").first).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="The replay").click()
    heading(page, "What fixes these cases?")
    expect(main.get_by_text(re.compile("^Inverting fixes")).first).to_be_visible()


def test_a_bar_and_a_sparkline_of_the_overview_open_their_records(
    page: Page, address: str, sample_log: OpenLog
) -> None:
    page.goto(f"{address}/?environment=prod&page.measure=counts")
    heading(page, "Are users flagging more?")
    chart = page.get_by_test_id("stVegaLiteChart").nth(1)
    chart.scroll_into_view_if_needed()
    box = settled(page, chart.locator("svg .background"))
    page.mouse.click(box["x"] + box["width"] * 0.06, box["y"] + box["height"] * 0.9)
    records = sample_log.records("environment=prod&flag=incorrect")
    weeks = as_seeded(records["timestamp"]).dt.tz_localize(None).dt.to_period("W")
    flagged, week = int((weeks == weeks.min()).sum()), weeks.min().start_time
    label = f"{flagged} flagged incorrect, week from {week:%-d %b %Y}"
    page.get_by_role("link", name=label).click()
    heading(page, words.count(flagged, "case"))
    days = f"since={week:%Y-%m-%d}&until={week + timedelta(days=6):%Y-%m-%d}"
    expect(page).to_have_url(re.compile(f"{days}&flag=incorrect"))

    page.go_back()
    heading(page, "Are users flagging more?")
    page.get_by_role("link", name="89 of 329").click()
    heading(page, "89 cases")

    page.go_back()
    heading(page, "Largest changes from the 28 days before")
    rested(page)
    page.get_by_test_id("stVegaLiteChart").nth(2).locator("svg").click()
    page.get_by_role("link", name=re.compile(r"Cases of .* 20\d\d")).click()
    heading(page, re.compile(r"^\d+ cases?$"))
    expect(page).to_have_url(re.compile("page.sort=outputs.confidence"))


def test_from_a_bump_to_its_proof(page: Page, address: str, browser: Browser) -> None:
    """The way of docs/investigation.md: brush, causes, replay, and the link to what was found."""
    since = as_seeded(pd.Series([pd.Timestamp("2026-08-03")])).iloc[0]
    page.goto(f"{address}/distributions?environment=prod&version=v1&since={since:%Y-%m-%d}")
    heading(page, "Production vs. test set")
    brush_low_entropy(page, 0.47)
    page.get_by_role("link", name="What separates them?").click()

    heading(page, "What separates these cases?")
    cases = held(page)
    first = page.get_by_test_id("stMain").get_by_text(re.compile(r"^\d+ of \d+ .* of test, "))
    expect(first.first).to_contain_text(re.compile("image mean|dark on light|polarity"))
    page.get_by_role("link", name="Replay these cases").click()

    heading(page, "What fixes these cases?")
    assert held(page) == cases
    verdict = page.get_by_test_id("stMain").get_by_text(re.compile("outside the range of test"))
    expect(verdict.first).to_have_text(re.compile(r"^Inverting fixes .*the unchanged image 0\."))
    said = verdict.first.inner_text()
    with browser.new_context() as colleague:
        other = colleague.new_page()
        other.goto(page.url)
        heading(other, "What fixes these cases?")
        assert held(other) == cases
        expect(other.get_by_text(said, exact=True)).to_be_visible()


def test_a_replay_is_cancelled_and_resumed(page: Page, tmp_path: Path) -> None:
    """Progress, cancellation and results appear without another touch."""
    reader = {"MISREAD_RECOGNIZER": "tests.polarity_reader:read", "SLOW": "0.05"}
    with launched(tmp_path, **reader) as (address, _):
        page.goto(f"{address}/replay?environment=prod&version=v1")
        page.get_by_role("button", name=re.compile(r"^Replay \d+ images")).click(timeout=4 * WAIT)
        expect(page.get_by_text(re.compile(r"^Reading images again … "))).to_be_visible(
            timeout=4 * WAIT
        )
        page.get_by_test_id("stMain").get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Cancelled. What was done so far is kept.")).to_be_visible()
        page.get_by_role("button", name=re.compile(r"^Replay .*images$")).click()
        expect(page.get_by_text(re.compile(r"^Of \d+ cases read again"))).to_be_visible(
            timeout=4 * WAIT
        )
        page.get_by_test_id("stMain").get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Cancelled. What was done so far is kept.")).to_be_visible()


def brush_low_entropy(page: Page, share: float = 0.36) -> None:
    """Drag over the left part of the first histogram, as a person would."""
    box = settled(page, '[data-testid="stVegaLiteChart"] svg .background')
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 3, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * share / 2, y, steps=5)
    page.mouse.move(box["x"] + box["width"] * share, y, steps=5)
    page.mouse.up()


def test_a_brush_holds_the_page_still(page: Page, address: str) -> None:
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text))
    page.goto(f"{address}/distributions?environment=prod")
    heading(page, "Production vs. test set")
    settled(page, '[data-testid="stVegaLiteChart"] svg .background')
    page.evaluate(
        """() => {
            window.shift = 0;
            new PerformanceObserver(list => list.getEntries().forEach(
                entry => { window.shift += entry.value }
            )).observe({type: "layout-shift"});
        }"""
    )
    charts = page.get_by_test_id("stVegaLiteChart")
    drawn = charts.count()
    first = charts.first.element_handle()
    brush_low_entropy(page)
    expect(page.get_by_text("filtered: < 2")).to_be_visible()
    rested(page)
    assert charts.count() == drawn
    assert first.evaluate("chart => chart.isConnected"), "the chart that is brushed stays"
    page.locator(".st-key-bar").get_by_role("button", name="word entropy").click()
    expect(page.get_by_text("filtered: < 2")).to_be_hidden()
    rested(page)
    assert page.evaluate("window.shift") < 0.1
    assert not [said for said in warnings if "Infinite extent" in said]


def in_brushed_bars(log: OpenLog, wanted: Selection) -> int:
    """The sum of the bars inside the range, of the histogram as it was before the brush."""
    brushed = next(r for r in wanted.ranges if r.name == ENTROPY)
    before = wanted.without(ENTROPY)
    test = Selection(environment=("test",))
    pair = queries.histogram_pair(log.warehouse, before, test, ENTROPY)
    assert pair is not None and brushed.low is None and brushed.high is not None
    assert brushed.high in pair.bins.edges
    return int(pair.counts[: pair.bins.edges.index(brushed.high)].sum())


def choose(page: Page, label: str, option: str) -> None:
    pick(page, page.get_by_test_id("stSelectbox").filter(has_text=label).locator("input"), option)


def pick(page: Page, menu: Locator, option: str) -> None:
    """Choose from a menu, which a run of the page may close again."""
    offered = page.get_by_role("option", name=option, exact=True)
    rested(page)
    for _ in range(5):
        menu.click()
        with contextlib.suppress(AssertionError):
            expect(offered).to_be_visible(timeout=3_000)
            break
    offered.click()


def test_a_pasted_link_shows_the_same_numbers(page: Page, address: str, browser: Browser) -> None:
    page.goto(f"{address}/distributions?environment=prod&{ENTROPY}=..1.6&images=once")
    heading(page, "Production vs. test set")
    mine = held(page)
    page.get_by_text("filtered: < 1.6").first.wait_for()
    address_shown = page.url
    page.get_by_role("link", name="Overview").first.click()
    heading(page, "Are users flagging more?")
    assert held(page) == mine, "the selection goes along from page to page"
    with browser.new_context() as colleague:
        other = colleague.new_page()
        other.goto(address_shown)
        heading(other, "Production vs. test set")
        assert held(other) == mine


def test_filters_in_the_sidebar(page: Page, address: str) -> None:
    page.goto(f"{address}/cases")
    heading(page, f"{SERVED} cases")
    page.locator(".st-key-presets").get_by_role("button", name="dark on light").click()
    chips = page.locator(".st-key-bar")
    expect(chips.get_by_role("button", name="dark on light")).to_be_visible()
    assert 0 < held(page) < SERVED
    page.get_by_role("button", name="Reset").click()
    heading(page, f"{SERVED} cases")
    expect(page.get_by_role("button", name="Reset")).to_be_hidden()
    chips.get_by_role("button", name="prod").click()
    heading(page, f"{RECORDS} cases")
    page.keyboard.press("/")
    expect(page.get_by_role("textbox", name="Search", exact=True)).to_be_focused()
    page.keyboard.insert_text("the")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="outputs contain “the”").click()
    expect(chips.get_by_role("button", name="output contains “the”")).to_be_visible()


def test_a_saved_selection_is_everybodys(page: Page, address: str, browser: Browser) -> None:
    page.goto(f"{address}/cases?environment=prod&version=v1")
    heading(page, re.compile("cases$"))
    rested(page)
    page.get_by_text("Saved selections").click()
    page.get_by_label("Save this selection as").fill("The old version")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    with browser.new_context(viewport={"width": 1440, "height": 1000}) as context:
        colleague = context.new_page()
        colleague.goto(f"{address}/cases?environment=prod&version=v2")
        heading(colleague, re.compile("cases$"))
        rested(colleague)
        colleague.get_by_text("Saved selections").click()
        pick(colleague, colleague.get_by_placeholder("Choose one"), "The old version")
        saved = colleague.locator(".st-key-saved")
        compare, remove = (
            saved.get_by_role("button", name=re.compile(f"^{name}"))
            for name in ("Compare", "Delete")
        )
        tops = [box["y"] for button in (compare, remove) if (box := button.bounding_box())]
        assert abs(tops[0] - tops[1]) < 10, "the buttons stand in one row"
        compare.click()
        expect(colleague).to_have_url(re.compile("baseline=.*version"))
        colleague.get_by_role("link", name="Distributions").first.click()
        heading(colleague, "Production vs. “The old version”")
        remove.click()
        colleague.get_by_role("button", name="Delete it").click()
        expect(colleague.get_by_text("Deleted.")).to_be_visible()
        heading(colleague, "Production vs. prod · version v1")
    page.reload()
    heading(page, re.compile("cases$"))
    expect(page.get_by_text("Saved selections", exact=True)).to_be_visible()


def test_the_tools_of_a_case(page: Page, address: str) -> None:
    page.goto(f"{address}/case?environment=prod&flag=incorrect")
    heading(page, "Flagged incorrect")
    image = page.get_by_test_id("stImage").locator("img").first
    expect(image).to_be_visible()
    before = image.get_attribute("src")
    page.get_by_role("button", name="Invert").click()
    expect(image).not_to_have_attribute("src", before or "")
    page.get_by_text("Pixel histogram").click()
    expect(page.get_by_text("grey level, 0 black to 255 white").first).to_be_visible()

    for focused in ("Invert", "Keys", "Zoom"):  # wherever the focus is, but in a field
        rested(page)
        page.get_by_role("button", name=focused).focus()
        place = page.get_by_text(re.compile(r"^\d+ of \d+$")).inner_text()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_text(place, exact=True)).to_be_hidden()
    rested(page)
    page.get_by_role("button", name="Link").click()
    shown = re.escape(page.url.partition("page.record=")[2].partition("&")[0])
    expect(page.get_by_text(re.compile(f"page.record={shown}"))).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_text("Next case")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    frame = page.get_by_role("region", name="The image at 200%")
    expect(frame).to_be_visible()
    assert frame.evaluate("frame => frame.scrollWidth > 1.9 * frame.clientWidth"), "it scrolls"


def test_a_brush_filters_the_other_histograms_without_the_server(
    page: Page, address: str, browser: Browser, sample_log: OpenLog
) -> None:
    page.goto(f"{address}/explore")
    heading(page, f"{SERVED} cases in these bars")
    expect(live(page)).to_contain_text(f"{SERVED} of {SERVED} records")
    before = drawn_bars(page)
    drag(page, 1, 0.1, 0.4)
    expect(live(page)).not_to_contain_text(f"{SERVED} of")
    page.wait_for_timeout(1000)  # longer than Streamlit waits before it reports what is selected
    chosen, during = live_count(page), drawn_bars(page)
    assert 0 < chosen < SERVED
    assert all(was != now for was, now in zip(before[1:], during[1:], strict=True))
    heading(page, f"{SERVED} cases in these bars")
    assert "entropy" not in page.url, "nothing was asked of the server yet"

    page.mouse.up()
    heading(page, f"{chosen} cases in these bars")
    assert drawn_bars(page) == during, "the release changes nothing in the chart"
    assert held(page) == chosen
    wanted = parse_selection(page.url, sample_log.warehouse.projections)
    assert queries.coverage(sample_log.warehouse, wanted).predictions == chosen

    page.locator('.concat_4_layer_2_marks path[aria-label*="flag: incorrect"]').click()
    expect(live(page)).not_to_contain_text(f"{chosen} of")
    both = live_count(page)
    heading(page, f"{both} cases in these bars")
    assert "flag=incorrect" in page.url
    with browser.new_context(viewport={"width": 1440, "height": 1000}) as context:
        colleague = context.new_page()
        colleague.goto(page.url)
        heading(colleague, f"{both} cases in these bars")
        expect(live(colleague)).to_contain_text(f"{both} of {SERVED} records")
        assert drawn_bars(colleague) == drawn_bars(page)


def test_the_bars_counted_in_the_browser_are_those_listed(page: Page, address: str) -> None:
    """Drags to and fro, past the ends, and over the bar of the records without a value."""
    errors = "character_error_rate(outputs.output_text)"
    page.goto(f"{address}/explore?environment=prod&page.axes={errors}")
    heading(page, f"{SERVED} cases in these bars")
    for start, end in ((0.02, 0.03), (0.5, 0.2), (0.85, 0.999), (0.97, 0.985), (-0.02, 1.0)):
        drag(page, 1, start, end)
        page.mouse.up()
        agreed(page)
    page.mouse.dblclick(*middle(page, 1))
    heading(page, f"{SERVED} cases in these bars")


def test_keys_alone_brush(page: Page, address: str) -> None:
    page.goto(f"{address}/explore")
    heading(page, f"{SERVED} cases in these bars")
    slider = page.get_by_test_id("stMain").get_by_role("slider").nth(1)
    slider.focus()
    for _ in range(8):  # one focus: a slider is not drawn anew under the hands
        before = slider.get_attribute("aria-valuenow") or ""
        page.keyboard.press("ArrowLeft")
        expect(slider).not_to_have_attribute("aria-valuenow", before)
        rested(page)
    expect(page).to_have_url(re.compile("entropy.*=\\.\\."))
    expect(page.get_by_role("heading", name=f"{SERVED} cases in")).to_be_hidden()
    expect(live(page)).to_have_count(1)
    expect(live(page)).not_to_contain_text(f"{SERVED} of")
    agreed(page)


def agreed(page: Page) -> None:
    """Wait until the chart and the cases below it count the same records."""
    rested(page)
    for _ in range(WAIT // 100):
        if page.get_by_role("heading", name=re.compile(rf"^{live_count(page)} cases? in")).count():
            return
        page.wait_for_timeout(100)
    pytest.fail("the chart counts other records than the cases below")


def live(page: Page) -> Locator:
    """What the linked histograms say while they are brushed."""
    return page.locator(".stVegaLiteChart svg text", has_text="records are in the selected bars")


def live_count(page: Page) -> int:
    return int((live(page).text_content() or "").split()[0].replace(",", ""))


def drawn_bars(page: Page) -> list[list[list[str]]]:
    """Shape and opacity of each blue bar, for each part of the linked histograms."""
    found: list[list[list[str]]] = page.evaluate(
        """blue => [1, 2, 3, 4].map(k => [...document.querySelectorAll(
            `.concat_${k}_group path[aria-roledescription=bar][stroke="${blue}"]`
        )].map(bar => [bar.getAttribute("d"), bar.getAttribute("transform"),
                       bar.getAttribute("fill-opacity")]).sort())""",
        PRODUCTION,
    )
    assert all(found)
    return found


def middle(page: Page, part: int) -> tuple[float, float]:
    box = settled(page, f".concat_{part}_group .background")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, part: int, start: float, end: float) -> None:
    """Drag over a share of a linked histogram's bars, and hold the button."""
    box = settled(page, f".concat_{part}_group .background")
    left, width = box["x"] + GUTTER, box["width"] - GUTTER
    y = box["y"] + box["height"] / 2
    page.mouse.move(left + width * start, y)
    page.mouse.down()
    page.mouse.move(left + width * (start + end) / 2, y, steps=5)
    page.mouse.move(left + width * end, y, steps=5)


def as_seeded(times: pd.Series) -> pd.Series:
    """Times of the sample as `make run` moves them: to end yesterday."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return times + timedelta(days=seeding.days_until(yesterday))


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


@pytest.mark.parametrize(
    "name", ["", "distributions", "explore", "cases", "case", "causes", "replay", "data"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_narrow_window_and_can_be_used_by_all(
    browser: Browser, address: str, name: str, scheme: str
) -> None:
    with browser.new_context(
        viewport={"width": 800, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    ) as context:
        narrow = context.new_page()
        said: list[str] = []
        narrow.on("console", lambda message: said.extend(complaints(message)))
        narrow.goto(f"{address}/{name}")
        narrow.get_by_test_id("stHeading").first.wait_for()
        rested(narrow)
        assert not narrow.get_by_test_id("stException").count()
        wide = "() => document.documentElement.scrollWidth <= window.innerWidth"
        assert narrow.evaluate(wide), "nothing may stick out at the side"
        assert not barriers(narrow)
        assert not said, "no chart and nothing else warns"


def complaints(message: ConsoleMessage) -> list[str]:
    """A warning or an error in the console; not that Streamlit looks below a page's own path for
    what is at the root."""
    asked = "/_stcore/" in message.location["url"]
    return [message.text] if message.type in ("warning", "error") and not asked else []


def barriers(page: Page) -> list[tuple[str, str]]:
    """What axe calls serious or critical: rules and what breaks them.

    Not the layers of a brush, to which Vega gives a role and no name; the chart has one. Not the
    lists of Streamlit's own menu, which have the names of groups between their items.
    """
    lists = ["list", "listitem"]
    off = {rule: {"enabled": False} for rule in ("svg-img-alt", *lists)}
    menu = {"exclude": [["[data-testid=stSidebarNav]"]]}
    runs = (
        Axe().run(page, options={"rules": off}),
        Axe().run(page, context=menu, options={"runOnly": lists}),
    )
    return [
        (violation["id"], node["html"])
        for run in runs
        for violation in run.response["violations"]
        for node in violation["nodes"]
        if violation["impact"] in ("serious", "critical")
    ]


def test_what_is_flagged_in_the_capture_app_is_on_the_overview(page: Page, tmp_path: Path) -> None:
    with launched(tmp_path, "--capture", MISREAD_SYNC_SECONDS="1") as (dashboard, capture):
        page.goto(capture)
        page.locator("input[type=file]").first.set_input_files(LETTER)
        page.get_by_role("button", name="Read the text").first.click()
        expect(page.get_by_label("What it read")).not_to_have_value("")
        read = page.get_by_label("What it read").input_value()
        record = page.get_by_role("link", name="Open the record").get_attribute("href")
        page.get_by_label("Comment (optional)").fill("seen in <b>bold</b>")
        page.get_by_role("button", name="Flag as incorrect").click()
        expect(page.get_by_role("button", name="Flagged as incorrect")).to_be_disabled()

        page.goto(dashboard)
        link = page.get_by_role("link", name=f"All {FLAGGED + 1} flagged records")
        for _ in range(20):  # a flag pressed there is here at the next sync
            with contextlib.suppress(AssertionError):
                expect(link).to_be_visible(timeout=3_000)
                break
            page.reload()
        expect(link).to_be_visible()
        expect(page.get_by_text(read.split("\n")[0]).first).to_be_visible()
        assert record and record.startswith(f"{dashboard}/case?")
        page.goto(record)
        heading(page, "Flagged incorrect")


def swipe(page: Page, chart: Locator, across: float, up: float) -> None:
    """A finger over the middle of a chart; pixels."""
    chart.evaluate("element => element.scrollIntoView({block: 'center'})")
    box = settled(page, chart)
    x, y = box["x"] + box["width"] / 2 + across / 2, box["y"] + min(box["height"] / 2, 110)
    finger = page.context.new_cdp_session(page)
    for step in range(13):
        points = [{"x": x - across * step / 12, "y": y - up * step / 12}]
        kind = "touchMove" if step else "touchStart"
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_on_a_phone_a_swipe_scrolls_and_the_menu_closes(browser: Browser, address: str) -> None:
    phone = ViewportSize(width=390, height=800)
    agent = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/128.0 Mobile Safari/537.36"
    with browser.new_context(
        viewport=phone, has_touch=True, is_mobile=True, user_agent=agent
    ) as context:
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.goto(f"{address}/distributions")
        heading(page, "Production vs. test set")
        rested(page)
        chart = page.get_by_test_id("stVegaLiteChart").first
        settled(page, chart.locator("svg .background"))
        before, main = page.url, page.get_by_test_id("stMain")
        swipe(page, chart, 150, 20)
        swipe(page, chart, 0, 200)
        rested(page)
        page.wait_for_function("main => main.scrollTop > 50", arg=main.element_handle())
        assert page.url == before, "a swipe filters nothing"
        page.get_by_text("Drag over charts with a finger").tap()
        for _ in range(10):  # the chart is drawn again some time after the switch
            settled(page, chart.locator("svg .background"))
            swipe(page, chart, 120, 0)
            with contextlib.suppress(AssertionError):
                expect(page).to_have_url(re.compile("entropy"), timeout=3_000)
                break
        expect(page).to_have_url(re.compile("entropy"))
        page.get_by_test_id("stExpandSidebarButton").tap()
        page.get_by_test_id("stSidebar").get_by_role("link", name="Cases").tap()
        heading(page, re.compile("cases$"))
        expect(page.get_by_test_id("stExpandSidebarButton")).to_be_visible()
        assert main.evaluate("element => element.scrollWidth") <= phone["width"]
