"""Plan how a cube is super-resolved: choose a variant of the model, its inputs and grids, without reading a pixel.

`request` holds the arguments, `plan` the record that comes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .. import kernels
from .._version import __version__
from ..catalog import fallback, registry
from ..catalog.generative import Diffusion
from ..catalog.models import Kriging, Model, Network, Pansharpening
from ..cube.align import coarser_cube, coarser_cubes, joined, phase_of
from ..cube.grid import pixel_size_m, place_of
from ..cube.select import AnyCube, Cube, check_gsd, check_measured, pick, recognize
from ..cube.sensors import other_sensor, warn_of_sensor
from ..cube.time import on_dates_of
from ..errors import GridError, MissingBandError, OptionError
from ..kernels.psf import MTF_AT_NYQUIST
from ..kernels.recorded import recorded
from ..kernels.resolve import kernel_ref, kriging_with, with_options
from ..radiometry.resolve import Radiometry, offset_coords, resolve
from ..spec import CONSTRAINT_ATTR, OPTIONS_ATTR, SEEN_BY, Provenance
from ..tiling.lattice import Lattice
from .draws import draws_of, samples_of
from .guided import available_bands, fallback_bands, guided_steps, refuse_sharpened, warn_fallback
from .inputs import mask_token, second_grid, sides_of, stacks_of
from .kriging import kriging_steps
from .measured import CONSTRAINT, constraints, model_options, observations, refuse_unknown_sensor, sensor
from .plan import Plan
from .request import Request
from .sharpness import measure
from .steps import Step
from .tasks import Recipe

_WIDEST = 60
"""Pixels after which all wider pixels of a sensor, 2 to 6 times as wide, begin at one place again."""


def plan(obj: AnyCube, request: Request) -> Plan:
    """Choose the variant of a model, the bands that it reads and gives, their grids, radiometry and halo.

    Raises CubeError, RadiometryError, ModelError or WeightsError, as `upscale` says.
    """
    cube = recognize(obj, model_gsd_m=request.gsd_m or "finest")
    check_measured(cube, allow=request.allow_gsd)
    if request.gsd_m is not None and (reason := other_sensor(obj, cube)):
        warn_of_sensor(reason)
    refuse_unknown_sensor(obj, cube, request)
    if request.without_weights:
        return _formula_plan(obj, cube, request, request.model)
    if isinstance(registry.get(request.model), Kriging) and not request.fusing:
        return _kriging_plan(obj, cube, request)
    beyond = fallback.beyond(request.model, request.bands, fusing=request.fusing)
    coarse = _second_cube(obj, cube, request, quiet=bool(beyond))
    lacking = {} if request.fusing else fallback_bands(request.model, request.bands, cube, coarse)
    guided = (*beyond, *lacking)
    if guided and request.bands and {*(request.canonical_bands or ())} <= {*guided}:
        made = _formula_plan(obj, cube, request, registry.GUIDED, f"{', '.join(guided)} without the network")
    else:
        made = _network_plan(obj, cube, coarse, request, guided, [*lacking])
    warn_fallback(request.model, lacking, cube)
    return made


def _network_plan(
    obj: AnyCube, cube: Cube, coarse: Cube | None, request: Request, guided: Sequence[str], lacking: Sequence[str]
) -> Plan:
    """Plan the bands of a network or an interpolation, and beside them those of guided fusion.

    coarse: the cube of 20 m bands, if there is one. guided: bands that come by guided fusion, `lacking` those of them
    for which inputs of the network are missing.
    """
    bands = request.bands
    available = tuple(dict.fromkeys((*cube.available, *(coarse.available if coarse else ()))))
    elsewhere = [band for _, names in cube.elsewhere for band in names if band not in available]
    by_network = None if bands is None else [band for band in bands if registry.canonical(band) not in guided]
    spec, wanted = registry.choose(
        request.model, available, by_network, fusing=request.fusing, elsewhere=elsewhere, fallback=lacking
    )
    in_order = [band for band in available if band in (*wanted, *lacking)] if bands is None else bands
    spec = with_options(spec, model_options(request, spec.options))
    if bands is None and not spec.bands:
        cube.warn_left_behind(spec.name)
    if not (spec.coarse and coarse and set(spec.coarse) <= set(coarse.available)):
        coarse = None
    coarse = on_dates_of(coarse, cube) if coarse else None
    if spec.coarse and coarse is None:
        refuse_sharpened(cube, spec.coarse, spec.name)
    whole = joined(cube, coarse) if coarse else cube
    step, radiometry, read_as = _network_step(cube, coarse, whole, spec, wanted, request)
    steps, how, layout = [step], "", ""
    if step.second is not None:
        layout = "20 m grid" if step.second.layout == "grids" else step.second.layout
    if guided:
        grids = coarser_cubes(obj, cube, request.other)
        more = guided_steps(cube, grids, guided, request, registry.get(registry.GUIDED), spec.scale)
        whole, how = _joined_all(whole, grids), more.how
        steps += more.steps
        read_as = read_as if more.read_as == read_as else more.read_as
        wanted = tuple(map(registry.canonical, in_order))
    kernel = step.recipe.kernel
    made_by = Provenance(
        model=spec.name,
        weights_sha256=" ".join(part.sha256 for _, part in kernel.parts) or kernel.sha256,
        constraint=constraints(request, step.bands, kernel.constraints),
        precision=kernel.precision,
        scale=spec.scale,
        record=spec.digest() if registry.is_own(spec.name) else "",
        layout=layout,
        guided=how,
        **_common_facts(cube, request, radiometry, read_as, spec, wanted),
    )
    by_formula = replace(
        made_by,
        model=registry.GUIDED,
        weights_sha256="",
        constraint=constraints(request, guided, ""),
        precision="float32",
        options="",
        record="",
    )
    return Plan(
        request,
        cube,
        whole,
        spec,
        wanted,
        tuple(steps),
        sides_of(request.chunks, cube),
        split=bool(guided) or (cube.band_dim is None and cube.kind != "DataArray"),
        attrs=made_by.attrs(),
        attrs_of=dict.fromkeys(guided, by_formula.attrs()),
        coords=offset_coords(radiometry, cube),
    )


def _network_step(
    cube: Cube, coarse: Cube | None, whole: Cube, spec: Model, wanted: Sequence[str], request: Request
) -> tuple[Step, Radiometry, str]:
    """Return the step of a network or an interpolation, the radiometry of its fine bands, and that of all in words.

    coarse: the cube of 20 m bands, with the dates of `cube`.
    """
    planes = pick(cube, [band for band in spec.bands or wanted if band not in spec.coarse], reader=spec.name)
    planes_20m = pick(coarse or cube, spec.coarse, reader=spec.name)
    planes_out = pick(whole, wanted, reader=spec.name)
    if spec.gsd_m is not None:
        check_gsd(cube, spec.gsd_m, allow=request.allow_gsd, model=spec.name)
    radiometry = resolve(cube, planes, **request.numbers)
    kernel = kernel_ref(
        spec,
        request.weights,
        request.device,
        request.constraint,
        request.precision,
        wanted,
        download=not request.describes,
    )
    if isinstance(spec, Network) and spec.stochastic:
        seed = dict(spec.config)["seed"]
        assert isinstance(seed, int)
        kernel = replace(kernel, draws=draws_of(cube, spec.bands_out or spec.bands, seed))
    names_in = [plane.band for plane in (*planes, *planes_20m)]
    gives = list(kernel.bands or spec.bands_out or names_in)
    if isinstance(kernel.spec, Diffusion):
        kernel = replace(kernel, samples=samples_of(cube))
    recipe = Recipe(
        kernel,
        radiometry,
        kernels.halo_for(spec, kernel.low_pass),
        out_of=tuple(names_in.index(plane.band) if plane.band in names_in else 0 for plane in planes_out),
        give=tuple(gives.index(plane.band) for plane in planes_out),
    )
    if request.constraint == CONSTRAINT:
        recipe = _agreeing(recipe, request, cube, wanted, names_in, spec)
    step = Step(f"sr-{spec.family}", tuple(wanted), recipe, stacks_of(cube, planes, request.mask))
    if spec.window:
        lattice = Lattice(spec.window, spec.overlap, *place_of(cube.grid))
        return replace(step, lattice=lattice), radiometry, radiometry.how
    if not spec.coarse:
        return step, radiometry, radiometry.how
    theirs = resolve(coarse or cube, planes_20m, **request.numbers)
    second, planes_coarse = second_grid(cube, coarse, planes_20m, theirs, request.layout)
    read_as = radiometry.how if theirs.how == radiometry.how else f"{radiometry.how}; 20 m bands: {theirs.how}"
    return replace(step, second=second, coarse=planes_coarse), radiometry, read_as


def _agreeing(
    recipe: Recipe, request: Request, cube: Cube, wanted: Sequence[str], names_in: Sequence[str], spec: Model
) -> Recipe:
    """Return a recipe whose bands agree with their own pixels. names_in: bands of the input planes, in order."""
    if strange := [band for band in wanted if band not in names_in]:
        raise OptionError(
            f"constraint='measured': {spec.name!r} returns {strange}, which it does not read, so nothing was measured "
            "of them. Leave constraint= out, or leave these out of bands=."
        )
    fine = [band for band in wanted if band not in spec.coarse]
    seen = dict(zip(fine, observations(request, cube, fine, spec.scale), strict=True))
    coarse = [band for band in wanted if band in spec.coarse]
    seen |= dict(zip(coarse, observations(request, cube, coarse, spec.scale, 2), strict=True))
    return recipe.agreeing(tuple(seen[band] for band in wanted), phase_of(cube, _WIDEST))


def _formula_plan(obj: AnyCube, cube: Cube, request: Request, model: str, what: str = "") -> Plan:
    """Plan bands that all come by guided fusion or interpolation to the fine grid, without weights.

    what: the bands, for a message, where another model was asked for them.
    """
    if (
        request.weights is not None
        or request.constraint not in ("auto", "measured", "none")
        or request.precision != "float32"
    ):
        raise OptionError(
            f"{what or repr(model)}: guided fusion is a formula in float32; weights=, precision= and constraint= have "
            "no meaning for it, but for constraint='measured'. Leave them out."
        )
    asked_for = None if request.fusing else registry.get(request.model)
    gsd_m, scale = (asked_for.gsd_m, asked_for.scale) if asked_for else (request.gsd_m, 1)
    if gsd_m is not None:
        check_gsd(cube, gsd_m, allow=request.allow_gsd, model=request.model)
    grids = coarser_cubes(obj, cube, request.other)
    own = model_options(request, registry.fusing(model).options)
    spec = with_options(registry.fusing(model), own)
    assert isinstance(spec, Pansharpening)
    spec = replace(spec, options=tuple((dict(spec.options) | own).items()))
    available = available_bands(cube, grids, spec, every=request.bands is None)
    _, wanted = registry.choose(model, available, request.bands, fusing=True)
    made = guided_steps(cube, grids, wanted, request, spec, scale)
    attrs = Provenance(
        model=spec.name,
        weights_sha256="",
        constraint=constraints(request, wanted, ""),
        precision="float32",
        scale=scale,
        guided=made.how,
        **_common_facts(cube, request, made.radiometry, made.read_as, spec, wanted),
    ).attrs()
    return Plan(
        request,
        cube,
        _joined_all(cube, grids),
        spec,
        wanted,
        tuple(made.steps),
        sides_of(request.chunks, cube),
        split=True,
        attrs=attrs,
        coords=offset_coords(made.radiometry, cube),
    )


def _kriging_plan(obj: AnyCube, cube: Cube, request: Request) -> Plan:
    """Plan bands of all grids, each from its own pixels."""
    spec = registry.get(request.model)
    assert isinstance(spec, Kriging)
    spec = kriging_with(spec, request.options)
    grids = coarser_cubes(obj, cube, request.other)
    available = tuple(dict.fromkeys([*cube.available, *(band for grid in grids for band in grid.available)]))
    _, wanted = registry.choose(request.model, available, request.bands)
    estimated = spec.mtf == "estimate"
    if estimated:
        if request.describes:  # stand-ins: no pixel is read
            numbers = {band: MTF_AT_NYQUIST.get(band, 0.25) for band in wanted}
        else:
            numbers = measure(obj, wanted, request.other, request.mask, request.numbers)
        request = replace(request, options={**request.options, "mtf": numbers})
        spec = kriging_with(spec, request.options)
    kernel = kernel_ref(spec, request.weights, request.device, request.constraint)
    if request.precision != "float32":
        raise OptionError(f"precision={request.precision!r}: {spec.name!r} is computed in float32. Leave it out.")
    made = kriging_steps(cube, grids, wanted, request, kernel)
    attrs = Provenance(
        model=spec.name,
        weights_sha256="",
        constraint=constraints(request, wanted, kernel.constraints),
        precision="float32",
        scale=spec.scale,
        **_common_facts(cube, request, made.radiometry, made.read_as, spec, wanted),
    ).attrs()
    if estimated and request.describes:  # nothing is known of the numbers
        constraint, seen_by, _ = str(attrs.pop(CONSTRAINT_ATTR)).partition(SEEN_BY)
        attrs = {**attrs, CONSTRAINT_ATTR: constraint + (seen_by and f"{seen_by}MTF estimated")}
        del attrs[OPTIONS_ATTR]
    return Plan(
        request,
        cube,
        _joined_all(cube, grids),
        spec,
        wanted,
        tuple(made.steps),
        sides_of(request.chunks, cube),
        split=len(made.steps) > 1 or (cube.band_dim is None and cube.kind != "DataArray"),
        attrs=attrs,
        estimated=estimated,
        coords=offset_coords(made.radiometry, cube),
    )


def _common_facts(
    cube: Cube, request: Request, radiometry: Radiometry, read_as: str, spec: Model, wanted: Sequence[str]
) -> dict[str, Any]:
    """Return the fields of a Provenance that do not depend on the kernel. spec: with the user's options."""
    size = pixel_size_m(cube.geobox)
    return {
        "version": __version__,
        "radiometry": read_as,
        "nodata": ", ".join(f"{value:g}" for value in radiometry.nodata),
        "mask": mask_token(request.mask, cube),
        "options": recorded(spec, wanted, sensor(request)),
        "source_gsd_m": None if size is None else round((size[0] * size[1]) ** 0.5, 3),
    }


