"""Rates measured by random draws: do their intervals cover; agreement of reviewers; the queues."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from data_access import queries
from data_access.errors import JudgementError
from data_access.ingest.sync import sync
from data_access.judging import NewReview, create_mode, keep_draw, merge_modes, write_reviews
from data_access.log import Log
from data_access.records import Review
from data_access.selection import Selection, parse_selection
from data_access.statistics.agreement import agreement
from data_access.statistics.measured import (
    Stratum,
    allocation,
    difference,
    exact,
    more_needed,
    rate,
    rule_quality,
    simple,
)
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import feedback, prediction, rounds, write

PROD = Selection(environment=("prod",))


@pytest.mark.parametrize(("count", "total"), [(0, 30), (1, 30), (18, 100), (30, 30), (250, 500)])
def test_the_exact_interval_is_that_of_another_implementation(count: int, total: int) -> None:
    expected = binomtest(count, total).proportion_ci(method="exact")
    assert exact(count, total) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("total", [30, 60, 120, 250, 500])
def test_intervals_of_simple_draws_cover(total: int) -> None:
    """Exactly, from the binomial distribution; nothing is drawn."""
    limits = np.array([exact(count, total) for count in range(total + 1)])
    for true in np.linspace(0.01, 0.5, 50):
        inside = (limits[:, 0] <= true) & (true <= limits[:, 1])
        assert binom.pmf(np.arange(total + 1), total, true)[inside].sum() >= 0.95


@pytest.mark.parametrize("size", [60, 200])
@pytest.mark.parametrize("rates", [(0.05, 0.005), (0.5, 0.02), (0.9, 0.1), (0.95, 0.4)])
def test_intervals_of_stratified_draws_cover(size: int, rates: tuple[float, float]) -> None:
    population = (300, 1_700)
    weights = np.array(population) / sum(population)
    true = float(weights @ np.array(rates))
    counts = allocation(list(weights), list(rates), size) or [
        round(size * share) for share in weights
    ]
    generator = np.random.default_rng(size)
    bad = [round(share * of) for share, of in zip(rates, population, strict=True)]
    true = sum(bad) / sum(population)
    draws = rounds(400, 4_000)
    seen = [
        generator.hypergeometric(wrong, of - wrong, count, draws)
        for wrong, of, count in zip(bad, population, counts, strict=True)
    ]
    covered = 0
    for pair in zip(*seen, strict=True):
        measured = rate(
            [
                Stratum(weight, int(wrong), count, of)
                for weight, wrong, count, of in zip(weights, pair, counts, population, strict=True)
            ]
        )
        covered += measured.low <= true <= measured.high
    assert covered / draws >= 0.93


@pytest.mark.parametrize("size", [30, 100])
@pytest.mark.parametrize("true", [0.01, 0.1, 0.5])
def test_it_seldom_says_that_a_rate_fell_which_did_not(size: int, true: float) -> None:
    probability = binom.pmf(np.arange(size + 1), size, true)
    rates = [simple(count, size) for count in range(size + 1)]
    fell = covers = 0.0
    for before, p in zip(rates, probability, strict=True):
        for after, q in zip(rates, probability, strict=True):
            _, low, high = difference(after, before)
            fell += p * q * (high < 0)
            covers += p * q * (low <= 0 <= high)
    assert fell <= 0.05 and covers >= 0.93


def test_a_rate_of_everything_has_no_doubt_left() -> None:
    assert simple(3, 10, population=10) == (whole := simple(3, 10, 10))
    assert (whole.low, whole.high) == pytest.approx((0.3, 0.3))
    assert math.isnan(rate([]).share)
    assert rate([Stratum(0.5, 1, 2, 50), Stratum(0.5, 0, 0, 50)]).share == 0.5


def test_what_more_reviews_would_bring() -> None:
    strata = [Stratum(1.0, 18, 100, 4_012)]
    more = more_needed(strata, 0.05)
    assert more is not None
    total = 100 + more
    assert simple(round(0.18 * total), total, 4_012).half_width <= 0.0505
    assert simple(round(0.18 * (total - 10)), total - 10, 4_012).half_width > 0.0495
    assert more_needed(strata, 0.2) == 0
    assert more_needed([Stratum(1.0, 0, 0, 10)], 0.05) is None


def test_strata_are_used_where_they_narrow() -> None:
    assert allocation([0.3, 0.7], [0.95, 0.02], 200) is not None
    assert allocation([0.5, 0.5], [0.2, 0.2], 200) is None
    assert allocation([0.001, 0.999], [0.9, 0.1], 100) is None, "too few would be drawn of one"


def test_the_quality_of_a_rule() -> None:
    quality = rule_quality(both=30, rule_alone=10, mode_alone=20)
    assert (quality.precision.share, quality.recall.share) == (0.75, 0.6)
    assert quality.precision.low < 0.75 < quality.precision.high
    assert math.isnan(rule_quality(0, 0, 0).precision.share)


def test_agreement_of_two_reviewers() -> None:
    """Counts of Cohen's table: both yes 20, first alone 5, second alone 10, both no 15."""
    table = {(1, 1): 20, (1, 0): 5, (0, 1): 10, (0, 0): 15}
    judged = np.array([pair for pair, count in table.items() for _ in range(count)], dtype=float)
    found = agreement(judged)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.positive.value == pytest.approx(40 / 55)
    assert found.kappa.low < 0.4 < found.kappa.high
    assert agreement(judged[:, [1, 0]]) == found


