"""Make the finished replay of the sample log: what the recognizers read in altered images.

These questions are answered before anyone asks: what fixes the outputs of production, and the
repetitive ones of them; and who wrote what is offensive, the user or the model, by what the other
version reads in the same ink.
After a score, as `make sample` does: `python -m sample.make_replays`
"""

import argparse
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

from data_access import api, queries
from data_access.api import OpenLog
from data_access.progress import SyncBars
from data_access.projections.table import TEXT, TOXICITY, TRUTH, toxicity_name
from data_access.selection import Range, Selection
from data_access.worker import use_one_thread
from readings.cache import PREFIX, Readings, put_readings
from readings.sources import own_models
from replay.engine import BY_VERSION, MAX_IMAGES, Question, plan, run
from replay.interventions import INTERVENTIONS, NOTHING, Intervention, intervention

PROD = Selection(environment=("prod",))
OFFENSIVE = 0.1  # a score that is worth asking who wrote it
OTHER = {"v1": "v2", "v2": "v1"}


def questions(log: OpenLog) -> list[tuple[Question, tuple[Intervention, ...]]]:
    """What is replayed, and with which interventions."""
    baseline = queries.baseline(
        log.warehouse, PROD, queries.usual_baseline(log.warehouse, PROD)
    ).selection
    low = next(
        preset
        for preset in queries.presets(log.warehouse, baseline)
        if preset.label == "low entropy"
    )
    offensive = [
        Selection(flag=("offensive",)),
        *(
            Selection().with_range(Range(toxicity_name(score, column), low=OFFENSIVE))
            for score in TOXICITY
            for column in (TEXT, TRUTH)
        ),
    ]
    as_it_is_and_inverted = (intervention("invert"), NOTHING)
    return [
        (Question(low.apply(PROD), BY_VERSION, MAX_IMAGES), INTERVENTIONS),
        (Question(PROD), INTERVENTIONS),
        (Question(replace(PROD, version=("v1",))), INTERVENTIONS),
        *(
            (
                Question(replace(selection, version=(version,)), OTHER[version], MAX_IMAGES),
                as_it_is_and_inverted,
            )
            for version in OTHER
            for selection in offensive
        ),
    ]


def make_replays(log: OpenLog) -> Counter[str]:
    """Read what is missing, and leave one object for each recognizer; returns how many readings
    each has.
    """
    readings = Readings(log.log)
    recognizers = [own.key for own in own_models().values()]
    for question, interventions in questions(log):
        readings.refresh(recognizers)
        tasks = plan(log, question, readings, interventions).tasks
        if tasks:
            with SyncBars() as bars:
                run(log.log, tasks, bars.show, interventions=interventions)
    readings.refresh(recognizers)
    shutil.rmtree(Path(log.log.uri) / PREFIX)
    for key in recognizers:
        put_readings(log.log, key, readings.of(key))
    return Counter({key: len(readings.of(key)) for key in recognizers})


def main() -> None:
    parser = argparse.ArgumentParser(description="Replay the sample log.")
    parser.add_argument("--log", type=Path, default=Path("sample/log"))
    use_one_thread()
    log = api.open(parser.parse_args().log)
    try:
        log.sync()
        for recognizer, count in make_replays(log).items():
            print(f"{count:>9,}  {recognizer}")
    finally:
        log.close()


if __name__ == "__main__":
    main()
