"""Scoring with Ray: a real cluster of two workers on loopback, the real S3 server."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_access.cluster import score_on_ray
from data_access.errors import ModelError
from data_access.log import Log
from data_access.scoring import ScoringReport, score
from data_access.sync import sync
from data_access.toxicity import Toxicity, model_name
from tests.checkpoints import write_checkpoint
from tests.conftest import OpenWarehouse
from tests.samples import feedback, prediction, remove_object, write

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_checkpoint(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def cluster(s3_server: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
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


def objects(log: Log) -> dict[str, bytes]:
    return {held.key: log.get(held.key) for held in log.list("projections/")}


def test_both_engines_write_the_same_objects(
    cluster: None, log_uri: str, open_warehouse: OpenWarehouse, checkpoint: str
) -> None:
    log = Log.open(log_uri)
    fill(log, 300)
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    name = model_name(checkpoint)
    report = score_on_ray(log, warehouse, checkpoint, name, rows_at_once=50)
    by_ray = objects(log)
    assert (report.rows, report.objects) == (301, len(by_ray))
    for key in by_ray:
        remove_object(log, key)
    model = Toxicity.load(checkpoint)
    assert score(log, warehouse, name, model.scores, rows_at_once=50) == report
    assert objects(log) == by_ray
    sync(log, warehouse)
    assert score_on_ray(log, warehouse, checkpoint, name) == ScoringReport(name)


def _workers() -> list[int]:
    """Processes of this cluster that have a model."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if b"ray::" in (line := (process / "cmdline").read_bytes()) and b"Map" in line:
                    found.append(int(process.name))
            except OSError:
                continue
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the workers in /proc")
def test_a_worker_that_is_killed_costs_time_only(
    cluster: None, log_uri: str, open_warehouse: OpenWarehouse, checkpoint: str
) -> None:
    log = Log.open(log_uri)
    fill(log, 6_000)
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    killed: list[int] = []

    def kill_one() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and not killed:
            if log.list("projections/"):
                for process in _workers()[:1]:
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one)
    killer.start()
    report = score_on_ray(log, warehouse, checkpoint, model_name(checkpoint), rows_at_once=100)
    killer.join()
    assert killed
    assert report.rows == 6_001
    sync(log, warehouse)
    counted = "select count(*), count(distinct (record_key, projection)) from scores"
    assert warehouse.rows(counted) == [(36_006, 36_006)]


def test_no_cluster_is_said_in_a_sentence(
    folder_log: Log, open_warehouse: OpenWarehouse, checkpoint: str
) -> None:
    fill(folder_log, 2)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    with pytest.raises(ModelError, match=r"There is no Ray cluster at 127\.0\.0\.1:9"):
        score_on_ray(folder_log, warehouse, checkpoint, "m", address="127.0.0.1:9")
