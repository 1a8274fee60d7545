"""Frozen records that all folders share: filters, files of weights, tiles, provenance.

Data only: nothing here reads a file or an array, and every record can be pickled, hashed and tokenized.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, SupportsFloat, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import ModelError

PsfWeights: TypeAlias = npt.NDArray[np.float64] | tuple[tuple[float, ...], ...]
"""Weights of a point spread function, (y, x)."""

Option: TypeAlias = (
    bool
    | int
    | float
    | str
    | tuple[float, ...]
    | tuple[str, ...]
    | PsfWeights
    | Mapping[str, float]
    | Mapping[str, float | str | PsfWeights]
    | tuple[tuple[str, float | str | PsfWeights], ...]
)
"""A value that an option or an argument of a model may have; what is given by band is kept as pairs."""


@dataclass(frozen=True)
class Normalization:
    """How reflectance is scaled for a network, `(reflectance - shift) / scale`, and its output is scaled back.

    shift, scale: in reflectance, one number for all bands, or a tuple with one for each band that the network reads.
    Raises ModelError for other values, and for a scale of 0.
    """

    shift: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        for name in ("shift", "scale"):
            value = getattr(self, name)
            numbers = np.ravel(value).tolist()
            if not numbers or not all(isinstance(one, SupportsFloat) and math.isfinite(one) for one in numbers):
                raise ModelError(f"{name}={value!r}: expected a finite number, or a tuple of them; such as {name}=0.2.")
            several = tuple(map(float, numbers)) if np.ndim(value) else float(value)
            object.__setattr__(self, name, several)
        if 0 in np.ravel(self.scale):
            raise ModelError(f"scale={self.scale}: the input is divided by it; expected numbers other than 0.")


@dataclass(frozen=True)
class WeightsFile:
    """One file of weights, identified by its hash.

    home: "hub": `path` is relative to a folder of weights and to the hub's base URL, with "/" between the parts;
    "package": it is in `xr_sr/catalog`; "authors": only the two ends of its hash are known, "e2621e39...c27dc3a", so it
    is not downloaded, and is looked for by its name in folders of weights and the cache; "user": it is the user's, and
    `path` is where it was on the machine that registered it.
    """

    path: str
    sha256: str
    size: int
    home: Literal["hub", "package", "authors", "user"] = "hub"

    def fits(self, sha256: str) -> bool:
        """Return whether a file with this hash is meant."""
        start, _, end = self.sha256.partition("...")
        return sha256 == self.sha256 or (bool(end) and sha256.startswith(start) and sha256.endswith(end))


@dataclass(frozen=True)
class LowPass:
    """A Gaussian low-pass filter: the constraint keeps what passes it of the input.

    sigma: standard deviation in output pixels. radius: half the support, in output pixels; weights beyond are zero.
    SEN2SR's mask exp(-d^2 / (2 s^2)) on N frequency bins is sigma = N / (2 pi s) pixels in space. Raises ModelError.
    """

    sigma: float
    radius: int

    def __post_init__(self) -> None:
        _check_filter(self, positive=("sigma",), whole=("radius",), least=0)

    def __str__(self) -> str:
        return f"sigma {self.sigma:.4f} px"


@dataclass(frozen=True)
class RadialSigmoid:
    """A low-pass filter whose gain falls with the distance f in frequency: 1 / (1 + exp((f - cutoff) / sharpness)).

    cutoff, sharpness: in cycles per output pixel; SEN2SR's mask with d bins of N is d / N. radius: half the support in
    output pixels. rank: number of products of two one-dimensional filters that approximate it in space. Raises
    ModelError.
    """

    cutoff: float
    sharpness: float
    radius: int
    rank: int

    def __post_init__(self) -> None:
        _check_filter(self, positive=("cutoff", "sharpness"), whole=("radius", "rank"), least=1)

    def __str__(self) -> str:
        return f"sigmoid at {self.cutoff:.4f} cycles per px"


def _check_filter(low_pass: object, *, positive: tuple[str, ...], whole: tuple[str, ...], least: int) -> None:
    for name in positive:
        value = getattr(low_pass, name)
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ModelError(f"{low_pass!r}: expected {name} above 0.")
    for name in whole:
        value = getattr(low_pass, name)
        if type(value) is not int or value < least:
            raise ModelError(f"{low_pass!r}: expected {name} to be a whole number, at least {least}.")


@dataclass(frozen=True)
class ReceptiveField:
    """How far an output pixel depends on the input, in input pixels on each side, measured.

    top: rows above, without the pixel's own row; and so on.
    """

    top: int
    bottom: int
    left: int
    right: int

    @property
    def halo(self) -> int:
        """The largest of the four, the context that a network needs on every side."""
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
    """How a result was computed; written into its attributes as `xr_sr:<field>`."""

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
        """Return the attributes of a result, without those that are empty."""
        facts = {f"xr_sr:{key}": value for key, value in vars(self).items() if value not in (None, "")}
        return {**facts, NOTE_ATTR: NOTE}


MODEL_ATTR = "xr_sr:model"
"""The attribute with the name of the model; a cube that has it was super-resolved."""

SCALE_ATTR = "xr_sr:scale"
"""The attribute with the number of pixels of a result along one of its input."""

WEIGHTS_ATTR = "xr_sr:weights_sha256"
"""The attribute with the hashes of a network's weights; results of a formula do not have it."""

