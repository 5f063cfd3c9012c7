"""The queue *measure* on its page: what is known so far, and drawing more."""

import math
import secrets

import streamlit as st

from data_access import OpenLog, judging, queries
from data_access.annotations import Kept
from data_access.queries import Measured
from data_access.selection import Selection
from data_access.statistics.measured import Rate, more_needed
from pages.parts import modes, people, words

USUAL_SIZE, MOST_DRAWN = 100, 2_000
HALF_WIDTH = 0.05


def interval(rate: Rate) -> str:
    """`12–27%`: the limits of a rate."""
    if math.isnan(rate.share):
        return "–"
    digits = 0 if rate.high >= 0.1 else 1
    return f"{rate.low * 100:.{digits}f}–{rate.high * 100:.{digits}f}%"


def sentence(measured: Measured | None) -> str:
    """What the draw says of the error rate, and what more reviews would bring; Markdown."""
    if measured is None:
        return "No random draw of this selection yet. Draw records to measure its error rate."
    rate = measured.error_rate()
    if not rate.total:
        return (
            f"**{measured.drawn:,}** of {measured.population:,} records drawn, none reviewed yet."
        )
    seen = f"**{rate.total:,}** of {measured.population:,} reviewed"
    known = f"**{words.rounded_share(rate.share)}** read wrongly (95% CI {interval(rate)})"
    more = more_needed(measured.counted(queries.is_wrong), HALF_WIDTH)
    if more:
        return f"{seen}: {known}; {more:,} more for ±5 points."
    return f"{seen}: {known}."


def panel(log: OpenLog, selection: Selection, measured: Measured | None) -> None:
    """What is known, and a way to draw."""
    st.markdown(sentence(measured))
    if measured is not None:
        left = measured.drawn - measured.reviewed
        strata = ", ".join(measured.strata)
        how = f" Drawn in strata: {strata}." if len(measured.strata) > 1 else ""
        st.caption(
            f"{words.count(left, 'drawn record')} left, shared by everybody. Each record is kept "
            f"with its inclusion probability, which weights it.{how}"
        )
    with st.popover("Draw more" if measured else "Draw records", icon=":material/shuffle:"):
        size = st.number_input(
            "Records", 10, MOST_DRAWN, USUAL_SIZE, step=10, key="widget.draw.size"
        )
        st.caption("Drawn at random from the current filters. Draws are kept in the log.")
        st.button("Draw", type="primary", on_click=_draw, args=(log, selection, int(size)))


def _draw(log: OpenLog, selection: Selection, size: int) -> None:
    who = people.actor() or None

    def write() -> Kept:
        draw = queries.make_draw(log.warehouse, selection, size, secrets.randbits(32))
        return judging.keep_draw(log.log, log.warehouse, draw, who)[1]

    modes.attempt(write, "Drawn.")
