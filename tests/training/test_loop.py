"""A run is a function of its settings and data: again, or killed and resumed, it gives the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.small import learn
from xr_sr.errors import OptionError, TrainingError
from xr_sr.models.lean import bicubic
from xr_sr.training import LeanSPAN, Settings
from xr_sr.training.journal import Journal, read_log
from xr_sr.training.loop import Batch, train

ROOT = Path(__file__).parents[2]


class Constant:
    """The same batch at every step."""

    def __init__(self, target: float = 0.0) -> None:
        torch.manual_seed(1)
        self.batch = Batch(torch.rand(2, 4, 20, 20), torch.full((2, 4, 16, 16), target), torch.ones(2))

    def __call__(self, step: int) -> Batch:
        return self.batch

    def describe(self) -> dict[str, float]:
        return {"target": float(self.batch.target[0, 0, 0, 0])}


def error(sr, batch):
    return (sr - batch.target).square().mean()


def network() -> LeanSPAN:
    torch.manual_seed(0)
    return LeanSPAN(channels=4)


def run_apart(folder: Path, *arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.small", str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.returncode


def test_the_recipe_run_twice_and_killed_and_resumed_gives_identical_bytes(official, tmp_path):
    once = learn(tmp_path / "once", 200).read_bytes()

    assert run_apart(tmp_path / "again", "200") == 0
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == once
    assert run_apart(tmp_path / "killed", "200", "97") == -signal.SIGKILL
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    assert run_apart(tmp_path / "killed", "200") == 0
    assert (tmp_path / "killed" / "weights.safetensors").read_bytes() == once
    # The first half was not done again: the log goes on from step 50, and tells each step once.
    steps = [int(row["step"]) for row in read_log(tmp_path / "killed" / "log.csv")]
    assert steps == list(range(10, 201, 10))


def test_a_finished_run_is_not_done_again(tmp_path):
    settings = Settings(20, optimiser="adamw", device="cpu")
    first = train(network(), Constant(), error, tmp_path, settings)

    class Never(Constant):
        def __call__(self, step):
            raise AssertionError("asked for a batch")

    again = train(network(), Never(), error, tmp_path, settings)

    for own, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize("optimiser", ["soap", "adamw"])
def test_it_learns(tmp_path, optimiser):
    start, batches = network(), Constant()
    lr = batches.batch.lr
    with torch.no_grad():
        # Twice the detail that it adds at the start: something that it can give.
        batches.batch = Batch(lr, 2 * start(lr) - bicubic(lr, 4), torch.ones(2))
        before = float(error(start(lr), batches.batch))

    trained = train(start, batches, error, tmp_path, Settings(60, 3e-3, optimiser=optimiser, device="cpu", warm_up=5))

    with torch.no_grad():
        assert float(error(trained(lr), batches.batch)) < 0.5 * before


def test_weights_that_are_kept_are_an_average_over_steps(tmp_path):
    network_ = network()
    batches = Constant(target=1.0)
    plain = train(network(), batches, error, tmp_path / "plain", Settings(30, optimiser="adamw", average=0.0))
    mean = train(network_, batches, error, tmp_path / "mean", Settings(30, optimiser="adamw", average=0.99))

    assert not torch.equal(plain.tail.weight, mean.tail.weight)


def test_the_rate_rises_then_falls_to_zero():
    settings = Settings(1000, 1.0, warm_up=9)
    rates = [settings.rate(step) for step in range(1000)]

    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[500] == pytest.approx(0.5)
    assert rates[-1] < 1e-5


def test_another_run_in_the_same_folder_is_refused_and_named(tmp_path):
    train(network(), Constant(), error, tmp_path, Settings(5, optimiser="adamw"))

    with pytest.raises(TrainingError, match=r"settings\.steps: 5 there, 6 here"):
        train(network(), Constant(), error, tmp_path, Settings(6, optimiser="adamw"))
    with pytest.raises(TrainingError, match=r"batches\.target"):
        train(network(), Constant(0.5), error, tmp_path, Settings(5, optimiser="adamw"))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    batches = Constant(target=float("nan"))

    with pytest.raises(TrainingError, match="step 1 is nan"):
        train(network(), batches, error, tmp_path, Settings(5, optimiser="adamw", tell_every=1))


def test_a_broken_checkpoint_is_named(tmp_path):
    train(network(), Constant(), error, tmp_path, Settings(5, optimiser="adamw"))
    (tmp_path / "checkpoint.pt").write_bytes(b"half of it")

    with pytest.raises(TrainingError, match=r"checkpoint\.pt cannot be read"):
        train(network(), Constant(), error, tmp_path, Settings(5, optimiser="adamw"))


def test_rows_beyond_the_checkpoint_are_forgotten(tmp_path):
    journal = Journal(tmp_path, {"a": 1})
    for step in (10, 20, 30):
        journal.tell({"step": step, "loss": 1.0})
    journal.save({"step": 20})

    journal.load("cpu")

    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == ["10", "20"]


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"threads": 0}, {"optimiser": "sgd"}, {"save_every": 0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(OptionError, match="wanted"):
        Settings(**wrong)


def test_the_card_of_a_run_says_what_it_is(tmp_path):
    train(network(), Constant(), error, tmp_path, Settings(5, optimiser="adamw"))

    card = json.loads((tmp_path / "run.json").read_text())

    assert card["settings"]["steps"] == 5
    assert card["batches"] == {"target": 0.0}
