"""LeanSPAN, our own small network: what of SPAN reaches the output, over bicubic, with the constraint built in.

    sr = bicubic(lr) + s - up(k * mean(s))

s is what SPAN's two live blocks and tail give, mean its average over the output pixels of one input pixel, k a smoother
of three taps, up linear interpolation: the low frequencies of what the network adds are taken away again on the input's
own grid, which costs a thousandth of the network. So whatever the weights are, the result averages back to what bicubic
interpolation does. Torch alone: no bands, files or arrays of places.

Source of the network: C. Wan et al., "Swift Parameter-free Attention Network" (CVPRW 2024), pruned as `span` says.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ModelError
from . import separable
from .span import FoldedBody, Layers, shuffle

SMOOTH = (0.0475, 0.905, 0.0475)
"""k: with it the constraint on the input's grid passes nearly what the Gaussian of SEN2SR passes."""

BODY = 6
"""Input pixels of context that the network alone uses up on each side; the constraint needs two more."""

START = 0.1
"""What the last convolution is multiplied by at the start, so that training begins at bicubic."""


class LeanSPAN(nn.Module):
    """(n, bands, y, x) to (n, bands, (y - 16) * upscale, (x - 16) * upscale), reflectance in and out, without padding.

    channels: of the features; 24 costs 53,280 multiply-adds per input pixel before it is folded.
    """

    consumed = BODY + 2
    """Input pixels of context used up on each side: by the network, and by the constraint."""

    def __init__(self, bands: int = 4, channels: int = 24, upscale: int = 4) -> None:
        super().__init__()
        self.bands, self.upscale = bands, upscale
        self.features = nn.Conv2d(bands, channels, 3)
        self.first = nn.ModuleList([nn.Conv2d(channels, channels, 3) for _ in range(3)])
        self.last = nn.ModuleList([nn.Conv2d(channels, channels, 3) for _ in range(3)])
        self.mix = nn.Conv2d(channels, channels, 3)
        self.gather = nn.Conv2d(4 * channels, channels, 1)
        self.tail = nn.Conv2d(channels, bands * upscale**2, 3)
        with torch.no_grad():
            self.tail.weight.mul_(START)
            self.tail.bias.zero_()  # type: ignore[union-attr]  # it has one

    def forward(self, x: Tensor) -> Tensor:
        return _assembled(x, self._body(x), self.bands, self.upscale)

    def folded(self, *, non_negative: bool = False) -> FoldedLeanSPAN:
        """Give the same function with less work. Raises ModelError for non_negative: clamping undoes the constraint."""
        refuse_clamp(non_negative)
        return FoldedLeanSPAN(self)

    def layers(self) -> Layers:
        """Give weight and bias of each convolution."""
        order = (self.features, *self.first, *self.last, self.mix, self.gather, self.tail)
        pairs = [(layer.weight, layer.bias) for layer in order]
        return Layers(
            features=pairs[0],
            first=(pairs[1], pairs[2], pairs[3]),
            last=(pairs[4], pairs[5], pairs[6]),
            mix=pairs[7],
            gather=pairs[8],
            tail=pairs[9],
        )

    def _body(self, x: Tensor) -> Tensor:
        """(n, bands, y, x) to (n, bands * upscale^2, y - 12, x - 12)."""
        features = self.features(x)
        first, _ = _block(self.first, features)
        last, activated = _block(self.last, features)
        parts = [features[..., 4:-4, 4:-4], self.mix(last), first[..., 1:-1, 1:-1], activated[..., 3:-3, 3:-3]]
        out: Tensor = self.tail(self.gather(torch.cat(parts, dim=1)))
        return out


def _assembled(x: Tensor, added: Tensor, bands: int, upscale: int) -> Tensor:
    """Add to the bicubic image what the network gave, without its low frequencies.

    x: (n, bands, y, x). added: (n, bands * upscale^2, y - 12, x - 12).
    """
    inner = added[..., 2:-2, 2:-2].contiguous()
    plain = bicubic(x[..., BODY:-BODY, BODY:-BODY], upscale)
    return plain + functional.pixel_shuffle(inner, upscale) - _low(added, bands, upscale)


