"""Plan coarse bands on the grid of finer ones without weights (pansharpening): `glp-hpm` and `bicubic` of `fuse`.

The same for bands that a network does not give: those of 60 m, and those of 20 m where its inputs are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .. import kernels
from ..bands import BANDS, find_band
from ..catalog import fallback, registry
from ..catalog.models import Model
from ..cube.select import Cube, pick
from ..cube.sensors import native_ratio
from ..cube.time import on_dates_of
from ..errors import BandWarning, MissingBandError, ModelError, OptionError, warn_caller
from ..kernels.psf import MTF_AT_NYQUIST
from ..radiometry.resolve import Radiometry, resolve
from ..spec import MODEL_ATTR
from .inputs import second_grid, stacks_of
from .measured import observations
from .request import Request
from .steps import Step
from .tasks import Recipe

_BANDS = {band.name: band for band in BANDS}


@dataclass(frozen=True, eq=False)
class Guided:
    """The steps that compute some bands on the fine grid without weights.

    how: in words, for the attributes of the result. radiometry: of the fine bands. read_as: how the values of all bands
    are read, in words.
    """

    steps: list[Step]
    how: str
    radiometry: Radiometry
    read_as: str


def guided_steps(
    cube: Cube, coarser: Sequence[Cube], wanted: Sequence[str], request: Request, spec: Model, scale: int
) -> Guided:
    """Plan bands on the fine grid: those that the sensor measures there as they are, the others sharpened.

    coarser: cubes of coarser pixels over the same ground. wanted: canonical names. spec: of the fusion, with the user's
    options. scale: output pixels per fine pixel, by bicubic interpolation after the fusion.
    Raises MissingBandError where no cube has a band, or no finer band is there to guide it; GridError where grids do
    not fit; ModelError for bands that were fused before. Warns BandWarning where `fuse` has nothing to sharpen.
    """
    fine, groups = sorted_by_grid(cube, coarser, wanted)
    guides = _fine_bands(cube)
    if spec.guided and groups and not guides:
        raise MissingBandError(
            f"{spec.name!r} guides coarse bands by finer ones, and the cube has none, only {list(cube.available)}. Add "
            "bands of 10 m, or use model='bicubic'."
        )
    if request.fusing and request.bands is None and not groups:
        warn_caller(
            f"fuse: the cube has no band with larger pixels to sharpen, only {list(fine)}, which are returned as "
            "reflectance. Pass the bands of 20 m as other= or in a tree; for finer pixels use cube.sr.upscale().",
            BandWarning,
        )
    planes_in = pick(cube, guides or cube.available[:1], reader=spec.name)
    radiometry = resolve(cube, planes_in, **request.numbers)
    stacks = stacks_of(cube, planes_in, request.mask)
    steps = [_as_they_are(cube, fine, request, spec, scale)] if fine else []
    how, read_as = [], [radiometry.how]
    for (place, ratio), names in groups.items():
        if place is None and spec.guided:
            refuse_sharpened(cube, names, spec.name)
        # The dates first: their offsets are read along them.
        second_cube = None if place is None else on_dates_of(coarser[place], cube, "the cube of coarse bands")
        planes = pick(second_cube or cube, names, reader=spec.name)
        theirs = resolve(second_cube or cube, planes, **request.numbers)
        second, coarse = second_grid(cube, second_cube, planes, theirs, request.layout, ratio)
        guidance = _guidance(names, guides, coarse.ratio, spec, scale, request.device)
        kernel = kernels.KernelRef(replace(spec, scale=scale), device=request.device)
        places = tuple(range(len(names)))
        recipe = Recipe(kernel, radiometry, kernels.guidance_halo(guidance), out_of=places, give=places)
        recipe = recipe.agreeing(observations(request, cube, names, scale, coarse.ratio))
        steps.append(Step(f"sr-{spec.family}", tuple(names), recipe, stacks, second, coarse, guidance))
        how.append(_how(names, guides, coarse.ratio, spec, scale))
        if theirs.how != radiometry.how:
            read_as.append(f"{', '.join(names)}: {theirs.how}")
    return Guided(steps, "; ".join(how), radiometry, "; ".join(read_as))


def fallback_bands(
    model: str, bands: Sequence[str] | None, cube: Cube, wider: Cube | None
) -> dict[str, tuple[str, ...]]:
    """Find the bands that guided fusion computes because a network lacks inputs for them.

    model, bands: as in `upscale`. wider: the cube of 20 m bands, if they have a grid of their own.
    Returns canonical names with the inputs that are missing, none where these are there, but not on one grid; {} where
    the network computes all, or where no finer band is there to guide the others.
    """
    wide = wider.available if wider else ()
    lacking = fallback.incomplete(model, bands, cube.available, wide)
    there = {
        band: missing
        for band, missing in lacking.items()
        if band in wide or (band in _BANDS and native_ratio(cube.geobox, band) > 1)
    }
    return there if _fine_bands(cube) else {}


def warn_fallback(model: str, lacking: Mapping[str, tuple[str, ...]], cube: Cube) -> None:
    """Warn with a BandWarning of bands that come by guided fusion instead of a network; see `fallback_bands`."""
    if not lacking:
        return
    names, missing = list(lacking), list(next(iter(lacking.values())))
    why, cure = f"{missing} are missing", f"load {missing} too"
    if not missing:
        why, cure = "not all of these are on one grid", "hand them in on one grid"
    warn_caller(
        f"{model!r} computes {names} from all bands that it reads, and {why}. They are computed without the network "
        f"instead: guided fusion to the finer grid ({registry.GUIDED!r}, guided by {_fine_bands(cube)}), then bicubic "
        f"interpolation; the attribute xr_sr:guided says so. For the network's result {cure}.",
        BandWarning,
    )


def refuse_sharpened(cube: Cube, bands: Sequence[str], reader: str) -> None:
    """Raise ModelError for bands that were brought to the finer grid before: they would be sharpened once more."""
    made = str(cube.source.attrs.get(MODEL_ATTR, ""))
    if made in registry.SHARPENED:
        raise ModelError(
            f"{', '.join(bands)} were brought to this grid by {made!r} (attribute {MODEL_ATTR}), and {reader!r} does "
            "that itself: it would sharpen them twice. Give it the scene before fuse()."
        )


def available_bands(cube: Cube, coarser: Sequence[Cube], spec: Model, *, every: bool) -> tuple[str, ...]:
    """Return the bands of all grids that a fusion can compute on the fine grid.

    every: all of them are wanted, so a BandWarning names the coarse bands whose transfer function is unknown.
    """
    bands = tuple(dict.fromkeys([*cube.available, *(band for grid in coarser for band in grid.available)]))
    known = dict(spec.options).get("mtf", 0.0) or not spec.guided
    unknown = [] if known else [band for band in bands if band not in MTF_AT_NYQUIST]
    left = [band for band in unknown if every and band not in sorted_by_grid(cube, coarser, [band])[0]]
    if left:
        warn_caller(
            f"{spec.name!r} has no modulation transfer function (MTF) of {left} and leaves them out. To include them, "
            "pass one number for all coarse bands: mtf=0.25.",
            BandWarning,
        )
    return tuple(band for band in bands if band not in left)


def sorted_by_grid(
    cube: Cube, coarser: Sequence[Cube], wanted: Sequence[str]
) -> tuple[list[str], dict[tuple[int | None, int | None], list[str]]]:
    """Sort bands into those that are fine already, and groups of coarse ones by (which coarser cube, ratio).

    A cube of None has the band on the fine grid; a ratio of None is that of the coarser cube.
    """
    fine: list[str] = []
    groups: dict[tuple[int | None, int | None], list[str]] = {}
    for band in wanted:
        ratio = native_ratio(cube.geobox, band)
        place = next((n for n, other in enumerate(coarser) if band in other.available), None)
        if band in cube.available and ratio == 1:
            fine.append(band)
        elif place is not None:
            groups.setdefault((place, None), []).append(band)
        elif band in cube.available:
            groups.setdefault((None, ratio), []).append(band)
        else:
            have = [*cube.available, *(name for other in coarser for name in other.available)]
            raise MissingBandError(
                f"bands= has {band!r}, which is not among the cube's bands {have}. Load it too, as other= or a node of "
                "the tree, or leave it out of bands=."
            )
    return fine, groups


def _fine_bands(cube: Cube) -> list[str]:
    """Return the bands that the sensor has at the size of the cube's pixels."""
    return [band for band in cube.available if native_ratio(cube.geobox, band) == 1]


