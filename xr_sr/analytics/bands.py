"""Read the bands of an index as reflectance on one grid.

What the numbers mean is decided in `radiometry`; which node of a tree holds which band, in `cube.detect`. Tasks count
the pixels that DN 0 in a part of the bands leaves unknown: DN 0 is nodata, but where 1000 was subtracted from DN and
negative values were clipped ("harmonized" DN), it is dark water too.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import and_
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import check_choice
from ..conventions import BAND_ATTRS
from ..cube.coordinates import zoomed
from ..cube.grid import crs_coord_name, geobox_of, spatial_dims
from ..cube.names import listed
from ..cube.select import AnyCube, Cube, pick, recognize
from ..cube.sensors import other_sensor, warn_of_sensor
from ..cube.time import on_dates_of
from ..cube.trees import node_dataset
from ..errors import BandWarning, GeoreferenceWarning, GridError, warn_caller
from ..radiometry.convert import partial_zeros
from ..radiometry.cubes import reflectance_and_meaning
from ..radiometry.given import Nodata, Offset, Quantification, check_radiometry
from ..radiometry.resolve import Radiometry
from ..spec import Tile
from ..task_warnings import Finding, note

FoundBands: TypeAlias = dict[str, tuple[xr.DataArray, Radiometry]]
"""Bands (*lead, y, x) as reflectance, NaN where missing, and what their numbers meant."""

GridChoice: TypeAlias = Literal["fine", "coarse"]


def _counting_zeros(found: FoundBands, reader: str) -> dict[str, xr.DataArray]:
    """Count inside tasks the pixels that DN 0 in some of the bands leaves unknown; lazy.

    reader: the name of the caller, for the sentence. Returns the bands, with the same values.
    """
    bands = {band: array for band, (array, _) in found.items()}
    first, *others = bands
    open_to_doubt = any(
        radiometry.kind == "dn" and 0.0 in radiometry.nodata and 0.0 in radiometry.offset
        for _, radiometry in found.values()
    )
    array = bands[first]
    if not (open_to_doubt and others and all(each.dims == array.dims for each in bands.values())):
        return bands
    import dask.array as da

    counted = da.map_blocks(
        _count_zeros,
        *(each.data for each in bands.values()),
        radiometries=tuple(radiometry for _, radiometry in found.values()),
        names=tuple(bands),
        reader=reader,
        dtype=array.dtype,
        meta=array.data._meta,
    )
    return {**bands, first: array.copy(data=counted)}


def _count_zeros(
    *blocks: npt.NDArray[Any],
    radiometries: tuple[Radiometry, ...],
    names: tuple[str, ...],
    reader: str,
    block_info: Any,
) -> npt.NDArray[Any]:
    """Return the first block unchanged, having counted, inside a task, the pixels that only some blocks have.

    A pixel that lacks several bands is counted for the first of them that DN 0 can have made unknown.
    """
    missing = [np.isnan(block) for block in blocks]
    every = reduce(and_, missing)
    *leads, y, x = block_info[0]["array-location"]
    tile = Tile(y=y, x=x, lead=tuple(leads))
    whose = " ".join(name for radiometry in radiometries for name in radiometry.names)
    findings: list[Finding] = []
    for lead in np.ndindex(every.shape[:-2]):
        open_pixels = ~every[lead]
        for band, radiometry in enumerate(radiometries):
            if not radiometry.zero_may_be_water(tile, lead):
                continue
            zeros = missing[band][lead] & open_pixels
            open_pixels = open_pixels & ~zeros
            findings += partial_zeros(
                f"{reader} is unknown in {{values}} in {{blocks}} because of DN 0 in {{names}}, while its other bands "
                "have values there",
                zeros=int(zeros.sum()),
                nodata=int(every[lead].sum()),
                valid=blocks[band][lead][~missing[band][lead]],
                quantification=radiometry.quantification,
                tile=tile,
                lead=lead,
                name=f"{whose}: {names[band]}",
                label=names[band],
            )
    note(findings)
    return blocks[0]


def check_options(*, grid: GridChoice | None, offset: Offset, quantification: Quantification, nodata: Nodata) -> None:
    """Raise OptionError or RadiometryError for options that are wrong even where they have no effect."""
    check_choice("grid", grid, (None, "fine", "coarse"))
    check_radiometry(offset, quantification, nodata)


def read_bands(
    obj: AnyCube, wanted: Sequence[str], *, reader: str, grid: GridChoice | None = None, **options: Any
) -> dict[str, xr.DataArray]:
    """Return bands as lazy float32 reflectance, (*lead, y, x) each, all on one grid.

    wanted: canonical names. reader: the name of the caller, for messages. grid: see `index`. options: of
    `reflectance`. Raises MissingBandError, GridError where the grids of a tree do not nest, RadiometryError. Tasks
    count the pixels that DN 0 in a part of the bands makes unknown.
    """
    return _counting_zeros(_found_bands(obj, wanted, reader, grid, options), reader)


def _found_bands(
    obj: AnyCube, wanted: Sequence[str], reader: str, grid: GridChoice | None, options: dict[str, Any]
) -> FoundBands:
    """Return bands, all on one grid, and what their numbers meant."""
    cube = recognize(obj)
    if reason := other_sensor(obj, cube):
        warn_of_sensor(reason)
    if not isinstance(obj, xr.DataTree):
        return _convert(obj, cube, wanted, reader, options)

    holders = {path: bands for path, bands in cube.elsewhere if set(bands) & set(wanted)}
    here = [band for band in wanted if band in cube.available]
    if not here:
        alone = next((path for path, bands in holders.items() if set(wanted) <= set(bands)), None)
        if alone is not None:
            return _read_node(obj, alone, wanted, reader, options)
    sources: dict[str, list[str]] = {}
    for band in wanted:
        path = next((path for path, bands in holders.items() if band in bands), None)
        if band not in cube.available and path is not None:
            sources.setdefault(path, []).append(band)
    if not sources:
        return _read_node(obj, cube.node, wanted, reader, options)
    # What neither node has is missing from the finest, whose error then lists all bands.
    lacking = [band for band in wanted if band not in {name for bands in sources.values() for name in bands}]
    wanted_of = ({cube.node: lacking} if lacking else {}) | sources
    like = _recognized(_node(obj, next(iter(wanted_of))))
    parts = [_read_node(obj, path, bands, reader, options, like) for path, bands in wanted_of.items()]
    parts.sort(key=lambda part: -_first(part).size)
    found = _on_one_grid(parts, sources, grid, reader)
    return {band: found[band] for band in wanted}


def _first(found: FoundBands) -> xr.DataArray:
    return next(array for array, _ in found.values())


def factor_between(coarse: GeoBox, fine: GeoBox) -> int | None:
    """Return the number of fine pixels along a coarse one; None where one grid is not a refinement of the other."""
    if coarse.crs != fine.crs:
        return None
    factor = round(fine.shape.y / coarse.shape.y)
    if factor < 1 or (coarse.shape.y * factor, coarse.shape.x * factor) != tuple(fine.shape):
        return None
    strays = ~zoomed(coarse, factor).affine @ fine.affine
    corners = ((0, 0), (fine.shape.x, fine.shape.y))
    near = all(abs(got - want) < 0.01 for place in corners for got, want in zip(strays @ place, place, strict=True))
    return factor if near else None


def on_finer_grid(coarse: xr.DataArray, fine: xr.DataArray, *, what: str) -> xr.DataArray:
    """Repeat the pixels of an array over those of a finer one of the same ground, and give it that one's coordinates.

    what: both, for the message of the GridError that is raised where the grids do not nest.
    """
    coarse = turned_like(coarse, fine)
    factor = _factor_of(coarse, fine, what)
    dims, finer = spatial_dims(coarse), spatial_dims(fine)
    assert dims is not None and finer is not None
    spatial = [name for name in coarse.coords if set(coarse.coords[name].dims) & set(dims)]
    repeated = coarse.drop_vars([*spatial, crs_coord_name(coarse)], errors="ignore")
    if factor > 1:
        repeated = _repeated(repeated, factor, dims)
    repeated = repeated.rename({old: new for old, new in zip(dims, finer, strict=True) if old != new})
    own = {name: fine.coords[name].variable for name in (*finer, crs_coord_name(fine)) if name in fine.coords}
    return repeated.assign_coords(own)


def turned_like(array: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Reverse y and x where another array has them the other way round, as south-up beside north-up."""
    here, there, dims = geobox_of(array), geobox_of(like), spatial_dims(array)
    if here is None or there is None or dims is None:
        return array
    pairs = zip(dims, (here.affine.e, here.affine.a), (there.affine.e, there.affine.a), strict=True)
    turned = {dim: slice(None, None, -1) for dim, own, other in pairs if own * other < 0}
    return array.isel(turned) if turned else array


