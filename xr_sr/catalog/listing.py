"""Tabulate the models of the registry for people: names, bands, scales, and where their weights are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..arguments import check_whole, items_of, shown
from ..errors import MissingBandError, OptionError
from ..spec import WeightsFile
from . import registry
from .fetch import find_file
from .models import scales_of

if TYPE_CHECKING:
    import pandas as pd


def list_models(bands: Iterable[str] | None = None, scale: int | None = None) -> pd.DataFrame:
    """List the available models in a table, one row each, without loading torch.

    bands: only models that compute all of these, by any alias. scale: only models that support this scale.
    Columns: name, family (`upscale` and `fuse` take it too, and choose its variant by the requested bands), bands
    ("any" if each band is processed by itself), scale, halo (input pixels; 0 for a windowed model), window (side in
    input pixels; 0 without windows), dates (number that it reads at once, for `multiframe`; 0 for single images), gsd_m
    (meters; NaN if any is right), level, license, size_mb (of the weights, 10^6 bytes), where (their location:
    "package", "XR_SR_WEIGHTS", "cache", "hub", "file" for one of your own, "missing" if that is gone, or "" without
    weights; found by name and size, since hashes are verified before use), summary.
    Raises OptionError for a scale that is not a whole number of at least 1, MissingBandError for unknown bands.
    """
    from .table import ModelTable

    wanted = _canonical(bands)
    if scale is not None:
        scale = check_whole("scale", scale, least=1)
    rows = [
        {
            "name": model.name,
            "family": model.family,
            "bands": " ".join(registry.given_by(model, ())) or "any",
            "scale": model.scale,
            "halo": model.halo,
            "window": model.window,
            "dates": model.dates,
            "gsd_m": math.nan if model.gsd_m is None else model.gsd_m,
            "level": model.level,
            "license": model.license,
            "size_mb": _megabytes(sum(file.size for file in model.files)),
            "where": _where(model.files),
            "summary": model.summary,
        }
        for model in registry.current.models.values()
        if set(wanted) <= set(registry.given_by(model, wanted))
        and (scale in (None, model.scale) or ("scale" in dict(model.options) and scale in scales_of(model)))
    ]
    names = "name family bands scale halo window dates gsd_m level license size_mb where summary"
    return ModelTable(rows, columns=names.split())


def _megabytes(size: int) -> float:
    """Round to a tenth, and what would be 0 to its first digit: a small file is no missing one."""
    return round(size / 1e6, 1) or float(f"{size / 1e6:.1g}")


def _canonical(bands: Iterable[str] | None) -> list[str]:
    names = [] if bands is None else items_of(bands)
    if names is None:
        example = [bands] if isinstance(bands, str) else ["B04", "B08"]
        raise OptionError(f"bands={shown(bands)}: expected a list of names, such as bands={example}.")
    wanted = [registry.canonical(band) for band in names]
    if unknown := registry.unknown_bands(wanted):
        raise MissingBandError(unknown)
    return wanted


def _where(files: Sequence[WeightsFile]) -> str:
    """Return where files are: of several the location of the first that is not on this machine, else of the first."""
    places = [_where_one(file) for file in files]
    return next((place for place in places if place in ("hub", "missing")), places[0] if places else "")


def _where_one(weights: WeightsFile) -> str:
    found = find_file(weights)
    nowhere = "hub" if weights.home == "hub" else "missing"
    return found[1] if found and found[0].stat().st_size == weights.size else nowhere
