"""Background jobs and their worker processes, and the panel that shows any of them."""

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from data_access.api import OpenLog
from data_access.errors import MisreadError, WorkerError
from data_access.ingest.report import SyncReport
from data_access.jobs import Job, Outcome, SyncJob
from data_access.log import Log
from data_access.progress import Progress
from data_access.settings import worker_niceness
from data_access.worker import NICENESS, Worker
from pages.parts import freshness, store
from tests import worker_functions
from tests.checkpoints import write_checkpoint
from tests.samples import feedback, prediction, write
from tests.test_pages import Dashboard, dashboard, displayed, stands, text

__all__ = ["dashboard", "displayed"]


def wait(until: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.002)


class Counting(Job[int, str]):
    """Counts to what is requested, and on request 0 until it is cancelled."""

    name = "counting"
    failure = "Counting failed"
    runs = 0

    def work(self, request: int, progress: Progress) -> str:
        self.runs += 1
        if request < 0:
            raise ValueError(f"{request} is negative")
        if request == 13:
            raise MisreadError("13 brings bad luck; choose another number.")
        for done in range(sys.maxsize if request == 0 else request):
            progress("Counting", done + 1, request)
            time.sleep(0.001)
        return f"{request:,} counted"

    def summary(self, report: str) -> str:
        return f"That makes {report}."

    def failures(self, report: str) -> Mapping[str, int]:
        return {"7 was *missed*": 2, "8 was missed": 1} if report == "9 counted" else {}


class QueuedCounting(Counting):
    queues = True


@pytest.fixture
def counting() -> Iterator[Counting]:
    job = Counting()
    yield job
    job.stop()


def test_an_outcome_is_that_of_its_own_request(counting: Counting) -> None:
    counting.start(0)
    wait(lambda: counting.done > 1)
    assert (counting.stage, counting.busy, counting.request) == ("Counting", True, 0)
    counting.cancel()
    wait(lambda: not counting.busy)
    cancelled = counting.outcome
    assert cancelled is not None
    assert cancelled == Outcome(0, cancelled.ended, cancelled=True)
    assert (counting.finished, counting.version) == (None, 1)
    counting.start(3)
    wait(lambda: not counting.busy)
    finished = counting.outcome
    assert finished is not None
    assert finished == Outcome(3, finished.ended, "3 counted")
    assert (counting.report, counting.problem, counting.version) == ("3 counted", None, 2)
    assert counting.finished


def test_what_fails_is_a_sentence_and_the_next_run_goes_on(counting: Counting) -> None:
    for request, problem in (
        (-1, "Counting failed: ValueError: -1 is negative"),
        (13, "13 brings bad luck; choose another number."),
        (9, "7 was *missed* (And 1 more like this.)"),
        (1, None),
    ):
        counting.start(request)
        wait(lambda: not counting.busy)
        assert counting.problem == problem
    assert counting.report == "1 counted"


def test_requests_during_a_run_are_dropped_or_wait(counting: Counting) -> None:
    queued = QueuedCounting()
    for job in (counting, queued):
        job.start(0)
        wait(partial(getattr, job, "done"))
        for request in (2, 2, 4):
            job.start(request)
        assert job.request == 0
    queued.cancel()
    wait(lambda: not queued.busy)
    assert queued.runs == 1, "what waited is cancelled too"
    queued.start(50)
    for request in (2, 2, 4):
        queued.start(request)
    wait(lambda: not queued.busy)
    assert (queued.runs, queued.report) == (4, "4 counted")
    counting.cancel()
    wait(lambda: not counting.busy)
    assert counting.runs == 1
    queued.stop()
    queued.start(1)
    assert not queued.busy


def test_a_job_repeats_its_last_request() -> None:
    job = Counting(seconds=0.01)
    job.start(1)
    wait(lambda: job.runs > 3)
    job.stop()
    runs = job.runs
    time.sleep(0.1)
    assert job.runs == runs


