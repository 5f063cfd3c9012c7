"""Cases: show me."""

import math

import streamlit as st

from data_access import queries
from data_access.export import safe_csv
from data_access.projections.table import ENTROPY
from data_access.selection import query_string
from pages.parts import bar, bulk, cards, choices, frame, state, toxicity, words

MOST_DOWNLOADED = 50_000

log = frame.enter()
selection = state.selection()
warehouse = log.warehouse
projections = warehouse.projections

counts = queries.coverage(warehouse, selection)
st.title(words.count(counts.predictions, "case").capitalize())
if not counts.predictions:
    cards.no_match(selection)
without = f", {counts.without_image:,} without an image" if counts.without_image else ""
broken = (
    f", {counts.unreadable_images:,} with an unreadable one" if counts.unreadable_images else ""
)
many = counts.predictions > 1
with st.container(horizontal=True, vertical_alignment="center"):
    st.markdown(
        f"{counts.flagged:,} flagged, {counts.images:,} distinct "
        f"{'image' if counts.images == 1 else 'images'}{without}{broken}.",
        width="content",
    )
    these = f"Replay these {words.count(counts.predictions)}" if many else "Replay this one"
    bar.page_link("replay", these, selection, of="selection")

with st.container(horizontal=True, vertical_alignment="bottom"):
    order = choices.order_of_cases(log)
    view = choices.choice("view", "Show as", ["gallery", "table"])
    labelling = bulk.is_on()

with st.container(horizontal=True, vertical_alignment="center"):
    number = choices.page_number(math.ceil(counts.predictions / choices.CASES_A_PAGE))
    page = queries.cases_page(warehouse, selection, *order, number, choices.CASES_A_PAGE)
    once = " · each image counted once" if selection.each_image_once else ""
    last = page.first + len(page.records)
    st.caption(f"{page.first + 1:,} to {last:,} of {page.total:,}{once}", width="content")
if labelling:
    bulk.panel(log, selection, page.records, counts.predictions)
filtered = [range_.name for range_ in reversed(selection.ranges)]
names = [name for name in (order.sort, *filtered, ENTROPY) if name in projections]
shown = [projections[name] for name in dict.fromkeys(names)][: cards.MOST_VALUES]
if view == "gallery" or labelling:
    cards.gallery(
        log,
        page.records,
        shown,
        page.rows["same_image"].tolist(),
        opened=choices.opened_case(),
        below=bulk.tick if labelling else None,
    )
else:
    cards.table(log, page, projections, shown)
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
