"""Shares of predictions, and whether they changed: between two windows, or two versions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from data_access.projections.table import ENTROPY
from data_access.queries.answers import row_of
from data_access.queries.counts import flags
from data_access.queries.distributions import low_range
from data_access.queries.trends import releases
from data_access.selection import ANY_FLAG, Range, Selection, source
from data_access.sql import quoted
from data_access.statistics import rates
from data_access.statistics.significance import ENOUGH
from data_access.warehouse import Warehouse

LOW_ENTROPY = "low word entropy"
Change = Literal["nothing before", "not enough data", "no clear change", "lower", "higher"]


@dataclass(frozen=True)
class ShareChange:
    """A share of all predictions, and its change from earlier ones with its 95% interval.

    records, before_records: the counted ones of both sides.
    """

    name: str
    count: int
    predictions: int
    before_count: int
    before_predictions: int
    change: float
    low: float
    high: float
    records: Selection
    before_records: Selection

    @property
    def share(self) -> float:
        return self.count / self.predictions if self.predictions else math.nan

    @property
    def before_share(self) -> float:
        return self.before_count / self.before_predictions if self.before_predictions else math.nan

    @property
    def is_rate(self) -> bool:
        """Whether there are enough predictions for the share to be told as a rate."""
        return self.predictions >= ENOUGH

    @property
    def verdict(self) -> Change:
        if not self.is_rate:
            return "not enough data"
        if not self.before_predictions:
            return "nothing before"
        if self.before_predictions < ENOUGH:
            return "not enough data"
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "no clear change"


def share_changes(
    warehouse: Warehouse, recent: Selection, before: Selection, baseline: Selection
) -> list[ShareChange]:
    """Flagged, each flag, and low entropy as shares of all predictions in two windows.

    Low entropy: under the baseline's 5th percentile. A filter by flag does not count: it would
    make every share whole.
    """
    counted = [_Counted("flagged", 'len("feedback.flags") > 0', [], flag=ANY_FLAG)]
    counted += [
        _Counted(f"flagged {name}", 'list_contains("feedback.flags", ?)', [name], flag=name)
        for name in flags(warehouse)
    ]
    low = low_range(warehouse, baseline, ENTROPY)
    if low is not None:
        counted.append(_Counted(LOW_ENTROPY, f"{quoted(low.name)} < ?", [low.high], range_=low))
    columns = ", ".join(f"count(*) filter ({row.sql}) as c{i}" for i, row in enumerate(counted))
    column_params = [param for row in counted for param in row.params]
    sides = [recent.without("flag"), before.without("flag")]
    counts = []
    for side in sides:
        selected, params = source(side)
        sql = f"select count(*) as n, {columns} from {selected}"
        counts.append(row_of(warehouse, sql, [*column_params, *params]))
    changes = []
    for i, row in enumerate(counted):
        (count, total), (before_count, before_total) = (
            (int(values[f"c{i}"]), int(values["n"])) for values in counts
        )
        records, before_records = (row.apply(side) for side in sides)
        interval = rates.share_change(count, total, before_count, before_total)
        changes.append(
            ShareChange(
                row.name, count, total, before_count, before_total, *interval,
                records, before_records,
            )
        )  # fmt: skip
    return changes


@dataclass(frozen=True)
class _Counted:
    """A share that is counted: its condition as SQL, and as a filter."""

    name: str
    sql: str
    params: list[Any]
    flag: str | None = None
    range_: Range | None = None

    def apply(self, selection: Selection) -> Selection:
        if self.range_ is None:
            return selection.with_flag(self.flag or ANY_FLAG)
        for own in selection.ranges:
            if own.name == self.range_.name and own.high is not None:
                high = min(own.high, self.range_.high or own.high)
                return selection.with_range(replace(own, high=high))
            if own.name == self.range_.name:
                return selection.with_range(replace(own, high=self.range_.high))
        return selection.with_range(self.range_)


@dataclass(frozen=True)
class VersionRate:
    """How many predictions of a model version were flagged; released: its first record, UTC.

    low, high: the 95% interval of the share.
    """

    version: str
    released: datetime
    flagged: int
    predictions: int
    low: float
    high: float
    records: Selection

    @property
    def share(self) -> float:
        return self.flagged / self.predictions

    @property
    def is_rate(self) -> bool:
        return self.predictions >= ENOUGH


def flag_rates_by_version(warehouse: Warehouse, selection: Selection) -> list[VersionRate]:
    """The flag rate of each selected version, in the order of release.

    All predictions count, whatever flag is selected; those without a version are left out.
    """
    everything = selection.without("flag")
    selected, params = source(everything)
    counts = warehouse.query(
        f"""
        select
            version,
            count(*) as predictions,
            count(*) filter (len("feedback.flags") > 0) as flagged
        from {selected}
        where version is not null
        group by version
        """,
        params,
    ).set_index("version")
    versions = []
    for version, released in releases(warehouse, selection).itertuples(index=False):
        if version not in counts.index:
            continue
        predictions, flagged = map(int, counts.loc[version])
        low, high = rates.wilson(flagged, predictions)
        records = replace(everything, version=(version,)).with_flag(ANY_FLAG)
        versions.append(
            VersionRate(version, released.to_pydatetime(), flagged, predictions, low, high, records)
        )
    return versions


@dataclass(frozen=True)
class VersionChange:
    """The flag rates of two versions, and how the newer one's differs."""

    older: VersionRate
    newer: VersionRate
    change: ShareChange


def version_change(versions: Sequence[VersionRate]) -> VersionChange | None:
    """The two newest versions with enough predictions for a rate; None where there are not two."""
    enough = [version for version in versions if version.is_rate]
    if len(enough) < 2:
        return None
    older, newer = enough[-2:]
    counts = newer.flagged, newer.predictions, older.flagged, older.predictions
    interval = rates.share_change(*counts)
    change = ShareChange("flagged", *counts, *interval, newer.records, older.records)
    return VersionChange(older, newer, change)
