"""`xr-sr load`: a search on a STAC API of this machine becomes a Zarr that the other commands take."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from click.testing import CliRunner, Result

import xr_sr
from tests.io.stac.server import CRS, NORTH, WEST, Scene, serve
from xr_sr.cli import main
from xr_sr.cli.commands import _spellings

OLD = Scene(0, "2021-06-01T10:00:00Z", "03.01")
RAW = Scene(0, "2022-06-05T10:00:00Z", "04.00", added=1000)
CLOUDED = Scene(0, "2022-06-10T10:00:00Z", "04.00", added=1000, cloud=60.0, cloudy=True)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serve([OLD, RAW, CLOUDED], tmp_path_factory.mktemp("cogs")) as api:
        yield api


@pytest.fixture
def asked(running, monkeypatch) -> tuple[str, ...]:
    """The words that ask for 40 x 40 pixels on this server."""
    from pyproj import Transformer

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    west, south = to_degrees.transform(WEST + 410, NORTH - 790)
    east, north = to_degrees.transform(WEST + 790, NORTH - 410)
    return "load", "--catalog", running.url, "--bbox", f"{west},{south},{east},{north}", "--quiet"


def test_a_search_becomes_a_zarr_that_upscale_takes(asked, tmp_path):
    words = [word for word in asked if word != "--quiet"]
    result = run(*words, "--datetime", "2021-06-01/2022-06-08", "-b", "B03,B08", "-o", tmp_path / "in.zarr")

    assert result.exit_code == 0, result.output
    assert "B03 B08, 2 time (2021-06-01 to 2022-06-05)" in result.stdout
    assert "pixels of 10 m in EPSG:32633; " in result.stdout
    cube = xr_sr.open_zarr(tmp_path / "in.zarr")
    assert cube["B03"].dtype == "uint16" and cube["boa_add_offset"].values.tolist() == [0, -1000]
    reflectance = xr_sr.reflectance(cube)["B03"].values
    np.testing.assert_allclose(reflectance[1], reflectance[0], atol=1e-6)
    fine = run("upscale", tmp_path / "in.zarr", tmp_path / "fine.zarr", "-m", "bicubic", "--quiet")
    assert fine.exit_code == 0, fine.output
    assert xr_sr.open_zarr(tmp_path / "fine.zarr").odc.geobox == cube.odc.geobox.zoom_out(0.25)


def test_the_old_spelling_of_the_catalog_is_accepted_with_a_warning(asked, tmp_path):
    words = ["--catalogue" if word == "--catalog" else word for word in asked]
    result = run(*words, "--datetime", "2021-06-01", "-b", "B03", "-o", tmp_path / "in.zarr")

    assert result.exit_code == 0, result.output
    assert "--catalogue" in result.stderr and "--catalog;" in result.stderr


def test_later_dates_are_added(asked, tmp_path):
    words = (*asked, "-b", "B03", "-o", tmp_path / "in.zarr", "--datetime")

    assert run(*words, "2021-06-01").exit_code == 0
    assert run(*words, "2021-06-01/2022-06-08").exit_code == 0

    assert xr_sr.open_zarr(tmp_path / "in.zarr").sizes["time"] == 2


def test_clouds_are_left_out_and_numbers_are_not_packed(asked, tmp_path):
    result = run(*asked, "--datetime", "2022-06-10", "-b", "B03", "--mask", "-o", tmp_path / "in.zarr")

    assert result.exit_code == 0, result.output
    values = xr_sr.open_zarr(tmp_path / "in.zarr")["B03"].values
    assert np.isnan(values).any() and np.nanmax(values) > 1000
    few = run(*asked, "--datetime", "2022-06-10", "--cloud-cover", 20, "-o", tmp_path / "few.zarr")
    assert few.exit_code == 1 and "no item" in few.stderr


def test_the_area_may_be_a_polygon_or_the_grid_of_a_cube(asked, tmp_path):
    words = ["--datetime", "2021-06-01", "-b", "B03"]
    place = asked.index("--bbox")
    elsewhere = (*asked[:place], *asked[place + 2 :])
    west, south, east, north = map(float, asked[place + 1].split(","))
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), encoding="utf-8")

    by_box = run(*asked, *words, "-o", tmp_path / "box.zarr")
    polygon = run(*elsewhere, *words, "--geopolygon", tmp_path / "area.geojson", "-o", tmp_path / "polygon.zarr")
    like = run(
        *elsewhere,
        *words,
        "--like",
        tmp_path / "box.zarr",
        "--query",
        "eo:cloud_cover<50",
        "-o",
        tmp_path / "like.zarr",
    )
    both = run(*asked, *words, "--like", tmp_path / "box.zarr", "-o", tmp_path / "both.zarr")

    for result in (by_box, polygon, like):
        assert result.exit_code == 0, result.output
    grids = [xr_sr.open_zarr(tmp_path / f"{name}.zarr").odc.geobox for name in ("box", "polygon", "like")]
    assert grids[0] == grids[1] == grids[2]
    assert both.exit_code == 1 and "--bbox, --like were passed, and each defines the area to load" in both.stderr


def test_what_cannot_be_done_is_said_in_the_words_of_the_shell(asked, tmp_path):
    out = tmp_path / "in.zarr"
    nothing = run(*asked, "--datetime", "1999", "-o", out)
    assert nothing.exit_code == 1 and "--datetime" in nothing.stderr and "no item" in nothing.stderr
    moon = run("load", "--catalog", "moon", "--bbox", "-1,2,3,4", "--datetime", "2021", "-o", out)
    assert moon.exit_code == 1 and "--catalog moon is neither" in moon.stderr
    degrees = run(*asked, "--datetime", "2021-06-01", "--crs", "EPSG:4326", "-o", out)
    assert degrees.exit_code == 1 and "--crs" in degrees.stderr and "degrees" in degrees.stderr
    assert run("load", "--bbox", "1,2,3", "--datetime", "2021", "-o", out).exit_code == 2
    assert run("load", "--bbox", "1,2,3,4", "--datetime", "2021", "-o", "out.tif").exit_code == 2
    lacking = run(*asked, "--datetime", "2021-06-01", "-b", "B12", "-o", out)
    assert lacking.exit_code == 1 and "--bands" in lacking.stderr
    assert not out.exists()


def test_options_are_called_as_the_arguments_of_the_function():
    arguments = set(inspect.signature(xr_sr.load).parameters) - {"items", "chunks", "geobox"}

    assert arguments <= set(_spellings(main.commands["load"]))
