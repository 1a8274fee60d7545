"""What STAC items say of themselves: baseline, offset, CRS."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ...cube.product_metadata import (
    BASELINES,
    FLAGS,
    PRODUCTS,
    offset_of_baseline,
    plain_name,
    read_baseline,
    read_flag,
    read_product,
)
from ...errors import RadiometryError, RadiometryWarning, warn_caller
from ...radiometry.packing import offset_in_dn, read_scaling
from .assets import reflectance_records

if TYPE_CHECKING:
    from pystac import Item

T = TypeVar("T")

QUANTIFICATION = 10_000.0
"""DN per unit of reflectance."""


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
    if offset is not None:
        with contextlib.suppress(RadiometryError):  # that the metadata are wrong is why it is passed
            known = _baseline_of(item)
            return Meaning(float(offset), float("nan") if known is None else known, "as passed")
        return Meaning(float(offset), float("nan"), "as passed")
    baseline = _baseline_of(item)
    flags = [value for _, value in _facts_of(item, FLAGS, read_flag)]
    if True in flags:
        return Meaning(0.0, baseline if baseline is not None else float("nan"), "boa_offset_applied")
    try:
        declared = _declared_offset(item)
    except RadiometryError as error:
        if baseline is None:
            raise RadiometryError(f"{item.id}: {error}") from None
        expected = offset_of_baseline(baseline)
        warn_caller(
            f"{item.id}: {error} The offset of its processing baseline {baseline:05.2f} is used, {expected:g} DN.",
            RadiometryWarning,
        )
        return Meaning(expected, baseline, "processing baseline")
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


def boa_add_offset(item: Item) -> float:
    """Return what is to be added to the DN of a STAC Item before they are divided by 10000, as `load` reads it.

    -1000 where the processing baseline is 04.00 or later and the offset is not in the pixels yet, else 0. For loaders
    that take properties along: `item.properties["boa_add_offset"] = xr_sr.stac.boa_add_offset(item)`.
    Raises RadiometryError where the item does not say; warns RadiometryWarning where it contradicts itself.
    """
    return meaning_of(item).offset


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
    """Read the offset of the reflectance assets, in DN; None where they declare none, or different ones.

    Raises RadiometryError for a scale or an offset that cannot be.
    """
    found = set()
    for record in reflectance_records(item):
        scaling = read_scaling({"bands": [record]})
        if scaling is not None and not {"offset", "raster:offset"}.isdisjoint(record):
            found.add(float(round(offset_in_dn(scaling, QUANTIFICATION))))
    return found.pop() if len(found) == 1 else None
