"""Networks that read several dates: registered by a record, measured, run as one kernel, and refused elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import xr_sr
from tests.architectures import PlainOfDates
from tests.cubes import array, reflectance
from xr_sr import ModelSpec, Normalization, kernels
from xr_sr.catalog import registry
from xr_sr.errors import ModelError
from xr_sr.kernels.resolve import kernel_ref
from xr_sr.spec import Tile

SERIES = ModelSpec(
    name="series",
    summary="Three dates",
    architecture="tests.architectures:PlainOfDates",
    bands=("B08", "B04"),
    scale=2,
    halo=2,
    dates=3,
    config=(("depth", 2),),
)


@pytest.fixture(autouse=True)
def _own_catalogue(monkeypatch):
    """Models that a test registers are gone after it."""
    monkeypatch.setattr(registry, "current", registry.current)


def network_of(spec: ModelSpec) -> PlainOfDates:
    torch.manual_seed(4)
    return PlainOfDates(**dict(spec.config)).eval()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_file(network_of(SERIES).state_dict(), tmp_path / "series.safetensors")
    return tmp_path / "series.safetensors"


def test_a_network_of_several_dates_is_registered_measured_and_listed(weights):
    report = xr_sr.register_model(SERIES, weights=weights)

    assert report.halo == 2
    assert str(report).startswith("series: B08 B04 of 3 dates to the same, 2 times finer; halo=2, measured")
    assert xr_sr.measure_halo("series").halo == 2
    table = xr_sr.list_models().set_index("name")
    assert table.loc["series", "dates"] == 3
    assert (table["dates"].drop("series") == 0).all()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"halo": 1}, ["halo=1", "Write halo=2"]),
        ({"dates": 2}, ["(1, 2, 2, ", "2 dates of 2 bands"]),
        ({"bands": ("B08", "B04", "B03")}, ["3 bands", "can be on 2"]),
        ({"scale": 3}, ["(1, 3, 2, ", "3 times finer"]),
    ],
)
def test_a_record_that_contradicts_the_network_is_refused_and_nothing_is_registered(weights, change, names):
    with pytest.raises(ModelError) as caught:
        xr_sr.register_model(replace(SERIES, **change), weights=weights)

    assert [name for name in names if name not in str(caught.value)] == []
    assert "series" not in registry.names()


def test_the_kernel_is_the_network_with_each_band_normalized_on_each_date(weights):
    spec = replace(SERIES, normalization=Normalization((0.1, 0.3), (0.05, 0.2)))
    spec = xr_sr.register_model(spec, weights=weights).spec
    kernel = kernels.build_series(kernel_ref(spec, device="cpu"))
    block = reflectance(3, 2, 24, 21)

    out = kernel(block, Tile(y=(0, 20), x=(0, 17), halo=2))

    norms = [np.reshape(value, (2, 1, 1)) for value in ((0.1, 0.3), (0.05, 0.2))]
    with torch.no_grad():
        fine = network_of(SERIES)(torch.from_numpy(((block - norms[0]) / norms[1]).astype("float32"))[None])[0].numpy()
    assert (kernel.dates, kernel.scale, kernel.halo) == (3, 2, 2)
    np.testing.assert_allclose(out, (fine * norms[1] + norms[0])[:, 4:-4, 4:-4], rtol=0, atol=2e-6)


def test_functions_of_single_images_refuse_it_and_name_multiframe(weights):
    xr_sr.register_model(SERIES, weights=weights)
    cube = array(reflectance(2, 20, 20), ("B04", "B08"))

    for call in (cube.sr.upscale, cube.sr.explain, cube.sr.interval, cube.sr.ensemble):
        with pytest.raises(ModelError, match=r"'series' reads 3 dates at once.*multiframe\(model='series'\)"):
            call(model="series")


def test_it_is_not_recommended_for_bands_that_another_network_lacks(weights):
    xr_sr.register_model(SERIES, weights=weights)
    xr_sr.register_model(ModelSpec("one", "", "tests.architectures:Oblique", ("B04",), scale=2, halo=4), check=False)

    with pytest.raises(ModelError, match="use another model.*bicubic") as caught:
        array(reflectance(2, 20, 20), ("B04", "B08")).sr.upscale("one", bands=["B04", "B08"])

    assert "series" not in str(caught.value)
