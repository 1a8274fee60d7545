"""The synthetic land as a whole: made land, then woods and water over it. A function of position and seed alone.

The plane has no edge and no size. Rivers run north to south, one in each lane of 5 km. Bands and dates are the matter
of `surfaces`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...simulate.random_field import Chance, DoubleArray, FloatArray, IntArray
from .blocks import BoolArray, LabelArray, label_of, make_land
from .surfaces import INDEX, VARIANTS

RIVER_LANE_M = 5_000.0
POND_CELL_M = 1_300.0
CROWNS_M = (6.7, 9.3)
"""Spacing of small and large crowns; the two lattices together hide that each is regular."""

HIGH_M = 1e3
"""The height of what no flood covers: roofs, paved roads and crowns."""


@dataclass(frozen=True, eq=False)
class Ground:
    """A window of land, each (y, x).

    label: surface * VARIANTS + variant. tone: relative brightness around 0. vigour: growth around 0, deviation 1.
    height_m: above the usual water level; below 0 is water.
    """

    label: LabelArray
    tone: FloatArray
    vigour: FloatArray
    height_m: FloatArray

    def flooded(self, level_m: float) -> LabelArray:
        """Return the labels at a water level, in metres above the usual one: ground below it is turbid water."""
        if level_m <= 0:
            return self.label
        covered = (self.height_m < level_m) & (self.label // VARIANTS != INDEX["clear water"])
        return np.where(covered, np.uint16(label_of("turbid water")), self.label)


def survey(seed: int, row: IntArray, column: IntArray, pixel_m: float) -> Ground:
    """Look at the land in a window of pixels of `pixel_m` metres.

    row, column: absolute pixel numbers, (y,) southward and (x,) eastward from the CRS origin; centres are sampled.
    """
    south_m, east_m = ((number + 0.5).astype("float64") * pixel_m for number in (row, column))
    relief = Chance(seed, 1).smooth_plane(south_m, east_m, 1_100.0)
    detail = Chance(seed, 2).smooth_plane(south_m, east_m, 160.0)
    vigour = Chance(seed, 3).smooth_plane(south_m, east_m, 55.0)
    made = make_land(seed, south_m, east_m)
    label, tone = made.label, made.tone

    cover = relief + np.float32(0.3) * detail + np.float32(0.1) * vigour
    wild = (cover > 1.15) & ~made.settled & ~made.fixed
    label[wild] = label_of("broadleaf forest")
    label[wild & (relief > 1.7)] = label_of("conifer")

    height_m = _valley(seed, south_m, east_m, relief, detail)
    height_m[_ponds(seed, south_m, east_m, detail) & ~made.settled] = -1.0
    water = (height_m < 0) & (label // VARIANTS != INDEX["asphalt"])
    label[water] = label_of("clear water")
    tone[water] = 0.0

    wood = (label // VARIANTS == INDEX["broadleaf forest"]) | (label // VARIANTS == INDEX["conifer"])
    if wood.any():
        canopy = np.maximum(*(_crowns(seed, south_m, east_m, spacing_m) for spacing_m in CROWNS_M))
        tone += np.where(wood, canopy + np.float32(0.06) * vigour, np.float32(0))
    height_m[made.fixed & ~water | wood] = HIGH_M
    grain = Chance(seed, 4).plane_normal(row, column)
    grain *= np.float32(0.025)
    tone += grain
    return Ground(label, tone, vigour, height_m)


def _valley(seed: int, south_m: DoubleArray, east_m: DoubleArray, relief: FloatArray, detail: FloatArray) -> FloatArray:
    """Return the height above the usual water level, (y, x) in metres: below 0 in rivers, rising over a rough floor."""
    height_m = np.empty(relief.shape, dtype="float32")
    lane = np.floor(east_m / RIVER_LANE_M).astype("int64")
    for number in range(int(lane[0]), int(lane[-1]) + 1):
        inside = slice(*np.searchsorted(lane, (number, number + 1)))
        line = np.array([number])
        wide, wide_slope = Chance(seed, 10).smooth_line(south_m, 2_100.0, line)
        narrow, narrow_slope = Chance(seed, 11).smooth_line(south_m, 640.0, line)
        breadth, _ = Chance(seed, 12).smooth_line(south_m, 900.0, line)
        # At most 2.4 * 870 m from the lane's middle, so that a river and its banks stay inside their lane.
        centre_m = (number + 0.5) * RIVER_LANE_M + 700 * wide + 170 * narrow
        slope = 700 * wide_slope + 170 * narrow_slope
        squeeze = 1 / np.sqrt(1 + slope * slope)
        half_m = np.maximum(26 + 8 * breadth, 9)
        away_m = np.abs(east_m[None, inside] - centre_m[:, None]) * squeeze[:, None] - half_m[:, None]
        height_m[:, inside] = away_m
    floor_m = np.float32(1.0) + np.float32(0.35) * relief + np.float32(0.3) * detail
    rising_m = np.maximum(floor_m, np.float32(0.05)) + height_m * np.float32(0.008)
    return np.where(height_m < 0, np.float32(-1), rising_m).astype("float32")


def _ponds(seed: int, south_m: DoubleArray, east_m: DoubleArray, detail: FloatArray) -> BoolArray:
    """Say where ponds lie: in about every third cell one, round with a wobbling shore."""
    rows, columns = np.floor(south_m / POND_CELL_M).astype("int64"), np.floor(east_m / POND_CELL_M).astype("int64")
    pond = np.zeros(detail.shape, dtype=bool)
    for row in range(int(rows[0]), int(rows[-1]) + 1):
        for column in range(int(columns[0]), int(columns[-1]) + 1):
            name = (np.array([row]), np.array([column]))
            draw, down, right, size = (float(Chance(seed, key).uniform(*name)[0]) for key in (13, 14, 15, 16))
            if draw > 0.35:
                continue
            radius_m = 22 + 95 * size * size
            tall = slice(*np.searchsorted(rows, (row, row + 1)))
            wide = slice(*np.searchsorted(columns, (column, column + 1)))
            # The middle half of a cell holds the centre: a pond with its wobble never reaches the next cell.
            south = south_m[tall] - (row + 0.25 + 0.5 * down) * POND_CELL_M
            east = east_m[wide] - (column + 0.25 + 0.5 * right) * POND_CELL_M
            square = (south * south)[:, None] + 0.7 * (east * east)[None, :]
            pond[tall, wide] = square < radius_m**2 * (1 + np.float32(0.3) * detail[tall, wide])
    return pond


def _crowns(seed: int, south_m: DoubleArray, east_m: DoubleArray, spacing_m: float) -> FloatArray:
    """Get the relative brightness of a canopy: one crown in each cell, lit from the south-east, dark gaps between."""
    row, column = np.floor(south_m / spacing_m).astype("intp"), np.floor(east_m / spacing_m).astype("intp")
    rows, columns = np.arange(row[0], row[-1] + 1), np.arange(column[0], column[-1] + 1)
    at = (row - row[0])[:, None] * columns.size + (column - column[0])[None, :]
    bits = Chance(seed, int(spacing_m * 10)).bits(rows[:, None], columns[None, :]).ravel()
    down, right, lightness = (
        ((bits >> np.uint64(shift) & np.uint64(255)).astype("float32") * np.float32(1 / 256)).take(at, mode="clip")
        for shift in (0, 8, 16)
    )
    south = (south_m / spacing_m - row).astype("float32")[:, None] - (np.float32(0.15) + np.float32(0.7) * down)
    east = (east_m / spacing_m - column).astype("float32")[None, :] - (np.float32(0.15) + np.float32(0.7) * right)
    tone: FloatArray = (
        np.float32(0.1) + np.float32(0.35) * (lightness - np.float32(0.5)) + np.float32(0.3) * (south + east)
    )
    tone -= np.float32(0.8) * (south * south + east * east)
    np.maximum(tone, np.float32(-0.4), out=tone)
    return tone
