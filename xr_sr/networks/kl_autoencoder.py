"""Autoencoder with a normal posterior, by which latent diffusion turns images into latents and back.

Rombach et al. 2022 (doi:10.1109/CVPR52688.2022.01042), with attention in the middle alone, as LDSR-S2 has it, and the
names of its tensors. Nothing is sampled here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ModelError
from .detect import Architecture, Arguments, Shapes, counted, has_all

_EPSILON = 1e-6
"""Added to variances by normalization here; the U-Net adds 1e-5."""

_GROUPS = 32
"""Of channels that are normalized together."""

_LOG_VARIANCE = (-30.0, 20.0)


class PlainBlock(nn.Module):
    """Two convolutions beside a shortcut: (n, channels, y, x) to (n, channels_out, y, x)."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.norm1 = normalized(channels, _EPSILON)
        self.conv1 = nn.Conv2d(channels, channels_out, 3, padding=1)
        self.norm2 = normalized(channels_out, _EPSILON)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(channels, channels_out, 1) if channels != channels_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        # In place where nothing is learned: what norms return is needed by nobody else, and large.
        inplace = not torch.is_grad_enabled()
        inner = self.conv1(functional.silu(self.norm1(x), inplace=inplace))
        made: Tensor = self.conv2(functional.silu(self.norm2(inner), inplace=inplace))
        shortcut: Tensor = self.nin_shortcut(x)
        return made.add_(shortcut) if inplace else shortcut + made


class PixelAttention(nn.Module):
    """PixelAttention of all pixels to all, one head, added to the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = normalized(channels, _EPSILON)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.norm(x)
        # Channels last in memory: torch then needs no matrix of all pixels by all, 1 GB for a window of LDSR-S2.
        q, k, v = (layer(seen).flatten(2).transpose(1, 2).contiguous()[:, None] for layer in (self.q, self.k, self.v))
        found = functional.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).reshape(x.shape)
        out: Tensor = x + self.proj_out(found)
        return out


class MiddleBlocks(nn.Module):
    """Two blocks with attention between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = PlainBlock(channels, channels)
        self.attn_1 = PixelAttention(channels)
        self.block_2 = PlainBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class HalvePadded(nn.Module):
    """Every second pixel of a convolution, with padding on the right and below only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return out


class RepeatPixels(nn.Module):
    """Each pixel repeated 2 x 2 times, then a convolution.

    Without gradients it is computed from the pixels themselves: of the 3 x 3 values that an output pixel reads only 2 x
    2 differ, so that four convolutions of 2 x 2, one for each place in a pixel, give the same in half the time.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            out: Tensor = self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))
            return out
        n, channels, rows, columns = x.shape
        fine = x.new_empty(n, channels, 2 * rows, 2 * columns)
        for down, half in enumerate(_pairs(self.conv.weight, 2)):
            for right, weight in enumerate(_pairs(half, 3)):
                around = functional.pad(x, (1 - right, right, 1 - down, down))
                fine[:, :, down::2, right::2] = functional.conv2d(around, weight, self.conv.bias)
        return fine


