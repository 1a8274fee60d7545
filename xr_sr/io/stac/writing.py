"""Write a STAC Item for a Zarr or a GeoTIFF that this package wrote.

An Item must not pass off what a model made as what a sensor saw: it says so in words, and its `gsd` is the sensor's.
Fields are written as dictionaries: pystac has no class for the extension processing, and
rio-stac (0.12) describes a Zarr store of several bands as 512 x 512 pixels, whatever its size (findings/).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
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
from ...spec import BEFORE_ATTR, MODEL_ATTR, NOTE, SOURCE_ITEMS, SOURCE_LINKS, WeightsFile
from .stored import PROJECTION, Stored, StoredBand, outline, projection_fields, read_stored

if TYPE_CHECKING:
    from pystac import Item

SourceItem: TypeAlias = "Item | str"
"""What a result was made of: an Item, or the address of one."""

RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"
EO = "https://stac-extensions.github.io/eo/v1.1.0/schema.json"
MLM = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
XARRAY_ASSETS = "https://stac-extensions.github.io/xarray-assets/v1.0.0/schema.json"

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
        _properties(stored, spec, license),
        start_datetime=_moment(stamps[0]) if several else None,
        end_datetime=_moment(stamps[-1]) if several else None,
        stac_extensions=_extensions(stored, spec),
    )
    _add_sources(item, stored, sources)
    item.set_self_href(str(target.absolute()))
    item.add_asset(ASSET, _asset(text, stored))
    for number, file in enumerate(spec.files if spec else ()):
        item.add_asset("model" if not number else f"model-{number + 1}", _weights_asset(file))
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


def _properties(stored: Stored, spec: Model | None, license: str | None) -> dict[str, Any]:
    """Write the properties of the Item: place, sensor, what was done, by which model."""
    size = pixel_size_m(stored.geobox)
    pixel_m = round(math.sqrt(size[0] * size[1]), 3) if size else None
    model, source_m = stored.attrs.get(MODEL_ATTR), stored.attrs.get("xr_sr:source_gsd_m")
    facts: dict[str, Any] = {
        **projection_fields(stored.geobox),
        "bands": [{"name": each.name} for each in stored.bands],
    }
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
    return {**facts, **(_model_fields(spec, stored) if spec else {})}


def _model_fields(spec: Model, stored: Stored) -> dict[str, Any]:
    """Describe a network as the extension mlm wants it."""

    def structure(bands: Iterable[str]) -> dict[str, Any]:
        return {
            "shape": [-1, len(list(bands)), -1, -1],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        }

    given = spec.bands_out or spec.bands
    result = {"name": "SR", "tasks": ["super-resolution"], "bands": list(given), "result": structure(given)}
    return {
        "mlm:name": spec.name,
        "mlm:architecture": _architecture(spec).rpartition(":")[2],
        "mlm:framework": "PyTorch",
        "mlm:tasks": ["super-resolution"],
        "mlm:pretrained": True,
        "mlm:input": [{"name": "LR, reflectance", "bands": list(spec.bands), "input": structure(spec.bands)}],
        "mlm:output": [result],
        "mlm:hyperparameters": {
            "scale": spec.scale,
            "constraint": str(stored.attrs.get("xr_sr:constraint", "")),
            "weights_sha256": str(stored.attrs.get("xr_sr:weights_sha256", "")),
        },
    }


def _architecture(model: Model) -> str:
    """Return the architecture of a network, or of the first of a cascade."""
    networks = (model,) if isinstance(model, Network) else tuple(part for _, part in model.parts)
    return networks[0].architecture


def _spec_of(stored: Stored) -> Model | None:
    """Find the network that made something; None for interpolation, and for a model that is not known here.

    A result of other weights than the catalog's is not a result of that model, so the Item does not describe it.
    """
    try:
        spec = registry.get(str(stored.attrs.get(MODEL_ATTR, "")))
    except UnknownModelError:
        return None
    hashes = str(stored.attrs.get("xr_sr:weights_sha256", "")).split()
    same = bool(hashes) and set(hashes) <= {file.sha256 for file in spec.files}
    return spec if same and spec.bands else None


def _extensions(stored: Stored, spec: Model | None) -> list[str]:
    classes = any(each.classes for each in stored.bands)
    return [
        PROJECTION,
        RASTER,
        EO,
        PROCESSING,
        *([MLM] if spec else []),
        *([CLASSIFICATION] if classes else []),
        *([XARRAY_ASSETS] if stored.kind == "zarr" else []),
    ]


def _asset(place: str, stored: Stored) -> Any:
    """Describe the file itself."""
    from pystac import Asset

    size = pixel_size_m(stored.geobox)
    fields: dict[str, Any] = {
        **projection_fields(stored.geobox),
        "bands": [{"name": each.name} for each in stored.bands],
        "eo:bands": [_eo_band(each) for each in stored.bands],
        "raster:bands": [_raster_band(each, size) for each in stored.bands],
    }
    if classes := next((each.classes for each in stored.bands if each.classes), None):
        fields["classification:classes"] = [{"value": value, "name": word} for word, value in classes.items()]
    if stored.kind == "zarr":
        kwargs = {"engine": "zarr", "chunks": {}, "decode_coords": "all", "zarr_format": stored.zarr_format}
        fields["xarray:open_kwargs"] = kwargs
    kind = COG_TYPE if stored.kind == "cog" else f"application/vnd.zarr; version={stored.zarr_format}"
    href = place if "://" in place or "::" in place else str(Path(place).absolute())
    return Asset(href, media_type=kind, roles=["data"], extra_fields=fields)


def _raster_band(band: StoredBand, size: tuple[float, float] | None) -> dict[str, Any]:
    known = band.dtype.startswith(("int", "uint", "float"))
    facts: dict[str, Any] = {"name": band.name, "data_type": band.dtype if known else "other", "sampling": "area"}
    if band.nodata is not None:
        facts["nodata"] = "nan" if math.isnan(band.nodata) else band.nodata
    if band.scale is not None:
        facts |= {"scale": band.scale, "offset": 0.0}
    if size is not None:
        facts["spatial_resolution"] = round(math.sqrt(size[0] * size[1]), 3)
    return facts


def _eo_band(band: StoredBand) -> dict[str, Any]:
    known = find_band(band.name)
    return {"name": band.name} | ({} if known is None else {"center_wavelength": known.wavelength_nm / 1000})


def _weights_asset(file: WeightsFile) -> Any:
    """Describe a file of weights; one inside the package by its package URL (purl), which names no server."""
    from pystac import Asset

    inside = f"pkg:pypi/xr-sr@{__version__}#xr_sr/catalog/{file.path}"
    href = {"hub": f"{hub_url()}/{file.path}", "package": inside, "user": file.path}[file.home]
    kind = "safetensors.torch.save_file" if Path(file.path).suffix.startswith(".safetensor") else "torch.save"
    fields = {"mlm:artifact_type": kind}
    return Asset(href, media_type="application/octet-stream", roles=["mlm:model"], extra_fields=fields)


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
