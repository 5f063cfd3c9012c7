"""What the log holds by day, what is no record, and what has no score for which reason."""

import codecs
import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import astuple, replace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_access import queries
from data_access.api import OpenLog
from data_access.export import quarantine_csv
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import Projection
from data_access.projections.table import ENTROPY, TEXT
from data_access.records import ORIGIN, ORIGIN_LINE, SOURCES
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import (
    RECORDS,
    SAMPLE,
    feedback,
    picture,
    prediction,
    table_of,
    write,
    write_picture,
)

OBSCENE = "detoxify.obscene(outputs.output_text)"


@pytest.fixture(scope="module")
def warehouse(sample_log: OpenLog) -> Warehouse:
    return sample_log.warehouse


def test_quarantine_is_grouped_by_reason_and_filtered_by_object(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    log, warehouse = folder_log, open_warehouse(folder_log)
    log.put("predictions/a.jsonl", b'{"record_key": 1\n{"record_key": "x", \n[1]\n' * 3)
    log.put("predictions/b_.jsonl", b"[2]\n=cmd|' /C calc'!A0\n")
    sync(log, warehouse)
    reasons = queries.quarantine_reasons(warehouse)
    assert dict(zip(reasons["reason"], reasons["lines"], strict=True))["not a JSON object"] == 4
    assert reasons["lines"].sum() == queries.quarantined(warehouse) == 11
    assert not reasons["reason"].str.contains("line|char").any(), "the same reason at any place"
    assert len(queries.quarantine_reasons(warehouse, 1)) == 1
    assert queries.quarantine_reasons(warehouse, 1)["reasons"].iloc[0] == len(reasons)
    assert queries.quarantined(warehouse, "b_") == 2
    assert set(queries.quarantine(warehouse, within="b_")["object_key"]) == {"predictions/b_.jsonl"}
    assert queries.quarantined(warehouse, "%") == 0, "a part of a key, not a pattern"
    saved = list(csv.reader(quarantine_csv(warehouse).decode("utf-8-sig").splitlines()))
    assert len(saved) == 1 + 11
    assert quarantine_csv(warehouse).startswith(codecs.BOM_UTF8)
    assert not any(cell.startswith("=") for row in saved for cell in row)


@pytest.mark.parametrize("source", ["environment", "application", "object"])
def test_events_by_day_add_up(warehouse: Warehouse, source: queries.Origin) -> None:
    events = queries.events_by_day(warehouse, source)
    records = events[events["kind"] == "records"]
    assert records["events"].sum() == RECORDS
    days = {path.parent.name for path in (SAMPLE / "predictions").rglob("*.*")}
    assert {f"date={day:%Y-%m-%d}" for day in records["day"]} == days
    [(feedback,)] = warehouse.rows(
        "select count(distinct (record_key, feedback_key)) from feedback"
    )
    assert events.loc[events["kind"] == "feedback", "events"].sum() == feedback


def test_events_of_compacted_objects_count_once(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    log, warehouse = folder_log, open_warehouse(folder_log)
    write(log, "predictions/date=2026-07-06/a.jsonl", prediction("a"), prediction("b"))
    write(log, "predictions/date=2026-07-07/c.json", prediction("c"))
    write(log, "predictions/d.json", prediction("d", environment="dev"))
    write(log, "feedback/date=2026-07-08/f.json", feedback("a"))
    write(log, "feedback/date=2026-07-08/g.json", feedback("nobody"))
    sync(log, warehouse)
    before = queries.events_by_day(warehouse, "environment")
    events = {(f"{d:%d}" if d == d else None, k, s): n for d, k, s, n in before.itertuples(False)}
    assert events == {
        ("06", "records", "prod"): 2,
        ("07", "records", "prod"): 1,
        (None, "records", "dev"): 1,
        ("08", "feedback", "prod"): 1,
        ("08", "feedback", queries.NO_PREDICTION): 1,
    }
    compact(log, "2026-07-06", "predictions/date=2026-07-06/a.jsonl")
    sync(log, warehouse)
    after = queries.events_by_day(warehouse, "environment")
    pd.testing.assert_frame_equal(before, after)
    objects = queries.objects_by_day(warehouse)
    assert objects["events"].sum() == 6
    merged = objects[objects["merged"] > 0]
    assert list(merged["form"]) == ["JSON lines"] and list(merged["events"]) == [0]
    compacted = objects[objects["form"] == "compacted Parquet"]
    assert list(compacted["events"]) == [2]


def compact(log: Log, day: str, key: str) -> None:
    """One object's predictions again in a compacted object that says so."""
    found = next(found for found in log.list("predictions/") if found.key == key)
    rows = [json.loads(line) for line in log.get(key).splitlines()]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    origin = {ORIGIN: [key] * len(rows), ORIGIN_LINE: list(range(1, len(rows) + 1))}
    table = pa.table({**columns, **origin}).replace_schema_metadata(
        {SOURCES: json.dumps([[found.key, found.e_tag]]).encode()}
    )
    body = io.BytesIO()
    pq.write_table(table, body)
    assert log.put(f"predictions/date={day}/compacted-1.parquet", body.getvalue())


def test_every_record_without_a_score_has_a_reason(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    def refuse(texts: Sequence[str]) -> list[float]:
        if "refuse" in texts:
            raise ValueError("no, thanks")
        return [math.nan if text == "none" else 1.0 for text in texts]

    log = folder_log
    row = Projection("own(outputs.output_text)", "own", "", (TEXT,), "A test.", refuse)
    warehouse = open_warehouse(log, table_of(row))
    flat = write_picture(log, picture(200, 200))
    write(
        log,
        "predictions/a.jsonl",
        prediction("a", "refuse", inputs__image=flat),
        prediction("b", "none", inputs__image="images/00/missing.png"),
        prediction("c", None),
        prediction("d", "fine", **{"outputs.confidence": 0.5}),
    )
    write(log, "feedback/a.jsonl", feedback("d", None, ground_truth_string="fine"))
    sync(log, warehouse)
    found = {row.projection.name: astuple(row)[1:] for row in queries.scored(warehouse)}
    # valued, without input, unreadable, failed, waiting, undefined
    assert found["own(outputs.output_text)"] == (1, 1, 0, 1, 0, 1)
    assert found[ENTROPY] == (3, 1, 0, 0, 0, 0)
    assert found["character_error_rate(outputs.output_text)"] == (1, 3, 0, 0, 0, 0)
    assert found["polarity(inputs.image)"] == (0, 2, 1, 0, 0, 1)
    assert found["outputs.confidence"] == (1, 1, 0, 0, 2, 0)
    assert found[OBSCENE] == (0, 1, 0, 0, 3, 0)
    failures = queries.failures(warehouse)
    assert list(failures.itertuples(index=False, name=None)) == [
        ("own(outputs.output_text)", "ValueError: no, thanks", 1)
    ]
    again = open_warehouse(
        log, table_of(replace(row, version="2", compute=lambda t: [1.0] * len(t)))
    )
    waiting = {row.projection.name: row.waiting for row in queries.scored(again)}
    assert waiting[ENTROPY] == 3 and queries.failures(again).empty
    sync(log, again)
    assert {sum(astuple(row)[1:]) for row in queries.scored(again)} == {4}
