"""The conductor: from a cube of any kind to a finer one of the same kind, as a lazy graph.

Knows the order of things; each thing is done in a room of its own. What happens inside one task is `block`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from .. import kernels
from .._version import __version__
from ..arguments import check_choice, check_flag, check_text, is_one_of, items_of, shown
from ..catalog import fallback, registry
from ..cube.grid import pixel_size_m, place_of
from ..cube.multigrid import coarser_cube, coarser_cubes, joined
from ..cube.rebuild import assemble
from ..cube.select import AnyCube, Cube, check_gsd, pick, recognise
from ..cube.sensors import FOR_MODELS, explains_sensors, other_sensor, warn_of_sensor
from ..errors import GridError, MissingBandError, OptionError, warns_once
from ..kernels.resolve import kernel_ref, with_options
from ..radiometry.resolve import Nodata, Offset, offset_coords, resolve
from ..runtime.device import check_device
from ..spec import Option, Provenance
from ..tiling.halo import map_tiles
from ..tiling.lattice import Lattice, map_windows
from ..tiling.two_resolutions import FAR
from .block import Recipe, blend_block, upscale_block, upscale_window
from .fusing import COARSE_STACK, fuse_block
from .inputs import Chunks, Layout, mask_token, second_grid, sides_of, stacks_of
from .pansharpen import (
    Request,
    available_bands,
    fallback_bands,
    guided_bands,
    joined_all,
    refuse_sharpened,
    sides_like,
    warn_fallback,
)


@warns_once
@explains_sensors(FOR_MODELS)
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
    bands: of the output, in that order, by any catalogue's name; None: all that the model can compute. Only what
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
    constraint: "auto" is the model's own; "lowpass" takes low frequencies from the input, for any model; "none" is
        refused where the network holds its constraint inside, as "sen2sr" does.
    offset: in DN, to be added; "auto" reads it from the metadata and raises if it is unknown.
    quantification: DN per unit of reflectance.
    nodata: values that mean "not measured"; "auto" is 0 for DN and what attributes declare; NaN always does.
    mask: boolean, True where values are kept; the output is NaN elsewhere (nearest). Its pixels may be a whole number
        of times larger than the cube's, and it may have time. Numbers are refused: a scene classification is no mask.
    precision: "float32"; "bfloat16" and "float16" run the network at half precision, for GPUs: bfloat16 differs by up
        to 9e-3 reflectance (rms 7e-4), and is slower than float32 on processors that do not have it.
    chunks: sides of the output's blocks in input pixels; by default the input's chunks, at least 64 and at most 512;
        what has none is cut evenly, fewer than four blocks on to 256 or less.
    allow_gsd: go on where the ground size of a pixel is more than 1.5 times off what the model was made for.
    options: the model's own; interpolation has `scale`.

    Returns the same type (a Dataset for a DataTree): float32 reflectance, unitless, mostly 0 to 1,
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


@warns_once
@explains_sensors(FOR_MODELS)
def fuse(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    model: str = "glp-hpm",
    *,
    to: int | None = 10,
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
    """Bring the 20 m bands of a cube, and those of 60 m, to its 10 m grid, with the detail of its 10 m bands; lazily.

    model: "glp-hpm" (the pyramid of Aiazzi et al. 2006, matched to the sensor's MTF, with high-pass modulation) or
        "bicubic", both without weights and for any bands of pixels 2 to 6 times as wide, those of 60 m too; or
        "sen2sr-lite", the official network, for the six bands of 20 m, which needs all ten bands.
    to: metres between pixels of the result: 10. None takes the finest pixels there are, of any size, as for
        pansharpening, where one panchromatic band guides the others (for models without weights).
    bands: of the output; None: all that the model can compute. Those of 10 m come as reflectance, else unchanged.
    options: of "glp-hpm", `guide`: "regression" on all finer bands, in a window of 7 coarse pixels (Selva et al. 2015);
        "nearest", the finer band of the nearest wavelength; or the name of one. `mtf`: of the coarser bands at their
        Nyquist frequency, one number; 0 is what is known of Sentinel-2.
    Other arguments, what is returned and what is raised: as in `upscale`; the grid is that of the 10 m bands.
    """
    check_text("model", model)
    if to is None and not registry.without_weights(model, fusing=True):
        raise OptionError(f"to=None: {model!r} was made for 10 m. Pixels of any size: model='glp-hpm'.")
    if not is_one_of(to, (10, 10.0, None)):
        raise OptionError(f"to={to!r}: wanted 10, in metres. For ten bands at 2.5 m: cube.sr.upscale().")
    return _refined(
        obj,
        model,
        fusing=True,
        gsd_m=None if to is None else 10.0,
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
    gsd_m: float | None = 10.0,
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
    if bands is not None:
        names = [bands] if isinstance(bands, str) else items_of(bands)
        if names is None or not all(isinstance(name, str) for name in names):
            raise OptionError(f"bands={shown(bands)}: expected names of bands, such as bands=['B04', 'B08'].")
        bands = list(map(str, names))
    check_flag("allow_gsd", allow_gsd)
    check_device(device)
    check_text("model", model)
    check_text("constraint", constraint)
    check_choice("precision", precision, kernels.PRECISIONS)
    if not is_one_of(layout, ("auto", "native", "resampled")):
        raise OptionError(f"layout={layout!r}: wanted 'auto', 'native' or 'resampled'.")
    cube = recognise(obj, model_gsd_m=gsd_m)
    if gsd_m is not None and (reason := other_sensor(obj, cube)):
        warn_of_sensor(reason)
    numbers: dict[str, Any] = {"offset": offset, "quantification": quantification, "nodata": nodata}
    beyond = fallback.beyond(model, bands, fusing=fusing)
    formula = registry.without_weights(model, fusing=fusing)
    there = None if formula else _second_cube(obj, cube, other, model, fusing, quiet=bool(beyond))
    lacking = {} if formula or fusing else fallback_bands(model, bands, cube, there)
    guided_too = (*beyond, *lacking)
    request = Request(
        registry.get(registry.GUIDED),
        {},
        layout,
        numbers,
        mask,
        device,
        sides_of(chunks, cube),
        1 if fusing else registry.get(model).scale,
    )
    if formula or (guided_too and bands and {registry.canonical(band) for band in bands} <= {*guided_too}):
        if weights is not None or not (constraint in ("auto", "none") and precision == "float32"):
            what = f"{', '.join(guided_too)} without the network" if guided_too else repr(model)
            raise OptionError(
                f"{what}: guided fusion is a formula in float32; weights=, constraint= and precision= have no meaning "
                "for it. Leave them out."
            )
        gsd_m = gsd_m if fusing else registry.get(model).gsd_m
        if gsd_m is not None:
            check_gsd(cube, gsd_m, allow=allow_gsd, model=model)
        made = _by_formula(obj, cube, other, registry.GUIDED if guided_too else model, bands, request, options)
        warn_fallback(model, lacking, cube)
        return made
    available = tuple(dict.fromkeys((*cube.available, *(there.available if there else ()))))
    elsewhere = [band for _, names in cube.elsewhere for band in names if band not in available]
    by_network = None if bands is None else [band for band in bands if registry.canonical(band) not in guided_too]
    spec, wanted = registry.choose(
        model, available, by_network, fusing=fusing, elsewhere=elsewhere, fallback=[*lacking]
    )
    order = [band for band in available if band in (*wanted, *lacking)] if bands is None else bands
    spec = with_options(spec, options)
    if bands is None and not spec.bands:
        cube.warn_left_behind(spec.name)
    coarse = there if there and spec.coarse and set(spec.coarse) <= set(there.available) else None
    if spec.coarse and coarse is None:
        refuse_sharpened(cube, spec.coarse, spec.name)
    both = joined(cube, coarse) if coarse else cube
    reads = [band for band in spec.bands or wanted if band not in spec.coarse]
    planes_in = pick(cube, reads, reader=spec.name)
    planes_20m = pick(coarse or cube, spec.coarse, reader=spec.name)
    planes_out = pick(both, wanted, reader=spec.name)
    if spec.gsd_m is not None:
        check_gsd(cube, spec.gsd_m, allow=allow_gsd, model=spec.name)
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
    split = bool(guided_too) or (cube.band_dim is None and cube.kind != "DataArray")
    how: dict[str, Any] = {
        "scale": spec.scale,
        "reach": recipe.reach,
        "bands_out": len(planes_out),
        "args": (recipe,),
        "chunks": request.sides,
        "split": split,
        "name": f"sr-{spec.family}",
    }
    stacks = stacks_of(cube, planes_in, mask)
    said, read_as, guided = radiometry.how, "", ""
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
    if guided_too:
        grids = coarser_cubes(obj, cube, other)
        request = replace(request, sides=sides_like(data[0], spec.scale), scale=spec.scale)
        more_bands = guided_bands(cube, grids, guided_too, request)
        warn_fallback(model, lacking, cube)
        both, guided = joined_all(both, grids), more_bands.how
        said = said if more_bands.read_as == said else more_bands.read_as
        arrays = dict(zip(wanted, data, strict=True)) | more_bands.arrays
        wanted = tuple(registry.canonical(band) for band in order)
        planes_out, data = pick(both, wanted, reader=spec.name), [arrays[band] for band in wanted]
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
        options=_as_text(options),
        source_gsd_m=_gsd_m(cube),
        record=spec.digest() if registry.is_own(spec.name) else "",
        layout=read_as,
        guided=guided,
    )
    coords = offset_coords(radiometry, cube)
    by_formula = replace(
        provenance,
        model=registry.GUIDED,
        weights_sha256="",
        constraint="none",
        precision="float32",
        options="",
        record="",
    ).attrs()
    return assemble(
        both,
        planes_out,
        data,
        scale=spec.scale,
        attrs=provenance.attrs(),
        attrs_of=dict.fromkeys(guided_too, by_formula),
        extra_coords=coords,
    )


def _by_formula(
    obj: AnyCube,
    cube: Cube,
    other: AnyCube | None,
    model: str,
    bands: Sequence[str] | None,
    request: Request,
    options: Mapping[str, Option],
) -> Any:
    """Do what `fuse` says without weights, and what `upscale` does with bands that all come by guided fusion."""
    grids = coarser_cubes(obj, cube, other)
    request = replace(request, spec=with_options(registry.fusing(model), options), options=options)
    available = available_bands(cube, grids, request, every=bands is None)
    spec, wanted = registry.choose(model, available, bands, fusing=True)
    made = guided_bands(cube, grids, wanted, request)
    both = joined_all(cube, grids)
    planes = pick(both, wanted, reader=spec.name)
    provenance = Provenance(
        model=spec.name,
        version=__version__,
        weights_sha256="",
        radiometry=made.read_as,
        constraint="none",
        precision="float32",
        nodata=", ".join(f"{value:g}" for value in made.radiometry.nodata),
        mask=mask_token(request.mask, cube),
        scale=request.scale,
        options=_as_text(options),
        source_gsd_m=_gsd_m(cube),
        guided=made.how,
    )
    data = [made.arrays[band] for band in wanted]
    coords = offset_coords(made.radiometry, cube)
    return assemble(both, planes, data, scale=request.scale, attrs=provenance.attrs(), extra_coords=coords)


def _as_text(options: Mapping[str, Option]) -> str:
    return json.dumps(dict(options), sort_keys=True, default=int) if options else ""


def _second_cube(
    obj: AnyCube, cube: Cube, other: AnyCube | None, model: str, fusing: bool, *, quiet: bool
) -> Cube | None:
    """Find the cube of 20 m bands, where the model reads such and there is one. quiet: others read `other` too."""
    bands = registry.coarse_bands(model, fusing=fusing)
    if quiet and not bands:
        return None
    if other is not None and not bands:
        raise OptionError(f"{model!r} reads pixels of one size, so other= has no meaning for it: leave it out.")
    found = coarser_cube(obj, cube, other, bands)
    if other is None or found is None:
        return found
    theirs, ours = pixel_size_m(found.geobox), pixel_size_m(cube.geobox)
    if theirs and ours and theirs[0] < 0.75 * ours[0]:
        raise GridError(
            f"other= holds pixels of {theirs[0]:.3g} m, and the cube those of {ours[0]:.3g} m. The finer comes "
            "first: fine.sr.upscale(other=coarse)."
        )
    if not quiet and not set(bands) & set(found.available):
        raise MissingBandError(
            f"other= holds {list(found.available)}; wanted are bands of wider pixels that {model!r} reads, of "
            f"{list(bands)}. Leave it out, or give the cube that has them."
        )
    return found


def _gsd_m(cube: Cube) -> float | None:
    size = pixel_size_m(cube.geobox)
    return None if size is None else round((size[0] * size[1]) ** 0.5, 3)
