"""What a replay does to an image before it is read again: a function and a row of a table each.

Pure: an image of mode L or RGB in, another one out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from data_access.images import MAX_PIXELS, displayable, greyscale
from data_access.projections.image import two_sides

Alter = Callable[[Image.Image], Image.Image]

ANGLES = np.arange(-8.0, 8.25, 0.5)  # degrees that writing is leaned back by
SKEW_SIDE = 480  # pixels of the copy that the angle is found in


@dataclass(frozen=True)
class Intervention:
    """One way to alter an image.

    name: in addresses and in the log. label: what pages call it, as in "inverting fixes 83 of 97".
    version: changes whenever the altered images would; then readings are made anew.
    control: whether it is there to be compared with, not to fix anything.
    """

    name: str
    label: str
    explanation: str
    alter: Alter
    version: str = "1"
    control: bool = False

    @property
    def key(self) -> str:
        """What its readings are kept under."""
        return f"{self.name}@{self.version}"

    def apply(self, image: Image.Image) -> Image.Image:
        """An opened image, altered; the control as it is.

        Raises UnreadableImageError or ValueError where it cannot be.
        """
        return image if self.control else self.alter(displayable(image))


def stretch(image: Image.Image) -> Image.Image:
    return ImageOps.autocontrast(image, cutoff=1)


def deskew(image: Image.Image) -> Image.Image:
    """Turned so that rows of writing are level: where the ink's row sums differ most.

    Source: Postl, Detection of linear oblique structures and skew scan in digitized documents,
    ICPR 1986.
    """
    ink = Image.fromarray(_ink(image).astype(np.uint8) * 255)
    ink.thumbnail((SKEW_SIDE, SKEW_SIDE), Image.Resampling.BOX)
    angle = max(ANGLES, key=lambda turned: (_levelness(ink, float(turned)), -abs(turned)))
    ground = tuple(int(level) for level in np.median(_channels(image), axis=(0, 1)))
    return image.rotate(
        float(angle),
        Image.Resampling.BICUBIC,
        expand=True,
        fillcolor=ground if len(ground) > 1 else ground[0],
    )


def _levelness(ink: Image.Image, angle: float) -> float:
    rows = np.asarray(ink.rotate(angle, Image.Resampling.BILINEAR)).sum(axis=1, dtype=np.float64)
    return float((np.diff(rows) ** 2).sum())


def crop_to_ink(image: Image.Image) -> Image.Image:
    """Cut to the rows and columns that hold nearly all ink, with a margin of a fiftieth."""
    ink = _ink(image)
    margin = max(4, max(image.size) // 50)
    spans = [_span(ink.sum(axis=axis), margin) for axis in (0, 1)]
    (left, right), (top, bottom) = spans
    return image.crop((left, top, right, bottom))


def _span(counts: np.ndarray, margin: int) -> tuple[int, int]:
    """Bounds (half-open) of 99.6% of the counts; of everything where nothing is counted."""
    total = counts.sum()
    if not total:
        return 0, len(counts)
    share = counts.cumsum() / total
    low, high = (int(np.searchsorted(share, limit)) for limit in (0.002, 0.998))
    return max(0, low - margin), min(len(counts), high + 1 + margin)


def binarize(image: Image.Image) -> Image.Image:
    """Black and white, cut at Otsu's threshold; polarity stays as it is."""
    levels = greyscale(image)
    return Image.fromarray((levels > _threshold(levels)).astype(np.uint8) * 255)


def scaled(factor: float) -> Alter:
    def alter(image: Image.Image) -> Image.Image:
        width, height = (max(1, round(side * factor)) for side in image.size)
        if width * height > MAX_PIXELS:
            raise ValueError(f"at {factor:g} times its size the image would be too large")
        return image.resize((width, height), Image.Resampling.LANCZOS)

    return alter


def _channels(image: Image.Image) -> np.ndarray:
    """Levels of shape (height, width, channels)."""
    return np.atleast_3d(np.asarray(image))


def _threshold(levels: np.ndarray) -> float:
    """Otsu's: half way between the means of both sides; 127.5 for an image of one level."""
    dark, light, _ = two_sides(levels)
    return 127.5 if np.isnan(dark) else (dark + light) / 2


def _ink(image: Image.Image) -> np.ndarray:
    """Which pixels are on the rarer side of Otsu's threshold, bool of shape (height, width)."""
    levels = greyscale(image)
    dark = levels <= _threshold(levels)
    return dark if dark.mean() <= 0.5 else ~dark


NOTHING = Intervention(
    name="nothing",
    label="the unchanged image",
    explanation="The image as it was sent: what rereading changes by itself.",
    alter=lambda image: image,
    control=True,
)

INTERVENTIONS: tuple[Intervention, ...] = (
    Intervention(
        name="invert",
        label="inverting",
        explanation="Light becomes dark, dark becomes light.",
        alter=ImageOps.invert,
    ),
    Intervention(
        name="autocontrast",
        label="auto-contrast",
        explanation="Grey levels are stretched to the full range, 1% clipped at either end.",
        alter=stretch,
    ),
    Intervention(
        name="blur",
        label="blurring",
        explanation="A Gaussian blur of one pixel: removes grain and texture.",
        alter=lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    ),
    Intervention(
        name="sharpen",
        label="sharpening",
        explanation="An unsharp mask of two pixels: edges become crisper.",
        alter=lambda image: image.filter(ImageFilter.UnsharpMask(2, 150, 3)),
    ),
    Intervention(
        name="deskew",
        label="levelling",
        explanation="Rotated by up to 8 degrees so that lines of writing are level.",
        alter=deskew,
    ),
    Intervention(
        name="crop",
        label="cropping to the ink",
        explanation="Empty margins are removed.",
        alter=crop_to_ink,
    ),
    Intervention(
        name="threshold",
        label="black and white",
        explanation="Every pixel becomes black or white (Otsu's threshold).",
        alter=binarize,
    ),
    Intervention(
        name="half",
        label="halving the size",
        explanation="Half as wide and half as high.",
        alter=scaled(0.5),
    ),
    Intervention(
        name="double",
        label="doubling the size",
        explanation="Twice as wide and twice as high.",
        alter=scaled(2.0),
    ),
    NOTHING,
)


def intervention(name: str) -> Intervention:
    """Raises KeyError."""
    return {row.name: row for row in INTERVENTIONS}[name]
