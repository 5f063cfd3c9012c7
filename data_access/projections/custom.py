"""Custom projections: a decorator that registers them, and the table of all that are loaded."""

import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from data_access.errors import SettingsError
from data_access.projections import text
from data_access.projections.table import INPUTS, PROJECTIONS, Compute, Projection, ProjectionTable

_registered: dict[str, Projection] = {}


def projection(
    column: str,
    *,
    unit: str,
    explanation: str,
    label: str | None = None,
    version: str = "1",
    scale: Literal["linear", "log"] = "linear",
    bounds: tuple[float | None, float | None] = (None, None),
) -> Callable[[Compute], Compute]:
    """Register a function as a custom projection, named `function(column)`.

    The function gets a list (texts; or greyscale arrays of shape (height, width) for
    `inputs.image`) and returns as many numbers, NaN where there is no value. Name its module
    in MISREAD_PROJECTIONS.
    """
    if column not in INPUTS:
        raise SettingsError(f"Projections cannot read {column}: use {', '.join(INPUTS)}.")

    def register(function: Compute) -> Compute:
        name = f"{function.__name__}({column})"
        _registered[name] = Projection(
            name=name,
            label=label or function.__name__.replace("_", " "),
            unit=unit,
            inputs=(column,),
            explanation=explanation,
            compute=function,
            version=version,
            scale=scale,
            bounds=bounds,
        )
        return function

    return register


def load_projections(
    modules: Sequence[str] = (), alphabet: str | None = None, scorer: str | None = None
) -> ProjectionTable:
    """The built-in rows, with the given alphabet, and those of the named modules or files.

    scorer: as in ProjectionTable.
    Raises SettingsError where a module cannot be imported or adds nothing.
    """
    rows = {row.name: row for row in PROJECTIONS}
    if alphabet is not None:
        rows |= {
            row.name: replace(
                row,
                compute=functools.partial(text.outside_alphabet, alphabet=alphabet),
                version=f"{row.version}+{len(alphabet)}:{''.join(sorted(set(alphabet)))}",
            )
            for row in PROJECTIONS
            if row.name.startswith("outside_alphabet(")
        }
    for module in modules:
        before = set(_registered)
        imported = _import(module)
        added = {
            name: row
            for name, row in _registered.items()
            if name not in before or getattr(row.compute, "__module__", "") == imported
        }
        if not added:
            raise SettingsError(f"{module} (MISREAD_PROJECTIONS) registers no @projection.")
        rows |= added
    return ProjectionTable(tuple(rows.values()), scorer)


def _import(module: str) -> str:
    """Import a module by dotted name or by path; returns the name it is known by."""
    try:
        if not module.endswith(".py"):
            return importlib.import_module(module).__name__
        name = "misread_projections_" + re.sub(r"\W", "_", str(Path(module).absolute()))
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, module)
            assert spec is not None and spec.loader is not None
            loaded = importlib.util.module_from_spec(spec)
            sys.modules[name] = loaded
            spec.loader.exec_module(loaded)
        return name
    except Exception as error:
        raise SettingsError(
            f"{module} (MISREAD_PROJECTIONS) cannot be imported: {type(error).__name__}: {error}"
        ) from error
