"""Records like a given one: of the same image, of an image with like values, of a like text."""

from dataclasses import dataclass

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from data_access.projections.table import IMAGE, IMAGE_MEAN, TEXT
from data_access.queries.answers import as_records, records_of, row_of
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
    return _records(warehouse, list(keys["record_key"]))


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
    outputs = row_of(
        warehouse,
        f"select count({quoted(TEXT)}) as n from records where image_hash <> ?::ubigint",
        [record.image_hash],
    )
    if not record.output_text:
        return SimilarTexts((), (), 0, int(outputs["n"]))
    text = record.output_text[:LONGEST]
    length = f"least(length({quoted(TEXT)}), {LONGEST})"
    candidates = warehouse.query(
        f"""
        select record_key, left({quoted(TEXT)}, {LONGEST}) as output
        from records
        where image_hash <> ?::ubigint and {quoted(TEXT)} <> ''
        order by abs({length} - ?), record_key
        limit ?
        """,
        [record.image_hash, len(text), TEXTS],
    )
    matches = process.extract(
        text,
        candidates["output"].tolist(),
        scorer=Levenshtein.normalized_similarity,
        score_cutoff=MIN_LIKENESS,
        limit=count,
    )
    keys = [str(candidates["record_key"].iloc[place]) for _, _, place in matches]
    likeness = tuple(float(score) for _, score, _ in matches)
    return SimilarTexts(_records(warehouse, keys), likeness, len(candidates), int(outputs["n"]))


@dataclass(frozen=True)
class LikelyImages:
    """Records that may show an image like a record's: one for each distinct image, the nearest
    first. images: how many other readable images the log has."""

    records: tuple[Record, ...]
    images: int


def likely_images(warehouse: Warehouse, record: Record, count: int) -> LikelyImages:
    """The images whose values are nearest, each in units of its spread in the log, but for those
    values that inverting an image changes. Nothing where the record's own image has no values."""
    names = [
        row.name
        for row in warehouse.projections.rows
        if row.of_image and row.name not in OF_POLARITY and record.projections[row.name] is not None
    ]
    total = row_of(
        warehouse,
        f"""
        select count(distinct image_hash) as n
        from records
        where {quoted(IMAGE)} is not null and image_failure is null and image_hash <> ?::ubigint
        """,
        [record.image_hash],
    )
    if not names:
        return LikelyImages((), int(total["n"]))
    spreads = ", ".join(
        f"nullif(stddev_pop({quoted(name)}), 0) as spread_{place}"
        for place, name in enumerate(names)
    )
    distance = " + ".join(
        f"coalesce(abs(({quoted(name)} - ?) / spread_{place}), 0)"
        for place, name in enumerate(names)
    )
    keys = warehouse.query(
        f"""
        with spread as (select {spreads} from records)
        select min(record_key) as record_key, min({distance}) as distance
        from records, spread
        where {quoted(IMAGE)} is not null
            and image_failure is null
            and image_hash <> ?::ubigint
            and {quoted(names[0])} is not null
        group by image_hash
        order by distance, record_key
        limit ?
        """,
        [*(record.projections[name] for name in names), record.image_hash, count],
    )
    return LikelyImages(_records(warehouse, list(keys["record_key"])), int(total["n"]))


def _records(warehouse: Warehouse, keys: list[str]) -> tuple[Record, ...]:
    """These records, in this order."""
    if not keys:
        return ()
    by_key = {
        record.record_key: record for record in as_records(warehouse, records_of(warehouse, keys))
    }
    return tuple(by_key[key] for key in keys)
