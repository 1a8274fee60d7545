"""What STAC items say of themselves: baseline, offset, CRS, and which asset is which band."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..bands import BANDS, find_band, is_scl, stated_gsd_m
from ..cube import warn_caller
from ..errors import MissingBandError, RadiometryError, RadiometryWarning
from ..naming import listed
from ..product_metadata import (
    BASELINES,
    FLAGS,
    PRODUCTS,
    offset_of_baseline,
    plain_name,
    read_baseline,
    read_flag,
    read_product,
)

if TYPE_CHECKING:
    from pystac import Asset, Item

T = TypeVar("T")

SCL = "SCL"
SCL_GSD_M = 20.0

_GSD_M = {band.name: band.gsd_m for band in BANDS} | {SCL: SCL_GSD_M}


@dataclass(frozen=True)
class Meaning:
    """What the DN of an item mean: reflectance = (DN + offset) / 10000.

    offset: in DN. baseline: NaN where it is unknown. how: what told it.
    """

    offset: float
    baseline: float
    how: str


def meaning_of(item: Item, *, offset: float | None = None) -> Meaning:
    """Find the offset of an item's DN; `offset` where the user says it.

    In this order: a flag `boa_offset_applied` that is true (0); the processing baseline, in the properties or in the
    name of the product (-1000 from 04.00 on, else 0); the scale and offset of the assets. Warns with a
    RadiometryWarning where baseline and assets contradict each other. Raises RadiometryError where nothing tells.
    """
    baseline = _baseline_of(item)
    if offset is not None:
        return Meaning(float(offset), float("nan") if baseline is None else baseline, "as passed")
    flags = [value for _, value in _facts_of(item, FLAGS, read_flag)]
    if True in flags:
        return Meaning(0.0, baseline if baseline is not None else float("nan"), "boa_offset_applied")
    declared = _declared_offset(item)
    if baseline is not None:
        expected = offset_of_baseline(baseline)
        if declared is not None and declared != expected:
            warn_caller(
                f"{item.id}: its processing baseline {baseline:05.2f} means an offset of {expected:g} DN, its "
                f"assets say {declared:g}. {expected:g} is taken; look at dark pixels, and pass offset= if wrong.",
                RadiometryWarning,
            )
        return Meaning(expected, baseline, "processing baseline")
    if declared is not None:
        return Meaning(declared, float("nan"), "scale and offset of the assets")
    raise RadiometryError(
        f"{item.id}: no processing baseline, no boa_offset_applied and no offset of the assets says what its DN "
        "mean. Pass offset=-1000 where the product is of baseline 04.00 or later and delivered as ESA has it, else "
        "offset=0."
    )


def assets_of(item: Item, wanted: Sequence[str]) -> dict[str, str]:
    """Find the asset of each band, by canonical name ("SCL" too), at its native resolution.

    Raises MissingBandError where an item has none.
    """
    found: dict[str, str] = {}
    for key, asset in item.assets.items():
        band = _band_of(key)
        if band is None or band not in wanted or band in found:
            continue
        if stated_gsd_m(key) in (None, _GSD_M[band]) and _holds_pixels(asset):
            found[band] = key
    if missing := [band for band in wanted if band not in found]:
        raise MissingBandError(
            f"{item.id} has no asset for {listed(missing)}; its assets are {listed(item.assets)}. Choose by bands=."
        )
    return found


def bands_in(item: Item) -> list[str]:
    """Name the bands of 10 m and 20 m that an item has, and SCL, in the sensor's order."""
    names = {_band_of(key) for key in item.assets}
    found = [band.name for band in BANDS if band.gsd_m < 60 and band.name in names]
    return [*found, SCL] if SCL in names else found


def _band_of(key: str) -> str | None:
    """Name the band that an asset's key stands for; "SCL" for the scene classification."""
    band = find_band(key)
    return SCL if is_scl(key) else None if band is None else band.name


def native_gsd_m(band: str) -> float:
    """Give the native pixel size of a band or of SCL."""
    return _GSD_M[band]


def epsg_of(item: Item) -> str | None:
    """Name the CRS of an item, "EPSG:32633"; None where it does not say."""
    code = item.properties.get("proj:code") or item.properties.get("proj:epsg")
    if code is None:
        codes = {asset.extra_fields.get("proj:code") for asset in item.assets.values()} - {None}
        code = codes.pop() if len(codes) == 1 else None
    return None if code is None else str(code) if ":" in str(code) else f"EPSG:{code}"


def _baseline_of(item: Item) -> float | None:
    """Read the processing baseline in the properties, else in the name of the product."""
    if found := _facts_of(item, BASELINES, read_baseline):
        return found[0][1]
    named = _facts_of(item, PRODUCTS, read_product)
    if product := read_product(item.id) or (named[0][1] if named else None):
        return product.baseline
    return None


def _facts_of(item: Item, names: Sequence[str], read: Callable[[object], T | None]) -> list[tuple[str, T]]:
    """Read the properties of some names, in the order of the names; those that say nothing are left out.

    Raises RadiometryError, with the item's name, where `read` refuses a value.
    """
    plain = {plain_name(key): (key, value) for key, value in item.properties.items()}
    found = []
    for name in names:
        key, value = plain.get(name, ("", None))
        try:
            fact = read(value)
        except RadiometryError as error:
            raise RadiometryError(f"{item.id}: {key!r}: {error}.") from None
        if fact is not None:
            found.append((key, fact))
    return found


def _declared_offset(item: Item) -> float | None:
    """Read the offset of the reflectance assets, in DN; None where they declare none, or different ones."""
    found = set()
    for key, asset in item.assets.items():
        if find_band(key) is None:
            continue
        fields = asset.extra_fields
        nested = fields.get("raster:bands") or fields.get("bands")
        record: Mapping[str, Any] = nested[0] if isinstance(nested, list) and nested else {}
        for holder, prefix in ((fields, "raster:"), (record, ""), (record, "raster:")):
            scale, offset = holder.get(f"{prefix}scale"), holder.get(f"{prefix}offset")
            if isinstance(scale, int | float) and isinstance(offset, int | float) and scale not in (0, 1):
                found.add(float(round(offset / scale)))
    return found.pop() if len(found) == 1 else None


def _holds_pixels(asset: Asset) -> bool:
    return str(asset.media_type or "image/").startswith("image/")
