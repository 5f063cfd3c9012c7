"""Replaying: images of records are altered and read again; each reading goes into the log once.

Readings are kept at once, so a run can be stopped or killed at any moment, and the next one makes
those that are missing, whoever starts it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import pandas as pd
from PIL import Image

from data_access import queries
from data_access.api import OpenLog
from data_access.errors import LogError
from data_access.images import UnreadableImageError, open_image
from data_access.log import Log
from data_access.progress import Progress, silent
from data_access.projections.table import ENTROPY
from data_access.selection import Selection
from readings.answers import NoAnswerError, Reading, Recognizer
from readings.cache import Altered, Readings, missing, put_readings
from readings.sources import Source, own_models, source
from replay.interventions import INTERVENTIONS, Intervention
from replay.judgement import Limits, trials

STAGE = "Reading images again"
BY_VERSION = "record"  # as a reader: each record's own version
IMAGES_AT_ONCE = 8  # of one object
READINGS_AT_ONCE = 32  # of one call to the recognizer,
PIXELS_AT_ONCE = 8_000_000  # or as many as have so many pixels
MAX_IMAGES = 10_000  # of one replay
CONFIDENCE = "outputs.confidence"


@dataclass(frozen=True)
class Question:
    """What is replayed: the records of a selection or one of them, by which reader.

    reader: `record` for the own model of each record's version, or a recognizer's setting.
    images: at most so many distinct ones, and never more than MAX_IMAGES; which, is drawn by their
    content, always the same.
    """

    selection: Selection
    reader: str = BY_VERSION
    images: int = 100
    record_key: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", max(1, min(self.images, MAX_IMAGES)))


@dataclass(frozen=True)
class ReadingTask:
    """One image that one recognizer is to read, altered in these ways (by their keys)."""

    setting: str
    sha256: str
    image: str
    interventions: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a question needs: the readers by record version, and the readings that are missing.

    images: how many the answer is about; unknown: versions that no reader is known for, and how
    many images of theirs there are.
    """

    readers: Mapping[str | None, Source]
    images: int
    tasks: tuple[ReadingTask, ...]
    unknown: Mapping[str, int]

    @property
    def recognizers(self) -> dict[str | None, str]:
        """The key of the recognizer that reads a version's records."""
        return {version: reader.key for version, reader in self.readers.items()}

    @property
    def waiting(self) -> int:
        """How many readings are missing."""
        return sum(len(task.interventions) for task in self.tasks)


@dataclass(frozen=True)
class Problem:
    """Why an image was not read; intervention: its key, None where no alteration was tried."""

    image: str
    intervention: str | None
    sentence: str


@dataclass
class Report:
    """What one run did: readings made, objects added to the log, and what could not be read."""

    readings: int = 0
    objects: int = 0
    problems: list[Problem] = field(default_factory=list)

    def counted(self) -> dict[str, int]:
        """How often each problem came, the most frequent first."""
        counts: dict[str, int] = {}
        for problem in self.problems:
            counts[problem.sentence] = counts.get(problem.sentence, 0) + 1
        return dict(sorted(counts.items(), key=lambda row: -row[1]))


def plan(
    log: OpenLog,
    question: Question,
    readings: Readings,
    interventions: Sequence[Intervention] = INTERVENTIONS,
) -> Plan:
    """What an answer needs. Raises SettingsError for an unknown reader."""
    images = queries.replay_images(
        log.warehouse, question.selection, question.images, question.record_key
    )
    versions = [None if pd.isna(version) else str(version) for version in images["version"]]
    readers = _readers(question.reader, versions)
    keys = [row.key for row in interventions]
    tasks: dict[tuple[str, str], ReadingTask] = {}
    unknown: dict[str, int] = {}
    for sha256, image, version in zip(images["sha256"], images["image"], versions, strict=True):
        reader = readers.get(version)
        if reader is None:
            unknown[version or "none"] = unknown.get(version or "none", 0) + 1
            continue
        lacking = missing(readings.of(reader.key), [sha256], keys)
        if lacking:
            task = ReadingTask(reader.setting, sha256, image, tuple(lacking[sha256]))
            tasks[reader.key, sha256] = task
    ordered = sorted(tasks.values(), key=lambda task: (task.setting, task.sha256))
    return Plan(readers, images["sha256"].nunique(), tuple(ordered), unknown)


def _readers(reader: str, versions: Sequence[str | None]) -> dict[str | None, Source]:
    if reader != BY_VERSION:
        return dict.fromkeys(versions, source(reader))
    own = own_models()
    return {version: own[version] for version in dict.fromkeys(versions) if version in own}


