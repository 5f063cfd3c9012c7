"""The whole network: pixels of a line in, tokens of its text out.

A convolutional encoder with a recurrent layer on top looks at the line; a small transformer
writes the text one character at a time while it attends to what the encoder saw. A linear head
on the encoder reads the same columns by connectionist temporal classification (CTC; Graves et
al. 2006): it teaches the encoder much faster than the decoder does, and helps to rank readings.

Shapes: B lines, T columns of the encoder, L tokens, C channels, H heads, D = C / H, V tokens in
all.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from recognizer import alphabet


@dataclass(frozen=True)
class ModelConfig:
    height: int = 40
    stem: tuple[int, ...] = (32, 64, 96, 160)
    blocks: tuple[int, ...] = (1, 1, 1)  # residual blocks of each width but the first
    d_model: int = 256
    recurrent_layers: int = 2
    decoder_layers: int = 3
    heads: int = 4
    dropout: float = 0.1
    max_length: int = 128
    vocab_size: int = alphabet.SIZE


@dataclass
class Cache:
    """Keys and values (B, H, positions, D) of one line batch, per layer: of the text so far, which
    grow in place, and of the encoder's columns, which are computed once.
    """

    text_keys: list[Tensor] = field(default_factory=list)
    text_values: list[Tensor] = field(default_factory=list)
    image_keys: list[Tensor] = field(default_factory=list)
    image_values: list[Tensor] = field(default_factory=list)


class Convolution(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.norm(self.second(self.first(x)))  # (B, C, H, W)
        return functional.relu(x, inplace=True)


class Encoder(nn.Module):
    """Pixels (B, 1, height, width) to columns (B, T = width / 4, C)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        a, b, c, d = config.stem
        self.convolutions = nn.Sequential(
            Convolution(1, a, stride=(2, 2)),  # (B, a, 20, W/2)
            Convolution(a, b, stride=(2, 2)),  # (B, b, 10, W/4)
            *(Residual(b) for _ in range(config.blocks[0])),
            Convolution(b, c),
            *(Residual(c) for _ in range(config.blocks[1])),
            Convolution(c, d, stride=(2, 1)),  # (B, d, 5, W/4)
            *(Residual(d) for _ in range(config.blocks[2])),
        )
        rows = config.height // 8
        self.collapse = nn.Linear(d * rows, config.d_model)
        self.collapse_norm = nn.LayerNorm(config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = nn.LSTM(
            config.d_model,
            config.d_model // 2,
            config.recurrent_layers,
            batch_first=True,
            bidirectional=True,
        )
        self.norm = nn.LayerNorm(config.d_model)
        self.read = nn.Linear(config.d_model, config.vocab_size)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.convolutions(pixels)  # (B, d, 5, T)
        x = x.permute(0, 3, 1, 2).flatten(2)  # (B, T, 5 d)
        x = functional.relu(self.collapse_norm(self.collapse(x)))  # (B, T, C)
        x = self.dropout(x)
        x = x + self.recurrent(x)[0]  # (B, T, C)
        columns: Tensor = self.norm(x)
        return columns

    def ctc(self, columns: Tensor) -> Tensor:
        """Logits (B, T, V) of the token at each column, BLANK between."""
        logits: Tensor = self.read(columns)
        return logits


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.d_model, config.d_model)
        self.key_value = nn.Linear(config.d_model, 2 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)

    def split(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        x = x.view(batch, length, self.heads, width // self.heads)  # (B, L, H, D)
        return x.transpose(1, 2)  # (B, H, L, D)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.key_value(x).chunk(2, dim=-1)  # (B, L, C) each
        return self.split(keys), self.split(values)

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        y = functional.scaled_dot_product_attention(
            self.split(self.query(x)), keys, values, attn_mask=mask
        )  # (B, H, L, D)
        mixed: Tensor = self.out(y.transpose(1, 2).flatten(2))  # (B, L, C)
        return mixed


class DecoderLayer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.text_norm = nn.LayerNorm(config.d_model)
        self.text = Attention(config)
        self.image_norm = nn.LayerNorm(config.d_model)
        self.image = Attention(config)
        self.feed = nn.Sequential(
            nn.LayerNorm(config.d_model),
            nn.Linear(config.d_model, 4 * config.d_model),
            nn.GELU(),
            nn.Linear(4 * config.d_model, config.d_model),
            nn.Dropout(config.dropout),
        )


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width) positions as in Vaswani et al. 2017."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))  # (C/2,)
    angles = torch.arange(length)[:, None] * rates  # (L, C/2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)  # (L, C)


class Decoder(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(config.vocab_size, config.d_model)
        self.position = nn.Embedding(config.max_length, config.d_model)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.d_model)
        self.write = nn.Linear(config.d_model, config.vocab_size)
        self.dropout = nn.Dropout(config.dropout)
        self.d_model = config.d_model

    def start(self, columns: Tensor) -> Cache:
        """An empty text and the keys and values of the columns (B, T, C)."""
        places = sinusoids(columns.shape[1], self.d_model).to(columns)  # (T, C)
        cache = Cache()
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            keys, values = layer.image.keys_values(columns + places)  # (B, H, T, D) each
            cache.image_keys.append(keys)
            cache.image_values.append(values)
        return cache

    def forward(
        self, tokens: Tensor, cache: Cache, start: int = 0, padding: Tensor | None = None
    ) -> Tensor:
        """Logits (B, L, V) of what follows each of the tokens (B, L), which stand at positions
        start and on. The cache must hold the text before `start`, and then holds these, too.
        `padding` (B, T) is true at columns to attend to.
        """
        length = tokens.shape[1]
        positions = torch.arange(start, start + length, device=tokens.device)  # (L,)
        x = self.dropout(self.embed(tokens) + self.position(positions))  # (B, L, C)
        causal = positions[:, None] >= torch.arange(start + length, device=tokens.device)
        seen = None if padding is None else padding[:, None, None, :]  # (B, 1, 1, T)
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, DecoderLayer)
            y = layer.text_norm(x)
            keys, values = layer.text.keys_values(y)  # (B, H, L, D) each
            if start:
                keys = torch.cat([cache.text_keys[index], keys], dim=2)
                values = torch.cat([cache.text_values[index], values], dim=2)
                cache.text_keys[index], cache.text_values[index] = keys, values
            else:
                cache.text_keys.append(keys)
                cache.text_values.append(values)
            x = x + layer.text(y, keys, values, causal if length > 1 else None)
            y = layer.image_norm(x)
            x = x + layer.image(y, cache.image_keys[index], cache.image_values[index], seen)
            x = x + layer.feed(x)
        logits: Tensor = self.write(self.norm(x))  # (B, L, V)
        return logits


