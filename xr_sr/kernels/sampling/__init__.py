"""Samplers of diffusion models, one per module, as functions of a network, a schedule and noise that is passed in.

Nothing here draws a random number or knows an image: what is sampled are tensors of any shape. `schedule` says at which
times a network is evaluated.
"""

from __future__ import annotations

from .ddim import sample_ddim
from .ddpm import sample_ddpm
from .dpm_solver import sample_dpm_solver
from .schedule import Schedule

__all__ = ["Schedule", "sample_ddim", "sample_ddpm", "sample_dpm_solver"]
