"""Make training pairs: cut a coarse and a fine image of the same area into patches and keep the usable ones.

A pair is usable if enough pixels are valid, the images are not shifted against each other, and their spectra agree. The
files are written in `pair_files`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.base import compute

from ..arguments import check_array, check_number, check_path, check_text, check_whole, count_of, renamed
from ..cube.grid import order_error
from ..errors import CubeError, GridError, OptionError, StoreError
from ..metrics.distances import angle_map
from ..registration import estimate_shift
from ..simulate.degradation import Mtf, degrade
from ..simulate.harmonization import HarmonizeMethod, harmonize
from ..simulate.images import ImageCube, partners, read
from .pair_files import KEPT, PairWriter, Selection, SharedArea, partial_folder

__all__ = ["make_pairs"]

Reflectance: TypeAlias = npt.NDArray[np.floating[Any]]

NOT_VALID, NO_STRUCTURE, SHIFTED = "too few valid pixels", "shift not measurable", "shifted"
OTHER_COLORS = "other colors"
"""Reasons for which a pair is not kept."""

STORE = "pairs.zarr"
BATCH = 16
"""Pairs that are computed together, so that chunks which they share are read once."""


@dataclass(frozen=True)
class PairLimits:
    """Thresholds of a usable pair.

    max_shift: length in coarse pixels. max_angle: mean spectral angle in degrees. min_valid: fraction of pixels, 0 to
    1.
    """

    max_shift: float
    max_angle: float
    min_valid: float


@renamed(licence="license", harmonise="harmonize")
def make_pairs(
    lr: xr.DataArray,
    hr: xr.DataArray,
    path: str | Path,
    *,
    size: int = 128,
    step: int | None = None,
    harmonize: HarmonizeMethod | None = "linear",
    mtf: Mtf = None,
    max_shift: float = 0.5,
    max_angle: float = 5.0,
    min_valid: float = 1.0,
    dates: int | None = None,
    max_days: float = 10.0,
    min_dates: int = 1,
    limit: int | None = None,
    seed: int = 0,
    license: str = "other",
) -> xr.Dataset:
    """Cut two images of the same area into pairs of patches, keep the usable ones and write them with STAC Items.

    lr, hr: (band, y, x) reflectance of one date each, NaN where not valid, or DN with what `set_radiometry` wrote; `lr`
        has all bands of `hr`. The pixels of `hr` are smaller by an integer factor, with edges on those of `lr`. `lr`
        has a coordinate `time`, or else `hr`. Or `lr` has a dimension of several dates, and `hr` a date: each pair then
        is one fine patch beside the coarse ones of many dates.
    path: a folder that does not exist; it appears when it is complete, and leftovers of killed runs are removed. It
        holds `pairs.zarr`, `collection.json` and `items/`.
    size, step: side of a patch and distance to the next, in pixels of `lr`; step defaults to size.
    harmonize: match the radiometry of `hr` to `lr` first, for the whole image (`simulate.harmonize`); None skips it.
    mtf: as in `simulate.degrade`; degrades `hr` for harmonizing and for the tests.
    max_shift: Q1, longest shift between the degraded `hr` and `lr`, in pixels of `lr`; patches too smooth to measure it
        are not kept. max_angle: Q2, largest mean spectral angle between them, in degrees. min_valid: smallest fraction
        of valid pixels.
    dates, max_days: with several dates of `lr`, those at most so many days before or after `hr` are used, and of these
        as many as `dates`, the nearest to `hr`; by default all. Each is tested. min_dates: smallest number of dates of
        a patch that pass; the others are written too, and marked.
    limit: stop at this number of pairs, taken in a random order that `seed` fixes. license: SPDX name, for the Items.

    Returns the pairs, opened lazily: `lr` (patch, band, y, x), `hr` (patch, band, y_hr, x_hr) float32, and the
    measurements of each. With several dates: `lr` (patch, time, band, y, x), measurements and `usable` (patch, time),
    and the date of `hr` as `time_hr`. The group "selection" of the Zarr lists all patches that were tested, with the
    reason where one was not kept.
    Raises StoreError if `path` exists, GridError if grids do not nest, CubeError for more than one date of `hr`,
    without a date, with fewer than `dates` within `max_days`, and if no pair is usable; OptionError for sizes below 16.
    """
    target = check_path("path", path, StoreError)
    check_array("lr", lr)
    check_array("hr", hr)
    for name, number in (
        ("max_shift", max_shift),
        ("max_angle", max_angle),
        ("min_valid", min_valid),
        ("max_days", max_days),
    ):
        check_number(name, number, least=0)
    for name, value in (("size", size), ("step", step), ("limit", limit)):
        if value is not None or name == "size":
            check_whole(name, value)
    check_whole("seed", seed, least=0)
    check_whole("min_dates", min_dates, least=1)
    if dates is not None:
        check_whole("dates", dates, least=min_dates)
    check_text("license", license)
    if target.exists():
        raise StoreError(f"{target} exists; pairs are never added to a folder. Remove it, or pass another path.")
    step = size if step is None else step
    if size < 16 or step < 1 or (limit is not None and limit < 1):
        raise OptionError(f"size={size}, step={step}, limit={limit}: expected at least 16, 1 and 1.")
    chosen = _dates(lr, hr, dates, max_days, min_dates)
    if chosen is None:
        scene, time = _scene(_one_date(lr, "lr"), hr, harmonize, mtf), _time(lr, hr)
    else:
        scene, time = _scene(chosen.lr, hr, harmonize, mtf, chosen.times, chosen.nearest), chosen.time_hr
    limits = PairLimits(max_shift, max_angle, min_valid)
    with partial_folder(target) as partial:
        about = {"xr_sr:harmonized": harmonize or "none"}
        writer = PairWriter(partial, STORE, scene, size, time=time, license=license, about=about)
        for place, (coarse, fine, seen) in _patches(scene, size, step, limit, seed):
            of_dates = coarse if chosen else coarse[None]
            writer.add(place, coarse, fine, [examine(image, seen, fine, limits) for image in of_dates], min_dates)
            if len(writer.items) == limit:
                break
        writer.finish(target.name)
        partial.rename(target)
    pairs: xr.Dataset = xr.open_zarr(target / STORE)
    return pairs.assign_coords({name: coord.load() for name, coord in pairs.coords.items()})


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The dates of `lr` beside one of `hr`. lr: (time, band, y, x) of these. nearest: position of that next to `hr`."""

    lr: xr.DataArray
    times: npt.NDArray[np.datetime64]
    nearest: int
    time_hr: np.datetime64


