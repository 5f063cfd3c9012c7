"""The texts and scores that the bundled model is trained on and measured with.

Nothing of them is in the repository: README.md says where they come from.
"""

import csv
import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

LABELS = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
JIGSAW = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")


@dataclass(frozen=True)
class Texts:
    """texts, and scores of shape (n, 6) in [0, 1], in the order of LABELS."""

    texts: list[str]
    scores: np.ndarray

    def __add__(self, other: "Texts") -> "Texts":
        return Texts(self.texts + other.texts, np.concatenate([self.scores, other.scores]))

    def where(self, chosen: np.ndarray) -> "Texts":
        """Those at the given numbers."""
        return Texts([self.texts[number] for number in chosen], self.scores[chosen])


def _tenth(identifier: str) -> int:
    """0 to 9, the same in every run and on every machine."""
    return int(hashlib.sha256(identifier.encode()).hexdigest(), 16) % 10


def jigsaw(folder: Path, held_out: bool) -> Texts:
    """Comments with hard labels: a random tenth held out, or the other nine."""
    frame = pd.read_csv(folder / "jigsaw_train.csv.gz")
    frame = frame[[(_tenth(key) == 0) == held_out for key in frame["id"]]]
    return Texts(list(frame["comment_text"]), frame[list(JIGSAW)].to_numpy(np.float32))


def genuine(folder: Path, held_out: bool) -> Texts:
    """Comments with scores of Detoxify's published `original-small`: half of them held out."""
    frame = pd.read_csv(folder / "detoxify_original_small_scores.csv")
    frame = frame[[(_tenth(key) < 5) == held_out for key in frame["id"]]]
    return Texts(list(frame["comment_text"]), frame[list(LABELS)].to_numpy(np.float32))


def tweets(folder: Path) -> list[str]:
    """Without the names of users and the word RT."""
    tweets = pd.read_csv(folder / "davidson_labeled_data.csv")["tweet"]
    return [re.sub(r"(@\w+:?|\bRT\b|https?:\S+|&#?\w+;)\s*", "", tweet) for tweet in tweets]


def comments(folder: Path) -> list[str]:
    return list(pd.read_csv(folder / "toxicity_en.csv")["text"])


def profanity(folder: Path) -> list[str]:
    """Terms of one word, in lower case."""
    with (folder / "profanity_en.csv").open(newline="") as file:
        terms = {row["text"].lower() for row in csv.DictReader(file)}
    return sorted(term for term in terms if re.fullmatch(r"[a-z]{3,}", term))


def sentences(folder: Path) -> list[str]:
    """Lines of modern written English, mostly innocent."""
    return (folder / "masc_written_sentences.txt").read_text().splitlines()


def speeches(folder: Path) -> list[str]:
    """Pieces of one to three sentences from speeches, innocent."""
    whole = " ".join(
        path.read_text(errors="replace") for path in sorted((folder / "state_union").iterdir())
    )
    sentences = re.split(r"(?<=[.!?])\s+", re.sub(r"\s+", " ", whole))
    return [
        " ".join(sentences[start : start + 1 + start % 3]) for start in range(0, len(sentences), 3)
    ]


def novels(folder: Path, count: int) -> list[str]:
    """Pieces of two novels that no model is trained on, innocent."""
    sentences = []
    for path in sorted((folder / "gutenberg").iterdir()):
        if path.name.startswith(("Pride", "The-Time", "Alice")):
            whole = re.sub(r"\s+", " ", path.read_text())
            sentences += [text for text in re.split(r"(?<=[.!?])\s", whole) if len(text) > 40]
    return sentences[:: len(sentences) // count][:count]


def common_words(texts: list[str], rude: frozenset[str], count: int = 3000) -> list[str]:
    """The commonest words, without the rude ones."""
    words = Counter(word for text in texts for word in re.findall(r"[a-z]{2,}", text.lower()))
    return [word for word, _ in words.most_common(count) if word not in rude]
