import gzip
import io
import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.stats

from data_access import queries
from data_access.api import OpenLog
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.selection import Range, Selection
from data_access.statistics import rates
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import (
    FLAGGED,
    IMAGES,
    RECORDS,
    SAMPLE,
    SERVED,
    Event,
    feedback,
    lines,
    picture,
    prediction,
    replace_object,
    rounds,
    write,
    write_picture,
)

ENTROPY = "entropy(outputs.output_text)"
ERRORS = "character_error_rate(outputs.output_text)"
OBSCENE = "detoxify.obscene(outputs.output_text)"
PROD, TEST = Selection(environment=("prod",)), Selection(environment=("test",))
NOWHERE = Selection(environment=("nowhere",))


@pytest.fixture(scope="module")
def warehouse(sample_log: OpenLog) -> Warehouse:
    return sample_log.warehouse


def raw_events(kind: str) -> list[Event]:
    """The sample's events, read with nothing of this project's; broken ones left out."""
    found: list[Event] = []
    for path in sorted((SAMPLE / kind).rglob("*.*")):
        body = path.read_bytes()
        if path.suffix == ".parquet":
            found += pq.read_table(io.BytesIO(body)).to_pylist()
            continue
        for line in (gzip.decompress(body) if path.suffix == ".gz" else body).splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return [event for event in found if event.get("record_key")]


def test_the_sample_holds_every_event_that_was_logged(sample_frame: pd.DataFrame) -> None:
    served = {event["record_key"]: event for event in raw_events("predictions")}
    assert sorted(sample_frame["record_key"]) == sorted(served)
    for row in sample_frame.to_dict("records"):
        event = served[row["record_key"]]
        outputs = event.get("outputs", {})
        output = outputs.get("output_text", event.get("outputs.output_text"))
        assert row["outputs.output_text"] == output
        assert row["environment"] == event["environment"]
        assert row["timestamp"] == pd.Timestamp(event["timestamp"]).tz_convert("UTC")
    said = pd.DataFrame(raw_events("feedback"))
    flags = said.dropna(subset="flag").groupby("record_key")["flag"].agg(set)
    for key, held in sample_frame.set_index("record_key")["feedback.flags"].items():
        assert set(held) == flags.get(key, set())


def test_status_counts_everything(warehouse: Warehouse, sample_frame: pd.DataFrame) -> None:
    status = queries.status(warehouse)
    assert (status.predictions, status.flagged, status.quarantined) == (RECORDS, FLAGGED, 2)
    assert (status.unscored, status.waiting) == (0, 0)
    assert status.oldest == sample_frame["timestamp"].min().to_pydatetime()
    assert status.newest == sample_frame["timestamp"].max().to_pydatetime()
    assert status.synced is not None
    assert abs(datetime.now(UTC) - status.synced) < timedelta(hours=1)


def test_coverage_counts_a_selection(warehouse: Warehouse, sample_frame: pd.DataFrame) -> None:
    prod = sample_frame[sample_frame["environment"] == "prod"]
    coverage = queries.coverage(warehouse, PROD)
    assert (coverage.predictions, coverage.flagged) == (SERVED, FLAGGED)
    assert coverage.images == prod["inputs.image"].nunique()
    assert (coverage.without_image, coverage.unreadable_images, coverage.unscored) == (0, 0, 0)
    assert queries.coverage(warehouse, NOWHERE) == queries.Coverage(0, 0, 0, 0, 0, 0)


def test_the_sample_is_scored(warehouse: Warehouse) -> None:
    unscored = queries.unscored_by_projection(warehouse)
    assert unscored[ENTROPY] == 0
    assert unscored[OBSCENE] == 0
    assert unscored[ERRORS] == 0


