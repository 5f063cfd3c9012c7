"""What Gradio flags into a folder becomes records: a real app's folders, and hand-written ones."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from gradio.utils import sanitize_value_for_csv, simplify_file_data_in_str
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from PIL import Image

from data_access.cli import main
from data_access.embedded import _free_port
from data_access.errors import LogError, MisreadError
from data_access.importers import ImportReport
from data_access.importers.gradio import Options, import_folder, zone
from data_access.importers.gradio_cells import image_name, local_moment, undo_guard, undo_json
from data_access.importers.gradio_sheets import Columns
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.records import Prediction
from data_access.records.decoding import Contents, read_object
from tests.conftest import OpenWarehouse
from tests.gradio_app import APPS, OUTPUTS
from tests.samples import ROOT, picture

HEADER = ["Handwritten Text", "output", "flag", "timestamp"]
CLASSIC_HEADER = ["Handwritten Text", "output", "flag", "username", "timestamp"]
NOON = "2026-07-06 12:00:00.000001"


def contents(log: Log) -> Contents:
    """All events of a log; nothing of it may be unreadable."""
    found = Contents()
    for prefix in ("predictions/", "feedback/"):
        for held in log.list(prefix):
            read = read_object(held.key, log.get(held.key))
            assert not read.quarantined
            found.predictions += read.predictions
            found.feedback += read.feedback
    return found


def records(log: Log) -> list[Prediction]:
    return sorted((row for _, row in contents(log).predictions), key=lambda row: row.timestamp)


def keys(log: Log) -> list[str]:
    return sorted(held.key for prefix in ("predictions/", "feedback/", "images/")
                  for held in log.list(prefix))  # fmt: skip


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of apps in which every kind of button was pressed."""
    folder = tmp_path_factory.mktemp("application")
    for width in range(20, 26):
        (folder / f"{width}.png").write_bytes(picture(size=(width, 16)))
    ports = {name: str(_free_port()) for name in APPS}
    environ = os.environ | {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1",
        "TZ": "Asia/Tokyo",
        "GRADIO_TEMP_DIR": str(folder / "temporary"),
        "PYTHONPATH": str(ROOT),
    }
    with (folder / "app.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "gradio_app.py"), *ports.values()],
            cwd=folder, env=environ, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while "ready" not in (folder / "app.log").read_text():
            assert process.poll() is None and time.monotonic() < deadline, (
                folder / "app.log"
            ).read_text()
            time.sleep(0.1)
        with ThreadPoolExecutor(2) as pool:
            classic = pool.submit(press, folder, "classic", ports["classic"])
            press(folder, "manual", ports["manual"])
            press(folder, "auto", ports["auto"])  # after manual, to have the second file
            classic.result()
        yield folder
    finally:
        process.terminate()
        process.wait(timeout=20)


def press(folder: Path, name: str, port: str) -> None:
    """Send pictures and press buttons through the HTTP API, as the page does."""
    auth = ("ann", "secret") if name == "classic" else None
    client = Client(f"http://127.0.0.1:{port}", verbose=False, auth=auth)
    flags = [i for i, row in enumerate(client.config["dependencies"]) if len(row["inputs"]) == 2]
    widths = range(20, 26) if name == "manual" else range(20, 22)

    def one(width: int) -> None:
        image = handle_file(str(folder / f"{width}.png"))
        output = client.predict(image, api_name="/read")
        assert output == OUTPUTS[width % len(OUTPUTS)]
        for flag in flags[: 3 if width < 22 else 1]:
            client.predict(image, output, fn_index=flag)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, widths))
        if name == "manual":  # a click before there is a picture
            client.predict(None, "", fn_index=flags[0])


def widths(log: Log) -> dict[str, int]:
    """Record keys and the width of their pictures, which tells what was drawn."""
    return {
        row.record_key: Image.open(io.BytesIO(log.image(row.image))).width
        for row in records(log)
        if row.image
    }


