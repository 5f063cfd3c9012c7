"""Settings, read from environment variables once and passed on as a value."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_access.errors import SettingsError

CHECKOUT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Settings:
    """Where the log is, where its cache goes, and what is computed from it.

    log: `s3://bucket/prefix` or a folder of the same shape.
    warehouse: the DuckDB file; it can be deleted at any time.
    projections: modules (or paths of Python files) with projections of one's own.
    image_roots: `s3://bucket/prefix` places outside the log whose images may be fetched.
    alphabet: the characters that the recognizer can write; None for printable ASCII.
    sync_seconds: how often an open dashboard looks for new objects; 0 means only when asked.
    toxicity: the model that scores texts: `bundled`, one that Detoxify publishes, or a path.
    score_new: whether a dashboard scores new texts by itself.
    conditional_writes: whether the log's store knows `If-None-Match`.
    recognizer: what replays ask, as `readings.sources` reads it; "" for each record's version.
    """

    log: str
    warehouse: Path
    projections: tuple[str, ...] = ()
    image_roots: tuple[str, ...] = ()
    alphabet: str | None = None
    sync_seconds: float = 60.0
    toxicity: str = "bundled"
    score_new: bool = False
    recognizer: str = ""
    conditional_writes: bool = True

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Raises SettingsError where MISREAD_LOG is missing or a value cannot be read."""
        log = environ.get("MISREAD_LOG", "").strip()
        if not log:
            raise SettingsError(
                "MISREAD_LOG is not set: name your log, as in MISREAD_LOG=s3://bucket/prefix "
                "or MISREAD_LOG=/path/to/folder, or start `make run`, whose sample log is then "
                "found."
            )
        if "://" in log and not log.startswith("s3://"):
            raise SettingsError(
                f"MISREAD_LOG={log} is not a place that can be read: "
                "use s3://bucket/prefix or the path of a folder."
            )
        if not log.startswith("s3://"):
            log = str(Path(log).expanduser().absolute())
        return cls(
            log=log.rstrip("/"),
            warehouse=_warehouse_path(environ, log.rstrip("/")),
            projections=_names(environ.get("MISREAD_PROJECTIONS", "")),
            image_roots=_names(environ.get("MISREAD_IMAGE_ROOTS", "")),
            alphabet=environ.get("MISREAD_ALPHABET") or None,
            sync_seconds=_seconds(environ.get("MISREAD_SYNC_SECONDS", "60")),
            toxicity=_model(environ.get("MISREAD_TOXICITY", "").strip() or "bundled"),
            score_new=environ.get("MISREAD_SCORE_NEW", "").strip() not in ("", "0"),
            recognizer=environ.get("MISREAD_RECOGNIZER", "").strip(),
            conditional_writes=environ.get("MISREAD_CONDITIONAL_WRITES", "").strip() != "0",
        )


@dataclass(frozen=True)
class LaunchSettings:
    """Where `make run` keeps the demo's data, and the ports it serves on.

    state: a folder. port, capture_port: of the dashboard and of the capture app.
    capture_host: the address that the capture app binds to.
    """

    state: Path
    port: int = 8501
    capture_port: int = 7860
    capture_host: str = "127.0.0.1"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "LaunchSettings":
        """Raises SettingsError where a port is not a number from 1 to 65535."""
        state = environ.get("MISREAD_STATE", "").strip()
        return cls(
            state=Path(state).expanduser().absolute() if state else CHECKOUT / ".misread",
            port=_port(environ, "MISREAD_PORT", 8501),
            capture_port=_port(environ, "MISREAD_CAPTURE_PORT", 7860),
            capture_host=environ.get("MISREAD_CAPTURE_HOST", "").strip() or "127.0.0.1",
        )


@dataclass(frozen=True)
class ServiceSettings:
    """What the capture app and the Lambda serve, and how they name it in the log; "" if not set."""

    model: str
    application: str
    environment: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ServiceSettings":
        names = ("MISREAD_MODEL", "MISREAD_APPLICATION", "MISREAD_ENVIRONMENT")
        return cls(*[environ.get(name, "").strip() for name in names])


def public_url(environ: Mapping[str, str] = os.environ) -> str:
    """MISREAD_URL, where others reach the dashboard; empty where it is not set.

    Without a slash at its end. Raises SettingsError where it is no address of a web server.
    """
    url = environ.get("MISREAD_URL", "").strip().rstrip("/")
    if url and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
        raise SettingsError(
            f"MISREAD_URL={url} is not an address: use the one that others open, such as "
            "https://misread.example.com."
        )
    return url


def spool_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """MISREAD_SPOOL, or a folder of the user's that no cleaner of caches empties."""
    named = environ.get("MISREAD_SPOOL", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    state = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "misread" / "spool"


def worker_niceness(environ: Mapping[str, str] = os.environ) -> int:
    """How far scoring and replays stand back behind other programs: 0, not at all, to 19.

    Raises SettingsError.
    """
    text = environ.get("MISREAD_NICENESS", "").strip() or "10"
    if not text.isdecimal() or int(text) > 19:
        raise SettingsError(f"MISREAD_NICENESS={text}: name a number from 0 to 19.")
    return int(text)


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise SettingsError(f"{name}={text} is not a port: use a number from 1 to 65535.")
    return int(text)


def _warehouse_path(environ: Mapping[str, str], log: str) -> Path:
    named = environ.get("MISREAD_WAREHOUSE", "").strip()
    if named:
        return Path(named).expanduser().absolute()
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "misread" / f"{hashlib.sha256(log.encode()).hexdigest()[:16]}.duckdb"


def _model(named: str) -> str:
    """A name as it is, a path made absolute: another process may look for it."""
    if any(sign in named for sign in "/\\.~"):
        return str(Path(named).expanduser().absolute())
    return named


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise SettingsError(f"MISREAD_SYNC_SECONDS={text} is not a number of seconds.")
    return seconds
