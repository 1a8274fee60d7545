"""Draw LR, bicubic, SR and HR of one area side by side with the same colors, and maps of their differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from ..arguments import check_choice, check_numbers, is_one_of, shown
from ..cube.select import AnyCube, recognize, title_of
from ..cube.sensors import native_ratio, other_sensor
from ..cube.time import Date
from ..errors import CubeError, OptionError, warns_once
from ..kernels.psf import MTF_AT_NYQUIST
from ..metrics.inputs import read
from ..metrics.seen import BandPsf, NyquistMtf, ObservationOperator, check_operator, seen_again
from ..optional import require
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..spec import CONSTRAINT_ATTR, SEEN_BY, stated
from .figure import Map, Panel, Stretch, draw
from .views import Frame, ImageArray, RadiometryChoice, View, check_order, choose_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


TRUE_COLOR = ("B04", "B03", "B02")
FALSE_COLOR = ("B08", "B04", "B03")
_CALLED: Mapping[tuple[str, ...], str] = {TRUE_COLOR: "true color: ", FALSE_COLOR: "false color: "}

BICUBIC_REACH = 4
"""Margin of the frame in LR pixels for bicubic interpolation: its halo, and one to spare."""

PSF_REACH, WIDEST_REACH = 4, 13
"""Margin of the frame in a band's own pixels for its point spread function, a Gaussian that is cut at four deviations:
Sentinel-2's of at most 0.56 pixels, and the widest that is accepted, of 3 pixels."""


@warns_once
def compare(
    lr: AnyCube | None = None,
    sr: AnyCube | None = None,
    hr: AnyCube | None = None,
    *,
    bands: Sequence[str] | None = None,
    date: Date = None,
    window: tuple[float, float, float, float] | None = None,
    max_pixels: int = 512,
    difference: Literal["consistency", "error"] | None = None,
    operator: Literal["auto", "psf", "block"] = "auto",
    mtf: NyquistMtf = None,
    psf: BandPsf = None,
    percentiles: tuple[float, float] = (2.0, 98.0),
    limits: tuple[float, float] | None = None,
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
) -> Figure:
    """Draw LR, bicubic, SR and HR side by side: the same area, with one stretch of colors.

    lr: the cube that SR was computed from (DN or reflectance), shown as it is and by bicubic interpolation; None for
        none. sr: what `upscale` returned. hr: a reference image on a grid aligned with that of SR, as fine or coarser.
    bands: three for red, green and blue, or one for gray; by default true color where the cube has it.
    date: a time stamp (the nearest date is used) or an index; the first by default. It applies to lr and hr too.
    window: (left, bottom, right, top) in the unit of the CRS. max_pixels: longest side in pixels of sr; of larger areas
        the middle is shown.
    difference: a second row of maps; "consistency": seen again at the pixels of lr, minus lr; "error": minus hr.
    operator: of "consistency", "psf": through each band's point spread function, at its own pixels, as in
        `metrics.consistency`, which describes mtf and psf; "block": the mean over each pixel of lr, by which the right
        image differs from lr; "auto": "psf" where it is known of all bands shown, else "block". The title says which.
    percentiles: of the first panel, per band, drawn black and white. limits: reflectance of black and white, used
        instead. offset, quantification, nodata: of lr, as in `upscale`.

    Returns a matplotlib Figure: `figure.savefig("compare.png", dpi=300)`. Computes only the window.
    Raises CubeError if bands are not shared or no pixel is valid; GridError if the grids are not aligned, or the pixels
    of sr or hr are not smaller than those of lr; MissingLibraryError without matplotlib.
    """
    check_choice("operator", operator, ("auto", "psf", "block"))
    chosen_operator = check_operator("block" if operator == "block" else "psf", mtf, psf)
    if difference != "consistency" and (operator != "auto" or mtf is not None or psf is not None):
        raise OptionError("operator=, mtf=, psf=: of difference='consistency'. Leave them out, or pass that too.")
    if sr is None:
        raise OptionError("compare needs sr=; the order is (lr, sr, hr). To draw SR alone: compare(sr=cube).")
    if isinstance(sr, Mapping) and not isinstance(sr, xr.Dataset | xr.DataTree):
        raise CubeError("sr= is a dictionary; compare draws one result. Pass one: compare(lr, sr[name]).")
    require("matplotlib", extra="viz")
    known = is_one_of(difference, ("consistency", "error", None))
    if not known or {"consistency": lr, "error": hr, None: sr}.get(difference) is None:
        raise OptionError(
            f"difference={difference!r}: expected 'consistency', which needs lr=, 'error', which needs hr=, or None."
        )
    radiometry: RadiometryChoice = {"offset": offset, "quantification": quantification, "nodata": nodata}
    cube = recognize(sr)
    name = title_of(sr) + (", measured" if _is_measured(sr) else "")
    chosen = choose_bands(cube.available, bands)
    fine = View.of(cube, "SR", chosen)
    stamp = fine.stamp(date)
    fine = fine.at(stamp)
    coarse = None if lr is None else View.of(recognize(lr), "LR", chosen, **radiometry).at(stamp)
    reference = None if hr is None else View.of(recognize(hr), "HR", chosen).at(stamp)
    check_order(coarse, fine, reference)
    frame = choose_frame(fine, [view for view in (coarse, reference) if view is not None], window, max_pixels)

    panels = [Panel(name + fine.gsd_text(), image_of(fine.read(frame, fine)))]
    seen: list[Map | None] = []
    if coarse is not None and difference == "consistency":
        found = operator_for(coarse, chosen_operator, strict=operator == "psf")
        seen = _seen_minus_lr(frame, coarse, fine, found, bicubic=name.casefold() != "bicubic")
    if coarse is not None:
        factor = coarse.factor(fine)
        wide = coarse.read(frame, fine, margin=BICUBIC_REACH)
        own = Panel("LR" + coarse.gsd_text(), image_of(inner_of(wide, frame, coarse, fine, 1)), factor)
        if name.casefold() != "bicubic":
            panels.insert(0, Panel("bicubic" + fine.gsd_text(), image_of(bicubic_of(wide, frame, coarse, fine))))
        panels.insert(0, own)
    if reference is not None:
        panels.append(
            Panel(
                "HR" + reference.gsd_text(),
                image_of(reference.read(frame, fine)),
                reference.factor(fine),
                is_reference=True,
            )
        )

    stretch = stretch_of(panels[0].image, percentiles, limits)
    maps = _differences(panels) if difference == "error" else {n: one for n, one in enumerate(seen) if one is not None}
    return draw(panels, maps, stretch, note_of(chosen, stamp, stretch), fine)


