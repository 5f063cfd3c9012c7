"""What separates the selected cases from others: their causes, and their other symptoms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from data_access.queries.candidates import Feature
from data_access.queries.distributions import HistogramPair
from data_access.queries.gathering import gather
from data_access.selection import Range, Selection
from data_access.statistics import rates, samples, significance
from data_access.statistics.separation import (
    CHOSEN,
    NEITHER,
    OTHERS,
    REST,
    Answers,
    Groups,
    Question,
    Separation,
    answers,
    says_yes,
    separations,
    strength_of,
    together,
)
from data_access.warehouse import Warehouse

WORTH_TELLING = 0.1  # of Cramér's V; chance aside, less is no cause of anything
SAME = 0.7  # correlation from which two answers are two names of one thing
SHOWN = 6
ENOUGH_LEFT = 20  # records on each side that a second step asks for
NAMED = 6  # categories without an order that a chart names


@dataclass(frozen=True, eq=False)
class CauseBars:
    """Records with each category, of the selected ones and of the others, shapes (names,).

    marked: of which categories it is true. ordered: whether their order means something.
    """

    label: str
    names: tuple[str, ...]
    counts: np.ndarray
    baseline_counts: np.ndarray
    marked: tuple[bool, ...]
    ordered: bool


@dataclass(frozen=True)
class Measured:
    """AUC, the chance that of two records the selected one has the higher value, or Cramér's V
    of all categories; with its 95% interval.
    """

    kind: Literal["AUC", "V"]
    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Cause:
    """One thing that tells the selected records from the others.

    says: what records do of which it is true, such as `have polarity ≥ 0`.
    selected, others, rest: of how many it is true; `rest` has the records of the same place and
        time that are not selected, and is None where these are the others.
    strength, p: as in data_access.statistics.separation.Separation.
    numbers, range: a number's histograms, and the range for which it is true.
    categories: a category's bars.
    narrowed: the selected records of which it is true; listed: how many these are, or None where
        the filter holds more than what was looked at.
    goes_with: what is true of the same records, so that it cannot be told from this.
    selected_by: the projection selected by that it goes with among the others, if any.
    """

    name: str
    label: str
    says: str
    selected: Answers
    others: Answers
    rest: Answers | None
    measured: Measured
    strength: float
    p: float
    numbers: HistogramPair | None
    range: Range | None
    categories: CauseBars | None
    narrowed: Selection
    listed: int | None
    goes_with: tuple[str, ...]
    selected_by: str | None

    @property
    def more(self) -> bool:
        """Whether it is true of a larger share of the selected ones."""
        return self.selected.share > self.others.share


@dataclass(frozen=True, eq=False)
class Causes:
    """What separates `selected` records from `others`; only what chance does not explain.

    causes: what came in with them, the strongest first; constructed: what the baseline cannot have
    otherwise, being all alike in it or unknown to it; general: what is about as true of the rest
    of the same place and time, so that it says nothing of these; symptoms: what came out.
    parts: one in how many of the selected and of the others was looked at, drawn at random.
    candidates: how many things came in; p: of the strongest of them.
    then: what still separates the `left` records of which the first cause is not true from
    `left_others` such; None where too few are left.
    looked_at: a row for each candidate. left_out: label and reason of what was not looked at.
    """

    selected: int
    others: int
    parts: tuple[int, int]
    candidates: int
    p: float
    causes: tuple[Cause, ...]
    constructed: tuple[Cause, ...]
    general: tuple[Cause, ...]
    symptoms: tuple[Cause, ...]
    left: int
    left_others: int
    then: tuple[Cause, ...] | None
    looked_at: pd.DataFrame
    left_out: tuple[tuple[str, str], ...]


def rank_causes(warehouse: Warehouse, selection: Selection, baseline: Selection | None) -> Causes:
    """What separates a selection from its baseline or, for None, from the rest of its scope.

    Records that are in both count as selected alone.
    """
    return warehouse.cached(
        ("causes", selection, baseline), lambda: _causes(warehouse, selection, baseline)
    )


def _causes(warehouse: Warehouse, selection: Selection, baseline: Selection | None) -> Causes:
    gathered = gather(warehouse, selection, baseline)
    search = _Search(
        selection=selection,
        is_exact=gathered.parts[CHOSEN] == 1,
        features=gathered.features,
        defining=gathered.defining,
        groups=gathered.groups,
        has_rest=baseline is not None,
    )
    came_in, came_out = search.rank(inputs=True), search.rank(inputs=False)
    clear = [ranked for ranked in came_in if ranked.is_clear]
    specific = [ranked for ranked in clear if not search.is_general(ranked)]
    special = [ranked for ranked in specific if not search.is_constructed(ranked)]
    left, then = search, None
    if special:
        left = search.without(special[0])
        if min(left.groups.sizes[:2]) >= ENOUGH_LEFT:
            again = left.rank(inputs=True)
            then = left.causes(
                [
                    ranked
                    for ranked in again
                    if ranked.is_clear
                    and not left.is_general(ranked)
                    and not left.is_constructed(ranked)
                ]
            )
    selected, others, _ = search.groups.sizes
    return Causes(
        selected=selected,
        others=others,
        parts=gathered.parts,
        candidates=sum(feature.is_input for feature in gathered.features),
        p=came_in[0].separation.p if came_in else 1.0,
        causes=search.causes(special),
        constructed=search.causes([ranked for ranked in specific if search.is_constructed(ranked)]),
        general=search.causes([ranked for ranked in clear if search.is_general(ranked)]),
        symptoms=search.causes([ranked for ranked in came_out if ranked.is_clear]),
        left=left.groups.sizes[CHOSEN],
        left_others=left.groups.sizes[OTHERS],
        then=then,
        looked_at=search.table([*came_in, *came_out]),
        left_out=gathered.left_out,
    )


@dataclass(frozen=True, eq=False)
class _Ranked:
    """A candidate, and how well it separates."""

    feature: Feature
    separation: Separation

    @property
    def is_clear(self) -> bool:
        """Whether chance does not explain it, and it is large enough to be worth telling."""
        separation = self.separation
        return separation.p < significance.SIGNIFICANT and separation.strength >= WORTH_TELLING


@dataclass(frozen=True, eq=False)
class _Search:
    """Candidates, and the groups that are compared; has_rest: beside a third.

    selection: the selected records; is_exact: whether it holds these and no others. defining: the
    projections that the selection is a range of.
    """

    selection: Selection
    is_exact: bool
    features: tuple[Feature, ...]
    defining: tuple[Feature, ...]
    groups: Groups
    has_rest: bool

    def rank(self, *, inputs: bool) -> list[_Ranked]:
        """How well everything that came in (or out) separates the sides, the best first."""
        features = [row for row in self.features if row.is_input is inputs]
        best_first = separations([row.candidate for row in features], self.groups)
        return [_Ranked(features[row.number], row) for row in best_first]

    def is_general(self, ranked: _Ranked) -> bool:
        """Whether it is about as true of the rest, which the selected ones were taken from."""
        selected, _, rest = self.groups.sizes
        if not self.has_rest or rest < significance.ENOUGH:
            return False
        of_rest = self._rest(ranked)
        return strength_of(ranked.separation.chosen, of_rest, selected, rest) < WORTH_TELLING

    def is_constructed(self, ranked: _Ranked) -> bool:
        """Whether the baseline cannot have it otherwise, by the way it was made."""
        feature, answered = ranked.feature, ranked.separation.others
        others = self.groups.counts(feature.candidate)[OTHERS]
        return self.has_rest and feature.is_constructed(others, answered)

    def _rest(self, ranked: _Ranked) -> Answers:
        candidate = ranked.feature.candidate
        return answers(candidate, ranked.separation.question, self.groups.counts(candidate)[REST])

    def without(self, ranked: _Ranked) -> "_Search":
        """The records of which it is not true."""
        candidate, question = ranked.feature.candidate, ranked.separation.question
        side = np.where(says_yes(candidate, question), np.int8(NEITHER), self.groups.side)
        narrowed = ranked.feature.narrow_without(self.selection, question)
        groups = Groups(side)
        if candidate.ordered and question.level >= 0 and groups.counts(candidate)[CHOSEN, 0]:
            narrowed = None
        return replace(
            self,
            selection=narrowed or self.selection,
            is_exact=self.is_exact
            and narrowed is not None
            and not self._chooses_reports(ranked.feature),
            groups=groups,
        )

    def _chooses_reports(self, feature: Feature) -> bool:
        """Whether a filter by it has other reports stand for images that count once."""
        return self.selection.each_image_once and feature.chooses_reports

    def causes(self, candidates: Sequence[_Ranked]) -> tuple[Cause, ...]:
        """The strongest, each with what is true of the same records."""
        compared = self.groups.side <= OTHERS
        leaders: list[tuple[_Ranked, np.ndarray, list[str]]] = []
        for ranked in candidates:
            question = ranked.separation.question
            yes = says_yes(ranked.feature.candidate, question)[compared]
            same = next(
                (names for _, led, names in leaders if abs(together(yes, led)) >= SAME), None
            )
            if same is not None:
                same.append(ranked.feature.says(question))
            elif len(leaders) < SHOWN:
                leaders.append((ranked, yes, []))
        return tuple(self._cause(ranked, names) for ranked, _, names in leaders)

    def table(self, candidates: Sequence[_Ranked]) -> pd.DataFrame:
        """A row for each candidate, also for those that separate nothing."""
        rows = []
        for ranked in candidates:
            feature, separation = ranked.feature, ranked.separation
            _, _, measured = self._measured(ranked)
            rows.append(
                {
                    "what": feature.label,
                    "came": "in" if feature.is_input else "out",
                    "says": feature.says(separation.question),
                    "selected": separation.chosen.share,
                    "others": separation.others.share,
                    "strength": separation.strength,
                    "measure": measured.kind,
                    "value": measured.value,
                    "low": measured.low,
                    "high": measured.high,
                    "p": separation.p,
                }
            )
        return pd.DataFrame(rows)

    def _cause(self, ranked: _Ranked, goes_with: Sequence[str]) -> Cause:
        feature, separation = ranked.feature, ranked.separation
        question = separation.question
        numbers, categories, measured = self._measured(ranked)
        return Cause(
            name=feature.candidate.name,
            label=feature.label,
            says=feature.says(question),
            selected=separation.chosen,
            others=separation.others,
            rest=self._rest(ranked) if self.has_rest else None,
            measured=measured,
            strength=separation.strength,
            p=separation.p,
            numbers=numbers,
            range=feature.range(question),
            categories=categories,
            narrowed=feature.narrow(self.selection, question),
            listed=separation.chosen.yes
            if self.is_exact and not self._chooses_reports(feature)
            else None,
            goes_with=tuple(goes_with),
            selected_by=self._selected_by(feature),
        )

    def _measured(self, ranked: _Ranked) -> tuple[HistogramPair | None, CauseBars | None, Measured]:
        """A candidate's bars, those of a number or those of a category, and its AUC or V."""
        feature, separation = ranked.feature, ranked.separation
        bars = list(self.groups.counts(feature.candidate)[[CHOSEN, OTHERS]])
        pair = _category_pair(feature, separation.question, *bars) if feature.names else None
        if feature.values is None or feature.bins is None:
            return None, pair, Measured("V", *rates.cramers_v(bars[0], bars[1]))
        sides = [feature.values[self.groups.side == group] for group in (CHOSEN, OTHERS)]
        present = [np.sort(values[~np.isnan(values)]) for values in sides]
        counts = [feature.bins.count(values) for values in present]
        compared = samples.compare(present[0], present[1], counts[0], counts[1])
        deltas = compared.effect, compared.effect_low, compared.effect_high
        measured = Measured("AUC", *((1 + delta) / 2 for delta in deltas))
        if feature.projection is None:
            return None, pair, measured
        numbers = HistogramPair(
            feature.projection,
            feature.bins,
            counts[0],
            counts[1],
            len(sides[0]) - len(present[0]),
            len(sides[1]) - len(present[1]),
            compared,
            separation.p,
            samples.verdict(compared, separation.p),
        )
        return numbers, None, measured

    def _selected_by(self, feature: Feature) -> str | None:
        """What the selection is a range of that a number goes with where nothing was selected."""
        codes = feature.candidate.codes
        for defining in self.defining:
            other = defining.candidate.codes
            both = (self.groups.side == OTHERS) & (codes >= 0) & (other >= 0)
            if feature.projection is None or both.sum() < significance.ENOUGH:
                continue
            with np.errstate(invalid="ignore", divide="ignore"):
                if abs(np.corrcoef(codes[both], other[both])[0, 1]) >= SAME:
                    return defining.label
        return None


