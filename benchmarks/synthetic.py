"""A warehouse of synthetic records of a plausible shape, made once and kept on disk.

The events and scores are made up in SQL and put into the warehouse's own tables; `records` and
`extents` are then made from them by the warehouse, as after a sync. The log beside it has no
objects: a sync finds nothing to read, forget or score.
"""

import argparse
import hashlib
import inspect
import shutil
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

import duckdb

from data_access.api import OpenLog
from data_access.ingest.store import insert_predictions
from data_access.log import Log
from data_access.projections import load_projections
from data_access.projections.table import IMAGE, TEXT, TRUTH
from data_access.settings import Settings
from data_access.sql import quoted
from data_access.warehouse import Warehouse
from data_access.warehouse import tables as warehouse_tables

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".misread" / "bench"
PICTURES = ROOT / "sample" / "log" / "images"

RECORDS = 1_000_000
IMAGES_EACH = 0.6  # distinct images for each record
TEXTS_EACH = 0.3
FIRST_DAY = "2026-06-01"
DAYS = 120

WORDS = (
    "the of and to in a is that for it was on with as be by at this have from letter sheet line "
    "paper notes water river winter morning garden kitchen window number school teacher invoice "
    "meeting monday friday please remember tomorrow chapter quantity answer question therefore "
    "between light energy surface house street doctor appointment bread butter flour sugar salt "
    "photosynthesis temperature experiment dear sincerely yours mother brother holiday journey"
)
LOOPS = ("and the ", "of the ", "a a ", "to be to ", "the house of ")

# Draws that only depend on a row's number and on a name. Hashed twice: what `hash(i, name)` gives
# for two names is correlated.
DRAWS = """
create or replace temp macro uniform(i, name) as
    (hash(xor(hash(i), hash(name))) >> 11) / 9007199254740992.0;
create or replace temp macro normal(i, name) as
    sqrt(-2 * ln(1 - uniform(i, name))) * cos(2 * pi() * uniform(i, name || '+'));
"""

# Every tenth image is of the test set: dark; a third of the others is dark ink on light paper.
IMAGES = """
create or replace temp table image_of as
select
    i as image_number,
    sha256('image ' || i) as sha256,
    i % 10 = 0 as is_test,
    i % 10 <> 0 and uniform(i, 'light') < 0.35 as is_light,
    greatest(0, least(255, case
        when is_light then 205 + 18 * normal(i, 'mean')
        else 32 + 12 * normal(i, 'mean')
    end)) as mean,
    (180 + 900 * uniform(i, 'width') ** 2)::integer as width
from range({images}) as numbers(i)
"""

# The first tenth of the texts is what the recognizer says when it is lost.
TEXTS = """
create or replace temp table text_of as
with drawn as (
    select
        i as text_number,
        i < {texts} // 10 as is_lost,
        20 + (180 * uniform(i, 'length') ** 1.5)::integer as characters,
        list_transform(
            range(36), lambda k: $words[1 + floor(uniform(i, k) * len($words))::integer]
        ) as vocabulary,
        $loops[1 + floor(uniform(i, 'loop') * len($loops))::integer] as repeated
    from range({texts}) as numbers(i)
)
select
    text_number,
    is_lost,
    trim(left(case
        when is_lost then chr(97 + (text_number % 26)::integer) || ' ' || repeat(repeated, 100)
        else array_to_string(vocabulary, ' ') || ' ' || text_number
    end, characters)) as text,
    len(string_split(text, ' ')) as words
from drawn
"""

# Some images are reported many times, most once. Light ones grow more frequent with time.
PREDICTED = """
create or replace temp table predicted as
with numbered as (
    select
        i,
        if(
            i < {images}, i, (({images} // 10) * uniform(i, 'repeated') ** 2)::integer * 10 + i % 10
        ) % {images} as image_number
    from range({records}) as numbers(i)
),
timed as (
    select
        *,
        {days} * 86400 * uniform(i, 'time') ** if(is_light, 0.5, 1) as seconds,
        is_light and uniform(i, 'lost') < 0.3 or not is_test and uniform(i, 'lost') < 0.04 as lost
    from numbered
    join image_of using (image_number)
)
select
    i,
    lower(hex(hash(i, 'key'))) || lower(hex(i)) as record_key,
    timestamp '{first_day}' + to_microseconds((seconds * 1e6)::bigint) as timestamp,
    if(is_test, 'test', 'prod') as environment,
    case when seconds < 43 * 86400 then '1.0.0' when seconds < 90 * 86400 then '1.1.0'
        else '1.2.0' end as version,
    not is_test and uniform(i, 'flagged') < 0.04 as is_flagged,
    is_test or uniform(i, 'truth') < 0.01 as has_truth,
    image_number,
    if(
        lost,
        uniform(i, 'text') * ({texts} // 10),
        {texts} // 10 + uniform(i, 'text') * ({texts} - {texts} // 10 - 1)
    )::integer as text_number
from timed
"""

