"""What a user asks of `upscale` or `fuse`, as one record whose values are checked when it is made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import xarray as xr

from .. import kernels
from ..arguments import check_choice, check_flag, check_text, items_of, shown
from ..catalog import registry
from ..cube.select import AnyCube
from ..errors import ModelError, OptionError
from ..kernels.register import open_model
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..runtime.device import check_device
from ..spec import Option
from .inputs import Chunks, LayoutChoice


@dataclass(frozen=True, eq=False)
class Request:
    """The arguments of `upscale` or `fuse`, but for the cube.

    fusing: the model brings coarse bands to the grid of the fine ones (`fuse`). gsd_m: size in meters of the pixels
    that the model reads, which picks the node of a tree; None for any size. bands: as asked for, a list of names.
    describes: the plan is only to be read, so that no weights are downloaded. joins: several dates are joined, as by
    `multiframe`. Others: as in `upscale`. Raises OptionError for values that are wrong whatever the cube is, and
    ModelError for a network that reads several dates where none are joined.
    """

    model: str
    fusing: bool = False
    gsd_m: float | None = 10.0
    bands: Sequence[str] | None = None
    other: AnyCube | None = None
    layout: LayoutChoice = "auto"
    weights: str | Path | None = None
    device: str = "auto"
    constraint: str = "auto"
    offset: Offset = "auto"
    quantification: Quantification = "auto"
    nodata: Nodata = "auto"
    mask: xr.DataArray | None = None
    precision: str = "float32"
    chunks: Chunks = None
    allow_gsd: bool = False
    options: Mapping[str, Option] = field(default_factory=dict)
    describes: bool = False
    joins: bool = False

    def __post_init__(self) -> None:
        if self.bands is not None:
            names = [self.bands] if isinstance(self.bands, str) else items_of(self.bands)
            if names is None or not all(isinstance(name, str) for name in names):
                raise OptionError(f"bands={shown(self.bands)}: expected names of bands, such as bands=['B04', 'B08'].")
            object.__setattr__(self, "bands", list(map(str, names)))
        check_flag("allow_gsd", self.allow_gsd)
        check_device(self.device)
        check_text("constraint", self.constraint)
        check_choice("precision", self.precision, kernels.PRECISIONS)
        check_choice("layout", self.layout, ("auto", "native", "resampled"))
        name: object = self.model  # a path of weights may be a Path
        name = os.fspath(name) if isinstance(name, os.PathLike) else name
        model, weights = open_model(check_text("model", name), self.weights)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "weights", weights)
        if not self.joins and registry.is_name(model) and (dates := registry.get(model).dates):
            raise ModelError(
                f"{model!r} reads {dates} dates at once, and this function computes each date by itself. Use "
                f"cube.sr.multiframe(model={model!r}), or a model of single images: see xr_sr.list_models()."
            )
        for name in self.options:
            _refuse_misspelled(name, "fuse" if self.fusing else "upscale")

    @property
    def canonical_bands(self) -> list[str] | None:
        """The canonical names of the bands asked for."""
        return None if self.bands is None else [registry.canonical(band) for band in self.bands]

    @property
    def numbers(self) -> dict[str, Any]:
        """The arguments of `radiometry.resolve`."""
        return {"offset": self.offset, "quantification": self.quantification, "nodata": self.nodata}

    @property
    def without_weights(self) -> bool:
        """Whether the model fuses bands by a formula."""
        return registry.without_weights(self.model, fusing=self.fusing)


def _refuse_misspelled(option: str, function: str) -> None:
    """Raise OptionError for what is an option of no model, and nearly the name of an argument."""
    arguments = [each.name for each in fields(Request) if each.name not in ("fusing", "gsd_m", "options")]
    if option in arguments:
        raise OptionError(
            f"{option}= is an argument of upscale and fuse that this function does not take. Leave it out."
        )
    options = {name for model in registry.current.models.values() for name, _ in model.options}
    near = [] if option in options else get_close_matches(option, arguments, 1, 0.75)
    if near:
        raise OptionError(f"{option}=: {function} has no such argument, nor a model such an option. Is it {near[0]}=?")
