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
from ...cube.time import scalar_dates
from .times import as_nanoseconds, beyond_dates


def scalar_date(dataset: xr.Dataset) -> str | None:
    """Find the scalar coordinate that holds the date, as `scalar_dates` does, and is not missing.

    Raises StoreError for a date that a store cannot hold, as along a dimension.
    """
    return next((name for name in scalar_dates(dataset.coords) if _is_known(dataset.coords[name])), None)


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


def _is_known(coord: xr.DataArray) -> bool:
    stamp = as_nanoseconds(np.asarray(coord.values))
    if stamp is None:
        name = str(coord.name)
        raise beyond_dates(name, f"Assign one, obj.assign_coords({name}=numpy.datetime64('2023-06-01')), or")
    return not bool(np.isnat(stamp))
