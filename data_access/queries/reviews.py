"""What was reviewed: counts, what one person said, exports, and what reviewers do not agree on."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from data_access.queries.answers import row_of
from data_access.selection import Selection, source
from data_access.warehouse import Warehouse


@dataclass(frozen=True)
class Reviewed:
    """How many records of a selection were reviewed, and with which verdict.

    disputed: reviewers do not agree on the verdict or the failure modes, and nobody has decided.
    """

    records: int
    reviewed: int
    right: int
    wrong: int
    disputed: int


def reviewed(warehouse: Warehouse, selection: Selection) -> Reviewed:
    selected, params = source(selection)
    row = row_of(
        warehouse,
        f"""
        select
            count(*) as records,
            count(verdicts.record_key) as reviewed,
            count(*) filter (verdict = 'right') as "right",
            count(*) filter (verdict = 'wrong') as wrong,
            count(*) filter (disputed) as disputed
        from {selected} as selected
        left join verdicts using (record_key)
        """,
        params,
    )
    return Reviewed(**{name: int(row[name]) for name in Reviewed.__dataclass_fields__})


def reviewers(warehouse: Warehouse) -> list[str]:
    """Everybody whose review counts, those with the most reviews first."""
    frame = warehouse.query(
        "select actor from reviews where counts and actor <> '' group by actor "
        "order by count(*) desc, actor"
    )
    return list(frame["actor"])


def modes_of_reviewer(
    warehouse: Warehouse, record_keys: Sequence[str], actor: str | None
) -> dict[str, tuple[str, ...]]:
    """By record key, the failure modes in what a person last said of it."""
    rows = warehouse.rows(
        "select record_key, modes from reviews "
        "where counts and actor = ? and record_key in (select unnest(?))",
        [actor or "", list(record_keys)],
    )
    return {key: tuple(modes) for key, modes in rows}


def reviews_of(warehouse: Warehouse, record_key: str) -> pd.DataFrame:
    """Every review of a record that was not undone, oldest first: the columns of `reviews`."""
    return warehouse.query(
        "select * from reviews where record_key = ? order by timestamp, review_key", [record_key]
    )


def disputed_records(warehouse: Warehouse, selection: Selection, count: int) -> list[str]:
    """Keys of the selected records that reviewers do not agree on, oldest first."""
    selected, params = source(selection)
    frame = warehouse.query(
        f"select record_key from {selected} semi join (from verdicts where disputed) "
        "using (record_key) order by timestamp, record_key limit ?",
        [*params, count],
    )
    return list(frame["record_key"])


def mode_counts(warehouse: Warehouse, selection: Selection) -> pd.DataFrame:
    """Of each failure mode: columns mode, records, flagged, and flags (how many of the selection
    are flagged at all). Of all reviewed records, whatever queue they came from.
    """
    selected, params = source(selection)
    return warehouse.query(
        f"""
        select
            unnest(modes) as mode,
            count(*) as records,
            count(*) filter (len("feedback.flags") > 0) as flagged,
            min(timestamp) as first,
            max(timestamp) as last
        from {selected} as selected
        join verdicts using (record_key)
        group by mode
        """,
        params,
    )


def review_batches(warehouse: Warehouse, selection: Selection) -> pa.RecordBatchReader:
    """The reviews of selected records for people, oldest first, with the verdict of all."""
    selected, params = source(selection)
    return warehouse.stream(
        f"""
        select
            reviews.* exclude (modes, counts),
            array_to_string(reviews.modes, ' ') as modes,
            reviews.counts,
            verdicts.verdict as verdict_of_all,
            array_to_string(verdicts.modes, ' ') as modes_of_all,
            verdicts.disputed,
            verdicts.decided,
            selected.environment,
            selected.version,
            selected."outputs.output_text"
        from reviews
        join {selected} as selected using (record_key)
        left join verdicts using (record_key)
        order by reviews.timestamp, review_key
        """,
        params,
    )
