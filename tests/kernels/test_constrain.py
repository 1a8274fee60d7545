"""The constraint in space equals the published one in frequency, and gives the input back when averaged."""

from __future__ import annotations

import math

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

from xr_sr.kernels import constrain
from xr_sr.spec import LowPass, RadialSigmoid

OFFICIAL = LowPass(512 / (2 * math.pi * 35), 10)


def constrained(fine: torch.Tensor, coarse: torch.Tensor, low_pass: LowPass, k: int = 8) -> torch.Tensor:
    """Constrain the middle of an image, `k` coarse pixels from its edges."""
    stage = constrain.LowPassConstraint(low_pass, 4)
    cut = k * 4 - stage.margin
    out = torch.empty(*fine.shape[:2], fine.shape[2] - 8 * k, fine.shape[3] - 8 * k)
    stage.apply(fine[..., cut:-cut, cut:-cut].clone(), coarse, out)
    return out


def by_fourier(fine: torch.Tensor, coarse: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What the published code does, written from its formula."""
    up = functional.interpolate(coarse, size=fine.shape[-2:], mode="bicubic", antialias=True)
    mask = torch.fft.ifftshift(mask)
    return torch.fft.ifft2(mask * torch.fft.fft2(up) + (1 - mask) * torch.fft.fft2(fine)).real


def test_equals_the_published_mask_inside_a_window(shared):
    mask = next(iter(load_file(shared / "weights/SEN2SRLite/NonReference_RGBN_x4/hard_constraint.safetensor").values()))
    torch.manual_seed(0)
    coarse, fine = torch.rand(1, 4, 128, 128), torch.rand(1, 4, 512, 512)

    ours = constrained(fine, coarse, OFFICIAL)
    theirs = by_fourier(fine, coarse, mask.reshape(512, 512))[..., 32:-32, 32:-32]

    assert (ours - theirs).abs().max() < 1e-5


def test_a_sigmoid_of_the_frequency_equals_the_published_mask_inside_a_window(shared):
    """With smooth noise for what a network adds, far more than any does."""
    mask = next(iter(load_file(shared / "weights/SEN2SRLite/main/sr_hard_constraint.safetensor").values()))
    torch.manual_seed(3)
    coarse = torch.rand(1, 2, 128, 128)
    added = functional.interpolate(torch.randn(1, 2, 256, 256), scale_factor=2, mode="bilinear") * 0.05
    fine = functional.interpolate(coarse, size=(512, 512), mode="bicubic", antialias=True) + added

    stage = constrain.constraint_of(RadialSigmoid(48 / 512, 7.25 / 512, radius=32, rank=6), 4)
    out = torch.empty(1, 2, 256, 256)
    stage.apply(fine[..., 96:-96, 96:-96].clone(), coarse[..., 22:-22, 22:-22], out)

    theirs = by_fourier(fine, coarse, mask.reshape(512, 512))[..., 128:-128, 128:-128]
    assert (out - theirs).abs().max() < 4e-5
    assert (theirs - fine[..., 128:-128, 128:-128]).abs().max() > 0.02


def test_a_bias_of_the_network_is_taken_out():
    torch.manual_seed(1)
    coarse = torch.rand(1, 1, 60, 64)
    up = functional.interpolate(coarse, scale_factor=4, mode="bicubic", antialias=True)
    slow = 0.05 + 0.1 * torch.sin(torch.arange(256) * 2 * math.pi / 200)
    passes = math.exp(-2 * (math.pi * OFFICIAL.sigma / 200) ** 2)

    left = constrained(up + slow, coarse, OFFICIAL) - up[..., 32:-32, 32:-32]

    # Of a wave of 200 pixels, 1 - exp(-2 (pi sigma f)^2) is left; of a constant nothing.
    torch.testing.assert_close(left[0, 0, 50], ((slow - 0.05) * (1 - passes))[32:-32], rtol=0.1, atol=5e-6)


def test_bicubic_is_a_fixed_point():
    torch.manual_seed(2)
    coarse = torch.rand(2, 3, 30, 33)
    up = functional.interpolate(coarse, scale_factor=4, mode="bicubic", antialias=True)

    out = constrained(up, coarse, OFFICIAL)

    torch.testing.assert_close(out, up[..., 32:-32, 32:-32], rtol=0, atol=2e-6)


def test_support_is_finite():
    coarse = torch.zeros(1, 1, 40, 40)
    fine = torch.zeros(1, 1, 160, 160)
    fine[..., 80, 80] = 1.0

    out = constrained(fine, coarse, OFFICIAL)[0, 0].numpy()

    y, x = np.nonzero(out)
    assert (y.min(), y.max(), x.min(), x.max()) == (38, 58, 38, 58)
