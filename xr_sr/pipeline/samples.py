"""Compute windows of diffusion, and the blocks that blend them: the functions that tasks call, on arrays alone.

As `tasks`, for models that return several samples of each band, or what sums them up. A sample is corrected after its
windows are blended, since weights of windows do not sum to one within an input pixel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .. import kernels
from ..catalog.generative import Diffusion
from ..kernels.fill import fill
from ..radiometry.convert import to_reflectance_block
from ..spec import Tile
from .readers import fine_pixels, trim
from .tasks import Recipe, agreeing, finish, flat, repeated_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tiling.lattice import Blend
    from ..tiling.source import Source


def sample_window(source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Draw one window: (*lead, sample * band, side * scale, side * scale) float32, before any correction.

    Gaps are filled, and windows without a valid pixel left out, as in `tasks.upscale_window`. recipe.give: positions of
    the bands of one sample.
    """
    samples, scale = _samples(recipe), recipe.kernel.spec.scale
    give = list(recipe.give[: _bands(recipe)])
    lead = tuple(stop - start for start, stop in tile.lead)
    shape = (*lead, samples.count * len(give), tile.height * scale, tile.width * scale)
    block = to_reflectance_block(source.take(0), recipe.radiometry, tile)
    if np.isnan(block).all():
        return np.full_like(block, np.nan, shape=shape)
    made = kernels.build(recipe.kernel)(flat(fill(block, steps=max(tile.height, tile.width))), tile)
    one_by_one = made.reshape(len(made), samples.count, -1, *made.shape[-2:])[:, :, give]
    return one_by_one.reshape(shape)


def blend_samples(blend: Blend, source: Source, tile: Tile, recipe: Recipe) -> NDArray[np.float32]:
    """Compute one block from windows: the sample, or mean, deviation and perhaps samples, each after its correction.

    Returns (*lead, plane * band, height * scale, width * scale). The deviation is of the samples, by one less than
    their number.
    """
    samples, scale, halo = _samples(recipe), recipe.kernel.spec.scale, recipe.halo
    low_pass, bands = recipe.kernel.low_pass, _bands(recipe)
    pixels = fine_pixels(source, tile, recipe.radiometry, halo)

    def computed() -> NDArray[np.float32]:
        own = flat(pixels.filled())
        coarse = own[:, list(recipe.out_of[:bands])].repeat(samples.count, axis=0)
        drawn = blend.take(halo)
        drawn = drawn.reshape(-1, bands, *drawn.shape[-2:])
        if pixels.missing.any():  # a window without a valid pixel
            drawn = np.where(np.isnan(drawn), repeated_pixels(coarse, scale), drawn)
        if _corrects(recipe):
            drawn = kernels.back_projected(drawn, coarse)
        if low_pass is not None or recipe.measured:
            inner = recipe.around * scale + (0 if low_pass is None else low_pass.radius)
            drawn = np.ascontiguousarray(trim(drawn, halo * scale - inner))
        if low_pass is not None:
            drawn = kernels.constrain_blend(recipe.kernel, drawn, np.ascontiguousarray(coarse))
        if recipe.measured:
            drawn = agreeing(recipe, replace(tile, halo=halo), drawn, own)
        return _summed(drawn.reshape(len(own), samples.count, bands, *drawn.shape[-2:]), samples)

    return finish(source, tile, recipe, pixels.block, pixels.missing, computed)


def _summed(drawn: NDArray[np.float32], samples: kernels.DiffusionSamples) -> NDArray[np.float32]:
    """Return the planes of a block: (n, sample, band, y, x) to (n, plane * band, y, x)."""
    if samples.summed:
        parts = [drawn.mean(axis=1, keepdims=True), drawn.std(axis=1, ddof=1, keepdims=True)]
        drawn = np.concatenate([*parts, drawn] if samples.kept else parts, axis=1)
    return drawn.reshape(len(drawn), -1, *drawn.shape[-2:])


def _samples(recipe: Recipe) -> kernels.DiffusionSamples:
    assert recipe.kernel.samples is not None
    return recipe.kernel.samples


def _bands(recipe: Recipe) -> int:
    return len(recipe.out_of) // _samples(recipe).planes


def _corrects(recipe: Recipe) -> bool:
    spec = recipe.kernel.spec
    return isinstance(spec, Diffusion) and spec.correction == "back_projection"
