"""Find anything: what a text may mean, each as a filter with the number of its records."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

from data_access.queries.answers import row_of
from data_access.queries.counts import status
from data_access.queries.dates import read_when
from data_access.selection import AROUND, Selection, holds, part_of
from data_access.warehouse import Warehouse

Kind = Literal["record", "output", "truth", "comment", "user", "image", "day", "time"]
MOST_NAMES = 3  # users or record keys that are named
LEAST_OF_KEY = 4  # characters; fewer are a record key only where they are all of one
MOST_CHARACTERS = 1000


@dataclass(frozen=True)
class Match:
    """One meaning of a text, as a filter.

    value: what is matched: the text, the name of a user, or a record key; empty for times. count:
    of records. records: those, among the ones selected before; where that has none, in the whole
    log (everywhere). filter: of `records` what was asked for.
    """

    kind: Kind
    value: str
    count: int
    records: Selection
    filter: Selection
    everywhere: bool


def search(
    warehouse: Warehouse, selection: Selection, text: str, offset: timedelta = timedelta()
) -> list[Match]:
    """All meanings of a text that match a record; what the search box of the dashboard offers.

    Parts of outputs, truths, comments and names of users and images match whatever their case and
    white space; record keys by how they begin. offset: of the viewer's clock from UTC: a time of
    day may be in either.
    """
    text = " ".join(text[:MOST_CHARACTERS].split())
    if not text:
        return []
    asked: list[tuple[Kind, str, Selection]] = [
        *(("record", key, Selection(record_key=(key,))) for key in _keys(warehouse, text)),
        *_times(warehouse, text, offset),
        *(("user", name, Selection(user=(name,))) for name in _users(warehouse, text)),
        ("output", text, Selection(text=text)),
        ("truth", text, Selection(truth=text)),
        ("comment", text, Selection(comment=text)),
        ("image", text, Selection(image_name=text)),
    ]
    matches = [_match(warehouse, selection, *meaning) for meaning in asked]
    return [match for match in matches if match is not None]


def _match(
    warehouse: Warehouse, selection: Selection, kind: Kind, value: str, only: Selection
) -> Match | None:
    changes: dict[str, Any] = {
        name: wanted for name, wanted in vars(only).items() if wanted != getattr(Selection(), name)
    }
    narrowed = replace(selection, **changes)
    condition, params = holds(only)
    selected, selected_params = holds(narrowed)
    counts = row_of(
        warehouse,
        f"""
        select count(*) as everywhere, count(*) filter (selected) as within
        from (select {selected} as selected from records where {condition})
        """,
        [*selected_params, *params],
    )
    within, everywhere = int(counts["within"]), int(counts["everywhere"])
    if not everywhere:
        return None
    if within:
        return Match(kind, value, within, narrowed, only, False)
    return Match(kind, value, everywhere, only, only, True)


def _keys(warehouse: Warehouse, text: str) -> list[str]:
    begins = "starts_with(record_key, ?)" if len(text) >= LEAST_OF_KEY else "record_key = ?"
    rows = warehouse.query(
        f"select record_key from records where {begins} order by record_key limit ?",
        [text, MOST_NAMES],
    )
    return list(rows["record_key"])


def _users(warehouse: Warehouse, text: str) -> list[str]:
    contains, params = part_of('"user"')(text)
    rows = warehouse.query(
        f"""
        select "user" as name
        from feedback
        where {contains}
        group by name
        order by count(distinct record_key) desc, name
        limit ?
        """,
        [*params, MOST_NAMES],
    )
    return list(rows["name"])


def _times(warehouse: Warehouse, text: str, offset: timedelta) -> list[tuple[Kind, str, Selection]]:
    newest = status(warehouse).newest or datetime.now(UTC)
    day, clock = read_when(text, newest)
    if day is None and clock is None:
        return []
    clocks = [clock] if clock is None or not offset else [clock, _shifted(clock, -offset)]
    if day is None:
        return [("time", "", Selection(around=each)) for each in clocks]
    midnight = datetime.combine(day, time(), UTC)
    if clock is None:
        return [("day", "", Selection(since=midnight, until=midnight + timedelta(days=1)))]
    moment = datetime.combine(day, clock, UTC)
    moments = [moment] if not offset else [moment, moment - offset]
    return [("time", "", Selection(since=each - AROUND, until=each + AROUND)) for each in moments]


def _shifted(clock: time, by: timedelta) -> time:
    return (datetime.combine(datetime.min.date() + timedelta(days=2), clock) + by).time()
