"""Resampling by whole factors, against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from xr_sr import errors
from xr_sr.simulate.resample import downsample, upsample

SIZES = [(24, 40), (37, 41), (9, 8)]


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).random(shape).astype("float32")


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_upsample_is_the_one_of_torch(factor, size):
    fine = image(2, 3, *size)

    expected = interpolate(torch.from_numpy(fine), scale_factor=factor, mode="bilinear").numpy()

    # torch computes places in float32, which thirds do not fit
    np.testing.assert_allclose(upsample(fine, factor), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_downsample_is_the_one_of_torch_with_antialiasing(factor, size):
    fine = image(2, 3, *size)

    expected = interpolate(torch.from_numpy(fine), scale_factor=1 / factor, mode="bilinear", antialias=True).numpy()

    np.testing.assert_allclose(downsample(fine, factor), expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize("function", [upsample, downsample])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_and_flat_images_are_kept(function, dtype):
    flat = np.full((2, 12, 18), 0.3, dtype=dtype)

    result = function(flat, 3)

    assert result.dtype == flat.dtype
    np.testing.assert_allclose(result, 0.3, rtol=1e-6)


def test_resampling_leaves_its_input_alone():
    fine = image(8, 8)
    before = fine.copy()

    for function in (upsample, downsample):
        function(fine, 1)[:] = 7
        function(fine, 2)

    np.testing.assert_array_equal(fine, before)


def test_what_has_no_whole_pixels_is_refused():
    with pytest.raises(errors.CubeError, match="4 x 4|pixel"):
        downsample(image(3, 9), 4)
    with pytest.raises(errors.CubeError, match="factor"):
        upsample(image(3, 9), 2.5)
