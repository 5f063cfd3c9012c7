"""Values of projections kept in the log: `projections/NAME@SOURCE/….parquet`.

Of a text: one row a record. NAME is a projection's, SOURCE whoever computed it: the values of two
sources are never mixed. A value may name its input by the MD5 of the text; it counts as long as
the record has that text.

Of images: `projections/inputs.image@VERSION/`, one row an image, a column a projection. VERSION
stands for a set of image projections, each in its version: who has the same set reads what was
computed elsewhere, and nobody else does. Kept is only what any reader would find of an image, now
and later.
"""

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_access.log import DAMAGED_IMAGE, MISSING_IMAGE, Log
from data_access.projections.table import IMAGE, MAX_FAILURE, ProjectionTable
from data_access.records import MAX_IMAGE_NAME
from data_access.records.decoding import open_parquet

PREFIX = "projections/"
VALUES_SCHEMA = pa.schema(
    [
        ("object_key", pa.string()),
        ("projection", pa.string()),
        ("source", pa.string()),
        ("record_key", pa.string()),
        ("value", pa.float64()),
        ("input", pa.string()),
    ]
)
FOLDER = re.compile(rf"{PREFIX}((?:[A-Za-z0-9._()-]|![0-9A-F]{{2}})+)@([^/@]+)/[^/]+")


def folder(projection: str, source: str) -> str:
    """Where a source's scores of a projection are: a prefix that ends in a slash."""
    return f"{PREFIX}{safe_name(projection)}@{source}/"


def safe_name(projection: str) -> str:
    """The name of a projection as a folder: letters, digits and `.` `_` `-` `(` `)` stay, the
    bytes of every other character become `!` and two hexadecimal digits.
    """
    return "".join(
        sign if re.fullmatch(r"[A-Za-z0-9._()-]", sign) else _escaped(sign) for sign in projection
    )


def _escaped(sign: str) -> str:
    return "".join(f"!{byte:02X}" for byte in sign.encode(errors="surrogatepass"))


def values_object(values: Mapping[str, float], inputs: Sequence[str] | None = None) -> bytes:
    """Scores by record key as an object of the log: Parquet with the columns record_key, value.

    inputs: of each record, for a column input.
    """
    columns = {
        "record_key": pa.array(list(values), pa.string()),
        "value": pa.array(list(values.values()), pa.float64()),
    }
    if inputs is not None:
        columns["input"] = pa.array(inputs, pa.string())
    table = pa.table(columns)
    body = io.BytesIO()
    pq.write_table(table, body)
    return body.getvalue()


def read_values(key: str, body: bytes) -> pa.Table:
    """A table of VALUES_SCHEMA without the rows that have no finite value.

    Raises ValueError, or what pyarrow raises, for an object that holds no scores.
    """
    named = FOLDER.fullmatch(key)
    if not named:
        raise ValueError("not below projections/NAME@SOURCE/")
    if not body.startswith(b"PAR1"):
        raise ValueError("scores are kept as Parquet, and this is none")
    held = open_parquet(body).read(columns=["record_key", "value", "input"])
    if not {"record_key", "value"} <= set(held.column_names):
        raise ValueError("it has no columns record_key and value")
    keys, values = held["record_key"].cast(pa.string()), held["value"].cast(pa.float64())
    inputs = held["input"] if "input" in held.column_names else pa.nulls(len(held), pa.string())
    there = pa.table(
        {"record_key": keys, "value": values, "input": inputs.cast(pa.string())}
    ).filter(pc.and_(pc.is_finite(values), pc.is_valid(keys)))
    names = {"object_key": key, "projection": _projection(named[1]), "source": named[2]}
    columns = {name: pa.repeat(value, len(there)) for name, value in names.items()}
    return pa.table(columns | {name: there[name] for name in there.column_names}).cast(
        VALUES_SCHEMA
    )


def _projection(name: str) -> str:
    return unquote(name.replace("!", "%"), errors="replace")


