"""Vegetation against what is usual: how far an index lies from its mean in a reference period."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr

from ..arguments import is_one_of
from ..cube.grid import crs_coord_name
from ..cube.select import AnyCube
from ..errors import CubeError, OptionError, warns_once
from ..spec import provenance_of
from .dates import When, positions_of
from .indices import NAME_ATTR
from .levels import time_dim
from .surface_water import index_of

Season: TypeAlias = Literal["month"] | None


_NO_SPREAD = 1e-6
"""Standard deviation below which the values of a pixel are all alike."""


@warns_once
def anomaly(
    cube: AnyCube, reference: When, *, index: str | None = "NDVI", by: Season = "month", **options: Any
) -> xr.Dataset:
    """Compute anomalies of an index against a reference period.

    cube: bands with a dimension of time, or with index=None the index itself. reference: the dates that are usual, as
        `.sel(time=...)` takes them: slice("2018", "2022"). by: "month" compares each date with those of its calendar
        month in the reference; None with all of them, which is right where seasons do not matter.
    options: as in `index`.

    Returns a lazy Dataset (time, y, x), float32: `anomaly`, value minus mean of the reference; `standardised`, the same
    over its standard deviation (of a sample, n - 1). NaN where the reference has no valid value; `standardised` also
    where it has fewer than two, or no spread (below 1e-6). Dates of the reference are compared too, themselves
    included.
    Raises CubeError where the reference is no date of the cube.
    """
    values = index_of(cube, index, reader="anomaly", **options)
    dim = time_dim(values)
    if dim is None or dim not in values.coords:
        raise CubeError("an anomaly needs dates: there is no dimension of time with coordinates.")
    if not is_one_of(by, ("month", None)):
        raise OptionError(f"by={by!r}: known are 'month' and None.")
    usual = values.isel({dim: positions_of(reference, values[dim], role="reference")})
    groups = _months(values, dim) if by == "month" else np.zeros(values.sizes[dim], int)
    theirs = _months(usual, dim) if by == "month" else np.zeros(usual.sizes[dim], int)

    parts = []
    for group in dict.fromkeys(groups.tolist()):
        part = values.isel({dim: np.flatnonzero(groups == group)})
        same = usual.isel({dim: np.flatnonzero(theirs == group)})
        if not same.sizes[dim]:
            missing = xr.full_like(part, np.nan)
            parts.append(xr.Dataset({"anomaly": missing, "standardised": missing}))
            continue
        mean = _across_time(same, dim).mean(dim)
        exact = _across_time(same, dim).astype("float64")  # alike values then have no spread by rounding
        spread = exact.std(dim, ddof=1) if same.sizes[dim] > 1 else xr.full_like(mean, np.nan)
        off = part - mean
        parts.append(xr.Dataset({"anomaly": off, "standardised": off / spread.where(spread > _NO_SPREAD)}))
    made = xr.concat(parts, dim, data_vars="all", coords="minimal", compat="override").sel({dim: values[dim]})
    name, crs = str(values.attrs.get(NAME_ATTR, values.name or "index")), crs_coord_name(values)
    texts = {"anomaly": f"{name} minus its mean in the reference", "standardised": f"{name}, standard deviations off"}
    for key, text in texts.items():
        made[key] = made[key].astype("float32").transpose(*values.dims)
        made[key].attrs = {
            "long_name": text,
            "units": "1" if key == "anomaly" else "standard deviations",
            NAME_ATTR: name,
            **provenance_of(values.attrs),
        }
        if key == "anomaly" and "xr_sr:bounds" in values.attrs:  # -1..1 minus -1..1; standard deviations have no bound
            made[key].attrs["xr_sr:bounds"] = [-2.0, 2.0]
        made[key].encoding = {"grid_mapping": crs} if crs in made.coords else {}
    made.attrs["xr_sr:reference"] = (
        f"{str(usual[dim].values.min())[:10]} to {str(usual[dim].values.max())[:10]}, by {by}"
    )
    return made


def _months(array: xr.DataArray, dim: str) -> np.ndarray[Any, np.dtype[Any]]:
    months: np.ndarray[Any, np.dtype[Any]] = array[dim].dt.month.values
    return months


def _across_time(array: xr.DataArray, dim: str) -> xr.DataArray:
    """Put all dates of a place into one chunk, so that numbers do not depend on how time was cut."""
    return array.chunk({dim: -1}) if array.chunks is not None else array
