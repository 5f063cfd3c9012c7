"""What separates cases: the statistics against SciPy's, planted causes, and the sample's story."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from data_access import queries
from data_access.annotations import Kept
from data_access.api import OpenLog
from data_access.ingest.sync import sync
from data_access.judging import NewReview, write_reviews
from data_access.log import Log
from data_access.projections import load_projections
from data_access.queries import Causes, gathering, rank_causes
from data_access.queries.candidates import KINDS, Day, Environment, Version
from data_access.queries.gathering import gather
from data_access.records import Review
from data_access.selection import (
    NO_VALUE,
    Range,
    Selection,
    Tag,
    parse_selection,
    query_string,
)
from data_access.statistics.rates import cramers_v
from data_access.statistics.separation import (
    AT_ONCE,
    CHOSEN,
    PERMUTATIONS,
    Answers,
    Candidate,
    Groups,
    Question,
    answers,
    says_yes,
    separations,
    strength_of,
    together,
)
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import SAMPLE, Event, feedback, picture, prediction, rounds, write, write_picture

ENTROPY = "entropy(outputs.output_text)"
REPETITION = "repetition(outputs.output_text)"
POLARITY = "polarity(inputs.image)"
PROD, TEST = Selection(environment=("prod",)), Selection(environment=("test",))
V1 = Selection(environment=("prod",), version=("v1",))
HOSTILE = "<script>alert(1)</script> **b** $x$ =cmd|' /C calc'!A0 ' or 1=1 --"


@pytest.fixture(scope="module")
def warehouse(sample_log: OpenLog) -> Warehouse:
    return sample_log.warehouse


def number(codes: Iterable[int], levels: int = 12) -> Candidate:
    return Candidate("number", np.array(list(codes), np.int16), levels, True)


def category(codes: Iterable[int], levels: int = 12) -> Candidate:
    return Candidate("category", np.array(list(codes), np.int16), levels, False)


# --- statistics -----------------------------------------------------------------------------


@given(st.integers(0, 10_000))
def test_strength_is_the_best_v_of_all_questions(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = int(random.integers(4, 60))
    chosen = np.arange(size) < max(1, size // 3)
    codes = random.integers(0, 6, size)
    for candidate in (number(codes, 6), category(codes, 6)):
        asked = (
            [codes >= level for level in range(1, 6)]
            if candidate.ordered
            else [codes == level for level in range(6)]
        )
        tables = (
            [np.array([yes[group].sum(), (~yes)[group].sum()]) for group in (chosen, ~chosen)]
            for yes in asked
        )
        best = max(cramers_v(mine, others)[0] for mine, others in tables)
        found = separations([candidate], Groups.of(chosen))
        assert (found[0].strength if found else 0.0) == pytest.approx(best, abs=1e-9)


def test_the_probability_of_the_best_of_all_is_even_where_nothing_separates() -> None:
    random = np.random.default_rng(3)
    held = []
    for run in range(300):
        candidates = [number(random.integers(-1, 12, 150)) for _ in range(4)]
        candidates += [category(random.integers(-1, 5, 150)) for _ in range(4)]
        held.append(separations(candidates, Groups.of(np.arange(150) < 50, run))[0].p)
    assert scipy.stats.kstest(held, "uniform").pvalue > 0.001
    assert np.mean(np.array(held) < 0.05) < 0.09


@pytest.mark.parametrize("sizes", [(40, 70), (20, AT_ONCE + 30)])
def test_p_is_counted_from_shuffles_of_all_questions(sizes: tuple[int, int]) -> None:
    """The same shuffles, each question asked of each by itself."""
    random = np.random.default_rng(9)
    chosen = np.arange(sum(sizes)) < sizes[0]
    candidates = [
        number(np.where(chosen, 2, 0) + random.integers(-1, 9, len(chosen))),
        category(random.choice([-1, 0, 1, 2, 5], len(chosen), p=[0.02, 0.02, 0.9, 0.03, 0.03]), 5),
        Candidate("rare", (random.random(len(chosen)) < 0.1).astype(np.int16), 2, True, False),
    ]
    found = separations(candidates, Groups.of(chosen, 4))

    again = np.random.default_rng(4)
    sides = [np.flatnonzero(chosen), np.flatnonzero(~chosen)]
    drawn = [s if len(s) <= AT_ONCE else again.choice(s, AT_ONCE, replace=False) for s in sides]
    rows, n = np.concatenate(drawn), len(drawn[0])
    labels = np.tile(np.arange(len(rows)) < n, (PERMUTATIONS, 1))
    again.permuted(labels, axis=1, out=labels)
    best = np.zeros(PERMUTATIONS)
    for candidate in candidates:
        codes = candidate.codes[rows]
        for level in range(-candidate.asks_missing, candidate.levels):
            if candidate.ordered and not level:
                continue
            question = Question(level)
            held = (codes >= 0) | (level < 0)
            yes = says_yes(replace(candidate, codes=codes), question)
            for shuffle, label in enumerate(labels):
                mine, others = (
                    Answers(int((yes & side).sum()), int((held & side).sum()))
                    for side in (label, ~label)
                )
                strength = strength_of(mine, others, n, len(rows) - n)
                best[shuffle] = max(best[shuffle], strength)
    best *= math.sqrt(sum(1 / size for size in sizes) / sum(1 / len(side) for side in drawn))
    for one in found:
        assert one.p == (1 + (best >= one.strength * (1 - 1e-9)).sum()) / (1 + PERMUTATIONS)
    assert 1 / (1 + PERMUTATIONS) < found[1].p < 1, "something to get wrong"


def test_chance_in_large_groups_is_that_of_their_own_size() -> None:
    """Measured on a part, and scaled: no more is claimed than there should be."""
    random = np.random.default_rng(5)
    size = 6 * AT_ONCE
    held = [
        separations(
            [number(random.integers(0, 30, size), 30) for _ in range(5)],
            Groups.of(np.arange(size) < size // 2, run),
        )[0].p
        for run in range(60)
    ]
    assert 0.3 < np.mean(held) < 0.7


def test_a_planted_cause_comes_first_with_true_counts() -> None:
    random = np.random.default_rng(1)
    chosen = np.arange(400) < 100
    planted = random.integers(0, 4, 400)
    planted[:80] = random.integers(7, 9, 80)
    noise = [number(random.integers(0, 12, 400)) for _ in range(20)]
    first = separations([*noise, number(planted)], Groups.of(chosen))[0]
    assert first.number == 20 and first.p == 1 / 200
    assert not first.question.under and 4 <= first.question.level <= 7
    assert (first.chosen.yes, first.chosen.known) == (80, 100)
    assert (first.others.yes, first.others.known) == (0, 300)


def test_lower_values_and_missing_ones_are_found_too() -> None:
    chosen = np.arange(200) < 100
    low = separations([number(np.where(chosen, 1, 8))], Groups.of(chosen))[0]
    assert low.question.under and low.chosen.share == 1 and low.others.share == 0
    without = number(np.where(chosen & (np.arange(200) % 5 > 0), -1, 8))
    none = separations([without], Groups.of(chosen))[0]
    assert none.question == Question(-1) and (none.chosen.yes, none.others.yes) == (80, 0)


def test_what_few_records_have_separates_little() -> None:
    """Of a hundred cases two have a value, and it is another than the others'."""
    chosen = np.arange(200) < 100
    codes = np.where(chosen, np.where(np.arange(200) < 2, 9, -1), 1)
    rare = Candidate("rare", codes.astype(np.int16), 12, True, asks_missing=False)
    assert separations([rare], Groups.of(chosen))[0].strength < 0.3


