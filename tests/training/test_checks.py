"""What does not go together is refused before the first step, in one sentence; other scales go as well as four."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import xr_sr
from tests import architectures, cubes
from xr_sr.catalog import registry
from xr_sr.catalog.models import ModelSpec
from xr_sr.errors import MissingBandError, ModelError, OptionError, TrainingError
from xr_sr.training import (
    Augmentation,
    LeanFusion,
    LeanSPAN,
    Scene,
    SensorRange,
    Settings,
    Teacher,
    closeness,
    distil,
    fit,
)
from xr_sr.training.journal import read_log
from xr_sr.training.scenes import interpolated, repeated

SIZES = {"side": 8, "batch": 2, "patch": 12, "pool": 4}
SHORT = Settings(steps=2, optimizer="adamw", device="cpu")


@pytest.fixture(autouse=True)
def _own_catalogue(monkeypatch):
    """Models that a test registers are gone after it."""
    monkeypatch.setattr(registry, "current", registry.current)


def scenes(bands: int = 4, side: int = 60) -> list[Scene]:
    return [Scene("noise", cubes.reflectance(bands, side, side))]


def student(**config) -> LeanSPAN:
    torch.manual_seed(0)
    return LeanSPAN(**{"channels": 4, **config})


def own_teacher(tmp_path, scale: int = 2, **change) -> Teacher:
    """A teacher of two bands of the user's own, from random numbers."""
    torch.manual_seed(1)
    network = architectures.Plain(depth=9, scale=scale)
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    spec = ModelSpec("own", "", "tests.architectures:Plain", ("B08", "B04"), scale=scale, halo=9)
    spec = replace(spec, config=(("depth", 9), ("scale", scale)), **change)
    xr_sr.register_model(spec, weights=tmp_path / "own.safetensors")
    return Teacher("own", device="cpu")


# -- other scales than four


@pytest.mark.parametrize("scale", [2, 3])
def test_a_network_learns_from_high_resolution_at_any_scale(tmp_path, scale):
    settings = Settings(60, 6e-3, warm_up=5, log_every=10, device="cpu")

    fit(student(upscale=scale), scenes(side=160), tmp_path, settings, scale=scale, **SIZES)

    losses = [float(row["loss"]) for row in read_log(tmp_path / "log.csv")]
    assert np.mean(losses[-3:]) < losses[0] < 3


def test_a_teacher_of_scale_two_is_distilled_and_measured_against_bicubic_of_two(tmp_path):
    teacher, elsewhere = own_teacher(tmp_path), cubes.reflectance(2, 40, 36, seed=9)
    settings = Settings(60, 6e-3, warm_up=5, log_every=20, device="cpu")

    network = distil(
        student(bands=2, upscale=2),
        teacher,
        scenes(2),
        tmp_path / "run",
        settings,
        held_out={"far": elsewhere},
        **SIZES,
    )

    told = [float(row["far"]) for row in read_log(tmp_path / "run" / "log.csv") if row["far"]]
    bicubic = Teacher("bicubic", device="cpu", scale=2)
    assert told[-1] < told[0]
    measured = closeness(network, elsewhere, teacher(elsewhere[None])[0], bicubic)
    assert told[-1] == pytest.approx(measured, rel=1e-3)


def test_a_teacher_that_gives_fewer_bands_is_compared_with_bicubic_of_these(tmp_path):
    class First(LeanSPAN):
        def forward(self, x):
            return super().forward(x)[:, 1:]

    torch.manual_seed(0)
    save_file(architectures.Plain(bands_out=1, depth=9).state_dict(), tmp_path / "own.safetensors")
    spec = ModelSpec("own", "", "tests.architectures:Plain", ("B08", "B04"), ("B04",), scale=2, halo=9)
    spec = replace(spec, config=(("bands_out", 1), ("depth", 9)))
    xr_sr.register_model(spec, weights=tmp_path / "own.safetensors")

    held = {"far": cubes.reflectance(2, 40, 40)}
    distil(
        First(bands=2, channels=4, upscale=2),
        Teacher("own"),
        scenes(2),
        tmp_path / "run",
        SHORT,
        held_out=held,
        **SIZES,
    )

    assert float(read_log(tmp_path / "run" / "log.csv")[0]["far"]) > 0


