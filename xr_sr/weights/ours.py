"""The records of the models whose weights are inside the package: data alone, which `catalog` registers.

How the weights were made: `xr_sr.training.bundled`, and docs/model_card.md.
"""

from __future__ import annotations

from dataclasses import replace

from ..spec import ModelSpec, WeightsFile

__all__ = ["FAST", "RGBN", "TEN"]

RGBN = ModelSpec(
    name="sen2sr.rgbn-x4",
    summary="Ours, the four 10 m bands to 2.5 m: taught by SEN2SRLite, always at hand",
    architecture="xr_sr.models.lean:LeanSPAN",
    bands=("B04", "B03", "B02", "B08"),
    bands_out=("B04", "B03", "B02", "B08"),
    scale=4,
    halo=10,  # receptive field 6 + constraint 4, tested
    gsd_m=10.0,
    level="L2A",
    config=(("bands", 4), ("channels", 24), ("upscale", 4)),
    constrained=True,
    selects=True,
    weights=WeightsFile(
        path="distilled_24.safetensors",
        sha256="48712290d8553526555874d0234994948c2409059fe823eef359b6793bb9a65f",
        size=231_072,
        home="package",
    ),
    licence="Apache-2.0",
    citation="xr_sr, and what it learnt from: doi:10.1016/j.rse.2025.115222",
)

FAST = replace(
    RGBN,
    name="sen2sr-fast",
    summary="As sen2sr for the 10 m bands, half as wide: less time, a little farther from what taught it",
    config=(("bands", 4), ("channels", 12), ("upscale", 4)),
    weights=WeightsFile(
        path="distilled_12.safetensors",
        sha256="de0436378d56a9dbd2d26e2ca80c7a00f4363daf4724e4c1b5eeb168fd6dba78",
        size=80_536,
        home="package",
    ),
)

_COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
_TEN = ("B02", "B03", "B04", "B08", *_COARSE)

TEN = replace(
    RGBN,
    name="sen2sr.ten-x4",
    summary="Ours, ten bands of 10 m and 20 m to 2.5 m in one pass: taught by SEN2SRLite, always at hand",
    architecture="xr_sr.models.lean_fusion:LeanFusion",
    bands=_TEN,
    bands_out=_TEN,
    coarse=_COARSE,
    fine_alone=True,
    halo=14,  # receptive field 6 + constraint 8, tested
    config=(("bands", 10), ("coarse", 6), ("channels", 24), ("coarse_channels", 24), ("upscale", 4)),
    weights=WeightsFile(
        path="distilled_ten.safetensors",
        sha256="a47782cb2c96ef2ea5bad311386d5d600fafd07e2718282c53294c2547e56e39",
        size=485_624,
        home="package",
    ),
)
