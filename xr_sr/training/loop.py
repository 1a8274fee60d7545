"""The training loop: any network, any batches, one optimizer; it saves checkpoints and resumes from them.

No stream of random numbers is kept: a batch is a function of its step, and what a network draws (dropout) is seeded
from seed and step. A run that was killed and resumed therefore equals, on the CPU of one machine, the run that was
never killed, bit for bit. What a batch holds is left to `patches`.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..arguments import check_choice, checked_fields, former_name, renamed
from ..errors import OptionError, TrainingError
from ..optional import require
from ..runtime.device import resolve_device, settle_threads
from .journal import OWN_COLUMNS, Journal, held


@dataclass(frozen=True)
class Batch:
    """The data of one step.

    lr: (n, band, y + 2 k, x + 2 k) reflectance, with the context that the network consumes, or more. target: (n, band,
    y * scale, x * scale). weight: (n,) or (n, band), a factor of the square error of a patch, or of one of its
    bands.
    """

    lr: Tensor
    target: Tensor
    weight: Tensor


class Batches(Protocol):
    """A function of the step alone."""

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, on the CPU."""

    def describe(self) -> dict[str, Any]:
        """Describe the batches as JSON: a run is resumed with equal ones only."""


@checked_fields("xr_sr.training.Settings")
@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    steps: in total; the learning rate falls to zero over them as half a cosine. warm_up: steps in which it rises.
    average: decay of the exponential moving average (EMA) of the weights, which is kept.
    optimizer: "soap" (second-order; needs the extra `train`) or "adamw". betas: decay of its first and second moments;
    refresh: steps between SOAP's decompositions. save_every, log_every: steps between checkpoints and rows of the log.
    device: as in `xr_sr.upscale`. threads: of torch on a CPU; another number of threads sums in another order, so both
    must be equal to resume a run.
    Raises OptionError for invalid numbers, and for a field that is unknown.
    """

    steps: int = 20_000
    learning_rate: float = 3e-3
    warm_up: int = 100
    average: float = 0.999
    optimizer: Literal["soap", "adamw"] = "soap"
    betas: tuple[float, float] = (0.95, 0.99)
    refresh: int = 5
    seed: int = 0
    save_every: int = 500
    log_every: int = 50
    device: str = "auto"
    threads: int = 1

    optimiser = former_name("optimiser", "optimizer")
    tell_every = former_name("tell_every", "log_every")

    def __post_init__(self) -> None:
        whole = {name: getattr(self, name) for name in ("steps", "refresh", "save_every", "log_every", "threads")}
        for least, sizes in ((1, whole), (0, {"warm_up": self.warm_up, "seed": self.seed})):
            for name, value in sizes.items():
                if type(value) is not int or value < least:
                    raise OptionError(f"{name}={value!r}: expected a whole number, at least {least}.")
        if not (isinstance(self.learning_rate, int | float) and 0 < self.learning_rate < math.inf):  # NaN neither
            raise OptionError(f"learning_rate={self.learning_rate!r}: expected a number above 0, such as 3e-3.")
        betas = self.betas if isinstance(self.betas, tuple | list) else ()
        if len(betas) != 2 or not all(
            isinstance(share, int | float) and 0 <= share < 1 for share in (self.average, *betas)
        ):
            raise OptionError(
                f"average={self.average!r}, betas={self.betas!r}: expected shares from 0 to less than 1, and two betas."
            )
        check_choice("optimizer", self.optimizer, ("soap", "adamw"))

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        rise = min(1.0, (step + 1) / (self.warm_up + 1))
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))


Settings.__init__ = renamed(optimiser="optimizer", tell_every="log_every")(Settings.__init__)  # type: ignore[method-assign]


def train(
    network: nn.Module,
    batches: Batches,
    loss: Callable[[Tensor, Batch], Tensor],
    folder: Path,
    settings: Settings,
    *,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    evaluate_every: int = 2_000,
    show: Callable[[str], None] | None = None,
) -> nn.Module:
    """Train a network, or resume the run in this folder; return it with its averaged weights.

    network: (n, band, y, x) to (n, band, (y - 2 consumed) * scale, ...); it is trained in place, from the weights that
    it has. loss: of its output and the batch, one number. evaluate: numbers for the log, of the averaged weights. show:
    is called with each row of the log as text.
    Raises TrainingError if the folder holds another run or a damaged one, if it is locked by another process, or if
    loss or weights are not finite; such weights are never saved.
    """
    device = torch.device(resolve_device(settings.device))
    network = _channels_last(network.to(device)).train()
    with held(folder):
        facts = {**asdict(settings), "device": str(device)}
        journal = Journal(folder, {"settings": facts, "batches": batches.describe(), "start": mark(network)})
        average = {key: value.detach().clone() for key, value in network.state_dict().items()}
        optimiser = _optimiser(network, settings)
        state = journal.load(str(device))
        step, seconds = 0, 0.0
        names: tuple[str, ...] = ()
        if state is not None:
            average, step, seconds = _restored(state, network, optimiser, folder)

        before = time.perf_counter()
        with _own_threads(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            while step < settings.steps:
                if device.type == "cpu":  # each time: batches and evaluations may change it
                    torch.set_num_threads(settings.threads)
                rate = settings.rate(step)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                seed = np.random.SeedSequence([settings.seed, 2, step]).generate_state(1, np.uint64)[0]
                torch.manual_seed(int(seed >> 1))
                value = _learn(network, batches(step), loss, optimiser, device)
                step += 1
                if not math.isfinite(value):
                    raise _diverged(f"The loss at step {step} is {value}", folder)
                _average(average, network, min(settings.average, step / (step + 9)))
                last = step == settings.steps
                if step % settings.log_every == 0 or last:
                    spent = seconds + time.perf_counter() - before
                    row = {"step": step, "rate": f"{rate:.3e}", "loss": f"{value:.5g}", "seconds": f"{spent:.0f}"}
                    if evaluate is not None:
                        due = step % evaluate_every == 0 or last or not names
                        row |= _measured(network, average, evaluate) if due else dict.fromkeys(names, "")
                        names = tuple(row)[len(OWN_COLUMNS) :]
                    journal.log(row)
                    if show is not None:
                        show("  ".join(f"{key} {entry}" for key, entry in row.items() if entry))
                if step % settings.save_every == 0 or last:
                    if not (_finite(network.state_dict()) and _finite(average)):
                        raise _diverged(f"Weights at step {step} are not finite", folder)
                    spent = seconds + time.perf_counter() - before
                    journal.save(
                        {"network": network.state_dict(), "average": average, "optimiser": optimiser.state_dict()}
                        | {"step": step, "seconds": spent}
                    )
    network.load_state_dict(average)
    return network.eval()


@contextmanager
def _own_threads() -> Iterator[None]:
    """Restore the number of torch's threads."""
    settle_threads()  # a teacher's kernel does so at its first task in a thread only
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _learn(
    network: nn.Module,
    batch: Batch,
    loss: Callable[[Tensor, Batch], Tensor],
    optimiser: torch.optim.Optimizer,
    device: torch.device,
) -> float:
    lr = batch.lr.to(device).contiguous(memory_format=torch.channels_last)
    batch = Batch(lr, batch.target.to(device), batch.weight.to(device))
    wrong = loss(network(lr), batch)
    optimiser.zero_grad(set_to_none=True)
    wrong.backward()
    optimiser.step()
    return float(wrong.detach())


