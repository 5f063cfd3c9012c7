"""Scoring texts: those without scores of the chosen model get some, written into the log.

Scores are objects of their own below projections/, so a run can be killed at any moment: the next
one goes on, and no text is scored twice. How a text is scored is left to `toxicity`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_access import queries
from data_access.errors import ModelError
from data_access.log import Log
from data_access.progress import Progress, silent
from data_access.projections.table import TOXICITY, toxicity_name
from data_access.projections.values import TEXTS, put_values, values_schema
from data_access.scoring.report import ScoringReport
from data_access.warehouse import Warehouse
from data_access.worker import Worker

ROWS_AT_ONCE = 2_000  # of one object; as many are lost where a run is killed
STAGE = "Scoring texts"

Score = Callable[[Sequence[str]], np.ndarray]
"""From texts to probabilities (n, 6) in the order of TOXICITY."""


def score(
    log: Log,
    warehouse: Warehouse,
    model: str,
    scores: Score,
    progress: Progress = silent,
    rows_at_once: int = ROWS_AT_ONCE,
) -> ScoringReport:
    """Score the texts without scores of `model`, by what the warehouse knows, and add these.

    The next sync reads the scores. Raises LogError where the log cannot be written; those added
    before stay.
    """
    total = queries.unscored_text_count(warehouse, model)
    report = ScoringReport()
    progress(STAGE, 0, total)
    for chunk in unscored_chunks(warehouse, model, rows_at_once):
        report.add(score_chunk(log, model, chunk, scores))
        progress(STAGE, report.scored, total)
    return report


def unscored_chunks(
    warehouse: Warehouse, model: str, rows_at_once: int = ROWS_AT_ONCE
) -> Iterator[pa.Table]:
    """What is to be scored, in pieces that need no warehouse.

    Columns as in `queries.unscored_texts`, and known: the scores that any record with this text
    has already, of length 6, or null.
    """
    for chunk in chunks(queries.unscored_texts(warehouse, model), rows_at_once):
        inputs = chunk["input"].to_pylist()
        scores = queries.known_scores(warehouse, model, list(dict.fromkeys(inputs)))
        known = pa.array([scores.get(key) for key in inputs], pa.list_(pa.float64()))
        yield chunk.append_column("known", known)


def score_chunk(log: Log, model: str, chunk: pa.Table, scores: Score) -> ScoringReport:
    """Score the texts of a chunk, each once, and add the scores to the log."""
    rows = chunk.to_pylist()
    values = {row["input"]: row["known"] for row in rows}
    new = {row["input"]: row["text"] for row in rows if row["known"] is None}
    values |= zip(new, scores(list(new.values())).tolist(), strict=True)
    return ScoringReport(len(rows), len(new), objects=_put_scores(log, model, rows, values))


def chunks(missing: pa.Table, rows: int) -> Iterator[pa.Table]:
    """Pieces of about so many rows; all rows of a text are in one of them."""
    inputs = missing["input"].combine_chunks()
    first = np.flatnonzero(
        np.concatenate([[True], pc.not_equal(inputs[1:], inputs[:-1]).to_numpy(False)])
        if len(inputs)
        else []
    )
    start = 0
    while start < len(missing):
        later = first[first >= start + rows]
        end = int(later[0]) if len(later) else len(missing)
        yield missing.slice(start, end - start)
        start = end


def _put_scores(
    log: Log, model: str, rows: Sequence[Mapping[str, Any]], values: Mapping[str, Sequence[float]]
) -> int:
    """Add the scores of these rows to the log; returns how many objects. values: by input."""
    objects = 0
    for column in dict.fromkeys(row["input_column"] for row in rows):
        scored = [row for row in rows if row["input_column"] == column]
        columns = {name: [row[name] for row in scored] for name in TEXTS.columns}
        for number, score in enumerate(TOXICITY):
            scores = [values[row["input"]][number] for row in scored]
            columns[toxicity_name(score, column)] = scores
        schema = values_schema(TEXTS, [toxicity_name(score, column) for score in TOXICITY])
        objects += put_values(log, column, model, pa.table(columns, schema))
    return objects


def worker_scores(worker: Worker, setting: str, model: str) -> Score:
    """`Toxicity.scores` by a worker that runs `toxicity.answer_texts`; its model is loaded now.

    Raises, as the scores do, WorkerError where that fails, ModelError where it is another model.
    """

    def scores(texts: Sequence[str]) -> np.ndarray:
        answer = worker.request(setting=setting, texts=list(texts))
        if answer["model"] != model:
            raise ModelError(f"The model at {setting} has changed; score again.")
        return np.array(answer["scores"]).reshape(-1, len(TOXICITY))

    scores([])
    return scores
