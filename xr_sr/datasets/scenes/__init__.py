"""Scenes to try things on: a small real one inside the package, and synthetic ones of any size with known truth."""

from __future__ import annotations

from .real import sample
from .synthetic import simulate_scene

__all__ = ["sample", "simulate_scene"]
