"""How often the intervals of measured rates cover, and how often they say "it fell" in error.

`python -m benchmarks.measuring [--draws N]`. Rates from 1% to 50%, 30 to 500 reviews, with and
without strata and small populations; and the failure modes of the sample, drawn again and again
from its own truth.
"""

import argparse
from itertools import product

import numpy as np
from scipy.stats import binom

from data_access.queries.draws import GUESSED
from data_access.statistics.measured import (
    Stratum,
    allocation,
    difference,
    exact,
    rate,
    simple,
)
from sample.make_reviews import LOG, served

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
REVIEWS = (30, 50, 100, 200, 300, 500)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--draws", type=int, default=2_000)
    draws = arguments.parse_args().draws
    generator = np.random.default_rng(0)
    print("| what | least covered | most often a false “fell” |\n|---|--:|--:|")
    print(f"| a rate, exactly | {min(_covered(n, p) for n, p in product(REVIEWS, RATES)):.3f} | |")
    points = [_stratified(generator, draws, n, p) for n, p in product(REVIEWS, RATES)]
    print(f"| a rate in two strata of 2,000 | {min(points):.3f} | |")
    same = [_difference(n, p, p) for n, p in product(REVIEWS, RATES)]
    halved = [_difference(n, p, p / 2)[0] for n, p in product(REVIEWS, RATES)]
    least = min([*halved, *(covered for covered, _ in same)])
    print(f"| a difference, exactly | {least:.3f} | {max(fell for _, fell in same):.3f} |")
    print(f"| modes of the sample | {_sample(generator, draws):.3f} | |")


def _covered(total: int, true: float) -> float:
    counts = np.arange(total + 1)
    limits = np.array([exact(int(count), total) for count in counts])
    inside = (limits[:, 0] <= true) & (true <= limits[:, 1])
    return float(binom.pmf(counts, total, true)[inside].sum())


def _difference(total: int, before: float, after: float) -> tuple[float, float]:
    """How often the interval of the difference covers, and is below 0; of what is likely."""
    counts = np.arange(total + 1)
    rates = [simple(int(count), total) for count in counts]
    first, second = binom.pmf(counts, total, before), binom.pmf(counts, total, after)
    covered = fell = 0.0
    for i in np.flatnonzero(first > 1e-5):
        for j in np.flatnonzero(second > 1e-5):
            _, low, high = difference(rates[j], rates[i])
            covered += first[i] * second[j] * (low <= after - before <= high)
            fell += first[i] * second[j] * (high < 0)
    return covered / (first[first > 1e-5].sum() * second[second > 1e-5].sum()), fell


def _stratified(generator: np.random.Generator, draws: int, size: int, true: float) -> float:
    """Flagged records, a fifth, are wrong three times as often as others; drawn as pages draw."""
    population = np.array([400, 1_600])
    shares = population / population.sum()
    low = true / (3 * shares[0] + shares[1])
    wrong = np.round(np.array([min(1.0, 3 * low), low]) * population).astype(int)
    counts = allocation(list(shares), list(GUESSED.values()), size)
    if counts is None:
        return _covered(size, float(wrong.sum() / population.sum()))
    seen = [
        generator.hypergeometric(bad, of - bad, count, draws)
        for bad, of, count in zip(wrong, population, counts, strict=True)
    ]
    truth = wrong.sum() / population.sum()
    covered = 0
    for pair in zip(*seen, strict=True):
        found = rate(
            [
                Stratum(share, int(bad), count, of)
                for share, bad, count, of in zip(shares, pair, counts, population, strict=True)
            ]
        )
        covered += found.low <= truth <= found.high
    return covered / draws


def _sample(generator: np.random.Generator, draws: int) -> float:
    """The least covered failure mode of the sample, over sizes of the draw."""
    records = served(LOG)
    least = 1.0
    for mode in sorted({record.mode for record in records}):
        having = sum(record.wrong and record.mode == mode for record in records)
        for size in (30, 100, 300, 500):
            counts = generator.hypergeometric(having, len(records) - having, size, draws)
            truth = having / len(records)
            found = [simple(int(count), size, len(records)) for count in counts]
            least = min(least, sum(one.low <= truth <= one.high for one in found) / draws)
    return least


if __name__ == "__main__":
    main()
