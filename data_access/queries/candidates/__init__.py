"""What can separate records from others: a class for each kind of feature, listed in KINDS.

A kind says how it is read from the warehouse, which of its features there are, how a question about
one is worded, and which filter lists the records that answer yes. `gathering.py` reads them.
"""

from data_access.queries.candidates.categories import (
    Application,
    CategoryTag,
    Environment,
    ImageState,
    Version,
)
from data_access.queries.candidates.features import (
    NOTHING_IN_COMMON,
    Feature,
    Features,
)
from data_access.queries.candidates.measures import NumberTag, ProjectionFeature
from data_access.queries.candidates.times import Day, Hour, Weekday
from data_access.queries.candidates.words import Flag, ReviewedMode, Word

__all__ = [
    "KINDS",
    "NOTHING_IN_COMMON",
    "Application",
    "CategoryTag",
    "Day",
    "Environment",
    "Feature",
    "Features",
    "Flag",
    "Hour",
    "ImageState",
    "NumberTag",
    "ProjectionFeature",
    "ReviewedMode",
    "Version",
    "Weekday",
    "Word",
]

KINDS: tuple[type[Feature], ...] = (
    ProjectionFeature, NumberTag, CategoryTag, Version, Application, Environment, ImageState, Day,
    Hour, Weekday, Flag, ReviewedMode, Word,
)  # fmt: skip
