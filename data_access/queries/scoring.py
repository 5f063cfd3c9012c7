"""What has no scores yet, texts of a model and images, and what was scored before."""

from collections.abc import Sequence

import pyarrow as pa

from data_access.log import DAMAGED_IMAGE
from data_access.projections.table import IMAGE, TEXT, TOXICITY, TRUTH, toxicity_name
from data_access.projections.values import IMAGES, logged_names, values_schema
from data_access.sql import listed, literal, quoted
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

    Columns input_column, record_key, text, input (its MD5).
    """
    complete = " union all ".join(
        f"select subject as input_column, record_key, input from logged_text_values "
        f"where source = $1 and subject = {literal(column)} "
        f"group by all having {_all_counted(column)}"
        for column in COLUMNS
    )
    return warehouse.table(
        f"""
        with texts as ({_texts()}),
        complete as ({complete})
        select input_column, record_key, text, input
        from texts
        anti join complete using (input_column, record_key, input)
        anti join (from complete where input is null) using (input_column, record_key)
        order by input, input_column, record_key
        """,
        [source],
    )


def _all_counted(column: str) -> str:
    names = [toxicity_name(score, column) for score in TOXICITY]
    return " and ".join(f"count({quoted(name)}) > 0" for name in names)


def unscored_text_count(warehouse: Warehouse, source: str) -> int:
    """How many outputs and truths lack a score of a source."""
    return int(warehouse.cached(("unscored texts", source), lambda: _count(warehouse, source)))


def _count(warehouse: Warehouse, source: str) -> int:
    shown = warehouse.score_sources()
    names = {column: [toxicity_name(score, column) for score in TOXICITY] for column in COLUMNS}
    if any(shown.get(name, source) != source for scores in names.values() for name in scores):
        return int(unscored_texts(warehouse, source).num_rows)
    lacking = " + ".join(  # records have these scores, which is ten times faster
        f"count(*) filter ({quoted(column)} is not null and not ("
        + " and ".join(f"{quoted(name)} is not null" for name in scores)
        + "))"
        for column, scores in names.items()
    )
    return int(warehouse.rows(f"select {lacking} from records")[0][0])


def known_scores(
    warehouse: Warehouse, source: str, inputs: Sequence[str]
) -> dict[str, tuple[float, ...]]:
    """By the MD5 of a text, the scores of a source that any record with this text has, in the
    order of TOXICITY; without the texts that have not all of them.
    """
    known: dict[str, tuple[float, ...]] = {}
    for column in COLUMNS:
        names = [toxicity_name(score, column) for score in TOXICITY]
        rows = warehouse.rows(
            f"select input, {', '.join(f'min({quoted(name)})' for name in names)} "
            "from logged_text_values where source = ? and subject = ? "
            f"and input in (select unnest(?)) group by input having {_all_counted(column)}",
            [source, column, list(inputs)],
        )
        known |= {text: tuple(scores) for text, *scores in rows}
    return known


def images_scored_here(warehouse: Warehouse) -> pa.Table:
    """What syncs have scored and the log does not hold, with the columns of `values_schema`.

    Without images that could not be had, or not be scored whole: others may fare better.
    """
    schema = values_schema(IMAGES, logged_names(warehouse.projections, IMAGES))
    values = warehouse.table(
        f"""
        select {listed(schema)}
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
    return values.cast(schema)
