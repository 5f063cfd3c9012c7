"""Replays of a dashboard: what is known of a question, and a job that has images read.

The job's process writes what it reads into the log itself.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_access import queries
from data_access.api import OpenLog
from data_access.errors import LogError
from data_access.jobs import Job
from data_access.log import Log
from data_access.progress import Progress, counted
from data_access.selection import Selection
from readings.answers import Reading
from readings.cache import Readings
from readings.sources import Source
from replay.engine import Plan, Problem, Question, ReadingTask, Report, plan, run
from replay.interventions import Intervention

LOOK_SECONDS = 10.0  # how often the log is asked for readings of others
RATES = {"v1": 9.0, "v2": 5.0}  # readings a second on one core; measured anew by each run
RATE = 5.0  # of others


@dataclass(frozen=True)
class ReplayRequest:
    """What is to be read for a question."""

    question: Question
    tasks: tuple[ReadingTask, ...]


class ReplayJob(Job[ReplayRequest, Report]):
    """Reads altered images, in a process of its own.

    `version` grows also during a run, when readings were added to the log.
    """

    name = "replay"
    failure = "The replay failed"

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._rates = dict(RATES)

    def work(self, request: ReplayRequest, progress: Progress) -> Report:
        def follow(stage: str, done: int, total: int, objects: int) -> None:
            self.version += objects
            progress(stage, done, total)
            remaining = self._remaining()
            if self.rate is not None and remaining:
                self._rates[next(iter(remaining))] = self.rate

        with self.worker(read_tasks, single_threaded=True) as worker:
            report = worker.request(
                follow,
                log=self._log.opened_with,
                tasks=[asdict(task) for task in request.tasks],
            )
        return Report(**{**report, "problems": [Problem(**row) for row in report["problems"]]})

    def summary(self, report: Report) -> str:
        made = f"The last run made {counted(report.readings, 'reading')}"
        failed = f"; {len(report.problems):,} could not be made" if report.problems else ""
        return f"{made}{failed}."

    def failures(self, report: Report) -> Mapping[str, int]:
        return report.counted()

    @property
    def left(self) -> float | None:
        """Seconds until all is read, by the rates of the recognizers that read it; None while the
        running one's is not known.
        """
        rate, remaining = self.rate, self._remaining()
        if rate is None or not remaining:
            return None
        running = next(iter(remaining))
        return _seconds(remaining, {**self._rates, running: rate})

    def seconds(self, tasks: Iterable[ReadingTask]) -> float:
        """About how long these will take."""
        return _seconds(_readings(tasks), self._rates)

    def _remaining(self) -> dict[str, int]:
        """Readings still to be made, by recognizer; the running one comes first."""
        if self.request is None:
            return {}
        remaining, done = _readings(self.request.tasks), self.done
        for setting, count in list(remaining.items()):
            remaining[setting] = max(0, count - done)
            done = max(0, done - count)
        return {setting: count for setting, count in remaining.items() if count}


def _readings(tasks: Iterable[ReadingTask]) -> dict[str, int]:
    """How many there are by recognizer, in the order of the tasks."""
    readings: dict[str, int] = {}
    for task in tasks:
        readings[task.setting] = readings.get(task.setting, 0) + len(task.interventions)
    return readings


def _seconds(readings: Mapping[str, int], rates: Mapping[str, float]) -> float:
    return sum(count / rates.get(setting, RATE) for setting, count in readings.items())


def read_tasks(
    progress: Callable[..., None], log: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the job's process does: reads, adds to the log, and returns the fields of the report.

    log: arguments of `Log.open`. tasks: fields of each. Progress has as a detail the objects that
    were added since it was last reported. Raises ModelError, LogError, SettingsError.
    """
    report = Report()
    reported = 0

    def follow(stage: str, done: int, total: int) -> None:
        nonlocal reported
        progress(stage, done, total, objects=report.objects - reported)
        reported = report.objects

    parsed = [
        ReadingTask(**{**task, "interventions": tuple(task["interventions"])}) for task in tasks
    ]
    return asdict(run(Log.open(**log), parsed, follow, report=report))


class Replays:
    """What a dashboard knows of replays: the readings of its log, and the job that adds some."""

    def __init__(self, log: OpenLog, readings: Readings) -> None:
        self.job = ReplayJob(log.log)
        self.readings = readings
        self._log = log
        self._looked: dict[str, tuple[float, int]] = {}  # by recognizer: when, at which version

    def plan(self, question: Question) -> tuple[Plan, str | None]:
        """What a question needs, by what the log holds now; and why that is not known, if so.

        Raises SettingsError for a reader that there is not.
        """
        planned = plan(self._log, question, self.readings)
        stale = [key for key in set(planned.recognizers.values()) if self._is_stale(key)]
        if not stale:
            return planned, None
        version = self.job.version
        try:
            self.readings.refresh(stale)
        except LogError as error:
            return planned, str(error)
        self._looked |= dict.fromkeys(stale, (time.monotonic(), version))
        return plan(self._log, question, self.readings), None

    def reading(self, record_key: str, intervention: Intervention) -> tuple[Reading, Source] | None:
        """What the model of a record's version reads in its image, altered, and which model that
        is; None where no replay has made that reading."""
        question = Question(Selection(), record_key=record_key)
        planned, _ = self.plan(question)
        images = queries.replay_images(
            self._log.warehouse, question.selection, question.images, record_key
        )
        for sha256 in images["sha256"]:
            for reader in planned.readers.values():
                reading = self.readings.of(reader.key).get((sha256, intervention.key))
                if reading is not None:
                    return reading, reader
        return None

    def _is_stale(self, recognizer: str) -> bool:
        looked = self._looked.get(recognizer)
        return (
            looked is None
            or looked[1] != self.job.version
            or time.monotonic() > looked[0] + LOOK_SECONDS
        )
