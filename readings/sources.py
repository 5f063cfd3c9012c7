"""Recognizers by their setting: the project's own models, an endpoint, or any Python function.

Nothing is loaded before `Source.load`, so that a dashboard can list them without torch.
"""

import functools
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from data_access.errors import SettingsError
from readings.answers import Recognizer
from readings.endpoint import Endpoint
from readings.function import Function
from readings.own_model import OwnModel

WEIGHTS = Path(__file__).parent.parent / "recognizer" / "weights"
PLAIN_HTTP = "plain+http://"
ENDPOINT = re.compile(r"(https|http|plain\+http)://", re.IGNORECASE)
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
USE = (
    "use v1, v2, v3, a file of weights, https://… or module:function "
    "(#VERSION after the last two says which model it is)."
)


@dataclass(frozen=True)
class Source:
    """A recognizer, by its setting as in MISREAD_RECOGNIZER.

    key: what its readings are kept under in the log; it changes with the model's version.
    label: what pages call it.
    """

    setting: str
    key: str
    label: str

    def load(self) -> Recognizer:
        """Raises ModelError, with what to do, where it cannot be loaded."""
        if ENDPOINT.match(self.setting):
            return Endpoint(_address(self.setting))
        if _weights(self.setting) is not None:
            return OwnModel(self.setting)
        return Function(urldefrag(self.setting).url)


def source(setting: str) -> Source:
    """The recognizer of a setting. Raises SettingsError where it is not understood."""
    bare, version = urldefrag(setting)
    digest = hashlib.sha256(setting.encode()).hexdigest()[:8]
    if ENDPOINT.match(setting):
        host = urlsplit(_address(setting)).hostname or ""
        label = f"{host} {version}".strip()
        return Source(setting, f"{_key_part(label)}-{digest}", label)
    path = _weights(setting)
    if path is not None:
        content = _digest(path, path.stat().st_mtime_ns)
        return Source(setting, f"{_key_part(path.stem)}-{content}", path.stem)
    if FUNCTION.fullmatch(bare):
        label = f"{bare} {version}".strip()
        return Source(setting, f"{_key_part(label)}-{digest}", label)
    raise SettingsError(f"MISREAD_RECOGNIZER={setting} is not a recognizer: {USE}")


@functools.cache
def own_models() -> dict[str, Source]:
    """The project's own models by the version in their records."""
    return {path.stem: source(path.stem) for path in sorted(WEIGHTS.glob("*.safetensors"))}


def _weights(setting: str) -> Path | None:
    """The file of an own model, by name or by path; None where the setting is neither."""
    named = WEIGHTS / f"{setting}.safetensors"
    if re.fullmatch(r"[\w-]+", setting):
        return named if named.exists() else None
    path = Path(setting).expanduser()
    if path.suffix not in (".safetensors", ".pt"):
        return None
    if not path.is_file():
        raise SettingsError(f"No weights at {path} (MISREAD_RECOGNIZER): {USE}")
    return path


@functools.lru_cache(maxsize=16)
def _digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def _key_part(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", label)[:80]


def _address(setting: str) -> str:
    """The address of an endpoint. Raises SettingsError where images must not be sent to it."""
    stated = setting.lower().startswith(PLAIN_HTTP)
    address = urldefrag(f"http://{setting[len(PLAIN_HTTP) :]}" if stated else setting).url
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise SettingsError(f"MISREAD_RECOGNIZER is not a valid address: {error}.") from error
    if not host or re.search(r"[\s\x00-\x1f]", address):
        raise SettingsError(f"MISREAD_RECOGNIZER={setting} is not a valid address: {USE}")
    if parts.username or parts.password:
        raise SettingsError("MISREAD_RECOGNIZER must not contain a password: the pages show it.")
    if parts.scheme.lower() == "http" and not stated and not _is_loopback(host):
        raise SettingsError(
            f"MISREAD_RECOGNIZER would send images to {host} unencrypted: use https://, or "
            f"{PLAIN_HTTP}{host}… if that is intended."
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
