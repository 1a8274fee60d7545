"""Estimate the MTF of the bands of a cube, each on its own grid, from statistics of the whole cube."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import xarray as xr

from ..arguments import is_one_of, items_of, shown
from ..catalog import registry
from ..cube.align import coarser_cubes, phase_of, start_of
from ..cube.lazy import in_chunks
from ..cube.select import AnyCube, Cube, check_measured, pick
from ..cube.select import recognize as recognize_cube
from ..cube.time import on_dates_of
from ..errors import GeoreferenceWarning, OptionError, SensorWarning, warn_caller, warns_once
from ..kernels.psf import MTF_AT_NYQUIST
from ..kernels.sharpness import Sharpness, merged, sharpness, window_sums
from ..radiometry.cubes import reflectance
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..runtime.precompute import once_name
from .guided import sorted_by_grid
from .inputs import checked_mask

if TYPE_CHECKING:
    import dask.array as da

Toward: TypeAlias = Literal["published"] | None

SIDE = 512
"""Of the blocks that windows lie in, counted from the first pixel: whatever the chunks, they are the same windows."""

_FAN_IN = 16

METHOD = "spectra of the windows of most contrast (8 x 8 pixels), linear in their logarithms"


@warns_once
def estimate_mtf(
    cube: xr.DataArray | xr.Dataset | xr.DataTree,
    *,
    bands: Sequence[str] | None = None,
    toward: Toward = "published",
    other: xr.DataArray | xr.Dataset | xr.DataTree | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    mask: xr.DataArray | None = None,
) -> xr.Dataset:
    """Estimate the modulation transfer function (MTF) at the Nyquist frequency of each band, from the image itself.

    cube: bands of Sentinel-2 as the sensor took them, DN or reflectance, with any dates; not a result that is finer.
        Each band is measured on the grid of its own pixels; windows with NaN, nodata or masked pixels do not count.
        At least some 30 x 30 pixels with edges; 100 x 100 are better.
    bands: names; None: all that the cube has. other, offset, quantification, nodata: as in `upscale`.
    mask: as in `upscale`, for the pixels of the finest grid. A wider pixel counts if at least one of those under it is
        on that grid, and all that are there are kept.
    toward: "published" weighs what was measured with the published MTF, each by its spread; None gives what was
        measured alone.
    Returns a lazy Dataset along `band`: `mtf`, the contrast at Nyquist, 0 to 1; `mtf_std`, its standard deviation, from
    the errors at places that were held out; `mtf_measured`, without the published value; `windows`, how many were read.
    Of `simulate_scene`, whose edges are sharper than those of real ground, estimates are too high where the sensor is
    soft, by 0.07 in the mean for an MTF of 0.15 (0.02 for 0.30), which `mtf_std` does not include.
    NaN where nothing could be measured, for lack of pixels or of contrast over the noise: `reason`, a text, says which.
    One number for each band of the whole cube and all its dates, the same however it is chunked and whichever bands are
    asked for: all bands are read, since how far they lie from the published values together is weighed in.
    Raises OptionError for options, CubeError and RadiometryError as `upscale` does.
    Source: `kernels.sharpness`.
    """
    if not is_one_of(toward, ("published", None)):
        raise OptionError(f"toward={shown(toward)}: expected 'published', or None for what was measured alone.")
    sums, wanted = _sums_by_band(cube, bands, other, mask, offset=offset, quantification=quantification, nodata=nodata)
    return _dataset(sums, toward).sel(band=wanted)


def measure(
    cube: AnyCube, bands: Sequence[str], other: AnyCube | None, mask: Any, numbers: Mapping[str, Any]
) -> dict[str, float]:
    """Return the MTF of bands, at once; the published one where nothing was measured. Reads the pixels of the cube."""
    found = estimate_mtf(cube, bands=bands, other=other, mask=mask, **numbers).compute()
    names = [str(name) for name in found.band.values]
    values = dict(zip(names, found["mtf"].values.tolist(), strict=True))
    if lacking := [name for name in names if np.isnan(values[name]) and name not in MTF_AT_NYQUIST]:
        raise OptionError(
            f"mtf='estimate': nothing could be measured of {lacking} ({found.reason.sel(band=lacking[0]).item()}), and "
            "none is published. Pass numbers, or a larger piece of the cube."
        )
    if kept := [name for name in names if np.isnan(values[name])]:
        reasons = dict.fromkeys(str(found.reason.sel(band=name).item()) for name in kept)
        warn_caller(
            f"mtf='estimate': nothing could be measured of {kept} ({'; '.join(reasons)}); the published MTF is used. "
            f"To silence this, pass numbers: mtf={{{kept[0]!r}: {MTF_AT_NYQUIST[kept[0]]:g}}}.",
            SensorWarning,
        )
    return {name: MTF_AT_NYQUIST[name] if np.isnan(value) else value for name, value in values.items()}


def _sums_by_band(
    obj: AnyCube, bands: Sequence[str] | None, other: AnyCube | None, mask: Any, **numbers: Any
) -> tuple[dict[str, Any], list[str]]:
    """Return for each band a lazy sum over its windows, `kernels.sharpness.window_sums`, and the names asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)  # pixels are enough
        obj = _as_reflectance(obj, numbers)
        other = None if other is None else _as_reflectance(other, numbers)
        cube = recognize_cube(obj, model_gsd_m=10.0)
        check_measured(cube, allow=False)
    grids = coarser_cubes(obj, cube, other)
    available = list(dict.fromkeys([*cube.available, *(band for grid in grids for band in grid.available)]))
    names = [bands] if isinstance(bands, str) else items_of(bands)
    if bands is not None and (names is None or not all(isinstance(name, str) for name in names)):
        raise OptionError(f"bands={shown(bands)}: expected names of bands, such as bands=['B04', 'B08'].")
    wanted = available if names is None else [registry.canonical(name) for name in names]
    measured = list(dict.fromkeys([*available, *wanted]))  # `sorted_by_grid` raises for a missing band
    fine, groups = sorted_by_grid(cube, grids, measured)
    keep = None if mask is None else checked_mask(mask, cube)
    found = {band: _sums(cube, band, keep) for band in fine}
    for (place, ratio), coarse in groups.items():
        own, kept = (cube, keep) if place is None else _masked_alike(cube, grids[place], keep)
        found |= {band: _sums(own, band, kept, 1 if place is not None or ratio is None else ratio) for band in coarse}
    return {band: found[band] for band in measured}, wanted


