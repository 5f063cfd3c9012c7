"""The filters in force: one value that becomes SQL, an English sentence, and a URL.

Every kind of filter is one row of FILTERS; each range of a projection is written under the
projection's own name.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from data_access.errors import SelectionError
from data_access.projections import Table
from data_access.sql import Condition, quoted

ANY_FLAG = "*"
NO_VALUE = "-"  # no words: an application may have a flag of any name
NO_FLAG = NO_VALUE
MISSING = "none"
# of the dashboard's address, beside filters
PAGE_PARAMETERS = (
    "baseline", "record", "sort", "order", "page", "view", "bucket", "measure", "columns",
    "axes", "category", "of", "reader", "take", "tried", "kind", "sheet", "against",
)  # fmt: skip
DAY = timedelta(days=1)
FOLDED = ("environment", "version", "since", "until")  # choose among the reports of an image


@dataclass(frozen=True)
class Range:
    """Values of a projection in [low, high), or (missing) the records that have no value."""

    projection: str
    low: float | None = None
    high: float | None = None
    missing: bool = False


@dataclass(frozen=True)
class Tag:
    """A tag of a record by its name, and its value as text; NO_VALUE: the records without it."""

    name: str
    value: str


@dataclass(frozen=True)
class Selection:
    """Which records are looked at. Empty means all; times are UTC and [since, until)."""

    environment: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    flag: tuple[str, ...] = ()
    text: str = ""
    tag: tuple[Tag, ...] = ()
    ranges: tuple[Range, ...] = ()
    images: str = ""

    @property
    def each_image_once(self) -> bool:
        return self.images == "once"

    @property
    def days(self) -> int:
        """The length of the time window, at least 1; 0 where an end is open."""
        if self.since is None or self.until is None:
            return 0
        return max(1, round((self.until - self.since) / DAY))

    def with_range(self, new: Range) -> "Selection":
        """The same selection with this range in the place of any other of its projection."""
        kept = tuple(held for held in self.ranges if held.projection != new.projection)
        return replace(self, ranges=(*kept, new))

    def with_flag(self, flag: str) -> "Selection":
        """The same selection of the records with this flag."""
        return replace(self, flag=(flag,))

    def without(self, name: str) -> "Selection":
        """The same selection without a filter, by field or by a projection's name."""
        if any(name == held.name for held in fields(self)):
            return replace(self, **{name: getattr(Selection(), name)})
        return replace(self, ranges=tuple(r for r in self.ranges if r.projection != name))


@dataclass(frozen=True)
class Filter:
    """One kind of filter: how it is written in a URL, asked in SQL and said in English."""

    key: str
    label: str
    group: str
    read: Callable[[list[str]], Any]
    write: Callable[[Any], list[str]]
    sql: Callable[[Any], Condition]
    sentence: Callable[[Any], str]


