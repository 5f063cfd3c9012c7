"""What can separate records from others: a class for each kind of feature.

A kind says how it is read from the warehouse, which of its features there are, how a question about
one is worded, and which filter lists the records that answer yes. `gathering.py` reads them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access.projections.table import IMAGE, TEXT, TRUTH, Projection
from data_access.queries.tags import LogTag
from data_access.selection import (
    ANY_FLAG,
    IMAGE_STATE,
    IMAGE_STATES,
    NO_FLAG,
    NO_VALUE,
    PUNCTUATION,
    WEEKDAYS,
    Range,
    Selection,
    Tag,
    moment_text,
    range_sentence,
)
from data_access.sql import quoted
from data_access.statistics.bins import BARS, Bins, linear_bins
from data_access.statistics.separation import Candidate, Question

FLAGS, WORDS = 8, 80  # that are looked at, the most frequent ones
CATEGORIES = 30  # of a tag that are asked about, the most frequent ones
ALIKE = 0.5  # share of records that the frequent categories cover, or a tag is an identifier
SHORTEST_WORD = 3
DAY_SECONDS = 86_400
MOMENT = "epoch(timestamp) as moment"
COMMON_WORDS = {
    Range(f"polarity({IMAGE})", low=0.0): "are dark on light",
    Range(f"polarity({IMAGE})", high=0.0): "are light on dark",
}


@dataclass(frozen=True)
class Features:
    """What a log has: projections with their bins, tags, and flags, the most frequent first."""

    projections: tuple[tuple[Projection, Bins], ...]
    tags: tuple[LogTag, ...]
    flags: tuple[str, ...]

    def tag_columns(self, *, numbers: bool) -> Iterator[tuple[str, str, str]]:
        """Of the tags that are numbers, or of the others: name, column, and value in SQL."""
        for number, tag in enumerate(self.tags):
            if tag.is_number is numbers:
                yield tag.name, f"tag{number}", f"tagged[{number + 1}]"


@dataclass(frozen=True, eq=False)
class Feature(ABC):
    """Something known of records.

    names: of categories, by code. values: of numbers and days (seconds since 1970), shape (n,),
    NaN for none; bins: their bars. projection: of numbers, what charts call them.
    """

    candidate: Candidate
    label: str
    names: tuple[str, ...] = ()
    values: np.ndarray | None = None
    bins: Bins | None = None
    projection: Projection | None = None

    filters: ClassVar[tuple[str, ...]] = ()
    """Filters of a selection that a feature of this kind is no finding beside."""
    is_ordered: ClassVar[bool] = False
    """Whether the order of the categories means something."""
    is_numerous: ClassVar[bool] = False
    """Whether there are too many of this kind to name each that is left out."""
    chooses_reports: ClassVar[bool] = False
    """Whether a filter by it has other reports stand for images that count once."""

    @property
    def is_input(self) -> bool:
        """Whether it was there before the recognizer answered, so that it can be a cause."""
        return True

    @classmethod
    @abstractmethod
    def columns(cls, features: Features) -> Iterable[str]:
        """What to select of records, as SQL; `tagged` is the list of the tags' values."""

    @classmethod
    @abstractmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        """The features of this kind, from a table with these columns."""

    @abstractmethod
    def says(self, question: Question) -> str:
        """What records do of which a question is true, such as `have polarity at least 0`."""

    @abstractmethod
    def narrow(self, selection: Selection, question: Question) -> Selection:
        """The records of a selection of which a question is true."""

    def narrow_without(self, selection: Selection, question: Question) -> Selection | None:
        """The records of a selection of which a question is not true; None where no filter says so.

        Of a number: those that have a value on the other side of the edge.
        """
        return self.narrow(selection, question.opposite)

    def range(self, question: Question) -> Range | None:
        """The values of a number of which a question is true."""
        return None

    def has_range(self, selection: Selection) -> bool:
        """Whether the selection is a range of this number."""
        return False

    def is_filtered_by(self, selection: Selection) -> bool:
        """Whether the selection is defined by it."""
        return any(getattr(selection, name) for name in self.filters)

    def is_identifier(self, counts: np.ndarray) -> bool:
        """Whether most records that have a value have a rare one; counts: shape (levels + 2,)."""
        return False

    def incomparable(self, own: np.ndarray, others: np.ndarray, *, elsewhere: bool) -> str | None:
        """Why a difference from a baseline says nothing of the selected records, if it does not.

        own, others: records by code, shape (levels + 2,), as in `Groups.counts`. elsewhere:
        whether the baseline is of another environment. Empty where it is not worth a word.
        """
        return None


