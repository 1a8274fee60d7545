"""The nodes of a DataTree with what belongs to them from their parents, beyond what xarray hands down.

xarray inherits coordinates with an index, such as x and time. A CRS on the root, in a coordinate or attributes, belongs
to the nodes just as well, and so do numbers per date.
"""

from __future__ import annotations

from collections.abc import Hashable

import xarray as xr

from .crs import crs_coord_name, find_crs, is_crs_coord, named_crs
from .product_metadata import ADD_OFFSETS, BASELINES, FLAGS, PRODUCTS, plain_name

__all__ = ["node_dataset"]


def node_dataset(node: xr.DataTree) -> xr.Dataset:
    """Return a node as a Dataset with the coordinates of its parents, those without an index too.

    A coordinate of a parent is added where the node has its dimensions and nothing of its name; of variables, those
    that describe the CRS or tell the offset of DN. Attributes that tell the offset are added where the node has none
    of their names. A CRS in the attributes of a parent comes as a coordinate, where the node names none.
    A `GeoTransform` stays behind, since nodes have pixels of several sizes.
    """
    dataset = node.to_dataset()
    for parent in node.parents:  # the nearest first
        own = parent.to_dataset(inherit=False)
        added = {
            name: _without_transform(variable)
            for name, variable in own.variables.items()
            if name not in dataset.variables
            and (name in own.coords or is_crs_coord(variable) or _tells_offset(name))
            and all(dataset.sizes.get(dim) == size for dim, size in variable.sizes.items())
        }
        dataset = dataset.assign_coords(added)
        known = {plain_name(key) for key in dataset.attrs}
        facts = {key: each for key, each in own.attrs.items() if _tells_offset(key) and plain_name(key) not in known}
        dataset.attrs = {**dataset.attrs, **facts}
    if node.parent is not None and find_crs(dataset) is None:
        crs = named_crs(*(parent.attrs for parent in node.parents))
        if crs is not None:
            name = crs_coord_name(dataset)
            dataset = dataset.assign_coords({name: xr.Variable((), 0, {"crs_wkt": crs.to_wkt()})})
    return dataset


def _tells_offset(name: Hashable) -> bool:
    return plain_name(name) in {*ADD_OFFSETS, *FLAGS, *BASELINES, *PRODUCTS}


def _without_transform(variable: xr.Variable) -> xr.Variable:
    plain = variable.copy(deep=False)
    plain.attrs = {key: value for key, value in variable.attrs.items() if key != "GeoTransform"}
    return plain
