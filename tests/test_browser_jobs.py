"""What goes on in the background, seen in a real browser: replays, and flags of the capture app."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Page,
    expect,
)

from tests.browser import (
    WAIT,
    copy_of,
    heading,
    launched,
    rested,
)
from tests.samples import FLAGGED
from tests.test_serving import LETTER


@pytest.fixture(scope="module")
def addresses(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The dashboard and the capture app, with a slow reader for replays and a sync each second."""
    state = copy_of(demo, tmp_path_factory)
    reader = {"MISREAD_RECOGNIZER": "tests.polarity_reader:read", "SLOW": "0.05"}
    with launched(state, "--capture", **reader, MISREAD_SYNC_SECONDS="1") as served:
        yield served


def test_a_replay_is_cancelled_and_resumed(page: Page, addresses: tuple[str, str]) -> None:
    """Progress, cancellation and results appear without another touch."""
    page.goto(f"{addresses[0]}/replay?environment=prod&version=v1")
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


def test_what_is_flagged_in_the_capture_app_is_on_the_overview(
    page: Page, addresses: tuple[str, str]
) -> None:
    dashboard, capture = addresses
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
        heading(page, "Newest flags")
        rested(page)
        if link.count():
            break
        page.wait_for_timeout(1000)
        page.reload()
    expect(link).to_be_visible()
    expect(page.get_by_text(read.split("\n")[0]).first).to_be_visible()
    assert record and record.startswith(f"{dashboard}/case?")
    page.goto(record)
    heading(page, "Flagged incorrect")
