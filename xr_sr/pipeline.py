"""The conductor: from a cube of any kind to a finer one of the same kind, as a lazy graph.

Knows the order of things; each thing is done in a room of its own. What happens inside one task is `block`'s.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypeAlias

import xarray as xr

from . import kernels
from ._version import __version__
from .assembly import assemble
from .block import Recipe, blend_block, upscale_block, upscale_window
from .cube import Cube, Plane, check_gsd, pick, recognise
from .engine import check_device
from .errors import GridError, OptionError
from .georeference import pixel_size_m, place_of
from .halo import SIDE, map_tiles
from .lattice import Lattice, map_windows
from .preparation import to_grid
from .radiometry import Nodata, Offset, offset_coords, resolve
from .spec import ModelSpec, Option, Provenance
from .weights import catalog, fetch

if TYPE_CHECKING:
    import dask.array as da

Chunks: TypeAlias = int | tuple[int, int] | Mapping[str, int] | None
"""Sides of an output block in input pixels: one for both, (y, x), or by name of dimension; None chooses."""


def upscale(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    model: str = "sen2sr",
    *,
    bands: Sequence[str] | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    constraint: Literal["auto", "lowpass", "none"] = "auto",
    offset: Offset = "auto",
    quantification: float = 10_000,
    nodata: Nodata = "auto",
    mask: xr.DataArray | None = None,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    chunks: Chunks = None,
    allow_gsd: bool = False,
    **options: Option,
) -> Any:
    """Upscale a Sentinel-2 cube, lazily, keeping its georeference exact.

    obj: a DataArray with a dimension of bands, a Dataset of bands, or a DataTree with a node of 10 m bands; any order
        of dimensions, with or without time; DN or BOA reflectance; dask-backed, file-backed or in memory. Nothing is
        read here.
    model: a name of `xr_sr.list_models()`, such as "sen2sr-lite", "bicubic", "bilinear" or "nearest".
    bands: wanted out, in that order, by any catalogue's name; None gives every band that the model can give.
    weights: a file, a folder, or the name of a model whose weights are meant; None looks in `XR_SR_WEIGHTS`, the
        cache, the hub.
    device: "auto" (a GPU where the worker sees one), "cpu", "cuda", "cuda:N".
    constraint: "auto" is the model's own; "lowpass" takes low frequencies from the input, for any model; "none".
    offset: in DN, to be added; "auto" reads it from metadata and raises where there is none.
    quantification: DN per unit of reflectance.
    nodata: values that mean "not measured"; "auto" is 0 for DN and what attributes declare; NaN always does.
    mask: True where values are kept; the output is NaN elsewhere (nearest). Its pixels may be a whole number of times
        larger than the cube's, and it may have time. NaN in it means not kept.
    precision: "float32"; "bfloat16" and "float16" run the network at half precision, for GPUs: bfloat16 differs by up
        to 9e-3 reflectance (rms 7e-4), and is slower than float32 on processors that do not have it.
    chunks: sides of the output's blocks in input pixels; by default the input's chunks, at least 64 and at most 512.
    allow_gsd: go on where the ground size of a pixel is more than 1.5 times off what the model was made for.
    options: the model's own; interpolation has `scale`.

    Returns the same kind of object (a DataTree gives a Dataset): float32 reflectance, unitless, mostly 0 to 1,
    slightly negative over dark water; NaN exactly where the input is nodata, NaN or masked: one bad pixel costs its
    own footprint in its band. Names of bands and other coordinates are as they came in. Attributes `xr_sr:*` say what
    made it; for DN with dates the coordinate `radiometry_offset` says what was added to the DN of each date. Lazy:
    `.compute()` is yours.
    Raises CubeError, RadiometryError, ModelError or WeightsError before anything runs; RadiometryError inside a task
    where the pixels cannot be what the metadata says.
    """
    if isinstance(bands, str):
        bands = [bands]
    check_device(device)
    cube = recognise(obj, model_gsd_m=10.0)
    spec, wanted = catalog.choose(model, cube.available, bands)
    spec = _with_options(spec, options)
    if bands is None and not spec.bands:
        cube.warn_left_behind(spec.name)
    planes_in = pick(cube, spec.bands or wanted, reader=spec.name)
    planes_out = pick(cube, wanted, reader=spec.name)
    if spec.gsd_m is not None:
        check_gsd(cube, spec.gsd_m, allow=allow_gsd, model=spec.name)
    radiometry = resolve(cube, planes_in, offset=offset, quantification=quantification, nodata=nodata)
    kernel = _kernel_ref(spec, weights, device, constraint, precision)
    halo = kernels.halo_for(spec, kernel.low_pass)

    names_in = [plane.band for plane in planes_in]
    gives = list(spec.bands_out or names_in)
    recipe = Recipe(
        kernel,
        radiometry,
        halo,
        out_of=tuple(names_in.index(plane.band) if plane.band in names_in else 0 for plane in planes_out),
        give=tuple(gives.index(plane.band) for plane in planes_out),
    )
    split = cube.band_dim is None and cube.kind != "DataArray"
    how: dict[str, Any] = {
        "scale": spec.scale,
        "reach": recipe.reach,
        "bands_out": len(planes_out),
        "args": (recipe,),
        "chunks": _sides(chunks, cube),
        "split": split,
        "name": f"sr-{spec.family}",
    }
    stacks = _stacks(cube, planes_in, mask)
    if spec.window:
        lattice = Lattice(spec.window, spec.overlap, *place_of(cube.grid))
        data = map_windows(upscale_window, blend_block, stacks, lattice=lattice, **how)
    else:
        data = map_tiles(upscale_block, stacks, halo=halo, **how)
    provenance = Provenance(
        model=spec.name,
        version=__version__,
        weights_sha256=kernel.sha256,
        radiometry=radiometry.how,
        constraint="none" if kernel.low_pass is None else f"low-pass, sigma {kernel.low_pass.sigma:.4f} px",
        precision=kernel.precision,
        nodata=", ".join(f"{value:g}" for value in radiometry.nodata),
        mask=_mask_token(mask, cube),
        scale=spec.scale,
        options=json.dumps(options, sort_keys=True, default=int) if options else "",
        source_gsd_m=_gsd_m(cube),
        record=spec.digest() if catalog.is_own(spec.name) else "",
    )
    coords = offset_coords(radiometry, cube)
    return assemble(cube, planes_out, data, scale=spec.scale, attrs=provenance.attrs(), extra_coords=coords)


def _with_options(spec: ModelSpec, options: Mapping[str, Option]) -> ModelSpec:
    """Check a model's own options against its list; `scale` is the one that interpolation has."""
    known = dict(spec.options)
    for name, value in options.items():
        if name not in known:
            raise OptionError(f"{spec.name!r} has no option {name!r}; it has {sorted(known) or 'none of its own'}.")
        if type(value) is bool or not isinstance(value, SupportsIndex if name == "scale" else type(known[name])):
            wanted = type(known[name]).__name__
            raise OptionError(
                f"{name}={value!r}: wanted {wanted}, such as {known[name]!r}; not {type(value).__name__}."
            )
    scale = operator.index(options.get("scale", spec.scale))  # type: ignore[arg-type]  # checked above
    if not 1 <= scale <= 16:
        raise OptionError(f"scale={scale!r}: wanted a whole number from 1 to 16.")
    return replace(spec, scale=scale)


