"""The warehouse's tables: what they are, how they are made, and how a record is put together.

`records` is one row per record: of the predictions with its key the one that was logged first (by
the key of its object and its line there), what `feedback` says of it, and its values. Rows are
rewritten for the keys in `touched`. Of each record `object_key`, `origin` and `line` say where it
came from, `image_hash` which image it shows (only itself, where it has none), and `fold_order`
which report stands for that image.

`text_values` and `image_values` have what was computed here, `logged_text_values` and
`logged_image_values` what objects of the log hold. An image that was not scored here has a row of
`image_values` from the log all the same, and `found_in` says from which object. Which source of
texts is shown can change with every object, so those values are joined when records are written.
`failures` says which projections could not be computed of a record's text (`scored` is its key) or
of an image (its name), as long as these have values.

`shadowed` names the objects whose prediction gave way to another one: they are read again should
that one go. `covered` names the objects whose events a compacted object holds too. `cubes` keeps
what was counted of a large log, until the next change. `annotations` has every event of what
people keep beside the records; as in `feedback`, one that a compacted object holds too is there
twice until its original is gone. What is made of them is in `judgements`.
"""

from operator import itemgetter
from pathlib import Path

import duckdb
import pyarrow as pa

from data_access.errors import WarehouseError
from data_access.projections.table import ProjectionTable
from data_access.projections.values import (
    IMAGE_VALUES,
    IMAGES,
    KINDS,
    PREFIX,
    TEXTS,
    Kind,
    image_values_version,
    logged_names,
    logged_schema,
    values_schema,
)
from data_access.records import (
    ANNOTATION_SCHEMA,
    COVERED_SCHEMA,
    FEEDBACK_FIELDS,
    FEEDBACK_SCHEMA,
    PREDICTION_SCHEMA,
    QUARANTINE_SCHEMA,
)
from data_access.sql import declared, listed, literal, quoted
from data_access.warehouse.judgements import JUDGED, create_judged, rewrite_judged

