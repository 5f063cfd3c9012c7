"""Values of projections kept in the log: `projections/SUBJECT@SOURCE/….parquet`.

One row for each record or image, one column for each projection. SUBJECT is the column that was
scored, SOURCE who computed the values: those of two sources are never mixed.

Values of texts name their record, and by `input`, an MD5, the text that they are of: they count as
long as the record has that text. Values of images name the image and the SHA-256 of its bytes;
their SOURCE is a version, which stands for a set of image projections, each in its version: who
has the same set reads what was computed elsewhere, and nobody else does. Kept is only what any
reader would find of an image, now and later.
"""

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_access.log import DAMAGED_IMAGE, MISSING_IMAGE, Log
from data_access.projections.table import IMAGE, MAX_FAILURE, TEXT, TRUTH, ProjectionTable
from data_access.records import MAX_IMAGE_NAME, MAX_LABEL, PREDICTION_FIELDS
from data_access.records.decoding import open_parquet

PREFIX = "projections/"
RECORDS = "records"
"""The subject of values that do not say which text they are of."""
FOLDER = re.compile(rf"{PREFIX}((?:[A-Za-z0-9._()-]|![0-9A-F]{{2}})+)@([^/@]+)/[^/]+")
IMAGE_VALUES = f"{PREFIX}{IMAGE}@"
RETRYABLE_FAILURES = (MISSING_IMAGE, DAMAGED_IMAGE)
"""Failures of an image that is looked for again after a while."""


@dataclass(frozen=True)
class Kind:
    """What values are of: the texts of a record, or an image.

    name: how the warehouse's tables of them begin. noun: for sentences. key: the column that names
    the record or image, in at most max_key characters. input: the column with the hash of what was
    scored, of hash_length hexadecimal digits. columns: these and others that are no projection's,
    all of text.
    """

    name: str
    noun: str
    key: str
    max_key: int
    input: str
    hash_length: int
    columns: tuple[str, ...]


TEXTS = Kind("text", "a record", "record_key", MAX_LABEL, "input", 32, ("record_key", "input"))
IMAGES = Kind(
    "image", "an image", "image", MAX_IMAGE_NAME, "sha256", 64, ("image", "sha256", "failure")
)
KINDS = (TEXTS, IMAGES)


def kind_of(subject: str) -> Kind:
    return IMAGES if subject == IMAGE else TEXTS


def logged_names(projections: ProjectionTable, kind: Kind) -> list[str]:
    """The projections whose values are read from the log: all of images, and those of texts that
    a sync does not compute itself.
    """
    if kind is IMAGES:
        return [row.name for row in projections.computed_from_image()]
    return [
        row.name
        for row in projections.rows
        if row.compute is None and row.name not in PREDICTION_FIELDS
    ]


def values_schema(kind: Kind, names: Sequence[str]) -> pa.Schema:
    """The columns of an object with values by the projections of these names, null for none.

    failure: why an image has no pixels, and therefore no values.
    """
    texts = [(name, pa.string()) for name in kind.columns]
    return pa.schema([*texts, *((name, pa.float64()) for name in names)])


def logged_schema(kind: Kind, names: Sequence[str]) -> pa.Schema:
    """The same of many objects, and before it where each row is from."""
    place = [(name, pa.string()) for name in ("object_key", "subject", "source")]
    return pa.schema([*place, *values_schema(kind, names)])


def folder(subject: str, source: str) -> str:
    """Where a source's values of a subject are: a prefix that ends in a slash."""
    return f"{PREFIX}{subject}@{source}/"


def image_values_version(projections: ProjectionTable) -> str:
    """Of the projections of images, whatever their order: 16 hexadecimal digits."""
    named = sorted((row.name, row.version) for row in projections.computed_from_image())
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]


def has_other_version(key: str, version: str) -> bool:
    """Whether an object holds values of images, and of another version than this one."""
    return key.startswith(IMAGE_VALUES) and not key.startswith(folder(IMAGE, version))


def put_values(log: Log, subject: str, source: str, values: pa.Table) -> bool:
    """Add an object of values, with the columns of `values_schema`; whether it was new.

    It is named by what is scored in it, so that two who score the same write the same object;
    where that is not known, by all that it holds. Raises LogError where the log takes nothing.
    """
    kind = kind_of(subject)
    names = [kind.key, kind.input]
    if values[kind.input].null_count:
        names = values.column_names
    rows = zip(*(values[name].to_pylist() for name in names), strict=True)
    name = hashlib.sha256(json.dumps([*rows]).encode()).hexdigest()[:26]
    body = io.BytesIO()
    pq.write_table(values, body)
    return log.put(f"{folder(subject, source)}{name}.parquet", body.getvalue())


