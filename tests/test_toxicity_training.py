"""The table of training stages, and the corpus that each is trained on."""

import random

import numpy as np

from toxicity_model.corpus import Sources, compose, innocent, unlabelled
from toxicity_model.stages import Config, Stage
from toxicity_model.texts import LABELS, Texts

COMMENTS = 40
CONFIG = Config(sentences=10, tweets=5, sworn_sentences=3)
SOURCES = Sources(
    labelled=Texts(
        [f"comment {number}" for number in range(COMMENTS)],
        np.eye(COMMENTS, len(LABELS), dtype=np.float32),
    ),
    genuine=Texts(["scored elsewhere"], np.full((1, len(LABELS)), 0.25, np.float32)),
    tweets=[f"tweet {number}" for number in range(9)],
    speeches=["my fellow citizens"],
    sentences=[f"plain sentence {number}" for number in range(20)],
    comments=["a remark"],
    rude=["blast", "damn"],
)


def test_a_stage_composes_its_corpus_as_its_row_says() -> None:
    source = random.Random(3)
    spoken = unlabelled(SOURCES, CONFIG, source)
    assert len(spoken) == 10 + 5 + 1 + 3
    assert all({"blast", "damn"} & set(text.split()) for text in spoken[-3:])
    taught = np.linspace(0, 1, (COMMENTS + len(spoken)) * len(LABELS), dtype=np.float32)
    taught = taught.reshape(-1, len(LABELS))
    stage = Stage(
        "last", rate=1e-4, leaves_out=10, labelled=30, spoken_from=15, misread=2, nonsense=4
    )
    corpus = compose(
        stage, SOURCES, innocent(["unseen"]), ["word", "other"], source, CONFIG, spoken, taught
    )
    kept = [number for number in range(COMMENTS) if number % 10][:30]
    rows = corpus.rows.texts
    assert rows[:30] == [f"comment {number}" for number in kept]
    assert rows[30:34] == spoken[15:]
    assert len(rows) == 30 + 4 + 2 + 2 + 4
    assert rows[36:38] == ["scored elsewhere"] * 2
    assert "unseen" not in rows
    np.testing.assert_array_equal(corpus.soft[:30], taught[kept])
    np.testing.assert_array_equal(corpus.soft[34:36], taught[COMMENTS : COMMENTS + 2])
    np.testing.assert_array_equal(corpus.rows.scores[30:34], taught[COMMENTS + 15 :])
    assert np.isnan(corpus.soft[38:]).all()
    assert not corpus.rows.scores[38:].any()


def test_the_teacher_learns_from_labels_alone() -> None:
    corpus = compose(
        CONFIG.teacher, SOURCES, innocent(SOURCES.speeches), ["word"], random.Random(1), CONFIG
    )
    assert corpus.rows.texts[: COMMENTS + 2] == [
        *SOURCES.labelled.texts,
        "scored elsewhere",
        "my fellow citizens",
    ]
    assert np.isnan(corpus.soft[:COMMENTS]).all()
    assert (corpus.soft[COMMENTS] == 0.25).all()
