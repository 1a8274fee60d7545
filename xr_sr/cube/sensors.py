"""Detect cubes of other sensors than Sentinel-2's by platform, product and names of bands.

Landsat and HLS number their bands in another way: B05 is near infrared there, and a red edge of Sentinel-2. Reads
attributes, small coordinates and names only; a cube without such metadata is read as Sentinel-2.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..bands import BANDS
from ..conventions import plain_name
from ..errors import CubeError, MissingBandError, ResolutionError, SensorWarning, warn_caller
from .detect import AnyCube, Cube, recognize
from .grid import pixel_size_m
from .names import listed

FOR_MODELS = (
    "use upscale with model='bicubic', which takes any band, or a model of your own for this sensor, "
    "xr_sr.register_model(...)"
)
"""What else can be done where a cube of another sensor lacks bands that a model reads."""

FOR_INDICES = "choose an index of bands that are there"
"""The same for an index."""

_P = ParamSpec("_P")
_R = TypeVar("_R")

_PLATFORM_KEYS = frozenset(
    [
        "platform",
        "eo_platform",
        "constellation",
        "eo_constellation",
        "mission",
        "satellite",
        "spacecraft",
        "spacecraft_id",
        "spacecraft_name",
        "platform_name",
        "platform_id",
        "satellite_name",
    ]
)
"""Names, in lower case, words joined by "_", under which the platform stands, and nothing else."""

_OTHER_KEYS = frozenset(
    [
        "instrument",
        "instruments",
        "eo_instrument",
        "instrument_name",
        "sensor",
        "sensor_id",
        "collection",
        "collections",
        "product_id",
        "id",
        "title",
        "landsat_product_id",
        "landsat_scene_id",
        "product_uri",
        "product_name",
        "granule_id",
        "producer_granule_id",
        "scene_id",
        "product",
        "landsat_product",
        "product_type",
    ]
)
"""Names under which words of any kind stand, of which some are those of other sensors."""

_UNIT = re.compile(r"2[a-d]", re.IGNORECASE)
"""A platform by its letter alone, as in some tables of Sentinel-2."""

_SENTINEL_2 = re.compile(r"(?<![a-z0-9])(?:copernicus)?[\s_.:/-]*(?:sentinel|sen|s)[\s_.-]*2(?![0-9])", re.IGNORECASE)
_OTHERS = re.compile(
    r"landsat|(?<![a-z0-9])l[ceotm]0?[4-9](?![0-9])|(?<![a-z0-9])(?:oli|tirs|etm)(?![a-z])|hls[\s_.-]*l30|"
    r"sentinel[\s_.-]*[13456]|(?<![a-z0-9])s[13][ab](?![a-z0-9])|(?<![a-z0-9])(?:modis|viirs|olci|slstr|aster|enmap|prisma)"
    r"(?![a-z])|planet[\s_.-]?scope|skysat|rapideye|worldview|quickbird|pl[eé]iades|(?<![a-z])spot[\s_.-]?[1-7](?![0-9])|"
    r"gaofen|cbers|kompsat",
    re.IGNORECASE,
)
_NO_PLATFORM = {"", "nan", "none", "null", "nat", "unknown", "undefined", "n/a", "na", "multiple", "mixed", "various"}

_LANDSAT_NAMES = re.compile(
    r"(?:SR|ST)_B\d{1,2}(?!\d)|(?:SR|ST)_(?:QA|ATRAN|CLOUD|DRAD|EMIS|EMSD|TRAD|URAD|CDIST)|(?<![a-z])qa_(?:pixel|radsat)|"
    r"(?<![a-z])lwir(?:1[12])?(?![a-z0-9])",
    re.IGNORECASE,
)
"""Names that Landsat's products have, and none of Sentinel-2's."""

_MODIS_NAMES = re.compile(r"sur_?refl_|Nadir_Reflectance_|SurfReflect_", re.IGNORECASE)
"""Names of bands in the products of MODIS and VIIRS, where numbers are those of other wavelengths."""

_NUMBERED = re.compile(r"b0?([567])", re.IGNORECASE)
_ONLY_OURS = {"B08", "B8A", "B12"}
_LANDSAT_GSD_M = 30.0
_MOST_WORDS = 1000
_WAVELENGTHS = {band.name: band.wavelength_nm for band in BANDS}
_WIDTHS: dict[Hashable, float] = {band.name: band.gsd_m for band in BANDS}
_FINEST_M = 0.75 * min(_WIDTHS.values())


def other_sensor(obj: AnyCube, cube: Cube) -> str:
    """Return the reasons to think that a cube comes from another sensor than Sentinel-2's; "" without any.

    obj: the input. cube: what was recognized in it. Reads no pixels. Lazy coordinates of up to one
    dimension are computed where they are few words, as those of baselines and offsets are.
    """
    reasons, stated = [], False
    for key, word in _words(obj, cube):
        plain = plain_name(key)
        is_platform = plain in _PLATFORM_KEYS
        ours, others = _SENTINEL_2.search(word), _OTHERS.search(word)
        ours = ours or (_UNIT.fullmatch(word.strip()) if is_platform else None)
        stated |= bool(ours)
        if others or (is_platform and not ours and not _says_no_platform(word)):
            reasons.append(f"{key} is {word!r}")
    names = [str(name) for name in _names(cube) if _LANDSAT_NAMES.match(str(name))]
    if names:
        reasons.append(f"{listed(names)} are names of Landsat's products")
    if names := [str(name) for name in _names(cube) if _MODIS_NAMES.match(str(name))]:
        reasons.append(f"{listed(names)} are names of the products of MODIS or VIIRS")
    if not reasons and not stated and (numbered := _numbered_as_landsat(cube)):
        reasons.append(
            f"its pixels are {_LANDSAT_GSD_M:g} m wide, as those of Landsat and HLS are, in which {listed(numbered)} "
            f"{'has' if len(numbered) == 1 else 'have'} other wavelengths than in Sentinel-2"
        )
    return "; ".join(dict.fromkeys(reasons))


def native_ratio(geobox: GeoBox, band: Hashable) -> int:
    """Return how many pixels of a grid are as wide as one that Sentinel-2 has of a band.

    1 for pixels finer than any of Sentinel-2's: they are another sensor's; and for no band of Sentinel-2.
    """
    size = pixel_size_m(geobox)
    gsd_m = 10.0 if size is None else (size[0] * size[1]) ** 0.5
    return 1 if gsd_m < _FINEST_M or band not in _WIDTHS else max(1, round(_WIDTHS[band] / gsd_m))


def warn_of_sensor(reason: str) -> None:
    """Warn with a SensorWarning of what `other_sensor` found."""
    warn_caller(
        f"the cube seems to come from another sensor than Sentinel-2's: {reason}. Its bands are read as those of "
        "Sentinel-2 with the same names (B05 is a red edge, but near infrared in Landsat and HLS L30), and models know "
        "Sentinel-2 only. Rename the bands to those of Sentinel-2 that have their wavelengths; if the pixels are "
        "Sentinel-2's, correct the metadata that name another, or state it: cube.attrs['platform'] = 'sentinel-2a'.",
        SensorWarning,
    )


def explains_sensors(instead: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a function of a cube: its errors about bands and pixel sizes give advice for cubes of other sensors.

    To load what is missing, or at 10 m, is no advice for Landsat. instead: what else can be done where bands are
    missing.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(function)
        def call(*args: _P.args, **options: _P.kwargs) -> _R:
            try:
                return function(*args, **options)
            except (MissingBandError, ResolutionError) as error:
                advice = _advice(next(iter((*args, *options.values())), None), error, instead)
                if not advice:
                    raise
                raise type(error)(error.found, advice) from None

        return call

    return decorate


def _advice(obj: object, error: CubeError, instead: str) -> str:
    """Return advice on an error for a cube of another sensor, or one that may be Landsat's; "" for Sentinel-2."""
    if not isinstance(obj, xr.DataArray | xr.Dataset | xr.DataTree):
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cube = recognize(obj)
            reason = other_sensor(obj, cube)
            maybe = "" if reason else _like_landsat(obj, cube)
    except CubeError:
        return ""
    if not reason and not maybe:
        return ""
    whose = f"The cube seems to come from another sensor than Sentinel-2 ({reason})" if reason else maybe
    if isinstance(error, ResolutionError):
        return (
            f"{whose}: use upscale with model='bicubic', which takes pixels of any size, or a model of your own for "
            "this sensor, xr_sr.register_model(...), or pass allow_gsd=True to continue at your own risk."
        )
    read = [
        f"{plane.name!r} as {plane.band} ({_WAVELENGTHS[plane.band]:.0f} nm)"
        for plane in cube.planes
        if plane.name != plane.band
    ]
    return (
        f"{whose}{'; it has ' * bool(read)}{', '.join(read)}. Where one of its bands has the wavelengths of a missing "
        f"one, rename it, such as near infrared to 'B08' ({_WAVELENGTHS['B08']:.0f} nm). Else {instead}."
    )


