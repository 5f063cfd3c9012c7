"""Counts of all records by day, place and fine cells of every projection, kept in memory.

Selections by environment, version, application and whole days are sums of them, at any number of
records in the same time. Which values are alike is decided by a grid (`statistics.tallied`); the
bars of histograms are unions of its cells, and so exact. Only the days that a sync changed are
counted anew.
"""

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa

from data_access.selection import NO_VALUE, WEEKDAYS, Selection
from data_access.sql import quoted
from data_access.statistics.bins import Bins
from data_access.statistics.tallied import Grid, Tally
from data_access.warehouse import Warehouse

TALLIED_FROM = 200_000  # records; fewer are sorted faster than anyone notices
MOST_GROUPS = 4_000  # days times places: 8,000 numbers each
ROWS_AT_ONCE = 250_000
GRID_ROWS = 500_000  # that a grid is laid by: nothing but how fine it is depends on them
GRID_PLACES = 3  # environments whose values are shared evenly too
DAY = timedelta(days=1)
PLACES = ("environment", "version", "application")

Place = tuple[str | None, ...]
"""A value for each of PLACES."""


@dataclass(frozen=True, eq=False)
class Counted:
    """One projection by group.

    counts: shape (groups, cells + 1), records without a value last. sums, squares: of the values
    and of their squares, less `centre`, shapes (groups,).
    """

    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray


@dataclass(frozen=True, eq=False)
class Day:
    """The records of one day; fingerprint: how many there are, and the sum of their row numbers."""

    fingerprint: tuple[int, int]
    places: tuple[Place, ...]
    counted: Mapping[str, Counted]


@dataclass(frozen=True, eq=False)
class Ruler:
    """How one projection is counted.

    middles: the value that each cell stands for; single: which cells have no more than one.
    """

    grid: Grid
    middles: np.ndarray
    single: np.ndarray
    centre: float


@dataclass(frozen=True, eq=False)
class Side:
    """A selection's tally of one projection; missing: records without a value."""

    ruler: Ruler
    tally: Tally
    missing: int


@dataclass(frozen=True, eq=False)
class Tallies:
    """Counts of one version of the data. days, places: of each group; records: of all."""

    rulers: Mapping[str, Ruler]
    by_day: Mapping[date, Day]
    days: tuple[date, ...]
    places: tuple[Place, ...]
    counted: Mapping[str, Counted]
    records: int

    def sides(self, selection: Selection) -> dict[str, Side] | None:
        """A selection by projection; None where it is no union of groups."""
        chosen = self._chosen(selection)
        if chosen is None:
            return None
        return {name: self._side(name, chosen) for name in self.rulers}

    def _chosen(self, selection: Selection) -> np.ndarray | None:
        """Which groups, shape (groups,)."""
        if not is_union_of_days(selection):
            return None
        wanted = [getattr(selection, name) for name in PLACES]
        since, until = (
            None if moment is None else moment.astimezone(UTC).date()
            for moment in (selection.since, selection.until)
        )
        return np.array(
            [
                (since is None or day >= since)
                and (until is None or day < until)
                and (not selection.weekday or WEEKDAYS[day.weekday()] in selection.weekday)
                and all(
                    not names or (NO_VALUE if value is None else value) in names
                    for names, value in zip(wanted, place, strict=True)
                )
                for day, place in zip(self.days, self.places, strict=True)
            ],
            dtype=bool,
        )

    def _side(self, name: str, chosen: np.ndarray) -> Side:
        ruler, counted = self.rulers[name], self.counted[name]
        counts = counted.counts[chosen].sum(axis=0, dtype=np.int64)
        cells, missing = counts[:-1], int(counts[-1])
        n = int(cells.sum())
        mean = variance = float("nan")
        if n:
            shift = float(counted.sums[chosen].sum()) / n
            mean = ruler.centre + shift
        if n > 1:
            squares = float(counted.squares[chosen].sum())
            variance = max(0.0, squares - n * shift**2) / (n - 1)
        return Side(ruler, Tally(cells, mean, variance), missing)


_last: "weakref.WeakKeyDictionary[Warehouse, Tallies]" = weakref.WeakKeyDictionary()


