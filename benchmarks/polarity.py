"""What polarity does to a recognizer: its texts of the same paragraphs, light on dark and dark on
light, told apart by the projections that the dashboard shows.

`python -m benchmarks.polarity --data FOLDER --fonts FOLDER` (of recognizer.synthetic and
recognizer.fonts) prints error rates and areas under the curve for v1 and v2.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_access.projections.text import repetition, word_entropy
from recognizer.evaluate import CLEAN, Mode, drawn, error_rate, folded
from recognizer.reader import Recognizer
from recognizer.synthetic import Block, Library

LIGHT, DARK = (
    Mode(name, dataclasses.replace(CLEAN, dark_ink=share), Block(lines=8, characters=36))
    for name, share in (("light on dark", 0.0), ("dark on light", 1.0))
)


def area_under_curve(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Probability that one of `higher` is above one of `lower`, ties halved."""
    differences = np.subtract.outer(np.array(higher), np.array(lower))
    return float(((differences > 0) + 0.5 * (differences == 0)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60, help="paragraphs of each polarity")
    parser.add_argument("--seed", type=int, default=2024)
    arguments = parser.parse_args()
    library = Library(arguments.data, arguments.fonts, held_out=True)
    samples = {
        mode.name: drawn(library, mode, arguments.count, arguments.seed) for mode in (LIGHT, DARK)
    }
    examples = []
    print("| model | errors, light on dark | dark on light | word entropy, AUC | repetition, AUC |")
    print("|---|--:|--:|--:|--:|")
    for name in ("v1", "v2"):
        model = Recognizer.load(name)
        texts, rates = {}, []
        for mode, pairs in samples.items():
            readings = model.read_many([image for image, _ in pairs])
            texts[mode] = [reading.text for reading in readings]
            truths = [truth for _, truth in pairs]
            rates.append(f"{error_rate(list(zip(texts[mode], truths, strict=True))):.3f}")
        light, dark = texts[LIGHT.name], texts[DARK.name]
        entropy = area_under_curve(word_entropy(light), word_entropy(dark))
        loops = area_under_curve(repetition(dark), repetition(light))
        print(f"| {name} | {' | '.join(rates)} | {entropy:.3f} | {loops:.3f} |", flush=True)
        examples += [f"{name}, dark on light: {folded(text)[:90]}" for text in dark[:3]]
    print("\n" + "\n".join(examples))


if __name__ == "__main__":
    main()
