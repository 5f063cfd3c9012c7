"""Histogram bins: the edges that bars are drawn with and that brushes become filters by.

Bars are [low, high) and the outermost ones are open-ended. Bars and filters compare with the
very same edges, so the records that a brush lists are exactly the records in the brushed bars.
"""

import bisect
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

BARS = 30  # about as many as a small chart can show
MANTISSAS = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)  # ISO 3, the R10 series
SMALLEST_LOG = 1e-6
LARGEST = 1e300  # values beyond are in the outermost bars; a span of floats must be a float


@dataclass(frozen=True)
class Bins:
    """Edges of the bars, shape (bars + 1,), increasing."""

    edges: tuple[float, ...]
    scale: Literal["linear", "log"] = "linear"

    @property
    def bars(self) -> int:
        return len(self.edges) - 1

    def count(self, ascending: np.ndarray) -> np.ndarray:
        """How many of the sorted values, shape (n,), lie in each bar, shape (bars,)."""
        below = np.searchsorted(ascending, self.edges[1:-1], side="left")
        return np.diff(below, prepend=0, append=len(ascending))

    def bar(self, value: float) -> int:
        """The number of the bar that a value lies in, from 0."""
        return min(max(bisect.bisect_right(self.edges, value) - 1, 0), self.bars - 1)

    def around(self, low: float, high: float) -> tuple[float | None, float | None]:
        """The range [low, high) of all bars that a drag touches; None where it is open-ended."""
        first = self.bar(low)
        return self.span(first, max(self.bar(math.nextafter(high, -math.inf)), first))

    def span(self, first: int, last: int) -> tuple[float | None, float | None]:
        """The range [low, high) of the bars from first to last; None where it is open-ended."""
        return (
            None if first == 0 else self.edges[first],
            None if last == self.bars - 1 else self.edges[last + 1],
        )


def linear_bins(low: float, high: float, bars: int = BARS) -> Bins:
    """About `bars` bars of a width of 1, 2 or 5 times a power of ten, covering [low, high]."""
    low, high = max(low, -LARGEST), min(high, LARGEST)
    span = max(high - low, abs(high) * 1e-9, 1e-9)
    exponent = math.floor(math.log10(span / bars))
    mantissa = next(m for m in (1, 2, 5, 10) if m * 10.0**exponent * bars >= span * (1 - 1e-9))
    numerator = mantissa * 10 ** max(exponent, 0)
    denominator = 10 ** max(-exponent, 0)
    first = math.floor(low * denominator / numerator)
    last = max(first + 1, math.ceil(high * denominator / numerator))
    # integers divided: each edge is the float nearest to its decimal, and prints as that
    return Bins(tuple(k * numerator / denominator for k in range(first, last + 1)))


def log_bins(low: float, high: float) -> Bins:
    """Ten bars a decade at preferred numbers, covering [low, high]; zero is in the first bar."""
    low = max(low, SMALLEST_LOG)
    high = max(high, low)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    series = [float(f"{mantissa}e{decade}") for decade in decades for mantissa in MANTISSAS]
    first = max(bisect.bisect_right(series, low) - 1, 0)
    last = bisect.bisect_right(series, high)
    return Bins(tuple(series[first : max(last, first + 1) + 1]), "log")
