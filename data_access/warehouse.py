"""The warehouse: a DuckDB file that caches what was read from the log and computed from it.

`records` is one row per record: of the predictions with its key the one that was logged first (by
the key of its object and its line there), what `feedback` says of it, and its scores from
`text_scores` and `image_scores`. Rows are rewritten for the keys in `touched`. `shadowed` names
the objects whose prediction gave way to another one: they are read again should that one go.
`covered` names the objects whose events a compacted object holds too. `image_measures` has what
objects of the log hold of images; an image that was not measured here has its scores from there,
and `found_in` says from which object. `failures` says which
projections could not be computed of a record's text (`scored` is its key) or of an image (its
name), as long as these have scores. `cubes` keeps what was counted of a large log, until the next
change. Of each record `object_key`, `origin` and `line` say where it
came from, `image_hash` which image it shows (only itself, where it has none), and `fold_order`
which report stands for that image. `annotations` has every event of what people keep beside the
records.
"""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import duckdb
import pandas as pd
import pyarrow as pa

from data_access.errors import WarehouseError
from data_access.projections.table import ProjectionTable
from data_access.projections.values import MEASURES, SCORES_SCHEMA
from data_access.records import (
    ANNOTATION_SCHEMA,
    COVERED_SCHEMA,
    FEEDBACK_FIELDS,
    FEEDBACK_SCHEMA,
    PREDICTION_SCHEMA,
    QUARANTINE_SCHEMA,
)
from data_access.sql import declared, listed, literal, quoted
from data_access.warehouse_file import connect

SCHEMA_VERSION = "7"
COPIES = 8  # processes of one machine that can work on one log, each with a file of its own
CACHED_ANSWERS = 512
STREAM_ROWS = 65_536

OF_THE_DISK = (
    duckdb.IOException,
    duckdb.TransactionException,  # a commit that fails
    duckdb.FatalException,
    duckdb.OutOfMemoryException,
)

Answer = TypeVar("Answer")

TABLES = {
    "meta": pa.schema({"name": pa.string(), "value": pa.string()}),
    "objects": pa.schema(
        {"key": pa.string(), "e_tag": pa.string(), "size": pa.int64(), "events": pa.int64()}
    ),
    "covered": COVERED_SCHEMA,
    "shadowed": pa.schema({"object_key": pa.string(), "record_key": pa.string()}),
    "feedback": FEEDBACK_SCHEMA,
    "annotations": ANNOTATION_SCHEMA,
    "quarantine": QUARANTINE_SCHEMA,
    "scores": SCORES_SCHEMA,
    "touched": pa.schema({"record_key": pa.string()}),
    "cubes": pa.schema({"question": pa.string(), "cell": pa.int64(), "records": pa.int64()}),
    "failures": pa.schema(
        {name: pa.string() for name in ("kind", "scored", "projection", "sentence")}
    ),
}
CREATE_TABLES = "".join(
    f"create table if not exists {name} ({declared(schema)});\n" for name, schema in TABLES.items()
)
PREDICTION_COLUMNS = listed(PREDICTION_SCHEMA)
SHOWN_SOURCES = "select value from meta where name = 'score sources'"
PRESENT = "select table_name from duckdb_tables() where not internal"

RECORDS = """
with said as (
    select *
    from feedback
    semi join {predictions} using (record_key)
    qualify row_number() over (
        partition by record_key, feedback_key order by origin, line, object_key
    ) = 1
),
feedback_of as (
    select
        record_key,
        {newest},
        list_sort(list_distinct(list(flag))) as flags,
        count(flag) as reports
    from said
    group by record_key
)
select
    prediction.*,
    feedback_of.* exclude (record_key, flags, reports),
    coalesce(flags, []) as "feedback.flags",
    coalesce(reports, 0) as "feedback.reports",
    image_scores.failure as image_failure,
    hash(coalesce(sha256, "inputs.image", record_key)) as image_hash,
    (len(coalesce(flags, [])) = 0)::int::hugeint * {unflagged}
        + epoch_us(timestamp)::hugeint * {moment}
        + hash(record_key)::hugeint as fold_order{projections}
from (select {columns} from {predictions}) as prediction
left join feedback_of using (record_key)
left join text_scores using (record_key)
left join image_scores on image_scores.image = prediction."inputs.image"
{logged_scores}
"""
NEWEST = ",\n        ".join(
    f"arg_max({quoted(name)}, {{'at': timestamp, 'key': feedback_key}}) "
    f"as {quoted(f'feedback.{name}')}"
    for name in FEEDBACK_FIELDS
)
LOGGED_SCORES = """
left join (
    select
        record_key{columns}
    from (
        select
            scores.*,
            input is null or input = case
                when ends_with(projection, '(feedback.ground_truth_string)')
                then md5("feedback.ground_truth_string")
                else md5("outputs.output_text")
            end as current
        from scores
        join {predictions} as scored using (record_key)
        left join feedback_of using (record_key)
    )
    where current
    group by record_key
) as logged_scores using (record_key)
"""

