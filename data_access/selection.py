"""The filters in force: one value that becomes SQL, an English sentence, and a URL.

Every kind of filter is one row of FILTERS; each range of a projection is written under the
projection's own name.
"""

import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from data_access.errors import SelectionError
from data_access.projections.table import ProjectionTable
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
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
IMAGE_STATES = {
    "none": "no image", "unreadable": "an unreadable image", "readable": "a readable image"
}  # fmt: skip
IMAGE_STATE = """case
    when "inputs.image" is null then 'none'
    when image_failure is null then 'readable'
    else 'unreadable'
end"""
PUNCTUATION = ".,;:!?\"'()[]{}“”‘’…"  # that is no part of the word it stands by
WORD_BEFORE = rf"(^|[\s\x0b\x1c-\x1f\x{{85}}\pZ])[{re.escape(PUNCTUATION)}]*"
WORD_AFTER = rf"[{re.escape(PUNCTUATION)}]*([\s\x0b\x1c-\x1f\x{{85}}\pZ]|$)"
LARGEST = sys.float_info.max
FOLDED = ("environment", "version", "since", "until")  # choose among the reports of an image


@dataclass(frozen=True)
class Range:
    """Values of a projection in [low, high), or (missing) the records that have no value.

    projection: its name; in `Selection.tag_range`, that of a tag of numbers.
    """

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
    application: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    hour: tuple[int, ...] = ()
    weekday: tuple[str, ...] = ()
    flag: tuple[str, ...] = ()
    without_flag: tuple[str, ...] = ()
    text: str = ""
    word: str = ""
    without_word: str = ""
    tag: tuple[Tag, ...] = ()
    tag_range: tuple[Range, ...] = ()
    image_state: tuple[str, ...] = ()
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
        return replace(self, ranges=_with(self.ranges, new))

    def with_tag_range(self, new: Range) -> "Selection":
        """The same selection with this range in the place of any other of its tag."""
        return replace(self, tag_range=_with(self.tag_range, new))

    def with_flag(self, flag: str) -> "Selection":
        """The same selection of the records with this flag."""
        return replace(self, flag=(flag,))

    def without(self, name: str) -> "Selection":
        """The same selection without a filter, by field or by a projection's name."""
        if any(name == held.name for held in fields(self)):
            return replace(self, **{name: getattr(Selection(), name)})
        return replace(self, ranges=tuple(r for r in self.ranges if r.projection != name))


def _with(ranges: tuple[Range, ...], new: Range) -> tuple[Range, ...]:
    return (*(held for held in ranges if held.projection != new.projection), new)


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
    return tuple(dict.fromkeys(Tag(*parts) for parts in _by_colon(values, "client:web")))


def _by_colon(values: list[str], example: str) -> list[tuple[str, str]]:
    """The names of tags, and what is said of each."""
    if wrong := [value for value in values if ":" not in value]:
        raise SelectionError(f"“{wrong[0]}” is not a tag such as {example}.")
    parts = [value.partition(":") for value in values]
    return [(unquote(name), said) for name, _, said in parts]


def _written_tags(tags: tuple[Tag, ...]) -> list[str]:
    return [_written_tag(tag.name, tag.value) for tag in tags]


def _written_tag(name: str, said: str) -> str:
    return f"{quote(name, safe=' ')}:{said}"


def _tag_ranges(values: list[str]) -> tuple[Range, ...]:
    """`latency_ms:100..200`, or `latency_ms:none` for the records where it is no number."""
    found = [_read_range(*parts) for parts in _by_colon(values, "latency_ms:100..200")]
    return tuple({held.projection: held for held in found}.values())


def _written_tag_ranges(ranges: tuple[Range, ...]) -> list[str]:
    return [_written_tag(held.projection, _written_range(held)) for held in ranges]


def tag_value(name: str) -> Condition:
    """The value of a tag as text, in SQL; null where there is none."""
    return "json_extract_string(tags, ?)", ["/" + name.replace("~", "~0").replace("/", "~1")]


def tag_number(name: str) -> Condition:
    """The value of a tag as a number, in SQL; null or not finite where it is none."""
    value, path = tag_value(name)
    return f"try_cast({value} as double)", path


def _tag_range_sql(ranges: tuple[Range, ...]) -> Condition:
    asked: list[str] = []
    params: list[Any] = []
    for held in ranges:
        number, path = tag_number(held.projection)
        low = -LARGEST if held.low is None else held.low
        high = LARGEST if held.high is None else math.nextafter(held.high, -math.inf)
        asked.append(f"({number} between ? and ?) is {'not ' if held.missing else ''}true")
        params += [*path, low, high]
    return " and ".join(asked), params


