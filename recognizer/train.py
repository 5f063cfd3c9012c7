"""Trains a recognizer from caches of drawn lines, and goes on from its last checkpoint.

    python -m recognizer.train --config v2 --run FOLDER --samples 400000 \\
        --lines CACHE [CACHE ...] --held-out CACHE

FOLDER gets `checkpoint.pt` every few minutes, `log.csv` and `log.png` with losses and character
error rates, and `model.safetensors`, which `Recognizer.load` reads.
"""

import argparse
import copy
import csv
import dataclasses
import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from recognizer import alphabet, checkpoint
from recognizer.curve import draw_curve
from recognizer.model import LineReader, ModelConfig
from recognizer.synthetic import DOMAINS

BUCKET = 64  # lines are padded to multiples of this many columns, here and when reading


@dataclass(frozen=True)
class TrainConfig:
    domain: str
    model: ModelConfig = field(default_factory=ModelConfig)
    learning_rate: float = 1.2e-3
    warmup_steps: int = 300
    final_learning_rate: float = 0.01  # share of the peak
    max_gradient_norm: float = 2.0
    weight_decay: float = 0.02
    batch_columns: int = 20_000
    # shares of the run: until when only lines up to a width, from when with the decoder
    short_lines: tuple[tuple[float, int], ...] = ((0.04, 192), (0.10, 320), (0.2, 512))
    decoder_from: float = 0.2
    decoder_weight: float = 0.7
    token_noise: float = 0.12
    label_smoothing: float = 0.03
    inverted: float = 0.03
    faint: float = 0.0  # share of lines that the decoder alone must write without seeing them
    ema_decay: float = 0.999
    noisy_batches: float = 0.3  # share of batches that get noise of a deviation in noise_range
    noise_range: tuple[float, float] = (0.01, 0.08)
    # the decoder alone: encoded batches that are kept, and the share of steps that encode a new one
    kept_batches: int = 48
    new_batches: float = 1 / 3


CONFIGS = {
    "v1": TrainConfig(
        "v1",
        batch_columns=14_000,
        short_lines=((0.1, 192), (0.25, 320), (0.7, 448)),
        decoder_from=0.3,
        token_noise=0.02,
        inverted=0.0,
        faint=0.2,
    ),
    "v2": TrainConfig("v2"),
    # for `stream`, from the weights of v2
    "v3": TrainConfig(
        "v3",
        model=ModelConfig(blocks=(1, 2, 3)),
        learning_rate=1e-3,
        warmup_steps=200,
        final_learning_rate=0.005,
        batch_columns=120_000,
        ema_decay=0.9985,
    ),
}


class Lines:
    """Caches of drawn lines, in memory only where they are looked at."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self.refresh()

    def refresh(self) -> None:
        """Take in what was drawn since."""
        self.pixels: list[NDArray[np.uint8]] = []
        self.tokens: list[list[int]] = []
        self.texts: list[str] = []
        self.families: list[str] = []
        place: list[tuple[int, int, int]] = []
        for number, folder in enumerate(self.folders):
            stored = folder / "pixels.u8"
            if not stored.exists() or not stored.stat().st_size:
                self.pixels.append(np.zeros((0, 40), np.uint8))
                continue
            height = json.loads((folder / "settings.json").read_text())["height"]
            columns = np.memmap(stored, np.uint8, "r")
            usable = len(columns) // height * height
            self.pixels.append(columns[:usable].reshape(-1, height))
            start = 0
            for line in (folder / "lines.jsonl").read_text().split("\n"):
                if not line.endswith("]"):
                    break
                width, text, family = json.loads(line)
                if (start + width) * height > usable:
                    break
                if width // 4 >= len(text):
                    place.append((number, start, width))
                    self.tokens.append(alphabet.encode(text))
                    self.texts.append(text)
                    self.families.append(family)
                start += width
        self.place = np.array(place)
        bucket = -(-self.place[:, 2] // BUCKET) * BUCKET
        self.buckets = {int(w): np.flatnonzero(bucket == w) for w in np.unique(bucket)}

    def batch(
        self, chosen: NDArray[np.int64], width: int, random: np.random.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels (B, 1, height, width) in 0..1, tokens (B, L) padded with PAD, lengths (B,)."""
        height = self.pixels[0].shape[1]
        pixels = np.zeros((len(chosen), width, height), np.uint8)
        for row, index in enumerate(chosen):
            folder, start, wide = self.place[index]
            line = self.pixels[folder][start : start + wide]
            if random is not None:
                line = vary(line, width, random)
            pixels[row, : len(line)] = line
        lengths = [len(self.tokens[index]) for index in chosen]
        tokens = torch.full((len(chosen), max(lengths)), alphabet.PAD)
        for row, index in enumerate(chosen):
            tokens[row, : lengths[row]] = torch.tensor(self.tokens[index])
        light = torch.from_numpy(pixels).transpose(1, 2)[:, None].float() / 255  # (B, 1, h, w)
        return light, tokens, torch.tensor(lengths)


