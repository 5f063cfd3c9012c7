"""What the log holds by day and source, what is quarantined and why, and what is scored."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd
import pyarrow as pa

from data_access.projections.table import Projection
from data_access.queries.answers import row_of
from data_access.sql import literal, quoted
from data_access.warehouse import Warehouse

Origin = Literal["environment", "application", "object"]

SOURCES = 5  # shown by name; the rarer ones are summed up
OTHERS = "all others"
NO_PREDICTION = "no prediction yet"

DAY = "try_cast(nullif(regexp_extract({key}, '/date=([0-9-]{{10}})/', 1), '') as date)"
# By name, as nobody would look into objects again for this.
FORM = """
case
    when {key} like '%/compacted-%.parquet' then 'compacted Parquet'
    when {key} like '%.parquet' then 'Parquet'
    when regexp_matches({key}, '[.](jsonl|ndjson)([.]gz)?$') then 'JSON lines'
    when regexp_matches({key}, '[.]json([.]gz)?$') then 'single JSON'
    else 'other objects'
end
"""
# A reason without what differs from line to line: places in it, sizes.
ALIKE = """
regexp_replace(
    regexp_replace(reason, ': line [0-9]+ column [0-9]+ [(]char [0-9]+[)]$', ''),
    '[0-9][0-9,]*', '…', 'g'
)
"""


@dataclass(frozen=True)
class Scored:
    """How many records have a value of a projection, and why the others have none.

    without_input: no text, truth or image. unreadable: an image that cannot be had or opened.
    failed: the function raised. waiting: not scored yet, or not logged. undefined: there is none,
    as the polarity of one grey level.
    """

    projection: Projection
    valued: int
    without_input: int
    unreadable: int
    failed: int
    waiting: int
    undefined: int


def events_by_day(warehouse: Warehouse, source: Origin) -> pd.DataFrame:
    """Records and feedback, each counted once: columns day, kind, source and events.

    day: from the key of the object that logged them first; NaT where the key names none.
    """
    named = {
        "environment": "environment",
        "application": "if(environment is null, null, coalesce(application, 'unnamed'))",
        "object": FORM.format(key="object_key"),
    }[source]
    columns = {"environment": "environment", "application": "environment, application"}.get(
        source, "object_key"
    )
    return warehouse.query(
        # days and sources are made of groups, as there are far fewer than records
        f"""
        with feedback_once as (
            select object_key, origin, record_key
            from feedback
            qualify row_number() over (
                partition by record_key, feedback_key order by origin, line, object_key
            ) = 1
        ),
        feedback_of_records as (
            select feedback_once.object_key, feedback_once.origin, environment, application
            from feedback_once
            left join records using (record_key)
        ),
        grouped as (
            select origin, 'records' as kind, {columns}, count(*) as events
            from records
            group by all
            union all
            select origin, 'feedback', {columns}, count(*)
            from feedback_of_records
            group by all
        ),
        counted as (
            select
                {DAY.format(key="origin")} as day,
                kind,
                coalesce({named}, {literal(NO_PREDICTION)}) as source,
                sum(events) as events
            from grouped
            group by all
        ),
        frequent as (
            select source
            from counted
            group by source
            order by sum(events) desc, source
            limit {SOURCES}
        )
        select
            day,
            kind,
            if(source in (from frequent), source, {literal(OTHERS)}) as source,
            sum(events)::bigint as events
        from counted
        group by all
        order by all
        """
    )


def objects_by_day(warehouse: Warehouse) -> pd.DataFrame:
    """Objects that were read: columns day, kind, form, objects, merged, events, bytes.

    merged: those whose events a compacted object holds too; they count there.
    """
    return warehouse.query(
        f"""
        select
            {DAY.format(key="key")} as day,
            split_part(key, '/', 1) as kind,
            {FORM.format(key="key")} as form,
            count(*) as objects,
            count(merged) as merged,
            coalesce(sum(events) filter (merged is null), 0)::bigint as events,
            sum(size)::bigint as bytes
        from objects
        left join (select distinct source as key, e_tag, true as merged from covered)
            using (key, e_tag)
        group by all
        order by day desc, kind, form
        """
    )


def quarantine(warehouse: Warehouse, limit: int = 500, within: str = "") -> pd.DataFrame:
    """What is quarantined: columns object_key, line, reason, excerpt.

    within: a part of the object's key.
    """
    return warehouse.query(
        """
        select object_key, line, reason, excerpt
        from quarantine
        where contains(object_key, ?)
        order by object_key, line
        limit ?
        """,
        [within, limit],
    )


def quarantined(warehouse: Warehouse, within: str = "") -> int:
    """How many lines of these objects are quarantined."""
    counted = "select count(*) as lines from quarantine where contains(object_key, ?)"
    return int(row_of(warehouse, counted, [within])["lines"])


def quarantine_reasons(warehouse: Warehouse, limit: int = 20) -> pd.DataFrame:
    """Why lines are quarantined: columns reason, lines, objects, example, reasons (how many)."""
    return warehouse.query(
        f"""
        select
            {ALIKE} as reason,
            count(*) as lines,
            count(distinct object_key) as objects,
            min(object_key) as example,
            count(*) over () as reasons
        from quarantine
        group by 1
        order by lines desc, reason
        limit ?
        """,
        [limit],
    )


def quarantine_batches(warehouse: Warehouse) -> pa.RecordBatchReader:
    """All that is quarantined, in the columns of `quarantine`."""
    return warehouse.stream(
        "select object_key, line, reason, excerpt from quarantine order by object_key, line"
    )


def unscored_by_projection(warehouse: Warehouse) -> dict[str, int]:
    """For each projection, the records that have its input and no value."""
    counted = ", ".join(
        f"count({quoted(row.source)}) filter ({quoted(row.name)} is null) as {quoted(row.name)}"
        for row in warehouse.projections.rows
    )
    counts = row_of(warehouse, f"select {counted} from records")
    return {name: int(count) for name, count in counts.items()}


def scored(warehouse: Warehouse) -> list[Scored]:
    """Every projection with how many records it has a value for, and why not for the others."""
    rows = warehouse.projections.rows
    inputs = {row.inputs: f"count(*) filter ({_present(row)})" for row in rows}
    counted = [
        *(f"count({quoted(row.name)})" for row in rows),
        # what was computed had its input; what was logged need not
        *(
            f"{inputs[row.inputs]} + count({quoted(row.name)}) filter (not ({_present(row)}))"
            if row.compute is None
            else inputs[row.inputs]
            for row in rows
        ),
    ]
    columns = ", ".join(f'{sql} as "{number}"' for number, sql in enumerate(counted))
    counts = row_of(
        warehouse,
        f"select count(*) as predictions, count(image_failure) as unreadable, {columns} "
        "from records",
    )
    waits = _waiting(warehouse)
    failed = failures(warehouse).groupby("projection")["records"].sum()
    projections = []
    for number, row in enumerate(rows):
        valued, scorable = int(counts[str(number)]), int(counts[str(number + len(rows))])
        unreadable = int(counts["unreadable"]) if row.of_image else 0
        raised = int(failed.get(row.name, 0))
        waiting = waits.get(row.inputs, 0)
        left = scorable - valued - unreadable - raised - waiting
        if row.compute is None:
            waiting, left = scorable - valued, 0
        without = int(counts["predictions"]) - scorable
        projections.append(Scored(row, valued, without, unreadable, raised, waiting, left))
    return projections


def _waiting(warehouse: Warehouse) -> dict[tuple[str, ...], int]:
    """By inputs, how many records have these inputs and are not scored yet."""
    waiting: dict[tuple[str, ...], int] = {}
    text, image = (
        (warehouse.projections.computed_from_text(), "record_key not in (from text_scored)"),
        (warehouse.projections.computed_from_image(), '"inputs.image" not in (from image_scored)'),
    )
    for rows, unseen in (text, image):
        inputs = {row.inputs: _present(row) for row in rows}
        if inputs:
            columns = ", ".join(
                f'count(*) filter ({present}) as "{number}"'
                for number, present in enumerate(inputs.values())
            )
            # a value of the first projection means scored: few records are left to look up
            counts = row_of(
                warehouse,
                f"""
                with text_scored as (select record_key from text_values),
                image_scored as (select image from image_values)
                select {columns}
                from records
                where {quoted(rows[0].name)} is null
                and {unseen}
                """,
            )
            waiting |= {row: int(counts[str(number)]) for number, row in enumerate(inputs)}
    return waiting


def _present(row: Projection) -> str:
    return " and ".join(f"{quoted(name)} is not null" for name in row.inputs)


def failures(warehouse: Warehouse) -> pd.DataFrame:
    """What projections failed with, the most frequent first.

    Columns projection, sentence, records.
    """
    return warehouse.query(
        """
        with failed as (
            select projection, sentence
            from failures
            join records on record_key = scored
            where kind = 'text'
            and scored in (select record_key from text_values)
            union all
            select projection, sentence
            from failures
            join records on "inputs.image" = scored
            where kind = 'image'
        )
        select projection, sentence, count(*) as records
        from failed
        group by all
        order by records desc, projection, sentence
        """
    )
