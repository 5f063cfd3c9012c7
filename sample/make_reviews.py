"""Make the reviews of the sample log: failure modes, a random draw, and what two simulated
reviewers say, from the sample's own truth.

Nobody looked at these pictures. A reviewer says what `truth.csv` says, and errs now and then: so
the numbers show what the pages do, not how well people review. Made from the repository root, after
`make_sample`: `python -m sample.make_reviews`
"""

import csv
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from rapidfuzz.distance import Levenshtein

from data_access.ingest.bulk import read_objects
from data_access.records import (
    DECISION,
    DRAW,
    MODE,
    REVIEW,
    Annotation,
    Decision,
    Draw,
    Drawn,
    ModeChange,
    Review,
    payload_of,
)
from data_access.writer import to_json

LOG = Path("sample/log")
SEED = 7
FIRST, SECOND = "Ada (simulated)", "Ben (simulated)"
CREATED = datetime(2026, 7, 27, 9, tzinfo=UTC)
FOLLOWED_UP = datetime(2026, 8, 26, 10, tzinfo=UTC)  # after v2's release
DRAWN = datetime(2026, 8, 30, 13, tzinfo=UTC)
DRAW_SIZE, MEASURED, SECOND_REVIEWS = 300, 240, 110
FOUND = 70  # flagged records that were reviewed while looking for failures
WRONG = 0.05  # character error rate from which a reading is called wrong
SLIP = 0.06  # how often the first reviewer errs; the second does so twice as often

MODES: dict[str, dict[str, Any]] = {
    "dark_on_light": {
        "title": "Inverted: dark ink on light ground",
        "definition": "Handwriting photographed on paper. The test set is light ink on a dark "
        "ground; these images are the other way round.",
        "severity": "critical", "owner": "Recognition",
        "rule": "environment=prod&version=v1&greyscale_image_mean(inputs.image)=128..",
    },
    "printed": {
        "title": "Printed text",
        "definition": "Printed or typewritten text instead of handwriting.",
        "severity": "medium", "owner": "Recognition",
    },
    "several_blocks": {
        "title": "Two columns",
        "definition": "Two paragraphs side by side, read across both.",
        "severity": "medium", "owner": "Layout",
    },
    "outside_alphabet": {
        "title": "Other characters",
        "definition": "Letters and signs outside the alphabet: é, ü, €, ✓, Greek.",
        "severity": "low", "owner": "Data",
    },
    "textured_background": {
        "title": "Textured ground",
        "definition": "Ruled, squared or graph paper, cloth, wood.",
        "severity": "high", "owner": "Recognition",
    },
}  # fmt: skip
FOLLOW_UPS: dict[str, dict[str, Any]] = {
    "dark_on_light": {"state": "resolved", "resolved_in": "v2"},
    "printed": {"state": "resolved", "resolved_in": "v2"},
    "outside_alphabet": {"severity": "medium"},
    "several_blocks": {"state": "resolved", "resolved_in": "v2"},
}


@dataclass(frozen=True)
class Served:
    """A record of production, and whether it was read wrongly."""

    key: str
    mode: str
    wrong: bool
    flagged: bool


def served(log: Path) -> list[Served]:
    """All records of production, by key."""
    with (log.parent / "truth.csv").open(newline="", encoding="utf-8") as stream:
        truth = {row["record_key"]: (row["mode"], row["text"]) for row in csv.DictReader(stream)}
    bodies = [
        (path.relative_to(log).as_posix(), path.read_bytes())
        for kind in ("predictions", "feedback")
        for path in sorted((log / kind).rglob("*"))
        if path.is_file()
    ]
    events = read_objects(bodies)
    flagged = set(events.feedback["record_key"].to_pylist())
    found = {}
    columns = ("record_key", "environment", "outputs.output_text")
    for key, environment, output in zip(
        *(events.predictions[name].to_pylist() for name in columns), strict=True
    ):
        if environment == "prod":
            mode, text = truth[key]
            error = Levenshtein.distance(output or "", text) / len(text)
            found[key] = Served(key, mode, error > WRONG, key in flagged)
    return [found[key] for key in sorted(found)]


def mode_id(mode: str) -> str:
    return mode.replace("_", "-")


