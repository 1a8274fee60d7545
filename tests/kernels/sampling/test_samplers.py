"""Samplers: the values of opensr-model with its noise, exact results for a normal distribution, any number of steps."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import interpolate

from xr_sr import networks
from xr_sr.errors import OptionError, WeightsFormatError
from xr_sr.kernels.back_projection import back_project
from xr_sr.kernels.histogram import matched
from xr_sr.kernels.sampling import Schedule, sample_ddim, sample_ddpm, sample_dpm_solver

STEPS = (1, 2, 3, 7, 30, 100, 300, 999, 1000)


def linear(times: int = 1000) -> Schedule:
    """The schedule of LDSR-S2."""
    return Schedule(np.cumprod(1 - np.linspace(0.0015**0.5, 0.0155**0.5, times) ** 2))


@pytest.fixture(scope="module")
def golden(shared):
    """The network, its schedule, inputs and outputs of both versions, and what is recorded of them."""
    folder = shared / "golden/ldsr"
    network, _ = networks.from_state_dict(load_file(folder / "state_dict.safetensors"), head_channels=16)
    io = [load_file(folder / f"io_{version}.safetensors") for version in ("v1_0_8", "v1_2_2")]
    records = [json.loads((folder / name).read_text(encoding="utf-8")) for name in ("config.json", "runs_v1_2_2.json")]
    return network, Schedule(network.alphas_cumprod.double().numpy()), *io, *records


def conditioned(network, lr, noise):
    """Return the U-Net with its condition: one draw from the latent of the upscaled image."""
    mean, log_variance = network.first_stage_model.encode(interpolate(lr, scale_factor=4, mode="bilinear"))
    condition = mean + (log_variance / 2).exp() * noise
    return lambda x, time: network(x, condition, torch.full((1,), time))


def of_same_values(image, lr):
    pairs = zip(image[0], lr[0], strict=True)
    return torch.stack([torch.from_numpy(matched(*map(np.asarray, pair))) for pair in pairs])[None]


def shown(network, latent, lr, *, match: bool):
    """Return the image of a latent as opensr-model 1.0.8 does: without negative values, 0 where the input is."""
    image = network.first_stage_model.decode(latent)
    image = of_same_values(image, lr) if match else image
    return image.clamp(min=0) * (interpolate(lr, scale_factor=4, mode="nearest") != 0)


@pytest.mark.parametrize("name", ["eta", "eta0", "eta_nohm", "temp"])
def test_ddim_gives_the_images_of_opensr_model(golden, name):
    network, schedule, io, _, config, _ = golden
    run, noise = config["forwards"][name], io["ddim_temp.step_noise" if name == "temp" else "ddim_eta.step_noise"]
    options = {"eta": run["sampling_eta"], "temperature": run["temperature"]}

    with torch.inference_mode():
        estimate = conditioned(network, io["lr_square"], io["ddim.enc_noise"])
        latent = sample_ddim(estimate, io["ddim.x_T"], lambda n: noise[n], schedule, run["sampling_steps"], **options)
        image = shown(network, latent, io["lr_square"], match=run["histogram_matching"])

    tolerance = 1e-3 if run["histogram_matching"] else 1e-4
    torch.testing.assert_close(image, io[f"ddim_{name}.sr"], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["dpm3_bp", "dpm5_none", "dpm3_hm", "ddim4_bp"])
def test_second_edition_gives_the_images_of_opensr_model(golden, name):
    network, schedule, first, io, _, runs = golden
    run, lr, start = runs["runs"][name], first["lr"], io[f"{name}.x_T"]
    steps, correction = run["sampling_steps"], run["spectral_correction"]

    with torch.inference_mode():
        estimate = conditioned(network, lr, io[f"{name}.enc_noise"])
        if run["sampler"] == "ddim":
            noise = io[f"{name}.step_noise"]
            latent = sample_ddim(estimate, start, lambda n: noise[n], schedule, steps, eta=run["sampling_eta"])
        else:
            latent = sample_dpm_solver(estimate, start, schedule, steps)
        image = shown(network, latent, lr, match=False)
        valid = interpolate(lr, scale_factor=4, mode="nearest") != 0
        if correction == "histogram":
            image = of_same_values(image, lr)
        elif correction == "back_projection":
            image = back_project(image, lr) * valid

    torch.testing.assert_close(image, io[f"{name}.sr"], rtol=0, atol=1e-3 if correction == "histogram" else 1e-4)


def test_times_are_those_of_the_published_codes(golden):
    _, schedule, _, _, config, runs = golden

    for steps, expected in config["ddim_schedule"].items():
        assert schedule.leading(int(steps))[::-1] == expected["timesteps"]
    for steps, expected in runs["runs"]["dpm_timesteps"].items():
        assert schedule.evenly(int(steps)) == expected


@pytest.mark.parametrize("steps", range(1, 1001, 37))
def test_any_number_of_steps_has_as_many_different_times(steps):
    schedule = linear()

    for times in (schedule.leading(steps), schedule.evenly(steps)):
        assert len(times) == steps and np.diff(times).max(initial=-1) < 0 and 0 <= times[-1] <= times[0] <= 999


@pytest.mark.parametrize("steps", STEPS)
def test_samples_of_a_normal_distribution_have_its_mean_and_deviation(steps):
    """The best estimate of the noise is known in closed form, and so is what exact sampling returns."""
    schedule, mean, deviation = linear(), 0.3, 0.5

    def estimate(x, time):
        kept = schedule.kept[time]
        return (x - math.sqrt(kept) * mean) * math.sqrt(1 - kept) / (kept * deviation**2 + 1 - kept)

    generator = torch.Generator().manual_seed(1)
    start = torch.randn(200_000, generator=generator)

    def noise(_):
        return torch.randn(200_000, generator=generator)

    made = [
        sample_ddim(estimate, start, noise, schedule, steps),
        sample_ddim(estimate, start, noise, schedule, steps, eta=1.0),
        sample_ddpm(estimate, start, noise, schedule, steps),
        sample_dpm_solver(estimate, start, schedule, steps),
    ]

    # Too few steps give too little spread, as with any such sampler; the error falls with their number.
    for each in made:
        assert abs(float(each.mean()) - mean) < 0.03
        assert -4 / steps - 0.01 < float(each.std()) - deviation < 0.01


def test_noise_is_drawn_only_where_it_counts():
    def refused(_):
        raise AssertionError("no noise is needed")

    x = torch.ones(3)

    assert sample_ddim(lambda x, _: x / 2, x, refused, linear(), 7).isfinite().all()
    assert sample_ddpm(lambda x, _: x / 2, x, refused, linear(), 1).isfinite().all()


@pytest.mark.parametrize("steps", [0, 1001, 2.5, True])
def test_other_numbers_of_steps_are_refused(steps):
    with pytest.raises(OptionError, match="steps"):
        linear().evenly(steps)


@pytest.mark.parametrize("kept", [[], [0.5, 0.6], [0.5, math.nan], [1.5, 0.5], [0.5, 0.0]])
def test_what_is_no_schedule_is_refused(kept):
    with pytest.raises(WeightsFormatError, match="alphas_cumprod"):
        Schedule(np.array(kept))


def test_back_projection_gives_the_values_of_opensr_model(golden):
    *_, io, _, _ = golden
    source, seen, valid = (io[f"bp.{name}"] for name in ("src", "obs", "valid"))
    blurred = {"sigma": 1.1, "iterations": 7, "relaxation": 0.7, "tolerance": 0.0}

    torch.testing.assert_close(back_project(source, seen, valid=valid.bool()), io["bp.block"], rtol=0, atol=1e-5)
    torch.testing.assert_close(
        back_project(source, seen, valid=valid.bool(), **blurred), io["bp.blur"], rtol=0, atol=1e-5
    )
