"""Layers of a page: cubes, maps of classes and maps of one quantity, read for one frame and coloured in eight bits.

Knows colours and what they mean; the page decides how layers are stacked.
"""

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
from ..analytics.classes import as_water, classes_of
from ..analytics.indices import NAME_ATTR
from ..cube.grid import geobox_of, spatial_dims
from ..cube.select import AnyCube, Cube
from ..cube.time import Date
from ..errors import CubeError
from ..optional import require
from .figure import Stretch, coloured
from .maps import CLASS_TITLES, COLOURS, at_date, parts_of, when_of
from .views import Frame, Pixels, Placed, see

Legend = dict[str, Any]
"""As JSON. kind "bands": text; "classes": text, the dates, and entries, each a colour and a label; "ramp": label, low,
high, colours."""

_OTHERS = ("#56B4E9", "#CC79A7", "#000000", "#D55E00", "#009E73", "#F0E442", "#0072B2", "#E69F00")
"""Okabe and Ito's colours again, for classes that are not ours."""

_SIGNED = ("anomaly", "standardised")
_GROUND = ("dry", "background")
_NOWHERE = 255
"""Of the palette of a quantity: transparent."""


@dataclass(frozen=True, eq=False)
class PageLayer:
    """A picture of the frame in its own pixels, as PNG, and what its colours mean.

    date: of acquisition, "2023-07-01", "" without. is_map: it can lie over others. ground: the colour of what is
    transparent in a map that lies over nothing.
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

    areas: hectares by class, where they are known. when: its date, of a flood also those before; "" without.
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
        """Whether its numbers are classes."""
        return "flag_meanings" in self.array.attrs

    @property
    def quantity(self) -> str:
        """What is mapped; sheets of one quantity share their colours."""
        attrs = self.array.attrs
        return str(attrs.get("long_name") if self.array.name in _SIGNED else attrs.get(NAME_ATTR, self.array.name))

    def read(self, frame: Frame, finest: Placed) -> npt.NDArray[Any]:
        """Compute the numbers of a frame, (y, x)."""
        factor = self.factor(finest)
        top, _, left, _ = self.extent(finest)
        dims = spatial_dims(self.array)
        assert dims is not None
        rows = slice((frame[0] - top) // factor, (frame[1] - top) // factor)
        columns = slice((frame[2] - left) // factor, (frame[3] - left) // factor)
        values: npt.NDArray[Any] = self.array.transpose(*dims).isel({dims[0]: rows, dims[1]: columns}).values
        return values


def cube_or_none(obj: Any) -> Cube | None:
    """Recognise a cube of bands; None for a map of classes or of one quantity. Raises CubeError for what is neither."""
    if isinstance(obj, xr.DataArray) and ("flag_meanings" in obj.attrs or NAME_ATTR in obj.attrs):
        return None
    try:
        return see(obj)
    except CubeError:
        if _is_map(obj):
            return None
        raise


def _is_map(obj: Any) -> bool:
    if isinstance(obj, xr.Dataset):
        try:
            parts_of(obj)
        except CubeError:
            return False
        return True
    return isinstance(obj, xr.DataArray) and spatial_dims(obj) is not None and obj.ndim <= 3


def sheet_of(name: str, obj: AnyCube, date: Date) -> Sheet:
    """Make a sheet of a map at the date nearest to one. name: "" for the map's own."""
    areas: xr.DataArray | None = None
    if isinstance(obj, xr.DataArray) and obj.dtype.kind == "b":
        array = as_water(obj, role=name)
    elif isinstance(obj, xr.Dataset) or "flag_meanings" in obj.attrs:
        assert not isinstance(obj, xr.DataTree)
        array, areas = parts_of(obj)
    else:
        assert isinstance(obj, xr.DataArray)
        array = obj if obj.dtype.kind == "f" else as_water(obj, role=name)
    dims = spatial_dims(array)
    assert dims is not None
    array, areas, stamp = at_date(array, areas, dims, date)
    known = {} if areas is None else dict(zip(areas["state"].values.tolist(), areas.values.tolist(), strict=True))
    title = name or str(array.name or array.attrs.get("long_name", "map"))
    return Sheet(title, array, known, when_of(array, stamp), stamp)


def stamps_of(obj: AnyCube) -> npt.NDArray[np.datetime64]:
    """Return the dates of a map; none where it tells none."""
    assert not isinstance(obj, xr.DataTree)
    found = [coord for name, coord in obj.coords.items() if coord.dtype.kind == "M" and coord.dims in ((name,), ())]
    return np.atleast_1d(found[0].values).astype("datetime64[ns]") if found else np.empty(0, "datetime64[ns]")


