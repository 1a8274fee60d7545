"""How sharp an image is: its response to edges, found in the image itself, and its spectrum against a sharper one's."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import check_number, check_whole
from ..errors import GridError
from .blocks import FloatArray, Layout, map_images
from .edges import REACH, measure_edges
from .inputs import Image, check_same_grid, finished, read, together

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
    import dask.array as da

    scene = read(image, "image")
    layout = Layout.of(*scene.shape)
    ones = Layout((1,) * len(layout.rows), (1,) * len(layout.columns))
    widths = map_images(
        _widths, [(layout.wider(scene.data, REACH), "tbyx")], "tbyxn", ones, new={"n": _PER_BLOCK},
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
    return finished(xr.Dataset(made), scene)  # type: ignore[no-any-return]


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
    import dask.array as da

    fine, true = together(read(sr, "SR"), read(hr, "HR"))
    check_same_grid(fine, true)
    if min(fine.shape) < window:
        raise GridError(f"the scene has {fine.shape[0]} x {fine.shape[1]} pixels, less than window={window}.")
    layout = Layout.of(*fine.shape, multiple=window)
    ones = Layout((1,) * len(layout.rows), (1,) * len(layout.columns))
    inputs = [(layout.cut(scene.data), "tbyx") for scene in (fine, true)]
    bins = window // 2
    powers = map_images(_powers, inputs, "tbyxfk", ones, new={"f": bins, "k": 4}, window=window)
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
    return finished(result.assign_coords(frequency=frequency), fine, true)  # type: ignore[no-any-return]


def _widths(block: FloatArray, *, min_contrast: float) -> FloatArray:
    """Return the widths of the edges of each band of a block, NaN after the last: (1, band, 1, 1, edge)."""
    out = np.full((block.shape[1], _PER_BLOCK), np.nan)
    for band, image in enumerate(block[0]):
        found = measure_edges(image.astype(np.float64), min_contrast, _PER_BLOCK)
        out[band, : len(found)] = found
    return out[None, :, None, None]


def _summary(widths: FloatArray, *, min_edges: int) -> FloatArray:
    """Turn standard deviations (1, band, y, x, edge) into fwhm, rer, mtf_nyquist and edges (1, band, 4)."""
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
                out[band] += np.stack([_ring_sums(field, place, bins) for field in fields], axis=-1)
    return out[None, :, None, None]


def _ring_sums(field: FloatArray, place: npt.NDArray[np.intp], bins: int) -> FloatArray:
    return np.bincount(place.ravel(), weights=field.ravel(), minlength=bins)[:bins].astype(np.float64)
