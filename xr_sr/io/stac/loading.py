"""Items to a lazy cube: native grids snapped to each other, one offset for each date. Pixels are read by odc-stac."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ...arguments import check_number, count_of, items_of, renamed, shown
from ...bands import find_band, is_scl
from ...cube.lazy import refuse_query_planning
from ...cube.names import listed
from ...errors import (
    BandWarning,
    CatalogError,
    GeoreferenceWarning,
    GridError,
    MissingBandError,
    OptionError,
    warn_caller,
)
from ...radiometry.cubes import mask as mask_clouds
from ...radiometry.cubes import read_classes
from ...radiometry.resolve import ADD_OFFSET_COORD
from ...spec import SOURCE_ITEMS, SOURCE_LINKS
from .extents import box_of_items, middle
from .grouping import Group, Groupby, group
from .items import SCL, bands_in, counted, epsg_of, meaning_of, sources_of
from .search import (
    RETRIES,
    Bbox,
    Filter,
    Query,
    Search,
    clear_enough,
    items_in,
    read_items,
    require_crs,
    require_metres,
    require_place,
    require_side,
    search,
    signer,
)
from .target import Area, Polygon, area_around, chunk_side, grids_of, read_area, read_form

if TYPE_CHECKING:
    from pystac import Item, ItemCollection

Items: TypeAlias = "Item | ItemCollection | Iterable[Item | Mapping[str, Any]]"

_HTTP = {
    "GDAL_HTTP_MAX_RETRY": str(RETRIES),
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}


@renamed(catalogue="catalog")
def load(
    items: Items | None = None,
    *,
    bbox: Bbox | None = None,
    geopolygon: Polygon | None = None,
    geobox: GeoBox | None = None,
    like: xr.DataArray | xr.Dataset | xr.DataTree | GeoBox | None = None,
    datetime: str | None = None,
    catalog: str = "earth-search",
    collection: str | None = None,
    query: Query | None = None,
    filter: Filter | None = None,
    bands: Sequence[str] | None = None,
    cloud_cover: float | None = None,
    mask: bool | Iterable[int] = False,
    offset: float | None = None,
    grid: Literal["native", 10, 20] | None = None,
    resolution: float | None = None,
    crs: str | None = None,
    groupby: Groupby | None = None,
    chunks: int = 1024,
) -> xr.DataTree | xr.Dataset:
    """Load Sentinel-2 scenes from a STAC catalog as a lazy cube of DN.

    items: results of a search (pystac Items, an ItemCollection, dictionaries); else datetime and an area define what to
        search for. Without an area, all that the items cover is loaded.
    The area is one of these, with the meaning that it has in `odc.stac.load`. bbox: (west, south, east, north) in
        degrees; a box whose west is greater than its east crosses the antimeridian (RFC 7946), and so does (179.8, -17,
        180.2, -16). geopolygon: GeoJSON (its member `crs` counts), a geometry of shapely, GeoPandas or odc-geo; its
        bounding box is loaded, of items that meet the polygon. geobox: exactly this grid. like: the grid of a cube,
        or of a DataTree.
    datetime: as STAC has it: "2023-06-01/2023-06-30". catalog: "earth-search", "planetary-computer" (needs the extra
        "planetary"), "cdse" (pixels need its S3 keys in the environment), or the URL of a STAC API. query, filter:
        passed to the search, as pystac-client takes them: {"eo:cloud_cover": {"lt": 20}}, or CQL2.
    bands: any names of bands, and "SCL"; by default all of 10 m and 20 m, with SCL where it is there. cloud_cover: the
        highest of a scene, in percent. mask: True sets clouds and shadows to NaN by SCL, or name the classes to mask;
        by default nothing is masked, and SCL comes along for `cube.sr.mask()`.
    offset: in DN, for all items, if metadata are wrong or missing; by default from the metadata of each item.
    grid: "native" returns a DataTree with `r10m` and `r20m` (and `r60m` if requested), the default for a bbox or a
        geopolygon and for `like` a DataTree; 10 or 20 one Dataset at that size, by nearest neighbor. With geobox and
        like the result is one Dataset on their grid; with grid="native" a DataTree that nests in it. resolution: one
        Dataset with pixels of this side, in the unit of the CRS, by nearest neighbor.
    crs: of the result; by default that of most items; in meters, unless resolution is given. chunks: side of a chunk in
        10 m pixels. groupby: "solar_day" (the default), "time", "id", the name of a property, or a function, as in
        `odc.stac.load`.

    Returns bands under canonical names, (time, y, x) uint16, 0 is nodata, with coordinates along time:
    `boa_add_offset`, which `upscale`, `reflectance` and `index` add to the DN, and `s2_processing_baseline`. One time
    stands for one solar day, at the longitude of the area, and one baseline: mosaics never mix baselines, whatever
    groupby says. Parts of a tile from several data strips are mosaicked; of versions of one acquisition the newest is
    taken (all of them with groupby "id", a property or a function). Grids are snapped to 20 m (60 m with 60 m bands),
    so each 20 m pixel holds exactly four of 10 m. Nothing is read but the catalog. Transient HTTP errors are retried.
    Raises OptionError for invalid arguments, GridError for a CRS that is not in meters or a grid that cuts pixels of
    a tree, CatalogError without any item or answer, or where no item meets the area, MissingBandError,
    RadiometryError where an item's offset is unknown, MissingLibraryError. Warns RadiometryWarning where an item
    contradicts itself, GeoreferenceWarning where pixels are resampled from another UTM zone or lattice, CatalogWarning
    where items do not say whether they are parts or versions.
    """
    refuse_query_planning()
    area = read_area(bbox=bbox, geopolygon=geopolygon, geobox=geobox, like=like)
    bands = _read_bands(bands)
    form = read_form(grid, resolution, crs, area, like)
    if crs is not None:
        crs = (require_metres if resolution is None else require_crs)(crs)
    offset = None if offset is None else check_number("offset", offset)
    mask = bool(mask) if isinstance(mask, np.bool_) else mask
    chunks, classes = require_side(chunks), None if isinstance(mask, bool) else read_classes(mask)
    ask = Search(datetime, catalog, collection, query, filter)
    found = clear_enough(_items_of(items, area, ask), cloud_cover)  # here, since not every API can
    _require_pixels(found, area, datetime, cloud_cover)
    wanted = _choose_bands(found, bands, masked=mask is not False)
    for item in found:
        sources_of(item, wanted)  # before the offset, which a band that is missing may be the reason not to know
    meanings = {id(item): meaning_of(item, offset=offset) for item in found}
    longitude = middle(area.box if area else box_of_items(found))
    groups = group(found, meanings, longitude=longitude, by=groupby)
    kept = [item for each in groups for item in each.items]
    exact = area.exact if area else None
    zone = _zone_of(kept, crs if exact is None else require_crs(exact.crs))
    grids = grids_of(form, area or area_around(box_of_items(kept)), zone, wanted)

    nodes = {
        name: _load_grid(groups, names, geobox, chunk_side(geobox, chunks)) for name, (geobox, names) in grids.items()
    }
    made: Any = xr.DataTree.from_dict(nodes) if form == "native" else nodes[""]
    cube: xr.DataTree | xr.Dataset = mask_clouds(made, classes=classes) if mask is not False else made
    return cube


def _items_of(items: Items | None, area: Area | None, ask: Search) -> list[Item]:
    """Take the items that were passed, or search for them."""
    if items is None:
        if area is None or ask.datetime is None:
            raise OptionError(
                "load needs items, or datetime= and an area (bbox=, geopolygon=, geobox= or like=) to search for them."
            )
        found = search(area.box, ask)
    else:
        found = read_items(items)
        if options := ask.given():
            raise OptionError(
                f"{' and '.join(options)} {'is' if len(options) == 1 else 'are'} for a search, and items are given: "
                "leave out one or the other, and choose among the items, or their dates with .sel(time=...)."
            )
    for item in found:
        require_place(item)
    searched_by_box = items is None and area is not None and not area.polygon
    return found if searched_by_box else items_in(found, area)


def _require_pixels(items: Sequence[Item], area: Area | None, datetime: str | None, cloud_cover: float | None) -> None:
    """Raise CatalogError where there are no items, or one whose files cannot be found."""
    homeless = [item.id for item in items if any(each.get_absolute_href() is None for each in item.assets.values())]
    if homeless:
        raise CatalogError(
            f"{homeless[0]} has assets at relative addresses, and does not say where it is itself. Open it by "
            "pystac.Item.from_file(...), or say item.set_self_href('https://.../item.json')."
        )
    if not items:
        raise CatalogError(
            f"no item to load: bbox={area.box if area else None}, datetime={datetime!r}, cloud_cover={cloud_cover}. "
            "Check the order (west, south, east, north), and that times are UTC."
        )


def _read_bands(bands: Any) -> list[str] | None:
    if bands is None or isinstance(bands, str):
        return None if bands is None else [bands]
    names = items_of(bands)
    if names is not None and not isinstance(bands, xr.DataArray):
        return names
    raise OptionError(f"bands={shown(bands)}: expected a list of names, such as ['B04', 'B08'].")


def _choose_bands(items: Sequence[Item], bands: Sequence[str] | None, *, masked: bool) -> list[str]:
    """Return the canonical names of the bands to load; by default those that all items have, warning of the rest."""
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
                raise MissingBandError(f"{name!r} is not a Sentinel-2 band; 'SCL' is the scene classification.")
            chosen.append(SCL if band is None else band.name)
        chosen = list(dict.fromkeys(chosen))
    if masked and SCL not in chosen:
        chosen.append(SCL)
    if not chosen:
        raise MissingBandError(
            f"{items[0].id} has no asset of a Sentinel-2 band; its assets: {', '.join(items[0].assets) or 'none'}."
        )
    return chosen


def _zone_of(items: Sequence[Item], crs: str | None) -> str:
    counts = Counter(code for item in items if (code := epsg_of(item)))
    if crs is None and not counts:
        raise GridError("no item says its CRS (proj:code, proj:epsg): pass crs='EPSG:...'.")
    zone = crs or require_crs(counts.most_common(1)[0][0])
    if others := {code: count for code, count in counts.items() if code != zone}:
        verb = "is" if sum(others.values()) == 1 else "are"
        warn_caller(
            f"{sum(others.values())} of {count_of(len(items), 'item')} {verb} resampled from {listed(others)} to "
            f"{zone} by nearest neighbor, which shifts pixels by up to half of one. To keep native pixels, load one "
            "zone after the other.",
            GeoreferenceWarning,
        )
    return zone


@contextmanager
def _reading(items: Sequence[Item]) -> Iterator[None]:
    """Raise an error that names the items whose assets odc-stac cannot read; pixels are read later."""
    try:
        yield
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CatalogError(
            f"odc-stac cannot read the assets of {items[0].id} and {len(items) - 1} more: {shown(str(error))}. Check "
            "their proj:shape, proj:transform and lists of bands."
        ) from error


def _load_grid(groups: Sequence[Group], bands: Sequence[str], geobox: GeoBox, side: int) -> xr.Dataset:
    """Read some bands of all groups on one grid; nothing is read yet."""
    import odc.stac
    import rasterio

    items = [item for each in groups for item in each.items]
    # A number for each item, ascending in time: odc-stac sorts by it, so its times come in the order of the groups.
    places = [place for place, each in enumerate(groups) for _ in each.items]
    sources = [sources_of(item, bands) for item in items]
    if any(each != sources[0] for each in sources):
        raise CatalogError(
            "the items call their assets by different names, or order the bands in them differently, so they come from "
            "several catalogs. Load those of each by themselves, and join them with xr.concat(..., 'time')."
        )
    names = {band: source.name for band, source in sources[0].items()}
    sign = signer(item.assets[source.asset].href for item in items for source in sources[0].values())
    # What the user has set counts; the rest goes into the graph with the addresses, so workers have it too.
    options = {key: value for key, value in _HTTP.items() if key not in os.environ}
    with rasterio.Env(**options), _reading(items):
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
