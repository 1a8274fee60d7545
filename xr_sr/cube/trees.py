"""Complete the nodes of a DataTree with the coordinates and metadata of their parents that xarray does not inherit.

xarray inherits coordinates with an index, such as x and time. A CRS on the root, in a coordinate or attributes, belongs
to the nodes just as well, and so do numbers per date.
"""

from __future__ import annotations

from collections.abc import Hashable

import xarray as xr
from affine import Affine
from odc.geo.crs import CRS

from ..conventions import ADD_OFFSETS, BASELINES, FLAGS, PRODUCTS, plain_name
from ..errors import GridError
from .axes import axis_of, spatial_dims
from .crs import crs_coord_name, find_crs, is_crs_coord, pointed_mappings, same_crs
from .transforms import Axes, lattice_like, noted_transform, same_size, stands_on, stored_transform


def node_dataset(node: xr.DataTree) -> xr.Dataset:
    """Return a node as a Dataset with the coordinates of its parents, those without an index too.

    A coordinate of a parent is added where the node has its dimensions and nothing of its name; of variables, those
    that describe the CRS or the offset of DN. Attributes of the offset are added where the node has none of
    their names. A CRS in the attributes of a parent comes as a coordinate, where the node names none. A transform
    or `GeoTransform` of a parent comes as the attribute `transform`, where it shows whether the node's x and y are
    centers or corners. A `GeoTransform` of pixels as wide as the node's stays where it is.
    Raises GridError where parents name another CRS than the node, or only values that cannot be read.
    """
    dataset = node.to_dataset()
    parents = _parents(node, dataset)
    if not parents:
        return dataset
    crs, axes = find_crs(dataset, parents), _axes(dataset)
    for own in parents.values():  # the nearest first
        added = {
            name: _with_own_transform(variable, axes)
            for name, variable in own.variables.items()
            if name not in dataset.variables
            and (name in own.coords or is_crs_coord(variable) or _is_offset_metadata(name))
            and all(dataset.sizes.get(dim) == size for dim, size in variable.sizes.items())
        }
        dataset = dataset.assign_coords(added)
        known = {plain_name(key) for key in dataset.attrs}
        facts = {
            key: each for key, each in own.attrs.items() if _is_offset_metadata(key) and plain_name(key) not in known
        }
        dataset.attrs = {**dataset.attrs, **facts}
    if crs is not None and not _names(dataset, crs):
        name = crs_coord_name(dataset)
        dataset = dataset.assign_coords({name: xr.Variable((), 0, {"crs_wkt": crs.to_wkt()})})
    lattice = _lattice(node, dataset, parents, crs)
    return dataset if lattice is None else dataset.assign_attrs(transform=tuple(lattice)[:6])


def _parents(node: xr.DataTree, dataset: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return what each parent holds itself, by path, the nearest first; of grid mappings those that the node uses."""
    pointed = pointed_mappings(dataset)
    parents = {}
    for parent in node.parents:
        own = parent.to_dataset(inherit=False)
        mappings = [name for name, variable in own.variables.items() if is_crs_coord(variable)]
        if not set(mappings).isdisjoint(pointed):
            own = own.drop_vars([name for name in mappings if name not in pointed])
        parents[parent.path] = own
    return parents


def _names(dataset: xr.Dataset, crs: CRS) -> bool:
    """Return whether a Dataset names a CRS by itself."""
    try:
        found = find_crs(dataset)
    except GridError:  # a value that cannot be read, where a parent names the CRS
        return False
    return found is not None and same_crs(found, crs)


def _lattice(node: xr.DataTree, dataset: xr.Dataset, parents: dict[str, xr.Dataset], crs: CRS | None) -> Affine | None:
    """Return the transform of the nearest parent that has one, in pixels of the node's size; None if unusable.

    A node whose pixels are an even number of the transform's wide stands on corners as well as on centers; then other
    nodes decide, as one tool has made them all.
    """
    axes = _axes(dataset)
    lattice = next((each for each in (_lattice_of(own, crs) for own in parents.values()) if each), None)
    if lattice is None or axes is None or _lattice_of(dataset, crs) is not None:
        return None
    stand = stands_on(axes, lattice)
    if stand != "either":
        return lattice if stand else None
    others = (_axes(each.to_dataset()) for each in node.root.subtree if each.data_vars)
    stands = {stands_on(each, lattice) for each in others if each is not None} & {"corner", "center"}
    return lattice_like(axes, corner=stands == {"corner"}) if len(stands) == 1 else None


def _lattice_of(dataset: xr.Dataset, crs: CRS | None) -> Affine | None:
    """Return the transform in the attributes of a Dataset, or else the `GeoTransform` of its grid mapping."""
    noted = noted_transform(dataset, crs)
    if noted is not None:
        return noted.lattice
    mappings = (stored_transform(each.attrs) for each in dataset.variables.values() if is_crs_coord(each))
    return next((each for each in mappings if each is not None), None)


def _axes(dataset: xr.Dataset) -> Axes | None:
    dims = spatial_dims(dataset)
    axes = None if dims is None else (axis_of(dataset, dims[0]), axis_of(dataset, dims[1]))
    return None if axes is None or axes[0] is None or axes[1] is None else (axes[0], axes[1])


def _is_offset_metadata(name: Hashable) -> bool:
    return plain_name(name) in {*ADD_OFFSETS, *FLAGS, *BASELINES, *PRODUCTS}


def _with_own_transform(variable: xr.Variable, axes: Axes | None) -> xr.Variable:
    """Return a variable without `GeoTransform`, unless the node's coordinates stand on it, in pixels of its size."""
    lattice = stored_transform(variable.attrs)
    plain = variable.copy(deep=False)
    if lattice is None or axes is None or not stands_on(axes, lattice) or not same_size(axes, lattice):
        plain.attrs = {key: value for key, value in variable.attrs.items() if key != "GeoTransform"}
    return plain