def test_agreement_of_several_reviewers_and_of_some_records() -> None:
    """Krippendorff's own example of binary data: two observers, ten units, α = 0.095."""
    first = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    second = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    judged = np.array([first, second], dtype=float).T
    assert agreement(judged).alpha.value == pytest.approx(0.095, abs=0.001)
    alone = np.array([[1, math.nan, math.nan]])
    third = np.hstack([judged, np.full((10, 1), math.nan)])
    found = agreement(np.vstack([third, alone]))
    assert (found.records, found.alpha.value) == (10, agreement(judged).alpha.value)
    assert math.isnan(agreement(np.empty((0, 2))).kappa.value)
    assert math.isnan(agreement(np.zeros((20, 2))).positive.value), "nobody ever said yes"


@pytest.fixture
def reviewed_log(folder_log: Log, open_warehouse: OpenWarehouse) -> tuple[Log, Warehouse]:
    """400 records of 8 days, a quarter of them flagged; r0 and r1 show one image."""
    start = datetime(2026, 7, 1, tzinfo=UTC)
    events = [
        prediction(
            f"r{n}",
            f"text {n // 2 * 2 if n > 390 else n}",
            timestamp=(start + timedelta(hours=n / 2)).isoformat(),
            version="v1" if n < 200 else "v2",
            inputs__image="images/same.png" if n < 2 else f"images/{n}.png",
        )
        for n in range(400)
    ]
    write(folder_log, "predictions/a.jsonl", *events)
    write(folder_log, "feedback/a.jsonl", *(feedback(f"r{n}") for n in range(0, 400, 4)))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    return folder_log, warehouse


def test_a_draw_is_random_shared_and_resumed(reviewed_log: tuple[Log, Warehouse]) -> None:
    log, warehouse = reviewed_log
    draw = queries.make_draw(warehouse, PROD, 60, seed=3)
    assert draw == queries.make_draw(warehouse, PROD, 60, seed=3)
    assert draw.population == 400 and len({one.record_key for one in draw.records}) == 60
    for one in draw.records:
        same = [other for other in draw.records if other.stratum == one.stratum]
        assert one.probability == pytest.approx(len(same) / one.population)
    name, _ = keep_draw(log, warehouse, draw, "Ada")
    ada = queries.unreviewed_of_draws(warehouse, [name], "Ada", 30)
    bob = queries.unreviewed_of_draws(warehouse, [name], "Bob", 30)
    assert ada != bob, "two at once seldom meet"
    reviews = [
        NewReview(
            f"a{key}",
            key,
            Review(
                verdict="wrong" if int(key[1:]) % 4 == 0 else "right", queue="measure", draw=name
            ),
        )
        for key in ada
    ]
    write_reviews(log, warehouse, reviews, "Ada")
    left = queries.unreviewed_of_draws(warehouse, [name], "Bob", 100)
    assert len(left) == 60 and not set(left[:30]) & set(ada), "what nobody reviewed comes first"
    assert set(queries.unreviewed_of_draws(warehouse, [name], "Ada", 100)) == set(left[:30])
    measured = queries.measured(warehouse, PROD)
    assert measured is not None and (measured.drawn, measured.reviewed) == (60, 30)
    found = measured.error_rate()
    assert found.low <= 0.25 <= found.high
    july = measured.between(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 4, tzinfo=UTC))
    assert measured.error_rate(july).total == sum(int(key[1:]) < 144 for key in ada)
    # found otherwise, a record does not count as measured
    elsewhere = NewReview("x", left[0], Review(verdict="wrong", queue="find"))
    write_reviews(log, warehouse, [elsewhere], "Ada")
    again = queries.measured(warehouse, PROD)
    assert again is not None and again.error_rate() == found
    assert queries.measured(warehouse, Selection(environment=("test",))) is None
    further = queries.make_draw(warehouse, PROD, 1_000, seed=4)
    assert len(further.records) == 340 and not {one.record_key for one in further.records} & {
        one.record_key for one in draw.records
    }
    assert {one.probability for one in further.records} == {1.0}
    keep_draw(log, warehouse, further, "Ada")
    with pytest.raises(JudgementError, match="drawn already"):
        queries.make_draw(warehouse, PROD, 5, seed=5)


