"""Linked histograms: from a cube to one Altair chart that filters itself while it is brushed.

Pure, as `charts` is; apart from it, because no other chart computes anything in the browser.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from data_access.queries import Axis, Brushes, Category, Cube
from data_access.selection import NO_VALUE
from pages.parts import charts, palette, words

HEIGHT = 92  # pixels of each histogram's bars
PITCH = 148  # and from the top of one to the top of the next
VALUE_HEIGHT = 24
GUTTER, NAMES = 44, 120  # pixels at the left for numbers, and for names
PADDING = {"left": 0, "top": 14, "right": 6, "bottom": 30}
TICKS = 8
NOTHING = words.named(NO_VALUE)
# labels inside the plot, so that all plots are as wide as the page
INSIDE: dict[str, Any] = {
    "labelAlign": "left",
    "labelPadding": -2,
    "ticks": False,
    "domain": False,
    "title": None,
}


@dataclass(frozen=True)
class _Side:
    """A histogram: its number, whether it has a bar for no value, and the places brushed first."""

    number: int
    axis: Axis
    missing: bool
    start: tuple[int, int] | None

    @property
    def inside(self) -> str:
        """Whether a cell is inside the brush, in Vega's words."""
        k = self.number
        return f"datum.bar_{k} >= from_{k} && datum.bar_{k} < to_{k}"


@dataclass(frozen=True)
class _Values:
    """Bars of values, by position in the category: those shown, and those picked first."""

    category: Category
    groups: tuple[tuple[int, ...], ...]
    shown: tuple[int, ...]
    picked: tuple[int, ...]
    inside: str = "passes[datum.group]"


def linked(
    cube: Cube,
    baseline: Cube,
    baseline_label: str,
    begun: Brushes,
    touch: bool = False,
) -> charts.Spec:
    """Histograms of a cube's axes and bars of its category, one above the other.

    Vega-Lite sums the cells that are inside the brushes. A drag over the k-th histogram is the
    selection parameter `brush_k`, in places of its axis; clicked values are `picked`, by position.
    begun: the brushes and values that the chart begins with. touch: whether fingers drag too.
    """
    brushes = {range_.name: range_ for range_ in begun[0]}
    sides = tuple(
        _Side(
            number,
            axis,
            missing=bool(cube.counts(axis)[-1] or baseline.counts(axis)[-1]),
            start=axis.bars(brushes[axis.projection.name])
            if axis.projection.name in brushes
            else None,
        )
        for number, axis in enumerate(cube.axes)
    )
    counts = list(zip(cube.value_counts(), baseline.value_counts(), strict=True))
    positions = range(len(cube.category.values))
    picked = tuple(cube.category.values.index(value) for value in begun[1])
    shown = tuple(k for k in positions if any(counts[k]) or k in picked)
    values = _Values(cube.category, cube.groups, shown, picked)
    data = {f"bars_{side.number}": _bars(side, baseline) for side in sides}
    data["values"] = [
        {"value": k, "name": _names(cube.category)[k]} | _compared(counts[k][1], baseline.records)
        for k in shown
    ]
    spec = _spec(sides, values, baseline_label, touch)
    return {**spec, "datasets": {"cells": cube.cells, **data}}


def _bars(side: _Side, baseline: Cube) -> list[dict[str, Any]]:
    bins, counts = side.axis.bins, baseline.counts(side.axis)
    names = {place: charts.bar_label(bins, place) for place in range(bins.bars)}
    if side.missing:
        names[side.axis.missing] = NOTHING
    return [
        {"place": place, "next": place + 1, "bar": name}
        | _compared(int(counts[place]), baseline.records)
        for place, name in names.items()
    ]


def _compared(count: int, of: int) -> dict[str, Any]:
    return {"baseline": count, "baseline_share": count / max(of, 1)}


def _names(category: Category) -> list[str]:
    return [words.named(value, category.noun) for value in category.values]


@functools.lru_cache(maxsize=64)
def _spec(
    sides: tuple[_Side, ...], values: _Values, baseline_label: str, touch: bool
) -> charts.Spec:
    parts: list[_Side | _Values] = [*sides, values]
    views: list[charts.Chart] = [_count(_all(parts))]
    params = [_passes(values.groups)]
    for side in sides:
        others = _all([part for part in parts if part is not side])
        views.append(_histogram(side, others, baseline_label, touch))
        params += _brush_params(side)
    views.append(_value_bars(values, _all(sides), baseline_label))
    chart = alt.vconcat(*views, bounds="flush", spacing=PITCH - HEIGHT).add_params(*params)
    spec: charts.Spec = chart.properties(padding=PADDING).to_dict()
    return {**spec, "usermeta": {"embedOptions": {"renderer": "svg"}}}


