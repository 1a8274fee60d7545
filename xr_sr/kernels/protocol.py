"""What a kernel is: a block of reflectance with context in, a finer block out.

Everything that upscales, from nearest neighbour to a diffusion sampler, looks like this from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ..spec import Tile

FloatArray: TypeAlias = "NDArray[Any]"
"""float32, in the processor's memory or (CuPy) a GPU's."""


class Kernel(Protocol):
    """A deterministic function of its arguments, safe to call from several threads."""

    halo: int
    scale: int

    def __call__(self, block: FloatArray, tile: Tile) -> FloatArray:
        """(n, band, height + 2 halo, width + 2 halo) to (n, band_out, height * scale, width * scale).

        block: reflectance without NaN; tile.halo pixels of context on each side, which the kernel uses up.
        Returns float32 of the same kind of array.
        """


class Predictor(Protocol):
    """The part of a kernel that invents detail, before any constraint."""

    reach: int
    """Input pixels that an output pixel depends on, on each side."""

    def predict(self, window: Tensor, margin: int) -> Tensor:
        """(n, band, h + 2 k, w + 2 k) to (n, band_out, h * scale + 2 margin, w * scale + 2 margin).

        k: `reach + ceil(margin / scale)`. margin: output pixels of context that the caller still needs.
        """
