"""The writer: predictions and feedback into the log, through a spool that survives the process.

An event is kept on disk before `write_…` returns, and leaves the disk after the log has it. Both
steps can be killed: the log only ever adds an object that was not there, so sending an event
again changes nothing. For the same reason, processes that share a spool need no lock.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from PIL import Image

from data_access.errors import LogError
from data_access.log import Log
from data_access.records import ANNOTATIONS, Annotation, Feedback, Prediction
from data_access.records.decoding import read_object

EVENT = ".event"
UNFINISHED = ".unfinished"
UNREADABLE = ".unreadable"
SEND_BACKOFF_SECONDS = 10.0  # after a failure, writes only go to the spool for so long
ABANDONED = 3600.0  # seconds after which an unfinished file has no process any more
REMEMBERED_IMAGES = 10_000
PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tif"),
    (b"MM\0*", "tif"),
)

_logger = logging.getLogger(__name__)


def to_json(event: Prediction | Feedback | Annotation) -> bytes:
    """One event as docs/log.md shows it; `read_object` makes the same event of it.

    Raises LogError where it would not: a tag that is no JSON, a text with half a character.
    """
    kinds = {Prediction: "predictions/", Feedback: "feedback/", Annotation: ANNOTATIONS}
    document: dict[str, Any] = {}
    for name, value in event.model_dump(by_alias=True).items():
        group, _, inner = name.partition(".")
        if inner and value is not None:
            document.setdefault(group, {})[inner] = value
        elif value is not None and (name, value) != ("tags", {}):
            document[name] = value
    document["timestamp"] = event.timestamp.isoformat().replace("+00:00", "Z")
    try:
        body = json.dumps(document, allow_nan=False, ensure_ascii=False, default=str).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise LogError(f"The event cannot be written: {error}.", retryable=False) from error
    for line in read_object(kinds[type(event)], body).quarantined:
        raise LogError(f"The event cannot be written: {line.reason}.", retryable=False)
    return body


def object_key(event: Prediction | Feedback | Annotation, folder: str | None = None) -> str:
    """Where an event is kept: by its day (or a folder) and its own key, so that it is kept once."""
    folder = folder or f"date={event.timestamp:%Y-%m-%d}"
    if isinstance(event, Prediction):
        return f"predictions/{folder}/{_safe(event.record_key)}.json"
    if isinstance(event, Annotation):
        return f"{ANNOTATIONS}{folder}/{_safe(event.annotation_key)}.json"
    return f"feedback/{folder}/{_safe(event.feedback_key)}.json"


def annotations_key(annotations: Sequence[Annotation]) -> str:
    """Where annotations that are kept together are: by the day of the first, and their own keys."""
    if len(annotations) == 1:
        return object_key(annotations[0])
    keys = "\n".join(event.annotation_key for event in annotations)
    name = hashlib.sha256(keys.encode()).hexdigest()[:26]
    return f"{ANNOTATIONS}date={annotations[0].timestamp:%Y-%m-%d}/{name}.jsonl"


def _safe(name: str) -> str:
    """A name for every store, those that do not tell `a` from `A` included."""
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", name) and not name.startswith("sha256-"):
        return name
    return f"sha256-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()}"


def image_key(body: bytes) -> str:
    """Where an image is kept: by the SHA-256 of its bytes, ending as they begin."""
    name = hashlib.sha256(body).hexdigest()
    return f"images/{name[:2]}/{name}.{_ending(body)}"


def _ending(body: bytes) -> str:
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "webp"
    if body[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    return next((ending for start, ending in SIGNATURES if body.startswith(start)), "bin")


def image_bytes(image: bytes | Image.Image) -> bytes:
    """Bytes as they are; a picture as PNG, or as TIFF where PNG has no such pixels.

    Raises LogError where a picture cannot be encoded.
    """
    if isinstance(image, bytes):
        return image
    body = io.BytesIO()
    try:
        image.save(body, "PNG" if image.mode in PNG_MODES else "TIFF")
    except (OSError, ValueError, KeyError) as error:
        raise LogError(f"The image cannot be written: {error}.", retryable=False) from error
    return body.getvalue()


@dataclass(frozen=True)
class _Parcel:
    """An event on its way: its object, and its image where it brings one."""

    key: str
    body: bytes
    image_key: str | None = None
    image: bytes = b""

    def pack(self) -> bytes:
        """A line that names the parts, then the parts."""
        head = {"key": self.key, "body": len(self.body), "image_key": self.image_key}
        digest = hashlib.sha256(self.body + self.image).hexdigest()
        return json.dumps(head | {"sha256": digest}).encode() + b"\n" + self.body + self.image

    @classmethod
    def unpack(cls, packed: bytes) -> "_Parcel":
        """Raises ValueError or KeyError where the bytes are not those that were packed."""
        line, _, parts = packed.partition(b"\n")
        head = json.loads(line)
        if hashlib.sha256(parts).hexdigest() != head["sha256"]:
            raise ValueError("the file has changed")
        size = head["body"]
        return cls(head["key"], parts[:size], head["image_key"], parts[size:])


class Writer:
    """Writes to one log. Threads may share a writer; processes may share its spool folder, each
    with a writer made after the fork.
    """

    def __init__(self, log: Log, spool: Path, seconds: float | None = None) -> None:
        """seconds: have a thread send what is written, and try again that often; by default
        every write sends. Raises LogError where the spool folder cannot be made.
        """
        self._log = log
        self._folder = spool / hashlib.sha256(log.uri.encode()).hexdigest()[:16]
        self._seconds = seconds
        self._token = secrets.token_hex(4)
        self._numbering = threading.Lock()
        self._sending = threading.Lock()
        self._backoff_until = 0.0
        self._last_warning = ""
        self._sent_images: OrderedDict[str, None] = OrderedDict()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._clean()
            last = [int(name.partition("-")[0]) for name in self._waiting()]
        except OSError as error:
            raise LogError(f"{spool} (MISREAD_SPOOL) cannot be used: {error}.") from error
        self._number = max(last, default=0)
        self._in_background()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write_prediction(
        self, prediction: Prediction, image: bytes | Image.Image | None = None
    ) -> str:
        """Keep a prediction, and its image under the hash of its bytes; returns the record key.

        The image's key takes the place of `prediction.image`. A second prediction of one day
        with the same record key adds nothing. Raises LogError where the prediction is no
        record, or where neither the spool nor the log takes it.
        """
        if image is None:
            self._write(_Parcel(object_key(prediction), to_json(prediction)))
            return prediction.record_key
        body = image_bytes(image)
        named = prediction.model_copy(update={"image": image_key(body)})
        self._write(_Parcel(object_key(named), to_json(named), named.image, body))
        return prediction.record_key

    def write_feedback(self, feedback: Feedback) -> str:
        """Keep a flag, a correction or a comment; returns the feedback key.

        Raises LogError as `write_prediction` does.
        """
        self._write(_Parcel(object_key(feedback), to_json(feedback)))
        return feedback.feedback_key

    def write_annotations(self, annotations: Sequence[Annotation]) -> tuple[str, bool]:
        """Keep annotations as one object, sent at once where the store takes it.

        Returns the object's key, and whether the log has it; if not, it waits in the spool, as the
        store is down or busy. Raises LogError where the store refuses it: nothing is kept then.
        """
        body = b"\n".join(to_json(event) for event in annotations)
        parcel = _Parcel(annotations_key(annotations), body)
        try:
            path = self._keep(parcel)
        except OSError:  # a full disk, say: the log itself may still take it
            with self._sending:
                self._put(parcel)
            return parcel.key, True
        try:
            self.flush()
        except LogError as error:
            if error.transient:
                return parcel.key, False
            path.unlink(missing_ok=True)
            raise error.__cause__ or error from None
        return parcel.key, True

    @property
    def waiting(self) -> int:
        """How many events are in the spool, those of other processes included."""
        return len(self._waiting())

    def flush(self) -> int:
        """Send all that is in the spool, in order; returns how many events were sent.

        Raises LogError where the log does not take them; they stay in the spool.
        """
        sent = 0
        with self._sending:
            while names := self._waiting():
                for name in names:
                    try:
                        sent += self._send(self._folder / name)
                    except LogError as error:
                        self._backoff_until = time.monotonic() + SEND_BACKOFF_SECONDS
                        raise LogError(
                            f"{error} What could not be sent waits in {self._folder}.",
                            transient=error.transient,
                        ) from error
        self._backoff_until = 0.0
        self._last_warning = ""
        return sent

    def close(self) -> None:
        """Send what can be sent now; the rest stays in the spool for the next writer."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        with contextlib.suppress(LogError):
            self.flush()

    def _write(self, parcel: _Parcel) -> None:
        try:
            self._keep(parcel)
        except OSError as error:  # a full disk, say: the log itself may still take it
            try:
                with self._sending:
                    self._put(parcel)
            except LogError as failure:
                raise LogError(
                    f"The event was neither sent nor kept: {failure} The spool: {error}."
                ) from failure
            return
        if self._seconds is not None:
            self._in_background()
            self._wake.set()
        elif time.monotonic() >= self._backoff_until:
            try:
                self.flush()
            except LogError as error:
                self._warn(str(error))

    def _warn(self, sentence: str) -> None:
        """Once, until something was sent or the reason is another one."""
        if sentence != self._last_warning:
            self._last_warning = sentence
            _logger.warning("%s", sentence)

    def _keep(self, parcel: _Parcel) -> Path:
        """On disk, whole and under its final name, when this returns that."""
        with self._numbering:
            self._number = max(self._number + 1, time.time_ns())
            name = f"{self._number:020d}-{os.getpid()}-{self._token}"
            unfinished = self._folder / f"{name}{UNFINISHED}"
            try:
                with unfinished.open("xb") as file:
                    file.write(parcel.pack())
                    file.flush()
                    os.fsync(file.fileno())
                path = unfinished.rename(self._folder / f"{name}{EVENT}")
                self._fsync_folder()
            except OSError:
                with contextlib.suppress(OSError):
                    unfinished.unlink()
                raise
            return path

    def _fsync_folder(self) -> None:
        if os.name != "posix":
            return
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _waiting(self) -> list[str]:
        """Names of spooled events, oldest first."""
        with os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(EVENT))

    def _send(self, path: Path) -> int:
        """1 where this call sent it, 0 where another process did or it is no event."""
        try:
            parcel = _Parcel.unpack(path.read_bytes())
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise LogError(f"{path} cannot be read: {error}.") from error
        except (ValueError, KeyError, TypeError):
            _logger.error("%s is no event and was set aside.", path)
            with contextlib.suppress(FileNotFoundError):
                path.rename(path.with_suffix(UNREADABLE))
            return 0
        self._put(parcel)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise LogError(f"{path} was sent but cannot be removed: {error}.") from error
        return 1

    def _put(self, parcel: _Parcel) -> None:
        if parcel.image_key is not None and parcel.image_key not in self._sent_images:
            self._log.put(parcel.image_key, parcel.image)
            self._sent_images[parcel.image_key] = None
            while len(self._sent_images) > REMEMBERED_IMAGES:
                self._sent_images.popitem(last=False)
        self._log.put(parcel.key, parcel.body)

    def _clean(self) -> None:
        """Take out what a killed process left half written; its write never returned."""
        for path in self._folder.glob(f"*{UNFINISHED}"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()

    def _in_background(self) -> None:
        """Start the thread where there should be one and is none: at first, and after a fork."""
        if self._seconds is None or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._run, name="misread-writer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.flush()
            except LogError as error:
                self._warn(str(error))
                self._stopped.wait(self._seconds)
            else:
                self._wake.wait(self._seconds)
            self._wake.clear()
