"""What Gradio does to the cells of a flag log, undone: guards, JSON, images and local times.

Source: utils.sanitize_value_for_csv and the components' `flag` in gradio 5.50 and 6.31.
"""

import json
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from data_access.importers import RefusedError
from data_access.records.times import parse_time

GUARDED_STARTS = ("=", "+", "-", "@", "\t", "\n")
GUARDED_PARTS = (",=", ",+", ",-", ",@", ",\t", ",\n")
PICTURE = re.compile(r"[/\\].+\.(png|jpe?g|webp|avif|gif|bmp|tiff?)$", re.IGNORECASE)
ONE_HOUR_EAST = timezone(timedelta(hours=1))


def local_moment(text: str, zone: tzinfo | None, before: datetime | None = None) -> datetime:
    """A time as Gradio writes it, by the app's clock, in UTC. zone: None for this machine's.

    Of the two meanings of a time in the hour that a clock repeats in autumn, the second is
    taken where the first would lie before the row above. Raises RefusedError.
    """
    try:
        wall = parse_time(text)
        if parse_time(text, ONE_HOUR_EAST) == wall:  # it names its own zone
            return wall
        naive = wall.replace(tzinfo=None)
        moment = _to_utc(naive, zone)
        if before is not None and moment < before:
            later = _to_utc(naive.replace(fold=1), zone)
            moment = later if later >= before else moment
    except (ValueError, OverflowError) as error:
        raise RefusedError(f"the last cell: {error}") from error
    return moment


def _to_utc(naive: datetime, zone: tzinfo | None) -> datetime:
    return (naive if zone is None else naive.replace(tzinfo=zone)).astimezone(UTC)


def undo_guard(cell: str) -> str:
    """The text before Gradio put a ' in front of what a spreadsheet would run."""
    text = cell[1:]
    if cell.startswith("'") and (
        text.startswith(GUARDED_STARTS) or any(part in text for part in GUARDED_PARTS)
    ):
        return text
    return cell


def undo_json(text: str) -> str:
    """Text that looks like JSON, with its letters back; Gradio writes é as \\u00e9.

    White space and number formats of the original are not in the file.
    """
    if not text.startswith(("{", "[")):
        return text
    try:
        content = json.loads(text)
        if json.dumps(content) != text:
            return text
        restored = json.dumps(content, ensure_ascii=False)
        restored.encode()
    except (ValueError, RecursionError):
        return text
    return restored


def image_name(cell: str) -> str | None:
    """The path in an image cell: plain, or inside the JSON that some components write.

    Of a drawing it is the composite, of several files or a gallery the first.
    """
    cell = undo_guard(cell)
    if cell.startswith(("{", "[")):
        try:
            return _first_path(json.loads(cell))
        except (ValueError, RecursionError):
            return None
    return cell if PICTURE.search(cell) and "\n" not in cell else None


def _first_path(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next((path for path in map(_first_path, value) if path), None)
    if isinstance(value, dict):
        parts = (value.get(name) for name in ("path", "composite", "background", "image"))
        return next((path for path in map(_first_path, parts) if path), None)
    return None
