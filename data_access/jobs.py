"""Background work of a dashboard."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from data_access.errors import MisreadError
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.warehouse import Warehouse


def _told(report: SyncReport) -> str | None:
    """What a sync could not do, in one line; None where it did all."""
    if not report.failures:
        return None
    others = len(report.failures) - 1
    return next(iter(report.failures)) + (f" (And {others:,} more like this.)" if others else "")


class _StoppedError(Exception):
    """Ends a sync from within, between two transactions."""


class BackgroundSync:
    """Keeps a warehouse near its log from a thread of its own: every so often, and when asked.

    `report` says what the last sync did; None before the first, or where it did not succeed.
    """

    def __init__(
        self,
        log: Log,
        warehouse: Warehouse,
        seconds: float,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        """after: called in the thread when a sync has succeeded."""
        self.stage = ""
        self.done = 0
        self.total = 0
        self.running = False
        self.problem: str | None = None
        self.report: SyncReport | None = None
        self.finished: datetime | None = None
        self._log = log
        self._warehouse = warehouse
        self._seconds = seconds
        self._after = after
        self._asked = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="misread-sync", daemon=True)

    def start(self) -> None:
        """Sync at once, then every `seconds` seconds (0: only when asked)."""
        self._asked.set()
        self._thread.start()

    def ask(self) -> None:
        """Sync now, or again as soon as the running one ends."""
        self._asked.set()

    @property
    def busy(self) -> bool:
        """Whether a sync runs or is about to."""
        return self.running or self._asked.is_set()

    def stop(self) -> None:
        """End the thread soon; what was read so far is kept."""
        self._stopped.set()
        self._asked.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._asked.wait(self._seconds or None)
            self.running = not self._stopped.is_set()
            self._asked.clear()
            if self.running:
                self._sync()

    def _sync(self) -> None:
        report = None
        try:
            report = sync(self._log, self._warehouse, self._progress)
            self.problem = _told(report)
            self.finished = datetime.now(UTC)
            self._after()
        except MisreadError as error:
            self.problem = str(error)
        except _StoppedError:
            pass
        except Exception as error:  # the thread must outlive whatever one sync runs into
            self.problem = f"The sync failed: {type(error).__name__}: {error}"
        finally:
            self.report = report
            self.running = False
            self.stage = ""

    def _progress(self, stage: str, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        self.stage, self.done, self.total = stage, done, total
