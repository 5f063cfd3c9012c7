"""Reads a data frame as Gantry exported it: CSV, JSON or Parquet, one row a record.

Columns have dotted names (`inputs.image`, `feedback.flag`, `tags.env`); projections are named
as calls, such as `detoxify.obscene(outputs.output_text)`, and are kept as scores of that source.
How a file becomes rows is left to `tables`.
"""

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_access.errors import MisreadError
from data_access.importers import (
    Imported,
    Importer,
    ImportReport,
    Refused,
    RefusedError,
    digest,
)
from data_access.importers.tables import Row, Table
from data_access.log import Log
from data_access.progress import Progress, silent
from data_access.projections.values import RECORDS, TEXTS, put_values, values_schema
from data_access.records import (
    FEEDBACK_FIELDS,
    GROUPS,
    PREDICTION_FIELDS,
    Feedback,
    Prediction,
)
from data_access.records.times import parse_time

CALL = re.compile(r"[^()\s]+\(.*\)", re.DOTALL)
INDEX = re.compile(r"|Unnamed: 0|index|__index_level_0__")  # what pandas calls a row's number
WHOLE_LINE = re.compile(r"[,;|\t]")  # of several names, which another delimiter would part
ENVIRONMENTS = ("environment", "tags.environment", "tags.env")
KNOWN = {
    *(PREDICTION_FIELDS - {"environment"}),
    "feedback.feedback_key",
    "feedback.timestamp",
    *(f"feedback.{name}" for name in FEEDBACK_FIELDS),
}
SCALARS = {*KNOWN, *ENVIRONMENTS}
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
    encoding: str | None = None,
    delimiter: str | None = None,
) -> ImportReport:
    """Every row as a record, with its feedback, and its projections as one Parquet object.

    environment: of rows that name none; without it they are refused. time: of rows that have
    none; by default when the file was last changed. encoding, delimiter: of a CSV file, where
    they cannot be found. Raises MisreadError, before anything is written, where the file is not
    a table of records, and LogError where the log does not take an object.
    """
    table = Table(file, has_known_column, encoding, delimiter)
    scores: dict[str, dict[str, float]] = {}
    importer = Importer(log)
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress("Importing rows", done, total)

    try:
        time = time or datetime.fromtimestamp(file.stat().st_mtime, UTC)
        total = _check(file.name, table.rows())
        reader = _Reader(environment, time)
        rows = _rows(file.name, table.rows(), importer)
        for row, imported in importer.send(file.name, rows, reader.read, advance):
            importer.report.refused_cells += _collect(
                file.name, row, imported.prediction.record_key, scores
            )
    except (OSError, csv.Error, UnicodeError, pa.ArrowException) as error:
        raise MisreadError(f"{file} cannot be read: {error}.") from error
    if scores and _put_values(log, scores):
        importer.report.scores_added = len(scores)
    importer.report.refused.sort(key=lambda refused: refused.line)
    return importer.report


def has_known_column(names: list[str]) -> bool:
    """Whether a table with these columns can be one of records."""
    return any(
        name == "record_key" or (name.partition(".")[0] in GROUPS and not WHOLE_LINE.search(name))
        for name in canonical_names(tuple(names))
    )


@lru_cache(maxsize=64)
def canonical_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Columns by the names that records have, where a warehouse wrote them in upper case.

    Names of tags keep their letters, unless all the names are in upper case.
    """
    upper = not any(character.islower() for name in names for character in name)
    canonical = []
    for name in names:
        group, dot, rest = name.strip().partition(".")
        lower = name.strip().lower()
        if upper or lower in SCALARS:
            known = lower
        else:
            known = f"{group.lower()}{dot}{rest}" if group.lower() in GROUPS else name
        canonical.append(name if known in names or known in canonical else known)
    return tuple(canonical)


def _check(file: str, rows: Iterator[Row]) -> int:
    """The number of rows. Raises MisreadError where they are not a table of records: the log
    only adds, so what was written by mistake would stay."""
    count, known = 0, False
    names: dict[str, None] = {}
    for line, event in rows:
        count += 1
        if isinstance(event, str):
            continue
        cells = _flat(event)
        if not known:
            known = has_known_column(list(cells))
            names |= dict.fromkeys(cells)
        for name, value in cells.items():
            if name in SCALARS and isinstance(value, dict | list):
                kind = "an object" if isinstance(value, dict) else "a list"
                raise MisreadError(
                    f"{file}, line {line}: {name} holds {kind}, not a single value. Nothing was "
                    "imported."
                )
    if names and not known:
        columns = ", ".join(list(names)[:10])[:200]
        raise MisreadError(
            f"{file} has no known column, such as outputs.output_text; its columns are "
            f"{columns}. Nothing was imported."
        )
    return count


def _put_values(log: Log, scores: Mapping[str, Mapping[str, float]]) -> bool:
    """Add values by projection and record to the log; whether they were new there."""
    names = sorted(scores)
    record_keys = list(dict.fromkeys(key for name in names for key in scores[name]))
    columns = {name: [scores[name].get(key) for key in record_keys] for name in names}
    nothing = {"input": [None] * len(record_keys)}
    table = pa.table({"record_key": record_keys} | nothing | columns, values_schema(TEXTS, names))
    return put_values(log, RECORDS, "gantry", table)


def _collect(
    file: str, row: _Row, record_key: str, scores: dict[str, dict[str, float]]
) -> Iterator[Refused]:
    """Add a row's projections to the scores; yields those that are not numbers."""
    for name, value in row.cells.items():
        if value is None or not CALL.fullmatch(name):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            yield Refused(file, row.line, f"{name[:100]} is not a number: {str(value)[:40]}")
            continue
        if len(name) > MAX_NAME:
            yield Refused(file, row.line, f"the name {name[:40]}… is too long for a projection")
        elif math.isfinite(number):
            scores.setdefault(name, {}).setdefault(record_key, number)


