"""Records that users flagged as offensive, or whose output or truth scores as such."""

from dataclasses import dataclass

from data_access.projections.table import IMAGE, TEXT, TOXICITY, TRUTH, toxicity_name
from data_access.queries.answers import plain_rows, row_of
from data_access.selection import Selection, source
from data_access.sql import quoted
from data_access.warehouse import Warehouse

OFFENSIVE = 0.5  # a score from which a text counts as offensive
OFFENSIVE_FLAG = "offensive"
NEWEST = 2_000  # records that are looked at one by one
MAX_TEXTS = 20_000


@dataclass(frozen=True)
class OffensiveRecord:
    """A record that is flagged offensive, or has a score of 0.5 or more.

    sha256: of the image, None where there is none to be read. score: the one of Detoxify's six
    that is highest in the output or the truth; output_score, truth_score: its values, None where
    that text is not scored.
    """

    record_key: str
    version: str | None
    sha256: str | None
    output: str | None
    truth: str | None
    flagged: bool
    score: str | None
    output_score: float | None
    truth_score: float | None

    @property
    def score_label(self) -> str:
        """The score as pages write it, in lower case."""
        return (self.score or "").replace("_", " ")


@dataclass(frozen=True)
class OffensiveRecords:
    """The newest offensive records of a selection; total: how many there are."""

    rows: tuple[OffensiveRecord, ...]
    total: int


def offensive_records(
    warehouse: Warehouse, selection: Selection, record_key: str | None = None
) -> OffensiveRecords:
    """At most NEWEST of them, the newest first. record_key: that record alone, whatever it is."""
    if record_key is None:
        selected, params = source(selection, [(_is_offensive(), [OFFENSIVE_FLAG])])
    else:
        selected, params = source(Selection(), [("record_key = ?", [record_key])])
    total = int(row_of(warehouse, f"select count(*) as n from {selected}", params)["n"])
    scores = ", ".join(
        f"{quoted(toxicity_name(score, column))} as {score}_{side}"
        for column, side in ((TEXT, "output"), (TRUTH, "truth"))
        for score in TOXICITY
    )
    frame = warehouse.query(
        f"""
        select
            record_key,
            version,
            sha256,
            {quoted(TEXT)} as output,
            {quoted(TRUTH)} as truth,
            list_contains("feedback.flags", ?) as flagged,
            {scores}
        from {selected}
        left join image_values on image = {quoted(IMAGE)} and failure is null
        order by timestamp desc, record_key
        limit ?
        """,
        [OFFENSIVE_FLAG, *params, NEWEST],
    )
    rows = []
    for row in plain_rows(frame):
        pairs = {
            score: (row.pop(f"{score}_output"), row.pop(f"{score}_truth")) for score in TOXICITY
        }
        known = {score: pair for score, pair in pairs.items() if pair != (None, None)}
        highest = max(
            known, key=lambda score: max(known[score][0] or 0, known[score][1] or 0), default=None
        )
        output_score, truth_score = known[highest] if highest else (None, None)
        rows.append(
            OffensiveRecord(
                **row, score=highest, output_score=output_score, truth_score=truth_score
            )
        )
    return OffensiveRecords(tuple(rows), total)


def offensive_texts(warehouse: Warehouse) -> list[str]:
    """The distinct outputs and truths of all offensive records, at most MAX_TEXTS."""
    rows = warehouse.rows(
        f"""
        with offensive as (from records where {_is_offensive()})
        select text
        from (
            select {quoted(TEXT)} as text from offensive
            union
            select {quoted(TRUTH)} as text from offensive
        )
        where text is not null
        order by len(text), text
        limit ?
        """,
        [OFFENSIVE_FLAG, MAX_TEXTS],
    )
    return [str(text) for (text,) in rows]


def _is_offensive() -> str:
    """As SQL with one parameter, the flag."""
    names = [quoted(toxicity_name(score, column)) for column in (TEXT, TRUTH) for score in TOXICITY]
    return f'(list_contains("feedback.flags", ?) or greatest({", ".join(names)}) >= {OFFENSIVE})'
