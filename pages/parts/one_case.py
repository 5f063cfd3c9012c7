"""What is known of one case: texts, what is unusual about it, who said what, what is like it."""

import html
import math
from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from data_access import OpenLog, queries
from data_access.queries import Case, Place
from data_access.records import Record
from data_access.selection import Selection
from data_access.similar_images import BITS, similar_images
from data_access.statistics.text_differences import alike
from pages.parts import bar, cards, charts, choices, pictures, replays, state, words
from replay.interventions import intervention

TOOLS = {"inverted": "Invert", "stretched": "Stretch contrast"}
ZOOMS = ("100%", "200%", "400%")
HEIGHT = 300  # pixels of an image on the page, at most
MOST_TAGS, LONGEST_TAG = 4, 40
MOST_UNUSUAL = 5
SIMILAR = 3
UNSURE = 50  # percent
CHARTS = 4


def walk(log: OpenLog, chosen: Selection, record_key: str) -> str | None:
    """Back to the cases, and to the case before and after this one in their order; the key of
    that after it."""
    here = queries.neighbours(log.warehouse, chosen, *choices.case_order(log), record_key)
    choices.leave_case(record_key)
    with st.container(horizontal=True, vertical_alignment="center"):
        if here is None:
            bar.page_link("cases", "Back to cases", chosen, back=True)
            st.caption("This record does not match the current filters.")
            return None
        number = choices.keep_page_of(here.place)
        bar.page_link("cases", "Back to cases", chosen, back=True, number=str(number))
        for label, arrow, target, shortcut in (
            ("Previous", "back", here.previous, "left"),
            ("Next", "forward", here.following, "right"),
        ):
            st.button(
                label,
                icon=f":material/arrow_{arrow}:",
                disabled=target is None,
                shortcut=shortcut,
                key=label.lower(),
                on_click=choices.open_case,
                args=(target,),
            )
        st.caption(f"{here.place + 1:,} of {here.total:,}", width="content")
    return here.following


def prepare(log: OpenLog, chosen: Selection, record_key: str | None) -> None:
    """Look up the case that is likely to be opened next, so that it is shown at once."""
    case = queries.case(log.warehouse, record_key) if record_key else None
    if case is not None:
        order = choices.case_order(log)
        queries.neighbours(log.warehouse, chosen, *order, case.record.record_key)
        pictures.large(log, case.record.image, inverted=False, stretched=False)


def headline(record: Record) -> str:
    """The case in a few words."""
    more = f" and {len(record.flags) - 3} more" if len(record.flags) > 3 else ""
    return (
        f"Flagged {', '.join(map(words.escape_markdown, record.flags[:3]))}{more}"
        if record.flags
        else "Not flagged"
    )


def facts(case: Case) -> None:
    """Where and when it was read, by what, sent by which client, and how often this image came."""
    record = case.record
    tags = [
        f"{words.escape_markdown(name)} **{words.escape_markdown(value)}**"
        for name, value in record.tags.items()
        if isinstance(value, str) and len(value) <= LONGEST_TAG
    ]
    pieces = [
        words.escape_markdown(words.environment(record.environment)),
        f"version **{words.escape_markdown(record.version or 'unknown')}**",
        *tags[:MOST_TAGS],
        f"predicted **{words.moment(record.timestamp, state.viewer_zone())}**",
    ]
    if case.same_image > 1:
        pieces.append(f"this image is in **{case.same_image:,}** records")
    st.markdown(
        " · ".join(pieces),
        help=f"{record.timestamp:%Y-%m-%d %H:%M:%S} UTC; record "
        + words.escape_markdown(record.record_key),
    )


def image(log: OpenLog, record: Record, chosen: Selection) -> None:
    """The image, its tools, and the ways to look closer."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        tools = st.pills(
            "Image tools",
            list(TOOLS),
            selection_mode="multi",
            format_func=TOOLS.__getitem__,
            label_visibility="collapsed",
            key="tools",
        )
        zoom = st.button("Zoom", icon=":material/zoom_in:", shortcut="z", key="zoom")
        bar.page_link("replay", "Replay this case", chosen, record=record.record_key, of="case")
    picture = pictures.large(
        log, record.image, inverted="inverted" in tools, stretched="stretched" in tools
    )
    if picture.encoded is None:
        st.info(words.escape_markdown(picture.problem or ""))
        return
    alt = record.output_text or "no output"
    st.image(picture.encoded, width=pictures.width(picture, HEIGHT), alt=alt)
    if zoom:
        _zoom(picture, alt)


@st.dialog("Image", width="large")
def _zoom(picture: pictures.Picture, alt: str) -> None:
    scale = st.segmented_control("Zoom", ZOOMS, default=ZOOMS[1], required=True)
    st.html(
        f'<div class="misread-zoom" tabindex="0" role="region" aria-label="The image at {scale}">'
        f'<img src="{pictures.data_url(picture)}" alt="{html.escape(alt)}" '
        f'style="width: {scale}"></div>'
    )


def texts(log: OpenLog, record: Record) -> None:
    """The model's output, the truth where it is known, and what was read in the inverted image."""
    truth, text = record.ground_truth_string, record.output_text
    with st.grid(2, min_column_width=190):
        with st.container(gap="small"):
            _output(text, truth)
            if truth is None:
                _truth(text, truth)
        if truth is not None:
            _truth(text, truth)
        _inverted(log, record)
        _confidences(record)
    if text is not None and truth is not None and text != truth and alike(text, truth):
        st.caption("Struck out: only in the output; underlined: only in the truth.")


