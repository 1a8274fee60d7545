"""A run is a function of its settings and data: again, or killed and resumed, it gives the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
import torch

from tests.training.small import learn
from xr_sr.errors import OptionError, TrainingError
from xr_sr.runtime import device as engine
from xr_sr.training import LeanSPAN, Settings, plot_log
from xr_sr.training.journal import Journal, read_log
from xr_sr.training.loop import Batch, train

ROOT = Path(__file__).parents[2]


class Constant:
    """The same batch at every step."""

    def __init__(self, target: float = 0.0) -> None:
        torch.manual_seed(1)
        self.batch = Batch(torch.rand(2, 4, 24, 24), torch.full((2, 4, 16, 16), target), torch.ones(2))

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
    once = learn(tmp_path / "once", 100).read_bytes()

    assert run_apart(tmp_path / "again", "100") == 0
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == once
    assert run_apart(tmp_path / "killed", "100", "67") == -signal.SIGKILL
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    assert run_apart(tmp_path / "killed", "100") == 0
    assert (tmp_path / "killed" / "weights.safetensors").read_bytes() == once
    # The first half was not done again: the log goes on from step 50, and tells each step once.
    steps = [int(row["step"]) for row in read_log(tmp_path / "killed" / "log.csv")]
    assert steps == list(range(10, 101, 10))


def test_a_finished_run_is_not_done_again(tmp_path):
    settings = Settings(20, optimizer="adamw", device="cpu")
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
        plain = network()
        plain.tail.weight.zero_()
        batches.batch = Batch(lr, 2 * start(lr) - plain(lr), torch.ones(2))
        before = float(error(start(lr), batches.batch))

    trained = train(start, batches, error, tmp_path, Settings(60, 3e-3, optimizer=optimiser, device="cpu", warm_up=5))

    with torch.no_grad():
        assert float(error(trained(lr), batches.batch)) < 0.5 * before


def test_weights_that_are_kept_are_an_average_over_steps(tmp_path):
    network_ = network()
    batches = Constant(target=1.0)
    plain = train(network(), batches, error, tmp_path / "plain", Settings(30, optimizer="adamw", average=0.0))
    mean = train(network_, batches, error, tmp_path / "mean", Settings(30, optimizer="adamw", average=0.99))

    assert not torch.equal(plain.tail.weight, mean.tail.weight)


def test_the_rate_rises_then_falls_to_zero():
    settings = Settings(1000, 1.0, warm_up=9)
    rates = [settings.rate(step) for step in range(1000)]

    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[500] == pytest.approx(0.5)
    assert rates[-1] < 1e-5


def test_another_run_in_the_same_folder_is_refused_and_named(tmp_path):
    train(network(), Constant(), error, tmp_path, Settings(5, optimizer="adamw"))

    with pytest.raises(TrainingError, match=r"settings\.steps: 5 there, 6 here"):
        train(network(), Constant(), error, tmp_path, Settings(6, optimizer="adamw"))
    with pytest.raises(TrainingError, match=r"batches\.target"):
        train(network(), Constant(0.5), error, tmp_path, Settings(5, optimizer="adamw"))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    batches = Constant(target=float("nan"))

    with pytest.raises(TrainingError, match="step 1 is nan"):
        train(network(), batches, error, tmp_path, Settings(5, optimizer="adamw", log_every=1))


def test_a_broken_checkpoint_is_named(tmp_path):
    train(network(), Constant(), error, tmp_path, Settings(5, optimizer="adamw"))
    (tmp_path / "checkpoint.pt").write_bytes(b"half of it")

    with pytest.raises(TrainingError, match=r"checkpoint\.pt cannot be read"):
        train(network(), Constant(), error, tmp_path, Settings(5, optimizer="adamw"))


def test_rows_beyond_the_checkpoint_are_forgotten(tmp_path):
    journal = Journal(tmp_path, {"a": 1})
    for step in (10, 20, 30):
        journal.log({"step": step, "loss": 1.0})
    journal.save({"step": 20})

    journal.load("cpu")

    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == ["10", "20"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": 2.5},
        {"steps": True},
        {"threads": 0},
        {"optimizer": "sgd"},
        {"save_every": 0},
        {"seed": -1},
        {"learning_rate": float("nan")},
        {"learning_rate": 0.0},
        {"average": 2.0},
        {"betas": (0.9, 1.0)},
        {"betas": (0.9,)},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(OptionError, match=f"{next(iter(wrong))}="):
        Settings(**wrong)


def test_the_card_of_a_run_says_what_it_is(tmp_path):
    train(network(), Constant(), error, tmp_path, Settings(5, optimizer="adamw"))

    card = json.loads((tmp_path / "run.json").read_text())

    assert card["settings"]["steps"] == 5
    assert card["batches"] == {"target": 0.0}


# -- what networks hold and draw


class Dropping(LeanSPAN):
    """Draws random numbers, and counts."""

    def __init__(self) -> None:
        super().__init__(channels=4)
        self.norm = torch.nn.BatchNorm2d(4, momentum=0.5)

    def forward(self, x):
        return super().forward(torch.nn.functional.dropout(self.norm(x), 0.3, self.training))


def dropping() -> Dropping:
    torch.manual_seed(0)
    return Dropping()


class KillAt(Constant):
    """Ends at a step, as if killed."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.last = step

    def __call__(self, step):
        if step == self.last:
            raise KeyboardInterrupt
        return self.batch


