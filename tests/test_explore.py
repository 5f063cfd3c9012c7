"""The Explore page: brushes by hand and by keyboard, in the address, and what they list."""

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from data_access import queries
from data_access.api import OpenLog
from data_access.log import Log
from data_access.selection import Selection, parse_selection
from pages.parts import brushes, state
from tests.samples import RECORDS, SAMPLE, SERVED, feedback, prediction, write
from tests.test_pages import Dashboard, dashboard, displayed, stands, text

ENTROPY, MEAN = "entropy(outputs.output_text)", "greyscale_image_mean(inputs.image)"
ERRORS = "character_error_rate(outputs.output_text)"
PROD = "environment=prod"

__all__ = ["dashboard", "displayed"]  # the fixture


def brush(app: AppTest, **parameters: Any) -> AppTest:
    """What the browser reports after a drag or a click in the chart; AppTest knows no charts."""
    states = app._tree.get_widget_states()
    chart = states.widgets.add()
    chart.id = app.get("vega_lite_chart")[0].proto.id
    chart.string_value = json.dumps({"selection": parameters})
    return app._run(states)


def chart_key(app: AppTest) -> str:
    return str(app.session_state[state.SESSION].kept[brushes.LINKED].key)


def listed(app: AppTest) -> int:
    """How many cases the page says are in the bars."""
    return int(app.header[1].value.split()[0].replace(",", ""))


def served(log: OpenLog, query: str) -> int:
    selection = parse_selection(query, log.warehouse.projections)
    return queries.coverage(log.warehouse, selection).predictions


def test_a_drag_lists_the_records_of_its_bars(dashboard: Dashboard, sample_log: OpenLog) -> None:
    app = dashboard("explore", SAMPLE)
    assert listed(app) == SERVED
    brush(app, brush_0={"place": [15.8, 2.2]})
    stands(app)
    edges = queries.extents(sample_log.warehouse)[ENTROPY].edges
    assert app.query_params[ENTROPY] == f"{edges[2]}..{edges[16]}"
    expected = served(sample_log, f"{PROD}&{ENTROPY}={edges[2]}..{edges[16]}")
    assert 0 < listed(app) == expected < SERVED
    assert f"**{expected}** of {RECORDS} records" in text(app)

    brush(app, brush_1={"place": [15, 99]})
    edges = queries.extents(sample_log.warehouse)[MEAN].edges
    assert app.query_params[MEAN] == f"{edges[15]}.."
    both = listed(app)
    assert 0 < both < expected
    brush(app, brush_0={})
    assert ENTROPY not in app.query_params
    assert both < listed(app) == served(sample_log, f"{PROD}&{MEAN}={edges[15]}..")


def test_the_bar_of_records_without_a_value(dashboard: Dashboard, sample_log: OpenLog) -> None:
    app = dashboard("explore", SAMPLE, f"{PROD}&page.axes={ERRORS}")
    bars = queries.extents(sample_log.warehouse)[ERRORS].bars
    brush(app, brush_0={"place": [bars + 0.5, bars + 1.5]})
    assert app.query_params[ERRORS] == "none"
    assert listed(app) == served(sample_log, f"{PROD}&{ERRORS}=none") > 0
    app.checkbox(key=f"widget.missing.{ERRORS}").set_value(False).run()
    assert ERRORS not in app.query_params
    assert listed(app) == SERVED


def test_clicks_choose_values_of_a_category(dashboard: Dashboard, sample_log: OpenLog) -> None:
    app = dashboard("explore", SAMPLE)
    flag = queries.cube_categories(sample_log.warehouse, Selection())[0]
    other, offensive = flag.values.index("other"), flag.values.index("offensive")
    brush(app, picked=[{"value": other}])
    assert app.query_params["flag"] == "other"
    brush(app, picked=[{"value": other}, {"value": offensive}])
    assert listed(app) == served(sample_log, f"{PROD}&flag=other&flag=offensive")
    app.button_group(key="widget.values.flag").set_value(["offensive"]).run()
    assert app.query_params["flag"] == "offensive"
    stands(app)


