"""What has no scores yet, texts of a model and images, and what was scored before."""

from collections.abc import Sequence

import pyarrow as pa

from data_access.log import DAMAGED_IMAGE
from data_access.projections.table import IMAGE, TEXT, TOXICITY, TRUTH, toxicity_name
from data_access.projections.values import image_values_schema
from data_access.sql import literal, quoted
from data_access.warehouse import Warehouse

COLUMNS = (TEXT, TRUTH)


def _texts() -> str:
    return " union all ".join(
        f"select {literal(column)} as input_column, record_key, {quoted(column)} as text, "
        f"md5({quoted(column)}) as input from records where {quoted(column)} is not null"
        for column in COLUMNS
    )


def unscored_texts(warehouse: Warehouse, source: str) -> pa.Table:
    """Outputs and truths that lack scores of a source, those of one text together.

    Columns input_column, record_key, text, input (its MD5), held: the scores it has all the same.
    """
    names = " union all ".join(
        f"select {literal(column)} as input_column, {literal(score)} as score, "
        f"{literal(toxicity_name(score, column))} as projection"
        for column in COLUMNS
        for score in TOXICITY
    )
    return warehouse.table(
        f"""
        with texts as ({_texts()}),
        names as ({names}),
        held as (
            select input_column, record_key, input, score
            from logged_values
            join names using (projection)
            where source = ?
        )
        select
            texts.input_column,
            texts.record_key,
            texts.text,
            texts.input,
            coalesce(list_sort(list(distinct score) filter (score is not null)), []) as held
        from texts
        left join held
            on held.input_column = texts.input_column
            and held.record_key = texts.record_key
            and (held.input is null or held.input = texts.input)
        group by all
        having count(distinct score) < {len(TOXICITY)}
        order by texts.input, texts.input_column, texts.record_key
        """,
        [source],
    )


def unscored_text_count(warehouse: Warehouse, source: str) -> int:
    """How many outputs and truths lack a score of a source."""
    return int(warehouse.cached(("unscored texts", source), lambda: _count(warehouse, source)))


def _count(warehouse: Warehouse, source: str) -> int:
    shown = warehouse.score_sources()
    names = {column: [toxicity_name(score, column) for score in TOXICITY] for column in COLUMNS}
    if any(shown.get(name, source) != source for found in names.values() for name in found):
        return int(unscored_texts(warehouse, source).num_rows)
    lacking = " + ".join(  # records have these scores, which is ten times faster
        f"count(*) filter ({quoted(column)} is not null and not ("
        + " and ".join(f"{quoted(name)} is not null" for name in found)
        + "))"
        for column, found in names.items()
    )
    return int(warehouse.rows(f"select {lacking} from records")[0][0])


def known_scores(
    warehouse: Warehouse, source: str, inputs: Sequence[str]
) -> dict[str, dict[str, float]]:
    """By the MD5 of a text, the scores of a source that any record with this text has, by name."""
    found: dict[str, dict[str, float]] = {}
    names = {toxicity_name(score, column): score for score in TOXICITY for column in COLUMNS}
    for key, projection, value in warehouse.rows(
        "select input, projection, min(value) from logged_values "
        "where source = ? and input in (select unnest(?)) group by all",
        [source, list(inputs)],
    ):
        if projection in names:
            found.setdefault(key, {})[names[projection]] = value
    return found


def images_scored_here(warehouse: Warehouse) -> pa.Table:
    """What syncs have scored and the log does not hold, with the columns of `image_values_schema`.

    Without images that could not be had, or not be scored whole: others may fare better.
    """
    names = image_values_schema([row.name for row in warehouse.projections.computed_from_image()])
    found = warehouse.table(
        f"""
        select {", ".join(map(quoted, names.names))}
        from image_values
        semi join records on {quoted(IMAGE)} = image
        anti join logged_image_values using (image)
        anti join (select scored from failures where kind = 'image') on scored = image
        where sha256 is not null
        and failure is distinct from ?
        order by image
        """,
        [DAMAGED_IMAGE],
    )
    return found.cast(names)