class _Number(Feature):
    @classmethod
    def _of(cls, row: Projection, column: pa.ChunkedArray, bins: Bins | None) -> Self:
        values = _numbers(column)
        bins = bins or _bins_over(values)
        codes = np.searchsorted(bins.edges[1:-1], values, side="right").astype(np.int16)
        codes[np.isnan(values)] = -1
        zero = bins.edges.index(0.0) if 0.0 in bins.edges[1:-1] else None
        # whether a truth or a score is there says who looked at the record, not what it is like
        asks_missing = TRUTH not in row.inputs and (row.compute is not None or "(" not in row.name)
        candidate = Candidate(row.name, codes, bins.bars, True, asks_missing, zero)
        return cls(candidate, row.label, values=values, bins=bins, projection=row)

    def range(self, question: Question) -> Range:
        assert self.projection is not None and self.bins is not None
        if question.level < 0:
            return Range(self.projection.name, missing=True)
        edge = self.bins.edges[question.level]
        if question.under:
            return Range(self.projection.name, high=edge)
        return Range(self.projection.name, low=edge)

    def says(self, question: Question) -> str:
        range_ = self.range(question)
        values = range_sentence(self.label, range_)
        if range_ in COMMON_WORDS:
            return f"{COMMON_WORDS[range_]} ({values})"
        return f"have {values}"

    def narrow(self, selection: Selection, question: Question) -> Selection:
        return self._within(selection, self.range(question))

    def narrow_without(self, selection: Selection, question: Question) -> Selection:
        if question.level >= 0:
            return self.narrow(selection, question.opposite)
        return self._within(selection, Range(self.candidate.name))

    @abstractmethod
    def _within(self, selection: Selection, range_: Range) -> Selection:
        """The same selection inside this range too."""

    def incomparable(self, own: np.ndarray, others: np.ndarray, *, elsewhere: bool) -> str | None:
        has_values = own[1:].any() and others[1:].any()
        return "no values in the baseline" if elsewhere and not has_values else None


class ProjectionFeature(_Number):
    @property
    def is_input(self) -> bool:
        return self.projection is not None and TEXT not in self.projection.inputs

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        return (quoted(row.name) for row, _ in features.projections)

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        for row, bins in features.projections:
            yield cls._of(row, table[row.name], bins)

    def has_range(self, selection: Selection) -> bool:
        return any(range_.name == self.candidate.name for range_ in selection.ranges)

    is_filtered_by = has_range

    def _within(self, selection: Selection, range_: Range) -> Selection:
        return selection.with_range(_both(selection.ranges, range_))


class NumberTag(_Number):
    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        for _, column, value in features.tag_columns(numbers=True):
            yield f"try_cast({value} as double) as {column}"

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        for tag, column, _ in features.tag_columns(numbers=True):
            name = f"tags.{tag}"
            row = Projection(name, tag, "", (name,), "A tag of the log.")
            yield cls._of(row, table[column], None)

    def has_range(self, selection: Selection) -> bool:
        return any(range_.name == self.label for range_ in selection.tag_range)

    def is_filtered_by(self, selection: Selection) -> bool:
        return self.has_range(selection) or _has_tag(selection, self.label)

    def _within(self, selection: Selection, range_: Range) -> Selection:
        range_ = replace(range_, name=self.label)
        return selection.with_tag_range(_both(selection.tag_range, range_))


