"""The public functions `upscale`, `fuse` and `explain`: each makes a request, plans it, and builds the lazy graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from inspect import cleandoc, signature
from pathlib import Path
from typing import Literal, ParamSpec, Protocol, TypeVar, overload

import xarray as xr

from ..arguments import check_flag, check_text, is_one_of
from ..catalog import registry
from ..cube.select import AnyCube
from ..cube.sensors import FOR_MODELS, explains_sensors
from ..errors import OptionError, warns_once
from ..radiometry.resolve import Nodata, Offset, Quantification
from ..spec import Option
from .inputs import Chunks, LayoutChoice
from .plan import Plan, graph, rebuild
from .planning import plan
from .request import Request

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _OfAnyCube(Protocol[_P]):
    def __call__(self, obj: AnyCube, *args: _P.args, **kwargs: _P.kwargs) -> xr.DataArray | xr.Dataset: ...


class _ByType(Protocol[_P]):
    """A function whose type of result follows from that of the cube."""

    @overload
    def __call__(self, obj: xr.DataArray, *args: _P.args, **kwargs: _P.kwargs) -> xr.DataArray: ...

    @overload
    def __call__(self, obj: xr.Dataset | xr.DataTree, *args: _P.args, **kwargs: _P.kwargs) -> xr.Dataset: ...


def _typed_by_cube(function: _OfAnyCube[_P]) -> _ByType[_P]:
    """Declare for type checkers that a DataArray gives a DataArray, and a Dataset or DataTree a Dataset."""
    return function  # type: ignore[return-value]


@_typed_by_cube
@warns_once
@explains_sensors(FOR_MODELS)
def upscale(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    model: str = "sen2sr",
    *,
    bands: Sequence[str] | None = None,
    other: xr.DataArray | xr.Dataset | xr.DataTree | None = None,
    layout: LayoutChoice = "auto",
    weights: str | Path | None = None,
    device: str = "auto",
    constraint: Literal["auto", "measured", "lowpass", "none"] = "auto",
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    mask: xr.DataArray | None = None,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    chunks: Chunks = None,
    allow_gsd: bool = False,
    **options: Option,
) -> xr.DataArray | xr.Dataset:
    """Upscale a Sentinel-2 cube, lazily, keeping its georeference exact.

    obj: a DataArray with a dimension of bands, a Dataset of bands, or a DataTree with a node of 10 m bands; any order
        of dimensions, with or without time; DN or BOA reflectance; dask-backed, file-backed or in memory. Nothing is
        read here, unless an option says so.
    model: a name of `xr_sr.list_models()`: "sen2sr", whose weights are inside the package, "sen2sr-lite", the official
        network, "bicubic" ..., one of your own (`register_model`), or the path of a file of weights of a known
        architecture, "mine.safetensors".
    bands: of the output, in that order, by any catalog's name; None: all that the model can compute. Only what
        they need is computed: without 20 m bands these are not read. Two kinds of bands are computed without the
        network, by guided fusion to 10 m (`fuse`), then by bicubic interpolation: B01 and B09, where they are named
        here, and bands of 20 m where others that the network needs beside them are missing, with a BandWarning. The
        attribute `xr_sr:guided` names them.
    other: a second cube with the 20 m bands on their own grid, whose pixels lie two by two on those of `obj` and cover
        it; in a DataTree they are found in its other node.
    layout: of 20 m bands on the 10 m grid. "native": each pixel of the sensor repeated 2 x 2, at multiples of 20 m (an
        error inside a task where it is not so); "resampled": taken as they stand; "auto": native where the pixels
        around are, else as they stand, with a warning when they are computed.
    weights: a file, a folder, or the name of a model whose weights are meant; None takes those of the package, for
        models whose weights are in it, else looks in the folders of `XR_SR_WEIGHTS`, the cache, the hub.
    device: "auto" (a GPU where the worker sees one), "cpu", "cuda", "cuda:N".
    constraint: "auto" is the model's own; "measured" then makes any result agree with the sensor's own pixels of each
        band: seen again through the band's point spread function, it gives what was measured (`mtf=` for bands whose
        function is not Sentinel-2's: its value at the Nyquist frequency, one number or a dict by band); "lowpass" takes
        low frequencies from the input, for any model; "none" is refused where the network holds its constraint inside,
        as "sen2sr-v1" does.
    offset: in DN, to be added; "auto" reads it from the metadata and raises if it is unknown.
    quantification: DN per unit of reflectance; 10000 unless `set_radiometry` wrote another number into the cube.
    nodata: values that mean "not measured"; "auto" is 0 for DN and what attributes declare; NaN always does.
    mask: boolean, True where values are kept; the output is NaN elsewhere (nearest). Its pixels may be a whole number
        of times larger than the cube's, and it may have time. Numbers are refused: a scene classification is no mask.
    precision: "float32"; "bfloat16" and "float16" run the network at half precision, for GPUs: bfloat16 differs by up
        to 9e-3 reflectance (rms 7e-4), and is slower than float32 on processors that do not have it. On a CPU float16
        is many times slower.
    chunks: sides of the output's blocks in input pixels; by default the input's chunks, at least 64 and at most 512;
        what has none is cut evenly, fewer than four blocks on to 256 or less.
    allow_gsd: continue where the ground size of a pixel is more than 1.5 times off what the model was made for, and
        where the cube is the finer result of a model already, which is refused otherwise, for interpolation too.
    options: the model's own; "sen2sr" has `strength`, of what its network adds to kriging, 0 to 1.5 (0 is kriging,
        which is sharper, not more cautious); interpolation has `scale`; kriging has `scale`, `mtf`, `psf`, `noise`,
        `prior`, `strength`; its mtf="estimate" reads the pixels of the cube at once (`estimate_mtf`), and a kernel
        passed as `psf` has at most 13 pixels of its band a side.

    Returns the same type (a Dataset for a DataTree): float32 reflectance, unitless, mostly 0 to 1,
    slightly negative over dark water; NaN exactly where the input is nodata, NaN or masked: one bad pixel costs its
    own footprint in its band. Names of bands and other coordinates are as they came in. Attributes `xr_sr:*` say what
    made it; for DN with dates the coordinate `radiometry_offset` says what was added to the DN of each date. Lazy:
    `.compute()` is yours.
    Raises CubeError, RadiometryError, ModelError or WeightsError before anything runs; RadiometryError inside a task
    where the pixels cannot be what the metadata says.
    """
    request = Request(
        model,
        bands=bands,
        other=other,
        layout=layout,
        weights=weights,
        device=device,
        constraint=constraint,
        offset=offset,
        quantification=quantification,
        nodata=nodata,
        mask=mask,
        precision=precision,
        chunks=chunks,
        allow_gsd=allow_gsd,
        options=options,
    )
    return _refined(obj, request)


def _arguments_in(docstring: str) -> dict[str, str]:
    """Return the lines of a docstring that describe each argument, by its name; one argument begins a line."""
    described = cleandoc(docstring).split("\nReturns")[0]
    found = re.finditer(r"^(\w+): .*\n(?: +.*\n)*", described + "\n", re.MULTILINE)
    return {match[1]: match[0] for match in found}


def described_as_in_upscale(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Replace the line on other arguments by their description in `upscale`: `?` shows all that a function takes."""
    if function.__doc__ and upscale.__doc__:  # none with python -OO
        own = cleandoc(function.__doc__)
        taken = signature(function).parameters
        entries = {
            name: text
            for name, text in _arguments_in(upscale.__doc__).items()
            if name in taken and f"{name}: " not in own
        }
        function.__doc__ = own.replace("Other arguments: as in `upscale`.\n", "".join(entries.values()))
    return function


