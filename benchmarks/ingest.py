"""How fast the log is read, beside the least that any reader would have to do.

`python -m benchmarks.ingest [--quick] [--only NAME …]` prints a table: each sync beside a peer
that parses nothing, checks nothing and knows nothing of records. Both run in processes of their
own, in turn; the best time of each counts. Their peak memory is of one run at a tenth of the size
and at the whole. The objects are made once and kept under .misread/bench/ingest.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb
import numpy as np
import obstore
from PIL import Image, ImageDraw

from benchmarks.synthetic import CACHE, WORDS, fingerprint
from data_access.embedded import embedded_server
from data_access.ingest.compute import FETCHERS, compute_images
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import PREFIXES, _load, sync
from data_access.log import Log, create_bucket
from data_access.progress import silent
from data_access.projections import ProjectionTable, load_projections
from data_access.warehouse import Warehouse

FOLDER = CACHE / "ingest"
BUCKET = "misread-bench"
FILES = 20
DRAWINGS = 40  # that differ; each lies in the log under as many names as it takes
MEGABYTE = 1024.0  # in kilobytes, as the system counts memory

EVENTS = """
create or replace temp table events as
with words as (
    select list_value({words}) as word
)
select
    md5('record ' || i) as record_key,
    timestamp '2026-01-01' + to_seconds(i * 7) as timestamp,
    'prod' as environment,
    'handwriting-reader' as application,
    'v' || i * 3 // {count} as version,
    {image} as "inputs.image",
    array_to_string(
        list_transform(range(20), lambda k: word[1 + (hash(i * 20 + k) % len(word))::integer]), ' '
    ) as "outputs.output_text",
    (hash(i) % 1000) / 1000 as "outputs.confidence",
    {{'client': 'ios' || i % 3, 'latency_ms': i % 100}} as tags
