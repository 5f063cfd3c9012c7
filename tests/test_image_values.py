"""Values of images in the log: read instead of opening the images, and never trusted blindly."""

import io
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_access import queries
from data_access.cli import main
from data_access.ingest.compaction import compact
from data_access.ingest.compute import IMAGES_AT_ONCE
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.log import DAMAGED_IMAGE, MISSING_IMAGE, Log
from data_access.projections import Projection, ProjectionTable, load_projections
from data_access.projections.table import IMAGE
from data_access.projections.values import (
    IMAGE_VALUES,
    IMAGES,
    folder,
    has_other_version,
    image_values_version,
    put_values,
    read_values,
    values_schema,
)
from data_access.scoring.images import score_images
from data_access.scoring.report import ScoringReport
from data_access.selection import Selection
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.killing import Running, run_command
from tests.samples import (
    all_records,
    lines,
    picture,
    prediction,
    remove_object,
    replace_object,
    rounds,
    table_of,
    write,
    write_picture,
)

MEAN, WIDTH = f"greyscale_image_mean({IMAGE})", f"width({IMAGE})"
NAMES = [row.name for row in load_projections().computed_from_image()]
VERSION = image_values_version(load_projections())
FOLDER = folder(IMAGE, VERSION)
SCHEMA = values_schema(IMAGES, NAMES)
SHA256 = "0123456789abcdef" * 4


def fill(log: Log, count: int = 5) -> list[str]:
    """Records r0, r1, … with an image each; the images' names."""
    images = [write_picture(log, picture(ground=100 + number)) for number in range(count)]
    served = [prediction(f"r{n}", inputs__image=image) for n, image in enumerate(images)]
    write(log, "predictions/1.jsonl", *served)
    return images


def score_all(log: Log, warehouse: Warehouse, **more: Any) -> ScoringReport:
    """What `score --what images` does."""
    sync(log, warehouse, images=False)
    report = score_images(log, warehouse, **more)
    sync(log, warehouse)
    return report


def means(warehouse: Warehouse) -> dict[str, float | None]:
    return dict(warehouse.rows(f'select record_key, "{MEAN}" from records'))


def row_of(image: str | None, value: float = 7.0, **more: Any) -> dict[str, Any]:
    """A row of an object of values, in which every projection has the same value."""
    row = {"image": image, "sha256": SHA256, "failure": None} | dict.fromkeys(NAMES, value)
    return row | more


def parquet(*rows: dict[str, Any], types: pa.Schema | None = None) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), types or SCHEMA), body)
    return body.getvalue()


def test_what_the_log_has_values_of_is_not_fetched(log: Log, open_warehouse: OpenWarehouse) -> None:
    images = fill(log)
    first = open_warehouse(log)
    assert score_all(log, first, images_at_once=2) == ScoringReport(5, 5, objects=3)
    expected = all_records(first)
    for image in images:
        remove_object(log, image)
    second = open_warehouse(log, name="second.duckdb")
    report = sync(log, second)
    assert (report.logged_images, report.scored_images, report.failures) == (5, 0, {})
    assert all_records(second) == expected
    assert None not in means(second).values()
    assert sync(log, second) == SyncReport()
    assert score_images(log, second) == ScoringReport()


