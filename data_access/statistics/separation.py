"""What separates two groups of records: the best yes/no question about each thing known of them.

Pure: arrays in. Knows nothing of records or SQL. Of a number the questions are "is it at least
this edge?", of a category "is it this one?", and of either "has it no value?". Chance is measured
by repeating the whole search, all questions about all candidates, on shuffled groups.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import sparse

CHOSEN, OTHERS, REST, NEITHER = range(4)
PERMUTATIONS = 199
AT_ONCE = 4_000  # records of a group that chance is measured on; with more it is only scaled
TIED = 1e-9
NEARLY = 0.97  # of the strongest question's strength


@dataclass(frozen=True, eq=False)
class Candidate:
    """Something known of all records.

    codes: shape (n,), the bar of a number (from 0, ascending) or the number of a category;
        −1 where there is no value. Rare categories, `levels` all, are never asked about.
    levels: how many bars or categories there are that are asked about.
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


@dataclass(frozen=True, eq=False)
class Groups:
    """Records by the group that they are in.

    side: of each record, shape (n,): CHOSEN or OTHERS, which are compared; REST, which is counted
    too; or NEITHER.
    """

    side: np.ndarray
    seed: int = 0
    _counts: dict[Candidate, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, chosen: np.ndarray, seed: int = 0) -> "Groups":
        """Those that are chosen, a mask of shape (n,), and all others."""
        return cls(np.where(chosen, CHOSEN, OTHERS).astype(np.int8), seed)

    @cached_property
    def sizes(self) -> tuple[int, int, int]:
        """Records of CHOSEN, OTHERS and REST."""
        n, m, rest, _ = np.bincount(self.side, minlength=4).tolist()
        return n, m, rest

    def counts(self, candidate: Candidate) -> np.ndarray:
        """Records by group and code, shape (4, levels + 2): no value, each level, beyond."""
        if candidate not in self._counts:
            width = candidate.levels + 2
            places = self.side.astype(np.int16) * np.int16(width) + (candidate.codes + 1)
            counted = np.bincount(places, minlength=4 * width)
            self._counts[candidate] = counted.reshape(4, width)
        return self._counts[candidate]

    @cached_property
    def shuffled(self) -> tuple[np.ndarray, np.ndarray]:
        """Records, at most AT_ONCE of each group, shape (k,); and in which shuffles they count as
        chosen, float32 0 or 1 of shape (k, PERMUTATIONS).
        """
        random = np.random.default_rng(self.seed)
        sides = [np.flatnonzero(self.side == group) for group in (CHOSEN, OTHERS)]
        drawn = [
            side if len(side) <= AT_ONCE else random.choice(side, AT_ONCE, replace=False)
            for side in sides
        ]
        labels = np.zeros((PERMUTATIONS, sum(map(len, drawn))), np.uint8)
        labels[:, : len(drawn[0])] = 1
        random.permuted(labels, axis=1, out=labels)
        return np.concatenate(drawn), np.ascontiguousarray(labels.T, np.float32)


