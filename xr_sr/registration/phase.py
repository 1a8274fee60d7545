"""Phase correlation of two images: the shift at the peak of their whitened cross-correlation.

The plain form, as the field's tools have it; windows, gradients and the quality of a peak are handled in `estimate`.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_whole

FloatArray: TypeAlias = NDArray[np.floating[Any]]
ComplexArray: TypeAlias = NDArray[np.complexfloating[Any, Any]]


def phase_correlation_shift(moving: FloatArray, reference: FloatArray, *, upsample: int = 50) -> tuple[float, float]:
    """Find the (dy, dx) in pixels by which `moving` must be moved to lie on `reference`.

    moving, reference: (y, x), same shape, free of NaN; float32 stays float32 in the transforms. upsample: the shift is
    a multiple of 1 / upsample pixel; 1: whole pixels. Images are taken as periodic; shifts lie within half their size.
    Gives the numbers of `skimage.registration.phase_cross_correlation(reference, moving, upsample_factor=upsample)`.
    Raises ValueError for other shapes or NaN, OptionError (a ValueError) for upsample.
    Source: Kuglin and Hines 1975 (phase correlation); Guizar-Sicairos et al. 2008, doi:10.1364/OL.33.000156 (peak by a
    matrix-multiply DFT).
    """
    if moving.ndim != 2 or moving.shape != reference.shape:
        raise ValueError(
            f"moving and reference must be (y, x) arrays of one shape; they are {moving.shape} and {reference.shape}. "
            "Average the bands, and cut both to the same pixels."
        )
    check_whole("upsample", upsample, least=1, unit="steps per pixel")
    if not (np.isfinite(moving).all() and np.isfinite(reference).all()):
        raise ValueError("moving and reference must be finite; they hold NaN or infinity. Fill it first.")
    spectrum = whitened(cross_spectrum(moving, reference))
    peak = whole_pixel_peak(spectrum)
    if upsample > 1:
        peak = refined_peak(spectrum, peak, upsample)
    # An axis of one pixel holds no shift
    dy, dx = (0.0 if size == 1 else shift for size, shift in zip(moving.shape, peak, strict=True))
    return dy, dx


def cross_spectrum(moving: FloatArray, reference: FloatArray) -> ComplexArray:
    """Multiply the reference's spectrum by the conjugate of the moving one's; phases then rise with the shift."""
    from scipy import fft

    return np.asarray(fft.fftn(reference) * np.conj(fft.fftn(moving)))


def whitened(spectrum: ComplexArray) -> ComplexArray:
    """Give every frequency the weight 1, but those whose power is below 100 rounding errors."""
    floor = 100 * np.finfo(spectrum.real.dtype).eps
    return np.asarray(spectrum / np.maximum(np.abs(spectrum), floor))


def whole_pixel_peak(spectrum: ComplexArray) -> tuple[float, float]:
    """Find the largest correlation among whole-pixel shifts, as (dy, dx) within half the image's size."""
    from scipy import fft

    correlation = np.abs(fft.ifftn(spectrum))
    row, column = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    height, width = correlation.shape
    # Indices beyond the middle stand for negative shifts
    dy = row - height if row > height // 2 else row
    dx = column - width if column > width // 2 else column
    return float(dy), float(dx)


def refined_peak(spectrum: ComplexArray, peak: tuple[float, float], upsample: int) -> tuple[float, float]:
    """Find the largest correlation among shifts of 1 / upsample pixel, within 0.75 pixel of a first guess."""
    steps = math.ceil(1.5 * upsample)
    offsets = (np.arange(steps) - steps // 2) / upsample
    rows, columns = peak[0] + offsets, peak[1] + offsets
    correlation = np.abs(correlation_at(spectrum, rows, columns))
    row, column = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    return float(rows[row]), float(columns[column])


def correlation_at(spectrum: ComplexArray, dy: NDArray[np.float64], dx: NDArray[np.float64]) -> ComplexArray:
    """Evaluate the cross-correlation, times the number of pixels, at the shifts dy x dx: (dy, dx)."""
    height, width = spectrum.shape
    down = np.exp(2j * np.pi * np.outer(dy, np.fft.fftfreq(height))).astype(spectrum.dtype)
    along = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(width), dx)).astype(spectrum.dtype)
    return np.asarray(down @ spectrum @ along)