PREDICTIONS = """
select
    'predictions/date=' || strftime(timestamp, '%Y-%m-%d') || '/synthetic.jsonl' as object_key,
    object_key as origin,
    i + 1 as line,
    record_key,
    'handwriting-reader' as application,
    version,
    timestamp,
    environment,
    'images/' || sha256[1:2] || '/' || sha256 || '.png' as "inputs.image",
    text as "outputs.output_text",
    if(
        uniform(i, 'confidence?') < 0.02, null,
        1 - 0.5 * uniform(i, 'confidence') ** if(is_lost, 1, 4)
    ) as "outputs.confidence",
    null as "outputs.character_confidences",
    '{{"client": "' || if(i % 3 = 0, 'web', 'mobile') || '", "latency_ms": ' ||
        round(80 + 300 * uniform(i, 'latency') ** 2, 1) || ', "locale": "en-GB"}}' as tags
from predicted
join image_of using (image_number)
join text_of using (text_number)
order by i
"""

FEEDBACK = """
insert into feedback by name
with events as (
    select *, case when uniform(i, 'flag') < 0.8 then 'incorrect'
        when uniform(i, 'flag') < 0.86 then 'offensive' else 'other' end as flag, 1 as number
    from predicted
    where is_flagged
    union all
    select *, if(uniform(i, 'flag') < 0.5, 'offensive', 'other'), 2
    from predicted
    where is_flagged and uniform(i, 'again') < 0.12
    union all
    select *, null, 3
    from predicted
    where has_truth
)
select
    'feedback/date=' || strftime(timestamp, '%Y-%m-%d') || '/synthetic.jsonl' as object_key,
    object_key as origin,
    i + 1 as line,
    record_key || '-' || number as feedback_key,
    record_key,
    timestamp + to_seconds((60 + number * 86400 * uniform(i, 'later'))::bigint) as timestamp,
    flag,
    if(flag is null, null, 'user ' || i % 5000) as "user",
    if(flag is null, text || '.', null) as ground_truth_string,
    null as comment
from events
join text_of using (text_number)
"""


def open_synthetic(records: int = RECORDS) -> OpenLog:
    """The log and warehouse of that many records, made now where there are none on disk."""
    settings = settings_of(records)
    projections = load_projections(settings.projections, settings.alphabet)
    if not settings.warehouse.exists():
        for outdated in CACHE.glob(f"{records}-*"):
            shutil.rmtree(outdated)
        Path(settings.log).mkdir(parents=True)
        making = settings.warehouse.with_name("unfinished.duckdb")
        warehouse = Warehouse.open(making, settings.log, projections)
        _fill(warehouse, records)
        warehouse.close()
        making.replace(settings.warehouse)
    warehouse = Warehouse.open(settings.warehouse, settings.log, projections)
    return OpenLog(settings, Log.open(settings.log), warehouse)


def settings_of(records: int) -> Settings:
    folder = CACHE / f"{records}-{fingerprint()}"
    return Settings.from_environment(
        {
            "MISREAD_LOG": str(folder / "log"),
            "MISREAD_WAREHOUSE": str(folder / "warehouse.duckdb"),
            "MISREAD_SYNC_SECONDS": "0",
        }
    )


def place_pictures(log: OpenLog, names: Iterable[str]) -> None:
    """Have the log hold these images, so that pages have something to fetch and show."""
    pictures = sorted(PICTURES.rglob("*.png"))
    for number, name in enumerate(names):
        if not (Path(log.settings.log) / name).exists():
            log.log.put(name, pictures[number % len(pictures)].read_bytes())


