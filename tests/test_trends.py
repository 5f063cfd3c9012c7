"""Windows, flag rates and their changes: small logs, gaps, and claims against chance."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from data_access import queries
from data_access.api import OpenLog
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.queries import ShareChange, VersionRate
from data_access.selection import Selection
from data_access.statistics import rates
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import Event, feedback, prediction, rounds, write

EVERYTHING = Selection()
AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
Read = Callable[..., Warehouse]


@pytest.fixture
def read(folder_log: Log, open_warehouse: OpenWarehouse) -> Read:
    """A warehouse of these predictions, those of the given keys flagged."""

    def read_log(events: list[Event], flagged: list[str]) -> Warehouse:
        write(folder_log, "predictions/a.jsonl", *events)
        if flagged:
            write(folder_log, "feedback/a.jsonl", *map(feedback, flagged))
        warehouse = open_warehouse(folder_log)
        sync(folder_log, warehouse)
        return warehouse

    return read_log


def served(key: str, days: float, **more: Any) -> Event:
    """A prediction some days after the first of August 2026."""
    return prediction(key, timestamp=(AUGUST + timedelta(days=days)).isoformat(), **more)


def changed(warehouse: Warehouse, days: int = queries.DAYS) -> ShareChange:
    recent = queries.recent_window(warehouse, EVERYTHING, days)
    before = queries.window_before(warehouse, recent)
    return queries.share_changes(warehouse, recent, before, EVERYTHING)[0]


def test_a_window_ends_with_the_newest_record_however_long_the_log_is(read: Read) -> None:
    warehouse = read([served(f"k{i}", i) for i in range(200)], [])
    for days in (7, 28):
        recent = queries.recent_window(warehouse, EVERYTHING, days)
        assert recent.until == AUGUST + timedelta(days=200)
        assert recent.days == days
    ended = queries.recent_window(warehouse, Selection(until=AUGUST + timedelta(days=50)))
    assert ended.until == AUGUST + timedelta(days=50)
    after = queries.recent_window(warehouse, Selection(until=AUGUST + timedelta(days=999)))
    assert after.until == AUGUST + timedelta(days=200), "of a window that is not over yet"


def test_one_new_record_beside_old_ones_is_no_change(read: Read) -> None:
    old = [served(f"k{i}", i % 56) for i in range(300)]
    warehouse = read([*old, served("new", 150)], ["new", "k1", "k2"])
    change = changed(warehouse)
    assert (change.count, change.predictions) == (1, 1)
    assert not change.is_rate
    assert change.verdict == "not enough data"
    recent = queries.recent_window(warehouse, EVERYTHING)
    fuller = queries.earlier_window(warehouse, recent)
    assert fuller is not None and fuller.until == AUGUST + timedelta(days=56)
    assert fuller.days == 28
    assert queries.coverage(warehouse, fuller).predictions == sum(i % 56 >= 28 for i in range(300))
    oldest = Selection(since=AUGUST, until=AUGUST + timedelta(days=28))
    assert queries.earlier_window(warehouse, oldest) is None
    trend = queries.flag_trend(warehouse, EVERYTHING, "week")
    gap = trend[trend["predictions"] == 0]
    assert len(gap) and gap["share"].isna().all(), "where nothing was predicted there is no rate"


@pytest.mark.parametrize(
    ("now", "flagged", "before", "verdict"),
    [
        (2, 1, 40, "not enough data"),
        (40, 20, 2, "not enough data"),
        (40, 20, 0, "nothing before"),
        (40, 20, 40, "higher"),
        (40, 1, 40, "no clear change"),
    ],
)
def test_a_change_needs_enough_on_both_sides(
    read: Read, now: int, flagged: int, before: int, verdict: str
) -> None:
    events = [served(f"now{i}", 35) for i in range(now)]
    events += [served(f"before{i}", 5) for i in range(before)]
    warehouse = read(events, [f"now{i}" for i in range(flagged)])
    assert changed(warehouse).verdict == verdict
    assert changed(warehouse, 7).verdict == ("not enough data" if now < 30 else "nothing before"), (
        "the week before has nothing"
    )


def test_the_flag_rate_of_each_version_in_order_of_release(read: Read) -> None:
    events = [served(f"b{i}", i / 10, version="b") for i in range(50)]
    events += [served(f"a{i}", 20 + i / 10, version="a") for i in range(100)]
    events += [served("c1", 40, version="c"), served("none", 41)]
    warehouse = read(events, [*(f"b{i}" for i in range(25)), "a1", "c1", "none"])
    versions = queries.flag_rates_by_version(warehouse, EVERYTHING)
    assert [(v.version, v.flagged, v.predictions) for v in versions] == [
        ("b", 25, 50),
        ("a", 1, 100),
        ("c", 1, 1),
    ]
    for version in versions:
        assert queries.coverage(warehouse, version.records).predictions == version.flagged
    compared = queries.version_change(versions)
    assert compared is not None
    assert (compared.older.version, compared.newer.version) == ("b", "a")
    assert compared.change.verdict == "lower"
    assert compared.change.change == pytest.approx(1 / 100 - 25 / 50)
    assert queries.version_change(versions[1:]) is None, "one record is no rate"
    narrowed = queries.flag_rates_by_version(warehouse, Selection(flag=("*",), version=("a",)))
    assert [(v.version, v.predictions) for v in narrowed] == [("a", 100)]


def test_a_bar_opens_its_records(read: Read) -> None:
    events = [served(f"k{i}", i / 3) for i in range(90)]
    warehouse = read(events, [f"k{i}" for i in range(0, 90, 7)])
    within = Selection(since=AUGUST + timedelta(days=3), until=AUGUST + timedelta(days=20))
    buckets: tuple[queries.Bucket, ...] = ("week", "day", "hour")
    for bucket in buckets:
        trend = queries.flag_trend(warehouse, within, bucket)
        for row in trend[trend["flagged"] > 0].to_dict("records"):
            bar = (within, bucket, row["bucket"].to_pydatetime())
            flagged = queries.bucket_records(*bar, row["flag"])
            assert queries.coverage(warehouse, flagged).predictions == row["flagged"]
            everything = queries.bucket_records(*bar)
            assert queries.coverage(warehouse, everything).predictions == row["predictions"]


def test_what_the_log_is_about(read: Read) -> None:
    events = [served(f"k{i}", i, application="reader") for i in range(3)]
    events += [served("other", 9, application="scanner", environment="test")]
    contents = queries.contents(read(events, []))
    assert contents is not None
    assert contents.applications == ("reader", "scanner")
    assert contents.environments == (("prod", 3), ("test", 1))
    assert contents.predictions == 4
    assert (contents.oldest, contents.newest) == (AUGUST, AUGUST + timedelta(days=9))


def test_a_log_of_nothing_is_about_nothing(read: Read) -> None:
    assert queries.contents(read([], [])) is None


@pytest.mark.parametrize("sizes", [(30, 30), (30, 600), (600, 30), (330, 240)])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.5])
def test_where_nothing_changed_a_change_is_told_about_one_time_in_twenty(
    sizes: tuple[int, int], share: float
) -> None:
    rng = np.random.default_rng(5)
    repeats = rounds(2_000, 20_000)
    draws = [rng.binomial(size, share, repeats) for size in sizes]
    told = sum(
        _between(int(now), sizes[0], int(before), sizes[1]).verdict in ("lower", "higher")
        for now, before in zip(*draws, strict=True)
    )
    assert told / repeats < 0.075


def test_a_change_of_a_third_is_told_of_samples_like_these() -> None:
    rng = np.random.default_rng(6)
    draws = zip(rng.binomial(330, 0.27, 500), rng.binomial(240, 0.46, 500), strict=True)
    told = [_between(int(now), 330, int(before), 240).verdict for now, before in draws]
    assert told.count("lower") > 450
    assert "higher" not in told


def _between(now: int, total: int, before: int, before_total: int) -> ShareChange:
    """The change between two versions of so many predictions."""
    older, newer = (
        VersionRate("v", AUGUST, count, size, *rates.wilson(count, size), EVERYTHING)
        for count, size in ((before, before_total), (now, total))
    )
    compared = queries.version_change([older, newer])
    assert compared is not None
    return compared.change


def test_what_only_corrected_records_have_is_no_change_of_all(sample_log: OpenLog) -> None:
    warehouse = sample_log.warehouse
    recent = queries.recent_window(warehouse, Selection(environment=("prod",)))
    before = queries.window_before(warehouse, recent)
    names = [move.pair.projection.name for move in queries.moves(warehouse, recent, before, 50)]
    partial = [
        pair.projection.name
        for pair in queries.histogram_pairs(warehouse, recent, before)
        if queries.gap(pair) is not None
    ]
    assert names and partial and not {*names} & {*partial}
