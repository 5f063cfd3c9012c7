"""Everything that is known of some records, as candidates for what separates them from others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access.projections.table import IMAGE, TEXT, TRUTH, Projection
from data_access.queries.answers import row_of
from data_access.queries.cases import frequent_tags
from data_access.queries.coverage import flags
from data_access.queries.distributions import extents
from data_access.selection import (
    ANY_FLAG,
    IMAGE_STATE,
    IMAGE_STATES,
    NO_FLAG,
    NO_VALUE,
    PUNCTUATION,
    WEEKDAYS,
    Range,
    Selection,
    Tag,
    holds,
    range_sentence,
    source,
    spoken_moment,
)
from data_access.sql import json_pointer, quoted
from data_access.statistics.bins import BARS, Bins, linear_bins
from data_access.statistics.separation import CHOSEN, OTHERS, REST, Candidate, Groups, Question
from data_access.warehouse import Warehouse

FLAGS, WORDS = 8, 80  # that are looked at, the most frequent ones
CATEGORIES = 30  # of a tag that are asked about, the most frequent ones
ALIKE = 0.5  # share of records that the frequent categories cover, or a tag is an identifier
SHORTEST_WORD = 3
HOURS = tuple(f"{hour:02}" for hour in range(24))
DAY_SECONDS = 86_400
MOST = 200_000  # records of a side that are looked at; of more, some drawn at random

Kind = Literal[
    "projection", "number", "tag", "version", "application", "environment", "image_state", "day",
    "hour", "weekday", "flag", "word",
]  # fmt: skip
SAID: dict[Kind, str] = {
    "version": "are of version “{}”",
    "application": "are of application “{}”",
    "environment": "are of environment “{}”",
    "image_state": "have {}",
    "hour": "came at {} o’clock UTC",
    "weekday": "came on a {} (UTC)",
}
PLACES: tuple[Kind, ...] = ("version", "application", "environment")
FILTERED_BY: dict[Kind, Sequence[Any]] = {
    "hour": range(24), "weekday": WEEKDAYS, "image_state": tuple(IMAGE_STATES)
}  # fmt: skip
SPOKEN = {
    Range(f"polarity({IMAGE})", low=0.0): "are dark on light",
    Range(f"polarity({IMAGE})", high=0.0): "are light on dark",
}


@dataclass(frozen=True, eq=False)
class Known:
    """Something known of records, and how it is said and filtered by.

    came_in: whether it was there before the recognizer answered, so that it can be a cause.
    names: of categories, by code. values: of numbers and days (seconds since 1970), shape (n,),
    NaN for none; bins: their bars. projection: of numbers, what charts call them.
    """

    candidate: Candidate
    kind: Kind
    label: str
    came_in: bool = True
    names: tuple[str, ...] = ()
    values: np.ndarray | None = None
    bins: Bins | None = None
    projection: Projection | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether the order of its categories means something."""
        return self.kind in ("day", "hour", "weekday")

    def range(self, question: Question) -> Range | None:
        """The values of a number of which a question is true."""
        if self.projection is None or self.bins is None:
            return None
        if question.level < 0:
            return Range(self.projection.name, missing=True)
        edge = self.bins.edges[question.level]
        if question.under:
            return Range(self.projection.name, high=edge)
        return Range(self.projection.name, low=edge)

    def says(self, question: Question) -> str:
        """What records do of which a question is true, such as `have polarity at least 0`."""
        held = self.range(question)
        if held is not None:
            said = f"have {range_sentence(self.label, held)}"
            return f"{SPOKEN[held]} ({said[5:]})" if held in SPOKEN else said
        if question.level < 0:
            return f"have no {self.label}"
        if self.kind == "day":
            day = spoken_moment(self._day(question))
            return f"came before {day}" if question.under else f"came on {day} or later"
        if self.kind == "flag":
            return f"are {'not ' if question.under else ''}{self.label}"
        if self.kind == "word":
            return f"{'do not ' if question.under else ''}say {self.label}"
        name = self.names[question.level]
        return f"have {self.label} “{name}”" if self.kind == "tag" else SAID[self.kind].format(name)

    def narrow(self, selection: Selection, question: Question) -> Selection:
        """The records of a selection of which a question is true."""
        held = self.range(question)
        if held is not None:
            return self._ranged(selection, held)
        name = self.candidate.name
        if self.kind == "day" and question.under:
            return replace(selection, until=self._day(question))
        if self.kind == "day":
            return replace(selection, since=self._day(question))
        if self.kind == "flag" and question.under and name != ANY_FLAG:
            return replace(selection, without_flag=(name,))
        if self.kind == "flag":
            return selection.with_flag(NO_FLAG if question.under else name)
        if self.kind == "word" and question.under:
            return replace(selection, without_word=name)
        if self.kind == "word":
            return replace(selection, word=name)
        return self._of_levels(selection, [question.level])

    def narrow_without(self, selection: Selection, question: Question) -> Selection | None:
        """The records of a selection of which a question is not true; None where no filter says so.

        Of a number: those that have a value on the other side of the edge.
        """
        levels = self.candidate.levels
        if self.candidate.ordered and question.level < 0:
            assert self.projection is not None
            return self._ranged(selection, Range(self.projection.name))
        if self.candidate.ordered:
            return self.narrow(selection, question.opposite)
        if (self.candidate.codes >= levels).any():
            return None
        return self._of_levels(selection, [n for n in range(-1, levels) if n != question.level])

    def _ranged(self, selection: Selection, wanted: Range) -> Selection:
        """The same selection inside this range too."""
        if self.kind == "projection":
            return selection.with_range(_both(selection.ranges, wanted))
        return selection.with_tag_range(
            _both(selection.tag_range, replace(wanted, projection=self.label))
        )

    def _of_levels(self, selection: Selection, levels: Sequence[int]) -> Selection:
        """The records of a selection that are of one of these categories; −1: of none."""
        values = tuple(self.names[n] if n >= 0 else NO_VALUE for n in levels)
        if self.kind == "tag":
            kept = tuple(tag for tag in selection.tag if tag.name != self.label)
            return replace(selection, tag=(*kept, *(Tag(self.label, value) for value in values)))
        if self.kind in FILTERED_BY:  # every record has one
            values = tuple(FILTERED_BY[self.kind][n] for n in levels if n >= 0)
        changed: dict[str, Any] = {self.kind: values}
        return replace(selection, **changed)

    def _day(self, question: Question) -> datetime:
        assert self.bins is not None
        return datetime.fromtimestamp(self.bins.edges[question.level], UTC)


