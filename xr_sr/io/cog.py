"""Write one raster as a Cloud-Optimized GeoTIFF: block by block into a tiled file, then once through GDAL's COG driver.

Memory stays at a few blocks. The finished file takes its name in one step, so a reader never sees half of it.
`odc.geo.cog.save_cog_with_dask` (0.5.3) was tried: it pads an image of 2410 columns to 2416, drops the tags for scale
and offset, and needs tifffile, which is not a dependency here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, fsum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from ..analytics.area import sum_by_class
from ..analytics.classes import classes_of
from ..arguments import check_flag, check_path, check_whole, count_of, first_line
from ..cube.axes import XarrayObject
from ..errors import BandWarning, ClippingWarning, OptionError, StoreError, warn_caller
from ..runtime.execute import Graph, progress_bar, run_graphs
from ..task_warnings import collecting
from .planes import as_raster, label_of
from .tags import area_tag, areas_to_measure, class_tags, color_interpretation, color_table, file_tags, unknown_class
from .zarr.content import Content, Field, describe
from .zarr.encoding import Packing, pack_block
from .zarr.layout import edges_of

if TYPE_CHECKING:
    import dask.array as da

_SIDES = (128, 4096)
"""The least side of a tile, of which all sides are multiples, as GDAL's COG driver wants them; and the largest."""

_BYTES = 256 * 2**20
"""Packed pixels that wait to be written, at most."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A field and the bands that it gives: (y, x) is one band, (band, y, x) several. first: counted from 1.

    areas: of a map of classes whose areas are to be measured, those of its pixels in m2, cut as the field.
    """

    field: Field
    first: int
    names: tuple[str, ...]
    areas: da.Array | None = None


