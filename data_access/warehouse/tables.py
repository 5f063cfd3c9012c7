"""The warehouse's tables: what they are, how they are made, and how a record is put together.

`records` is one row per record: of the predictions with its key the one that was logged first (by
the key of its object and its line there), what `feedback` says of it, and its values from
`text_values` and `image_values`. Rows are rewritten for the keys in `touched`. `shadowed` names
the objects whose prediction gave way to another one: they are read again should that one go.
`covered` names the objects whose events a compacted object holds too. `logged_image_values` has
what objects of the log hold of images; an image that was not scored here has its values from there,
and `found_in` says from which object. `failures` says which
projections could not be computed of a record's text (`scored` is its key) or of an image (its
name), as long as these have values. `cubes` keeps what was counted of a large log, until the next
change. Of each record `object_key`, `origin` and `line` say where it
came from, `image_hash` which image it shows (only itself, where it has none), and `fold_order`
which report stands for that image. `annotations` has every event of what people keep beside the
records; as in `feedback`, one that a compacted object holds too is there twice until its original
is gone.
"""

from pathlib import Path

import duckdb
import pyarrow as pa

from data_access.errors import WarehouseError
from data_access.projections.table import ProjectionTable
from data_access.projections.values import IMAGE_VALUES, VALUES_SCHEMA
from data_access.records import (
    ANNOTATION_SCHEMA,
    COVERED_SCHEMA,
    FEEDBACK_FIELDS,
    FEEDBACK_SCHEMA,
    PREDICTION_SCHEMA,
    QUARANTINE_SCHEMA,
)
from data_access.sql import declared, listed, literal, quoted

SCHEMA_VERSION = "10"

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
    "logged_values": VALUES_SCHEMA,
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

FEEDBACK_OF = """
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
"""
"""What is known of predictions by their feedback; the first of equal events counts."""

RECORDS = """
select
    prediction.*,
    feedback_of.* exclude (record_key, flags, reports),
    coalesce(flags, []) as "feedback.flags",
    coalesce(reports, 0) as "feedback.reports",
    image_values.failure as image_failure,
    hash(coalesce(sha256, "inputs.image", record_key)) as image_hash,
    (len(coalesce(flags, [])) = 0)::int::hugeint * {unflagged}
        + epoch_us(timestamp)::hugeint * {moment}
        + hash(record_key)::hugeint as fold_order{projections}
from (select {columns} from {predictions}) as prediction
left join feedback_of using (record_key)
left join text_values using (record_key)
left join image_values on image_values.image = prediction."inputs.image"
{logged_text_values}
"""
NEWEST = ",\n        ".join(
    f"arg_max({quoted(name)}, {{'at': timestamp, 'key': feedback_key}}) "
    f"as {quoted(f'feedback.{name}')}"
    for name in FEEDBACK_FIELDS
)
LOGGED_VALUES = """
left join (
    select
        record_key{columns}
    from (
        select
            logged_values.*,
            input is null or input = case
                when ends_with(projection, '(feedback.ground_truth_string)')
                then md5("feedback.ground_truth_string")
                else md5("outputs.output_text")
            end as current
        from logged_values
        join {predictions} as scored using (record_key)
        left join feedback_of using (record_key)
    )
    where current
    group by record_key
) as logged_text_values using (record_key)
"""


def prepare(
    cursor: duckdb.DuckDBPyConnection, path: Path, log_uri: str, projections: ProjectionTable
) -> None:
    """Make the tables that are missing; empty them where they are of another layout.

    Raises WarehouseError for the file of something else, or of another log.
    """
    present = {name for (name,) in cursor.execute(PRESENT).fetchall()}
    if present and "meta" not in present:
        raise WarehouseError(
            f"{path} is a database of something else: name another file in MISREAD_WAREHOUSE."
        )
    cursor.execute(CREATE_TABLES)
    held = dict(cursor.execute("select name, value from meta").fetchall())
    if held and held.get("log") != log_uri:
        raise WarehouseError(
            f"{path} is the warehouse of {held.get('log')}, not of {log_uri}: "
            "name another file in MISREAD_WAREHOUSE."
        )
    if held and held.get("schema") != SCHEMA_VERSION:
        for table in present:
            cursor.execute(f"drop table {quoted(table)}")
        cursor.execute(CREATE_TABLES)
        held = {}
    wanted = _versions(projections)
    if not held:
        _create_values(cursor, projections, "text")
        _create_values(cursor, projections, "image")
    for kind in ("text", "image"):
        if held and held.get(f"{kind} projections") != wanted[f"{kind} projections"]:
            _create_values(cursor, projections, kind)
    if not held or any(held.get(name) != value for name, value in wanted.items()):
        cursor.execute(f"create or replace temp table rewritten ({declared(PREDICTION_SCHEMA)})")
        if held:
            cursor.execute(f"insert into rewritten select {PREDICTION_COLUMNS} from records")
        rows = record_rows(cursor, projections, "rewritten")
        cursor.execute(f"create or replace table records as {rows} order by timestamp")
        cursor.execute("drop table rewritten")
        cursor.execute("delete from touched")
        cursor.execute("delete from cubes")
        cursor.execute("create or replace table extents as " + _extents(projections))
        cursor.execute("delete from meta")
        cursor.executemany(
            "insert into meta values (?, ?)",
            [("log", log_uri), ("schema", SCHEMA_VERSION), *wanted.items()],
        )