def test_what_a_real_app_flags_becomes_records(application: Path, log: Log) -> None:
    folder = application / "flagged"
    assert sorted(path.name for path in folder.glob("*.csv")) == ["dataset1.csv", "dataset2.csv"]
    lengths = {len(row) for row in csv.reader((folder / "dataset1.csv").open(newline=""))}
    assert lengths == {3, 4}, "rows should be ragged here"
    report = import_folder(log, folder, Options(timezone=ZoneInfo("Asia/Tokyo")))
    assert report.refused == []
    assert (report.rows, report.records, report.predictions_added) == (13, 13, 13)
    drawn = widths(log)
    for row in records(log):
        if row.image is None:  # a click before there was a picture
            assert row.output_text is None
            continue
        output = OUTPUTS[drawn[row.record_key] % len(OUTPUTS)]
        # Gradio writes JSON anew; its white space is gone for good
        assert row.output_text == (json.dumps(json.loads(output), ensure_ascii=False)
                                   if output.startswith("{") else output)  # fmt: skip
    assert Counter(drawn.values()) == {20: 4, 21: 4, 22: 1, 23: 1, 24: 1, 25: 1}
    assert len(list(log.list("images/"))) == report.images_added == 6
    found = contents(log)
    assert Counter(row.flag for _, row in found.feedback) == {"incorrect": 7, "offensive": 2}
    now = datetime.now(UTC)
    assert all(abs((now - row.timestamp).total_seconds()) < 300 for row in records(log))


def test_a_real_classic_log_has_users_and_the_word_none(application: Path, log: Log) -> None:
    report = import_folder(log, application / "classic", Options(timezone=ZoneInfo("Asia/Tokyo")))
    assert (report.rows, report.refused) == (6, [])
    said = [row for _, row in contents(log).feedback]
    assert Counter((row.flag, row.user) for row in said) == {
        ("incorrect", "ann"): 2,
        ("offensive", "ann"): 2,
    }
    unflagged = {row.record_key for row in records(log)} - {row.record_key for row in said}
    assert [row.tags for row in records(log) if row.record_key in unflagged] == [
        {"username": "ann"}
    ] * 2


def test_importing_twice_adds_nothing_wherever_the_folder_is(
    application: Path, log: Log, tmp_path: Path
) -> None:
    options = Options(timezone=ZoneInfo("Asia/Tokyo"))
    import_folder(log, application / "flagged", options)
    before = keys(log)
    moved = tmp_path / "elsewhere"
    shutil.copytree(application / "flagged", moved)
    (moved / "dataset1.csv").rename(moved / "dataset7.csv")
    for folder in (application / "flagged", moved):
        report = import_folder(log, folder, options)
        assert (report.records, report.added) == (13, 0)
    assert keys(log) == before


def flag_folder(tmp_path: Path, *rows: list[str], name: str = "dataset1.csv") -> Path:
    """A folder as an app in `tmp_path` writes it; the first row is the header."""
    folder = tmp_path / "flagged"
    held = folder / "Handwritten Text" / "0123456789abcdef0123"
    held.mkdir(parents=True, exist_ok=True)
    (held / "a.png").write_bytes(picture())
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


IMAGE = "flagged/Handwritten Text/0123456789abcdef0123/a.png"


def imported(log: Log, folder: Path, **options: Any) -> tuple[ImportReport, list[Prediction]]:
    columns = {
        name: options.pop(f"{name}_column")
        for name in ("image", "output", "flag")
        if f"{name}_column" in options
    }
    options = {"timezone": UTC} | options
    report = import_folder(log, folder, Options(columns=Columns(**columns), **options))
    assert report.rows == report.records + len(report.refused)
    return report, records(log)


def said(log: Log) -> set[tuple[str | None, str | None]]:
    return {(row.flag, row.user) for _, row in contents(log).feedback}


TEXTS = [*OUTPUTS, "a,=b", "'a", "''", "-1.5", "+49", "@you", "\tx", "\nx", "1e5", "[1, 2]"]


@pytest.mark.parametrize("text", [*TEXTS, '["\U0001f600"]', "[not json", "a, b", "'=x,-y"])
def test_what_gradio_does_to_a_text_is_undone(text: str) -> None:
    simplified = simplify_file_data_in_str(text)  # type: ignore[no-untyped-call]
    written = sanitize_value_for_csv(simplified)
    again = undo_json(undo_guard(str(written)))
    if text.startswith("{"):
        assert json.loads(again) == json.loads(text)
    elif text == "1e5":
        assert again == "100000.0"  # a number is written anew; what it was is lost
    else:
        assert again == text


