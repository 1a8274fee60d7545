"""The records of the models whose weights are inside the package: data alone, which `catalog` registers.

How the weights were made: `xr_sr.training.bundled`, and docs/model_card.md.
"""

from __future__ import annotations

from ..spec import ModelSpec, WeightsFile

__all__ = ["RGBN"]

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
    weights=WeightsFile(
        path="distilled_24.safetensors",
        sha256="54f40a4cfe485cd99eb426f6ca5a517c5a8202b74a4b592b1fdbe45cce26830e",
        size=221_192,
        home="package",
    ),
    licence="Apache-2.0",
    citation="xr_sr, and what it learnt from: doi:10.1016/j.rse.2025.115222",
)
