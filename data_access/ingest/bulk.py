"""Reads many objects of the log at once, by columns: what `decoding` does row by row, faster.

Rows of one shape (the same names, nested the same way) are taken apart by one DuckDB query, which
says of each row whether it is surely an event as `decoding` would read it. Every other row, odd or
broken, is left to `decoding`: the two must never differ, only in how long they take.
"""

from collections.abc import Sequence

from data_access.ingest.events import Events, EventTables
from data_access.ingest.lines import SHAPES, SLICE, is_lines, read_slice, slices
from data_access.ingest.parquet import read_table
from data_access.projections import ProjectionTable
from data_access.projections.values import IMAGE_VALUES, PREFIX, read_values
from data_access.records import Quarantined
from data_access.records.decoding import open_parquet, read_object
from data_access.records.framing import PARQUET, is_sequence, unpacked

NO_PROJECTIONS = ProjectionTable(())


def read_objects(
    objects: Sequence[tuple[str, bytes]],
    projections: ProjectionTable = NO_PROJECTIONS,
    slice_bytes: int = SLICE,
    max_shapes: int = SHAPES,
) -> Events:
    """Events of objects given as (key, body): the same as `decoding.read_object` of each.

    projections: those whose values are read. slice_bytes, max_shapes: as `lines` has them. Never
    raises: what cannot be read is in `quarantined`.
    """
    tables = EventTables()
    lines_of: dict[str, list[tuple[str, bytes]]] = {"predictions": [], "feedback": []}
    for key, packed in objects:
        if key.startswith(PREFIX):
            _read_values(key, packed, projections, tables)
            continue
        read = EventTables()
        try:
            body = unpacked(packed)
            if body.startswith(PARQUET):
                read_table(key, _kind(key), open_parquet(body).read(), read)
        except Exception:  # decoders raise many kinds on hostile bytes; `decoding` says which
            tables.add(key, read_object(key, packed))
            continue
        if body.startswith(PARQUET):
            tables.extend(read)
        elif (kind := _kind(key)) in lines_of and is_lines(body):
            lines_of[kind].append((key, body))
        else:
            tables.add(key, read_object(key, packed))
    for kind, bodies in lines_of.items():
        for part in slices(bodies, slice_bytes):
            read_slice(kind, part, tables, max_shapes)
        unread = {key for key, _ in tables.quarantined}
        sequences = {k: body for k, body in bodies if k in unread and is_sequence(body)}
        if sequences:
            tables.remove(list(sequences))
        for key, body in sequences.items():
            tables.add(key, read_object(key, body))
    return tables.events(projections)


def _kind(key: str) -> str:
    """What an object's events are: predictions, annotations, or feedback."""
    kind = key.partition("/")[0]
    return kind if kind in ("predictions", "annotations") else "feedback"


def _read_values(key: str, body: bytes, projections: ProjectionTable, tables: EventTables) -> None:
    try:
        values = read_values(key, body, projections)
        of_images = key.startswith(IMAGE_VALUES)
        (tables.image_values if of_images else tables.text_values).append(values)
    except Exception as error:  # decoders raise many kinds on hostile bytes
        reason = f"the object cannot be read: {str(error)[:300]}"
        tables.quarantined.append((key, Quarantined(0, reason, repr(body[:50]))))
