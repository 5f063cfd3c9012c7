"""Weights and what belongs to them in one safetensors file; nothing in it is code."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from recognizer.model import LineReader, ModelConfig
from recognizer.preprocessing import Preparation

RENAMED = {"width": "d_model", "tokens": "vocab_size"}  # settings of files written before
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Release:
    """What a trained model is: its network, its preprocessing, and how its text is chosen."""

    name: str
    model: ModelConfig
    preparation: Preparation
    decoding: Literal["greedy", "rescored"]


def save(path: Path, release: Release, state: dict[str, torch.Tensor]) -> None:
    """Weights as half-precision numbers, which halves the file and costs no accuracy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(half, path, metadata={"release": json.dumps(asdict(release))})


def load(path: Path, device: str = "cpu") -> tuple[LineReader, Release]:
    """The network, ready to read, and what it is."""
    with safe_open(path, framework="pt") as stored:
        described = json.loads(stored.metadata()["release"])
        state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    settings = {RENAMED.get(name, name): value for name, value in described["model"].items()}
    for name in ("stem", "blocks"):
        if name in settings:
            settings[name] = tuple(settings[name])
    config = ModelConfig(**settings)
    release = Release(
        described["name"], config, Preparation(**described["preparation"]), described["decoding"]
    )
    model = LineReader(config)
    own = model.state_dict()
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    if missing := own.keys() - state.keys() - counters:
        raise ValueError(f"{path} lacks {len(missing)} tensors, {min(missing)} among them")
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)
    return model.eval().to(device), release
