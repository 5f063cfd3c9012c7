"""Replays: images altered and read again once, by any recognizer, counted against controls."""

import csv
import io
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.stats import binomtest

from data_access.api import OpenLog
from data_access.errors import LogError, ModelError, SettingsError
from data_access.log import Log
from data_access.selection import Selection, parse_selection
from data_access.statistics import rates, significance
from pages.parts import replays as replay_parts
from pages.parts import store
from readings.answers import MAX_SILENT_ANSWERS, Answer, NoAnswerError, Reading, Recognizer
from readings.cache import Readings, folder, put_readings
from readings.endpoint import Endpoint
from readings.function import Function
from readings.sources import WEIGHTS, own_models, source
from replay.__main__ import main
from replay.background import ReplayJob, ReplayRequest
from replay.engine import MAX_IMAGES, Problem, Question, ReadingTask, Report, answer, plan, run
from replay.interventions import INTERVENTIONS, NOTHING, deskew, intervention
from replay.judgement import RANDOM, Limits, Outcome, best, outcomes, trials
from tests.faulty_proxy import QuietServer
from tests.killing import Running
from tests.polarity_reader import LOOP, READ
from tests.samples import (
    ROOT,
    SAMPLE,
    feedback,
    open_log,
    picture,
    png,
    prediction,
    remove_object,
    replace_object,
    write,
    write_picture,
)
from tests.test_pages import Dashboard, dashboard, displayed, stands, text

__all__ = ["dashboard", "displayed"]

POLARITY = "tests.polarity_reader:read"
PROD = Selection(environment=("prod",))
TEST = Selection(environment=("test",))
KEYS = [row.key for row in INTERVENTIONS]


