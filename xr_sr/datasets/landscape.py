"""Draw the synthetic land: fields, roads, villages, yards, woods, rivers and ponds, as functions of position and seed.

The plane has no edge and no size. Blocks are cells of a grid whose lines are jittered, so each place finds its block by
one comparison per axis. What is the same for a block or parcel is drawn once in a small table. Spectra and dates are
handled in `surfaces`. No part of the land can be left out: the bundled weights were trained and measured on these
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..simulate.noise import Chance, DoubleArray, FloatArray, IntArray
from .surfaces import INDEX, VARIANTS

Entry = TypeVar("Entry", bound=np.generic)
LabelArray = npt.NDArray[np.uint16]
MaskArray = npt.NDArray[np.bool_]

RIVER_LANE_M = 5_000.0
POND_CELL_M = 1_300.0
CROWNS_M = (6.7, 9.3)
"""Spacing of small and large crowns; two lattices together hide that each is regular."""

HIGH_M = 1e3
"""Height of what no flood covers: roofs, paved roads and crowns."""

ACROSS_M, ALONG_M = 460.0, 380.0
"""Mean sides of a block along the two directions of the bent grid."""

BEND_M = 180.0
TURN = (0.9397, 0.3420)
"""Cosine and sine of the angle by which the grid is turned: 20 degrees."""

STRIPS = 16
"""At least the number of parcels of any block."""

FIELDS, WOOD, VILLAGE, YARDS = range(4)
"""Land use of a block."""

CROPS = ("winter cereal", "winter cereal", "winter rape", "maize", "sugar beet", "summer cereal", "fallow", "meadow")
WOODS = ("conifer", "conifer", "broadleaf forest")

TRAMLINE_M, TRAMLINE_SHARE = 24.0, 0.1
"""Wheel tracks in crops: their distance, and the fraction of it that is track."""


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
        """Return the labels at a water level, in meters above the usual one: land below it is turbid water."""
        if level_m <= 0:
            return self.label
        covered = (self.height_m < level_m) & (self.label // VARIANTS != INDEX["clear water"])
        return np.where(covered, np.uint16(label_of("turbid water")), self.label)


def survey(seed: int, row: IntArray, column: IntArray, pixel_m: float) -> Ground:
    """Draw the land in a window of pixels of `pixel_m` meters.

    row, column: absolute pixel numbers, (y,) southward and (x,) eastward from the CRS origin; pixel centers are
    sampled.
    """
    south_m, east_m = ((number + 0.5).astype("float64") * pixel_m for number in (row, column))
    relief = Chance(seed, 1).smooth_plane(south_m, east_m, 1_100.0)
    detail = Chance(seed, 2).smooth_plane(south_m, east_m, 160.0)
    vigour = Chance(seed, 3).smooth_plane(south_m, east_m, 55.0)
    made = make_land(seed, south_m, east_m)
    label, tone = made.label, made.tone

    cover = relief + 0.3 * detail + 0.1 * vigour
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
    grain *= 0.025
    tone += grain
    return Ground(label, tone, vigour, height_m)


def _valley(seed: int, south_m: DoubleArray, east_m: DoubleArray, relief: FloatArray, detail: FloatArray) -> FloatArray:
    """Return the height above the usual water level, (y, x) in meters: below 0 in rivers, rising away from them."""
    height_m = np.empty(relief.shape, dtype="float32")
    lane = np.floor(east_m / RIVER_LANE_M).astype("int64")
    for number in range(int(lane[0]), int(lane[-1]) + 1):
        inside = slice(*np.searchsorted(lane, (number, number + 1)))
        line = np.array([number])
        wide, wide_slope = Chance(seed, 10).smooth_line(south_m, 2_100.0, line)
        narrow, narrow_slope = Chance(seed, 11).smooth_line(south_m, 640.0, line)
        breadth, _ = Chance(seed, 12).smooth_line(south_m, 900.0, line)
        # At most 2.4 * 870 m from the middle of the lane, so that a river and its banks stay inside it.
        center_m = (number + 0.5) * RIVER_LANE_M + 700 * wide + 170 * narrow
        slope = 700 * wide_slope + 170 * narrow_slope
        squeeze = 1 / np.sqrt(1 + slope * slope)
        half_m = np.maximum(26 + 8 * breadth, 9)
        away_m = np.abs(east_m[None, inside] - center_m[:, None]) * squeeze[:, None] - half_m[:, None]
        height_m[:, inside] = away_m
    floor_m = 1.0 + 0.35 * relief + 0.3 * detail
    rising_m = np.maximum(floor_m, 0.05) + height_m * 0.008
    return np.where(height_m < 0, np.float32(-1), rising_m).astype("float32")


def _ponds(seed: int, south_m: DoubleArray, east_m: DoubleArray, detail: FloatArray) -> MaskArray:
    """Return where ponds are: one in about every third cell, round with an irregular shore."""
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
            # The center is in the middle half of the cell, so that no pond reaches the next cell.
            south = south_m[tall] - (row + 0.25 + 0.5 * down) * POND_CELL_M
            east = east_m[wide] - (column + 0.25 + 0.5 * right) * POND_CELL_M
            square = (south * south)[:, None] + 0.7 * (east * east)[None, :]
            pond[tall, wide] = square < radius_m**2 * (1 + 0.3 * detail[tall, wide])
    return pond


def _crowns(seed: int, south_m: DoubleArray, east_m: DoubleArray, spacing_m: float) -> FloatArray:
    """Return the relative brightness of a canopy: one crown per cell, lit from the south-east, with dark gaps."""
    row, column = np.floor(south_m / spacing_m).astype("intp"), np.floor(east_m / spacing_m).astype("intp")
    rows, columns = np.arange(row[0], row[-1] + 1), np.arange(column[0], column[-1] + 1)
    at = (row - row[0])[:, None] * columns.size + (column - column[0])[None, :]
    bits = Chance(seed, int(spacing_m * 10)).bits(rows[:, None], columns[None, :]).ravel()
    down, right, lightness = (
        ((bits >> np.uint64(shift) & np.uint64(255)).astype("float32") / 256).take(at, mode="clip")
        for shift in (0, 8, 16)
    )
    south = (south_m / spacing_m - row).astype("float32")[:, None] - (0.15 + 0.7 * down)
    east = (east_m / spacing_m - column).astype("float32")[None, :] - (0.15 + 0.7 * right)
    tone: FloatArray = 0.1 + 0.35 * (lightness - 0.5) + 0.3 * (south + east)
    tone -= 0.8 * (south * south + east * east)
    np.maximum(tone, -0.4, out=tone)
    return tone


@dataclass(frozen=True)
class Settlement:
    """A built-up block: plots of one size, one building each, and the ground around it."""

    plot_m: tuple[float, float]
    half_m: tuple[float, float]
    shadow_m: float
    roofs: tuple[str, str, str, str]
    grounds: tuple[str, str, str, str]


SETTLEMENTS = {
    VILLAGE: Settlement((26.0, 34.0), (4.0, 7.5), 4.0, ("tile roof", "tile roof", "tile roof", "dark roof"),
                        ("meadow", "meadow", "fallow", "broadleaf forest")),
    YARDS: Settlement((74.0, 95.0), (14.0, 28.0), 8.0, ("bright roof", "dark roof", "concrete", "bright roof"),
                      ("concrete", "gravel", "asphalt", "meadow")),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class MadeLand:
    """A window of made land, each (y, x).

    label: surface * VARIANTS + variant. tone: relative brightness around 0. settled: in a village or yard.
    fixed: paved roads and buildings.
    """

    label: LabelArray
    tone: FloatArray
    settled: MaskArray
    fixed: MaskArray


@dataclass(frozen=True, eq=False)
class _Axis:
    """Positions of pixels along one direction of a jittered grid.

    numbers: absolute numbers of the cells that may occur. cell: (y, x) position in a flat table (lane, number).
    offset_m, size_m: (y, x) distance from the cell's first edge, and the cell's extent.
    """

    numbers: IntArray
    cell: npt.NDArray[np.intp]
    offset_m: FloatArray
    size_m: FloatArray


def label_of(surface: str, variant: int = 6) -> int:
    """Return the label of a surface; variant 6 is close to mean season and brightness."""
    return INDEX[surface] * VARIANTS + variant


def make_land(seed: int, south_m: DoubleArray, east_m: DoubleArray) -> MadeLand:
    """Draw blocks, parcels, roads and buildings at positions (y,) x (x,), in meters from the CRS origin."""
    across_m, along_m = _bent_grid(seed, south_m, east_m)
    lane = _jittered(Chance(seed, 22), across_m, ACROSS_M)
    row = _jittered(Chance(seed, 23), along_m, ALONG_M, lane)
    lanes, rows = np.divmod(np.arange(lane.numbers.size * row.numbers.size), row.numbers.size)
    names = (lane.numbers[lanes], row.numbers[rows])
    use = _use(seed, *names)

    label, tone = _parcels(seed, names, use, lane, row)
    use_here = _look_up(use, row.cell)
    settled, fixed = use_here >= VILLAGE, np.zeros(label.shape, dtype=bool)
    for kind, style in SETTLEMENTS.items():
        where = np.nonzero(use_here == kind)
        if where[0].size:
            block = row.cell[where]
            places = (lane.offset_m[where], row.offset_m[where])
            label[where], tone[where], fixed[where] = _plots(seed, (names[0][block], names[1][block]), places, style)
    land = MadeLand(label, tone, settled, fixed)
    _roads(seed, names, lane, row, land)
    return land


def _bent_grid(seed: int, south_m: DoubleArray, east_m: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Return (y, x) coordinates of a grid that is turned as a whole and bent slowly."""
    cosine, sine = TURN
    bends = (Chance(seed, key).smooth_plane(south_m, east_m, 1_500.0) for key in (20, 21))
    across = (-sine * south_m)[:, None] + (cosine * east_m)[None, :] + BEND_M * next(bends)
    along = (cosine * south_m)[:, None] + (sine * east_m)[None, :] + BEND_M * next(bends)
    return across, along


