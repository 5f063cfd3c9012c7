"""Reads many objects of the log at once, by columns: what `records` does row by row, faster.

Rows of one shape (the same names, nested the same way) are taken apart by one DuckDB query, which
says of each row whether it is surely an event as `records` would read it. Every other row, odd or
broken, is left to `records`: the two must never differ, only in how long they take.
"""

import atexit
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access.decoding import (
    Contents,
    open_parquet,
    parquet_rows,
    read_lines,
    read_object,
    read_rows,
)
from data_access.framing import PARQUET, is_sequence, unpacked
from data_access.projections.values import (
    MEASURES,
    PREFIX,
    SCORES_SCHEMA,
    found_schema,
    read_measures,
    read_scores,
)
from data_access.records import (
    ANNOTATION_SCHEMA,
    COVERED_SCHEMA,
    FEEDBACK_SCHEMA,
    GROUPS,
    MAX_IMAGE_NAME,
    MAX_LABEL,
    MAX_TEXT,
    ORIGIN,
    ORIGIN_LINE,
    PREDICTION_FIELDS,
    PREDICTION_SCHEMA,
    SOURCES,
    Quarantined,
    annotation_table,
    feedback_table,
    is_compacted,
    prediction_table,
    quarantine_table,
)
from data_access.sql import json_pointer, literal, quoted

SLICE = 64 * 1024 * 1024  # bytes of JSON lines taken apart at a time
BATCH = 8_192  # rows
SHAPES = 32  # of one slice; rows of the rarer ones are read one by one
MANY_TAGS = 4_000  # characters: fewer cannot hold more tags than are allowed
EXTRA_TAGS = 100  # tags that stand beside the known names instead of below `tags`

SAID = ("flag", "user", "ground_truth_string", "comment")
FLAT = {
    "record_key": "varchar",
    "moment": "timestamp",
    "environment": "varchar",
    "application": "varchar",
    "version": "varchar",
    "inputs.image": "varchar",
    "outputs.output_text": "varchar",
    "outputs.confidence": "double",
    "feedback_key": "varchar",
    **dict.fromkeys(SAID, "varchar"),
}
"""What every shape is brought to: each name's SQL type. `tags` and `trusted` come beside them."""

JSON_TYPES = {
    "varchar": "VARCHAR|NULL",
    "timestamp": "VARCHAR",
    "double": "DOUBLE|BIGINT|UBIGINT|NULL",
}
ZONE = r"(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)"
MOMENT = rf"\d{{4}}-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{{1,6}})?{ZONE}?"
LENIENT = r",\s*[}\]]"  # DuckDB reads trailing commas and infinities, which JSON does not have
# tags that are nested, null, not finite, empty, or numbers that not all readers round the same way
UNUSUAL_TAGS = r'.[{\[]|:-?[nNiI]|:""|\d{17}|\d[eE][+-]?\d{3}'

PREDICTIONS = f"""
select
    ordinal,
    coalesce(
        trusted
        and length(record_key) between 1 and {MAX_LABEL}
        and year(moment) between 1970 and 2199
        and length(environment) between 1 and {MAX_LABEL}
        and coalesce(length(application) <= {MAX_LABEL}, true)
        and coalesce(length(version) <= {MAX_LABEL}, true)
        and coalesce(length("inputs.image") <= {MAX_IMAGE_NAME}, true)
        and coalesce(length("outputs.output_text") <= {MAX_TEXT}, true)
        and coalesce(length(flag) <= {MAX_LABEL}, true)
        and coalesce(length("user") <= {MAX_LABEL}, true)
        and coalesce(length(ground_truth_string) <= {MAX_TEXT}, true)
        and coalesce(length(comment) <= {MAX_TEXT}, true)
        and length(tags) < {MANY_TAGS}
        and not regexp_matches(tags, '{UNUSUAL_TAGS}'),
        false
    ) as accepted,
    record_key,
    nullif(application, '') as application,
    nullif(version, '') as version,
    moment as timestamp,
    environment,
    nullif("inputs.image", '') as "inputs.image",
    "outputs.output_text",
    if(isfinite("outputs.confidence"), "outputs.confidence", null) as "outputs.confidence",
    tags,
    substring(record_key, 1, 190) || ':logged' as feedback_key,
    nullif(flag, '') as flag,
    nullif("user", '') as "user",
    nullif(ground_truth_string, '') as ground_truth_string,
    nullif(comment, '') as comment
from flat
"""
FEEDBACK = f"""
select
    ordinal,
    coalesce(
        trusted
        and length(feedback_key) between 1 and {MAX_LABEL}
        and length(record_key) between 1 and {MAX_LABEL}
        and year(moment) between 1970 and 2199
        and coalesce(length(flag) between 1 and {MAX_LABEL}, true)
        and coalesce(length("user") between 1 and {MAX_LABEL}, true)
        and coalesce(length(ground_truth_string) <= {MAX_TEXT}, true)
        and coalesce(length(comment) <= {MAX_TEXT}, true)
        and coalesce(flag, ground_truth_string, comment) is not null,
        false
    ) as accepted,
    feedback_key,
    record_key,
    moment as timestamp,
    flag,
    "user",
    ground_truth_string,
    comment
from flat
"""


