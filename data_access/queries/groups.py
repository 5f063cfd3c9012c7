"""By group: flag rate, error rate and a projection of each version, or of each value of a tag."""

import math
from dataclasses import dataclass

import numpy as np

from data_access.projections import Projection
from data_access.projections.table import ERROR_RATE
from data_access.queries.cube import VERSION, Category
from data_access.queries.trends import releases
from data_access.selection import ANY_FLAG, NO_VALUE, Selection, source, tag_value
from data_access.sql import Condition, quoted
from data_access.statistics import rates, samples
from data_access.statistics.samples import NO_CHANGE, Change
from data_access.statistics.significance import ENOUGH
from data_access.warehouse import Warehouse


@dataclass(frozen=True)
class Estimate:
    """A number of so many values with its 95% interval; NaN of none."""

    count: int
    value: float
    low: float
    high: float

    @property
    def is_enough(self) -> bool:
        return self.count >= ENOUGH


@dataclass(frozen=True)
class Group:
    """The records of one value of a category.

    flag_rate: share of the predictions that were flagged. error_rate: mean character error rate of
    those with a truth. median: of a projection.
    """

    value: str
    records: Selection
    flagged: int
    flag_rate: Estimate
    error_rate: Estimate
    median: Estimate

    @property
    def flagged_records(self) -> Selection:
        return self.records.with_flag(ANY_FLAG)


@dataclass(frozen=True)
class GroupChange:
    """How one group differs from another; NO_CHANGE where a side has not enough values."""

    before: Group
    after: Group
    flag_rate: Change
    error_rate: Change
    median: Change


@dataclass(frozen=True)
class GroupTable:
    """The groups of a category: versions in the order of release, others the most frequent first.

    others: records of values that have no row. change: between two groups with enough
    predictions, the two newest versions or the two largest of other groups; None without two.
    """

    projection: Projection
    groups: tuple[Group, ...]
    others: int
    change: GroupChange | None


@dataclass(frozen=True)
class _Values:
    """What is known of a group's records: ascending values, shapes (n,)."""

    group: Group
    errors: np.ndarray
    values: np.ndarray


def group_table(
    warehouse: Warehouse, selection: Selection, category: Category, projection: str
) -> GroupTable:
    """Flag rate, error rate and the median of a projection for each value of a category.

    Filters by flag do not count: they would make every rate whole. Raises KeyError for an unknown
    projection.
    """
    row = warehouse.projections[projection]
    everything = selection.without("flag").without("without_flag")
    return warehouse.cached(
        ("groups", everything, category, projection),
        lambda: _group_table(warehouse, everything, category, row),
    )


def _group_table(
    warehouse: Warehouse, selection: Selection, category: Category, projection: Projection
) -> GroupTable:
    order = list(category.values)
    if category.name == VERSION:
        released = [*releases(warehouse, selection)["version"], NO_VALUE]
        order = [version for version in released if version in order]
    selected, params = source(selection)
    value, value_params = _value(category)
    columns = warehouse.table(
        f"""
        select
            coalesce(list_position(?::varchar[], coalesce({value}, '{NO_VALUE}')), 0) as place,
            len("feedback.flags") > 0 as flagged,
            {quoted(ERROR_RATE)} as errors,
            {quoted(projection.name)} as number
        from {selected}
        """,
        [order, *value_params, *params],
    )
    places, flagged, errors, numbers = (
        columns[name].to_numpy() for name in ("place", "flagged", "errors", "number")
    )
    known: list[_Values] = []
    for place, name in enumerate(order, start=1):
        mine = places == place
        if mine.any():
            records = category.choose(selection, [name])
            known.append(_group(name, records, flagged[mine], errors[mine], numbers[mine]))
    others = int((places == 0).sum())
    groups = tuple(each.group for each in known)
    return GroupTable(projection, groups, others, _change(category, known))


def _value(category: Category) -> Condition:
    """The value of a category in SQL; null where there is none."""
    return ("version", []) if category.name == VERSION else tag_value(category.noun)


def _group(
    name: str, records: Selection, flagged: np.ndarray, errors: np.ndarray, numbers: np.ndarray
) -> _Values:
    errors, numbers = (np.sort(each[~np.isnan(each)]) for each in (errors, numbers))
    count, total = int(flagged.sum()), len(flagged)
    mean = float(errors.mean()) if len(errors) else math.nan
    low, high = samples.mean_interval(errors)
    group = Group(
        value=name,
        records=records,
        flagged=count,
        flag_rate=Estimate(total, count / total, *rates.wilson(count, total)),
        error_rate=Estimate(len(errors), mean, max(low, 0.0), high),
        median=Estimate(len(numbers), samples.middle(numbers), *samples.median_interval(numbers)),
    )
    return _Values(group, errors, numbers)


def _change(category: Category, known: list[_Values]) -> GroupChange | None:
    comparable = [
        each for each in known if each.group.flag_rate.is_enough and each.group.value != NO_VALUE
    ]
    if category.name == VERSION:
        comparable = comparable[-2:]
    else:
        comparable = sorted(comparable, key=lambda each: -each.group.flag_rate.count)[:2]
    if len(comparable) < 2:
        return None
    before, after = comparable
    old, new = before.group, after.group
    counts = (new.flagged, new.flag_rate.count, old.flagged, old.flag_rate.count)
    return GroupChange(
        before=old,
        after=new,
        flag_rate=Change(*rates.share_change(*counts)),
        error_rate=samples.mean_change(
            after.errors, before.errors, new.error_rate.value - old.error_rate.value
        )
        if old.error_rate.is_enough and new.error_rate.is_enough
        else NO_CHANGE,
        median=samples.median_change(
            after.values, before.values, new.median.value - old.median.value
        )
        if old.median.is_enough and new.median.is_enough
        else NO_CHANGE,
    )
