"""Compute the area of pixels on the ellipsoid, and of each class and date of a mask, lazily."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, overload

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import check_choice, check_number
from ..bands import is_scl
from ..cube.coordinates import coords
from ..cube.grid import crs_coord_name, geobox_of, spatial_dims
from ..cube.lazy import kept_unread
from ..cube.names import dims_text, listed
from ..errors import CubeError, GridError, OptionError
from ..spec import LEAST_LEVEL, MOST_LEVEL, WINDOW_DATES
from .classes import UNKNOWN, Classes, classes_of
from .shares import FITTED_CLASS, check_members, passed_by, shares_for
from .uncertain import MEMBER, MEMBERS, Limits, check_limits, is_decision, level_in

if TYPE_CHECKING:
    import dask.array as da

AreaMethod: TypeAlias = Literal["ellipsoidal", "projected"]
AREA_METHODS: tuple[AreaMethod, ...] = get_args(AreaMethod)
Floats: TypeAlias = npt.NDArray[np.float64]

HECTARE_M2 = 10_000.0

_OUTSIDE = "some pixels lie outside of the world, so they have no area; crop the cube, or correct its x and y."
_NODE_M = 1000.0
_MOST_NODES = 257
_STEP = 1e-5
"""Of the Earth's radius: half the way over which derivatives are taken, some 64 m. Larger steps lose to curvature,
smaller ones to rounding; at this one both are below 1e-9."""


def pixel_areas(obj: xr.DataArray | xr.Dataset, area: AreaMethod = "ellipsoidal") -> xr.DataArray:
    """Return the area of each pixel of a cube's grid.

    area: "ellipsoidal", on the ellipsoid of the CRS (WGS 84 for Sentinel-2), in any projection and in degrees, right to
    1e-6 for pixels up to 10 km; "projected", width times height in the plane of the projection, which in UTM is off by
    -0.08 % at the central meridian to +0.2 % at the edge of a zone.
    Returns (y, x) float64 in m2, lazy. Raises GridError without CRS, and for "projected" in degrees.
    """
    geobox, dims = geobox_with_crs(obj), spatial_dims(obj)
    assert dims is not None
    # Of the pixels themselves: coordinates may be cut in other ways, which `obj.chunksizes` refuses.
    variables = [obj.variable] if isinstance(obj, xr.DataArray) else [obj.variables[name] for name in obj.data_vars]
    sizes = next((dict(each.chunksizes) for each in variables if set(dims) <= set(each.dims)), {})
    chunks = tuple(sizes.get(dim, obj.sizes[dim]) for dim in dims)
    made = xr.DataArray(lazy_areas(geobox, area, chunks), dims=dims, name="area", attrs={"units": "m2"})
    return made.assign_coords(coords(geobox, crs_coord_name(obj), dims=dims))


def class_areas(classes: xr.DataArray, meaning: Classes, area: AreaMethod) -> xr.DataArray:
    """Add up the area of each class and date, in hectares: (time?, ..., state) float64, lazy.

    classes: (time?, ..., y, x) whole numbers. meaning: what they mean; the names along `state`.
    """
    import dask.array as da

    dims = spatial_dims(classes)
    if dims is None:
        raise CubeError(f"expected y and x; the map has {dims_text(classes.dims)}. Rename them to y and x.")
    lead = sorted((dim for dim in classes.dims if dim not in dims), key=lambda dim: dim != "time")
    data = kept_unread(classes).transpose(*lead, *dims).chunk().data
    areas = lazy_areas(geobox_with_crs(classes), area, data.chunks[-2:])
    letters = "abcdefghijk"[: len(lead)]
    sides = {axis: (1,) * data.numblocks[place] for axis, place in (("y", -2), ("x", -1))}
    blocks = da.blockwise(
        sum_by_class, f"{letters}syx", data, f"{letters}yx", areas, "yx", new_axes={"s": len(meaning)},
        adjust_chunks=sides, codes=tuple(meaning.values()), dtype="float64", concatenate=True, align_arrays=False,
        meta=np.empty((0,) * (data.ndim + 1), "float64"),
    )  # fmt: skip
    sums = da.sum(blocks, axis=(-2, -1), split_every=16) / HECTARE_M2
    attrs = {"units": "ha", "long_name": f"area, {area}"}
    along = {name: coord for name, coord in classes.coords.items() if len(coord.dims) == 1 and coord.dims[0] in lead}
    return xr.DataArray(sums, {**along, "state": list(meaning)}, (*lead, "state"), "area", attrs)


def geobox_with_crs(obj: xr.DataArray | xr.Dataset) -> GeoBox:
    """Return the grid of an object; raises GridError where it does not say where on Earth that lies."""
    geobox = geobox_of(obj)
    if geobox is None or geobox.crs is None:
        raise GridError(
            "areas need to know where the pixels lie, and there is no CRS. Say it with cube.odc.assign_crs('EPSG:...')."
        )
    return geobox


def area_text(hectares: float) -> str:
    """Write an area with three significant digits, from 100 of a unit on as whole ones: in m2 below 0.1 ha, else ha."""
    value, unit = (hectares * HECTARE_M2, "m²") if 0 < hectares < 0.09995 else (hectares, "ha")
    return f"{value:,.0f} {unit}" if value >= 99.95 else f"{value:.3g} {unit}"


def lazy_areas(geobox: GeoBox, area: AreaMethod, chunks: Any) -> da.Array:
    """Return the areas of pixels as a dask array (y, x) in m2, cut as asked."""
    import dask.array as da

    check_choice("area", area, AREA_METHODS)
    if area == "projected":
        flat: da.Array = da.full(tuple(geobox.shape), _plane_area(geobox), chunks=chunks, dtype="float64")
        return flat
    rows, cols, nodes = _area_nodes(geobox)
    # One array of some thousand numbers for the graph, from which each task works out its own pixels.
    shape = da.zeros(tuple(geobox.shape), chunks=chunks, dtype="uint8")
    areas: da.Array = da.map_blocks(_areas_of_block, shape, rows=rows, cols=cols, nodes=nodes, dtype="float64",
                         meta=np.empty((0, 0), "float64"))  # fmt: skip
    return areas


def _plane_area(geobox: GeoBox) -> float:
    assert geobox.crs is not None
    if geobox.crs.geographic:
        raise GridError("the pixels are in degrees, which have no area in a plane: use area='ellipsoidal'.")
    units = {axis.unit_conversion_factor for axis in geobox.crs.proj.axis_info}
    area = float(abs(geobox.affine.determinant) * next(iter(units)) ** 2)
    if not np.isfinite(area):
        raise GridError(_OUTSIDE)
    return area


def _area_nodes(geobox: GeoBox) -> tuple[Floats, Floats, Floats]:
    """Compute the area of a pixel at nodes about 1 km apart: rows and columns of the nodes, and (row, column) in m2.

    Area is the determinant of d(lon, lat) / d(x, y), times the ellipsoid's radii of curvature M N and cos(lat): true
    for any projection, conformal or not, and for degrees. Source: Snyder 1987, Map Projections, eq. 4-18 to 4-20.
    `pyproj.Proj.get_factors` agrees to 3e-10 in UTM, LAEA, Albers and polar stereographic, but is off by 1.7e-3 in Web
    Mercator and has no areas of degrees, so both would need this code anyway.
    Between nodes it is interpolated linearly, which over 1 km is off by less than 1e-8.
    """
    from pyproj import Transformer

    assert geobox.crs is not None
    crs = geobox.crs.proj
    geod, geographic = crs.get_geod(), crs.geodetic_crs
    if geod is None or geographic is None:
        raise GridError(f"nothing is known of the ellipsoid of {geobox.crs}: use area='projected'.")
    to_lonlat = Transformer.from_crs(crs, geographic, always_xy=True)
    unit_m = np.deg2rad(geod.a) if geobox.crs.geographic else crs.axis_info[0].unit_conversion_factor
    step = _STEP * geod.a / unit_m
    side_m = np.sqrt(abs(geobox.affine.determinant)) * unit_m
    rows, cols = (
        np.linspace(0, size, int(np.clip(np.ceil(size * side_m / _NODE_M), 1, _MOST_NODES - 1)) + 1)
        for size in geobox.shape
    )
    col, row = np.meshgrid(cols, rows)
    affine = geobox.affine
    x, y = affine.a * col + affine.b * row + affine.c, affine.d * col + affine.e * row + affine.f

    def lonlat(dx: float, dy: float) -> tuple[Floats, Floats]:
        lon, lat = to_lonlat.transform(x + dx, y + dy)
        return np.deg2rad(lon), np.deg2rad(lat)

    (east, north_e), (west, north_w) = lonlat(step, 0), lonlat(-step, 0)
    (east_n, north), (east_s, south) = lonlat(0, step), lonlat(0, -step)
    with np.errstate(over="ignore", invalid="ignore"):  # PROJ returns infinity outside of a projection
        dlon_dx = (np.remainder(east - west + np.pi, 2 * np.pi) - np.pi) / (2 * step)  # across the date line too
        dlon_dy = (np.remainder(east_n - east_s + np.pi, 2 * np.pi) - np.pi) / (2 * step)
        dlat_dx, dlat_dy = (north_e - north_w) / (2 * step), (north - south) / (2 * step)
        _, lat = lonlat(0, 0)
        flat = 1 - geod.es * np.sin(lat) ** 2
        curvature = geod.a**2 * (1 - geod.es) / flat**2  # M * N
        nodes = abs(dlon_dx * dlat_dy - dlon_dy * dlat_dx) * curvature * np.cos(lat) * abs(affine.determinant)
    if not np.isfinite(nodes).all():
        raise GridError(_OUTSIDE)
    return rows, cols, nodes


def _areas_of_block(
    block: npt.NDArray[Any], *, rows: Floats, cols: Floats, nodes: Floats, block_info: Any = None
) -> Floats:
    (top, bottom), (left, right) = block_info[0]["array-location"]
    made: Floats = _weights(top, bottom, rows) @ nodes @ _weights(left, right, cols).T
    return made


def _weights(start: int, stop: int, nodes: Floats) -> Floats:
    """Return the weight of each node at each pixel's center, for linear interpolation: (pixel, node)."""
    centers = np.arange(start, stop) + 0.5
    after = np.clip(np.searchsorted(nodes, centers), 1, len(nodes) - 1)
    share = (centers - nodes[after - 1]) / (nodes[after] - nodes[after - 1])
    weights = np.zeros((len(centers), len(nodes)))
    weights[np.arange(len(centers)), after - 1] = 1 - share
    weights[np.arange(len(centers)), after] = share
    return weights


