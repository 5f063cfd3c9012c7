"""Draws lines and paragraphs of text as people photograph them, with the text that is in them.

Deterministic: line `index` of `seed` is the same picture wherever and in whatever order it is
drawn. Nothing here knows the network; a picture leaves as grey levels of any polarity and size.

    python -m recognizer.synthetic CACHE --data FOLDER --fonts FOLDER --domain v2 --count 100000

draws and prepares many lines with several processes into a cache that training maps into memory.
"""

import argparse
import functools
import io
import json
import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from tqdm import tqdm

from recognizer import hands
from recognizer.alphabet import CHARACTERS, fold
from recognizer.fonts import CURSIVE, Face, faces, is_held_out
from recognizer.preprocessing import Gray, Pixels, Preparation, line_pixels

Random = np.random.Generator
Normal = tuple[float, float, float, float]  # mean, deviation, lowest, highest


@dataclass(frozen=True)
class Domain:
    """What kinds of pictures are drawn; the shares are probabilities."""

    kinds: dict[str, float] = field(default_factory=dict)
    dark_ink: float = 0.5
    texture: float = 0.25
    neighbours: float = 0.35
    ruled: float = 0.12
    any_character: float = 0.04
    cursive: float = 0.0
    characters: str = CHARACTERS
    wear: float = 1.0
    capitals: float = 0.06  # of handwriting, lines in capitals only
    free: float = 0.0  # of handwriting, lines as `hands` writes them
    joined: float = 0.0  # of single glyphs, lines in which strokes join them
    slant: Normal = (0.1, 0.22, -0.4, 0.6)
    climb: Normal = (0.0, 0.012, -0.04, 0.04)
    preparation: Preparation = field(default_factory=Preparation)


# what the lab's model could write
LAB_CHARACTERS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !\"#&'()*+,-./:;?\n"
)

DOMAINS = {
    # as the lab's model was trained: light ink on a dark ground, handwriting only
    "v1": Domain(
        {"handwriting": 0.94, "glyphs": 0.06},
        dark_ink=0.0,
        texture=0.0,
        neighbours=0.15,
        ruled=0.0,
        any_character=0.0,
        characters=LAB_CHARACTERS,
        wear=0.6,
        preparation=Preparation(fix_polarity=False, contrast=100.0, columns=False),
    ),
    "v2": Domain(
        {"handwriting": 0.56, "print": 0.25, "typewriter": 0.13, "glyphs": 0.06}, cursive=0.4
    ),
    # what v2 read worst: joined cursive, capitals, wide spacing, lines that climb
    "v3": Domain(
        {"handwriting": 0.62, "print": 0.2, "typewriter": 0.1, "glyphs": 0.08},
        neighbours=0.45,
        cursive=0.5,
        capitals=0.14,
        free=0.55,
        joined=0.5,
        slant=(0.15, 0.3, -0.5, 0.95),
        climb=(0.0, 0.025, -0.08, 0.08),
    ),
}

MONTHS = "January February March April May June July August September October November December"
TITLES = "Mr. Mrs. Miss Dr. Prof. Hon. Rev. Gov. Capt. Messrs. Judge President Senator Col."
PLACES = (
    "Oakland Sacramento Fresno Chicago Boston Portland Denver Seattle Albany Springfield Austin "
    "Cleveland Detroit Baltimore Lincoln Salem Newark Dayton Helena Omaha Reno Tucson Berkeley"
)
STATES = "Cal. Calif. Ill. Mass. N.Y. Ore. Wash. Mich. Ohio Iowa Kan. Tex. Neb. Colo. D.C. Ind."
OFFICES = (
    "Office of the|Department of|Board of|Bank of|University of|City of|Library of|Church of|"
    "Attorney at Law|Secretary|Treasurer|Vice President|Telephone|Established|Dear Sir:|"
    "Gentlemen:|My dear|Yours truly,|Very sincerely yours,|Respectfully,|Invoice No.|Room"
)
STREETS = "Street Avenue Block Building Hall Square Road Court"


