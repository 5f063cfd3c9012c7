"""What separates cases from others, as sentences, cards and a table."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

import pandas as pd
import streamlit as st

from data_access import OpenLog, queries
from data_access.export import safe_csv
from data_access.queries import NOTHING_IN_COMMON, Cause, Causes
from data_access.selection import Selection
from data_access.statistics.separation import Answers
from data_access.statistics.significance import ENOUGH
from pages.parts import bar, charts, pictures, words

Sides = tuple[Selection, Selection | None]
"""The selected records, and those they are compared with; None: the rest of their scope."""
NOTED = 4  # causes that a note names
MEASURES = {
    "AUC": "AUC: the chance that, of two records, the selected one has the higher value; 0.5 where "
    "nothing separates them, 0 and 1 where it always has the lower or the higher one.",
    "V": "Cramér's V: how well all categories together tell the two sides apart, each side "
    "weighing the same; 0 not at all, 1 entirely.",
}


def answer(ranking: Causes, against: str) -> None:
    """What separates the two sides, or that nothing does, as a sentence."""
    st.markdown(answer_sentence(ranking, against))


def answer_sentence(ranking: Causes, against: str) -> str:
    """The same, as Markdown."""
    if ranking.causes:
        first = ranking.causes[0]
        alike = first.goes_with[:1]
        also = f" Mostly the same records {words.escape_markdown(alike[0])}." if alike else ""
        few = "" if ranking.selected >= ENOUGH else " With this few cases, treat it as a hint."
        return f"{_sentence(first, against)}.{also}{few}"
    if ranking.constructed:
        return (
            f"**No input is specific to these cases**, but for labels that {against} cannot share "
            "by construction."
        )
    if ranking.general:
        return (
            f"**No input is specific to these cases.** What separates them from "
            f"{against} is equally common outside the selection."
        )
    if not ranking.candidates:
        return "**No input differs** between these records."
    return (
        f"**No input separates them from {against}.** The best of "
        f"{words.count(ranking.candidates, 'candidate')} does no better than on shuffled "
        f"records, or the difference is negligible (p {ranking.p:.2g})."
    )


def _sentence(cause: Cause, against: str) -> str:
    only = "" if cause.more else "Only "
    return (
        f"{only}**{_of(cause.selected)}** {words.escape_markdown(cause.says)}; "
        f"of {against}, {_of(cause.others)}"
    )


def _of(answers: Answers) -> str:
    """`97 of 104 (93%)`."""
    portion = "" if not answers.known else f" ({_percent(answers.share)})"
    return f"{answers.yes:,} of {answers.known:,}{portion}"


def _percent(share: float) -> str:
    """Never rounded to all or none unless it is."""
    if 0 < share < 0.01:
        return "under 1%"
    return "over 99%" if 0.99 < share < 1 else f"{share:.0%}"


def other_records(selection: Selection) -> str:
    """The rest of a selection's place and time, such as `other production records`."""
    names = (words.environment(name).removesuffix(" set") for name in selection.environment)
    place = " and ".join(names)
    return f"other {place} records" if place else "other records"


def sample(ranking: Causes) -> str:
    """What part of many records was looked at, if not all."""
    if ranking.parts == (1, 1):
        return ""
    cases, others = (f"one in {part}" if part > 1 else "all" for part in ranking.parts)
    return f" Sampled: {cases} of the cases, {others} of the others."


def gallery(
    log: OpenLog, sides: Sides, causes: Sequence[Cause], against: str, of: str, *, images: bool
) -> None:
    """Causes as cards, the strongest first; `of` tells the charts of a page apart.

    images: whether each card shows some of both sides.
    """
    with st.grid(3, min_column_width=280):
        for cause in causes:
            with st.container(border=True):
                st.markdown(f"{_sentence(cause, against)}.")
                if images:
                    _examples(log, sides, cause, against)
                _card(cause, against, f"{of}-{cause.name}")


def _examples(log: OpenLog, sides: Sides, cause: Cause, against: str) -> None:
    """A few images of the cases of which it is true, and of the others."""
    examples = queries.cause_examples(log.warehouse, *sides, cause)
    for title, names in (("These cases", examples.selected), (against, examples.others)):
        if names:
            sheet = pictures.sheet(log, names)
            st.caption(title[:1].upper() + title[1:])
            if sheet.encoded is None:
                st.caption(words.escape_markdown(sheet.problem or ""))
            else:
                st.image(sheet.encoded, alt=f"{len(names)} images: {words.unmarked(title)}")


