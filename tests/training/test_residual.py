"""Learning what kriging leaves: what is drawn, what is the target, and that it can be learned and resumed."""

import numpy as np
import pytest
import torch

from tests.cubes import array
from xr_sr.errors import OptionError, TrainingError
from xr_sr.kernels.kriging_network import residual_of, sensors_of
from xr_sr.simulate import degrade
from xr_sr.training import LeanSPAN, Scene, Settings
from xr_sr.training.learning import GENTLE
from xr_sr.training.loop import Batch
from xr_sr.training.residual import MARGIN, ErrorAndScale, Sensed, SensorDraw, fit_residual

BANDS = ("B04", "B08")
STILL = SensorDraw(width=0, band_width=0, anisotropy=0, noise=0, shift_px=0, reference_mtf=0.999999, flat=0)


class Quiet(Sensed):
    """The published sensor without its noise."""

    def differences(self, chance: np.random.Generator) -> tuple[float, float]:
        """See `Sensed`."""
        return 1.0, 0.0


def fields(seed: int = 0, side: int = 260) -> np.ndarray:
    """Fields with straight edges, whose sharpness can be learned: (band, y, x)."""
    chance = np.random.default_rng(seed)
    image = np.full((2, side, side), 0.1, "float32")
    for _ in range(90):
        top, left, height, width = chance.integers(0, [side, side, 60, 60])
        image[:, top : top + height, left : left + width] = chance.uniform(0.05, 0.35, (2, 1, 1))
    return image


def made(kind: type[Sensed] = Sensed, sensors: SensorDraw = STILL, **changed) -> Sensed:
    given = {"scale": 4, "context": 13, "seed": 0, "patch": 12, "count": 6} | changed
    return kind([Scene("fields", fields())], BANDS, sensors, GENTLE, **given)


