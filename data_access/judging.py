"""Writes what people judge into the log: reviews, decisions, failure modes and draws.

All of it is annotations (`annotations.annotate`): events that are added and never changed, through
the writer's spool. How they are asked for is in `queries.reviews`, `queries.modes` and
`queries.draws`.
"""

import re
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from data_access.annotations import Change, Kept, annotate
from data_access.errors import JudgementError, NameTakenError
from data_access.log import Log
from data_access.queries.modes import Mode, failure_modes, mode_ids
from data_access.queries.reviews import modes_of_reviewer
from data_access.records import (
    DECISION,
    DRAW,
    MODE,
    REVIEW,
    UNDO,
    Decision,
    Draw,
    ModeChange,
    Review,
    payload_of,
)
from data_access.warehouse import Warehouse

ID_LENGTH = 48


@dataclass(frozen=True)
class NewReview:
    """A review to be written. key: its own; a review that is written again under it adds nothing.

    review: None takes back whatever the reviewer said of the record.
    """

    key: str
    record_key: str
    review: Review | None


def write_reviews(
    log: Log, warehouse: Warehouse, reviews: Sequence[NewReview], actor: str | None
) -> Kept:
    """Keep reviews as one object; at least one. Raises LogError where the log refuses them."""
    changes = [
        Change(
            REVIEW, new.record_key, None if new.review is None else payload_of(new.review), new.key
        )
        for new in reviews
    ]
    return annotate(log, warehouse, changes, actor)


def undo(
    log: Log, warehouse: Warehouse, name: str, actor: str | None, key: str | None = None
) -> Kept:
    """Take back a batch of reviews, or one review by its key. Raises LogError.

    key: the event's own, as of `NewReview`.
    """
    return annotate(log, warehouse, [Change(UNDO, name, {}, key)], actor)


def label(
    log: Log, warehouse: Warehouse, record_keys: Sequence[str], mode: str, actor: str | None
) -> tuple[str, Kept]:
    """Give records, at least one, a failure mode beside those that this person gave them before.

    Returns the batch, by which all of them can be undone, and where they are kept. Raises LogError.
    """
    batch = uuid.uuid4().hex
    before = modes_of_reviewer(warehouse, record_keys, actor)
    reviews = []
    for key in dict.fromkeys(record_keys):
        named = [*dict.fromkeys([*before.get(key, ()), mode])]
        review = Review(verdict="wrong", modes=named, queue="bulk", batch=batch)
        reviews.append(NewReview(uuid.uuid4().hex, key, review))
    return batch, write_reviews(log, warehouse, reviews, actor)


def decide(
    log: Log, warehouse: Warehouse, record_key: str, decision: Decision | None, actor: str | None
) -> Kept:
    """Settle what reviewers do not agree on; None withdraws the decision. Raises LogError."""
    payload = None if decision is None else payload_of(decision)
    return annotate(log, warehouse, [Change(DECISION, record_key, payload)], actor)


def keep_draw(log: Log, warehouse: Warehouse, draw: Draw, actor: str | None) -> tuple[str, Kept]:
    """Keep a draw; returns its id. Raises LogError."""
    name = uuid.uuid4().hex
    return name, annotate(log, warehouse, [Change(DRAW, name, payload_of(draw))], actor)


def create_mode(
    log: Log, warehouse: Warehouse, title: str, actor: str | None, **fields: Any
) -> tuple[str, Kept]:
    """Make a failure mode; returns its id. fields: of ModeChange.

    Raises JudgementError where a field will not do, NameTakenError where a mode in use has the
    title, LogError where the log does not take it.
    """
    title = _title(warehouse, title)
    identifier = _new_id(title, mode_ids(warehouse))
    change = _change(title=title, **fields)
    return identifier, annotate(
        log, warehouse, [Change(MODE, identifier, payload_of(change))], actor
    )


def change_mode(
    log: Log, warehouse: Warehouse, mode: Mode, actor: str | None, **fields: Any
) -> Kept:
    """Change some fields of a failure mode, of ModeChange. Raises as `create_mode`."""
    if "title" in fields:
        fields["title"] = _title(warehouse, fields["title"], mode.id)
    payload = payload_of(_change(**fields))
    return annotate(log, warehouse, [Change(MODE, mode.id, payload)], actor)


def merge_modes(
    log: Log, warehouse: Warehouse, mode: Mode, target: Mode, actor: str | None
) -> Kept:
    """Have one mode taken over by another, with all its records. Raises as `create_mode`."""
    if mode.id == target.id:
        raise JudgementError("A failure mode cannot be merged into itself.")
    return change_mode(log, warehouse, mode, actor, merged_into=target.id)


def _change(**fields: Any) -> ModeChange:
    try:
        return ModeChange(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = " ".join(map(str, first["loc"])).replace("_", " ")
        raise JudgementError(f"The {field} cannot be kept: {first['msg']}.") from error


def _title(warehouse: Warehouse, title: str, own: str | None = None) -> str:
    """A title in one line, letters composed. Raises JudgementError or NameTakenError."""
    cleaned = " ".join(unicodedata.normalize("NFC", title).split())
    if not cleaned:
        raise JudgementError("A failure mode needs a name.")
    if not cleaned.isprintable():
        raise JudgementError("This name has characters in it that cannot be seen: type it anew.")
    for mode in failure_modes(warehouse):
        if mode.id != own and mode.title.casefold() == cleaned.casefold():
            raise NameTakenError(f"There is a failure mode named “{mode.title}” already.")
    return cleaned


def _new_id(title: str, taken: set[str]) -> str:
    """An id that says what the mode was first called and stays when it is renamed."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:ID_LENGTH] or "mode"
    number = 2
    identifier = stem
    while identifier in taken:
        identifier, number = f"{stem}-{number}", number + 1
    return identifier