@dataclass(frozen=True, eq=False)
class Gathered:
    """What is known of records.

    groups: CHOSEN, the selected ones; OTHERS, those of the baseline; REST, those of the same place
    and time as the selected ones, which are the OTHERS where there is no baseline. parts: one in
    how many of the selected and of the others was looked at. defining: what the selection is a
    range of. left_out: label and reason of what cannot be compared.
    """

    known: tuple[Known, ...]
    defining: tuple[Known, ...]
    groups: Groups
    parts: tuple[int, int]
    left_out: tuple[tuple[str, str], ...]


def _both(ranges: Sequence[Range], wanted: Range) -> Range:
    """A range, and what is asked of its projection already."""
    held = next((r for r in ranges if r.projection == wanted.projection), Range(""))
    lows = [side for side in (held.low, wanted.low) if side is not None]
    highs = [side for side in (held.high, wanted.high) if side is not None]
    return Range(
        wanted.projection, max(lows, default=None), min(highs, default=None), wanted.missing
    )


def scope_of(selection: Selection) -> Selection:
    """All records of the same place (application, environment, version) and dates."""
    return Selection(
        application=selection.application,
        environment=selection.environment,
        version=selection.version,
        since=selection.since,
        until=selection.until,
        images=selection.images,
    )


def gather(warehouse: Warehouse, selection: Selection, baseline: Selection | None) -> Gathered:
    """What is known of the selected records, the rest of their scope, and those of the baseline.

    Left out is what the selection or the baseline is defined by, what has no two values, names
    each record for itself, or cannot be the same in the baseline.
    """
    names, tags = list(extents(warehouse)), frequent_tags(warehouse)
    scope = scope_of(selection)
    sides = [selection, scope] if baseline is None else [selection, baseline, scope]
    parts = [_parts(warehouse, side) for side in sides]
    table = _fetch(warehouse, names, tags, sides, parts)
    groups = Groups(table["side"].to_numpy().astype(np.int8))
    found: list[Known] = []
    defining: list[Known] = []
    left_out: list[tuple[str, str]] = []
    for known in _all_known(warehouse, table, names, tags):
        reason = _reason(known, groups, selection, baseline)
        if reason is None:
            found.append(known)
        elif reason:
            left_out.append((known.label, reason))
        if _has_range(known, selection):
            defining.append(known)
    return Gathered(
        tuple(found), tuple(defining), groups, (parts[CHOSEN], parts[OTHERS]), tuple(left_out)
    )