@dataclass(frozen=True)
class Events:
    """What objects of the log hold: tables of PREDICTION_, FEEDBACK_, QUARANTINE_SCHEMA, and so on.

    covered: the other objects (`source`, `e_tag`) whose events a compacted one, `object_key`, has.
    measures: of images, by `measures.found_schema`.
    """

    predictions: pa.Table
    feedback: pa.Table
    quarantined: pa.Table
    covered: pa.Table
    scores: pa.Table
    annotations: pa.Table
    measures: pa.Table


@dataclass
class _Found:
    """Tables that are still to be put together."""

    predictions: list[pa.Table] = field(default_factory=list)
    feedback: list[pa.Table] = field(default_factory=list)
    quarantined: list[tuple[str, Quarantined]] = field(default_factory=list)
    covered: list[tuple[str, str, str]] = field(default_factory=list)
    scores: list[pa.Table] = field(default_factory=list)
    annotations: list[pa.Table] = field(default_factory=list)
    measures: list[pa.Table] = field(default_factory=list)

    def add(self, key: str, contents: Contents) -> None:
        """What `records` made of rows that were left to it."""
        if contents.predictions:
            rows = [(key, line, row) for line, row in contents.predictions]
            self.predictions.append(prediction_table(rows))
        if contents.feedback:
            self.feedback.append(feedback_table([(key, *row) for row in contents.feedback]))
        if contents.annotations:
            noted = [(key, *row) for row in contents.annotations]
            self.annotations.append(annotation_table(noted))
        self.quarantined += [(key, row) for row in contents.quarantined]

    def remove(self, keys: Sequence[str]) -> None:
        """What lines of these objects were read as."""
        removed = pa.array(keys)
        for tables in (self.predictions, self.feedback):
            for number, rows in enumerate(tables):
                of_others = pc.invert(pc.is_in(rows["object_key"], removed))
                tables[number] = rows.filter(of_others)
        self.quarantined = [row for row in self.quarantined if row[0] not in keys]

    def extend(self, other: "_Found") -> None:
        for name, rows in vars(other).items():
            getattr(self, name).extend(rows)

    def events(self, image_projections: Sequence[str]) -> Events:
        return Events(
            pa.concat_tables([PREDICTION_SCHEMA.empty_table(), *self.predictions]),
            pa.concat_tables([FEEDBACK_SCHEMA.empty_table(), *self.feedback]),
            quarantine_table(self.quarantined),
            pa.Table.from_pylist(
                [dict(zip(COVERED_SCHEMA.names, row, strict=True)) for row in self.covered],
                COVERED_SCHEMA,
            ),
            pa.concat_tables([SCORES_SCHEMA.empty_table(), *self.scores]),
            pa.concat_tables([ANNOTATION_SCHEMA.empty_table(), *self.annotations]),
            pa.concat_tables([found_schema(image_projections).empty_table(), *self.measures]),
        )


