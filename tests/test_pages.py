"""Every page in Streamlit's own test runner: full, empty, small, hostile, with a broken store."""

import gc
import html
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from streamlit.testing.v1 import AppTest

from data_access import queries
from data_access.api import OpenLog
from data_access.embedded import EmbeddedServer
from data_access.log import Log
from data_access.projections import load_projections
from data_access.selection import Selection, parse_selection
from data_access.settings import Settings
from pages.parts import state, store, words
from tests.samples import (
    RECORDS,
    ROOT,
    SAMPLE,
    SERVED,
    feedback,
    open_log,
    picture,
    prediction,
    write,
    write_picture,
)

PAGES = ("overview", "distributions", "explore", "cases", "case", "causes", "replay",
         "review", "roadmap", "data")  # fmt: skip
TABLE = load_projections()
ENTROPY = "entropy(outputs.output_text)"
OBSCENE = "detoxify.obscene(outputs.output_text)"
WORDS = "words(outputs.output_text)"
LOW = "entropy(outputs.output_text)=..1.6"
LOW_TEST = "environment%3Dtest%26entropy(outputs.output_text)%3D..3"  # a baseline in a link

Dashboard = Callable[..., AppTest]


@dataclass
class Displayed:
    """What the pages of these tests have open; sample: where all may read the sample log."""

    sample: Path
    settings: Settings | None = None

    def open(self, settings: Settings) -> None:
        """Have pages open this, unless they have."""
        if self.settings != settings:
            self.forget()
        self.settings = settings

    def forget(self) -> None:
        _forget_open_logs()
        self.settings = None


@pytest.fixture(scope="session")
def displayed(
    sample_warehouse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Displayed]:
    sample = tmp_path_factory.mktemp("shown") / "sample.duckdb"
    shutil.copy(sample_warehouse, sample)
    displayed = Displayed(sample)
    yield displayed
    displayed.forget()


@pytest.fixture
def dashboard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sample_warehouse: Path, displayed: Displayed
) -> Iterator[Dashboard]:
    """Runs a page of the dashboard over a log, read before unless `sync` says otherwise.

    The sample log stays open from test to test; fresh: not in this one, which changes something.
    """

    def run(
        page: str, log: str | Path, query: str = "", sync: bool = True, fresh: bool = False
    ) -> AppTest:
        warehouse = tmp_path / "pages.duckdb"
        if log == SAMPLE and not fresh:
            warehouse = displayed.sample
        elif log == SAMPLE:
            shutil.copy(sample_warehouse, warehouse)
        elif sync:
            opened = open_log(log, warehouse)
            opened.sync()
            opened.close()
        monkeypatch.setenv("MISREAD_LOG", str(log))
        monkeypatch.setenv("MISREAD_WAREHOUSE", str(warehouse))
        monkeypatch.setenv("MISREAD_SYNC_SECONDS", "0")
        displayed.open(Settings.from_environment())
        app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60)
        for pair in filter(None, query.split("&")):
            name, _, value = pair.partition("=")
            app.query_params[name] = unquote(value)
        return app.switch_page(f"pages/{page}.py").run()

    main = sys.modules["__main__"]  # a page run here takes its place
    yield run
    sys.modules["__main__"] = main
    if displayed.settings is None or displayed.settings.warehouse != displayed.sample:
        displayed.forget()


def _forget_open_logs() -> None:
    """Stop the sync that a page started, and let the next test open its own log."""
    try:
        log, sync_job, scoring_job, _ = store._open()
    except Exception:
        pass
    else:
        sync_job.stop()
        scoring_job.stop()
        log.close()
    store._open.clear()
    gc.collect()


def text(app: AppTest) -> str:
    """All that a page says."""
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.info, app.warning)
    said = [element.value for kind in kinds for element in kind]
    return "\n".join([*said, *(metric.value for metric in app.metric)])


def shown_html(app: AppTest) -> str:
    return "".join(element.proto.body for element in app.get("html"))


def stands(app: AppTest) -> None:
    assert not app.exception, [error.value for error in app.exception]


@pytest.fixture
def small_log(folder_log: Log) -> str:
    """One record, flagged."""
    image = write_picture(folder_log, picture())
    write(folder_log, "predictions/a.jsonl", prediction("one", inputs__image=image))
    write(folder_log, "feedback/a.jsonl", feedback("one"))
    return folder_log.uri


