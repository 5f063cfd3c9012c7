"""The model to beat: TF-IDF of words and characters with logistic regression, label by label."""

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion

from toxicity_model.texts import Texts


class Linear:
    """Words 1–2 and characters 2–5, sublinear, as on the anchor of the data."""

    def __init__(self, features: int = 60_000) -> None:
        self._features = FeatureUnion(
            [
                (
                    "words",
                    TfidfVectorizer(
                        ngram_range=(1, 2),
                        sublinear_tf=True,
                        min_df=2,
                        strip_accents="unicode",
                        max_features=features,
                    ),
                ),
                (
                    "signs",
                    TfidfVectorizer(
                        ngram_range=(2, 5),
                        sublinear_tf=True,
                        min_df=3,
                        analyzer="char_wb",
                        max_features=features,
                    ),
                ),
            ]
        )
        self._models: list[Any] = []

    def fit(self, rows: Texts) -> "Linear":
        columns = self._features.fit_transform(rows.texts)
        self._models = [
            LogisticRegression(C=4.0, solver="liblinear").fit(columns, scores > 0.5)
            for scores in rows.scores.T
        ]
        return self

    def scores(self, texts: list[str]) -> np.ndarray:
        """Probabilities (n, 6)."""
        columns = self._features.transform(texts)
        return np.stack([model.predict_proba(columns)[:, 1] for model in self._models], axis=1)


def out_of_fold(rows: Texts, folds: int = 3) -> np.ndarray:
    """Scores (n, 6) of each text by a model that has not seen it."""
    scores_of_rows = np.empty(rows.scores.shape, np.float32)
    fold = np.arange(len(rows.texts)) % folds
    for number in range(folds):
        model = Linear().fit(rows.where(np.flatnonzero(fold != number)))
        chosen = np.flatnonzero(fold == number)
        scores_of_rows[chosen] = model.scores(rows.where(chosen).texts)
    return scores_of_rows


def by_meaning(vectors: np.ndarray, scores: np.ndarray, folds: int = 3) -> np.ndarray:
    """Scores (n, 6) of texts by their vectors (n, width); the first of them have `scores`, and
    get those of a model that has not seen them.
    """
    labelled = len(scores)
    fold = np.full(len(vectors), folds)
    fold[:labelled] = np.arange(labelled) % folds
    scores_of_rows = np.empty((len(vectors), scores.shape[1]), np.float32)
    for number in range(folds + 1):
        known = np.flatnonzero(fold[:labelled] != number)
        for label, wanted in enumerate(scores.T > 0.5):
            model = LogisticRegression(C=4.0, max_iter=500).fit(vectors[known], wanted[known])
            chosen = fold == number
            scores_of_rows[chosen, label] = model.predict_proba(vectors[chosen])[:, 1]
    return scores_of_rows