def _output(text: str | None, truth: str | None) -> None:
    with st.container(gap="xxsmall"):
        st.caption("Model output")
        if text is None:
            st.html('<div class="misread-meta">No output.</div>')
        else:
            st.html(cards.reading(cards.marked(text, text if truth is None else truth)[0]))


def _truth(text: str | None, truth: str | None) -> None:
    with st.container(gap="xxsmall"):
        st.caption("Truth")
        if truth is None:
            st.html('<div class="misread-meta">Unknown.</div>')
        elif truth == text:
            st.html('<div class="misread-meta">✓ The output is correct.</div>')
        else:
            st.html(cards.reading(cards.marked(text or "", truth)[1]))


def _confidences(record: Record) -> None:
    """How sure the model was of each character, where the log has it."""
    confidences, text = record.confidences, record.output_text
    if confidences is None or text is None:
        return
    with st.container(gap="xxsmall"):
        st.caption("Confidence per character")
        pieces = [
            f'<mark title="{percent}%">{words.escaped(character)}</mark>'
            if percent < UNSURE
            else words.escaped(character)
            for character, percent in zip(text, confidences, strict=True)
        ]
        st.html(cards.reading("".join(pieces)))
        unsure = sum(percent < UNSURE for percent in confidences)
        st.caption(
            f"Marked: under {UNSURE}%, {words.count(unsure, 'character')} of {len(text):,}. "
            f"Lowest: {min(confidences)}%."
        )


def _inverted(log: OpenLog, record: Record) -> None:
    """What a replay read in the inverted image, if one has."""
    inverting = intervention("invert")
    known = replays.replays(log).reading(record.record_key, inverting)
    if known is None or record.image is None:
        return
    reading, reader = known
    with st.container(gap="xxsmall"):
        st.caption(f"Inverted image, read by {words.escape_markdown(reader.label)}")
        picture = pictures.altered(log, record.image, inverting.name)
        if picture.encoded is not None:
            st.image(picture.encoded, width=pictures.width(picture, 100), alt="The inverted image")
        st.html(cards.reading(words.escaped(reading.text)))


def unusual(places: Sequence[Place], baseline_label: str) -> None:
    """What is unusual about a case, the strangest first."""
    label = words.escape_markdown(baseline_label)
    st.header("What is unusual about it")
    values = queries.unusual(places)
    if values is None:
        st.caption(f"Not enough data in {label} to compare with.")
        return
    if not values:
        st.caption(f"Nothing: no value is beyond {queries.UNUSUAL:.0%} of those of {label}.")
        return
    st.markdown(
        "\n".join(
            f"- {words.escape_markdown(value.projection.label)} "
            f"**{words.value(value.value)}**: {value.side} than "
            f"{words.percentile(value.share)} of {label}"
            for value in values[:MOST_UNUSUAL]
        )
    )
    if len(values) > MOST_UNUSUAL:
        st.caption(f"And {len(values) - MOST_UNUSUAL} more, below.")


def history(case: Case) -> None:
    """The prediction and all feedback on it, oldest first: who said what, and when."""
    st.header("Who said what")
    record, zone = case.record, state.viewer_zone()
    version = words.escaped(record.version or "unknown")
    _event(f"<b>Predicted</b> by version {version}", record.timestamp, zone)
    if case.feedback.empty:
        st.html('<div class="misread-meta">No feedback.</div>')
    for event in queries.plain_rows(case.feedback):
        pieces = []
        if event["flag"] is not None:
            pieces.append(f"<b>Flagged</b> {cards.flags([event['flag']])}")
        if event["ground_truth_string"] is not None:
            truth = words.escaped(event["ground_truth_string"])
            pieces.append(f'<b>Corrected</b> to <span class="misread-text">{truth}</span>')
        if event["comment"] is not None:
            pieces.append(f"<b>Commented</b> “{words.escaped(event['comment'])}”")
        who = f" by {words.escaped(event['user'])}" if event["user"] else ""
        if event["feedback_key"].endswith(":logged"):
            who += " (logged with the prediction)"
        _event("<br>".join(pieces) + who, event["timestamp"], zone)