def _rows(file: str, rows: Iterator[Row], importer: Importer) -> Iterator[tuple[int, _Row]]:
    repeats: Counter[str] = Counter()
    for line, event in rows:
        if isinstance(event, str):
            importer.refuse(Refused(file, line, event))
            continue
        cells = _flat(event)
        try:
            moment = _moment("timestamp", cells)
            content = _content(cells, moment)
        except RefusedError as error:
            importer.refuse(Refused(file, line, str(error)))
            continue
        repeats[content] += 1
        yield line, _Row(line, cells, moment, repeats[content])


def _flat(event: dict[str, Any]) -> dict[str, Any]:
    """Cells by the names that records have; None for what is missing."""
    flat: dict[str, Any] = {}
    for name, value in event.items():
        if name.lower() in GROUPS and isinstance(value, dict):
            flat.update({f"{name}.{inner}": cell for inner, cell in value.items()})
        else:
            flat[name] = value
    cells = dict(zip(canonical_names(tuple(flat)), flat.values(), strict=True))
    return {name: None if _is_missing(name, value) else value for name, value in cells.items()}


def _is_missing(name: str, value: Any) -> bool:
    """An empty cell is missing, but an empty output is an output."""
    if isinstance(value, float):
        return math.isnan(value)
    return value == "" and name != "outputs.output_text"


def _moment(name: str, cells: dict[str, Any]) -> datetime | None:
    """Raises RefusedError."""
    value = cells.get(name)
    try:
        return None if value is None else parse_time(value)
    except ValueError as error:
        raise RefusedError(f"{name}: {error}") from error


def _content(cells: dict[str, Any], moment: datetime | None) -> str:
    """What makes a record itself; feedback and projections may come to it later."""
    written = None if moment is None else moment.isoformat(timespec="milliseconds")
    image, text = cells.get("inputs.image"), cells.get("outputs.output_text")
    return digest(written, _text(image), _text(text), _text(_environment(cells)))


def _environment(cells: dict[str, Any]) -> Any:
    return next((cells[name] for name in ENVIRONMENTS if cells.get(name) is not None), None)


def _text(value: Any) -> str | None:
    """Raises RefusedError for bytes that are not UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise RefusedError("a cell holds bytes that are not UTF-8 text") from error
    if isinstance(value, bool):
        return json.dumps(value)
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
        judgement = {name: _text(cells.get(f"feedback.{name}")) for name in FEEDBACK_FIELDS}
        if all(judgement[name] is None for name in ("flag", "ground_truth_string", "comment")):
            prediction = self._prediction(row, record_key, environment, judgement)
            return Imported(prediction, folder=folder)
        prediction = self._prediction(row, record_key, environment, {})
        content = digest(record_key, *(judgement[name] for name in FEEDBACK_FIELDS))
        feedback = Feedback(
            feedback_key=_text(cells.get("feedback.feedback_key")) or f"gantry-{content}",
            record_key=record_key,
            timestamp=_moment("feedback.timestamp", cells) or prediction.timestamp,
            **judgement,
        )
        return Imported(prediction, feedback, folder=folder)

    def _prediction(
        self, row: _Row, record_key: str, environment: str, incomplete: dict[str, str | None]
    ) -> Prediction:
        """incomplete: cells of feedback without a judgement, such as a user alone; kept as tags."""
        cells = row.cells
        tags = {f"feedback.{name}": cell for name, cell in incomplete.items() if cell is not None}
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


def _tags(cells: dict[str, Any]) -> dict[str, Any]:
    """Every other column that holds a value, so that nothing is dropped."""
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
