"""Compute the filters by which other dates of the same ground improve an image that was kriged from one date.

Date t of a series shows the ground of the reference date displaced by a shift: y_t = D S_t H x + n_t, with the point
spread function H, the sampling D and white noise n of `kriging_filters`, and the same Gaussian prior of x. Joint
kriging of all dates is done in two steps, which together are the same: x_0 is kriged from the reference date y_0
alone, then

    r_t = y_t - A_t y_0,    x = x_0 + sum_t K_t r_t,    K = cov(x, r) cov(r)^-1,

where A_t y_0 is what the reference date says of date t, and r_t, the innovation, what only date t says. Without other
dates, or where their innovations are given no weight, x is x_0. Covariances are computed in the frequency domain, where
each frequency of the coarse grid joins the `scale`^2 frequencies of the fine one that sampling cannot tell apart; K is
then solved for a window of coarse pixels. Sources: as in `kriging_filters`; innovations, R. E. Kalman,
"A New Approach to Linear Filtering and Prediction Problems" (1960); frequencies that alias, R. Y. Tsai and T. S. Huang,
"Multiframe image restoration and registration" (1984).

Double precision; distances are in coarse pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from .kriging_filters import LEVELS, RADIUS, Doubles, Observation, taps_of
from .protocol import UPDATE_RADIUS

_PERIOD = 32
"""Coarse pixels after which the images repeat themselves: innovations are correlated over a few pixels alone."""

Waves = NDArray[np.complex128]


@dataclass(frozen=True)
class Series:
    """How the dates of a series were observed.

    seen: the observation that all dates share. shifts: of the content of each other date relative to the reference,
    (down, right) in coarse pixels. noise: variance of the noise of each other date, in that of the reference.
    """

    seen: Observation
    shifts: tuple[tuple[float, float], ...]
    noise: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SeriesFilters:
    """Filters of one band.

    predicting: (date, 2 RADIUS + 1, 2 RADIUS + 1), what pixels of the reference, their noise taken out, say of a pixel
    of another date. updating: (level, phase, date, n, n), n = 2 UPDATE_RADIUS + 1, the weights of innovations in each
    phase of a fine pixel (row by row), for each of LEVELS. innovation: (level, date), variance of an innovation without
    the date's own noise, as a fraction of the prior variance. variance: (level, 1 + dates, scale, scale), posterior
    variance of each phase as a fraction of the prior variance, from the reference alone, and with 1, 2, ... dates
    beside it.
    """

    predicting: Doubles
    updating: Doubles
    innovation: Doubles
    variance: Doubles


@lru_cache(maxsize=256)
def series_filters(series: Series) -> SeriesFilters:
    """Compute the filters of a series; once in a process for all pixels that share shifts and weights."""
    bank = _Bank(series)
    found = [bank.updating(level) for level in LEVELS]
    updating, variance, innovation = (np.stack(each) for each in zip(*found, strict=True))
    return SeriesFilters(bank.predicting(), updating, innovation, variance)


@dataclass(frozen=True, eq=False)
class _Covariances:
    """For each frequency (y, x): of innovations with each other (date, date), of fine pixels with them (phase, date).

    single: (phase,), posterior variance from the reference alone.
    """

    innovations: Waves
    fine: Waves
    single: Doubles


class _Bank:
    """The dates of a series at each frequency of the coarse grid."""

    def __init__(self, series: Series) -> None:
        self.series, self.scale = series, series.seen.scale
        scale, seen = self.scale, series.seen
        alias = np.arange(scale) - scale // 2
        frequency: Doubles = np.add.outer(np.fft.fftfreq(_PERIOD), alias).astype(np.float64)  # (coarse, alias)
        square = frequency**2
        power = (square[:, None, :, None] + square[None, :, None, :] + seen.outer_scale**-2) ** -seen.exponent
        passed = _transfer(seen, frequency)
        count = scale**2
        shape = (_PERIOD, _PERIOD, count)
        self.power = (power / power.sum() * _PERIOD**2).reshape(shape)
        self.rows = np.broadcast_to(frequency[:, None, :, None], power.shape).reshape(shape)
        self.columns = np.broadcast_to(frequency[None, :, None, :], power.shape).reshape(shape)
        # Content that moved by a shift shows, at a pixel, the ground that lies that much before it.
        places = -np.array([(0.0, 0.0), *series.shifts])
        self.dates = passed.reshape(shape)[:, :, None] * self._waves(places)
        inside = (np.arange(scale) - (scale - 1) / 2) / scale
        phases = np.stack([np.repeat(inside, scale), np.tile(inside, scale)], axis=-1)
        self.between = np.einsum("abtk,abk,abuk->abtu", self.dates, self.power, self.dates.conj(), optimize=True)
        self.mixed = np.einsum("abpk,abk,abtk->abpt", self._waves(phases), self.power, self.dates.conj(), optimize=True)

    def _waves(self, places: Doubles) -> Waves:
        """Return the waves of all frequencies at some places: (y, x, place, alias)."""
        turns = places[:, :1] * self.rows[:, :, None] + places[:, 1:] * self.columns[:, :, None]
        return np.asarray(np.exp(2j * np.pi * turns))

    def covariances(self, level: float) -> _Covariances:
        """Return the covariances at a ratio of noise to signal, of what the reference leaves."""
        noise = level * np.array([1.0, *self.series.noise])
        between = self.between + np.diag(noise)
        own, across = between[:, :, :1, :1], between[:, :, 1:, :1]
        innovations = between[:, :, 1:, 1:] - across * across.conj().swapaxes(-1, -2) / own
        fine = self.mixed[..., 1:] - self.mixed[..., :1] * across.conj().swapaxes(-1, -2) / own
        known = (np.abs(self.mixed[..., 0]) ** 2 / own[..., 0].real).sum((0, 1)) / _PERIOD**2
        return _Covariances(innovations, fine, 1 - known)

    def updating(self, level: float) -> tuple[Doubles, Doubles, Doubles]:
        """Return weights (phase, date, n, n), posterior variances (1 + dates, scale, scale), and of innovations."""
        found = self.covariances(level)
        between, fine = _lags(found.innovations), _lags(found.fine)
        window = np.arange(-UPDATE_RADIUS, UPDATE_RADIUS + 1)
        side = len(window)
        rows, columns = np.repeat(window, side), np.tile(window, side)
        dates, phases = between.shape[-1], self.scale**2
        apart = between[rows[:, None] - rows, columns[:, None] - columns]  # (pixel, pixel, date, date)
        matrix = apart.transpose(2, 0, 3, 1).reshape(dates * side**2, dates * side**2)
        known = fine[-rows, -columns].transpose(2, 0, 1).reshape(dates * side**2, phases)
        left, weights = [found.single], known
        if dates:
            factor = np.linalg.cholesky(matrix)
            half = _solved(factor, known)
            # Leading parts of the factor are the factors of fewer dates.
            left += [found.single - np.square(half[: count * side**2]).sum(0) for count in range(1, dates + 1)]
            weights = _solved(factor, half, transposed=True)
        shaped = weights.T.reshape(phases, dates, side, side)
        own = np.diagonal(between[0, 0]) - level * np.array(self.series.noise)
        return shaped, np.stack(left).reshape(dates + 1, self.scale, self.scale), own

    def predicting(self) -> Doubles:
        """Return the weights, with sum one, that estimate a pixel of each other date from those of the reference."""
        level = LEVELS[0]
        between = _lags(self.between)
        window = np.arange(-RADIUS, RADIUS + 1)
        side = len(window)
        rows, columns = np.repeat(window, side), np.tile(window, side)
        matrix = between[rows[:, None] - rows, columns[:, None] - columns, 0, 0] + level * np.eye(side**2)
        known = between[-rows, -columns][:, 1:, 0]
        solved = np.linalg.solve(matrix, np.column_stack([known, np.ones(side**2)]))
        free, unit = solved[:, :-1], solved[:, -1:]
        weights = free + unit * (1 - free.sum(0)) / unit.sum()
        return np.asarray(weights.T.reshape(-1, side, side))


def _transfer(seen: Observation, frequency: Doubles) -> Waves:
    """Return what the point spread function passes of each frequency: (coarse y, coarse x, alias y, alias x)."""
    taps, weights = taps_of(seen)
    offsets = (taps - (seen.scale - 1) / 2) / seen.scale
    waves = np.exp(2j * np.pi * frequency[..., None] * offsets)  # (coarse, alias, tap)
    passed = np.einsum("cat,xdt->xdca", waves, weights)  # (term, axis, coarse, alias)
    return np.asarray(np.einsum("xca,xdb->cdab", passed[:, 0], passed[:, 1]))


def _lags(spectrum: Waves) -> Doubles:
    """Return covariances by distance in coarse pixels, negative ones from the end, out of those by frequency."""
    return np.asarray(np.fft.ifft2(spectrum, axes=(0, 1)).real)


def _solved(factor: Doubles, known: Doubles, *, transposed: bool = False) -> Doubles:
    """Solve L h = b, or L' h = b, for a lower triangular L."""
    left = torch.from_numpy(factor.T if transposed else factor)
    return np.asarray(torch.linalg.solve_triangular(left, torch.from_numpy(known), upper=transposed).numpy())
