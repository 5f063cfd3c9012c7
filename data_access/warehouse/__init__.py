"""The warehouse: a DuckDB file that caches the log; its tables, and how it is opened."""

from data_access.warehouse.answers import SupersededError
from data_access.warehouse.warehouse import Warehouse

__all__ = [
    "SupersededError",
    "Warehouse",
]
