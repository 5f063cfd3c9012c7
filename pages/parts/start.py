"""The start: what users flag, who wrote what is offensive, gibberish, and what fixes it."""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from data_access import OpenLog, queries
from data_access.projections.table import ENTROPY
from data_access.queries import Baseline, Cause
from data_access.records import Record
from data_access.selection import Selection
from pages.parts import bar, cards, pictures, replay_verdicts, replays, store, trends, words
from pages.parts import trend_charts as charts
from replay.authorship import Authorship, Authorships, authorships
from replay.engine import Question
from replay.interventions import NOTHING
from replay.judgement import best

SHOWN = 3  # records of a picture
NARROWEST = 430  # pixels of a picture
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
            st.caption("A picture by week needs two weeks with enough predictions.")
            return
        releases = queries.releases(log.warehouse, selection)
        st.altair_chart(
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
        st.caption("Nobody flagged one of these predictions as offensive.")
        return
    evidence = store.evidence()
    judged = authorships(
        log, flagged, baseline.selection, evidence.words, evidence.readings
    ).flagged()
    st.metric(label, _authors(judged), help=EXPLANATION)
    st.caption(_of(judged, counts.predictions))
    for row in sorted(judged.rows, key=_telling)[:SHOWN]:
        st.html(f'<div class="misread-text misread-excerpt">{excerpt(row)}</div>')
        st.caption(f"{_author(row)}: {words.escape_markdown(row.reason)}")
    bar.page_link("cases", words.count(counts.predictions, "case"), flagged)


EXPLANATION = (
    "By the model: the offensive words are not in the truth, or another version does not read them "
    "in the same image. By the user: they are in the truth, or another version reads them too. "
    "Unknown: neither can be told."
)


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


def _author(row: Authorship) -> str:
    return {"model": "The model", "user": "The user", "unknown": "Unknown"}[row.author]


def excerpt(row: Authorship) -> str:
    """HTML of an output around its first offensive word, its offensive words marked."""
    text = " ".join((row.record.output or "").split())
    place = min((at for word in row.words if (at := text.casefold().find(word)) >= 0), default=0)
    first = max(0, place - AROUND)
    cut = text[first : place + 3 * AROUND]
    dots = ("… " if first else "", " …" if first + len(cut) < len(text) else "")
    return f"{dots[0]}{cards.words_marked(cut, row.words)}{dots[1]}"


def _low_entropy(log: OpenLog, selection: Selection, baseline: Baseline) -> Selection | None:
    """Draws it; returns the records, None where there is nothing to compare with."""
    with st.container(border=True, gap="xxsmall", height="stretch"):
        low = queries.low_range(log.warehouse, baseline.selection, ENTROPY)
        label = "Repetitive or very short"
        if low is None:
            st.metric(label, "–")
            st.caption(
                f"{words.escape_markdown(baseline.label).capitalize()} has no word entropy to "
                "compare with: choose another baseline, or score the texts on the Data page."
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
        page = queries.cases_page(log.warehouse, records, ENTROPY, False, 0, 4 * SHOWN)
        _strip(log, _distinct([r for r in page.records if (r.output_text or "").strip()]))
        if counts.predictions:
            bar.page_link("cases", "See them, strangest first", records, sort=ENTROPY, order="up")
    return records


def _distinct(records: Sequence[Record]) -> list[Record]:
    """The first few, each image once."""
    return list({record.image: record for record in reversed(records)}.values())[::-1][:SHOWN]


def _strip(log: OpenLog, records: Sequence[Record]) -> None:
    with st.grid(SHOWN, min_column_width=NARROWEST // SHOWN - 20):
        for record in records:
            with st.container(gap="xxsmall"):
                _read(pictures.strip(log, record.image), record.output_text or "")


def _read(picture: pictures.Picture, text: str) -> None:
    """An image, and the beginning of what was read in it."""
    if picture.encoded is None:
        st.caption(words.escape_markdown(picture.problem or ""))
    else:
        st.image(picture.encoded, alt=text or "no output")
    _lines(text)


def _lines(text: str) -> None:
    read = words.escaped(text) or "<em>empty</em>"
    st.html(f'<div class="misread-text misread-excerpt">{read}</div>')


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
        st.caption(f"{why} A replay shows whether that is the cause.")
        _links(low)
        return
    if proven is None:
        st.metric(label, "Nothing tried so far")
        st.caption(f"{why} {replay_verdicts.verdict(findings, baseline)}")
        _links(low)
        return
    name = replay_verdicts.label(proven.intervention)
    st.metric(
        label,
        f"{name[:1].upper()}{name[1:]}: {proven.fixed:,} of {proven.outside:,}",
        help=replay_verdicts.verdict(findings, baseline).replace("**", ""),
    )
    control = next((o for o in findings.outcomes if o.intervention == NOTHING.name), None)
    unchanged = "" if control is None else f"; reading the unchanged image again, {control.fixed:,}"
    st.caption(f"{why} 95% CI {proven.low:.0%}–{proven.high:.0%}{unchanged}")
    rows = findings.trials.query("intervention == @proven.intervention and fixed")
    examples = rows.drop_duplicates("sha256").sort_values("entropy_before").head(SHOWN)
    with st.grid(SHOWN, min_column_width=NARROWEST // SHOWN - 20):
        for trial in queries.plain_rows(examples):
            with st.container(gap="xxsmall"):
                for alteration, text in (
                    (NOTHING.name, trial["before"] or ""),
                    (proven.intervention, trial["after"]),
                ):
                    _read(pictures.strip(log, trial["image"], alteration), text)
    _links(low)


def _why(cause: Cause, baseline: Baseline) -> str:
    yes, others = cause.selected, cause.others
    return (
        f"{yes.yes:,} of {yes.known:,} {words.escape_markdown(cause.says)}, "
        f"of {words.escape_markdown(baseline.label)} {others.yes:,} of {others.known:,}."
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
