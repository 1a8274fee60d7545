"""The work of `xr-sr upscale`, `fuse` and `demo`, from a path to a path, and what `flood` shares with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..arguments import count_of
from ..catalog import registry
from ..cube.grid import pixel_size_m
from ..cube.select import AnyCube, recognize
from ..cube.time import is_time, listed_dates, nearest_place, read_date, scalar_dates
from ..datasets import sample
from ..errors import MissingLibraryError, OptionError, StoreError
from ..io.cog import to_cog
from ..io.files import open as open_cube
from ..io.files import suffix_of
from ..io.zarr import open_zarr, to_zarr
from ..metrics import psnr
from ..pipeline.api import fuse, upscale
from ..plot import compare
from ..plot.samples import in_a_row
from ..radiometry.cubes import reflectance
from .options import DEFAULT_MODEL, taken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DAYS = 10
"""The largest distance of the nearest date from the requested one: the repeat cycle of one Sentinel-2 satellite."""

WINDOW = (344_020, 5_819_760, 345_300, 5_821_040)
"""The part that is drawn, (left, bottom, right, top) in EPSG:32633: a village, the end of a lake, fields."""

BORDER = 16
"""Pixels at the edges that do not count, as in `evaluate`."""

_PASSED_ON = (
    "model",
    "bands",
    "layout",
    "weights",
    "device",
    "constraint",
    "offset",
    "quantification",
    "precision",
    "chunks",
    "allow_gsd",
)
"""Options that `upscale` and `fuse` of Python take as they are."""


def run_upscale(
    source: str, target: str, options: Mapping[str, Any], say: Callable[[str], object], *, fusing: bool
) -> None:
    """Open, upscale or fuse, write, and say what came out. options: of the command, by the names of its parameters."""
    begin = time.perf_counter()
    cube = open_cube(source, names=options["names"] or (), part=options["part"])
    other = None if options["other"] is None else open_cube(options["other"])
    if (date := options["date"]) is not None:
        cube = select_date(cube, date, within_days=MOST_DAYS)
        other = None if other is None else select_date(other, date, within_days=MOST_DAYS)
    of_model = {name: value for name in ("scale", "guide", "mtf") if (value := options.get(name)) is not None}
    if twice := sorted({*of_model, *_PASSED_ON} & set(options.get("of_model", {}))):
        raise OptionError(f"--option {twice[0]}=...: use --{twice[0].replace('_', '-')}, which is an option by itself.")
    of_model |= options.get("of_model", {})
    result = (fuse if fusing else upscale)(
        cube,
        other=other,
        nodata=options["nodata"] or "auto",
        **{name: options[name] for name in _PASSED_ON},
        **of_model,
    )
    how: dict[str, Any] = {name: options[name] for name in ("packing", "overwrite")}
    how["progress"] = False if options["quiet"] else None
    if suffix_of(target) == ".zarr":
        zarr_format: Any = int(options["zarr_format"])
        done = to_zarr(result, target, zarr_format=zarr_format, wait=options["wait"], **how) > 0
    else:
        done = bool(to_cog(result, target, **how))
    if not options["quiet"]:
        say(f"{target}: {describe(result)}; {stored_as(target)}; {taken(begin, done=done)}")


def select_date(cube: AnyCube, date: str, *, option: str = "--date", within_days: float | None = None) -> AnyCube:
    """Keep the date nearest to a given one, in every part of a cube that has several.

    option: that the date was given by, for messages. within_days: how far off the nearest may be; None for any.
    Raises OptionError for anything but a date, for a cube without dates, and where the nearest is further off.
    """
    moment = read_date(date, argument=f"{option} {date}")
    stamps = dates_of(cube)
    if not stamps.size:
        dims = ", ".join(dict.fromkeys(str(dim) for part in _parts(cube) for dim in part.dims))
        raise OptionError(f"{option} {date}: the input has no dates, only {dims or 'nothing'}. Leave {option} out.")
    days = np.nanmin(np.abs((stamps - moment) / np.timedelta64(1, "D")))
    if within_days is not None and not days <= within_days:
        raise OptionError(
            f"{option} {date}: no date of the input is within {within_days:g} days of it. It has "
            f"{listed_dates(xr.DataArray(stamps))}."
        )
    if isinstance(cube, xr.DataTree):
        # From the root: what nodes inherit, their metadata too, stays with them.
        tree: xr.DataTree = cube.root.map_over_datasets(_nearest, moment)[cube.path]
        return tree
    part: xr.DataArray | xr.Dataset = _nearest(cube, moment)
    return part


def dates_of(cube: AnyCube) -> npt.NDArray[np.datetime64]:
    """Return the dates of a cube, of all its parts, ascending and each once."""
    coords = [coord for part in _parts(cube) for coord in part.coords.values() if coord.dtype.kind == "M"]
    found = [np.ravel(coord.values).astype("datetime64[ns]") for coord in coords if coord.ndim < 2]
    return np.unique(np.concatenate(found)) if found else np.empty(0, "datetime64[ns]")


def _parts(cube: AnyCube) -> list[Any]:
    return [node.dataset for node in cube.subtree] if isinstance(cube, xr.DataTree) else [cube]


def _nearest(part: Any, moment: np.datetime64) -> Any:
    dims = [dim for dim in part.dims if dim in part.coords and part.coords[dim].dtype.kind == "M"]
    return part.isel({dims[0]: nearest_place(part.coords[dims[0]].values, moment)}) if dims else part


def describe(result: xr.DataArray | xr.Dataset) -> str:
    """Describe a result in one line: bands, dates, pixels, model, and how its numbers were read."""
    cube = recognize(result)
    first = cube.planes[0].array
    attrs = {**first.attrs, **result.attrs}
    size_m = pixel_size_m(cube.geobox)
    pixels = f"{cube.geobox.shape.y} x {cube.geobox.shape.x} pixels" + (f" of {size_m[1]:.3g} m" if size_m else "")
    dates = [
        count_of(first.sizes[dim], "date") if is_time(dim, first.coords) else f"{first.sizes[dim]} {dim}"
        for dim in cube.lead
    ]
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


def run_demo(folder: Path, *, progress: bool | None, say: Callable[[str], object]) -> None:
    """Write `havel.zarr`, `havel.png` and `virginia.png` to a folder, and say what was done.

    Raises StoreError if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}.") from error
    scene = sample("havel")["r10m"]
    say(f"Model: {registry.get(DEFAULT_MODEL).name}, weights inside the package")
    begin = time.perf_counter()
    fine = upscale(scene, DEFAULT_MODEL)
    store, picture = folder / "havel.zarr", folder / "havel.png"
    to_zarr(fine, str(store), overwrite=True, progress=progress)
    say(f"{store}: {describe(fine)}; {taken(begin)}")
    try:
        figure = compare(scene, open_zarr(str(store)), window=WINDOW, difference="consistency")
    except MissingLibraryError as error:
        say(f"No picture: {error}.")
        return
    save_figure(figure, picture)
    say(f"{picture}: LR, bicubic and SR of a part of it, and how each differs from it as the sensor sees it")
    pair = sample("virginia")
    lr, hr = pair["lr/r10m"].to_dataset(), pair["hr"].to_dataset()
    images = {name: upscale(lr, name).compute() for name in ("bicubic", "kriging", DEFAULT_MODEL)}
    inner = {"y": slice(BORDER, -BORDER), "x": slice(BORDER, -BORDER)}
    reached = ", ".join(
        f"{name} {float(psnr(image.isel(inner), hr.isel(inner)).mean()):.1f} dB" for name, image in images.items()
    )
    picture = folder / "virginia.png"
    panels = {"input, 10 m": reflectance(lr), **images, "aerial reference, 2.5 m": hr}
    save_figure(in_a_row(panels), picture)
    say(f"{picture}: three models beside an aerial image of 2.5 m that was seen at 10 m; PSNR {reached}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file. Raises StoreError if that fails."""
    try:
        # Half of the time of the usual level 6, and one percent more bytes.
        figure.savefig(path, pil_kwargs={"compress_level": 4} if path.suffix == ".png" else None)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error