def said(record: Served, rng: Random, slip: float) -> dict[str, Any]:
    """What a reviewer says: the truth, or now and then something else."""
    wrong = record.wrong != (rng.random() < slip / 2)
    if not wrong:
        return {"verdict": "right"}
    named = [record.mode] if record.mode in MODES else []
    if rng.random() < slip:
        named = [rng.choice([*MODES])]
    return {"verdict": "wrong", "modes": [mode_id(mode) for mode in named]}


def annotations(records: list[Served], seed: int) -> Iterator[Annotation]:
    """Every event, in order of time."""
    number = 0

    def event(
        moment: datetime, kind: str, name: str, actor: str, payload: dict[str, Any]
    ) -> Annotation:
        nonlocal number
        number += 1
        key = hashlib.sha256(f"{seed}/annotation/{number}".encode()).hexdigest()[:26]
        return Annotation(
            annotation_key=key, timestamp=moment, kind=kind, name=name, actor=actor,
            payload=payload,
        )  # fmt: skip

    for place, (mode, fields) in enumerate(MODES.items()):
        moment = CREATED + timedelta(minutes=4 * place)
        yield event(moment, MODE, mode_id(mode), FIRST, payload_of(ModeChange(**fields)))
    rng = Random(f"{seed}/find")
    flagged = rng.sample([one for one in records if one.flagged], FOUND)
    for place, record in enumerate(flagged):
        moment = CREATED + timedelta(hours=1, seconds=9 * place)
        review = Review(**said(record, rng, SLIP), queue="find")
        yield event(moment, REVIEW, record.key, FIRST, payload_of(review))
    for place, (mode, fields) in enumerate(FOLLOW_UPS.items()):
        moment = FOLLOWED_UP + timedelta(minutes=3 * place)
        yield event(moment, MODE, mode_id(mode), SECOND, payload_of(ModeChange(**fields)))
    rng = Random(f"{seed}/draw")
    drawn = rng.sample(records, DRAW_SIZE)
    name = hashlib.sha256(f"{seed}/draw".encode()).hexdigest()[:26]
    draw = Draw(
        query="environment=prod",
        seed=seed,
        population=len(records),
        records=[
            Drawn(
                record_key=record.key, stratum="all", population=len(records),
                probability=DRAW_SIZE / len(records),
            )
            for record in drawn
        ],
    )  # fmt: skip
    yield event(DRAWN, DRAW, name, FIRST, payload_of(draw))
    agreed = {}
    for place, record in enumerate(drawn[:MEASURED]):
        moment = DRAWN + timedelta(minutes=5, seconds=11 * place)
        review = Review(**said(record, rng, SLIP), queue="measure", draw=name)
        agreed[record.key] = review
        yield event(moment, REVIEW, record.key, FIRST, payload_of(review))
    disputed = []
    for place, record in enumerate(drawn[:SECOND_REVIEWS]):
        moment = DRAWN + timedelta(hours=2, seconds=13 * place)
        review = Review(**said(record, rng, 2 * SLIP), queue="measure", draw=name)
        if review.verdict != agreed[record.key].verdict:
            disputed.append(record)
        yield event(moment, REVIEW, record.key, SECOND, payload_of(review))
    for place, record in enumerate(disputed[: len(disputed) // 2]):
        moment = DRAWN + timedelta(hours=4, minutes=place)
        decision = Decision.model_validate(said(record, rng, 0.0))
        yield event(moment, DECISION, record.key, FIRST, payload_of(decision))


def make_reviews(log: Path = LOG, seed: int = SEED) -> int:
    """Write the annotations of the log anew, one file a day; returns how many there are."""
    shutil.rmtree(log / "annotations", ignore_errors=True)
    by_day: dict[str, list[bytes]] = {}
    for event in annotations(served(log), seed):
        by_day.setdefault(f"{event.timestamp:%Y-%m-%d}", []).append(to_json(event))
    for day, lines in by_day.items():
        folder = log / "annotations" / f"date={day}"
        folder.mkdir(parents=True)
        (folder / "part-000.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return sum(map(len, by_day.values()))


if __name__ == "__main__":
    print(f"{make_reviews():,} annotations")
