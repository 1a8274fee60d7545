"""Describe models as data, over a shared card: interpolation, kriging, a network, a cascade of them, pansharpening.

Records check themselves when they are created, so what is registered is consistent; they can be pickled, hashed and
tokenized. Whether a network does what its record says is measured in `kernels.register`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..arguments import check_choice, check_flag, checked_fields, count_of, former_name, items_of, renamed
from ..bands import find_band
from ..errors import ModelError
from ..spec import LowPass, Normalization, Option, RadialSigmoid, WeightsFile
from .card import SCALES, Card, check_sizes

MOST_STRENGTH = 1.5
"""Of the detail that a model adds; 1 is as it was made."""

COARSE_AS = ("interpolated", "repeated")
"""How a network receives bands with pixels twice as wide."""

KRIGING_SCALES = range(2, 25)
"""Output pixels per input pixel that kriging may have: from 60 m to 2.5 m are 24."""


class Single(Card):
    """A model that is no cascade of others."""

    @property
    def parts(self) -> tuple[tuple[str, Network], ...]:
        """The networks of a cascade, with their roles; here none."""
        return ()


@dataclass(frozen=True)
class Interpolation(Single):
    """Each band upsampled by itself, by one separable operator. halo: in input pixels."""

    method: Literal["nearest", "bilinear", "bicubic"] = "bicubic"
    scale: int = 4
    halo: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self.name, scale=self.scale, halo=self.halo)

    @property
    def options(self) -> tuple[tuple[str, Option], ...]:
        """The scale is the user's choice."""
        return (("scale", self.scale),)


@dataclass(frozen=True)
class Kriging(Single):
    """Each band by itself, from pixels of its own grid, by area-to-point kriging; see `kernels.kriging`.

    scale: output pixels per pixel of the cube's finest grid. halo: in pixels of a band's own grid. mtf: "published",
    "estimate", one number for all bands, or pairs of a band and its number. psf: "mtf", the Gaussian of that; a
    standard deviation in pixels, or in meters as text; rows of a sampled kernel; or pairs of a band and one of these.
    noise: "sentinel2", or numbers as for mtf. prior: the exponent of the power spectrum, and the outer scale in meters.
    strength: of the detail beyond bicubic interpolation.
    """

    scale: int = 4
    halo: int = 10
    mtf: Option = "published"
    psf: Option = "mtf"
    noise: Option = "sentinel2"
    prior: tuple[float, ...] = (1.35, 1000.0)
    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self.name, KRIGING_SCALES, scale=self.scale, halo=self.halo)

    @property
    def options(self) -> tuple[tuple[str, Option], ...]:
        """All that the user may choose."""
        return tuple((name, getattr(self, name)) for name in ("scale", "mtf", "psf", "noise", "prior", "strength"))

    @property
    def error_scale(self) -> bool:
        """As of any model whose error has a known variance."""
        return True


@dataclass(frozen=True)
class Pansharpening(Single):
    """Coarse bands on the grid of finer ones by a formula, each by itself, and no finer.

    guided: with the detail of the finer bands; else by cubic convolution alone. scale: of the bicubic interpolation
    that may follow. halo: in pixels of the fine grid, for coarse pixels twice as wide.
    """

    guided: bool = True
    scale: int = 1
    halo: int = 0
    options: tuple[tuple[str, Option], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self.name, scale=self.scale, halo=self.halo)


