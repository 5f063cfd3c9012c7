"""What was written and how its lines were broken: pictures and readings come from it."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from random import Random

from sample.sentences import NOTES, OUTSIDE_ALPHABET, PRINTED, SWEARING


@dataclass(frozen=True)
class Note:
    """What one person wrote, once: the picture and its reading depend on this alone."""

    number: int
    mode: str
    blocks: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        return "\n\n".join("\n".join(lines) for lines in self.blocks)


def wrapped(text: str, width: int, most_lines: int) -> tuple[str, ...]:
    while len(lines := textwrap.wrap(text, width)) > most_lines:
        width += 1
    return tuple(lines)


def write_notes(modes: list[str], sworn: set[int], rng: Random) -> list[Note]:
    """One note for each mode in the list; those whose position is in `sworn` hold swear words."""
    decks: dict[str, Iterator[str]] = {
        name: cycle(rng.sample(texts, len(texts)))
        for name, texts in {
            "swearing": SWEARING,
            "printed": PRINTED,
            "outside_alphabet": OUTSIDE_ALPHABET,
            "notes": NOTES,
        }.items()
    }
    notes = []
    for number, mode in enumerate(modes):
        deck = decks["swearing"] if number in sworn else decks.get(mode, decks["notes"])
        text = next(deck)
        blocks: tuple[tuple[str, ...], ...]
        if mode == "several_blocks":
            blocks = (wrapped(text, 15, 4), wrapped(next(decks["notes"]), 15, 4))
        else:
            more = decks["printed" if mode == "printed" else "notes"]
            for _ in range(rng.choices([1, 2, 3], [35, 45, 20])[0]):
                text += f"{'' if text[-1] in '.!?' else '.'} {next(more)}"
            blocks = (wrapped(text, rng.randint(24, 36), 8),)
        notes.append(Note(number, mode, blocks))
    return notes
