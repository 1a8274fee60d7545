"""Plan agreement with what the sensor measured: `constraint="measured"`, for any model."""

from __future__ import annotations

from collections.abc import Sequence

from ..arguments import is_number, shown
from ..catalog.models import Kriging
from ..cube.grid import pixel_size_m
from ..cube.select import AnyCube, Cube
from ..cube.sensors import native_ratio, other_sensor
from ..errors import OptionError
from ..kernels.kriging_filters import Observation
from ..kernels.observe import observation_of
from ..kernels.recorded import sensor_of
from ..spec import SEEN_BY, Option
from .request import Request

CONSTRAINT = "measured"

_OPTION, _PSF = "mtf", "psf"
"""Options that describe the sensor; the latter is one of kriging alone."""


def refuse_unknown_sensor(obj: AnyCube, cube: Cube, request: Request) -> None:
    """Raise OptionError where the MTF of Sentinel-2 would be taken for a cube of another sensor."""
    given = _given_mtf(request) is not None or _PSF in request.options
    if request.constraint == CONSTRAINT and not given and (reason := other_sensor(obj, cube)):
        raise OptionError(
            "constraint='measured' needs the modulation transfer function (MTF) of each band, and knows Sentinel-2's "
            f"only; the cube seems to come from another sensor: {reason}. Pass its value at the Nyquist frequency: "
            "mtf=0.25 for all bands, or mtf={'B04': 0.25, 'B08': 0.2}."
        )


def model_options(request: Request, known: Sequence[tuple[str, Option]]) -> dict[str, Option]:
    """Return the options of the model itself: without `mtf` where that describes the sensor alone.

    known: the model's options.
    """
    return {
        name: value
        for name, value in request.options.items()
        if name != _OPTION or request.constraint != CONSTRAINT or _OPTION in dict(known)
    }


def observations(
    request: Request, cube: Cube, bands: Sequence[str], scale: int, ratio: int | None = None
) -> tuple[Observation | None, ...]:
    """Return how the bands of a result were observed, with which it shall agree; () where that was not asked for.

    bands: canonical names. scale: output pixels per pixel of `cube`. ratio: width of the bands' own pixels in those of
    `cube`; None takes the sensor's. A band whose own pixels are those of the result is as it was measured: None.
    Raises OptionError for a band whose MTF is not known.
    """
    if request.constraint != CONSTRAINT:
        return ()
    spec = sensor(request)
    assert spec is not None
    size = pixel_size_m(cube.geobox)
    pixel_m = None if size is None else (size[0] * size[1]) ** 0.5
    found: list[Observation | None] = []
    for band in bands:
        wider = native_ratio(cube.geobox, band) if ratio is None else ratio
        found.append(observation_of(spec, band, scale * wider, wider, pixel_m) if scale * wider > 1 else None)
    return tuple(found)


def sensor(request: Request) -> Kriging | None:
    """Return the sensor with which a result shall agree, as options of kriging; None where that was not asked for."""
    return sensor_of(_given_mtf(request), request.options.get(_PSF)) if request.constraint == CONSTRAINT else None


def _given_mtf(request: Request) -> Option | None:
    """Return the MTF that was passed; None for none, as 0 of `fuse`."""
    given = request.options.get(_OPTION)
    return None if request.fusing and is_number(given) and given == 0 else given


def constraints(request: Request, bands: Sequence[str], kernel_text: str) -> str:
    """Return the constraints of a result as text, "none" without any. kernel_text: those of the kernel itself."""
    seen = sensor(request)
    if seen is None:
        return kernel_text or "none"
    given = dict(seen.mtf) if isinstance(seen.mtf, tuple) else seen.mtf  # type: ignore[arg-type]
    how = "MTF Sentinel-2's published" if given in ("published", {}) else f"MTF {shown(given)}"
    if seen.psf != "mtf":
        how = "as psf= says"
    text = f"measured, through the PSF of each of {', '.join(bands)}{SEEN_BY}{how}"
    return f"{kernel_text} and {text}" if kernel_text else text
