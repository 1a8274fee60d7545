"""The records of the models whose weights are inside the package: data alone, which `registry` registers.

How the weights were made: `recipes/bundled.py`, and docs/model_card.md.
"""

from __future__ import annotations

from dataclasses import replace

from ..spec import ModelSpec, WeightsFile

__all__ = ["FAST", "RGBN", "TEN"]

RGBN = ModelSpec(
    name="sen2sr.rgbn-x4",
    summary="Ours, the four 10 m bands to 2.5 m: taught by SEN2SRLite, always at hand",
    architecture="xr_sr.networks.lean:LeanSPAN",
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
        sha256="6d1a26cdd1fe026a3ee9079587dd6b1423e0c7177415c0f8d80e9142b03cf0ec",
        size=231_808,
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
        sha256="5f3a3f143fa0ca9860bc4eb9ac4220e461b405a0efa80d3e65f40ce547a97216",
        size=80_792,
        home="package",
    ),
)

_COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
_TEN = ("B02", "B03", "B04", "B08", *_COARSE)

TEN = replace(
    RGBN,
    name="sen2sr.ten-x4",
    summary="Ours, ten bands of 10 m and 20 m to 2.5 m in one pass: taught by SEN2SRLite, always at hand",
    architecture="xr_sr.networks.lean_fusion:LeanFusion",
    bands=_TEN,
    bands_out=_TEN,
    coarse=_COARSE,
    fine_alone=True,
    halo=14,  # receptive field 6 + constraint 8, tested
    config=(("bands", 10), ("coarse", 6), ("channels", 24), ("coarse_channels", 24), ("upscale", 4)),
    weights=WeightsFile(
        path="distilled_ten.safetensors",
        sha256="be85d74d8fb59a94fa728fb67dca50e264e6c8b2683a8ac591c3ca33448c44fd",
        size=491_400,
        home="package",
    ),
)
