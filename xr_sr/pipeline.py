"""The conductor: from a cube of any kind to a finer one of the same kind, as a lazy graph.

Knows the order of things; each thing is done in a room of its own. What happens inside one task is `block`'s.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

import xarray as xr

from . import kernels
from ._version import __version__
from .assembly import assemble
from .block import Recipe, blend_block, upscale_block, upscale_window
from .coarser import FAR
from .cube import AnyCube, Cube, check_gsd, pick, recognise
from .engine import check_device
from .errors import OptionError
from .fusing import COARSE_STACK, fuse_block
from .georeference import pixel_size_m, place_of
from .grids import coarser_cube, joined
from .halo import map_tiles
from .lattice import Lattice, map_windows
from .radiometry import Nodata, Offset, offset_coords, resolve
from .reading import Chunks, Layout, mask_token, second_grid, sides_of, stacks_of
from .spec import ModelSpec, Option, Provenance
from .weights import catalog, fetch

if TYPE_CHECKING:
    pass


def upscale(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    model: str = "sen2sr",
    *,
    bands: Sequence[str] | None = None,
    other: xr.DataArray | xr.Dataset | xr.DataTree | None = None,
    layout: Layout = "auto",
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
    model: a name of `xr_sr.list_models()`: "sen2sr", whose weights are inside the package, "sen2sr-lite", the official
        network, "bicubic" ..., or one of your own (`register_model`).
    bands: wanted out, in that order, by any catalogue's name; None gives every band that the model can give. Only what
        they need is computed: without 20 m bands these are not read.
    other: a second cube with the 20 m bands on their own grid, whose pixels lie two by two on those of `obj` and cover
        it; in a DataTree they are found in its other node.
    layout: of 20 m bands on the 10 m grid. "native": each pixel of the sensor repeated 2 x 2, at multiples of 20 m (an
        error inside a task where it is not so); "resampled": taken as they stand; "auto": native where the pixels
        around are, else as they stand, with a warning inside the task.
    weights: a file, a folder, or the name of a model whose weights are meant; None looks in `XR_SR_WEIGHTS`, the
        cache, the hub.
    device: "auto" (a GPU where the worker sees one), "cpu", "cuda", "cuda:N".
    constraint: "auto" is the model's own; "lowpass" takes low frequencies from the input, for any model; "none" is
        refused where the network holds its constraint inside, as "sen2sr" does.
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
    return _refined(
        obj,
        model,
        fusing=False,
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


def fuse(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    model: str = "sen2sr-lite",
    *,
    to: int = 10,
    bands: Sequence[str] | None = None,
    other: xr.DataArray | xr.Dataset | xr.DataTree | None = None,
    layout: Layout = "auto",
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
    """Bring the 20 m bands of a cube to its 10 m grid, with the detail that its 10 m bands show; lazily.

    model: a family or model that does so, such as "sen2sr-lite". to: metres between pixels of the result: 10.
    bands: wanted out; None gives every band that the model can give. Those of 10 m come as reflectance, else unchanged.
    Other arguments, what is returned and what is raised: as in `upscale`; the grid is that of the 10 m bands.
    """
    if to != 10:
        raise OptionError(f"to={to!r}: wanted 10, in metres. For ten bands at 2.5 m: upscale(model={model!r}).")
    return _refined(
        obj,
        model,
        fusing=True,
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


def _refined(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    model: str,
    *,
    fusing: bool,
    bands: Sequence[str] | None,
    other: xr.DataArray | xr.Dataset | xr.DataTree | None,
    layout: Layout,
    weights: str | Path | None,
    device: str,
    constraint: str,
    offset: Offset,
    quantification: float,
    nodata: Nodata,
    mask: xr.DataArray | None,
    precision: str,
    chunks: Chunks,
    allow_gsd: bool,
    options: Mapping[str, Option],
) -> Any:
    """Do what `upscale` says, or, with `fusing`, what `fuse` does."""
    if isinstance(bands, str):
        bands = [bands]
    check_device(device)
    if layout not in ("auto", "native", "resampled"):
        raise OptionError(f"layout={layout!r}: wanted 'auto', 'native' or 'resampled'.")
    cube = recognise(obj, model_gsd_m=10.0)
    there = _second_cube(obj, cube, other, model, fusing)
    available = (*cube.available, *(band for band in there.available if band not in cube.available)) if there else None
    spec, wanted = catalog.choose(model, available or cube.available, bands, fusing=fusing)
    spec = _with_options(spec, options)
    if bands is None and not spec.bands:
        cube.warn_left_behind(spec.name)
    coarse = there if there and spec.coarse and set(spec.coarse) <= set(there.available) else None
    both = joined(cube, coarse) if coarse else cube
    reads = [band for band in spec.bands or wanted if band not in spec.coarse]
    planes_in = pick(cube, reads, reader=spec.name)
    planes_20m = pick(coarse or cube, spec.coarse, reader=spec.name)
    planes_out = pick(both, wanted, reader=spec.name)
    if spec.gsd_m is not None:
        check_gsd(cube, spec.gsd_m, allow=allow_gsd, model=spec.name)
    numbers: dict[str, Any] = {"offset": offset, "quantification": quantification, "nodata": nodata}
    radiometry = resolve(cube, planes_in, **numbers)
    kernel = kernel_ref(spec, weights, device, constraint, precision, wanted)
    halo = kernels.halo_for(spec, kernel.low_pass)

    names_in = [plane.band for plane in (*planes_in, *planes_20m)]
    gives = list(kernel.bands or spec.bands_out or names_in)
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
        "chunks": sides_of(chunks, cube),
        "split": split,
        "name": f"sr-{spec.family}",
    }
    stacks = stacks_of(cube, planes_in, mask)
    said, read_as = radiometry.how, ""
    if spec.window:
        lattice = Lattice(spec.window, spec.overlap, *place_of(cube.grid))
        data = map_windows(upscale_window, blend_block, stacks, lattice=lattice, **how)
    elif spec.coarse:
        theirs = resolve(coarse or cube, planes_20m, **numbers)
        second, more = second_grid(cube, coarse, planes_20m, theirs, layout)
        read_as = second.layout if coarse is None else "20 m grid"
        said = said if theirs.how == said else f"{said}; 20 m bands: {theirs.how}"
        if coarse is None:
            stacks += [[] for _ in range(COARSE_STACK - len(stacks))] + [[*more.planes]]
        how |= {"args": (recipe, second), "reach": recipe.reach + FAR, "coarse": more if coarse else None}
        data = map_tiles(fuse_block, stacks, halo=halo, **how)
    else:
        data = map_tiles(upscale_block, stacks, halo=halo, **how)
    provenance = Provenance(
        model=spec.name,
        version=__version__,
        weights_sha256=" ".join(part.sha256 for _, part in kernel.parts) or kernel.sha256,
        radiometry=said,
        constraint=kernel.constraints or "none",
        precision=kernel.precision,
        nodata=", ".join(f"{value:g}" for value in radiometry.nodata),
        mask=mask_token(mask, cube),
        scale=spec.scale,
        options=json.dumps(dict(options), sort_keys=True, default=int) if options else "",
        source_gsd_m=_gsd_m(cube),
        record=spec.digest() if catalog.is_own(spec.name) else "",
        layout=read_as,
    )
    coords = offset_coords(radiometry, cube)
    return assemble(both, planes_out, data, scale=spec.scale, attrs=provenance.attrs(), extra_coords=coords)


def _second_cube(obj: AnyCube, cube: Cube, other: AnyCube | None, model: str, fusing: bool) -> Cube | None:
    """Find the cube of 20 m bands, where the model reads such and there is one."""
    bands = catalog.coarse_bands(model, fusing=fusing)
    if other is not None and not bands:
        raise OptionError(f"{model!r} reads pixels of one size, so other= has no meaning for it: leave it out.")
    return coarser_cube(obj, cube, other, bands)


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


def kernel_ref(
    spec: ModelSpec,
    weights: str | Path | None = None,
    device: str = "auto",
    constraint: str = "auto",
    precision: str = "float32",
    wanted: Sequence[str] = (),
) -> kernels.KernelRef:
    """Find the weights of a model and choose its constraint; arguments as in `upscale`.

    wanted: of a model made of several, the bands that it is to give. Raises OptionError, ModelError, WeightsError.
    """
    if spec.parts:
        if weights is not None and Path(weights).is_file():
            raise OptionError(
                f"{spec.name!r} has {len(spec.files)} files of weights, and weights={str(weights)!r} is one. Give the "
                f"folder that holds them: {', '.join(file.path for file in spec.files)}."
            )
        parts = tuple((role, kernel_ref(part, weights, device, constraint, precision)) for role, part in spec.parts)
        return kernels.KernelRef(spec, device=device, precision=precision, parts=parts, bands=tuple(wanted))
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


def _gsd_m(cube: Cube) -> float | None:
    size = pixel_size_m(cube.geobox)
    return None if size is None else round((size[0] * size[1]) ** 0.5, 3)
