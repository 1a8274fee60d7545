"""Turn the options of kriging that a user set into point spread functions and noise by band."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..arguments import check_number, check_numbers, is_number, is_one_of, shown
from ..bands import find_band
from ..catalog.models import KRIGING_SCALES, MOST_STRENGTH, Kriging
from ..catalog.registry import canonical
from ..errors import OptionError
from ..spec import Option
from .kriging_filters import RADIUS, Observation
from .protocol import BandSensor
from .psf import MTF_AT_NYQUIST, Psf, checked_kernel, gaussian, gaussian_psf, kernel_psf, width_of
from .sensor_noise import SIGNAL_TO_NOISE, Strength, strength_of

LEAST_WIDTH, MOST_WIDTH = 0.1, 3.0
"""Standard deviations of a point spread function, in pixels of its band, that are accepted."""

MOST_SIDE = 2 * RADIUS + 1
"""Pixels of its band that a sampled point spread function may be wide: the window of the filters, which see no more.

Filters are computed from all pairs of the products that a kernel is a sum of, nearly as many as its rows: at this width
some seconds, once in a process, and twice as wide ten times as long.
"""

_MOST_SAMPLES = MOST_SIDE * max(KRIGING_SCALES) * 6
"""Output pixels in that, of bands six times as wide as the finest, at the largest scale."""

_METERS = re.compile(r"\d+(\.\d+)? *m")

_ALONE = "A band of another sensor is kriged alone, as rename('B08'), with psf=0.5 and noise=0.003."

NOMINAL_M = 10.0
"""Size of a pixel whose size is not known."""


def check_kriging(spec: Kriging) -> Kriging:
    """Check the options of kriging that do not depend on bands, and make all of them hashable. Raises OptionError."""
    check_number("strength", spec.strength, least=0, most=MOST_STRENGTH)
    exponent, outer_scale = check_numbers("prior", spec.prior, 2)
    if not (1 < exponent <= 3 and outer_scale > 0):
        raise OptionError(
            f"prior={shown(spec.prior)}: expected an exponent above 1 and up to 3, and meters above 0, such as "
            "(1.35, 1000)."
        )
    if not (is_one_of(spec.psf, ("mtf",)) or is_one_of(spec.mtf, ("published",))):
        raise OptionError("kriging takes mtf= or psf=, not both: each defines the width of the blur.")
    return replace(
        spec,
        mtf=_by_band("mtf", spec.mtf, "published", "estimate"),
        psf=_psfs(spec.psf),
        noise=_by_band("noise", spec.noise, "sentinel2"),
        prior=(exponent, outer_scale),
        strength=float(spec.strength),
    )


def observed(spec: Kriging, bands: Sequence[str], ratio: int, pixel_m: float | None) -> tuple[BandSensor, ...]:
    """Return how bands were observed whose pixels are `ratio` times as wide as those of the finest grid.

    spec: as `check_kriging` returns it. pixel_m: size of the pixels of the finest grid; its first digit counts, so that
    crops of a cube in degrees, whose pixels differ a little, get the same filters.
    Raises OptionError for a band whose MTF or noise is not known.
    """
    return tuple(
        BandSensor(observation_of(spec, band, spec.scale * ratio, ratio, pixel_m), _noise(spec, band)) for band in bands
    )


def observation_of(spec: Kriging, band: str, scale: int, ratio: int, pixel_m: float | None) -> Observation:
    """Return how a band was observed. scale: fine pixels per one of its own. Others: as `observed`."""
    exponent, outer_scale = spec.prior
    own_m = float(f"{pixel_m or NOMINAL_M:.0e}") * ratio
    psf = _psf_of(spec, band, scale, float(f"{pixel_m or NOMINAL_M:.1e}") * ratio)
    return Observation(psf, scale, exponent, outer_scale / own_m)


def _psf_of(spec: Kriging, band: str, factor: int, pixel_m: float) -> Psf:
    """Return the point spread function of a band, whose pixels are `factor` fine ones or `pixel_m` meters wide."""
    given: Any = spec.psf
    if _is_by_band(given):
        given = dict(given).get(band, "mtf")
    if given == "mtf":
        (mtf,) = mtf_of(spec, [band])
        if width_of(mtf) > MOST_WIDTH:
            raise OptionError(
                f"mtf={mtf:g} of {band} is a Gaussian with a standard deviation of {width_of(mtf):.3g} of its pixels; "
                f"expected at most {MOST_WIDTH:g}. Sentinel-2's MTF is 0.22 to 0.38."
            )
        return gaussian_psf(mtf, factor)
    return psf_from(given, band, factor, pixel_m)


def psf_from(given: Any, band: object, factor: int, pixel_m: float) -> Psf:
    """Return a point spread function as `check_psf` returned it, in fine pixels.

    band: for the message. factor: fine pixels per one of the band. pixel_m: size of the band's pixels in meters.
    Raises OptionError for a Gaussian that is much narrower or wider than a pixel, and a kernel wider than MOST_SIDE.
    """
    if isinstance(given, tuple):
        _refuse_wide(f"psf= of {band}", np.shape(given), MOST_SIDE * factor)
        return kernel_psf(given)
    pixels = given if isinstance(given, float) else _meters(given) / pixel_m
    if not LEAST_WIDTH <= pixels <= MOST_WIDTH:
        raise OptionError(
            f"psf={shown(given)} of {band} is a standard deviation of {pixels:g} of its pixels; expected "
            f"{LEAST_WIDTH:g} to {MOST_WIDTH:g} pixels. Sentinel-2's are 0.44 to 0.56."
        )
    return gaussian(pixels * factor)


def _psfs(value: Option) -> Option:
    """Check point spread functions, one for all bands or by band, and make them hashable."""
    if isinstance(value, Mapping) or _is_by_band(value):
        pairs: Any = value.items() if isinstance(value, Mapping) else value
        if unknown := [band for band, _ in pairs if not isinstance(band, str) or find_band(band) is None]:
            raise OptionError(
                f"psf=: {shown(unknown[0])} is not a band of Sentinel-2; expected such as 'B04' or 'red'. {_ALONE}"
            )
        _refuse_twice("psf", [canonical(band) for band, _ in pairs])
        found = {canonical(band): check_psf(f"psf[{band!r}]", each) for band, each in pairs}
        return tuple((band, found[band]) for band in sorted(found))
    return "mtf" if is_one_of(value, ("mtf",)) else check_psf("psf", value)


def _refuse_twice(name: str, bands: Sequence[str]) -> None:
    """Raise OptionError for a band that is there under two of its names."""
    if twice := [band for band in bands if bands.count(band) > 1]:
        raise OptionError(f"{name}=: {twice[0]} is given twice, by two of its names. Leave one of them out.")


def check_psf(what: str, value: Any) -> Any:
    """Return a point spread function as kriging takes it: pixels as a number, meters as text, a kernel as rows.

    what: the argument, for the message. Raises OptionError for anything else.
    """
    if is_number(value) and value > 0 and math.isfinite(value):
        return float(value)
    if isinstance(value, str) and _METERS.fullmatch(value) and _meters(value) > 0:
        return f"{_meters(value)!r} m"  # the same text for the same width
    if isinstance(value, str | Mapping) or is_number(value) or np.ndim(value) != 2:
        raise OptionError(
            f"{what}={shown(value)}: expected a standard deviation in pixels of the band, such as 0.5, one in meters, "
            "such as '5.3 m', or a (y, x) array of weights, one per output pixel."
        )
    _refuse_wide(what, np.shape(value), _MOST_SAMPLES)
    return tuple(tuple(map(float, row)) for row in checked_kernel(value))


def _refuse_wide(what: str, shape: tuple[int, ...], most: int) -> None:
    """Raise OptionError for a kernel wider than `most` output pixels."""
    if max(shape) > most:
        raise OptionError(
            f"{what} is a kernel of {shape[0]} x {shape[1]} output pixels; expected at most {most} a side, "
            f"{MOST_SIDE} pixels of the band, beyond which the filters do not reach. Cut it to its middle, where "
            "a sensor has nearly all of its weight."
        )


def _meters(text: str) -> float:
    return float(text.removesuffix("m"))


def _is_by_band(value: object) -> bool:
    """Return whether these are pairs of a band and what belongs to it, as `_psfs` returns them."""
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], tuple) and isinstance(value[0][0], str)


def mtf_of(spec: Kriging, bands: Sequence[str]) -> tuple[float, ...]:
    """Return the MTF of bands at the Nyquist frequency of their own pixels. Raises OptionError if one is not known."""
    if is_one_of(spec.mtf, ("estimate",)):
        raise OptionError(
            "mtf='estimate': the MTF is measured for model='kriging' alone. Pass what `cube.sr.estimate_mtf()` found, "
            "as numbers by band: mtf={'B04': 0.25}."
        )
    given = dict(MTF_AT_NYQUIST) if spec.mtf == "published" else _numbers(spec.mtf, bands, MTF_AT_NYQUIST)
    if unknown := [band for band in bands if band not in given]:
        raise OptionError(
            f"mtf=: no MTF is known for {unknown}. Pass its value at the Nyquist frequency: mtf=0.25 for all bands, or "
            f"mtf={{{unknown[0]!r}: 0.25}}."
        )
    return tuple(given[band] for band in bands)


def _noise(spec: Kriging, band: str) -> Strength:
    if spec.noise != "sentinel2":
        numbers = _numbers(spec.noise, [band], {})
        if band in numbers:
            return Strength(numbers[band])
    if band not in SIGNAL_TO_NOISE:
        raise OptionError(
            f"noise=: the noise of {band!r} is not known. Pass its standard deviation in reflectance: noise=0.002 for "
            f"all bands, or noise={{{band!r}: 0.002}}."
        )
    return strength_of(band)


def _numbers(value: Option, bands: Sequence[str], known: Mapping[str, float]) -> dict[str, float]:
    """Return numbers by band, of one number for all or of pairs beside those that are known."""
    if is_number(value):
        return dict.fromkeys(bands, float(value))  # type: ignore[arg-type]
    return {**known, **dict(value)}  # type: ignore[arg-type]


def _by_band(name: str, value: Option, word: str, *more: str) -> Option:
    """Check a word, a number, or numbers by band, which are returned as pairs with canonical names."""
    if isinstance(value, Mapping | tuple):
        pairs: Any = value.items() if isinstance(value, Mapping) else value
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            raise OptionError(f"{name}={shown(value)}: expected {word!r}, one number, or a dict of numbers by band.")
        if unknown := [band for band, _ in pairs if not isinstance(band, str) or find_band(band) is None]:
            raise OptionError(
                f"{name}=: {shown(unknown[0])} is not a band of Sentinel-2; expected such as 'B04' or 'red'. {_ALONE}"
            )
        _refuse_twice(name, [canonical(band) for band, _ in pairs])
        return tuple(sorted((canonical(band), _number(f"{name}[{band!r}]", name, each)) for band, each in pairs))
    if isinstance(value, str):
        if value not in (word, *more):
            words = ", ".join(map(repr, (word, *more)))
            raise OptionError(f"{name}={shown(value)}: expected {words}, a number, or numbers by band: {{'B04': 0.2}}.")
        return value
    return _number(name, name, value)


def _number(what: str, name: str, value: object) -> float:
    if not is_number(value) or not 0 < float(value) < 1:  # type: ignore[arg-type]
        kind = "the contrast at the Nyquist frequency" if name == "mtf" else "a standard deviation in reflectance"
        raise OptionError(f"{what}={shown(value)}: expected {kind}, a number between 0 and 1, or numbers by band.")
    return float(value)  # type: ignore[arg-type]
