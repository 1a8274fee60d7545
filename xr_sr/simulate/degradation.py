"""Degrade a fine image to what a coarser sensor would see, and mix the frequencies of two images.

Options and georeferencing only; point spread functions are defined in `kernels.psf` and applied in `sense`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from ..arguments import check_flag, check_number, check_whole
from ..cube.grid import geobox_of
from ..cube.names import listed
from ..errors import GridError, MissingBandError, OptionError
from ..kernels.psf import MTF_AT_NYQUIST, Axis, Psf, gaussian, gaussian_psf, kernel_psf
from ..kernels.sensor_noise import SIGNAL_TO_NOISE, Strength, strength_of
from ..radiometry.written import converted_if_written
from .images import Flat, ImageCube, each_variable, read, same_grid, sorted_variables
from .noise import Noise, key_of
from .sense import Response, Sensor, sense

Value = TypeVar("Value")
Mtf: TypeAlias = "float | Mapping[Hashable, float] | None"
Kernels: TypeAlias = "npt.ArrayLike | Mapping[Hashable, npt.ArrayLike] | None"
NoiseModel: TypeAlias = "Literal['sentinel2'] | float | Mapping[Hashable, float] | None"
GridLike: TypeAlias = "xr.DataArray | xr.Dataset | GeoBox"

_CLOSE_PX = 1e-6


def degrade(
    hr: Flat,
    factor: float | None = None,
    *,
    gsd: float | None = None,
    like: GridLike | None = None,
    mtf: Mtf = None,
    kernel: Kernels = None,
    noise: NoiseModel = None,
    noise_gain: float = 1.0,
    shifts: Mapping[Hashable, tuple[float, float]] | None = None,
    seed: int = 0,
    snap: bool = False,
) -> Flat:
    """Degrade a fine image to a coarser sensor: blur by its point spread function, sample on its grid, add noise.

    hr: DataArray (..., band, y, x) in any order, or Dataset of bands; reflectance, floating, NaN where not valid; or DN
        with what `set_radiometry` wrote.
    One of three defines the coarse pixels. factor: their size in fine pixels, above 1, whole or not (16.67). gsd: their
    size in the unit of the CRS, meters in UTM. like: a cube or geobox whose grid to take, any phase and size.
    snap: with factor and gsd, edges lie on multiples of the pixel's size, as those of Sentinel-2 do; else the first
        pixel begins at the corner of `hr`. Only pixels that lie wholly on `hr` are made; with `like` all, NaN beyond.
    mtf: contrast that a band passes at the Nyquist frequency of the coarse pixel, in (0, 1), one for all or by band;
        default Sentinel-2's by band. The point spread function is the Gaussian of that (`gaussian_psf`).
    kernel: a (y, x) array of weights, one per fine pixel, in place of the Gaussian, one for all or by band.
    noise: None; "sentinel2", photon noise by band (`sensor_noise.strength_of`); or the standard deviation in
        reflectance, one for all or by band. noise_gain: multiplies it. seed: of the noise, which depends on seed, band,
        date and place alone; it is bell-shaped and never beyond 3.5 deviations.
    shifts: by band, (dy, dx) by which its content is displaced, in coarse pixels: misregistration between bands; those
        not named stay.
    Returns the same type on the coarser grid, lazily, dtype of floats kept. A coarse pixel is the weighted mean of its
    valid fine pixels, and NaN where less than half of its weight is valid. Coordinates along y and x that are no axes
    are dropped.
    Raises OptionError for options that do not fit together or are no numbers, MissingBandError where the MTF or the
    noise of a band is not known, or shifts= names a band that is not there, GridError for another CRS or orientation,
    RadiometryError for other integers.
    """
    check_flag("snap", snap)
    if sum(option is not None for option in (factor, gsd, like)) != 1:
        raise OptionError("degrade takes one of factor=4, gsd=10 (in the CRS's unit) and like=<cube or geobox>.")
    for name, size in (("factor", factor), ("gsd", gsd)):
        if size is not None:
            check_number(name, size)
    check_number("noise_gain", noise_gain, least=0)
    check_whole("seed", seed)
    if kernel is not None and mtf is not None:
        raise OptionError("degrade takes mtf= or kernel=, not both: each defines the width of the blur.")
    moves = None if shifts is None else moves_of(hr, shifts)

    def of_array(array: xr.DataArray) -> xr.DataArray:
        image = read(array)
        target, rows, columns = _grid(image, factor, gsd, like, snap)
        sizes = (abs(rows.step), abs(columns.step))
        psfs = _psfs(image, sizes, mtf, kernel)
        moved = _by_band(image, moves or {}, "shifts", (0.0, 0.0))
        responses = tuple(Response(psf, shift) for psf, shift in zip(psfs, moved, strict=True))
        after = noise_of(image, target, noise, noise_gain, seed)
        data = sense(image.array.data, Sensor(rows, columns, responses, image.band_axis, after=after), name="degrade")
        summary = _how(sizes, mtf, kernel, noise, noise_gain, seed, moves)
        return image.rebuilt(data, geobox=target, attrs={"xr_sr:degraded": summary})

    return each_variable(hr, of_array)


def _grid(
    image: ImageCube, factor: float | None, gsd: float | None, like: GridLike | None, snap: bool
) -> tuple[GeoBox, Axis, Axis]:
    """Find the coarse geobox, and where its pixels lie on the fine grid, along y and x."""
    fine = image.grid.geobox
    height, width = fine.shape
    if like is not None:
        target = like if isinstance(like, GeoBox) else geobox_of(like)
        if target is None:
            raise GridError("like= has no y and x; expected a cube or a geobox.")
        if fine.crs is not None and target.crs is not None and fine.crs != target.crs:
            raise GridError(f"like= is in {target.crs}, the cube in {fine.crs}. Reproject the cube first.")
        place = ~fine.affine @ target.affine
        if abs(place.b) * target.shape.y + abs(place.d) * target.shape.x > 1e-3:
            raise GridError("like= is turned against the cube's grid. Reproject the cube first.")
        steps, origins, counts = [place.e, place.a], [place.f, place.c], list(target.shape.yx)
    else:
        # Along the rows' and the columns' direction, in the unit of the CRS.
        sides = math.hypot(fine.affine.b, fine.affine.e), math.hypot(fine.affine.a, fine.affine.d)
        asked = [gsd / side if gsd is not None else float(factor or 0) for side in sides]
        if not all(step > 1 and math.isfinite(step) for step in asked):
            found = f"gsd={gsd:g} against pixels of {sides[0]:g}" if gsd is not None else f"factor={factor}"
            raise OptionError(f"degrade makes coarser pixels, by a factor above 1; got {found}.")
        steps = [round(step) if abs(step - round(step)) < 1e-9 * step else step for step in asked]
        if snap and not fine.axis_aligned:
            raise OptionError("snap=True needs a grid along the axes of the CRS; this one is rotated.")
        starts = [fine.affine.f / fine.affine.e, fine.affine.c / fine.affine.a] if snap else [0.0, 0.0]
        # How far it is from the image's first edge to the next multiple of the coarse pixel's size.
        origins = [
            math.ceil(start / step - _CLOSE_PX) * step - start for start, step in zip(starts, steps, strict=True)
        ]
        counts = [
            math.floor((size - origin) / step + _CLOSE_PX)
            for size, origin, step in zip((height, width), origins, steps, strict=True)
        ]
        if min(counts) < 1:
            raise GridError(
                f"no pixel of {steps[0]:g} x {steps[1]:g} fine ones lies wholly on {height} x {width} of them. "
                "Take a larger piece or a smaller factor"
                + (f"; gsd= is in the unit of {fine.crs}, so reproject to meters first." if gsd is not None else ".")
            )
        moved = fine.affine @ Affine.translation(origins[1], origins[0]) @ Affine.scale(steps[1], steps[0])
        target = GeoBox((counts[0], counts[1]), moved, fine.crs)
    if min(map(abs, steps)) <= 1 + _CLOSE_PX:
        raise GridError(f"like= has pixels of {abs(steps[0]):g} x {abs(steps[1]):g} fine ones; expected coarser ones.")
    axes = [
        Axis(int(count), size, float(step), float(origin))
        for count, size, step, origin in zip(counts, (height, width), steps, origins, strict=True)
    ]
    return target, axes[0], axes[1]


def _psfs(image: ImageCube, sizes: tuple[float, float], mtf: Mtf, kernel: Kernels) -> list[Psf]:
    if kernel is not None:
        if not isinstance(kernel, Mapping):
            return [kernel_psf(kernel)] * len(image.labels)
        return [kernel_psf(array) for array in _by_band(image, kernel, "kernel")]
    if mtf is None:
        if unknown := _unknown(image, MTF_AT_NYQUIST):
            raise MissingBandError(
                f"the MTF of {listed(unknown)} is unknown; known are {', '.join(MTF_AT_NYQUIST)}. Pass one for all "
                "bands, mtf=0.25, or by band, or name the bands as Sentinel-2 does."
            )
        mtf = {label: MTF_AT_NYQUIST[str(band)] for label, band in zip(image.labels, image.bands, strict=True)}
    values = _by_band(image, mtf, "mtf") if isinstance(mtf, Mapping) else [float(mtf)] * len(image.labels)
    return [gaussian_psf(float(value), sizes) for value in values]


def _unknown(image: ImageCube, table: Mapping[str, object]) -> list[Hashable]:
    return [label for label, band in zip(image.labels, image.bands, strict=True) if band not in table]


def _by_band(image: ImageCube, given: Mapping[Hashable, Value], what: str, default: Value | None = None) -> list[Value]:
    """Pick what was given by band, under the cube's own names or the canonical ones; `default` where nothing was."""
    values = []
    for label, band in zip(image.labels, image.bands, strict=True):
        name = label if label in given else band
        value = given.get(name, default)
        if value is None:
            raise MissingBandError(
                f"{what}= names {listed(given)}; the cube has {label!r} too. Pass one for each band."
            )
        values.append(value)
    return values


