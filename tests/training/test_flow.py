"""Training of paths: covariance of errors, runs that resume to the bit, what is trained, and what is learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.test_residual import BANDS, STILL, fields
from xr_sr.errors import TrainingError
from xr_sr.kernels.kriging_network import residual_of
from xr_sr.networks.flow_residual import FlowResidual
from xr_sr.training.flow import TRAINED, FlowMatching, Judged, errors, estimate_base, fit_flow
from xr_sr.training.learning import GENTLE
from xr_sr.training.loop import Batch, Settings
from xr_sr.training.patches import PooledBatches
from xr_sr.training.scenes import Scene

SCENES = [Scene(f"fields {seed}", fields(seed)) for seed in (1, 2, 3)]


def network_of() -> FlowResidual:
    start = residual_of(BANDS, channels=8, pairs=2, seed=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = FlowResidual(len(BANDS), 8, 2, width=16, blocks=1)
    known = {key: value for key, value in start.state_dict().items() if not key.startswith("error.")}
    network.load_state_dict(known, strict=False)
    return network


def batches_of(network: FlowResidual) -> PooledBatches:
    maker = Judged(SCENES, BANDS, STILL, GENTLE, scale=4, context=network.consumed, seed=0, patch=24, count=16)
    return PooledBatches(maker, 4, network.consumed, 0, side=12, size=6, patch=24, count=16)


def learned(folder: Path, steps: int, **changed) -> FlowResidual:
    settings = Settings(steps, 3e-3, warm_up=10, average=0.95, save_every=10, log_every=30, device="cpu")
    given = {"bands": BANDS, "batch": 6, "side": 12, "patch": 24, "pool": 16, "sensors": STILL} | changed
    network = fit_flow(network_of(), SCENES, folder, settings, **given)
    assert isinstance(network, FlowResidual)
    return network


def test_errors_have_the_covariance_of_the_base():
    network = network_of()
    batches = batches_of(network)
    estimate_base(network, batches, 20)
    rows = []
    with torch.no_grad():
        for step in range(20):
            batch = batches(step)
            left, _ = errors(network, network(batch.lr), batch.target)
            rows.append(network.whitened(left).movedim(1, -1).reshape(-1, network.planes))
    white = torch.cat(rows).double()
    torch.testing.assert_close(white.T @ white / len(white), torch.eye(network.planes).double(), rtol=0, atol=0.02)


def test_a_trained_network_keeps_the_covariance_that_it_was_trained_for(tmp_path):
    network = learned(tmp_path / "first", 3)
    base = network.base.clone()

    again = fit_flow(
        network,
        SCENES[:1],
        tmp_path / "second",
        Settings(3, device="cpu"),
        bands=BANDS,
        batch=6,
        side=12,
        patch=24,
        pool=16,
        sensors=STILL,
    )

    assert torch.equal(again.base, base) and not torch.equal(base, torch.eye(network.planes))
    assert all(value.requires_grad for value in again.parameters())


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path):
    """The weights are equal to the bit."""

    def stop(row: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned(tmp_path / "two", 40, show=stop)
    resumed = learned(tmp_path / "two", 40).state_dict()
    whole = learned(tmp_path / "one", 40).state_dict()
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)
    first = network_of().state_dict()
    same = {key for key in whole if torch.equal(whole[key], first[key])}
    assert {key for key in whole if key.split(".")[0] not in (*TRAINED, "base")} == same


def test_paths_are_learned(tmp_path):
    """The loss falls below that of no speed, which is that of Gaussian ground."""
    network = learned(tmp_path, 150)
    batches, loss = batches_of(network), FlowMatching(network)
    still = network_of()
    still.base.copy_(network.base)
    losses: dict[str, list[float]] = {"learned": [], "still": []}
    with torch.no_grad():
        for step in range(200, 230):
            batch: Batch = batches(step)
            for name, each in (("learned", loss), ("still", FlowMatching(still))):
                torch.manual_seed(step)
                losses[name].append(float(each(each.network(batch.lr), batch)))
    assert sum(losses["learned"]) < 0.97 * sum(losses["still"])


def test_what_cannot_be_learned_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="no scene"):
        fit_flow(network_of(), [], tmp_path, bands=BANDS)
    with pytest.raises(TrainingError, match="FlowResidual"):
        fit_flow(network_of(), SCENES, tmp_path)
    with pytest.raises(TrainingError, match="side=0: expected whole numbers"):
        fit_flow(network_of(), SCENES, tmp_path, bands=BANDS, side=0)
