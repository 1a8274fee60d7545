"""Records of the package's models, in reading order: interpolation, pansharpening, our networks, SEN2SRLite.

Data alone, for `registry`. How the weights in the package were made: `recipes/residual.py` and, of the first edition,
`recipes/bundled.py` of the repository, and docs/model_card.md. SEN2SRLite is listed as its authors published it.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..spec import LowPass, RadialSigmoid, WeightsFile
from .generative import Diffusion
from .models import Cascade, Interpolation, Kriging, Model, Network, Pansharpening

RGBN = ("B04", "B03", "B02", "B08")
FINE = ("B02", "B03", "B04", "B08")
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""The order of SEN2SRLite's published code; that of the `mlm.json` beside its weights is another, and wrong for them.
"""

SEN2SR_RGBN = Network(
    "sen2sr.rgbn-x4",
    "Ours, the four 10 m bands to 2.5 m: kriging and what a small network adds to it, in the package",
    "xr_sr.kernels.kriging_network:KrigingNetwork",
    bands=RGBN,
    bands_out=RGBN,
    scale=4,
    halo=13,  # 9 of the network + 4 of the moments that it sees pixels by, tested
    level="L2A",
    error_scale=True,
    config=(("bands", RGBN), ("channels", 32), ("pairs", 4), ("upscale", 4), ("strength", 1.0)),
    weights=WeightsFile(
        path="kriging_residual_32.safetensors",
        sha256="c9b8c9507b650a6fb3a1e7e8fb70ec26b242d59344ce75a5c059addad75d0d4a",
        size=331_248,
        home="package",
    ),
    license="Apache-2.0",
    citation="xr_sr; of kriging: doi:10.1111/j.1538-4632.2004.tb01135.x",
)

SEN2SR_FAST = replace(
    SEN2SR_RGBN,
    name="sen2sr-fast",
    summary="As sen2sr for the 10 m bands, with a smaller network: twice as fast, in the package",
    halo=10,  # of kriging, tested
    config=(("bands", RGBN), ("channels", 24), ("pairs", 2), ("upscale", 4), ("strength", 1.0)),
    weights=WeightsFile(
        path="kriging_residual_24.safetensors",
        sha256="6b463b6b09ce0bf33d61c88f2d648004f93ce990da866452ef025524a3dcb2a9",
        size=111_528,
        home="package",
    ),
)

SEN2SR_TEN = replace(
    SEN2SR_RGBN,
    name="sen2sr.ten-x4",
    summary="Ours, ten bands to 2.5 m: 10 m bands as alone, and with their detail the others, by regression kriging",
    architecture="xr_sr.kernels.kriging_network:KrigingFusion",
    bands=(*RGBN, *COARSE),
    bands_out=(*RGBN, *COARSE),
    coarse=COARSE,
    coarse_as="repeated",
    selects=True,
    fine_alone=True,
    coarse_alone=True,
    halo=32,  # 30 of regression kriging, and 2 to begin at a coarse pixel, tested
    config=(
        ("bands", RGBN),
        ("coarse", COARSE),
        ("channels", 32),
        ("pairs", 4),
        ("upscale", 4),
        ("strength", 1.0),
    ),
)

DIFFUSION = replace(
    SEN2SR_RGBN,
    name="diffusion",
    summary="Ours, the four 10 m bands to 2.5 m: one of the images that may be there, by flow matching, in the package",
    architecture="xr_sr.kernels.flow_network:FlowNetwork",
    halo=24,  # 13 of the mean, 3 of the steps, 8 of the projection, tested
    stochastic=True,
    most_steps=4,
    config=(
        ("bands", RGBN),
        ("channels", 32),
        ("pairs", 4),
        ("upscale", 4),
        ("width", 96),
        ("blocks", 2),
        ("steps", 2),
        ("seed", 0),
    ),
    weights=WeightsFile(
        path="flow_residual_96.safetensors",
        sha256="320c7a39ca38c0c440f28bf53730541cb5631f87f8674ff47a13c65f3c80a1b8",
        size=1_012_104,
        home="package",
    ),
    citation="xr_sr; of flow matching: arXiv:2210.02747; of kriging: doi:10.1111/j.1538-4632.2004.tb01135.x",
)

SEN2SR_V1_RGBN = Network(
    "sen2sr-v1.rgbn-x4",
    "First edition of sen2sr, the four 10 m bands to 2.5 m: distilled from SEN2SRLite, in the package",
    "xr_sr.networks.lean:LeanSPAN",
    bands=RGBN,
    bands_out=RGBN,
    scale=4,
    halo=10,  # receptive field 6 + constraint 4, tested
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
    license="Apache-2.0",
    citation="xr_sr, and what it learnt from: doi:10.1016/j.rse.2025.115222",
)

