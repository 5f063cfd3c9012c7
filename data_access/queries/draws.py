"""The queue *measure*: random draws, who reviewed how much of them, and the rates they measure."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from data_access.errors import JudgementError, SelectionError
from data_access.queries.answers import row_of
from data_access.records import DRAW, Draw, Drawn
from data_access.selection import (
    ANY_FLAG,
    NO_FLAG,
    Selection,
    holds,
    parse_selection,
    query_string,
    source,
    warehouse_time,
)
from data_access.statistics.measured import Rate, Stratum, allocation, rate
from data_access.warehouse import Warehouse

EVERY = "all"
STRATA = {"flagged": ANY_FLAG, "not flagged": NO_FLAG}
GUESSED = {"flagged": 0.8, "not flagged": 0.1}  # of errors, before anything was reviewed
SCOPE = (
    "environment",
    "version",
    "application",
    "since",
    "until",
)  # what a draw may be narrowed to


@dataclass(frozen=True)
class DrawInfo:
    """A draw that was made. selection: None where it is not understood here. made: UTC."""

    id: str
    query: str
    selection: Selection | None
    population: int
    size: int
    actor: str
    made: datetime


def make_draw(warehouse: Warehouse, selection: Selection, size: int, seed: int) -> Draw:
    """A random draw of records of a selection that no earlier draw of it has.

    It has strata, flagged and not, where these are expected to narrow the interval. Raises
    JudgementError where no record is left to be drawn.
    """
    query = query_string(selection)
    wanted, params = source(selection)
    keys = warehouse.table(
        f"""
        select
            record_key,
            len("feedback.flags") > 0 as flagged,
            record_key in (
                select drawn.record_key
                from drawn
                join annotations on kind = ? and name = draw
                where json_extract_string(payload, '$.query') = ?
            ) as known
        from {wanted}
        order by record_key
        """,
        [DRAW, query, *params],
    )
    names = np.array(keys["record_key"].to_pylist(), dtype=object)
    flagged = keys["flagged"].to_numpy(zero_copy_only=False)
    known = keys["known"].to_numpy(zero_copy_only=False)
    if known.all():
        raise JudgementError("Every record of this selection has been drawn already.")
    strata = _strata(warehouse, query, flagged, size)
    generator = random.Random(seed)
    drawn: list[Drawn] = []
    for name, (members, count) in strata.items():
        fresh = names[members & ~known]
        chosen = generator.sample(list(fresh), min(count, len(fresh)))
        population, before = int(members.sum()), int((members & known).sum())
        drawn += [
            Drawn(
                record_key=key,
                stratum=name,
                population=population,
                probability=(before + len(chosen)) / population,
            )
            for key in chosen
        ]
    generator.shuffle(drawn)
    return Draw(query=query, seed=seed, population=len(names), records=drawn)


def _strata(
    warehouse: Warehouse, query: str, flagged: np.ndarray, size: int
) -> dict[str, tuple[np.ndarray, int]]:
    """By name, the records of each stratum and how many to draw; those of an earlier draw stay."""
    before = {
        name
        for draw in all_draws(warehouse)
        if draw.query == query
        for (name,) in warehouse.rows(
            "select distinct stratum from drawn where draw = ?", [draw.id]
        )
    }
    everything = {EVERY: (np.ones(len(flagged), bool), size)}
    if EVERY in before or not 0 < flagged.sum() < len(flagged):
        return everything
    members = {"flagged": flagged, "not flagged": ~flagged}
    counts = allocation(
        [float(part.mean()) for part in members.values()], list(GUESSED.values()), size
    )
    if counts is None:
        if not before:
            return everything
        counts = [max(1, round(size * float(part.mean()))) for part in members.values()]
    return {
        name: (part, count) for (name, part), count in zip(members.items(), counts, strict=True)
    }


def all_draws(warehouse: Warehouse) -> list[DrawInfo]:
    """All draws, the newest first."""
    return warehouse.cached(("draws",), lambda: _draws(warehouse))


def _draws(warehouse: Warehouse) -> list[DrawInfo]:
    rows = warehouse.rows(
        """
        select
            name, json_extract_string(payload, '$.query'),
            json_extract(payload, '$.population')::bigint,
            json_array_length(payload, '$.records'), coalesce(actor, ''), timestamp
        from annotations
        where kind = ?
        qualify row_number() over (
            partition by name order by timestamp desc, annotation_key desc
        ) = 1 and payload is not null
        order by timestamp desc, name
        """,
        [DRAW],
    )
    found = []
    for name, query, population, size, actor, made in rows:
        try:
            selection = parse_selection(query, warehouse.projections)
        except SelectionError:
            selection = None
        made = made.replace(tzinfo=UTC)
        found.append(DrawInfo(name, query, selection, population, size, actor, made))
    return found


def draws_of(warehouse: Warehouse, selection: Selection) -> list[DrawInfo]:
    """The draws of this very selection, the newest first."""
    return [draw for draw in all_draws(warehouse) if draw.selection == selection]


def unreviewed_of_draws(
    warehouse: Warehouse, names: Sequence[str], actor: str, count: int
) -> list[str]:
    """Keys of drawn records that this person has not reviewed, those that nobody has first.

    Each person has an order of their own, so that two at once seldom meet on one record.
    """
    frame = warehouse.query(
        """
        select record_key
        from drawn
        semi join records using (record_key)
        left join (
            select record_key, bool_or(actor = ?) as own
            from reviews
            where queue = 'measure' and draw in (select unnest(?))
            group by record_key
        ) as done using (record_key)
        where draw in (select unnest(?)) and not coalesce(own, false)
        order by own is not null, hash(record_key || ?), record_key
        limit ?
        """,
        [actor, list(names), list(names), actor, count],
    )
    return list(frame["record_key"])


def draw_of_records(warehouse: Warehouse, names: Sequence[str]) -> dict[str, str]:
    """By record key, the newest of these draws that has it."""
    rows = warehouse.rows(
        "select record_key, draw from drawn where draw in (select unnest(?)) "
        "order by list_position(?, draw) desc",
        [list(names), list(names)],
    )
    return dict(rows)


@dataclass(frozen=True, eq=False)
class Measured:
    """Drawn records of a target, as far as they were reviewed.

    records: columns record_key, stratum, timestamp, verdict, modes, done (reviewed in the queue
    measure, with a verdict). strata: population of each stratum of the draw; all_drawn: how many of
    each were drawn at all. population: records of the selection that was drawn from.
    """

    target: Selection
    draws: tuple[DrawInfo, ...]
    records: pd.DataFrame
    strata: dict[str, int]
    all_drawn: dict[str, int]
    population: int

    @property
    def drawn(self) -> int:
        return len(self.records)

    @property
    def reviewed(self) -> int:
        return int(self.records["done"].sum())

    def counted(
        self, has: Callable[[pd.DataFrame], pd.Series], within: pd.Series | None = None
    ) -> list[Stratum]:
        """The strata of the records that are `within` (a mask; by default all): how many of the
        reviewed ones have something."""
        inside = self.records if within is None else self.records[within]
        done = inside[inside["done"]]
        yes = done[has(done)]
        parts = []
        for name, population in self.strata.items():
            share = (inside["stratum"] == name).sum() / max(1, self.all_drawn[name])
            parts.append(
                Stratum(
                    weight=population * share,
                    count=int((yes["stratum"] == name).sum()),
                    total=int((done["stratum"] == name).sum()),
                    population=max(1.0, population * share),
                )
            )
        return parts

    def error_rate(self, within: pd.Series | None = None) -> Rate:
        return rate(self.counted(is_wrong, within))

    def mode_rate(self, mode: str, within: pd.Series | None = None) -> Rate:
        return rate(self.counted(has_mode(mode), within))

    def between(self, since: datetime, until: datetime) -> pd.Series:
        """A mask of the records of [since, until), both UTC."""
        times = self.records["timestamp"]
        return (times >= warehouse_time(since)) & (times < warehouse_time(until))


def is_wrong(records: pd.DataFrame) -> pd.Series:
    return records["verdict"] == "wrong"


def has_mode(mode: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda records: records["modes"].map(lambda modes: mode in modes).astype(bool)


def measured(warehouse: Warehouse, target: Selection) -> Measured | None:
    """What was drawn from a target, or from a selection of which the target is a part in place and
    time; of several such, the one with the most reviews. None where nothing was drawn.
    """
    by_query: dict[str, list[DrawInfo]] = {}
    for draw in all_draws(warehouse):
        if draw.selection is not None and _covers(draw.selection, target):
            by_query.setdefault(draw.query, []).append(draw)
    found = [_measured(warehouse, target, same) for same in by_query.values()]
    return max(found, key=lambda one: (one.reviewed, one.drawn), default=None)


def _covers(drawn: Selection, target: Selection) -> bool:
    for field in fields(Selection):
        own, wanted = getattr(drawn, field.name), getattr(target, field.name)
        if own == wanted or (field.name in SCOPE and not own):
            continue
        if field.name == "since" and own and wanted and own <= wanted:
            continue
        if field.name == "until" and own and wanted and own >= wanted:
            continue
        if isinstance(own, tuple) and field.name in SCOPE and wanted and set(wanted) <= set(own):
            continue
        return False
    return True


def _measured(warehouse: Warehouse, target: Selection, same: Sequence[DrawInfo]) -> Measured:
    names = [draw.id for draw in same]
    inside, params = holds(replace(target, images=""))
    frame = warehouse.query(
        f"""
        select
            record_key, stratum, population, timestamp, verdict,
            coalesce(modes, []) as modes,
            {inside} as inside,
            verdict is not null and record_key in (
                select record_key
                from reviews
                where queue = 'measure' and draw in (select unnest(?))
            ) as done
        from (
            select record_key, any_value(stratum) as stratum, max(population) as population
            from drawn
            where draw in (select unnest(?))
            group by record_key
        ) as drawn
        join records using (record_key)
        left join verdicts using (record_key)
        order by record_key
        """,
        [*params, names, names],
    )
    strata = frame.groupby("stratum")["population"].max().to_dict()
    all_drawn = frame.groupby("stratum").size().to_dict()
    records = frame[frame["inside"]].drop(columns=["inside", "population"])
    return Measured(
        target,
        tuple(same),
        records.reset_index(drop=True),
        {str(name): int(count) for name, count in strata.items()},
        {str(name): int(count) for name, count in all_drawn.items()},
        max(draw.population for draw in same),
    )


def flag_share(warehouse: Warehouse, selection: Selection) -> tuple[int, Mapping[str, int]]:
    """How many selected records are flagged, and of these by failure mode."""
    flagged = replace(selection, flag=(ANY_FLAG,))
    wanted, params = source(flagged)
    total = int(row_of(warehouse, f"select count(*) as n from {wanted}", params)["n"])
    frame = warehouse.query(
        f"select unnest(modes) as mode, count(*) as records from {wanted} as flagged "
        "join verdicts using (record_key) group by 1",
        params,
    )
    return total, {mode: int(n) for mode, n in zip(frame["mode"], frame["records"], strict=True)}
