"""The area of each class and date of a mask, whatever kind of mask it is: truth values, classes, SCL, 0 and 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..bands import is_scl
from ..cube.grid import spatial_dims
from ..cube.lazy import kept_unread
from ..cube.names import listed
from ..errors import CubeError, OptionError
from .area import Area, class_areas
from .classes import UNKNOWN, Classes, classes_of

SCL: Classes = {
    "no_data": 0, "saturated_or_defective": 1, "dark_area": 2, "cloud_shadow": 3, "vegetation": 4, "not_vegetated": 5,
    "water": 6, "unclassified": 7, "cloud_medium_probability": 8, "cloud_high_probability": 9, "thin_cirrus": 10,
    "snow": 11,
}  # fmt: skip
"""The scene classification of Sen2Cor. Source: ESA, Sentinel-2 L2A Product Definition Document."""

_MASK: Classes = {"false": 0, "true": 1}


def areas(
    mask: xr.DataArray | xr.Dataset, *, classes: Mapping[str, int] | None = None, area: Area = "ellipsoidal"
) -> xr.DataArray:
    """Add up the area of each class and date of a mask, in hectares.

    mask: (time?, y, x), and further dimensions: what `water`, `flood` or `agreement` gave, truth values such as
        `ndvi > 0.4`, SCL, a map with `flag_values` and `flag_meanings`, or 0 and 1 with NaN or 255 for unknown; or a
        Dataset with one of these. classes: what numbers mean, {"water": 6}, where nothing says it, or for a choice.
    area: "ellipsoidal", on the Earth; "projected", in the plane of the projection.
    Returns (time?, ..., state) float64, lazy, units "ha"; `.to_pandas()` makes a table of it. States are the classes,
    or "false" and "true"; what is NaN or none of the classes is "unknown", or "other" beside `classes`. Each pixel
    counts in one state, so the sum over states is the area of the map. A comparison with NaN is false: to have it
    unknown, `(ndvi > 0.4).where(ndvi.notnull())`.
    Raises CubeError for what is no mask (numbers that are neither 0, 1 nor unknown raise when computed), GridError
    without a CRS, OptionError for classes that are no names with whole numbers.
    """
    array = _mask_of(mask)
    meaning, rest = _meaning_of(array, classes)
    dims = spatial_dims(array)
    if dims is None:
        raise CubeError(f"there are no spatial dimensions among {list(map(str, array.dims))}; rename them to y and x.")
    return _by_place(_whole(array, meaning, rest, checked=classes is None), meaning, area)


def _by_place(array: xr.DataArray, meaning: Classes, area: Area) -> xr.DataArray:
    """Add up areas for each place along dimensions beside one, y and x."""
    dims = spatial_dims(array) or ()
    others = [dim for dim in array.dims if dim not in dims]
    if len(others) < 2:
        return class_areas(array, meaning, area)
    apart = next((dim for dim in others if dim != "time"), others[0])
    if array.sizes[apart] == 0:  # the sum over nothing has the other dimensions, and one place of it is cut off again
        joined = _by_place(array.sum([apart]), meaning, area).expand_dims({apart: 1}).isel({apart: slice(0)})
    else:
        parts = [_by_place(array.isel({apart: place}), meaning, area) for place in range(array.sizes[apart])]
        joined = xr.concat(parts, dim=apart, coords="minimal", compat="override")
    if apart in array.coords:
        joined = joined.assign_coords({apart: array[apart]})
    return joined.transpose(..., apart, "state")


def _mask_of(mask: Any) -> xr.DataArray:
    """Return the mask, or the only one of a Dataset."""
    if isinstance(mask, xr.Dataset):
        dims = set(spatial_dims(mask) or ("y", "x"))
        on_grid = {str(name): array for name, array in mask.data_vars.items() if dims <= set(array.dims)}
        found = {name: array for name, array in on_grid.items() if _says_classes(array)}
        if len(found) != 1:
            raise CubeError(
                f"wanted is one mask; the Dataset has {listed(found) if found else f'none among {listed(on_grid)}'}. "
                "Choose one: dataset['name'].sr.areas()."
            )
        mask = next(iter(found.values()))
    if isinstance(mask, xr.DataArray) and mask.dtype.kind == "O":  # truth values with NaN, as `where` leaves them
        mask = xr.apply_ufunc(_as_floats, kept_unread(mask), dask="parallelized", output_dtypes=["float32"])
    if not isinstance(mask, xr.DataArray) or mask.dtype.kind not in "buif":
        what = f"of {mask.dtype}" if isinstance(mask, xr.DataArray) else f"a {type(mask).__name__}"
        raise CubeError(f"this is no mask, but {what}: wanted are truth values, classes, or 0 and 1.")
    return mask


def _says_classes(array: xr.DataArray) -> bool:
    return array.dtype.kind == "b" or bool(classes_of(array.attrs)) or is_scl(array.name)


def _meaning_of(array: xr.DataArray, classes: Mapping[str, int] | None) -> tuple[Classes, int | None]:
    """Return the states and their codes, and the code of all that is none of them; None where nothing is."""
    if classes is not None:
        return _with_rest(_read_classes(classes), "other")
    if array.dtype.kind == "b":  # a comparison with a map of classes keeps its attributes
        return _MASK, None
    if found := classes_of(array.attrs):
        return _with_rest(found, "unknown")
    return _with_rest(SCL if is_scl(array.name) else _MASK, "unknown")


def _with_rest(classes: Classes, name: str) -> tuple[Classes, int]:
    """Add a state for all other pixels, unless the classes have it."""
    if name in classes:
        return classes, classes[name]
    code = UNKNOWN if UNKNOWN not in classes.values() and max(classes.values()) < UNKNOWN else max(classes.values()) + 1
    return {**classes, name: code}, code


def _read_classes(classes: Any) -> dict[str, int]:
    def valid(name: Any, code: Any) -> bool:
        whole = isinstance(code, int | np.integer) and not isinstance(code, bool)
        return isinstance(name, str) and whole and 0 <= code < 65536

    if not isinstance(classes, Mapping) or not classes or not all(valid(*each) for each in classes.items()):
        raise OptionError(
            f"classes={classes!r}: wanted are names with whole numbers from 0 to 65535, such as {{'water': 6}}."
        )
    return {name: int(code) for name, code in classes.items()}


def _whole(array: xr.DataArray, meaning: Classes, rest: int | None, *, checked: bool) -> xr.DataArray:
    """Return whole numbers, what is none of the classes as `rest`, lazily."""
    array = kept_unread(array)
    if rest is None:
        return array.astype("uint8")
    if checked and set(meaning) == {*_MASK, "unknown"} and not classes_of(array.attrs):
        array = xr.apply_ufunc(_require_mask, array, dask="parallelized", output_dtypes=[array.dtype], keep_attrs=True)
    codes = [code for code in meaning.values() if code != rest]
    dtype = "uint8" if max(meaning.values()) < 256 else "int32"
    return array.where(array.isin(codes), rest).astype(dtype)


def _as_floats(block: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Turn truth values with NaN into 0, 1 and NaN. Raises CubeError for text and other objects."""
    try:
        return block.astype("float32")
    except (TypeError, ValueError) as error:
        raise CubeError(f"this is no mask: {error}. Wanted are truth values, classes, or 0 and 1.") from error


def _require_mask(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a block of a mask. Raises CubeError where it holds more than 0, 1, and NaN or 255 for unknown."""
    wrong = block[~(np.isin(block, (0, 1, UNKNOWN)) | (block != block))]
    if wrong.size:
        raise CubeError(
            f"the mask holds {wrong.flat[0]:g}, and nothing says what it means. Pass classes={{'water': 6}}, or "
            "compare first: (array > 0.4).sr.areas()."
        )
    return block
