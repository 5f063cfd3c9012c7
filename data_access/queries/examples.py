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
POOL = 60  # of the others that each cause draws from


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
    """Drawn by their content and the cause's name, so that they are always the same.

    selection, baseline: as of `rank_causes`.
    """

    def other_images() -> tuple[str, ...]:
        chosen, params = holds(selection)
        others, others_params = holds(scope_of(selection) if baseline is None else baseline)
        condition = f"{others} and not coalesce({chosen}, false)"
        return _images(warehouse, condition, [*others_params, *params], "", POOL)

    others = warehouse.cached(("other images", selection, baseline), other_images)
    selected = warehouse.cached(
        ("images of a cause", cause.narrowed, cause.name),
        lambda: _images(warehouse, *holds(cause.narrowed), cause.name, EXAMPLES),
    )
    drawn = sorted(others, key=lambda name: sha256(f"{name} {cause.name}".encode()).digest())
    return CauseExamples(selected, tuple(drawn[:EXAMPLES]))


def _images(
    warehouse: Warehouse, condition: str, params: Sequence[Any], salt: str, count: int
) -> tuple[str, ...]:
    rows = warehouse.rows(
        f"""
        select min(image)
        from (select * from records where {condition})
        join image_values on image = {quoted(IMAGE)}
        where sha256 is not null and failure is null
        group by sha256
        order by md5(sha256 || ?)
        limit ?
        """,
        [*params, salt, count],
    )
    return tuple(name for (name,) in rows)
