"""What commands and jobs show of themselves: progress, counts, text in any encoding."""

import io
import sys
from collections.abc import Callable

from tqdm import tqdm

Progress = Callable[[str, int, int], None]
"""Told of a stage, how much of it is done, and of how much (0: not known yet)."""


def silent(stage: str, done: int, total: int) -> None:
    pass


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 image`, `12,304 images`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def tolerate_any_encoding() -> None:
    """Escape on standard output and error what their encoding lacks, where that would raise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class SyncBars:
    """A progress bar for each stage of a sync, on standard error where that is a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = ""

    def __enter__(self) -> "SyncBars":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, stage: str, done: int, total: int) -> None:
        if not total:
            return
        if self._bar is None or stage != self._stage:
            if self._bar is not None:
                self._bar.close()
            self._bar = tqdm(total=total, desc=stage, disable=None)
            self._stage = stage
        self._bar.update(done - self._bar.n)
