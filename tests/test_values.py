"""Values of projections in the log: read in every form, and each record is written once."""

import hashlib
import io
import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_access import queries
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import load_projections
from data_access.projections.table import IMAGE, TEXT, TRUTH
from data_access.projections.values import (
    IMAGES,
    RECORDS,
    folder,
    image_values_version,
    put_values,
    values_schema,
)
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import (
    all_records,
    feedback,
    picture,
    prediction,
    remove_object,
    replace_object,
    write,
    write_picture,
)

OBSCENE = f"detoxify.obscene({TEXT})"


def write_scores(log: Log, source: str, name: str, values: dict[str, float]) -> str:
    key = f"{folder(RECORDS, source)}{name}.parquet"
    replace_object(log, key, parquet(record_key=list(values), **{OBSCENE: list(values.values())}))
    return key


def parquet(**columns: list[Any]) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table(columns), body)
    return body.getvalue()


def obscene(warehouse: Warehouse) -> dict[str, float | None]:
    return dict(warehouse.rows(f'select record_key, "{OBSCENE}" from records'))


def test_scores_found_in_the_log_are_those_of_one_source(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(log, "predictions/1.jsonl", *(prediction(key) for key in "abcd"))
    write_scores(log, "gantry", "1", {"a": 0.25, "b": 0.5, "x": 1.0})
    warehouse = open_warehouse(log)
    assert sync(log, warehouse).objects == 2
    assert obscene(warehouse) == {"a": 0.25, "b": 0.5, "c": None, "d": None}
    write_scores(log, "gantry", "2", {"c": 0.75, "a": 0.9, "d": float("nan")})
    sync(log, warehouse)
    assert obscene(warehouse) == {"a": 0.25, "b": 0.5, "c": 0.75, "d": None}
    key = write_scores(log, "other", "1", dict.fromkeys("abcdefg", 0.125))
    sync(log, warehouse)
    assert warehouse.score_sources() == {OBSCENE: "other"}
    assert obscene(warehouse) == dict.fromkeys("abcd", 0.125)
    remove_object(log, key)
    sync(log, warehouse)
    assert warehouse.score_sources() == {OBSCENE: "gantry"}
    assert obscene(warehouse) == {"a": 0.25, "b": 0.5, "c": 0.75, "d": None}
    fresh = open_warehouse(log, name="fresh.duckdb")
    sync(log, fresh)
    assert all_records(fresh) == all_records(warehouse)


ONE = parquet(record_key=["a"], **{OBSCENE: [1.0]})
OLD = parquet(record_key=["a"], value=[1.0])
MD5 = hashlib.md5(b"A line").hexdigest()


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("projections/records.parquet", ONE),
        ("projections/records@b/c/d.parquet", ONE),
        ("projections/recor!zzds@b/c.parquet", ONE),
        (f"projections/{OBSCENE}@b/c.parquet", ONE),
        (f"projections/{OBSCENE}@b/c.parquet", parquet(value=[1.0])),
        ("projections/f!zz(a)@b/c.parquet", OLD),
        (f"{folder(RECORDS, 'x')}1.parquet", b"PAR1"),
        (f"{folder(RECORDS, 'x')}1.parquet", b'{"record_key": "a", "value": 1}'),
        (f"{folder(RECORDS, 'x')}1.parquet", ONE[:-9]),
        (f"{folder(RECORDS, 'x')}1.parquet", parquet(**{OBSCENE: [1.0]})),
        (f"{folder(RECORDS, 'x')}1.parquet", parquet(record_key=[1], **{OBSCENE: [1.0]})),
        (f"{folder(RECORDS, 'x')}1.parquet", parquet(record_key=["a"], **{OBSCENE: ["1"]})),
        (f"{folder(RECORDS, 'x')}1.parquet", parquet(record_key=[None], **{OBSCENE: [1.0]})),
        (f"{folder(RECORDS, 'x')}1.parquet", parquet(record_key=[""], **{OBSCENE: [1.0]})),
        (f"{folder(RECORDS, 'x')}1.parquet", parquet(record_key=["a" * 201], **{OBSCENE: [1.0]})),
        (f"{folder(RECORDS, 'x')}1.parquet", parquet(record_key=["a", "a"], **{OBSCENE: [1, 2]})),
        (
            f"{folder(TEXT, 'x')}1.parquet",
            parquet(record_key=["a"], input=["A line"], **{OBSCENE: [1.0]}),
        ),
    ],
)
def test_what_holds_no_values_is_quarantined(
    folder_log: Log, open_warehouse: OpenWarehouse, key: str, body: bytes
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    folder_log.put(key, body)
    warehouse = open_warehouse(folder_log)
    assert sync(folder_log, warehouse).quarantined == 1
    assert list(queries.quarantine(warehouse)["object_key"]) == [key]
    assert obscene(warehouse) == {"a": None}


def test_values_are_read_from_any_columns_of_numbers(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(folder_log, "predictions/1.jsonl", *(prediction(key, "A line") for key in "abcd"))
    narrow = pa.table(
        {
            "record_key": pa.array(["a", "b", "c", "d"], pa.large_string()),
            "input": [MD5, None, "0" * 32, MD5],
            OBSCENE: pa.array([1, 0, 1, None], pa.int8()),
            "no projection": [["x"]] * 4,
        }
    )
    body = io.BytesIO()
    pq.write_table(narrow, body)
    folder_log.put(f"{folder(TEXT, 'ours')}1.parquet", body.getvalue())
    warehouse = open_warehouse(folder_log)
    assert sync(folder_log, warehouse).quarantined == 0
    assert obscene(warehouse) == {"a": 1.0, "b": 0.0, "c": None, "d": None}


def test_values_as_they_were_written_before_are_read(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    """Of texts one projection an object, of images all of them."""
    write(folder_log, "predictions/1.jsonl", *(prediction(key, "A line") for key in "abc"))
    write(folder_log, "predictions/2.json", prediction("i", "A line", inputs__image="images/i.png"))
    write(folder_log, "feedback/1.json", feedback("a", ground_truth_string="A line"))
    threat, truth = f"detoxify.threat({TEXT})", f"detoxify.obscene({TRUTH})"
    scores = {OBSCENE: [0.25, 0.5, 0.75], threat: [0.125, math.nan, 1.0], truth: [0.5, 0.5, 0.5]}
    for name, values in scores.items():
        body = parquet(record_key=["a", "b", "c"], value=values, input=[MD5, MD5, "0" * 32])
        folder_log.put(f"projections/{name}@tiny/1.parquet", body)
    folder_log.put("projections/f(a!2C!20b)@gantry/1.parquet", OLD)
    images = load_projections().computed_from_image()
    version = hashlib.sha256(
        json.dumps(sorted((row.name, row.version) for row in images)).encode()
    ).hexdigest()[:16]
    columns = {"image": ["images/i.png"], "sha256": ["0" * 64], "failure": pa.nulls(1, pa.string())}
    columns |= {row.name: [7.0] for row in images}
    folder_log.put(f"projections/inputs.image@{version}/1.parquet", parquet(**columns))
    warehouse = open_warehouse(folder_log)
    report = sync(folder_log, warehouse)
    assert (report.quarantined, report.logged_images, report.scored_images) == (0, 1, 0)
    rows = warehouse.rows(
        f'select record_key, "{OBSCENE}", "{threat}", "{truth}", "{images[0].name}" '
        "from records order by record_key"
    )
    assert rows == [
        ("a", 0.25, 0.125, 0.5, None),
        ("b", 0.5, None, None, None),
        ("c", None, None, None, None),
        ("i", None, None, None, 7.0),
    ]
    assert set(warehouse.score_sources().items()) == {(name, "tiny") for name in scores}


def test_a_record_is_written_once_with_the_values_of_its_text(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(folder_log)
    write(folder_log, "feedback/1.json", feedback("a", ground_truth_string="a lime of text"))
    write(folder_log, "predictions/1.json", *[prediction(key) for key in "abc"])
    report = sync(folder_log, warehouse)
    assert report.scored_texts == 3
    rows = warehouse.rows(
        f'select rowid, record_key, "length({TEXT})", "character_error_rate({TEXT})" '
        "from records order by record_key"
    )
    assert sorted(rowid for rowid, *_ in rows) == [0, 1, 2], "rows that are rewritten get others"
    values = [row[1:] for row in rows]
    assert values == [("a", 14, pytest.approx(1 / 14)), ("b", 14, None), ("c", 14, None)]


def rows_written(warehouse: Warehouse) -> int:
    """Rows that were ever added to `records`: each has the number after the last one's."""
    return int(warehouse.rows("select coalesce(max(rowid), -1) + 1 from records")[0][0])


def test_a_record_whose_image_is_known_is_written_once(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    """By the log, or by an earlier record that shows it."""
    known, late = (write_picture(folder_log, picture(ground=ground)) for ground in (100, 150))
    names = [row.name for row in load_projections().computed_from_image()]
    version = image_values_version(load_projections())
    row = {"image": known, "sha256": "0" * 64, "failure": None} | dict.fromkeys(names, 7.0)
    put_values(
        folder_log, IMAGE, version, pa.Table.from_pylist([row], values_schema(IMAGES, names))
    )
    write(folder_log, "predictions/1.jsonl", *(prediction(k, inputs__image=known) for k in "abc"))
    warehouse = open_warehouse(folder_log)
    report = sync(folder_log, warehouse)
    assert (report.logged_images, report.scored_images) == (1, 0)
    assert rows_written(warehouse) == 3
    write(folder_log, "predictions/2.jsonl", *(prediction(k, inputs__image=known) for k in "de"))
    assert sync(folder_log, warehouse).logged_images == 0
    assert rows_written(warehouse) == 5
    write(folder_log, "predictions/3.json", prediction("f", inputs__image=late))
    assert sync(folder_log, warehouse).scored_images == 1
    assert rows_written(warehouse) == 7, "an image that is fetched after: once more, no third time"
    write(folder_log, "predictions/4.json", prediction("g", inputs__image=late))
    sync(folder_log, warehouse)
    assert rows_written(warehouse) == 8
    values = warehouse.rows(f'select record_key, "{names[0]}" from records order by 1')
    assert [value for _, value in values[:5]] == [7.0] * 5 and values[5][1] == values[6][1]


def test_a_correction_rewrites_its_record_once(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(folder_log, "predictions/1.jsonl", *(prediction(key, "A line") for key in "abc"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    write(folder_log, "feedback/1.json", feedback("c", ground_truth_string="A lime"))
    assert sync(folder_log, warehouse).scored_texts == 1
    rate = warehouse.rows(
        f"select rowid, \"character_error_rate({TEXT})\" from records where record_key = 'c'"
    )
    assert rate == [(3, pytest.approx(1 / 6))]


def test_values_that_arrive_later_rewrite_their_records_once(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(folder_log, "predictions/1.jsonl", *(prediction(key) for key in "abc"))
    write_scores(folder_log, "gantry", "1", {"b": 0.75})
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    assert rows_written(warehouse) == 3
    write_scores(folder_log, "gantry", "2", {"a": 0.25, "c": 0.5, "unknown": 1.0})
    assert sync(folder_log, warehouse).scored_texts == 0
    assert obscene(warehouse) == {"a": 0.25, "b": 0.75, "c": 0.5}
    assert rows_written(warehouse) == 5