def test_an_edge_at_zero_is_preferred_where_it_is_as_good() -> None:
    chosen = np.arange(200) < 100
    codes = np.where(chosen, 9, 1).astype(np.int16)
    plain = separations([Candidate("plain", codes, 12, True)], Groups.of(chosen))[0]
    natural = separations([Candidate("natural", codes, 12, True, zero=3)], Groups.of(chosen))[0]
    assert plain.question.level == 5 and natural.question.level == 3
    outside = separations([Candidate("outside", codes, 12, True, zero=11)], Groups.of(chosen))[0]
    assert outside.question.level == 5


def test_empty_groups_separate_nothing() -> None:
    codes = number(range(10))
    assert separations([codes], Groups.of(np.ones(10, bool))) == []
    assert separations([codes], Groups.of(np.zeros(10, bool))) == []
    assert separations([], Groups.of(np.arange(10) < 5)) == []
    assert all(math.isnan(value) for value in cramers_v(np.zeros(3, int), np.ones(3, int)))


@given(st.lists(st.tuples(st.integers(-1, 5), st.booleans()), min_size=1, max_size=30))
def test_answers_are_those_of_the_records(rows: list[tuple[int, bool]]) -> None:
    codes, group = np.array([code for code, _ in rows]), np.array([held for _, held in rows])
    for candidate in (number(codes, 6), category(np.minimum(codes, 4), 4)):
        counts = Groups.of(group).counts(candidate)
        assert counts.sum(axis=1).tolist() == [group.sum(), (~group).sum(), 0, 0]
        for question in (Question(-1), Question(2), Question(2, under=candidate.ordered)):
            yes = says_yes(candidate, question)
            found = answers(candidate, question, counts[CHOSEN])
            assert found.yes == (yes & group).sum()
            assert found.known == (group & ((codes >= 0) | (question.level < 0))).sum()


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=3, max_size=40))
def test_together_is_the_correlation_of_answers(rows: list[tuple[bool, bool]]) -> None:
    one, other = (np.array(side) for side in zip(*rows, strict=True))
    constant = len(set(one)) < 2 or len(set(other)) < 2
    expected = 0.0 if constant else np.corrcoef(one, other)[0, 1]
    assert together(one, other) == pytest.approx(expected, abs=1e-9)