def _pairs(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the two weights along an axis of three, where the first and where the last two fall on one pixel."""
    first, middle, last = weight.unbind(axis)
    return torch.stack([first, middle + last], axis), torch.stack([first + middle, last], axis)


class BlockLevel(nn.Module):
    """Blocks at one size of pixels, and at most one change of that size after them."""

    def __init__(self, blocks: list[PlainBlock], downsample: nn.Module | None, upsample: nn.Module | None) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        if downsample is not None:
            self.downsample = downsample
        if upsample is not None:
            self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.block, *(layer for name, layer in self.named_children() if name != "block")):
            x = layer(x)
        return x


class LatentEncoder(nn.Module):
    """(n, bands, y, x) to (n, 2 latent, y / f, x / f), f = 2 to the number of levels less one."""

    def __init__(self, bands: int, widths: list[int], blocks: int, latent: int, first: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(bands, first, 3, padding=1)
        inputs = [first, *widths]
        self.down = nn.ModuleList(
            BlockLevel(
                [PlainBlock(inputs[n] if number == 0 else width, width) for number in range(blocks)],
                HalvePadded(width) if n < len(widths) - 1 else None,
                None,
            )
            for n, width in enumerate(widths)
        )
        self.mid = MiddleBlocks(widths[-1])
        self.norm_out = normalized(widths[-1], _EPSILON)
        self.conv_out = nn.Conv2d(widths[-1], 2 * latent, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        out: Tensor = self.conv_out(functional.silu(self.norm_out(self.mid(x))))
        return out


class LatentDecoder(nn.Module):
    """(n, latent, y, x) to (n, bands, y * f, x * f)."""

    def __init__(self, bands: int, widths: list[int], blocks: int, latent: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(latent, widths[-1], 3, padding=1)
        self.mid = MiddleBlocks(widths[-1])
        inputs = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(  # numbered as the levels of the encoder, the finest first
            BlockLevel(
                [PlainBlock(inputs[n] if number == 0 else width, width) for number in range(blocks + 1)],
                None,
                RepeatPixels(width) if n > 0 else None,
            )
            for n, width in enumerate(widths)
        )
        self.norm_out = normalized(widths[0], _EPSILON)
        self.conv_out = nn.Conv2d(widths[0], bands, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        out: Tensor = self.conv_out(functional.silu(self.norm_out(x)))
        return out


class KLAutoencoder(nn.Module):
    """Images (n, bands, y, x) to latents (n, embedding, y / f, x / f) and back; sides are multiples of f.

    channels: of the first convolution. multipliers: of it at each level, such as "1-2-4", where f is 4. blocks: at each
    level of the encoder; the decoder has one more. latent: channels of encoder and decoder where they meet.
    """

    def __init__(
        self,
        bands: int = 4,
        channels: int = 128,
        multipliers: str = "1-2-4",
        blocks: int = 2,
        latent: int = 4,
        embedding: int = 4,
    ) -> None:
        super().__init__()
        widths = [channels * factor for factor in numbers_of(multipliers)]
        self.factor: int = 2 ** (len(widths) - 1)
        self.encoder = LatentEncoder(bands, widths, blocks, latent, channels)
        self.decoder = LatentDecoder(bands, widths, blocks, latent)
        self.quant_conv = nn.Conv2d(2 * latent, 2 * embedding, 1)
        self.post_quant_conv = nn.Conv2d(embedding, latent, 1)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance of the latents of images."""
        mean, log_variance = self.quant_conv(self.encoder(image)).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the images of latents."""
        image: Tensor = self.decoder(self.post_quant_conv(latent))
        return image

    def forward(self, image: Tensor) -> Tensor:
        """Return images after the mean of their latents."""
        return self.decode(self.encode(image)[0])


def normalized(channels: int, epsilon: float) -> nn.GroupNorm:
    """Create a normalization of groups of channels. Raises ModelError if they cannot be grouped."""
    if channels % _GROUPS:
        raise ModelError(f"{channels} channels: expected a multiple of {_GROUPS}, the groups that are normalized.")
    return nn.GroupNorm(_GROUPS, channels, eps=epsilon)


def numbers_of(text: str) -> list[int]:
    """Return the numbers of a text such as "1-2-4"; [] for "". Raises ModelError for another text."""
    try:
        return [int(part) for part in text.split("-")] if text else []
    except ValueError as error:
        raise ModelError(f"{text!r}: expected whole numbers with '-' between them, such as '1-2-4'.") from error


def text_of(numbers: list[int]) -> str:
    """Return numbers as such a text."""
    return "-".join(map(str, numbers))


def _sizes(shapes: Shapes, _: Arguments) -> Arguments | None:
    channels, bands = shapes["encoder.conv_in.weight"][:2]
    levels, blocks = (
        counted(shapes, "encoder.down.{}.block.0.conv1.weight"),
        counted(shapes, "encoder.down.0.block.{}.conv1.weight"),
    )
    widths = [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)]
    if not widths or any(width % channels for width in widths):
        return None
    return {
        "bands": bands,
        "channels": channels,
        "multipliers": text_of([width // channels for width in widths]),
        "blocks": blocks,
        "latent": shapes["decoder.conv_in.weight"][1],
        "embedding": shapes["post_quant_conv.weight"][1],
    }


ARCHITECTURE = Architecture(
    "xr_sr.networks.kl_autoencoder:KLAutoencoder",
    KLAutoencoder,
    detect=has_all(
        "encoder.conv_in.weight",
        "encoder.mid.attn_1.q.weight",
        "decoder.conv_in.weight",
        "post_quant_conv.weight",
        "quant_conv.weight",
        but_not=("quantize.embedding.weight",),
    ),
    sizes=_sizes,
    reads="bands",
    returns="bands",
    scale=1,
    ignored=("loss.", "model_ema."),
)
