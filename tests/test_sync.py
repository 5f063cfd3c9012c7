import struct
import time
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data_access import queries
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.jobs import SyncJob
from data_access.log import LISTING, Log, LogObject
from data_access.projections import Projection, ProjectionTable, load_projections
from data_access.projections.table import IMAGE, TEXT
from data_access.records import Record
from data_access.selection import Range, Selection
from data_access.warehouse import Warehouse
from data_access.warehouse.tables import PREDICTION_COLUMNS, record_rows
from tests.conftest import OpenWarehouse
from tests.samples import (
    all_records,
    feedback,
    lines,
    picture,
    png,
    prediction,
    remove_object,
    replace_object,
    rounds,
    table_of,
    write,
    write_picture,
)


def record(warehouse: Warehouse, record_key: str) -> Record:
    case = queries.case(warehouse, record_key)
    assert case is not None
    return case.record


def failures(warehouse: Warehouse) -> dict[str, str]:
    sql = "select record_key, image_failure from records where image_failure is not null"
    return dict(warehouse.rows(sql))


def fill(log: Log) -> None:
    """Six objects: predictions with images, flags, a broken line, and feedback that waits."""
    dark, light = write_picture(log, picture(20, 240)), write_picture(log, picture())
    write(
        log,
        "predictions/date=2026-07-06/a.jsonl",
        prediction("a", "to to to", inputs__image=dark, tags={"client": "ios"}),
        prediction("b", "a fine line", inputs__image=light, outputs__confidence=0.5),
        prediction("c", None),
    )
    body = lines([prediction("d", "truth", inputs__image=light), prediction("")])
    log.put("predictions/date=2026-07-07/b.jsonl", body + b"\n{broken")
    write(log, "feedback/date=2026-07-07/1.json", feedback("a", feedback_key="1", user="eve"))
    write(log, "feedback/date=2026-07-07/2.json", feedback("x", feedback_key="2"))
    write(log, "feedback/date=2026-07-07/3.json", feedback("d", None, ground_truth_string="Truth"))


def test_a_log_is_read_counted_and_scored(log: Log, open_warehouse: OpenWarehouse) -> None:
    fill(log)
    warehouse = open_warehouse(log)
    assert sync(log, warehouse) == SyncReport(
        objects=5, predictions=4, feedback=3, quarantined=2, scored_texts=4, scored_images=2
    )
    status = queries.status(warehouse)
    assert (status.predictions, status.flagged, status.unscored) == (4, 1, 0)
    assert (status.quarantined, status.waiting) == (2, 1)
    assert record(warehouse, "a").value("greyscale_image_mean(inputs.image)") < 127
    assert record(warehouse, "b").value("greyscale_image_mean(inputs.image)") > 127
    assert record(warehouse, "d").value("character_error_rate(outputs.output_text)") == 0.2
    assert record(warehouse, "c").value(f"length({TEXT})") is None


def test_syncing_twice_is_syncing_once(log: Log, open_warehouse: OpenWarehouse) -> None:
    fill(log)
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    before, version = all_records(warehouse), warehouse.version
    again = sync(log, warehouse)
    assert again == SyncReport()
    assert not again.changed
    assert (all_records(warehouse), warehouse.version) == (before, version)


def test_quarantine_names_object_line_and_reason(log: Log, open_warehouse: OpenWarehouse) -> None:
    fill(log)
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    quarantined = queries.quarantine(warehouse)
    assert list(quarantined["object_key"]) == ["predictions/date=2026-07-07/b.jsonl"] * 2
    assert list(quarantined["line"]) == [2, 3]
    assert quarantined["reason"].iloc[0] == "record_key: String should have at least 1 character"
    assert list(quarantined["excerpt"])[1] == "{broken"


def test_feedback_waits_for_its_prediction(log: Log, open_warehouse: OpenWarehouse) -> None:
    warehouse = open_warehouse(log)
    write(log, "feedback/date=2026-07-01/1.json", feedback("late", "offensive"))
    sync(log, warehouse)
    assert (queries.status(warehouse).predictions, queries.status(warehouse).waiting) == (0, 1)
    write(log, "predictions/date=2026-07-06/1.json", prediction("late"))
    sync(log, warehouse)
    assert (queries.status(warehouse).predictions, queries.status(warehouse).waiting) == (1, 0)
    assert record(warehouse, "late").flags == ["offensive"]


