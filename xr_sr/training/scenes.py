"""What there is to learn from: cubes as plain arrays of reflectance, each with its name, source and license.

Reading files and choosing places is left to the caller; how patches are drawn is in `patches`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_number, items_of, shown
from ..cube.select import AnyCube, pick, recognize
from ..errors import OptionError
from ..radiometry.cubes import reflectance
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..tiling.two_resolutions import doubled

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scene:
    """One image of one date.

    values: (band, y, x) float32 reflectance, NaN where not valid. weight: how often patches are drawn from it, relative
    to others. note: source and license, for the report.
    """

    name: str
    values: FloatArray
    weight: float = 1.0
    note: str = ""

    def describe(self) -> dict[str, Any]:
        """Return name, shape, weight and hash of the values."""
        digest = hashlib.sha256(np.ascontiguousarray(self.values).tobytes()).hexdigest()
        return {"name": self.name, "shape": list(self.values.shape), "weight": self.weight, "sha256": digest[:16]}


def check_names(bands: object) -> list[str]:
    """Return names of bands as a list. Raises OptionError for a single name."""
    names = items_of(bands)
    if not names or not all(isinstance(name, str) for name in names):
        example = bands if isinstance(bands, str) and bands else "B04"
        raise OptionError(f"bands={shown(bands)}: expected a list of names, such as bands=[{example!r}].")
    return [str(name) for name in names]


def scenes_of(
    obj: AnyCube,
    bands: Sequence[str] = ("B04", "B03", "B02", "B08"),
    *,
    name: str = "cube",
    weight: float = 1.0,
    note: str = "",
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
) -> list[Scene]:
    """Read a cube as scenes, one for each date with valid pixels.

    obj: DN or reflectance; DataArray, Dataset or DataTree; offset, quantification, nodata as in `xr_sr.reflectance`.
    bands: those that the network reads, in its order, by any of their names. Values are computed and held in
    memory. Raises CubeError, MissingBandError, RadiometryError as `xr_sr.upscale` does, OptionError for bands that are
    not a list of names.
    """
    bands = check_names(bands)
    weight = check_number("weight", weight, above=0)
    options: dict[str, Any] = {"offset": offset, "quantification": quantification, "nodata": nodata}
    converted: AnyCube = reflectance(obj, **options)  # type: ignore[type-var]  # of the same kind as obj
    cube = recognize(converted)
    planes = pick(
        cube, bands, reader="a network in training", cure="join bands of two pixel sizes by training.repeated"
    )
    layers = []
    for plane in planes:
        array = plane.array if plane.index is None else plane.array.isel({cube.band_dim: plane.index})
        layers.append(array.transpose(*cube.lead, cube.y, cube.x).variable)
    stack = np.stack([np.asarray(layer.compute().values, "float32") for layer in layers], axis=-3)
    dates = stack.reshape(-1, *stack.shape[-3:])
    labels = [name] if len(dates) == 1 else [f"{name} {index}" for index in range(len(dates))]
    return [
        Scene(label, np.ascontiguousarray(values), weight / len(dates), note)
        for label, values in zip(labels, dates, strict=True)
        if np.isfinite(values).all(axis=0).any()
    ]


def repeated(fine: FloatArray, coarse: FloatArray) -> FloatArray:
    """Put (band, 2 y, 2 x) and (band, y, x) on one grid: each pixel of the latter four times."""
    return np.concatenate([fine, coarse.repeat(2, axis=-2).repeat(2, axis=-1)]).astype("float32")


def halved(fine: FloatArray) -> FloatArray:
    """Average blocks of four pixels: (band, 2 y, 2 x) to (band, y, x)."""
    bands, height, width = fine.shape
    return np.asarray(fine.reshape(bands, height // 2, 2, width // 2, 2).mean((2, 4)), "float32")


def interpolated(patch: FloatArray, coarse: int) -> FloatArray:
    """Interpolate the last bands between their wide pixels, the means of blocks of four; edges are repeated."""
    wide = np.pad(halved(patch[-coarse:]), ((0, 0), (1, 1), (1, 1)), mode="edge")
    fine = doubled(wide, (2, 2), (patch.shape[-2], patch.shape[-1]))
    return np.concatenate([patch[:-coarse], fine])
