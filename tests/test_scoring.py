"""Scores into the log: each text once, whatever is killed, by a model that says its name."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_access import queries
from data_access.cli import main
from data_access.errors import ModelError, WorkerError
from data_access.ingest.sync import sync
from data_access.jobs import ScoringJob, SyncJob
from data_access.log import Log
from data_access.projections import load_projections
from data_access.projections.table import TEXT, TOXICITY, TRUTH, toxicity_name
from data_access.projections.values import TEXTS, logged_names, read_values
from data_access.scoring.report import ScoringReport
from data_access.scoring.texts import (
    chunks,
    score,
    worker_scores,
)
from data_access.scoring.toxicity import Toxicity, answer_texts, model_name
from data_access.warehouse import Warehouse
from data_access.worker import Worker
from pages.parts import words
from tests.checkpoints import write_checkpoint
from tests.conftest import OpenWarehouse
from tests.killing import Running, run_command
from tests.samples import feedback, open_log, prediction, remove_object, rounds, write
from tests.test_pages import Dashboard, _forget_open_logs, dashboard, displayed, stands, text

__all__ = ["dashboard", "displayed"]

PROJECTIONS = load_projections()
OBSCENE = toxicity_name("obscene", TEXT)
OBSCENE_TRUTH = toxicity_name("obscene", TRUTH)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_checkpoint(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def model(checkpoint: str) -> Toxicity:
    return Toxicity.load(checkpoint)


def rows_in(log: Log) -> Counter[tuple[str, str, str, str]]:
    """How often each score is in the log, by projection, source, record and input."""
    return Counter(
        (name, row["source"], row["record_key"], row["input"])
        for entry in log.list("projections/")
        for row in read_values(entry.key, log.get(entry.key), PROJECTIONS).to_pylist()
        for name in logged_names(PROJECTIONS, TEXTS)
        if row[name] is not None
    )


def values(warehouse: Warehouse, name: str) -> dict[str, float | None]:
    return dict(warehouse.rows(f'select record_key, "{name}" from records'))


def score_all(
    log: Log, warehouse: Warehouse, model: Toxicity, seen: list[str] | None = None, **more: Any
) -> ScoringReport:
    """Sync, score, sync; the texts that the model is asked for are added to `seen`."""

    def scores(texts: Sequence[str]) -> np.ndarray:
        if seen is not None:
            seen.extend(texts)
        return model.scores(texts)

    sync(log, warehouse)
    waiting = queries.unscored_text_count(warehouse, model.name)
    assert waiting == len(queries.unscored_texts(warehouse, model.name))
    report = score(log, warehouse, model.name, scores, **more)
    assert report.scored == waiting
    sync(log, warehouse)
    return report


def test_outputs_and_truths_are_scored_and_new_ones_when_they_come(
    log: Log, open_warehouse: OpenWarehouse, model: Toxicity
) -> None:
    write(log, "predictions/1.jsonl", *(prediction(key, f"text {key}") for key in "abc"))
    write(log, "predictions/2.json", prediction("none", None))
    write(log, "feedback/1.json", feedback("a", ground_truth_string="the shit"))
    write(log, "feedback/2.json", feedback("b", ground_truth_string="text a"))
    warehouse = open_warehouse(log)
    seen: list[str] = []
    report = score_all(log, warehouse, model, seen)
    assert (report.computed, report.scored, report.objects) == (4, 5, 2)
    expected = model.scores(["text a", "the shit"])
    place = TOXICITY.index("obscene")
    assert values(warehouse, OBSCENE)["a"] == pytest.approx(expected[0, place])
    assert values(warehouse, OBSCENE)["none"] is None
    assert values(warehouse, OBSCENE_TRUTH) == {
        "a": pytest.approx(expected[1, place]),
        "b": pytest.approx(expected[0, place]),
        "c": None,
        "none": None,
    }
    assert set(warehouse.score_sources().values()) == {model.name}

    assert score_all(log, warehouse, model, seen).scored == 0
    write(log, "predictions/3.jsonl", prediction("d", "text a"), prediction("e", "new"))
    report = score_all(log, warehouse, model, seen)
    assert (report.computed, report.scored, report.objects) == (1, 2, 1)
    assert sorted(seen) == ["new", "text a", "text b", "text c", "the shit"]
    assert set(rows_in(log).values()) == {1}

    fresh = open_warehouse(log, name="fresh.duckdb")
    sync(log, fresh)
    assert values(fresh, OBSCENE) == values(warehouse, OBSCENE)
    assert score_all(log, fresh, model, seen).scored == 0


def test_a_corrected_truth_is_scored_anew(
    folder_log: Log, open_warehouse: OpenWarehouse, model: Toxicity
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    write(folder_log, "feedback/1.json", feedback("a", ground_truth_string="first"))
    warehouse = open_warehouse(folder_log)
    score_all(folder_log, warehouse, model)
    later = feedback("a", ground_truth_string="second", timestamp="2026-07-08T12:00:00Z")
    write(folder_log, "feedback/2.json", later)
    sync(folder_log, warehouse)
    assert values(warehouse, OBSCENE_TRUTH) == {"a": None}
    score_all(folder_log, warehouse, model)
    expected = model.scores(["second"])[0, TOXICITY.index("obscene")]
    assert values(warehouse, OBSCENE_TRUTH) == {"a": pytest.approx(expected)}
    remove_object(folder_log, "feedback/2.json")
    sync(folder_log, warehouse)
    expected = model.scores(["first"])[0, TOXICITY.index("obscene")]
    assert values(warehouse, OBSCENE_TRUTH) == {"a": pytest.approx(expected)}


def test_what_a_killed_run_left_is_completed(
    folder_log: Log, open_warehouse: OpenWarehouse, model: Toxicity
) -> None:
    texts = [f"text {number % 70}" for number in range(100)]
    events = [prediction(f"r{number}", text) for number, text in enumerate(texts)]
    write(folder_log, "predictions/1.jsonl", *events)
    warehouse = open_warehouse(folder_log)
    score_all(folder_log, warehouse, model, rows_at_once=20)
    whole = {held.key: folder_log.get(held.key) for held in folder_log.list("projections/")}
    assert len(whole) == 5
    for key in list(whole)[::3]:
        remove_object(folder_log, key)
    seen: list[str] = []
    score_all(folder_log, warehouse, model, seen, rows_at_once=20)
    assert set(rows_in(folder_log).values()) == {1}
    assert len(rows_in(folder_log)) == 600
    assert None not in values(warehouse, OBSCENE).values()


def test_pieces_keep_a_text_together() -> None:
    inputs = [f"{number:03}" for number in range(40) for _ in range(1 + number % 5)]
    found = [piece["input"].to_pylist() for piece in chunks(pa.table({"input": inputs}), 16)]
    assert list(chain(*found)) == inputs
    for before, after in pairwise(found):
        assert len(before) >= 16
        assert before[-1] != after[0]
    assert not list(chunks(pa.table({"input": pa.array([], pa.string())}), 16))


def test_two_models_are_never_mixed(
    folder_log: Log, open_warehouse: OpenWarehouse, model: Toxicity, tmp_path: Path
) -> None:
    other = Toxicity.load(str(write_checkpoint(tmp_path / "other", seed=2)))
    write(folder_log, "predictions/1.jsonl", prediction("a", "one"), prediction("b", "two"))
    projections = load_projections(scorer=other.name)
    warehouse = open_warehouse(folder_log, projections)
    score_all(folder_log, warehouse, model)
    assert set(warehouse.score_sources().values()) == {model.name}
    score_all(folder_log, warehouse, other)
    assert set(warehouse.score_sources().values()) == {other.name}
    expected = other.scores(["one", "two"])[:, TOXICITY.index("obscene")]
    assert list(values(warehouse, OBSCENE).values()) == pytest.approx(list(expected), abs=1e-5)
    write(folder_log, "predictions/2.json", prediction("c", "three"))
    score_all(folder_log, warehouse, model)
    assert set(warehouse.score_sources().values()) == {model.name}
    assert None not in values(warehouse, OBSCENE).values()


@pytest.fixture
def environ(
    log_uri: str, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    named = {
        "MISREAD_LOG": log_uri,
        "MISREAD_WAREHOUSE": str(tmp_path / "command.duckdb"),
        "MISREAD_TOXICITY": checkpoint,
    }
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **named}


def test_the_command_says_what_it_did(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = Log.open(environ["MISREAD_LOG"])
    write(log, "predictions/1.jsonl", prediction("a", "one"), prediction("b", "one"))
    assert main(["score"]) == 0
    name = model_name(environ["MISREAD_TOXICITY"])
    said = (
        f"2 outputs and truths scored by {name} (1 different text), in 1 object. "
        "1 word of offensive texts scored.\n"
    )
    assert capsys.readouterr().out == said
    assert main(["score"]) == 0
    assert capsys.readouterr().out == f"Nothing to score: {name} has scored every text.\n"
    assert main(["score", "--model", str(tmp_path / "nowhere")]) == 2
    assert "No model at" in capsys.readouterr().err


def test_killed_at_any_moment_the_next_run_completes(environ: dict[str, str]) -> None:
    log = Log.open(environ["MISREAD_LOG"])
    count = rounds(4_500, 9_000)
    write(
        log,
        "predictions/1.jsonl",
        *(prediction(f"r{n}", f"text {n % 6000} " + "the shit " * (n % 9)) for n in range(count)),
    )
    killed, times = 0, rounds(2, 5)
    for _ in range(times):
        running = Running(environ, run_command, ["score"])
        before = len(log.list("projections/"))
        until = time.monotonic() + 60
        while len(log.list("projections/")) < before + 1 and time.monotonic() < until:
            if not running._process.is_alive():
                break
            time.sleep(0.01)
        killed += running.end(0.0).code == -9
    assert killed >= times - 1
    assert Running(environ, run_command, ["score"]).end().code == 0
    found = rows_in(log)
    assert len(found) == count * len(TOXICITY)
    assert set(found.values()) == {1}


def wait_for(scoring: ScoringJob) -> None:
    until = time.monotonic() + 120
    while scoring.busy and time.monotonic() < until:
        time.sleep(0.05)
    assert not scoring.busy


def test_the_dashboard_scores_in_a_process_of_its_own(
    folder_log: Log, open_warehouse: OpenWarehouse, checkpoint: str, model: Toxicity
) -> None:
    write(folder_log, "predictions/1.jsonl", prediction("a", "one"), prediction("b", "two"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    finished: list[str] = []
    scoring = ScoringJob(folder_log, warehouse, checkpoint, lambda: finished.append("once"))
    scoring.start()
    scoring.start()
    wait_for(scoring)
    assert (scoring.problem, finished) == (None, ["once"])
    assert scoring.report is not None and scoring.report.scored == 2
    sync(folder_log, warehouse)
    expected = model.scores(["one", "two"])[:, TOXICITY.index("obscene")]
    assert list(values(warehouse, OBSCENE).values()) == pytest.approx(list(expected), abs=1e-4)
    scoring.start()
    wait_for(scoring)
    assert scoring.report is not None and scoring.report.scored == 0
    assert scoring.report.words == 2, "of texts that this model calls offensive"
    scoring.stop()


def test_a_model_that_is_not_there_is_told_and_no_end(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    write(folder_log, "predictions/1.jsonl", prediction("a", "one"))
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    scoring = ScoringJob(folder_log, warehouse, str(tmp_path / "no.ckpt"), lambda: None)
    scoring.start()
    wait_for(scoring)
    assert scoring.problem is not None and "No model at" in scoring.problem


def test_the_pages_name_the_model_and_show_both_sides(
    dashboard: Dashboard, folder_log: Log, checkpoint: str, model: Toxicity,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MISREAD_TOXICITY", checkpoint)
    write(folder_log, "predictions/1.json", prediction("a", "the shit"))
    write(folder_log, "feedback/1.json", feedback("a", ground_truth_string="the ship"))
    app = dashboard("data", folder_log.uri)
    stands(app)
    assert "Toxicity is not scored yet." in text(app)
    assert "Score 2 texts" in [button.label for button in app.button]
    opened = open_log(folder_log.uri, tmp_path / "beside.duckdb")
    score_all(opened.log, opened.warehouse, model)
    opened.close()
    _forget_open_logs()
    app = dashboard("case", folder_log.uri, "record=a")
    stands(app)
    assert f"Toxicity as scored by **{words.escape_markdown(model.name)}**" in text(app)
    table = next(table.value for table in app.dataframe if "truth" in table.value)
    assert list(table["score"]) == [name.replace("_", " ") for name in TOXICITY]
    expected = model.scores(["the shit", "the ship"])
    assert list(table["output"]) == pytest.approx(list(expected[0]), abs=1e-4)
    assert list(table["truth"]) == pytest.approx(list(expected[1]), abs=1e-4)
    for page in ("cases", "distributions"):
        app.switch_page(f"pages/{page}.py").run()
        stands(app)
        assert words.escape_markdown(model.name) in text(app)


def test_a_worker_scores_as_its_model_does(checkpoint: str, model: Toxicity) -> None:
    with Worker(answer_texts, niceness=0) as worker:
        scores = worker_scores(worker, checkpoint, model.name)
        texts = ["one", "half a character: \ud83d", "one"]
        expected = model.scores(["one", "half a character: ?", "one"])
        assert scores(texts) == pytest.approx(expected, abs=1e-6)
        assert scores([]).shape == (0, 6)
        with pytest.raises(ModelError, match="has changed"):
            worker_scores(worker, checkpoint, "another")
        with pytest.raises(WorkerError, match="No model at"):
            worker_scores(worker, "nowhere", "another")
        worker.kill()
        with pytest.raises(WorkerError, match="ended unexpectedly"):
            scores(["two"])


def test_new_records_are_scored_when_they_come(
    folder_log: Log, open_warehouse: OpenWarehouse, checkpoint: str
) -> None:
    """As a dashboard with MISREAD_SCORE_NEW does it: sync, score, sync."""
    write(folder_log, "predictions/1.json", prediction("a", "one"))
    warehouse = open_warehouse(folder_log)
    scoring = ScoringJob(folder_log, warehouse, checkpoint, lambda: syncing.start())
    syncing = SyncJob(folder_log, warehouse, 0.0, scoring.start)
    syncing.start()
    try:
        for number, key in enumerate("ab"):
            if number:
                write(folder_log, "predictions/2.json", prediction(key, "two"))
                syncing.start()
            until = time.monotonic() + 120
            while values(warehouse, OBSCENE).get(key) is None and time.monotonic() < until:
                time.sleep(0.05)
            assert values(warehouse, OBSCENE)[key] is not None
    finally:
        syncing.stop()
        scoring.stop()
    assert set(rows_in(folder_log).values()) == {1}
