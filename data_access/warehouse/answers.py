"""Answers to questions: kept in bounded memory, and asked for once by however many at a time.

A question is a hashable value; its answer holds for one version of the data. Whoever asks first
works it out, the others wait for that. An asker that has moved on leaves: what it was working out
is interrupted, and asked for again by one of those that still wait. Questions that took long the
last time take turns, so that short ones find a free processor.
"""

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import pandas as pd
import pyarrow as pa

KEPT_BYTES = 256 * 1024 * 1024
LONG_SECONDS = 0.25  # of its thread, from which a question takes turns the next time
LONG_AT_ONCE = os.cpu_count() or 1
LOOK_SECONDS = 0.05  # how often it is looked whether an asker has moved on
KINDS = 4096  # whose last duration is remembered

Answer = TypeVar("Answer")


class SupersededError(BaseException):
    """Whoever asked has moved on: there is nobody to answer to.

    No Exception, so that nothing on the way takes it for a failure.
    """


class Interruptible(Protocol):
    """Something at work that another thread can end."""

    def interrupt(self) -> None: ...


class _Asker(threading.local):
    """Of a thread: whether nobody waits for its question any more, and whether it has a turn."""

    superseded: Callable[[], bool] | None = None
    has_turn: bool = False


@dataclass(eq=False)
class _Work:
    """A question that somebody is working out."""

    done: threading.Event = field(default_factory=threading.Event)
    answer: Any = None
    answered: bool = False


class Answers:
    """The answers of one warehouse, in at most `limit` bytes; the least recently used go first."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._size = 0
        self._in_flight: dict[Hashable, _Work] = {}
        self._seconds: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(LONG_AT_ONCE)
        self._asker = _Asker()
        self._running: dict[Interruptible, Callable[[], bool]] = {}
        self._watcher: threading.Thread | None = None

    @property
    def size(self) -> int:
        """Bytes of the answers that are kept, as far as they can be told."""
        return self._size

    @contextlib.contextmanager
    def asked_by(self, superseded: Callable[[], bool]) -> Iterator[None]:
        """Questions of this thread are given up once `superseded` is true: SupersededError.

        It is called from other threads too.
        """
        before, self._asker.superseded = self._asker.superseded, superseded
        try:
            yield
        finally:
            self._asker.superseded = before

    def get(self, question: Hashable, kind: Hashable, answer: Callable[[], Answer]) -> Answer:
        """The answer to a question, worked out where nobody did before.

        kind: what questions that take about as long have in common. Raises SupersededError, and
        whatever `answer` raises.
        """
        while True:
            with self._lock:
                if question in self._kept:
                    self._kept.move_to_end(question)
                    return cast(Answer, self._kept[question][0])
                work = self._in_flight.get(question)
                mine = work is None
                if work is None:
                    work = self._in_flight[question] = _Work()
            if mine:
                return self._work_out(question, kind, answer, work)
            with self._turn_given_back():
                while not work.done.wait(LOOK_SECONDS):
                    self._leave_if_superseded()
            if work.answered:
                return cast(Answer, work.answer)

    def _work_out(
        self, question: Hashable, kind: Hashable, answer: Callable[[], Answer], work: _Work
    ) -> Answer:
        try:
            self._leave_if_superseded()
            with self._turn(kind):
                started = time.thread_time()
                value = answer()
                self._remember(kind, time.thread_time() - started)
            work.answer, work.answered = value, True
            self._keep(question, value)
            return value
        finally:
            with self._lock:
                del self._in_flight[question]
            work.done.set()

    @contextlib.contextmanager
    def running(self, work: Interruptible) -> Iterator[None]:
        """While this runs, it is interrupted once its asker has moved on.

        What the interruption raises becomes SupersededError.
        """
        superseded = self._asker.superseded
        if superseded is None:
            yield
            return
        self._leave_if_superseded()
        with self._lock:
            self._running[work] = superseded
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, daemon=True)
                self._watcher.start()
        try:
            yield
        except Exception:
            self._leave_if_superseded()
            raise
        finally:
            with self._lock:
                self._running.pop(work, None)

    def _watch(self) -> None:
        """Ends with the last question that is running."""
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                if not self._running:
                    self._watcher = None
                    return
                for work, superseded in self._running.items():
                    if superseded():
                        work.interrupt()

    def _leave_if_superseded(self) -> None:
        if self._asker.superseded is not None and self._asker.superseded():
            raise SupersededError

    @contextlib.contextmanager
    def _turn(self, kind: Hashable) -> Iterator[None]:
        if self._asker.has_turn or self._seconds.get(kind, -1.0) < LONG_SECONDS:
            yield
            return
        while not self._turns.acquire(timeout=LOOK_SECONDS):
            self._leave_if_superseded()
        self._asker.has_turn = True
        try:
            yield
        finally:
            self._asker.has_turn = False
            self._turns.release()

    @contextlib.contextmanager
    def _turn_given_back(self) -> Iterator[None]:
        """While this thread waits for another's answer, which may itself wait for a turn."""
        if not self._asker.has_turn:
            yield
            return
        self._asker.has_turn = False
        self._turns.release()
        try:
            yield
        finally:
            self._turns.acquire()
            self._asker.has_turn = True

    def _remember(self, kind: Hashable, seconds: float) -> None:
        with self._lock:
            self._seconds[kind] = seconds
            self._seconds.move_to_end(kind)
            if len(self._seconds) > KINDS:
                self._seconds.popitem(last=False)

    def _keep(self, question: Hashable, value: Any) -> None:
        size = size_of(value)
        with self._lock:
            self._kept[question] = (value, size)
            self._size += size
            while self._size > self._limit and len(self._kept) > 1:
                _, (_, gone) = self._kept.popitem(last=False)
                self._size -= gone

    def clear(self) -> None:
        """Forget all answers; what is being worked out is kept when it comes."""
        with self._lock:
            self._kept.clear()
            self._size = 0


def size_of(value: Any) -> int:
    """About how many bytes a value takes; of what several values share, each counts all."""
    if isinstance(value, pd.DataFrame):
        return int(value.memory_usage(deep=True).sum())
    if isinstance(value, np.ndarray | pa.Table | pa.Array):
        return int(value.nbytes)
    if isinstance(value, str | bytes):
        return 64 + len(value)
    if is_dataclass(value) and not isinstance(value, type):
        return 64 + sum(size_of(getattr(value, row.name)) for row in fields(value))
    if isinstance(value, Mapping):
        return 64 + sum(size_of(key) + size_of(each) for key, each in value.items())
    if isinstance(value, tuple | list | set | frozenset):
        return 64 + sum(map(size_of, value))
    return 32
