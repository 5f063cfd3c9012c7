"""What a log keeps of its images and words beside its records: readings, and scores of words."""

import contextlib

from data_access.errors import LogError
from data_access.log import Log
from data_access.scoring.words import WordScores
from readings.cache import Readings
from readings.sources import own_models


class Evidence:
    """Both of one log, in memory. Threads may share it.

    looked: whether the log has been asked at all.
    """

    def __init__(self, log: Log, scorer: str | None) -> None:
        """scorer: the name of the model whose scores of words count."""
        self.readings = Readings(log)
        self.looked = False
        self._words = WordScores(log)
        self._scorer = scorer

    @property
    def version(self) -> int:
        """Grows whenever there is more."""
        return self.readings.version + self._words.version + self.looked

    @property
    def words(self) -> dict[str, float]:
        """The scores of single words, 0 to 1; not to be changed."""
        return {} if self._scorer is None else self._words.of(self._scorer)

    def look(self) -> None:
        """Read what is new, by the project's own models; what cannot be read is left for later."""
        with contextlib.suppress(LogError):
            self.readings.refresh([source.key for source in own_models().values()])
            if self._scorer is not None:
                self._words.refresh(self._scorer)
        self.looked = True