def answer(
    log: OpenLog, question: Question, baseline: Selection, planned: Plan, readings: Readings
) -> pd.DataFrame:
    """The trials of a question so far, as of `judgement.trials`; cached until there are more."""
    limits = limits_of(log, baseline)
    by_recognizer = {key: readings.of(key) for key in set(planned.recognizers.values())}

    def judged() -> pd.DataFrame:
        images = queries.replay_images(
            log.warehouse, question.selection, question.images, question.record_key
        )
        read = {image for known in by_recognizer.values() for image, _ in known}
        shown = [sha256 for sha256 in images["sha256"].drop_duplicates() if sha256 in read]
        cases = queries.replay_cases(log.warehouse, question.selection, shown, question.record_key)
        return trials(cases, by_recognizer, planned.recognizers, limits)

    key = ("replay", question, limits, tuple(sorted(by_recognizer)), readings.version)
    return log.warehouse.cached(key, judged)


def limits_of(log: OpenLog, baseline: Selection) -> Limits:
    """Where the baseline's range begins, by its 5th percentiles."""
    extents = queries.extents(log.warehouse)
    low_ranges = {
        name: queries.low_range(log.warehouse, baseline, name) if name in extents else None
        for name in (ENTROPY, CONFIDENCE)
    }
    return Limits(*(None if low is None else low.high for low in low_ranges.values()))


def run(
    log: Log,
    tasks: Sequence[ReadingTask],
    progress: Progress = silent,
    load: Callable[[Source], Recognizer] = Source.load,
    interventions: Sequence[Intervention] = INTERVENTIONS,
    report: Report | None = None,
) -> Report:
    """Make the missing readings of these tasks, and add them to the log. Images that cannot be
    fetched, altered or read are counted in the report, which a caller may watch.

    Raises ModelError where a recognizer cannot be loaded or does not answer, LogError where the log
    cannot be listed or written; earlier readings are kept.
    """
    report = report or Report()
    total = sum(len(task.interventions) for task in tasks)
    done = 0
    rows = {row.key: row for row in interventions}
    readings = Readings(log)
    for setting, group in groupby(tasks, key=lambda task: task.setting):
        reader = source(setting)
        progress(f"Loading {reader.label}", done, total)
        recognizer: Recognizer | None = None
        for chunk in _chunks(list(group)):
            readings.refresh([reader.key])  # what somebody else has read meanwhile
            known = readings.of(reader.key)
            recognizer = recognizer or load(reader)
            new: dict[Altered, Reading] = {}
            try:
                for batch in _batches(_altered(log, chunk, rows, known, report)):
                    _read(recognizer, batch, new, report)
                    progress(STAGE, min(done + len(new), total), total)
            finally:  # what was read before a failure, or Ctrl-C, is kept
                if new:
                    report.objects += put_readings(log, reader.key, new)
                    report.readings += len(new)
            done += sum(len(task.interventions) for task in chunk)
            progress(STAGE, done, total)
    return report


def _chunks(tasks: Sequence[ReadingTask]) -> Iterator[Sequence[ReadingTask]]:
    for start in range(0, len(tasks), IMAGES_AT_ONCE):
        yield tasks[start : start + IMAGES_AT_ONCE]


Item = tuple[ReadingTask, str, Image.Image]


def _altered(
    log: Log,
    tasks: Sequence[ReadingTask],
    rows: Mapping[str, Intervention],
    known: Mapping[Altered, Reading],
    report: Report,
) -> Iterator[Item]:
    """Each image of the tasks in each of its ways, fetched and opened once."""
    for task in tasks:
        keys = [key for key in task.interventions if (task.sha256, key) not in known]
        if not keys:
            continue
        try:
            image = open_image(_body(log, task))
        except (LogError, UnreadableImageError) as error:
            report.problems.append(Problem(task.image, None, f"the image cannot be read: {error}"))
            continue
        for key in keys:
            try:
                altered = rows[key].apply(image)
            except (ValueError, OSError, MemoryError) as error:
                report.problems.append(Problem(task.image, key, f"it cannot be altered: {error}"))
            else:
                yield task, key, altered


def _body(log: Log, task: ReadingTask) -> bytes:
    body = log.image(task.image)
    if hashlib.sha256(body).hexdigest() != task.sha256:
        raise LogError("it has changed since the last sync; sync first", retryable=False)
    return body


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    """As many images as are read together without taking much memory."""
    batch: list[Item] = []
    pixels = 0
    for item in items:
        batch.append(item)
        pixels += item[2].width * item[2].height
        if len(batch) == READINGS_AT_ONCE or pixels > PIXELS_AT_ONCE:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _read(
    recognizer: Recognizer, batch: list[Item], new: dict[Altered, Reading], report: Report
) -> None:
    answers = recognizer.read_many([image for *_, image in batch])
    for (task, key, _), answer in zip(batch, answers, strict=True):
        if isinstance(answer, NoAnswerError):
            report.problems.append(Problem(task.image, key, str(answer)))
        else:
            new[task.sha256, key] = answer