def vary(line: NDArray[np.uint8], limit: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """The line (W, height) a little wider, narrower, higher, lower, fainter; so that a cached
    picture is never seen twice alike."""
    width = int(np.clip(len(line) * random.uniform(0.88, 1.12), 8, limit))
    columns = np.linspace(0, len(line) - 1, width)
    line = line[np.rint(columns).astype(int)]
    if random.random() < 0.6:
        line = np.roll(line, random.integers(-2, 3), axis=1)
    if random.random() < 0.5:
        table = (np.arange(256) / 255) ** random.uniform(0.6, 1.5) * random.uniform(150, 255)
        line = table.astype(np.uint8)[line]
    return line


def batches(
    lines: Lines, config: TrainConfig, seed: int, progress: list[float]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless batches; `progress[0]` tells how far the run is."""
    random = np.random.default_rng(seed)
    refreshed = time.monotonic()
    while True:
        if time.monotonic() - refreshed > 240:
            lines.refresh()
            refreshed = time.monotonic()
        limit = next((w for until, w in config.short_lines if progress[0] < until), 10_000)
        widths = [w for w in lines.buckets if w <= limit] or [min(lines.buckets)]
        weights = np.array([len(lines.buckets[w]) * w**0.5 for w in widths])
        width = int(random.choice(widths, p=weights / weights.sum()))
        size = max(8, min(256, config.batch_columns // width))
        chosen = random.choice(lines.buckets[width], size)
        pixels, tokens, lengths = lines.batch(chosen, width, random)
        if random.random() < config.noisy_batches:
            pixels += torch.randn_like(pixels) * float(random.uniform(*config.noise_range))
        if config.inverted:
            flip = torch.from_numpy(random.random(len(chosen)) < config.inverted)
            pixels = torch.where(flip[:, None, None, None], 1 - pixels, pixels)
        yield pixels, tokens, lengths


def ahead(source: Iterator[tuple[Tensor, Tensor, Tensor]]) -> Iterator[tuple[Tensor, ...]]:
    """The same, prepared by another thread while the network learns."""
    ready: queue.Queue[tuple[Tensor, ...]] = queue.Queue(4)

    def fill() -> None:
        for item in source:
            ready.put(item)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        yield ready.get()


def column_loss(
    model: LineReader, pixels: Tensor, tokens: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """The encoder's columns (B, T, C) and the CTC loss per character."""
    with torch.autocast(pixels.device.type, torch.bfloat16):
        columns = model.encoder(pixels.contiguous(memory_format=torch.channels_last))
        read = model.encoder.ctc(columns)  # (B, T, V)
    loss = functional.ctc_loss(
        read.float().log_softmax(-1).transpose(0, 1),
        tokens,
        torch.full((len(tokens),), columns.shape[1]),
        lengths,
        blank=alphabet.BLANK,
        reduction="sum",
        zero_infinity=True,
    )
    return columns, loss / lengths.sum()


def text_loss(
    model: LineReader, columns: Tensor, tokens: Tensor, lengths: Tensor, config: TrainConfig
) -> Tensor:
    """The decoder's cross-entropy per character; some of what it is given is wrong on purpose."""
    ends = torch.full((len(tokens), 1), alphabet.PAD, device=tokens.device)
    target = torch.cat([tokens, ends], dim=1)  # (B, L + 1)
    target[torch.arange(len(tokens)), lengths.to(tokens.device)] = alphabet.END
    noisy = torch.where(
        torch.rand(tokens.shape, device=tokens.device) < config.token_noise,
        torch.randint_like(tokens, 4, alphabet.SIZE),
        tokens,
    )
    given = torch.cat([torch.full_like(ends, alphabet.START), noisy], dim=1)  # (B, L + 1)
    with torch.autocast(tokens.device.type, torch.bfloat16):
        written = model.decoder(given, model.decoder.start(columns))  # (B, L + 1, V)
    return functional.cross_entropy(
        written.float().flatten(0, 1),
        target.flatten(),
        ignore_index=alphabet.PAD,
        label_smoothing=config.label_smoothing,
    )


def faded(pixels: Tensor, share: float) -> Tensor:
    """Pixels (B, 1, h, W) of which some lines are too faint to be read: there the decoder learns
    what is written most."""
    faint = torch.rand(len(pixels)) < share
    factor = torch.where(faint, 0.1 * torch.rand(len(pixels)), torch.ones(len(pixels)))
    return pixels * factor[:, None, None, None]


def losses(
    model: LineReader, batch: tuple[Tensor, ...], config: TrainConfig, with_decoder: bool
) -> tuple[Tensor, Tensor]:
    """CTC loss per character and the decoder's cross-entropy per character (0 without it)."""
    device = next(model.parameters()).device
    pixels, tokens, lengths = batch[0].to(device), batch[1].to(device), batch[2]
    columns, ctc = column_loss(model, pixels, tokens, lengths)
    if not with_decoder:
        return ctc, torch.zeros(())
    return ctc, text_loss(model, columns, tokens, lengths, config)


def read_columns(logits: Tensor) -> list[list[int]]:
    """Tokens of the best CTC path of each line, from logits (B, T, V)."""
    best = logits.argmax(dim=-1).tolist()
    return [
        [t for t, before in zip(row, [-1, *row], strict=False) if t != before and t >= 4]
        for row in best
    ]


@torch.inference_mode()
def error_rates(model: LineReader, lines: Lines, count: int, written: bool) -> tuple[float, float]:
    """Character error rates of the CTC head and of the decoder over the first `count` lines; the
    model must be in evaluation mode."""
    device = next(model.parameters()).device
    read_errors = written_errors = characters = 0
    for width, members in lines.buckets.items():
        chosen = members[members < count]
        for first in range(0, len(chosen), 64):
            part = chosen[first : first + 64]
            pixels, _, _ = lines.batch(part, width, None)
            with torch.autocast(device.type, torch.bfloat16):
                columns = model.encoder(pixels.to(device))
                logits = model.encoder.ctc(columns)
                texts = model.decode(columns, 90)[0].tolist() if written else []
            truth = [lines.texts[index] for index in part]
            read = [alphabet.decode(row) for row in read_columns(logits)]
            read_errors += sum(map(Levenshtein.distance, read, truth))
            written_errors += sum(map(Levenshtein.distance, map(alphabet.decode, texts), truth))
            characters += sum(map(len, truth))
    return read_errors / characters, written_errors / characters if written else float("nan")


@dataclass
class Run:
    """All that a checkpoint keeps."""

    model: LineReader
    ema: LineReader
    optimizer: torch.optim.AdamW
    step: int = 0
    lines: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "lines": self.lines,
            "seconds": self.seconds,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.lines, self.seconds = state["step"], state["lines"], state["seconds"]

    def learn(self, loss: Tensor, config: TrainConfig, progress: float) -> None:
        """One step of the optimizer, then of the moving average of the weights."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(config, self.step, progress)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.max_gradient_norm)
        self.optimizer.step()
        self.update_ema(config.ema_decay)
        self.step += 1

    def update_ema(self, decay: float) -> None:
        decay = min(decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            own = self.ema.state_dict()
            for name, tensor in self.model.state_dict().items():
                if tensor.is_floating_point():
                    own[name].lerp_(tensor, 1 - decay)


def learning_rate_at(config: TrainConfig, step: int, progress: float) -> float:
    """Linear warm-up, then half a cosine down to `final_learning_rate` of the peak."""
    floor, warmup = config.final_learning_rate, min(1.0, (step + 1) / config.warmup_steps)
    cosine = 0.5 * (1 + np.cos(np.pi * min(1.0, progress)))
    return float(config.learning_rate * warmup * (floor + (1 - floor) * cosine))


def export(run: Run, config: TrainConfig, name: str, path: Path) -> None:
    release = checkpoint.Release(
        name,
        config.model,
        DOMAINS[config.domain].preparation,
        "greedy" if config.domain == "v1" else "rescored",
    )
    checkpoint.save(path, release, run.ema.state_dict())


class Report:
    """Every few minutes: a row of the log, its picture, a checkpoint, and the model as it is."""

    def __init__(self, run: Run, config: TrainConfig, name: str, folder: Path, test: Lines) -> None:
        self.run, self.config, self.name, self.folder, self.test = run, config, name, folder, test
        self.log = folder / "log.csv"
        if not self.log.exists():
            self.log.write_text("step,minutes,lines,ctc_loss,decoder_loss,ctc_cer,decoder_cer\n")
        self.sums, self.count, self.last = np.zeros(2), 0, time.monotonic()

    def add(self, ctc: float, entropy: float) -> None:
        self.sums += ctc, entropy
        self.count += 1

    def due(self, minutes: float) -> bool:
        return time.monotonic() - self.last > 60 * minutes

    def write(self, checkpoint_name: str, written: bool = True) -> None:
        run = self.run
        rates = error_rates(run.ema, self.test, 400, written)
        row = [run.step, round(run.seconds / 60, 2), run.lines]
        row += [*(self.sums / max(1, self.count)).round(4), *np.round(rates, 4)]
        with self.log.open("a") as file:
            csv.writer(file).writerow(row)
        tqdm.write(str(row))
        draw_curve(self.log, self.folder / "log.png")
        run.save(self.folder / checkpoint_name)
        export(run, self.config, self.name, self.folder / "model.safetensors")
        self.sums, self.count, self.last = np.zeros(2), 0, time.monotonic()


def train(
    name: str, folder: Path, caches: list[Path], held_out: Path, samples: int, seed: int,
    device: str, every: float, learning_rate: float | None,
) -> None:  # fmt: skip
    """Encoder and decoder together, from `checkpoint.pt` if there is one, to `samples` lines."""
    config = dataclasses.replace(
        CONFIGS[name], learning_rate=learning_rate or CONFIGS[name].learning_rate
    )
    run = begin(config, folder, seed, device)
    if (folder / "checkpoint.pt").exists():
        run.load(folder / "checkpoint.pt")
    report = Report(run, config, name, folder, Lines([held_out]))
    progress = [run.lines / samples]
    bar = tqdm(initial=round(progress[0] * 1000), total=1000, desc=name, unit="‰", mininterval=20)
    for batch in ahead(batches(Lines(caches), config, seed + run.step, progress)):
        began = time.monotonic()
        with_decoder = progress[0] >= config.decoder_from
        ctc, entropy = losses(run.model, batch, config, with_decoder)
        run.learn(ctc + config.decoder_weight * entropy, config, progress[0])
        run.lines += len(batch[0])
        run.seconds += time.monotonic() - began
        progress[0] = run.lines / samples
        report.add(ctc.item(), entropy.item())
        bar.update(round(progress[0] * 1000) - bar.n)
        if report.due(every) or progress[0] >= 1:
            report.write("checkpoint.pt", with_decoder)
        if progress[0] >= 1:
            break
    bar.close()


def train_decoder(
    name: str, folder: Path, caches: list[Path], held_out: Path, samples: int, seed: int,
    device: str, every: float, learning_rate: float | None,
) -> None:  # fmt: skip
    """The decoder alone on the columns of a trained encoder, for `samples` more lines. Every
    encoded batch is used three times, so a line costs a third of what it costs together.
    """
    config = dataclasses.replace(
        CONFIGS[name], learning_rate=learning_rate or CONFIGS[name].learning_rate
    )
    run = begin(config, folder, seed, device)
    decoder = torch.optim.AdamW(run.model.decoder.parameters(), config.learning_rate, fused=True)
    if (folder / "decoder.pt").exists():
        run.optimizer = decoder
        run.load(folder / "decoder.pt")
    else:
        run.load(folder / "checkpoint.pt")
        run.model.load_state_dict(run.ema.state_dict())
        run.optimizer = decoder
        run.step, run.lines, run.seconds = 0, 0, 0.0
    for parameter in run.model.encoder.parameters():
        parameter.requires_grad_(False)
    run.model.encoder.eval()
    report = Report(run, config, name, folder, Lines([held_out]))
    random, pool = np.random.default_rng(seed + run.step), list[tuple[Tensor, ...]]()
    source = ahead(batches(Lines(caches), config, seed + 1000 + run.step, [1.0]))
    bar = tqdm(initial=run.lines, total=samples, desc=f"{name} decoder", mininterval=20)
    while run.lines < samples:
        began = time.monotonic()
        if len(pool) < config.kept_batches or random.random() < config.new_batches:
            pixels, tokens, lengths = next(source)
            with torch.no_grad(), torch.autocast(device, torch.bfloat16):
                columns = run.model.encoder(faded(pixels, config.faint).to(device))
            pool.append((columns, tokens.to(device), lengths))
        columns, tokens, lengths = pool[random.integers(len(pool))]
        if len(pool) > config.kept_batches:
            pool.pop(int(random.integers(len(pool))))
        entropy = text_loss(run.model, columns, tokens, lengths, config)
        run.learn(entropy, config, run.lines / samples)
        run.lines += len(tokens)
        run.seconds += time.monotonic() - began
        report.add(0.0, entropy.item())
        bar.update(run.lines - bar.n)
        if report.due(every):
            report.write("decoder.pt")
    report.write("decoder.pt")
    bar.close()


def begin(config: TrainConfig, folder: Path, seed: int, device: str) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = LineReader(config.model).to(device)
    model.encoder.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    return Run(model, copy.deepcopy(model).eval(), optimizer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="v2")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--lines", type=Path, nargs="+", required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=400_000, help="lines to learn from in all")
    parser.add_argument("--every", type=float, default=4, help="minutes between checkpoints")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--learning-rate", type=float, help="another peak learning rate")
    parser.add_argument(
        "--decoder-only", action="store_true", help="after a run: its decoder, on its encoder"
    )
    a = parser.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    (train_decoder if a.decoder_only else train)(
        a.config, a.run, a.lines, a.held_out, a.samples, a.seed, a.device, a.every, a.learning_rate
    )  # fmt: skip


if __name__ == "__main__":
    main()
