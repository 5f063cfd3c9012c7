"""What a recognizer answers: a reading, or why there is none; and what all recognizers share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from data_access.errors import ModelError

TIMEOUT_SECONDS = 60.0  # for one answer
MAX_SILENT_ANSWERS = 8  # in a row, after which a recognizer is not called again
MAX_TEXT = 1_000_000  # characters, as of a record


@dataclass(frozen=True)
class Reading:
    """The text that was read. confidence: 0 to 1, or None where the recognizer gives none."""

    text: str
    confidence: float | None


class NoAnswerError(Exception):
    """One image was not read; the message says why."""


class SilentError(NoAnswerError):
    """No answer at all; after several in a row a recognizer is not called again."""


Answer = Reading | NoAnswerError


class Recognizer(Protocol):
    def read_many(self, images: Sequence[Image.Image]) -> list[Answer]:
        """One answer for each image. Raises ModelError where the recognizer cannot be used."""
        ...


def checked(text: Any, confidence: Any = None) -> Answer:
    """A reading, where the text has a reasonable length; confidences outside 0 to 1 are dropped."""
    if not isinstance(text, str):
        return NoAnswerError(f"the recognizer answered with {type(text).__name__}, not with a text")
    if len(text) > MAX_TEXT:
        return NoAnswerError(f"the recognizer answered with {len(text):,} characters")
    is_number = isinstance(confidence, int | float) and math.isfinite(confidence)
    readable = text.encode(errors="replace").decode()
    return Reading(readable, float(confidence) if is_number and 0 <= confidence <= 1 else None)


class SilenceLimit:
    """Gives up on a recognizer that does not answer several times in a row."""

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        self._silent = 0

    def checked(self, answer: Answer) -> Answer:
        """The answer. Raises ModelError after MAX_SILENT_ANSWERS in a row."""
        self._silent = self._silent + 1 if isinstance(answer, SilentError) else 0
        if self._silent >= MAX_SILENT_ANSWERS:
            raise ModelError(f"{self._sentence}: {answer}. Readings so far are kept.")
        return answer


def failure_sentence(what: str, error: Exception) -> str:
    return f"{what}: {type(error).__name__}: {error}"[:300]
