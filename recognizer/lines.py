"""From a picture of a paragraph to its lines in reading order: skew, columns, blocks, lines.

Ink is what stands out from the ground to either side (`preprocessing.ink_of`), so a picture and
its negative are cut at the same places.
"""

import itertools
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recognizer.preprocessing import Gray, ink_of, stretch

WORK_SIDE = 1000


@dataclass(frozen=True)
class Box:
    """Rows top to bottom, columns left to right, the last of each excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def scaled(self, factor: float) -> "Box":
        """The same part of a picture so many times as large."""
        return Box(*(round(factor * side) for side in astuple(self)))


@dataclass(frozen=True)
class Line:
    """One line, level, cut out of the picture; where it was in the picture's own pixels, and in
    which block. In a picture that was not level the box holds the slanted line."""

    gray: Gray
    box: Box
    block: int


Profile = NDArray[np.float64]


def _runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and one past the last of each run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _smooth(profile: Profile, sigma: float) -> Profile:
    if sigma < 0.3:
        return profile
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(profile, reach)
    smoothed: Profile = np.convolve(padded, kernel / kernel.sum(), "same")[reach:-reach]
    return smoothed


def skew(ink: Gray, limit: float = 8.0) -> float:
    """Degrees by which the lines of text climb, from the sharpest row profile."""
    height, width = ink.shape
    step = max(1, max(height, width) // 400)
    small = ink[: height // step * step, : width // step * step]
    small = small.reshape(height // step, step, width // step, step).mean(axis=(1, 3))
    rows, columns = np.nonzero(small > 0.25)
    if len(rows) < 50:
        return 0.0
    weights = small[rows, columns]
    middle = small.shape[1] / 2

    def sharpness(angle: float) -> float:
        moved = rows + (columns - middle) * np.tan(np.radians(angle))
        span = np.rint(moved - moved.min()).astype(int)
        profile = np.bincount(span, weights)
        return float((np.diff(profile) ** 2).sum()) * (1 - 0.15 * abs(angle) / limit)

    coarse = max(np.arange(-limit, limit + 0.1, 1.0), key=sharpness)
    fine = max(np.arange(coarse - 0.75, coarse + 0.76, 0.25), key=sharpness)
    return 0.0 if sharpness(fine) < 1.05 * sharpness(0.0) else float(fine)


def pitch(profile: Profile) -> float:
    """Rows from one line to the next, from the first strong peak of the autocorrelation;
    0 where there is no repetition."""
    size = len(profile)
    if size < 24:
        return 0.0
    centred = _smooth(profile, size * 0.004) - _smooth(profile, size * 0.15)
    spectrum = np.abs(np.fft.rfft(centred, 2 * size)) ** 2
    correlation = np.fft.irfft(spectrum)[:size]
    if correlation[0] <= 0:
        return 0.0
    correlation = correlation / correlation[0] * size / np.arange(size, 0, -1)
    lags = np.arange(1, size // 2 + 1)
    inner = correlation[lags]
    peaks = [
        lag
        for lag in lags[6:-1]
        if correlation[lag] >= correlation[lag - 1] and correlation[lag] > correlation[lag + 1]
    ]
    strong = [lag for lag in peaks if correlation[lag] > max(0.25, 0.7 * inner[8:].max(initial=0))]
    return float(strong[0]) if strong else 0.0


def _bands(ink: Gray, room: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows of the lines of one column of text; `room` is how many rows the picture goes on above
    and below it: where there are few, slivers of neighbouring lines may have been cut off."""
    profile = (ink * (ink > 0.35)).sum(axis=1).astype(np.float64)
    top = float(np.percentile(profile, 95))
    if top <= 0:
        return []
    bands = _runs(_smooth(profile, 0.7) > 0.035 * top)
    bands = [(a, b) for a, b in bands if profile[a:b].sum() > 0.02 * profile.sum() / len(bands)]
    if not bands:
        return []
    masses = np.array([profile[a:b].sum() for a, b in bands])
    heavy = [b - a for (a, b), mass in zip(bands, masses, strict=True) if mass > 0.3 * masses.max()]
    step = pitch(profile)
    usual = float(np.median(heavy))
    if step and usual > 1.45 * step:
        usual = 0.85 * step
    elif len(heavy) > 2:
        usual = float(np.percentile(heavy, 40))
    split: list[tuple[int, int]] = []
    for a, b in bands:
        count = 1
        if b - a > 1.6 * usual:
            count = max(1, round((b - a + 0.1 * usual) / (step or 1.2 * usual)))
        split.extend(_valleys(profile, a, b, count))
    return _join(split, profile, room)