def test_rows_may_be_longer_or_shorter_than_their_header(folder_log: Log, tmp_path: Path) -> None:
    folder = flag_folder(
        tmp_path,
        ["Handwritten Text", "output", "timestamp"],
        [IMAGE, "no flag", "2026-07-06 12:00:00.1"],
        [IMAGE, "flag", "incorrect", "2026-07-06 12:00:00.2"],
        [IMAGE, "both", "other", "eve", "2026-07-06 12:00:00.3"],
        [IMAGE, "2026-07-06 12:00:00.4"],
        [IMAGE, "too", "many", "cells", "are", "here", "2026-07-06 12:00:00.5"],
        [IMAGE, "cut o"],
        [],
        [IMAGE, "no time", "soon"],
    )
    report, found = imported(folder_log, folder)
    assert [row.output_text for row in found] == ["no flag", "flag", "both"]
    assert said(folder_log) == {("incorrect", None), ("other", "eve")}
    assert [str(row) for row in report.refused] == [
        "dataset1.csv, line 5: 2 cells where the header has 3",
        "dataset1.csv, line 6: 7 cells where the header has 3",
        "dataset1.csv, line 7: 2 cells where the header has 3",
        "dataset1.csv, line 9: the last cell: 'soon' is not a time: write it as "
        "2026-09-05T21:25:43Z",
    ]


def test_a_missing_flag_is_told_from_a_missing_user(folder_log: Log, tmp_path: Path) -> None:
    folder = flag_folder(
        tmp_path,
        CLASSIC_HEADER,
        [IMAGE, "1", "incorrect", "ann", NOON],
        [IMAGE, "2", "ann", NOON],
        [IMAGE, "3", "incorrect", NOON],
        [IMAGE, "4", NOON],
    )
    report, found = imported(folder_log, folder)
    assert report.refused == []
    assert said(folder_log) == {("incorrect", "ann"), ("incorrect", None)}
    tags = {row.output_text: row.tags for row in found}
    assert tags == {"1": {}, "2": {"username": "ann"}, "3": {}, "4": {}}


def test_a_classic_log_whose_app_changed_is_not_guessed_at(folder_log: Log, tmp_path: Path) -> None:
    folder = flag_folder(
        tmp_path,
        CLASSIC_HEADER,
        [IMAGE, "one", "incorrect", "", NOON],
        [IMAGE, "incorrect", "ann", NOON],
        [IMAGE, "one", "0.9", "incorrect", "", NOON],
        name="log.csv",
    )
    report, found = imported(folder_log, folder)
    assert [row.output_text for row in found] == ["one"]
    assert [row.line for row in report.refused] == [3, 4]


def test_other_components_become_tags(folder_log: Log, tmp_path: Path) -> None:
    folder = flag_folder(
        tmp_path,
        ["language", "Handwritten Text", "output", "output", "flag", "timestamp"],
        ["'-de", IMAGE, "a", "b", "incorrect", NOON],
    )
    _, found = imported(folder_log, folder, output_column="output (2)", application="reader",
                        version="1.2", environment="dev")  # fmt: skip
    assert found[0].tags == {"language": "-de", "output": "a"}
    assert found[0].output_text == "b"
    told = (found[0].application, found[0].version, found[0].environment)
    assert told == ("reader", "1.2", "dev")


def test_a_column_of_the_app_can_be_the_flag(folder_log: Log, tmp_path: Path) -> None:
    header = ["Handwritten Text", "output", "verdict", "timestamp"]
    folder = flag_folder(tmp_path, header, [IMAGE, "a", "other", NOON], [IMAGE, "b", "", NOON])
    imported(folder_log, folder, flag_column="verdict")
    assert said(folder_log) == {("other", None)}


def test_an_image_is_found_by_the_working_directory_or_by_its_name(
    folder_log: Log, tmp_path: Path
) -> None:
    other = tmp_path / "application"
    other.mkdir()
    (other / "b.png").write_bytes(picture(10))
    windows = IMAGE.replace("/", "\\")
    data = json.dumps({"path": IMAGE, "url": None, "meta": {"_type": "gradio.FileData"}})
    folder = flag_folder(
        tmp_path,
        HEADER,
        [IMAGE, "relative", "other", NOON],
        [str(tmp_path / IMAGE), "absolute", "other", NOON],
        [windows, "windows", "other", NOON],
        [data, "data", "other", NOON],
        ["b.png", "application", "other", NOON],
        ["", "none", "other", NOON],
    )
    report, found = imported(folder_log, folder, application_folder=other)
    assert report.refused == []
    images = {row.output_text: row.image for row in found}
    assert images.pop("none") is None
    assert images.pop("application") != images["relative"]
    assert len(set(images.values())) == 1