def read_objects(
    objects: Sequence[tuple[str, bytes]], image_projections: Sequence[str] = ()
) -> Events:
    """Events of objects given as (key, body): the same as `records.read_object` of each.

    image_projections: the names that measures of images are of. Never raises: what cannot be read
    is in `quarantined`.
    """
    found = _Found()
    lines: dict[str, list[tuple[str, bytes]]] = {"predictions": [], "feedback": []}
    for key, packed in objects:
        if key.startswith(PREFIX):
            _read_computed(key, packed, image_projections, found)
            continue
        table = _Found()
        try:
            body = unpacked(packed)
            if body.startswith(PARQUET):
                _read_table(key, open_parquet(body).read(), table)
        except Exception:  # decoders raise many kinds on hostile bytes; `records` says which
            found.add(key, read_object(key, packed))
            continue
        if body.startswith(PARQUET):
            found.extend(table)
        elif (kind := _kind(key)) in lines and _is_lines(body):
            lines[kind].append((key, body))
        else:
            found.add(key, read_object(key, packed))
    for kind, bodies in lines.items():
        for part in _slices(bodies):
            _read_slice(kind, part, found)
        unread = {key for key, _ in found.quarantined}
        sequences = {k: body for k, body in bodies if k in unread and is_sequence(body)}
        if sequences:
            found.remove(list(sequences))
        for key, body in sequences.items():
            found.add(key, read_object(key, body))
    return found.events(image_projections)


def _kind(key: str) -> str:
    """What an object's events are: predictions, annotations, or feedback."""
    kind = key.partition("/")[0]
    return kind if kind in ("predictions", "annotations") else "feedback"


def _read_computed(key: str, body: bytes, names: Sequence[str], found: _Found) -> None:
    """Scores, or measures of images by the projections of these names."""
    try:
        if key.startswith(MEASURES):
            found.measures.append(read_measures(key, body, names))
        else:
            found.scores.append(read_scores(key, body))
    except Exception as error:  # decoders raise many kinds on hostile bytes
        reason = f"the object cannot be read: {str(error)[:300]}"
        found.quarantined.append((key, Quarantined(0, reason, repr(body[:50]))))


@dataclass(frozen=True)
class _Part:
    """Whole lines of one object, of which `before` come before."""

    key: str
    body: bytes
    before: int


def _is_lines(body: bytes) -> bool:
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


def _slices(bodies: Sequence[tuple[str, bytes]]) -> Iterator[list[_Part]]:
    """Parts of about SLICE bytes together: many small objects, or a piece of a large one."""
    parts: list[_Part] = []
    size = 0
    for key, body in bodies:
        before = start = 0
        while start < len(body):
            end = len(body)
            if end - start > SLICE:
                cut = body.rfind(b"\n", start, start + SLICE)
                cut = cut if cut >= 0 else body.find(b"\n", start)
                end = cut + 1 if cut >= 0 else end
            piece = body if (start, end) == (0, len(body)) else body[start:end]
            if parts and size + len(piece) > SLICE:
                yield parts
                parts, size = [], 0
            parts.append(_Part(key, piece.rstrip(b"\n"), before))
            size += len(piece)
            before += piece.count(b"\n") if end < len(body) else 0
            start = end
    if parts:
        yield parts


def _read_slice(kind: str, parts: Sequence[_Part], found: _Found) -> None:
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
    for flat, rows in _shapes(kind, table, legible):
        left.append(_take(kind, flat, rows, places, found) if flat else rows["ordinal"].to_numpy())
    ends = np.append(starts[1:], len(buffer))
    ordinals = np.sort(np.concatenate(left))
    for part in np.unique(part_of[ordinals]):
        odd = ordinals[part_of[ordinals] == part]
        lines = [(int(numbers[i]), buffer[starts[i] : ends[i]].removesuffix(b"\n")) for i in odd]
        found.add(parts[part].key, read_lines(kind, lines))


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
    kind: str, table: pa.Table, legible: np.ndarray
) -> Iterator[tuple[str | None, pa.Table]]:
    """Rows of each shape, and the SQL of `flat` for them: None where they have no known shape.

    Empty lines, and lines that are not legible, have no shape and are left out.
    """
    keys = "json_keys(text, ['$', '/inputs', '/outputs', '/feedback'])"
    asked = f"select case when json_valid(text) then hash({keys}) end as shape from rows"
    shape = _ask(asked, table)["shape"].combine_chunks()
    broken = shape.is_null().to_numpy(zero_copy_only=False) & legible
    if broken.any():
        rows = table.filter(pa.array(broken))
        filled = pc.not_equal(pc.utf8_trim_whitespace(rows["text"]), "")
        yield None, rows.filter(filled)
    seen = shape.drop_null().value_counts()
    counts = sorted(seen.to_pylist(), key=lambda found: -found["counts"])
    rare = {found["values"] for found in counts[SHAPES:]}
    if rare:
        yield None, table.filter(pc.is_in(shape, pa.array(list(rare), pa.uint64())))
    alone = len(counts) == 1 and not shape.null_count
    for value in [found["values"] for found in counts[:SHAPES]]:
        same = pc.equal(shape, pa.scalar(value, pa.uint64()))
        rows = table if alone else table.filter(same)
        [names] = _ask(f"select {keys} as names from rows", rows.slice(0, 1))["names"].to_pylist()
        yield _flat_json(kind, *names), rows


