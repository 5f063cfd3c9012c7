"""Overview: is it getting worse, and of which kind?"""

from datetime import timedelta

import streamlit as st

from data_access import queries
from data_access.projections import ENTROPY
from data_access.selection import ANY_FLAG, spoken_until
from pages.parts import cards, charts, controls, frame, words

MOVES = 5
NEWEST = 6

log = frame.enter()
selection = controls.selection()
baseline = controls.baseline(log)
warehouse = log.warehouse

st.header("Is it getting worse?")
held = queries.coverage(warehouse, selection)
if not held.served:
    cards.empty("No prediction in this selection, so there is nothing to tell.", selection)

recent = queries.recent_window(warehouse, selection)
before = queries.window_before(warehouse, recent)
shares = {s.name: s for s in queries.share_changes(warehouse, recent, before, baseline.selection)}
flagged = shares["flagged"]
assert recent.since is not None and recent.until is not None
was = words.share(flagged.before_count / max(flagged.before_served, 1))
days = max(1, round((recent.until - recent.since) / timedelta(days=1)))
window = f"the {words.count(days, 'day')} to {spoken_until(recent.until)}"
st.markdown(
    f"In {window}, users flagged **{flagged.count:,} of {flagged.served:,}** predictions, "
    f"**{words.share(flagged.share)}**"
    + (
        f"; it was {was} in as many days before."
        if flagged.before_served
        else "; there is nothing before to compare with."
    )
)

with st.grid(5, min_column_width=170):
    cards.plain_number(
        "Served",
        flagged.served,
        f"{words.count(flagged.before_served)} before",
        f"Predictions in {window}.",
    )
    cards.share_number(flagged, "Flagged", "Records that a user flagged, of those served.")
    if "flagged offensive" in shares:
        cards.share_number(
            shares["flagged offensive"], "Flagged offensive", "Of the records served."
        )
    if "low word entropy" in shares:
        cards.share_number(
            shares["low word entropy"],
            "Low word entropy",
            f"Outputs under the 5th percentile of {words.plain(baseline.label)}: texts that repeat "
            "themselves, or are very short.",
        )
    cards.plain_number(
        "Unscored",
        held.unscored,
        "in the whole selection",
        "Records whose text or image has not been measured yet; they are missing in what follows.",
    )

st.subheader("Flags over time")
with st.container(horizontal=True):
    bucket: queries.Bucket = controls.choice("bucket", "A bar for each", ["week", "day", "hour"])
    measure = controls.choice(
        "measure",
        "Show",
        ["counts", "rate"],
        lambda name: {"counts": "how many", "rate": "rate of served"}[name],
    )
trend = queries.flag_trend(warehouse, selection, bucket)
if trend.empty:
    st.info("Nobody flagged anything in this selection.")
else:
    st.altair_chart(
        charts.flag_trend(trend, queries.releases(warehouse, selection), bucket, measure == "rate"),
        key="flag-trend",
        alt="Flags by category over time",
    )
    st.caption(
        "By the time of the prediction, in UTC; a record with two kinds of flag counts in both. "
        "Dashed lines: the first record of a model version."
        + (
            f" The last {trend['bucket'].nunique()} of {trend['bucket'].nunique() + left_out}."
            if (left_out := int(trend["left_out"].iloc[0]))
            else ""
        )
        + (" Pale bars are still filling." if bool(trend["filling"].any()) else "")
        + (" Shades: 95% intervals." if measure == "rate" else "")
    )

st.subheader("What changed most against the days before")
moves = queries.moves(warehouse, recent, before, MOVES)
if not moves:
    st.caption("No projection differs by more than chance explains, or there is too little before.")
for move in moves:
    row, drift = move.pair.projection, move.pair.drift
    says, line, link = st.columns([5, 3, 1], vertical_alignment="center")
    says.markdown(
        f"**{row.label}** is {move.pair.verdict}: median {words.value(drift.median)}, "
        f"before {words.value(drift.baseline_median)} {row.unit}",
        help=f"{row.explanation} Effect (Cliff's delta) "
        f"{words.effect(drift.effect, drift.effect_low, drift.effect_high)}.",
    )
    line.altair_chart(charts.sparkline(move.days, recent.since, row.label), key=f"move-{row.name}")
    with link:
        controls.page_link("distributions", "See", recent, queries.BEFORE)

st.subheader("Newest flags")
newest = queries.newest_flags(warehouse, selection, NEWEST)
if newest.empty:
    st.caption("No flag in this selection.")
else:
    cards.gallery(log, newest, [warehouse.projections[ENTROPY]], "flagged")
    any_flag = selection if selection.flag else selection.with_flag(ANY_FLAG)
    count = queries.coverage(warehouse, any_flag).served
    controls.page_link("cases", f"All {words.count(count, 'flagged record')}", any_flag)
