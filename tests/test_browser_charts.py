"""Charts under the hand: brushes, keys and fingers in a real browser."""

import contextlib
import re

import pytest
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    ViewportSize,
    expect,
)

from data_access import queries
from data_access.api import OpenLog
from data_access.selection import parse_selection
from pages.parts.linked_charts import GUTTER
from pages.parts.palette import PRODUCTION
from tests.browser import (
    WAIT,
    brush_low_entropy,
    heading,
    rested,
    selected_count,
    settled,
)
from tests.samples import SERVED


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
    assert selected_count(page) == chosen
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
