"""`multiframe` with a network that reads several dates: what it gets, what is returned, blocks, NaN and errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

import xr_sr
from tests.architectures import PlainOfDates
from tests.cubes import array, geobox_of, reflectance
from tests.pipeline.test_multiframe import SHIFTS, series
from xr_sr import ModelSpec, Normalization
from xr_sr.catalog import registry
from xr_sr.errors import ModelError, OptionError

MEAN = ModelSpec("mean", "", "tests.architectures:MeanOfDates", ("B04", "B08"), scale=2, halo=0, dates=3)

PLAIN = ModelSpec(
    name="plain",
    summary="",
    architecture="tests.architectures:PlainOfDates",
    bands=("B08", "B04"),
    scale=2,
    halo=2,
    dates=3,
    config=(("depth", 2),),
    normalization=Normalization((0.3, 0.1), (0.2, 0.05)),
)

WHOLE = np.array([[0.4, -0.2], [-2.3, 1.2], [0.6, 0.45], [1.5, -0.7], [0.0, 0.0]])
"""Shifts of the content of five dates, (down, right), of which the last is shown."""

GAIN, OFFSET = 1.2, 0.02


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Models that a test registers are gone after it."""
    monkeypatch.setattr(registry, "current", registry.current)
    torch.manual_seed(4)
    save_file(PlainOfDates(depth=2).state_dict(), tmp_path / "plain.safetensors")
    xr_sr.register_model(MEAN)
    xr_sr.register_model(PLAIN, weights=tmp_path / "plain.safetensors")


def dated(count: int = 5, height: int = 30, width: int = 26) -> xr.DataArray:
    """Images of different ground on several dates, so that a wrong date or place is seen."""
    dates = [
        array(reflectance(2, height, width, seed=number), ("B04", "B08"), geobox=geobox_of(height, width))
        for number in range(count)
    ]
    days = pd.date_range("2023-06-01T10:30", periods=count, freq="3D")
    return xr.concat(dates, "time").assign_coords(time=days).compute()


def joined(cube: xr.DataArray | xr.Dataset, model: str = "mean", window: object = "60D", **options) -> xr.Dataset:
    with dask.config.set(scheduler="synchronous"):
        return cube.sr.multiframe(window, model, device="cpu", **options).compute()


def numbers(cube: xr.DataArray, shifts: np.ndarray, **options: object) -> xr.Dataset:
    """What would have been measured: shifts, a gain and an offset for all but the last date."""
    found = joined(cube, **options)[["shift_y", "shift_x", "shift_quality", "region_weight", "gain", "offset"]]
    for place, name in enumerate(("shift_y", "shift_x")):
        found[name].values[:] = shifts[:, place, None, None]
    for name, value in {"shift_quality": 0.99, "region_weight": 1, "gain": GAIN, "offset": OFFSET}.items():
        found[name].values[:-1] = value
    return found