def is_union_of_days(selection: Selection) -> bool:
    """Whether only places and whole days (UTC) are selected, and every record counts."""
    other = {field.name for field in fields(selection) if getattr(selection, field.name)}
    other -= {*PLACES, "weekday", "since", "until"}
    return not other and all(
        moment is None or moment.astimezone(UTC).time() == time()
        for moment in (selection.since, selection.until)
    )


def tallies(warehouse: Warehouse, bins: Mapping[str, Bins]) -> Tallies | None:
    """The counts of the data as it is; None where they are not worth keeping.

    bins: of each projection that has values.
    """

    def count() -> Tallies | None:
        with warehouse.asked_by(lambda: False):  # all who come next want it too
            return _tallies(warehouse, bins)

    return warehouse.cached(("tallies",), count)


def _tallies(warehouse: Warehouse, bins: Mapping[str, Bins]) -> Tallies | None:
    found = warehouse.rows(
        "select date_trunc('day', timestamp)::date as day, count(*), sum(rowid)::hugeint "
        "from records group by day order by day"
    )
    fingerprints = {day: (int(count), int(rows)) for day, count, rows in found}
    records = sum(count for count, _ in fingerprints.values())
    if records < TALLIED_FROM or len(fingerprints) > MOST_GROUPS:
        _last.pop(warehouse, None)
        return None
    last = _last.get(warehouse)
    if last is not None and not _is_outgrown(last, bins, records):
        rulers = last.rulers
        kept = {
            day: counted
            for day, counted in last.by_day.items()
            if fingerprints.get(day) == counted.fingerprint
        }
    else:
        rulers, kept = _rulers(warehouse, bins, records), {}
    by_day = dict(kept)
    for first, through in _stretches(fingerprints, kept):
        by_day |= _count(warehouse, rulers, first, through, fingerprints)
    ordered = [(day, by_day[day]) for day in sorted(by_day)]
    places = [(day, place) for day, counted in ordered for place in counted.places]
    if len(places) > MOST_GROUPS:
        return None
    counted = {
        name: Counted(
            *(
                np.concatenate([getattr(day.counted[name], part.name) for _, day in ordered])
                for part in fields(Counted)
            )
        )
        for name in rulers
    }
    days, of = zip(*places, strict=True)
    result = Tallies(rulers, by_day, days, of, counted, records)
    _last[warehouse] = result
    return result


def _is_outgrown(last: Tallies, bins: Mapping[str, Bins], records: int) -> bool:
    """Whether the grids no longer fit: bars that moved, or twice as many records."""
    grids = {name: ruler.grid.bins for name, ruler in last.rulers.items()}
    return grids != dict(bins) or records > 2 * last.records


def _rulers(warehouse: Warehouse, bins: Mapping[str, Bins], records: int) -> dict[str, Ruler]:
    step = max(1, records // GRID_ROWS)
    columns = ", ".join(map(quoted, bins))
    table = warehouse.table(f"select {columns}, environment from records where rowid % {step} = 0")
    names = table["environment"].combine_chunks().dictionary_encode()
    codes = names.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    frequent = np.bincount(codes[codes >= 0]).argsort()[::-1][:GRID_PLACES]

    def ruler(name: str) -> Ruler:
        values = table[name].to_numpy()
        present = ~np.isnan(values)
        sides = [np.sort(values[present])]
        sides += [np.sort(values[present & (codes == code)]) for code in frequent]
        return _ruler(Grid.of(sides, bins[name]), sides[0])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(bins, pool.map(ruler, bins), strict=True))


def _ruler(grid: Grid, ascending: np.ndarray) -> Ruler:
    """Cells stand for the mean of their values; those without any for their own middle."""
    edges = grid.edges
    starts = np.searchsorted(ascending, edges, side="left")
    totals = np.append(0.0, np.cumsum(ascending))
    ends = np.concatenate([[0], starts, [len(ascending)]])
    sizes = np.diff(ends)
    low, high = np.append(edges[0], edges), np.append(edges, edges[-1])
    middles = np.where(sizes > 0, np.diff(totals[ends]) / np.maximum(sizes, 1), (low + high) / 2)
    single = np.nextafter(low, np.inf) >= high
    single[[0, -1]] = sizes[[0, -1]] == 0
    middles = np.where(single, low, np.clip(middles, low, high))
    middles[0] = min(ascending[: sizes[0]].mean(), edges[0]) if sizes[0] else edges[0]
    middles[-1] = max(ascending[starts[-1] :].mean(), edges[-1]) if sizes[-1] else edges[-1]
    centre = float(ascending.mean()) if len(ascending) else 0.0
    return Ruler(grid, middles, single, centre)


