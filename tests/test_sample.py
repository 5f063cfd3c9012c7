"""The sample log: its replays are finished, and a demo's days are moved."""

import io
import re
from dataclasses import replace
from datetime import date

import pyarrow.parquet as pq
import pytest

from data_access import queries
from data_access.api import OpenLog
from data_access.projections.table import TEXT, TRUTH
from data_access.selection import Range, Selection
from readings.cache import Readings
from readings.sources import own_models
from replay.engine import BY_VERSION, MAX_IMAGES, Question, answer, plan
from replay.interventions import NOTHING, intervention
from replay.judgement import outcomes
from sample import seeding
from tests.samples import OBJECTS, SAMPLE

PROD = Selection(environment=("prod",))
V1 = Selection(version=("v1",))


@pytest.fixture(scope="module")
def kept(sample_log: OpenLog) -> Readings:
    """What the sample log holds of the project's own models."""
    readings = Readings(sample_log.log)
    readings.refresh([own.key for own in own_models().values()])
    return readings


def low_entropy(log: OpenLog, selection: Selection) -> Selection:
    """The same selection with the preset of that name."""
    presets = queries.presets(log.warehouse, Selection(environment=("test",)))
    return next(row for row in presets if row.label == "low entropy").apply(selection)


def test_the_replays_are_of_the_models_that_the_sample_was_read_by(sample_log: OpenLog) -> None:
    folders = {path.name for path in (SAMPLE / "replays").iterdir()}
    assert folders == {own_models()[name].key for name in ("v1", "v2")}, "run `make sample`"


@pytest.mark.parametrize("images", [100, MAX_IMAGES])
@pytest.mark.parametrize("version", [(), ("v1",)])
def test_what_fixes_the_low_entropy_outputs_is_known(
    sample_log: OpenLog, kept: Readings, version: tuple[str, ...], images: int
) -> None:
    selection = low_entropy(sample_log, replace(PROD, version=version))
    question = Question(selection, BY_VERSION, images)
    planned = plan(sample_log, question, kept)
    assert planned.waiting == 0
    baseline = Selection(environment=("test",))
    trials = answer(sample_log, question, baseline, planned, kept)
    best = outcomes(trials)[0]
    assert (best.intervention, best.better) == ("invert", True)
    assert not trials[trials["intervention"] == NOTHING.name]["changed"].any(), "real readings"


def test_the_first_question_of_the_page_has_an_answer(sample_log: OpenLog, kept: Readings) -> None:
    for selection in (PROD, replace(PROD, version=("v1",))):
        assert plan(sample_log, Question(selection), kept).waiting == 0


def test_what_v1_said_offensively_was_read_by_v2(sample_log: OpenLog, kept: Readings) -> None:
    rows = (intervention("invert"), NOTHING)
    selections = [replace(V1, flag=("offensive",))]
    selections += [
        V1.with_range(Range(f"detoxify.obscene({column})", low=0.1)) for column in (TEXT, TRUTH)
    ]
    for selection in selections:
        planned = plan(sample_log, Question(selection, "v2", MAX_IMAGES), kept, rows)
        assert planned.images and planned.waiting == 0


def test_its_readme_says_how_much_it_is() -> None:
    sizes = [path.stat().st_size for path in seeding.files().values()]
    megabytes, files = re.search(
        r"([\d.]+) MB in ([\d,]+)\s+files", (SAMPLE.parent / "README.md").read_text()
    ).groups()  # type: ignore[union-attr]
    assert (float(megabytes), int(files.replace(",", ""))) == (
        round(sum(sizes) / 1e6, 1),
        len(sizes),
    )
    assert len(sizes) == OBJECTS


def test_days_are_moved_and_nothing_else() -> None:
    days = seeding.days_until(date(2027, 1, 15))
    assert days == 138
    moved_keys = set()
    for key, path in seeding.files().items():
        body = path.read_bytes()
        moved_key, moved = seeding.moved_key(key, days), seeding.moved_body(key, body, days)
        moved_keys.add(moved_key)
        if not key.startswith(seeding.EVENTS):
            assert (moved_key, moved) == (key, body)
            continue
        assert moved != body
        assert seeding.moved_key(moved_key, -days) == key
        back = seeding.moved_body(key, moved, -days)
        if key.endswith(".parquet"):
            first, again = (pq.read_table(io.BytesIO(one)) for one in (body, back))
            assert again.equals(first) and again.schema.equals(first.schema)
        else:
            assert back == body
    assert len(moved_keys) == len(seeding.files())
    assert "predictions/date=2027-01-15/part-000.jsonl" in moved_keys
