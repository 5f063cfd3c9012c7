"""A selection as SQL over `records`."""

from collections.abc import Sequence

from data_access.selection.filters import FILTERS
from data_access.selection.ranges import range_sql
from data_access.selection.value import Selection
from data_access.sql import Condition

FOLDED = ("environment", "version", "since", "until")  # choose among the reports of an image


def source(selection: Selection, extra: Sequence[Condition] = ()) -> Condition:
    """The selected records as SQL to put after `from`, with its parameters."""
    sql, params = holds(selection, extra)
    return f"(select * from records where {sql})", params


def holds(selection: Selection, extra: Sequence[Condition] = ()) -> Condition:
    """Whether a row of `records` is selected.

    Where each image counts once, one record stands for it: the first that was flagged, or else
    the first. Which one depends on where and when alone, so that every other filter takes whole
    bars of the very histogram it was brushed in.
    """
    active = [row for row in FILTERS if getattr(selection, row.key)]
    base = [row.sql(getattr(selection, row.key)) for row in active if row.key in FOLDED]
    rest = [row.sql(getattr(selection, row.key)) for row in active if row.key not in FOLDED]
    rest += [*map(range_sql, selection.ranges), *extra]
    sql, params = _all_of(base)
    if selection.each_image_once:
        sql = (
            f"rowid in (select arg_min(rowid, fold_order) from records where {sql} "
            "group by image_hash)"
        )
    further, more = _all_of(rest)
    return f"{sql} and {further}", [*params, *more]


def _all_of(conditions: Sequence[Condition]) -> Condition:
    return (
        " and ".join(["true", *(sql for sql, _ in conditions)]),
        [param for _, params in conditions for param in params],
    )
