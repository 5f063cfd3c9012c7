"""Whom a replay asks: the project's own models, an endpoint, or any function, by one interface.

Nothing is loaded before `Source.load`, so that a dashboard knows what it could ask without torch.
"""

import base64
import functools
import hashlib
import http.client
import importlib
import io
import ipaddress
import json
import math
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urldefrag, urlsplit

from PIL import Image

from data_access.errors import ModelError, SettingsError
from replay.readings import Reading

WEIGHTS = Path(__file__).parent.parent / "recognizer" / "weights"
PLAIN_HTTP = "plain+http://"
ENDPOINT = re.compile(r"(https|http|plain\+http)://", re.IGNORECASE)
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
SECONDS = 60.0  # that an answer may take
AT_ONCE = 4  # requests to an endpoint
IN_A_ROW = 8  # answers that fail to come before no more is asked
MAX_ANSWER = 8 * 1024 * 1024  # bytes
MAX_TEXT = 1_000_000  # characters, as of a record
USE = (
    "use v1, v2, a file of weights, https://… or module:function "
    "(#VERSION after the last two says which model it is)."
)


class NoAnswerError(Exception):
    """One image was not read; the message says why."""


Answer = Reading | NoAnswerError


class Recognizer(Protocol):
    def read_many(self, images: Sequence[Image.Image]) -> list[Answer]:
        """As many answers as images. Raises ModelError where none can be had at all."""
        ...


@dataclass(frozen=True)
class Source:
    """A recognizer that can be asked, by what MISREAD_RECOGNIZER says.

    key: what its readings are kept under in the log; it changes with the model's version.
    label: what pages call it.
    """

    setting: str
    key: str
    label: str

    def load(self) -> Recognizer:
        """Raises ModelError, with what to do, where it cannot be had."""
        if ENDPOINT.match(self.setting):
            return Endpoint(_address(self.setting))
        if _weights(self.setting) is not None:
            return Own(self.setting)
        return Function(urldefrag(self.setting).url)


def source(setting: str) -> Source:
    """What a setting names. Raises SettingsError where it makes no sense."""
    bare, version = urldefrag(setting)
    digest = hashlib.sha256(setting.encode()).hexdigest()[:8]
    if ENDPOINT.match(setting):
        host = urlsplit(_address(setting)).hostname or ""
        label = f"{host} {version}".strip()
        return Source(setting, f"{_plain(label)}-{digest}", label)
    path = _weights(setting)
    if path is not None:
        held = _digest(path, path.stat().st_mtime_ns)
        return Source(setting, f"{_plain(path.stem)}-{held}", path.stem)
    if FUNCTION.fullmatch(bare):
        label = f"{bare} {version}".strip()
        return Source(setting, f"{_plain(label)}-{digest}", label)
    raise SettingsError(f"MISREAD_RECOGNIZER={setting} is no recognizer: {USE}")


@functools.cache
def own_models() -> dict[str, Source]:
    """The project's own models by the version that their records carry."""
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
        raise SettingsError(f"There are no weights at {path} (MISREAD_RECOGNIZER): {USE}")
    return path


