"""The table of projections: every scalar that is known of a record, one row each.

The functions that compute them are in `text` and `image`.
"""

import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from data_access.errors import SettingsError
from data_access.projections import image, text

Compute = Callable[..., Sequence[float] | np.ndarray]
TEXT = "outputs.output_text"
TRUTH = "feedback.ground_truth_string"
IMAGE = "inputs.image"
INPUTS = (TEXT, TRUTH, IMAGE)
ENTROPY = f"entropy({TEXT})"
TOXICITY = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
MAX_FAILURE = 300  # characters of what a function of one's own said when it failed


@dataclass(frozen=True)
class Projection:
    """A scalar computed from a record.

    name: the column, such as `entropy(outputs.output_text)`.
    label: what pages call it, in lower case, such as `word entropy`.
    unit: of its values, as an axis shows it.
    inputs: the columns it is computed from, each passed as one list to `compute`.
    explanation: one sentence that says what a value means.
    compute: a pure batch function, as many numbers out as rows in (NaN: no value); None where
        the value is logged, or is made elsewhere and found in the log.
    version: changes whenever the values would; stored scores of another version are made anew.
    scale: `log` where values span orders of magnitude.
    bounds: smallest and largest possible value, where there is one.
    """

    name: str
    label: str
    unit: str
    inputs: tuple[str, ...]
    explanation: str
    compute: Compute | None = None
    version: str = "1"
    scale: Literal["linear", "log"] = "linear"
    bounds: tuple[float | None, float | None] = (None, None)

    @property
    def of_image(self) -> bool:
        return self.inputs == (IMAGE,)

    @property
    def source(self) -> str:
        """The column whose presence means that there is something to score."""
        return self.inputs[-1]


def _each(function: Callable[[np.ndarray], float]) -> Compute:
    """A batch function from a function of one greyscale array (height, width)."""
    return lambda images: [function(one) for one in images]


def toxicity_name(score: str, column: str) -> str:
    """The projection of one of TOXICITY, of TEXT or of TRUTH."""
    return f"detoxify.{score}({column})"


def _toxicity(score: str, meaning: str) -> tuple[Projection, Projection]:
    """Of the output and of the truth: whether the model wrote it, or the user."""
    both = (
        (TEXT, "", f"Detoxify's probability that readers would call the output {meaning}."),
        (
            TRUTH,
            " (truth)",
            f"Detoxify's probability that readers would call the ground truth {meaning}: where "
            "it is as high as the output's, the words are the user's.",
        ),
    )
    output, truth = (
        Projection(
            name=toxicity_name(score, column),
            label=score.replace("_", " ") + which,
            unit="probability",
            inputs=(column,),
            explanation=explanation,
            scale="log",
            bounds=(0.0, 1.0),
        )
        for column, which, explanation in both
    )
    return output, truth


