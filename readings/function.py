"""Any Python function as a recognizer."""

import importlib
import threading
from collections.abc import Sequence

from PIL import Image

from data_access.errors import ModelError
from readings.answers import (
    TIMEOUT_SECONDS,
    Answer,
    NoAnswerError,
    SilenceLimit,
    SilentError,
    checked,
    failure_sentence,
)


class Function:
    """Any Python function from a PIL image to its text, or to (text, confidence).

    A call that takes longer than TIMEOUT_SECONDS is abandoned.
    """

    def __init__(self, named: str, seconds: float = TIMEOUT_SECONDS) -> None:
        module, _, name = named.partition(":")
        try:
            self._function = getattr(importlib.import_module(module), name)
        except Exception as error:  # a user's module can raise anything
            raise ModelError(
                failure_sentence(f"{named} (MISREAD_RECOGNIZER) cannot be imported", error)
            ) from error
        if not callable(self._function):
            raise ModelError(f"{named} (MISREAD_RECOGNIZER) is not a function.")
        self._seconds = seconds
        self._silence = SilenceLimit(f"{named} does not answer")

    def read_many(self, images: Sequence[Image.Image]) -> list[Answer]:
        return [self._silence.checked(self._read(image)) for image in images]

    def _read(self, image: Image.Image) -> Answer:
        answers: list[Answer] = []
        thread = threading.Thread(target=lambda: answers.append(self._ask(image)), daemon=True)
        thread.start()
        thread.join(self._seconds)
        return answers[0] if answers else SilentError(f"no answer in {self._seconds:g} seconds")

    def _ask(self, image: Image.Image) -> Answer:
        try:
            result = self._function(image)
        except Exception as error:
            return NoAnswerError(failure_sentence("the function failed", error))
        if isinstance(result, tuple) and len(result) == 2:
            return checked(*result)
        return checked(result)
