"""How well the relation between bands is kept: spectral angle, ERGAS, and the quality index of each band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..arguments import check_number
from .blocks import FloatArray, Level
from .comparing import Metric, compare_images
from .inputs import Image
from .windows import Q_RADIUS, q_map


def sam(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the spectral angle in degrees, averaged over pixels: 0 where spectra differ by a factor only.

    Pixels count where every band is valid and neither spectrum is zero. With one band every angle is 0 or 180.
    Arguments as in `rmse`; the result has no dimension of bands.
    Source: Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N; by half-angles, which small angles need.
    """
    return compare_images(sr, hr, SAM, at=at, objects=objects, dims=dims)


def ergas(
    sr: Image,
    hr: Image,
    *,
    scale: float,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute ERGAS, the relative error over all bands: 100 / scale * sqrt(mean over bands of mse / mean^2).

    scale: output pixels per input pixel along an axis, 4 from 10 m to 2.5 m. Smaller is better; numbers of different
    scales are comparable by design. at: "image" or the side of patches. Else as in `rmse`.
    Source: Wald 2000, "Quality of high resolution synthesised images".
    """
    scale = check_number("scale", scale, above=0)
    return compare_images(sr, hr, ERGAS, scale=scale, at=at, objects=objects, dims=dims)


def q_index(
    sr: Image,
    hr: Image,
    *,
    at: Level = "image",
    objects: xr.DataArray | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Compute the universal image quality index, in windows of 7 x 7 pixels: -1 to 1, 1 where both are equal.

    Unlike SSIM it has no constants, so it does not depend on the range of values and judges dark water as strictly as
    bright sand. Windows beyond the scene or with NaN have no value. Arguments and result as in `rmse`.
    Source: Wang and Bovik 2002, doi:10.1109/97.995823.
    """
    return compare_images(sr, hr, Q_INDEX, at=at, objects=objects, dims=dims)


def angle(dot_parts: tuple[FloatArray, FloatArray, FloatArray]) -> FloatArray:
    """Return the angle in degrees between vectors of which dot product and squared lengths are known; NaN for zero.

    arccos loses half of the digits near 0; 2 atan2(|u - v|, |u + v|) of the unit vectors keeps them.
    """
    dot, squares, other_squares = dot_parts
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = dot / np.sqrt(squares * other_squares)
    degrees = np.degrees(2 * np.arctan2(np.sqrt(np.maximum(1 - cosine, 0)), np.sqrt(np.maximum(1 + cosine, 0))))
    return np.asarray(degrees)


def angle_map(one: FloatArray, other: FloatArray) -> FloatArray:
    """Get the spectral angle in degrees of (band, y, x) images, (y, x); NaN where a band is, or a spectrum is zero."""
    u, v = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u = u / _finite(np.sqrt(np.square(u).sum(axis=0)))
        v = v / _finite(np.sqrt(np.square(v).sum(axis=0)))
    difference, total = np.sqrt(np.square(u - v).sum(axis=0)), np.sqrt(np.square(u + v).sum(axis=0))
    return np.asarray(np.degrees(2 * np.arctan2(difference, total)))


def _finite(lengths: FloatArray) -> FloatArray:
    # A vector divided by an infinite length would be zero, and every angle with it 0 degrees.
    return np.where(np.isinf(lengths), np.nan, lengths)


def _angles(sr: FloatArray, hr: FloatArray) -> FloatArray:
    return angle_map(sr, hr)[None, None]


def _errors_and_values(sr: FloatArray, hr: FloatArray, **_: float) -> FloatArray:
    truth = hr.astype(np.float64)
    return np.stack([np.square(sr - truth), truth + 0 * sr])


def _quality(sr: FloatArray, hr: FloatArray) -> FloatArray:
    return q_map(sr, hr)[None]


def _mean(means: FloatArray, **_: float) -> FloatArray:
    return np.asarray(means[0])


def _relative(means: FloatArray, *, scale: float) -> FloatArray:
    # Bands lie along axis 1 of (time, band, object, y, x).
    ratio = (means[0] / np.square(means[1])).mean(axis=1, keepdims=True)
    return np.asarray(100 / scale * np.sqrt(ratio))


SAM = Metric("sam", "degrees", _angles, _mean, per_band=False)
ERGAS = Metric("ergas", "1", _errors_and_values, _relative, fields=2, joins=True)
Q_INDEX = Metric("q_index", "1", _quality, _mean, halo=Q_RADIUS)