@pytest.fixture
def calls_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that lists the calls of the recognizer of the tests."""
    file = tmp_path / "told"
    file.touch()
    monkeypatch.setenv("TOLD_OF", str(file))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return file


def calls(calls_file: Path) -> list[str]:
    return calls_file.read_text().splitlines()


@pytest.fixture
def opened(folder_log: Log, tmp_path: Path) -> Iterator[OpenLog]:
    """Six records of production with dark ink on light, two with light ink on dark; a baseline."""
    for number in range(8):
        shades = (230 - number, 20) if number < 6 else (20 + number, 230)
        image = write_picture(folder_log, picture(*shades))
        output = (LOOP, 0.2) if number < 6 else (READ, 0.95)
        event = prediction(
            f"p{number}", output[0], inputs__image=image, outputs__confidence=output[1]
        )
        write(folder_log, f"predictions/p{number}.json", event)
    for number in range(40):
        event = prediction(
            f"t{number}",
            " ".join(READ.split()[: 9 + number % 4]),
            environment="test",
            outputs__confidence=0.9 + number / 1000,
        )
        write(folder_log, f"predictions/t{number}.json", event)
    write(folder_log, "feedback/1.json", feedback("p0", ground_truth_string=READ))
    log = open_log(folder_log.uri, tmp_path / "replay.duckdb")
    log.sync()
    yield log
    log.close()


def replayed(
    log: OpenLog, question: Question, baseline: Selection = TEST
) -> tuple[Report, pd.DataFrame]:
    readings = Readings(log.log)
    planned = plan(log, question, readings)
    readings.refresh(planned.recognizers.values())
    report = run(log.log, plan(log, question, readings).tasks)
    readings.refresh(planned.recognizers.values())
    assert not plan(log, question, readings).tasks or report.problems
    return report, answer(log, question, baseline, planned, readings)


def by_name(judged: Sequence[Outcome]) -> dict[str, Outcome]:
    return {outcome.intervention: outcome for outcome in judged}


# --- interventions --------------------------------------------------------------------------


@given(
    st.sampled_from(["L", "RGB", "RGBA", "LA", "P", "1", "I;16", "CMYK", "F"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.binary(min_size=1, max_size=64),
    st.sampled_from(INTERVENTIONS),
)
def test_every_image_can_be_altered(
    mode: str, width: int, height: int, noise: bytes, row: Any
) -> None:
    grey = Image.new("L", (width, height))
    grey.putdata([noise[place % len(noise)] for place in range(width * height)])
    image = grey.convert("I").convert(mode) if mode == "I;16" else grey.convert(mode)
    altered = row.apply(image)
    assert altered.mode in ("L", "RGB") or row.control
    assert min(altered.size) >= 1


def test_the_table_of_interventions_is_sound() -> None:
    assert len({row.name for row in INTERVENTIONS} | {RANDOM}) == len(INTERVENTIONS) + 1
    assert [row for row in INTERVENTIONS if row.control] == [NOTHING]


def test_what_the_interventions_do() -> None:
    image = Image.new("L", (200, 100), 200)
    ImageDraw.Draw(image).rectangle((60, 40, 120, 50), fill=90)
    assert intervention("invert").apply(image).getpixel((0, 0)) == 55
    assert intervention("autocontrast").apply(image).getextrema() == (0, 255)
    assert set(np.unique(np.asarray(intervention("threshold").apply(image)))) == {0, 255}
    assert intervention("crop").apply(image).size == (61 + 8, 11 + 8)
    assert intervention("half").apply(image).size == (100, 50)
    assert intervention("double").apply(image).size == (400, 200)
    assert NOTHING.apply(image) is image
    assert np.asarray(intervention("blur").apply(image)).std() < np.asarray(image).std()
    assert np.asarray(intervention("sharpen").apply(image)).std() > np.asarray(image).std()


@pytest.mark.parametrize("angle", [-5.0, 0.0, 4.0])
@pytest.mark.parametrize("dark", [True, False])
def test_levelling_turns_writing_back(angle: float, dark: bool) -> None:
    level = Image.new("L", (300, 200), 255)
    for row in range(60, 150, 20):
        ImageDraw.Draw(level).rectangle((60, row, 240, row + 6), fill=0)
    turned = level.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)
    back = deskew(turned if dark else Image.eval(turned, lambda grey: 255 - grey))
    rows = np.asarray(back, float).mean(axis=1)
    straight = np.asarray(level, float).mean(axis=1)
    assert rows.max() - rows.min() > 0.9 * (straight.max() - straight.min()) * 300 / back.width


# --- the project's own model ----------------------------------------------------------------


DARK = 3  # images; v1 takes seconds for each that it cannot read


@pytest.fixture(scope="module")
def dark_cases(sample_log: OpenLog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenLog]:
    """Records of the sample log that v1 read from dark ink, and its test set, in another log."""
    with (ROOT / "sample" / "truth.csv").open() as file:
        modes = {row["record_key"]: row["mode"] for row in csv.DictReader(file)}
    frame = sample_log.records("environment=prod&version=v1&outputs.confidence=..0.6")
    dark = frame[frame["record_key"].map(modes) == "dark_on_light"].head(DARK)
    log = Log.open(str(tmp_path_factory.mktemp("dark")))
    rows = [dark, sample_log.records("environment=test")]
    for row in pd.concat(rows).to_dict("records"):
        event = prediction(
            row["record_key"],
            row["outputs.output_text"],
            environment=row["environment"],
            version=row["version"],
            inputs__image=row["inputs.image"],
            outputs__confidence=row["outputs.confidence"],
        )
        write(log, f"predictions/{row['record_key']}.json", event)
    for name in dark["inputs.image"]:
        log.put(name, sample_log.log.image(name))
    opened = open_log(log.uri, tmp_path_factory.mktemp("dark-warehouse") / "w.duckdb")
    opened.sync()
    yield opened
    opened.close()


def test_inverting_fixes_what_v1_reads_from_dark_ink(dark_cases: OpenLog) -> None:
    report, results = replayed(dark_cases, Question(PROD))
    assert report.readings == DARK * len(INTERVENTIONS) and not report.problems
    assert set(results["recognizer"]) == {own_models()["v1"].key}
    by_intervention = by_name(outcomes(results))
    assert outcomes(results)[0].intervention == "invert"
    assert by_intervention["invert"].fixed >= DARK - 1
    assert by_intervention["invert"].outside == DARK
    assert by_intervention["nothing"].fixed == 0
    assert by_intervention["nothing"].changed == 0, (
        "the log holds what the recognizer says of its images"
    )
    assert by_intervention[RANDOM].fixed <= 1


def test_another_version_can_be_chosen(dark_cases: OpenLog) -> None:
    _, results = replayed(dark_cases, Question(PROD, reader="v2", images=1))
    assert set(results["recognizer"]) == {own_models()["v2"].key}
    assert by_name(outcomes(results))["nothing"].fixed == 1, "v2 needs no help with it"


def test_versions_that_are_nobodys_are_counted(opened: OpenLog) -> None:
    planned = plan(opened, Question(PROD), Readings(opened.log))
    assert planned.unknown == {"none": 8} and not planned.tasks


# --- readings in the log --------------------------------------------------------------------


def test_readings_come_back_as_they_went(folder_log: Log) -> None:
    known = {
        ("a" * 64, "invert@1"): Reading("=1+1\n\0 ünï\t", 0.5),
        ("a" * 64, "nothing@1"): Reading("", None),
    }
    assert put_readings(folder_log, "v1-abc", known)
    assert not put_readings(folder_log, "v1-abc", dict(reversed(known.items()))), "it is there"
    readings = Readings(folder_log)
    readings.refresh(["v1-abc", "v2-abc"])
    assert readings.of("v1-abc") == known and readings.of("v2-abc") == {}


def test_objects_that_are_no_readings_harm_nobody(folder_log: Log) -> None:
    known = {("a" * 64, "invert@1"): Reading("text", 0.5)}
    put_readings(folder_log, "v1", known)
    folder_log.put(f"{folder('v1')}broken.parquet", b"PAR1 and no more")
    folder_log.put(f"{folder('v1')}other.parquet", b'{"image": 1}')
    readings = Readings(folder_log)
    readings.refresh(["v1"])
    readings.refresh(["v1"])
    assert readings.of("v1") == known and len(readings.problems) == 2


def test_nothing_is_read_twice(opened: OpenLog, calls_file: Path, tmp_path: Path) -> None:
    report, results = replayed(opened, Question(PROD, POLARITY, images=3))
    assert report.readings == 3 * len(INTERVENTIONS) == len(calls(calls_file))
    assert len(results) == report.readings

    report, _ = replayed(opened, Question(PROD, POLARITY))
    assert report.readings == 5 * len(INTERVENTIONS), "only what was missing"

    other = open_log(opened.log.uri, tmp_path / "other.duckdb")  # another user's dashboard
    other.sync()
    report, again = replayed(other, Question(PROD, POLARITY))
    other.close()
    assert report == Report() and len(again) == 8 * len(INTERVENTIONS)
    assert len(calls(calls_file)) == len(again)


def test_records_of_one_image_share_its_readings(opened: OpenLog, calls_file: Path) -> None:
    image = str(opened.records("environment=prod")["inputs.image"][0])
    write(
        opened.log,
        "predictions/more.json",
        *(prediction(f"again{n}", LOOP, inputs__image=image) for n in range(3)),
    )
    opened.sync()
    report, results = replayed(opened, Question(PROD, POLARITY))
    assert report.readings == 8 * len(INTERVENTIONS)
    assert results["record_key"].nunique() == 11


def test_a_new_version_of_an_intervention_is_read_anew(opened: OpenLog, calls_file: Path) -> None:
    replayed(opened, Question(PROD, POLARITY))
    newer = [type(row)(**{**row.__dict__, "version": "2"}) for row in INTERVENTIONS[:1]]
    readings = Readings(opened.log)
    readings.refresh([source(POLARITY).key])
    planned = plan(opened, Question(PROD, POLARITY), readings, newer)
    assert planned.waiting == 8


def test_a_question_is_never_about_more_images_than_the_cap(opened: OpenLog) -> None:
    question = Question(PROD, POLARITY, images=10 * MAX_IMAGES)
    assert question.images == MAX_IMAGES
    assert question == Question(PROD, POLARITY, images=MAX_IMAGES), "one plan and one answer"
    assert Question(PROD, POLARITY, images=0).images == 1


def test_one_case(opened: OpenLog, calls_file: Path) -> None:
    report, results = replayed(opened, Question(TEST, POLARITY, record_key="p0"))
    assert report.readings == len(INTERVENTIONS)
    assert set(results["record_key"]) == {"p0"}
    row = results.set_index("intervention").loc["invert"]
    assert row["fixed"] and row["error_before"] > 0.5 and row["error_after"] == 0.0


def _replay(uri: str, tasks: list[ReadingTask], tell: Callable[[object], None]) -> None:
    run(Log.open(uri), tasks, lambda stage, done, total: tell(done))


def test_a_killed_replay_goes_on_where_it_was(opened: OpenLog, calls_file: Path) -> None:
    more = [write_picture(opened.log, picture(229 - n, 90)) for n in range(24)]
    events = [prediction(f"m{n}", LOOP, inputs__image=image) for n, image in enumerate(more)]
    write(opened.log, "predictions/m.jsonl", *events)
    opened.sync()
    question = Question(PROD, POLARITY)
    key = source(POLARITY).key
    tasks = list(plan(opened, question, Readings(opened.log)).tasks)
    environ = {"SLOW": "0.01", "TOLD_OF": str(calls_file), "PYTHONPATH": str(ROOT)}
    running = Running(environ, _replay, opened.log.uri, tasks)
    while running.wait() <= 80:
        pass
    running._process.kill()
    assert running.end().code == -9
    readings = Readings(opened.log)
    readings.refresh([key])
    kept = len(readings.of(key))
    assert 80 <= kept < 32 * len(INTERVENTIONS)
    before = len(calls(calls_file))
    report, results = replayed(opened, question)
    assert report.readings == 32 * len(INTERVENTIONS) - kept == len(calls(calls_file)) - before
    assert len(results) == 32 * len(INTERVENTIONS)


def test_two_at_once_do_no_harm(opened: OpenLog, calls_file: Path) -> None:
    tasks = plan(opened, Question(PROD, POLARITY), Readings(opened.log)).tasks
    threads = [
        threading.Thread(target=run, args=(Log.open(opened.log.uri), tasks)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report, results = replayed(opened, Question(PROD, POLARITY))
    assert report == Report() and len(results) == 8 * len(INTERVENTIONS)
    assert by_name(outcomes(results))["invert"].fixed == 6


def test_what_was_read_before_ctrl_c_is_kept(opened: OpenLog) -> None:
    tasks = plan(opened, Question(PROD, POLARITY), Readings(opened.log)).tasks

    def stop(stage: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(opened.log, tasks, stop)
    readings = Readings(opened.log)
    readings.refresh([source(POLARITY).key])
    assert readings.of(source(POLARITY).key)


def test_a_log_that_takes_nothing_says_so(opened: OpenLog) -> None:
    Path(opened.log.uri, "replays").write_text("in the way of the folder")
    tasks = plan(opened, Question(PROD, POLARITY), Readings(opened.log)).tasks
    with pytest.raises(LogError):
        run(opened.log, tasks)


def test_images_that_cannot_be_had_are_counted(opened: OpenLog) -> None:
    tasks = plan(opened, Question(PROD, POLARITY), Readings(opened.log)).tasks
    remove_object(opened.log, tasks[0].image)
    replace_object(opened.log, tasks[1].image, picture(1, 2))
    report = run(opened.log, tasks)
    assert report.readings == 6 * len(INTERVENTIONS)
    assert [problem.image for problem in report.problems] == [tasks[0].image, tasks[1].image]
    assert "missing from the log" in report.problems[0].sentence
    assert "changed since the last sync" in report.problems[1].sentence


def test_a_bomb_is_left_alone(opened: OpenLog) -> None:
    bomb = png(Image.new("1", (9_000, 9_000)))
    image = write_picture(opened.log, bomb)
    write(opened.log, "predictions/bomb.json", prediction("bomb", LOOP, inputs__image=image))
    opened.sync()
    assert image not in {
        task.image for task in plan(opened, Question(PROD, POLARITY), Readings(opened.log)).tasks
    }
    task = ReadingTask(POLARITY, Path(image).stem, image, tuple(KEYS))
    report = run(opened.log, [task])
    assert not report.readings and "too large" in report.problems[0].sentence


# --- whom a replay asks ---------------------------------------------------------------------


def one_answer(recognizer: Recognizer, width: int = 24) -> Answer:
    return recognizer.read_many([Image.new("L", (width, 16), 255)])[0]


def test_a_function_of_ones_own() -> None:
    recognizer = source(POLARITY).load()
    assert one_answer(recognizer) == Reading(LOOP, 0.2)
    assert one_answer(source("tests.polarity_reader:fail").load()) == Reading(READ, None)
    odd = one_answer(source("tests.polarity_reader:fail").load(), 25)
    assert isinstance(odd, NoAnswerError) and "ValueError: an odd width" in str(odd)
    wrong = one_answer(source("tests.polarity_reader:wrong").load())
    assert isinstance(wrong, NoAnswerError) and "answered with dict" in str(wrong)


def test_a_function_that_hangs_is_given_up() -> None:
    recognizer = Function("tests.polarity_reader:hang", seconds=0.05)
    assert "no answer in 0.05 seconds" in str(one_answer(recognizer))
    with pytest.raises(ModelError, match="does not answer"):
        recognizer.read_many([Image.new("L", (9, 9))] * MAX_SILENT_ANSWERS)


@pytest.mark.parametrize(
    "setting",
    ["no.such.module:read", "tests.polarity_reader:none", "tests.polarity_reader:NO_FUNCTION"],
)
def test_a_function_that_is_not_there(setting: str) -> None:
    with pytest.raises(ModelError, match="MISREAD_RECOGNIZER"):
        source(setting).load()


@pytest.mark.parametrize(
    "setting",
    [
        "http://models.example.com/read",
        "https://user:secret@models.example.com/",
        "https://",
        "http://[::1",
        "ftp://models.example.com",
        "v7",
        "/no/such/weights.safetensors",
        "a b:c",
    ],
)
def test_settings_that_make_no_sense(setting: str) -> None:
    with pytest.raises(SettingsError, match="MISREAD_RECOGNIZER"):
        source(setting)


def test_sources_are_told_apart_by_what_they_are() -> None:
    settings = ["v1", "v2", "https://a/x", "https://a/x#2", "https://a/y", "m:f", "m:f#2"]
    assert len({source(setting).key for setting in settings}) == len(settings)
    weights = WEIGHTS / "v1.safetensors"
    assert source(str(weights)).key == source("v1").key
    assert source("plain+http://models.lan/read").label == "models.lan"


Say = Callable[[dict[str, Any]], tuple[int, bytes]]


@pytest.fixture
def endpoint() -> Iterator[tuple[str, dict[str, Say]]]:
    """A service on loopback that answers as `say` does, and its address."""
    replies: dict[str, Say] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = replies["say"](body)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with QuietServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/read", replies
        server.shutdown()


def test_an_endpoint_is_asked_as_the_lambda_function_is(
    endpoint: tuple[str, dict[str, Say]], opened: OpenLog
) -> None:
    address, replies = endpoint

    def say(body: dict[str, Any]) -> tuple[int, bytes]:
        from serving import _image_in
        from tests.polarity_reader import read

        text, sure = read(Image.open(io.BytesIO(_image_in(body))))
        return 200, json.dumps({"pred": text, "confidence": sure}).encode()

    replies["say"] = say
    report, results = replayed(opened, Question(PROD, address))
    assert report.readings == 8 * len(INTERVENTIONS) and not report.problems
    assert by_name(outcomes(results))["invert"].fixed == 6


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (200, b'{"pred": "text"}', None),
        (200, b'{"statusCode": 200, "body": "{\\"pred\\": \\"text\\"}"}', None),
        (200, b'{"pred": "text", "confidence": "high"}', None),
        (200, b'{"pred": "text", "confidence": 7}', None),
        (200, b'{"statusCode": 400, "message": "no image"}', "no `pred`: no image"),
        (200, b'{"pred": 3}', "answered with int"),
        (200, b'["pred"]', "no `pred`"),
        (200, b"<html>", "not answer with JSON"),
        (200, b"[" * 100_000, "not answer with JSON"),
        (200, json.dumps({"pred": "x" * 1_000_001}).encode(), "1,000,001 characters"),
        (500, b"out of memory", "answered 500"),
        (302, b"", "answered 302"),
    ],
)
def test_answers_of_an_endpoint(
    endpoint: tuple[str, dict[str, Say]], status: int, answer: bytes, told: str | None
) -> None:
    address, replies = endpoint
    replies["say"] = lambda body: (status, answer)
    got = one_answer(Endpoint(address))
    if told is None:
        assert got == Reading("text", None)
    else:
        assert isinstance(got, NoAnswerError) and told in str(got)


def test_an_endpoint_that_is_slow_or_gone(endpoint: tuple[str, dict[str, Say]]) -> None:
    address, replies = endpoint

    def say(body: dict[str, Any]) -> tuple[int, bytes]:
        time.sleep(0.5)
        return 200, b"{}"

    replies["say"] = say
    assert "no answer in 0.1 seconds" in str(one_answer(Endpoint(address, seconds=0.1)))
    gone = Endpoint("http://127.0.0.1:1/")
    assert "cannot be reached" in str(one_answer(gone))
    with pytest.raises(ModelError, match="does not answer"):
        gone.read_many([Image.new("L", (9, 9))] * MAX_SILENT_ANSWERS)


def test_wrong_answers_are_counted_and_the_rest_kept(
    endpoint: tuple[str, dict[str, Say]], opened: OpenLog
) -> None:
    address, replies = endpoint
    turns = iter(range(10_000))
    replies["say"] = lambda body: (
        (503, b"") if next(turns) % 4 == 0 else (200, b'{"pred": "the the"}')
    )
    report, results = replayed(opened, Question(PROD, address))
    total = 8 * len(INTERVENTIONS)
    assert report.counted() == {"the endpoint answered 503 Service Unavailable": total // 4}
    assert len(results) == report.readings == total - total // 4
    assert results["confidence_after"].isna().all()


# --- what a replay shows --------------------------------------------------------------------


def judged(*rows: tuple[str, str, bool, bool]) -> pd.DataFrame:
    """Trials from (record, intervention, inside before, inside after)."""
    return pd.DataFrame(
        [
            {
                "record_key": key, "sha256": key.partition("/")[0], "intervention": name,
                "inside_before": before, "inside_after": after,
                "changed": before != after, "fixed": not before and after,
                "broken": before and not after, "error_before": math.nan, "error_after": math.nan,
            }
            for key, name, before, after in rows
        ]
    )  # fmt: skip


def test_outcomes_are_counted_with_their_intervals() -> None:
    rows = [(f"r{n}", "invert", False, n < 8) for n in range(10)]
    rows += [(f"r{n}", "blur", False, n == 9) for n in range(10)]
    rows += [(f"r{n}", "nothing", False, n == 9) for n in range(10)]
    rows += [("inside", name, True, name == "invert") for name in ("invert", "blur", "nothing")]
    judged_outcomes = outcomes(judged(*rows))
    assert [outcome.intervention for outcome in judged_outcomes] == [
        "invert",
        "blur",
        "nothing",
        RANDOM,
    ]
    first = judged_outcomes[0]
    assert (first.fixed, first.outside, first.broken, first.inside) == (8, 10, 0, 1)
    assert (first.low, first.high) == rates.wilson(8, 10)
    # invert alone fixed 8, the unchanged image alone 1; blur is no different from it
    raw = [binomtest(8, 9, alternative="greater").pvalue, 1.0]
    assert first.p == pytest.approx(significance.benjamini_hochberg(np.array(raw))[0])
    assert first.better == (first.p < 0.05)
    assert not judged_outcomes[1].better and judged_outcomes[1].p == 1.0
    assert judged_outcomes[1].broken == 1 and math.isnan(first.error_before)


def test_reports_of_one_image_are_no_independent_cases() -> None:
    names = ("invert", "nothing")
    rows = [(f"one/{n}", name, False, name == "invert") for n in range(50) for name in names]
    rows += [(f"r{n}", name, False, False) for n in range(3) for name in names]
    first = outcomes(judged(*rows))[0]
    assert (first.fixed, first.outside) == (50, 53)
    assert (first.low, first.high) == rates.wilson(1, 4)
    assert not first.better and first.p == 0.5


def test_nothing_is_claimed_where_nothing_helps() -> None:
    rows = [
        (f"r{n}", name, False, n < 3)
        for n in range(40)
        for name in ("invert", "blur", "sharpen", "nothing")
    ]
    assert best(outcomes(judged(*rows))) is None
    assert outcomes(judged()) == [] if len(judged()) else True


def test_the_random_control_is_neither_the_best_nor_the_unchanged_image() -> None:
    names = ("invert", "blur", "sharpen", "deskew", "nothing")
    rows = [(f"r{n}", name, False, name == "invert") for n in range(200) for name in names]
    drawn = by_name(outcomes(judged(*rows)))[RANDOM]
    assert (drawn.fixed, drawn.read) == (0, 200)
    rows = [(key, name, False, name in ("invert", "blur")) for key, name, *_ in rows]
    drawn = by_name(outcomes(judged(*rows)))[RANDOM]
    assert 40 <= drawn.fixed <= 95, "a third of 200, by chance"
    assert drawn == by_name(outcomes(judged(*reversed(rows))))[RANDOM], "always the same"


def test_where_one_side_has_no_confidence_entropy_alone_decides() -> None:
    cases = pd.DataFrame(
        {
            "record_key": ["a", "b"], "sha256": ["a", "b"], "image": ["", ""],
            "version": [None, None], "before": [READ, None], "confidence": [0.1, 0.9],
            "entropy": [3.4, None], "truth": [None, None],
        }
    )  # fmt: skip
    readings = {"k": {(image, "invert@1"): Reading(READ, None) for image in "ab"}}
    frame = trials(cases, readings, {None: "k"}, Limits(2.0, 0.8)).set_index("record_key")
    assert list(frame["inside_before"]) == [True, False], "no output at all is outside"
    assert list(frame["fixed"]) == [False, True]
    assert list(frame["changed"]) == [False, True]


# --- in the background ----------------------------------------------------------------------


def request(log: OpenLog, question: Question) -> ReplayRequest:
    return ReplayRequest(question, plan(log, question, Readings(log.log)).tasks)


def wait(job: ReplayJob, until: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not until():
        assert time.monotonic() < deadline, (job.stage, job.problem)
        time.sleep(0.05)


def test_a_replay_in_the_background_is_cancelled_and_goes_on(
    opened: OpenLog, calls_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "0.02")
    more = [write_picture(opened.log, picture(229 - n, 90)) for n in range(8)]
    events = [prediction(f"m{n}", LOOP, inputs__image=image) for n, image in enumerate(more)]
    write(opened.log, "predictions/m.jsonl", *events)
    opened.sync()
    question, key = Question(PROD, POLARITY), source(POLARITY).key
    job = ReplayJob(opened.log)
    job.start(request(opened, question))
    wait(job, lambda: job.version)
    job.cancel()
    wait(job, lambda: not job.busy)
    assert job.outcome is not None and job.outcome.cancelled
    assert (job.problem, job.report) == (None, None)
    readings = Readings(opened.log)
    readings.refresh([key])
    kept = len(readings.of(key))
    tasks = plan(opened, question, readings).tasks
    assert sum(len(task.interventions) for task in tasks) == 16 * len(INTERVENTIONS) - kept
    assert 8 * len(INTERVENTIONS) <= kept < 16 * len(INTERVENTIONS)

    monkeypatch.setenv("SLOW", "0")
    job.start(ReplayRequest(question, tasks))
    job.start(ReplayRequest(question, tasks))  # one at a time
    wait(job, lambda: not job.busy)
    assert job.report is not None and job.problem is None
    assert job.report.readings == 16 * len(INTERVENTIONS) - kept
    readings.refresh([key])
    assert len(readings.of(key)) == 16 * len(INTERVENTIONS)


def test_what_goes_wrong_in_the_background_is_told(opened: OpenLog, calls_file: Path) -> None:
    job = ReplayJob(opened.log)
    unanswerable = request(opened, Question(PROD, "no.such:thing"))
    job.start(unanswerable)
    wait(job, lambda: not job.busy)
    assert "no.such:thing (MISREAD_RECOGNIZER) cannot be imported" in str(job.problem)
    remove_object(opened.log, unanswerable.tasks[0].image)
    job.start(request(opened, Question(PROD, POLARITY)))
    wait(job, lambda: not job.busy)
    assert "the image cannot be read" in str(job.problem) and job.report is not None
    assert [type(problem) for problem in job.report.problems] == [Problem]


def test_the_time_left_counts_each_recognizer_by_its_own_rate(opened: OpenLog) -> None:
    job = ReplayJob(opened.log)
    slow, fast = (ReadingTask(setting, "a", "a", tuple(KEYS)) for setting in ("v2", "v1"))
    assert job.seconds([slow, fast]) == pytest.approx(len(KEYS) / 5 + len(KEYS) / 9)
    assert job.left is None
    job.request = ReplayRequest(Question(PROD), (fast, slow))
    job._progress("Reading images again", 1, 2 * len(KEYS))
    assert job.left is None
    time.sleep(1.05)
    job._progress("Reading images again", 5, 2 * len(KEYS))
    assert job.rate is not None and 3 < job.rate < 4
    expected = (len(KEYS) - 5) / job.rate + len(KEYS) / 5
    assert job.left == pytest.approx(expected, rel=0.1)


# --- the command ----------------------------------------------------------------------------


def test_the_command(
    opened: OpenLog,
    calls_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MISREAD_LOG", opened.log.uri)
    monkeypatch.setenv("MISREAD_WAREHOUSE", str(tmp_path / "command.duckdb"))
    file = tmp_path / "out.csv"
    arguments = ["environment=prod", "--reader", POLARITY, "--csv", str(file)]
    assert main([*arguments, "--only", "invert"]) == 0
    output = capsys.readouterr().out
    assert "inverting" in output and "6 of 6" in output and "the unchanged image" in output
    assert len(calls(calls_file)) == 16
    monkeypatch.setenv("MISREAD_RECOGNIZER", POLARITY)
    assert main(["environment=prod", "--csv", str(file)]) == 0
    assert len(calls(calls_file)) == 8 * len(INTERVENTIONS)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8 * len(INTERVENTIONS)
    assert sum(row["fixed"] == "True" for row in rows if row["intervention"] == "invert") == 6

    assert main(["environment=prod", "--reader", "http://models.example.com"]) == 2
    assert "unencrypted" in capsys.readouterr().err
    assert main(["environment=nowhere"]) == 2
    assert main(["banana=1"]) == 2
    assert main(["environment=prod", "--reader", "record"]) == 1
    assert "no own model has that version" in capsys.readouterr().err


# --- the page -------------------------------------------------------------------------------


@pytest.fixture
def with_reader(monkeypatch: pytest.MonkeyPatch, calls_file: Path) -> None:
    monkeypatch.setenv("MISREAD_RECOGNIZER", POLARITY)


def test_the_page_before_anything_was_replayed(dashboard: Dashboard) -> None:
    app = dashboard("replay", SAMPLE, "environment=test")
    stands(app)
    shown = text(app)
    assert "None of these 180 cases has been replayed yet" in shown
    assert f"{100 * len(INTERVENTIONS):,} readings by v1, about 2 minutes" in shown
    assert "Light becomes dark" in shown
    assert any(button.label == "Replay 100 images" for button in app.button)


def test_the_page_replays_and_shows_what_came_of_it(
    dashboard: Dashboard, opened: OpenLog, with_reader: None
) -> None:
    opened.close()
    app = dashboard("replay", opened.log.uri, "environment=prod")
    stands(app)
    next(button for button in app.button if button.label == "Replay 8 images").click().run()
    job = replay_parts.replays(store.opened()).job
    wait(job, lambda: not job.busy)
    app.run()
    stands(app)
    shown = text(app)
    assert "**Inverting fixes 6 of 6** cases outside the range of test (61%–100%)" in shown
    assert "Too few cases to rule out chance" in shown
    assert "the unchanged image 0" in shown
    assert "Of the 1 with a known truth" in shown
    assert "1 to 6 of 8 cases" in shown
    app.segmented_control(key="widget.page.kind").set_value("unfixed").run()
    assert "No cases of this kind" in text(app)
    assert app.query_params["page.kind"] == "unfixed"
    stands(app)


def test_the_link_to_a_finding_shows_the_same_in_another_dashboard(
    dashboard: Dashboard, opened: OpenLog, with_reader: None
) -> None:
    replayed(opened, Question(PROD, POLARITY))
    opened.close()
    app = dashboard(
        "replay", opened.log.uri, f"environment=prod&page.reader={POLARITY}&page.tried=blur"
    )
    stands(app)
    assert "**Inverting fixes 6 of 6**" in text(app)
    assert app.selectbox(key="widget.page.tried").value == "blur"
    app = dashboard("replay", opened.log.uri, "page.record=p0&page.of=case")
    stands(app)
    assert app.title[0].value == "What fixes this case?"
    html = "".join(element.proto.body for element in app.get("html"))
    assert html.count("<b>fixed</b>") == 1
    assert "**Inverting** brings the output inside the range of test" in text(app)


def test_a_replay_is_watched_and_stopped(
    dashboard: Dashboard, opened: OpenLog, with_reader: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "0.2")
    opened.close()
    app = dashboard("replay", opened.log.uri, "environment=prod")
    next(button for button in app.button if button.label == "Replay 8 images").click().run()
    job = replay_parts.replays(store.opened()).job
    wait(job, lambda: job.done)
    app.run()
    stands(app)
    app.button(key="cancel.replay").click().run()
    wait(job, lambda: not job.busy)
    app.run()
    stands(app)
    assert "Cancelled. What was done so far is kept." in text(app)
    app = dashboard("replay", opened.log.uri, "environment=prod&page.take=500&version=none")
    stands(app)
    assert "Cancelled" not in text(app), "an outcome is that of its own question"


def test_what_could_not_be_read_is_said_on_the_page(
    dashboard: Dashboard, opened: OpenLog, with_reader: None
) -> None:
    tasks = plan(opened, Question(PROD, POLARITY), Readings(opened.log)).tasks
    opened.close()
    app = dashboard("replay", opened.log.uri, "environment=prod")
    remove_object(opened.log, tasks[0].image)
    next(button for button in app.button if button.label == "Replay 8 images").click().run()
    job = replay_parts.replays(store.opened()).job
    wait(job, lambda: not job.busy)
    app.run()
    stands(app)
    assert "The last run made 70 readings; 1 could not be made" in text(app).replace("\\", "")
    assert "missing from the log" in text(app)
    assert list(app.dataframe[0].value["image"]) == [tasks[0].image]
    assert "Replay the rest: 1 image" in [button.label for button in app.button]


def test_hostile_texts_of_a_recognizer_are_shown_as_what_they_are(
    dashboard: Dashboard, opened: OpenLog, with_reader: None
) -> None:
    nasty = "<script>alert(1)</script><img src=x onerror=alert(1)> **bold** =1+1"
    tasks = plan(opened, Question(PROD, POLARITY), Readings(opened.log)).tasks
    known = {(task.sha256, key): Reading(f"{nasty} {key}", 0.9) for task in tasks for key in KEYS}
    put_readings(opened.log, source(POLARITY).key, known)
    opened.close()
    app = dashboard("replay", opened.log.uri, "environment=prod")
    stands(app)
    html = "".join(element.proto.body for element in app.get("html"))
    assert "&lt;script" in html and "<script" not in html and "<img" not in html


@pytest.mark.parametrize(
    "query",
    [
        "page.reader=http://evil.example/",
        "page.take=-1",
        "page.kind=x",
        "page.tried=';",
        "page.sheet=-3",
        "page.of=x",
        "page.record=../x&page.of=case",
    ],
)
def test_a_hostile_link(
    dashboard: Dashboard, opened: OpenLog, with_reader: None, query: str
) -> None:
    replayed(opened, Question(PROD, POLARITY, images=2))
    opened.close()
    stands(dashboard("replay", opened.log.uri, f"environment=prod&{query}"))


def test_a_setting_that_makes_no_sense_is_said_on_the_page(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISREAD_RECOGNIZER", "http://models.example.com/")
    app = dashboard("replay", SAMPLE, "environment=prod")
    stands(app)
    assert "unencrypted" in text(app)


def test_versions_without_a_model_are_said_on_the_page(
    dashboard: Dashboard, opened: OpenLog
) -> None:
    opened.close()
    app = dashboard("replay", opened.log.uri, "environment=prod")
    stands(app)
    assert "there is no model of that version here" in text(app)


def test_cases_and_case_lead_to_it(dashboard: Dashboard) -> None:
    for page, label in (("cases", "Replay these 409"), ("case", "Replay this case")):
        app = dashboard(page, SAMPLE, "environment=prod&version=v1")
        assert label in [link.proto.label for link in app.get("page_link")]


def test_a_selection_is_read_from_the_address_of_the_page(sample_log: OpenLog) -> None:
    address = "http://127.0.0.1/replay?environment=prod&page.of=selection&page.reader=v1&page.take=500&page.sheet=2"
    assert parse_selection(address, sample_log.warehouse.projections) == PROD