def test_what_no_model_has_scored_has_no_value_anywhere(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    served = prediction("b", environment="test")
    write(folder_log, "predictions/1.jsonl", prediction("a"), served)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    assert queries.unscored_by_projection(warehouse)[OBSCENE] == 2
    pairs = queries.histogram_pairs(warehouse, PROD, TEST)
    assert OBSCENE not in {pair.projection.name for pair in pairs}
    assert queries.histogram_pair(warehouse, PROD, TEST, OBSCENE) is None
    assert queries.low_range(warehouse, TEST, OBSCENE) is None
    assert queries.daily_means(warehouse, PROD, [OBSCENE])[OBSCENE].isna().all()
    case = queries.case(warehouse, "a")
    assert case is not None and case.record.projections[OBSCENE] is None


def test_choices_are_the_most_frequent_first(warehouse: Warehouse) -> None:
    assert queries.choices(warehouse, "environment") == ["prod", "test"]
    assert queries.choices(warehouse, "version") == ["v1", "v2"]
    assert queries.flags(warehouse) == ["incorrect", "offensive", "other"]


def test_quarantine_holds_the_two_broken_lines(warehouse: Warehouse) -> None:
    held = queries.quarantine(warehouse)
    days = [key.split("date=")[1][:10] for key in held["object_key"]]
    assert days == ["2026-07-21", "2026-08-05"]
    assert held["reason"].iloc[1] == "record_key: Field required"
    assert len(queries.quarantine(warehouse, 1)) == 1


def test_objects_by_day_add_up_to_the_log(warehouse: Warehouse) -> None:
    held = queries.objects_by_day(warehouse)
    kinds = ("predictions", "feedback", "annotations", "projections")
    files = [path for kind in kinds for path in (SAMPLE / kind).rglob("*") if path.is_file()]
    assert held["objects"].sum() == len(files)
    assert held["bytes"].sum() == sum(path.stat().st_size for path in files)
    assert held.loc[held["kind"] == "predictions", "events"].sum() >= RECORDS


@pytest.mark.parametrize(("bucket", "rule"), [("hour", "h"), ("day", "D"), ("week", "W-SUN")])
def test_flag_trend_adds_up_and_leaves_no_gap(
    warehouse: Warehouse, sample_frame: pd.DataFrame, bucket: Any, rule: str
) -> None:
    trend = queries.flag_trend(warehouse, PROD, bucket)
    prod = sample_frame[sample_frame["environment"] == "prod"].copy()
    naive = prod["timestamp"].dt.tz_localize(None)
    prod["bucket"] = naive.dt.to_period(rule).dt.start_time
    buckets = trend["bucket"].unique()
    step = pd.Timedelta(1, "h") * {"hour": 1, "day": 24, "week": 168}[bucket]
    assert set(np.diff(buckets)) == {step.to_numpy()}
    steps = int((prod["bucket"].max() - prod["bucket"].min()) / step) + 1
    assert buckets[-1] == prod["bucket"].max()
    assert len(buckets) == min(steps, 400)
    assert set(trend["left_out"]) == {steps - len(buckets)}
    assert len(trend) == 3 * len(buckets)
    served = prod.groupby("bucket").size()
    flagged = prod.explode("feedback.flags").groupby(["bucket", "feedback.flags"]).size()
    for row in trend.to_dict("records"):
        assert row["predictions"] == served.get(row["bucket"], 0)
        assert row["flagged"] == flagged.get((row["bucket"], row["flag"]), 0)
        share = row["flagged"] / row["predictions"] if row["predictions"] else math.nan
        assert row["share"] == pytest.approx(share, nan_ok=True)
        low, high = rates.wilson(row["flagged"], row["predictions"])
        assert (row["low"], row["high"]) == pytest.approx((low, high), nan_ok=True)
    assert list(trend["filling"]) == [at == buckets[-1] for at in trend["bucket"]]


def test_flag_trend_of_nothing_is_empty(warehouse: Warehouse) -> None:
    assert queries.flag_trend(warehouse, NOWHERE, "day").empty
    assert queries.flag_trend(warehouse, TEST, "day").empty
    with pytest.raises(ValueError, match="no such bucket"):
        queries.flag_trend(warehouse, PROD, "day'; --")  # type: ignore[arg-type]


def day(month: int, number: int) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


def test_windows_are_of_whole_days_and_end_where_the_next_begins(warehouse: Warehouse) -> None:
    window = queries.window(warehouse, PROD)
    assert (window.since, window.until) == (day(7, 6), day(8, 31))
    recent = queries.recent_window(warehouse, PROD)
    assert (recent.since, recent.until) == (day(8, 3), day(8, 31))
    before = queries.window_before(warehouse, recent)
    assert (before.since, before.until) == (day(7, 6), day(8, 3))
    assert before.environment == ("prod",)
    week = Selection(since=day(8, 10), until=day(8, 17))
    assert queries.window_before(warehouse, week) == Selection(since=day(8, 3), until=day(8, 10))
    assert queries.window_before(warehouse, NOWHERE) == NOWHERE
    assert queries.recent_window(warehouse, week) == week


def test_time_span_is_that_of_the_selection(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    times = sample_frame.loc[sample_frame["environment"] == "test", "timestamp"]
    assert queries.time_span(warehouse, TEST) == (times.min(), times.max())
    assert queries.time_span(warehouse, NOWHERE) is None


def side(frame: pd.DataFrame, environment: str, name: str) -> tuple[np.ndarray, int]:
    """Sorted values of an environment, and how many records have none."""
    values = frame.loc[frame["environment"] == environment, name]
    return np.sort(values.dropna().to_numpy()), int(values.isna().sum())


def test_histogram_pairs_count_what_pandas_counts(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    pairs = queries.histogram_pairs(warehouse, PROD, TEST)
    assert [pair.projection.name for pair in pairs][:2] == [
        ENTROPY, "greyscale_image_mean(inputs.image)",
    ]  # fmt: skip
    for pair in pairs:
        values, missing = side(sample_frame, "prod", pair.projection.name)
        baseline, baseline_missing = side(sample_frame, "test", pair.projection.name)
        edges = [-math.inf, *pair.bins.edges[1:-1], math.inf]
        assert list(pair.counts) == list(np.histogram(values, edges)[0])
        assert list(pair.baseline_counts) == list(np.histogram(baseline, edges)[0])
        assert (pair.n, pair.missing) == (len(values), missing)
        assert (pair.baseline_n, pair.baseline_missing) == (len(baseline), baseline_missing)
        assert pair.drift.mean == pytest.approx(values.mean())
        u = scipy.stats.mannwhitneyu(values, baseline).statistic
        assert pair.drift.effect == pytest.approx(2 * u / (len(values) * len(baseline)) - 1)
    corrected = scipy.stats.false_discovery_control([pair.drift.p for pair in pairs])
    assert [pair.corrected_p for pair in pairs] == pytest.approx(list(corrected))


def test_the_story_of_the_sample_is_told_by_its_verdicts(warehouse: Warehouse) -> None:
    pairs = queries.histogram_pairs(warehouse, PROD, TEST)
    verdicts = {pair.projection.name: pair.verdict for pair in pairs}
    assert verdicts["greyscale_image_mean(inputs.image)"] == "clearly higher"
    assert verdicts[ENTROPY] in ("moderately lower", "clearly lower")


def test_rows_of_a_brush_are_the_counts_of_its_bars(warehouse: Warehouse) -> None:
    for pair in queries.histogram_pairs(warehouse, PROD, TEST):
        first, last = pair.bins.bars // 4, pair.bins.bars // 2
        low, high = pair.bins.around(pair.bins.edges[first], pair.bins.edges[last + 1])
        brushed = PROD.with_range(Range(pair.projection.name, low, high))
        assert (
            queries.coverage(warehouse, brushed).predictions == pair.counts[first : last + 1].sum()
        )
        missing = PROD.with_range(Range(pair.projection.name, missing=True))
        assert queries.coverage(warehouse, missing).predictions == pair.missing
        bars = [
            PROD.with_range(Range(pair.projection.name, *pair.bins.around(low, high)))
            for low, high in zip(pair.bins.edges, pair.bins.edges[1:], strict=False)
        ]
        counts = [queries.coverage(warehouse, bar).predictions for bar in bars[:3] + bars[-2:]]
        assert counts == [*pair.counts[:3], *pair.counts[-2:]]


def test_one_pair_is_not_corrected(warehouse: Warehouse) -> None:
    pair = queries.histogram_pair(warehouse, PROD, TEST, ENTROPY)
    assert pair is not None
    assert pair.corrected_p == pair.drift.p


@pytest.mark.parametrize(("one", "other"), [(NOWHERE, TEST), (PROD, NOWHERE), (NOWHERE, NOWHERE)])
def test_an_empty_side_has_no_verdict(
    warehouse: Warehouse, one: Selection, other: Selection
) -> None:
    pairs = queries.histogram_pairs(warehouse, one, other)
    assert {pair.verdict for pair in pairs} == {"no values"}
    assert len(queries.drift_table(pairs)) == len(pairs)


def test_the_drift_table_has_what_differs_first_then_the_largest_effect(
    warehouse: Warehouse,
) -> None:
    pairs = queries.histogram_pairs(warehouse, PROD, TEST)
    table = queries.drift_table(pairs)
    assert sorted(table["projection"]) == sorted(pair.projection.name for pair in pairs)
    assert table["gap"].notna().is_monotonic_increasing, "what is of few records comes last"
    table = table[table["gap"].isna()]
    differs = table["verdict"].isin(queries.DIFFERENT)
    assert differs.is_monotonic_decreasing
    assert table.loc[differs, "effect"].abs().is_monotonic_decreasing
    assert table.loc[~differs, "effect"].abs().is_monotonic_decreasing


def test_what_only_corrected_records_have_stays_out_of_the_answer(warehouse: Warehouse) -> None:
    pairs = {pair.projection.name: pair for pair in queries.histogram_pairs(warehouse, PROD, TEST)}
    errors = pairs["character_error_rate(outputs.output_text)"]
    assert errors.verdict == "clearly higher"
    assert queries.gap(errors) == "corrected records only"
    answer = queries.drift_answer(list(pairs.values()))
    truths = {name for name, pair in pairs.items() if pair.projection.group == "truth"}
    assert {pair.projection.name for pair in answer.partial} == truths
    assert answer.compared == len(pairs) - len(truths)
    effects = [abs(pair.drift.effect) for pair in answer.different]
    assert effects == sorted(effects, reverse=True)
    assert {pair.verdict for pair in answer.different} <= set(queries.DIFFERENT)


@pytest.mark.parametrize(
    ("name", "n", "missing", "gap"),
    [
        (ENTROPY, 50, 50, None),
        (ENTROPY, 49, 51, "mostly missing"),
        (ENTROPY, 0, 0, None),
        ("character_error_rate(outputs.output_text)", 95, 5, None),
        ("character_error_rate(outputs.output_text)", 94, 6, "corrected records only"),
        ("detoxify.obscene(feedback.ground_truth_string)", 10, 90, "corrected records only"),
    ],
)
def test_a_gap_on_either_side_is_told(
    warehouse: Warehouse, name: str, n: int, missing: int, gap: str | None
) -> None:
    pair = queries.histogram_pair(warehouse, PROD, TEST, ENTROPY)
    assert pair is not None
    whole = replace(pair.drift, n=100, baseline_n=100)
    row = warehouse.projections[name]
    pair = replace(pair, projection=row, missing=0, baseline_missing=0, drift=whole)
    ours = replace(pair, drift=replace(whole, n=n), missing=missing)
    theirs = replace(pair, drift=replace(whole, baseline_n=n), baseline_missing=missing)
    assert queries.gap(ours) == queries.gap(theirs) == gap


def test_groups_have_each_projection_once_and_those_alike_apart(warehouse: Warehouse) -> None:
    pairs = queries.histogram_pairs(warehouse, PROD, TEST)
    groups = queries.drift_groups(pairs)
    assert [group.name for group in groups] == ["text", "image", "toxicity", "truth"]
    verdicts = {pair.projection.name: pair.verdict for pair in pairs}
    members = [name for group in groups for name in (*group.shown, *group.similar)]
    assert sorted(members) == sorted(verdicts)
    for group in groups:
        assert {verdicts[name] for name in group.similar} <= {
            "negligible difference", "no clear difference",
        }  # fmt: skip
        assert {warehouse.projections[name].group for name in group.shown} <= {group.name}
    assert not queries.drift_groups([])


def test_low_and_high_ranges_are_the_baselines_percentiles(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    values, _ = side(sample_frame, "test", ENTROPY)
    low, high = (ask(warehouse, TEST, ENTROPY) for ask in (queries.low_range, queries.high_range))
    assert low is not None
    assert high is not None
    assert (low.name, low.low) == (high.name, high.high) == (ENTROPY, None)
    assert [low.high, high.low] == pytest.approx(list(np.quantile(values, [0.05, 0.95])))
    assert queries.low_range(warehouse, NOWHERE, ENTROPY) is None


def ordered(frame: pd.DataFrame, sort: str, descending: bool) -> list[str]:
    by_key = frame.sort_values("record_key")
    return list(
        by_key.sort_values(
            sort, ascending=not descending, kind="stable", na_position="last"
        )["record_key"]
    )  # fmt: skip


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", ["timestamp", ENTROPY, ERRORS, "words(outputs.output_text)"])
def test_pages_hold_every_case_once_in_order(
    warehouse: Warehouse, sample_frame: pd.DataFrame, sort: str, descending: bool
) -> None:
    prod = sample_frame[sample_frame["environment"] == "prod"]
    shown: list[str] = []
    for number in range(-(-SERVED // 50)):
        page = queries.cases_page(warehouse, PROD, sort, descending, number, size=50)
        assert (page.total, page.first) == (SERVED, number * 50)
        assert [record.record_key for record in page.records] == list(page.rows["record_key"])
        shown += list(page.rows["record_key"])
    assert shown == ordered(prod, sort, descending)


def test_a_page_past_the_end_is_the_last_one(warehouse: Warehouse) -> None:
    page = queries.cases_page(warehouse, PROD, page=99, size=50)
    assert (page.first, len(page.rows)) == (550, 20)
    assert queries.cases_page(warehouse, PROD, page=-5, size=50).first == 0
    nothing = queries.cases_page(warehouse, NOWHERE)
    assert (nothing.total, nothing.first, len(nothing.rows)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("ranges", "order"),
    [
        ((), ("timestamp", True)),
        ((Range(ENTROPY, missing=True),), ("timestamp", True)),
        ((Range(ENTROPY, high=1.6),), (ENTROPY, False)),
        ((Range(ENTROPY, low=1.6),), (ENTROPY, True)),
        ((Range(ENTROPY, 0.0, 1.6),), (ENTROPY, False)),
        ((Range(ENTROPY, 5.5, 6.0),), (ENTROPY, True)),
        ((Range(ENTROPY, high=1.6), Range(OBSCENE, low=0.1)), (OBSCENE, True)),
        ((Range(OBSCENE, low=0.1), Range(ENTROPY, high=1.6)), (ENTROPY, False)),
    ],
)
def test_cases_are_usually_sorted_by_what_was_filtered_strangest_first(
    warehouse: Warehouse, ranges: tuple[Range, ...], order: tuple[str, bool]
) -> None:
    assert queries.usual_order(warehouse, replace(PROD, ranges=ranges), TEST) == order
    assert queries.usual_order(warehouse, replace(PROD, ranges=ranges), NOWHERE)[0] == order[0]


def test_cases_cannot_be_sorted_by_a_strangers_words(warehouse: Warehouse) -> None:
    assert queries.sort_names(warehouse)[:2] == ["timestamp", ENTROPY]
    for sort in ("record_key", '"; drop table records', "entropy(x)"):
        with pytest.raises(ValueError, match="cannot be sorted by"):
            queries.cases_page(warehouse, PROD, sort)
        with pytest.raises(ValueError, match="cannot be sorted by"):
            queries.neighbours(warehouse, PROD, sort, True, "x")


def test_a_case_says_how_many_records_show_its_image(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    reports = sample_frame["inputs.image"].value_counts()
    rows = queries.cases_page(warehouse, Selection(), size=RECORDS).rows
    assert list(rows["same_image"]) == list(reports[rows["inputs.image"]])
    once = queries.cases_page(warehouse, Selection(images="once"), size=RECORDS)
    assert (once.total, once.rows["same_image"].max()) == (IMAGES, 12)
    key = rows.loc[rows["same_image"] == 12, "record_key"].iloc[0]
    case = queries.case(warehouse, key)
    assert case is not None
    assert case.same_image == 12


def test_a_case_has_all_that_is_known_of_it(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    key = sample_frame.sort_values("feedback.reports")["record_key"].iloc[-1]
    case = queries.case(warehouse, key)
    assert case is not None
    said = pd.DataFrame(raw_events("feedback"))
    expected = said[said["record_key"] == key].sort_values("timestamp")
    assert list(case.feedback["feedback_key"]) == list(expected["feedback_key"])
    assert list(case.feedback["user"]) == list(expected["user"])
    assert case.record.reports == len(expected) == 3
    assert queries.case(warehouse, "nobody") is None


@pytest.mark.soak
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", ["timestamp", ERRORS, "words(outputs.output_text)"])
def test_walking_from_case_to_case_is_the_order_of_the_pages(
    warehouse: Warehouse, sort: str, descending: bool
) -> None:
    some = Selection(environment=("prod",), flag=("*",))
    keys = list(
        queries.cases_page(warehouse, some, sort, descending, size=RECORDS).rows["record_key"]
    )
    ends = [0, 1, len(keys) - 2, len(keys) - 1]
    for place in sorted({*ends, *range(2, len(keys), rounds(9, 1))}):
        found = queries.neighbours(warehouse, some, sort, descending, keys[place])
        assert found == queries.Neighbours(
            place=place,
            total=len(keys),
            previous=keys[place - 1] if place else None,
            following=keys[place + 1] if place + 1 < len(keys) else None,
        )


def test_a_case_outside_the_selection_has_no_neighbours(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    key = sample_frame.loc[sample_frame["environment"] == "test", "record_key"].iloc[0]
    assert queries.neighbours(warehouse, PROD, "timestamp", True, key) is None
    assert queries.neighbours(warehouse, PROD, "timestamp", True, "nobody") is None


def test_places_are_shares_of_the_baseline(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    case = queries.case(warehouse, sample_frame["record_key"].iloc[-1])
    assert case is not None
    for place in queries.places(warehouse, TEST, case.record):
        values, _ = side(sample_frame, "test", place.projection.name)
        assert place.baseline_counts.sum() == len(values)
        assert place.value == case.record.projections[place.projection.name]
        if place.value is None or not len(values):
            assert math.isnan(place.lower)
            assert math.isnan(place.higher)
        else:
            assert place.lower == pytest.approx((values > place.value).mean())
            assert place.higher == pytest.approx((values < place.value).mean())
    assert all(math.isnan(p.lower) for p in queries.places(warehouse, NOWHERE, case.record))


def test_share_changes_compare_two_windows(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    recent = queries.recent_window(warehouse, PROD)
    before = queries.window_before(warehouse, recent)
    prod = sample_frame[sample_frame["environment"] == "prod"]
    new, old = (prod[prod["timestamp"] >= day(8, 3)], prod[prod["timestamp"] < day(8, 3)])
    found = {one.name: one for one in queries.share_changes(warehouse, recent, before, TEST)}
    low = np.quantile(side(sample_frame, "test", ENTROPY)[0], 0.05)

    def flagged(frame: pd.DataFrame, flag: str) -> int:
        return sum(flag in flags for flags in frame["feedback.flags"])

    def few_words(frame: pd.DataFrame) -> int:
        return int((frame[ENTROPY] < low).sum())

    def any_flag(frame: pd.DataFrame) -> int:
        return int((frame["feedback.flags"].map(len) > 0).sum())

    expected = {
        "flagged": any_flag,
        "flagged incorrect": lambda frame: flagged(frame, "incorrect"),
        "flagged offensive": lambda frame: flagged(frame, "offensive"),
        "flagged other": lambda frame: flagged(frame, "other"),
        "low word entropy": few_words,
    }
    assert list(found) == list(expected)
    for name, count in expected.items():
        one = found[name]
        assert (one.count, one.predictions) == (count(new), len(new))
        assert (one.before_count, one.before_predictions) == (count(old), len(old))
        assert one.change == pytest.approx(count(new) / len(new) - count(old) / len(old))
        assert one.low <= one.change <= one.high
        assert (one.verdict == "lower") == (one.high < 0)
        for selection, counted in (
            (one.records, one.count),
            (one.before_records, one.before_count),
        ):
            assert queries.coverage(warehouse, selection).predictions == counted
    [nothing, *_] = queries.share_changes(warehouse, NOWHERE, NOWHERE, NOWHERE)
    assert math.isnan(nothing.share)
    assert nothing.verdict == "not enough data"


def test_releases_are_the_first_record_of_each_version(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    prod = sample_frame[sample_frame["environment"] == "prod"]
    first = prod.groupby("version")["timestamp"].min().dt.tz_localize(None)
    found = queries.releases(warehouse, PROD).set_index("version")["released"]
    assert found.to_dict() == first.to_dict()


def test_newest_flags_are_those_said_last(warehouse: Warehouse) -> None:
    said = pd.DataFrame(raw_events("feedback"))
    said["timestamp"] = pd.to_datetime(said["timestamp"], format="ISO8601")
    last = said.dropna(subset="flag").groupby("record_key")["timestamp"].max()
    expected = last.sort_values(ascending=False).index[:10]
    assert list(queries.newest_flags(warehouse, PROD, 10)["record_key"]) == list(expected)
    assert queries.newest_flags(warehouse, TEST, 10).empty


def test_daily_means_are_pandas(warehouse: Warehouse, sample_frame: pd.DataFrame) -> None:
    found = queries.daily_means(warehouse, PROD, [ENTROPY]).set_index("day")
    prod = sample_frame[sample_frame["environment"] == "prod"]
    days = prod["timestamp"].dt.tz_localize(None).dt.floor("D")
    expected = prod.groupby(days)[ENTROPY].mean()
    assert list(found.index) == list(expected.index)
    assert found[ENTROPY].to_numpy() == pytest.approx(expected.to_numpy())


def test_exported_records_have_dotted_names_and_a_column_for_each_tag(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    served = {event["record_key"]: event for event in raw_events("predictions")}
    first = ["record_key", "timestamp", "environment", "application"]
    assert list(sample_frame.columns[:4]) == first
    assert sample_frame["timestamp"].is_monotonic_increasing
    assert sample_frame["tags.latency_ms"].dtype == np.float64
    for row in sample_frame.to_dict("records"):
        event = served[row["record_key"]]
        tags = event.get("tags") or {
            name.removeprefix("tags."): event[name] for name in event if name.startswith("tags.")
        }
        assert row["tags.client"] == tags["client"]
        assert row["tags.latency_ms"] == tags["latency_ms"]


def test_answers_are_new_after_a_sync(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    warehouse = open_warehouse(folder_log)
    everything = Selection()

    def answers() -> list[Any]:
        trend = queries.flag_trend(warehouse, everything, "day")
        return [
            queries.coverage(warehouse, everything).predictions,
            int(trend["flagged"].sum()),
            queries.cases_page(warehouse, everything).total,
            len(queries.histogram_pairs(warehouse, everything, everything)),
            queries.flags(warehouse),
        ]

    sync(folder_log, warehouse)
    assert answers() == [0, 0, 0, 0, []]
    key = write(folder_log, "predictions/1.json", prediction("a"))
    write(folder_log, "feedback/1.json", feedback("a"))
    sync(folder_log, warehouse)
    one = answers()
    assert one[:3] == [1, 1, 1]
    assert one[3] > 0
    replace_object(folder_log, key, lines([prediction("a"), prediction("b")]))
    write(folder_log, "feedback/2.json", feedback("b", "other"))
    sync(folder_log, warehouse)
    assert answers()[:3] == [2, 2, 2]
    assert queries.flags(warehouse) == ["incorrect", "other"]


def test_records_without_images_texts_or_times_apart_are_cases_too(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    image = write_picture(folder_log, picture())
    events = [prediction("c", None), prediction("a"), prediction("b", "", inputs__image=image)]
    write(folder_log, "predictions/1.jsonl", *events)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    page = queries.cases_page(warehouse, Selection(images="once"), ENTROPY, descending=False)
    assert list(page.rows["record_key"]) == ["b", "a", "c"]
    assert list(page.rows["same_image"]) == [1, 1, 1]
    for key in "abc":
        case = queries.case(warehouse, key)
        assert case is not None
        assert case.same_image == 1
        assert len(queries.places(warehouse, Selection(), case.record)) > 5
    at_once = queries.cases_page(warehouse, Selection())
    assert list(at_once.rows["record_key"]) == ["a", "b", "c"]


def test_where_each_image_counts_once_a_brush_still_lists_its_bars(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    image = write_picture(folder_log, picture())
    texts = ["one two three four five six", "the the the", "one two", "a b c d e f g h", "x"]
    events = [prediction(f"k{i}", text, inputs__image=image) for i, text in enumerate(texts)]
    write(folder_log, "predictions/a.jsonl", *events, prediction("alone", "quite alone here"))
    write(folder_log, "feedback/a.jsonl", feedback("k3"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    once = Selection(images="once")
    name = "entropy(outputs.output_text)"
    pair = queries.histogram_pair(warehouse, once, once, name)
    assert pair is not None and pair.n == 2
    for number, count in enumerate(pair.counts):
        low, high = pair.bins.edges[number], pair.bins.edges[number + 1]
        middle = (low + high) / 2
        brushed = once.with_range(Range(name, *pair.bins.around(middle, middle)))
        assert queries.coverage(warehouse, brushed).predictions == count
    assert queries.coverage(warehouse, once).flagged == 1, "a flagged report stands for the rest"
    assert queries.coverage(warehouse, Selection(images="once", flag=("*",))).predictions == 1


def test_a_filter_by_flag_leaves_rates_of_all_that_was_served(warehouse: Warehouse) -> None:
    flagged = Selection(environment=("prod",), flag=("offensive",))
    trend = queries.flag_trend(warehouse, flagged, "week")
    assert set(trend["flag"]) == {"offensive"}
    assert trend.groupby("bucket")["predictions"].first().sum() == SERVED
    (first, *_) = queries.share_changes(warehouse, flagged, flagged, TEST)
    assert (first.name, first.predictions) == ("flagged", SERVED)


def test_one_wrong_clock_does_not_make_a_million_bars(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(
        folder_log,
        "predictions/a.jsonl",
        prediction("old", timestamp="1970-01-01T00:00:00Z"),
        prediction("new"),
    )
    write(folder_log, "feedback/a.jsonl", feedback("old"), feedback("new"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    trend = queries.flag_trend(warehouse, Selection(), "hour")
    assert len(trend) == 400
    assert trend["left_out"].iloc[0] > 400_000


def test_the_window_before_all_times_is_that_before_their_last_28_days(
    warehouse: Warehouse,
) -> None:
    found = queries.baseline(warehouse, PROD, queries.BEFORE)
    older = queries.coverage(warehouse, found.selection).predictions
    newer = queries.coverage(warehouse, found.compared).predictions
    assert (older, newer) == (241, 329)


def test_rare_values_have_bars_of_their_own(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    texts = ["plain"] * 400 + ["é"]
    events = [prediction(f"k{i}", text) for i, text in enumerate(texts)]
    write(folder_log, "predictions/a.jsonl", *events)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    pair = queries.histogram_pair(
        warehouse, Selection(), Selection(), "outside_alphabet(outputs.output_text)"
    )
    assert pair is not None
    assert pair.counts[0] == 400 and pair.counts[-1] == 1
