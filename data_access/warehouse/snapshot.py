"""The warehouse's tables as Parquet files, and a warehouse filled from such files."""

import hashlib
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb

from data_access.errors import WarehouseError
from data_access.sql import literal, quoted
from data_access.warehouse.tables import SCHEMA_VERSION, versions
from data_access.warehouse.warehouse import Warehouse

ROWS_OF_A_FILE = 250_000
LEFT_OUT = ("touched", "cubes")  # the first is empty after a sync, the other counted anew
KEPT = """
select table_name
from duckdb_tables()
where not internal and not temporary
order by table_name
"""
COLUMNS = """
select column_name, data_type
from duckdb_columns()
where table_name = ? and not internal
order by column_index
"""


class TableFile(NamedTuple):
    """Some rows of one table as Parquet."""

    table: str
    path: Path


def layout(warehouse: Warehouse) -> str:
    """Names what tables are like and how values were computed; only those of one name fit.

    DuckDB's version is part of it: its hashes stand in the tables.
    """
    made_by = repr(
        (SCHEMA_VERSION, versions(warehouse.projections), duckdb.__version__, platform.machine())
    )
    return hashlib.sha256(made_by.encode()).hexdigest()[:16]


def is_empty(warehouse: Warehouse) -> bool:
    """Whether nothing was read from the log yet."""
    return not warehouse.rows("select 1 from objects limit 1")


def write_tables(warehouse: Warehouse, folder: Path) -> Iterator[TableFile]:
    """All tables as of one moment, in files of at most ROWS_OF_A_FILE rows, each made when due.

    Rows keep their order. Nothing is read into the warehouse meanwhile. Raises WarehouseError.
    """
    with warehouse.writing, warehouse.transaction() as cursor:
        for (table,) in cursor.execute(KEPT).fetchall():
            if table in LEFT_OUT:
                continue
            [(first, last)] = cursor.execute(
                f"select min(rowid), max(rowid) from {quoted(table)}"
            ).fetchall()
            if first is None:
                continue
            columns = _columns(cursor, table, "varchar")
            for start in range(first, last + 1, ROWS_OF_A_FILE):
                path = folder / f"{table}-{start - first:012}.parquet"
                cursor.execute(
                    f"copy (select {columns} from {quoted(table)} where rowid >= {start} "
                    f"and rowid < {start + ROWS_OF_A_FILE} order by rowid) "
                    f"to {literal(str(path))} (format parquet, compression zstd)"
                )
                yield TableFile(table, path)


def fill(warehouse: Warehouse, files: Iterable[TableFile]) -> None:
    """Put the rows of such files into an empty warehouse, all or none; for who holds `writing`.

    Raises WarehouseError where they are no rows of these tables.
    """
    try:
        with warehouse.transaction() as cursor:
            emptied = {"meta"}  # which log this is, it knows already
            for table, path in files:
                if table not in emptied:
                    cursor.execute(f"delete from {quoted(table)}")
                    emptied.add(table)
                columns = _columns(cursor, table, "hugeint")
                rows = f"select {columns} from read_parquet({literal(str(path))})"
                if table == "meta":
                    rows = f"from ({rows}) anti join meta using (name)"
                cursor.execute(f"insert into {quoted(table)} by name {rows}")
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise WarehouseError(f"A snapshot cannot be read: {reason}") from error
    warehouse.announce()


def _columns(cursor: duckdb.DuckDBPyConnection, table: str, cast: str) -> str:
    """A table's columns as `select` lists them; Parquet has no integers of 128 bits."""
    columns = cursor.execute(COLUMNS, [table]).fetchall()
    if not columns:
        raise WarehouseError(f"A snapshot cannot be read: there is no table {table}.")
    return ", ".join(
        f"{quoted(name)}::{cast} as {quoted(name)}" if kind == "HUGEINT" else quoted(name)
        for name, kind in columns
    )
