"""Sync and what can go wrong around it: the store, the network, the disk, the clock.

Whatever happened, a sync does not lose what was known, says in one sentence what it could not
do, and the next undisturbed one brings the answers of a run that was never disturbed.
"""

import base64
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data_access import queries
from data_access.embedded import EmbeddedServer, _is_ready, embedded_server
from data_access.errors import LogError, MisreadError
from data_access.importers.gantry import import_file
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.jobs import SyncJob
from data_access.log import Log, create_bucket
from data_access.projections import load_projections
from data_access.selection import Selection
from data_access.warehouse import Warehouse
from data_access.writer import Writer
from tests.conftest import OpenWarehouse
from tests.faulty_proxy import (
    Exchange,
    Fault,
    FaultyProxy,
    cut_off,
    delay,
    lose_answer,
    refuse,
    reset,
    say,
    shorten,
)
from tests.samples import (
    ROOT,
    feedback,
    lines,
    picture,
    prediction,
    remove_object,
    replace_object,
    write,
    write_picture,
)
from tests.test_writer import event, flagged

Answers = tuple[dict[str, dict[str, Any]], set[tuple[Any, ...]]]
EVENTS = "(predictions|feedback)/"


def answers(warehouse: Warehouse) -> Answers:
    """All that readers can see of the log: records by their keys, and what is quarantined."""
    records = warehouse.table("select * from records").to_pylist()
    by_key = {row["record_key"]: row for row in records}
    assert len(by_key) == len(records)
    quarantine = warehouse.rows("select object_key, line, reason, excerpt from quarantine")
    assert len(set(quarantine)) == len(quarantine)
    return by_key, set(quarantine)


def answers_of_a_fresh_warehouse(log: Log, path: Path) -> Answers:
    warehouse = Warehouse.open(path, log.uri, load_projections())
    try:
        assert not sync(log, warehouse).failures
        return answers(warehouse)
    finally:
        warehouse.close()


def attempt(log: Log, warehouse: Warehouse) -> list[str]:
    """Sync; the sentences that tell what it could not do."""
    try:
        sentences = list(sync(log, warehouse, missing_again=timedelta(0)).failures)
    except MisreadError as error:
        sentences = [str(error)]
    for sentence in sentences:
        assert "\n" not in sentence
        assert len(sentence) < 300
        assert sentence.endswith((".", "?")) or "cannot be read: " in sentence
    return sentences


@dataclass(frozen=True)
class Scene:
    """A log in which something is new since `file` was filled, and what it should answer."""

    uri: str
    file: Path
    before: Answers
    whole: Answers


