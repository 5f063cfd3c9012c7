"""What one event of the log is: its models, and the columns of a table of them.

How the bytes of an object become events is left to `decoding`.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self

import pyarrow as pa
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from data_access.times import parse_time

MAX_OBJECT_BYTES = 512 * 1024 * 1024  # unpacked; past this an object is quarantined whole
MAX_ROWS = 5_000_000  # of one Parquet object: a few bytes of it can stand for a million rows
MAX_LABEL = 200
MAX_IMAGE_NAME = 2_000
MAX_TEXT = 1_000_000
MAX_TAGS = 1_000
REQUIRED = ("record_key", "timestamp", "environment")
GROUPS = ("inputs", "outputs", "feedback", "tags")
NO_OBJECT = "not a JSON object"
ANNOTATIONS = "annotations/"


Key = Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Moment = Annotated[datetime, BeforeValidator(parse_time)]


class Feedback(BaseModel):
    """A user's judgement of one output, at any time after (or before) its prediction arrives."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    feedback_key: Key
    record_key: Key
    timestamp: Moment
    flag: Label | None = None
    user: Label | None = None
    ground_truth_string: Text | None = None
    comment: Text | None = None

    @model_validator(mode="after")
    def says_something(self) -> Self:
        if self.flag is None and self.ground_truth_string is None and self.comment is None:
            raise ValueError("feedback without a flag, a ground truth or a comment says nothing")
        return self


class Prediction(BaseModel):
    """One image read by the recognizer. `image` is a key below the log's root or an s3:// URI."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, populate_by_name=True)

    record_key: Key
    timestamp: Moment
    environment: Label
    application: Label | None = None
    version: Label | None = None
    image: Annotated[str | None, Field(alias="inputs.image", max_length=MAX_IMAGE_NAME)] = None
    output_text: Annotated[Text | None, Field(alias="outputs.output_text")] = None
    confidence: Annotated[float | None, Field(alias="outputs.confidence")] = None
    tags: Annotated[dict[str, Any], Field(max_length=MAX_TAGS)] = {}


class Annotation(BaseModel):
    """How something that people keep beside the records is from now on, such as a saved selection.

    kind: what it is; name: which one of its kind. Of the events of one kind and name the newest
    counts. payload: all that it consists of; None where it is removed.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    annotation_key: Key
    timestamp: Moment
    kind: Label
    name: Label
    payload: dict[str, Any] | None = None


@dataclass(frozen=True)
class Quarantined:
    """Something in the log that is not an event: which line (from 1), why, and how it begins."""

    line: int
    reason: str
    excerpt: str


# `origin` and `line` tell where an event was first logged, `object_key` in which object it was
# read: another one once the log was compacted.
PREDICTION_SCHEMA = pa.schema(
    [
        ("object_key", pa.string()),
        ("origin", pa.string()),
        ("line", pa.int64()),
        ("record_key", pa.string()),
        ("application", pa.string()),
        ("version", pa.string()),
        ("timestamp", pa.timestamp("us")),
        ("environment", pa.string()),
        ("inputs.image", pa.string()),
        ("outputs.output_text", pa.string()),
        ("outputs.confidence", pa.float64()),
        ("tags", pa.string()),
    ]
)
FEEDBACK_SCHEMA = pa.schema(
    [
        ("object_key", pa.string()),
        ("origin", pa.string()),
        ("line", pa.int64()),
        ("feedback_key", pa.string()),
        ("record_key", pa.string()),
        ("timestamp", pa.timestamp("us")),
        ("flag", pa.string()),
        ("user", pa.string()),
        ("ground_truth_string", pa.string()),
        ("comment", pa.string()),
    ]
)
ANNOTATION_SCHEMA = pa.schema(
    [
        ("object_key", pa.string()),
        ("annotation_key", pa.string()),
        ("timestamp", pa.timestamp("us")),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("payload", pa.string()),
    ]
)
QUARANTINE_SCHEMA = pa.schema(
    [
        ("object_key", pa.string()),
        ("line", pa.int64()),
        ("reason", pa.string()),
        ("excerpt", pa.string()),
    ]
)
COVERED_SCHEMA = pa.schema(
    [("source", pa.string()), ("e_tag", pa.string()), ("object_key", pa.string())]
)

# A compacted object is Parquet; two columns say where each event was first logged, and the
# schema's metadata which objects it covers: a JSON list of [key, e_tag].
ORIGIN, ORIGIN_LINE = "log.object_key", "log.line"
SOURCES = b"misread.sources"


def is_compacted(key: str) -> bool:
    return key.rpartition("/")[2].startswith("compacted-") and key.endswith(".parquet")


PREDICTION_FIELDS = {
    field.alias or name for name, field in Prediction.model_fields.items() if name != "tags"
}


def json_text(held: dict[str, Any] | None) -> str:
    """Raises ValueError for infinities and NaN, which JSON does not have."""
    return json.dumps(held, allow_nan=False, default=str, ensure_ascii=False)


def prediction_table(rows: list[tuple[str, int, Prediction]]) -> pa.Table:
    """(object key, line, prediction) rows as an Arrow table of PREDICTION_SCHEMA."""
    columns: list[list[Any]] = [[] for _ in PREDICTION_SCHEMA]
    for key, line, row in rows:
        values = (
            key,
            key,
            line,
            row.record_key,
            row.application,
            row.version,
            row.timestamp.replace(tzinfo=None),
            row.environment,
            row.image,
            row.output_text,
            row.confidence,
            json_text(row.tags),
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return pa.table(columns, schema=PREDICTION_SCHEMA)


def feedback_table(rows: list[tuple[str, int, Feedback]]) -> pa.Table:
    """(object key, line, feedback) rows as an Arrow table of FEEDBACK_SCHEMA."""
    columns: list[list[Any]] = [[] for _ in FEEDBACK_SCHEMA]
    for key, line, row in rows:
        values = (
            key,
            key,
            line,
            row.feedback_key,
            row.record_key,
            row.timestamp.replace(tzinfo=None),
            row.flag,
            row.user,
            row.ground_truth_string,
            row.comment,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return pa.table(columns, schema=FEEDBACK_SCHEMA)


def annotation_table(rows: list[tuple[str, Annotation]]) -> pa.Table:
    """(object key, annotation) rows as an Arrow table of ANNOTATION_SCHEMA."""
    return pa.table(
        [
            [key for key, _ in rows],
            [row.annotation_key for _, row in rows],
            [row.timestamp.replace(tzinfo=None) for _, row in rows],
            [row.kind for _, row in rows],
            [row.name for _, row in rows],
            [None if row.payload is None else json_text(row.payload) for _, row in rows],
        ],
        schema=ANNOTATION_SCHEMA,
    )


def quarantine_table(rows: list[tuple[str, Quarantined]]) -> pa.Table:
    """(object key, quarantined) rows as an Arrow table of QUARANTINE_SCHEMA."""
    return pa.table(
        [
            [key for key, _ in rows],
            [row.line for _, row in rows],
            [row.reason for _, row in rows],
            [row.excerpt for _, row in rows],
        ],
        schema=QUARANTINE_SCHEMA,
    )
