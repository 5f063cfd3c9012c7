"""What separates two groups of records: the best yes/no question about each thing known of them.

Pure: arrays in. Knows nothing of records or SQL. Of a number the questions are "is it at least
this edge?", of a category "is it this one?", and of either "has it no value?". Chance is measured
by repeating the whole search, all questions about all candidates, on shuffled groups.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

PERMUTATIONS = 199
BATCH = 24  # candidates whose questions are counted together
AT_ONCE = 4_000  # records of a group that chance is measured on; with more it is only scaled
TIED = 1e-9
NEARLY = 0.97  # of the strongest question's strength


@dataclass(frozen=True, eq=False)
class Candidate:
    """Something known of all records.

    codes: shape (n,), the bar of a number (from 0, ascending) or the number of a category;
        −1 where there is no value. Categories from `levels` on are never asked about.
    levels: how many bars or categories there are.
    ordered: whether codes are bars.
    asks_missing: whether to have no value is a question too.
    zero: the bar that begins at 0, a number's natural edge where others are no better.
    """

    name: str
    codes: np.ndarray
    levels: int
    ordered: bool
    asks_missing: bool = True
    zero: int | None = None

    def of(self, kept: np.ndarray) -> "Candidate":
        """The same of fewer records; kept: a mask or indices."""
        return replace(self, codes=self.codes[kept])


@dataclass(frozen=True)
class Question:
    """`at least bar level` or `is category level`; at level −1 `has no value`.

    under: asked the other way round, `under bar level`.
    """

    level: int
    under: bool = False

    @property
    def opposite(self) -> "Question":
        """Of a number: whether it has a value on the other side of the edge."""
        return replace(self, under=not self.under)


@dataclass(frozen=True)
class Answers:
    """How many records of a group answer yes, of those that have a value."""

    yes: int
    known: int

    @property
    def share(self) -> float:
        return self.yes / self.known if self.known else math.nan


@dataclass(frozen=True)
class Separation:
    """How well one candidate alone tells the groups apart.

    number: of the candidate, from 0.
    question: the best, or one that is as good as it.
    strength: Cramér's V of the best question, each group weighing the same, from 0 to 1; lower
        where few records have a value.
    p: how often the best of all candidates separates shuffled groups as well as this.
    """

    number: int
    question: Question
    chosen: Answers
    others: Answers
    strength: float
    p: float


def separations(
    candidates: Sequence[Candidate], chosen: np.ndarray, seed: int = 0
) -> list[Separation]:
    """What each candidate with a question tells of the chosen records, the best first.

    chosen: bool, shape (n,). None where one of the groups is empty.
    """
    n, m = int(chosen.sum()), int((~chosen).sum())
    if not n or not m:
        return []
    found = []
    for number, candidate in enumerate(candidates):
        yes, known = _counted(candidate, chosen)
        other_yes, other_known = _counted(candidate, ~chosen)
        strengths = separation(yes, known / n, n, other_yes, other_known / m, m)
        if strengths.max(initial=0.0) > 0:
            question = _best(strengths, yes * other_known > other_yes * known, candidate)
            found.append((number, question, float(strengths.max())))
    by_chance = _by_chance([candidates[number] for number, *_ in found], chosen, seed)
    return sorted(
        (
            Separation(
                number,
                question,
                answers(candidates[number], question, chosen),
                answers(candidates[number], question, ~chosen),
                strength,
                p=(1 + int((by_chance >= strength * (1 - TIED)).sum())) / (1 + PERMUTATIONS),
            )
            for number, question, strength in found
        ),
        key=lambda row: -row.strength,
    )


def separation(
    yes: np.ndarray,
    known: np.ndarray,
    n: int,
    other_yes: np.ndarray,
    other_known: np.ndarray,
    m: int,
) -> np.ndarray:
    """Cramér's V of questions, as if both groups were of one size; all arrays broadcast.

    yes, other_yes: records that answer yes; known, other_known: shares that have a value. V²
    counts for as much as the known records tell of a difference: (1/n + 1/m) over the same of
    the known ones.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share, other = yes / (n * known), other_yes / (m * other_known)
        both = share + other
        squared = (share - other) ** 2 / (both * (2 - both))
        squared *= (1 / n + 1 / m) / (1 / (n * known) + 1 / (m * other_known))
    strengths: np.ndarray = np.sqrt(np.nan_to_num(squared, nan=0.0, posinf=0.0))
    return strengths


def strength_of(chosen: Answers, others: Answers, n: int, m: int) -> float:
    """`separation` of one question in groups of n and m records."""
    if not chosen.known or not others.known:
        return 0.0
    yes, other_yes = np.array([chosen.yes]), np.array([others.yes])
    known, other_known = np.array([chosen.known / n]), np.array([others.known / m])
    return float(separation(yes, known, n, other_yes, other_known, m)[0])


def says_yes(candidate: Candidate, question: Question) -> np.ndarray:
    """Which records answer yes, shape (n,)."""
    codes = candidate.codes
    if question.level < 0 or not candidate.ordered:
        return np.asarray(codes == question.level)
    above = codes >= question.level
    return np.asarray((codes >= 0) & ~above if question.under else above)


