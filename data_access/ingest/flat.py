"""SQL that finds which rows of one shape are surely events, and takes those.

A shape is first brought to FLAT, from JSON texts by `lines`, from columns by `parquet`.
"""

import atexit
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access.ingest.events import EventTables
from data_access.records import (
    FEEDBACK_FIELDS,
    FEEDBACK_SCHEMA,
    MAX_IMAGE_NAME,
    MAX_LABEL,
    MAX_TEXT,
    PREDICTION_FIELDS,
    PREDICTION_SCHEMA,
    Feedback,
    Prediction,
    columns_of,
)
from data_access.sql import SQL_TYPES, literal

BATCH = 8_192  # rows
MANY_TAGS = 4_000  # characters: fewer cannot hold more tags than are allowed
EXTRA_TAGS = 100  # tags that stand beside the known names instead of below `tags`

FLAT = {
    "moment" if name == "timestamp" else name: SQL_TYPES[column]
    for name, column in (columns_of(Prediction) | columns_of(Feedback)).items()
    if name != "tags"
}
"""What every shape is brought to: each name's SQL type. `tags` and `trusted` come beside them."""

ZONE = r"(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)"
MOMENT = rf"\d{{4}}-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{{1,6}})?{ZONE}?"
LENIENT = r",\s*[}\]]"  # DuckDB reads trailing commas and infinities, which JSON does not have
# tags that are nested, null, not finite, empty, or numbers that not all readers round the same way
UNUSUAL_TAGS = r'.[{\[]|:-?[nNiI]|:""|\d{17}|\d[eE][+-]?\d{3}'

PREDICTIONS = f"""
select
    ordinal,
    coalesce(
        trusted
        and length(record_key) between 1 and {MAX_LABEL}
        and year(moment) between 1970 and 2199
        and length(environment) between 1 and {MAX_LABEL}
        and coalesce(length(application) <= {MAX_LABEL}, true)
        and coalesce(length(version) <= {MAX_LABEL}, true)
        and coalesce(length("inputs.image") <= {MAX_IMAGE_NAME}, true)
        and coalesce(length("outputs.output_text") <= {MAX_TEXT}, true)
        and coalesce(length("outputs.character_confidences") <= {MAX_TEXT}, true)
        and coalesce(length(flag) <= {MAX_LABEL}, true)
        and coalesce(length("user") <= {MAX_LABEL}, true)
        and coalesce(length(ground_truth_string) <= {MAX_TEXT}, true)
        and coalesce(length(comment) <= {MAX_TEXT}, true)
        and length(tags) < {MANY_TAGS}
        and not regexp_matches(tags, '{UNUSUAL_TAGS}'),
        false
    ) as accepted,
    record_key,
    nullif(application, '') as application,
    nullif(version, '') as version,
    moment as timestamp,
    environment,
    nullif("inputs.image", '') as "inputs.image",
    "outputs.output_text",
    if(isfinite("outputs.confidence"), "outputs.confidence", null) as "outputs.confidence",
    nullif("outputs.character_confidences", '') as "outputs.character_confidences",
    tags,
    substring(record_key, 1, 190) || ':logged' as feedback_key,
    nullif(flag, '') as flag,
    nullif("user", '') as "user",
    nullif(ground_truth_string, '') as ground_truth_string,
    nullif(comment, '') as comment
from flat
"""
FEEDBACK = f"""
select
    ordinal,
    coalesce(
        trusted
        and length(feedback_key) between 1 and {MAX_LABEL}
        and length(record_key) between 1 and {MAX_LABEL}
        and year(moment) between 1970 and 2199
        and coalesce(length(flag) between 1 and {MAX_LABEL}, true)
        and coalesce(length("user") between 1 and {MAX_LABEL}, true)
        and coalesce(length(ground_truth_string) <= {MAX_TEXT}, true)
        and coalesce(length(comment) <= {MAX_TEXT}, true)
        and coalesce(flag, ground_truth_string, comment) is not null,
        false
    ) as accepted,
    feedback_key,
    record_key,
    moment as timestamp,
    flag,
    "user",
    ground_truth_string,
    comment
from flat
"""


