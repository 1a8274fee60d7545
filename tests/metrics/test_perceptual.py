"""Perceptual distances of cubes: the authors' numbers, patch by patch, lazily, with NaN, and never without weights."""

from __future__ import annotations

import sys
import types

import dask
import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file, save_file
from torch import nn

from tests.cubes import array, dataset
from xr_sr import errors
from xr_sr.metrics.perceptual import clip_distance, lpips
from xr_sr.networks.lpips import LPIPS

RGB = ("B04", "B03", "B02")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """LPIPS on SqueezeNet with random numbers, under the authors' names."""
    torch.manual_seed(5)
    network = LPIPS("squeeze")
    for name, value in network.named_parameters():
        value.data = torch.rand_like(value) if name.startswith("lin") else torch.randn_like(value) * 0.1
    path = tmp_path_factory.mktemp("weights") / "lpips.safetensors"
    save_file(network.state_dict(), path)
    return path


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype("float32")


@pytest.fixture
def pair():
    a = noise(3, 96, 128)
    return array(a, RGB), array(np.clip(a + 0.1 * noise(3, 96, 128, seed=1), 0, 1), RGB)


def test_gives_the_authors_numbers(shared):
    folder = shared / "golden" / "lpips"
    case = {name: value.numpy() for name, value in load_file(folder / "io.safetensors").items()}

    for number in range(2):
        a, b = (array(case[name][number], RGB) for name in "ab")
        found = lpips(a, b, weights=folder / "state_dict.safetensors", net="squeeze", limits=(-1, 1))
        assert float(found) == pytest.approx(float(case["out"][number, 0, 0, 0]), rel=1e-4)
        assert found.dims == ()


def test_a_patch_is_an_image_of_its_own(weights, pair):
    a, b = pair
    patches = lpips(a, b, weights=weights, net="squeeze", at=32)

    assert patches.shape == (3, 4)
    place = {"y": slice(32, 64), "x": slice(96, 128)}
    alone = lpips(a.isel(place), b.isel(place), weights=weights, net="squeeze")
    assert float(patches[1, 3]) == pytest.approx(float(alone), rel=1e-5)
    assert patches.odc.geobox.affine == a.odc.geobox.affine @ type(a.odc.geobox.affine).scale(32)
    assert patches.odc.geobox.crs == a.odc.geobox.crs


@pytest.mark.parametrize("at", ["image", 32, 40])
@pytest.mark.parametrize("chunks", [(17, 50), (96, 128), (32, 32)])
def test_no_chunking_changes_anything(weights, pair, at, chunks):
    whole = lpips(*pair, weights=weights, net="squeeze", at=at)
    cut = [cube.chunk(y=chunks[0], x=chunks[1]) for cube in pair]

    lazy = lpips(*cut, weights=weights, net="squeeze", at=at)
    assert dask.is_dask_collection(lazy)
    xr.testing.assert_allclose(lazy.compute(scheduler="synchronous"), whole, rtol=1e-5)


def test_nothing_computes_until_asked(weights):
    def refuse(block):
        raise AssertionError("computed")

    values = da.zeros((2, 3, 64, 64), chunks=(1, 3, 32, 32), dtype="float32")
    cube = array(values.map_blocks(refuse, dtype="float32", meta=np.empty((0,) * 4, "float32")), RGB)

    assert lpips(cube, cube, weights=weights, net="squeeze").shape == (2,)
    assert lpips(cube, cube, weights=weights, net="squeeze", at=16).shape == (2, 4, 4)


def test_dates_are_compared_each_with_its_own(weights):
    a, b = noise(2, 3, 64, 64), noise(2, 3, 64, 64, seed=1)
    both = lpips(array(a, RGB), array(b, RGB), weights=weights, net="squeeze")

    assert both.dims == ("time",)
    for number in range(2):
        one = lpips(array(a[number], RGB), array(b[number], RGB), weights=weights, net="squeeze")
        assert float(both[number]) == pytest.approx(float(one), rel=1e-5)


def test_bands_are_found_by_name_in_any_form(weights):
    values = noise(4, 64, 64), noise(4, 64, 64, seed=1)
    names = ("B08", "B02", "B03", "B04")
    stacked = lpips(*(array(v, names) for v in values), weights=weights, net="squeeze")
    apart = lpips(*(dataset(v, names) for v in values), weights=weights, net="squeeze")
    ordered = lpips(*(array(v[[3, 2, 1]], RGB) for v in values), weights=weights, net="squeeze")

    assert float(stacked) == float(apart) == float(ordered)
    assert stacked.attrs["xr_sr:bands"] == list(RGB)


def test_what_was_not_measured_has_no_say(weights, pair):
    a, b = (cube.copy(deep=True) for cube in pair)
    a[:, :40, :50] = np.nan
    first = lpips(a, b, weights=weights, net="squeeze")
    b[:, :40, :50] = 0.9
    second = lpips(a, b, weights=weights, net="squeeze")
    b[:] = np.nan

    assert float(first) == float(second) > 0
    assert np.isnan(float(lpips(a, b, weights=weights, net="squeeze")))


def test_patches_may_reach_beyond_the_cube(weights, pair):
    a, b = (cube.isel(y=slice(0, 80), x=slice(0, 100)) for cube in pair)
    patches = lpips(a, b, weights=weights, net="squeeze", at=64)
    inner = lpips(*pair, weights=weights, net="squeeze", at=64)

    assert patches.shape == (2, 2)
    assert float(patches[0, 0]) == pytest.approx(float(inner[0, 0]), rel=1e-5)
    assert np.isfinite(patches).all()


