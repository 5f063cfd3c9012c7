"""An HTTP endpoint as a recognizer."""

import base64
import http.client
import io
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from readings.answers import (
    TIMEOUT_SECONDS,
    Answer,
    NoAnswerError,
    SilenceLimit,
    SilentError,
    checked,
)

MAX_REQUESTS = 4  # at once
MAX_ANSWER_BYTES = 8 * 1024 * 1024


class Endpoint:
    """A service that takes `{"image": base64}` as JSON and answers `{"pred": text}`.

    That is the contract of the reference course's Lambda function, and of `serving.handler`. A
    `confidence` is used where it comes along.
    """

    def __init__(self, address: str, seconds: float = TIMEOUT_SECONDS) -> None:
        self._address = address
        self._seconds = seconds
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._silence = SilenceLimit(f"{urlsplit(address).hostname} does not answer")

    def read_many(self, images: Sequence[Image.Image]) -> list[Answer]:
        with ThreadPoolExecutor(MAX_REQUESTS) as pool:
            return [self._silence.checked(answer) for answer in pool.map(self._read, images)]

    def _read(self, image: Image.Image) -> Answer:
        png = io.BytesIO()
        image.save(png, "PNG", compress_level=1)
        encoded = base64.b64encode(png.getvalue()).decode()
        request = urllib.request.Request(
            self._address,
            json.dumps({"image": f"data:image/png;base64,{encoded}"}).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=self._seconds) as response:
                body = response.read(MAX_ANSWER_BYTES + 1)
        except urllib.error.HTTPError as error:
            return NoAnswerError(f"the endpoint answered {error.code} {error.reason}"[:300])
        except TimeoutError:
            return SilentError(f"the endpoint gave no answer in {self._seconds:g} seconds")
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                return SilentError(f"the endpoint gave no answer in {self._seconds:g} seconds")
            return SilentError(f"the endpoint cannot be reached: {reason or type(reason).__name__}")
        return _prediction(body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An image goes where the settings say, and nowhere else: a redirect is an error."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _prediction(body: bytes) -> Answer:
    """What an endpoint's answer says; a gateway may have wrapped it in a `body`."""
    if len(body) > MAX_ANSWER_BYTES:
        return NoAnswerError(f"the endpoint answered with more than {MAX_ANSWER_BYTES:,} bytes")
    try:
        answer = json.loads(body)
        if isinstance(answer, dict) and "pred" not in answer and "body" in answer:
            wrapped = answer["body"]
            answer = json.loads(wrapped) if isinstance(wrapped, str) else wrapped
    except (ValueError, RecursionError):
        return NoAnswerError("the endpoint did not answer with JSON")
    if not isinstance(answer, dict) or "pred" not in answer:
        message = answer.get("message") if isinstance(answer, dict) else None
        reason = f": {message[:200]}" if isinstance(message, str) else ""
        return NoAnswerError(f"the endpoint's answer has no `pred`{reason}")
    return checked(answer["pred"], answer.get("confidence"))
