"""Charts of what changes over time: from the answers of `data_access.queries` to Altair. Pure."""

import functools
from datetime import timedelta
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from data_access.queries import LENGTHS, RATE_FROM, Bucket
from data_access.selection import Selection
from pages.parts.charts import TIGHT, Spec, moment
from pages.parts.palette import BASELINE, FLAGS, PRODUCTION, flag_colours

DAYS = alt.NamedData(name="days")  # these stand in for the data of a specification
WINDOW = alt.NamedData(name="window")
SPAN = alt.NamedData(name="span")
RELEASES = alt.NamedData(name="releases")
CLICK = "click"  # the selection parameter of charts whose marks open their records


def flag_trend(
    trend: pd.DataFrame, releases: pd.DataFrame, recent: Selection, bucket: Bucket, as_rate: bool
) -> Spec:
    """Flags by category over time: stacked counts, or rates with their intervals.

    The window that is looked at is shaded; releases are marked. A click on a mark is the
    selection parameter CLICK.
    """
    names = sorted(trend["flag"].unique(), key=lambda flag: (flag not in FLAGS, flag))
    width = LENGTHS[bucket] * 0.92
    data = trend.assign(
        row=np.arange(len(trend)),
        end=trend["bucket"] + width,
        top=trend.groupby("bucket")["flagged"].cumsum(),
        middle=trend["bucket"] + width / 2,
        state=np.where(trend["filling"], "incomplete", "complete"),
    )
    data["bottom"] = data["top"] - data["flagged"]
    first, last = data["bucket"].min(), data["bucket"].max()
    long = last - first > timedelta(days=300)
    label = "%b %Y" if long else "%-d %b %H:%M" if bucket == "hour" else "%-d %b"
    middles = tuple(data["middle"].drop_duplicates())
    spec = _flag_trend_spec(tuple(names), bucket, label, middles, as_rate)
    shown = data[data["predictions"] >= RATE_FROM] if as_rate else data
    span = {"since": _iso(first), "until": _iso(last + LENGTHS[bucket])}
    return {
        **spec,
        "datasets": {
            DAYS.name: _rows(shown.drop(columns=["filling", "left_out"])),
            SPAN.name: [span],
            WINDOW.name: [_shaded(recent, first)],
            RELEASES.name: _rows(releases[releases["released"] >= first]),
        },
    }


# Altair takes a hundred times as long to build these as to fill them
@functools.lru_cache(maxsize=100)
def _flag_trend_spec(
    names: tuple[str, ...],
    bucket: Bucket,
    label: str,
    middles: tuple[pd.Timestamp, ...],
    as_rate: bool,
) -> Spec:
    colours = flag_colours(list(names))
    colour = alt.Color(
        "flag:N",
        scale=alt.Scale(domain=list(names), range=[colours[name] for name in names]),
        legend=alt.Legend(title=None, orient="top", symbolOpacity=1),
    )
    filling = alt.condition("datum.state == 'complete'", alt.value(1.0), alt.value(0.4))
    tooltip = [
        alt.Tooltip("bucket:T", title=f"{bucket} starting (UTC)", format="%d %b %Y %H:%M"),
        alt.Tooltip("flag:N"),
        alt.Tooltip("flagged:Q", title="flagged"),
        alt.Tooltip("predictions:Q", title="predictions"),
        alt.Tooltip("share:Q", title="rate", format=".1%"),
        alt.Tooltip("low:Q", title="95% CI from", format=".1%"),
        alt.Tooltip("high:Q", title="95% CI to", format=".1%"),
        alt.Tooltip("state:N", title="status"),
    ]
    half = LENGTHS[bucket] * 0.92 / timedelta(milliseconds=2)
    axis = alt.Axis(
        values=[moment(middle) for middle in middles],
        labelExpr=f"utcFormat(datum.value - {half}, '{label}')",
        labelOverlap=True,
    )
    at = alt.X(
        "middle:T" if as_rate else "bucket:T",
        scale=alt.Scale(type="utc", nice=False),
        title=None,
        axis=axis,
    )
    click = alt.selection_point(name=CLICK, fields=["row"])
    base = alt.Chart(DAYS)
    if as_rate:
        rate = alt.Y("share:Q", title="flagged, % of predictions", axis=alt.Axis(format="%"))
        layers = [
            base.mark_rule(strokeWidth=5).encode(
                at, alt.Y("low:Q"), alt.Y2("high:Q"), colour, opacity=alt.value(0.25)
            ),
            base.mark_line(strokeWidth=1.5)
            .encode(at, rate, colour)
            .transform_filter("datum.state == 'complete'"),
            base.mark_point(filled=True, size=70, cursor="pointer")
            .encode(at, rate, colour, opacity=filling, tooltip=tooltip)
            .add_params(click),
        ]
    else:
        layers = [
            base.mark_bar(cursor="pointer")
            .encode(
                at,
                alt.X2("end:T"),
                alt.Y("bottom:Q", title=f"flags a {bucket}", axis=alt.Axis(tickMinStep=1)),
                alt.Y2("top:Q"),
                colour,
                opacity=filling,
                tooltip=tooltip,
            )
            .add_params(click)
        ]
    ground = alt.Chart(SPAN).mark_rect(opacity=0).encode(_since(axis), alt.X2("until:T"))
    marks = [ground, _window(alt.Chart(WINDOW), axis), *layers, *_release_marks()]
    spec: Spec = alt.layer(*marks).properties(height=280).to_dict()
    return spec


