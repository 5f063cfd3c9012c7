"""The settings of a training run: its stages as a table, and what they have in common."""

from dataclasses import dataclass

from toxicity_model.texts import LABELS

HALF = (0.5,) * len(LABELS)
EQUAL = (1.0,) * len(LABELS)
RARE = (1.0, 2.0, 1.0, 4.0, 1.0, 2.0)


@dataclass(frozen=True)
class Shares:
    """The weight of each source of logits in the mean that a stage is taught, label by label."""

    linear: tuple[float, ...] = HALF
    meant: tuple[float, ...] = (0.0,) * len(LABELS)  # the regression over sentence vectors
    taught: tuple[float, ...] = HALF  # the teacher


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    name: of its checkpoint in the run's folder.
    rate: the learning rate of the body; that of the head is Config.head_rate times as high.
    shares: None where the stage has labels alone, and sees no unlabelled texts.
    label_weights: of the labels in the loss.
    leaves_out: every so many labelled texts one is left out, for evaluation; None for none.
    labelled: at most so many labelled texts; None for all.
    spoken_from: the number of the first unlabelled text that it sees.
    misread: the number of unlabelled texts seen badly misread as well.
    genuine: how often an epoch has the texts scored by Detoxify.
    innocent: whether it sees the speeches.
    nonsense: the number of nonsense texts.
    """

    name: str
    rate: float
    epochs: int = 1
    max_tokens: int = 192
    shares: Shares | None = None
    label_weights: tuple[float, ...] = EQUAL
    leaves_out: int | None = None
    labelled: int | None = None
    spoken_from: int = 0
    misread: int = 0
    genuine: int = 2
    innocent: bool = False
    nonsense: int = 3000


TEACHER = Stage("teacher", rate=1e-4, epochs=2, genuine=1, innocent=True, nonsense=2000)
STUDENT_STAGES = (
    Stage("student", rate=1.5e-4, epochs=2, shares=Shares(), innocent=True),
    Stage(
        "rare",
        rate=1e-4,
        max_tokens=128,
        # measured out of fold: the teacher knows less of threats and attacks on groups
        shares=Shares(
            linear=(0.35, 0.375, 0.35, 0.7, 0.35, 0.6),
            meant=(0.15, 0.375, 0.15, 0.3, 0.15, 0.3),
            taught=(0.5, 0.25, 0.5, 0.0, 0.5, 0.1),
        ),
        label_weights=RARE,
        leaves_out=10,
        misread=6000,
    ),
    Stage(
        "hardened",
        rate=7e-5,
        # the teacher knows more of the frequent labels, and it has learned from Detoxify
        shares=Shares(
            linear=(0.3, 0.35, 0.25, 0.7, 0.3, 0.6),
            meant=(0.1, 0.35, 0.0, 0.3, 0.1, 0.3),
            taught=(0.6, 0.3, 0.75, 0.0, 0.6, 0.1),
        ),
        label_weights=RARE,
        leaves_out=10,
        labelled=8000,
        spoken_from=5000,
        misread=4000,
    ),
)


@dataclass(frozen=True)
class Config:
    """Everything a run depends on but its data; kept as config.json in the run's folder."""

    teacher: Stage = TEACHER
    student: tuple[Stage, ...] = STUDENT_STAGES
    vocabulary: int = 8000
    vocabulary_misread_every: int = 5  # texts
    vocabulary_misread_words: float = 0.3
    layers: tuple[int, ...] = (0, 2, 4)  # of the teacher's six, in the student
    scored_tokens: int = 192  # of a text the teacher scores
    sentence_tokens: int = 96  # of a text that gets a sentence vector
    most_tokens: int = 256  # of a text the exported model scores; the rest is cut off
    speeches: int = 1500
    sentences: int = 5000
    tweets: int = 5000
    sworn_sentences: int = 3000  # innocent ones with a rude word put in
    misread_texts: float = 0.3  # share of the texts of an epoch that get typos
    misread_words: float = 0.15  # share of their words, rude ones more often
    badly_misread_words: tuple[float, float] = (0.3, 0.65)
    batch_rows: int = 32
    head_rate: float = 5.0
    warm_up: float = 0.06  # share of the steps
    weight_decay: float = 0.01
    gradient_norm: float = 1.0
    soft_weight: float = 0.05  # of the squared error of logits, where there are soft scores
    threads: int = 1
    save_seconds: float = 180.0
    seed: int = 1