def _repeated(array: xr.DataArray, factor: int, dims: tuple[str, str]) -> xr.DataArray:
    """Repeat pixels: one task per chunk, where an index of repeated places would make a dozen."""
    axes = tuple(array.dims.index(dim) for dim in dims)
    if array.chunks is None:
        values = _repeat(array.values, factor=factor, axes=axes)
    else:
        chunks = tuple(
            tuple(size * factor for size in sizes) if axis in axes else sizes for axis, sizes in enumerate(array.chunks)
        )
        values = array.data.map_blocks(_repeat, factor=factor, axes=axes, chunks=chunks, dtype=array.dtype)
    on_rest = {name: coord for name, coord in array.coords.items() if not set(coord.dims) & set(dims)}
    return xr.DataArray(values, dims=array.dims, coords=on_rest, name=array.name, attrs=array.attrs)


def _repeat(block: Any, *, factor: int, axes: tuple[int, ...]) -> Any:
    return block.repeat(factor, axis=axes[0]).repeat(factor, axis=axes[1])


def _factor_of(coarse: xr.DataArray, fine: xr.DataArray, what: str) -> int:
    here, there = geobox_of(coarse), geobox_of(fine)
    factor = None if here is None or there is None else factor_between(here, there)
    if factor is None:
        raise GridError(
            f"{what}: their grids do not nest. The pixels of one must be a whole number of those of the other, at the "
            "same edges, in the same CRS, and cover the same ground. Crop or load both by one bounding box, snapped to "
            "the larger pixels."
        )
    return factor


