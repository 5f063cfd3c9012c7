import math
from typing import Any

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import statsmodels.stats.api as sms
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from data_access.statistics import rates, samples, significance
from data_access.statistics.samples import Drift

RANDOM = np.random.default_rng(7)
PAIRS = {
    "apart": (RANDOM.normal(0, 1, 200), RANDOM.normal(1, 2, 300)),
    "alike": (RANDOM.normal(0, 1, 50), RANDOM.normal(0, 1, 40)),
    "ties": (RANDOM.integers(0, 4, 90).astype(float), RANDOM.integers(1, 5, 30).astype(float)),
    "short": (np.array([1.0]), np.array([0.0, 1.0, 2.0])),
    "constant": (np.full(40, 3.0), np.full(50, 3.0)),
    "half constant": (np.full(40, 3.0), RANDOM.integers(1, 6, 50).astype(float)),
}
sorted_values = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30).map(
    lambda values: np.sort(np.array(values))
)
every_pair = pytest.mark.parametrize(("values", "baseline"), PAIRS.values(), ids=PAIRS)


def compare(values: np.ndarray, baseline: np.ndarray) -> Drift:
    edges = np.histogram_bin_edges(np.concatenate([values, baseline]), 10)
    bars, baseline_bars = (np.histogram(side, edges)[0] for side in (values, baseline))
    return samples.compare(np.sort(values), np.sort(baseline), bars, baseline_bars)


def delong_error(values: np.ndarray, baseline: np.ndarray) -> float:
    """The standard error of Cliff's delta, from every pair of values."""
    over = np.sign(values[:, None] - baseline[None, :])  # (n, m)
    variance = 0.0
    for placements in (over.mean(axis=1), over.mean(axis=0)):
        count = len(placements)
        variance += ((placements - over.mean()) ** 2).sum() / max(count - 1, 1) / count
    return math.sqrt(variance)


@every_pair
def test_ks_is_scipys(values: np.ndarray, baseline: np.ndarray) -> None:
    expected = scipy.stats.ks_2samp(values, baseline, method="asymp")
    found = compare(values, baseline)
    assert found.ks == pytest.approx(expected.statistic, abs=1e-12)
    size = len(values) * len(baseline) / (len(values) + len(baseline))
    assert found.p == pytest.approx(scipy.stats.kstwobign.sf(expected.statistic * size**0.5))


@every_pair
def test_effect_is_that_of_mann_whitney(values: np.ndarray, baseline: np.ndarray) -> None:
    u = scipy.stats.mannwhitneyu(values, baseline).statistic
    expected = 2 * u / (len(values) * len(baseline)) - 1
    assert compare(values, baseline).effect == pytest.approx(expected, abs=1e-12)


@given(sorted_values, sorted_values)
def test_rank_statistics_equal_those_of_all_pairs(values: np.ndarray, baseline: np.ndarray) -> None:
    ks, delta, error = samples._rank_statistics(values, baseline)
    every = np.union1d(values, baseline)
    gaps = [(values <= x).mean() - (baseline <= x).mean() for x in every]
    assert ks == pytest.approx(np.abs(gaps).max(), abs=1e-9)
    expected = np.sign(values[:, None] - baseline[None, :]).mean()
    assert delta == pytest.approx(expected, abs=1e-9)
    assert error == pytest.approx(delong_error(values, baseline), abs=1e-9)


@given(sorted_values, sorted_values)
def test_swapping_the_sides_turns_the_sign(values: np.ndarray, baseline: np.ndarray) -> None:
    one, other = compare(values, baseline), compare(baseline, values)
    assert one.effect == pytest.approx(-other.effect, abs=1e-9)
    assert one.effect_low == pytest.approx(-other.effect_high, abs=1e-9, nan_ok=True)
    assert one.ks == pytest.approx(other.ks, abs=1e-9)
    assert one.jensen_shannon == pytest.approx(other.jensen_shannon, abs=1e-9)


@given(sorted_values, sorted_values)
def test_the_interval_holds_the_effect_and_stays_between_minus_one_and_one(
    values: np.ndarray, baseline: np.ndarray
) -> None:
    found = compare(values, baseline)
    if min(len(values), len(baseline)) < 2:
        assert math.isnan(found.effect_low) and math.isnan(found.effect_high)
        return
    assert -1 <= found.effect_low <= found.effect + 1e-9
    assert found.effect - 1e-9 <= found.effect_high <= 1


def test_the_interval_covers_the_true_effect_about_95_times_in_100() -> None:
    random = np.random.default_rng(1)
    true = 2 * scipy.stats.norm.cdf(0.5 / math.sqrt(2)) - 1
    held = 0
    for _ in range(300):
        found = compare(random.normal(0.5, 1, 60), random.normal(0, 1, 40))
        held += found.effect_low <= true <= found.effect_high
    assert 0.91 <= held / 300 <= 0.99