def rate_by_week(weeks: pd.DataFrame, releases: pd.DataFrame) -> Spec:
    """The share that users flagged, by week, as a small picture; releases are marked.

    Columns: week (its start, UTC), share, low, high, flagged, predictions.
    """
    shown = releases[releases["released"] > weeks["week"].min()]
    datasets = {DAYS.name: _rows(weeks), RELEASES.name: _rows(shown)}
    return {**_rate_by_week_spec(), "datasets": datasets}


@functools.cache
def _rate_by_week_spec() -> Spec:
    at = alt.X(
        "week:T",
        scale=alt.Scale(type="utc", nice=False),
        title=None,
        axis=alt.Axis(format="%-d %b", tickCount=4, labelFlush=True, grid=False),
    )
    rate = alt.Y("share:Q", title="flagged", axis=alt.Axis(format="%", tickCount=3))
    tooltip = [
        alt.Tooltip("week:T", title="week starting (UTC)", format="%d %b %Y"),
        alt.Tooltip("share:Q", title="flagged", format=".1%"),
        alt.Tooltip("low:Q", title="95% CI from", format=".1%"),
        alt.Tooltip("high:Q", title="95% CI to", format=".1%"),
        alt.Tooltip("flagged:Q", title="flagged predictions"),
        alt.Tooltip("predictions:Q", title="predictions"),
    ]
    base = alt.Chart(DAYS)
    layers = [
        base.mark_area(color=PRODUCTION, opacity=0.18).encode(at, alt.Y("low:Q"), alt.Y2("high:Q")),
        base.mark_line(color=PRODUCTION, strokeWidth=2).encode(at, rate),
        base.mark_point(color=PRODUCTION, filled=True, size=45).encode(at, rate, tooltip=tooltip),
    ]
    padding = {"left": 0, "top": 16, "right": 8, "bottom": 5}
    chart = alt.layer(*layers, *_release_marks()).properties(height=250, padding=padding)
    spec: Spec = chart.to_dict()
    return spec


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """As Vega-Lite takes data: times (UTC) as text, None for no number."""
    columns = {
        str(name): [_iso(moment) for moment in column]
        if pd.api.types.is_datetime64_dtype(column)
        else column.astype(object).where(column.notna(), None).tolist()
        for name, column in frame.items()
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _iso(moment: pd.Timestamp) -> str:
    """A time of the warehouse, which is UTC without saying so."""
    return str(moment.tz_localize("UTC").isoformat())


def _shaded(recent: Selection, first: pd.Timestamp) -> dict[str, str]:
    """The window that is looked at, behind what is drawn over it from `first` (UTC) on."""
    assert recent.until is not None
    begin = first.tz_localize("UTC")
    since = max(recent.since or begin, begin)
    return {"since": since.isoformat(), "until": recent.until.isoformat()}


def _window(window: alt.Chart, axis: alt.Axis | None) -> alt.Chart:
    chart: alt.Chart = window.mark_rect(color=PRODUCTION, opacity=0.09, clip=True).encode(
        _since(axis), alt.X2("until:T")
    )
    return chart


def _since(axis: alt.Axis | None) -> alt.X:
    return alt.X("since:T", scale=alt.Scale(type="utc", nice=False), axis=axis, title=None)


def clicked(event: Any, rows: pd.DataFrame) -> pd.Series | None:
    """The row of a chart's data whose mark was clicked."""
    picked = event["selection"].get(CLICK) or []
    return rows.iloc[int(picked[0]["row"])] if picked else None


def _release_marks() -> list[alt.Chart]:
    marks = alt.Chart(RELEASES)
    where = alt.X("released:T", scale=alt.Scale(type="utc"), title=None)
    says = [
        alt.Tooltip("version:N", title="first record of version"),
        alt.Tooltip("released:T", title="at (UTC)", format="%d %b %Y %H:%M"),
    ]
    return [
        marks.mark_rule(strokeDash=[4, 3], color=BASELINE, clip=True).encode(where, tooltip=says),
        marks.mark_text(
            limit=90, align="left", dx=4, dy=-6, baseline="bottom", color=BASELINE
        ).encode(where, alt.Y(value=10), alt.Text("version:N"), tooltip=says),
    ]


def sparkline(days: pd.DataFrame, recent: Selection, label: str) -> Spec:
    """A mean by day, the window `recent` shaded; columns day (UTC) and mean.

    A click near a day is the selection parameter CLICK.
    """
    rows = _rows(days[["day", "mean"]].reset_index(drop=True).rename_axis("row").reset_index())
    shaded = _shaded(recent, days["day"].min())
    return {**_sparkline_spec(label), "datasets": {DAYS.name: rows, WINDOW.name: [shaded]}}


@functools.lru_cache(maxsize=100)
def _sparkline_spec(label: str) -> Spec:
    at = alt.X("day:T", axis=None, scale=alt.Scale(type="utc", nice=False))
    mean = alt.Y("mean:Q", axis=None, scale=alt.Scale(zero=False))
    base = alt.Chart(DAYS)
    click = alt.selection_point(name=CLICK, fields=["row"], nearest=True)
    points = base.mark_point(size=60, opacity=0, cursor="pointer").encode(
        at,
        mean,
        tooltip=[
            alt.Tooltip("day:T", title="day (UTC)", format="%d %b %Y"),
            alt.Tooltip("mean:Q", title=f"mean {label}", format=".3~g"),
        ],
    )
    line = base.mark_line(color=PRODUCTION, strokeWidth=1.5).encode(at, mean)
    layers = alt.layer(_window(alt.Chart(WINDOW), None), line, points.add_params(click))
    spec: Spec = layers.properties(height=56, padding=TIGHT).to_dict()
    return spec
