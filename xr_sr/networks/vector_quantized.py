"""The baseline of latent diffusion: an autoencoder with a table of codes and a U-Net, under the names of diffusers.

Rombach et al. 2022, as the pipeline for super-resolution of diffusers had them, each in a file of its own: VQModel and
UNet2DModel. They load and run here; no sampler of this package puts them together.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .detect import Architecture, Arguments, Shapes, counted, has_all
from .kl_autoencoder import normalized, numbers_of, text_of

_FORMER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of the layers of attention in older files."""


class NamedBlock(nn.Module):
    """Two convolutions beside a shortcut, with the time between them where there is one."""

    def __init__(self, channels: int, channels_out: int, epsilon: float, embedding: int = 0) -> None:
        super().__init__()
        self.norm1, self.conv1 = normalized(channels, epsilon), nn.Conv2d(channels, channels_out, 3, padding=1)
        if embedding:
            self.time_emb_proj = nn.Linear(embedding, channels_out)
        self.norm2, self.conv2 = normalized(channels_out, epsilon), nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels, channels_out, 1) if channels != channels_out else nn.Identity()

    def forward(self, x: Tensor, embedded: Tensor | None = None) -> Tensor:
        """x: (n, channels, y, x). embedded: (n, embedding), the time."""
        inner = self.conv1(functional.silu(self.norm1(x)))
        if embedded is not None:
            inner = inner + self.time_emb_proj(functional.silu(embedded))[..., None, None]
        out: Tensor = self.conv_shortcut(x) + self.conv2(functional.silu(self.norm2(inner)))
        return out


class NamedAttention(nn.Module):
    """Attention of all pixels to all, in heads, added to the image. head_channels: 0 for a single head."""

    def __init__(self, channels: int, epsilon: float, head_channels: int = 0) -> None:
        super().__init__()
        self.heads = channels // head_channels if head_channels else 1
        self.group_norm = normalized(channels, epsilon)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.register_load_state_dict_pre_hook(_renamed)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        seen = self.group_norm(x).flatten(2).transpose(1, 2)
        q, k, v = (
            layer(seen).view(n, height * width, self.heads, -1).transpose(1, 2)
            for layer in (self.to_q, self.to_k, self.to_v)
        )
        found = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, height * width, channels)
        out: Tensor = x + self.to_out[0](found).transpose(1, 2).reshape(x.shape)
        return out


def _renamed(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for former, now in _FORMER.items():
        for kind in ("weight", "bias"):
            if (key := f"{prefix}{former}.{kind}") in state:
                value = state.pop(key)
                state[f"{prefix}{now}.{kind}"] = value.flatten(1) if kind == "weight" else value


class Resampled(nn.Module):
    """A change of the size of pixels by one convolution. up: double the number of pixels; else halve it.

    padded: with zeros on all sides; else on the right and below only.
    """

    def __init__(self, channels: int, *, up: bool, padded: bool = True) -> None:
        super().__init__()
        self.up, self.padded = up, padded
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if up else 2, padding=1 if padded else 0)

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
        out: Tensor = self.conv(x if self.padded else functional.pad(x, (0, 1, 0, 1)))
        return out