def moves_of(
    hr: xr.DataArray | xr.Dataset, shifts: Mapping[Hashable, tuple[float, float]], what: str = "shifts"
) -> dict[Hashable, tuple[float, float]]:
    """Check shifts: each a pair of finite numbers, of a band that the cube, or a variable of a Dataset, has.

    what: name of the argument, for messages. Raises OptionError, and MissingBandError for other bands.
    """
    if not isinstance(shifts, Mapping):
        raise OptionError(f"{what}={shifts!r}: expected a mapping such as {{'B08': (0.0, 0.2)}}, (dy, dx) by band.")
    moves: dict[Hashable, tuple[float, float]] = {}
    for name, shift in shifts.items():
        try:
            dy, dx = (float(side) for side in shift)
        except (TypeError, ValueError):
            dy = dx = math.nan
        if not (math.isfinite(dy) and math.isfinite(dx)):
            raise OptionError(f"{what}={{{name!r}: {shift!r}}}: expected (dy, dx), two numbers in coarse pixels.")
        moves[name] = (dy, dx)
    arrays = sorted_variables(converted_if_written(hr))[0].values() if isinstance(hr, xr.Dataset) else [hr]
    images = [read(array) for array in arrays]
    labels = [label for image in images for label in image.labels]
    known = {*labels, *(band for image in images for band in image.bands)}
    if unknown := [name for name in moves if name not in known]:
        raise MissingBandError(f"{what}= names {listed(unknown)}; the cube has {listed(labels)}. Use those names.")
    return moves