def test_the_official_model_of_20_m_bands_is_distilled_at_its_scale_of_one(official, tmp_path):
    values = repeated(cubes.reflectance(4, 80, 80), cubes.reflectance(6, 40, 40, seed=1))
    held = [Scene("far", values)]

    network = LeanFusion(channels=4, coarse_channels=4, upscale=1)
    distil(network, Teacher("sen2sr-lite.rswir-x2"), held, tmp_path, SHORT, held_out=held, **SIZES)

    row = read_log(tmp_path / "log.csv")[0]
    assert float(row["far 20 m"]) > 0 and "far 10 m" not in row


def test_a_scale_is_for_models_that_have_one():
    assert Teacher("bicubic", scale=3)(np.zeros((1, 1, 9, 9), "float32")).shape == (1, 1, 15, 15)
    with pytest.raises(OptionError, match="scale="):
        Teacher("sen2sr", scale=2)
    with pytest.raises(ModelError, match="glp-hpm"):
        Teacher("glp-hpm")


# -- what does not go together


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": LeanSPAN(upscale=2)}, r"\(1, 4, 32, 32\).*4 bands"),
        ({"network": LeanSPAN(bands=3)}, r"cannot be run on \(1, 4, 28, 28\).*LeanSPAN\(bands=4, upscale=4\)"),
        ({"network": LeanSPAN}, r"torch\.nn\.Module"),
        (
            {
                "network": LeanSPAN(),
                "teacher": Teacher("sen2sr-v1.ten-x4", device="cpu"),
                "scenes": [Scene("ten", cubes.reflectance(10, 80, 80))],
            },
            r"cannot be run on \(1, 10, .*LeanFusion\(bands=10, coarse=6, upscale=4\)",
        ),
        ({"network": LeanSPAN().requires_grad_(False)}, "no parameters to train"),
        ({"teacher": "sen2sr"}, r"training\.Teacher\('sen2sr-lite'\)"),
        ({"scenes": scenes(3)}, r"'noise'.*\(3, 60, 60\).*4 bands"),
        ({"scenes": scenes()[0]}, r"scenes.*Scene.*\[scene\]"),
        ({"scenes": cubes.array(cubes.reflectance(4, 60, 60))}, "DataArray.*Scene"),
        ({"scenes": [cubes.reflectance(4, 60, 60)]}, "ndarray"),
        ({"scenes": []}, "no scene to train on"),
        ({"scenes": [Scene("still", cubes.reflectance(4, 60, 60), weight=0)]}, "All scenes have weight=0"),
        ({"scenes": [Scene("less", cubes.reflectance(4, 60, 60), weight=-1.0)]}, "weight=-1.0"),
        ({"scenes": [Scene("dn", cubes.reflectance(4, 60, 60) * 10_000)]}, "'dn': half .* no surface .*scenes_of"),
        ({"scenes": [Scene("dn", np.ones((4, 60, 60), "uint16"))]}, r"'dn'.*uint16"),
        (
            {"scenes": [Scene("half", np.ones((4, 60, 60), "float16"))]},
            "float16.* float32",
        ),
        ({"scenes": [Scene("other", np.ones((4, 60, 60), ">f4"))]}, "'other'.*>f4"),
        ({"scenes": [Scene("list", cubes.reflectance(4, 60, 60).tolist())]}, "'list'.*list"),
        ({"scenes": [Scene("cube", cubes.array(cubes.reflectance(4, 60, 60)))]}, "float32 values in a DataArray"),
        ({"side": 32, "patch": 20}, "side=32, patch=20"),
        ({"batch": 0}, "batch=0"),
        ({"patch": 12.0}, r"patch=12\.0"),
        ({"held_out": {"far": cubes.reflectance(4, 20, 60)}}, r"held_out.*'far'.*10.*21"),
        ({"held_out": {"far": np.full((4, 60, 60), np.nan, "float32")}}, "'far'.*14400"),
        ({"held_out": {"far": cubes.reflectance(3, 60, 60)}}, "with 4 bands, or a Scene"),
        ({"held_out": {"far": np.ones((4, 60, 60), "uint16")}}, r"'far'.*uint16"),
        ({"held_out": {"far": cubes.reflectance(4, 60, 60) * 10_000}}, r"held_out\['far'\]: half .* no surface"),
        ({"evenness": 1.5}, r"evenness=1\.5"),
        ({"evenness": float("nan")}, "evenness=nan"),
        ({"balance": -0.1, "evenness": "much"}, r"evenness='much', balance=-0\.1"),
        ({"seen": 0}, "seen=0"),
        ({"seen": float("inf")}, "seen=inf"),
        ({"augmentation": "strong"}, r"augmentation='strong'.*training\.Augmentation"),
        ({"settings": {"steps": 2}}, r"settings.*training\.Settings"),
        ({"held_out": {"loss": cubes.reflectance(4, 60, 60)}}, "held_out.*'loss'"),
        ({"held_out": scenes() + scenes()}, "held_out.*twice"),
    ],
)
def test_what_cannot_be_distilled_is_refused_before_the_first_step(tmp_path, change, words):
    run = {"network": student(), "teacher": Teacher("sen2sr-v1", device="cpu"), "scenes": scenes(), "settings": SHORT}
    run |= {**SIZES, **change}

    with pytest.raises(TrainingError, match=words):
        distil(folder=tmp_path / "run", **run)

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("form", [lambda values: values.astype("float64"), lambda values: values[:, ::-1, ::-1]])
def test_scenes_of_wider_floats_and_of_views_are_learnt_from(tmp_path, form):
    values = cubes.reflectance(4, 60, 60)
    values[:, :20] = np.nan

    distil(student(), Teacher("sen2sr"), [Scene("view", form(values))], tmp_path, SHORT, **{**SIZES, "pool": 16})

    assert len(read_log(tmp_path / "log.csv")) == 1


