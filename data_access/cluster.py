"""Scoring on a Ray cluster: the same function on the same pieces as on one machine.

The one home of ray, which is optional. What is to be scored, and what an object is named, is left
to `scoring`: both engines write the same objects.
"""

import os
import socket
from typing import Any

import pyarrow as pa

from data_access.errors import ModelError
from data_access.log import Log
from data_access.progress import Progress, silent
from data_access.scoring import ROWS_AT_ONCE, STAGE, ScoringReport, score_chunk, unscored_chunks
from data_access.toxicity import Toxicity
from data_access.warehouse import Warehouse

PATIENCE = 10.0  # seconds that a cluster may take to answer
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
    """As `scoring.score`, by one worker for each processor of a cluster.

    address: of an existing cluster; by default one is started on this machine, for this run. Its
    nodes need Misread, what scoring needs, the model, and access to the log. A worker that dies
    is replaced, and its piece scored again. Raises ModelError, LogError.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ModelError(f"{INSTALL} ({error})") from error
    pieces = list(unscored_chunks(warehouse, model, rows_at_once))
    report = ScoringReport(model)
    if not pieces:
        return report
    total = sum(map(len, pieces))
    progress(STAGE, 0, total)
    mine = _join(ray, address)
    try:
        processors = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        found = ray.data.from_arrow(pieces).map_batches(
            _Worker,
            fn_constructor_args=(log.uri, setting, model),
            batch_size=None,  # a piece as it is
            batch_format="pyarrow",
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=max(1, min(processors, len(pieces)))),
            max_restarts=-1,
            max_task_retries=-1,
        )
        for row in found.iter_rows():
            report.add(ScoringReport(model, row["texts"], row["rows"], row["objects"]))
            progress(STAGE, report.rows, total)
    except (ray.exceptions.RayError, ray.exceptions.UserCodeException) as error:
        said = str(error).strip().splitlines()[-1][:300]
        raise ModelError(f"The cluster did not score all texts: {said}") from error
    finally:
        if mine:
            ray.shutdown()
    return report


def _join(ray: Any, address: str | None) -> bool:
    """Connect to a cluster, or start one; whether it is to be left behind at the end."""
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
        said = str(error).splitlines()[0][:200]
        raise ModelError(
            f"There is no Ray cluster at {address or 'this machine'}: {said}"
        ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    return True


def _reach(address: str) -> None:
    """Raises OSError where nobody listens there; Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), PATIENCE).close()


class _Worker:
    """A process of the cluster, with the log and the model open."""

    def __init__(self, uri: str, setting: str, model: str) -> None:
        self._log = Log.open(uri)
        self._model = Toxicity.load(setting)
        if self._model.name != model:
            raise ModelError(f"A node of the cluster has another model at {setting}.")

    def __call__(self, piece: pa.Table) -> pa.Table:
        done = score_chunk(self._log, self._model.name, piece, self._model.scores)
        return pa.table({"texts": [done.texts], "rows": [done.rows], "objects": [done.objects]})
