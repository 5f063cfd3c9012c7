"""The network learns, writes the same with and without its cache, and decodes what it encodes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from recognizer import alphabet, checkpoint
from recognizer.decoding import ctc_beam, judge, read_greedy, read_rescored
from recognizer.model import LineReader, ModelConfig
from recognizer.preprocessing import Preparation
from recognizer.train import CONFIGS, losses, read_columns

torch.set_num_threads(1)  # pictures this small gain nothing from a second one

SMALL = ModelConfig(stem=(8, 12, 16, 24), d_model=64, decoder_layers=2, heads=2, dropout=0.0)


@pytest.fixture
def small() -> LineReader:
    torch.manual_seed(1)
    return LineReader(SMALL).eval()


@given(st.text(alphabet=alphabet.CHARACTERS))
@settings(max_examples=200)
def test_text_survives_encoding(text: str) -> None:
    assert alphabet.decode(alphabet.encode(text)) == text
    assert all(4 <= token < alphabet.SIZE for token in alphabet.encode(text))


@given(st.text())
def test_folded_text_can_be_encoded(text: str) -> None:
    folded = alphabet.fold(text)
    assert alphabet.decode(alphabet.encode(folded)) == folded
    assert alphabet.fold(folded) == folded


def test_folding_keeps_what_a_reader_would_type() -> None:
    assert alphabet.fold("caf\u00e9 \u2013 \u201cna\u00efve\u201d\u2026") == 'cafe - "naive"...'


def test_one_batch_is_learned_by_heart() -> None:
    """Both heads read four noise pictures without an error after a few dozen steps."""
    torch.manual_seed(0)
    model = LineReader(SMALL)
    texts = ["A cat", "by 7!", "Zoe q", "x-ray"]
    tokens = torch.tensor([alphabet.encode(text) for text in texts])
    batch = (torch.rand(4, 1, 40, 64), tokens, torch.tensor([5] * 4))
    config = dataclasses.replace(CONFIGS["v2"], token_noise=0.0, label_smoothing=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    for _ in range(90):
        ctc, entropy = losses(model, batch, config, with_decoder=True)
        optimizer.zero_grad()
        (ctc + entropy).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.encoder.convolutions.train()  # the batch's own statistics, as when it was learned
    columns = model.encoder(batch[0])
    assert [alphabet.decode(row) for row in read_columns(model.encoder.ctc(columns))] == texts
    assert [alphabet.decode(row) for row, _ in read_greedy(model, columns)] == texts


def test_cached_decoding_equals_decoding_of_the_whole_prefix(small: LineReader) -> None:
    columns = torch.randn(3, 30, SMALL.d_model)
    cached, cached_scores = small.decode(columns, 40, cached=True)
    whole, whole_scores = small.decode(columns, 40, cached=False)
    assert torch.equal(cached, whole)
    torch.testing.assert_close(cached_scores, whole_scores, atol=1e-4, rtol=1e-4)


def test_the_cache_agrees_with_teaching(small: LineReader) -> None:
    columns = torch.randn(2, 20, SMALL.d_model)
    tokens = torch.randint(4, alphabet.SIZE, (2, 12))
    at_once = small.decoder(tokens, small.decoder.start(columns))
    cache = small.decoder.start(columns)
    steps = [small.decoder(tokens[:, i : i + 1], cache, start=i) for i in range(12)]
    torch.testing.assert_close(torch.cat(steps, dim=1), at_once, atol=1e-4, rtol=1e-4)


def test_lines_of_a_batch_do_not_see_each_other(small: LineReader) -> None:
    pixels = torch.rand(3, 1, 40, 128)
    together = small.encoder(pixels)
    alone = torch.cat([small.encoder(pixels[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_beam_search_adds_up_the_paths_of_a_reading() -> None:
    """The classic case: the best single path is blank, the most probable reading is "a"."""
    a = alphabet.encode("a")[0]
    probabilities = np.full((2, alphabet.SIZE), 1e-9, np.float32)
    probabilities[:, alphabet.BLANK], probabilities[:, a] = 0.6, 0.4
    assert ctc_beam(np.log(probabilities))[:2] == [(a,), ()]


def test_judging_agrees_with_what_the_decoder_wrote(small: LineReader) -> None:
    columns = torch.randn(1, 24, SMALL.d_model)
    with torch.inference_mode():
        tokens, scores = small.decode(columns, 10)
        reading = tuple(token for token in tokens[0].tolist() if token >= 4)
        ctc, decoder, sure = judge(small, columns, small.encoder.ctc(columns), [reading, ()])
    assert ctc.shape == decoder.shape == (2,)
    count = len(reading)
    np.testing.assert_allclose(np.log(sure[0]), scores[0, :count].numpy(), atol=1e-3)
    assert sure[1] == []


def test_a_rescored_reading_has_a_probability_for_each_character(small: LineReader) -> None:
    for tokens, sure in read_rescored(small, torch.randn(2, 16, SMALL.d_model)):
        assert len(tokens) == len(sure)
        assert all(0 <= value <= 1.0001 for value in sure)


def test_a_model_comes_back_from_its_file(small: LineReader, tmp_path: Path) -> None:
    release = checkpoint.Release("tiny", SMALL, Preparation(fix_polarity=False), "greedy")
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path, release, small.state_dict())
    model, loaded = checkpoint.load(path)
    assert loaded == release
    assert not model.training
    with safe_open(path, framework="pt") as stored:
        assert "release" in stored.metadata()
    pixels = torch.rand(1, 1, 40, 64)
    torch.testing.assert_close(model.encoder(pixels), small.encoder(pixels), atol=0.02, rtol=0.02)
