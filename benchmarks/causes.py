"""How often a planted cause ranks first, how often a cause is claimed where none is, and how fast.

`python -m benchmarks.causes [--quick]`. Logs are drawn from what is measured of the sample's light
on dark notes; half of each log's records are selected, and a share of these gets the cause:
pictures that were altered before they were measured, or a value of a tag or of the clock.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import scipy.stats
from PIL import Image, ImageFilter

import data_access
from benchmarks.synthetic import open_synthetic
from data_access import queries
from data_access.projections.table import ENTROPY, IMAGE, PROJECTIONS
from data_access.queries.causes import WORTH_TELLING
from data_access.selection import Range, Selection
from data_access.statistics import rates, samples
from data_access.statistics.bins import Bins, linear_bins, log_bins
from data_access.statistics.separation import CHOSEN, OTHERS, Candidate, Groups, separations
from data_access.statistics.significance import SIGNIFICANT

SAMPLE = Path(__file__).parent.parent / "sample"
ROWS = [row for row in PROJECTIONS if row.inputs == (IMAGE,)]
NAMES = [row.name for row in ROWS]
RUNS = {200: 100, 2_000: 40, 20_000: 10, 200_000: 3}
NOTHING_RUNS = {200: 300, 2_000: 200, 20_000: 40}
SHARES = (0.2, 0.1)
NEARLY = 0.9  # of the strongest difference between two kinds of pictures: as right an answer
NOISE, CATEGORIES = 19, 8  # candidates beside pictures, tags and the clock that mean nothing
VERSIONS, CLIENTS, LOCALES = 6, 3, 7
TIMED = 100_000

Grey = np.ndarray
Alter = Callable[[Grey], Grey]


def inverted(image: Grey) -> Grey:
    return 255 - image


def inverted_in_the_dark(image: Grey) -> Grey:
    return ((255 - image) * 0.3).astype(np.uint8)


def blurred(radius: float) -> Alter:
    """radius: standard deviation in pixels."""
    return lambda image: np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def flattened(contrast: float) -> Alter:
    """Grey levels moved towards their mean."""
    return lambda image: (image.mean() + (image - image.mean()) * contrast).astype(np.uint8)


def cropped(share: float) -> Alter:
    """The left part of the width."""
    return lambda image: image[:, : int(image.shape[1] * share)]


@dataclass(frozen=True)
class Plant:
    """A cause. right: the candidates that are a right answer; pictures: what is measured of the
    altered ones, a column each; strikes: the share of the touched records that it takes.
    """

    name: str
    right: tuple[str, ...]
    pictures: pd.DataFrame | None = None
    strikes: float = 1.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="a tenth of the runs")
    fewer = 10 if arguments.parse_args().quick else 1
    print(f"load {', '.join(f'{load:.1f}' for load in os.getloadavg())}\n")
    fine, plants = _plants()
    logs = Logs(fine, plants)
    for share in SHARES:
        sizes = " | ".join(f"{size:,}" for size in RUNS)
        print(f"| {share:.0%} of the selected records | strength | {sizes} |")
        print("|---|--:|" + "--:|" * len(RUNS))
        for plant in plants:
            print(_found(logs, plant, share, fewer), flush=True)
        print()
    _nothing(logs, fewer)
    _timed(logs)
    _asked()


def _plants() -> tuple[pd.DataFrame, list[Plant]]:
    """What is measured of unaltered pictures, and the causes."""
    shown = _shown()
    fine = _measured(shown["fine"])
    altered = {
        "inverted": _measured(shown["fine"], inverted),
        "inverted, in the dark": _measured(shown["fine"], inverted_in_the_dark),
        "blurred, 2 pixels": _measured(shown["fine"], blurred(2.0)),
        "blurred, half a pixel": _measured(shown["fine"], blurred(0.5)),
        "contrast × 0.4": _measured(shown["fine"], flattened(0.4)),
        "contrast × 0.85": _measured(shown["fine"], flattened(0.85)),
        "cropped to 60% of the width": _measured(shown["fine"], cropped(0.6)),
        "cropped to 85%": _measured(shown["fine"], cropped(0.85)),
        "printed, light on dark": _measured(shown["printed"], inverted),
        "two columns": _measured(shown["several_blocks"]),
    }
    plants = [Plant(name, _different(fine, kind), kind) for name, kind in altered.items()]
    for strikes, word in ((1.0, "one"), (0.6, "mostly one")):
        plants.append(Plant(f"{word} client version", ("client_version",), strikes=strikes))
        plants.append(Plant(f"{word} hour of the day", ("hour",), strikes=strikes))
    return fine, plants


def _shown() -> dict[str, list[Grey]]:
    """The pictures of the sample by what they show."""
    modes = pd.read_csv(SAMPLE / "truth.csv").set_index("record_key")["mode"]
    log = data_access.open(str(SAMPLE / "log"))
    log.sync()
    names = log.records().set_index("record_key")[IMAGE].groupby(modes).unique()
    log.close()
    return {
        str(mode): [np.asarray(Image.open(SAMPLE / "log" / name).convert("L")) for name in keys]
        for mode, keys in names.items()
    }


def _measured(images: list[Grey], alter: Alter = lambda image: image) -> pd.DataFrame:
    """The image projections of pictures, a column each."""
    altered = [alter(image) for image in images]
    return pd.DataFrame({row.name: row.compute(altered) for row in ROWS if row.compute})


def _different(fine: pd.DataFrame, kind: pd.DataFrame) -> tuple[str, ...]:
    """What differs most, or nearly as much, between two kinds of pictures."""
    both = pd.concat([kind, fine], ignore_index=True)
    candidates = [_number(name, both[name].to_numpy(), _bins(fine, name)) for name in NAMES]
    ranked = separations(candidates, Groups.of(np.arange(len(both)) < len(kind)))
    least = ranked[0].strength * NEARLY
    return tuple(candidates[row.number].name for row in ranked if row.strength >= least)


def _bins(fine: pd.DataFrame, name: str) -> Bins:
    """As a log of these pictures would have, a little wider."""
    scale = next(row.scale for row in ROWS if row.name == name)
    low, high = np.nanquantile(fine[name], (0.005, 0.995))
    if scale == "log":
        return log_bins(low / 4, high * 2)
    return linear_bins(min(2 * low, low / 2), 255.0 if "mean" in name else max(2 * high, -high))


def _number(name: str, values: np.ndarray, bins: Bins) -> Candidate:
    codes = np.searchsorted(bins.edges[1:-1], values, side="right").astype(np.int16)
    codes[np.isnan(values)] = -1
    return Candidate(name, codes, bins.bars, True)


class Logs:
    """Draws logs of 40 candidates: 7 of pictures, 3 tags, 3 of the clock, 27 that mean nothing."""

    def __init__(self, fine: pd.DataFrame, plants: list[Plant]) -> None:
        self.bins = {name: _bins(fine, name) for name in NAMES}
        self.fine = self._coded(fine)
        self.altered = {p.name: self._coded(p.pictures) for p in plants if p.pictures is not None}

    def _coded(self, pictures: pd.DataFrame) -> np.ndarray:
        """Bars of pictures, shape (pictures, projections)."""
        columns = [_number(n, pictures[n].to_numpy(), self.bins[n]).codes for n in self.bins]
        return np.column_stack(columns)

    def drawn(
        self, size: int, plant: Plant | None, share: float, random: np.random.Generator
    ) -> tuple[list[Candidate], np.ndarray]:
        """Candidates of so many records, and which half of these is selected."""
        selected = np.arange(size) < size // 2
        touched = np.zeros(size, bool)
        pictures = self.fine[random.integers(0, len(self.fine), size)]
        codes_by_name = {
            "client_version": random.integers(0, VERSIONS, size),
            "client": random.integers(0, CLIENTS, size),
            "locale": random.integers(0, LOCALES, size),
            "hour": random.integers(0, 24, size),
            "weekday": random.integers(0, 7, size),
        }
        if plant is not None:
            touched[: round(share * size // 2)] = (
                random.random(round(share * size // 2)) <= plant.strikes
            )
            if plant.name in self.altered:
                altered = self.altered[plant.name]
                pictures[touched] = altered[random.integers(0, len(altered), touched.sum())]
            else:
                codes_by_name[plant.right[0]][touched] = 3
        candidates = [
            Candidate(name, pictures[:, column], bins.bars, True)
            for column, (name, bins) in enumerate(self.bins.items())
        ]
        levels = {"client_version": VERSIONS, "client": CLIENTS, "locale": LOCALES, "hour": 24}
        candidates += [
            Candidate(name, codes.astype(np.int16), levels.get(name, 7), False)
            for name, codes in codes_by_name.items()
        ]
        for number in range(NOISE):
            codes = np.clip(random.normal(15, 5, size), 0, 29).astype(np.int16)
            candidates.append(Candidate(f"number {number}", codes, 30, True))
        for number in range(CATEGORIES):
            codes = random.geometric(0.3, size).clip(1, 12).astype(np.int16) - 1
            candidates.append(Candidate(f"category {number}", codes, 12, False))
        days = random.integers(0, 30, size).astype(np.int16)
        return [*candidates, Candidate("day", days, 30, True)], selected


def _found(logs: Logs, plant: Plant, share: float, fewer: int) -> str:
    """How often the planted cause ranks first and is significant: a row by size of the log."""
    cells = []
    strength = 0.0
    for size, runs in RUNS.items():
        random = np.random.default_rng(size)
        runs = max(2, runs // fewer)
        hits = 0
        for run in range(runs):
            candidates, selected = logs.drawn(size, plant, share, random)
            first = separations(candidates, Groups.of(selected, run))[0]
            hits += candidates[first.number].name in plant.right and first.p < SIGNIFICANT
        strength = first.strength
        cells.append(f"{hits / runs:.0%}")
    return f"| {plant.name} | {strength:.2f} | {' | '.join(cells)} |"


def _nothing(logs: Logs, fewer: int) -> None:
    """How often a cause is claimed in logs without one."""
    print("| records | logs | p under 0.05 | claimed |\n|--:|--:|--:|--:|")
    for size, runs in NOTHING_RUNS.items():
        random = np.random.default_rng(size)
        runs = max(10, runs // fewer)
        firsts = [
            separations(candidates, Groups.of(selected, run))[0]
            for run, (candidates, selected) in enumerate(
                logs.drawn(size, None, 0.0, random) for _ in range(runs)
            )
        ]
        low = [first for first in firsts if first.p < SIGNIFICANT]
        claimed = [first for first in low if first.strength >= WORTH_TELLING]
        print(f"| {size:,} | {runs} | {len(low) / runs:.1%} | {len(claimed) / runs:.1%} |")
    print()


def _timed(logs: Logs) -> None:
    """Ranking, with every AUC, V and interval, beside SciPy's tests one by one; each the best."""
    random = np.random.default_rng(0)
    candidates, selected = logs.drawn(TIMED, None, 0.0, random)
    numbers = [c for c in candidates if c.ordered]
    values = [c.codes + random.random(TIMED) for c in numbers]
    categories = [c for c in candidates if not c.ordered]

    def ours() -> None:
        groups = Groups.of(selected)
        separations(candidates, groups)
        for candidate, column in zip(numbers, values, strict=True):
            np.searchsorted(np.arange(1.0, candidate.levels), column, side="right")
            sides = [np.sort(column[side]) for side in (selected, ~selected)]
            bars = groups.counts(candidate)
            samples.compare(sides[0], sides[1], bars[CHOSEN], bars[OTHERS])
        for candidate in categories:
            rates.cramers_v(*groups.counts(candidate)[[CHOSEN, OTHERS]])

    def scipys() -> None:
        for column in values:
            scipy.stats.mannwhitneyu(column[selected], column[~selected])
        for candidate in categories:
            scipy.stats.chi2_contingency(pd.crosstab(candidate.codes, selected).to_numpy())

    best, other = (min(_seconds(run) for _ in range(5)) for run in (ours, scipys))
    what = f"{TIMED:,} records, {len(candidates)} candidates"
    print(f"| {what} | ms | times as long |\n|---|--:|--:|")
    print(f"| ranked, with 199 shuffles, AUC or V and intervals | {best * 1e3:.0f} | 1 |")
    print(f"| SciPy, one test each | {other * 1e3:.0f} | {other / best:.1f} |\n")


def _asked() -> None:
    """The whole question of the page on a synthetic log, from the warehouse to the answer."""
    log = open_synthetic(TIMED)
    low = Selection(environment=("prod",), ranges=(Range(ENTROPY, high=2.0),))
    print("| 100,000 records in the warehouse | candidates | ms |\n|---|--:|--:|")
    for name, baseline in (("test", Selection(environment=("test",))), ("the rest", None)):

        def rank(baseline: Selection | None = baseline) -> queries.Causes:
            log.warehouse.announce()  # nothing is answered from the cache
            return queries.rank_causes(log.warehouse, low, baseline)

        best = min(_seconds(rank) for _ in range(5))
        causes = rank()
        print(
            f"| low word entropy ({causes.selected:,}) against {name} ({causes.others:,}) | "
            f"{len(causes.looked_at)} | {best * 1e3:.0f} |"
        )
    log.close()


def _seconds(run: Callable[[], object]) -> float:
    started = perf_counter()
    run()
    return perf_counter() - started


if __name__ == "__main__":
    main()
