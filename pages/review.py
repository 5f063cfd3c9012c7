"""Review: was it read right, and if not, how does it fail?"""

import streamlit as st

from data_access import queries
from data_access.selection import query_string
from pages.parts import (
    cards,
    choices,
    disputes,
    frame,
    measuring,
    modes,
    people,
    reviewing,
    state,
    words,
)

QUEUES = {"find": "Find", "measure": "Measure", "disputes": "Disagreements"}
MOST_PINNED = 9

log = frame.enter()
selection = state.selection()
warehouse = log.warehouse

st.title("Was it read right?")
counts = queries.reviewed(warehouse, selection)
if not counts.records:
    cards.empty("No predictions match these filters.", selection)
modes.outcome()

with st.container(horizontal=True, vertical_alignment="bottom"):
    queue = choices.choice("queue", "Queue", list(QUEUES), QUEUES.__getitem__)
    actor = people.ask("Kept with each review, so that two reviewers can be compared.")
    modes.new(log, selection)
known = queries.failure_modes(warehouse)
titles = {mode.id: mode.title for mode in known}
first = [mode.id for mode in sorted(known, key=lambda mode: (mode.created, mode.id))][:MOST_PINNED]
if not actor:
    st.info("Type your name to start reviewing.")


@st.fragment
def find() -> None:
    seen = queries.reviewed(warehouse, selection)
    st.caption(
        f"**{seen.reviewed:,}** of {words.count(seen.records, 'record')} reviewed. Flagged records "
        "come first, then what is unusual against the baseline in ways that were reviewed least. "
        "Records of one image, and identical outputs, show once. This order is not random: to "
        "estimate an error rate, use *Measure*."
    )
    reference = state.baseline(log).selection
    reviewing.reviewer(
        log,
        "find",
        f"find {query_string(selection)}",
        actor,
        lambda count: queries.worth_reviewing(warehouse, selection, reference, actor, count),
        pinned,
        "You have reviewed every record of this selection.",
    )


@st.fragment
def measure() -> None:
    measured = queries.measured(warehouse, selection)
    measuring.panel(log, selection, measured)
    if measured is None:
        return
    names = [draw.id for draw in measured.draws]
    draw_of = queries.draw_of_records(warehouse, names)
    reviewing.reviewer(
        log,
        "measure",
        f"measure {' '.join(names)}",
        actor,
        lambda count: queries.unreviewed_of_draws(warehouse, names, actor, count),
        pinned,
        "You have reviewed every drawn record. Draw more, or let a second person review them.",
        draw_of.get,
    )


if queue == "disputes":
    disputes.panel(log, selection, actor, known)
else:
    if known:
        names = choices.several(
            "modes",
            "Failure modes on keys 1 to 9",
            list(titles),
            first,
            MOST_PINNED,
            titles.__getitem__,
        )
        pinned = [mode for name in names for mode in known if mode.id == name]
    else:
        pinned = []
        st.caption("No failure modes yet: create one, and it gets a key.")
    if queue == "find":
        find()
    else:
        measure()
