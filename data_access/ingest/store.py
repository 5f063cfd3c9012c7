"""What inserts, touches and forgets: objects that were read become rows of the warehouse."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from data_access.errors import LogError
from data_access.ingest.bulk import Events, read_objects
from data_access.ingest.report import SyncReport
from data_access.log import Log, LogObject, is_plain
from data_access.records import MAX_OBJECT_BYTES, Quarantined, quarantine_table
from data_access.warehouse import Warehouse

ADDED_SECONDS = 2.0  # how long one who has added an object waits for a sync to end

FROM_OBJECTS = (
    "records", "feedback", "annotations", "quarantine", "shadowed", "covered", "scores",
    "image_measures",
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
from scores
semi join gone using (object_key)
"""

OF_IMAGES = """
select record_key
from records
semi join {images} on records."inputs.image" = {images}.image
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


def store_objects(warehouse: Warehouse, read: Sequence[ReadObjects], report: SyncReport) -> None:
    """Put all that these objects hold, and that they were read, into the warehouse."""
    objects = [found for held in read for found in held.objects]
    if not objects:
        return
    predictions = pa.concat_tables([held.events.predictions for held in read])
    feedback = pa.concat_tables([held.events.feedback for held in read])
    quarantined = pa.concat_tables([held.events.quarantined for held in read])
    scores = pa.concat_tables([held.events.scores for held in read])
    annotations = pa.concat_tables([held.events.annotations for held in read])
    measures = pa.concat_tables([held.events.measures for held in read])
    with warehouse.transaction() as cursor:
        forget(cursor, [found.key for found in objects])
        insert(cursor, "scores", scores)
        _touch(cursor, scores)
        insert(cursor, "feedback", feedback)
        insert(cursor, "quarantine", quarantined)
        insert(cursor, "covered", pa.concat_tables([held.events.covered for held in read]))
        insert(cursor, "annotations", annotations)
        insert(cursor, "image_measures", measures)
        held_rows = [predictions, feedback, scores, annotations, measures]
        insert(cursor, "objects", _object_table(objects, held_rows))
        _touch(cursor, feedback)
        _rescore(cursor, feedback)
        warehouse.insert_predictions(cursor, predictions)
    warehouse.announce()
    report.objects += len(objects)
    report.predictions += len(predictions)
    report.feedback += len(feedback)
    report.quarantined += len(quarantined)


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
        "delete from text_scores where record_key in "
        "(select record_key from lost union select record_key from touched)"
    )
    cursor.execute(
        "create or replace temp table unmeasured as "
        "select image from image_scores where found_in in (from gone)"
    )
    cursor.execute(f"insert into touched {OF_IMAGES.format(images='unmeasured')}")
    cursor.execute("delete from image_scores where found_in in (from gone)")
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
        "delete from text_scores where record_key in "
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
