"""Reads JSON lines of many objects by columns, the lines of one shape with one query."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access.ingest.events import EventTables
from data_access.ingest.flat import (
    FLAT,
    LENIENT,
    all_of,
    query,
    sort_names,
    tags_sql,
    take_events,
    value_sql,
)
from data_access.records.decoding import read_lines
from data_access.sql import json_pointer, literal, quoted

SLICE = 64 * 1024 * 1024  # bytes of JSON lines taken apart at a time
SHAPES = 32  # of one slice; rows of the rarer ones are read one by one
JSON_TYPES = {
    "varchar": "VARCHAR|NULL",
    "timestamp": "VARCHAR",
    "double": "DOUBLE|BIGINT|UBIGINT|NULL",
}


@dataclass(frozen=True)
class Part:
    """Whole lines of one object, of which `before` come before."""

    key: str
    body: bytes
    before: int


def is_lines(body: bytes) -> bool:
    """Whether each line can be read for itself, so that JSON spread over lines cannot be meant."""
    if not body.startswith(b"{") or b"\x00" in body:
        return False
    end = body.find(b"\n")
    if end in (-1, len(body) - 1):
        return True
    try:
        return isinstance(json.loads(body[:end]), dict)
    except (ValueError, RecursionError):
        return False


def slices(bodies: Sequence[tuple[str, bytes]], slice_bytes: int = SLICE) -> Iterator[list[Part]]:
    """Parts of about slice_bytes together: many small objects, or a piece of a large one."""
    parts: list[Part] = []
    size = 0
    for key, body in bodies:
        before = start = 0
        while start < len(body):
            end = len(body)
            if end - start > slice_bytes:
                cut = body.rfind(b"\n", start, start + slice_bytes)
                cut = cut if cut >= 0 else body.find(b"\n", start)
                end = cut + 1 if cut >= 0 else end
            piece = body if (start, end) == (0, len(body)) else body[start:end]
            if parts and size + len(piece) > slice_bytes:
                yield parts
                parts, size = [], 0
            parts.append(Part(key, piece.rstrip(b"\n"), before))
            size += len(piece)
            before += piece.count(b"\n") if end < len(body) else 0
            start = end
    if parts:
        yield parts


def read_slice(
    kind: str, parts: Sequence[Part], tables: EventTables, max_shapes: int = SHAPES
) -> None:
    """Add the events of parts that are read together; rows of rarer shapes than the max_shapes
    most frequent ones are read one by one.
    """
    buffer = parts[0].body if len(parts) == 1 else b"\n".join(part.body for part in parts)
    starts = np.concatenate([[0], np.flatnonzero(np.frombuffer(buffer, np.uint8) == 10) + 1])
    lengths = [len(part.body) + 1 for part in parts]
    firsts = np.searchsorted(starts, np.cumsum([0, *lengths[:-1]]))  # each part's first line
    part_of = np.repeat(np.arange(len(parts)), np.diff([*firsts, len(starts)]))
    keys = pa.array([part.key for part in parts]).take(pa.array(part_of))
    numbers = np.arange(len(starts)) - (firsts - [part.before for part in parts])[part_of] + 1
    places = pa.table({"object_key": keys, "origin": keys, "line": pa.array(numbers)})
    texts, legible = _texts(buffer, starts)
    table = pa.table({"ordinal": np.arange(len(starts)), "text": texts})
    left = [np.flatnonzero(~legible)]
    for flat, rows in _shapes(kind, table, legible, max_shapes):
        left.append(
            take_events(kind, flat, rows, places, tables) if flat else rows["ordinal"].to_numpy()
        )
    ends = np.append(starts[1:], len(buffer))
    ordinals = np.sort(np.concatenate(left))
    for part in np.unique(part_of[ordinals]):
        odd = ordinals[part_of[ordinals] == part]
        lines = [(int(numbers[i]), buffer[starts[i] : ends[i]].removesuffix(b"\n")) for i in odd]
        tables.add(parts[part].key, read_lines(kind, lines))


def _texts(buffer: bytes, starts: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Lines as an array without copying them, and which are UTF-8: those that are not are empty."""
    legible = np.ones(len(starts), bool)
    offsets = np.append(starts, len(buffer)).astype(np.int64)
    try:
        buffer.decode()
    except UnicodeDecodeError:
        lines = [buffer[start:end] for start, end in pairwise(offsets)]
        for ordinal, line in enumerate(lines):
            try:
                line.decode()
            except UnicodeDecodeError:
                legible[ordinal] = False
                lines[ordinal] = b""
        return pa.array(lines, pa.large_binary()).cast(pa.large_string()), legible
    buffers = [pa.py_buffer(offsets), pa.py_buffer(buffer)]
    return pa.LargeStringArray.from_buffers(len(starts), *buffers), legible


