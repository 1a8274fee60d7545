"""Convert the bands of a cube to reflectance, or set to NaN what clouds hide; lazily, and the input's type is returned.

`resolve` decides what the numbers mean; `judge` converts a block and tests whether the result can be reflectance.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_whole, shown
from ..bands import is_scl
from ..cube.align import LAST_CLASS, check_classes, to_grid
from ..cube.detect import NO_REFLECTANCE
from ..cube.grid import spatial_dims
from ..cube.lazy import in_chunks
from ..cube.select import Cube, Plane, check_lead, recognize
from ..cube.sensors import other_sensor, warn_of_sensor
from ..cube.trees import node_dataset
from ..errors import CubeError, GeoreferenceWarning, MissingBandError, OptionError, warns_once
from ..spec import Tile
from ..task_warnings import listen
from .convert import Radiometry
from .judge import read_block
from .metadata import declared_nodata
from .resolve import OWN_ATTR, Nodata, Offset, Quantification, offset_coords, resolve

Obj = TypeVar("Obj", xr.DataArray, xr.Dataset, xr.DataTree)
Flat = TypeVar("Flat", xr.DataArray, xr.Dataset)
Change: TypeAlias = Callable[[xr.DataArray, Sequence[Plane]], xr.DataArray]

_WRITTEN = re.compile(r"xr_sr[:_]dn_(offset|quantification|nodata)")
_STALE = re.compile(
    r"_FillValue|_Unsigned|missing_value|nodata|nodatavals|scale_factor|add_offset|scales|offsets|"
    r"raster:(bands|scale|offset)|valid_(min|max|range)|actual_range|xr_sr[:_]dn_(offset|quantification|nodata)"
)


@warns_once
def reflectance(
    obj: Obj, *, offset: Offset = "auto", quantification: Quantification = "auto", nodata: Nodata = "auto"
) -> Obj:
    """Convert the bands of a cube to reflectance: (DN + offset) / quantification.

    obj: DataArray, Dataset or DataTree of bands. offset: in DN, one number or one per date; 'auto' reads what
    `set_radiometry` wrote, else the metadata. quantification: DN per unit of reflectance; 10000 unless
    `set_radiometry` wrote another number. nodata: values that mean "not measured"; 'auto': 0 for DN, and what the cube
    declares; None: NaN alone.
    Returns the same type, the bands as float32, unitless, NaN at nodata, `attrs["xr_sr:radiometry"]` saying what was
    done, for DN with dates together with the coordinate `radiometry_offset`, what was added to the DN of each date;
    what is not a band is unchanged. Lazy: values that cannot be reflectance raise when computed.
    Raises RadiometryError where the meaning of the numbers cannot be known, CubeError where there are no bands. Warns
    SensorWarning where metadata or names say that it is not Sentinel-2.
    """

    options: dict[str, Any] = {"offset": offset, "quantification": quantification, "nodata": nodata}
    reasons: list[str] = []

    def of_cube(cube: Cube, obj: Flat) -> Flat:
        if not reasons and (reason := other_sensor(obj, cube)):
            reasons.append(reason)
            warn_of_sensor(reason)
        return _of_cube(cube, obj, options)[0]

    return each_cube(obj, of_cube)


def reflectance_and_meaning(obj: Flat, **options: Any) -> tuple[Flat, Radiometry]:
    """Convert a DataArray or Dataset as `reflectance` does; return the radiometry too."""
    meant: list[Radiometry] = []

    def of_cube(cube: Cube, obj: Flat) -> Flat:
        converted, radiometry = _of_cube(cube, obj, options)
        meant.append(radiometry)
        return converted

    return each_cube(obj, of_cube), meant[0]


def _of_cube(cube: Cube, obj: Flat, options: dict[str, Any]) -> tuple[Flat, Radiometry]:
    check_lead(cube.planes, cube)
    radiometry = resolve(cube, cube.planes, **options)
    converted = replace_bands(cube, obj, lambda array, planes: _converted(array, planes, cube, radiometry))
    converted = converted.assign_coords(offset_coords(radiometry, cube))
    # What `set_radiometry` wrote is of the DN; bands lost it with their other attributes.
    converted.attrs = {key: value for key, value in converted.attrs.items() if not _WRITTEN.fullmatch(str(key))}
    return converted, radiometry


def each_cube(obj: Obj, change: Callable[[Cube, Any], Any]) -> Obj:
    """Apply a change to the cube, or to each cube of a tree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)  # nothing here depends on where on Earth the pixels lie
        if isinstance(obj, xr.DataTree):
            nodes = {_path(obj, node): node.to_dataset(inherit=node is obj) for node in obj.subtree}
            cubes = cubes_of(obj)
            if not cubes:
                recognize(obj)  # its error names what is there instead
            for path, cube in cubes.items():
                whole = (obj if path == "/" else obj[path]).to_dataset()
                nodes[path] = change(cube, whole).drop_vars(set(whole.coords) - set(nodes[path].coords))
            return xr.DataTree.from_dict(nodes, name=obj.name)
        changed: Obj = change(recognize(obj), obj)
        return changed


