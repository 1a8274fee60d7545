"""The public function `interval`: an estimate with its standard deviation and bounds, in one pass over the cube."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import xarray as xr

from ..arguments import check_flag, check_number, shown
from ..cube.select import AnyCube, pick
from ..cube.sensors import FOR_MODELS, explains_sensors
from ..errors import OptionError, warns_once
from ..kernels import Spread
from ..kernels.calibration import Calibration, gaussian_width, shipped
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..spec import Option
from .api import described_as_in_upscale
from .inputs import Chunks, LayoutChoice
from .plan import Plan, graph, rebuild
from .planning import plan
from .request import Request

LEVEL_ATTR, CALIBRATION_ATTR = "xr_sr:level", "xr_sr:calibration"

LEAST_LEVEL, MOST_LEVEL = 0.05, 0.99

GivenCalibration: TypeAlias = Calibration | str | os.PathLike[str] | None
"""A calibration, a file that one was saved in, or None for that of the package."""

Arrays: TypeAlias = tuple[xr.DataArray, ...]


@warns_once
@explains_sensors(FOR_MODELS)
@described_as_in_upscale
def interval(
    obj: AnyCube,
    level: float = 0.9,
    model: str = "kriging",
    *,
    calibrated: bool = True,
    calibration: GivenCalibration = None,
    bands: Sequence[str] | None = None,
    other: AnyCube | None = None,
    layout: LayoutChoice = "auto",
    weights: str | Path | None = None,
    device: str = "auto",
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    mask: xr.DataArray | None = None,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    chunks: Chunks = None,
    allow_gsd: bool = False,
    **options: Option,
) -> xr.Dataset:
    """Upscale a cube, and say for each value how far the truth may be from it; lazily, in one pass.

    level: share of pixels that the interval is to cover, 0.05 to 0.99.
    model: one that knows the scale of its error: "kriging", whose Gaussian model gives a variance in closed form.
    calibrated: multiply error scales by what was found on places with a reference (`calibration`), by band and by
        stratum of the input pixel: flat, edge or bright. False takes the scale of the model as the standard deviation
        of a normal distribution.
    calibration: from `xr_sr.calibrate` on pairs of your own, or a file of one; None takes that of the package, fitted
        for the model with its default options on aerial imagery as Sentinel-2 sees it. Bands that it lacks take what
        was found for all bands together.
    Other arguments: as in `upscale`.

    Returns a Dataset of four float32 variables on the finer grid, with the dims of `upscale` of a DataArray: bands lie
    along the cube's dimension of bands, or along `band` where they are variables. `estimate`: what `upscale` returns.
    `std`: standard deviation of the error, in reflectance, of the normal distribution whose central interval of this
    level has the calibrated width. `lower`, `upper`: the bounds of that interval, which may be below 0. NaN in all four
    where `upscale` has NaN. Errors of neighboring pixels belong together: the interval of a sum or an area is not the
    sum of intervals. No constraint is applied beyond the model's own.
    Raises what `upscale` raises, and OptionError for a model without an error scale, a level out of range, or a
    calibration of another model.
    """
    check_number("level", level, least=LEAST_LEVEL, most=MOST_LEVEL)
    request = Request(
        model,
        bands=bands,
        other=other,
        layout=layout,
        weights=weights,
        device=device,
        offset=offset,
        quantification=quantification,
        nodata=nodata,
        mask=mask,
        precision=precision,
        chunks=chunks,
        allow_gsd=allow_gsd,
        options=options,
    )
    made = plan(obj, request)
    check_error_scale(made)
    used = calibration_for(made.spec.name, calibrated, calibration)

    def spread_of(names: Sequence[str]) -> Spread:
        if used is None:
            return Spread(((1.0, 1.0, 1.0),) * len(names))
        return Spread(tuple(used.factors(name, level) for name in names))

    estimate, std = _variables(made, spread_of)
    width = std * gaussian_width(level)
    found = {"estimate": estimate, "std": std, "lower": estimate - width, "upper": estimate + width}
    return together(found, {LEVEL_ATTR: float(level), CALIBRATION_ATTR: "none" if used is None else used.note})


def together(found: dict[str, xr.DataArray], more: dict[str, float | str]) -> xr.Dataset:
    """Return variables as one Dataset, all with the attributes and the encoding of `estimate`."""
    first = found["estimate"]
    variables: dict[Hashable, xr.DataArray] = {}
    for name, array in found.items():
        variables[name] = array.rename(name).assign_attrs({**first.attrs, **(more if name != "estimate" else {})})
        variables[name].encoding = first.encoding.copy()
    return xr.Dataset(variables, attrs={**first.attrs, **more})


def scored(obj: AnyCube, model: str, bands: Sequence[str] | None, device: str, **options: Option) -> Arrays:
    """Return the estimate, the error scale as the model gives it, and the number of the stratum, each as a DataArray.

    Arguments and errors as in `interval`.
    """
    made = plan(obj, Request(model, bands=bands, device=device, options=options))
    check_error_scale(made)
    return _variables(made, lambda names: Spread())


def check_error_scale(made: Plan) -> None:
    """Raise OptionError if the model of a plan does not know the scale of its error."""
    if not made.spec.error_scale:
        raise OptionError(
            f"model={made.spec.name!r} does not know the scale of its error. Use one that does: model='kriging'."
        )


def calibration_for(model: str, calibrated: bool, given: GivenCalibration) -> Calibration | None:
    """Return the calibration to be used for a model, None for none. Raises OptionError for one of another model."""
    check_flag("calibrated", calibrated)
    if not calibrated:
        if given is not None:
            raise OptionError("calibration= has no use with calibrated=False. Leave one of them out.")
        return None
    if isinstance(given, str | os.PathLike):
        given = Calibration.load(given)
    found = shipped(model) if given is None else given
    if not isinstance(found, Calibration):
        what = f"calibration={shown(given)}: expected" if given is not None else f"{model!r} needs"
        raise OptionError(f"{what} a calibration, as xr_sr.calibrate(lr, hr) returns it, or a file of one.")
    if found.model != model:
        raise OptionError(f"calibration= is of {found.model!r}, the model is {model!r}. Fit one for it.")
    return found


def _variables(made: Plan, spread_of: Callable[[Sequence[str]], Spread]) -> Arrays:
    """Return all planes of a plan with spreads: the estimates, their deviations, and so on, each as a DataArray."""
    steps = []
    for step in made.steps:
        spread, recipe, count = spread_of(step.bands), step.recipe, len(step.bands)
        planes = range(spread.planes)
        recipe = replace(
            recipe,
            kernel=replace(recipe.kernel, spread=spread),
            out_of=recipe.out_of * spread.planes,
            give=tuple(place + number * count for number in planes for place in recipe.give),
        )
        steps.append(replace(step, recipe=recipe, bands=_named(step.bands, spread.planes)))
    wide = replace(made, steps=tuple(steps), wanted=_named(made.wanted, spread.planes))
    arrays, count = graph(wide), len(made.wanted)
    found = []
    for number in planes:
        part = slice(number * count, (number + 1) * count)
        found.append(
            _as_array(made, rebuild(made, arrays[part] if isinstance(arrays, list) else arrays[..., part, :, :]))
        )
    return tuple(found)


def _named(bands: Sequence[str], planes: int) -> tuple[str, ...]:
    """Return a name for each plane, the estimates under those of their bands."""
    return tuple(band if number == 0 else f"{band} {number}" for number in range(planes) for band in bands)


def _as_array(made: Plan, result: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return a result as a DataArray, variables of bands along `band`. Flags on the grid are left out."""
    if isinstance(result, xr.DataArray):
        return result
    planes = pick(made.whole, made.wanted, reader=made.spec.name)
    names = [plane.name for plane in planes]
    chosen = result[names].drop_vars("band", errors="ignore")
    array = chosen.to_dataarray("band").transpose(..., "band", made.cube.y, made.cube.x)
    array.attrs = {"units": result[names[0]].attrs["units"], **result.attrs}
    array.encoding = result[names[0]].encoding.copy()
    return array
