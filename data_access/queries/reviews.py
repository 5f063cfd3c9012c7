"""What was reviewed: counts, what one person said, exports, and what reviewers do not agree on."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from data_access.queries.answers import row_of
from data_access.selection import Selection, source
from data_access.statistics.agreement import Agreement, agreement
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


def record_keys(warehouse: Warehouse, selection: Selection) -> list[str]:
    """Keys of all selected records."""
    selected, params = source(selection)
    keys: list[str] = warehouse.table(
        f"select record_key from {selected} order by record_key", params
    )["record_key"].to_pylist()
    return keys


@dataclass(frozen=True)
class Said:
    """What one person last said of a record."""

    actor: str
    verdict: str
    modes: tuple[str, ...]


def reviews_of(warehouse: Warehouse, record_key: str) -> list[Said]:
    """The reviews of a record that count, oldest first."""
    rows = warehouse.rows(
        "select actor, verdict, modes from reviews where counts and record_key = ? "
        "order by timestamp, review_key",
        [record_key],
    )
    return [Said(actor, verdict, tuple(modes)) for actor, verdict, modes in rows]


def disputed_records(warehouse: Warehouse, selection: Selection, count: int) -> list[str]:
    """Keys of the selected records that reviewers do not agree on, oldest first."""
    selected, params = source(selection)
    frame = warehouse.query(
        f"select record_key from {selected} semi join (from verdicts where disputed) "
        "using (record_key) order by timestamp, record_key limit ?",
        [*params, count],
    )
    return list(frame["record_key"])


@dataclass(frozen=True)
class AgreementRow:
    """How far reviewers agree on one failure mode, or on the verdict (mode empty).

    named: records that at least one of them called so, of those that several reviewed.
    """

    mode: str
    named: int
    agreement: Agreement


def agreement_table(warehouse: Warehouse, selection: Selection) -> list[AgreementRow]:
    """The verdict first, then the modes that were named most; empty where nobody reviewed a record
    that another one did."""
    selected, params = source(selection)
    frame = warehouse.query(
        f"""
        select record_key, actor, verdict, modes
        from reviews
        semi join {selected} as selected using (record_key)
        where counts
        and record_key in (select record_key from verdicts where reviews > 1)
        order by record_key, actor
        """,
        params,
    )
    if frame.empty:
        return []
    return warehouse.cached(
        ("agreement", selection), lambda: [_agreed(frame, mode) for mode in _judged(frame)]
    )


def _judged(frame: pd.DataFrame) -> list[str]:
    named = frame["modes"].explode().dropna().value_counts()
    return ["", *sorted(named.index, key=lambda mode: (-named[mode], mode))]


def _agreed(frame: pd.DataFrame, mode: str) -> AgreementRow:
    if mode:
        says = frame["modes"].map(lambda modes: float(mode in modes))
    else:
        says = (frame["verdict"] == "wrong").astype(float)
    judged = frame.assign(says=says).pivot(index="record_key", columns="actor", values="says")
    named = int((judged.max(axis=1) > 0).sum())
    return AgreementRow(mode, named, agreement(judged.to_numpy(dtype=float)))


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
