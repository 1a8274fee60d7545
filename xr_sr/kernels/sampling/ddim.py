"""Sample as denoising diffusion implicit models do: Song, Meng and Ermon 2021, arXiv:2010.02502."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from .schedule import Estimate, NoiseAt, Schedule


def sample_ddim(
    estimate: Estimate,
    x: Tensor,
    noise: NoiseAt,
    schedule: Schedule,
    steps: int,
    *,
    eta: float = 0.0,
    temperature: float = 1.0,
) -> Tensor:
    """Return a latent without noise, from one of normal noise at the last time; both (n, latent, y, x).

    eta: of the noise that is added at each step, 0 for none, 1 for as much as DDPM adds. temperature: a factor of it.
    The last step ends at the noise of the first time, as in latent diffusion, and adds noise too. Where the last time
    is the first one, it ends without noise. Where the times are those of opensr-model (steps that divide 1000, from 2
    to 500) values are too; for its faults with others see `Schedule.leading`.
    """
    times = schedule.leading(steps)
    left = [*(schedule.kept[time] for time in times), schedule.kept[0] if times[-1] else 1.0]
    for place, (time, (now, then)) in enumerate(zip(times, pairwise(left), strict=True)):
        found = estimate(x, time)
        sigma = eta * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
        image = (x - math.sqrt(1 - now) * found) / math.sqrt(now)
        x = math.sqrt(then) * image + math.sqrt(max(0.0, 1 - then - sigma**2)) * found
        if sigma * temperature > 0:
            x = x + sigma * temperature * noise(place)
    return x