@every_pair
def test_jensen_shannon_is_scipys_in_bits(values: np.ndarray, baseline: np.ndarray) -> None:
    p, q = np.bincount(values.astype(int) + 9), np.bincount(baseline.astype(int) + 9)
    length = max(len(p), len(q))
    p, q = (np.pad(side, (0, length - len(side))) for side in (p, q))
    expected = scipy.spatial.distance.jensenshannon(p, q, base=2) ** 2
    assert samples.jensen_shannon(p, q) == pytest.approx(expected, abs=1e-12)


def test_jensen_shannon_of_nothing_is_no_number() -> None:
    assert math.isnan(samples.jensen_shannon(np.array([0, 0]), np.array([1, 2])))


@pytest.mark.filterwarnings("ignore:Precision loss")  # scipy's, of constants
@every_pair
def test_change_of_means_is_welchs(values: np.ndarray, baseline: np.ndarray) -> None:
    found = compare(values, baseline).mean_change
    assert found.by == pytest.approx(values.mean() - baseline.mean())
    if min(len(values), len(baseline)) < 2:
        assert math.isnan(found.low) and math.isnan(found.high)
    elif not values.var() and not baseline.var():
        assert (found.low, found.high) == (found.by, found.by)
    else:
        sides = sms.CompareMeans(sms.DescrStatsW(values), sms.DescrStatsW(baseline))
        expected = sides.tconfint_diff(usevar="unequal")
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)
        scipys = scipy.stats.ttest_ind(values, baseline, equal_var=False).confidence_interval()
        assert (found.low, found.high) == pytest.approx((scipys.low, scipys.high), rel=1e-9)


@pytest.mark.parametrize("odd", [0, 1])
def test_change_of_medians_is_that_of_scipys_bootstrap(odd: int) -> None:
    values, baseline = RANDOM.gamma(2, 1, 400 + odd), RANDOM.gamma(2, 1.3, 300 + odd)
    found = compare(values, baseline).median_change
    expected = scipy.stats.bootstrap(
        (values, baseline),
        lambda a, b, axis: np.median(a, axis=axis) - np.median(b, axis=axis),
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert found.by == pytest.approx(np.median(values) - np.median(baseline))
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=width / 20)


@pytest.mark.parametrize("size", [10, 35, 200])
def test_the_interval_of_medians_covers_the_true_change_about_95_times_in_100(size: int) -> None:
    random = np.random.default_rng(size)
    held = 0
    for _ in range(300):
        found = compare(random.exponential(2, size), random.exponential(1, 60)).median_change
        held += found.low <= math.log(2) <= found.high
    assert 0.91 <= held / 300 <= 0.99


def test_the_intervals_of_one_sample_cover_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(5)
    means, medians = 0, 0
    for _ in range(600):
        values = np.sort(random.exponential(1, 40))  # as skewed as error rates are
        low, high = samples.mean_interval(values)
        means += low <= 1 <= high
        low, high = samples.median_interval(values)
        medians += low <= math.log(2) <= high
    assert 0.91 <= means / 600 <= 0.97
    assert 0.92 <= medians / 600 <= 0.98


