"""A table in a file as rows of cells by column: CSV, Parquet, JSON lines, or JSON as pandas has it.

What the columns mean is left to the importers.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_access.errors import MisreadError
from data_access.importers.dialect import find_dialect, read_csv
from data_access.records import GROUPS, NO_OBJECT

CSV_ENDINGS = (".csv", ".tsv")
JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
BATCH_ROWS = 4096

Row = tuple[int, dict[str, Any] | str]  # line (from 1), and its cells or why there are none


@dataclass(frozen=True)
class Table:
    """A file and how to read it.

    is_header(names): whether at least one of the names is a column that the importer knows.
    """

    file: Path
    is_header: Callable[[list[str]], bool]
    encoding: str | None = None
    delimiter: str | None = None

    def rows(self) -> Iterator[Row]:
        """Raises MisreadError where this is not a table, OSError, csv.Error, UnicodeError and
        ArrowException."""
        ending = self.file.suffix.lower()
        if ending == ".parquet":
            return _parquet_rows(self.file)
        if ending in CSV_ENDINGS:
            return self._csv_rows()
        if ending in JSON_ENDINGS:
            return self._json_rows()
        raise MisreadError(
            f"{self.file.name} must end in .csv, .tsv, .jsonl, .ndjson, .json or .parquet."
        )

    def _csv_rows(self) -> Iterator[Row]:
        dialect = find_dialect(self.file, self.is_header, self.encoding, self.delimiter)
        if dialect is None:
            raise MisreadError(
                f"{self.file.name} has no header with a known column, such as "
                "outputs.output_text; --delimiter and --encoding say how to read it."
            )
        rows = read_csv(self.file, dialect)
        _, _, header = next(rows)
        if len(set(header)) < len(header):
            raise MisreadError(f"{self.file.name} names a column twice in its header.")
        for line, _, cells in rows:
            if len(cells) != len(header):
                if cells:
                    yield line, f"{len(cells)} cells where the header has {len(header)}"
            elif not _is_text(cells):
                yield line, dialect.not_text
            else:
                yield line, dict(zip(header, cells, strict=True))

    def _json_rows(self) -> Iterator[Row]:
        """JSON lines, or one document in any of pandas' orients that name the columns."""
        with self.file.open("rb") as opened:
            lines = ((line, text) for line, text in enumerate(opened, start=1) if text.strip())
            first, second = next(lines, None), next(lines, None)
        if first is None:
            return
        if second is not None and isinstance(_parsed(first[1]), dict):
            yield from self._json_lines()
            return
        document = _parsed(self.file.read_bytes())
        if not isinstance(document, ValueError):
            yield from self._document_rows(document)
        elif first[1].lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
            raise MisreadError(f"{self.file.name} is not JSON: {document}.")
        else:
            yield from self._json_lines()

    def _json_lines(self) -> Iterator[Row]:
        with self.file.open("rb") as opened:
            for line, text in enumerate(opened, start=1):
                if text.strip():
                    event = _parsed(text)
                    yield (
                        line,
                        f"not JSON: {event}"
                        if isinstance(event, ValueError)
                        else (event if isinstance(event, dict) else NO_OBJECT),
                    )

    def _document_rows(self, document: Any) -> Iterator[Row]:
        if isinstance(document, dict) and isinstance(document.get("data"), list):
            names = document.get("columns")
            if isinstance(names, list):  # orient="split"
                for line, cells in enumerate(document["data"], start=1):
                    if isinstance(cells, list) and len(cells) == len(names):
                        yield line, dict(zip(map(str, names), cells, strict=True))
                    else:
                        yield line, f"not a list of {len(names)} cells"
                return
            if "schema" in document:  # orient="table"
                document = document["data"]
        if isinstance(document, dict) and self._is_frame(document):
            if not self.is_header(list(document)):  # orient="index"
                yield from enumerate(document.values(), start=1)
                return
            labels = dict.fromkeys(label for cells in document.values() for label in cells)
            for line, label in enumerate(labels, start=1):  # orient="columns"
                yield line, {name: cells.get(label) for name, cells in document.items()}
            return
        events = document if isinstance(document, list) else [document]
        if events and not any(isinstance(event, dict) for event in events):
            raise MisreadError(f"{self.file.name} names no columns. Nothing was imported.")
        for line, event in enumerate(events, start=1):
            yield line, event if isinstance(event, dict) else NO_OBJECT

    def _is_frame(self, document: dict[str, Any]) -> bool:
        """Whether this is a frame by columns or by rows, rather than one record in groups."""
        groups = any(name.lower() in GROUPS for name in document)
        return not groups and all(isinstance(cells, dict) for cells in document.values())


def _parquet_rows(file: Path) -> Iterator[Row]:
    line = 0
    with pq.ParquetFile(file) as opened:
        for batch in opened.iter_batches(batch_size=BATCH_ROWS):
            for event in batch.to_pylist(maps_as_pydicts="lossy"):
                line += 1
                yield line, event


def _parsed(text: bytes) -> Any:
    """What the JSON says, or the ValueError that tells why it says nothing."""
    try:
        return json.loads(text)
    except ValueError as error:
        return error
    except RecursionError:
        return ValueError("it is nested too deeply")


def _is_text(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True
