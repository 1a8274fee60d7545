"""Simulate a sensor: degrade a fine image, harmonize radiometry, mix frequencies; for tests and training data."""

from __future__ import annotations

from typing import Any

from ..errors import warn_caller
from ..kernels.psf import MTF_AT_NYQUIST, gaussian_psf, kernel_psf
from .degradation import degrade, hybrid
from .displacement import displace
from .harmonization import harmonize, match_histogram
from .series import degrade_series

__all__ = [
    "MTF_AT_NYQUIST",
    "degrade",
    "degrade_series",
    "displace",
    "gaussian_psf",
    "harmonize",
    "hybrid",
    "kernel_psf",
    "match_histogram",
]


def __getattr__(name: str) -> Any:
    """Return a function by its name in an earlier release, with a FutureWarning."""
    if name == "harmonise":
        warn_caller("simulate.harmonise is now spelled harmonize; the old spelling will be removed.", FutureWarning)
        return harmonize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