def _read_node(
    tree: xr.DataTree, path: str, wanted: Sequence[str], reader: str, options: dict[str, Any], like: Cube | None = None
) -> FoundBands:
    """Read bands of one node. like: the cube of another node, whose dates are selected."""
    dataset = _node(tree, path)
    cube = _recognized(dataset)
    if like is not None:
        cube = on_dates_of(cube, like, f"the node {path!r}")
    return _convert(dataset, cube, wanted, reader, options)


def _node(tree: xr.DataTree, path: str) -> xr.Dataset:
    node = tree if path in ("", ".") or path == tree.path else tree[path]
    assert isinstance(node, xr.DataTree)
    return node_dataset(node)


def _recognized(dataset: xr.Dataset) -> Cube:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)  # issued when the tree was recognized
        return recognize(dataset)


def _convert(
    obj: xr.DataArray | xr.Dataset, cube: Cube, wanted: Sequence[str], reader: str, options: dict[str, Any]
) -> FoundBands:
    planes = pick(cube, wanted, reader=reader, cure="choose an index of bands that are there")
    slim: Any
    if isinstance(obj, xr.Dataset):
        names = {plane.name for plane in planes}
        slim = cube.source.drop_vars([plane.name for plane in cube.planes if plane.name not in names])
    elif cube.band_dim is None:
        slim = obj
    else:
        places = [plane.index for plane in planes]
        slim = obj.isel({cube.band_dim: places}).assign_coords({cube.band_dim: list(wanted)})
        slim.attrs = {key: value for key, value in slim.attrs.items() if key not in BAND_ATTRS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)
        converted, radiometry = reflectance_and_meaning(slim, **options)
        again = recognize(converted)
    found = {}
    for plane in pick(again, wanted, reader=reader):
        array = plane.array
        if again.band_dim is not None:
            along = [name for name in array.coords if again.band_dim in array.coords[name].dims]
            array = array.isel({again.band_dim: plane.index}).drop_vars(along)
        identity = tuple(each for each in radiometry.names if each.endswith(f" {plane.name}"))
        found[plane.band] = array, replace(radiometry, names=identity)
    return found


def _on_one_grid(
    parts: Sequence[FoundBands], sources: dict[str, list[str]], grid: GridChoice | None, reader: str
) -> FoundBands:
    """Resample bands of several grids to the finest or the coarsest of them. parts: finest first."""
    found = {band: each for part in parts for band, each in part.items()}
    what = f"{reader} reads bands of several grids"
    if grid == "coarse":
        coarsest = _first(parts[-1])
        return {band: (_averaged(array, coarsest, what), meant) for band, (array, meant) in found.items()}
    if grid is None and len(parts) > 1:
        bands = listed(band for names in sources.values() for band in names)
        warn_caller(
            f"{what}: each pixel of {bands} is repeated over the finer grid, so edges are only as sharp as that "
            "band. Upscale or fuse first for finer ones, or pass grid='fine' (this) or grid='coarse' (averages).",
            BandWarning,
        )
    finest = _first(parts[0])
    return {band: (on_finer_grid(array, finest, what=what), meant) for band, (array, meant) in found.items()}


def _averaged(fine: xr.DataArray, coarse: xr.DataArray, what: str) -> xr.DataArray:
    """Average the pixels of an array over those of a coarser one; NaN where one of them is NaN."""
    factor = _factor_of(coarse, fine, what)
    dims, wanted = spatial_dims(fine), spatial_dims(coarse)
    assert dims is not None and wanted is not None
    if factor == 1:
        return fine
    own = {name: coarse.coords[name].variable for name in (*wanted, crs_coord_name(coarse)) if name in coarse.coords}
    means = fine.drop_vars([*dims, crs_coord_name(fine)], errors="ignore")
    # Slices rather than .coarsen, whose mean skips NaN: a clouded quarter of a pixel would pass unseen.
    places = [dict(zip(dims, start, strict=True)) for start in np.ndindex(factor, factor)]
    slices = [means.isel({dim: slice(start, None, factor) for dim, start in place.items()}) for place in places]
    means = sum(slices[1:], slices[0]) / np.float32(factor**2)
    return means.rename({old: new for old, new in zip(dims, wanted, strict=True) if old != new}).assign_coords(own)
