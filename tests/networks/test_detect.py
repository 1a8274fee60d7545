"""Networks recognized by their weights: same values as the catalog's models, sizes from shapes, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import xr_sr
from tests.cubes import array, dataset, geobox_of, reflectance
from xr_sr import networks
from xr_sr.catalog import fetch, registry
from xr_sr.errors import ModelError, OptionError, WeightsFormatError, WeightsNotFoundError
from xr_sr.networks.lean import LeanSPAN
from xr_sr.networks.lean_fusion import LeanCoarse, LeanFusion
from xr_sr.networks.lpips import LPIPS
from xr_sr.networks.span import SPAN
from xr_sr.pipeline.plan import graph, rebuild

RGBN = ("B04", "B03", "B02", "B08")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """Models that a test registers are gone after it."""
    monkeypatch.setattr(registry, "current", registry.current)


def upscaled(cube, model, **options):
    return cube.sr.upscale(model, device="cpu", **options).compute()


# -- what is recognized


def made(network: torch.nn.Module, **arguments: int) -> tuple[torch.nn.Module, torch.nn.Module, networks.Found]:
    module, found = networks.from_state_dict(network.state_dict(), **arguments)
    return network.eval(), module, found


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (SPAN(4, 4, 12, 4, 3), {"in_channels": 4, "out_channels": 4, "feature_channels": 12, "upscale": 4}),
        (SPAN(3, 3, 8, 2, 6), {"in_channels": 3, "upscale": 2, "num_blocks": 6}),
        (SPAN(10, 6, 8, 1, 2), {"in_channels": 10, "out_channels": 6, "upscale": 1, "num_blocks": 2}),
        (LeanSPAN(3, 8, 2), {"bands": 3, "channels": 8, "upscale": 2}),
        (LeanCoarse(10, 6, 8, 4), {"bands": 10, "coarse": 6, "channels": 8, "upscale": 4}),
        (LeanFusion(5, 2, 6, 4, 2), {"bands": 5, "coarse": 2, "channels": 6, "coarse_channels": 4, "upscale": 2}),
    ],
)
def test_sizes_are_read_from_shapes_and_outputs_are_the_networks(network, expected):
    network, module, found = made(network)
    image = torch.rand(1, found.bands, 40, 36)

    assert expected.items() <= dict(found.config).items()
    assert found.architecture == f"{type(network).__module__}:{type(network).__name__}"
    assert set(found.from_shapes) | set(found.assumed) == set(dict(found.config)) and not found.given
    with torch.no_grad():
        fine, whole = module(image), network(image)
    assert fine.shape == (1, found.bands_out, 40 * found.scale, 36 * found.scale)
    cut = found.padding * found.scale
    torch.testing.assert_close(fine[..., cut : 40 * found.scale - cut, cut : 36 * found.scale - cut], whole)


@pytest.mark.parametrize("net", ["squeeze", "alex"])
def test_lpips_is_recognized_with_its_backbone(net):
    network, module, found = made(LPIPS(net))
    one, other = torch.rand(2, 1, 3, 64, 64)

    assert dict(found.config) == {"net": net} and found.bands_out == 0
    with torch.no_grad():
        torch.testing.assert_close(module(one, other), network(one, other))


def test_what_shapes_cannot_tell_is_assumed_and_may_be_passed():
    state = SPAN(4, 16, 8, 2).state_dict()  # 64 channels before the shuffle, as 4 bands at a scale of 4 have

    _, assumed = networks.from_state_dict(state)
    _, given = networks.from_state_dict(state, upscale=2)

    assert (assumed.scale, assumed.bands_out, assumed.assumed) == (4, 4, ("upscale",))
    assert (given.scale, given.bands_out, given.assumed, given.given) == (2, 16, (), ("upscale",))


def test_wrappers_and_data_parallel_are_opened():
    state = LeanSPAN(2, 4, 2).state_dict()

    for wrapped in ({"params_ema": state}, {"state_dict": {f"module.{key}": value for key, value in state.items()}}):
        assert networks.from_state_dict(wrapped)[1].bands == 2


def test_random_numbers_are_left_as_they_were():
    state = LeanSPAN(2, 4, 2).state_dict()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)

    networks.from_state_dict(state)

    assert torch.rand(1) == expected


# -- what is refused


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ({"layer.weight": torch.zeros(3, 2)}, ["'layer.weight'", "(3, 2)", "SPAN", "LeanFusion", "register_model"]),
        ({}, ["empty"]),
        ({"state_dict": {}}, ["empty"]),
        ({"epoch": 3}, ["tensors"]),
        (None, ["tensors"]),
        ({**LeanSPAN(2, 4, 2).state_dict(), "extra": torch.zeros(1)}, ["LeanSPAN", "'extra'"]),
        ({k: v for k, v in LeanSPAN(2, 4, 2).state_dict().items() if k != "mix.bias"}, ["LeanSPAN", "'mix.bias'"]),
    ],
)
def test_other_state_dicts_are_refused_with_what_was_found_and_what_is_known(state, names):
    with pytest.raises(WeightsFormatError) as caught:
        networks.from_state_dict(state)

    assert [name for name in names if name not in str(caught.value)] == []


@pytest.mark.parametrize("wrong", [{"color": 3}, {"upscale": 0}, {"upscale": "two"}, {"upscale": True}])
def test_other_arguments_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        networks.from_state_dict(SPAN(2, 2, 4, 2).state_dict(), **wrong)


# -- files as models


@pytest.mark.parametrize("name", ["sen2sr-v1.rgbn-x4", "sen2sr-v1-fast"])
def test_the_files_in_the_package_give_the_values_of_its_models(name):
    path = fetch.locate(registry.get(name)).path
    module, found = networks.from_state_dict(load_file(path))
    values = reflectance(4, 24, 30)
    cube = array(values, RGBN)
    expected = upscaled(cube, name)

    made = upscaled(cube, str(path))

    np.testing.assert_array_equal(made.values, expected.values)
    assert made.attrs == expected.attrs
    with torch.no_grad():  # the constraint is inside, so that the bare network gives the same, mirrored edges included
        np.testing.assert_allclose(module(torch.from_numpy(values)[None])[0], expected.values, rtol=0, atol=2e-6)
    assert (found.bands, found.scale, found.assumed) == (4, 4, ())


def test_a_fine_tuned_file_of_ten_bands_reads_both_pixel_sizes(tmp_path):
    torch.manual_seed(1)
    save_file(LeanFusion(10, 6, 4, 4).state_dict(), tmp_path / "my fields.safetensors")
    fine = dataset(reflectance(4, 32, 32), ("B02", "B03", "B04", "B08"))
    names = ("B05", "B06", "B07", "B8A", "B11", "B12")
    coarse = dataset(reflectance(6, 16, 16), names, geobox=geobox_of(32, 32).zoom_out(2))

    out = upscaled(fine, str(tmp_path / "my fields.safetensors"), other=coarse)

    assert set(out) == {"B02", "B03", "B04", "B08", *names} and out.sizes["y"] == 128
    name = out.attrs["xr_sr:model"]
    assert name.startswith("my-fields-") and registry.is_own(name) and out.attrs["xr_sr:record"]


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_network_of_another_scale_gets_the_published_constraint(scale, tmp_path):
    torch.manual_seed(1)
    path = tmp_path / "small.safetensors"
    save_file(SPAN(4, 4, 8, scale).state_dict(), path)
    cube = array(reflectance(4, 40, 40), RGBN)

    out = upscaled(cube, str(path))

    assert out.odc.geobox == cube.odc.geobox.zoom_to((40 * scale, 40 * scale))
    assert out.attrs["xr_sr:constraint"].startswith("low-pass")
    spec = registry.get(out.attrs["xr_sr:model"])
    checked = xr_sr.register_model(spec, replace=True)  # measured: the halo suffices
    assert checked.halo <= spec.halo
    whole = upscaled(cube, str(path), chunks=64)
    np.testing.assert_allclose(upscaled(cube.chunk(y=9, x=13), str(path), chunks=13), whole, rtol=0, atol=4e-6)


def test_explain_of_a_file_registers_no_model(tmp_path):
    path = tmp_path / "small.safetensors"
    save_file(SPAN(4, 4, 8, 2).state_dict(), path)
    cube, before = array(reflectance(4, 20, 20), RGBN), registry.names()

    plan = cube.sr.explain(str(path))
    with pytest.raises(OptionError, match="precision"):
        cube.sr.explain(str(path), precision="half")

    assert registry.names() == before and plan.spec.name.startswith("small-")
    assert rebuild(plan, graph(plan)).sizes["y"] == 40  # the plan holds its record itself
    out = cube.sr.upscale(str(path))
    cube.sr.explain(str(path))
    assert registry.is_own(out.attrs["xr_sr:model"])


def test_files_that_are_no_models_are_refused(tmp_path):
    torch.manual_seed(1)
    cube = array(reflectance(4, 20, 20), RGBN)
    save_file(LeanSPAN(3, 4, 2).state_dict(), tmp_path / "three.safetensors")
    save_file({"layer.weight": torch.zeros(3, 2)}, tmp_path / "other.safetensors")
    torch.save(LPIPS("squeeze").state_dict(), tmp_path / "lpips.pth")
    (tmp_path / "text.safetensors").write_text("x")

    for name, error, names in (
        ("three", ModelError, ["3 bands", "register_model", "xr_sr.networks.lean:LeanSPAN", "('bands', 3)"]),
        ("other", WeightsFormatError, ["other.safetensors", "layer.weight", "SPAN"]),
        ("text", WeightsFormatError, ["text.safetensors"]),
        ("nothing", WeightsNotFoundError, ["nothing.safetensors"]),
    ):
        with pytest.raises(error) as caught:
            cube.sr.upscale(str(tmp_path / f"{name}.safetensors"))
        assert [each for each in names if each not in str(caught.value)] == []
    with pytest.raises(ModelError, match="compares two images"):
        cube.sr.upscale(str(tmp_path / "lpips.pth"))
    with pytest.raises(OptionError, match="weights="):
        cube.sr.upscale(str(tmp_path / "three.safetensors"), weights="sen2sr")


@pytest.mark.parametrize("path", ["NonReference_RGBN_x4/model.safetensor", "main/sr_model.safetensor"])
def test_the_official_file_is_the_official_model(path, shared, official):
    file = shared / "weights/SEN2SRLite" / path
    module, found = networks.from_state_dict(load_file(file))
    values = reflectance(4, 40, 40)
    cube = array(values, RGBN)

    assert dict(found.config) == dict(registry.get("sen2sr-lite").config)
    np.testing.assert_array_equal(upscaled(cube, str(file)).values, upscaled(cube, "sen2sr-lite").values)
    with torch.no_grad():
        fine = module(torch.from_numpy(values)[None])[0].numpy().clip(0)
    inner = slice(24, -24)  # the network pads by zeros, the cube is mirrored
    free = upscaled(cube, "sen2sr-lite", constraint="none").values
    np.testing.assert_allclose(fine[:, inner, inner], free[:, inner, inner], rtol=0, atol=5e-6)


@pytest.mark.parametrize("path", ["f2_model.safetensor", "model.safetensor"])
def test_the_official_parts_of_a_cascade_are_recognized_and_name_it(path, shared):
    file = shared / "weights/SEN2SRLite/main" / path
    _, found = networks.from_state_dict(load_file(file))

    assert (found.bands, found.bands_out, found.scale) == (10, 6, 1)
    with pytest.raises(ModelError, match=r"'sen2sr-lite\.main'.*weights="):
        array(reflectance(4, 20, 20), RGBN).sr.upscale(str(file))
