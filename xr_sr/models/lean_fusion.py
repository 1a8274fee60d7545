"""LeanFusion: LeanSPAN for bands of two pixel sizes, all of them to the finest grid in one pass.

    sr = s + bicubic(image - k * mean(s))

image holds all bands on the input's grid, those of the coarser pixels by linear interpolation; s is what the network
gives, mean its average over the output pixels of one input pixel, and k a Gaussian on the input's grid: narrow for the
fine bands, wide for the coarse ones, of which the sensor saw less. So the low frequencies are those of the input,
whatever the weights are, and one interpolation does for image and constraint. Torch alone: no bands, files or places.

Source of the network: as `lean`. Of the two widths: the masks of SEN2SR's ten-band model (Aybar et al. 2026); that of
the fine bands is a half at 0.375 cycles per pixel, and so is k, that of the coarse ones is k.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import separable
from .lean import BODY, LeanSPAN, bicubic, refuse_clamp
from .span import FoldedBody, shuffle

SIGMA_FINE, SIGMA_COARSE = 0.5, 2.7
"""Standard deviations of k, in input pixels."""
RADIUS_FINE, RADIUS_COARSE = 2, 6
"""Where k is cut off: at a little above two deviations the wide one has a hundredth of its weight left."""


class LeanFusion(LeanSPAN):
    """(n, bands, y, x) to (n, bands, (y - 28) * upscale, (x - 28) * upscale), reflectance in and out, without padding.

    coarse: how many of the bands, the last ones, are those of the coarser pixels.
    """

    consumed = BODY + RADIUS_COARSE + 2
    """Input pixels of context used up on each side: by the network, by k, and by the interpolation."""

    def __init__(self, bands: int = 10, coarse: int = 6, channels: int = 32, upscale: int = 4) -> None:
        super().__init__(bands, channels, upscale)
        self.coarse = coarse

    def forward(self, x: Tensor) -> Tensor:
        return _assembled(x, self._body(x), self.coarse, self.upscale)

    def folded(self, *, non_negative: bool = False) -> FoldedLeanFusion:  # type: ignore[override]
        """Give the same function with less work. Raises ModelError for non_negative: clamping undoes the constraint."""
        refuse_clamp(non_negative)
        return FoldedLeanFusion(self)


def _assembled(x: Tensor, added: Tensor, coarse: int, upscale: int) -> Tensor:
    """Add to the bicubic image what the network gave, without its low frequencies.

    x: (n, bands, y, x). added: (n, bands * upscale^2, y - 12, x - 12).
    """
    _, bands, height, width = x.shape
    mean = added.unflatten(1, (bands, -1)).mean(2)
    fine = bands - coarse
    cut = RADIUS_COARSE - RADIUS_FINE
    low = torch.cat(
        [
            _blurred(mean[:, :fine, cut : height - 12 - cut, cut : width - 12 - cut], SIGMA_FINE, RADIUS_FINE),
            _blurred(mean[:, fine:], SIGMA_COARSE, RADIUS_COARSE),
        ],
        dim=1,
    )
    ring = BODY + RADIUS_COARSE
    kept = x[..., ring : height - ring, ring : width - ring] - low
    ring = RADIUS_COARSE + 2
    inner = added[..., ring : height - 12 - ring, ring : width - 12 - ring].contiguous()
    return functional.pixel_shuffle(inner, upscale) + bicubic(kept, upscale)


def _blurred(image: Tensor, sigma: float, radius: int) -> Tensor:
    """Blur each band by a Gaussian; `radius` pixels are used up on each side."""
    n, bands, height, width = image.shape
    taps = torch.from_numpy(separable.gaussian(sigma, radius).taps[0]).to(image)
    planes = image.reshape(n * bands, 1, height, width)
    tall = functional.conv2d(planes, taps.view(1, 1, -1, 1))
    return functional.conv2d(tall, taps.view(1, 1, 1, -1)).view(n, bands, height - 2 * radius, width - 2 * radius)


class FoldedLeanFusion(nn.Module):
    """LeanFusion for inference, on channels-last batches; shapes as there.

    Only the convolutions run at the precision of the weights: what is interpolated keeps that of the image.
    """

    consumed = LeanFusion.consumed
    takes_float32 = True
    """The image is float32 also where the weights are of half precision."""

    def __init__(self, network: LeanFusion) -> None:
        super().__init__()
        self.body = FoldedBody(network.layers())
        self.bands, self.coarse, self.upscale = network.bands, network.coarse, network.upscale
        self.bicubic = separable.bicubic(network.upscale)
        self.blurs = (
            separable.gaussian(SIGMA_FINE, RADIUS_FINE),
            separable.gaussian(SIGMA_COARSE, RADIUS_COARSE),
        )
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        added = self.body(x.to(next(self.body.buffers()).dtype)).to(x.dtype)
        if x.requires_grad or x.dtype != torch.float32:  # the products below are float32's, and know no gradient
            return _assembled(x, added, self.coarse, self.upscale)
        n, _, height, width = added.shape
        ring = RADIUS_COARSE + 2
        rows, columns = height - 2 * ring, width - 2 * ring
        fine = shuffle(added[..., ring:-ring, ring:-ring], self.upscale)
        mean = added.permute(0, 2, 3, 1).reshape(n, height, width, self.bands, -1).mean(-1).permute(0, 3, 1, 2)
        kept = x[..., BODY : BODY + height, BODY : BODY + width].contiguous()
        wide = x.new_empty(rows + 4, width)
        tall = x.new_empty(rows * self.upscale, columns + 4)
        for image in range(n):
            for band in range(self.bands):
                blur = self.blurs[band >= self.bands - self.coarse]
                inner = kept[image, band, RADIUS_COARSE:-RADIUS_COARSE, RADIUS_COARSE:-RADIUS_COARSE]
                blur.along_y(mean[image, band].contiguous(), RADIUS_COARSE, rows + 4, wide)
                blur.along_x(wide, RADIUS_COARSE, columns + 4, inner, add=-1)
                self.bicubic.along_y(inner, 2, rows, tall)
                self.bicubic.along_x(tall, 2, columns, fine[image, band], add=1)
        return fine