SEN2SR_V1_FAST = replace(
    SEN2SR_V1_RGBN,
    name="sen2sr-v1-fast",
    summary="As sen2sr-v1 for the 10 m bands, half as wide: faster, slightly farther from SEN2SRLite",
    config=(("bands", 4), ("channels", 12), ("upscale", 4)),
    weights=WeightsFile(
        path="distilled_12.safetensors",
        sha256="5f3a3f143fa0ca9860bc4eb9ac4220e461b405a0efa80d3e65f40ce547a97216",
        size=80_792,
        home="package",
    ),
)

SEN2SR_V1_TEN = replace(
    SEN2SR_V1_RGBN,
    name="sen2sr-v1.ten-x4",
    summary="First edition of sen2sr, ten bands to 2.5 m in one pass: distilled from SEN2SRLite, in the package",
    architecture="xr_sr.networks.lean_fusion:LeanFusion",
    bands=(*FINE, *COARSE),
    bands_out=(*FINE, *COARSE),
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

_TO_10M = Network(
    "sen2sr-lite.main",
    "The six 20 m bands of SEN2SRLite to 10 m, guided by the 10 m bands",
    "xr_sr.networks.span:SPAN",
    bands=(*COARSE, *FINE),
    bands_out=COARSE,
    scale=1,
    halo=6,
    level="L2A",
    config=(("in_channels", 10), ("out_channels", 6), ("feature_channels", 24), ("upscale", 1), ("num_blocks", 6)),
    non_negative=True,
    # Masks are Gaussians of 7.41 bins on 128 and of 7.61 on 512. Radii: beyond 4 sigma nothing shows in the results.
    low_pass=LowPass(sigma=128 / (2 * math.pi * 7.41), radius=12),
    weights=WeightsFile(
        path="SEN2SRLite/main/f2_model.safetensor",
        sha256="7bb734f630329545a806fe907f264122a5feb347dbe698c5529ea95f6cb1edff",
        size=2_285_088,
    ),
    license="CC0-1.0",
    citation="Remote Sensing of Environment (2026), doi:10.1016/j.rse.2025.115222",
    url="https://huggingface.co/tacofoundation/SEN2SR",
)
_TO_2M5 = replace(
    _TO_10M,
    summary="The six 20 m bands of SEN2SRLite from 10 m to 2.5 m, guided by the 10 m bands at 2.5 m",
    gsd_m=2.5,
    low_pass=LowPass(sigma=512 / (2 * math.pi * 7.61), radius=44),
    weights=WeightsFile(
        path="SEN2SRLite/main/model.safetensor",
        sha256="f45c99af1d08408cb622ba02d1aeadaab2ca964f08991feeb4fd7ffd5197f59d",
        size=2_285_088,
    ),
)
_FINE = replace(
    _TO_10M,
    summary="The four 10 m bands of SEN2SRLite to 2.5 m, as its ten-band model holds them to the input",
    bands=RGBN,
    bands_out=RGBN,
    scale=4,
    config=(("in_channels", 4), ("out_channels", 4), ("feature_channels", 24), ("upscale", 4), ("num_blocks", 6)),
    low_pass=RadialSigmoid(cutoff=48 / 512, sharpness=7.25 / 512, radius=32, rank=6),
    weights=WeightsFile(
        path="SEN2SRLite/main/sr_model.safetensor",
        sha256="479aa796d5068d0b1206118ccbca27bd3223df0214db1a9b31a1e18349ed1c7e",
        size=2_308_216,
    ),
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
SEN2SR_LITE_MAIN = Cascade(
    "sen2sr-lite.main",
    "SEN2SRLite of ESA OpenSR, ten bands of 10 m and 20 m to 2.5 m: three small convolutional networks",
    bands=(*FINE, *COARSE),
    bands_out=TEN,
    coarse=COARSE,
    scale=4,
    halo=32,  # at 2.5 m 44 + 6, thus 13; bilinear 1; at 10 m 12 + 6; even for two grids; tested
    level="L2A",
    parts=(("x2", _TO_10M), ("fine", _FINE), ("x4", _TO_2M5)),
    license=_TO_10M.license,
    citation=_TO_10M.citation,
    url=_TO_10M.url,
)
SEN2SR_LITE_RSWIR = replace(
    SEN2SR_LITE_MAIN,
    name="sen2sr-lite.rswir-x2",
    summary="SEN2SRLite of ESA OpenSR, the six 20 m bands to 10 m: the first step of its ten-band model",
    scale=1,
    halo=18,  # 12 + 6
    parts=(("x2", replace(_TO_10M, name="sen2sr-lite.rswir-x2")),),
)

LDSR_S2 = Diffusion(
    "ldsr-s2",
    "LDSR-S2 of ESA OpenSR, the four 10 m bands to 2.5 m by latent diffusion: one of the images that fit, in 3 steps",
    "xr_sr.networks.latent_diffusion:LatentDiffusion",
    bands=RGBN,
    bands_out=RGBN,
    scale=4,
    window=128,  # on which it was trained
    overlap=24,
    level="L2A",
    sampler="dpm-solver++",
    steps=3,
    correction="back_projection",
    weights=WeightsFile(
        path="opensr-ldsrs2_v1_0_0.ckpt",
        sha256="e2621e39...c27dc3a",  # all that other sources quote of it
        size=1_130_715_795,
        home="authors",
    ),
    license="MIT",
    citation="Donike et al. 2025, IEEE Journal of Selected Topics in Applied Earth Observations and Remote Sensing",
    url="https://huggingface.co/simon-donike/RS-SR-LTDF",
)
LDSR_S2_V1 = replace(
    LDSR_S2,
    name="ldsr-s2.v1.0",
    summary="LDSR-S2 as its first edition samples: 100 steps of DDIM, and the input's distribution of values",
    sampler="ddim",
    steps=100,
    eta=0.95,
    correction="histogram",
)

PIXEL_DIFFUSION = replace(
    LDSR_S2,
    name="pixel-diffusion",
    summary="Diffusion of the fine image with the interpolated input beside it, as SR3 does",
    architecture="xr_sr.networks.pixel_diffusion:PixelDiffusion",
    window=64,
    overlap=16,
    sampler="ddim",
    steps=50,
    weights=None,
    license="",
    citation="arXiv:2104.07636",
    url="",
)
"""How a user's own file of such weights is used; there are none to list."""

MODELS: tuple[Model, ...] = (
    Interpolation("nearest", "Each input pixel repeated: what the sensor saw, on a finer grid", "nearest", halo=0),
    Interpolation("bilinear", "Linear interpolation between the four nearest pixels", "bilinear", halo=1),
    Interpolation(
        "bicubic",
        "Cubic convolution over the sixteen nearest pixels: the baseline of every comparison",
        "bicubic",
        halo=2,
    ),
    Kriging(
        "kriging",
        "Area-to-point kriging of each band with its point spread function: no weights, as sharp as was measured",
        citation="doi:10.1111/j.1538-4632.2004.tb01135.x, doi:10.1016/j.rse.2015.06.003",
    ),
    SEN2SR_RGBN,
    SEN2SR_TEN,
    SEN2SR_FAST,
    DIFFUSION,
    SEN2SR_V1_RGBN,
    SEN2SR_V1_TEN,
    SEN2SR_V1_FAST,
    SEN2SR_LITE_RGBN,
    Pansharpening(
        "glp-hpm",
        "Coarser bands to the grid of finer ones, for fuse: Laplacian pyramid matched to the MTF, modulated",
        guided=True,
        halo=18,
        options=(("guide", "regression"), ("mtf", 0.0)),
        citation="Photogrammetric Engineering and Remote Sensing 72 (2006), 591; doi:10.1109/TGRS.2014.2361734",
    ),
    Pansharpening(
        "bicubic.same-grid",
        "Coarser bands to the grid of finer ones, for fuse: by cubic convolution, without a guide",
        guided=False,
        halo=6,
    ),
    SEN2SR_LITE_MAIN,
    SEN2SR_LITE_RSWIR,
    LDSR_S2,
    LDSR_S2_V1,
)
"""All models, in reading order."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "sen2sr": (SEN2SR_RGBN.name, SEN2SR_TEN.name),
    "sen2sr-v1": (SEN2SR_V1_RGBN.name, SEN2SR_V1_TEN.name),
    "sen2sr-lite": ("sen2sr-lite.rgbn-x4", "sen2sr-lite.main"),
}
"""Variants for `upscale`, the one that reads least first: the first that returns all requested bands is chosen."""

FUSING: dict[str, tuple[str, ...]] = {
    "glp-hpm": ("glp-hpm",),
    "sen2sr-lite": ("sen2sr-lite.rswir-x2",),
    "bicubic": ("bicubic.same-grid",),
}
"""Variants for `fuse`, which sharpen coarse bands to the grid of the fine ones."""

FORMER_NAMES = {
    SEN2SR_V1_RGBN.name: "sen2sr.rgbn-x4",
    SEN2SR_V1_TEN.name: "sen2sr.ten-x4",
    SEN2SR_V1_FAST.name: "sen2sr-fast",
}
"""What networks were called when stores were written that hold the hashes of their weights."""
