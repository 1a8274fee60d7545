"""Use a model as a teacher, a function on arrays, and measure how close a network is to it.

An image goes in and an image comes out; the weights of a teacher are never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .. import kernels
from ..catalog import registry
from ..catalog.models import Model, Network, Pansharpening
from ..errors import ModelError, OptionError, TrainingError
from ..kernels.resolve import kernel_ref, with_options
from ..spec import Tile
from .scenes import FloatArray, check_names


class Teacher:
    """A model with its own constraint, as a function on arrays.

    weights: as in `xr_sr.upscale`. scale: of interpolation; None is the model's own. bands: of a cascade, the output
    bands, by any alias; None is all.
    Raises UnknownModelError, ModelError for pansharpening, OptionError for a scale or bands that the model lacks,
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
        self.spec: Model = registry.get(model)
        if isinstance(self.spec, Pansharpening):
            raise ModelError(
                f"{self.spec.name!r} sharpens coarse bands, and is not a function of one image; expected a model "
                "for `upscale`, see xr_sr.list_models()."
            )
        if isinstance(self.spec, Network) and self.spec.step > 1:
            raise ModelError(
                f"{self.spec.name!r} reads the coarse bands as they are, and a teacher gets them interpolated; "
                "expected a model such as 'sen2sr-lite.main'."
            )
        if scale is not None:
            self.spec = with_options(self.spec, {"scale": scale})
        self.gives = self._gives(bands)
        """Canonical names of the output bands; () for a model for any bands."""
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
                f"bands={list(bands)}: {spec.name!r} returns {list(every)}"
                f"{', of which some can be selected' if spec.parts else ', all at once: leave bands= out'}."
            )
        return wanted

    def __call__(self, lr: FloatArray) -> FloatArray:
        """(n, band, y + 2 halo, x + 2 halo) to (n, band, y * scale, x * scale), reflectance.

        Bands are those that the model reads, in its order; output bands are `gives`. Coarse bands are on the grid of
        the others, by linear interpolation. Raises OptionError for another shape.
        """
        read = len(self.spec.bands)
        if lr.ndim != 4 or (read and lr.shape[1] != read) or min(lr.shape[-2:]) <= 2 * self.halo:
            raise OptionError(
                f"an image of shape {lr.shape}: expected (n, {read or 'band'}, y, x), {list(self.spec.bands)}, of more "
                f"than {2 * self.halo} pixels a side, which {self.spec.name!r} consumes."
            )
        height, width = (size - 2 * self.halo for size in lr.shape[-2:])
        return self._kernel(np.ascontiguousarray(lr), Tile((0, height), (0, width), halo=self.halo))


BORDER = 10
"""Input pixels at the edge of a scene that are not measured; more if teacher or network need more context."""


def apply(network: nn.Module, lr: FloatArray) -> FloatArray:
    """Run a network without padding over a whole scene: (band, y, x) to (band, (y - 2 consumed) * scale, ...)."""
    with torch.no_grad():
        parameter = next(network.parameters())
        image = torch.from_numpy(np.ascontiguousarray(lr[None], "float32")).to(parameter.device)
        fine: FloatArray = network(image.contiguous(memory_format=torch.channels_last))[0].cpu().numpy()
    return fine


def closeness(
    network: nn.Module, lr: FloatArray, teacher_sr: FloatArray, bicubic: Teacher, bands: slice = slice(None)
) -> float:
    """Measure how far a network is from its teacher, against bicubic: rms(sr - teacher) / rms(bicubic - teacher).

    lr: (band, y, x) reflectance without NaN. teacher_sr: (band, (y - 2 h) scale, ...), the teacher's output, with its
    context of h pixels. Both after their constraints, which do not change bicubic; `BORDER` input pixels are left out.
    bicubic: `Teacher("bicubic", scale=...)`, at the network's scale. bands: which are measured, together. 1 is bicubic,
    0 the teacher. Raises TrainingError if these two are equal, or NaN.
    """
    size = (lr.shape[-2], lr.shape[-1])
    images = (apply(network, lr), teacher_sr, bicubic(lr[None])[0])
    own, wanted, plain = (image[bands] for image in images)
    return distance(own, wanted, plain, size, scale=bicubic.spec.scale)


def distance(
    sr: FloatArray, teacher_sr: FloatArray, bicubic_sr: FloatArray, size: tuple[int, ...], *, scale: int
) -> float:
    """Measure `closeness` of images (band, ...) whose centers are the scene's. size: (y, x) of the scene."""
    images = (sr, teacher_sr, bicubic_sr)
    reach = max((size[0] - image.shape[-2] // scale) // 2 for image in images)
    own, wanted, plain = (_inner(image, size, scale, max(BORDER, reach)) for image in images)
    far = float(np.sqrt(np.square(plain - wanted, dtype="float64").mean()))
    if not far > 0:  # NaN too
        raise TrainingError(
            f"The teacher equals bicubic (difference {far}), so closeness is undefined; expected a place with detail "
            "and without nodata."
        )
    return float(np.sqrt(np.square(own - wanted, dtype="float64").mean())) / far


def _inner(image: FloatArray, size: tuple[int, ...], scale: int, border: int) -> FloatArray:
    """Cut an image whose center is the scene's down to what is `border` input pixels from the scene's edge."""
    rows, columns = ((length - 2 * border) * scale for length in size)
    top, left = (image.shape[-2] - rows) // 2, (image.shape[-1] - columns) // 2
    return image[..., top : top + rows, left : left + columns]
