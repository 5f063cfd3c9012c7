"""One row for each kind of filter, and a selection in English."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data_access.errors import SelectionError
from data_access.projections.table import ProjectionTable
from data_access.selection.judgements import (
    mode_sentence,
    mode_sql,
    read_review_states,
    review_sentence,
    review_sql,
    reviewer_sql,
    without_mode_sql,
)
from data_access.selection.moments import (
    around_sql,
    hours_sentence,
    moment_text,
    read_clock,
    read_hours,
    read_moment,
    read_until,
    read_weekdays,
    until_text,
    warehouse_time,
    weekdays_sentence,
    write_moment,
    write_until,
)
from data_access.selection.names import any_of, names_sentence, read_names
from data_access.selection.ranges import range_sentence
from data_access.selection.tags import (
    read_tag_ranges,
    read_tags,
    tag_range_sentence,
    tag_range_sql,
    tag_sentence,
    tag_sql,
    write_tag_ranges,
    write_tags,
)
from data_access.selection.value import ANY_FLAG, IMAGE_STATES, NO_FLAG, Selection
from data_access.selection.words import (
    in_feedback,
    part_of,
    read_text,
    read_word,
    user_sql,
    without_word_sql,
    word_sql,
)
from data_access.sql import Condition

IMAGE_STATE = """case
    when "inputs.image" is null then 'none'
    when image_failure is null then 'readable'
    else 'unreadable'
