"""kill -9 at random moments: afterwards nothing is lost, nothing doubled, and every answer is that
of a run which was never killed. To kill another command, add a row to `CASES`.
"""

import json
import logging
import random
import shutil
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data_access.embedded import EmbeddedServer
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import load_projections
from data_access.records import Feedback, Prediction
from data_access.records.decoding import read_object
from data_access.warehouse import Warehouse
from data_access.writer import Writer
from tests.killing import Running, run_command, shown_by
from tests.samples import (
    feedback,
    lines,
    picture,
    prediction,
    remove_object,
    replace_object,
    rounds,
    write,
    write_picture,
)
from tests.test_writer import FailingLog, event, flagged

ROUNDS = rounds(2, 50)
IN_A_ROW = 8  # kills of one run, at most, before it may go on to its end
PREFIXES = ("predictions/", "feedback/", "images/", "projections/")


@dataclass
class Place:
    """Where one command is killed again and again."""

    root: str
    folder: Path
    environ: dict[str, str]
    uri: str = ""

    @property
    def log(self) -> Log:
        return Log.open(self.uri)

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse.duckdb"

    def renew_log(self) -> None:
        """Another log, empty."""
        number = int(self.uri.rpartition("-")[2] or 0) + 1 if self.uri else 1
        self.uri = f"{self.root}/log-{number}"
        if not self.uri.startswith("s3://"):
            Path(self.uri).mkdir(parents=True)

    def renew_warehouse(self, held: Path | None = None) -> None:
        """No warehouse, or a copy of one that was closed."""
        for path in self.folder.glob("warehouse.*"):
            path.unlink()
        if held is not None:
            shutil.copy(held, self.warehouse)


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    prepare: all that it needs, once. renew: what is there before its first start. answers: all
    that is to be equal to what is found after a run that was never killed.
    """

    prepare: Callable[[Place], None]
    renew: Callable[[Place], None]
    arguments: Callable[[Place], list[str]]
    answers: Callable[[Place], Any]


def kept(place: Place) -> dict[str, bytes]:
    """Every object of the log, by its key."""
    log = place.log
    keys = [held.key for prefix in PREFIXES for held in log.list(prefix)]
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(keys, pool.map(log.get, keys), strict=True))


def shown(place: Place) -> Any:
    """All that readers of the warehouse can see."""
    warehouse = Warehouse.open(place.warehouse, place.uri, load_projections())
    try:
        assert warehouse.path == place.warehouse
        assert not list(place.folder.glob("*.broken-*"))
        return shown_by(warehouse)
    finally:
        warehouse.close()


def fill(log: Log, numbers: Iterable[int]) -> None:
    """One prediction an object, with images; some lines are broken, some outputs are flagged."""
    for number in numbers:
        image = write_picture(log, picture(number % 24 * 5, 255 - number % 24))
        more = {"inputs__image": image, "tags": {"number": number}}
        write(
            log, f"predictions/{number:03}.json", prediction(f"r{number}", f"text {number}", **more)
        )
        if number % 10 == 0:
            said = feedback(f"r{number}", feedback_key=str(number))
            write(log, f"feedback/{number:03}.json", said)
        if number % 50 == 0:
            body = lines([prediction(f"s{number}")]) + b"\n{broken"
            log.put(f"predictions/broken-{number:03}.jsonl", body)


def nothing(place: Place) -> None:
    """There is nothing that is needed but once."""


def prepare_sync(place: Place) -> None:
    place.renew_log()
    fill(place.log, range(200))


def prepare_more(place: Place) -> None:
    """A warehouse of what the log was before it grew and changed."""
    place.renew_log()
    log = place.log
    fill(log, range(100))
    warehouse = Warehouse.open(place.folder / "before.duckdb", place.uri, load_projections())
    sync(log, warehouse)
    warehouse.close()
    fill(log, range(100, 200))
    for number in range(10):
        key = f"predictions/{number:03}.json"
        replace_object(
            log, key, lines([prediction(f"r{number}", "other"), prediction(f"t{number}")])
        )
    for number in range(20, 30):
        remove_object(log, f"predictions/{number:03}.json")
    remove_object(log, "feedback/040.json")


def prepare_gradio(place: Place) -> None:
    flagged_folder = place.folder / "flagged"
    (flagged_folder / "Image").mkdir(parents=True)
    rows = ["Image,output,flag,timestamp"]
    for number in range(80):
        image = flagged_folder / "Image" / f"{number}.png"
        image.write_bytes(picture(number % 40 * 5))
        flag = "incorrect" if number % 2 else "offensive"
        rows.append(f"{image},text {number},{flag},2026-07-06 12:00:00.{number:06}")
    (flagged_folder / "dataset1.csv").write_text("\n".join(rows) + "\n")


def prepare_gantry(place: Place) -> None:
    rows = [
        {
            "timestamp": f"2022-10-01T12:00:00.{number:03}",
            "inputs.image": f"s3://bucket/{number}.png",
            "outputs.output_text": f"text {number % 50}",
            "feedback.flag": "incorrect" if number % 3 else None,
            "tags.env": "prod",
            "detoxify.obscene(outputs.output_text)": number / 300,
            "entropy(outputs.output_text)": number / 100,
        }
        for number in range(120)
    ]
    (place.folder / "export.jsonl").write_text("\n".join(json.dumps(row) for row in rows))


def renew_small_objects(place: Place) -> None:
    """A log of closed days with many small objects."""
    place.renew_log()
    log = place.log
    fill(log, range(60))
    for day in range(3):
        for number in range(12):
            key = f"predictions/date=2026-07-0{day + 1}/{number}.json"
            write(log, key, prediction(f"d{day}-{number}"))


def compact_arguments(place: Place) -> list[str]:
    return ["compact", "--before", "2100-01-01", "--remove-originals", "--log", place.uri]


def synced_anew(place: Place) -> Any:
    """What a warehouse shows that is filled from the log as it is now."""
    place.renew_warehouse()
    warehouse = Warehouse.open(place.warehouse, place.uri, load_projections())
    try:
        assert not sync(place.log, warehouse).failures
    finally:
        warehouse.close()
    return shown(place)


def sync_arguments(place: Place) -> list[str]:
    return ["sync", "--log", place.uri]


CASES = {
    "sync": Case(prepare_sync, Place.renew_warehouse, sync_arguments, shown),
    "sync of what is new": Case(
        prepare_more,
        lambda place: place.renew_warehouse(place.folder / "before.duckdb"),
        sync_arguments,
        shown,
    ),
    "import-gradio": Case(
        prepare_gradio,
        Place.renew_log,
        lambda place: [
            *("import-gradio", str(place.folder / "flagged")),
            *("--timezone", "UTC", "--log", place.uri),
        ],
        kept,
    ),
    "import-gantry": Case(
        prepare_gantry,
        Place.renew_log,
        lambda place: ["import-gantry", str(place.folder / "export.jsonl"), "--log", place.uri],
        kept,
    ),
    "compact": Case(nothing, renew_small_objects, compact_arguments, synced_anew),
}


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    environ = {"MISREAD_WAREHOUSE": str(tmp_path / "warehouse.duckdb")}
    if request.param == "folder":
        return Place(str(tmp_path / "logs"), tmp_path, environ)
    server: EmbeddedServer = request.getfixturevalue("s3_server")
    return Place(request.getfixturevalue("log_uri"), tmp_path, environ | server.environ)


@pytest.mark.soak
@pytest.mark.parametrize("name", CASES)
def test_a_command_killed_and_run_again_does_what_it_does_unkilled(place: Place, name: str) -> None:
    case = CASES[name]
    if name == "import-gantry" and place.root.startswith("s3://"):
        pytest.skip("all importers send rows by the same code, which import-gradio tries")
    chance = random.Random(name)
    case.prepare(place)
    case.renew(place)
    before = case.answers(place) if name == "compact" else None
    unkilled = Running(place.environ, run_command, case.arguments(place)).end()
    assert unkilled.code == 0
    expected = case.answers(place)
    assert any(expected)
    assert before is None or before == expected
    killed = 0
    while killed < ROUNDS:
        case.renew(place)
        for _ in range(IN_A_ROW):
            running = Running(place.environ, run_command, case.arguments(place))
            ended = running.end(chance.uniform(0.0, unkilled.seconds))
            if ended.code == 0:
                break
            assert ended.code == -signal.SIGKILL
            killed += 1
        if ended.code != 0:
            assert Running(place.environ, run_command, case.arguments(place)).end().code == 0
        assert case.answers(place) == expected, f"after {killed} kills"


def write_on_and_on(uri: str, spool: str, seed: int, tell: Callable[[object], None]) -> None:
    """Tells each event before it is written and once it is."""
    logging.disable()
    chance = random.Random(seed)
    log = FailingLog(Log.open(uri))
    log.fails = lambda key: chance.random() < 0.2
    writer = Writer(log, Path(spool))
    number = 0
    while True:
        writer._backoff_until = 0.0
        key = f"r{seed}-{number}"
        tell(("begun", key))
        writer.write_prediction(event(key), picture(number % 200))
        writer.write_feedback(flagged(f"{key}-f", key))
        tell(("done", key))
        number += 1


@pytest.mark.soak
def test_a_killed_writer_loses_and_doubles_nothing(
    log_uri: str, s3_server: EmbeddedServer, tmp_path: Path
) -> None:
    chance = random.Random(7)
    told: list[tuple[str, str]] = []
    spool = str(tmp_path / "spool")
    for seed in range(ROUNDS):
        running = Running(s3_server.environ, write_on_and_on, log_uri, spool, seed)
        told.append(running.wait())
        ended = running.end(chance.uniform(0.0, 0.1))
        assert ended.code == -signal.SIGKILL
        told += ended.told
    begun = {key for state, key in told if state == "begun"}
    done = {key for state, key in told if state == "done"}
    assert done
    log = Log.open(log_uri)
    with Writer(log, Path(spool)) as writer:
        writer.flush()
        assert writer.waiting == 0
    events = [
        row
        for prefix in ("predictions/", "feedback/")
        for held in log.list(prefix)
        for read in [read_object(held.key, log.get(held.key))]
        for _, row in [*read.predictions, *read.feedback]
    ]
    predictions = [row for row in events if isinstance(row, Prediction)]
    said = [row for row in events if isinstance(row, Feedback)]
    found = {row.record_key for row in predictions}
    assert done <= found <= begun
    assert done <= {row.record_key for row in said} <= found
    assert len(found) == len(predictions)
    assert len({row.feedback_key for row in said}) == len(said)
    images = {held.key for held in log.list("images/")}
    assert {row.image for row in predictions} <= images
