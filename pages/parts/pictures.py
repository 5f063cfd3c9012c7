"""Images of records, small enough to send: fetched, checked, scaled and encoded once."""

import base64
import functools
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from data_access import OpenLog
from data_access.errors import LogError
from data_access.images import UnreadableImageError, displayable, greyscale, opened
from replay.interventions import NOTHING, intervention

FETCHERS = 12
SMALL = (560, 320)
CARD = (560, 240)
THUMBNAIL = (200, 56)
LARGE = (1600, 1200)
SHARP = (1000, 720)
SMALLEST = 16  # pixels on each side
STRIP = (420, 180)
TILE, TILE_GAP, TILES_ACROSS = (168, 112), 8, 3  # of a sheet, in pixels


@dataclass(frozen=True)
class Picture:
    """An encoded image, or why there is none."""

    encoded: bytes | None
    problem: str | None = None


def small(log: OpenLog, names: Sequence[str | None]) -> list[Picture]:
    """The images of a page of cards, all of one shape, fetched side by side."""
    return _each(names, lambda name: _fitted(log, name))


def thumbnails(log: OpenLog, names: Sequence[str | None]) -> list[Picture]:
    """The images of a table, fetched side by side."""
    return _each(names, lambda name: _scaled(log, name, THUMBNAIL))


def sharp(log: OpenLog, names: Sequence[str | None]) -> list[Picture]:
    """Images to be read one at a time, as WebP, fetched side by side."""
    return _each(names, lambda name: _sharp(log, name))


def webp_url(picture: Picture) -> str:
    """As `data_url`, of a WebP."""
    if picture.encoded is None:
        return ""
    return f"data:image/webp;base64,{base64.b64encode(picture.encoded).decode()}"


def data_url(picture: Picture) -> str:
    """An image as an address that holds all of it; empty where there is none."""
    if picture.encoded is None:
        return ""
    return f"data:image/png;base64,{base64.b64encode(picture.encoded).decode()}"


def _each(names: Sequence[str | None], encode: Callable[[str], bytes]) -> list[Picture]:
    def one(name: str | None) -> Picture:
        if name is None:
            return Picture(None, "This record has no image.")
        try:
            return Picture(encode(name))
        except (LogError, UnreadableImageError) as error:
            return Picture(None, f"No image: {error}")

    with ThreadPoolExecutor(FETCHERS) as pool:
        return list(pool.map(one, names))


def strip(log: OpenLog, name: str | None, intervention_name: str = NOTHING.name) -> Picture:
    """The upper left of an image as an intervention makes it, all of one size, to stand in rows."""
    if name is None:
        return Picture(None, "This record has no image.")
    picture = altered(log, name, intervention_name)
    return picture if picture.encoded is None else Picture(_cropped(picture.encoded))


@functools.lru_cache(maxsize=200)
def _cropped(encoded: bytes) -> bytes:
    image = Image.open(io.BytesIO(encoded))
    return _encoded(ImageOps.fit(image, STRIP, Image.Resampling.LANCZOS, centering=(0.0, 0.0)))


def large(log: OpenLog, name: str | None, *, inverted: bool, stretched: bool) -> Picture:
    """The image of a case, with the tools that are switched on."""
    if name is None:
        return Picture(None, "This record has no image.")
    try:
        return Picture(_worked(log, name, inverted, stretched))
    except (LogError, UnreadableImageError) as error:
        return Picture(None, f"No image: {error}")


def altered(log: OpenLog, name: str, intervention_name: str) -> Picture:
    """The image as an intervention of a replay makes it, small."""
    try:
        return Picture(_altered(log, name, intervention_name))
    except (LogError, UnreadableImageError, ValueError) as error:
        return Picture(None, f"No image: {error}")


def sheet(log: OpenLog, names: Sequence[str]) -> Picture:
    """Several images as tiles of one, in rows of three; those that cannot be had are left out."""
    scaled = _each(names, lambda name: _scaled(log, name, SMALL))
    tiles = [picture.encoded for picture in scaled if picture.encoded is not None]
    return Picture(_tiled(tuple(tiles))) if tiles else Picture(None, "These images cannot be read.")


