"""Compute the metrics of opensr-test 1.3.3, to compare with the literature: its formulas, float32, its order of steps.

Whole images of one date, (band, y, x), as there. Nothing here is how this package measures: `improvement` and
`agreement` are. Formulas: Aybar et al. 2024, doi:10.1109/LGRS.2024.3401394, and the package itself. Where it fails with
an error there is no number to return, and an OptionError says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr

from ..arguments import check_choice, check_flag, check_whole, count_of, items_of, shown, whole_or_none
from ..cube.names import listed
from ..errors import GridError, OptionError
from ..registration.correlation import phase_correlation_shift
from ..registration.warping import warp
from ..simulate.harmonization import match_histogram
from ..simulate.resample import downsample, upsample
from .fidelity import for_each_model
from .improvement import CLASSES, away_from
from .inputs import Image, ImageSeries, read, scale_of, together
from .reduce import FloatArray, Layout, map_images, trimmed

LARGE, TINY = np.float32(100), np.float32(1e-8)


OpenSRTestOption: TypeAlias = bool | int | float | str | tuple[int, ...] | None
"""A value of a field of `OpenSRTest`."""


@dataclass(frozen=True)
class OpenSRTest:
    """The options of opensr-test by its own names, with its defaults.

    agg_method: on what a distance is taken. patch_size: side of patches. border_mask: HR pixels that are cut off.
    rgb_bands: the bands whose shift is `spatial`. harm_apply_spectral, harm_apply_spatial: whether SR is harmonized
    with HR. *_distance: l1, l2, sad, psnr, kl, pbias, nd (or fd), mtf. gradient_threshold: "auto" is "auto75".
    """

    agg_method: Literal["pixel", "patch", "image"] = "pixel"
    patch_size: int | None = None
    border_mask: int = 16
    rgb_bands: tuple[int, ...] = (0, 1, 2)
    harm_apply_spectral: bool = True
    harm_apply_spatial: bool = True
    spatial_threshold_distance: float = 5.0
    reflectance_distance: str = "l1"
    spectral_distance: str = "sad"
    synthesis_distance: str = "l1"
    correctness_distance: str = "nd"
    correctness_norm: Literal["softmin", "percent"] = "softmin"
    correctness_temperature: float = 0.25
    im_score: float = 0.05
    om_score: float = 0.05
    ha_score: float = 0.05
    gradient_threshold: float | str = "auto"

    def __post_init__(self) -> None:
        """Raise OptionError for what opensr-test refuses, or fails at."""
        for name in ("harm_apply_spectral", "harm_apply_spatial"):
            check_flag(name, getattr(self, name))
        check_whole("border_mask", self.border_mask, least=0, unit="HR pixels")
        if self.patch_size is not None:
            check_whole("patch_size", self.patch_size, least=1, unit="pixels")
        places = items_of(self.rgb_bands)
        if not places or any(whole_or_none(place) is None for place in places):
            raise OptionError(f"rgb_bands={shown(self.rgb_bands)}: expected positions of bands, such as (0, 1, 2).")
        if not self.correctness_temperature > 0:
            raise OptionError(f"correctness_temperature={self.correctness_temperature!r}: expected a number above 0.")
        threshold = self.gradient_threshold
        if isinstance(threshold, str):
            share = re.fullmatch(r"auto(\d{0,3})", threshold)
            good = share is not None and 1 <= int(share[1] or 75) <= 100
        else:
            good = isinstance(threshold, int | float | np.number) and not math.isnan(threshold)
        if not good:
            raise OptionError(
                f"gradient_threshold={threshold!r}: expected a distance, 'auto', or 'auto' and a percentage from 1 to "
                "100, such as 'auto75'."
            )
        check_choice("agg_method", self.agg_method, ("pixel", "patch", "image"))
        check_choice("correctness_norm", self.correctness_norm, ("softmin", "percent"))
        if self.agg_method == "patch" and not self.patch_size:
            raise OptionError("agg_method='patch' needs patch_size=, a side in pixels, such as 32.")
        if self.agg_method == "image" and isinstance(self.gradient_threshold, str):
            raise OptionError(
                "agg_method='image' has one distance and no quantile of it: opensr-test fails here. "
                "Pass gradient_threshold=0.0, or pass profile='default'."
            )
        names = {self.reflectance_distance, self.spectral_distance, self.synthesis_distance, self.correctness_distance}
        if wrong := sorted(names - {*_FORMULAS, "mtf"}):
            raise OptionError(f"no distance {wrong}; there are {', '.join([*_FORMULAS, 'mtf'])}.")
        if "mtf" in names and self.agg_method == "pixel":
            raise OptionError("a single pixel has no frequencies; pass agg_method='patch' or 'image' with 'mtf'.")


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of opensr-test for one image: values, and maps (4, y, x) of im, om, ha and class without border."""

    reflectance: float
    spectral: float
    spatial: float
    synthesis: float
    improvement: float
    omission: float
    hallucination: float
    maps: FloatArray