def _shapes(
    kind: str, table: pa.Table, legible: np.ndarray, max_shapes: int
) -> Iterator[tuple[str | None, pa.Table]]:
    """Rows of each shape, and the SQL of `flat` for them: None where they have no known shape.

    Empty lines, and lines that are not legible, have no shape and are left out.
    """
    keys = "json_keys(text, ['$', '/inputs', '/outputs', '/feedback'])"
    sql = f"select case when json_valid(text) then hash({keys}) end as shape from rows"
    shape = query(sql, table)["shape"].combine_chunks()
    broken = shape.is_null().to_numpy(zero_copy_only=False) & legible
    if broken.any():
        rows = table.filter(pa.array(broken))
        filled = pc.not_equal(pc.utf8_trim_whitespace(rows["text"]), "")
        yield None, rows.filter(filled)
    frequencies = shape.drop_null().value_counts()
    counts = sorted(frequencies.to_pylist(), key=lambda entry: -entry["counts"])
    rare = {entry["values"] for entry in counts[max_shapes:]}
    if rare:
        yield None, table.filter(pc.is_in(shape, pa.array(list(rare), pa.uint64())))
    alone = len(counts) == 1 and not shape.null_count
    for value in [entry["values"] for entry in counts[:max_shapes]]:
        same = pc.equal(shape, pa.scalar(value, pa.uint64()))
        rows = table if alone else table.filter(same)
        [names] = query(f"select {keys} as names from rows", rows.slice(0, 1))["names"].to_pylist()
        yield _flat_json(kind, *names), rows


def _flat_json(
    kind: str,
    top: list[str],
    inputs: list[str] | None,
    outputs: list[str] | None,
    feedback: list[str] | None,
) -> str | None:
    """SQL that brings JSON texts of one shape to FLAT, by the names they have on each level."""
    groups = {"inputs": inputs, "outputs": outputs, "feedback": feedback}
    addresses: list[tuple[str, Any]] = []
    for name in top:
        if groups.get(name) is not None:
            pointer = json_pointer(name)
            addresses += [(f"{name}.{x}", pointer + json_pointer(x)) for x in groups[name] or []]
        else:
            addresses.append((name, json_pointer(name)))
    names = sort_names(kind, addresses)
    if names is None or len(set(top)) < len(top):
        return None
    pointer_of = {name: names.known.get("timestamp" if name == "moment" else name) for name in FLAT}
    pointers = list(dict.fromkeys(pointer for pointer in pointer_of.values() if pointer))
    listed = ", ".join(map(literal, pointers))
    nests = [json_pointer(name) for name in (*groups, "tags") if name in top]
    typed = ", ".join(map(literal, [*pointers, *nests]))
    types = ["OBJECT|NULL"] * len(nests)
    trusted = [f"not regexp_matches(text, '{LENIENT}')"]
    columns = []
    for name, sql_type in FLAT.items():
        if pointer_of[name] is None:
            columns.append(f"null::{sql_type} as {quoted(name)}")
            continue
        place = pointers.index(pointer_of[name])
        types.insert(place, JSON_TYPES[sql_type])
        columns.append(f"{value_sql(sql_type, f'extracted[{place + 1}]')} as {quoted(name)}")
    # one comparison of all types: each mention of json_type would read the text again
    actual = f"array_to_string(json_type(text, [{typed}]), ' ')"
    allowed = " ".join(f"({some})" for some in types)
    trusted.append(f"regexp_full_match({actual}, '{allowed}')")
    nested = "null"
    if names.nested_tags:
        inside = f"json_keys(text, {literal(names.nested_tags)})"
        nested = f"nullif(json_extract(text, {literal(names.nested_tags)})::varchar, 'null')"
        trusted.append(f"coalesce(len({inside}) = list_unique({inside}), true)")
        trusted += [
            f"not json_exists(text, {literal(names.nested_tags + json_pointer(tag))})"
            for tag in names.tags
        ]
    tags = {
        tag: f"json_extract(text, {literal(pointer)})::varchar"
        for tag, pointer in names.tags.items()
    }
    return f"""
        select ordinal, {", ".join(columns)}, {tags_sql(nested, tags)} as tags,
            {all_of(trusted)} as trusted
        from (
            select
                ordinal,
                text,
                json_extract_string(text, [{listed}]) as extracted
            from rows
        )
    """
