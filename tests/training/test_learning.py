"""Students get nearer to their teacher, or to the truth; files say what they are; reports measure what they claim."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors import safe_open
from safetensors.torch import load_file

from tests import cubes
from xr_sr.errors import OptionError, TrainingError, UnknownModelError, WeightsNotFoundError
from xr_sr.simulate import MTF_AT_NYQUIST, degrade
from xr_sr.training import (
    LeanSPAN,
    Scene,
    SensorRange,
    Settings,
    Teacher,
    closeness,
    distil,
    fit,
    plot_log,
    save_weights,
)
from xr_sr.training.journal import read_log
from xr_sr.training.learning import GENTLE, MARGIN, Seen
from xr_sr.training.teacher import apply

SMALL = {"side": 12, "batch": 4, "patch": 24, "pool": 12}


def student(channels: int = 8) -> LeanSPAN:
    torch.manual_seed(0)
    return LeanSPAN(channels=channels)


def scenes(count: int = 2, side: int = 60) -> list[Scene]:
    return [Scene(f"noise {seed}", cubes.reflectance(4, side, side, seed=seed)) for seed in range(count)]


def test_a_student_gets_nearer_to_its_teacher_on_a_place_it_has_not_seen(official, tmp_path):
    teacher, elsewhere = Teacher("sen2sr-lite", device="cpu"), cubes.reflectance(4, 50, 48, seed=99)

    distil(
        student(),
        teacher,
        scenes(),
        tmp_path,
        Settings(150, 6e-3, warm_up=10, log_every=50, device="cpu"),
        held_out={"elsewhere": elsewhere},
        **SMALL,
    )

    measured = [float(row["elsewhere"]) for row in read_log(tmp_path / "log.csv") if row["elsewhere"]]
    assert measured[-1] < measured[0] < 1 and measured[-1] < 0.75  # 1 is bicubic


def test_closeness_is_one_for_bicubic_and_zero_for_the_teacher(official):
    teacher, bicubic = Teacher("sen2sr-lite", device="cpu"), Teacher("bicubic", device="cpu")
    lr = cubes.reflectance(4, 60, 50)

    class Same(torch.nn.Module):
        def __init__(self, model: Teacher) -> None:
            super().__init__()
            self.model, self.unused = model, torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return torch.from_numpy(self.model(x.numpy()))

    teacher_sr = teacher(lr[None])[0]
    assert closeness(Same(bicubic), lr, teacher_sr, bicubic) == pytest.approx(1.0, abs=1e-6)
    assert closeness(Same(teacher), lr, teacher_sr, bicubic) == pytest.approx(0.0, abs=1e-6)


def test_what_is_fitted_is_the_truth_seen_through_the_sensor():
    truth = Scene("truth", cubes.reflectance(4, 160, 160))
    sensors = SensorRange(width=(1.0, 1.0), noise=(0.0, 0.0), shift_px=0.0)
    plain = type(GENTLE)(light=0, snow=0, mix=0)
    made = Seen([truth], cubes.RGBN, sensors, plain, scale=4, context=8, seed=0, patch=12, count=3)(0)

    # The truth of a patch stands in the scene once, turned; seen there by `degrade`, it is the patch.
    for lr, target in zip(made.lr, made.target, strict=True):
        core = lr[:, 8:-8, 8:-8]
        grid = xr.DataArray(
            target,
            dims=("band", "y", "x"),
            coords={"band": list(cubes.RGBN), "y": -np.arange(48.0), "x": np.arange(48.0)},
        )
        seen = degrade(grid, factor=4).values
        edge = MARGIN
        np.testing.assert_allclose(core[:, edge:-edge, edge:-edge], seen[:, edge:-edge, edge:-edge], atol=2e-4)


def test_truth_and_teacher_are_mixed_in_the_share_asked_for(official):
    teacher, options = (
        Teacher("sen2sr-lite", device="cpu"),
        {"scale": 4, "context": 8, "seed": 3, "patch": 12, "count": 2},
    )

    def made(**more):
        return Seen(scenes(1, 200), cubes.RGBN, SensorRange(), GENTLE, **options, **more)(0)

    taught, mixed = made(teacher=teacher, hr_weight=0.0), made(teacher=teacher, hr_weight=0.25)
    true = made(teacher=teacher, hr_weight=1.0)

    np.testing.assert_allclose(taught.target, teacher(taught.lr), atol=1e-6)
    np.testing.assert_allclose(mixed.target, 0.25 * true.target + 0.75 * taught.target, atol=1e-6)


def test_sensors_differ_from_patch_to_patch_and_are_a_function_of_the_number():
    options = {"scale": 4, "context": 8, "seed": 3, "patch": 12, "count": 3}
    makers = [Seen(scenes(1, 160), cubes.RGBN, SensorRange(), GENTLE, **options) for _ in range(2)]

    np.testing.assert_array_equal(makers[0](5).lr, makers[1](5).lr)
    assert not np.array_equal(makers[0](5).lr, makers[0](6).lr)
    assert set(cubes.RGBN) <= set(MTF_AT_NYQUIST)


def test_a_network_learns_from_high_resolution(tmp_path):
    # Checks of 3 pixels: detail that bicubic blurs and that a network can find again.
    truth = scenes(3, 180)
    run = {"side": 12, "batch": 4, "patch": 16, "pool": 12}

    fit(student(), truth, tmp_path, Settings(120, 6e-3, warm_up=10, log_every=10, device="cpu"), **run)

    losses = [float(row["loss"]) for row in read_log(tmp_path / "log.csv")]
    assert np.mean(losses[-3:]) < 0.95 * np.mean(losses[:3])


def test_weights_carry_their_card_and_equal_ones_have_equal_bytes(tmp_path):
    network = student()
    card = {"trained on": ["a", "b"], "steps": 7, "licence": "Apache-2.0"}

    one = save_weights(network, tmp_path / "one.safetensors", card)
    other = save_weights(student(), tmp_path / "other.safetensors", dict(reversed(card.items())))

    assert one.read_bytes() == other.read_bytes()
    with safe_open(one, "pt") as file:
        assert json.loads(file.metadata()["card"]) == card
    again = LeanSPAN(channels=8)
    again.load_state_dict(load_file(one), strict=True)
    image = cubes.reflectance(4, 24, 24)
    np.testing.assert_array_equal(apply(again.eval(), image), apply(network.eval(), image))


def test_weights_are_saved_in_new_folders_and_also_where_two_layers_share_them(tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = torch.nn.Conv2d(2, 2, 1), torch.nn.Conv2d(2, 2, 1)
            self.two.weight = self.one.weight

    tied = Tied()
    path = save_weights(tied, tmp_path / "new" / "deep" / "tied.safetensors", {})

    again = Tied()
    again.load_state_dict(load_file(path), strict=True)
    assert torch.equal(again.one.weight, tied.two.weight)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
def test_weights_are_not_saved_under_the_suffix_of_another_format(tmp_path, suffix):
    with pytest.raises(OptionError, match=r"'mine\.safetensors'"):
        save_weights(student(), tmp_path / f"mine{suffix}", {})

    assert not list(tmp_path.iterdir())


def test_a_card_that_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(OptionError, match="card=.*JSON"):
        save_weights(student(), tmp_path / "new" / "mine.safetensors", {"rms": np.float32(1)})

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(4, 40, 40), (1, 3, 40, 40), (1, 4, 20, 40)])
def test_a_teacher_says_which_images_it_takes(shape):
    with pytest.raises(OptionError, match=r"shape.*\(n, 4, y, x\).* 20 pixels"):
        Teacher("sen2sr-v1", device="cpu")(np.zeros(shape, "float32"))


def test_the_curve_of_a_run_is_drawn(official, tmp_path):
    distil(
        student(4),
        Teacher("sen2sr-lite", device="cpu"),
        scenes(1),
        tmp_path,
        Settings(20, log_every=5, device="cpu"),
        held_out={"elsewhere": cubes.reflectance(4, 50, 48)},
        **SMALL,
    )

    plot_log(tmp_path, tmp_path / "curve.png")

    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_network_that_pads_is_told_what_is_wanted(official, tmp_path):
    with pytest.raises(TrainingError, match="`consumed`"):
        distil(torch.nn.Conv2d(4, 64, 3), Teacher("sen2sr-lite"), scenes(), tmp_path)


def test_a_network_that_looks_further_than_its_teacher_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"10 input pixels.* 2"):
        distil(student(), Teacher("bicubic"), scenes(), tmp_path)


def test_a_teacher_must_be_there():
    with pytest.raises(UnknownModelError):
        Teacher("sen2sr-light")
    with pytest.raises(WeightsNotFoundError):
        Teacher("sen2sr-lite", "/nowhere")