def _is_measured(obj: AnyCube) -> bool:
    """Return whether a result was made to agree with what was measured, by its attributes or those of its bands."""
    holders = [obj, *(() if isinstance(obj, xr.DataArray) else obj.data_vars.values())]
    return any("measured" in str(stated(each.attrs, CONSTRAINT_ATTR)).split(SEEN_BY)[0] for each in holders)


def choose_bands(available: Sequence[str], bands: Sequence[str] | None) -> tuple[str, ...]:
    """Return the bands to show: the requested ones, else true color, false color or the first band."""
    if bands is not None:
        if not isinstance(bands, list | tuple) or len(bands) not in (1, 3):
            raise OptionError(f"bands={bands!r}: expected a list of one band for gray, or three for red, green, blue.")
        return tuple(bands)
    found = (colors for colors in (TRUE_COLOR, FALSE_COLOR) if set(colors) <= set(available))
    return next(found, tuple(available[:1]))


def image_of(values: xr.DataArray) -> ImageArray:
    """Convert (band, y, x) to (y, x, band)."""
    image: ImageArray = np.moveaxis(np.asarray(values.values, dtype="float32"), 0, -1)
    return image


def inner_of(wide: xr.DataArray, frame: Frame, coarse: View, fine: View, scale: int) -> xr.DataArray:
    """Crop LR that was read with a margin, or upscaled `scale` times, to the frame."""
    factor = coarse.factor(fine)
    top, _, left, _ = coarse.extent(fine)
    # The margin is smaller where the cube ends.
    above = min(BICUBIC_REACH, (frame[0] - top) // factor) * scale
    beside = min(BICUBIC_REACH, (frame[2] - left) // factor) * scale
    height, width = (frame[1] - frame[0]) * scale // factor, (frame[3] - frame[2]) * scale // factor
    return wide[:, above : above + height, beside : beside + width]


def bicubic_of(wide: xr.DataArray, frame: Frame, coarse: View, fine: View) -> xr.DataArray:
    """Interpolate LR to the pixels of SR."""
    from ..pipeline.api import upscale

    factor = coarse.factor(fine)
    finer = upscale(wide, "bicubic", scale=factor, constraint="none", offset=0, quantification=1)
    return inner_of(finer, frame, coarse, fine, factor)


def check_percentiles(percentiles: tuple[float, float]) -> tuple[float, ...]:
    """Return two percentiles; raises OptionError unless they are numbers from 0 to 100, the smaller one first."""
    low, high = check_numbers("percentiles", percentiles, 2)
    if not 0 <= low < high <= 100:
        raise OptionError(f"percentiles={shown(percentiles)}: expected two from 0 to 100, the smaller one first.")
    return low, high


def stretch_of(image: ImageArray, percentiles: tuple[float, float], limits: tuple[float, float] | None) -> Stretch:
    """Return the reflectance of black and of white, band by band."""
    count = image.shape[-1]
    if limits is not None:
        black, white = check_numbers("limits", limits, 2)
        return np.full(count, black), np.full(count, white)
    valid = image[np.isfinite(image).all(axis=-1)]
    if not valid.size:
        raise CubeError("there is no valid pixel in the window. Choose another date= or window=.")
    low, high = np.percentile(valid, check_percentiles(percentiles), axis=0)
    return low, np.maximum(high, low + 1e-4)


def _differences(panels: Sequence[Panel]) -> dict[int, Map]:
    """Return the maps of differences from HR, the last panel, by the index of the panel above them."""
    reference = panels[-1]
    height, width, bands = reference.image.shape
    maps = {}
    for number, panel in enumerate(panels[:-1]):
        if panel.factor == 1:
            blocks = panel.image.reshape(height, reference.factor, width, reference.factor, bands)
            maps[number] = _map("minus HR", blocks.mean(axis=(1, 3)) - reference.image, reference.factor)
    return maps


def _map(label: str, off: ImageArray, factor: int) -> Map:
    """Return the map of a difference (y, x, band), with its rms in the title."""
    rms = float(np.sqrt(np.nanmean(off**2))) if np.isfinite(off).any() else math.nan
    return Map(f"{label}: rms {rms:.4f}", off.mean(axis=-1), factor)


def operator_for(coarse: View, chosen: ObservationOperator, *, strict: bool) -> ObservationOperator:
    """Return how SR is brought to the pixels of LR: the mean over a pixel where no PSF is known of a band.

    strict: raise OptionError there.
    """
    if chosen.kind == "block" or chosen.psf is not None or chosen.mtf is not None or strict:
        return chosen
    unknown = other_sensor(coarse.cube.source, coarse.cube) or any(
        plane.band not in MTF_AT_NYQUIST for plane in coarse.planes
    )
    return ObservationOperator("block") if unknown else chosen


def _seen_minus_lr(
    frame: Frame, coarse: View, fine: View, operator: ObservationOperator, *, bicubic: bool
) -> list[Map | None]:
    """Return maps of SR, and of bicubic interpolation if asked for, as the sensor sees them minus LR; None for LR.

    A point spread function reaches beyond the frame, so a wider one is read, as far as both cubes go.
    """
    factor = coarse.factor(fine)
    by_psf = operator.kind == "psf"
    wide = _wider(frame, _reach(operator, coarse, factor) if by_psf else 0, factor, coarse.extent(fine),
                  fine.extent(fine))  # fmt: skip
    images = [fine.read(wide, fine)]
    if bicubic:
        images.insert(0, bicubic_of(coarse.read(wide, fine, margin=BICUBIC_REACH), wide, coarse, fine))
    lr = replace(read(coarse.read(wide, fine), "LR"), sensor=other_sensor(coarse.cube.source, coarse.cube))
    rows = slice((frame[0] - wide[0]) // factor, (frame[1] - wide[0]) // factor)
    columns = slice((frame[2] - wide[2]) // factor, (frame[3] - wide[2]) // factor)
    label = "seen by the sensor − LR" if by_psf else "averaged back − LR"
    maps: list[Map | None] = [None]
    for image in images:
        if by_psf:
            measured, again = seen_again(lr, read(image, "SR"), factor, operator)
            off = (again - measured)[0].compute()
        else:
            height, width = lr.shape
            off = image.values.reshape(-1, height, factor, width, factor).mean(axis=(2, 4)) - lr.data[0].compute()
        maps.append(_map(label, np.moveaxis(off[:, rows, columns], 0, -1), factor))
    return maps


def _reach(operator: ObservationOperator, coarse: View, factor: int) -> int:
    """Return the margin in pixels of SR that a point spread function needs, in whole pixels of LR."""
    widest = max(native_ratio(coarse.geobox, plane.band) for plane in coarse.planes)
    psfs = [*operator.psf.values()] if isinstance(operator.psf, Mapping) else [operator.psf]
    sampled = max((max(np.shape(psf)) for psf in psfs if isinstance(psf, tuple)), default=0)
    nominal = operator.psf is None and operator.mtf is None
    own = (PSF_REACH if nominal else WIDEST_REACH) * widest * factor
    return max(own, (sampled // 2 // factor + widest) * factor)


def _wider(frame: Frame, margin: int, step: int, *extents: Frame) -> Frame:
    """Return a frame that is wider by a margin, within extents, by whole pixels of LR. step: one of them."""
    spare = [
        min(margin, *((frame[side] - extent[side]) * (-1 if side % 2 else 1) for extent in extents)) // step * step
        for side in range(4)
    ]
    return frame[0] - spare[0], frame[1] + spare[1], frame[2] - spare[2], frame[3] + spare[3]


def note_of(bands: Sequence[str], stamp: np.datetime64 | None, stretch: Stretch) -> str:
    """Return a caption: the date, and the reflectance of black and white."""
    date = "" if stamp is None else f"{stamp.astype('datetime64[D]')}   "
    spans = zip(bands, *stretch, strict=True)
    ranges = ", ".join(f"{band} {low:.3f} to {high:.3f}" for band, low, high in spans)
    return f"{date}{_CALLED.get(tuple(bands), '')}reflectance {ranges}"
