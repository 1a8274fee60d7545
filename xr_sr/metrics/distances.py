"""Distances between two images, for consistency, synthesis and correctness: 0 where both are equal, never negative.

Arrays only: (band, y, x) in, and means over bands per pixel out. A distance of a pixel, a patch or an image is a
formula of means over it. How opensr-test defines the same names is in `published`; the docs list the differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arguments import is_one_of
from ..errors import OptionError
from .fidelity import SSIM_RADIUS, angle, ssim_map
from .reduce import FloatArray

TINY = 1e-4
"""Reflectance below which a denominator is not trusted: one digital number."""

MTF_SIDE = 32
"""Side in pixels of the patches whose mean is the "mtf" of an image."""

MTF_LEAST = 16
"""Least side in pixels of a patch with frequencies enough for "mtf"."""


@dataclass(frozen=True)
class Distance:
    """A distance of two images.

    fields: how many means it is made of. per_pixel: two (band, y, x), wider by `halo`, to (field, y, x), NaN where a
    pixel does not count. finish: means of the fields (field, ...) to the distance (...).
    """

    name: str
    units: str
    per_pixel: Callable[[FloatArray, FloatArray], FloatArray]
    finish: Callable[[FloatArray], FloatArray]
    fields: int = 1
    halo: int = 0


def find_distance(name: str) -> Distance:
    """Return the distance of a name; raises OptionError with those that there are. "mtf" has no pixels: `mtf_patch`."""
    if not is_one_of(name, DISTANCES):
        raise OptionError(f"no distance {name!r}; there are {', '.join([*DISTANCES, 'mtf'])}.")
    return DISTANCES[name]


def mtf_patch(one: FloatArray, other: FloatArray, *, scale: int) -> float:
    """Compare the amplitudes of two patches at the frequencies that super-resolution adds.

    one, other: (band, y, x). Gives the mean over bands and frequencies f, 0.5 / scale < f < 0.5 cycles per pixel, of
    min(1, ||Y| - |X|| / |Y|); NaN where a pixel is NaN or no frequency lies in between. Source: opensr-test.
    """
    x, y = one.astype(np.float64), other.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or min(x.shape[-2:]) < MTF_LEAST:
        return float("nan")
    frequency = np.hypot(np.fft.fftfreq(x.shape[-2])[:, None], np.fft.fftfreq(x.shape[-1]))
    band = (frequency > 0.5 / scale) & (frequency < 0.5)
    if not band.any():
        return float("nan")
    amplitude_x, amplitude_y = (np.abs(np.fft.fft2(image))[..., band] for image in (x, y))
    floor = 1e-12 * y[0].size
    ratio = np.abs(amplitude_y - amplitude_x) / np.maximum(amplitude_y, floor)
    return float(np.minimum(ratio, 1.0).mean())


def _l1(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.abs(x - y).mean(axis=0)[None])


def _l2(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.square(x - y).mean(axis=0)[None])


def _products(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.stack([(x * y).sum(axis=0), np.square(x).sum(axis=0), np.square(y).sum(axis=0)])


def _divergence(x: FloatArray, y: FloatArray) -> FloatArray:
    u, v = np.maximum(x, TINY), np.maximum(y, TINY)
    return np.asarray(((u - v) * np.log(u / v)).mean(axis=0))[None]


def _relative(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(np.abs(x - y) / np.maximum(np.abs(y), TINY), 100.0).mean(axis=0)[None])


def _normalised(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray((np.abs(x - y) / np.maximum(np.abs(x) + np.abs(y), TINY)).mean(axis=0))[None]


def _dissimilar(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray((1 - ssim_map(x, y)).mean(axis=0)[None])


def _mean(means: FloatArray) -> FloatArray:
    return np.asarray(means[0])


def _short_of_100_db(means: FloatArray) -> FloatArray:
    return np.asarray(10 * np.log10(np.maximum(means[0], 1e-10) / 1e-10))


def _angle(means: FloatArray) -> FloatArray:
    # Two spectra of zeros are equal; zeros against anything else have no angle. The product of squares below 1e-150
    # would underflow, so these count as zeros too.
    one, other = (np.where(means[place] < 1e-150, 0.0, means[place]) for place in (1, 2))
    return np.where((one == 0) & (other == 0), 0.0, angle((means[0], one, other)))


DISTANCES: dict[str, Distance] = {
    distance.name: distance
    for distance in (
        Distance("l1", "1", _l1, _mean),
        Distance("l2", "1", _l2, _mean),
        Distance("sad", "degrees", _products, _angle, fields=3),
        Distance("psnr", "dB", _l2, _short_of_100_db),
        Distance("kl", "1", _divergence, _mean),
        Distance("pbias", "1", _relative, _mean),
        Distance("nd", "1", _normalised, _mean),
        Distance("ssim", "1", _dissimilar, _mean, halo=SSIM_RADIUS),
    )
}
