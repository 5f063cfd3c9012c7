"""The sample log as a demo has it: with its days moved, so that it ends when it is put there."""

import gzip
import io
import re
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LOG = Path(__file__).parent / "log"
EVENTS = ("predictions/", "feedback/", "annotations/")
DAY_OF_KEY = re.compile(r"(?<=/date=)\d{4}-\d\d-\d\d")
# in the text, so that a line that breaks off still does
DAY_OF_EVENT = re.compile(rb'(?<="timestamp": ")\d{4}-\d\d-\d\d')


def files() -> dict[str, Path]:
    """The objects of the sample log by their keys."""
    return {
        path.relative_to(LOG).as_posix(): path for path in sorted(LOG.rglob("*")) if path.is_file()
    }


def days_until(last: date) -> int:
    """By how many days the sample has to be moved to end on this day."""
    newest = max(day.group() for key in files() if (day := DAY_OF_KEY.search(key)))
    return (last - date.fromisoformat(newest)).days


def moved_key(key: str, days: int) -> str:
    return DAY_OF_KEY.sub(lambda day: _later(day.group(), days), key)


def moved_body(key: str, body: bytes, days: int) -> bytes:
    """An object's bytes with each event so many days later, at the same time of day."""
    if not days or not key.startswith(EVENTS):
        return body
    if key.endswith(".parquet"):
        return _moved_parquet(body, days)
    if key.endswith(".gz"):
        return gzip.compress(_moved_lines(gzip.decompress(body), days), mtime=0)
    return _moved_lines(body, days)


def _moved_lines(body: bytes, days: int) -> bytes:
    return DAY_OF_EVENT.sub(lambda day: _later(day.group().decode(), days).encode(), body)


def _moved_parquet(body: bytes, days: int) -> bytes:
    table = pq.read_table(io.BytesIO(body))
    place = table.schema.get_field_index("timestamp")
    later = pc.add(table["timestamp"], pa.scalar(timedelta(days), pa.duration("us")))
    stream = io.BytesIO()
    pq.write_table(table.set_column(place, table.schema.field(place), later), stream)
    return stream.getvalue()


def _later(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days)).isoformat()
