"""Sample as denoising diffusion probabilistic models do: Ho, Jain and Abbeel 2020, arXiv:2006.11239."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from .schedule import Estimate, NoiseAt, Schedule


def sample_ddpm(
    estimate: Estimate, x: Tensor, noise: NoiseAt, schedule: Schedule, steps: int, *, temperature: float = 1.0
) -> Tensor:
    """Return a latent without noise, from one of normal noise at the last time; both (n, latent, y, x).

    Each step draws from the posterior of its time, with the variance of arXiv:2006.11239, formula 7, also between times
    that are several apart (Nichol and Dhariwal 2021, arXiv:2102.09672); the last one returns its mean. temperature: a
    factor of the noise. As many steps as the schedule has times are the method as published; fewer are rougher here
    than in the other samplers.
    """
    times = schedule.evenly(steps)
    left = [*(schedule.kept[time] for time in times), 1.0]
    for place, (time, (now, then)) in enumerate(zip(times, pairwise(left), strict=True)):
        image = (x - math.sqrt(1 - now) * estimate(x, time)) / math.sqrt(now)
        step = now / then
        x = (math.sqrt(then) * (1 - step) * image + math.sqrt(step) * (1 - then) * x) / (1 - now)
        deviation = temperature * math.sqrt((1 - then) / (1 - now) * (1 - step))
        if deviation > 0:
            x = x + deviation * noise(place)
    return x
