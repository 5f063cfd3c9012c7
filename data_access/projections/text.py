"""Projections of texts: pure functions from a list of texts to as many numbers."""

import functools
import importlib
import math
import string
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from itertools import chain
from typing import Any

from rapidfuzz.distance import Levenshtein

PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " \n"
NEAR = 16  # characters back in which a repeated pair counts; further back "the" comes again
FAR = 8  # a run of so many characters counts wherever it occurred before
TOKENIZING = threading.Lock()
MAX_TOKENIZED = 100_000  # characters; spaCy needs a second for a million


def word_entropy(texts: Sequence[str]) -> list[float]:
    """Shannon entropy in bits of the words of each text, equal to textacy's `basics.entropy`.

    Words are spaCy's English tokens without punctuation and white space, case kept; 0 for a
    text without words. Source: textacy 0.13, `textacy.text_stats.basics.entropy`.
    """
    split = [text[:MAX_TOKENIZED].split() for text in texts]
    words_of = _words(set(chain.from_iterable(split)))
    return [_entropy(chain.from_iterable(map(words_of.__getitem__, parts))) for parts in split]


def character_entropy(texts: Sequence[str]) -> list[float]:
    """Shannon entropy in bits of the characters of each text; 0 for an empty one."""
    return [_entropy(text) for text in texts]


def length(texts: Sequence[str]) -> list[float]:
    """Characters (Unicode code points) of each text."""
    return [float(len(text)) for text in texts]


def words(texts: Sequence[str]) -> list[float]:
    """Words of each text, separated by white space."""
    return [float(len(text.split())) for text in texts]


def outside_alphabet(texts: Sequence[str], alphabet: str = PRINTABLE) -> list[float]:
    """Share of each text's characters that are not in the alphabet; NaN for an empty text."""
    known = dict.fromkeys(map(ord, alphabet))
    return [len(text.translate(known)) / len(text) if text else math.nan for text in texts]


def character_error_rate(outputs: Sequence[str], truths: Sequence[str]) -> list[float]:
    """Levenshtein distance over the length of the truth, runs of white space as one space.

    NaN where the truth is empty.
    """
    return [
        _error_rate(" ".join(output.split()), " ".join(truth.split()))
        for output, truth in zip(outputs, truths, strict=True)
    ]


def repetition(texts: Sequence[str]) -> list[float]:
    """Share of characters that begin a pair seen in the last 16, or a run of 8 seen before.

    White space folded. Loops of words and of characters are over 0.3, ordinary English of any
    length is under it; under ten characters it says little.
    """
    return [_repetition(" ".join(text.split())) for text in texts]


def _repetition(text: str) -> float:
    pairs = len(text) - 1
    if pairs < 2:
        return 0.0
    last: dict[str, int] = {}
    seen: set[str] = set()
    repeated = 0
    for start in range(pairs):
        pair, run = text[start : start + 2], text[start : start + FAR]
        repeated += start - last.get(pair, -NEAR - 1) <= NEAR or run in seen
        last[pair] = start
        if len(run) == FAR:
            seen.add(run)
    return repeated / (pairs - 1)


def _error_rate(output: str, truth: str) -> float:
    return Levenshtein.distance(output, truth) / len(truth) if truth else math.nan


def _entropy(symbols: Iterable[str]) -> float:
    counts = Counter(symbols)
    total = counts.total()
    # + 0.0: a text of one word is 0.0, not -0.0
    return -sum(n / total * math.log2(n / total) for n in counts.values()) + 0.0


def _words(parts: Iterable[str]) -> dict[str, list[str]]:
    """The words of texts without white space, which spaCy splits one by one in any text."""
    tokenizer = _english().tokenizer
    # gibberish would grow spaCy's vocabulary without end; in two threads, zones ruin it for good
    with TOKENIZING, _english().memory_zone():
        return {part: [w.text for w in tokenizer(part) if not w.is_punct] for part in parts}


@functools.cache
def _english() -> Any:
    """spaCy's blank English, whose tokenizer is rule-based and needs no model.

    thinc, below spaCy, imports torch where it is installed and never uses it for this;
    hiding torch for the moment of the import saves two seconds and 200 MB.
    """
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        spacy = importlib.import_module("spacy")
    finally:
        sys.meta_path.remove(hidden)
    return spacy.blank("en")


class _Hidden(MetaPathFinder):
    """Has the import of large libraries fail. A None in `sys.modules` would do so too, but SciPy,
    imported meanwhile in another thread, fails at the sight of it."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in ("torch", "tensorflow", "mxnet"):
            raise ModuleNotFoundError(f"{name} is hidden", name=name)