def _names(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _any_of(column: str) -> Callable[[tuple[str, ...]], Condition]:
    def sql(values: tuple[str, ...]) -> Condition:
        asked = f"coalesce({column}, '{NO_VALUE}')" if NO_VALUE in values else column
        return f"{asked} in ({', '.join('?' * len(values))})", list(values)

    return sql


def _named_sentence(name: str, values: Sequence[str]) -> str:
    """`version 1 or 2 or no version`."""
    named = [value for value in values if value != NO_VALUE]
    said = [f"{name} {' or '.join(named)}"] if named else []
    return " or ".join([*said, *([f"no {name}"] if NO_VALUE in values else [])])


def _tags(values: list[str]) -> tuple[Tag, ...]:
    """`client:web`, or `client:-` for the records without this tag."""
    if wrong := [value for value in values if ":" not in value]:
        raise SelectionError(f"“{wrong[0]}” is not a tag such as client:web.")
    parts = [value.partition(":") for value in values]
    return tuple(dict.fromkeys(Tag(unquote(name), value) for name, _, value in parts))


def _written_tags(tags: tuple[Tag, ...]) -> list[str]:
    return [f"{quote(tag.name, safe=' ')}:{tag.value}" for tag in tags]


def tag_value(name: str) -> Condition:
    """The value of a tag as text, in SQL; null where there is none."""
    return "json_extract_string(tags, ?)", ["/" + name.replace("~", "~0").replace("/", "~1")]


def _tag_sql(tags: tuple[Tag, ...]) -> Condition:
    """Any of the values of one tag, and so for every tag that is named."""
    asked: list[str] = []
    params: list[Any] = []
    for name, named in _by_name(tags):
        value, path = tag_value(name)
        sql, wanted = _any_of(value)(tuple(tag.value for tag in named))
        asked.append(sql)
        params += [*path, *wanted]
    return " and ".join(asked), params


def _by_name(tags: tuple[Tag, ...]) -> list[tuple[str, list[Tag]]]:
    ordered = sorted(tags, key=attrgetter("name"))
    return [(name, list(named)) for name, named in groupby(ordered, attrgetter("name"))]


def _tag_sentence(tags: tuple[Tag, ...]) -> str:
    return ", ".join(
        _named_sentence(name, [tag.value for tag in named]) for name, named in _by_name(tags)
    )


def _moment(values: list[str]) -> datetime | None:
    if not values:
        return None
    try:
        moment = datetime.fromisoformat(values[-1])
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise SelectionError(f"“{values[-1]}” is not a date such as 2026-09-30.") from None
    if not 1970 <= moment.year < 2200:
        raise SelectionError(f"“{values[-1]}” is not a date between 1970 and 2199.")
    return moment


def _until(values: list[str]) -> datetime | None:
    """A date names the whole of its day."""
    moment = _moment(values)
    return moment + DAY if moment is not None and _is_date(values[-1]) else moment


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _written_moment(moment: datetime) -> str:
    if _is_midnight(moment):
        return moment.date().isoformat()
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def _written_until(moment: datetime) -> str:
    return _written_moment(moment - DAY if _is_midnight(moment) else moment)


def _flag_sql(flags: tuple[str, ...]) -> Condition:
    asked: list[str] = []
    params: list[Any] = []
    for flag in flags:
        if flag == ANY_FLAG:
            asked.append('len("feedback.flags") > 0')
        elif flag == NO_FLAG:
            asked.append('len("feedback.flags") = 0')
        else:
            asked.append('list_contains("feedback.flags", ?)')
            params.append(flag)
    return f"({' or '.join(asked)})", params


def _flag_sentence(flags: tuple[str, ...]) -> str:
    said = {ANY_FLAG: "flagged", NO_FLAG: "not flagged"}
    return " or ".join(said.get(flag, f"flagged {flag}") for flag in flags)


def _images(values: list[str]) -> str:
    if values and values[-1] not in ("each", "once"):
        raise SelectionError(f"images={values[-1]}: use images=once or images=each.")
    return "once" if values and values[-1] == "once" else ""


def _utc(moment: datetime) -> datetime:
    """Times in the warehouse are UTC without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None)


FILTERS: tuple[Filter, ...] = (
    Filter(
        key="environment",
        label="Environment",
        group="Where",
        read=_names,
        write=list,
        sql=_any_of("environment"),
        sentence=" or ".join,
    ),
    Filter(
        key="version",
        label="Model version",
        group="Where",
        read=_names,
        write=list,
        sql=_any_of("version"),
        sentence=lambda values: _named_sentence("version", values),
    ),
    Filter(
        key="since",
        label="From",
        group="When",
        read=_moment,
        write=lambda moment: [_written_moment(moment)],
        sql=lambda moment: ("timestamp >= ?", [_utc(moment)]),
        sentence=lambda moment: f"from {spoken_moment(moment)}",
    ),
    Filter(
        key="until",
        label="To",
        group="When",
        read=_until,
        write=lambda moment: [_written_until(moment)],
        sql=lambda moment: ("timestamp < ?", [_utc(moment)]),
        sentence=lambda moment: f"to {spoken_until(moment)}",
    ),
    Filter(
        key="flag",
        label="Flags",
        group="What users said",
        read=_names,
        write=list,
        sql=_flag_sql,
        sentence=_flag_sentence,
    ),
    Filter(
        key="text",
        label="Output contains",
        group="What the model said",
        read=lambda values: values[-1][:1000] if values else "",
        write=lambda text: [text],
        sql=lambda text: ('contains(lower("outputs.output_text"), lower(?))', [text]),
        sentence=lambda text: f"output contains “{text}”",
    ),
    Filter(
        key="tag",
        label="Tags",
        group="Where",
        read=_tags,
        write=_written_tags,
        sql=_tag_sql,
        sentence=_tag_sentence,
    ),
    Filter(
        key="images",
        label="Repeated images",
        group="Where",
        read=_images,
        write=lambda value: [value],
        sql=lambda _: ("true", []),
        sentence=lambda _: "each image once",
    ),
)


def read_selection(
    pairs: Iterable[tuple[str, str]], projections: Table
) -> tuple[Selection, list[str]]:
    """A selection from the parameters of a URL, and a sentence for each that was left out.

    Parameters that name neither a filter nor a projection are another's business.
    """
    given: dict[str, list[str]] = {}
    for key, value in pairs:
        given.setdefault(key, []).append(value)
    held: dict[str, Any] = {}
    problems: list[str] = []
    for row in FILTERS:
        try:
            held[row.key] = row.read(given.get(row.key, []))
        except SelectionError as error:
            problems.append(f"{row.label} was left out: {error}")
    ranges: list[Range] = []
    for key, values in given.items():
        if key in projections:
            try:
                ranges.append(_read_range(key, values[-1]))
            except SelectionError as error:
                problems.append(f"{key} was left out: {error}")
        elif "(" in key:
            problems.append(f"{key} was left out: there is no such projection.")
    return Selection(**held, ranges=tuple(ranges)), problems


def parse_selection(text: str, projections: Table) -> Selection:
    """A selection as a URL writes it, such as `environment=prod&flag=incorrect`.

    Raises SelectionError for anything in it that is not understood.
    """
    before, _, after = text.partition("?")
    is_address = "?" in text and "=" not in before and ("/" in before or not before)
    query = after if is_address else text
    pairs = parse_qsl(query, keep_blank_values=True)
    selection, problems = read_selection(pairs, projections)
    known = {row.key for row in FILTERS}
    also = PAGE_PARAMETERS if is_address else ()
    if query and not pairs:
        pairs = [(query, "")]
    for key, value in pairs:
        if key not in known and key not in projections and key not in also:
            problems.append(
                f"{key} is not a filter: use {', '.join(sorted(known))} or a projection's name."
            )
        elif not value:
            problems.append(f"{key} has no value: write {key}=….")
    if problems:
        raise SelectionError(problems[0])
    return selection


def write_selection(selection: Selection) -> dict[str, list[str]]:
    """The parameters of the URL that means this selection."""
    written: dict[str, list[str]] = {}
    for row in FILTERS:
        value = getattr(selection, row.key)
        if value:
            written[row.key] = row.write(value)
    for held in selection.ranges:
        written[held.projection] = [_written_range(held)]
    return written


def query_string(selection: Selection) -> str:
    """The selection as the text after the question mark of a URL."""
    return encoded(write_selection(selection))


def encoded(parameters: dict[str, list[str]]) -> str:
    """The parameters of a URL as text, legible where the standard allows it."""
    return "&".join(
        f"{quote(key, safe='().')}={quote(value, safe='.:')}"
        for key, values in parameters.items()
        for value in values
    )


def sentences(selection: Selection, projections: Table) -> list[tuple[str, str]]:
    """(filter's name for `without`, what it says in English) for each filter in force."""
    said = [
        (row.key, row.sentence(getattr(selection, row.key)))
        for row in FILTERS
        if getattr(selection, row.key)
    ]
    for held in selection.ranges:
        label = projections[held.projection].label if held.projection in projections else ""
        said.append((held.projection, range_sentence(label or held.projection, held)))
    return said


def range_sentence(label: str, held: Range) -> str:
    if held.missing:
        return f"no {label}"
    if held.low is None and held.high is None:
        return f"any {label}"
    if held.low is None:
        return f"{label} under {held.high:.10g}"
    if held.high is None:
        return f"{label} at least {held.low:.10g}"
    return f"{label} {held.low:.10g} to under {held.high:.10g}"


def spoken_moment(moment: datetime) -> str:
    day = f"{moment.day} {moment:%b %Y}"
    return day if _is_midnight(moment) else f"{day} {moment:%H:%M} UTC"


def spoken_until(moment: datetime) -> str:
    return spoken_moment(moment - DAY if _is_midnight(moment) else moment)


def _is_midnight(moment: datetime) -> bool:
    return moment == moment.replace(hour=0, minute=0, second=0, microsecond=0)


def source(selection: Selection, extra: Sequence[Condition] = ()) -> Condition:
    """The selected records as SQL to put after `from`, with its parameters.

    Where each image counts once, one record stands for it: the first that was flagged, or else
    the first. Which one depends on where and when alone, so that every other filter takes whole
    bars of the very histogram it was brushed in.
    """
    held = [row for row in FILTERS if getattr(selection, row.key)]
    base = [row.sql(getattr(selection, row.key)) for row in held if row.key in FOLDED]
    rest = [row.sql(getattr(selection, row.key)) for row in held if row.key not in FOLDED]
    rest += [*(_range_sql(limits) for limits in selection.ranges), *extra]
    sql, params = _all_of(base)
    if selection.each_image_once:
        sql = (
            f"rowid in (select arg_min(rowid, fold_order) from records where {sql} "
            "group by image_hash)"
        )
    further, more = _all_of(rest)
    return f"(select * from records where {sql} and {further})", [*params, *more]


def _all_of(conditions: Sequence[Condition]) -> Condition:
    return (
        " and ".join(["true", *(sql for sql, _ in conditions)]),
        [param for _, params in conditions for param in params],
    )


def _range_sql(held: Range) -> Condition:
    column = quoted(held.projection)
    if held.missing:
        return f"{column} is null", []
    asked, params = [f"{column} is not null"], []
    if held.low is not None:
        asked.append(f"{column} >= ?")
        params.append(held.low)
    if held.high is not None:
        asked.append(f"{column} < ?")
        params.append(held.high)
    return " and ".join(asked), params


def _read_range(projection: str, text: str) -> Range:
    if text == MISSING:
        return Range(projection, missing=True)
    low, dots, high = text.partition("..")
    if not dots:
        raise SelectionError(f"“{text}” is not a range such as 0.5..3, ..3 or 0.5..")
    lowest = _number(low) if low else None
    highest = _number(high) if high else None
    if lowest is not None and highest is not None and lowest > highest:
        raise SelectionError(f"“{text}” ends before it begins.")
    return Range(projection, lowest, highest)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SelectionError(f"“{text}” is not a number.")
    return value


def _written_range(held: Range) -> str:
    if held.missing:
        return MISSING
    low, high = ("" if side is None else repr(side) for side in (held.low, held.high))
    return f"{low}..{high}"
