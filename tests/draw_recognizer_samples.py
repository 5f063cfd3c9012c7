"""Draws the golden pictures with own sentences, and notes what v2 reads in them.

`python -m tests.draw_recognizer_samples FONTS` (a folder of `python -m recognizer.fonts`); run it
again after a new v2 was trained, and look at the difference before committing it.
"""

import dataclasses
import json
import sys
from pathlib import Path

from PIL import Image

from recognizer.evaluate import CLEAN
from recognizer.reader import Recognizer
from recognizer.synthetic import Block, Library, paragraph

FOLDER = Path(__file__).parent / "data" / "recognizer"
LETTER = (
    "We moved the piano on Sunday. It took four of us and a cart, and my brother sang the whole "
    "way down the hill. Come and hear it when the roof is mended."
)
LABEL = "Keep dry. Batch 1138, packed 24 March by R. Okafor in Leeds."
NOTICE = "The reading room closes at 6 p.m. Please return all maps to the desk."
LIST = "two lemons, 500 g of flour, a jar of honey & some thyme"
# file, kind of font, dark ink, text
SAMPLES = (
    ("letter_dark_on_light.png", "handwriting", 1.0, LETTER, 34),
    ("letter_light_on_dark.png", "handwriting", 0.0, LETTER, 34),
    ("label_typewritten.png", "typewriter", 1.0, LABEL, 32),
    ("notice_printed.png", "print", 1.0, NOTICE, 36),
    ("list_one_line.png", "handwriting", 1.0, LIST, 60),
)


def main(fonts: Path) -> None:
    library = Library(fonts, fonts, held_out=True)
    recognizer, rows = Recognizer.load("v2"), []
    FOLDER.mkdir(parents=True, exist_ok=True)
    for index, (name, kind, dark, text, characters) in enumerate(SAMPLES):
        domain = dataclasses.replace(CLEAN, dark_ink=dark)
        block = Block(kind, characters=characters, text=text)
        pixels, shown, family = paragraph(library, domain, 7, index, block)
        Image.fromarray(pixels).save(FOLDER / name, optimize=True)
        read = recognizer.read(FOLDER / name).text
        rows.append({"file": name, "font": family, "text": shown, "v2": read})
    (FOLDER / "samples.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
