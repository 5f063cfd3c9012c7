"""How other recognizers are asked: each layout as its documentation has it."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from recognizer.evaluate import (
    MODES,
    cropped_to_ink,
    error_rate,
    in_reading_order,
    interval,
    rapidocr,
    tesseract,
)


def box(left: int, top: int, width: int = 40, height: int = 10) -> list[list[int]]:
    right, bottom = left + width, top + height
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def line() -> Image.Image:
    image = Image.new("L", (300, 64), 230)
    ImageDraw.Draw(image).rectangle((100, 24, 200, 40), fill=20)
    return image


def test_boxes_are_read_from_left_to_right_in_lines() -> None:
    boxes = np.array([box(60, 3), box(5, 30), box(5, 0), box(50, 28)], np.float32)
    assert in_reading_order(boxes, ["two", "three", "one", "four"]) == "one two\nthree four"


def test_a_line_is_cropped_to_its_ink() -> None:
    width, height = cropped_to_ink(line()).size
    assert 101 <= width <= 120
    assert 15 <= height <= 30


def test_rapidocr_recognizes_lines_alone_and_never_turns_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[tuple[int, ...], dict[str, bool]]] = []

    class Engine:
        def __init__(self, params: dict[str, Any]) -> None:
            self.params = params

        def __call__(self, pixels: np.ndarray, **options: bool) -> SimpleNamespace:
            calls.append((pixels.shape, options))
            return SimpleNamespace(
                txts=("b", "a"), boxes=np.array([box(60, 0), box(0, 0)], np.float32)
            )

    module = ModuleType("rapidocr")
    module.RapidOCR = Engine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rapidocr", module)
    read = rapidocr()
    assert read is not None
    assert read([line()], "line") == ["b a"]  # one crop has no boxes to put in order
    assert read([line()], "block") == ["a b"]
    (cropped, alone), (whole, detected) = calls
    assert alone == {"use_det": False, "use_cls": False, "use_rec": True}
    assert detected == {"use_det": True, "use_cls": False, "use_rec": True}
    assert cropped[1] < 150 and whole == (64, 300, 3)


def test_tesseract_is_told_the_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tesseract"
    program.write_text('#!/bin/sh\ncat > /dev/null\necho "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    read = tesseract()
    assert read is not None
    for layout, number in (("line", 7), ("block", 6), ("columns", 3)):
        assert read([line()], layout) == [f"- - --psm {number}\n"]  # type: ignore[arg-type]


def test_modes_name_their_layout() -> None:
    layouts = {mode.name: mode.layout for mode in MODES}
    assert layouts["lines, all kinds"] == "line"
    assert layouts["two columns"] == "columns"
    assert layouts["printed"] == "block"


def test_an_error_rate_counts_edits_per_true_character() -> None:
    assert error_rate([("a  b", "a b"), ("xy", "x"), ("", "")]) == 1 / 4
    pairs = [("cat", "cat"), ("cot", "cat")] * 20
    low, high = interval(pairs)
    assert 0.05 < low < error_rate(pairs) < high < 0.3
    assert interval([("cat", "cat")]) == (0.0, 0.0)
