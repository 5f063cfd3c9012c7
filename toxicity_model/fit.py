"""Fine-tuning of one stage, which goes on from its checkpoint."""

import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import BertForSequenceClassification

from toxicity_model.corpus import Corpus
from toxicity_model.corruption import misread
from toxicity_model.networks import padded
from toxicity_model.stages import Config, Stage


def batches(rows: Sequence[Sequence[int]], size: int, source: random.Random) -> Iterator[list[int]]:
    """Numbers of rows of about equal length, in random order."""
    numbers = list(range(len(rows)))
    source.shuffle(numbers)
    parts = []
    for start in range(0, len(numbers), size * 50):
        part = sorted(numbers[start : start + size * 50], key=lambda number: len(rows[number]))
        parts += [part[first : first + size] for first in range(0, len(part), size)]
    source.shuffle(parts)
    yield from parts


def fit(
    model: BertForSequenceClassification,
    tokenizer: Any,
    corpus: Corpus,
    rude: frozenset[str],
    stage: Stage,
    config: Config,
    checkpoint: Path,
) -> None:
    """Fine-tune a model in place, from the checkpoint where there is one.

    rude: the words that are misread more often.
    """
    head = [parameter for name, parameter in model.named_parameters() if "classifier" in name]
    body = [parameter for name, parameter in model.named_parameters() if "classifier" not in name]
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": stage.rate}, {"params": head, "lr": stage.rate * config.head_rate}],
        weight_decay=config.weight_decay,
        fused=True,
    )
    per_epoch = math.ceil(len(corpus.rows.texts) / config.batch_rows)
    steps = stage.epochs * per_epoch

    def factor(step: int) -> float:
        rise = step / (config.warm_up * steps)
        return min(rise, (steps - step) / ((1 - config.warm_up) * steps)) + 0.01

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    done = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        done = state["done"]
    model.train()
    saved = time.monotonic()
    losses: list[float] = []
    for epoch in range(done // per_epoch, stage.epochs):
        source = random.Random(config.seed * 1000 + epoch)
        texts = [
            misread(text, config.misread_words, source, rude)
            if source.random() < config.misread_texts
            else text
            for text in corpus.rows.texts
        ]
        rows = tokenizer(texts, truncation=True, max_length=stage.max_tokens)["input_ids"]
        for number, batch in enumerate(batches(rows, config.batch_rows, source)):
            if epoch * per_epoch + number < done:
                continue
            pieces, mask = padded([rows[row] for row in batch])
            targets = torch.from_numpy(corpus.rows.scores[batch])  # (B, 6)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=pieces, attention_mask=mask).logits.float()
            errors = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
            soft = torch.logit(torch.from_numpy(corpus.soft[batch]), 1e-5)
            distance = torch.where(soft.isnan(), 0.0, logits - soft.nan_to_num())
            errors = errors + config.soft_weight * distance.square()  # (B, 6)
            loss = (errors * torch.tensor(stage.label_weights)).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_norm)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            done += 1
            losses.append(loss.item())
            if done % 50 == 0:
                now = time.strftime("%H:%M:%S")
                print(f"{now} {done}/{steps} loss {np.mean(losses[-50:]):.4f}", flush=True)
            if time.monotonic() - saved > config.save_seconds or done == steps:
                saved = time.monotonic()
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "done": done,
                }
                unfinished = checkpoint.with_suffix(".unfinished")
                torch.save(state, unfinished)
                unfinished.rename(checkpoint)