def _valleys(profile: Profile, first: int, last: int, count: int) -> list[tuple[int, int]]:
    """Cut rows into `count` lines where there is least ink near equal distances; not at all if
    there is much ink at most of these places, as between the two edges of small letters."""
    if count == 1:
        return [(first, last)]
    size = (last - first) / count
    smooth = _smooth(profile[first:last], 0.08 * size)
    cuts = [first]
    for number in range(1, count):
        at = number * size
        low, high = int(at - 0.35 * size), int(at + 0.35 * size) + 1
        away = np.abs(np.arange(low, high) - at) / size
        cuts.append(first + low + int(np.argmin(smooth[low:high] * (1 + away))))
    cuts.append(last)
    rows = list(itertools.pairwise(cuts))
    peaks = [float(smooth[a - first : b - first].max(initial=0)) for a, b in rows]
    shallow = [
        smooth[cut - first] > 0.45 * min(peaks[number], peaks[number + 1])
        for number, cut in enumerate(cuts[1:-1])
    ]
    return [(first, last)] if np.mean(shallow) > 0.5 else rows


def _join(
    bands: list[tuple[int, int]], profile: Profile, room: tuple[int, int]
) -> list[tuple[int, int]]:
    """Dots, accents and underlines go to the line beside them; slivers of lines that the edge
    of the picture cuts off are left out."""
    sizes = [b - a for a, b in bands]
    masses = [float(profile[a:b].sum()) for a, b in bands]
    usual, full = float(np.median(sorted(sizes)[len(sizes) // 2 :])), max(masses)
    kept: list[tuple[int, int]] = []
    for number, (a, b) in enumerate(bands):
        small = b - a < 0.45 * usual
        outer = (number == 0 and room[0] < 0.5 * usual) or (
            number == len(bands) - 1 and room[1] < 0.5 * usual
        )
        if outer and len(bands) > 1 and b - a < (0.7 if len(bands) < 4 else 0.5) * usual:
            continue
        if small and masses[number] < 0.35 * full and len(bands) > 1:
            above = a - bands[number - 1][1] if number else len(profile)
            below = bands[number + 1][0] - b if number + 1 < len(bands) else len(profile)
            if min(above, below) < 0.35 * usual:
                if above <= below and kept:
                    kept[-1] = (kept[-1][0], b)
                    continue
                if below < above and number + 1 < len(bands):
                    bands[number + 1] = (a, bands[number + 1][1])
                    continue
            if masses[number] < 0.05 * full:
                continue
        kept.append((a, b))
    return kept


def _inked(ink: Gray, box: Box) -> list[Box]:
    """The part of the box that has ink in it; none where there is none."""
    marked = ink[box.top : box.bottom, box.left : box.right] > 0.3
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    if not len(rows):
        return []
    top, left = box.top + int(rows[0]), box.left + int(columns[0])
    return [Box(top, box.top + int(rows[-1]) + 1, left, box.left + int(columns[-1]) + 1)]


def _blocks(ink: Gray, box: Box, depth: int = 0) -> list[Box]:
    """Columns and blocks by recursive cuts along empty strips (X-Y cut; Nagy and Seth 1984)."""
    inked = _inked(ink, box)
    if not inked:
        return []
    [box] = inked
    part = ink[box.top : box.bottom, box.left : box.right]
    room = box.top, ink.shape[0] - box.bottom
    bands = _bands(part, room)
    if depth > 6 or len(bands) < 2:
        return [box]
    line = float(np.median([b - a for a, b in bands]))
    filled = (part > 0.3).sum(axis=0).astype(np.float64)
    empty = _runs(filled <= 0.004 * part.shape[0])
    least = max((1.3 if len(bands) < 4 else 0.95) * line, 0.02 * box.width)
    wide = [(b - a, a, b) for a, b in empty if b - a > least]
    for _, a, b in sorted(wide, reverse=True):
        sides = part[:, :a], part[:, b:]
        lines = [
            len(_bands(side, room)) if side.shape[1] > 0.12 * box.width else 0 for side in sides
        ]
        if min(lines) >= 2:
            left = Box(box.top, box.bottom, box.left, box.left + a)
            right = Box(box.top, box.bottom, box.left + b, box.right)
            return _blocks(ink, left, depth + 1) + _blocks(ink, right, depth + 1)
    gaps = [c - b for (_, b), (c, _) in itertools.pairwise(bands)]
    widest = int(np.argmax(gaps))
    if gaps[widest] > max(0.9 * line, 1.8 * float(np.median(gaps)) + 2):
        middle = box.top + (bands[widest][1] + bands[widest + 1][0]) // 2
        above = Box(box.top, middle, box.left, box.right)
        below = Box(middle, box.bottom, box.left, box.right)
        return _blocks(ink, above, depth + 1) + _blocks(ink, below, depth + 1)
    return [box]


def split_lines(gray: Gray, columns: bool = True) -> list[Line]:
    """The lines of a picture (H, W) of 0..255, blocks one after the other; an empty picture gives
    none. Without `columns`, all of the picture is one block."""
    factor = max(1, -(-max(gray.shape) // (2 * WORK_SIDE)))
    height, width = gray.shape
    if min(height, width) < 4:
        return []
    small = np.asarray(Image.fromarray(gray).reduce(factor), np.float32) if factor > 1 else gray
    window = int(np.clip(min(small.shape) // 5, min(48, small.shape[0]), 120))
    ink = stretch(ink_of(small, window)[0])
    if float(ink.max(initial=0)) <= 0 or float(small.max() - small.min()) < 8:
        return []
    angle, shape = skew(ink) if height > 0.12 * width else 0.0, gray.shape
    if angle:
        gray, small = (_rotate(values, -angle) for values in (gray, small))
        ink = stretch(ink_of(small, window)[0])
    whole = Box(0, small.shape[0], 0, small.shape[1])
    found: list[Line] = []
    for block, box in enumerate(_blocks(ink, whole) if columns else _inked(ink, whole)):
        part = ink[box.top : box.bottom, box.left : box.right]
        bands = _bands(part, (box.top, small.shape[0] - box.bottom)) or [(0, box.height)]
        usual = float(np.median([b - a for a, b in bands]))
        if len(bands) == 1:
            (a, b), margin = bands[0], int(0.35 * usual) + 2
            rows = [(max(0, box.top + a - margin), min(small.shape[0], box.top + b + margin))]
        else:
            reach = int(0.16 * usual) + 1
            rows = [(max(0, box.top + a - reach), box.top + b + reach) for a, b in bands]
        margin = int(0.3 * usual) + 2
        left, right = max(0, box.left - margin), min(small.shape[1], box.right + margin)
        for a, b in rows:
            cut = Box(a * factor, b * factor, left * factor, right * factor)
            line = gray[cut.top : cut.bottom, cut.left : cut.right]
            if min(line.shape) >= 2:
                box = turned(cut, angle, gray.shape, shape) if angle else cut
                found.append(Line(line, box, block))
    return found


def turned(box: Box, degrees: float, level: tuple[int, ...], own: tuple[int, ...]) -> Box:
    """The part of a picture of shape `own` that holds a box of it made level, of shape `level`, by
    a turn of so many degrees."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x = np.array([box.left, box.right, box.left, box.right]) - level[1] / 2
    y = np.array([box.top, box.top, box.bottom, box.bottom]) - level[0] / 2
    columns = (cosine * x + sine * y + own[1] / 2).clip(0, own[1])
    rows = (cosine * y - sine * x + own[0] / 2).clip(0, own[0])
    return Box(
        int(rows.min()),
        int(np.ceil(rows.max())),
        int(columns.min()),
        int(np.ceil(columns.max())),
    )


def _rotate(gray: Gray, degrees: float) -> Gray:
    edge = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    picture = Image.fromarray(gray).rotate(
        degrees, Image.Resampling.BILINEAR, expand=True, fillcolor=float(np.median(edge))
    )
    return np.asarray(picture, np.float32)
