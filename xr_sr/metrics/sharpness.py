"""Measure the sharpness of an image: its response to edges, and its spectrum against a sharper one's."""

from __future__ import annotations

import math

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_number, check_whole
from ..errors import GridError
from ..optional import require
from .inputs import Image, check_reference, finished, read, together
from .reduce import FloatArray, Layout, map_images

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
    require("scipy", extra="metrics")
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
    require("scipy", extra="metrics")
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
    """Fit a blurred step to the profiles across one edge; None if it is not straight, clean and isolated."""
    require("scipy", extra="metrics")
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

    def step(place: FloatArray, bottom: float, size: float, center: float, sigma: float) -> FloatArray:
        return np.asarray(bottom + size / 2 * (1 + erf((place - center) / (np.sqrt(2) * sigma))))

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


_PER_BLOCK = 64
"""Edges that one block of 512 x 512 pixels contributes at most: the strongest."""


def edge_response(image: Image, *, min_contrast: float = 0.03, min_edges: int = 5) -> xr.Dataset:
    """Measure the sharpness of an image at the straight edges that it happens to have: field borders, roofs, roads.

    image: (time?, band, y, x) reflectance, NaN is nodata. min_contrast: the least step, in reflectance, that counts as
    an edge. min_edges: with fewer of them there is no number.
    Around each edge the profile across is fitted by a step blurred with a Gaussian. Edges that are bent, short, noisy
    or near to others are left out. The number is the median.

    Returns a Dataset along time and band, lazy if the image is:
        fwhm, full width at half maximum of the line spread function, in pixels: 1.5 is sharp, 4 is plain interpolation;
        rer, relative edge response: how much of the step happens within one pixel, 0 to 1;
        mtf_nyquist, contrast left at two pixels per cycle, 0 to 1;
        edges, how many were measured.
    The first three are NaN without enough edges. Real edges are not knife edges, so this compares images of one place,
    not sensors. Source: the slanted-edge method (ISO 12233), on natural targets as in Cenci et al. 2021,
    doi:10.3390/rs13081593.
    """
    min_contrast = check_number("min_contrast", min_contrast, above=0)
    min_edges = check_whole("min_edges", min_edges, least=0)

    scene = read(image, "image")
    layout = Layout.of(*scene.shape)
    widths = map_images(
        _widths, [(layout.wider(scene.data, REACH), "tbyx")], "tbyxn", layout.one_each(), new={"n": _PER_BLOCK},
        min_contrast=float(min_contrast),
    )  # fmt: skip
    whole = widths.rechunk(dict.fromkeys((1, 2, 3, 4), -1))
    count, bands = whole.shape[:2]
    found = da.map_blocks(
        _summary, whole, chunks=((1,) * count, (bands,), (4,)), drop_axis=(2, 3), dtype=np.float64,
        min_edges=min_edges, meta=np.empty((0, 0, 0)),
    )  # fmt: skip
    units = {"fwhm": "pixels", "rer": "1", "mtf_nyquist": "1", "edges": "1"}
    made = {
        name: scene.wrap(found[..., place], ("time", "band"), name=name, attrs={"units": unit})
        for place, (name, unit) in enumerate(units.items())
    }
    return finished(xr.Dataset(made), scene)


