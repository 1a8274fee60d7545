"""Hints of messages are options of the command line, and following them succeeds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest
import rioxarray  # noqa: F401  registers `.rio`
import xarray as xr

from tests.cli.inputs import RGBN, refused, run, write_raster
from xr_sr.cli import main
from xr_sr.cli.commands import _spellings
from xr_sr.cli.shell import PYTHON, RECIPES, in_shell


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory, scene) -> dict[str, Path]:
    """Files that something is wrong with, by name."""
    folder, flat = tmp_path_factory.mktemp("odd"), scene.isel(time=0)
    untold = scene.drop_attrs().assign_coords(spatial_ref=scene.spatial_ref)
    coarse = scene.isel(y=slice(None, None, 2), x=slice(None, None, 2))
    coarse = coarse.rename(dict(zip(RGBN, ("B05", "B06", "B07", "B8A"), strict=True)))
    large = {"x": scene.x[0].item() + 60.0 * np.arange(32), "y": scene.y[0].item() - 60.0 * np.arange(24)}
    cubes: dict[str, xr.Dataset | xr.DataTree] = {
        "dated": scene,
        "undated": flat.drop_vars("time"),
        "untold": untold,
        "halftold": untold.assign_coords({"s2:processing_baseline": ("time", ["05.09", ""])}),
        "floats": untold.isel(time=0).astype("float32") * 3,
        "alien": scene.rename({band: f"layer_{band}x" for band in RGBN}),
        "arrays": xr.Dataset({"data": scene.to_dataarray("band"), "more": scene.B04.astype("float32")}),
        "large": scene.drop_vars("spatial_ref").assign_coords(large).rio.write_crs("EPSG:32633"),
        "tree": xr.DataTree.from_dict({"/r10m": scene, "/r20m": coarse}),
        "twins": xr.DataTree.from_dict({"/one": scene, "/two": scene}),
    }
    for name, cube in cubes.items():
        cube.to_zarr(folder / f"{name}.zarr")
    rasters = {name: write_raster(folder / f"{name}.tif", flat, named=name == "tif") for name in ("tif", "nameless")}
    return {name: folder / f"{name}.zarr" for name in cubes} | rasters


@pytest.fixture
def inputs(tmp_path, scene, odd_files) -> dict[str, Path]:
    """Files that something is wrong with, a place for a Zarr, one for a GeoTIFF, and one where a file is already."""
    there = write_raster(tmp_path / "there.tif", scene.isel(time=0))
    return {**odd_files, "out": tmp_path / "out.zarr", "cog": tmp_path / "out.tif", "there": there}


PYTHONISMS = re.compile(r"\b(cube|obj|xr_sr|odc)\b[.\[]|\b[a-z_]+=[\w\['(-]|=True")


@pytest.mark.parametrize(
    ("arguments", "way_out"),
    [
        ("{nameless} {out} -m bicubic --offset 0", "--names B02,B03,B04,B08"),
        ("{tif} {there} -m nearest --offset 0", "--overwrite"),
        ("{dated} {cog} -m nearest", "--date YYYY-MM-DD"),
        ("{tif} {out} -m sen3sr", "`xr-sr models`"),
        ("{tif} {out} -m bicubic -b B12 --offset 0", "`xr-sr models`"),
        ("{tif} {out} -m sen2sr-lite -b B10 --offset 0", "--bands"),
        ("{untold} {out} -m bicubic", "--offset -1000 where"),
        ("{floats} {out} -m bicubic --offset -1000 --quantification 100", "--quantification 100 and --offset -1000"),
        ("{floats} {out} -m bicubic", "--offset 0, or --offset -1000"),
        ("{halftold} {out} -m bicubic", "--offset with one number for each of the 2 dates"),
        ("{tif} {out} -m bicubic --offset -0.1", "--offset -1000"),
        ("{tree} {out} -m bicubic -b B05", "--part r20m"),
        ("{twins} {out} -m bicubic", "--part one"),
        ("{arrays} {out} -m bicubic", "--part data"),
        ("{tif} {out} -m bicubic --offset 0 --device tpu", "--device tpu"),
        ("{tif} {out} -m bicubic --offset 0 --weights x.safetensor", "--weights x.safetensor"),
        ("{tif} {out} -m sen2sr-lite --offset 0 --weights nowhere", "--weights nowhere"),
        ("{large} {out} -m sen2sr-lite", "--allow-gsd"),
    ],
)
def test_ways_out_are_spelt_for_the_shell(inputs, arguments, way_out):
    result = run("upscale", *(word.format(**inputs) for word in arguments.split()))

    refused(result, 1, way_out)
    text = result.stderr.removesuffix(f" {PYTHON}\n")
    if text == result.stderr:
        assert not PYTHONISMS.search(text), text


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("{nameless} {out} -m nearest --offset -1000", "--names B02,B03,B04,B08"),
        ("{tif} {there} -m nearest --offset -1000", "--overwrite"),
        ("{dated} {cog} -m nearest", "--date 2023-07-15"),
        ("{untold} {out} -m nearest", "--offset -1000"),
        ("{untold} {out} -m nearest", "--offset -1000,-1000"),
        ("{halftold} {out} -m nearest", "--offset -1000,0"),
        ("{tree} {out} -m nearest -b B05", "--part r20m"),
        ("{twins} {out} -m nearest", "--part two"),
        ("{arrays} {out} -m nearest", "--part data"),
    ],
)
def test_ways_out_lead_out(inputs, wrong, right):
    words = [word.format(**inputs) for word in wrong.split()]

    refused(run("upscale", *words), 1, right.split()[0])
    result = run("upscale", *words, *right.split())
    assert result.exit_code == 0, result.output


def test_warnings_are_spelt_for_the_shell(inputs):
    result = run("upscale", inputs["tree"], inputs["out"], "-m", "nearest")

    assert result.exit_code == 0, result.output
    assert "--part r20m" in result.stderr
    assert "--bands B02,B03,B04,B08" in result.stderr
    assert not PYTHONISMS.search(result.stderr), result.stderr


@pytest.mark.parametrize(
    ("message", "spelt"),
    [
        ("pass allow_gsd=True to go on", "pass --allow-gsd to go on"),
        (
            "pass nodata=(0, 32767), or convert first: cube.sr.reflectance(nodata=(0, 32767)).",
            "pass --nodata 0 --nodata 32767.",
        ),
        ("pass nodata=-9999, or convert first: cube.sr.reflectance(nodata=-9999).", "pass --nodata -9999."),
        ("pass nodata=-3.4e+38, or convert first: cube.sr.reflectance(nodata=-3.4e+38).", "pass --nodata -3.4e+38."),
        ("quantification=10_000.", "--quantification 10000."),
        ("pass offset=0, quantification=1.", "pass --offset 0 --quantification 1."),
        ("zarr_format=2, weights='my net.pt' or", "--zarr-format 2 --weights 'my net.pt' or"),
        ("the file /data/scale=4/offset=0/a.tif", "the file /data/scale=4/offset=0/a.tif"),
        ("s3://a/b?model=x&device=y", "s3://a/b?model=x&device=y"),
        ("packing='float32' keeps them.", "--dtype float32 keeps them."),
        ("shards='block' keeps them.", f"shards='block' keeps them. {PYTHON}"),
        ("cube.rename({'a': 'B02'}).", f"cube.rename({{'a': 'B02'}}). {PYTHON}"),
    ],
)
def test_code_becomes_options(message, spelt):
    options = _spellings(main.commands["upscale"])

    assert in_shell(message, options, options) == spelt


def test_options_of_another_command_are_named_with_it():
    upscale_options = _spellings(main.commands["upscale"])

    load_options = _spellings(main.commands["load"])
    text = "load needs items, or datetime= and an area (bbox=, geopolygon=, geobox= or like=) to search for them."
    spelt = "load needs --datetime and an area: --bbox, --geopolygon or --like."
    assert in_shell(text, load_options, upscale_options) == spelt
    text = "wanted is a number above 0. A grid of other pixels is given by geobox=."
    assert in_shell(text, load_options, upscale_options).endswith("The grid of another cube is that of --like.")
    dateless = "give each its date, obj.assign_coords(time=numpy.datetime64('2023-06-01')), from the first on; to"
    assert in_shell(dateless, load_options, upscale_options) == "use inputs that have dates, from the first on; to"
    assert in_shell("give it as weights=, or", {}, upscale_options) == "give it as `xr-sr upscale --weights`, or"


def test_every_recipe_leads_to_an_option_or_a_command_that_exists():
    # A recipe is of one command's messages: all of its options must be there in upscale, or all in load.
    known = [{option for each in main.commands[name].params for option in each.opts} for name in ("upscale", "load")]

    for _, replacement in RECIPES:
        named = {f"--{name}" for name in re.findall(r"\b([a-z]+)=", replacement)}
        named |= set(re.findall(r"--[a-z-]+", replacement))
        assert any(named <= options for options in known)
        assert set(re.findall(r"xr-sr ([a-z]+)", replacement)) <= set(main.commands)


def test_a_date_of_an_input_without_dates_is_refused(inputs):
    for name in ("undated", "tif"):
        result = run("upscale", inputs[name], inputs["out"], "-m", "nearest", "--offset", 0, "--date", "2023-07-01")

        refused(result, 1, "no dates", "--date")
    assert not inputs["out"].exists()


def test_info_on_what_is_no_cube_fails(inputs):
    refused(run("info", inputs["alien"]), 1, "name of a Sentinel-2 band")
    refused(run("info", inputs["nameless"]), 1, "--names")


def test_a_part_that_is_not_there_is_refused_with_those_that_are(inputs):
    refused(run("info", inputs["tree"], "--part", "r60m"), 1, "--part r60m", "r10m, r20m")
    refused(run("info", inputs["arrays"], "--part", "none"), 1, "data, more")
    refused(run("info", inputs["tif"], "--part", "r10m"), 1, "leave --part out")
    assert "B8A" in run("info", inputs["tree"], "--part", "r20m").stdout