@torch.no_grad()
def _average(average: dict[str, Tensor], network: nn.Module, kept: float) -> None:
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            average[key].lerp_(value, 1 - kept)
        else:  # a count, such as the batches of BatchNorm
            average[key].copy_(value)


def _measured(
    network: nn.Module, average: dict[str, Tensor], evaluate: Callable[[nn.Module], Mapping[str, float]]
) -> dict[str, str]:
    """Evaluate the averaged weights, and restore those of the network."""
    own = {key: value.detach().clone() for key, value in network.state_dict().items()}
    network.load_state_dict(average)
    with torch.no_grad():
        found = {key: f"{value:.4g}" for key, value in evaluate(network.eval()).items()}
    network.load_state_dict(own)
    network.train()
    if taken := [key for key in found if key in OWN_COLUMNS]:
        raise TrainingError(
            f"evaluate returns {taken}, which are columns of the log; use other names than {', '.join(OWN_COLUMNS)}."
        )
    return found


def _finite(state: Mapping[str, Tensor]) -> bool:
    return all(bool(value.isfinite().all()) for value in state.values())


def _diverged(what: str, folder: Path) -> TrainingError:
    return TrainingError(
        f"{what}. Use a lower learning_rate, in a folder of its own; {folder} keeps what was saved before, if anything."
    )


def _restored(
    state: Mapping[str, Any], network: nn.Module, optimiser: torch.optim.Optimizer, folder: Path
) -> tuple[dict[str, Tensor], int, float]:
    """Load a checkpoint into network and optimizer; return its averaged weights, step and seconds."""
    try:
        network.load_state_dict(state["average"])  # raises for another architecture
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        return dict(state["average"]), int(state["step"]), float(state["seconds"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise TrainingError(
            f"{folder / 'checkpoint.pt'} is not of this run: {type(error).__name__}: {error}. Expected network, "
            "average, optimizer, step and seconds of the same network. Remove the file to start again."
        ) from error


def _channels_last(network: nn.Module) -> nn.Module:
    """Use the memory layout in which convolutions on a CPU are fastest."""
    for value in network.parameters():
        if value.ndim == 4:
            value.data = value.data.contiguous(memory_format=torch.channels_last)
    return network


def _optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    parameters = [value for value in network.parameters() if value.requires_grad]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=settings.learning_rate, betas=settings.betas, weight_decay=0.0)
    soap = require("pytorch_optimizer", extra="train").SOAP
    optimiser: torch.optim.Optimizer = soap(
        parameters,
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=0.0,
        precondition_frequency=settings.refresh,
    )
    return optimiser


def mark(network: nn.Module) -> str:
    """Return the hash of the initial weights of a run."""
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def relative_square_error(sr: Tensor, batch: Batch) -> Tensor:
    """Return the mean of the square error of each patch, or of each of its bands, over the square of its detail.

    sr: (n, band, y, x), the network's output, constrained. 1 is the error of bicubic, 0 is perfect. Each patch counts
    by its own contrast, so that fields teach as much as towns, which was better in trials (report of the bundled
    weights).
    """
    square = (sr - batch.target).square()
    wrong = square.mean(dim=(1, 2, 3) if batch.weight.ndim == 1 else (2, 3))
    return (wrong * batch.weight).mean()