def cubes_of(tree: xr.DataTree) -> dict[str, Cube]:
    """Recognize the nodes of a tree that hold bands; masks and angles are filed under names of bands too."""
    cubes = {}
    for node in tree.subtree:
        path = _path(tree, node)
        if node.data_vars and not NO_REFLECTANCE.search(path) and spatial_dims(node.to_dataset()) is not None:
            with contextlib.suppress(MissingBandError):
                cubes[path] = recognize(node_dataset(node))
    return cubes


def _path(tree: xr.DataTree, node: xr.DataTree) -> str:
    return "/" if node is tree else node.relative_to(tree)


def replace_bands(cube: Cube, obj: Flat, change: Change) -> Flat:
    """Apply a change to the bands of a DataArray or Dataset, and to nothing else in it.

    change: (*lead, band, y, x), or (*lead, y, x) for one band, and its planes, to the same shape.
    """
    if isinstance(obj, xr.Dataset):
        return obj.assign(
            {
                plane.name: change(plane.array, (plane,)).transpose(*obj[plane.name].dims).variable
                for plane in cube.planes
            }
        )
    changed = _replace_layers(cube, obj, change)
    # What was read as centers of pixels stays as it was: other arrays of the user have the same coordinates.
    return changed if cube.source is obj else changed.drop_vars(list(changed.coords)).assign_coords(obj.coords)


def _replace_layers(cube: Cube, obj: xr.DataArray, change: Change) -> xr.DataArray:
    """Apply a change to the layers of a DataArray that are bands; others, such as SCL, keep their values."""
    array, band_dim = cube.planes[0].array, cube.band_dim
    if band_dim is None or len(cube.planes) == array.sizes[band_dim]:
        return change(array, cube.planes).transpose(*obj.dims)
    places = [plane.index for plane in cube.planes if plane.index is not None]
    others = [place for place in range(array.sizes[band_dim]) if place not in places]
    bands = change(array.isel({band_dim: places}), cube.planes)
    layers = in_chunks(array.isel({band_dim: others}), lead=cube.lead, band_dim=cube.band_dim).astype(bands.dtype)
    order = np.argsort([*places, *others])
    whole = xr.concat([bands, layers], band_dim, combine_attrs="override").isel({band_dim: order})
    whole.encoding = bands.encoding
    return whole.assign_coords(obj.coords).transpose(*obj.dims)


def _converted(array: xr.DataArray, planes: Sequence[Plane], cube: Cube, radiometry: Radiometry) -> xr.DataArray:
    """Convert (*lead, [band,] y, x) lazily."""
    import dask.array as da

    data = in_chunks(array, lead=cube.lead, band_dim=cube.band_dim).data
    names = dict(zip((plane.name for plane in cube.planes), radiometry.names, strict=True))
    banded = cube.band_dim in array.dims
    if not banded or len(data.chunks[-3]) > 1:
        # A band that is judged alone: in the shortwave infrared even the darkest place of dry land has 1000 DN, and at
        # the top of the atmosphere blue and green have it everywhere.
        red = tuple(place for place, plane in enumerate(planes) if plane.band == "B04")
        radiometry = replace(radiometry, dark=red)
    radiometry = replace(radiometry, names=tuple(names[plane.name] for plane in planes))
    listen()
    converted = da.map_blocks(
        _convert_block, data, radiometry=radiometry, banded=banded, dtype=np.float32, meta=data._meta.astype(np.float32)
    )
    result = array.copy(data=converted)
    kept = {key: value for key, value in array.attrs.items() if not _STALE.fullmatch(str(key))}
    result.attrs = {**kept, "units": "1", OWN_ATTR: radiometry.how}
    result.encoding = grid_mapping_of(array)
    return result


def _convert_block(
    block: npt.NDArray[Any], *, radiometry: Radiometry, banded: bool, block_info: Any = None
) -> npt.NDArray[np.float32]:
    """Convert and judge one chunk, inside a task."""
    *lead, y, x = block_info[0]["array-location"]
    if banded:
        first, _ = lead.pop()
        dark = tuple(place - first for place in radiometry.dark if place >= first)
        radiometry = replace(radiometry, dark=dark, names=radiometry.names[first:])
    else:
        block = block[..., np.newaxis, :, :]
    tile = Tile(y=y, x=x, lead=tuple(lead))
    result = read_block(block, radiometry, tile, compare=False)
    return result if banded else result[..., 0, :, :]


def grid_mapping_of(array: xr.DataArray) -> dict[str, Any]:
    """Keep of an encoding what still holds for other numbers: the link to the CRS."""
    return {key: array.encoding[key] for key in ("grid_mapping",) if key in array.encoding}


CLOUDY_CLASSES = (0, 1, 3, 8, 9, 10)
"""Classes of SCL without ground: no data, defective, cloud shadow, cloud of medium and high probability, cirrus."""


