"""A model as a function on arrays: what a student is taught by, and measured against.

An image goes in and an image comes out; the weights of a teacher are never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import kernels
from ..catalog import registry
from ..errors import ModelError, OptionError
from ..kernels.resolve import kernel_ref, with_options
from ..spec import Tile
from .scenes import FloatArray, check_names

__all__ = ["Teacher"]


class Teacher:
    """A model of the catalogue with its own constraint, as a function on arrays.

    weights: as in `xr_sr.upscale`. scale: of interpolation, which has any; None takes the model's own. bands: of a
    model of several parts, those that are wanted, by any of their names; None for all.
    Raises UnknownModelError, ModelError for one that fuses, OptionError for a scale or bands that it has not,
    WeightsError.
    """

    def __init__(
        self,
        model: str,
        weights: str | Path | None = None,
        *,
        device: str = "auto",
        scale: int | None = None,
        bands: Sequence[str] | None = None,
    ) -> None:
        self.spec = registry.get(model)
        if self.spec.fuses:
            raise ModelError(
                f"{self.spec.name!r} fuses the bands of a cube, and is no function on one image; wanted is a model "
                "that `upscale` takes, see xr_sr.list_models()."
            )
        if scale is not None:
            self.spec = with_options(self.spec, {"scale": scale})
        self.gives = self._gives(bands)
        """Canonical names of the bands that come out; () for a model that takes any."""
        ref = kernel_ref(self.spec, weights, device=device, wanted=self.gives if self.spec.parts else ())
        self.sha256 = " ".join(part.sha256 for _, part in ref.parts) or ref.sha256
        self._kernel = kernels.build(ref)
        self.halo = self._kernel.halo

    def _gives(self, bands: Sequence[str] | None) -> tuple[str, ...]:
        spec = self.spec
        every = spec.bands if spec.parts else spec.bands_out or spec.bands
        if bands is None:
            return every
        bands = check_names(bands)
        named = {registry.canonical(band) for band in bands}
        wanted = tuple(band for band in every if band in named)
        if not spec.parts or len(wanted) != len(bands):
            raise OptionError(
                f"bands={list(bands)}: {spec.name!r} gives {list(every)}"
                f"{', of which some can be had' if spec.parts else ', all at once: leave bands= out'}."
            )
        return wanted

    def __call__(self, lr: FloatArray) -> FloatArray:
        """(n, band, y + 2 halo, x + 2 halo) to (n, band, y * scale, x * scale), reflectance.

        Bands are those that the model reads, in its order, and come out as `gives` says. Bands of coarser pixels are on
        the grid of the others, by linear interpolation. Raises OptionError for another shape.
        """
        read = len(self.spec.bands)
        if lr.ndim != 4 or (read and lr.shape[1] != read) or min(lr.shape[-2:]) <= 2 * self.halo:
            raise OptionError(
                f"an image of shape {lr.shape}: wanted (n, {read or 'band'}, y, x), {list(self.spec.bands)}, of more "
                f"than {2 * self.halo} pixels a side, which {self.spec.name!r} uses up."
            )
        height, width = (size - 2 * self.halo for size in lr.shape[-2:])
        return self._kernel(np.ascontiguousarray(lr), Tile((0, height), (0, width), halo=self.halo))
