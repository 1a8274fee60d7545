"""Guided fusion against closed forms: what a flat guide, a proportional one and a regression must give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.cubes import array, geobox_of, reflectance
from xr_sr import kernels
from xr_sr.kernels.guided import MOST
from xr_sr.simulate import degrade
from xr_sr.spec import Tile

SIDE = 48


def guidance(ratio: int, *, chosen: int | None = None, mtf: float = 0.3, **more: object) -> kernels.Guidance:
    return kernels.Guidance(guided=True, ratio=ratio, mtf=(mtf,), chosen=(chosen,), **more)


def scene(guides: int, ratio: int, seed: int = 4) -> tuple[np.ndarray, int]:
    """Fine bands with the halo of guided fusion, and as much again, of which the side is whole coarse pixels."""
    halo = kernels.guidance_halo(guidance(ratio))
    around = -(-2 * halo // ratio) * ratio
    return reflectance(guides, SIDE + 2 * around, SIDE + 2 * around, seed=seed), around


def as_seen(fine: np.ndarray, ratio: int, mtf: float = 0.3) -> np.ndarray:
    """What the coarse pixels see, by the package's own model of the sensor."""
    cube = array(fine, ["B02", "B03", "B04", "B08"][: len(fine)])
    return degrade(cube, like=geobox_of(*fine.shape[-2:]).zoom_out(ratio), mtf=mtf).values


def run(fine: np.ndarray, coarse: np.ndarray, around: int, guided: kernels.Guidance) -> np.ndarray:
    """The middle of the scene; the coarse pixels begin with those that the halo touches."""
    halo = kernels.guidance_halo(guided)
    tile = Tile((0, SIDE), (0, SIDE), halo=halo)
    cut = slice(around - halo, fine.shape[-1] - around + halo)
    at = around - halo
    return kernels.sharpen(fine[None, :, cut, cut], coarse[None].astype("float32"), (at, at), tile, guided)[0]


@pytest.mark.parametrize("ratio", [2, 3, 4, 6])
def test_a_flat_guide_gives_the_interpolation(ratio):
    fine, around = scene(2, ratio)
    coarse = as_seen(fine[:1], ratio)

    made = run(np.full_like(fine, 0.2), coarse, around, guidance(ratio))

    wanted = functional.interpolate(torch.from_numpy(coarse)[None], scale_factor=ratio, mode="bicubic", antialias=True)
    cut = slice(around, around + SIDE)
    np.testing.assert_allclose(made[0], wanted[0, 0, cut, cut], rtol=0, atol=1e-6)


@pytest.mark.parametrize("ratio", [2, 3, 4, 6])
def test_a_band_in_proportion_to_its_guide_becomes_the_guide_in_proportion(ratio):
    """Out = M P / P_L, and M is 0.7 P_L: the gain is 0.7, and what is seen of the result is the input."""
    fine, around = scene(2, ratio)
    coarse = np.float32(0.7) * as_seen(fine, ratio)[1:]

    made = run(fine, coarse, around, guidance(ratio, chosen=1))

    cut = slice(around, around + SIDE)
    np.testing.assert_allclose(made[0], 0.7 * fine[1, cut, cut], rtol=0, atol=2e-6)
    whole = 0.7 * fine[1:].copy()
    whole[:, cut, cut] = made
    np.testing.assert_allclose(as_seen(whole, ratio), coarse, rtol=0, atol=2e-6)


@pytest.mark.parametrize("ratio", [2, 6])
def test_a_sum_of_guides_is_found_by_regression(ratio):
    fine, around = scene(3, ratio)
    truth = 0.1 + 0.5 * fine[0] - 0.2 * fine[1] + 0.4 * fine[2]
    coarse = as_seen(truth[None], ratio)

    made = run(fine, coarse, around, guidance(ratio))

    cut = slice(around, around + SIDE)
    off = made[0] - truth[cut, cut]
    interpolated = run(np.full_like(fine, 0.2), coarse, around, guidance(ratio))[0] - truth[cut, cut]
    assert np.sqrt((off**2).mean()) < 0.02 * np.sqrt((interpolated**2).mean())


@pytest.mark.parametrize("ratio", [2, 6])
def test_what_the_sensor_sees_of_the_result_is_nearly_the_input(ratio):
    """The band has detail that its guides do not tell; none of it may be put out of place."""
    fine, around = scene(2, ratio)
    truth = 0.5 * fine[0] + 0.3 * fine[1] + 0.2 * scene(1, ratio, seed=9)[0][0]
    coarse = as_seen(truth[None], ratio)
    whole = truth[None].copy()
    cut = slice(around, around + SIDE)

    whole[:, cut, cut] = run(fine, coarse, around, guidance(ratio))

    off = as_seen(whole, ratio) - coarse
    assert np.sqrt((off**2).mean()) < 0.1 * coarse.std()


def test_the_result_is_positive_and_bounded():
    """A dark guide beside a bright one, and a band with a step: neither cubic overshoot nor a quotient of nothing."""
    fine, around = scene(1, 2)
    fine[..., ::2] = 1e-4
    fine[..., 1::2] = 0.9
    coarse = np.zeros_like(as_seen(fine, 2))
    coarse[..., coarse.shape[-1] // 2 :] = 0.5

    made = run(fine, coarse, around, guidance(2, chosen=0))

    assert made.min() >= 0
    assert made.max() <= 0.6 * MOST


def test_without_a_guide_it_is_cubic_interpolation_of_any_scale():
    fine, around = scene(1, 2)
    coarse = as_seen(fine, 2)
    plain = kernels.Guidance(guided=False, ratio=2, mtf=(0.3,), chosen=(None,), scale=3)

    made = run(fine, coarse, around, plain)

    once = functional.interpolate(torch.from_numpy(coarse)[None], scale_factor=2, mode="bicubic", antialias=True)
    twice = functional.interpolate(once, scale_factor=3, mode="bicubic", antialias=True)[0, 0]
    cut = slice(3 * around, 3 * (around + SIDE))
    np.testing.assert_allclose(made[0], twice[cut, cut], rtol=0, atol=1e-6)
