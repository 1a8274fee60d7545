"""Record the options that a result was computed with, defaults included, and compare such records.

Records that ask for the same are equal, however the options were passed. Older records hold the options as passed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..arguments import is_number
from ..catalog import registry
from ..catalog.models import Kriging, Model
from ..errors import XrSrError
from .observe import check_kriging
from .psf import MTF_AT_NYQUIST
from .resolve import kriging_with

_SENSOR = ("mtf", "psf")
"""Options that describe the point spread function of the sensor; a result may depend on them with any model."""


def sensor_of(mtf: Any = None, psf: Any = None) -> Kriging:
    """Return kriging with a description of the sensor; None takes the default. Raises OptionError."""
    kriging = registry.get("kriging")
    assert isinstance(kriging, Kriging)
    given = {name: value for name, value in (("mtf", mtf), ("psf", psf)) if value is not None}
    return check_kriging(replace(kriging, **given))


def recorded(spec: Model, bands: Sequence[str], sensor: Kriging | None = None) -> str:
    """Return options as JSON, "" for none: passed to the model again, they give the same values.

    spec: with the user's options. bands: canonical names of those computed, for each of which the MTF is recorded.
    sensor: with which the result was made to agree, if it was.
    """
    options: dict[str, Any] = dict(spec.options)
    if isinstance(spec, Kriging):
        sensor = spec
        options["noise"] = _plain(spec.noise)
    if sensor is not None and ("mtf" not in options or sensor is spec):
        options = {name: value for name, value in options.items() if name not in _SENSOR}
        if sensor.psf == "mtf":
            table = {} if sensor.mtf == "published" else _plain(sensor.mtf)
            published = {band: MTF_AT_NYQUIST[band] for band in bands if band in MTF_AT_NYQUIST}
            options["mtf"] = table if is_number(table) else {**published, **table}
        else:
            options["psf"] = _plain(sensor.psf)
    return json.dumps(options, sort_keys=True) if options else ""


def same_options(model: str, one: str, other: str, bands: Iterable[str] | None, *, seen: bool) -> bool:
    """Return whether two records ask for the same. What they lack has its default.

    model: full name. bands: canonical names of those that count; None if not known: all bands. seen: the result was
    made to agree with the sensor, which `mtf` then describes for any model.
    """
    if one == other:
        return True
    try:
        spec = registry.get(model)
        (first, sees), (second, also_sees) = (_read(spec, text, seen=seen) for text in (one, other))
    except (XrSrError, ValueError, TypeError, AttributeError):  # not one of ours, or of a model that is not there
        return False
    if first != second or (sees is None) != (also_sees is None):
        return False
    if sees is None or also_sees is None:
        return True
    named = (_by_band(value) for each in (sees, also_sees) for value in (each.mtf, each.psf, each.noise))
    counting = {*MTF_AT_NYQUIST, *(band for table in named for band in table)} if bands is None else bands
    return all(_observed(sees, band) == _observed(also_sees, band) for band in counting)


def _read(spec: Model, text: str, *, seen: bool) -> tuple[dict[str, Any], Kriging | None]:
    """Return the options of a record that are the same for all bands, defaults included, and those by band."""
    given: dict[str, Any] = json.loads(text) if text else {}
    if isinstance(spec, Kriging):
        whole = kriging_with(spec, given)
        return {name: value for name, value in whole.options if name not in (*_SENSOR, "noise")}, whole
    defaults = dict(spec.options)
    if not seen or "mtf" in defaults:
        return {**defaults, **given}, None
    return {**defaults, **{name: each for name, each in given.items() if name not in _SENSOR}}, sensor_of(
        given.get("mtf"), given.get("psf")
    )


def _observed(sensor: Kriging, band: str) -> tuple[Any, Any]:
    """Return what defines the point spread function and the noise of a band."""
    psf = _of_band(sensor.psf, band, "mtf")
    blur = ("mtf", _of_band(sensor.mtf, band, MTF_AT_NYQUIST.get(band))) if psf == "mtf" else psf
    return blur, _of_band(sensor.noise, band, "sentinel2")


def _of_band(value: Any, band: str, known: Any) -> Any:
    """Return what an option says of a band. known: what holds for bands that it does not name."""
    table = _by_band(value)
    return table.get(band, known) if table or value in ("published", ()) else value


def _by_band(value: Any) -> dict[str, Any]:
    """Return pairs of a band and what belongs to it as a dict; {} for what holds for all bands."""
    paired = isinstance(value, tuple) and bool(value) and isinstance(value[0], tuple) and isinstance(value[0][0], str)
    return dict(value) if paired else {}


def _plain(value: Any) -> Any:
    """Return pairs by band as a dict, anything else as it is."""
    return _by_band(value) or ({} if isinstance(value, Mapping | tuple) and not value else value)
