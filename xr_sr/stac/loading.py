"""Items to a lazy cube: native grids snapped to each other, one offset for each date. Pixels are read by odc-stac."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

from ..bands import find_band, is_scl
from ..cube import warn_caller
from ..errors import BandWarning, CatalogueError, GeoreferenceWarning, GridError, MissingBandError, OptionError
from ..naming import listed
from ..planning import refuse_query_planning
from ..preparation import mask as mask_clouds
from ..preparation import read_classes
from ..radiometry import ADD_OFFSET_COORD
from ..spec import SOURCE_ITEMS, SOURCE_LINKS
from .asking import clear_enough, items_in, read_items, require_metres, require_side
from .assets import SCL, bands_in, counted, native_gsd_m, sources_of
from .catalogues import RETRIES, Bbox, search, signer
from .extents import Box, box_of_items, middle, read_box
from .grouping import Group, group
from .items import epsg_of, meaning_of

if TYPE_CHECKING:
    from pystac import Item, ItemCollection

Items: TypeAlias = "Item | ItemCollection | Iterable[Item | Mapping[str, Any]]"

_HTTP = {
    "GDAL_HTTP_MAX_RETRY": str(RETRIES),
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}


def load(
    items: Items | None = None,
    *,
    bbox: Bbox | None = None,
    datetime: str | None = None,
    catalogue: str = "earth-search",
    collection: str | None = None,
    bands: Sequence[str] | None = None,
    cloud_cover: float | None = None,
    mask: bool | Iterable[int] = False,
    offset: float | None = None,
    grid: Literal["native", 10, 20] = "native",
    crs: str | None = None,
    chunks: int = 1024,
) -> xr.DataTree | xr.Dataset:
    """Load Sentinel-2 scenes from a STAC catalogue as a lazy cube of DN.

    items: what a search gave (pystac Items, an ItemCollection, dictionaries); else bbox and datetime say what to search
        for. bbox: (west, south, east, north) in degrees, what is loaded; without it, all that the items cover. A box
        whose west is greater than its east crosses the antimeridian (RFC 7946), and so does (179.8, -17, 180.2, -16).
    datetime: as STAC has it: "2023-06-01/2023-06-30". catalogue: "earth-search", "planetary-computer" (needs the extra
        "planetary"), "cdse" (pixels need its S3 keys in the environment), or the URL of a STAC API.
    bands: any names of bands, and "SCL"; by default all of 10 m and 20 m, with SCL where it is there. cloud_cover: the
        highest of a scene, in percent. mask: True sets clouds and shadows to NaN by SCL, or name the classes to mask;
        by default nothing is masked, and SCL comes along for `cube.sr.mask()`.
    offset: in DN, for all items, where metadata are wrong or missing; by default each item's own say.
    grid: "native" gives a DataTree with `r10m` and `r20m` (and `r60m` where asked for); 10 or 20 one Dataset at that
        size, by nearest neighbour. crs: of the grid, in metres; by default that of most items. chunks: side of a chunk
        in 10 m pixels.

    Returns bands under canonical names, (time, y, x) uint16, 0 is nodata, with coordinates along time:
    `boa_add_offset`, which `upscale`, `reflectance` and `index` add to the DN, and `s2_processing_baseline`. One time
    stands for one solar day, at the longitude of the area, and one baseline: mosaics never mix baselines. Parts of a
    tile from several data strips are mosaicked; of versions of one acquisition the newest is taken. The
    grid is snapped to 20 m (60 m with 60 m bands), so each 20 m pixel holds exactly four of 10 m.
    Nothing is read but the catalogue. Transient HTTP errors are tried again, of catalogue and pixels.
    Raises OptionError for what cannot be meant, GridError for a CRS that is not in metres, CatalogueError without any
    item or answer, or where no item meets the bbox, MissingBandError, RadiometryError where an item's offset is
    unknown, MissingLibraryError. Warns RadiometryWarning where an item contradicts itself, GeoreferenceWarning where
    items of other UTM zones are resampled, CatalogWarning where items do not say whether they are parts or versions.
    """
    refuse_query_planning()
    corners, bands = None if bbox is None else read_box(bbox), [bands] if isinstance(bands, str) else bands
    if crs is not None:
        require_metres(crs)
    mask = bool(mask) if isinstance(mask, np.bool_) else mask
    chunks, classes = require_side(chunks), None if isinstance(mask, bool) else read_classes(mask)
    if grid not in ("native", 10, 20):
        raise OptionError(f"grid={grid!r}: known are 'native', 10 and 20.")
    found = _items_of(items, corners, datetime, catalogue, collection, cloud_cover)
    wanted = _choose_bands(found, bands, masked=mask is not False)
    for item in found:
        sources_of(item, wanted)  # before the offset, which a band that is missing may be the reason not to know
    meanings = {id(item): meaning_of(item, offset=offset) for item in found}
    area = corners or box_of_items(found)
    groups = group(found, meanings, longitude=middle(area))
    kept = [item for each in groups for item in each.items]
    zone = _zone_of(kept, crs)
    largest = 60.0 if any(native_gsd_m(band) == 60 for band in wanted) else 20.0
    base = _snapped(corners or box_of_items(kept), zone, largest)

    nodes = {}
    by_size: dict[float, list[str]] = {}
    for band in wanted:
        by_size.setdefault(native_gsd_m(band) if grid == "native" else float(grid), []).append(band)
    for size in sorted(by_size):
        geobox = base.zoom_to((round(base.shape.y * largest / size), round(base.shape.x * largest / size)))
        side = max(16, round(chunks * 10 / size))
        nodes[f"r{size:g}m"] = _load_grid(groups, by_size[size], geobox, side)
    if grid != "native":
        made = next(iter(nodes.values()))
        return mask_clouds(made, classes=classes) if mask is not False else made
    tree = xr.DataTree.from_dict(nodes)
    return mask_clouds(tree, classes=classes) if mask is not False else tree


def _items_of(
    items: Items | None,
    bbox: Box | None,
    datetime: str | None,
    catalogue: str,
    collection: str | None,
    cloud_cover: float | None,
) -> list[Item]:
    """Take the items that were handed in, or search for them."""
    if items is None:
        if bbox is None or datetime is None:
            raise OptionError("load needs items, or bbox= and datetime= to search for them.")
        found = search(catalogue, bbox, datetime, collection=collection)
    else:
        found = read_items(items)
        if datetime is not None or collection is not None:
            raise OptionError(
                "datetime= and collection= are for a search, and items are given: leave them out, and choose among the "
                "items, or their dates with .sel(time=...)."
            )
        found = items_in(found, bbox)
    found = clear_enough(found, cloud_cover)  # here, since not every API can
    homeless = [item.id for item in found if any(each.get_absolute_href() is None for each in item.assets.values())]
    if homeless:
        raise CatalogueError(
            f"{homeless[0]} has assets at relative addresses, and does not say where it is itself. Open it by "
            "pystac.Item.from_file(...), or say item.set_self_href('https://.../item.json')."
        )
    if not found:
        raise CatalogueError(
            f"no item to load: bbox={bbox}, datetime={datetime!r}, cloud_cover={cloud_cover}. Mind the order (west, "
            "south, east, north), and that times are UTC."
        )
    return found


def _choose_bands(items: Sequence[Item], bands: Sequence[str] | None, *, masked: bool) -> list[str]:
    """Give the canonical names of the bands to load; by default those that all items have, warning of the rest."""
    if bands is None:
        there = [bands_in(item) for item in items]
        chosen = [band for band in there[0] if all(band in names for names in there)]
        if lost := sorted({band for names in there for band in names} - set(chosen)):
            warn_caller(f"{listed(lost)} left out: some of the items do not have them.", BandWarning)
    else:
        chosen = []
        for name in bands:
            band = find_band(name)
            if band is None and not is_scl(name):
                raise MissingBandError(f"{name!r} is no name of a Sentinel-2 band; 'SCL' is the scene classification.")
            chosen.append(SCL if band is None else band.name)
        chosen = list(dict.fromkeys(chosen))
    if masked and SCL not in chosen:
        chosen.append(SCL)
    if not chosen:
        raise MissingBandError(f"{items[0].id} has no asset of a Sentinel-2 band: {listed(items[0].assets)}.")
    return chosen


def _zone_of(items: Sequence[Item], crs: str | None) -> str:
    counts = Counter(code for item in items if (code := epsg_of(item)))
    if crs is None and not counts:
        raise GridError("no item says its CRS (proj:code, proj:epsg): pass crs='EPSG:...'.")
    zone = crs or counts.most_common(1)[0][0]
    if others := {code: count for code, count in counts.items() if code != zone}:
        warn_caller(
            f"{sum(others.values())} of {len(items)} items lie in {listed(others)} and are resampled to {zone} by "
            "nearest neighbour, which shifts pixels by up to half of one. To keep native pixels load zone by zone.",
            GeoreferenceWarning,
        )
    return zone


def _snapped(box: Box, crs: str, size: float) -> GeoBox:
    """Give the grid of `size` metres that covers a box in degrees, its edges on multiples of `size`."""
    extent = BoundingBox(*box, crs="EPSG:4326").to_crs(crs)
    return GeoBox.from_bbox(extent, crs, resolution=size, anchor="edge")


def _load_grid(groups: Sequence[Group], bands: Sequence[str], geobox: GeoBox, side: int) -> xr.Dataset:
    """Read some bands of all groups on one grid; nothing is read yet."""
    import odc.stac
    import rasterio

    items = [item for each in groups for item in each.items]
    # A number for each item, ascending in time: odc-stac sorts by it, so its times come in the order of the groups.
    places = [place for place, each in enumerate(groups) for _ in each.items]
    sources = [sources_of(item, bands) for item in items]
    if any(each != sources[0] for each in sources):
        raise CatalogueError(
            "the items call their assets by different names, or order the bands in them differently, so they come from "
            "several catalogues. Load those of each by themselves, and join them with xr.concat(..., 'time')."
        )
    names = {band: source.name for band, source in sources[0].items()}
    sign = signer(item.assets[source.asset].href for item in items for source in sources[0].values())
    # What the user has set counts; the rest goes into the graph with the addresses, so workers have it too.
    options = {key: value for key, value in _HTTP.items() if key not in os.environ}
    with rasterio.Env(**options):
        loaded = odc.stac.load(
            [counted(item, each) for item, each in zip(items, sources, strict=True)],
            bands=list(names.values()),
            geobox=geobox,
            chunks={"time": 1, "y": side, "x": side},
            groupby=lambda item, parsed, place: places[place],
            preserve_original_order=True,
            # One type for all: a type for each band fails in odc-stac 0.5 where chunks are given.
            dtype="uint16",
            nodata=0,
            resampling="nearest",
            patch_url=sign,
        )
    assert loaded.sizes["time"] == len(groups)
    loaded = loaded.rename({key: band for band, key in names.items()})[list(bands)]
    if SCL in loaded:
        loaded[SCL] = loaded[SCL].astype("uint8")
    for band in bands:
        loaded[band].attrs = {"nodata": 0, "long_name": "scene classification" if band == SCL else f"{band}, DN"}
    stamps = np.array([each.stamp for each in groups], "datetime64[ns]")
    offsets = ("time", np.array([each.meaning.offset for each in groups]), {
        "units": "DN", "long_name": "to be added to DN before the division by 10000"})  # fmt: skip
    baselines = ("time", np.array([each.meaning.baseline for each in groups], "float32"))
    coords = {"time": stamps, ADD_OFFSET_COORD: offsets, "s2_processing_baseline": baselines}
    names_of_items = ("time", [" ".join(item.id for item in each.items) for each in groups])
    links = [" ".join(href for item in each.items if (href := item.get_self_href())) for each in groups]
    known = {SOURCE_LINKS: ("time", links)} if any(links) else {}
    return loaded.assign_coords({**coords, SOURCE_ITEMS: names_of_items, **known})
