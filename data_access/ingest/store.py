"""The one write path: what inserts, touches and forgets rows of the warehouse.

The rows of an object, the values of its texts and the mark that it was read land together. How a
record is put together, and written again where it was touched, is left to the warehouse's `tables`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from data_access.errors import LogError
from data_access.ingest.reading import ReadObjects, parse_objects
from data_access.ingest.report import SyncReport
from data_access.log import MISSING_IMAGE, Log, LogObject
from data_access.progress import Progress, silent
from data_access.projections.compute import compute_present
from data_access.projections.table import IMAGE, TEXT, TRUTH, ProjectionTable
from data_access.projections.values import IMAGES, KINDS, RETRYABLE_FAILURES, TEXTS, Kind
from data_access.sql import quoted
from data_access.warehouse import Warehouse
from data_access.warehouse.judgements import rewrite_judged
from data_access.warehouse.tables import empty_cubes, feedback_of, record_rows, touch_other_sources

TEXTS_AT_ONCE = 5_000
TEXT_STAGE = "Scoring texts"
ADDED_SECONDS = 2.0  # how long one who has added an object waits for a sync to end

FROM_OBJECTS = (
    "records", "feedback", "annotations", "quarantine", "shadowed", "covered",
    "logged_text_values", "logged_image_values",
)  # fmt: skip

REHOME = """
update records
set object_key = covered.object_key
from covered
join objects on objects.key = covered.source and objects.e_tag = covered.e_tag
where covered.source = records.object_key
and covered.source in (from gone)
and covered.object_key not in (from gone)
"""

# whose feedback is in these objects alone: a compacted one may hold it too
UNJUDGED = """
create or replace temp table unjudged as
select record_key
from feedback
semi join gone using (object_key)
anti join (from feedback anti join gone using (object_key)) using (origin, line)
"""

SHOWING = """
insert into touched
select record_key
from records
semi join {images} on records."inputs.image" = {images}.image
"""

# of several objects that scored an image, the first counts; its values give way only to those
# that were computed here
TAKEN = """
create or replace temp table taken as
select *
from logged_image_values
semi join {images} using (image)
anti join (
    select image
    from image_values
    where found_in is null and (failure is null or failure not in (?, ?))
) as computed using (image)
qualify row_number() over (partition by image order by object_key) = 1
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
delete from text_values
where record_key in (select record_key from known where not stays and differs);
delete from arriving where record_key in (select record_key from known where stays);
"""


def read_added(
    log: Log, warehouse: Warehouse, key: str, wait_seconds: float = ADDED_SECONDS
) -> bool:
    """Read one object that was just added, so that its writer sees it at once.

    False where that has to be left to the next sync: another one is at work for longer than
    wait_seconds, or the object cannot be had.
    """
    if not warehouse.writing.acquire(timeout=wait_seconds):
        return False
    try:
        body, e_tag = log.get_tagged(key)
        entry = LogObject(key, e_tag, len(body), datetime.now(UTC).replace(tzinfo=None))
        batch = parse_objects(warehouse.projections, [(entry, body)])
        store_objects(warehouse, [batch], SyncReport())
    except LogError:
        return False
    finally:
        warehouse.writing.release()
    return True


def store_objects(
    warehouse: Warehouse,
    batches: Sequence[ReadObjects],
    report: SyncReport,
    progress: Progress = silent,
) -> None:
    """Put all that these objects hold, and that they were read, into the warehouse.

    Predictions come last, when all that is known of them is there, so that records are written
    once.
    """
    objects = [entry for batch in batches for entry in batch.objects]
    if not objects:
        return
    rows: dict[str, pa.Table] = {
        name: pa.concat_tables([getattr(batch.events, name) for batch in batches])
        for name in vars(batches[0].events)
    }
    with warehouse.transaction() as cursor:
        forget(cursor, [entry.key for entry in objects])
        for name in ("feedback", "quarantined", "covered", "annotations"):
            insert(cursor, "quarantine" if name == "quarantined" else name, rows[name])
        for kind in KINDS:
            insert(cursor, f"logged_{kind.name}_values", rows[f"{kind.name}_values"])
        insert(cursor, "objects", _object_table(objects, rows))
        if len(rows["annotations"]):
            rewrite_judged(cursor)
        _touch(cursor, rows["feedback"])
        _touch(cursor, rows["text_values"])
        _rescore(cursor, rows["feedback"])
        report.logged_images += _take_values_of_images(cursor, rows)
        insert_predictions(cursor, warehouse.projections, rows["predictions"], report, progress)
    warehouse.announce()
    report.objects += len(objects)
    report.predictions += len(rows["predictions"])
    report.feedback += len(rows["feedback"])
    report.quarantined += len(rows["quarantined"])


def _take_values_of_images(cursor: duckdb.DuckDBPyConnection, rows: Mapping[str, pa.Table]) -> int:
    """Give images that arrive, or whose values do, those that the log holds; how many got any."""
    if not cursor.execute("select 1 from logged_image_values limit 1").fetchall():
        return 0
    cursor.register("arrived", rows["predictions"].select([IMAGE]))
    cursor.register("arrived_values", rows["image_values"].select(["image"]))
    cursor.execute(
        f"create or replace temp table looked_up as "
        f"select {quoted(IMAGE)} as image from arrived union "
        f"select image from arrived_values semi join records on image = {quoted(IMAGE)}"
    )
    cursor.unregister("arrived")
    cursor.unregister("arrived_values")
    return _take(cursor, "looked_up")


def _take(cursor: duckdb.DuckDBPyConnection, images: str) -> int:
    """Copy values of these images (a table with a column image) from the log's, but those of
    images that were scored here; how many got any.
    """
    cursor.execute(TAKEN.format(images=images), RETRYABLE_FAILURES)
    cursor.execute(
        "delete from taken using image_values where taken.image = image_values.image "
        "and taken.object_key = image_values.found_in"
    )
    cursor.execute("delete from image_values where image in (select image from taken)")
    [(taken,)] = cursor.execute(
        "insert into image_values by name select * exclude (object_key, subject, source), "
        "object_key as found_in, ?::timestamp as tried from taken",
        [datetime.now(UTC).replace(tzinfo=None)],
    ).fetchall()
    cursor.execute(SHOWING.format(images="taken"))
    return int(taken)


def insert_predictions(
    cursor: duckdb.DuckDBPyConnection,
    projections: ProjectionTable,
    arrived: pa.Table,
    report: SyncReport | None = None,
    progress: Progress = silent,
) -> None:
    """Add predictions to `records`, with all that is known of them and the values of their texts.

    arrived: of PREDICTION_SCHEMA. Where a key is there more than once, one of them is kept.
    """
    if not arrived.num_rows:
        return
    touch_other_sources(cursor, projections)
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
    _score_texts(cursor, projections, source, report or SyncReport(), progress)
    cursor.execute(f"insert into records by name {record_rows(cursor, projections, source)}")
    cursor.execute(f"delete from touched where record_key in (select record_key from {source})")
    cursor.unregister("arrived")


def score_texts(warehouse: Warehouse, report: SyncReport, progress: Progress) -> None:
    """Compute the values of texts that have none: where the truth or the projections are new."""
    unscored = "from records anti join text_values using (record_key)"
    total = warehouse.rows(f"select count(*) {unscored}")[0][0]
    for start in range(0, total, TEXTS_AT_ONCE):
        with warehouse.transaction() as cursor:
            cursor.execute(
                f"create or replace temp table unscored as select record_key, {quoted(TEXT)} "
                f"{unscored} limit {TEXTS_AT_ONCE}"
            )
            _score_texts(cursor, warehouse.projections, "unscored", report, silent)
            cursor.execute("insert into touched select record_key from unscored")
        progress(TEXT_STAGE, min(start + TEXTS_AT_ONCE, total), total)


def _score_texts(
    cursor: duckdb.DuckDBPyConnection,
    projections: ProjectionTable,
    predictions: str,
    report: SyncReport,
    progress: Progress,
) -> None:
    """Compute the values of the texts of a table of predictions, and of their truths."""
    unscored = cursor.sql(
        f"{feedback_of(predictions)} select record_key, {quoted(TEXT)}, {quoted(TRUTH)} "
        f"from {predictions} left join feedback_of using (record_key) "
        "anti join text_values using (record_key)"
    ).to_arrow_table()
    for start in range(0, len(unscored), TEXTS_AT_ONCE):
        _store_texts(cursor, projections, unscored.slice(start, TEXTS_AT_ONCE), report)
        progress(TEXT_STAGE, min(start + TEXTS_AT_ONCE, len(unscored)), len(unscored))


def _store_texts(
    cursor: duckdb.DuckDBPyConnection,
    projections: ProjectionTable,
    texts: pa.Table,
    report: SyncReport,
) -> None:
    """Compute the values of texts and keep them. texts: columns record_key, TEXT and TRUTH."""
    keys = texts["record_key"].to_pylist()
    inputs = {name: texts[name].to_pylist() for name in (TEXT, TRUTH)}
    values: dict[str, pa.Array] = {"record_key": texts["record_key"]}
    failed: list[tuple[str, str, str]] = []
    for projection in projections.computed_from_text():
        computed = compute_present(projection, inputs)
        values[projection.name] = pa.array(computed.values, from_pandas=True)
        if computed.failure:
            report.fail(computed.failure)
        failed += [
            (keys[row], projection.name, sentence) for row, sentence in computed.failed.items()
        ]
    insert(cursor, "text_values", pa.table(values))
    _keep_failures(cursor, TEXTS, keys, failed)
    report.scored_texts += len(keys)


def store_images(
    warehouse: Warehouse, values: pa.Table, failed: Sequence[tuple[str, str, str]]
) -> None:
    """Keep what was computed of images, and have the records rewritten that show them.

    values: of `values_schema`. failed: rows of (image, projection, sentence).
    """
    images = values["image"].to_pylist()
    tried = pa.repeat(pa.scalar(datetime.now(UTC).replace(tzinfo=None)), len(images))
    with warehouse.transaction() as cursor:
        cursor.register("computed", values.append_column("tried", tried))
        cursor.execute(
            "create or replace temp table changed as select image from computed "
            "anti join (select image, failure from image_values where failure = ?) as missing "
            "using (image, failure)",
            [MISSING_IMAGE],
        )
        cursor.execute("delete from image_values where image in (select image from computed)")
        cursor.execute("insert into image_values by name from computed")
        cursor.unregister("computed")
        _keep_failures(cursor, IMAGES, images, failed)
        cursor.execute(SHOWING.format(images="changed"))


def _object_table(objects: Sequence[LogObject], rows: Mapping[str, pa.Table]) -> pa.Table:
    events = Counter[str]()
    for name in ("predictions", "feedback", "annotations", "text_values", "image_values"):
        for count in rows[name]["object_key"].value_counts().to_pylist():
            events[count["values"]] += count["counts"]
    return pa.table(
        {
            "key": [entry.key for entry in objects],
            "e_tag": [entry.e_tag for entry in objects],
            "size": [entry.size for entry in objects],
            "events": [events[entry.key] for entry in objects],
        }
    )


def forget(cursor: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
    """Take out all that came from these objects; what gave way to it is to be read again.

    Records that a compacted object holds too are from then on that object's, and images have the
    values that other objects hold of them.
    """
    cursor.execute("create or replace temp table gone as select unnest(?) as object_key", [keys])
    empty_cubes(cursor)
    cursor.execute(REHOME)
    cursor.execute(
        "create or replace temp table lost as "
        "select record_key from records semi join gone using (object_key)"
    )
    cursor.execute(UNJUDGED)
    cursor.execute(
        "insert into touched from unjudged union all "
        "select record_key from logged_text_values semi join gone using (object_key)"
    )
    cursor.execute(
        "delete from text_values where record_key in "
        "(select record_key from lost union select record_key from unjudged)"
    )
    cursor.execute(
        "create or replace temp table unscored_images as "
        "select image from image_values where found_in in (from gone)"
    )
    cursor.execute(SHOWING.format(images="unscored_images"))
    cursor.execute("delete from image_values where found_in in (from gone)")
    cursor.execute(
        "delete from objects where key in (from gone) or key in "
        "(select object_key from shadowed semi join lost using (record_key))"
    )
    annotated = "select 1 from annotations semi join gone using (object_key) limit 1"
    has_annotations = bool(cursor.execute(annotated).fetchall())
    for table in FROM_OBJECTS:
        cursor.execute(f"delete from {table} where object_key in (from gone)")
    if has_annotations:
        rewrite_judged(cursor)
    _take(cursor, "unscored_images")


def _touch(cursor: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    """Have the records that these rows are of rewritten, where they are there already."""
    cursor.register("incoming", rows)
    cursor.execute(
        "insert into touched select distinct record_key from incoming "
        "semi join records using (record_key)"
    )
    cursor.unregister("incoming")


def _rescore(cursor: duckdb.DuckDBPyConnection, feedback: pa.Table) -> None:
    """Have the texts scored anew whose truth is new."""
    cursor.register("incoming", feedback)
    cursor.execute(
        "delete from text_values where record_key in "
        "(select record_key from incoming where ground_truth_string is not null)"
    )
    cursor.unregister("incoming")


def insert(cursor: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    if rows.num_rows:
        cursor.register("incoming", rows)
        cursor.execute(f"insert into {table} by name select * from incoming")
        cursor.unregister("incoming")


def _keep_failures(
    cursor: duckdb.DuckDBPyConnection,
    kind: Kind,
    scored: Sequence[str],
    failed: Sequence[tuple[str, str, str]],
) -> None:
    """Note which projections failed on these; failed: rows of (scored, projection, sentence)."""
    cursor.execute(
        "delete from failures where kind = ? and scored in (select unnest(?))", [kind.name, scored]
    )
    if failed:
        names = ("scored", "projection", "sentence")
        columns = dict(zip(names, map(list, zip(*failed, strict=True)), strict=True))
        insert(cursor, "failures", pa.table({"kind": [kind.name] * len(failed), **columns}))
