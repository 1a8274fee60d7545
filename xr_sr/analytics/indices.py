"""Spectral indices of cubes, lazily: bands to reflectance, one formula, one map for each date."""

from __future__ import annotations

from typing import Any, overload

import xarray as xr

from ..arguments import order_hint, shown
from ..cube.grid import crs_coord_name
from ..cube.select import AnyCube
from ..cube.sensors import FOR_INDICES, explains_sensors
from ..errors import OptionError, warns_once
from ..radiometry.resolve import OWN_ATTR, Nodata, Offset, Quantification
from ..spec import CALIBRATION_ATTR, SAME_GROUND_ATTR, WEIGHTS_ATTR, provenance_of
from .bands import GridChoice, check_options, read_bands
from .formulas import LETTERS, constants_of, evaluate_formula, find_index, propagate_formula
from .uncertain import Uncertain, deviation_of, uncertain_of, with_bounds

LEAST = 1e-4
"""Reflectance that members have at least in an index: their errors are normal, and over dark water reach below 0, where
a sum of bands that is not positive would leave them without an index."""

NAME_ATTR = "xr_sr:index"
"""The attribute in which an index says its name."""


@overload
def index(
    cube: xr.DataArray | xr.DataTree,
    name: str,
    *,
    grid: GridChoice | None = ...,
    offset: Offset = ...,
    quantification: Quantification = ...,
    nodata: Nodata = ...,
    **constants: float,
) -> xr.DataArray: ...


@overload
def index(
    cube: AnyCube,
    name: str,
    *,
    grid: GridChoice | None = ...,
    offset: Offset = ...,
    quantification: Quantification = ...,
    nodata: Nodata = ...,
    **constants: float,
) -> xr.DataArray | xr.Dataset: ...


@overload
def index(
    cube: AnyCube,
    name: list[str] | tuple[str, ...],
    *,
    grid: GridChoice | None = ...,
    offset: Offset = ...,
    quantification: Quantification = ...,
    nodata: Nodata = ...,
    **constants: float,
) -> xr.Dataset: ...


@warns_once
@explains_sensors(FOR_INDICES)
def index(
    cube: AnyCube,
    name: str | list[str] | tuple[str, ...],
    *,
    grid: GridChoice | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    **constants: float,
) -> xr.DataArray | xr.Dataset:
    """Compute a spectral index, such as "NDVI" or "MNDWI", of LR or SR.

    cube: a DataArray, Dataset or DataTree of bands under the names of any catalog, DN or reflectance; or a result of
        `ensemble`, `interval` or `multiframe`, for the index with its error.
    name: one of NDVI EVI SAVI NDRE NDMI NDWI MNDWI AWEIsh AWEInsh NDBI NBR NDSI, or any of spyndex (extra
        "indices"); several give a Dataset; of a result with its error one at a time.
    grid: of a DataTree whose bands lie on two grids. "fine": each coarse pixel is repeated over the finer grid; also
        done by default, with a BandWarning. "coarse": the finer bands are averaged; NaN where one pixel is NaN.
    offset, quantification, nodata: as in `reflectance`. constants: other letters of the formula, such as L=0.5.

    Returns a DataArray (*lead, y, x), float32, lazy, with formula and source in its attributes. NaN where a band is NaN
    or the quotient is undefined. Normalised differences lie in -1..1: they are NaN where the sum of both bands is not
    positive, and `to_zarr` packs them as int16; others it stores as float32.
    Of an ensemble or interval, a Dataset: `estimate`, the index of its estimate; `std`; `lower` and `upper`, the bounds
    of a normal distribution of that deviation at the level of the bands, within those of the index; and `members`, the
    index of each member, where there are any. Members count as 0.0001 where they are below it, since reflectance is not
    negative. From them, `std` is the root of their mean squared difference from the estimate. Without them it is
    propagated to first order, the errors of different bands taken as independent: too large for a difference of bands
    whose errors have one sign, as along the edge of soil and water; too small where they have opposite signs.
    Where an error is not small against the sum of the bands, as over dark water, the first order is rough: `std` of a
    normalized difference is then cut at 1, the largest that values in -1..1 have; that of other indices is not cut.
    Raises OptionError for an unknown index or constant, MissingLibraryError where spyndex would be needed,
    MissingBandError, GridError and RadiometryError.
    """
    options: dict[str, Any] = {"grid": grid, "offset": offset, "quantification": quantification, "nodata": nodata}
    check_options(**options)
    if (given := uncertain_of(cube)) is not None:
        return _with_error(given, name, constants, options)
    if isinstance(name, str):
        return _one(cube, name, constants, options)
    if not isinstance(name, list | tuple) or not name:
        raise OptionError(
            f"name={shown(name)}: expected the name of an index, such as 'NDVI', or a list of names.{order_hint(name)}"
        )
    letters_of = {each: find_index(each).formula.letters for each in name}
    known = {letter for letters in letters_of.values() for letter in letters}
    if unknown := sorted(set(constants) - known):
        raise OptionError(f"{unknown} are letters of none of {list(name)}, whose letters are {sorted(known)}.")
    own = {each: {key: constants[key] for key in constants if key in letters_of[each]} for each in letters_of}
    maps = [_one(cube, each, own[each], options) for each in own]
    return xr.Dataset({str(array.name): array for array in maps})


