"""The filters in force: one value that becomes SQL, an English sentence, and a URL.

`value` has the selection itself, `filters` one row for each kind of filter, `ranges` and `tags` the
two kinds that take more than a row, `url` reads and writes addresses, `condition` makes the SQL.
"""

from data_access.selection.condition import holds, source
from data_access.selection.filters import FILTERS, IMAGE_STATE, Filter, sentences
from data_access.selection.moments import AROUND, moment_text, until_text, warehouse_time
from data_access.selection.ranges import range_sentence
from data_access.selection.tags import tag_number, tag_value
from data_access.selection.url import (
    BASELINE,
    PAGE_MARK,
    encoded,
    parse_selection,
    query_string,
    read_selection,
    write_selection,
)
from data_access.selection.value import (
    ANY_FLAG,
    IMAGE_STATES,
    NO_FLAG,
    NO_VALUE,
    REVIEW_STATES,
    WEEKDAYS,
    Range,
    Selection,
    Tag,
)
from data_access.selection.words import PUNCTUATION, part_of

__all__ = [
    "ANY_FLAG",
    "AROUND",
    "BASELINE",
    "FILTERS",
    "IMAGE_STATE",
    "IMAGE_STATES",
    "NO_FLAG",
    "NO_VALUE",
    "PAGE_MARK",
    "PUNCTUATION",
    "REVIEW_STATES",
    "WEEKDAYS",
    "Filter",
    "Range",
    "Selection",
    "Tag",
    "encoded",
    "holds",
    "moment_text",
    "parse_selection",
    "part_of",
    "query_string",
    "range_sentence",
    "read_selection",
    "sentences",
    "source",
    "tag_number",
    "tag_value",
    "until_text",
    "warehouse_time",
    "write_selection",
]
