"""The public function `interval`: an estimate with its standard deviation and bounds, in one pass over the cube."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..arguments import check_flag, check_number, shown
from ..catalog import registry
from ..catalog.models import Model, Network
from ..cube.select import AnyCube, pick
from ..cube.sensors import FOR_MODELS, explains_sensors
from ..errors import CalibrationWarning, OptionError, warn_caller, warns_once
from ..kernels import KernelRef, Spread, simulation_halo
from ..kernels.calibration import Calibration, gaussian_width, shipped
from ..kernels.resolve import options_with
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..spec import CALIBRATION_ATTR, INTERVAL_LEVEL_ATTR, LEAST_LEVEL, MOST_LEVEL, Option
from ..tiling.blocks import some_bands
from .api import described_as_in_upscale
from .draws import draws_of
from .inputs import Chunks, LayoutChoice
from .plan import Plan, graph, rebuild
from .planning import plan
from .request import Request
from .steps import Step

GivenCalibration: TypeAlias = Calibration | str | os.PathLike[str] | None
"""A calibration, a file that one was saved in, or None for that of the package."""

Arrays: TypeAlias = tuple[xr.DataArray, ...]

SCORED = 16
"""Members whose deviation is compared with errors, of a model that draws."""

Factors: TypeAlias = tuple[float, float, float]


@warns_once
@explains_sensors(FOR_MODELS)
@described_as_in_upscale
def interval(
    obj: AnyCube,
    level: float = 0.9,
    model: str = "sen2sr",
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
    model: one that knows the scale of its error: "sen2sr", for cubes with its four 10 m bands or all ten, or "kriging",
        for any bands of Sentinel-2. The Gaussian model of kriging gives a variance in closed form; "sen2sr" takes the
        same, since it adds to kriging, and for its 20 m bands the variance of regression kriging.
    calibrated: multiply error scales by what was found on places with a reference (`calibration`), by band and by
        stratum of the input pixel: flat, edge or bright. False takes the scale of the model as the standard deviation
        of a normal distribution.
    calibration: from `xr_sr.calibrate` on pairs of your own, or a file of one; None takes that of the package, fitted
        for the model with its default options on aerial imagery as Sentinel-2 sees it, for 20 m bands on those of
        Sentinel-2 seen at 160 m, for 60 m bands on finer ones seen at 240 m. Bands that it lacks take what was found
        for all bands together. It is for the options that it was fitted with, such as `scale`, `strength`, `mtf` and
        `psf`, where it has a record of them.
    Other arguments: as in `upscale`.

    Returns a Dataset of four float32 variables on the finer grid, with the dims of `upscale` of a DataArray: bands lie
    along the cube's dimension of bands, or along `band` where they are variables. `estimate`: what `upscale` returns.
    `std`: standard deviation of the error, in reflectance, of the normal distribution whose central interval of this
    level has the calibrated width. `lower`, `upper`: the bounds of that interval, which may be below 0. NaN in all four
    where `upscale` has NaN. Errors of neighboring pixels belong together: the interval of a sum or an area is not the
    sum of intervals. No constraint is applied beyond the model's own.
    Raises what `upscale` raises, such as MissingBandError where "sen2sr" lacks bands, and OptionError for a model
    without an error scale, a level out of range, or a calibration of another model or other options of it. Warns
    CalibrationWarning where options are not those that the package's calibration was fitted with.
    """
    if isinstance(level, str):
        raise OptionError(f"level={level!r}: expected a number, such as 0.9. For a model pass model={level!r}.")
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
    used = calibration_for(made.spec.name, calibrated, calibration, options, made.wanted)

    def with_spread(kernel: KernelRef, step: Step) -> KernelRef:
        return replace(kernel, spread=Spread(factors_of(used, bands_of(step), level)), draws=None)

    estimate, std = planes_of(made, with_spread, 2)
    return together(
        bounded(estimate, std, level),
        {INTERVAL_LEVEL_ATTR: float(level), CALIBRATION_ATTR: "none" if used is None else used.note},
    )


