"""Projections: every scalar that is computed of a record.

`table` has one row for each, `text` and `image` their functions, `custom` the decorator for those
of an application, `compute` runs one over a batch, `values` keeps them in the log.
"""

from data_access.projections.custom import load_projections, projection
from data_access.projections.table import Projection, ProjectionTable

__all__ = ["Projection", "ProjectionTable", "load_projections", "projection"]