@collecting()
def to_cog(
    obj: XarrayObject,
    path: str | os.PathLike[str],
    *,
    packing: str = "int16",
    blocksize: int = 512,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Write a raster as a Cloud-Optimized GeoTIFF with overviews; returns its path.

    obj: (y, x), or (band, y, x) in any order, or a Dataset of (y, x) bands, of one date: of several, write one file for
        each, `obj.isel(time=0)`. Results of `interval`, `ensemble` and `multiframe` (its images), and arrays with other
        dimensions, are written plane by plane, with descriptions such as "estimate B04", "std B04" and "member 3 B04".
    path: of a local file. blocksize: side of a tile in the file, in pixels: a multiple of 128, at most 4096.
    packing: of floating-point numbers, as in `to_zarr`. "int16" stores steps of 0.0001 with nodata -32768 and the tags
        `scale` and `offset`, which rioxarray undoes by `open_rasterio(path, mask_and_scale=True)`; clipped values are
        counted and warned of (ClippingWarning). "float32" and "native" keep the numbers, with NaN as nodata. Integers,
        masked ones too, keep their dtype and the nodata value that they declare. All bands of a file have one dtype and
        one nodata value.
    overwrite: replace a file that is there. progress: True or False; by default a bar in a terminal and in Jupyter.

    Integers and booleans beside floating-point bands, such as a scene classification, are left out (BandWarning).
    Band names become band descriptions, and B04, B03 and B02 are marked as red, green and blue, so that a GIS shows
    true color. Attributes `xr_sr:*` become tags `xr_sr_*`, a single date the tags ACQUISITIONDATETIME and
    TIFFTAG_DATETIME; a map of classes keeps `flag_values` and `flag_meanings` as tags of its band, and
    its number for unknown, 255, is the nodata value of the file, and a map alone gets a color table. The results of
    `flood` and `agreement` also have the tag `area_ha`, the hectares of each class in the order of `flag_values`,
    measured while the blocks are written. CRS and transform are exact. Blocks are computed on the active scheduler of
    dask and written here, a few at a time; the file appears under its name when it is whole, and nothing is left behind
    where writing fails.
    Raises OptionError for a wrong option; StoreError for several dates, for bands of different dtypes (an index packed
    as int16 beside its deviation, which is not: pass packing="float32"), for a path that exists, and if writing fails.
    """
    check_flag("overwrite", overwrite)
    check_flag("progress", progress, optional=True)
    blocksize = check_whole("blocksize", blocksize, unit="pixels", least=_SIDES[0])
    if blocksize % _SIDES[0] or blocksize > _SIDES[1]:
        raise OptionError(
            f"blocksize={blocksize}: expected a multiple of {_SIDES[0]} pixels, at most {_SIDES[1]}, such as 512."
        )
    target = check_path("path", path, StoreError)
    if target.suffix.lower() == ".zarr":
        raise StoreError(f"path={str(path)!r} names a Zarr store; a GeoTIFF ends in .tif. Write a store by to_zarr.")
    if target.is_dir():
        raise StoreError(f"{str(target)!r} is a folder; name a file, such as {str(target / 'out.tif')!r}.")
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists; pass overwrite=True to replace it.")
    content = describe(as_raster(obj), packing)
    layers = _layers(content)
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
            plain, finished = Path(folder) / "plain.tif", Path(folder) / target.name
            clipped = _write_plain(content, layers, plain, progress)
            _require_whole(plain)
            _copy_to_cog(plain, finished, layers[0].field.packing, blocksize)
            _require_whole(finished)
            finished.replace(target)
    if clipped:
        warn_caller(
            f"{count_of(clipped, 'value')} did not fit int16 and {'was' if clipped == 1 else 'were'} clipped; "
            "packing='float32' keeps what does not fit.",
            ClippingWarning,
        )
    return target


def _layers(content: Content) -> list[Layer]:
    fields = _alike([field for field in content.fields if not field.coordinate])
    if len({replace(field.packing, nodata=None) for field in fields}) > 1:
        kinds = {field.name: field.packing.dtype for field in fields}
        floats = all(field.array.dtype.kind == "f" for field in fields)
        advice = "Pass packing='float32', or write them apart." if floats else "Write them apart, or cast them."
        raise StoreError(f"the bands of a GeoTIFF have one dtype, these have {kinds}. {advice}")
    layers: list[Layer] = []
    for field in fields:
        first = 1 + sum(len(layer.names) for layer in layers)
        layers.append(Layer(field, first, _band_names(field, content), areas_to_measure(content, field)))
    return layers


def _alike(fields: list[Field]) -> list[Field]:
    """Leave out classes and masks beside measurements: one file has one dtype."""
    measured = [field for field in fields if field.array.dtype.kind == "f"]
    flags = [field.name for field in fields if field.array.dtype.kind in "biu"]
    if not (measured and flags):
        return fields
    warn_caller(
        f"{flags} are left out: a GeoTIFF has one dtype, and these are whole numbers beside floating-point bands. "
        "Write them to a file of their own.",
        BandWarning,
    )
    return [field for field in fields if field.name not in flags]


def _band_names(field: Field, content: Content) -> tuple[str, ...]:
    if len(field.dims) == 2:
        label = content.small.coords.get("band") if content.kind == "DataArray" else None
        return (field.name if label is None or label.ndim else str(label.values),)
    dim, size = field.dims[0], field.array.shape[0]
    return tuple(label_of(dim, content.small.coords, place) for place in range(size))


def _write_plain(content: Content, layers: list[Layer], path: Path, progress: bool | None) -> int:
    """Write a tiled GeoTIFF, window by window, as blocks are computed; returns the number of clipped values."""
    import rasterio

    field, count = layers[0].field, sum(len(layer.names) for layer in layers)
    clipped, areas = 0, dict[int, list[NDArray[Any]]]()
    with (
        rasterio.Env(GDAL_CACHEMAX=_BYTES),
        _opened(path, "w", **_profile(content, layers, count)) as file,
        progress_bar(
            sum(layer.field.array.npartitions for layer in layers), progress=progress, label=path.parent.name
        ) as advance,
    ):
        for layer in layers:
            for number, name in enumerate(layer.names):
                file.set_band_description(layer.first + number, name)
                file.update_tags(layer.first + number, **class_tags(layer.field))
        if field.packing.scale is not None:
            file.scales, file.offsets = (field.packing.scale,) * count, (0.0,) * count
        file.update_tags(**file_tags(content, field))
        if (colors := color_table([layer.field for layer in layers])) is None:
            file.colorinterp = color_interpretation([name for layer in layers for name in layer.names])
        else:
            file.write_colormap(1, colors)

        def ended(key: Hashable, result: tuple[NDArray[Any], int, NDArray[Any] | None]) -> None:
            nonlocal clipped
            assert isinstance(key, tuple)
            layer = layers[key[2]]
            indexes, window = _window(layer, key[3:])
            block, beyond, by_class = result
            file.write(block.reshape(len(indexes), *block.shape[-2:]), indexes=indexes, window=window)
            clipped += beyond
            if by_class is not None:
                areas.setdefault(layer.first, []).append(by_class)
            advance(1)

        run_graphs(_graphs(layers), ended)
        for number, blocks in areas.items():
            file.update_tags(number, **area_tag([fsum(each) for each in zip(*blocks, strict=True)]))
    return clipped


def _profile(content: Content, layers: list[Layer], count: int) -> dict[str, Any]:
    packing = layers[0].field.packing
    dtype = {"bool": "uint8", "float16": "float32"}.get(packing.dtype, packing.dtype)
    height, width = content.geobox.shape
    nodata = _declared_nodata(layers) if packing.fill is None else packing.fill
    return {
        "driver": "GTiff",
        "dtype": dtype,
        "count": count,
        "height": int(height),
        "width": int(width),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "interleave": "band",
        "bigtiff": "if_safer",
        "compress": "deflate",
        "zlevel": 1,
        "transform": content.geobox.affine,
        **({} if content.geobox.crs is None else {"crs": content.geobox.crs.to_wkt()}),
        **({} if nodata is None else {"nodata": nodata}),
    }


def _declared_nodata(layers: list[Layer]) -> int | None:
    """Return the one value that integers declare as missing, or that means unknown in maps of classes."""
    declared = {layer.field.name: nodata for layer in layers if (nodata := layer.field.packing.nodata) is not None}
    if len(set(declared.values())) > 1:
        raise StoreError(
            f"the bands of a GeoTIFF have one nodata value, these have {declared}. Write them to files of their own."
        )
    return next(iter(declared.values()), unknown_class([layer.field for layer in layers]))


def _graphs(layers: list[Layer]) -> Iterator[Graph]:
    """Make graphs of as many places as fit the memory; all bands of a place in one, as they may share their kernel."""
    from dask.array.optimization import optimize
    from dask.highlevelgraph import HighLevelGraph

    arrays: list[Any] = [layer.field.array for layer in layers]
    needs = [*arrays, *(layer.areas for layer in layers if layer.areas is not None)]
    largest = sum(
        int(np.prod(array.chunksize)) * np.dtype(layer.field.packing.dtype).itemsize
        for array, layer in zip(arrays, layers, strict=True)
    )
    together = max(1, _BYTES // max(largest, 1))
    places = list(np.ndindex(*arrays[0].numblocks[-2:]))
    for start in range(0, len(places), together):
        token = uuid4().hex
        tasks: dict[Any, Any] = {}
        for number, (layer, array) in enumerate(zip(layers, arrays, strict=True)):
            for place, leading in product(places[start : start + together], np.ndindex(*array.numblocks[:-2])):
                index = (*leading, *place)
                tasks[("cog-" + token, token, number, *index)] = (
                    _packed,
                    (array.name, *index),
                    layer.field.packing,
                    None if layer.areas is None else (layer.areas.name, *index),
                    tuple(classes_of(layer.field.attrs).values()),
                )
        graph = HighLevelGraph.from_collections("cog-" + token, tasks, dependencies=needs)
        yield Graph(dict(optimize(graph, list(tasks))), tuple(tasks))


def _packed(
    block: NDArray[Any], packing: Packing, areas: NDArray[np.float64] | None, codes: tuple[int, ...]
) -> tuple[NDArray[Any], int, NDArray[Any] | None]:
    """Return the numbers to store, how many were clipped, and the area of each class in m2."""
    packed, clipped = pack_block(block, packing)
    stored = packed.astype(np.uint8) if packing.dtype == "bool" else packed
    return stored, clipped, None if areas is None else sum_by_class(block, areas, codes=codes).ravel()


def _opened(path: Path, mode: str = "r", **profile: Any) -> Any:
    """Open a raster as rasterio does, without its warning where a cube has no place: who wrote it knows that."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, mode, **profile)


def _window(layer: Layer, index: tuple[int, ...]) -> tuple[list[int], Any]:
    from rasterio.windows import Window

    spans = [edges_of(sizes)[at : at + 2] for sizes, at in zip(layer.field.array.chunks, index, strict=True)]
    *bands, rows, cols = spans
    first, last = bands[0] if bands else (0, 1)
    return list(range(layer.first + first, layer.first + last)), Window.from_slices(rows, cols)


def _copy_to_cog(source: Path, destination: Path, packing: Packing, blocksize: int) -> None:
    import rasterio.shutil

    resampling = "nearest" if packing.fill is None else "average"
    with rasterio.Env(GDAL_CACHEMAX=_BYTES):
        rasterio.shutil.copy(
            source,
            destination,
            driver="COG",
            blocksize=blocksize,
            compress="deflate",
            predictor="yes",
            bigtiff="if_safer",
            overview_resampling=resampling,
            num_threads="all_cpus",
        )


def _require_whole(path: Path) -> None:
    """Raise OSError where blocks of a file are missing or beyond its end.

    GDAL writes from a cache, and what cannot be written when the cache is emptied is only logged. Pixels of a block
    that is missing would be read as nodata.
    """
    from rasterio.enums import Interleaving

    size = path.stat().st_size
    with _opened(path) as file:
        bands = file.indexes if file.interleaving == Interleaving.band else [1]
        block = file.block_shapes[0]
        for level, factor in ((None, 1), *enumerate(file.overviews(1))):
            rows, cols = (
                ceil(ceil(side / factor) / step) for side, step in zip((file.height, file.width), block, strict=True)
            )
            for index, row, col in product(bands, range(rows), range(cols)):
                start, length = (
                    file.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=index, ovr=level)
                    for what in ("OFFSET", "SIZE")
                )
                if start is None or length is None or int(start) + int(length) > size:
                    raise OSError("the file is incomplete, as on a full disk")


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    import rasterio.errors
    from rasterio._err import CPLE_BaseError  # GDAL's own, which `rasterio.shutil.copy` lets through

    try:
        yield
    except StoreError:
        raise
    except (OSError, rasterio.errors.RasterioError, CPLE_BaseError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise StoreError(
            f"cannot write {target}: {reason}. Nothing was left behind; check the space on the disk, which must hold "
            "the file twice, and run the same call again."
        ) from error