@_typed_by_cube
@warns_once
@explains_sensors(FOR_MODELS)
@described_as_in_upscale
def fuse(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    model: str = "glp-hpm",
    *,
    to: int | None = 10,
    bands: Sequence[str] | None = None,
    other: xr.DataArray | xr.Dataset | xr.DataTree | None = None,
    layout: LayoutChoice = "auto",
    weights: str | Path | None = None,
    device: str = "auto",
    constraint: Literal["auto", "measured", "lowpass", "none"] = "auto",
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    mask: xr.DataArray | None = None,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    chunks: Chunks = None,
    allow_gsd: bool = False,
    **options: Option,
) -> xr.DataArray | xr.Dataset:
    """Sharpen the 20 m and 60 m bands of a cube to its 10 m grid, with the detail of its 10 m bands; lazily.

    model: "glp-hpm" (the pyramid of Aiazzi et al. 2006, matched to the sensor's MTF, with high-pass modulation) or
        "bicubic", both without weights and for any bands of pixels 2 to 6 times as wide, those of 60 m too; or
        "sen2sr-lite", the official network, for the six bands of 20 m, which needs all ten bands.
    to: meters between pixels of the result: 10. None takes the finest pixels there are, of any size, as for
        pansharpening, where one panchromatic band guides the others (for models without weights).
    bands: of the output; None: all that the model can compute. Those of 10 m come as reflectance, else unchanged.
    options: of "glp-hpm", `guide`: "regression" on all finer bands, in a window of 7 coarse pixels (Selva et al. 2015);
        "nearest", the finer band of the nearest wavelength; or the name of one. `mtf`: of the coarser bands at their
        Nyquist frequency, one number; 0 is what is known of Sentinel-2.
    Other arguments: as in `upscale`.

    Returns and raises what `upscale` does; the grid is that of the 10 m bands.
    """
    request = Request(
        model,
        fusing=True,
        gsd_m=_gsd_of(model, to),
        bands=bands,
        other=other,
        layout=layout,
        weights=weights,
        device=device,
        constraint=constraint,
        offset=offset,
        quantification=quantification,
        nodata=nodata,
        mask=mask,
        precision=precision,
        chunks=chunks,
        allow_gsd=allow_gsd,
        options=options,
    )
    return _refined(obj, request)