OUTSIDE = ["../secret.png", "/etc/passwd", "flagged/link.png"]
MISSING = ["gone.png", "a\0b.png", "x" * 5000 + "/a.png", "flagged", "https://x/a.png"]


@pytest.mark.parametrize("cell", OUTSIDE + MISSING)
def test_an_image_that_is_missing_or_outside_is_refused(
    folder_log: Log, tmp_path: Path, cell: str
) -> None:
    (tmp_path / "secret.png").write_bytes(picture())
    folder = flag_folder(tmp_path, HEADER, [cell, "a", "other", NOON], [IMAGE, "b", "other", NOON])
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    report, found = imported(folder_log, folder)
    assert [row.output_text for row in found] == ["b"]
    assert re.match(r"dataset1.csv, line 2: its image .+ (is missing|lies outside)",
                    str(report.refused[0]))  # fmt: skip


def test_hostile_cells_are_kept_or_refused_never_dropped(folder_log: Log, tmp_path: Path) -> None:
    hostile = ["<script>", "\0", "‮rtl​", "=cmd|' /C calc'!A0", "a" * 300_000, '"', "\r\n", "nan"]
    folder = flag_folder(tmp_path, HEADER, *[[IMAGE, cell, "x", NOON] for cell in hostile],
                         [IMAGE, "flag too long", "x" * 201, NOON])  # fmt: skip
    with (folder / "dataset1.csv").open("ab") as file:
        file.write(f"{IMAGE},\xff,x,{NOON}\r\n".encode("latin-1"))
        file.write(f'{IMAGE},"never closed,x,{NOON}\r\nmore\r\n'.encode())
    report, found = imported(folder_log, folder)
    assert sorted(str(row.output_text) for row in found) == sorted(hostile)
    reasons = [row.reason for row in report.refused]
    assert [reason.partition(":")[0] for reason in reasons] == [
        "flag",
        "a cell is not UTF-8",
        "2 cells where the header has 4 (its cells reach to line 14)",
    ]  # fmt: skip


def test_files_that_are_no_log_of_flags_are_told(folder_log: Log, tmp_path: Path) -> None:
    folder = flag_folder(tmp_path, HEADER, [IMAGE, "a", "other", NOON])
    (folder / "simple.csv").write_text("a,b\n1,2\n")
    (folder / "empty.csv").write_text("")
    report, found = imported(folder_log, folder)
    assert len(found) == 1
    assert str(report.refused[0]).startswith("simple.csv: its first line does not end in")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-07-06 12:00:00.5", "2026-07-06T10:00:00.500000+00:00"),
        ("2026-01-06 12:00:00", "2026-01-06T11:00:00+00:00"),
        ("2026-01-06T12:00:00+02:00", "2026-01-06T10:00:00+00:00"),
        ("2026-10-25 02:30:00", "2026-10-25T00:30:00+00:00"),
    ],
)
def test_times_are_by_the_clock_of_the_app(written: str, expected: str) -> None:
    assert local_moment(written, ZoneInfo("Europe/Berlin")).isoformat() == expected


def test_an_hour_that_comes_twice_goes_by_the_row_above() -> None:
    zone_of_app = ZoneInfo("Europe/Berlin")
    first = local_moment("2026-10-25 02:50:00", zone_of_app)
    second = local_moment("2026-10-25 02:10:00", zone_of_app, first)
    assert (second - first).total_seconds() == 20 * 60
    assert local_moment("2026-10-25 01:10:00", zone_of_app, first) < first


@pytest.mark.parametrize(
    ("header", "options", "said"),
    [
        (
            ["a", "b", "timestamp"],
            {},
            "dataset1.csv: several columns may be the output: a, b;",
        ),
        (HEADER, {"image_column": "x"}, "No file has a column x (--image-column); the"),
        (
            HEADER,
            {"output_column": "x"},
            "No file has a column x (--output-column); the",
        ),
        (HEADER, {"flag_column": "x"}, "No file has a column x (--flag-column); the"),
    ],
)
def test_columns_that_cannot_be_told_are_asked_for(
    folder_log: Log, tmp_path: Path, header: list[str], options: dict[str, str], said: str
) -> None:
    cells = [*("?" for _ in header[1:]), NOON]
    with pytest.raises(MisreadError, match=re.escape(said)):
        imported(folder_log, flag_folder(tmp_path, header, cells), **options)


