"""Snapshots: a reader that has nothing begins from one, and ends where any reader ends."""

from pathlib import Path

import pytest

from data_access import queries
from data_access.api import OpenLog
from data_access.cli import main
from data_access.errors import LogError
from data_access.ingest import snapshots
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import load_projections
from data_access.selection import Selection
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import feedback, picture, prediction, write, write_picture

TABLES = (
    "records", "feedback", "objects", "quarantine", "covered", "annotations", "text_values",
    "image_values", "failures", "extents",
)  # fmt: skip


COLUMNS = {"image_values": "* exclude (tried)"}


def contents(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: sorted(warehouse.rows(f"select {COLUMNS.get(table, '*')} from {table}"), key=repr)
        for table in TABLES
    }


def reader(log: Log, folder: Path) -> Warehouse:
    return Warehouse.open(folder / "reader.duckdb", log.uri, load_projections())


def fill(log: Log) -> None:
    image = write_picture(log, picture())
    write(log, "predictions/1.json", prediction("a", inputs__image=image, tags={"n": 1, "c": "é"}))
    write(log, "predictions/2.jsonl", prediction("b", None), prediction("c", "the the the"))
    write(log, "feedback/1.json", feedback("a"), feedback("a", "other", user="\u202eme"))
    write(log, "predictions/bad.json", {"record_key": 5})


def test_a_reader_begins_from_a_snapshot_and_reads_only_what_came_since(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_access.warehouse.snapshot.ROWS_OF_A_FILE", 2)
    warehouse = open_warehouse(folder_log)
    fill(folder_log)
    sync(folder_log, warehouse)
    written = snapshots.publish(folder_log, warehouse)
    assert written.records == 3
    assert [row["table"] for row in written.files].count("records") == 2
    write(folder_log, "predictions/3.json", prediction("d"))
    write(folder_log, "feedback/2.json", feedback("c"))
    folder_log.remove("predictions/1.json")
    log = Log.open(folder_log.uri)
    new = reader(log, tmp_path)
    report = sync(log, new)
    assert (report.failures, report.objects, report.removed) == ({}, 2, 1)
    sync(folder_log, warehouse)
    assert contents(new) == contents(warehouse)
    assert queries.status(new).predictions == 3
    again = sync(log, new)
    assert not again.changed


def test_answers_of_the_sample_log_are_those_of_its_snapshot(
    sample_log: OpenLog, tmp_path: Path
) -> None:
    copy = Log.open(str(tmp_path))
    written = snapshots.publish(copy, sample_log.warehouse)
    assert snapshots.newest(copy, sample_log.warehouse) == written
    new = Warehouse.open(tmp_path / "reader.duckdb", copy.uri, sample_log.warehouse.projections)
    assert snapshots.begin(copy, new) == written
    assert contents(new) == contents(sample_log.warehouse)
    everything = Selection()
    for one, other in zip(
        queries.histogram_pairs(new, everything, everything),
        queries.histogram_pairs(sample_log.warehouse, everything, everything),
        strict=True,
    ):
        assert one.counts.tolist() == other.counts.tolist()
    assert snapshots.begin(copy, new) is None, "it has something already"


def test_what_is_not_whole_is_no_snapshot(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = open_warehouse(folder_log)
    fill(folder_log)
    sync(folder_log, warehouse)
    put = Log.put

    def killed(log: Log, key: str, body: bytes) -> bool:
        if key.endswith(snapshots.MANIFEST):
            raise LogError("killed")
        return put(log, key, body)

    with monkeypatch.context() as patch:
        patch.setattr(Log, "put", killed)
        with pytest.raises(LogError, match="killed"):
            snapshots.publish(folder_log, warehouse)
    assert snapshots.newest(folder_log, warehouse) is None
    written = snapshots.publish(folder_log, warehouse)
    damaged = Path(folder_log.uri, written.prefix, str(written.files[-1]["name"]))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    new = reader(folder_log, tmp_path)
    report = sync(folder_log, new)
    assert [sentence.endswith("is damaged.") for sentence in report.failures] == [True]
    assert contents(new) == contents(warehouse), "all of it was read from the log instead"


def test_publish_on_the_command_line(
    folder_log: Log,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    fill(folder_log)
    monkeypatch.setenv("MISREAD_WAREHOUSE", str(tmp_path / "published.duckdb"))
    assert main(["publish", "--log", folder_log.uri]) == 0
    assert capsys.readouterr().out.startswith("3 records in ")
    assert list(Path(folder_log.uri).glob("snapshots/*/*/manifest.json"))
