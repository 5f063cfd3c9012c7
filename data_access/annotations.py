"""What people keep in the log beside its records, for all who look at it: saved selections so far.

Each save and each removal is an event below annotations/, and nothing is ever changed there. How
these are asked for is in `queries.annotations`.
"""

import unicodedata
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from data_access.errors import LogError, NameTakenError, SelectionError
from data_access.ingest.store import read_added
from data_access.log import Log
from data_access.queries.annotations import SELECTION, last_annotated, saved_selections
from data_access.records import Annotation
from data_access.selection import Selection, query_string
from data_access.warehouse import Warehouse
from data_access.writer import object_key, to_json

MAX_NAME = 60  # characters: what a menu can show


def annotate(
    log: Log, warehouse: Warehouse, kind: str, name: str, payload: dict[str, Any] | None
) -> bool:
    """Have something be so from now on, in the log and in the warehouse; None removes it.

    False where the warehouse has it only after the next sync. Raises LogError where the log does
    not take it.
    """
    last = last_annotated(warehouse, kind, name)
    now = datetime.now(UTC)
    event = Annotation(
        annotation_key=uuid.uuid4().hex,
        # newer than what it takes the place of, also where that was written by a fast clock
        timestamp=now if last is None else max(now, last + timedelta(microseconds=1)),
        kind=kind,
        name=name,
        payload=payload,
    )
    key = object_key(event)
    try:
        log.put(key, to_json(event))
    except LogError as error:
        told = str(error).replace(f"{log.uri}/{key}", log.uri)
        raise LogError(told, retryable=error.retryable) from error
    return read_added(log, warehouse, key)


def save_selection(
    log: Log, warehouse: Warehouse, name: str, selection: Selection, replace: bool = False
) -> bool:
    """Keep a selection under a name; see `annotate` for what is returned.

    replace: let it take the place of one of that name; what that was stays in the log. Raises
    NameTakenError where there is one and it is not to be replaced, SelectionError where the name
    will not do, LogError where the log does not take it.
    """
    chosen = checked_name(name)
    taken = [
        saved.name
        for saved in saved_selections(warehouse)
        if saved.name.casefold() == chosen.casefold()
    ]
    if taken and not replace:
        raise NameTakenError(
            f"There is a selection named “{taken[0]}” already: choose another name, or replace it.",
        )
    if taken and chosen not in taken:
        chosen = taken[0]
    try:
        return annotate(log, warehouse, SELECTION, chosen, {"query": query_string(selection)})
    except LogError as error:
        raise _refused(f"“{chosen}” was not saved", error) from error


def remove_selection(log: Log, warehouse: Warehouse, name: str) -> bool:
    """Take a saved selection away; its events stay in the log. As `save_selection` otherwise."""
    try:
        return annotate(log, warehouse, SELECTION, name, None)
    except LogError as error:
        raise _refused(f"“{name}” was not removed", error) from error


def checked_name(name: str) -> str:
    """A name as it is kept: in one line, letters composed. Raises SelectionError where it is none.

    Characters that do not show could make two names look the same, or one like another text.
    """
    cleaned = " ".join(unicodedata.normalize("NFC", name).split())
    if not cleaned:
        raise SelectionError("A selection needs a name to be saved under.")
    if len(cleaned) > MAX_NAME:
        raise SelectionError(
            f"This name has {len(cleaned):,} characters; a name can have {MAX_NAME}."
        )
    if not cleaned.isprintable():
        raise SelectionError("This name has characters in it that cannot be seen: type it anew.")
    return cleaned


def _refused(what: str, error: LogError) -> LogError:
    cause = str(error).rstrip(".")
    right = "Saving takes the right to write below annotations/ (s3:PutObject in a bucket)."
    return LogError(f"{what}: {cause}. {right}", retryable=error.retryable)
