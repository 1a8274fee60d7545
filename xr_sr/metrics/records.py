"""List the metrics: one record for each, with its formula, unit, direction, label, meaning and source.

`evaluate`, its `table` and the report of `xr_sr.plot` read this list. A new metric is a record in `METRICS`; metrics
without a formula are computed together by the function that the record names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from ..arguments import check_choice, is_one_of, shown
from ..errors import OptionError
from .distances import Q_RADIUS, SSIM_RADIUS, angle_map, mean, q_map, ssim_map
from .reduce import STRIP, FloatArray, summed

Direction: TypeAlias = "Literal['higher', 'lower'] | float | None"
Reference: TypeAlias = Literal["lr", "sr", "hr"]

PER_OBJECT = "_per_object"
"""Suffix of the names of metrics that `evaluate` computes for each object."""


BY_FUNCTION = ("consistency", "synthesis", "correctness", "lpips", "clip_distance")
"""Functions that compute several metrics at once, or need weights: what `Metric.formula` may name."""

_COMPARED: tuple[tuple[Reference, ...], ...] = (("sr",), ("lr", "sr"), ("sr", "hr"))
"""The cubes that a Formula may compare; a grid is defined for these."""


@dataclass(frozen=True)
class Formula:
    """A metric as a function of means over pixels.

    per_pixel: blocks (band, y, x), one for each cube that the metric needs, wider by the halo, and the options, to
        (field, band or 1, y, x), NaN where a pixel does not count.
    finish: means of the fields (field, time, band, object, y, x), and the options, to the value.
    fields: number of fields. halo: pixels around a block that per_pixel needs. options: arguments of `evaluate` that
        both functions take by keyword: "peak", "scale". bands: "each", a value per band; "pixels", per_pixel reduces
        the bands; "joined", finish reduces them. least_bands: with fewer bands the metric is left out.
    Raises OptionError.
    """

    per_pixel: Callable[..., FloatArray]
    finish: Callable[..., FloatArray]
    fields: int = 1
    halo: int = 0
    options: tuple[Literal["peak", "scale"], ...] = ()
    bands: Literal["each", "pixels", "joined"] = "each"
    least_bands: int = 1

    def __post_init__(self) -> None:
        check_choice("bands", self.bands, ("each", "pixels", "joined"))
        if unknown := [name for name in self.options if name not in ("peak", "scale")]:
            raise OptionError(f"options={self.options!r}: evaluate passes 'peak' and 'scale'; unknown are {unknown}.")

    def on_block(self, *blocks: FloatArray, **options: float) -> FloatArray:
        """Call `per_pixel`, strip by strip, which a cache holds.

        Raises ValueError where it returns another number of fields, or pixels of the halo.
        """
        strips = [self._on_strip(strip, options) for strip in self._strips(blocks)]
        return strips[0] if len(strips) == 1 else np.concatenate(strips, axis=-2)

    def sums(self, *blocks: FloatArray, **options: float) -> FloatArray:
        """Sum what `on_block` returns over the pixels that count, and count these: (field + 1, band or 1)."""
        total: FloatArray | None = None
        for strip in self._strips(blocks):
            part = summed(self._on_strip(strip, options).astype(np.float64, copy=False))
            total = part if total is None else total + part
        assert total is not None, "a block has pixels"
        return total

    def _strips(self, blocks: Sequence[FloatArray]) -> Iterator[list[FloatArray]]:
        """Cut blocks into strips of rows, each with its halo."""
        bands, height, width = blocks[0].shape[-3:]
        rows = max(STRIP // max(width * bands, 1), 16 * self.halo, 1)
        for start in range(0, max(height - 2 * self.halo, 1), rows):
            yield [block[..., start : start + rows + 2 * self.halo, :] for block in blocks]

    def _on_strip(self, blocks: Sequence[FloatArray], options: Mapping[str, float]) -> FloatArray:
        fields = np.asarray(self.per_pixel(*blocks, **options))
        rows, columns = (side - 2 * self.halo for side in blocks[0].shape[-2:])
        if fields.ndim != 4 or fields.shape[0] != self.fields or fields.shape[-2:] != (rows, columns):
            raise ValueError(
                f"{self.per_pixel.__name__} returned {fields.shape} for blocks {blocks[0].shape}; expected (field, "
                f"band, y, x): {self.fields} fields and, without the halo of {self.halo}, {rows} x {columns} pixels."
            )
        return fields


@dataclass(frozen=True)
class Metric:
    """A metric: what it is called, how it is computed and how it is read.

    name: in the Dataset of `evaluate`. label: in tables and figures. unit: as in CF, "1" without one. direction: which
    values are better, "higher", "lower" or those nearest a number; None where neither is. meaning: one sentence.
    source: where the formula comes from. group: heading in the report. needs: the cubes that it compares; a formula of
    ("sr", "hr") or ("sr",) is computed on the grid of SR, one of ("lr", "sr") on that of LR, to which SR is averaged.
    formula: a Formula, or the name of the function that computes several metrics at once, one of `BY_FUNCTION`;
    "" for a variable that no record describes.
    Raises OptionError for other names, directions and cubes.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    meaning: str
    source: str
    group: str
    needs: tuple[Reference, ...]
    formula: Formula | str

    def __post_init__(self) -> None:
        said = f"the metric {self.name!r}"
        if isinstance(self.formula, str) and self.formula not in (*BY_FUNCTION, ""):
            raise OptionError(
                f"{said}: formula={self.formula!r}: expected a Formula, or the name of a function that computes "
                f"several metrics: {', '.join(BY_FUNCTION)}."
            )
        if isinstance(self.formula, Formula) and not is_one_of(self.needs, _COMPARED):
            raise OptionError(
                f"{said}: needs={self.needs!r}: a Formula compares one of {', '.join(map(repr, _COMPARED))}."
            )
        if isinstance(self.direction, str) and self.direction not in ("higher", "lower"):
            raise OptionError(
                f"{said}: direction={shown(self.direction)}: expected 'higher', 'lower', the best value, or None."
            )

    @property
    def better(self) -> str:
        """Which values are better, in words; "" where neither is."""
        if self.direction is None or isinstance(self.direction, str):
            return self.direction or ""
        return f"nearest {self.direction:g}"

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of a variable with values of this metric."""
        better = {"xr_sr:better": self.better} if self.better else {}
        return {"long_name": self.label, "units": self.unit, **better}


def _squared(sr: FloatArray, hr: FloatArray, **_: float) -> FloatArray:
    return np.square(sr.astype(np.float64) - hr)[None]


def _absolute(sr: FloatArray, hr: FloatArray) -> FloatArray:
    return np.abs(sr.astype(np.float64) - hr)[None]


def _similarity(sr: FloatArray, hr: FloatArray, *, peak: float) -> FloatArray:
    return ssim_map(sr, hr, peak=peak)[None]


def _quality(sr: FloatArray, hr: FloatArray) -> FloatArray:
    return q_map(sr, hr)[None]


def _angles(sr: FloatArray, hr: FloatArray) -> FloatArray:
    return angle_map(sr, hr)[None, None]


def _errors_and_values(sr: FloatArray, hr: FloatArray, **_: float) -> FloatArray:
    reference = hr.astype(np.float64)
    return np.stack([np.square(sr - reference), reference + 0 * sr])


def _root(means: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(means[0]))


def _decibel(means: FloatArray, *, peak: float) -> FloatArray:
    return np.asarray(10 * np.log10(peak**2 / means[0]))


def _relative(means: FloatArray, *, scale: float) -> FloatArray:
    # Bands lie along axis 1 of (time, band, object, y, x).
    ratio = (means[0] / np.square(means[1])).mean(axis=1, keepdims=True)
    return np.asarray(100 / scale * np.sqrt(ratio))


_CONSISTENCY, _CORRECTNESS = "Consistency with LR", "Correctness against HR"
_FIDELITY, _PERCEPTION = "Fidelity to HR", "Perception"
_OPENSR_TEST = "Aybar et al. 2024, doi:10.1109/LGRS.2024.3401394"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "reflectance", "Reflectance", "1", "lower",
            "Distance between LR and SR as its sensor sees it: how far SR departs from what was measured.",
            _OPENSR_TEST, _CONSISTENCY, ("lr", "sr"), "consistency",
        ),
        Metric(
            "spectral", "Spectral angle", "degrees", "lower",
            "Angle between the spectra of LR and of SR as its sensor sees it.",
            _OPENSR_TEST, _CONSISTENCY, ("lr", "sr"), "consistency",
        ),
        Metric(
            "spatial", "Shift", "LR pixels", "lower",
            "Length of the shift between LR and SR as its sensor sees it; empty where it cannot be estimated.",
            _OPENSR_TEST, _CONSISTENCY, ("lr", "sr"), "consistency",
        ),
        Metric(
            "synthesis", "Synthesis", "1", None,
            "Distance between SR and LR interpolated to its grid: how much SR adds, whether right (improvement) or "
            "wrong (hallucination).",
            _OPENSR_TEST, _CORRECTNESS, ("lr", "sr"), "synthesis",
        ),
        Metric(
            "improvement", "Improvement", "1", "higher",
            "Share of the detail of HR beyond LR that SR shows.",
            _OPENSR_TEST, _CORRECTNESS, ("lr", "sr", "hr"), "correctness",
        ),
        Metric(
            "omission", "Omission", "1", "lower",
            "Share of the detail of HR beyond LR that SR leaves out, staying with LR.",
            _OPENSR_TEST, _CORRECTNESS, ("lr", "sr", "hr"), "correctness",
        ),
        Metric(
            "hallucination", "Hallucination", "1", "lower",
            "Share of detail in SR that neither LR nor HR shows; improvement, omission and hallucination add up to 1 "
            "over the pixels that are counted.",
            _OPENSR_TEST, _CORRECTNESS, ("lr", "sr", "hr"), "correctness",
        ),
        Metric(
            "kept", "Counted", "1", None,
            "Share of the places where improvement, omission and hallucination are counted: those where LR, SR and HR "
            "differ by more than the threshold.",
            _OPENSR_TEST, _CORRECTNESS, ("lr", "sr", "hr"), "correctness",
        ),
        Metric(
            "threshold", "Threshold", "1", None,
            "The distance by which LR, SR and HR must differ at a place for it to be counted.",
            _OPENSR_TEST, _CORRECTNESS, ("lr", "sr", "hr"), "correctness",
        ),
        Metric(
            "rmse", "RMSE", "1", "lower", "Root mean squared difference between SR and HR, in reflectance.",
            "Definition", _FIDELITY, ("sr", "hr"), Formula(_squared, _root),
        ),
        Metric(
            "mae", "MAE", "1", "lower", "Mean absolute difference between SR and HR, in reflectance.",
            "Definition", _FIDELITY, ("sr", "hr"), Formula(_absolute, mean),
        ),
        Metric(
            "psnr", "PSNR", "dB", "higher", "10 log10(peak² / mean squared difference) of SR and HR.",
            "Definition", _FIDELITY, ("sr", "hr"), Formula(_squared, _decibel, options=("peak",)),
        ),
        Metric(
            "ssim", "SSIM", "1", "higher", "Structural similarity of SR and HR (Wang et al. 2004); 1 for equal images.",
            "Wang et al. 2004, doi:10.1109/TIP.2003.819861", _FIDELITY, ("sr", "hr"),
            Formula(_similarity, mean, halo=SSIM_RADIUS, options=("peak",)),
        ),
        Metric(
            "sam", "SAM", "degrees", "lower", "Mean angle between the spectra of SR and HR.",
            "Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N", _FIDELITY, ("sr", "hr"),
            Formula(_angles, mean, bands="pixels", least_bands=2),
        ),
        Metric(
            "ergas", "ERGAS", "1", "lower",
            "Relative error over all bands (Wald 2000): 100 / scale × root mean square of RMSE / mean.",
            "Wald 2000, Quality of high resolution synthesised images", _FIDELITY, ("sr", "hr"),
            Formula(_errors_and_values, _relative, fields=2, options=("scale",), bands="joined"),
        ),
        Metric(
            "q_index", "Q-index", "1", "higher",
            "Universal quality index (Wang and Bovik 2002) of SR and HR; 1 for equal images.",
            "Wang and Bovik 2002, doi:10.1109/97.995823", _FIDELITY, ("sr", "hr"),
            Formula(_quality, mean, halo=Q_RADIUS),
        ),
        Metric(
            "lpips", "LPIPS", "1", "lower",
            "Learned perceptual distance (Zhang et al. 2018) in three bands; 0 for equal pictures.",
            "Zhang et al. 2018, arXiv:1801.03924", _PERCEPTION, ("sr", "hr"), "lpips",
        ),
        Metric(
            "clip", "CLIP", "1", "lower", "Distance of SR and HR in the embedding space of a CLIP image encoder.",
            "Radford et al. 2021, arXiv:2103.00020", _PERCEPTION, ("sr", "hr"), "clip_distance",
        ),
    )
}  # fmt: skip
"""All metrics by name, in reading order: the order of the report."""


def record_of(name: str) -> Metric:
    """Return the record of a variable of `evaluate`, also of "<name>_per_object"; one of its name for any other."""
    whole, per_object, _ = name.partition(PER_OBJECT)
    known = METRICS.get(whole)
    if known is None:
        return Metric(name, name, "1", None, "", "", "Other", (), "")
    return replace(known, label=f"{known.label} per object", meaning="", group="Other") if per_object else known
