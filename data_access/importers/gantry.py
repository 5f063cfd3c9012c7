"""Reads a data frame as Gantry exported it: CSV, JSON lines or Parquet, one row a record.

Columns have dotted names (`inputs.image`, `feedback.flag`, `tags.env`); projections are named
as calls, such as `detoxify.obscene(outputs.output_text)`, and are kept as scores of that source.
"""

import csv
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_access.errors import MisreadError
from data_access.importers import (
    Imported,
    Importing,
    ImportReport,
    Refused,
    RefusedError,
    digest,
)
from data_access.log import Log
from data_access.progress import Progress, silent
from data_access.projections.values import folder, safe_name, scores_object
from data_access.records import FEEDBACK_SCHEMA, GROUPS, Feedback, Prediction

CALL = re.compile(r"[^()\s]+\(.*\)", re.DOTALL)
INDEX = re.compile(r"|Unnamed: 0|index|__index_level_0__")  # what pandas calls a row's number
ENVIRONMENTS = ("environment", "tags.environment", "tags.env")
SAID = tuple(
    name
    for name in FEEDBACK_SCHEMA.names
    if name not in ("object_key", "origin", "line", "feedback_key", "record_key", "timestamp")
)
MAX_NAME = 150


@dataclass(frozen=True)
class _Row:
    """One row: flat cells by column, None for what is missing, and its number among equals."""

    line: int
    cells: dict[str, Any]
    moment: datetime | None
    repeat: int


def import_file(
    log: Log,
    file: Path,
    environment: str | None = None,
    time: datetime | None = None,
    progress: Progress = silent,
) -> ImportReport:
    """Every row as a record, with its feedback, and every projection as a Parquet object.

    environment: of rows that name none; without it they are refused. time: of rows that have
    none; by default when the file was last changed. Raises MisreadError where the file cannot
    be read as a table, and LogError where the log does not take an object.
    """
    try:
        time = time or datetime.fromtimestamp(file.stat().st_mtime, UTC)
        total = sum(1 for _ in _lines(file))
        importing = Importing(log)
        scores: dict[str, dict[str, float]] = {}
        reader = _Reader(environment, time)
        done = 0

        def moved_on(rows: int) -> None:
            nonlocal done
            done += rows
            progress("Importing rows", done, total)

        rows = _rows(file, importing)
        for row, imported in importing.send(file.name, rows, reader.read, moved_on):
            importing.report.refused_cells += _collect(
                file.name, row, imported.prediction.record_key, scores
            )
    except (OSError, csv.Error, pa.ArrowException) as error:
        raise MisreadError(f"{file} cannot be read: {error}.") from error
    for number, (name, values) in enumerate(sorted(scores.items()), start=1):
        importing.report.scores_added += _put_scores(log, name, values)
        progress("Keeping projections", number, len(scores))
    importing.report.refused.sort(key=lambda refused: refused.line)
    return importing.report


def _put_scores(log: Log, name: str, values: dict[str, float]) -> bool:
    """Kept under a name made from their content, so that importing again adds nothing."""
    content = digest(json.dumps(list(values.items())))
    return log.put(f"{folder(name, 'gantry')}{content}.parquet", scores_object(values))


def _collect(
    file: str, row: _Row, record_key: str, scores: dict[str, dict[str, float]]
) -> Iterator[Refused]:
    """Add a row's projections to the scores; yields those that are no number."""
    for name, value in row.cells.items():
        if value is None or not CALL.fullmatch(name):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            yield Refused(file, row.line, f"{name[:100]} is not a number: {str(value)[:40]}")
            continue
        if len(safe_name(name)) > MAX_NAME:
            yield Refused(file, row.line, f"the name {name[:40]}… is too long for a projection")
        elif math.isfinite(number):
            scores.setdefault(name, {}).setdefault(record_key, number)


