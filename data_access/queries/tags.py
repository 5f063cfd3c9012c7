"""The tags of a log: which there are, which of them hold numbers, and which are categories.

One look at a part of the log answers for filters, drift table, Explore and Causes alike.
"""

from dataclasses import dataclass

from data_access.queries.answers import row_of
from data_access.warehouse import Warehouse

LOOKED_AT = 20_480  # records, in blocks evenly spread over the log
BLOCK = 512
MOST_TAGS = 40  # the most frequent ones
MOST_VALUES = 200  # of a category
FEWEST_REPEATS = 10  # records a value, on average, of a category of more than two values


@dataclass(frozen=True)
class LogTag:
    """A tag; values: as text, the most frequent first, at most MOST_VALUES of them.

    is_category: whether values repeat, so that a bar each tells something; those of a latency do
    not. is_number: whether all of them are numbers.
    """

    name: str
    is_number: bool
    is_category: bool
    values: tuple[str, ...]


@dataclass(frozen=True)
class LogTags:
    """The most frequent tags, by name.

    looked_at: in how many of all `records` they were found. left_out: how many rarer ones there
    are in these.
    """

    tags: tuple[LogTag, ...]
    looked_at: int
    records: int
    left_out: int

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """The values of each tag that is a category, by name."""
        return {tag.name: tag.values for tag in self.tags if tag.is_category}


def log_tags(warehouse: Warehouse) -> LogTags:
    """The tags of a log; those without a name or any value are left out."""
    return warehouse.cached(("tags",), lambda: _log_tags(warehouse))


def _log_tags(warehouse: Warehouse) -> LogTags:
    size = row_of(
        warehouse, "select count(*) as n, min(rowid) as low, max(rowid) as high from records"
    )
    records = int(size["n"])
    sample = "select tags from records"
    if records > LOOKED_AT:
        sample = _sample(int(size["low"]), int(size["high"]) + 1)
    rows = warehouse.rows(
        f"""
        with counted as (
            select
                key,
                json_extract_string(value, '$') as value,
                bool_and(type in ('UBIGINT', 'BIGINT', 'DOUBLE')) as is_number,
                count(*) as records
            from ({sample}) as sample, json_each(sample.tags)
            where key <> '' and type <> 'NULL'
            group by all
        )
        select
            key,
            bool_and(is_number),
            sum(records)::bigint,
            count(*),
            list(value order by records desc, value)[:{MOST_VALUES}]
        from counted
        group by key
        order by sum(records) desc, key
        """
    )
    tags = (
        LogTag(name, is_number, _is_category(count, distinct), tuple(values))
        for name, is_number, count, distinct, values in rows[:MOST_TAGS]
    )
    looked_at = int(row_of(warehouse, f"select count(*) as n from ({sample})")["n"])
    return LogTags(
        tags=tuple(sorted(tags, key=lambda tag: tag.name)),
        looked_at=looked_at,
        records=records,
        left_out=max(0, len(rows) - MOST_TAGS),
    )


def _sample(first: int, last: int) -> str:
    """Blocks of consecutive rows as SQL: DuckDB reads these alone, of every hundredth row all."""
    blocks = LOOKED_AT // BLOCK
    starts = [first + (last - first - BLOCK) * k // (blocks - 1) for k in range(blocks)]
    return " union all ".join(
        f"select tags from records where rowid >= {start} and rowid < {start + BLOCK}"
        for start in starts
    )


def _is_category(count: int, distinct: int) -> bool:
    return distinct <= 2 or (distinct <= MOST_VALUES and count >= FEWEST_REPEATS * distinct)