SCHEMA_VERSION = "12"

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
with events as (
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
    from events
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
{shown_values}
"""
NEWEST = ",\n        ".join(
    f"arg_max({quoted(name)}, {{'at': timestamp, 'key': feedback_key}}) "
    f"as {quoted(f'feedback.{name}')}"
    for name in FEEDBACK_FIELDS
)
SHOWN_VALUES = """
left join (
    select
        record_key{columns}
    from logged_text_values
    join {predictions} as scored using (record_key)
    left join feedback_of using (record_key)
    where input is null or input = md5(
        if(subject = 'feedback.ground_truth_string',
            "feedback.ground_truth_string", "outputs.output_text")
    )
    group by record_key
) as shown_values using (record_key)
"""
"""Values of texts that the log holds, of the source that is shown; the first object counts."""


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
    create_judged(cursor)
    meta = dict(cursor.execute("select name, value from meta").fetchall())
    if meta and meta.get("log") != log_uri:
        raise WarehouseError(
            f"{path} is the warehouse of {meta.get('log')}, not of {log_uri}: "
            "name another file in MISREAD_WAREHOUSE."
        )
    if meta and meta.get("schema") != SCHEMA_VERSION:
        for table in present:
            cursor.execute(f"drop table {quoted(table)}")
        cursor.execute(CREATE_TABLES)
        create_judged(cursor)
        meta = {}
    elif not JUDGED.keys() <= present:
        rewrite_judged(cursor)
    current = versions(projections)
    for kind in KINDS:
        for role, create in (("computed", _create_computed), ("logged", _create_logged)):
            if meta.get(f"{role} {kind.name}s") != current[f"{role} {kind.name}s"]:
                create(cursor, projections, kind)
    if any(meta.get(name) != value for name, value in current.items()):
        cursor.execute(f"create or replace temp table rewritten ({declared(PREDICTION_SCHEMA)})")
        if meta:
            cursor.execute(f"insert into rewritten select {PREDICTION_COLUMNS} from records")
        rows = record_rows(cursor, projections, "rewritten")
        cursor.execute(f"create or replace table records as {rows} order by timestamp")
        cursor.execute("drop table rewritten")
        cursor.execute("delete from touched")
        empty_cubes(cursor)
        cursor.execute("create or replace table extents as " + _extents(projections))
        cursor.execute("delete from meta")
        cursor.executemany(
            "insert into meta values (?, ?)",
            [("log", log_uri), ("schema", SCHEMA_VERSION), *current.items()],
        )


def rewrite_touched(
    cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable, changed: bool
) -> bool:
    """Rewrite `records` for the keys in `touched`; whether readers are to see anything new.

    changed: whether other tables were written.
    """
    touch_other_sources(cursor, projections)
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
        empty_cubes(cursor)
        cursor.execute("create or replace table extents as " + _extents(projections))
    return bool(touched) or changed


def touch_other_sources(cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable) -> None:
    """Have all records rewritten if they show another source than the one to be shown now."""
    sources = repr(score_sources(cursor, projections))
    if [(sources,)] != cursor.execute(SHOWN_SOURCES).fetchall():
        cursor.execute("insert into touched select record_key from records")
        cursor.execute("delete from meta where name = 'score sources'")
        cursor.execute("insert into meta values ('score sources', ?)", [sources])


def empty_cubes(cursor: duckdb.DuckDBPyConnection) -> None:
    """In the transaction that changes records: what was counted of them is no longer true."""
    cursor.execute("delete from cubes")


def score_sources(
    cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable
) -> dict[str, str]:
    """For each projection of texts that has values in the log, the source with the most of them.

    On a tie the scorer, or else the first by name.
    """
    names = logged_names(projections, TEXTS)
    counts = "".join(f", count({quoted(name)})" for name in names)
    by_source = cursor.execute(
        f"select source{counts} from logged_text_values group by source "
        "order by source is distinct from ?, source",
        [projections.scorer],
    ).fetchall()
    shown = {}
    for place, name in enumerate(names, start=1):
        best = max(by_source, key=itemgetter(place), default=None)
        if best is not None and best[place]:
            shown[name] = best[0]
    return shown


def record_rows(
    cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable, predictions: str
) -> str:
    """The rows of `records` for a table of predictions, no two of which have one key."""
    sources = score_sources(cursor, projections)
    columns, shown, join = "", "", ""
    for row in projections.rows:
        if row.name == "outputs.confidence":
            continue
        if row.compute is not None:
            scores = "image_values" if row.of_image else "text_values"
            columns += f",\n    {scores}.{quoted(row.name)}"
        elif row.name in sources:
            name, source = quoted(row.name), literal(sources[row.name])
            columns += f",\n    shown_values.{name}"
            shown += (
                f",\n        min_by(logged_text_values.{name}, logged_text_values.object_key) "
                f"filter (source = {source} and {name} is not null) as {name}"
            )
        else:
            columns += f",\n    null::double as {quoted(row.name)}"
    if shown:
        join = SHOWN_VALUES.format(predictions=predictions, columns=shown)
    return feedback_of(predictions) + RECORDS.format(
        predictions=predictions,
        columns=PREDICTION_COLUMNS,
        projections=columns,
        shown_values=join,
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


def versions(projections: ProjectionTable) -> dict[str, str]:
    """What tables of values were computed by, as `meta` has it."""
    texts = [(row.name, row.version) for row in projections.computed_from_text()]
    return {
        "projections": repr([row.name for row in projections.rows]),
        "computed texts": repr(texts),
        "logged texts": repr(logged_names(projections, TEXTS)),
        "computed images": image_values_version(projections),
        "logged images": image_values_version(projections),
    }


def _create_computed(
    cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable, kind: Kind
) -> None:
    """An empty table of values; the next sync computes them."""
    if kind is IMAGES:
        schema = values_schema(kind, [row.name for row in projections.computed_from_image()])
        schema = schema.append(pa.field("found_in", pa.string()))
        schema = schema.append(pa.field("tried", pa.timestamp("us")))
    else:
        names = [row.name for row in projections.computed_from_text()]
        schema = pa.schema({kind.key: pa.string()} | dict.fromkeys(names, pa.float64()))
    cursor.execute(f"create or replace table {kind.name}_values ({declared(schema)})")
    cursor.execute("delete from failures where kind = ?", [kind.name])


def _create_logged(
    cursor: duckdb.DuckDBPyConnection, projections: ProjectionTable, kind: Kind
) -> None:
    """An empty table of the log's values; the next sync reads their objects anew."""
    schema = logged_schema(kind, logged_names(projections, kind))
    cursor.execute(f"create or replace table logged_{kind.name}_values ({declared(schema)})")
    cursor.execute(
        "update objects set e_tag = null where starts_with(key, ?) and starts_with(key, ?) = ?",
        [PREFIX, IMAGE_VALUES, kind is IMAGES],
    )