# --- the sample -----------------------------------------------------------------------------


def strange(warehouse: Warehouse) -> list[Selection]:
    """What an investigator selects: production's repetitive or low-entropy outputs under v1."""
    low = queries.low_range(warehouse, TEST, ENTROPY)
    high = queries.high_range(warehouse, TEST, REPETITION)
    assert low is not None and high is not None
    return [V1.with_range(low), V1.with_range(high)]


def test_the_sample_is_explained_by_polarity(warehouse: Warehouse) -> None:
    for chosen in strange(warehouse):
        found = rank_causes(warehouse, chosen, TEST)
        first = found.causes[0]
        assert first.name in (POLARITY, "greyscale_image_mean(inputs.image)")
        named = [first.says, *first.goes_with]
        assert any("image mean ≥" in said for said in named)
        assert any("polarity ≥" in said for said in named)
        assert first.more and first.others.yes == 0 and first.p <= 0.01
        assert first.selected.share > 0.7


def test_the_first_cause_is_true_of_what_the_truth_calls_dark_on_light(
    warehouse: Warehouse, sample_log: OpenLog
) -> None:
    truth = pd.read_csv(SAMPLE.parent / "truth.csv").set_index("record_key")["mode"]
    first = rank_causes(warehouse, strange(warehouse)[1], TEST).causes[0]
    held = sample_log.records(query_string(first.narrowed))["record_key"].map(truth)
    assert held.isin(["dark_on_light", "printed", "textured_background"]).mean() > 0.95


@pytest.mark.parametrize("against", ["test", "the rest"])
def test_counts_are_exact_and_filters_list_the_same_records(
    warehouse: Warehouse, against: str
) -> None:
    for chosen in (*strange(warehouse), PROD.with_flag("*")):
        found = rank_causes(warehouse, chosen, TEST if against == "test" else None)
        assert found.selected == queries.coverage(warehouse, chosen).predictions
        shown = [*found.causes, *found.general, *found.symptoms, *(found.then or ())]
        assert shown
        assert all(cause.listed is not None for cause in (*found.causes, *found.symptoms))
        for cause in shown:
            assert cause.listed in (cause.selected.yes, None)
            held = queries.coverage(warehouse, cause.narrowed).predictions
            assert held == cause.selected.yes if cause.listed is not None else held


