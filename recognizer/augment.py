"""Varies prepared lines where the network learns, so that a line that took milliseconds to draw
is never seen twice alike. All functions take and give batches on one device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Variation:
    """How far a line is bent and worn; lengths are in pixels of its 40 rows."""

    stretch: float = 0.2  # of the width, to either side
    shear: float = 0.25  # columns per row
    shift: float = 2.0
    taller: float = 0.12
    bow: float = 0.22  # how far small letters grow or shrink against loops above and below
    climb: float = 1.5
    elastic: float = 1.1
    strokes: float = 0.35  # share of lines with thicker or thinner strokes
    blurred: float = 0.2
    noisy: float = 0.3
    holes: float = 0.15  # share of lines that lose a patch


def _uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """(count, 1, 1)."""
    return torch.rand(count, 1, 1, device=device) * (high - low) + low


def bend(pixels: Tensor, widths: Tensor, variation: Variation) -> Tensor:
    """Lines (B, 1, h, W), of which `widths` (B,) columns are filled, wider or narrower, slanted,
    moved and locally stretched; what was inside stays inside.
    """
    batch, _, height, width = pixels.shape
    device = pixels.device
    y = torch.arange(height, device=device, dtype=torch.float32)[None, :, None]  # (1, h, 1)
    x = torch.arange(width, device=device, dtype=torch.float32)[None, None, :]  # (1, 1, W)
    v, middle = variation, (height - 1) / 2
    filled = widths.float()[:, None, None]  # (B, 1, 1)
    scale = _uniform(batch, 1 - v.stretch, 1 + v.stretch, device)
    scale = torch.minimum(scale, width / filled)
    room = width - filled * scale
    shear = _uniform(batch, -v.shear, v.shear, device)
    shear = shear * (room / (2 * shear.abs() * middle + 1)).clamp(max=1)
    left = shear.abs() * middle
    taller = _uniform(batch, 1 - v.taller, 1 + 0.5 * v.taller, device)
    bow = _uniform(batch, -v.bow, v.bow, device)
    climb = _uniform(batch, -v.climb, v.climb, device)
    coarse = torch.randn(batch, 2, 4, max(3, width // 24), device=device)
    strength = _uniform(batch, 0, v.elastic, device)[:, None]
    field = strength * functional.interpolate(coarse, (height, width), mode="bicubic")
    up = (y - middle) / middle  # (1, h, 1) in -1..1
    source_y = middle + middle * (up + bow * torch.sin(torch.pi * up) / torch.pi) / taller
    source_y = source_y + _uniform(batch, -v.shift, v.shift, device)
    along = (x - left) / scale  # (B, 1, W)
    source_y = source_y + climb * (along / filled - 0.5) * 2 + field[:, 0]  # (B, h, W)
    source_x = along + shear * (y - middle) + field[:, 1]
    grid = torch.stack(
        [(source_x + 0.5) * (2 / width) - 1, (source_y + 0.5) * (2 / height) - 1], dim=-1
    )  # (B, h, W, 2)
    return functional.grid_sample(pixels, grid, align_corners=False)


def _some(batch: int, share: float, device: torch.device) -> Tensor:
    return (torch.rand(batch, 1, 1, 1, device=device) < share).float()


def wear(pixels: Tensor, variation: Variation) -> Tensor:
    """Lines (B, 1, h, W) in 0..1 with thicker, thinner, blurred or fainter strokes, noise and
    patches that are missing."""
    batch, _, height, width = pixels.shape
    device, v = pixels.device, variation
    amount = torch.rand(batch, 1, 1, 1, device=device)
    thick = functional.max_pool2d(pixels, 3, 1, 1)
    thin = -functional.max_pool2d(-pixels, 3, 1, 1)
    chosen = _some(batch, 0.55, device)
    other = chosen * thick + (1 - chosen) * thin
    pixels = pixels + _some(batch, v.strokes, device) * amount * (other - pixels)
    soft = functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
    pixels = pixels + _some(batch, v.blurred, device) * (soft - pixels)
    power = torch.exp(torch.rand(batch, 1, 1, 1, device=device) * 1.1 - 0.55)
    faint = 1 - 0.45 * torch.rand(batch, 1, 1, 1, device=device)
    pixels = pixels.clamp(0, 1) ** power * faint
    spread = _some(batch, v.noisy, device) * 0.08 * torch.rand(batch, 1, 1, 1, device=device)
    pixels = pixels + spread * torch.randn_like(pixels)
    y = torch.arange(height, device=device)[None, None, :, None]
    x = torch.arange(width, device=device)[None, None, None, :]
    top = torch.randint(-6, height, (batch, 1, 1, 1), device=device)
    left = torch.randint(0, width, (batch, 1, 1, 1), device=device)
    tall = torch.randint(4, height // 2, (batch, 1, 1, 1), device=device)
    wide = torch.randint(3, 16, (batch, 1, 1, 1), device=device)
    hole = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
    return pixels * (1 - _some(batch, v.holes, device) * hole)


@torch.no_grad()
def vary(pixels: Tensor, widths: Tensor, variation: Variation) -> Tensor:
    """Lines (B, 1, h, W) in 0..1, `widths` (B,) of them filled, bent and worn at random."""
    return wear(bend(pixels, widths, variation), variation)