IMAGE_VALUES = f"{PREFIX}{IMAGE}@"
RETRYABLE_FAILURES = (MISSING_IMAGE, DAMAGED_IMAGE)
"""What is said of an image that is looked for again after a while."""

HASH = "^[0-9a-f]{64}$"


def image_values_version(projections: ProjectionTable) -> str:
    """Of the projections of images, whatever their order: 16 hexadecimal digits."""
    named = sorted((row.name, row.version) for row in projections.computed_from_image())
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]


def is_of_another(key: str, wanted: str) -> bool:
    """Whether an object holds values, and of another version than the wanted one."""
    return key.startswith(IMAGE_VALUES) and not key.startswith(folder(IMAGE, wanted))


def image_values_schema(names: Sequence[str]) -> pa.Schema:
    """Of values by the projections of these names: inputs.image, its bytes' SHA-256, and values.

    failure: why the image has no pixels, and therefore no values.
    """
    texts = [(name, pa.string()) for name in ("image", "sha256", "failure")]
    return pa.schema([*texts, *((name, pa.float64()) for name in names)])


def logged_image_values_schema(names: Sequence[str]) -> pa.Schema:
    """The same, and before it the object that has the values."""
    return pa.schema([("object_key", pa.string()), *image_values_schema(names)])


def put_image_values(log: Log, wanted: str, values: pa.Table) -> bool:
    """Add an object named by its images, so that two who score them write the same one.

    Returns whether it was new. Raises LogError where the log takes nothing.
    """
    pairs = zip(values["image"].to_pylist(), values["sha256"].to_pylist(), strict=True)
    key = hashlib.sha256(json.dumps([*pairs]).encode()).hexdigest()[:26]
    body = io.BytesIO()
    pq.write_table(values, body)
    return log.put(f"{folder(IMAGE, wanted)}{key}.parquet", body.getvalue())


def read_image_values(key: str, body: bytes, names: Sequence[str]) -> pa.Table:
    """A table of `logged_image_values_schema`, NULL for what is no finite number.

    Raises ValueError, or what pyarrow raises, for an object that holds anything else.
    """
    if not body.startswith(b"PAR1"):
        raise ValueError("values are kept as Parquet, and this is none")
    file = open_parquet(body)
    wanted = image_values_schema(names)
    if sorted(file.schema_arrow.names) != sorted(wanted.names):
        raise ValueError("its columns are not those of its version")
    held = file.read().select(wanted.names)
    if held.schema.types != wanted.types:
        raise ValueError("its columns are not all of the type they should be")
    held.validate(full=True)  # texts may be no UTF-8
    sound = _sound(held)
    if not pc.all(sound, min_count=0).as_py():
        raise ValueError(f"row {pc.index(sound, False).as_py() + 1} names no image and its bytes")
    if pc.count_distinct(held["image"]).as_py() < len(held):
        raise ValueError("it names an image twice")
    columns = {"object_key": pa.repeat(key, len(held))}
    columns |= {name: held[name] for name in wanted.names[:3]}
    opened = pc.is_null(held["failure"])
    for name in names:
        there = pc.and_(opened, pc.is_finite(held[name]))
        columns[name] = pc.if_else(there, held[name], None)
    return pa.table(columns, logged_image_values_schema(names))


def _sound(held: pa.Table) -> pa.ChunkedArray:
    """Which rows name an image and its bytes, and say of it what does not pass."""
    length = pc.utf8_length(held["image"])
    failure = held["failure"]
    lasting = pc.and_(
        pc.less_equal(pc.utf8_length(failure), MAX_FAILURE),
        pc.invert(pc.is_in(failure, pa.array(RETRYABLE_FAILURES))),
    )
    named = pc.and_(pc.greater(length, 0), pc.less_equal(length, MAX_IMAGE_NAME))
    hashed = pc.match_substring_regex(held["sha256"], HASH)
    sound = pc.and_(pc.and_(named, hashed), pc.fill_null(lasting, True))
    return pc.fill_null(sound, False)