def moved(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Bring (band, y, x) to the reference; what lies beyond an edge is mirrored."""
    down, right = np.floor(shift + 0.5).astype(int)
    wide = np.pad((image - OFFSET) / GAIN, [(0, 0), (5, 5), (5, 5)], mode="symmetric")
    height, width = image.shape[-2:]
    return wide[:, 5 + down : 5 + down + height, 5 + right : 5 + right + width]


def aligned(cube: xr.DataArray) -> list[np.ndarray]:
    """The last date, and the others in the order of their distance in time."""
    return [cube.values[-1]] + [
        moved(cube.values[place], WHOLE[len(WHOLE) - len(cube) + place]) for place in reversed(range(len(cube) - 1))
    ]


def doubled(image: np.ndarray) -> np.ndarray:
    return image.repeat(2, -1).repeat(2, -2)


def test_a_network_gets_the_shown_date_and_the_nearest_others_moved_by_whole_pixels():
    cube = dated()

    made = joined(cube, registration=numbers(cube, WHOLE))

    np.testing.assert_allclose(made["estimate"][0].values, doubled(np.mean(aligned(cube)[:3], 0)), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(made["weight"].mean(("y", "x")).values, [0, 0, 1, 1, 1])
    assert (made["n_effective"] == 3).all()


def test_dates_on_both_sides_of_the_one_that_is_shown_are_nearest_in_time():
    cube = dated()
    cube = cube.assign_coords(
        time=pd.to_datetime(["2023-06-01", "2023-06-09", "2023-06-10", "2023-06-13", "2023-06-20"])
    )
    same = numbers(cube, np.zeros((5, 2)), reference="2023-06-10")
    same["gain"].values[:], same["offset"].values[:], same["region_weight"].values[:] = 1, 0, 1

    made = joined(cube, registration=same)

    assert made["time"].values[0] == cube["time"].values[2]
    np.testing.assert_allclose(made["estimate"][0].values, doubled(cube.values[1:4].mean(0)), rtol=0, atol=1e-6)


def test_where_there_are_fewer_dates_the_shown_one_is_repeated():
    cube = dated().isel(time=[3, 4])

    made = joined(cube, registration=numbers(cube, WHOLE[3:]))
    alone = joined(cube, window="1D")

    shown, other = aligned(cube)
    np.testing.assert_allclose(made["estimate"][0].values, doubled((2 * shown + other) / 3), rtol=0, atol=1e-6)
    assert (made["n_effective"] == 2).all()
    assert alone.sizes["time"] == 2
    np.testing.assert_allclose(alone["estimate"].values, doubled(cube.values), rtol=0, atol=1e-6)
    assert (alone["weight"] == 1).all()


def test_a_date_that_does_not_count_leaves_its_place_to_the_next():
    cube = dated()
    found = numbers(cube, WHOLE)
    found["region_weight"].values[3] = 0

    made = joined(cube, registration=found)

    shown, _, second, third, _ = aligned(cube)
    np.testing.assert_allclose(made["estimate"][0].values, doubled((shown + second + third) / 3), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(made["weight"].mean(("y", "x")).values, [0, 1, 1, 0, 1])


def test_holes_of_dates_are_the_reference_and_its_own_are_filled_from_them():
    cube = dated().isel(time=[2, 3, 4])
    found = numbers(cube, np.zeros((3, 2)))
    found["gain"].values[:], found["offset"].values[:] = 1, 0
    one, two, shown = cube.values.copy()
    cube[1, 0, 4:8, 4:8] = np.nan  # one band of a date
    cube[2, :, 12:16, 12:20] = np.nan  # the reference
    cube[:, :, 22:, :6] = np.nan  # all
    cube[:2, :, 12:16, 16:20] = np.nan  # below the hole of the reference

    made = joined(cube, registration=found)

    image, count = made["estimate"][0].values[:, ::2, ::2], made["n_effective"][0].values[::2, ::2]
    np.testing.assert_allclose(image[:, 4:8, 4:8], ((2 * shown + one) / 3)[:, 4:8, 4:8], rtol=0, atol=1e-6)
    np.testing.assert_allclose(image[:, 12:16, 12:16], ((one + two) / 2)[:, 12:16, 12:16], rtol=0, atol=1e-6)
    assert np.isnan(image[:, 22:, :6]).all() and np.isnan(image[:, 12:16, 16:20]).all()
    assert np.isfinite(image).sum() == image.size - 2 * (8 * 6 + 4 * 4)
    assert [count[y, x] for y, x in ((4, 4), (12, 12), (12, 16), (25, 2), (0, 0))] == [2, 2, 0, 0, 3]
    assert (made["weight"][2].values[24:32, 24:32] == 0).all() and (
        made["weight"][:2].values[:, 24:32, 24:32] == 1
    ).all()


def test_dates_of_unknown_place_are_read_in_holes_of_the_reference_only():
    cube = dated().isel(time=[2, 3, 4])
    found = numbers(cube, np.zeros((3, 2)))
    found["gain"].values[:], found["offset"].values[:], found["shift_quality"].values[:] = 1, 0, 0
    one, _, shown = cube.values.copy()
    cube[2, :, 12:16, 12:20] = np.nan
    cube[1, :, 12:16, 12:20] = np.nan

    made = joined(cube, registration=found)

    image, count = made["estimate"][0].values[:, ::2, ::2], made["n_effective"][0].values[::2, ::2]
    np.testing.assert_allclose(image[:, 12:16, 12:20], one[:, 12:16, 12:20], rtol=0, atol=1e-6)
    np.testing.assert_allclose(image[:, :12], shown[:, :12], rtol=0, atol=1e-6)
    assert (count == 1).all()


def test_convolutions_are_those_of_the_network_on_the_whole_image(tmp_path: Path):
    cube = dated()

    made = joined(cube, "plain", registration=numbers(cube, WHOLE), bands=["B08"])

    torch.manual_seed(4)
    wide = np.pad(cube.values, [(0, 0), (0, 0), (8, 8), (8, 8)], mode="symmetric")
    dates = np.stack([wide[-1]] + [moved(wide[place], WHOLE[place]) for place in (3, 2)])[:, ::-1]  # B08 first
    shift, scale = (np.reshape(each, (2, 1, 1)) for each in (PLAIN.normalization.shift, PLAIN.normalization.scale))
    with torch.no_grad():
        fine = PlainOfDates(depth=2).eval()(torch.from_numpy(((dates - shift) / scale).astype("float32"))[None])[0]
    expected = (fine.numpy() * scale + shift)[:1, 16:-16, 16:-16]
    np.testing.assert_allclose(made["estimate"][0].values, expected, rtol=0, atol=2e-6)
    assert list(made["estimate"]["band"].values) == ["B08"]
    assert list(made["measured_band"].values) == ["B08", "B04"]


def test_values_do_not_depend_on_how_the_cube_is_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("xr_sr.pipeline.series.REGION", 20)  # several regions
    cube = dated(height=44, width=40)
    found = numbers(cube, WHOLE)
    found["gain"].values[:-1] += np.random.default_rng(0).uniform(0, 0.2, found["gain"][:-1].shape)
    found["shift_y"].values[1, 0] += 1.6
    cube[-1, :, 10:24, 13:30] = np.nan  # far wider than the halo
    cube[2, :, 15:40, 20:36] = np.nan
    cube[3, :, 8:20, 5:26] = np.nan
    whole = joined(cube.chunk(-1), "plain", registration=found, chunks=64)
    assert whole.sizes["region_y"] == 2
    assert 0 < np.isnan(whole["estimate"]).mean() < 0.2

    for chunks, block in (({"time": 1, "y": 17, "x": 40}, 7), ({"time": 2, "y": 44, "x": 11}, (16, 5))):
        cut = joined(cube.chunk(chunks), "plain", registration=found, chunks=block)
        for name in ("estimate", "n_effective", "weight"):
            np.testing.assert_allclose(cut[name].values, whole[name].values, rtol=0, atol=1e-6, err_msg=name)


def test_shifts_and_brightness_are_measured_as_for_kriging():
    cube = series()
    bright = cube.copy(deep=True)
    bright[3] = bright[3] * 1.3

    made, clean = joined(bright), joined(cube)

    shifts = np.stack([made["shift_y"].values.ravel(), made["shift_x"].values.ravel()], -1)
    np.testing.assert_allclose(shifts, SHIFTS, atol=0.05)
    np.testing.assert_allclose(made["gain"].values[3].ravel(), 1.3, atol=0.02)
    np.testing.assert_allclose(made["estimate"].values, clean["estimate"].values, atol=0.004)
    assert np.nanmin(np.abs(bright.values[3] - cube.values[3])) > 3 * 0.005


def test_the_result_says_what_made_it_and_has_no_bounds(tmp_path: Path):
    cube = dated()

    made = joined(cube, "plain", window="9D")

    assert set(made.data_vars) == {
        *("estimate", "n_effective", "weight", "shift_y", "shift_x", "shift_quality", "region_weight"),
        *("gain", "offset"),
    }
    assert made["estimate"].odc.geobox == cube.odc.geobox.zoom_to((60, 52))
    assert made["estimate"].dims == cube.dims and made.sizes["time"] == 2
    assert made.attrs["xr_sr:model"] == "plain"
    assert made.attrs["xr_sr:weights_sha256"] == registry.get("plain").weights.sha256
    assert made.attrs["xr_sr:record"] == registry.get("plain").digest()
    assert not [name for name in made.attrs if "interval" in name or "calibration" in name]


def test_a_dataset_is_joined_and_other_weights_and_precision_are_used(tmp_path: Path):
    cube = dated()
    torch.manual_seed(5)
    save_file(PlainOfDates(depth=2).state_dict(), tmp_path / "other.safetensors")
    whole = joined(cube, "plain")

    bands = joined(cube.to_dataset("band"), "plain")
    other = joined(cube, "plain", weights=tmp_path / "other.safetensors")
    short = joined(cube, "plain", precision="bfloat16")

    np.testing.assert_array_equal(bands["estimate"].values, whole["estimate"].values)
    assert np.abs(other["estimate"] - whole["estimate"]).max() > 0.01
    assert other.attrs["xr_sr:weights_sha256"] != whole.attrs["xr_sr:weights_sha256"]
    assert 1e-5 < np.abs(short["estimate"] - whole["estimate"]).max() < 0.02


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": "one"}, OptionError, r"'one' computes single images.*ModelSpec\(dates=...\)"),
        ({"level": 0.8}, OptionError, "level=.*'mean' does not know"),
        ({"calibrated": False}, OptionError, "calibrated="),
        ({"bands": ["B04", "B12"]}, ModelError, "'B12'"),
        ({"model": "kriging", "precision": "float16"}, OptionError, "precision='float16'"),
        ({"model": "kriging", "weights": "a.pt"}, OptionError, "a.pt"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, object], error: type[Exception], words: str):
    xr_sr.register_model(replace(MEAN, name="one", dates=0, architecture="tests.architectures:Oblique"), check=False)

    with pytest.raises(error, match=words):
        joined(dated(), **options)
