"""Bands of wider pixels on the grid of finer ones, without weights: which bands guide which, from which grids, lazily.

`glp-hpm` and `bicubic` of `fuse`, and the bands beside those that a network gives: of 60 m, and of 20 m where the
network lacks inputs. What happens inside a task is in `guiding`; results are put together by `pipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import xarray as xr

from .. import kernels
from ..bands import BANDS, find_band
from ..catalog import fallback, registry
from ..cube.align import joined
from ..cube.grid import pixel_size_m
from ..cube.select import Cube, pick
from ..errors import BandWarning, MissingBandError, ModelError, OptionError, warn_caller
from ..radiometry.resolve import Radiometry, resolve
from ..simulate.psf import MTF_AT_NYQUIST
from ..spec import MODEL_ATTR, ModelSpec, Option
from ..tiling.halo import map_tiles
from ..tiling.two_resolutions import Coarse, far
from .block import Recipe, upscale_block
from .fusing import COARSE_STACK
from .guiding import guide_block
from .inputs import Layout, second_grid, stacks_of

if TYPE_CHECKING:
    import dask.array as da

__all__ = [
    "Guided",
    "Request",
    "available_bands",
    "fallback_bands",
    "guided_bands",
    "joined_all",
    "refuse_sharpened",
    "sides_like",
    "warn_fallback",
]

_BANDS = {band.name: band for band in BANDS}
_FINEST_M = 0.75 * min(band.gsd_m for band in BANDS)


@dataclass(frozen=True)
class Request:
    """How bands are wanted. spec, options: of the model. numbers: what `resolve` is told. sides: of output blocks.

    scale: output pixels per pixel of the finer grid, by bicubic interpolation after the fusion.
    """

    spec: ModelSpec
    options: Mapping[str, Option]
    layout: Layout
    numbers: Mapping[str, Any]
    mask: xr.DataArray | None
    device: str
    sides: Sequence[int | None] | None
    scale: int = 1


@dataclass(frozen=True)
class Guided:
    """Lazy bands, (*lead, y, x) each, by canonical name. how: a sentence for the attributes of the result.

    radiometry: of the finer bands. read_as: how the values of all bands were read, for the attributes.
    """

    arrays: dict[str, da.Array]
    how: str
    radiometry: Radiometry
    read_as: str


def guided_bands(cube: Cube, coarser: Sequence[Cube], wanted: Sequence[str], request: Request) -> Guided:
    """Bring bands to the grid of a cube, those that the sensor has there as they are.

    coarser: cubes of wider pixels over the same ground. wanted: canonical names.
    Raises MissingBandError where no cube has a band, or nothing is there to guide it; GridError where grids do not fit;
    ModelError for bands that were fused before.
    """
    spec, sides = request.spec, request.sides
    fine, groups = _sorted(cube, coarser, wanted)
    guides = _fine_bands(cube)
    if spec.guided and groups and not guides:
        raise MissingBandError(
            f"{spec.name!r} guides bands of wider pixels by finer ones, and the cube has no finer ones, only "
            f"{list(cube.available)}. Add bands of 10 m, or use model='bicubic'."
        )
    planes_in = pick(cube, guides or cube.available[:1], reader=spec.name)
    radiometry = resolve(cube, planes_in, **request.numbers)
    arrays: dict[str, da.Array] = {}
    if fine:
        arrays |= _as_they_are(cube, fine, request)
        sides = sides_like(arrays[fine[0]], request.scale)
    said, read_as = [], [radiometry.how]
    for (place, ratio), names in groups.items():
        if place is None and spec.guided:
            refuse_sharpened(cube, names, spec.name)
        second_cube = None if place is None else coarser[place]
        planes = pick(second_cube or cube, names, reader=spec.name)
        theirs = resolve(second_cube or cube, planes, **request.numbers)
        second, more = second_grid(cube, second_cube, planes, theirs, request.layout, ratio)
        guidance = _guidance(names, guides, more, request)
        halo = kernels.guidance_halo(guidance)
        kernel = kernels.KernelRef(replace(spec, scale=request.scale), device=request.device)
        places = tuple(range(len(names)))
        recipe = Recipe(kernel, radiometry, halo, out_of=places, give=places)
        stacks = stacks_of(cube, planes_in, request.mask)
        if second_cube is None:
            stacks += [[] for _ in range(COARSE_STACK - len(stacks))] + [[*more.planes]]
        made = map_tiles(
            guide_block,
            stacks,
            scale=request.scale,
            halo=halo,
            reach=recipe.reach + far(more.ratio),
            bands_out=len(names),
            args=(recipe, second, guidance),
            chunks=sides,
            coarse=None if second_cube is None else more,
            split=True,
            name=f"sr-{spec.family}",
        )
        arrays |= dict(zip(names, made, strict=True))
        sides = sides or sides_like(arrays[names[0]], request.scale)
        said.append(_how(names, guides, more, request))
        if theirs.how != radiometry.how:
            read_as.append(f"{', '.join(names)}: {theirs.how}")
    return Guided(arrays, "; ".join(said), radiometry, "; ".join(read_as))


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
        if band in wide or (band in _BANDS and _native_ratio(cube, band) > 1)
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


def available_bands(cube: Cube, coarser: Sequence[Cube], request: Request, *, every: bool) -> tuple[str, ...]:
    """Return the bands of all grids that can be brought to the finer one.

    every: all of them are wanted, so a BandWarning names those of wider pixels whose transfer function nobody knows.
    """
    bands = tuple(dict.fromkeys([*cube.available, *(band for grid in coarser for band in grid.available)]))
    mtf = float(dict(request.options).get("mtf", 0.0))
    unknown = [] if mtf or not request.spec.guided else [band for band in bands if band not in MTF_AT_NYQUIST]
    left = [band for band in unknown if every and band not in _sorted(cube, coarser, [band])[0]]
    if left:
        warn_caller(
            f"{request.spec.name!r} knows no transfer function (MTF) of {left}, which are left out. To have them, pass "
            "one number for all bands of wider pixels: mtf=0.25.",
            BandWarning,
        )
    return tuple(band for band in bands if band not in left)


def joined_all(cube: Cube, coarser: Sequence[Cube]) -> Cube:
    """Make one cube for a result, of all grids; see `grids.joined`."""
    for other in coarser:
        cube = joined(cube, other)
    return cube


def _sorted(
    cube: Cube, coarser: Sequence[Cube], wanted: Sequence[str]
) -> tuple[list[str], dict[tuple[int | None, int | None], list[str]]]:
    """Sort bands into those that are fine already, and groups of coarse ones by (which coarser cube, ratio).

    A cube of None has the band on the fine grid; a ratio of None is that of the coarser cube.
    """
    fine: list[str] = []
    groups: dict[tuple[int | None, int | None], list[str]] = {}
    for band in wanted:
        ratio = _native_ratio(cube, band)
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
                f"{band!r} is wanted, and nowhere among the cube's bands, {have}. Load it too, as other= or a node of "
                "the tree, or leave it out of bands=."
            )
    return fine, groups


def _fine_bands(cube: Cube) -> list[str]:
    """Return the bands that the sensor has at the size of the cube's pixels."""
    return [band for band in cube.available if _native_ratio(cube, band) == 1]


