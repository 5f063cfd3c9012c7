"""Filters by texts: any part of one, and whole words of the output."""

import re
from collections.abc import Callable

from data_access.errors import SelectionError
from data_access.sql import Condition

MOST_CHARACTERS = 1000
SPACE = r"[\s\x0b\x1c-\x1f\x{85}\pZ]"
PUNCTUATION = ".,;:!?\"'()[]{}“”‘’…"  # that is no part of the word it stands by
WORD_BEFORE = rf"(^|{SPACE})[{re.escape(PUNCTUATION)}]*"
WORD_AFTER = rf"[{re.escape(PUNCTUATION)}]*({SPACE}|$)"


def read_text(values: list[str]) -> str:
    """A text with single spaces."""
    return " ".join(values[-1][:MOST_CHARACTERS].split()) if values else ""


def part_of(column: str) -> Callable[[str], Condition]:
    """Whether a column contains a text; case is ignored, and all white space is alike."""

    def sql(text: str) -> Condition:
        words = text.split()
        if len(words) < 2:
            return f"contains(lower({column}), lower(?))", [text]
        pattern = " || ? || ".join(["regexp_escape(lower(?))"] * len(words))
        params = [param for word in words for param in (f"{SPACE}+", word)][1:]
        return (
            # the search for a plain text spares most rows the slower one
            f"contains(lower({column}), lower(?)) and regexp_matches(lower({column}), {pattern})",
            [max(words, key=len), *params],
        )

    return sql


def in_feedback(column: str) -> Callable[[str], Condition]:
    """Whether any feedback of a record contains a text in this column."""

    def sql(text: str) -> Condition:
        contains, params = part_of(column)(text)
        return f"record_key in (select record_key from feedback where {contains})", params

    return sql


def user_sql(users: tuple[str, ...]) -> Condition:
    """Whether any feedback of a record is by one of these users."""
    marks = ", ".join("?" * len(users))
    return f'record_key in (select record_key from feedback where "user" in ({marks}))', list(users)


def read_word(values: list[str]) -> str:
    """A word without the punctuation around it."""
    if not values or not values[-1]:
        return ""
    parts = [part.strip(PUNCTUATION) for part in values[-1][:MOST_CHARACTERS].split()]
    [word, *more] = [part for part in parts if part] or [""]
    if not word or more:
        raise SelectionError(
            f"“{values[-1][:100]}” is not a single word; use text=… for any other text."
        )
    return word


def word_sql(word: str) -> Condition:
    """Words stand between spaces, with or without punctuation; case is ignored."""
    text = 'lower("outputs.output_text")'
    return (
        f"coalesce(regexp_matches({text}, ? || regexp_escape(lower(?)) || ?), false)",
        [WORD_BEFORE, word, WORD_AFTER],
    )


def without_word_sql(word: str) -> Condition:
    sql, params = word_sql(word)
    return f"not {sql}", params
