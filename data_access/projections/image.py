"""Projections of images: pure functions from a greyscale array (height, width) to a number."""

import math
import threading
import weakref

import numpy as np
from PIL import Image

LEVELS = np.arange(256)
ROWS_AT_ONCE = 64  # of the Laplacian: what stays in a processor's cache


def mean(image: np.ndarray) -> float:
    """Mean grey level, equal to PIL.ImageStat's of the image in mode L."""
    counts = _counts(image)
    return float(counts @ LEVELS / counts.sum())


def contrast(image: np.ndarray) -> float:
    """Standard deviation of the grey levels."""
    counts = _counts(image)
    spread = (LEVELS - mean(image)) ** 2
    return math.sqrt(counts @ spread / counts.sum())


def width(image: np.ndarray) -> float:
    return float(image.shape[1])


def height(image: np.ndarray) -> float:
    return float(image.shape[0])


def polarity(image: np.ndarray) -> float:
    """Mean of the commoner side of Otsu's threshold minus that of the rarer, over 255."""
    dark, light, share = two_sides(image)
    return (light - dark) / 255 * (1 if share <= 0.5 else -1)


def ink_share(image: np.ndarray) -> float:
    """Share of pixels on the rarer side of Otsu's threshold; NaN for one grey level."""
    share = two_sides(image)[2]
    return min(share, 1 - share)


def sharpness(image: np.ndarray) -> float:
    """Variance of the 4-neighbour Laplacian; NaN below 3 × 3 pixels.

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000.
    """
    if min(image.shape) < 3:
        return math.nan
    squares = 0.0
    for top in range(0, image.shape[0] - 2, ROWS_AT_ONCE):
        levels = image[top : top + ROWS_AT_ONCE + 2].astype(np.int16)
        laplacian = levels[:-2, 1:-1] + levels[2:, 1:-1]
        laplacian += levels[1:-1, :-2]
        laplacian += levels[1:-1, 2:]
        laplacian -= levels[1:-1, 1:-1] << 2
        values = laplacian.astype(np.float32)
        by_row: np.ndarray = np.einsum("ij,ij->i", values, values)
        squares += float(by_row.sum(dtype=np.float64))
    count = (image.shape[0] - 2) * (image.shape[1] - 2)
    middle = (_outwards(image) + _outwards(image.T)) / count
    return max(0.0, float(squares / count - middle * middle))


def _outwards(image: np.ndarray) -> int:
    """The sum of all second differences down the inner columns: inside, they cancel each other."""
    top, second, last_but_one, bottom = image[[0, 1, -2, -1], 1:-1].sum(axis=1, dtype=np.int64)
    return int(top - second - last_but_one + bottom)


_last = threading.local()


def _counts(image: np.ndarray) -> np.ndarray:
    """How many pixels have each grey level, float64 of shape (256,).

    Kept for the last image of a thread: four projections ask for the same one after the other.
    """
    if getattr(_last, "image", lambda: None)() is not image:
        _last.counts = np.array(Image.fromarray(image).histogram(), dtype=np.float64)
        _last.image = weakref.ref(image)
    counts: np.ndarray = _last.counts
    return counts


def two_sides(image: np.ndarray) -> tuple[float, float, float]:
    """Mean of the dark side, mean of the light side, share of dark pixels; NaN for one level.

    Source of the threshold: Otsu, A threshold selection method from gray-level histograms, 1979.
    """
    counts = _counts(image)
    below = counts.cumsum()  # (256,) pixels at or under each level
    weight = (counts * LEVELS).cumsum()
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        dark, light = weight / below, (weight[-1] - weight) / above
        between = np.where((below > 0) & (above > 0), below * above * (light - dark) ** 2, 0.0)
    level = int(between.argmax())
    if between[level] == 0:
        return math.nan, math.nan, math.nan
    return float(dark[level]), float(light[level]), float(below[level] / below[-1])