def sum_by_class(block: npt.NDArray[Any], areas: Floats, *, codes: tuple[int, ...]) -> Floats:
    """Add up the areas (y, x) of the pixels of each class: (..., y, x) numbers to (..., class, 1, 1)."""
    most = max(codes) + 1
    sums = np.zeros((*block.shape[:-2], len(codes), 1, 1))
    for index in np.ndindex(block.shape[:-2]):
        place = np.where((block[index] >= 0) & (block[index] < most), block[index], most).astype(np.intp)
        sums[index][:, 0, 0] = np.bincount(place.ravel(), areas.ravel(), minlength=most + 1)[list(codes)]
    return sums


SCL: Classes = {
    "no_data": 0, "saturated_or_defective": 1, "dark_area": 2, "cloud_shadow": 3, "vegetation": 4, "not_vegetated": 5,
    "water": 6, "unclassified": 7, "cloud_medium_probability": 8, "cloud_high_probability": 9, "thin_cirrus": 10,
    "snow": 11,
}  # fmt: skip
"""The scene classification of Sen2Cor. Source: ESA, Sentinel-2 L2A Product Definition Document."""

_MASK: Classes = {"false": 0, "true": 1}


@overload
def areas(
    mask: xr.DataArray,
    *,
    classes: Mapping[str, int] | None = ...,
    area: AreaMethod = ...,
    level: float | None = ...,
    shares: Limits | None = ...,
) -> xr.DataArray: ...