def _jittered(chance: Chance, place_m: DoubleArray, mean_m: float, lane: _Axis | None = None) -> _Axis:
    """Find the cell of each place in a line of cells whose edges are jittered; each lane has a line of its own."""
    cell = np.floor(place_m * (1 / mean_m)).astype("intp")
    numbers = np.arange(int(cell.min()) - 1, int(cell.max()) + 2)
    lanes = np.zeros(1, dtype="int64") if lane is None else lane.numbers
    edges = (numbers + 0.5 * chance.uniform(lanes[:, None], numbers[None, :])) * mean_m
    sizes = np.diff(edges, append=edges[:, -1:]).astype("float32").ravel()
    edges = edges.ravel()
    cell -= numbers[0]
    if lane is not None:
        cell += lane.cell * numbers.size
    cell -= place_m < _look_up(edges, cell)
    return _Axis(numbers, cell, (place_m - _look_up(edges, cell)).astype("float32"), _look_up(sizes, cell))


def _look_up(table: npt.NDArray[Entry], index: npt.NDArray[np.intp]) -> npt.NDArray[Entry]:
    """Take entries of a flat table; "clip" never clips here, but skips the bounds check of NumPy, which is slower."""
    return table.take(index, mode="clip")


def _use(seed: int, lane: IntArray, row: IntArray) -> npt.NDArray[np.uint8]:
    quarter = Chance(seed, 24).uniform(lane // 4, row // 4) < 0.3
    draw = Chance(seed, 25).uniform(lane, row)
    village = draw < np.where(quarter, 0.34, 0.01)
    yards = ~village & (draw < np.where(quarter, 0.42, 0.015))
    wood = draw > 0.92
    use: npt.NDArray[np.uint8] = np.select([village, yards, wood], [VILLAGE, YARDS, WOOD], FIELDS).astype("uint8")
    return use


def _parcels(
    seed: int, names: tuple[IntArray, IntArray], use: npt.NDArray[np.uint8], lane: _Axis, row: _Axis
) -> tuple[LabelArray, FloatArray]:
    """Cut blocks into strips, each of one crop, with a margin of grass or hedge and wheel tracks inside."""
    draws = [Chance(seed, key).uniform(*names) for key in (26, 27, 28)]
    crosswise = (draws[0] < 0.5).astype("float32")
    strips = np.floor(2 + draws[1] ** 2 * 10).astype("float32")
    skew = draws[2] - 0.5

    strip_names = (names[0][:, None], names[1][:, None], np.arange(STRIPS)[None, :])
    bits = Chance(seed, 29).bits(*strip_names)
    variant = (bits & np.uint64(15)).astype("int64")
    crops = np.array([label_of(crop, 0) for crop in CROPS])[(bits >> np.uint64(8) & np.uint64(7)).astype("int64")]
    woods = np.array([label_of(wood, 0) for wood in WOODS])[(bits[:, :1] >> np.uint64(16)).astype("int64") % len(WOODS)]
    is_field = (use == FIELDS)[:, None]
    surfaces = np.where(is_field, crops, woods)
    labels = (surfaces + variant).astype("uint16").ravel()
    edge = (bits >> np.uint64(24) & np.uint64(7)).astype("int64")
    margin_m = np.where(is_field, np.array([0, 0, 1.3, 1.3, 2.6, 2.6, 2.6, 5.0])[edge], 0).astype("float32").ravel()
    margins = np.where(edge == 7, label_of("broadleaf forest"), label_of("meadow")).astype("uint16").ravel()
    track = (-0.14 * (is_field & (surfaces != label_of("meadow", 0)))).astype("float32").ravel()

    block = row.cell
    turn = _look_up(crosswise, block)
    share = turn * (lane.offset_m / lane.size_m) + (1 - turn) * (row.offset_m / row.size_m)
    side_m = turn * lane.size_m + (1 - turn) * row.size_m
    share += _look_up(skew, block) * share * (1 - share)
    count = _look_up(strips, block)
    place = share * count
    number = place.astype("intp")
    strip = block * STRIPS + number
    place -= number
    wheel = share * side_m * (1 / TRAMLINE_M)
    wheel -= np.floor(wheel)
    tone = _look_up(track, strip) * (wheel < TRAMLINE_SHARE)
    at_margin = place * side_m < _look_up(margin_m, strip) * count
    return np.where(at_margin, _look_up(margins, strip), _look_up(labels, strip)), tone


def _plots(
    seed: int, block: tuple[IntArray, IntArray], offset_m: tuple[FloatArray, FloatArray], style: Settlement
) -> tuple[LabelArray, FloatArray, MaskArray]:
    """Build on the pixels of settled blocks, all (pixel,): one building a plot, a street every second row of plots."""
    plot = [np.floor(offset / side).astype("int64") for offset, side in zip(offset_m, style.plot_m, strict=True)]
    bits = Chance(seed, 30).bits(*block, *plot)

    def part(position: int) -> FloatArray:
        """Take eight of the bits as a number in [0, 1)."""
        return (bits >> np.uint64(8 * position) & np.uint64(255)).astype("float32") * np.float32(1 / 256)

    smallest, largest = style.half_m
    away, half = [], []
    for axis in (0, 1):
        half.append(smallest + (largest - smallest) * part(axis))
        center = style.plot_m[axis] * (0.5 + 0.24 * (part(2 + axis) - 0.5))
        away.append(offset_m[axis] - plot[axis] * style.plot_m[axis] - center)
    stands = part(4) < 0.85
    roof = stands & (np.abs(away[0]) < half[0]) & (np.abs(away[1]) < half[1])
    shift = np.float32(style.shadow_m)
    shadow = (np.abs(away[0] + shift * np.float32(0.6)) < half[0]) & (np.abs(away[1] + shift) < half[1])
    shadow &= stands & ~roof
    street = (offset_m[1] % (2 * style.plot_m[1])) < 5.0

    roofs = np.array([label_of(name, 0) for name in style.roofs])
    grounds = np.array([label_of(name, 0) for name in style.grounds])
    variant = (bits >> np.uint64(48) & np.uint64(15)).astype("int64")
    label = grounds[(bits >> np.uint64(44) & np.uint64(3)).astype("int64")] + variant
    label[street] = label_of("asphalt")
    label[shadow] = label_of("shadow")
    label[roof] = (roofs[(bits >> np.uint64(40) & np.uint64(3)).astype("int64")] + variant)[roof]
    # The side of the roof that looks away from the sun is darker.
    tone = np.where(roof, np.where(away[1] > 0, 0.10, -0.14), 0.0)
    return label.astype("uint16"), tone.astype("float32"), roof | street


def _roads(seed: int, names: tuple[IntArray, IntArray], lane: _Axis, row: _Axis, land: MadeLand) -> None:
    """Draw, in place, the roads along the edges of blocks: paved, of gravel, or none."""
    label, tone, fixed = land.label, land.tone, land.fixed
    widest_m = 4.0
    to_side = np.minimum(lane.offset_m, lane.size_m - lane.offset_m)
    to_end = np.minimum(row.offset_m, row.size_m - row.offset_m)
    where = np.nonzero((to_side < widest_m) | (to_end < widest_m))
    if not where[0].size:
        return
    block = row.cell[where]
    lane_name, row_name = names[0][block], names[1][block]
    beside = lane.offset_m[where] > 0.5 * lane.size_m[where]
    below = row.offset_m[where] > 0.5 * row.size_m[where]
    long_road = Chance(seed, 31).uniform(lane_name + beside)
    cross_road = Chance(seed, 32).uniform(lane_name, row_name + below)
    paved, gravel = np.zeros(block.shape, dtype=bool), np.zeros(block.shape, dtype=bool)
    for distance, draw, share in ((to_side[where], long_road, 0.5), (to_end[where], cross_road, 0.3)):
        paved |= (draw < share) & (distance < 3.6)
        gravel |= (draw >= share) & (draw < share + 0.35) & (distance < 1.7)
    gravel &= ~paved & ~fixed[where]
    label[where] = np.where(paved, label_of("asphalt"), np.where(gravel, label_of("gravel"), label[where]))
    tone[where] = np.where(paved | gravel, np.float32(0), tone[where])
    fixed[where] |= paved
