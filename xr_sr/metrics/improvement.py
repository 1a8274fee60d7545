"""Compute correctness: how much of what super-resolution did is improvement, omission or hallucination.

Three distances of each pixel decide: SR to HR, SR to the upsampled LR, and between these two. Near HR is improvement,
near LR is omission, far from both is hallucination. Source: Aybar et al. 2024, doi:10.1109/LGRS.2024.3401394
(opensr-test); the docs list the differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_flag, is_number, is_one_of, renamed, shown
from ..errors import OptionError
from .distances import MTF_SIDE
from .fidelity import for_each_model, labels_of
from .inputs import Image, ImageSeries, read
from .matching import Spectral
from .reduce import FloatArray, Input, Layout, Level, check_level, lazy_quantile, map_images, sum_up
from .triples import DistanceName, Triple, bring_together, distances

Norm: TypeAlias = Literal["softmin", "percent"]
Score: TypeAlias = float | np.float32

CLASSES = ("improvement", "omission", "hallucination")
"""In the order of their numbers in `classification`: 0, 1, 2."""

FAR = 1e6
"""A ratio of distances above this counts as this: where LR and HR agree to the last bit, any change is far away."""


@dataclass(frozen=True)
class Scoring:
    """Options that turn distances into shares.

    im_score, om_score, ha_score bend the borders between the three; temperature: their sharpness.

    """

    norm: Norm = "softmin"
    temperature: float = 0.25
    im_score: float = 0.05
    om_score: float = 0.05
    ha_score: float = 0.05


@renamed(harmonise="harmonize")
def correctness(
    lr: Image,
    sr: Image | Mapping[str, Image],
    hr: Image,
    *,
    distance: str = "nd",
    at: Level = "image",
    support: Level | None = None,
    objects: xr.DataArray | None = None,
    threshold: float | Literal["auto"] = "auto",
    quantile: float = 0.75,
    scoring: Scoring = Scoring(),
    harmonize: Spectral = "histogram",
    align: bool = True,
    max_shift: float = 5.0,
    border: int = 16,
) -> xr.Dataset:
    """Measure improvement, omission and hallucination: three shares that sum to 1.

    lr, sr, hr: (time?, band, y, x) reflectance, NaN is nodata, of lr DN too, as in `consistency`; SR and HR on one
        grid, whose pixels are those of LR cut into a whole number of parts. Bands are matched by name. HR without time
        serves every date. sr: one cube, or several by name, for a dimension `model`.
    distance: "l1", "l2", "sad", "psnr", "kl", "pbias", "nd", "mtf", "ssim": see the docs for each.
    at: "image", numbers per date; "pixel", maps on the grid of SR; or the side of patches, a map of them.
    support: on what a distance is taken where `at` is "image": "pixel", the side of patches, or "image". Default: a
        pixel, or 32 pixels for "mtf".
    objects: (y, x) integers on the grid of SR, 0 for none: numbers per object.
    threshold: a place counts if one of its three distances is larger: where nothing differs nothing can be judged.
        "auto": the `quantile` of the distances between LR and HR, per date, from the whole scene; for support "image"
        there is none. scoring: a Scoring.
    harmonize: how radiometric differences between SR and HR are removed from SR and LR alike, per date and band:
        "histogram", "linear" (gain and offset), or None. align: whether SR and LR are moved by the shift between SR and
        HR, if one of at most max_shift HR pixels can be estimated. border: HR pixels at the edges that do not count.

    Returns a Dataset, lazy if an input is: improvement, omission, hallucination, 0 to 1, NaN where nothing counts; with
    numbers `kept`, the share of places that count, and `threshold`; with maps `classification`, 0, 1, 2 in that order.
    Raises GridError, CubeError, MissingBandError, OptionError.
    """
    at = check_level(at)
    support = check_support(at, support, distance)
    check_flag("align", align)
    check_judging(threshold, quantile, scoring)
    low, true = read(lr, "LR"), read(hr, "HR")

    def of_one(fine: ImageSeries) -> xr.Dataset:
        triple = bring_together(low, fine, true, harmonize=harmonize, align=align, max_shift=max_shift, border=border)
        found, layout = distances(triple, judged_by(distance), support)
        return judge(triple, found, layout, distance, at, support, threshold, quantile, scoring, objects)

    return for_each_model(sr, of_one, low, true)


def judged_by(distance: str) -> tuple[tuple[str, DistanceName], ...]:
    """Return the distances that `judge` needs."""
    return (distance, "ref"), (distance, "im"), (distance, "om")


def judge(
    triple: Triple,
    found: da.Array,
    layout: Layout,
    distance: str,
    at: Level,
    support: Level,
    threshold: float | Literal["auto"],
    quantile: float,
    scoring: Scoring,
    objects: xr.DataArray | None = None,
) -> xr.Dataset:
    """Measure correctness of scenes that were brought together; always lazy.

    found, layout: the `distances` of `judged_by`. Other arguments as in `correctness`.
    """
    count = found.shape[0]
    if threshold != "auto":
        level = da.full(count, float(threshold), chunks=1)
    elif support == "image":
        level = da.full(count, -np.inf, chunks=1)
    else:
        level = lazy_quantile(found[:, 0].astype(np.float32), quantile)
    scene = triple.sr
    attrs = {"distance": distance, "support": str(support)}
    if at == "image":
        return _numbers(scene, found, level, layout, support, scoring, objects, attrs)
    if objects is not None:
        raise OptionError(f"objects= gives values per object, at={at!r} maps: pass one of them.")
    inputs = [(found, "tdyx"), (level, "t")]
    maps = map_images(_maps, inputs, "tkyx", layout, new={"k": 4}, dtype=np.float32, scoring=scoring)
    names = (*CLASSES, "classification")
    made = {name: scene.wrap(maps[:, place], ("time", "y", "x"), name=name, at=at) for place, name in enumerate(names)}
    result = xr.Dataset(made, attrs=attrs)
    result["classification"].attrs = {"flag_values": [0, 1, 2], "flag_meanings": " ".join(CLASSES)}
    return result


def shares(found: FloatArray, level: FloatArray, scoring: Scoring) -> FloatArray:
    """Convert distances ref, im, om (3, ...) to improvement, omission, hallucination (3, ...), NaN where none counts.

    A place counts if one of its distances is above `level`. Shares are the softmin of `away_from` at the temperature.
    """
    kept, part = kept_shares(found, level, scoring)
    out = np.full(found.shape, np.nan)
    out[:, kept] = part
    return out


def kept_shares(found: FloatArray, level: FloatArray, scoring: Scoring) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Return which places of `shares` count, and the shares of these, (3, count)."""
    kept = np.asarray(np.isfinite(found).all(axis=0) & (found > level).any(axis=0))
    reference, improvement, omission = found[:, kept].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x = np.where(improvement == 0, 0.0, np.minimum(improvement / reference, FAR))
        y = np.where(omission == 0, 0.0, np.minimum(omission / reference, FAR))
        away = away_from(x, y, scoring.im_score, scoring.om_score, scoring.ha_score)
        powers = np.exp(-(away - away.min(axis=0)) / scoring.temperature)
    return kept, np.asarray(powers / powers.sum(axis=0))