def _dates(lr: xr.DataArray, hr: xr.DataArray, wanted: int | None, max_days: float, min_dates: int) -> _Chosen | None:
    """Choose the dates of `lr` next to that of `hr`, in the order of time; None where it has one and none are asked."""
    image = read(lr, "lr")
    many = [dim for dim in image.lead if lr.sizes[dim] > 1] or (list(image.lead) if wanted is not None else [])
    if not many:
        if wanted is None and min_dates == 1:
            return None
        raise CubeError(f"dates={wanted}, min_dates={min_dates}: lr has one date. Leave these out, or pass a series.")
    dim = many[0]
    if len(many) > 1 or dim not in image.array.coords or image.array[dim].dtype.kind != "M":
        raise CubeError(
            f"lr has the dimensions {many} beside band, y and x; expected at most one, of dates with a coordinate of "
            f"datetime64. Select one: lr.isel({dim}=0)."
        )
    series = image.array.isel({other: 0 for other in image.lead if other != dim}).rename(
        {dim: "time"} if dim != "time" else {}
    )
    time_hr = _time(hr)
    times = series["time"].values.astype("datetime64[ns]")
    days = np.abs((times - time_hr) / np.timedelta64(1, "D"))
    order = [number for number in np.argsort(days, kind="stable").tolist() if days[number] <= max_days]
    least = wanted or min_dates
    if len(order) < least:
        raise CubeError(
            f"{count_of(len(order), 'date')} of lr lie within {max_days:g} days of hr ({str(time_hr)[:10]}); expected "
            f"{least}. The nearest is {days.min():.1f} days away: raise max_days, or load more dates."
        )
    kept = sorted(order[: wanted or None], key=lambda number: times[number])
    return _Chosen(series.isel(time=kept), times[kept], kept.index(order[0]), time_hr)


def _scene(
    lr: xr.DataArray,
    hr: xr.DataArray,
    method: HarmonizeMethod | None,
    mtf: Mtf,
    times: npt.NDArray[np.datetime64] | None = None,
    nearest: int = 0,
) -> SharedArea:
    """Cut both images to their shared area, lazily; only the curves that harmonize them are computed.

    times: of `lr` (time, band, y, x), if it has several; the one at `nearest` is what `hr` is harmonized with.
    """
    coarse, fine = read(lr, "lr"), read(_one_date(hr, "hr"), "hr")
    scale, rows, columns = _nesting(coarse, fine)
    image = coarse.source if times is None else coarse.source.isel(time=nearest)
    matched = harmonize(fine.source, image, method=method, mtf=mtf, now=True) if method else fine.source
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
    return SharedArea(
        ours.isel({coarse.y: slice(*rows), coarse.x: slice(*columns)}),
        theirs.isel({fine.y: slice(top, top + height), fine.x: slice(left, left + width)}),
        _banded(fine, read(seen).array),
        grid,
        scale,
        bands,
        times,
    )


def _one_date(obj: xr.DataArray, what: str) -> xr.DataArray:
    """Drop dimensions of length one other than band, y and x. Raises CubeError for longer ones."""
    if not isinstance(obj, xr.DataArray):
        return obj
    image = read(obj, what)
    if many := [dim for dim in image.lead if obj.sizes[dim] > 1]:
        raise CubeError(
            f"{what} has length {obj.sizes[many[0]]} along {many[0]!r}; expected 1. Select one: "
            f"{what}.isel({many[0]}=0)."
        )
    return obj.isel(dict.fromkeys(image.lead, 0))


