"""A plan: how a cube is super-resolved. It prints itself, and becomes lazy arrays, and these a result.

How a plan is made is in `planning`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from ..arguments import count_of
from ..catalog.generative import Diffusion
from ..catalog.models import Cascade, Model, Network
from ..cube.crs import crs_label
from ..cube.grid import pixel_size_m
from ..cube.rebuild import assemble
from ..cube.select import Cube, pick
from ..radiometry.resolve import OFFSET_COORD
from ..radiometry.summary import dates_with_offsets, html_of, meters, text_of, times_of
from ..tiling.blocks import stacked
from ..tiling.repeat import repeat_pixels
from .request import Request
from .steps import Step, sides_like

if TYPE_CHECKING:
    import dask.array as da

_DRAWING = 240_000
"""Bytes that diffusion needs for each input pixel of a window, weights included; of LDSR-S2, measured: 4.6 GB."""

_TORCH = 32 * 2**20
"""Bytes that torch keeps beside the arrays while a network runs on a window of 128 pixels."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How a cube is super-resolved.

    cube: the input on its fine grid. whole: the same with the bands of all grids, whose form the result takes. spec:
    the model. wanted: canonical names of the result's bands, in order. steps: what computes them. sides: of the output
    blocks in input pixels, as the user asked for. split: each band is a lazy array of its own. attrs, attrs_of, coords:
    what the result carries, as `assemble` takes them. estimated: the MTF comes from the pixels of the cube; where the
    plan only describes, other numbers stand for it.
    """

    request: Request
    cube: Cube
    whole: Cube
    spec: Model
    wanted: tuple[str, ...]
    steps: tuple[Step, ...]
    sides: Sequence[int | None] | None
    split: bool
    attrs: Mapping[str, Any]
    attrs_of: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    coords: Mapping[Hashable, xr.Variable] = field(default_factory=dict)
    estimated: bool = False

    @property
    def scale(self) -> int:
        """Output pixels per input pixel along an axis."""
        return self.steps[0].scale

    @property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the output blocks in input pixels, along (*lead, y, x)."""
        return self.steps[0].blocks(self.sides)

    def __repr__(self) -> str:
        return text_of(f"xr_sr: plan of {self.spec.name}", _described(self))

    def _repr_html_(self) -> str:
        return html_of(f"xr_sr: plan of {self.spec.name}", _described(self))


def graph(plan: Plan) -> da.Array | list[da.Array]:
    """Return the lazy bands of a plan: (*lead, band, y, x), or where it splits them one (*lead, y, x) for each."""
    sides = plan.sides
    bands: dict[str, da.Array] = {}
    for step in plan.steps:
        made = step.arrays(sides, split=plan.split)
        if not isinstance(made, list):
            return made
        bands |= dict(zip(step.bands, made, strict=True))
        sides = sides_like(made[0], plan.scale)  # blocks of all bands are the same
    return [bands[band] for band in plan.wanted]


def rebuild(plan: Plan, arrays: da.Array | list[da.Array]) -> xr.DataArray | xr.Dataset:
    """Put the bands into the form of the input, on the finer grid, with what made them in their attributes."""
    if isinstance(arrays, list) and isinstance(plan.whole.source, xr.DataArray) and plan.whole.band_dim:
        arrays = stacked(arrays)
    return assemble(
        plan.whole,
        pick(plan.whole, plan.wanted, reader=plan.spec.name),
        arrays,
        scale=plan.scale,
        repeat=repeat_pixels,
        attrs=plan.attrs,
        attrs_of=plan.attrs_of,
        extra_coords=plan.coords,
    )


def _described(plan: Plan) -> list[tuple[str, str]]:
    return [(title, text) for title, text in _lines(plan) if text]


