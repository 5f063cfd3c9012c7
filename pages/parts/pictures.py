"""Images of records, small enough to send: fetched, checked, scaled and encoded once."""

import functools
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from data_access import OpenLog
from data_access.errors import LogError
from data_access.projections.image import UnreadableImageError, greyscale, open_image

FETCHERS = 12
SMALL = (560, 320)
LARGE = (1600, 1200)


@dataclass(frozen=True)
class Picture:
    """An encoded image, or why there is none."""

    encoded: bytes | None
    problem: str | None = None


def small(log: OpenLog, names: Sequence[str | None]) -> list[Picture]:
    """The images of a page of cards, fetched side by side."""
    with ThreadPoolExecutor(FETCHERS) as pool:
        return list(pool.map(lambda name: _small(log, name), names))


def _small(log: OpenLog, name: str | None) -> Picture:
    if name is None:
        return Picture(None, "This record has no image.")
    try:
        return Picture(_scaled(log, name, SMALL))
    except (LogError, UnreadableImageError) as error:
        return Picture(None, f"No image: {error}")


def large(log: OpenLog, name: str | None, *, inverted: bool, stretched: bool) -> Picture:
    """The image of a case, with the tools that are switched on."""
    if name is None:
        return Picture(None, "This record has no image.")
    try:
        image = Image.open(io.BytesIO(_scaled(log, name, LARGE))).convert("RGB")
    except (LogError, UnreadableImageError) as error:
        return Picture(None, f"No image: {error}")
    if stretched:
        image = ImageOps.autocontrast(image, cutoff=1)
    if inverted:
        image = ImageOps.invert(image)
    return Picture(_encoded(image))


def width(picture: Picture) -> int:
    """Pixels across; 0 of none."""
    return Image.open(io.BytesIO(picture.encoded)).width if picture.encoded else 0


def levels(log: OpenLog, name: str) -> np.ndarray | None:
    """How many pixels have each grey level, shape (256,); None where the image cannot be had."""
    try:
        image = Image.open(io.BytesIO(_scaled(log, name, LARGE)))
    except (LogError, UnreadableImageError):
        return None
    return np.bincount(greyscale(image).ravel(), minlength=256)


# not st.cache_data: it is asked from several threads, and one copy serves all sessions
@functools.lru_cache(maxsize=2_000)
def _scaled(log: OpenLog, name: str, box: tuple[int, int]) -> bytes:
    """At most `box` pixels, as PNG. Raises LogError or UnreadableImageError, which are not kept."""
    image = open_image(log.log.image(name))
    if image.mode not in ("L", "RGB"):
        transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        image = image.convert("RGB") if transparent else Image.fromarray(greyscale(image))
    image.thumbnail(box)
    return _encoded(image)


def _encoded(image: Image.Image) -> bytes:
    body = io.BytesIO()
    image.save(body, "PNG")
    return body.getvalue()
