"""Read the transforms of a cube, and decide whether its coordinates are centers or corners of pixels.

CF and every raster reader mean centers; stackstac and cubo give upper left corners by default. A cube is moved only by
evidence, which survives slicing, since slices keep the transform of their parent and stand on its lattice: whole
pixels from its origin are corners, halves are centers. What cannot be known becomes a warning. The CRS is
read in `crs`; nothing here touches pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS

from .axes import XarrayObject, step_of, tolerance_px

SHAPE_ATTR = "xr_sr:shape"
"""Of the grid mapping of a rotated result: the rows and columns that its `GeoTransform` belongs to."""

Axes: TypeAlias = "tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]"
"""Coordinates of (y, x)."""

Stand: TypeAlias = Literal["corner", "center", "either", ""]
"""Where coordinates stand in the pixels of a lattice; "either" fits both, "" neither."""

_NEAR_PX = 1e-3
_SENTINEL_2_M = (10.0, 20.0, 60.0)


@dataclass(frozen=True)
class Noted:
    """A transform in attributes, of a raster of `shape` (y, x), where that is known.

    stacked: whether it looks as stackstac writes it, beside `spec` or `resolution`.
    """

    lattice: Affine
    shape: tuple[int, int] | None
    stacked: bool = False


@dataclass(frozen=True)
class Anchor:
    """The position of the coordinates of a cube in its pixels.

    shift: (y, x) to be added to the coordinates to get centers, in units of the CRS; usually zeros. lattice: the
    transform that shows it, if the pixels are its own. known: whether anything shows it. doubt: a sentence on what
    cannot be known; usually "".
    """

    shift: tuple[float, float] = (0.0, 0.0)
    lattice: Affine | None = None
    known: bool = False
    doubt: str = ""


def stored_transform(attrs: Mapping[Any, Any]) -> Affine | None:
    """Read GDAL's `GeoTransform` of a grid mapping: the lattice of the raster that the cube was cut from.

    None without six finite numbers that give pixels a width.
    """
    try:
        affine = Affine.from_gdal(*map(float, str(attrs.get("GeoTransform", "")).split()))
    except (TypeError, ValueError):
        return None
    return affine if all(map(math.isfinite, affine)) and not affine.is_degenerate else None


def noted_transform(obj: XarrayObject, crs: CRS | None) -> Noted | None:
    """Read the transform that attributes note: `transform`, or stackstac's `spec`, which outlives it in rioxarray.

    crs: of the cube; a `spec` in another CRS is left from before the cube was reprojected. Returns None without a
    transform. A coordinate `transform` counts after the attributes; of a Dataset last the attributes of its variables,
    where all note the same.
    """
    found = _noted(obj.attrs, crs)
    holder = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    if found is None and "transform" in holder and holder["transform"].size in (1, 6, 9):
        found = _noted({"transform": holder["transform"].values.ravel().tolist()}, crs)
    if found is None and isinstance(obj, xr.Dataset):
        several = {_noted(variable.attrs, crs) for variable in obj.variables.values()} - {None}
        found = several.pop() if len(several) == 1 else None
    return found


def anchor_of(
    obj: XarrayObject,
    dims: tuple[str, str],
    axes: Axes,
    *,
    stored: Affine | None,
    crs: CRS | None,
) -> Anchor:
    """Find whether the coordinates of an upright grid are centers or corners.

    dims, axes: names and coordinates of (y, x). stored: `GeoTransform`, which counts after a transform in attributes,
    as rioxarray writes it from coordinates that it takes for centers. crs: of the cube.
    """
    noted = noted_transform(obj, crs)
    on_stored = set() if stored is None else _stands(axes, stored)
    if noted is not None and not (noted.lattice.b or noted.lattice.d):
        lattice, stands = noted.lattice, _stands(axes, noted.lattice)
        own = lattice if same_size(axes, lattice) else None
        if stands == {"corner"}:
            return Anchor((lattice.e / 2, lattice.a / 2), own, known=True)
        if stands == {"center"}:
            return Anchor(lattice=own, known=True)
        if "" not in stands and on_stored != {"center"} and noted.stacked:
            return Anchor(doubt=_ambiguous(dims, lattice))
    if (shift := _by_distance(obj, dims, axes)) is not None:
        return Anchor(shift, known=True)
    if stored is not None and on_stored == {"corner"}:
        own = stored if same_size(axes, stored) else None
        return Anchor((stored.e / 2, stored.a / 2), own, known=True, doubt=_moved(dims, stored))
    if on_stored == {"center"}:
        return Anchor(known=True)
    # Also where odc-geo noted `resolution`, in coordinates that were centers then: `cube.x - 5` keeps it.
    if _looks_like_corners(axes, crs):
        return Anchor(doubt=_whole_multiples(dims, abs(step_of(axes[0]) or 0.0)))
    return Anchor(known=any("resolution" in obj.coords[dim].attrs for dim in dims))


def stands_on(axes: Axes, lattice: Affine) -> Stand:
    """Return where the coordinates of (y, x) stand in the pixels of a lattice; "" where the axes differ."""
    stands: set[Stand] = set() if lattice.b or lattice.d else _stands(axes, lattice)
    return stands.pop() if len(stands) == 1 else ""


def same_size(axes: Axes, lattice: Affine) -> bool:
    """Return whether the steps of (y, x) are the pixels of a lattice, in either direction."""
    return _times(axes[0], lattice.e) == 1 == _times(axes[1], lattice.a)


def lattice_like(axes: Axes, *, corner: bool) -> Affine | None:
    """Make the transform of which coordinates are the corners or the centers; None for a single row or column."""
    (y, x), steps = axes, (step_of(axes[0]), step_of(axes[1]))
    if steps[0] is None or steps[1] is None:
        return None
    off = 0.0 if corner else 0.5
    return Affine(steps[1], 0.0, float(x[0]) - off * steps[1], 0.0, steps[0], float(y[0]) - off * steps[0])


def _noted(attrs: Mapping[Any, Any], crs: CRS | None) -> Noted | None:
    spec = attrs.get("spec")
    epsg, shape = getattr(spec, "epsg", None), getattr(spec, "shape", None)
    if crs is not None and None not in (epsg, crs.epsg) and epsg != crs.epsg:
        return None
    for value in (attrs.get("transform"), getattr(spec, "transform", None)):
        affine = _affine(value)
        if affine is not None:
            known = (shape[0], shape[1]) if isinstance(shape, tuple) and len(shape) == 2 else None
            return Noted(affine, known, stacked=spec is not None or "resolution" in attrs)
    return None


def _affine(value: object) -> Affine | None:
    """Read a transform in the order of rasterio and STAC: (a, b, c, d, e, f), or all nine of its matrix."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) or not isinstance(value, Affine | Sequence | np.ndarray):
        return None
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        return None
    if len(numbers) not in (6, 9) or not all(map(math.isfinite, numbers)):
        return None
    affine = Affine(*numbers[:6])
    return None if affine.is_degenerate else affine


