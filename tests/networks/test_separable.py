"""Banded operators equal the convolutions and interpolations that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from xr_sr.networks import separable


def both_axes(operator: separable.Operator, image: torch.Tensor) -> torch.Tensor:
    k, s = operator.margin, operator.scale
    rows, columns = image.shape[0] - 2 * k, image.shape[1] - 2 * k
    tall = operator.along_y(image, k, rows, torch.empty(rows * s, image.shape[1]))
    return operator.along_x(tall, k, columns, torch.empty(rows * s, columns * s))


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
@pytest.mark.parametrize(("name", "mode"), [("bilinear", "bilinear"), ("bicubic", "bicubic")])
def test_upsampling_is_torchs_with_antialias(name, mode, scale):
    image = torch.rand(40, 57)
    operator = getattr(separable, name)(scale)

    out = both_axes(operator, image)

    edge = operator.margin * scale
    reference = functional.interpolate(
        image[None, None], scale_factor=scale, mode=mode, antialias=True, align_corners=False
    )[0, 0]
    # torch rounds the positions to float32 where the scale is no power of two
    torch.testing.assert_close(out, reference[edge:-edge, edge:-edge], rtol=0, atol=1e-6 if scale in (2, 4) else 1e-5)


def test_nearest_repeats():
    image = torch.rand(20, 33)

    assert torch.equal(both_axes(separable.nearest(3), image), image.repeat_interleave(3, 0).repeat_interleave(3, 1))


def test_bicubic_reproduces_a_parabola():
    x = np.arange(40.0)
    operator = separable.bicubic(4)
    fine = operator.along_x(torch.tensor(x**2, dtype=torch.float32)[None], 2, 36, torch.empty(1, 144))[0].numpy()

    centers = 2 + (np.arange(144) + 0.5) / 4 - 0.5
    np.testing.assert_allclose(fine, centers**2, rtol=1e-6)


def test_gaussian_is_a_convolution():
    image = torch.rand(64, 70)
    blur = separable.gaussian(2.3, 10)
    taps = torch.tensor(blur.taps, dtype=torch.float32)
    kernel = (taps.T @ taps)[None, None]

    torch.testing.assert_close(
        both_axes(blur, image), functional.conv2d(image[None, None], kernel)[0, 0], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_composition_is_one_after_the_other(scale):
    image = torch.rand(40, 46)
    up, blur = separable.bicubic(scale), separable.gaussian(1.7, 7)

    at_once = both_axes(up.then(blur), image)
    in_turn = both_axes(blur, both_axes(up, image))

    def middle(plane: torch.Tensor) -> torch.Tensor:
        cut = [(length - 40) // 2 for length in plane.shape]
        return plane[cut[0] : cut[0] + 40, cut[1] : cut[1] + 40]

    torch.testing.assert_close(middle(at_once), middle(in_turn), rtol=0, atol=1e-6)


def test_adding_and_subtracting_write_in_place():
    image, start = torch.rand(30, 30), torch.rand(10, 30)
    blur = separable.gaussian(2.0, 10)
    plain = blur.along_y(image, 10, 10, torch.empty(10, 30))

    torch.testing.assert_close(blur.along_y(image, 10, 10, start.clone(), add=1), start + plain)
    torch.testing.assert_close(blur.along_y(image, 10, 10, start.clone(), add=-1), start - plain)


def test_a_sum_of_products_is_the_blur_of_its_kernel():
    kernel = np.random.default_rng(2).random((7, 7))
    kernel = kernel + kernel.T
    image = torch.rand(46, 51)
    start = torch.rand(40, 45)

    out = separable.products_of(kernel, rank=7).apply(image, start.clone(), add=1)

    wanted = start + functional.conv2d(image[None, None], torch.from_numpy(kernel).float()[None, None])[0, 0]
    torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5, 6, 7, 8, 24])
@pytest.mark.parametrize("columns", [9, 32])
def test_an_upsampling_is_the_sum_of_its_products(scale, columns):
    """One product of small matrices after another, and along x as one convolution, whatever the phases and columns."""
    random = np.random.default_rng(scale)
    along_y, along_x = random.normal(size=(2, 3, scale, 13))
    image = torch.rand(11 + 12, columns + 12)

    out = separable.Upsampling(along_y, along_x).apply(image)

    wanted = separable.Products(along_y, along_x).apply(image, torch.empty(11 * scale, columns * scale))
    torch.testing.assert_close(out, wanted, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("even", [True, False])
def test_a_bank_gives_each_filter_of_the_same_image(even):
    kernels = np.random.default_rng(3).normal(size=(4, 9, 9))
    if even:
        kernels = kernels + kernels[..., ::-1]
    image = torch.rand(45 + 8, 21 + 8)

    out = separable.Bank(kernels).apply(image)

    wanted = functional.conv2d(image[None, None], torch.from_numpy(kernels).float()[:, None])[0]
    torch.testing.assert_close(out.transpose(0, 1), wanted, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("reach", [4, 12, 20])
def test_a_sampling_is_a_strided_convolution(reach):
    image = torch.rand(19 * 4 + reach, 17 * 4 + reach)
    sampling = separable.sampled_gaussian(2.3, reach, stride=4)
    kernel = torch.tensor(sampling.kernel, dtype=torch.float32)

    out = sampling.apply(image, torch.empty(20, 18))

    assert kernel.sum() == pytest.approx(1) and kernel[0, 0] == kernel[-1, -1] < kernel.max()
    wanted = functional.conv2d(image[None, None], kernel[None, None], stride=4)[0, 0]
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-6)


def test_sinc_keeps_a_wave_that_bicubic_weakens():
    """A wave of 3 pixels, a little below what pixels can hold."""
    x, fine = np.arange(64.0), (np.arange(4 * 50) + 0.5) / 4 - 0.5 + 7
    image = torch.tensor(np.cos(2 * np.pi * x / 3), dtype=torch.float32)[None]

    found = {}
    for name in ("sinc", "bicubic"):
        out = getattr(separable, name)(4).along_x(image, 7, 50, torch.empty(1, 200))[0].numpy()
        found[name] = np.abs(out - np.cos(2 * np.pi * fine / 3)).max()
    assert found["sinc"] < 0.08 < found["bicubic"]


def test_a_sampled_sigmoid_is_the_blur_between_pixels():
    """Of even reach its center lies between two pixels: two such samples straddle what the odd one gives."""
    places = np.arange(200.0)
    image = torch.tensor(np.cos(2 * np.pi * 0.06 * places)[:, None] * np.cos(2 * np.pi * 0.04 * places)[None])
    blur = separable.radial_sigmoid(48 / 512, 7.25 / 512, 20, 20, stride=4)

    out = blur.apply(image.float(), torch.empty(46, 46)).numpy()

    centers = np.arange(46) * 4 + 9.5
    gain = 1 / (1 + np.exp((np.hypot(0.06, 0.04) - 48 / 512) / (7.25 / 512)))
    wanted = gain * np.cos(2 * np.pi * 0.06 * centers)[:, None] * np.cos(2 * np.pi * 0.04 * centers)[None]
    assert np.abs(out - wanted).max() < 0.03
