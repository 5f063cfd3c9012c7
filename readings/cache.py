"""Readings kept in the log: `replays/RECOGNIZER/….parquet`, one row for each altered image.

RECOGNIZER names the model and its version; a row names the image (by the SHA-256 of its bytes) and
the intervention. Objects are only ever added, and each reader fetches each once.
"""

import hashlib
import io
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from data_access.errors import LogError
from data_access.log import Log
from data_access.records import MAX_OBJECT_BYTES
from data_access.records.decoding import open_parquet
from readings.answers import Reading

PREFIX = "replays/"
FETCHERS = 16
SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("intervention", pa.string()),
        ("output_text", pa.string()),
        ("confidence", pa.float64()),
    ]
)


Altered = tuple[str, str]
"""An image by its SHA-256, and an intervention's key."""


def folder(recognizer: str) -> str:
    """Where a recognizer's readings are: a prefix that ends in a slash."""
    return f"{PREFIX}{recognizer}/"


def put_readings(log: Log, recognizer: str, readings: dict[Altered, Reading]) -> bool:
    """Add an object named by its content, so that two who read the same write the same object.

    Returns whether it was new. Raises LogError where the log cannot be written.
    """
    rows = sorted(
        (*altered, reading.text, reading.confidence) for altered, reading in readings.items()
    )
    columns = zip(*rows, strict=True)
    table = pa.table(dict(zip(SCHEMA.names, map(list, columns), strict=True)), SCHEMA)
    body = io.BytesIO()
    pq.write_table(table, body)
    name = hashlib.sha256(repr(rows).encode(errors="replace")).hexdigest()[:26]
    return log.put(f"{folder(recognizer)}{name}.parquet", body.getvalue())


def read_readings(body: bytes) -> dict[Altered, Reading]:
    """Raises ValueError, or what pyarrow raises, for an object that is not one of readings."""
    table = open_parquet(body).read(columns=SCHEMA.names).select(SCHEMA.names).cast(SCHEMA)
    return {
        (image, intervention): Reading(text, confidence)
        for image, intervention, text, confidence in zip(
            *(column.to_pylist() for column in table.columns), strict=True
        )
        if None not in (image, intervention, text)
    }


class Readings:
    """All readings of a log, by recognizer, kept in memory. Threads may share it.

    version: grows whenever there are more. problems: by key, why an object could not be read.
    """

    def __init__(self, log: Log) -> None:
        self.version = 0
        self.problems: dict[str, str] = {}
        self._log = log
        self._seen: set[str] = set()
        self._readings: dict[str, dict[Altered, Reading]] = {}
        self._looking = threading.Lock()

    def of(self, recognizer: str) -> dict[Altered, Reading]:
        """The readings known so far; not to be changed."""
        return self._readings.get(recognizer, {})

    def refresh(self, recognizers: Collection[str]) -> None:
        """Read the objects that are new. Raises LogError where the log cannot be listed."""
        with self._looking, ThreadPoolExecutor(FETCHERS) as pool:
            for recognizer in recognizers:
                new = [
                    listed.key
                    for listed in self._log.list(folder(recognizer))
                    if listed.key not in self._seen and listed.size <= MAX_OBJECT_BYTES
                ]
                read = list(pool.map(self._read, sorted(new)))
                if any(read):
                    merged = dict(self.of(recognizer))
                    for readings in read:
                        merged = {**readings, **merged}  # of two readings the first one stays
                    self._readings[recognizer] = merged
                    self.version += 1

    def _read(self, key: str) -> dict[Altered, Reading]:
        try:
            readings = read_readings(self._log.get(key))
        except LogError:
            return {}  # tried again the next time
        except Exception as error:  # pyarrow raises many kinds on hostile bytes
            self.problems[key] = f"{key} is not a file of readings: {str(error)[:200]}"
            readings = {}
        self._seen.add(key)
        return readings


def missing(
    readings: dict[Altered, Reading], images: Sequence[str], interventions: Sequence[str]
) -> dict[str, list[str]]:
    """By image, the interventions without a reading; complete images are left out."""
    lacking = {
        image: [key for key in interventions if (image, key) not in readings] for image in images
    }
    return {image: keys for image, keys in lacking.items() if keys}