def _constants_attr(values: dict[str, Any], bands: list[str]) -> dict[str, str]:
    """Return the constants of a formula as an attribute; a store is resumed only with the same ones."""
    text = ", ".join(f"{letter} {value:g}" for letter, value in sorted(values.items()) if letter not in bands)
    return {"xr_sr:constants": text} if text else {}


def _with_error(given: Uncertain, name: object, constants: dict[str, float], options: dict[str, Any]) -> xr.Dataset:
    """Compute an index of an estimate, and its deviation from members or from the deviations of the bands."""
    if not isinstance(name, str):
        raise OptionError(
            f"name={shown(name)}: of a result of ensemble, interval or multiframe, expected the name of one index. "
            "For several: {name: obj.sr.index(name) for name in names}."
        )
    estimate = _one(given.estimate, name, constants, options)
    known = given.std.attrs
    estimate.attrs |= {key: known[key] for key in (CALIBRATION_ATTR, SAME_GROUND_ATTR) if key in known}
    if given.members is None:
        return with_bounds(estimate, _propagated(given, name, constants, options), None, given.level)
    members = _one(given.members.clip(LEAST, keep_attrs=True), name, constants, options)
    return with_bounds(estimate, deviation_of(members, estimate), members, given.level)


def _propagated(given: Uncertain, name: str, constants: dict[str, float], options: dict[str, Any]) -> xr.DataArray:
    """Return the deviation of an index, of first order, where its estimate is a number."""
    chosen = find_index(name)
    wanted = {letter: LETTERS[letter] for letter in chosen.formula.letters if letter in LETTERS}
    reader = f"index {chosen.name!r}"
    values, spreads = (
        read_bands(array, list(wanted.values()), reader=reader, **options) for array in (given.estimate, given.std)
    )
    numbers = constants_of(chosen, constants)
    found: xr.DataArray = propagate_formula(
        chosen.formula,
        {**numbers, **{letter: values[band] for letter, band in wanted.items()}},
        {letter: spreads[band] for letter, band in wanted.items()},
    )
    return found.astype("float32")


def _one(cube: AnyCube, name: str, constants: dict[str, float], options: dict[str, Any]) -> xr.DataArray:
    chosen = find_index(name)
    formula = chosen.formula
    values: dict[str, Any] = dict(constants_of(chosen, constants))
    letters = [letter for letter in formula.letters if letter in LETTERS]
    if not letters:
        raise OptionError(f"{chosen.name} = {formula.text} reads no band of Sentinel-2, so there is nothing to map.")
    bands = read_bands(cube, [LETTERS[letter] for letter in letters], reader=f"index {chosen.name!r}", **options)
    values |= {letter: bands[LETTERS[letter]] for letter in letters}
    first = values[letters[0]]
    result: xr.DataArray = evaluate_formula(formula, values).astype("float32").rename(chosen.name)
    result.attrs = {
        "long_name": chosen.title,
        "units": "1",
        NAME_ATTR: chosen.name,
        "xr_sr:formula": f"{formula.text}; " + ", ".join(f"{letter} {LETTERS[letter]}" for letter in letters),
        "xr_sr:source": chosen.source,
        **_constants_attr(values, letters),
        OWN_ATTR: str(first.attrs.get(OWN_ATTR, "")),
        **provenance_of(next((each.attrs for each in bands.values() if WEIGHTS_ATTR in each.attrs), first.attrs)),
    }
    if formula.is_normalized_difference:
        result.attrs["xr_sr:bounds"] = [-1.0, 1.0]
    result.encoding = {"grid_mapping": crs_coord_name(first)} if crs_coord_name(first) in first.coords else {}
    return result