def _times(axis: NDArray[np.floating[Any]], step: float) -> int:
    """Return how many pixels of a lattice a step of the axis is, in either direction; 0 where it is no whole number."""
    own = step_of(axis)
    if own is None:
        return 1
    times = abs(own / step)
    near = max(round(times), 1)
    return near if abs(times - near) * axis.size < max(0.01, tolerance_px(axis, step, _NEAR_PX)) else 0


def _stands(axes: Axes, lattice: Affine) -> set[Stand]:
    return {_stand(axes[0], lattice.e, lattice.f), _stand(axes[1], lattice.a, lattice.c)}


def _stand(axis: NDArray[np.floating[Any]], step: float, origin: float) -> Stand:
    """Return where an axis stands on a lattice.

    Steps of an odd number of pixels, by slicing or by averaging, keep corners and centers apart; with even ones the
    mean of two corners stands where a center does.
    """
    times = _times(axis, step)
    tolerance = tolerance_px(axis, step, _NEAR_PX)
    if not times or tolerance > 0.2:
        return ""
    places = [(float(end) - origin) / step for end in (axis[0], axis[-1])]
    for stand, off in (("corner", 0.0), ("center", 0.5)):
        if all(abs(place - off - round(place - off)) <= tolerance for place in places):
            return "either" if times % 2 == 0 else "corner" if stand == "corner" else "center"
    return ""


