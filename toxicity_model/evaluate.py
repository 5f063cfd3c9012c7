"""Measure the bundled model on what it was not trained on: `python -m toxicity_model.evaluate`.

Prints the tables of README.md and draws its reliability plot. The model is loaded as the
dashboard loads it, through Detoxify; beside it stands the linear model, trained on the same texts.
"""

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from data_access.scoring.toxicity import Toxicity
from toxicity_model import texts
from toxicity_model.corruption import KINDS, misread
from toxicity_model.linear import Linear
from toxicity_model.texts import LABELS

Score = Callable[[list[str]], np.ndarray]
HIGH = 0.5
BINS = 10
SWEARING = "sh1t fuek fuk shlt bltch b1tch fvck cumt dlck assho1e fuckimg bullshlt"
CARRIERS = ("{}", "you are a {}", "what the {} is this", "this is {} I said", "oh {}, not again")


def auc(score: Score, held_out: texts.Texts) -> list[float]:
    predicted = score(held_out.texts)
    return [
        float(roc_auc_score(wanted, given))
        for wanted, given in zip(held_out.scores.T, predicted.T, strict=True)
    ]


def spearman(score: Score, genuine: texts.Texts) -> list[float]:
    predicted = score(genuine.texts)
    return [
        float(spearmanr(wanted, given).statistic)
        for wanted, given in zip(genuine.scores.T, predicted.T, strict=True)
    ]


def reliability(given: np.ndarray, wanted: np.ndarray) -> list[tuple[float, float, int]]:
    """For tenths of the scale: mean score, share of positives, and how many texts."""
    bins = np.minimum((given * BINS).astype(int), BINS - 1)
    return [
        (float(given[bins == number].mean()), float(wanted[bins == number].mean()), int(count))
        for number, count in enumerate(np.bincount(bins, minlength=BINS))
        if count
    ]


def calibration_error(curve: Sequence[tuple[float, float, int]]) -> float:
    """Expected calibration error: the mean distance of score and share, by texts."""
    total = sum(count for _, _, count in curve)
    return sum(abs(score - share) * count for score, share, count in curve) / total


def plot(curves: dict[str, list[tuple[float, float, int]]], file: Path) -> None:
    """A reliability plot as SVG."""
    colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
    side, edge = 320, 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side + 190}" height="{side + 2 * edge}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{edge} {edge}V{edge + side}H{edge + side}" stroke="#666" fill="none"/>',
        f'<path d="M{edge} {edge + side}l{side} -{side}" stroke="#bbb" stroke-dasharray="4"/>',
        f'<text x="{edge}" y="{edge + side + 34}">score</text>',
        f'<text x="{edge}" y="{edge - 14}">share of texts that people gave the label</text>',
    ]
    for tick in (0, 0.5, 1):
        parts.append(
            f'<text x="{edge + side * tick - 6}" y="{edge + side + 16}">{tick}</text>'
            f'<text x="{edge - 26}" y="{edge + side * (1 - tick) + 4}">{tick}</text>'
        )
    for number, (label, curve) in enumerate(curves.items()):
        colour = colours[number]
        points = [(edge + side * x, edge + side * (1 - y)) for x, y, count in curve if count >= 10]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" stroke="{colour}" fill="none" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        place = edge + 16 * number
        parts.append(f'<text x="{edge + side + 12}" y="{place}" fill="{colour}">{label}</text>')
    file.write_text("\n".join([*parts, "</svg>\n"]))


def fooled(
    score: Score, clean: list[str], words: list[str], rude: frozenset[str], held_out: texts.Texts
) -> Iterator[tuple[str, int, float, float]]:
    """What should be low and what should be high: name, texts, share over HIGH, median toxicity."""
    source = random.Random(2)
    trials: dict[str, list[str]] = {"sentences of novels": clean}
    for share in (0.2, 0.5):
        trials[f"… with {share:.0%} of words misread"] = [
            misread(text, share, source, frozenset()) for text in clean
        ]
    for kind in KINDS:
        name = kind.__name__.strip("_").replace("_", " ")
        trials[f"gibberish: {name}"] = [kind(words, source) for _ in range(500)]
    obscene = [
        text for text, scores in zip(held_out.texts, held_out.scores, strict=True) if scores[2]
    ]
    trials["obscene comments"] = obscene
    trials["… with 15% of words, 75% of rude ones, misread"] = [
        misread(text, 0.15, source, rude) for text in obscene
    ]
    trials["swear words as OCR writes them"] = [
        carrier.format(word) for word in SWEARING.split() for carrier in CARRIERS
    ]
    for name, trial in trials.items():
        toxicity = score(trial)[:, 0]
        yield name, len(trial), float((toxicity >= HIGH).mean()), float(np.median(toxicity))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder with toxicity/, texts/"
    )
    parser.add_argument("--model", default="bundled", help="as MISREAD_TOXICITY")
    parser.add_argument("--plot", type=Path, help="where to draw the reliability plot, as .svg")
    parser.add_argument("--no-linear", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    toxicity, english = options.data / "toxicity", options.data / "texts"
    model = Toxicity.load(options.model)
    scorers: dict[str, Score] = {model.name: model.scores}
    if not options.no_linear:
        scorers["TF-IDF + logistic regression"] = (
            Linear().fit(texts.jigsaw(toxicity, held_out=False)).scores
        )
    held_out, genuine = (
        texts.jigsaw(toxicity, held_out=True),
        texts.genuine(toxicity, held_out=True),
    )

    print(f"| AUC, {len(held_out.texts):,} held-out comments | {' | '.join(LABELS)} | mean |")
    print("|---" + "|--:" * 7 + "|")
    for name, score in scorers.items():
        values = auc(score, held_out)
        print(
            f"| {name} | {' | '.join(f'{value:.4f}' for value in values)} | {np.mean(values):.4f} |"
        )
    print(f"| texts with the label | {' | '.join(str(int(n)) for n in held_out.scores.sum(0))} | |")

    print(f"\n| Spearman, {len(genuine.texts):,} held-out texts | {' | '.join(LABELS)} |")
    print("|---" + "|--:" * 6 + "|")
    for name, score in scorers.items():
        values = spearman(score, genuine)
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |")

    given = model.scores(held_out.texts)
    curves = {
        label: reliability(given[:, number], held_out.scores[:, number])
        for number, label in enumerate(LABELS)
    }
    print("\n| calibration | " + " | ".join(LABELS) + " |\n|---" + "|--:" * 6 + "|")
    errors = [calibration_error(curves[label]) for label in LABELS]
    print(f"| expected error | {' | '.join(f'{error:.4f}' for error in errors)} |")
    print(f"| mean score | {' | '.join(f'{mean:.4f}' for mean in given.mean(0))} |")
    print(f"| share with the label | {' | '.join(f'{m:.4f}' for m in held_out.scores.mean(0))} |")
    if options.plot:
        plot(curves, options.plot)

    rude = frozenset(texts.profanity(toxicity))
    words = texts.common_words(texts.sentences(english), rude)
    clean = texts.novels(english, 1000)
    print("\n| toxicity of | texts | " + " | ".join(f"{n}: over 0.5 | median" for n in scorers))
    print("|---|--:" + "|--:|--:" * len(scorers) + "|")
    rows = [list(fooled(score, clean, words, rude, held_out)) for score in scorers.values()]
    for row in zip(*rows, strict=True):
        cells = " | ".join(f"{high:.1%} | {median:.3f}" for _, _, high, median in row)
        print(f"| {row[0][0]} | {row[0][1]:,} | {cells} |")


if __name__ == "__main__":
    main()
