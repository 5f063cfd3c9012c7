"""Compaction: the same answers from fewer objects, whatever happens in between."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_access.cli import main
from data_access.errors import LogError
from data_access.ingest import compaction
from data_access.ingest.bulk import read_objects
from data_access.ingest.compaction import CompactionReport, Limits, compact
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import ProjectionTable, load_projections
from data_access.queries.annotations import last_annotations
from data_access.records import Annotation, is_compacted
from data_access.warehouse import Warehouse
from data_access.writer import object_key, to_json
from tests.conftest import OpenWarehouse
from tests.samples import (
    Event,
    all_records,
    feedback,
    lines,
    prediction,
    replace_object,
    rounds,
    write,
)
from tests.test_sync import judged, served

TODAY = date(2026, 7, 20)
DAY = "date=2026-07-06"


def fill(log: Log) -> None:
    for number in range(6):
        event = prediction(f"{number}", f"text {number}", tags={"n": number, "deep": {"a": [1]}})
        write(log, f"predictions/{DAY}/{number}.json", event)
    inline = prediction("6", feedback__flag="offensive", feedback__user="eve", version="v2")
    write(log, f"predictions/{DAY}/more.jsonl", inline, prediction("0", "said later"))
    write(log, "predictions/date=2026-07-20/today.json", prediction("today"))
    write(log, "predictions/date=2026-07-20/too.json", prediction("too"))
    for number in range(4):
        write(log, f"feedback/{DAY}/{number}.json", feedback(f"{number}", comment=f"“{number}”"))


def annotation(key: str, name: str, payload: dict[str, Any] | None, seconds: int = 0) -> Annotation:
    moment = datetime(2026, 7, 6, 12, tzinfo=UTC) + timedelta(seconds=seconds)
    return Annotation(annotation_key=key, timestamp=moment, kind="any", name=name, payload=payload)


def fill_annotations(log: Log) -> None:
    texts = {"text": "“'; --\0\n😀", "": "", "number": 10**30, "deep": {"a": [1, None, 0.1]}}
    events = [
        annotation("z", "kept", {"is": "old"}, seconds=0),
        annotation("a", "kept", texts, seconds=2),
        annotation("b", "gone", {"is": "here"}, seconds=1),
        annotation("c", "gone", None, seconds=3),
        annotation("d", "empty", {}),
        annotation("e", "tied", {"is": "lesser"}),
        annotation("f", "tied", {"is": "greater"}),
    ]
    for event in events:
        log.put(object_key(event), to_json(event))
    body = b"\n".join(to_json(annotation(f"m{n}", f"many {n}", {"n": n})) for n in range(3))
    log.put(f"annotations/{DAY}/more.jsonl", body)
    today = annotation("today", "today", {}, seconds=14 * 86_400)
    log.put(object_key(today), to_json(today))


def names(log: Log) -> list[str]:
    return sorted(entry.key for kind in compaction.KINDS for entry in log.list(kind))


def answers(warehouse: Warehouse) -> list[Any]:
    """All that is told of the records and of what was said of them, but where it is kept."""
    columns = [name for (name, *_) in warehouse.rows("describe records") if name != "object_key"]
    listed = ", ".join(f'"{name}"' for name in columns)
    feedback = warehouse.rows(
        "select distinct record_key, feedback_key, timestamp, flag, comment, origin, line "
        "from feedback order by all"
    )
    return [
        sorted(map(repr, warehouse.rows(f"select {listed} from records"))),
        feedback,
        warehouse.rows("select * from quarantine order by all"),
        warehouse.rows("select distinct * exclude object_key from annotations order by all"),
    ]


def fresh(log: Log, open_warehouse: OpenWarehouse) -> list[Any]:
    warehouse = open_warehouse(log)
    report = sync(log, warehouse)
    assert not report.failures
    return answers(warehouse)


def test_the_answers_stay_the_same_before_during_and_after(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(log)
    grown = open_warehouse(log)
    sync(log, grown)
    before, originals = answers(grown), names(log)

    report = compact(log, TODAY)
    assert report == CompactionReport(written=2, merged=11, events=13)
    assert set(names(log)) > set(originals)
    sync(log, grown)
    assert answers(grown) == before
    assert fresh(log, open_warehouse) == before

    report = compact(log, TODAY, remove_originals=True)
    assert report == CompactionReport(removed=11)
    left = [key for key in names(log) if not is_compacted(key)]
    assert left == [f"predictions/date=2026-07-20/{name}.json" for name in ("today", "too")]
    again = sync(log, grown)
    assert (again.objects, again.removed, again.scored_texts) == (0, 11, 0)
    assert answers(grown) == before
    assert fresh(log, open_warehouse) == before


def test_annotations_of_closed_days_are_merged(log: Log, open_warehouse: OpenWarehouse) -> None:
    fill_annotations(log)
    grown = open_warehouse(log)
    sync(log, grown)
    kept = last_annotations(grown, "any").values.tolist()
    assert {name for name, *_ in kept} == {
        "kept", "empty", "tied", "many 0", "many 1", "many 2", "today",
    }  # fmt: skip
    before, originals = answers(grown), names(log)

    assert compact(log, TODAY) == CompactionReport(written=1, merged=8, events=10)
    assert len(names(log)) == len(originals) + 1
    sync(log, grown)
    assert answers(grown) == before
    assert last_annotations(grown, "any").values.tolist() == kept
    assert fresh(log, open_warehouse) == before

    assert compact(log, TODAY, remove_originals=True) == CompactionReport(removed=8)
    today, compacted = sorted(names(log), key=is_compacted)
    assert today == "annotations/date=2026-07-20/today.json"
    assert is_compacted(compacted)
    sync(log, grown)
    assert grown.rows("select count(*) from annotations") == [(11,)]
    assert last_annotations(grown, "any").values.tolist() == kept
    for warehouse in (grown, open_warehouse(log)):
        sync(log, warehouse)
        assert answers(warehouse) == before
        assert last_annotations(warehouse, "any").values.tolist() == kept

    late = annotation("late", "kept", {"is": "new"}, seconds=60)
    log.put(object_key(late), to_json(late))
    sync(log, grown)
    assert '{"is": "new"}' in last_annotations(grown, "any")["payload"].tolist()


def test_a_field_that_annotations_get_is_compacted_too() -> None:
    """What a compacted object keeps derives from the model, so that a new field is not lost."""
    stored = read_objects([("annotations/a.json", to_json(annotation("a", "a", {"x": 1})))])
    columns = set(compaction._rows("annotations/", stored).column_names)
    assert columns == {*Annotation.model_fields, "log.object_key", "log.line"}


def test_what_a_compacted_object_covers_is_not_read(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(log)
    compact(log, TODAY)
    warehouse = open_warehouse(log)
    report = sync(log, warehouse)
    assert report.objects == 3 + 2  # predictions, what was said within them, feedback; and today's
    assert sync(log, warehouse) == SyncReport()


def test_compacting_twice_adds_nothing_and_late_events_follow(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(log)
    compact(log, TODAY)
    once = names(log)
    assert compact(log, TODAY) == CompactionReport()
    assert names(log) == once
    write(log, f"predictions/{DAY}/late.json", prediction("late"))
    assert compact(log, TODAY) == CompactionReport()  # one object is as good as it gets
    write(log, f"predictions/{DAY}/later.json", prediction("later"))
    expected = fresh(log, open_warehouse)
    assert compact(log, TODAY, remove_originals=True).merged == 2
    assert fresh(log, open_warehouse) == expected


def test_days_are_told_by_the_key_else_by_when_it_was_written(log: Log) -> None:
    write(log, "predictions/2026/07/06/a.json", prediction("a"))
    write(log, "predictions/2026/07/06/b.json", prediction("b"))
    assert compact(log, TODAY) == CompactionReport()
    assert compact(log, date(2999, 1, 1)).merged == 2


def test_objects_that_cannot_be_read_whole_stay(log: Log, open_warehouse: OpenWarehouse) -> None:
    fill(log)
    log.put(f"predictions/{DAY}/broken.jsonl", lines([prediction("ok")]) + b"\n{broken")
    log.put(f"predictions/{DAY}/empty.jsonl", b"")
    before = fresh(log, open_warehouse)
    report = compact(log, TODAY, remove_originals=True)
    assert (report.unreadable, report.removed) == (1, 12)
    assert f"predictions/{DAY}/broken.jsonl" in names(log)
    assert fresh(log, open_warehouse) == before


def test_an_original_overwritten_since_is_not_removed(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(log)
    compact(log, TODAY)
    replace_object(log, f"predictions/{DAY}/1.json", lines([prediction("new", "rewritten")]))
    grown = open_warehouse(log)
    sync(log, grown)
    report = compact(log, TODAY, remove_originals=True)
    assert report.removed == 10
    assert f"predictions/{DAY}/1.json" in names(log)
    sync(log, grown)
    assert answers(grown) == fresh(log, open_warehouse)


def test_nothing_is_removed_that_the_compacted_object_does_not_hold(log: Log) -> None:
    fill(log)
    compact(log, TODAY)
    originals = names(log)
    [key] = [key for key in originals if is_compacted(key) and key.startswith("predictions/")]
    events = read_objects([(key, log.get(key))])
    less = compaction._rows("predictions/", events).slice(1)
    original = next(entry for entry in log.list("predictions/") if entry.key == key)
    sources = compaction._sources(log, original, original.size)
    assert not isinstance(sources, LogError)
    replace_object(log, key, compaction._parquet(less, sources))
    report = compact(log, TODAY, remove_originals=True)
    assert report.failures == [f"{key} does not hold what it covers; nothing was removed."]
    assert report.removed == 4  # the feedback
    assert set(originals) - set(names(log)) == {f"feedback/{DAY}/{n}.json" for n in range(4)}


def test_a_compacted_object_that_is_none_covers_nothing(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(log)
    log.put(f"predictions/{DAY}/compacted-x.parquet", b"PAR1 but no more")
    report = compact(log, TODAY)
    assert len(report.failures) == 1
    assert "is no compacted object" in report.failures[0]
    assert report.merged == 11
    warehouse = open_warehouse(log)
    assert sync(log, warehouse).quarantined == 1


def test_what_other_engines_leave_beside_the_data_is_left_alone(
    log: Log, open_warehouse: OpenWarehouse
) -> None:
    fill(log)
    before = fresh(log, open_warehouse)
    notes = [f"predictions/{DAY}/{name}" for name in ("_SUCCESS", ".0.json.crc", "_log/0.json")]
    for key in notes:
        log.put(key, lines([prediction("note")]))
    assert compact(log, TODAY, remove_originals=True).merged == 11
    assert set(notes) < set(names(log))
    assert fresh(log, open_warehouse) == before


def test_large_objects_and_long_folders(log: Log) -> None:
    limits = Limits(small_bytes=400, merged_objects=3)
    for number in range(7):
        write(log, f"predictions/{DAY}/{number}.json", prediction(f"{number}"))
    write(log, f"predictions/{DAY}/large.json", prediction("large", "x" * 500))
    assert compact(log, TODAY, limits=limits) == CompactionReport(written=2, merged=6, events=6)


def test_a_footer_of_any_length_is_read(log: Log) -> None:
    fill(log)
    compact(log, TODAY)
    assert compact(log, TODAY, limits=Limits(footer_bytes=16)) == CompactionReport()


def test_two_compactions_at_once(log: Log, open_warehouse: OpenWarehouse) -> None:
    fill(log)
    before = fresh(log, open_warehouse)
    reports: list[CompactionReport] = []
    threads = [
        threading.Thread(target=lambda: reports.append(compact(log, TODAY, remove_originals=True)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 4
    assert not any(report.failures for report in reports)
    assert fresh(log, open_warehouse) == before
    assert sum(is_compacted(key) for key in names(log)) == 3


def during(log: Log, moment: int, act: Callable[[], object]) -> Log:
    """The same log; `act` happens after its `moment`-th request."""
    requests = 0

    class Interrupted(Log):
        def listing(self, prefix: str, unreadable: dict[str, str] | None = None) -> pa.Table:
            listed = super().listing(prefix, unreadable)
            self._count()
            return listed

        def get_tagged(self, key: str) -> tuple[bytes, str]:
            self._count()
            return super().get_tagged(key)

        def _count(self) -> None:
            nonlocal requests
            requests += 1
            if requests == moment:
                act()

    return Interrupted(log.uri, log._store)


@pytest.mark.parametrize("moment", [1, 2, 3, 5, 8, 12])
@pytest.mark.parametrize("known", [False, True])
def test_a_sync_sees_each_event_once_whenever_originals_give_way(
    folder_log: Log, open_warehouse: OpenWarehouse, moment: int, known: bool
) -> None:
    fill(folder_log)
    before = fresh(folder_log, open_warehouse)
    warehouse = open_warehouse(folder_log)
    if known:
        sync(folder_log, warehouse)
    report = sync(during(folder_log, moment, lambda: compact(folder_log, TODAY, True)), warehouse)
    assert not report.failures
    assert answers(warehouse) == before


noted = st.builds(
    lambda key, name, payload, seconds: json.loads(
        to_json(annotation(key, name, payload, seconds))
    ),
    st.sampled_from("abc"),
    st.sampled_from(["one", "two"]),
    st.sampled_from([None, {}, {"x": 1}, {"x": [1.5, {"y": None}]}]),
    st.integers(0, 2),
)
objects = st.one_of(
    st.tuples(st.sampled_from(["predictions/a", "predictions/b"]), st.lists(served, max_size=3)),
    st.tuples(st.sampled_from(["feedback/a", "feedback/b"]), st.lists(judged, max_size=3)),
    st.tuples(st.sampled_from(["annotations/a", "annotations/b"]), st.lists(noted, max_size=3)),
)
changes = st.lists(
    st.one_of(objects, st.sampled_from(["compact", "compact and remove", "sync"])), max_size=8
)


@pytest.mark.soak
@settings(max_examples=rounds(8, 25), suppress_health_check=[HealthCheck.too_slow])
@given(changes)
def test_any_history_with_compactions_reads_as_one_without(
    changes: list[str | tuple[str, list[Event]]],
) -> None:
    few = {"entropy(outputs.output_text)", "character_error_rate(outputs.output_text)"}
    table = ProjectionTable(tuple(row for row in load_projections().rows if row.name in few))
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "log").mkdir()
        (folder / "plain").mkdir()
        log, plain = Log.open(str(folder / "log")), Log.open(str(folder / "plain"))
        grown = Warehouse.open(folder / "grown.duckdb", log.uri, table)
        try:
            for number, change in enumerate(changes):
                if isinstance(change, tuple):
                    key, events = change
                    write(log, f"{key}{number}.jsonl", *events)
                    write(plain, f"{key}{number}.jsonl", *events)
                elif change == "sync":
                    assert not sync(log, grown).failures
                else:
                    report = compact(log, date(2999, 1, 1), change == "compact and remove")
                    assert not report.failures
            sync(log, grown)
            seen = [answers(grown)]
            for place in (log, plain):
                warehouse = Warehouse.open(folder / f"{len(seen)}.duckdb", place.uri, table)
                sync(place, warehouse)
                seen.append(answers(warehouse))
                warehouse.close()
            assert seen[0] == seen[1] == seen[2]
        finally:
            grown.close()


def test_the_command(
    folder_log: Log, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder_log)
    folder_log.put(f"predictions/{DAY}/broken.jsonl", b"{broken")
    monkeypatch.setenv("MISREAD_LOG", folder_log.uri)
    assert main(["compact", "--before", "2026-07-06"]) == 0
    assert capsys.readouterr().out.startswith("0 objects merged into 0, with 0 events; 0 originals")
    assert main(["compact", "--before", "2026-07-20", "--remove-originals"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "11 objects merged into 2, with 13 events; 11 originals removed.\n"
    assert printed.err == "1 object left as they are: part of them is in quarantine.\n"
    assert main(["compact", "--before", "yesterday"]) == 2


def test_deep_tags_and_odd_texts_survive(log: Log, open_warehouse: OpenWarehouse) -> None:
    tags = {"": "empty", "tags.x": 1, "feedback.flag": "no", "n": 10**30, "f": 0.1, "d": {"a": [1]}}
    hostile = "'; drop table records; --\0\n\t“”\U0001f600"
    write(log, f"predictions/{DAY}/1.json", prediction(hostile, hostile, tags=tags))
    write(log, f"predictions/{DAY}/2.json", prediction("b", "", tags={}))
    before = fresh(log, open_warehouse)
    report = compact(log, TODAY, remove_originals=True)
    assert (report.merged, report.removed) == (2, 2)
    assert fresh(log, open_warehouse) == before
    warehouse = open_warehouse(log)
    sync(log, warehouse)
    [(kept,)] = warehouse.rows("select tags from records where record_key = ?", [hostile])
    assert json.loads(kept) == tags
    assert all_records(warehouse)
