"""Reads what is known of selected records and of those they are compared with, for Causes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data_access.queries.answers import row_of
from data_access.queries.candidates import KINDS, Feature, Features
from data_access.queries.counts import flags
from data_access.queries.distributions import extents
from data_access.queries.modes import frequent_modes, mode_titles
from data_access.queries.tags import log_tags
from data_access.selection import Selection, holds, source
from data_access.sql import json_pointer
from data_access.statistics.separation import CHOSEN, OTHERS, REST, Groups
from data_access.warehouse import Warehouse

MOST = 50_000  # records of a side that are looked at; of more, some drawn at random


@dataclass(frozen=True, eq=False)
class Gathered:
    """What is known of records.

    groups: CHOSEN, the selected ones; OTHERS, those of the baseline; REST, those of the same place
    and time as the selected ones, which are the OTHERS where there is no baseline. parts: one in
    how many of the selected and of the others was looked at. defining: what the selection is a
    range of. left_out: label and reason of what cannot be compared.
    """

    features: tuple[Feature, ...]
    defining: tuple[Feature, ...]
    groups: Groups
    parts: tuple[int, int]
    left_out: tuple[tuple[str, str], ...]


def scope_of(selection: Selection) -> Selection:
    """All records of the same place (application, environment, version) and dates."""
    return Selection(
        application=selection.application,
        environment=selection.environment,
        version=selection.version,
        since=selection.since,
        until=selection.until,
        images=selection.images,
    )


def gather(warehouse: Warehouse, selection: Selection, baseline: Selection | None) -> Gathered:
    """What is known of the selected records, the rest of their scope, and those of the baseline.

    Left out is what the selection or the baseline is defined by, what has no two values, names
    each record for itself, or cannot be the same in the baseline.
    """
    available = _available(warehouse)
    scope = scope_of(selection)
    sides = [selection, scope] if baseline is None else [selection, baseline, scope]
    parts = [_parts(warehouse, side) for side in sides]
    table = _fetch(warehouse, available, sides, parts)
    groups = Groups(table["side"].to_numpy().astype(np.int8))
    features: list[Feature] = []
    defining: list[Feature] = []
    left_out: list[tuple[str, str]] = []
    for kind in KINDS:
        for feature in kind.read(available, table):
            reason = _reason(feature, groups, selection, baseline)
            if reason is None:
                features.append(feature)
            elif reason:
                left_out.append((feature.label, reason))
            if feature.has_range(selection):
                defining.append(feature)
    return Gathered(
        tuple(features), tuple(defining), groups, (parts[CHOSEN], parts[OTHERS]), tuple(left_out)
    )


def _available(warehouse: Warehouse) -> Features:
    titles = mode_titles(warehouse)
    return Features(
        tuple((warehouse.projections[name], bins) for name, bins in extents(warehouse).items()),
        log_tags(warehouse).tags,
        tuple(flags(warehouse)),
        {mode: titles.get(mode, mode) for mode in frequent_modes(warehouse)},
    )


def _parts(warehouse: Warehouse, selection: Selection) -> int:
    """In how many parts of at most MOST records a selection falls, or one."""
    if int(row_of(warehouse, "select count(*) as n from records")["n"]) <= MOST:
        return 1
    selected, params = source(selection)
    total = int(row_of(warehouse, f"select count(*) as n from {selected}", params)["n"])
    return max(1, -(-total // MOST))


def _fetch(
    warehouse: Warehouse,
    available: Features,
    sides: Sequence[Selection],
    parts: Sequence[int],
) -> pa.Table:
    """All that is known of each record, and its `side`: what it is in `sides`.

    sides: by group, the selected ones, those of the baseline if there is one, and the scope of
    the selected ones, which are no part of it here, or of the baseline.
    """
    chosen, chosen_params = holds(sides[CHOSEN])
    scope, params = holds(sides[-1])
    rest = len(sides) - 1
    rows = f"select *, if({chosen}, {CHOSEN}, {rest}) as side from records where {scope}"
    params = [*chosen_params, *params]
    if rest == REST:
        others, others_params = holds(sides[OTHERS])
        rows += (
            f" union all by name select *, {OTHERS} as side from records "
            f"where {others} and not coalesce({chosen}, false)"
        )
        params += [*others_params, *chosen_params]
    if max(parts) > 1:
        rows = f"from ({rows}) where hash(record_key) % {list(parts)}[side + 1] = 0"
    columns = dict.fromkeys(sql for kind in KINDS for sql in kind.columns(available))
    tagged = "json_extract_string(tags, ?::varchar[])"  # all at once: each is parsed once
    paths = [json_pointer(tag.name) for tag in available.tags]
    return warehouse.table(
        f"select {', '.join(columns)}, side from "
        f"(select *, {tagged} as tagged from ({rows})) as selected",
        [paths, *params],
    )


def _reason(
    feature: Feature, groups: Groups, selection: Selection, baseline: Selection | None
) -> str | None:
    """Why something is left out; empty where there is nothing to say of it, None to keep it."""
    counts = groups.counts(feature.candidate)
    if np.count_nonzero(counts[CHOSEN] + counts[OTHERS]) < 2:
        return "" if feature.is_numerous else "the same in every record"
    if any(side is not None and feature.is_filtered_by(side) for side in (selection, baseline)):
        return "" if feature.is_numerous else "you filtered by it"
    if feature.is_identifier(counts.sum(axis=0)):
        return "nearly unique to each record"
    if baseline is None:
        return None
    own, others = counts[CHOSEN] + counts[REST], counts[OTHERS]
    moved = selection.environment != baseline.environment
    elsewhere = moved and bool(own.any() and others.any())
    return feature.incomparable(own, others, elsewhere=elsewhere)
