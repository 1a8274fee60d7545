"""Make the layers of a page: cubes, maps of classes and of quantities, read for one frame and encoded as PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from ..analytics.area import area_text
from ..analytics.classes import CLASS_COLORS, as_water, classes_of
from ..analytics.indices import NAME_ATTR
from ..cube.grid import geobox_of, spatial_dims
from ..cube.select import AnyCube, Cube, recognize
from ..cube.time import Date
from ..errors import CubeError
from ..optional import require
from .figure import Stretch, colored
from .maps import at_date, class_title, map_areas, map_in, when_of
from .views import Frame, ImageArray, Placed

Legend = dict[str, Any]
"""JSON. kind "bands": text; "classes": text (dates) and entries (color, label); "ramp": label, low, high, colors."""

_OTHERS = ("#56B4E9", "#CC79A7", "#000000", "#D55E00", "#009E73", "#F0E442", "#0072B2", "#E69F00")
"""Colors of Okabe and Ito for other classes."""

_SIGNED = ("anomaly", "standardised")
_GROUND = ("dry", "background")
_NOWHERE = 255
"""Transparent entry in the palette of a quantity."""


@dataclass(frozen=True, eq=False)
class PageLayer:
    """An image of the frame in its own pixels, as PNG, with its legend.

    date: of acquisition, "2023-07-01", "" without. is_map: it can be drawn over others. ground: color of transparent
    pixels of a map that is drawn over nothing.
    """

    name: str
    png: bytes
    shape: tuple[int, int]
    legend: Legend
    date: str = ""
    is_map: bool = False
    ground: str = ""


@dataclass(frozen=True, eq=False)
class Sheet(Placed):
    """A map (y, x) of classes or of one quantity, of one date.

    areas: hectares by class, of the whole map, or {}. when: its date, for a flood with the dates before; "" without.
    date: "2023-07-01", "" without.
    """

    role: str
    array: xr.DataArray
    areas: Mapping[str, float]
    when: str = ""
    date: str = ""

    @property
    def geobox(self) -> GeoBox:
        """The grid of the map."""
        found = geobox_of(self.array)
        assert found is not None
        return found

    @property
    def has_classes(self) -> bool:
        """Whether the values are classes."""
        return "flag_meanings" in self.array.attrs

    @property
    def quantity(self) -> str:
        """The name of the quantity; maps of one quantity share their colors."""
        attrs = self.array.attrs
        return str(attrs.get("long_name") if self.array.name in _SIGNED else attrs.get(NAME_ATTR, self.array.name))

    def read(self, frame: Frame, finest: Placed) -> npt.NDArray[Any]:
        """Compute the values of a frame, (y, x)."""
        rows, columns = self.window(frame, finest)
        dims = spatial_dims(self.array)
        assert dims is not None
        values: npt.NDArray[Any] = self.array.transpose(*dims).isel({dims[0]: rows, dims[1]: columns}).values
        return values


def cube_or_none(obj: Any) -> Cube | None:
    """Return a cube of bands; None for a map of classes or of a quantity. Raises CubeError for other inputs."""
    if isinstance(obj, xr.DataArray) and ("flag_meanings" in obj.attrs or NAME_ATTR in obj.attrs):
        return None
    try:
        return recognize(obj)
    except CubeError:
        if _is_map(obj):
            return None
        raise


def _is_map(obj: Any) -> bool:
    if isinstance(obj, xr.Dataset):
        try:
            map_in(obj)
        except CubeError:
            return False
        return True
    return isinstance(obj, xr.DataArray) and spatial_dims(obj) is not None and obj.ndim <= 3


def sheet_of(name: str, obj: AnyCube, date: Date) -> Sheet:
    """Return a map at the date nearest to `date`. name: "" for the name of the map."""
    if isinstance(obj, xr.DataArray) and obj.dtype.kind == "b":
        array = as_water(obj, role=name)
    elif isinstance(obj, xr.Dataset) or "flag_meanings" in obj.attrs:
        assert not isinstance(obj, xr.DataTree)
        array = map_in(obj)
    else:
        assert isinstance(obj, xr.DataArray)
        array = obj if obj.dtype.kind == "f" else as_water(obj, role=name)
    dims = spatial_dims(array)
    assert dims is not None
    array, stamp = at_date(array, dims, date)
    known = map_areas(array) if isinstance(obj, xr.Dataset) else {}
    title = name or str(array.name or array.attrs.get("long_name", "map"))
    return Sheet(title, array, known, when_of(array, stamp), stamp)


def stamps_of(obj: AnyCube) -> npt.NDArray[np.datetime64]:
    """Return the dates of a map; an empty array without."""
    assert not isinstance(obj, xr.DataTree)
    found = [coord for name, coord in obj.coords.items() if coord.dtype.kind == "M" and coord.dims in ((name,), ())]
    return np.atleast_1d(found[0].values).astype("datetime64[ns]") if found else np.empty(0, "datetime64[ns]")


def dates_before(obj: AnyCube) -> list[str]:
    """Return the dates before a flood that its map lists; [] for other maps."""
    arrays = () if isinstance(obj, xr.DataArray | xr.DataTree) else obj.data_vars.values()
    text = " ".join(str(holder.attrs.get("xr_sr:before", "")) for holder in (obj, *arrays))
    return re.findall(r"\d{4}-\d\d-\d\d", text)


def picture_layer(
    name: str, image: ImageArray, stretch: Stretch, note: str, *, flip: bool, date: str = ""
) -> PageLayer:
    """Color reflectance (y, x, band) by a stretch; nodata is transparent."""
    eight = np.round(colored(image, stretch) * 255).astype("uint8")
    if (eight[..., 3] == 255).all():
        eight = eight[..., :3]
        if image.shape[-1] == 1:
            eight = eight[..., 0]
    png = _png(eight[::-1] if flip else eight)
    return PageLayer(name, png, image.shape[:2], {"kind": "bands", "text": note}, date)


def class_layer(sheet: Sheet, name: str, values: npt.NDArray[Any], *, flip: bool) -> PageLayer:
    """Color classes, dry land transparent. The legend has the classes that occur, with the hectares of the map."""
    meaning = classes_of(sheet.array.attrs)
    names, codes = list(meaning), list(meaning.values())
    spare = iter(_OTHERS * len(names))
    colors = [CLASS_COLORS[each] if each in CLASS_COLORS else next(spare) for each in names]
    places = np.full(values.shape, len(names), "uint8")
    for place, code in enumerate(codes):
        places[values == code] = place
    palette = bytes.fromhex("".join([*colors, CLASS_COLORS["unknown"]]).replace("#", ""))
    seen_through = bytes(0 if each in _GROUND else 255 for each in [*names, ""])
    entries = []
    for place, each in enumerate(names):
        if (places == place).any() or sheet.areas.get(each):
            label = class_title(each, sheet.array.attrs, line=" ")
            area = f", {area_text(sheet.areas[each])}" if each in sheet.areas else ""
            entries.append({"color": colors[place], "label": label + area})
    legend = {"kind": "classes", "text": sheet.when, "entries": entries}
    png = _png(places[::-1] if flip else places, palette, seen_through)
    return PageLayer(name, png, values.shape, legend, sheet.date, True, CLASS_COLORS["dry"])


def quantity_limits(
    quantity: str, together: Sequence[npt.NDArray[Any]], percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Return the values of the first and the last color for all maps of a quantity."""
    if quantity == "frequency":
        return 0.0, 1.0
    values = np.concatenate([each[np.isfinite(each)] for each in together])
    if not values.size:
        raise CubeError(f"there is no valid pixel of {quantity} in the window; choose another date= or window=.")
    low, high = (float(each) for each in np.percentile(values, percentiles))
    return low, max(high, low + 1e-6)


