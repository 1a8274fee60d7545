"""Analyse series over time: select dates, water history, values per object and date, anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_array, check_choice, items_of, shown, whole_or_none
from ..cube.grid import crs_coord_name, spatial_dims
from ..cube.lazy import kept_unread
from ..cube.select import AnyCube
from ..cube.time import When, positions_of, time_dim
from ..errors import CubeError, GridError, OptionError, warns_once
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..spec import provenance_of
from .area import HECTARE_M2, AreaMethod, geobox_with_crs, lazy_areas
from .bands import GridChoice, on_finer_grid
from .classes import UNKNOWN, WATER, as_class_map, as_water, is_map_of
from .indices import NAME_ATTR
from .surface_water import index_of

_NEVER = np.iinfo(np.int64).max


def water_history(mask: xr.DataArray) -> xr.Dataset:
    """Sum a series of water maps up.

    mask: (time, y, x), the result of `water`, or 0 and 1 with NaN or 255 for unknown.
    Returns a lazy Dataset of (y, x): `frequency`, share of the dates that saw the pixel which have water, float32, NaN
    where none saw it; `observations`, number of those dates, int32; `first` and `last`, the first and last date with
    water, datetime64, NaT where there was none. (Zarr by `to_zarr` takes no maps of dates: drop these two.)
    """
    classes = as_water(mask, role="mask")
    dim = time_dim(classes)
    if dim is None or dim not in classes.coords or classes[dim].dtype.kind != "M":
        raise CubeError("a history needs dates: the mask has no dimension of time with datetime64 coordinates.")
    classes = classes.drop_vars("threshold", errors="ignore")
    seen, wet = classes != UNKNOWN, classes == WATER["water"]
    observations = seen.sum(dim, dtype="int32")
    frequency = (wet.sum(dim, dtype="int32") / observations.where(observations > 0)).astype("float32")
    stamps = xr.DataArray(classes[dim].values.astype("datetime64[ns]").astype(np.int64), dims=(dim,))
    # Smallest and largest of whole numbers, date by date: no date waits for all others in memory.
    first, last = xr.where(wet, stamps, _NEVER).min(dim), xr.where(wet, stamps, -_NEVER).max(dim)
    first, last = (each.astype("datetime64[ns]").where(abs(each) != _NEVER) for each in (first, last))
    made = xr.Dataset({"frequency": frequency, "observations": observations, "first": first, "last": last})
    made["frequency"].attrs = {"long_name": "share of the dates that saw the pixel with water", "units": "1"}
    made["observations"].attrs = {"long_name": "dates that saw the pixel", "units": "dates"}
    made["first"].attrs = {"long_name": "first date with water"}
    made["last"].attrs = {"long_name": "last date with water"}
    name = crs_coord_name(classes)
    for each in made.values():
        each.attrs |= provenance_of(classes.attrs)
        each.encoding = {"grid_mapping": name} if name in made.coords else {}
    return made


def usual_water(mask: xr.DataArray, dim: str | None) -> xr.DataArray:
    """Return the one state of several dates: water where at least half of those that saw the pixel have it.

    dim: the dimension of time, which the result, (..., y, x), lacks; None where there is one date.
    """
    if dim is None:
        return mask
    whole = _across_time(mask, dim)
    usual = xr.apply_ufunc(
        _usual_of_block, whole, input_core_dims=[[dim]], dask="parallelized", output_dtypes=[np.uint8]
    )
    return as_class_map(usual, WATER, kind="water", title="usual water", like=mask)


def _usual_of_block(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(..., time) to (...)."""
    seen = (classes != UNKNOWN).sum(axis=-1, dtype=np.int32)
    wet = (classes == WATER["water"]).sum(axis=-1, dtype=np.int32)
    return np.where(seen > 0, 2 * wet >= seen, UNKNOWN).astype(np.uint8)


def object_series(
    values: xr.DataArray,
    labels: xr.DataArray,
    *,
    objects: Sequence[int] | None = None,
    area: AreaMethod = "ellipsoidal",
) -> xr.Dataset:
    """Average a map over objects, date by date: fields, lakes, districts.

    values: (time?, y, x), an index, or a map that `water` made, of which the share of water is taken. labels: (y, x)
        whole numbers, 0 is no object; on the same grid, or a coarser one that nests. objects: the numbers wanted; by
        default all, for which `labels` is computed once.
    Returns a lazy Dataset of (time?, object): `mean`, weighted by the area of the pixels, NaN where none is valid;
    `valid`, the area with valid pixels, in hectares; for water also `water`, its area in hectares.
    """
    import dask.array as da

    check_array("values", values)
    check_array("labels", labels)
    is_water = is_map_of(values, "water")
    values = as_water(values, role="values") if is_water else kept_unread(values)
    numbers = values.where(values != UNKNOWN) if is_water else values
    numbers = numbers.drop_vars("threshold", errors="ignore")
    dims, time = spatial_dims(numbers), time_dim(numbers)
    if dims is None or labels.dtype.kind not in "iu" or time_dim(labels) is not None:
        raise GridError(f"labels must be (y, x) whole numbers; these are {labels.dtype} along {list(labels.dims)}.")
    marks = on_finer_grid(labels, numbers, what="object_series reads values and labels").transpose(*dims)
    wanted = np.asarray(_numbers_in(marks) if objects is None else _read_objects(objects), dtype=np.int64)
    data = numbers.transpose(*([time] if time else []), *dims).chunk().data
    data = data if time else data[None]
    spatial = data.chunks[1:]
    where = da.asarray(marks.data).rechunk(spatial)
    areas = lazy_areas(geobox_with_crs(numbers), area, spatial)
    sides = {axis: (1,) * data.numblocks[place] for axis, place in (("y", 1), ("x", 2))}
    blocks = da.blockwise(
        _sum_by_object, "tosyx", data, "tyx", where, "yx", areas, "yx", new_axes={"o": len(wanted), "s": 2},
        adjust_chunks=sides, wanted=wanted, dtype="float64", concatenate=True, align_arrays=False,
        meta=np.empty((0,) * 5, "float64"),
    )  # fmt: skip
    sums = da.sum(blocks, axis=(3, 4), split_every=16)
    on_time = {name: coord for name, coord in numbers.coords.items() if time and coord.dims == (time,)}
    total = xr.DataArray(sums, dims=(time or "time", "object", "sum"), coords={**on_time, "object": wanted})
    total = total if time else total.isel({"time": 0})
    weighted, valid = total.isel(sum=0), total.isel(sum=1)
    made = xr.Dataset({"mean": weighted / valid.where(valid > 0), "valid": valid / HECTARE_M2})
    made["mean"].attrs = {"long_name": f"mean of {values.name}", "units": str(values.attrs.get("units", "1"))}
    made.attrs = provenance_of(values.attrs)
    made["valid"].attrs = {"long_name": "area with valid pixels", "units": "ha"}
    if is_water:
        made["water"] = (weighted / HECTARE_M2).assign_attrs(long_name="area of water", units="ha")
    return made


