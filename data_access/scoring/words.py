"""Toxicity of single words, kept in the log: `words/MODEL/….parquet`, one row for each word.

The score of a text says that something in it is offensive, and less the longer the text is; those
of its words say what. Only words of texts that somebody flagged, or that score high, are scored.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from data_access import queries
from data_access.log import Log
from data_access.log.additions import Additions
from data_access.records import MAX_OBJECT_BYTES
from data_access.records.decoding import open_parquet
from data_access.scoring.texts import Score
from data_access.warehouse import Warehouse

PREFIX = "words/"
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
MAX_WORD = 40  # letters: what is longer is no word
MAX_WORDS = 100_000  # of one run
SCHEMA = pa.schema([("word", pa.string()), ("score", pa.float64())])


def words_of(text: str) -> list[str]:
    """The words of a text as they are scored: letters alone, in lower case, in their order."""
    found = (match.group().casefold() for match in WORD.finditer(text))
    return [word for word in found if len(word) <= MAX_WORD]


class WordScores:
    """The scores of single words in a log, by model, kept in memory. Threads may share it."""

    def __init__(self, log: Log) -> None:
        self._kept = Additions[str, float](log, read_words, "word scores", MAX_OBJECT_BYTES)

    @property
    def version(self) -> int:
        """Grows whenever there are more."""
        return self._kept.version

    def of(self, model: str) -> dict[str, float]:
        """The highest of a word's six scores, 0 to 1; not to be changed."""
        return self._kept.below(folder(model))

    def refresh(self, model: str) -> None:
        """Read the objects that are new. Raises LogError where the log cannot be listed."""
        self._kept.refresh([folder(model)])


def folder(model: str) -> str:
    """Where a model's scores of words are: a prefix that ends in a slash."""
    return f"{PREFIX}{model}/"


def unscored_words(warehouse: Warehouse, known: Mapping[str, float]) -> list[str]:
    """The words of offensive outputs and truths that have no score yet, in order."""
    texts = queries.offensive_texts(warehouse)
    words = {word for text in texts for word in words_of(text)}
    return sorted(words - known.keys())[:MAX_WORDS]


def score_words(log: Log, model: str, words: Sequence[str], scores: Score) -> int:
    """Score words and add the scores to the log; returns how many words.

    Raises LogError where the log cannot be written.
    """
    if words:
        highest = scores(words).max(axis=1).tolist()
        put_words(log, model, dict(zip(words, highest, strict=True)))
    return len(words)


def put_words(log: Log, model: str, scores: Mapping[str, float]) -> bool:
    """Add an object named by its words, so that two who score the same write the same object."""
    words = sorted(scores)
    table = pa.table({"word": words, "score": [scores[word] for word in words]}, SCHEMA)
    body = io.BytesIO()
    pq.write_table(table, body)
    name = hashlib.sha256("\n".join(words).encode(errors="replace")).hexdigest()[:26]
    return log.put(f"{folder(model)}{name}.parquet", body.getvalue())


def read_words(body: bytes) -> dict[str, float]:
    """Raises ValueError, or what pyarrow raises, for an object that is not one of word scores."""
    table = open_parquet(body).read(columns=SCHEMA.names).cast(SCHEMA)
    rows: Iterable[tuple[str | None, float | None]] = zip(
        table["word"].to_pylist(), table["score"].to_pylist(), strict=True
    )
    return {
        word: score
        for word, score in rows
        if word is not None and score is not None and 0 <= score <= 1
    }