@functools.lru_cache(maxsize=16)
def _digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def _plain(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", label)[:80]


def _address(setting: str) -> str:
    """The address of an endpoint, if it may be asked. Raises SettingsError where not."""
    stated = setting.lower().startswith(PLAIN_HTTP)
    address = urldefrag(f"http://{setting[len(PLAIN_HTTP) :]}" if stated else setting).url
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise SettingsError(f"MISREAD_RECOGNIZER is no address: {error}.") from error
    if not host or re.search(r"[\s\x00-\x1f]", address):
        raise SettingsError(f"MISREAD_RECOGNIZER={setting} is no address: {USE}")
    if parts.username or parts.password:
        raise SettingsError("MISREAD_RECOGNIZER must not hold a password: the pages show it.")
    if parts.scheme.lower() == "http" and not stated and not _is_loopback(host):
        raise SettingsError(
            f"MISREAD_RECOGNIZER would send images to {host} unencrypted: use https://, or "
            f"{PLAIN_HTTP}{host}… where that is meant."
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked(text: Any, confidence: Any = None) -> Answer:
    """An answer, if it is one: a text of reasonable length; a confidence from 0 to 1, or none."""
    if not isinstance(text, str):
        return NoAnswerError(f"the recognizer answered with {type(text).__name__}, not with a text")
    if len(text) > MAX_TEXT:
        return NoAnswerError(f"the recognizer answered with {len(text):,} characters")
    sure = isinstance(confidence, int | float) and math.isfinite(confidence)
    readable = text.encode(errors="replace").decode()
    return Reading(readable, float(confidence) if sure and 0 <= confidence <= 1 else None)


class Own:
    """One of the project's own models, on one thread: two that wait for each other are slower."""

    def __init__(self, setting: str) -> None:
        try:
            import torch

            from recognizer.reader import Recognizer as Model

            torch.set_num_threads(1)
            self._model = Model.load(setting)
        except ImportError as error:
            raise ModelError(
                f"Replaying with {setting} needs torch: pip install -r requirements.txt. ({error})"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ModelError(f"The recognizer {setting} cannot be loaded: {error}") from error

    def read_many(self, images: Sequence[Image.Image]) -> list[Answer]:
        try:
            read = self._model.read_many(images)
            return [checked(found.text, found.confidence) for found in read]
        except Exception as error:
            if len(images) == 1:
                return [NoAnswerError(_said("the recognizer failed", error))]
            return [answer for image in images for answer in self.read_many([image])]


class Function:
    """Any Python function from a PIL image to its text, or to (text, confidence).

    Each image has SECONDS; a call that takes longer is left behind.
    """

    def __init__(self, named: str, seconds: float = SECONDS) -> None:
        module, _, name = named.partition(":")
        try:
            self._function = getattr(importlib.import_module(module), name)
        except Exception as error:  # a module of one's own can raise anything
            raise ModelError(_said(f"{named} (MISREAD_RECOGNIZER) cannot be had", error)) from error
        if not callable(self._function):
            raise ModelError(f"{named} (MISREAD_RECOGNIZER) is no function.")
        self._seconds = seconds
        self._failing = _Failing(f"{named} does not answer")

    def read_many(self, images: Sequence[Image.Image]) -> list[Answer]:
        return [self._failing.told(self._read(image)) for image in images]

    def _read(self, image: Image.Image) -> Answer:
        answers: list[Answer] = []
        thread = threading.Thread(target=lambda: answers.append(self._ask(image)), daemon=True)
        thread.start()
        thread.join(self._seconds)
        return answers[0] if answers else SilentError(f"no answer in {self._seconds:g} seconds")

    def _ask(self, image: Image.Image) -> Answer:
        try:
            said = self._function(image)
        except Exception as error:
            return NoAnswerError(_said("the function failed", error))
        if isinstance(said, tuple) and len(said) == 2:
            return checked(*said)
        return checked(said)


class Endpoint:
    """A service that takes `{"image": base64}` as JSON and answers `{"pred": text}`.

    That is the contract of the reference course's Lambda function, and of `serving.handler`. A
    `confidence` is used where it comes along.
    """

    def __init__(self, address: str, seconds: float = SECONDS) -> None:
        self._address = address
        self._seconds = seconds
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._failing = _Failing(f"{urlsplit(address).hostname} does not answer")

    def read_many(self, images: Sequence[Image.Image]) -> list[Answer]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [self._failing.told(answer) for answer in pool.map(self._read, images)]

    def _read(self, image: Image.Image) -> Answer:
        body = io.BytesIO()
        image.save(body, "PNG", compress_level=1)
        encoded = base64.b64encode(body.getvalue()).decode()
        request = urllib.request.Request(
            self._address,
            json.dumps({"image": f"data:image/png;base64,{encoded}"}).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=self._seconds) as response:
                said = response.read(MAX_ANSWER + 1)
        except urllib.error.HTTPError as error:
            return NoAnswerError(f"the endpoint answered {error.code} {error.reason}"[:300])
        except TimeoutError:
            return SilentError(f"the endpoint gave no answer in {self._seconds:g} seconds")
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                return SilentError(f"the endpoint gave no answer in {self._seconds:g} seconds")
            return SilentError(f"the endpoint cannot be reached: {reason or type(reason).__name__}")
        return _prediction(said)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An image goes where the settings say, and nowhere else: a redirect is an error."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _prediction(said: bytes) -> Answer:
    """What an endpoint's answer says; a gateway may have wrapped it in a `body`."""
    if len(said) > MAX_ANSWER:
        return NoAnswerError(f"the endpoint answered with more than {MAX_ANSWER:,} bytes")
    try:
        answer = json.loads(said)
        if isinstance(answer, dict) and "pred" not in answer and "body" in answer:
            body = answer["body"]
            answer = json.loads(body) if isinstance(body, str) else body
    except (ValueError, RecursionError):
        return NoAnswerError("the endpoint did not answer with JSON")
    if not isinstance(answer, dict) or "pred" not in answer:
        message = answer.get("message") if isinstance(answer, dict) else None
        told = f": {message[:200]}" if isinstance(message, str) else ""
        return NoAnswerError(f"the endpoint's answer has no `pred`{told}")
    return checked(answer["pred"], answer.get("confidence"))


class SilentError(NoAnswerError):
    """Nothing came at all; who is silent so often is not asked again."""


class _Failing:
    """Gives up on a recognizer that is silent several times in a row."""

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        self._silent = 0

    def told(self, answer: Answer) -> Answer:
        """The answer. Raises ModelError after IN_A_ROW that did not come."""
        self._silent = self._silent + 1 if isinstance(answer, SilentError) else 0
        if self._silent >= IN_A_ROW:
            raise ModelError(f"{self._sentence}: {answer}. What was read so far is kept.")
        return answer


def _said(what: str, error: Exception) -> str:
    return f"{what}: {type(error).__name__}: {error}"[:300]


def single_thread() -> None:
    """Have numerical libraries that are not imported yet use one thread; for commands."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
