"""How a person writes, beyond what a font holds: one hand for a line, whose letters wander, stand
apart or are joined.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recognizer.fonts import CURSIVE, Face
from recognizer.preprocessing import Gray

Random = np.random.Generator
Font = ImageFont.FreeTypeFont
Piece = tuple[str, float, float, Font]  # a text, and x and y of its baseline's left end


@dataclass(frozen=True)
class Ends:
    """Where a pen comes to a letter and where it leaves: x and y in the line."""

    first: tuple[float, float]
    last: tuple[float, float]


def write(
    random: Random, face: Face, text: str, size: int, font_at: Callable[[str, int], Font]
) -> list[Piece]:
    """Words or, where the font does not join them, letters of one hand: its spacing, how its
    baseline sways and its letters grow or shrink along the line, and how steady it is.
    """
    fonts = [font_at(str(face.path), max(8, size + change)) for change in (-3, -1, 0, 1, 3)]
    usual = fonts[2]
    apart = face.family not in CURSIVE
    tracking = random.uniform(-0.03, 0.04) * size
    if apart and random.random() < 0.3:
        tracking = random.uniform(0.08, 0.5) * size
    space = usual.getlength(" ") * float(np.exp(random.uniform(-0.3, 1.1))) + max(0.0, tracking)
    shake = random.uniform(0, 0.05) * size
    sway, waves, phase = random.normal(0, 0.07) * size, random.uniform(0.3, 2), random.uniform(0, 6)
    growth = random.normal(0, 1.5)
    pieces: list[Piece] = []
    x, total = 0.0, max(1.0, usual.getlength(text))
    for word in text.split(" "):
        for part in word if apart else [word]:
            along = x / total
            change = growth * (along - 0.5) + random.normal(0, 0.7)
            font = fonts[int(np.clip(round(2 + change), 0, 4))]
            y = sway * np.sin(waves * 2 * np.pi * along + phase) + random.normal(0, 1) * shake
            pieces.append((part, x, float(np.clip(y, -0.6 * size, 0.6 * size)), font))
            x += font.getlength(part) + (tracking if apart else 0)
        x += space * random.uniform(0.7, 1.4)
    return pieces


def ends(patch: Gray, top: int, left: int) -> Ends | None:
    """The leftmost and the rightmost ink of a letter (h, w) that stands at (top, left)."""
    inked = np.flatnonzero(patch.max(axis=0) > 0.5)
    if not len(inked):
        return None
    first, last = int(inked[0]), int(inked[-1])
    low = int(np.flatnonzero(patch[:, last] > 0.5)[-1])
    high = int(np.flatnonzero(patch[:, first] > 0.5).mean())
    return Ends((left + first, top + high), (left + last, top + low))


def join(random: Random, canvas: Gray, before: Ends, after: Ends, size: int) -> None:
    """Draws a stroke, which sags, from one letter to the next into the canvas (H, W)."""
    (x0, y0), (x1, y1) = before.last, after.first
    t = np.linspace(0, 1, 9)
    sag = random.uniform(0.0, 0.25) * size
    x = (1 - t) * x0 + t * x1
    y = (1 - t) * y0 + t * y1 + sag * 4 * t * (1 - t) * (1 - t)
    left, top = int(min(x)) - 4, int(min(y)) - 4
    width, height = int(max(x)) - left + 5, int(max(y)) - top + 5
    stroke = Image.new("L", (width, height))
    points = list(zip((x - left).tolist(), (y - top).tolist(), strict=True))
    ImageDraw.Draw(stroke).line(points, fill=255, width=max(2, size // 14), joint="curve")
    left, top = max(0, left), max(0, top)
    window = canvas[top : top + height, left : left + width]
    drawn = np.asarray(stroke, np.float32)[: window.shape[0], : window.shape[1]] / np.float32(255)
    np.maximum(window, drawn, out=window)