def _like_landsat(obj: AnyCube, cube: Cube) -> str:
    """Describe what suggests Landsat or HLS in a cube without metadata: 30 m, no red edge, no B08; else ""."""
    bands = {"B05", "B06", "B07", "B08"} & {*cube.available}
    if bands or not _is_as_wide_as_landsat(cube) or any(_SENTINEL_2.search(word) for _, word in _words(obj, cube)):
        return ""
    return f"Its pixels are {_LANDSAT_GSD_M:g} m wide, as those of Landsat and HLS are, which have no red edge"


def _is_as_wide_as_landsat(cube: Cube) -> bool:
    size = pixel_size_m(cube.geobox)
    return size is not None and all(abs(side / _LANDSAT_GSD_M - 1) <= 0.02 for side in size)


def _says_no_platform(word: str) -> bool:
    """Return whether a word is none of a platform: a placeholder, a number, what a simulation calls itself."""
    text = word.strip().lower()
    return text in _NO_PLATFORM or not re.search("[a-z]", text) or bool(re.search(r"simulat|synthetic|test", text))


def _words(obj: AnyCube, cube: Cube) -> Iterator[tuple[Hashable, str]]:
    """Yield names and words of metadata that may name the sensor, each once."""
    holders: list[Mapping[Any, Any]] = [cube.source.attrs, cube.source.coords]
    holders += [plane.array.attrs for plane in cube.planes]
    if isinstance(cube.source, xr.Dataset):
        holders.append({name: cube.source[name] for name in cube.extras if name in cube.source})
    if isinstance(obj, xr.DataTree):
        holders += [node.attrs for node in (obj, *obj.children.values())]
    seen: set[tuple[Hashable, str]] = set()
    for holder in holders:
        for key, value in _with_nested(holder):
            if plain_name(key) in _PLATFORM_KEYS | _OTHER_KEYS:
                for word in _texts(value):
                    if (key, word) not in seen:
                        seen.add((key, word))
                        yield key, word


