"""One of the project's own models as a recognizer; the only module here that knows them."""

from collections.abc import Sequence

from PIL import Image

from data_access.errors import ModelError
from readings.answers import Answer, NoAnswerError, checked, failure_sentence


class OwnModel:
    """One of the project's own models, on one thread: two wait for each other and are slower."""

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
            predictions = self._model.read_many(images)
            return [checked(row.text, row.confidence) for row in predictions]
        except Exception as error:
            if len(images) == 1:
                return [NoAnswerError(failure_sentence("the recognizer failed", error))]
            return [answer for image in images for answer in self.read_many([image])]
