"""Every page in a narrow window, light and dark, as axe sees it."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
)

from tests.browser import rested

LISTS = ["list", "listitem"]
CHARTS = "[data-testid=stVegaLiteChart]"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "distributions",
        "explore",
        "cases",
        "case",
        "causes",
        "replay",
        "review",
        "roadmap",
        "data",
    ],
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
        complaints: list[str] = []
        narrow.on("console", lambda message: complaints.extend(complaint(message)))
        narrow.goto(f"{address}/{name}")
        narrow.get_by_test_id("stHeading").first.wait_for()
        rested(narrow)
        assert not narrow.get_by_test_id("stException").count()
        if scheme == "light":
            wide = "() => document.documentElement.scrollWidth <= window.innerWidth"
            assert narrow.evaluate(wide), "nothing may stick out at the side"
            assert not barriers(narrow)
        # of charts, test_style compares the colors
        only = {"runOnly": ["color-contrast"]}
        assert not violations(narrow, only, {"exclude": [[CHARTS]]})
        assert not complaints, "no chart and nothing else warns"


def complaint(message: ConsoleMessage) -> list[str]:
    """A warning or an error in the console; not that Streamlit looks below a page's own path for
    what is at the root."""
    is_probe = "/_stcore/" in message.location["url"]
    is_complaint = message.type in ("warning", "error") and not is_probe
    return [message.text] if is_complaint else []


def barriers(page: Page) -> list[tuple[str, str]]:
    """What breaks any rule but that of contrast.

    Not the layers of a brush, to which Vega gives a role and no name; the chart has one. Not the
    lists of Streamlit's own menu, which have the names of groups between their items.
    """
    off = {rule: {"enabled": False} for rule in ("svg-img-alt", "color-contrast", *LISTS)}
    menu = {"exclude": [["[data-testid=stSidebarNav]"]]}
    return violations(page, {"rules": off}) + violations(page, {"runOnly": LISTS}, menu)


def violations(
    page: Page, options: dict[str, Any], context: dict[str, Any] | None = None
) -> list[tuple[str, str]]:
    """What axe calls serious or critical: rules and what breaks them."""
    found = Axe().run(page, context=context, options=options).response["violations"]
    return [
        (violation["id"], node["html"])
        for violation in found
        for node in violation["nodes"]
        if violation["impact"] in ("serious", "critical")
    ]