def test_input_is_what_the_sensor_sees():
    """Without differences it is `simulate.degrade`, to the rounding of digital numbers."""
    maker, hr = made(Quiet), fields(3, 120)
    expected = degrade(array(hr, BANDS), factor=4).values[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    np.testing.assert_allclose(maker.observe(hr, np.random.default_rng(0)), expected, atol=6e-5)


def test_noise_is_that_of_the_bands():
    """Of even ground, the standard deviation is the published one."""
    maker, level = made(), 0.2
    seen = maker.observe(np.full((2, 400, 400), level, "float32"), np.random.default_rng(0))
    expected = np.std(
        degrade(array(np.full((2, 400, 400), level, "float32"), BANDS), factor=4, noise="sentinel2").values, axis=(1, 2)
    )
    np.testing.assert_allclose(seen.std(axis=(1, 2)), expected, rtol=0.05)


def test_the_reference_has_lost_contrast_already():
    """A reference as soft as a camera's is blurred less on the way to the input."""
    hr = fields(3, 120)
    soft = made(Quiet, SensorDraw(0, 0, 0, 0, 0, reference_mtf=0.1, flat=0)).observe(hr, np.random.default_rng(0))
    sharp = made(Quiet).observe(hr, np.random.default_rng(0))
    assert soft.std() > 1.005 * sharp.std()


def test_the_target_is_what_kriging_leaves():
    """Kriging with the addition is the reference: of even ground without noise it is nothing."""
    even = made(Quiet, SensorDraw(0, 0, 0, 0, 0, flat=1))(0)
    assert abs(even.target).max() < 1e-4
    pool = made(Quiet)(0)
    assert pool.lr.shape == (6, 2, 12 + 26, 12 + 26)
    assert pool.target.shape == (6, 2, 48, 48)
    assert pool.energy.shape == (6, 12, 12)
    np.testing.assert_allclose(pool.energy.mean(), np.square(pool.target).mean(), rtol=1e-4)
    # What kriging leaves of an edge is not seen at 10 m: its mean over an input pixel is small beside its size.
    blocks = pool.target.reshape(6, 2, 12, 4, 12, 4).mean((3, 5))
    assert blocks.std() < 0.3 * pool.target.std()


def test_pools_are_a_function_of_their_number():
    """So a run can be resumed."""
    first, again = made()(3), made()(3)
    np.testing.assert_array_equal(first.lr, again.lr)
    assert not np.array_equal(first.lr, made()(4).lr)


def learned(folder, steps, channels=8, pairs=2, **changed):
    settings = Settings(steps, 3e-3, warm_up=10, average=0.95, save_every=20, log_every=60, device="cpu")
    network = residual_of(BANDS, channels=channels, pairs=pairs, seed=1)
    scenes = [Scene(f"fields {seed}", fields(seed)) for seed in (1, 2, 3)]
    given = {"bands": BANDS, "batch": 4, "patch": 16, "pool": 16, "sensors": STILL} | changed
    return fit_residual(network, scenes, folder, settings, **given)


def test_what_is_learned_is_nearer_to_the_reference(tmp_path):
    """On fields that it never saw, and the scale of the error tells where it is large."""
    network = learned(tmp_path, 200, channels=16, pairs=4, patch=24)
    maker = Sensed([Scene("others", fields(9))], BANDS, STILL, GENTLE, scale=4, context=13, seed=5, patch=24, count=8)
    pool = maker(0)
    with torch.no_grad():
        addition, scale = network(torch.from_numpy(pool.lr)).chunk(2, dim=1)
    wrong = np.abs(pool.target - addition.numpy())
    assert np.square(wrong).mean() < 0.97 * np.square(pool.target).mean()
    assert np.corrcoef(np.log(wrong.ravel() + 1e-5), np.log(scale.numpy().ravel()))[0, 1] > 0.4
    assert 0.3 < wrong.mean() / scale.numpy().mean() < 3  # a coarse check: after so few steps


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path):
    """The weights are equal to the bit."""

    def stop(row: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned(tmp_path / "two", 80, show=stop)
    resumed = learned(tmp_path / "two", 80).state_dict()
    whole = learned(tmp_path / "one", 80).state_dict()
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_what_cannot_be_learned_is_refused(tmp_path):
    """A network that returns no scale of its error, and impossible sensors."""
    with pytest.raises(TrainingError, match="LeanSPAN"):
        fit_residual(LeanSPAN(bands=2), [Scene("fields", fields())], tmp_path, bands=BANDS, patch=16)
    with pytest.raises(OptionError, match="reference_mtf"):
        SensorDraw(reference_mtf=1.5)
    with pytest.raises(OptionError, match="width"):
        SensorDraw(width=-1)


@pytest.mark.parametrize("scale", [2, 3])
def test_kriging_has_the_scale_that_is_learned(scale):
    """The target has as many fine pixels per input pixel."""
    maker = made(Quiet, scale=scale)
    pool = maker(0)
    assert pool.target.shape == (6, 2, 12 * scale, 12 * scale)
    assert np.abs(pool.target).mean() < 0.05


def test_what_is_visible_is_what_the_sensor_sees_of_the_addition():
    """The weight of `visible` counts the square of what `degrade` gives, at the input's pixels."""
    addition = np.random.default_rng(0).normal(0, 0.01, (2, 80, 80)).astype("float32")
    out = torch.from_numpy(np.concatenate([addition, np.full_like(addition, 0.01)]))[None]
    batch = Batch(out, torch.zeros(1, 2, 80, 80), torch.ones(1))
    seen = degrade(array(addition, BANDS), factor=4).values[:, 3:-3, 3:-3]
    sensors = sensors_of(BANDS, 4)

    more = float(ErrorAndScale(sensors, 3.0)(out, batch)) - float(ErrorAndScale(sensors)(out, batch))

    assert more == pytest.approx(3 * np.square(seen, dtype="float64").mean(), rel=1e-3)


def test_less_is_visible_of_an_addition_that_pays_for_it(tmp_path):
    """And the run is another: it cannot be resumed with another weight."""
    wide = SensorDraw(width=0.3, reference_mtf=0.999999, flat=0)
    free, paid = (learned(tmp_path / str(weight), 60, visible=weight, sensors=wide) for weight in (0.0, 20.0))
    pool, sensors = made(sensors=wide, patch=24)(0), sensors_of(BANDS, 4)
    visible = []
    for network in (free, paid):
        with torch.no_grad():
            out = network(torch.from_numpy(pool.lr))
        addition = out[:, :2]
        batch = Batch(out, torch.zeros_like(addition), torch.ones(len(addition)))
        visible.append(float(ErrorAndScale(sensors, 1.0)(out, batch)) - float(ErrorAndScale(sensors)(out, batch)))
    assert visible[1] < 0.5 * visible[0]
    with pytest.raises(TrainingError, match="visible"):
        learned(tmp_path / "20.0", 80, visible=1.0, sensors=wide)