def _joined_all(cube: Cube, coarser: Sequence[Cube]) -> Cube:
    """Return a cube with the bands of all grids."""
    for other in coarser:
        cube = joined(cube, other)
    return cube


def _second_cube(obj: AnyCube, cube: Cube, request: Request, *, quiet: bool) -> Cube | None:
    """Find the cube of 20 m bands, if the model reads such bands and there is one. quiet: others read `other` too."""
    other, model = request.other, request.model
    bands = registry.coarse_bands(model, fusing=request.fusing)
    if quiet and not bands:
        return None
    if other is not None and not bands:
        raise OptionError(f"other=: {model!r} reads pixels of one size and has no use for a second cube. Leave it out.")
    found = coarser_cube(obj, cube, other, bands)
    if other is None or found is None:
        return found
    theirs, ours = pixel_size_m(found.geobox), pixel_size_m(cube.geobox)
    if theirs and ours and theirs[0] < 0.75 * ours[0]:
        raise GridError(
            f"other= holds pixels of {theirs[0]:.3g} m, and the cube those of {ours[0]:.3g} m. The finer cube comes "
            "first: fine.sr.upscale(other=coarse)."
        )
    if not quiet and not set(bands) & set(found.available):
        raise MissingBandError(
            f"other= holds {list(found.available)}; {model!r} reads coarse bands of {list(bands)}. Leave it out, or "
            "pass the cube that has them."
        )
    return found