def test_backbone_and_heads_may_come_in_two_files(weights, pair, tmp_path):
    state = load_file(weights)
    names = {f"net.{own}": theirs for theirs, own in LPIPS("squeeze").net.names.items()}
    backbone = {
        f"{names['.'.join(key.split('.')[:3])]}.{'.'.join(key.split('.')[3:])}": value
        for key, value in state.items()
        if key.startswith("net.")
    }
    backbone["classifier.1.weight"] = torch.zeros(2)
    heads = {key: value for key, value in state.items() if key.startswith("lin")}
    torch.save(backbone, tmp_path / "squeezenet.pth")
    torch.save(heads | {"lins.0.model.1.weight": heads["lin0.model.1.weight"]}, tmp_path / "heads.pth")

    both = lpips(*pair, weights=[tmp_path / "squeezenet.pth", tmp_path / "heads.pth"], net="squeeze")
    assert float(both) == float(lpips(*pair, weights=weights, net="squeeze"))


def test_without_weights_the_way_out_is_named(pair, tmp_path):
    with pytest.raises(errors.WeightsNotFoundError, match="pass weights="):
        lpips(*pair)
    with pytest.raises(errors.WeightsNotFoundError, match=r"none\.pth"):
        lpips(*pair, weights=tmp_path / "none.pth")
    with pytest.raises(errors.WeightsNotFoundError, match="checkpoint of open_clip"):
        clip_distance(*pair)


def test_weights_of_another_network_are_refused(weights, pair, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")

    with pytest.raises(errors.WeightsFormatError, match="alex"):
        lpips(*pair, weights=weights, net="alex")
    with pytest.raises(errors.WeightsFormatError, match="missing"):
        lpips(*pair, weights=tmp_path / "other.safetensors", net="squeeze")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"net": "resnet"}, errors.OptionError, "vgg"),
        ({"bands": ["B04"]}, errors.OptionError, "three"),
        ({"bands": ["B04", "B03", "B12"]}, errors.MissingBandError, "B12"),
        ({"at": 8}, errors.OptionError, "16"),
        ({"at": "pixel"}, errors.OptionError, "image"),
        ({"limits": (1, 0)}, errors.OptionError, "black"),
        ({"device": "tpu"}, errors.OptionError, "cuda"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(weights, pair, change, error, message):
    with pytest.raises(error, match=message):
        lpips(*pair, **{"weights": weights, "net": "squeeze", **change})


def test_cubes_that_do_not_belong_together_are_refused(weights, pair):
    a, b = pair
    options = {"weights": weights, "net": "squeeze"}

    with pytest.raises(errors.GridError, match="HR.*SR"):
        lpips(a, b.isel(y=slice(10, None)), **options)
    with pytest.raises(errors.GridError, match="grid"):
        lpips(a, b.assign_coords(x=b.x + 10), **options)
    with pytest.raises(errors.RadiometryError, match="reflectance"):
        lpips(a, (b * 10_000).astype("uint16"), **options)
    early, late = a.expand_dims(time=[0]), b.expand_dims(time=[1])
    with pytest.raises(errors.CubeError, match="SR and HR.*dates"):
        lpips(early, late, **options)


class Tower(nn.Module):
    """Stands in for a model of open_clip: a fixed linear map of an image of 8 pixels."""

    def __init__(self):
        super().__init__()
        self.visual = nn.Linear(3 * 8 * 8, 5)
        self.visual.image_size, self.visual.image_mean, self.visual.image_std = 8, (0.5,) * 3, (0.5,) * 3

    def encode_image(self, image):
        assert image.shape[-2:] == (8, 8)
        return self.visual(image.flatten(1))


@pytest.fixture
def tower(monkeypatch, tmp_path):
    module = types.ModuleType("open_clip")
    module.create_model = lambda name, pretrained: Tower()
    module.list_models = lambda: ["tower"]
    monkeypatch.setitem(sys.modules, "open_clip", module)
    network = Tower()
    save_file(network.state_dict(), tmp_path / "tower.safetensors")
    return network, tmp_path / "tower.safetensors"


@pytest.mark.parametrize("distance", ["l1", "cosine"])
def test_clip_compares_embeddings(tower, pair, distance):
    network, path = tower

    def embedded(cube):
        image = torch.from_numpy(cube.values)[None]
        small = nn.functional.interpolate(image, size=(8, 8), mode="bilinear", antialias=True)
        with torch.no_grad():
            return network.encode_image((small - 0.5) / 0.5)

    one, other = map(embedded, pair)
    expected = (one - other).abs().mean() if distance == "l1" else 1 - torch.cosine_similarity(one, other)
    found = clip_distance(*pair, weights=path, model="tower", distance=distance)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
    assert float(clip_distance(pair[0], pair[0], weights=path, model="tower", distance=distance)) == pytest.approx(0)


def test_clip_knows_no_other_names_and_needs_its_library(tower, pair, monkeypatch):
    with pytest.raises(errors.OptionError, match="no such model"):
        clip_distance(*pair, weights=tower[1], model="spire")
    with pytest.raises(errors.OptionError, match="cosine"):
        clip_distance(*pair, weights=tower[1], distance="l2")
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(errors.MissingLibraryError, match=r"xr-sr\[clip\]"):
        clip_distance(*pair, weights=tower[1], model="minaret")
