"""Make series of dates of the aerial places, and images of them that a joined one is compared with.

Used by `multiframe`, which measures and shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from studies.aerial import HR_MTF, SCALE, Place

DECLARED: dict[str, Any] = {"offset": 0, "quantification": 1}
"""Reflectance: nothing to guess."""

WINDOW = "3650D"
"""A window that holds all dates of a series."""

MARGIN = 4 * SCALE
"""Fine pixels at the edges that are not evaluated: shifted dates end there."""

MOST_SHIFT = 3.0


def seen(place: Place, dates: int, *, spread: float, seed: int, **options: Any) -> xr.DataTree:
    """Return a series of a place, whose last date is not shifted, with noise as Sentinel-2's; computed."""
    from xr_sr.simulate import degrade_series

    like = place.hr.odc.geobox.zoom_out(SCALE)
    series = degrade_series(
        place.native, like=like, dates=dates, shifts=spread, noise="sentinel2", reference=-1, seed=seed, **options
    )
    return series.compute()


def bands_of(series: xr.DataTree) -> xr.Dataset:
    """Return what was seen, clouds and all, without the classes that would tell."""
    return series["lr"].to_dataset().drop_vars("SCL", errors="ignore")


def last_ground(place: Place, series: xr.DataTree) -> xr.DataArray:
    """Return the reference at 2.5 m on the last date, (band, y, x)."""
    from xr_sr.simulate import degrade

    native = series["hr"].to_dataset().isel(time=-1, drop=True)[[*map(str, place.hr.band.values)]]
    return degrade(native.to_dataarray("band"), like=place.hr.odc.geobox, mtf=HR_MTF).compute()


def changed_ground(place: Place, series: xr.DataTree) -> xr.DataArray:
    """Return where the ground of the last date is other than before, (y, x) at 2.5 m."""
    from xr_sr.simulate import degrade

    share = series["hr"].to_dataset()["change_mask"].isel(time=-1, drop=True).astype("float32")
    return degrade(share, like=place.hr.odc.geobox, mtf=HR_MTF).compute() > 0.5


def joined(lr: xr.Dataset, **options: Any) -> xr.Dataset:
    """Join all dates to one image of the last one, by the shifts that are measured."""
    return lr.sr.multiframe(WINDOW, device="cpu", **DECLARED, **options).isel(time=0).compute()


def of_one(lr: xr.Dataset, model: str) -> xr.DataArray:
    """Upscale the last date alone: (band, y, x)."""
    return lr.isel(time=-1, drop=True).to_dataarray("band").sr.upscale(model, device="cpu", **DECLARED).compute()


def aligned(lr: xr.Dataset) -> xr.Dataset:
    """Align all dates with the last one, measured as `multiframe` does; records the shifts."""
    return lr.sr.align(lr.sizes["time"] - 1, method="ecc", max_shift=MOST_SHIFT).compute()


def mean_of_bicubic(lr: xr.Dataset) -> xr.DataArray:
    """Align all dates, interpolate each by bicubic convolution, and take the mean of those that are valid."""
    each = aligned(lr).to_dataarray("band").sr.upscale("bicubic", device="cpu", **DECLARED)
    return each.mean("time", skipna=True, keep_attrs=True).compute()


def shift_and_add(lr: xr.Dataset, like: xr.DataArray) -> xr.DataArray:
    """Share each pixel among the four nearest ones of the fine grid, take means, and interpolate between those.

    like: an image on the fine grid, (band, y, x). Shifts as in `mean_of_bicubic`. Source: Elad and Hel-Or 2001,
    doi:10.1109/83.935034, without the deblurring; shared, since the middle of a pixel lies between fine ones.
    """
    from scipy.interpolate import griddata

    measured = aligned(lr)
    images = lr.to_dataarray("band").sel(band=like.band).transpose("time", "band", ...).values
    height, width = like.shape[-2:]
    total, count = np.zeros(like.shape), np.zeros((height, width))
    for image, dy, dx in zip(images, measured["shift_y"].values, measured["shift_x"].values, strict=True):
        seen = np.isfinite(image).all(axis=0)
        places = [(np.arange(size) + 0.5 + move) * SCALE - 0.5 for size, move in zip(seen.shape, (dy, dx), strict=True)]
        first = [np.floor(place).astype(int) for place in places]
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            rows, columns = first[0] + down, first[1] + right
            near = [1 - np.abs(place - whole) for place, whole in zip(places, (rows, columns), strict=True)]
            known = seen & ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
            y, x = np.nonzero(known)
            weight = near[0][y] * near[1][x]
            np.add.at(count, (rows[y], columns[x]), weight)
            for band, plane in enumerate(image):
                np.add.at(total[band], (rows[y], columns[x]), weight * plane[y, x])
    y, x = np.nonzero(count > 1e-6)
    values = (total[:, y, x] / count[y, x]).T
    fine = np.indices((height, width)).reshape(2, -1).T
    found = griddata((y, x), values, fine)
    outside = ~np.isfinite(found).all(axis=1)
    found[outside] = griddata((y, x), values, fine[outside], method="nearest")
    return like.copy(data=found.T.reshape(like.shape).astype("float32"))


@contextmanager
def wrong_shifts(error: float, seed: int) -> Iterator[None]:
    """Add errors to the shifts that `multiframe` measures: normal ones of this deviation in pixels along each axis.

    Each region and date has its own, drawn in the order of the tasks: compute without threads.
    """
    from xr_sr.registration import parts

    measured, chance = parts.compare, np.random.default_rng(seed)

    def off(*arguments: Any) -> Any:
        found = measured(*arguments)
        dy, dx = chance.normal(0, error, 2)
        return replace(found, shift=replace(found.shift, dy=found.shift.dy + dy, dx=found.shift.dx + dx))

    parts.compare = off
    try:
        yield
    finally:
        parts.compare = measured