class LineReader(nn.Module):
    """Encoder and decoder together."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def teach(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of CTC (B, T, V) and of what follows each of the tokens (B, L, V)."""
        columns = self.encoder(pixels)
        return self.encoder.ctc(columns), self.decoder(tokens, self.decoder.start(columns))

    @torch.inference_mode()
    def decode(
        self, columns: Tensor, limit: int | None = None, cached: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Greedy tokens (B, L), PAD after END, and the log probability of each (B, L).

        Not cached, the whole text goes through the decoder again for every further character; the
        tokens are the same.
        """
        limit = min(limit or self.config.max_length, self.config.max_length)
        batch = columns.shape[0]
        tokens = torch.full((batch, 1), alphabet.START, device=columns.device)  # (B, 1)
        scores = torch.zeros((batch, 0), device=columns.device)
        ended = torch.zeros(batch, dtype=torch.bool, device=columns.device)
        cache = self.decoder.start(columns)
        for position in range(limit):
            if cached:
                logits = self.decoder(tokens[:, -1:], cache, start=position)[:, -1]  # (B, V)
            else:
                cache.text_keys, cache.text_values = [], []
                logits = self.decoder(tokens, cache)[:, -1]  # (B, V)
            likely = logits.float().log_softmax(dim=-1)  # (B, V)
            likely[:, [alphabet.BLANK, alphabet.START, alphabet.PAD]] = -torch.inf
            score, token = likely.max(dim=-1)  # (B,)
            token = token.masked_fill(ended, alphabet.PAD)
            scores = torch.cat([scores, score.masked_fill(ended, 0)[:, None]], dim=1)
            tokens = torch.cat([tokens, token[:, None]], dim=1)
            ended |= token == alphabet.END
            if bool(ended.all()):
                break
        return tokens[:, 1:], scores