def test_scenes_are_held_out_as_they_are(tmp_path):
    teacher, far = Teacher("sen2sr", device="cpu"), Scene("far", cubes.reflectance(4, 40, 40, seed=3))

    for number, held in enumerate(([far], {"far": far}, {"far": far.values})):
        distil(student(), teacher, scenes(), tmp_path / str(number), SHORT, held_out=held, **SIZES)

    told = [read_log(tmp_path / str(number) / "log.csv")[0]["far"] for number in range(3)]
    assert told[0] == told[1] == told[2] != ""


def test_a_place_without_detail_says_that_nothing_can_be_measured(tmp_path):
    flat = np.full((4, 40, 40), 0.3, "float32")
    teacher = Teacher("sen2sr", device="cpu")

    with pytest.raises(TrainingError, match="bicubic"):
        closeness(student(), flat, Teacher("bicubic")(flat[None])[0], Teacher("bicubic"))
    with pytest.raises(TrainingError, match="nodata"):
        closeness(student(), flat * np.nan, teacher(flat[None])[0] * np.nan, Teacher("bicubic"))


def test_a_windowed_teacher_is_refused_for_what_it_is(tmp_path):
    torch.manual_seed(0)
    save_file(architectures.Attention().state_dict(), tmp_path / "w.safetensors")
    spec = ModelSpec("own", "", "tests.architectures:Attention", ("B08", "B04"), scale=2, window=16, overlap=6)
    xr_sr.register_model(spec, weights=tmp_path / "w.safetensors")

    with pytest.raises(TrainingError, match="windows of 16"):
        distil(student(bands=2, upscale=2), Teacher("own"), scenes(2), tmp_path / "run", SHORT, **SIZES)