def _card(cause: Cause, against: str, key: str) -> None:
    if cause.numbers is not None and cause.range is not None:
        spec = charts.still_histogram_pair(cause.numbers, against, cause.range)
        st.vega_lite_chart(spec, key=key, alt=cause.says)
    elif cause.categories is not None:
        st.altair_chart(charts.category_pair(cause.categories, against), key=key, alt=cause.says)
    measured = cause.measured
    st.caption(
        f"{measured.kind} {measured.value:.2f} ({measured.low:.2f} to {measured.high:.2f}) · "
        f"p {cause.p:.2g}",
        help=f"{MEASURES[measured.kind]} In parentheses, the 95% confidence interval. p: how "
        "often the best question about any candidate separates shuffled records as well.",
    )
    notes = []
    if cause.rest is not None and cause.rest.known:
        notes.append(f"Outside the selection: {_of(cause.rest)}.")
    if cause.goes_with:
        alike = "; ".join(map(words.escape_markdown, cause.goes_with))
        notes.append(f"Mostly the same records as: {alike}.")
    if cause.selected_by is not None:
        notes.append(f"Correlated with {cause.selected_by}, which you filtered by.")
    if notes:
        st.caption(" ".join(notes))
    counted = cause.listed is not None
    label = (
        f"Show these {words.count(cause.selected.yes, 'case')}" if counted else "Show such cases"
    )
    bar.page_link("cases", label, cause.narrowed)


def then(log: OpenLog, sides: Sides, ranking: Causes, against: str) -> None:
    """What still separates the cases that the first cause does not explain."""
    first = words.escape_markdown(ranking.causes[0].says)
    sizes = f"{ranking.left:,} are left and {ranking.left_others:,} of {against}"
    left = f"Excluding records that {first}, {sizes}"
    if ranking.then is None:
        st.caption(f"{left}: not enough data.")
    elif not ranking.then:
        st.caption(f"{left}, and nothing else separates them.")
    else:
        st.caption(f"{left}. What still separates these:")
        gallery(log, sides, ranking.then, against, "then", images=True)


def constructed(log: OpenLog, sides: Sides, ranking: Causes, against: str) -> None:
    """What the other side cannot have otherwise; nothing where there is none of it."""
    unlike = [label for label, reason in ranking.left_out if reason == NOTHING_IN_COMMON]
    if not ranking.constructed and not unlike:
        return
    st.header("True by construction")
    st.caption(f"Labels that are all the same in {against}, or that none of its records has.")
    gallery(log, sides, ranking.constructed, against, "constructed", images=True)
    if unlike:
        labels = ", ".join(map(words.escape_markdown, unlike))
        st.caption(f"No value in common with {against}: {labels}.")


def numbers(ranking: Causes, against: str) -> list[str]:
    """The causes after the first, as sentences."""
    return [f"{_sentence(cause, against)}." for cause in ranking.causes[1:NOTED]]


def general(causes: Sequence[Cause], against: str) -> None:
    """What is equally common outside the selection."""
    for cause in causes:
        rest = "" if cause.rest is None else f"; outside the selection, {_of(cause.rest)}"
        st.markdown(f"- {_sentence(cause, against)}{rest}.")


def table(candidates: pd.DataFrame) -> None:
    """Everything that was looked at, whether it separates or not."""
    number = st.column_config.NumberColumn
    st.dataframe(
        candidates,
        hide_index=True,
        column_config={
            "what": "candidate",
            "came": st.column_config.TextColumn("came", help="Input or output."),
            "says": st.column_config.TextColumn("best question", width="medium"),
            "selected": number("of the selected", format="percent"),
            "others": number("of the others", format="percent"),
            "strength": number(
                "strength",
                format="%.2f",
                help="Cramér's V of the best question, each side weighing the same; less where "
                "few records have a value. Candidates are ranked by it.",
            ),
            "measure": "measure",
            "value": number("value", format="%.2f"),
            "low": number("from", format="%.2f"),
            "high": number("to", format="%.2f"),
            "p": number("p", format="%.3f"),
        },
    )
    st.download_button(
        "Download as CSV",
        safe_csv(candidates),
        "causes.csv",
        "text/csv",
        icon=":material/download:",
    )


def left_out(candidates: Sequence[tuple[str, str]]) -> None:
    """What was not looked at, by reason."""
    for reason, named in groupby(sorted(candidates, key=itemgetter(1)), itemgetter(1)):
        labels = ", ".join(words.escape_markdown(label) for label, _ in named)
        st.caption(f"Left out ({reason}): {labels}.")
