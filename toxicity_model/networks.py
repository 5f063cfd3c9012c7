"""The networks: a pruned tokenizer, the teacher, its student, their scores, and the export."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import (
    AutoTokenizer,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
)

from toxicity_model.texts import LABELS

ARCHITECTURE = "BertForSequenceClassification"


def prune(minilm: Path, corpus: Sequence[str], count: int, folder: Path) -> np.ndarray:
    """A tokenizer of the `count` commonest pieces into `folder`; returns their old numbers."""
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    counts: Counter[int] = Counter()
    for start in range(0, len(corpus), 1000):
        counts.update(
            piece
            for row in tokenizer(list(corpus[start : start + 1000]), truncation=False)["input_ids"]
            for piece in row
        )
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_tokens)
    signs = {
        piece
        for piece in pieces
        if len(piece.removeprefix("##")) == 1 and piece.removeprefix("##").isascii()
    }
    common = [pieces[number] for number, _ in counts.most_common()]
    chosen = list(dict.fromkeys([*sorted(special), *sorted(signs), *common]))[:count]
    kept = sorted(chosen, key=lambda piece: (piece != tokenizer.pad_token, piece))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in kept))
    numbers: np.ndarray = np.array(tokenizer.convert_tokens_to_ids(kept))
    return numbers


def load_tokenizer(folder: Path) -> Any:
    return BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True)


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of pieces and the mask of those that are there, both (B, T)."""
    longest = max(map(len, rows))
    pieces = torch.zeros(len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        pieces[number, : len(row)] = torch.tensor(row)
    mask = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in rows])[:, None]
    return pieces, mask.long()


def first_teacher(minilm: Path, numbers: np.ndarray) -> BertForSequenceClassification:
    """MiniLM with the embeddings of the kept pieces and a new head of six labels."""
    model: BertForSequenceClassification = BertForSequenceClassification.from_pretrained(
        minilm, num_labels=len(LABELS), dtype=torch.float32
    )
    kept = model.bert.embeddings.word_embeddings.weight.detach()[torch.from_numpy(numbers)]
    model.resize_token_embeddings(len(numbers))
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.copy_(kept)
    model.config.id2label = dict(enumerate(LABELS))
    model.config.label2id = {label: number for number, label in enumerate(LABELS)}
    return model


def small_student(
    teacher: BertForSequenceClassification, layers: Sequence[int]
) -> BertForSequenceClassification:
    """A model of some of the teacher's layers, with its weights."""
    config = type(teacher.config)(**teacher.config.to_dict())
    config.num_hidden_layers = len(layers)
    student = BertForSequenceClassification(config)
    state = {
        name: value
        for name, value in teacher.state_dict().items()
        if not name.startswith("bert.encoder.")
    }
    for number, layer in enumerate(layers):
        inner = teacher.bert.encoder.layer[layer].state_dict()
        state |= {f"bert.encoder.layer.{number}.{name}": value for name, value in inner.items()}
    student.load_state_dict(state)
    return student


@torch.inference_mode()
def score(
    model: BertForSequenceClassification, tokenizer: Any, texts: Sequence[str], max_tokens: int
) -> np.ndarray:
    """Probabilities (n, 6)."""
    model.eval()  # type: ignore[no-untyped-call]
    rows = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    probabilities = np.empty((len(rows), len(LABELS)), np.float32)
    for start in range(0, len(order), 64):
        batch = order[start : start + 64]
        pieces, mask = padded([rows[number] for number in batch])
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=pieces, attention_mask=mask).logits.float()
        probabilities[batch] = torch.sigmoid(logits).numpy()
    return probabilities


@torch.inference_mode()
def sentence_vectors(minilm: Path, texts: Sequence[str], max_tokens: int) -> np.ndarray:
    """Unit vectors (n, 384) by MiniLM before fine-tuning: the mean over the pieces of a text."""
    tokenizer, model = AutoTokenizer.from_pretrained(minilm), BertModel.from_pretrained(minilm)
    model.eval()  # type: ignore[no-untyped-call]
    rows = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    vectors = np.empty((len(rows), model.config.hidden_size), np.float32)
    for start in range(0, len(order), 16):
        batch = order[start : start + 16]
        pieces, mask = padded([rows[number] for number in batch])
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model(input_ids=pieces, attention_mask=mask).last_hidden_state.float()
        total = (hidden * mask[:, :, None]).sum(1)  # (B, 384)
        vectors[batch] = functional.normalize(total).numpy()
    return vectors


def export(
    student: BertForSequenceClassification, pieces: Path, most_tokens: int, folder: Path
) -> None:
    """A checkpoint as Detoxify loads it, of half precision, with its settings and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(pieces)
    tokenizer.model_max_length = most_tokens
    tokenizer.save_pretrained(folder)
    config = student.config.to_dict() | {"dtype": "float32", "architectures": [ARCHITECTURE]}
    config.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    names = {"model_type": "bert", "model_name": ARCHITECTURE, "tokenizer_name": "BertTokenizer"}
    checkpoint = {
        "config": {
            "dataset": {"args": {"classes": list(LABELS)}},
            "arch": {"args": names | {"num_classes": len(LABELS)}},
        },
        "state_dict": {name: value.half() for name, value in student.state_dict().items()},
    }
    torch.save(checkpoint, folder / "model.ckpt")