def take_events(
    kind: str, flat: str, rows: pa.Table, places: pa.Table, tables: EventTables
) -> np.ndarray:
    """Put the rows that are surely events into `tables`; the ordinals of the others.

    places: object key, origin and line of every ordinal.
    """
    outer = PREDICTIONS if kind == "predictions" else FEEDBACK
    judged = query(f"with flat as ({flat}) {outer}", rows)
    accepted = judged["accepted"]
    taken = judged if pc.all(accepted).as_py() else judged.filter(accepted)
    where = places if len(taken) == len(places) else places.take(taken["ordinal"])
    for name in ("line", "origin", "object_key"):
        taken = taken.append_column(name, where[name])
    if kind == "feedback":
        tables.feedback.append(taken.select(FEEDBACK_SCHEMA.names).cast(FEEDBACK_SCHEMA))
    else:
        tables.predictions.append(taken.select(PREDICTION_SCHEMA.names).cast(PREDICTION_SCHEMA))
        valid = [pc.is_valid(taken[name]) for name in ("flag", "ground_truth_string", "comment")]
        with_feedback = taken.filter(pc.or_(pc.or_(valid[0], valid[1]), valid[2]))
        if len(with_feedback):
            tables.feedback.append(
                with_feedback.select(FEEDBACK_SCHEMA.names).cast(FEEDBACK_SCHEMA)
            )
    left: np.ndarray = judged["ordinal"].filter(pc.invert(accepted)).to_numpy()
    return left


@dataclass
class Names:
    """Where the rows of one shape keep values: an address for each known name, and for each tag."""

    known: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    nested_tags: Any = None


def sort_names(kind: str, addresses: Sequence[tuple[str, Any]]) -> Names | None:
    """Sort (dotted name, address) pairs of one shape; None where `decoding` has to judge it."""
    names = Names()
    for name, address in addresses:
        if kind == "feedback":
            field_name, place = name.removeprefix("feedback."), names.known
        elif name == "tags":
            names.nested_tags = address
            continue
        elif name.startswith("feedback."):
            field_name, place = name.removeprefix("feedback."), names.known
            if field_name not in FEEDBACK_FIELDS:
                return None
        elif name in PREDICTION_FIELDS:
            field_name, place = name, names.known
        else:
            field_name, place = name.removeprefix("tags."), names.tags
        if field_name in place:
            return None
        place[field_name] = address
    required = {"record_key", "timestamp", "environment"}
    if kind == "feedback":
        required = {"record_key", "timestamp", "feedback_key"}
    if not required <= names.known.keys() or len(names.tags) > EXTRA_TAGS:
        return None
    return names


def all_of(conditions: Sequence[str]) -> str:
    """SQL that is true where all are, NULL taken as false.

    Not joined by `and`: that reads a JSON text anew for each condition (twice as slow, measured).
    """
    return f"least({', '.join(f'coalesce({condition}, false)' for condition in conditions)})"


def tags_sql(nested: str, tags: dict[str, str]) -> str:
    """SQL of a JSON object: members of `nested`, and each tag's own JSON text where it has one."""
    inner = []
    if nested != "null":
        inner.append(f"nullif(substring({nested}, 2, length({nested}) - 2), '')")
    for tag, value in tags.items():
        name = literal(json.dumps(tag, ensure_ascii=False) + ":")
        inner.append(f"case when {value} not in ('null', '\"\"') then {name} || {value} end")
    return f"'{{' || concat_ws(',', {', '.join(inner)}) || '}}'" if inner else "'{}'"


def value_sql(sql_type: str, text: str) -> str:
    """SQL of a text as a value of FLAT; NULL where it is not surely one."""
    if sql_type == "double":
        return f"try_cast({text} as double)"
    if sql_type != "timestamp":
        return text
    zoned = f"if(regexp_matches({text}, '{ZONE}$'), {text}, {text} || 'Z')"
    moment = f"make_timestamp(epoch_us(try_cast({zoned} as timestamptz)))"
    return f"case when regexp_full_match({text}, '{MOMENT}') then {moment} end"


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """A DuckDB of this process that holds nothing."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    atexit.register(_engine.cache_clear)  # else its binding reports leaks when Python ends
    return connection


def query(sql: str, rows: pa.Table) -> pa.Table:
    """The answer in the order of `rows`, which the SQL calls by that name."""
    cursor = _engine().cursor()
    try:
        # DuckDB shares Arrow data among its threads batch by batch
        cursor.register("rows", pa.Table.from_batches(rows.to_batches(BATCH), rows.schema))
        return cursor.sql(sql).to_arrow_table()
    finally:
        cursor.close()
