"""Tables of what many objects of the log hold, gathered while these are read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from data_access.projections import ProjectionTable
from data_access.projections.values import IMAGES, TEXTS, logged_names, logged_schema
from data_access.records import (
    ANNOTATION_SCHEMA,
    COVERED_SCHEMA,
    FEEDBACK_SCHEMA,
    PREDICTION_SCHEMA,
    Quarantined,
    annotation_table,
    feedback_table,
    prediction_table,
    quarantine_table,
)
from data_access.records.decoding import Contents


@dataclass(frozen=True)
class Events:
    """Contents of objects of the log: tables of PREDICTION_SCHEMA, FEEDBACK_SCHEMA and so on.

    covered: the other objects (`source`, `e_tag`) whose events a compacted one, `object_key`, has.
    text_values, image_values: of `values.logged_schema`.
    """

    predictions: pa.Table
    feedback: pa.Table
    quarantined: pa.Table
    covered: pa.Table
    text_values: pa.Table
    annotations: pa.Table
    image_values: pa.Table


@dataclass
class EventTables:
    """Tables of the events read so far, to be put together at the end."""

    predictions: list[pa.Table] = field(default_factory=list)
    feedback: list[pa.Table] = field(default_factory=list)
    quarantined: list[tuple[str, Quarantined]] = field(default_factory=list)
    covered: list[tuple[str, str, str]] = field(default_factory=list)
    text_values: list[pa.Table] = field(default_factory=list)
    annotations: list[pa.Table] = field(default_factory=list)
    image_values: list[pa.Table] = field(default_factory=list)

    def add(self, key: str, contents: Contents) -> None:
        """What `decoding` made of rows that were left to it."""
        if contents.predictions:
            rows = [(key, line, row) for line, row in contents.predictions]
            self.predictions.append(prediction_table(rows))
        if contents.feedback:
            self.feedback.append(feedback_table([(key, *row) for row in contents.feedback]))
        if contents.annotations:
            annotations = [(key, *row) for row in contents.annotations]
            self.annotations.append(annotation_table(annotations))
        self.quarantined += [(key, row) for row in contents.quarantined]

    def remove(self, keys: Sequence[str]) -> None:
        """What lines of these objects were read as."""
        removed = pa.array(keys)
        for tables in (self.predictions, self.feedback):
            for number, rows in enumerate(tables):
                of_others = pc.invert(pc.is_in(rows["object_key"], removed))
                tables[number] = rows.filter(of_others)
        self.quarantined = [row for row in self.quarantined if row[0] not in keys]

    def extend(self, other: "EventTables") -> None:
        for name, rows in vars(other).items():
            getattr(self, name).extend(rows)

    def events(self, projections: ProjectionTable) -> Events:
        no_values = {
            kind: logged_schema(kind, logged_names(projections, kind)).empty_table()
            for kind in (TEXTS, IMAGES)
        }
        return Events(
            pa.concat_tables([PREDICTION_SCHEMA.empty_table(), *self.predictions]),
            pa.concat_tables([FEEDBACK_SCHEMA.empty_table(), *self.feedback]),
            quarantine_table(self.quarantined),
            pa.Table.from_pylist(
                [dict(zip(COVERED_SCHEMA.names, row, strict=True)) for row in self.covered],
                COVERED_SCHEMA,
            ),
            pa.concat_tables([no_values[TEXTS], *self.text_values]),
            pa.concat_tables([ANNOTATION_SCHEMA.empty_table(), *self.annotations]),
            pa.concat_tables([no_values[IMAGES], *self.image_values]),
        )
