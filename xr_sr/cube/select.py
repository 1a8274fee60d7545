"""What one does with a cube before its pixels: pick bands for a reader, check the pixel size.

How a cube is recognized is in `detect`; results are put back into its form by `rebuild`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import xarray as xr

from ..arguments import count_of
from ..bands import find_band, stated_gsd_m
from ..errors import (
    AmbiguousBandError,
    GridError,
    MissingBandError,
    ReferenceWarning,
    ResolutionError,
    ResolutionWarning,
    warn_caller,
)
from ..spec import MODEL_ATTR, SCALE_ATTR, WINDOW_DATES, stated
from .detect import AnyCube, Cube, Flags, Plane, recognize
from .grid import pixel_size_m
from .names import dims_text, listed

__all__ = [
    "AnyCube",
    "Cube",
    "Flags",
    "Plane",
    "bands_of",
    "check_gsd",
    "check_lead",
    "check_measured",
    "dataset_of",
    "model_of",
    "pick",
    "recognize",
    "warn_if_swapped",
]

_FINEST_M = 9.5
"""Pixels below this are finer than any that Sentinel-2 measures."""


def pick(cube: Cube, wanted: Sequence[str], *, reader: str, cure: str | None = None) -> tuple[Plane, ...]:
    """Return the planes of some bands, in the order asked for.

    wanted: canonical names, the cube's own, or any producer's names. reader: of the bands, for messages.
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
            f"{reader} reads {listed(wanted)}; {where} has {bands_of(cube)}, so {listed(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing.",
            f"{_elsewhere(cube, missing)}Load what is missing, or {cure}.",
        )
    if twice := [name for name, count in Counter(plane.band for plane in picked).items() if count > 1]:
        raise AmbiguousBandError(f"{reader}: {listed(twice)} appears twice in {listed(wanted)}; name each band once.")
    check_lead(picked, cube)
    return tuple(picked)


def check_lead(planes: Sequence[Plane], cube: Cube) -> None:
    """Raise GridError where bands have other dimensions beside y and x than the cube."""
    for plane in planes:
        others = [str(dim) for dim in plane.array.dims if dim not in (cube.band_dim, cube.y, cube.x)]
        if others != list(cube.lead):
            raise GridError(
                f"{plane.name!r} has {dims_text(others)} beside {cube.y} and {cube.x}, other bands have "
                f"{dims_text(cube.lead)}. Give all the same dimensions first, for instance with xr.broadcast or .isel."
            )


def check_measured(cube: Cube, *, allow: bool) -> None:
    """Raise ResolutionError for a cube that a model has made finer: it would be super-resolved twice."""
    advice = "Pass the cube that was measured, or allow_gsd=True to super-resolve it again, at your own risk."
    for attrs in () if allow else (cube.source.attrs, *(plane.array.attrs for plane in cube.planes)):
        model, scale = stated(attrs, MODEL_ATTR), stated(attrs, SCALE_ATTR)
        if model is not None and str(scale or 1) != "1":
            raise ResolutionError(
                f"The cube is already super-resolved, {scale} times by {model!r} (attribute {MODEL_ATTR}).",
                advice,
            )
        # GDAL cuts names of tags at the colon, so of all attributes of a model rio.to_raster leaves one, the last.
        left = str(attrs.get("xr_sr", "")).startswith(("version=", "weights_sha256="))
        size = pixel_size_m(cube.geobox) if left else None
        if size is not None and max(size) < _FINEST_M:
            raise ResolutionError(
                f"The cube is already super-resolved: its pixels are {max(size):.3g} m wide, and the tag 'xr_sr' is "
                "what rio.to_raster leaves of the attributes of a result; to_cog keeps all.",
                advice,
            )


def dataset_of(tree: xr.DataTree) -> str:
    """Return the code that takes one grid out of a tree, for messages: `cube['r10m'].to_dataset()`."""
    paths = [node.relative_to(tree) for node in tree.subtree if node.data_vars]
    node = "" if not paths or "." in paths else f"[{paths[0]!r}]"
    return f"cube{node}.to_dataset()"


def model_of(obj: AnyCube) -> str:
    """Return the name of the model in the attributes of a result or one of its bands, "" without."""
    holders = [obj, *(() if isinstance(obj, xr.DataArray) else obj.data_vars.values())]
    return next((str(name) for holder in holders if (name := stated(holder.attrs, MODEL_ATTR))), "")


def joined_by(obj: AnyCube) -> str:
    """Return by what dates were joined to the images of a result, "multiframe, 8 dates"; "" for other results."""
    if isinstance(obj, xr.DataTree) or WINDOW_DATES not in obj.coords:
        return ""
    counts = np.atleast_1d(obj.coords[WINDOW_DATES].values)
    least, most = int(counts.min()), int(counts.max())
    return f"multiframe, {count_of(most, 'date') if least == most else f'{least} to {most} dates'}"


def title_of(obj: AnyCube) -> str:
    """Return the model of a result for people, and whether it joined dates: "sen2sr", "multiframe, 8 dates"; "SR"."""
    model, joined = model_of(obj), joined_by(obj)
    return joined if joined and model in ("", "kriging") else ", ".join(filter(None, (model, joined))) or "SR"


def warn_if_swapped(sr_model: str, hr_model: str) -> None:
    """Warn with a ReferenceWarning where a model computed HR and none SR, by their attributes."""
    if hr_model and not sr_model:
        warn_caller(
            f"hr was computed by the model {hr_model!r} (attribute {MODEL_ATTR}), and sr has no such attribute. The "
            "order is (lr, sr, hr), and hr is the reference image; if sr and hr are swapped, exchange them.",
            ReferenceWarning,
        )


def check_gsd(cube: Cube, gsd_m: float, *, allow: bool, model: str) -> None:
    """Compare the ground size of the cube's pixels with the one that a model was made for, along both axes.

    Within 10 % silent, within a factor of 1.5 a ResolutionWarning, beyond a ResolutionError unless `allow`.
    A cube without CRS passes: its unit is unknown, which `recognize` has warned of.
    """
    size = pixel_size_m(cube.geobox)
    if size is None:
        return
    # At a pole a pixel has no width.
    off = max(max(side / gsd_m, gsd_m / side if side else math.inf) for side in size)
    if off <= 1.1 or allow:
        return
    height, width = (f"{side:.3g} m" for side in size)
    found = f"{model} was made for pixels of {gsd_m:g} m; these are {height} high and {width} wide on the ground"
    way = (
        f"Load the bands at {gsd_m:g} m in the UTM zone of the scene, for instance odc.stac.load(..., crs='utm', "
        f"resolution={gsd_m:g}); do not resample these pixels, which adds no detail"
    )
    if off <= 1.5:
        warn_caller(f"{found}: what the model adds may be too coarse or too fine. {way}.", ResolutionWarning)
        return
    raise ResolutionError(f"{found}.", f"{way}, or pass allow_gsd=True to continue at your own risk.")


def bands_of(cube: Cube) -> str:
    """List the bands of a cube by canonical name, with its own names where they differ."""
    return ", ".join(
        plane.band if plane.name == plane.band else f"{plane.band} ({plane.name!r})" for plane in cube.planes
    )


def _elsewhere(cube: Cube, missing: Sequence[str]) -> str:
    """Write which of the missing bands other nodes of the tree have; "" if none."""
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
