"""`xr-sr flood`: the function's map in a Zarr, areas on the terminal, errors in the shell's words."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401  registers `.rio`
import xarray as xr
from click.testing import CliRunner, Result

import xr_sr
from xr_sr.analytics.area import area_text
from xr_sr.cli import main
from xr_sr.cli.commands import _spellings


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit) and "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


@pytest.fixture(scope="module")
def series() -> xr.Dataset:
    """DN of three dates with rising water."""
    scene = xr_sr.simulate_scene(96, dates=3, flood_m=[0, 2, 4], bands=["B03", "B08"], seed=4)
    return scene["lr/r10m"].to_dataset().compute()


@pytest.fixture
def stores(series, tmp_path) -> tuple[Path, Path]:
    series.isel(time=[0]).sr.to_zarr(tmp_path / "before.zarr", progress=False)
    series.isel(time=[1, 2]).sr.to_zarr(tmp_path / "after.zarr", progress=False)
    return tmp_path / "before.zarr", tmp_path / "after.zarr"


def test_the_map_is_that_of_the_function(stores, series, tmp_path):
    result = run("flood", *stores, "-o", tmp_path / "flood.zarr", "--index", "NDWI")

    assert result.exit_code == 0, result.output
    expected = xr_sr.flood_between(series.isel(time=[0]), series.isel(time=[1, 2]), index="NDWI").compute()
    written = xr_sr.open_zarr(tmp_path / "flood.zarr")
    np.testing.assert_array_equal(written["flood"].values, expected["flood"].values)
    np.testing.assert_array_equal(written["area"].values, expected["area"].values)
    assert written["threshold"].item() == expected["threshold"].item()
    assert area_text(float(expected["area"].sel(state="flooded")[1])) in result.stdout
    assert "2023-06-20: permanent" in result.stdout and "NDWI above" in result.stdout


def test_dates_of_one_file_are_chosen(series, tmp_path):
    series.sr.to_zarr(tmp_path / "all.zarr", progress=False)
    source = tmp_path / "all.zarr"

    result = run("flood", source, source, "-o", tmp_path / "flood.zarr", "--index", "NDWI", "--threshold", 0.1,
                 "--before-date", "2023-06-15", "--after-date", "2023-06-26")  # fmt: skip

    assert result.exit_code == 0, result.output
    written = xr_sr.open_zarr(tmp_path / "flood.zarr")
    expected = xr_sr.flood_between(series.isel(time=0), series.isel(time=2), index="NDWI", threshold=0.1)
    np.testing.assert_array_equal(written["flood"].values, expected["flood"].values)


def test_dates_that_are_far_off_or_shared_are_refused(series, tmp_path):
    series.sr.to_zarr(tmp_path / "all.zarr", progress=False)
    source, out = tmp_path / "all.zarr", tmp_path / "flood.zarr"
    words = ("flood", source, source, "-o", out, "--index", "NDWI", "--threshold", 0.1)

    refused(run(*words), 2, "share 2023-06-15", "--before-date")
    refused(run(*words, "--before-date", "2023-06-15", "--after-date", "2023-06-17"), 2, "share 2023-06-15")
    refused(run(*words, "--before-date", "2022-06-15", "--after-date", "2023-06-25"), 1, "--before-date 2022-06-15",
            "within 10 days", "2023-06-15, 2023-06-20, 2023-06-25")  # fmt: skip
    assert not out.exists()
    assert "before 2023-06-15" in run(*words, "--before-date", "2023-06-12", "--after-date", "2023-06-25").stdout


def test_stored_maps_of_water_are_compared(stores, tmp_path):
    places = []
    for store in stores:
        mask = xr_sr.open_zarr(store).sr.water("NDWI", 0.1)
        places.append(tmp_path / f"water-{store.name}")
        mask.sr.to_zarr(places[-1], progress=False)

    result = run("flood", *places, "-o", tmp_path / "flood.zarr")

    assert result.exit_code == 0, result.output
    assert "flood by NDWI above 0.1, before 2023-06-15" in result.stdout and "flooded" in result.stdout


def test_another_level_or_area_is_not_taken_for_the_same(stores, tmp_path):
    words = ("flood", *stores, "-o", tmp_path / "flood.zarr", "--index", "NDWI", "--threshold")
    assert run(*words, 0.1).exit_code == 0

    refused(run(*words, 0.99), 1, "xr_sr:threshold", "'0.1'", "'0.99'", "--overwrite")
    refused(run(*words, 0.1, "--area", "projected"), 1, "xr_sr:area", "--overwrite")


def test_rasters_without_dates_are_compared_and_drawn(series, tmp_path):
    for number, name in enumerate(("before.tif", "after.tif")):
        series.isel(time=2 * number).to_dataarray("band").rio.to_raster(tmp_path / name)

    result = run("flood", tmp_path / "before.tif", tmp_path / "after.tif", "-o", tmp_path / "flood.zarr",
                 "--index", "NDWI", "--offset", -1000, "--names", "B03,B08",
                 "--picture", tmp_path / "flood.png")  # fmt: skip

    assert result.exit_code == 0, result.output
    assert (tmp_path / "flood.png").stat().st_size > 10_000
    assert "flooded" in result.stdout


def test_a_picture_of_no_known_kind_is_refused_before_anything_is_written(stores, tmp_path):
    words = ("flood", *stores, "-o", tmp_path / "flood.zarr", "--picture", tmp_path / "flood.abc")

    refused(run(*words), 2, "--picture", ".png")
    assert not (tmp_path / "flood.zarr").exists()


def test_clouds_are_unknown_where_they_are_masked(series, tmp_path):
    classes = np.full((96, 96), 4, "uint8")
    classes[:, :30] = 9
    clouded = series.isel(time=[1]).assign(SCL=(("time", "y", "x"), classes[None]))
    clouded.sr.to_zarr(tmp_path / "after.zarr", progress=False)
    series.isel(time=[0]).assign(SCL=(("time", "y", "x"), np.full((1, 96, 96), 4, "uint8"))).sr.to_zarr(
        tmp_path / "before.zarr", progress=False
    )

    result = run("flood", tmp_path / "before.zarr", tmp_path / "after.zarr", "-o", tmp_path / "flood.zarr",
                 "--index", "NDWI", "--threshold", 0, "--mask", "--quiet")  # fmt: skip

    assert result.exit_code == 0 and result.output == ""
    flood = xr_sr.open_zarr(tmp_path / "flood.zarr")["flood"].values[0]
    assert (flood[:, :30] == 255).all() and (flood[:, 30:] != 255).all()


def test_what_cannot_be_done_is_said_in_a_sentence(stores, series, tmp_path):
    out = tmp_path / "flood.zarr"
    refused(run("flood", *stores, "-o", out), 1, "'B11'", "missing")
    refused(run("flood", *stores, "-o", tmp_path / "flood.tif"), 2, ".zarr")
    refused(run("flood", *stores, "-o", stores[0], "--index", "NDWI"), 2, "another place")
    refused(run("flood", *stores, "-o", out, "--index", "NDWI", "--threshold", "high"), 2, "'otsu'")
    refused(run("flood", stores[0], tmp_path / "none.zarr", "-o", out), 1, "none.zarr")
    refused(run("flood", *stores, "-o", out, "--index", "NDVVI"), 1, "NDVI")
    assert not out.exists()

    series.isel(time=[1], x=slice(1, None)).sr.to_zarr(tmp_path / "moved.zarr", progress=False)
    refused(run("flood", stores[0], tmp_path / "moved.zarr", "-o", out, "--index", "NDWI"), 1, "two cubes")


def test_another_map_is_not_written_over_unless_told(stores, tmp_path):
    words = ("flood", *stores, "-o", tmp_path / "flood.zarr", "--index", "NDWI", "--threshold")
    assert run(*words, 0.1).exit_code == 0
    assert "nothing left to do" in run(*words, 0.1).stdout

    result = run(*words, 0.1, "--before-date", "2023-06-15")
    assert result.exit_code == 0, result.output
    swapped = run("flood", stores[1], stores[0], "-o", tmp_path / "flood.zarr", "--index", "NDWI", "--threshold", 0.1)
    refused(swapped, 1, "--overwrite")


def test_options_are_called_as_the_arguments_of_the_function():
    """But for `limits`, which are those of ensembles and intervals: none is read from files."""
    arguments = set(inspect.signature(xr_sr.flood_between).parameters) - {"before", "after", "limits"}

    assert arguments <= set(_spellings(main.commands["flood"]))


def test_each_input_has_an_offset_of_its_own(series, tmp_path):
    for number, name in enumerate(("before.tif", "after.tif")):
        dn = series.isel(time=2 * number).to_dataarray("band")
        (dn - 1000 * number).clip(1).astype("uint16").rio.to_raster(tmp_path / name)  # the first as raw products are
    words = ("flood", tmp_path / "before.tif", tmp_path / "after.tif", "--index", "NDWI", "--names", "B03,B08")

    result = run(*words, "-o", tmp_path / "flood.zarr", "--offset-before", -1000, "--offset-after", 0)

    assert result.exit_code == 0, result.output
    expected = xr_sr.flood_between(
        *(series.isel(time=[date]) for date in (0, 2)), index="NDWI", offset=-1000
    ).flood.values
    found = xr_sr.open_zarr(tmp_path / "flood.zarr").flood.values
    assert (found == np.squeeze(expected)).mean() > 0.99