def _parts(warehouse: Warehouse, selection: Selection) -> int:
    """In how many parts of at most MOST records a selection falls, or one."""
    asked = "select count(*) as n from"
    if int(row_of(warehouse, f"{asked} records")["n"]) <= MOST:
        return 1
    selected, params = source(selection)
    return max(1, -(-int(row_of(warehouse, f"{asked} {selected}", params)["n"]) // MOST))


def _fetch(
    warehouse: Warehouse,
    names: Sequence[str],
    tags: Sequence[tuple[str, bool]],
    sides: Sequence[Selection],
    parts: Sequence[int],
) -> pa.Table:
    """All that is known of each record, and its `side`: what it is in `sides`.

    sides: by group, the selected ones, those of the baseline if there is one, and the scope of
    the selected ones, which are no part of it here, or of the baseline.
    """
    chosen, chosen_params = holds(sides[CHOSEN])
    scope, params = holds(sides[-1])
    rest = len(sides) - 1
    rows = f"select *, if({chosen}, {CHOSEN}, {rest}) as side from records where {scope}"
    params = [*chosen_params, *params]
    if rest == REST:
        others, others_params = holds(sides[OTHERS])
        rows += (
            f" union all by name select *, {OTHERS} as side from records "
            f"where {others} and not coalesce({chosen}, false)"
        )
        params += [*others_params, *chosen_params]
    if max(parts) > 1:
        rows = f"from ({rows}) where hash(record_key) % {list(parts)}[side + 1] = 0"
    columns = [
        *(f"nullif({place}, '{NO_VALUE}') as {place}" for place in PLACES),
        "epoch(timestamp) as moment",
        f"list_position({list(IMAGE_STATES)}, {IMAGE_STATE}) - 1 as image",
        '"feedback.flags" as flags',
        f"lower({quoted(TEXT)}) as text",
        *map(quoted, names),
    ]
    for number, (_, is_number) in enumerate(tags):
        value = f"tagged[{number + 1}]"
        held = f"try_cast({value} as double)" if is_number else f"nullif({value}, '{NO_VALUE}')"
        columns.append(f"{held} as tag{number}")
    tagged = "json_extract_string(tags, ?::varchar[])"  # all at once: each is parsed once
    paths = [json_pointer(tag) for tag, _ in tags]
    return warehouse.table(
        f"select {', '.join(columns)}, side from (select *, {tagged} as tagged from ({rows}))",
        [paths, *params],
    )


def _all_known(
    warehouse: Warehouse,
    table: pa.Table,
    names: Sequence[str],
    tags: Sequence[tuple[str, bool]],
) -> Iterator[Known]:
    bins = extents(warehouse)
    for name in names:
        row = warehouse.projections[name]
        yield _number(row, "projection", _numbers(table[name]), bins[name])
    for number, (tag, is_number) in enumerate(tags):
        column, name = table[f"tag{number}"], f"tags.{tag}"
        if not is_number:
            yield _category(name, "tag", tag, column)
        else:
            values = _numbers(column)
            row = Projection(name, tag, "", (name,), "A tag of the log.")
            yield _number(row, "number", values, _bins_over(values))
    for kind_of in PLACES:
        yield _category(kind_of, kind_of, kind_of, table[kind_of])
    states = Candidate("image_state", table["image"].to_numpy().astype(np.int16), 3, False, False)
    yield Known(states, "image_state", "image", names=tuple(IMAGE_STATES.values()))
    yield from _times(_numbers(table["moment"]))
    yield from _flagged(flags(warehouse)[:FLAGS], table["flags"])
    yield from _words(table["text"])


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    values = pc.cast(column, pa.float64()).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _bins_over(values: np.ndarray) -> Bins:
    held = values[~np.isnan(values)]
    return linear_bins(*np.quantile(held, (0.005, 0.995))) if len(held) else linear_bins(0, 1)


def _number(row: Projection, kind: Kind, values: np.ndarray, bins: Bins) -> Known:
    """Whether a truth or a score is there says who looked at the record, not what it is like."""
    tells = TRUTH not in row.inputs and (row.compute is not None or "(" not in row.name)
    codes = np.searchsorted(bins.edges[1:-1], values, side="right").astype(np.int16)
    codes[np.isnan(values)] = -1
    zero = bins.edges.index(0.0) if 0.0 in bins.edges[1:-1] else None
    candidate = Candidate(row.name, codes, bins.bars, True, tells, zero)
    return Known(candidate, kind, row.label, TEXT not in row.inputs, (), values, bins, row)


def _category(name: str, kind: Kind, label: str, column: pa.ChunkedArray) -> Known:
    """Codes by frequency; past CATEGORIES they are not asked about."""
    held = column.combine_chunks().dictionary_encode()
    codes = pc.fill_null(held.indices, -1).to_numpy(zero_copy_only=False)
    counts = np.bincount(codes[codes >= 0], minlength=len(held.dictionary))
    order = np.argsort(-counts, kind="stable")
    rank = np.full(len(order) + 1, -1)  # the last is that of no value
    rank[order] = np.minimum(np.arange(len(order)), CATEGORIES)
    names = tuple(held.dictionary[int(number)].as_py() for number in order[:CATEGORIES])
    candidate = Candidate(name, rank[codes].astype(np.int16), len(names), False)
    return Known(candidate, kind, label, names=names)


def _times(moments: np.ndarray) -> Iterator[Known]:
    """The day, the hour and the weekday, all in UTC; every record has a time."""
    if not len(moments):
        return
    days = moments // DAY_SECONDS
    step = max(1, -(-int(days.max() - days.min() + 1) // BARS))
    edges = np.arange(days.min(), days.max() + step + 1, step) * DAY_SECONDS
    bins = Bins(tuple(edges.tolist()))
    codes = (np.searchsorted(edges, moments, side="right") - 1).astype(np.int16)
    day = Candidate("day", codes, bins.bars, True, False)
    names = tuple(f"{datetime.fromtimestamp(edge, UTC):%d %b}" for edge in edges[:-1].tolist())
    yield Known(day, "day", "day", names=names, values=moments, bins=bins)
    hours = (moments % DAY_SECONDS // 3600).astype(np.int16)
    yield Known(Candidate("hour", hours, 24, False, False), "hour", "hour", names=HOURS)
    weekdays = ((days + 3) % 7).astype(np.int16)  # 1970 began on a Thursday
    weekday = Candidate("weekday", weekdays, 7, False, False)
    yield Known(weekday, "weekday", "weekday", names=WEEKDAYS)


def _flagged(names: Sequence[str], column: pa.ChunkedArray) -> Iterator[Known]:
    held = column.combine_chunks()
    records, said = pc.list_parent_indices(held).to_numpy(), pc.list_flatten(held)
    for flag in (ANY_FLAG, *names):
        which = records if flag == ANY_FLAG else records[pc.equal(said, flag).to_numpy(False)]
        label = "flagged" if flag == ANY_FLAG else f"flagged {flag}"
        yield Known(_yes(flag, which, len(held)), "flag", label, came_in=False)


def _words(column: pa.ChunkedArray) -> Iterator[Known]:
    """The most frequent words of outputs in lower case; the filter by `word` finds the same."""
    held = pc.utf8_split_whitespace(column.combine_chunks())
    records, found = pc.list_parent_indices(held), pc.list_flatten(held).dictionary_encode()
    trimmed = pc.utf8_trim(found.dictionary, PUNCTUATION).dictionary_encode()
    words, codes = trimmed.dictionary, trimmed.indices.to_numpy()[found.indices.to_numpy()]
    counts = np.bincount(codes, minlength=len(words))
    counts *= pc.utf8_length(words).to_numpy() >= SHORTEST_WORD
    frequent = np.argsort(-counts, kind="stable")[:WORDS]
    number = np.full(len(words), len(frequent), np.int16)
    number[frequent] = np.arange(len(frequent))
    order = np.argsort(number[codes], kind="stable")
    said = records.to_numpy()[order]
    ends = np.cumsum(counts[frequent])
    for word, start, end in zip(frequent, ends - counts[frequent], ends, strict=True):
        if start < end:
            name = words[int(word)].as_py()
            candidate = _yes(name, said[start:end], len(column))
            yield Known(candidate, "word", f"“{name}”", came_in=False)


def _yes(name: str, records: np.ndarray, n: int) -> Candidate:
    """The question whether a record is among these."""
    codes = np.zeros(n, np.int16)
    codes[records] = 1
    return Candidate(name, codes, 2, True, False)


def _reason(
    known: Known, groups: Groups, selection: Selection, baseline: Selection | None
) -> str | None:
    """Why something is left out; empty where there is nothing to say of it, None to keep it."""
    counts = groups.counts(known.candidate)
    if np.count_nonzero(counts[CHOSEN] + counts[OTHERS]) < 2:
        return "" if known.kind in ("word", "flag") else "the same for all of them"
    if _defines(known, selection) or (baseline is not None and _defines(known, baseline)):
        return "" if known.kind in ("word", "flag") else "you selected by this"
    if known.kind == "tag" and _is_identifier(known.candidate, counts.sum(axis=0)):
        return "nearly every record has its own"
    if baseline is not None:
        own, others = counts[CHOSEN] + counts[REST], counts[OTHERS]
        return _apart(known, own, others, selection, baseline)
    return None


def _has_range(known: Known, selection: Selection) -> bool:
    """Whether the selection is a range of this number."""
    if known.kind == "number":
        return any(held.projection == known.label for held in selection.tag_range)
    return any(held.projection == known.candidate.name for held in selection.ranges)


def _defines(known: Known, selection: Selection) -> bool:
    if known.kind in ("projection", "number", "tag"):
        named = known.kind != "projection" and known.label in {tag.name for tag in selection.tag}
        return named or _has_range(known, selection)
    filters: dict[Kind, Sequence[str]] = {
        "day": ("since", "until"),
        "flag": ("flag", "without_flag"),
        "word": ("text", "word", "without_word"),
    }
    return any(getattr(selection, name) for name in filters.get(known.kind, (known.kind,)))


def _is_identifier(candidate: Candidate, counts: np.ndarray) -> bool:
    """Whether most records that have a value have a rare one."""
    frequent = counts[1:-1].sum() / counts[1:].sum()
    return candidate.levels == CATEGORIES and bool(frequent < ALIKE)


def _apart(
    known: Known, own: np.ndarray, others: np.ndarray, selection: Selection, baseline: Selection
) -> str | None:
    """What differs between the two for every record says nothing of the selected ones.

    own, others: records by code, shape (levels + 2,), as in `Groups.counts`.
    """
    if known.kind == "day":
        return "only compared with the rest"
    if selection.environment == baseline.environment or not own.any() or not others.any():
        return None
    if known.kind in ("hour", "weekday"):
        return "only compared with the rest"
    if known.kind == "flag":
        return None if others[2:].any() else ""
    if known.candidate.ordered and not (own[1:].any() and others[1:].any()):
        return "the baseline has no value"
    if known.kind in ("tag", "application") and not (own * others).any():
        return "the baseline has no value in common with these"
    return None
