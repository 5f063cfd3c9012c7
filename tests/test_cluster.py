"""Scoring and images with Ray: a real cluster of two workers on loopback, the real S3 server."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import data_access
from data_access.errors import ModelError
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections.values import image_values_version
from data_access.scoring.images import score_images
from data_access.scoring.ray import _ImageScorer, score_images_on_ray, score_on_ray
from data_access.scoring.report import ScoringReport
from data_access.scoring.texts import score
from data_access.scoring.toxicity import Toxicity, model_name
from tests.checkpoints import write_checkpoint
from tests.conftest import OpenWarehouse
from tests.samples import SOAK, feedback, picture, prediction, remove_object, write

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_checkpoint(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def cluster(s3_server: object) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            object_store_memory=10**8,
            log_to_driver=False,
        )
        yield
        ray.shutdown()


def fill(log: Log, count: int) -> None:
    events = [prediction(f"r{n}", f"text {n % 70} " + "the shit " * (n % 9)) for n in range(count)]
    write(log, "predictions/1.jsonl", *events)
    write(log, "feedback/1.json", feedback("r1", ground_truth_string="what was meant"))


def fill_with_images(log: Log, count: int) -> None:
    """Images of which one is missing and one is none."""
    names = [f"images/{number:04}.png" for number in range(count)]
    bodies = [b"no image", *(picture(ground=9 + n % 240) for n in range(1, count - 1))]
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(log.put, names, bodies))
    served = [prediction(f"r{n}", None, inputs__image=name) for n, name in enumerate(names)]
    write(log, "predictions/1.jsonl", *served)


def objects(log: Log) -> dict[str, bytes]:
    return {held.key: log.get(held.key) for held in log.list("projections/")}


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="those of images are compared: texts in `make soak`")
def test_both_engines_write_the_same_scores(
    cluster: None, log_uri: str, open_warehouse: OpenWarehouse
) -> None:
    log = Log.open(log_uri)
    fill(log, 300)
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    name = model_name("bundled")
    report = score_on_ray(log, warehouse, "bundled", name, rows_at_once=50)
    by_ray = objects(log)
    assert (report.scored, report.objects) == (301, len(by_ray))
    for key in by_ray:
        remove_object(log, key)
    model = Toxicity.load("bundled")
    assert score(log, warehouse, name, model.scores, rows_at_once=50) == report
    assert objects(log) == by_ray
    sync(log, warehouse)
    assert score_on_ray(log, warehouse, "bundled", name) == ScoringReport()


def test_both_engines_write_the_same_values(
    cluster: None, log_uri: str, open_warehouse: OpenWarehouse
) -> None:
    log = Log.open(log_uri)
    fill_with_images(log, 50)
    warehouse = open_warehouse(log)
    assert sync(log, warehouse, images=False).scored_images == 0
    told: list[tuple[int, int]] = []
    report = score_images_on_ray(
        log, warehouse, progress=lambda _, done, n: told.append((done, n)), images_at_once=12
    )
    by_ray = objects(log)
    assert report == ScoringReport(scored=49, computed=49, left=1, objects=5) and len(by_ray) == 5
    assert told[0] == (0, 50) and told[-1] == (50, 50)
    for key in by_ray:
        remove_object(log, key)
    assert score_images(log, warehouse, images_at_once=12) == report
    assert objects(log) == by_ray
    assert sync(log, warehouse) == SyncReport(objects=5, logged_images=49, scored_images=1)
    assert score_images_on_ray(log, warehouse) == ScoringReport()
    alone = open_warehouse(log, name="alone.duckdb")
    for key in by_ray:
        remove_object(log, key)
    sync(log, alone)
    scored = "select * exclude (found_in, tried) from image_values order by image"
    assert alone.rows(scored) == warehouse.rows(scored)


def test_custom_projections_are_scored_on_a_cluster_that_has_them(
    cluster: None, folder_log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "ours.py"
    module.write_text(
        "from data_access.projections import projection\n"
        "@projection('inputs.image', unit='grey level', explanation='The darkest.')\n"
        "def darkest(images):\n"
        "    return [image.min() for image in images]\n"
    )
    fill_with_images(folder_log, 5)
    for name, value in {
        "MISREAD_PROJECTIONS": str(module),
        "MISREAD_LOG": folder_log.uri,
        "MISREAD_WAREHOUSE": str(tmp_path / "own.duckdb"),
    }.items():
        monkeypatch.setenv(name, value)
    opened = data_access.open()
    try:
        assert opened.score_images(ray=True).scored == 4
        by_ray = objects(folder_log)
        found = opened.warehouse.rows('select "darkest(inputs.image)" from records order by all')
        assert found == [(10.0,), (11.0,), (12.0,), (None,), (None,)]
        for key in by_ray:
            remove_object(folder_log, key)
        sync(folder_log, opened.warehouse, images=False)
        assert score_images(folder_log, opened.warehouse).scored == 4
        assert objects(folder_log) == by_ray
        wanted = image_values_version(opened.warehouse.projections)
        with pytest.raises(ModelError, match="has different projections of images"):
            _ImageScorer(folder_log.opened_with, (), wanted)
    finally:
        opened.close()


def _workers() -> list[int]:
    """Processes of this cluster that are at work: grandchildren of this one, by Ray's raylet."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            if (
                b"ray::" in line
                and b"Map" in line
                and _parent(_parent(process.name)) == os.getpid()
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def _parent(process: str | int) -> int:
    """Raises OSError where it has ended."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def killing_a_worker(log: Log, killed: list[int]) -> threading.Thread:
    """Kills one as soon as there is something in the log; started."""

    def kill_one() -> None:
        until = time.monotonic() + 180  # a busy machine starts Ray slowly
        while time.monotonic() < until and not killed:
            if log.list("projections/"):
                for process in _workers()[:1]:
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one)
    killer.start()
    return killer


needs_proc = pytest.mark.skipif(not Path("/proc").exists(), reason="finds the workers in /proc")


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="large enough to be killed at work: in `make soak`")
@needs_proc
def test_a_worker_that_is_killed_costs_time_only(
    cluster: None, log_uri: str, open_warehouse: OpenWarehouse, checkpoint: str
) -> None:
    log = Log.open(log_uri)
    fill(log, 6_000)
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    killed: list[int] = []
    killer = killing_a_worker(log, killed)
    report = score_on_ray(log, warehouse, checkpoint, model_name(checkpoint), rows_at_once=100)
    killer.join()
    assert killed
    assert report.scored == 6_001
    sync(log, warehouse)
    counted = "select count(*), count(distinct (record_key, subject)) from logged_text_values"
    assert warehouse.rows(counted) == [(6_001, 6_001)]


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="large enough to be killed at work: in `make soak`")
@needs_proc
def test_a_killed_worker_scores_no_image_twice(
    cluster: None, log_uri: str, open_warehouse: OpenWarehouse
) -> None:
    log = Log.open(log_uri)
    fill_with_images(log, 1_200)
    warehouse = open_warehouse(log)
    sync(log, warehouse, images=False)
    killed: list[int] = []
    killer = killing_a_worker(log, killed)
    report = score_images_on_ray(log, warehouse, images_at_once=12)
    killer.join()
    assert killed
    assert (report.scored, report.left) == (1_199, 1)
    assert sync(log, warehouse).logged_images == 1_199
    counted = "select count(*), count(distinct image) from logged_image_values"
    assert warehouse.rows(counted) == [(1_199, 1_199)]
    assert len(log.list("projections/")) == 100


def test_no_cluster_is_said_in_a_sentence(
    folder_log: Log,
    open_warehouse: OpenWarehouse,
    checkpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # whatever ran before
    fill(folder_log, 2)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    with pytest.raises(ModelError, match=r"There is no Ray cluster at 127\.0\.0\.1:9"):
        score_on_ray(folder_log, warehouse, checkpoint, "m", address="127.0.0.1:9")
