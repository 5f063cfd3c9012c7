"""Projections of images: pure functions from a greyscale array (height, width) to a number."""

import io
import math
import threading
import warnings
import weakref

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 50_000_000
# not EPS, which Pillow would have Ghostscript run
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "PPM", "JPEG2000", "ICO")
LEVELS = np.arange(256)
ROWS_AT_ONCE = 64  # of the Laplacian: what stays in a processor's cache


class UnreadableImageError(ValueError):
    """The bytes are no image, or one too large to open; the message says which."""


def open_image(body: bytes) -> Image.Image:
    """Decode an image upright; one that is too large is refused before its pixels are decoded.

    Raises UnreadableImageError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(body), formats=FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImageError(
                    f"an image of {width:,} × {height:,} pixels is too large"
                )
            image.load()
        ImageOps.exif_transpose(image, in_place=True)  # would copy an image that stays as it is
        return image
    except UnreadableImageError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImageError("an image of too many pixels") from error
    except Exception as error:  # Pillow's decoders raise many kinds on hostile bytes
        raise UnreadableImageError("the bytes are not an image that can be read") from error


def on_white(image: Image.Image) -> Image.Image:
    """The image without transparency, its transparent parts white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image


def greyscale(image: Image.Image) -> np.ndarray:
    """Grey levels 0 to 255, shape (height, width), uint8; transparent parts lie on white.

    Raises UnreadableImageError.
    """
    if image.mode.startswith(("I;16", "I", "F")):
        levels = np.asarray(image, dtype=np.float64)
        top = 65535.0 if levels.max(initial=0.0) > 255 else 255.0
        return np.clip(levels * (255.0 / top), 0, 255).astype(np.uint8)
    try:
        return np.asarray(on_white(image).convert("L"))
    except ValueError as error:  # Pillow has no way from LAB, for one
        raise UnreadableImageError(f"an image in {image.mode} has no grey levels") from error


def displayable(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB, as people see it: what PNG, browsers and Pillow's tools take.

    Raises UnreadableImageError.
    """
    image = on_white(image)
    if image.mode in ("L", "RGB"):
        return image
    if image.mode in ("P", "CMYK", "YCbCr", "HSV"):
        return image.convert("RGB")
    return Image.fromarray(greyscale(image))


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