def read_values(key: str, body: bytes, projections: ProjectionTable) -> pa.Table:
    """A table of `logged_schema`, null for what is no finite number.

    Raises ValueError, or what pyarrow raises, for an object that holds anything else.
    """
    place = FOLDER.fullmatch(key)
    if not place:
        raise ValueError("not below projections/SUBJECT@SOURCE/")
    if not body.startswith(b"PAR1"):
        raise ValueError("values are kept as Parquet, and this is none")
    file = open_parquet(body)
    subject, source = unquote(place[1].replace("!", "%"), errors="replace"), place[2]
    kind = kind_of(subject)
    names = logged_names(projections, kind)
    if kind is TEXTS and "value" in file.schema_arrow.names:
        subject, values = _read_one_projection(subject, file)
    else:
        values = _read_columns(subject, file, names)
    columns = {"object_key": key, "subject": subject, "source": source}
    schema = logged_schema(kind, names)
    return pa.table(
        {name: pa.repeat(value, len(values)) for name, value in columns.items()}
        | {
            name: values[name] if name in values.column_names else pa.nulls(len(values))
            for name in schema.names[len(columns) :]
        }
    ).cast(schema)


def _read_one_projection(name: str, file: pq.ParquetFile) -> tuple[str, pa.Table]:
    """An object as they were before: below `projections/NAME@SOURCE/`, NAME that of a projection,
    with the columns record_key, value and perhaps input. Its subject and its values as they
    are now; rows without a finite value are left out.
    """
    table = file.read(columns=["record_key", "value", "input"])
    if "record_key" not in table.column_names:
        raise ValueError("it has no column record_key")
    record_keys = table["record_key"].cast(pa.string())
    values = table["value"].cast(pa.float64())
    inputs = table["input"] if "input" in table.column_names else pa.nulls(len(table))
    subject = TRUTH if name.endswith(f"({TRUTH})") else TEXT
    columns = {"record_key": record_keys, "input": inputs.cast(pa.string()), name: values}
    valued = pc.and_(pc.is_finite(values), pc.is_valid(record_keys))
    return subject, pa.table(columns).filter(valued)


def _read_columns(subject: str, file: pq.ParquetFile, names: Sequence[str]) -> pa.Table:
    """The columns of `values_schema` that an object has."""
    kind = kind_of(subject)
    present = file.schema_arrow.names
    if kind is IMAGES and sorted(present) != sorted([*kind.columns, *names]):
        raise ValueError("its columns are not those of its version")
    if subject not in (IMAGE, TEXT, TRUTH, RECORDS):
        raise ValueError(f"no values are of {subject}, and it has no column value")
    if kind.key not in present:
        raise ValueError(f"it has no column {kind.key}")
    table = file.read(columns=[name for name in (*kind.columns, *names) if name in present])
    table.validate(full=True)  # texts may be no UTF-8
    columns = {
        name: _of_type(name, table[name], name in kind.columns) for name in table.schema.names
    }
    table = pa.table(columns)
    if kind.input not in columns:
        table = table.append_column(kind.input, pa.nulls(len(table), pa.string()))
    sound = _sound(kind, table)
    if not pc.all(sound, min_count=0).as_py():
        row = pc.index(sound, False).as_py() + 1
        raise ValueError(f"row {row} does not name {kind.noun} and what was scored")
    if pc.count_distinct(table[kind.key]).as_py() < len(table):
        raise ValueError(f"it names {kind.noun} twice")
    valued = pc.is_null(table["failure"]) if kind is IMAGES else pc.is_valid(table[kind.key])
    for name in columns.keys() - set(kind.columns):
        finite = pc.and_(valued, pc.is_finite(table[name]))
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pc.if_else(finite, table[name], None))
    return table


def _of_type(name: str, column: pa.ChunkedArray, is_text: bool) -> pa.ChunkedArray:
    """Raises ValueError where a column that should hold texts, or numbers, holds something else."""
    types = pa.types
    if is_text and (types.is_string(column.type) or types.is_large_string(column.type)):
        return column.cast(pa.string())
    if not is_text and (types.is_floating(column.type) or types.is_integer(column.type)):
        return column.cast(pa.float64(), safe=False)
    if types.is_null(column.type):
        return column.cast(pa.string() if is_text else pa.float64())
    raise ValueError(
        f"its column {name} holds {column.type}, not {'text' if is_text else 'numbers'}"
    )


def _sound(kind: Kind, table: pa.Table) -> pa.ChunkedArray:
    """Which rows name what was scored, and give an image no failure that may pass."""
    length = pc.utf8_length(table[kind.key])
    named = pc.and_(pc.greater(length, 0), pc.less_equal(length, kind.max_key))
    hashed = pc.match_substring_regex(table[kind.input], f"^[0-9a-f]{{{kind.hash_length}}}$")
    sound = pc.and_(named, pc.fill_null(hashed, kind is TEXTS))
    if kind is IMAGES:
        failure = table["failure"]
        lasting = pc.and_(
            pc.less_equal(pc.utf8_length(failure), MAX_FAILURE),
            pc.invert(pc.is_in(failure, pa.array(RETRYABLE_FAILURES))),
        )
        sound = pc.and_(sound, pc.fill_null(lasting, True))
    return pc.fill_null(sound, False)