class _Category(Feature):
    @classmethod
    def _of(cls, name: str, label: str, column: pa.ChunkedArray) -> Self:
        """Codes by frequency; past CATEGORIES they are not asked about."""
        encoded = column.combine_chunks().dictionary_encode()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes[codes >= 0], minlength=len(encoded.dictionary))
        order = np.argsort(-counts, kind="stable")
        rank = np.full(len(order) + 1, -1)  # the last is that of no value
        rank[order] = np.minimum(np.arange(len(order)), CATEGORIES)
        names = tuple(encoded.dictionary[int(n)].as_py() for n in order[:CATEGORIES])
        candidate = Candidate(name, rank[codes].astype(np.int16), len(names), False)
        return cls(candidate, label, names)

    def says(self, question: Question) -> str:
        if question.level < 0:
            return f"have no {self.label}"
        return f"have {self.label} “{self.names[question.level]}”"

    def narrow(self, selection: Selection, question: Question) -> Selection:
        return self._of_levels(selection, [question.level])

    def narrow_without(self, selection: Selection, question: Question) -> Selection | None:
        levels = self.candidate.levels
        if (self.candidate.codes >= levels).any():
            return None
        return self._of_levels(selection, [n for n in range(-1, levels) if n != question.level])

    def _of_levels(self, selection: Selection, levels: Sequence[int]) -> Selection:
        """The records of a selection that are of one of these categories; −1: of none."""
        changed: dict[str, Any] = {self.filters[0]: tuple(map(self._value, levels))}
        return replace(selection, **changed)

    def _value(self, level: int) -> str:
        return self.names[level] if level >= 0 else NO_VALUE


class CategoryTag(_Category):
    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        for _, column, value in features.tag_columns(numbers=False):
            yield f"nullif({value}, '{NO_VALUE}') as {column}"

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        for tag, column, _ in features.tag_columns(numbers=False):
            yield cls._of(f"tags.{tag}", tag, table[column])

    def is_filtered_by(self, selection: Selection) -> bool:
        return _has_tag(selection, self.label)

    def is_identifier(self, counts: np.ndarray) -> bool:
        frequent = counts[1:-1].sum() / counts[1:].sum()
        return self.candidate.levels == CATEGORIES and bool(frequent < ALIKE)

    def incomparable(self, own: np.ndarray, others: np.ndarray, *, elsewhere: bool) -> str | None:
        return _nothing_in_common(own, others) if elsewhere else None

    def _of_levels(self, selection: Selection, levels: Sequence[int]) -> Selection:
        others = tuple(tag for tag in selection.tag if tag.name != self.label)
        own = tuple(Tag(self.label, self._value(level)) for level in levels)
        return replace(selection, tag=(*others, *own))


class _ColumnFeature(_Category):
    """A column of records."""

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        (name,) = cls.filters
        return [f"nullif({name}, '{NO_VALUE}') as {name}"]

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        (name,) = cls.filters
        yield cls._of(name, name, table[name])


class Version(_ColumnFeature):
    filters = ("version",)
    chooses_reports = True


class Application(_ColumnFeature):
    filters = ("application",)

    def incomparable(self, own: np.ndarray, others: np.ndarray, *, elsewhere: bool) -> str | None:
        return _nothing_in_common(own, others) if elsewhere else None


class Environment(_ColumnFeature):
    filters = ("environment",)
    chooses_reports = True


class _FixedCategory(_Category):
    """One of a few categories that every record has; `filtered_by`: as a selection writes them."""

    filtered_by: ClassVar[Sequence[Any]]

    @classmethod
    def _coded(cls, codes: np.ndarray, label: str, names: Sequence[str]) -> Self:
        (name,) = cls.filters
        codes = codes.astype(np.int16)
        return cls(Candidate(name, codes, len(names), False, False), label, tuple(names))

    def _of_levels(self, selection: Selection, levels: Sequence[int]) -> Selection:
        values = tuple(self.filtered_by[level] for level in levels if level >= 0)
        changed: dict[str, Any] = {self.filters[0]: values}
        return replace(selection, **changed)


class ImageState(_FixedCategory):
    filters = ("image_state",)
    filtered_by = tuple(IMAGE_STATES)

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        return [f"list_position({list(IMAGE_STATES)}, {IMAGE_STATE}) - 1 as image"]

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        yield cls._coded(table["image"].to_numpy(), "image", tuple(IMAGE_STATES.values()))

    def says(self, question: Question) -> str:
        return f"have {self.names[question.level]}"


