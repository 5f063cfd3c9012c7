"""Pieces of the Data page: what was logged when, what is no record, what has which scores."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from data_access.queries import Scored
from pages.parts import charts, words

DAYS = 366  # of one chart
KINDS = {"predictions": "records", "projections": "scores"}


def by_day(frame: pd.DataFrame) -> None:
    """Records and feedback of each day by source: columns day, kind, source and events."""
    dated = frame.dropna(subset=["day"])
    if dated.empty:
        st.info("No object key contains a date.")
        return
    first = pd.Timestamp(dated["day"].max()) - pd.Timedelta(days=DAYS - 1)
    shown = dated[dated["day"] >= first]
    frequent = shown.groupby("source")["events"].sum().sort_values(ascending=False, kind="stable")
    colours = charts.source_colours(list(frequent.index))
    span = (pd.Timestamp(shown["day"].min()), pd.Timestamp(shown["day"].max()))
    if len(colours) > 1:
        st.html(legend(colours))
    for noun in ("records", "feedback"):
        days = shown[shown["kind"] == noun]
        if not days.empty:
            st.altair_chart(
                charts.held_by_day(days, colours, noun, span),
                key=f"held-{noun}",
                alt=f"{noun} by day and source",
            )
    undated = int(frame["events"].sum() - dated["events"].sum())
    left_out = int(dated["events"].sum() - shown["events"].sum())
    notes = [
        "Each event counts once, on the day (UTC) in the key of the object it was first logged in."
    ]
    for events, where in (
        (undated, "without a date in their object's key"),
        (left_out, f"more than {DAYS} days before the newest"),
    ):
        if events:
            notes.append(f"Not shown: {words.count(events, 'event')} {where}.")
    st.caption(" ".join(notes))


def legend(colours: dict[str, str]) -> str:
    """Names with their colours as HTML that wraps where a chart's own legend would not."""
    return " ".join(
        f'<span class="misread-meta" style="display:inline-block;margin-right:1em">'
        f'<span style="display:inline-block;width:.8em;height:.8em;background:{colour}"></span> '
        f"{words.escaped(name)}</span>"
        for name, colour in colours.items()
    )


def objects(frame: pd.DataFrame) -> None:
    """The objects of each day as a table."""
    number = st.column_config.NumberColumn
    st.dataframe(
        frame.assign(kind=frame["kind"].replace(KINDS)),
        hide_index=True,
        column_config={
            "day": st.column_config.DateColumn("day (UTC)", format="YYYY-MM-DD"),
            "kind": "kind",
            "form": "format",
            "objects": number("objects", format="localized"),
            "merged": number(
                "merged",
                format="localized",
                help="Objects already included in a compacted object; they count there.",
            ),
            "events": number("events", format="localized"),
            "bytes": number("size", format="bytes"),
        },
    )


def reasons(frame: pd.DataFrame) -> None:
    """Why lines are no records, the commonest reasons first."""
    more = int(frame["reasons"].iloc[0]) - len(frame)
    st.dataframe(
        frame,
        hide_index=True,
        column_order=["lines", "reason", "objects", "example"],
        column_config={
            "reason": st.column_config.TextColumn("reason", width="large"),
            "lines": st.column_config.NumberColumn("lines", format="localized", width="small"),
            "objects": st.column_config.NumberColumn("objects", format="localized", width="small"),
            "example": st.column_config.TextColumn("example", width="medium"),
        },
    )
    if more:
        st.caption(f"The download has {words.count(more, 'more reason')}.")


def quarantine(rows: pd.DataFrame, total: int) -> None:
    """Lines that are no records."""
    if rows.empty:
        st.caption("No quarantined line matches.")
        return
    if len(rows) < total:
        st.caption(f"The first {len(rows):,} of {total:,} lines; the download has all of them.")
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            "object_key": st.column_config.TextColumn("object", width="medium"),
            "line": st.column_config.NumberColumn("line", format="%d", width="small"),
            "reason": st.column_config.TextColumn("reason", width="medium"),
            "excerpt": st.column_config.TextColumn("excerpt", width="large"),
        },
    )


def scores(rows: Sequence[Scored], served: int, sources: Mapping[str, str]) -> None:
    """Every projection: its version, how much of the log it covers, and why not all of it.

    sources: by name, who computed the scores that were found in the log.
    """
    st.dataframe(
        [
            {
                "projection": row.projection.label,
                "version": sources.get(row.projection.name)
                or row.projection.version.partition("+")[0],
                "covers": row.valued / served if served else None,
                "records": row.valued,
                "without": served - row.valued,
                "why": why(row),
                "unit": row.projection.unit,
                "name": row.projection.name,
                "means": row.projection.explanation,
            }
            for row in rows
        ],
        hide_index=True,
        height="content",
        column_config={
            "projection": st.column_config.TextColumn(width="medium"),
            "version": st.column_config.TextColumn(width="small"),
            "covers": st.column_config.ProgressColumn(
                "share",
                format="percent",
                min_value=0,
                max_value=1,
                width="medium",
                help="Records with a value, of all.",
            ),
            "records": st.column_config.NumberColumn("with a value", format="localized"),
            "without": st.column_config.NumberColumn("without", format="localized"),
            "why": st.column_config.TextColumn("reason", width=280),
            "means": st.column_config.TextColumn("meaning", width="large"),
        },
    )


def why(row: Scored) -> str:
    """Why records have no value: `432 without a truth, 3 failed`."""
    inputs = " or ".join(INPUTS[name] for name in row.projection.inputs)
    logged = row.projection.name.startswith("outputs.")
    reasons_by_count = (
        (row.without_input, f"without {inputs}"),
        (row.unreadable, "with an image that cannot be read"),
        (row.failed, "failed"),
        (row.waiting, "not logged" if logged else "not scored yet"),
        (row.undefined, "undefined"),
    )
    return ", ".join(f"{number:,} {reason}" for number, reason in reasons_by_count if number)


INPUTS = {
    "outputs.output_text": "a text",
    "feedback.ground_truth_string": "a truth",
    "inputs.image": "an image",
}


def failures(frame: pd.DataFrame, most: int = 20) -> None:
    """What projections failed with, as sentences."""
    for name, sentence, records in frame.head(most).itertuples(index=False):
        st.markdown(
            f"- **{words.escape_markdown(name)}** has no value for "
            f"{words.count(records, 'record')}: {words.escape_markdown(sentence)}"
        )
    if len(frame) > most:
        st.caption(f"And {len(frame) - most:,} more.")
