"""The commands do what their names say, on files of every kind, and fail in one sentence with the right exit code."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest
import rasterio
import rioxarray
import xarray as xr

import xr_sr
from tests.cli.inputs import RGBN, STEM, refused, run, safe, write_band, write_raster
from xr_sr.cli import main
from xr_sr.cli.commands import _spellings
from xr_sr.datasets import sample
from xr_sr.io.files import open_raster
from xr_sr.io.zarr import open_zarr, to_zarr
from xr_sr.io.zarr.claim import claimed
from xr_sr.io.zarr.target import Target
from xr_sr.pipeline.api import upscale


@pytest.mark.parametrize(
    "arguments", [["--help"], ["upscale", "--help"], ["demo", "-h"], ["flood", "-h"], ["load", "-h"], ["--version"]]
)
def test_help_is_given_without_loading_anything_heavy(arguments):
    heavy = {"torch", "zarr", "rasterio", "matplotlib", "dask.array", "pooch", "scipy"}
    call = f"from xr_sr.cli import main; main({arguments}, standalone_mode=False)"
    code = f"import sys; {call}; print({heavy} & set(sys.modules))"

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(xr_sr.__file__).parents[1]
    )
    assert shown.stdout.rstrip().endswith("set()")


def test_models_lists_every_model_of_the_catalogue():
    result = run("models")

    assert result.exit_code == 0
    assert all(name in result.stdout for name in xr_sr.list_models()["name"])
    assert "CC0-1.0" in result.stdout
    assert "computes scales 2 to 24" in result.stdout and "computes scales 1 to 16" in result.stdout
    assert "\nsen2sr (default): sen2sr.rgbn-x4, sen2sr.ten-x4\n" in result.stdout
    assert "\nglp-hpm (default): glp-hpm\n" in result.stdout


@pytest.mark.parametrize("command", ["upscale", "fuse"])
def test_the_default_model_is_that_of_the_function_and_a_name_of_the_list(command):
    default = inspect.signature(getattr(xr_sr, command)).parameters["model"].default

    assert {each.name: each.default for each in main.commands[command].params}["model"] == default
    assert default in set(xr_sr.list_models()["family"])


def test_options_of_a_model_are_those_of_the_function(tmp_path, scene):
    one = scene.isel(time=0)
    path, out = write_raster(tmp_path / "in.tif", one), tmp_path / "out.zarr"
    words = ("--scale", "20", "--option", "noise=0.002", "--option", "mtf={'B04': 0.3}", "--option", "prior=(1.5, 500)")

    result = run("upscale", path, out, "-m", "kriging", "-b", "B04", "--offset", "-1000", "--dtype", "float32", *words)

    assert result.exit_code == 0, result.output
    options = {"scale": 20, "noise": 0.002, "mtf": {"B04": 0.3}, "prior": (1.5, 500)}
    expected = upscale(open_raster(path), "kriging", bands=["B04"], offset=-1000, **options)
    np.testing.assert_allclose(np.squeeze(open_zarr(str(out))), np.squeeze(expected), rtol=0, atol=1e-6)


def test_fetch_says_where_the_weights_are(official):
    result = run("fetch", "sen2sr-lite")

    assert result.exit_code == 0
    path, line = result.stdout.splitlines()
    assert Path(path).is_file()
    assert line.startswith("sha256 ")


def test_fetch_of_what_has_no_weights_or_no_name_is_refused(monkeypatch):
    refused(run("fetch", "bicubic"), 1, "'bicubic'", "weights", "sen2sr-lite")
    assert "weights=" not in run("fetch", "bicubic").stderr
    refused(run("fetch", "sen2sr-light"), 1, "sen2sr-lite")


def test_fetch_without_network_is_one_sentence(monkeypatch):
    monkeypatch.setenv("XR_SR_HUB", "http://127.0.0.1:9")

    refused(run("fetch", "sen2sr-lite"), 1, "XR_SR_WEIGHTS")


def test_demo_uses_the_weights_of_the_package_and_can_be_run_again(tmp_path):
    folder = tmp_path / "new" / "demo"
    first, again = run("demo", "--out", folder), run("demo", "--out", folder, "-q")

    for result in (first, again):
        assert result.exit_code == 0, result.output
        assert "Model: sen2sr" in result.stdout and "inside the package" in result.stdout
    written = open_zarr(str(folder / "havel.zarr"))
    np.testing.assert_allclose(written.B04, upscale(sample()["r10m"]).B04, atol=6e-5)
    assert written.odc.geobox == sample()["r10m"].to_dataset().odc.geobox.zoom_to((1280, 1280))
    assert (folder / "havel.png").stat().st_size > 50_000
    assert (folder / "virginia.png").stat().st_size > 50_000
    numbers = re.search(r"bicubic ([\d.]+) dB, kriging ([\d.]+) dB, sen2sr ([\d.]+) dB", first.stdout).groups()
    bicubic, kriging, ours = map(float, numbers)
    assert 30 < bicubic < kriging < 40 and bicubic < ours < 40


def test_demo_without_matplotlib_still_writes_the_cube(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    result = run("demo", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "xr-sr[viz]" in result.stdout
    assert (tmp_path / "havel.zarr").is_dir()


def test_demo_into_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("x")

    refused(run("demo", "--out", tmp_path / "taken"), 2, "is a file")
    refused(run("demo", "--out", tmp_path / "taken" / "below"), 1, "cannot be made")


def test_a_geotiff_becomes_a_zarr_as_the_function_makes_it(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    result = run("upscale", source, tmp_path / "out.zarr", "-m", "bicubic", "--offset", -1000)

    assert result.exit_code == 0, result.output
    expected = upscale(scene.isel(time=0), "bicubic").to_dataarray("band")
    written = open_zarr(str(tmp_path / "out.zarr"))
    np.testing.assert_allclose(written, expected, atol=6e-5)
    assert written.odc.geobox == scene.odc.geobox.zoom_to((96, 128))
    assert "96 x 128 pixels of 2.5 m" in result.stdout


def test_a_loop_over_files_adds_their_dates_or_says_that_they_have_none(tmp_path, scene):
    options = ("-m", "nearest", "--scale", 2, "--offset", -1000)
    for step in (1, 0):
        scene.isel(time=step).to_netcdf(tmp_path / f"{step}.nc")
        assert run("upscale", tmp_path / f"{step}.nc", tmp_path / "dated.zarr", *options).exit_code == 0
        source = write_raster(tmp_path / f"{step}.tif", scene.isel(time=step, drop=True))
        last = run("upscale", source, tmp_path / "undated.zarr", *options)

    written = open_zarr(str(tmp_path / "dated.zarr"))
    np.testing.assert_array_equal(written.time, scene.time)
    expected = upscale(scene, "nearest", scale=2, offset=-1000)
    np.testing.assert_allclose(written.to_dataarray(), expected.to_dataarray(), atol=6e-5)
    assert last.exit_code == 0 and "nothing left to do" in last.stdout
    assert "undated.zarr is complete, so nothing was written: it holds no date" in last.stderr
    assert "--overwrite" in last.stderr


def test_a_zarr_that_another_process_writes_is_refused_in_a_sentence(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    call = ("upscale", source, tmp_path / "out.zarr", "-m", "bicubic", "--offset", -1000)
    with claimed(Target.of(tmp_path / "out.zarr")):
        result = run(*call)
        forced = run(*call, "--overwrite")
        checked = run("verify", tmp_path / "out.zarr")

    for each in (result, forced):
        refused(each, 1, "out.zarr is being written by process", "pass --wait 600 to wait for it")
        assert len(each.stderr.splitlines()) == 1
    refused(checked, 1, "out.zarr")
    assert "wait" not in checked.stderr and len(checked.stderr.splitlines()) == 1
    assert run(*call, "--wait", 5).exit_code == 0


def test_a_cog_can_be_written_and_read(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    result = run(
        "upscale", source, tmp_path / "out.tif", "-m", "nearest", "--offset", -1000, "-b", "B08, B04", "--scale", 2
    )

    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.descriptions == ("B08", "B04")
        assert file.shape == (48, 64)
        assert file.transform == scene.odc.geobox.zoom_to((48, 64)).affine
    again = open_raster(tmp_path / "out.tif")
    np.testing.assert_allclose(again[0, ::2, ::2], (scene.B08[0].astype(float) - 1000) / 1e4, atol=6e-5)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize(
    ("words", "dtype", "report"),
    [
        ((), "int16", "written as int16 in steps of 0.0001, nodata -32768"),
        (("--dtype", "float32"), "float32", "written as float32, nodata NaN"),
    ],
)
def test_the_type_of_the_numbers_is_chosen_and_the_report_names_the_files_own_nodata(
    tmp_path, scene, suffix, words, dtype, report
):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    target = tmp_path / f"out{suffix}"

    result = run("upscale", source, target, "-m", "nearest", "--offset", -1000, "-b", "B08", *words)

    assert result.exit_code == 0, result.output
    assert report in result.stdout
    stored = open_raster(target).dtype if suffix == ".tif" else xr.open_zarr(target, mask_and_scale=False).data.dtype
    assert stored == ("float32" if suffix == ".tif" else dtype)  # open_raster unpacks
    if suffix == ".tif":
        with rasterio.open(target) as file:
            assert file.dtypes == (dtype,) and (np.isnan(file.nodata) if dtype == "float32" else file.nodata == -32768)


def test_bands_of_a_nameless_raster_are_named_by_hand(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0), named=False)

    refused(run("upscale", source, tmp_path / "out.zarr", "-m", "bicubic", "--offset", -1000), 1, "named")
    refused(run("upscale", source, tmp_path / "out.zarr", "-m", "bicubic", "--names", "B02,B03"), 1, "4 bands")
    result = run(
        "upscale", source, tmp_path / "out.zarr", "-m", "nearest", "--offset", -1000, "--names", "B02, B03, B04, B08"
    )
    assert result.exit_code == 0, result.output
    assert list(open_zarr(str(tmp_path / "out.zarr")).band.values) == list(RGBN)


@pytest.mark.parametrize("kind", ["zarr", "tree", "netcdf", "ours"])
def test_files_of_cubes_are_upscaled_like_the_cubes(tmp_path, scene, kind):
    path = tmp_path / {"netcdf": "in.nc"}.get(kind, "in.zarr")
    if kind == "zarr":
        scene.to_zarr(path)
    elif kind == "tree":
        xr.DataTree.from_dict({"/measurements/r10m": scene}).to_zarr(path)
    elif kind == "netcdf":
        scene.to_netcdf(path)
    else:
        to_zarr(scene, str(path))

    result = run("upscale", path, tmp_path / "out.zarr", "-m", "nearest", "-q")
    assert result.exit_code == 0, result.output
    assert result.output == ""
    written = open_zarr(str(tmp_path / "out.zarr"))
    np.testing.assert_allclose(written.B03[:, ::4, ::4], (scene.B03.astype(float) - 1000) / 1e4, atol=6e-5)
    assert list(written.time.values) == list(scene.time.values)


def test_one_of_several_dates_can_be_taken(tmp_path, scene):
    scene.to_zarr(tmp_path / "in.zarr")
    both = run("upscale", tmp_path / "in.zarr", tmp_path / "out.tif", "-m", "nearest")
    one = run("upscale", tmp_path / "in.zarr", tmp_path / "out.tif", "-m", "nearest", "--date", "2023-07-15")

    refused(both, 1, "date")
    assert one.exit_code == 0, one.output
    red = open_raster(tmp_path / "out.tif").sel(band="B04")
    np.testing.assert_allclose(red[::4, ::4], (scene.B04[1].astype(float) - 1000) / 1e4, atol=6e-5)
    assert ", 2023-07-20, " in one.stdout
    refused(run("upscale", tmp_path / "in.zarr", tmp_path / "out.tif", "--date", "someday"), 1, "someday")
    far = run("upscale", tmp_path / "in.zarr", tmp_path / "far.tif", "-m", "nearest", "--date", "2031-07-20")
    refused(far, 1, "--date 2031-07-20", "within 10 days", "2023-04-20, 2023-07-20")
    assert not (tmp_path / "far.tif").exists()


def test_a_safe_product_is_upscaled_with_the_offset_of_its_baseline(tmp_path, scene):
    result = run("upscale", safe(tmp_path, scene), tmp_path / "out.zarr", "-m", "nearest")

    assert result.exit_code == 0, result.output
    written = open_zarr(str(tmp_path / "out.zarr"))
    np.testing.assert_allclose(written.B02[::4, ::4], (scene.B02[0].astype(float) - 1000) / 1e4, atol=6e-5)


def test_info_tells_what_is_recognized(tmp_path, scene):
    result = run("info", safe(tmp_path, scene))

    assert result.exit_code == 0
    for word in ("B02, B03, B04, B08", "EPSG:32633", "uint16"):
        assert word in result.stdout


def test_an_output_that_is_there_is_replaced_only_when_told(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    for target, second in ((tmp_path / "out.tif", "nearest"), (tmp_path / "out.zarr", "bilinear")):
        assert run("upscale", source, target, "-m", "nearest", "--offset", -1000).exit_code == 0
        refused(run("upscale", source, target, "-m", second, "--offset", -1000), 1, "out")
        assert run("upscale", source, target, "-m", second, "--offset", -1000, "--overwrite").exit_code == 0


def test_the_input_is_never_the_output(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))

    refused(run("upscale", source, tmp_path / "." / "in.tif", "-m", "nearest", "--overwrite"), 2, "is the input")
    assert rioxarray.open_rasterio(source).sizes["band"] == 4


def test_warnings_are_one_line_without_a_place_in_the_code(tmp_path, scene):
    no_crs = scene.drop_vars("spatial_ref").drop_encoding()
    no_crs = no_crs.assign_coords({dim: no_crs[dim].drop_attrs() for dim in ("y", "x")})
    no_crs.to_zarr(tmp_path / "in.zarr")

    result = run("upscale", tmp_path / "in.zarr", tmp_path / "out.zarr", "-m", "nearest")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Warning:")]
    assert len(lines) == len(set(lines)) == 1, lines
    assert "CRS" in lines[0]
    assert ".py" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["upscale", "{tif}"], 2, ["OUTPUT"]),
        (["upscale", "{tif}", "out.png"], 2, [".zarr or .tif"]),
        (["upscale", "{tif}", "{out}", "--offset", "much"], 2, ["--offset"]),
        (["upscale", "{tif}", "{out}", "--precision", "int4"], 2, ["--precision"]),
        (["upscale", "{tif}", "{out}", "--scale", "0"], 2, ["--scale"]),
        (["upscale", "{tif}", "{out}", "-m", "bicubic", "--offset", "0", "--scale", "17"], 1, ["17", "1 to 16"]),
        (["upscale", "{tif}", "{out}", "-m", "kriging", "--offset", "0", "--scale", "25"], 1, ["25", "2 to 24"]),
        (["upscale", "{tif}", "{out}", "-m", "kriging", "--offset", "0", "--option", "nois=0"], 1, ["nois", "noise"]),
        (["upscale", "{tif}", "{out}", "--option", "noise"], 2, ["noise=0.002"]),
        (["upscale", "{tif}", "{out}", "--option", "scale=2"], 1, ["--scale"]),
        (["upscale", "{tif}", "{out}", "--moddel", "x"], 2, ["--moddel"]),
        (["upscale", "{tif}", "{out}", "-m", "sen3sr"], 1, ["sen3sr"]),
        (["upscale", "{tif}", "{out}", "-m", "bicubic", "-b", "B12"], 1, ["B12"]),
        (["upscale", "{tif}", "{out}", "-m", "bicubic"], 1, ["offset"]),
        (["upscale", "{text}", "{out}", "-m", "bicubic"], 1, ["cannot be opened"]),
        (["upscale", "nowhere.tif", "{out}", "-m", "bicubic"], 1, ["nowhere.tif"]),
        (["upscale", "{empty}", "{out}", "-m", "bicubic"], 1, ["no file with the name of a Sentinel-2 band"]),
        (["upscale", "{tif}", "{out}", "-m", "sen2sr-lite", "--offset", "-1000", "--weights", "{text}"], 1, []),
        (["upscale", "{tif}", "s3://bucket/out.tif"], 2, ["local file"]),
        (["upscale", "{tif}", "/vsis3/bucket/out.zarr"], 2, ["/vsis3/bucket/out.zarr", "local"]),
        (["upscale", "{tif}", "nosuch://out.zarr", "-m", "nearest", "--offset", "-1000"], 1, ["Protocol not known"]),
        (["info", "nosuch://in.zarr"], 1, ["cannot be opened"]),
        (["info", "https://127.0.0.1:9/in.zarr"], 1, ["cannot be opened"]),
        (["info", "https://127.0.0.1:9/in.tif"], 1, ["cannot be opened"]),
        (["info", "nowhere.zarr"], 1, ["nowhere.zarr"]),
        (["improve"], 2, ["improve"]),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path, scene, arguments, code, words):
    places = {
        "tif": write_raster(tmp_path / "in.tif", scene.isel(time=0)),
        "out": tmp_path / "out.zarr",
        "text": tmp_path / "a.txt",
    }
    places["text"].write_text("no raster")
    (tmp_path / "empty").mkdir()

    refused(run(*(argument.format(**places, empty=tmp_path / "empty") for argument in arguments)), code, *words)


def test_fuse_brings_the_bands_of_a_product_to_10_m(tmp_path, scene):
    result = run("fuse", safe(tmp_path, scene), tmp_path / "out.zarr", "-m", "glp-hpm")

    assert result.exit_code == 0, result.output
    made = open_zarr(tmp_path / "out.zarr")
    assert made.odc.geobox.shape == (24, 32)
    assert {"B8A", *RGBN} <= set(made.band.values if isinstance(made, xr.DataArray) else made.data_vars)
    assert "glp-hpm" in result.stdout


def test_fuse_is_told_the_guide_and_the_transfer(tmp_path):
    for node in ("r10m", "r20m"):
        part = sample("havel")[node].to_dataset()
        side = 24 if node == "r10m" else 12
        part.isel(y=slice(0, side), x=slice(0, side)).to_netcdf(tmp_path / f"{node}.nc")
    words = ("--other", tmp_path / "r20m.nc", "-b", "B11", "-m", "glp-hpm", "-q")

    assert run("fuse", tmp_path / "r10m.nc", tmp_path / "a.zarr", *words).exit_code == 0
    told = run("fuse", tmp_path / "r10m.nc", tmp_path / "b.zarr", *words, "--guide", "B08", "--mtf", 0.15)

    assert told.exit_code == 0, told.output
    plain, other = (open_zarr(tmp_path / name) for name in ("a.zarr", "b.zarr"))
    assert "B08" in other.attrs["xr_sr:guided"] and "0.15" in other.attrs["xr_sr:options"]
    assert abs(other["B11"] - plain["B11"]).max() > 1e-3
    refused(run("fuse", tmp_path / "r10m.nc", tmp_path / "c.zarr", *words, "--guide", "B77"), 1, "--guide", "B77")


def test_fuse_takes_a_second_input(tmp_path, scene):
    flat = scene.isel(time=0)
    coarse = flat[["B08"]].rename(B08="B11").isel(y=slice(None, None, 2), x=slice(None, None, 2))
    write_band(tmp_path / "r20m" / "x_B11_20m.tif", coarse["B11"].values, 20)
    r10m = write_raster(tmp_path / "r10m.tif", flat)
    place = ("--other", tmp_path / "r20m", "--offset", -1000)
    for band in RGBN:
        write_band(tmp_path / "r10m" / f"x_{band}_10m.tif", flat[band].values)

    wrong = run("fuse", r10m, tmp_path / "no.zarr", "-m", "glp-hpm", *place)
    result = run("fuse", tmp_path / "r10m", tmp_path / "out.zarr", "-m", "glp-hpm", "-b", "B11", *place)

    assert wrong.exit_code == 1  # it lies elsewhere
    assert result.exit_code == 0, result.output
    assert open_zarr(tmp_path / "out.zarr").odc.geobox.shape == (24, 32)


def test_numbers_that_cannot_be_reflectance_end_in_a_sentence(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0) * np.uint16(7))

    refused(
        run("upscale", source, tmp_path / "out.zarr", "-m", "nearest", "--offset", 0, "--quantification", 1000),
        1,
        "reflectance",
    )


def test_a_url_is_written_where_it_points(tmp_path, scene, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    for url in ("memory://xr-sr-cli/out.zarr", f"file://{tmp_path}/out.zarr"):
        result = run("upscale", source, url, "-m", "nearest", "--offset", -1000)

        assert result.exit_code == 0, result.output
        assert list(open_zarr(url).band.values) == list(RGBN)
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "out.zarr"}


def test_the_input_is_not_the_output_under_another_name(tmp_path, scene):
    scene.to_zarr(tmp_path / "in.zarr")

    refused(run("upscale", tmp_path / "in.zarr", f"file://{tmp_path}/in.zarr", "--overwrite"), 2, "is the input")
    refused(run("upscale", "s3://bucket/in.zarr/", "s3://bucket/in.zarr", "--overwrite"), 2, "is the input")


def test_a_folder_with_a_classification_becomes_a_cog_of_its_bands(tmp_path, scene):
    folder = tmp_path / "in"
    for band in RGBN:
        write_band(folder / f"{STEM}_{band}_10m.tif", scene[band].values[0])
    write_band(folder / f"{STEM}_SCL_10m.tif", np.full((24, 32), 6, "uint8"))

    result = run("upscale", folder, tmp_path / "out.tif", "-m", "nearest", "--offset", -1000)
    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.descriptions == RGBN
    assert "Warning: ['SCL'] are left out" in result.stderr


def test_a_call_with_nothing_left_to_write_says_so(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    order = ("upscale", source, tmp_path / "out.zarr", "-m", "nearest", "--offset", -1000)

    assert "nothing left to do" not in run(*order).stdout
    assert "nothing left to do" in run(*order).stdout


def test_fuse_brings_20_m_bands_to_10_m(tmp_path, official):
    tree = sample("havel")
    r10m, r20m = tree["r10m"].to_dataset(), tree["r20m"].to_dataset()
    paths = tmp_path / "r10m.nc", tmp_path / "r20m.nc"
    r10m.isel(y=slice(0, 24), x=slice(0, 20)).to_netcdf(paths[0])
    r20m.isel(y=slice(0, 12), x=slice(0, 10)).to_netcdf(paths[1])

    words = ("-m", "sen2sr-lite", "--quiet")
    result = run("fuse", paths[0], tmp_path / "ten.zarr", "--other", paths[1], "-b", "B03,B11", *words)

    assert result.exit_code == 0, result.output
    written = open_zarr(str(tmp_path / "ten.zarr"))
    assert {name: array.shape[-2:] for name, array in written.data_vars.items()} == {"B03": (24, 20), "B11": (24, 20)}
    assert written.attrs["xr_sr:model"] == "sen2sr-lite.rswir-x2"
    refused(run("fuse", paths[0], tmp_path / "no.zarr", *words), 1, "sen2sr-lite.rswir-x2", "B11")


def test_options_are_called_as_the_arguments_of_the_function():
    """So that an argument that a message names is found among the options."""
    arguments = set(inspect.signature(upscale).parameters) - {"obj", "mask", "options"}

    assert arguments <= set(_spellings(main.commands["upscale"]))


def test_info_warns_of_nothing_that_it_tells(tmp_path, scene):
    no_crs = scene.drop_vars("spatial_ref").drop_encoding()
    no_crs.assign_coords({dim: no_crs[dim].drop_attrs() for dim in ("y", "x")}).to_zarr(tmp_path / "in.zarr")

    result = run("info", tmp_path / "in.zarr")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "no CRS" in result.stdout


@pytest.mark.parametrize(("command", "words"), [("upscale", ("kept", "same command")), ("models", ("Interrupted.",))])
def test_an_interrupted_command_says_what_is_kept(command, words, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main.commands[command], "callback", interrupted)
    refused(run(command, *(["a.tif", "b.zarr"] if command == "upscale" else [])), 130, *words)