def _all(parts: Sequence[_Side | _Values]) -> str:
    return " && ".join(part.inside for part in parts) or "true"


def _brush_params(side: _Side) -> list[alt.Parameter]:
    """The places [from, to) inside a brush, as `Axis.brush` has them."""
    k, bars = side.number, side.axis.bins.bars
    drag = f"brush_{k}.place"
    start, end = f"min({drag}[0], {drag}[1])", f"max({drag}[0], {drag}[1])"
    past = f"{start} >= {bars}" if side.missing else "false"
    first = f"clamp(floor({start}), 0, {bars - 1})"
    after = f"max({first} + 1, min(ceil({end}), {bars}))"
    return [
        alt.param(name=f"from_{k}", expr=f"{drag} ? ({past} ? {bars} : {first}) : 0"),
        alt.param(name=f"to_{k}", expr=f"!{drag} || {past} ? {bars + 2} : {after}"),
    ]


def _passes(groups: tuple[tuple[int, ...], ...]) -> alt.Parameter:
    """For each group of values whether one of them is picked; all of them, where none is."""
    tests = [" || ".join(f"indexof(picked.value, {k}) >= 0" for k in group) for group in groups]
    picked = ", ".join(tests)
    every = ", ".join("true" for _ in groups)
    return alt.param(name="passes", expr=f"picked.value ? [{picked}] : [{every}]")


def _count(inside: str) -> alt.Chart:
    """How many records are chosen, while they are brushed too."""
    chart: alt.Chart = (
        alt.Chart(alt.NamedData("cells"))
        .transform_calculate(chosen=f"{inside} ? datum.records : 0")
        .transform_aggregate(chosen="sum(chosen)", records="sum(records)")
        .transform_calculate(
            says="format(datum.chosen, ',') + ' of ' + format(datum.records, ',') "
            "+ ' records are in the selected bars'"
        )
        .mark_text(align="left", fontSize=13, fontWeight="bold", color=palette.PRODUCTION)
        .encode(alt.Text("says:N"), x=alt.value(2), y=alt.value(0))
        .properties(height=1)
    )
    return chart


def _histogram(side: _Side, others: str, baseline_label: str, touch: bool) -> charts.Chart:
    k, row = side.number, side.axis.projection
    brush = alt.selection_interval(
        name=f"brush_{k}",
        encodings=["x"],
        zoom=False,
        on=charts.drag(touch),
        translate=charts.drag(touch),
        value=alt.Undefined if side.start is None else {"x": side.start},
    )
    x2, bottom = alt.X2("next:Q"), alt.Y2(datum=0)
    ours, theirs = _tooltips("bar", row.label, baseline_label)
    ground = (
        alt.Chart(alt.NamedData(f"bars_{k}"))
        .mark_bar(color=palette.BASELINE, opacity=0.55)
        .encode(
            _place_axis(side),
            x2,
            alt.Y("baseline_share:Q", axis=alt.Axis(format="%", tickCount=3, **INSIDE)),
            bottom,
            tooltip=[ours[0], *theirs],
        )
        .add_params(brush)
    )
    front = (
        alt.Chart(alt.NamedData("cells"))
        .transform_filter(others)
        .transform_aggregate(records="sum(records)", groupby=[f"bar_{k}"])
        .transform_joinaggregate(total="sum(records)")
        .transform_calculate(place=f"datum.bar_{k}", share="datum.records / datum.total")
        .transform_lookup("place", _lookup(f"bars_{k}", "place", "next", "bar"))
        .mark_bar(color=palette.PRODUCTION, stroke=palette.PRODUCTION, strokeWidth=1)
        .encode(
            alt.X("place:Q"),
            x2,
            alt.Y("share:Q"),
            bottom,
            **charts.paler_unless(f"datum.place >= from_{k} && datum.place < to_{k}"),
            tooltip=[*ours, *theirs],
        )
    )
    return alt.layer(ground, front).properties(
        height=HEIGHT, title=_title(f"{row.label}, {row.unit}")
    )


