"""Read the metadata of a Zarr or GeoTIFF that this package wrote, and its grid as fields of STAC. Reads no pixel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ...analytics.classes import Classes, classes_of
from ...cube.grid import geobox_of
from ...errors import StoreError
from ...spec import BEFORE_ATTR, SOURCE_ITEMS, SOURCE_LINKS
from ..zarr import open_zarr

if TYPE_CHECKING:
    from pystac import Asset, Item


def add_projection(described: Item | Asset, geobox: GeoBox) -> None:
    """Describe a grid by the extension projection, with `proj:wkt2` where its CRS has no code.

    described: an Item that has the extension, or an Asset of one.
    """
    crs = geobox.crs
    code = f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else None
    described.ext.proj.apply(
        code=code,
        wkt2=crs.to_wkt() if crs is not None and code is None else None,
        bbox=None if crs is None else list(geobox.boundingbox.bbox),
        shape=list(geobox.shape.yx),
        transform=list(geobox.affine)[:6],
    )


def outline(geobox: GeoBox) -> tuple[dict[str, Any], list[float]]:
    """Return the footprint of a grid with a CRS as GeoJSON in degrees, and its bbox (west, south, east, north).

    A grid across the antimeridian becomes two polygons, and the bbox has west > east, as GeoJSON wants it.
    """
    shape = geobox.footprint("EPSG:4326", npoints=10, wrapdateline=True)
    west, south, east, north = shape.boundingbox.bbox
    if boxes := [part.boundingbox for part in shape.geoms]:
        west = min(box.left for box in boxes if box.left > 0)
        east = max(box.right for box in boxes if box.right < 0)
    geometry: dict[str, Any] = json.loads(json.dumps(shape.json))  # lists: validators take tuples for no arrays
    return geometry, [float(side) for side in (west, south, east, north)]


_DATED = "TIFFTAG_DATETIME"


@dataclass(frozen=True)
class StoredBand:
    """A band as it lies on disk: value = number * scale. nodata: None where every number counts; NaN is a number here.

    classes: of a map of classes, what its numbers mean.
    """

    name: str
    dtype: str
    nodata: float | None = None
    scale: float | None = None
    classes: Classes = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """All that an Item says of pixels.

    attrs: `xr_sr:*`, of the whole and of the first band. stamps: dates in UTC, ascending; empty where nothing says
    them. items, links: of the sources, as `load` noted them. level: product level of the input, "" where unknown.
    """

    kind: Literal["zarr", "cog"]
    geobox: GeoBox
    bands: tuple[StoredBand, ...]
    stamps: tuple[np.datetime64, ...]
    attrs: Mapping[str, Any]
    items: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    zarr_format: int = 3


def read_stored(place: str) -> Stored:
    """Read what a path or URL holds. Raises StoreError for what is neither a Zarr of ours nor a raster."""
    suffix = Path(place.split("::", 1)[0].rstrip("/")).suffix.lower()
    if suffix in (".tif", ".tiff"):
        return _of_raster(place)
    if suffix != ".zarr" and Path(place).is_file():
        raise StoreError(
            f"{place} is not a Zarr and does not end in .tif; to_stac describes what to_zarr and to_cog wrote."
        )
    return _of_zarr(place)


def _of_zarr(place: str) -> Stored:
    import zarr

    from ..zarr.record import KEY, Record

    cube = open_zarr(place)
    record = Record.from_attribute(zarr.open_group(place, mode="r").attrs[KEY])
    assert record is not None
    group: Any = zarr.open_group(place, path=record.groups[0] or None, mode="r")
    arrays = {name: group[name] for name in record.fields if name in record.variables}
    bands: list[StoredBand] = []
    for name, array in arrays.items():
        labels = _labels(cube if isinstance(cube, xr.DataArray) else cube[name], record.dims, record.time)
        bands += [_band(label or record.name or name, array.dtype.name, dict(array.attrs)) for label in labels]
    first: xr.DataArray = cube if isinstance(cube, xr.DataArray) else cube[next(iter(arrays))]
    return Stored(
        kind="zarr",
        geobox=_placed(geobox_of(cube), place),
        bands=tuple(bands),
        stamps=_stamps(cube, record.time),
        attrs={key: value for key, value in {**first.attrs, **cube.attrs}.items() if str(key).startswith("xr_sr:")},
        items=_words(cube, first, SOURCE_ITEMS),
        links=_words(cube, first, SOURCE_LINKS),
        zarr_format=record.zarr_format,
    )


def _labels(array: xr.DataArray, dims: Sequence[str], time: str | None) -> list[str]:
    """Return the names of bands along the third dimension of a variable; "" for a variable that is one band."""
    others = [dim for dim in array.dims if dim not in (*dims, time)]
    if not others:
        return [""]
    coord = array.coords.get(others[0])
    return [str(label) for label in (range(1, array.sizes[others[0]] + 1) if coord is None else coord.values)]


def _band(name: str, dtype: str, attrs: Mapping[str, Any]) -> StoredBand:
    """Describe a band by the attributes of CF on disk."""
    fill, scale = attrs.get("_FillValue"), attrs.get("scale_factor")
    floating = dtype.startswith("float")
    stated = float("nan") if floating else attrs.get("nodata") if fill is None else float(fill)
    return StoredBand(name, dtype, stated, None if scale is None else float(scale), classes_of(attrs))


def _stamps(cube: xr.DataArray | xr.Dataset, time: str | None) -> tuple[np.datetime64, ...]:
    names = [time] if time in cube.coords else [name for name, each in cube.coords.items() if each.ndim == 0]
    dates = [cube.coords[name].values for name in names if cube.coords[name].dtype.kind == "M"]
    return tuple(np.sort(np.atleast_1d(dates[0]))) if dates else ()


def _words(cube: xr.DataArray | xr.Dataset, first: xr.DataArray, name: str) -> tuple[str, ...]:
    """Return the words of a coordinate of texts, after those of the dates before a flood; each once, in their order."""
    texts = [str(first.attrs.get(f"{BEFORE_ATTR}{name}", ""))]
    texts += map(str, np.atleast_1d(cube.coords[name].values)) if name in cube.coords else []
    return tuple(dict.fromkeys(" ".join(texts).split()))


def _of_raster(place: str) -> Stored:
    import rasterio
    import rasterio.errors

    try:
        with rasterio.open(place) as file:
            tags, names = file.tags(), file.descriptions
            geobox = GeoBox((file.height, file.width), file.transform, None if file.crs is None else file.crs.to_wkt())
            facts = list(zip(file.dtypes, file.nodatavals, file.scales, strict=True))
            classes = [classes_of(file.tags(number)) for number in file.indexes]
    except rasterio.errors.RasterioIOError as error:
        raise StoreError(f"{place} cannot be read as a raster: {error}") from error
    attrs = {f"xr_sr:{key.removeprefix('xr_sr_')}": value for key, value in tags.items() if key.startswith("xr_sr_")}
    return Stored(
        kind="cog",
        geobox=_placed(geobox, place),
        bands=tuple(
            StoredBand(name or f"band-{number}", dtype, nodata, None if scale == 1 else scale, classes[number - 1])
            for number, (name, (dtype, nodata, scale)) in enumerate(zip(names, facts, strict=True), start=1)
        ),
        stamps=_date_of(tags.get(_DATED)),
        attrs=attrs,
        items=tuple(attrs.get(f"xr_sr:{SOURCE_ITEMS}", "").split()),
        links=tuple(attrs.get(f"xr_sr:{SOURCE_LINKS}", "").split()),
    )


def _date_of(tag: str | None) -> tuple[np.datetime64, ...]:
    """Read the date of a TIFF, "2023:06:15 10:00:00"; () where it has none, or one in other words."""
    if tag is None:
        return ()
    day, _, clock = tag.partition(" ")
    try:
        return (np.datetime64(f"{day.replace(':', '-')}T{clock or '00:00:00'}", "ns"),)
    except ValueError:
        return ()


def _placed(geobox: GeoBox | None, place: str) -> GeoBox:
    if geobox is None or geobox.crs is None:
        raise StoreError(f"{place} has no CRS, so an Item cannot locate it. Write it with a CRS.")
    return geobox
