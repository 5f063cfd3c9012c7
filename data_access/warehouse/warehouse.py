"""The warehouse: a DuckDB file that caches what was read from the log and computed from it.

It is opened, queried and written in transactions here. Its tables are declared in
`tables`; what goes into them is decided in `ingest.store`.
"""

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from data_access.errors import WarehouseError
from data_access.projections.table import ProjectionTable
from data_access.warehouse import tables
from data_access.warehouse.answers import Answers
from data_access.warehouse.file import cannot_be_opened, connect

COPIES = 8  # processes of one machine that can work on one log, each with a file of its own
STREAM_ROWS = 65_536

OF_THE_DISK = (
    duckdb.IOException,
    duckdb.TransactionException,  # a commit that fails
    duckdb.FatalException,
    duckdb.OutOfMemoryException,
)

Answer = TypeVar("Answer")


@dataclass
class _Shared:
    """What all that opened one file in this process have in common."""

    writing: threading.Lock = field(default_factory=threading.Lock)
    version: int = 0


_shared_by_path: dict[Path, _Shared] = {}


class Warehouse:
    """One process's connection to its warehouse file, and the cache of small answers.

    Every query runs on a cursor of its own: threads that share one got wrong rows (DuckDB 1.5
    and 2.0). `version` counts the changes that readers could see; answers are cached by it.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, projections: ProjectionTable
    ) -> None:
        self.path = path
        self.projections = projections
        self._shared = _shared_by_path.setdefault(path.resolve(), _Shared())
        self._connection = connection
        self._answers = Answers()

    @classmethod
    def open(cls, path: Path, log_uri: str, projections: ProjectionTable) -> "Warehouse":
        """Open or create the cache of one log.

        Where another process holds the file, the next free of `COPIES` files beside it is
        used. A file of an older layout, or one that is no database, is moved aside or emptied
        and filled by the next sync. Raises WarehouseError where the file caches another log.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_be_opened(path, error) from error
        for copy in range(1, COPIES + 1):
            candidate = path if copy == 1 else path.with_stem(f"{path.stem}.{copy}")
            connection = connect(candidate)
            if connection is not None:
                break
        else:
            raise WarehouseError(f"{COPIES} processes already work on {path}; stop one of them.")
        warehouse = cls(connection, candidate, projections)
        try:
            with warehouse.writing:
                with warehouse.transaction() as cursor:
                    tables.prepare(cursor, candidate, log_uri, projections)
                with contextlib.suppress(WarehouseError):  # a full disk; what was there is shown
                    warehouse.refresh()
        except BaseException:
            connection.close()
            raise
        return warehouse

    @property
    def version(self) -> int:
        return self._shared.version

    @property
    def writing(self) -> threading.Lock:
        """Held by whoever writes, in this process."""
        return self._shared.writing

    def close(self) -> None:
        self._connection.close()

    def asked_by(self, superseded: Callable[[], bool]) -> contextlib.AbstractContextManager[None]:
        """Give questions of this thread up once `superseded`, of any thread, is true.

        SupersededError is then raised wherever one is asked.
        """
        return self._answers.asked_by(superseded)

    def cached(
        self, question: Hashable, answer: Callable[[], Answer], kind: Hashable = None
    ) -> Answer:
        """The answer to a question, worked out once for each version of the data.

        kind: what questions that take about as long have in common; by default its first part.
        """
        if kind is None:
            kind = question[0] if isinstance(question, tuple) else question
        return self._answers.get((question, self.version), kind, answer)

    def query(self, sql: str, params: Sequence[Any] = ()) -> pd.DataFrame:
        """A frame of few rows, from the cache where it was asked for before.

        The frame is shared: callers must not change it in place.
        """

        def answer() -> pd.DataFrame:
            with self._reading() as cursor:
                return cursor.execute(sql, list(params)).df()

        return self.cached((sql, repr(params)), answer, kind=sql)

    def stream(self, sql: str, params: Sequence[Any] = ()) -> pa.RecordBatchReader:
        """Rows in Arrow batches, for exports and statistics; never cached."""
        cursor = self._connection.cursor()
        return cursor.sql(sql, params=list(params)).to_arrow_reader(STREAM_ROWS)

    def table(self, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        """All rows as Arrow columns, for statistics; never cached. Faster than `stream`."""
        with self._reading() as cursor:
            return cursor.sql(sql, params=list(params)).to_arrow_table()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor whose query is interrupted when its asker has moved on."""
        cursor = self._connection.cursor()
        with self._answers.running(cursor):
            yield cursor

    def kept_cells(self, question: str, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        """Columns cell and records of a query, kept in the file until the data changes.

        question: names the query and its parameters. Nothing is kept while somebody writes, or
        where the disk is full.
        """
        kept = "select cell, records from cubes where question = ?"
        cells = self.table(kept, [question])
        if cells.num_rows or not self.writing.acquire(blocking=False):
            return cells if cells.num_rows else self.table(sql, params)
        try:
            with self.transaction() as cursor:
                cursor.execute(
                    f"insert into cubes select ?, cell, records from ({sql})", [question, *params]
                )
                return cursor.sql(kept, params=[question]).to_arrow_table()
        except WarehouseError:
            return self.table(sql, params)
        finally:
            self.writing.release()

    def rows(
        self, sql: str, params: Sequence[Any] = (), **tables: pa.Table
    ) -> list[tuple[Any, ...]]:
        """A few plain rows, never cached. `tables` may be named in the query."""
        with self._reading() as cursor:
            for name, table in tables.items():
                cursor.register(name, table)
            return cursor.execute(sql, list(params)).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor whose statements take effect together or not at all.

        Raises WarehouseError where the disk is full or fails.
        """
        cursor = self._connection.cursor()
        cursor.begin()
        try:
            yield cursor
            cursor.commit()
        except BaseException as error:
            with contextlib.suppress(duckdb.Error):  # the first error is the one to tell
                cursor.rollback()
            if isinstance(error, OF_THE_DISK):
                reason = str(error).splitlines()[0][:300]
                raise WarehouseError(f"{self.path} cannot be written: {reason}") from error
            raise
        finally:
            cursor.close()

    def announce(self) -> None:
        """Let readers see what was written: cached answers are worked out anew."""
        self._shared.version += 1
        self._answers.clear()

    def refresh(self, changed: bool = False) -> None:
        """Rewrite `records` for the keys in `touched`, and let readers see it.

        changed: whether other tables were written, which readers are to see in any case.
        """
        with self.transaction() as cursor:
            changed = tables.rewrite_touched(cursor, self.projections, changed)
        if changed:
            self.announce()

    def score_sources(self) -> dict[str, str]:
        """For each projection whose scores are found in the log, the source that is shown.

        That is the one with the most scores; those of two sources are never mixed.
        """
        return tables.score_sources(self._connection.cursor(), self.projections)
