"""Training of autoencoders: images come back, opponents learn from each other, runs resume to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.test_losses import vgg_state
from tests.training.test_residual import fields
from xr_sr.errors import OptionError, TrainingError
from xr_sr.networks import from_state_dict
from xr_sr.networks.kl_autoencoder import KLAutoencoder
from xr_sr.networks.patch_discriminator import PatchDiscriminator
from xr_sr.networks.vgg_features import vgg_features
from xr_sr.training import AutoencoderLosses, Scene, Settings, fit_autoencoder
from xr_sr.training.autoencoder import AutoencoderLoss, Images, Opponents, standardize
from xr_sr.training.loop import Batch
from xr_sr.training.patches import Draw

SCENES = [Scene(f"fields {seed}", fields(seed)) for seed in (1, 2)]


def network_of(seed: int = 0) -> KLAutoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KLAutoencoder(2, 32, "1-1", 1, latent=2, embedding=2)


def images() -> Images:
    return Images(Draw(SCENES, 24, None, zooms=(1.0,)), 4, 0, {})


def learned(folder: Path, steps: int, losses: AutoencoderLosses | None = None, **changed) -> KLAutoencoder:
    optimizer = changed.pop("optimizer", "adamw")
    settings = Settings(
        steps, 3e-3, warm_up=4, average=0.9, optimizer=optimizer, save_every=5, log_every=10, device="cpu"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        discriminator = PatchDiscriminator(2, 32, 2)
    given = {"side": 24, "batch": 2, "discriminator": discriminator} | changed
    return fit_autoencoder(network_of(), SCENES, folder, settings, losses=losses, **given)


def loss_of(losses: AutoencoderLosses, step: int = 0) -> tuple[Opponents, torch.Tensor]:
    torch.manual_seed(0)
    opponents = Opponents(network_of(), PatchDiscriminator(2, 32))
    opponents.steps += step
    loss = AutoencoderLoss(opponents, losses, vgg_features(vgg_state()))
    batch = images()(0)
    return opponents, loss(opponents(batch.lr), batch)


def slopes(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.grad for name, value in network.named_parameters() if value.grad is not None}


class TestOpponents:
    def test_each_learns_from_its_own_loss(self):
        """The discriminator's gradient does not depend on its weight in the autoencoder's loss."""
        found = {}
        for weight in (0.5, 1.0):
            nothing_else = AutoencoderLosses(mae=0, kl=0, histogram=0, gan=weight, gan_from=0)
            opponents, loss = loss_of(nothing_else)
            loss.backward()
            found[weight] = slopes(opponents.autoencoder), slopes(opponents.discriminator)

        for name, slope in found[1.0][1].items():
            torch.testing.assert_close(slope, found[0.5][1][name])
        for name, slope in found[1.0][0].items():
            torch.testing.assert_close(slope, 2 * found[0.5][0][name], rtol=1e-3, atol=1e-7)
        assert any(slope.abs().max() > 0 for slope in found[1.0][0].values())

    def test_it_begins_at_its_step_and_counts_them(self):
        losses = AutoencoderLosses(gan_from=3)
        early, loss = loss_of(losses, step=2)
        loss.backward()
        late, loss = loss_of(losses, step=3)
        loss.backward()

        assert not slopes(early.discriminator) and slopes(late.discriminator)
        assert int(early.steps) == 3 and int(late.steps) == 4


@pytest.mark.parametrize("name", ["mae", "kl", "perceptual", "histogram"])
def test_each_loss_reaches_the_encoder(name):
    nothing = dict.fromkeys(("mae", "kl", "gan", "perceptual", "histogram"), 0.0)
    opponents, loss = loss_of(AutoencoderLosses(**{**nothing, name: 1.0}))

    loss.backward()

    assert slopes(opponents.autoencoder)["encoder.conv_in.weight"].abs().max() > 0
    assert bool(slopes(opponents.autoencoder)["decoder.conv_out.weight"].any()) == (name != "kl")


def test_losses_are_summed_by_their_weights():
    def value(**weights: float) -> float:
        nothing = dict.fromkeys(("mae", "kl", "gan", "perceptual", "histogram"), 0.0)
        return float(loss_of(AutoencoderLosses(**{**nothing, **weights}))[1].detach())

    parts = [value(mae=1.0), value(kl=1.0), value(histogram=1.0)]

    assert value(mae=2.0, kl=0.5, histogram=3.0) == pytest.approx(2 * parts[0] + 0.5 * parts[1] + 3 * parts[2])


def test_images_come_back_better(tmp_path):
    network, before = learned(tmp_path, 40, AutoencoderLosses(gan_from=30)), network_of()
    batch = images()(500)

    with torch.no_grad():
        errors = [float((each(batch.lr) - batch.target).abs().mean()) for each in (network, before)]

    assert errors[0] < 0.5 * errors[1]


def test_latents_are_standardized_and_images_stay():
    network, made = network_of(), images()
    batch = made(0)
    with torch.no_grad():
        mean, log_variance = network.encode(batch.lr)
        before = network(batch.lr)
        drawn = network.decode(mean + (0.5 * log_variance).exp())

        standardize(network, made, 5)

        values = torch.cat([network.encode(made(5 + number).lr)[0].movedim(1, 0).flatten(1) for number in range(16)], 1)
        mean, log_variance = network.encode(batch.lr)
        torch.testing.assert_close(network(batch.lr), before, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network.decode(mean + (0.5 * log_variance).exp()), drawn, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(values.mean(1), torch.zeros(2), rtol=0, atol=1e-3)
    torch.testing.assert_close(values.std(1), torch.ones(2), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("optimizer", "begins"), [("adamw", 3), ("adamw", 11), ("soap", 3)])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path, optimizer, begins):
    """The weights are equal to the bit; the discriminator begins before the stop, or after it."""
    losses = AutoencoderLosses(gan_from=begins, perceptual=0.01, gan=0.01)
    given = {"losses": losses, "features": vgg_features(vgg_state()), "optimizer": optimizer}

    def stop(row: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned(tmp_path / "two", 13, show=stop, **given)
    resumed = learned(tmp_path / "two", 13, **given).state_dict()
    whole = learned(tmp_path / "one", 13, **given).state_dict()
    again = learned(tmp_path / "one", 13, **given).state_dict()  # nothing is left to do

    assert all(torch.equal(resumed[key], whole[key]) and torch.equal(again[key], whole[key]) for key in whole)


def test_the_log_measures_the_autoencoder(tmp_path):
    kinds = []

    def evaluate(network):
        kinds.append(type(network))
        return {"one": 1.0}

    learned(tmp_path, 2, evaluate=evaluate)

    assert set(kinds) == {KLAutoencoder}
    assert "one" in (tmp_path / "log.csv").read_text()


def test_its_weights_are_recognized(tmp_path):
    network = learned(tmp_path, 1, AutoencoderLosses(gan=0))

    again, _ = from_state_dict(network.state_dict())

    assert isinstance(again, KLAutoencoder)


def test_other_losses_are_another_run(tmp_path):
    learned(tmp_path, 5, AutoencoderLosses(histogram=0.5))

    with pytest.raises(TrainingError, match="histogram"):
        learned(tmp_path, 5, AutoencoderLosses(histogram=0.25))


def test_what_cannot_be_learned_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="KLAutoencoder"):
        fit_autoencoder(PatchDiscriminator(2, 32), SCENES, tmp_path)
    with pytest.raises(TrainingError, match="side=25"):
        learned(tmp_path, 1, side=25)
    with pytest.raises(TrainingError, match="at least 24"):
        learned(tmp_path, 1, side=20, discriminator=None)
    with pytest.raises(TrainingError, match="discriminator of 3 bands"):
        learned(tmp_path, 1, discriminator=PatchDiscriminator(3, 32))
    with pytest.raises(TrainingError, match="perceptual_features"):
        learned(tmp_path, 1, AutoencoderLosses(perceptual=0.1))
    with pytest.raises(TrainingError, match="features=VGGFeatures"):
        learned(tmp_path, 1, features=vgg_features(vgg_state()))
    with pytest.raises(TrainingError, match="3 bands"):
        fit_autoencoder(KLAutoencoder(3, 32, "1-1", 1), SCENES, tmp_path, side=24)
    for wrong in ({"mae": -1}, {"bins": 1}, {"adversarial": "minimax"}, {"divergence": "total"}, {"nothing": 1}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            AutoencoderLosses(**wrong)


def test_a_batch_is_its_own_target():
    batch = images()(3)

    assert isinstance(batch, Batch) and batch.lr.shape == (4, 2, 24, 24)
    assert torch.equal(batch.lr, batch.target) and torch.equal(images()(3).lr, batch.lr)
    assert not torch.equal(images()(4).lr, batch.lr)
