"""Background jobs of a dashboard: started, watched, cancelled, and how each run ended."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, overload

from data_access import queries
from data_access.annotations import send_waiting
from data_access.errors import MisreadError
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.progress import Progress, counted
from data_access.scoring.report import ScoringReport
from data_access.scoring.texts import score, worker_scores
from data_access.scoring.toxicity import answer_texts, model_name
from data_access.scoring.words import WordScores, score_words, unscored_words
from data_access.settings import worker_niceness
from data_access.warehouse import Warehouse
from data_access.worker import Worker

Request = TypeVar("Request")
Report = TypeVar("Report")

RATE_SECONDS = 1.0  # that progress is observed for before a rate is given
STOP_SECONDS = 10.0  # that a stopped job is waited for


class _CancelledError(Exception):
    """Ends a run from within, where it reports its progress."""


@dataclass(frozen=True)
class Outcome(Generic[Request, Report]):
    """How a run ended: with a report, a problem, both where a part failed, or a cancellation."""

    request: Request
    ended: datetime
    report: Report | None = None
    problem: str | None = None
    cancelled: bool = False


class Job(Generic[Request, Report]):
    """Work in a thread of its own, one run at a time, each for a request.

    A new job is a subclass with `work`, and whatever else of the following differs. `stage`,
    `done` and `total` are the progress of the running one (total 0: not known yet), `request` what
    it is for. `outcome` is how the last run ended, `finished` when the last successful one did.
    `version` grows whenever there may be something new to show.
    """

    name = "job"
    failure = "The job failed"
    queues = False  # whether requests made during a run wait for its end, or are dropped

    def __init__(self, seconds: float = 0.0) -> None:
        """seconds: after so many without a request, the last one is repeated; 0: never."""
        self.stage = ""
        self.done = 0
        self.total = 0
        self.version = 0
        self.request: Request | None = None
        self.running = False
        self.outcome: Outcome[Request, Report] | None = None
        self.finished: datetime | None = None
        self._seconds = seconds
        self._requests: deque[Request] = deque()
        self._changed = threading.Condition()
        self._cancelled = False
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._worker: Worker | None = None
        self._first_progress: tuple[float, int] | None = None
        self._began = 0.0

    def work(self, request: Request, progress: Progress) -> Report:
        """One run. Ends where `progress` raises; what was written by then is kept."""
        raise NotImplementedError

    def summary(self, report: Report) -> str:
        """What a successful run did, in a sentence; empty where that needs no words."""
        return ""

    def failures(self, report: Report) -> Mapping[str, int]:
        """What a successful run could not do: sentences, and how often."""
        return {}

    def succeeded(self, report: Report) -> None:
        """Called in the thread at the end of a successful run."""

    @overload
    def start(self: "Job[None, Report]") -> None: ...
    @overload
    def start(self, request: Request) -> None: ...
    def start(self, request: Any = None) -> None:
        """Run now, or, if this job queues, as soon as the running one ends."""
        with self._changed:
            if self._stopped or request in self._requests or (self.busy and not self.queues):
                return
            self._requests.append(request)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._loop, name=f"misread-{self.name}", daemon=True
                )
                self._thread.start()

    def cancel(self) -> None:
        """End the running one soon, and drop the requests that wait; what was written is kept."""
        with self._changed:
            self._requests.clear()
            self._cancelled = True
            if self._worker is not None:
                self._worker.kill()

    def stop(self) -> None:
        """End for good, soon; what was written is kept."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self.cancel()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    @property
    def busy(self) -> bool:
        """Whether it runs or is about to."""
        return self.running or bool(self._requests)

    @property
    def elapsed(self) -> float:
        """Seconds that the running one has taken so far; 0 where none runs."""
        return time.monotonic() - self._began if self.running else 0.0

    @property
    def report(self) -> Report | None:
        """Of the last run; None before the first, or where it did not succeed."""
        return self.outcome.report if self.outcome is not None else None

    @property
    def problem(self) -> str | None:
        """Of the last run, in a sentence."""
        return self.outcome.problem if self.outcome is not None else None

    @property
    def rate(self) -> float | None:
        """How much of the running stage is done in a second; None while that is not known."""
        first = self._first_progress
        if first is None or self.done <= first[1]:
            return None
        elapsed = time.monotonic() - first[0]
        return (self.done - first[1]) / elapsed if elapsed >= RATE_SECONDS else None

    @property
    def left(self) -> float | None:
        """Seconds until the running stage is done at the rate so far; None while not known."""
        rate = self.rate
        return (self.total - self.done) / rate if rate is not None and self.total else None

    @contextmanager
    def worker(
        self, function: Callable[..., Any], *, single_threaded: bool = False
    ) -> Iterator[Worker]:
        """A process for the running work, see `Worker`; killed where the run is cancelled."""
        niceness = worker_niceness()
        with Worker(function, single_threaded=single_threaded, niceness=niceness) as worker:
            with self._changed:
                self._worker = worker
                if self._ending:
                    worker.kill()
            try:
                yield worker
            finally:
                with self._changed:
                    self._worker = None

    @property
    def _ending(self) -> bool:
        return self._cancelled or self._stopped

    def _loop(self) -> None:
        last: list[Request] = []
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._requests or self._stopped, self._seconds or None
                )
                if self._stopped:
                    return
                if self._requests:
                    self._began, self.running = time.monotonic(), True
                    last = [self._requests.popleft()]
                if not last:
                    continue  # cancelled before it began
                self._begin(last[0])
            try:
                self.outcome = self._run(last[0])
            finally:
                self.version += 1
                self.running = False

    def _begin(self, request: Request) -> None:
        self._began, self.running = time.monotonic(), True
        self.request, self._cancelled = request, False
        self.stage, self.done, self.total, self._first_progress = "", 0, 0, None

    def _run(self, request: Request) -> Outcome[Request, Report]:
        report: Report | None = None
        problem: str | None = None
        cancelled = False
        try:
            report = self.work(request, self._progress)
            problem = _first_of(self.failures(report))
            self.finished = datetime.now(UTC)
            self.succeeded(report)
        except Exception as error:  # the thread must outlive whatever one run runs into
            if self._ending:  # what fails then fails for want of a worker
                cancelled = True
            elif isinstance(error, MisreadError):
                problem = str(error)
            else:
                problem = f"{self.failure}: {type(error).__name__}: {error}"
        return Outcome(request, datetime.now(UTC), report, problem, cancelled)

    def _progress(self, stage: str, done: int, total: int) -> None:
        if self._ending:
            raise _CancelledError
        if stage != self.stage:
            self._first_progress = None
        if self._first_progress is None and done:
            self._first_progress = (time.monotonic(), done)
        self.stage, self.done, self.total = stage, done, total


