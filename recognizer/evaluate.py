"""How often models read wrongly, by what is in the picture: a table of character error rates.

    python -m recognizer.evaluate --data FOLDER --fonts FOLDER [--models v1 v2] [--count 60]

RapidOCR and tesseract read the same pictures in the same run where they are installed. Error rates
are case-sensitive, with runs of whitespace folded to one space. Pictures are drawn with fonts and
glyphs that no model was trained on (`fonts.HELD_OUT`); real lines are read where the folder holds
`handwritten_lines/`, and never trained on.
"""

import argparse
import csv
import dataclasses
import importlib.metadata
import io
import json
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rapidfuzz.distance import Levenshtein
from tqdm import tqdm

from recognizer.alphabet import fold
from recognizer.reader import Recognizer
from recognizer.synthetic import DOMAINS, Block, Domain, Library, line, paragraph

Read = Callable[[Image.Image], str]
Sample = tuple[Image.Image, str]

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
    """Edits per true character over all (read, true) pairs."""
    edits = sum(Levenshtein.distance(folded(read), folded(true)) for read, true in pairs)
    return edits / max(1, sum(len(folded(true)) for _, true in pairs))


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


def rapidocr() -> Read | None:
    """RapidOCR with its own models, lines from top to bottom; None where it is not installed."""
    try:
        from rapidocr import RapidOCR
    except ImportError:
        return None
    engine: Any = RapidOCR(params={"Global.log_level": "critical"})

    def read(image: Image.Image) -> str:
        found = engine(np.asarray(image.convert("RGB")))
        return "\n".join(found.txts or ())

    return read


def tesseract(page: int = 6) -> Read | None:
    """Tesseract's English model, a uniform block of text; None where it is not installed."""
    if not shutil.which("tesseract"):
        return None

    def read(image: Image.Image) -> str:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        done = subprocess.run(
            ["tesseract", "-", "-", "--psm", str(page)],
            input=buffer.getvalue(),
            capture_output=True,
            check=True,
            env={"OMP_THREAD_LIMIT": "2"},
        )
        return done.stdout.decode()

    return read


def readers(models: Sequence[str]) -> dict[str, Callable[[list[Image.Image]], list[str]]]:
    """What is to be compared, by name and version."""
    found: dict[str, Callable[[list[Image.Image]], list[str]]] = {}
    for name in models:
        model = Recognizer.load(name)
        found[model.version] = lambda images, model=model: [  # type: ignore[misc]
            reading.text for reading in model.read_many(images)
        ]
    for name, read in (("rapidocr", rapidocr()), ("tesseract", tesseract())):
        if read is None:
            continue
        version = importlib.metadata.version(name) if name == "rapidocr" else ""
        found[f"{name} {version}".strip()] = lambda images, read=read: [  # type: ignore[misc]
            read(image) for image in tqdm(images, leave=False)
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["v1", "v2"])
    parser.add_argument("--count", type=int, default=60, help="drawn pictures per failure mode")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--only", nargs="+", help="substrings of failure modes")
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    a = parser.parse_args()
    library = Library(a.data, a.fonts, held_out=True)
    sets: dict[str, list[Sample]] = {}
    for mode in MODES:
        count = a.count * (5 if mode.block is None else 1)
        if not a.only or any(part in mode.name for part in a.only):
            sets[mode.name] = drawn(library, mode, count, a.seed)
    real = a.data / "handwritten_lines"
    if real.exists():
        for kind in ("Typewritten", "Print", "Handwritten"):
            if not a.only or "real" in a.only:
                sets[f"real {kind.lower()}"] = real_lines(real, kind)
    table: dict[str, dict[str, float]] = {}
    for name, read in readers(a.models).items():
        table[name] = {}
        for column, samples in sets.items():
            began = time.perf_counter()
            texts = read([image for image, _ in samples])
            pairs = list(zip(texts, (text for _, text in samples), strict=True))
            table[name][column] = error_rate(pairs)
            each = (time.perf_counter() - began) / len(samples)
            print(f"{name:16} {column:20} {table[name][column]:.3f}  {each:.3f} s each", flush=True)
    print("\n| model | " + " | ".join(sets) + " |")
    print("|---|" + "---:|" * len(sets))
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{row[column]:.2f}" for column in sets) + " |")
    if a.json:
        a.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
