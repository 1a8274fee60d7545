"""Sample by DPM-Solver++ of second order, with two steps: Lu et al. 2022, arXiv:2211.01095, algorithm 2."""

from __future__ import annotations

import math

from torch import Tensor

from .schedule import Estimate, Schedule


def sample_dpm_solver(estimate: Estimate, x: Tensor, schedule: Schedule, steps: int) -> Tensor:
    """Return a latent without noise, from one of normal noise at the last time; both (n, latent, y, x).

    No noise is added. The first and the last step are of first order, and the last one ends without noise, so that it
    returns the image as the network sees it. With as many steps as there are times, rounded times would repeat one, and
    a step of no length divides by zero; `Schedule.evenly` then has each once.
    """
    times = schedule.evenly(steps)
    before: tuple[Tensor, float] | None = None  # the last step's image and logarithm of the ratio
    for place, time in enumerate(times):
        signal, spread = _amplitudes(schedule, time)
        image = (x - spread * estimate(x, time)) / signal
        if place == steps - 1:
            return image
        signal_next, spread_next = _amplitudes(schedule, times[place + 1])
        ratio, ratio_next = math.log(signal / spread), math.log(signal_next / spread_next)
        length = ratio_next - ratio
        slope = image
        if before is not None:
            slope = image + (image - before[0]) * (length / (ratio - before[1]) / 2)
        x = spread_next / spread * x - signal_next * math.expm1(-length) * slope
        before = image, ratio
    raise AssertionError("a schedule has one step or more")


def _amplitudes(schedule: Schedule, time: int) -> tuple[float, float]:
    """Return by what the image and the noise are multiplied at a time."""
    return math.sqrt(schedule.kept[time]), math.sqrt(1 - schedule.kept[time])
