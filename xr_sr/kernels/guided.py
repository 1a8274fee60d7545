"""Sharpen coarse bands to the grid of finer ones without weights: MTF-GLP with high-pass modulation, or interpolation.

    out = M * P / P_L

M is the coarse band, interpolated; P its prediction from the finer bands; P_L the same at the resolution of the coarse
pixels: blurred by the band's own modulation transfer function (MTF), sampled, and interpolated as M is. If the guide
has no finer detail, P equals P_L, and the result is the interpolation.
Sources: the generalised Laplacian pyramid matched to the MTF, with this injection: Aiazzi et al. 2006 (MTF-tailored
multiscale fusion, PE&RS 72, 591), as Vivone et al. 2015 (doi:10.1109/TGRS.2014.2361734) and 2021
(doi:10.1109/MGRS.2020.3019315) compare it. The guide as a regression of the coarse band on the finer ones, seen as
coarse: Selva et al. 2015, hypersharpening (doi:10.1109/JSTARS.2015.2440092); here in a sliding window, as Aiazzi et al.
take their local statistics, since a regression over the scene would make a pixel depend on all others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..networks import separable
from ..runtime.device import resolve_device, settle_threads
from ..spec import Tile
from .protocol import CONTEXT, RADIUS, FloatArray, Guidance
from .psf import gaussian_psf
from .regression import regress, samples_of, weighed
from .window import from_tensor, to_tensor

LEAST, MOST = 0.005, 5.0
"""Reflectance below which the guide does not modulate, and the largest factor by which it does."""


def sharpen(fine: FloatArray, coarse: FloatArray, at: tuple[int, int], tile: Tile, guidance: Guidance) -> FloatArray:
    """Sharpen the coarse bands of a tile to the finer grid, and upsample them from there to `scale` by bicubic.

    fine: (n, guide, height + 2 halo, width + 2 halo) float32 reflectance without NaN. coarse: (n, band, y, x), which
    begins `at` fine pixels above and to the left of it. Returns (n, band, height * scale, width * scale) float32.
    """
    settle_threads()
    with torch.inference_mode():
        guides = to_tensor(fine).to(resolve_device(guidance.device), torch.float32)
        samples = to_tensor(coarse).to(guides.device, torch.float32)
        whole = torch.stack(
            [
                _date(one, bands, at, (tile.height, tile.width), tile.halo, guidance)
                for one, bands in zip(guides, samples, strict=True)
            ]
        )
        return from_tensor(whole.to(to_tensor(fine).device), fine)


def _date(
    fine: Tensor, coarse: Tensor, at: tuple[int, int], size: tuple[int, int], halo: int, guidance: Guidance
) -> Tensor:
    """Sharpen one date: (guide, y, x) and (band, y, x) to (band, height * scale, width * scale)."""
    ratio, scale = guidance.ratio, guidance.scale
    finer = separable.bicubic(scale) if scale > 1 else None
    margin = finer.margin if finer else 0
    # Along each axis: the fine pixels of the output in coarse pixels of the block, and the first one's place in these.
    spans = [_span(at[axis] + halo - margin, size[axis] + 2 * margin, ratio) for axis in (0, 1)]
    cut = tuple(slice(first, first + count) for first, count, _ in spans)
    inside = tuple(slice(into, into + side + 2 * margin) for (_, _, into), side in zip(spans, size, strict=True))
    out = coarse.new_empty(len(coarse), size[0] * scale, size[1] * scale)
    seen: dict[float, Tensor] = {}
    for place, band in enumerate(coarse):
        grown = tuple(slice(one.start - CONTEXT, one.stop + CONTEXT) for one in cut)
        interpolated = _up(band, separable.bicubic(ratio), spans)[inside]
        result = interpolated
        if guidance.guided:
            mtf = guidance.mtf[place]
            if mtf not in seen:
                seen[mtf] = _seen(fine, mtf, ratio, at, grown)
            gain = _modulation(fine, band[grown].double(), seen[mtf], spans, inside, at, ratio, guidance.chosen[place])
            # Cubic overshoot below a sample that is not negative would be an artifact.
            least = _repeat(band[cut], ratio)[inside].clamp(max=0)
            result = torch.maximum(interpolated, least) * gain
        if finer is None:
            out[place] = result
            continue
        out[place] = _up(result, finer, [(margin, side, 0) for side in size])
    return out


def _span(start: int, length: int, ratio: int) -> tuple[int, int, int]:
    """Return the first coarse pixel that fine ones from `start` on touch, how many they touch, and where they begin."""
    first = start // ratio
    return first, -(-(start + length) // ratio) - first, start - first * ratio


def _modulation(
    fine: Tensor,
    band: Tensor,
    seen: Tensor,
    spans: Sequence[tuple[int, int, int]],
    inside: tuple[slice, ...],
    at: tuple[int, int],
    ratio: int,
    chosen: int | None,
) -> Tensor:
    """Return P / P_L on the fine pixels.

    band, seen: the coarse band and the guides as it would see them, with CONTEXT around `spans`. chosen: the guide that
    is taken alone and as it is; None regresses.
    """
    rows, columns = (
        slice(first * ratio + part.start - shift, first * ratio + part.stop - shift)
        for (first, _, _), part, shift in zip(spans, inside, at, strict=True)
    )
    within = [(CONTEXT, count, into) for _, count, into in spans]
    cubic, linear = separable.bicubic(ratio), separable.bilinear(ratio)
    if chosen is not None:
        sharp = fine[chosen, rows, columns]
        smooth = _up(seen[chosen].float(), cubic, within)[inside]
    else:
        (weights,) = regress(band[None], seen)
        # The window has used up some of the context.
        left = [(CONTEXT - RADIUS, count, into) for _, count, into in spans]
        shares = _up(weights.float(), linear, left)[:, *inside]
        smooth = shares[-1].clone()
        sharp = shares[-1].clone()
        lows = _up(seen.float(), cubic, within)[:, *inside]
        for share, high, low in zip(shares[:-1], fine[:, rows, columns], lows, strict=True):
            sharp += share * high
            smooth += share * low
    return (sharp.clamp(min=LEAST) / smooth.clamp(min=LEAST)).clamp(max=MOST)


def _seen(fine: Tensor, mtf: float, ratio: int, at: tuple[int, int], cut: tuple[slice, ...]) -> Tensor:
    """See the guides as the coarse pixels do: (guide, y, x) float64 of the coarse pixels `cut` of the block."""
    ((profile, _),) = gaussian_psf(mtf, ratio).terms
    first, taps = samples_of(profile, ratio)
    planes = fine.double()
    for axis, part, shift in zip((-2, -1), cut, at, strict=True):
        start = part.start * ratio - shift + first
        planes = weighed(planes, taps, axis, start, part.stop - part.start, ratio)
    return planes


def _up(planes: Tensor, operator: separable.Operator, spans: Sequence[tuple[int, int, int]]) -> Tensor:
    """Interpolate the coarse pixels of `spans`: (..., y, x) to (..., count * scale, count * scale).

    In a fixed order of sums, where `Operator` itself leaves it to a matrix product: the quotient that follows would
    show the difference.
    """
    for axis, (first, count, _) in zip((planes.ndim - 2, planes.ndim - 1), spans, strict=True):
        start = first + operator.first
        phases = [weighed(planes, taps, axis, start, count) for taps in operator.taps]
        planes = torch.stack(phases, axis + 1).flatten(axis, axis + 1)
    return planes


def _repeat(plane: Tensor, ratio: int) -> Tensor:
    return plane.repeat_interleave(ratio, -2).repeat_interleave(ratio, -1)