def dates_before(obj: AnyCube) -> list[str]:
    """Return the dates before a flood that its map names; [] for other maps."""
    arrays = () if isinstance(obj, xr.DataArray | xr.DataTree) else obj.data_vars.values()
    told = " ".join(str(holder.attrs.get("xr_sr:before", "")) for holder in (obj, *arrays))
    return re.findall(r"\d{4}-\d\d-\d\d", told)


def picture_layer(name: str, image: Pixels, stretch: Stretch, note: str, *, flip: bool, date: str = "") -> PageLayer:
    """Colour reflectance (y, x, band) by a stretch; what was not measured is transparent."""
    eight = np.round(coloured(image, stretch) * 255).astype("uint8")
    if (eight[..., 3] == 255).all():
        eight = eight[..., :3]
        if image.shape[-1] == 1:
            eight = eight[..., 0]
    return PageLayer(name, _png(eight[::-1] if flip else eight), image.shape[:2], {"kind": "bands", "text": note}, date)


def class_layer(sheet: Sheet, name: str, values: npt.NDArray[Any], *, flip: bool) -> PageLayer:
    """Colour classes; the legend names those that are there, with the hectares of the whole map where known.

    Dry ground is transparent, so that what lies below the map is seen there.
    """
    meaning = classes_of(sheet.array.attrs)
    names, codes = list(meaning), list(meaning.values())
    spare = iter(_OTHERS * len(names))
    colours = [COLOURS[each] if each in COLOURS else next(spare) for each in names]
    places = np.full(values.shape, len(names), "uint8")
    for place, code in enumerate(codes):
        places[values == code] = place
    palette = _bytes_of([*colours, COLOURS["unknown"]])
    seen_through = bytes(0 if each in _GROUND else 255 for each in [*names, ""])
    entries = []
    for place, each in enumerate(names):
        if (places == place).any() or sheet.areas.get(each):
            label = CLASS_TITLES.get(each, each.replace("_", " "))
            area = f", {area_text(sheet.areas[each])}" if each in sheet.areas else ""
            entries.append({"colour": colours[place], "label": label + area})
    legend = {"kind": "classes", "text": sheet.when, "entries": entries}
    png = _png(places[::-1] if flip else places, palette, seen_through)
    return PageLayer(name, png, values.shape, legend, sheet.date, True, COLOURS["dry"])


def quantity_limits(
    quantity: str, together: Sequence[npt.NDArray[Any]], percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Return the values of the first and the last colour, for all maps of a quantity."""
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
    """Colour a quantity from dark to light; one with a sign from red over white to blue, as far to either side."""
    colormaps: Any = require("matplotlib", extra="viz").colormaps
    signed = sheet.array.name in _SIGNED
    low, high = (-max(map(abs, limits)), max(map(abs, limits))) if signed else limits
    ramp = colormaps["RdBu" if signed else "viridis"](np.linspace(0, 1, _NOWHERE))[:, :3]
    with np.errstate(invalid="ignore"):
        places = np.clip((values - low) / (high - low), 0, 1) * (_NOWHERE - 1)
    eight = np.where(np.isfinite(places), np.round(np.nan_to_num(places)), _NOWHERE).astype("uint8")
    colours = ["#" + "".join(f"{round(255 * part):02x}" for part in ramp[place]) for place in range(0, _NOWHERE, 16)]
    units = str(sheet.array.attrs.get("units", "1"))
    text = sheet.quantity + ("" if units in ("1", "") else f", {units}")
    legend = {"kind": "ramp", "label": text, "low": _number(low), "high": _number(high), "colours": colours}
    palette = bytes(np.round(ramp * 255).astype("uint8").ravel()) + bytes(3)
    png = _png(eight[::-1] if flip else eight, palette, _NOWHERE)
    return PageLayer(name, png, values.shape, legend, sheet.date, True)


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _bytes_of(colours: Sequence[str]) -> bytes:
    return b"".join(bytes.fromhex(colour.removeprefix("#")) for colour in colours)


def _png(values: npt.NDArray[np.uint8], palette: bytes | None = None, alpha: bytes | int | None = None) -> bytes:
    """Write an image without loss. palette: red, green and blue of each number; alpha: of each, or the one without."""
    image = require("PIL.Image", extra="viz").fromarray(np.ascontiguousarray(values))
    if palette is not None:
        image.putpalette(palette)
    buffer = io.BytesIO()
    options = {} if alpha is None else {"transparency": alpha}
    image.save(buffer, format="png", optimize=True, **options)
    return buffer.getvalue()
