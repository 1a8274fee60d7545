"""Define the fields and properties that the records of all models have, whatever their kind; see `models`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..arguments import former_name
from ..errors import ModelError
from ..spec import LowPass, Option, RadialSigmoid, WeightsFile

SCALES = range(1, 17)
"""Output pixels per input pixel along an axis that a model may have."""


@dataclass(frozen=True)
class Card:
    """Identify a model, and answer for the properties that only other kinds of models have.

    name: full name, "family" or "family.variant". license: SPDX identifier of the weights. url: where they come from.
    """

    name: str
    summary: str
    license: str = field(default="", kw_only=True)
    citation: str = field(default="", kw_only=True)
    url: str = field(default="", kw_only=True)

    licence = former_name("licence", "license")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", str(self.name)):
            raise ModelError(f"name={self.name!r}: expected letters, digits, '.', '-' and '_', such as 'mine-x2'.")

    @property
    def family(self) -> str:
        """The part of the name before the first dot."""
        return self.name.split(".", 1)[0]

    @property
    def bands(self) -> tuple[str, ...]:
        """Canonical names of the bands that the model reads, in its order; () if it processes any band by itself."""
        return ()

    @property
    def bands_out(self) -> tuple[str, ...]:
        """Names of the bands that the model returns, in its order; () if these are the ones that it reads."""
        return ()

    @property
    def coarse(self) -> tuple[str, ...]:
        """Those of `bands`, the last ones, whose pixels are twice as wide; blocks hold them linearly interpolated."""
        return ()

    @property
    def window(self) -> int:
        """Side in input pixels of the windows on which the model works; 0 for a model with a halo."""
        return 0

    @property
    def overlap(self) -> int:
        """Input pixels shared by neighboring windows."""
        return 0

    @property
    def dates(self) -> int:
        """Number of dates that the model reads at once; 0 for a model of single images."""
        return 0

    @property
    def gsd_m(self) -> float | None:
        """Ground size in meters of the input pixels that the model was trained on; None if any size is right."""
        return None

    @property
    def level(self) -> str:
        """Product level of the training data, such as "L2A"; "" without training."""
        return ""

    @property
    def options(self) -> tuple[tuple[str, Option], ...]:
        """Options that a user may set, with their defaults."""
        return ()

    @property
    def low_pass(self) -> LowPass | RadialSigmoid | None:
        """The model's own low-frequency constraint, which is applied to its output."""
        return None

    @property
    def constrained(self) -> bool:
        """Whether a network contains its constraint, so that none is added and none can be turned off."""
        return False

    @property
    def selects(self) -> bool:
        """Whether bands that are not requested cost nothing."""
        return False

    @property
    def error_scale(self) -> bool:
        """Whether the model knows the scale of its error at each pixel, so that `interval` can use it."""
        return False

    @property
    def fine_alone(self) -> bool:
        """Whether the fine bands do not depend on the coarse ones."""
        return False

    @property
    def guided(self) -> bool:
        """Whether coarse bands are sharpened with the detail of finer bands, by a formula."""
        return False

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        """The files of weights of the model and of its parts."""
        return ()

    def digest(self) -> str:
        """Return 12 hex digits of all in the record that values depend on; "" if the name stands for it."""
        return ""


def check_sizes(name: str, scales: range = SCALES, **sizes: int) -> None:
    """Raise ModelError for sizes that are no whole numbers, and for a scale beyond `scales`. name: of the model."""
    for what, value in sizes.items():
        least = 1 if what == "scale" else 0
        if type(value) is not int or value < least:
            raise ModelError(f"{name!r}: {what}={value!r}: expected a whole number, at least {least}.")
    if sizes["scale"] > max(scales):
        raise ModelError(f"{name!r}: scale={sizes['scale']}: expected at most {max(scales)}.")
