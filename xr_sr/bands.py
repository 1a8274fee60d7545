"""The bands of Sentinel-2 as data, and the look-up of a band by any producer's name.

Strings only: the names stand in `conventions`, and `cube.names` reads them off xarray objects.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .conventions import BAND_NAMES, CLASSIFICATIONS, FLAG_NAMES, FLAG_WORDS


@dataclass(frozen=True)
class Band:
    """One band of the MultiSpectral Instrument.

    name: canonical, "B02" or "B8A". wavelength_nm: center, Sentinel-2A. gsd_m: native ground sampling distance.
    """

    name: str
    wavelength_nm: float
    gsd_m: float

    @property
    def aliases(self) -> tuple[str, ...]:
        """Names of the band beside its code, by all conventions: lower case, without separators."""
        return tuple(alias for alias, name in BAND_NAMES.items() if name == self.name)


# Wavelengths: ESA, Sentinel-2 spectral response functions (COPE-GSEG-EOPG-TN-15-0007), Sentinel-2A.
BANDS: tuple[Band, ...] = (
    Band("B01", 442.7, 60.0),
    Band("B02", 492.4, 10.0),
    Band("B03", 559.8, 10.0),
    Band("B04", 664.6, 10.0),
    Band("B05", 704.1, 20.0),
    Band("B06", 740.5, 20.0),
    Band("B07", 782.8, 20.0),
    Band("B08", 832.8, 10.0),
    Band("B8A", 864.7, 20.0),
    Band("B09", 945.1, 60.0),
    Band("B10", 1373.5, 60.0),  # top-of-atmosphere products only
    Band("B11", 1613.7, 20.0),
    Band("B12", 2202.4, 20.0),
)

_Frame: TypeAlias = tuple[str, str]
"""What precedes and follows the name of a band."""

_BY_NAME = {band.name: band for band in BANDS}
_BY_ALIAS = {alias: _BY_NAME[name] for alias, name in BAND_NAMES.items()}

_CODE = re.compile(r"b0*(1[0-2]|[1-9]|8a)")
_GDAL_REST = re.compile(r", central wavelength .*$", re.IGNORECASE)
_GSD_SUFFIX = re.compile(r"[\s_.-](10|20|60)m$", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s_.-]+")
_TOKEN = re.compile(r"[^\W_]+")
_FLAG = re.compile(rf"{'|'.join(FLAG_WORDS)}|(?<![a-z])({'|'.join(FLAG_NAMES)})(?![a-z])", re.IGNORECASE)


def find_band(name: object) -> Band | None:
    """Look up a band by one name, as any producer writes it.

    Upper or lower case, with or without leading zero, with or without "_10m": "B2", "b02", "B02_10m", "blue"; also
    "B4, central wavelength 665 nm", as GDAL describes the bands of SAFE products.
    Returns None for what is not a name of one band, numbers included: a 4 may be the fourth of anything.
    """
    if not isinstance(name, str):
        return None
    text = _GSD_SUFFIX.sub("", _GDAL_REST.sub("", name.strip())).lower()
    if code := _CODE.fullmatch(text):
        return _BY_NAME[f"B{code[1].upper():0>2}"]
    return _BY_ALIAS.get(_SEPARATORS.sub("", text))


def match_bands(names: Sequence[object]) -> tuple[Band | None, ...]:
    """Look up names that belong together; each band, or None, in the order given.

    If none of them names a band as it is, a prefix and a suffix that the names share are removed first:
    "S2-L2A-B02", "T33UUU_20170216T102101_B02". Only the frame with the most bands counts, and a plain name beats any
    frame, so "B04_std" beside "B04" is no band. A frame around a color needs a second band, since "red_tide" is none.
    """
    texts = [name.strip() if isinstance(name, str) else "" for name in names]
    plain = tuple(find_band(text) for text in texts)
    if any(plain):
        return plain

    framed = {place: hit for place, text in enumerate(texts) if (hit := _take_frame(text))}
    members: dict[_Frame, set[str]] = defaultdict(set)
    for frame, _, band in framed.values():
        members[frame].add(band.name)
    coded = {frame for frame, core, _ in framed.values() if _CODE.fullmatch(core.lower())}
    trusted = {frame: len(bands) for frame, bands in members.items() if len(bands) > 1 or frame in coded}
    most = max(trusted.values(), default=0)
    found = {place: band for place, (frame, _, band) in framed.items() if trusted.get(frame) == most}
    return tuple(found.get(place) for place in range(len(texts)))


def is_scl(name: object) -> bool:
    """Return whether a name is that of the scene classification: "SCL", "scl", "SCL_20m"."""
    return isinstance(name, str) and _GSD_SUFFIX.sub("", name.strip()).lower() in CLASSIFICATIONS


def is_flag_name(name: object) -> bool:
    """Return whether a name is one of flags or classes, not of reflectance: "SCL", "cloud_mask", "QA60", "dataMask"."""
    return isinstance(name, str) and _FLAG.search(name) is not None


def stated_gsd_m(name: object) -> float | None:
    """Return the pixel size in meters that a name states, as "B02_20m" does; None if it states none."""
    found = _GSD_SUFFIX.search(name.strip()) if isinstance(name, str) else None
    return float(found[1]) if found else None


def _take_frame(text: str) -> tuple[_Frame, str, Band] | None:
    """Split a text into ((prefix, suffix), core, band); the longest core wins, then the last one; None without any."""
    text = _GSD_SUFFIX.sub("", text)
    tokens = [(token.start(), token.end()) for token in _TOKEN.finditer(text)]
    cores = [
        (end - start, start, end, band)
        for first, (start, _) in enumerate(tokens)
        for _, end in tokens[first : first + 3]  # no alias has more than three words
        if (band := find_band(text[start:end])) is not None
    ]
    if not cores:
        return None
    _, start, end, band = max(cores, key=lambda core: core[:2])
    return (text[:start], text[end:]), text[start:end], band
