"""How near the dashboard is to its log: a line at the foot, a banner where something is wrong."""

from datetime import UTC, datetime

import streamlit as st

from data_access import OpenLog, queries
from data_access.ingest.report import SyncReport
from pages.parts import cards, state, store, words

MOST_FAILURES = 10
MORE = "The Data page says what else the last sync did."


@st.fragment(run_every=4.0)
def foot(log: OpenLog) -> None:
    """Sync state, redrawn by itself every few seconds."""
    background = store.syncing()
    status = queries.status(log.warehouse)
    if status.predictions and state.is_waiting_for_records():
        st.rerun(scope="app")
    if background.running and background.stage:
        total = max(background.total, 1)
        st.progress(
            min(background.done / total, 1.0),
            f"{background.stage} … {background.done:,} of {background.total:,}",
        )
    else:
        last = background.finished or status.synced
        when = words.ago(last, datetime.now(UTC)) if last else "never"
        st.caption(
            f"Synced {when} · {words.count(status.predictions, 'record')} · "
            f"{status.quarantined:,} quarantined"
        )
    st.button(
        "Sync now",
        on_click=background.ask,
        type="tertiary",
        icon=":material/sync:",
        help="Read what is new in the log. Pages show it when you next change something.",
    )


@st.fragment(run_every=2.0)
def panel(log: OpenLog, version: int) -> None:
    """How fresh the warehouse is, a sync at the press of a button, and what the last one did.

    version: of the warehouse that the page around it shows; it is run again for a later one.
    """
    background = store.syncing()
    busy = background.busy
    if not busy and log.warehouse.version != version:
        st.rerun(scope="app")
    _facts(log)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Sync now",
            key="sync-now",
            on_click=background.ask,
            icon=":material/sync:",
            disabled=busy,
            help="Read what is new in the log, and score it.",
        )
        if busy:
            done, total = background.done, max(background.total, background.done)
            st.progress(
                done / total if total else 0.0,
                f"{background.stage or 'Starting'} …"
                + (f" {done:,} of {total:,}" if total else ""),
            )
        elif background.report is not None:
            st.markdown(words.escape_markdown(did(background.report)))
        elif background.problem is not None:
            st.markdown(
                f"The last sync did not succeed: {words.escape_markdown(background.problem)}"
            )
    if not busy and background.report is not None:
        _failures(background.report)


def _facts(log: OpenLog) -> None:
    status = queries.status(log.warehouse)
    background = store.syncing()
    zone, now = state.viewer_zone(), datetime.now(UTC)
    objects = queries.objects_by_day(log.warehouse)
    last = background.finished or status.synced
    with st.grid(4, min_column_width=190):
        for label, moment, explanation in (
            ("Synced", last, "When the last sync that succeeded ended."),
            ("Newest record", status.newest, "Time of the newest prediction that was read."),
            ("Oldest record", status.oldest, "Time of the oldest prediction that was read."),
        ):
            cards.fact(
                label,
                words.ago(moment, now) if moment else "never",
                words.moment(moment, zone) if moment else "nothing yet",
                explanation + (f" {moment:%Y-%m-%d %H:%M:%S} UTC." if moment else ""),
            )
        count, size = int(objects["objects"].sum()), int(objects["bytes"].sum())
        cards.fact(
            "Objects read",
            words.count(count),
            words.size(size),
            f"{count:,} objects of {size:,} bytes: records, feedback, values, annotations.",
        )


def did(report: SyncReport) -> str:
    """What a sync did, in a sentence."""
    if report == SyncReport(failures=report.failures):
        return "The last sync found nothing new."
    read = [
        words.count(report.predictions, "prediction"),
        f"{words.count(report.feedback)} feedback",
        f"{words.count(report.quarantined)} quarantined",
    ]
    parts = [f"read {words.count(report.objects, 'object')} ({', '.join(read)})"]
    if report.removed:
        parts.append(f"dropped {words.count(report.removed, 'deleted object')}")
    if report.scored_texts or report.scored_images:
        texts = words.count(report.scored_texts, "text")
        parts.append(f"scored {texts} and {words.count(report.scored_images, 'image')}")
    if report.logged_images:
        images = words.count(report.logged_images, "image")
        parts.append(f"took the values of {images} from the log")
    return f"The last sync {', '.join(parts)}."


def _failures(report: SyncReport) -> None:
    if report.failures:
        lines = [
            f"- {words.escape_markdown(sentence)}" + (f" ({number:,} times)" if number > 1 else "")
            for sentence, number in list(report.failures.items())[:MOST_FAILURES]
        ]
        more = len(report.failures) - MOST_FAILURES
        lines += [f"- and {more:,} more"] if more > 0 else []
        st.markdown("Errors:\n\n" + "\n".join(lines))


def banner(log: OpenLog) -> None:
    """What went wrong with the last sync, and what still works."""
    background = store.syncing()
    if background.problem:
        problem = words.sentence(words.escape_markdown(background.problem))
        rest = "The pages show what was read before." if background.report is None else MORE
        st.warning(f"{problem} {rest}")
    if background.running and queries.status(log.warehouse).predictions == 0:
        st.info("The log is being read for the first time; numbers appear as it comes in.")