def away_from(x: FloatArray, y: FloatArray, im_score: Score, om_score: Score, ha_score: Score) -> FloatArray:
    """Return how far a place is from improvement, omission and hallucination (3, ...), for x = im / ref, y = om / ref.

    With H = x + y - 1: x + y (1 - exp(-H s)), y + x (1 - exp(-H s)) and exp(-x y s), each with its own score s.
    """
    bend = x + y - 1
    improvement, omission = x + y * (1 - np.exp(-bend * im_score)), y + x * (1 - np.exp(-bend * om_score))
    return np.stack([improvement, omission, np.exp(-x * y * ha_score)])


def _numbers(
    scene: ImageSeries,
    found: da.Array,
    level: da.Array,
    layout: Layout,
    support: Level,
    scoring: Scoring,
    objects: xr.DataArray | None,
    attrs: dict[str, Any],
) -> xr.Dataset:
    labels = None
    if objects is not None:
        if support != "pixel":
            raise OptionError("objects= needs support='pixel': distances of patches cannot be assigned to objects.")
        labels = labels_of(objects, scene)
    inputs: list[Input] = [(found, "tdyx"), (level, "t")]
    if labels:
        sums = sum_up(_weighted, inputs, layout, at="image", fields=4, channels=1, labels=labels[:2], scoring=scoring)[
            :, :, 0, :, 0, 0
        ]
    else:
        of_blocks = map_images(_counted, inputs, "tnyx", layout.one_each(), new={"n": 5}, scoring=scoring)
        sums = da.sum(of_blocks, axis=(2, 3), split_every=16)
    values = da.map_blocks(_shares_of, sums, chunks=(sums.chunks[0], (4,), *sums.chunks[2:]), dtype=np.float64)
    made = {}
    for place, name in enumerate((*CLASSES, "kept")):
        array = scene.wrap(values[:, place], ("time", "object")[: 1 + bool(labels)], name=name)
        made[name] = array.assign_coords(object=labels[2]) if labels else array
    made["threshold"] = scene.wrap(level, ("time",), name="threshold")
    return xr.Dataset(made, attrs=attrs | {"norm": scoring.norm})


