"""Selections and the quarantine as files that are safe to open in a spreadsheet."""

import contextlib
import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_access.errors import MisreadError
from data_access.queries import quarantine_batches, record_batches
from data_access.selection import Selection
from data_access.warehouse import Warehouse

CSV_ENCODING = "utf-8-sig"  # without the mark in front, Excel takes UTF-8 for a code page
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def export(
    warehouse: Warehouse,
    selection: Selection,
    path: Path,
    progress: Callable[[int], None] = lambda rows: None,
) -> int:
    """Write the selected records to `.csv` or `.parquet` by the path's suffix; returns how many.

    progress(rows) is called after each batch. The file appears whole or not at all. Raises
    MisreadError for another suffix or a place that cannot be written.
    """
    return export_batches(record_batches(warehouse, selection), path, progress)


def export_batches(
    batches: pa.RecordBatchReader, path: Path, progress: Callable[[int], None] = lambda rows: None
) -> int:
    """The same of any rows."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise MisreadError(f"{path.name} must end in .csv or .parquet.")
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        if path.suffix.lower() == ".csv":
            with unfinished.open("w", encoding=CSV_ENCODING, newline="") as file:
                count = _write_csv(batches, file, progress)
        else:
            count = _write_parquet(batches, unfinished, progress)
        unfinished.replace(path)
    except OSError as error:
        raise MisreadError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
    return count


def safe_csv(frame: pd.DataFrame) -> bytes:
    """A frame as CSV that a spreadsheet opens right: UTF-8 with a byte order mark, and no text is
    taken for a formula (a leading ' is put before it)."""
    text = _defused(frame).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    return text.encode(CSV_ENCODING)


def quarantine_csv(warehouse: Warehouse) -> bytes:
    """The whole quarantine as `safe_csv` writes it, read in batches."""
    body = io.BytesIO()
    with io.TextIOWrapper(body, encoding=CSV_ENCODING, newline="") as file:
        _write_csv(quarantine_batches(warehouse), file, lambda rows: None)
        file.flush()
        return body.getvalue()


def _write_csv(batches: pa.RecordBatchReader, file: TextIO, progress: Callable[[int], None]) -> int:
    count = 0
    _defused(batches.schema.empty_table().to_pandas()).to_csv(
        file, index=False, quoting=csv.QUOTE_NONNUMERIC
    )
    for batch in batches:
        _defused(batch.to_pandas()).to_csv(
            file, index=False, header=False, quoting=csv.QUOTE_NONNUMERIC
        )
        count += batch.num_rows
        progress(batch.num_rows)
    return count


def _write_parquet(
    batches: pa.RecordBatchReader, path: Path, progress: Callable[[int], None]
) -> int:
    count = 0
    with pq.ParquetWriter(path, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            count += batch.num_rows
            progress(batch.num_rows)
    return count


def _defused(frame: pd.DataFrame) -> pd.DataFrame:
    columns = {
        name: column.map(_cell) if column.dtype == object or column.dtype == "str" else column
        for name, column in frame.items()
    }
    return pd.DataFrame(columns).rename(columns=_cell)


def _cell(value: object) -> object:
    if isinstance(value, str):
        legible = value.replace("\0", "")
        return f"'{legible}" if legible.startswith(FORMULA_STARTS) else legible
    if isinstance(value, np.ndarray):  # the list of a record's flags
        return _cell(", ".join(map(str, value)))
    return value