@overload
def areas(
    mask: xr.DataArray | xr.Dataset,
    *,
    classes: Mapping[str, int] | None = ...,
    area: AreaMethod = ...,
    level: float | None = ...,
    shares: Limits | None = ...,
) -> xr.DataArray | xr.Dataset: ...


def areas(
    mask: xr.DataArray | xr.Dataset,
    *,
    classes: Mapping[str, int] | None = None,
    area: AreaMethod = "ellipsoidal",
    level: float | None = None,
    shares: Limits | None = None,
) -> xr.DataArray | xr.Dataset:
    """Add up the area of each class and date of a mask, in hectares.

    mask: (time?, y, x), and further dimensions: what `water`, `flood` or `agreement` gave, booleans such as
        `ndvi > 0.4`, SCL, a map with `flag_values` and `flag_meanings`, or 0 and 1 with NaN or 255 for unknown; or a
        Dataset with one of these. classes: what numbers mean, {"water": 6}, where nothing says it, or for a choice.
    area: "ellipsoidal", on the Earth; "projected", in the plane of the projection.
    level: of the interval of a Dataset that `water` or `flood` made of an ensemble, 0.05 to 0.99; by default that of
        the ensemble. shares: instead of those of the level, the shares of members between which areas are counted.
    Returns (time?, ..., state) float64, lazy, units "ha"; `.to_pandas()` makes a table of it. States are the classes,
    or "false" and "true"; what is NaN or none of the classes is "unknown", or "other" beside `classes`. Each pixel
    counts in one state, so the sum over states is the area of the map. A comparison with NaN is false: to have it
    unknown, `(ndvi > 0.4).where(ndvi.notnull())`.
    Of a Dataset made of an ensemble with members, a Dataset of (time?, state): `area`, the mean of the areas of the
    members, each of which is a whole map; `area_lower`, the area of what more than the larger share of the members has
    as this class, and `area_upper`, of what more than the smaller one has; where the mean lies outside, it is the
    bound. The default shares were fitted for the flooded area of synthetic floods in 1 km2, NDWI > -0.1, from 16
    members of kriging with its defaults: other maps, options and sizes issue a CalibrationWarning, and bounds of the
    other classes of a flood are NaN. Bounds move in steps of one member: of 8, those of 0.9 and 0.99 are the same.
    Quantiles of the members' own areas are far too narrow: errors along an edge cancel, but not what a whole scene has
    in common.
    Raises CubeError for what is no mask (numbers that are neither 0, 1 nor unknown raise when computed), and for a
    Dataset with an error but fewer than two members, of which no interval of an area is known; GridError without a CRS,
    OptionError for classes that are no names with whole numbers, and for shares that are not two in order.
    """
    if isinstance(mask, xr.Dataset) and is_decision(mask):
        if classes is not None:
            raise OptionError("classes=: the maps of members say what their classes are. Leave it out.")
        return _areas_with_error(mask, area, level, shares)
    if not (level is None and shares is None):
        raise OptionError("level= and shares=: only areas of an ensemble have an interval. Leave them out.")
    array = _mask_of(mask)
    meaning, rest = _meaning_of(array, classes)
    return class_areas(_whole(array, meaning, rest, checked=classes is None), meaning, area)


