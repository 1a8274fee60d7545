"""What one does with a cube before its pixels: pick bands for a reader, check the pixel size, tell what was recognised.

How a cube is recognised is in `detect`; results are put back into its form by `rebuild`.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

import xarray as xr

from ..bands import find_band, stated_gsd_m
from ..errors import AmbiguousBandError, GridError, MissingBandError, ResolutionError, ResolutionWarning, warn_caller
from .conventions import ADD_OFFSETS, BASELINES, FLAGS, plain_name
from .detect import AnyCube, Cube, Flags, Plane, recognise
from .grid import pixel_size_m
from .names import listed

__all__ = ["AnyCube", "Cube", "Flags", "Plane", "check_gsd", "pick", "recognise", "summary"]


def pick(cube: Cube, wanted: Sequence[str], *, reader: str, cure: str | None = None) -> tuple[Plane, ...]:
    """Return the planes of the wanted bands, in the wanted order.

    wanted: canonical names, the cube's own, or names by any catalogue. reader: who wants them, for messages.
    cure: what else helps where some are missing; by default another model.
    Raises MissingBandError with what is needed, found and missing; AmbiguousBandError if two planes answer to one band;
    GridError if the planes do not share their other dimensions.
    """
    picked: list[Plane] = []
    missing: list[str] = []
    for want in wanted:
        band = find_band(want)
        planes = [plane for plane in cube.planes if plane.name == want]
        if band and (not planes or want == band.name):  # a canonical name asks for the band, whatever it is called
            planes = [plane for plane in cube.planes if plane.band == band.name]
            native = [plane for plane in planes if stated_gsd_m(plane.name) == band.gsd_m]
            planes = native if len(native) == 1 else planes  # CDSE: B02_10m and B02_20m, of which one is measured
        if len(planes) > 1:
            raise AmbiguousBandError(
                f"{reader} reads {want}, and {listed(plane.name for plane in planes)} of the cube answer to it. "
                f"Keep one: {_keep_one(cube, planes)}."
            )
        if planes:
            picked += planes
        else:
            missing.append(want)
    if missing:
        cure = cure or f"see which models read what is there: xr_sr.list_models(bands={list(cube.available)})"
        where = f"the node {cube.node!r}" if cube.node else "the cube"
        raise MissingBandError(
            f"{reader} reads {listed(wanted)}; {where} has {_found(cube)}, so {listed(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing.",
            f"{_elsewhere(cube, missing)}Load what is missing, or {cure}.",
        )
    if twice := [name for name, count in Counter(plane.band for plane in picked).items() if count > 1]:
        raise AmbiguousBandError(f"{reader}: {listed(twice)} stands twice in {listed(wanted)}; name each band once.")
    for plane in picked:
        others = [str(dim) for dim in plane.array.dims if dim not in (cube.band_dim, cube.y, cube.x)]
        if others != list(cube.lead):
            raise GridError(
                f"{plane.name!r} has the dimensions {listed(others)} beside {cube.y} and {cube.x}, other bands "
                f"{listed(cube.lead)}. Bring them together first, for instance with xr.broadcast or .isel."
            )
    return tuple(picked)


def check_gsd(cube: Cube, gsd_m: float, *, allow: bool, model: str) -> None:
    """Compare the ground size of the cube's pixels with the one that a model was made for, along both axes.

    Within 10 % silent, within a factor of 1.5 a ResolutionWarning, beyond a ResolutionError unless `allow`.
    A cube without CRS passes: its unit is unknown, which `recognise` has warned of.
    """
    size = pixel_size_m(cube.geobox)
    if size is None:
        return
    # At a pole a pixel has no width.
    off = max(max(side / gsd_m, gsd_m / side if side else math.inf) for side in size)
    if off <= 1.1:
        return
    found = f"{model} was made for pixels of {gsd_m:g} m; these are {_sides(size)} on the ground"
    way = (
        f"Load the bands at {gsd_m:g} m in the UTM zone of the scene, for instance odc.stac.load(..., crs='utm', "
        f"resolution={gsd_m:g}); do not resample these pixels, which adds no detail"
    )
    if off > 1.5 and not allow:
        raise ResolutionError(f"{found}.", f"{way}, or pass allow_gsd=True to go on at your own risk.")
    if off <= 1.5 and not allow:
        warn_caller(f"{found}: what the model adds may be too coarse or too fine. {way}.", ResolutionWarning)


def summary(obj: AnyCube) -> str:
    """Say in a few lines what was recognised; computes nothing, and says what is wrong instead of raising."""
    kind = type(obj).__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cube = recognise(obj)
        lines = list(_summary_lines(cube))
    except Exception as error:  # a repr that raises hides the very object that one wants to look at
        return f"<xr_sr: {kind}, not a cube>\n  {type(error).__name__}: {error}"
    width = max(len(title) for title, _ in lines)
    return "\n".join([f"<xr_sr: {kind}>", *(f"  {title:<{width}}  {text}" for title, text in lines if text)])


def _sides(size: tuple[float, float]) -> str:
    return f"{size[0]:.3g} m high and {size[1]:.3g} m wide"


def _found(cube: Cube) -> str:
    """List the bands of a cube by canonical name, with its own names where they differ."""
    return ", ".join(
        plane.band if plane.name == plane.band else f"{plane.band} ({plane.name!r})" for plane in cube.planes
    )


def _elsewhere(cube: Cube, missing: Sequence[str]) -> str:
    """Say which of the missing bands other nodes of the tree have, and how to upscale these; "" where none has any."""
    wanted = {band.name for band in map(find_band, missing) if band}
    found = [(path, [band for band in bands if band in wanted]) for path, bands in cube.elsewhere]
    return "".join(
        f"{', '.join(bands)} {'is' if len(bands) == 1 else 'are'} in node {path}: cube[{path!r}].sr.upscale(...). "
        for path, bands in found
        if bands
    )


def _keep_one(cube: Cube, planes: Sequence[Plane]) -> str:
    """Write the line that leaves the first of several planes of a band in the cube."""
    if isinstance(cube.source, xr.Dataset):
        return f"cube.drop_vars({[plane.name for plane in planes[1:]]})"
    return f"cube.isel({cube.band_dim}={[plane.index for plane in cube.planes if plane not in planes[1:]]})"


def _summary_lines(cube: Cube) -> Iterator[tuple[str, str]]:
    """Return the lines of `summary` as (title, text); an empty text is left out."""
    array = cube.planes[0].array
    yield "node", cube.node
    yield "bands", _found(cube)
    yield "other nodes", "; ".join(f"{path}: {', '.join(bands)}" for path, bands in cube.elsewhere)
    yield "size", ", ".join(f"{dim} {array.sizes[dim]}" for dim in (*cube.lead, cube.y, cube.x))
    size = pixel_size_m(cube.geobox)
    crs = cube.geobox.crs
    place = "no CRS" if crs is None else f"EPSG:{crs.epsg}" if crs.epsg else str(crs)[:60]
    moved = ", moved from the corners of pixels to their centers" if any(cube.grid.shift) else ""
    yield "grid", place + (f", pixels {_sides(size)} on the ground" if size else "") + moved
    yield "values", ", ".join([*dict.fromkeys(str(plane.array.dtype) for plane in cube.planes), *_value_facts(cube)])
    chunks = array.variable.chunksizes  # of the pixels alone: a lazy coordinate may have other chunks along time
    yield "chunks", ", ".join(f"{dim} {max(chunks[dim])}" for dim in array.dims if dim in chunks) or "not chunked"
    yield "nearest", ", ".join(str(flags.name) for flags in cube.flags)
    yield "unchanged", ", ".join(map(str, cube.extras))
    yield "left out", ", ".join(map(str, cube.dropped))


def _value_facts(cube: Cube) -> Iterator[str]:
    """Name the metadata that tell what the numbers mean, as far as the first band carries them."""
    array = cube.planes[0].array
    for key in ("scale_factor", "add_offset", "_FillValue", "nodata", "xr_sr:radiometry"):
        value = array.attrs.get(key, array.encoding.get(key))
        if value is not None:
            yield f"{key.removeprefix('xr_sr:')} {value}"
    for name in (*cube.source.coords, *cube.extras):
        if plain_name(name) in {*ADD_OFFSETS, *FLAGS, *BASELINES}:
            yield f"{name} per time step" if cube.source[name].ndim else str(name)
