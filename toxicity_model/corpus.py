"""What each stage is trained on: labelled, scored, misread and innocent texts."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from toxicity_model import texts
from toxicity_model.corruption import gibberish, misread
from toxicity_model.stages import Config, Shares, Stage
from toxicity_model.texts import LABELS, Texts


@dataclass(frozen=True)
class Corpus:
    """rows: the texts of an epoch. soft: (n, 6), another model's scores of them, NaN for none:
    unlike labels, its small values mean something, so the logits are matched.
    """

    rows: Texts
    soft: np.ndarray


@dataclass(frozen=True)
class Sources:
    """The texts of the data folder, as read; rude: terms of one word, sorted."""

    labelled: Texts
    genuine: Texts
    tweets: list[str]
    speeches: list[str]
    sentences: list[str]
    comments: list[str]
    rude: list[str]

    @classmethod
    def read(cls, data: Path) -> "Sources":
        toxicity, english = data / "toxicity", data / "texts"
        return cls(
            labelled=texts.jigsaw(toxicity, held_out=False),
            genuine=texts.genuine(toxicity, held_out=False),
            tweets=texts.tweets(toxicity),
            speeches=texts.speeches(english),
            sentences=texts.sentences(english),
            comments=texts.comments(toxicity),
            rude=texts.profanity(toxicity),
        )


def innocent(rows: list[str]) -> Texts:
    return Texts(rows, np.zeros((len(rows), len(LABELS)), np.float32))


def with_swear_words(
    clean: Sequence[str], rude: Sequence[str], count: int, source: random.Random
) -> list[str]:
    """Innocent sentences with a rude word put in somewhere."""
    rows = []
    for sentence in source.choices(clean, k=count):
        words = sentence.split()[:20]
        words.insert(source.randint(0, len(words)), source.choice(rude))
        rows.append(" ".join(words))
    return rows


def unlabelled(sources: Sources, config: Config, source: random.Random) -> list[str]:
    """Sentences, tweets, comments, and sentences with swear words, in this order."""
    return [
        *source.sample(sources.sentences, config.sentences),
        *source.sample(sources.tweets, config.tweets),
        *sources.comments,
        *with_swear_words(sources.sentences, sources.rude, config.sworn_sentences, source),
    ]


def mean_scores(logits: Mapping[str, torch.Tensor], shares: Shares) -> np.ndarray:
    """Probabilities (n, 6) of the weighted mean of logits, each (n, 6)."""
    mean = sum(logits[name] * torch.tensor(share) for name, share in asdict(shares).items())
    probabilities: np.ndarray = torch.sigmoid(torch.as_tensor(mean)).numpy()
    return probabilities


def compose(
    stage: Stage,
    sources: Sources,
    speeches: Texts,
    words: Sequence[str],
    source: random.Random,
    config: Config,
    spoken: Sequence[str] = (),
    taught: np.ndarray | None = None,
) -> Corpus:
    """The corpus of one stage.

    speeches: the innocent ones. words: those that nonsense is made of.
    spoken, taught: unlabelled texts, and scores (n, 6) of the labelled texts followed by them;
    none for a stage without shares.
    """
    labelled = sources.labelled
    parts: list[tuple[Texts, np.ndarray | None]] = []
    if taught is None:
        parts.append((labelled, None))
    else:
        count = len(labelled.texts)
        numbers = np.arange(count)
        if stage.leaves_out is not None:
            numbers = np.flatnonzero(numbers % stage.leaves_out)
        numbers = numbers[: stage.labelled]
        parts.append((labelled.where(numbers), taught[numbers]))
        scores = taught[count:]
        later = scores[stage.spoken_from :]
        parts.append((Texts(list(spoken[stage.spoken_from :]), later), later))
        if stage.misread:
            low, high = config.badly_misread_words
            garbled = [
                misread(text, source.uniform(low, high), source, frozenset())
                for text in spoken[: stage.misread]
            ]
            parts.append((Texts(garbled, scores[: stage.misread]), scores[: stage.misread]))
    parts += [(sources.genuine, sources.genuine.scores)] * stage.genuine
    if stage.innocent:
        parts.append((speeches, None))
    parts.append((innocent([gibberish(words, source) for _ in range(stage.nonsense)]), None))
    rows = parts[0][0]
    for part, _ in parts[1:]:
        rows = rows + part
    soft = [
        np.full_like(part.scores, np.nan) if scores is None else scores for part, scores in parts
    ]
    return Corpus(rows, np.concatenate(soft).astype(np.float32))
