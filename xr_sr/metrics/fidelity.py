"""Compare SR with HR pixel by pixel: rmse, mae, psnr, ssim and q_index of each band, sam and ergas of all bands.

All take reflectance, leave out pixels that are NaN in either image, and return float64 numbers or float32 maps: per
pixel, patch, object or image, for one model or several. The formulas are in `records`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from ..arguments import check_array, check_number, is_one_of, items_of, shown
from ..cube.grid import spatial_dims
from ..cube.names import listed
from ..errors import CubeError, GridError, MissingBandError, OptionError
from .inputs import Image, ImageSeries, check_objects, check_reference, finished, read, together
from .records import METRICS, Formula, Metric
from .reduce import FloatArray, Input, Layout, Level, check_level, map_images, sum_up


def rmse(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the root of the mean squared error, in units of reflectance.

    sr, hr: (time?, band, y, x) DataArrays or Datasets of bands on one grid; bands are matched by name, and those that
        only one of them has are left out. NaN is nodata.
    at: "image", a number per band and date; "pixel", a map; or the side of square patches in pixels, a map of them
        that starts at the first pixel.
    objects: (y, x) integers on the same grid, 0 for none: a number per object, along a dimension `object`.
    dims: what is averaged over, by default y and x; add "band", "time" for one number over them.
    Returns a DataArray, lazy if an input is; NaN without any valid pixel.
    Raises GridError for grids that differ, MissingBandError without common bands, RadiometryError for integers.
    """
    return compare_images(sr, hr, METRICS["rmse"], at=at, objects=objects, dims=dims)


