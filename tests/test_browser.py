"""The main paths in a real browser, against the dashboard that `make run` starts."""

import contextlib
import re
from datetime import UTC, datetime, timedelta

import pandas as pd
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    expect,
)

from data_access import queries
from data_access.api import OpenLog
from data_access.selection import Selection, parse_selection
from pages.parts import words
from sample import seeding
from tests.browser import (
    ENTROPY,
    brush_low_entropy,
    heading,
    rested,
    selected_count,
    settled,
)
from tests.samples import RECORDS, SERVED


def test_a_first_deep_link_is_framed(page: Page, address: str) -> None:
    """Must run first: it is about the first session of a server."""
    page.goto(f"{address}/cases?environment=prod&page.number=2")
    heading(page, f"{SERVED} cases")
    expect(page.get_by_text(f"25 to 48 of {SERVED}")).to_be_visible()
    assert selected_count(page) == SERVED


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
    assert selected_count(page) == expected
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
    cases = selected_count(page)
    first = page.get_by_test_id("stMain").get_by_text(re.compile(r"^\d+ of \d+ .* of test, "))
    expect(first.first).to_contain_text(re.compile("image mean|dark on light|polarity"))
    page.get_by_role("link", name="Replay these cases").click()

    heading(page, "What fixes these cases?")
    assert selected_count(page) == cases
    verdict = page.get_by_test_id("stMain").get_by_text(re.compile("outside the range of test"))
    expect(verdict.first).to_have_text(re.compile(r"^Inverting fixes .*the unchanged image 0\."))
    said = verdict.first.inner_text()
    with browser.new_context() as colleague:
        other = colleague.new_page()
        other.goto(page.url)
        heading(other, "What fixes these cases?")
        assert selected_count(other) == cases
        expect(other.get_by_text(said, exact=True)).to_be_visible()


def in_brushed_bars(log: OpenLog, wanted: Selection) -> int:
    """The sum of the bars inside the range, of the histogram as it was before the brush."""
    brushed = next(r for r in wanted.ranges if r.name == ENTROPY)
    before = wanted.without(ENTROPY)
    test = Selection(environment=("test",))
    pair = queries.histogram_pair(log.warehouse, before, test, ENTROPY)
    assert pair is not None and brushed.low is None and brushed.high is not None
    assert brushed.high in pair.bins.edges
    return int(pair.counts[: pair.bins.edges.index(brushed.high)].sum())


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
    mine = selected_count(page)
    page.get_by_text("filtered: < 1.6").first.wait_for()
    address_shown = page.url
    page.get_by_role("link", name="Overview").first.click()
    heading(page, "Are users flagging more?")
    assert selected_count(page) == mine, "the selection goes along from page to page"
    with browser.new_context() as colleague:
        other = colleague.new_page()
        other.goto(address_shown)
        heading(other, "Production vs. test set")
        assert selected_count(other) == mine


def test_filters_in_the_sidebar(page: Page, address: str) -> None:
    page.goto(f"{address}/cases")
    heading(page, f"{SERVED} cases")
    page.locator(".st-key-presets").get_by_role("button", name="dark on light").click()
    chips = page.locator(".st-key-bar")
    expect(chips.get_by_role("button", name="dark on light")).to_be_visible()
    assert 0 < selected_count(page) < SERVED
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


SAVED = re.compile("^Saved selections")  # and how many


def test_a_saved_selection_is_everybodys(page: Page, address: str, browser: Browser) -> None:
    page.goto(f"{address}/cases?environment=prod&version=v1")
    heading(page, re.compile("cases$"))
    rested(page)
    page.get_by_text(SAVED).click()
    page.get_by_label("Save this selection as").fill("The old version")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    with browser.new_context(viewport={"width": 1440, "height": 1000}) as context:
        colleague = context.new_page()
        colleague.goto(f"{address}/cases?environment=prod&version=v2")
        heading(colleague, re.compile("cases$"))
        rested(colleague)
        colleague.get_by_text(SAVED).click()
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


def as_seeded(times: pd.Series) -> pd.Series:
    """Times of the sample as `make run` moves them: to end yesterday."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return times + timedelta(days=seeding.days_until(yesterday))
