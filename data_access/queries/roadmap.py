"""The roadmap: each failure mode with its size, trend, status, and what a release did to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pandas as pd

from data_access.queries.draws import SCOPE, Measured, flag_share, has_mode, is_wrong, measured
from data_access.queries.modes import Mode, failure_modes
from data_access.queries.trends import releases, time_span
from data_access.selection import NO_VALUE, Selection, holds, source
from data_access.sql import json_pointer
from data_access.statistics.measured import (
    FEWEST,
    Rate,
    RuleQuality,
    difference,
    rate,
    rule_quality,
)
from data_access.warehouse import Warehouse

ENOUGH = 30  # reviewed on each side, or a difference that is not clear is "not enough data"
LONGEST = timedelta(days=28)  # of a window before and after a release
NEW = timedelta(days=14)
DAY = timedelta(days=1)

Outcome = Literal["fell", "rose", "no clear change", "not enough data"]
Status = Literal["new", "ongoing", "escalating", "back again", "resolved", "archived"]


@dataclass(frozen=True)
class Effect:
    """What became of a rate with a release: windows of the same length before and after it.

    change: after − before, with its 95% interval.
    """

    version: str
    released: datetime
    days: int
    before: Rate
    after: Rate
    change: float
    low: float
    high: float
    outcome: Outcome


@dataclass(frozen=True, eq=False)
class RoadmapRow:
    """A failure mode on the roadmap.

    size: measured share of predictions, NaN where nothing was measured. labelled: records whose
    verdict names it; flagged: how many of them are flagged. weeks: labelled records by week (UTC),
    oldest first. suspected: unreviewed records that fit its rule, and how well the rule fits; None
    without a rule. first: when the first labelled record was served.
    """

    mode: Mode
    size: Rate
    labelled: int
    flagged: int
    weeks: tuple[tuple[datetime, int], ...]
    suspected: int | None
    quality: RuleQuality | None
    first: datetime | None
    last: datetime | None
    status: Status
    effect: Effect | None


@dataclass(frozen=True, eq=False)
class Roadmap:
    """rows: by size × severity, the largest first. flags: flagged records of the scope at all.

    scope: what the sizes are shares of. rate, effect: of all errors. released: versions with the
    time of their first record (UTC). span: of the scope's records, in UTC without a zone.
    """

    scope: Selection
    rows: tuple[RoadmapRow, ...]
    flags: int
    measured: Measured | None
    rate: Rate
    effect: Effect | None
    released: tuple[tuple[str, datetime], ...]
    span: tuple[datetime, datetime] | None

    @property
    def is_measured(self) -> bool:
        return self.rate.total > 0


def scope_of_roadmap(selection: Selection) -> Selection:
    """The place and time of a selection, which sizes are shares of; other filters do not count."""
    return Selection(**{name: getattr(selection, name) for name in SCOPE})


def roadmap_of(warehouse: Warehouse, selection: Selection, today: date | None = None) -> Roadmap:
    """today: what archived modes are judged by; by default the day of the newest record."""
    return warehouse.cached(
        ("roadmap", scope_of_roadmap(selection), today),
        lambda: _roadmap(warehouse, scope_of_roadmap(selection), today),
    )


def _roadmap(warehouse: Warehouse, scope: Selection, today: date | None) -> Roadmap:
    known = failure_modes(warehouse)
    sample = measured(warehouse, scope)
    flags, flagged = flag_share(warehouse, scope)
    ends = time_span(warehouse, scope)
    span = (ends[0].replace(tzinfo=None), ends[1].replace(tzinfo=None)) if ends else None
    weeks = _weeks(warehouse, scope)
    frame = releases(warehouse, scope)
    released = tuple(
        (str(version), moment.to_pydatetime().replace(tzinfo=UTC))
        for version, moment in zip(frame["version"], frame["released"], strict=True)
    )
    rules = _rules(warehouse, scope, known)
    now = span[1] if span else datetime.now(UTC).replace(tzinfo=None)
    rows = []
    for mode in known:
        mine = weeks.get(mode.id, _NO_WEEKS)
        effect = _effect(sample, mode.id, released, span)
        size = sample.mode_rate(mode.id) if sample else _NOTHING
        suspected, quality = rules.get(mode.id, (None, None))
        rows.append(
            RoadmapRow(
                mode,
                size,
                int(mine["records"].sum()),
                flagged.get(mode.id, 0),
                tuple(zip(mine["week"].dt.to_pydatetime(), mine["records"].tolist(), strict=True)),
                suspected,
                quality,
                mine["first"].min() if len(mine) else None,
                mine["last"].max() if len(mine) else None,
                _status(mode, sample, mine, dict(released), effect, now, today or now.date()),
                effect,
            )
        )
    rows.sort(key=lambda row: (-_worth(row, flags), row.mode.title.casefold()))
    return Roadmap(
        scope,
        tuple(rows),
        flags,
        sample,
        sample.error_rate() if sample else _NOTHING,
        _effect(sample, None, released, span),
        released,
        span,
    )


_NOTHING = Rate(math.nan, math.nan, math.nan, 0, 0)
_NO_WEEKS = pd.DataFrame(
    {
        "week": pd.Series(dtype="datetime64[us]"),
        "records": pd.Series(dtype="int64"),
        "first": pd.Series(dtype="datetime64[us]"),
        "last": pd.Series(dtype="datetime64[us]"),
    }
)


def _worth(row: RoadmapRow, flags: int) -> float:
    share = row.size.share if row.size.total else row.flagged / max(1, flags)
    return share * row.mode.weight


def _weeks(warehouse: Warehouse, scope: Selection) -> Mapping[str, pd.DataFrame]:
    """By mode: columns week, records, first, last, of the labelled records."""
    selected, params = source(scope)
    frame = warehouse.query(
        f"""
        select mode, date_trunc('week', timestamp)::timestamp as week, count(*) as records,
            min(timestamp) as first, max(timestamp) as last
        from (
            select unnest(modes) as mode, timestamp
            from (select record_key, timestamp from {selected}) as selected
            join verdicts using (record_key)
        )
        group by mode, week
        order by week
        """,
        params,
    )
    return {str(mode): group for mode, group in frame.groupby("mode")}


def _rules(
    warehouse: Warehouse, scope: Selection, known: Sequence[Mode]
) -> dict[str, tuple[int, RuleQuality]]:
    """By mode that has a rule: how many it suspects, and its quality; all in one pass."""
    columns: list[str] = []
    params: list[Any] = []
    ruled = []
    for mode in known:
        rule = mode.selection(warehouse)
        if rule is None:
            continue
        ruled.append(mode.id)
        fits, given = holds(replace(rule, images=""))
        number = len(ruled)
        columns.append(
            f"({fits}) as fits{number}, coalesce(list_contains(modes, ?), false) as has{number}"
        )
        params += [*given, mode.id]
    if not ruled:
        return {}
    sums = ", ".join(
        f"count(*) filter (fits{n} and verdict is null and not known), "
        f"count(*) filter (fits{n} and has{n}), "
        f"count(*) filter (fits{n} and not has{n} and known), "
        f"count(*) filter (has{n} and not fits{n})"
        for n in range(1, len(ruled) + 1)
    )
    selected, scope_params = source(scope)
    rows = warehouse.rows(
        f"select {sums} from (select *, {', '.join(columns)} from (select selected.*, modes, "
        "verdict, verdicts.record_key is not null as known "
        f"from {selected} as selected left join verdicts using (record_key)) as records)",
        [*params, *scope_params],
    )
    values = [int(value) for value in rows[0]]
    return {
        name: (values[4 * n], rule_quality(*values[4 * n + 1 : 4 * n + 4]))
        for n, name in enumerate(ruled)
    }


def _effect(
    sample: Measured | None,
    mode: str | None,
    released: Sequence[tuple[str, datetime]],
    span: tuple[datetime, datetime] | None,
) -> Effect | None:
    """Of the newest release that is not the first version; None where there is no such."""
    if sample is None or span is None or len(released) < 2:
        return None
    version, moment = released[-1]
    first, last = (end.replace(tzinfo=UTC) for end in span)
    length = min(LONGEST, moment - first, last - moment + timedelta(microseconds=1))
    if length < DAY:
        return None
    has = is_wrong if mode is None else has_mode(mode)
    before, after = (
        _window_rate(sample, has, since, since + length) for since in (moment - length, moment)
    )
    change, low, high = difference(after, before)
    days = max(1, round(length / DAY))
    outcome = _outcome(before, after, low, high)
    return Effect(version, moment, days, before, after, change, low, high, outcome)


def _window_rate(sample: Measured, has: Any, since: datetime, until: datetime) -> Rate:
    return rate(sample.counted(has, sample.between(since, until)))


def _outcome(before: Rate, after: Rate, low: float, high: float) -> Outcome:
    fewest = min(before.total, after.total)
    if fewest < FEWEST:
        return "not enough data"
    if high < 0:
        return "fell"
    if low > 0:
        return "rose"
    return "no clear change" if fewest >= ENOUGH else "not enough data"


def _status(
    mode: Mode,
    sample: Measured | None,
    weeks: pd.DataFrame,
    released: Mapping[str, datetime],
    effect: Effect | None,
    now: datetime,
    today: date,
) -> Status:
    """A mode that was resolved in a version is back again where records since then have it, unless
    its measured rate fell with that very release."""
    last = weeks["last"].max() if len(weeks) else None
    if mode.state == "archived" and (mode.archived_until is None or mode.archived_until > today):
        return "archived"
    if mode.state == "resolved":
        fixed = released.get(mode.resolved_in)
        fell = (
            effect is not None and effect.version == mode.resolved_in and effect.outcome == "fell"
        )
        is_seen = fixed is not None and last is not None and last >= fixed.replace(tzinfo=None)
        is_back = is_seen and not fell
        return "back again" if is_back else "resolved"
    if last is not None and weeks["first"].min() >= now - NEW:
        return "new"
    if sample is not None:
        middle, end = (moment.replace(tzinfo=UTC) for moment in (now - LONGEST, now + DAY))
        recent = _window_rate(sample, has_mode(mode.id), middle, end)
        before = _window_rate(sample, has_mode(mode.id), middle - LONGEST, middle)
        if min(recent.total, before.total) >= FEWEST and difference(recent, before)[1] > 0:
            return "escalating"
    return "ongoing"


def mode_by_version(warehouse: Warehouse, scope: Selection, mode: str) -> pd.DataFrame:
    """Of the reviewed records of each version, the first one first: columns value, records (with
    the mode), reviewed, share (0 to 1).
    """
    return _mode_by(warehouse, scope, mode, "version", [], "min(timestamp)")


def mode_by_tag(warehouse: Warehouse, scope: Selection, mode: str, tag: str) -> pd.DataFrame:
    """The same of the eight values of a tag that have it most often."""
    value, most = "json_extract_string(tags, ?)", "records desc, reviewed desc, value limit 8"
    return _mode_by(warehouse, scope, mode, value, [json_pointer(tag)], most)


def _mode_by(
    warehouse: Warehouse,
    scope: Selection,
    mode: str,
    value: str,
    params: Sequence[Any],
    order: str,
) -> pd.DataFrame:
    selected, scope_params = source(scope_of_roadmap(scope))
    return warehouse.query(
        f"""
        select
            coalesce({value}, '{NO_VALUE}') as value,
            count(*) filter (list_contains(modes, ?)) as records,
            count(*) as reviewed,
            count(*) filter (list_contains(modes, ?)) / count(*) as share
        from {selected} as selected
        join verdicts using (record_key)
        group by 1
        order by {order}
        """,
        [*params, mode, mode, *scope_params],
    )