@pytest.fixture(scope="module")
def scene(s3_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("faults")
    log = Log.open("s3://misread-tests/faults")
    for number in range(12):
        image = write_picture(log, picture(100 + number))
        served = prediction(f"old-{number}", f"line {number}", inputs__image=image)
        write(log, f"predictions/date=2026-07-06/{number}.json", served)
    write(log, "feedback/1.json", feedback("old-1", feedback_key="1"))
    log.put("predictions/date=2026-07-06/broken.jsonl", b"{broken")
    file = folder / "before.duckdb"
    before = answers_of_a_fresh_warehouse(log, file)
    for number in range(12):
        image = write_picture(log, picture(200 + number))
        served = prediction(f"new-{number}", f"row {number}", inputs__image=image)
        write(log, f"predictions/date=2026-07-07/{number}.json", served)
    replace_object(log, "predictions/date=2026-07-06/0.json", lines([prediction("old-0", "anew")]))
    write(log, "feedback/2.json", feedback("new-2", feedback_key="2"))
    log.put("predictions/date=2026-07-07/broken.jsonl", b"{broken too")
    whole = answers_of_a_fresh_warehouse(log, folder / "whole.duckdb")
    assert [len(held) for held in (*before, *whole)] == [12, 1, 24, 2]
    return Scene(log.uri, file, before, whole)


@pytest.fixture
def proxy(s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """Logs opened during the test reach the server through this."""
    with FaultyProxy(s3_server.endpoint).running() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


@pytest.fixture
def warehouse(scene: Scene, tmp_path: Path) -> Iterator[Warehouse]:
    """Holds what the scene's log held before."""
    shutil.copy(scene.file, tmp_path / "warehouse.duckdb")
    opened = Warehouse.open(tmp_path / "warehouse.duckdb", scene.uri, load_projections())
    yield opened
    opened.close()


def nothing_is_wrong(scene: Scene, now: Answers) -> None:
    """What is known already is still known, and nothing is known that is not so."""
    assert scene.before[0].keys() <= now[0].keys() <= scene.whole[0].keys()
    assert scene.before[1] <= now[1] <= scene.whole[1]


NO_LISTING = b"<ListBucketResult><Contents><Key>predictions/1"
RETRIED: dict[str, Fault] = {
    "500": refuse(500, "InternalError"),
    "503": refuse(503, "SlowDown"),
    "slow": delay(1.0),
    "reset": reset,
}
REFUSED: dict[str, Fault] = {"403": refuse(403, "AccessDenied"), "404": refuse(404, "")}
FAULTS = {"cut off": cut_off} | RETRIED | REFUSED


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_passes_changes_no_answer(
    scene: Scene,
    proxy: FaultyProxy,
    warehouse: Warehouse,
    name: str,
) -> None:
    """Each request meets the fault once: of a listing, of objects, of images."""
    met = [
        proxy.on(method, key, FAULTS[name], times=1, each=True)
        for method, key in (("LIST", EVENTS), ("GET", EVENTS), ("GET", "images/[0-7]"))
    ]
    log = Log.open(scene.uri)
    turns = 1
    while attempt(log, warehouse):
        assert name not in RETRIED, "the client tries again by itself"
        nothing_is_wrong(scene, answers(warehouse))
        turns += 1
    assert turns < 6
    assert [rule.met for rule in met][:2] == [2, 15]
    assert met[2].met
    proxy.heal()
    sync(log, warehouse, missing_again=timedelta(0))
    assert answers(warehouse) == scene.whole


@pytest.mark.parametrize(
    ("name", "fault"), [*FAULTS.items(), ("no XML", say(NO_LISTING)), ("empty", say(b""))]
)
def test_a_listing_that_fails_forgets_nothing(
    scene: Scene, proxy: FaultyProxy, warehouse: Warehouse, name: str, fault: Fault
) -> None:
    if name == "slow":
        pytest.skip("a listing that is slow does not fail")
    for prefix in ("predictions/", "feedback/"):
        rule = proxy.on("LIST", prefix, fault)
        log = Log.open(scene.uri)
        (sentence,) = attempt(log, warehouse)
        assert scene.uri in sentence
        assert rule.met
        assert answers(warehouse) == scene.before
        proxy.heal()
    assert attempt(log, warehouse) == []
    assert answers(warehouse) == scene.whole


@pytest.mark.parametrize("name", ["403", "404", "500", "503", "reset", "cut off"])
def test_an_object_that_fails_is_read_by_the_next_sync(
    scene: Scene, proxy: FaultyProxy, warehouse: Warehouse, name: str
) -> None:
    failing = "date=2026-07-0[67]/([0-3]|broken).json|feedback/2"
    proxy.on("GET", failing, FAULTS[name])
    log = Log.open(scene.uri)
    assert len(attempt(log, warehouse)) == 7
    now = answers(warehouse)
    nothing_is_wrong(scene, now)
    assert scene.whole[0].keys() - now[0].keys() == {"new-0", "new-1", "new-2", "new-3"}
    proxy.heal()
    assert attempt(log, warehouse) == []
    assert answers(warehouse) == scene.whole


@pytest.mark.parametrize("name", ["403", "404", "500", "503", "reset"])
def test_an_image_that_fails_is_scored_by_a_later_sync(
    scene: Scene,
    proxy: FaultyProxy,
    warehouse: Warehouse,
    name: str,
) -> None:
    proxy.on("GET", "images/[0-7]", FAULTS[name])
    told = attempt(Log.open(scene.uri), warehouse)
    assert bool(told) == (name != "404"), "an image that is not there is no failure of the sync"
    now = answers(warehouse)
    nothing_is_wrong(scene, now)
    assert now[0].keys() == scene.whole[0].keys()
    proxy.heal()
    assert attempt(Log.open(scene.uri), warehouse) == []
    assert answers(warehouse) == scene.whole


def test_a_listing_that_fails_on_its_second_page_forgets_nothing(
    log_uri: str, proxy: FaultyProxy, open_warehouse: OpenWarehouse
) -> None:
    log = Log.open(log_uri)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: log.put(f"feedback/{n:04}.json", b"[]"), range(1_005)))
    write(log, "feedback/9999.json", feedback("z"))
    write(log, "predictions/z.json", prediction("z"))
    warehouse = open_warehouse(log)
    assert sync(log, warehouse).objects == 1_007
    before = answers(warehouse)
    for fault in (refuse(403, "AccessDenied"), cut_off, say(NO_LISTING)):
        rule = proxy.on("LIST", "feedback/", fault, skip=1)
        assert len(attempt(log, warehouse)) == 1
        assert rule.met == 1
        proxy.heal()
    assert answers(warehouse) == before
    assert sync(log, warehouse) == SyncReport()


