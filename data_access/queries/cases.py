"""Single records: pages of them, one with all that is known of it, and exports."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from data_access.projections.table import Projection
from data_access.queries.answers import as_plain, as_records, row_of, with_records
from data_access.queries.distributions import HIGH_QUANTILE, Place, extents
from data_access.records import INTERNAL_COLUMNS, RECORD_COLUMNS, Record
from data_access.selection import Selection, holds, source, tag_value
from data_access.sql import quoted
from data_access.warehouse import Warehouse

UNUSUAL = HIGH_QUANTILE  # the share of the baseline that is on the other side of a value
MIN_VALUES = 40  # of a baseline: of fewer, the outermost twentieth is chance
EXPORTED_TAGS = 200  # that have a column of their own
EXPORTED_COLUMNS = [
    column for column in RECORD_COLUMNS.values() if column not in ("tags", *INTERNAL_COLUMNS)
]


class Order(NamedTuple):
    """How cases are sorted. sort: `timestamp`, or the name of a projection."""

    sort: str = "timestamp"
    descending: bool = True


@dataclass(frozen=True)
class CasesPage:
    """One page of a selection.

    rows: a frame of the columns of `records` and `same_image`, the number of selected records that
    show the same image. records: the same rows. first: the place of the first row, from 0.
    """

    rows: pd.DataFrame
    records: tuple[Record, ...]
    total: int
    first: int


def sort_names(warehouse: Warehouse) -> list[str]:
    """What cases can be sorted by: the time, and every projection that has values."""
    return ["timestamp", *extents(warehouse)]


def usual_order(warehouse: Warehouse, selection: Selection, baseline: Selection) -> Order:
    """Strangest first, by the range that was chosen last; without a range, newest first.

    The strange end of a range with two limits is the one that is away from the baseline's median.
    """
    ranges = [range_ for range_ in selection.ranges if not range_.missing]
    if not ranges:
        return Order()
    name, low, high = ranges[-1].name, ranges[-1].low, ranges[-1].high
    if low is None or high is None:
        return Order(name, descending=high is None)
    selected, params = source(baseline)
    median = row_of(warehouse, f"select median({quoted(name)}) as value from {selected}", params)
    return Order(name, descending=not (low + high) / 2 < median["value"])


def cases_page(
    warehouse: Warehouse,
    selection: Selection,
    sort: str = "timestamp",
    descending: bool = True,
    page: int = 0,
    size: int = 24,
) -> CasesPage:
    """Page `page` (from 0; past the end, the last one) of the selected records, in order.

    Records without a value of `sort` come last. Raises ValueError for an unknown `sort`.
    """
    condition, params = holds(selection)
    order = _order(warehouse, sort, descending)
    counted = f"select count(*) as n from records where {condition}"
    total = int(row_of(warehouse, counted, params)["n"])
    page = max(0, min(page, (total - 1) // size))
    keys = warehouse.query(
        f"select rowid, record_key from records where {condition} "
        f"order by {order} limit ? offset ?",
        [*params, size, page * size],
    )
    rows = with_records(warehouse, keys)
    rows = rows.assign(same_image=_same_image(warehouse, selection, rows))
    return CasesPage(rows, as_records(warehouse, rows), total, page * size)


def _same_image(warehouse: Warehouse, selection: Selection, rows: pd.DataFrame) -> list[int]:
    selected, params = source(
        replace(selection, images=""),
        [("image_hash in (select unnest(?::ubigint[]))", [rows["image_hash"].tolist()])],
    )
    counted = warehouse.query(
        f"select image_hash, count(*) as reports from {selected} group by 1", params
    )
    reports = dict(zip(counted["image_hash"], counted["reports"], strict=True))
    return [int(reports.get(image, 1)) for image in rows["image_hash"]]


def _order(warehouse: Warehouse, sort: str, descending: bool) -> str:
    """A total order: records with equal or no values are told apart by their keys."""
    if sort != "timestamp" and sort not in warehouse.projections:
        raise ValueError(f"cases cannot be sorted by {sort}")
    return f"{quoted(sort)} {'desc' if descending else 'asc'} nulls last, record_key"


@dataclass(frozen=True)
class Case:
    """One record, all of its feedback (oldest first), and the number of records of the whole log
    that show the same image."""

    record: Record
    feedback: pd.DataFrame
    same_image: int


def case(warehouse: Warehouse, record_key: str) -> Case | None:
    """One record with all that is known of it; None where there is no such record."""
    frame = warehouse.query(
        "select * exclude (object_key, origin, line, fold_order) from records where record_key = ?",
        [record_key],
    )
    if frame.empty:
        return None
    (record,) = as_records(warehouse, frame)
    feedback = warehouse.query(
        """
        select timestamp, flag, "user", ground_truth_string, comment, feedback_key
        from feedback
        where record_key = ?
        qualify row_number() over (
            partition by feedback_key order by origin, line, object_key
        ) = 1
        order by timestamp, feedback_key
        """,
        [record_key],
    )
    same = row_of(
        warehouse,
        "select count(*) as n from records where image_hash = ?::ubigint",
        [record.image_hash],
    )
    return Case(record, feedback, max(1, int(same["n"])))


@dataclass(frozen=True)
class Unusual:
    """A value of a record that is beyond nearly all of the baseline's; share: of how many."""

    projection: Projection
    value: float
    side: Literal["lower", "higher"]
    share: float


