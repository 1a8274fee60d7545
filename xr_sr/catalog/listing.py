"""Tabulate the models of the catalog for people: names, bands, scales, and where their weights are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..arguments import check_whole, items_of, shown
from ..errors import MissingBandError, OptionError
from ..spec import WeightsFile
from . import registry
from .fetch import find_file

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["list_models"]


def list_models(bands: Iterable[str] | None = None, scale: int | None = None) -> pd.DataFrame:
    """Tabulate the models that can be had; one row each, in reading order, without torch.

    bands: only models that compute all of these, by any alias. scale: only models that support this scale.
    Columns: name, bands ("any" where each band is done by itself), scale, halo (input pixels; of a windowed model 0),
    window (side in input pixels; 0 where there is none), gsd_m (metres; NaN where any is right), level, licence,
    size_mb (of the weights, 10^6 bytes), where (their place: "package", "XR_SR_WEIGHTS", "cache", "hub", "file" for
    one of your own, "missing" if that is gone, or "" where none are needed; by name and size, as hashes are taken
    before use), summary.
    Raises OptionError for a scale that is no whole number from 1 on, MissingBandError for names of no band.
    """
    import pandas as pd

    wanted = _wanted(bands)
    if scale is not None:
        scale = check_whole("scale", scale, least=1)
    rows = [
        {
            "name": spec.name,
            "bands": " ".join(registry.given_by(spec, ())) or "any",
            "scale": spec.scale,
            "halo": spec.halo,
            "window": spec.window,
            "gsd_m": math.nan if spec.gsd_m is None else spec.gsd_m,
            "level": spec.level,
            "licence": spec.licence,
            "size_mb": round(sum(file.size for file in spec.files) / 1e6, 1),
            "where": _where(spec.files),
            "summary": spec.summary,
        }
        for spec in map(registry.get, registry.names())
        if set(wanted) <= set(registry.given_by(spec, wanted))
        and (scale in (None, spec.scale) or ("scale" in dict(spec.options) and scale in registry.SCALES))
    ]
    columns = ["name", "bands", "scale", "halo", "window", "gsd_m", "level", "licence", "size_mb", "where", "summary"]
    return pd.DataFrame(rows, columns=columns)


def _wanted(bands: Iterable[str] | None) -> list[str]:
    """Get canonical names of bands; of the names that are none of Sentinel-2's, those that a model gives may stand."""
    names = [] if bands is None else items_of(bands)
    if names is None:
        example = [bands] if isinstance(bands, str) else ["B04", "B08"]
        raise OptionError(f"bands={shown(bands)}: expected a list of names, such as bands={example}.")
    wanted = [registry.canonical(band) for band in names]
    if unknown := registry.unknown_bands(wanted):
        raise MissingBandError(unknown)
    return wanted


def _where(files: Sequence[WeightsFile]) -> str:
    """Say where files are: of several the place of the first that is not here, else of the first."""
    places = [_where_one(file) for file in files]
    return next((place for place in places if place in ("hub", "missing")), places[0] if places else "")


def _where_one(weights: WeightsFile) -> str:
    found = find_file(weights)
    nowhere = "hub" if weights.home == "hub" else "missing"
    return found[1] if found and found[0].stat().st_size == weights.size else nowhere
