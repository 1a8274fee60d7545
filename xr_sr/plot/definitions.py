"""What each number of an evaluation is called, its unit, which way is better, and what it means: data for reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Better: TypeAlias = Literal["low", "high", "zero", ""]


@dataclass(frozen=True)
class Definition:
    """How a metric is shown. better: which values are; "" where neither end is. text: one sentence or two."""

    label: str
    unit: str
    better: Better
    text: str


PER_OBJECT = "_per_object"
"""What ends the names of metrics that `evaluate` gives for each object."""

CONSISTENCY = "Consistency with LR"
CORRECTNESS = "Correctness against HR"
FIDELITY = "Fidelity to HR"
PERCEPTION = "Perception"

GROUPS: Mapping[str, tuple[str, ...]] = {
    CONSISTENCY: ("reflectance", "spectral", "spatial"),
    CORRECTNESS: ("synthesis", "improvement", "omission", "hallucination", "kept", "threshold"),
    FIDELITY: ("rmse", "mae", "psnr", "ssim", "sam", "ergas", "q_index"),
    PERCEPTION: ("lpips", "clip"),
}
"""Metrics in reading order."""

DEFINITIONS: Mapping[str, Definition] = {
    "reflectance": Definition(
        "Reflectance",
        "",
        "low",
        "Distance between LR and SR brought back to the grid of LR: what SR changed that the sensor had measured.",
    ),
    "spectral": Definition(
        "Spectral angle", "°", "low", "Angle between the spectra of LR and of SR brought back to the grid of LR."
    ),
    "spatial": Definition(
        "Shift",
        "LR px",
        "low",
        "Length of the shift between LR and SR brought back to the grid of LR. Empty where no shift could be told.",
    ),
    "synthesis": Definition(
        "Synthesis",
        "",
        "",
        "Distance between SR and LR interpolated to its grid: how much SR added. More is neither "
        "better nor worse; whether it is right, say the next three.",
    ),
    "improvement": Definition("Improvement", "", "high", "Share of the detail of HR beyond LR that SR shows."),
    "omission": Definition(
        "Omission", "", "low", "Share of the detail of HR beyond LR that SR leaves out, staying with LR."
    ),
    "hallucination": Definition(
        "Hallucination",
        "",
        "low",
        "Share of detail in SR that neither LR nor HR shows. Improvement, omission and "
        "hallucination add up to 1, over the pixels where any of them can be told.",
    ),
    "kept": Definition(
        "Counted",
        "",
        "",
        "Share of the places where improvement, omission and hallucination are told: those where LR, SR "
        "and HR differ by more than the threshold.",
    ),
    "threshold": Definition(
        "Threshold", "", "", "The distance that LR, SR and HR must differ by at a place for it to be counted."
    ),
    "rmse": Definition("RMSE", "", "low", "Root of the mean squared difference between SR and HR, in reflectance."),
    "mae": Definition("MAE", "", "low", "Mean absolute difference between SR and HR, in reflectance."),
    "psnr": Definition("PSNR", "dB", "high", "10 log10(peak² / mean squared difference) of SR and HR."),
    "ssim": Definition(
        "SSIM", "", "high", "Structural similarity of SR and HR (Wang et al. 2004); 1 for equal images."
    ),
    "sam": Definition("SAM", "°", "low", "Mean angle between the spectra of SR and HR."),
    "ergas": Definition(
        "ERGAS", "", "low", "Relative error over all bands (Wald 2000): 100 / scale × root mean square of RMSE / mean."
    ),
    "q_index": Definition(
        "Q-index", "", "high", "Universal quality index (Wang and Bovik 2002) of SR and HR; 1 for equal images."
    ),
    "lpips": Definition(
        "LPIPS", "", "low", "Learned perceptual distance (Zhang et al. 2018) in three bands; 0 for equal pictures."
    ),
    "clip": Definition("CLIP", "", "low", "Distance of SR and HR in the space of an image tower of CLIP."),
}


def defined(name: str) -> Definition:
    """Return the definition of a metric; one that is not known goes by its own name."""
    whole, per, _ = name.partition(PER_OBJECT)
    known = DEFINITIONS.get(whole)
    if known is None:
        return Definition(name, "", "", "")
    return replace(known, label=f"{known.label} per object", text="") if per else known
