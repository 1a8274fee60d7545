"""Recognize cubes: find the bands, the grid, the flags and the rest of an xarray object.

Names, coordinates and attributes only: no pixel is computed, and `radiometry` decides what the numbers mean. `select`
picks bands, `rebuild` builds results.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from ..bands import is_scl
from ..conventions import MEASURED_NODES, SKIPPED_NODES
from ..errors import (
    AmbiguousBandError,
    BandWarning,
    CubeError,
    GeoreferenceWarning,
    GridError,
    MissingBandError,
    warn_caller,
)
from ..spec import MODEL_ATTR, stated
from .coordinates import placed, zoomed
from .grid import Grid, crs_coord_name, grid_of, is_crs_coord, pixel_size_m, spatial_dims
from .lazy import check_array, kept_unread
from .names import dims_text, find_band_dim, is_flags, listed, name_bands, name_variables, no_bands, unnamed_by_dask
from .trees import node_dataset

AnyCube: TypeAlias = "xr.DataArray | xr.Dataset | xr.DataTree"
Kind: TypeAlias = Literal["DataArray", "Dataset", "DataTree"]

MEASURED_M = 10.0
"""Pixel size in meters of the node that all functions read of a tree, where its nodes differ."""

NO_REFLECTANCE = re.compile("|".join(SKIPPED_NODES), re.IGNORECASE)
"""Paths of the nodes of a tree that hold masks and angles, under names of bands too."""

_MEASURED = re.compile("|".join(MEASURED_NODES))

_STORE = "xr_sr:store"
"""The attribute of a group that `to_zarr` wrote."""

_NODE_GSD = re.compile(r"r?(10|20|60)m", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Plane:
    """One band of a cube.

    band: canonical name, "B04". name: the user's own, such as "red", or the label along the band dimension.
    array: (*lead, y, x), or where `index` is set (*lead, band, y, x) with this band at `index`; values as in the input.
    """

    band: str
    name: Hashable
    array: xr.DataArray
    index: int | None = None


@dataclass(frozen=True, eq=False)
class Flags:
    """A mask or class map to carry along.

    array: y and x among its dimensions, in any order. factor: width of its pixels, in pixels of the planes.
    """

    name: Hashable
    array: xr.DataArray
    factor: int = 1


@dataclass(frozen=True, eq=False)
class Cube:
    """The parts of a DataArray, Dataset or DataTree, as `recognize` found them.

    kind: type of the input. planes: the bands in the cube's order. y, x, band_dim: names of dimensions.
    lead: the other dimensions of the planes, in order. source: the object that the planes come from (a tree's node).
    crs_name: the coordinate that holds the CRS. flags: resampled to the finer grid by nearest neighbor.
    extras: variables off the grid, kept unchanged. dropped: variables on the grid that are neither band nor flag.
    node: of a tree, the path of the node that is read. others: (path, bands) of its other nodes, by pixel size.
    elsewhere: the same with the bands that this node lacks, the node of the nearest pixel size first; of nodes with
    smaller pixels those that no other node has.
    """

    kind: Kind
    planes: tuple[Plane, ...]
    y: str
    x: str
    band_dim: str | None
    lead: tuple[str, ...]
    grid: Grid
    source: xr.DataArray | xr.Dataset
    crs_name: str
    flags: tuple[Flags, ...] = ()
    extras: tuple[Hashable, ...] = ()
    dropped: tuple[Hashable, ...] = ()
    node: str = ""
    others: tuple[tuple[str, tuple[str, ...]], ...] = ()
    elsewhere: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def geobox(self) -> GeoBox:
        """The grid of the planes; in pixels or in unknown units where `has_crs` is false."""
        return self.grid.geobox

    @property
    def has_crs(self) -> bool:
        """Whether the location on Earth is known."""
        return self.grid.geobox.crs is not None

    @property
    def available(self) -> tuple[str, ...]:
        """Canonical names of the bands that are there, each once, in the cube's order."""
        return tuple(dict.fromkeys(plane.band for plane in self.planes))

    def warn_left_behind(self, reader: str) -> None:
        """Warn with a BandWarning of the bands of other nodes of the tree, if there are any.

        reader: which could have read them too, such as "'bicubic'".
        """
        if self.elsewhere:
            bands = "; ".join(f"{', '.join(bands)} of {path}" for path, bands in self.elsewhere)
            path = self.elsewhere[0][0]
            warn_caller(
                f"{reader} reads one node of a tree, here {self.node!r}; not read: {bands}. Upscale each node by "
                f"itself: cube[{path!r}].sr.upscale(...). To silence this, pass the node: "
                f"cube[{self.node!r}].sr.upscale(...), or name the bands that you want: bands={list(self.available)}.",
                BandWarning,
            )


def recognize(
    obj: AnyCube,
    *,
    model_gsd_m: float | Literal["finest"] | None = None,
    allow_other_bands: bool = False,
    role: str = "the cube",
) -> Cube:
    """Find the bands, the grid, the flags and the rest of a cube; computes nothing.

    obj: a DataArray with a band dimension (or of one band), a Dataset of bands, or a DataTree with such Datasets at one
    or several pixel sizes. model_gsd_m: of these the one nearest to as many meters is read; by default 10, and of the
    levels of a result the finest.
    allow_other_bands: of a DataArray, bands that are none of Sentinel-2's are planes too, with `band` "". role: of the
    cube, for messages.
    Raises CubeError if it is none of these, GridError without y and x or without pixels, AmbiguousBandError if bands
    are only numbered, MissingBandError if there is no Sentinel-2 band. Warns GeoreferenceWarning without CRS.
    """
    if isinstance(obj, xr.DataTree):
        cube = _from_tree(obj, model_gsd_m)
    elif isinstance(obj, xr.Dataset):
        cube = _from_dataset(obj)
    elif isinstance(obj, xr.DataArray):
        cube = _from_array(obj, role, allow_other_bands=allow_other_bands)
    elif isinstance(obj, str | os.PathLike):
        raise CubeError(
            f"expected an xarray DataArray, Dataset or DataTree; {role} is the text {str(obj)!r}. If that is a "
            f"path, open it first: xr_sr.open({str(obj)!r})."
        )
    else:
        raise CubeError(
            f"expected an xarray DataArray, Dataset or DataTree; {role} is a {type(obj).__name__}. Wrap it: "
            "xr.DataArray(array, dims=('band', 'y', 'x'), coords={'band': ['B04', 'B03', 'B02', 'B08']})."
        )
    if not cube.has_crs and not cube.grid.assumed:
        warn_caller(
            f"{role} has no CRS, so its location is unknown; output coordinates keep the unit of {cube.y!r} and "
            f"{cube.x!r}. Set it with cube.odc.assign_crs('EPSG:...') or cube.rio.write_crs(...).",
            GeoreferenceWarning,
        )
    if cube.grid.assumed:
        warn_caller(cube.grid.assumed, GeoreferenceWarning)
    return cube


def _from_array(obj: xr.DataArray, role: str, *, allow_other_bands: bool) -> Cube:
    grid, y, x = _require_grid(obj, role)
    obj = unnamed_by_dask(placed(obj))
    others = [str(dim) for dim in obj.dims if dim not in (y, x)]
    band_dim = find_band_dim(obj, others)
    lead = tuple(dim for dim in others if dim != band_dim)
    array = _transposed(obj, (*lead, *([band_dim] if band_dim else []), y, x))
    labels, bands = name_bands(obj, band_dim, allow_other_bands=allow_other_bands)
    planes = tuple(
        Plane(band.name if band else "", label, array, index if band_dim else None)
        for index, (label, band) in enumerate(zip(labels, bands, strict=True))
        if band or allow_other_bands
    )
    flags, _, dropped = _sort_others(obj.coords, y, x)
    left = tuple(label for label, band in zip(labels, bands, strict=True) if not (band or allow_other_bands))
    return Cube("DataArray", planes, y, x, band_dim, lead, grid, obj, crs_coord_name(obj), flags, (), (*left, *dropped))


def _from_dataset(obj: xr.Dataset) -> Cube:
    obj = _with_crs_coord(obj)
    grid, y, x = _require_grid(obj)
    obj = placed(obj)
    on_grid = {name: array for name, array in obj.data_vars.items() if {y, x} <= set(array.dims)}
    bands = name_variables(on_grid)
    if not bands:
        raise MissingBandError(f"{no_bands(on_grid)}{_of_store(obj.attrs)}")

    others = {name: tuple(str(dim) for dim in on_grid[name].dims if dim not in (y, x)) for name in bands}
    common = Counter(frozenset(dims) for dims in others.values()).most_common(1)[0][0]
    lead = next(dims for dims in others.values() if frozenset(dims) == common)
    planes = []
    for name, band in bands.items():
        dims = lead if set(others[name]) == set(lead) else others[name]
        planes.append(Plane(band.name, name, _transposed(on_grid[name], (*dims, y, x))))
    rest = {name: obj[name] for name in obj.variables if name not in bands}
    flags, extras, dropped = _sort_others(rest, y, x)
    extras = tuple(name for name in extras if name in obj.data_vars)  # coordinates pass anyway
    return Cube("Dataset", tuple(planes), y, x, None, lead, grid, obj, crs_coord_name(obj), flags, extras, dropped)


def _of_store(attrs: Mapping[Any, Any], *, levels: bool = False) -> str:
    """Return what to do with a store of `to_zarr` that plain xarray opened; "" for anything else."""
    if _STORE not in attrs:
        return ""
    options = ", level=0), or a coarser level" if levels else "), which returns what was written"
    return f" This is a store of to_zarr: open it with xr_sr.open_zarr(path{options}."


def _from_tree(tree: xr.DataTree, model_gsd_m: float | Literal["finest"] | None) -> Cube:
    """Read the node whose pixels are nearest to the size asked for, by default 10 m."""
    nodes = [node for node in tree.subtree if node.data_vars]
    reflectance = [node for node in nodes if not NO_REFLECTANCE.search(node.relative_to(tree))]
    found: list[tuple[float, str, Cube]] = []
    refused: list[tuple[str, CubeError]] = []
    for node in reflectance or nodes:
        if name_variables(node.data_vars):
            node_dataset(node)  # a node with bands that contradicts its root is not passed over
        try:
            cube = _from_dataset(node_dataset(node))
        except CubeError as error:
            refused.append((node.path, error))
        else:
            found.append((_node_gsd_m(node, cube), node.path, cube))
    if not found:
        if len(refused) == 1:
            raise refused[0][1]
        for path, why in refused:
            if not isinstance(why, MissingBandError):  # bands are there, and something else is wrong
                raise type(why)(f"node {path!r}: {why}") from why
        raise MissingBandError(
            f"no node of the tree holds Sentinel-2 bands on a grid; nodes with data: "
            f"{listed(path for path, _ in refused) if refused else 'none'}. Expected are Datasets of bands, such as "
            f"'r10m' and 'r20m'."
            f"{_of_store(tree.attrs, levels=True)}"
        )

    if model_gsd_m is None:  # levels of one result are one image: reading a coarser one would waste its detail
        is_result = _STORE in tree.attrs or all(stated(cube.source.attrs, MODEL_ATTR) for _, _, cube in found)
        model_gsd_m = "finest" if is_result else MEASURED_M
    target = min(gsd for gsd, _, _ in found) if model_gsd_m == "finest" else model_gsd_m
    least = min(abs(math.log(gsd / target)) for gsd, _, _ in found)
    nearest = [entry for entry in found if abs(math.log(entry[0] / target)) < least + 0.01]
    measured = [entry for entry in nearest if _MEASURED.search(entry[1])]
    if len(measured or nearest) > 1:
        paths = [path for _, path, _ in measured or nearest]
        raise AmbiguousBandError(
            f"{listed(paths)} all hold bands of about {nearest[0][0]:.3g} m. Pass one of them: cube[{paths[0]!r}]."
        )
    gsd_m, path, cube = (measured or nearest)[0]
    flags = cube.flags
    if not any(is_scl(flag.name) for flag in flags):
        flags += tuple(_scl_elsewhere(nodes, path, cube)[:1])
    others = sorted((entry for entry in found if entry[1] != path), key=lambda entry: entry[0])
    elsewhere = []
    for gsd, other, rest in sorted(others, key=lambda entry: abs(math.log(entry[0] / gsd_m))):
        known = {*cube.available, *(band for size, _, each in others if size > gsd_m > gsd for band in each.available)}
        if bands := tuple(band for band in rest.available if band not in known):
            elsewhere.append((tree[other].relative_to(tree), bands))
    beside = tuple((tree[other].relative_to(tree), rest.available) for _, other, rest in others)
    return replace(cube, kind="DataTree", flags=flags, node=path, others=beside, elsewhere=tuple(elsewhere))


def _scl_elsewhere(nodes: Sequence[xr.DataTree], path: str, cube: Cube) -> list[Flags]:
    """Find the scene classification on coarser grids of the same ground, finest first; its home is the 20 m node."""
    found: list[Flags] = []
    for node in nodes:
        for name, array in node.data_vars.items():
            dims = spatial_dims(array)
            if node.path == path or not is_scl(name) or dims is None or not array.size:
                continue
            grid = grid_of(_with_crs_coord(node_dataset(node))[[name]])
            factor = cube.geobox.shape.y // array.sizes[dims[0]]
            if grid is None or zoomed(grid.geobox, factor).shape != cube.geobox.shape:
                continue
            strays = ~zoomed(grid.geobox, factor).affine @ cube.geobox.affine
            leads = {dim: size for dim, size in array.sizes.items() if dim not in dims}
            known = {dim: size for dim, size in cube.source.sizes.items() if dim in cube.lead}
            if strays.almost_equals(Affine.identity(), 1e-3) and leads.items() <= known.items():
                found.append(Flags(name, array.rename(dict(zip(dims, (cube.y, cube.x), strict=True))), factor))
    return sorted(found, key=lambda flags: flags.factor)


def _node_gsd_m(node: xr.DataTree, cube: Cube) -> float:
    """Return the pixel size of a node: by its name, such as "r20m", else on the ground, else in its own unit."""
    if stated := _NODE_GSD.fullmatch(node.name or ""):
        return float(stated[1])
    sides = pixel_size_m(cube.geobox) or cube.geobox.resolution.map(abs).yx
    return math.sqrt(sides[0] * sides[1]) or max(sides)  # at a pole a pixel has no width


def _require_grid(obj: xr.DataArray | xr.Dataset, role: str = "the cube") -> tuple[Grid, str, str]:
    """Return the grid and the names of y and x; raises GridError where there is nothing to work on."""
    dims = spatial_dims(obj)
    grid = grid_of(obj)
    if dims is None or grid is None:
        raise GridError(
            f"{role} has {dims_text(obj.dims)}; expected y and x, or latitude and longitude, among them. "
            "Rename them: cube.rename({'...': 'y', '...': 'x'})."
        )
    if empty := [dim for dim, size in obj.sizes.items() if size == 0]:
        raise GridError(f"{role} is empty along {listed(empty)}. Check the selection that it results from.")
    return grid, *dims


def _with_crs_coord(obj: xr.Dataset) -> xr.Dataset:
    """Make the CRS a coordinate where it is still a variable, as after open_zarr without decode_coords="all"."""
    if any(is_crs_coord(coord) for coord in obj.coords.values()):
        return obj
    return obj.set_coords([name for name, variable in obj.data_vars.items() if is_crs_coord(variable)])


def _transposed(array: xr.DataArray, dims: tuple[str, ...]) -> xr.DataArray:
    """Put dimensions in order, lazily; arrays in files are wrapped first, since many cannot be read transposed."""
    check_array(array)
    return array if array.dims == dims else kept_unread(array).transpose(*dims)


def _sort_others(
    variables: Mapping[Hashable, xr.DataArray], y: str, x: str
) -> tuple[tuple[Flags, ...], tuple[Hashable, ...], tuple[Hashable, ...]]:
    """Sort what is not a band into flags, what does not lie on the grid, and what must be left out."""
    flags: list[Flags] = []
    extras: list[Hashable] = []
    dropped: list[Hashable] = []
    for name, array in variables.items():
        if name in (y, x) or (name in ("xc", "yc") and array.ndim == 2):
            continue  # places: `grid` makes the new ones
        if not {y, x} & set(array.dims):
            extras.append(name)
        elif {y, x} <= set(array.dims) and is_flags(name, array):
            flags.append(Flags(name, array))
        else:
            dropped.append(name)
    return tuple(flags), tuple(extras), tuple(dropped)