def noise_of(image: ImageCube, target: GeoBox, noise: NoiseModel, gain: float, seed: int) -> Noise | None:
    """Read the noise of `degrade` for a cube with the bands and dates of `image` on the grid `target`."""
    if noise is None:
        return None
    if isinstance(noise, str):
        if noise != "sentinel2":
            raise OptionError(f"noise={noise!r}: expected 'sentinel2', a standard deviation in reflectance, or None.")
        if unknown := _unknown(image, SIGNAL_TO_NOISE):
            raise MissingBandError(
                f"the noise of {listed(unknown)} is not known; known are {', '.join(SIGNAL_TO_NOISE)}. Pass its "
                "standard deviation in reflectance, noise=0.002, or name the bands as Sentinel-2 does."
            )
        strengths = [strength_of(str(band)) for band in image.bands]
    elif isinstance(noise, Mapping):
        strengths = [Strength(float(value)) for value in _by_band(image, noise, "noise")]
    else:
        strengths = [Strength(float(noise))] * len(image.labels)
    for name, value in (("noise_gain", gain), *(("noise", strength.deviation) for strength in strengths)):
        if not (math.isfinite(value) and value >= 0):
            raise OptionError(f"{name}={value}: expected a number of 0 or more; noise is a standard deviation.")
    strengths = [replace(strength, deviation=strength.deviation * gain) for strength in strengths]
    keys = [_keys(image.array, dim) for dim in image.lead]
    names = [band or label for label, band in zip(image.labels, image.bands, strict=True)]
    bands = tuple(key_of("band", name) for name in names)
    # A plane that was selected draws what it drew in its cube: what it lost as a dimension is common to all of it.
    common = () if image.band_dim else bands
    if not any(_is_date(image.array, dim) for dim in image.lead):
        common += _scalar_date(image.array)
    along = (*keys, bands) if image.band_dim else tuple(keys)
    return Noise(seed, tuple(strengths), image.band_axis, along, _lattice(target), common)


