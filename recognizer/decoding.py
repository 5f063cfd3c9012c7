"""Chooses the text of a line: what the decoder writes, or the best of several readings by the
decoder's and the CTC head's joint judgement.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recognizer import alphabet
from recognizer.model import LineReader

BEAM = 6
CTC_SHARE = 0.6
IMPOSSIBLE = -1e30


def ctc_beam(scores: NDArray[np.float32], beam: int = BEAM) -> list[tuple[int, ...]]:
    """The most probable token sequences of one line, best first, by CTC prefix beam search
    (Hannun et al. 2014) over log probabilities (T, V).
    """
    # per prefix: log probability of its paths that end in a blank, and of the others
    prefixes: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, IMPOSSIBLE)}
    for column in scores:
        likely = np.flatnonzero(column > -5.0)
        if not len(likely):
            likely = np.array([int(column.argmax())])
        grown: dict[tuple[int, ...], list[float]] = {}
        for prefix, (blank, other) in prefixes.items():
            both = np.logaddexp(blank, other)
            for token in likely.tolist():
                score = float(column[token])
                if token == alphabet.BLANK:
                    entry = grown.setdefault(prefix, [IMPOSSIBLE, IMPOSSIBLE])
                    entry[0] = np.logaddexp(entry[0], both + score)
                    continue
                if token < 4:
                    continue
                if prefix and prefix[-1] == token:
                    entry = grown.setdefault(prefix, [IMPOSSIBLE, IMPOSSIBLE])
                    entry[1] = np.logaddexp(entry[1], other + score)
                    entry = grown.setdefault((*prefix, token), [IMPOSSIBLE, IMPOSSIBLE])
                    entry[1] = np.logaddexp(entry[1], blank + score)
                else:
                    entry = grown.setdefault((*prefix, token), [IMPOSSIBLE, IMPOSSIBLE])
                    entry[1] = np.logaddexp(entry[1], both + score)
        ranked = sorted(grown.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))[
            :beam
        ]
        prefixes = {prefix: (scores_[0], scores_[1]) for prefix, scores_ in ranked}
    return list(prefixes)


def judge(
    model: LineReader, columns: Tensor, logits: Tensor, readings: list[tuple[int, ...]]
) -> tuple[Tensor, Tensor, list[list[float]]]:
    """Log probabilities of the readings of one line by CTC (N,) and by the decoder (N,), and the
    decoder's probability of each of their characters. Columns are (1, T, C), logits (1, T, V).
    """
    count, length = len(readings), max(map(len, readings))
    device = columns.device
    tokens = torch.full((count, length + 1), alphabet.PAD, device=device)  # (N, L + 1)
    given = torch.full((count, length + 1), alphabet.START, device=device)
    for row, reading in enumerate(readings):
        own = torch.tensor([*reading, alphabet.END], device=device)
        tokens[row, : len(own)] = own
        given[row, 1 : len(own)] = own[:-1]
    cache = model.decoder.start(columns)
    cache.image_keys = [keys.expand(count, -1, -1, -1) for keys in cache.image_keys]
    cache.image_values = [values.expand(count, -1, -1, -1) for values in cache.image_values]
    scores = model.decoder(given, cache).float().log_softmax(dim=-1)  # (N, L + 1, V)
    chosen = scores.gather(2, tokens[..., None])[..., 0]  # (N, L + 1)
    chosen = chosen.masked_fill(tokens == alphabet.PAD, 0)
    lengths = torch.tensor([len(reading) for reading in readings])
    ctc = -functional.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1).expand(-1, count, -1),
        tokens[:, :length].clamp(min=0) if length else tokens[:, :0],
        torch.full((count,), logits.shape[1]),
        lengths,
        blank=alphabet.BLANK,
        reduction="none",
    )
    each = [row[: len(r)] for row, r in zip(chosen.exp().tolist(), readings, strict=True)]
    return ctc, chosen.sum(dim=1), each


@torch.inference_mode()
def read_greedy(model: LineReader, columns: Tensor) -> list[tuple[list[int], list[float]]]:
    """Tokens of each line and the probability of each, as the decoder writes them; a line that
    does not end is cut where it has more than a character to two columns."""
    tokens, scores = model.decode(columns, limit=columns.shape[1] // 2 + 8)
    lines = []
    for row, sure in zip(tokens.tolist(), scores.exp().tolist(), strict=True):
        end = row.index(alphabet.END) if alphabet.END in row else len(row)
        lines.append((row[:end], sure[:end]))
    return lines


@torch.inference_mode()
def read_rescored(
    model: LineReader, columns: Tensor, share: float = CTC_SHARE
) -> list[tuple[list[int], list[float]]]:
    """The same, of the reading that CTC and decoder together find most probable."""
    logits = model.encoder.ctc(columns)  # (B, T, V)
    scores = logits.float().log_softmax(dim=-1).cpu().numpy()
    written = read_greedy(model, columns)
    longest = model.config.max_length - 1
    lines = []
    for row, (own, _) in enumerate(written):
        readings = {reading[:longest]: None for reading in ctc_beam(scores[row])}
        readings[tuple(own[:longest])] = None
        ranked = list(readings)
        ctc, decoder, sure = judge(model, columns[row : row + 1], logits[row : row + 1], ranked)
        best = int((share * ctc + (1 - share) * decoder).argmax())
        lines.append((list(ranked[best]), sure[best]))
    return lines
