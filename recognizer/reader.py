"""The recognizer's public face: load a model, read pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from recognizer import alphabet, checkpoint
from recognizer.decoding import read_greedy, read_rescored
from recognizer.lines import Box, split_lines
from recognizer.preprocessing import Pixels, line_pieces, to_gray

BUCKET = 64  # lines are padded to multiples of this many columns, so that company changes nothing
BATCH_COLUMNS = 16_384
STAGED_SIZE = (640, 576)

Picture = Image.Image | str | Path


@dataclass(frozen=True)
class Reading:
    """What is written in a picture.

    `character_confidences` holds one probability per character of `text` (line breaks, and the
    spaces at which a long line was cut, count as sure); `confidence` is their geometric mean over
    the characters that were read. Both are empty or None where the model tells no probabilities.
    `boxes` are where the lines are in the pixels of the picture as it was given, upright by EXIF.
    """

    text: str
    confidence: float | None
    character_confidences: tuple[float, ...]
    boxes: tuple[Box, ...] = ()


class Reader(Protocol):
    name: str

    def read_many(self, images: Sequence[Picture]) -> list[Reading]: ...


def _open(image: Picture) -> Image.Image:
    return image if isinstance(image, Image.Image) else Image.open(image)


class Recognizer:
    """Reads pictures of one line or paragraph.

    >>> recognizer = Recognizer.load("v2")
    >>> recognizer.read("letter.jpg").text
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @classmethod
    def load(cls, model: str | Path = "v2", device: str = "cpu") -> "Recognizer":
        """A model by name (`v1`, `v2`, `v3`), from a `.safetensors` file of `recognizer.train`, or
        from a TorchScript file that carries `mapping` and `ignore_tokens`, as the reference course
        stages it. FileNotFoundError where there is none.
        """
        path = Path(model)
        if not path.suffix:
            path = checkpoint.WEIGHTS / f"{model}.safetensors"
        if not path.exists():
            raise FileNotFoundError(f"no recognizer at {path}")
        if path.suffix == ".safetensors":
            return cls(LineByLine(path, device))
        return cls(Staged(path, device))

    @property
    def version(self) -> str:
        return self._reader.name

    def read(self, image: Picture) -> Reading:
        return self._reader.read_many([image])[0]

    def read_many(self, images: Sequence[Picture]) -> list[Reading]:
        """The same as reading each, faster: lines of all pictures share batches."""
        return self._reader.read_many(images)


class LineByLine:
    """Our own network."""

    def __init__(self, path: Path, device: str) -> None:
        self.device = device
        self.model, self.release = checkpoint.load(path, device)
        self.name = self.release.name

    def read_many(self, images: Sequence[Picture]) -> list[Reading]:
        pieces: list[Pixels] = []
        owners: list[list[tuple[Box, list[int]]]] = []
        for image in images:
            own = []
            opened = _open(image)
            gray = to_gray(opened)
            scale = max(opened.size) / max(gray.shape)
            for line in split_lines(gray, self.release.preparation.columns):
                cut = line_pieces(line.gray, self.release.preparation)
                box = line.box.scaled(scale)
                own.append((box, list(range(len(pieces), len(pieces) + len(cut)))))
                pieces.extend(cut)
            owners.append(own)
        read = self._read_pieces(pieces)
        return [_join([(box, [read[i] for i in own]) for box, own in lines]) for lines in owners]

    def _read_pieces(self, pieces: list[Pixels]) -> list[tuple[str, list[float]]]:
        read: list[tuple[str, list[float]]] = [("", [])] * len(pieces)
        by_width: dict[int, list[int]] = {}
        for index, piece in enumerate(pieces):
            by_width.setdefault(-(-piece.shape[1] // BUCKET) * BUCKET, []).append(index)
        for width, members in by_width.items():
            size = max(1, BATCH_COLUMNS // width)
            for first in range(0, len(members), size):
                part = members[first : first + size]
                for index, line in zip(part, self._read_batch(pieces, part, width), strict=True):
                    read[index] = line
        return read

    @torch.inference_mode()
    def _read_batch(
        self, pieces: list[Pixels], part: list[int], width: int
    ) -> list[tuple[str, list[float]]]:
        stacked = np.zeros((len(part), 1, self.release.preparation.height, width), np.float32)
        for row, index in enumerate(part):
            stacked[row, 0, :, : pieces[index].shape[1]] = pieces[index] / np.float32(255)
        columns = self.model.encoder(torch.from_numpy(stacked).to(self.device))
        choose = read_rescored if self.release.decoding == "rescored" else read_greedy
        return [(alphabet.decode(tokens), sure) for tokens, sure in choose(self.model, columns)]


def _join(lines: list[tuple[Box, list[tuple[str, list[float]]]]]) -> Reading:
    """One reading from the lines of a picture, each of one or more pieces."""
    text, sure, kept = "", list[float](), []
    for box, pieces in lines:
        pieces = [(piece, confidences) for piece, confidences in pieces if piece.strip()]
        if not pieces:
            continue
        for number, (piece, confidences) in enumerate(pieces):
            if text:
                text += "\n" if number == 0 else " "
                sure.append(1.0)
            text += piece
            sure.extend(confidences)
        kept.append(box)
    logs = [math.log(max(value, 1e-9)) for value in sure]
    confidence = math.exp(sum(logs) / len(logs)) if logs else 0.0
    return Reading(text, confidence, tuple(sure), tuple(kept))


class Staged:
    """A TorchScript module: a paragraph (1, 1, 576, 640) of light ink on dark in, tokens out."""

    def __init__(self, path: Path, device: str) -> None:
        self.device = device
        self.name = path.stem
        self.module: Any = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
        self.mapping = list(self.module.mapping)
        self.ignored = {int(token) for token in self.module.ignore_tokens}

    @torch.inference_mode()
    def read_many(self, images: Sequence[Picture]) -> list[Reading]:
        return [self._read(to_gray(_open(image))) for image in images]

    def _read(self, gray: np.ndarray[Any, np.dtype[np.float32]]) -> Reading:
        picture = Image.fromarray(gray.astype(np.uint8))
        width, height = STAGED_SIZE
        canvas = Image.new("L", STAGED_SIZE)
        canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
        pixels = torch.from_numpy(np.asarray(canvas, np.float32) / 255)[None, None]
        tokens = self.module(pixels.to(self.device))[0].flatten().tolist()
        kept = [self.mapping[int(token)] for token in tokens if int(token) not in self.ignored]
        return Reading("".join(kept), None, ())