def fingerprint() -> str:
    """Changes with whatever the warehouse on disk was made by."""
    settings = Settings.from_environment({"MISREAD_LOG": "any"})
    projections = load_projections(settings.projections, settings.alphabet)
    rows = [(row.name, row.version) for row in projections.rows]
    made_by = inspect.getsource(warehouse_tables) + Path(__file__).read_text() + repr(rows)
    return hashlib.sha256(made_by.encode()).hexdigest()[:10]


def _fill(warehouse: Warehouse, records: int) -> None:
    computed = {row.name for row in warehouse.projections.rows if row.compute is not None}
    unmade = computed - TEXT_SCORES.keys() - IMAGE_SCORES.keys()
    assert not unmade, f"no distribution for {unmade}"
    sizes = {
        "records": records,
        "images": int(records * IMAGES_EACH),
        "texts": int(records * TEXTS_EACH),
        "days": DAYS,
        "first_day": FIRST_DAY,
    }
    with warehouse.transaction() as cursor:
        cursor.execute(DRAWS)
        cursor.execute(IMAGES.format(**sizes))
        cursor.execute(TEXTS.format(**sizes), {"words": WORDS.split(), "loops": list(LOOPS)})
        cursor.execute(PREDICTED.format(**sizes))
        cursor.execute(FEEDBACK)
        _insert_values(cursor, "text", "record_key", TEXT_SCORES, TEXT_SCORES_FROM)
        _insert_values(cursor, "image", IMAGE_SCORES_KEY, IMAGE_SCORES, "image_of")
        predictions = cursor.sql(PREDICTIONS.format()).to_arrow_table()
        insert_predictions(cursor, warehouse.projections, predictions)
    warehouse.refresh(changed=True)


# Distributions of the built-in projections as they are seen in the sample log, roughly.
TEXT_SCORES_FROM = "predicted join text_of using (text_number)"
TEXT_SCORES = {
    f"entropy({TEXT})": "if(is_lost, 0.4 + 1.2 * uniform(text_number, 'entropy'), "
    "log2(words + 1) * (0.9 + 0.1 * uniform(text_number, 'entropy')))",
    f"character_error_rate({TEXT})": "if(has_truth, "
    "if(is_lost, 0.6 + 0.6 * uniform(i, 'cer'), 0.3 * uniform(i, 'cer') ** 3), null)",
    f"repetition({TEXT})": "if(is_lost, 0.4 + 0.6 * uniform(text_number, 'repetition'), "
    "greatest(0, 0.4 * uniform(text_number, 'repetition') - 0.3))",
    f"character_entropy({TEXT})": "if(is_lost, 2.4, 4.0) + 0.2 * normal(text_number, 'characters')",
    f"length({TEXT})": "length(text)",
    f"words({TEXT})": "words",
    f"outside_alphabet({TEXT})": "0",
    f"outside_alphabet({TRUTH})": "if(has_truth, greatest(0, uniform(i, 'strange') - 0.9), null)",
}
IMAGE_SCORES_KEY = (
    "'images/' || sha256[1:2] || '/' || sha256 || '.png' as image, sha256, null as failure"
)
IMAGE_SCORES = {
    f"greyscale_image_mean({IMAGE})": "mean",
    f"polarity({IMAGE})": "if(image_number % 500 = 1, null, "
    "if(is_light, 0.6, -0.6) + 0.4 * (uniform(image_number, 'polarity') - 0.5))",
    f"contrast({IMAGE})": "greatest(1, 48 + 12 * normal(image_number, 'contrast'))",
    f"ink_share({IMAGE})": "0.02 + 0.2 * uniform(image_number, 'ink') ** 2",
    f"sharpness({IMAGE})": "exp(6 + 1.2 * normal(image_number, 'sharpness'))",
    f"width({IMAGE})": "width",
    f"height({IMAGE})": "(width * (0.2 + 0.6 * uniform(image_number, 'height')))::integer",
}


def _insert_values(
    cursor: duckdb.DuckDBPyConnection, kind: str, keys: str, columns: dict[str, str], source: str
) -> None:
    values = ", ".join(f"{sql} as {quoted(name)}" for name, sql in columns.items())
    cursor.execute(f"insert into {kind}_values by name select {keys}, {values} from {source}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=RECORDS)
    records = arguments.parse_args().records
    started = perf_counter()
    log = open_synthetic(records)
    size = log.settings.warehouse.stat().st_size
    print(f"{records:,} records, {size / 1e6:.0f} MB, opened in {perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
