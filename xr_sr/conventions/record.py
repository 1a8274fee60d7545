"""The record of an input convention: how a producer of cubes names bands, CRS, offset, nodata and masks."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Convention:
    """Names that one producer or loader uses; each field may be left empty, and all records are read together.

    name: for people. url: where the convention is documented.

    Bands. bands: canonical name ("B08") by the producer's; case and separators do not count, and codes such as "B8" or
    "b08" need no entry. band_dims: dimensions, and scalar coordinates, that hold bands. band_coords: coordinates along
    them that name bands. band_attrs: attributes that do; for n bands a sequence of n names.

    Place. crs_attrs: attributes of the cube, its bands, or x and y that name its CRS. crs_coords: coordinates and
    variables without dimensions that do. item_crs: properties of STAC Items, as attributes or coordinates. nested:
    where attributes hold such properties in mappings, each as the keys that lead to the mapping, such as
    ("stac_discovery", "properties"); the CRS alone is looked for in them.

    Radiometry: names of attributes, coordinates or variables, for all dates or one value per date. dn_offset: the
    offset in DN itself, to be added. offset_applied: whether it is in the pixels already. baseline: the processing
    baseline, from which the offset follows. product: the name of the ESA product, which contains the baseline.
    collection: the id of a collection or of an image in it, where the collection decides the offset.
    nodata_attrs: attributes and encodings (exact names) that declare values of missing pixels.

    Not reflectance. classification: names of the scene classification (SCL). flag_words: parts of names of masks and
    classes, anywhere, such as "mask" for "cloud_mask" and "B04_mask"; flag_names: the same as whole words. Both are
    regular expressions without regard to case, and what has such a name is never a band, whatever its type.
    skipped_nodes, measured_nodes: parts of the paths of tree nodes that hold no reflectance, and of those preferred
    where several nodes fit.
    """

    name: str
    url: str = ""
    bands: Mapping[str, str] = field(default_factory=dict)
    band_dims: tuple[str, ...] = ()
    band_coords: tuple[str, ...] = ()
    band_attrs: tuple[str, ...] = ()
    crs_attrs: tuple[str, ...] = ()
    crs_coords: tuple[str, ...] = ()
    item_crs: tuple[str, ...] = ()
    nested: tuple[tuple[str, ...], ...] = ()
    dn_offset: tuple[str, ...] = ()
    offset_applied: tuple[str, ...] = ()
    baseline: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    collection: tuple[str, ...] = ()
    nodata_attrs: tuple[str, ...] = ()
    classification: tuple[str, ...] = ()
    flag_words: tuple[str, ...] = ()
    flag_names: tuple[str, ...] = ()
    skipped_nodes: tuple[str, ...] = ()
    measured_nodes: tuple[str, ...] = ()


def plain_name(key: Hashable) -> str:
    """Return a name in lower case with words joined by "_": "s2_processing_baseline" for "s2:processing_baseline"."""
    return re.sub(r"[^a-z0-9]+", "_", str(key).lower()).strip("_")
