"""Nearest, bilinear and bicubic upsampling: the baselines against which every network is judged.

Pixel centres keep their places (corners are not aligned), so an output pixel lies where the finer grid says.
Upsampling needs no antialiasing; `bicubic` is Keys' a = -0.5, which is what torch and Pillow give with antialiasing
on, and what SEN2SR's constraint uses.
"""

from __future__ import annotations

from torch import Tensor

from ..networks import separable

OPERATORS = {"nearest": separable.nearest, "bilinear": separable.bilinear, "bicubic": separable.bicubic}


class Interpolator:
    """Each band by itself, by one separable operator."""

    def __init__(self, method: str, scale: int) -> None:
        self.operator = OPERATORS[method](scale)
        self.scale = scale
        self.reach = self.operator.margin

    def predict(self, window: Tensor, margin: int) -> Tensor:
        """See `protocol.Predictor`."""
        extra = -(-margin // self.scale)
        n, bands, height, width = window.shape
        rows, columns = height - 2 * self.reach, width - 2 * self.reach
        tall = window.new_empty(n * bands, rows * self.scale, width)
        planes = window.reshape(n * bands, height, width)
        for plane, out in zip(planes, tall, strict=True):
            self.operator.along_y(plane, self.reach, rows, out)
        fine = window.new_empty(n * bands * rows * self.scale, columns * self.scale)
        self.operator.along_x(tall.view(-1, width), self.reach, columns, fine)
        fine = fine.view(n, bands, rows * self.scale, columns * self.scale)
        cut = extra * self.scale - margin
        return fine[..., cut : fine.shape[-2] - cut, cut : fine.shape[-1] - cut]
