"""What every kind of feature is and answers, and what the kinds share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access.projections.table import Projection
from data_access.queries.tags import LogTag
from data_access.selection import Range, Selection
from data_access.statistics.bins import Bins
from data_access.statistics.separation import Answers, Candidate, Question

NOTHING_IN_COMMON = "no values in common with the baseline"


@dataclass(frozen=True)
class Features:
    """What a log has: projections with their bins, tags, and flags and failure modes (titles by
    id), the most frequent first.
    """

    projections: tuple[tuple[Projection, Bins], ...]
    tags: tuple[LogTag, ...]
    flags: tuple[str, ...]
    modes: Mapping[str, str]

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
        """What records do of which a question is true, such as `have polarity ≥ 0`."""

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

    def is_constructed(self, others: np.ndarray, answered: Answers) -> bool:
        """Whether a baseline differs by the way it was made: its records all have the same label,
        or none has one that the selected ones have.

        others: its records by code, shape (levels + 2,); answered: of how many a question is true.
        """
        return False


def has_tag(selection: Selection, name: str) -> bool:
    return any(tag.name == name for tag in selection.tag)


def nothing_in_common(own: np.ndarray, others: np.ndarray) -> str | None:
    return None if (own * others).any() else NOTHING_IN_COMMON


def numbers_of(column: pa.ChunkedArray) -> np.ndarray:
    values = pc.cast(column, pa.float64()).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)