@pytest.mark.parametrize("page", PAGES)
def test_a_full_log(dashboard: Dashboard, page: str) -> None:
    app = dashboard(page, SAMPLE)
    stands(app)
    assert f"**{SERVED}** of {RECORDS} records" in text(app)
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_log(dashboard: Dashboard, folder_log: Log, page: str) -> None:
    app = dashboard(page, folder_log.uri)
    stands(app)
    assert "**0** of 0 records" in text(app)
    if page in ("overview", "distributions", "cases", "case", "causes"):
        assert "This log has no records yet" in text(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_log_of_one_record(dashboard: Dashboard, small_log: str, page: str) -> None:
    app = dashboard(page, small_log)
    stands(app)
    assert "**1** of 1 record" in text(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_selection_that_holds_nothing(dashboard: Dashboard, page: str) -> None:
    app = dashboard(page, SAMPLE, "text=no output says this")
    stands(app)
    assert f"**0** of {RECORDS} records" in text(app)
    if page in ("overview", "distributions", "explore", "cases", "causes"):
        assert app.info, "an empty page says why"
        app.button[-1].click()


@pytest.mark.parametrize("page", PAGES)
def test_no_log_at_all(
    page: str, monkeypatch: pytest.MonkeyPatch, dashboard: Dashboard, displayed: Displayed
) -> None:
    displayed.forget()
    monkeypatch.delenv("MISREAD_LOG", raising=False)
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60)
    app = app.switch_page(f"pages/{page}.py").run()
    stands(app)
    assert "MISREAD_LOG is not set" in app.error[0].value
    assert "make run" in text(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_store_that_is_down_leaves_what_was_read(
    dashboard: Dashboard, log_uri: str, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log.open(log_uri)
    image = write_picture(log, picture())
    events = [prediction(f"k{i}", inputs__image=image) for i in range(30)]
    write(log, "predictions/a.jsonl", *events)
    dashboard("data", log_uri)
    _forget_open_logs()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{_closed_port()}")
    started = time.monotonic()
    app = dashboard(page, log_uri, sync=False)
    job = store.syncing()
    while job.problem is None and time.monotonic() < started + 60:
        time.sleep(0.1)
    app.run()
    stands(app)
    assert "**30** of 30 records" in text(app)
    assert "does not answer" in text(app) and "what was read before" in text(app)


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def test_access_denied_is_one_sentence(
    dashboard: Dashboard, log_uri: str, s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    app = dashboard("overview", log_uri, sync=False)
    job = store.syncing()
    deadline = time.monotonic() + 60
    while job.problem is None and time.monotonic() < deadline:
        time.sleep(0.1)
    app.run()
    stands(app)
    assert "is denied" in text(app)


def test_the_url_is_the_selection(dashboard: Dashboard, sample_log: OpenLog) -> None:
    query = f"environment=prod&version=v1&{LOW}&images=once"
    app = dashboard("cases", SAMPLE, query)
    held = parse_selection(query, sample_log.warehouse.projections)
    served = queries.coverage(sample_log.warehouse, held).predictions
    assert f"**{served}** of {RECORDS} records" in text(app)
    chips = {button.label for button in app.button if str(button.key).startswith("chip.")}
    assert chips == {"prod", "version v1", r"word entropy \< 1\.6", "each image once"}


def test_the_first_page_shows_production_and_says_so_in_the_url(dashboard: Dashboard) -> None:
    app = dashboard("overview", SAMPLE)
    assert app.query_params["environment"] == "prod"
    assert app.query_params["baseline"] == "test"


CHOICES = {
    "review": "page.queue=measure",
    "roadmap": "page.mode=dark-on-light",
    "overview": "page.bucket=day&page.measure=counts&page.window=7",
    "distributions": "page.columns=all",
    "explore": f"page.axes={ENTROPY}&page.category=version",
    "cases": f"page.sort={ENTROPY}&page.order=up&page.view=table&page.number=2",
    "case": "page.record=a key",
    "causes": "page.against=rest",
    "replay": "page.of=selection",
    "data": "page.by=application",
}


@pytest.mark.parametrize("page", PAGES)
def test_a_pasted_address_of_a_page_is_its_selection(dashboard: Dashboard, page: str) -> None:
    selection = f"environment=prod&version=v1&{ENTROPY}=..4"
    app = dashboard(page, SAMPLE, f"{selection}&{CHOICES[page]}")
    stands(app)
    [address] = [row.value for row in app.code if "baseline=" in row.value.partition("\n")[0]]
    for choice in CHOICES[page].split("&"):
        assert quote(choice, safe="=.") in address, "a link has the choices of its page"
    pasted = f"http://127.0.0.1:8501/{page}?{address.partition('?')[2]}"
    assert parse_selection(pasted, TABLE) == parse_selection(selection, TABLE)


@pytest.mark.parametrize("name", ["selection", "shown", "environment", "version", "name", "saved"])
def test_a_choice_of_a_page_may_have_any_name(
    dashboard: Dashboard, name: str, tmp_path: Path
) -> None:
    """Neither a filter nor the session's own is touched by it, nor touches it."""
    app = dashboard("cases", SAMPLE, f"environment=prod&version=v1&page.{name}=b")
    before = {key: app.query_params[key] for key in app.query_params}
    script = (
        "import streamlit as st\n"
        "from pages.parts import choices, state\n"
        f"st.text(choices.choice({name!r}, 'Choice', ['a', 'b', 'c']))\n"
        "st.text(state.selection().version[0])\n"
    )
    page = AppTest.from_string(script)
    page.session_state[state.SESSION] = app.session_state[state.SESSION]
    page.query_params.update(before)
    page.run()
    stands(page)
    assert [element.value for element in page.text] == ["b", "v1"]
    page.segmented_control[0].set_value("c").run()
    assert [element.value for element in page.text] == ["c", "v1"]
    assert dict(page.query_params) == {**before, f"page.{name}": "c"}


def test_links_from_before_choices_were_marked_still_work(
    dashboard: Dashboard, sample_log: OpenLog
) -> None:
    key = str(sample_log.records(Selection(environment=("prod",)))["record_key"].iloc[-1])
    app = dashboard("case", SAMPLE, f"environment=prod&record={key}&sort={ENTROPY}&order=up")
    stands(app)
    assert "record" not in app.query_params
    assert [app.query_params[f"page.{name}"] for name in ("record", "sort", "order")] == [
        key, ENTROPY, "up",
    ]  # fmt: skip


def test_everything_can_be_linked_to(dashboard: Dashboard) -> None:
    app = dashboard("cases", SAMPLE, "images=each")
    assert f"**{RECORDS}** of {RECORDS} records" in text(app)


@pytest.mark.parametrize(
    "query",
    [
        "since=banana",
        "entropy(outputs.output_text)=banana",
        "entropy(outputs.output_text)=9..1",
        "no_such(outputs.output_text)=1..2",
        "images=sometimes",
        "baseline=moon",
        "baseline=version:' or 1=1 --",
        "baseline=text=<b>x</b>",
        "environment=' or 1=1 --",
        "text=<script>alert(1)</script>",
        "page.sort=; drop table records",
        "page.number=-4",
        "page.number=999999",
        "page.order=sideways",
        "page.record=../../etc/passwd",
        "tag=banana",
        "tag=' or 1=1 --:<script>",
        "page.axes=' or 1=1 --",
        "page.axes=record_key",
        "page.category=tag.<script>alert(1)</script>",
    ],
)
@pytest.mark.parametrize("page", ["cases", "case", "explore"])
def test_a_hostile_link_never_breaks_a_page(dashboard: Dashboard, page: str, query: str) -> None:
    app = dashboard(page, SAMPLE, query)
    stands(app)
    left_out: tuple[str, ...] = ("since=", "entropy", "no_such", "images=", "tag=banana")
    left_out += ("baseline=moon", "baseline=version")
    assert bool(app.warning) == query.startswith(left_out)


def test_removing_a_chip_removes_the_filter(dashboard: Dashboard) -> None:
    app = dashboard("cases", SAMPLE, f"environment=prod&{LOW}")
    app.button(key="chip.entropy(outputs.output_text)").click().run()
    assert f"**{SERVED}** of {RECORDS} records" in text(app)
    assert "entropy(outputs.output_text)" not in app.query_params


def unfold(app: AppTest) -> AppTest:
    """Open the further filters; a run that follows closes them, as AppTest knows no expanders."""
    app.session_state["more-filters"] = True
    return app.run()


def test_widgets_make_the_selection(dashboard: Dashboard) -> None:
    app = dashboard("cases", SAMPLE)
    app.multiselect(key="widget.environment").set_value(["test"]).run()
    assert f"**{RECORDS - SERVED}** of {RECORDS} records" in text(app)
    assert app.query_params["environment"] == "test"
    unfold(app).text_input(key="widget.text").set_value("the").run()
    assert app.query_params["text"] == "the"
    unfold(app).toggle(key="widget.images").set_value(True).run()
    assert app.query_params["images"] == "once"
    stands(app)


def test_more_widgets_make_the_selection(dashboard: Dashboard) -> None:
    app = unfold(dashboard("cases", SAMPLE, "environment=prod"))
    app.multiselect(key="widget.hour").set_value([14, 9]).run()
    assert app.query_params["hour"] == ["9", "14"]
    unfold(app).selectbox(key="widget.add.tag_range").select("latency_ms").run()
    unfold(app).number_input(key="widget.low.latency_ms").set_value(200.0).run()
    assert app.query_params["tag_range"] == "latency_ms:200.0.."
    unfold(app).text_input(key="widget.word").set_value("two words").run()
    assert "is not a single word" in app.warning[0].value
    unfold(app).text_input(key="widget.word").set_value("the,").run()
    assert app.query_params["word"] == "the" and not app.warning
    stands(app)
    said = {app.button(key=f"chip.{name}").label for name in ("hour", "word", "tag_range")}
    assert said == {
        r"hour 09 or 14 \(UTC\)", "output has the word “the”", r"latency\_ms ≥ 200",
    }  # fmt: skip


def test_hostile_filters_are_told_and_the_others_kept(dashboard: Dashboard) -> None:
    hostile = "<script>alert(1)</script> ' or 1=1 --"
    names = ("hour", "weekday", "image_state", "word", "tag_range")
    query = "&".join(f"{name}={hostile}" for name in names)
    app = dashboard("cases", SAMPLE, f"environment=prod&{query}")
    stands(app)
    assert len(app.warning) == len(names)
    assert f"**{SERVED}** of {RECORDS} records" in text(app)
    held = f"word=<b>&without_flag={hostile}&tag_range={hostile}:1..2&application={hostile}"
    app = dashboard("cases", SAMPLE, held, sync=False)
    stands(app)
    assert "**0** of" in text(app) and not app.warning


def test_a_preset_is_switched_on_and_off(dashboard: Dashboard) -> None:
    app = dashboard("cases", SAMPLE)
    app.button(key="preset.dark on light").click().run()
    assert app.query_params["polarity(inputs.image)"] == "0.0.."
    app.button(key="preset.low entropy").click().run()
    assert {
        button.label: button.proto.type
        for button in app.button
        if button.label in ("dark on light", "low entropy", "obscene")
    } == {"dark on light": "primary", "low entropy": "primary", "obscene": "secondary"}
    app.button(key="preset.dark on light").click().run()
    assert "polarity(inputs.image)" not in app.query_params


@pytest.mark.parametrize(
    ("page", "name", "label"),
    [
        ("distributions", "window-before", "the 28 days before 3 Aug 2026"),
        ("distributions", "unflagged", "what nobody flagged"),
        ("distributions", "version:v1", "version v1"),
        *[(page, LOW_TEST, "test · word entropy < 3") for page in ("distributions", "case")],
        ("overview", LOW_TEST, "test · word entropy < 3"),
    ],
)
def test_every_page_follows_the_baseline(
    dashboard: Dashboard, page: str, name: str, label: str
) -> None:
    app = dashboard(page, SAMPLE, f"environment=prod&baseline={name}")
    stands(app)
    assert app.query_params["baseline"] == unquote(name)
    held = app.selectbox(key="widget.baseline")
    assert held.value == unquote(name)
    assert not app.warning
    chip = app.button(key="chip.baseline")
    assert chip.label == f"compared with {words.escape_markdown(label)}"
    if page == "distributions":
        compared = {
            "unflagged": "What was flagged",
            "version:v1": "The selection without version v1",
            "window-before": "The last 28 days of the selection",
        }
        ours = compared.get(name, "Production")
        assert app.title[0].value == f"{ours} vs. {words.escape_markdown(label)}"
    if page == "case":
        assert f"Against {words.escape_markdown(label)}" in text(app)
    chip.click().run()
    assert app.query_params["baseline"] == "test", "the usual baseline again"


def histograms(app: AppTest) -> list[str]:
    """The names above the histograms, in their order."""
    return [m.value for m in app.markdown if re.fullmatch(r"\*\*[^*\d]+\*\*", m.value)]


def test_a_brush_keeps_the_order_of_the_histograms(dashboard: Dashboard) -> None:
    app = dashboard("distributions", SAMPLE)
    before = histograms(app)
    assert before[:3] == ["**word entropy**", "**obscene**", "**image mean**"]
    assert [header.value for header in app.header][:4] == ["Text", "Image", "Toxicity", "Truth"]
    folded = [fold.label for fold in app.expander if "without a clear difference" in fold.label]
    assert folded and "**image width**" not in text(app)
    app = dashboard("distributions", SAMPLE, f"environment=prod&{LOW}")
    stands(app)
    assert r"filtered\: \< 1\.6" in text(app)
    assert histograms(app) == before
    after = [fold.label for fold in app.expander if "without a clear difference" in fold.label]
    assert [label.replace(" before filtering", "") for label in after] == folded


def test_the_answer_leaves_out_what_only_corrected_records_have(dashboard: Dashboard) -> None:
    app = dashboard("distributions", SAMPLE)
    [answer] = [m.value for m in app.markdown if "projections differ" in m.value]
    assert answer.startswith("**17 of 20** projections differ: sharpness clearly lower")
    assert "character error rate" not in answer
    assert "only corrected records have a truth" in text(app)


def test_what_is_on_both_sides_is_said(dashboard: Dashboard) -> None:
    app = dashboard("distributions", SAMPLE, "environment=prod&baseline=prod")
    stands(app)
    assert f"\n{SERVED} records are on both sides" in text(app)
    app = dashboard("distributions", SAMPLE, f"environment=prod&baseline=prod&{LOW}")
    assert f"Up to {SERVED} records are on both sides" in text(app), "the notice holds still"


def test_the_drift_table_in_main_and_in_full(dashboard: Dashboard) -> None:
    app = dashboard("distributions", SAMPLE)
    short = next(table for table in app.dataframe if "psi" in table.value)
    app = dashboard("distributions", SAMPLE, "page.columns=all")
    stands(app)
    full = next(table for table in app.dataframe if "psi" in table.value)
    assert set(short.proto.column_order) < set(full.proto.column_order)
    assert {"psi", "mean_change_interval", "jensen_shannon"} <= set(full.proto.column_order)
    shown = next(table.value for table in app.dataframe if "cramers_v" in table.value)
    assert list(shown["category"]) == ["client", "client_version", "locale", "flag", "version"]


def test_a_selection_is_saved_opened_compared_with_and_removed(
    dashboard: Dashboard, folder_log: Log
) -> None:
    events = [prediction(f"k{i}", version="v1" if i < 40 else "v2") for i in range(70)]
    write(folder_log, "predictions/a.jsonl", *events)
    name = "<b>Old</b> **one** $x$"
    app = dashboard("distributions", folder_log.uri, "version=v1")
    wait_for_sync()
    save(app, name)
    stands(app)
    assert "Saved" in app.success[0].value
    assert app.text_input(key="widget.name").value == ""
    app.multiselect(key="widget.version").set_value(["v2"]).run()
    app.selectbox(key="widget.saved").select(name).run()
    app.button(key="saved.compare").click().run()
    stands(app)
    assert app.query_params["baseline"] == "version=v1"
    assert app.title[0].value == r"The selection vs. “\<b\>Old\</b\> \*\*one\*\* \$x\$”"
    app.button(key="saved.open").click().run()
    assert "**40** of 70 records" in text(app)
    assert "40 records are on both sides" in text(app)
    app.button(key="saved.remove").click().run()
    stands(app)
    assert "Deleted" in app.success[0].value
    assert app.title[0].value == "The selection vs. version v1", "the link stays what it was"
    with pytest.raises(KeyError):
        app.selectbox(key="widget.saved")
    assert len(folder_log.list("annotations/")) == 2


def save(app: AppTest, name: str) -> None:
    app.text_input(key="widget.name").set_value(name)
    next(button for button in app.button if button.label == "Save").click().run()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("", "needs a name"), (" ", "needs a name"), ("x" * 61, "61 characters"), ("LOW", "already")],
)
def test_a_name_that_will_not_do_is_told_where_it_was_typed(
    dashboard: Dashboard, small_log: str, name: str, sentence: str
) -> None:
    app = dashboard("cases", small_log)
    wait_for_sync()
    save(app, "Low")
    save(app, name)
    stands(app)
    assert not app.success
    assert sentence in app.warning[0].value
    assert app.text_input(key="widget.name").value == name, "it can be mended"
    assert len(Log.open(small_log).list("annotations/")) == 1
    if sentence != "already":
        return
    app.button(key="saved.replace").click().run()
    stands(app)
    assert (app.success[0].value, app.text_input(key="widget.name").value) == ("Replaced\\.", "")
    assert len(Log.open(small_log).list("annotations/")) == 2


def test_a_log_that_takes_nothing_says_so(dashboard: Dashboard, small_log: str) -> None:
    Path(small_log, "annotations").write_text("in the way")
    app = dashboard("cases", small_log)
    wait_for_sync()
    save(app, "Low")
    stands(app)
    assert "was not saved" in app.warning[0].value
    assert "cannot be written" in app.warning[0].value
    assert "**1** of 1 record" in text(app)


def test_a_saved_selection_that_is_not_understood_says_why(
    dashboard: Dashboard, small_log: str
) -> None:
    event = {
        "annotation_key": "k",
        "timestamp": "2026-07-06T12:00:00Z",
        "kind": "selection",
        "name": "<u>theirs</u>",
        "payload": {"query": "mine(outputs.output_text)=1..2"},
    }
    write(Log.open(small_log), "annotations/a.json", event)
    app = dashboard("cases", small_log)
    app.selectbox(key="widget.saved").select("<u>theirs</u>").run()
    stands(app)
    assert "cannot open it" in text(app) and "no such projection" in text(app)


def test_sorting_and_paging(dashboard: Dashboard, sample_log: OpenLog) -> None:
    name = "entropy(outputs.output_text)"
    app = dashboard(
        "cases", SAMPLE, f"environment=prod&page.sort={name}&page.order=up&page.number=3"
    )
    assert f"49 to 72 of {SERVED}" in text(app)
    page = queries.cases_page(
        sample_log.warehouse, Selection(environment=("prod",)), name, False, 2, 24
    )
    first = page.rows["outputs.output_text"].iloc[0].replace("\n", "<br>")
    assert first in shown_html(app)


def test_cases_are_sorted_by_what_was_filtered_unless_a_person_chose(
    dashboard: Dashboard, sample_log: OpenLog
) -> None:
    app = dashboard("cases", SAMPLE, f"environment=prod&page.sort={WORDS}&page.order=up")
    assert app.selectbox(key="widget.page.sort").value == WORDS, "as the link says"
    app.button(key="preset.low entropy").click().run()
    stands(app)
    assert app.selectbox(key="widget.page.sort").value == ENTROPY
    assert app.segmented_control(key="widget.page.order").value == "up"
    assert not {"page.sort", "page.order"} & {*app.query_params}
    assert "word entropy 0" in shown_html(app), "the lowest first, its value on the card"

    app.selectbox(key="widget.page.sort").select(WORDS).run()
    assert (app.query_params["page.sort"], app.query_params["page.order"]) == (WORDS, "down")
    app.button(key="preset.obscene").click().run()
    assert app.selectbox(key="widget.page.sort").value == WORDS, "a person chose it"
    app.selectbox(key="widget.page.sort").select(OBSCENE).run()
    assert app.segmented_control(key="widget.page.order").value == "down"
    assert "page.sort" not in app.query_params, "as usual again"


def test_the_table_of_cases_has_images_and_links(dashboard: Dashboard) -> None:
    app = dashboard("cases", SAMPLE, f"environment=prod&page.view=table&{ENTROPY}=..1.6")
    stands(app)
    table = app.dataframe[0].value
    assert table["picture"].str.startswith("data:image/png;base64,").all()
    assert table[ENTROPY].is_monotonic_increasing
    for key, link in zip(table["record_key"], table["link"], strict=True):
        assert link.startswith("case?environment=prod&") and link.endswith(f"page.record={key}")


def test_the_overview_says_what_it_is_and_whether_users_flag_more(dashboard: Dashboard) -> None:
    app = dashboard("overview", SAMPLE)
    said = text(app)
    assert "handwriting\\-reader · 750 predictions (prod 570, test 180) · 29 Jun – 30 Aug" in said
    assert "**No.** Users flagged **27.1%** of predictions (89 of 329) in the 28 days" in said
    assert "down from 46.1% in the 28 days before" in said
    [note] = [row.value for row in app.code if row.value.startswith("Are users flagging more?")]
    assert "\nNo. Users flagged 27.1% of predictions (89 of 329)" in note
    assert "\n- Flagged: 27.1%, 89 of 329; ▼ 19 points (95% CI 11–27)\n" in note
    assert "\n3 Aug – 30 Aug 2026 (UTC) · prod\n" in note and "since=2026-08-03" in note
    assert "v1 46% → v2 7%" in said
    assert "▼ 39 points (95% CI 32–44)" in said
    assert "▼ 19 points (95% CI 11–27)" in said
    assert "v1 from 6 Jul 2026, v2 from 17 Aug 2026" in said
    app.segmented_control(key="widget.page.window").set_value("7").run()
    assert "in the 7 days to 30 Aug 2026" in text(app)
    assert app.query_params["page.window"] == "7"


def test_one_new_record_beside_old_ones(dashboard: Dashboard, folder_log: Log) -> None:
    old = [prediction(f"k{i}", version="v1") for i in range(40)]
    new = prediction("new", version="v2", timestamp="2026-11-28T12:00:00Z")
    write(folder_log, "predictions/a.jsonl", *old, new)
    write(folder_log, "feedback/a.jsonl", feedback("new"), feedback("k1"))
    app = dashboard("overview", folder_log.uri)
    stands(app)
    assert "**Not enough data.** Users flagged 1 of 1 predictions in the 28 days" in text(app)
    assert "v2: not enough data (1 prediction)" in text(app)
    assert "points" not in text(app)
    next(
        button for button in app.button if button.label == "Show the 28 days to 6 Jul 2026"
    ).click()
    app.run()
    assert "Users flagged **2.5%** of predictions (1 of 40) in the 28 days to 6 Jul" in text(app)


@pytest.mark.parametrize("bucket", ["week", "day", "hour"])
@pytest.mark.parametrize("measure", ["counts", "rate"])
def test_the_trend_by_bucket_and_measure(dashboard: Dashboard, bucket: str, measure: str) -> None:
    stands(
        dashboard(
            "overview", SAMPLE, f"environment=prod&page.bucket={bucket}&page.measure={measure}"
        )
    )


def test_a_case_with_all_that_is_known(dashboard: Dashboard, sample_log: OpenLog) -> None:
    flagged = Selection(environment=("prod",), flag=("other",))
    row = queries.cases_page(sample_log.warehouse, flagged).rows.iloc[0]
    app = dashboard("case", SAMPLE, f"page.record={row['record_key']}")
    stands(app)
    said = text(app)
    assert app.title[0].value.startswith("Flagged")
    assert "than" in said and "of test" in said
    assert "Is it offensive" in said and "not scored yet" not in said.lower()
    shown = shown_html(app)
    assert html.escape(row["feedback.comment"]) in shown
    for toggle in app.toggle:
        toggle.set_value(True)
    stands(app.run())


@pytest.mark.parametrize("against", ["baseline", "rest"])
def test_what_separates_the_repetitive_cases(
    dashboard: Dashboard, sample_log: OpenLog, against: str
) -> None:
    query = "environment=prod&version=v1&repetition(outputs.output_text)=0.2.."
    app = dashboard("causes", SAMPLE, f"{query}&page.against={against}")
    stands(app)
    chosen = parse_selection(query, sample_log.warehouse.projections)
    baseline = Selection(environment=("test",)) if against == "baseline" else None
    first = queries.rank_causes(sample_log.warehouse, chosen, baseline).causes[0]
    said = text(app)
    assert f"**{first.selected.yes:,} of {first.selected.known:,} (" in said
    assert "have dark ink on light paper" in said and "Outputs and feedback" in said
    images = [row.alt for group in app.get("image") for row in group.proto.imgs]
    other = "test" if baseline else "other production records"
    assert images[:2] == ["6 images: These cases", f"6 images: {other}"]
    title = "What separates these cases?"
    [note] = [row.value.splitlines() for row in app.code if row.value.startswith(title)]
    assert note[0] == title and "**" not in note[1]
    assert note[1].startswith(f"{first.selected.yes:,} of {first.selected.known:,} (")
    assert " Aug 2026 (UTC) · " in note[-2] and f"page.against={against}" in note[-1]
    assert "since=2026-0" in note[-1] and "until=2026-0" in note[-1], "later the same records"
    assert app.dataframe[0].value["p"].between(0, 1).all()
    links = [link.proto.query_string for link in app.get("page_link")]
    assert any("against" not in link and "image" in link for link in links)


def test_nothing_separates_what_was_chosen_by_nothing(
    dashboard: Dashboard, folder_log: Log
) -> None:
    texts = ["even" if n % 2 else "odd" for n in range(60)]
    events = [
        prediction(f"k{n}", said, tags={"client": "web" if n % 4 < 2 else "app"})
        for n, said in enumerate(texts)
    ]
    write(folder_log, "predictions/a.jsonl", *events)
    app = dashboard("causes", folder_log.uri, "text=even&page.against=rest")
    stands(app)
    assert "No input separates them from other records" in text(app)


def test_a_selection_of_everything_has_no_rest(dashboard: Dashboard) -> None:
    app = dashboard("causes", SAMPLE, "environment=prod&page.against=rest")
    stands(app)
    assert "no others to compare with" in app.info[0].value


def test_a_case_that_is_not_there(dashboard: Dashboard) -> None:
    app = dashboard("case", SAMPLE, "page.record=nobody")
    assert app.title[0].value == "No such case"


def test_quarantine_is_shown_with_its_reasons(dashboard: Dashboard) -> None:
    app = dashboard("data", SAMPLE)
    shown = next(table.value for table in app.dataframe if "excerpt" in table.value)
    assert list(shown["line"]) == [13, 12]
    assert any("record_key" in reason for reason in shown["reason"])
    app.text_input(key="within").set_value("date=2026-08-05").run()
    shown = next(table.value for table in app.dataframe if "excerpt" in table.value)
    assert len(shown) == 1
    app.text_input(key="within").set_value("nowhere").run()
    assert "No quarantined line matches" in text(app)
    stands(app)


@pytest.mark.parametrize("split", ["environment", "application", "object"])
def test_the_log_by_day_and_source(dashboard: Dashboard, split: str) -> None:
    app = dashboard("data", SAMPLE, f"page.by={split}")
    stands(app)
    assert len(app.get("vega_lite_chart")) == 2, "records and feedback"
    objects = next(table.value for table in app.dataframe if "merged" in table.value)
    kinds = ("predictions", "feedback", "annotations", "projections")
    assert objects["objects"].sum() == sum(len(list(SAMPLE.glob(f"{kind}/*/*"))) for kind in kinds)


def test_a_sync_started_on_the_data_page(dashboard: Dashboard, small_log: str) -> None:
    app = dashboard("data", small_log)
    wait_for_sync()
    assert "found nothing new" in text(app.run())
    write(Log.open(small_log), "predictions/b.jsonl", prediction("two"), prediction("", "broken"))
    app.button(key="sync-now").click().run()
    wait_for_sync()
    app.run()
    stands(app)
    assert "read 1 object" in text(app) and "1 prediction" in text(app)
    assert "**2** of 2 records" in text(app)


def wait_for_sync() -> None:
    deadline = time.monotonic() + 60
    while store.syncing().busy and time.monotonic() < deadline:
        time.sleep(0.05)


def test_what_a_projection_of_ones_own_failed_with_is_kept(
    dashboard: Dashboard, small_log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "failing.py"
    source.write_text(
        "from data_access.projections import projection\n"
        "@projection('outputs.output_text', unit='', explanation='Fails.')\n"
        "def failing(texts):\n"
        "    raise ValueError('a *bold* excuse')\n"
    )
    monkeypatch.setenv("MISREAD_PROJECTIONS", str(source))
    for _ in range(2):  # the second dashboard's sync has nothing left to score
        app = dashboard("data", small_log, sync=False)
        wait_for_sync()
        app.run()
        stands(app)
        assert r"a \*bold\* excuse" in text(app) and "for 1 record" in text(app)
        scores = next(table.value for table in app.dataframe if "covers" in table.value)
        assert "1 failed" in list(scores["why"])
        _forget_open_logs()
        store._open.clear()


def test_hostile_texts_are_shown_as_what_they_are(dashboard: Dashboard, folder_log: Log) -> None:
    nasty = "<script>alert(1)</script><img src=x onerror=alert(1)> **bold** $x$ [a](javascript:1)"
    write(
        folder_log,
        "predictions/a.jsonl",
        prediction("<b>key</b>", nasty, version="<i>v</i>", environment="prod"),
    )
    write(
        folder_log,
        "feedback/a.jsonl",
        feedback("<b>key</b>", "<u>flag</u>", user="<s>me</s>", comment=nasty),
        feedback("<b>key</b>", None, ground_truth_string=nasty),
    )
    for page in PAGES:
        app = dashboard(page, folder_log.uri)
        stands(app)
        bodies = [element.proto.body for element in app.get("html")]
        assert not any("<script" in body or "<img" in body or "<u>" in body for body in bodies)
        texts = (*app.title, *app.header, *app.markdown)
        assert not any("<u>" in element.value for element in texts)


def test_unreadable_images_are_said_so(dashboard: Dashboard, folder_log: Log) -> None:
    broken = write_picture(folder_log, picture()[:60])
    write(
        folder_log,
        "predictions/a.jsonl",
        prediction("a", inputs__image=broken),
        prediction("b", inputs__image="images/00/missing.png"),
        prediction("c", inputs__image="../../secret.png"),
        prediction("d"),
        prediction("e", None),
    )
    app = dashboard("cases", folder_log.uri)
    stands(app)
    said = text(app) + shown_html(app)
    assert "not an image that can be read" in said
    assert "missing from the log" in said
    assert "leaves the log" in said
    assert "has no image" in said
    assert "3 with an unreadable one" in said


def test_new_records_are_shown_at_the_next_rerun(
    dashboard: Dashboard, small_log: str, tmp_path: Path
) -> None:
    app = dashboard("overview", small_log)
    write(Log.open(small_log), "predictions/b.jsonl", prediction("two"))
    job = store.syncing()
    while job.running:
        time.sleep(0.05)
    job.start()
    deadline = time.monotonic() + 30
    while "of 2 records" not in text(app.run()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "**2** of 2 records" in text(app)


def test_a_log_moved_elsewhere_shows_the_same(dashboard: Dashboard, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(SAMPLE, moved)
    app = dashboard("overview", moved)
    assert f"**{SERVED}** of {RECORDS} records" in text(app)


def test_the_start_tells_the_story_with_live_numbers(dashboard: Dashboard) -> None:
    app = dashboard("overview", SAMPLE)
    stands(app)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Flagged, by version"] == "v1 46% → v2 7%"
    assert shown["Repetitive or very short outputs"] == "186 of 570"
    assert re.fullmatch(r"\d+ by the model, \d+ by users", shown["Flagged offensive: who wrote it"])
    assert "12 flagged offensive" in text(app) and "word entropy below the 5th" in text(app)
    html = shown_html(app)
    assert html.count("<mark>") >= html.count("wrote it: ") == 3
    assert "Inverting fixes" in shown["What fixes them"]


def test_the_start_says_what_is_missing_and_what_to_do(
    dashboard: Dashboard, folder_log: Log
) -> None:
    write(folder_log, "predictions/1.json", prediction("a", "one two three"))
    app = dashboard("overview", folder_log.uri)
    stands(app)
    said = text(app)
    for sentence in (
        "Not enough data of any version for a rate.",
        "None of these predictions is flagged offensive.",
        "to compare with: choose another baseline",
        "no repetitive or very short outputs to explain",
    ):
        assert sentence in said
