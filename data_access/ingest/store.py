"""The one write path: what inserts, touches and forgets rows of the warehouse.

The rows of an object, the values of its texts and the mark that it was read land together.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from data_access.errors import LogError
from data_access.ingest.bulk import read_objects
from data_access.ingest.events import Events
from data_access.ingest.report import SyncReport
from data_access.log import Log, LogObject, is_plain
from data_access.progress import Progress, silent
from data_access.projections.compute import compute_present
from data_access.projections.table import TEXT, TRUTH, ProjectionTable
from data_access.records import MAX_OBJECT_BYTES, Quarantined, quarantine_table
from data_access.sql import quoted
from data_access.warehouse import Warehouse
from data_access.warehouse.tables import feedback_of, record_rows

TEXTS_AT_ONCE = 5_000
TEXT_STAGE = "Scoring texts"
ADDED_SECONDS = 2.0  # how long one who has added an object waits for a sync to end

FROM_OBJECTS = (
    "records", "feedback", "annotations", "quarantine", "shadowed", "covered", "logged_values",
    "logged_image_values",
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

# what was said in these objects, and in no other: a compacted one may say it too
UNSAID = """
insert into touched
select record_key
from feedback
semi join gone using (object_key)
anti join (from feedback anti join gone using (object_key)) using (origin, line)
union all
select record_key
from logged_values
semi join gone using (object_key)
"""

OF_IMAGES = """
select record_key
from records
semi join {images} on records."inputs.image" = {images}.image
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


@dataclass(frozen=True)
class ReadObjects:
    """What a batch of objects holds, and those that could not be had."""

    objects: list[LogObject]
    events: Events
    failures: list[tuple[LogObject, LogError]]

    @property
    def rows(self) -> int:
        return len(self.events.predictions) + len(self.events.feedback)


def parse_objects(
    names: Sequence[str], fetched: Sequence[tuple[LogObject, bytes | LogError]]
) -> ReadObjects:
    """names: of the projections of images."""
    bodies = [(found, body) for found, body in fetched if isinstance(body, bytes)]
    refused = [(o.key, Quarantined(0, reason, "")) for o, _ in bodies if (reason := refusal(o))]
    events = read_objects([(found.key, body) for found, body in bodies if body], names)
    quarantined = pa.concat_tables([events.quarantined, quarantine_table(refused)])
    return ReadObjects(
        [found for found, _ in bodies],
        replace(events, quarantined=quarantined),
        [(found, error) for found, error in fetched if isinstance(error, LogError)],
    )


def refusal(found: LogObject) -> str | None:
    """Why an object is not fetched at all; None where it is."""
    if found.size > MAX_OBJECT_BYTES:
        return f"the object has {found.size:,} bytes; {MAX_OBJECT_BYTES:,} can be read"
    if not is_plain(found.key):
        return "an object with such a key is not read"
    return None


def read_added(log: Log, warehouse: Warehouse, key: str) -> bool:
    """Read one object that was just added, so that its writer sees it at once.

    False where that has to be left to the next sync: another one is at work, or the object
    cannot be had.
    """
    if not warehouse.writing.acquire(timeout=ADDED_SECONDS):
        return False
    try:
        body, e_tag = log.get_tagged(key)
        found = LogObject(key, e_tag, len(body), datetime.now(UTC).replace(tzinfo=None))
        store_objects(warehouse, [parse_objects([], [(found, body)])], SyncReport())
    except LogError:
        return False
    finally:
        warehouse.writing.release()
    return True


