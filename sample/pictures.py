"""Pictures of notes: handwriting or print fonts on a dark canvas, paper or a texture."""

import io
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from recognizer.fonts import faces
from sample.notes import Note

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.float64]]  # (height, width), 0 black to 255 white

DARK_GROUND = ("fine", "several_blocks", "outside_alphabet")

# Signs no Latin font file holds, as pen strokes in x-heights: x to the right, y up.
STROKES: dict[str, list[tuple[float, float]]] = {
    "✓": [(0.0, 0.6), (0.4, 0.0), (1.2, 1.6)],
    "☐": [(0.0, 0.0), (1.2, 0.05), (1.15, 1.3), (0.05, 1.25), (0.0, 0.0)],
    "→": [(0.0, 0.6), (1.6, 0.6), (1.2, 1.0), (1.6, 0.6), (1.2, 0.2)],
    "α": [(1.2, 1.0), (0.9, 0.3), (0.5, 0.0), (0.1, 0.4), (0.4, 1.0), (0.8, 0.7), (1.2, 0.0)],
    "λ": [(0.0, 1.6), (0.3, 1.6), (1.0, 0.0), (0.65, 0.85), (0.0, 0.0)],
}


def font_files(folder: Path) -> dict[str, list[Path]]:
    """Fonts that write small letters as such, by kind, in order of name."""
    usable = [face for face in faces(folder) if not face.unicase]
    fonts = {
        kind: [face.path for face in usable if face.kind == kind]
        for kind in ("handwriting", "print")
    }
    if not all(fonts.values()):
        raise SystemExit(f"{folder} needs fonts in handwriting/ and in print/")
    return fonts


@lru_cache(maxsize=4096)
def font_at(path: Path, x_height: int) -> ImageFont.FreeTypeFont:
    """The font at the size where its small letters are about `x_height` pixels tall, or wide: the
    mean of both keeps narrow and wide hands alike legible."""
    probe = ImageFont.truetype(path, 200)
    _, top, _, bottom = probe.getbbox("x")
    wide = probe.getlength("nothing is measured") / 19
    return ImageFont.truetype(path, round(200 * x_height / math.sqrt((bottom - top) * wide)))


@lru_cache(maxsize=4096)
def covers(path: Path, char: str) -> bool:
    font = font_at(path, 20)
    missing, glyph = font.getmask("\U0010fffd"), font.getmask(char)
    return char.isspace() or (missing.size, bytes(missing)) != (glyph.size, bytes(glyph))