def _event(said: str, moment: datetime, zone: str | None) -> None:
    when = words.moment_html(moment, zone)
    st.html(f'<div>{said}<div class="misread-meta">{when}</div></div>')


def same_image(log: OpenLog, case: Case) -> None:
    """All other records of this image."""
    if case.same_image < 2:
        return
    others = queries.same_image(log.warehouse, case.record)
    count = case.same_image - 1
    st.header(f"{words.count(count, 'other record').capitalize()} of this image")
    if count > len(others):
        st.caption(f"The newest {len(others):,}.")
    zone = state.viewer_zone()
    with st.grid(3, min_column_width=225):
        for place, other in enumerate(others):
            with st.container(border=True, gap="xsmall", key=f"card-same-{place}"):
                version = words.escaped(other.version or "unknown")
                when = f"{words.moment_html(other.timestamp, zone)} · version {version}"
                cards.summary(other, when)


def similar(log: OpenLog, record: Record) -> None:
    """Cases with similar outputs and images, and what was searched for them."""
    st.header("Similar cases")
    texts = queries.similar_texts(log.warehouse, record, SIMILAR)
    if texts.records:
        st.caption(
            f"Most similar outputs, of {texts.searched:,} compared ({texts.outputs:,} in the log). "
            "Similarity by edit distance: "
            + ", ".join(f"{likeness:.0%}" for likeness in texts.likeness)
            + "."
        )
        cards.gallery(log, texts.records, [], name="texts")
    elif texts.searched:
        st.caption(f"No similar output among {texts.searched:,} compared.")
    images = similar_images(log, record, SIMILAR)
    if images.records:
        alikes = [
            f"{bits} of {BITS} bits apart" + (", inverted" if is_inverse else "")
            for bits, is_inverse in zip(images.bits, images.inverted, strict=True)
        ]
        st.caption(
            f"Most similar images by perceptual hash, of {images.searched:,} compared "
            f"({images.images:,} in the log): {'; '.join(alikes)}."
        )
        cards.gallery(log, images.records, [], name="images")
    elif not texts.searched and not images.searched:
        st.caption("Nothing to compare: no text, and no image that can be read.")
    elif images.searched:
        st.caption(
            "No similar image by perceptual hash. Compared: the "
            f"{images.searched:,} whose values are nearest, of {images.images:,} in the log."
        )


def against(places: Sequence[Place], baseline_label: str) -> None:
    """Where the values of a case stand in the baseline: the strangest, and on demand all."""
    if all(math.isnan(position.lower) for position in places):
        st.header("Values")
        _charts(places, baseline_label)
        return
    st.header(f"Against {words.escape_markdown(baseline_label)}")
    names = [value.projection.name for value in queries.unusual(places) or []]
    by_name = {position.projection.name: position for position in places}
    first = [by_name[name] for name in dict.fromkeys([*names, *by_name])][:CHARTS]
    _charts(first, baseline_label)
    if len(places) > len(first):
        rest = st.expander(f"All {len(places)} values", key="all-values", on_change="rerun")
        if rest.open:
            with rest:
                _charts([p for p in places if p not in first], baseline_label)


def _charts(places: Sequence[Place], baseline_label: str) -> None:
    with st.grid(4, min_column_width=200):
        for position in places:
            with st.container():
                place(position, baseline_label)


def place(position: Place, baseline_label: str) -> None:
    """One projection of a record, and where it stands in the baseline."""
    row = position.projection
    st.markdown(
        f"{row.label} **{words.value(position.value)}**",
        help=f"{row.explanation} Unit: {row.unit}.",
    )
    if position.value is None:
        st.caption("not scored yet" if row.compute is None else "no value")
        return
    if position.baseline_counts.any():
        st.vega_lite_chart(charts.place(position), key=f"place-{row.name}")
    st.caption(standing(position, baseline_label))


def standing(position: Place, baseline_label: str) -> str:
    """`lower than 98% of test`."""
    label = words.escape_markdown(baseline_label)
    if math.isnan(position.lower):
        return f"no values in {label} to compare with"
    same = 1 - position.lower - position.higher
    if same > 0.5:
        return f"the same as {words.percentile(same)} of {label}"
    side, portion = (
        ("lower", position.lower)
        if position.lower >= position.higher
        else ("higher", position.higher)
    )
    return f"{side} than {words.percentile(portion)} of {label}"
