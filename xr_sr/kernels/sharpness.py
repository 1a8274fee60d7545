"""Estimate how sharp an image is: the width of its point spread function, from its windows with the most contrast.

The windows with the most contrast hold edges, whose spectra are much alike wherever they are: their energy at high
frequencies depends on the point spread function. Each window of 8 x 8 pixels is transformed (discrete cosine
transform, of the second kind, orthonormal), its energy is divided by its sum, so that strong edges do not outweigh the
others, and averaged over rings of frequency. The width of the point spread function is linear in the logarithms of
the rings and of the ratio of noise to signal; the coefficients were fitted by least squares to aerial images seen
through Gaussians of known width, with aliasing and noise as in the modeled sensor (`python -m studies.mtf --fit`).

The fit is our own; that the spectrum falls with the width follows from the model of observation, in which it is
multiplied by the transfer function (see `psf`). Arrays and numbers only. Sums are of whole numbers, so they are the
same in any order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .psf import MTF_AT_NYQUIST, width_of
from .sensor_noise import SIGNAL_TO_NOISE, strength_of

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SIDE, STEP = 8, 2
"""Side of a window, and the pixels from one to the next."""

SHARE = 0.2
"""Part of all windows, those with the most contrast, that count."""

LEAST_WINDOWS = 100
"""Windows without which nothing is measured: an image of 30 x 30 pixels has 144."""

MOST_NOISE = -9.5
"""Logarithm of noise variance over energy of the windows that count, above which noise hides the edges."""

OTHER_NOISE = 0.0015
"""Standard deviation in reflectance that is taken for bands whose noise is not known."""

_RINGS = (0.5, 1.2, 2.1, 3.1, 4.1, 5.1, 6.1, 7.1, 8.3, 10.0)
"""Frequencies between rings, in half cycles per window."""

_BIN, _LOWEST, _BINS = 0.1, -25.0, 320
"""Bins of the logarithm of a window's energy, in squared reflectance."""

_FINE = 2.0**30
"""Sums count in this part of one."""

_COLUMNS = 2 + len(_RINGS) - 1
"""Of the sums: windows, mean reflectance, rings."""

INTERCEPT = 0.35260
COEFFICIENTS = (0.01915, 0.06049, 0.04386, 0.02640, -0.01665, -0.05236, -0.04761, -0.01799, 0.02323)
"""Of the width in pixels: of all rings but the first, and of noise over signal."""

WIDTHS = (0.36, 0.72)
"""Standard deviations in pixels between which widths are estimated: MTF of 0.53 to 0.08."""

SPREAD_COMMON, SPREAD_OWN = 0.06, 0.05
"""Standard deviations of errors of the logarithm of a width: common to all bands of a scene, and of each."""

PRIOR_COMMON, PRIOR_OWN = 0.2, 0.06
"""The same of what sensors may differ from the published widths: all bands together, and each."""


def _cosines() -> DoubleArray:
    wave = np.cos(np.pi / SIDE * np.arange(SIDE)[:, None] * (np.arange(SIDE) + 0.5))
    wave[0] /= math.sqrt(2)
    return np.asarray(wave * math.sqrt(2 / SIDE))


def _rings() -> DoubleArray:
    """Return the weights that average the energies of a window over rings: (SIDE^2, ring)."""
    radius = np.hypot(*np.mgrid[:SIDE, :SIDE]).ravel()
    inside = (radius[:, None] > _RINGS[:-1]) & (radius[:, None] <= _RINGS[1:])
    return np.asarray(inside / inside.sum(0))


_COSINES, _AVERAGE = _cosines(), _rings()


def window_sums(plane: npt.NDArray[np.floating]) -> IntArray:
    """Sum over the windows of (y, x) reflectance, by bins of their energy: (bin, column).

    Windows with NaN do not count.
    """
    sums = np.zeros((_BINS, _COLUMNS), np.int64)
    if min(plane.shape) < SIDE:
        return sums
    windows = np.lib.stride_tricks.sliding_window_view(plane, (SIDE, SIDE))[::STEP, ::STEP]
    for row in windows:  # a row at a time needs little memory
        block = row[np.isfinite(row).all((1, 2))].astype(np.float64)
        mean = block.mean((1, 2))
        energy = (_COSINES @ (block - mean[:, None, None]) @ _COSINES.T) ** 2
        total = energy.sum((1, 2))
        seen = total > 0
        shares = energy[seen].reshape(-1, SIDE**2) @ _AVERAGE / total[seen, None]
        place = np.clip((np.log(total[seen]) - _LOWEST) / _BIN, 0, _BINS - 1).astype(np.int64)
        np.add.at(sums[:, 0], place, 1)
        sums[0, 0] += np.count_nonzero(~seen)
        np.add.at(sums[:, 1], place, np.rint(np.clip(mean[seen], -1, 10) * 2**20).astype(np.int64))
        np.add.at(sums[:, 2:], place, np.rint(shares * _FINE).astype(np.int64))
    return sums