def _kernel_ref(
    spec: ModelSpec, weights: str | Path | None, device: str, constraint: str, precision: str
) -> kernels.KernelRef:
    if precision not in kernels.PRECISIONS:
        raise OptionError(f"precision={precision!r}: wanted one of {list(kernels.PRECISIONS)}.")
    low_pass = kernels.constraint_for(spec, constraint)
    if not spec.architecture:
        if weights is not None:
            raise OptionError(
                f"{spec.name!r} has no weights, so weights={str(weights)!r} has no meaning: leave it out."
            )
        return kernels.KernelRef(spec, device=device, low_pass=low_pass)
    if spec.weights is None and weights is None:  # a network of the user's own that has nothing to load
        return kernels.KernelRef(spec, device=device, precision=precision, low_pass=low_pass)
    located = fetch.locate(spec, weights)
    return kernels.KernelRef(spec, str(located.path), located.sha256, device, precision, low_pass)


def _stacks(cube: Cube, planes: Sequence[Plane], mask: xr.DataArray | None) -> list[list[tuple[da.Array, int | None]]]:
    """Give the lazy arrays that a task reads: the planes, and the mask if there is one."""
    arrays: dict[int, da.Array] = {}
    stack = []
    for plane in planes:
        key = id(plane.array)
        if key not in arrays:
            arrays[key] = _lazy(plane.array, cube)
        stack.append((arrays[key], plane.index))
    if mask is None:
        return [stack]
    if not isinstance(mask, xr.DataArray):
        raise GridError(
            f"mask= is a DataArray with {cube.y} and {cube.x}, True where values are kept; not {type(mask)}."
        )
    keep = to_grid(mask, cube, "mask=")
    keep = keep.notnull() & (keep != 0) if keep.dtype.kind == "f" else keep
    sizes = {dim: planes[0].array.sizes[dim] for dim in (*cube.lead, cube.y, cube.x)}
    keep = keep.expand_dims({dim: sizes[dim] for dim in cube.lead if dim not in keep.dims}).transpose(*sizes)
    return [stack, [(_lazy(keep, cube), None)]]


def _mask_token(mask: xr.DataArray | None, cube: Cube) -> str:
    """Name a mask, so that a store does not mix results of two: by its values, or by its graph where it is lazy.

    A mask of each date is input, as pixels are: its name is the same for any dates, so that a store can be extended.
    """
    from dask.base import tokenize

    if mask is None:
        return ""
    if set(mask.dims) & set(cube.lead):
        return "by date"
    return str(tokenize(mask.variable, *mask.dims))


def _lazy(array: xr.DataArray, cube: Cube) -> da.Array:
    """Give dask's view of an array, wrapping what is in memory or in a file in blocks of the default size."""
    if array.chunks is None:
        sides = {
            dim: SIDE if dim in (cube.y, cube.x) else 1 if dim in cube.lead else -1 for dim in map(str, array.dims)
        }
        array = array.chunk(sides)
    lazy: da.Array = array.variable.data
    return lazy


def _sides(chunks: Chunks, cube: Cube) -> list[int | None] | None:
    """Translate `chunks` to sides along (*lead, y, x)."""
    if chunks is None:
        return None
    dims = (*cube.lead, cube.y, cube.x)
    try:
        if isinstance(chunks, Mapping):
            sides = {str(dim): operator.index(side) for dim, side in chunks.items()}
        else:
            pair = (chunks, chunks) if isinstance(chunks, SupportsIndex) else tuple(chunks)
            sides = dict(zip((cube.y, cube.x), map(operator.index, pair), strict=True))
    except (TypeError, ValueError):
        sides = {"": 0}
    if not set(sides) <= set(dims) or min(sides.values(), default=1) < 1:
        raise OptionError(
            f"chunks={chunks!r}: wanted a number of input pixels, a pair (y, x), or whole numbers from 1 "
            f"by names of dimensions, {list(dims)}."
        )
    return [sides.get(dim) for dim in dims]


def _gsd_m(cube: Cube) -> float | None:
    size = pixel_size_m(cube.geobox)
    return None if size is None else round((size[0] * size[1]) ** 0.5, 3)
