"""All errors and warnings of xr_sr, and functions that issue warnings.

    XrSrError
    ├── CubeError (ValueError)               the input is not a cube that can be read
    │   ├── MissingBandError                 the model reads bands that the cube lacks
    │   ├── AmbiguousBandError               two variables or labels stand for one band
    │   ├── GridError                        no y/x, no size, or grids that do not belong together
    │   └── ResolutionError                  the pixel size is not that of the model
    ├── RadiometryError (ValueError)         numbers whose meaning is unknown or impossible
    ├── ModelError (ValueError)
    │   ├── UnknownModelError                no model of this name in the catalog
    │   └── OptionError (TypeError)          an option that the model does not have, or of the wrong kind
    ├── WeightsError (OSError)
    │   ├── WeightsNotFoundError (FileNotFoundError)
    │   ├── WeightsHashError                 the file is not the one that the catalog names
    │   └── WeightsFormatError               the file is damaged, or made for another network
    ├── StoreError (OSError)                 the target cannot be written or read
    │   ├── StoreDamageError                 documents or chunks of the store are missing or cannot be read
    │   ├── StoreMismatchError (ValueError)  the store holds something else: another grid, model, option
    │   └── DuplicateTimeError (ValueError)  one time stamp occurs twice in the input
    ├── CatalogError (OSError)               a catalog does not answer, or has nothing to load
    ├── TrainingError (RuntimeError)         a training run cannot start or continue
    ├── EngineError (RuntimeError)           dask is configured in a way that is not supported
    └── MissingLibraryError (ImportError)    an optional library is not installed

    XrSrWarning (UserWarning)
    ├── BandWarning · CatalogWarning · GeoreferenceWarning · ResolutionWarning · RadiometryWarning · ClippingWarning
    └── SensorWarning · StoreWarning · ReferenceWarning · CalibrationWarning

A message says what was expected, what was found, and what to do.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

__all__ = [
    "AmbiguousBandError",
    "BandWarning",
    "CalibrationWarning",
    "CatalogWarning",
    "CatalogError",
    "ClippingWarning",
    "CubeError",
    "DuplicateTimeError",
    "EngineError",
    "GeoreferenceWarning",
    "GridError",
    "MissingBandError",
    "MissingLibraryError",
    "ModelError",
    "OptionError",
    "RadiometryError",
    "RadiometryWarning",
    "ResolutionError",
    "ResolutionWarning",
    "ReferenceWarning",
    "SensorWarning",
    "StoreDamageError",
    "StoreError",
    "StoreMismatchError",
    "StoreWarning",
    "TrainingError",
    "UnknownModelError",
    "WeightsError",
    "WeightsFormatError",
    "WeightsHashError",
    "WeightsNotFoundError",
    "XrSrError",
    "XrSrWarning",
]


class XrSrError(Exception):
    """The root: `except xr_sr.errors.XrSrError` catches all that this package raises on purpose."""


class CubeError(XrSrError, ValueError):
    """The input is not a cube that can be read."""

    def __init__(self, found: str = "", advice: str = "") -> None:
        """Join what was expected and found with the advice; `found` keeps the first part."""
        super().__init__(f"{found} {advice}".strip())
        self.found = found


class MissingBandError(CubeError):
    """The cube lacks bands that the model reads."""


class AmbiguousBandError(CubeError):
    """Two variables have names of one band, or bands cannot be distinguished."""


class GridError(CubeError):
    """There are no spatial dimensions, no pixels, or two grids do not belong together."""


class ResolutionError(CubeError):
    """The ground size of a pixel is not the one that the model was made for."""


class RadiometryError(XrSrError, ValueError):
    """The meaning of the numbers is unknown, or the numbers contradict it."""


class ModelError(XrSrError, ValueError):
    """A model is not available, or not with these options."""


class UnknownModelError(ModelError):
    """The catalog has no model of this name."""


class OptionError(ModelError, TypeError):
    """The model has no such option, or not of this kind."""


class WeightsError(XrSrError, OSError):
    """Weights cannot be found, verified or read."""


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """The weights are not on this machine and cannot be downloaded."""


class WeightsHashError(WeightsError):
    """The file is not the one that the catalog names."""


class WeightsFormatError(WeightsError, ValueError):
    """The file is damaged, or holds another network."""


class StoreError(XrSrError, OSError):
    """A store cannot be written or read."""


class StoreDamageError(StoreError):
    """Documents or chunks of a store are missing or cannot be read; `xr_sr.verify` says which, and what to do."""


class StoreMismatchError(StoreError, ValueError):
    """The store holds something else: another grid, other bands, another model or option."""


class DuplicateTimeError(StoreError, ValueError):
    """One time stamp occurs twice in the input."""


class CatalogError(XrSrError, OSError):
    """A catalog does not answer, or its items cannot be loaded together."""


class TrainingError(XrSrError, RuntimeError):
    """A training run cannot start or continue."""


class EngineError(XrSrError, RuntimeError):
    """dask is configured in a way that is not supported."""


class MissingLibraryError(XrSrError, ImportError):
    """An optional library is not installed."""


class XrSrWarning(UserWarning):
    """The root of all warnings of this package."""


class BandWarning(XrSrWarning):
    """Bands or variables are left out."""


class CalibrationWarning(XrSrWarning):
    """An interval rests on numbers that were fitted for something else."""


class GeoreferenceWarning(XrSrWarning):
    """The cube has no CRS, so places are pixel coordinates."""


class ResolutionWarning(XrSrWarning):
    """The ground size of a pixel is a little off from what the model was made for."""


class CatalogWarning(XrSrWarning):
    """Metadata of a catalog's items are missing or contradict each other."""


