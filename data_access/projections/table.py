"""The table of projections: one row for each scalar of a record.

The functions that compute them are in `text` and `image`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_access.projections import image, text

Compute = Callable[..., Sequence[float] | np.ndarray]
Group = Literal["text", "image", "toxicity", "truth"]
TEXT = "outputs.output_text"
TRUTH = "feedback.ground_truth_string"
IMAGE = "inputs.image"
INPUTS = (TEXT, TRUTH, IMAGE)
ENTROPY = f"entropy({TEXT})"
ERROR_RATE = f"character_error_rate({TEXT})"
IMAGE_MEAN = f"greyscale_image_mean({IMAGE})"
TOXICITY = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")
MAX_FAILURE = 300  # characters of a custom projection's error message


@dataclass(frozen=True)
class Projection:
    """A scalar computed from a record.

    name: the column, such as `entropy(outputs.output_text)`.
    label: its name on pages, in lower case, such as `word entropy`.
    unit: of its values, as an axis shows it.
    inputs: the columns it is computed from, each passed as one list to `compute`.
    explanation: one sentence that says what a value means.
    compute: a pure batch function, one number per row (NaN: no value); None where
        the value is logged, or computed elsewhere and stored in the log.
    version: changes whenever the values would; values stored by another version are recomputed.
    scale: `log` where values span orders of magnitude.
    low_words, high_words: what records do whose values are under or over an edge, as people say
        it, such as `have a darker image`. parting: true of edges under or over this one alone.
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
    low_words: str = ""
    high_words: str = ""
    parting: float | None = None

    @property
    def of_image(self) -> bool:
        return self.inputs == (IMAGE,)

    @property
    def source(self) -> str:
        """The column whose presence means that there is something to score."""
        return self.inputs[-1]

    def words(self, edge: float, *, under: bool) -> str:
        """What records do whose values are under an edge, or at least it; empty without words."""
        if self.parting is not None and (edge > self.parting if under else edge < self.parting):
            return ""
        return self.low_words if under else self.high_words

    @property
    def group(self) -> Group:
        """What it is shown beside: whatever needs the truth is of the truth."""
        if self.source == TRUTH:
            return "truth"
        if self.name in {toxicity_name(score, TEXT) for score in TOXICITY}:
            return "toxicity"
        return "image" if self.of_image else "text"


def _each(function: Callable[[np.ndarray], float]) -> Compute:
    """A batch function from a function of one greyscale array (height, width)."""
    return lambda images: [function(levels) for levels in images]


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
        name=IMAGE_MEAN,
        label="image mean",
        unit="grey level, 0 black to 255 white",
        inputs=(IMAGE,),
        explanation="The mean grey level of the image: high for dark ink on light paper, low for "
        "light ink on a dark background.",
        compute=_each(image.mean),
        bounds=(0.0, 255.0),
        low_words="have a darker image",
        high_words="have a lighter image",
    ),
    Projection(
        name="outputs.confidence",
        label="confidence",
        unit="share",
        inputs=(TEXT,),
        explanation="The recognizer's own confidence in its output, as logged.",
        bounds=(0.0, 1.0),
    ),
    Projection(
        name=ERROR_RATE,
        label="character error rate",
        unit="errors per character of the truth",
        inputs=(TEXT, TRUTH),
        explanation="Insertions, deletions and substitutions from the ground truth to the output, "
        "divided by the length of the truth; runs of white space count as one. Only where the "
        "truth is known.",
        compute=text.character_error_rate,
        bounds=(0.0, None),
    ),
    Projection(
        name=f"repetition({TEXT})",
        label="repetition",
        unit="share of characters",
        inputs=(TEXT,),
        explanation="The share of the output that repeats the text just before it, or a longer run "
        "from anywhere earlier: over 0.3 for loops of words or characters.",
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
        explanation="The number of characters in the output.",
        compute=text.length,
        scale="log",
        bounds=(0.0, None),
    ),
    Projection(
        name=f"words({TEXT})",
        label="words",
        unit="words",
        inputs=(TEXT,),
        explanation="The number of words in the output, separated by white space.",
        compute=text.words,
        scale="log",
        bounds=(0.0, None),
    ),
    Projection(
        name=f"outside_alphabet({TEXT})",
        label="outside the alphabet (output)",
        unit="share of characters",
        inputs=(TEXT,),
        explanation="The share of the output's characters outside the recognizer's alphabet.",
        compute=text.outside_alphabet,
        bounds=(0.0, 1.0),
    ),
    Projection(
        name=f"outside_alphabet({TRUTH})",
        label="outside the alphabet (truth)",
        unit="share of characters",
        inputs=(TRUTH,),
        explanation="The share of the ground truth's characters that the recognizer cannot "
        "write and so must get wrong.",
        compute=text.outside_alphabet,
        bounds=(0.0, 1.0),
    ),
    Projection(
        name=f"polarity({IMAGE})",
        label="polarity",
        unit="background minus ink, −1 to 1",
        inputs=(IMAGE,),
        explanation="Background brightness minus ink brightness: above 0 is dark on "
        "light, below 0 light on dark. No value for an image of one grey level.",
        compute=_each(image.polarity),
        bounds=(-1.0, 1.0),
        low_words="have light ink on dark paper",
        high_words="have dark ink on light paper",
        parting=0.0,
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
        low_words="have a paler image",
        high_words="have an image of more contrast",
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
        low_words="have a blurrier image",
        high_words="have a sharper image",
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
        low_words="have a narrower image",
        high_words="have a wider image",
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
        low_words="have a shorter image",
        high_words="have a taller image",
    ),
    *_toxicity("toxicity", "rude or disrespectful"),
    *_toxicity("severe_toxicity", "very hateful"),
    *_toxicity("obscene", "obscene"),
    *_toxicity("threat", "a threat"),
    *_toxicity("insult", "an insult"),
    *_toxicity("identity_attack", "an attack on a group of people"),
)


@dataclass(frozen=True)
class ProjectionTable:
    """The projections of one warehouse, by name, in the order pages show them.

    scorer: the toxicity model whose scores are shown on a tie with others.
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
