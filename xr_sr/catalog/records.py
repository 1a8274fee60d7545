"""Records of the models with weights: those in the package, and SEN2SRLite as published. Data alone, for `registry`.

How the weights in the package were made: `recipes/bundled.py` of the repository, and docs/model_card.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..spec import LowPass, ModelSpec, RadialSigmoid, WeightsFile

__all__ = ["SEN2SR_FAST", "SEN2SR_LITE_MAIN", "SEN2SR_LITE_RGBN", "SEN2SR_LITE_RSWIR", "SEN2SR_RGBN", "SEN2SR_TEN"]

FINE = ("B02", "B03", "B04", "B08")
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""The order of the published code; that of the `mlm.json` beside the weights is another, and wrong for them."""


def _network(summary: str, file: str, sha256: str, size: int, **known: object) -> ModelSpec:
    """Return the record of one network of the ten-band model, on one grid: ten bands in, the six coarse ones out."""
    config = (("in_channels", 10), ("out_channels", 6), ("feature_channels", 24), ("upscale", 1), ("num_blocks", 6))
    record = ModelSpec(
        name="sen2sr-lite.main",
        summary=summary,
        architecture="xr_sr.networks.span:SPAN",
        bands=(*COARSE, *FINE),
        bands_out=COARSE,
        scale=1,
        halo=6,
        level="L2A",
        config=config,
        non_negative=True,
        weights=WeightsFile(path=f"SEN2SRLite/main/{file}", sha256=sha256, size=size),
        licence="CC0-1.0",
        citation="Remote Sensing of Environment (2026), doi:10.1016/j.rse.2025.115222",
        url="https://huggingface.co/tacofoundation/SEN2SR",
    )
    return replace(record, **known)  # type: ignore[arg-type]  # fields of the record


_TO_10M = _network(
    "The six 20 m bands of SEN2SRLite to 10 m, guided by the 10 m bands",
    "f2_model.safetensor",
    "7bb734f630329545a806fe907f264122a5feb347dbe698c5529ea95f6cb1edff",
    2_285_088,
    # Masks are Gaussians of 7.41 bins on 128 and of 7.61 on 512. Radii: beyond 4 sigma nothing shows in the results.
    low_pass=LowPass(sigma=128 / (2 * math.pi * 7.41), radius=12),
)
_FINE = _network(
    "The four 10 m bands of SEN2SRLite to 2.5 m, as its ten-band model holds them to the input",
    "sr_model.safetensor",
    "479aa796d5068d0b1206118ccbca27bd3223df0214db1a9b31a1e18349ed1c7e",
    2_308_216,
    bands=("B04", "B03", "B02", "B08"),
    bands_out=("B04", "B03", "B02", "B08"),
    scale=4,
    config=(("in_channels", 4), ("out_channels", 4), ("feature_channels", 24), ("upscale", 4), ("num_blocks", 6)),
    low_pass=RadialSigmoid(cutoff=48 / 512, sharpness=7.25 / 512, radius=32, rank=6),
)
_TO_2M5 = _network(
    "The six 20 m bands of SEN2SRLite from 10 m to 2.5 m, guided by the 10 m bands at 2.5 m",
    "model.safetensor",
    "f45c99af1d08408cb622ba02d1aeadaab2ca964f08991feeb4fd7ffd5197f59d",
    2_285_088,
    gsd_m=2.5,
    low_pass=LowPass(sigma=512 / (2 * math.pi * 7.61), radius=44),
)

SEN2SR_LITE_RGBN = replace(
    _FINE,
    name="sen2sr-lite.rgbn-x4",
    summary="SEN2SRLite of ESA OpenSR, the four 10 m bands to 2.5 m: a small convolutional network",
    halo=10,  # receptive field 6 + constraint 3 + bicubic 1, tested
    # The official mask is a Gaussian of 35 bins on 512; beyond 4.3 sigma nothing is left in float32 that shows.
    low_pass=LowPass(sigma=512 / (2 * math.pi * 35), radius=10),
    weights=WeightsFile(  # the file of the ten-band model under another name, byte for byte
        path="SEN2SRLite/NonReference_RGBN_x4/model.safetensor",
        sha256="479aa796d5068d0b1206118ccbca27bd3223df0214db1a9b31a1e18349ed1c7e",
        size=2_308_216,
    ),
)
SEN2SR_LITE_MAIN = replace(
    _FINE,
    summary="SEN2SRLite of ESA OpenSR, ten bands of 10 m and 20 m to 2.5 m: three small convolutional networks",
    architecture="",
    bands=(*FINE, *COARSE),
    bands_out=TEN,
    coarse=COARSE,
    halo=32,  # at 2.5 m 44 + 6, thus 13; bilinear 1; at 10 m 12 + 6; even for two grids; tested
    config=(),
    low_pass=None,
    weights=None,
    parts=(("x2", _TO_10M), ("fine", _FINE), ("x4", _TO_2M5)),
)
SEN2SR_LITE_RSWIR = replace(
    SEN2SR_LITE_MAIN,
    name="sen2sr-lite.rswir-x2",
    summary="SEN2SRLite of ESA OpenSR, the six 20 m bands to 10 m: the first step of its ten-band model",
    scale=1,
    halo=18,  # 12 + 6
    parts=(("x2", replace(_TO_10M, name="sen2sr-lite.rswir-x2")),),
)


SEN2SR_RGBN = ModelSpec(
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

SEN2SR_FAST = replace(
    SEN2SR_RGBN,
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

_IN_ORDER = ("B02", "B03", "B04", "B08", *COARSE)

SEN2SR_TEN = replace(
    SEN2SR_RGBN,
    name="sen2sr.ten-x4",
    summary="Ours, ten bands of 10 m and 20 m to 2.5 m in one pass: taught by SEN2SRLite, always at hand",
    architecture="xr_sr.networks.lean_fusion:LeanFusion",
    bands=_IN_ORDER,
    bands_out=_IN_ORDER,
    coarse=COARSE,
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
