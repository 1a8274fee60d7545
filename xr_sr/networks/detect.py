"""Recognize an architecture by the keys of a state dict, and read its arguments from the shapes of the tensors.

Each architecture declares an `Architecture` in its own module; `xr_sr.networks` lists them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ..arguments import check_whole
from ..errors import OptionError, WeightsFormatError

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""The shapes of a state dict's tensors, by key."""

Arguments: TypeAlias = Mapping[str, int | str]
"""Arguments of an architecture by name."""

_WRAPPERS = ("state_dict", "params_ema", "params")


@dataclass(frozen=True)
class Keys:
    """A condition on the keys of a state dict: all of some are there, and none of others."""

    required: tuple[str, ...]
    absent: tuple[str, ...] = ()

    def __call__(self, keys: Iterable[str]) -> bool:
        """Return whether keys meet the condition."""
        there = set(keys)
        return there.issuperset(self.required) and there.isdisjoint(self.absent)


def has_all(*keys: str, but_not: tuple[str, ...] = ()) -> Keys:
    """Require all of these keys, and none of `but_not`."""
    return Keys(keys, but_not)


@dataclass(frozen=True)
class Architecture:
    """How to recognize and build a network.

    name: "module:attribute". detect: the condition on keys. sizes: arguments of `build` by the shapes and the arguments
    that a user sets, which count where shapes leave a choice; None if the shapes are not those of this architecture.
    assumed: arguments that shapes cannot tell, for which `sizes` has the published value. reads, returns, scale: names
    of the arguments with the number of bands in, of bands out, and of output pixels per input pixel; or that number.
    ignored: beginnings of keys that repeat others.
    """

    name: str
    build: Callable[..., nn.Module]
    detect: Keys
    sizes: Callable[[Shapes, Arguments], Arguments | None]
    reads: str | int
    returns: str | int
    scale: str | int
    assumed: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What was recognized in a state dict.

    architecture: "module:attribute". config: its arguments. from_shapes: names of those that shapes tell; assumed: of
    those with the published value; given: of those that were passed. bands, bands_out: channels in and out; scale:
    output pixels per input pixel; 0 channels out for a network that compares two images. padding: input pixels that the
    module adds on each side, mirrored, because its network does not pad.
    """

    architecture: str
    config: tuple[tuple[str, int | str], ...]
    from_shapes: tuple[str, ...]
    assumed: tuple[str, ...]
    given: tuple[str, ...]
    bands: int
    bands_out: int
    scale: int
    padding: int = 0


class Padded(nn.Module):
    """A network without padding, with its input mirrored by as many pixels as it consumes on each side.

    (n, band, y, x) to (n, band_out, y * scale, x * scale). The edge pixel is repeated, as at the edge of a cube.
    """

    def __init__(self, network: nn.Module, consumed: int) -> None:
        super().__init__()
        self.network, self.padding = network, consumed

    def forward(self, x: Tensor) -> Tensor:
        """Run the network on the mirrored image."""
        rows, columns = (_mirrored(length, self.padding, x.device) for length in x.shape[-2:])
        fine: Tensor = self.network(x[..., rows, :][..., columns])
        return fine


def _mirrored(length: int, padding: int, device: torch.device) -> Tensor:
    places = torch.arange(-padding, length + padding, device=device) % (2 * length)
    return torch.minimum(places, 2 * length - 1 - places)


def build_from(
    state_dict: Mapping[str, Any], architectures: tuple[Architecture, ...], overrides: Arguments
) -> tuple[nn.Module, Found]:
    """Recognize, build and load a network; see `xr_sr.networks.from_state_dict`."""
    state = unwrapped(state_dict)
    if not state:
        raise WeightsFormatError("The state dict is empty; expected tensors by name, as network.state_dict() returns.")
    if all(key.startswith("module.") for key in state):  # saved from DataParallel
        state = {key.removeprefix("module."): value for key, value in state.items()}
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    for name, value in overrides.items():
        if not isinstance(value, str):
            check_whole(name, value, least=1)
    fitting = [
        (each, sizes)
        for each in architectures
        if each.detect(shapes) and (sizes := each.sizes(shapes, overrides)) is not None
    ]
    if not fitting:
        known = "; ".join(f"{_class(each)} has {', '.join(each.detect.required)}" for each in architectures)
        raise WeightsFormatError(
            f"The {len(state)} keys, such as {list(state)[:3]}, with shapes {list(shapes.values())[:3]}, are of no "
            f"known architecture. Known are: {known}. For another, pass its class to xr_sr.register_model."
        )
    found, sizes = next(((each, sizes) for each, sizes in fitting if overrides.keys() <= sizes.keys()), fitting[0])
    if unknown := sorted(overrides.keys() - sizes.keys()):
        raise OptionError(f"{_class(found)} has no arguments {unknown}; its arguments are {sorted(sizes)}.")
    config = {**sizes, **overrides}
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and replaced at once
        try:
            module = found.build(**config)
        except (TypeError, ValueError, RuntimeError) as error:
            raise OptionError(f"{_class(found)} cannot be built with {config}: {error}.") from error
    kept = {key: value for key, value in state.items() if not key.startswith(found.ignored)} if found.ignored else state
    load_strict(module, kept, f"The state dict does not fit {_class(found)} with {config}")
    consumed = int(getattr(module, "consumed", 0))
    bands, bands_out, scale = (
        int(config[name]) if isinstance(name, str) else name for name in (found.reads, found.returns, found.scale)
    )
    assumed = tuple(name for name in found.assumed if name not in overrides)
    return (Padded(module, consumed) if consumed else module).eval(), Found(
        architecture=found.name,
        config=tuple(config.items()),
        from_shapes=tuple(name for name in config if name not in {*assumed, *overrides}),
        assumed=assumed,
        given=tuple(overrides),
        bands=bands,
        bands_out=bands_out,
        scale=scale,
        padding=consumed,
    )


def unwrapped(state: object) -> dict[str, Tensor]:
    """Return a state dict, taken out of `state_dict`, `params_ema` or `params`.

    Raises WeightsFormatError for anything but tensors by name.
    """
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise WeightsFormatError("This is no state dict: expected tensors by name.")
    return dict(state)


def load_strict(network: nn.Module, state: Mapping[str, Tensor], problem: str, advice: str = "") -> None:
    """Load a state dict with no key missing or left over. Raises WeightsFormatError, which begins with `problem`."""
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        wanted = network.state_dict()
        missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
        odd = sorted(key for key in wanted.keys() & state.keys() if wanted[key].shape != state[key].shape)
        raise WeightsFormatError(
            f"{problem}: {len(missing)} keys missing {missing[:3]}, {len(extra)} unknown {extra[:3]}, {len(odd)} of "
            f"another shape {odd[:3]}.{' ' if advice else ''}{advice}"
        ) from error


def root_of(number: int, divisor: int) -> int | None:
    """Return u where number = divisor * u * u; None if there is none."""
    quotient, rest = divmod(number, divisor)
    root = math.isqrt(quotient)
    return root if rest == 0 and root > 0 and root * root == quotient else None


def counted(shapes: Shapes, pattern: str) -> int:
    """Return how many keys there are of a pattern, such as "down.{}.weight", with the numbers 0, 1, 2 and so on."""
    return next(number for number in itertools.count() if pattern.format(number) not in shapes)


def number(given: Arguments, name: str, default: int) -> int:
    """Return a size that a user sets, or its default. Raises OptionError for text."""
    return check_whole(name, given.get(name, default), least=1)


def _class(architecture: Architecture) -> str:
    return architecture.name.rpartition(":")[2]