def odd_folder(tmp_path: Path) -> Path:
    """Two sets of components in one folder: of the first, the output cannot be found."""
    flag_folder(tmp_path, ["Width", "Area", "timestamp"], ["4", "16", NOON])
    return flag_folder(
        tmp_path,
        ["Handwritten Text", "Text", "Language", "timestamp"],
        [IMAGE, "Dear Mum", "en", NOON],
        name="dataset2.csv",
    )


def test_one_odd_file_does_not_stop_the_others(
    folder_log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["import-gradio", str(odd_folder(tmp_path)), "--log", folder_log.uri]
    assert main([*command, "--output-column", "Text"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(
        "2 rows read, 1 refused. New in the log: 1 prediction, 0 feedback, 1 image,"
    )
    assert printed.err == (
        "dataset1.csv: several columns may be the output: Width, Area; name one with "
        "--output-column\n"
    )
    [row] = records(folder_log)
    assert (row.output_text, row.tags) == ("Dear Mum", {"Language": "en"})
    assert main(command) == 2
    assert capsys.readouterr().err.startswith("Nothing can be imported. dataset1.csv: several")


def test_one_file_can_be_named(folder_log: Log, tmp_path: Path) -> None:
    file = odd_folder(tmp_path) / "dataset2.csv"
    report, found = imported(folder_log, file, output_column="Text")
    assert (report.refused, len(found), bool(found[0].image)) == ([], 1, True)


def test_files_and_folders_that_cannot_be_opened_do_not_stop_the_others(
    folder_log: Log, tmp_path: Path
) -> None:
    folder = flag_folder(tmp_path, ["output", "timestamp"], ["Dear Mum", NOON])
    (folder / "output").symlink_to("output")
    (folder / "dataset2.csv").symlink_to("dataset2.csv")
    (folder / "dataset3.csv").mkdir()
    report, found = imported(folder_log, folder)
    assert [row.output_text for row in found] == ["Dear Mum"]
    assert [refused.file for refused in report.refused] == ["dataset2.csv", "dataset3.csv"]
    assert all("cannot be read" in refused.reason for refused in report.refused)


def written(tmp_path: Path, body: bytes) -> Path:
    folder = flag_folder(tmp_path, HEADER)
    (folder / "dataset1.csv").write_bytes(body)
    return folder


LINES = f"Handwritten Text,output,flag,timestamp\n{IMAGE},Zoë’s,incorrect,{NOON}\n"
CLASSIC_LINES = (
    "'Handwritten Text','output','flag','username','timestamp'\n"
    f"'{IMAGE}','Zoë’s','incorrect','','{NOON}'\n"
).replace("Zoë’s", "Zoë’s, ''dear''")


@pytest.mark.parametrize(
    ("text", "encoding", "output"),
    [
        (LINES, "utf-8-sig", "Zoë’s"),
        (LINES, "utf-16", "Zoë’s"),
        (LINES.replace(",", ";"), "utf-8", "Zoë’s"),
        (LINES.replace(",", "\t"), "utf-16", "Zoë’s"),
        (CLASSIC_LINES, "utf-8", "Zoë’s, 'dear'"),
    ],
)
def test_dialects_are_found(
    folder_log: Log, tmp_path: Path, text: str, encoding: str, output: str
) -> None:
    report, found = imported(folder_log, written(tmp_path, text.encode(encoding)))
    assert (report.refused, [row.output_text for row in found]) == ([], [output])
    assert found[0].image and said(folder_log) == {("incorrect", None)}


def test_a_code_page_must_be_named(
    folder_log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path, LINES.encode("cp1252"))
    command = ["import-gradio", str(folder), "--log", folder_log.uri, "--timezone", "UTC"]
    assert main(command) == 1
    assert capsys.readouterr().err == (
        "dataset1.csv, line 2: a cell is not UTF-8: name the file's encoding with --encoding, "
        "such as cp1252\n"
    )
    assert main([*command, "--encoding", "cp1252", "--delimiter", ","]) == 0
    assert [row.output_text for row in records(folder_log)] == ["Zoë’s"]
    assert main([*command, "--encoding", "klingon"]) == 2
    assert main([*command, "--encoding", "base64"]) == 2
    assert main([*command, "--delimiter", "semi"]) == 2
    assert main([*command, "--delimiter", "semicolon"]) == 2
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "klingon is not an encoding",
        "base64 is not an encoding",
        "semi is not a delimiter",
        "Nothing can be imported. dataset1.csv",
    ]


def test_rows_of_the_single_button_get_the_default_flag(folder_log: Log, tmp_path: Path) -> None:
    folder = flag_folder(tmp_path, ["Handwritten Text", "output", "timestamp"], [IMAGE, "a", NOON])
    imported(folder_log, folder)
    report, _ = imported(folder_log, folder, default_flag="incorrect")
    assert (report.predictions_added, report.feedback_added) == (0, 1)
    assert said(folder_log) == {("incorrect", None)}


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ({"background": "a/b.png", "layers": ["a/l.png"], "composite": "a/c.png"}, "a/c.png"),
        ({"background": "a/b.png", "layers": [], "composite": None}, "a/b.png"),
        ([{"image": "a/1.png", "caption": None}, {"image": "a/2.png"}], "a/1.png"),
        (["a/1.pdf", "a/2.png"], "a/1.pdf"),
        ({"path": "a/p.png"}, "a/p.png"),
        ({"x": 1}, None),
    ],
)
def test_cells_of_drawings_and_galleries_name_their_image(cell: Any, name: str | None) -> None:
    assert image_name(json.dumps(cell)) == name


