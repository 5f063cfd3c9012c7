"""What a selection is compared with: by default the test set, and anything else that is asked for.

A baseline is written into the address by its name: an environment's; one of those that follow the
selection (the window before, what nobody flagged, another version); or a selection of its own, as
an address writes it.
"""

from dataclasses import dataclass, replace

from data_access.errors import SelectionError
from data_access.queries.annotations import saved_selections
from data_access.queries.counts import choices
from data_access.queries.modes import filter_sentences
from data_access.queries.trends import recent_window, window_before
from data_access.selection import (
    ANY_FLAG,
    NO_FLAG,
    Selection,
    moment_text,
    parse_selection,
    query_string,
    source,
)
from data_access.warehouse import Warehouse

BEFORE = "window-before"
UNFLAGGED = "unflagged"
VERSION = "version:"
EVERYTHING = "images=each"


@dataclass(frozen=True)
class Baseline:
    """What a selection is compared with.

    name: as the URL writes it; label: in English; selection: its records; compared: the part of
    the asking selection that is compared with it, and compared_label what that is: with the
    window before all times, the newest 28 days; without a filter by flag, what was flagged; against
    another version, what is not of it.
    """

    name: str
    label: str
    selection: Selection
    compared: Selection
    compared_label: str = "the selection"


def baseline_names(warehouse: Warehouse, selection: Selection | None = None) -> list[str]:
    """What can be a baseline, for a menu: every environment, `test` first, and so on.

    selection: what is compared; it is not offered a version that it alone consists of.
    """
    environments = sorted(choices(warehouse, "environment"), key=lambda name: name != "test")
    own = selection.version if selection is not None and len(selection.version) == 1 else ()
    versions = [name for name in choices(warehouse, "version") if name not in own]
    saved = [
        selection_baseline(entry.selection)
        for entry in saved_selections(warehouse)
        if entry.selection is not None
    ]
    return list(
        dict.fromkeys(
            [
                *map(_environment_baseline, environments),
                BEFORE,
                UNFLAGGED,
                *(f"{VERSION}{name}" for name in versions),
                *saved,
            ]
        )
    )


def selection_baseline(selection: Selection) -> str:
    """The name of a baseline that is a selection of its own."""
    return query_string(selection) or EVERYTHING


def _environment_baseline(environment: str) -> str:
    special = environment in (BEFORE, UNFLAGGED) or environment.startswith(VERSION)
    if special or "=" in environment:
        return selection_baseline(Selection(environment=(environment,)))
    return environment


def usual_baseline(warehouse: Warehouse, selection: Selection) -> str:
    """The first that is not the selection's own environment."""
    own = {_environment_baseline(name) for name in selection.environment}
    names = baseline_names(warehouse)
    return next(name for name in names if {name} != own)


def baseline(warehouse: Warehouse, selection: Selection, name: str) -> Baseline:
    """The baseline of that name; images count once in it where they do in the selection.

    Raises SelectionError where there is none of that name in this log.
    """
    if name == BEFORE:
        return _before(warehouse, selection)
    if name == UNFLAGGED:
        return _unflagged(selection)
    if name.startswith(VERSION):
        return _other_version(warehouse, selection, name)
    if "=" not in name:
        if name not in choices(warehouse, "environment"):
            raise SelectionError(f"The baseline “{name}” is not in this log.")
        records = Selection(environment=(name,), images=selection.images)
        return Baseline(name, name, records, selection)
    try:
        chosen = parse_selection(name, warehouse.projections)
    except SelectionError as error:
        raise SelectionError(f"The baseline “{name}” is not understood: {error}") from error
    records = replace(chosen, images=selection.images)
    return Baseline(name, _label(warehouse, chosen), records, selection)


def _label(warehouse: Warehouse, records: Selection) -> str:
    """The name under which a selection was saved, or else what it says."""
    for saved in saved_selections(warehouse):
        if saved.selection == records:
            return f"“{saved.name}”"
    filters = [sentence for _, sentence in filter_sentences(warehouse, records)]
    return " · ".join(filters) or "all records"


def _before(warehouse: Warehouse, selection: Selection) -> Baseline:
    recent = recent_window(warehouse, selection)
    before = window_before(warehouse, recent)
    if recent.since is None:
        return Baseline(BEFORE, "the window before", before, recent)
    span = "day" if recent.days == 1 else f"{recent.days} days"
    whole = recent.since == selection.since
    part = "the selection" if whole else f"the last {span} of the selection"
    label = f"the {span} before {moment_text(recent.since)}"
    return Baseline(BEFORE, label, before, recent, part)


def _unflagged(selection: Selection) -> Baseline:
    flags = tuple(flag for flag in selection.flag if flag != NO_FLAG)
    baseline = selection.with_flag(NO_FLAG)
    if flags == selection.flag and flags:
        return Baseline(UNFLAGGED, "what nobody flagged", baseline, selection)
    compared = replace(selection, flag=flags or (ANY_FLAG,))
    return Baseline(UNFLAGGED, "what nobody flagged", baseline, compared, "what was flagged")


def _other_version(warehouse: Warehouse, selection: Selection, name: str) -> Baseline:
    """All records of one version, against those of the others."""
    version = name.removeprefix(VERSION)
    known = choices(warehouse, "version")
    if version not in known:
        raise SelectionError(f"The baseline “{name}” is not in this log.")
    records = Selection(
        environment=selection.environment, version=(version,), images=selection.images
    )
    label = f"version {version}"
    others = tuple(other for other in selection.version or known if other != version)
    if others == selection.version or not others:
        return Baseline(name, label, records, selection)
    compared = replace(selection, version=others)
    return Baseline(name, label, records, compared, f"the selection without version {version}")


def shared_records(warehouse: Warehouse, baseline: Baseline) -> int:
    """How many records are on both sides of a comparison, which then shows less than there is."""
    if _surely_apart(baseline.compared, baseline.selection):
        return 0
    sides = [source(side) for side in (baseline.compared, baseline.selection)]
    shared = " semi join ".join(f"(select record_key from {selected})" for selected, _ in sides)
    params = [param for _, values in sides for param in values]
    counted = warehouse.query(f"select count(*) as n from {shared} using (record_key)", params)
    return int(counted["n"].iloc[0])


def _surely_apart(compared: Selection, baseline: Selection) -> bool:
    """Whether where or when the records are from is enough to tell that none is in both."""
    if (
        compared.since is not None
        and baseline.until is not None
        and baseline.until <= compared.since
    ):
        return True
    return any(
        mine and others and not set(mine) & set(others)
        for mine, others in (
            (compared.environment, baseline.environment),
            (compared.version, baseline.version),
            (compared.flag, baseline.flag if baseline.flag == (NO_FLAG,) else ()),
        )
    )
