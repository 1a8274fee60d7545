"""Find the spatial dimensions of a cube, and the coordinates along them.

Names and numbers only. The CRS is read in `crs`, transforms in `transforms`; `grid` makes grids of them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import odc.geo.xr
import xarray as xr
from numpy.typing import NDArray

from ..errors import CubeError, GridError
from .lazy import refuse_query_planning

XarrayObject: TypeAlias = "xr.DataArray | xr.Dataset"
AxisCoords: TypeAlias = "NDArray[np.floating[Any]] | None"

ODC_NAMES = (("y", "x"), ("yc", "xc"), ("latitude", "longitude"), ("lat", "lon"))
"""Names of (y, x) that odc-geo reads."""

_OTHER_NAMES = (("northing", "easting"), ("row", "col"), ("rows", "cols"))
_UNEVEN_PX = 1e-2


def spatial_dims(obj: XarrayObject) -> tuple[str, str] | None:
    """Return the (y, x) dimensions: y and x, latitude and longitude, rows and columns, or what odc-geo finds; or None.

    Raises GridError if the name of a dimension is no text, CubeError if dask does not know the size of one,
    EngineError under dask's query planning.
    """
    refuse_query_planning()  # here, since every reader of cubes calls it
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        raise CubeError(f"expected a DataArray or a Dataset with y and x; got a value of type {type(obj).__name__}.")
    if odd := [dim for dim in obj.dims if not isinstance(dim, str)]:
        raise GridError(
            f"names of dimensions must be text; {odd} are not. Rename them: cube.rename({{{odd[0]!r}: 'band'}})."
        )
    _refuse_unknown_sizes(obj)
    names = {str(dim).lower(): str(dim) for dim in obj.dims}
    for y, x in (*ODC_NAMES, *_OTHER_NAMES):
        if y in names and x in names:
            return names[y], names[x]
    found = odc.geo.xr.spatial_dims(obj, relaxed=True)
    return None if found is None else (str(found[0]), str(found[1]))


def _refuse_unknown_sizes(obj: XarrayObject) -> None:
    """Raise CubeError for dask arrays whose chunks have unknown sizes, as after a selection by a lazy mask."""
    unknown = [str(dim) for dim, size in obj.sizes.items() if size != size]
    if not unknown:
        return
    variables = obj.variables if isinstance(obj, xr.Dataset) else {}
    which = next((f"[{name!r}]" for name, array in variables.items() if set(unknown) & set(array.dims)), "")
    raise CubeError(
        f"expected an array of known size; dask does not know the sizes of its chunks along {', '.join(unknown)}, as "
        f"after a selection by a lazy mask. Compute them: cube{which}.data.compute_chunk_sizes()."
    )


def axis_of(obj: XarrayObject, dim: str) -> AxisCoords:
    """Return the coordinate along a dimension; None without one. Raises GridError if its steps differ."""
    if dim not in obj.coords:
        return None
    values = np.asarray(obj.coords[dim].values)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise GridError(
            f"the coordinate {dim!r} holds {values.dtype}, not positions. Drop it: cube.drop_vars({dim!r})."
        )
    values = values if values.dtype.kind == "f" else values.astype("float64")
    if values.size > 1:
        even = np.linspace(float(values[0]), float(values[-1]), values.size)
        step = (even[-1] - even[0]) / (values.size - 1)
        deviation = np.abs(values - even).max()
        if step == 0 or not deviation <= tolerance_px(values, step, _UNEVEN_PX) * abs(step):
            raise GridError(
                f"the coordinate {dim!r} is not evenly spaced: it strays by {deviation:g} from steps of {step:g}. "
                "A grid has one pixel size; reindex or reproject the cube first, and look for gaps and doubled places."
            )
    return values


def step_of(axis: NDArray[np.floating[Any]]) -> float | None:
    """Return the signed step between pixels, from both ends; None for a single pixel."""
    return None if axis.size < 2 else (float(axis[-1]) - float(axis[0])) / (axis.size - 1)


def tolerance_px(values: NDArray[np.floating[Any]], step: float, least: float) -> float:
    """Return by how many pixels coordinates may be off because of their precision, which in float32 is low."""
    return max(least, 2 * float(np.finfo(values.dtype).eps) * float(np.abs(values).max()) / abs(step))