def _take(kind: str, flat: str, rows: pa.Table, places: pa.Table, found: _Found) -> np.ndarray:
    """Put the rows that are surely events into `found`; the ordinals of the others.

    places: object key, origin and line of every ordinal.
    """
    outer = PREDICTIONS if kind == "predictions" else FEEDBACK
    held = _ask(f"with flat as ({flat}) {outer}", rows)
    accepted = held["accepted"]
    taken = held if pc.all(accepted).as_py() else held.filter(accepted)
    where = places if len(taken) == len(places) else places.take(taken["ordinal"])
    for name in ("line", "origin", "object_key"):
        taken = taken.append_column(name, where[name])
    if kind == "feedback":
        found.feedback.append(taken.select(FEEDBACK_SCHEMA.names).cast(FEEDBACK_SCHEMA))
    else:
        found.predictions.append(taken.select(PREDICTION_SCHEMA.names).cast(PREDICTION_SCHEMA))
        said = [pc.is_valid(taken[name]) for name in ("flag", "ground_truth_string", "comment")]
        told = taken.filter(pc.or_(pc.or_(said[0], said[1]), said[2]))
        if len(told):
            found.feedback.append(told.select(FEEDBACK_SCHEMA.names).cast(FEEDBACK_SCHEMA))
    left: np.ndarray = held["ordinal"].filter(pc.invert(accepted)).to_numpy()
    return left


@dataclass
class _Names:
    """Where the rows of one shape keep what: an address for each known name, and for each tag."""

    known: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    nested_tags: Any = None


def _names(kind: str, addresses: Sequence[tuple[str, Any]]) -> _Names | None:
    """Sort (dotted name, address) pairs of one shape; None where `records` has to judge it."""
    names = _Names()
    for name, address in addresses:
        if kind == "feedback":
            held, place = name.removeprefix("feedback."), names.known
        elif name == "tags":
            names.nested_tags = address
            continue
        elif name.startswith("feedback."):
            held, place = name.removeprefix("feedback."), names.known
            if held not in SAID:
                return None
        elif name in PREDICTION_FIELDS:
            held, place = name, names.known
        else:
            held, place = name.removeprefix("tags."), names.tags
        if held in place:
            return None
        place[held] = address
    required = {"record_key", "timestamp", "environment"}
    if kind == "feedback":
        required = {"record_key", "timestamp", "feedback_key"}
    if not required <= names.known.keys() or len(names.tags) > EXTRA_TAGS:
        return None
    return names


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
    names = _names(kind, addresses)
    if names is None or len(set(top)) < len(top):
        return None
    wanted = {name: names.known.get("timestamp" if name == "moment" else name) for name in FLAT}
    pointers = list(dict.fromkeys(pointer for pointer in wanted.values() if pointer))
    listed = ", ".join(map(literal, pointers))
    nests = [json_pointer(name) for name in (*groups, "tags") if name in top]
    typed = ", ".join(map(literal, [*pointers, *nests]))
    types = ["OBJECT|NULL"] * len(nests)
    trusted = [f"not regexp_matches(text, '{LENIENT}')"]
    columns = []
    for name, kind_of in FLAT.items():
        if wanted[name] is None:
            columns.append(f"null::{kind_of} as {quoted(name)}")
            continue
        place = pointers.index(wanted[name])
        types.insert(place, JSON_TYPES[kind_of])
        columns.append(f"{_sql_of(kind_of, f'held[{place + 1}]')} as {quoted(name)}")
    # one comparison of all types: each mention of json_type would read the text again
    found = f"array_to_string(json_type(text, [{typed}]), ' ')"
    allowed = " ".join(f"({some})" for some in types)
    trusted.append(f"regexp_full_match({found}, '{allowed}')")
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
        select ordinal, {", ".join(columns)}, {_tags(nested, tags)} as tags,
            {_all(trusted)} as trusted
        from (
            select
                ordinal,
                text,
                json_extract_string(text, [{listed}]) as held
            from rows
        )
    """


def _all(conditions: Sequence[str]) -> str:
    """SQL that is true where all are, NULL taken as false.

    Not joined by `and`: that reads a JSON text anew for each condition (twice as slow, measured).
    """
    return f"least({', '.join(f'coalesce({condition}, false)' for condition in conditions)})"


def _tags(nested: str, tags: dict[str, str]) -> str:
    """SQL of a JSON object: what `nested` holds, and each tag's own JSON text where it has one."""
    inner = []
    if nested != "null":
        inner.append(f"nullif(substring({nested}, 2, length({nested}) - 2), '')")
    for tag, value in tags.items():
        name = literal(json.dumps(tag, ensure_ascii=False) + ":")
        inner.append(f"case when {value} not in ('null', '\"\"') then {name} || {value} end")
    return f"'{{' || concat_ws(',', {', '.join(inner)}) || '}}'" if inner else "'{}'"


