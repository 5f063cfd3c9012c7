"""What changes over time: windows, flags by bucket, releases, projections that moved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pandas as pd

from data_access.queries.answers import as_moment, row_of, with_records
from data_access.queries.distributions import (
    SHIFTED,
    HistogramPair,
    extents,
    histogram_pairs,
)
from data_access.queries.drift import gap
from data_access.queries.tallies import means_by_day, tallies
from data_access.selection import ANY_FLAG, NO_FLAG, Selection, holds, source, warehouse_time
from data_access.sql import quoted
from data_access.statistics import rates
from data_access.warehouse import Warehouse

Bucket = Literal["hour", "day", "week"]
MAX_BUCKETS = 400  # of a trend: more bars than pixels tell nothing
LENGTHS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
RATE_FROM = 10  # predictions in a bucket: of fewer, the interval is most of the scale
DAYS = 28  # of the window that is looked at where nobody says which: whole weeks
DAY = timedelta(days=1)


def time_span(warehouse: Warehouse, selection: Selection) -> tuple[datetime, datetime] | None:
    """First and last timestamp (UTC) of a selection; None where it is empty."""
    selected, params = source(selection)
    row = row_of(
        warehouse, f"select min(timestamp) as first, max(timestamp) as last from {selected}", params
    )
    first, last = as_moment(row["first"]), as_moment(row["last"])
    return None if first is None or last is None else (first, last)


def window(warehouse: Warehouse, selection: Selection) -> Selection:
    """The selection with both ends of its time window written out; unchanged where empty."""
    if selection.since is not None and selection.until is not None:
        return selection
    span = time_span(warehouse, selection)
    if span is None:
        return selection
    since = selection.since or _midnight(span[0])
    until = selection.until or _midnight(span[1]) + DAY
    return replace(selection, since=since, until=until)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def window_before(warehouse: Warehouse, selection: Selection) -> Selection:
    """The same selection in the window of the same length that ends where it begins."""
    framed = window(warehouse, selection)
    if framed.since is None or framed.until is None:
        return framed
    length = framed.until - framed.since
    return replace(framed, since=framed.since - length, until=framed.since)


def recent_window(warehouse: Warehouse, selection: Selection, days: int = DAYS) -> Selection:
    """The selection's own window; where it has no beginning, the `days` to its newest record.

    A filter by flag does not move it. Unchanged where the selection is empty.
    """
    if selection.since is not None:
        return window(warehouse, selection)
    span = time_span(warehouse, selection.without("flag"))
    return selection if span is None else _ending_with(selection, span[1], timedelta(days=days))


def earlier_window(warehouse: Warehouse, recent: Selection) -> Selection | None:
    """The window as long as `recent` to the newest record before it; None where there is none."""
    if recent.since is None or recent.until is None:
        return None
    older = replace(recent, since=None, until=recent.since)
    span = time_span(warehouse, older.without("flag"))
    return None if span is None else _ending_with(older, span[1], recent.until - recent.since)


def _ending_with(selection: Selection, newest: datetime, length: timedelta) -> Selection:
    until = _midnight(newest) + DAY
    if selection.until is not None:
        until = min(until, selection.until)
    return replace(selection, since=until - length, until=until)


def flag_trend(warehouse: Warehouse, selection: Selection, bucket: Bucket) -> pd.DataFrame:
    """Flags by category over time: predictions in each bucket of time, and the flagged ones.

    Columns: bucket (its start, UTC), flag, flagged, predictions, share, low, high (95% interval of
    the share; NaN where nothing was predicted), filling (whether more of it may come: it reaches
    past the newest record of these environments, or past the window's end), left_out (buckets
    before the first one shown: at most MAX_BUCKETS are). Every bucket has a row for every flag. A
    record with two flags counts in both. All predictions count, whatever flag is selected.
    """
    selected, params = source(selection.without("flag"))
    environments, where = source(Selection(environment=selection.environment))
    wanted = [flag for flag in selection.flag if flag not in (ANY_FLAG, NO_FLAG)]
    until = None if selection.until is None else warehouse_time(selection.until)
    counts = warehouse.query(
        f"""
        with selected as (
            select date_trunc('{_unit(bucket)}', timestamp) as bucket, "feedback.flags" as flags
            from {selected}
        ),
        totals as (
            select bucket, count(*) as predictions
            from selected
            group by bucket
        ),
        flagged as (
            select bucket, flag, count(*) as flagged
            from (select bucket, unnest(flags) as flag from selected)
            where len(?::varchar[]) = 0 or list_contains(?::varchar[], flag)
            group by bucket, flag
        ),
        span as (
            select
                min(bucket) as earliest,
                max(bucket) as latest,
                greatest(
                    min(bucket), max(bucket) - {MAX_BUCKETS - 1} * interval 1 {bucket}
                ) as first
            from totals
        ),
        buckets as (
            select unnest(generate_series(first, latest, interval 1 {bucket})) as bucket
            from span
        )
        select
            buckets.bucket,
            flag,
            coalesce(flagged, 0) as flagged,
            coalesce(predictions, 0) as predictions,
            buckets.bucket + interval 1 {bucket} > least(
                (select max(timestamp) from {environments}), ?::timestamp
            ) as filling,
            (select date_diff('{bucket}', earliest, first) from span) as left_out
        from buckets
        cross join (select distinct flag from flagged)
        left join flagged using (bucket, flag)
        left join totals using (bucket)
        order by bucket, flag
        """,
        [*params, wanted, wanted, *where, until],
    )
    limits = [
        rates.wilson(int(flagged), int(predictions))
        for flagged, predictions in zip(counts["flagged"], counts["predictions"], strict=True)
    ]
    return counts.assign(
        share=counts["flagged"] / counts["predictions"],
        low=[low for low, _ in limits],
        high=[high for _, high in limits],
    )


def bucket_records(
    selection: Selection, bucket: Bucket, start: datetime, flag: str | None = None
) -> Selection:
    """The selected records of one bucket of time that starts at `start` (UTC), or the flagged ones.

    Where images count once, they do so within the bucket.
    """
    since = start.replace(tzinfo=UTC)
    until = since + LENGTHS[bucket]
    records = replace(
        selection,
        since=max(since, selection.since or since),
        until=min(until, selection.until or until),
    )
    return records if flag is None else records.with_flag(flag)


def _unit(bucket: Bucket) -> str:
    if bucket not in ("hour", "day", "week"):
        raise ValueError(f"no such bucket: {bucket}")
    return bucket


def weekly_flag_rate(warehouse: Warehouse, selection: Selection) -> pd.DataFrame:
    """The share of predictions that were flagged, by week; weeks with fewer than RATE_FROM
    predictions are left out.

    Columns: week (its start, UTC), flagged, predictions, share, low, high (95% interval). All
    predictions count, whatever flag is selected.
    """
    selected, params = source(selection.without("flag"))
    weeks = warehouse.query(
        f"""
        select
            date_trunc('week', timestamp) as week,
            count(*) filter (len("feedback.flags") > 0) as flagged,
            count(*) as predictions
        from {selected}
        group by week
        having count(*) >= {RATE_FROM}
        order by week desc
        limit {MAX_BUCKETS}
        """,
        params,
    ).iloc[::-1]
    counts = weeks[["flagged", "predictions"]].itertuples(index=False)
    bounds = [rates.wilson(int(flagged), int(predictions)) for flagged, predictions in counts]
    return weeks.assign(
        share=weeks["flagged"] / weeks["predictions"],
        low=[low for low, _ in bounds],
        high=[high for _, high in bounds],
    ).reset_index(drop=True)


def releases(warehouse: Warehouse, selection: Selection) -> pd.DataFrame:
    """First record of each selected model version: columns version, released (UTC).

    Of the filters only environment, application and version count: no other moves a release.
    """
    selected, params = source(
        Selection(
            environment=selection.environment,
            application=selection.application,
            version=selection.version,
        )
    )
    return warehouse.query(
        f"select version, min(timestamp) as released from {selected} "
        "where version is not null group by 1 order by 2, 1",
        params,
    )


def newest_flags(warehouse: Warehouse, selection: Selection, count: int) -> pd.DataFrame:
    """The selected records that were flagged last, newest first, with `flagged` (UTC)."""
    condition, params = holds(selection)
    newest = warehouse.query(
        f"""
        with flag_events as (
            select record_key, max(timestamp) as flagged
            from feedback
            where flag is not null
            group by record_key
        )
        select records.rowid, record_key, flagged
        from records
        join flag_events using (record_key)
        where "feedback.reports" > 0 and {condition}
        order by flagged desc, record_key
        limit ?
        """,
        [*params, count],
    )
    return with_records(warehouse, newest)


def daily_means(warehouse: Warehouse, selection: Selection, names: Sequence[str]) -> pd.DataFrame:
    """Mean of each projection by day: columns day (UTC) and the names."""
    tallied = tallies(warehouse, extents(warehouse))
    by_day = None if tallied is None else means_by_day(tallied, selection, names)
    if by_day is not None:
        days = pd.Series(pd.to_datetime(list(by_day)), dtype="datetime64[us]")
        return pd.DataFrame(list(by_day.values()), columns=list(names)).assign(day=days)
    selected, params = source(selection)
    means = "".join(f", avg({quoted(name)}) as {quoted(name)}" for name in names)
    return warehouse.query(
        f"select date_trunc('day', timestamp) as day{means} from {selected} group by 1 order by 1",
        params,
    )


@dataclass(frozen=True)
class Move:
    """A projection that changed against the window before, with its mean of every day."""

    pair: HistogramPair
    days: pd.DataFrame


def moves(warehouse: Warehouse, recent: Selection, before: Selection, count: int) -> list[Move]:
    """The projections that changed most, by effect; only those that chance does not explain, and
    that stand for all records (see `gap`).
    """
    changed = [
        pair
        for pair in histogram_pairs(warehouse, recent, before)
        if pair.verdict in SHIFTED and gap(pair) is None
    ]
    changed = sorted(changed, key=lambda pair: -abs(pair.drift.effect))[:count]
    both = replace(recent, since=before.since)
    names = [pair.projection.name for pair in changed]
    means = daily_means(warehouse, both, names)
    return [
        Move(pair, means[["day", name]].rename(columns={name: "mean"}).dropna())
        for pair, name in zip(changed, names, strict=True)
    ]
