"""Training while others draw: lines on the device, their variation, larger networks, hands."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageFont

from recognizer import alphabet, checkpoint, hands
from recognizer.augment import Variation, bend, wear
from recognizer.fonts import Face
from recognizer.model import LineReader, ModelConfig
from recognizer.preprocessing import Preparation
from recognizer.stream import Chunk, Lines, begin, column_error_rate, learn, start_from
from recognizer.train import CONFIGS

TINY = ModelConfig(stem=(4, 6, 8, 12), d_model=32, decoder_layers=1, heads=2)
LARGER = dataclasses.replace(TINY, blocks=(1, 2, 3))
STILL = Variation(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def chunk() -> Chunk:
    random = np.random.default_rng(2)
    rows = [(48, "one", "noise"), (60, "two", "noise"), (12, "too narrow", "noise")]
    return random.integers(0, 256, (120, 40), np.uint8).tobytes(), rows


@pytest.fixture
def smaller(tmp_path: Path) -> Path:
    path = tmp_path / "smaller.safetensors"
    release = checkpoint.Release("smaller", TINY, Preparation(), "rescored")
    checkpoint.save(path, release, LineReader(TINY).state_dict())
    return path


def test_drawn_lines_come_back_as_they_were(chunk: Chunk) -> None:
    lines = Lines(40, 130, "cpu")
    lines.add(chunk)
    assert lines.buckets == {64: [0, 1]}, "a line too narrow for its text is left out"
    pixels, widths, tokens, lengths = lines.batch([1, 0], 64)
    drawn = np.frombuffer(chunk[0], np.uint8).reshape(120, 40).T / 255
    np.testing.assert_allclose(pixels[0, 0, :, :60], drawn[:, 48:108], atol=1e-6)
    assert widths.tolist() == [60, 48] and pixels[0, 0, :, 60:].eq(0).all()
    assert alphabet.decode(tokens[1].tolist()) == "one" and lengths.tolist() == [3, 3]
    assert lines.pick(np.random.default_rng(1), 640)[1] == 64
    lines.add(chunk)
    assert len(lines.starts) == 2, "there is no more room"


def test_a_larger_network_begins_as_the_smaller_one(smaller: Path) -> None:
    model = LineReader(LARGER)
    start_from(model, smaller)
    small, _ = checkpoint.load(smaller)
    pixels = torch.rand(2, 1, 40, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model.eval().encoder(pixels), small.encoder(pixels))


def test_a_step_changes_the_network_and_its_average(chunk: Chunk, smaller: Path) -> None:
    config = dataclasses.replace(CONFIGS["v3"], model=LARGER, warmup_steps=1)
    run = begin(config, smaller, 1, "cpu")
    lines = Lines(40, 130, "cpu")
    lines.add(chunk)
    weight = run.model.encoder.read.weight
    before = weight.detach().clone()
    learn(run, weight.square().sum(), config, 0.0)
    assert not torch.equal(before, weight) and not torch.equal(before, run.ema.encoder.read.weight)
    changed = weight.detach().clone()
    learn(run, (weight * torch.nan).sum(), config, 0.0)
    assert torch.equal(changed, weight), "a gradient that is no number changes nothing"
    assert column_error_rate(run.ema, lines, 640) >= 0


def test_variation_without_any_changes_nothing_and_keeps_lines_inside() -> None:
    pixels, widths = torch.rand(3, 1, 40, 128), torch.tensor([60, 90, 100])
    pixels *= torch.arange(128) < widths[:, None, None, None]
    torch.testing.assert_close(bend(pixels, widths, STILL), pixels, atol=1e-4, rtol=0)
    bent = bend(pixels, widths, Variation(shift=0, taller=0, bow=0, climb=0, elastic=0))
    assert (bent.sum(dim=(1, 2, 3)) / pixels.sum(dim=(1, 2, 3))).sub(1).abs().max() < 0.25
    worn = wear(pixels, Variation())
    assert worn.shape == pixels.shape and not torch.equal(worn, pixels)


def test_a_hand_writes_all_of_the_text_from_left_to_right() -> None:
    font = ImageFont.load_default(40)
    assert isinstance(font, ImageFont.FreeTypeFont)
    face = Face(Path("font"), "drawn", "handwriting", unicase=False)
    pieces = hands.write(np.random.default_rng(1), face, "so it goes", 40, lambda *_: font)
    assert "".join(text for text, *_ in pieces) == "soitgoes"
    assert [x for _, x, _, _ in pieces] == sorted(x for _, x, _, _ in pieces)
    joined = hands.write(
        np.random.default_rng(1), dataclasses.replace(face, family="allura"), "so it", 40,
        lambda *_: font,
    )  # fmt: skip
    assert [text for text, *_ in joined] == ["so", "it"]


def test_a_stroke_joins_two_letters() -> None:
    canvas = np.zeros((60, 100), np.float32)
    letter = np.zeros((20, 12), np.float32)
    letter[:, 2:4] = 1
    canvas[20:40, 10:22] = canvas[20:40, 60:72] = letter
    one, other = hands.ends(letter, 20, 10), hands.ends(letter, 20, 60)
    assert one is not None and other is not None
    hands.join(np.random.default_rng(1), canvas, one, other, 30)
    assert canvas[:, 13:62].max(axis=0).min() > 0.5, "there is ink all the way"
    assert hands.ends(np.zeros((4, 4), np.float32), 0, 0) is None
