"""What one event of the log is, and what is known of one record.

The models are the one declaration: Arrow schemas, the warehouse's tables and JSON derive from them.

How the bytes of an object become events is left to `decoding`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

import pyarrow as pa
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from data_access.records.json_values import json_value
from data_access.records.times import parse_time

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


def percents(confidences: Any) -> Any:
    """Probabilities, 0 to 1, as the log has them: whole percents, separated by spaces.

    Anything but a list or tuple is left as it is. Raises ValueError for what is no probability.
    """
    if not isinstance(confidences, list | tuple):
        return confidences
    if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in confidences):
        raise ValueError("confidences are numbers from 0 to 1")
    return " ".join(f"{round(100 * value)}" for value in confidences) or None


class Judgement(BaseModel):
    """What a user can say of an output; of a record, each field is the column `feedback.NAME`."""

    flag: Label | None = None
    user: Label | None = None
    ground_truth_string: Text | None = None
    comment: Text | None = None


class _FeedbackIdentity(BaseModel):
    """Which feedback, of which record: fields of a base class come first, as in the log."""

    feedback_key: Key
    record_key: Key
    timestamp: Moment


class Feedback(Judgement, _FeedbackIdentity):
    """A user's judgement of one output, at any time after (or before) its prediction arrives."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

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
    confidence: Annotated[
        float | None,
        Field(alias="outputs.confidence", allow_inf_nan=True),
        BeforeValidator(json_value),
        AfterValidator(json_value),
    ] = None
    character_confidences: Annotated[
        Text | None,
        Field(
            alias="outputs.character_confidences",
            description="The confidence in each character of the output in whole percents, "
            "separated by spaces; a list of numbers from 0 to 1 is taken too.",
        ),
        BeforeValidator(percents),
        BeforeValidator(json_value),
    ] = None
    tags: Annotated[dict[str, Any], Field(max_length=MAX_TAGS), BeforeValidator(json_value)] = {}


class Annotation(BaseModel):
    """How something that people keep beside the records is from now on, such as a saved selection.

    kind: what it is; name: which one of its kind. Of the events of one kind and name the newest
    counts. actor: who did it, where that is known. payload: all that it consists of; None where it
    is removed.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    annotation_key: Key
    timestamp: Moment
    kind: Label
    name: Label
    actor: Label | None = None
    payload: Annotated[dict[str, Any] | None, BeforeValidator(json_value)] = None


@dataclass(frozen=True)
class Quarantined:
    """Something in the log that is not an event: which line (from 1), why, and how it begins."""

    line: int
    reason: str
    excerpt: str


ARROW_TYPES: dict[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us"),  # UTC
    dict: pa.string(),  # JSON
}


def _arrow_type(annotation: Any) -> pa.DataType:
    """The type of a column of such values, NULL for None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _arrow_type(get_args(annotation)[0])
    if origin in (Union, UnionType):
        [annotation] = [inner for inner in get_args(annotation) if inner is not NoneType]
        return _arrow_type(annotation)
    return ARROW_TYPES[origin or annotation]


def columns_of(model: type[BaseModel]) -> dict[str, pa.DataType]:
    """The columns of a table of such events, by the names that the log uses."""
    return {
        field.alias or name: _arrow_type(field.annotation)
        for name, field in model.model_fields.items()
    }


# `origin` and `line` tell where an event was first logged, `object_key` in which object it was
# read: another one once the log was compacted.
PLACE = {"object_key": pa.string(), "origin": pa.string(), "line": pa.int64()}
PREDICTION_SCHEMA = pa.schema(PLACE | columns_of(Prediction))
FEEDBACK_SCHEMA = pa.schema(PLACE | columns_of(Feedback))
ANNOTATION_SCHEMA = pa.schema(PLACE | columns_of(Annotation))
QUARANTINE_SCHEMA = pa.schema(
    {"object_key": pa.string(), "line": pa.int64(), "reason": pa.string(), "excerpt": pa.string()}
)
COVERED_SCHEMA = pa.schema({"source": pa.string(), "e_tag": pa.string(), "object_key": pa.string()})
FEEDBACK_FIELDS = tuple(Judgement.model_fields)

# A compacted object is Parquet; two columns say where each event was first logged, and the
# schema's metadata which objects it covers: a JSON list of [key, e_tag].
ORIGIN, ORIGIN_LINE = "log.object_key", "log.line"
SOURCES = b"misread.sources"


def is_compacted(key: str) -> bool:
    return key.rpartition("/")[2].startswith("compacted-") and key.endswith(".parquet")


