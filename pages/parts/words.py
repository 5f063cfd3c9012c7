"""Numbers, times and texts as people read them. Pure."""

import html
import math
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from data_access.selection import NO_VALUE

ENVIRONMENTS = {"prod": "production", "test": "test set"}
MARKUP = re.compile(r"[\\`*_{}\[\]()#+\-.!|<>~$:&]")


def count(number: int, noun: str = "") -> str:
    """`12.3k records`, `1 record`; without a noun the number alone."""
    short = _short(number)
    if not noun:
        return short
    return f"{short} {noun}" if number == 1 else f"{short} {noun}s"


def named(value: str, noun: str = "value") -> str:
    """A value as a selection writes it, for people; `no version` where there is none."""
    return f"no {noun}" if value == NO_VALUE else value


def environment(name: str) -> str:
    """An environment, or any other side of a comparison, as people call it."""
    return ENVIRONMENTS.get(name, name)


def sentence(text: str) -> str:
    """A text that ends as a sentence does."""
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."


def _short(number: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**4, "k")):
        if abs(number) >= size:
            scaled = number / (1000 if letter == "k" else size)
            return f"{scaled:.3g}{letter}" if scaled < 1000 else f"{scaled:.0f}{letter}"
    return f"{number:,}"


def size(number: int) -> str:
    """Bytes as `12.3 MB`."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:,} bytes"


def share(value: float) -> str:
    """A share as percent with what digits it deserves; an en dash for none."""
    if math.isnan(value):
        return "–"
    percent = value * 100
    return f"{percent:.2f}%" if 0 < percent < 1 else f"{percent:.1f}%"


def rounded_share(value: float) -> str:
    """A share as whole percent; under 1% with what digits it deserves."""
    return share(value) if value * 100 < 1 else f"{value * 100:.0f}%"


def points(change: float, low: float, high: float) -> str:
    """`▼ 19 points (95% CI 11–27)`: a change of a share whose interval is on one side of 0."""
    sizes = sorted(abs(limit) * 100 for limit in (low, high))
    digits = 0 if sizes[0] >= 1 else 1 if sizes[0] >= 0.1 else 2
    least, most = (f"{limit:.{digits}f}" for limit in sizes)
    arrow = "▲" if change > 0 else "▼"
    return f"{arrow} {abs(change) * 100:.{digits}f} points (95% CI {least}–{most})"


def point_interval(low: float, high: float) -> str:
    """`95% CI −2.8 to +2.6 points`: the interval of a change that may be none."""
    return f"95% CI {_signed(low * 100, 1)} to {_signed(high * 100, 1)} points"


def effect(value: float, low: float, high: float) -> str:
    if math.isnan(low):
        return "–"
    return f"{_signed(value, 2)} ({_signed(low, 2)} to {_signed(high, 2)})"


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"+{text}" if value > 0 else f"−{text}"


def value(number: float | None) -> str:
    """A projection's value in three or four significant digits."""
    if number is None or math.isnan(number):
        return "–"
    if 1000 <= abs(number) < 1e9:
        return f"{number:,.0f}"
    return f"{number + 0.0:.3g}".replace("-", "−")  # −0 is 0


def interval(low: float, high: float) -> str:
    """The limits of a value; an en dash where there are none."""
    return "–" if math.isnan(low) else f"{value(low)} to {value(high)}"


def edge(number: float) -> str:
    """An edge of a bar, all of its digits: Streamlit tells the places of a slider apart by them."""
    return f"{number:.12g}".replace("-", "−")


def moment(utc: datetime, zone: str | None) -> str:
    """A time of the warehouse (UTC) in the viewer's zone."""
    local = utc.replace(tzinfo=UTC).astimezone(_zone(zone))
    return f"{local.day} {local:%b %Y, %H:%M}"


def day(utc: datetime) -> str:
    """`28 Aug 2026`, of a moment in UTC."""
    return f"{utc.day} {utc:%b %Y}"


def dates(first: datetime, last: datetime) -> str:
    """`29 Jun – 30 Aug 2026`: the days (UTC) of two moments."""
    if first.date() == last.date():
        return day(last)
    year = "" if first.year == last.year else f" {first.year}"
    return f"{first.day} {first:%b}{year} – {day(last)}"


def hinted(text: str, hint: str) -> str:
    """HTML of a text that explains itself on hover."""
    return f'<span title="{html.escape(hint)}">{html.escape(text)}</span>'


def moment_html(utc: datetime, zone: str | None) -> str:
    """The same with UTC on hover."""
    return hinted(moment(utc, zone), f"{utc:%Y-%m-%d %H:%M:%S} UTC")


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def ago(then: datetime, now: datetime) -> str:
    seconds = max(0, (now - then).total_seconds())
    for size, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {noun}{'' if number == 1 else 's'} ago"
    return "just now"


def duration(seconds: float) -> str:
    """`about 2 minutes`: how long something will take, no more exact than it can be known."""
    if seconds < 60:
        return "less than a minute"
    number, noun = (round(seconds / 60), "minute")
    if number >= 90:
        number, noun = (round(seconds / 3_600), "hour")
    return f"about {number:,} {noun}{'' if number == 1 else 's'}"


def escaped(text: str) -> str:
    """A text of the log as HTML that shows it as it is, line breaks too."""
    return html.escape(text).replace("\n", "<br>")


def escape_markdown(text: str) -> str:
    """A text of the log inside Markdown, with nothing in it taken for markup."""
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def unmarked(markdown: str) -> str:
    """A sentence in Markdown, of `escape_markdown`'s texts and bold, as plain text."""
    return re.sub(r"\\(.)|\*\*", lambda part: part.group(1) or "", markdown)


def percentile(portion: float) -> str:
    """A share of a baseline, never rounded to all or none of it unless it is."""
    if portion == 1:
        return "all"
    if portion >= 0.995:
        return "over 99%"
    return f"{portion:.0%}"