OPTIONS_ATTR = "xr_sr:options"
"""The attribute with the options of the model, as JSON; see `kernels.recorded`."""

CONSTRAINT_ATTR = "xr_sr:constraint"

SEEN_BY = " at its own pixels, "
"""What precedes the description of the sensor in that attribute."""

NOTE_ATTR = "xr_sr:note"

WINDOW, WINDOW_DATES = "window", "window_dates"
"""Coordinates of a result of `multiframe`: of each date, the date that its window shows; of each image, the number of
dates in its window."""

WINDOW_ATTR, REFERENCE_ATTR = "xr_sr:window", "xr_sr:reference"
MAX_SHIFT_ATTR, REGISTRATION_ATTR = "xr_sr:max_shift", "xr_sr:registration"
"""Attributes of a result of `multiframe`: how dates were sorted into windows, how the date that an image shows was
chosen ("latest", "median", "given"), the longest shift, and whether shifts were "measured" or "given". Stores compare
windows by their bounds."""

INTERVAL_LEVEL_ATTR = "xr_sr:level"
"""The attribute with the level of the bounds of a result with its error."""

CALIBRATION_ATTR, SEED_ATTR, MEMBERS_ATTR = "xr_sr:calibration", "xr_sr:seed", "xr_sr:members"
"""Attributes of a result with its error: what it was calibrated on, and of an ensemble seed and number of members."""

SAME_GROUND_ATTR = "xr_sr:same_ground"
"""The attribute of an ensemble that says whether dates share what none of them shows: 1 or 0."""

LEAST_LEVEL, MOST_LEVEL = 0.05, 0.99
"""Levels that intervals may have."""

SOURCE_ITEMS, SOURCE_LINKS = "source_items", "source_links"
"""Coordinates along time: names of the STAC items of a date, and their addresses, separated by spaces."""

NOTE = "super-resolved, not observed"

BEFORE_ATTR = "xr_sr:before_"
"""Prefix of the same attributes for the earlier dates, which a flood map depends on too."""


def stated(attrs: Mapping[Any, Any], name: str) -> Any:
    """Return an attribute of this package, such as MODEL_ATTR, also under its name as a tag of a GeoTIFF, or None.

    There it is `xr_sr_model`: a colon is GDAL's own.
    """
    return attrs.get(name, attrs.get(name.replace(":", "_")))


def provenance_of(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return those attributes of a result that say how it was computed; {} if no model was used.

    For products derived from a result, such as an index or a water map, which depend on the same model.
    """
    if stated(attrs, MODEL_ATTR) is None:
        return {}
    names = [*(f"xr_sr:{each.name}" for each in fields(Provenance)), NOTE_ATTR, CALIBRATION_ATTR, SAME_GROUND_ATTR]
    return {name: value for name in names if (value := stated(attrs, name)) is not None}