def _low(added: Tensor, bands: int, upscale: int) -> Tensor:
    """Give what the addition has in low frequencies: two input pixels are used up on each side."""
    n, _, height, width = added.shape
    mean = added.unflatten(1, (bands, -1)).mean(2).reshape(n * bands, 1, height, width)
    taps = mean.new_tensor(SMOOTH)
    smooth = functional.conv2d(mean, (taps[:, None] * taps)[None, None])
    fine = functional.interpolate(smooth, scale_factor=upscale, mode="bilinear", align_corners=False)
    return fine.view(n, bands, *fine.shape[-2:])[..., upscale:-upscale, upscale:-upscale]


def bicubic(x: Tensor, upscale: int) -> Tensor:
    """Interpolate each band, one convolution for all phases at once; two pixels are used up on each side."""
    n, bands, height, width = x.shape
    rows = torch.from_numpy(separable.bicubic(upscale).taps).to(x)
    taps = (rows[:, None, :, None] * rows[None, :, None, :]).reshape(upscale**2, 1, *[rows.shape[1]] * 2)
    cut = 2 - rows.shape[1] // 2  # at the scale of one it reads no neighbour
    inner = x[..., cut : height - cut, cut : width - cut].reshape(n * bands, 1, height - 2 * cut, -1)
    fine = functional.pixel_shuffle(functional.conv2d(inner, taps), upscale)
    return fine.view(n, bands, *fine.shape[-2:])


def _block(block: nn.ModuleList, x: Tensor) -> tuple[Tensor, Tensor]:
    """Give SPAN's block, its gate that needs no parameters, and the activated output of its first convolution."""
    activated = functional.silu(block[0](x))
    c3 = block[2](functional.silu(block[1](activated)))
    return (c3 + x[..., 3:-3, 3:-3]) * (torch.sigmoid(c3) - 0.5), activated


def refuse_clamp(non_negative: bool) -> None:
    """Raise ModelError where a network that holds its constraint inside is to be clamped at zero."""
    if non_negative:
        raise ModelError(
            "non_negative=True: the network holds its constraint inside, which clamping at zero would undo; wanted is "
            "non_negative=False. Clip what you show: fine.clip(0)."
        )


class FoldedLeanSPAN(nn.Module):
    """LeanSPAN for inference, on channels-last batches; shapes as there.

    Only the convolutions run at the precision of the weights: what is interpolated keeps that of the image.
    """

    consumed = LeanSPAN.consumed
    takes_float32 = True
    """The image is float32 also where the weights are of half precision."""

    def __init__(self, network: LeanSPAN) -> None:
        super().__init__()
        self.body = FoldedBody(network.layers())
        self.bands, self.upscale = network.bands, network.upscale
        self.bicubic = separable.bicubic(network.upscale)
        self.smooth = separable.bilinear(network.upscale).after_smoothing(separable.weights(SMOOTH))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        added = self.body(x.to(next(self.body.buffers()).dtype)).to(x.dtype)
        if x.requires_grad or x.dtype != torch.float32:  # the products below are float32's, and know no gradient
            return _assembled(x, added, self.bands, self.upscale)
        n, _, height, width = added.shape
        rows, columns = height - 4, width - 4
        fine = shuffle(added[..., 2:-2, 2:-2], self.upscale)
        mean = added.permute(0, 2, 3, 1).reshape(n, height, width, self.bands, -1).mean(-1)
        # Along y first, while the image is still narrow; the two images that are added then share nothing.
        plain = x.new_empty(rows * self.upscale, x.shape[-1])
        low = x.new_empty(rows * self.upscale, width)
        for image in range(n):
            for band in range(self.bands):
                out = fine[image, band]
                self.bicubic.along_y(x[image, band], self.consumed, rows, plain)
                self.bicubic.along_x(plain, self.consumed, columns, out, add=1)
                self.smooth.along_y(mean[image, ..., band], 2, rows, low)
                self.smooth.along_x(low, 2, columns, out, add=-1)
        return fine
