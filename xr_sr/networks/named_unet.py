"""U-Net of the baseline of latent diffusion, under the names of UNet2DModel of diffusers; see `vector_quantized`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .detect import Architecture, Arguments, Shapes, counted, has_all, number
from .kl_autoencoder import normalized, numbers_of, text_of
from .latent_unet import HEAD_CHANNELS, embedded_time
from .vector_quantized import NamedAttention, NamedBlock, NamedLevel, Resampled

_EPSILON = 1e-5


class TimeEmbedding(nn.Module):
    """Two layers on the cosines and sines of times."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, 4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_2(functional.silu(self.linear_1(x)))
        return out


class NamedUNet(nn.Module):
    """(n, bands, y, x) of noisy latents and their condition, and times (n,), to the noise (n, bands_out, y, x).

    Arguments as of `latent_unet.LatentUNet`.
    """

    def __init__(
        self,
        bands: int = 6,
        bands_out: int = 3,
        channels: int = 160,
        multipliers: str = "1-2-2-4",
        blocks: int = 2,
        attention: str = "8",
        head_channels: int = HEAD_CHANNELS,
    ) -> None:
        super().__init__()
        self.channels = channels
        widths, attended = [channels * factor for factor in numbers_of(multipliers)], numbers_of(attention)
        last = len(widths) - 1
        self.factor: int = 2**last
        self.conv_in = nn.Conv2d(bands, channels, 3, padding=1)
        self.time_embedding = TimeEmbedding(channels)

        def block(channels_in: int, width: int) -> NamedBlock:
            return NamedBlock(channels_in, width, _EPSILON, 4 * channels)

        def level(blocks: list[NamedBlock], number: int, samplers: list[Resampled]) -> NamedLevel:
            count = len(blocks) if 2**number in attended else 0
            heads = [NamedAttention(widths[number], _EPSILON, head_channels) for _ in range(count)]
            return NamedLevel(blocks, heads, samplers)

        inputs = [channels, *widths[:-1]]
        kept = [channels]
        self.down_blocks = nn.ModuleList()
        for n, width in enumerate(widths):
            layers = [block(inputs[n] if place == 0 else width, width) for place in range(blocks)]
            self.down_blocks.append(level(layers, n, [Resampled(width, up=False)] if n < last else []))
            kept += [width] * (blocks + (n < last))
        now = widths[-1]
        self.mid_block = NamedLevel(
            [block(now, now), block(now, now)], [NamedAttention(now, _EPSILON, head_channels)], []
        )
        self.up_blocks = nn.ModuleList()
        for n, width in reversed(list(enumerate(widths))):
            layers = []
            for _ in range(blocks + 1):
                layers.append(block(now + kept.pop(), width))
                now = width
            self.up_blocks.append(level(layers, n, [Resampled(width, up=True)] if n else []))
        self.conv_norm_out = normalized(now, _EPSILON)
        self.conv_out = nn.Conv2d(now, bands_out, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        embedded = self.time_embedding(embedded_time(time, self.channels).to(x.dtype))
        x = self.conv_in(x)
        kept = [x]
        for level in self.down_blocks:
            assert isinstance(level, NamedLevel)
            for place in range(len(level.resnets)):
                x = level.step(place, x, embedded)
                kept.append(x)
            if (fewer := level.resampled(x)) is not None:
                x = fewer
                kept.append(x)
        x = self.mid_block(x, embedded)
        for level in self.up_blocks:
            assert isinstance(level, NamedLevel)
            for place in range(len(level.resnets)):
                x = level.step(place, torch.cat([x, kept.pop()], dim=1), embedded)
            more = level.resampled(x)
            x = x if more is None else more
        out: Tensor = self.conv_out(functional.silu(self.conv_norm_out(x)))
        return out


def _sizes(shapes: Shapes, given: Arguments) -> Arguments | None:
    channels, bands = shapes["conv_in.weight"][:2]
    levels = range(counted(shapes, "down_blocks.{}.resnets.0.conv1.weight"))
    widths = [shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in levels]
    if any(width % channels for width in widths):
        return None
    attended = [2**level for level in levels if f"down_blocks.{level}.attentions.0.group_norm.weight" in shapes]
    return {
        "bands": bands,
        "bands_out": shapes["conv_out.weight"][0],
        "channels": channels,
        "multipliers": text_of([width // channels for width in widths]),
        "blocks": counted(shapes, "down_blocks.0.resnets.{}.conv1.weight"),
        "attention": text_of(attended),
        "head_channels": number(given, "head_channels", HEAD_CHANNELS),
    }


ARCHITECTURE = Architecture(
    "xr_sr.networks.named_unet:NamedUNet",
    NamedUNet,
    detect=has_all(
        "conv_in.weight", "time_embedding.linear_1.weight", "down_blocks.0.resnets.0.conv1.weight", "conv_out.weight"
    ),
    sizes=_sizes,
    reads="bands",
    returns="bands_out",
    scale=1,
    assumed=("head_channels",),
)
