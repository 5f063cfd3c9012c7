"""Selections in URLs: from the parameters of an address, and back.

An address of the dashboard also holds what is not part of the selection: the baseline, and the
choices of the page, which the pages declare themselves and mark with `page.`.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, quote

from data_access.errors import SelectionError
from data_access.projections.table import ProjectionTable
from data_access.selection.filters import FILTERS
from data_access.selection.ranges import read_range, write_range
from data_access.selection.value import Range, Selection

BASELINE = "baseline"
PAGE_MARK = "page."


def read_selection(
    pairs: Iterable[tuple[str, str]], projections: ProjectionTable
) -> tuple[Selection, list[str]]:
    """A selection from the parameters of a URL, and a sentence for each that is not understood.

    Parameters that name neither a filter nor a projection are passed over.
    """
    given: dict[str, list[str]] = {}
    for key, value in pairs:
        given.setdefault(key, []).append(value)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for row in FILTERS:
        try:
            values[row.key] = row.read(given.get(row.key, []))
        except SelectionError as error:
            problems.append(f"{row.label}: {error}")
    ranges: list[Range] = []
    for key, texts in given.items():
        if key in projections:
            try:
                ranges.append(read_range(key, texts[-1]))
            except SelectionError as error:
                problems.append(f"{key}: {error}")
        elif "(" in key and not key.startswith(PAGE_MARK):
            problems.append(f"{key}: there is no such projection.")
    return Selection(**values, ranges=tuple(ranges)), problems


def parse_selection(text: str, projections: ProjectionTable) -> Selection:
    """A selection as a URL writes it, such as `environment=prod&flag=incorrect`.

    text: the parameters, or a whole address of the dashboard. Raises SelectionError for anything
    in it that is not understood.
    """
    before, _, after = text.partition("?")
    is_address = "?" in text and "=" not in before and ("/" in before or not before)
    query = after if is_address else text
    pairs = parse_qsl(query, keep_blank_values=True)
    if is_address:
        pairs = [
            pair for pair in pairs if pair[0] != BASELINE and not pair[0].startswith(PAGE_MARK)
        ]
    elif query and not pairs:
        pairs = [(query, "")]
    selection, problems = read_selection(pairs, projections)
    known = {row.key for row in FILTERS}
    for key, value in pairs:
        if key not in known and key not in projections:
            names = ", ".join(sorted(known))
            problems.append(f"{key} is not a filter: use {names} or the name of a projection.")
        elif not value:
            problems.append(f"{key} has no value: write {key}=….")
    if problems:
        raise SelectionError(problems[0])
    return selection


def write_selection(selection: Selection) -> dict[str, list[str]]:
    """The parameters of the URL that means this selection."""
    parameters: dict[str, list[str]] = {}
    for row in FILTERS:
        value = getattr(selection, row.key)
        if value:
            parameters[row.key] = row.write(value)
    for range_ in selection.ranges:
        parameters[range_.name] = [write_range(range_)]
    return parameters


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
