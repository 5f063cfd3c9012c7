"""Reviewing in a real browser: a hundred presses, ten a second, are a hundred reviews."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import load_projections
from data_access.warehouse import Warehouse
from tests.browser import heading, launched, rested
from tests.samples import SAMPLE

PRESSES = 100


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sample log that may be written to."""
    return Path(shutil.copytree(SAMPLE, tmp_path_factory.mktemp("reviewed") / "log"))


@pytest.fixture(scope="module")
def own_address(
    log_folder: Path, sample_warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    state = tmp_path_factory.mktemp("state")
    with launched(
        state, MISREAD_LOG=str(log_folder), MISREAD_WAREHOUSE=str(state / "own.duckdb")
    ) as (address, _):
        yield address


def reviews(log_folder: Path, folder: Path) -> list[tuple[str, str, list[str]]]:
    """Record, verdict and failure modes of all of Eve's reviews, in their order."""
    warehouse = Warehouse.open(folder / "read.duckdb", str(log_folder), load_projections())
    try:
        sync(Log.open(str(log_folder)), warehouse, images=False)
        return warehouse.rows(
            "select record_key, verdict, modes from reviews where actor = 'Eve' order by timestamp"
        )
    finally:
        warehouse.close()


def name(page: Page, who: str) -> None:
    page.get_by_placeholder("such as Ada").fill(who)
    page.keyboard.press("Tab")
    rested(page)
    page.locator("h1").first.click()


def test_a_hundred_presses_are_a_hundred_reviews(
    page: Page,
    own_address: str,
    log_folder: Path,
    tmp_path: Path,
) -> None:
    page.goto(f"{own_address}/review?environment=prod")
    heading(page, "Was it read right?")
    name(page, "Eve")
    element = page.locator("#review")
    expect(element.get_by_role("button", name="Read right")).to_be_enabled()
    pressed = []
    for number in range(PRESSES):
        key = element.get_attribute("data-record")
        if not key:  # the next cases are on their way
            expect(element).to_have_attribute("data-record", re.compile("."))
            key = element.get_attribute("data-record")
        page.keyboard.press("1" if number % 3 else "y")
        pressed.append((key, "wrong", ["dark-on-light"]) if number % 3 else (key, "right", []))
        page.wait_for_timeout(100)
    expect(element.locator("[data-part=count]")).to_have_text(f"{PRESSES} reviewed here")
    assert len({key for key, *_ in pressed}) == PRESSES
    assert reviews(log_folder, tmp_path) == pressed
    page.keyboard.press("u")
    expect(element).to_have_attribute("data-record", str(pressed[-1][0]))
    expect(element.locator("[data-part=count]")).to_have_text(f"{PRESSES - 1} reviewed here")
    assert reviews(log_folder, tmp_path) == pressed[:-1]


def test_an_opened_failure_mode_is_in_the_address(page: Page, own_address: str) -> None:
    page.goto(f"{own_address}/roadmap")
    heading(page, "Failure modes")
    rested(page)
    page.get_by_test_id("stMain").get_by_role("button", name="Open").first.click()
    back = page.get_by_role("button", name="All failure modes")
    expect(back).to_be_visible()
    expect(page).to_have_url(re.compile("page.mode=dark-on-light"))
    page.reload()
    expect(back).to_be_visible()
    back.click()
    expect(back).to_be_hidden()
    expect(page).not_to_have_url(re.compile("page.mode"))
