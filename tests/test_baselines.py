"""What a selection is compared with, held against pandas over the sample log."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from data_access import queries
from data_access.annotations import save_selection
from data_access.api import OpenLog
from data_access.errors import SelectionError
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.queries.baselines import _surely_apart
from data_access.selection import Range, Selection
from data_access.statistics import rates
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import feedback, prediction, write

PROD, TEST = Selection(environment=("prod",)), Selection(environment=("test",))
ENTROPY = "entropy(outputs.output_text)"
AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
SELECTIONS = [
    Selection(),
    PROD,
    TEST,
    Selection(environment=("prod", "test"), version=("v1",)),
    Selection(version=("v2",)),
    Selection(flag=("-",)),
    Selection(flag=("*",)),
    Selection(flag=("-", "incorrect")),
    Selection(until=AUGUST),
    Selection(since=AUGUST, environment=("prod",)),
    Selection(ranges=(Range(ENTROPY, high=3.0),)),
    Selection(images="once"),
]


@pytest.fixture(scope="module")
def warehouse(sample_log: OpenLog) -> Warehouse:
    return sample_log.warehouse


def keys(log: OpenLog, selection: Selection) -> set[str]:
    return set(log.records(selection)["record_key"])


def test_the_test_set_comes_first_and_everything_can_be_chosen(warehouse: Warehouse) -> None:
    names = ["test", "prod", queries.BEFORE, queries.UNFLAGGED, "version:v1", "version:v2"]
    assert queries.baseline_names(warehouse) == names
    assert queries.usual_baseline(warehouse, PROD) == "test"
    assert queries.usual_baseline(warehouse, TEST) == "prod"
    one = Selection(version=("v1",))
    assert "version:v1" not in queries.baseline_names(warehouse, one)
    for name in names:
        assert queries.baseline(warehouse, PROD, name).name == name


@pytest.mark.parametrize(
    ("asked", "name", "mine", "theirs"),
    [
        (PROD, "test", lambda f: f["environment"] == "prod", lambda f: f["environment"] == "test"),
        (
            PROD,
            "version:v1",
            lambda f: (f["environment"] == "prod") & (f["version"] == "v2"),
            lambda f: (f["environment"] == "prod") & (f["version"] == "v1"),
        ),
        (
            Selection(version=("v2",), text="the"),
            "version:v1",
            lambda f: (
                (f["version"] == "v2")
                & f["outputs.output_text"].str.lower().str.contains("the", regex=False)
            ),
            lambda f: f["version"] == "v1",
        ),
        (
            PROD,
            "unflagged",
            lambda f: (f["environment"] == "prod") & (f["feedback.flags"].str.len() > 0),
            lambda f: (f["environment"] == "prod") & (f["feedback.flags"].str.len() == 0),
        ),
        (
            Selection(flag=("offensive", "-")),
            "unflagged",
            lambda f: f["feedback.flags"].map(lambda flags: "offensive" in flags),
            lambda f: f["feedback.flags"].str.len() == 0,
        ),
        (
            PROD,
            "environment=prod&until=2026-07-31",
            lambda f: f["environment"] == "prod",
            lambda f: (f["environment"] == "prod") & (f["timestamp"] < AUGUST),
        ),
    ],
)
def test_both_sides_are_the_records_that_are_meant(
    sample_log: OpenLog,
    sample_frame: pd.DataFrame,
    asked: Selection,
    name: str,
    mine: Callable[[pd.DataFrame], Any],
    theirs: Callable[[pd.DataFrame], Any],
) -> None:
    found = queries.baseline(sample_log.warehouse, asked, name)
    for selection, expected in ((found.compared, mine), (found.selection, theirs)):
        rows = sample_frame[expected(sample_frame)]
        assert len(rows) > 0
        assert keys(sample_log, selection) == set(rows["record_key"])


def test_labels_say_what_it_is(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    write(folder_log, "predictions/a.jsonl", prediction("a", version="<i>3</i>"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    low = Selection(environment=("prod",), ranges=(Range(ENTROPY, high=3.0),))
    name = queries.selection_baseline(low)

    def label(name: str) -> str:
        return queries.baseline(warehouse, PROD, name).label

    assert label("unflagged") == "what nobody flagged"
    assert label("version:<i>3</i>") == "version <i>3</i>"
    assert label(name) == "prod · word entropy < 3"
    assert label(queries.selection_baseline(Selection())) == "all records"
    save_selection(folder_log, warehouse, "Low", low)
    save_selection(folder_log, warehouse, "Everything", Selection())
    assert label(name) == "“Low”"
    assert label(queries.selection_baseline(Selection())) == "“Everything”"
    assert {name, "images=each"} < set(queries.baseline_names(warehouse))


@pytest.mark.parametrize(
    "name",
    ["", "moon", "version:", "version:9", "x=1", "environment=", "since=banana", "a" * 5000,
     "entropy(outputs.output_text)=9..1", "' or 1=1 --", "text=x&moon=1"],
)  # fmt: skip
def test_a_name_that_is_none_is_refused(warehouse: Warehouse, name: str) -> None:
    with pytest.raises(SelectionError, match=r"^The baseline “"):
        queries.baseline(warehouse, PROD, name)


@pytest.mark.parametrize("odd", ["window-before", "unflagged", "version:v1", "a=b", "a&b=c", "ü #"])
def test_environments_of_odd_names_are_environments(
    folder_log: Log, open_warehouse: OpenWarehouse, odd: str
) -> None:
    events = [prediction("a", environment=odd), prediction("b", environment="prod", version="v1")]
    write(folder_log, "predictions/a.jsonl", *events)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    found = [queries.baseline(warehouse, PROD, n) for n in queries.baseline_names(warehouse)]
    wanted = Selection(environment=(odd,))
    assert [one.selection for one in found].count(wanted) == 1
    assert {one.selection for one in found if one.label == odd} == {wanted}


selections = st.builds(
    Selection,
    environment=st.lists(st.sampled_from(["prod", "te=st", "a&b"]), unique=True).map(tuple),
    version=st.lists(st.sampled_from(["v1", "v 2"]), unique=True).map(tuple),
    flag=st.lists(st.sampled_from(["*", "-", "<b>"]), unique=True).map(tuple),
    text=st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
    ).map(lambda text: " ".join(text.split())),
    since=st.none() | st.just(AUGUST),
    ranges=st.sampled_from([(), (Range(ENTROPY, high=2.5),), (Range(ENTROPY, missing=True),)]),
    images=st.sampled_from(["", "once"]),
)


@given(asked=selections, held=selections)
def test_any_selection_can_be_a_baseline(
    sample_log: OpenLog, asked: Selection, held: Selection
) -> None:
    name = queries.selection_baseline(held)
    found = queries.baseline(sample_log.warehouse, asked, name)
    assert found.compared == asked
    assert found.selection.images == asked.images, "images count once on both sides or on none"
    assert found.selection.without("images") == held.without("images")


@pytest.mark.parametrize(("one", "other"), product(SELECTIONS, SELECTIONS))
def test_records_on_both_sides_are_counted(
    sample_log: OpenLog, one: Selection, other: Selection
) -> None:
    baseline = queries.Baseline("", "", other, one)
    shared = len(keys(sample_log, one) & keys(sample_log, other))
    assert queries.shared_records(sample_log.warehouse, baseline) == shared
    assert not (_surely_apart(one, other) and shared)


def test_categories_are_those_of_pandas_and_scipy(
    warehouse: Warehouse, sample_frame: pd.DataFrame
) -> None:
    pairs = queries.category_pairs(warehouse, PROD, TEST)
    columns = {
        "flag": "feedback.flag", "version": "version", "tags.client": "tags.client",
        "tags.client_version": "tags.client_version", "tags.locale": "tags.locale",
    }  # fmt: skip
    assert [pair.name for pair in pairs] == list(columns), "latency is no category"
    for pair in pairs:
        values = sample_frame[columns[pair.name]].fillna("–")
        table = pd.crosstab(sample_frame["environment"], values)
        assert (pair.n, pair.baseline_n) == (570, 180)
        for value, count, baseline_count in zip(
            pair.values, pair.counts, pair.baseline_counts, strict=True
        ):
            held = table[value or "–"]
            assert (count, baseline_count) == (held["prod"], held["test"])
        expected = table.to_numpy().sum(axis=0) * 180 / 750
        if (expected >= rates.TESTABLE).all():
            test = scipy.stats.chi2_contingency(table, correction=False)
            assert pair.association.chi_square == pytest.approx(test.statistic)
            assert pair.association.p == pytest.approx(test.pvalue)
        shares = table.div(table.sum(axis=1), axis=0)
        value, change = pair.most_different()
        differences = shares.loc["prod"] - shares.loc["test"]
        assert change.by == pytest.approx(differences[value or "–"])
        assert abs(change.by) == pytest.approx(differences.abs().max())
        assert change.low <= change.by <= change.high
    corrected = scipy.stats.false_discovery_control([pair.association.p for pair in pairs])
    assert [pair.corrected_p for pair in pairs] == pytest.approx(list(corrected))
    table = queries.category_table(pairs)
    assert set(table["category"]) == set(columns)
    assert list(table["cramers_v"]) == sorted(table["cramers_v"], reverse=True)


def test_what_sets_the_sides_apart_by_definition_is_no_finding(warehouse: Warehouse) -> None:
    for name, missing in (("unflagged", "flag"), ("version:v1", "version")):
        found = queries.baseline(warehouse, PROD, name)
        pairs = queries.category_pairs(warehouse, found.compared, found.selection)
        assert missing not in {pair.name for pair in pairs}
        assert len(pairs) == 4


def test_a_side_without_records_has_no_categories_to_compare(warehouse: Warehouse) -> None:
    nothing = Selection(text="no output says this")
    for one, other in ((nothing, TEST), (TEST, nothing), (nothing, nothing)):
        table = queries.category_table(queries.category_pairs(warehouse, one, other))
        assert set(table.get("verdict", ["no values"])) == {"no values"}


def test_tags_of_any_name_and_with_any_values(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    names = ["a/b", "~", "a.b", "$", "ü", '"', "'", "*", "a[0]", " "]
    events = [
        prediction(
            f"k{i}",
            environment="prod" if i % 2 else "test",
            tags=dict.fromkeys(names, f"<b>{i % 3}</b>")
            | {"many": f"value {i}", "number": i % 2, "nested": {"x": [i % 2]}, "same": "x"}
            | ({"rare": True} if i == 7 else {}),
        )
        for i in range(120)
    ]
    write(folder_log, "predictions/a.jsonl", *events)
    write(folder_log, "feedback/a.jsonl", *[feedback(f"k{i}") for i in range(0, 120, 5)])
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    assert set(queries.log_tags(warehouse).categories) == {
        *names,
        "number",
        "nested",
        "same",
        "rare",
    }
    found = {pair.name: pair for pair in queries.category_pairs(warehouse, PROD, TEST)}
    assert set(found) == {
        "flag",
        *(f"tags.{name}" for name in (*names, "number", "nested", "rare")),
    }
    for name in names:
        pair = found[f"tags.{name}"]
        assert pair.values == ("<b>0</b>", "<b>1</b>", "<b>2</b>")
        assert list(pair.counts) == list(pair.baseline_counts) == [20, 20, 20]
    assert found["tags.number"].verdict == "clearly different"
    assert found["tags.number"].association.cramers_v == pytest.approx(1)
    assert found["tags.rare"].values == (None, "true")
    assert np.isnan(found["tags.rare"].corrected_p), "one record tells nothing"
