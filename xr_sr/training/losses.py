"""What it costs to be wrong.

Source of the weighting: trials of this project (see the report of the bundled weights): where each patch counts by its
own contrast, quiet fields teach as much as towns.
"""

from __future__ import annotations

from torch import Tensor

from .loop import Batch

__all__ = ["relative_square_error"]


def relative_square_error(sr: Tensor, batch: Batch) -> Tensor:
    """Return the square error of each patch, or of each band of it, over the square of its own detail, meaned.

    sr: (n, band, y, x), what the network gave, constrained as its output will be. 1 is as wrong as bicubic, 0 perfect.
    """
    square = (sr - batch.target).square()
    wrong = square.mean(dim=(1, 2, 3) if batch.weight.ndim == 1 else (2, 3))
    return (wrong * batch.weight).mean()