def _banded(image: ImageCube, array: xr.DataArray) -> xr.DataArray:
    return array if image.band_dim is not None else array.expand_dims("band", axis=len(image.lead))


def _nesting(coarse: ImageCube, fine: ImageCube) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Return the ratio of pixel sizes, and the rows and columns of coarse pixels completely inside the fine image."""
    one, other = coarse.grid.geobox, fine.grid.geobox
    if one.crs is not None and other.crs is not None and one.crs != other.crs:
        raise GridError(f"lr is in {one.crs}, hr in {other.crs}. Reproject hr to the CRS of lr first.")
    place = ~one.affine @ other.affine
    scale = round(1 / place.a) if place.a else 0
    corner = (place.c * scale, place.f * scale)
    strays = max(
        abs(place.a * scale - 1) * other.shape.x,
        abs(place.e * scale - 1) * other.shape.y,
        (abs(place.b) + abs(place.d)) * scale * max(other.shape),
        *(abs(edge - round(edge)) for edge in corner),
    )
    if abs(place.determinant) > 1 - 1e-6:
        raise order_error(("lr", "hr"), "hr", other, one)
    if scale < 2 or strays > 0.01:
        raise GridError(
            "pixels of hr must be smaller than those of lr by an integer factor of at least 2, with edges on theirs. "
            "Reproject hr to such a grid first: hr.odc.reproject(lr.odc.geobox.zoom_out(1 / 4)), for a factor of 4."
        )
    ranges = []
    for edge, length, limit in zip(reversed(corner), other.shape.yx, one.shape.yx, strict=True):
        first, last = math.ceil(round(edge) / scale), math.floor((round(edge) + length) / scale)
        ranges.append((max(0, first), min(limit, last)))
    if any(first >= last for first, last in ranges):
        raise GridError("no pixel of lr lies completely inside hr: the two images do not overlap.")
    return scale, ranges[0], ranges[1]


def _time(*cubes: xr.DataArray) -> np.datetime64:
    for cube in cubes:
        for coord in cube.coords.values():
            if coord.dtype.kind == "M" and coord.size == 1:
                return np.datetime64(coord.values.ravel()[0], "ns")
    who, one = ("neither lr nor hr has", "lr") if len(cubes) > 1 else ("hr has not", "hr")
    raise CubeError(f"{who} a date, and a STAC Item needs one: {one}.assign_coords(time=...).")


def _patches(
    scene: SharedArea, size: int, step: int, limit: int | None, seed: int
) -> Iterator[tuple[tuple[int, int], tuple[npt.NDArray[Any], ...]]]:
    """Return (row, column) of the first coarse pixel of each patch, and its coarse, fine and seen pixels.

    Coarse pixels have the dimensions of `scene.lr`.
    """
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
                array.data[..., row * n : (row + size) * n, column * n : (column + size) * n]
                for array, n in ((scene.lr, 1), (scene.hr, scene.scale), (scene.seen, 1))
            )
            for row, column in batch
        ]
        yield from zip(batch, compute(*wanted), strict=True)


def examine(coarse: Reflectance, seen: Reflectance, fine: Reflectance, limits: PairLimits) -> Selection:
    """Test one pair.

    coarse: (band, y, x), the coarse image. seen: the same, the fine image degraded to the coarse sensor.
    fine: (band, y * scale, x * scale). All are reflectance, NaN where not valid.
    The shift is that of `coarse` against `seen` (Q1), the angle the mean over pixels of that between both (Q2). The
    first test that fails is the reason: valid pixels, shift, angle.
    """
    valid = float(min(np.isfinite(image).all(axis=0).mean() for image in (coarse, seen, fine)))
    if valid < limits.min_valid or valid == 0:
        return Selection(NOT_VALID, valid)
    angle = spectral_angle(coarse, seen)
    shift = estimate_shift(seen, coarse, max_shift=max(5.0, 2 * limits.max_shift))
    measured = (valid, shift.dy, shift.dx, shift.quality, angle)
    if not shift.ok:
        return Selection(NO_STRUCTURE, *measured)
    if np.hypot(shift.dy, shift.dx) > limits.max_shift:
        return Selection(SHIFTED, *measured)
    if not angle <= limits.max_angle:
        return Selection(OTHER_COLORS, *measured)
    return Selection(KEPT, *measured)


def spectral_angle(one: Reflectance, other: Reflectance) -> float:
    """Compute the mean angle in degrees between the spectra of two images, (band, y, x), over pixels valid in both.

    0 for spectra that differ in brightness only, and for a single band. NaN without valid pixels; zero spectra do not
    count. Source: Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N (spectral angle mapper).
    """
    angles = angle_map(one, other)
    known = angles[np.isfinite(angles)]
    return float(known.mean()) if known.size else math.nan