class Day(Feature):
    filters = ("since", "until")
    is_ordered = True
    chooses_reports = True

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        return [MOMENT]

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        moments = _numbers(table["moment"])
        if not len(moments):
            return
        days = moments // DAY_SECONDS
        step = max(1, -(-int(days.max() - days.min() + 1) // BARS))
        edges = np.arange(days.min(), days.max() + step + 1, step) * DAY_SECONDS
        bins = Bins(tuple(edges.tolist()))
        codes = (np.searchsorted(edges, moments, side="right") - 1).astype(np.int16)
        names = tuple(f"{datetime.fromtimestamp(edge, UTC):%d %b}" for edge in edges[:-1].tolist())
        yield cls(Candidate("day", codes, bins.bars, True, False), "day", names, moments, bins)

    def says(self, question: Question) -> str:
        day = moment_text(self._day(question))
        return f"are from before {day}" if question.under else f"are from {day} or later"

    def narrow(self, selection: Selection, question: Question) -> Selection:
        if question.under:
            return replace(selection, until=self._day(question))
        return replace(selection, since=self._day(question))

    def incomparable(self, own: np.ndarray, others: np.ndarray, *, elsewhere: bool) -> str | None:
        return "comparable only within one scope"

    def _day(self, question: Question) -> datetime:
        assert self.bins is not None
        return datetime.fromtimestamp(self.bins.edges[question.level], UTC)


class _TimeOfRecord(_FixedCategory):
    is_ordered = True

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        return [MOMENT]

    def incomparable(self, own: np.ndarray, others: np.ndarray, *, elsewhere: bool) -> str | None:
        return "comparable only within one scope" if elsewhere else None


class Hour(_TimeOfRecord):
    filters = ("hour",)
    filtered_by = range(24)

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        hours = _numbers(table["moment"]) % DAY_SECONDS // 3600
        yield cls._coded(hours, "hour", [f"{hour:02}" for hour in range(24)])

    def says(self, question: Question) -> str:
        hour = self.names[question.level]
        return f"are from {hour}:00–{hour}:59 UTC"


class Weekday(_TimeOfRecord):
    filters = ("weekday",)
    filtered_by = WEEKDAYS

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        days = _numbers(table["moment"]) // DAY_SECONDS
        yield cls._coded((days + 3) % 7, "weekday", WEEKDAYS)  # 1970 began on a Thursday

    def says(self, question: Question) -> str:
        return f"are from a {self.names[question.level]} (UTC)"


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


class Flag(_Having):
    filters = ("flag", "without_flag")

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        return ['"feedback.flags" as flags']

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        lists = table["flags"].combine_chunks()
        records, flags = pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists)
        yield cls._among(ANY_FLAG, "flagged", records, len(lists))
        for flag in features.flags[:FLAGS]:
            flagged = records[pc.equal(flags, flag).to_numpy(False)]
            yield cls._among(flag, f"flagged {flag}", flagged, len(lists))

    def says(self, question: Question) -> str:
        return f"are {'not ' if question.under else ''}{self.label}"

    def narrow(self, selection: Selection, question: Question) -> Selection:
        name = self.candidate.name
        if question.under and name != ANY_FLAG:
            return replace(selection, without_flag=(name,))
        return selection.with_flag(NO_FLAG if question.under else name)

    def incomparable(self, own: np.ndarray, others: np.ndarray, *, elsewhere: bool) -> str | None:
        return "" if elsewhere and not others[2:].any() else None


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


KINDS: tuple[type[Feature], ...] = (
    ProjectionFeature, NumberTag, CategoryTag, Version, Application, Environment, ImageState, Day,
    Hour, Weekday, Flag, Word,
)  # fmt: skip


def _has_tag(selection: Selection, name: str) -> bool:
    return any(tag.name == name for tag in selection.tag)


def _both(ranges: Sequence[Range], wanted: Range) -> Range:
    """A range, within the one that its projection has already."""
    current = next((r for r in ranges if r.name == wanted.name), Range(""))
    lows = [low for low in (current.low, wanted.low) if low is not None]
    highs = [high for high in (current.high, wanted.high) if high is not None]
    return Range(wanted.name, max(lows, default=None), min(highs, default=None), wanted.missing)


def _nothing_in_common(own: np.ndarray, others: np.ndarray) -> str | None:
    return None if (own * others).any() else "no values in common with the baseline"


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    values = pc.cast(column, pa.float64()).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _bins_over(values: np.ndarray) -> Bins:
    finite = values[~np.isnan(values)]
    return linear_bins(*np.quantile(finite, (0.005, 0.995))) if len(finite) else linear_bins(0, 1)