def draw_word(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], word: str, fonts: list[Path], x_height: int
) -> float:
    """Draw a word on its base line in the first font, and borrow what that font lacks from the
    others; returns its width in pixels."""
    x, y = at
    runs = [word] if all(covers(fonts[0], char) for char in word) else list(word)
    for run in runs:
        if run in STROKES:
            stroke = [(x + dx * x_height, y - dy * x_height) for dx, dy in STROKES[run]]
            draw.line(stroke, fill=255, width=max(2, x_height // 8), joint="curve")
            x += 1.5 * x_height
        else:
            path = next(path for path in fonts if covers(path, run[0]))
            font = font_at(path, x_height)
            draw.text((x, y), run, font=font, fill=255, anchor="ls")
            x += font.getlength(run)
    return x - at[0]


def ink(
    lines: tuple[str, ...], fonts: list[Path], by_hand: bool, rng: np.random.Generator
) -> Image.Image:
    """The strokes of a paragraph, 255 where the pen was, cropped to them. Drawn at twice its size,
    with a base line that wanders if it is written by hand."""
    x_height = int(rng.integers(25, 32))
    font = font_at(fonts[0], x_height)
    _, top, _, bottom = font.getbbox("dhlgpy", anchor="ls")
    pitch = max(3.0 * x_height, 1.1 * (bottom - top))
    longest = max(font.getlength(line) for line in lines) + 2 * x_height * max(map(len, lines)) / 3
    canvas = Image.new("L", (int(longest) + 200, int(pitch * (len(lines) + 2)) + 100))
    draw = ImageDraw.Draw(canvas)
    space = font.getlength(" ") * 0.5 + x_height * 0.4
    wander = 0.07 * x_height if by_hand else 0.0
    for row, line in enumerate(lines):
        x, y = 80 + rng.normal(0, 4 * wander), 50 + pitch * (row + 1.3)
        slope = rng.normal(0, 0.006) if by_hand else 0.0
        for word in line.split():
            at = (x, y + slope * (x - 80) + rng.normal(0, wander))
            x += draw_word(draw, at, word, fonts, x_height) + space + abs(rng.normal(0, 2 * wander))
    angle = rng.normal(0, 1.3 if by_hand else 0.5)
    canvas = canvas.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    strokes = canvas.crop(canvas.getbbox())
    return strokes.resize(
        (max(1, strokes.width // 2), max(1, strokes.height // 2)), Image.Resampling.LANCZOS
    )


def side_by_side(blocks: list[Image.Image], rng: np.random.Generator) -> Image.Image:
    """Blocks left to right with a gutter, the later ones a little lower; one block stays as is."""
    gutter = int(rng.integers(34, 60))
    drops = [0, *(int(drop) for drop in rng.integers(0, 24, len(blocks) - 1))]
    width = sum(block.width for block in blocks) + gutter * (len(blocks) - 1)
    height = max(block.height + drop for block, drop in zip(blocks, drops, strict=True))
    page, x = Image.new("L", (width, height)), 0
    for block, drop in zip(blocks, drops, strict=True):
        page.paste(block, (x, drop))
        x += block.width + gutter
    return page


def lit(shape: tuple[int, int], level: float, slant: float, rng: np.random.Generator) -> Pixels:
    """A bare surface of about `level`, brighter on one side by `slant`, with one soft shadow."""
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    angle, centre_x, centre_y = rng.uniform(0, 2 * math.pi), *rng.uniform(-0.2, 1.2, 2)
    ramp = np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)
    shadow = np.exp(-4 * ((x - centre_x) ** 2 + (y - centre_y) ** 2))
    return np.asarray(level + slant * ramp - rng.uniform(0.2, 0.9) * slant * shadow)


def texture(shape: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """What to take from (or add to) the light on a ruled, squared or graph page, cloth or wood."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(float)
    kind = rng.choice(["ruled", "squared", "graph", "cloth", "wood"])
    pitch, depth = rng.uniform(17, 24), rng.uniform(45, 80)
    if kind == "ruled":
        return np.asarray(-depth * ((y + 0.01 * x) % pitch < 1.4))
    if kind == "squared":
        return np.asarray(-depth * (((y % pitch) < 1.2) | ((x % pitch) < 1.2)))
    if kind == "graph":
        fine, heavy = pitch / 2.5, pitch * 2
        lines = 0.5 * (((y % fine) < 1) | ((x % fine) < 1))
        return np.asarray(-depth * np.maximum(lines, ((y % heavy) < 1.5) | ((x % heavy) < 1.5)))
    if kind == "cloth":
        return np.asarray(0.3 * depth * (np.sin(x * 1.3 + 0.1 * y) + np.sin(y * 1.5)) - depth / 3)
    rings = y / pitch + 1.5 * np.sin(x / 140 + rng.uniform(0, 6)) + 0.4 * np.sin(y / 31 + x / 60)
    streaks = np.repeat(rng.normal(0, 1, (shape[0], 1)), shape[1], axis=1)
    return np.asarray(0.45 * depth * np.sin(2 * math.pi * rings) + 5 * streaks - 45)


def picture(note: Note, fonts: dict[str, list[Path]], seed: int) -> bytes:
    """The note as a small greyscale PNG, every stroke inside the frame."""
    rng = np.random.default_rng([seed, note.number])
    family = fonts["print" if note.mode == "printed" else "handwriting"]
    first = int(rng.integers(len(family)))
    order = [family[first], *family[:first], *family[first + 1 :]]
    blocks = [ink(lines, order, note.mode != "printed", rng) for lines in note.blocks]
    strokes = side_by_side(blocks, rng)
    if strokes.width > 600:
        strokes = strokes.resize((600, round(strokes.height * 600 / strokes.width)))
    left, top, right, bottom = (int(margin) for margin in rng.integers(14, 30, 4))
    width = max(360, strokes.width + left + right)
    page = Image.new("L", (width, strokes.height + top + bottom))
    page.paste(strokes, (left, top))

    shape = (page.height, page.width)
    on_dark = note.mode in DARK_GROUND
    ground: Pixels
    if on_dark:
        ground, pen = np.full(shape, rng.uniform(4, 26)), rng.uniform(195, 250)
    else:
        ground = lit(shape, rng.uniform(190, 232), rng.uniform(25, 70), rng)
        pen = rng.uniform(20, 75)
    if note.mode == "textured_background":
        ground = ground + texture(shape, rng)
    coverage = np.asarray(page, float) / 255 * rng.uniform(0.88, 1.0)
    scene = ground * (1 - coverage) + pen * coverage
    if not on_dark:
        image = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
        scene = np.asarray(image, float) + rng.normal(0, rng.uniform(0.8, 2.2), shape)
    step = 8 if on_dark else 12  # few grey levels keep the file small
    levels = np.clip(np.round(scene / step) * step, 0, 252).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "PNG", optimize=True, compress_level=9)
    return stream.getvalue()
