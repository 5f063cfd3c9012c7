"""A data frame as Gantry exported it becomes records, feedback and scores."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_access.cli import main
from data_access.errors import MisreadError
from data_access.importers import ImportReport
from data_access.importers.gantry import import_file
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections.values import TEXTS, values_schema
from data_access.records import Feedback, Prediction
from data_access.records.decoding import read_object
from tests.conftest import OpenWarehouse

ENTROPY = "entropy(outputs.output_text)"
OBSCENE = "detoxify.obscene(outputs.output_text)"
FORMATS = [".csv", ".jsonl", ".json", ".parquet"]
DAYS = ["2022-10-01T12:00:00.123", "2022-10-02", "2022-10-02", "2022-10-03"]
TIMES = pd.to_datetime(DAYS, utc=True, format="ISO8601")


def lab_frame(**more: Any) -> pd.DataFrame:
    """The columns of the lab's frame; the second and third row are equal but for their feedback."""
    columns = {
        "timestamp": TIMES,
        "inputs.image": ["s3://bucket/a.png", "s3://bucket/b.png", "s3://bucket/b.png", None],
        "outputs.output_text": ["A line", "na", "na", ""],
        "feedback.flag": ["incorrect", None, "offensive", None],
        "feedback.ground_truth_string": ["A lime", None, None, None],
        "tags.env": ["prod", "prod", "prod", "test"],
        "tags.client": ["ios", None, None, "web"],
        "score": [1.5, None, None, 2.5],
        ENTROPY: [1.0, 0.0, 0.0, None],
        OBSCENE: [0.25, 0.5, 0.5, 0.125],
    }
    return pd.DataFrame(columns | more)


def save(frame: pd.DataFrame, file: Path) -> Path:
    if file.suffix == ".csv":
        frame.to_csv(file)
    elif file.suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_json(file, orient="records", lines=file.suffix == ".jsonl")
    return file


def events(log: Log) -> tuple[dict[str, Prediction], list[Feedback]]:
    held = {key: read_object(key, log.get(key)) for key in keys(log) if key.endswith(".json")}
    assert not any(read.quarantined for read in held.values())
    predictions = [row for read in held.values() for _, row in read.predictions]
    by_key = {row.record_key: row for row in predictions}
    assert len(by_key) == len(predictions)
    return by_key, [row for read in held.values() for _, row in read.feedback]


def keys(log: Log) -> list[str]:
    return sorted(held.key for folder in ("predictions/", "feedback/", "projections/")
                  for held in log.list(folder))  # fmt: skip


def scores(log: Log, projection: str) -> dict[str, float]:
    (key,) = [entry.key for entry in log.list("projections/records@gantry/")]
    table = pq.read_table(io.BytesIO(log.get(key)))
    names = [column.name for column in table.schema if column.type == pa.float64()]
    assert table.schema == values_schema(TEXTS, names)
    pairs = zip(table["record_key"].to_pylist(), table[projection].to_pylist(), strict=True)
    return {record_key: value for record_key, value in pairs if value is not None}


@pytest.mark.parametrize("ending", FORMATS)
def test_the_labs_frame_becomes_records(log: Log, tmp_path: Path, ending: str) -> None:
    report = import_file(log, save(lab_frame(), tmp_path / f"export{ending}"))
    assert (report.rows, report.records, report.refused, report.refused_cells) == (4, 4, [], [])
    assert (report.predictions_added, report.feedback_added, report.scores_added) == (4, 2, 2)
    records, feedback = events(log)
    told = sorted((row.timestamp, row.environment, row.image or "", row.output_text,
                   json.dumps(row.tags)) for row in records.values())  # fmt: skip
    b = (datetime(2022, 10, 2, tzinfo=UTC), "prod", "s3://bucket/b.png", "na", "{}")
    number = str if ending == ".csv" else float
    assert told == [
        (datetime(2022, 10, 1, 12, 0, 0, 123000, UTC), "prod", "s3://bucket/a.png", "A line",
         json.dumps({"client": "ios", "score": number(1.5)})),
        b,
        b,
        (datetime(2022, 10, 3, tzinfo=UTC), "test", "", "",
         json.dumps({"client": "web", "score": number(2.5)})),
    ]  # fmt: skip
    assert {(row.flag, row.ground_truth_string) for row in feedback} == {
        ("incorrect", "A lime"),
        ("offensive", None),
    }
    by_text = {records[key].output_text: value for key, value in scores(log, ENTROPY).items()}
    assert by_text == {"A line": 1.0, "na": 0.0}
    assert len(scores(log, ENTROPY)) == 3
    assert sorted(scores(log, OBSCENE).values()) == [0.125, 0.25, 0.5, 0.5]