def _keys(array: xr.DataArray, dim: str) -> tuple[int, ...]:
    """Number the places along a dimension: dates by their time in nanoseconds, all else by its position."""
    if _is_date(array, dim):
        return _date_keys(array.coords[dim].values)
    return tuple(key_of(dim, place) for place in range(array.sizes[dim]))


def _is_date(array: xr.DataArray, dim: str) -> bool:
    return dim in array.coords and array.coords[dim].dtype.kind == "M"


def _scalar_date(array: xr.DataArray) -> tuple[int, ...]:
    """Number the date of a cube of one: its coordinate `time`, or the only one that is a date; nothing without."""
    dates = {name: coord for name, coord in array.coords.items() if coord.ndim == 0 and coord.dtype.kind == "M"}
    found = dates.get("time", next(iter(dates.values())) if len(dates) == 1 else None)
    return () if found is None else _date_keys(found.values.reshape(1))


def _date_keys(dates: npt.NDArray[Any]) -> tuple[int, ...]:
    return tuple(key_of("date", date) for date in dates.astype("datetime64[ns]").astype("int64").tolist())


def _lattice(geobox: GeoBox) -> tuple[int, int]:
    """Number the first row and column of a grid from the origin of its CRS; crops of one grid then agree on a place."""
    affine = geobox.affine
    if not geobox.axis_aligned:
        return 0, 0
    return math.floor(affine.f / affine.e + 1e-4), math.floor(affine.c / affine.a + 1e-4)


def _how(
    sizes: tuple[float, float],
    mtf: Mtf,
    kernel: Kernels,
    noise: NoiseModel,
    gain: float,
    seed: int,
    moves: Mapping[Hashable, tuple[float, float]] | None,
) -> str:
    size = f"{sizes[0]:g}" if math.isclose(*sizes) else f"{sizes[0]:g} x {sizes[1]:g}"
    blur: Any = (
        "Sentinel-2's MTF" if mtf is None else f"MTF {dict(mtf) if isinstance(mtf, Mapping) else mtf} at Nyquist"
    )
    if kernel is not None:
        blur = "kernels by band" if isinstance(kernel, Mapping) else f"a kernel of {np.shape(kernel)}"
    noise_text = (
        ""
        if noise is None
        else f"; noise {dict(noise) if isinstance(noise, Mapping) else noise}, gain {gain:g}, seed {seed}"
    )
    moved = f"; shifts {dict(moves)}" if moves else ""
    return f"factor {size}; {blur}{noise_text}{moved}"