class Library:
    """Fonts, texts, textures and single glyphs: everything that pictures are drawn from."""

    def __init__(self, data: Path, fonts: Path, held_out: bool = False) -> None:
        self.families: dict[str, list[list[Face]]] = {}
        chosen = [face for face in faces(fonts) if is_held_out(face.family) == held_out]
        for face in chosen:
            kind = self.families.setdefault(face.kind, [])
            same = next((group for group in kind if group[0].family == face.family), None)
            if same is None:
                kind.append([face])
            else:
                same.append(face)
        hands = self.families.get("handwriting", [])
        self.cursive = [group for group in hands if group[0].family in CURSIVE]
        self.words: list[list[str]] = []
        for path in sorted((data / "texts").rglob("*.txt")):
            if path.name != "SOURCE.txt":
                self.words.append(fold(path.read_text()).split())
        sizes = np.array([len(words) for words in self.words], float)
        self.shares = sizes / sizes.sum()
        self.names = sorted({w for t in self.words for w in t if w.isalpha() and w.istitle()})
        self.textures: list[Gray] = []
        for path in sorted((data / "textures").glob("*")):
            if path.suffix in (".png", ".jpg") and path.stem != "text":
                with Image.open(path) as image:
                    gray = image.convert("L")
                    gray.thumbnail((900, 900))
                    self.textures.append(np.asarray(gray, np.float32))
        self.glyphs: dict[str, NDArray[np.uint8]] = {}
        emnist = data / "emnist" / "emnist_byclass_test.npz"
        if emnist.exists():
            with np.load(emnist) as stored:
                images, labels = stored["images"], stored["labels"]
                for label, character in enumerate(str(stored["mapping"])):
                    chosen = images[labels == label]
                    self.glyphs[character] = chosen[len(chosen) // 10 :] if not held_out else (
                        chosen[: len(chosen) // 10]
                    )  # fmt: skip


@functools.lru_cache(maxsize=512)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def noise(random: Random, height: int, width: int, cell: float) -> Gray:
    """(height, width) of smooth noise, mean 0 and deviation about 1, blobs of `cell` pixels."""
    coarse = random.standard_normal((max(2, int(height / cell) + 2), max(2, int(width / cell) + 2)))
    picture = Image.fromarray(coarse.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.float32)


# --- texts


def sentence(random: Random, library: Library, words: int) -> str:
    """Consecutive words of a text."""
    text = library.words[random.choice(len(library.words), p=library.shares)]
    start = int(random.integers(max(1, len(text) - words)))
    return " ".join(text[start : start + words])


def _pick(random: Random, choices: str, separator: str | None = None) -> str:
    options = choices.split(separator)
    return str(options[random.integers(len(options))])


def formatted(random: Random, library: Library) -> str:
    """Dates, names, addresses, numbers, sums: what letters hold beside sentences."""

    def name() -> str:
        return str(library.names[random.integers(len(library.names))])

    def number(low: int, high: int) -> str:
        return str(random.integers(low, high))

    def letter() -> str:
        return chr(65 + int(random.integers(26))) + "."

    year = number(1890, 2030)
    month = _pick(random, MONTHS)
    ending = _pick(random, "st nd rd th")
    forms = [
        f"{month} {number(1, 32)}, {year}",
        f"{month} {number(1, 32)}{ending}, {year}.",
        f"{number(1, 32)} {month[:3]}. {year}",
        f"{number(1, 13)}/{number(1, 32)}/{number(10, 99)}",
        f"{_pick(random, PLACES)}, {_pick(random, STATES)}, {month} {number(1, 32)}, {year}.",
        f"{_pick(random, PLACES)}, {_pick(random, STATES)}",
        f"{_pick(random, TITLES)} {letter()} {letter()} {name()},",
        f"{_pick(random, TITLES)} {name()} {name()}",
        f"{name()} {letter()} {name()}",
        f"{_pick(random, OFFICES, '|')} {name()} {name()}",
        f"{_pick(random, OFFICES, '|')} {_pick(random, PLACES)}",
        f"{_pick(random, OFFICES, '|')}",
        f"{number(1, 9999)} {name()} {_pick(random, STREETS)}, {_pick(random, PLACES)}",
        f"Tel. {number(200, 999)}-{number(100, 999)}-{number(1000, 9999)}",
        f"Telephone, {name()} {number(10, 9999)}",
        f"${number(1, 999)}.{number(10, 99)}",
        f"${number(1, 999)},{number(100, 999)}.00 ({number(1, 99)}%)",
        f"{number(1, 13)}:{number(10, 60)} {_pick(random, 'a.m. p.m. AM PM')}",
        f"{name().lower()}.{name().lower()}@{name().lower()}.{_pick(random, 'com org edu')}",
        f"No. {number(1, 99999)}",
        f"{number(1, 99)}. {name()} & {name()}, {number(1, 99)}%",
        f"({name()}) {number(0, 10**6)}",
        f"{number(0, 100)} + {number(0, 100)} = {number(0, 200)}",
        f"{letter()} {letter()} {name().upper()}, {_pick(random, OFFICES, '|')}",
        number(0, 10 ** int(random.integers(1, 9))),
    ]
    return forms[random.integers(len(forms))]


def line_text(random: Random, library: Library, kind: str, domain: Domain) -> str:
    """A line of 1 to 70 characters without leading, trailing or double spaces."""
    draw, any_character = random.random(), domain.any_character
    if draw < any_character:
        count = int(random.integers(2, 18))
        signs = CHARACTERS[2:]
        text = "".join(signs[i] for i in random.integers(len(signs), size=count))
        if random.random() < 0.7:
            text = f"{sentence(random, library, 2)} {text[: count // 3 + 1]}"
    elif draw < any_character + (0.3 if kind == "print" else 0.16):
        text = formatted(random, library)
    else:
        text = sentence(random, library, 1 + int(random.gamma(2.0, 2.2)))
    draw = random.random()
    capitals, titles = (0.42, 0.15) if kind == "print" else (domain.capitals, 0.04)
    if draw < capitals:
        text = text.upper()
    elif draw < capitals + titles:
        text = text.title()
    limit = int(random.integers(40, 71))
    if len(text) > limit:
        text = text[:limit].rsplit(" ", 1)[0]
    text = "".join(character for character in text if character in domain.characters)
    return " ".join(text.split()) or "a"


# --- ink: (H, W) in 0..1, 1 where there is a full stroke


def _trim(mask: Gray) -> Gray:
    rows, columns = np.flatnonzero(mask.max(axis=1) > 0.1), np.flatnonzero(mask.max(axis=0) > 0.1)
    if not len(rows):
        return mask
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _draw_pieces(
    pieces: Sequence[tuple[str, float, float, ImageFont.FreeTypeFont]], size: int, stroke: int
) -> Gray:
    """Texts at x and y of their baselines' left ends."""
    last, x, _, font = pieces[-1]
    width = int(x + font.getlength(last) + 3 * size)
    canvas = Image.new("L", (width, 4 * size))
    drawing = ImageDraw.Draw(canvas)
    for text, x, y, font in pieces:
        position = (x + size, y + 2 * size)
        drawing.text(position, text, fill=255, font=font, anchor="ls", stroke_width=stroke)
    return _trim(np.asarray(canvas, np.float32) / np.float32(255))


def ink_of_font(random: Random, face: Face, text: str, size: int) -> tuple[Gray, str]:
    """The drawn line, and its text as it looks (fonts whose small letters are capitals)."""
    font = _font(str(face.path), size)
    stroke = int(random.random() < (0.06 if face.kind == "handwriting" else 0.02))
    spread = random.random()
    if face.unicase:
        text = text.upper() if random.random() < 0.85 else text
    pieces: list[tuple[str, float, float, ImageFont.FreeTypeFont]]
    if face.kind == "print" and text.isupper() and spread < 0.35:  # small capitals
        small = _font(str(face.path), max(8, int(size * random.uniform(0.7, 0.85))))
        tracking, x, pieces = random.uniform(0, 0.12) * size, 0.0, []
        for before, character in zip(" " + text, text, strict=False):
            chosen = font if not before.isalpha() and character.isalpha() else small
            pieces.append((character, x, 0, chosen))
            x += chosen.getlength(character) + tracking
    elif face.kind == "print" and spread < 0.6:  # letter-spaced
        tracking, x, pieces = random.uniform(-0.02, 0.2) * size, 0.0, []
        for character in text:
            pieces.append((character, x, 0, font))
            x += font.getlength(character) + tracking
    elif face.kind == "handwriting" and spread < 0.6:  # words with a mind of their own
        x, y, pieces = 0.0, 0.0, []
        gap = font.getlength(" ") * random.uniform(0.8, 2.0) + random.uniform(0, 0.25) * size
        for word in text.split(" "):
            own = _font(str(face.path), max(8, int(size * random.uniform(0.92, 1.08))))
            pieces.append((word, x, y, own))
            x += own.getlength(word) + gap * random.uniform(0.6, 1.5)
            y += random.normal(0, 0.03) * size
    else:
        pieces = [(text, 0, 0, font)]
    mask = _draw_pieces(pieces, size, stroke)
    looks_upper = face.unicase
    return mask, text.upper() if looks_upper else text


def ink_of_glyphs(
    random: Random, library: Library, text: str, size: int, joined: bool = False
) -> tuple[Gray, str]:
    """Letters and digits that people wrote singly, set side by side; other signs are left out.
    Joined, a stroke leads from each letter to the next.
    """
    text = "".join(c for c in text if c in library.glyphs or c in " .,-'") or "a"
    text = " ".join(text.split()) or "a"
    canvas = np.zeros((3 * size, (len(text) + 2) * size * 2), np.float32)
    x = float(size)
    tight = random.uniform(-0.02, 0.18) * size
    before: hands.Ends | None = None
    favourites = {c: library.glyphs[c][random.integers(len(library.glyphs[c]))]
                  for c in set(text) if c in library.glyphs}  # fmt: skip
    for character in text:
        base = 2 * size
        if character == " ":
            x += size * random.uniform(0.35, 0.7)
            before = None
            continue
        if character in library.glyphs:
            options = library.glyphs[character]
            glyph = favourites[character]
            if random.random() < 0.5:
                glyph = options[random.integers(len(options))]
            glyph = _trim(glyph.astype(np.float32) / 255)
            tall = 1.0
            if character in "acemnorsuvwxz":
                tall = 0.62
            elif character in "gpqyj":
                tall, base = 0.9, base + int(0.3 * size)
            tall *= random.uniform(0.92, 1.08)
            height = max(4, int(tall * size * 0.8))
            width = max(2, int(glyph.shape[1] * height / glyph.shape[0]))
            picture = Image.fromarray((glyph * 255).astype(np.uint8)).resize((width, height))
            patch = np.asarray(picture, np.float32) / 255
        else:
            height, width = {".": (3, 3), ",": (6, 3), "-": (3, 9), "'": (6, 3)}[character]
            patch = np.ones((height * size // 32 + 1, width * size // 32 + 1), np.float32)
            base += {",": size // 8, "-": -size // 4, "'": -size * 2 // 3}.get(character, 0)
        height, width = patch.shape
        y = base - height + int(random.normal(0, 0.03) * size)
        at = int(x)
        window = canvas[y : y + height, at : at + width]
        np.maximum(window, patch, out=window)
        if joined:
            inked = np.asarray(patch, np.float32)
            ends = hands.ends(inked, y, at) if character.isalpha() else None
            if before and ends:
                hands.join(random, canvas, before, ends, size)
            before = ends
        x += width + tight
    return _trim(canvas), text


def warp(random: Random, mask: Gray, hand: bool, strength: float, domain: Domain) -> Gray:
    """Slant, climb, sway and local stretching of the line; the canvas grows with it."""
    height, width = mask.shape
    leaning, climbing = domain.slant, domain.climb
    slant = random.normal(*leaning[:2]) if hand else random.normal(0, 0.03)
    climb = (random.normal(*climbing[:2]) if hand else random.normal(0, 0.006)) * strength
    sway = random.normal(0, 0.06 if hand else 0.015) * strength
    elastic = random.uniform(0.0, 0.055 if hand else 0.012) * strength
    slant = float(np.clip(slant * strength, *leaning[2:]))
    climb = float(np.clip(climb, *climbing[2:]))
    grow_x = int(abs(slant) * height / 2) + 4
    grow_y = int(abs(climb) * width / 2 + abs(sway) * height) + 4
    y, x = np.mgrid[0 : height + 2 * grow_y, 0 : width + 2 * grow_x].astype(np.float32)
    source_y = y - grow_y
    source_x = x - grow_x
    middle = width / 2
    shift = climb * (source_x - middle)
    phase = random.uniform(0, 2 * math.pi)
    waves = max(0.5, width / height * random.uniform(0.03, 0.12))
    shift += sway * height * np.sin(source_x / max(width, 1) * 2 * math.pi * waves + phase)
    source_x = source_x + slant * (source_y - height / 2)
    source_y = source_y + shift
    if elastic > 0.004:
        cell = height * random.uniform(0.35, 0.9)
        source_y += noise(random, y.shape[0], y.shape[1], cell) * elastic * height
        source_x += noise(random, y.shape[0], y.shape[1], cell) * elastic * height * 1.3
    warped = ndimage.map_coordinates(mask, (source_y, source_x), order=1, prefilter=False)
    return np.asarray(warped, np.float32)


def wear_ribbon(random: Random, mask: Gray, characters: int, wear: float) -> Gray:
    """A typewriter's letters: struck unevenly, out of line, filled with ink, worn."""
    height, width = mask.shape
    weight = random.normal(1.0, random.uniform(0.05, 0.4) * wear, characters).clip(0.25, 1.35)
    offset = np.rint(random.normal(0, random.uniform(0, 0.03) * height, characters)).astype(int)
    owner = (np.arange(width) * characters // max(width, 1)).clip(0, characters - 1)
    rows = (np.arange(height)[:, None] + offset[owner]).clip(0, height - 1)
    mask = np.take_along_axis(mask, rows, 0)
    blurred = ndimage.gaussian_filter(mask, random.uniform(0.4, 0.045 * height + 0.4))
    mask = (blurred * random.uniform(1.0, 2.2)).clip(0, 1)
    worn: Gray = (mask * weight[owner].astype(np.float32)).clip(0, 1)
    return worn


def pen(random: Random, mask: Gray, hand: bool, wear: float, tall: int | None = None) -> Gray:
    """Stroke width, pressure, and ink that runs dry or bleeds, in lines `tall` rows high."""
    height, width = mask.shape
    tall = tall or height
    draw = random.random()
    sigma = random.uniform(0.3, 0.028 * tall + 0.3)
    if draw < 0.3:  # bolder, bleeding
        mask = (ndimage.gaussian_filter(mask, sigma) * random.uniform(1.3, 2.6)).clip(0, 1)
    elif draw < 0.5:  # thinner
        blurred = ndimage.gaussian_filter(mask, sigma)
        mask = ((blurred - random.uniform(0.1, 0.35)) * random.uniform(1.6, 2.5)).clip(0, 1)
        if mask.max() < 0.5:
            mask = blurred
    if hand and random.random() < 0.35 * wear:  # a pen that is thin in one direction
        dy, dx = ((0, 1), (1, 1), (1, 0), (1, -1))[random.integers(4)]
        thinned = np.minimum(mask, np.roll(mask, (dy, dx), (0, 1)))
        thinned = np.minimum(thinned, np.roll(mask, (-dy, -dx), (0, 1)))
        share = random.uniform(0.3, 0.85)
        mask = mask + np.float32(share) * (thinned - mask)
    if random.random() < 0.3 * wear:  # grain of paper in the stroke
        grain = noise(random, height, width, random.uniform(1, 3))
        mask = mask * (1 - random.uniform(0.1, 0.5) * (grain > random.uniform(0.2, 1.2)))
    if random.random() < 0.35 * wear:  # ink that fades along the line
        fade = noise(random, 1, width, tall * random.uniform(0.6, 3))
        mask = mask * (1 - (0.25 * fade + 0.2).clip(0, 0.65))
    return np.asarray(mask, np.float32)


# --- paper


def ground(random: Random, library: Library, height: int, width: int, share: float) -> Gray:
    """(height, width) around 0 in units of the ink's contrast: paper, light, or a photograph."""
    draw = random.random()
    result = np.zeros((height, width), np.float32)
    if draw < share * 0.5 and library.textures:
        texture = library.textures[random.integers(len(library.textures))]
        zoom = random.uniform(0.7, 2.0)
        need_y, need_x = math.ceil(height / zoom), math.ceil(width / zoom)
        rows = (np.arange(need_y) + random.integers(texture.shape[0])) % texture.shape[0]
        columns = (np.arange(need_x) + random.integers(texture.shape[1])) % texture.shape[1]
        patch = Image.fromarray(texture[np.ix_(rows, columns)])
        patch_ = np.asarray(patch.resize((width, height), Image.Resampling.BILINEAR), np.float32)
        spread = float(patch_.std()) + 1
        result += (patch_ - patch_.mean()) / spread * random.uniform(0.04, 0.24)
    elif draw < share:
        result += noise(random, height, width, random.uniform(4, 60)) * random.uniform(0.02, 0.2)
    elif draw < share + 0.3:
        stretched = noise(random, height, max(2, width // 6), random.uniform(1, 4))
        streaks = np.repeat(stretched, 6, axis=1)[:, :width]
        result[:, : streaks.shape[1]] += streaks * random.uniform(0.01, 0.06)
    if random.random() < 0.3:
        slope = np.linspace(-0.5, 0.5, width, dtype=np.float32) * random.normal(0, 0.35)
        result += slope
        result += np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None] * random.normal(0, 0.2)
    if random.random() < 0.12:  # a crease or the edge of a sheet
        at, step = int(random.integers(width)), random.normal(0, 0.15)
        result[:, at : at + int(random.integers(3, 40))] += step
    return result


def compose(
    random: Random,
    library: Library,
    mask: Gray,
    domain: Domain,
    scale: float,
    hand: bool,
    tall: int | None = None,
) -> Pixels:
    """Grey levels of the inked mask on a ground, with what else a crop of a line shows; `tall` is
    the height of a line in it.
    """
    tall = tall or mask.shape[0]
    pads = random.uniform(0.02, 0.5, 4) * tall * np.array([1, 1, 0.6, 0.6])
    top, bottom, left, right = (int(pad) for pad in pads)
    ink = np.pad(mask, ((top, bottom), (left, right)))
    height, width = ink.shape
    others = np.zeros_like(ink)
    if random.random() < domain.neighbours:
        for below in (False, True):
            if random.random() < 0.7:
                visible = int(min(random.uniform(0.05, 0.38) * tall, bottom + 2 if below else top))
                if visible < 2:
                    continue
                moved = np.roll(np.pad(mask, ((0, 0), (left, right))), random.integers(width), 1)
                if below:
                    others[height - visible :] = moved[:visible]
                else:
                    others[:visible] = moved[tall - visible :]
    if random.random() < domain.ruled:
        y, thick = int(height - bottom - random.uniform(-0.1, 0.3) * tall), 1 + tall // 40
        start = int(random.integers(width)) if random.random() < 0.4 else 0
        others[max(0, y) : max(0, y) + thick, start:] = random.uniform(0.25, 1.0)
    if hand and random.random() < 0.03:
        x = int(random.integers(width))
        others[:, x : x + 1 + tall // 40] = random.uniform(0.3, 1)
    if random.random() < 0.06 * domain.wear:  # the other side of the sheet
        ghost = ndimage.gaussian_filter(ink[::-1, ::-1], 1.0)
        others = np.maximum(others, ghost * random.uniform(0.05, 0.25))
    ink = np.maximum(ink, others)
    dark = random.random() < domain.dark_ink
    paper = ground(random, library, height, width, domain.texture)
    if domain.dark_ink == 0 and not domain.texture:
        level, contrast = random.uniform(0, 50), random.uniform(130, 220)
    else:
        contrast = float(np.clip(random.gamma(4, 38), 45, 235))
        level = random.uniform(0.15, 1) * (255 - contrast)
    values = level + contrast * (paper + ink * (1 - 0.3 * paper.clip(-1, 1)))
    if dark:
        values = 255 - values
    if random.random() < 0.5:
        values = ndimage.gaussian_filter(values, random.uniform(0.2, 0.02 * tall + 0.3))
    values += (
        random.standard_normal((height, width), np.float32)
        * random.uniform(0, 0.06 if domain.dark_ink else 0.04)
        * contrast
    )
    pixels = values.clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels)
    if scale < 1:
        small = (max(4, int(width * scale)), max(8, int(height * scale)))
        picture = picture.resize(small, Image.Resampling.BILINEAR)
    if random.random() < 0.35 * domain.wear:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=int(random.integers(25, 92)))
        picture = Image.open(buffer)
    return np.asarray(picture.convert("L"))


def line(
    library: Library, domain: Domain, seed: int, index: int, kind: str | None = None
) -> tuple[Pixels, str, str]:
    """One line: (H, W) grey levels, its text, and the family it is drawn with."""
    random = np.random.default_rng((seed, index))
    names = [name for name in domain.kinds if name in library.families or name == "glyphs"]
    shares = np.array([domain.kinds[name] for name in names])
    kind = kind or str(random.choice(names, p=shares / shares.sum()))
    if kind == "glyphs" and not library.glyphs:
        kind = "handwriting"
    text = line_text(random, library, kind, domain)
    size = int(random.integers(34, 52))
    hand = kind in ("handwriting", "glyphs")
    if kind == "glyphs":
        joined = bool(domain.joined) and random.random() < domain.joined
        mask, text = ink_of_glyphs(random, library, text, size, joined)
        face_family = "emnist"
    else:
        groups = library.families[kind]
        group = groups[random.integers(len(groups))]
        if kind == "handwriting" and library.cursive and random.random() < domain.cursive:
            group = library.cursive[random.integers(len(library.cursive))]
        face = group[random.integers(len(group))]
        if kind == "handwriting" and domain.free and random.random() < domain.free:
            text = text.upper() if face.unicase else text
            mask = _draw_pieces(hands.write(random, face, text, size, _font), size, 0)
        else:
            mask, text = ink_of_font(random, face, text, size)
        face_family = face.family
    stretch_x = float(np.clip(random.normal(1, 0.16 if hand else 0.1), 0.65, 1.5))
    if face_family in CURSIVE:  # people write wider than type designers draw
        stretch_x = float(np.clip(random.normal(1.35, 0.3), 0.8, 2.2))
    tall = int(random.integers(34, 58))
    wide = max(4, int(mask.shape[1] * tall / mask.shape[0] * stretch_x))
    if wide > 16 * tall + 600:
        wide = 16 * tall + 600
    picture = Image.fromarray((mask * 255).astype(np.uint8))
    small = picture.resize((wide, tall), Image.Resampling.BILINEAR, reducing_gap=2.0)
    mask = np.asarray(small, np.float32) / np.float32(255)
    if kind == "typewriter" and random.random() < 0.85:
        mask = wear_ribbon(random, mask, len(text), domain.wear)
    else:
        mask = pen(random, mask, hand, domain.wear)
    mask = warp(random, mask, hand, domain.wear if random.random() < 0.9 else 0.2, domain)
    scale = random.uniform(0.3, 1.0) if random.random() < 0.3 else 1.0
    return compose(random, library, mask, domain, scale, hand), text, face_family


@dataclass(frozen=True)
class Block:
    """What a paragraph is: its words or how many, and how they are set."""

    kind: str = "handwriting"
    lines: int = 6
    characters: int = 32
    columns: int = 1
    text: str | None = None


def wrap(text: str, characters: int) -> list[str]:
    """Lines of at most so many characters, longer words alone."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > characters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def paragraph(
    library: Library, domain: Domain, seed: int, index: int, block: Block
) -> tuple[Pixels, str, str]:
    """A picture of a paragraph, or of several side by side: (H, W) grey levels, its text with
    columns one after the other, and the family it is drawn with.
    """
    random = np.random.default_rng((seed, index, 1))
    group = library.families[block.kind][random.integers(len(library.families[block.kind]))]
    face = group[random.integers(len(group))]
    size = int(random.integers(30, 42))
    font = _font(str(face.path), size)
    step = int((sum(font.getmetrics()) if block.kind != "print" else 1.25 * size) * 1.1)
    hand = block.kind == "handwriting"
    texts, masks = [], []
    for _ in range(block.columns):
        words = block.text or sentence(random, library, block.lines * block.characters // 4)
        lines = wrap(words, block.characters)
        lines = lines if block.text else lines[: block.lines]
        lines = [line.upper() for line in lines] if face.unicase else lines
        wide = int(max(font.getlength(line) for line in lines)) + 2 * size
        canvas = Image.new("L", (wide, step * len(lines) + 2 * size))
        drawing = ImageDraw.Draw(canvas)
        for number, line_ in enumerate(lines):
            x = size / 2 + (random.normal(0, 0.1) * size if hand else 0)
            y = 1.3 * size + number * step + (random.normal(0, 0.04) * size if hand else 0)
            drawing.text((x, y), line_, fill=255, font=font, anchor="ls")
        texts.append("\n".join(lines))
        masks.append(np.asarray(canvas, np.float32) / np.float32(255))
    tallest = max(mask.shape[0] for mask in masks)
    mask = np.concatenate(
        [np.pad(mask, ((0, tallest - mask.shape[0]), (0, 0))) for mask in masks], axis=1
    )
    mask = pen(random, _trim(mask), hand, 0.4 * domain.wear, size)
    pixels = compose(random, library, mask, domain, 1.0, hand, size)
    return pixels, "\n".join(texts), face.family


# --- a cache of prepared lines

_state: dict[str, tuple[Library, Domain]] = {}


def start(data: Path, fonts: Path, domain: str, held_out: bool) -> None:
    """Readies a process that draws."""
    _state["now"] = Library(data, fonts, held_out), DOMAINS[domain]


def prepare(job: tuple[int, int, int]) -> tuple[bytes, list[tuple[int, str, str]]]:
    """Prepared lines of a seed, from first to last, column by column, and width, text and family
    of each."""
    seed, first, last = job
    library, domain = _state["now"]
    chunks, rows = [], []
    for index in range(first, last):
        gray, text, name = line(library, domain, seed, index)
        pixels = line_pixels(gray.astype(np.float32), domain.preparation)
        chunks.append(np.ascontiguousarray(pixels.T).tobytes())
        rows.append((pixels.shape[1], text, name))
    return b"".join(chunks), rows


def write_cache(
    cache: Path, data: Path, fonts: Path, domain: str, seed: int, count: int, processes: int,
    held_out: bool = False,
) -> None:  # fmt: skip
    """CACHE/pixels.u8 holds the lines one after the other, column by column; lines.jsonl holds
    width, text and family of each; readers may use what is complete while it grows.
    """
    cache.mkdir(parents=True, exist_ok=True)
    settings = {"domain": domain, "seed": seed, **asdict(DOMAINS[domain].preparation)}
    (cache / "settings.json").write_text(json.dumps(settings))
    step = 250
    jobs = [(seed, first, min(first + step, count)) for first in range(0, count, step)]
    with (
        ProcessPoolExecutor(
            processes, initializer=start, initargs=(data, fonts, domain, held_out)
        ) as pool,
        (cache / "pixels.u8").open("wb") as pixels,
        (cache / "lines.jsonl").open("w") as lines,
    ):
        for chunk, rows in tqdm(pool.map(prepare, jobs), total=len(jobs), unit_scale=step):
            pixels.write(chunk)
            pixels.flush()
            lines.writelines(json.dumps(row) + "\n" for row in rows)
            lines.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cache", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="texts/, textures/, emnist/")
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--domain", choices=DOMAINS, default="v2")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--held-out", action="store_true", help="only fonts kept from training")
    a = parser.parse_args()
    write_cache(a.cache, a.data, a.fonts, a.domain, a.seed, a.count, a.processes, a.held_out)


if __name__ == "__main__":
    main()
