"""Computing one projection for a batch, whatever its function does."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_access.projections.table import MAX_FAILURE, Projection


class Computed(NamedTuple):
    """One projection of a batch.

    values: float64 of shape (n,), NaN for none.
    failure: what went wrong with the batch, if anything did.
    failed: by number in the batch, what went wrong with one record alone.
    """

    values: np.ndarray
    failure: str | None
    failed: dict[int, str]


def compute_column(row: Projection, *columns: Sequence[Any]) -> Computed:
    """The values of one projection for a batch.

    A record that the function raises for, or gives no number for, gets NaN, whatever its batch.
    """
    values = np.full(len(columns[0]), np.nan)
    failed: dict[int, str] = {}
    try:
        return Computed(_computed(row, columns), None, failed)
    except _WrongShapeError as error:
        return Computed(
            values, f"{row.name}: {error}", dict.fromkeys(range(len(values)), f"{error}")
        )
    except Exception as error:  # a custom projection can raise anything
        failure = f"{row.name}: {_sentence(error)}"
    for number in range(len(values)):
        try:
            values[number] = _computed(row, [column[number : number + 1] for column in columns])[0]
        except Exception as error:
            failed[number] = _sentence(error)
    return Computed(values, failure, failed)


def compute_present(projection: Projection, inputs: Mapping[str, Sequence[str | None]]) -> Computed:
    """Values of shape (n,), NaN where an input is missing."""
    columns = [inputs[name] for name in projection.inputs]
    present = [i for i, row in enumerate(zip(*columns, strict=True)) if None not in row]
    values = np.full(len(columns[0]), np.nan)
    if not present:
        return Computed(values, None, {})
    computed = compute_column(projection, *[[column[i] for i in present] for column in columns])
    values[present] = computed.values
    failed = {present[number]: sentence for number, sentence in computed.failed.items()}
    return Computed(values, computed.failure, failed)


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_FAILURE]


class _WrongShapeError(ValueError):
    """A function returned too few or too many numbers."""


def _computed(row: Projection, columns: Sequence[Sequence[Any]]) -> np.ndarray:
    """Raises whatever the function raises, and _WrongShapeError."""
    assert row.compute is not None
    values = np.array(row.compute(*columns), dtype=np.float64)
    if values.shape != (len(columns[0]),):
        raise _WrongShapeError(f"returned {values.shape} instead of ({len(columns[0])},)")
    values[~np.isfinite(values)] = np.nan
    return values