def _place_axis(side: _Side) -> alt.X:
    """Places as bars that are equally wide, with the edges' values at some of them."""
    bins, bars = side.axis.bins, side.axis.bins.bars
    step = -(-bars // TICKS)
    ticks: list[float] = [*range(0, bars + 1, step), *([bars + 1.5] if side.missing else [])]
    edges = json.dumps([f"{edge:.5g}" for edge in bins.edges])
    return alt.X(
        "place:Q",
        scale=alt.Scale(
            domain=[0, bars + 2 * side.missing], nice=False, zero=False, rangeMin=GUTTER
        ),
        axis=alt.Axis(
            values=ticks,
            labelExpr=f"datum.value > {bars} ? {json.dumps(NOTHING)} : {edges}[datum.value]",
            labelOverlap=True,
            labelFlush=False,
            grid=False,
        ),
        title=None,
    )


def _value_bars(values: _Values, others: str, baseline_label: str) -> charts.Chart:
    names = json.dumps(_names(values.category))
    y = alt.Y(
        "value:O",
        scale=alt.Scale(domain=list(values.shown), paddingInner=0.25),
        axis=alt.Axis(labelExpr=f"{names}[datum.value]", labelLimit=NAMES - 8, **INSIDE),
    )
    x = alt.X(
        "baseline_share:Q",
        scale=alt.Scale(rangeMin=NAMES, nice=False, zero=True),
        axis=alt.Axis(format="%", tickCount=4, grid=True),
        title=None,
    )
    pick = alt.selection_point(
        name="picked",
        fields=["value"],
        on="click",
        toggle="true",
        value=[{"value": k} for k in values.picked] or alt.Undefined,
    )
    ours, theirs = _tooltips("name", values.category.noun, baseline_label)
    static = alt.Chart(alt.NamedData("values"))
    rows = (
        static.mark_bar(opacity=0, cursor="pointer")
        .encode(y, x=alt.value(0), x2=alt.value("width"), tooltip=[ours[0], *theirs])
        .add_params(pick)
    )
    ground = static.mark_bar(color=palette.BASELINE, opacity=0.55, cursor="pointer").encode(
        y, x, tooltip=[ours[0], *theirs]
    )
    front = (
        alt.Chart(alt.NamedData("cells"))
        .transform_filter(others)
        .transform_aggregate(records="sum(records)", groupby=["group"])
        .transform_joinaggregate(total="sum(records)")
        .transform_calculate(value=f"{json.dumps(values.groups)}[datum.group]")
        .transform_flatten(["value"])
        .transform_aggregate(records="sum(records)", total="min(total)", groupby=["value"])
        .transform_calculate(share="datum.records / datum.total")
        .transform_lookup("value", _lookup("values", "value", "name"))
        .transform_filter("isValid(datum.name)")
        .mark_bar(
            color=palette.PRODUCTION, stroke=palette.PRODUCTION, strokeWidth=1, cursor="pointer"
        )
        .encode(
            y,
            alt.X("share:Q"),
            **charts.paler_unless("!picked.value || indexof(picked.value, datum.value) >= 0"),
            tooltip=[*ours, *theirs],
        )
    )
    return alt.layer(rows, ground, front).properties(
        height=VALUE_HEIGHT * len(values.shown), title=_title(values.category.noun)
    )


def _lookup(data: str, key: str, *fields: str) -> alt.LookupData:
    return alt.LookupData(alt.NamedData(data), key, [*fields, "baseline", "baseline_share"])


def _tooltips(
    name: str, title: str, baseline_label: str
) -> tuple[list[alt.Tooltip], list[alt.Tooltip]]:
    """What a bar says of the chosen records, its name first, and what of the baseline."""
    return (
        [
            alt.Tooltip(f"{name}:N", title=title),
            alt.Tooltip("records:Q", title="matching the other filters", format=","),
            alt.Tooltip("share:Q", title="share", format=".1%"),
        ],
        [
            alt.Tooltip("baseline:Q", title=f"{baseline_label} records", format=","),
            alt.Tooltip("baseline_share:Q", title=f"of {baseline_label}", format=".1%"),
        ],
    )


def _title(text: str) -> alt.TitleParams:
    return alt.TitleParams(text, anchor="start", fontSize=13, offset=6)