def _rows(file: Path, importing: Importing) -> Iterator[tuple[int, _Row]]:
    seen: Counter[str] = Counter()
    for line, event in _lines(file):
        if isinstance(event, str):
            importing.refuse(Refused(file.name, line, event))
            continue
        cells = {name: _present(value) for name, value in _flat(event).items()}
        try:
            moment = _moment(cells.get("timestamp"))
        except RefusedError as error:
            importing.refuse(Refused(file.name, line, str(error)))
            continue
        content = _content(cells, moment)
        seen[content] += 1
        yield line, _Row(line, cells, moment, seen[content])


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Line (from 1) and its cells, or why there are none.

    Raises MisreadError where the file is of no kind that is read.
    """
    if file.suffix.lower() == ".parquet":
        yield from _parquet_lines(file)
    elif file.suffix.lower() == ".csv":
        yield from _csv_lines(file)
    elif file.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        yield from _json_lines(file)
    else:
        raise MisreadError(f"{file.name} must end in .csv, .jsonl, .ndjson, .json or .parquet.")


def _parquet_lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    line = 0
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(batch_size=4096):
            for event in batch.to_pylist():
                line += 1
                yield line, event


def _csv_lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """An empty cell is a missing one, but an empty output is an output."""
    csv.field_size_limit(sys.maxsize)
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
        reader = csv.reader(opened)
        header = next(reader, None)
        if header is None or len(set(header)) < len(header):
            raise MisreadError(f"{file.name} has no header, or one that names a column twice.")
        first = reader.line_num + 1
        for cells in reader:
            if len(cells) == len(header):
                yield (
                    first,
                    {
                        name: cell if cell or name == "outputs.output_text" else None
                        for name, cell in zip(header, cells, strict=True)
                    },
                )
            elif cells:
                yield first, f"{len(cells)} cells where the header has {len(header)}"
            first = reader.line_num + 1


def _json_lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """JSON lines, or one array of objects."""
    with file.open("rb") as opened:
        if opened.read(1) == b"[":
            opened.seek(0)
            try:
                events = json.load(opened)
            except (ValueError, RecursionError) as error:
                raise MisreadError(f"{file.name} is not JSON: {error}.") from error
            for line, event in enumerate(events, start=1):
                yield line, event if isinstance(event, dict) else "not a JSON object"
            return
        opened.seek(0)
        for line, text in enumerate(opened, start=1):
            if not text.strip():
                continue
            try:
                event = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield line, f"not JSON: {error}"
                continue
            yield line, event if isinstance(event, dict) else "not a JSON object"


def _flat(event: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in event.items():
        if name in GROUPS and isinstance(value, dict):
            flat.update({f"{name}.{inner}": held for inner, held in value.items()})
        else:
            flat[name] = value
    return flat


def _present(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _moment(value: Any) -> datetime | None:
    """ISO 8601, a datetime, or milliseconds since 1970 as pandas writes them; in UTC."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float):
            moment = datetime.fromtimestamp(value / 1000, UTC)
        elif isinstance(value, datetime):
            moment = value
        else:
            moment = datetime.fromisoformat(str(value).strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise RefusedError(f"“{str(value)[:40]}” is no time") from error


def _content(cells: dict[str, Any], moment: datetime | None) -> str:
    """What makes a record itself; feedback and projections may come to it later."""
    written = None if moment is None else moment.isoformat(timespec="milliseconds")
    image, text = cells.get("inputs.image"), cells.get("outputs.output_text")
    return digest(written, _text(image), _text(text), _text(_environment(cells)))


def _environment(cells: dict[str, Any]) -> Any:
    return next((cells[name] for name in ENVIRONMENTS if cells.get(name) is not None), None)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


@dataclass(frozen=True)
class _Reader:
    """Makes events of rows; safe to use from several threads."""

    environment: str | None
    time: datetime

    def read(self, row: _Row) -> Imported:
        """Raises RefusedError or ValidationError."""
        cells = row.cells
        environment = _text(_environment(cells)) or self.environment
        if environment is None:
            raise RefusedError("no environment in tags.env; name one with --environment")
        record_key = _text(cells.get("record_key"))
        if record_key is None:
            record_key = f"gantry-{digest(_content(cells, row.moment), str(row.repeat))}"
        # the file's own time is another one after each copy, so it must not name the object
        folder = None if row.moment is not None else "gantry"
        said = {name: _text(cells.get(f"feedback.{name}")) for name in SAID}
        if all(said[name] is None for name in ("flag", "ground_truth_string", "comment")):
            return Imported(self._prediction(row, record_key, environment, said), folder=folder)
        prediction = self._prediction(row, record_key, environment, {})
        content = digest(record_key, *(said[name] for name in SAID))
        feedback = Feedback(
            feedback_key=_text(cells.get("feedback.feedback_key")) or f"gantry-{content}",
            record_key=record_key,
            timestamp=_moment(cells.get("feedback.timestamp")) or prediction.timestamp,
            flag=said["flag"],
            user=said["user"],
            ground_truth_string=said["ground_truth_string"],
            comment=said["comment"],
        )
        return Imported(prediction, feedback, folder=folder)

    def _prediction(
        self, row: _Row, record_key: str, environment: str, lonely: dict[str, str | None]
    ) -> Prediction:
        """lonely: what was said of feedback that is none, such as a user without a flag."""
        cells = row.cells
        tags = {f"feedback.{name}": value for name, value in lonely.items() if value is not None}
        return Prediction(
            record_key=record_key,
            timestamp=row.moment or self.time,
            environment=environment,
            application=_text(cells.get("application")),
            version=_text(cells.get("version")),
            image=_text(cells.get("inputs.image")),
            output_text=_text(cells.get("outputs.output_text")),
            confidence=cells.get("outputs.confidence"),
            tags=_tags(cells) | tags,
        )


KNOWN = {
    "record_key",
    "timestamp",
    "application",
    "version",
    "inputs.image",
    "outputs.output_text",
    "outputs.confidence",
    "feedback.feedback_key",
    "feedback.timestamp",
    *(f"feedback.{name}" for name in SAID),
}


def _tags(cells: dict[str, Any]) -> dict[str, Any]:
    """Every other column that holds something, so that nothing is dropped."""
    environment = _environment(cells)
    return {
        name.removeprefix("tags."): value
        for name, value in cells.items()
        if value is not None
        and name not in KNOWN
        and not (name in ENVIRONMENTS and value == environment)
        and not INDEX.fullmatch(name)
        and not CALL.fullmatch(name)
    }
