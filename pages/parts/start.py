"""The start: what users flag, who wrote what is offensive, gibberish, and what fixes it."""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from data_access import OpenLog, queries
from data_access.projections.table import ENTROPY
from data_access.queries import Baseline, Cause
from data_access.records import Record
from data_access.selection import Selection
from pages.parts import (
    bar,
    cards,
    pictures,
    replay_cases,
    replay_verdicts,
    replays,
    store,
    toxicity,
    trends,
    words,
)
from pages.parts import trend_charts as charts
from replay.authorship import Authorship, Authorships
from replay.engine import Question
from replay.interventions import NOTHING
from replay.judgement import best

QUOTED = 3  # offensive outputs
STRIP = 6  # images
NARROWEST = 380  # pixels of a picture
LOOK_SECONDS = 1.0
AROUND = 32  # characters of an output on each side of an offensive word


def start(log: OpenLog, selection: Selection, baseline: Baseline) -> None:
    """Four pictures, each with its numbers, its records and the way to them."""
    with st.grid(2, min_column_width=NARROWEST):
        _flags(log, selection)
        _offensive(log, selection, baseline)
        low = _low_entropy(log, selection, baseline)
        _proof(log, low, baseline)


def _flags(log: OpenLog, selection: Selection) -> None:
    rates = queries.flag_rates_by_version(log.warehouse, selection)
    with trends.versions(rates, queries.version_change(rates)):
        weeks = queries.weekly_flag_rate(log.warehouse, selection)
        if len(weeks) < 2:
            st.caption("A weekly rate needs two weeks with enough predictions.")
            return
        releases = queries.releases(log.warehouse, selection)
        st.vega_lite_chart(
            charts.rate_by_week(weeks, releases), key="start-weeks", alt="Flag rate by week"
        )


def _offensive(log: OpenLog, selection: Selection, baseline: Baseline) -> None:
    with st.container(border=True, gap="xxsmall", height="stretch"):
        _once_looked(partial(_who_wrote_it, log, selection, baseline))


def _who_wrote_it(log: OpenLog, selection: Selection, baseline: Baseline) -> None:
    flagged = selection.with_flag(queries.OFFENSIVE_FLAG)
    counts = queries.coverage(log.warehouse, flagged)
    label = "Flagged offensive: who wrote it"
    if not counts.predictions:
        st.metric(label, "None")
        st.caption("None of these predictions is flagged offensive.")
        return
    judged = toxicity.authors(log, flagged, baseline)
    st.metric(label, _authors(judged), help=toxicity.EXPLANATION)
    st.caption(_of(judged, counts.predictions))
    for row in sorted(judged.rows, key=_telling)[:QUOTED]:
        st.html(quote(row))
    bar.page_link("cases", words.count(counts.predictions, "case"), flagged)


def _authors(judged: Authorships) -> str:
    model, user = judged.count("model"), judged.count("user")
    return f"{model:,} by the model, {user:,} by users"


def _of(judged: Authorships, total: int) -> str:
    unknown = judged.count("unknown")
    of = f"{total:,} flagged offensive"
    if len(judged.rows) < total:
        of = f"the newest {len(judged.rows):,} of {total:,} flagged offensive"
    return f"{of} · {unknown:,} unknown" if unknown else of


def _telling(row: Authorship) -> tuple[bool, bool, int]:
    """What is known first, and of it what has a word to show."""
    return row.author == "unknown", not row.words, len(row.record.output or "")


def quote(row: Authorship) -> str:
    """HTML of an output around its first offensive word, its words marked, and who wrote it."""
    text = " ".join((row.record.output or "").split())
    place = min((at for word in row.words if (at := text.casefold().find(word)) >= 0), default=0)
    first = max(0, place - AROUND)
    cut = text[first : place + 3 * AROUND]
    before, after = ("… " if first else ""), (" …" if first + len(cut) < len(text) else "")
    judged = f"{toxicity.AUTHORS[row.author]}: {words.escaped(row.reason)}"
    return (
        f'<div class="misread-text misread-excerpt">{before}{cards.words_marked(cut, row.words)}'
        f'{after}</div><div class="misread-meta">{judged}</div>'
    )


