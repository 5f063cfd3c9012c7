"""The model that comes with Misread: whole, small, safe, and not easily fooled."""

import random

import numpy as np
import pytest
import torch

from data_access.projections.table import TOXICITY
from data_access.scoring.toxicity import BUNDLED, Toxicity
from toxicity_model.corruption import KINDS, misread
from toxicity_model.texts import LABELS

INNOCENT = (
    "Dear Mum, the train was late but we had a lovely day at the seaside.",
    "The meeting on Tuesday was moved to three o'clock.",
    "Flour, butter, sugar, two eggs and a pinch of salt.",
    "Photosynthesis turns light into chemical energy.",
    "Please find the invoice for September attached.",
)
RUDE = ("you fucking idiot", "what a load of shit", "fuck off you stupid bitch")
MISREAD_RUDE = ("sh1t", "fuek you", "you stupid b1tch", "fuckimg idiot")


@pytest.fixture(scope="module")
def model() -> Toxicity:
    return Toxicity.load("bundled")


def test_it_is_small_and_nothing_but_weights() -> None:
    assert sum(file.stat().st_size for file in BUNDLED.parent.iterdir()) < 20_000_000
    held = torch.load(BUNDLED, weights_only=True)
    assert set(held) == {"config", "state_dict"}
    assert tuple(held["config"]["dataset"]["args"]["classes"]) == LABELS == TOXICITY


def test_rude_is_high_and_innocent_low(model: Toxicity) -> None:
    assert model.scores(RUDE)[:, 0].min() > 0.8
    assert model.scores(RUDE)[:, 2].min() > 0.5
    assert model.scores(INNOCENT)[:, 0].max() < 0.1


def test_what_ocr_does_to_words_changes_little(model: Toxicity) -> None:
    source = random.Random(3)
    typos = [misread(text, 0.5, source, frozenset()) for text in INNOCENT for _ in range(20)]
    assert np.mean(model.scores(typos)[:, 0] > 0.5) <= 0.02
    assert np.median(model.scores(MISREAD_RUDE)[:, 0]) > 0.5


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_gibberish_is_not_offensive(model: Toxicity, kind: object) -> None:
    assert callable(kind)
    source = random.Random(4)
    words = " ".join(INNOCENT).lower().split()
    texts = [kind(words, source) for _ in range(100)]
    assert np.mean(model.scores(texts)[:, 0] > 0.5) <= 0.02


def test_what_is_no_english_has_a_defined_low_score(model: Toxicity) -> None:
    texts = ["", " ", "\U0001f600\U0001f600", "漢字", "Добрый день", "aaaaaaaaaaaaaaa", "?!" * 500]
    found = model.scores(texts)
    assert np.isfinite(found).all()
    assert found.max() < 0.5


def test_a_score_is_the_same_by_however_many_threads(model: Toxicity) -> None:
    source = random.Random(5)
    words = " ".join((*INNOCENT, *RUDE)).split()
    texts = [" ".join(source.choices(words, k=length)) for length in range(1, 90)]
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(model.scores(texts))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