class RadiometryWarning(XrSrWarning):
    """Metadata and pixels contradict each other, or values are outside of the usual range."""


class ReferenceWarning(XrSrWarning):
    """A reference image was computed by a model, and the image that is compared with it was not."""


class ClippingWarning(XrSrWarning):
    """Values did not fit the packed range of a store and were clipped."""


class SensorWarning(XrSrWarning):
    """Metadata or band names say that the pixels come from another sensor than Sentinel-2's."""


class StoreWarning(XrSrWarning):
    """A call wrote nothing to a store, waits for a writer that may be gone, or would not notice another writer."""


WarningFilter: TypeAlias = "tuple[Any, ...]"
"""An entry of `warnings.filters`: action, message, category, module, line."""

_left_behind: list[WarningFilter] = []
_REMEMBERED = 1000

_P = ParamSpec("_P")
_R = TypeVar("_R")
_issued: ContextVar[set[tuple[type[Warning], str]] | None] = ContextVar("issued", default=None)
"""The warnings that the public function that is running has issued; None outside of any."""
_held: ContextVar[list[tuple[str, list[WarningFilter]]] | None] = ContextVar("held", default=None)
"""Its warnings about bands of the result, each with the filters that held then; they are issued with the result."""


def ignore_filters_left_behind(before: Sequence[WarningFilter]) -> None:
    """Remember the warning filters that appeared during a computation, so that no warning of ours is lost to them.

    before: `warnings.filters` when the computation began. `warnings.catch_warnings` is not safe in threads: some
    libraries use it there (rasterio.warp.reproject), and leave their filter behind in the process, often one that
    ignores everything. What the user sets is a new entry, even if it is equal to one of these.
    """
    known = [*before, *_left_behind]
    _left_behind.extend(entry for entry in warnings.filters if not any(entry is each for each in known))
    del _left_behind[:-_REMEMBERED]


def warn_caller(
    message: str,
    category: type[Warning],
    *,
    filters: Sequence[WarningFilter] | None = None,
    beyond: Sequence[str] = (),
) -> None:
    """Warn with the line of the first caller outside of this package, however deep the warning arises.

    Inside a function that `warns_once`, the same message is issued once, and a BandWarning when the function returns.
    filters: those that count; by default the process's present ones. beyond: names of other packages whose lines are
    passed over too, as those of contextlib always are: our context managers and decorators run through it.
    """
    issued = _issued.get()
    if issued is not None:
        if (category, message) in issued:
            return
        issued.add((category, message))
        if category is BandWarning and filters is None and (held := _held.get()) is not None:
            held.append((message, list(warnings.filters)))
            return
    inside = {__name__.partition(".")[0], "contextlib", *beyond}
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in inside:
        frame, level = frame.f_back, level + 1
    with _users_filters(filters):
        warnings.warn(message, category, stacklevel=level)


def warns_once(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a public function so that one call issues each warning once.

    Bands, grids and nodes of a tree are read one by one, so without it the filter "always" shows the same message once
    for each of them. Functions that call each other count as one call. A BandWarning is issued when the function
    returns, and not where it raises: it says what the result leaves out.
    """

    @wraps(function)
    def call(*args: _P.args, **options: _P.kwargs) -> _R:
        if _issued.get() is not None:
            return function(*args, **options)
        held: list[tuple[str, list[WarningFilter]]] = []
        tokens = _issued.set(set()), _held.set(held)
        try:
            result = function(*args, **options)
        finally:
            _issued.reset(tokens[0])
            _held.reset(tokens[1])
        for message, filters in held:
            warn_caller(message, BandWarning, filters=filters)
        return result

    return call


@contextmanager
def _users_filters(filters: Sequence[WarningFilter] | None) -> Iterator[None]:
    """Let the given filters count, by default the present ones, without those that other libraries left behind."""
    given: Sequence[WarningFilter] = warnings.filters if filters is None else filters
    wanted: list[Any] = [entry for entry in given if not any(entry is each for each in _left_behind)]
    # With context-aware warnings (free-threaded Python) threads do not see each other's filters.
    if getattr(sys.flags, "context_aware_warnings", False) or wanted == list(warnings.filters):
        yield
        return
    with warnings.catch_warnings():
        warnings.filters = wanted
        yield


def __getattr__(name: str) -> type[XrSrError]:
    if name == "CatalogueError":  # its spelling in an earlier release
        warn_caller("CatalogueError is now spelled CatalogError; the old name will be removed.", FutureWarning)
        return CatalogError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
