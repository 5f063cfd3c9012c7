"""Runs work in processes of their own, which can be killed at any moment.

They are forked from a server that has imported everything (`tests.warm`) and opened nothing, so
that a round takes as long as the work itself.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from data_access.cli import main
from data_access.warehouse import Warehouse

STARTED = 60.0  # seconds in which a process begins, on the busiest machine


@dataclass(frozen=True)
class Ended:
    """code: the exit code, -9 where it was killed. seconds: of work. told: what it sent."""

    code: int
    seconds: float
    told: list[Any] = field(default_factory=list)


class Running:
    """`work(*arguments, tell)` in a process of its own; `tell` sends an object to this one."""

    def __init__(
        self, environ: Mapping[str, str], work: Callable[..., object], *arguments: Any
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.warm"])
        self._receiving, sending = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_work, args=(dict(environ), work, arguments, sending)
        )
        self._process.start()
        sending.close()
        self.wait()

    def wait(self) -> Any:
        """The next thing that it tells; seconds count from here."""
        assert self._receiving.poll(STARTED), "the process tells nothing"
        told = self._receiving.recv()
        self._began = time.monotonic()
        return told

    def end(self, seconds: float = 120.0) -> Ended:
        """Wait for its end so many seconds, then kill it."""
        told: list[Any] = []
        until = self._began + seconds
        try:
            while self._receiving.poll(max(until - time.monotonic(), 0.0)):
                told.append(self._receiving.recv())
            self._process.kill()
        except (EOFError, OSError):
            self._process.join(max(until - time.monotonic(), 0.0))
        finally:
            took = time.monotonic() - self._began
            self._process.kill()
            self._process.join()
        try:
            while True:  # what it told before it was killed
                told.append(self._receiving.recv())
        except (EOFError, OSError):
            self._receiving.close()
        assert self._process.exitcode is not None
        return Ended(self._process.exitcode, took, told)


def shown_by(warehouse: Warehouse) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """All that readers can see: records, and what is quarantined. Not from which of the objects
    that hold an event it was read: compaction adds some and takes some away.
    """
    records = warehouse.table("select * from records order by record_key").to_pylist()
    for row in records:
        row.pop("object_key", None)
    quarantine = "select object_key, line, reason, excerpt from quarantine order by all"
    return records, warehouse.rows(quarantine)


def _work(
    environ: dict[str, str],
    work: Callable[..., object],
    arguments: tuple[Any, ...],
    sending: Connection,
) -> None:
    os.environ.update(environ)
    sending.send("begun")
    work(*arguments, sending.send)


def run_command(arguments: list[str], tell: Callable[[object], None]) -> None:
    """`python -m data_access …`, without its words on standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(main(arguments))
