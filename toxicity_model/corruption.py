"""What a text recognizer does to words: typos as in OCR, and gibberish.

Pure functions of a text and a random.Random.
"""

import random
import re
import string
from collections.abc import Callable, Sequence

# what looks alike in handwriting and in print; the last column is leetspeak on purpose
LOOKALIKES = {
    "a": "oue@4",
    "b": "hk68",
    "c": "eo(",
    "d": "ac",
    "e": "co3",
    "f": "tl",
    "g": "qy9",
    "h": "bnk",
    "i": "1l!j",
    "j": "iy",
    "k": "hl",
    "l": "1i|t",
    "m": "nw",
    "n": "murh",
    "o": "0acu",
    "p": "ny",
    "q": "g9",
    "r": "vnt",
    "s": "5$z8",
    "t": "fl+7",
    "u": "vna",
    "v": "ur",
    "w": "vm",
    "x": "k",
    "y": "gv",
    "z": "2s",
}
PAIRS = (("m", "rn"), ("rn", "m"), ("d", "cl"), ("cl", "d"), ("w", "vv"), ("h", "li"), ("ck", "d"))
LETTERS = string.ascii_letters + string.digits + " .,'!?-"


def misread_word(word: str, source: random.Random) -> str:
    """The word with one character misread, left out, doubled or swapped with the next."""
    place = source.randrange(len(word))
    sign = word[place]
    kind = source.random()
    if kind < 0.65:
        alike = LOOKALIKES.get(sign.lower(), sign)
        return word[:place] + source.choice(alike) + word[place + 1 :]
    if kind < 0.75:
        pairs = [pair for pair in PAIRS if pair[0] in word]
        return word.replace(*source.choice(pairs), 1) if pairs else word
    if kind < 0.84:
        return word[:place] + word[place + 1 :] if len(word) > 3 else word
    if kind < 0.92:
        return word[:place] + sign + word[place:]
    return word[:place] + word[place + 1 : place + 2] + sign + word[place + 2 :]


def misread(text: str, share: float, source: random.Random, always: frozenset[str]) -> str:
    """The text with about this share of its words misread, and those in `always` three times
    in four (a word is looked up in lower case).
    """

    def replaced(match: re.Match[str]) -> str:
        word = match[0]
        chance = 0.75 if word.lower() in always else share
        return misread_word(word, source) if source.random() < chance else word

    return re.sub(r"[A-Za-z]{3,}", replaced, text)


def _random_signs(words: Sequence[str], source: random.Random) -> str:
    return "".join(source.choice(LETTERS) for _ in range(source.randint(1, 120)))


def _pseudo_words(words: Sequence[str], source: random.Random) -> str:
    """Pronounceable nonsense, in any case."""
    made = "".join(
        source.choice("bcdfghjklmnprstvwz") + source.choice("aeiou") + source.choice(["", "", " "])
        for _ in range(source.randint(2, 40))
    )
    return source.choice([str.lower, str.upper, str.title])(made)


def _one_sign(words: Sequence[str], source: random.Random) -> str:
    return source.choice(string.printable[:94]) * source.randint(2, 200)


def _loop_of_pieces(words: Sequence[str], source: random.Random) -> str:
    """What a decoder stuck in a loop writes: `TEITEITELT SEFTELELELEL`."""
    made = []
    for _ in range(source.randint(1, 6)):
        piece = "".join(source.choice(string.ascii_letters) for _ in range(source.randint(1, 4)))
        made.append(piece * source.randint(2, 8))
    whole = " ".join(made)
    return whole.upper() if source.random() < 0.5 else whole


def _loop_of_words(words: Sequence[str], source: random.Random) -> str:
    """`the the the the THE THE to the the`."""
    few = source.choices(words, k=source.randint(1, 4))
    words = source.choices(few, k=source.randint(4, 60))
    return " ".join(word.upper() if source.random() < 0.1 else word for word in words)


def _salad(words: Sequence[str], source: random.Random) -> str:
    return " ".join(source.choices(words, k=source.randint(1, 40)))


def _misread_salad(words: Sequence[str], source: random.Random) -> str:
    return misread(_salad(words, source), 0.8, source, frozenset())


KINDS: tuple[Callable[[Sequence[str], random.Random], str], ...] = (
    _random_signs,
    _pseudo_words,
    _one_sign,
    _loop_of_pieces,
    _loop_of_words,
    _salad,
    _misread_salad,
)


def gibberish(words: Sequence[str], source: random.Random) -> str:
    """A text that says nothing; `words` are innocent ones."""
    return source.choice(KINDS)(words, source)