def _areas_with_error(found: xr.Dataset, area: AreaMethod, level: float | None, shares: Limits | None) -> xr.Dataset:
    if level is not None:
        check_number("level", level, least=LEAST_LEVEL, most=MOST_LEVEL)
    shares = None if shares is None else check_limits(shares, name="shares")
    if MEMBERS not in found:
        name = next(name for name in ("flood", "water") if name in found)
        joined = WINDOW_DATES in found.coords
        why = "multiframe draws none" if joined else "there are none. Draw them: cube.sr.ensemble(16, members=True)"
        raise CubeError(
            f"the interval of an area lies between shares of members, and {why}. For the areas of the map itself, "
            f"uncertain pixels among them: found[{name!r}].sr.areas()."
        )
    members = kept_unread(found[MEMBERS])
    return areas_of_members(members, area, shares, level_in(found) if level is None else level)


def areas_of_members(members: xr.DataArray, area: AreaMethod, shares: Limits | None, level: float) -> xr.Dataset:
    """Return the mean area of each class in the maps of members, and bounds, in hectares: (time?, state), lazy.

    shares: None for those that were fitted for the level, with a CalibrationWarning for other maps.
    """
    usual, shares = shares is None, check_members(members, shares or shares_for(members, level))
    meaning = classes_of(members.attrs)
    mean = class_areas(members, meaning, area).mean(MEMBER, keep_attrs=True)
    passed = passed_by(members, tuple(meaning.values()), shares)
    bounds = class_areas(passed, {"no": 0, "yes": 1}, area).sel(state="yes", drop=True).rename(code="state")
    bounds = bounds.assign_coords(state=list(meaning)).transpose(*mean.dims, "bound")
    if usual and FITTED_CLASS in meaning:  # of the other classes of a flood they cover two thirds
        bounds = bounds.where(bounds["state"] == FITTED_CLASS)
    lower, upper = np.minimum(bounds.isel(bound=0), mean), np.maximum(bounds.isel(bound=1), mean)
    found = xr.Dataset({"area": mean, "area_lower": lower, "area_upper": upper})
    note = {"comment": f"the shares of members were fitted for the class {FITTED_CLASS!r} alone"} if usual else {}
    for name, what in (("area_lower", "lower bound of the area"), ("area_upper", "upper bound of the area")):
        found[name].attrs = {"units": "ha", "long_name": f"{what}, {area}", **note}
    found.attrs["xr_sr:shares"] = list(shares)
    return found