def _low_entropy(log: OpenLog, selection: Selection, baseline: Baseline) -> Selection | None:
    """Draws it; returns the records, None where there is nothing to compare with."""
    with st.container(border=True, gap="xxsmall", height="stretch"):
        low = queries.low_range(log.warehouse, baseline.selection, ENTROPY)
        label = "Repetitive or very short outputs"
        if low is None:
            st.metric(label, "–")
            st.caption(
                f"No record in {words.escape_markdown(baseline.label)} has a word entropy to "
                "compare with: choose another baseline."
            )
            return None
        records = selection.with_range(low)
        counts = queries.coverage(log.warehouse, records)
        everything = queries.coverage(log.warehouse, selection)
        st.metric(
            label,
            f"{counts.predictions:,} of {everything.predictions:,}",
            help=f"Outputs with a word entropy below {words.value(low.high)} bits, the 5th "
            f"percentile of {baseline.label}.",
        )
        st.caption(
            f"{words.share(counts.predictions / max(everything.predictions, 1))} of outputs have a "
            f"word entropy below the 5th percentile of {words.escape_markdown(baseline.label)}"
        )
        page = queries.cases_page(log.warehouse, records, ENTROPY, False, 0, 4 * STRIP)
        _strip(log, _distinct([r for r in page.records if (r.output_text or "").strip()]))
        if counts.predictions:
            bar.page_link("cases", "See them, strangest first", records, sort=ENTROPY, order="up")
    return records


def _distinct(records: Sequence[Record]) -> list[Record]:
    """The first few, each image once."""
    return list({record.image: record for record in reversed(records)}.values())[::-1][:STRIP]


def _strip(log: OpenLog, records: Sequence[Record]) -> None:
    with st.grid(3, min_column_width=cards.GLANCE):
        for record in records:
            with st.container(gap="xxsmall"):
                cards.glance(pictures.strip(log, record.image), record.output_text or "")


def _proof(log: OpenLog, low: Selection | None, baseline: Baseline) -> None:
    with st.container(border=True, gap="xxsmall", height="stretch"):
        _once_looked(partial(_what_fixes_them, log, low, baseline))


def _what_fixes_them(log: OpenLog, low: Selection | None, baseline: Baseline) -> None:
    label = "What fixes them"
    if low is None or not queries.coverage(log.warehouse, low).predictions:
        st.metric(label, "–")
        st.caption("There are no repetitive or very short outputs to explain.")
        return
    ranking = queries.rank_causes(log.warehouse, low, baseline.selection)
    why = _why(ranking.causes[0], baseline) if ranking.causes else "No input separates them."
    findings = replays.known(log, Question(low), baseline)
    proven = best(findings.outcomes)
    if findings.trials.empty:
        st.metric(label, "Not replayed yet")
        st.caption(f"{why} A replay tests whether that is the cause.")
        _links(low)
        return
    if proven is None:
        st.metric(label, "Nothing so far")
        st.caption(f"{why} {replay_verdicts.verdict(findings, baseline)}")
        _links(low)
        return
    name = replay_verdicts.label(proven.intervention)
    st.metric(
        label,
        f"{name[:1].upper()}{name[1:]} fixes {proven.fixed:,} of {proven.outside:,}",
        help=replay_verdicts.verdict(findings, baseline).replace("**", ""),
    )
    control = next((o for o in findings.outcomes if o.intervention == NOTHING.name), None)
    unchanged = "" if control is None else f"; rereading them unchanged fixes {control.fixed:,}"
    st.caption(f"{why} 95% CI {proven.low * 100:.0f}–{proven.high:.0%}{unchanged}.")
    replay_cases.before_and_after(log, findings, proven.intervention)
    _links(low)


def _why(cause: Cause, baseline: Baseline) -> str:
    yes, others = cause.selected, cause.others
    return (
        f"{yes.yes:,} of {yes.known:,} {words.escape_markdown(cause.says)}; "
        f"of {words.escape_markdown(baseline.label)}, {others.yes:,} of {others.known:,}."
    )


def _links(low: Selection) -> None:
    with st.container(horizontal=True):
        bar.page_link("causes", "What separates them", low)
        bar.page_link("replay", "The replay", low, of="selection")


def _once_looked(draw: Callable[[], None]) -> None:
    """Draws it, again once the log has been asked for what it keeps beside its records."""
    looked = store.evidence().looked

    def drawn() -> None:
        if not looked and store.evidence().looked:
            st.rerun(scope="app")
        draw()

    st.fragment(drawn, run_every=None if looked else LOOK_SECONDS)()
