"""Make the sample log: pictures of invented notes, read by the recognizer, flagged by simulated
users.

Pictures, readings and confidences are real; who sent what when, how long it took and who flagged
it are drawn by chance. Which failure mode each record belongs to goes to `truth.csv` beside the
log, never into the log. Made from the repository root, as `make sample` does:
`python -m sample.make_sample --fonts FOLDER`
"""

import argparse
import csv
import gzip
import hashlib
import io
import json
import math
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from rapidfuzz.distance import Levenshtein
from tqdm import tqdm

from recognizer.reader import Reading, Recognizer
from sample.notes import Note, write_notes
from sample.pictures import DARK_GROUND, font_files, picture
from sample.sentences import COMMENTS

Json = dict[str, Any]

TEST_START, TEST_DAYS, TEST_RECORDS = datetime(2026, 6, 29, tzinfo=UTC), 7, 180
PROD_START, PROD_DAYS = datetime(2026, 7, 6, tzinfo=UTC), 56
RELEASE = datetime(2026, 8, 17, tzinfo=UTC)

PROD_RECORDS = {
    "dark_on_light": 220,
    "fine": 170,
    "printed": 50,
    "textured_background": 40,
    "several_blocks": 50,
    "outside_alphabet": 40,
}
SAME_IMAGE = {"dark_on_light": 12, "printed": 5}
SWORN_IN_PROD = {"dark_on_light": 5, "fine": 6, "printed": 1, "textured_background": 2}
SWORN_IN_TEST = 6

OBJECT_PER_RECORD_DAYS = ("2026-07-11", "2026-08-29")
PARQUET_DAY = "2026-08-12"
TRUNCATED_LINE_DAY, KEYLESS_LINE_DAY = "2026-07-21", "2026-08-05"

CLIENTS = {"web": ("3.1.0", "3.2.0"), "ios": ("2.4.1", "2.5.0"), "android": ("2.4.0", "2.5.0")}
CLIENT_UPDATE = datetime(2026, 8, 3, tzinfo=UTC)
HOUR_WEIGHTS = [1, 1, 0, 0, 0, 1, 3, 7, 12, 15, 16, 14, 11, 14, 16, 15, 13, 10, 8, 7, 6, 5, 3, 2]

EXAMPLES = ("dark_on_light", "fine", "printed", "several_blocks")  # for the capture app to offer

SWEARS = re.compile(r"\b(damn|hell|crap|bloody|bugger|pissed)\b", re.I)


@dataclass(frozen=True)
class Served:
    """One request: a note, sent at a moment to the version that was running."""

    number: int
    environment: str
    moment: datetime
    note: Note

    @property
    def version(self) -> str:
        return "v1" if self.moment < RELEASE else "v2"


def moments(start: datetime, days: int, count: int, rng: Random) -> list[datetime]:
    """Sorted times: office hours, quiet weekends, traffic that grows by half over the span."""
    dates = [start + timedelta(days=day) for day in range(days)]
    weights = [
        (0.35 if date.weekday() > 4 else 1.0) * (1 + 0.5 * day / days)
        for day, date in enumerate(dates)
    ]
    hours = rng.choices(range(24), HOUR_WEIGHTS, k=count)
    chosen = rng.choices(dates, weights, k=count)
    return sorted(
        date + timedelta(hours=hour, microseconds=rng.randrange(3_600_000_000))
        for date, hour in zip(chosen, hours, strict=True)
    )


def positions(modes: list[str], wanted: dict[str, int], rng: Random) -> set[int]:
    """Chosen positions in `modes`, as many of each mode as `wanted` says."""
    return {
        position
        for mode, count in wanted.items()
        for position in rng.sample([i for i, name in enumerate(modes) if name == mode], count)
    }


