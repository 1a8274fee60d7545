"""U-Net that estimates the noise in a latent, with the names of tensors of Rombach et al. 2022 and LDSR-S2.

After Dhariwal and Nichol 2021 (arXiv:2105.05233). Samplers, which use the estimate, are in `kernels.sampling`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ModelError
from .detect import Architecture, Arguments, Shapes, has_all, number
from .kl_autoencoder import RepeatPixels, normalized, numbers_of, text_of

_EPSILON = 1e-5

HEAD_CHANNELS = 32
"""Channels of a head of attention in LDSR-S2, which shapes do not tell."""


class TimedBlock(nn.Module):
    """Two convolutions with the time added between them, beside a shortcut."""

    def __init__(self, channels: int, channels_out: int, embedding: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels, channels_out, 3, padding=1)
        last = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.in_layers = nn.Sequential(normalized(channels, _EPSILON), nn.SiLU(), first)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, channels_out))
        # The third was dropout, in training.
        self.out_layers = nn.Sequential(normalized(channels_out, _EPSILON), nn.SiLU(), nn.Identity(), last)
        self.skip_connection = nn.Conv2d(channels, channels_out, 1) if channels != channels_out else nn.Identity()

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """x: (n, channels, y, x). embedded: (n, embedding), the time."""
        inner = self.in_layers(x) + self.emb_layers(embedded)[..., None, None]
        out: Tensor = self.skip_connection(x) + self.out_layers(inner)
        return out


class HeadedAttention(nn.Module):
    """Attention of all pixels to all, in heads, added to the image."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        if channels % head_channels:
            raise ModelError(f"head_channels={head_channels}: expected a divisor of the {channels} channels.")
        self.heads = channels // head_channels
        self.norm = normalized(channels, _EPSILON)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        # Each head has its queries, keys and values one after another.
        parts = self.qkv(self.norm(x).flatten(2)).view(n, self.heads, -1, height * width)
        q, k, v = (part.transpose(2, 3) for part in parts.chunk(3, dim=2))
        found = functional.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(n, channels, -1)
        out: Tensor = x + self.proj_out(found).view(x.shape)
        return out


class HalveByConvolution(nn.Module):
    """Every second pixel of a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x)
        return out


class TimedStage(nn.ModuleList):
    """Layers in turn; those that need the time get it."""

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """x: (n, channels, y, x). embedded: (n, embedding), the time."""
        for layer in self:
            x = layer(x, embedded) if isinstance(layer, TimedBlock) else layer(x)
        return x


class LatentUNet(nn.Module):
    """(n, bands, y, x) of noisy latents and their condition, and times (n,), to the noise (n, bands_out, y, x).

    Sides are multiples of 2 to the number of levels less one. channels: of the first convolution; multipliers: of it at
    each level, such as "1-2-2-4". blocks: at each level on the way down; one more on the way up. attention: factors of
    downsampling at which there is attention, such as "8" or "4-8"; in the middle there is always.
    """

    def __init__(
        self,
        bands: int = 8,
        bands_out: int = 4,
        channels: int = 160,
        multipliers: str = "1-2-2-4",
        blocks: int = 2,
        attention: str = "8",
        head_channels: int = HEAD_CHANNELS,
    ) -> None:
        super().__init__()
        self.channels = channels
        embedding = 4 * channels
        self.time_embed = nn.Sequential(nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        widths, attended = [channels * factor for factor in numbers_of(multipliers)], numbers_of(attention)
        last = len(widths) - 1
        self.factor: int = 2**last

        def stage(channels: int, channels_out: int, level: int) -> list[nn.Module]:
            layers: list[nn.Module] = [TimedBlock(channels, channels_out, embedding)]
            return layers + ([HeadedAttention(channels_out, head_channels)] if 2**level in attended else [])

        self.input_blocks = nn.ModuleList([TimedStage([nn.Conv2d(bands, channels, 3, padding=1)])])
        kept, now = [channels], channels
        for level, width in enumerate(widths):
            for _ in range(blocks):
                self.input_blocks.append(TimedStage(stage(now, width, level)))
                now = width
                kept.append(now)
            if level < last:
                self.input_blocks.append(TimedStage([HalveByConvolution(now)]))
                kept.append(now)
        self.middle_block = TimedStage(
            [TimedBlock(now, now, embedding), HeadedAttention(now, head_channels), TimedBlock(now, now, embedding)]
        )
        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for place in range(blocks + 1):
                layers = stage(now + kept.pop(), width, level)
                now = width
                self.output_blocks.append(
                    TimedStage([*layers, *([RepeatPixels(now)] if level and place == blocks else [])])
                )
        self.out = nn.Sequential(normalized(now, _EPSILON), nn.SiLU(), nn.Conv2d(channels, bands_out, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        embedded = self.time_embed(embedded_time(time, self.channels).to(x.dtype))
        kept = []
        for stage in self.input_blocks:
            x = stage(x, embedded)
            kept.append(x)
        x = self.middle_block(x, embedded)
        for stage in self.output_blocks:
            x = stage(torch.cat([x, kept.pop()], dim=1), embedded)
        out: Tensor = self.out(x)
        return out


def embedded_time(time: Tensor, channels: int) -> Tensor:
    """Return cosines, then sines, of times (n,) at frequencies from 1 to nearly 1 / 10000: (n, channels)."""
    half = channels // 2
    frequencies = torch.exp(-math.log(10_000) / half * torch.arange(half, dtype=torch.float32, device=time.device))
    angles = time[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _sizes(shapes: Shapes, given: Arguments) -> Arguments | None:
    channels, bands = shapes["input_blocks.0.0.weight"][:2]
    levels: list[list[int]] = [[]]  # widths of the blocks of each
    attended: list[int] = []
    place = 1
    while (
        key := f"input_blocks.{place}.0.in_layers.2.weight"
    ) in shapes or f"input_blocks.{place}.0.op.weight" in shapes:
        if key in shapes:
            levels[-1].append(shapes[key][0])
            factor = 2 ** (len(levels) - 1)
            if f"input_blocks.{place}.1.qkv.weight" in shapes and factor not in attended:
                attended.append(factor)
        else:
            levels.append([])
        place += 1
    if any(len(level) != len(levels[0]) or len({*level}) != 1 or level[0] % channels for level in levels):
        return None
    return {
        "bands": bands,
        "bands_out": shapes["out.2.weight"][0],
        "channels": channels,
        "multipliers": text_of([level[0] // channels for level in levels]),
        "blocks": len(levels[0]),
        "attention": text_of(attended),
        "head_channels": number(given, "head_channels", HEAD_CHANNELS),
    }


ARCHITECTURE = Architecture(
    "xr_sr.networks.latent_unet:LatentUNet",
    LatentUNet,
    detect=has_all("time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.1.qkv.weight", "out.2.weight"),
    sizes=_sizes,
    reads="bands",
    returns="bands_out",
    scale=1,
    assumed=("head_channels",),
)
