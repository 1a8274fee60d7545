"""Select the date and the area of cubes that a figure shows.

A frame is (top, bottom, left, right) in pixels of the finest cube. Everything is computed in these pixels, so degrees,
rotated and south-up grids need no special case.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import check_numbers, check_whole
from ..cube.crs import crs_label
from ..cube.grid import order_error, pixel_size_m
from ..cube.select import Cube, Plane, model_of, pick, warn_if_swapped
from ..cube.time import Date, check_date, nearest_place, place_of
from ..errors import GridError
from ..radiometry.convert import Radiometry
from ..radiometry.judge import read_block
from ..radiometry.resolve import Nodata, Offset, Quantification, resolve
from ..spec import Tile

Frame: TypeAlias = tuple[int, int, int, int]
ImageArray: TypeAlias = npt.NDArray[np.float32]
"""(y, x, band) reflectance, NaN at nodata."""


class RadiometryChoice(TypedDict, total=False):
    """What users pass about the numbers of a cube, as `resolve` takes it."""

    offset: Offset
    quantification: Quantification
    nodata: Nodata


class Placed(ABC):
    """A cube or map on a grid. role: LR, SR, HR or another name, for messages."""

    role: str

    @property
    @abstractmethod
    def geobox(self) -> GeoBox:
        """The grid; in pixels or unknown units without a CRS."""

    def factor(self, finest: Placed) -> int:
        """Return the number of the finest grid's pixels along one pixel of this one.

        Raises GridError if the two grids are not aligned.
        """
        here, there = self.geobox, finest.geobox
        place = ~there.affine @ here.affine
        factor: int = round(place.a)
        height, width = here.shape  # small errors of the pixel size add up over the whole grid
        off = max(abs(place.a - factor) * width, abs(place.e - factor) * height)
        off = max(off, abs(place.b) * height, abs(place.d) * width)
        off = max(off, *(abs(shift - round(shift)) for shift in (place.c, place.f)))
        if here.crs != there.crs or factor < 1 or off > 0.05:
            raise GridError(
                f"each pixel of {self.role} must contain whole pixels of {finest.role}: {self.role} has "
                f"{_grid_text(here)}, {finest.role} has {_grid_text(there)}. "
                "Reproject one to the grid of the other first: hr.odc.reproject(sr.odc.geobox)."
            )
        return factor

    def extent(self, finest: Placed) -> Frame:
        """Return the frame of the whole."""
        place = ~finest.geobox.affine @ self.geobox.affine
        height, width = self.geobox.shape
        top, left = round(place.f), round(place.c)
        return top, top + round(height * place.e), left, left + round(width * place.a)

    def window(self, frame: Frame, finest: Placed, margin: int = 0) -> tuple[slice, slice]:
        """Return the own rows and columns that cover a frame, and up to `margin` more on each side."""
        factor = self.factor(finest)
        top, _, left, _ = self.extent(finest)
        starts, ends = (frame[0] - top, frame[2] - left), (frame[1] - top, frame[3] - left)
        rows, columns = (
            slice(max(0, start // factor - margin), -(-end // factor) + margin)
            for start, end in zip(starts, ends, strict=True)
        )
        return rows, columns

    def pixel_m(self) -> tuple[float, float] | None:
        """Return height and width of a pixel on the ground in meters; None if unknown."""
        return pixel_size_m(self.geobox)

    def gsd_text(self) -> str:
        """Format the size of a pixel for a title."""
        size = self.pixel_m()
        return "" if size is None else f", {math.sqrt(size[0] * size[1]):.2g} m"

    def is_south_up(self) -> bool:
        """Return whether rows run from south to north, so that images must be flipped."""
        return self.geobox.crs is not None and self.geobox.affine.e > 0


@dataclass(frozen=True, eq=False)
class View(Placed):
    """A cube, the bands to show, and one of its dates. role: LR, SR or HR."""

    role: str
    cube: Cube
    planes: tuple[Plane, ...]
    radiometry: Radiometry
    time: str | None
    position: int = 0

    @property
    def geobox(self) -> GeoBox:
        """The grid of the planes."""
        return self.cube.geobox

    @classmethod
    def of(cls, cube: Cube, role: str, bands: Sequence[str], **radiometry: Unpack[RadiometryChoice]) -> View:
        """Return a view of a cube: its bands, radiometry and dimension of time."""
        planes = pick(cube, bands, reader=f"compare ({role})")
        coords = planes[0].array.coords
        times = (dim for dim in cube.lead if dim in coords and coords[dim].dtype.kind == "M")
        return cls(role, cube, planes, resolve(cube, planes, **radiometry), next(times, None))

    def stamps(self) -> npt.NDArray[np.datetime64]:
        """Return the dates of the cube; an empty array without a dimension of time."""
        if self.time is None:
            return np.empty(0, "datetime64[ns]")
        found: npt.NDArray[np.datetime64] = self.planes[0].array.coords[self.time].values
        return found

    def stamp(self, date: Date = None) -> np.datetime64 | None:
        """Return the time stamp of a date, by default of the first; None if the cube has no time."""
        check_date(date)
        if self.time is None:
            return scalar_date(self.planes[0].array)
        times = self.planes[0].array.coords[self.time].values
        chosen: np.datetime64 = times[place_of(date, times, holder=self.role)]
        return chosen

    def at(self, stamp: np.datetime64 | None) -> View:
        """Return the view at the date nearest to a time stamp."""
        if self.time is None or stamp is None:
            return self
        times = self.planes[0].array.coords[self.time].values
        return replace(self, position=nearest_place(times, stamp))

    def read(self, frame: Frame, finest: Placed, margin: int = 0) -> xr.DataArray:
        """Compute (band, y, x) reflectance of a frame and up to `margin` pixels around it.

        Raises RadiometryError if the values cannot be reflectance.
        """
        rows, columns = self.window(frame, finest, margin)
        lead = {dim: self.position if dim == self.time else 0 for dim in self.cube.lead}
        window = {dim: slice(place, place + 1) for dim, place in lead.items()} | {
            self.cube.y: rows,
            self.cube.x: columns,
        }
        order = (*self.cube.lead, self.cube.y, self.cube.x)
        cuts = []
        for plane in self.planes:
            array = plane.array if plane.index is None else plane.array.isel({self.cube.band_dim: plane.index})
            cuts.append(array.isel(window).transpose(*order))
        # Bare variables: as slices of one band dimension, the arrays disagree on its coordinate.
        together = xr.Dataset({number: cut.variable for number, cut in enumerate(cuts)}).compute()
        block = np.stack([together[number].values for number in range(len(cuts))], axis=-3)
        tile = Tile((rows.start, rows.stop), (columns.start, columns.stop), tuple((n, n + 1) for n in lead.values()))
        # Floats are shown as they are, whatever offset they declare.
        declared = self.radiometry.declared and self.radiometry.kind == "dn"
        values = read_block(block, replace(self.radiometry, declared=declared), tile)
        names = (self.cube.y, self.cube.x, self.cube.crs_name)
        coords = {name: cuts[0].coords[name] for name in names if name in cuts[0].coords}
        bands = [plane.band for plane in self.planes]
        shape = (len(bands), *block.shape[-2:])
        return xr.DataArray(values.reshape(shape), {"band": bands, **coords}, ("band", self.cube.y, self.cube.x))


def scalar_date(obj: xr.DataArray | xr.Dataset) -> np.datetime64 | None:
    """Return the date of an image without a dimension of time, from its coordinate `time`; None without."""
    time = obj.coords.get("time")
    if time is None or time.ndim or time.dtype.kind != "M":
        return None
    date: np.datetime64 = time.values.astype("datetime64[ns]")[()]
    return date


def check_order(coarse: View | None, fine: View | None, reference: View | None) -> None:
    """Raise GridError where SR or HR has pixels as large as those of LR, or larger: the cubes are swapped.

    Warn where a model computed HR, and none SR.
    """
    if fine is not None and reference is not None:
        warn_if_swapped(model_of(fine.cube.source), model_of(reference.cube.source))
    for view in (fine, reference):
        if coarse is None or view is None or coarse.geobox.crs != view.geobox.crs:
            continue
        if abs(view.geobox.affine.determinant) > abs(coarse.geobox.affine.determinant) * (1 - 1e-6):
            raise order_error(("lr", "sr", "hr"), view.role.lower(), view.geobox, coarse.geobox)


def choose_frame(
    finest: Placed, others: Sequence[Placed], window: tuple[float, float, float, float] | None, max_pixels: int
) -> Frame:
    """Return the frame: the shared area within the window, of larger ones the middle, in whole LR pixels."""
    check_whole("max_pixels", max_pixels, least=1)
    extents = [view.extent(finest) for view in (finest, *others)]
    if window is not None:
        left, bottom, right, top = check_numbers("window", window, 4)
        corners = [~finest.geobox.affine @ (x, y) for x in (left, right) for y in (bottom, top)]
        columns, rows = zip(*corners, strict=True)
        extents.append((math.floor(min(rows)), math.ceil(max(rows)), math.floor(min(columns)), math.ceil(max(columns))))
    coarsest = max((finest, *others), key=lambda view: view.factor(finest))
    step, anchor = coarsest.factor(finest), coarsest.extent(finest)
    frame = []
    for axis in (0, 2):
        first, last = max(extent[axis] for extent in extents), min(extent[axis + 1] for extent in extents)
        spare = max(0, last - first - max_pixels)
        first, last = first + spare // 2, last - (spare - spare // 2)
        # Only whole pixels of LR, so that all panels show exactly the same area.
        first = anchor[axis] - (anchor[axis] - first) // step * step
        last = anchor[axis] + (last - anchor[axis]) // step * step
        if last <= first:
            raise GridError("the cubes and window= do not overlap, or by less than one pixel of the coarsest cube.")
        frame += [first, last]
    return frame[0], frame[1], frame[2], frame[3]


def _grid_text(geobox: GeoBox) -> str:
    affine = geobox.affine
    return f"{crs_label(geobox.crs)}, steps of ({affine.a:g}, {affine.e:g}) from ({affine.c:.10g}, {affine.f:.10g})"
