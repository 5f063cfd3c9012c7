"""Images that look alike, by perceptual hashes of those whose values are nearest."""

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from data_access import queries
from data_access.api import OpenLog
from data_access.errors import LogError
from data_access.images import UnreadableImageError, greyscale, opened
from data_access.records import Record

HASHED = 40  # images that are compared with one
FETCHERS = 4
SIDE, KEPT = 32, 8  # pixels of the copy that is hashed, and of its lowest frequencies
BITS = KEPT * KEPT
ALIKE = 6  # bits that may differ: copies differ in 2, other images of writing in 16 and more


@dataclass(frozen=True)
class SimilarImages:
    """Records of other images that look like a record's, the most alike first.

    bits: of the 64 of each hash, how many differ. inverted: whether it looks like the inverse.
    searched: how many other images were compared, of the `images` of the log.
    """

    records: tuple[Record, ...]
    bits: tuple[int, ...]
    inverted: tuple[bool, ...]
    searched: int
    images: int


def similar_images(log: OpenLog, record: Record, count: int) -> SimilarImages:
    """The images whose hashes differ by at most ALIKE bits from a record's or from its inverse's,
    among the HASHED that are nearest by their values; none where its own cannot be read."""
    likely = queries.likely_images(log.warehouse, record, HASHED)
    own = _hash_of(log, record.image)
    if own is None:
        return SimilarImages((), (), (), 0, likely.images)
    with ThreadPoolExecutor(FETCHERS) as pool:
        hashes = list(pool.map(lambda name: _hash_of(log, name), likely.rows["image"]))
    compared = []
    for key, image_hash in zip(likely.rows["record_key"], hashes, strict=True):
        if image_hash is not None:
            bits = (own ^ image_hash).bit_count()
            compared.append((min(bits, BITS - bits), bits > BITS // 2, str(key)))
    alike = sorted(row for row in compared if row[0] <= ALIKE)[:count]
    return SimilarImages(
        records=queries.records_in_order(log.warehouse, [key for *_, key in alike]),
        bits=tuple(bits for bits, *_ in alike),
        inverted=tuple(is_inverse for _, is_inverse, _ in alike),
        searched=len(compared),
        images=likely.images,
    )


def perceptual_hash(levels: np.ndarray) -> int:
    """64 bits of grey levels (height, width): which of the lowest frequencies are above their
    median. Copies of another size or quality differ in a few bits, an inverse in nearly all.

    Source: Zauner, Implementation and benchmarking of perceptual image hash functions, 2010.
    """
    small = Image.fromarray(levels).resize((SIDE, SIDE), Image.Resampling.BOX)
    cosines = _cosines()
    frequencies = (cosines @ np.asarray(small, np.float64) @ cosines.T).ravel()  # (KEPT * KEPT,)
    bits = frequencies > np.median(frequencies)
    return int.from_bytes(np.packbits(bits).tobytes())


@functools.cache
def _cosines() -> np.ndarray:
    """The second to the ninth row of a discrete cosine transform, shape (KEPT, SIDE)."""
    rows, columns = np.arange(1, KEPT + 1)[:, None], np.arange(SIDE)[None, :]
    cosines: np.ndarray = np.cos(np.pi * rows * (2 * columns + 1) / (2 * SIDE))
    return cosines


@functools.lru_cache(maxsize=20_000)
def _hash_of(log: OpenLog, name: str | None) -> int | None:
    """None where there is no image, or none that can be read."""
    if name is None:
        return None
    try:
        with opened(log.log.image(name)) as image:
            return perceptual_hash(greyscale(image))
    except (LogError, UnreadableImageError):
        return None
