"""Flags of users, failure modes and words of the output: whether a record has them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access.projections.table import TEXT
from data_access.queries.candidates.features import Feature, Features
from data_access.queries.modes import MODES_OF_RECORD
from data_access.selection import ANY_FLAG, NO_FLAG, PUNCTUATION, Selection
from data_access.sql import quoted
from data_access.statistics.separation import Candidate, Question

FLAGS, MODES, WORDS = 8, 12, 80  # that are looked at, the most frequent ones
SHORTEST_WORD = 3


class _Having(Feature):
    """Whether a record is among some, as a number of two bars."""

    is_numerous = True

    @property
    def is_input(self) -> bool:
        return False

    @classmethod
    def _among(cls, name: str, label: str, records: np.ndarray, n: int) -> Self:
        codes = np.zeros(n, np.int16)
        codes[records] = 1
        return cls(Candidate(name, codes, 2, True, False), label)

    @classmethod
    def _of_lists(cls, lists: pa.ListArray, labels: Mapping[str, str]) -> Iterator[Self]:
        """Whether a record's list has a value, for each of those that have a label."""
        records, values = pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists)
        for value, label in labels.items():
            having = records[pc.equal(values, value).to_numpy(False)]
            yield cls._among(value, label, having, len(lists))


class Flag(_Having):
    filters = ("flag", "without_flag")

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        return ['"feedback.flags" as flags']

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        lists = table["flags"].combine_chunks()
        flagged = pc.list_parent_indices(lists).to_numpy()
        yield cls._among(ANY_FLAG, "flagged", flagged, len(lists))
        yield from cls._of_lists(
            lists, {flag: f"flagged {flag}" for flag in features.flags[:FLAGS]}
        )

    def says(self, question: Question) -> str:
        return f"are {'not ' if question.under else ''}{self.label}"

    def narrow(self, selection: Selection, question: Question) -> Selection:
        name = self.candidate.name
        if question.under and name != ANY_FLAG:
            return replace(selection, without_flag=(name,))
        return selection.with_flag(NO_FLAG if question.under else name)

    def incomparable(self, own: np.ndarray, others: np.ndarray, *, elsewhere: bool) -> str | None:
        return "" if elsewhere and not others[2:].any() else None


class ReviewedMode(_Having):
    filters = ("mode", "without_mode")

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        return [MODES_OF_RECORD] if features.modes else []

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        if features.modes:
            labels = {mode: f"failure mode “{title}”" for mode, title in features.modes.items()}
            yield from cls._of_lists(
                table["modes"].combine_chunks(), dict(islice(labels.items(), MODES))
            )

    def says(self, question: Question) -> str:
        return f"{'do not have' if question.under else 'have'} {self.label}"

    def narrow(self, selection: Selection, question: Question) -> Selection:
        if question.under:
            return replace(selection, without_mode=(self.candidate.name,))
        return replace(selection, mode=(self.candidate.name,))


class Word(_Having):
    """The most frequent words of outputs in lower case; the filter by `word` finds the same."""

    filters = ("text", "word", "without_word")

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        return [f"lower({quoted(TEXT)}) as text"]

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        lists = pc.utf8_split_whitespace(table["text"].combine_chunks())
        records, parts = pc.list_parent_indices(lists), pc.list_flatten(lists).dictionary_encode()
        trimmed = pc.utf8_trim(parts.dictionary, PUNCTUATION).dictionary_encode()
        words, codes = trimmed.dictionary, trimmed.indices.to_numpy()[parts.indices.to_numpy()]
        counts = np.bincount(codes, minlength=len(words))
        counts *= pc.utf8_length(words).to_numpy() >= SHORTEST_WORD
        frequent = np.argsort(-counts, kind="stable")[:WORDS]
        number = np.full(len(words), len(frequent), np.int16)
        number[frequent] = np.arange(len(frequent))
        by_word = records.to_numpy()[np.argsort(number[codes], kind="stable")]
        ends = np.cumsum(counts[frequent])
        for word, start, end in zip(frequent, ends - counts[frequent], ends, strict=True):
            if start < end:
                name = words[int(word)].as_py()
                yield cls._among(name, f"“{name}”", by_word[start:end], len(lists))

    def says(self, question: Question) -> str:
        return f"{'do not ' if question.under else ''}contain {self.label}"

    def narrow(self, selection: Selection, question: Question) -> Selection:
        if question.under:
            return replace(selection, without_word=self.candidate.name)
        return replace(selection, word=self.candidate.name)
