"""A selection: which records are looked at."""

from dataclasses import dataclass, fields, replace
from datetime import datetime, time, timedelta

ANY_FLAG = "*"
NO_VALUE = "-"  # no words: an application may have a flag of any name
NO_FLAG = NO_VALUE
DAY = timedelta(days=1)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
IMAGE_STATES = {
    "none": "no image", "unreadable": "an unreadable image", "readable": "a readable image"
}  # fmt: skip
REVIEW_STATES = {
    "reviewed": "reviewed", "unreviewed": "not reviewed", "right": "read right",
    "wrong": "read wrong", "disputed": "disputed by reviewers",
}  # fmt: skip


@dataclass(frozen=True)
class Range:
    """Values in [low, high), or (missing) the records that have no value.

    name: of a projection in `Selection.ranges`, of a numeric tag in `Selection.tag_range`.
    """

    name: str
    low: float | None = None
    high: float | None = None
    missing: bool = False


@dataclass(frozen=True)
class Tag:
    """A tag of a record by its name, and its value as text; NO_VALUE: the records without it."""

    name: str
    value: str


@dataclass(frozen=True)
class Selection:
    """Which records are looked at. Empty means all; times are UTC and [since, until).

    around: a time of day. text, truth, comment, image_name: part of them.
    """

    environment: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    application: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    hour: tuple[int, ...] = ()
    weekday: tuple[str, ...] = ()
    around: time | None = None
    flag: tuple[str, ...] = ()
    without_flag: tuple[str, ...] = ()
    truth: str = ""
    comment: str = ""
    user: tuple[str, ...] = ()
    text: str = ""
    word: str = ""
    without_word: str = ""
    tag: tuple[Tag, ...] = ()
    tag_range: tuple[Range, ...] = ()
    record_key: tuple[str, ...] = ()
    image_name: str = ""
    image_state: tuple[str, ...] = ()
    mode: tuple[str, ...] = ()
    without_mode: tuple[str, ...] = ()
    review: tuple[str, ...] = ()
    reviewer: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    images: str = ""

    @property
    def each_image_once(self) -> bool:
        return self.images == "once"

    @property
    def days(self) -> int:
        """The length of the time window, at least 1; 0 where an end is open."""
        if self.since is None or self.until is None:
            return 0
        return max(1, round((self.until - self.since) / DAY))

    def with_range(self, range_: Range) -> "Selection":
        """The same selection with this range in the place of any other of its projection."""
        return replace(self, ranges=_with(self.ranges, range_))

    def with_tag_range(self, range_: Range) -> "Selection":
        """The same selection with this range in the place of any other of its tag."""
        return replace(self, tag_range=_with(self.tag_range, range_))

    def with_flag(self, flag: str) -> "Selection":
        """The same selection of the records with this flag."""
        return replace(self, flag=(flag,))

    def without(self, name: str) -> "Selection":
        """The same selection without a filter, by field or by a projection's name."""
        if any(name == field.name for field in fields(self)):
            return replace(self, **{name: getattr(Selection(), name)})
        return replace(self, ranges=tuple(range_ for range_ in self.ranges if range_.name != name))


def _with(ranges: tuple[Range, ...], new: Range) -> tuple[Range, ...]:
    return (*(range_ for range_ in ranges if range_.name != new.name), new)
