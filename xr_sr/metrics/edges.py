"""Straight edges of one image: find the strongest, cut the profile across each, and fit a blurred step to it.

Arrays of one band only. Gives standard deviations of Gaussian blur in pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .blocks import FloatArray

REACH = 12
"""Pixels around a block that the profiles of its edges may need."""

_HALF, _ALONG, _FINE = 7.0, 4, 4
"""Half length of a profile, half length of an edge, both in pixels, and samples of a profile per pixel."""

_SPACING = 8
"""Least distance between two edges in pixels; nearer ones would measure the same pixels."""


def measure_edges(image: FloatArray, min_contrast: float, most: int) -> list[float]:
    """Measure up to `most` edges of (y, x), wider by `REACH` on every side: standard deviations in pixels.

    Only edges whose middle lies inside count, so each belongs to one block. NaN near an edge leaves it out.
    """
    from scipy.ndimage import spline_filter

    known = np.isfinite(image)
    if not known.any():
        return []
    filled = np.where(known, image, image[known].mean())
    candidates = _candidates(filled, known, min_contrast)
    if not len(candidates):
        return []
    spline = spline_filter(filled, order=3, mode="mirror")
    found: list[float] = []
    taken = np.zeros(image.shape, dtype=bool)
    for row, column, direction_y, direction_x in candidates:
        y, x = int(row), int(column)
        if taken[y, x]:
            continue
        sigma = _width(spline, known, (row, column), (direction_y, direction_x), min_contrast)
        if sigma is not None:
            found.append(sigma)
            taken[max(0, y - _SPACING) : y + _SPACING + 1, max(0, x - _SPACING) : x + _SPACING + 1] = True
            if len(found) == most:
                break
    return found


def _candidates(image: FloatArray, known: npt.NDArray[np.bool_], min_contrast: float) -> FloatArray:
    """Find ridges of the gradient, strongest first: rows of y, x and the unit vector uphill."""
    from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

    down, along = (gaussian_filter(image, 1.5, order=order, mode="nearest") for order in ((1, 0), (0, 1)))
    slope = np.hypot(down, along)
    # A step of contrast c under the filter and a blur of 2 pixels has a slope of c / (2.5 sqrt(2 pi)).
    ridge = (slope == maximum_filter(slope, 3)) & (slope > min_contrast / (2.5 * 2.5))
    ridge &= minimum_filter(known, 2 * REACH + 1, mode="constant", cval=False)
    ridge[:REACH], ridge[-REACH:], ridge[:, :REACH], ridge[:, -REACH:] = False, False, False, False
    rows, columns = np.nonzero(ridge)
    strength = slope[rows, columns]
    order = np.lexsort((columns, rows, -strength))[:2000]
    rows, columns = rows[order], columns[order]
    length = slope[rows, columns]
    return np.stack([rows, columns, down[rows, columns] / length, along[rows, columns] / length], axis=1)


def _width(
    spline: FloatArray,
    known: npt.NDArray[np.bool_],
    middle: tuple[float, float],
    uphill: tuple[float, float],
    min_contrast: float,
) -> float | None:
    """Fit a blurred step to the profiles across one edge; None if it is not a straight, clean, lonely one."""
    from scipy.ndimage import map_coordinates
    from scipy.optimize import curve_fit
    from scipy.special import erf

    across = np.arange(-_HALF, _HALF + 0.5 / _FINE, 1 / _FINE)
    along = np.arange(-_ALONG, _ALONG + 1.0)[:, None]
    y = middle[0] + across * uphill[0] - along * uphill[1]
    x = middle[1] + across * uphill[1] + along * uphill[0]
    profiles = map_coordinates(spline, [y, x], order=3, mode="mirror", prefilter=False)
    ends = 2 * _FINE
    low, high = profiles[:, :ends], profiles[:, -ends:]
    contrast = high.mean() - low.mean()
    if contrast < min_contrast or max(low.std(), high.std()) > 0.1 * contrast:
        return None

    # Where each profile crosses the middle; on a straight edge these places lie on a line.
    level = (low.mean() + high.mean()) / 2
    crossings = np.array([_crossing(across, profile - level) for profile in profiles])
    if not np.isfinite(crossings).all():
        return None
    slant, start = np.polyfit(along[:, 0], crossings, 1)
    if np.abs(crossings - start - slant * along[:, 0]).max() > 0.25 or abs(slant) > 0.5:
        return None
    distance = (across - start - slant * along) / np.hypot(1, slant)

    def step(place: FloatArray, bottom: float, size: float, centre: float, sigma: float) -> FloatArray:
        return np.asarray(bottom + size / 2 * (1 + erf((place - centre) / (np.sqrt(2) * sigma))))

    flat, values = distance.ravel(), profiles.ravel()
    try:
        fitted, _ = curve_fit(step, flat, values, p0=(low.mean(), contrast, 0.0, 1.0), maxfev=200)
    except RuntimeError:  # no convergence: not a step
        return None
    sigma = abs(float(fitted[3]))
    misfit = float(np.sqrt(np.mean((step(flat, *fitted) - values) ** 2)))
    good = 0.2 < sigma < _HALF / 2 and misfit < 0.04 * contrast and abs(fitted[2]) < 1
    return sigma if good else None


def _crossing(places: FloatArray, values: FloatArray) -> float:
    """Find where a profile rises through 0, nearest to its middle; NaN if it does not."""
    rises = np.flatnonzero((values[:-1] <= 0) & (values[1:] > 0))
    if not rises.size:
        return float("nan")
    at = rises[np.argmin(np.abs(places[rises]))]
    return float(places[at] - values[at] * (places[at + 1] - places[at]) / (values[at + 1] - values[at]))
