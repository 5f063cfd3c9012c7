"""Reviews, failure modes, decisions and draws: events of the log, and what they come to."""

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from data_access import queries
from data_access.annotations import Change, Kept, annotate, send_waiting
from data_access.errors import JudgementError, LogError, NameTakenError
from data_access.ingest.compaction import compact
from data_access.ingest.sync import sync
from data_access.judging import (
    NewReview,
    change_mode,
    create_mode,
    decide,
    keep_draw,
    label,
    merge_modes,
    undo,
    write_reviews,
)
from data_access.log import Log
from data_access.projections import load_projections
from data_access.records import Decision, Draw, Drawn, Review
from data_access.warehouse import Warehouse
from data_access.warehouse.judgements import JUDGED, merge_target
from tests.conftest import OpenWarehouse
from tests.killing import Running
from tests.samples import rounds

HOSTILE = "<script>alert(1)</script> =1+1 \u202e **b** $x$ ' or 1=1 --"


def said(key: str, record: str, verdict: Any = "wrong", *modes: str, **more: Any) -> NewReview:
    return NewReview(
        key, record, Review(verdict=verdict, modes=list(modes), **({"queue": "find"} | more))
    )


def judged(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """All that readers see of judgements."""
    return {name: warehouse.rows(f"from {name} order by all") for name in JUDGED}


def verdicts(warehouse: Warehouse) -> dict[str, tuple[str | None, list[str], bool]]:
    rows = warehouse.rows("select record_key, verdict, modes, disputed from verdicts")
    return {key: (verdict, modes, disputed) for key, verdict, modes, disputed in rows}


def test_the_newest_of_each_reviewer_counts_and_a_verdict_is_what_all_agree_on(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    log, warehouse = folder_log, open_warehouse(folder_log)
    first = [
        said("1", "a", "right"), said("2", "a", "wrong", "m1", "m2"), said("3", "b", "right"),
        said("4", "c", "wrong", "m1", correction="so"),
    ]  # fmt: skip
    assert write_reviews(log, warehouse, first, "Ada") is Kept.SHOWN
    assert verdicts(warehouse) == {
        "a": ("wrong", ["m1", "m2"], False),
        "b": ("right", [], False),
        "c": ("wrong", ["m1"], False),
    }
    second = [said("5", "a", "wrong", "m2", "m3"), said("6", "b"), said("7", "c", "wrong", "m1")]
    write_reviews(log, warehouse, second, "Bob")
    assert verdicts(warehouse) == {
        "a": ("wrong", ["m2"], True),
        "b": (None, [], True),
        "c": ("wrong", ["m1"], False),
    }
    decide(log, warehouse, "b", Decision(verdict="wrong", modes=["m9"]), "Eve")
    assert verdicts(warehouse)["b"] == ("wrong", ["m9"], False)
    decide(log, warehouse, "b", None, "Eve")
    assert verdicts(warehouse)["b"] == (None, [], True)
    write_reviews(log, warehouse, [NewReview("8", "b", None)], "Bob")
    assert verdicts(warehouse)["b"] == ("right", [], False), "Bob took back what he said"
    assert len(log.list("annotations/")) == 5, "nothing was changed or taken away in the log"


def test_bulk_labels_are_one_object_and_undone_as_one(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(log)
    write_reviews(log, warehouse, [said("1", "r5", "wrong", "old")], "Ada")
    before = judged(warehouse)
    keys = [f"r{n}" for n in range(1_204)]
    batch, _ = label(log, warehouse, [*keys, "r7"], "new", "Ada")
    assert len(log.list("annotations/")) == 2
    assert len(verdicts(warehouse)) == 1_204
    assert verdicts(warehouse)["r5"] == ("wrong", ["new", "old"], False)
    undo(log, warehouse, batch, "Ada")
    assert judged(warehouse) == before
    undo(log, warehouse, "1", "Ada")
    assert verdicts(warehouse) == {}


def test_a_new_warehouse_a_compaction_and_a_second_reading_change_nothing(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(log)
    reviews = [said(f"{n}", f"r{n % 7}", "wrong", f"m{n % 3}") for n in range(20)]
    write_reviews(log, warehouse, reviews[:12], "Ada")
    write_reviews(log, warehouse, reviews[:12], "Ada")
    write_reviews(log, warehouse, reviews[5:], "Ada")  # a list that grew is sent whole again
    write_reviews(log, warehouse, [said("x", "r1", "right")], HOSTILE)
    one, _ = create_mode(log, warehouse, "one", "Ada", rule="flag=incorrect")
    two, _ = create_mode(log, warehouse, HOSTILE.replace("\u202e", ""), None, definition=HOSTILE)
    draw = Draw(
        query="environment=prod", seed=1, population=9,
        records=[Drawn(record_key="r1", stratum="all", population=9, probability=1 / 9)],
    )  # fmt: skip
    name, _ = keep_draw(log, warehouse, draw, "Ada")
    assert warehouse.rows("from drawn") == [(name, 0, "r1", "all", 9, 1 / 9)]
    assert len(warehouse.rows("from reviews")) == 21
    seen, known = judged(warehouse), queries.failure_modes(warehouse)
    assert [mode.id for mode in known] == [two, one]
    again = open_warehouse(log, name="again.duckdb")
    sync(log, again)
    assert judged(again) == seen and queries.failure_modes(again) == known
    compact(log, date(2100, 1, 1))
    sync(log, again)
    assert judged(again) == seen
    compact(log, date(2100, 1, 1), remove_originals=True)
    sync(log, again)
    third = open_warehouse(log, name="third.duckdb")
    sync(log, third)
    assert judged(again) == judged(third) == seen
    assert queries.failure_modes(third) == known


def test_two_people_at_once_lose_nothing(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    """Each with a dashboard of their own, on the same records and the same failure mode."""
    mine, theirs = open_warehouse(folder_log), open_warehouse(folder_log, name="theirs.duckdb")
    name, _ = create_mode(folder_log, mine, "inverted", "Ada")
    sync(folder_log, theirs)

    def work(warehouse: Warehouse, actor: str) -> None:
        for n in range(15):
            write_reviews(
                folder_log, warehouse, [said(f"{actor}{n}", f"r{n}", "wrong", name)], actor
            )
        [mode] = queries.failure_modes(warehouse)
        field = {"owner": actor} if actor == "Ada" else {"severity": "high"}
        change_mode(folder_log, warehouse, mode, actor, **field)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (mine, theirs), ("Ada", "Bob")))
    for warehouse in (mine, theirs):
        sync(folder_log, warehouse)
        assert len(warehouse.rows("from reviews where counts")) == 30
        assert {row[4] for row in warehouse.rows("from verdicts")} == {2}
        [mode] = queries.failure_modes(warehouse)
        assert (mode.owner, mode.severity) == ("Ada", "high"), "each changed a field of their own"


def test_a_store_that_is_down_loses_no_verdict(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    class Down(Log):
        def put(self, key: str, body: bytes) -> bool:
            raise LogError("The store does not answer.", transient=True)

    warehouse = open_warehouse(folder_log)
    down = Down(folder_log.uri, folder_log._store)
    assert write_reviews(down, warehouse, [said("1", "a")], "Ada") is Kept.WAITING
    assert label(down, warehouse, ["b"], "m", "Ada")[1] is Kept.WAITING
    send_waiting(folder_log)
    sync(folder_log, warehouse)
    assert verdicts(warehouse) == {"a": ("wrong", [], False), "b": ("wrong", ["m"], False)}


def test_failure_modes_are_renamed_merged_and_retired(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    log, warehouse = folder_log, open_warehouse(folder_log)
    name, _ = create_mode(log, warehouse, " Dark  on light ", "Ada", severity="high")
    other, _ = create_mode(log, warehouse, "Grün 漢", "Ada")
    assert (name, other) == ("dark-on-light", "grun")
    with pytest.raises(NameTakenError, match="“Dark on light” already"):
        create_mode(log, warehouse, "dark on LIGHT", "Bob")
    for title, sentence in (
        ("", "needs a name"),
        ("a\u202eb", "cannot be seen"),
        ("x" * 81, "title"),
    ):
        with pytest.raises(JudgementError, match=sentence):
            create_mode(log, warehouse, title, "Bob")
    with pytest.raises(JudgementError, match="issue"):
        create_mode(log, warehouse, "x", "Bob", issue="javascript:alert(1)")
    mode = queries.failure_mode(warehouse, name)
    assert mode is not None
    change_mode(log, warehouse, mode, "Bob", title="Inverted", owner="Bob")
    write_reviews(
        log, warehouse, [said("1", "a", "wrong", name), said("2", "b", "wrong", name, other)], "Ada"
    )
    renamed = queries.failure_mode(warehouse, name)
    assert renamed is not None
    assert (renamed.title, renamed.severity, renamed.owner) == ("Inverted", "high", "Bob")
    target = queries.failure_mode(warehouse, other)
    assert target is not None
    merge_modes(log, warehouse, renamed, target, "Ada")
    assert queries.failure_mode(warehouse, name) == target
    assert warehouse.rows("from merged") == [(name, other)]
    assert verdicts(warehouse)["b"] == ("wrong", [other], False), "named once after the merge"
    change_mode(log, warehouse, target, "Ada", state="retired")
    assert queries.failure_modes(warehouse) == []
    assert [mode.id for mode in queries.failure_modes(warehouse, retired=True)] == [other]
    assert [event.actor for event in queries.mode_events(warehouse, name)] == ["Ada", "Bob", "Ada"]


@pytest.mark.parametrize(
    ("merges", "target"),
    [({}, "a"), ({"a": "b", "b": "c"}, "c"), ({"a": "b", "b": "a"}, "a"), ({"a": "b", "b": None},
     "b"), ({"a": "b", "b": "c", "c": "b"}, "b")],
)  # fmt: skip
def test_merges_end_somewhere(merges: dict[str, str | None], target: str) -> None:
    assert merge_target("a", merges) == target


@pytest.mark.parametrize(
    "change",
    [
        Change("review", "a", {"verdict": "maybe", "queue": "find"}),
        Change("review", "a", {"verdict": "right", "modes": ["m"], "queue": "find"}),
        Change("review", "a", {"verdict": "wrong", "modes": "m", "queue": "find"}),
        Change("review", "a", {"verdict": "wrong", "modes": ["m", "m"], "queue": "find"}),
        Change("mode", "m", {"severity": 3}),
        Change("mode", "m", {"issue": "javascript:alert(1)"}),
        Change("draw", "d", {"query": "", "seed": 1, "population": 1, "records": []}),
    ],
)
def test_what_does_not_fit_is_refused_and_quarantined(
    folder_log: Log, open_warehouse: OpenWarehouse, change: Change
) -> None:
    warehouse = open_warehouse(folder_log)
    with pytest.raises(LogError, match="cannot be written"):
        annotate(folder_log, warehouse, [change], "Ada")
    body = (
        f'{{"annotation_key": "k", "timestamp": "2026-07-06", "kind": "{change.kind}", '
        f'"name": "{change.name}", "payload": {str(change.payload).replace(chr(39), chr(34))}}}'
    )
    folder_log.put("annotations/x.json", body.encode())
    assert sync(folder_log, warehouse).quarantined == 1
    assert not any(judged(warehouse).values())


def review_on(uri: str, folder: str, count: int, tell: Callable[[object], None]) -> None:
    """Review records one by one and say which reviews were kept."""
    warehouse = Warehouse.open(Path(folder, "killed.duckdb"), uri, load_projections())
    log = Log.open(uri)
    tell("open")
    for n in range(count):
        write_reviews(log, warehouse, [said(f"k{n}", f"r{n}", "wrong", "m")], "Ada")
        tell(n)


def test_killed_at_any_moment_nothing_is_lost_or_doubled(
    folder_log: Log, tmp_path: Path, open_warehouse: OpenWarehouse
) -> None:
    spool = tmp_path / "spool"
    environ = dict(os.environ) | {"MISREAD_SPOOL": str(spool)}
    kept = 0
    for number in range(rounds(2, 50)):
        running = Running(environ, review_on, folder_log.uri, str(tmp_path), kept + 40)
        assert running.wait() == "open"
        ended = running.end(random.Random(number).uniform(0.0, 0.3))
        kept = max([kept, *(told + 1 for told in ended.told if isinstance(told, int))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MISREAD_SPOOL", str(spool))
        send_waiting(folder_log)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    reviews = [key for (key,) in warehouse.rows("select review_key from reviews")]
    assert len(reviews) == len(set(reviews)), "nothing is there twice"
    assert {f"k{n}" for n in range(kept)} <= set(reviews), "what was kept is there"
    assert len(reviews) <= kept + 1, "and nothing else but what was being written"
    assert all(row == ("wrong", ["m"], False) for row in verdicts(warehouse).values())