def test_importing_twice_adds_nothing_in_whatever_format(log: Log, tmp_path: Path) -> None:
    import_file(log, save(lab_frame(), tmp_path / "export.parquet"))
    records, feedback = events(log)
    added = [import_file(log, save(lab_frame(), tmp_path / f"again{ending}")) for ending in FORMATS]
    assert [report.added for report in added] == [0] * len(FORMATS)
    assert events(log) == (records, feedback)


def test_feedback_that_came_later_is_added_to_the_same_record(
    folder_log: Log, tmp_path: Path
) -> None:
    import_file(folder_log, save(lab_frame(), tmp_path / "first.csv"))
    later = lab_frame(**{"feedback.flag": ["incorrect", None, "offensive", "other"]})
    report = import_file(folder_log, save(later, tmp_path / "later.csv"))
    assert (report.predictions_added, report.feedback_added) == (0, 1)


def test_rows_without_a_time_get_the_files_and_are_still_added_once(
    folder_log: Log, tmp_path: Path
) -> None:
    file = save(lab_frame().drop(columns="timestamp"), tmp_path / "export.csv")
    import_file(folder_log, file)
    before = keys(folder_log)
    records, _ = events(folder_log)
    expected = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    assert {row.timestamp for row in records.values()} == {expected}
    copy = tmp_path / "copy.csv"
    copy.write_bytes(file.read_bytes())
    assert import_file(folder_log, copy, time=datetime(2022, 1, 1, tzinfo=UTC)).added == 0
    assert keys(folder_log) == before


