"""A replay in a process of its own, so that pages do not wait for it: started, watched, cancelled.

The process has a low priority, ends with this one, and writes what it reads into the log itself.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

from data_access.api import OpenLog
from data_access.errors import LogError, MisreadError, ModelError
from data_access.log import Log
from readings.cache import Readings
from readings.sources import single_thread
from replay.engine import Job, Plan, Problem, Question, Report, plan, run

ROOT = Path(__file__).parent.parent
SERVE = "from replay.background import serve; serve()"
LOOK_SECONDS = 10.0  # how often the log is asked for readings of others
RATES = {"v1": 9.0, "v2": 5.0}  # readings a second on one core; measured anew by each run
RATE = 5.0  # of others


class BackgroundReplay:
    """Replays what it is asked for, one question at a time.

    `stage`, `done` and `total` tell how far it is, `left` how many seconds it will take; `problem`
    why it stopped, `report` what the last run did. `version` grows whenever something was added to
    the log.
    """

    def __init__(self, uri: str, image_roots: tuple[str, ...] = ()) -> None:
        self.running = False
        self.stage = ""
        self.done = 0
        self.total = 0
        self.left = math.nan
        self.version = 0
        self.problem: str | None = None
        self.cancelled = False
        self.report: Report | None = None
        self._rates = dict(RATES)
        self._place = {"uri": uri, "image_roots": image_roots}
        self._process: subprocess.Popen[str] | None = None
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(self, jobs: Sequence[Job]) -> None:
        """Replay these now, unless something is being replayed."""
        with self._starting:
            if not self.running:
                self.running, self.cancelled = True, False
                self.stage, self.done, self.left = "Starting", 0, math.nan
                self.total = sum(len(job.interventions) for job in jobs)
                self.problem = self.report = None
                self._thread = threading.Thread(
                    target=self._run, args=(list(jobs),), name="misread-replay", daemon=True
                )
                self._thread.start()

    def seconds(self, jobs: Sequence[Job]) -> float:
        """About how long these will take."""
        return sum(len(job.interventions) / self._rates.get(job.setting, RATE) for job in jobs)

    def cancel(self) -> None:
        """End at once; what was added to the log stays, at most a few seconds' work is lost."""
        self.cancelled = True
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """End for good."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self, jobs: list[Job]) -> None:
        try:
            self.report = self._watch(jobs)
        except MisreadError as error:
            self.problem = None if self.cancelled else str(error)
        except Exception as error:  # the thread must tell whatever it runs into
            self.problem = f"The replay failed: {type(error).__name__}: {error}"
        finally:
            self.version += 1
            self.running = False

    def _watch(self, jobs: list[Job]) -> Report:
        asked = {**self._place, "jobs": [asdict(job) for job in jobs], "path": [str(Path.cwd())]}
        with subprocess.Popen(
            [sys.executable, "-c", SERVE],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            self._process = process
            if self.cancelled:  # before there was a process
                process.kill()
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(asked) + "\n")
                process.stdin.flush()
            began: tuple[str, float, int] | None = None
            for line in process.stdout:
                said = json.loads(line)
                if "problem" in said:
                    raise ModelError(said["problem"])
                if "report" in said:
                    problems = [Problem(**one) for one in said["report"].pop("problems")]
                    return Report(**said["report"], problems=problems)
                began = self._progress(said, began)
        raise ModelError("The process that replays was ended. What was read so far is kept.")

    def _progress(
        self, said: dict[str, Any], began: tuple[str, float, int] | None
    ) -> tuple[str, float, int] | None:
        """began: which recognizer's first readings came when, and how many there were then."""
        self.stage, self.done, self.total = said["stage"], said["done"], said["total"]
        self.version += said["objects"]
        now = time.monotonic()
        if began is None or began[0] != said["setting"]:
            return (said["setting"], now, self.done) if self.done else None
        if self.done > began[2]:
            rate = (self.done - began[2]) / max(now - began[1], 0.1)
            self._rates[said["setting"]] = rate
            self.left = (self.total - self.done) / rate
        return began


def serve() -> None:
    """Replay what the first line of standard input asks for; say how far, and what was done.

    Ends when standard input does: then the one that asked is gone.
    """
    if hasattr(os, "nice"):
        os.nice(10)
    single_thread()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(**said: Any) -> None:
        print(json.dumps(said), file=answers, flush=True)

    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.path += asked["path"]
    try:
        report = _replay(asked, say)
        say(report=asdict(report))
    except MisreadError as error:
        say(problem=str(error))
    os._exit(0)  # a function that hangs in a thread must not keep the process


def _replay(asked: dict[str, Any], say: Callable[..., None]) -> Report:
    log = Log.open(asked["uri"], tuple(asked["image_roots"]))
    jobs = [Job(**{**job, "interventions": tuple(job["interventions"])}) for job in asked["jobs"]]
    report, told = Report(), 0
    ends = list(zip(jobs, accumulate(len(job.interventions) for job in jobs), strict=True))

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal told
        setting = next((job for job, end in ends if done < end), jobs[-1]).setting
        say(
            stage=stage,
            setting=setting,
            done=done,
            total=total,
            objects=report.objects - told,
        )
        told = report.objects

    return run(log, jobs, progress, report=report)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


class Replays:
    """What a dashboard knows of replays: the readings of its log, and the one that is running."""

    def __init__(self, log: OpenLog) -> None:
        self.background = BackgroundReplay(log.settings.log, log.settings.image_roots)
        self.readings = Readings(log.log)
        self._log = log
        self._looked: dict[str, tuple[float, int]] = {}  # by recognizer: when, and what was known

    def plan(self, question: Question) -> tuple[Plan, str | None]:
        """What a question needs, by what the log holds now; and why that is not known, if so.

        Raises SettingsError for a reader that there is not.
        """
        planned = plan(self._log, question, self.readings)
        stale = [key for key in set(planned.recognizers.values()) if self._is_stale(key)]
        if not stale:
            return planned, None
        known = self.background.version
        try:
            self.readings.refresh(stale)
        except LogError as error:
            return planned, str(error)
        self._looked |= dict.fromkeys(stale, (time.monotonic(), known))
        return plan(self._log, question, self.readings), None

    def _is_stale(self, recognizer: str) -> bool:
        looked = self._looked.get(recognizer)
        return (
            looked is None
            or looked[1] != self.background.version
            or time.monotonic() > looked[0] + LOOK_SECONDS
        )
