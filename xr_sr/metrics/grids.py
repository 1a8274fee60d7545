"""Check how the grids of LR, SR, HR and maps of objects lie on each other. Coordinates only; no pixel is read."""

from __future__ import annotations

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..cube.grid import geobox_of, order_error, spatial_dims
from ..errors import GridError
from .inputs import ImageSeries

__all__ = ["check_factor", "check_objects", "check_same_grid", "scale_of", "short_crs"]


def check_same_grid(one: ImageSeries, other: ImageSeries) -> None:
    """Raise GridError unless two scenes have the same pixels."""
    check_factor(one, other, 1)


def scale_of(lr: ImageSeries, sr: ImageSeries, hr: ImageSeries | None = None) -> int:
    """Return the number of pixels of SR along one of LR.

    Raises GridError where it is not a whole number above 1, where HR is not on the grid of SR, and with one sentence
    where the cubes are in a wrong order or of equal resolution.
    """
    names = ("lr", "sr") if hr is None else ("lr", "sr", "hr")
    for fine in (sr, hr):
        if fine is not None and _relative_area(fine, lr) > 1 - 1e-6:
            raise order_error(names, fine.role.lower(), fine.geobox, lr.geobox)
    factor = max(1, round(sr.shape[0] / lr.shape[0]))
    check_factor(lr, sr, factor)
    if hr is not None:
        check_same_grid(sr, hr)
    return factor


def _relative_area(fine: ImageSeries, coarse: ImageSeries) -> float:
    """Return the area of a pixel of one scene over that of another; of equal ground where one has no coordinates."""
    if fine.placed and coarse.placed and fine.geobox.crs == coarse.geobox.crs:
        return abs(fine.geobox.affine.determinant / coarse.geobox.affine.determinant)
    return float(np.prod(coarse.shape) / np.prod(fine.shape))


def check_factor(coarse: ImageSeries, fine: ImageSeries, factor: int) -> None:
    """Raise GridError unless each pixel of `coarse` is made of `factor` x `factor` pixels of `fine`."""
    if fine.shape != tuple(side * factor for side in coarse.shape):
        raise GridError(
            f"{fine.role} must have {'as many pixels as' if factor == 1 else 'a whole number of pixels for each of'} "
            f"{coarse.role}; they are {_size(fine)} and {_size(coarse)}. Cut both to the same ground."
        )
    if coarse.placed and fine.placed:
        if _other_crs(coarse.geobox, fine.geobox):
            raise GridError(
                f"{fine.role} is in {short_crs(fine.geobox)}, {coarse.role} in {short_crs(coarse.geobox)}. "
                "Reproject one to the grid of the other first: hr.odc.reproject(sr.odc.geobox)."
            )
        if _distance(coarse.geobox, fine.geobox, factor) > 0.05 * factor:
            raise GridError(
                f"{fine.role} and {coarse.role} do not lie on the same ground: they start at "
                f"{_corner(fine.geobox)} and {_corner(coarse.geobox)}. Reproject one to the grid of the other first: "
                "hr.odc.reproject(sr.odc.geobox), or align it: .sr.align(...)."
            )


def check_objects(objects: xr.DataArray, scene: ImageSeries) -> None:
    """Raise GridError unless a map of objects (y, x) has the pixels of a scene; without coordinates shape suffices."""
    dims = spatial_dims(objects)
    box = geobox_of(objects) if dims else None
    assert dims and box is not None, "checked by the caller"
    way = "Reproject it to that grid: objects.odc.reproject(sr.odc.geobox, resampling='nearest')."
    if (height_width := tuple(objects.sizes[dim] for dim in dims)) != scene.shape:
        raise GridError(
            f"objects= has {height_width[0]} x {height_width[1]} pixels, {scene.role} has {_size(scene)}. {way}"
        )
    if not scene.placed or not all(dim in objects.coords for dim in dims):
        return
    if _other_crs(box, scene.geobox):
        raise GridError(f"objects= is in {short_crs(box)}, {scene.role} in {short_crs(scene.geobox)}. {way}")
    if _distance(box, scene.geobox, 1) > 0.05:
        raise GridError(
            f"objects= and {scene.role} do not lie on the same ground: they start at {_corner(box)} and "
            f"{_corner(scene.geobox)}. {way}"
        )


def short_crs(box: GeoBox) -> str:
    """Return the name of the CRS of a grid in a word or two, for messages."""
    if box.crs is None:
        return "no CRS"
    if box.crs.epsg:
        return f"EPSG:{box.crs.epsg}"
    name, operation = box.crs.proj.name, box.crs.proj.coordinate_operation
    if name in ("", "unknown", "undefined"):
        name = f"an unnamed CRS ({operation.method_name})" if operation else "an unnamed CRS"
    return f"{name:.80}"


def _other_crs(one: GeoBox, other: GeoBox) -> bool:
    """Return whether both grids name a CRS, and not the same."""
    return one.crs is not None and other.crs is not None and bool(one.crs != other.crs)


def _distance(coarse: GeoBox, fine: GeoBox, factor: int) -> float:
    """Measure by how many fine pixels grids are apart at most, if a coarse pixel is `factor` fine ones."""
    place = ~fine.affine @ coarse.affine
    off = max(abs(place.a - factor), abs(place.e - factor)) * max(coarse.shape)
    return float(max(off, abs(place.b), abs(place.d), abs(place.c), abs(place.f)))


def _size(scene: ImageSeries) -> str:
    return f"{scene.shape[0]} x {scene.shape[1]} pixels"


def _corner(box: GeoBox) -> str:
    affine = box.affine
    return f"({affine.c:.10g}, {affine.f:.10g}) with pixels of {affine.a:g} x {affine.e:g}"
