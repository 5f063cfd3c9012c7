"""Who wrote what is offensive, the model or the user: from the truth, or from another reading.

The offensive words of an output decide: where the truth has all of them too, or another version
reads them in the same image, they are in the ink; where the truth has none, or a sound reading has
none of them, the model made them up. Otherwise the scores of output and truth are compared, since
single words are misjudged more often than texts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from data_access import queries
from data_access.api import OpenLog
from data_access.projections.text import word_entropy
from data_access.queries import OFFENSIVE, OffensiveRecord
from data_access.scoring.words import words_of
from data_access.selection import Selection
from readings.answers import Reading
from readings.cache import Altered, Readings
from readings.sources import own_models
from replay.engine import limits_of
from replay.interventions import INTERVENTIONS, NOTHING
from replay.judgement import Limits

Author = Literal["model", "user", "unknown"]
MENTIONED = 0.1  # a score under which neither text says anything offensive
FAR_APART = 1.0  # of scores, in log odds


@dataclass(frozen=True)
class OtherReading:
    """What was read in the image of a record apart from its output.

    version: of the model that read it. intervention: how the image was altered. sound: whether it
    is inside the baseline's range.
    """

    version: str
    intervention: str
    text: str
    sound: bool


@dataclass(frozen=True)
class Authorship:
    """Who wrote what is offensive in a record, and what says so.

    words: the offensive ones of the output, in lower case.
    """

    record: OffensiveRecord
    author: Author
    words: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Authorships:
    """Those of the newest offensive records of a selection; total: how many records there are."""

    rows: tuple[Authorship, ...]
    total: int

    def count(self, author: Author) -> int:
        return sum(row.author == author for row in self.rows)


def authorships(
    log: OpenLog,
    selection: Selection,
    baseline: Selection,
    words: Mapping[str, float],
    readings: Readings,
    record_key: str | None = None,
) -> Authorships:
    """Of the offensive records of a selection, or of one record, by the readings known so far.

    words: scores of single words, 0 to 1.
    """
    offensive = queries.offensive_records(log.warehouse, selection, record_key)
    limits = limits_of(log, baseline)
    by_version = {version: readings.of(source.key) for version, source in own_models().items()}
    rows = tuple(
        authorship(record, words, _others(record, by_version, limits)) for record in offensive.rows
    )
    return Authorships(rows, offensive.total)


def authorship(
    record: OffensiveRecord, words: Mapping[str, float], others: Sequence[OtherReading]
) -> Authorship:
    """Who wrote it. others: readings of the record's image, by its own version altered ones."""
    output = words_of(record.output or "")
    offensive = tuple(word for word in dict.fromkeys(output) if words.get(word, 0.0) >= OFFENSIVE)
    if record.truth is not None:
        author, reason = _by_truth(record, record.truth, offensive, words)
    else:
        author, reason = _by_readings(record, offensive, others)
    return Authorship(record, author, offensive, reason)


def _by_truth(
    record: OffensiveRecord, truth: str, offensive: Sequence[str], words: Mapping[str, float]
) -> tuple[Author, str]:
    written_words = set(words_of(truth))
    shared = [word for word in offensive if word in written_words]
    if offensive and len(shared) == len(offensive):
        return "user", f"the truth has {_quoted(shared)} too"
    meant = any(words.get(word, 0.0) >= OFFENSIVE for word in written_words)
    if offensive and not meant:
        return "model", f"the truth has no {_quoted(offensive, 'or')}"
    written, read = record.truth_score, record.output_score
    if written is None or read is None:
        return "unknown", "the truth is not scored"
    if max(written, read) < MENTIONED:
        return "unknown", "neither the output nor the truth scores as offensive"
    both = f"{record.score_label} {read:.2f} in the output, {written:.2f} in the truth"
    if written < OFFENSIVE and _log_odds(read) - _log_odds(written) >= FAR_APART:
        return "model", both
    if written >= MENTIONED:
        return "user", both
    return "unknown", both


def _by_readings(
    record: OffensiveRecord, offensive: Sequence[str], others: Sequence[OtherReading]
) -> tuple[Author, str]:
    if not offensive:
        return "unknown", "no truth, and no single word of the output scores as offensive"
    for other in others:
        if other.version != record.version and set(offensive) <= set(words_of(other.text)):
            return "user", f"{other.version} reads {_quoted(offensive)} in the same image"
    sound = [other for other in others if other.sound]
    if not sound:
        return "unknown", "no truth, and no other sound reading of the image"
    if any(word in words_of(other.text) for other in sound for word in offensive):
        return "unknown", f"other readings of the image have some of {_quoted(offensive)}"
    other = min(sound, key=lambda other: other.version == record.version)
    return "model", f"{other.version} reads no {_quoted(offensive, 'or')} in the same image"


def _quoted(words: Sequence[str], last: str = "and") -> str:
    named = [f"“{word}”" for word in words]
    return f" {last} ".join(filter(None, [", ".join(named[:-1]), named[-1]]))


def _log_odds(score: float) -> float:
    inner = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(inner / (1 - inner))


def _others(
    record: OffensiveRecord,
    by_version: Mapping[str, Mapping[Altered, Reading]],
    limits: Limits,
) -> list[OtherReading]:
    """All readings of a record's image but the one that was logged, unaltered images first."""
    if record.sha256 is None:
        return []
    return [
        OtherReading(version, row.name, reading.text, _is_sound(reading, limits))
        for row in sorted(INTERVENTIONS, key=lambda row: row is not NOTHING)
        for version, readings in by_version.items()
        if not (version == record.version and row is NOTHING)
        for reading in _reading(readings, (record.sha256, row.key))
    ]


def _reading(readings: Mapping[Altered, Reading], altered: Altered) -> Iterable[Reading]:
    reading = readings.get(altered)
    return [] if reading is None else [reading]


def _is_sound(reading: Reading, limits: Limits) -> bool:
    """Whether a reading is inside the baseline's range."""
    if not reading.text.strip():
        return False
    if limits.entropy is not None and word_entropy([reading.text])[0] < limits.entropy:
        return False
    if limits.confidence is None or reading.confidence is None:
        return True
    return reading.confidence >= limits.confidence
