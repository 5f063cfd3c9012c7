"""Serves the recognizer, and logs what it read: for the capture app, and as a Lambda function.

A store that is down costs no answer, and the log no event: the writer's spool keeps what the store
did not take.
"""

import base64
import binascii
import functools
import json
import logging
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageStat

from data_access import api
from data_access.errors import LogError
from data_access.projections.image import on_white, open_image
from data_access.records import Feedback, Prediction
from data_access.writer import Writer

if TYPE_CHECKING:
    from recognizer.reader import Recognizer

MODEL = "v2"
APPLICATION = "handwriting-reader"
ENVIRONMENT = "prod"
LAMBDA_BYTES = 20 * 1024 * 1024  # more than a Lambda function can be sent

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """One answer; `record_key` names its record in the log, None where it could not be kept."""

    text: str
    confidence: float | None
    seconds: float
    record_key: str | None


class Service:
    """A recognizer whose answers are logged."""

    def __init__(
        self,
        recognizer: "Recognizer",
        writer: Writer,
        application: str = APPLICATION,
        environment: str = ENVIRONMENT,
    ) -> None:
        self._recognizer = recognizer
        self._writer = writer
        self._application = application
        self._environment = environment

    @classmethod
    def from_environment(cls, seconds: float | None = None) -> "Service":
        """The model MISREAD_MODEL (v1, v2 or a file), logging to MISREAD_LOG as the application
        MISREAD_APPLICATION in MISREAD_ENVIRONMENT; seconds: as of `Writer`.

        Raises SettingsError, LogError, and FileNotFoundError where there is no such model.
        """
        from recognizer.reader import Recognizer

        return cls(
            Recognizer.load(os.environ.get("MISREAD_MODEL") or MODEL),
            api.open_writer(seconds=seconds),
            os.environ.get("MISREAD_APPLICATION") or APPLICATION,
            os.environ.get("MISREAD_ENVIRONMENT") or ENVIRONMENT,
        )

    @property
    def version(self) -> str:
        return self._recognizer.version

    @property
    def waiting(self) -> int:
        """How many events wait for the log."""
        return self._writer.waiting

    def read(self, body: bytes, client: str) -> Served:
        """Read the image in these bytes (PNG, JPEG, …) and log what was read.

        Raises UnreadableImageError where they are no image, or one that is too large.
        """
        image = open_image(body)
        started = time.perf_counter()
        reading = self._recognizer.read(image)
        seconds = time.perf_counter() - started
        prediction = Prediction(
            record_key=uuid.uuid4().hex,
            timestamp=datetime.now(UTC),
            environment=self._environment,
            application=self._application,
            version=self.version,
            output_text=reading.text,
            confidence=reading.confidence,
            tags={"client": client, "latency_ms": round(seconds * 1000, 1), **statistics(image)},
        )
        key = None
        try:
            key = self._writer.write_prediction(prediction, body)
        except LogError as error:
            _logger.error("A prediction could not be logged: %s", error)
        return Served(reading.text, reading.confidence, seconds, key)

    def flag(
        self, record_key: str, flag: str, correction: str | None = None, comment: str | None = None
    ) -> None:
        """Log what a user says of an answer. Raises LogError where it cannot be kept."""
        self._writer.write_feedback(
            Feedback(
                feedback_key=uuid.uuid4().hex,
                record_key=record_key,
                timestamp=datetime.now(UTC),
                flag=flag,
                ground_truth_string=correction or None,
                comment=comment or None,
            )
        )

    def close(self) -> None:
        """Send what can be sent now; the rest waits in the spool."""
        self._writer.close()


def statistics(image: Image.Image) -> dict[str, float]:
    """Tags that tell of an image without fetching it: its size, mean and deviation of grey."""
    levels = ImageStat.Stat(on_white(image).convert("L"))
    return {
        "image_width": image.width,
        "image_height": image.height,
        "image_mean": round(levels.mean[0], 2),
        "image_contrast": round(levels.stddev[0], 2),
    }


@functools.cache
def _service() -> Service:
    return Service.from_environment()


def handler(event: Any, context: object) -> dict[str, Any]:
    """A Lambda function: an image in base64, bare or as a data URL, in `image`; its text in `pred`.

    The event may be JSON, or carry JSON as its `body`, as an HTTP gateway sends it. What cannot be
    read is answered with statusCode 400 and a message. The log is written before the answer is
    given, since nothing runs after it.
    """
    try:
        body = _image_in(event)
        return {"pred": _service().read(body, "lambda").text}
    except ValueError as error:  # UnreadableImageError is one
        return {"statusCode": 400, "message": str(error)}


def _image_in(event: Any) -> bytes:
    """Raises ValueError where there is no image in the event."""
    for _ in range(2):
        if isinstance(event, str | bytes):
            try:
                event = json.loads(event)
            except (ValueError, RecursionError):
                raise ValueError("the event is not JSON") from None
        if isinstance(event, Mapping) and "image" not in event:
            event = event.get("body", event)
    image = event.get("image") if isinstance(event, Mapping) else None
    if not isinstance(image, str):
        raise ValueError("there is no image in the event: send base64 in `image`")
    encoded = image.partition(",")[2] if image.startswith("data:") else image
    if len(encoded) > LAMBDA_BYTES:
        raise ValueError("the image is too large")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("`image` is not base64") from None