def _native_ratio(cube: Cube, band: str) -> int:
    """Return how many of the cube's pixels are as wide as one that the sensor has of a band.

    1 for pixels finer than any of Sentinel-2's: they are another sensor's.
    """
    size = pixel_size_m(cube.geobox)
    gsd_m = 10.0 if size is None else (size[0] * size[1]) ** 0.5
    return 1 if gsd_m < _FINEST_M else max(1, round(_BANDS[band].gsd_m / gsd_m))


def _as_they_are(cube: Cube, bands: Sequence[str], request: Request) -> dict[str, da.Array]:
    """Give bands of the finer grid as reflectance."""
    spec = replace(registry.get("nearest"), scale=request.scale)
    planes = pick(cube, bands, reader=request.spec.name)
    places = tuple(range(len(bands)))
    recipe = Recipe(
        kernels.KernelRef(spec, device=request.device), resolve(cube, planes, **request.numbers), 0, places, places
    )
    made = map_tiles(
        upscale_block,
        stacks_of(cube, planes, request.mask),
        scale=request.scale,
        halo=0,
        bands_out=len(bands),
        args=(recipe,),
        chunks=request.sides,
        split=True,
        name=f"sr-{request.spec.family}",
    )
    return dict(zip(bands, made, strict=True))


def _guidance(names: Sequence[str], guides: Sequence[str], more: Coarse, request: Request) -> kernels.Guidance:
    """Say how the bands of one grid are guided; raises OptionError."""
    options = dict(request.spec.options) | dict(request.options)
    mtf = float(options.get("mtf", 0.0))
    if mtf and not 0 < mtf < 1:
        raise OptionError(f"mtf={mtf:g}: wanted a number between 0 and 1, or 0 for what is known of Sentinel-2.")
    if request.spec.guided and not mtf and (unknown := [band for band in names if band not in MTF_AT_NYQUIST]):
        raise OptionError(f"no MTF is known of {unknown}. Pass one for all bands that are guided: mtf=0.25.")
    return kernels.Guidance(
        guided=request.spec.guided,
        ratio=more.ratio,
        mtf=tuple(mtf or MTF_AT_NYQUIST.get(band, 0.25) for band in names),
        chosen=tuple(_chosen(str(options.get("guide", "regression")), band, guides) for band in names),
        scale=request.scale,
        device=request.device,
    )


def _chosen(guide: str, band: str, guides: Sequence[str]) -> int | None:
    """Find the guide of a band among the finer ones; None for a regression on all."""
    if guide == "regression" or not guides:
        return None
    if guide == "nearest":
        wavelength_nm = _BANDS[band].wavelength_nm
        return min(range(len(guides)), key=lambda n: abs(_BANDS[guides[n]].wavelength_nm - wavelength_nm))
    found = find_band(guide)
    if found is None or found.name not in guides:
        raise OptionError(f"guide={guide!r}: wanted 'regression', 'nearest' or one of the finer bands, {list(guides)}.")
    return guides.index(found.name)


def _how(names: Sequence[str], guides: Sequence[str], more: Coarse, request: Request) -> str:
    """Say for people how bands were made."""
    after = f", then bicubic, {request.scale} times" if request.scale > 1 else ""
    guide = str((dict(request.spec.options) | dict(request.options)).get("guide", ""))
    by = f", guided by {', '.join(guides)} ({guide})" if request.spec.guided else ""
    return f"{', '.join(names)}: {request.spec.name}, pixels {more.ratio} times wider{by}{after}"


def sides_like(made: da.Array, scale: int) -> list[int]:
    """Return the sides, in input pixels, of the blocks that a result has, so that another gets the same."""
    return [sizes[0] // (scale if axis >= made.ndim - 2 else 1) for axis, sizes in enumerate(made.chunks)]