def check_fits(config: OpenSRTest, scale: int, bands: int, shape: tuple[int, int]) -> None:
    """Raise OptionError where options do not fit images of so many bands and HR pixels (y, x)."""
    border = config.border_mask
    if border % scale:
        raise OptionError(
            f"border_mask={border} is no multiple of the scale {scale}: LR cannot be cut there, and opensr-test fails. "
            f"Pass border_mask={round(border / scale) * scale}, or pass profile='default'."
        )
    if 2 * border >= min(shape):
        raise OptionError(f"border_mask={border} leaves nothing of {shape[0]} x {shape[1]} pixels; pass border_mask=0.")
    if bands >= 3 and (wrong := [band for band in config.rgb_bands if not -bands <= band < bands]):
        raise OptionError(
            f"rgb_bands={tuple(config.rgb_bands)}: of {count_of(bands, 'band')}, counted from 0, none is {wrong}. "
            "Pass places that there are, such as rgb_bands=(0, 1, 2)."
        )


def opensr_test_outcome(
    lr: FloatArray, sr: FloatArray, hr: FloatArray, config: OpenSRTest, *, sr_harm: FloatArray | None = None
) -> Outcome:
    """Measure one image as opensr-test 1.3.3 does.

    lr: (band, y, x). sr, hr: (band, y * scale, x * scale). Any float type; taken as float32.
    sr_harm: SR without border, harmonized by someone else; by default it is harmonized here.
    Raises GridError for a scale that is not whole, OptionError.
    """
    lr, sr, hr = (np.asarray(image, np.float32) for image in (lr, sr, hr))
    scale = hr.shape[-1] // lr.shape[-1]
    if hr.shape[-1] % lr.shape[-1] or sr.shape != hr.shape:
        raise GridError(f"SR {sr.shape} and HR {hr.shape} must be alike, and a whole number of times LR {lr.shape}.")
    check_fits(config, scale, lr.shape[0], (hr.shape[-2], hr.shape[-1]))
    border = config.border_mask
    lr, sr, hr = trimmed(lr, border // scale), trimmed(sr, border), trimmed(hr, border)
    high, low = upsample(lr, scale), downsample(sr, scale)
    rgb = list(config.rgb_bands) if lr.shape[0] >= 3 else [0]

    found = {
        name: _mean(_distance(lr, low, name, config, scale))
        for name in {config.reflectance_distance, config.spectral_distance}
    }
    shift = _shift(lr[rgb], low[rgb], config)
    spatial = math.nan if shift is None else float(np.float32(math.hypot(*shift)))

    if sr_harm is None:
        sr_harm = harmonized(sr, hr, config)
    synthesis = _mean(_distance(high, sr_harm, config.synthesis_distance, config, scale))
    name = config.correctness_distance
    reference = _distance(high, hr, name, config, scale)
    improvement, omission = (_distance(sr_harm, image, name, config, scale) for image in (hr, high))
    numbers, maps = _correctness(reference, improvement, omission, config)
    if maps.ndim == 1:
        maps = np.broadcast_to(maps[:, None, None], (4, *hr.shape[-2:]))
    return Outcome(
        found[config.reflectance_distance], found[config.spectral_distance], spatial, synthesis, *numbers, maps
    )


def harmonized(sr: FloatArray, hr: FloatArray, config: OpenSRTest) -> FloatArray:
    """Match SR with HR: histograms band by band, then one shift of the whole image, linear, edges repeated."""
    out = np.asarray(sr, np.float32)
    if config.harm_apply_spectral:
        pairs = zip(out, hr, strict=True)
        out = np.stack([match_histogram(source, target) for source, target in pairs]).astype(np.float32)
    if config.harm_apply_spatial:
        shift = _shift(out, hr, config)
        if shift is not None and any(shift):
            out = warp(out, *shift, kernel="linear", edge="repeat")
    return out


def _shift(moving: FloatArray, reference: FloatArray, config: OpenSRTest) -> tuple[float, float] | None:
    """Return (dy, dx) by plain phase correlation of the mean over bands; None if it is longer than the threshold."""
    dy, dx = phase_correlation_shift(moving.mean(axis=0), reference.mean(axis=0), upsample=50)
    return None if math.hypot(dy, dx) > config.spatial_threshold_distance else (dy, dx)


def _distance(x: FloatArray, y: FloatArray, name: str, config: OpenSRTest, scale: int) -> FloatArray:
    """Measure two images: a map (y, x) for pixels and patches, one number, (), for the image."""
    if config.agg_method == "pixel":
        return _FORMULAS[name](x, y, 0)
    if config.agg_method == "image":
        return np.asarray(_of_image(x, y, name, scale))
    side = config.patch_size or 1
    size = x.shape[-2:]
    counts = [-(-length // side) for length in size]
    padding = [(0, 0)]
    for length, count in zip(size, counts, strict=True):
        spare = count * side - length
        padding.append((spare // 2, spare - spare // 2))
    x, y = np.pad(x, padding), np.pad(y, padding)
    values = np.empty(counts, np.float32)
    for row in range(counts[0]):
        for column in range(counts[1]):
            cut = (..., slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side))
            values[row, column] = _of_image(x[cut], y[cut], name, scale)
    rows, columns = (np.arange(length) * count // length for length, count in zip(size, counts, strict=True))
    return values[np.ix_(rows, columns)]


def _of_image(x: FloatArray, y: FloatArray, name: str, scale: int) -> FloatArray:
    if name != "mtf":
        return _FORMULAS[name](x, y, None)
    frequency = np.hypot(np.fft.fftfreq(x.shape[-2])[:, None], np.fft.fftfreq(x.shape[-1]))
    band = (frequency > 0.5 / scale) & (frequency < 0.5)
    one, other = (np.abs(np.fft.fft2(image))[..., band] for image in (x, y))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip(np.abs((other - one) / other), 0, 1).mean())


def _correctness(
    reference: FloatArray, improvement: FloatArray, omission: FloatArray, config: OpenSRTest
) -> tuple[tuple[float, float, float], FloatArray]:
    """Return the three numbers, and shares and class of each place (4, ...)."""
    threshold = config.gradient_threshold
    if isinstance(threshold, str):
        share = int(threshold.removeprefix("auto") or 75) / 100
        rank = int(share * reference.size)
        if not rank:
            raise OptionError(
                f"gradient_threshold={threshold!r} of {reference.size} distances is none of them: opensr-test fails "
                "here. Pass a number, or a larger image."
            )
        threshold = float(np.partition(reference, rank - 1, axis=None)[rank - 1])
    level = np.float32(threshold)
    keep = (reference > level) | (improvement > level) | (omission > level)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x, y = improvement / reference, omission / reference
        scores = map(np.float32, (config.im_score, config.om_score, config.ha_score))
        away = np.where(keep, away_from(x, y, *scores), np.nan)
        scaled = -away / np.float32(config.correctness_temperature)
        powers = np.exp(scaled - scaled.max(axis=0))
        part = powers / powers.sum(axis=0)
    classes = np.where(keep, np.argmax(part, axis=0), np.nan)
    if config.correctness_norm == "percent":
        numbers = tuple(float((classes[keep] == number).mean()) if keep.any() else math.nan for number in range(3))
    else:
        numbers = tuple(_mean(values) for values in part)
    return (numbers[0], numbers[1], numbers[2]), np.concatenate([part, classes[None]]).astype(np.float32)


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if known.size else math.nan


# Formulas of (band, y, x): axis 0 is per pixel, None of the whole image.


def _l1(x: FloatArray, y: FloatArray, axis: int | None) -> FloatArray:
    return np.asarray(np.nanmean(np.abs(x - y), axis=axis))


def _l2(x: FloatArray, y: FloatArray, axis: int | None) -> FloatArray:
    return np.asarray(np.nanmean(np.square(x - y), axis=axis))


def _sad(x: FloatArray, y: FloatArray, axis: int | None) -> FloatArray:
    lengths = np.sqrt(np.square(x).sum(axis=axis)) * np.sqrt(np.square(y).sum(axis=axis))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.degrees(np.arccos(np.clip((x * y).sum(axis=axis) / lengths, -1, 1))))


def _psnr(x: FloatArray, y: FloatArray, axis: int | None) -> FloatArray:
    error = np.maximum(_l2(x, y, axis), np.float32(1e-10))
    with np.errstate(divide="ignore"):
        return np.asarray(1 / (10 * np.log10(1 / error)))


def _kl(x: FloatArray, y: FloatArray, axis: int | None) -> FloatArray:
    ratio = np.clip(np.abs(x / (y + TINY)), 1 / LARGE, LARGE)
    return np.asarray(x.mean(axis=axis) * np.log(ratio.mean(axis=axis)))


def _pbias(x: FloatArray, y: FloatArray, axis: int | None) -> FloatArray:
    return np.asarray(np.nanmean(np.clip(np.abs((x - y) / (y + TINY)), 1 / LARGE, LARGE), axis=axis))


def _nd(x: FloatArray, y: FloatArray, axis: int | None) -> FloatArray:
    return np.asarray(np.nanmean(np.abs(x - y) / np.abs(x + y + TINY), axis=axis))


_FORMULAS = {"l1": _l1, "l2": _l2, "sad": _sad, "psnr": _psnr, "kl": _kl, "pbias": _pbias, "nd": _nd, "fd": _nd}


NUMBERS = ("reflectance", "spectral", "spatial", "synthesis", *CLASSES)


def opensr_test(
    lr: Image, sr: Image | Mapping[str, Image], hr: Image, *, maps: bool = False, **options: OpenSRTestOption
) -> xr.Dataset:
    """Return the metrics of opensr-test 1.3.3 for each date, or its maps of improvement, omission and hallucination.

    lr, sr, hr: as for `correctness`; whole images are held in memory, one date at a time, as there. options: the fields
    of `OpenSRTest`, which are the options of opensr-test, such as correctness_distance="l1".
    Returns a Dataset, lazy if an input is: reflectance, spectral, spatial, synthesis, improvement, omission,
    hallucination along time; or with `maps` the last three and `classification` on the grid of SR, NaN in the border.
    Raises OptionError for what opensr-test lacks or fails at, GridError, CubeError, MissingBandError.
    """
    check_flag("maps", maps)
    config = configured(options)
    low, true = read(lr, "LR"), read(hr, "HR")
    return for_each_model(sr, lambda fine: measured(low, fine, true, config, maps=maps), low, true)


def configured(options: Mapping[str, Any]) -> OpenSRTest:
    """Return the options of opensr-test with its defaults; raises OptionError for names and values that it lacks."""
    known = OpenSRTest.__dataclass_fields__
    if wrong := [name for name in options if name not in known]:
        raise OptionError(f"opensr-test has no option {listed(wrong)}; it has {', '.join(known)}.")
    return OpenSRTest(**options)


def measured(lr: ImageSeries, sr: ImageSeries, hr: ImageSeries, config: OpenSRTest, *, maps: bool) -> xr.Dataset:
    """Measure scenes as `opensr_test` does; always lazy."""
    sr, lr, hr = together(sr, lr, hr)
    scale = scale_of(lr, sr, hr)
    check_fits(config, scale, len(sr.keys), sr.shape)
    inputs = [(scene.data.rechunk((1, -1, -1, -1)), "tbyx") for scene in (lr, sr, hr)]
    attrs = {"profile": "opensr-test", "distance": config.correctness_distance, "support": config.agg_method}
    if maps:
        layout = Layout((sr.shape[0],), (sr.shape[1],))
        found = map_images(_maps, inputs, "tkyx", layout, new={"k": 4}, dtype=np.float32, config=config)
        names = (*CLASSES, "classification")
        variables = {name: sr.wrap(found[:, place], ("time", "y", "x"), name=name) for place, name in enumerate(names)}
        return xr.Dataset(variables, attrs=attrs)
    found = map_images(_numbers, inputs, "tkyx", Layout((1,), (1,)), new={"k": len(NUMBERS)}, config=config)[:, :, 0, 0]
    variables = {name: sr.wrap(found[:, place], ("time",), name=name) for place, name in enumerate(NUMBERS)}
    return xr.Dataset(variables, attrs=attrs)


def _outcome(lr: FloatArray, sr: FloatArray, hr: FloatArray, config: OpenSRTest) -> Outcome:
    if not all(np.isfinite(image).all() for image in (lr, sr, hr)):
        raise OptionError("opensr-test has no nodata, and an image holds NaN. Crop it, or pass profile='default'.")
    return opensr_test_outcome(lr, sr, hr, config)


def _numbers(lr: FloatArray, sr: FloatArray, hr: FloatArray, *, config: OpenSRTest) -> FloatArray:
    outcome = _outcome(lr[0], sr[0], hr[0], config)
    return np.array([getattr(outcome, name) for name in NUMBERS])[None, :, None, None]


def _maps(lr: FloatArray, sr: FloatArray, hr: FloatArray, *, config: OpenSRTest) -> FloatArray:
    maps = _outcome(lr[0], sr[0], hr[0], config).maps
    border = config.border_mask
    return np.pad(maps, [(0, 0), (border, border), (border, border)], constant_values=np.nan)[None]
