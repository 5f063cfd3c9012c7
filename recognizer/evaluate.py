"""Character error rates of several recognizers, by what is in the picture.

    python -m recognizer.evaluate --data FOLDER --fonts FOLDER [--models v1 v2 v3] [--count 60]

RapidOCR and tesseract read the same pictures in the same run where they are installed, each as its
documentation has it for that layout (`rapidocr`, `tesseract` below). Error rates are
case-sensitive, with runs of whitespace folded to one space. Pictures are drawn with fonts and
glyphs that no model was trained on (`fonts.HELD_OUT`); real lines come from the folder's
`handwritten_lines/`, which is never trained on.
"""

import argparse
import csv
import dataclasses
import importlib.metadata
import io
import json
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rapidfuzz.distance import Levenshtein
from tqdm import tqdm

from recognizer.alphabet import fold
from recognizer.preprocessing import ink_columns, ink_of, ink_rows, stretch, to_gray
from recognizer.reader import Recognizer
from recognizer.synthetic import DOMAINS, Block, Domain, Library, line, paragraph

Layout = Literal["line", "block", "columns"]
Sample = tuple[Image.Image, str]
Read = Callable[[Sequence[Image.Image], Layout], list[str]]

CLEAN = dataclasses.replace(
    DOMAINS["v2"], texture=0.0, neighbours=0.0, ruled=0.0, any_character=0.0, wear=0.15
)
UNUSUAL = "Total: $4,250.00 @ 7% = {net} [see p. 12] <ok> a_b ~ x^2 | y; 50% of $80 is $40"


@dataclass(frozen=True)
class Mode:
    """A failure mode: what a picture of it is like."""

    name: str
    domain: Domain
    block: Block | None
    kinds: tuple[str, ...] = ("handwriting",)

    @property
    def layout(self) -> Layout:
        if self.block is None:
            return "line"
        return "columns" if self.block.columns > 1 else "block"


MODES = (
    Mode("lines, all kinds", DOMAINS["v2"], None, ("handwriting", "print", "typewriter")),
    Mode("clean paragraphs", CLEAN, Block(), ("handwriting", "print", "typewriter")),
    Mode("light on dark", dataclasses.replace(CLEAN, dark_ink=0.0), Block()),
    Mode("dark on light", dataclasses.replace(CLEAN, dark_ink=1.0), Block()),
    Mode("printed", CLEAN, Block(characters=40), ("print",)),
    Mode("typewritten", CLEAN, Block(characters=40), ("typewriter",)),
    Mode("two columns", CLEAN, Block(characters=20, columns=2), ("handwriting", "print")),
    Mode("other characters", CLEAN, Block(characters=28, text=UNUSUAL), ("handwriting", "print")),
    Mode(
        "textured ground",
        dataclasses.replace(CLEAN, texture=1.0, wear=0.5),
        Block(),
        ("handwriting", "print"),
    ),
)


def folded(text: str) -> str:
    return " ".join(text.split())


def error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Edits per true character over all pairs of an output and its truth."""
    edits = sum(Levenshtein.distance(folded(output), folded(truth)) for output, truth in pairs)
    return edits / max(1, sum(len(folded(truth)) for _, truth in pairs))


def interval(
    pairs: Sequence[tuple[str, str]], draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The error rate's 95% interval over pictures (Bisani & Ney 2004): pictures drawn anew."""
    edits = np.array([Levenshtein.distance(folded(a), folded(b)) for a, b in pairs], float)
    lengths = np.array([len(folded(truth)) for _, truth in pairs], float)
    chosen = np.random.default_rng(seed).integers(len(pairs), size=(draws, len(pairs)))
    rates = edits[chosen].sum(axis=1) / lengths[chosen].sum(axis=1).clip(min=1)
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)


def drawn(library: Library, mode: Mode, count: int, seed: int) -> list[Sample]:
    samples = []
    for index in range(count):
        kind = mode.kinds[index % len(mode.kinds)]
        if mode.block is None:
            pixels, text, _ = line(library, mode.domain, seed, index, kind)
        else:
            block = dataclasses.replace(mode.block, kind=kind)
            pixels, text, _ = paragraph(library, mode.domain, seed, index, block)
        samples.append((Image.fromarray(pixels), text))
    return samples


def real_lines(folder: Path, kind: str) -> list[Sample]:
    """Lines of the folder's lines.zip; marks of superscripts and struck words are dropped."""
    samples = []
    with (folder / "lines.csv").open() as file, zipfile.ZipFile(folder / "lines.zip") as archive:
        for row in csv.DictReader(file):
            if row["line_type"].endswith(kind):
                with Image.open(io.BytesIO(archive.read(row["file"]))) as image:
                    text = row["text"].translate(str.maketrans("", "", "^\u27e6\u27e7"))
                    samples.append((image.convert("L"), fold(text)))
    return samples


def cropped_to_ink(image: Image.Image) -> Image.Image:
    """A line without the margins around its ink."""
    gray = to_gray(image)
    ink = stretch(ink_of(gray, window=gray.shape[0])[0])
    top, bottom = ink_rows(ink)
    left, right = ink_columns(ink[top:bottom])
    return image.crop((left, top, right, bottom))