def test_the_intervals_of_one_sample_are_scipys() -> None:
    values, _ = PAIRS["alike"]
    student = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert samples.mean_interval(values) == pytest.approx((student.low, student.high))
    drawn = scipy.stats.bootstrap(
        (values,), np.median, n_resamples=20_000, method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    width = drawn.high - drawn.low
    assert samples.median_interval(np.sort(values)) == pytest.approx(
        (drawn.low, drawn.high), abs=width / 20
    )
    nothing = np.array([])
    assert all(map(math.isnan, samples.mean_interval(values[:1])))
    assert all(map(math.isnan, samples.median_interval(nothing)))


@given(sorted_values, sorted_values)
def test_intervals_hold_what_they_are_of(values: np.ndarray, baseline: np.ndarray) -> None:
    found = compare(values, baseline)
    assert found.median_change.low <= found.median_change.by <= found.median_change.high
    assert found.median_change.by == np.median(values) - np.median(baseline)
    turned = compare(baseline, values).median_change
    assert (turned.low, turned.high) == (-found.median_change.high, -found.median_change.low)


def jeffreys(values: np.ndarray, baseline: np.ndarray) -> float:
    """Both relative entropies over the tenths of the baseline, which has no ties and no gaps."""
    edges = np.sort(baseline)[[len(baseline) * k // 10 for k in range(1, 10)]]
    p, q = (
        np.bincount(np.searchsorted(edges, side, side="right"), minlength=10) / len(side)
        for side in (values, baseline)
    )
    return float(scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p))


def test_stability_index_is_both_relative_entropies_over_tenths() -> None:
    values, baseline = RANDOM.normal(0, 1, 5000), RANDOM.normal(0.3, 1, 3333)
    assert compare(values, baseline).psi == pytest.approx(jeffreys(values, baseline), abs=1e-12)


def test_stability_index_knows_values_above_and_below_a_constant_baseline() -> None:
    constant = np.full(50, 3.0)
    assert compare(constant, constant).psi == 0
    gone = (1 - 1e-4) * math.log(1 / 1e-4)
    for other in (2.0, 4.0):
        assert compare(np.full(40, other), constant).psi == pytest.approx(2 * gone)


@given(sorted_values, sorted_values)
def test_stability_index_is_never_negative(values: np.ndarray, baseline: np.ndarray) -> None:
    assert compare(values, baseline).psi >= 0
    assert compare(values, values).psi == 0


def pooled(table: np.ndarray) -> np.ndarray:
    """The columns, rare ones put together one by one."""
    enough = rates.TESTABLE * table.sum() / table.sum(axis=1).min()
    columns = sorted(table.T.tolist(), key=sum)
    while len(columns) > 1 and min(sum(columns[0]), sum(columns[1])) < enough:
        rarest, following, *rest = columns
        columns = [[rarest[0] + following[0], rarest[1] + following[1]], *rest]
    return np.array(columns).T


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=2, max_size=8))
def test_association_is_scipys_and_statsmodels(pairs: list[tuple[int, int]]) -> None:
    table = np.array(pairs).T  # (2, values)
    found = rates.associate(table[0], table[1])
    if not table.sum(axis=1).all():
        assert math.isnan(found.p)
        return
    tested = pooled(table)
    if tested.shape[1] < 2:
        assert math.isnan(found.p)
        return
    scipys = scipy.stats.chi2_contingency(tested, correction=False)
    assert found.chi_square == pytest.approx(scipys.statistic)
    assert found.freedom == scipys.dof
    assert found.p == pytest.approx(scipys.pvalue, abs=1e-12)
    statsmodels = sms.Table(tested, shift_zeros=False).test_nominal_association()
    assert found.p == pytest.approx(statsmodels.pvalue, abs=1e-12)
    cramers_v = scipy.stats.contingency.association(tested, method="cramer")
    assert found.cramers_v == pytest.approx(cramers_v, abs=1e-9)


@given(
    arrays.arrays(np.int64, (2, 5), elements=st.integers(0, 40)).filter(
        lambda t: (t.sum(axis=0) > 0).sum() > 1 and t.sum(axis=1).min() > 0
    )
)
def test_cramers_v_is_scipys_where_both_groups_are_of_one_size(table: np.ndarray) -> None:
    one_size = table * table.sum(axis=1)[::-1, None]
    held = one_size[:, one_size.sum(axis=0) > 0]
    expected = scipy.stats.contingency.association(held, method="cramer")
    v, low, high = rates.cramers_v(*table)
    assert v == pytest.approx(expected, abs=1e-9)
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize(
    ("sizes", "weight"), [((100, 100), 0.5), ((60, 600), 0.5), ((60, 600), 60 / 660)]
)
@pytest.mark.parametrize("moved", [0.0, 0.2, 0.5])
def test_the_interval_of_v_holds_the_true_one(
    sizes: tuple[int, int], weight: float, moved: float
) -> None:
    random = np.random.default_rng(7)
    others = np.array([0.4, 0.3, 0.2, 0.1])
    share = (1 - moved) * others + moved * np.array([0, 0, 0, 1.0])
    mixture = weight * share + (1 - weight) * others
    true = math.sqrt(weight * (1 - weight) * ((share - others) ** 2 / mixture).sum())
    drawn = [
        rates.cramers_v(
            random.multinomial(sizes[0], share), random.multinomial(sizes[1], others), weight
        )
        for _ in range(400)
    ]
    assert np.mean([low <= true <= high for _, low, high in drawn]) > 0.91


def test_the_interval_of_the_usual_v_is_as_the_bootstraps() -> None:
    counts = np.array([[90, 60, 50, 40], [150, 210, 130, 10]])
    found = rates.associate(*counts)
    values = [np.repeat(np.arange(4), side) for side in counts]

    def v(one: np.ndarray, other: np.ndarray) -> float:
        table = [np.bincount(side, minlength=4) for side in (one, other)]
        return float(scipy.stats.contingency.association(np.array(table), method="cramer"))

    drawn = scipy.stats.bootstrap(
        values, v, vectorized=False, n_resamples=600, method="basic", rng=1
    ).confidence_interval
    assert (found.v_low, found.v_high) == pytest.approx((drawn.low, drawn.high), abs=0.012)
    assert found.v_low < found.cramers_v < found.v_high


