"""The lazy result of `upscale` and `fuse`: choose a variant of the model, read the inputs, build the graph, rebuild.

Each step is in a module of its own; here is their order. What happens inside one task is in `block`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from .. import kernels
from .._version import __version__
from ..arguments import check_choice, check_flag, check_text, is_one_of, items_of, shown
from ..catalog import fallback, registry
from ..cube.align import coarser_cube, coarser_cubes, joined
from ..cube.grid import pixel_size_m, place_of
from ..cube.rebuild import assemble
from ..cube.select import AnyCube, Cube, check_gsd, pick, recognise
from ..cube.sensors import other_sensor, warn_of_sensor
from ..errors import GridError, MissingBandError, OptionError
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


def refined(
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
