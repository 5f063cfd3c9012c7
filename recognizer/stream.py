"""Trains a recognizer on an accelerator from lines that other processes draw while it learns.

    python -m recognizer.stream --config v3 --run FOLDER --data FOLDER --fonts FOLDER \\
        --start v2 --minutes 8 --processes 14

For machines with one large accelerator, on which drawing is the bottleneck: every drawn line stays
in the accelerator's memory and is seen several times, each time varied (`augment`). FOLDER gets
`model.safetensors` and `log.csv` every minute, as `recognizer.train` writes them.
"""

import argparse
import copy
import dataclasses
import multiprocessing
import queue
import threading
import time
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn

from recognizer import alphabet, checkpoint, synthetic
from recognizer.augment import Variation, vary
from recognizer.model import LineReader, Residual
from recognizer.train import (
    BUCKET,
    CONFIGS,
    Run,
    TrainConfig,
    column_loss,
    export,
    learning_rate_at,
    read_columns,
    text_loss,
)

CHUNK = 100  # lines that a process draws at a time
LONGEST = 71  # characters of a drawn line

Chunk = tuple[bytes, list[tuple[int, str, str]]]


class Lines:
    """Drawn lines on a device, the columns of all of them one after the other."""

    def __init__(self, height: int, columns: int, device: str) -> None:
        self.pixels = torch.zeros(columns, height, dtype=torch.uint8, device=device)
        self.used = 0
        self.starts: list[int] = []
        self.widths: list[int] = []
        self.tokens: list[list[int]] = []
        self.buckets: dict[int, list[int]] = {}

    def add(self, chunk: Chunk) -> None:
        """Takes lines in until there is no more room; lines too short for their text are left."""
        stored, rows = chunk
        drawn = torch.frombuffer(bytearray(stored), dtype=torch.uint8)
        drawn = drawn.view(-1, self.pixels.shape[1])
        if self.used + len(drawn) > len(self.pixels):
            return
        self.pixels[self.used : self.used + len(drawn)] = drawn.to(self.pixels.device)
        for width, text, _ in rows:
            if width // 4 >= len(text) and len(text) <= LONGEST:
                bucket = -(-width // BUCKET) * BUCKET
                self.buckets.setdefault(bucket, []).append(len(self.starts))
                self.starts.append(self.used)
                self.widths.append(width)
                self.tokens.append(alphabet.encode(text))
            self.used += width

    def batch(self, chosen: list[int], width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pixels (B, 1, height, width) in 0..1, their widths (B,), tokens (B, L) padded with PAD,
        and lengths (B,), which stay with the processor."""
        device = self.pixels.device
        lengths = [len(self.tokens[line]) for line in chosen]
        tokens = np.full((len(chosen), max(lengths)), alphabet.PAD)
        for row, line in enumerate(chosen):
            tokens[row, : lengths[row]] = self.tokens[line]
        place = torch.tensor([[self.starts[line], self.widths[line]] for line in chosen])
        starts, widths = place.to(device, non_blocking=True).unbind(1)
        columns = torch.arange(width, device=device)[None]
        at = (starts[:, None] + columns).clamp(max=len(self.pixels) - 1)  # (B, W)
        light = self.pixels[at].float() * ((columns < widths[:, None]) / 255)[..., None]
        moved = torch.from_numpy(tokens).to(device, non_blocking=True)
        return light.transpose(1, 2)[:, None], widths, moved, torch.tensor(lengths)

    def pick(self, random: np.random.Generator, columns: int) -> tuple[list[int], int]:
        """Lines of about one width, all lines equally often, of so many columns together."""
        widths = list(self.buckets)
        weights = np.array([len(self.buckets[width]) * width for width in widths], float)
        width = int(random.choice(widths, p=weights / weights.sum()))
        members = self.buckets[width]
        count = max(1, min(columns // width, len(members)))
        return [members[i] for i in random.integers(len(members), size=count)], width


def drawn(pool: Pool, seed: int, waiting: int) -> Iterator[list[Chunk]]:
    """What was drawn since the last look, endlessly, while at most `waiting` chunks lie ready."""
    ready: queue.Queue[Chunk] = queue.Queue(waiting)

    def fill() -> None:
        jobs = ((seed, first, first + CHUNK) for first in range(0, 10**9, CHUNK))
        for chunk in pool.imap_unordered(synthetic.prepare, jobs):
            ready.put(chunk)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        chunks = list[Chunk]()
        while not ready.empty() and len(chunks) < waiting:
            chunks.append(ready.get())
        yield chunks


def start_from(model: LineReader, path: Path) -> None:
    """Weights of a smaller network of the same plan; the blocks that it lacks begin by changing
    nothing."""
    small, _ = checkpoint.load(path)
    model.decoder.load_state_dict(small.decoder.state_dict())
    state = {
        name: value
        for name, value in small.encoder.state_dict().items()
        if not name.startswith("convolutions")
    }
    model.encoder.load_state_dict(state, strict=False)
    theirs = list(small.encoder.convolutions)
    for layer in model.encoder.convolutions:
        if theirs and type(theirs[0]) is type(layer) and _alike(layer, theirs[0]):
            layer.load_state_dict(theirs.pop(0).state_dict())
        else:
            assert isinstance(layer, Residual)
            nn.init.zeros_(layer.norm.weight)
    assert not theirs, "not a smaller network of the same plan"


def _alike(one: nn.Module, other: nn.Module) -> bool:
    shapes = ([p.shape for p in module.parameters()] for module in (one, other))
    return next(shapes) == next(shapes)


def learn(run: Run, loss: Tensor, config: TrainConfig, progress: float) -> None:
    """One step, without waiting for the device; a step whose gradient is no number is left out."""
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate_at(config, run.step, progress)
    run.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), config.max_gradient_norm)
    run.optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
    run.optimizer.step()
    decay = min(config.ema_decay, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        pairs = zip(run.ema.state_dict().values(), run.model.state_dict().values(), strict=True)
        floats = [(own, new) for own, new in pairs if own.is_floating_point()]
        torch._foreach_lerp_([own for own, _ in floats], [new for _, new in floats], 1 - decay)
    run.step += 1


@torch.inference_mode()
def column_error_rate(model: LineReader, lines: Lines, columns: int) -> float:
    """Character error rate of the best CTC paths over all lines."""
    errors = characters = 0
    for width, members in lines.buckets.items():
        size = max(1, columns // width)
        for first in range(0, len(members), size):
            part = members[first : first + size]
            pixels, _, _, _ = lines.batch(part, width)
            with torch.autocast(pixels.device.type, torch.bfloat16):
                read = read_columns(model.encoder.ctc(model.encoder(pixels)))
            errors += sum(
                Levenshtein.distance(r, lines.tokens[i]) for r, i in zip(read, part, strict=True)
            )
            characters += sum(len(lines.tokens[i]) for i in part)
    return errors / max(1, characters)


def begin(config: TrainConfig, start: Path | None, seed: int, device: str) -> Run:
    torch.manual_seed(seed)
    model = LineReader(config.model)
    if start is not None:
        start_from(model, start)
    model = model.to(device)
    model.encoder.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    return Run(model, copy.deepcopy(model).eval(), optimizer)


@dataclasses.dataclass
class Settings:
    name: str
    folder: Path
    data: Path
    fonts: Path
    start: Path | None
    minutes: float
    processes: int
    first: int
    memory: int
    seed: int
    device: str
    batch_columns: int | None = None
    variation: Variation = dataclasses.field(default_factory=Variation)


def train(settings: Settings) -> None:
    """Draws and learns until the time is over; the learning rate falls with the time."""
    config, device = CONFIGS[settings.name], settings.device
    columns = settings.batch_columns or config.batch_columns
    config = dataclasses.replace(config, batch_columns=columns)
    height = config.model.height
    settings.folder.mkdir(parents=True, exist_ok=True)
    log = settings.folder / "log.csv"
    log.write_text("step,seconds,drawn,seen,ctc_loss,decoder_loss,ctc_cer\n")
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    place = (settings.data, settings.fonts, config.domain)
    with context.Pool(max(1, settings.processes // 4), synthetic.start, (*place, True)) as held:
        jobs = [(99, first, first + CHUNK) for first in range(0, settings.first // 10, CHUNK)]
        test_chunks = held.map_async(synthetic.prepare, jobs)
        with context.Pool(settings.processes, synthetic.start, (*place, False)) as pool:
            source = drawn(pool, settings.seed, 64)
            lines = Lines(height, settings.memory // height, device)
            test = Lines(height, 512 * max(CHUNK, settings.first // 10), device)
            run = begin(config, settings.start, settings.seed, device)
            while len(lines.starts) < settings.first:
                for chunk in next(source):
                    lines.add(chunk)
                time.sleep(0.05)
            for chunk in test_chunks.get():
                test.add(chunk)
            held.terminate()
            print(f"{len(lines.starts)} lines after {time.monotonic() - began:.0f} s", flush=True)
            _learn(settings, config, run, lines, test, source, began, log)


def _learn(
    settings: Settings, config: TrainConfig, run: Run, lines: Lines, test: Lines,
    source: Iterator[list[Chunk]], began: float, log: Path,
) -> None:  # fmt: skip
    random = np.random.default_rng(settings.seed)
    sums, count, reported = torch.zeros(2, device=settings.device), 0, time.monotonic()
    from_start, over = time.monotonic() - began, 60 * settings.minutes
    progress = 0.0
    while progress < 1:
        for chunk in next(source):
            lines.add(chunk)
        chosen, width = lines.pick(random, config.batch_columns)
        # with room to be stretched and slanted
        pixels, widths, tokens, lengths = lines.batch(chosen, width + BUCKET)
        pixels = vary(pixels, widths, settings.variation)
        columns, ctc = column_loss(run.model, pixels, tokens, lengths)
        entropy = text_loss(run.model, columns, tokens, lengths, config)
        learn(run, ctc + config.decoder_weight * entropy, config, progress)
        sums += torch.stack([ctc.detach(), entropy.detach()])
        count, run.lines = count + 1, run.lines + len(chosen)
        if run.step % 20 == 0:
            sums.sum().item()  # do not run ahead of the device
        seconds = time.monotonic() - began
        progress = (seconds - from_start) / (over - from_start)
        if time.monotonic() - reported > 60 or progress >= 1:
            rate = column_error_rate(run.ema, test, config.batch_columns)
            losses = (sums / count).tolist()
            row = [run.step, round(seconds), len(lines.starts), run.lines]
            text = ",".join(map(str, [*row, *(round(x, 4) for x in losses), round(rate, 4)]))
            print(text, flush=True)
            with log.open("a") as file:
                file.write(text + "\n")
            export(run, config, settings.name, settings.folder / "model.safetensors")
            sums.zero_()
            count, reported = 0, time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="v3")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="texts/, textures/, emnist/")
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--start", help="a model to go on from: a name or a .safetensors file")
    parser.add_argument("--minutes", type=float, default=8, help="from the start of the program")
    parser.add_argument("--processes", type=int, default=14, help="that draw")
    parser.add_argument("--first", type=int, default=10_000, help="lines drawn before it learns")
    parser.add_argument("--memory", type=int, default=40 * 10**9, help="bytes for drawn lines")
    parser.add_argument("--batch-columns", type=int, help="another size of a batch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    start = Path(a.start) if a.start else None
    if start is not None and not start.suffix:
        start = checkpoint.WEIGHTS / f"{a.start}.safetensors"
    train(
        Settings(
            a.config, a.run, a.data, a.fonts, start, a.minutes, a.processes, a.first, a.memory,
            a.seed, a.device, a.batch_columns,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
