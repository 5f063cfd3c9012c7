"""The drift table beside Evidently's DataDriftPreset and its KS, on the same numbers in one run.

`python -m benchmarks.drift --peer PYTHON [--records N]`. PYTHON is that of an environment with
requirements-benchmarks.txt: Evidently needs another pandas. Every KS distance of ours is compared
with that of Evidently's own call of the test before any time counts.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa

from data_access import queries
from data_access.projections import load_projections
from data_access.projections.table import IMAGE, TEXT
from data_access.queries import HistogramPair
from data_access.selection import Selection
from data_access.warehouse import Warehouse

RECORDS = 1_000_000  # on each side
RUNS = 5
CLOSE = 0.001  # what counts by cell may be off
NEAR = 0.1  # that, and the limit of Kolmogorov's distribution
PROD, TEST = Selection(environment=("prod",)), Selection(environment=("test",))
PEER = Path(__file__).parent / "drift_peer.py"
GOALS = {"preset": 50, "ks_preset": 10, "ks": None}
NAMES = {
    "preset": "DataDriftPreset()",
    "ks_preset": 'DataDriftPreset(num_method="ks")',
    "ks": "only the test that it calls, ks_2samp of SciPy, of each column",
}

Draw = Callable[[np.random.Generator, int, float], np.ndarray]


def _two_peaks(random: np.random.Generator, count: int, off: float) -> np.ndarray:
    dark, light = random.normal(32, 12, count), random.normal(205, 18, count)
    return np.where(random.random(count) < 0.1 + off, light, dark)


# Production is off by what chance alone gives, so that p-values can be compared, or by more.
COLUMNS: dict[str, tuple[Draw, float]] = {
    f"entropy({TEXT})": (lambda random, n, off: random.normal(3.9 - off, 0.6, n), 0.001),
    f"greyscale_image_mean({IMAGE})": (_two_peaks, 0.3),
    "outputs.confidence": (lambda random, n, off: random.beta(8 - off, 1.5, n), 0.005),
    f"repetition({TEXT})": (lambda random, n, off: np.maximum(0, random.random(n) - 0.5), 0.0),
    f"length({TEXT})": (lambda random, n, off: np.round(random.gamma(4, 25 + off, n)), 0.5),
    f"sharpness({IMAGE})": (lambda random, n, off: random.lognormal(6 - off, 1.2, n), 0.1),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--peer", required=True, help="a Python that has Evidently")
    arguments.add_argument("--records", type=int, default=RECORDS, help="on each side")
    chosen = arguments.parse_args()
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(
        f"{chosen.records:,} against {chosen.records:,} records, {len(COLUMNS)} columns; ", end=""
    )
    print(f"seconds, best of all runs (median); load {load}\n")
    with tempfile.TemporaryDirectory() as folder:
        sides = _draw(chosen.records)
        for name, columns in sides.items():
            np.save(Path(folder, name), np.array(list(columns.values())))
        warehouse = _warehouse(Path(folder), sides)
        first = _ours(warehouse)
        theirs = _theirs(chosen.peer, folder)
        second = _ours(warehouse)  # before and after: the machine may do other things meanwhile
        warehouse.close()
    _assert_same(first[0], theirs)
    _report([*first[1], *second[1]], theirs)


def _draw(records: int) -> dict[str, dict[str, np.ndarray]]:
    """Values of each column by side, shapes (records,)."""
    random = np.random.default_rng(20260901)
    return {
        "prod": {name: draw(random, records, off) for name, (draw, off) in COLUMNS.items()},
        "test": {name: draw(random, records, 0.0) for name, (draw, _) in COLUMNS.items()},
    }


def _warehouse(folder: Path, sides: dict[str, dict[str, np.ndarray]]) -> Warehouse:
    warehouse = Warehouse.open(folder / "warehouse.duckdb", str(folder), load_projections())
    with warehouse.transaction() as cursor:
        for environment, columns in sides.items():
            count = len(next(iter(columns.values())))
            keys = [f"{environment} {number}" for number in range(count)]
            table = pa.table(
                {
                    "record_key": keys,
                    "environment": pa.repeat(environment, count),
                    "timestamp": pa.repeat(pa.scalar(datetime(2026, 9, 1)), count),
                }
                | columns
            )
            cursor.register("drawn", table)
            cursor.execute("insert into records by name from drawn")
            cursor.unregister("drawn")
    warehouse.refresh(changed=True)
    return warehouse


def _ours(warehouse: Warehouse) -> tuple[list[HistogramPair], list[float]]:
    """The whole drift table, from the warehouse, with no answer kept; and how long it took."""
    seconds = []
    for _ in range(RUNS):
        warehouse.refresh(changed=True)
        started = perf_counter()
        pairs = queries.histogram_pairs(warehouse, PROD, TEST)
        queries.drift_table(pairs)
        seconds.append(perf_counter() - started)
    return pairs, seconds


def _theirs(python: str, folder: str) -> dict[str, Any]:
    ran = subprocess.run(
        [python, str(PEER), folder, *COLUMNS], check=True, stdout=subprocess.PIPE, text=True
    )
    report: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return report


def _assert_same(pairs: list[HistogramPair], theirs: dict[str, Any]) -> None:
    assert {pair.projection.name for pair in pairs} == COLUMNS.keys()
    print("| column | KS | their KS | p | their p |\n|---|--:|--:|--:|--:|")
    for pair in pairs:
        ks, p = theirs["statistics"][pair.projection.name]
        ours = pair.drift
        print(f"| {pair.projection.name} | {ours.ks:.6f} | {ks:.6f} | {ours.p:.4f} | {p:.4f} |")
        assert abs(ours.ks - ks) < CLOSE and abs(ours.p - p) < NEAR
    print()


def _report(ours: list[float], theirs: dict[str, Any]) -> None:
    print(f"Evidently {theirs['version']}, pandas {theirs['pandas']}\n")
    print("| what | s | times as long | goal |\n|---|--:|--:|---|")
    print(f"| Misread's drift table, from the warehouse | {_seconds(ours)} | 1 | |")
    for name, label in NAMES.items():
        times, goal = theirs["seconds"][name], GOALS[name]
        ratio = min(times) / min(ours)
        target = "" if goal is None else f"≥ {goal}" + ("" if ratio >= goal else ", **missed**")
        print(f"| Evidently: {label} | {_seconds(times)} | {ratio:.0f} | {target} |")


def _seconds(times: list[float]) -> str:
    return f"{min(times):.2f} ({median(times):.2f})"


if __name__ == "__main__":
    main()
