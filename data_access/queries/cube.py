"""Linked histograms: how many records lie in each combination of bars of a few projections.

One GROUP BY counts the cells of a cube; whatever is then brushed is a sum of its cells. A brush is
a range of the selection that takes whole bars, or a filter of the cube's category by values that
have bars of their own; every other filter is the frame, in which the cube is counted.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data_access.projections.table import Projection
from data_access.queries.answers import row_of
from data_access.queries.counts import choices, flags
from data_access.queries.distributions import extents
from data_access.queries.modes import MODES_OF_RECORD, frequent_modes
from data_access.queries.tags import log_tags
from data_access.selection import (
    ANY_FLAG,
    NO_VALUE,
    Range,
    Selection,
    Tag,
    source,
    tag_value,
)
from data_access.sql import Condition, quoted
from data_access.statistics.bins import Bins
from data_access.warehouse import Warehouse

MOST_AXES = 3  # a fourth makes a hundred thousand cells
MOST_VALUES = 8  # bars of a category
KEPT_FROM = 10_000_000  # records from which on cubes are kept in the warehouse's file
FLAG, VERSION, MODE, TAG = "flag", "version", "mode", "tag."
LISTS = {FLAG: '"feedback.flags"', MODE: "modes"}
"""Columns of several values."""

Brushes = tuple[tuple[Range, ...], tuple[str, ...]]
"""Ranges that take whole bars, and values of a category."""


@dataclass(frozen=True)
class Axis:
    """A projection as one side of a cube: the number of a bar, or `missing`.

    Numbers are places of a chart too: bar k is drawn from k to k + 1, and the bar of the records
    without a value after a gap as wide as a bar.
    """

    projection: Projection
    bins: Bins

    @property
    def missing(self) -> int:
        return self.bins.bars + 1

    def brush(self, start: float, end: float) -> Range:
        """All bars that a drag from one place to another touches.

        Those of numbers alone, unless it begins past them.
        """
        start, end = min(start, end), max(start, end)
        if start >= self.bins.bars:
            return Range(self.projection.name, missing=True)
        first = max(math.floor(start), 0)
        last = max(min(math.ceil(end), self.bins.bars) - 1, first)
        return Range(self.projection.name, *self.bins.span(first, last))

    def bars(self, range_: Range | None) -> tuple[int, int] | None:
        """The places [first, after) that a range takes; None where it cuts a bar in two."""
        if range_ is None:
            return 0, self.missing + 1
        if range_.missing:
            return self.missing, self.missing + 1
        inner = self.bins.edges[1:-1]
        if not {range_.low, range_.high} <= {None, *inner}:
            return None
        first = 0 if range_.low is None else inner.index(range_.low) + 1
        after = self.bins.bars if range_.high is None else inner.index(range_.high) + 1
        return (first, after) if first < after else None


@dataclass(frozen=True)
class Category:
    """Flag, version, failure mode or a tag (`tag.` and its name), as bars.

    values: as a selection writes them, the most frequent first, NO_VALUE last. What is rarer has
    no bar of its own, and is counted together.
    """

    name: str
    values: tuple[str, ...]

    @property
    def noun(self) -> str:
        """What one value is: a flag, a version, a failure mode, or the tag by its name."""
        return "failure mode" if self.name == MODE else self.name.removeprefix(TAG)

    def chosen(self, selection: Selection) -> tuple[str, ...]:
        """What a selection asks of this category; empty: everything."""
        if self.name == FLAG:
            return selection.flag
        if self.name == VERSION:
            return selection.version
        if self.name == MODE:
            return selection.mode
        return tuple(tag.value for tag in selection.tag if tag.name == self.noun)

    def choose(self, selection: Selection, values: Sequence[str]) -> Selection:
        """The same selection with these values of the category alone; none: all of them."""
        if self.name == FLAG:
            return replace(selection, flag=tuple(values))
        if self.name == VERSION:
            return replace(selection, version=tuple(values))
        if self.name == MODE:
            return replace(selection, mode=tuple(values))
        others = tuple(tag for tag in selection.tag if tag.name != self.noun)
        mine = tuple(Tag(self.noun, value) for value in values)
        return replace(selection, tag=(*others, *mine))


@dataclass(frozen=True)
class Cube:
    """Counts of a frame by bars. `cells` has a row for each combination of bars that occurs.

    cells: columns `bar_0`, `bar_1`, … (places on the axes), `group` (which of `groups`) and
    `records`. groups: the values of the category that records have together, as positions in its
    values (one past the last: the others). frame: what was counted. brushes, chosen: the ranges
    and values of the asking selection that are not part of it.
    """

    axes: tuple[Axis, ...]
    category: Category
    cells: pd.DataFrame
    groups: tuple[tuple[int, ...], ...]
    frame: Selection
    brushes: tuple[Range, ...]
    chosen: tuple[str, ...]

    @property
    def records(self) -> int:
        return int(self.cells["records"].sum())

    @property
    def brushed(self) -> int:
        """How many records are in the bars that are brushed."""
        return int(self.cells["records"][self._inside()].sum())

    def brush(self, axis: Axis) -> Range | None:
        """The brush of an axis."""
        return next((r for r in self.brushes if r.name == axis.projection.name), None)

    def counts(self, axis: Axis) -> np.ndarray:
        """Records of the frame by place on an axis, shape (bars + 2,)."""
        place = self.axes.index(axis)
        counted: np.ndarray = np.bincount(
            self.cells[f"bar_{place}"], self.cells["records"], axis.missing + 1
        ).astype(np.int64)
        return counted

    def value_counts(self) -> list[int]:
        """Records of the frame by value of the category, the others last."""
        counts = [0] * (len(self.category.values) + 1)
        by_group = np.bincount(self.cells["group"], self.cells["records"], len(self.groups))
        for group, records in zip(self.groups, by_group, strict=True):
            for value in group:
                counts[value] += int(records)
        return counts

    def _inside(self) -> np.ndarray:
        inside = np.ones(len(self.cells), dtype=bool)
        for place, axis in enumerate(self.axes):
            first, after = axis.bars(self.brush(axis)) or (0, 0)
            inside &= self.cells[f"bar_{place}"].between(first, after - 1).to_numpy()
        if self.chosen:
            wanted = {self.category.values.index(value) for value in self.chosen}
            passes = np.array([bool(wanted & set(group)) for group in self.groups], dtype=bool)
            inside &= passes[self.cells["group"].to_numpy()]
        return inside


def cube_categories(warehouse: Warehouse, selection: Selection) -> list[Category]:
    """What can be shown as bars of values: flags, versions, failure modes, tags with few values.

    Where each image counts once, versions cannot: which report stands for an image depends on
    them.
    """
    categories = [_category(FLAG, flags(warehouse), selection.flag)]
    versions = choices(warehouse, "version")
    if versions and not selection.each_image_once:
        categories.append(_category(VERSION, versions, selection.version))
    if modes := frequent_modes(warehouse):
        categories.append(_category(MODE, modes, selection.mode))
    for name, values in log_tags(warehouse).categories.items():
        selected = [tag.value for tag in selection.tag if tag.name == name]
        categories.append(_category(TAG + name, values, selected))
    return categories


def _category(name: str, values: Sequence[str], selected: Sequence[str]) -> Category:
    """The bars: what is chosen, and then the most frequent values, in the order of all values."""
    named = [value for value in values if value not in (ANY_FLAG, NO_VALUE)]
    chosen = [value for value in selected if value in named][:MOST_VALUES]
    frequent = [value for value in named if value not in chosen][: MOST_VALUES - len(chosen)]
    shown = [value for value in named if value in (*chosen, *frequent)]
    return Category(name, (*shown, NO_VALUE))


def axes(warehouse: Warehouse, names: Sequence[str]) -> tuple[Axis, ...]:
    """The sides of a cube of these projections, those that have values."""
    bins = extents(warehouse)
    return tuple(Axis(warehouse.projections[name], bins[name]) for name in names if name in bins)


def count_cube(
    warehouse: Warehouse,
    selection: Selection,
    sides: Sequence[Axis],
    category: Category,
    kept_from: int = KEPT_FROM,
) -> Cube:
    """The cube of a selection's frame. Raises ValueError for more than MOST_AXES sides.

    kept_from: with so many records in the log, cells are kept in the warehouse's file.
    """
    if len(sides) > MOST_AXES:
        raise ValueError(f"a cube has at most {MOST_AXES} sides")
    frame, brushes, chosen = _split(selection, sides, category)
    cells, groups = warehouse.cached(
        ("cube", frame, tuple(sides), category),
        lambda: _counted(warehouse, frame, sides, category, kept_from),
    )
    return Cube(tuple(sides), category, cells, groups, frame, brushes, chosen)


def _split(
    selection: Selection, sides: Sequence[Axis], category: Category
) -> tuple[Selection, tuple[Range, ...], tuple[str, ...]]:
    """The frame, and the brushes: ranges that take whole bars, values that have one."""
    by_name = {axis.projection.name: axis for axis in sides}
    brushes = tuple(
        range_
        for range_ in selection.ranges
        if range_.name in by_name and by_name[range_.name].bars(range_) is not None
    )
    frame = selection
    for range_ in brushes:
        frame = frame.without(range_.name)
    chosen = category.chosen(selection)
    if not set(chosen) <= set(category.values):
        return frame, brushes, ()
    return category.choose(frame, ()), brushes, chosen


def _counted(
    warehouse: Warehouse,
    frame: Selection,
    sides: Sequence[Axis],
    category: Category,
    kept_from: int,
) -> tuple[pd.DataFrame, tuple[tuple[int, ...], ...]]:
    """Cells and groups as a Cube has them."""
    sizes = [axis.missing + 1 for axis in sides]
    keys = [*(_bar_sql(axis) for axis in sides), _group_sql(category)]
    strides = np.cumprod([1, *sizes]).tolist()
    terms = [f"({sql})::bigint * {stride}" for (sql, _), stride in zip(keys, strides, strict=True)]
    selected, params = source(frame)
    if category.name == MODE:
        selected = f"(select *, {MODES_OF_RECORD} from {selected} as selected)"
    counted = _kept(
        warehouse,
        f"select {' + '.join(terms)} as cell, count(*) as records from {selected} group by 1",
        [*(param for _, given in keys for param in given), *params],
        kept_from,
    )
    cell = counted["cell"].to_numpy()
    codes, group = np.unique(cell // strides[-1], return_inverse=True)
    columns = {
        f"bar_{place}": (cell // strides[place] % size).astype(np.int16)
        for place, size in enumerate(sizes)
    }
    cells = pd.DataFrame({**columns, "group": group, "records": counted["records"].to_numpy()})
    return cells, tuple(_values(category, int(code)) for code in codes)


def _bar_sql(axis: Axis) -> Condition:
    """The place of a record on an axis: five comparisons with the edges, not thirty."""
    column = quoted(axis.projection.name)
    params: list[Any] = []

    def place(first: int, last: int) -> str:
        if first == last:
            return str(first)
        middle = (first + last + 1) // 2
        params.append(axis.bins.edges[middle])
        below = place(first, middle - 1)
        return f"case when {column} < ? then {below} else {place(middle, last)} end"

    bars = place(0, axis.bins.bars - 1)
    return f"case when {column} is null then {axis.missing} else {bars} end", params


def _group_sql(category: Category) -> Condition:
    """A number for the values that a record has: a bit for each, the rest the highest."""
    named = [value for value in category.values if value != NO_VALUE]
    if category.name in LISTS:
        values = LISTS[category.name]
        has_value = [f"list_contains({values}, ?)::int" for _ in named]
        bits = [f"{1 << k} * {has}" for k, has in enumerate(has_value)]
        others = f"(len({values}) > {' + '.join(['0', *has_value])})::int"
        return (
            f"case when len({values}) = 0 then {_none_bit(category)} "
            f"else {' + '.join([*bits, f'{_others_bit(category)} * {others}'])} end",
            [*named, *named],
        )
    value, path = (VERSION, []) if category.name == VERSION else tag_value(category.noun)
    cases = "".join(f" when ? then {1 << k}" for k in range(len(named)))
    return (
        f"case coalesce({value}, ?){cases} when ? then {_none_bit(category)} "
        f"else {_others_bit(category)} end",
        [*path, NO_VALUE, *named, NO_VALUE],
    )


def _none_bit(category: Category) -> int:
    return 1 << category.values.index(NO_VALUE)


def _others_bit(category: Category) -> int:
    return 1 << len(category.values)


def _values(category: Category, code: int) -> tuple[int, ...]:
    """The positions that are set in a number of `_group_sql`."""
    return tuple(k for k in range(len(category.values) + 1) if code >> k & 1)


def _kept(warehouse: Warehouse, sql: str, params: Sequence[Any], kept_from: int) -> pa.Table:
    """Cells of a cube; of a large log from the warehouse's file, where they were counted before."""
    if int(row_of(warehouse, "select count(*) as n from records")["n"]) < kept_from:
        return warehouse.table(sql, params)
    question = hashlib.sha256(repr((sql, list(params))).encode()).hexdigest()
    return warehouse.kept_cells(question, sql, params)
