"""Events, pictures and logs for tests, as a serving fleet would write them."""

import hashlib
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import obstore
from PIL import Image

from data_access.api import OpenLog
from data_access.log import Log
from data_access.projections import ProjectionTable, load_projections
from data_access.settings import Settings
from data_access.warehouse import Warehouse

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample" / "log"
# what the sample log holds
RECORDS, SERVED, FLAGGED, IMAGES, OBJECTS = 750, 570, 200, 735, 1_056
NOON = "2026-07-06T12:00:00Z"
SOAK = os.environ.get("MISREAD_SOAK") == "1"

Event = dict[str, Any]


def rounds(few: int, many: int) -> int:
    """How often to repeat what is decided by chance: `many` times in `make soak`."""
    return many if SOAK else few


def prediction(record_key: str, text: str | None = "a line of text", **more: Any) -> Event:
    """A prediction with dotted names; more: other names, `inputs__image` for `inputs.image`."""
    event: Event = {
        "record_key": record_key,
        "timestamp": NOON,
        "environment": "prod",
        "outputs.output_text": text,
    }
    return event | {name.replace("__", "."): value for name, value in more.items()}


def feedback(record_key: str, flag: str | None = "incorrect", **more: Any) -> Event:
    event: Event = {"record_key": record_key, "timestamp": "2026-07-07T12:00:00Z", "flag": flag}
    return event | more


def picture(ground: int = 230, ink: int = 20, size: tuple[int, int] = (24, 16)) -> bytes:
    """A greyscale PNG with a bar of ink on its ground."""
    image = Image.new("L", size, ground)
    image.paste(ink, (2, 4, size[0] - 2, 8))
    return png(image)


def png(image: Image.Image, **options: Any) -> bytes:
    """options: those of Pillow's encoder."""
    body = io.BytesIO()
    image.save(body, "PNG", **options)
    return body.getvalue()


def lines(events: Iterable[Event]) -> bytes:
    return "\n".join(json.dumps(event) for event in events).encode()


def write(log: Log, key: str, *events: Event) -> str:
    """Add an object of JSON lines."""
    assert log.put(key, lines(events))
    return key


def write_picture(log: Log, body: bytes) -> str:
    """Add an image under the SHA-256 of its bytes; its key."""
    name = hashlib.sha256(body).hexdigest()
    key = f"images/{name[:2]}/{name}.png"
    log.put(key, body)
    return key


# Writers of a log only ever add to it. These two are what people do to a bucket by hand.
def replace_object(log: Log, key: str, body: bytes) -> None:
    obstore.put(log._store, key, body)


def remove_object(log: Log, key: str) -> None:
    obstore.delete(log._store, key)


def open_log(log: str | Path, warehouse: Path) -> OpenLog:
    """A log and its warehouse, without regard to the environment's MISREAD_LOG."""
    settings = Settings.from_environment(
        {"MISREAD_LOG": str(log), "MISREAD_WAREHOUSE": str(warehouse)}
    )
    projections = load_projections(settings.projections, settings.alphabet)
    opened = Warehouse.open(settings.warehouse, settings.log, projections)
    return OpenLog(settings, Log.open(settings.log), opened)


def all_records(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """All that readers can see of the records, in an order of its own."""
    return warehouse.rows("select * from records order by record_key")


def table_of(*rows: Any) -> ProjectionTable:
    """The built-in projections and some more."""
    return ProjectionTable((*load_projections().rows, *rows))
