"""`xr-sr load`: from a STAC catalog to a Zarr of DN, on one grid."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .commands import main
from .options import OUTPUT, OVERWRITE, QUIET, TEXT, WAIT, box, names, taken


@main.command(context_settings=TEXT)
@click.option(
    "--bbox",
    callback=box,
    metavar="W,S,E,N",
    help="Area to load: west,south,east,north in degrees; west > east crosses 180 degrees.",
)
@click.option(
    "--geopolygon",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="GEOJSON",
    help="Instead of --bbox: a file with a geometry in degrees, whose bounding box is loaded.",
)
@click.option("--like", metavar="INPUT", help="Instead of --bbox: a cube, on whose grid the scenes are loaded.")
@click.option("--datetime", required=True, help="As STAC has it: 2023-06-01/2023-06-30, or one day.")
@click.option(
    "--catalog",
    default="earth-search",
    show_default=True,
    help="earth-search, planetary-computer, cdse, or the URL of a STAC API.",
)
@click.option("--catalogue", hidden=True)  # its spelling in an earlier release
@click.option("--collection", help="Of Sentinel-2 L2A there. Default: that of the catalog, or sentinel-2-l2a.")
@click.option("--query", multiple=True, help="For the search, such as 'eo:cloud_cover<20'; may be repeated.")
@click.option("--filter", help="For the search, as CQL2 text, where the API takes it.")
@click.option(
    "--bands",
    "-b",
    callback=names,
    metavar="NAMES",
    help="Such as B03,B11. Default: all of 10 m and 20 m, with SCL.",
)
@click.option("--cloud-cover", type=click.FloatRange(0, 100), help="Largest cloud cover of a scene, in percent.")
@click.option("--mask", is_flag=True, help="Mask clouds and shadows by SCL.")
@click.option("--offset", type=float, help="DN to add, for all scenes. Default: what each says of itself.")
@click.option(
    "--grid",
    type=click.Choice(["10", "20"]),
    help="Size of the pixels in meters; by default 10, or the pixels of --like. At 10, each pixel of 20 m is repeated, "
    "which `xr-sr upscale` understands.",
)
@click.option("--resolution", type=float, help="Instead of --grid: side of a pixel in the unit of the CRS.")
@click.option("--crs", help="CRS of the grid, such as EPSG:32633. Default: that of most scenes.")
@click.option("--groupby", help="What makes a date: solar_day (the default), time, id, or the name of a property.")
@OUTPUT
@OVERWRITE
@WAIT
@QUIET
def load(output: str, overwrite: bool, wait: float, quiet: bool, **options: Any) -> None:
    """Load Sentinel-2 scenes from a STAC catalog into OUT.ZARR.

    Numbers are DN as the catalog has them, with the offset of each date beside them, so that `xr-sr upscale` and
    `xr-sr flood` read them right. With a later --datetime, new dates are added to what is there.

    \b
    xr-sr load --bbox 12.45,52.36,12.55,52.42 --datetime 2023-06-01/2023-06-30 -o june.zarr
    xr-sr upscale june.zarr fine.zarr
    """
    from ..io.stac import load as load_scenes
    from ..io.zarr import to_zarr

    begin = time.perf_counter()
    cube: Any = load_scenes(**_for_python(options))
    # Masked DN are floats, which would not fit steps of 0.0001.
    how: dict[str, Any] = {"overwrite": overwrite, "wait": wait, "progress": False if quiet else None}
    done = to_zarr(cube, output, packing="float32", **how)
    if not quiet:
        click.echo(f"{output}: {_summary(cube)}; {taken(begin, done=done > 0)}")


def _for_python(options: Mapping[str, Any]) -> dict[str, Any]:
    """Read files that options name, and choose the one grid that a Zarr of DN has."""
    from ..io.files import open as open_cube
    from ..io.stac.target import grid_like

    made = {**options, "query": list(options["query"]) or None}
    if (former := made.pop("catalogue")) is not None:
        click.echo("Warning: --catalogue is now spelled --catalog; the old spelling will be removed.", err=True)
        made["catalog"] = former
    if (path := options["geopolygon"]) is not None:
        try:
            made["geopolygon"] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise click.BadParameter(f"{path} is not GeoJSON: {error}.", param_hint="--geopolygon") from error
    if (source := options["like"]) is not None:
        made["like"] = grid_like(open_cube(source))
    chosen = options["like"] is not None or options["resolution"] is not None
    made["grid"] = int(options["grid"]) if options["grid"] else None if chosen else 10
    return made


def _summary(cube: Any) -> str:
    """Return a line that describes what was loaded."""
    from ..cube.grid import pixel_size_m

    box = cube.odc.geobox
    crs = f"EPSG:{box.crs.epsg}" if box.crs.epsg else box.crs.proj.name
    ground = pixel_size_m(box)
    dates = cube["time"].values.astype("datetime64[D]").astype(str)
    size = f"{box.shape.y} x {box.shape.x} pixels{f' of {ground[1]:.3g} m' if ground else ''} in {crs}"
    span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"{' '.join(map(str, cube.data_vars))}, {len(dates)} time ({span}), {size}"
