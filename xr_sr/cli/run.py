"""The work of `xr-sr upscale`, `fuse` and `demo`: from a path to a path."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from ..catalog import registry
from ..cube.grid import pixel_size_m
from ..cube.select import recognize
from ..cube.time import scalar_dates
from ..datasets import sample
from ..errors import MissingLibraryError, StoreError
from ..io.cog import to_cog
from ..io.files import open as open_cube
from ..io.files import suffix_of
from ..io.zarr import open_zarr, to_zarr
from ..pipeline.api import fuse, upscale
from ..plot import compare
from .dates import MOST_DAYS, select_date


@dataclass(frozen=True)
class Order:
    """What the user wants done; names and meanings are those of the command's options."""

    model: str
    bands: tuple[str, ...] | None
    scale: int | None
    offset: float | tuple[float, ...] | Literal["auto"]
    quantification: float | Literal["auto"]
    nodata: tuple[float, ...]
    names: tuple[str, ...] | None
    part: str | None
    other: str | None
    layout: Literal["auto", "native", "resampled"]
    date: str | None
    device: str
    precision: Literal["float32", "bfloat16", "float16"]
    constraint: Literal["auto", "lowpass", "none"]
    chunks: int | None
    weights: str | None
    allow_gsd: bool
    packing: str
    zarr_format: str
    overwrite: bool
    wait: float
    quiet: bool
    fusing: bool = False
    guide: str | None = None
    mtf: float | None = None

    @property
    def of_model(self) -> dict[str, Any]:
        """Options of the model that were given."""
        given = {"scale": self.scale, "guide": self.guide, "mtf": self.mtf}
        return {name: value for name, value in given.items() if value is not None}


def run_upscale(source: str, target: str, order: Order, say: Callable[[str], object]) -> None:
    """Open, upscale, write, and say what came out."""
    begin = time.perf_counter()
    cube = open_cube(source, names=order.names or (), part=order.part)
    other = None if order.other is None else open_cube(order.other)
    if order.date is not None:
        cube = select_date(cube, order.date, within_days=MOST_DAYS)
        other = None if other is None else select_date(other, order.date, within_days=MOST_DAYS)
    result = (fuse if order.fusing else upscale)(
        cube,
        order.model,
        bands=order.bands,
        other=other,
        layout=order.layout,
        weights=order.weights,
        device=order.device,
        constraint=order.constraint,
        offset=order.offset,
        quantification=order.quantification,
        nodata=order.nodata or "auto",
        precision=order.precision,
        chunks=order.chunks,
        allow_gsd=order.allow_gsd,
        **order.of_model,
    )
    progress = False if order.quiet else None
    done = True
    if suffix_of(target) == ".zarr":
        zarr_format: Literal[2, 3] = 2 if order.zarr_format == "2" else 3
        how: dict[str, Any] = {
            "packing": order.packing,
            "overwrite": order.overwrite,
            "wait": order.wait,
            "progress": progress,
        }
        done = to_zarr(result, target, zarr_format=zarr_format, **how) > 0
    else:
        to_cog(result, target, packing=order.packing, overwrite=order.overwrite, progress=progress)
    if not order.quiet:
        took = f"{time.perf_counter() - begin:.1f} s" if done else "nothing left to do"
        say(f"{target}: {describe(result)}; {stored_as(target)}; {took}")


def describe(result: xr.DataArray | xr.Dataset) -> str:
    """Describe a result in one line: bands, dates, pixels, model, and how its numbers were read."""
    cube = recognize(result)
    first = cube.planes[0].array
    attrs = {**first.attrs, **result.attrs}
    size_m = pixel_size_m(cube.geobox)
    pixels = f"{cube.geobox.shape.y} x {cube.geobox.shape.x} pixels" + (f" of {size_m[1]:.3g} m" if size_m else "")
    dates = [f"{first.sizes[dim]} {dim}" for dim in cube.lead]
    dates += [str(first[name].values)[:10] for name in scalar_dates(first.coords)[:1]]
    names = " ".join(plane.band for plane in cube.planes)
    return ", ".join([names, *dates, pixels, attrs["xr_sr:model"], f"read as {attrs['xr_sr:radiometry']}"])


def stored_as(target: str) -> str:
    """Describe how a file is stored: data type, step, and nodata value."""
    if suffix_of(target) == ".zarr":
        dataset = xr.open_zarr(target, mask_and_scale=False, chunks=None)
        array = max(dataset.data_vars.values(), key=lambda variable: variable.ndim)
        dtype, step = array.dtype, float(array.attrs.get("scale_factor", 1.0))
        nodata = array.attrs.get("_FillValue")
    else:
        import rasterio

        with rasterio.open(target) as file:
            dtype, step, nodata = file.dtypes[0], float(file.scales[0]), file.nodata
    steps = f" in steps of {step:g}" if step != 1 else ""
    without = "no nodata value" if nodata is None else f"nodata {str(float(nodata)).removesuffix('.0')}"
    return f"written as {dtype}{steps}, {without.replace('nan', 'NaN')}"


MODEL = "sen2sr"

WINDOW = (344_020, 5_819_760, 345_300, 5_821_040)
"""The part that is drawn, (left, bottom, right, top) in EPSG:32633: a village, the end of a lake, fields."""


def run_demo(folder: Path, *, progress: bool | None, say: Callable[[str], object]) -> None:
    """Write `havel.zarr` and `havel.png` to a folder, and say what was done.

    Raises StoreError if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}.") from error
    scene = sample("havel")["r10m"]
    say(f"Model: {registry.get(MODEL).name}, weights inside the package")
    begin = time.perf_counter()
    fine = upscale(scene, MODEL)
    store = folder / "havel.zarr"
    to_zarr(fine, str(store), overwrite=True, progress=progress)
    say(f"{store}: {describe(fine)}; {time.perf_counter() - begin:.1f} s")
    try:
        figure = compare(scene, open_zarr(str(store)), window=WINDOW, difference="consistency")
    except MissingLibraryError as error:
        say(f"No picture: {error}.")
        return
    picture = folder / "havel.png"
    try:
        figure.savefig(picture)
    except OSError as error:
        raise StoreError(f"{picture} cannot be written: {error.strerror}.") from error
    say(f"{picture}: LR, bicubic and SR of a part of it, and what each says when averaged back to 10 m")
