"""Background jobs of a dashboard: started, watched, cancelled, and what came of each run."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from data_access import queries
from data_access.annotations import send_waiting
from data_access.errors import MisreadError
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.progress import Progress
from data_access.scoring.texts import ModelProcess, ScoringReport, score
from data_access.scoring.toxicity import model_name
from data_access.warehouse import Warehouse

Report = TypeVar("Report")


class _CancelledError(Exception):
    """Ends a run from within, where it tells its progress."""


@dataclass(frozen=True)
class Outcome(Generic[Report]):
    """What came of one run: a report, a problem, both where a part failed, or a cancellation."""

    ended: datetime
    report: Report | None = None
    problem: str | None = None
    cancelled: bool = False


class Job(Generic[Report]):
    """Work done in a thread of its own, whenever it is asked for, one run at a time.

    `stage`, `done` and `total` are the progress of the running one (total 0: not known yet),
    `outcome` that of the last one, `finished` when the last one that succeeded ended.
    """

    name = "job"
    failure = "The job failed"

    def __init__(self, seconds: float = 0.0) -> None:
        """seconds: after so many without being asked, a started job runs again; 0: never."""
        self.stage = ""
        self.done = 0
        self.total = 0
        self.running = False
        self.outcome: Outcome[Report] | None = None
        self.finished: datetime | None = None
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._cancelled = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def work(self, progress: Progress) -> Report:
        """One run. Ends where `progress` raises; what was written by then is kept."""
        raise NotImplementedError

    def shortfall(self, report: Report) -> str | None:
        """What a run that succeeded could not do, in a sentence; None where it did all."""
        return None

    def succeeded(self, report: Report) -> None:
        """Called in the thread at the end of a run that succeeded."""

    def ask(self) -> None:
        """Run now, or again as soon as the running one ends."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._asked.set()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._loop, name=f"misread-{self.name}", daemon=True
                )
                self._thread.start()

    def cancel(self) -> None:
        """End the running one soon, and whatever else was asked for; what was written is kept."""
        with self._lock:
            self._asked.clear()
            self._cancelled.set()

    def stop(self) -> None:
        """End for good, soon; what was written is kept."""
        with self._lock:
            self._stopped.set()
            self._asked.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    @property
    def busy(self) -> bool:
        """Whether it runs or is about to."""
        return self.running or (self._asked.is_set() and not self._stopped.is_set())

    @property
    def report(self) -> Report | None:
        """Of the last run; None before the first, or where it did not succeed."""
        return self.outcome.report if self.outcome is not None else None

    @property
    def problem(self) -> str | None:
        """Of the last run, in a sentence."""
        return self.outcome.problem if self.outcome is not None else None

    def _loop(self) -> None:
        while not self._stopped.is_set():
            asked = self._asked.wait(self._seconds or None)
            with self._lock:
                if asked and not self._asked.is_set():
                    continue  # cancelled before it began
                self.stage, self.done, self.total = "", 0, 0
                self.running = not self._stopped.is_set()
                self._asked.clear()
                self._cancelled.clear()
            if self.running:
                try:
                    self.outcome = self._run()
                finally:
                    self.running = False

    def _run(self) -> Outcome[Report]:
        report: Report | None = None
        problem: str | None = None
        cancelled = False
        try:
            report = self.work(self._progress)
            problem = self.shortfall(report)
            self.finished = datetime.now(UTC)
            self.succeeded(report)
        except MisreadError as error:
            problem = str(error)
        except _CancelledError:
            cancelled = True
        except Exception as error:  # the thread must outlive whatever one run runs into
            problem = f"{self.failure}: {type(error).__name__}: {error}"
        return Outcome(datetime.now(UTC), report, problem, cancelled)

    def _progress(self, stage: str, done: int, total: int) -> None:
        if self._stopped.is_set() or self._cancelled.is_set():
            raise _CancelledError
        self.stage, self.done, self.total = stage, done, total


class SyncJob(Job[SyncReport]):
    """Keeps a warehouse near its log: every so often, and when asked."""

    name = "sync"
    failure = "The sync failed"

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

    def work(self, progress: Progress) -> SyncReport:
        send_waiting(self._log)
        return sync(self._log, self._warehouse, progress)

    def shortfall(self, report: SyncReport) -> str | None:
        if not report.failures:
            return None
        others = len(report.failures) - 1
        more = f" (And {others:,} more like this.)" if others else ""
        return next(iter(report.failures)) + more

    def succeeded(self, report: SyncReport) -> None:
        self._after()


class ScoringJob(Job[ScoringReport]):
    """Scores the texts that lack scores, when asked; the model is in a process of its own."""

    name = "scoring"
    failure = "Scoring failed"

    def __init__(
        self, log: Log, warehouse: Warehouse, setting: str, after: Callable[[], object]
    ) -> None:
        """setting: as in MISREAD_TOXICITY. after: called when scores were added to the log."""
        super().__init__()
        self.setting = setting
        self._log = log
        self._warehouse = warehouse
        self._after = after

    def ask(self) -> None:
        """Score now, unless that is being done."""
        if not self.busy:
            super().ask()

    def work(self, progress: Progress) -> ScoringReport:
        model = model_name(self.setting)
        if not queries.unscored_text_count(self._warehouse, model):
            return ScoringReport(model)
        with ModelProcess(self.setting, model) as process:
            return score(self._log, self._warehouse, model, process.scores, progress)

    def succeeded(self, report: ScoringReport) -> None:
        if report.objects:
            self._after()
