"""Saved selections: events of the log that every dashboard reads back."""

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_access import queries
from data_access.annotations import (
    MAX_NAME,
    Change,
    Kept,
    annotate,
    checked_name,
    send_waiting,
)
from data_access.annotations import remove_selection as remove
from data_access.annotations import save_selection as save
from data_access.errors import LogError, NameTakenError, SelectionError
from data_access.ingest.sync import sync
from data_access.log import Log, UnreachableLog
from data_access.projections import load_projections
from data_access.records import Annotation
from data_access.records.decoding import read_object
from data_access.schema import schemas
from data_access.selection import Range, Selection, query_string
from data_access.warehouse import Warehouse
from data_access.writer import object_key, to_json
from tests.conftest import OpenWarehouse
from tests.samples import prediction, remove_object, write

LOW = Selection(
    environment=("prod",),
    since=datetime(2026, 7, 1, tzinfo=UTC),
    flag=("<b>odd</b>", "incorrect"),
    text="& = ' ? #",
    ranges=(Range("entropy(outputs.output_text)", high=2.5),),
    images="once",
)
NOW = datetime(2026, 7, 6, 12, tzinfo=UTC)


def saved(warehouse: Warehouse) -> dict[str, Selection | None]:
    return {found.name: found.selection for found in queries.saved_selections(warehouse)}