from range({count}) as numbers(i), words
"""
IMAGE_NAME = "'images/' || sha256('image ' || i)[1:2] || '/' || sha256('image ' || i) || '.png'"
LINES = """
create table events as
select *
from read_json('{log}/predictions/*.jsonl', format = 'newline_delimited', columns = {{
    'record_key': 'varchar', 'timestamp': 'timestamp', 'environment': 'varchar',
    'application': 'varchar', 'version': 'varchar', 'inputs.image': 'varchar',
    'outputs.output_text': 'varchar', 'outputs.confidence': 'double', 'tags': 'json'
}})
"""
PARQUET = "create table events as select * from read_parquet('{log}/predictions/*.parquet')"


@dataclass(frozen=True)
class Comparison:
    """One row of the table: a task, its peer, and what is aimed at.

    goal: at least this share of the peer's rate, or (`times`) at most so many times its time.
    """

    name: str
    what: str
    task: str
    peer: str
    size: int
    make: Callable[[int], str]
    goal: float | None
    times: bool = False
    prepare: str | None = None


@dataclass(frozen=True)
class Run:
    """Seconds, and the peak of resident memory in MB."""

    seconds: float
    peak: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="a tenth of everything, once")
    arguments.add_argument("--objects", type=int, default=20_000, help="of one event each")
    arguments.add_argument("--records", type=int, default=1_000_000, help="in 20 files")
    arguments.add_argument("--known", type=int, default=100_000, help="objects read before")
    arguments.add_argument("--images", type=int, default=1_000)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--only", nargs="+", metavar="NAME", help="rows of these names")
    arguments.add_argument("--once", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.once:
        print(json.dumps(_once(**json.loads(chosen.once))))
        return
    if chosen.quick:
        for name in ("objects", "records", "known", "images"):
            setattr(chosen, name, getattr(chosen, name) // 10)
        chosen.runs = 1
    wanted = [row for row in _comparisons(chosen) if not chosen.only or row.name in chosen.only]
    with embedded_server(FOLDER / "s3") as server:
        os.environ.update(server.environ)
        create_bucket(f"s3://{BUCKET}")
        load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
        print(f"best of {chosen.runs}; load {load}\n")
        print(
            "| what | n | Misread, s | peer, s | ratio | goal | "
            "Misread, MB at n/10 and n | peer, MB at n/10 and n |\n"
            "|---|--:|--:|--:|--:|---|--:|--:|"
        )
        for row in wanted:
            print(_measured(row, chosen.runs), flush=True)


def _comparisons(chosen: argparse.Namespace) -> list[Comparison]:
    small, large = (300, 100), (1200, 900)
    return [
        Comparison(
            "objects", "JSON objects of one event, read", "read", "get",
            chosen.objects, lambda n: _s3_events("objects", n), 0.7,
        ),
        Comparison(
            "scored", "the same, read and scored", "sync", "get",
            chosen.objects, lambda n: _s3_events("objects", n), None,
        ),
        Comparison(
            "parquet", "records in 20 Parquet files, read", "read", "read_parquet",
            chosen.records, lambda n: _files("parquet", n), 2.0, times=True,
        ),
        Comparison(
            "lines", "records in 20 files of JSON lines, read", "read", "read_json",
            chosen.records, lambda n: _files("jsonl", n), 2.0, times=True,
        ),
        Comparison(
            "lines-scored", "the same, read and its texts scored", "read_and_score", "read_json",
            chosen.records // 10, lambda n: _files("jsonl", n), None, times=True,
        ),
        Comparison(
            "nothing", "nothing new among known objects of a bucket", "sync", "list",
            chosen.known, lambda n: _s3_events("known", n), 1.3, times=True, prepare="sync",
        ),
        Comparison(
            "nothing-folder", "the same in a folder", "sync", "list",
            chosen.known, _folder_events, 1.3, times=True, prepare="sync",
        ),
        *[
            Comparison(
                name, f"images of {width} × {height}, {kind}, scored", "score", "decode",
                chosen.images, _Pictures((width, height), kind), 0.8, prepare="read",
            )
            for name, (width, height), kind in (
                ("small-images", small, "PNG"),
                ("large-images", large, "PNG"),
                ("jpeg-images", large, "JPEG"),
            )
        ],
    ]  # fmt: skip


def _measured(row: Comparison, runs: int) -> str:
    tenth, whole = row.size // 10, row.size
    small = {task: _run(row, task, tenth) for task in (row.task, row.peer)}
    best: dict[str, list[Run]] = {row.task: [], row.peer: []}
    for _ in range(runs):
        for task, measured in best.items():
            measured.append(_run(row, task, whole))
    ours, peers = (min(measured, key=lambda run: run.seconds) for measured in best.values())
    ratio = ours.seconds / peers.seconds if row.times else peers.seconds / ours.seconds
    versus = f"{ratio:.2f} times its time" if row.times else f"{ratio:.2f} of its rate"
    if row.goal is None:
        goal = ""
    else:
        met = ratio <= row.goal if row.times else ratio >= row.goal
        goal = f"{'≤' if row.times else '≥'} {row.goal}{'' if met else ', **missed**'}"
    peaks = [
        f"{small[task].peak:,.0f}, {max(run.peak for run in measured):,.0f}"
        for task, measured in best.items()
    ]
    return (
        f"| {row.what} | {whole:,} | {ours.seconds:.2f} | {peers.seconds:.2f} | {versus} "
        f"| {goal} | {peaks[0]} | {peaks[1]} |"
    )


def _run(row: Comparison, task: str, size: int) -> Run:
    """Do one task in a process of its own, on a warehouse of its own."""
    log = row.make(size)
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        warehouse = Path(scratch) / "warehouse.duckdb"
        if row.prepare is not None:
            prepared = FOLDER / f"{row.name}-{size}-{fingerprint()}.duckdb"
            if not prepared.exists():
                making = prepared.with_suffix(".unfinished")
                making.unlink(missing_ok=True)
                _child(task=row.prepare, log=log, warehouse=str(making))
                making.replace(prepared)
            shutil.copy(prepared, warehouse)
        return Run(**_child(task=task, log=log, warehouse=str(warehouse)))


def _child(**task: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ingest", "--once", json.dumps(task)],
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


# --- in a child process -------------------------------------------------------------------------


def _once(task: str, log: str, warehouse: str) -> dict[str, float]:
    run = TASKS[task](Log.open(log), Path(warehouse))
    started = perf_counter()
    run()
    seconds = perf_counter() - started
    return {"seconds": seconds, "peak": _peak()}


def _peak() -> float:
    """Linux counts what this process was before it began to run Python in getrusage's peak."""
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / MEGABYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE


