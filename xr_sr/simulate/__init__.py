"""Simulate a sensor: degrade a fine image, harmonize radiometry, mix frequencies; for tests and training data."""

from __future__ import annotations

from .degradation import degrade, hybrid
from .harmonisation import harmonise, match_histogram
from .psf import MTF_AT_NYQUIST, gaussian_psf, kernel_psf

__all__ = [
    "MTF_AT_NYQUIST",
    "degrade",
    "gaussian_psf",
    "harmonise",
    "hybrid",
    "kernel_psf",
    "match_histogram",
]