def test_bands_are_those_that_a_teacher_gives(official):
    assert Teacher("sen2sr-lite.main", bands=("B8A", "B11")).gives == ("B8A", "B11")
    assert Teacher("sen2sr-lite.main", bands=["swir16", "B8A_20m"]).gives == ("B8A", "B11")
    with pytest.raises(OptionError, match=r"bands=\['B09'\]: 'sen2sr-lite.main'"):
        Teacher("sen2sr-lite.main", bands=["B09"])
    with pytest.raises(OptionError, match="bands="):
        Teacher("sen2sr-lite.main", bands=["B11", "swir16"])
    with pytest.raises(OptionError, match=r"bands='B11'.*bands=\['B11'\]"):
        Teacher("sen2sr-lite.main", bands="B11")
    with pytest.raises(OptionError, match=r"bands=\[\]"):
        Teacher("sen2sr-lite.main", bands=[])
    with pytest.raises(OptionError, match="leave bands= out"):
        Teacher("sen2sr", bands=["B04"])


def test_wide_pixels_need_even_patches(official, tmp_path):
    values = repeated(cubes.reflectance(4, 120, 120), cubes.reflectance(6, 60, 60))
    teacher = Teacher("sen2sr-lite.main", device="cpu")

    with pytest.raises(TrainingError, match=r"patch=21: .* such as 22"):
        distil(
            LeanFusion(channels=4, coarse_channels=4),
            teacher,
            [Scene("a", values)],
            tmp_path,
            SHORT,
            **{**SIZES, "patch": 21},
        )


@pytest.mark.parametrize(
    "misfit",
    [
        lambda fine, coarse: cubes.reflectance(10, 80, 80),  # resampled by somebody
        lambda fine, coarse: repeated(fine, coarse)[:, 1:, 1:],  # begins inside of a wide pixel
        lambda fine, coarse: repeated(fine, coarse)[[*range(4, 10), *range(4)]],  # in another order
        lambda fine, coarse: np.concatenate([repeated(fine, coarse)[:9], cubes.reflectance(1, 80, 80)]),
    ],
)
def test_wide_pixels_that_are_not_repeated_are_refused(official, tmp_path, misfit):
    sound = [cubes.reflectance(4, 80, 80), cubes.reflectance(6, 40, 40, seed=1)]
    values = misfit(*sound)
    values[:, :30] = np.nan
    run = {"scenes": [Scene("sound", repeated(*sound))], "teacher": Teacher("sen2sr-lite.rswir-x2", device="cpu")}

    for change in ({"scenes": [Scene("misfit", values)]}, {"held_out": {"misfit": Scene("misfit", values[:, 30:])}}):
        network = LeanFusion(channels=4, coarse_channels=4, upscale=1)
        with pytest.raises(TrainingError, match=r"misfit.*: only .* in band \d of the last 6, .*training\.repeated"):
            distil(network, folder=tmp_path / "run", settings=SHORT, **{**run, **SIZES, **change})

    assert not (tmp_path / "run").exists()


def test_wide_pixels_of_scenes_with_an_odd_edge_and_gaps_are_repeated(official, tmp_path):
    values = repeated(cubes.reflectance(4, 80, 80), cubes.reflectance(6, 40, 40, seed=1))[:, :79, :77]
    values[:, 3, 5] = np.nan
    values[:, 70:] = np.nan
    values[4:, 20:22, 20:22] += np.float32([[0, 0.01], [0, 0]])

    network = LeanFusion(channels=4, coarse_channels=4, upscale=1)
    distil(network, Teacher("sen2sr-lite.rswir-x2"), [Scene("odd", values)], tmp_path, SHORT, **SIZES)

    assert len(read_log(tmp_path / "log.csv")) == 1