def quantity_layer(
    sheet: Sheet, name: str, values: npt.NDArray[Any], limits: tuple[float, float], *, flip: bool
) -> PageLayer:
    """Color a quantity from dark to light; a signed one from red over white to blue, symmetrically."""
    colormaps: Any = require("matplotlib", extra="viz").colormaps
    signed = sheet.array.name in _SIGNED
    low, high = (-max(map(abs, limits)), max(map(abs, limits))) if signed else limits
    ramp = colormaps["RdBu" if signed else "viridis"](np.linspace(0, 1, _NOWHERE))[:, :3]
    with np.errstate(invalid="ignore"):
        places = np.clip((values - low) / (high - low), 0, 1) * (_NOWHERE - 1)
    eight = np.where(np.isfinite(places), np.round(np.nan_to_num(places)), _NOWHERE).astype("uint8")
    colors = ["#" + "".join(f"{round(255 * part):02x}" for part in ramp[place]) for place in range(0, _NOWHERE, 16)]
    units = str(sheet.array.attrs.get("units", "1"))
    text = sheet.quantity + ("" if units in ("1", "") else f", {units}")
    legend = {"kind": "ramp", "label": text, "low": _number(low), "high": _number(high), "colors": colors}
    palette = bytes(np.round(ramp * 255).astype("uint8").ravel()) + bytes(3)
    png = _png(eight[::-1] if flip else eight, palette, _NOWHERE)
    return PageLayer(name, png, values.shape, legend, sheet.date, True)


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _png(values: npt.NDArray[np.uint8], palette: bytes | None = None, alpha: bytes | int | None = None) -> bytes:
    """Encode an image as PNG. palette: RGB of each value; alpha: of each value, or the transparent value."""
    image = require("PIL.Image", extra="viz").fromarray(np.ascontiguousarray(values))
    if palette is not None:
        image.putpalette(palette)
    buffer = io.BytesIO()
    options = {} if alpha is None else {"transparency": alpha}
    image.save(buffer, format="png", optimize=True, **options)
    return buffer.getvalue()