def _by_distance(obj: XarrayObject, dims: tuple[str, str], axes: Axes) -> tuple[float, float] | None:
    """Find the shift to centers by `cubo:distance_from_center`, which cubo measures from centers, whatever x and y are.

    Two numbers of it are read. None where it or the center is missing, or neither centers nor corners fit.
    """
    distance = obj.coords.get("cubo:distance_from_center")
    middle = [_number(obj.attrs.get(key)) for key in ("central_y", "central_x")]
    side = step_of(axes[1]) or step_of(axes[0]) or _number(obj.attrs.get("resolution"))
    if distance is None or set(distance.dims) != set(dims) or side is None or middle[0] is None or middle[1] is None:
        return None
    half = abs(side) / 2
    for shift in ((0.0, 0.0), (-half, half)):
        strays = [
            math.hypot(float(axes[0][end]) + shift[0] - middle[0], float(axes[1][end]) + shift[1] - middle[1])
            - float(distance[{dims[0]: end, dims[1]: end}])
            for end in (0, -1)
        ]
        if max(map(abs, strays)) < 1e-3 * half:
            return shift
    return None


def _looks_like_corners(axes: Axes, crs: CRS | None) -> bool:
    """Return whether coordinates stand on whole multiples of 10, 20 or 60 m, in UTM, where Sentinel-2 has its edges.

    Its pixels have their centers half a pixel beside.
    """
    zone = crs.proj.utm_zone if crs is not None else None
    steps = {abs(step) for axis in axes if (step := step_of(axis)) is not None}
    if zone is None or len(steps) != 1:
        return False
    step = next(iter(steps))
    return step in _SENTINEL_2_M and all(float(axis[0]) % step == 0 for axis in axes)


def _ambiguous(dims: tuple[str, str], lattice: Affine) -> str:
    return (
        f"{_listed(dims)} are read as the centers of pixels. Attributes describe pixels of {abs(lattice.a):g}, and "
        "from those alone it cannot be known whether the coordinates were made from corners: then the place is off by "
        f"half of such a pixel. {_cure(dims, (lattice.e / 2, lattice.a / 2))}"
    )


def _moved(dims: tuple[str, str], stored: Affine) -> str:
    return (
        f"{_listed(dims)} are moved by {abs(stored.e) / 2:g} and {abs(stored.a) / 2:g} to the centers of pixels, "
        "because by the 'GeoTransform' of the CRS coordinate they are corners. If they are centers, as after interp(), "
        "it is the transform of another cube: write it anew, cube.rio.write_transform(cube.rio.transform(recalc=True))."
    )


def _whole_multiples(dims: tuple[str, str], step: float) -> str:
    return (
        f"{_listed(dims)} are whole multiples of {step:g} m, where Sentinel-2 has the corners of its pixels, and "
        "stackstac and cubo give corners by default. They are read as centers, so the place may be off by half a "
        "pixel. "
        f"{_cure(dims, (-step / 2, step / 2))}"
    )


def _cure(dims: tuple[str, str], shift: tuple[float, float]) -> str:
    (y, x), (to_y, to_x) = dims, (f"{'-' if each < 0 else '+'} {abs(each):.12g}" for each in shift)
    return (
        "If they are corners, load centers (xy_coords='center' in stackstac and cubo) or move them: "
        f"cube.assign_coords({x}=cube.{x} {to_x}, {y}=cube.{y} {to_y}). If they are centers, write the transform: "
        "cube.rio.write_transform()."
    )


def _listed(dims: tuple[str, str]) -> str:
    return f"the coordinates {dims[1]!r} and {dims[0]!r}"


def _number(value: object) -> float | None:
    if isinstance(value, int | float | np.integer | np.floating) and math.isfinite(value):
        return float(value)
    return None
