"""Measures of images kept in the log: `projections/inputs.image@VERSION/….parquet`, a row each.

VERSION stands for a set of image projections, each in its version: who has the same set reads what
was measured elsewhere, and nobody else does. Kept is only what any reader would find of an image,
now and later.
"""

import hashlib
import io
import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_access.log import DAMAGED_IMAGE, MISSING_IMAGE, Log
from data_access.projections import IMAGE, MAX_FAILURE, Table
from data_access.records import MAX_IMAGE_NAME, open_parquet
from data_access.scores import PREFIX, folder

MEASURES = f"{PREFIX}{IMAGE}@"
MAY_HEAL = (MISSING_IMAGE, DAMAGED_IMAGE)
"""What is said of an image that is looked for again after a while."""

HASH = "^[0-9a-f]{64}$"


def measures_version(projections: Table) -> str:
    """Of the projections of images, whatever their order: 16 hexadecimal digits."""
    named = sorted((row.name, row.version) for row in projections.computed_from_image())
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]


def is_of_another(key: str, wanted: str) -> bool:
    """Whether an object holds measures, and of another version than the wanted one."""
    return key.startswith(MEASURES) and not key.startswith(folder(IMAGE, wanted))


def measures_schema(names: Sequence[str]) -> pa.Schema:
    """Of measures by the projections of these names: inputs.image, its bytes' SHA-256, and values.

    failure: why the image has no pixels, and therefore no values.
    """
    texts = [(name, pa.string()) for name in ("image", "sha256", "failure")]
    return pa.schema([*texts, *((name, pa.float64()) for name in names)])


def found_schema(names: Sequence[str]) -> pa.Schema:
    """The same, and before it the object that has the measures."""
    return pa.schema([("object_key", pa.string()), *measures_schema(names)])


def put_measures(log: Log, wanted: str, measures: pa.Table) -> bool:
    """Add an object named by the images it measures, so that two who measure write the same one.

    Returns whether it was new. Raises LogError where the log takes nothing.
    """
    pairs = zip(measures["image"].to_pylist(), measures["sha256"].to_pylist(), strict=True)
    key = hashlib.sha256(json.dumps([*pairs]).encode()).hexdigest()[:26]
    body = io.BytesIO()
    pq.write_table(measures, body)
    return log.put(f"{folder(IMAGE, wanted)}{key}.parquet", body.getvalue())


def read_measures(key: str, body: bytes, names: Sequence[str]) -> pa.Table:
    """A table of `found_schema`, NULL for what is no finite number.

    Raises ValueError, or what pyarrow raises, for an object that holds anything else.
    """
    if not body.startswith(b"PAR1"):
        raise ValueError("measures are kept as Parquet, and this is none")
    file = open_parquet(body)
    wanted = measures_schema(names)
    if sorted(file.schema_arrow.names) != sorted(wanted.names):
        raise ValueError("its columns are not those of its version")
    held = file.read().select(wanted.names)
    if held.schema.types != wanted.types:
        raise ValueError("its columns are not all of the type they should be")
    held.validate(full=True)  # texts may be no UTF-8
    sound = _sound(held)
    if not pc.all(sound, min_count=0).as_py():
        raise ValueError(f"row {pc.index(sound, False).as_py() + 1} measures no image")
    if pc.count_distinct(held["image"]).as_py() < len(held):
        raise ValueError("it measures an image twice")
    columns = {"object_key": pa.repeat(key, len(held))}
    columns |= {name: held[name] for name in wanted.names[:3]}
    opened = pc.is_null(held["failure"])
    for name in names:
        there = pc.and_(opened, pc.is_finite(held[name]))
        columns[name] = pc.if_else(there, held[name], None)
    return pa.table(columns, found_schema(names))


def _sound(held: pa.Table) -> pa.ChunkedArray:
    """Which rows name an image and its bytes, and say of it what does not pass."""
    length = pc.utf8_length(held["image"])
    failure = held["failure"]
    lasting = pc.and_(
        pc.less_equal(pc.utf8_length(failure), MAX_FAILURE),
        pc.invert(pc.is_in(failure, pa.array(MAY_HEAL))),
    )
    named = pc.and_(pc.greater(length, 0), pc.less_equal(length, MAX_IMAGE_NAME))
    hashed = pc.match_substring_regex(held["sha256"], HASH)
    sound = pc.and_(pc.and_(named, hashed), pc.fill_null(lasting, True))
    return pc.fill_null(sound, False)