def hybrid(
    low: xr.DataArray, high: xr.DataArray, *, sigma: float | None = None, cutoff: float | None = None
) -> xr.DataArray:
    """Combine the low frequencies of one image and the high ones of another: `high + G * (low - high)`.

    low, high: (..., y, x) on one grid, reflectance, NaN where not valid; other dimensions are broadcast, bands are
        matched by label. One of two says where the frequencies part. sigma: standard deviation of the Gaussian G in
        pixels. cutoff: the frequency, in cycles per pixel, in (0, 0.5], at which G passes a half; sigma = sqrt(ln 2 /
        2) / (pi cutoff).
    Returns the dimensions and attributes of `high`, lazily, NaN where either image is. G is cut at four deviations,
    and is the mean over valid pixels beside NaN and at the edge of the image: no ringing, no wrap-around, no
    dependence on chunks.
    Raises OptionError without sigma or cutoff, GridError for two grids.
    Source: Oliva, Torralba and Schyns 2006, Hybrid images, ACM Transactions on Graphics 25 (3), 527.
    """
    if (sigma is None) == (cutoff is None):
        raise OptionError("hybrid takes one of sigma=2 (pixels) and cutoff=0.1 (cycles per pixel).")
    if cutoff is not None:
        sigma = math.sqrt(math.log(2) / 2) / (math.pi * check_number("cutoff", cutoff, above=0, most=0.5))
    psf = gaussian(sigma := check_number("sigma", sigma, above=0))
    below, above = read(low, "low"), read(high, "high")
    if not same_grid(below.grid.geobox, above.grid.geobox):
        raise GridError(
            f"low has {below.grid.geobox.shape.yx} pixels, high {above.grid.geobox.shape.yx}, or they lie elsewhere. "
            "Reproject both to one grid first: simulate.degrade(fine, like=coarse), or coarse.odc.reproject(...)."
        )
    difference = _difference(below, above)
    rows, columns = (Axis(size, size, 1.0) for size in above.grid.geobox.shape.yx)
    sensor = Sensor(rows, columns, (Response(psf),), None, least=0.0)
    smooth = difference.copy(data=sense(difference.data, sensor, name="low-pass"))
    # Not where the difference is NaN, where the mean of neighbors would fill it.
    mixed = above.array + smooth.where(difference.notnull())
    mixed = mixed.astype(above.array.dtype).transpose(*difference.dims)
    order = [*[dim for dim in mixed.dims if dim not in high.dims], *high.dims]
    mixed = mixed.transpose(*order).assign_attrs(
        {**above.source.attrs, "xr_sr:hybrid": f"Gaussian of {sigma:g} pixels"}
    )
    return mixed.rename(above.source.name)


def _difference(low: ImageCube, high: ImageCube) -> xr.DataArray:
    """Subtract high from low, lazily, with y and x last; raises GridError where bands or dates differ."""
    one = low.array.rename({low.y: high.y, low.x: high.x})
    if low.band_dim and high.band_dim:
        one = one.rename({low.band_dim: high.band_dim}) if low.band_dim != high.band_dim else one
    one = one.drop_vars([name for name, coord in one.coords.items() if {high.y, high.x} & set(coord.dims)])
    try:
        with xr.set_options(arithmetic_join="exact", keep_attrs=False):
            difference = one - high.array
    except ValueError as error:
        raise GridError(f"low and high do not have the same bands or dates: {error}") from error
    lead = [dim for dim in difference.dims if dim not in (high.y, high.x)]
    return difference.transpose(*lead, high.y, high.x)
