"""The element of the Review page: cases in hand in the browser, reviews back from it.

A press is answered in the browser; what comes back is a list that is only added to, of which the
server writes what it has not seen. A review's key is made in the browser, so that a list that is
sent twice adds nothing.
"""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from pydantic import ValidationError
from streamlit.components.v2.types import ComponentRenderer

from data_access import OpenLog, queries
from data_access.annotations import Kept
from data_access.errors import LogError
from data_access.judging import NewReview, undo, write_reviews
from data_access.queries import Mode
from data_access.records import Queue, Record, Review
from data_access.statistics.text_differences import alike, differences
from pages.parts import palette, pictures, state, words

IN_HAND = 30
REFILL = 12  # fewer cases than so many in hand, and more are sent
ACTION = re.compile(r"[0-9a-f-]{36}-\d{1,9}")
MOST_ACTIONS = 1_000
NAME = "review"
ELEMENT = Path(__file__).parent / "review_element"


def reviewer(
    log: OpenLog,
    queue: Queue,
    name: str,
    actor: str,
    more: Callable[[int], list[str]],
    modes: Sequence[Mode],
    empty: str,
    drawn_for: Callable[[str], str | None] = lambda key: None,
) -> None:
    """Cases of a queue, to be drawn within a fragment.

    name: tells queues apart; more: keys of the next cases that this person has not reviewed, at
    most so many; empty: what to say where there is none. drawn_for: the draw of a record.
    """
    hand = f"hand of {name} {actor}"
    session: dict[str, Any] = state.recall(hand) or {"keys": [], "done": set(), "written": []}
    state.remember(hand, session)
    scope = f"{log.settings.log} {name} {actor}"
    told = state.component(NAME)
    actions = told.get("actions")
    if told.get("lacking") != session.get("lacking"):  # the browser begins anew
        session |= {"lacking": told.get("lacking"), "sent": set()}
    problem = _take(log, session, actions, queue, scope, actor, drawn_for)
    left = [key for key in session["keys"] if key not in session["done"]]
    if len(left) < REFILL:
        fresh = [key for key in more(IN_HAND + len(left)) if key not in left]
        left = [*left, *fresh[: IN_HAND - len(left)]]
        session["keys"] = left
    _element()(
        key=state.component_key(NAME),
        data={
            "scope": scope,
            "cases": _unsent(log, session, left),
            "modes": [
                {"id": mode.id, "title": mode.title, "definition": mode.definition}
                for mode in modes[:9]
            ],
            "written": session["written"],
            "problem": problem,
            "writable": bool(actor),
            "empty": empty,
            "removed": palette.FLAGS["incorrect"],
            "added": palette.PRODUCTION,
        },
        on_actions_change=lambda: None,
        on_lacking_change=lambda: None,
    )


def _take(
    log: OpenLog,
    session: dict[str, Any],
    actions: Any,
    queue: Queue,
    scope: str,
    actor: str,
    drawn_for: Callable[[str], str | None],
) -> str:
    """Write the actions of this scope that were not written before; what went wrong, or nothing."""
    if not isinstance(actions, list) or not actor:
        return ""
    seen = set(session["written"])
    reviews: list[NewReview] = []
    undone: list[tuple[str, str]] = []
    for action in actions[:MOST_ACTIONS]:
        if not isinstance(action, dict) or not ACTION.fullmatch(str(action.get("id"))):
            continue
        if action["id"] in seen or action.get("scope") != scope:
            continue
        if ACTION.fullmatch(str(action.get("undo"))):
            undone.append((action["id"], action["undo"]))
        elif (new := _review(action, queue, drawn_for)) is not None:
            reviews.append(new)
    if not reviews and not undone:
        return ""
    try:
        kept = write_reviews(log.log, log.warehouse, reviews, actor) if reviews else Kept.SHOWN
        for key, target in undone:
            kept = undo(log.log, log.warehouse, target, actor, key)
    except LogError as error:
        return f"Not written: {error}"
    session["done"] |= {new.record_key for new in reviews}
    by_key = {new.key: new.record_key for new in reviews} | session.get("records", {})
    session["records"] = by_key
    session["done"] -= {by_key[target] for _, target in undone if target in by_key}
    session["written"] += [*(new.key for new in reviews), *(key for key, _ in undone)]
    if kept is Kept.WAITING:
        return "The store does not answer: reviews are kept on this machine and sent when it does."
    return ""


def _review(
    action: dict[str, Any], queue: Queue, drawn_for: Callable[[str], str | None]
) -> NewReview | None:
    """A review as the browser sent it; None for what is none."""
    key = str(action.get("record"))
    fields: dict[str, Any] = {
        "verdict": action.get("verdict"),
        "modes": action.get("modes"),
        "queue": queue,
    }
    if action.get("correction") is not None:
        fields["correction"] = action["correction"]
    if draw := drawn_for(key):
        fields["draw"] = draw
    try:
        return NewReview(action["id"], key, Review(**fields))
    except ValidationError:
        return None


def _unsent(log: OpenLog, session: dict[str, Any], keys: Sequence[str]) -> list[dict[str, Any]]:
    """The cases by key, with all that is shown of those that the browser does not have yet."""
    sent: set[str] = session.setdefault("sent", set())
    whole = {case["key"]: case for case in _cases(log, [key for key in keys if key not in sent])}
    sent |= whole.keys()
    return [whole.get(key, {"key": key}) for key in keys]


def _cases(log: OpenLog, keys: Sequence[str]) -> list[dict[str, Any]]:
    records = queries.records_in_order(log.warehouse, keys)
    images = pictures.sharp(log, [record.image for record in records])
    zone = state.viewer_zone()
    return [
        _case(record, picture, words.moment(record.timestamp, zone))
        for record, picture in zip(records, images, strict=True)
    ]


def _case(record: Record, picture: pictures.Picture, when: str) -> dict[str, Any]:
    text, truth = record.output_text or "", record.ground_truth_string
    output, known = _marked(text, truth)
    flags = [f"flagged {flag}" for flag in record.flags]
    return {
        "key": record.record_key,
        "image": pictures.webp_url(picture),
        "problem": picture.problem or "",
        "output": output or [["em", "no output"]],
        "truth": known,
        "output_text": text,
        "truth_text": truth,
        "meta": " · ".join([*flags, record.version or "no version", when]),
    }


def _marked(text: str, truth: str | None) -> tuple[list[list[str]], list[list[str]]]:
    """Both as pieces, an element's name and a text each; what differs is `del` and `ins`."""
    if truth is None:
        return ([["span", text]] if text else []), []
    if not alike(text, truth):
        return ([["span", text]] if text else []), [["span", truth]]
    output: list[list[str]] = []
    known: list[list[str]] = []
    for piece in differences(text, truth):
        if piece.output:
            output.append(["span" if piece.kind == "equal" else "del", piece.output])
        if piece.truth:
            known.append(["span" if piece.kind == "equal" else "ins", piece.truth])
    return output, known


@functools.cache
def _element() -> ComponentRenderer:
    html, css, js = (ELEMENT.with_suffix(end).read_text() for end in (".html", ".css", ".js"))
    return st.components.v2.component("misread_review", html=html, css=css, js=js)
