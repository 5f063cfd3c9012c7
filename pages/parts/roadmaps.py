"""The roadmap's rows, one opened mode, and the page as text and tables."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import streamlit as st

from data_access import OpenLog, queries, reports
from data_access.export import safe_csv
from data_access.queries import Effect, Mode, Roadmap, RoadmapRow
from data_access.selection import Selection, encoded
from pages.parts import bar, cards, choices, modes, palette, people, state, words

ROWS_A_PAGE = 12
EXAMPLES = 6
WIDTH, HEIGHT = 220, 44  # of a sparkline
TAGS = 3


def answer(found: Roadmap) -> None:
    """What is known of all errors, and what the last release did."""
    if not found.is_measured:
        st.markdown(
            "The error rate has not been measured yet: sizes are shares of what users flagged. "
            "Measure it on the Review page."
        )
        bar.page_link("review", "Draw records and review them", found.scope, queue="measure")
        return
    assert found.measured is not None
    st.markdown(
        f"**{words.rounded_share(found.rate.share)}** of predictions are read wrongly (95% CI "
        f"{reports.limits(found.rate)}), measured on {found.rate.total:,} records drawn at random "
        f"from {found.measured.population:,}. {_effect_sentence(found.effect)}"
    )


def _effect_sentence(effect: Effect | None) -> str:
    return f"All errors: {words.escape_markdown(reports.effect(effect))}." if effect else ""


def rows(log: OpenLog, found: Roadmap) -> None:
    """One box a mode, the largest × most severe first."""
    pages = math.ceil(len(found.rows) / ROWS_A_PAGE)
    first = choices.page_number(pages, "modes-page") * ROWS_A_PAGE if pages > 1 else 0
    shown = found.rows[first : first + ROWS_A_PAGE]
    if pages > 1:
        st.caption(f"{first + 1:,} to {first + len(shown):,} of {len(found.rows):,}")
    for row in shown:
        with st.container(border=True, gap="xsmall", key=f"mode-{row.mode.id}"):
            _row(log, found, row)


def _row(log: OpenLog, found: Roadmap, row: RoadmapRow) -> None:
    mode = row.mode
    with st.grid(4, min_column_width=180):
        with st.container(gap="xsmall"):
            st.subheader(words.escape_markdown(mode.title), anchor=False)
            st.caption(words.escape_markdown(mode.definition[:160]) or "No definition.")
            # no link: one to the page that it is on leaves the browser's URL as it was
            st.button(
                "Open", key=f"open-{mode.id}", icon=":material/arrow_forward:",
                icon_position="right", on_click=state.choose, args=("mode", [mode.id]),
            )  # fmt: skip
        with st.container(gap="xsmall"):
            if row.size.total:
                st.markdown(f"**{reports.percent(row.size.share)}** of predictions")
                st.caption(
                    f"95% CI {reports.limits(row.size)}, "
                    f"{row.size.count:,} of {row.size.total:,} drawn"
                )
            if found.flags:
                share = row.flagged / found.flags
                st.caption(f"{reports.percent(share)} of flags · {row.labelled:,} labelled")
            if row.suspected is not None:
                st.caption(f"{row.suspected:,} suspected by its rule")
        with st.container(gap="xsmall"):
            st.image(sparkline(row, found), alt=_trend_text(row), width=WIDTH)
            st.caption(words.escape_markdown(reports.effect(row.effect)))
        with st.container(gap="xsmall"):
            st.markdown(f"{words.escape_markdown(reports.status(row))} · {mode.severity} severity")
            owner = words.escape_markdown(mode.owner)
            st.caption(f"Owner: {owner}" if owner else "No owner")
            if mode.issue:
                st.link_button("Issue", mode.issue, icon=":material/open_in_new:", type="tertiary")


def sparkline(row: RoadmapRow, found: Roadmap) -> str:
    """Labelled records by week as SVG, with a line for each release."""
    if found.span is None:
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"></svg>'
    start, end = found.span
    start = min([start, *(moment for moment, _ in row.weeks)])
    seconds = max(1.0, (end - start).total_seconds())
    most = max([count for _, count in row.weeks], default=1)
    week = WIDTH * 7 * 86_400 / (seconds + 7 * 86_400)

    def place(moment: datetime) -> float:
        passed = (moment - start).total_seconds()
        return max(0.0, min(1.0, passed / (seconds + 7 * 86_400))) * WIDTH

    bars = "".join(
        f'<rect x="{place(moment):.1f}" y="{HEIGHT - 2 - (HEIGHT - 8) * count / most:.1f}" '
        f'width="{max(1.0, week - 2):.1f}" height="{(HEIGHT - 8) * count / most:.1f}" '
        f'fill="{palette.PRODUCTION}"/>'
        for moment, count in row.weeks
    )
    lines = "".join(
        f'<line x1="{place(moment.replace(tzinfo=None)):.1f}" '
        f'x2="{place(moment.replace(tzinfo=None)):.1f}" y1="0" y2="{HEIGHT}" '
        f'stroke="{palette.BASELINE}" stroke-width="1.5" stroke-dasharray="3 2"/>'
        for _, moment in found.released[1:]
    )
    axis = (
        f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT - 1.5}" y2="{HEIGHT - 1.5}" '
        f'stroke="{palette.BASELINE}"/>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">{bars}{lines}{axis}</svg>'
    )


def _trend_text(row: RoadmapRow) -> str:
    counts = ", ".join(f"{count}" for _, count in row.weeks)
    return f"Labelled records by week: {counts}" if counts else "No labelled records"


def opened(log: OpenLog, found: Roadmap, mode: Mode, selection: Selection) -> None:
    """One failure mode: its numbers, by version and tag, examples, history, and forms."""
    row = next((one for one in found.rows if one.mode.id == mode.id), None)
    st.button(
        "All failure modes", icon=":material/arrow_back:", on_click=state.forget, args=("mode",)
    )
    st.header(words.escape_markdown(mode.title), anchor=False)
    st.markdown(words.escape_markdown(mode.definition) or "No definition.")
    if row is not None:
        _facts(row, found)
    labelled = replace(found.scope, mode=(mode.id,))
    with st.container(horizontal=True, vertical_alignment="center"):
        bar.page_link("cases", "Show its cases", labelled)
        bar.page_link("causes", "What separates them?", labelled)
        bar.page_link("replay", "Replay them", labelled, of="selection")
        if row is not None:
            _issue(log, row, labelled)
    _parts(log, mode, selection)
    st.subheader("Examples", anchor=False)
    page = queries.cases_page(log.warehouse, labelled, size=EXAMPLES)
    if page.records:
        cards.gallery(log, page.records, [], name="examples")
    else:
        st.caption("No record has this failure mode yet.")
    with st.expander("Edit", key="change-mode"):
        people.ask("Kept with what you change.")
        modes.edit(log, mode, selection)
    with st.expander("History"):
        _history(log, mode)


def _facts(row: RoadmapRow, found: Roadmap) -> None:
    with st.grid(4, min_column_width=190):
        measured = f"95% CI {reports.limits(row.size)}" if row.size.total else "no random draw yet"
        cards.fact(
            "Share of predictions", reports.percent(row.size.share), measured,
            "Measured on records drawn at random, weighted by their inclusion probability.",
        )  # fmt: skip
        share = row.flagged / found.flags if found.flags else math.nan
        cards.fact(
            "Share of flags", reports.percent(share), f"{row.flagged:,} of {found.flags:,} flagged",
            "Of the flagged records; users decide what is flagged, so it is no rate.",
        )  # fmt: skip
        effect = row.effect
        change = "–"
        if effect and effect.before.total:
            change = f"{reports.points(effect.change)} points"
        cards.fact(
            f"After {effect.version}" if effect else "After a release",
            change,
            reports.effect(effect),
            "Difference of the measured shares over windows of the same length before and after "
            "the release, with Newcombe's interval.",
        )
        quality = row.quality
        rule = (
            f"precision {reports.size(quality.precision)}, recall {reports.size(quality.recall)}"
            if quality
            else "no rule"
        )
        suspected = "–" if row.suspected is None else f"{row.suspected:,}"
        cards.fact(
            "Suspected", suspected, rule,
            "Records that fit its rule and are not reviewed; precision and recall of the rule "
            "against what was reviewed.",
        )  # fmt: skip


def _parts(log: OpenLog, mode: Mode, selection: Selection) -> None:
    """Where it was seen: by version, and by the tags with few values."""
    tables = [("version", queries.mode_by_version(log.warehouse, selection, mode.id))]
    tags = list(queries.log_tags(log.warehouse).categories)[:TAGS]
    tables += [(tag, queries.mode_by_tag(log.warehouse, selection, mode.id, tag)) for tag in tags]
    with st.expander("By version and tag"):
        st.caption("Of all reviewed records, whatever queue they came from.")
        for name, frame in tables:
            st.dataframe(
                frame.assign(value=[words.named(value, name) for value in frame["value"]]),
                hide_index=True,
                column_config={
                    "value": st.column_config.TextColumn(name),
                    "records": st.column_config.NumberColumn("with this mode"),
                    "share": st.column_config.NumberColumn(format="percent"),
                },
            )


def _issue(log: OpenLog, row: RoadmapRow, labelled: Selection) -> None:
    """A link to an issue, or to a GitHub form that is filled in."""
    if row.mode.issue:
        st.link_button("Issue", row.mode.issue, icon=":material/open_in_new:", type="tertiary")
        return
    with st.popover("Open an issue", icon=":material/bug_report:", type="tertiary"):
        repository = st.text_input(
            "Repository", key="widget.repository", placeholder="https://github.com/owner/name"
        )
        page, _ = state.address()
        base = page.rpartition("/")[0]
        keys = [
            record.record_key
            for record in queries.cases_page(log.warehouse, labelled, size=3).records
        ]
        examples = [f"{base}/{bar.case_address(key)}" for key in keys]
        link = f"{page}?{encoded(state.link(labelled.without('mode'), mode=row.mode.id))}"
        if repository.startswith("https://"):
            st.link_button(
                "Write it on GitHub", reports.issue_link(repository, row, examples, link)
            )
        st.caption("Filled in with the numbers, examples and a link back. Paste its address under "
                   "*Edit* once it is there.")  # fmt: skip


def _history(log: OpenLog, mode: Mode) -> None:
    zone = state.viewer_zone()
    for row in reversed(queries.mode_events(log.warehouse, mode.id)):
        who = words.escape_markdown(row.actor or "somebody")
        what = ", ".join(
            f"{name.replace('_', ' ')}: {value}" if value is not None else f"no {name}"
            for name, value in reports.changes(row.payload)
        )
        st.markdown(f"{words.moment(row.moment, zone)} · **{who}** · "
                    f"{words.escape_markdown(what or 'removed it')}")  # fmt: skip


def downloads(found: Roadmap) -> None:
    """The whole page as Markdown and as CSV."""
    with st.container(horizontal=True):
        st.download_button(
            "Markdown", lambda: reports.roadmap_markdown(found), "roadmap.md", "text/markdown",
            icon=":material/download:",
        )  # fmt: skip
        st.download_button(
            "CSV", lambda: safe_csv(reports.roadmap_frame(found)), "roadmap.csv", "text/csv",
            icon=":material/download:",
        )  # fmt: skip
        with st.popover("Copy as text", icon=":material/content_copy:", type="tertiary"):
            st.caption("For a weekly note.")
            st.code(reports.roadmap_markdown(found), language=None, wrap_lines=True)


def in_overview(found: Roadmap) -> None:
    """The largest failure modes in a line, with the way to the rest, if there are any."""
    named = [row for row in found.rows if row.size.count or row.flagged]
    if not named:
        return
    of = "measured shares of predictions" if found.is_measured else "numbers of flagged records"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Largest failure modes, with {of}: {largest(named, 3)}.", width="content")
        bar.page_link("roadmap", "Roadmap", found.scope)


def largest(rows: Sequence[RoadmapRow], count: int) -> str:
    """`dark on light 31%, printed 9%`: the largest modes in a sentence; Markdown."""
    named = []
    for row in rows[:count]:
        share = reports.percent(row.size.share) if row.size.total else f"{row.flagged:,} flagged"
        named.append(f"**{words.escape_markdown(row.mode.title)}** {share}")
    return ", ".join(named)
