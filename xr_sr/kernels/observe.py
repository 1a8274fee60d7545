"""Say how bands were observed, for kriging: from the options that a user set to point spread functions and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..arguments import check_choice, check_number, check_numbers, is_number, shown
from ..bands import find_band
from ..catalog.models import MOST_STRENGTH, Kriging
from ..catalog.registry import canonical
from ..errors import OptionError
from ..spec import Option
from .kriging_filters import Observation
from .protocol import BandSensor
from .psf import MTF_AT_NYQUIST, gaussian_psf
from .sensor_noise import SIGNAL_TO_NOISE, Strength, strength_of

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
    return replace(
        spec,
        mtf=_by_band("mtf", spec.mtf, "published"),
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
        BandSensor(observation_of(spec, mtf, spec.scale * ratio, ratio, pixel_m), _noise(spec, band))
        for band, mtf in zip(bands, mtf_of(spec, bands), strict=True)
    )


def observation_of(spec: Kriging, mtf: float, scale: int, ratio: int, pixel_m: float | None) -> Observation:
    """Return how a band was observed. mtf: at Nyquist. scale: fine pixels per one of its own. Others: as `observed`."""
    exponent, outer_scale = spec.prior
    own_m = float(f"{pixel_m or NOMINAL_M:.0e}") * ratio
    return Observation(gaussian_psf(mtf, scale), scale, exponent, outer_scale / own_m)


def mtf_of(spec: Kriging, bands: Sequence[str]) -> tuple[float, ...]:
    """Return the MTF of bands at the Nyquist frequency of their own pixels. Raises OptionError if one is not known."""
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


def _by_band(name: str, value: Option, word: str) -> Option:
    """Check a word, a number, or numbers by band, which are returned as pairs with canonical names."""
    if isinstance(value, Mapping | tuple):
        pairs: Any = value.items() if isinstance(value, Mapping) else value
        if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            raise OptionError(f"{name}={shown(value)}: expected {word!r}, one number, or a dict of numbers by band.")
        if unknown := [band for band, _ in pairs if not isinstance(band, str) or find_band(band) is None]:
            raise OptionError(
                f"{name}=: {shown(unknown[0])} is not a band of Sentinel-2; expected such as 'B04' or 'red'."
            )
        return tuple(sorted((canonical(band), _number(f"{name}[{band!r}]", name, each)) for band, each in pairs))
    if isinstance(value, str):
        check_choice(name, value, (word,))
        return value
    return _number(name, name, value)


def _number(what: str, name: str, value: object) -> float:
    if not is_number(value) or not 0 < float(value) < 1:  # type: ignore[arg-type]
        kind = "the contrast at the Nyquist frequency" if name == "mtf" else "a standard deviation in reflectance"
        raise OptionError(f"{what}={shown(value)}: expected {kind}, a number between 0 and 1, or numbers by band.")
    return float(value)  # type: ignore[arg-type]
