import codecs
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from data_access.cli import main
from data_access.log import Log
from data_access.projections.table import PROJECTIONS
from tests.samples import (
    FLAGGED,
    IMAGES,
    RECORDS,
    ROOT,
    SAMPLE,
    feedback,
    open_log,
    picture,
    prediction,
    write,
    write_picture,
)


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command in this process, which saves the second that a process of its own takes."""
    monkeypatch.setenv("MISREAD_WAREHOUSE", str(tmp_path / "warehouse.duckdb"))

    def run_here(*arguments: str) -> Done:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *capsys.readouterr())

    return run_here


@pytest.fixture
def log(folder_log: Log, run: Run, monkeypatch: pytest.MonkeyPatch) -> Log:
    """A small log that MISREAD_LOG names, read once."""
    image = write_picture(folder_log, picture())
    write(
        folder_log,
        "predictions/1.jsonl",
        prediction("a", "=HYPERLINK('x')", inputs__image=image, tags={"@sum": "+1", "n": 2}),
        prediction("b", 'two\nlines, "quoted"', environment="test", tags={"@sum": "-1"}),
        prediction("c", "-1\0"),
    )
    write(folder_log, "feedback/1.json", feedback("a", "incorrect", user="@eve"))
    write(folder_log, "feedback/2.json", feedback("a", "other", user="eve"))
    monkeypatch.setenv("MISREAD_LOG", folder_log.uri)
    assert run("sync").returncode == 0
    return folder_log


def test_sync_status_and_export_in_processes_of_their_own(tmp_path: Path) -> None:
    def process(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "data_access", *arguments, "--log", str(SAMPLE)],
            env={**os.environ, "MISREAD_WAREHOUSE": str(tmp_path / "warehouse.duckdb")},
            cwd=ROOT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    synced = process("sync")
    assert (synced.returncode, synced.stderr) == (0, "")
    assert re.match(rf"\d+ objects read, 0 removed: {RECORDS} predictions, ", synced.stdout)
    assert f"2 quarantined. {RECORDS} texts and {IMAGES} images scored.\n" in synced.stdout
    told = json.loads(process("status", "--json").stdout)
    assert (told["predictions"], told["flagged"], told["quarantined"]) == (RECORDS, FLAGGED, 2)
    assert told["log"] == str(SAMPLE)
    file = tmp_path / "flagged.parquet"
    exported = process("export", "environment=prod&flag=*", str(file))
    assert exported.stdout == f"{FLAGGED} records written to {file}.\n"
    frame = pd.read_parquet(file)
    assert len(frame) == FLAGGED
    assert set(frame["environment"]) == {"prod"}


def test_a_second_sync_says_that_nothing_was_new(log: Log, run: Run) -> None:
    said = "0 objects read, 0 removed: 0 predictions, 0 feedback, 0 quarantined. 0 texts and 0 "
    assert run("sync").stdout.startswith(said)


def test_status_is_legible(log: Log, run: Run) -> None:
    told = run("status")
    assert told.returncode == 0
    lines = dict(line.split(":", 1) for line in told.stdout.splitlines())
    assert {name: lines[name].strip() for name in ("predictions", "flagged", "quarantined")} == {
        "predictions": "3", "flagged": "1", "quarantined": "0",
    }  # fmt: skip


def test_status_before_any_sync_says_what_to_do(folder_log: Log, run: Run) -> None:
    told = run("status", "--log", folder_log.uri)
    assert told.returncode == 0
    assert "never; run `python -m data_access sync`" in told.stdout


def test_an_export_before_any_sync_is_no_empty_file(
    folder_log: Log, run: Run, tmp_path: Path
) -> None:
    done = run("export", "", str(tmp_path / "all.csv"), "--log", folder_log.uri)
    assert done.returncode == 2
    assert done.stderr.endswith("run `python -m data_access sync` first.\n")
    assert not (tmp_path / "all.csv").exists()


def test_no_cell_of_a_csv_is_a_formula(log: Log, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    assert run("export", "", str(file)).returncode == 0
    assert file.read_bytes().startswith(codecs.BOM_UTF8)
    with file.open(newline="", encoding="utf-8-sig") as opened:
        rows = list(csv.DictReader(opened))
    texts = {row["record_key"]: row["outputs.output_text"] for row in rows}
    assert texts["a"] == "'=HYPERLINK('x')"
    assert texts["b"] == 'two\nlines, "quoted"'
    assert texts["c"].startswith("'-1")
    assert rows[0]["tags.@sum"] == "'+1"
    assert rows[0]["feedback.user"] in ("'@eve", "eve")
    assert rows[0]["feedback.flags"] == "incorrect, other"
    numbers = {row.name for row in PROJECTIONS}
    for row in rows:
        for name, cell in row.items():
            assert not cell.startswith(("=", "+", "@", "\t", "\r")), name
            assert not cell.startswith("-") or name in numbers, name


def test_exports_have_the_same_records_in_csv_and_parquet(
    log: Log, run: Run, tmp_path: Path
) -> None:
    for name in ("all.csv", "all.parquet"):
        done = run("export", "environment=prod", str(tmp_path / name))
        assert done.stdout == f"2 records written to {tmp_path / name}.\n"
    as_csv, as_parquet = (
        pd.read_csv(tmp_path / "all.csv"),
        pd.read_parquet(tmp_path / "all.parquet"),
    )
    assert list(as_csv.columns) == list(as_parquet.columns)
    assert list(as_csv["record_key"]) == list(as_parquet["record_key"]) == ["a", "c"]
    assert list(as_parquet["outputs.output_text"]) == ["=HYPERLINK('x')", "-1\0"]
    assert as_csv["width(inputs.image)"].iloc[0] == as_parquet["width(inputs.image)"].iloc[0] == 24


def test_an_address_of_the_dashboard_is_a_selection(log: Log, run: Run, tmp_path: Path) -> None:
    address = "http://127.0.0.1:8501/cases?page.sort=timestamp&environment=test"
    done = run("export", address, str(tmp_path / "test.csv"))
    assert done.stdout.startswith("1 record written")


def test_an_export_takes_the_place_of_an_older_file_only_when_it_is_whole(
    log: Log, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "out.csv"
    file.write_text("older")
    assert run("export", "colour=red", str(file)).returncode == 2
    assert file.read_text() == "older"
    assert run("export", "flag=-", str(file)).returncode == 0
    assert file.read_text(encoding="utf-8-sig").startswith('"record_key",')
    assert not list(tmp_path.glob(".*unfinished"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["export", "colour=red", "x.csv"],
            "colour is not a filter: use application, around, comment, environment, flag,",
        ),
        (["export", "since=soon", "x.csv"], "From: “soon” is not a date"),
        (["export", "", "x.xlsx"], "x.xlsx must end in .csv or .parquet."),
        (["export", "", "nowhere/x.csv"], "nowhere/x.csv cannot be written: No such file"),
        (["export", "", "/dev/null/x.parquet"], "/dev/null/x.parquet cannot be written: "),
        (["status", "--log", "nowhere"], "There is no folder "),
        (["sync", "--log", "ftp://x"], "MISREAD_LOG=ftp://x is not a place that can be read:"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    log: Log, run: Run, arguments: list[str], said: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(said)


@pytest.mark.parametrize("command", [["sync"], ["status"], ["export", "", "x.csv"]])
def test_without_a_log_the_ways_to_name_one_are_told(run: Run, command: list[str]) -> None:
    done = run(*command)
    assert done.returncode == 2
    assert done.stderr.startswith("MISREAD_LOG is not set: name your log, as in MISREAD_LOG=s3://")


def test_a_sync_that_missed_something_ends_in_one(
    folder_log: Log, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "ours.py"
    module.write_text(
        "from data_access.projections import projection\n"
        "@projection('outputs.output_text', unit='', explanation='Fails.')\n"
        "def failing(texts):\n"
        "    raise RuntimeError('no model today')\n"
    )
    write(folder_log, "predictions/1.json", prediction("a"))
    monkeypatch.setenv("MISREAD_PROJECTIONS", str(module))
    done = run("sync", "--log", folder_log.uri)
    assert done.returncode == 1
    assert done.stderr == "failing(outputs.output_text): RuntimeError: no model today\n"
    assert done.stdout.startswith("1 object read, 0 removed: 1 prediction, ")


def test_a_store_that_is_down_ends_a_sync_in_two(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    done = run("sync", "--log", "s3://bucket/log")
    assert done.returncode == 2
    assert (
        done.stderr == "s3://bucket/log does not answer: is the store up, and its address right?\n"
    )


@pytest.mark.parametrize("command", [[], ["sync"], ["status"], ["export"]])
def test_help_says_what_a_command_does(run: Run, command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "Usage: python -m data_access" in done.stdout
    if not command:
        assert "exit codes: 0 done; 1 done, but part" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["dance"], ["export", "x"], ["status", "--yaml"]])
def test_a_wrong_command_line_ends_in_two(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: python -m data_access")


def test_a_command_beside_an_open_dashboard_answers_from_a_fresh_copy(
    folder_log: Log, tmp_path: Path
) -> None:
    write(folder_log, "predictions/a.jsonl", prediction("one"))
    warehouse = tmp_path / "shared.duckdb"
    dashboard = open_log(folder_log.uri, warehouse)
    environ = os.environ | {"MISREAD_WAREHOUSE": str(warehouse), "MISREAD_LOG": folder_log.uri}
    told = subprocess.run(
        [sys.executable, "-m", "data_access", "status", "--json"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    dashboard.close()
    assert json.loads(told.stdout)["predictions"] == 1
    assert "Another process" in told.stderr
