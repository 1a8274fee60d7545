"""Constrain low frequencies to those of the input: the sensor's measurement is kept, only detail comes from the model.

    low-pass(sr) := low-pass(bicubic(lr)),  that is  y = sr - G sr + G bicubic(lr)

G is a Gaussian in space with finite support. The published SEN2SR constraint is the same Gaussian written as a mask
on the FFT of one 512-pixel window; in space there is no window and no wrap-around at its edge, and the values inside
a window are the same to 2e-6. G bicubic is one operator from the coarse grid, so the bicubic image itself is never
computed. Local models apply the constraint inside their kernel (`window`); for windowed models
`window.constrain_block` applies it to the blended windows.
Source: SEN2SR (Aybar et al. 2026), `HardConstraint`: mask exp(-d^2 / (2 s^2)), s = 35 bins of 512. Its ten-band model
has for the 10 m bands a sigmoid of the distance instead, which is a sum of few separable filters.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..networks import separable
from ..spec import LowPass, RadialSigmoid


class Constraint(Protocol):
    """Replaces the low frequencies of an upscaled window by those of its input."""

    margin: int
    """Output pixels of context that the upscaled window must have on each side."""
    reach: int
    """Input pixels of context that the input window must have on each side."""

    def apply(self, fine: Tensor, coarse: Tensor, out: Tensor) -> None:
        """See `LowPassConstraint.apply`."""


def constraint_of(low_pass: LowPass | RadialSigmoid, scale: int) -> Constraint:
    """Return the constraint that a record describes, for an upscaling by `scale`."""
    if isinstance(low_pass, RadialSigmoid):
        return SigmoidConstraint(low_pass, scale)
    return LowPassConstraint(low_pass, scale)


class LowPassConstraint:
    """Replaces the low frequencies of an upscaled window by those of its input."""

    def __init__(self, low_pass: LowPass, scale: int) -> None:
        self.blur = separable.gaussian(low_pass.sigma, low_pass.radius)
        self.smooth = separable.bicubic(scale).then(self.blur)
        self.margin = low_pass.radius
        """Output pixels of context that the upscaled window must have on each side."""
        self.reach = self.smooth.margin
        """Input pixels of context that the input window must have on each side."""
        self.scale = scale

    def apply(self, fine: Tensor, coarse: Tensor, out: Tensor) -> None:
        """Write the constrained window to `out`, using up `fine`.

        fine: (n, band, h * scale + 2 margin, w * scale + 2 margin), the model's output. coarse: (n, band, h + 2 k, w
        + 2 k), its input, k at least `reach`. out: (n, band, h * scale, w * scale), may be a view into a larger array.
        """
        n, bands, height, width = out.shape
        low_height, low_width = height // self.scale, width // self.scale
        k = (coarse.shape[-2] - low_height) // 2
        m = self.margin
        blurred = fine.new_empty(height + 2 * m, width)
        tall = fine.new_empty(height, coarse.shape[-1])
        for date in range(n):
            for band in range(bands):
                plane = fine[date, band]
                center = plane[m : m + height, m : m + width]
                self.blur.along_x(plane, m, width, blurred)
                self.blur.along_y(blurred, m, height, center, add=-1)
                self.smooth.along_y(coarse[date, band], k, low_height, tall)
                self.smooth.along_x(tall, k, low_width, center, add=1)
                out[date, band].copy_(center)


class SigmoidConstraint:
    """The same with a gain that is a sigmoid of the frequency's distance from zero.

    The bicubic image is made here, since the difference then passes the many one-dimensional filters once.
    """

    def __init__(self, low_pass: RadialSigmoid, scale: int) -> None:
        self.blur = separable.radial_sigmoid(
            low_pass.cutoff, low_pass.sharpness, 2 * low_pass.radius + 1, low_pass.rank
        )
        self.bicubic = separable.bicubic(scale)
        self.margin = low_pass.radius
        self.reach = -(-low_pass.radius // scale) + self.bicubic.margin
        self.scale = scale

    def apply(self, fine: Tensor, coarse: Tensor, out: Tensor) -> None:
        """See `LowPassConstraint.apply`."""
        n, bands, height, width = out.shape
        s, m = self.scale, self.margin
        low_height, low_width = (side // s + 2 * -(-m // s) for side in (height, width))
        k = (coarse.shape[-2] - low_height) // 2
        cut = -(-m // s) * s - m
        tall = fine.new_empty(low_height * s, coarse.shape[-1])
        difference = fine.new_empty(low_height * s, low_width * s)
        inner = difference[cut : cut + height + 2 * m, cut : cut + width + 2 * m]
        for date in range(n):
            for band in range(bands):
                plane = fine[date, band]
                self.bicubic.along_y(coarse[date, band], k, low_height, tall)
                self.bicubic.along_x(tall, k, low_width, difference)
                torch.sub(inner, plane, out=inner)
                out[date, band].copy_(self.blur.apply(inner, plane[m : m + height, m : m + width], add=1))