@checked_fields("xr_sr.ModelSpec")
@dataclass(frozen=True)
class Network(Single):
    """A torch network and all that is known of it before its weights are read.

    architecture: "module:attribute" of torch, called with `config`; it maps (n, band, y, x) to (n, band_out, y * scale,
        x * scale) of normalized reflectance.
    bands: names of the bands that it reads, in its order. bands_out: those that it returns, some of `bands`; () are the
        same.
    scale: output pixels per input pixel along an axis, 1 to 16.
    halo: input pixels of context that an output pixel depends on, that of its constraint included. window: instead of a
        halo, the side in input pixels of the fixed windows of a network whose output depends on all of its input;
        overlap: pixels that neighboring windows share, at most half of a window.
    gsd_m: ground size in meters of the input pixels it was trained on; None if any size is right.
    level: product level of the training data, such as "L2A". config: arguments of the architecture; if `strength` is
        one of them, it is an option of `upscale`, from 0 to 1.5.
    normalization: applied to its input, and inverted on its output. non_negative: the output is clamped at zero before
        the constraint. low_pass: its constraint. constrained: the network contains its constraint.
    selects: the network's `folded(gives=...)` receives the sorted indices of the requested bands, so that others cost
        nothing; `bands_out` is then in the order of `bands`.
    coarse: those of `bands`, the last ones, whose pixels are twice as wide. coarse_as: how the network receives them,
        linearly "interpolated", or "repeated": as they are, each pixel 2 x 2 times. The network's input then begins
        with a whole coarse pixel, for which `halo` is 2 above what it consumes.
    fine_alone: for a network that selects, the others do not depend on the coarse ones, which are not read if only
        others are requested. coarse_alone: each coarse band depends on itself and the others alone; the architecture
        has an argument `coarse`, and is built for the requested ones.
    error_scale: the network has a method `with_scale`, which returns for all bands out the estimate, and after them the
        scale of its error, for `interval`. Bands of `coarse` are then to be read as they are, "repeated".
    stochastic: the network draws: `upscale` returns one member, `ensemble` many. Its arguments `seed`, and `steps` of
        its sampler, up to `most_steps`, are options of `upscale`.
    dates: number of dates that the network reads at once, for `multiframe`: 2 or more, or 0 for a network of single
        images. It then maps (n, date, band, y, x), the date that is shown first, to (n, band_out, y * scale, x *
        scale), with a halo, and without `window`, `coarse`, `low_pass`, `constrained`, `selects` and `error_scale`.
    Names of bands may be any aliases, and lists are accepted. Raises ModelError for a record that contradicts itself,
    OptionError for a field that is unknown or missing.
    """

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
    normalization: Normalization = field(default_factory=Normalization)
    non_negative: bool = False
    low_pass: LowPass | RadialSigmoid | None = None
    constrained: bool = False
    selects: bool = False
    fine_alone: bool = False
    coarse_alone: bool = False
    error_scale: bool = False
    weights: WeightsFile | None = None
    coarse: tuple[str, ...] = ()
    coarse_as: str = "interpolated"
    dates: int = 0
    stochastic: bool = False
    most_steps: int = 1000

    normalisation = former_name("normalisation", "normalization")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[\w.]+:\w+", str(self.architecture)):
            raise ModelError(
                f"{self.name!r}: architecture={self.architecture!r}: expected 'module:attribute', such as "
                "'my_nets:Small'."
            )
        for what in ("bands", "bands_out", "coarse"):
            object.__setattr__(self, what, _canonical(self.name, what, getattr(self, what)))
        flags = ("non_negative", "constrained", "selects", "fine_alone", "coarse_alone", "error_scale", "stochastic")
        for what in flags:
            check_flag(f"{self.name!r}: {what}", getattr(self, what))
        object.__setattr__(self, "config", _pairs(self.name, self.config))
        check_sizes(self.name, scale=self.scale, halo=self.halo, window=self.window, overlap=self.overlap)
        check_choice(f"{self.name!r}: coarse_as", self.coarse_as, COARSE_AS)
        self._check_kinds()
        self._check_bands()
        self._check_dates()
        if self.window and self.halo:
            raise ModelError(
                f"{self.name!r} has halo={self.halo} and window={self.window}; expected one of them: a halo if an "
                "output pixel depends on nearby pixels, a window if it depends on all of the input."
            )
        if self.overlap > self.window // 2:
            raise ModelError(
                f"{self.name!r}: overlap={self.overlap} with window={self.window}: expected at most half of the "
                f"window, such as {max(self.window, 64) // 4}; without a window there is no overlap."
            )

    def _check_kinds(self) -> None:
        said = repr(self.name)
        if not isinstance(self.low_pass, LowPass | RadialSigmoid | None):
            raise ModelError(f"{said}: low_pass={self.low_pass!r}: expected xr_sr.LowPass(sigma, radius) or None.")
        if not isinstance(self.normalization, Normalization):
            raise ModelError(
                f"{said}: normalization={self.normalization!r}: expected xr_sr.Normalization(shift=0.1, scale=0.2)."
            )
        interpolated = bool(self.coarse) and self.coarse_as != "repeated"
        if self.stochastic and "seed" not in dict(self.config):
            raise ModelError(f"{said}: stochastic=True: expected config= with a seed, such as ('seed', 0).")
        if self.error_scale and (self.normalization != Normalization() or self.window or interpolated):
            raise ModelError(
                f"{said}: error_scale=True: expected a network that reads and returns reflectance, without "
                "normalization= and window=, and that reads coarse bands as coarse_as='repeated'."
            )
        for what in ("shift", "scale"):
            value = getattr(self.normalization, what)
            if isinstance(value, tuple) and len(value) != len(self.bands):
                raise ModelError(
                    f"{said}: normalization has {len(value)} values of {what} for {count_of(len(self.bands), 'band')}, "
                    f"{self.bands}."
                )
        if self.gsd_m is not None and not (isinstance(self.gsd_m, int | float) and 0 < self.gsd_m < math.inf):
            raise ModelError(
                f"{said}: gsd_m={self.gsd_m!r}: expected meters above 0, such as 10, or None for any size."
            )

    def _check_bands(self) -> None:
        said = repr(self.name)
        if not self.bands:
            raise ModelError(f"{said}: bands=() is empty; expected the bands that it reads, such as ('B04', 'B08').")
        if extra := [band for band in self.bands_out if band not in self.bands]:
            raise ModelError(
                f"{said}: bands_out= has {extra}, which are not in bands=: an output band has the name, grid and "
                "nodata of an input band."
            )
        if self.selects and list(self.bands_out) != [band for band in self.bands if band in self.bands_out]:
            raise ModelError(
                f"{said}: selects=True with bands_out={list(self.bands_out)}: expected the order of "
                f"bands={list(self.bands)}."
            )
        if self.fine_alone and not (self.selects and self.coarse):
            raise ModelError(f"{said}: fine_alone=True: expected a record with coarse=(...) and selects=True.")
        if self.coarse_alone and not (self.selects and dict(self.config).get("coarse") == self.coarse):
            raise ModelError(
                f"{said}: coarse_alone=True: expected a record with selects=True, and its coarse bands in config=."
            )
        if self.coarse and (self.window or self.bands[-len(self.coarse) :] != self.coarse):
            raise ModelError(
                f"{said}: coarse={list(self.coarse)}: expected the last of bands={list(self.bands)}, and a halo, "
                "not a window."
            )

    def _check_dates(self) -> None:
        said = f"{self.name!r}: dates={self.dates!r}"
        if type(self.dates) is not int or self.dates < 0 or self.dates == 1:
            raise ModelError(
                f"{said}: expected the number of dates that the network reads at once, 2 or more, or 0 for a network "
                "of single images."
            )
        others = ("window", "coarse", "low_pass", "constrained", "selects", "error_scale")
        if self.dates and (strange := [f"{name}={value!r}" for name in others if (value := getattr(self, name))]):
            raise ModelError(
                f"{said} with {', '.join(strange)}: expected a network of several dates that has a halo, and reads "
                "bands of one pixel size. Leave these out."
            )

    @property
    def step(self) -> int:
        """Input pixels at whose multiples the network's input may begin: 2 where coarse pixels come repeated."""
        return 2 if self.coarse and self.coarse_as == "repeated" else 1

    @property
    def options(self) -> tuple[tuple[str, Option], ...]:
        """Those arguments of the architecture that a user may set: the strength of an addition, or of a sampler."""
        return tuple(pair for pair in self.config if pair[0] in ("strength", "steps", "seed"))

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        """The file of weights, if there is one."""
        return (self.weights,) if self.weights else ()

    def digest(self) -> str:
        """Return 12 hex digits of all in the record that values depend on, but for the weights."""
        parts: tuple[object, ...] = (
            self.architecture,
            self.bands,
            self.bands_out,
            self.scale,
            self.window,
            self.overlap,
            self.config,
        )
        if self.coarse_as != COARSE_AS[0]:  # else as before there was a choice
            parts += (self.coarse_as,)
        if self.dates:
            parts += (("dates", self.dates),)
        if self.stochastic:
            parts += ("stochastic",)
        norm = f"Normalisation(shift={self.normalization.shift!r}, scale={self.normalization.scale!r})"
        # The text that 0.1 hashed, with its spelling: stores that were written then hold this digest.
        text = f"({parts!r}, ({norm}, {self.non_negative!r}, {self.low_pass!r}))"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Cascade(Card):
    """Several networks in turn, for bands of two pixel sizes; see `kernels.fusion`.

    parts: by role. "x2" sharpens the coarse bands to the input's grid, "fine" upscales the other bands, "x4" then the
    coarse ones; only "x2" if the scale is 1, only "fine" if no coarse bands are read. Other fields as in `Network`.
    """

    bands: tuple[str, ...] = ()
    bands_out: tuple[str, ...] = ()
    coarse: tuple[str, ...] = ()
    scale: int = 4
    halo: int = 0
    gsd_m: float | None = 10.0
    level: str = ""
    parts: tuple[tuple[str, Network], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self.name, scale=self.scale, halo=self.halo)
        roles = tuple(role for role, _ in self.parts)
        expected = (("x2",) if self.scale == 1 else ("x2", "fine", "x4")) if self.coarse else ("fine",)
        if roles != expected or self.bands[len(self.bands) - len(self.coarse) :] != self.coarse:
            raise ModelError(
                f"{self.name!r}: parts={list(roles)}, coarse={list(self.coarse)}: expected the parts {list(expected)}, "
                f"and coarse bands that are the last of bands={list(self.bands)}."
            )

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        """The files of weights of the parts."""
        return tuple(file for _, part in self.parts for file in part.files)


