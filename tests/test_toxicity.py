"""Detoxify's scores: the real class, a tiny model, and checkpoints broken in every way."""

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from data_access.errors import ModelError
from data_access.projections.table import TOXICITY
from data_access.scoring.toxicity import (
    PUBLISHED,
    READ_AT_FIRST_TOKEN,
    Toxicity,
    first_token_alone,
    model_name,
)
from tests.checkpoints import write_checkpoint
from tests.samples import ROOT

TEXTS = [
    "the quick brown fox",
    "shit",
    "",
    "   ",
    "the quick brown fox",
    "\U0001f600\U0001f4a9\U0001f600",
    "das ist ein großer Käse, 漢字 и кириллица",
    "a" * 1000,
    "word " * 300,
    "half a character: \ud83d",
    "\0\n\t",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Iterator[Toxicity]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Toxicity.load(str(checkpoint))
    torch.set_num_threads(threads)


def test_scores_are_those_of_detoxify(model: Toxicity) -> None:
    found = model.scores(TEXTS)
    assert found.shape == (len(TEXTS), 6)
    assert found.dtype == np.float32
    assert np.array_equal(found[0], found[4])
    for text, scores in zip(TEXTS, found, strict=True):
        plain = model.detoxify.predict(text.encode(errors="replace").decode())
        assert [plain[name] for name in TOXICITY] == pytest.approx(list(scores), abs=1e-4)


def test_a_batch_changes_nothing(model: Toxicity) -> None:
    source = np.random.default_rng(1)
    texts = [
        " ".join(source.choice(["the", "shit", "fox", "q", "running"], source.integers(0, 60)))
        for _ in range(500)
    ]
    told: list[int] = []
    together = model.scores(texts, told.append)
    assert sum(told) == len(texts)
    apart = np.concatenate([model.scores([text]) for text in texts])
    assert np.abs(together - apart).max() < 1e-4
    assert model.scores([]).shape == (0, 6)


@pytest.mark.parametrize("architecture", sorted(READ_AT_FIRST_TOKEN))
def test_the_head_reads_the_first_token_alone(architecture: str) -> None:
    torch.manual_seed(1)
    kind = getattr(transformers, architecture)
    config = kind.config_class(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.5,
        num_labels=6,
    )
    model = kind(config).eval()
    pieces = torch.randint(2, 50, (4, 9))
    mask = torch.arange(9) < torch.tensor([[9], [7], [5], [2]])
    computed: list[int] = []
    model.base_model.encoder.layer[-1].intermediate.register_forward_hook(
        lambda module, inputs, output: computed.append(output.shape[1])
    )
    with torch.inference_mode():
        whole = model(input_ids=pieces, attention_mask=mask.long())[0]
        with first_token_alone(model):
            alone = model(input_ids=pieces, attention_mask=mask.long())[0]
        after = model(input_ids=pieces, attention_mask=mask.long())[0]
    assert computed == [9, 1, 9]
    assert alone.numpy() == pytest.approx(whole.numpy(), abs=1e-5)
    assert torch.equal(after, whole)


def test_a_text_of_ten_megabytes_is_scored_by_its_beginning(model: Toxicity) -> None:
    long = "the quick brown fox " * 500_000
    assert model.scores([long])[0] == pytest.approx(model.scores([long[:20_000]])[0])


def test_a_model_is_named_by_its_weights(checkpoint: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "other", seed=2)
    assert model_name(str(checkpoint)).startswith("model-")
    assert model_name(str(checkpoint)) == model_name(str(checkpoint.parent))
    assert model_name(str(checkpoint)) != model_name(str(other))
    assert [model_name(name) for name in PUBLISHED] == list(PUBLISHED)


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("executed",)


def test_a_pickle_is_never_run(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    held = torch.load(checkpoint, weights_only=True)
    for name, write in (
        ("plain.ckpt", lambda path: path.write_bytes(pickle.dumps(_Bomb()))),
        ("inside.ckpt", lambda path: torch.save(held | {"config": _Bomb()}, path)),
    ):
        path = tmp_path / name
        write(path)
        with pytest.raises(ModelError, match="was not executed"):
            Toxicity.load(str(path))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_half_a_checkpoint_is_refused(checkpoint: Path, tmp_path: Path, share: float) -> None:
    body = checkpoint.read_bytes()
    half = tmp_path / "half.ckpt"
    half.write_bytes(body[: int(len(body) * share)])
    with pytest.raises(ModelError, match=r"half\.ckpt is (incomplete|not a checkpoint)"):
        Toxicity.load(str(half))


def test_a_checkpoint_without_all_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    whole = write_checkpoint(tmp_path)
    held = torch.load(whole, weights_only=True)
    del held["state_dict"]["classifier.weight"]
    torch.save(held, whole)
    with pytest.raises(ModelError, match=r"1 weights are missing, such as classifier\.weight"):
        Toxicity.load(str(whole))
    torch.save({"state_dict": held["state_dict"]}, whole)
    with pytest.raises(ModelError, match="parts of it are missing"):
        Toxicity.load(str(whole))
    buffer = io.BytesIO()
    torch.save([1, 2], buffer)
    whole.write_bytes(buffer.getvalue())
    with pytest.raises(ModelError, match="parts of it are missing"):
        Toxicity.load(str(whole))


def test_no_model_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No model at .*nowhere.*MISREAD_TOXICITY"):
        Toxicity.load(str(tmp_path / "nowhere"))


def test_weights_that_cannot_be_downloaded_are_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"put original-albert-0e1d6498\.ckpt into .*checkpoints"):
        Toxicity.load("original-small")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_detoxify_it_says_what_to_install(checkpoint: Path) -> None:
    code = (
        "import sys; sys.modules['detoxify'] = None\n"
        "from data_access.scoring.toxicity import Toxicity\n"
        "from data_access.errors import ModelError\n"
        "try:\n"
        f"    Toxicity.load({str(checkpoint)!r})\n"
        "except ModelError as error:\n"
        "    print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "pip install -r requirements.txt" in said.stdout
