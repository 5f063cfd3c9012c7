"""Readings kept in the log: `replays/RECOGNIZER/….parquet`, one row for each altered image.

RECOGNIZER names the model and its version; a row names the image (by the SHA-256 of its bytes) and
the intervention. Objects are only ever added, and each reader fetches each once.
"""

import hashlib
import io
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from data_access.log import Log
from data_access.log.additions import Additions
from data_access.records import MAX_OBJECT_BYTES
from data_access.records.decoding import open_parquet
from readings.answers import Reading

PREFIX = "replays/"
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
    """All readings of a log, by recognizer, kept in memory. Threads may share it."""

    def __init__(self, log: Log) -> None:
        self._kept = Additions[Altered, Reading](log, read_readings, "readings", MAX_OBJECT_BYTES)

    @property
    def version(self) -> int:
        """Grows whenever there are more."""
        return self._kept.version

    @property
    def problems(self) -> dict[str, str]:
        """By key, why an object could not be read."""
        return self._kept.problems

    def of(self, recognizer: str) -> dict[Altered, Reading]:
        """The readings known so far; not to be changed."""
        return self._kept.below(folder(recognizer))

    def refresh(self, recognizers: Collection[str]) -> None:
        """Read the objects that are new. Raises LogError where the log cannot be listed."""
        self._kept.refresh([folder(recognizer) for recognizer in recognizers])


def missing(
    readings: dict[Altered, Reading], images: Sequence[str], interventions: Sequence[str]
) -> dict[str, list[str]]:
    """By image, the interventions without a reading; complete images are left out."""
    lacking = {
        image: [key for key in interventions if (image, key) not in readings] for image in images
    }
    return {image: keys for image, keys in lacking.items() if keys}
