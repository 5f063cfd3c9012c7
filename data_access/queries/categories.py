"""How a selection's categories (flag, version, tags) are spread, beside its baseline's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_access.queries.tags import log_tags
from data_access.selection import Selection, source
from data_access.sql import json_pointer
from data_access.statistics import rates, samples, significance
from data_access.statistics.rates import Association
from data_access.statistics.samples import Change
from data_access.statistics.significance import Verdict
from data_access.warehouse import Warehouse

SHOWN_VALUES = 200  # of a category; the rarer ones are one
FLAG, VERSION = "flag", "version"
TAG = "tags."
OTHERS = "all other values"


@dataclass(frozen=True)
class CategoryPair:
    """One category of a selection and of its baseline.

    name: `flag` (the newest of a record), `version`, or a tag as `tags.client`. values: what it
    is in the records, None where it is nothing; the most frequent first. counts, baseline_counts:
    records of each value, shape (values,).
    """

    name: str
    values: tuple[str | None, ...]
    counts: np.ndarray
    baseline_counts: np.ndarray
    association: Association
    corrected_p: float
    verdict: Verdict

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    @property
    def baseline_n(self) -> int:
        return int(self.baseline_counts.sum())

    def most_different(self) -> tuple[str | None, Change]:
        """The value whose share differs most, and by how much."""
        shares, baseline_shares = self.counts / self.n, self.baseline_counts / self.baseline_n
        place = int(np.abs(shares - baseline_shares).argmax())
        counts = (int(self.counts[place]), self.n)
        baseline_counts = (int(self.baseline_counts[place]), self.baseline_n)
        return self.values[place], Change(*rates.share_change(*counts, *baseline_counts))


def category_pairs(
    warehouse: Warehouse, selection: Selection, baseline: Selection
) -> list[CategoryPair]:
    """Flag, version and each tag that is a category, where there is more than one value.

    P-values are corrected for the number of categories (Benjamini–Hochberg). A category in which
    the two sides differ by what they are asked for is left out.
    """
    return warehouse.cached(
        ("category pairs", selection, baseline),
        lambda: _category_pairs(warehouse, selection, baseline),
    )


def _category_pairs(
    warehouse: Warehouse, selection: Selection, baseline: Selection
) -> list[CategoryPair]:
    columns = {FLAG: '"feedback.flag"', VERSION: "version"}
    if selection.flag != baseline.flag:
        del columns[FLAG]
    if selection.version != baseline.version:
        del columns[VERSION]
    counted = _counted(
        warehouse, selection, baseline, columns, list(log_tags(warehouse).categories)
    )
    names = [name for name, rows in counted.items() if len(rows) > 1]
    associations = [rates.associate(*_sides(counted[name])) for name in names]
    corrected = significance.benjamini_hochberg(
        np.array([association.p for association in associations])
    )
    pairs = []
    for name, association, p in zip(names, associations, corrected, strict=True):
        counts, baseline_counts = _sides(counted[name])
        few = min(int(counts.sum()), int(baseline_counts.sum()))
        verdict = rates.association_verdict(association, few, float(p))
        values = tuple(value for value, *_ in counted[name])
        pairs.append(
            CategoryPair(name, values, counts, baseline_counts, association, float(p), verdict)
        )
    return pairs


def _sides(rows: Sequence[tuple[str | None, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[1] for row in rows]), np.array([row[2] for row in rows])


def _counted(
    warehouse: Warehouse,
    selection: Selection,
    baseline: Selection,
    columns: dict[str, str],
    tags: Sequence[str],
) -> dict[str, list[tuple[str | None, int, int]]]:
    """By category, rows of (value, records of the selection, records of the baseline)."""
    names = [*columns, *(f"{TAG}{tag}" for tag in tags)]
    values = f"[{', '.join(columns.values())}]"
    params: list[object] = []
    if tags:
        values = f"list_concat({values}::varchar[], json_extract_string(tags, ?::varchar[]))"
        params.append([json_pointer(tag) for tag in tags])
    (mine, mine_params), (others, others_params) = source(selection), source(baseline)
    rows = warehouse.rows(
        f"""
        with sides as (
            select true as mine, "feedback.flag", version, tags
            from {mine}
            union all
            select false, "feedback.flag", version, tags
            from {others}
        ),
        combined as (
            select {values} as combination, countif(mine) as mine, countif(not mine) as others
            from sides
            group by combination
        ),
        valued as (
            select mine, others, unnest(?::varchar[]) as name, unnest(combination) as value
            from combined
        ),
        counted as (
            select name, value, sum(mine) as counts, sum(others) as baseline_counts
            from valued
            group by name, value
        ),
        shown as (
            select
                name,
                if(place <= {SHOWN_VALUES}, value, ?) as value,
                counts,
                baseline_counts
            from (
                select *, row_number() over (
                    partition by name order by counts + baseline_counts desc, value
                ) as place
                from counted
            )
        )
        select name, value, sum(counts)::bigint, sum(baseline_counts)::bigint
        from shown
        group by name, value
        order by sum(counts + baseline_counts) desc, value
        """,
        [*mine_params, *others_params, *params, names, OTHERS],
    )
    counted: dict[str, list[tuple[str | None, int, int]]] = {name: [] for name in names}
    for name, value, counts, baseline_counts in rows:
        counted[name].append((value, counts, baseline_counts))
    return counted


def category_table(pairs: Sequence[CategoryPair]) -> pd.DataFrame:
    """Category pairs as a table: what differs first, then by the size of the difference.

    value, share, baseline_share: of the value that differs most; change: by how much, with its
    95% interval.
    """
    rows = []
    for pair in pairs:
        value, change = (
            pair.most_different() if pair.n and pair.baseline_n else (None, samples.NO_CHANGE)
        )
        place = pair.values.index(value)
        rows.append(
            {
                "category": pair.name,
                "verdict": pair.verdict,
                "value": value,
                "share": pair.counts[place] / max(pair.n, 1),
                "baseline_share": pair.baseline_counts[place] / max(pair.baseline_n, 1),
                "change": change.by,
                "change_low": change.low,
                "change_high": change.high,
                "cramers_v": pair.association.cramers_v,
                "cramers_v_low": pair.association.v_low,
                "cramers_v_high": pair.association.v_high,
                "chi_square": pair.association.chi_square,
                "freedom": pair.association.freedom,
                "p_corrected": pair.corrected_p,
                "n": pair.n,
                "baseline_n": pair.baseline_n,
            }
        )
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    by_size = table.sort_values("cramers_v", ascending=False, kind="stable")
    differ = ("different", "clearly different")
    return by_size.sort_values("verdict", key=lambda v: ~v.isin(differ), kind="stable")