Task = Callable[[], Any]


def _opened(log: Log, path: Path) -> Warehouse:
    return Warehouse.open(path, log.uri, load_projections())


def _read(log: Log, path: Path) -> Task:
    """A sync of a warehouse that computes nothing."""
    logged = tuple(row for row in load_projections().rows if row.compute is None)
    return _load_all(log, Warehouse.open(path, log.uri, ProjectionTable(logged)))


def _read_and_score(log: Log, path: Path) -> Task:
    """A sync without the values of images."""
    warehouse = _opened(log, path)
    _warm_up(warehouse)
    return _load_all(log, warehouse)


def _load_all(log: Log, warehouse: Warehouse) -> Task:
    def run() -> None:
        with warehouse.writing:
            report = SyncReport()
            _load(log, warehouse, silent, report)
            warehouse.refresh(changed=True)
            assert report.predictions and not report.failures, report
        warehouse.close()

    return run


def _sync(log: Log, path: Path) -> Task:
    warehouse = _opened(log, path)
    _warm_up(warehouse)

    def run() -> None:
        assert not sync(log, warehouse).failures
        warehouse.close()

    return run


def _warm_up(warehouse: Warehouse) -> None:
    for row in warehouse.projections.computed_from_text():
        assert row.compute is not None
        row.compute(*[["warm"] for _ in row.inputs])


def _score_image(log: Log, path: Path) -> Task:
    """The images' part of a sync."""
    warehouse = _opened(log, path)

    def run() -> None:
        with warehouse.writing:
            report = SyncReport()
            compute_images(log, warehouse, silent, report)
            warehouse.refresh()
            assert report.scored_images and not report.failures, report
        warehouse.close()

    return run


def _get(log: Log, path: Path) -> Task:
    keys = _keys(log, "predictions/")
    return lambda: _all(lambda key: obstore.get(log._store, key).bytes(), keys)


def _list(log: Log, path: Path) -> Task:
    return lambda: [len(chunk) for prefix in PREFIXES for chunk in obstore.list(log._store, prefix)]


def _decode(log: Log, path: Path) -> Task:
    def decode(key: str) -> int:
        body = obstore.get(log._store, key).bytes().to_bytes()
        return np.asarray(Image.open(io.BytesIO(body)).convert("L")).size

    keys = _keys(log, "images/")
    return lambda: _all(decode, keys)


def _by_duckdb(sql: str) -> Callable[[Log, Path], Task]:
    def task(log: Log, path: Path) -> Task:
        connection = duckdb.connect(str(path))

        def run() -> None:
            connection.execute(sql.format(log=log.uri))
            connection.close()

        return run

    return task


def _keys(log: Log, prefix: str) -> list[str]:
    return sorted(row.key for row in log.list(prefix))


def _all(work: Callable[[str], Any], keys: Sequence[str]) -> None:
    with ThreadPoolExecutor(FETCHERS) as pool:
        for _ in pool.map(work, keys):
            pass


TASKS: dict[str, Callable[[Log, Path], Task]] = {
    "read": _read,
    "read_and_score": _read_and_score,
    "sync": _sync,
    "score": _score_image,
    "get": _get,
    "list": _list,
    "decode": _decode,
    "read_parquet": _by_duckdb(PARQUET),
    "read_json": _by_duckdb(LINES),
}


