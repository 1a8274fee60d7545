"""Between which shares of the members of an ensemble an area is counted: what was fitted, for what, and the counting.

Areas are computed in `area`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..cube.grid import geobox_of
from ..errors import CalibrationWarning, CubeError, warn_caller
from ..kernels.calibration import shipped
from ..kernels.psf import MTF_AT_NYQUIST
from ..spec import CALIBRATION_ATTR, MODEL_ATTR, OPTIONS_ATTR, SAME_GROUND_ATTR
from .classes import KIND_ATTR, LEVEL_ATTR, UNKNOWN
from .indices import NAME_ATTR
from .uncertain import MEMBER, Limits

_FITTED = NormalDist(0.01, 0.21)
"""Of the standard normal quantile of the share of members at which the area of a flood is the true one, over scenes:
by `python -m studies.flood_areas --fit`."""

FITTED_CLASS = "flooded"
_FITTED_INDEX, _FITTED_LEVEL, _FITTED_MEMBERS, _FITTED_MODEL = "NDWI", -0.1, 16, "kriging"
"""What they were fitted for."""

_FITTED_KM2 = (0.5, 2.0)
"""Areas of scenes that count as those of the fit, which had 0.92 km2: of windows of 0.1 km2 only half were covered."""


def shares_at(level: float) -> Limits:
    """Return the shares of members between which the true area lies in that part of scenes."""
    low, high = (NormalDist().cdf(_FITTED.inv_cdf((1 + sign * level) / 2)) for sign in (-1, 1))
    return low, high


def passed_by(members: xr.DataArray, codes: tuple[int, ...], shares: Limits) -> xr.DataArray:
    """Return where more than a share of the members that know a pixel has a class: (code, bound, ..., y, x), 0 and 1.

    codes: of the classes. bound: the larger share, of which the area is the lower bound, then the smaller one.
    """
    whole = members.chunk({MEMBER: -1}) if members.chunks is not None else members
    found: xr.DataArray = xr.apply_ufunc(
        _passed_of_block,
        whole,
        input_core_dims=[[MEMBER]],
        output_core_dims=[["code", "bound"]],
        kwargs={"codes": codes, "shares": shares[::-1]},
        dask="parallelized",
        output_dtypes=[np.uint8],
        dask_gufunc_kwargs={"output_sizes": {"code": len(codes), "bound": 2}},
    )
    return found.transpose("code", "bound", ...)


def _passed_of_block(
    maps: npt.NDArray[np.uint8], *, codes: tuple[int, ...], shares: tuple[float, ...]
) -> npt.NDArray[np.uint8]:
    """(..., member) to (..., code, bound)."""
    known = (maps != UNKNOWN).sum(-1)
    found = np.empty((*maps.shape[:-1], len(codes), len(shares)), np.uint8)
    for place, code in enumerate(codes):
        count, whole = (maps == code).sum(-1), maps.shape[-1] if code == UNKNOWN else known
        for number, share in enumerate(shares):
            found[..., place, number] = count > share * whole
    return found


def shares_for(members: xr.DataArray, level: float) -> Limits:
    """Return the shares of a level for maps of members.

    Warns CalibrationWarning where the maps are not of the kind that the shares were fitted for.
    """
    attrs, count = members.attrs, members.sizes[MEMBER]
    kind, model = attrs.get(KIND_ATTR), attrs.get(MODEL_ATTR, _FITTED_MODEL)
    size = _area_km2(members)
    found = [
        (f"maps of {kind}", kind == "flood"),
        (f"index {attrs.get(NAME_ATTR)}", attrs.get(NAME_ATTR) == _FITTED_INDEX),
        (f"threshold {attrs.get(LEVEL_ATTR)}", _is_fitted_level(attrs.get(LEVEL_ATTR))),
        (f"{count} members", count == _FITTED_MEMBERS),
        (f"model {model}", model == _FITTED_MODEL),
        ("same_ground=False", attrs.get(SAME_GROUND_ATTR, 1) != 0),
        (
            "members without the package's calibration",
            model != _FITTED_MODEL or _is_fitted_calibration(attrs.get(CALIBRATION_ATTR)),
        ),
        *((f"{name}=", False) for name in _changed_options(attrs)),
        (f"a scene of {size:.2g} km2", _FITTED_KM2[0] <= size <= _FITTED_KM2[1]),
    ]
    if other := [what for what, fits in found if not fits]:
        warn_caller(
            "the bounds of these areas are not calibrated: the shares of members between which they are counted were "
            f"fitted for floods by {_FITTED_INDEX} > {_FITTED_LEVEL:g}, {_FITTED_MEMBERS} members, model "
            f"{_FITTED_MODEL} with its default options, scenes of about 1 km2; here: {', '.join(other)}. Map it so, "
            "or fit shares on places with a reference (docs/floods.md, 'Shares of your own') and pass them: "
            "found.sr.areas(shares=(0.3, 0.7)).",
            CalibrationWarning,
        )
    return shares_at(level)


def check_members(members: xr.DataArray, shares: Limits) -> Limits:
    """Return shares. Raises CubeError for a single member; warns where there is no step of members between them."""
    count = members.sizes[MEMBER]
    if count < 2:
        raise CubeError("one member has an area and no interval. Draw more: cube.sr.ensemble(16, members=True).")
    least, most = (int(count * share) for share in shares)
    if least == most:
        warn_caller(
            f"{count} members have no share between {shares[0]:.3g} and {shares[1]:.3g}, so both bounds count the same "
            f"pixels. Draw more members: at least {int(1 / (shares[1] - shares[0])) + 1}.",
            CalibrationWarning,
        )
    return shares


def _area_km2(members: xr.DataArray) -> float:
    """Return the area of a scene, roughly where its grid is in degrees; that of the fit where nothing says it."""
    geobox = geobox_of(members)
    if geobox is None or geobox.crs is None:
        return 1.0
    pixel = abs(geobox.affine.determinant)
    if geobox.crs.geographic:
        pixel *= 111_320.0**2 * np.cos(np.deg2rad((geobox.affine * (0, geobox.shape[0] / 2))[1]))
    else:
        units = geobox.crs.proj.axis_info
        pixel *= units[0].unit_conversion_factor ** 2 if units else 1.0
    return float(pixel * geobox.shape[0] * geobox.shape[1] / 1e6)


def _is_fitted_calibration(note: object) -> bool:
    package = shipped(_FITTED_MODEL)
    return note is None or package is None or note == package.note


def _changed_options(attrs: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the options of kriging that are not the default ones, as the attributes of a result have them."""
    text = attrs.get(OPTIONS_ATTR)
    if attrs.get(MODEL_ATTR) != _FITTED_MODEL or not isinstance(text, str):
        return
    package = shipped(_FITTED_MODEL)
    usual = {} if package is None else json.loads(json.dumps(dict(package.options or {})))
    try:
        given = dict(json.loads(text))
    except (TypeError, ValueError):
        return
    for name, value in given.items():
        if name == "mtf" and isinstance(value, dict):
            same = all(number == MTF_AT_NYQUIST.get(band) for band, number in value.items())
        else:
            same = value == usual.get(name)
        if not same and name in {*usual, "psf"}:
            yield name


def _is_fitted_level(text: object) -> bool:
    try:
        return abs(float(str(text)) - _FITTED_LEVEL) < 1e-6
    except ValueError:  # of Otsu's method
        return False
