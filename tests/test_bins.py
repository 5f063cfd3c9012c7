import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_access.statistics.bins import Bins, linear_bins, log_bins

numbers = st.floats(-1e9, 1e9, allow_subnormal=False)
positive = st.floats(0, 1e9, allow_subnormal=False)
made = st.one_of(
    st.tuples(numbers, numbers).map(lambda ends: linear_bins(min(ends), max(ends))),
    st.tuples(positive, positive).map(lambda ends: log_bins(min(ends), max(ends))),
)


@given(made)
def test_edges_increase(bins: Bins) -> None:
    assert bins.bars >= 1
    assert all(low < high for low, high in itertools.pairwise(bins.edges))


@given(numbers, numbers)
@example(0.0, 1.0)
@example(0.0, 0.0)
@example(0.1, 0.3)
@example(255.0, 255.0)
def test_linear_edges_cover_the_values_with_about_thirty_bars(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    bins = linear_bins(low, high)
    rounding = 1e-9 * max(1.0, abs(low), abs(high))
    assert bins.edges[0] <= low + rounding
    assert bins.edges[-1] >= high - rounding
    assert bins.bars <= 32


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 4.7), (0.1, 0.3), (-1, 1), (0, 255), (0, 12_345), (1e-4, 3e-4)]
)
def test_edges_print_as_short_decimals(low: float, high: float) -> None:
    assert all(len(str(edge).lstrip("-")) <= 7 for edge in linear_bins(low, high).edges)
    assert all(len(str(edge)) <= 8 for edge in log_bins(low, high).edges)


@given(positive, positive)
@example(0.0, 1.0)
@example(1e-6, 1e-6)
@example(1.0, 1000.0)
def test_log_edges_cover_all_but_zero_with_ten_bars_a_decade(one: float, other: float) -> None:
    low, high = max(min(one, other), 1e-6), max(one, other, 1e-6)
    bins = log_bins(min(one, other), max(one, other))
    assert bins.scale == "log"
    assert bins.edges[0] <= low
    assert bins.edges[-1] > high
    assert bins.bars <= math.log10(high / low) * 10 + 2


@given(made, st.lists(numbers))
def test_every_value_is_in_exactly_one_bar(bins: Bins, values: list[float]) -> None:
    counts = bins.count(np.sort(np.array(values, dtype=np.float64)))
    assert counts.sum() == len(values)
    bars = [bins.bar(value) for value in values]
    assert list(np.bincount(bars, minlength=bins.bars)) == list(counts)


@given(made, st.data())
def test_values_on_an_edge_are_in_the_bar_above_it(bins: Bins, data: st.DataObject) -> None:
    bar = data.draw(st.integers(0, bins.bars - 1))
    assert bins.bar(bins.edges[bar]) == bar
    below = math.nextafter(bins.edges[bar], -math.inf)
    assert bins.bar(below) == max(bar - 1, 0)


@given(made, st.lists(numbers), numbers, numbers)
def test_a_brushed_range_holds_exactly_the_values_of_its_bars(
    bins: Bins, values: list[float], one: float, other: float
) -> None:
    start, end = min(one, other), max(one, other)
    low, high = bins.around(start, end)
    inside = [
        value
        for value in values
        if (low is None or value >= low) and (high is None or value < high)
    ]
    first = bins.bar(start)
    last = max(first, bins.bar(math.nextafter(end, -math.inf)))
    counts = bins.count(np.sort(np.array(values, dtype=np.float64)))
    assert len(inside) == counts[first : last + 1].sum()


@given(made, st.data())
def test_a_drag_from_edge_to_edge_is_these_bars_and_no_more(
    bins: Bins, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, bins.bars - 1))
    last = data.draw(st.integers(first, bins.bars - 1))
    low, high = bins.around(bins.edges[first], bins.edges[last + 1])
    assert low == (None if first == 0 else bins.edges[first])
    assert high == (None if last == bins.bars - 1 else bins.edges[last + 1])
