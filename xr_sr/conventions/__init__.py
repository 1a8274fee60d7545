"""Input conventions: one file per producer of cubes, one table, and the look-ups that are made of it.

A new producer is one file with a `Convention` and one entry in `CONVENTIONS`. Data only: `bands`, the modules of
`cube`, `radiometry.metadata` and `io.stac` read the look-ups below. Names of metadata are as `plain_name` writes them;
where several are present, the first in the order of the table counts.
"""

from __future__ import annotations

from .cdse import CDSE
from .digital_earth import DIGITAL_EARTH
from .earth_engine import EARTH_ENGINE
from .earth_search import EARTH_SEARCH
from .eopf import EOPF
from .gdal import GDAL
from .openeo import OPENEO
from .own import OWN
from .planetary_computer import PLANETARY_COMPUTER
from .record import Convention, plain_name
from .safe import SAFE
from .stackstac import STACKSTAC

__all__ = [
    "ADD_OFFSETS",
    "BAND_ATTRS",
    "BAND_COORDS",
    "BAND_DIMS",
    "BAND_NAMES",
    "BASELINES",
    "CLASSIFICATIONS",
    "COLLECTIONS",
    "CONVENTIONS",
    "CRS_ATTRS",
    "CRS_COORDS",
    "FLAGS",
    "FLAG_NAMES",
    "FLAG_WORDS",
    "ITEM_CRS",
    "MEASURED_NODES",
    "NESTED",
    "NODATA_ATTRS",
    "PRODUCTS",
    "SKIPPED_NODES",
    "Convention",
    "plain_name",
]

CONVENTIONS: tuple[Convention, ...] = (
    EARTH_SEARCH,
    PLANETARY_COMPUTER,
    CDSE,
    EOPF,
    SAFE,
    EARTH_ENGINE,
    OPENEO,
    DIGITAL_EARTH,
    STACKSTAC,
    GDAL,
    OWN,
)
"""All conventions, in the order in which they are read."""


def _each(field: str, *, plain: bool = False) -> tuple[str, ...]:
    """Return the names of one field of all conventions, each once."""
    names = (name for convention in CONVENTIONS for name in getattr(convention, field))
    return tuple(dict.fromkeys(plain_name(name) if plain else name for name in names))


def _band_names() -> dict[str, str]:
    """Return canonical names by the names of all producers, in lower case without separators."""
    found: dict[str, str] = {}
    for convention in CONVENTIONS:
        for name, band in convention.bands.items():
            key = plain_name(name).replace("_", "")
            if found.setdefault(key, band) != band:
                raise ValueError(f"{convention.name} calls {band} {name!r}, which is {found[key]} elsewhere.")
    return found


BAND_NAMES = _band_names()
BAND_DIMS, BAND_COORDS, BAND_ATTRS = _each("band_dims"), _each("band_coords"), _each("band_attrs")

ITEM_CRS, CRS_COORDS = _each("item_crs", plain=True), _each("crs_coords", plain=True)
CRS_ATTRS = (*_each("crs_attrs", plain=True), *ITEM_CRS)
NESTED = tuple(dict.fromkeys(path for convention in CONVENTIONS for path in convention.nested))

ADD_OFFSETS = _each("dn_offset", plain=True)
FLAGS = _each("offset_applied", plain=True)
BASELINES = _each("baseline", plain=True)
PRODUCTS = _each("product", plain=True)
COLLECTIONS = _each("collection", plain=True)
NODATA_ATTRS = _each("nodata_attrs")

CLASSIFICATIONS = tuple(name.lower() for name in _each("classification"))
FLAG_WORDS, FLAG_NAMES = _each("flag_words"), _each("flag_names")
SKIPPED_NODES, MEASURED_NODES = _each("skipped_nodes"), _each("measured_nodes")
