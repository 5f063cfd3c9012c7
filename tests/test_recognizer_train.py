"""Training goes on from its checkpoints, and keeps a log, a curve and weights that can be read."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recognizer import checkpoint
from recognizer.model import ModelConfig
from recognizer.train import CONFIGS, faded, train, train_decoder

TINY = ModelConfig(stem=(4, 6, 8, 12), d_model=32, decoder_layers=1, heads=2)
CONFIG = dataclasses.replace(
    CONFIGS["v1"], model=TINY, batch_columns=1024, short_lines=(), decoder_from=0.0, warmup_steps=2
)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A cache as `recognizer.synthetic` writes it, of noise."""
    folder = tmp_path / "lines"
    folder.mkdir()
    widths = [48, 60, 64, 100, 120, 128]
    random = np.random.default_rng(1)
    random.integers(0, 256, (sum(widths), 40), np.uint8).tofile(folder / "pixels.u8")
    rows = [json.dumps([width, f"line {width}", "noise"]) for width in widths]
    (folder / "lines.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "settings.json").write_text(json.dumps({"height": 40}))
    return folder


def log(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_training_goes_on_where_it_was(
    lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CONFIGS, "v1", CONFIG)
    run = tmp_path / "run"
    more = {"seed": 1, "device": "cpu", "every": 60.0, "learning_rate": None}
    train("v1", run, [lines], lines, samples=40, **more)  # type: ignore[arg-type]
    train("v1", run, [lines], lines, samples=80, **more)  # type: ignore[arg-type]
    first, second = log(run)
    assert 40 <= int(first["lines"]) < 80 <= int(second["lines"])
    assert int(second["step"]) > int(first["step"])
    assert float(second["ctc_loss"]) > 0 and float(second["decoder_loss"]) > 0

    train_decoder("v1", run, [lines], lines, samples=30, **more)  # type: ignore[arg-type]
    train_decoder("v1", run, [lines], lines, samples=60, **more)  # type: ignore[arg-type]
    assert int(log(run)[-1]["lines"]) >= 60 and len(log(run)) == 4
    model, release = checkpoint.load(run / "model.safetensors")
    assert (release.name, release.model) == ("v1", TINY)
    assert not release.preparation.fix_polarity
    assert (run / "log.png").stat().st_size > 1000
    trained = torch.load(run / "checkpoint.pt", weights_only=True)["ema"]
    kept = model.state_dict()["encoder.read.weight"]
    torch.testing.assert_close(kept, trained["encoder.read.weight"], atol=1e-3, rtol=1e-3)


def test_some_lines_are_made_too_faint_to_be_read() -> None:
    pixels = torch.ones(400, 1, 2, 3)
    levels = faded(pixels, 0.25)[:, 0, 0, 0]
    assert 60 < int((levels <= 0.1).sum()) < 140
    assert int((levels == 1).sum()) == int((levels > 0.1).sum())