def _stretches(
    fingerprints: Mapping[date, tuple[int, int]], kept: Mapping[date, Day]
) -> Iterator[tuple[date, date]]:
    """First and last of days to be counted together: about ROWS_AT_ONCE records."""
    stretch: list[date] = []
    rows = 0
    for day in fingerprints:
        if stretch and (day in kept or rows + fingerprints[day][0] > ROWS_AT_ONCE):
            yield stretch[0], stretch[-1]
            stretch, rows = [], 0
        if day not in kept:
            stretch.append(day)
            rows += fingerprints[day][0]
    if stretch:
        yield stretch[0], stretch[-1]


def _count(
    warehouse: Warehouse,
    rulers: Mapping[str, Ruler],
    first: date,
    through: date,
    fingerprints: Mapping[date, tuple[int, int]],
) -> dict[date, Day]:
    columns = ", ".join(map(quoted, rulers))
    bounds = [datetime.combine(first, time()), datetime.combine(through, time()) + DAY]
    table = warehouse.table(
        f"select date_trunc('day', timestamp)::date as day, {', '.join(PLACES)}, {columns} "
        "from records where timestamp >= ? and timestamp < ?",
        bounds,
    )
    groups, number = _groups(table)

    def count(name: str) -> Counted:
        return _counted(rulers[name], table[name].to_numpy(), number, len(groups))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = dict(zip(rulers, pool.map(count, rulers), strict=True))
    days: dict[date, Day] = {}
    for day in dict.fromkeys(day for day, _ in groups):
        of = [place for place, (its_day, _) in enumerate(groups) if its_day == day]
        days[day] = Day(
            fingerprints[day],
            tuple(groups[place][1] for place in of),
            {
                name: Counted(each.counts[of], each.sums[of], each.squares[of])
                for name, each in counted.items()
            },
        )
    return days


def _groups(table: pa.Table) -> tuple[list[tuple[date, Place]], np.ndarray]:
    """The days and places of a table's rows, and which of them each row has, shape (n,)."""
    number = np.zeros(len(table), np.int64)
    values: list[list[date | str | None]] = []
    for name in ("day", *PLACES):
        encoded = table[name].combine_chunks().dictionary_encode(null_encoding="encode")
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        values.append(encoded.dictionary.to_pylist())
        number = number * len(values[-1]) + codes
    present, number = np.unique(number, return_inverse=True)
    groups = []
    for code in present.tolist():
        parts: list[date | str | None] = []
        for names in reversed(values):
            code, place = divmod(code, len(names))
            parts.append(names[place])
        day, *place_of = reversed(parts)
        groups.append((day, tuple(place_of)))
    return groups, number  # type: ignore[return-value]


def _counted(ruler: Ruler, values: np.ndarray, group: np.ndarray, groups: int) -> Counted:
    width = ruler.grid.cells + 1
    places = group * width + ruler.grid.cell(values)
    counts = np.bincount(places, minlength=groups * width).reshape(groups, width)
    shifted = np.nan_to_num(values - ruler.centre)
    return Counted(
        counts.astype(np.uint32),
        np.bincount(group, shifted, groups),
        np.bincount(group, shifted**2, groups),
    )


def means_by_day(
    tallied: Tallies, selection: Selection, names: Sequence[str]
) -> dict[date, list[float]] | None:
    """The mean of each projection by day, NaN of none; None where `sides` has none."""
    chosen = tallied._chosen(selection)
    if chosen is None:
        return None
    by_day: dict[date, list[float]] = {}
    places = np.flatnonzero(chosen)
    days = [tallied.days[place] for place in places]
    starts = [k for k in range(len(days)) if not k or days[k] != days[k - 1]]
    for name in names:
        counted, ruler = tallied.counted[name], tallied.rulers[name]
        sizes = counted.counts[places, :-1].sum(axis=1)
        if not len(starts):
            continue
        totals = np.add.reduceat(counted.sums[places], starts)
        n = np.add.reduceat(sizes, starts)
        with np.errstate(invalid="ignore"):
            means = ruler.centre + totals / n
        for k, mean in zip(starts, means.tolist(), strict=True):
            by_day.setdefault(days[k], []).append(mean)
    return by_day
