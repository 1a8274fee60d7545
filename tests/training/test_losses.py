"""Losses of images: values by hand, what gradients reach; and networks of features by the weights that are named."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage.data import astronaut
from torch import nn

from xr_sr.errors import MissingLibraryError, WeightsFormatError, WeightsHashError, WeightsNotFoundError
from xr_sr.networks.lite_features import LiteFeatures
from xr_sr.networks.patch_discriminator import PatchDiscriminator
from xr_sr.networks.vgg_features import VGGFeatures, vgg_features
from xr_sr.training import features as named
from xr_sr.training import losses, perceptual_features


def image(seed: int = 0, bands: int = 4, side: int = 32, n: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.05, 0.35, (n, bands, side, side)).astype("float32"))


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def vgg_state(widths=((4, 4), (8,), (8,)), names=("features.0", "features.2", "features.5", "features.8")):
    torch.manual_seed(0)
    layers, before = {}, 3
    for name, width in zip(names, [width for level in widths for width in level], strict=True):
        convolution = nn.Conv2d(before, width, 3, padding=1)
        layers |= {f"{name}.{kind}": value.detach() for kind, value in convolution.named_parameters()}
        before = width
    return layers


class TestByHand:
    def test_the_mean_absolute_error(self):
        assert float(losses.mean_absolute_error(numbers(0.1, 0.5), numbers(0.3, 0.4))) == pytest.approx(0.15)

    def test_the_divergence_of_a_posterior(self):
        """Of N(m, s^2) from N(0, 1): (m^2 + s^2 - 1) / 2 - ln s."""
        mean, deviation = numbers(0.0, 1.0, -2.0), numbers(1.0, 0.5, 3.0)
        expected = [(m**2 + s**2 - 1) / 2 - math.log(s) for m, s in zip(mean.tolist(), deviation.tolist(), strict=True)]

        found = losses.kl_of_posterior(mean, 2 * deviation.log())

        assert float(found) == pytest.approx(np.mean(expected), rel=1e-6)
        assert float(losses.kl_of_posterior(numbers(0.0), numbers(0.0))) == 0

    def test_scores(self):
        reference, made = numbers(2.0, 0.5), numbers(-3.0, 0.5)

        assert float(losses.discriminator_loss(reference, made)) == pytest.approx(0.5 * (0.25 + 0.75))
        assert float(losses.discriminator_loss(reference, made, "least-squares")) == pytest.approx(
            0.5 * ((1 + 0.25) / 2 + (9 + 0.25) / 2)
        )
        assert float(losses.generator_loss(made)) == pytest.approx(1.25)
        assert float(losses.generator_loss(made, "least-squares")) == pytest.approx(0.5 * (16 + 0.25) / 2)

    def test_a_histogram(self):
        """Centers are 0, 1, 2; 0.25 counts three quarters in the first, 5 in the last."""
        shares = losses.soft_histogram(torch.tensor([[0.0, 0.25, 1.0, 5.0]]), numbers(0.0), numbers(2.0), 3)

        torch.testing.assert_close(shares, torch.tensor([[1.75, 1.25, 1.0]]) / 4)

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("kullback-leibler", 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)),
            (
                "jensen-shannon",
                0.5 * (0.5 * math.log(0.5 / 0.375) + 0.5 * math.log(0.5 / 0.625))
                + 0.5 * (0.25 * math.log(0.25 / 0.375) + 0.75 * math.log(0.75 / 0.625)),
            ),
        ],
    )
    def test_the_divergence_of_histograms(self, kind, expected):
        """Shares 1/2, 1/2 of the reference, and 1/4, 3/4."""
        reference, made = (torch.tensor([values]).view(1, 1, 2, 2) for values in ([0.0, 0, 1, 1], [0.0, 1, 1, 1]))

        found = losses.histogram_divergence(made, reference, bins=2, kind=kind)

        assert float(found) == pytest.approx(expected, abs=1e-5)


def test_histograms_do_not_see_places():
    reference = image()
    moved = reference.flatten(2)[..., torch.randperm(32 * 32, generator=torch.Generator().manual_seed(1))]

    assert float(losses.histogram_divergence(moved.view_as(reference), reference)) == pytest.approx(0, abs=1e-6)
    apart = losses.histogram_divergence(reference + 10, reference)
    assert 0.5 * math.log(2) < float(apart) <= math.log(2)


def test_a_gradient_moves_values_to_their_histogram():
    reference = image()
    made = (0.2 + 0.5 * (reference - 0.2)).requires_grad_()
    apart = losses.histogram_divergence(made, reference, bins=8)
    (slope,) = torch.autograd.grad(apart, made)

    after = losses.histogram_divergence((made - 0.02 * slope / slope.abs().max()).detach(), reference, bins=8)

    assert slope.isfinite().all() and float(after) < float(apart.detach())


def test_even_images_have_finite_losses():
    even = torch.full((1, 2, 8, 8), 0.2, requires_grad=True)
    found = losses.histogram_divergence(even, torch.full((1, 2, 8, 8), 0.2))
    found = found + losses.perceptual_distance(even, even.detach(), vgg_features(vgg_state()), bands=(0, 1, 1))

    (slope,) = torch.autograd.grad(found, even)

    assert float(found.detach()) == pytest.approx(0, abs=1e-6) and slope.isfinite().all()


class TestThreeBands:
    def test_they_differ_and_all_are_drawn(self):
        torch.manual_seed(0)
        drawn = [losses.three_bands(5).tolist() for _ in range(40)]

        assert all(len(set(bands)) == 3 for bands in drawn)
        assert {band for bands in drawn for band in bands} == set(range(5))

    def test_a_distance_reaches_these_bands_alone(self):
        made = image(1).requires_grad_()
        network = vgg_features(vgg_state())

        losses.perceptual_distance(made, image(2), network, bands=(3, 0, 1)).backward()

        assert [bool(made.grad[:, band].any()) for band in range(4)] == [True, True, False, True]
        assert all(parameter.grad is None for parameter in network.parameters())

    def test_one_band_is_shown_gray(self):
        assert losses.three_bands(1).tolist() == [0, 0, 0]


def test_a_perceptual_distance_by_hand():
    """Of one pixel and features that are the colors: the square of the distance of unit vectors."""
    black_to_white = {"limits": (0.0, 1.0), "bands": (0, 1, 2)}
    one, other = torch.tensor([3.0, 0, 4]).view(1, 3, 1, 1), torch.tensor([0.0, 5, 0]).view(1, 3, 1, 1)

    found = losses.perceptual_distance(one, other, lambda picture: [picture, 2 * picture], **black_to_white)

    assert float(found) == pytest.approx(0.6**2 + 0.8**2 + 1)
    assert float(losses.perceptual_distance(one, one, lambda picture: [picture], **black_to_white)) == 0


class TestDiscriminator:
    def test_it_scores_patches(self):
        network = PatchDiscriminator(4, 32)

        assert network(image(side=64)).shape == (2, 1, 6, 6)
        assert network(image(side=network.least)).shape == (2, 1, 1, 1)

    def test_a_score_sees_seventy_pixels(self):
        network = PatchDiscriminator(1, 32)
        for layer in network.stages:  # normalization sees all pixels
            if isinstance(layer, nn.GroupNorm):
                layer.forward = lambda x: x
        picture = image(bands=1, side=96, n=1).requires_grad_()

        network(picture)[0, 0, 5, 5].backward()

        rows = picture.grad[0, 0].abs().sum(1).nonzero()
        assert int(rows.max() - rows.min()) + 1 == 70

    def test_images_are_scored_by_themselves(self):
        network, both = PatchDiscriminator(4, 32), image(side=48)

        torch.testing.assert_close(network(both)[:1], network(both[:1]))


class TestFeatures:
    def test_layers_are_read_from_shapes(self):
        network = vgg_features(vgg_state())

        found = network(image(bands=3))

        assert [tuple(each.shape[1:]) for each in found] == [(4, 32, 32), (8, 16, 16), (8, 8, 8)]

    def test_a_chain_computes_what_its_layers_do(self):
        state = vgg_state()
        network, picture = vgg_features(state), image(bands=3)
        x = (picture - network.mean) / network.deviation
        for number in (0, 2):
            x = nn.functional.conv2d(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1)
            x = x.clamp(min=0)

        torch.testing.assert_close(network(picture)[0], x)

    @pytest.mark.parametrize(
        "names",
        [
            ("net.slice1.0", "net.slice1.2", "net.slice2.5", "net.slice3.8"),
            ("conv1_1", "conv1_2", "conv2_1", "conv3_1"),
            ("block1_conv1", "block1_conv2", "block2_conv1", "block3_conv1"),
        ],
    )
    def test_names_of_other_files_give_the_same_layers(self, names):
        others = {**vgg_state(names=names), "lin0.model.1.weight": torch.zeros(1, 4, 1, 1)}

        for one, other in zip(
            vgg_features(others)(image(bands=3)), vgg_features(vgg_state())(image(bands=3)), strict=True
        ):
            torch.testing.assert_close(one, other)

    def test_names_without_places_are_joined_where_channels_grow(self):
        network = vgg_features(vgg_state(names=("layer.0", "layer.1", "layer.2", "layer.3")))

        assert [len(level) for level in network.levels] == [2, 2]

    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    def test_files_are_read(self, tmp_path, suffix):
        path = tmp_path / f"vgg{suffix}"
        save_file(vgg_state(), path) if suffix == ".safetensors" else torch.save({"state_dict": vgg_state()}, path)

        network = perceptual_features(path)

        assert isinstance(network, VGGFeatures)
        assert not any(parameter.requires_grad for parameter in network.parameters())

    def test_the_package_has_weights_that_know_a_picture(self):
        """Before each normalization, a photograph has the means that the weights were trained on, nearly."""
        network = perceptual_features("efficientnet-lite0")
        assert isinstance(network, LiteFeatures)
        layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)}
        seen: dict[str, torch.Tensor] = {}
        for name, layer in layers.items():
            layer.register_forward_pre_hook(lambda _, x, name=name: seen.update({name: x[0].mean((0, 2, 3))}))

        network(torch.from_numpy(astronaut()).permute(2, 0, 1)[None, :, ::2, ::2] / 255)

        pairs = [torch.stack([seen[name], layer.running_mean]) for name, layer in layers.items()]
        assert np.median([float(torch.corrcoef(pair)[0, 1]) for pair in pairs]) > 0.7

    def test_its_features_are_of_four_sizes(self):
        found = LiteFeatures()(image(bands=3, side=40))

        assert [tuple(each.shape[1:]) for each in found] == [(16, 20, 20), (24, 10, 10), (40, 5, 5), (112, 3, 3)]

    def test_what_is_missing_or_foreign_is_one_sentence(self, tmp_path, monkeypatch):
        with pytest.raises(WeightsNotFoundError, match="nothing.pth"):
            perceptual_features(tmp_path / "nothing.pth")
        (tmp_path / "damaged.pth").write_bytes(b"none")
        with pytest.raises(WeightsFormatError, match=r"damaged\.pth"):
            perceptual_features(tmp_path / "damaged.pth")
        torch.save([1, 2], tmp_path / "list.pth")
        with pytest.raises(WeightsFormatError, match="holds a list"):
            perceptual_features(tmp_path / "list.pth")
        torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "half.pth")
        with pytest.raises(WeightsFormatError, match="EfficientNet-Lite0"):
            perceptual_features(tmp_path / "half.pth")
        with pytest.raises(WeightsFormatError, match="1 normalizations"):
            vgg_features({**vgg_state(), "features.1.weight": torch.ones(4)})
        with pytest.raises(WeightsFormatError, match="3 channels"):
            vgg_features(dict(list(vgg_state().items())[2:]))
        monkeypatch.setattr(named, "_MODULE", "nolib_of_this_name")
        with pytest.raises(MissingLibraryError, match=r"xr-sr\[perceptual\]"):
            perceptual_features("efficientnet-lite0")

    def test_another_file_of_the_package_is_refused(self, tmp_path, monkeypatch):
        torch.save({}, tmp_path / "weights.pth")
        monkeypatch.setattr(named, "_packaged", lambda: tmp_path / "weights.pth")

        with pytest.raises(WeightsHashError, match="0.1.0"):
            perceptual_features("efficientnet-lite0")
