"""Review and Roadmap in Streamlit's test runner, what the element sends, bulk labels, commands."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from data_access import queries, reports
from data_access.api import OpenLog
from data_access.cli import main
from data_access.ingest.sync import sync
from data_access.judging import NewReview, change_mode, create_mode, keep_draw, write_reviews
from data_access.log import Log
from data_access.records import Review
from data_access.selection import Selection
from data_access.writer import to_json
from pages.parts import reviewing, words
from tests.conftest import OpenWarehouse
from tests.samples import SAMPLE, open_log, prediction, write
from tests.test_pages import Dashboard, dashboard, displayed  # noqa: F401

PROD = Selection(environment=("prod",))
HOSTILE = "<script>alert(1)</script> | **b** [x](javascript:alert(1))"


@pytest.fixture(autouse=True)
def _nobody_is_signed_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AppTest signs somebody in; and each test has a spool of its own."""
    monkeypatch.setattr("pages.parts.state.signed_in", lambda: None)
    monkeypatch.setenv("MISREAD_SPOOL", str(tmp_path / "spool"))


def texts(app: AppTest) -> str:
    parts = [*app.markdown, *app.caption, *app.title, *app.header, *app.subheader, *app.info]
    return "\n".join(str(part.value) for part in parts)


def test_the_roadmap_of_the_sample(dashboard: Dashboard) -> None:  # noqa: F811
    app = dashboard("roadmap", SAMPLE)
    shown = texts(app)
    assert not app.exception
    assert "read wrongly" in shown and "fell by" in shown
    titles = [part.value for part in app.subheader]
    assert titles[0] == "Inverted\\: dark ink on light ground" and len(titles) == 5
    assert "resolved in v2" in shown and "suspected by its rule" in shown
    opened = texts(dashboard("roadmap", SAMPLE, "page.mode=dark-on-light"))
    assert "Handwriting photographed on paper" in opened and "resolved in" in opened
    assert "Largest failure modes" in texts(dashboard("overview", SAMPLE))


