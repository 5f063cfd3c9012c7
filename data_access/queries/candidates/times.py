"""When a record was logged: its day, hour and weekday (UTC)."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

import numpy as np
import pyarrow as pa

from data_access.queries.candidates.categories import FixedCategory
from data_access.queries.candidates.features import Feature, Features, numbers_of
from data_access.selection import WEEKDAYS, Selection, moment_text
from data_access.statistics.bins import BARS, Bins
from data_access.statistics.separation import Candidate, Question

DAY_SECONDS = 86_400
MOMENT = "epoch(timestamp) as moment"


class Day(Feature):
    filters = ("since", "until")
    is_ordered = True
    chooses_reports = True

    @classmethod
    def columns(cls, features: Features) -> Iterable[str]:
        return [MOMENT]

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        moments = numbers_of(table["moment"])
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


class _TimeOfRecord(FixedCategory):
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
        hours = numbers_of(table["moment"]) % DAY_SECONDS // 3600
        yield cls._coded(hours, "hour", [f"{hour:02}" for hour in range(24)])

    def says(self, question: Question) -> str:
        hour = self.names[question.level]
        return f"are from {hour}:00–{hour}:59 UTC"


class Weekday(_TimeOfRecord):
    filters = ("weekday",)
    filtered_by = WEEKDAYS

    @classmethod
    def read(cls, features: Features, table: pa.Table) -> Iterator[Self]:
        days = numbers_of(table["moment"]) // DAY_SECONDS
        yield cls._coded((days + 3) % 7, "weekday", WEEKDAYS)  # 1970 began on a Thursday

    def says(self, question: Question) -> str:
        return f"are from a {self.names[question.level]} (UTC)"
