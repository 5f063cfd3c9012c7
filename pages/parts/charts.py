"""Charts: from the answers of `data_access.queries` to Altair. Pure: no data is asked for here."""

import functools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from data_access.queries import (
    LENGTHS,
    NO_PREDICTION,
    OTHERS,
    CauseBars,
    HistogramPair,
    Place,
)
from data_access.selection import Range
from data_access.statistics.bins import Bins
from pages.parts.palette import BASELINE, MORE_SOURCES, PRODUCTION

Spec = dict[str, Any]
Chart = alt.Chart | alt.LayerChart | alt.FacetChart

# where events come from; production and the test set look as they do elsewhere
SOURCES = {"prod": PRODUCTION, "test": BASELINE, OTHERS: "#a6a9b0", NO_PREDICTION: "#b58b5c"}
BARS = alt.NamedData(name="bars")  # stands in for the data of a specification
TIGHT = {"left": 0, "top": 4, "right": 4, "bottom": 5}


def source_colours(sources: Sequence[str]) -> dict[str, str]:
    """A colour for each of a few sources, the most frequent first."""
    free = iter(MORE_SOURCES if SOURCES.keys() & set(sources) else (PRODUCTION, *MORE_SOURCES))
    return {source: SOURCES.get(source) or next(free) for source in sources}


def held_by_day(
    days: pd.DataFrame, colours: dict[str, str], noun: str, span: tuple[datetime, datetime]
) -> Chart:
    """What was logged each day of a span, stacked by source; columns day, source and events."""
    start = pd.to_datetime(days["day"])
    data = days.assign(
        day=start.dt.tz_localize("UTC"),
        end=(start + LENGTHS["day"] * 0.92).dt.tz_localize("UTC"),
        rank=days["source"].map({source: rank for rank, source in enumerate(colours)}),
    ).sort_values(["day", "rank"])
    data["top"] = data.groupby("day")["events"].cumsum()
    data["bottom"] = data["top"] - data["events"]
    first, after = (
        pd.Timestamp(day.date(), tz="UTC") for day in (span[0], span[1] + timedelta(days=1))
    )
    long = after - first > timedelta(days=300)
    axis = alt.Axis(
        format="%b %Y" if long else "%d %b",
        labelOverlap=True,
        tickCount={"interval": "month", "step": 1} if long else {"interval": "week", "step": 1},
    )
    scale = alt.Scale(type="utc", nice=False)
    # what makes the axis as long as the span: a domain of its own has two forms in x and x2
    ground = (
        alt.Chart(pd.DataFrame({"first": [first], "after": [after]}))
        .mark_rect(opacity=0)
        .encode(alt.X("first:T", scale=scale, title=None, axis=axis), alt.X2("after:T"))
    )
    bars = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            alt.X("day:T", scale=scale, title=None, axis=axis),
            alt.X2("end:T"),
            alt.Y(
                "bottom:Q",
                title=f"{noun} a day",
                axis=alt.Axis(tickCount=4, tickMinStep=1, format="~s", minExtent=32),
            ),
            alt.Y2("top:Q"),
            alt.Color(
                "source:N",
                scale=alt.Scale(domain=list(colours), range=list(colours.values())),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("day:T", title="day (UTC)", format="%d %b %Y"),
                alt.Tooltip("source:N", title="source"),
                alt.Tooltip("events:Q", title=noun, format=","),
            ],
        )
    )
    height = 170 if noun == "records" else 110
    return alt.layer(ground, bars).properties(height=height, padding=TIGHT)


def drag(touch: bool) -> str:
    """What draws and moves an interval; without touch, a swipe over a chart scrolls the page."""
    guard = "" if touch else "[event.pointerType !== 'touch']"
    return f"[pointerdown{guard}, window:pointerup] > window:pointermove!"


def histogram_pair(
    pair: HistogramPair, baseline_label: str, bounds: Range | None, touch: bool = False
) -> Spec:
    """The selection's histogram over its baseline's, each as a share of its own records.

    Bars inside the range that is in force are full, the others pale. A drag over the chart is
    the selection parameter `brush`; with a finger only where touch is on.
    """
    bars = _bars(pair.bins, pair.counts, pair.baseline_counts)
    for number, bar in enumerate(bars):
        bar["inside"] = bounds is None or _within(pair.bins, bounds, number)
    row = pair.projection
    return _with_data(
        _histogram_pair_spec(row.label, row.unit, pair.bins, baseline_label, touch), bars
    )


