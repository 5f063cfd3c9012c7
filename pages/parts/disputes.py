"""What reviewers do not agree on: how far they agree, and deciding one record at a time."""

import math
from collections.abc import Sequence

import streamlit as st

from data_access import OpenLog, judging, queries
from data_access.queries import Mode
from data_access.records import Decision
from data_access.selection import Selection
from data_access.statistics.agreement import Agreed
from pages.parts import bar, cards, modes, pictures, state, words

SHOWN = 5


def panel(log: OpenLog, selection: Selection, actor: str, known: Sequence[Mode]) -> None:
    """Agreement, and the records that are disputed."""
    titles = queries.mode_titles(log.warehouse)
    rows = queries.agreement_table(log.warehouse, selection)
    if not rows:
        st.caption("No record of this selection was reviewed by two people yet.")
        return
    st.markdown(f"**{words.count(rows[0].agreement.records, 'record')}** reviewed by at least two.")
    st.dataframe(
        {
            "verdict or mode": [
                titles.get(row.mode, row.mode) if row.mode else "right or wrong" for row in rows
            ],
            "records": [row.named for row in rows],
            "κ": [_shown(row.agreement.kappa) for row in rows],
            "α": [_shown(row.agreement.alpha) for row in rows],
            "positive agreement": [_shown(row.agreement.positive) for row in rows],
        },
        hide_index=True,
        column_config={
            "records": st.column_config.NumberColumn(
                help="Records that at least one reviewer gave the mode, or called wrong."
            ),
            "κ": st.column_config.TextColumn(help="Cohen's κ of two reviewers, with 95% CI."),
            "α": st.column_config.TextColumn(
                help="Krippendorff's α of any number of reviewers, with 95% CI."
            ),
            "positive agreement": st.column_config.TextColumn(
                help="Of the times that one says yes, the share in which the other does, with "
                "95% CI. κ and α collapse where a mode is rare; this does not."
            ),
        },
    )
    keys = queries.disputed_records(log.warehouse, selection, SHOWN)
    if not keys:
        st.caption("Nothing is disputed.")
        return
    total = queries.reviewed(log.warehouse, selection).disputed
    st.header(words.count(total, "disputed record").capitalize())
    st.caption(f"The first {len(keys):,} of {total:,}, oldest first. A decision settles one.")
    for record in queries.records_in_order(log.warehouse, keys):
        with st.container(border=True):
            left, right = st.columns(2)
            with left:
                [picture] = pictures.small(log, [record.image])
                if picture.encoded is not None:
                    st.image(picture.encoded, alt=record.output_text or "no output")
                st.html(cards.output(record.output_text, record.ground_truth_string))
                bar.page_link("case", "Open", selection, record=record.record_key)
            with right:
                _decide(log, record.record_key, actor, known, titles)


def _decide(
    log: OpenLog, key: str, actor: str, known: Sequence[Mode], titles: dict[str, str]
) -> None:
    for row in queries.reviews_of(log.warehouse, key):
        named = ", ".join(titles.get(mode, mode) for mode in row.modes)
        who = words.escape_markdown(row.actor or "somebody")
        reason = f": {words.escape_markdown(named)}" if named else ""
        st.markdown(f"**{who}** · {row.verdict}{reason}")
    with st.form(f"decide-{key}", border=False):
        st.multiselect(
            "Failure modes",
            [mode.id for mode in known],
            format_func=lambda name: titles[name],
            key=f"widget.decide.{key}",
        )
        with st.container(horizontal=True):
            st.form_submit_button(
                "Read wrong", on_click=_write, args=(log, key, "wrong", actor), disabled=not actor
            )
            st.form_submit_button(
                "Read right", on_click=_write, args=(log, key, "right", actor), disabled=not actor
            )


def _write(log: OpenLog, key: str, verdict: str, actor: str) -> None:
    named = list(state.entered(f"decide.{key}")) if verdict == "wrong" else []
    decision = Decision.model_validate({"verdict": verdict, "modes": named})
    modes.attempt(lambda: judging.decide(log.log, log.warehouse, key, decision, actor), "Decided.")


def _shown(agreed: Agreed) -> str:
    """`0.78 (0.64 to 0.89)`; an en dash where it is not defined."""
    if math.isnan(agreed.value):
        return "–"
    value, low, high = (
        f"{number:.2f}".replace("-", "−") for number in (agreed.value, agreed.low, agreed.high)
    )
    return value if math.isnan(agreed.low) else f"{value} ({low} to {high})"