def store_objects(
    warehouse: Warehouse,
    read: Sequence[ReadObjects],
    report: SyncReport,
    progress: Progress = silent,
) -> None:
    """Put all that these objects hold, and that they were read, into the warehouse."""
    objects = [found for held in read for found in held.objects]
    if not objects:
        return
    predictions = pa.concat_tables([held.events.predictions for held in read])
    feedback = pa.concat_tables([held.events.feedback for held in read])
    quarantined = pa.concat_tables([held.events.quarantined for held in read])
    text_values = pa.concat_tables([held.events.text_values for held in read])
    annotations = pa.concat_tables([held.events.annotations for held in read])
    image_values = pa.concat_tables([held.events.image_values for held in read])
    with warehouse.transaction() as cursor:
        forget(cursor, [found.key for found in objects])
        insert(cursor, "logged_values", text_values)
        _touch(cursor, text_values)
        insert(cursor, "feedback", feedback)
        insert(cursor, "quarantine", quarantined)
        insert(cursor, "covered", pa.concat_tables([held.events.covered for held in read]))
        insert(cursor, "annotations", annotations)
        insert(cursor, "logged_image_values", image_values)
        held_rows = [predictions, feedback, text_values, annotations, image_values]
        insert(cursor, "objects", _object_table(objects, held_rows))
        _touch(cursor, feedback)
        _rescore(cursor, feedback)
        insert_predictions(cursor, warehouse.projections, predictions, report, progress)
    warehouse.announce()
    report.objects += len(objects)
    report.predictions += len(predictions)
    report.feedback += len(feedback)
    report.quarantined += len(quarantined)


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
    _score_arrived(cursor, projections, source, report or SyncReport(), progress)
    cursor.execute(f"insert into records by name {record_rows(cursor, projections, source)}")
    cursor.execute(f"delete from touched where record_key in (select record_key from {source})")
    cursor.unregister("arrived")


def _score_arrived(
    cursor: duckdb.DuckDBPyConnection,
    projections: ProjectionTable,
    source: str,
    report: SyncReport,
    progress: Progress,
) -> None:
    """Compute the values of texts before their records are written, so that these are once."""
    unscored = cursor.sql(
        f"{feedback_of(source)} select record_key, {quoted(TEXT)}, {quoted(TRUTH)} "
        f"from {source} left join feedback_of using (record_key) "
        "anti join text_values using (record_key)"
    ).to_arrow_table()
    for start in range(0, len(unscored), TEXTS_AT_ONCE):
        store_texts(cursor, projections, unscored.slice(start, TEXTS_AT_ONCE), report)
        progress(TEXT_STAGE, min(start + TEXTS_AT_ONCE, len(unscored)), len(unscored))


def store_texts(
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
    keep_failures(cursor, "text", keys, failed)
    report.scored_texts += len(keys)


def _object_table(objects: Sequence[LogObject], events: Sequence[pa.Table]) -> pa.Table:
    counted = Counter[str]()
    for table in events:
        for found in table["object_key"].value_counts().to_pylist():
            counted[found["values"]] += found["counts"]
    return pa.table(
        {
            "key": [found.key for found in objects],
            "e_tag": [found.e_tag for found in objects],
            "size": [found.size for found in objects],
            "events": [counted[found.key] for found in objects],
        }
    )


def forget(cursor: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
    """Take out all that came from these objects; what gave way to it is to be read again.

    Records that a compacted object holds too are from then on that object's.
    """
    cursor.execute("create or replace temp table gone as select unnest(?) as object_key", [keys])
    cursor.execute("delete from cubes")
    cursor.execute(REHOME)
    cursor.execute(
        "create or replace temp table lost as "
        "select record_key from records semi join gone using (object_key)"
    )
    cursor.execute(UNSAID)
    cursor.execute(
        "delete from text_values where record_key in "
        "(select record_key from lost union select record_key from touched)"
    )
    cursor.execute(
        "create or replace temp table rescored as "
        "select image from image_values where found_in in (from gone)"
    )
    cursor.execute(f"insert into touched {OF_IMAGES.format(images='rescored')}")
    cursor.execute("delete from image_values where found_in in (from gone)")
    cursor.execute(
        "delete from objects where key in (from gone) or key in "
        "(select object_key from shadowed semi join lost using (record_key))"
    )
    for table in FROM_OBJECTS:
        cursor.execute(f"delete from {table} where object_key in (from gone)")


def _touch(cursor: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    """Have the records that these rows speak of rewritten."""
    cursor.register("incoming", rows)
    cursor.execute("insert into touched select distinct record_key from incoming")
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


def keep_failures(
    cursor: duckdb.DuckDBPyConnection,
    kind: str,
    scored: Sequence[str],
    failed: Sequence[tuple[str, str, str]],
) -> None:
    """Note which projections failed on these; failed: rows of (scored, projection, sentence)."""
    cursor.execute(
        "delete from failures where kind = ? and scored in (select unnest(?))", [kind, scored]
    )
    if failed:
        names = ("scored", "projection", "sentence")
        columns = dict(zip(names, map(list, zip(*failed, strict=True)), strict=True))
        insert(cursor, "failures", pa.table({"kind": [kind] * len(failed), **columns}))
