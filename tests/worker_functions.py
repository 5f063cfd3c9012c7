"""What the tests' worker processes run; imports nothing, so that they start at once."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from data_access.errors import ModelError


def count(progress: Callable[..., None], to: int) -> list[int]:
    """Counts, and prints as libraries do."""
    for number in range(to):
        print("this is not an answer", number)
        progress("Counting", number, to, square=number**2)
    return list(range(to))


def look_around(progress: Callable[..., None]) -> dict[str, Any]:
    return {
        "niceness": os.nice(0),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "path": sys.path,
    }


def refuse(progress: Callable[..., None]) -> None:
    raise ModelError("There is no model; get one.")


def fail(progress: Callable[..., None]) -> None:
    raise ValueError("seven")


def die(progress: Callable[..., None]) -> None:
    os._exit(3)


def hang(progress: Callable[..., None]) -> None:
    progress("Hanging", 1, 2)
    time.sleep(3600)
