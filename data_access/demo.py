"""The sample log while `make run` serves it: its variables, in a file that only this user can read.

Commands and notebooks on the same machine find it there where MISREAD_LOG is not set.
"""

import contextlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_access.settings import LaunchSettings

SERVED = "served.json"
ENDPOINT = "AWS_ENDPOINT_URL_S3"


@contextlib.contextmanager
def published(state: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Meanwhile, the variables that name the log are in `state`."""
    served = state / SERVED
    served.touch(mode=0o600)
    served.write_text(json.dumps(dict(environ)))
    try:
        yield
    finally:
        served.unlink(missing_ok=True)


def served_log(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that name the log of a `make run` that runs now; empty where MISREAD_LOG is
    set, or nothing runs. Raises SettingsError.
    """
    if environ.get("MISREAD_LOG", "").strip():
        return {}
    state = LaunchSettings.from_environment(environ).state
    try:
        served: dict[str, str] = json.loads((state / SERVED).read_text())
    except (OSError, ValueError):
        return {}
    return served if ENDPOINT not in served or answers(served[ENDPOINT]) else {}


def answers(url: str) -> bool:
    """Whether a server is there, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
