"""Frozen records that travel between the rooms: what a model is, where a tile lies, what made a result.

Data only: nothing here reads a file or an array, and every record can be pickled, hashed and tokenised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

Option: TypeAlias = bool | int | float | str
"""A value that an option of a model may have."""


@dataclass(frozen=True)
class Normalisation:
    """What a network wants to see: `(reflectance - shift) / scale`; its output is turned back, each band its own way.

    shift, scale: in reflectance, one number for all bands, or a tuple with one for each band that the network reads.
    """

    shift: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0


@dataclass(frozen=True)
class WeightsFile:
    """One file of weights, known by its hash.

    home: "hub": `path` is below a folder of weights and below the hub's base URL, with "/" between the parts;
    "package": it is part of this package, in `xr_sr/catalog`; "user": it is the user's, and `path` is where it lies on
    the machine that registered it.
    """

    path: str
    sha256: str
    size: int
    home: Literal["hub", "package", "user"] = "hub"


@dataclass(frozen=True)
class LowPass:
    """A Gaussian low-pass in output pixels: what the constraint keeps of the input.

    sigma: standard deviation in output pixels. radius: half the support, in output pixels; beyond it weights are zero.
    The vendor's mask exp(-d^2 / (2 s^2)) on N frequency bins is sigma = N / (2 pi s) pixels in space.
    """

    sigma: float
    radius: int

    def __str__(self) -> str:
        return f"sigma {self.sigma:.4f} px"


@dataclass(frozen=True)
class RadialSigmoid:
    """A low-pass whose gain falls with the distance f in frequency: 1 / (1 + exp((f - cutoff) / sharpness)).

    cutoff, sharpness: in cycles per output pixel; the vendor's mask with d bins of N is d / N. radius: half the support
    in output pixels. rank: in space it is no product of two one-dimensional filters, but nearly the sum of so many.
    """

    cutoff: float
    sharpness: float
    radius: int
    rank: int

    def __str__(self) -> str:
        return f"sigmoid at {self.cutoff:.4f} cycles per px"


@dataclass(frozen=True)
class ModelSpec:
    """All that is known of a model before its weights are read.

    name: full name, "family" or "family.variant". architecture: "module:attribute" of torch; "" for interpolation.
    bands: canonical names the model reads, in its own order; () reads any bands, each by itself.
    bands_out: what it gives, in its own order; () means the bands it was given.
    scale: output pixels per input pixel along an axis. halo: input pixels of context that an output pixel depends on,
    that of its constraint included. window: instead of a halo, the side in input pixels of the fixed windows that a
    model must be shown, where its output depends on all that it sees; overlap: pixels that neighbouring windows share.
    config: arguments of the architecture. options: what a user may set, with defaults.
    gsd_m: ground size in metres of the input pixels it was trained on; None where any size is right.
    level: product level of the training data, such as "L2A".
    non_negative: the network's output is clamped at zero before the constraint. low_pass: its own constraint.
    coarse: those of `bands` that the sensor has on pixels twice as wide; blocks hold them by linear interpolation.
    fuses: it brings bands of wider pixels, each by itself, to the grid of finer ones, and no further; `halo` is then
    that for pixels twice as wide. Guided by the finer ones where it has an option `guide`.
    parts: of a model made of several, the models by their part in it: "x2" brings the coarse bands to the input's
    grid, "fine" the other bands to the output's, "x4" then the coarse ones. Only "x2" where the scale is 1.
    constrained: the network holds its constraint inside itself, so that none is added and none can be taken off.
    selects: bands that are not wanted cost nothing: the network's `folded` is told by `gives` the places of the others,
    ascending; `bands_out` is then in the order of `bands`.
    fine_alone: of one that selects: bands that are not coarse need none of these, so where they alone are wanted the
    coarse ones are not read, and the folded network is not shown them.
    """

    name: str
    summary: str
    architecture: str = ""
    bands: tuple[str, ...] = ()
    bands_out: tuple[str, ...] = ()
    scale: int = 4
    halo: int = 0
    window: int = 0
    overlap: int = 0
    gsd_m: float | None = 10.0
    level: str = ""
    config: tuple[tuple[str, Option], ...] = ()
    options: tuple[tuple[str, Option], ...] = ()
    normalisation: Normalisation = field(default_factory=Normalisation)
    non_negative: bool = False
    low_pass: LowPass | RadialSigmoid | None = None
    constrained: bool = False
    selects: bool = False
    fine_alone: bool = False
    weights: WeightsFile | None = None
    licence: str = ""
    citation: str = ""
    url: str = ""
    coarse: tuple[str, ...] = ()
    fuses: bool = False
    parts: tuple[tuple[str, ModelSpec], ...] = ()

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        """The files of weights of the model and of its parts."""
        own = (self.weights,) if self.weights else ()
        return (*own, *(file for _, part in self.parts for file in part.files))

    @property
    def guided(self) -> bool:
        """Whether it fuses with the detail of finer bands."""
        return self.fuses and "guide" in dict(self.options)

    @property
    def family(self) -> str:
        """The part of the name before the first dot."""
        return self.name.split(".", 1)[0]

    def digest(self) -> str:
        """Give 12 hex digits that stand for all of the record that values depend on, but for the weights."""
        parts = (self.architecture, self.bands, self.bands_out, self.scale, self.window, self.overlap, self.config)
        more = (self.normalisation, self.non_negative, self.low_pass)
        return hashlib.sha256(repr((parts, more)).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class ReceptiveField:
    """How far around itself an output pixel depends on the input, in input pixels on each side, as measured.

    top: the rows above, the pixel's own row not counted; and so on.
    """

    top: int
    bottom: int
    left: int
    right: int

    @property
    def halo(self) -> int:
        """The largest of the four: the context that a network needs on every side."""
        return max(self.top, self.bottom, self.left, self.right)

    def __str__(self) -> str:
        return f"{self.top} above, {self.bottom} below, {self.left} to the left, {self.right} to the right"


@dataclass(frozen=True)
class Tile:
    """Where a block lies in the whole array, in input pixels.

    y, x: (start, stop) of the block itself, without context. lead: (start, stop) along each leading dimension.
    halo: pixels of context that the tile carries on each of the four sides.
    """

    y: tuple[int, int]
    x: tuple[int, int]
    lead: tuple[tuple[int, int], ...] = ()
    halo: int = 0

    @property
    def height(self) -> int:
        """Rows of the block, in input pixels."""
        return self.y[1] - self.y[0]

    @property
    def width(self) -> int:
        """Columns of the block, in input pixels."""
        return self.x[1] - self.x[0]

    def __str__(self) -> str:
        lead = "".join(f"{start}:{stop}, " for start, stop in self.lead)
        return f"[{lead}{self.y[0]}:{self.y[1]}, {self.x[0]}:{self.x[1]}]"


@dataclass(frozen=True)
class Provenance:
    """What made a result; written into its attrs as `xr_sr:<field>`."""

    model: str
    version: str
    weights_sha256: str
    radiometry: str
    constraint: str
    precision: str
    nodata: str
    mask: str
    scale: int
    options: str
    source_gsd_m: float | None
    record: str = ""
    layout: str = ""
    guided: str = ""

    def attrs(self) -> dict[str, str | int | float]:
        """Return the attributes that a result carries; absent facts are left out."""
        facts = {f"xr_sr:{key}": value for key, value in vars(self).items() if value not in (None, "")}
        return {**facts, NOTE_ATTR: NOTE}


MODEL_ATTR = "xr_sr:model"
"""The attribute that says which model made something; what has it was super-resolved."""

WEIGHTS_ATTR = "xr_sr:weights_sha256"
"""The attribute with the hashes of a network's weights; what a formula made does not have it."""

NOTE_ATTR = "xr_sr:note"

SOURCE_ITEMS, SOURCE_LINKS = "source_items", "source_links"
"""Coordinates along time: names of the STAC items that a date was made of, and their addresses, spaces between them."""

NOTE = "super-resolved, not observed"


BEFORE_ATTR = "xr_sr:before_"
"""How the attributes begin that hold the same of the dates before, which a map of a flood rests on too."""


def provenance_of(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Pick of the attributes of a result what says how it was made; {} where no model made it.

    For what is derived from a result, such as an index or a map of water: it rests on the same model.
    """
    if MODEL_ATTR not in attrs:
        return {}
    names = [*(f"xr_sr:{each.name}" for each in fields(Provenance)), NOTE_ATTR]
    return {name: attrs[name] for name in names if name in attrs}
