"""How much there is: predictions, flagged ones, unscored ones, and what can be chosen from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from data_access.queries.answers import as_moment, row_of
from data_access.selection import Selection, source
from data_access.sql import quoted
from data_access.warehouse import Warehouse


@dataclass(frozen=True)
class Status:
    """What the warehouse holds of the log. Times are UTC."""

    predictions: int
    flagged: int
    unscored: int
    quarantined: int
    waiting: int
    oldest: datetime | None
    newest: datetime | None
    synced: datetime | None


@dataclass(frozen=True)
class Contents:
    """What a log is about: its applications, and the predictions of each environment.

    Both the most frequent first; times are UTC.
    """

    applications: tuple[str, ...]
    environments: tuple[tuple[str, int], ...]
    predictions: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True)
class Coverage:
    """How much a selection holds. `unscored`: an image or text that has not been scored yet."""

    predictions: int
    flagged: int
    unscored: int
    images: int
    without_image: int
    unreadable_images: int


def status(warehouse: Warehouse) -> Status:
    """Counts over everything; `waiting` is feedback whose prediction has not come."""
    counts = row_of(
        warehouse,
        f"""
        select
            count(*) as predictions,
            count(*) filter (len("feedback.flags") > 0) as flagged,
            (select count(*) from records where {_unscored(warehouse)}) as unscored,
            (select count(*) from quarantine) as quarantined,
            (
                select count(distinct (record_key, feedback_key))
                from feedback
                anti join records using (record_key)
            ) as waiting,
            min(timestamp) as oldest,
            max(timestamp) as newest
        from records
        """,
    )
    synced = warehouse.rows("select value from meta where name = 'synced'")
    return Status(
        predictions=int(counts["predictions"]),
        flagged=int(counts["flagged"]),
        unscored=int(counts["unscored"]),
        quarantined=int(counts["quarantined"]),
        waiting=int(counts["waiting"]),
        oldest=as_moment(counts["oldest"]),
        newest=as_moment(counts["newest"]),
        synced=datetime.fromisoformat(synced[0][0]) if synced else None,
    )


def contents(warehouse: Warehouse) -> Contents | None:
    """What the log is about; None of an empty one."""
    counts = status(warehouse)
    if counts.oldest is None or counts.newest is None:
        return None
    environments = warehouse.rows(
        "select environment, count(*) from records where environment is not null "
        "group by 1 order by 2 desc, 1"
    )
    return Contents(
        applications=tuple(choices(warehouse, "application")),
        environments=tuple((str(name), int(count)) for name, count in environments),
        predictions=counts.predictions,
        oldest=counts.oldest,
        newest=counts.newest,
    )


def coverage(warehouse: Warehouse, selection: Selection) -> Coverage:
    selected, params = source(selection)
    counts = row_of(
        warehouse,
        # a group by is twice as fast as count(distinct), a where as count(*) filter
        f"""
        with selected as (
            from {selected}
        ),
        images as (
            select image_hash
            from selected
            where "inputs.image" is not null
            group by image_hash
        )
        select
            count(*) as predictions,
            count(*) filter (len("feedback.flags") > 0) as flagged,
            (select count(*) from selected where {_unscored(warehouse)}) as unscored,
            (select count(*) from images) as images,
            count(*) - count("inputs.image") as without_image,
            count(image_failure) as unreadable_images
        from selected
        """,
        params,
    )
    return Coverage(**{name: int(value) for name, value in counts.items()})


def _unscored(warehouse: Warehouse) -> str:
    """A record whose text or image waits to be scored, as SQL."""
    waits = []
    text = warehouse.projections.computed_from_text()
    image = warehouse.projections.computed_from_image()
    if text:
        waits.append(f'"outputs.output_text" is not null and {quoted(text[0].name)} is null')
    if image:
        first = quoted(image[0].name)
        waits.append(f'"inputs.image" is not null and {first} is null and image_failure is null')
    return " or ".join(f"({wait})" for wait in waits) or "false"


def choices(
    warehouse: Warehouse, column: Literal["environment", "version", "application"]
) -> list[str]:
    """The values of a column, the most frequent first."""
    grouped = f"select {column} from records where {column} is not null group by 1"
    return list(warehouse.query(f"{grouped} order by count(*) desc, 1")[column])


def flags(warehouse: Warehouse) -> list[str]:
    """The flags in use, the most frequent first."""
    return list(
        warehouse.query(
            'select flag from (select unnest("feedback.flags") as flag from records) '
            "group by flag order by count(*) desc, flag"
        )["flag"]
    )
