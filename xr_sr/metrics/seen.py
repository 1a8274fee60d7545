"""See SR again as the sensor saw the ground: through each band's point spread function, at the band's own pixels.

Both images then lie on the grid of LR, where each wider pixel of the sensor is repeated.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import dask.array as da
import numpy as np

from ..arguments import check_choice, is_number, is_one_of, shown
from ..bands import find_band
from ..cube.grid import pixel_size_m
from ..cube.sensors import native_ratio
from ..errors import OptionError
from ..kernels.observe import NOMINAL_M, check_psf, psf_from
from ..kernels.psf import MTF_AT_NYQUIST, Axis, Psf, gaussian_psf, kernel_psf
from ..simulate.sense import Response, Sensor, sense
from ..spec import PsfWeights
from .inputs import ImageSeries

SeenBy: TypeAlias = Literal["psf", "block"]
"""How SR is compared with LR: seen through the point spread function, or averaged over pixels."""

NyquistMtf: TypeAlias = "float | Mapping[str, float] | str | None"
"""Transfer at the Nyquist frequency of a band's own pixels: a number, numbers by band, None or "published" for
Sentinel-2's."""


BandPsf: TypeAlias = "float | str | PsfWeights | Mapping[str, float | str | PsfWeights] | None"
"""A point spread function as kriging takes it, or several by band; None for the Gaussian of the MTF."""


@dataclass(frozen=True, eq=False)
class ObservationOperator:
    """How SR is brought to the pixels of LR: kind, and of "psf" the MTF, or the point spread function; see `check`."""

    kind: SeenBy
    mtf: NyquistMtf = None
    psf: Any = None


def check_operator(operator: SeenBy, mtf: NyquistMtf, psf: BandPsf) -> ObservationOperator:
    """Return the operator; raises OptionError for options that are wrong whatever the cubes are."""
    check_choice("operator", operator, ("psf", "block"))
    mtf = None if is_one_of(mtf, ("published",)) else mtf
    psf = None if is_one_of(psf, ("mtf",)) else psf
    for name, value in (("mtf", mtf), ("psf", psf)):
        if operator == "block" and value is not None:
            raise OptionError(
                f"{name}={shown(value)}: operator='block' averages pixels, and has no {name.upper()}. Leave one of "
                "them out."
            )
    if mtf is not None and psf is not None:
        raise OptionError("mtf= and psf=: each defines the width of the blur. Pass one of them.")
    if isinstance(psf, Mapping):
        psf = {band: check_psf(f"psf[{band!r}]", each) for band, each in psf.items()}
    elif psf is not None:
        psf = check_psf("psf", psf)
    numbers: list[Any] = list(mtf.values()) if isinstance(mtf, Mapping) else [] if mtf is None else [mtf]
    if not all(is_number(value) and 0 < value < 1 for value in numbers):
        raise OptionError(
            f"mtf={shown(mtf)}: expected the contrast at the Nyquist frequency, between 0 and 1: one number, or "
            "numbers by band."
        )
    return ObservationOperator(operator, mtf, psf)


def seen_again(
    lr: ImageSeries, sr: ImageSeries, scale: int, operator: ObservationOperator
) -> tuple[da.Array, da.Array]:
    """Return what the sensor measured and what it would see of SR, lazily: (time, band, y, x) each, on the grid of LR.

    Of a band whose own pixels are wider, LR is averaged to them: each pixel stands there as often as it is wide.
    Raises OptionError for a band whose MTF is not known.
    """
    given = _by_key(lr, "psf", operator.psf)
    mtf = _mtf_of(lr, [key for key in lr.keys if key not in given], operator.mtf)
    size = pixel_size_m(lr.geobox)
    # As kriging takes it: to two digits, so that crops of a cube in degrees are compared through one function.
    pixel_m = float(f"{NOMINAL_M if size is None else (size[0] * size[1]) ** 0.5:.1e}")

    def psf_of(key: Hashable, wide: int, ratio: int) -> Psf:
        return psf_from(given[key], key, wide, pixel_m * ratio) if key in given else gaussian_psf(mtf[key], wide)

    ratios = [native_ratio(lr.geobox, key) for key in lr.keys]
    if set(ratios) == {1}:  # as a rule: one task for all bands
        axes = [Axis(side, side * scale, scale, 0) for side in lr.shape]
        responses = tuple(Response(psf_of(key, scale, 1)) for key in lr.keys)
        return lr.data, sense(sr.data, Sensor(axes[0], axes[1], responses, 1))
    measured, seen = [], []
    for place, (key, ratio) in enumerate(zip(lr.keys, ratios, strict=True)):
        row, column = _phase(lr, ratio)
        psf = psf_of(key, scale * ratio, ratio)
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


def _by_key(lr: ImageSeries, name: str, value: Any) -> dict[Hashable, Any]:
    """Return an option by the keys of bands, of one value for all bands or a dict. Raises OptionError for no band."""
    if not isinstance(value, Mapping):
        return {} if value is None else dict.fromkeys(lr.keys, value)
    found: dict[Hashable, Any] = {}
    for band, each in value.items():
        key = band if band in lr.keys else getattr(find_band(band), "name", None)
        if key is None:
            raise OptionError(
                f"{name}=: {shown(band)} is no band of Sentinel-2, nor of LR, which has {shown(lr.keys)}."
            )
        if key in found:
            raise OptionError(f"{name}=: {key} is given twice, by two of its names. Leave one of them out.")
        found[key] = each
    return found


def _mtf_of(lr: ImageSeries, keys: Sequence[Hashable], mtf: NyquistMtf) -> dict[Hashable, float]:
    """Return the MTF of some bands of LR, at least. Raises OptionError where one is not known."""
    given: dict[Hashable, float] = {} if lr.sensor else dict(MTF_AT_NYQUIST.items())
    given |= {key: float(value) for key, value in _by_key(lr, "mtf", mtf).items()}
    if unknown := [key for key in keys if key not in given]:
        why = f" The cube seems to come from another sensor than Sentinel-2: {lr.sensor}." if lr.sensor else ""
        raise OptionError(
            f"operator='psf': no modulation transfer function (MTF) is known of {shown(unknown)}.{why} Name the bands "
            "as Sentinel-2's, pass the MTF at the Nyquist frequency, mtf=0.25 or mtf={'B04': 0.25}, or the point "
            "spread function, psf='5.3 m', or average over pixels: operator='block'."
        )
    return given
