"""Is it offensive, and who wrote it: Detoxify's scores of a case, and the job that scores."""

from collections.abc import Mapping
from functools import partial

import streamlit as st

from data_access import OpenLog, queries
from data_access.projections.table import TEXT, TOXICITY, TRUTH, toxicity_name
from data_access.queries import OFFENSIVE, Baseline
from data_access.records import Record
from data_access.scoring.words import unscored_words
from data_access.selection import Selection
from pages.parts import cards, jobs, store, words
from replay.authorship import Authorship, Authorships, authorships


def panel(log: OpenLog) -> None:
    """Which model's scores the pages show, and a button that scores what it has not scored yet."""
    st.markdown(shown(log.warehouse.score_sources()))
    jobs.panel(store.scoring(), partial(_start, log))


def _start(log: OpenLog) -> None:
    model = log.warehouse.projections.scorer
    if model is None:
        return
    unscored = queries.unscored_text_count(log.warehouse, model)
    single = len(unscored_words(log.warehouse, store.evidence().words))
    label = "All texts are scored"
    if unscored or single:
        label = (
            f"Score {words.count(unscored, 'text') if unscored else words.count(single, 'word')}"
        )
    st.button(
        label,
        on_click=store.scoring().start,
        disabled=not (unscored or single),
        icon=":material/gavel:",
        help=f"Outputs and truths that {model} has not scored, and the words of offensive ones, "
        "in the background. The scores go into the log.",
    )


def caption(sources: Mapping[str, str]) -> None:
    """Which model made the toxicity scores on a page; nothing without any."""
    if _models(sources):
        st.caption(shown(sources))


def _models(sources: Mapping[str, str]) -> list[str]:
    names = {toxicity_name(score, column) for score in TOXICITY for column in (TEXT, TRUTH)}
    return sorted({source for name, source in sources.items() if name in names})


def shown(sources: Mapping[str, str]) -> str:
    """Which model made the toxicity scores that the pages show."""
    models = _models(sources)
    if not models:
        return "Toxicity is not scored yet."
    return f"Toxicity as scored by **{words.escape_markdown(' and '.join(models))}**."


def side_by_side(log: OpenLog, record: Record, baseline: Baseline) -> None:
    """Who wrote what is offensive, and the six scores of the output beside those of the truth.

    Nothing where no text is scored and nobody flagged it.
    """
    output, truth = (
        [record.projections[toxicity_name(score, column)] for score in TOXICITY]
        for column in (TEXT, TRUTH)
    )
    (judged,) = authors(log, Selection(), baseline, record.record_key).rows
    if {*output, *truth} == {None} and not judged.record.flagged:
        return
    st.header("Is it offensive, and who wrote it?")
    st.markdown(verdict(judged))
    if judged.words:
        text = cards.words_marked(record.output_text or "", judged.words)
        st.html(f'<div class="misread-text">{text}</div>')
    share = st.column_config.ProgressColumn
    st.dataframe(
        {
            "score": [score.replace("_", " ") for score in TOXICITY],
            "output": output,
            "truth": truth,
        },
        hide_index=True,
        width=560,
        column_config={
            "score": st.column_config.TextColumn(" "),
            "output": share("the output", format="%.3f", min_value=0.0, max_value=1.0),
            "truth": share("the truth", format="%.3f", min_value=0.0, max_value=1.0),
        },
    )
    st.caption(shown(log.warehouse.score_sources()))


def authors(
    log: OpenLog, selection: Selection, baseline: Baseline, record_key: str | None = None
) -> Authorships:
    """Who wrote what is offensive in a selection, or in one record, as far as is known now."""
    evidence = store.evidence()
    return log.warehouse.cached(
        ("authors", selection, baseline.selection, evidence.version, record_key),
        lambda: authorships(
            log, selection, baseline.selection, evidence.words, evidence.readings, record_key
        ),
    )


AUTHORS = {"model": "The model wrote it", "user": "The user wrote it", "unknown": "Unknown"}
EXPLANATION = (
    "By the model: the offensive words are not in the truth, or another version does not read them "
    "in the same image. By the user: they are in the truth, or another version reads them too. "
    "Unknown: the evidence is missing or mixed."
)


def verdict(judged: Authorship) -> str:
    """The model, or the user, and what says so; of a record that is not offensive, that."""
    record = judged.record
    highest = max(record.output_score or 0.0, record.truth_score or 0.0)
    if highest < OFFENSIVE and not record.flagged:
        return f"No score is {OFFENSIVE} or higher, and nobody flagged it as offensive."
    reason = words.escape_markdown(judged.reason)
    return f"**{AUTHORS[judged.author]}**: {words.sentence(reason)}"


def summary(log: OpenLog, selection: Selection, baseline: Baseline) -> None:
    """How many offensive records there are, and who wrote them; nothing without any."""
    judged = authors(log, selection, baseline)
    if not judged.total:
        return
    newest = f", the newest {len(judged.rows):,} of {judged.total:,}"
    st.markdown(
        f"**{words.count(len(judged.rows), 'record')}** flagged offensive or scored {OFFENSIVE} or "
        f"higher{newest if len(judged.rows) < judged.total else ''}: "
        f"{judged.count('model'):,} by the model, {judged.count('user'):,} by users, "
        f"{judged.count('unknown'):,} unknown.",
        help=EXPLANATION,
    )
