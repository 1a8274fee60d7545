"""What the metadata of Sentinel-2 products are called, by every producer, and how their values are read.

The one list of names for cubes (`metadata`) and STAC Items (`stac.items`). Where in a cube or Item the names stand is
not known here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from ..errors import RadiometryError

__all__ = [
    "ADD_OFFSETS",
    "BASELINES",
    "BOA_ADD_OFFSET",
    "FIRST_BASELINE_WITH_OFFSET",
    "FIRST_DAY_WITH_OFFSET",
    "FLAGS",
    "PRODUCTS",
    "Product",
    "offset_of_baseline",
    "plain_name",
    "read_baseline",
    "read_flag",
    "read_number",
    "read_product",
]

ADD_OFFSETS = ("boa_add_offset",)
"""An offset in DN itself: of `load`, and of SAFE's metadata."""

FLAGS = ("earthsearch_boa_offset_applied", "sentinel_boa_offset_applied", "boa_offset_applied")
"""Whether the offset has been added to the pixels already."""

BASELINES = (
    "s2_processing_baseline",
    "processing_baseline",
    "sentinel_processing_baseline",
    "s2_product_baseline",
    "processing_version",
)
"""The processing baseline."""

PRODUCTS = (
    "s2_product_uri",
    "product_uri",
    "sentinel_product_id",
    "product_id",
    "id",
    "earthsearch_s3_path",
    "title",
    "source",
)
"""What may hold the name of an ESA product, and so its baseline; in this order.

All names in these lists are as `plain_name` makes them.
"""

BOA_ADD_OFFSET = -1000.0
"""In DN, from FIRST_BASELINE_WITH_OFFSET on. Source: ESA, Sentinel-2 Products Specification Document."""

FIRST_BASELINE_WITH_OFFSET = 4.0

FIRST_DAY_WITH_OFFSET = np.datetime64("2022-01-26", "D")
"""Every product sensed from this day on has a baseline with the offset; older days may have been reprocessed with it.

Baseline 04.00 came into operation on 25 January 2022.
"""

_BETWEEN = ((2.142, 2.998), (3.012, 3.998), (4.002, 4.998))
"""No baseline of ESA lies here: 02.14 was followed by 03.00, 03.01, 04.00 and 05.00. Source: Copernicus SentiWiki.

The mean of baselines without and with the offset lies here, for up to 12 items of 02.04 and later, unless it happens to
be a baseline itself, as that of 03.00 and 05.00 is.
"""

_PRODUCT = re.compile(r"S2[A-Z]_MSIL(?:1C|2A)_(\d{4})(\d{2})(\d{2})T\d{6}_N(\d{4})_R\d{3}")
_UNKNOWN = {"", "nan", "nat", "none", "null", "unknown", "n/a", "na"}


@dataclass(frozen=True)
class Product:
    """What the name of a product contains. days: of sensing, UTC; several where several products are named."""

    baseline: float
    days: frozenset[np.datetime64]


def plain_name(key: Hashable) -> str:
    """Return a name in lower case with words joined by "_": "s2_processing_baseline" for "s2:processing_baseline"."""
    return re.sub(r"[^a-z0-9]+", "_", str(key).lower()).strip("_")


def read_product(value: object) -> Product | None:
    """Find names of ESA products, such as "S2A_MSIL2A_20230821T221941_N0509_R029_T01KAB_...", in a text.

    None where there is none. Raises RadiometryError where products of several baselines are named.
    """
    found = _PRODUCT.findall(_text(value)) if isinstance(value, str | bytes) else []
    products = [
        (baseline, f"{year}-{month}-{day}")
        for year, month, day, digits in found
        if (baseline := read_baseline(digits)) is not None
    ]
    if not products:
        return None
    baselines = {baseline for baseline, _ in products}
    if len(baselines) > 1:
        raise RadiometryError(f"it names products of different baselines, {sorted(baselines)}")
    return Product(baselines.pop(), frozenset(day for _, text in products if (day := read_day(text)) is not None))


def read_day(value: object) -> np.datetime64 | None:
    """Read a day from a date or from a text that begins with one, "2022-07-01"; None where there is none."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[D]")
    text = _text(value)[:10] if isinstance(value, str | bytes) else str(value)[:10]
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return None
    try:
        return np.datetime64(text, "D")
    except ValueError:  # 30 February, of a calendar of 360 days
        return None


def read_baseline(value: object) -> float | None:
    """Read a processing baseline as a number: 5.09 of 5.09, "05.09", "N0509", "0509"; None where it is not known.

    99.99 is what a local run of Sen2Cor writes, whatever its version, so it means nothing.
    Raises RadiometryError for numbers in `_BETWEEN`, as the mean of baselines on both sides of 04.00 is. Other means,
    such as 5.05 of 05.00 and 05.10, pass: what is averaged there has one offset.
    """
    text = _text(value).strip().upper().removeprefix("N") if isinstance(value, str | bytes) else None
    if text is not None and not re.fullmatch(r"\d{4}|\d{2}\.\d|\d{1,2}\.\d{2}", text):
        return None  # "1.2" is the version of something else
    number = read_number(value if text is None else text)
    if number is None or not math.isfinite(number):
        return None
    number = number / 100 if number >= 100 else number
    if not 0 < number < 90:
        return None
    if text is None and any(low < number < high for low, high in _BETWEEN):
        raise RadiometryError(
            f"{number:.4g} is no processing baseline of ESA, but may be the mean of several: load items of different "
            "baselines as different dates, or pass offset="
        )
    return number


def read_flag(value: object) -> bool | None:
    """Read a flag that may have been stored as a number or as text; None where it is not known.

    Raises RadiometryError for what is neither true nor false, such as 0.5, the mean of a flag over two items.
    """
    if isinstance(value, str | bytes):
        text = _text(value).strip().lower()
        if text in _UNKNOWN:
            return None
        known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
        if text in known:
            return known[text]
    else:
        number = read_number(value)
        if number is None or math.isnan(number):
            return None
        if number in (0, 1):
            return number == 1
    raise RadiometryError(
        f"{value!r} is neither true nor false; a fraction is the mean of the flags of several items: load items "
        "with different flags as different dates, or pass offset="
    )


def read_number(value: object) -> float | None:
    """Read one number; None where it is none."""
    try:
        return float(np.asarray(value).reshape(()).item()) if value is not None else None
    except (TypeError, ValueError):
        return None


def offset_of_baseline(baseline: float) -> float:
    """Return the offset in DN that a processing baseline means."""
    return BOA_ADD_OFFSET if baseline >= FIRST_BASELINE_WITH_OFFSET else 0.0


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
