"""How fast the recognizer reads, and what its cache is worth.

`python -m benchmarks.recognizer [--model v2] [--pictures 24]`. First the decoder alone: the same
weights write lines of a fixed length with cached keys and values and, as the reference course's
model does, with the whole text going through the decoder again for every further character; the
tokens must be identical. Then whole pictures, one at a time and all at once, beside RapidOCR and
tesseract where they are installed. All on two threads.
"""

import argparse
import os
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from recognizer import alphabet, checkpoint
from recognizer.evaluate import rapidocr, tesseract
from recognizer.model import LineReader
from recognizer.reader import Recognizer

LENGTHS = (15, 30, 60, 120, 240, 480, 680)
COLUMNS = 160
LINES = 8
RUNS = 3
SENTENCES = (
    "The baker on the corner opens",
    "before the trams run, and by",
    "six o'clock 40 loaves are gone.",
    "Nobody remembers who painted",
    "the blue door, or why in 1987.",
)


def endless(model: LineReader, longest: int) -> LineReader:
    """The same weights, but no line ends before it is told to; positions beyond those that were
    learned repeat from the start.
    """
    decoder = model.decoder
    known = decoder.position.weight.data  # (max_length, C)
    longer = known.repeat(-(-longest // len(known)), 1)[:longest].clone()
    decoder.position = nn.Embedding(longest, known.shape[1], _weight=longer)
    decoder.write.bias.data[alphabet.END] = -1e9
    model.config = type(model.config)(**{**vars(model.config), "max_length": longest})
    return model


def timed(function: Callable[[], object], runs: int = RUNS) -> float:
    """Seconds, the best of several runs."""
    times = []
    for _ in range(runs):
        began = perf_counter()
        function()
        times.append(perf_counter() - began)
    return min(times)


def decoding(name: str) -> None:
    model, _ = checkpoint.load(checkpoint.WEIGHTS / f"{name}.safetensors")
    model = endless(model, max(LENGTHS))
    torch.manual_seed(1)
    columns = model.encoder(torch.rand(LINES, 1, model.config.height, 4 * COLUMNS)).detach()
    print(f"{LINES} lines of {COLUMNS} columns; seconds, best of {RUNS}\n")
    print("| characters | cached | whole prefix | times faster |\n|--:|--:|--:|--:|")
    for length in LENGTHS:
        runs = RUNS if length <= 240 else 1
        cached = timed(lambda length=length: model.decode(columns, length), runs)  # type: ignore[misc]
        whole = timed(lambda length=length: model.decode(columns, length, cached=False), runs)  # type: ignore[misc]
        one, other = (
            model.decode(columns, length)[0],
            model.decode(columns, length, cached=False)[0],
        )
        if not torch.equal(one, other):
            raise SystemExit(f"other tokens without the cache at {length} characters")
        print(f"| {length} | {cached:.3f} | {whole:.3f} | {whole / cached:.1f} |", flush=True)


def pictures(count: int) -> list[Image.Image]:
    """Paragraphs of five lines in Pillow's own font, each a little different."""
    drawn = []
    for number in range(count):
        size = 22 + number % 7
        image = Image.new("L", (22 * size, 9 * size), 225)
        text = "\n".join(SENTENCES[number % 5 :] + SENTENCES[: number % 5])
        font = ImageFont.load_default(size)
        ImageDraw.Draw(image).multiline_text((size, size), text, fill=40, font=font)
        drawn.append(image)
    return drawn


def reading(name: str, count: int) -> None:
    images = pictures(count)
    model = Recognizer.load(name)
    model.read(images[0])
    print("\n| reader | seconds an image, median | images/s, one at a time | images/s, batched |")
    print("|---|--:|--:|--:|")
    ours = [timed(lambda image=image: model.read(image), 1) for image in images]  # type: ignore[misc]
    batch = timed(lambda: model.read_many(images), 2)
    one = f"{median(ours):.3f} | {count / sum(ours):.1f}"
    print(f"| {model.version} | {one} | {count / batch:.1f} |", flush=True)
    for other, read in (("rapidocr", rapidocr()), ("tesseract", tesseract())):
        if read is not None:
            read(images[:1], "block")
            times = [
                timed(lambda image=image, read=read: read([image], "block"), 1)  # type: ignore[misc]
                for image in images
            ]
            print(f"| {other} | {median(times):.3f} | {count / sum(times):.1f} | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="v2")
    parser.add_argument("--pictures", type=int, default=24)
    a = parser.parse_args()
    torch.set_num_threads(2)
    print(f"load {os.getloadavg()[0]:.1f}")
    with torch.inference_mode():
        decoding(a.model)
    reading(a.model, a.pictures)


if __name__ == "__main__":
    main()
