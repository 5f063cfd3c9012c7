"""Snapshots: the warehouse's tables in the log, from which a reader that has nothing begins.

A snapshot is a folder of Parquet files and, written last, a manifest that names them: killed at any
moment, it is either whole or not there. What came into the log since is read as by any sync.
"""

import hashlib
import json
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_access.errors import LogError, WarehouseError
from data_access.log import Log
from data_access.progress import Progress, silent
from data_access.warehouse import Warehouse, snapshot
from data_access.warehouse.snapshot import TableFile

SNAPSHOTS = "snapshots/"
MANIFEST = "manifest.json"
STAGE, BEGIN_STAGE = "Writing the snapshot", "Reading the snapshot"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot in the log. prefix: its folder; files: its manifest's rows."""

    prefix: str
    made: str
    records: int
    files: tuple[dict[str, Any], ...]

    @property
    def bytes(self) -> int:
        return sum(int(row["bytes"]) for row in self.files)


def publish(log: Log, warehouse: Warehouse, progress: Progress = silent) -> Snapshot:
    """Write the warehouse as it is into the log. Raises LogError or WarehouseError.

    Memory holds one file at a time.
    """
    now = datetime.now(UTC)
    layout = snapshot.layout(warehouse)
    prefix = f"{SNAPSHOTS}{layout}/{now:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}/"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (table, path) in enumerate(snapshot.write_tables(warehouse, Path(folder))):
            body = path.read_bytes()
            path.unlink()
            digest = hashlib.sha256(body).hexdigest()
            log.put(f"{prefix}{path.name}", body)
            rows.append({"table": table, "name": path.name, "bytes": len(body), "sha256": digest})
            progress(STAGE, number + 1, 0)
    records = int(warehouse.rows("select count(*) from records")[0][0])
    written = Snapshot(prefix, now.isoformat(), records, tuple(rows))
    manifest = {"made": written.made, "records": records, "files": rows}
    log.put(f"{prefix}{MANIFEST}", json.dumps(manifest).encode())
    return written


def newest(log: Log, warehouse: Warehouse) -> Snapshot | None:
    """The newest whole snapshot that fits this warehouse's layout. Raises LogError."""
    listed = log.list(f"{SNAPSHOTS}{snapshot.layout(warehouse)}/")
    manifests = sorted(entry.key for entry in listed if entry.key.endswith(f"/{MANIFEST}"))
    if not manifests:
        return None
    try:
        manifest = json.loads(log.get(manifests[-1]))
        files = tuple({**row, "table": str(row["table"])} for row in manifest["files"])
        prefix = manifests[-1].removesuffix(MANIFEST)
        return Snapshot(prefix, str(manifest["made"]), int(manifest["records"]), files)
    except (ValueError, KeyError, TypeError) as error:
        raise LogError(f"{log.uri}/{manifests[-1]} is no manifest of a snapshot.") from error


def begin(log: Log, warehouse: Warehouse, progress: Progress = silent) -> Snapshot | None:
    """Fill a warehouse that has nothing from the newest snapshot; None where there is none.

    For who holds `writing`. Raises LogError or WarehouseError; the warehouse is then still empty.
    """
    if not snapshot.is_empty(warehouse):
        return None
    found = newest(log, warehouse)
    if found is not None:
        with tempfile.TemporaryDirectory() as folder:
            snapshot.fill(warehouse, _fetched(log, found, Path(folder), progress))
    return found


def _fetched(log: Log, found: Snapshot, folder: Path, progress: Progress) -> Iterator[TableFile]:
    path = folder / "rows.parquet"
    for number, row in enumerate(found.files):
        body = log.get(f"{found.prefix}{row['name']}")
        if hashlib.sha256(body).hexdigest() != row["sha256"]:
            raise WarehouseError(f"{log.uri}/{found.prefix}{row['name']} is damaged.")
        path.write_bytes(body)
        del body
        yield TableFile(row["table"], path)
        progress(BEGIN_STAGE, number + 1, len(found.files))