def test_what_is_saved_is_there_at_once_and_for_every_other_dashboard(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    mine, theirs = open_warehouse(log), open_warehouse(log, name="theirs.duckdb")
    assert save(log, mine, "Low entropy", LOW)
    assert saved(mine) == {"Low entropy": LOW}
    assert saved(theirs) == {}
    assert sync(log, theirs).objects == 1
    assert saved(theirs) == {"Low entropy": LOW}
    assert not sync(log, mine).objects, "it was read when it was written"
    assert remove(log, theirs, "Low entropy")
    assert saved(theirs) == {}
    sync(log, mine)
    assert saved(mine) == {}
    assert len(log.list("annotations/")) == 2, "nothing was changed or taken away in the log"


def test_a_new_warehouse_knows_what_was_saved(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    first = open_warehouse(folder_log)
    for name, selection in (("a", LOW), ("b", Selection()), ("c", LOW)):
        save(folder_log, first, name, selection)
    remove(folder_log, first, "c")
    save(folder_log, first, "c", Selection(version=("v1",)))
    remove(folder_log, first, "a")
    again = open_warehouse(folder_log, name="again.duckdb")
    sync(folder_log, again)
    assert saved(again) == saved(first) == {"b": Selection(), "c": Selection(version=("v1",))}


def test_an_object_taken_out_by_hand_is_forgotten(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(folder_log)
    save(folder_log, warehouse, "a", LOW)
    remove_object(folder_log, folder_log.list("annotations/")[0].key)
    sync(folder_log, warehouse)
    assert saved(warehouse) == {}


@settings(max_examples=20)
@given(
    st.permutations([None, 1, 2, None, 3]),
    st.lists(st.integers(0, 2), min_size=5, max_size=5),
    st.permutations(range(5)),
)
def test_the_newest_counts_in_whatever_order_events_are_read(
    values: list[int | None], seconds: list[int], order: list[int]
) -> None:
    events = [
        Annotation(
            annotation_key=f"k{i}",
            timestamp=NOW + timedelta(seconds=second),
            kind="any",
            name="x",
            payload=None if value is None else {"value": value},
        )
        for i, (value, second) in enumerate(zip(values, seconds, strict=True))
    ]
    newest = max(events, key=lambda event: (event.timestamp, event.annotation_key))
    expected = [] if newest.payload is None else [json.dumps(newest.payload)]
    with tempfile.TemporaryDirectory() as folder:
        log = Log.open(folder)
        warehouse = Warehouse.open(Path(folder, "x.duckdb"), folder, load_projections())
        for number, i in enumerate(order):  # objects are read in the order of their keys
            log.put(f"annotations/{number}.json", to_json(events[i]))
        sync(log, warehouse)
        assert list(queries.last_annotations(warehouse, "any")["payload"]) == expected
        warehouse.close()


def test_a_clock_that_is_slow_does_not_lose_what_is_saved_now(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    """Another machine's clock is an hour fast: its removal must not outlive a later save."""
    warehouse = open_warehouse(folder_log)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    event = Annotation(annotation_key="f", timestamp=ahead, kind="selection", name="a")
    folder_log.put(object_key(event), to_json(event))
    sync(folder_log, warehouse)
    save(folder_log, warehouse, "a", LOW)
    assert saved(warehouse) == {"a": LOW}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "needs a name"),
        (" \n\t ", "needs a name"),
        ("x" * (MAX_NAME + 1), "61 characters"),
        ("a\u202eb", "cannot be seen"),
        ("a\u200bb", "cannot be seen"),
        ("a\0b", "cannot be seen"),
        ("\ud800", "cannot be seen"),
    ],
)
def test_names_that_will_not_do_are_told_why(
    folder_log: Log, open_warehouse: OpenWarehouse, name: str, sentence: str
) -> None:
    with pytest.raises(SelectionError, match=sentence):
        save(folder_log, open_warehouse(folder_log), name, LOW)
    assert not folder_log.list("annotations/")


def test_names_are_kept_in_one_line_with_their_letters_composed() -> None:
    assert checked_name("  low\n entropy  cafe\u0301 ") == "low entropy caf\u00e9"
    hostile = "<script>alert(1)</script> **b** $x$ ' or 1=1 --"
    assert checked_name(hostile) == hostile


def test_a_name_that_is_taken_is_refused(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    warehouse = open_warehouse(folder_log)
    save(folder_log, warehouse, "Low", LOW)
    for name in ("Low", "low", " LOW "):
        with pytest.raises(NameTakenError, match="“Low” already: choose another name, or replace"):
            save(folder_log, warehouse, name, Selection())
    assert saved(warehouse) == {"Low": LOW}
    assert len(folder_log.list("annotations/")) == 1
    remove(folder_log, warehouse, "Low")
    assert save(folder_log, warehouse, "low", Selection())


def test_what_is_replaced_stays_in_the_log(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    mine = open_warehouse(folder_log)
    save(folder_log, mine, "Low", LOW)
    version = Selection(version=("v1",))
    assert save(folder_log, mine, " low ", version, replace=True)
    assert saved(mine) == {"Low": version}, "under the name that it had"
    assert save(folder_log, mine, "new", LOW, replace=True)
    theirs = open_warehouse(folder_log, name="theirs.duckdb")
    sync(folder_log, theirs)
    assert saved(theirs) == {"Low": version, "new": LOW}
    held = [json.loads(folder_log.get(found.key)) for found in folder_log.list("annotations/")]
    queries_kept = {event["payload"]["query"] for event in held if event["name"] == "Low"}
    assert queries_kept == {query_string(LOW), "version=v1"}


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        ({"query": "no_such(outputs.output_text)=1..2"}, "no such projection"),
        ({"query": "moon=full"}, "is not a filter"),
        ({"query": 5}, "without its filters"),
        ({}, "without its filters"),
    ],
)
def test_a_selection_that_is_not_understood_here_says_why(
    folder_log: Log, open_warehouse: OpenWarehouse, payload: dict[str, object], sentence: str
) -> None:
    """It may have been saved where there are other projections."""
    warehouse = open_warehouse(folder_log)
    annotate(folder_log, warehouse, [Change("selection", "theirs", payload)])
    [found] = queries.saved_selections(warehouse)
    assert found.selection is None
    assert sentence in found.problem
    assert queries.baseline_names(warehouse) == [queries.BEFORE, queries.UNFLAGGED]


def test_a_log_that_cannot_be_written_to_is_one_sentence(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(folder_log)
    Path(folder_log.uri, "annotations").write_text("in the way")
    attempts: list[Callable[[], object]] = [
        lambda: save(folder_log, warehouse, "a", LOW),
        lambda: remove(folder_log, warehouse, "a"),
        lambda: save(UnreachableLog("s3://x", "It is down."), warehouse, "a", LOW),
    ]
    for attempt in attempts:
        with pytest.raises(LogError, match=r"^“a” was not (saved|removed): .*s3:PutObject") as told:
            attempt()
        assert "\n" not in str(told.value)
    assert saved(warehouse) == {}


def test_a_sync_at_work_leaves_it_to_the_next_one(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(folder_log)
    with warehouse.writing:
        assert not save(folder_log, warehouse, "a", LOW)
    assert saved(warehouse) == {}
    sync(folder_log, warehouse)
    assert saved(warehouse) == {"a": LOW}


class Down(Log):
    """A store that answers nothing for a while: no real one does so on demand."""

    is_down = True

    def put(self, key: str, body: bytes) -> bool:
        if self.is_down:
            raise LogError("The store does not answer.", transient=True)
        return super().put(key, body)


def test_a_store_that_is_down_loses_no_annotation(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    warehouse = open_warehouse(folder_log)
    log = Down(folder_log.uri, folder_log._store)
    assert save(log, warehouse, "a", LOW) is Kept.WAITING
    assert annotate(log, warehouse, [Change("note", "b", {"n": 1})], "Ada") is Kept.WAITING
    send_waiting(log)
    assert not log.list("annotations/") and saved(warehouse) == {}
    log.is_down = False
    send_waiting(log)
    send_waiting(log)
    assert sync(log, warehouse).objects == 2
    assert saved(warehouse) == {"a": LOW}
    assert warehouse.rows("select name, actor from annotations order by name") == [
        ("a", None),
        ("b", "Ada"),
    ]


def test_what_is_refused_does_not_wait(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    warehouse = open_warehouse(folder_log)
    blocked = Path(folder_log.uri, "annotations")
    blocked.write_text("in the way")
    with pytest.raises(LogError):
        save(folder_log, warehouse, "a", LOW)
    blocked.unlink()
    send_waiting(folder_log)
    assert not folder_log.list("annotations/")


def test_a_thousand_annotations_are_one_object(log: Log, open_warehouse: OpenWarehouse) -> None:
    mine, theirs = open_warehouse(log), open_warehouse(log, name="theirs.duckdb")
    changes = [Change("note", f"record {n % 900}", {"n": n}) for n in range(1_000)]
    assert annotate(log, mine, changes, actor="Ada") is Kept.SHOWN
    assert len(log.list("annotations/")) == 1
    assert sync(log, theirs).quarantined == 0
    for warehouse in (mine, theirs):
        notes = queries.last_annotations(warehouse, "note")
        newest = dict(zip(notes["name"], notes["payload"], strict=True))
        assert len(newest) == 900 and json.loads(newest["record 5"]) == {"n": 905}
        assert warehouse.rows("select distinct actor from annotations") == [("Ada",)]


def test_annotations_leave_records_alone(log: Log, open_warehouse: OpenWarehouse) -> None:
    warehouse = open_warehouse(log)
    write(log, "predictions/a.jsonl", prediction("one"))
    save(log, warehouse, "a", LOW)
    report = sync(log, warehouse)
    assert (report.objects, report.predictions, report.quarantined) == (1, 1, 0)


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"[1]",
        b'{"annotation_key": "k", "timestamp": "2026-07-06", "kind": "selection"}',
        b'{"annotation_key": "k", "timestamp": "2026-07-06", "kind": "", "name": "a"}',
        b'{"annotation_key": "k", "timestamp": "x", "kind": "selection", "name": "a"}',
        b'{"annotation_key": "k", "timestamp": "2026-07-06", "kind": "selection", "name": "a", '
        b'"payload": "text"}',
        b'{"annotation_key": "k", "timestamp": "2026-07-06", "kind": "selection", "name": "a", '
        b'"payload": {"x": "\\ud800"}}',
    ],
)
def test_what_is_no_annotation_goes_to_quarantine(
    folder_log: Log, open_warehouse: OpenWarehouse, broken: bytes
) -> None:
    warehouse = open_warehouse(folder_log)
    folder_log.put("annotations/x.json", broken)
    assert sync(folder_log, warehouse).quarantined == 1
    assert saved(warehouse) == {}


@pytest.mark.parametrize("payload", [None, {}, {"query": "environment=prod", "more": [1, None]}])
def test_an_annotation_reads_as_it_was_written(payload: dict[str, object] | None) -> None:
    event = Annotation(annotation_key="k", timestamp=NOW, kind="k", name="ä", payload=payload)
    body = to_json(event)
    assert object_key(event) == "annotations/date=2026-07-06/k.json"
    assert read_object(object_key(event), body).annotations == [(1, event)]
    jsonschema.validate(json.loads(body), schemas()["annotation.json"])