def merged(sums: Sequence[IntArray]) -> IntArray:
    """Add up sums of parts of an image."""
    return np.asarray(np.sum(sums, axis=0))


def features(sums: IntArray, band: str | None) -> tuple[DoubleArray, int]:
    """Return the logarithms of all rings but the first, of which they are parts, and of noise over signal; and a count.

    band: canonical name, whose noise is known; None for another. The count is of all windows. NaN without any.
    """
    count = int(sums[:, 0].sum())
    wanted = SHARE * count
    above = np.cumsum(sums[::-1, 0])[::-1] - sums[:, 0]  # windows of more energy
    weight = np.clip((wanted - above) / np.maximum(sums[:, 0], 1), 0, 1) * (sums[:, 0] > 0)
    chosen = weight @ sums
    if not chosen[0] > 0 or not (chosen[2:] > 0).all():
        return np.full(len(_RINGS) - 1, np.nan), count
    rings = np.log(chosen[2:])
    energy = weight @ (sums[:, 0] * np.exp(_LOWEST + _BIN * (np.arange(_BINS) + 0.5))) / chosen[0]
    known = band in SIGNAL_TO_NOISE
    noise = float(strength_of(str(band))(np.asarray(chosen[1] / 2**20 / chosen[0]))) if known else OTHER_NOISE
    return np.append(rings[1:] - rings[0], math.log(noise**2 / energy)), count


@dataclass(frozen=True)
class Sharpness:
    """What was measured of bands: MTF at Nyquist and its standard deviation, as a sensor would have both.

    raw: of the image alone, before the published value came in; NaN where `reason` says why nothing was measured.
    """

    mtf: DoubleArray
    std: DoubleArray
    raw: DoubleArray
    windows: IntArray
    reason: tuple[str, ...]


def sharpness(sums: Sequence[IntArray], bands: Sequence[str | None], *, shrink: bool = True) -> Sharpness:
    """Estimate the MTF at Nyquist of bands from the sums of their windows.

    shrink: weigh each estimate with the published value of its band, by the spread of both (the posterior mean of
    normal distributions): the logarithm of the width over the published one is a common factor of all bands plus one
    of each, and is measured with an error common to all, which the scene makes, plus one of each.
    """
    raw, windows, reasons = np.full(len(bands), np.nan), np.zeros(len(bands), np.int64), []
    for n, (each, band) in enumerate(zip(sums, bands, strict=True)):
        found, windows[n] = features(each, band)
        reason = ""
        if windows[n] < LEAST_WINDOWS:
            reason = f"{windows[n]} windows of valid pixels, fewer than {LEAST_WINDOWS}"
        elif not np.isfinite(found).all() or found[-1] > MOST_NOISE:
            reason = "too little contrast: the noise hides edges"
        else:
            raw[n] = np.clip(INTERCEPT + found @ np.asarray(COEFFICIENTS), *WIDTHS)
        reasons.append(reason)
    measured = np.isfinite(raw)
    # Errors of places that were held out; those of few windows are larger.
    own = SPREAD_OWN**2 * (1 + 250 / np.maximum(windows, 1))
    error = SPREAD_COMMON**2 + own
    known = measured & np.array([band in MTF_AT_NYQUIST for band in bands], bool)
    log_width, spread = np.log(raw), np.sqrt(error)
    if shrink and known.any():
        there = np.flatnonzero(known)
        published = np.log([width_of(MTF_AT_NYQUIST[str(bands[int(n)])]) for n in there])
        prior = PRIOR_COMMON**2 + PRIOR_OWN**2 * np.eye(len(there))
        noise = SPREAD_COMMON**2 + np.diag(own[there])
        gain = np.linalg.solve(prior + noise, prior).T
        log_width[there] = published + gain @ (log_width[there] - published)
        spread[there] = np.sqrt(np.diag(prior - gain @ prior))
    mtf = _mtf(np.exp(log_width))
    # d mtf / d ln(width) = 2 mtf ln(mtf)
    std = np.abs(2 * mtf * np.log(mtf)) * spread
    return Sharpness(np.round(mtf, 4), np.round(std, 4), np.round(_mtf(raw), 4), windows, tuple(reasons))


def _mtf(width: DoubleArray) -> DoubleArray:
    return np.asarray(np.exp(-0.5 * (np.pi * width) ** 2))