def test_finding_begins_with_what_was_flagged_and_shows_each_image_once(
    reviewed_log: tuple[Log, Warehouse],
) -> None:
    log, warehouse = reviewed_log
    everything = queries.worth_reviewing(warehouse, PROD, PROD, "Ada", 1_000)
    assert {int(key[1:]) % 4 for key in everything[:90]} == {0}
    assert not {"r0", "r1"} <= set(everything)
    assert not {"r392", "r393"} <= set(everything), "one of an identical output"
    first = everything[:5]
    reviews = [NewReview(key, key, Review(verdict="right", queue="find")) for key in first]
    write_reviews(log, warehouse, reviews, "Ada")
    assert not set(first) & set(queries.worth_reviewing(warehouse, PROD, PROD, "Ada", 1_000))
    assert queries.worth_reviewing(warehouse, PROD, PROD, "Bob", 1_000)[-1] in first


def test_filters_by_what_reviewers_said(reviewed_log: tuple[Log, Warehouse]) -> None:
    log, warehouse = reviewed_log
    name, _ = create_mode(log, warehouse, "Dark", "Ada")
    other, _ = create_mode(log, warehouse, "Print", "Ada")
    wrong = [
        NewReview(key, key, Review(verdict="wrong", modes=modes, queue="find"))
        for key, modes in (("r1", [name]), ("r2", [name, other]), ("r3", []))
    ]
    write_reviews(log, warehouse, wrong, "Ada")
    right = NewReview("b", "r3", Review(verdict="right", queue="find"))
    write_reviews(log, warehouse, [right], "<b>Bob</b>")

    def keys(query: str) -> set[str]:
        selection = parse_selection(query, warehouse.projections)
        frame = queries.record_batches(warehouse, selection).read_all()
        return set(frame["record_key"].to_pylist())

    everything = keys("")
    assert keys("mode=dark") == {"r1", "r2"}
    assert keys("mode=print&mode=dark") == {"r1", "r2"}
    assert keys("mode=-") == everything - {"r1", "r2"}
    assert keys("without_mode=print") == everything - {"r2"}
    assert keys("review=reviewed") == {"r1", "r2", "r3"}
    assert keys("review=unreviewed") == everything - {"r1", "r2", "r3"}
    assert keys("review=wrong") == {"r1", "r2"}
    assert keys("review=disputed") == {"r3"}
    assert keys("review=right") == set()
    assert keys("reviewer=Ada") == {"r1", "r2", "r3"}
    assert keys("reviewer=%3Cb%3EBob%3C%2Fb%3E") == {"r3"}
    categories = {one.name: one for one in queries.cube_categories(warehouse, PROD)}
    cube = queries.count_cube(warehouse, PROD, (), categories["mode"])
    counts = dict(zip((*categories["mode"].values, "*"), cube.value_counts(), strict=True))
    assert counts == {name: 2, other: 1, "-": 398, "*": 0}
    dark = parse_selection("mode=dark", warehouse.projections)
    label = "failure mode “Print”"
    assert label not in queries.rank_causes(warehouse, dark, None).looked_at.to_string()
    early = parse_selection("hour=0&hour=1", warehouse.projections)
    assert label in queries.rank_causes(warehouse, early, None).looked_at.to_string()
    first, second = queries.failure_modes(warehouse)
    merge_modes(log, warehouse, first, second, "Ada")
    assert keys("mode=dark") == keys("mode=print") == {"r1", "r2"}


def test_a_mode_is_counted_by_version_and_by_a_tag_of_any_name(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    name = 'odd"name ~1/?'
    tags = ["x", "x", "y", None]
    events = [
        prediction(f"k{n}", f"text {n}", version="v1", tags={name: tag} if tag else {})
        for n, tag in enumerate(tags)
    ]
    write(folder_log, "predictions/1.jsonl", *events)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    modes = [["m"], [], ["m"], []]
    reviews = [
        NewReview(f"r{n}", f"k{n}", Review(verdict="wrong", modes=named, queue="find"))
        for n, named in enumerate(modes)
    ]
    write_reviews(folder_log, warehouse, reviews, "Ada")
    by_tag = queries.mode_by_tag(warehouse, Selection(), "m", name)
    assert by_tag.to_numpy().tolist() == [["x", 1, 2, 0.5], ["y", 1, 1, 1.0], ["-", 0, 1, 0.0]]
    by_version = queries.mode_by_version(warehouse, Selection(), "m")
    assert by_version.to_numpy().tolist() == [["v1", 2, 4, 0.5]]


def test_reviews_are_exported(reviewed_log: tuple[Log, Warehouse], tmp_path: Path) -> None:
    log, warehouse = reviewed_log
    review = Review(verdict="wrong", modes=["a", "b"], queue="find", correction="=1+1")
    write_reviews(log, warehouse, [NewReview("k", "r1", review)], "Ada")
    [row] = queries.review_batches(warehouse, PROD).read_all().to_pylist()
    assert (row["review_key"], row["modes"], row["verdict_of_all"], row["actor"]) == (
        "k", "a b", "wrong", "Ada"
    )  # fmt: skip
