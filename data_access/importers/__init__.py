"""Importers turn what people already have into events of the log. One module a source.

Keys are made from content and the log only adds what was not there, so importing twice adds
nothing and an import can be stopped at any moment and run again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from pydantic import ValidationError

from data_access.errors import LogError
from data_access.log import Log
from data_access.records import Feedback, Prediction
from data_access.writer import image_key, object_key, to_json

SENDERS = 16  # past this obstore gains nothing on two cores
ROWS_AT_ONCE = 256

Row = TypeVar("Row")
Object = tuple[str, bytes]  # key and body


class RefusedError(ValueError):
    """A row is not a record; the message says why."""


@dataclass(frozen=True)
class Refused:
    """A row that was not imported: its file, its line (from 1; 0 for the whole file), and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{where}: {self.reason}"


@dataclass
class ImportReport:
    """What one import did; rows = records + rows that were refused.

    records: rows that are in the log now. …_added: objects that were not in the log before.
    refused_cells: scores that are not numbers, of rows that were imported.
    """

    rows: int = 0
    records: int = 0
    predictions_added: int = 0
    feedback_added: int = 0
    images_added: int = 0
    scores_added: int = 0
    refused: list[Refused] = field(default_factory=list)
    refused_cells: list[Refused] = field(default_factory=list)

    @property
    def added(self) -> int:
        return self.predictions_added + self.feedback_added + self.images_added + self.scores_added


@dataclass(frozen=True)
class Imported:
    """The events of one row. The image goes into the log before the record that names it.

    folder: instead of `date=…`, where the time is not the row's own.
    """

    prediction: Prediction
    feedback: Feedback | None = None
    image: bytes | None = None
    folder: str | None = None


def digest(*parts: str | None) -> str:
    """32 hexadecimal digits that stand for these parts in this order."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


class Importer:
    """Sends rows to a log, many at once, and counts what became of them."""

    def __init__(self, log: Log) -> None:
        self.report = ImportReport()
        self._log = log
        self._sent_images: set[str] = set()

    def send(
        self,
        file: str,
        rows: Iterable[tuple[int, Row]],
        read: Callable[[Row], Imported],
        progress: Callable[[int], None],
    ) -> Iterator[tuple[Row, Imported]]:
        """Yields the rows that are in the log now, in their order.

        read: makes events of a row, or raises RefusedError or ValidationError; it runs in
        several threads. progress(n): called with the number of rows done since the last call.
        Raises LogError where the log does not take an object; what was sent stays.
        """

        def put(line_and_row: tuple[int, Row]) -> tuple[Imported, tuple[int, int, int]] | Refused:
            line, row = line_and_row
            try:
                imported = read(row)
                objects = _objects(imported)
            except ValidationError as error:
                return Refused(file, line, _first_reason(error))
            except (RefusedError, LogError) as error:
                return Refused(file, line, str(error))
            return imported, self._put(imported.image, *objects)

        waiting = iter(rows)
        with ThreadPoolExecutor(SENDERS) as pool:
            while batch := list(islice(waiting, ROWS_AT_ONCE)):
                for (_, row), result in zip(batch, pool.map(put, batch), strict=True):
                    if isinstance(result, Refused):
                        self.refuse(result)
                    else:
                        imported, added = result
                        self.report.rows += 1
                        self.report.records += 1
                        self.report.predictions_added += added[0]
                        self.report.feedback_added += added[1]
                        self.report.images_added += added[2]
                        yield row, imported
                progress(len(batch))

    def refuse(self, refused: Refused) -> None:
        self.report.rows += 1
        self.report.refused.append(refused)

    def _put(
        self, image: bytes | None, prediction: Object, feedback: Object | None
    ) -> tuple[int, int, int]:
        """How many predictions, feedback and images were not in the log before: 0 or 1 each."""
        images = feedbacks = False
        if image is not None and (key := image_key(image)) not in self._sent_images:
            images = self._log.put(key, image)
            self._sent_images.add(key)
        predictions = self._log.put(*prediction)
        if feedback is not None:
            feedbacks = self._log.put(*feedback)
        return predictions, feedbacks, images


def _objects(imported: Imported) -> tuple[Object, Object | None]:
    """Keys and bodies of the prediction and the feedback. Raises LogError for invalid ones."""
    prediction, feedback, folder = imported.prediction, imported.feedback, imported.folder
    record = (object_key(prediction, folder), to_json(prediction))
    if feedback is None:
        return record, None
    return record, (object_key(feedback, folder), to_json(feedback))


_COLUMNS = {name: row.alias for name, row in Prediction.model_fields.items() if row.alias}


def _first_reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(_COLUMNS.get(str(part), str(part)) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
