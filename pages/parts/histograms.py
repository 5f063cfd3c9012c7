"""Histograms of a selection over those of its baseline: the answer, and cards that hold still.

Order, groups and what is folded away follow from the selection without its ranges, and everything
has a height of its own: a brush moves nothing.
"""

from collections.abc import Mapping, Sequence

import streamlit as st

from data_access import OpenLog, queries
from data_access.queries import Baseline, DriftGroup, HistogramPair
from data_access.selection import range_sentence
from pages.parts import brushes, charts, state, words

HEIGHT, NOTE_HEIGHT = 210, 44  # pixels of a chart, and of the two lines below it
NARROWEST = 225  # pixels of a card
MOST_NAMED = 3


def sides(baseline: Baseline) -> tuple[str, str]:
    """What is compared with what: `production` and `test set`."""
    compared, against = baseline.compared_label, words.environment(baseline.label)
    if baseline.compared == state.selection() and len(baseline.compared.environment) == 1:
        compared = words.environment(baseline.compared.environment[0])
    return compared, against


def answer(pairs: Sequence[HistogramPair], baseline: Baseline) -> None:
    """What differs, in a sentence, and how to read the histograms."""
    found = queries.drift_answer(pairs)
    compared, against = map(words.escape_markdown, sides(baseline))
    if not any(pair.baseline_n for pair in pairs):
        st.info(f"Nothing to compare with: no values in {against}. Choose another baseline.")
        brushes.touch_switch()
        return
    named = [
        words.escape_markdown(f"{pair.projection.label} {pair.verdict}")
        for pair in found.different[:MOST_NAMED]
    ]
    few = f" Not enough data for {found.too_few}." if found.too_few else ""
    with st.container(key="answer", gap="xsmall"):
        st.markdown(
            f"**{len(found.different)} of {found.compared}** projections differ"
            + (f": {', '.join(named)}." if named else ".")
            + few
        )
        st.caption(
            f"Blue: {compared}. Grey: {against}. Bars: % of each group; end bars include "
            "outliers. Drag over a chart to filter, click in it to stop filtering."
        )
        brushes.touch_switch()


def shared(records: int) -> None:
    """That both sides share records; nothing where they share none, whatever is brushed."""
    if records:
        most = "Up to " if state.selection().ranges else ""
        st.info(
            f"{most}{words.count(records, 'record')} are on both sides, which hides differences: "
            "compare with another time window, version or environment."
        )


def row(
    log: OpenLog, pairs: Mapping[str, HistogramPair], names: Sequence[str], baseline: Baseline
) -> None:
    """Histograms side by side, of the names that have one."""
    with st.grid(3, min_column_width=NARROWEST):
        for name in names:
            if name in pairs:
                card(log, pairs[name], baseline)


def group(
    log: OpenLog, pairs: Mapping[str, HistogramPair], members: DriftGroup, baseline: Baseline
) -> None:
    """The histograms of a group; those that did not differ before any brush are folded."""
    st.header(members.name.capitalize())
    if members.name == "truth" and (note := _truth_note(list(pairs.values()), baseline)):
        st.caption(note)
    row(log, pairs, members.shown, baseline)
    if not members.similar:
        return
    before = " before filtering" if state.selection().ranges else ""
    labels = [pairs[name].projection.label for name in members.similar if name in pairs]
    more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    label = words.escape_markdown(
        f"{len(labels)} without a clear difference{before}: {', '.join(labels[:MOST_NAMED])}{more}"
    )
    if st.expander(label, key=f"similar-{members.name}", on_change="rerun").open:
        row(log, pairs, members.similar, baseline)


def _truth_note(pairs: Sequence[HistogramPair], baseline: Baseline) -> str | None:
    """Why the truth is left out of the answer; None where it is not."""
    corrected = [pair for pair in pairs if queries.gap(pair) == "corrected records only"]
    if not corrected:
        return None
    pair = max(corrected, key=lambda pair: pair.n)
    compared, against = map(words.escape_markdown, sides(baseline))
    return (
        "Not counted above: only corrected records have a truth, and users do not correct at "
        f"random. {compared[0].upper()}{compared[1:]}: {pair.n:,} of {pair.n + pair.missing:,}; "
        f"{against}: {pair.baseline_n:,} of {pair.baseline_n + pair.baseline_missing:,}."
    )


def card(log: OpenLog, pair: HistogramPair, baseline: Baseline) -> None:
    """One projection as a small chart that can be brushed, with its verdict in words."""
    row, ranges = pair.projection, state.selection().ranges
    bounds = next((range_ for range_ in ranges if range_.name == row.name), None)
    size = words.effect(pair.drift.effect, pair.drift.effect_low, pair.drift.effect_high)
    explanation = f"{row.explanation} Effect (Cliff's delta, 95% CI): {size}."
    note = _note(pair)
    if bounds is not None:  # a chart shows all of its own bars, whatever is brushed in it
        others = state.selection().without(row.name)
        against = queries.baseline(log.warehouse, others, baseline.name)
        sides = (against.compared, against.selection)
        pair = queries.histogram_pair(log.warehouse, *sides, row.name) or pair
        explanation, note = row.explanation, f"filtered: {range_sentence('', bounds).strip()}"
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{words.escape_markdown(row.label)}**", help=explanation)
        st.vega_lite_chart(
            charts.histogram_pair(
                pair, words.environment(baseline.label), bounds, brushes.by_touch()
            ),
            key=brushes.histogram(pair, bounds),
            on_select=lambda: brushes.histogram_brushed(pair),
            selection_mode="brush",
            height=HEIGHT,
            alt=f"{row.label}: selection against {baseline.label}, {note}",
        )
        with st.container(height=NOTE_HEIGHT, border=False):
            st.caption(words.escape_markdown(note))


def _note(pair: HistogramPair) -> str:
    """`570 vs 180 · moderately lower`."""
    missing = f" · {pair.missing:,} without a value" if pair.missing else ""
    reason = " · mostly missing, not counted" if queries.gap(pair) == "mostly missing" else ""
    return f"{pair.n:,} vs {pair.baseline_n:,} · {pair.verdict}{missing}{reason}"
