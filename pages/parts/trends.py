"""Pieces of the Overview: what the log is about, its flag rate, flags over time, what moved."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data_access import queries
from data_access.queries import (
    Bucket,
    Contents,
    Move,
    ShareChange,
    VersionChange,
    VersionRate,
)
from data_access.selection import Selection, moment_text, until_text
from pages.parts import bar, cards, choices, state, trend_charts, words

WINDOWS = ["28", "7"]
MEASURES = {"rate": "Rate", "counts": "Count"}
MOST_NAMED = 3
LONGEST_NAME = 16  # of a version: more does not fit on a phone
SHARES = {
    "flagged": "Flagged",
    "flagged offensive": "Flagged offensive",
    queries.LOW_ENTROPY: "Repetitive or short",
}
RATES = (
    "Share of each version's predictions that users flagged, in the whole selection. The rate of "
    "the newest version rises as late flags come in."
)
ANSWERS = {
    "lower": "No.",
    "higher": "Yes.",
    "no clear change": "No clear change.",
    "not enough data": "Not enough data.",
    "nothing before": "Nothing to compare with.",
}


def about(contents: Contents) -> None:
    """In one line: what this is, and what it looks at."""
    environments = _listed(
        [f"{name} {words.count(count)}" for name, count in contents.environments]
    )
    log = " · ".join(
        filter(
            None,
            [
                _listed(list(contents.applications)),
                words.count(contents.predictions, "prediction")
                + (f" ({environments})" if environments else ""),
                words.dates(contents.oldest, contents.newest),
            ],
        )
    )
    st.caption(f"Misread shows what a text recognizer gets wrong in use, and why. This log: {log}.")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(words.escape_markdown, names[:MOST_NAMED]))
    more = len(names) - MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown


def window_days(selection: Selection) -> int:
    """How many days are looked at; not asked where the selection has a beginning of its own."""
    if selection.since is not None:
        return queries.DAYS
    wanted = choices.choice("window", "Last", WINDOWS, lambda days: f"{days} days")
    return int(wanted)


def answer(flagged: ShareChange, recent: Selection) -> str:
    """Whether users flag more, in a sentence of Markdown."""
    before = f"in the {span(recent)} before"
    within = f"in {window(recent)}"
    if not flagged.is_rate:
        said = f"Users flagged {flagged.count:,} of {flagged.predictions:,} predictions {within}."
    else:
        count = f"{flagged.count:,} of {flagged.predictions:,}"
        said = f"Users flagged **{words.share(flagged.share)}** of predictions ({count}) {within}"
        match flagged.verdict:
            case "lower" | "higher":
                way = "down" if flagged.verdict == "lower" else "up"
                said += f", {way} from {words.share(flagged.before_share)} {before}."
            case "no clear change":
                said += f"; it was {words.share(flagged.before_share)} {before}."
            case "nothing before":
                said += f"; there are no predictions {before}."
            case "not enough data":
                said += f"; there {_are(flagged.before_predictions)} {before}."
    return f"**{ANSWERS[flagged.verdict]}** {said}"


def numbers(changes: Sequence[ShareChange]) -> list[str]:
    """Each share with its change, as a line of a note."""
    return [
        f"{SHARES.get(change.name) or words.escape_markdown(change.name.capitalize())}: "
        + (f"{words.share(change.share)}, " if change.is_rate else "")
        + f"{change.count:,} of {change.predictions:,}; {_changed(change)}"
        for change in changes
    ]


def _are(predictions: int) -> str:
    count = words.count(predictions, "prediction")
    return f"is only {count}" if predictions == 1 else f"are only {count}"


def window(selection: Selection) -> str:
    """`the 28 days to 30 Aug 2026`."""
    assert selection.until is not None
    return f"the {span(selection)} to {until_text(selection.until)}"


def span(selection: Selection) -> str:
    """`28 days`: the length of a window."""
    return "day" if selection.days == 1 else words.count(selection.days, "day")


def earlier(selection: Selection, recent: Selection, fuller: Selection) -> None:
    """What to do where the window is nearly empty: look at the one before the gap."""
    assert fuller.until is not None and recent.since is not None
    wanted = fuller if selection.since else replace(selection, until=fuller.until)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"The newest prediction before {moment_text(recent.since)} is from "
            f"{until_text(fuller.until)}.",
            width="content",
        )
        st.button(f"Show {window(fuller)}", on_click=state.select, args=(wanted,))


def versions(rates: Sequence[VersionRate], compared: VersionChange | None) -> DeltaGenerator:
    """The flag rate of one version against the next, and the way to the flagged records; returns
    its box, for a picture.
    """
    shown = [compared.older, compared.newer] if compared else [r for r in rates if r.is_rate][-1:]
    few = [rate for rate in rates[-1:] if not rate.is_rate]
    if not shown:
        return cards.fact("Flagged", "–", "Not enough data of any version for a rate.", RATES)
    box = cards.fact(
        "Flagged, by version" if compared else "Flagged",
        " → ".join(f"{_short(r.version)} {words.rounded_share(r.share)}" for r in shown),
        _of_versions(shown[-1], compared, few),
        RATES,
    )
    with box.container(horizontal=True):
        for rate in [*shown, *few]:
            if rate.flagged:
                name = words.escape_markdown(_short(rate.version))
                label = f"{name}: {rate.flagged:,} of {rate.predictions:,} flagged"
                bar.page_link("cases", label, rate.records)
    return box


def _of_versions(
    newest: VersionRate, compared: VersionChange | None, few: Sequence[VersionRate]
) -> str:
    if compared is None:
        note = f"95% CI {words.rounded_share(newest.low)}–{words.rounded_share(newest.high)}"
    else:
        note = _changed(compared.change)
    for rate in few:
        name = words.escape_markdown(_short(rate.version))
        note += f" · {name}: not enough data ({words.count(rate.predictions, 'prediction')})"
    return note


def _short(version: str) -> str:
    return version if len(version) <= LONGEST_NAME else f"{version[: LONGEST_NAME - 1]}…"


def shares(
    changes: Sequence[ShareChange], recent: Selection, baseline_label: str, unscored: int
) -> None:
    """The numbers behind the answer: the rate first, its change, and its records as a link."""
    by_name = {change.name: change for change in changes}
    flagged = by_name["flagged"]
    low = (
        f"Outputs with a word entropy below the 5th percentile of {baseline_label}. "
        "Share of all predictions."
    )
    with st.grid(5, min_column_width=170):
        box = cards.fact(
            "Predictions",
            words.count(flagged.predictions),
            f"{words.count(flagged.before_predictions)} in the {span(recent)} before",
            f"{flagged.predictions:,} in {window(recent)}.",
        )
        with box:
            if flagged.predictions:
                bar.page_link("cases", "Cases", recent.without("flag"))
        for name, explanation in (
            ("flagged", "Share of predictions that a user flagged."),
            ("flagged offensive", "Share of all predictions."),
            (queries.LOW_ENTROPY, low),
        ):
            if name in by_name:
                _share(by_name[name], SHARES[name], explanation, recent)
        box = cards.fact(
            "Not scored yet",
            words.count(unscored),
            "in the whole selection",
            f"{unscored:,} records whose text or image is not scored yet; the numbers below "
            "exclude them.",
        )
        if unscored:
            with box:
                bar.page_link("data", "Projections", state.selection())


def _share(change: ShareChange, label: str, explanation: str, recent: Selection) -> None:
    count = f"{change.count:,} of {change.predictions:,}"
    box = cards.fact(
        label,
        words.share(change.share) if change.is_rate else count,
        _changed(change),
        f"{explanation} {count}; {change.before_count:,} of {change.before_predictions:,} in the "
        f"{span(recent)} before.",
    )
    if change.count:
        with box:
            bar.page_link("cases", count, change.records)


def _changed(change: ShareChange) -> str:
    match change.verdict:
        case "lower" | "higher":
            return words.points(change.change, change.low, change.high)
        case "no clear change":
            return f"no clear change ({words.point_interval(change.low, change.high)})"
        case "nothing before":
            return "no earlier data to compare with"
    return "not enough data" if not change.is_rate else "not enough data before"


def flags_over_time(
    trend: pd.DataFrame,
    releases: pd.DataFrame,
    recent: Selection,
    bucket: Bucket,
    *,
    as_rate: bool,
) -> None:
    """Flags by category over time; a click on a mark offers its records."""
    if as_rate and trend["predictions"].max() < queries.RATE_FROM:
        st.info(f"No {bucket} has the {queries.RATE_FROM} predictions that a rate needs.")
        return
    picked = st.vega_lite_chart(
        trend_charts.flag_trend(trend, releases, recent, bucket, as_rate),
        key=f"flag-trend-{bucket}-{as_rate}",
        alt="Flags by category over time",
        on_select="rerun",
        selection_mode=trend_charts.CLICK,
    )
    mark = trend_charts.clicked(picked, trend)
    if mark is not None and mark["flagged"]:
        start = mark["bucket"].to_pydatetime()
        records = queries.bucket_records(state.selection(), bucket, start, mark["flag"])
        flag = words.escape_markdown(mark["flag"])
        label = f"{mark['flagged']:,} flagged {flag}, {bucket} from {_time(start, bucket)}"
        bar.page_link("cases", label, records)
    shown, left_out = trend["bucket"].nunique(), int(trend["left_out"].iloc[0])
    sparse = bool(trend["predictions"].between(1, queries.RATE_FROM - 1).any())
    released = [
        f"{words.escape_markdown(version)} from {moment:%-d %b %Y}"
        for version, moment in releases.itertuples(index=False)
    ]
    hidden = len(released) - MOST_NAMED
    notes = [
        f"Click a {'point' if as_rate else 'bar'} for its records.",
        "By time of prediction, UTC; a record with two flags counts in both.",
        f"Shaded: {window(recent)}.",
        f"Pale: incomplete {bucket}." if bool(trend["filling"].any()) else "",
        "Lines: 95% CI." if as_rate else "",
        f"No point: fewer than {queries.RATE_FROM} predictions." if as_rate and sparse else "",
        f"The last {shown:,} of {shown + left_out:,} {bucket}s." if left_out else "",
        f"Dashed: first record of a version ({', '.join(released[-MOST_NAMED:])}"
        + (f", {hidden:,} earlier)." if hidden > 0 else ").")
        if released
        else "",
    ]
    st.caption(" ".join(filter(None, notes)))


def move(moved: Move, recent: Selection, before: Selection) -> None:
    """A projection that changed: a sentence, its days, and the way to its distribution."""
    row, drift = moved.pair.projection, moved.pair.drift
    sentence, line, link = st.columns([4, 3, 3], vertical_alignment="center")
    sentence.markdown(
        f"**{row.label}** {moved.pair.verdict}: median {words.value(drift.median)} vs "
        f"{words.value(drift.baseline_median)} {row.unit}",
        help=f"{row.explanation} Effect (Cliff's delta) "
        f"{words.effect(drift.effect, drift.effect_low, drift.effect_high)}.",
    )
    picked = line.vega_lite_chart(
        trend_charts.sparkline(moved.days, recent, row.label),
        key=f"move-{row.name}",
        alt=f"Mean {row.label} by day",
        on_select="rerun",
        selection_mode=trend_charts.CLICK,
    )
    day = trend_charts.clicked(picked, moved.days)
    with link:
        label = words.escape_markdown(row.label)
        bar.page_link("distributions", label[:1].upper() + label[1:], recent, queries.BEFORE)
        if day is not None:
            start = day["day"].to_pydatetime()
            both = replace(recent, since=before.since)
            records = queries.bucket_records(both, "day", start)
            bar.page_link("cases", f"Cases of {_time(start, 'day')}", records, sort=row.name)


def _time(start: datetime, bucket: Bucket) -> str:
    return f"{start:%-d %b %Y, %H:%M}" if bucket == "hour" else f"{start:%-d %b %Y}"