def test_folders_and_zones_that_are_none(folder_log: Log, tmp_path: Path) -> None:
    with pytest.raises(MisreadError, match="cannot be read"):
        imported(folder_log, tmp_path / "nowhere")
    with pytest.raises(MisreadError, match=r"holds no \.csv file: name the folder"):
        imported(folder_log, tmp_path)
    for name in ("Nowhere/City", "../etc/passwd", ""):
        with pytest.raises(MisreadError, match="is not a time zone"):
            zone(name)


def test_a_store_that_is_down_ends_an_import_and_the_next_one_goes_on(
    folder_log: Log, tmp_path: Path
) -> None:
    rows = [[IMAGE, str(number), "other", NOON] for number in range(40)]
    folder = flag_folder(tmp_path, HEADER, *rows)

    class Failing(Log):
        """Stands for a store that goes down after some objects, which no server does on cue."""

        left = 33

        def put(self, key: str, body: bytes) -> bool:
            self.left -= 1
            if self.left < 0:
                raise LogError("The store is down.")
            return super().put(key, body)

    with pytest.raises(LogError, match="down"):
        import_folder(Failing.open(folder_log.uri), folder, Options(timezone=UTC))
    report, found = imported(folder_log, folder)
    assert 0 < report.predictions_added < 40
    assert len(found) == len(contents(folder_log).feedback) == 40


def test_the_command_imports_reports_and_can_be_run_again(
    folder_log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = flag_folder(tmp_path, HEADER, [IMAGE, "a", "other", NOON], [IMAGE, "b", "x", "now"])
    command = ["import-gradio", str(folder), "--timezone", "Europe/Berlin", "--log", folder_log.uri,
               "--version", "3"]  # fmt: skip
    assert main(command) == 1
    told = capsys.readouterr()
    assert told.out == (
        "2 rows read, 1 refused. New in the log: 1 prediction, 1 feedback, 1 image, "
        "0 columns of scores.\n"
    )
    assert told.err == (
        "dataset1.csv, line 3: the last cell: 'now' is not a time: write it as "
        "2026-09-05T21:25:43Z\n"
    )
    assert records(folder_log)[0].timestamp == datetime(2026, 7, 6, 10, 0, 0, 1, tzinfo=UTC)
    assert main(command) == 1
    assert "New in the log: 0 predictions, 0 feedback, 0 images" in capsys.readouterr().out
    assert main([*command, "--timezone", "Nowhere"]) == 2
    assert capsys.readouterr().err.startswith("Nowhere is not a time zone")


def test_what_was_imported_is_read_and_scored(
    folder_log: Log, tmp_path: Path, open_warehouse: OpenWarehouse
) -> None:
    folder = flag_folder(tmp_path, HEADER, [IMAGE, "'=a a a", "other", NOON])
    imported(folder_log, folder)
    warehouse = open_warehouse(folder_log)
    report = sync(folder_log, warehouse)
    assert (report.predictions, report.feedback, report.quarantined) == (1, 1, 0)
    assert (report.scored_texts, report.scored_images) == (1, 1)