def test_new_images_are_scored_when_they_come(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(folder_log, 3)
    warehouse = open_warehouse(folder_log)
    score_all(folder_log, warehouse)
    late = write_picture(folder_log, picture(ground=50))
    write(folder_log, "predictions/2.json", prediction("late", inputs__image=late))
    assert score_all(folder_log, warehouse) == ScoringReport(1, 1, objects=1)
    assert len(folder_log.list(FOLDER)) == 2
    counted = "select count(*), count(distinct image) from logged_image_values"
    assert warehouse.rows(counted) == [(4, 4)]


def test_what_a_sync_has_scored_is_written_without_opening_it_again(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    images = fill(folder_log)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    expected = all_records(warehouse)
    for image in images:
        remove_object(folder_log, image)
    report = score_all(folder_log, warehouse, images_at_once=3)
    assert report == ScoringReport(scored=5, objects=2)
    fresh = open_warehouse(folder_log, name="fresh.duckdb")
    assert sync(folder_log, fresh).logged_images == 5
    assert all_records(fresh) == expected


def test_values_that_are_removed_are_made_anew(log: Log, open_warehouse: OpenWarehouse) -> None:
    images = fill(log, 2)
    warehouse = open_warehouse(log)
    put_values(log, IMAGE, VERSION, pa.Table.from_pylist([row_of(images[0])], SCHEMA))
    [first] = log.list(FOLDER)
    other = [row_of(image, 8.0) for image in images]
    replace_object(log, first.key.replace(".parquet", "-other.parquet"), parquet(*other))
    sync(log, warehouse)
    both = [entry.key for entry in log.list(FOLDER)]
    shown = 7.0 if min(both) == first.key else 8.0
    assert means(warehouse) == {"r0": shown, "r1": 8.0}
    remove_object(log, min(both))
    remove_object(log, images[0])
    assert sync(log, warehouse).removed == 1
    assert means(warehouse)["r0"] == 15.0 - shown, "the other object has one too"
    remove_object(log, max(both))
    sync(log, warehouse, images=False)
    assert means(warehouse)["r0"] is None
    assert sync(log, warehouse).scored_images >= 1
    assert means(warehouse)["r0"] is None and queries.case(warehouse, "r0") is not None
    failures = "select record_key, image_failure from records where image_failure is not null"
    assert warehouse.rows(failures) == [("r0", MISSING_IMAGE)]
    assert (means(warehouse)["r1"] or 0) > 60


def test_values_of_an_image_that_was_scored_here_change_nothing(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    [image] = fill(folder_log, 1)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    expected = all_records(warehouse)
    folder_log.put(f"{FOLDER}1.parquet", parquet(row_of(image)))
    assert sync(folder_log, warehouse) == SyncReport(objects=1)
    assert all_records(warehouse) == expected


def test_an_image_that_is_missing_has_the_values_that_the_log_gets(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    [image] = fill(folder_log, 1)
    remove_object(folder_log, image)
    warehouse = open_warehouse(folder_log)
    assert score_all(folder_log, warehouse) == ScoringReport(left=1)
    assert means(warehouse) == {"r0": None}
    folder_log.put(f"{FOLDER}1.parquet", parquet(row_of(image)))
    assert sync(folder_log, warehouse) == SyncReport(objects=1, logged_images=1)
    assert means(warehouse) == {"r0": 7.0}


def test_values_of_another_version_wait_for_their_projections(
    folder_log: Log, open_warehouse: OpenWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    [image] = fill(folder_log, 1)
    newer = ProjectionTable(
        tuple(replace(row, version=f"{row.version}.1") for row in load_projections().rows)
    )
    assert image_values_version(newer) != VERSION
    assert image_values_version(ProjectionTable(newer.rows[::-1])) == image_values_version(newer)
    key = f"{folder(IMAGE, image_values_version(newer))}1.parquet"
    folder_log.put(key, parquet(row_of(image)))
    folder_log.put(f"{IMAGE_VALUES}anything/at all", b"rubbish")
    assert has_other_version(key, VERSION) and not has_other_version(
        key, image_values_version(newer)
    )
    fetched: list[str] = []
    get = folder_log.get

    def noting(key: str) -> bytes:
        fetched.append(key)
        return get(key)

    monkeypatch.setattr(folder_log, "get", noting)
    warehouse = open_warehouse(folder_log)
    assert sync(folder_log, warehouse).quarantined == 0
    assert not any(key.startswith(IMAGE_VALUES) for key in fetched)
    assert (means(warehouse)["r0"] or 0) > 60
    assert sync(folder_log, warehouse) == SyncReport()
    warehouse.close()
    warehouse = open_warehouse(folder_log, newer)
    assert sync(folder_log, warehouse).logged_images == 1
    assert means(warehouse) == {"r0": 7.0}
    warehouse.close()
    remove_object(folder_log, key)
    warehouse = open_warehouse(folder_log)
    assert sync(folder_log, warehouse).removed == 1
    assert (means(warehouse)["r0"] or 0) > 60


def of_types(**types: pa.DataType) -> pa.Schema:
    columns = {field.name: field.type for field in SCHEMA} | types
    return pa.schema(list(columns.items()))


HOSTILE: dict[str, tuple[str | None, bytes]] = {
    "not below a version": (f"{IMAGE_VALUES[:-1]}/1.parquet", parquet(row_of("x"))),
    "no Parquet": (None, b'{"image": "x"}'),
    "half of it": (None, parquet(row_of("x"))[:-9]),
    "a column too few": (
        None,
        parquet(row_of("x"), types=pa.schema([*SCHEMA][:-1])),
    ),
    "a column too many": (None, parquet(row_of("x"), types=of_types(more=pa.float64()))),
    "texts": (None, parquet(row_of("x") | {MEAN: "1"}, types=of_types(**{MEAN: pa.string()}))),
    "numbers": (None, parquet(row_of("x") | {"image": 1}, types=of_types(image=pa.int64()))),
    "no name": (None, parquet(row_of("x"), row_of(None))),
    "an empty name": (None, parquet(row_of(""))),
    "an endless name": (None, parquet(row_of("x" * 2_001))),
    "no hash": (None, parquet(row_of("x", sha256=None))),
    "another hash": (None, parquet(row_of("x", sha256="../" * 21 + "x"))),
    "an essay": (None, parquet(row_of("x", failure="no " * 101))),
    "missing": (None, parquet(row_of("x", failure=MISSING_IMAGE))),
    "damaged": (None, parquet(row_of("x", failure=DAMAGED_IMAGE))),
    "twice": (None, parquet(row_of("x"), row_of("x", 8.0))),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_holds_no_values_is_quarantined(
    folder_log: Log, open_warehouse: OpenWarehouse, name: str
) -> None:
    folder_log.put("x", picture())
    write(folder_log, "predictions/1.json", prediction("r0", inputs__image="x"))
    key, body = HOSTILE[name]
    key = key or f"{FOLDER}1.parquet"
    folder_log.put(key, body)
    warehouse = open_warehouse(folder_log)
    report = sync(folder_log, warehouse)
    assert (report.quarantined, report.scored_images, report.logged_images) == (1, 1, 0)
    quarantined = queries.quarantine(warehouse)
    assert list(quarantined["object_key"]) == [key]
    assert quarantined["reason"][0]
    assert (means(warehouse)["r0"] or 0) > 60
    remove_object(folder_log, key)
    sync(folder_log, warehouse)
    assert queries.status(warehouse).quarantined == 0


def test_what_is_no_number_is_no_value(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    images = fill(folder_log, 4)
    rows = [
        row_of(images[0], math.nan),
        row_of(images[1], math.inf),
        row_of(images[2], 7.0, failure="too large to open"),
        row_of(images[3], 7.0) | {WIDTH: None},
    ]
    folder_log.put(f"{FOLDER}1.parquet", parquet(*rows))
    warehouse = open_warehouse(folder_log)
    assert sync(folder_log, warehouse).logged_images == 4
    assert means(warehouse) == {"r0": None, "r1": None, "r2": None, "r3": 7.0}
    [width] = [scored for scored in queries.scored(warehouse) if scored.projection.name == WIDTH]
    assert (width.valued, width.unreadable, width.undefined, width.waiting) == (0, 1, 3, 0)


def test_only_what_others_would_find_too_is_written(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    def picky(images: Sequence[Any]) -> list[float]:
        if images[0].shape[1] == 24:
            raise RuntimeError("not this width")
        return [1.0]

    table = table_of(Projection(f"own({IMAGE})", "own", "", (IMAGE,), "A test.", picky))
    wide = write_picture(folder_log, picture(size=(30, 16)))
    raising = write_picture(folder_log, picture(size=(24, 16)))
    unreadable = "images/unreadable.png"
    folder_log.put(unreadable, b"no image")
    damaged = f"images/{SHA256}.png"
    folder_log.put(damaged, b"half an image")
    elsewhere = "s3://elsewhere/a.png"
    names = [wide, raising, unreadable, damaged, elsewhere, "images/none.png"]
    served = [prediction(f"r{n}", inputs__image=name) for n, name in enumerate(names)]
    write(folder_log, "predictions/1.jsonl", *served)
    warehouse = open_warehouse(folder_log, table)
    assert score_all(folder_log, warehouse) == ScoringReport(2, 2, left=4, objects=1)
    images = "select image from logged_image_values order by image"
    assert warehouse.rows(images) == sorted([(wide,), (unreadable,)])
    expected = all_records(warehouse)
    failed = queries.failures(warehouse)
    assert list(failed["sentence"]) == ["RuntimeError: not this width"]
    assert score_all(folder_log, warehouse) == ScoringReport()
    fresh = open_warehouse(folder_log, table, name="fresh.duckdb")
    sync(folder_log, fresh)
    assert all_records(fresh) == expected
    assert queries.failures(fresh).equals(failed)
    for entry in folder_log.list("projections/"):
        remove_object(folder_log, entry.key)
    alone = open_warehouse(folder_log, table, name="alone.duckdb")
    sync(folder_log, alone)
    assert all_records(alone) == expected
    report = score_all(folder_log, alone)
    assert report == ScoringReport(scored=2, objects=1)


def test_compaction_and_the_data_page_know_values(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(folder_log)
    warehouse = open_warehouse(folder_log)
    score_all(folder_log, warehouse, images_at_once=3)
    before = [(entry.key, entry.e_tag) for entry in folder_log.list(FOLDER)]
    compact(folder_log, date(2199, 1, 1), remove_originals=True)
    assert [(entry.key, entry.e_tag) for entry in folder_log.list(FOLDER)] == before
    sync(folder_log, warehouse)
    objects = queries.objects_by_day(warehouse)
    [projections] = objects[objects["kind"] == "projections"].to_dict("records")
    assert (projections["objects"], projections["events"]) == (2, 5)
    assert queries.status(warehouse).unscored == 0
    exported = queries.record_batches(warehouse, Selection()).read_all()
    assert None not in exported[MEAN].to_pylist()


FEW = ProjectionTable(tuple(row for row in load_projections().rows if row.name in (MEAN, WIDTH)))
images = st.sampled_from(["images/one.png", "images/two.png", "images/gone.png"])
served = st.builds(prediction, st.sampled_from("abc"), st.none(), inputs__image=images)
objects = st.one_of(
    st.tuples(st.sampled_from(["predictions/1", "predictions/2"]), st.lists(served, max_size=3)),
    st.tuples(
        st.sampled_from(
            [f"{folder(IMAGE, image_values_version(FEW))}{number}" for number in (1, 2)]
        ),
        st.lists(images.map(row_of), max_size=2, unique_by=lambda row: str(row["image"])),
    ),
)
steps = st.lists(st.lists(objects, min_size=1, max_size=3), min_size=1, max_size=4)


@pytest.mark.soak
@settings(max_examples=rounds(4, 8), suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_after_any_history_of_values_the_records_are_those_of_a_fresh_warehouse(
    steps: list[list[tuple[str, list[dict[str, Any]]]]],
) -> None:
    """Of images that are not there, so that every value is one that the log has."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "log").mkdir()
        log = Log.open(str(Path(folder) / "log"))
        grown = Warehouse.open(Path(folder) / "grown.duckdb", log.uri, FEW)
        fresh = Warehouse.open(Path(folder) / "fresh.duckdb", log.uri, FEW)
        try:
            for changes in steps:
                for key, rows in changes:
                    if rows:
                        few = values_schema(IMAGES, [MEAN, WIDTH])
                        of_images = key.startswith(IMAGE_VALUES)
                        if of_images:  # those of each object are other ones
                            body = parquet(
                                *[row | {MEAN: float(key[-1])} for row in rows], types=few
                            )
                        else:
                            body = lines(rows)
                        replace_object(log, key, body)
                    else:
                        (Path(folder) / "log" / key).unlink(missing_ok=True)
                sync(log, grown)
            sync(log, fresh)
            assert all_records(grown) == all_records(fresh)
        finally:
            grown.close()
            fresh.close()


@pytest.fixture
def environ(log_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    named = {"MISREAD_LOG": log_uri, "MISREAD_WAREHOUSE": str(tmp_path / "command.duckdb")}
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **named}


def test_the_command_says_what_it_did(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    log = Log.open(environ["MISREAD_LOG"])
    images = fill(log, 3)
    write(log, "predictions/2.json", prediction("gone", inputs__image="images/gone.png"))
    assert main(["score", "--what", "images"]) == 0
    sentence = "3 images scored, in 1 object. 1 image could not be scored and will be retried.\n"
    assert capsys.readouterr().out == sentence
    assert main(["score", "--what", "images"]) == 0
    sentence = "Nothing to score: the log has values for every readable image.\n"
    assert capsys.readouterr().out == sentence
    for image in images:
        remove_object(log, image)
    monkeypatch.setenv("MISREAD_WAREHOUSE", str(tmp_path / "another.duckdb"))
    assert main(["sync"]) == 0
    assert "3 images were scored before, in the log." in capsys.readouterr().out


def test_killed_at_any_moment_the_next_run_completes(environ: dict[str, str]) -> None:
    log = Log.open(environ["MISREAD_LOG"])
    images = [f"images/{number:04}.png" for number in range(6 * IMAGES_AT_ONCE)]
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(log.put, images, repeat(picture())))
    served = [prediction(f"r{n}", None, inputs__image=image) for n, image in enumerate(images)]
    write(log, "predictions/1.jsonl", *served)
    command = ["score", "--what", "images"]
    killed = 0
    for _ in range(2):
        running = Running(environ, run_command, command)
        before = len(log.list(FOLDER))
        until = time.monotonic() + 60
        while len(log.list(FOLDER)) < before + 1 and time.monotonic() < until:
            if not running._process.is_alive():
                break
            time.sleep(0.01)
        killed += running.end(0.0).code == -9
    assert killed
    assert Running(environ, run_command, command).end().code == 0
    tables = [read_values(o.key, log.get(o.key), load_projections()) for o in log.list(FOLDER)]
    assert sorted(pa.concat_tables(tables)["image"].to_pylist()) == images
    assert len(tables) == 6
