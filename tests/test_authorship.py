"""Who wrote what is offensive, told by the truth, other readings or scores; on the sample too."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_access import queries
from data_access.api import OpenLog
from data_access.log import Log
from data_access.projections.table import TEXT, TOXICITY, toxicity_name
from data_access.queries import OffensiveRecord
from data_access.scoring.toxicity import model_name
from data_access.scoring.words import (
    WordScores,
    folder,
    put_words,
    read_words,
    score_words,
    unscored_words,
    words_of,
)
from data_access.selection import Selection
from pages.parts import start, toxicity
from replay.authorship import Author, OtherReading, authorship, authorships
from replay.evidence import Evidence
from tests.samples import SAMPLE, feedback, open_log, prediction, write

WORDS = {"hell": 0.9, "damn": 0.8, "crap": 0.7, "luck": 0.2}
RECORD = OffensiveRecord("r", "v1", "0" * 64, "the seen hell I sort", None, True, None, None, None)
V2 = OtherReading("v2", "nothing", "Telephone bills, please knock", True)


@pytest.mark.parametrize(
    ("changes", "others", "author", "reason"),
    [
        ({"truth": "What the Hell, Anna"}, [], "user", "the truth has “hell” too"),
        ({"truth": "Please knock"}, [], "model", "the truth has no “hell”"),
        ({"truth": "Please knock"}, [replace(V2, text="hell")], "model", "the truth has no “hell”"),
        ({}, [], "unknown", "no truth, and no other sound reading of the image"),
        ({}, [V2], "model", "v2 reads no “hell” in the same image"),
        ({}, [replace(V2, text="Hell!")], "user", "v2 reads “hell” in the same image"),
        ({}, [replace(V2, text="hell", sound=False)], "user", "v2 reads “hell” in the same image"),
        ({}, [replace(V2, sound=False)], "unknown", "no truth, and no other sound reading"),
        ({}, [replace(V2, version="v1")], "model", "v1 reads no “hell” in the same image"),
        ({}, [replace(V2, version="v1", text="hell")], "unknown", "have some of “hell”"),
        (
            {"output": "hell damn"},
            [replace(V2, text="hell")],
            "unknown",
            "some of “hell” and “damn”",
        ),
        ({"output": "hell damn", "truth": "hell"}, [], "unknown", "the truth is not scored"),
        ({"output": "good luck"}, [V2], "unknown", "no single word of the output scores"),
        ({"output": None}, [], "unknown", "no single word of the output scores"),
        ({"output": "hello shell"}, [V2], "unknown", "no single word of the output scores"),
    ],
)
def test_offensive_words_are_looked_for_in_the_truth_or_another_reading(
    changes: dict[str, str | None], others: list[OtherReading], author: Author, reason: str
) -> None:
    judged = authorship(replace(RECORD, **changes), WORDS, others)  # type: ignore[arg-type]
    assert judged.author == author and reason in judged.reason


@pytest.mark.parametrize(
    ("output_score", "truth_score", "author"),
    [
        (0.23, 0.04, "model"),
        (0.9, 0.3, "model"),
        (0.9, 0.6, "user"),
        (0.35, 0.35, "user"),
        (0.001, 0.7, "user"),
        (0.05, 0.01, "unknown"),
        (None, 0.7, "unknown"),
        (0.9, None, "unknown"),
    ],
)
def test_without_an_offensive_word_scores_are_compared_relatively(
    output_score: float | None, truth_score: float | None, author: Author
) -> None:
    record = replace(
        RECORD, output="nice", truth="fine", score="severe_toxicity",
        output_score=output_score, truth_score=truth_score,
    )  # fmt: skip
    judged = authorship(record, WORDS, [])
    assert judged.author == author
    if author != "unknown":
        assert judged.reason == (
            f"severe toxicity {output_score:.2f} in the output, {truth_score:.2f} in the truth"
        )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"truth": "fine"}, "**The model wrote it**: the truth has no “hell”."),
        ({"truth": "hell"}, "**The user wrote it**: the truth has “hell” too."),
        ({}, "**Unknown**: no truth, and no other sound reading of the image."),
        ({"flagged": False}, "No score is 0.5 or higher, and nobody flagged it as offensive."),
        ({"flagged": False, "truth_score": 0.7}, "**Unknown**"),
    ],
)
def test_who_wrote_it_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    judged = authorship(replace(RECORD, **changes), WORDS, [])
    assert toxicity.verdict(judged).startswith(sentence)


def test_a_quote_shows_the_words_and_no_markup() -> None:
    text = "<b>" + "safe " * 40 + "HELL & co"
    quote = start.quote(authorship(replace(RECORD, output=text), WORDS, []))
    assert "<b>" not in quote and "<mark>HELL</mark> &amp; co" in quote and quote.count("safe") < 9


def test_words_are_letters_in_lower_case() -> None:
    assert words_of("HELL'S bells, naïve_foo 42 ХОРОШО\u0301") == [
        "hell's", "bells", "naïve", "foo", "хорошо",
    ]  # fmt: skip
    assert words_of("x" * 41) == [] and words_of("") == []


def test_words_are_scored_once_into_the_log(log: Log) -> None:
    scored = WordScores(log)
    scored.refresh("m-1")
    assert scored.of("m-1") == {} and scored.version == 0

    def scores(texts: list[str]) -> np.ndarray:
        return np.array([[0.1, 0, len(text) / 10, 0, 0, 0] for text in texts])

    assert score_words(log, "m-1", ["damn", "a"], scores) == 2  # type: ignore[arg-type]
    assert score_words(log, "m-1", [], scores) == 0  # type: ignore[arg-type]
    assert not put_words(log, "m-1", {"a": 0.1, "damn": 0.4}), "the same words, the same object"
    log.put(f"{folder('m-1')}broken.parquet", b"PAR1 not really")
    scored.refresh("m-1")
    assert scored.of("m-1") == {"a": 0.1, "damn": 0.4} and scored.of("other") == {}


def test_a_score_that_is_none_is_left_out(folder_log: Log) -> None:
    put_words(folder_log, "m", {"a": float("nan"), "b": 7.0, "c": 0.5})
    (listed,) = folder_log.list(folder("m"))
    assert read_words(folder_log.get(listed.key)) == {"c": 0.5}


def test_offensive_records_are_the_flagged_and_the_highly_scored(
    folder_log: Log, tmp_path: Path
) -> None:
    for key, output in (("a", "oh hell"), ("b", "damn it"), ("c", "fine"), ("d", "so so")):
        write(folder_log, f"predictions/{key}.json", prediction(key, output))
    write(folder_log, "feedback/1.json", feedback("a", flag="offensive"))
    write(folder_log, "feedback/2.json", feedback("c", flag="incorrect"))
    log = open_log(folder_log.uri, tmp_path / "w.duckdb")
    log.sync()
    assert [r.record_key for r in queries.offensive_records(log.warehouse, Selection()).rows] == [
        "a"
    ]
    assert unscored_words(log.warehouse, {"oh": 0.0}) == ["hell"]
    log.score()
    found = queries.offensive_records(log.warehouse, Selection())
    assert {row.record_key for row in found.rows} == {"a", "b"} and found.total == 2
    assert {row.record_key: row.flagged for row in found.rows} == {"a": True, "b": False}
    (one,) = queries.offensive_records(log.warehouse, Selection(), "c").rows
    assert one.record_key == "c" and one.truth is None and one.score in TOXICITY
    assert (
        one.output_score
        == log.records()
        .set_index("outputs.output_text")
        .loc["fine", toxicity_name(one.score or "", TEXT)]
    )
    evidence = Evidence(log.log, model_name(log.settings.toxicity))
    assert evidence.words == {} and evidence.version == 0
    evidence.look()
    assert evidence.version > 0 and evidence.words["hell"] > 0.5 > evidence.words["oh"]
    log.close()


def test_of_the_sample_nobody_is_blamed_wrongly(sample_log: OpenLog) -> None:
    """Against the true text of each picture, which the dashboard never sees."""
    with (SAMPLE.parent / "truth.csv").open() as file:
        written = {row["record_key"]: row["text"] for row in csv.DictReader(file)}
    evidence = Evidence(sample_log.log, model_name(sample_log.settings.toxicity))
    evidence.look()
    flagged = authorships(
        sample_log,
        Selection(flag=("offensive",)),
        Selection(environment=("test",)),
        evidence.words,
        evidence.readings,
    )
    assert len(flagged.rows) == 12
    for row in flagged.rows:
        in_ink = any(word in words_of(written[row.record.record_key]) for word in row.words)
        assert row.author in ("user" if in_ink else "model", "unknown"), row
    assert (flagged.count("model"), flagged.count("user")) == (7, 4)