@warns_once
def mask(obj: Obj, *, scl: xr.DataArray | Hashable = None, classes: Iterable[int] | None = None) -> Obj:
    """Set the bands of a cube to NaN where the scene classification (SCL) shows that the ground is hidden.

    obj: DataArray, Dataset or DataTree of bands.
    scl: the classification, or its name; by default what the cube, or any node of the tree, has as "SCL". Its pixels
    may be a whole number of times larger or smaller than those of the bands (20 m against 10 m); each pixel of a band
    takes the class at its center. NaN in it is masked.
    classes: those to mask; by default no data, defective, cloud shadow, cloud of medium and high probability, cirrus.
    Returns the same type, lazily; integers become floats, which remember their type and nodata as CF has it.
    Raises CubeError where there is no SCL or it holds no classes (when computed: fractions, as of bilinear resampling,
    and numbers beyond 0 to 11), GridError where it does not fit, does not cover the cube, or lacks a date.
    """
    masked = read_classes(classes) if classes is not None else CLOUDY_CLASSES
    found = scl if isinstance(scl, xr.DataArray) else _find_scl(obj, scl)
    if found.dtype.kind not in "iuf":
        raise CubeError(
            f"scl= holds {found.dtype}; expected the numbers of classes, 0 to {LAST_CLASS}. For a mask of "
            "booleans use cube.where(mask), or upscale(..., mask=mask)."
        )

    def of_cube(cube: Cube, obj: Flat) -> Flat:
        keep = _kept(to_grid(found, cube), masked)
        return replace_bands(cube, obj, lambda array, planes: _masked(array, planes, cube, keep))

    return each_cube(obj, of_cube)


def read_classes(classes: Iterable[int]) -> tuple[int, ...]:
    """Read numbers of classes, each once, ascending. Raises OptionError for words, and for what is not several."""
    try:
        if isinstance(classes, str | bytes):  # the text "89" is no list of classes
            raise TypeError
        # Floats count if they are whole, as those of SCL with NaN; booleans do not.
        numbers = [
            int(each) if isinstance(each, float | np.floating) and each == int(each) else each for each in classes
        ]
        return tuple(sorted({check_whole("class", number) for number in numbers}))
    except (OverflowError, TypeError, ValueError) as error:
        raise OptionError(
            f"classes of SCL {shown(classes)}: expected their numbers, such as {CLOUDY_CLASSES}, those without ground."
        ) from error


def _find_scl(obj: xr.DataArray | xr.Dataset | xr.DataTree, name: Hashable) -> xr.DataArray:
    """Find the scene classification in a cube; the first of a tree."""

    def is_scl_label(label: Hashable) -> bool:
        return label == name if name is not None else is_scl(label)

    if isinstance(obj, xr.DataArray):
        for dim in obj.dims:
            labels = (
                obj.coords[dim].values.tolist() if dim in obj.coords and obj.coords[dim].dtype.kind in "OUT" else []
            )
            if places := [place for place, label in enumerate(labels) if is_scl_label(label)]:
                return obj.isel({dim: places[0]}, drop=True)
    if not isinstance(obj, xr.DataArray | xr.Dataset | xr.DataTree):
        recognize(obj)  # its error names what is expected
    holders = (node_dataset(node) for node in obj.subtree) if isinstance(obj, xr.DataTree) else [obj]
    for holder in holders:
        variables: Any = holder.variables if isinstance(holder, xr.Dataset) else holder.coords
        for label in variables:
            if is_scl_label(label) and holder[label].ndim >= 2:
                return holder[label]
    raise CubeError(
        f"no {'SCL' if name is None else repr(name)} in the cube, so clouds are unknown. Load the scene "
        "classification too (asset 'SCL' or 'scl'), or pass it: scl=<DataArray>."
    )


def _kept(scl: xr.DataArray, classes: Sequence[int]) -> xr.DataArray:
    """Return True where a class is not among those to mask."""
    last = max(LAST_CLASS, *classes, 0)
    scl = scl.copy(data=scl.data.map_blocks(check_classes, "scl=", last, dtype=scl.dtype, meta=scl.data._meta))
    keep = ~scl.isin(classes)
    return keep & scl.notnull() if scl.dtype.kind == "f" else keep


def _masked(array: xr.DataArray, planes: Sequence[Plane], cube: Cube, keep: xr.DataArray) -> xr.DataArray:
    """Set (*lead, [band,] y, x) to NaN where `keep` is false; masked integers keep type and nodata in CF encodings."""
    array = in_chunks(array, lead=cube.lead, band_dim=cube.band_dim)
    if array.dtype.kind not in "iu":
        result = array.where(keep)
        result.encoding = dict(array.encoding)
        return result
    limits, declared = np.iinfo(array.dtype), declared_nodata(cube, planes)
    # What encodings declare counts for integers alone, so it would come back as a number; 0 is nodata of any DN.
    lost = [value for value in declared if value != 0]
    result = array.where(keep & ~array.isin(lost) if lost else keep)
    fill = next((value for value in declared if limits.min <= value <= limits.max), 0)
    result.attrs = {key: value for key, value in array.attrs.items() if key not in ("_FillValue", "missing_value")}
    result.encoding = {**grid_mapping_of(array), "dtype": array.dtype, "_FillValue": array.dtype.type(fill)}
    return result
