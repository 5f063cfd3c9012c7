"""Which records of a selection can be read again, and from which images."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from data_access.projections.table import ENTROPY, IMAGE, TEXT, TRUTH
from data_access.queries.answers import row_of
from data_access.selection import Selection, source
from data_access.sql import Condition, quoted
from data_access.warehouse import Warehouse


@dataclass(frozen=True)
class Replayable:
    """How much of a selection can be read again.

    cases: records whose image can be opened; images: the distinct ones. The others: records
    without an image, with one that cannot be read, and with one that no sync has opened yet.
    """

    cases: int
    images: int
    without_image: int
    unreadable: int
    unopened: int


def replayable(
    warehouse: Warehouse, selection: Selection, record_key: str | None = None
) -> Replayable:
    """record_key: of that record alone, whatever is selected."""
    selected, params = _selected(selection, record_key)
    counts = row_of(
        warehouse,
        f"""
        select
            count(*) filter (sha256 is not null and failure is null) as cases,
            count(distinct sha256) filter (failure is null) as images,
            count(*) - count({quoted(IMAGE)}) as without_image,
            count(failure) as unreadable,
            count({quoted(IMAGE)}) filter (sha256 is null and failure is null) as unopened
        from {selected}
        left join image_values on image = {quoted(IMAGE)}
        """,
        params,
    )
    return Replayable(**{name: int(value) for name, value in counts.items()})


def replay_images(
    warehouse: Warehouse, selection: Selection, count: int, record_key: str | None = None
) -> pd.DataFrame:
    """The first `count` images by their SHA-256, which is an order by chance, the same for all.

    Columns: sha256, image (its name), version (of the record's model; an image that several have
    read is there for each).
    """
    selected, params = _selected(selection, record_key)
    return warehouse.query(
        f"""
        with readable as (
            select sha256, version, min(image) as image
            from {selected}
            join image_values on image = {quoted(IMAGE)}
            where sha256 is not null and failure is null
            group by sha256, version
        )
        select sha256, image, version
        from readable
        semi join (select distinct sha256 from readable order by sha256 limit ?) using (sha256)
        order by sha256, version
        """,
        [*params, count],
    )


def replay_cases(
    warehouse: Warehouse,
    selection: Selection,
    images: Sequence[str],
    record_key: str | None = None,
) -> pd.DataFrame:
    """The selected records that show these images (by SHA-256), newest first.

    Columns: record_key, sha256, image, version, before (the output as logged), confidence,
    entropy, truth.
    """
    selected, params = _selected(selection, record_key)
    table = warehouse.table(
        f"""
        select
            record_key,
            sha256,
            image,
            version,
            {quoted(TEXT)} as before,
            "outputs.confidence" as confidence,
            {quoted(ENTROPY)} as entropy,
            {quoted(TRUTH)} as truth
        from {selected}
        join image_values on image = {quoted(IMAGE)}
        where sha256 in (select unnest(?)) and failure is null
        order by timestamp desc, record_key
        """,
        [*params, list(images)],
    )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _selected(selection: Selection, record_key: str | None) -> Condition:
    if record_key is None:
        return source(selection)
    return source(Selection(), [("record_key = ?", [record_key])])