PUT_FAULTS = {
    "403": refuse(403, "AccessDenied"),
    "500": refuse(500, "InternalError"),
    "503": refuse(503, "SlowDown"),
    "reset": reset,
    "answer lost": lose_answer,
}


@pytest.mark.parametrize("name", PUT_FAULTS)
def test_what_a_store_did_not_take_is_sent_again_and_is_there_once(
    log_uri: str, s3_server: EmbeddedServer, proxy: FaultyProxy, tmp_path: Path, name: str
) -> None:
    log = Log.open(log_uri)
    spool = tmp_path / "spool"
    rules = [
        proxy.on("PUT", key, PUT_FAULTS[name], times=3, skip=skip)
        for key, skip in (("images/", 0), ("predictions/", 2), ("feedback/", 4))
    ]
    writer = Writer(log, spool)
    for number in range(8):
        writer.write_prediction(event(f"w{number}"), picture(number))
        writer.write_feedback(flagged(f"f{number}", f"w{number}"))
    rows = [
        {"timestamp": f"2022-10-01T12:00:0{number}", "outputs.output_text": str(number)}
        | {"tags.env": "prod", "feedback.flag": "other", "entropy(outputs.output_text)": number}
        for number in range(8)
    ]
    (tmp_path / "export.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    for _ in range(4):
        with suppress(LogError):
            import_file(log, tmp_path / "export.jsonl")
    assert sum(rule.met for rule in rules) >= 6
    proxy.heal()
    writer.flush()
    assert writer.waiting == 0
    assert import_file(log, tmp_path / "export.jsonl").added == 0
    warehouse = Warehouse.open(tmp_path / "w.duckdb", log_uri, load_projections())
    try:
        report = sync(log, warehouse)
        assert (report.predictions, report.feedback, report.quarantined) == (16, 16, 0)
        assert (report.scored_images, report.failures) == (8, {})
        assert queries.status(warehouse).predictions == 16
    finally:
        warehouse.close()
    assert len(list(log.list("images/"))) == 8
    assert len(list(log.list("projections/"))) == 1


def after_listing(change: Callable[[], None]) -> Fault:
    """What was listed is no longer so when the listing arrives."""

    def act(exchange: Exchange) -> None:
        listing = exchange.forward()
        change()
        exchange.send(listing)

    return act


def before_answering(change: Callable[[], None]) -> Fault:
    return lambda exchange: change()


@pytest.mark.parametrize("when", ["before the listing", "after the listing", "after one object"])
def test_a_log_that_changes_while_it_is_read(
    log_uri: str,
    s3_server: EmbeddedServer,
    proxy: FaultyProxy,
    open_warehouse: OpenWarehouse,
    tmp_path: Path,
    when: str,
) -> None:
    log = Log.open(log_uri)
    dark, light = write_picture(log, picture(20, 240)), write_picture(log, picture())
    for number in range(40):
        served = prediction(f"r{number}", f"line {number}", inputs__image=dark)
        write(log, f"predictions/{number:02}.json", served)
    warehouse = open_warehouse(log)
    sync(log, warehouse, missing_again=timedelta(0))
    for number in range(40, 80):
        served = prediction(f"r{number}", f"line {number}", inputs__image=light)
        write(log, f"predictions/{number:02}.json", served)

    def change() -> None:
        for number in (0, 1, 40, 41):  # read before, and not yet
            served = prediction(f"r{number}", "a text of another length", inputs__image=light)
            replace_object(log, f"predictions/{number:02}.json", lines([served]))
        replace_object(log, "predictions/42.json", lines([prediction("r42", "Line 42")]))
        for number in (2, 3, 78, 79):
            remove_object(log, f"predictions/{number:02}.json")
        remove_object(log, light)
        log.put(light, picture(50))
        write(log, "predictions/99.json", prediction("r99", "added"))
        write(log, "feedback/1.json", feedback("r50"), feedback("r99"))

    if when == "before the listing":
        rule = proxy.on("LIST", "predictions/", before_answering(change), times=1)
    elif when == "after the listing":
        rule = proxy.on("LIST", "predictions/", after_listing(change), times=1)
    else:
        rule = proxy.on("GET", "predictions/", before_answering(change), times=1)
    attempt(log, warehouse)
    assert rule.met == 1
    assert answers(warehouse)[1] == set(), "nothing that changed is quarantined"
    assert attempt(log, warehouse) == []
    assert answers(warehouse) == answers_of_a_fresh_warehouse(log, tmp_path / "fresh.duckdb")
    assert queries.status(warehouse).predictions == 77


@dataclass
class Restarting:
    """A server of its own, which can be killed and started again where it was."""

    server: EmbeddedServer
    folder: Path
    before: Sequence[str] = ()

    def kill(self) -> None:
        self.server.process.kill()
        self.server.process.wait()

    def start(self) -> None:
        process = self.server.process
        environ = {n: value for n, value in os.environ.items() if not n.startswith("AWS_")}
        with (self.folder / "server.log").open("ab") as output:
            again = subprocess.Popen(
                process.args,
                cwd=self.folder,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # the one that embedded_server stops at the end is this one from now on
        process.__dict__ = again.__dict__
        assert _is_ready(self.server.endpoint, again), (self.folder / "server.log").read_text()
        log = Log.open("s3://restarted")
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:  # it answers some seconds before it can read what it holds
                for key in self.before:
                    log.get(key)
                log.put(f"after-{again.pid}", bytes(5_000))
                return
            except LogError:
                time.sleep(0.1)
        raise AssertionError("the server is not ready after 30 seconds")


@pytest.fixture(scope="module")
def restarting(
    s3_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Restarting]:
    folder = tmp_path_factory.mktemp("restarted")
    with embedded_server(folder) as server:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environ.items():
                patch.setenv(name, value)
            create_bucket("s3://restarted")
        yield Restarting(server, folder)


@pytest.mark.parametrize(
    ("method", "key", "skip", "stays_down"),
    [
        ("GET", EVENTS, 20, False),
        ("GET", "images/", 9, True),
    ],
)
def test_a_server_killed_in_the_middle_of_a_sync(
    restarting: Restarting,
    open_warehouse: OpenWarehouse,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    method: str,
    key: str,
    skip: int,
    stays_down: bool,
) -> None:
    for name, value in restarting.server.environ.items():
        monkeypatch.setenv(name, value)
    starting = threading.Thread(target=restarting.start)

    def kill() -> None:
        restarting.kill()
        if not stays_down:
            starting.start()

    with FaultyProxy(restarting.server.endpoint).running() as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        uri = f"s3://restarted/{method}-{skip}-{stays_down}"
        log = Log.open(uri)
        for number in range(30):
            image = write_picture(log, picture(number))
            served = prediction(f"r{number}", inputs__image=image)
            write(log, f"predictions/{number}.json", served)
        write(log, "feedback/1.json", feedback("r1"))
        whole = answers_of_a_fresh_warehouse(log, tmp_path / "whole.duckdb")
        warehouse = open_warehouse(log)
        restarting.before = [held.key for held in Log.open("s3://restarted").list("")]
        rule = proxy.on(method, key, before_answering(kill), skip=skip, times=1)
        told = attempt(log, warehouse)
        assert rule.met == 1
        assert told or not stays_down
        assert answers(warehouse)[0].keys() <= whole[0].keys()
        assert answers(warehouse)[1] == set()
        if stays_down:
            starting.start()
        starting.join()
        assert attempt(Log.open(uri), warehouse) == []
        assert answers(warehouse) == whole


def test_times_of_records_are_shown_as_they_are_whatever_the_clock_says(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    times = ["1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999999Z", "2199-12-31T23:59:59Z"]
    for number, at in enumerate(times):
        write(log, f"predictions/{number}.json", prediction(str(number), timestamp=at))
    # said before what it judges, and long after it
    write(log, "feedback/1.json", feedback("2", "early", timestamp="1970-01-01T00:00:00Z"))
    write(log, "feedback/2.json", feedback("0", "late", timestamp="2199-12-31T23:59:59Z"))
    warehouse = open_warehouse(log)
    assert not sync(log, warehouse).quarantined
    shown = warehouse.rows(
        "select strftime(timestamp, '%Y-%m-%dT%H:%M:%S.%f'), \"feedback.flag\" "
        "from records order by record_key"
    )
    assert shown == [
        ("1970-01-01T00:00:00.000000", "late"),
        ("1999-12-31T23:59:59.999999", None),
        ("2199-12-31T23:59:59.000000", "early"),
    ]
    assert queries.coverage(warehouse, Selection()).predictions == 3


def test_a_folder_whose_clock_runs_wrong_is_read_all_the_same(
    folder_log: Log, open_warehouse: OpenWarehouse, tmp_path: Path
) -> None:
    """What is new is told by the objects themselves, not by comparing times with a clock."""
    warehouse = open_warehouse(folder_log)
    for number, seconds in enumerate((0, 10**8, 5 * 10**9)):  # 1970, 1973, 2128
        key = write(folder_log, f"predictions/{number}.json", prediction(str(number), "one"))
        os.utime(Path(folder_log.uri) / key, (seconds, seconds))
        assert sync(folder_log, warehouse).predictions == 1
    key = "predictions/2.json"
    replace_object(folder_log, key, lines([prediction("2", "two")]))  # as long as it was
    os.utime(Path(folder_log.uri) / key, (10**9, 10**9))  # and older than it was
    assert sync(folder_log, warehouse).predictions == 1
    texts = warehouse.rows('select "outputs.output_text" from records order by record_key')
    assert texts == [("one",), ("one",), ("two",)]


def test_a_machine_whose_clock_is_refused_says_a_sentence(
    scene: Scene, proxy: FaultyProxy, warehouse: Warehouse
) -> None:
    proxy.on("LIST", "", refuse(403, "RequestTimeTooSkewed"))
    assert len(attempt(Log.open(scene.uri), warehouse)) == 1
    assert answers(warehouse) == scene.before


NOTES = 60
DISK = 48 * 1024 * 1024


def random_note(number: int) -> str:
    """40,000 characters that do not compress."""
    return base64.b64encode(random.Random(number).randbytes(30_000)).decode()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own; needs root."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(folder: Path, room: int) -> Path:
    ballast = folder / "ballast"
    state = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - room)
    return ballast


def sync_command(log: Log, warehouse: Path, limit: int | None = None) -> tuple[int, str]:
    """Exit code and what was said on standard error. limit: of bytes that a file may have."""

    def bound() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-m", "data_access", "sync", "--log", log.uri],
        env=os.environ | {"MISREAD_WAREHOUSE": str(warehouse)},
        cwd=ROOT,
        preexec_fn=bound,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stderr


@dataclass(frozen=True)
class Full:
    log: Log
    before: Answers
    file: Path


@pytest.fixture
def outgrown(folder_log: Log, tmp_path: Path) -> Full:
    """A log that has grown by some megabytes since it was read into a file."""
    write(folder_log, "predictions/0.json", prediction("old", "before"))
    before = answers_of_a_fresh_warehouse(folder_log, tmp_path / "before.duckdb")
    for number in range(NOTES):
        served = prediction(str(number), tags={"note": random_note(number)})
        write(folder_log, f"predictions/new-{number}.json", served)
    return Full(folder_log, before, tmp_path / "before.duckdb")


def still_there(outgrown: Full, now: Answers) -> None:
    assert outgrown.before[0].items() <= now[0].items()
    assert now[1] == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
@pytest.mark.parametrize("share", [0.05, 0.7])
def test_a_full_disk_loses_nothing_that_was_read(
    outgrown: Full, tmp_path: Path, share: float
) -> None:
    """share: of the bytes by which the warehouse should grow, how many the disk has left."""
    log = outgrown.log
    whole = answers_of_a_fresh_warehouse(log, tmp_path / "whole.duckdb")
    growth = (tmp_path / "whole.duckdb").stat().st_size - outgrown.file.stat().st_size
    with small_disk(tmp_path / "small") as disk:
        path = Path(shutil.copy(outgrown.file, disk / "warehouse.duckdb"))
        ballast = fill_disk(disk, int(share * growth))
        warehouse = Warehouse.open(path, log.uri, load_projections())
        try:
            job = SyncJob(log, warehouse, seconds=0)
            job.start()
            until = time.monotonic() + 30
            while job.problem is None and time.monotonic() < until:
                time.sleep(0.02)
            job.stop()
            assert job.problem is not None
            assert "No space left on device" in job.problem
            still_there(outgrown, answers(warehouse))
            ballast.unlink()
            assert not sync(log, warehouse).failures, "the same process goes on"
            assert answers(warehouse) == whole
        finally:
            warehouse.close()
        assert not list(disk.glob("*.broken-*"))


def test_a_file_that_may_not_grow_loses_nothing_that_was_read(
    outgrown: Full, tmp_path: Path
) -> None:
    """The disk's quota, as it were: for machines on which nothing can be mounted."""
    log = outgrown.log
    whole = answers_of_a_fresh_warehouse(log, tmp_path / "whole.duckdb")
    path = Path(shutil.copy(outgrown.file, tmp_path / "warehouse.duckdb"))
    code, _ = sync_command(log, path, limit=path.stat().st_size)
    assert code in (1, 2)
    warehouse = Warehouse.open(path, log.uri, load_projections())
    try:
        still_there(outgrown, answers(warehouse))
        assert not sync(log, warehouse).failures
        assert answers(warehouse) == whole
    finally:
        warehouse.close()
    assert not list(tmp_path.glob("*.broken-*"))


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>Sign in to the hotel's network</body></html>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    ],
    ids=["a page for people", "an empty listing"],
)
def test_a_listing_that_leaves_out_what_is_there_forgets_nothing(
    scene: Scene, proxy: FaultyProxy, warehouse: Warehouse, body: bytes
) -> None:
    proxy.on("LIST", "predictions/", say(body))
    assert len(attempt(Log.open(scene.uri), warehouse)) == 1
    assert scene.before[0].keys() <= answers(warehouse)[0].keys()
    proxy.heal()
    assert attempt(Log.open(scene.uri), warehouse) == []
    assert answers(warehouse) == scene.whole


@pytest.mark.parametrize("fault", [shorten, say(b"<html>Sign in</html>")], ids=["short", "a page"])
def test_an_object_that_comes_otherwise_than_listed_is_not_quarantined(
    scene: Scene, proxy: FaultyProxy, warehouse: Warehouse, fault: Fault
) -> None:
    proxy.on("GET", "predictions/date=2026-07-07/[0-3].json", fault)
    assert len(attempt(Log.open(scene.uri), warehouse)) == 4
    nothing_is_wrong(scene, answers(warehouse))
    proxy.heal()
    assert attempt(Log.open(scene.uri), warehouse) == []
    assert answers(warehouse) == scene.whole


@pytest.mark.parametrize(
    "fault", [cut_off, shorten, say(b"<html>Sign in</html>")], ids=["cut off", "short", "a page"]
)
def test_a_passing_fault_is_no_last_word_on_an_image(
    scene: Scene,
    proxy: FaultyProxy,
    warehouse: Warehouse,
    fault: Fault,
) -> None:
    """The name of an image that a writer kept is the SHA-256 of its bytes, so they can be told."""
    proxy.on("GET", "images/[0-7]", fault)
    attempt(Log.open(scene.uri), warehouse)
    proxy.heal()
    assert attempt(Log.open(scene.uri), warehouse) == []
    assert answers(warehouse) == scene.whole


@pytest.mark.parametrize("name", ["500", "503"])
def test_an_image_that_the_store_cannot_give_leaves_the_others_alone(
    log_uri: str, proxy: FaultyProxy, open_warehouse: OpenWarehouse, name: str
) -> None:
    log = Log.open(log_uri)
    images = [write_picture(log, picture(number)) for number in range(60)]
    first = sorted(images)[:4]
    for number, image in enumerate(images):
        served = prediction(f"r{number}", inputs__image=image)
        write(log, f"predictions/{number}.json", served)
    proxy.on("GET", "|".join(first), FAULTS[name])
    warehouse = open_warehouse(log)
    report = sync(log, warehouse)
    assert report.scored_images == 56
    assert sum(report.failures.values()) == 4
    assert not any("does not answer" in sentence for sentence in report.failures), "it did"


@pytest.mark.parametrize("name", ["500", "503"])
def test_a_store_that_answers_with_an_error_is_not_called_silent(
    scene: Scene, proxy: FaultyProxy, warehouse: Warehouse, name: str
) -> None:
    proxy.on("LIST", "", FAULTS[name])
    (sentence,) = attempt(Log.open(scene.uri), warehouse)
    assert "does not answer" not in sentence


def test_the_command_says_in_one_line_that_the_disk_is_full(outgrown: Full, tmp_path: Path) -> None:
    path = Path(shutil.copy(outgrown.file, tmp_path / "warehouse.duckdb"))
    code, told = sync_command(outgrown.log, path, limit=path.stat().st_size)
    assert (code, told.count("\n")) == (2, 1), told
    assert str(path) in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_warehouse_of_a_stopped_sync_opens_on_a_full_disk(outgrown: Full, tmp_path: Path) -> None:
    """What that sync had read is not in `records` yet; showing what was there needs no room."""

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Reading objects":
            raise KeyboardInterrupt

    with small_disk(tmp_path / "small") as disk:
        path = Path(shutil.copy(outgrown.file, disk / "warehouse.duckdb"))
        warehouse = Warehouse.open(path, outgrown.log.uri, load_projections())
        with pytest.raises(KeyboardInterrupt):
            sync(outgrown.log, warehouse, stop)
        warehouse.close()
        ballast = fill_disk(disk, 8192)
        warehouse = Warehouse.open(path, outgrown.log.uri, load_projections())
        try:
            still_there(outgrown, answers(warehouse))
            ballast.unlink()
            assert not sync(outgrown.log, warehouse).failures
            assert len(answers(warehouse)[0]) == 1 + NOTES
        finally:
            warehouse.close()


def test_a_clock_that_was_ahead_does_not_put_off_an_image_for_years(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(log, "predictions/1.json", prediction("a", inputs__image="images/late.png"))
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    with warehouse.transaction() as cursor:
        cursor.execute("update image_values set tried = '2099-01-01'")
    log.put("images/late.png", picture())
    assert sync(log, warehouse).scored_images == 1
