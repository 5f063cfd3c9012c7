"""Opening the DuckDB file of a warehouse: locked, damaged and foreign files."""

import contextlib
import re
import time
from pathlib import Path

import duckdb

from data_access.errors import WarehouseError

CONFIG: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}
LOCKED = re.compile(r"could not set lock|conflicting lock", re.IGNORECASE)
# what DuckDB says of a file that it could read, and that is damaged or of another version
UNUSABLE = re.compile(
    r"corrupt|could not read enough bytes|checksum|replaying wal|version number|serializ|"
    r"not a valid duckdb",
    re.IGNORECASE,
)


def connect(path: Path) -> duckdb.DuckDBPyConnection | None:
    """A connection, or None where another process holds the file.

    A DuckDB file that is damaged, or of a version that cannot be read, is moved aside: the next
    sync fills a new one. Raises WarehouseError for any other that cannot be opened, such as a
    file of another kind or another user's, which is left as it is.
    """
    for _ in range(3):
        opened = _identity(path)
        try:
            return duckdb.connect(str(path), config=CONFIG)
        except duckdb.Error as error:
            if LOCKED.search(str(error)):
                return None
            if _identity(path) != opened:
                continue  # another process has put a new one in its place
            if not (_is_duckdb_file(path) and UNUSABLE.search(str(error))):
                raise cannot_be_opened(path, error) from error
        try:
            if _identity(path) == opened:
                with contextlib.suppress(FileNotFoundError):
                    path.replace(path.with_name(f"{path.name}.broken-{time.time_ns()}"))
                    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        except OSError as error:
            raise cannot_be_opened(path, error) from error
    return None


def cannot_be_opened(path: Path, error: Exception) -> WarehouseError:
    """The failure to raise for a warehouse file, or its folder, that cannot be used."""
    reason = str(error).splitlines()[0].rstrip(".")
    return WarehouseError(
        f"The warehouse {path} cannot be opened: {reason}. Name another file in MISREAD_WAREHOUSE."
    )


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
