"""The simulated reader: what an imaginary recognizer answers, by failure mode and version.

It never looks at a picture. It is given the true text and spoils it in the way that the mode and
the version call for.
"""

from random import Random

LOOKALIKES = dict(zip("aeounmrtilhsgyvw", "oacanunvfltezguv", strict=True))
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
NEAREST_LETTERS = dict(zip("éèêàáâüöóôäñçßïî€°½", "eeeaaauooodncBiiCo4", strict=True))


def with_errors(text: str, rate: float, rng: Random) -> str:
    """The text with about `rate` of its characters mistaken for lookalikes, lost or doubled."""
    read = []
    for char in text:
        if char == "\n" or rng.random() >= rate:
            read.append(char)
            continue
        draw = rng.random()
        if draw < 0.7 and char != " ":
            wrong = LOOKALIKES.get(char.lower(), rng.choice(LETTERS))
            read.append(wrong if rng.random() < 0.6 else rng.choice(LETTERS))
        elif draw > 0.85:
            read.append(char + rng.choice(LETTERS))
    return "".join(read)


def degenerate_loop(rng: Random) -> str:
    """What a decoder says when it sees nothing it knows: a few words or syllables, repeated."""
    if rng.random() < 0.6:
        words = rng.sample(["the", "to", "of", "and", "in", "that", "was"], 2)
        often = [words[0]] * 4 + words
        return " ".join(rng.choice(often) for _ in range(rng.randint(7, 20)))
    syllable = rng.choice(["TEL", "EL", "LE", "ER", "ANA", "SE", "IT", "OO"])
    return " ".join(syllable * rng.randint(2, 5) for _ in range(rng.randint(3, 8)))


def interleaved(text: str) -> str:
    """Blocks read straight across, as if they were one."""
    left, right = (block.split("\n") for block in text.split("\n\n"))
    rows = max(len(left), len(right))
    padded = [lines + [""] * (rows - len(lines)) for lines in (left, right)]
    return "\n".join(f"{a} {b}".strip() for a, b in zip(*padded, strict=True))


def into_alphabet(text: str, rng: Random) -> str:
    """Characters the reader never learnt become a wrong one, or nothing, and trip up the next."""
    read, tripped = [], False
    for char in text:
        if ord(char) > 126:
            wrong = NEAREST_LETTERS.get(char, rng.choice("vxoLJ"))
            read.append(wrong if rng.random() < 0.7 else "")
        else:
            read.append(rng.choice(LETTERS) if tripped and rng.random() < 0.4 else char)
        tripped = ord(char) > 126
    return "".join(read)


def simulated_reading(text: str, mode: str, version: str, rng: Random) -> tuple[str, float]:
    """What the imaginary recognizer answers for a note, and how sure it says it is."""
    release_2 = version.startswith("2")
    match mode:
        case "fine":
            return with_errors(text, rng.uniform(0.0, 0.06), rng), rng.uniform(0.88, 0.99)
        case "dark_on_light" | "printed" if release_2:
            return with_errors(text, rng.uniform(0.02, 0.09), rng), rng.uniform(0.82, 0.98)
        case "dark_on_light" if rng.random() < 0.75:
            return degenerate_loop(rng), rng.uniform(0.62, 0.97)
        case "dark_on_light":
            return with_errors(text, rng.uniform(0.55, 0.85), rng), rng.uniform(0.35, 0.8)
        case "printed":
            return with_errors(text, rng.uniform(0.4, 0.65), rng), rng.uniform(0.45, 0.85)
        case "several_blocks":
            return with_errors(interleaved(text), 0.05, rng), rng.uniform(0.7, 0.95)
        case "outside_alphabet":
            return with_errors(into_alphabet(text, rng), 0.04, rng), rng.uniform(0.6, 0.95)
        case "textured_background":
            return with_errors(text, rng.uniform(0.22, 0.4), rng), rng.uniform(0.4, 0.9)
    raise ValueError(f"no such mode: {mode}")


def character_error_rate(read: str, text: str) -> float:
    """Edit distance over the length of the text, both in characters."""
    row = list(range(len(text) + 1))
    for i, char in enumerate(read, 1):
        previous, row[0] = row[0], i
        for j, true_char in enumerate(text, 1):
            previous, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, previous + (char != true_char)),
            )
    return row[-1] / max(1, len(text))