def plan(seed: int) -> list[Served]:
    """Every request of the sample, in order of time within its environment."""
    rng = Random(f"{seed}/plan")
    prod_modes = [mode for mode, count in PROD_RECORDS.items() for _ in range(count)]
    rng.shuffle(prod_modes)
    modes = ["fine"] * TEST_RECORDS + prod_modes
    sworn = set(rng.sample(range(TEST_RECORDS), SWORN_IN_TEST))
    sworn |= {TEST_RECORDS + place for place in positions(prod_modes, SWORN_IN_PROD, rng)}
    notes = write_notes(modes, sworn, rng)
    times = moments(TEST_START, TEST_DAYS, TEST_RECORDS, rng)
    times += moments(PROD_START, PROD_DAYS, len(prod_modes), rng)
    for mode, count in SAME_IMAGE.items():
        spread = [
            note.number
            for note, moment in zip(notes, times, strict=True)
            if note.mode == mode and note.number not in sworn and PROD_START < moment < RELEASE
        ][count : 2 * count]
        for number in spread:
            notes[number] = notes[spread[0]]
    return [
        Served(number, "test" if number < TEST_RECORDS else "prod", moment, note)
        for number, (moment, note) in enumerate(zip(times, notes, strict=True))
    ]


def key_of(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:26]


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def tags(served: Served, rng: Random) -> Json:
    """Where a request came from: photographs mostly from phones, writing on a dark canvas from the
    web."""
    lines = sum(map(len, served.note.blocks))
    latency = round(rng.lognormvariate(4.6, 0.25) + 45 * lines, 1)
    if served.environment == "test":
        return {"client": "evaluation", "latency_ms": latency, "locale": "en-GB"}
    phones = 0.2 if served.note.mode in DARK_GROUND else 0.85
    client = rng.choice(["ios", "android"]) if rng.random() < phones else "web"
    abroad = ["de-DE", "fr-FR", "es-ES", "el-GR"]
    home = ["en-GB", "en-GB", "en-US", "en-US", "en-IE", "de-DE"]
    return {
        "client": client,
        "client_version": CLIENTS[client][served.moment >= CLIENT_UPDATE],
        "latency_ms": latency,
        "locale": rng.choice(abroad if served.note.mode == "outside_alphabet" else home),
    }


def readings(
    served_all: list[Served], pictures: dict[int, bytes]
) -> dict[tuple[int, str], Reading]:
    """What each version read in the notes that it was sent, by note and version."""
    by_note = {}
    for version in sorted({served.version for served in served_all}):
        recognizer = Recognizer.load(version)
        numbers = sorted({one.note.number for one in served_all if one.version == version})
        for start in tqdm(range(0, len(numbers), 16), f"Reading with {version}"):
            part = numbers[start : start + 16]
            images = [Image.open(io.BytesIO(pictures[number])) for number in part]
            for number, reading in zip(part, recognizer.read_many(images), strict=True):
                by_note[number, version] = reading
    return by_note


def record(served: Served, image_key: str, reading: Reading, seed: int) -> Json:
    """One prediction as the capture app would have logged it."""
    event: Json = {
        "record_key": key_of(seed, "record", served.number),
        "application": "handwriting-reader",
        "version": served.version,
        "timestamp": stamp(served.moment),
        "environment": served.environment,
        "inputs": {"image": image_key},
        "outputs": {"output_text": reading.text, "confidence": round(reading.confidence or 0, 5)},
        "tags": tags(served, Random(f"{seed}/tags/{served.number}")),
    }
    if served.environment == "test":
        event["feedback"] = {"ground_truth_string": served.note.text}
    return event


def flags(served: Served, read: str, reported: bool, seed: int) -> list[Json]:
    """What simulated users say of one reading, hours to days later; most of the time nothing.
    A reported image is flagged each time it was sent."""
    rng = Random(f"{seed}/flags/{served.number}")
    swears = SWEARS.search(read) is not None
    error_rate = Levenshtein.distance(read, served.note.text) / len(served.note.text)
    chance = 1.0 if reported else 0.7 if swears else 0.015 + 0.75 * min(1.0, error_rate)
    if rng.random() >= chance:
        return []
    people = 1 if reported else rng.choices([1, 2, 3], [84, 12, 4])[0]
    events = []
    for user in rng.sample(range(1, 91), people):
        hours = min(240.0, max(0.2, rng.lognormvariate(math.log(9), 1.1)))
        event: Json = {
            "feedback_key": key_of(seed, "feedback", served.number, user),
            "record_key": key_of(seed, "record", served.number),
            "timestamp": stamp(served.moment + timedelta(hours=hours)),
            "flag": "offensive" if swears and rng.random() < 0.85 else "incorrect",
            "user": f"user-{user:02}",
        }
        if event["flag"] == "incorrect" and rng.random() < 0.07:
            event |= {"flag": "other", "comment": rng.choice(COMMENTS)}
        elif rng.random() < 0.12:
            event["ground_truth_string"] = served.note.text
        events.append(event)
    return events


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def json_line(event: Json) -> str:
    return json.dumps(event, ensure_ascii=False)


