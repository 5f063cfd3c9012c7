"""How long a cube of three projections takes, beside the histograms that it stands for.

`python -m benchmarks.cube [--records N] [--times K]`. Peers, in the same process and on the same
records: one GROUP BY for each of the three histograms (what a page that asks anew at every brush
would send, for one state of the brushes), and pandas with numpy on a frame in memory. Every side's
counts are compared before times are printed. `--times K`: the records K times over, each copy under
keys of its own, in a warehouse beside the first; what keeping cubes in the file saves shows there.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeVar

import numpy as np
import pandas as pd

from benchmarks.by_pandas import ENTROPY, IMAGE_MEAN
from benchmarks.synthetic import RECORDS, open_synthetic, settings_of
from data_access import queries
from data_access.queries import Axis, Cube
from data_access.selection import Selection, source
from data_access.sql import quoted
from data_access.warehouse import Warehouse

RUNS = 5
Answer = TypeVar("Answer")
NAMES = (ENTROPY, IMAGE_MEAN, "outputs.confidence")
PROD = Selection(environment=("prod",))
cube_module = sys.modules["data_access.queries.cube"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=RECORDS)
    arguments.add_argument("--times", type=int, default=1)
    chosen = arguments.parse_args()
    warehouse = opened(chosen.records, chosen.times)
    records = chosen.records * chosen.times
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{records:,} records; milliseconds, best of {RUNS} (median); load {load}\n")
    print("| what | ms | of the cube's time |\n|---|--:|--:|")
    axes = queries.axes(warehouse, NAMES)
    flag = queries.cube_categories(warehouse, PROD)[0]
    cube_module.KEPT_FROM = records + 1  # type: ignore[attr-defined]

    def count() -> Cube:
        warehouse.announce()  # no answer is kept from before
        return queries.count_cube(warehouse, PROD, axes, flag)

    cube, best = timed("cube of three projections and flags", count)
    print(f"| … its cells: {len(cube.cells):,} | | |")
    counts, _ = timed(
        "three GROUP BYs, one state of the brushes", lambda: plain(warehouse, axes), best
    )
    same(cube, counts)
    frame = warehouse.table(
        f"select {', '.join(map(quoted, NAMES))} from {source(PROD)[0]}", ["prod"]
    )
    values = frame.to_pandas()
    cells, _ = timed("pandas and numpy, values in memory", lambda: by_pandas(values, axes), best)
    assert cells == cube.cells.groupby(["bar_0", "bar_1", "bar_2"]).ngroups
    _, _ = timed("one state of the brushes from the cube", lambda: brushed(cube), best)
    cube_module.KEPT_FROM = 0  # type: ignore[attr-defined]
    count()
    timed("the cube, kept in the warehouse's file", count, best)
    warehouse.refresh(changed=True)
    warehouse.close()


def opened(records: int, times: int) -> Warehouse:
    """The synthetic warehouse, or one beside it that has its records so many times over."""
    log = open_synthetic(records)
    if times == 1:
        return log.warehouse
    log.warehouse.close()
    settings = settings_of(records)
    path = settings.warehouse.with_name(f"times-{times}.duckdb")
    is_new = not path.exists()
    warehouse = Warehouse.open(path, settings.log, log.warehouse.projections)
    if is_new:
        multiply(warehouse, settings.warehouse, times)
    return warehouse


def multiply(warehouse: Warehouse, of: Path, times: int) -> None:
    with warehouse.transaction() as cursor:
        cursor.execute(f"attach '{of}' as single (read_only)")
    for copy in range(times):
        with warehouse.transaction() as cursor:
            cursor.execute(
                "insert into records by name "
                "select * replace (record_key || '-' || ? as record_key) from single.records",
                [copy],
            )
    with warehouse.transaction() as cursor:
        cursor.execute("detach single")
    warehouse.refresh(changed=True)


def timed(
    what: str, answer_of: Callable[[], Answer], cube_seconds: float | None = None
) -> tuple[Answer, float]:
    """Prints a row; the answer and the best time in seconds."""
    seconds: list[float] = []
    for _ in range(RUNS):
        started = perf_counter()
        answer = answer_of()
        seconds.append(perf_counter() - started)
    best = min(seconds)
    ratio = "" if cube_seconds is None else f"{best / cube_seconds:.2f}"
    print(f"| {what} | {best * 1e3:,.0f} ({median(seconds) * 1e3:,.0f}) | {ratio} |", flush=True)
    return answer, best


def plain(warehouse: Warehouse, axes: tuple[Axis, ...]) -> list[dict[int, int]]:
    """Each histogram by a question of its own."""
    selected, params = source(PROD)
    counts = []
    for axis in axes:
        bar, edges = cube_module._bar_sql(axis)
        sql = f"select {bar} as bar, count(*) as records from {selected} group by 1"
        table = warehouse.table(sql, [*edges, *params])
        counts.append(
            dict(zip(table["bar"].to_pylist(), table["records"].to_pylist(), strict=True))
        )
    return counts


def same(cube: Cube, counts: list[dict[int, int]]) -> None:
    for axis, expected in zip(cube.axes, counts, strict=True):
        bars = {bar: int(count) for bar, count in enumerate(cube.counts(axis)) if count}
        assert bars == expected, axis.projection.name


def by_pandas(frame: pd.DataFrame, axes: tuple[Axis, ...]) -> int:
    """The cells of the same cube, without flags; how many there are."""
    places = {}
    for axis in axes:
        values = frame[axis.projection.name].to_numpy()
        bars = np.searchsorted(axis.bins.edges[1:-1], values, side="right")
        places[axis.projection.name] = np.where(np.isnan(values), axis.missing, bars)
    return len(pd.DataFrame(places).value_counts(sort=False))


def brushed(cube: Cube) -> list[np.ndarray]:
    """What the browser works out at each move of the mouse, here with numpy."""
    cells = cube.cells
    inside = cells["bar_0"].between(3, 9)
    return [np.bincount(cells[f"bar_{k}"][inside], cells["records"][inside]) for k in range(1, 3)]


if __name__ == "__main__":
    main()
