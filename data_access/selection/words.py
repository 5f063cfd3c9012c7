"""Filters by a whole word of the output."""

import re

from data_access.errors import SelectionError
from data_access.sql import Condition

PUNCTUATION = ".,;:!?\"'()[]{}“”‘’…"  # that is no part of the word it stands by
WORD_BEFORE = rf"(^|[\s\x0b\x1c-\x1f\x{{85}}\pZ])[{re.escape(PUNCTUATION)}]*"
WORD_AFTER = rf"[{re.escape(PUNCTUATION)}]*([\s\x0b\x1c-\x1f\x{{85}}\pZ]|$)"


def read_word(values: list[str]) -> str:
    """A word without the punctuation around it."""
    if not values or not values[-1]:
        return ""
    parts = [part.strip(PUNCTUATION) for part in values[-1][:1000].split()]
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