def unusual(places: Sequence[Place]) -> list[Unusual] | None:
    """Values beyond at least UNUSUAL of the baseline's, the strangest first; of those beyond all,
    the furthest from them in bars of the histogram.

    Projections with fewer than MIN_VALUES in the baseline say nothing; None where all are such.
    """
    compared = [place for place in places if place.baseline_counts.sum() >= MIN_VALUES]
    if not compared:
        return None
    beyond = []
    for place in compared:
        if place.value is None:
            continue
        side: Literal["lower", "higher"] = "lower" if place.lower >= place.higher else "higher"
        share = max(place.lower, place.higher)
        if share >= UNUSUAL:
            beyond.append((place, Unusual(place.projection, place.value, side, share)))
    beyond.sort(key=lambda pair: (-pair[1].share, -_bars_beyond(pair[0], pair[1].value)))
    return [value for _, value in beyond]


def _bars_beyond(place: Place, value: float) -> int:
    """How many bars are between a value and those of the baseline."""
    filled = np.flatnonzero(place.baseline_counts)
    bar = int(np.searchsorted(place.bins.edges[1:-1], value, side="right"))
    return int(max(filled[0] - bar, bar - filled[-1], 0))


@dataclass(frozen=True)
class Neighbours:
    """Where a record stands in an ordered selection: its place from 0, of how many, and the keys
    before and after it."""

    place: int
    total: int
    previous: str | None
    following: str | None


def neighbours(
    warehouse: Warehouse, selection: Selection, sort: str, descending: bool, record_key: str
) -> Neighbours | None:
    """None where the record is not in the selection."""
    selected, params = source(selection)
    column = quoted(sort)
    _order(warehouse, sort, descending)
    here = warehouse.query(
        f"select {column} as value from {selected} where record_key = ?", [*params, record_key]
    )
    if here.empty:
        return None
    value = as_plain(here["value"].iloc[0])
    if value is None:
        after = (f"{column} is null and record_key > ?", [record_key])
        before = (f"{column} is not null or record_key < ?", [record_key])
    else:
        further, nearer = ("<", ">") if descending else (">", "<")
        after = (
            f"{column} {further} ? or ({column} = ? and record_key > ?) or {column} is null",
            [value, value, record_key],
        )
        before = (
            f"{column} {nearer} ? or ({column} = ? and record_key < ?)",
            [value, value, record_key],
        )
    forward = _order(warehouse, sort, descending)
    backward = f"{column} {'asc' if descending else 'desc'} nulls first, record_key desc"
    previous, following = (
        warehouse.query(
            f"select record_key from {selected} where {sql} order by {order} limit 1",
            [*params, *values],
        )["record_key"]
        for (sql, values), order in ((before, backward), (after, forward))
    )
    counts = row_of(
        warehouse,
        f"select count(*) as total, count(*) filter ({before[0]}) as place from {selected}",
        [*before[1], *params],
    )
    return Neighbours(
        place=int(counts["place"]),
        total=int(counts["total"]),
        previous=None if previous.empty else str(previous.iloc[0]),
        following=None if following.empty else str(following.iloc[0]),
    )


def record_batches(warehouse: Warehouse, selection: Selection) -> pa.RecordBatchReader:
    """The selection as records for people: dotted names, tags as `tags.NAME`, oldest first."""
    projections = [row.name for row in warehouse.projections.rows]
    columns = [quoted(name) for name in dict.fromkeys([*EXPORTED_COLUMNS, *projections])]
    params: list[Any] = []
    tags, left_out = _tag_types(warehouse)
    if left_out:
        columns.append("tags")
    for tag, kind in tags:
        value, path = tag_value(tag)
        columns.append(f"try_cast({value} as {kind}) as {quoted(f'tags.{tag}')}")
        params += path
    selected, selected_params = source(selection)
    return warehouse.stream(
        f"select {', '.join(columns)} from {selected} order by timestamp, record_key",
        [*params, *selected_params],
    )


def _tag_types(warehouse: Warehouse) -> tuple[list[tuple[str, str]], bool]:
    """The most frequent tags, by name, each with its SQL type; whether any is left out.

    Whole numbers stay whole: an identifier of 17 digits is not a DOUBLE.
    """
    tags = warehouse.query(
        """
        select
            key,
            case
                when bool_and(type in ('UBIGINT', 'BIGINT', 'NULL')) then 'bigint'
                when bool_and(type in ('UBIGINT', 'BIGINT', 'DOUBLE', 'NULL')) then 'double'
                else 'varchar'
            end as kind
        from (select tags from records) as looked_at, json_each(looked_at.tags)
        group by key
        order by count(*) desc, key
        limit ?
        """,
        [EXPORTED_TAGS + 1],
    )
    kept = tags.head(EXPORTED_TAGS)
    return sorted(zip(kept["key"], kept["kind"], strict=True)), len(tags) > EXPORTED_TAGS
