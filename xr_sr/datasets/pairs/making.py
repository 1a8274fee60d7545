"""Make pairs: cut a coarse and a fine image of one ground into patches, keep the usable ones, write them.

How a pair is judged is in `selection`, what its Item says in `catalogue`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ...arguments import check_array, check_number, check_path, check_text, check_whole
from ...errors import CubeError, GridError, OptionError, StoreError
from ...simulate.degradation import Mtf, degrade
from ...simulate.harmonisation import Method, harmonise
from ...simulate.images import Image, partners, read
from .catalogue import write_collection
from .partial import partial_folder
from .selection import Limits, examine
from .writing import Scene, Writer

__all__ = ["make_pairs"]

STORE = "pairs.zarr"
BATCH = 16
"""Pairs that are computed together, so that chunks which they share are read once."""


def make_pairs(
    lr: xr.DataArray,
    hr: xr.DataArray,
    path: str | Path,
    *,
    size: int = 128,
    step: int | None = None,
    harmonise: Method | None = "linear",
    mtf: Mtf = None,
    max_shift: float = 0.5,
    max_angle: float = 5.0,
    min_valid: float = 1.0,
    limit: int | None = None,
    seed: int = 0,
    licence: str = "other",
) -> xr.Dataset:
    """Cut two images of one ground into pairs of patches, keep those that fit, and write them with a STAC Item each.

    lr, hr: (band, y, x) reflectance of one date each, NaN where not valid; `lr` has all bands of `hr`, and the pixels
        of `hr` are a whole number of times smaller, with edges on those of `lr`. `lr` has a `time`, or else `hr`.
    path: a folder to be made; it appears when it is whole, and what killed runs for it left is removed. It holds
        `pairs.zarr`, `collection.json` and `items/`.
    size, step: side of a patch and distance to the next, in pixels of `lr`; step defaults to size.
    harmonise: gives `hr` the radiometry of `lr` first, for the whole image (`simulate.harmonise`); None leaves it.
    mtf: as for `simulate.degrade`, by which `hr` is seen for harmonising and for the tests.
    max_shift: Q1, length in pixels of `lr` of the shift that would lay the degraded `hr` on `lr`; patches too smooth to
        measure it are not kept. max_angle: Q2, mean spectral angle between both in degrees. min_valid: share of valid
        pixels.
    limit: stop at so many pairs, taken in a random order, which `seed` fixes. licence: SPDX name, for the Items.
    Returns the pairs, opened lazily: `lr` (patch, band, y, x), `hr` (patch, band, y_hr, x_hr) float32, and what was
    measured of each. The group "selection" of the Zarr lists all patches that were looked at, and why each was not
    kept.
    Raises StoreError where `path` exists, GridError where grids do not nest, CubeError for more than one date,
    without a date, and where no pair is usable; OptionError for sizes below 16.
    """
    target = check_path("path", path, StoreError)
    check_array("lr", lr)
    check_array("hr", hr)
    for name, number in (("max_shift", max_shift), ("max_angle", max_angle), ("min_valid", min_valid)):
        check_number(name, number, least=0)
    for name, value in (("size", size), ("step", step), ("limit", limit)):
        if value is not None or name == "size":
            check_whole(name, value)
    check_whole("seed", seed, least=0)
    check_text("licence", licence)
    if target.exists():
        raise StoreError(f"{target} exists; pairs are never added to what is there. Remove it, or name another.")
    step = size if step is None else step
    if size < 16 or step < 1 or (limit is not None and limit < 1):
        raise OptionError(f"size={size}, step={step}, limit={limit}: wanted at least 16, 1 and 1.")
    scene = _scene(lr, hr, harmonise, mtf)
    time = _time(lr, hr)
    limits = Limits(max_shift, max_angle, min_valid)
    with partial_folder(target) as partial:
        writer = Writer(partial / STORE, scene, size)
        for place, (coarse, fine, seen) in _patches(scene, size, step, limit, seed):
            writer.add(place, coarse, fine, examine(coarse, seen, fine, limits))
            if writer.kept == limit:
                break
        writer.finish(time)
        about = {"xr_sr:harmonised": harmonise or "none"}
        write_collection(
            partial,
            writer.entries,
            time=time,
            licence=licence,
            bands=scene.bands,
            store=STORE,
            about=about,
            name=target.name,
        )
        partial.rename(target)
    pairs: xr.Dataset = xr.open_zarr(target / STORE)
    return pairs.assign_coords({name: coord.load() for name, coord in pairs.coords.items()})


def _scene(lr: xr.DataArray, hr: xr.DataArray, method: Method | None, mtf: Mtf) -> Scene:
    """Bring both images together, lazily; only the curves that harmonise them are computed here."""
    coarse, fine = read(_one_date(lr, "lr"), "lr"), read(_one_date(hr, "hr"), "hr")
    scale, rows, columns = _nesting(coarse, fine)
    matched = harmonise(fine.source, coarse.source, method=method, mtf=mtf, now=True) if method else fine.source
    places = partners(fine, coarse)
    bands = tuple(band or str(label) for label, band in zip(fine.labels, fine.bands, strict=True))
    grid = coarse.grid.geobox[rows[0] : rows[1], columns[0] : columns[1]]
    seen = degrade(matched, like=grid, mtf=mtf)
    ours = _banded(coarse, coarse.array)
    if coarse.band_dim is not None:
        ours = ours.isel({coarse.band_dim: places})
    offset = ~fine.grid.geobox.affine @ (grid.affine.c, grid.affine.f)
    left, top = (round(side) for side in offset)
    height, width = (side * scale for side in grid.shape.yx)
    theirs = _banded(fine, read(matched).array)
    return Scene(
        ours.isel({coarse.y: slice(*rows), coarse.x: slice(*columns)}),
        theirs.isel({fine.y: slice(top, top + height), fine.x: slice(left, left + width)}),
        _banded(fine, read(seen).array),
        grid,
        scale,
        bands,
    )


def _one_date(obj: xr.DataArray, what: str) -> xr.DataArray:
    """Drop dimensions of one place beside band, y and x; raises CubeError for more dates."""
    if not isinstance(obj, xr.DataArray):
        return obj
    image = read(obj, what)
    if many := [dim for dim in image.lead if obj.sizes[dim] > 1]:
        raise CubeError(
            f"{what} has {obj.sizes[many[0]]} places along {many[0]!r}; pairs are made of one of each: "
            f".isel({many[0]}=0)."
        )
    return obj.isel(dict.fromkeys(image.lead, 0))


def _banded(image: Image, array: xr.DataArray) -> xr.DataArray:
    return array if image.band_dim is not None else array.expand_dims("band")


def _nesting(coarse: Image, fine: Image) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Find the ratio of pixel sizes, and the rows and columns of coarse pixels that lie wholly on the fine image."""
    one, other = coarse.grid.geobox, fine.grid.geobox
    if one.crs is not None and other.crs is not None and one.crs != other.crs:
        raise GridError(f"lr is in {one.crs}, hr in {other.crs}. Reproject hr to lr's CRS first.")
    place = ~one.affine @ other.affine
    scale = round(1 / place.a) if place.a else 0
    corner = (place.c * scale, place.f * scale)
    strays = max(
        abs(place.a * scale - 1) * other.shape.x,
        abs(place.e * scale - 1) * other.shape.y,
        (abs(place.b) + abs(place.d)) * scale * max(other.shape),
        *(abs(edge - round(edge)) for edge in corner),
    )
    if scale < 2 or strays > 0.01:
        raise GridError(
            "pixels of hr must be a whole number of times smaller than those of lr, at least 2, with edges on theirs. "
            "Bring hr to such a grid first: hr.odc.reproject(lr.odc.geobox.zoom_out(1 / 4)), for a ratio of 4."
        )
    ranges = []
    for edge, length, limit in zip(reversed(corner), other.shape.yx, one.shape.yx, strict=True):
        first, last = math.ceil(round(edge) / scale), math.floor((round(edge) + length) / scale)
        ranges.append((max(0, first), min(limit, last)))
    if any(first >= last for first, last in ranges):
        raise GridError("no pixel of lr lies wholly on hr: the two images are of different ground.")
    return scale, ranges[0], ranges[1]