def _tag_range_sentence(ranges: tuple[Range, ...]) -> str:
    return ", ".join(range_sentence(held.projection, held) for held in ranges)


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


def _hours(values: list[str]) -> tuple[int, ...]:
    hours = {value: int(value) for value in values if value.isdecimal() and len(value) <= 2}
    if wrong := [value for value in values if value and hours.get(value, 24) > 23]:
        raise SelectionError(f"“{wrong[0]}” is not an hour from 0 to 23.")
    return tuple(sorted(set(hours.values())))


def _hour_sentence(hours: tuple[int, ...]) -> str:
    return f"at {' or '.join(f'{hour:02}' for hour in hours)} o’clock UTC"


def _weekdays(values: list[str]) -> tuple[str, ...]:
    asked = {value.capitalize(): value for value in values if value}
    if wrong := [value for day, value in asked.items() if day not in WEEKDAYS]:
        raise SelectionError(f"“{wrong[0]}” is not a day of the week such as Monday.")
    return tuple(day for day in WEEKDAYS if day in asked)


def _image_states(values: list[str]) -> tuple[str, ...]:
    if wrong := [value for value in values if value and value not in IMAGE_STATES]:
        raise SelectionError(f"“{wrong[0]}” is none of readable, unreadable and none.")
    return tuple(state for state in IMAGE_STATES if state in values)


def _word(values: list[str]) -> str:
    """A word without what stands by it."""
    if not values or not values[-1]:
        return ""
    words = [part.strip(PUNCTUATION) for part in values[-1][:1000].split()]
    [word, *more] = [part for part in words if part] or [""]
    if not word or more:
        raise SelectionError(f"“{values[-1][:100]}” is not one word; text=… takes any text.")
    return word


def _word_sql(word: str) -> Condition:
    """A word as it is counted: between spaces, but for punctuation, in either case."""
    text = 'lower("outputs.output_text")'
    return (
        f"coalesce(regexp_matches({text}, ? || regexp_escape(lower(?)) || ?), false)",
        [WORD_BEFORE, word, WORD_AFTER],
    )


def _without_word_sql(word: str) -> Condition:
    sql, params = _word_sql(word)
    return f"not {sql}", params


def _without_flag_sql(flags: tuple[str, ...]) -> Condition:
    return f'not list_has_any("feedback.flags", [{", ".join("?" * len(flags))}])', list(flags)


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
        key="application",
        label="Application",
        group="Where",
        read=_names,
        write=list,
        sql=_any_of("application"),
        sentence=lambda values: _named_sentence("application", values),
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
        key="hour",
        label="Hour of the day",
        group="When",
        read=_hours,
        write=lambda hours: list(map(str, hours)),
        sql=_any_of("hour(timestamp)"),
        sentence=_hour_sentence,
    ),
    Filter(
        key="weekday",
        label="Day of the week",
        group="When",
        read=_weekdays,
        write=list,
        sql=_any_of("dayname(timestamp)"),
        sentence=lambda days: f"on a {' or '.join(days)} (UTC)",
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
        key="without_flag",
        label="Without flags",
        group="What users said",
        read=_names,
        write=list,
        sql=_without_flag_sql,
        sentence=lambda flags: f"not flagged {' or '.join(flags)}",
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
        key="word",
        label="Output has the word",
        group="What the model said",
        read=_word,
        write=lambda word: [word],
        sql=_word_sql,
        sentence=lambda word: f"output has the word “{word}”",
    ),
    Filter(
        key="without_word",
        label="Output without the word",
        group="What the model said",
        read=_word,
        write=lambda word: [word],
        sql=_without_word_sql,
        sentence=lambda word: f"output without the word “{word}”",
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
        key="tag_range",
        label="Tags of numbers",
        group="Where",
        read=_tag_ranges,
        write=_written_tag_ranges,
        sql=_tag_range_sql,
        sentence=_tag_range_sentence,
    ),
    Filter(
        key="image_state",
        label="Image",
        group="What the image looks like",
        read=_image_states,
        write=list,
        sql=_any_of(IMAGE_STATE),
        sentence=lambda states: " or ".join(IMAGE_STATES[state] for state in states),
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
    pairs: Iterable[tuple[str, str]], projections: ProjectionTable
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


def parse_selection(text: str, projections: ProjectionTable) -> Selection:
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


def sentences(selection: Selection, projections: ProjectionTable) -> list[tuple[str, str]]:
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
    """The selected records as SQL to put after `from`, with its parameters."""
    sql, params = holds(selection, extra)
    return f"(select * from records where {sql})", params


def holds(selection: Selection, extra: Sequence[Condition] = ()) -> Condition:
    """Whether a row of `records` is selected.

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
    return f"{sql} and {further}", [*params, *more]


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
