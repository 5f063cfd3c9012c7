"""The queue *find*: which records of a selection are most worth a look."""

from collections import Counter

import numpy as np

from data_access.projections.table import TEXT
from data_access.queries.distributions import HIGH_QUANTILE, LOW_QUANTILE
from data_access.selection import Selection, source
from data_access.sql import quoted
from data_access.warehouse import Warehouse

LOOKED_AT = 2_000  # candidates that are put in order
BASELINE_ROWS = 20_000
MOST_PROJECTIONS = 32


def worth_reviewing(
    warehouse: Warehouse, selection: Selection, baseline: Selection, actor: str, count: int
) -> list[str]:
    """Keys of selected records that this person has not reviewed.

    First those that nobody has, flagged ones before others. Among them, those that are unusual in
    ways that were reviewed least come first, and then those with the most values that are beyond
    nearly all of the baseline's. Of records that show the same image or have the same output, one.
    """
    limits = _limits(warehouse, baseline)
    beyond = [
        f"(coalesce({quoted(name)} < {low} or {quoted(name)} > {high}, false))::int * {1 << bit}"
        for bit, (name, (low, high)) in enumerate(limits.items())
    ]
    pattern = f"({' + '.join(beyond) or '0'})::bigint"
    selected, params = source(selection)
    candidates = warehouse.rows(
        f"""
        select
            record_key,
            image_hash,
            lower(trim({quoted(TEXT)})) as output,
            record_key in (select record_key from verdicts) as known,
            len("feedback.flags") > 0 as flagged,
            {pattern} as pattern
        from {selected}
        where record_key not in (select record_key from reviews where counts and actor = ?)
        order by known, flagged desc, bit_count(pattern) desc, fold_order, record_key
        limit {LOOKED_AT}
        """,
        [*params, actor],
    )
    return _in_order(candidates, _patterns_seen(warehouse, pattern, selection))[:count]


def _in_order(
    candidates: list[tuple[str, int, str, bool, bool, int]], seen: Counter[int]
) -> list[str]:
    images: set[int] = set()
    outputs: set[str] = set()
    ranked: list[tuple[bool, bool, int, int, int, str]] = []
    seen = seen.copy()
    for key, image, output, known, flagged, pattern in candidates:
        if image in images or (output and output in outputs):
            continue
        images.add(image)
        outputs.add(output)
        ranked.append((known, not flagged, seen[pattern], -pattern.bit_count(), len(ranked), key))
        seen[pattern] += 1
    return [key for *_, key in sorted(ranked)]


def _patterns_seen(warehouse: Warehouse, pattern: str, selection: Selection) -> Counter[int]:
    """How many reviewed records are unusual in each way."""
    selected, params = source(selection)
    rows = warehouse.rows(
        f"select {pattern}, count(*) from {selected} semi join verdicts using (record_key) "
        "group by 1",
        params,
    )
    return Counter(dict(rows))


def _limits(warehouse: Warehouse, baseline: Selection) -> dict[str, tuple[float, float]]:
    """By projection, the limits that nearly all values of the baseline are between."""
    names = [row.name for row in warehouse.projections.rows][:MOST_PROJECTIONS]
    selected, params = source(baseline)
    quantiles = ", ".join(
        f"quantile_cont({quoted(name)}, [{LOW_QUANTILE}, {HIGH_QUANTILE}])" for name in names
    )
    frame = warehouse.cached(
        ("limits of the baseline", baseline),
        lambda: warehouse.rows(
            f"select {quantiles} from (select * from {selected} "
            f"using sample reservoir({BASELINE_ROWS} rows) repeatable (1))",
            params,
        ),
    )
    return {
        name: (float(limits[0]), float(limits[1]))
        for name, limits in zip(names, frame[0], strict=True)
        if limits is not None and np.isfinite(limits).all()
    }