def _category_pair(
    feature: Feature, question: Question, counts: np.ndarray, baseline_counts: np.ndarray
) -> CauseBars:
    """All categories in their order, or the most frequent and how many have another or none."""
    levels = np.arange(len(feature.names))
    marked = levels == question.level
    if feature.candidate.ordered:
        marked = (levels < question.level) if question.under else (levels >= question.level)
    known = [side[1:-1] for side in (counts, baseline_counts)]
    if feature.is_ordered:
        return CauseBars(feature.label, feature.names, known[0], known[1], tuple(marked), True)
    shares = known[0] / max(1, counts.sum()) + known[1] / max(1, baseline_counts.sum())
    shown = np.argsort(-(shares + 2 * marked), kind="stable")[:NAMED]
    shown = shown[np.argsort(-shares[shown], kind="stable")]
    names = [feature.names[level] for level in shown]
    bars = [side[shown].tolist() for side in known]
    marks = marked[shown].tolist()
    for name, is_marked, more in (
        (
            "other values",
            False,
            [
                int(s[1:].sum()) - sum(b)
                for s, b in zip((counts, baseline_counts), bars, strict=True)
            ],
        ),
        ("no value", question.level < 0, [int(counts[0]), int(baseline_counts[0])]),
    ):
        if any(more):
            names.append(name)
            marks.append(is_marked)
            for side, extra in zip(bars, more, strict=True):
                side.append(extra)
    return CauseBars(
        feature.label, tuple(names), np.array(bars[0]), np.array(bars[1]), tuple(marks), False
    )
