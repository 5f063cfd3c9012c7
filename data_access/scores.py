"""Scores kept in the log: `projections/NAME@SOURCE/….parquet`, one row a record.

NAME is a projection's, SOURCE whoever computed it: the scores of two sources are never mixed.
A score may name its input by the MD5 of the text; it counts as long as the record has that text.
"""

import io
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_access.records import open_parquet

PREFIX = "projections/"
SCORES_SCHEMA = pa.schema(
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


def scores_object(values: Mapping[str, float], inputs: Sequence[str] | None = None) -> bytes:
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


def read_scores(key: str, body: bytes) -> pa.Table:
    """A table of SCORES_SCHEMA without the rows that have no finite value.

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
        SCORES_SCHEMA
    )


def _projection(name: str) -> str:
    return unquote(name.replace("!", "%"), errors="replace")
