"""A raster of one date, which it names in a scalar coordinate, as one step along time: so that later dates extend it.

What goes with the date (numbers and names in other scalar coordinates, layers on the grid) becomes a value of that
step; what describes the raster itself (the CRS, labels of bands) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from ...cube.grid import crs_coord_name, is_crs_coord
from ...cube.names import BAND_DIMS
from .times import as_nanoseconds, beyond_dates

DATES = (
    "time",
    "t",
    "date",
    "datetime",
    "acq_date",
    "acquisition_date",
    "acquisition_time",
    "acquired",
    "sensing_time",
)
"""Scalar coordinates that hold the date of a raster, the first that there is; others may be dates of something else."""


def scalar_date(dataset: xr.Dataset) -> str | None:
    """Find the scalar coordinate that holds the date: of type date, not missing, with one of the names of `DATES`.

    A coordinate whose `standard_name` is "time" counts too. Text is not read as a date. Raises StoreError for a date
    that a store cannot hold, as along a dimension.
    """
    named = [name for name, coord in dataset.coords.items() if coord.attrs.get("standard_name") == "time"]
    return next(
        (str(name) for name in (*DATES, *named) if name in dataset.coords and _is_date(dataset.coords[name])), None
    )


def along_time(dataset: xr.Dataset, date: str, on_grid: Iterable[str]) -> xr.Dataset:
    """Turn a scalar date into a dimension of one step, and give it to all that may differ from date to date.

    on_grid: names of the variables that have pixels. Nothing is computed.
    """
    crs, grid = crs_coord_name(dataset), set(on_grid)
    stays = {date, crs, *BAND_DIMS, *dataset.dims}
    steps = {
        name: var.set_dims((date, *var.dims))
        for name, var in dataset.variables.items()
        if name not in stays
        and (name in dataset.data_vars or name in grid or not var.ndim)
        and not is_crs_coord(xr.DataArray(var))
    }
    moment = dataset.variables[date]
    dataset = dataset.drop_vars(date).assign_coords({date: (date, np.atleast_1d(moment.values), moment.attrs)})
    return dataset.assign_coords({name: var for name, var in steps.items() if name in dataset.coords}).assign(
        {name: var for name, var in steps.items() if name in dataset.data_vars}
    )


def _is_date(coord: xr.DataArray) -> bool:
    if coord.ndim or not (coord.dtype.kind == "M" or hasattr(coord.item(), "timetuple")):
        return False
    stamp = as_nanoseconds(np.asarray(coord.values))
    if stamp is None:
        name = str(coord.name)
        raise beyond_dates(name, f"Assign one, obj.assign_coords({name}=numpy.datetime64('2023-06-01')), or")
    return not bool(np.isnat(stamp))
