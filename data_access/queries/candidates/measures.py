"""Numbers: projections, and tags that are numbers."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import pyarrow as pa

from data_access.projections.table import TEXT, TRUTH, Projection
from data_access.queries.candidates.features import Feature, Features, has_tag, numbers_of
from data_access.selection import Range, Selection, range_sentence
from data_access.sql import quoted
from data_access.statistics.bins import Bins, linear_bins
from data_access.statistics.separation import Answers, Candidate, Question


class _Number(Feature):
    @classmethod
    def _of(cls, row: Projection, column: pa.ChunkedArray, bins: Bins | None) -> Self:
        values = numbers_of(column)
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
        assert self.projection is not None and self.bins is not None
        values = range_sentence(self.label, self.range(question))
        edge, has_edge = self.bins.edges[question.level], question.level >= 0
        words = self.projection.words(edge, under=question.under) if has_edge else ""
        return f"{words} ({values})" if words else f"have {values}"

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

    def is_constructed(self, others: np.ndarray, answered: Answers) -> bool:
        return int(np.count_nonzero(others)) < 2

    def has_range(self, selection: Selection) -> bool:
        return any(range_.name == self.label for range_ in selection.tag_range)

    def is_filtered_by(self, selection: Selection) -> bool:
        return self.has_range(selection) or has_tag(selection, self.label)

    def _within(self, selection: Selection, range_: Range) -> Selection:
        range_ = replace(range_, name=self.label)
        return selection.with_tag_range(_both(selection.tag_range, range_))


def _both(ranges: Sequence[Range], wanted: Range) -> Range:
    """A range, within the one that its projection has already."""
    current = next((r for r in ranges if r.name == wanted.name), Range(""))
    lows = [low for low in (current.low, wanted.low) if low is not None]
    highs = [high for high in (current.high, wanted.high) if high is not None]
    return Range(wanted.name, max(lows, default=None), min(highs, default=None), wanted.missing)


def _bins_over(values: np.ndarray) -> Bins:
    finite = values[~np.isnan(values)]
    return linear_bins(*np.quantile(finite, (0.005, 0.995))) if len(finite) else linear_bins(0, 1)