def test_failure_modes_are_made_and_changed_on_the_page(
    dashboard: Dashboard,  # noqa: F811
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    log.mkdir()
    write(Log.open(str(log)), "predictions/a.jsonl", prediction("one"))
    app = dashboard("roadmap", log)
    assert "No failure modes yet" in texts(app)
    app.text_input(key="widget.actor").input("Ada").run()
    app.text_input(key="widget.mode.title").input(HOSTILE)
    app.text_area(key="widget.mode.definition").input(HOSTILE)
    next(button for button in app.button if button.label == "Create").click().run()
    assert not app.exception and "\\<script\\>" in texts(app)
    [mode] = queries.failure_modes(_opened().warehouse)
    filtered = dashboard("cases", log, f"mode={mode.id}", sync=False)
    chip = filtered.button(key="chip.mode")
    assert chip.label == words.escape_markdown(f"failure mode {HOSTILE}")
    app = dashboard("roadmap", log, f"page.mode={mode.id}", sync=False)
    app.text_input(key="widget.actor").input("Ada").run()
    app.text_input(key="widget.edit.owner").input("Bob")
    app.selectbox(key="widget.edit.state").select("retired")
    next(button for button in app.button if button.label == "Save").click().run()
    assert not app.exception and "Saved" in app.success[0].value
    [changed] = queries.failure_modes(_opened().warehouse, retired=True)
    assert (changed.owner, changed.state, changed.created_by) == ("Bob", "retired", "Ada")
    app.text_input(key="widget.edit.issue").input("javascript:alert(1)")
    next(button for button in app.button if button.label == "Save").click().run()
    assert "issue cannot be kept" in app.warning[0].value


def _opened() -> OpenLog:
    from pages.parts import store

    return store.opened()


def test_the_review_page_shows_each_queue(dashboard: Dashboard) -> None:  # noqa: F811
    app = dashboard("review", SAMPLE)
    assert not app.exception
    assert "Flagged records come first" in texts(app) and "Type your name" in texts(app)
    app = dashboard("review", SAMPLE, "page.queue=measure")
    assert not app.exception and "read wrongly" in texts(app)
    app = dashboard("review", SAMPLE, "page.queue=disputes")
    assert not app.exception and "reviewed by at least two" in texts(app)
    nothing = dashboard("review", SAMPLE, "environment=none")
    assert "No predictions match" in texts(nothing)


def test_a_draw_is_made_on_the_page(dashboard: Dashboard, tmp_path: Path) -> None:  # noqa: F811
    log = tmp_path / "log"
    log.mkdir()
    events = [prediction(f"r{n}") for n in range(40)]
    write(Log.open(str(log)), "predictions/a.jsonl", *events)
    app = dashboard("review", log, "page.queue=measure")
    assert "No random draw" in texts(app)
    app.number_input(key="widget.draw.size").set_value(20)
    app.run()
    next(button for button in app.button if button.label == "Draw").click().run()
    assert not app.exception
    assert "**20** of 40 records drawn" in texts(app)


def test_cases_are_labelled_by_their_keys_and_undone(
    dashboard: Dashboard,  # noqa: F811
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    log.mkdir()
    opened = Log.open(str(log))
    write(opened, "predictions/a.jsonl", *(prediction(f"r{n}") for n in range(30)))
    app = dashboard("cases", log)
    warehouse = _opened().warehouse
    create_mode(opened, warehouse, "Dark", "Ada")
    app.toggle(key="widget.label").set_value(True).run()
    app.text_input(key="widget.actor").input("Ada").run()
    app.checkbox(key="widget.tick.r3").check().run()
    app.checkbox(key="widget.tick.r20").check().run()
    write(opened, "predictions/b.jsonl", prediction("r300", timestamp="2026-09-01T00:00:00Z"))
    sync(opened, warehouse)  # every place on the page is another record's now
    next(button for button in app.button if button.label == "Label 2 ticked cases").click().run()
    assert not app.exception
    labelled = "select record_key from verdicts where modes = ['dark'] order by 1"
    assert warehouse.rows(labelled) == [("r20",), ("r3",)]
    next(button for button in app.button if button.label.startswith("Undo")).click().run()
    assert warehouse.rows(labelled) == []
    app.button(key="label-all").click().run()
    assert len(warehouse.rows(labelled)) == 31
    assert len(opened.list("annotations/")) == 4, "a mode, two batches, an undo"


def action(number: int, record: str, verdict: Any = "wrong", **more: Any) -> dict[str, Any]:
    fields = {"id": f"{uuid.UUID(int=7)}-{number}", "record": record, "verdict": verdict}
    return fields | {"modes": [], "correction": None, "scope": "x"} | more


@pytest.fixture
def opened_log(folder_log: Log, tmp_path: Path) -> OpenLog:
    write(folder_log, "predictions/a.jsonl", *(prediction(f"r{n}") for n in range(60)))
    log = open_log(folder_log.uri, tmp_path / "opened.duckdb")
    log.sync()
    return log


def test_a_list_that_is_sent_again_adds_nothing(opened_log: OpenLog) -> None:
    def take(session: dict[str, Any], actions: Any, actor: str = "Ada") -> str:
        return reviewing._take(opened_log, session, actions, "find", "x", actor, lambda key: None)

    session: dict[str, Any] = {"keys": [], "done": set(), "written": []}
    actions = [action(n, f"r{n}", modes=["dark"]) for n in range(5)]
    assert take(session, actions) == ""
    assert take(session, actions) == ""
    assert len(opened_log.log.list("annotations/")) == 1
    grown = [
        *actions,
        action(5, "r5", "right"),
        {"id": action(6, "")["id"], "undo": actions[0]["id"], "scope": "x"},
    ]
    take(session, grown)
    take({"keys": [], "done": set(), "written": []}, grown)  # the server was started anew
    rows = opened_log.warehouse.rows("select review_key, record_key from reviews order by 2")
    assert rows == [(one["id"], one["record"]) for one in grown[1:6]]
    assert session["done"] == {"r1", "r2", "r3", "r4", "r5"}
    hostile = [
        None, 5, {"id": "x"}, action(9, "r9", "maybe"), action(10, "r9", modes="m"),
        action(11, "r9", "right", modes=["m"]),
        action(14, "r9", scope="another"), action(12, "r9", correction=5),
        {"id": action(13, "")["id"], "undo": "<b>", "scope": "x"},
    ]  # fmt: skip
    before = len(opened_log.warehouse.rows("from reviews"))
    assert take(session, hostile) == "" and take(session, "text") == ""
    assert take(session, [action(20, "r20")], actor="") == "", "nobody said who they are"
    assert len(opened_log.warehouse.rows("from reviews")) == before


def test_a_log_that_refuses_reviews_says_so_and_keeps_none(opened_log: OpenLog) -> None:
    Path(opened_log.log.uri, "annotations").write_text("in the way")
    session: dict[str, Any] = {"keys": [], "done": set(), "written": []}
    said = reviewing._take(
        opened_log, session, [action(1, "r1")], "find", "x", "Ada", lambda key: None
    )
    assert said.startswith("Not written: ") and session["written"] == []


def test_what_became_of_a_mode_with_a_release(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    """A mode of half of v1 and none of v2; another of a tenth of both."""
    log, warehouse = folder_log, open_warehouse(folder_log)
    start = datetime(2026, 7, 1, tzinfo=UTC)
    events = [
        prediction(
            f"r{n:03}",
            timestamp=(start + timedelta(hours=2 * n)).isoformat(),
            version="v1" if n < 200 else "v2",
        )
        for n in range(400)
    ]
    write(log, "predictions/a.jsonl", *events)
    sync(log, warehouse)
    half, _ = create_mode(log, warehouse, "Half", "Ada", severity="low", rule="version=v1")
    tenth, _ = create_mode(log, warehouse, "Tenth", "Ada", severity="critical", owner="Ada")
    rare, _ = create_mode(log, warehouse, HOSTILE, "Ada")
    assert [row.size.total for row in queries.roadmap_of(warehouse, PROD).rows] == [0, 0, 0]
    draw = queries.make_draw(warehouse, PROD, 240, seed=2)
    name, _ = keep_draw(log, warehouse, draw, "Ada")

    def modes_of(number: int) -> list[str]:
        named = [half] if number < 200 and number % 2 else []
        return named + ([tenth] if number % 10 == 0 else [])

    reviews = [
        NewReview(
            f"k{one.record_key}",
            one.record_key,
            Review(
                verdict="wrong" if modes_of(int(one.record_key[1:])) else "right",
                modes=modes_of(int(one.record_key[1:])),
                queue="measure",
                draw=name,
            ),
        )
        for one in draw.records
    ]
    write_reviews(log, warehouse, reviews, "Ada")
    found = queries.roadmap_of(warehouse, PROD)
    rows = {row.mode.id: row for row in found.rows}
    assert [row.mode.id for row in found.rows] == [tenth, half, rare], "by size × severity"
    assert rows[half].size.low <= 0.25 <= rows[half].size.high
    effect = rows[half].effect
    assert effect is not None and (effect.version, effect.outcome) == ("v2", "fell")
    assert effect.low <= -0.5 <= effect.high < 0
    other = rows[tenth].effect
    assert other is not None and other.outcome == "no clear change"
    quality = rows[half].quality
    assert quality is not None and quality.recall.share == 1.0
    assert rows[half].suspected == 200 - sum(int(one.record_key[1:]) < 200 for one in draw.records)
    [mode] = [mode for mode in queries.failure_modes(warehouse) if mode.id == tenth]
    change_mode(log, warehouse, mode, "Bob", state="resolved", resolved_in="v2")
    again = {row.mode.id: row for row in queries.roadmap_of(warehouse, PROD).rows}
    assert again[tenth].status == "back again"
    note = reports.roadmap_markdown(queries.roadmap_of(warehouse, PROD))
    assert note.count("\n| ") == 4 and "<script>" not in note and "fell by" in note
    for count in (0, 50):
        link = reports.issue_link(
            "https://github.com/o/r", again[half], ["https://x/" + "a" * 300] * count, "https://x"
        )
        assert len(link) < 8_000 and link.startswith("https://github.com/o/r/issues/new?title=Half")


def test_commands_and_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    sample_log: OpenLog,
) -> None:  # fmt: skip
    monkeypatch.setenv(
        "MISREAD_WAREHOUSE", str(sample_log.settings.warehouse.with_name("c.duckdb"))
    )
    sample_log.warehouse.rows("checkpoint")
    Path(sample_log.settings.warehouse.with_name("c.duckdb")).write_bytes(
        Path(sample_log.settings.warehouse).read_bytes()
    )
    place = ["--log", str(SAMPLE)]
    assert main(["roadmap", *place]) == 0
    assert "Inverted: dark ink on light ground" in capsys.readouterr().out
    assert main(["roadmap", *place, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["failure_modes"][0]["id"] == "dark-on-light"
    assert main(["roadmap", *place, "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Failure modes\n")
    file = tmp_path / "reviews.csv"
    assert main(["reviews", "export", *place, "environment=prod", str(file)]) == 0
    exported = pd.read_csv(file)
    frame = sample_log.reviews(PROD)
    assert len(exported) == len(frame) > 400
    assert set(frame["actor"]) == {"Ada (simulated)", "Ben (simulated)"}
    assert next(iter(sample_log.roadmap()["id"])) == "dark-on-light"


def test_the_reviews_of_the_sample_are_what_its_maker_makes() -> None:
    from sample import make_reviews

    events = list(make_reviews.annotations(make_reviews.served(SAMPLE), make_reviews.SEED))
    lines = [
        line
        for path in sorted((SAMPLE / "annotations").rglob("*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    assert sorted(map(to_json, events)) == sorted(lines), "run `make sample`"