PREDICTION_FIELDS = set(columns_of(Prediction)) - {"tags"}


def json_text(document: dict[str, Any] | None) -> str:
    """Raises ValueError for infinities and NaN, which JSON does not have."""
    return json.dumps(document, allow_nan=False, default=str, ensure_ascii=False)


def _cell(value: Any) -> Any:
    """A field of an event as its table has it."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return json_text(value) if isinstance(value, dict) else value


def _columns(model: type[BaseModel], events: Sequence[BaseModel]) -> list[list[Any]]:
    return [[_cell(getattr(event, name)) for event in events] for name in model.model_fields]


def prediction_table(rows: list[tuple[str, int, Prediction]]) -> pa.Table:
    """(object key, line, prediction) rows as an Arrow table of PREDICTION_SCHEMA."""
    keys = [key for key, _, _ in rows]
    columns = _columns(Prediction, [prediction for _, _, prediction in rows])
    return pa.table([keys, keys, [line for _, line, _ in rows], *columns], PREDICTION_SCHEMA)


def feedback_table(rows: list[tuple[str, int, Feedback]]) -> pa.Table:
    """(object key, line, feedback) rows as an Arrow table of FEEDBACK_SCHEMA."""
    keys = [key for key, _, _ in rows]
    columns = _columns(Feedback, [feedback for _, _, feedback in rows])
    return pa.table([keys, keys, [line for _, line, _ in rows], *columns], FEEDBACK_SCHEMA)


def annotation_table(rows: list[tuple[str, int, Annotation]]) -> pa.Table:
    """(object key, line, annotation) rows as an Arrow table of ANNOTATION_SCHEMA."""
    keys = [key for key, _, _ in rows]
    columns = _columns(Annotation, [annotation for _, _, annotation in rows])
    return pa.table([keys, keys, [line for _, line, _ in rows], *columns], ANNOTATION_SCHEMA)


def quarantine_table(rows: list[tuple[str, Quarantined]]) -> pa.Table:
    """(object key, quarantined) rows as an Arrow table of QUARANTINE_SCHEMA."""
    cells = [(key, *astuple(quarantined)) for key, quarantined in rows]
    columns = zip(*cells, strict=True) if cells else [[]] * len(QUARANTINE_SCHEMA)
    return pa.table([list(column) for column in columns], QUARANTINE_SCHEMA)


class Record(Judgement, Prediction):
    """One prediction with all that is known of it.

    timestamp: aware, in UTC. flag: the newest; flags: every distinct one, sorted; reports: how
    many events had a flag. user, ground_truth_string, comment: the newest. image_failure: why the
    image has no values; None where it was read, or not scored yet. image_hash: equal for records
    of the same image. projections: each projection's value by name, `outputs.confidence` among
    them; None where there is none.
    """

    flags: Annotated[list[str], Field(alias="feedback.flags")]
    reports: Annotated[int, Field(alias="feedback.reports")]
    image_failure: str | None
    image_hash: int
    projections: dict[str, float | None]

    @classmethod
    def from_row(cls, row: Mapping[str, Any], projections: Iterable[str]) -> Self:
        """A row of the warehouse's table `records`: plain values by column, times without a zone.

        projections: the names of the columns that are projections. Raises KeyError where a column
        is missing.
        """
        values = {name: row[column] for name, column in RECORD_COLUMNS.items()}
        values["timestamp"] = row["timestamp"].replace(tzinfo=UTC)
        values["flags"] = list(row["feedback.flags"])
        values["tags"] = json.loads(row["tags"] or "{}")
        return cls.model_construct(**values, projections={name: row[name] for name in projections})

    @property
    def confidences(self) -> list[int] | None:
        """The confidence in each character of the output, percent; None where it was not logged,
        or not for each."""
        logged = (self.character_confidences or "").split()
        if len(logged) != len(self.output_text or "") or not all(map(str.isdecimal, logged)):
            return None
        return [int(value) for value in logged] or None

    def value(self, column: str) -> Any:
        """What is under a column's dotted name, as projections name their inputs; KeyError."""
        if column in self.projections:
            return self.projections[column]
        return getattr(self, _FIELDS[column])


RECORD_COLUMNS = {
    name: f"feedback.{name}" if name in FEEDBACK_FIELDS else field.alias or name
    for name, field in Record.model_fields.items()
    if name != "projections"
}
"""By field of Record, the column of the warehouse's table `records`."""
INTERNAL_COLUMNS = ("image_failure", "image_hash")
"""Those that files for people leave out."""

_FIELDS = {column: name for name, column in RECORD_COLUMNS.items()}