def rewrite_touched(
    cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable, changed: bool
) -> bool:
    """Rewrite `records` for the keys in `touched`; whether readers are to see anything new.

    changed: whether other tables were written.
    """
    sources = repr(score_sources(cursor, projections))
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
        cursor.execute("delete from records where record_key in (select record_key from touched)")
        rows = record_rows(cursor, projections, "rewritten")
        cursor.execute(f"insert into records by name {rows} order by timestamp")
        cursor.execute("drop table rewritten")
        cursor.execute("delete from touched")
    if touched or changed:
        cursor.execute("delete from cubes")
        cursor.execute("create or replace table extents as " + _extents(projections))
    return bool(touched) or changed


def score_sources(
    cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable
) -> dict[str, str]:
    """For each projection whose values are in the log, the source with the most of them."""
    rows = cursor.execute(
        "select projection, source from logged_values group by projection, source "
        "order by projection, count(*), source = ?, source desc",
        [projections.scorer or ""],
    ).fetchall()
    return dict(rows)


def record_rows(
    cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable, predictions: str
) -> str:
    """The rows of `records` for a table of predictions, no two of which have one key."""
    sources = score_sources(cursor, projections)
    columns, logged, join = "", "", ""
    for row in projections.rows:
        if row.name == "outputs.confidence":
            continue
        if row.compute is not None:
            scores = "image_values" if row.of_image else "text_values"
            columns += f",\n    {scores}.{quoted(row.name)}"
        elif row.name in sources:
            name, source = literal(row.name), literal(sources[row.name])
            columns += f",\n    logged_text_values.{quoted(row.name)}"
            logged += (
                f",\n        min_by(value, object_key) filter "
                f"(projection = {name} and source = {source}) as {quoted(row.name)}"
            )
        else:
            columns += f",\n    null::double as {quoted(row.name)}"
    if logged:
        join = LOGGED_VALUES.format(predictions=predictions, columns=logged)
    return feedback_of(predictions) + RECORDS.format(
        predictions=predictions,
        columns=PREDICTION_COLUMNS,
        projections=columns,
        logged_text_values=join,
        unflagged=2**120,
        moment=2**64,
    )


def feedback_of(predictions: str) -> str:
    """The opening of a query, which calls the feedback of a table of predictions `feedback_of`."""
    return FEEDBACK_OF.format(predictions=predictions, newest=NEWEST)


def _extents(projections: ProjectionTable) -> str:
    """What histograms span: nearly all values of a projection, whatever the selection."""
    return " union all ".join(
        f"select {literal(row.name)} as name, min({column}) as lowest, "
        f"max({column}) as highest, quantile_cont({column}, 0.005) as low, "
        f"quantile_cont({column}, 0.995) as high from records"
        for row in projections.rows
        for column in [quoted(row.name)]
    )


def _versions(projections: ProjectionTable) -> dict[str, str]:
    rows = projections.rows
    return {
        "projections": repr([row.name for row in rows]),
        "text projections": repr([(r.name, r.version) for r in rows if not r.of_image]),
        "image projections": repr([(r.name, r.version) for r in rows if r.of_image]),
    }


def _create_values(
    cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable, kind: str
) -> None:
    """An empty table of values; filled by the next sync, from what the log holds read anew."""
    if kind == "text":
        keys, rows = "record_key varchar", projections.computed_from_text()
    else:
        keys = "image varchar, sha256 varchar, failure varchar"
        rows = projections.computed_from_image()
    columns = keys + "".join(f", {quoted(row.name)} double" for row in rows)
    if kind == "image":
        cursor.execute(
            f"create or replace table logged_image_values (object_key varchar, {columns})"
        )
        cursor.execute("update objects set e_tag = null where starts_with(key, ?)", [IMAGE_VALUES])
        columns += ", found_in varchar, tried timestamp"
    cursor.execute(f"create or replace table {kind}_values ({columns})")
    cursor.execute("delete from failures where kind = ?", [kind])
