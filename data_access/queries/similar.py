"""Records like a given one: of the same image, of an image with like values, of a like text."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from data_access.projections.table import IMAGE, IMAGE_MEAN, TEXT
from data_access.queries.answers import as_plain, as_records, records_of, row_of
from data_access.records import Record
from data_access.sql import quoted
from data_access.statistics.text_differences import MIN_LIKENESS
from data_access.warehouse import Warehouse

SAME_IMAGE = 50  # records of one image that are listed
TEXTS = 5_000  # outputs that are compared with one
LONGEST = 500  # characters of an output that are compared
OF_POLARITY = (IMAGE_MEAN, f"polarity({IMAGE})")  # differ between an image and its inverse


def same_image(warehouse: Warehouse, record: Record) -> tuple[Record, ...]:
    """The other records that show a record's image, in the whole log: at most SAME_IMAGE of them,
    the newest first."""
    keys = warehouse.query(
        """
        select record_key
        from records
        where image_hash = ?::ubigint and record_key <> ?
        order by timestamp desc, record_key
        limit ?
        """,
        [record.image_hash, record.record_key, SAME_IMAGE],
    )
    return records_in_order(warehouse, list(keys["record_key"]))


@dataclass(frozen=True)
class SimilarTexts:
    """Records whose outputs are most like a record's.

    likeness: of each, 0 to 1. searched: how many outputs were compared, of `outputs` other records.
    """

    records: tuple[Record, ...]
    likeness: tuple[float, ...]
    searched: int
    outputs: int


def similar_texts(warehouse: Warehouse, record: Record, count: int) -> SimilarTexts:
    """The outputs with the fewest edits to a record's, of at least MIN_LIKENESS; those of the same
    image are left out.

    Of a large log the TEXTS are compared whose length is nearest, cut to LONGEST characters.
    """
    text = (record.output_text or "")[:LONGEST]
    candidates, outputs = _texts(warehouse, len(text))
    others = candidates[candidates["image_hash"] != record.image_hash]
    if not text:
        return SimilarTexts((), (), 0, outputs)
    matches = process.extract(
        text,
        others["output"].tolist(),
        scorer=Levenshtein.normalized_similarity,
        score_cutoff=MIN_LIKENESS,
        limit=count,
    )
    keys = [str(others["record_key"].iloc[place]) for _, _, place in matches]
    likeness = tuple(float(score) for _, score, _ in matches)
    return SimilarTexts(records_in_order(warehouse, keys), likeness, len(others), outputs)


def _texts(warehouse: Warehouse, length: int) -> tuple[pd.DataFrame, int]:
    """The outputs to compare with one of a length, and how many there are in the log.

    Columns: record_key, image_hash, output. Those of a small log are the same for all lengths, and
    fetched once.
    """
    written = f"{quoted(TEXT)} <> ''"
    total = int(row_of(warehouse, f"select count(*) as n from records where {written}")["n"])
    nearest = f"abs(least(length({quoted(TEXT)}), {LONGEST}) - {length:d}), "
    texts = warehouse.query(
        f"""
        select record_key, image_hash, left({quoted(TEXT)}, {LONGEST}) as output
        from records
        where {written}
        order by {nearest if total > TEXTS else ""} record_key
        limit ?
        """,
        [TEXTS],
    )
    return texts, total


@dataclass(frozen=True)
class LikelyImages:
    """Images that may look like a record's, the nearest first.

    rows: a frame of image (its name) and record_key (of the record that stands for it). images:
    how many readable images the log has.
    """

    rows: pd.DataFrame
    images: int


def likely_images(warehouse: Warehouse, record: Record, count: int) -> LikelyImages:
    """Other images whose values are nearest, each in units of its spread in the log, but for those
    values that inverting an image changes. None where the record's own image has no values."""
    readable = f"{quoted(IMAGE)} is not null and image_failure is null"
    total = row_of(
        warehouse, f"select count(distinct image_hash) as n from records where {readable}"
    )
    names = [
        row.name
        for row in warehouse.projections.rows
        if row.of_image and row.name not in OF_POLARITY and record.projections[row.name] is not None
    ]
    spreads = _spreads(warehouse, names)
    distance = " + ".join(
        f"coalesce(abs(({quoted(name)} - ?) / nullif(?, 0)), 0)" for name in names
    )
    params = [param for name in names for param in (record.projections[name], spreads[name])]
    known = quoted(names[0]) if names else "null"
    rows = warehouse.query(
        f"""
        select
            min(record_key) as record_key,
            min_by({quoted(IMAGE)}, record_key) as image,
            min({distance or "0"}) as distance
        from records
        where {readable} and image_hash <> ?::ubigint and {known} is not null
        group by image_hash
        order by distance, record_key
        limit ?
        """,
        [*params, record.image_hash, count],
    )
    return LikelyImages(rows, int(total["n"]))


def _spreads(warehouse: Warehouse, names: Sequence[str]) -> dict[str, float | None]:
    """The standard deviation of each projection in the whole log."""
    if not names:
        return {}
    columns = ", ".join(f"stddev_pop({quoted(name)}) as {quoted(name)}" for name in names)
    return {
        name: as_plain(value)
        for name, value in row_of(warehouse, f"select {columns} from records").items()
    }


def records_in_order(warehouse: Warehouse, keys: Sequence[str]) -> tuple[Record, ...]:
    """The records with these keys, in their order."""
    if not keys:
        return ()
    rows = records_of(warehouse, keys)
    by_key = {record.record_key: record for record in as_records(warehouse, rows)}
    return tuple(by_key[key] for key in keys)