@pytest.mark.parametrize(
    ("found", "few", "p", "verdict"),
    [
        (rates.Association(9.0, 1, 0.01, 0.5, 0.0, 1.0), 0, 0.01, "no values"),
        (rates.Association(9.0, 1, 0.01, 0.5, 0.0, 1.0), 29, 0.01, "not enough data"),
        (rates.Association(9.0, 1, 0.01, 0.3, 0.0, 1.0), 30, 0.01, "clearly different"),
        (rates.Association(9.0, 1, 0.01, 0.29, 0.0, 1.0), 30, 0.01, "different"),
        (rates.Association(9.0, 1, 0.01, 0.09, 0.0, 1.0), 30, 0.01, "negligible difference"),
        (rates.Association(9.0, 1, 0.01, 0.09, 0.0, 1.0), 30, 0.05, "no clear difference"),
        (
            rates.NO_ASSOCIATION,
            30,
            math.nan,
            "not enough data",
        ),
    ],
)
def test_verdicts_of_categories(found: rates.Association, few: int, p: float, verdict: str) -> None:
    assert rates.association_verdict(found, few, p) == verdict


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_correction_is_scipys_and_statsmodels(p_values: list[float]) -> None:
    found = significance.benjamini_hochberg(np.array(p_values))
    assert found == pytest.approx(scipy.stats.false_discovery_control(p_values), abs=1e-12)
    assert found == pytest.approx(sms.multipletests(p_values, method="fdr_bh")[1], abs=1e-12)


def test_correction_leaves_out_what_was_not_compared() -> None:
    found = significance.benjamini_hochberg(np.array([0.01, math.nan, 0.04]))
    assert found == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)
    assert len(significance.benjamini_hochberg(np.array([]))) == 0


@pytest.mark.parametrize(("count", "total"), [(0, 1), (1, 1), (0, 50), (3, 50), (50, 50), (7, 9)])
def test_wilson_is_scipys(count: int, total: int) -> None:
    expected = scipy.stats.binomtest(count, total).proportion_ci(method="wilson")
    assert rates.wilson(count, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_change_of_shares_is_newcombes() -> None:
    """The example (a) and the extreme one (e) of Newcombe, 1998, table II, method 10."""
    assert rates.share_change(56, 70, 48, 80) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert rates.share_change(5, 56, 0, 29) == pytest.approx((0.0893, -0.0381, 0.1926), abs=5e-5)


def test_shares_of_nothing_are_no_numbers() -> None:
    assert all(map(math.isnan, rates.wilson(0, 0)))
    assert all(map(math.isnan, rates.share_change(0, 0, 1, 2)))
    assert all(map(math.isnan, rates.share_change(1, 2, 0, 0)))


@pytest.mark.parametrize(
    ("values", "baseline"), [([], []), ([], [1.0]), ([1.0], [])], ids=["both", "one", "other"]
)
def test_an_empty_side_has_no_values(values: list[float], baseline: list[float]) -> None:
    zero = np.zeros(3, dtype=int)
    found = samples.compare(np.array(values), np.array(baseline), zero, zero)
    assert (found.n, found.baseline_n) == (len(values), len(baseline))
    assert math.isnan(found.ks)
    assert math.isnan(found.effect_high)
    assert samples.verdict(found, math.nan) == "no values"


def test_equal_constants_do_not_differ() -> None:
    found = compare(np.full(40, 3.0), np.full(50, 3.0))
    assert (found.ks, found.effect, found.jensen_shannon) == (0, 0, 0)
    assert (found.effect_low, found.effect_high) == (0, 0)
    assert samples.verdict(found, found.p) == "negligible difference"


def held(effect: float, ks: float = 0.5, n: int = 1000) -> Drift:
    fields: dict[str, Any] = dict.fromkeys(Drift.__annotations__, 0.0)
    return Drift(**fields | {"n": n, "baseline_n": n, "effect": effect, "ks": ks})


@pytest.mark.parametrize(
    ("found", "p", "verdict"),
    [
        (held(0.9, n=29), 0.001, "not enough data"),
        (held(0.9, n=30), 0.001, "clearly higher"),
        (held(0.9), 0.05, "negligible difference"),
        (held(0.474), 0.01, "clearly higher"),
        (held(-0.474), 0.01, "clearly lower"),
        (held(0.473), 0.01, "moderately higher"),
        (held(-0.147), 0.01, "moderately lower"),
        (held(0.146), 0.01, "different shape"),
        (held(-0.1, ks=0.09), 0.01, "negligible difference"),
    ],
)
def test_verdicts_say_how_much_and_which_way(found: Drift, p: float, verdict: str) -> None:
    assert samples.verdict(found, p) == verdict