def _sql_of(kind: str, text: str) -> str:
    """SQL of a text as a value of FLAT; NULL where it is not surely one."""
    if kind == "double":
        return f"try_cast({text} as double)"
    if kind != "timestamp":
        return text
    zoned = f"if(regexp_matches({text}, '{ZONE}$'), {text}, {text} || 'Z')"
    moment = f"make_timestamp(epoch_us(try_cast({zoned} as timestamptz)))"
    return f"case when regexp_full_match({text}, '{MOMENT}') then {moment} end"


def _read_table(key: str, table: pa.Table, found: _Found) -> None:
    """Raises whatever Arrow and DuckDB do on what they cannot convert."""
    table.validate(full=True)  # texts may be no UTF-8
    columns = _flat_columns(table)
    kind = _kind(key)
    count = table.num_rows
    keys = pa.repeat(key, count)
    places = pa.table({"object_key": keys, "origin": keys, "line": np.arange(1, count + 1)})
    if is_compacted(key) and SOURCES in (table.schema.metadata or {}):
        sources = json.loads(table.schema.metadata[SOURCES])
        found.covered += [(source, e_tag, key) for source, e_tag in sources]
        places = places.set_column(1, "origin", columns.pop(ORIGIN).cast(pa.string()))
        places = places.set_column(2, "line", columns.pop(ORIGIN_LINE).cast(pa.int64()))
        table = table.drop_columns([ORIGIN, ORIGIN_LINE])
    flat = None if kind == "annotations" else _flat_parquet(kind, columns)
    left = np.arange(count)
    if flat is not None:
        rows = pa.table({"ordinal": left} | {f"c{i}": c for i, c in enumerate(columns.values())})
        left = _take(kind, flat, rows, places, found)
    if len(left):
        odd = table.take(pa.array(left))
        rest = _Found()
        rows = parquet_rows(odd.to_batches(max_chunksize=10_000))
        rest.add(key, read_rows(kind, zip((left + 1).tolist(), rows, strict=True)))
        rest.predictions = [_moved(rows, places) for rows in rest.predictions]
        rest.feedback = [_moved(rows, places) for rows in rest.feedback]
        rest.annotations = [_moved(rows, places) for rows in rest.annotations]
        found.extend(rest)


def _moved(rows: pa.Table, places: pa.Table) -> pa.Table:
    """Rows whose `line` counts those of their object, as of where they were first logged."""
    there = places.take(pc.subtract(rows["line"], 1))
    for name in ("origin", "line"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, there[name])
    return rows


