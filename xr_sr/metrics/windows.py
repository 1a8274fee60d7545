"""Statistics of a sliding window over two images: structural similarity and the quality index.

Arrays with context: (band, y, x), wider than the result by half a window on every side. Where a window holds a NaN,
there is no value.
"""

from __future__ import annotations

import numpy as np

from .blocks import FloatArray

SSIM_RADIUS = 5
"""Half width of the window of `ssim_map`: 11 pixels, a Gaussian of standard deviation 1.5 cut at 3.5 deviations."""

Q_RADIUS = 3
"""Half width of the window of `q_map`: 7 pixels, all of one weight."""


def ssim_map(one: FloatArray, other: FloatArray, *, peak: float = 1.0) -> FloatArray:
    """Compute the structural similarity at each pixel: -1 to 1, 1 where both are equal.

    peak: range of the values. Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, with its constants 0.01 and 0.03.
    """
    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    weights = np.exp(-0.5 * (offsets / 1.5) ** 2)
    mean_x, mean_y, var_x, var_y, covariance = _moments(one, other, weights / weights.sum())
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return np.asarray(similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))


def q_map(one: FloatArray, other: FloatArray) -> FloatArray:
    """Compute the universal image quality index at each pixel: -1 to 1, 1 where both are equal.

    Where neither image varies, the part of the index that compares means. Source: Wang and Bovik 2002,
    doi:10.1109/97.995823.
    """
    width = 2 * Q_RADIUS + 1
    mean_x, mean_y, var_x, var_y, covariance = _moments(one, other, np.full(width, 1 / width))
    squares, spread = mean_x**2 + mean_y**2, var_x + var_y
    with np.errstate(divide="ignore", invalid="ignore"):
        # Variances are differences of squares: below this they are rounding errors.
        luminance = np.where(squares > 1e-24, 2 * mean_x * mean_y / squares, 1.0)
        quality = np.where(spread > 1e-13 * (squares + 1e-12), luminance * 2 * covariance / spread, luminance)
    return np.where(np.isnan(mean_x + mean_y), np.nan, quality)


def _moments(one: FloatArray, other: FloatArray, weights: FloatArray) -> tuple[FloatArray, ...]:
    """Give means, variances and the covariance under a separable window, NaN where it is not wholly valid."""
    from scipy.ndimage import correlate1d, maximum_filter1d

    radius = len(weights) // 2
    inner = (..., slice(radius, -radius), slice(radius, -radius))
    x, y = one.astype(np.float64), other.astype(np.float64)
    valid = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(valid, x, 0.0), np.where(valid, y, 0.0)

    def smooth(image: FloatArray) -> FloatArray:
        rows = correlate1d(image, weights, axis=-2, mode="constant")
        return np.asarray(correlate1d(rows, weights, axis=-1, mode="constant"))[inner]

    mean_x, mean_y = smooth(x), smooth(y)
    var_x = np.maximum(smooth(x * x) - mean_x**2, 0.0)
    var_y = np.maximum(smooth(y * y) - mean_y**2, 0.0)
    covariance = smooth(x * y) - mean_x * mean_y
    if not valid.all():
        width = len(weights)
        rows = maximum_filter1d((~valid).astype(np.uint8), width, axis=-2, mode="constant")
        touched = maximum_filter1d(rows, width, axis=-1, mode="constant")[inner].astype(bool)
        for moment in (mean_x, mean_y, var_x, var_y, covariance):
            moment[touched] = np.nan
    return mean_x, mean_y, var_x, var_y, covariance