def _time(*cubes: xr.DataArray) -> np.datetime64:
    """Find the date of the pair: that of `lr`, else that of `hr`."""
    for cube in cubes:
        for coord in cube.coords.values():
            if coord.dtype.kind == "M" and coord.size == 1:
                return np.datetime64(coord.values.ravel()[0], "ns")
    raise CubeError("neither lr nor hr says of what date it is, and a STAC Item needs one: lr.assign_coords(time=...).")


def _patches(
    scene: Scene, size: int, step: int, limit: int | None, seed: int
) -> Iterator[tuple[tuple[int, int], tuple[npt.NDArray[Any], ...]]]:
    """Return (row, column) of the first coarse pixel of each patch, and its coarse, fine and seen pixels."""
    from dask.base import compute

    height, width = scene.grid.shape.yx
    places = [(row, column) for row in range(0, height - size + 1, step) for column in range(0, width - size + 1, step)]
    if not places:
        raise GridError(f"lr and hr share {height} x {width} pixels of lr; no patch of {size} x {size} fits.")
    if limit is not None:
        np.random.default_rng(seed).shuffle(places)
    for start in range(0, len(places), BATCH):
        batch = [(int(row), int(column)) for row, column in places[start : start + BATCH]]
        wanted = [
            tuple(
                array.data[:, row * n : (row + size) * n, column * n : (column + size) * n]
                for array, n in ((scene.lr, 1), (scene.hr, scene.scale), (scene.seen, 1))
            )
            for row, column in batch
        ]
        yield from zip(batch, compute(*wanted), strict=True)
