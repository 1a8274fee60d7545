"""`xr-sr flood`: map what was flooded between two dates, and measure it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .commands import main
from .options import (
    NAMES,
    NODATA,
    OFFSET,
    OUTPUT,
    OVERWRITE,
    PART,
    QUANTIFICATION,
    QUIET,
    TEXT,
    WAIT,
    choice,
    level,
    numbers,
    taken,
)

if TYPE_CHECKING:
    import xarray as xr


@main.command(context_settings=TEXT)
@click.argument("before", metavar="BEFORE")
@click.argument("after", metavar="AFTER")
@OUTPUT
@click.option("--index", default="MNDWI", show_default=True, help="High over water: MNDWI, NDWI, AWEIsh, ...")
@click.option(
    "--threshold",
    default="otsu",
    callback=level,
    show_default=True,
    metavar="THRESHOLD",
    help="Water is where the index is above it: a number, or otsu, which finds one.",
)
@choice("--per", of=["cube", "date"], help="Of otsu: one threshold for all dates, or one for each.")
@choice("--area", of=["ellipsoidal", "projected"], help="On the Earth, or in the plane of the projection.")
@click.option("--before-date", help="Of several dates in BEFORE, only the one nearest to this (within 10 days).")
@click.option("--after-date", help="Of several dates in AFTER, only the one nearest to this (within 10 days).")
@click.option("--mask", is_flag=True, help="Mask clouds and shadows by SCL.")
@click.option("--grid", type=click.Choice(["fine", "coarse"]), help="Of bands on two grids, the one to work on.")
@OFFSET
@click.option("--offset-before", callback=numbers, metavar="NUMBER", help="Of BEFORE alone, in place of --offset.")
@click.option("--offset-after", callback=numbers, metavar="NUMBER", help="Of AFTER alone, in place of --offset.")
@QUANTIFICATION
@NODATA
@NAMES
@PART
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Also draw the first date, as PNG.")
@OVERWRITE
@WAIT
@QUIET
def flood(before: str, after: str, output: str, **options: Any) -> None:
    """Map what was flooded between BEFORE and AFTER, and measure it.

    Both are inputs as `xr-sr upscale` takes them, at any size of pixels, on one grid. Of several dates, those of BEFORE
    are one state, and those of AFTER are mapped one by one. OUT.ZARR holds `flood` (0 dry, 1 permanent water,
    2 flooded, 3 receded, 255 unknown) and `area` in hectares. For finer maps upscale both first.

    \b
    xr-sr flood june.zarr july.zarr -o flood.zarr --picture flood.png
    xr-sr flood year.zarr year.zarr --before-date 2023-06-01 --after-date 2023-07-10 -o flood.zarr
    """
    from ..analytics import flood_between
    from ..io.files import is_same
    from ..io.files import open as open_cube
    from ..io.zarr import open_zarr, to_zarr
    from ..plot import flood_map
    from ..radiometry.cubes import mask, reflectance
    from .run import MOST_DAYS, dates_of, save_figure, select_date

    for source in (before, after):
        if is_same(source, output):
            raise click.BadParameter(f"{output} is an input; write to another place.", param_hint="--output")
    if (picture := options["picture"]) is not None:
        _check_picture(picture)
    begin = time.perf_counter()
    cubes = []
    for source, role in ((before, "before"), (after, "after")):
        cube: Any = open_cube(source, names=options["names"] or (), part=options["part"])
        if (date := options[f"{role}_date"]) is not None:
            cube = select_date(cube, date, option=f"--{role}-date", within_days=MOST_DAYS)
        cubes.append(mask(cube) if options["mask"] else cube)
    if is_same(before, after):
        _refuse_shared(*(dates_of(cube) for cube in cubes))
    radiometry = {key: options[key] for key in ("offset", "quantification")} | {"nodata": options["nodata"] or "auto"}
    own = [options["offset_before"], options["offset_after"]]
    if own != [None, None]:
        cubes = [
            reflectance(cube, **(radiometry if offset is None else {**radiometry, "offset": offset}))
            for cube, offset in zip(cubes, own, strict=True)
        ]
        radiometry = {}
    formula = {key: options[key] for key in ("index", "threshold", "per", "area", "grid")}
    quiet = options["quiet"]
    how = {"overwrite": options["overwrite"], "wait": options["wait"]}
    found = flood_between(*cubes, **{**formula, **radiometry})
    done = to_zarr(found, output, **how, progress=False if quiet else None)
    written: Any = open_zarr(output)
    if picture is not None:
        save_figure(flood_map(written), picture)
    if not quiet:
        click.echo(f"{output}: flood by {_how(written)}; {taken(begin, done=done > 0)}")
        for line in _areas(written):
            click.echo(line)


def _refuse_shared(before: Any, after: Any) -> None:
    """Raise for dates of one input that would be both before and after, and for an input without dates."""
    shared = [str(stamp)[:10] for stamp in after if stamp in before]
    if shared or not len(before):
        found = f"share {', '.join(shared[:3])}" if shared else "there are no dates in it"
        raise click.UsageError(
            f"BEFORE and AFTER are one input, and {found}; a date is one or the other. Choose by --before-date and "
            "--after-date."
        )


def _how(written: xr.Dataset) -> str:
    """Write the index, the threshold or the least and the largest of several, and the dates before."""
    from ..analytics.classes import LEVEL_ATTR
    from ..analytics.indices import NAME_ATTR

    attrs = written["flood"].attrs
    if "threshold" in written.coords:
        levels = written["threshold"].values
        above = " to ".join(dict.fromkeys((f"{levels.min():.4g}", f"{levels.max():.4g}")))
    else:  # of maps of water that were stored, no number is known, but what they say of themselves
        above = attrs.get(LEVEL_ATTR, "")
    told = f"{attrs.get(NAME_ATTR) or 'maps of water'}{f' above {above}' if above else ''}"
    return f"{told}, before {before}" if (before := attrs.get("xr_sr:before", "no dates")) != "no dates" else told


def _areas(written: xr.Dataset) -> list[str]:
    """Write the areas of each date, what is dry left out; nothing where there is no CRS."""
    from ..analytics.area import area_text

    if "area" not in written:
        return []
    area = written["area"].drop_sel(state="dry")
    lines = []
    for row in area if area.ndim == 2 else [area]:
        date = f"{str(row['time'].values)[:10]}: " if "time" in row.coords else ""
        lines.append(date + ", ".join(f"{each['state'].item()} {area_text(float(each))}" for each in row))
    return lines


def _check_picture(picture: Path) -> None:
    """Raise for a file name of an unknown image format, before any work is done."""
    from ..optional import require

    require("matplotlib", extra="viz")
    known = require("matplotlib.backend_bases", extra="viz").FigureCanvasBase.get_supported_filetypes()
    if picture.suffix.lower().lstrip(".") not in known:
        raise click.BadParameter(f"{picture} must end in .png, or one of {', '.join(known)}.", param_hint="--picture")
