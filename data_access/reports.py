"""The roadmap as text and tables: for a weekly note, a spreadsheet, a script, a notebook."""

import json
import math
import re
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from data_access.queries import Effect, Mode, Roadmap, RoadmapRow
from data_access.statistics.measured import Rate

MARKUP = re.compile(r"[\\`*_{}\[\]<>|#~$]")
ISSUE_LIMIT = 7_900  # characters of an address that GitHub still takes
BODY_LIMIT = 3_000


def percent(share: float) -> str:
    """`12%`, `0.4%`; an en dash for none."""
    if math.isnan(share):
        return "–"
    return f"{share * 100:.0f}%" if share >= 0.095 or share == 0 else f"{share * 100:.1f}%"


def limits(rate: Rate) -> str:
    """`12–27%`: the 95% interval of a rate."""
    if math.isnan(rate.low):
        return "–"
    return f"{percent(rate.low).rstrip('%')}–{percent(rate.high)}"


def size(rate: Rate) -> str:
    """`18% (12–27%)`, or `not measured`."""
    return f"{percent(rate.share)} ({limits(rate)})" if rate.total else "not measured"


def status(row: RoadmapRow) -> str:
    """The status of a mode in words, with the version or the day that goes with it."""
    mode = row.mode
    if row.status == "resolved" and mode.resolved_in:
        return f"resolved in {mode.resolved_in}"
    if row.status == "archived" and mode.archived_until:
        return f"archived until {mode.archived_until:%Y-%m-%d}"
    return row.status


def points(change: float) -> str:
    """A difference of shares in points with its sign: `−9`."""
    return f"{change * 100:+.0f}".replace("-", "−")


def effect(found: Effect | None) -> str:
    """`fell by 31 points (95% CI 22–39) after v2`."""
    if found is None:
        return "no release to compare"
    if found.outcome == "not enough data":
        return f"not enough data around {found.version}"
    smaller, larger = sorted(abs(limit) * 100 for limit in (found.low, found.high))
    if found.outcome == "no clear change":
        return (
            f"no clear change after {found.version} "
            f"(95% CI {points(found.low)} to {points(found.high)} points)"
        )
    near = f"{smaller:.0f}" if smaller >= 1 else f"{smaller:.1g}"
    return (
        f"{found.outcome} by {abs(found.change) * 100:.0f} points "
        f"(95% CI {near}–{larger:.0f}) after {found.version}"
    )


def roadmap_frame(found: Roadmap) -> pd.DataFrame:
    """One row a failure mode, by size × severity; shares are 0 to 1."""
    return pd.DataFrame(
        [
            {
                "id": row.mode.id,
                "failure_mode": row.mode.title,
                "size": row.size.share,
                "size_low": row.size.low,
                "size_high": row.size.high,
                "measured_on": row.size.total,
                "share_of_flags": row.flagged / found.flags if found.flags else math.nan,
                "labelled": row.labelled,
                "suspected": row.suspected,
                "status": status(row),
                "severity": row.mode.severity,
                "owner": row.mode.owner,
                "after_release": effect(row.effect),
                "issue": row.mode.issue,
                "definition": row.mode.definition,
            }
            for row in found.rows
        ]
    )


def roadmap_records(found: Roadmap) -> list[dict[str, Any]]:
    """The same as plain values for JSON; None for what is not known."""
    return [
        {
            str(name): None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        for row in roadmap_frame(found).to_dict("records")
    ]


def roadmap_markdown(found: Roadmap) -> str:
    """For a weekly note: what is measured, and a table of the failure modes."""
    lines = ["# Failure modes", "", *(f"{line}  " for line in summary(found)), ""]
    if not found.rows:
        return "\n".join([*lines, "No failure modes yet.", ""])
    lines += [
        "| failure mode | share of predictions (95% CI) | share of flags | status | severity "
        "| owner | after the release |",
        "|---|---|---:|---|---|---|---|",
    ]
    for row in found.rows:
        flags = percent(row.flagged / found.flags) if found.flags else "–"
        cells = (
            plain(row.mode.title),
            size(row.size),
            flags,
            plain(status(row)),
            row.mode.severity,
            plain(row.mode.owner or "–"),
            plain(effect(row.effect)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def summary(found: Roadmap) -> list[str]:
    """What is known of all errors, in sentences without markup."""
    if found.span is None:
        return ["No predictions."]
    first, last = found.span
    when = f"{first:%Y-%m-%d} to {last:%Y-%m-%d} (UTC)"
    if not found.is_measured:
        return [f"{when}: the error rate has not been measured yet."]
    assert found.measured is not None
    return [
        f"{when}: {percent(found.rate.share)} read wrongly (95% CI {limits(found.rate)}), measured "
        f"on {found.rate.total:,} records drawn at random from {found.measured.population:,}.",
        f"All errors: {effect(found.effect)}.",
    ]


def changes(payload: str | None) -> list[tuple[str, Any]]:
    """The fields that an event of a mode changes, with their new values."""
    return list(json.loads(payload).items()) if payload else []


def plain(text: str) -> str:
    """A text inside Markdown, with nothing in it taken for markup or for a table."""
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def issue_link(repository: str, row: RoadmapRow, examples: list[str], link: str) -> str:
    """A GitHub issue filled in with a mode's numbers, examples and the link back; under 8,000
    characters. repository: its address. examples: addresses of cases."""
    mode: Mode = row.mode
    body = [
        plain(mode.definition[:BODY_LIMIT]),
        "",
        f"- share of predictions: {size(row.size)}",
        f"- labelled: {row.labelled:,} records",
        f"- after the release: {effect(row.effect)}",
        f"- severity: {mode.severity}",
        f"- roadmap: {link}",
    ]
    address = ""
    for count in range(len(examples), -1, -1):
        shown = [f"- example: {example}" for example in examples[:count]]
        query = urlencode({"title": mode.title, "body": "\n".join([*body, *shown])})
        address = f"{repository.rstrip('/')}/issues/new?{query}"
        if len(address) <= ISSUE_LIMIT:
            return address
    body[0] = ""
    query = urlencode({"title": mode.title, "body": "\n".join(body)})
    return f"{repository.rstrip('/')}/issues/new?{query}"[:ISSUE_LIMIT]