@pytest.mark.parametrize("query", ["version=v2", "tag=client:web", "tag=locale:-"])
def test_versions_and_tags_are_bars_too(
    dashboard: Dashboard, sample_log: OpenLog, query: str
) -> None:
    name = query.partition(":")[0].replace("=", ".") if query.startswith("tag") else "version"
    app = dashboard("explore", SAMPLE, f"{PROD}&page.category={name}&{query}")
    stands(app)
    expected = served(sample_log, f"{PROD}&{query}")
    assert f"**{expected}** of {RECORDS} records" in text(app)
    if expected:
        assert listed(app) == expected
    app.button(key="clear").click().run()
    assert listed(app) == SERVED
    assert app.query_params["page.category"] == name


def test_sliders_brush_for_the_keyboard(dashboard: Dashboard, sample_log: OpenLog) -> None:
    app = dashboard("explore", SAMPLE)
    slider = app.select_slider(key=f"widget.slider.{ENTROPY}")
    edges = queries.extents(sample_log.warehouse)[ENTROPY].edges
    slider.set_range(edges[0], edges[6]).run()
    assert app.query_params[ENTROPY] == f"..{edges[6]}"
    assert listed(app) == served(sample_log, f"{PROD}&{ENTROPY}=..{edges[6]}")
    slider = app.select_slider(key=f"widget.slider.{ENTROPY}")
    slider.set_range(edges[0], edges[-1]).run()
    assert ENTROPY not in app.query_params
    stands(app)


def test_a_link_shows_the_same_brushes(dashboard: Dashboard, sample_log: OpenLog) -> None:
    query = f"{PROD}&flag=incorrect&{ENTROPY}=..2.6&page.axes={ENTROPY}"
    app = dashboard("explore", SAMPLE, query)
    assert listed(app) == served(sample_log, query.rpartition("&")[0])
    assert app.query_params["page.axes"] == ENTROPY
    assert len(app.select_slider) == 1, "that of the sidebar is folded"


def test_a_chart_is_kept_while_it_is_brushed_and_begun_anew_otherwise(dashboard: Dashboard) -> None:
    app = dashboard("explore", SAMPLE)
    before = chart_key(app)
    assert chart_key(brush(app, brush_0={"place": [0, 5]})) == before
    assert chart_key(brush(app, brush_0={"place": [0, 5]}, brush_1={"place": [3, 9]})) == before
    app.button(key=f"chip.{ENTROPY}").click().run()
    assert chart_key(app) != before


def test_bars_that_nothing_lies_in(dashboard: Dashboard) -> None:
    app = dashboard("explore", SAMPLE, f"{PROD}&{ENTROPY}=..1.6&{MEAN}=130.0..140.0")
    stands(app)
    assert listed(app) == 0
    assert "No record is in all of these bars" in app.info[0].value
    app.button(key="clear").click().run()
    assert listed(app) == SERVED


def test_hostile_names_of_tags_and_versions(dashboard: Dashboard, folder_log: Log) -> None:
    nasty = "</text><script>alert('1')</script> \"]||true//\\"
    events = [
        prediction(f"k{k}", version=nasty, **{f"tags__{nasty}": f"{nasty}{k % 2}"})
        for k in range(60)
    ]
    write(folder_log, "predictions/a.jsonl", *events)
    write(folder_log, "feedback/a.jsonl", feedback("k1", nasty))
    for category in ("flag", "version", f"tag.{nasty}"):
        app = dashboard("explore", folder_log.uri, f"page.category={category}")
        stands(app)
        assert app.query_params.get("page.category", "flag") == category
        assert not any("<script" in element.value for element in app.markdown)
        brush(app, picked=[{"value": 0}])
        stands(app)
        assert listed(app) == {"flag": 1, "version": 60}.get(category, 30)
