"""Opening the DuckDB file of a warehouse: locked, broken and foreign files."""

import contextlib
import re
import time
from pathlib import Path

import duckdb

from data_access.errors import WarehouseError

CONFIG: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}


def connect(path: Path) -> duckdb.DuckDBPyConnection | None:
    """A connection, or None where another process holds the file.

    A DuckDB file that cannot be read is moved aside: the next sync fills a new one. Raises
    WarehouseError for a file that is none, or that cannot be opened at all.
    """
    for _ in range(3):
        seen = _identity(path)
        try:
            return duckdb.connect(str(path), config=CONFIG)
        except duckdb.Error as error:
            if re.search(r"could not set lock|conflicting lock", str(error), re.IGNORECASE):
                return None
            if _identity(path) != seen:
                continue  # another process has put a new one in its place
            if not _is_duckdb_file(path):
                raise WarehouseError(f"The warehouse {path} cannot be opened: {error}") from error
        with contextlib.suppress(FileNotFoundError):
            if _identity(path) == seen:
                path.replace(path.with_name(f"{path.name}.broken-{time.time_ns()}"))
                path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        return path.stat().st_ino, path.stat().st_mtime_ns
    except OSError:
        return None


def _is_duckdb_file(path: Path) -> bool:
    """Whether a file begins as DuckDB's do, with `DUCK` after a checksum of eight bytes."""
    try:
        with path.open("rb") as file:
            return file.read(12)[8:] == b"DUCK"
    except OSError:
        return False
