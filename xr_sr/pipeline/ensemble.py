"""The public function `ensemble`: images that the sensor may have seen as it did, by conditional simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from ..arguments import check_flag, check_number, check_whole
from ..catalog import registry
from ..catalog.generative import Diffusion
from ..catalog.models import Kriging
from ..cube.select import AnyCube
from ..cube.sensors import FOR_MODELS, explains_sensors
from ..errors import OptionError, warns_once
from ..kernels import KernelRef
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..spec import (
    CALIBRATION_ATTR,
    INTERVAL_LEVEL_ATTR,
    LEAST_LEVEL,
    MEMBERS_ATTR,
    MOST_LEVEL,
    SAME_GROUND_ATTR,
    SEED_ATTR,
    Option,
)
from .api import described_as_in_upscale
from .draws import check_samples, draws_of, samples_of
from .inputs import Chunks, LayoutChoice
from .interval import (
    GivenCalibration,
    bands_of,
    bounded,
    calibration_for,
    draws_itself,
    factors_of,
    planes_of,
    together,
)
from .planning import plan
from .request import Request
from .steps import Step

MOST_MEMBERS = 1000


@warns_once
@explains_sensors(FOR_MODELS)
@described_as_in_upscale
def ensemble(
    obj: AnyCube,
    n: int = 16,
    model: str = "kriging",
    *,
    seed: int = 0,
    members: bool = False,
    same_ground: bool = True,
    level: float = 0.9,
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
    """Draw fine images that the sensor may have seen as it did, and sum up how they differ; lazily.

    n: number of members, 2 to 1000. Those of kriging come in pairs on both sides of the estimate: 16 members are 8
        draws, and an even number of them has the estimate as its mean. Those of "diffusion" are drawn from noise and
        its negative in turn, and their mean is near the estimate.
    model: "kriging", by conditional simulation: x_i = K y + (z_i - K (D H z_i + n_i)), with z_i a random field with the
        spectrum of kriging's prior and the local variance of the ground, and n_i the noise of the sensor. Seen again
        through the sensor's point spread function, a member differs from the input by the sensor's noise.
        "diffusion", for the four 10 m bands: by flow matching around the mean of "sen2sr"; seen again, a member agrees
        with the input as kriging does. Options: `steps`; one step gives the mean as each member.
        "ldsr-s2" and other latent diffusion: n images of its own, each drawn by itself, that agree with the input by
        the means of their blocks; `estimate` is their mean then, `std` their deviation, and nothing is calibrated.
    seed: 0 or more. Random numbers depend on it, on the band, the member and the place on the grid of the CRS, those of
        the noise on the date too: members are the same in every chunking and crop, and of a date alone and in a series;
        those of kriging also for either order of rows or columns.
    members: keep them, as a variable `members` along a first dimension `member`; else memory does not grow with n, but
        for latent diffusion, of which windows are kept until they are blended.
    same_ground: draw the detail that no date shows once for all dates, as it is where the ground stays the same, and
        the sensor's noise for each date: members differ between dates by what was seen of them. False draws dates
        independently of each other.
    level, calibrated, calibration: as in `interval`; the local variance is multiplied by what was found.
    Other arguments: as in `upscale`.

    Returns a Dataset as `interval` does: `estimate`, what `upscale` returns; `std`, the root of the mean squared
    difference of members from it; `lower`, `upper`, the bounds of the interval of that level of a normal distribution
    with this deviation. NaN where `upscale` has NaN. From few members `std` is rough: of 16, within a quarter in most
    pixels; `interval` gives it in closed form. What members are for is what depends on many pixels at once, such as
    an area: neighbors within about two input pixels differ together. Bands are drawn independently of each other.
    No constraint is applied.
    Raises what `upscale` raises, and OptionError for another model, `strength` other than 1, numbers out of range, or a
    calibration of other options. Warns CalibrationWarning as `interval` does.
    """
    check_whole("n", n, least=2)
    check_number("n", n, most=MOST_MEMBERS)
    check_whole("seed", seed, least=0)
    check_flag("members", members)
    check_flag("same_ground", same_ground)
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
    if "seed" in dict(registry.get(request.model).options):
        request = replace(request, options={**options, "seed": int(seed)})  # recorded as `upscale` does
    made = plan(obj, request)
    spec = made.spec
    if not isinstance(spec, Kriging | Diffusion) and not draws_itself(spec):
        raise OptionError(
            f"model={spec.name!r} cannot draw members. Use one that can: model='diffusion', for the four 10 m bands, "
            "or model='kriging', for any."
        )
    if options.get("strength", 1) != 1:
        raise OptionError("strength=: members belong to kriging itself, strength=1. Leave it out.")
    if isinstance(spec, Diffusion):
        check_samples(spec, calibration)
        calibrated = False  # a diffusion's spread is its own
    drawn = draws_itself(spec)
    used = calibration_for(spec.name, calibrated, calibration, options, made.wanted, drawn=drawn)

    def with_draws(kernel: KernelRef, step: Step) -> KernelRef:
        if isinstance(kernel.spec, Diffusion):
            samples = samples_of(made.cube, count=int(n), kept=members, same_ground=same_ground)
            return replace(kernel, samples=samples)
        ratio, origin = (
            (1, (0, 0)) if step.coarse is None or step.second is None else (step.coarse.ratio, step.second.origin)
        )
        draws = draws_of(
            made.cube,
            bands_of(step),
            int(seed),
            count=int(n),
            kept=members,
            same_ground=same_ground,
            factors=factors_of(used, bands_of(step), level),
            ratio=ratio,
            origin=origin,
        )
        return replace(kernel, draws=draws)

    estimate, std, *each = planes_of(made, with_draws, 2 + int(n) * members)
    found = bounded(estimate, std, level)
    if members:
        found["members"] = xr.concat(each, xr.Variable("member", np.arange(int(n))))
    facts: dict[str, float | str] = {
        INTERVAL_LEVEL_ATTR: float(level),
        CALIBRATION_ATTR: "none" if used is None else used.note,
        SEED_ATTR: int(seed),
        MEMBERS_ATTR: int(n),
        SAME_GROUND_ATTR: int(same_ground),
    }
    return together(found, facts)