def _first_of(failures: Mapping[str, int]) -> str | None:
    if not failures:
        return None
    others = len(failures) - 1
    return next(iter(failures)) + (f" (And {others:,} more like this.)" if others else "")


class SyncJob(Job[None, SyncReport]):
    """Keeps a warehouse near its log: every so often, and on request."""

    name = "sync"
    failure = "The sync failed"
    queues = True  # the running one may have listed already what a request is about

    def __init__(
        self,
        log: Log,
        warehouse: Warehouse,
        seconds: float,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        """after: called in the thread when a sync has succeeded."""
        super().__init__(seconds)
        self._log = log
        self._warehouse = warehouse
        self._after = after

    def work(self, request: None, progress: Progress) -> SyncReport:
        send_waiting(self._log)
        return sync(self._log, self._warehouse, progress)

    def summary(self, report: SyncReport) -> str:
        if report == SyncReport(failures=report.failures):
            return "The last sync found nothing new."
        parts = [
            f"read {counted(report.objects, 'object')} ({counted(report.predictions, 'prediction')}"
            f", {report.feedback:,} feedback, {report.quarantined:,} quarantined)"
        ]
        if report.removed:
            parts.append(f"dropped {counted(report.removed, 'deleted object')}")
        if report.scored_texts or report.scored_images:
            texts = counted(report.scored_texts, "text")
            parts.append(f"scored {texts} and {counted(report.scored_images, 'image')}")
        if report.logged_images:
            images = counted(report.logged_images, "image")
            parts.append(f"took the values of {images} from the log")
        return f"The last sync {', '.join(parts)}."

    def failures(self, report: SyncReport) -> Mapping[str, int]:
        return report.failures

    def succeeded(self, report: SyncReport) -> None:
        self._after()


class ScoringJob(Job[None, ScoringReport]):
    """Scores the texts that are not scored yet; the model is in a process of its own."""

    name = "scoring"
    failure = "Scoring failed"

    def __init__(
        self, log: Log, warehouse: Warehouse, setting: str, after: Callable[[], object]
    ) -> None:
        """setting: as in MISREAD_TOXICITY. after: called when scores were added to the log."""
        super().__init__()
        self.setting = setting
        self._words = WordScores(log)
        self._log = log
        self._warehouse = warehouse
        self._after = after

    def work(self, request: None, progress: Progress) -> ScoringReport:
        model = model_name(self.setting)
        self._words.refresh(model)
        known = self._words.of(model)
        if not (
            queries.unscored_text_count(self._warehouse, model)
            or unscored_words(self._warehouse, known)
        ):
            return ScoringReport()
        progress("Loading the model", 0, 0)
        with self.worker(answer_texts) as worker:
            scores = worker_scores(worker, self.setting, model)
            report = score(self._log, self._warehouse, model, scores, progress)
            words = unscored_words(self._warehouse, known)
            report.words = score_words(self._log, model, words, scores)
            return report

    def summary(self, report: ScoringReport) -> str:
        if not report.scored and not report.words:
            return ""
        words = f" and {counted(report.words, 'word')}" if report.words else ""
        return f"Scored {counted(report.computed, 'text')}{words}; the next sync reads the scores."

    def succeeded(self, report: ScoringReport) -> None:
        if report.objects or report.words:
            self._after()
