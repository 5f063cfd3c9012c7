"""Where an output differs from the truth, character by character."""

from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import Levenshtein

LONGEST = 5_000  # characters of each text; past this the rest is one difference
MIN_LIKENESS = 0.5  # texts with less in common are not compared letter by letter


@dataclass(frozen=True)
class Piece:
    """A run of characters. `missing` ones are in the truth alone, `extra` ones in the output."""

    kind: Literal["equal", "wrong", "missing", "extra"]
    output: str
    truth: str


def likeness(output: str, truth: str) -> float:
    """How much two texts have in common, 0 to 1: 1 minus the edits over the longer length."""
    return float(Levenshtein.normalized_similarity(output[:LONGEST], truth[:LONGEST]))


def alike(output: str, truth: str) -> bool:
    """Whether two texts have enough in common to be compared letter by letter."""
    return likeness(output, truth) >= MIN_LIKENESS


def differences(output: str, truth: str) -> list[Piece]:
    """The fewest edits from the truth to the output, as runs in reading order."""
    kinds: dict[str, Literal["equal", "wrong", "missing", "extra"]] = {
        "equal": "equal",
        "replace": "wrong",
        "delete": "extra",
        "insert": "missing",
    }
    head, tail = output[:LONGEST], truth[:LONGEST]
    pieces = [
        Piece(
            kinds[step.tag],
            head[step.src_start : step.src_end],
            tail[step.dest_start : step.dest_end],
        )
        for step in Levenshtein.opcodes(head, tail)
    ]
    if output[LONGEST:] or truth[LONGEST:]:
        pieces.append(Piece("wrong", output[LONGEST:], truth[LONGEST:]))
    return pieces