def test_a_network_with_dropout_and_batch_norm_resumes_by_the_bit(tmp_path):
    settings = Settings(20, optimizer="adamw", save_every=5, device="cpu", average=0.9)
    once = train(dropping(), Constant(), error, tmp_path / "once", settings)

    with pytest.raises(KeyboardInterrupt):
        train(dropping(), KillAt(13), error, tmp_path / "killed", settings)
    torch.manual_seed(99)
    torch.rand(7)
    again = train(dropping(), Constant(), error, tmp_path / "killed", settings)

    for (key, own), other in zip(once.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(own, other), key
    assert int(once.norm.num_batches_tracked) == 20
    assert not torch.equal(once.norm.running_mean, torch.zeros(4))


def test_random_numbers_of_others_are_left_alone(tmp_path):
    start = dropping()
    torch.manual_seed(5)
    wanted = torch.rand(3)

    torch.manual_seed(5)
    train(start, Still(), error, tmp_path, Settings(3, optimizer="adamw", device="cpu"))

    assert torch.equal(torch.rand(3), wanted)


class Still(Constant):
    """Draws nothing itself."""

    def __init__(self) -> None:
        self.batch = Batch(torch.full((2, 4, 24, 24), 0.3), torch.zeros(2, 4, 16, 16), torch.ones(2))


# -- runs that diverge


class NanFrom(Constant):
    """The truth is no number from a step on."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.first = step

    def __call__(self, step):
        target = self.batch.target * (float("nan") if step >= self.first else 1.0)
        return Batch(self.batch.lr, target, self.batch.weight)


def test_a_loss_that_is_no_number_is_seen_at_once_and_never_saved(tmp_path):
    settings = Settings(40, optimizer="adamw", save_every=5, log_every=40, device="cpu")

    with pytest.raises(TrainingError, match="step 8 .*nan"):
        train(network(), NanFrom(7), error, tmp_path, settings)

    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 5
    assert all(value.isfinite().all() for value in (*state["network"].values(), *state["average"].values()))
    train(network(), Constant(), error, tmp_path, settings)  # goes on once the cause is mended


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    class Late(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, slope):
            return slope * float("inf")

    def hides(sr, batch):
        return error(Late.apply(sr), batch)

    with pytest.raises(TrainingError, match="Weights at step 1"):
        train(network(), Constant(), hides, tmp_path, Settings(1, optimizer="adamw", device="cpu"))

    assert not (tmp_path / "checkpoint.pt").exists()


# -- folders that are not what they were


def short(folder, **more):
    return train(network(), Constant(), error, folder, Settings(5, optimizer="adamw", device="cpu"), **more)


def test_other_weights_to_begin_with_are_told_as_such(tmp_path):
    short(tmp_path)
    torch.manual_seed(1)

    with pytest.raises(TrainingError, match=r"start.*torch\.manual_seed"):
        train(LeanSPAN(channels=4), Constant(), error, tmp_path, Settings(5, optimizer="adamw", device="cpu"))


def test_a_run_that_saved_nothing_may_be_begun_anew_as_another(tmp_path):
    settings = Settings(9, optimizer="adamw", device="cpu", log_every=1)
    with pytest.raises(KeyboardInterrupt):
        train(network(), KillAt(3), error, tmp_path, settings)

    short(tmp_path)

    assert json.loads((tmp_path / "run.json").read_text())["settings"]["steps"] == 5
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == ["5"]


def test_a_folder_is_written_by_one_run_at_a_time(tmp_path):
    class Intruding(Constant):
        def __call__(self, step):
            with pytest.raises(TrainingError, match="locked"):
                short(tmp_path)
            return self.batch

    train(network(), Intruding(), error, tmp_path, Settings(5, optimizer="adamw", device="cpu"))

    short(tmp_path)  # it is free again


def test_the_folder_of_a_run_that_failed_or_was_killed_is_free(official, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(network(), KillAt(2), error, tmp_path / "failed", Settings(5, optimizer="adamw", device="cpu"))
    assert run_apart(tmp_path / "killed", "9", "2") == -signal.SIGKILL

    short(tmp_path / "failed")
    short(tmp_path / "killed")


def test_a_checkpoint_is_on_the_disk_before_it_takes_the_place_of_the_last(tmp_path, monkeypatch):
    journal, flushed = Journal(tmp_path, {"a": 1}), []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (flushed.append(os.fstat(file).st_size), sync(file)))

    journal.save({"step": 20})

    assert flushed == [(tmp_path / "checkpoint.pt").stat().st_size]


def test_a_run_has_its_own_threads_also_where_a_kernel_settles_those_of_its_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "torch_threads", lambda: 3)
    found = []

    class Taught(Constant):
        def __call__(self, step):
            engine.settle_threads()
            found.append(torch.get_num_threads())
            return self.batch

    def meddling(network):
        torch.set_num_threads(4)
        return {"far": 0.5}

    def run():
        settings = Settings(3, optimizer="adamw", device="cpu", threads=2, log_every=1)
        train(network(), Taught(), error, tmp_path, settings, evaluate=meddling)
        found.append(torch.get_num_threads())

    thread = Thread(target=run)
    thread.start()
    thread.join()

    assert found == [2, 2, 2, 3]


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto is the GPU here")
def test_auto_is_the_device_that_it_stands_for(tmp_path):
    settings = Settings(5, optimizer="adamw")
    train(network(), Constant(), error, tmp_path, settings)
    run = json.loads((tmp_path / "run.json").read_text())
    short(tmp_path)  # on "cpu"

    assert run["settings"]["device"] == "cpu"
    run["settings"]["device"] = "auto"  # as older versions noted it
    (tmp_path / "run.json").write_text(json.dumps(run))
    train(network(), Constant(), error, tmp_path, settings)
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["device"] == "cpu"


@pytest.mark.parametrize("name", ["step", "rate", "loss", "seconds"])
def test_what_is_measured_does_not_take_the_place_of_a_column(tmp_path, name):
    with pytest.raises(TrainingError, match=rf"evaluate.*\['{name}'\]"):
        short(tmp_path, evaluate=lambda network: {name: 0.5, "far": 0.5})


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"step": 1}, r"checkpoint\.pt.*KeyError: 'average'"),
        ([1, 2], r"checkpoint\.pt.*dict.*list"),
        ({"network": {}}, r"checkpoint\.pt.*step"),
        ({"step": 1, "average": {"a": torch.zeros(1)}}, r"checkpoint\.pt.*RuntimeError"),
    ],
)
def test_a_checkpoint_of_something_else_is_named(tmp_path, state, words):
    short(tmp_path)
    torch.save(state, tmp_path / "checkpoint.pt")

    with pytest.raises(TrainingError, match=words):
        short(tmp_path)


def test_a_folder_that_is_none_and_a_card_that_is_empty_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="not a folder"):
        short(tmp_path / "file")
    (tmp_path / "run.json").write_text("")
    with pytest.raises(TrainingError, match=r"run\.json cannot be read"):
        short(tmp_path)


def test_rows_that_were_cut_and_stray_lines_are_forgotten(tmp_path):
    short(tmp_path, evaluate=lambda network: {"far": 0.5})
    log = tmp_path / "log.csv"
    whole = read_log(log)
    log.write_bytes(log.read_bytes() + b"note to myself\r\nx,1,2,3,4\r\n5,1e-3,0.5,1,0.")

    assert read_log(log) == whole != []
    short(tmp_path, evaluate=lambda network: {"far": 0.5})
    assert read_log(log) == whole and b"note" not in log.read_bytes()
    plot_log(tmp_path, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").exists()


def test_a_run_without_a_log_has_no_curve(tmp_path):
    with pytest.raises(TrainingError, match=r"log\.csv has no row"):
        plot_log(tmp_path, tmp_path / "curve.png")


def test_another_place_held_out_on_resuming_gets_a_column(tmp_path):
    settings = Settings(20, optimizer="adamw", save_every=5, log_every=5, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(network(), KillAt(12), error, tmp_path, settings, evaluate=lambda network: {"far": 0.5})

    train(network(), Constant(), error, tmp_path, settings, evaluate=lambda network: {"near": 0.25})

    rows = read_log(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == ["5", "10", "15", "20"]
    assert [(row["far"], row["near"]) for row in rows] == [("0.5", ""), ("", ""), ("", "0.25"), ("", "0.25")]


def test_the_old_spelling_of_the_optimizer_is_accepted_and_a_run_of_it_is_resumed(tmp_path):
    with pytest.warns(FutureWarning, match="optimiser= .* optimizer="):
        settings = Settings(5, optimiser="adamw")
    with pytest.warns(FutureWarning, match="tell_every= .* log_every="):
        assert Settings(5, tell_every=7).log_every == 7
    with pytest.warns(FutureWarning, match="optimiser .* .optimizer"):
        assert settings.optimiser == "adamw"
    train(network(), Constant(), error, tmp_path, settings)
    card = tmp_path / "run.json"
    card.write_text(
        card.read_text(encoding="utf-8").replace('"optimizer"', '"optimiser"').replace("log_every", "tell_every"),
        "utf-8",
    )

    train(network(), Constant(), error, tmp_path, settings)