class NamedLevel(nn.Module):
    """Blocks at one size of pixels, attention after each where there is one, and a change of that size at the end."""

    def __init__(
        self,
        resnets: list[NamedBlock],
        attentions: list[NamedAttention],
        samplers: list[Resampled],
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        self.samplers = "upsamplers" if samplers and samplers[0].up else "downsamplers"
        if samplers:
            setattr(self, self.samplers, nn.ModuleList(samplers))

    def step(self, place: int, x: Tensor, embedded: Tensor | None = None) -> Tensor:
        """Run one of the blocks, and the attention after it. embedded: (n, embedding), the time."""
        x = self.resnets[place](x, embedded)
        if hasattr(self, "attentions") and place < len(self.attentions):
            x = self.attentions[place](x)
        return x

    def resampled(self, x: Tensor) -> Tensor | None:
        """Return an image with another number of pixels; None if the level keeps it."""
        samplers = getattr(self, self.samplers, None)
        return None if samplers is None else samplers[0](x)

    def forward(self, x: Tensor, embedded: Tensor | None = None) -> Tensor:
        for place in range(len(self.resnets)):
            x = self.step(place, x, embedded)
        other = self.resampled(x)
        return x if other is None else other


class HalfOfAutoencoder(nn.Module):
    """The encoder or the decoder: levels, and the middle after the first or before the second.

    widths: along the way. blocks: at each level. up: a decoder.
    """

    def __init__(self, channels: int, channels_out: int, widths: list[int], blocks: int, *, up: bool) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        inputs = [widths[0], *widths[:-1]]
        levels = nn.ModuleList(
            NamedLevel(
                [NamedBlock(inputs[n] if place == 0 else width, width, 1e-6) for place in range(blocks)],
                [],
                [Resampled(width, up=up, padded=up)] if n < len(widths) - 1 else [],
            )
            for n, width in enumerate(widths)
        )
        middle = widths[0 if up else -1]
        self.mid_block = NamedLevel(
            [NamedBlock(middle, middle, 1e-6) for _ in range(2)], [NamedAttention(middle, 1e-6)], []
        )
        self.up = up
        if up:
            self.up_blocks = levels
        else:
            self.down_blocks = levels
        self.conv_norm_out = normalized(widths[-1], 1e-6)
        self.conv_out = nn.Conv2d(widths[-1], channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in (self.mid_block, *self.up_blocks) if self.up else (*self.down_blocks, self.mid_block):
            x = level(x)
        out: Tensor = self.conv_out(functional.silu(self.conv_norm_out(x)))
        return out


class CodeTable(nn.Module):
    """A table of codes: (n, dimension, y, x), each pixel replaced by the nearest code."""

    def __init__(self, codes: int, dimension: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, dimension)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)
        nearest = torch.cdist(pixels.reshape(-1, x.shape[1]), self.embedding.weight).argmin(1)
        found: Tensor = self.embedding(nearest).view(pixels.shape).permute(0, 3, 1, 2)
        return found


class VQAutoencoder(nn.Module):
    """Images (n, bands, y, x) to latents (n, embedding, y / f, x / f) of a table of codes, and back.

    channels: of the first level; multipliers: of it at each. blocks: at each level of the encoder. latent: channels
    where encoder and decoder meet.
    """

    def __init__(
        self,
        bands: int = 3,
        channels: int = 128,
        multipliers: str = "1-2-4",
        blocks: int = 2,
        latent: int = 3,
        codes: int = 8192,
        embedding: int = 3,
    ) -> None:
        super().__init__()
        widths = [channels * factor for factor in numbers_of(multipliers)]
        self.encoder = HalfOfAutoencoder(bands, latent, widths, blocks, up=False)
        self.quant_conv = nn.Conv2d(latent, embedding, 1)
        self.quantize = CodeTable(codes, embedding)
        self.post_quant_conv = nn.Conv2d(embedding, latent, 1)
        self.decoder = HalfOfAutoencoder(latent, bands, widths[::-1], blocks + 1, up=True)

    def encode(self, image: Tensor) -> Tensor:
        """Return latents before codes replace them."""
        latent: Tensor = self.quant_conv(self.encoder(image))
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Return the images of latents, of whose pixels each becomes the nearest code."""
        image: Tensor = self.decoder(self.post_quant_conv(self.quantize(latent)))
        return image

    def forward(self, image: Tensor) -> Tensor:
        """Return images after the codes of their latents."""
        return self.decode(self.encode(image))


def _vq_sizes(shapes: Shapes, _: Arguments) -> Arguments | None:
    channels, bands = shapes["encoder.conv_in.weight"][:2]
    levels = counted(shapes, "encoder.down_blocks.{}.resnets.0.conv1.weight")
    widths = [shapes[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"][0] for level in range(levels)]
    if any(width % channels for width in widths):
        return None
    codes, embedding = shapes["quantize.embedding.weight"]
    return {
        "bands": bands,
        "channels": channels,
        "multipliers": text_of([width // channels for width in widths]),
        "blocks": counted(shapes, "encoder.down_blocks.0.resnets.{}.conv1.weight"),
        "latent": shapes["encoder.conv_out.weight"][0],
        "codes": codes,
        "embedding": embedding,
    }


ARCHITECTURE = Architecture(
    "xr_sr.networks.vector_quantized:VQAutoencoder",
    VQAutoencoder,
    detect=has_all("quantize.embedding.weight", "encoder.down_blocks.0.resnets.0.conv1.weight", "quant_conv.weight"),
    sizes=_vq_sizes,
    reads="bands",
    returns="bands",
    scale=1,
)