def test_what_defines_the_selection_is_no_cause_of_it(warehouse: Warehouse) -> None:
    chosen = V1.with_range(Range(POLARITY, low=0.0))
    found = rank_causes(warehouse, chosen, None)
    assert ("polarity", "you filtered by it") in found.left_out
    assert "polarity" not in set(found.looked_at["what"])
    against_test = rank_causes(warehouse, chosen, TEST)
    assert {"environment", "version"} <= {label for label, _ in against_test.left_out}


def test_how_another_environment_is_logged_is_no_cause(warehouse: Warehouse) -> None:
    """The sample's test set has a client of its own, and came before production did."""
    left_out = dict(rank_causes(warehouse, PROD.with_flag("*"), TEST).left_out)
    assert {"client", "client_version", "day", "hour", "weekday"} <= left_out.keys()


def test_what_is_as_true_of_the_rest_is_set_apart(warehouse: Warehouse) -> None:
    found = rank_causes(warehouse, strange(warehouse)[1], TEST)
    assert any("locale" in cause.says for cause in found.general)
    assert not any("locale" in cause.says for cause in found.causes)


def test_both_sides_of_a_cause_are_shown(warehouse: Warehouse, sample_log: OpenLog) -> None:
    chosen = strange(warehouse)[0]
    first = rank_causes(warehouse, chosen, TEST).causes[0]
    for baseline, environment in ((TEST, "test"), (None, "prod")):
        examples = queries.cause_examples(warehouse, chosen, baseline, first)
        records = sample_log.records().set_index("record_key")
        by_image = records.groupby("inputs.image")
        assert len(set(examples.selected)) == len(set(examples.others)) == 6
        own = set(sample_log.records(query_string(first.narrowed))["inputs.image"])
        assert set(examples.selected) <= own
        assert not set(examples.others) & own
        assert {by_image.get_group(name)["environment"].iloc[0] for name in examples.others} == {
            environment
        }


@pytest.mark.parametrize(
    ("name", "edge", "under", "said"),
    [
        (POLARITY, 0.0, False, "have dark ink on light paper"),
        (POLARITY, 0.3, False, "have dark ink on light paper"),
        (POLARITY, -0.3, False, ""),
        (POLARITY, 0.0, True, "have light ink on dark paper"),
        (POLARITY, 0.3, True, ""),
        ("greyscale_image_mean(inputs.image)", 100.0, False, "have a lighter image"),
        (ENTROPY, 3.8, True, ""),
    ],
)
def test_what_people_call_it_is_true_of_every_edge_it_is_said_of(
    warehouse: Warehouse, name: str, edge: float, under: bool, said: str
) -> None:
    assert warehouse.projections[name].words(edge, under=under) == said


def test_the_second_step_is_without_the_first_cause(warehouse: Warehouse) -> None:
    chosen = PROD.with_flag("*")
    found = rank_causes(warehouse, chosen, None)
    first = found.causes[0]
    assert found.left == found.selected - first.selected.yes
    assert found.left_others == found.others - first.others.yes
    assert found.then is not None
    assert all(cause.selected.known <= found.left for cause in found.then)


def test_a_random_half_has_no_cause(warehouse: Warehouse) -> None:
    """Records by the last bit of their time, which nothing depends on."""
    gathered = gather(warehouse, PROD, TEST)
    random = np.random.default_rng(0)
    candidates = [feature.candidate for feature in gathered.features if feature.is_input]
    size = len(gathered.groups.side)
    claims = [
        separations(candidates, Groups.of(random.random(size) < 0.5, run))[0].p < 0.05
        for run in range(60)
    ]
    assert sum(claims) <= 8


# --- hostile and small logs -----------------------------------------------------------------


def filled(log: Log, open_warehouse: OpenWarehouse, *events: Event) -> Warehouse:
    write(log, "predictions/a.jsonl", *events)
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    return warehouse


