"""Categories: tags, columns of records, and what became of the image."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access.queries.candidates.features import Feature, Features, has_tag, nothing_in_common
from data_access.selection import IMAGE_STATE, IMAGE_STATES, NO_VALUE, Selection, Tag
from data_access.statistics.separation import Answers, Candidate, Question

CATEGORIES = 30  # of a tag that are asked about, the most frequent ones
ALIKE = 0.5  # share of records that the frequent categories cover, or a tag is an identifier


class CategoryFeature(Feature):
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

    def is_constructed(self, others: np.ndarray, answered: Answers) -> bool:
        return answered.yes in (0, answered.known)

    def _of_levels(self, selection: Selection, levels: Sequence[int]) -> Selection:
        """The records of a selection that are of one of these categories; −1: of none."""
        changed: dict[str, Any] = {self.filters[0]: tuple(map(self._value, levels))}
        return replace(selection, **changed)

    def _value(self, level: int) -> str:
        return self.names[level] if level >= 0 else NO_VALUE


class CategoryTag(CategoryFeature):
    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        for _, column, value in features.tag_columns(numbers=False):
            yield f"nullif({value}, '{NO_VALUE}') as {column}"

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        for tag, column, _ in features.tag_columns(numbers=False):
            yield cls._of(f"tags.{tag}", tag, table[column])

    def is_filtered_by(self, selection: Selection) -> bool:
        return has_tag(selection, self.label)

    def is_identifier(self, counts: np.ndarray) -> bool:
        frequent = counts[1:-1].sum() / counts[1:].sum()
        return self.candidate.levels == CATEGORIES and bool(frequent < ALIKE)

    def incomparable(self, own: np.ndarray, others: np.ndarray, *, elsewhere: bool) -> str | None:
        return nothing_in_common(own, others) if elsewhere else None

    def _of_levels(self, selection: Selection, levels: Sequence[int]) -> Selection:
        others = tuple(tag for tag in selection.tag if tag.name != self.label)
        own = tuple(Tag(self.label, self._value(level)) for level in levels)
        return replace(selection, tag=(*others, *own))


class _ColumnFeature(CategoryFeature):
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
        return nothing_in_common(own, others) if elsewhere else None


class Environment(_ColumnFeature):
    filters = ("environment",)
    chooses_reports = True


class FixedCategory(CategoryFeature):
    """One of a few categories that every record has; `filtered_by`: as a selection writes them."""

    filtered_by: ClassVar[Sequence[Any]]

    @classmethod
    def _coded(cls, codes: np.ndarray, label: str, names: Sequence[str]) -> Self:
        (name,) = cls.filters
        codes = codes.astype(np.int16)
        return cls(Candidate(name, codes, len(names), False, False), label, tuple(names))

    def is_constructed(self, others: np.ndarray, answered: Answers) -> bool:
        return False

    def _of_levels(self, selection: Selection, levels: Sequence[int]) -> Selection:
        values = tuple(self.filtered_by[level] for level in levels if level >= 0)
        changed: dict[str, Any] = {self.filters[0]: values}
        return replace(selection, **changed)


class ImageState(FixedCategory):
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