def as_parquet(events: list[Json]) -> bytes:
    """Flat columns with dotted names, the time as a time."""
    rows = []
    for event in events:
        row = {**event, "timestamp": datetime.fromisoformat(event["timestamp"])}
        for group in ("inputs", "outputs", "tags"):
            row |= {f"{group}.{name}": value for name, value in row.pop(group).items()}
        rows.append(row)
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def damaged(day: str, events: list[Json]) -> list[str]:
    """The one line that a crashed writer left at the end of this day's file, if it is such a day:
    half of a record that was written again whole, or one without its key."""
    if day == TRUNCATED_LINE_DAY:
        return [json_line(events[-1])[:190]]
    if day == KEYLESS_LINE_DAY:
        return [json_line({k: v for k, v in events[-1].items() if k != "record_key"})]
    return []


def write_predictions(log: Path, events: list[Json]) -> None:
    """A day is one file: JSON lines, each third day gzipped; a few days are otherwise."""
    days: dict[str, list[Json]] = defaultdict(list)
    for event in events:
        days[event["timestamp"][:10]].append(event)
    for number, (day, of_day) in enumerate(sorted(days.items())):
        folder = log / "predictions" / f"date={day}"
        damaged_lines = damaged(day, of_day)
        lines = "\n".join([*map(json_line, of_day), *damaged_lines]) + "\n"
        if day in OBJECT_PER_RECORD_DAYS:
            for event in of_day:
                write(folder / f"{event['record_key']}.json", json_line(event).encode())
        elif day == PARQUET_DAY:
            write(folder / "part-000.parquet", as_parquet(of_day))
        elif number % 3 == 2 and not damaged_lines:
            write(folder / "part-000.jsonl.gz", gzip.compress(lines.encode(), mtime=0))
        else:
            write(folder / "part-000.jsonl", lines.encode())


def make_sample(fonts: Path, log: Path, seed: int) -> Counter[str]:
    """Write the log, `truth.csv` and `examples/`; returns how many of what were made."""
    for part in ("predictions", "feedback", "images", "projections", "replays"):
        shutil.rmtree(log / part, ignore_errors=True)
    served_all, families = plan(seed), font_files(fonts)
    often = Counter(served.note.number for served in served_all)
    made: Counter[str] = Counter()
    pictures = {
        served.note.number: picture(served.note, families, seed)
        for served in tqdm(served_all, "Drawing")
    }
    read_in = readings(served_all, pictures)
    records: list[Json] = []
    truth: list[tuple[str, str, str]] = []
    for served in served_all:
        note = served.note
        digest = hashlib.sha256(pictures[note.number]).hexdigest()
        image_key = f"images/{digest[:2]}/{digest}.png"
        write(log / image_key, pictures[note.number])
        event = record(served, image_key, read_in[note.number, served.version], seed)
        records.append(event)
        truth.append((event["record_key"], note.mode, note.text))
        made[f"{served.environment} {note.mode} {served.version}"] += 1
        if served.environment == "prod":
            read = event["outputs"]["output_text"]
            for flag in flags(served, read, often[note.number] > 1, seed):
                day = flag["timestamp"][:10]
                path = log / "feedback" / f"date={day}" / f"{flag['feedback_key']}.json"
                write(path, json_line(flag).encode())
                made[f"flag {flag['flag']}"] += 1
    write_predictions(log, records)
    for mode in EXAMPLES:
        one = next(s for s in served_all if s.environment == "prod" and s.note.mode == mode)
        write(log.parent / "examples" / f"{mode}.png", pictures[one.note.number])
    with (log.parent / "truth.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("record_key", "mode", "text"))
        rows.writerows(truth)
    made["bytes"] = sum(path.stat().st_size for path in log.rglob("*") if path.is_file())
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sample log.")
    parser.add_argument(
        "--fonts", type=Path, required=True, help="a folder that recognizer.fonts has filled"
    )
    parser.add_argument("--out", type=Path, default=Path("sample/log"))
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    for name, count in sorted(make_sample(arguments.fonts, arguments.out, arguments.seed).items()):
        print(f"{count:>9,}  {name}")


if __name__ == "__main__":
    main()
