from __future__ import annotations

import math
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.registration.pairs import pairs
from xr_sr.errors import MissingLibraryError, WeightsFormatError, WeightsNotFoundError
from xr_sr.registration import estimate_shift
from xr_sr.registration.features import agreed_shift, picture


class Disk(nn.Module):
    """Stands in for kornia's: a lattice of points that starts at the first of the brightest pixels."""

    def __init__(self):
        super().__init__()
        self.unet = nn.Linear(1, 1)

    def forward(self, images, n, pad_if_not_divisible):
        assert images.shape[1] == 3 and pad_if_not_divisible
        lattice = torch.cartesian_prod(torch.arange(20.0, 80, 10), torch.arange(20.0, 80, 10))
        brightest = [torch.tensor(divmod(int(image[0].argmax()), image.shape[-1])).flip(0) for image in images]
        return [
            SimpleNamespace(keypoints=lattice + place, descriptors=torch.ones(len(lattice), 128)) for place in brightest
        ]


class LightGlue(nn.Module):
    """Stands in for kornia's: point n belongs to point n."""

    def __init__(self, features, input_dim):
        super().__init__()
        assert features is None and input_dim == 128
        self.transformers = nn.ModuleList([nn.ModuleDict({"self_attn": nn.Linear(1, 1)})])
        self.register_buffer("confidence_thresholds", torch.ones(2))

    def forward(self, data):
        assert data["image0"]["image_size"].tolist() == [[96, 96]]
        count = data["image0"]["keypoints"].shape[1]
        return {"matches": [torch.arange(count)[:, None].repeat(1, 2)]}


@pytest.fixture
def kornia(monkeypatch):
    module = ModuleType("kornia.feature")
    module.DISK, module.LightGlue = Disk, LightGlue
    package = ModuleType("kornia")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "kornia", package)
    monkeypatch.setitem(sys.modules, "kornia.feature", module)


@pytest.fixture
def weights(tmp_path):
    torch.save({"extractor": Disk().state_dict()}, tmp_path / "disk.pth")
    state = {
        name.replace("transformers.0.self_attn", "self_attn.0"): value
        for name, value in LightGlue(None, 128).state_dict().items()
        if "confidence" not in name
    }
    torch.save(state, tmp_path / "lightglue.pth")
    return {"disk": tmp_path / "disk.pth", "lightglue": tmp_path / "lightglue.pth"}


def test_matched_points_give_the_shift(kornia, weights):
    [(moving, reference, _, _)] = pairs(1, longest=0.0)
    moving, reference = reference.copy(), reference.copy()
    reference[:, 30:50, 40:60] = moving[:, 32:52, 39:59] = 5.0

    shift = estimate_shift(moving, reference, method="features", weights=weights)

    assert (shift.dy, shift.dx) == (-2, 1)


def test_weights_of_another_network_are_refused(kornia, weights):
    torch.save({"extractor": nn.Linear(2, 2).state_dict()}, weights["disk"])

    with pytest.raises(WeightsFormatError, match="another network"):
        estimate_shift(*np.random.default_rng(0).random((2, 96, 96)), method="features", weights=weights)


def test_a_file_that_is_no_weights_is_refused(kornia, weights):
    weights["disk"].write_bytes(b"nothing")

    with pytest.raises(WeightsFormatError, match="read safely"):
        estimate_shift(*np.random.default_rng(0).random((2, 96, 96)), method="features", weights=weights)


def test_without_kornia_the_way_out_is_said(monkeypatch, weights):
    monkeypatch.setitem(sys.modules, "kornia", None)

    with pytest.raises(MissingLibraryError, match=r"xr-sr\[align\]"):
        estimate_shift(*np.random.default_rng(0).random((2, 32, 32)), method="features", weights=weights)


def test_weights_must_be_named_and_there(tmp_path):
    image = np.ones((32, 32))
    for given in (None, {}, {"disk": tmp_path / "no.pth", "lightglue": tmp_path / "no.pth"}):
        with pytest.raises(WeightsNotFoundError, match="disk and lightglue"):
            estimate_shift(image, image, method="features", weights=given)


def test_most_points_decide():
    rng = np.random.default_rng(3)
    here = rng.uniform(0, 100, (60, 2))
    there = here + [1.25, -0.5] + 0.1 * rng.standard_normal((60, 2))
    there[:20] = rng.uniform(0, 100, (20, 2))

    assert agreed_shift(here, there) == pytest.approx((1.25, -0.5), abs=0.1)
    assert all(map(math.isnan, agreed_shift(here[:5], there[:5])))
    assert all(map(math.isnan, agreed_shift(here, rng.uniform(0, 1000, (60, 2)))))


def test_a_picture_is_stretched_and_without_nan():
    image = np.random.default_rng(4).normal(0.2, 0.05, (4, 30, 30))
    image[:, :5] = np.nan

    made = picture(image)

    assert made.shape == (3, 30, 30) and made.dtype == np.float32
    assert made.min() == 0 and made.max() == 1
    assert (picture(np.full((2, 8, 8), np.nan)) == 0).all()