def _lines(plan: Plan) -> Iterator[tuple[str, str]]:
    spec, cube, step, scale = plan.spec, plan.cube, plan.steps[0], plan.scale
    kernel = step.recipe.kernel
    yield "model", f"{spec.name}: {spec.summary}"
    yield "weights", _weights(step)
    yield "constraint", "" if (text := str(plan.attrs["xr_sr:constraint"])) == "none" else text
    if plan.estimated and plan.request.describes:
        yield "mtf", "measured from the cube by upscale; halo and memory are those of the published MTF"
    yield "device", f"{plan.request.device}, {kernel.precision}"
    yield "bands", ", ".join(plan.wanted)
    yield "guided", str(plan.attrs.get("xr_sr:guided", ""))
    height, width = cube.geobox.shape
    place = crs_label(cube.geobox.crs) if cube.geobox.crs else "no CRS"
    yield "grid", f"{place}, {_grid(cube.geobox)} -> {_grid(cube.geobox.zoom_to((height * scale, width * scale)))}"
    yield "coarse bands", "; ".join(filter(None, map(_coarse, plan.steps)))
    read_as = str(plan.attrs["xr_sr:radiometry"])
    already = step.recipe.radiometry.own and step.recipe.radiometry.kind == "reflectance"
    yield "radiometry", f"the cube is reflectance already, read as {read_as}" if already else read_as
    if (times := times_of(cube)) is not None:
        if OFFSET_COORD in plan.coords:
            yield "dates", dates_with_offsets(plan.coords[OFFSET_COORD], times)
        yield "coarse dates", "; ".join(filter(None, (_coarse_dates(step, times) for step in plan.steps)))
    nodata = str(plan.attrs.get("xr_sr:nodata", ""))
    yield "nodata", "" if read_as.endswith(f"nodata {nodata}") else nodata
    yield "mask", str(plan.attrs.get("xr_sr:mask", ""))
    halo = step.lattice.side if step.lattice else max(each.recipe.halo for each in plan.steps)
    reach = max(each.reach for each in plan.steps)
    yield (
        "halo",
        (f"windows of {halo} pixels at fixed positions" if step.lattice else f"{halo} pixels around each block")
        + f"; {reach} where NaN is filled",
    )
    blocks = plan.blocks
    largest = tuple(max(sizes) for sizes in blocks)
    count = math.prod(map(len, blocks))
    yield (
        "blocks",
        (
            f"{count_of(count, 'block')} ({' x '.join(str(len(sizes)) for sizes in blocks)}) of up to "
            f"{largest[-2]} x {largest[-1]} input pixels"
        ),
    )
    leads = math.prod(sum(sizes) for sizes in blocks[:-2])
    yield "output", f"{_size(leads * len(plan.wanted) * height * width * scale**2 * 4)} of float32 when computed"
    memory = max(memory_of_task(each, largest) for each in plan.steps)
    yield "memory", f"about {_size(memory)} for each task that runs at the same time"


def memory_of_task(step: Step, block: Sequence[int]) -> int:
    """Estimate the bytes that the task of one block needs at its peak, the interpreter and libraries not counted.

    block: sizes along (*lead, y, x) in input pixels. Counted are the pixels read with their context, as they are and as
    float32 with and without NaN, and the output, twice where bands are selected or constrained. Input chunks that are
    larger than the block are held as a whole until no task needs them, and are not counted. Measured for blocks of 256
    and 512 pixels of four and ten bands, bicubic, sen2sr and sen2sr-lite, on a CPU: 0.86 to 1.25 of the true peak.
    """
    leads = math.prod(block[:-2])
    side = [length + 2 * step.reach for length in block[-2:]]
    itemsizes = [array.dtype.itemsize for stack in step.all_stacks for array, _ in stack]
    read = leads * math.prod(side) * sum(size + 9 for size in itemsizes)
    written = leads * len(step.bands) * math.prod(block[-2:]) * step.scale**2 * 4
    spec = step.recipe.kernel.spec
    drawing = _DRAWING * spec.window**2 if isinstance(spec, Diffusion) else 0
    return int(read + 2 * written + drawing + (_TORCH if isinstance(spec, Network | Cascade) else 0))


def _weights(step: Step) -> str:
    kernel = step.recipe.kernel
    refs = [ref for _, ref in kernel.parts] or [kernel]
    files = [(next(iter(ref.spec.files), None), ref) for ref in refs if ref.sha256]
    return "; ".join(
        f"{ref.weights if file is None or file.home != 'package' or file.sha256 != ref.sha256 else 'in the package'}, "
        f"sha256 {ref.sha256[:12]}"
        for file, ref in files
    )


def _coarse(step: Step) -> str:
    if step.coarse is None or step.second is None:
        return ""
    names = _coarse_names(step)
    if step.second.layout == "grids":
        return f"{names} on their own grid, pixels {step.coarse.ratio} times as wide"
    return f"{names} on the fine grid, layout={step.second.layout!r}"


def _coarse_names(step: Step) -> str:
    return ", ".join(step.bands if step.reads_samples else step.recipe.kernel.spec.coarse)


def _coarse_dates(step: Step, times: xr.DataArray) -> str:
    """Describe the offset of each date of the coarse bands, which may differ from that of the fine ones; "" for none.

    times: those of the cube, on whose dates the coarse bands are read.
    """
    count = max(1, times.size)
    if step.second is None or (radiometry := step.second.radiometry).kind != "dn":
        return ""
    if len(radiometry.offset) not in (1, count):  # along another dimension than time
        return ""
    offsets = np.broadcast_to(np.asarray(radiometry.offset, "float64"), count)
    return f"{_coarse_names(step)}: {dates_with_offsets(xr.Variable(('time',), offsets), times)}"


def _grid(geobox: GeoBox) -> str:
    size = meters(pixel_size_m(geobox))
    return f"{geobox.shape.y} x {geobox.shape.x} pixels" + (f" of {size}" if size else "")


def _size(count: float) -> str:
    """Return bytes in decimal units, two or three digits."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"
