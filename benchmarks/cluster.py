"""When a cluster pays: `python -m benchmarks.cluster`.

Texts (by the bundled model) and images of a log in a real S3 server on loopback are scored by this
process, and then by Ray with a worker for each processor; what both wrote is compared.
What comes before the first record is scored apart: starting Ray, its workers, and the model. From
that and from the rates follows how many records it takes for N processors to be faster.
"""

import argparse
import io
import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow.parquet as pq
import ray
import ray.data

from benchmarks.ingest import DRAWINGS, _Pictures
from benchmarks.synthetic import CACHE
from benchmarks.toxicity import log_texts
from data_access.embedded import embedded_server
from data_access.ingest.compute import FETCHERS, IMAGES_AT_ONCE
from data_access.ingest.sync import sync
from data_access.log import Log, create_bucket
from data_access.projections import load_projections
from data_access.scoring.images import score_images
from data_access.scoring.ray import score_images_on_ray, score_on_ray
from data_access.scoring.texts import ROWS_AT_ONCE, score
from data_access.scoring.toxicity import Toxicity, model_name
from data_access.warehouse import Warehouse
from tests.samples import prediction, write

BUCKET = "misread-cluster"
MODEL = "bundled"
PROCESSORS = (2, 4, 8, 16, 64)

Engine = Callable[[Log, Warehouse, int], object]
"""Scores or values, with so many records in a piece, into the log."""


@dataclass(frozen=True)
class Work:
    """What is to be done: filled into a log, done by this process, and done by Ray."""

    name: str
    fill: Callable[[Log, int], None]
    at_once: int
    here: Engine
    on_ray: Engine


@dataclass
class Runs:
    """Of one engine: seconds on next to nothing, the first time and again, and by size.

    written: the objects of each size.
    """

    first: float
    again: float
    seconds: dict[int, float] = field(default_factory=dict)
    written: dict[int, dict[str, bytes]] = field(default_factory=dict)

    def rate(self, size: int) -> float:
        """Records a second, once it has begun; NaN where that is too short to say."""
        working = self.seconds[size] - self.again
        return size / working if working > 0 else math.nan


def score_here(log: Log, warehouse: Warehouse, rows: int) -> object:
    model = Toxicity.load(MODEL)
    return score(log, warehouse, model.name, model.scores, rows_at_once=rows)


def score_there(log: Log, warehouse: Warehouse, rows: int) -> object:
    return score_on_ray(log, warehouse, MODEL, model_name(MODEL), rows_at_once=rows)


def measure_here(log: Log, warehouse: Warehouse, images: int) -> object:
    return score_images(log, warehouse, images_at_once=images)


def measure_there(log: Log, warehouse: Warehouse, images: int) -> object:
    return score_images_on_ray(log, warehouse, images_at_once=images)


def fill_texts(log: Log, count: int) -> None:
    served = (prediction(f"{n}", text) for n, text in enumerate(log_texts(count, 1.0)))
    write(log, "predictions/1.jsonl", *served)


@dataclass(frozen=True)
class Images:
    """Fills a log with images of one size and kind."""

    size: tuple[int, int]
    kind: str

    def __call__(self, log: Log, count: int) -> None:
        drawings = [_Pictures(self.size, self.kind)._drawing(n) for n in range(DRAWINGS)]
        names = [f"images/{number:06}.{self.kind.lower()}" for number in range(count)]
        with ThreadPoolExecutor(FETCHERS) as pool:
            bodies = (drawings[number % DRAWINGS] for number in range(count))
            for _ in pool.map(log.put, names, bodies):
                pass
        served = (prediction(name, None, inputs__image=name) for name in names)
        write(log, "predictions/1.jsonl", *served)