def _with_nested(holder: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield entries, and those of the STAC Item that EOPF keeps in an attribute."""
    yield from holder.items()
    item = holder.get("stac_discovery")
    properties = item.get("properties") if isinstance(item, Mapping) else None
    if isinstance(properties, Mapping):
        yield from properties.items()


def _texts(value: object) -> Iterator[str]:
    """Yield the words in an attribute or a coordinate, if they are words, few, and in memory."""
    if isinstance(value, xr.DataArray):
        if value.dtype.kind not in "OUST" or value.size > _MOST_WORDS:
            return
        if value.chunks is not None and value.ndim > 1:
            return
        value = value.values
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        yield str(value)
    elif isinstance(value, list | tuple | set | np.ndarray):
        items = value.reshape(-1) if isinstance(value, np.ndarray) else list(value)
        for each in items[:_MOST_WORDS]:
            if isinstance(each, str | bytes):
                yield from _texts(each)


def _names(cube: Cube) -> Iterator[Hashable]:
    yield from (plane.name for plane in cube.planes)
    yield from (flags.name for flags in cube.flags)
    yield from cube.dropped


def _numbered_as_landsat(cube: Cube) -> list[str]:
    """Return the names that mean other bands in Landsat, of pixels that are as large as its; [] where they are ours."""
    if not _is_as_wide_as_landsat(cube) or _ONLY_OURS & {*cube.available}:
        return []
    return [str(plane.name) for plane in cube.planes if _NUMBERED.fullmatch(str(plane.name).strip())]