class Stalling(Job[None, None]):
    """Does 20 of 100 in a second or so, and then nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def work(self, request: None, progress: Progress) -> None:
        progress("Preparing", 5, 5)
        for done in range(0, 21):
            progress("Working", done, 100)
            time.sleep(0.06)
        self.released.wait(30)


def test_the_time_left_is_that_of_the_stage_at_the_rate_so_far() -> None:
    job = Stalling()
    assert not job.left
    job.start()
    wait(lambda: job.done == 20)
    left = job.left
    assert job.rate is not None and 1 < job.rate < 18
    assert left == pytest.approx(80 / job.rate, rel=0.2)
    time.sleep(0.5)
    assert left is not None and (job.left or 0) > left, "what stalls takes longer"
    job.released.set()
    wait(lambda: not job.busy)
    job.stop()


# --- workers --------------------------------------------------------------------------------


def test_a_worker_answers_and_reports_progress() -> None:
    reported: list[tuple[str, int, int, int]] = []
    with Worker(worker_functions.count) as worker:
        for to in (3, 0, 2):
            answer = worker.request(
                lambda stage, done, total, square: reported.append((stage, done, total, square)),
                to=to,
            )
            assert answer == list(range(to))
        assert worker.request(to=1) == [0], "nobody need listen"
    assert reported == [("Counting", n, to, n * n) for to in (3, 0, 2) for n in range(to)]


def test_a_worker_is_a_polite_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(tmp_path)
    for single_threaded in (True, False):
        with Worker(worker_functions.look_around, single_threaded=single_threaded) as worker:
            surroundings = worker.request()
        assert surroundings["niceness"] == min(os.nice(0) + NICENESS, 19)
        assert surroundings["threads"] == ("1" if single_threaded else None)
        assert str(tmp_path) in surroundings["path"], "modules beside the one who started it"


def test_what_goes_wrong_in_a_worker_is_a_sentence() -> None:
    for function, sentence in (
        (worker_functions.refuse, "There is no model; get one."),
        (worker_functions.fail, "The worker process failed: ValueError: seven"),
    ):
        with Worker(function) as worker:
            for _ in range(2):
                with pytest.raises(WorkerError) as caught:
                    worker.request()
                assert str(caught.value) == sentence
    with Worker(worker_functions.die) as worker:
        for _ in range(2):
            with pytest.raises(WorkerError, match=r"ended unexpectedly \(exit code 3\)"):
                worker.request()


def test_a_worker_ends_with_its_parent_whatever_it_does() -> None:
    worker = Worker(worker_functions.hang)
    hanging = threading.Event()

    def request() -> None:
        with pytest.raises(WorkerError, match="exit code 0"):
            worker.request(lambda *_, **__: hanging.set())

    thread = threading.Thread(target=request)
    thread.start()
    assert hanging.wait(60)
    process = worker._process
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()  # as when the parent is killed
    assert process.wait(10) == 0
    thread.join(10)
    process.stdout.close()


class Hanging(Job[None, None]):
    def work(self, request: None, progress: Progress) -> None:
        with self.worker(worker_functions.hang) as worker:
            worker.request(progress)


def test_a_job_whose_worker_hangs_is_cancelled_and_stopped() -> None:
    job = Hanging()
    for end in (job.cancel, job.stop):
        job.start()
        wait(lambda: job.stage == "Hanging")
        end()
        wait(lambda: not job.busy, 10)
        assert job.outcome is not None and job.outcome.cancelled
        assert job.problem is None


# --- the panel ------------------------------------------------------------------------------


@pytest.fixture
def shown() -> Iterator[AppTest]:
    """A page that shows the job `JOBS[0]`."""

    def page() -> None:
        import streamlit as st

        from pages.parts import jobs
        from tests.test_jobs import JOBS

        job = JOBS[0]
        jobs.panel(
            job,
            lambda: st.button("Count", on_click=job.start, args=(0,)),
            shows=lambda outcome: outcome.request != 99,
        )

    main = sys.modules["__main__"]  # a page run here takes its place
    JOBS[:] = [Counting()]
    yield AppTest.from_function(page, default_timeout=60)
    sys.modules["__main__"] = main
    JOBS.pop().stop()


JOBS: list[Counting] = []


def test_a_new_job_is_one_class_and_the_panel_shows_it(shown: AppTest) -> None:
    job = JOBS[0]
    assert [button.label for button in shown.run().button] == ["Count"]
    assert not shown.caption
    shown.button[0].click().run()
    wait(lambda: job.done > 1)
    shown.run()
    assert [button.label for button in shown.button] == ["Cancel"]
    assert "Counting … " in shown.get("progress")[0].proto.text
    shown.button[0].click().run()
    wait(lambda: not job.busy)
    shown.run()
    assert [button.label for button in shown.button] == ["Count"]
    assert shown.caption[0].value == "Cancelled. What was done so far is kept."


def test_the_panel_shows_how_a_run_ended(shown: AppTest) -> None:
    job = JOBS[0]
    for request, captions, warnings in (
        (3, ["That makes 3 counted\\."], []),
        (13, [], ["13 brings bad luck; choose another number\\."]),
        (
            9,
            ["That makes 9 counted\\."],
            ["Errors:\n\n- 7 was \\*missed\\* (2 times)\n- 8 was missed"],
        ),
        (99, [], []),
    ):
        job.start(request)
        wait(lambda: not job.busy)
        shown.run()
        assert not shown.exception
        assert [caption.value for caption in shown.caption] == captions
        assert [warning.value for warning in shown.warning] == warnings


def test_the_panel_tells_how_long_it_will_take(shown: AppTest) -> None:
    job = JOBS[0]
    job.start(1_000_000)
    wait(lambda: job.left is not None)
    shown.run()
    text = shown.get("progress")[0].proto.text
    assert "of 1,000,000, about " in text and text.endswith(" left")


def endless_sync(job: SyncJob, request: None, progress: Progress) -> SyncReport:
    """Stands in for the sync of a log so large that nobody waits for it."""
    for done in count():
        progress("Reading objects", done, 2 * done + 1)
        time.sleep(0.01)
    raise AssertionError


def test_a_sync_is_cancelled_on_the_data_page_and_at_the_foot(
    dashboard: Dashboard, folder_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    app = dashboard("data", folder_log.uri)
    job = store.syncing()
    wait(lambda: not job.busy)
    for start, cancel in (("sync-now", "cancel.sync"), (None, "cancel.foot")):
        with monkeypatch.context() as patched:
            patched.setattr(SyncJob, "work", endless_sync)
            app.run()
            button = next(button for button in app.button if button.label == "Sync now")
            (app.button(key=start) if start else button).click().run()
            wait(lambda: job.done)
            app.run()
            stands(app)
            assert "Reading objects … " in app.get("progress")[0].proto.text
            app.button(key=cancel).click().run()
            wait(lambda: not job.busy)
        app.run()
        stands(app)
        assert text(app).count("Cancelled. What was done so far is kept.") == 2
    app.button(key="sync-now").click().run()
    wait(lambda: not job.busy)
    app.run()
    assert "Cancelled" not in text(app) and "The last sync found nothing new" in text(app)
    assert "**1** of 1 record" in text(app)


def test_scoring_is_cancelled_on_the_data_page_and_started_again(
    dashboard: Dashboard, folder_log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISREAD_TOXICITY", str(write_checkpoint(tmp_path / "tiny")))
    write(folder_log, "predictions/1.jsonl", prediction("a", "one"), prediction("b", "two"))
    app = dashboard("data", folder_log.uri)
    job = store.scoring()
    next(button for button in app.button if button.label == "Score 2 texts").click().run()
    wait(lambda: job.stage)
    app.run()
    stands(app)
    assert "Loading the model …" in [bar.proto.text for bar in app.get("progress")]
    app.button(key="cancel.scoring").click().run()
    wait(lambda: not job.busy, 10)
    app.run()
    stands(app)
    assert "Cancelled. What was done so far is kept." in text(app)
    assert not folder_log.list("projections/")
    next(button for button in app.button if button.label == "Score 2 texts").click().run()
    wait(lambda: not job.busy, 120)
    wait(lambda: not store.syncing().busy)
    app.run()
    stands(app)
    assert "Scored 2 texts" in text(app)
    assert not [button for button in app.button if re.fullmatch(r"Score \d+ texts?", button.label)]


OPENED: list[tuple[OpenLog, freshness.Drawn]] = []


def news_page() -> None:
    from pages.parts import freshness  # a page of AppTest.from_function has its own names
    from tests.test_jobs import OPENED

    freshness.news(*OPENED[0])


def test_what_came_since_is_offered_and_the_numbers_agree(
    dashboard: Dashboard, folder_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder_log, "predictions/1.json", prediction("a"))
    app = dashboard("cases", folder_log.uri)
    job = store.syncing()
    wait(lambda: not job.busy)
    log = store.opened()
    drawn = freshness.drawn(log)
    OPENED[:] = [(log, drawn)]
    shown = AppTest.from_function(news_page).run()
    assert not shown.button
    write(folder_log, "predictions/2.jsonl", prediction("b"), prediction("c"))
    job.start()
    wait(lambda: not job.busy and log.warehouse.version != drawn.version)
    assert [button.label for button in shown.run().button] == ["2 new: show"]
    OPENED[:] = [(log, freshness.drawn(log))]
    assert not shown.run().button
    write(folder_log, "feedback/1.json", feedback("a"))
    job.start()
    wait(lambda: not job.busy and log.warehouse.version != OPENED[0][1].version)
    assert [button.label for button in shown.run().button] == ["Updated: show"]
    app.run()
    stands(app)
    assert not [button for button in app.button if button.label.endswith(": show")]
    assert "**3** of 3 records" in text(app) and "· 3 records ·" in text(app)
    monkeypatch.setattr(SyncJob, "work", endless_sync)
    job.start()  # as the clock does
    wait(lambda: job.running)
    monkeypatch.setattr(freshness, "SHORT_SECONDS", 1e9)
    assert "cancel.foot" not in {button.key for button in app.run().button}
    monkeypatch.setattr(freshness, "SHORT_SECONDS", 0.0)
    assert "cancel.foot" in {button.key for button in app.run().button}
    job.cancel()
    OPENED.clear()


def test_how_far_workers_stand_back_is_a_number_from_0_to_19() -> None:
    assert worker_niceness({}) == 10 and worker_niceness({"MISREAD_NICENESS": "0"}) == 0
    for wrong in ("20", "-1", "low"):
        with pytest.raises(MisreadError, match="name a number from 0 to 19"):
            worker_niceness({"MISREAD_NICENESS": wrong})