def test_names_of_ones_own_and_nested_lines(folder_log: Log, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    event = {
        "record_key": "mine", "timestamp": 1664625600000, "environment": "test",
        "application": "reader", "version": 3, "inputs": {"image": "images/a.png", "pages": 2},
        "outputs": {"output_text": "x", "confidence": 0.5}, "feedback": {"user": "eve"},
        "tags": {"env": "prod", "note": {"a": [1]}}, "feedback.mood": "sad",
    }  # fmt: skip
    file.write_text(json.dumps(event) + "\n\n" + json.dumps(event | {"record_key": "other"}))
    report = import_file(folder_log, file)
    assert report.refused == []
    records, feedback = events(folder_log)
    assert feedback == []
    assert records["mine"] == Prediction(
        record_key="mine", timestamp=datetime(2022, 10, 1, 12, tzinfo=UTC), environment="test",
        application="reader", version="3", image="images/a.png", output_text="x", confidence=0.5,
        tags={"inputs.pages": 2, "env": "prod", "note": {"a": [1]}, "feedback.mood": "sad",
              "feedback.user": "eve"},
    )  # fmt: skip


def refused(report: ImportReport) -> list[str]:
    assert report.rows == report.records + len(report.refused)
    return [str(row) for row in report.refused + report.refused_cells]


def test_rows_that_cannot_be_read_are_told(folder_log: Log, tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    file.write_bytes(
        b"timestamp,outputs.output_text,tags.env,feedback.flag,entropy(outputs.output_text)\n"
        b"2022-10-01,good,prod,,1\n"
        b"soon,bad time,prod,,1\n"
        b"2022-10-01,no environment,,,1\n"
        b"2022-10-01,too,many,cells,here,1\n"
        b"2022-10-01,short\n"
        b"1905-10-01,too early,prod,,1\n"
        b"2022-10-01,\xff,prod,,1\n"
        b'2022-10-01,"two\nlines",prod,,1e400\n'
        b"2022-10-01,no number,prod,,low\n"
        b"2022-10-01,long flag,prod," + b"x" * 201 + b",1\n"
    )
    report = import_file(folder_log, file)
    assert refused(report) == [
        "export.csv, line 3: timestamp: 'soon' is not a time: write it as 2026-09-05T21:25:43Z",
        "export.csv, line 4: no environment in tags.env; name one with --environment",
        "export.csv, line 5: 6 cells where the header has 5",
        "export.csv, line 6: 2 cells where the header has 5",
        "export.csv, line 7: timestamp: the year 1905 is not between 1970 and 2199",
        "export.csv, line 8: a cell is not UTF-8: name the file's encoding with --encoding, such "
        "as cp1252",
        "export.csv, line 12: flag: String should have at most 200 characters",
        "export.csv, line 11: entropy(outputs.output_text) is not a number: low",
    ]
    records, _ = events(folder_log)
    assert {row.output_text for row in records.values()} == {"good", "two\nlines", "no number"}
    assert list(scores(folder_log, ENTROPY).values()) == [1.0]
    again = import_file(folder_log, file, environment="dev")
    assert (again.predictions_added, len(again.refused)) == (1, 6)


def test_hostile_lines_are_told(folder_log: Log, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    deep = '{"tags": ' + "[" * 100_000 + "]" * 100_000 + "}"
    good = '{"tags.env": "prod", "outputs.output_text": "%s", "x": %s}'
    lines = ["nonsense", "[]", "3", deep, good % ("a", "NaN"), good % ("b", "1e400")]
    lines += [good % ("\\ud800", 1), good % ("c", '"\\ud800"'), good % ("<b>\\u0000", 1)]
    file.write_text("\n".join(lines))
    report = import_file(folder_log, file)
    assert [row.line for row in report.refused] == [1, 2, 3, 4, 7, 8]
    records, _ = events(folder_log)
    assert {row.output_text for row in records.values()} == {"a", "b", "<b>\0"}
    assert refused(report)


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        (
            "export.xlsx",
            b"",
            "export.xlsx must end in .csv, .tsv, .jsonl, .ndjson, .json or",
        ),
        ("export.parquet", b"PAR1 not", "export.parquet cannot be read: "),
        ("export.csv", b"", "export.csv has no header with a known column"),
        ("export.csv", b"a,b\n1,2\n", "export.csv has no header with a known column"),
        ("export.csv", b"tags.a,tags.a\n1,2\n", "export.csv names a column twice"),
        ("export.jsonl", b'{"a": 1}\n{"b": 2}\n', "export.jsonl has no known column, such as"),
        ("export.json", b'{"a": {"0": 1}}', "export.json has no known column, such as"),
        ("export.json", b"[[1, 2], [3, 4]]", "export.json names no columns."),
        ("export.jsonl", b'{"inputs.image": {"0": "x"}}\n{"tags.a": 1}', "holds an object, not"),
        ("export.jsonl", b'{"tags.a": 1}\n{"record_key": [1]}', "line 2: record_key holds a list"),
        ("export.json", b"[{}, ", "export.json is not JSON: "),
        ("nowhere.csv", None, "nowhere.csv cannot be read: "),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_a_sentence(
    folder_log: Log, tmp_path: Path, name: str, body: bytes | None, said: str
) -> None:
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with pytest.raises(MisreadError) as told:
        import_file(folder_log, tmp_path / name)
    assert said in str(told.value)
    assert "\n" not in str(told.value)
    assert not keys(folder_log)


LETTER_FRAME = pd.DataFrame(
    {
        "timestamp": [1788643543, 1788643600],
        "inputs.image": ["s3://bucket/1.png", "s3://bucket/2.png"],
        "outputs.output_text": ["Liebe Mutter, größe", "Mum"],
        "feedback.flag": ["incorrect", None],
        "tags.env": ["prod", "prod"],
    }
)


@pytest.mark.parametrize("orient", ["columns", "index", "split", "records", "table"])
@pytest.mark.parametrize("indent", [None, 2])
def test_every_orient_of_pandas_is_understood(
    folder_log: Log, tmp_path: Path, orient: Any, indent: int | None
) -> None:
    file = tmp_path / "export.json"
    LETTER_FRAME.to_json(file, orient=orient, indent=indent)
    assert_letters(folder_log, import_file(folder_log, file))


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("upper", [False, True])
def test_delimiters_encodings_and_upper_case_are_understood(
    folder_log: Log, tmp_path: Path, separator: str, encoding: str, upper: bool
) -> None:
    file = tmp_path / "export.tsv"
    frame = LETTER_FRAME.rename(columns=str.upper) if upper else LETTER_FRAME
    names = list(reversed(frame.columns))  # the first one is known
    frame[names].to_csv(file, sep=separator, encoding=encoding, index=False)
    assert_letters(folder_log, import_file(folder_log, file))


def test_a_code_page_is_named(folder_log: Log, tmp_path: Path) -> None:
    file = tmp_path / "export.csv"
    LETTER_FRAME.to_csv(file, sep=";", encoding="cp1252", index=False)
    assert len(import_file(folder_log, file).refused) == 1
    assert main(["import-gantry", str(file), "--log", folder_log.uri, "--encoding", "latin1",
                 "--delimiter", ";"]) == 0  # fmt: skip
    records, _ = events(folder_log)
    assert {row.output_text for row in records.values()} == {"Liebe Mutter, größe", "Mum"}


def assert_letters(log: Log, report: ImportReport) -> None:
    assert (report.rows, report.refused) == (2, [])
    records, feedback = events(log)
    assert sorted((row.timestamp, row.image, row.output_text, row.environment, row.tags)
                  for row in records.values()) == [
        (datetime(2026, 9, 5, 21, 25, 43, tzinfo=UTC), "s3://bucket/1.png", "Liebe Mutter, größe",
         "prod", {}),
        (datetime(2026, 9, 5, 21, 26, 40, tzinfo=UTC), "s3://bucket/2.png", "Mum", "prod", {}),
    ]  # fmt: skip
    assert [row.flag for row in feedback] == ["incorrect"]


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_numbers_since_1970_are_read_as_a_sync_reads_them(
    folder_log: Log, tmp_path: Path, unit: int
) -> None:
    for ending in (".csv", ".jsonl"):
        frame = LETTER_FRAME.assign(timestamp=LETTER_FRAME["timestamp"] * unit)
        assert not import_file(folder_log, save(frame, tmp_path / f"export{ending}")).refused
    records, _ = events(folder_log)
    assert sorted(row.timestamp for row in records.values()) == [
        datetime(2026, 9, 5, 21, 25, 43, tzinfo=UTC), datetime(2026, 9, 5, 21, 26, 40, tzinfo=UTC)
    ]  # fmt: skip


def test_names_keep_their_case_where_only_some_are_in_upper_case(
    folder_log: Log, tmp_path: Path
) -> None:
    file = tmp_path / "export.csv"
    file.write_text("Outputs.Output_Text,Tags.Env,TAGS.Client\nDear Mum,prod,iOS\n")
    import_file(folder_log, file)
    [row] = events(folder_log)[0].values()
    assert (row.output_text, row.environment, row.tags) == ("Dear Mum", "prod", {"Client": "iOS"})


def test_the_command_imports_and_what_was_imported_is_read(
    folder_log: Log,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    open_warehouse: OpenWarehouse,
) -> None:
    file = save(lab_frame().drop(columns="timestamp"), tmp_path / "export.parquet")
    command = ["import-gantry", str(file), "--log", folder_log.uri, "--time", "2022-10-01"]
    assert main(command) == 0
    assert capsys.readouterr().out == (
        "4 rows read, 0 refused. New in the log: 4 predictions, 2 feedback, 0 images, "
        "2 columns of scores.\n"
    )
    report = sync(folder_log, open_warehouse(folder_log))
    assert (report.predictions, report.feedback, report.quarantined) == (4, 2, 0)
    assert main(["import-gantry", str(tmp_path), "--log", folder_log.uri]) == 2
    assert main([*command, "--time", "soon"]) == 2
