"""How the bytes of an object of the log become events: JSON, JSON lines or Parquet, gzipped or not.

Knows nothing of where objects are kept or where events go.
"""

import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq
from pydantic import ValidationError

from data_access.records import (
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
    json_text(tags).encode()
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
    json_text(annotation.payload).encode()
    contents.annotations.append((line, annotation))


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