end"""


@dataclass(frozen=True)
class Filter:
    """One kind of filter: its form in a URL, in SQL and in English."""

    key: str
    label: str
    group: str
    read: Callable[[list[str]], Any]
    write: Callable[[Any], list[str]]
    sql: Callable[[Any], Condition]
    sentence: Callable[[Any], str]


def read_image_states(values: list[str]) -> tuple[str, ...]:
    if wrong := [value for value in values if value and value not in IMAGE_STATES]:
        raise SelectionError(f"“{wrong[0]}” is not one of readable, unreadable or none.")
    return tuple(state for state in IMAGE_STATES if state in values)


def without_flag_sql(flags: tuple[str, ...]) -> Condition:
    return f'not list_has_any("feedback.flags", [{", ".join("?" * len(flags))}])', list(flags)


def flag_sql(flags: tuple[str, ...]) -> Condition:
    conditions: list[str] = []
    params: list[Any] = []
    for flag in flags:
        if flag == ANY_FLAG:
            conditions.append('len("feedback.flags") > 0')
        elif flag == NO_FLAG:
            conditions.append('len("feedback.flags") = 0')
        else:
            conditions.append('list_contains("feedback.flags", ?)')
            params.append(flag)
    return f"({' or '.join(conditions)})", params


def flag_sentence(flags: tuple[str, ...]) -> str:
    words = {ANY_FLAG: "flagged", NO_FLAG: "not flagged"}
    return " or ".join(words.get(flag, f"flagged {flag}") for flag in flags)


def read_images(values: list[str]) -> str:
    if values and values[-1] not in ("each", "once"):
        raise SelectionError(f"“{values[-1]}” is neither once nor each.")
    return "once" if values and values[-1] == "once" else ""


FILTERS: tuple[Filter, ...] = (
    Filter(
        key="environment",
        label="Environment",
        group="Where",
        read=read_names,
        write=list,
        sql=any_of("environment"),
        sentence=" or ".join,
    ),
    Filter(
        key="version",
        label="Model version",
        group="Where",
        read=read_names,
        write=list,
        sql=any_of("version"),
        sentence=lambda values: names_sentence("version", values),
    ),
    Filter(
        key="application",
        label="Application",
        group="Where",
        read=read_names,
        write=list,
        sql=any_of("application"),
        sentence=lambda values: names_sentence("application", values),
    ),
    Filter(
        key="since",
        label="From",
        group="When",
        read=read_moment,
        write=lambda moment: [write_moment(moment)],
        sql=lambda moment: ("timestamp >= ?", [warehouse_time(moment)]),
        sentence=lambda moment: f"from {moment_text(moment)}",
    ),
    Filter(
        key="until",
        label="To",
        group="When",
        read=read_until,
        write=lambda moment: [write_until(moment)],
        sql=lambda moment: ("timestamp < ?", [warehouse_time(moment)]),
        sentence=lambda moment: f"to {until_text(moment)}",
    ),
    Filter(
        key="hour",
        label="Hours",
        group="When",
        read=read_hours,
        write=lambda hours: list(map(str, hours)),
        sql=any_of("hour(timestamp)"),
        sentence=hours_sentence,
    ),
    Filter(
        key="weekday",
        label="Days of the week",
        group="When",
        read=read_weekdays,
        write=list,
        sql=any_of("dayname(timestamp)"),
        sentence=weekdays_sentence,
    ),
    Filter(
        key="around",
        label="Time of day",
        group="When",
        read=read_clock,
        write=lambda clock: [f"{clock:%H:%M}"],
        sql=around_sql,
        sentence=lambda clock: f"around {clock:%H:%M} (UTC)",
    ),
    Filter(
        key="flag",
        label="Flags",
        group="What users said",
        read=read_names,
        write=list,
        sql=flag_sql,
        sentence=flag_sentence,
    ),
    Filter(
        key="without_flag",
        label="Without flags",
        group="What users said",
        read=read_names,
        write=list,
        sql=without_flag_sql,
        sentence=lambda flags: f"not flagged {' or '.join(flags)}",
    ),
    Filter(
        key="truth",
        label="Truth contains",
        group="What users said",
        read=read_text,
        write=lambda text: [text],
        sql=in_feedback("ground_truth_string"),
        sentence=lambda text: f"truth contains “{text}”",
    ),
    Filter(
        key="comment",
        label="Comment contains",
        group="What users said",
        read=read_text,
        write=lambda text: [text],
        sql=in_feedback("comment"),
        sentence=lambda text: f"comment contains “{text}”",
    ),
    Filter(
        key="user",
        label="User",
        group="What users said",
        read=read_names,
        write=list,
        sql=user_sql,
        sentence=lambda users: f"user {' or '.join(users)}",
    ),
    Filter(
        key="text",
        label="Output contains",
        group="What the model said",
        read=read_text,
        write=lambda text: [text],
        sql=part_of('"outputs.output_text"'),
        sentence=lambda text: f"output contains “{text}”",
    ),
    Filter(
        key="word",
        label="Output has the word",
        group="What the model said",
        read=read_word,
        write=lambda word: [word],
        sql=word_sql,
        sentence=lambda word: f"output has the word “{word}”",
    ),
    Filter(
        key="without_word",
        label="Output lacks the word",
        group="What the model said",
        read=read_word,
        write=lambda word: [word],
        sql=without_word_sql,
        sentence=lambda word: f"output lacks the word “{word}”",
    ),
    Filter(
        key="tag",
        label="Tags",
        group="Where",
        read=read_tags,
        write=write_tags,
        sql=tag_sql,
        sentence=tag_sentence,
    ),
    Filter(
        key="tag_range",
        label="Numeric tags",
        group="Where",
        read=read_tag_ranges,
        write=write_tag_ranges,
        sql=tag_range_sql,
        sentence=tag_range_sentence,
    ),
    Filter(
        key="record_key",
        label="Record key",
        group="Where",
        read=read_names,
        write=list,
        sql=any_of("record_key"),
        sentence=lambda keys: f"record {' or '.join(keys)}",
    ),
    Filter(
        key="image_name",
        label="Image name contains",
        group="What the image looks like",
        read=read_text,
        write=lambda text: [text],
        sql=part_of('"inputs.image"'),
        sentence=lambda text: f"image name contains “{text}”",
    ),
    Filter(
        key="image_state",
        label="Image",
        group="What the image looks like",
        read=read_image_states,
        write=list,
        sql=any_of(IMAGE_STATE),
        sentence=lambda states: " or ".join(IMAGE_STATES[state] for state in states),
    ),
    Filter(
        key="mode",
        label="Failure modes",
        group="What reviewers said",
        read=read_names,
        write=list,
        sql=mode_sql,
        sentence=mode_sentence,
    ),
    Filter(
        key="without_mode",
        label="Without failure modes",
        group="What reviewers said",
        read=read_names,
        write=list,
        sql=without_mode_sql,
        sentence=lambda modes: f"not failure mode {' or '.join(modes)}",
    ),
    Filter(
        key="review",
        label="Review",
        group="What reviewers said",
        read=read_review_states,
        write=list,
        sql=review_sql,
        sentence=review_sentence,
    ),
    Filter(
        key="reviewer",
        label="Reviewers",
        group="What reviewers said",
        read=read_names,
        write=list,
        sql=reviewer_sql,
        sentence=lambda names: f"reviewed by {' or '.join(names)}",
    ),
    Filter(
        key="images",
        label="Repeated images",
        group="Where",
        read=read_images,
        write=lambda value: [value],
        sql=lambda _: ("true", []),
        sentence=lambda _: "each image once",
    ),
)


def sentences(selection: Selection, projections: ProjectionTable) -> list[tuple[str, str]]:
    """(the name that `without` takes, its sentence) for each filter in force."""
    pairs = [
        (row.key, row.sentence(getattr(selection, row.key)))
        for row in FILTERS
        if getattr(selection, row.key)
    ]
    for range_ in selection.ranges:
        label = projections[range_.name].label if range_.name in projections else ""
        pairs.append((range_.name, range_sentence(label or range_.name, range_)))
    return pairs
