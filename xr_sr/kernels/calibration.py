"""Calibrations as data: by how much the error scale of a model is too small or too large, by band and stratum.

Split conformal prediction (Papadopoulos et al. 2002, doi:10.1007/3-540-36755-1_29; Lei et al. 2018,
doi:10.1080/01621459.2017.1307116): on pairs with a reference, the score of a pixel is its absolute error over the scale
that the model gives it; the quantile of the scores at a level is what scales are multiplied by for an interval of that
level. It covers as much as it says where pixels are like those that it was fitted on, whatever their distribution.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import check_path, shown
from ..errors import OptionError
from ..runtime.files import file_target, write_whole
from ..spec import Option
from .psf import MTF_AT_NYQUIST

STRATA = ("flat", "edge", "bright")
"""In the order of their numbers; the rule is in `kernels.strata`."""

LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)
"""Levels at which the quantiles of scores are kept; between them they are interpolated."""

ALL = "all"
"""The name of all bands, or of all strata, together."""

Quantiles = tuple[float, ...]
Table = Mapping[tuple[str, str], Quantiles]


def gaussian_width(level: float) -> float:
    """Return half the width of the central interval of a normal distribution, in its standard deviations."""
    return NormalDist().inv_cdf((1 + level) / 2)


@dataclass(frozen=True)
class Calibration:
    """Quantiles of |error| / scale of a model, by band and stratum.

    model: its name. quantiles: at LEVELS, by (band, stratum), either of which may be "all", for those without an entry
    of their own. pixels: how many each rests on. note: what it was fitted on. options: those of the model that it was
    fitted with, all of them; None where that is not known, as of files of earlier releases.
    """

    model: str
    quantiles: Table
    pixels: Mapping[tuple[str, str], int] = field(default_factory=dict)
    note: str = ""
    options: Mapping[str, Option] | None = None

    def __post_init__(self) -> None:
        if (ALL, ALL) not in self.quantiles:
            raise OptionError(f"a calibration needs quantiles of ({ALL!r}, {ALL!r}), for what has none of its own.")
        for key, values in self.quantiles.items():
            if len(values) != len(LEVELS) or not all(np.diff((0.0, *values)) >= 0) or not values[-1] > 0:
                raise OptionError(f"a calibration has {len(LEVELS)} rising quantiles for {key}; got {shown(values)}.")

    def __repr__(self) -> str:
        pixels = self.pixels.get((ALL, ALL))
        bands = ", ".join(dict.fromkeys(band for band, _ in self.quantiles if band != ALL)) or "all bands together"
        return f"Calibration of {self.model!r}: {bands}" + (f"; {pixels:,} pixels" if pixels else "")

    def width(self, band: str, stratum: str, level: float) -> float:
        """Return half the width of an interval as a multiple of the error scale."""
        return float(np.interp(level, LEVELS, self.quantiles[self.place_of(band, stratum)]))

    def factors(self, band: str, level: float) -> tuple[float, float, float]:
        """Return by which scales are multiplied for the normal distribution whose interval has that width."""
        flat, edge, bright = (self.width(band, stratum, level) / gaussian_width(level) for stratum in STRATA)
        return flat, edge, bright

    def changed(self, options: Mapping[str, Option], bands: Sequence[str]) -> dict[str, tuple[Option, Option]]:
        """Return by name the options that are not as it was fitted, for one of the bands: (fitted, given).

        options: all of the model, as they are checked. Numbers of an MTF may be those that were estimated, so that they
        do not differ from "estimate".
        """
        known = self.options or {}
        found = {}
        for name in (name for name in known if name in options):
            values = [[_of_band(name, each[name], band) for band in bands] for each in (known, options)]
            estimated = name == "mtf" and known[name] == "estimate" and options[name] != "published"
            if values[0] != values[1] and not estimated:
                found[name] = known[name], options[name]
        return found

    def merge(self, other: Calibration) -> Calibration:
        """Return a calibration with the bands of another beside its own, such as those of another pixel size.

        A band that both know is that of `other`. What neither knows is looked up among all bands of this one. Raises
        OptionError for one that is no calibration, or of another family of models or other options.
        """
        if not isinstance(other, Calibration) or other.family != self.family:
            found = shown(other.model if isinstance(other, Calibration) else other)
            raise OptionError(f"merge({found}): expected another calibration of {self.family!r}.")
        if None not in (self.options, other.options) and self.options != other.options:
            raise OptionError(
                f"merge(...): the other calibration was fitted with {shown(other.options)}, this one with "
                f"{shown(self.options)}. Fit both with the same options."
            )
        bands = list(dict.fromkeys(band for band, _ in other.quantiles if band != ALL))
        own = {key: each for key, each in self.quantiles.items() if key[0] not in bands}
        places = {(band, stratum): other.place_of(band, stratum) for band in bands for stratum in (*STRATA, ALL)}
        quantiles = {**own, **{key: other.quantiles[place] for key, place in places.items()}}
        pixels = {key: self.pixels.get(key, 0) for key in own}
        pixels |= {key: other.pixels.get(place, 0) for key, place in places.items()}
        notes = dict.fromkeys([self.note, f"{', '.join(bands)}: {other.note}" if other.note else ""])
        return replace(self, quantiles=quantiles, pixels=pixels, note="; ".join(filter(None, notes)))

    @property
    def family(self) -> str:
        """The name of the model without that of its variant."""
        return self.model.partition(".")[0]

    def place_of(self, band: str, stratum: str) -> tuple[str, str]:
        """Return the key of the quantiles that are taken for a band in a stratum."""
        places = ((band, stratum), (ALL, stratum), (band, ALL), (ALL, ALL))
        return next(place for place in places if place in self.quantiles)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of JSON, completely or not at all. Raises StoreError for a folder that does not exist."""
        entries = [
            {"band": band, "stratum": stratum, "pixels": self.pixels.get((band, stratum), 0), "quantiles": [*values]}
            for (band, stratum), values in self.quantiles.items()
        ]
        head: dict[str, Any] = {"model": self.model, "note": self.note, "levels": [*LEVELS]}
        if self.options is not None:
            head["options"] = dict(self.options)
        lines = ",\n".join("  " + json.dumps(entry) for entry in entries)
        text = json.dumps(head)[:-1] + ', "scores": [\n' + lines + "\n]}\n"
        target = file_target(os.fspath(path), "calibration.json")
        write_whole(target, lambda part: part.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read what `save` wrote. Raises OptionError for another file, and where there is none."""
        file = check_path("calibration", os.fspath(path), OptionError)
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            if tuple(found["levels"]) != LEVELS:
                raise ValueError("its levels are not those of this release")
            entries = {(each["band"], each["stratum"]): each for each in found["scores"]}
            quantiles = {key: tuple(map(float, each["quantiles"])) for key, each in entries.items()}
            pixels = {key: int(each["pixels"]) for key, each in entries.items()}
            options = found.get("options")
            if not isinstance(options, dict | None):
                raise ValueError("its options are no object")
            known = None if options is None else {name: _hashable(value) for name, value in options.items()}
            return cls(str(found["model"]), quantiles, pixels, str(found["note"]), known)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OptionError(
                f"calibration={os.fspath(path)!r}: expected a file that Calibration.save wrote; {error}."
            ) from None


def _of_band(name: str, value: Option, band: str) -> Option:
    """Return the part of an option that a band depends on: of numbers by band its own."""
    usual: dict[str, Option] = {"mtf": MTF_AT_NYQUIST.get(band, "published"), "psf": "mtf", "noise": "sentinel2"}
    if isinstance(value, tuple) and value and isinstance(value[0], tuple) and isinstance(value[0][0], str):
        value = dict(value).get(band, usual.get(name, ""))
    return usual["mtf"] if name == "mtf" and value == "published" else value


def _hashable(value: Any) -> Any:
    """Return lists of JSON as the tuples that they were."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


@lru_cache(maxsize=8)
def shipped(model: str) -> Calibration | None:
    """Return the calibration in the package for a model, or None."""
    path = Path(__file__).parent / f"calibration_{model}.json"
    return Calibration.load(path) if path.is_file() else None


EDGES = np.logspace(-4, 3, 701)
"""Edges of the bins of scores: 2.3 % wide. Smaller scores count in the first bin, larger ones in the last."""


def fitted(
    model: str,
    bands: Sequence[str],
    counts: npt.NDArray[np.float64],
    pixels: npt.NDArray[np.float64],
    note: str,
    least: int,
    options: Mapping[str, Option] | None = None,
) -> Calibration:
    """Return the calibration of histograms of scores.

    counts: (band, stratum, bin) with the bins of EDGES, numbers of pixels or weights. pixels: (band, stratum), how many
    there are. least: those that an entry needs; what has fewer is left to the entries of all bands or all strata.
    options: of the model, for the record.
    """

    def by_key(sums: npt.NDArray[np.float64]) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
        return {
            **{(band, stratum): sums[b, s] for b, band in enumerate(bands) for s, stratum in enumerate(STRATA)},
            **{(ALL, stratum): sums[:, s].sum(0) for s, stratum in enumerate(STRATA)},
            **{(band, ALL): sums[b].sum(0) for b, band in enumerate(bands)},
            (ALL, ALL): sums.sum((0, 1)),
        }

    known = {key: round(float(each)) for key, each in by_key(pixels).items()}
    kept = {key: each for key, each in by_key(counts).items() if known[key] >= least or key == (ALL, ALL)}
    quantiles = {key: _quantiles(each, known[key]) for key, each in kept.items()}
    return Calibration(model, quantiles, {key: known[key] for key in kept}, note, options)


def _quantiles(counts: npt.NDArray[np.float64], pixels: int) -> Quantiles:
    """Interpolate the quantiles at LEVELS, with the correction of conformal prediction for the number of scores."""
    share = np.concatenate([[0.0], counts.cumsum() / counts.sum()])
    levels = np.minimum(np.asarray(LEVELS) * (1 + 1 / pixels), 1)
    # Where bins are empty the share does not rise, and the first edge that reaches the level counts.
    rising = np.concatenate([[True], np.diff(share) > 0])
    return tuple(round(float(value), 4) for value in np.interp(levels, share[rising], EDGES[rising]))