Model: TypeAlias = Interpolation | Kriging | Network | Cascade | Pansharpening

Network.__init__ = renamed(licence="license", normalisation="normalization")(Network.__init__)  # type: ignore[method-assign]

ModelSpec = Network
"""The record of a user's own model, for `register_model`."""


def scales_of(model: Model) -> range:
    """Return the scales that a model with the option `scale` may have."""
    return KRIGING_SCALES if isinstance(model, Kriging) else SCALES


def _canonical(name: str, what: str, bands: Sequence[str]) -> tuple[str, ...]:
    """Return names of bands as canonical ones. Raises ModelError for what is no list of names, or names one twice."""
    found = None if isinstance(bands, str) else items_of(bands)
    if found is None or not all(isinstance(band, str) for band in found):
        raise ModelError(f"{name!r}: {what}={bands!r}: expected a tuple of names, such as ('B04', 'B08').")
    names = tuple(band.name if (band := find_band(each)) else each for each in found)
    if len(set(names)) < len(names):
        raise ModelError(f"{name!r}: {what}={tuple(found)} has one band twice.")
    return names


def _pairs(name: str, config: Any) -> tuple[tuple[str, Option], ...]:
    """Return arguments of an architecture as pairs. Raises ModelError for anything that cannot be hashed."""
    try:
        pairs = config.items() if isinstance(config, Mapping) else config
        found = tuple((str(key), value) for key, value in pairs)
        hash(found)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{name!r}: config={config!r}: expected pairs of a name and a number, text, boolean or tuple of them, such "
            f"as (('width', 16),) ({error})."
        ) from error
    return found