def _shares_of(sums: FloatArray) -> FloatArray:
    """Convert sums of shares, and counts of places that count and of all, (1, 5, ...), to means (1, 4, ...)."""
    kept, count = (np.where(total > 0, total, np.nan) for total in (sums[:, 3:4], sums[:, 4:]))
    return np.concatenate([sums[:, :3] / kept, sums[:, 3:4] / count], axis=1)


def _counted(found: FloatArray, level: FloatArray, *, scoring: Scoring) -> FloatArray:
    """Sum the shares of the places of a block that count, and count these and all: (1, 5, 1, 1)."""
    _, part = kept_shares(found[0], level[0], scoring)
    if scoring.norm == "percent":
        part = np.arange(3)[:, None] == np.argmax(part, axis=0)
    valid = np.count_nonzero(np.isfinite(found[0]).all(axis=0))
    return np.array([*part.sum(axis=-1), part.shape[1], valid], np.float64)[None, :, None, None]


def _weighted(found: FloatArray, level: FloatArray, *, scoring: Scoring) -> FloatArray:
    """Return the shares of each place, 0 where it does not count, and whether it counts: (4, 1, y, x)."""
    part = shares(found, level, scoring)
    kept = np.isfinite(part[0])
    if scoring.norm == "percent":
        part = (np.arange(3)[:, None, None] == np.argmax(part, axis=0)).astype(np.float64)
    fields = np.concatenate([np.where(kept, part, 0.0), kept[None]])
    valid = np.isfinite(found).all(axis=0)
    return np.where(valid, fields, np.nan)[:, None]


def _maps(found: FloatArray, level: FloatArray, *, scoring: Scoring) -> FloatArray:
    part = shares(found[0], level[0], scoring)
    kept = np.isfinite(part[0])
    classes = np.where(kept, np.argmax(np.where(kept, part, 0.0), axis=0), np.nan)
    return np.concatenate([part, classes[None]])[None].astype(np.float32)


def check_support(at: Level, support: Level | None, distance: str) -> Level:
    """Return the support of a distance; raises OptionError where it contradicts `at`."""
    if at != "image":
        if not is_one_of(support, (None, at)):
            raise OptionError(f"at={at!r} returns a map of distances of that support; leave support= out.")
        return at
    if support is None:
        return MTF_SIDE if distance == "mtf" else "pixel"
    return check_level(support, "support")


def check_judging(threshold: float | Literal["auto"], quantile: float, scoring: Scoring) -> None:
    """Raise OptionError for a threshold, a quantile or a scoring that cannot judge."""
    if not is_one_of(threshold, ("auto",)) and not is_number(threshold):
        raise OptionError(f"threshold={shown(threshold)}: expected a distance, or 'auto' and quantile=.")
    if not is_number(quantile) or not 0 <= quantile <= 1:
        raise OptionError(f"quantile={shown(quantile)}: expected a share between 0 and 1.")
    if not isinstance(scoring, Scoring):
        raise OptionError(
            f"scoring={scoring!r}: expected an xr_sr.metrics.Scoring, such as Scoring(norm='percent'), "
            "Scoring(temperature=0.5)."
        )
    if scoring.norm not in ("softmin", "percent") or not scoring.temperature > 0:
        raise OptionError(f"{scoring}: norm is 'softmin' or 'percent', temperature above 0.")
