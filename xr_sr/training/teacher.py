"""A model as a function on arrays: what a student is taught by, and measured against.

An image goes in and an image comes out; the weights of a teacher are never looked at.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import kernels
from ..spec import Tile
from ..weights import catalog, fetch
from .scenes import FloatArray

__all__ = ["Teacher"]


class Teacher:
    """A model of the catalogue with its own constraint, as a function on arrays. weights: as in `xr_sr.upscale`.

    Raises UnknownModelError, WeightsError.
    """

    def __init__(self, model: str, weights: str | Path | None = None, *, device: str = "auto") -> None:
        spec = catalog.get(model)
        if spec.architecture:
            located = fetch.locate(spec, weights)
            self.sha256 = located.sha256
            path = str(located.path)
        else:
            self.sha256, path = "", ""
        low_pass = kernels.constraint_for(spec, "auto")
        self.spec = spec
        self._kernel = kernels.build(kernels.KernelRef(spec, path, self.sha256, device, low_pass=low_pass))
        self.halo = self._kernel.halo

    def __call__(self, lr: FloatArray) -> FloatArray:
        """(n, band, y + 2 halo, x + 2 halo) to (n, band, y * scale, x * scale), reflectance."""
        height, width = (size - 2 * self.halo for size in lr.shape[-2:])
        return self._kernel(np.ascontiguousarray(lr), Tile((0, height), (0, width), halo=self.halo))