def bounded(estimate: xr.DataArray, std: xr.DataArray, level: float) -> dict[str, xr.DataArray]:
    """Return the variables of a result: with the bounds of the central interval of normal distributions."""
    width = gaussian_width(level)
    bounds = [
        estimate.copy(
            data=da.map_blocks(_bound, estimate.data, std.data, sign * width, dtype="float32", meta=estimate.data._meta)
        )
        for sign in (-1, 1)
    ]
    return {"estimate": estimate, "std": std, "lower": bounds[0], "upper": bounds[1]}


def _bound(estimate: NDArray[np.float32], std: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return estimate + factor * std; in one array, since fetching memory costs more than the sum."""
    out = std * np.float32(factor)
    out += estimate
    return out


def together(found: dict[str, xr.DataArray], more: dict[str, float | str]) -> xr.Dataset:
    """Return variables as one Dataset, all with the attributes and the encoding of `estimate`."""
    first = found["estimate"]
    variables: dict[Hashable, xr.DataArray] = {}
    for name, array in found.items():
        variables[name] = array.rename(name).assign_attrs({**first.attrs, **(more if name != "estimate" else {})})
        variables[name].encoding = first.encoding.copy()
    return xr.Dataset(variables, attrs={**first.attrs, **more})


def scored(
    obj: AnyCube, model: str, bands: Sequence[str] | None, device: str, drawn: bool = False, **options: Option
) -> Arrays:
    """Return the estimate, the error scale as the model gives it, and the number of the stratum, each as a DataArray.

    drawn: the scale is the deviation of SCORED members instead. Other arguments and errors as in `interval`.
    """
    made = plan(obj, Request(model, bands=bands, device=device, options=options))
    check_error_scale(made)
    found = planes_of(made, lambda kernel, step: replace(kernel, spread=Spread(), draws=None), 3)
    if not drawn:
        return found
    if not draws_itself(made.spec):
        raise OptionError(
            f"drawn=True: {made.spec.name!r} has no members of its own, whose deviations would need a calibration. "
            "Leave it out."
        )

    def with_draws(kernel: KernelRef, step: Step) -> KernelRef:
        return replace(kernel, draws=draws_of(made.cube, bands_of(step), 0, count=SCORED, kept=False))

    return (*planes_of(made, with_draws, 2), found[2])


def draws_itself(spec: Model) -> bool:
    """Return whether the members of a model come from its network, and not from the deviation of its errors."""
    return isinstance(spec, Network) and spec.stochastic


def full_name(model: str, bands: Sequence[str]) -> str:
    """Return the name of the variant of a family that knows the scale of its error, any other name as it is.

    bands: those that it is to compute, as far as the family can: the first variant with all of them.
    """
    known = [each for each in registry.variants_of(model) if each.error_scale]
    asked_for = {*map(registry.canonical, bands)} & {band for each in known for band in each.bands}
    return next((each.name for each in known if asked_for <= {*each.bands}), model)


def check_error_scale(made: Plan) -> None:
    """Raise OptionError if the model of a plan does not know the scale of its error."""
    if made.spec.error_scale and all(step.guidance is None for step in made.steps):
        return
    families = dict.fromkeys(registry.get(name).family for name in registry.names())
    able = [name for name in families if any(each.error_scale for each in registry.variants_of(name))]
    family = registry.variants_of(made.spec.family) if registry.is_name(made.spec.family) else ()
    known = next((f", or bands={list(each.bands)}" for each in family if each.error_scale), "")
    raise OptionError(
        f"model={made.spec.name!r} does not know the scale of its error for these bands. Use one that does, of "
        f"{able}; 'kriging' does for any bands of Sentinel-2{known}."
    )


def calibration_for(
    model: str,
    calibrated: bool,
    given: GivenCalibration,
    options: Mapping[str, Option],
    bands: Sequence[str],
    *,
    drawn: bool = False,
) -> Calibration | None:
    """Return the calibration to be used for some bands of a model, None for none. options: as the user set them.

    drawn: of the deviations of members, for a model that draws.
    Raises OptionError for one of another model, and for one of the user's that was fitted with other options; warns
    with a CalibrationWarning where that is the package's.
    """
    check_flag("calibrated", calibrated)
    if not calibrated:
        if given is not None:
            raise OptionError("calibration= has no use with calibrated=False. Leave one of them out.")
        return None
    if isinstance(given, str | os.PathLike):
        given = Calibration.load(given)
    found = shipped(f"{model}.members" if drawn else model) if given is None else given
    if not isinstance(found, Calibration):
        what = f"calibration={shown(given)}: expected" if given is not None else f"{model!r} needs"
        raise OptionError(f"{what} a calibration, as xr_sr.calibrate(lr, hr) returns it, or a file of one.")
    if found.family != model.partition(".")[0]:
        raise OptionError(f"calibration= is of {found.model!r}, the model is {model!r}. Fit one for it.")
    now_used = options_with(model, options) | ({"drawn": drawn} if draws_itself(registry.get(model)) else {})
    if changed := found.changed(now_used, bands):
        fitted, now = (", ".join(f"{name}={shown(pair[i])}" for name, pair in changed.items()) for i in (0, 1))
        told = ", ".join(f"{name}={shown(now_used[name])}" for name in (*options, *changed) if name in now_used)
        told += ", drawn=True" * (drawn and "drawn" not in changed)
        way = (
            f"fit one with the same options, xr_sr.calibrate(lr, hr, {model!r}, {told}), or take the model's own error "
            "scale, calibrated=False"
        )
        if given is not None:
            raise OptionError(
                f"calibration= was fitted with {fitted}; with {now} intervals would not cover what they say. Use the "
                f"options that it was fitted with; or {way}."
            )
        warn_caller(
            f"the package's calibration of {model!r} was fitted with {fitted}; with {now} intervals may cover more or "
            f"less than they say. To be sure, {way}.",
            CalibrationWarning,
        )
    return found


def factors_of(used: Calibration | None, bands: Sequence[str], level: float) -> tuple[Factors, ...]:
    """Return for each band by which its error scales are multiplied: 1 without a calibration."""
    return tuple((1.0, 1.0, 1.0) if used is None else used.factors(band, level) for band in bands)


def planes_of(made: Plan, kernel_of: Callable[[KernelRef, Step], KernelRef], planes: int) -> Arrays:
    """Return all planes of a plan whose kernels return several per band, each as a DataArray.

    kernel_of: changes the kernel of a step into one that returns all bands, then all of the second plane, and so on.
    """
    steps = []
    for step in made.steps:
        kernel = kernel_of(step.recipe.kernel, step)
        count = len(bands_of(step))
        recipe = replace(
            step.recipe,
            kernel=kernel,
            halo=max(step.recipe.halo, halo_of(kernel, step)),
            out_of=step.recipe.out_of * planes,
            give=tuple(place + number * count for number in range(planes) for place in step.recipe.give),
        )
        steps.append(replace(step, recipe=recipe, bands=_named(step.bands, planes)))
    wide = replace(made, steps=tuple(steps), wanted=_named(made.wanted, planes))
    arrays, count = graph(wide), len(made.wanted)
    found = []
    for number in range(planes):
        first = number * count
        own = arrays[first : first + count] if isinstance(arrays, list) else some_bands(arrays, first, count)
        found.append(as_array(made, rebuild(made, own)))
    return tuple(found)


def bands_of(step: Step) -> tuple[str, ...]:
    """Return the bands that the kernel of a step returns, in its order."""
    spec = step.recipe.kernel.spec
    return spec.bands_out or spec.bands or step.bands


def halo_of(kernel: KernelRef, step: Step) -> int:
    """Return the pixels of the finest grid around a block that drawing members reads; 0 where none are drawn."""
    if kernel.draws is None or not kernel.sensors:  # a network's draws read what its mean reads
        return 0
    return simulation_halo(kernel.sensors) * (step.coarse.ratio if step.coarse is not None else 1)


def _named(bands: Sequence[str], planes: int) -> tuple[str, ...]:
    """Return a name for each plane, the estimates under those of their bands."""
    return tuple(band if number == 0 else f"{band} {number}" for number in range(planes) for band in bands)


def as_array(made: Plan, result: xr.DataArray | xr.Dataset) -> xr.DataArray:
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
