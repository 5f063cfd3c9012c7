"""Images of both sides of a cause, to be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from data_access.projections.table import IMAGE
from data_access.queries.causes import Cause
from data_access.queries.gathering import scope_of
from data_access.selection import Selection, holds
from data_access.sql import quoted
from data_access.warehouse import Warehouse

EXAMPLES = 6  # of a side
POOL = 200  # records of a side that they are drawn from


@dataclass(frozen=True)
class CauseExamples:
    """Images by name, at most EXAMPLES distinct ones of a side: of the selected records of which a
    cause is true, and of those they are compared with.
    """

    selected: tuple[str, ...]
    others: tuple[str, ...]


def cause_examples(
    warehouse: Warehouse, selection: Selection, baseline: Selection | None, cause: Cause
) -> CauseExamples:
    """Drawn by the names of images, which are those of their content in logs of Misread's writers,
    and by the cause's name: always the same, and others for each cause.

    selection, baseline: as of `rank_causes`.
    """

    def other_images() -> tuple[str, ...]:
        chosen, params = holds(selection)
        others, others_params = holds(scope_of(selection) if baseline is None else baseline)
        condition = f"{others} and not coalesce({chosen}, false)"
        return _images(warehouse, condition, [*others_params, *params])

    others = warehouse.cached(("other images", selection, baseline), other_images)
    selected = warehouse.cached(
        ("images of a cause", cause.narrowed), lambda: _images(warehouse, *holds(cause.narrowed))
    )
    return CauseExamples(*(_drawn(images, cause.name) for images in (selected, others)))


def _images(warehouse: Warehouse, condition: str, params: Sequence[Any]) -> tuple[str, ...]:
    """Distinct images that can be opened, of the first records by the names of their images.

    Ordering all of a million images by a hash would take a second; by name it takes a tenth.
    """
    rows = warehouse.rows(
        f"""
        with first as (
            select {quoted(IMAGE)} as image
            from (select * from records where {condition})
            where {quoted(IMAGE)} is not null
            order by image
            limit {POOL}
        )
        select min(image)
        from first
        join image_values using (image)
        where sha256 is not null and failure is null
        group by sha256
        """,
        params,
    )
    return tuple(name for (name,) in rows)


def _drawn(images: Sequence[str], salt: str) -> tuple[str, ...]:
    def place(name: str) -> bytes:
        return sha256(f"{name} {salt}".encode(errors="replace")).digest()

    return tuple(sorted(images, key=place)[:EXAMPLES])