def _as_reflectance(obj: AnyCube, numbers: Mapping[str, Any]) -> AnyCube:
    converted: AnyCube = reflectance(obj, **numbers)  # type: ignore[type-var]  # of the same kind as obj
    return converted


def _masked_alike(cube: Cube, coarse: Cube, keep: xr.DataArray | None) -> tuple[Cube, xr.DataArray | None]:
    """Return a cube of wider pixels, on the dates of the mask where it has some, and the mask on its grid.

    keep: on the grid of `cube`. Raises GridError where the pixels of one do not begin where those of the other do.
    """
    if keep is None:
        return coarse, None
    start = start_of(cube, coarse, None)
    keep = _kept_under(keep, (cube.y, cube.x), start[:2], coarse.geobox.shape, start[2])
    dated = bool({*keep.dims} & {*cube.lead})
    return (
        on_dates_of(coarse, cube, "the cube of coarse bands") if dated else coarse,
        keep.rename({cube.y: coarse.y, cube.x: coarse.x}),
    )


def _kept_under(
    keep: xr.DataArray, dims: tuple[str, str], start: Sequence[int], shape: Sequence[int], times: int
) -> xr.DataArray:
    """Return a mask for wider pixels: those that lie under the mask, on no pixel that it drops, at least in part.

    start: (row, column) of the mask at which the first wider pixel begins, which may be negative. shape: (rows,
    columns) of wider pixels, each `times` as wide.
    """
    keep = keep.drop_vars(list(keep.coords))
    outside = {}
    for dim, begin, count in zip(dims, start, shape, strict=True):
        size = keep.sizes[dim]
        first, last = max(0, -begin // times), min(count, -(-(size - begin) // times))
        if first >= last:  # beside each other
            return keep.isel({dim: [0] * count for dim, count in zip(dims, shape, strict=True)}) & False
        low, high = begin + first * times, begin + last * times
        keep = keep.isel({dim: slice(max(low, 0), min(high, size))})
        # Nothing is known of pixels beside the mask: they drop none that it covers in part.
        keep = keep.pad({dim: (max(0, -low), max(0, high - size))}, constant_values=True)
        outside[dim] = (first, count - last)
    return keep.coarsen(dict.fromkeys(dims, times)).all().pad(outside, constant_values=False)


def _sums(cube: Cube, band: str, keep: xr.DataArray | None, ratio: int = 1) -> Any:
    """Return the lazy sum over the windows of a band. keep: a mask on its grid. ratio: fine pixels that repeat one."""
    from dask.delayed import delayed

    plane = pick(cube, [band], reader="estimate_mtf")[0]
    array = plane.array if plane.index is None else plane.array.isel({str(cube.band_dim): plane.index}, drop=True)
    array = array.transpose(*cube.lead, cube.y, cube.x)
    if ratio > 1:  # each pixel of the sensor repeated: take one of each
        start = [-phase % ratio for phase in phase_of(cube, ratio)]
        array = array.isel({dim: slice(at, None, ratio) for dim, at in zip((cube.y, cube.x), start, strict=True)})
        if keep is not None:
            keep = _kept_under(keep, (cube.y, cube.x), start, array.shape[-2:], ratio)
    if keep is not None:
        array = array.where(keep.drop_vars(list(keep.coords)))
    data: da.Array = in_chunks(array, lead=cube.lead, band_dim=None).variable.data
    data = data.rechunk((*((1,) * (data.ndim - 2)), SIDE, SIDE))
    summed, add = delayed(_of_block, pure=True), delayed(merged, pure=True)
    parts = [summed(block) for block in data.to_delayed().ravel()]
    while len(parts) > 1:  # a few at a time, so that sums of blocks need not all be kept
        parts = [add(parts[start : start + _FAN_IN]) for start in range(0, len(parts), _FAN_IN)]
    return parts[0]


def _of_block(block: Any) -> Any:
    return window_sums(np.asarray(block)[(0,) * (np.ndim(block) - 2)])


def _dataset(sums: Mapping[str, Any], toward: Toward) -> xr.Dataset:
    import dask.array as da
    from dask.delayed import delayed

    bands = list(sums)
    result = delayed(sharpness, pure=True)(list(sums.values()), bands, shrink=toward is not None)

    def along_band(name: str, dtype: Any, **attrs: str) -> xr.DataArray:
        value = delayed(_field, pure=True)(result, name)
        lazy = da.from_delayed(value, (len(bands),), dtype, name=once_name("mtf", value.key))
        return xr.DataArray(lazy, dims="band", coords={"band": bands}, attrs=attrs)

    weighed = "; weighed with the published value by the spread of both" if toward else ""
    return xr.Dataset(
        {
            "mtf": along_band("mtf", "float64", long_name="MTF at the Nyquist frequency", units="1"),
            "mtf_std": along_band("std", "float64", long_name="standard deviation of mtf", units="1"),
            "mtf_measured": along_band("raw", "float64", long_name="MTF of the image alone", units="1"),
            "windows": along_band("windows", "int64", long_name="windows that were read"),
            "reason": along_band("reason", "<U80", long_name="why nothing was measured"),
        },
        attrs={"method": METHOD + weighed, "source": "fall of the spectrum, fitted to aerial imagery"},
    )


def _field(measured: Sharpness, name: str) -> Any:
    return np.array(getattr(measured, name), dtype="<U80" if name == "reason" else None)