TEXTS = Work("texts", fill_texts, ROWS_AT_ONCE, score_here, score_there)
SMALL, LARGE = (
    Work(name, Images(size, kind), IMAGES_AT_ONCE, measure_here, measure_there)
    for name, size, kind in (
        ("images of 300 × 100, PNG", (300, 100), "PNG"),
        ("images of 1200 × 900, JPEG", (1200, 900), "JPEG"),
    )
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, nargs="+", default=[1_000, 4_000])
    parser.add_argument("--small", type=int, nargs="+", default=[1_024, 4_096])
    parser.add_argument("--large", type=int, nargs="+", default=[256, 1_024])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    wanted = [(TEXTS, options.texts), (SMALL, options.small), (LARGE, options.large)]
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{options.workers} workers, {os.cpu_count()} processors, load {load}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        folder = Path(scratch)
        with embedded_server(folder / "s3") as server:
            os.environ.update(server.environ)
            create_bucket(f"s3://{BUCKET}")
            here = [runs(work, work.here, sizes, folder) for work, sizes in wanted]
            _, cold = timed(lambda: start_ray(options.workers))
            there = [runs(work, work.on_ray, sizes, folder) for work, sizes in wanted]
            ray.shutdown()
    print(f"Ray started in {cold:.1f} s.\n")
    print_table(wanted, here, there, options.workers)


def start_ray(workers: int) -> None:
    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        logging_level=logging.WARNING,
        log_to_driver=False,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False


def runs(work: Work, engine: Engine, sizes: Sequence[int], folder: Path) -> Runs:
    """Two records first, in a piece of their own each, so that two workers begin."""
    first, again = (run(work, engine, 2, 1, folder)[0] for _ in range(2))
    runs = Runs(first, again)
    for size in sizes:
        runs.seconds[size], runs.written[size] = run(work, engine, size, work.at_once, folder)
    return runs


def run(
    work: Work, engine: Engine, size: int, at_once: int, folder: Path
) -> tuple[float, dict[str, bytes]]:
    """Seconds, and what was written, which is removed again."""
    log = Log.open(f"s3://{BUCKET}/{work.name.partition(',')[0].replace(' ', '-')}-{size}")
    path = folder / f"{log.uri.rpartition('/')[2]}.duckdb"
    if not path.exists():
        work.fill(log, size)
    warehouse = Warehouse.open(path, log.uri, load_projections())
    sync(log, warehouse, images=False)
    _, seconds = timed(lambda: engine(log, warehouse, at_once))
    warehouse.close()
    written = {row.key: log.get(row.key) for row in log.list("projections/")}
    for key in written:
        log.remove(key)
    return seconds, written


def timed(work: Callable[[], object]) -> tuple[object, float]:
    begun = perf_counter()
    return work(), perf_counter() - begun


def print_table(
    wanted: Sequence[tuple[Work, Sequence[int]]],
    here: Sequence[Runs],
    there: Sequence[Runs],
    workers: int,
) -> None:
    print("| | | one process | | Ray | | |")
    print("| what | n | to start, s | n/s | to start, s | n/s | same objects |")
    print("|---|--:|--:|--:|--:|--:|---|")
    for (work, sizes), local, cluster in zip(wanted, here, there, strict=True):
        for size in sizes:
            same = alike(local.written[size], cluster.written[size])
            print(
                f"| {work.name} | {size:,} | {local.first:.1f} | {local.rate(size):,.0f} "
                f"| {cluster.first:.1f} | {cluster.rate(size):,.0f} | {same} |"
            )
    print("\n| processors | " + " | ".join(f"{work.name}, from" for work, _ in wanted) + " |")
    print("|--:|" + "--:|" * len(wanted))
    for processors in PROCESSORS:
        cells = [
            pays_from(local, cluster, max(sizes), workers / processors)
            for (_, sizes), local, cluster in zip(wanted, here, there, strict=True)
        ]
        print(f"| {processors} | " + " | ".join(cells) + " |")


def alike(local: Mapping[str, bytes], cluster: Mapping[str, bytes]) -> str:
    """Whether two engines wrote the same objects, or else by how much their numbers differ."""
    if local == cluster:
        return "yes"
    if local.keys() != cluster.keys():
        return "**no**"
    left, right = (
        np.concatenate([pq.read_table(io.BytesIO(bodies[key]))["value"] for key in sorted(bodies)])
        for bodies in (local, cluster)
    )
    return f"within {np.abs(left - right).max():.0e}"


def pays_from(local: Runs, cluster: Runs, size: int, share: float) -> str:
    """From how many records on Ray is done first, by the rates of the largest runs.

    share: of the processors that one would have, those that were scored: each works as fast.
    """
    each = 1 / local.rate(size) - share / cluster.rate(size)
    if not each > 0:
        return "never" if each <= 0 else ""
    return f"{max(0.0, (cluster.first - local.first) / each):,.0f}"


if __name__ == "__main__":
    main()
