"""Pieces of a page: numbers, records as cards, texts with their differences marked."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data_access import OpenLog
from data_access.projections import Projection, ProjectionTable
from data_access.queries import CasesPage
from data_access.records import Record
from data_access.scoring.words import WORD
from data_access.selection import Selection
from data_access.statistics.text_differences import alike, differences
from pages.parts import bar, choices, palette, pictures, state, words

LINES, LINE = 6, 18  # lines of text that a card has room for, and characters of a narrow one
GLANCE = 120  # pixels that an image takes at least
MOST_VALUES = 3  # of a card
RETURN = """
<script>
{
  const pictures = [...document.querySelectorAll('[class*="st-key-card-"] img')];
  Promise.all(pictures.map(picture => picture.decode().catch(() => null))).then(() =>
    document.querySelector(".st-key-card-opened")?.scrollIntoView({block: "center"}));
}
</script>
"""


def fact(label: str, value: str, note: str, explanation: str) -> DeltaGenerator:
    """One number of a page, with a word on it; returns its box, for a link."""
    box = st.container(border=True, gap="xxsmall", height="stretch")
    box.metric(label, value, help=explanation)
    box.caption(note)
    return box


def card(
    record: Record,
    picture: pictures.Picture,
    shown: Sequence[Projection],
    when: str,
    same_image: int,
    key: str,
    below: Callable[[Record], None] | None = None,
) -> None:
    """A record: image, text, truth where known, flags, a few projections, its link.

    when: HTML. same_image: the number of records that show this image. key: of its box. below:
    draws what comes last in it.
    """
    with st.container(border=True, key=f"card-{key}", height="stretch", gap="xsmall"):
        if picture.encoded is None:
            problem = words.escaped(picture.problem or "")
            st.html(f'<div class="misread-no-picture"><span>{problem}</span></div>')
        else:
            st.image(picture.encoded, alt=record.output_text or "no output", width="stretch")
        summary(record, when, shown, same_image)
        if below is not None:
            below(record)


def summary(
    record: Record, when: str, shown: Sequence[Projection] = (), same_image: int = 1
) -> None:
    """A record without its image: text, truth, flags, values, its link; as `card`."""
    st.html(output(record.output_text, record.ground_truth_string))
    measured = " · ".join(
        words.hinted(f"{p.label} {words.value(record.projections[p.name])}", p.explanation)
        for p in shown
    )
    repeated = f" · {same_image:,} reports" if same_image > 1 else ""
    st.html(f'<div class="misread-meta">{flags(record.flags)}{when}{repeated}<br>{measured}</div>')
    bar.page_link("case", "Open", state.selection(), record=record.record_key)


def reading(shown: str) -> str:
    """A text to be read, as HTML of its own."""
    return f'<div class="misread-text">{shown or "<em>empty</em>"}</div>'


def output(text: str | None, truth: str | None) -> str:
    """An output as HTML; where the truth is known, it stands below with differences marked."""
    if text is None:
        return '<div class="misread-meta">No output.</div>'
    if truth is None:
        shown = words.escaped(text) or "<em>empty</em>"
        return f"<div {_reading(text)}>{shown}</div>"
    wrong, right = marked(text, truth)
    if text == truth:
        return f'<div {_reading(text, "")}>{wrong}<div class="misread-truth">✓ correct</div></div>'
    right = f'<div class="misread-truth">truth: {right}</div>'
    return f"<div {_reading(text, truth)}>{wrong}{right}</div>"


def _reading(*texts: str) -> str:
    """Attributes of texts to be read; what may be too long for a card is reached by keys too."""
    lines = (line for text in texts for line in text.split("\n"))
    long = sum(1 + len(line) // LINE for line in lines) > LINES
    return 'class="misread-text"' + (' tabindex="0"' if long else "")


def marked(text: str, other: str) -> tuple[str, str]:
    """Two texts as HTML: what only the first has struck out, what only the other has underlined.

    Texts that are not alike are left as they are: marks on every letter say nothing.
    """
    if not alike(text, other):
        return words.escaped(text), words.escaped(other)
    first, second = "", ""
    for piece in differences(text, other):
        removed, added = words.escaped(piece.output), words.escaped(piece.truth)
        if piece.kind == "equal":
            first, second = first + removed, second + added
        else:
            first += f"<del>{removed}</del>" if removed else ""
            second += f"<ins>{added}</ins>" if added else ""
    return first, second


def glance(picture: pictures.Picture, text: str) -> None:
    """An image, and the first lines of what was read in it."""
    if picture.encoded is None:
        st.caption(words.escape_markdown(picture.problem or ""))
    else:
        st.image(picture.encoded, alt=text or "no output")
    read = words.escaped(text) or "<em>empty</em>"
    st.html(f'<div class="misread-text misread-excerpt">{read}</div>')


def words_marked(text: str, marked: Collection[str]) -> str:
    """A text as HTML, words of it in bold; marked: in lower case."""
    pieces = []
    end = 0
    for match in WORD.finditer(text):
        pieces.append(words.escaped(text[end : match.start()]))
        word = words.escaped(match.group())
        pieces.append(f"<mark>{word}</mark>" if match.group().casefold() in marked else word)
        end = match.end()
    return "".join([*pieces, words.escaped(text[end:])])


def flags(names: Sequence[str]) -> str:
    """Flags as HTML badges in their own colours."""
    colours = palette.flag_colours(list(names))
    tint = f"{round(255 * palette.BADGE_OPACITY):02x}"
    return "".join(
        f'<span class="misread-flag" style="border-color:{colour};background:{colour}{tint}">'
        f"{words.escaped(name)}</span>"
        for name, colour in colours.items()
    )


def gallery(
    log: OpenLog,
    records: Sequence[Record],
    shown: Sequence[Projection],
    same_image: Sequence[int] | None = None,
    moments: Sequence[datetime] | None = None,
    opened: str | None = None,
    name: str = "cases",
    below: Callable[[Record], None] | None = None,
) -> None:
    """Records as cards in as many columns as fit.

    same_image: the number of records that show the image of each; 1 unless given. moments: the
    time on each card, UTC; that of the record unless given. opened: the key of the record that
    one comes back from; its card is scrolled to. name: tells the galleries of a page apart. below:
    of each card.
    """
    zone = state.viewer_zone()
    images = pictures.small(log, [record.image for record in records])
    same_image = same_image or [1] * len(records)
    moments = moments or [record.timestamp for record in records]
    with st.grid(3, min_column_width=225):
        for place, (record, picture, count, moment) in enumerate(
            zip(records, images, same_image, moments, strict=True)
        ):
            key = "opened" if record.record_key == opened else f"{name}-{place}"
            card(record, picture, shown, words.moment_html(moment, zone), count, key, below)
    if opened in {record.record_key for record in records}:
        st.html(RETURN, unsafe_allow_javascript=True)
        choices.shown_again()


def empty(sentence: str, chosen: Selection) -> None:
    """Nothing to show: why, and what to do about it."""
    st.info(sentence)
    if chosen != Selection():
        st.button("Remove all filters", on_click=state.select, args=(Selection(),))
    st.stop()


def no_match(chosen: Selection) -> None:
    """No record is selected; without a filter, there is none yet."""
    if chosen == Selection():
        empty("This log has no records yet: they appear here once they are synced.", chosen)
    empty("No predictions match these filters.", chosen)


def table(
    log: OpenLog, page: CasesPage, projections: ProjectionTable, shown: Sequence[Projection]
) -> None:
    """A page of cases as a table; shown: the projections that come first."""
    rows = page.rows
    scored = [row.name for row in projections.rows if rows[row.name].notna().any()]
    first = [row.name for row in shown]
    columns = [
        "link", "picture", "outputs.output_text", *first, "feedback.ground_truth_string",
        "feedback.flags", "timestamp", "environment", "version", "same_image",
        *(name for name in scored if name not in first), "record_key",
    ]  # fmt: skip
    images = pictures.thumbnails(log, [record.image for record in page.records])
    links = [bar.case_address(record.record_key) for record in page.records]
    number = st.column_config.NumberColumn
    st.dataframe(
        rows.assign(
            timestamp=rows["timestamp"].dt.tz_localize("UTC"),
            picture=[pictures.data_url(picture) for picture in images],
            link=links,
        ),
        hide_index=True,
        row_height=56,
        height="content",
        column_order=columns,
        column_config={
            "link": st.column_config.LinkColumn(
                "case", display_text="Open", width="small", pinned=True
            ),
            "picture": st.column_config.ImageColumn("image", width="medium", pinned=True),
            "timestamp": st.column_config.DatetimeColumn("time", timezone=state.viewer_zone()),
            "outputs.output_text": st.column_config.TextColumn("output", width="large"),
            "feedback.ground_truth_string": st.column_config.TextColumn("truth", width="medium"),
            "feedback.flags": st.column_config.ListColumn("flags"),
            "same_image": number("reports of the image", format="localized"),
            **{
                row.name: number(row.label, help=row.explanation, format="%.4g")
                for row in projections.rows
            },
        },
    )