# Building these takes Altair 20 ms a chart, and only their data changes from rerun to rerun.
@functools.lru_cache(maxsize=256)
def _histogram_pair_spec(
    label: str, unit: str, bins: Bins, baseline_label: str, touch: bool
) -> Spec:
    x, x2 = _bin_axis(bins, unit)
    tooltip = [
        alt.Tooltip("bar:N", title=label),
        alt.Tooltip("count:Q", title="selected records", format=","),
        alt.Tooltip("share:Q", title="of the selected", format=".1%"),
        alt.Tooltip("baseline:Q", title=f"{baseline_label} records", format=","),
        alt.Tooltip("baseline_share:Q", title=f"of {baseline_label}", format=".1%"),
    ]
    brush = alt.selection_interval(
        name="brush", encodings=["x"], on=drag(touch), translate=drag(touch)
    )
    base = alt.Chart()
    percent = alt.Axis(format="%", tickCount=3)
    ground = base.mark_bar(color=BASELINE, opacity=0.55).encode(
        x,
        x2,
        alt.Y("baseline_share:Q", title=None, axis=percent),
        alt.Y2(datum=0),
        tooltip=tooltip,
    )
    front = (
        base.mark_bar(color=PRODUCTION, stroke=PRODUCTION, strokeWidth=1)
        .encode(
            x,
            x2,
            alt.Y("share:Q"),
            alt.Y2(datum=0),
            **paler_unless("datum.inside"),
            tooltip=tooltip,
        )
        .add_params(brush)
    )
    return _spec(alt.layer(ground, front, data=BARS), height=190)


def paler_unless(inside: str) -> dict[str, Any]:
    """Encodings of bars that are full where a Vega expression holds, and pale elsewhere."""
    return {
        "fillOpacity": alt.condition(inside, alt.value(0.55), alt.value(0.08)),
        "strokeOpacity": alt.condition(inside, alt.value(1.0), alt.value(0.25)),
    }


def still_histogram_pair(pair: HistogramPair, baseline_label: str, bounds: Range) -> Spec:
    """The same without a brush; the bars within `bounds` are full."""
    spec = histogram_pair(pair, baseline_label, bounds)
    return {name: part for name, part in spec.items() if name != "params"}


def category_pair(pair: CauseBars, baseline_label: str) -> Chart:
    """Shares of a selection and of its baseline with each category, as `histogram_pair` does.

    Categories that have an order stand beside each other, others lie below each other.
    """
    total, baseline_total = max(pair.counts.sum(), 1), max(pair.baseline_counts.sum(), 1)
    data = pd.DataFrame(
        {
            "name": pair.names,
            "count": pair.counts,
            "share": pair.counts / total,
            "baseline": pair.baseline_counts,
            "baseline_share": pair.baseline_counts / baseline_total,
            "marked": pair.marked,
        }
    )
    category, share = ("x", "y") if pair.ordered else ("y", "x")
    names = alt.Axis(
        title=f"{pair.label} (UTC)" if pair.ordered else None,
        labelLimit=120,
        labelAngle=0,
        labelOverlap=pair.ordered,
    )
    percent = alt.Axis(format="%", tickCount=3)
    axes: dict[str, Any] = {
        category: {"field": "name", "type": "nominal", "sort": None, "axis": names},
        share: {"field": "baseline_share", "type": "quantitative", "title": "% of records"},
    }
    axes[share]["axis"] = percent
    tooltip = [
        alt.Tooltip("name:N", title=pair.label),
        alt.Tooltip("count:Q", title="selected records", format=","),
        alt.Tooltip("share:Q", title="of the selected", format=".1%"),
        alt.Tooltip("baseline:Q", title=f"{baseline_label} records", format=","),
        alt.Tooltip("baseline_share:Q", title=f"of {baseline_label}", format=".1%"),
    ]
    base = alt.Chart(data)
    ground = base.mark_bar(color=BASELINE, opacity=0.55).encode(**axes, tooltip=tooltip)
    axes[share] = {**axes[share], "field": "share"}
    front = base.mark_bar(color=PRODUCTION, stroke=PRODUCTION, strokeWidth=1).encode(
        **axes,
        **paler_unless("datum.marked"),
        tooltip=tooltip,
    )
    return alt.layer(ground, front).properties(height=190, padding=TIGHT)


def place(position: Place) -> Spec:
    """The baseline's histogram with a mark where one record stands."""
    edges = position.bins.edges
    at = float(np.clip(0.0 if position.value is None else position.value, edges[0], edges[-1]))
    bars = _bars(position.bins, position.baseline_counts, position.baseline_counts)
    for bar in bars:
        bar["at"] = at
    return _with_data(_place_spec(position.bins), bars)


@functools.lru_cache(maxsize=256)
def _place_spec(bins: Bins) -> Spec:
    x, x2 = _bin_axis(bins, None)
    base = alt.Chart()
    bars = base.mark_bar(color=BASELINE, opacity=0.7).encode(
        x, x2, alt.Y("share:Q", axis=None), alt.Y2(datum=0)
    )
    here = base.mark_rule(color=PRODUCTION, strokeWidth=3).encode(alt.X("max(at):Q"))
    return _spec(alt.layer(bars, here, data=BARS), height=70)


def moment(moment: pd.Timestamp) -> alt.DateTime:
    """A moment (UTC) for a domain or for ticks; milliseconds are left out."""
    return alt.DateTime(
        year=moment.year,
        month=moment.month,
        date=moment.day,
        hours=moment.hour,
        minutes=moment.minute,
        seconds=moment.second,
        utc=True,
    )


