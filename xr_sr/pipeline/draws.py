"""Address the random numbers of members: by seed, band, date and place on the grid, never by block."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from ..catalog.generative import Diffusion
from ..cube.grid import place_of
from ..cube.select import Cube
from ..errors import OptionError
from ..kernels import DiffusionSamples, Draws, LeadKeys
from ..kernels.chance import key_of

UNCALIBRATED = (1.0, 1.0, 1.0)


def draws_of(
    cube: Cube,
    bands: Sequence[str],
    seed: int,
    *,
    count: int = 1,
    kept: bool = True,
    same_ground: bool = True,
    factors: Sequence[tuple[float, float, float]] = (),
    ratio: int = 1,
    origin: tuple[int, int] = (0, 0),
) -> Draws:
    """Return which members of some bands are drawn; arguments as of `Draws` and `ensemble`.

    ratio: width of a pixel of these bands in pixels of the cube. origin: of their first pixel, in pixels of the cube.
    """
    place, turn = place_of(cube.grid), cube.grid.lattice
    return Draws(
        count,
        seed,
        kept,
        tuple(key_of("band", band) for band in bands),
        keys_of(cube, dated=not same_ground),
        keys_of(cube, dated=True),
        ((place[0] - origin[0]) // ratio, (place[1] - origin[1]) // ratio),
        tuple(factors) or (UNCALIBRATED,) * len(bands),
        (turn.e > 0, turn.a < 0),
    )


def samples_of(
    cube: Cube, *, count: int | None = None, kept: bool = False, same_ground: bool = True
) -> DiffusionSamples:
    """Return which samples of diffusion are drawn: one, or so many that are summed up; as in `ensemble`."""
    keys, place = keys_of(cube, dated=not same_ground), place_of(cube.grid)
    return DiffusionSamples(keys, place, count or 1, summed=count is not None, kept=kept)


def check_samples(spec: Diffusion, calibration: object) -> None:
    """Raise OptionError where samples of a model cannot be summed up as `ensemble` does."""
    if calibration is not None:
        raise OptionError(
            f"calibration=: the spread of {spec.name!r} is what its samples have, and is not calibrated. Leave it out."
        )
    if spec.correction == "histogram":
        raise OptionError(
            f"model={spec.name!r} matches the distribution of the whole cube, which members do not have one by one. "
            "Use model='ldsr-s2', with the sampler that you want, such as sampler='ddim', steps=100, eta=0.95."
        )


def keys_of(cube: Cube, *, dated: bool) -> LeadKeys:
    """Return keys for the places along each leading dimension, and those of a date that is no dimension.

    Dates count by their time, so that one is drawn alike alone and in a series, or not at all; other dimensions by
    position.
    """
    coords = cube.planes[0].array.coords
    dates = {name: coord for name, coord in coords.items() if coord.dtype.kind == "M"}
    lead = tuple(
        _stamps(dates[dim], dated)
        if dim in dates
        else tuple(key_of(dim, place) for place in range(cube.planes[0].array.sizes[dim]))
        for dim in cube.lead
    )
    scalars = {name: coord for name, coord in dates.items() if not coord.ndim}
    alone = scalars.get("time", next(iter(scalars.values())) if len(scalars) == 1 else None)
    return LeadKeys(lead, () if alone is None or set(dates) & set(cube.lead) else _stamps(alone, dated))


def _stamps(dates: xr.DataArray, dated: bool) -> tuple[int, ...]:
    stamps = dates.values.astype("datetime64[ns]").astype("int64").ravel().tolist()
    return tuple(key_of("date", stamp if dated else "any") for stamp in stamps)