def mae(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the mean absolute error, in units of reflectance; arguments and result as in `rmse`."""
    return compare_images(sr, hr, METRICS["mae"], at=at, objects=objects, dims=dims)


def psnr(
    sr: Image,
    hr: Image,
    *,
    peak: float = 1.0,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the peak signal-to-noise ratio in dB, 10 log10(peak^2 / mse); infinite where both are equal.

    peak: the value that counts as full signal. The field takes 1 for reflectance, of which land rarely has 0.5: compare
    numbers of one peak only. Over several bands or dates the errors are averaged, not the dB. Else as in `rmse`.
    """
    return compare_images(sr, hr, METRICS["psnr"], peak=check_peak(peak), at=at, objects=objects, dims=dims)


def ssim(
    sr: Image,
    hr: Image,
    *,
    peak: float = 1.0,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the mean structural similarity: -1 to 1, 1 where both are equal.

    Window of 11 x 11 pixels, Gaussian of standard deviation 1.5. A window that reaches beyond the scene or holds a NaN
    has no value, so a map is NaN within 5 pixels of either. peak: as in `psnr`. Else as in `rmse`.
    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861.
    """
    return compare_images(sr, hr, METRICS["ssim"], peak=check_peak(peak), at=at, objects=objects, dims=dims)


def q_index(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the universal image quality index, in windows of 7 x 7 pixels: -1 to 1, 1 where both are equal.

    Unlike SSIM it has no constants, so it does not depend on the range of values and judges dark water as strictly as
    bright sand. Windows beyond the scene or with NaN have no value. Arguments and result as in `rmse`.
    Source: Wang and Bovik 2002, doi:10.1109/97.995823.
    """
    return compare_images(sr, hr, METRICS["q_index"], at=at, objects=objects, dims=dims)


def sam(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the spectral angle in degrees, averaged over pixels: 0 where spectra differ by a factor only.

    Pixels count where every band is valid and neither spectrum is zero. With one band every angle is 0 or 180.
    Arguments as in `rmse`; the result has no dimension of bands.
    Source: Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N; by half-angles, which small angles need.
    """
    return compare_images(sr, hr, METRICS["sam"], at=at, objects=objects, dims=dims)


def ergas(
    sr: Image,
    hr: Image,
    *,
    scale: float,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute ERGAS, the relative error over all bands: 100 / scale * sqrt(mean over bands of mse / mean^2).

    scale: output pixels per input pixel along an axis, 4 from 10 m to 2.5 m. Smaller is better; numbers of different
    scales are comparable by design. at: "image" or the side of patches. Else as in `rmse`.
    Source: Wald 2000, "Quality of high resolution synthesised images".
    """
    scale = check_number("scale", scale, above=0)
    return compare_images(sr, hr, METRICS["ergas"], scale=scale, at=at, objects=objects, dims=dims)


def check_peak(peak: float) -> float:
    """Return the peak as a float; raises OptionError unless it is a number above 0."""
    return check_number("peak", peak, above=0, most=1e100)  # its square is still a number


def compare_images(
    sr: Image,
    hr: Image,
    metric: Metric,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
    **options: Any,
) -> xr.DataArray:
    """Compute a metric of SR against HR; lazy if one of them is. See the metrics themselves for the arguments."""
    scenes = together(read(sr, "SR"), read(hr, "HR"))
    check_reference(*scenes)
    found = measure(scenes, metric, at=at, objects=objects, dims=dims, **options)
    return finished(found, *scenes)


def measure(
    scenes: Sequence[ImageSeries],
    metric: Metric,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
    **options: Any,
) -> xr.DataArray:
    """Compute a metric of scenes of the same bands, dates and pixels; always lazy."""
    at = check_level(at)
    layout = Layout.of(*scenes[0].shape, multiple=at if isinstance(at, int) else 1)
    images = [scene.data for scene in scenes]
    return measure_blocks(scenes[0], images, layout, metric, at=at, objects=objects, dims=dims, **options)


def measure_blocks(
    scene: ImageSeries,
    images: Sequence[da.Array],
    layout: Layout,
    metric: Metric,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
    **options: Any,
) -> xr.DataArray:
    """Compute a metric of images (time, band, y, x), block by block. scene: whose names and places the result gets."""
    formula = metric.formula
    assert not isinstance(formula, str), "such metrics are computed by a function of their own"
    inputs: list[Input] = [(layout.wider(image, formula.halo), "tbyx") for image in images]
    pooled = _pooled(scene, dims, at)
    bands = 1 if formula.bands == "pixels" else len(scene.keys)
    if at == "pixel":
        if objects is not None:
            raise OptionError("objects= returns values per object, at='pixel' maps: pass one of them.")
        if formula.bands == "joined":
            raise OptionError(f"{metric.name} has no value for a pixel; pass at='image' or the side of patches.")
        data = map_images(
            _pixels, inputs, "tcyx", layout, new={"c": bands}, formula=formula, options=options, dtype=np.float32
        )
        if formula.bands == "pixels":
            return named(scene, data[:, 0], ["time", "y", "x"], metric, at, options)
        return named(scene, data, ["time", "band", "y", "x"], metric, at, options)
    found = labels_of(objects, scene) if objects is not None else None
    if found and at != "image":
        raise OptionError(f"objects= returns values per object, at={at!r} per patch: pass one of them.")
    sums = sum_up(
        formula.on_block, inputs, layout, at=at, fields=formula.fields, channels=bands,
        labels=found[:2] if found else None, **options,
    )  # fmt: skip
    if pooled:
        sums = sums.sum(axis=[axis for name, axis in (("time", 0), ("band", 2)) if name in pooled], keepdims=True)
    chunks = (sums.chunks[0], (1,) if formula.bands == "joined" else sums.chunks[2], *sums.chunks[3:])
    data = da.map_blocks(
        finished_fields, sums, formula=formula, options=options, drop_axis=1, chunks=chunks, dtype=np.float64
    )
    kept = {
        "time": "time" not in pooled,
        "band": "band" not in pooled and formula.bands == "each",
        "object": found is not None,
        "y": at != "image",
        "x": at != "image",
    }
    data = data[tuple(slice(None) if is_kept else 0 for is_kept in kept.values())]
    names = [name for name, is_kept in kept.items() if is_kept]
    result = named(scene, data, names, metric, at, options)
    return result.assign_coords(object=("object", found[2])) if found else result


def labels_of(objects: xr.DataArray, scene: ImageSeries) -> tuple[da.Array, int, Any]:
    """Number the objects of a map of integers from 0; n means none. Returns (y, x), n and the user's own numbers.

    The numbers are read at once: how many there are is the length of the result.
    Raises GridError for another grid, OptionError for other values.
    """
    check_array("objects", objects)
    dims = spatial_dims(objects)
    if dims is None or objects.ndim != 2 or objects.dtype.kind not in "iub":
        raise OptionError(
            f"objects= wants integers along y and x, 0 where there is no object; got {objects.dtype} along "
            f"{list(objects.dims)}."
        )
    check_objects(objects, dims, scene)
    values = objects.transpose(*dims).values
    numbers = np.unique(values)
    numbers = numbers[numbers > 0]
    places = np.searchsorted(numbers, values)
    labels = np.where(values > 0, places, len(numbers)).astype(np.int64)
    return da.from_array(labels), len(numbers), numbers


def _pooled(scene: ImageSeries, dims: Sequence[str] | None, at: Level) -> set[str]:
    """Find which of time and bands are put together, by the names of this module."""
    if dims is None:
        return set()
    names = {scene.time or "time": "time", scene.band: "band", scene.y: "y", scene.x: "x"}
    given = items_of(dims)
    if given is None:
        raise OptionError(f"dims={shown(dims)}: expected a list of names of dimensions, of {list(names)}.")
    if wrong := [dim for dim in given if not is_one_of(dim, names)]:
        raise OptionError(f"dims={given}: the cube has {list(names)}, and not {wrong}.")
    asked = {names[dim] for dim in given}
    if at == "image" and not {"y", "x"} <= asked:
        raise OptionError(f"dims={given} leaves out y or x; for maps pass at='pixel' or the side of patches.")
    if at != "image" and asked:
        raise OptionError(f"at={at!r} returns maps, which are not averaged; leave dims= out.")
    return asked - {"y", "x"}


def named(
    scene: ImageSeries, data: da.Array, names: Sequence[str], metric: Metric, at: Level, options: dict[str, Any]
) -> xr.DataArray:
    """Return values of a metric with the names and coordinates of a scene, and what they are in attributes."""
    attrs = metric.attrs | {key: value for key, value in options.items() if isinstance(value, float | int | str)}
    return scene.wrap(data, names, name=metric.name, at=at, attrs=attrs)


def _pixels(*blocks: FloatArray, formula: Formula, options: dict[str, Any]) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fields = formula.on_block(*(block[0] for block in blocks), **options)
        finished: FloatArray = formula.finish(fields[:, None, :, None], **options)
    return finished[:, :, 0].astype(np.float32)


def finished_fields(sums: FloatArray, *, formula: Formula, options: dict[str, Any]) -> FloatArray:
    """Convert sums (time, field + 1, band, object, y, x) into numbers (time, band, object, y, x)."""
    fields = np.moveaxis(sums, 1, 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return formula.finish(fields[:-1] / fields[-1], **options)


def for_each_model(
    sr: Image | Mapping[str, Image], measure: Callable[[ImageSeries], xr.Dataset], *others: ImageSeries | None
) -> xr.Dataset:
    """Measure one cube, or each of several; only the latter adds a dimension `model`.

    measure: returns a lazy Dataset, which is computed here if the cube and all others are in memory.
    """

    def of_one(cube: Image) -> xr.Dataset:
        scene = read(cube, "SR")
        return finished(measure(scene), scene, *others)

    if isinstance(sr, xr.DataArray | xr.Dataset | xr.DataTree):  # a tree, which is a mapping too, is refused there
        return of_one(sr)
    if not isinstance(sr, Mapping) or not sr:
        raise CubeError(
            f"sr must be a cube or a dictionary of cubes by name, such as {{'bicubic': cube}}; it is {sr!r:.60}."
        )
    made = [of_one(cube) for cube in sr.values()]
    _check_alike(list(map(str, sr)), made)
    names = xr.DataArray([str(name) for name in sr], dims="model", name="model")
    return xr.concat(made, names, combine_attrs="drop_conflicts", join="exact")


def _check_alike(names: Sequence[str], made: Sequence[xr.Dataset]) -> None:
    """Raise unless results can stand side by side: MissingBandError for bands, CubeError for dates, GridError."""
    first = made[0]
    for name, found in zip(names[1:], made[1:], strict=True):
        for dim in first.sizes:
            if dim in found.sizes and first[dim].equals(found[dim]):
                continue
            labels, others = (list(one[dim].values) if dim in one.sizes else [] for one in (first, found))
            kind = first[dim].dtype.kind
            if kind in "OUT" or dim == "band":
                raise MissingBandError(
                    f"models side by side need the same bands: {names[0]!r} has {listed(labels)}, {name!r} has "
                    f"{listed(others)}. Pass the same ones, in one order and with the same names, for instance by "
                    f".sel({dim}=[...]); or measure them one by one."
                )
            if kind == "M":
                raise CubeError(
                    f"models side by side need the same dates; {names[0]!r} and {name!r} differ along {dim!r}, with "
                    f"{len(labels)} and {len(others)}. Select the same ones, or measure them one by one."
                )
            raise GridError(
                f"models side by side need one grid; {names[0]!r} and {name!r} differ along {dim!r}, with "
                f"{len(labels)} and {len(others)} pixels. Measure them one by one, or reproject them to one grid."
            )
