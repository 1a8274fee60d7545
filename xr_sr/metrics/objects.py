"""Compute detection rates of objects by size class, from a mask of objects and maps of scores.

The question of building delineation: of the buildings of so many pixels, how many does a map made from LR, SR or HR
show? Objects are objects of a mask; the source of the scores is irrelevant. Blocks are measured each by
itself and put together afterwards, so that no task holds the scene.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine
from dask.delayed import delayed
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..arguments import check_array, check_flag, check_number, is_one_of, shown
from ..cube.crs import crs_label
from ..cube.grid import Grid, grid_of, spatial_dims
from ..cube.names import dims_text
from ..errors import CubeError, GridError, OptionError
from .components import Pieces, Reading, join, measure_objects, share_of_alarms

Scores: TypeAlias = "xr.DataArray | xr.Dataset | Mapping[str, xr.DataArray]"
Rule: TypeAlias = "Literal['any', 'mean'] | float"
Sizes: TypeAlias = Sequence[tuple[int, int | None]]

SIZES: Sizes = ((0, 4), (5, 10), (11, 15), (16, 20), (21, 30), (31, None))
"""Size classes in pixels of the mask, both ends included, as in opensr-usecases; None is without end."""


def detection_rate(
    objects: xr.DataArray,
    scores: Scores,
    *,
    sizes: Sizes = SIZES,
    threshold: float = 0.5,
    rule: Rule = "any",
    connectivity: Literal[4, 8] = 4,
    instances: bool | None = None,
) -> xr.Dataset:
    """Count how many of the objects of a mask are found in maps of scores, by size of the object.

    objects: (y, x) boolean, of which connected pixels are one object; or integers, one number per object, 0 for none.
    scores: (..., y, x), such as probabilities; or several by name, on grids as fine as the mask's or coarser, which
        are taken to it by nearest neighbor. NaN where there is no score: these pixels count neither way.
    sizes: classes (first, last) in pixels of the mask, both included; None is without end.
    threshold: a pixel is detected from this score on. rule: an object is found where any of its pixels is detected
        ("any"), where its mean score reaches the threshold ("mean"), or where at least this fraction of its pixels is.
    connectivity: 4 or 8 neighbors; for boolean masks. instances: whether integers number objects; by default yes, and
        one lone number is refused, as that is how masks of 0 and 1 look; False takes all that is not 0 as a mask.

    Returns a Dataset, lazy where mask or scores are, the same for any chunking:
        objects (size_class, ...) how many have a score, found (size_class, ...) of these, rate = found / objects (NaN
        for an empty class), score (size_class, ...) mean over objects of their mean score;
        pixel_precision (...) share of detected pixels that lie in an object, NaN where none is detected.
        `...`: other dimensions of the scores, and `model` where there are several by name.
    Raises CubeError for a mask that is none, GridError where grids do not lie on each other, OptionError.
    Source: opensr-usecases 0.2.8 (size classes, the rule "any"), which documents "mean".
    """
    classes = _check_sizes(sizes)
    wanted = _check_rule(rule)
    reading = _check_reading(objects, threshold, connectivity, instances)
    mask, layers, lead = _prepared(objects, scores)
    shape = (*(layers.sizes[dim] for dim in lead), len(classes))
    pieces, precision = _pieces(mask, layers, reading)
    task = delayed(_counted, pure=True)(pieces, wanted, classes, threshold)
    counts = da.from_delayed(task, (3, math.prod(shape[:-1]), len(classes)), "float64")

    dims = (*lead, "size_class")
    ends = np.array([(first, math.inf if last is None else last) for first, last in classes])
    places: dict[Hashable, Any] = {
        "size_class": [f"{first}+" if last is None else f"{first}-{last}" for first, last in classes],
        "size_min": ("size_class", ends[:, 0].astype("int64"), {"units": "pixels"}),
        "size_max": ("size_class", ends[:, 1], {"units": "pixels"}),
    }
    counts = counts.reshape((3, *shape))
    made = xr.Dataset(
        {
            "objects": (dims, counts[0].astype("int64"), {"long_name": "objects that have a score"}),
            "found": (dims, counts[1].astype("int64"), {"long_name": "objects that were found"}),
            "score": (dims, counts[2], {"long_name": "mean over objects of their mean score"}),
            "pixel_precision": (lead, precision.reshape(shape[:-1]), {"long_name": "detected pixels in an object"}),
        },
        places | _lead_coords(layers),
    )
    # No objects, no rate: 0 / 0 is NaN, without a warning.
    some = made.objects.where(made.objects > 0)
    made["rate"] = (made.found / some).assign_attrs(long_name="share of the objects that were found")
    order = ["objects", "found", "rate", "score", "pixel_precision"]
    made = made[order].transpose("size_class", *lead).assign_attrs(_options(reading, rule))
    return made if mask.chunks is not None or layers.chunks is not None else made.compute()


def object_scores(
    objects: xr.DataArray,
    scores: Scores,
    *,
    threshold: float = 0.5,
    rule: Rule = "any",
    connectivity: Literal[4, 8] = 4,
    instances: bool | None = None,
) -> xr.Dataset:
    """Measure each object of a mask in maps of scores: one row per object, computed at once.

    Arguments and errors as in `detection_rate`.
    Returns a Dataset along `object`, in the order of their numbers, or of their first pixels where a boolean mask
    has no numbers: number, size (pixels), y and x of the center (in the unit of the grid), and for the scores' other
    dimensions: score (the mean), best, share (of pixels that are detected), found (1 or 0), all NaN without a score.
    """
    wanted = _check_rule(rule)
    reading = _check_reading(objects, threshold, connectivity, instances)
    mask, layers, lead = _prepared(objects, scores)
    pieces: Pieces = _pieces(mask, layers, reading)[0].compute()
    y, x = map(str, mask.dims)
    center = pieces.centers()
    affine = _grid(mask).geobox.affine
    columns, rows = center[1] + 0.5, center[0] + 0.5
    shape = tuple(layers.sizes[dim] for dim in lead)

    def filled(values: NDArray[np.float64]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        return (*lead, "object"), values.reshape(*shape, -1)

    made = xr.Dataset(
        {
            "size": ("object", pieces.size, {"units": "pixels"}),
            "score": filled(pieces.means()),
            "best": filled(np.where(pieces.valid > 0, pieces.best, np.nan)),
            "share": filled(pieces.shares()),
            "found": filled(_is_found(pieces, wanted, threshold)),
        },
        {
            "number": ("object", pieces.number),
            y: ("object", affine.d * columns + affine.e * rows + affine.f),
            x: ("object", affine.a * columns + affine.b * rows + affine.c),
        }
        | _lead_coords(layers),
    )
    return made.transpose("object", ...).assign_attrs(_options(reading, rule))


def _check_sizes(sizes: Sizes) -> list[tuple[int, int | None]]:
    try:
        classes = [(int(first), None if last is None else int(last)) for first, last in sizes]
    except (OverflowError, TypeError, ValueError):
        classes = []
    ends = [-1] + [math.inf if last is None else last for _, last in classes]
    if not classes or any(
        first <= before or first > last for (first, _), before, last in zip(classes, ends, ends[1:], strict=False)
    ):
        raise OptionError(
            f"sizes={sizes!r}: expected (first, last) in pixels, both included, in order and without overlap; "
            "the last class may end with None."
        )
    return classes


def _check_rule(rule: Rule) -> str | float:
    if is_one_of(rule, ("any", "mean")):
        return str(rule)
    if isinstance(rule, bool) or not isinstance(rule, int | float) or not 0 < rule <= 1:
        raise OptionError(f"rule={rule!r}: expected 'any', 'mean', or a fraction of the pixels above 0 and up to 1.")
    return float(rule)


def _check_reading(objects: xr.DataArray, threshold: float, connectivity: int, instances: bool | None) -> Reading:
    """Decide how the mask is read. Raises CubeError for what is no mask."""
    check_flag("instances", instances, optional=True)
    check_array("objects", objects)
    if not is_one_of(connectivity, (4, 8)):
        raise OptionError(f"connectivity={connectivity!r}: expected 4 or 8 neighbors.")
    threshold = check_number("threshold", threshold)
    kind = objects.dtype.kind
    if kind not in "biu":
        raise CubeError(
            f"objects= holds {objects.dtype}: expected a boolean mask, or integers that number the objects. "
            "Convert it: objects.fillna(0).astype(int), or objects > 0."
        )
    numbered = kind != "b" if instances is None else bool(instances) and kind != "b"
    return Reading(numbered, connectivity, float(threshold), lone_is_refused=instances is None)


def _prepared(objects: xr.DataArray, scores: Scores) -> tuple[xr.DataArray, xr.DataArray, tuple[str, ...]]:
    """Return the mask (y, x), the scores (*lead, y, x) on its grid, and the names of the lead."""
    mask = objects.squeeze(
        [dim for dim in objects.dims if dim not in _axes(objects, "objects") and objects.sizes[dim] == 1]
    )
    y, x = _axes(mask, "objects")
    if mask.ndim != 2:
        raise CubeError(f"objects= has {dims_text(mask.dims)}: expected {y} and {x} alone. Select one first.")
    mask = mask.transpose(y, x)
    if isinstance(scores, xr.DataArray):
        layers = _on_grid(scores, mask, "scores")
    else:
        if not isinstance(scores, Mapping) or not scores:
            raise OptionError(
                f"scores={shown(scores)} is empty or no mapping: expected a DataArray, or several by name."
            )
        found = {str(name): _on_grid(array, mask, str(name)) for name, array in scores.items()}
        names = xr.DataArray(list(found), dims="model", name="model")
        layers = xr.concat(
            list(found.values()), dim=names, coords="minimal", compat="override", join="exact", combine_attrs="drop"
        )
    lead = tuple(str(dim) for dim in layers.dims if dim not in (y, x))
    return mask, layers.transpose(*lead, y, x), lead


def _axes(array: xr.DataArray, role: str) -> tuple[str, str]:
    dims = spatial_dims(array)
    if dims is None:
        raise GridError(f"{role} has no spatial dimensions among {list(array.dims)}: expected y and x.")
    return dims


def _grid(array: xr.DataArray) -> Grid:
    grid = grid_of(array)
    assert grid is not None
    return grid


def _grid_in_words(box: GeoBox) -> str:
    step = box.affine
    return f"{box.shape[0]} x {box.shape[1]} pixels of {step.a:g} x {step.e:g} in {crs_label(box.crs)}"


def _on_grid(array: xr.DataArray, mask: xr.DataArray, role: str) -> xr.DataArray:
    """Take scores to the grid of the mask by nearest neighbor, NaN beyond them; without coordinates."""
    y, x = map(str, mask.dims)
    check_array(role, array)
    own = _axes(array, role)
    if array.dtype.kind not in "biuf":
        raise CubeError(f"{role} holds {array.dtype}: expected numbers, such as probabilities.")
    grids = _grid(mask), _grid(array)
    here, there = (grid.geobox for grid in grids)
    place = ~there.affine @ here.affine
    if not any(grid.located for grid in grids):
        # Neither says where it lies: they are taken to cover the same ground.
        place = Affine.scale(there.shape[1] / here.shape[1], there.shape[0] / here.shape[0])
    if here.crs != there.crs or max(abs(place.b), abs(place.d)) > 1e-6 or max(abs(place.a), abs(place.e)) > 1 + 1e-3:
        raise GridError(
            f"{role} must lie on the objects' grid or on a coarser one along the same axes: the objects have "
            f"{_grid_in_words(here)}, {role} has {_grid_in_words(there)}. "
            "Reproject it: scores.odc.reproject(objects.odc.geobox)."
        )
    indexers, inside = {}, []
    for dim, new, step, start, count, size in (
        (own[0], y, place.e, place.f, here.shape[0], there.shape[0]),
        (own[1], x, place.a, place.c, here.shape[1], there.shape[1]),
    ):
        # Centres of the mask's pixels; where one stands on an edge, rounding must not decide for each by itself.
        index = np.floor((np.arange(count) + 0.5) * step + start + 1e-6).astype("int64")
        indexers[dim] = np.clip(index, 0, size - 1)
        inside.append(xr.DataArray((index >= 0) & (index < size), dims=(new,)))
    if not all(side.any() for side in inside):
        raise GridError(f"{role} and the objects share no ground.")
    is_same = all(np.array_equal(at, np.arange(array.sizes[dim])) for dim, at in indexers.items())
    taken = array if is_same else array.isel(indexers)
    spatial = [name for name, coord in taken.coords.items() if set(own) & set(coord.dims)]
    taken = taken.drop_vars(spatial).rename({old: new for old, new in zip(own, (y, x), strict=True) if old != new})
    if taken.dtype.kind != "f":
        taken = taken.astype("float32")
    return taken if all(bool(side.all()) for side in inside) else taken.where(inside[0] & inside[1])


def _pieces(mask: xr.DataArray, layers: xr.DataArray, reading: Reading) -> tuple[Any, Any]:
    """Measure the pieces of all blocks and join them; return them delayed, and the lazy share of detected pixels."""
    count = math.prod(layers.shape[:-2])
    height, width = mask.shape
    objects, values = da.asarray(mask.data), da.asarray(layers.data)
    if isinstance(mask.data, np.ndarray):
        objects = objects.rechunk(values.chunks[-2:])
    values = values.rechunk({**dict.fromkeys(range(values.ndim - 2), -1), -2: objects.chunks[0], -1: objects.chunks[1]})
    blocks = values.reshape(count, height, width).to_delayed()[0]
    tops, lefts = ([0, *np.cumsum(cut)[:-1].tolist()] for cut in objects.chunks)
    once = delayed(measure_objects, pure=True)
    parts = [
        [once(own, block, (top, left), width, reading) for own, block, left in zip(row, line, lefts, strict=True)]
        for row, line, top in zip(objects.to_delayed(), blocks, tops, strict=True)
    ]
    joined = delayed(join, pure=True)(parts, reading)
    shares = delayed(share_of_alarms, pure=True)(parts)
    return joined, da.from_delayed(shares, (count,), "float64")


def _counted(
    pieces: Pieces, rule: str | float, classes: list[tuple[int, int | None]], threshold: float
) -> NDArray[np.float64]:
    """Count objects, found ones, and average their scores: (3, layer, class)."""
    found, means = _is_found(pieces, rule, threshold), pieces.means()
    out = np.zeros((3, found.shape[0], len(classes)))
    for number, (first, last) in enumerate(classes):
        judged = (pieces.size >= first) & (pieces.size <= (math.inf if last is None else last)) & (pieces.valid > 0)
        out[0, :, number] = judged.sum(axis=1)
        out[1, :, number] = np.where(judged, found, 0).sum(axis=1)
        total = np.where(judged, means, 0).sum(axis=1)
        out[2, :, number] = np.divide(
            total, out[0, :, number], out=np.full_like(total, np.nan), where=judged.any(axis=1)
        )
    return out


def _is_found(pieces: Pieces, rule: str | float, threshold: float) -> NDArray[np.float64]:
    """Return which objects are found (layer, object): 1 or 0, NaN without a score."""
    if rule == "any":
        found = pieces.above > 0
    elif rule == "mean":
        # A millionth below counts as equal: the mean of 0.7, 0.7, 0.7 in float32 is that far off.
        found = pieces.means() >= threshold - 1e-6 * max(1.0, abs(threshold))
    else:
        found = pieces.shares() >= float(rule) - 1e-9
    return np.where(pieces.valid > 0, found, np.nan)


def _lead_coords(layers: xr.DataArray) -> dict[Hashable, Any]:
    y, x = layers.dims[-2:]
    return {name: coord for name, coord in layers.coords.items() if not {y, x} & set(coord.dims)}


def _options(reading: Reading, rule: Rule) -> dict[str, Any]:
    attrs: dict[str, Any] = {"threshold": reading.threshold, "rule": rule}
    return attrs if reading.numbered else attrs | {"connectivity": reading.connectivity}
