"""Describe models that draw their result, by latent diffusion: a network's record with what its sampler is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..arguments import check_choice, check_number, check_whole
from ..errors import OptionError
from ..spec import Option
from .models import Network

SAMPLERS = ("dpm-solver++", "ddim", "ddpm")
"""Names of samplers; see `kernels.sampling`."""

CORRECTIONS = ("back_projection", "histogram", "none")
"""What follows the network, as constraint="auto": block means of the input, its distribution of values, or nothing."""

MOST_STEPS = 1000
"""Times of the published schedules."""

_READ_BY = {"eta": ("ddim",), "temperature": ("ddim", "ddpm")}
"""Options that only some samplers read."""


@dataclass(frozen=True)
class Diffusion(Network):
    """Latent diffusion on windows: one image of those that fit the input, drawn by the place of its pixels.

    sampler, steps: how noise becomes a latent, and in how many evaluations of the network. eta: of DDIM, the noise that
    is added at each step, 0 to 1. temperature: a factor of that noise, of DDIM and DDPM. seed: which image. correction:
    one of `CORRECTIONS`. The sizes of the network are read from its weights, so `config` is empty.
    """

    sampler: str = "dpm-solver++"
    steps: int = 3
    eta: float = 0.0
    temperature: float = 1.0
    seed: int = 0
    correction: str = "back_projection"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(f"{self.name!r}: correction", self.correction, CORRECTIONS)
        check_choice("sampler", self.sampler, SAMPLERS)
        check_number("steps", check_whole("steps", self.steps, least=1), most=MOST_STEPS)
        check_whole("seed", self.seed, least=0)
        object.__setattr__(self, "eta", check_number("eta", self.eta, least=0, most=1))
        object.__setattr__(self, "temperature", check_number("temperature", self.temperature, least=0))

    @property
    def options(self) -> tuple[tuple[str, Option], ...]:
        """What the user may choose: the sampler, its options, and the seed."""
        read = [name for name in ("eta", "temperature") if self.sampler in _READ_BY[name]]
        return tuple((name, getattr(self, name)) for name in ("sampler", "steps", *read, "seed"))

    def sampled(self, options: Mapping[str, Option]) -> Diffusion:
        """Return the record with a user's options. Raises OptionError, also for one that the sampler does not read."""
        made = replace(self, **options)  # type: ignore[arg-type]  # checked when it is made
        for name, readers in _READ_BY.items():
            if name in options and made.sampler not in readers:
                raise OptionError(
                    f"{name}={options[name]!r}: sampler={made.sampler!r} does not read it. Leave it out, or pass "
                    f"sampler={readers[0]!r}."
                )
        return made
