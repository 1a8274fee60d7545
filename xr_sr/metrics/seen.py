"""See SR again as the sensor saw the ground: through each band's point spread function, at the band's own pixels.

Both images then lie on the grid of LR, where each wider pixel of the sensor is repeated.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal, TypeAlias

import dask.array as da
import numpy as np

from ..arguments import check_choice, is_number, shown
from ..bands import find_band
from ..cube.sensors import native_ratio
from ..errors import OptionError
from ..kernels.psf import MTF_AT_NYQUIST, Axis, Psf, gaussian_psf, kernel_psf
from ..simulate.sense import Response, Sensor, sense
from .inputs import ImageSeries

SeenBy: TypeAlias = Literal["psf", "block"]
"""How SR is compared with LR: seen through the point spread function, or averaged over pixels."""

NyquistMtf: TypeAlias = "float | Mapping[str, float] | None"
"""Transfer at the Nyquist frequency of a band's own pixels: one number, numbers by band, None for Sentinel-2's."""


def check_operator(operator: str, mtf: NyquistMtf) -> None:
    """Raise OptionError for options that are wrong whatever the cubes are."""
    check_choice("operator", operator, ("psf", "block"))
    if operator == "block" and mtf is not None:
        raise OptionError(f"mtf={shown(mtf)}: operator='block' averages pixels, and has no MTF. Leave one of them out.")
    numbers = list(mtf.values()) if isinstance(mtf, Mapping) else [] if mtf is None else [mtf]
    if not all(is_number(value) and 0 < value < 1 for value in numbers):
        raise OptionError(
            f"mtf={shown(mtf)}: expected the contrast at the Nyquist frequency, between 0 and 1: one number, or "
            "numbers by band."
        )


def seen_again(lr: ImageSeries, sr: ImageSeries, scale: int, mtf: NyquistMtf) -> tuple[da.Array, da.Array]:
    """Return what the sensor measured and what it would see of SR, lazily: (time, band, y, x) each, on the grid of LR.

    Of a band whose own pixels are wider, LR is averaged to them: each pixel stands there as often as it is wide.
    Raises OptionError for a band whose MTF is not known.
    """
    known = _mtf_of(lr, mtf)
    measured, seen = [], []
    for place, key in enumerate(lr.keys):
        ratio = native_ratio(lr.geobox, key)
        row, column = _phase(lr, ratio)
        psf = gaussian_psf(known[key], scale * ratio)
        seen.append(_on_own_pixels(sr.data[:, place], psf, lr.shape, (row, column), ratio, scale))
        own = lr.data[:, place]
        measured.append(
            own
            if ratio == 1
            else _on_own_pixels(own, kernel_psf(np.ones((ratio, ratio))), lr.shape, (row, column), ratio, 1)
        )
    return da.stack(measured, axis=1), da.stack(seen, axis=1)


def _on_own_pixels(
    data: da.Array, psf: Psf, shape: tuple[int, int], phase: tuple[int, int], ratio: int, scale: int
) -> da.Array:
    """Sense (time, y, x) at pixels `ratio` times as wide as LR's, and repeat these on the grid of LR.

    shape: of LR. phase: rows and columns of LR of the first wide pixel that lie outside. scale: of `data` to LR.
    """
    axes = [
        Axis(-(-(side + before) // ratio), side * scale, scale * ratio, -before * scale)
        for side, before in zip(shape, phase, strict=True)
    ]
    coarse = sense(data, Sensor(axes[0], axes[1], (Response(psf),), None))
    for axis, (side, before) in enumerate(zip(shape, phase, strict=True), start=1):
        if ratio > 1:
            coarse = da.repeat(coarse, ratio, axis=axis)
            inside = slice(before, before + side)
            coarse = coarse[:, inside] if axis == 1 else coarse[:, :, inside]
    return coarse


def _phase(lr: ImageSeries, ratio: int) -> tuple[int, int]:
    """Return rows and columns of the first wide pixel that lie outside: in meters they begin at multiples of theirs."""
    crs, affine = lr.geobox.crs, lr.geobox.affine
    if not lr.placed or crs is None or crs.geographic:
        return 0, 0
    return round(affine.f / affine.e) % ratio, round(affine.c / affine.a) % ratio


def _mtf_of(lr: ImageSeries, mtf: NyquistMtf) -> dict[Hashable, float]:
    """Return the MTF of each band of LR. Raises OptionError where one is not known."""
    if mtf is not None and not isinstance(mtf, Mapping):
        return dict.fromkeys(lr.keys, float(mtf))
    given: dict[Hashable, float] = {}
    if not lr.sensor:
        given.update(MTF_AT_NYQUIST)
    for band, value in (mtf or {}).items():
        found = find_band(band)
        given[found.name if found else band] = float(value)
    if unknown := [key for key in lr.keys if key not in given]:
        why = f" The cube seems to come from another sensor than Sentinel-2: {lr.sensor}." if lr.sensor else ""
        raise OptionError(
            f"operator='psf': no modulation transfer function (MTF) is known of {shown(unknown)}.{why} Name the bands "
            "as Sentinel-2's, pass the MTF at the Nyquist frequency, mtf=0.25 or mtf={'B04': 0.25}, or average over "
            "pixels: operator='block'."
        )
    return given
