"""By group: rates and medians of versions and tags, and two groups in a sentence."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_access import queries
from data_access.api import OpenLog
from data_access.log import Log
from data_access.queries import Category
from data_access.selection import ANY_FLAG, NO_VALUE, Selection
from data_access.statistics import rates
from tests.samples import SAMPLE, feedback, open_log, prediction, write
from tests.test_pages import Dashboard, dashboard, displayed, stands, text

__all__ = ["dashboard", "displayed"]

ENTROPY = "entropy(outputs.output_text)"
ERRORS = "character_error_rate(outputs.output_text)"
PROD = Selection(environment=("prod",))


def category(log: OpenLog, name: str) -> Category:
    by_name = {row.name: row for row in queries.cube_categories(log.warehouse, PROD)}
    return by_name[name]


@pytest.mark.parametrize(
    ("name", "column"), [("version", "version"), ("tag.client", "tags.client")]
)
def test_groups_are_those_of_pandas(
    sample_log: OpenLog, sample_frame: pd.DataFrame, name: str, column: str
) -> None:
    log, frame = sample_log, sample_frame
    selection = replace(PROD, flag=(ANY_FLAG,))
    table = queries.group_table(log.warehouse, selection, category(log, name), ENTROPY)
    mine = frame[frame["environment"] == "prod"]
    assert {group.value for group in table.groups} == set(mine[column].fillna(NO_VALUE))
    assert table.others == 0
    for group in table.groups:
        rows = mine[mine[column] == group.value]
        assert group.flagged == sum(len(flags) > 0 for flags in rows["feedback.flags"])
        assert (group.flag_rate.low, group.flag_rate.high) == rates.wilson(group.flagged, len(rows))
        assert group.median.value == pytest.approx(rows[ENTROPY].median())
        assert group.median.low <= group.median.value <= group.median.high
        assert group.error_rate.count == rows[ERRORS].notna().sum()
        assert group.error_rate.value == pytest.approx(rows[ERRORS].mean(), nan_ok=True)
        assert queries.coverage(log.warehouse, group.records).predictions == len(rows)
        held = queries.coverage(log.warehouse, group.flagged_records).predictions
        assert held == group.flagged


def test_the_two_newest_versions_with_enough_records_are_compared(
    folder_log: Log, tmp_path: Path
) -> None:
    def records(version: str, day: int, count: int, words: str) -> list[dict[str, object]]:
        return [
            prediction(
                f"{version}-{i}", words, version=version, timestamp=f"2026-07-{day:02}T12:00:00Z"
            )
            for i in range(count)
        ]

    old, new = records("v10", 1, 40, "a b c d"), records("v9", 2, 30, "a a")
    write(folder_log, "predictions/a.jsonl", *new, *old, *records("v8", 3, 29, "a"))
    write(folder_log, "predictions/b.jsonl", prediction("none", "a b"))
    write(folder_log, "feedback/a.jsonl", *(feedback(f"v10-{i}") for i in range(20)))
    truths = (feedback(f"v9-{i}", None, ground_truth_string="a b") for i in range(30))
    write(folder_log, "feedback/b.jsonl", *truths)
    log = open_log(folder_log.uri, tmp_path / "groups.duckdb")
    log.sync()
    versions = category(log, "version")
    table = queries.group_table(log.warehouse, PROD, versions, ENTROPY)
    assert [group.value for group in table.groups] == ["v10", "v9", "v8", NO_VALUE]
    assert table.change is not None
    assert (table.change.before.value, table.change.after.value) == ("v10", "v9")
    assert table.change.flag_rate.by == -0.5 and table.change.flag_rate.high < 0
    assert math.isnan(table.change.error_rate.by), "one side has no truths"
    assert (table.change.median.by, table.change.median.high) == (-2, -2)
    [young] = [group for group in table.groups if group.value == "v8"]
    assert not young.flag_rate.is_enough
    few = Selection(version=("v9", "v8"))
    assert queries.group_table(log.warehouse, few, versions, ENTROPY).change is None
    log.close()


def test_a_table_by_group_on_explore(dashboard: Dashboard, folder_log: Log) -> None:
    app = dashboard("explore", SAMPLE, "environment=prod&flag=*&page.group=version")
    stands(app)
    assert "**v2 against v1**: flag rate 7% vs 46%, ▼ 39 points" in text(app)
    assert "Filters by flag do not apply here." in text(app)
    [table] = [frame.value for frame in app.dataframe if "flag_rate" in frame.value]
    assert list(table["group"]) == ["v1", "v2"]
    assert "version=v1" in table["cases"][0] and "flag=%2A" in table["flagged"][0]
    hostile = "<b>*x*</b> | $y$"
    write(
        folder_log,
        "predictions/a.jsonl",
        *(
            prediction(f"k{i}", "a line", version=hostile if i % 2 else "v2", tags={"n": str(i)})
            for i in range(70)
        ),
    )
    app = dashboard("explore", folder_log.uri)
    stands(app)
    assert "no clear difference" in text(app) and "not enough data" in text(app)
    [table] = [frame.value for frame in app.dataframe if "flag_rate" in frame.value]
    assert hostile in list(table["group"])


def test_rates_of_few_records_are_not_told(dashboard: Dashboard, folder_log: Log) -> None:
    write(folder_log, "predictions/a.jsonl", prediction("k1", version="v1"), prediction("k2"))
    app = dashboard("explore", folder_log.uri)
    stands(app)
    [table] = [frame.value for frame in app.dataframe if "flag_rate" in frame.value]
    assert list(table["flag_rate"]) == ["not enough data (0 of 1)"] * 2
    assert "against" not in text(app).partition("By group")[2]
    assert np.all(table["error_rate"] == "–")
