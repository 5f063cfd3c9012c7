"""When a difference is told from chance, and the words for how large it is. Pure."""

from typing import Literal

import numpy as np
from scipy.special import ndtri

Z95 = float(ndtri(0.975))
ENOUGH = 30  # values on each side; with fewer, only a huge difference could be told from chance
SIGNIFICANT = 0.05

Verdict = Literal[
    "no values",
    "not enough data",
    "negligible difference",
    "no clear difference",
    "moderately lower",
    "moderately higher",
    "clearly lower",
    "clearly higher",
    "different shape",
    "different",
    "clearly different",
]


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """P-values, shape (n,), corrected for their number; NaN stay out of the count.

    Source: Benjamini and Hochberg, Controlling the false discovery rate, 1995.
    """
    corrected = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known])[::-1]]
    ranks = np.arange(len(known), 0, -1)
    corrected[order] = np.minimum.accumulate(np.minimum(1, p_values[order] * len(known) / ranks))
    return corrected
