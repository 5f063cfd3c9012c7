import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data_access import queries
from data_access.api import OpenLog
from data_access.errors import WarehouseError
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import load_projections
from data_access.selection import Selection, source
from data_access.warehouse import Warehouse
from tests.conftest import OpenWarehouse
from tests.samples import ROOT, SERVED, prediction, write

ANOTHER_PROCESS = """
import sys
from pathlib import Path
from data_access.log import Log
from data_access.projections import load_projections
from data_access.ingest.sync import sync
from data_access.warehouse import Warehouse

folder, file = sys.argv[1:]
log = Log.open(folder)
warehouse = Warehouse.open(Path(file), log.uri, load_projections())
sync(log, warehouse)
print(warehouse.path.name, warehouse.rows("select count(*) from records")[0][0])
"""


def test_a_second_process_gets_a_file_of_its_own(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    mine = open_warehouse(folder_log)
    sync(folder_log, mine)
    answers = [
        subprocess.run(
            [sys.executable, "-c", ANOTHER_PROCESS, folder_log.uri, str(mine.path)],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        ).stdout.split()
        for _ in range(2)
    ]  # fmt: skip
    assert answers == [["warehouse.2.duckdb", "1"]] * 2
    assert queries.status(mine).predictions == 1


def test_a_warehouse_that_cannot_be_read_is_moved_aside(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    broken = bytes(8) + b"DUCK" + b"and then nonsense" * 1000
    (tmp_path / "warehouse.duckdb").write_bytes(broken)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    assert queries.status(warehouse).predictions == 1
    (aside,) = tmp_path.glob("warehouse.duckdb.broken-*")
    assert aside.read_bytes() == broken


def test_a_file_that_is_no_database_is_left_alone(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    file = tmp_path / "warehouse.duckdb"
    file.write_text("my notes")
    with pytest.raises(WarehouseError, match="cannot be opened"):
        open_warehouse(folder_log)
    assert file.read_text() == "my notes"


def test_somebody_elses_database_is_left_alone(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    file = str(tmp_path / "warehouse.duckdb")
    with duckdb.connect(file) as connection:
        connection.execute("create table records as select 1 as precious")
    with pytest.raises(WarehouseError, match="database of something else"):
        open_warehouse(folder_log)
    with duckdb.connect(file) as connection:
        assert connection.execute("select precious from records").fetchall() == [(1,)]


def test_a_log_opened_twice_in_one_process_is_one_warehouse(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    one, other = open_warehouse(folder_log), open_warehouse(folder_log)
    assert queries.status(other).predictions == 0
    write(folder_log, "predictions/1.json", prediction("a"))
    sync(folder_log, one)
    assert queries.status(other).predictions == 1, (
        "answers of one are new after a sync of the other"
    )


def test_a_warehouse_of_another_log_is_refused_and_left_alone(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    warehouse.close()
    other = Log("s3://bucket/other", None)
    with pytest.raises(WarehouseError, match=r"name another file in MISREAD_WAREHOUSE\.$"):
        open_warehouse(other)
    assert queries.status(open_warehouse(folder_log)).predictions == 1


@pytest.mark.parametrize("place", ["a file/warehouse.duckdb", "a folder"])
def test_a_place_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "a folder").mkdir()
    with pytest.raises(WarehouseError, match="cannot be opened"):
        Warehouse.open(tmp_path / place, "log", load_projections())


def test_a_warehouse_of_an_older_layout_is_emptied_and_filled_again(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    with warehouse.transaction() as cursor:
        cursor.execute("update meta set value = 'older' where name = 'schema'")
    warehouse.close()
    warehouse = open_warehouse(folder_log)
    assert queries.status(warehouse).predictions == 0
    sync(folder_log, warehouse)
    assert queries.status(warehouse).predictions == 1


LAYOUT_6 = """
create table meta (name varchar, value varchar);
create table objects (key varchar, e_tag varchar, size bigint, events bigint);
create table feedback (object_key varchar, record_key varchar, said varchar);
create table records (object_key varchar, record_key varchar, "outputs.output_text" varchar);
create table text_values (record_key varchar, "an old projection" double);
create table image_values (image varchar, sha256 varchar, failure varchar);
insert into meta values ('log', ?), ('schema', '6');
"""


def test_a_warehouse_with_the_tables_of_an_older_layout_is_filled_again(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        for statement in LAYOUT_6.strip().split(";\n"):
            connection.execute(statement, [folder_log.uri] if "?" in statement else [])
        connection.execute("insert into objects values ('predictions/1.json', 'x', 1, 1)")
        connection.execute("insert into records values ('predictions/1.json', 'old', 'text')")
    warehouse = open_warehouse(folder_log)
    assert warehouse.path == tmp_path / "warehouse.duckdb"
    assert warehouse.rows("select count(*) from records") == [(0,)]
    sync(folder_log, warehouse)
    assert warehouse.rows("select record_key from records") == [("a",)]


def test_what_was_read_is_there_after_a_restart_without_a_sync(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    before = queries.status(warehouse)
    warehouse.close()
    assert queries.status(open_warehouse(folder_log)) == before


def test_a_failed_transaction_leaves_nothing(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(folder_log)
    with pytest.raises(KeyboardInterrupt), warehouse.transaction() as cursor:
        cursor.execute("insert into quarantine values ('a', 1, 'b', 'c')")
        raise KeyboardInterrupt
    assert warehouse.rows("from quarantine") == []


def test_eight_threads_get_right_answers(sample_log: OpenLog) -> None:
    warehouse = sample_log.warehouse

    def count(day: int) -> int:
        sql, params = source(Selection(environment=("prod",)), [("day(timestamp) = ?", [day])])
        return int(warehouse.rows(f"select count(*) from {sql}", params)[0][0])

    expected = [count(day) for day in range(32)]
    assert sum(expected) == SERVED
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(count, list(range(32)) * 8)) == expected * 8


def test_an_answer_is_worked_out_once_for_each_version(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(folder_log)
    asked = []
    for _ in range(2):
        warehouse.cached("how many", lambda: asked.append("asked"))
    assert len(asked) == 1
    write(folder_log, "predictions/1.json", prediction("a"))
    sync(folder_log, warehouse)
    warehouse.cached("how many", lambda: asked.append("asked"))
    assert len(asked) == 2


def test_equal_questions_with_other_values_have_other_answers(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(folder_log)
    asked: list[list[Any]] = [[1], [2], ["1"], [1.5], [None]]
    answers = [warehouse.query("select ?::varchar as it", params)["it"].iloc[0] for params in asked]
    assert [str(answer) for answer in answers[:4]] == ["1", "2", "1", "1.5"]
    assert warehouse.query("select ? + 1 as it", [1])["it"].iloc[0] == 2
