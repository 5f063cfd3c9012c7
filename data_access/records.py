"""What one event of the log looks like, and how the bytes of an object become events.

Knows nothing of where objects are kept or where events go.
"""

import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

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


def _utc(moment: datetime) -> datetime:
    """A time without a zone is taken as UTC."""
    named = moment.year
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:  # years 1 and 9999, beyond which a zone can lead
        raise ValueError(f"the year {named} is not between 1970 and 2199") from None
    if not 1970 <= moment.year < 2200:
        raise ValueError(f"the year {moment.year} is not between 1970 and 2199")
    return moment


Key = Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Moment = Annotated[datetime, AfterValidator(_utc)]


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


@dataclass
class Contents:
    """All that one object of the log holds; accepted plus quarantined is all that was sent."""

    predictions: list[tuple[int, Prediction]] = field(default_factory=list)
    feedback: list[tuple[int, Feedback]] = field(default_factory=list)
    annotations: list[tuple[int, Annotation]] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)


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


def read_object(key: str, body: bytes) -> Contents:
    """Events of one object: JSON, JSON lines or Parquet, gzipped or not, by what its bytes are.

    The first folder of the key says what they are: `predictions/`, `feedback/`, `annotations/`.
    Never raises: what cannot be read is in `quarantined`.
    """
    kind = key.partition("/")[0]
    contents = Contents()
    try:
        for line, event in _events(unpacked(body), contents):
            _add(kind, contents, line, event)
    except Exception as error:  # decoders raise many kinds on hostile bytes
        _quarantine(contents, 0, f"the object cannot be read: {_reason(error)}", repr(body[:200]))
    return contents


def read_lines(kind: str, lines: Iterable[tuple[int, bytes]]) -> Contents:
    """Events of numbered lines of JSON, as `read_object` reads them; kind: the first folder."""
    contents = Contents()
    for line, event in _parsed(lines, contents):
        if isinstance(event, dict):
            _add(kind, contents, line, event)
        else:
            _quarantine(contents, line, NO_OBJECT, _written(event))
    return contents


def read_rows(kind: str, rows: Iterable[tuple[int, dict[str, Any]]]) -> Contents:
    """Events of numbered rows of a table, as `read_object` reads them; kind: the first folder."""
    contents = Contents()
    for line, event in rows:
        _add(kind, contents, line, event)
    return contents


def _add(kind: str, contents: Contents, line: int, event: dict[str, Any]) -> None:
    add = {"predictions": _add_prediction, "annotations": _add_annotation}.get(kind, _add_feedback)
    try:
        add(contents, line, event)
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        _quarantine(contents, line, _reason(error), _written(event))


def unpacked(body: bytes) -> bytes:
    """Gzip taken off, where there is any. Raises on a broken one, or one past MAX_OBJECT_BYTES."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
        content = stream.read(MAX_OBJECT_BYTES + 1)
    if len(content) > MAX_OBJECT_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_OBJECT_BYTES} bytes")
    return content


def _events(body: bytes, contents: Contents) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line (from 1) and event; a line that is no JSON object goes to quarantine here."""
    if body.startswith(b"PAR1"):
        batches = open_parquet(body).iter_batches()
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)
        return
    whole = _json_or_none(body)
    if isinstance(whole, list):
        rows: Iterator[tuple[int, Any]] = enumerate(whole, start=1)
    elif whole is not None:
        rows = iter([(1, whole)])
    else:
        rows = _parsed(enumerate(body.split(b"\n"), start=1), contents)
    for line, row in rows:
        if isinstance(row, dict):
            yield line, row
        else:
            _quarantine(contents, line, NO_OBJECT, _written(row))


def open_parquet(body: bytes) -> pq.ParquetFile:
    """Raises ValueError, or what pyarrow raises, for one that cannot be read or is too large."""
    file = pq.ParquetFile(io.BytesIO(body))
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > MAX_OBJECT_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_OBJECT_BYTES:,} bytes")
    if file.metadata.num_rows > MAX_ROWS:
        raise ValueError(f"it has {file.metadata.num_rows:,} rows; {MAX_ROWS:,} can be read")
    return file


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _parsed(lines: Iterable[tuple[int, bytes]], contents: Contents) -> Iterator[tuple[int, Any]]:
    """Numbered lines as what they say; blank ones are left out, broken ones go to quarantine."""
    for line, text in lines:
        if not text.strip():
            continue
        try:
            yield line, json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = f"not JSON: {_reason(error)}"
            _quarantine(contents, line, reason, text[:1000].decode(errors="replace"))


def _flat(event: dict[str, Any]) -> dict[str, Any]:
    """Nested groups and dotted names are the same event; tags may also be a JSON object's text."""
    flat: dict[str, Any] = {}
    for name, value in event.items():
        if name == "tags" and isinstance(value, str):
            tags = _json_or_none(value.encode())
            value = tags if isinstance(tags, dict) else value
        if name in GROUPS and isinstance(value, dict):
            flat.update({f"{name}.{inner}": held for inner, held in value.items()})
        elif not (name in GROUPS and value is None):
            flat[name] = value
    return flat


def _add_prediction(contents: Contents, line: int, event: dict[str, Any]) -> None:
    known: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for name, value in _flat(event).items():
        if value is None and name not in REQUIRED:
            continue
        if value == "" and name not in REQUIRED and name != "outputs.output_text":
            continue
        if name in PREDICTION_FIELDS:
            known[name] = value
        elif name.startswith("feedback."):
            said[name.removeprefix("feedback.")] = value
        else:
            tags[name.removeprefix("tags.")] = value
    prediction = Prediction(**known, tags=tags)
    _json(tags).encode()
    feedback = None
    if said.keys() & {"flag", "ground_truth_string", "comment"}:
        logged: dict[str, Any] = {
            "feedback_key": f"{prediction.record_key[:190]}:logged",
            "record_key": prediction.record_key,
            "timestamp": prediction.timestamp,
        }
        feedback = Feedback(**(logged | said))
    contents.predictions.append((line, prediction))
    if feedback is not None:
        contents.feedback.append((line, feedback))


def _add_feedback(contents: Contents, line: int, event: dict[str, Any]) -> None:
    said = {name.removeprefix("feedback."): value for name, value in _flat(event).items()}
    if said.get("feedback_key") is None:
        written = json.dumps(said, sort_keys=True, default=str)
        said["feedback_key"] = hashlib.sha256(written.encode()).hexdigest()
    contents.feedback.append((line, Feedback(**said)))


def _add_annotation(contents: Contents, line: int, event: dict[str, Any]) -> None:
    annotation = Annotation(**event)
    _json(annotation.payload).encode()
    contents.annotations.append((line, annotation))


PREDICTION_FIELDS = {
    field.alias or name for name, field in Prediction.model_fields.items() if name != "tags"
}


def _json(held: dict[str, Any] | None) -> str:
    """Raises ValueError for infinities and NaN, which JSON does not have."""
    return json.dumps(held, allow_nan=False, default=str, ensure_ascii=False)


def _written(event: Any) -> str:
    return json.dumps(event, default=str, ensure_ascii=False)


def _quarantine(contents: Contents, line: int, reason: str, excerpt: str) -> None:
    legible = excerpt[:200].encode(errors="replace").decode()
    contents.quarantined.append(
        Quarantined(line, reason.encode(errors="replace").decode(), legible)
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        return f"{where}: {said}" if where else said
    return str(error)[:300] or type(error).__name__


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
            _json(row.tags),
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
            [None if row.payload is None else _json(row.payload) for _, row in rows],
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