def test_wide_pixels_of_a_scene_held_out_are_interpolated(official, tmp_path):
    values = repeated(cubes.reflectance(4, 120, 120), cubes.reflectance(6, 60, 60, seed=1))
    teacher = Teacher("sen2sr-lite.rswir-x2", device="cpu")

    for name, held in (("scene", Scene("far", values)), ("array", interpolated(values, 6))):
        torch.manual_seed(0)
        network = LeanFusion(channels=4, coarse_channels=4, upscale=1)
        distil(network, teacher, [Scene("a", values)], tmp_path / name, SHORT, held_out={"far": held}, **SIZES)

    one, other = (read_log(tmp_path / name / "log.csv")[0]["far 20 m"] for name in ("scene", "array"))
    assert one == other


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"bands": ("B04", "B03", "B02", "PAN")}, MissingBandError, r"bands=.*\['PAN'\]"),
        ({"bands": ()}, MissingBandError, "bands=.*B12"),
        ({"bands": ("B04", "red", "B02", "B08")}, TrainingError, "a band twice"),
        ({"scenes": [Scene("dn", np.full((4, 160, 160), 800.0))]}, TrainingError, "'dn': half .* are 800 and more"),
        ({"scenes": scenes(3, 160)}, TrainingError, "with 4 bands"),
        ({"network": LeanSPAN(upscale=2)}, TrainingError, "4 times finer"),
        ({"scale": 1}, TrainingError, "scale=1.* 2"),
        ({"hr_weight": 1.5}, TrainingError, "from 0 to 1"),
        ({"hr_weight": 0.5}, TrainingError, r"hr_weight=0\.5.*teacher"),
        ({"sensors": (0.75, 1.25)}, TrainingError, r"sensors.*training\.SensorRange"),
        ({"augmentation": 0.5}, TrainingError, r"augmentation.*training\.Augmentation"),
        ({"settings": {"steps": 2}}, TrainingError, r"settings.*training\.Settings"),
        ({"side": 14}, TrainingError, "side=14, patch=12"),
        ({"teacher": Teacher("bicubic", scale=2)}, TrainingError, r"'bicubic'.*scale 4"),
        ({"teacher": "sen2sr"}, TrainingError, r"training\.Teacher"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_the_first_step(tmp_path, change, error, words):
    run = {"network": student(), "scenes": scenes(side=160), "settings": SHORT, **SIZES, **change}

    with pytest.raises(error, match=words):
        fit(folder=tmp_path / "run", **run)

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Augmentation, {"light": 1.5}),
        (Augmentation, {"snow": -0.1}),
        (Augmentation, {"mix": "some"}),
        (Augmentation, {"light": 0.6, "snow": 0.3, "mix": 0.2}),
        (Augmentation, {"light": float("nan")}),
        (SensorRange, {"width": (1.25, 0.75)}),
        (SensorRange, {"width": (0.0, 1.0)}),
        (SensorRange, {"width": 1.0}),
        (SensorRange, {"noise": (2.0, 1.0)}),
        (SensorRange, {"noise": (-1.0, 1.0)}),
        (SensorRange, {"noise": (0.0, float("nan"))}),
        (SensorRange, {"noise": (0.0, 1.0, 2.0)}),
        (SensorRange, {"shift_px": -0.1}),
        (SensorRange, {"shift_px": float("inf")}),
        (Settings, {"learning_rate": "x"}),
        (Settings, {"average": "x"}),
        (Settings, {"betas": 0.9}),
        (Settings, {"betas": (0.9, True)}),
    ],
)
def test_augmentations_sensors_and_settings_that_cannot_be_are_refused(kind, wrong):
    with pytest.raises(OptionError, match=rf"{next(iter(wrong))}="):
        kind(**wrong)


def test_bands_are_fitted_by_any_of_their_names(tmp_path):
    for name, bands in (("own", ("B04", "B03", "B02", "B08")), ("alias", ("red", "green", "blue", "nir"))):
        fit(student(), scenes(side=160), tmp_path / name, SHORT, bands=bands, **SIZES)

    assert (tmp_path / "own" / "run.json").read_bytes() == (tmp_path / "alias" / "run.json").read_bytes()