@pytest.fixture(scope="module")
def motley(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A log with all kinds of values, odd ones among them."""
    folder = tmp_path_factory.mktemp("motley")
    (folder / "log").mkdir()
    log = Log.open(str(folder / "log"))
    random = np.random.default_rng(11)
    images = [write_picture(log, body) for body in (picture(), picture(20, 230), b"no picture")]
    sizes = [3, 2.5, 12345678901234567, -1e308, 0.1, 7, 7.000000000000001]
    odd = ["NaN", "inf", "1e999", "seven", None, True, [1], {"a": 1}]
    texts = [
        "the",
        "The",
        "(the)",
        "other",
        "“THE”,",
        "the-end",
        "a.b",
        "İst",
        "ẞ",
        "<b>",
        "$x^",
        "…",
    ]
    gaps = [" ", "\n", "\t", "\u00a0", "\u2003", "\x0b", "\x1f", "\u0085", "  "]

    def event(n: int) -> Event:
        text = "".join(
            f"{random.choice(texts)}{random.choice(gaps)}" for _ in range(random.integers(0, 6))
        )
        tags: dict[str, object] = {"client": str(random.choice(["web", "ios", "-", ""]))}
        if n % 3:
            tags["size"] = sizes[n % len(sizes)] if n >= 60 else odd[n % len(odd)]
        if n % 5:
            tags["odd:name?&"] = int(random.integers(0, 40))
        return prediction(
            f"k{n}",
            None if n % 40 == 3 else text,
            timestamp=f"2026-07-{n % 23 + 1:02}T{random.integers(0, 24):02}:59:59.999999Z",
            environment=["prod", "test", "dev"][n % 7 % 3],
            version=[None, "1", "2"][n % 3],
            application=[None, "a", "b"][n % 4 % 3],
            inputs__image=[None, *images, f"images/ff/{'f' * 64}.png"][n % 5],
            tags=tags,
            **{"outputs.confidence": n % 10 / 10} if n % 6 else {},
        )

    write(log, "predictions/a.jsonl", *(event(n) for n in range(240)))
    said = (
        feedback(f"k{n}", ["incorrect", "other"][n % 2], feedback_key=f"f{n}")
        for n in range(0, 240, 4)
    )
    write(log, "feedback/a.jsonl", *said, *(feedback(f"k{n}") for n in range(0, 90, 8)))
    warehouse = Warehouse.open(folder / "w.duckdb", log.uri, load_projections())
    sync(log, warehouse)
    verdict = Review(verdict="wrong", modes=["mode"], queue="find")
    reviews = [NewReview(f"r{n}", f"k{n}", verdict) for n in range(0, 240, 3)]
    assert write_reviews(log, warehouse, reviews, "Ada") is Kept.SHOWN
    yield warehouse
    warehouse.close()


@given(
    st.sampled_from(
        [
            Selection(),
            Selection(environment=("prod",), word="the"),
            Selection(hour=tuple(range(12)), without_word="other"),
            Selection(tag_range=(Range("size", 2.5, 8.0),), images="once"),
            Selection(image_state=("none", "readable"), without_flag=("other",)),
            Selection(application=("a", NO_VALUE), weekday=("Monday", "Tuesday", "Friday")),
        ]
    ),
    st.data(),
)
@pytest.mark.soak
@settings(max_examples=rounds(30, 150))
def test_the_filter_of_a_question_lists_the_records_that_say_yes(
    motley: Warehouse, chosen: Selection, data: st.DataObject
) -> None:
    gathered = motley.cached(("gathered", chosen), lambda: gather(motley, chosen, None))
    feature = gathered.features[data.draw(st.integers(0, len(gathered.features) - 1))]
    levels = range(-feature.candidate.asks_missing, feature.candidate.levels)
    level = data.draw(st.sampled_from([n for n in levels if n or not feature.candidate.ordered]))
    under = feature.candidate.ordered and level > 0 and data.draw(st.booleans())
    question = Question(level, under)
    if chosen.each_image_once and isinstance(feature, Environment | Version | Day):
        return
    own = gathered.groups.side == CHOSEN
    yes = int((says_yes(feature.candidate, question) & own).sum())
    narrowed = feature.narrow(chosen, question)
    assert queries.coverage(motley, narrowed).predictions == yes, query_string(narrowed)
    assert parse_selection(query_string(narrowed), motley.projections) == narrowed
    without = feature.narrow_without(chosen, question)
    assert without is not None
    no = own & ~says_yes(feature.candidate, question)
    if feature.candidate.ordered and level > 0:
        no &= feature.candidate.codes >= 0
    assert queries.coverage(motley, without).predictions == no.sum(), query_string(without)


def test_every_kind_of_thing_is_asked_about(motley: Warehouse) -> None:
    kinds = {type(feature) for feature in gather(motley, Selection(), None).features}
    assert kinds == set(KINDS)


def said(found: Causes) -> str:
    return " ".join([*(cause.says for cause in found.causes), *found.looked_at.get("says", [])])


def test_selections_of_nothing_of_one_and_of_everything(warehouse: Warehouse) -> None:
    nothing = Selection(environment=("nowhere",))
    key = queries.cases_page(warehouse, PROD).rows["outputs.output_text"].iloc[0]
    one = Selection(environment=("prod",), text=key)
    for baseline in (TEST, None, nothing, Selection()):
        for chosen in (nothing, one, PROD, Selection()):
            found = rank_causes(warehouse, chosen, baseline)
            assert found.selected == queries.coverage(warehouse, chosen).predictions
            if not found.selected or not found.others:
                assert not found.causes and not found.symptoms and found.p == 1.0
    everything = rank_causes(warehouse, Selection(), None)
    assert everything.others == 0
    assert rank_causes(warehouse, PROD, PROD).others == 0, "records in both count as selected alone"


def test_an_empty_log(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    found = rank_causes(open_warehouse(folder_log), Selection(), None)
    assert (found.selected, found.others, found.causes) == (0, 0, ())


def test_hostile_tags_are_left_out_or_said_as_they_are(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    events = [
        prediction(
            f"k{n}",
            "a bad one" if n < 40 else "a good one",
            tags={
                "own": f"value {n}",
                HOSTILE: HOSTILE if n < 40 else "other\u0000",
                "broken": ["NaN", "Infinity", "-0", ""][n % 4],
                "mixed": n if n % 2 else "text",
                "huge": 10 ** (n % 30),
                "constant": HOSTILE,
                "": "empty name",
            },
        )
        for n in range(120)
    ]
    warehouse = filled(folder_log, open_warehouse, *events)
    found = rank_causes(warehouse, Selection(text="bad"), None)
    assert dict(found.left_out)["own"] == "nearly unique to each record"
    assert dict(found.left_out)["constant"] == "the same in every record"
    first = found.causes[0]
    assert first.says == f"have {HOSTILE} “{HOSTILE}”" and first.strength == pytest.approx(1)
    assert first.narrowed == Selection(text="bad", tag=(Tag(HOSTILE, HOSTILE),))
    assert queries.coverage(warehouse, first.narrowed).predictions == first.selected.yes == 40
    assert "broken" not in said(found)[: len(first.says)]


def test_a_tag_of_a_hundred_thousand_values(
    folder_log: Log, open_warehouse: OpenWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 100_000
    monkeypatch.setattr(gathering, "MOST", count)
    events = (
        prediction(f"k{n}", None, version="new" if n % 4 else "old", tags={"own": f"{n:x} {n}"})
        for n in range(count)
    )
    warehouse = filled(folder_log, open_warehouse, *events)
    found = rank_causes(warehouse, Selection(version=("old",)), Selection(version=("new",)))
    assert (found.selected, found.others) == (count // 4, count * 3 // 4)
    assert dict(found.left_out)["own"] == "nearly unique to each record"
    assert not found.causes


def test_a_tag_that_is_missing_is_a_cause(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    events = [
        prediction(f"k{n}", "bad" if n < 50 else "good", tags={} if n < 45 else {"client": "web"})
        for n in range(150)
    ]
    warehouse = filled(folder_log, open_warehouse, *events)
    first = rank_causes(warehouse, Selection(text="bad"), None).causes[0]
    assert first.says in ("have no client", "have client “web”")
    assert queries.coverage(warehouse, first.narrowed).predictions == first.selected.yes
    assert {Tag("client", NO_VALUE), Tag("client", "web")} >= set(first.narrowed.tag)


def test_what_a_baseline_cannot_have_comes_last(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    """A client that is newer than the baseline, beside a size that both have."""
    random = np.random.default_rng(5)

    def event(n: int) -> Event:
        bad, new = n < 60, n < 160
        tags = {
            "client": "app" if bad and n % 10 else "web",
            "beta": n if bad else n % 50 if new else 7,
            "size": float(random.normal(9 if bad and n % 8 else 3)),
        }
        return prediction(f"k{n}", "bad" if bad else "good", version="2" if new else "1", tags=tags)

    warehouse = filled(folder_log, open_warehouse, *(event(n) for n in range(260)))
    chosen = Selection(text="bad", version=("2",))
    found = rank_causes(warehouse, chosen, Selection(version=("1",)))
    assert [cause.label for cause in found.causes] == ["size"]
    assert "have client “app”" in {cause.says for cause in found.constructed}
    assert found.then is None or not {cause.label for cause in found.then} & {"client", "beta"}
    beside = rank_causes(warehouse, chosen, None)
    assert not beside.constructed and "client" in {cause.label for cause in beside.causes}


def test_one_hour_of_the_day_one_day_and_one_version(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    def event(n: int) -> Event:
        bad = n < 60
        hour = 3 if bad and n % 3 else n % 24
        return prediction(
            f"k{n}",
            "bad" if bad else "good",
            timestamp=f"2026-07-{n % 20 + 1:02}T{hour:02}:30:00Z",
            version="2" if bad and n % 2 else f"1.{n % 5}",
        )

    warehouse = filled(folder_log, open_warehouse, *(event(n) for n in range(240)))
    found = rank_causes(warehouse, Selection(text="bad"), None)
    shown = {cause.name: cause for cause in found.causes}
    assert shown["hour"].says == "are from 03:00–03:59 UTC"
    assert shown["version"].says == "have version “2”"
    assert shown["version"].narrowed == Selection(text="bad", version=("2",))
    pair = shown["hour"].categories
    assert pair is not None and pair.counts.sum() == 60 and pair.marked[3] and sum(pair.marked) == 1


def test_flags_are_symptoms(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    events = [prediction(f"k{n}", "bad" if n < 40 else "good") for n in range(120)]
    write(folder_log, "feedback/a.jsonl", *(feedback(f"k{n}") for n in range(35)))
    warehouse = filled(folder_log, open_warehouse, *events)
    found = rank_causes(warehouse, Selection(text="bad"), None)
    assert not found.causes
    row = found.looked_at.set_index("what").loc["flagged"]
    assert (row["came"], row["selected"], row["others"]) == ("out", 35 / 40, 0)


def test_days_become_a_filter(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    events = [
        prediction(
            f"k{n}",
            "bad" if n % 60 >= 40 else "good",
            timestamp=f"2026-07-{n // 10 % 6 + 1:02}T{n % 10:02}:00:00Z",
        )
        for n in range(180)
    ]
    warehouse = filled(folder_log, open_warehouse, *events)
    first = rank_causes(warehouse, Selection(text="bad"), None).causes[0]
    assert first.says == "are from 5 Jul 2026 or later" and first.selected.share == 1
    assert first.narrowed.since is not None
    assert queries.coverage(warehouse, first.narrowed).predictions == first.selected.yes


def test_markup_in_outputs_and_words(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    events = [
        prediction(f"k{n}", f"{HOSTILE} {json.dumps(chr(0))}" if n < 40 else "plain words")
        for n in range(100)
    ]
    warehouse = filled(folder_log, open_warehouse, *events)
    found = rank_causes(warehouse, Selection(text="alert"), None)
    assert found.selected == 40


def test_answers_are_kept_by_question_and_version(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    warehouse = filled(folder_log, open_warehouse, prediction("one"), prediction("two", "odd"))
    chosen = Selection(text="odd")
    assert rank_causes(warehouse, chosen, None) is rank_causes(warehouse, chosen, None)
    before = rank_causes(warehouse, chosen, None)
    write(folder_log, "predictions/b.jsonl", prediction("three", "odd"))
    sync(folder_log, warehouse)
    assert rank_causes(warehouse, chosen, None).selected == before.selected + 1