def answers(candidate: Candidate, question: Question, group: np.ndarray) -> Answers:
    """How a group, a mask of shape (n,), answers."""
    yes = int(np.count_nonzero(says_yes(candidate, question) & group))
    known = group if question.level < 0 else group & (candidate.codes >= 0)
    return Answers(yes, int(np.count_nonzero(known)))


def level_counts(candidate: Candidate, group: np.ndarray) -> np.ndarray:
    """Records of a group by code, shape (levels + 2,): without a value, each level, beyond."""
    codes = candidate.codes[group].astype(np.intp) + 1
    return np.bincount(codes, minlength=candidate.levels + 2)


def _counted(candidate: Candidate, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Records of a group that answer yes to each question, and that have a value for it."""
    missing, *levels, beyond = level_counts(candidate, group).tolist()
    yes = np.array(levels)
    known = int(yes.sum()) + beyond
    if candidate.ordered:
        yes = yes[::-1].cumsum()[::-1][1:]
    held = np.full(len(yes), known)
    if candidate.asks_missing:
        yes, held = np.append(yes, missing), np.append(held, known + missing)
    return yes, held


def _best(strengths: np.ndarray, more: np.ndarray, candidate: Candidate) -> Question:
    """The strongest question; of edges in a row that tell nearly the same, 0 or the middle one.

    more: whether more of the chosen answer yes, shape as `strengths`. A number is asked about so
    that they do, of as good categories one of which they do.
    """
    best = first = last = int(strengths.argmax())
    asked = candidate.levels - candidate.ordered
    if not candidate.ordered:
        tied = strengths >= strengths[best] * (1 - TIED)
        best = int((tied & more).argmax()) if (tied & more).any() else best
        return Question(best if best < asked else -1)
    if best >= asked:
        return Question(-1)
    nearly = (strengths >= strengths[best] * NEARLY) & (more == more[best])
    while last + 1 < asked and nearly[last + 1]:
        last += 1
    while first > 0 and nearly[first - 1]:
        first -= 1
    level = (first + last) // 2 + 1
    if candidate.zero is not None and first < candidate.zero <= last + 1:
        level = candidate.zero
    return Question(level, under=not more[best])


def _by_chance(candidates: Sequence[Candidate], chosen: np.ndarray, seed: int) -> np.ndarray:
    """The best strength of all candidates in each of PERMUTATIONS shuffles of the groups.

    Of a group of more than AT_ONCE records as many are drawn, and what they give is scaled to the
    spread that all would have.
    """
    random = np.random.default_rng(seed)
    sides = [np.flatnonzero(chosen), np.flatnonzero(~chosen)]
    drawn = [
        side if len(side) <= AT_ONCE else random.choice(side, AT_ONCE, replace=False)
        for side in sides
    ]
    n, m = (len(side) for side in drawn)
    rows = np.concatenate(drawn)
    labels = np.zeros((PERMUTATIONS, n + m), np.float32)
    labels[:, :n] = 1
    random.permuted(labels, axis=1, out=labels)
    best = np.zeros(PERMUTATIONS)
    for start in range(0, len(candidates), BATCH):
        columns = [c.codes[rows] for c in candidates[start : start + BATCH]]
        asked, of, missing = _asked(candidates[start : start + BATCH], columns)
        has_value = np.column_stack([codes >= 0 for codes in columns]).astype(np.float32)
        held = (labels @ has_value).astype(np.float64)[:, of]
        known = has_value.sum(axis=0)[of]
        held[:, missing], known[missing] = n, n + m
        yes = (labels @ asked).astype(np.float64)
        no = asked.sum(axis=0) - yes
        strengths = separation(yes, held / n, n, no, (known - held) / m, m)
        np.maximum(best, strengths.max(axis=1, initial=0.0), out=best)
    spread = math.sqrt((1 / len(sides[0]) + 1 / len(sides[1])) / (1 / n + 1 / m))
    return best * spread


def _asked(
    candidates: Sequence[Candidate], columns: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who answers yes to each question, float32 0 or 1 of shape (n, questions); of which candidate
    each question is, and whether it asks for no value, shapes (questions,).
    """
    asked, of, missing = [], [], []
    for number, (candidate, codes) in enumerate(zip(candidates, columns, strict=True)):
        levels = np.arange(candidate.ordered, candidate.levels, dtype=codes.dtype)
        yes = codes[:, None] >= levels if candidate.ordered else codes[:, None] == levels
        asked += [yes, codes[:, None] < 0] if candidate.asks_missing else [yes]
        of += [number] * (len(levels) + candidate.asks_missing)
        missing += [False] * len(levels) + [True] * candidate.asks_missing
    return np.hstack(asked).astype(np.float32), np.array(of), np.array(missing)


def together(yes: np.ndarray, other_yes: np.ndarray) -> float:
    """The correlation of two yes/no answers, shapes (n,), from −1 to 1; 0 of a constant."""
    share, other, both = (
        np.count_nonzero(said) / max(len(said), 1) for said in (yes, other_yes, yes & other_yes)
    )
    spread = math.sqrt(share * (1 - share) * other * (1 - other))
    return (both - share * other) / spread if spread else 0.0
