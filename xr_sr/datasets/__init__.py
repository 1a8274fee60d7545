"""Scenes to try things on, a small real one and synthetic ones of any size, and training pairs (`pairs`)."""

from __future__ import annotations

from .sample_scenes import sample
from .synthetic import simulate_scene

__all__ = ["sample", "simulate_scene"]
