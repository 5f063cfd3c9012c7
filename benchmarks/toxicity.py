"""How fast texts get Detoxify's scores: `python -m benchmarks.toxicity`.

The same weights, the same texts: a plain loop over `Detoxify.predict`, 32 texts at a time in the
log's order, against what `score` does; each change is also measured alone.
"""

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import numpy as np
import torch

from benchmarks.synthetic import LOOPS, WORDS
from data_access.projections.table import TOXICITY
from data_access.scoring.toxicity import Toxicity

PLAIN_BATCH = 32
RUNS = 3


def log_texts(count: int, distinct: float) -> list[str]:
    """Outputs as a log has them, in its order: lines and paragraphs, one in twenty a loop.

    distinct: the share of texts that are there for the first time; the others are reports of an
    image that was read before, some images far more often than others.
    """
    source = random.Random(1)
    vocabulary = WORDS.split()
    texts: list[str] = []
    for _ in range(count):
        if texts and source.random() > distinct:
            texts.append(texts[int(len(texts) * source.random() ** 3)])
        elif source.random() < 0.05:
            texts.append(source.choice(LOOPS) * source.randint(10, 60))
        else:
            words = min(180, round(source.lognormvariate(2.6, 0.8)) + 1)
            texts.append(" ".join(source.choices(vocabulary, k=words)))
    return texts


def plain(model: Toxicity, texts: Sequence[str], size: int = PLAIN_BATCH) -> np.ndarray:
    batches = []
    for start in range(0, len(texts), size):
        part = list(texts[start : start + size])
        scores = model.detoxify.predict(part)
        batches.append(np.array([np.atleast_1d(scores[name]) for name in TOXICITY]).T)
    return np.concatenate(batches)


def sorted_plain(model: Toxicity, texts: Sequence[str]) -> np.ndarray:
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    scores = np.empty((len(texts), len(TOXICITY)))
    scores[order] = plain(model, [texts[number] for number in order])
    return scores


def distinct_plain(model: Toxicity, texts: Sequence[str]) -> np.ndarray:
    distinct = list(dict.fromkeys(texts))
    place = {text: number for number, text in enumerate(distinct)}
    return plain(model, distinct)[[place[text] for text in texts]]


def timed(score: Callable[[], np.ndarray], runs: int) -> tuple[float, np.ndarray]:
    """Seconds of the best run, and its scores."""
    best = float("inf")
    for _ in range(runs):
        start = perf_counter()
        scores = score()
        best = min(best, perf_counter() - start)
    return best, scores


def peak(seconds: float = 0.5) -> float:
    """Multiplications and additions a second of a large float32 matrix product."""
    size = 1024
    left, right = torch.rand(size, size), torch.rand(size, size)
    best, until = 0.0, perf_counter() + seconds
    while perf_counter() < until:
        start = perf_counter()
        torch.mm(left, right)
        best = max(best, 2 * size**3 / (perf_counter() - start))
    return best


def operations(model: Toxicity, texts: Sequence[str]) -> float:
    """Multiplications and additions that the distinct texts need, without any padding.

    What the last layer does after its attention is needed for the first token alone.
    """
    config = model.detoxify.model.config
    rows = model.detoxify.tokenizer(list(dict.fromkeys(texts)), truncation=True)["input_ids"]
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    after, of_layer = 2 * width**2 + 4 * width * inner, 8 * width**2 + 4 * width * inner
    return float(
        sum(
            layers * len(row) * (of_layer + 4 * width * len(row)) - (len(row) - 1) * after
            for row in rows
        )
    )


def ways(model: Toxicity, texts: Sequence[str]) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    yield "`Detoxify.predict`, 32 at a time in log order", lambda: plain(model, texts)
    yield "… sorted by length", lambda: sorted_plain(model, texts)
    yield "… each distinct text once", lambda: distinct_plain(model, texts)
    yield "`score`", lambda: model.scores(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled", help="as MISREAD_TOXICITY")
    parser.add_argument("--texts", type=int, default=5_000)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = Toxicity.load(options.model)
    model.scores(log_texts(200, 1.0))
    for distinct in (1.0, 0.3):
        texts = log_texts(options.texts, distinct)
        share = len(set(texts)) / len(texts)
        print(
            f"\n{model.name}, {len(texts):,} texts, {share:.0%} distinct, {options.threads} threads"
        )
        print("| | texts/s | times faster | of the peak | largest difference |")
        print("|---|--:|--:|--:|--:|")
        needed, most = operations(model, texts), peak()
        first: tuple[float, np.ndarray] | None = None
        for name, score in ways(model, texts):
            seconds, scores = timed(score, options.runs)
            first = first or (seconds, scores)
            print(
                f"| {name} | {len(texts) / seconds:,.0f} | {first[0] / seconds:.1f} "
                f"| {needed / seconds / most:.0%} | {np.abs(scores - first[1]).max():.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
