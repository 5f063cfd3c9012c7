"""What annotations say of failure modes, reviews, draws and decisions: the payload of each kind.

An annotation of one of these kinds whose payload does not fit its model goes to quarantine; other
kinds are left as they are.
"""

from datetime import date
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_access.records.models import Annotation, Key, Label, Text

Verdict = Literal["right", "wrong"]
Severity = Literal["low", "medium", "high", "critical"]
State = Literal["open", "resolved", "archived", "retired"]
Queue = Literal["find", "measure", "bulk", "case"]
SEVERITIES: tuple[str, ...] = get_args(Severity)
STATES: tuple[str, ...] = get_args(State)
MAX_TITLE = 80  # characters: what a button can show
MAX_DEFINITION = 4_000
MAX_LINK = 2_000
MAX_RULE = 8_000
MAX_MODES = 20  # of one record
MAX_DRAWN = 10_000  # records of one draw

ModeId = Label


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class ModeChange(_Payload):
    """What changes about a failure mode, whose stable id is the annotation's name.

    Fields that are left out stay as they were, so that two people can change two of them at once;
    a field that is null has no value from then on. rule: a selection as the URL writes it.
    merged_into: the id of the mode that takes its records over. resolved_in: a model version;
    archived_until: a day.
    """

    title: Annotated[str, Field(min_length=1, max_length=MAX_TITLE)] | None = None
    definition: Annotated[str, Field(max_length=MAX_DEFINITION)] | None = None
    severity: Severity | None = None
    owner: Label | None = None
    state: State | None = None
    resolved_in: Label | None = None
    archived_until: Annotated[date, Field(strict=False)] | None = None
    issue: Annotated[str, Field(max_length=MAX_LINK, pattern=r"^https?://")] | None = None
    rule: Annotated[str, Field(max_length=MAX_RULE)] | None = None
    merged_into: ModeId | None = None


class Decision(_Payload):
    """The verdict on the record that the annotation's name is the key of; it outranks reviews."""

    verdict: Verdict
    modes: Annotated[list[ModeId], Field(max_length=MAX_MODES)] = []
    correction: Text | None = None

    @model_validator(mode="after")
    def fits(self) -> Self:
        if self.verdict == "right" and self.modes:
            raise ValueError("a record that was read right has no failure mode")
        if len(set(self.modes)) < len(self.modes):
            raise ValueError("a failure mode is named twice")
        return self


class Review(Decision):
    """One person's verdict on a record, the annotation's actor being the reviewer.

    queue: where the record came from. draw: the draw it was reviewed for, in the queue `measure`.
    batch: what reviews that were made at once have in common; they are undone as one.
    """

    queue: Queue
    draw: Key | None = None
    batch: Key | None = None


class Drawn(_Payload):
    """A record of a draw. population: how many records its stratum had. probability: of such a
    record to be in this draw or in an earlier one of the same selection."""

    record_key: Key
    stratum: Label
    population: Annotated[int, Field(ge=1)]
    probability: Annotated[float, Field(gt=0, le=1)]


class Draw(_Payload):
    """Records drawn at random from a selection, in random order; the annotation's name is its id.

    query: the selection as the URL writes it. population: how many records it had.
    """

    query: Annotated[str, Field(max_length=MAX_RULE)]
    seed: int
    population: Annotated[int, Field(ge=1)]
    records: Annotated[list[Drawn], Field(min_length=1, max_length=MAX_DRAWN)]


class Undo(_Payload):
    """Takes back the reviews of a batch, or the one review whose key the annotation's name is."""


MODE, REVIEW, DECISION, DRAW, UNDO = "mode", "review", "decision", "draw", "undo"
PAYLOADS: dict[str, type[_Payload]] = {
    MODE: ModeChange, REVIEW: Review, DECISION: Decision, DRAW: Draw, UNDO: Undo
}  # fmt: skip


def check_payload(annotation: Annotation) -> None:
    """Raises ValidationError where the payload does not fit the kind."""
    model = PAYLOADS.get(annotation.kind)
    if model is not None and annotation.payload is not None:
        model.model_validate(annotation.payload)


def payload_of(judgement: BaseModel) -> dict[str, Any]:
    """A payload with the fields that were given, null among them."""
    return judgement.model_dump(mode="json", exclude_unset=True)
