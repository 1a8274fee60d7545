"""Pairs of images whose shift is known: a real scene, moved in Fourier space, and cut."""

from __future__ import annotations

from functools import cache

import numpy as np

import xr_sr


@cache
def scene() -> np.ndarray:
    """The sample's reflectance, (band, y, x) = (4, 320, 320)."""
    return xr_sr.sample("havel")["r10m"].to_dataset().to_dataarray("band").values.astype("float64") / 10_000


@cache
def spectrum() -> np.ndarray:
    """The scene's transform: most of the work of moving it."""
    return np.fft.fft2(scene())


def fourier_moved(image: np.ndarray, dy: float, dx: float) -> np.ndarray:
    """Move the content of (..., y, x) by (dy, dx) pixels, as if it were periodic: exact for what was sampled well."""
    y, x = (np.fft.fftfreq(size) for size in image.shape[-2:])
    turned = (spectrum() if image is scene() else np.fft.fft2(image)) * np.exp(-2j * np.pi * (y[:, None] * dy + x * dx))
    return np.fft.ifft2(turned).real


def smoothed(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (..., y, x) by a Gaussian, as if it were periodic."""
    y, x = (np.fft.fftfreq(size) for size in image.shape[-2:])
    low = np.exp(-2 * (np.pi * sigma) ** 2 * (y[:, None] ** 2 + x**2))
    return np.fft.ifft2(np.fft.fft2(image) * low).real


def pairs(count: int, *, side: int = 96, longest: float = 3.0, noise: float = 0.0, seed: int = 0):
    """Yield (moving, reference, dy, dx): patches of the scene, the shift that lays one on the other."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        dy, dx = rng.uniform(-longest, longest, 2)
        top, left = rng.integers(12, 320 - side - 12, 2)
        cut = np.s_[:, top : top + side, left : left + side]
        reference, moving = scene()[cut], fourier_moved(scene(), -dy, -dx)[cut]
        yield (
            moving + noise * rng.standard_normal(moving.shape),
            reference + noise * rng.standard_normal(moving.shape),
            dy,
            dx,
        )