def mtf(sr: Image, hr: Image, *, window: int = 64) -> xr.Dataset:
    """Measure how much of the detail of HR is in SR, by spatial frequency.

    sr, hr: (time?, band, y, x) reflectance on one grid. window: side in pixels of the squares whose spectra are
    averaged, each under a Hann window; squares with NaN do not count.

    Returns a Dataset along time, band and `frequency` (cycles per pixel, above 0, to 0.5), lazy if an input is:
        amplitude, ratio of the amplitudes of SR and HR: 1 where SR has as much detail, whether right or not;
        transfer, the part of it that goes with HR's detail: the modulation transfer function of SR against HR;
        coherence, 0 to 1: how much of the detail of SR is that of HR. amplitude without coherence is invention.
    NaN where no square is valid. Raises GridError for scenes smaller than a window.
    """
    window = check_whole("window", window, least=8, unit="pixels")

    fine, true = together(read(sr, "SR"), read(hr, "HR"))
    check_reference(fine, true)
    if min(fine.shape) < window:
        raise GridError(f"the scene has {fine.shape[0]} x {fine.shape[1]} pixels, less than window={window}.")
    layout = Layout.of(*fine.shape, multiple=window)
    inputs = [(layout.cut(scene.data), "tbyx") for scene in (fine, true)]
    bins = window // 2
    powers = map_images(_powers, inputs, "tbyxfk", layout.one_each(), new={"f": bins, "k": 4}, window=window)
    total = powers.sum(axis=(2, 3), split_every=16)
    sr_power, hr_power, real, imaginary = (total[..., place] for place in range(4))
    sr_power, hr_power = (da.where(power > 0, power, np.nan) for power in (sr_power, hr_power))
    cross = da.sqrt(real**2 + imaginary**2)
    made = {
        "amplitude": da.sqrt(sr_power / hr_power),
        "transfer": cross / hr_power,
        "coherence": cross**2 / (sr_power * hr_power),
    }
    frequency = xr.DataArray((np.arange(bins) + 1) / window, dims="frequency", attrs={"units": "cycles per pixel"})
    result = xr.Dataset(
        {name: fine.wrap(data, ("time", "band", "frequency"), name=name) for name, data in made.items()}
    )
    return finished(result.assign_coords(frequency=frequency), fine, true)


def _widths(block: FloatArray, *, min_contrast: float) -> FloatArray:
    """Return the widths of the edges of each band of a block, NaN after the last: (1, band, 1, 1, edge)."""
    out = np.full((block.shape[1], _PER_BLOCK), np.nan)
    for band, image in enumerate(block[0]):
        found = measure_edges(image.astype(np.float64), min_contrast, _PER_BLOCK)
        out[band, : len(found)] = found
    return out[None, :, None, None]


def _summary(widths: FloatArray, *, min_edges: int) -> FloatArray:
    """Convert standard deviations (1, band, y, x, edge) into fwhm, rer, mtf_nyquist and edges (1, band, 4)."""
    flat = widths[0].reshape(widths.shape[1], -1)
    out = np.full((len(flat), 4), np.nan)
    for band, sigmas in enumerate(flat):
        known = sigmas[np.isfinite(sigmas)]
        out[band, 3] = known.size
        if known.size >= max(1, min_edges):
            sigma = float(np.median(known))
            out[band, :3] = (
                2 * math.sqrt(2 * math.log(2)) * sigma,
                math.erf(0.5 / (math.sqrt(2) * sigma)),
                math.exp(-0.5 * (math.pi * sigma) ** 2),
            )
    return out[None]


def _powers(one: FloatArray, other: FloatArray, *, window: int) -> FloatArray:
    """Sum the spectra of the squares of a block by frequency: (1, band, 1, 1, frequency, 4)."""
    taper = np.hanning(window + 2)[1:-1]
    taper = taper[:, None] * taper
    frequency = np.hypot(np.fft.fftfreq(window)[:, None], np.fft.fftfreq(window))
    bins = window // 2
    place = np.rint(frequency * window).astype(np.intp) - 1
    place[place < 0] = bins  # the mean is no detail
    out = np.zeros((one.shape[1], bins, 4))
    height, width = one.shape[-2:]
    for y in range(0, height - window + 1, window):
        for x in range(0, width - window + 1, window):
            cut = (0, slice(None), slice(y, y + window), slice(x, x + window))
            squares = [image[cut].astype(np.float64) for image in (one, other)]
            for band, pair in enumerate(zip(*squares, strict=True)):
                if not all(np.isfinite(square).all() for square in pair):
                    continue
                u, v = (np.fft.fft2((square - square.mean()) * taper) for square in pair)
                cross = u * np.conj(v)
                fields = (np.abs(u) ** 2, np.abs(v) ** 2, cross.real, cross.imag)
                sums = [np.bincount(place.ravel(), weights=field.ravel(), minlength=bins)[:bins] for field in fields]
                out[band] += np.stack(sums, axis=-1)
    return out[None, :, None, None]