def width(picture: Picture, height: int) -> int:
    """Pixels across of an image that is to be at most `height` high, and never enlarged."""
    if picture.encoded is None:
        return 0
    image = Image.open(io.BytesIO(picture.encoded))
    return max(1, min(image.width, round(image.width * height / image.height)))


@functools.lru_cache(maxsize=32)
def levels(log: OpenLog, name: str) -> np.ndarray | None:
    """How many pixels have each grey level, shape (256,); None where the image cannot be had."""
    try:
        with opened(log.log.image(name)) as image:
            return np.bincount(greyscale(image).ravel(), minlength=256)
    except (LogError, UnreadableImageError):
        return None


@functools.lru_cache(maxsize=100)
def _tiled(encoded: tuple[bytes, ...]) -> bytes:
    width, height = TILE
    rows = -(-len(encoded) // TILES_ACROSS)
    size = (TILES_ACROSS * (width + TILE_GAP), rows * (height + TILE_GAP))
    whole = Image.new("RGBA", (size[0] - TILE_GAP, size[1] - TILE_GAP))
    for number, body in enumerate(encoded):
        row, column = divmod(number, TILES_ACROSS)
        tile = ImageOps.fit(Image.open(io.BytesIO(body)).convert("RGB"), TILE)
        whole.paste(tile, (column * (width + TILE_GAP), row * (height + TILE_GAP)))
    return _encoded(whole)


# not st.cache_data: these are asked from several threads, and one copy serves all sessions
@functools.lru_cache(maxsize=500)
def _scaled(log: OpenLog, name: str, box: tuple[int, int]) -> bytes:
    """At most `box` pixels, as PNG. Raises LogError or UnreadableImageError, which are not kept."""
    body = log.log.image(name)
    with opened(body) as pixels:
        image = displayable(pixels)
        image.thumbnail(box)
        smallest = (max(image.width, SMALLEST), max(image.height, SMALLEST))
        if smallest != image.size:  # a line of one pixel would be scaled away altogether
            image = ImageOps.pad(image, smallest, color="white")
        return _encoded(image)


@functools.lru_cache(maxsize=200)
def _sharp(log: OpenLog, name: str) -> bytes:
    """As `_scaled`, but WebP, which takes a fifth of the bytes; raises as it does."""
    body = io.BytesIO()
    image = Image.open(io.BytesIO(_scaled(log, name, SHARP))).convert("RGB")
    image.save(body, "WEBP", quality=80, method=1)
    return body.getvalue()


@functools.lru_cache(maxsize=500)
def _fitted(log: OpenLog, name: str) -> bytes:
    """As large as a card has room for, on a transparent ground; raises as `_scaled`."""
    image = ImageOps.contain(Image.open(io.BytesIO(_scaled(log, name, SMALL))), CARD)
    ground = Image.new("RGBA", CARD)
    ground.paste(image, ((CARD[0] - image.width) // 2, (CARD[1] - image.height) // 2))
    return _encoded(ground)


@functools.lru_cache(maxsize=16)
def _worked(log: OpenLog, name: str, inverted: bool, stretched: bool) -> bytes:
    """The large image with its tools, as PNG; raises as `_scaled`."""
    body = _scaled(log, name, LARGE)
    if not inverted and not stretched:
        return body
    image = Image.open(io.BytesIO(body)).convert("RGB")
    if stretched:
        image = ImageOps.autocontrast(image, cutoff=1)
    return _encoded(ImageOps.invert(image) if inverted else image)


@functools.lru_cache(maxsize=200)
def _altered(log: OpenLog, name: str, intervention_name: str) -> bytes:
    """As `_scaled`; raises ValueError too, where it cannot be altered."""
    body = log.log.image(name)
    with opened(body) as pixels:
        image = displayable(intervention(intervention_name).apply(pixels))
        image.thumbnail(SMALL)
        return _encoded(image)


def _encoded(image: Image.Image) -> bytes:
    body = io.BytesIO()
    image.save(body, "PNG", compress_level=1)
    return body.getvalue()
