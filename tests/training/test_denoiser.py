"""Training of denoisers: what is hidden, what is learned, runs that resume to the bit, and weights for a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cubes import array, reflectance
from tests.training.test_residual import fields
from xr_sr.catalog import fetch, records, registry
from xr_sr.errors import OptionError, TrainingError
from xr_sr.kernels.sampling import Schedule
from xr_sr.networks import from_state_dict
from xr_sr.networks.kl_autoencoder import KLAutoencoder
from xr_sr.networks.latent_diffusion import LatentDiffusion
from xr_sr.networks.latent_unet import LatentUNet
from xr_sr.spec import WeightsFile
from xr_sr.training import (
    LeanSPAN,
    Masking,
    Scene,
    Settings,
    draw_images,
    fit_denoiser,
    latent_diffusion,
    linear_schedule,
    pixel_diffusion,
    save_weights,
)
from xr_sr.training.denoiser import Denoising, NoiseLoss
from xr_sr.training.latents import Latents
from xr_sr.training.loop import Batch

BANDS = ("B04", "B08")
SCENES = [Scene(f"fields {seed}", fields(seed)) for seed in (1, 2)]


def network_of(seed: int = 0, channels: int = 2) -> LatentUNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LatentUNet(2 * channels, channels, 32, "1-1", 1, "2")


def autoencoder_of() -> KLAutoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return KLAutoencoder(2, 32, "1-1", 1, latent=2, embedding=2).eval()


def learned(folder: Path, steps: int, **changed) -> LatentUNet:
    settings = Settings(
        steps, 2e-3, warm_up=4, average=0.9, optimizer="adamw", save_every=5, log_every=10, device="cpu"
    )
    given = {"bands": BANDS, "scale": 2, "side": 8, "batch": 4, "patch": 16, "pool": 8} | changed
    return fit_denoiser(network_of(), SCENES, folder, settings, **given)


def batch_of(n: int = 8, seed: int = 9) -> Batch:
    """Fine images of 16 pixels, and the means of blocks of 2 x 2, with one pixel around."""
    chance = np.random.default_rng(seed)
    hr = fields(seed)
    corners = chance.integers(0, 240, (n, 2))
    fine = torch.from_numpy(np.stack([hr[:, top : top + 20, left : left + 20] for top, left in corners]))
    return Batch(torch.nn.functional.avg_pool2d(fine, 2), fine[..., 2:-2, 2:-2], torch.ones(n))


class TestMasking:
    def test_pixels_are_hidden_in_all_bands(self):
        torch.manual_seed(0)
        hidden = Masking(pixels=0.25)(torch.ones(4, 3, 50, 50))

        assert torch.equal(hidden.amin(1), hidden.amax(1))
        assert float(hidden.mean()) == pytest.approx(0.75, abs=0.02)

    def test_bands_are_hidden_as_a_whole_and_never_all(self):
        torch.manual_seed(0)
        hidden = Masking(bands=0.5)(torch.ones(2000, 3, 4, 4))

        assert torch.equal(hidden.amin((2, 3)), hidden.amax((2, 3)))
        assert bool(hidden.amax((1, 2, 3)).all())
        assert float(hidden.mean()) == pytest.approx(0.5 + 0.5**3, abs=0.02)

    def test_nothing_is_hidden_by_default(self):
        image = torch.rand(2, 3, 4, 4)

        assert torch.equal(Masking()(image), image)


class TestSchedule:
    def test_it_is_that_of_the_published_checkpoint(self):
        kept = linear_schedule().kept

        assert 1 - kept[0] == pytest.approx(0.0015)
        assert 1 - kept[-1] / kept[-2] == pytest.approx(0.0155)
        assert len(kept) == 1000 and kept[-1] < 1e-3


class TestLoss:
    def test_the_noise_itself_has_no_loss(self, monkeypatch):
        """And x is what the noise was added to: the network that knows it finds all."""
        batch, schedule = batch_of(), linear_schedule(50)
        denoising = Denoising(network_of(), Latents(None), 2)
        x = denoising.latents.encode(batch.target)

        def knowing(noisy, condition, time):
            kept = torch.from_numpy(schedule.kept)[time][:, None, None, None].float()
            return (noisy - kept.sqrt() * x) / (1 - kept).sqrt()

        monkeypatch.setattr(denoising, "estimate", knowing)

        assert float(NoiseLoss(denoising, schedule)(denoising(batch.lr), batch)) < 1e-6

    def test_no_estimate_has_the_variance_of_noise(self, monkeypatch):
        batch = batch_of(64)
        denoising = Denoising(network_of(), Latents(None), 2)
        monkeypatch.setattr(denoising, "estimate", lambda x, condition, time: torch.zeros_like(x))

        assert float(NoiseLoss(denoising, linear_schedule())(denoising(batch.lr), batch)) == pytest.approx(1, abs=0.05)

    def test_its_gradient_reaches_the_denoiser_alone(self):
        autoencoder, batch = autoencoder_of(), batch_of()
        denoising = Denoising(network_of(), Latents(autoencoder), 2)

        NoiseLoss(denoising, linear_schedule())(denoising(batch.lr), batch).backward()

        assert all(value.grad is not None for value in denoising.parameters())
        assert all(value.grad is None for value in autoencoder.parameters())
        assert len(list(denoising.parameters())) == len(list(denoising.network.parameters()))


def test_a_condition_is_interpolated_on_the_fine_grid():
    """A ramp stays one, also at the edges, where pixels around are read."""
    ramp = torch.arange(10.0).expand(1, 1, 10, 10) / 100
    found = Denoising(network_of(), Latents(None, (-1.0, 1.0)), 2)(ramp)

    torch.testing.assert_close(found[0, 0, 0], (torch.arange(16) * 0.5 + 0.75) / 100)


def test_latents_of_reflectance_are_shifted_and_scaled():
    latents, image = Latents(None), torch.tensor([0.0, 0.25, 0.5])

    torch.testing.assert_close(latents.encode(image), torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(latents.decode(latents.encode(image)), image)


def loss_on_others(network: LatentUNet, autoencoder: KLAutoencoder | None = None) -> float:
    torch.manual_seed(5)
    batch = batch_of(64)
    denoising = Denoising(network.eval(), Latents(autoencoder), 2)
    with torch.no_grad():
        return float(NoiseLoss(denoising, linear_schedule())(denoising(batch.lr), batch))


@pytest.mark.parametrize("latent", [False, True])
def test_noise_is_found_on_places_never_seen(tmp_path, latent):
    autoencoder = autoencoder_of() if latent else None

    network = learned(tmp_path, 40, autoencoder=autoencoder)

    assert loss_on_others(network, autoencoder) < 0.8 * loss_on_others(network_of(), autoencoder)


@pytest.mark.parametrize("latent", [False, True])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path, latent):
    """The weights are equal to the bit, with draws of noise, times, latents and masks."""

    def stop(row: str) -> None:
        raise KeyboardInterrupt

    given = {"masking": Masking(0.2, 0.3), "autoencoder": autoencoder_of() if latent else None}
    with pytest.raises(KeyboardInterrupt):
        learned(tmp_path / "two", 13, show=stop, **given)
    resumed = learned(tmp_path / "two", 13, **given).state_dict()
    whole = learned(tmp_path / "one", 13, **given).state_dict()

    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
    assert not any(torch.equal(value, network_of().state_dict()[key]) for key, value in whole.items())


def test_the_autoencoder_stays_as_it_is(tmp_path):
    autoencoder = autoencoder_of()
    before = {key: value.clone() for key, value in autoencoder.state_dict().items()}

    learned(tmp_path, 3, autoencoder=autoencoder)

    assert all(torch.equal(value, before[key]) for key, value in autoencoder.state_dict().items())


def test_what_a_run_is_known_by(tmp_path):
    learned(tmp_path, 2, masking=Masking(0.1))

    for changed in ({"masking": Masking(0.2)}, {"limits": (0.0, 0.4)}, {"schedule": linear_schedule(500)}):
        with pytest.raises(TrainingError, match="another run"):
            learned(tmp_path, 2, **{"masking": Masking(0.1), **changed})
    with pytest.raises(TrainingError, match="autoencoder"):
        learned(tmp_path, 2, masking=Masking(0.1), autoencoder=autoencoder_of())


class TestDrawing:
    def test_a_denoiser_that_knows_the_image_draws_it(self, monkeypatch):
        batch, schedule = batch_of(2), linear_schedule()
        x = Latents(None).encode(batch.target)

        def knowing(self, noisy, condition, time):
            kept = float(schedule.kept[int(time[0])])
            return (noisy - kept**0.5 * x) / (1 - kept) ** 0.5

        monkeypatch.setattr(Denoising, "estimate", knowing)
        found = draw_images(network_of(), batch.lr, scale=2, steps=20)

        torch.testing.assert_close(found, batch.target, rtol=0, atol=1e-3)

    @pytest.mark.parametrize("latent", [False, True])
    def test_images_depend_on_the_seed_alone(self, latent):
        autoencoder = autoencoder_of() if latent else None
        given = {"scale": 2, "steps": 3, "autoencoder": autoencoder}
        lr, network = batch_of(2).lr, network_of().eval()

        found = [draw_images(network, lr, seed=seed, **given) for seed in (0, 0, 1)]

        assert found[0].shape == (2, 2, 16, 16)
        assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


class TestModel:
    def test_both_networks_are_one_model_with_its_schedule(self):
        autoencoder, network = autoencoder_of(), network_of().eval()

        joined = latent_diffusion(autoencoder, network)

        again, found = from_state_dict(joined.state_dict())
        assert isinstance(again, LatentDiffusion)
        assert dict(found.config)["image_bands"] == 2
        x, condition, time = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 8, 8), torch.tensor([7])
        with torch.no_grad():
            torch.testing.assert_close(joined(x, condition, time), network(torch.cat([x, condition], 1), time))
            image = torch.rand(1, 2, 16, 16)
            torch.testing.assert_close(joined.first_stage_model(image), autoencoder(image))
        np.testing.assert_allclose(joined.alphas_cumprod.numpy(), linear_schedule().kept, rtol=1e-6)
        assert all(bool(value.isfinite().all()) for value in joined.state_dict().values())

    def test_the_schedule_is_consistent(self):
        """Posterior means keep an image without noise where it is: coef1 + coef2 sqrt(kept) = sqrt(kept before)."""
        joined = latent_diffusion(autoencoder_of(), network_of(), Schedule(np.linspace(0.99, 0.1, 30)))

        kept, before = joined.alphas_cumprod, joined.get_buffer("alphas_cumprod_prev")
        found = joined.get_buffer("posterior_mean_coef1") + joined.get_buffer("posterior_mean_coef2") * kept.sqrt()
        torch.testing.assert_close(found, before.sqrt(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(joined.get_buffer("betas"), 1 - kept / before, rtol=1e-4, atol=1e-6)


class TestPixels:
    def test_what_was_trained_on_reflectance_is_a_model(self, tmp_path, monkeypatch):
        monkeypatch.setattr(registry, "current", registry.current)
        rgbn = [Scene("fields", np.concatenate([fields(seed) for seed in (1, 2)]))]
        network = LatentUNet(8, 4, 32, "1-1", 1, "")
        settings = Settings(3, 2e-3, optimizer="adamw", device="cpu")
        options = {"limits": (0, 1), "side": 8, "batch": 2, "patch": 16, "pool": 2}
        fit_denoiser(network, rgbn, tmp_path / "run", settings, **options)

        made = pixel_diffusion(network, limits=(0, 1))
        path = save_weights(made, tmp_path / "mine.safetensors", {"trained on": "fields"})

        x, condition, time = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), torch.tensor([7])
        with torch.no_grad():
            torch.testing.assert_close(made(x, condition, time), network(torch.cat([x, condition], 1), time))
        np.testing.assert_allclose(made.alphas_cumprod.numpy(), linear_schedule().kept, rtol=1e-6)
        image = torch.rand(1, 4, 8, 8)
        torch.testing.assert_close(made.posterior(image)[0], Latents(None, (0, 1)).encode(image))
        cube = array(reflectance(4, 10, 12))
        assert "recognized as PixelDiffusion" in repr(cube.sr.explain(str(path)))
        file = WeightsFile(str(path), fetch.sha256_of(path), path.stat().st_size, home="user")
        registry.register(replace(records.PIXEL_DIFFUSION, name="trained", window=8, overlap=2, steps=2, weights=file))
        fine = cube.sr.upscale("trained", weights=path, device="cpu").compute()
        np.testing.assert_allclose(fine.coarsen(y=4, x=4).mean().values, cube.values, rtol=0, atol=1e-5)

    def test_other_limits_and_networks_are_refused(self):
        with pytest.raises(TrainingError, match=r"limits=\(0\.0, 0\.5\).*fit_denoiser\(limits=\(0, 1\)\)"):
            pixel_diffusion(network_of(), limits=(0.0, 0.5))
        with pytest.raises(TrainingError, match="LatentUNet"):
            pixel_diffusion(LeanSPAN(bands=4), limits=(0, 1))
        with pytest.raises(TrainingError, match="heads of 16 channels"):
            pixel_diffusion(LatentUNet(4, 2, 32, "1-1", 1, "2", head_channels=16), limits=(0, 1))
        with pytest.raises(TrainingError, match="reads 6 channels and returns 2"):
            pixel_diffusion(LatentUNet(6, 2, 32, "1-1", 1, ""), limits=(0, 1))


def test_what_cannot_be_learned_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="LatentUNet"):
        fit_denoiser(LeanSPAN(bands=2), SCENES, tmp_path, bands=BANDS)
    with pytest.raises(TrainingError, match=r"LatentUNet\(bands=2, bands_out=1\)"):
        learned(tmp_path, 1, bands=BANDS[:1])
    with pytest.raises(TrainingError, match="a multiple of 2"):
        learned(tmp_path, 1, scale=3, side=5)
    with pytest.raises(TrainingError, match="for 3 bands"):
        learned(tmp_path, 1, autoencoder=KLAutoencoder(3, 32, "1-1", 1, 2, 2))
    with pytest.raises(TrainingError, match="no scene"):
        fit_denoiser(network_of(), [], tmp_path, bands=BANDS)
    with pytest.raises(TrainingError, match="masking="):
        learned(tmp_path, 1, masking=0.5)
    with pytest.raises(OptionError, match="limits="):
        learned(tmp_path, 1, limits=(0.5, 0.0))
    for wrong in ({"pixels": 1.5}, {"bands": -0.1}, {"nothing": 1}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Masking(**wrong)