def separations(candidates: Sequence[Candidate], groups: Groups) -> list[Separation]:
    """What each candidate with a question tells of the chosen records, the best first.

    None where one of the groups is empty.
    """
    n, m, _ = groups.sizes
    if not n or not m:
        return []
    best = []
    for number, candidate in enumerate(candidates):
        chosen, others = groups.counts(candidate)[[CHOSEN, OTHERS]]
        yes, known = _answered(candidate, chosen)
        other_yes, other_known = _answered(candidate, others)
        strengths = separation(yes, known / n, n, other_yes, other_known / m, m)
        if strengths.max(initial=0.0) > 0:
            question = _best(strengths, yes * other_known > other_yes * known, candidate)
            best.append((number, question, float(strengths.max())))
    by_chance = _by_chance([candidates[number] for number, *_ in best], groups)
    return sorted(
        (
            Separation(
                number,
                question,
                answers(candidates[number], question, groups.counts(candidates[number])[CHOSEN]),
                answers(candidates[number], question, groups.counts(candidates[number])[OTHERS]),
                strength,
                p=(1 + int((by_chance >= strength * (1 - TIED)).sum())) / (1 + PERMUTATIONS),
            )
            for number, question, strength in best
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


def answers(candidate: Candidate, question: Question, counts: np.ndarray) -> Answers:
    """How a group answers; counts: its row of `Groups.counts`, shape (levels + 2,)."""
    missing, total, place = int(counts[0]), int(counts.sum()), question.level + 1
    if question.level < 0:
        return Answers(missing, total)
    if not candidate.ordered:
        yes = counts[place]
    else:
        yes = counts[1:place].sum() if question.under else counts[place:].sum()
    return Answers(int(yes), total - missing)


def _answered(candidate: Candidate, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Records that answer yes to each question, and that have a value for it.

    counts: by code, shape (levels + 2, …); returns shapes (questions, …).
    """
    yes, missing, known = counts[1:-1], counts[:1], counts[1:].sum(axis=0, keepdims=True)
    if candidate.ordered:
        yes = yes[::-1].cumsum(axis=0)[::-1][1:]
    repeated = np.repeat(known, len(yes), axis=0)
    if candidate.asks_missing:
        return np.concatenate([yes, missing]), np.concatenate([repeated, known + missing])
    return yes, repeated


def _best(strengths: np.ndarray, more: np.ndarray, candidate: Candidate) -> Question:
    """The strongest question; of edges in a row that tell nearly the same, 0 or the middle one.

    more: whether more of the chosen answer yes, shape as `strengths`. A number is asked about so
    that they do, of as good categories one of which they do.
    """
    best = first = last = int(strengths.argmax())
    questions = candidate.levels - candidate.ordered
    if not candidate.ordered:
        tied = strengths >= strengths[best] * (1 - TIED)
        best = int((tied & more).argmax()) if (tied & more).any() else best
        return Question(best if best < questions else -1)
    if best >= questions:
        return Question(-1)
    nearly = (strengths >= strengths[best] * NEARLY) & (more == more[best])
    while last + 1 < questions and nearly[last + 1]:
        last += 1
    while first > 0 and nearly[first - 1]:
        first -= 1
    level = (first + last) // 2 + 1
    if candidate.zero is not None and first < candidate.zero <= last + 1:
        level = candidate.zero
    return Question(level, under=not more[best])


def _by_chance(candidates: Sequence[Candidate], groups: Groups) -> np.ndarray:
    """The best strength of all candidates in each of PERMUTATIONS shuffles of the groups.

    Of a group of more than AT_ONCE records as many are drawn, and what they give is scaled to the
    spread that all would have.
    """
    rows, labels = groups.shuffled
    sizes = groups.sizes[:2]
    n, m = (min(size, AT_ONCE) for size in sizes)
    best = np.zeros(PERMUTATIONS)
    for candidate in candidates:
        totals, chosen = _shuffled_counts(candidate, rows, labels)
        yes, known = _answered(candidate, chosen)
        other_yes, other_known = _answered(candidate, totals[:, None] - chosen)
        strengths = separation(yes, known / n, n, other_yes, other_known / m, m)
        np.maximum(best, strengths.max(axis=0), out=best)
    spread = math.sqrt((1 / sizes[0] + 1 / sizes[1]) / (1 / n + 1 / m))
    return best * spread


def _shuffled_counts(
    candidate: Candidate, rows: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of these rows, how many there are by code, shape (levels + 2,), and how many of these count
    as chosen in each shuffle, shape (levels + 2, PERMUTATIONS).

    The most frequent code has what the others leave: most records have none of the rare words.
    """
    codes = candidate.codes[rows] + 1
    totals = np.bincount(codes, minlength=candidate.levels + 2)
    frequent = int(totals.argmax())
    rare = np.flatnonzero(codes != frequent)
    rare = rare[np.argsort(codes[rare], kind="stable")]
    ends = np.where(np.arange(len(totals)) == frequent, 0, totals).cumsum()
    places = (np.ones(len(rare), np.float32), rare, np.append(0, ends))
    which = sparse.csr_array(places, shape=(len(totals), len(rows)))  # a row for each code
    chosen = (which @ labels).astype(np.float64)
    chosen[frequent] = labels[:, 0].sum() - chosen.sum(axis=0)
    return totals, chosen


def together(yes: np.ndarray, other_yes: np.ndarray) -> float:
    """The correlation of two yes/no answers, shapes (n,), from −1 to 1; 0 of a constant."""
    share, other, both = (
        np.count_nonzero(answer) / max(len(answer), 1)
        for answer in (yes, other_yes, yes & other_yes)
    )
    spread = math.sqrt(share * (1 - share) * other * (1 - other))
    return (both - share * other) / spread if spread else 0.0