PROJECTIONS: tuple[Projection, ...] = (
    Projection(
        name=ENTROPY,
        label="word entropy",
        unit="bits",
        inputs=(TEXT,),
        explanation="How varied the words of the output are (Shannon entropy of its words, as "
        "textacy computes it). A text that repeats itself, or has few words, is low.",
        compute=text.word_entropy,
        bounds=(0.0, None),
    ),
    Projection(
        name=f"greyscale_image_mean({IMAGE})",
        label="image mean",
        unit="grey level, 0 black to 255 white",
        inputs=(IMAGE,),
        explanation="The mean grey level of the image: high for dark ink on light paper, low for "
        "light ink on a dark ground.",
        compute=_each(image.mean),
        bounds=(0.0, 255.0),
    ),
    Projection(
        name="outputs.confidence",
        label="confidence",
        unit="share",
        inputs=(TEXT,),
        explanation="What the recognizer itself said of its output, as logged.",
        bounds=(0.0, 1.0),
    ),
    Projection(
        name=f"character_error_rate({TEXT})",
        label="character error rate",
        unit="errors per character of the truth",
        inputs=(TEXT, TRUTH),
        explanation="Insertions, deletions and substitutions from the ground truth to the output, "
        "over the length of the truth; white space folded. Only where the truth is known.",
        compute=text.character_error_rate,
        bounds=(0.0, None),
    ),
    Projection(
        name=f"repetition({TEXT})",
        label="repetition",
        unit="share of characters",
        inputs=(TEXT,),
        explanation="The share of the output that repeats what it has just said, or a longer run "
        "from anywhere before: over 0.3 for loops of words or of characters.",
        compute=text.repetition,
        bounds=(0.0, 1.0),
    ),
    Projection(
        name=f"character_entropy({TEXT})",
        label="character entropy",
        unit="bits",
        inputs=(TEXT,),
        explanation="How varied the characters of the output are (Shannon entropy of its "
        "characters).",
        compute=text.character_entropy,
        bounds=(0.0, None),
    ),
    Projection(
        name=f"length({TEXT})",
        label="length",
        unit="characters",
        inputs=(TEXT,),
        explanation="How many characters the output has.",
        compute=text.length,
        scale="log",
        bounds=(0.0, None),
    ),
    Projection(
        name=f"words({TEXT})",
        label="words",
        unit="words",
        inputs=(TEXT,),
        explanation="How many words the output has, separated by white space.",
        compute=text.words,
        scale="log",
        bounds=(0.0, None),
    ),
    Projection(
        name=f"outside_alphabet({TEXT})",
        label="outside the alphabet (output)",
        unit="share of characters",
        inputs=(TEXT,),
        explanation="The share of the output's characters that the recognizer's alphabet does "
        "not have.",
        compute=text.outside_alphabet,
        bounds=(0.0, 1.0),
    ),
    Projection(
        name=f"outside_alphabet({TRUTH})",
        label="outside the alphabet (truth)",
        unit="share of characters",
        inputs=(TRUTH,),
        explanation="The share of the ground truth's characters that the recognizer cannot "
        "write, so that it must get them wrong.",
        compute=text.outside_alphabet,
        bounds=(0.0, 1.0),
    ),
    Projection(
        name=f"polarity({IMAGE})",
        label="polarity",
        unit="ground minus ink, −1 to 1",
        inputs=(IMAGE,),
        explanation="Brightness of the ground minus that of the ink: above 0 is dark on light, "
        "below 0 light on dark. No value for an image of one grey level.",
        compute=_each(image.polarity),
        bounds=(-1.0, 1.0),
    ),
    Projection(
        name=f"contrast({IMAGE})",
        label="contrast",
        unit="grey levels (standard deviation)",
        inputs=(IMAGE,),
        explanation="The standard deviation of the grey levels: low for faint or washed-out "
        "pictures.",
        compute=_each(image.contrast),
        bounds=(0.0, 127.5),
    ),
    Projection(
        name=f"ink_share({IMAGE})",
        label="ink share",
        unit="share of pixels",
        inputs=(IMAGE,),
        explanation="The share of pixels on the rarer side of Otsu's threshold: how much of the "
        "picture is writing.",
        compute=_each(image.ink_share),
        bounds=(0.0, 0.5),
    ),
    Projection(
        name=f"sharpness({IMAGE})",
        label="sharpness",
        unit="variance of the Laplacian",
        inputs=(IMAGE,),
        explanation="How crisp edges are (variance of the Laplacian): low for blurred pictures.",
        compute=_each(image.sharpness),
        scale="log",
        bounds=(0.0, None),
    ),
    Projection(
        name=f"width({IMAGE})",
        label="image width",
        unit="pixels",
        inputs=(IMAGE,),
        explanation="The width of the image.",
        compute=_each(image.width),
        scale="log",
        bounds=(0.0, None),
    ),
    Projection(
        name=f"height({IMAGE})",
        label="image height",
        unit="pixels",
        inputs=(IMAGE,),
        explanation="The height of the image.",
        compute=_each(image.height),
        scale="log",
        bounds=(0.0, None),
    ),
    *_toxicity("toxicity", "rude or disrespectful"),
    *_toxicity("severe_toxicity", "very hateful"),
    *_toxicity("obscene", "obscene"),
    *_toxicity("threat", "a threat"),
    *_toxicity("insult", "an insult"),
    *_toxicity("identity_attack", "an attack on a group of people"),
)

_own: dict[str, Projection] = {}


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
    """Make a function a projection of one's own, named `function(column)`.

    The function gets a list (texts; or greyscale arrays of shape (height, width) for
    `inputs.image`) and returns as many numbers, NaN where there is no value. Name its module
    in MISREAD_PROJECTIONS.
    """
    if column not in INPUTS:
        raise SettingsError(f"A projection cannot be made of {column}: use {', '.join(INPUTS)}.")

    def register(function: Compute) -> Compute:
        name = f"{function.__name__}({column})"
        _own[name] = Projection(
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
) -> "Table":
    """The built-in rows, with the given alphabet, and those of the named modules or files.

    scorer: as in Table.
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
        before = set(_own)
        found = _import(module)
        mine = {
            name: row
            for name, row in _own.items()
            if name not in before or getattr(row.compute, "__module__", "") == found
        }
        if not mine:
            raise SettingsError(f"{module} (MISREAD_PROJECTIONS) has no @projection in it.")
        rows |= mine
    return Table(tuple(rows.values()), scorer)


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


@dataclass(frozen=True)
class Table:
    """The projections of one warehouse, by name, in the order pages show them.

    scorer: whose scores of the log are shown where others made as many.
    """

    rows: tuple[Projection, ...]
    scorer: str | None = None

    def __getitem__(self, name: str) -> Projection:
        """Raises KeyError."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(row.name == name for row in self.rows)

    def computed_from_text(self) -> tuple[Projection, ...]:
        return tuple(row for row in self.rows if row.compute is not None and not row.of_image)

    def computed_from_image(self) -> tuple[Projection, ...]:
        return tuple(row for row in self.rows if row.compute is not None and row.of_image)


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
    except Exception as error:  # a projection of one's own can raise anything
        failure = f"{row.name}: {_said(error)}"
    for number in range(len(values)):
        try:
            values[number] = _computed(row, [column[number : number + 1] for column in columns])[0]
        except Exception as error:
            failed[number] = _said(error)
    return Computed(values, failure, failed)


def _said(error: Exception) -> str:
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