def test_the_last_word_on_a_record_counts_and_all_are_kept(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(log, "predictions/1.json", prediction("a"))
    write(
        log,
        "feedback/2.jsonl",
        feedback("a", "other", timestamp="2026-07-09T00:00:00Z", user="zoe"),
        feedback("a", "incorrect", timestamp="2026-07-08T00:00:00Z", comment="why?"),
    )
    write(
        log,
        "feedback/1.jsonl",
        feedback("a", None, timestamp="2026-07-10T00:00:00Z", ground_truth_string="A"),
        feedback("a", "incorrect", timestamp="2026-07-07T00:00:00Z", ground_truth_string="B"),
    )
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    shown = record(warehouse, "a")
    assert (shown.flag, shown.flags) == ("other", ["incorrect", "other"])
    assert (shown.reports, shown.user) == (3, "zoe")
    assert (shown.ground_truth_string, shown.comment) == ("A", "why?")
    case = queries.case(warehouse, "a")
    assert case is not None
    assert list(case.feedback["timestamp"].dt.day) == [7, 8, 9, 10]


def test_the_same_feedback_logged_twice_counts_once(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(log, "predictions/1.json", prediction("a"))
    write(log, "feedback/1.json", feedback("a"))
    write(log, "feedback/2.json", feedback("a"))
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    assert record(warehouse, "a").reports == 1


def test_a_changed_object_replaces_its_rows(log: Log, open_warehouse: OpenWarehouse) -> None:
    key = write(log, "predictions/1.jsonl", prediction("a", "one"), prediction("b", "two"))
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    replace_object(log, key, lines([prediction("b", "another"), prediction("c", "three")]))
    report = sync(log, warehouse)
    assert (report.objects, report.predictions, report.scored_texts) == (1, 2, 2)
    assert queries.case(warehouse, "a") is None
    assert record(warehouse, "b").output_text == "another"
    assert record(warehouse, "b").value(f"length({TEXT})") == 7
    assert queries.status(warehouse).predictions == 2


def test_a_removed_object_is_forgotten(log: Log, open_warehouse: OpenWarehouse) -> None:
    fill(log)
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    remove_object(log, "predictions/date=2026-07-07/b.jsonl")
    remove_object(log, "feedback/date=2026-07-07/1.json")
    assert sync(log, warehouse).removed == 2
    status = queries.status(warehouse)
    assert (status.predictions, status.flagged, status.quarantined, status.waiting) == (3, 0, 0, 2)
    assert record(warehouse, "a").flags == []


def test_an_object_of_nothing_but_rubbish_is_seen_at_once(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    assert queries.status(warehouse).quarantined == 0
    log.put("predictions/date=2026-07-06/x.jsonl", b"{broken\n{broken")
    sync(log, warehouse)
    assert queries.status(warehouse).quarantined == 2
    assert len(queries.objects_by_day(warehouse)) == 1


def test_a_deleted_warehouse_comes_back_the_same(log: Log, open_warehouse: OpenWarehouse) -> None:
    fill(log)
    first = open_warehouse(log)
    sync(log, first)
    write(log, "feedback/4.json", feedback("b", "other"))
    remove_object(log, "feedback/date=2026-07-07/2.json")
    sync(log, first)
    rebuilt = open_warehouse(log, name="rebuilt.duckdb")
    sync(log, rebuilt)
    assert all_records(rebuilt) == all_records(first)
    frames = [
        queries.record_batches(warehouse, Selection()).read_all().to_pandas()
        for warehouse in (first, rebuilt)
    ]
    pd.testing.assert_frame_equal(frames[0], frames[1])


def test_a_key_in_two_objects_is_one_record_whatever_came_first(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    one, two = open_warehouse(log, name="1.duckdb"), open_warehouse(log, name="2.duckdb")
    write(log, "predictions/b.json", prediction("a", "from b"))
    sync(log, one)
    assert record(one, "a").output_text == "from b"
    write(log, "predictions/a.jsonl", prediction("a", "from a"), prediction("a", "again"))
    sync(log, one)
    sync(log, two)
    assert all_records(one) == all_records(two)
    assert record(one, "a").output_text == "from a"
    assert record(one, "a").value(f"length({TEXT})") == 6


@pytest.mark.parametrize("stage", ["Reading objects", "Scoring texts", "Scoring images"])
def test_a_killed_sync_is_completed_by_the_next(
    log: Log, open_warehouse: OpenWarehouse, stage: str
) -> None:
    def kill(now: str, done: int, total: int) -> None:
        if now == stage:
            raise KeyboardInterrupt

    fill(log)
    killed, whole = open_warehouse(log), open_warehouse(log, name="whole.duckdb")
    with pytest.raises(KeyboardInterrupt):
        sync(log, killed, kill)
    sync(log, killed)
    sync(log, whole)
    assert all_records(killed) == all_records(whole)
    assert queries.status(killed).unscored == 0
    assert sync(log, killed) == SyncReport()


def test_progress_tells_every_stage_to_its_end(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(folder_log)
    reached: dict[str, tuple[int, int]] = {}
    sync(folder_log, open_warehouse(folder_log), lambda s, done, n: reached.update({s: (done, n)}))
    assert reached == {
        "Listing the log": (0, 0),
        "Reading objects": (5, 5),
        "Scoring texts": (4, 4),
        "Scoring images": (2, 2),
    }


def own(compute: Any, version: str = "1", column: str = TEXT) -> Projection:
    return Projection(f"own({column})", "own", "", (column,), "A test.", compute, version)


def refuse(values: Sequence[Any]) -> list[float]:
    raise RuntimeError("no model today")


@pytest.mark.parametrize("column", [TEXT, IMAGE])
def test_a_projection_that_raises_leaves_no_value_and_a_sentence(
    folder_log: Log, open_warehouse: OpenWarehouse, column: str
) -> None:
    fill(folder_log)
    warehouse = open_warehouse(folder_log, table_of(own(refuse, column=column)))
    report = sync(folder_log, warehouse)
    assert list(report.failures) == [f"own({column}): RuntimeError: no model today"]
    assert record(warehouse, "a").value(f"own({column})") is None
    assert record(warehouse, "a").value("contrast(inputs.image)") is not None
    assert queries.unscored_by_projection(warehouse)[f"own({column})"] == 3
    assert sync(folder_log, warehouse) == SyncReport()


@pytest.mark.parametrize(
    ("compute", "value"),
    [
        (lambda texts: [float("inf")] * len(texts), None),
        (lambda texts: [1.0], None),
        (lambda texts: ["1"] * len(texts), 1.0),
        (lambda texts: [None] * len(texts), None),
        (lambda texts: np.broadcast_to(np.float64(1.0), len(texts)), 1.0),
        (lambda texts: pd.Series([2.0] * len(texts)).to_numpy(), 2.0),
    ],
)
def test_whatever_a_projection_returns_the_sync_goes_on(
    folder_log: Log, open_warehouse: OpenWarehouse, compute: Any, value: float | None
) -> None:
    fill(folder_log)
    warehouse = open_warehouse(folder_log, table_of(own(compute)))
    sync(folder_log, warehouse)
    assert record(warehouse, "a").value(f"own({TEXT})") == value


@pytest.mark.parametrize("column", [TEXT, IMAGE])
def test_a_new_version_of_a_projection_scores_all_anew(
    folder_log: Log, open_warehouse: OpenWarehouse, column: str
) -> None:
    fill(folder_log)
    with_ones = table_of(own(lambda values: [1.0] * len(values), "1", column))
    with_twos = table_of(own(lambda values: [2.0] * len(values), "2", column))
    for table, value in ((with_ones, 1.0), (with_twos, 2.0)):
        warehouse = open_warehouse(folder_log, table)
        sync(folder_log, warehouse)
        assert record(warehouse, "a").value(f"own({column})") == value
        assert record(warehouse, "a").value(f"length({TEXT})") == 8
        warehouse.close()


def test_a_projection_that_is_taken_away_leaves_the_others(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(folder_log)
    warehouse = open_warehouse(folder_log, table_of(own(lambda texts: [1.0] * len(texts))))
    sync(folder_log, warehouse)
    warehouse.close()
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    assert f"own({TEXT})" not in record(warehouse, "a").projections
    assert queries.status(warehouse).unscored == 0


def test_a_module_adds_a_projection_that_can_be_selected_by(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    module = tmp_path / "ours.py"
    module.write_text(
        "from data_access.projections import projection\n"
        "@projection('outputs.output_text', unit='letters', explanation='Letters o.')\n"
        "def count_o(texts):\n"
        "    return [text.count('o') for text in texts]\n"
        "@projection('inputs.image', unit='grey level', explanation='The darkest.')\n"
        "def darkest(images):\n"
        "    return [image.min() for image in images]\n"
    )
    fill(folder_log)
    warehouse = open_warehouse(folder_log, load_projections([str(module)]))
    sync(folder_log, warehouse)
    shown = record(warehouse, "a")
    assert (shown.value(f"count_o({TEXT})"), shown.value(f"darkest({IMAGE})")) == (3.0, 20.0)
    looping = Selection(ranges=(Range(f"count_o({TEXT})", low=3),))
    assert queries.coverage(warehouse, looping).predictions == 1


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(
            ">I", zlib.crc32(name + data)
        )  # fmt: skip

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def tiff_in_lab() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lab.tiff"
        Image.new("LAB", (8, 8)).save(path)
        return path.read_bytes()


UNREADABLE = "the bytes are not an image that can be read"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (picture()[:-30], UNREADABLE),
        (b"", UNREADABLE),
        (b"<html>not found</html>", UNREADABLE),
        (png_header(50_000, 50_000), "an image of too many pixels"),
        (png_header(10_000, 10_000), "an image of 10,000 × 10,000 pixels is too large"),
        (tiff_in_lab(), "an image in LAB has no grey levels"),
    ],
)
def test_an_image_that_cannot_be_read_is_counted_with_its_reason(
    folder_log: Log, open_warehouse: OpenWarehouse, body: bytes, reason: str
) -> None:
    folder_log.put("images/x.png", body)
    write(folder_log, "predictions/1.json", prediction("a", inputs__image="images/x.png"))
    write(folder_log, "predictions/2.json", prediction("b"))
    warehouse = open_warehouse(folder_log)
    assert not sync(folder_log, warehouse).failures
    assert failures(warehouse) == {"a": reason}
    coverage = queries.coverage(warehouse, Selection())
    assert (coverage.unreadable_images, coverage.without_image, coverage.unscored) == (1, 1, 0)
    assert sync(folder_log, warehouse) == SyncReport()


def test_a_missing_image_is_looked_for_again_after_a_while(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(log, "predictions/1.json", prediction("a", inputs__image="images/late.png"))
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    assert failures(warehouse) == {"a": "the image is missing from the log"}
    log.put("images/late.png", picture())
    sync(log, warehouse)
    assert failures(warehouse), "not at every sync: there may be many"
    sync(log, warehouse, missing_again=timedelta(0))
    assert failures(warehouse) == {}
    assert queries.status(warehouse).unscored == 0


OUTSIDE = "the image lies outside the log and MISREAD_IMAGE_ROOTS, so it was not fetched"
LEAVES = "the image's name leaves the log, so it was not fetched"
MISSING = "the image is missing from the log"
NO_KEY = "the image's name is no key of an object"


def test_an_image_outside_the_log_is_never_fetched(
    log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    (tmp_path / "secret.png").write_bytes(picture())
    Log.open(log.uri.rpartition("/")[0]).put("secret.png", picture())
    names = {
        "s3://misread-tests/secret.png": OUTSIDE,
        "s3://somebody-elses/secret.png": OUTSIDE,
        "S3://misread-tests/secret.png": OUTSIDE,
        f"{log.uri}-of-others/secret.png": OUTSIDE,
        "https://example.com/secret.png": OUTSIDE,
        f"file://{tmp_path}/secret.png": OUTSIDE,
        f"{tmp_path}/secret.png": OUTSIDE,
        "//secret.png": OUTSIDE,
        "../secret.png": LEAVES,
        "..\\secret.png": LEAVES,
        "images/../../secret.png": LEAVES,
        f"{log.uri}/../secret.png": LEAVES,
        "%2e%2e/secret.png": MISSING,
        "images/%2e%2e/%2e%2e/secret.png": MISSING,
        "..%2fsecret.png": MISSING,
        "images": MISSING,
        "images//a.png": NO_KEY,
        "./images/a.png": NO_KEY,
        "images/\0": NO_KEY,
    }
    events = [prediction(str(i), inputs__image=name) for i, name in enumerate(names)]
    write(log, "predictions/1.jsonl", *events)
    warehouse = open_warehouse(log)
    assert not sync(log, warehouse).failures
    rows = warehouse.rows(
        'select "inputs.image", image_failure, "width(inputs.image)" from records'
    )
    assert {name: reason for name, reason, _ in rows} == names
    assert all(width is None for *_, width in rows)
    assert queries.coverage(warehouse, Selection()).unreadable_images == len(names)


def test_an_image_may_be_named_by_its_full_address(log: Log, open_warehouse: OpenWarehouse) -> None:
    key = write_picture(log, picture())
    write(log, "predictions/1.json", prediction("a", inputs__image=f"{log.uri}/{key}"))
    write(log, "predictions/2.json", prediction("b", inputs__image=key))
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    assert failures(warehouse) == {}
    assert record(warehouse, "a").image_hash == record(warehouse, "b").image_hash


def test_an_image_elsewhere_is_fetched_where_the_settings_allow_it(
    log_uri: str, open_warehouse: OpenWarehouse
) -> None:
    Log.open(f"{log_uri}/pictures").put("a.png", picture())
    Log.open(f"{log_uri}/pictures-of-others").put("a.png", picture())
    log = Log.open(f"{log_uri}/log", image_roots=(f"{log_uri}/pictures",))
    write(
        log,
        "predictions/1.jsonl",
        prediction("a", inputs__image=f"{log_uri}/pictures/a.png"),
        prediction("b", inputs__image=f"{log_uri}/pictures-of-others/a.png"),
        prediction("c", inputs__image=f"{log_uri}/pictures/../pictures-of-others/a.png"),
    )
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    assert set(failures(warehouse)) == {"b", "c"}


def test_an_object_that_cannot_be_fetched_is_told_and_tried_again(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    class Hasty(Log):
        """Lists an object that is gone when it is fetched: no real store does so on demand."""

        def listing(self, prefix: str, unreadable: dict[str, str] | None = None) -> pa.Table:
            gone = LogObject("predictions/gone.json", "etag", 1, datetime.now())
            listed = super().listing(prefix, unreadable)
            if prefix == "predictions/":
                return pa.concat_tables([listed, pa.Table.from_pylist([gone._asdict()], LISTING)])
            return listed

    warehouse = open_warehouse(folder_log)
    hasty = Hasty(folder_log.uri, folder_log._store)
    report = sync(hasty, warehouse)
    assert report.objects == 0
    assert list(report.failures) == [
        f"{folder_log.uri}/predictions/gone.json is not there (any more)."
    ]
    write(folder_log, "predictions/gone.json", prediction("a"))
    sync(folder_log, warehouse)
    assert queries.status(warehouse).predictions == 1


def test_an_image_of_many_reports_is_scored_once(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    folder_log.put("images/one.png", picture())
    folder_log.put("images/copy.png", picture())
    names = ["images/one.png", "images/one.png", "images/copy.png"]
    write(
        folder_log,
        "predictions/1.jsonl",
        *(prediction(str(i), inputs__image=name) for i, name in enumerate(names)),
    )
    warehouse = open_warehouse(folder_log)
    assert sync(folder_log, warehouse).scored_images == 2
    assert queries.coverage(warehouse, Selection()).images == 1
    case = queries.case(warehouse, "0")
    assert case is not None
    assert case.same_image == 3


def test_a_background_sync_goes_on_and_tells_its_problem(
    folder_log: Log,
    open_warehouse: OpenWarehouse,
    tmp_path: Path,
) -> None:
    def wait(ready: Any) -> None:
        for _ in range(500):
            if ready():
                return
            time.sleep(0.01)
        raise AssertionError("nothing happened for 5 seconds")

    warehouse = open_warehouse(folder_log)
    job = SyncJob(folder_log, warehouse, seconds=0)
    job.start()
    wait(lambda: job.finished)
    write(folder_log, "predictions/1.json", prediction("a"))
    job.start()
    wait(lambda: queries.status(warehouse).predictions == 1)
    (tmp_path / "log").rename(tmp_path / "unmounted")
    job.start()
    wait(lambda: job.problem)
    assert job.problem == f"There is no folder {folder_log.uri}."
    assert queries.status(warehouse).predictions == 1
    (tmp_path / "unmounted").rename(tmp_path / "log")
    job.start()
    wait(lambda: not (job.busy or job.problem))
    job.stop()


keys = st.sampled_from(["a", "b", "c"])
texts = st.sampled_from([None, "", "to to to", "a fine line"])
images = st.sampled_from([None, "images/one.png", "images/gone.png", "../x"])
times = st.integers(0, 3).map(lambda day: f"2026-07-{day + 1:02d}T00:00:00Z")
judged = st.builds(
    feedback,
    keys,
    st.sampled_from([None, "incorrect", "other"]),
    timestamp=times,
    comment=st.sampled_from([None, "why?"]),
    ground_truth_string=st.sampled_from([None, "", "a line"]),
    feedback_key=st.sampled_from([None, "1", "2"]),
)
served = st.builds(prediction, keys, texts, inputs__image=images, timestamp=times)
objects = st.one_of(
    st.tuples(st.sampled_from(["predictions/1", "predictions/2"]), st.lists(served, max_size=3)),
    st.tuples(st.sampled_from(["feedback/1", "feedback/2"]), st.lists(judged, max_size=3)),
)
steps = st.lists(st.lists(objects, min_size=1, max_size=3), min_size=1, max_size=3)


@pytest.mark.soak
@settings(max_examples=rounds(6, 12), suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_after_any_history_the_records_are_those_of_a_fresh_warehouse(
    steps: list[list[tuple[str, list[dict[str, Any]]]]],
) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "log").mkdir()
        log = Log.open(str(Path(folder) / "log"))
        log.put("images/one.png", png(Image.new("L", (4, 4), 99)))
        few = {f"entropy({TEXT})", f"character_error_rate({TEXT})", f"width({IMAGE})"}
        table = ProjectionTable(tuple(row for row in load_projections().rows if row.name in few))
        grown = Warehouse.open(Path(folder) / "grown.duckdb", log.uri, table)
        fresh = Warehouse.open(Path(folder) / "fresh.duckdb", log.uri, table)
        try:
            for changes in steps:
                for key, events in changes:
                    if events:
                        replace_object(log, key, lines(events))
                    else:
                        (Path(folder) / "log" / key).unlink(missing_ok=True)
                sync(log, grown)
            sync(log, fresh)
            assert all_records(grown) == all_records(fresh)
            with grown.transaction() as cursor:
                anew = record_rows(
                    cursor, grown.projections, f"(select {PREDICTION_COLUMNS} from records)"
                )
            assert all_records(grown) == grown.rows(f"from ({anew}) order by record_key")
        finally:
            grown.close()
            fresh.close()


def test_events_are_kept_as_written(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    tags = {"": "empty", "a/b~c": "x", 'quo"te': 2, "Case": 1, "case": "two", "list": [1], "n": 1e9}
    hostile = "'; drop table records; --\0\n\t“”\U0001f600"
    write(folder_log, "predictions/1.json", prediction(hostile, hostile, tags=tags))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    shown = record(warehouse, hostile)
    assert shown.output_text == hostile
    assert shown.tags == tags
    exported = queries.record_batches(warehouse, Selection()).read_all().to_pylist()[0]
    assert {name: exported[f"tags.{name}"] for name in tags} == tags | {"list": "[1]"}