def _mask_of(mask: Any) -> xr.DataArray:
    if isinstance(mask, xr.Dataset):
        dims = set(spatial_dims(mask) or ("y", "x"))
        on_grid = {str(name): array for name, array in mask.data_vars.items() if dims <= set(array.dims)}
        found = {
            name: array
            for name, array in on_grid.items()
            if array.dtype.kind == "b" or classes_of(array.attrs) or is_scl(name)
        }
        if len(found) != 1:
            raise CubeError(
                f"expected one mask; the Dataset has {listed(found) if found else f'none among {listed(on_grid)}'}. "
                f"{'Choose one' if found else 'Map water or a flood first, or choose one'}: dataset['name'].sr.areas()."
            )
        mask = next(iter(found.values()))
    if isinstance(mask, xr.DataArray) and mask.dtype.kind == "O":  # booleans with NaN, as `where` leaves them
        mask = xr.apply_ufunc(_as_floats, kept_unread(mask), dask="parallelized", output_dtypes=["float32"])
    if not isinstance(mask, xr.DataArray) or mask.dtype.kind not in "buif":
        what = f"of {mask.dtype}" if isinstance(mask, xr.DataArray) else f"a {type(mask).__name__}"
        raise CubeError(f"expected a mask, found {what}: pass booleans, classes, or 0 and 1.")
    return mask


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
            f"classes={classes!r}: expected names with whole numbers from 0 to 65535, such as {{'water': 6}}."
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
    """Convert booleans with NaN into 0, 1 and NaN. Raises CubeError for text and other objects."""
    try:
        return block.astype("float32")
    except (TypeError, ValueError) as error:
        raise CubeError(f"this is no mask: {error}. Expected booleans, classes, or 0 and 1.") from error


def _require_mask(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a block of a mask. Raises CubeError where it holds more than 0, 1, and NaN or 255 for unknown."""
    wrong = block[~(np.isin(block, (0, 1, UNKNOWN)) | (block != block))]
    if wrong.size:
        raise CubeError(
            f"the mask holds {wrong.flat[0]:g}, and nothing says what it means. Pass classes={{'water': 6}}, or "
            "compare first: (array > 0.4).sr.areas()."
        )
    return block