def _spec(chart: Chart, height: int) -> Spec:
    spec: Spec = chart.properties(height=height, padding=TIGHT).to_dict()
    return spec


def _with_data(spec: Spec, bars: list[dict[str, Any]]) -> Spec:
    # a data set with a name is there when Vega first measures it: without, it warns
    return {**spec, "datasets": {BARS.name: bars}}


def replay_outcomes(outcomes: pd.DataFrame) -> Chart:
    """What each intervention fixes, with its interval; the rows in the order in which they come.

    Columns: label, kind (`tried` or `control`), share, low, high, fixed, outside, changed, broken.
    """
    base = alt.Chart(outcomes)
    labels = alt.Axis(
        labelLimit=300, labelFlush=False, title=None, ticks=False, domain=False, labelPadding=10
    )
    y = alt.Y("label:N", sort=list(outcomes["label"]), axis=labels)
    title = "fixed, % (line: 95% CI)"
    x = alt.X(
        "share:Q",
        title=title,
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(format="%", tickCount=5),
    )
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["tried", "control"], range=[PRODUCTION, BASELINE]),
        legend=None,
    )
    tooltip = [
        alt.Tooltip("label:N", title="intervention"),
        alt.Tooltip("fixed:Q", title="fixed", format=","),
        alt.Tooltip("outside:Q", title="of", format=","),
        alt.Tooltip("low:Q", title="95% CI from", format=".0%"),
        alt.Tooltip("high:Q", title="95% CI to", format=".0%"),
        alt.Tooltip("changed:Q", title="texts changed", format=","),
        alt.Tooltip("broken:Q", title="made worse", format=","),
    ]
    lines = base.mark_rule(strokeWidth=3, opacity=0.45).encode(
        alt.X("low:Q", title=title), alt.X2("high:Q"), y, colour, tooltip=tooltip
    )
    points = base.mark_point(filled=True, size=110, opacity=1).encode(
        x, y, colour, alt.Shape("kind:N", legend=None, scale=alt.Scale(
            domain=["tried", "control"], range=["circle", "diamond"]
        )), tooltip=tooltip
    )  # fmt: skip
    return alt.layer(lines, points).properties(height=26 * len(outcomes), padding=TIGHT)


def grey_levels(counts: np.ndarray) -> Chart:
    """How many pixels of an image have each grey level; counts has shape (256,)."""
    data = pd.DataFrame({"level": np.arange(256), "next": np.arange(1, 257), "pixels": counts})
    chart: alt.Chart = (
        alt.Chart(data)
        .mark_bar(color=PRODUCTION)
        .encode(
            alt.X(
                "level:Q",
                title="grey level, 0 black to 255 white",
                scale=alt.Scale(domain=[0, 256], nice=False),
            ),
            alt.X2("next:Q"),
            alt.Y("pixels:Q", title="pixels", axis=alt.Axis(tickCount=3, format="~s")),
            alt.Y2(datum=0),
            tooltip=[
                alt.Tooltip("level:Q", title="grey level"),
                alt.Tooltip("pixels:Q", format=","),
            ],
        )
        .properties(height=180, padding=TIGHT)
    )
    return chart


def _bars(bins: Bins, counts: np.ndarray, baseline_counts: np.ndarray) -> list[dict[str, Any]]:
    edges = _drawn_edges(bins)
    total, baseline_total = max(int(counts.sum()), 1), max(int(baseline_counts.sum()), 1)
    return [
        {
            "low": edges[number],
            "high": edges[number + 1],
            "bar": bar_label(bins, number),
            "count": int(counts[number]),
            "share": int(counts[number]) / total,
            "baseline": int(baseline_counts[number]),
            "baseline_share": int(baseline_counts[number]) / baseline_total,
        }
        for number in range(bins.bars)
    ]


def _drawn_edges(bins: Bins) -> list[float]:
    edges = list(bins.edges)
    if bins.scale == "log" and edges[0] <= 0:
        edges[0] = edges[1] / 1.25
    return edges


def bar_label(bins: Bins, number: int) -> str:
    low, high = bins.edges[number], bins.edges[number + 1]
    if number == 0:
        return f"under {high:.6g}"
    return f"{low:.6g} or more" if number == bins.bars - 1 else f"{low:.6g} to {high:.6g}"


def _within(bins: Bins, bounds: Range, number: int) -> bool:
    middle = (bins.edges[number] + bins.edges[number + 1]) / 2
    return (
        not bounds.missing
        and (bounds.low is None or middle >= bounds.low)
        and (bounds.high is None or middle < bounds.high)
    )


def _bin_axis(bins: Bins, unit: str | None) -> tuple[alt.X, alt.X2]:
    edges = _drawn_edges(bins)
    scale = alt.Scale(type=bins.scale, domain=[edges[0], edges[-1]], nice=False)
    axis = alt.Axis(
        tickCount=5,
        format="~s" if edges[-1] >= 10_000 else ".4~r",
        labelOverlap=True,
        labelFlush=False,
        grid=False,
    )
    x = alt.X("low:Q", scale=scale, axis=axis, title=unit)
    return x, alt.X2("high:Q")
