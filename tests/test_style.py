"""The theme and the colours of charts: what is written and drawn can be read on both grounds."""

import itertools
import re
import tomllib
from typing import Any

import pytest

from pages.parts import charts, palette
from tests.samples import ROOT

CONFIG = ".streamlit/config.toml"
TEXT, MARK = 4.5, 3.0  # contrast that WCAG 2.2 asks for, level AA
FADED = 0.6  # how much of the ink is left in captions and on axes


def theme() -> dict[str, Any]:
    with (ROOT / CONFIG).open("rb") as file:
        settings: dict[str, Any] = tomllib.load(file)["theme"]
    return settings


def channels(colour: str) -> list[float]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def mixed(colour: str, ground: str, opacity: float) -> str:
    pairs = zip(channels(colour), channels(ground), strict=True)
    return "#" + "".join(f"{round(c * opacity + g * (1 - opacity)):02x}" for c, g in pairs)


def luminance(colour: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def grounds(scheme: str) -> list[str]:
    colours = theme()[scheme]
    return [
        part[name]
        for part in (colours, colours["sidebar"])
        for name in ("backgroundColor", "secondaryBackgroundColor")
    ]


def test_the_measure_of_contrast_is_the_standard_one() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_on_every_ground(scheme: str) -> None:
    colours = theme()[scheme]
    for ground in grounds(scheme):
        assert contrast(colours["textColor"], ground) > 7
        assert contrast(mixed(colours["textColor"], ground, FADED), ground) >= TEXT
        assert contrast(colours["linkColor"], ground) >= TEXT
        assert contrast(colours["primaryColor"], ground) >= TEXT


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_stand_out_from_the_grounds_of_both_themes(scheme: str) -> None:
    colours = {
        palette.PRODUCTION,
        palette.BASELINE,
        *palette.FLAGS.values(),
        *palette.MORE_FLAGS,
        *palette.MORE_SOURCES,
    }
    ground = theme()[scheme]["backgroundColor"]
    too_pale = {colour for colour in colours if contrast(colour, ground) < MARK}
    assert not too_pale


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_of_a_badge_can_be_read(scheme: str) -> None:
    colours = theme()[scheme]
    for colour in palette.FLAGS.values():
        ground = mixed(colour, colours["backgroundColor"], palette.BADGE_OPACITY)
        assert contrast(colours["textColor"], ground) >= TEXT


@pytest.mark.parametrize("blind_to", ["red", "green"])
def test_flags_are_told_apart_without_red_or_green(blind_to: str) -> None:
    # Viénot, Brettel and Mollon 1999: what is left of linear RGB
    rows = {
        "red": [(0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)],
        "green": [(0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)],
    }[blind_to]
    seen = {}
    for flag, colour in palette.FLAGS.items():
        linear = [(channel / 255) ** 2.2 for channel in channels(colour)]
        left = [sum(r * v for r, v in zip(row, linear, strict=True)) for row in rows]
        seen[flag] = [255 * max(value, 0) ** (1 / 2.2) for value in left]
    for one, other in itertools.combinations(seen, 2):
        assert sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5 > 40


def test_every_font_of_the_theme_comes_with_the_project() -> None:
    for face in theme()["fontFaces"]:
        assert face["url"].startswith("app/static/"), "no outside host"
        assert (ROOT / face["url"].removeprefix("app/")).is_file()


def test_production_and_the_baseline_look_the_same_on_every_page() -> None:
    assert charts.SOURCES["prod"] == palette.PRODUCTION
    assert charts.SOURCES["test"] == palette.BASELINE
    named = re.compile(r"#[0-9a-fA-F]{6}")
    elsewhere = [
        path.name for path in (ROOT / "pages").rglob("*.py") if named.search(path.read_text())
    ]
    assert sorted(elsewhere) == ["charts.py", "palette.py"], "colours have one home"
