"""Scoring on a Ray cluster: the same functions on the same pieces as on one machine.

The only module that imports ray, which is optional. What is scored, and how objects are named, is
left to `texts` and `images`: both engines write the same objects.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from data_access.errors import ModelError
from data_access.ingest import compute
from data_access.ingest.compute import FETCHERS, IMAGES_AT_ONCE, pieces, unscored_images
from data_access.log import Log
from data_access.progress import Progress, silent
from data_access.projections.custom import load_projections
from data_access.projections.values import image_values_version
from data_access.scoring import texts
from data_access.scoring.images import put_known, score_image_batch
from data_access.scoring.report import ScoringReport
from data_access.scoring.texts import (
    ROWS_AT_ONCE,
    score_chunk,
    unscored_chunks,
)
from data_access.scoring.toxicity import Toxicity
from data_access.warehouse import Warehouse

CONNECT_SECONDS = 10.0  # that a cluster may take to answer
INSTALL = "Scoring on a cluster needs Ray: pip install -r requirements-ray.txt."


def score_on_ray(
    log: Log,
    warehouse: Warehouse,
    setting: str,
    model: str,
    address: str | None = None,
    progress: Progress = silent,
    rows_at_once: int = ROWS_AT_ONCE,
) -> ScoringReport:
    """As `texts.score`, by one worker for each processor of a cluster.

    address: of an existing cluster; by default one is started on this machine for this run. Its
    nodes need Misread, what scoring needs, the model, and access to the log. A worker that dies
    is replaced, and its piece scored again. Raises ModelError, LogError.
    """
    chunks = list(unscored_chunks(warehouse, model, rows_at_once))
    total = sum(map(len, chunks))
    report = ScoringReport()

    def scored(row: Mapping[str, int]) -> None:
        report.add(ScoringReport(**row))
        progress(texts.STAGE, report.scored, total)

    progress(texts.STAGE, 0, total)
    _work(chunks, _Scorer, (log.opened_with, setting, model), address, scored)
    return report


def score_images_on_ray(
    log: Log,
    warehouse: Warehouse,
    modules: Sequence[str] = (),
    address: str | None = None,
    progress: Progress = silent,
    images_at_once: int = IMAGES_AT_ONCE,
) -> ScoringReport:
    """As `images.score_images`, by one worker for each processor of a cluster.

    modules: those of the warehouse's own projections, which the nodes need too. Otherwise as
    `score_on_ray`.
    """
    report = put_known(log, warehouse, images_at_once)
    images = unscored_images(warehouse)
    before = report.total

    def scored(row: Mapping[str, int]) -> None:
        report.add(ScoringReport(**row))
        progress(compute.STAGE, report.total - before, len(images))

    progress(compute.STAGE, 0, len(images))
    version = image_values_version(warehouse.projections)
    blocks = [pa.table({"image": piece}) for piece in pieces(images, images_at_once)]
    arguments = (log.opened_with, tuple(modules), version)
    _work(blocks, _ImageScorer, arguments, address, scored)
    return report


def _work(
    blocks: Sequence[pa.Table],
    worker: type,
    arguments: tuple[Any, ...],
    address: str | None,
    done: Callable[[Mapping[str, int]], None],
) -> None:
    """Have the workers of a cluster do each piece; `done` is called with the counts of each."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ModelError(f"{INSTALL} ({error})") from error
    if not blocks:
        return
    mine = _join(ray, address)
    try:
        processors = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        results = ray.data.from_arrow(list(blocks)).map_batches(
            worker,
            fn_constructor_args=arguments,
            batch_size=None,  # a piece as it is
            batch_format="pyarrow",
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=max(1, min(processors, len(blocks)))),
            max_restarts=-1,
            max_task_retries=-1,
        )
        for row in results.iter_rows():
            done(row)
    except (ray.exceptions.RayError, ray.exceptions.UserCodeException) as error:
        reason = str(error).strip().splitlines()[-1][:300]
        raise ModelError(f"The cluster failed before all was scored: {reason}") from error
    finally:
        if mine:
            ray.shutdown()


def _join(ray: Any, address: str | None) -> bool:
    """Connect to a cluster, or start one; returns whether to shut down at the end."""
    if ray.is_initialized():
        return False
    quiet = {"logging_level": "WARNING", "log_to_driver": False}
    try:
        if address is not None:
            _reach(address)
            ray.init(address=address, **quiet)
        else:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ModelError(
            f"There is no Ray cluster at {address or 'this machine'}: {reason}"
        ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    return True


def _reach(address: str) -> None:
    """Raises OSError where nothing listens there; Ray would retry for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


class _Scorer:
    """A process of the cluster, with the log and the model open."""

    def __init__(self, log: Mapping[str, Any], setting: str, model: str) -> None:
        """log: arguments of `Log.open`."""
        self._log = Log.open(**log)
        self._model = Toxicity.load(setting)
        if self._model.name != model:
            raise ModelError(f"A node of the cluster has a different model at {setting}.")

    def __call__(self, piece: pa.Table) -> pa.Table:
        done = score_chunk(self._log, self._model.name, piece, self._model.scores)
        return _counts(done)


class _ImageScorer:
    """A process of the cluster, with the log and the projections open."""

    def __init__(self, log: Mapping[str, Any], modules: tuple[str, ...], version: str) -> None:
        """log: arguments of `Log.open`. version: of the projections of images."""
        self._log = Log.open(**log)
        self._projections = load_projections(modules)
        self._pool = ThreadPoolExecutor(FETCHERS)
        if image_values_version(self._projections) != version:
            raise ModelError("A node of the cluster has different projections of images.")

    def __call__(self, piece: pa.Table) -> pa.Table:
        images = piece["image"].to_pylist()
        done = score_image_batch(self._log, images, self._projections, self._pool)
        return _counts(done)


def _counts(report: ScoringReport) -> pa.Table:
    return pa.table({name: [count] for name, count in vars(report).items()})