def _read_objects(objects: object) -> list[int]:
    """Read the numbers of objects, each once, ascending."""
    given = items_of(objects)
    numbers = [] if given is None else [number for each in given if (number := whole_or_none(each)) is not None]
    if given is None or len(numbers) < len(given):
        raise OptionError(f"objects={shown(objects)}: expected a list of the numbers of labels, such as [1, 2].")
    return sorted(set(numbers))


def _numbers_in(labels: xr.DataArray) -> list[int]:
    import dask.array as da

    found = da.unique(labels.data).compute() if labels.chunks is not None else np.unique(labels.values)
    return [int(number) for number in found if number > 0]


def _sum_by_object(
    block: npt.NDArray[Any], labels: npt.NDArray[Any], areas: npt.NDArray[Any], *, wanted: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Add values times area, and area, over the valid pixels of each object: (time, object, 2, 1, 1)."""
    sums = np.zeros((len(block), len(wanted), 2, 1, 1))
    if not len(wanted):
        return sums
    place = np.searchsorted(wanted, labels).clip(max=len(wanted) - 1)
    inside = wanted[place] == labels
    for row, date in zip(sums, block, strict=True):
        valid = inside & np.isfinite(date)
        weights = areas[valid]
        for column, each in enumerate((date[valid].astype("float64") * weights, weights)):
            row[:, column, 0, 0] = np.bincount(place[valid], each, minlength=len(wanted))
    return sums


Season: TypeAlias = Literal["month"] | None


_NO_SPREAD = 1e-6
"""Standard deviation below which the values of a pixel are all alike."""


@warns_once
def anomaly(
    cube: AnyCube,
    reference: When,
    *,
    index: str | None = "NDVI",
    by: Season = "month",
    grid: GridChoice | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    **constants: float,
) -> xr.Dataset:
    """Compute anomalies of an index against a reference period.

    cube: bands with a dimension of time, or with index=None the index itself. reference: the dates that are usual, as
        `.sel(time=...)` takes them: slice("2018", "2022"). by: "month" compares each date with those of its calendar
        month in the reference; None with all of them, which is right where seasons do not matter.
    grid, offset, quantification, nodata, constants: as in `index`.

    Returns a lazy Dataset (time, y, x), float32: `anomaly`, value minus mean of the reference; `standardised`, the same
    over its standard deviation (of a sample, n - 1). NaN where the reference has no valid value; `standardised` also
    where it has fewer than two, or no spread (below 1e-6). Dates of the reference are compared too, themselves
    included.
    Raises CubeError where the reference is no date of the cube.
    """
    options: dict[str, Any] = {"grid": grid, "offset": offset, "quantification": quantification, "nodata": nodata}
    values = index_of(cube, index, reader="anomaly", **options, **constants)
    dim = time_dim(values)
    if dim is None or dim not in values.coords:
        raise CubeError("an anomaly needs dates: there is no dimension of time with coordinates.")
    check_choice("by", by, ("month", None))
    usual = values.isel({dim: positions_of(reference, values[dim], role="reference")})
    groups, theirs = (each[dim].dt.month.values if by else np.zeros(each.sizes[dim], int) for each in (values, usual))

    parts = []
    for group in dict.fromkeys(groups.tolist()):
        part = values.isel({dim: np.flatnonzero(groups == group)})
        same = usual.isel({dim: np.flatnonzero(theirs == group)})
        if not same.sizes[dim]:
            missing = xr.full_like(part, np.nan)
            parts.append(xr.Dataset({"anomaly": missing, "standardised": missing}))
            continue
        same = _across_time(same, dim)
        mean = same.mean(dim)
        exact = same.astype("float64")  # alike values then have no spread by rounding
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


def _across_time(array: xr.DataArray, dim: str) -> xr.DataArray:
    """Put all dates of a place into one chunk, so that numbers do not depend on how time was cut."""
    return array.chunk({dim: -1}) if array.chunks is not None else array