# --- what is read -------------------------------------------------------------------------------


def _s3_events(name: str, count: int) -> str:
    """A log in the bucket with a JSON object for each event."""
    uri = f"s3://{BUCKET}/{name}-{count}"
    _fill(Log.open(uri), _single_objects(count))
    return uri


def _folder_events(count: int) -> str:
    folder = FOLDER / f"single-{count}"
    folder.mkdir(exist_ok=True)
    _fill(Log.open(str(folder)), _single_objects(count))
    return str(folder)


def _fill(log: Log, objects: Iterator[tuple[str, bytes]]) -> None:
    """Add these objects where a run before has not added them all."""
    if not any(row.key == "whole" for row in log.list("whole")):
        with ThreadPoolExecutor(FETCHERS) as pool:
            for _ in pool.map(lambda pair: log.put(*pair), objects):
                pass
        log.put("whole", b"")


def _single_objects(count: int) -> Iterator[tuple[str, bytes]]:
    connection = _events(count, "null")
    rows = connection.sql(
        "select strftime(timestamp, '%Y-%m-%d'), record_key, to_json(events) from events"
    )
    for day, key, event in rows.fetchall():
        yield f"predictions/date={day}/{key}.json", event.encode()


def _files(kind: str, count: int) -> str:
    """A log in a folder with FILES files of one kind."""
    folder = FOLDER / f"{kind}-{count}"
    if not folder.exists():
        making = folder.with_suffix(".unfinished")
        shutil.rmtree(making, ignore_errors=True)
        (making / "predictions").mkdir(parents=True)
        connection = _events(count, IMAGE_NAME)
        each = count // FILES
        how = "format json" if kind == "jsonl" else "format parquet"
        for number in range(FILES):
            path = making / "predictions" / f"{number:02}.{kind}"
            part = f"from events limit {each} offset {number * each}"
            connection.execute(f"copy ({part}) to '{path}' ({how})")
        making.replace(folder)
    return str(folder)


def _events(count: int, image: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    words = ", ".join(f"'{word}'" for word in WORDS.split())
    connection.execute(EVENTS.format(words=words, count=count, image=image))
    return connection


@dataclass(frozen=True)
class _Pictures:
    """Makes a log in the bucket with so many images of one size, and a record of each."""

    size: tuple[int, int]
    kind: str

    def __call__(self, count: int) -> str:
        uri = f"s3://{BUCKET}/{self.kind.lower()}-{self.size[0]}-{count}"
        _fill(Log.open(uri), self._objects(count))
        return uri

    def _objects(self, count: int) -> Iterator[tuple[str, bytes]]:
        drawings = [self._drawing(number) for number in range(min(DRAWINGS, count))]
        for number in range(count):
            body = drawings[number % len(drawings)] + b"%d" % number  # past the end of the image
            sha256 = hashlib.sha256(body).hexdigest()
            name = f"images/{sha256[:2]}/{sha256}.{self.kind.lower()}"
            event = {
                "record_key": sha256,
                "timestamp": "2026-01-01T00:00:00Z",
                "environment": "prod",
                "inputs.image": name,
            }
            yield name, body
            yield f"predictions/date=2026-01-01/{sha256}.json", json.dumps(event).encode()

    def _drawing(self, seed: int) -> bytes:
        """Lines of text on paper that is not quite even, with a little noise."""
        draw = np.random.default_rng(seed)
        width, height = self.size
        shade = np.linspace(200, 235, width) + np.linspace(-10, 10, height)[:, None]
        levels = shade + draw.normal(0, 2, (height, width))
        image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
        pen, words = ImageDraw.Draw(image), WORDS.split()
        for top in range(10, height - 20, 40):
            line = " ".join(draw.choice(words, max(2, width // 100)))
            pen.text((10, top), line, fill=40, font_size=28)
        body = io.BytesIO()
        image.save(body, self.kind)
        return body.getvalue()


if __name__ == "__main__":
    main()