@warns_once
@explains_sensors(FOR_MODELS)
@described_as_in_upscale
def explain(
    obj: AnyCube,
    model: str | None = None,
    *,
    fuse: bool = False,
    to: int | None = 10,
    bands: Sequence[str] | None = None,
    other: xr.DataArray | xr.Dataset | xr.DataTree | None = None,
    layout: LayoutChoice = "auto",
    weights: str | Path | None = None,
    device: str = "auto",
    constraint: Literal["auto", "measured", "lowpass", "none"] = "auto",
    offset: Offset = "auto",
    quantification: Quantification = "auto",
    nodata: Nodata = "auto",
    mask: xr.DataArray | None = None,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    chunks: Chunks = None,
    allow_gsd: bool = False,
    **options: Option,
) -> Plan:
    """Describe what `upscale` or `fuse` would do with a cube: variant, grids, radiometry, blocks, memory.

    fuse: describe `fuse` instead. model: by default "sen2sr", or "glp-hpm" of `fuse`. to: of `fuse`, in meters.
    Other arguments: as in `upscale`.

    Returns a Plan, whose `repr` (HTML in Jupyter) has a line for each of: the variant of the model and its weights;
    the bands of the result, and how each is computed; both grids; where coarse bands are read from; how values become
    reflectance, with the offset of each date in DN on both grids; the pixels around a block that it depends on; the
    number and size of the blocks; the size of the output; and an estimate of the memory of one task. No pixel is read,
    and nothing is downloaded: an MTF that `upscale` would measure, and weights that it would download, are named.
    Raises what `upscale` raises before it reads a pixel.
    """
    check_flag("fuse", fuse)
    if not fuse and to != 10:
        raise OptionError("to=: only fuse has this argument. Pass fuse=True, or leave it out.")
    if model is None:
        model = "glp-hpm" if fuse else "sen2sr"
    known_models = registry.names()
    request = Request(
        model,
        fusing=fuse,
        gsd_m=_gsd_of(model, to) if fuse else 10.0,
        bands=bands,
        other=other,
        layout=layout,
        weights=weights,
        device=device,
        constraint=constraint,
        offset=offset,
        quantification=quantification,
        nodata=nodata,
        mask=mask,
        precision=precision,
        chunks=chunks,
        allow_gsd=allow_gsd,
        options=options,
        describes=True,
    )
    try:
        return plan(obj, request)
    finally:
        if registry.is_own(request.model) and request.model not in known_models:
            registry.forget(request.model)  # a file of weights was recognized: only `upscale` registers it


def _gsd_of(model: str, to: int | None) -> float | None:
    """Return the size of the pixels that `fuse` brings bands to, in meters; None for the finest there are."""
    check_text("model", model)
    if to is None and not registry.without_weights(model, fusing=True):
        raise OptionError(f"to=None: {model!r} works at 10 m only. For pixels of any size: model='glp-hpm'.")
    if not is_one_of(to, (10, 10.0, None)):
        raise OptionError(f"to={to!r}: expected 10, in meters. For ten bands at 2.5 m: cube.sr.upscale().")
    return None if to is None else 10.0


def _refined(obj: AnyCube, request: Request) -> xr.DataArray | xr.Dataset:
    """Plan, build the lazy graph, and return it in the form of the cube."""
    made = plan(obj, request)
    return rebuild(made, graph(made))
