"""What one run of scoring did, to texts or to images, here or on a cluster."""

from dataclasses import dataclass


@dataclass
class ScoringReport:
    """Counts of one run.

    scored: outputs and truths, or images, whose values are new in the log. computed: texts or
    images that were scored for that now; a text of several records counts once, an image that a
    sync had scored not at all. left: images that could not be read or scored completely; syncs
    try them again. objects: added to the log. words: single ones of offensive texts.
    """

    scored: int = 0
    computed: int = 0
    left: int = 0
    objects: int = 0
    words: int = 0

    def add(self, other: "ScoringReport") -> None:
        self.scored += other.scored
        self.computed += other.computed
        self.left += other.left
        self.objects += other.objects
        self.words += other.words

    @property
    def total(self) -> int:
        return self.scored + self.left
