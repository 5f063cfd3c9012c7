"""What the recognizer can write: printable ASCII and newline, and four tokens that are no text."""

import unicodedata

BLANK, START, END, PAD = range(4)
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
SIZE = 4 + len(CHARACTERS)
_INDEX = {character: 4 + position for position, character in enumerate(CHARACTERS)}
_LOOKALIKES = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-",
        "\u2026": "...", "\u00a0": " ", "\t": " ", "\u1d5a": "A", "\u15c5": "A", "\u00df": "ss",
        "\u00e6": "ae", "\u00c6": "AE", "\u0153": "oe", "\u0152": "OE",
    }
)  # fmt: skip


def encode(text: str) -> list[int]:
    """Tokens of the characters, without START and END; KeyError outside the alphabet."""
    return [_INDEX[character] for character in text]


def decode(tokens: list[int]) -> str:
    """Characters of the tokens; the tokens that are no text are left out."""
    return "".join(CHARACTERS[token - 4] for token in tokens if token >= 4)


def fold(text: str) -> str:
    """The nearest text within the alphabet: accents dropped, typographic signs made plain."""
    plain = unicodedata.normalize("NFKD", text.translate(_LOOKALIKES))
    return "".join(character for character in plain if character in _INDEX)
