"""How the bytes of an object of the log become events: JSON, JSON lines or Parquet, gzipped or not.

How values are packed is left to `framing`, what they are to `records`; where objects are kept and
where events go, it does not know.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from data_access.records.framing import (
    PARQUET,
    Broken,
    binary_format,
    is_sequence,
    json_lines,
    json_sequence,
    unpacked,
)
from data_access.records.json_values import json_value
from data_access.records.judgements import check_payload
from data_access.records.models import (
    GROUPS,
    MAX_OBJECT_BYTES,
    MAX_ROWS,
    NO_OBJECT,
    PREDICTION_FIELDS,
    REQUIRED,
    Annotation,
    Feedback,
    Prediction,
    Quarantined,
    json_text,
)


@dataclass
class Contents:
    """All that one object of the log holds; accepted plus quarantined is all that was sent."""

    predictions: list[tuple[int, Prediction]] = field(default_factory=list)
    feedback: list[tuple[int, Feedback]] = field(default_factory=list)
    annotations: list[tuple[int, Annotation]] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)


def read_object(key: str, body: bytes, max_bytes: int = MAX_OBJECT_BYTES) -> Contents:
    """Events of one object: JSON, JSON lines or Parquet, gzipped or not, by what its bytes are.

    The first folder of the key says what they are: `predictions/`, `feedback/`, `annotations/`.
    max_bytes: of the object unpacked. Never raises: what cannot be read is in `quarantined`.
    """
    kind = key.partition("/")[0]
    contents = Contents()
    try:
        for line, event in _events(unpacked(body, max_bytes), contents):
            _add(kind, contents, line, event)
    except Exception as error:  # decoders raise many kinds on hostile bytes
        _quarantine(contents, 0, f"the object cannot be read: {_reason(error)}", repr(body[:200]))
    return contents


def read_lines(kind: str, lines: Iterable[tuple[int, bytes]]) -> Contents:
    """Events of numbered lines of JSON, as `read_object` reads them; kind: the first folder."""
    contents = Contents()
    for line, event in _objects(json_lines(lines), contents):
        _add(kind, contents, line, event)
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


def _events(body: bytes, contents: Contents) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line (from 1) and event; what is no JSON object goes to quarantine here."""
    if body.startswith(PARQUET):
        yield from enumerate(parquet_rows(open_parquet(body).iter_batches()), start=1)
        return
    whole = _json_or_none(body)
    if isinstance(whole, list):
        values: Iterable[tuple[int, Any]] = enumerate(whole, start=1)
    elif whole is not None:
        values = [(1, whole)]
    elif name := binary_format(body):
        reason = f"the object is {name}, and events are JSON, JSON lines or Parquet"
        _quarantine(contents, 0, reason, repr(body[:200]))
        return
    elif is_sequence(body):
        values = json_sequence(body)
    else:
        values = json_lines(enumerate(body.split(b"\n"), start=1))
    yield from _objects(values, contents)


def _objects(
    values: Iterable[tuple[int, Any]], contents: Contents
) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, value in values:
        if isinstance(value, dict):
            yield line, value
        elif isinstance(value, Broken):
            _quarantine(contents, line, value.reason, value.text)
        else:
            _quarantine(contents, line, NO_OBJECT, _written(value))


def open_parquet(body: bytes) -> pq.ParquetFile:
    """Raises ValueError, or what pyarrow raises, for one that cannot be read or is too large."""
    file = pq.ParquetFile(io.BytesIO(body))
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > MAX_OBJECT_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_OBJECT_BYTES:,} bytes")
    if file.metadata.num_rows > MAX_ROWS:
        raise ValueError(f"it has {file.metadata.num_rows:,} rows; {MAX_ROWS:,} can be read")
    return file


def parquet_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """Rows as Python values, maps as dicts; of a key that a map has twice, the last counts."""
    for batch in batches:
        yield from batch.to_pylist(maps_as_pydicts="lossy")


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _document(value: Any) -> Any:
    """A JSON object's text as that object; any other value as it is."""
    if not isinstance(value, str):
        return value
    document = _json_or_none(value.encode())
    return document if isinstance(document, dict) else value


def _flat(event: dict[str, Any]) -> dict[str, Any]:
    """Nested groups and dotted names are the same event; tags may also be a JSON object's text."""
    flat: dict[str, Any] = {}
    for name, value in event.items():
        if name == "tags":
            value = _document(value)
        if name in GROUPS and isinstance(value, dict):
            flat.update({f"{name}.{inner}": part for inner, part in value.items()})
        elif not (name in GROUPS and value is None):
            flat[name] = value
    return flat


def _add_prediction(contents: Contents, line: int, event: dict[str, Any]) -> None:
    known: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    feedback: dict[str, Any] = {}
    for name, value in _flat(event).items():
        kept = name in PREDICTION_FIELDS or name.startswith("feedback.")
        value = value if kept else json_value(value)
        if value is None and name not in REQUIRED:
            continue
        if value == "" and name not in REQUIRED and name != "outputs.output_text":
            continue
        if name in PREDICTION_FIELDS:
            known[name] = value
        elif kept:
            feedback[name.removeprefix("feedback.")] = value
        else:
            tags[name.removeprefix("tags.")] = value
    prediction = Prediction(**known, tags=tags)
    json_text(prediction.tags).encode()
    logged = None
    if feedback.keys() & {"flag", "ground_truth_string", "comment"}:
        defaults: dict[str, Any] = {
            "feedback_key": f"{prediction.record_key[:190]}:logged",
            "record_key": prediction.record_key,
            "timestamp": prediction.timestamp,
        }
        logged = Feedback(**(defaults | feedback))
    contents.predictions.append((line, prediction))
    if logged is not None:
        contents.feedback.append((line, logged))


def _add_feedback(contents: Contents, line: int, event: dict[str, Any]) -> None:
    fields = {name.removeprefix("feedback."): value for name, value in _flat(event).items()}
    if fields.get("feedback_key") is None:
        written = json.dumps(fields, sort_keys=True, default=str)
        fields["feedback_key"] = hashlib.sha256(written.encode()).hexdigest()
    contents.feedback.append((line, Feedback(**fields)))


def _add_annotation(contents: Contents, line: int, event: dict[str, Any]) -> None:
    annotation = Annotation(**event | {"payload": _document(event.get("payload"))})
    json_text(annotation.payload).encode()
    check_payload(annotation)
    contents.annotations.append((line, annotation))


def _written(event: Any) -> str:
    try:
        return json.dumps(event, default=str, ensure_ascii=False)
    except (TypeError, ValueError):  # names that are no text, as maps of Parquet may have
        return str(event)


def _quarantine(contents: Contents, line: int, reason: str, excerpt: str) -> None:
    legible = excerpt[:200].encode(errors="replace").decode()
    contents.quarantined.append(
        Quarantined(line, reason.encode(errors="replace").decode(), legible)
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    if isinstance(error, UnicodeEncodeError):
        return "a text has half of a surrogate pair (\\ud800 to \\udfff), which is no character"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)[:300] or type(error).__name__
