"""Cases: show me."""

import math

import streamlit as st

from data_access import queries
from data_access.export import safe_csv
from data_access.projections.table import ENTROPY
from data_access.selection import query_string
from pages.parts import bar, cards, choices, frame, state, toxicity, words

SIZE = 24
MOST_DOWNLOADED = 50_000

log = frame.enter()
selection = state.selection()
warehouse = log.warehouse
projections = warehouse.projections

counts = queries.coverage(warehouse, selection)
st.title(words.count(counts.predictions, "case").capitalize())
if not counts.predictions:
    cards.empty("No predictions match these filters.", selection)
st.markdown(
    f"{counts.flagged:,} flagged, {counts.images:,} distinct images"
    + (f", {counts.without_image:,} without an image" if counts.without_image else "")
    + (f", {counts.unreadable_images:,} with an unreadable one" if counts.unreadable_images else "")
    + "."
)
these = (
    f"Replay these {words.count(counts.predictions)}"
    if counts.predictions > 1
    else "Replay this one"
)
bar.page_link("replay", these, selection, of="selection")

with st.container(horizontal=True, vertical_alignment="bottom"):
    sort = choices.menu(
        "sort",
        "Sort by",
        queries.sort_names(warehouse),
        lambda name: "time" if name == "timestamp" else projections[name].label,
    )
    order = choices.choice(
        "order",
        "Order",
        list(choices.ORDERS),
        lambda name: (
            {"down": "highest first", "up": "lowest first"}[name]
            if sort != "timestamp"
            else {"down": "newest first", "up": "oldest first"}[name]
        ),
    )
    view = choices.choice("view", "Show as", ["gallery", "table"])

number = choices.page_number(math.ceil(counts.predictions / SIZE))
page = queries.cases_page(warehouse, selection, sort, order == "down", number, SIZE)
st.caption(
    f"{page.first + 1:,} to {page.first + len(page.records):,} of {page.total:,}"
    + (" · each image counted once" if selection.each_image_once else "")
)
if view == "gallery":
    names = [name for name in (sort, ENTROPY) if name in projections]
    shown = [projections[name] for name in dict.fromkeys(names)]
    cards.gallery(log, page.records, shown, page.rows["same_image"].tolist())
else:
    cards.table(page.rows, projections)
toxicity.caption(log.warehouse.score_sources())

with st.expander("Export"):
    if counts.predictions <= MOST_DOWNLOADED:
        st.download_button(
            "Download as CSV",
            lambda: safe_csv(log.records(selection)),
            "cases.csv",
            "text/csv",
            icon=":material/download:",
        )
    st.caption("From a terminal, with `MISREAD_LOG` set to this log:")
    st.code(f'python -m data_access export "{query_string(selection)}" cases.csv', language="bash")
