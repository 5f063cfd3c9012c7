"""Serves the recognizer and logs its outputs: for the capture app, and as a Lambda function.

An outage of the store loses neither answers nor events: the writer's spool keeps what the store did
not take.
"""

import base64
import binascii
import functools
import json
import logging
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import numpy as np

from data_access import api
from data_access.errors import LogError
from data_access.images import greyscale, open_image
from data_access.projections.image import contrast, height, mean, width
from data_access.records import Feedback, Prediction, percents
from data_access.settings import ServiceSettings
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
    """One answer; `record_key` names its record in the log, None if it could not be logged."""

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

        settings = ServiceSettings.from_environment()
        return cls(
            Recognizer.load(settings.model or MODEL),
            api.open_writer(seconds=seconds),
            settings.application or APPLICATION,
            settings.environment or ENVIRONMENT,
        )

    def reading_with(self, version: str) -> "Service":
        """The same service with the own model of this version.

        Raises FileNotFoundError where there is none.
        """
        from recognizer.reader import Recognizer

        if version == self.version:
            return self
        recognizer = Recognizer.load(version)
        return Service(recognizer, self._writer, self._application, self._environment)

    @property
    def version(self) -> str:
        return self._recognizer.version

    @property
    def waiting(self) -> int:
        """How many events wait for the log."""
        return self._writer.waiting

    def read(self, body: bytes, client: str) -> Served:
        """Read the image in these bytes (PNG, JPEG, …) and log the output.

        Raises UnreadableImageError if they are not an image or the image is too large.
        """
        image = open_image(body)
        levels = greyscale(image)
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
            character_confidences=percents(reading.character_confidences),
            tags={"client": client, "latency_ms": round(seconds * 1000, 1), **statistics(levels)},
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
        """Log a user's flag on an answer. Raises LogError if it cannot be stored."""
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
        """Send what can be sent now; the rest stays in the spool."""
        self._writer.close()


def statistics(levels: np.ndarray) -> dict[str, float]:
    """Tags that describe an image without fetching it, from its grey levels (height, width): its
    size in pixels, and the mean and standard deviation of the levels, as in the projections.
    """
    return {
        "image_width": int(width(levels)),
        "image_height": int(height(levels)),
        "image_mean": round(mean(levels), 2),
        "image_contrast": round(contrast(levels), 2),
    }


@functools.cache
def _service() -> Service:
    return Service.from_environment()


def handler(event: Any, context: object) -> dict[str, Any]:
    """A Lambda function: an image in base64, bare or as a data URL, in `image`; its text in `pred`.

    The event may be JSON, or carry JSON as its `body`, in base64 where an HTTP gateway says so; an
    encoded body may also be the image itself. What cannot be read is answered with statusCode 400
    and a message. The log is written before the answer is returned, as nothing runs after it.
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
        if isinstance(event, Mapping) and "image" not in event and "body" in event:
            body = event["body"]
            if event.get("isBase64Encoded") is True and isinstance(body, str):
                body = decode_base64(body, "the body")
                if not body.lstrip().startswith((b"{", b'"')):
                    return body
            event = body
    image = event.get("image") if isinstance(event, Mapping) else None
    if not isinstance(image, str):
        raise ValueError("there is no image in the event: send base64 in `image`")
    return decode_base64(image, "`image`")


def decode_base64(text: str, name: str) -> bytes:
    """Bytes from base64 in the standard or the URL-safe alphabet, with or without line breaks and
    padding, or from a `data:` URL of it.

    Raises ValueError, with a sentence about what is called `name`.
    """
    if len(text) > LAMBDA_BYTES:
        raise ValueError(f"{name} is too large")
    if text[:5].lower() == "data:":
        media_type, _, text = text.partition(",")
        if not media_type.lower().endswith(";base64"):
            raise ValueError(f"{name} is a data URL without base64")
        text = unquote_to_bytes(text).decode("latin-1")
    plain = re.sub(r"\s", "", text).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} is not base64") from None
