"""Evidently's side of `benchmarks.drift`, run in an environment of its own.

`python drift_peer.py FOLDER COLUMN…`: reads prod.npy and test.npy, shapes (columns, records), and
prints times and the KS statistics of Evidently's own calls as one line of JSON. Only the work is
timed: frames and datasets are made before, nothing is rendered.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import evidently
import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import ks_stattest
from evidently.presets import DataDriftPreset

RUNS = 2


def main(folder: str, names: list[str]) -> None:
    prod, test = (
        pd.DataFrame(dict(zip(names, np.load(Path(folder, f"{side}.npy")), strict=True)))
        for side in ("prod", "test")
    )
    definition = DataDefinition(numerical_columns=names)
    current, reference = (
        Dataset.from_pandas(frame, data_definition=definition) for frame in (prod, test)
    )
    statistics: dict[str, tuple[float, float]] = {}

    def ks() -> None:
        for name in names:
            ks_stattest._ks_stat_test(test[name], prod[name], "num", 0.05)

    def preset(**chosen: str) -> Callable[[], object]:
        return lambda: Report([DataDriftPreset(**chosen)]).run(current, reference)

    seconds = {
        "preset": _timed(preset()),
        "ks_preset": _timed(preset(num_method="ks")),
        "ks": _timed(ks),
    }
    test_of_scipy = ks_stattest.ks_2samp
    for name in names:
        results: list[Any] = []
        ks_stattest.ks_2samp = lambda *sides, results=results: (
            results.append(test_of_scipy(*sides)) or results[0]
        )
        ks_stattest._ks_stat_test(test[name], prod[name], "num", 0.05)
        statistics[name] = (float(results[0].statistic), float(results[0].pvalue))
    report = {
        "version": evidently.__version__,
        "pandas": pd.__version__,
        "seconds": seconds,
        "statistics": statistics,
    }
    print(json.dumps(report))


def _timed(work: Callable[[], object]) -> list[float]:
    seconds = []
    for _ in range(RUNS):
        started = perf_counter()
        work()
        seconds.append(perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