def in_reading_order(boxes: NDArray[np.float32], texts: Sequence[str]) -> str:
    """Texts of quadrilaterals (N, 4, 2): those whose middles are within half a height of each
    other make a line, read from left to right.
    """
    tops, bottoms = boxes[:, :, 1].min(axis=1), boxes[:, :, 1].max(axis=1)
    middles, heights, lefts = (tops + bottoms) / 2, bottoms - tops, boxes[:, :, 0].min(axis=1)
    lines: list[list[int]] = []
    for box in np.argsort(middles).tolist():
        if lines and middles[box] - middles[lines[-1][0]] < heights[lines[-1][0]] / 2:
            lines[-1].append(box)
        else:
            lines.append([box])
    return "\n".join(
        " ".join(texts[box] for box in sorted(line, key=lambda box: lefts[box])) for line in lines
    )


def rapidocr() -> Read | None:
    """RapidOCR with its own models; None where it is not installed.

    Lines go to its recognition alone, cropped to their ink, as its detection would crop them.
    Paragraphs go through its detection, and the boxes are put in reading order. Its classifier of
    upside-down lines is off: everything here is upright. It has no analysis of columns.
    """
    try:
        from rapidocr import RapidOCR
    except ImportError:
        return None
    engine: Any = RapidOCR(params={"Global.log_level": "critical"})

    def read(image: Image.Image, layout: Layout) -> str:
        line = layout == "line"
        pixels = np.asarray((cropped_to_ink(image) if line else image).convert("RGB"))
        output = engine(pixels, use_det=not line, use_cls=False, use_rec=True)
        if not output.txts:
            return ""
        return " ".join(output.txts) if line else in_reading_order(output.boxes, output.txts)

    return lambda images, layout: [read(image, layout) for image in tqdm(images, leave=False)]


PAGE_SEGMENTATION: dict[Layout, int] = {"line": 7, "block": 6, "columns": 3}  # tesseract --help-psm


def tesseract() -> Read | None:
    """Tesseract's English model, told the layout; None where it is not installed."""
    if not shutil.which("tesseract"):
        return None

    def read(image: Image.Image, layout: Layout) -> str:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        finished = subprocess.run(
            ["tesseract", "-", "-", "--psm", str(PAGE_SEGMENTATION[layout])],
            input=buffer.getvalue(),
            capture_output=True,
            check=True,
            env=os.environ | {"OMP_THREAD_LIMIT": "2"},
        )
        return finished.stdout.decode()

    return lambda images, layout: [read(image, layout) for image in tqdm(images, leave=False)]


def own(model: Recognizer) -> Read:
    return lambda images, layout: [reading.text for reading in model.read_many(images)]


def readers(models: Sequence[str]) -> dict[str, Read]:
    """The recognizers to compare, by name and version."""
    loaded = [Recognizer.load(name) for name in models]
    by_name = {model.version: own(model) for model in loaded}
    if read := rapidocr():
        by_name[f"rapidocr {importlib.metadata.version('rapidocr')}"] = read
    if read := tesseract():
        by_name["tesseract"] = read
    return by_name


def sample_sets(
    data: Path, fonts: Path, count: int, seed: int, only: Sequence[str] = ()
) -> dict[str, tuple[Layout, list[Sample]]]:
    """Drawn and real pictures by name, each set with its layout; `only`: substrings of names."""
    sets: dict[str, tuple[Layout, list[Sample]]] = {}
    wanted = [mode for mode in MODES if not only or any(part in mode.name for part in only)]
    library = Library(data, fonts, held_out=True) if wanted else None
    for mode in wanted:
        assert library is not None
        number = count * (5 if mode.block is None else 1)
        sets[mode.name] = mode.layout, drawn(library, mode, number, seed)
    real = data / "handwritten_lines"
    if real.exists() and (not only or "real" in only):
        for kind in ("Typewritten", "Print", "Handwritten"):
            sets[f"real {kind.lower()}"] = "line", real_lines(real, kind)
    return sets


def evaluate(
    by_name: Mapping[str, Read], sets: Mapping[str, tuple[Layout, list[Sample]]]
) -> dict[str, dict[str, float]]:
    """Character error rates by recognizer and set, each printed when it is known."""
    table: dict[str, dict[str, float]] = {}
    for name, read in by_name.items():
        table[name] = {}
        for column, (layout, samples) in sets.items():
            began = time.perf_counter()
            texts = read([image for image, _ in samples], layout)
            pairs = list(zip(texts, (text for _, text in samples), strict=True))
            table[name][column] = error_rate(pairs)
            each = (time.perf_counter() - began) / len(samples)
            low, high = interval(pairs)
            rate = f"{table[name][column]:.3f} ({low:.3f}–{high:.3f})"
            print(f"{name:16} {column:20} {rate}  {each:.3f} s each", flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=["v1", "v2", "v3"])
    parser.add_argument("--count", type=int, default=60, help="drawn pictures per failure mode")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--only", nargs="+", default=[], help="substrings of failure modes")
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    a = parser.parse_args()
    sets = sample_sets(a.data, a.fonts, a.count, a.seed, a.only)
    table = evaluate(readers(a.models), sets)
    print("\n| model | " + " | ".join(sets) + " |")
    print("|---|" + "---:|" * len(sets))
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{row[column]:.3f}" for column in sets) + " |")
    if a.json:
        a.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