def _as_they_are(cube: Cube, bands: Sequence[str], request: Request, spec: Model, scale: int) -> Step:
    """Return the step of bands that are on the fine grid already: reflectance, repeated where the result is finer."""
    nearest = replace(registry.get("nearest"), scale=scale)
    planes = pick(cube, bands, reader=spec.name)
    places = tuple(range(len(bands)))
    radiometry = resolve(cube, planes, **request.numbers)
    recipe = Recipe(kernels.KernelRef(nearest, device=request.device), radiometry, 0, places, places)
    recipe = recipe.agreeing(observations(request, cube, bands, scale, 1))
    return Step(f"sr-{spec.family}", tuple(bands), recipe, stacks_of(cube, planes, request.mask))


def _guidance(
    names: Sequence[str], guides: Sequence[str], ratio: int, spec: Model, scale: int, device: str
) -> kernels.Guidance:
    """Return how the bands of one grid are guided. Raises OptionError."""
    options = dict(spec.options)
    mtf = options.get("mtf", 0.0)
    assert isinstance(mtf, float)  # checked by `with_options`
    if mtf and not 0 < mtf < 1:
        raise OptionError(f"mtf={mtf:g}: expected a number between 0 and 1, or 0 for Sentinel-2's own.")
    if spec.guided and not mtf and (unknown := [band for band in names if band not in MTF_AT_NYQUIST]):
        raise OptionError(f"mtf=: no MTF is known for {unknown}. Pass one number for all guided bands: mtf=0.25.")
    return kernels.Guidance(
        guided=spec.guided,
        ratio=ratio,
        mtf=tuple(mtf or MTF_AT_NYQUIST.get(band, 0.25) for band in names),
        chosen=tuple(_chosen(str(options.get("guide", "regression")), band, guides) for band in names),
        scale=scale,
        device=device,
    )


def _chosen(guide: str, band: str, guides: Sequence[str]) -> int | None:
    """Return the position of a band's guide among the finer bands; None for a regression on all."""
    if guide == "regression" or not guides:
        return None
    if guide == "nearest":
        wavelength_nm = _BANDS[band].wavelength_nm
        return min(range(len(guides)), key=lambda n: abs(_BANDS[guides[n]].wavelength_nm - wavelength_nm))
    found = find_band(guide)
    if found is None or found.name not in guides:
        raise OptionError(
            f"guide={guide!r}: expected 'regression', 'nearest' or one of the finer bands, {list(guides)}."
        )
    return guides.index(found.name)


def _how(names: Sequence[str], guides: Sequence[str], ratio: int, spec: Model, scale: int) -> str:
    """Describe how bands were computed, for the attributes of the result."""
    after = f", then bicubic, {scale} times" if scale > 1 else ""
    guide = str(dict(spec.options).get("guide", ""))
    by = f", guided by {', '.join(guides)} ({guide})" if spec.guided else ""
    return f"{', '.join(names)}: {spec.name}, pixels {ratio} times wider{by}{after}"
