"""Write a STAC Item for a Zarr or a GeoTIFF that this package wrote.

An Item must not pass off what a model made as what a sensor saw: it says so in words, and its `gsd` is the sensor's.
Fields of the extension processing, of which pystac has no class, are written as dictionaries.
rio-stac (0.12) describes a Zarr store of several bands as 512 x 512 pixels, whatever its size (findings/).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..._version import __version__
from ...arguments import check_flag, check_path, renamed, shown
from ...bands import find_band
from ...catalog import registry
from ...catalog.fetch import hub_url
from ...catalog.models import Model, Network
from ...cube.grid import pixel_size_m
from ...cube.time import read_date
from ...errors import OptionError, StoreError, UnknownModelError
from ...runtime.files import write_whole
from ...spec import BEFORE_ATTR, MODEL_ATTR, NOTE, SOURCE_ITEMS, SOURCE_LINKS, WEIGHTS_ATTR
from .stored import Stored, StoredBand, add_projection, outline, read_stored

if TYPE_CHECKING:
    from pystac import Item
    from pystac.extensions.raster import RasterBand

SourceItem: TypeAlias = "Item | str"
"""What a result was made of: an Item, or the address of one."""

PROCESSING = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
ASSET = "data"
"""The key of the asset that holds the pixels."""

_NOT_TOLD = ("xr_sr:note", "xr_sr:store", *(f"{start}{name}" for start in ("xr_sr:", BEFORE_ATTR)
             for name in (SOURCE_ITEMS, SOURCE_LINKS)))  # fmt: skip


@renamed(licence="license")
def to_stac(
    place: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    sources: Iterable[SourceItem] = (),
    datetime: str | np.datetime64 | None = None,
    license: str | None = None,
    overwrite: bool = False,
) -> Item:
    """Write a STAC Item for a Zarr or a Cloud-Optimized GeoTIFF that `to_zarr` or `to_cog` wrote.

    place: path or URL of what was written. path: of the JSON file; by default beside `place`, out.zarr and out.json.
    name: of the Item; by default that of the file. sources: Items, or addresses of Items, that the pixels were made
        of; cubes of `load` note them, so that they need not be given. datetime: where the file does not say its date,
        UTC. license: an SPDX name, or "other". overwrite: replace a JSON file that is there.

    The Item has the extensions projection, raster, eo, processing (the version of this package, what was done), for
    networks mlm (name, architecture, bands, files of weights), for maps of classes classification, and links
    `derived_from`. What a model made says "super-resolved, not observed"; `gsd` is then the ground size of the source's
    pixels, since that is what the sensor resolved, and the size of these pixels is `spatial_resolution` in
    `raster:bands`. A Zarr of several dates is one Item from the first to the last.

    Returns the pystac Item. A GeoTIFF opens again by `odc.stac.load([item])` (numbers as stored: times `scale`), a Zarr
    by `xr_sr.open_zarr(href)` or `xarray.open_dataset(href, **asset.extra_fields["xarray:open_kwargs"])`.
    Reads no pixel. Raises StoreError for what is neither, for a JSON file that is there, and without CRS; OptionError
    without a date or a local place for the file.
    """
    from pystac import Item

    check_flag("overwrite", overwrite)
    if not isinstance(place, str | os.PathLike):
        raise StoreError(f"place={shown(place)}: expected the path or URL of what to_zarr or to_cog wrote.")
    text = os.fspath(place).rstrip("/")
    target = _target(text, path)
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists; pass overwrite=True to replace it.")
    stored = read_stored(text)
    stamps = stored.stamps if datetime is None else (read_date(datetime, argument=f"datetime={datetime!r}"),)
    if not stamps:
        raise OptionError(f"{text} does not say its date: pass datetime='2023-06-15T10:00:00Z'.")
    geometry, bbox = outline(stored.geobox)
    spec = _spec_of(stored)
    several = stamps[0] != stamps[-1]
    item = Item(
        name or Path(text).stem,
        geometry,
        bbox,
        None if several else _moment(stamps[0]),
        _properties(stored, license),
        start_datetime=_moment(stamps[0]) if several else None,
        end_datetime=_moment(stamps[-1]) if several else None,
        stac_extensions=[PROCESSING],
    )
    item.set_self_href(str(target.absolute()))
    item.ext.add("proj")
    add_projection(item, stored.geobox)
    _add_sources(item, stored, sources)
    _add_pixels(item, text, stored)
    if spec is not None:
        _add_model(item, spec, stored)
    item.make_asset_hrefs_relative()
    text = json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=2, allow_nan=False) + "\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, lambda part: part.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}.") from error
    return item


def _target(place: str, path: str | os.PathLike[str] | None) -> Path:
    if path is not None:
        return check_path("path", path, StoreError)
    if "://" in place or "::" in place:
        raise OptionError(f"{place} is a URL: say where the Item goes, path='item.json'.")
    if not Path(place).name:
        raise StoreError(f"place={place!r}: expected the path or URL of what to_zarr or to_cog wrote.")
    return check_path("place", place, StoreError).with_suffix(".json")


def _properties(stored: Stored, license: str | None) -> dict[str, Any]:
    """Write the properties of the Item: sensor, what was done, by which model."""
    size = pixel_size_m(stored.geobox)
    pixel_m = round(math.sqrt(size[0] * size[1]), 3) if size else None
    model, source_m = stored.attrs.get(MODEL_ATTR), stored.attrs.get("xr_sr:source_gsd_m")
    facts: dict[str, Any] = {"bands": [{"name": each.name} for each in stored.bands]}
    gsd = float(source_m) if model and source_m else pixel_m
    if gsd is not None:
        facts["gsd"] = gsd
    facts["processing:software"] = {"xr_sr": str(stored.attrs.get("xr_sr:version", __version__))}
    if license is not None:
        facts["license"] = license
    if model:
        lineage = f"{NOTE.capitalize()}: made by {model} from pixels of {source_m or 'unknown size'} m."
        facts["title"] = f"Sentinel-2, {NOTE}"
        facts["description"] = f"{lineage} Detail beyond the sensor is an estimate."
        facts["processing:lineage"] = f"{lineage} {stored.attrs.get('xr_sr:radiometry', '')}".strip()
        facts["xr_sr:note"] = NOTE
    facts |= {key: value for key, value in stored.attrs.items() if key not in _NOT_TOLD}
    if stored.items:
        facts["xr_sr:source_items"] = list(stored.items)
    return facts


def _add_model(item: Item, spec: Model, stored: Stored) -> None:
    """Describe a network and its files of weights by the extension mlm."""
    from pystac import Asset
    from pystac.extensions import mlm, raster

    def structure(bands: Sequence[str]) -> tuple[list[int], list[str], raster.DataType]:
        return [-1, len(bands), -1, -1], ["batch", "bands", "height", "width"], raster.DataType.FLOAT32

    tasks, given = [mlm.TaskType.SUPER_RESOLUTION], spec.bands_out or spec.bands
    output = mlm.ModelOutput({"bands": list(given)})
    output.apply("SR", tasks, mlm.ResultStructure.create(*structure(given)))
    item.ext.add("mlm")
    item.ext.mlm.apply(
        spec.name,
        _architecture(spec).rpartition(":")[2],
        tasks,
        [mlm.ModelInput.create("LR, reflectance", list(spec.bands), mlm.InputStructure.create(*structure(spec.bands)))],
        [output],
        framework="PyTorch",
        pretrained=True,
        hyperparameters=mlm.Hyperparameters.create(
            scale=spec.scale,
            constraint=str(stored.attrs.get("xr_sr:constraint", "")),
            weights_sha256=str(stored.attrs.get(WEIGHTS_ATTR, "")),
        ),
    )
    for number, file in enumerate(spec.files):
        # One inside the package by its package URL (purl), which names no server.
        inside = f"pkg:pypi/xr-sr@{__version__}#xr_sr/catalog/{file.path}"
        href = {"hub": f"{hub_url()}/{file.path}", "package": inside, "authors": file.path, "user": file.path}[
            file.home
        ]
        asset = Asset(href, media_type="application/octet-stream", roles=["mlm:model"])
        item.add_asset("model" if not number else f"model-{number + 1}", asset)
        safe = Path(file.path).suffix.startswith(".safetensor")
        mlm.AssetGeneralMLMExtension.ext(asset).apply("safetensors.torch.save_file" if safe else "torch.save")


def _architecture(model: Model) -> str:
    """Return the architecture of a network, or of the first of a cascade."""
    networks = (model,) if isinstance(model, Network) else tuple(part for _, part in model.parts)
    return networks[0].architecture


def _spec_of(stored: Stored) -> Model | None:
    """Find the network that made something; None for interpolation, and for a model that is not known here.

    A result of other weights than the catalog's is not a result of that model, so the Item does not describe it.
    """
    sha256 = str(stored.attrs.get(WEIGHTS_ATTR, ""))
    try:
        spec = registry.get(registry.name_now(str(stored.attrs.get(MODEL_ATTR, "")), sha256))
    except UnknownModelError:
        return None
    hashes = sha256.split()
    same = bool(hashes) and set(hashes) <= {file.sha256 for file in spec.files}
    return spec if same and spec.bands else None


def _add_pixels(item: Item, place: str, stored: Stored) -> None:
    """Describe the file itself."""
    from pystac import Asset
    from pystac.extensions.classification import Classification
    from pystac.extensions.eo import Band
    from pystac.extensions.xarray_assets import AssetXarrayAssetsExtension

    kind = COG_TYPE if stored.kind == "cog" else f"application/vnd.zarr; version={stored.zarr_format}"
    href = place if "://" in place or "::" in place else str(Path(place).absolute())
    asset = Asset(href, media_type=kind, roles=["data"])
    asset.extra_fields["bands"] = [{"name": each.name} for each in stored.bands]
    item.add_asset(ASSET, asset)
    add_projection(asset, stored.geobox)
    size = pixel_size_m(stored.geobox)
    asset.ext.add("raster")
    asset.ext.raster.apply([_raster_band(each, size) for each in stored.bands])
    found = [(each.name, find_band(each.name)) for each in stored.bands]
    asset.ext.add("eo")
    asset.ext.eo.apply(
        [Band.create(name, center_wavelength=band.wavelength_nm / 1000 if band else None) for name, band in found]
    )
    if classes := next((each.classes for each in stored.bands if each.classes), None):
        asset.ext.add("classification")
        asset.ext.classification.apply([Classification.create(value, name=word) for word, value in classes.items()])
    if stored.kind == "zarr":
        asset.ext.add("xarray")
        kwargs = {"engine": "zarr", "chunks": {}, "decode_coords": "all", "zarr_format": stored.zarr_format}
        AssetXarrayAssetsExtension(asset).open_kwargs = kwargs


def _raster_band(band: StoredBand, size: tuple[float, float] | None) -> RasterBand:
    from pystac.extensions import raster

    known = band.dtype.startswith(("int", "uint", "float"))
    made = raster.RasterBand({"name": band.name})
    made.apply(
        nodata=raster.NoDataStrings.NAN if band.nodata is not None and math.isnan(band.nodata) else band.nodata,
        sampling=raster.Sampling.AREA,
        data_type=raster.DataType(band.dtype) if known else raster.DataType.OTHER,
        spatial_resolution=None if size is None else round(math.sqrt(size[0] * size[1]), 3),
        scale=band.scale,
        offset=None if band.scale is None else 0.0,
    )
    return made


def _add_sources(item: Item, stored: Stored, sources: Iterable[SourceItem]) -> None:
    """Link the source Items; one without a known address is listed by name only."""
    from pystac import Link, RelType

    names = list(stored.items)
    hrefs = list(stored.links)
    for source in sources:
        if isinstance(source, str):
            hrefs.append(source)
            continue
        names.append(source.id)
        if href := source.get_self_href():
            hrefs.append(href)
    if names:
        item.properties["xr_sr:source_items"] = list(dict.fromkeys(names))
    for href in dict.fromkeys(hrefs):
        item.add_link(Link(RelType.DERIVED_FROM, href, media_type="application/geo+json"))


def _moment(stamp: np.datetime64) -> datetime:
    microseconds = int(stamp.astype("datetime64[us]").astype("int64"))
    whole = datetime.fromtimestamp(microseconds // 1_000_000, tz=UTC)
    return whole.replace(microsecond=microseconds % 1_000_000)
