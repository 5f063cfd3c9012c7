"""From any picture of one line to the pixels that the network sees; the one path for training
and for serving. What a model was trained with is in the `Preparation` of its checkpoint.
"""

import itertools
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]
Gray = NDArray[np.float32]

MAX_SIDE = 4096


@dataclass(frozen=True)
class Preparation:
    """How a line becomes pixels.

    `squeeze` is the horizontal scale relative to the vertical one: it saves a quarter of the
    columns, and letters stay apart. With `fix_polarity` ink is found whether it is light or dark;
    without it, it is taken to be light. `contrast` is how far above the ground full strokes are, in
    levels of grey; 0 takes it from the picture. Without `columns` a page is read across all columns
    at once.
    """

    height: int = 40
    squeeze: float = 0.75
    max_width: int = 768
    fix_polarity: bool = True
    contrast: float = 0.0
    columns: bool = True

    @property
    def ink(self) -> bool | None:
        """Whether ink is dark; None where every picture is looked at for that."""
        return None if self.fix_polarity else False


def to_gray(image: Image.Image) -> Gray:
    """(H, W) in 0..255, of any mode, upright by EXIF; transparency becomes white. Pictures whose
    longer side is over MAX_SIDE are made smaller, unless they are a strip."""
    with suppress(Exception):  # damaged EXIF tells no orientation
        image = ImageOps.exif_transpose(image)
    if max(image.size) > MAX_SIDE and min(image.size) > MAX_SIDE // 8:
        image = image.reduce(-(-max(image.size) // MAX_SIDE))
    if image.mode.startswith(("I", "F")):
        wide = np.nan_to_num(np.asarray(image, np.float32), posinf=255, neginf=0).clip(min=0)
        return wide * np.float32(255 / (65535 if wide.max(initial=0) > 255 else 255))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("L"), np.float32)


def box_mean(values: Gray, radius_y: int, radius_x: int) -> Gray:
    """The mean of a window around every pixel, windows cut at the border."""
    for axis, radius in ((0, radius_y), (1, radius_x)):
        size = values.shape[axis]
        at = np.arange(size)
        low, high = np.maximum(at - radius, 0), np.minimum(at + radius + 1, size)
        zero = np.zeros_like(np.take(values, [0], axis), np.float64)
        sums = np.concatenate([zero, np.cumsum(values, axis, dtype=np.float64)], axis)
        counts = (high - low).reshape(-1, 1) if axis == 0 else high - low
        means = (np.take(sums, high, axis) - np.take(sums, low, axis)) / counts
        values = means.astype(np.float32)
    return values


def ink_of(gray: Gray, window: int, dark: bool | None = None) -> tuple[Gray, bool]:
    """How much each pixel stands out as ink, (H, W) from 0 in levels of grey, and whether ink is
    dark, where that is not given. The ground is the local mean of a window without the ink; ink is
    the side to which pixels deviate seldom but far (the sign of the skewness), so either polarity
    gives the same.
    """
    step = max(1, window // 16)
    small = np.asarray(
        Image.fromarray(gray).reduce(step) if min(gray.shape) >= step else Image.fromarray(gray),
        np.float32,
    )
    radius = max(2, window // step)
    ground = box_mean(small, radius, radius)
    deviation = small - ground
    spread = float(np.sqrt(np.mean(deviation**2)) + 1e-6)
    if dark is None:
        dark = float(np.mean((deviation / spread).clip(-4, 4) ** 3)) < 0
    is_ground = (np.abs(deviation) < 1.0 * spread).astype(np.float32) + np.float32(1e-3)
    ground = box_mean(small * is_ground, radius, radius) / box_mean(is_ground, radius, radius)
    height, width = gray.shape
    full = np.asarray(Image.fromarray(ground).resize((width, height), Image.Resampling.BILINEAR))
    return np.maximum(full - gray if dark else gray - full, 0), dark


def stretch(ink: Gray) -> Gray:
    """(H, W) in 0..1: the faint texture of the ground below, full strokes at 1."""
    height = max(1, ink.shape[0])
    strong = float(np.percentile(ink.reshape(-1), 98.5)) if height * ink.shape[1] > 1 else 0.0
    strong = max(strong, 0.5 * float(ink.max(initial=0)), 8.0)
    floor = min(float(np.median(ink)) * 1.5, 0.25 * strong)
    stretched: Gray = ((ink - floor) / (strong - floor)).clip(0, 1)
    return stretched


def ink_rows(ink: Gray) -> tuple[int, int]:
    """First and one past the last row of the main text, parts of neighbouring lines left out."""
    height = ink.shape[0]
    profile = (ink * (ink > 0.3)).sum(axis=1)
    if profile.sum() < 1:
        return 0, height
    core = np.flatnonzero(profile > 0.12 * np.percentile(profile, 95))
    bands = np.split(core, np.flatnonzero(np.diff(core) > 1) + 1)
    masses = [float(profile[band].sum()) for band in bands]
    main = int(np.argmax(masses))
    first, last = int(bands[main][0]), int(bands[main][-1])
    tall = last - first + 1
    for band, mass in zip(bands, masses, strict=True):
        gap = max(first - int(band[-1]), int(band[0]) - last)
        edge = band[0] <= 1 or band[-1] >= height - 2
        if gap < 0.35 * tall and not edge and mass < 0.6 * masses[main]:
            first, last = min(first, int(band[0])), max(last, int(band[-1]))
    inside = np.zeros_like(profile)
    reach = int(0.3 * tall) + 1
    top, bottom = max(0, first - reach), min(height, last + 1 + reach)
    inside[top:bottom] = profile[top:bottom]
    cumulated = np.cumsum(inside) / inside.sum()
    low, high = (int(np.searchsorted(cumulated, share)) for share in (0.012, 0.988))
    margin = max(1, round(0.12 * (high - low + 1)))
    return max(0, low - margin), min(height, high + 1 + margin)


def ink_columns(ink: Gray) -> tuple[int, int]:
    """First and one past the last column with ink in it."""
    height, width = ink.shape
    columns = np.flatnonzero((ink > 0.35).sum(axis=0) >= max(1, height // 32))
    if not len(columns):
        return 0, width
    margin = max(1, height // 10)
    return max(0, int(columns[0]) - margin), min(width, int(columns[-1]) + 1 + margin)


def level(ink: Gray, values: Gray) -> tuple[Gray, Gray]:
    """Both (H, W) with a line that climbs or falls made level: the shear, of up to a tenth, that
    gives the sharpest row profile; columns move by whole pixels, their ends are repeated.
    """
    height, width = ink.shape
    if width < 2 * height:
        return ink, values
    small = ink[:, :: max(1, width // 200)]
    at = np.linspace(-0.5, 0.5, small.shape[1], dtype=np.float32)
    rows = np.arange(height)[:, None]
    limit = min(0.1 * width, 0.6 * height)
    best, best_score = 0.0, -1.0
    for rise in np.linspace(-limit, limit, 17):
        moved = np.take_along_axis(small, (rows + np.rint(at * rise).astype(int)) % height, 0)
        score = float((moved.sum(axis=1) ** 2).sum()) * (1 - 0.08 * abs(rise) / limit)
        if score > best_score:
            best, best_score = float(rise), score
    if abs(best) < 1.5:
        return ink, values
    shift = np.rint(np.linspace(-0.5, 0.5, width) * best).astype(int)
    source = (rows + shift).clip(0, height - 1)
    return np.take_along_axis(ink, source, 0), np.take_along_axis(values, source, 0)


def _upright(gray: Gray, preparation: Preparation) -> Gray:
    """(H, W) in 0..1: the line level, cropped to its ink, and of the polarity asked for."""
    raw, _ = ink_of(gray, window=gray.shape[0], dark=preparation.ink)
    ink, raw = level(stretch(raw), raw)
    top, bottom = ink_rows(ink)
    left, right = ink_columns(ink[top:bottom])
    if preparation.contrast:
        ink = (raw / preparation.contrast).clip(0, 1)
    return ink[top:bottom, left:right]


def _scaled(values: Gray, preparation: Preparation) -> Pixels:
    height, width = values.shape
    scaled = width * preparation.height / height * preparation.squeeze
    size = (int(np.clip(round(scaled), 8, preparation.max_width)), preparation.height)
    picture = Image.fromarray((values * 255).astype(np.uint8))
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def line_pixels(gray: Gray, preparation: Preparation) -> Pixels:
    """(height, width <= max_width) of 0..255 for the network, from a line's (H, W) of 0..255."""
    return _scaled(_upright(gray, preparation), preparation)


def line_pieces(gray: Gray, preparation: Preparation) -> list[Pixels]:
    """The same, but a line too long for the network is cut where columns vary least: in the
    spaces between words."""
    values = _upright(gray, preparation)
    height, width = values.shape
    scaled = width * preparation.height / height * preparation.squeeze
    count = int(np.ceil(scaled / preparation.max_width - 0.12))
    if count <= 1:
        return [_scaled(values, preparation)]
    busy = box_mean(np.abs(values - np.median(values)).mean(axis=0)[None], 0, height // 6)[0]
    size = width / count
    cuts = [0]
    for number in range(1, count):
        low, high = int((number - 0.22) * size), int((number + 0.22) * size) + 1
        cuts.append(low + int(np.argmin(busy[low:high])))
    cuts.append(width)
    return [_scaled(values[:, a:b], preparation) for a, b in itertools.pairwise(cuts) if b > a]
