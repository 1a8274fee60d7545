"""When a sampler evaluates its network, and how much of the image is left at these times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...arguments import check_number, check_whole
from ...errors import WeightsFormatError

NoiseAt: TypeAlias = Callable[[int], Tensor]
"""Normal noise of the shape of a latent, for each evaluation of the network, counted from 0."""

Estimate: TypeAlias = Callable[[Tensor, int], Tensor]
"""The noise that a network finds in a latent at a time."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """How noise grows with time. kept: (times,), the share of the variance that is the image's; falling, above 0.

    Raises WeightsFormatError for other numbers.
    """

    kept: NDArray[np.float64]

    def __post_init__(self) -> None:
        kept = np.asarray(self.kept, dtype=np.float64)
        if kept.ndim != 1 or not kept.size or not ((kept > 0) & (kept < 1)).all() or (np.diff(kept) >= 0).any():
            raise WeightsFormatError(
                f"The schedule of noise, alphas_cumprod, has {kept.size} numbers from {kept.max(initial=0):.3g} to "
                f"{kept.min(initial=1):.3g}; expected numbers between 0 and 1 that fall. The checkpoint is damaged, or "
                "not one of diffusion: fetch it again."
            )
        object.__setattr__(self, "kept", kept)

    @property
    def times(self) -> int:
        """Number of times."""
        return len(self.kept)

    def evenly(self, steps: int) -> list[int]:
        """Return times from the last one down, evenly spaced to 0, which is left out: round(linspace(0, last)).

        With as many steps as times it is all of them. These are the times of diffusers for DPM-Solver++.
        """
        steps = self._checked(steps)
        if steps == self.times:
            return list(range(self.times))[::-1]
        return [int(time) for time in np.linspace(0, self.times - 1, steps + 1).round()[:0:-1]]

    def leading(self, steps: int) -> list[int]:
        """Return times as DDIM has them in latent diffusion, the largest first: k * times / steps + 1, rounded down.

        Other codes take a whole stride, times // steps, and so have a time too many or beyond the end where it does not
        divide the times. Where there is no room for the one that is added, it is left out. A single step begins at the
        last time, not at 1: a latent of nothing but noise has no other.
        """
        steps = self._checked(steps)
        if steps == 1:
            return [self.times - 1]
        shift = 1 if 2 * steps <= self.times else 0
        return [place * self.times // steps + shift for place in range(steps)][::-1]

    def _checked(self, steps: int) -> int:
        check_number("steps", check_whole("steps", steps, least=1), most=self.times)
        return steps
