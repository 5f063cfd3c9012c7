"""What one sync did, told at its end."""

from dataclasses import dataclass, field


@dataclass
class SyncReport:
    """What one sync did. `failures`: sentences and how often; what they name is tried again.

    logged_images: those that got the values that the log has of them.
    """

    objects: int = 0
    removed: int = 0
    predictions: int = 0
    feedback: int = 0
    quarantined: int = 0
    scored_texts: int = 0
    scored_images: int = 0
    logged_images: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def fail(self, *sentences: str) -> None:
        for sentence in sentences:
            self.failures[sentence] = self.failures.get(sentence, 0) + 1

    @property
    def changed(self) -> bool:
        return bool(self.objects or self.removed or self.scored_texts or self.scored_images)