# Of two predictions with one key the lesser one is kept, whichever was read first.
FIRST = "(origin, line, object_key)"
REPEATED = "select count(*) > count(distinct record_key) from arrived"
DISTINCT = f"""
create or replace temp table arriving as
select *
from arrived
qualify row_number() over (partition by record_key order by {FIRST}) = 1
"""
SHADOWED_BY_ARRIVED = """
insert into shadowed
select distinct object_key, record_key
from arrived
anti join arriving using (record_key, object_key, origin, line)
"""
KNOWN = """
create or replace temp table known as
select
    record_key,
    records.object_key,
    (records.origin, records.line, records.object_key)
        <= (arriving.origin, arriving.line, arriving.object_key) as stays,
    records."outputs.output_text" is distinct from arriving."outputs.output_text" as differs,
    arriving.object_key as arriving_from
from records
join arriving using (record_key)
"""
GIVE_WAY = """
insert into shadowed
select distinct if(stays, arriving_from, object_key), record_key
from known;
delete from records where record_key in (select record_key from known where not stays);
delete from text_scores
where record_key in (select record_key from known where not stays and differs);
delete from arriving where record_key in (select record_key from known where stays);
"""


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
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._answers_lock = threading.Lock()

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
            raise WarehouseError(f"The warehouse {path} cannot be opened: {error}") from error
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
                warehouse._prepare(log_uri)
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

    def cached(self, question: Hashable, answer: Callable[[], Answer]) -> Answer:
        """The answer to a question, worked out once for each version of the data."""
        asked = (question, self.version)
        with self._answers_lock:
            if asked in self._answers:
                self._answers.move_to_end(asked)
                return cast(Answer, self._answers[asked])
        found = answer()
        with self._answers_lock:
            self._answers[asked] = found
            while len(self._answers) > CACHED_ANSWERS:
                self._answers.popitem(last=False)
        return found

    def query(self, sql: str, params: Sequence[Any] = ()) -> pd.DataFrame:
        """A frame of few rows, from the cache where it was asked for before.

        The frame is shared: callers must not change it in place.
        """
        return self.cached(
            (sql, repr(params)),
            lambda: self._connection.cursor().execute(sql, list(params)).df(),
        )

    def stream(self, sql: str, params: Sequence[Any] = ()) -> pa.RecordBatchReader:
        """Rows in Arrow batches, for exports and statistics; never cached."""
        cursor = self._connection.cursor()
        return cursor.sql(sql, params=list(params)).to_arrow_reader(STREAM_ROWS)

    def table(self, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        """All rows as Arrow columns, for statistics; never cached. Faster than `stream`."""
        return self._connection.cursor().sql(sql, params=list(params)).to_arrow_table()

    def kept_cells(self, question: str, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        """Columns cell and records of a query, kept in the file until the data changes.

        question: names the query and its parameters. Nothing is kept while somebody writes, or
        where the disk is full.
        """
        held = "select cell, records from cubes where question = ?"
        found = self.table(held, [question])
        if found.num_rows or not self.writing.acquire(blocking=False):
            return found if found.num_rows else self.table(sql, params)
        try:
            with self.transaction() as cursor:
                cursor.execute(
                    f"insert into cubes select ?, cell, records from ({sql})", [question, *params]
                )
                return cursor.sql(held, params=[question]).to_arrow_table()
        except WarehouseError:
            return self.table(sql, params)
        finally:
            self.writing.release()

    def rows(
        self, sql: str, params: Sequence[Any] = (), **tables: pa.Table
    ) -> list[tuple[Any, ...]]:
        """A few plain rows, never cached. `tables` may be named in the query."""
        cursor = self._connection.cursor()
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
                said = str(error).splitlines()[0][:300]
                raise WarehouseError(f"{self.path} cannot be written: {said}") from error
            raise
        finally:
            cursor.close()

    def insert_predictions(self, cursor: duckdb.DuckDBPyConnection, arrived: pa.Table) -> None:
        """Add predictions to `records`, with all that is known of them.

        arrived: of PREDICTION_SCHEMA. Where a key is there more than once, one of them is kept.
        """
        cursor.register("arrived", arrived)
        source = "arrived"
        [(repeated,)] = cursor.execute(REPEATED).fetchall()
        [(known,)] = cursor.execute(
            "select count(*) from records semi join arrived using (record_key)"
        ).fetchall()
        if repeated or known:
            source = "arriving"
            cursor.execute(DISTINCT)
            cursor.execute(SHADOWED_BY_ARRIVED)
            cursor.execute(KNOWN)
            cursor.execute(GIVE_WAY)
        cursor.execute("delete from cubes")
        cursor.execute(f"insert into records by name {self._records(source, cursor)}")
        cursor.execute(f"delete from touched where record_key in (select record_key from {source})")
        cursor.unregister("arrived")

    def announce(self) -> None:
        """Let readers see what was written: cached answers are worked out anew."""
        self._shared.version += 1

    def refresh(self, changed: bool = False) -> None:
        """Rewrite `records` for the keys in `touched`, and let readers see it.

        changed: whether other tables were written, which readers are to see in any case.
        """
        with self.transaction() as cursor:
            sources = repr(self._score_sources(cursor))
            if [(sources,)] != cursor.execute(SHOWN_SOURCES).fetchall():
                cursor.execute("insert into touched select record_key from records")
                cursor.execute("delete from meta where name = 'score sources'")
                cursor.execute("insert into meta values ('score sources', ?)", [sources])
            touched = cursor.execute("select count(*) from touched").fetchall()[0][0]
            if touched:
                cursor.execute(
                    f"create or replace temp table rewritten as select {PREDICTION_COLUMNS} "
                    "from records semi join touched using (record_key)"
                )
                cursor.execute(
                    "delete from records where record_key in (select record_key from touched)"
                )
                rows = self._records("rewritten", cursor)
                cursor.execute(f"insert into records by name {rows} order by timestamp")
                cursor.execute("drop table rewritten")
                cursor.execute("delete from touched")
            if touched or changed:
                cursor.execute("delete from cubes")
                cursor.execute("create or replace table extents as " + self._extents())
        if touched or changed:
            self.announce()

    def score_sources(self) -> dict[str, str]:
        """For each projection whose scores are found in the log, the source that is shown.

        That is the one with the most scores; those of two sources are never mixed.
        """
        return self._score_sources(self._connection.cursor())

    def _score_sources(self, cursor: duckdb.DuckDBPyConnection) -> dict[str, str]:
        found = cursor.execute(
            "select projection, source from scores group by projection, source "
            "order by projection, count(*), source = ?, source desc",
            [self.projections.scorer or ""],
        ).fetchall()
        return dict(found)

    def _records(self, predictions: str, cursor: duckdb.DuckDBPyConnection) -> str:
        """The rows of `records` for a table of predictions, no two of which have one key."""
        sources = self._score_sources(cursor)
        columns, logged, join = "", "", ""
        for row in self.projections.rows:
            if row.name == "outputs.confidence":
                continue
            if row.compute is not None:
                scores = "image_scores" if row.of_image else "text_scores"
                columns += f",\n    {scores}.{quoted(row.name)}"
            elif row.name in sources:
                name, source = literal(row.name), literal(sources[row.name])
                columns += f",\n    logged_scores.{quoted(row.name)}"
                logged += (
                    f",\n        min_by(value, object_key) filter "
                    f"(projection = {name} and source = {source}) as {quoted(row.name)}"
                )
            else:
                columns += f",\n    null::double as {quoted(row.name)}"
        if logged:
            join = LOGGED_SCORES.format(predictions=predictions, columns=logged)
        return RECORDS.format(
            predictions=predictions,
            columns=PREDICTION_COLUMNS,
            newest=NEWEST,
            projections=columns,
            logged_scores=join,
            unflagged=2**120,
            moment=2**64,
        )

    def _extents(self) -> str:
        """What histograms span: nearly all values of a projection, whatever the selection."""
        return " union all ".join(
            f"select {literal(row.name)} as name, min({column}) as lowest, "
            f"max({column}) as highest, quantile_cont({column}, 0.005) as low, "
            f"quantile_cont({column}, 0.995) as high from records"
            for row in self.projections.rows
            for column in [quoted(row.name)]
        )

    def _prepare(self, log_uri: str) -> None:
        with self.transaction() as cursor:
            present = {name for (name,) in cursor.execute(PRESENT).fetchall()}
            if present and "meta" not in present:
                raise WarehouseError(
                    f"{self.path} is a database of something else: "
                    "name another file in MISREAD_WAREHOUSE."
                )
            cursor.execute(CREATE_TABLES)
            held = dict(cursor.execute("select name, value from meta").fetchall())
            if held and held.get("log") != log_uri:
                raise WarehouseError(
                    f"{self.path} is the warehouse of {held.get('log')}, not of {log_uri}: "
                    "name another file in MISREAD_WAREHOUSE."
                )
            if held and held.get("schema") != SCHEMA_VERSION:
                for table in present:
                    cursor.execute(f"drop table {quoted(table)}")
                cursor.execute(CREATE_TABLES)
                held = {}
            wanted = self._versions()
            if not held:
                self._create_scores(cursor, "text")
                self._create_scores(cursor, "image")
            for kind in ("text", "image"):
                if held and held.get(f"{kind} projections") != wanted[f"{kind} projections"]:
                    self._create_scores(cursor, kind)
            if not held or any(held.get(name) != value for name, value in wanted.items()):
                cursor.execute(
                    f"create or replace temp table rewritten ({declared(PREDICTION_SCHEMA)})"
                )
                if held:
                    cursor.execute(
                        f"insert into rewritten select {PREDICTION_COLUMNS} from records"
                    )
                rows = self._records("rewritten", cursor)
                cursor.execute(f"create or replace table records as {rows} order by timestamp")
                cursor.execute("drop table rewritten")
                cursor.execute("delete from touched")
                cursor.execute("delete from cubes")
                cursor.execute("create or replace table extents as " + self._extents())
                cursor.execute("delete from meta")
                cursor.executemany(
                    "insert into meta values (?, ?)",
                    [("log", log_uri), ("schema", SCHEMA_VERSION), *wanted.items()],
                )
        with contextlib.suppress(WarehouseError):  # a full disk; what was there can be shown
            self.refresh()

    def _versions(self) -> dict[str, str]:
        rows = self.projections.rows
        return {
            "projections": repr([row.name for row in rows]),
            "text projections": repr([(r.name, r.version) for r in rows if not r.of_image]),
            "image projections": repr([(r.name, r.version) for r in rows if r.of_image]),
        }

    def _create_scores(self, cursor: duckdb.DuckDBPyConnection, kind: str) -> None:
        """An empty table of scores; filled by the next sync, from measures read anew."""
        if kind == "text":
            keys, rows = "record_key varchar", self.projections.computed_from_text()
        else:
            keys = "image varchar, sha256 varchar, failure varchar"
            rows = self.projections.computed_from_image()
        columns = keys + "".join(f", {quoted(row.name)} double" for row in rows)
        if kind == "image":
            cursor.execute(
                f"create or replace table image_measures (object_key varchar, {columns})"
            )
            cursor.execute("update objects set e_tag = null where starts_with(key, ?)", [MEASURES])
            columns += ", found_in varchar, tried timestamp"
        cursor.execute(f"create or replace table {kind}_scores ({columns})")
        cursor.execute("delete from failures where kind = ?", [kind])