def _flat_columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Columns by dotted name, groups taken apart, times in microseconds of UTC.

    Raises ValueError where two columns have one name, and where a time is beyond all calendars.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        parts = [(name, column)]
        if name in GROUPS and pa.types.is_struct(column.type):
            inner = pa.table({name: column}).flatten()
            parts = list(zip(inner.column_names, inner.columns, strict=True))
        for part, values in parts:
            if part in columns:
                raise ValueError(f"two columns are named {part}")
            if pa.types.is_timestamp(values.type):
                values = pc.cast(values, pa.timestamp("us"), safe=values.type.unit != "ns")
            columns[part] = values
    return columns


def _flat_parquet(kind: str, columns: dict[str, pa.ChunkedArray]) -> str | None:
    """SQL that brings the columns c0, c1, … to FLAT; None where a type is not a usual one."""
    addresses = [(name, (f"c{i}", column.type)) for i, (name, column) in enumerate(columns.items())]
    names = _names(kind, addresses)
    if names is None:
        return None
    trusted = ["true"]
    selected = []
    for name, kind_of in FLAT.items():
        held = names.known.get("timestamp" if name == "moment" else name)
        sql: str | None = f"null::{kind_of}"
        if held is not None:
            sql = _sql_of_column(kind_of, *held)
        if sql is None:
            return None
        selected.append(f"{sql} as {quoted(name)}")
    nested = "null"
    if names.nested_tags and not pa.types.is_null(names.nested_tags[1]):
        column, held_type = names.nested_tags
        if _is_map_of_values(held_type):
            column = f"to_json({column})::varchar"
        elif not _is_text(held_type):
            return None
        document = f"case when json_valid({column}) then {column} end"
        nested = f"json({document})::varchar"
        inside = f"json_keys({document})"
        trusted.append(
            f"{column} is null or (json_type({document}) = 'OBJECT' "
            f"and len({inside}) = list_unique({inside}) "
            f"and not regexp_matches({column}, '{LENIENT}'))"
        )
        trusted += [
            f"coalesce(not json_exists({document}, {literal(json_pointer(tag))}), true)"
            for tag in names.tags
        ]
    tags = {}
    if kind == "predictions":
        for tag, (column, held_type) in names.tags.items():
            if pa.types.is_null(held_type):
                continue
            if pa.types.is_floating(held_type):
                column = f"if(isfinite({column}), {column}::double, null)"
            elif _is_text(held_type):
                column = f"{column}::varchar"
            elif not (pa.types.is_integer(held_type) or pa.types.is_boolean(held_type)):
                return None
            tags[tag] = f"to_json({column})::varchar"
    return (
        f"select ordinal, {', '.join(selected)}, {_tags(nested, tags)} as tags, "
        f"{_all(trusted)} as trusted from rows"
    )


def _sql_of_column(kind: str, column: str, held: pa.DataType) -> str | None:
    if pa.types.is_null(held):
        return f"null::{kind}"
    if kind == "varchar":
        return f"{column}::varchar" if _is_text(held) else None
    if kind == "double":
        number = pa.types.is_floating(held) or pa.types.is_integer(held)
        return f"{column}::double" if number else None
    if pa.types.is_timestamp(held):
        return column
    return _sql_of(kind, f"{column}::varchar") if _is_text(held) else None


def _is_map_of_values(held: pa.DataType) -> bool:
    if not pa.types.is_map(held) or not _is_text(held.key_type):
        return False
    value = held.item_type
    return _is_text(value) or pa.types.is_integer(value) or pa.types.is_boolean(value)


def _is_text(held: pa.DataType) -> bool:
    if pa.types.is_dictionary(held):
        held = held.value_type
    return bool(pa.types.is_string(held) or pa.types.is_large_string(held))


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """A DuckDB of this process that holds nothing."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    atexit.register(_engine.cache_clear)  # else its binding reports leaks when Python ends
    return connection


def _ask(sql: str, rows: pa.Table) -> pa.Table:
    """The answer in the order of `rows`, which the SQL calls by that name."""
    cursor = _engine().cursor()
    try:
        # DuckDB shares Arrow data among its threads batch by batch
        cursor.register("rows", pa.Table.from_batches(rows.to_batches(BATCH), rows.schema))
        return cursor.sql(sql).to_arrow_table()
    finally:
        cursor.close()
