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
from click.testing import CliRunner, Result
from rasterio.transform import from_origin

import xr_sr
from xr_sr import errors
from xr_sr.cli import main
from xr_sr.cli.commands import _spellings
from xr_sr.cli.shell import PYTHON, RECIPES, in_shell
from xr_sr.datasets import sample, simulate_scene
from xr_sr.io.files import open_cube, select_date
from xr_sr.io.rasters import open_raster
from xr_sr.io.zarr import open_zarr, to_zarr
from xr_sr.io.zarr.claim import claimed
from xr_sr.io.zarr.target import Target
from xr_sr.pipeline.api import upscale

RGBN = ("B02", "B03", "B04", "B08")
STEM = "T33UUU_20230701T101031"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, code: int, *words: str) -> None:
    """Check that a command failed with a sentence, on stderr, and without a traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    """DN of four bands on two dates, offset -1000."""
    return simulate_scene((24, 32), ["2023-04-20", "2023-07-20"], bands=RGBN)["lr/r10m"].to_dataset().compute()


def write_band(path: Path, values: np.ndarray, gsd_m: float = 10, **more) -> None:
    """Write one band as GeoTIFF, from (600000, 5400000)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape[-2:]
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": values.dtype,
        "crs": "EPSG:32633",
    }
    with rasterio.open(path, "w", **profile, transform=from_origin(600_000, 5_400_000, gsd_m, gsd_m), **more) as file:
        file.write(values.reshape(1, height, width))


def write_raster(path: Path, dataset: xr.Dataset, *, named: bool = True) -> Path:
    """Write the bands of one date as a GeoTIFF, with or without band descriptions."""
    height, width = dataset.odc.geobox.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": len(dataset),
        "dtype": "uint16",
        "crs": "EPSG:32633",
    }
    with rasterio.open(path, "w", **profile, transform=dataset.odc.geobox.affine) as file:
        for number, (band, plane) in enumerate(dataset.data_vars.items(), start=1):
            file.write(plane.values, number)
            if named:
                file.set_band_description(number, str(band))
    return path


def safe(folder: Path, scene: xr.Dataset, *, baseline: str = "05.09") -> Path:
    """Lay out one date as an L2A SAFE product does, with what lies beside the images."""
    root = folder / "S2A_MSIL2A_20230701T101031_N0301_R022_T33UUU_20230701T161800.SAFE"
    images = root / "GRANULE" / "L2A_T33UUU_A041901_20230701T101559" / "IMG_DATA"
    flat = scene.isel(time=0)
    for band in RGBN:
        write_band(images / "R10m" / f"{STEM}_{band}_10m.tif", flat[band].values)
        write_band(images / "R20m" / f"{STEM}_{band}_20m.tif", flat[band].values[::2, ::2], 20)
    write_band(images / "R20m" / f"{STEM}_B8A_20m.tif", flat["B08"].values[::2, ::2], 20)
    write_band(images / "R20m" / f"{STEM}_SCL_20m.tif", np.full((12, 16), 6, "uint8"), 20)
    write_band(images / "R10m" / f"{STEM}_AOT_10m.tif", flat["B02"].values)
    write_band(images.parent / "QI_DATA" / "MSK_DETFOO_B02.tif", np.ones((24, 32), "uint8"))
    (root / "MTD_MSIL2A.xml").write_text(
        f"<a><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE></a>", encoding="utf-8"
    )
    return root


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


def test_fetch_says_where_the_weights_are(official):
    result = run("fetch", "sen2sr-lite")

    assert result.exit_code == 0
    path, line = result.stdout.splitlines()
    assert Path(path).is_file()
    assert line.startswith("sha256 ")


def test_fetch_of_what_has_no_weights_or_no_name_is_refused(monkeypatch):
    refused(run("fetch", "bicubic"), 1, "'bicubic' works without weights", "sen2sr-lite")
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


def test_dates_are_taken_in_every_node_of_a_tree(scene):
    tree = xr.DataTree.from_dict({"/r10m": scene, "/r20m": scene.isel(y=slice(None, None, 2), x=slice(None, None, 2))})

    chosen = select_date(tree, "2023-04-01T00:00Z")
    assert all(node.time.values == scene.time.values[0] for node in chosen.leaves)


def test_a_safe_product_gives_bands_on_native_grids(tmp_path, scene):
    tree = open_cube(str(safe(tmp_path, scene)))

    assert set(tree.children) == {"r10m", "r20m"}
    assert list(tree["r10m"].data_vars) == list(RGBN)
    assert list(tree["r20m"].data_vars) == ["B8A", "SCL"]
    for node in tree.leaves:
        assert node.attrs["s2:processing_baseline"] == "05.09"
        assert node.attrs["product_level"] == "L2A"
        assert node.time.values == np.datetime64("2023-07-01T10:10:31")
    np.testing.assert_array_equal(tree["r10m/B04"], scene.B04[0])


def test_a_safe_product_is_upscaled_with_the_offset_of_its_baseline(tmp_path, scene):
    result = run("upscale", safe(tmp_path, scene), tmp_path / "out.zarr", "-m", "nearest")

    assert result.exit_code == 0, result.output
    written = open_zarr(str(tmp_path / "out.zarr"))
    np.testing.assert_allclose(written.B02[::4, ::4], (scene.B02[0].astype(float) - 1000) / 1e4, atol=6e-5)


def test_the_baseline_is_read_from_the_name_where_metadata_lack(tmp_path, scene):
    root = safe(tmp_path, scene)
    (root / "MTD_MSIL2A.xml").unlink()

    assert open_cube(str(root)).attrs["s2:processing_baseline"] == "03.01"


def test_a_folder_on_one_grid_is_a_dataset(tmp_path, scene):
    for band in RGBN:
        write_band(tmp_path / f"2023-07-01_Sentinel-2_L2A_{band}_(Raw).tiff", scene[band].values[0])

    dataset = open_cube(str(tmp_path))
    assert isinstance(dataset, xr.Dataset)
    assert list(dataset.data_vars) == list(RGBN)
    assert "s2:processing_baseline" not in dataset.attrs
    refused(run("upscale", tmp_path, tmp_path / "out.zarr", "-m", "nearest"), 1, "offset")


def test_the_folder_of_brandenburg_opens_with_its_three_grids(shared):
    tree = open_cube(str(shared / "data" / "s2_l1c_brandenburg"))

    assert {name: len(node.data_vars) for name, node in tree.children.items()} == {"r10m": 4, "r20m": 6, "r60m": 3}
    window = tree["r10m/B04"].isel(y=slice(96, 99), x=slice(1212, 1215))
    np.testing.assert_array_equal(window, sample()["r10m/B04"][:3, :3])


def test_several_dates_in_a_folder_are_refused(tmp_path, scene):
    for date in ("20230701T101031", "20230711T101031"):
        write_band(tmp_path / f"T33UUU_{date}_B04.tif", scene.B04.values[0])

    refused(run("info", tmp_path), 1, "B04", "one date")


def test_bands_that_do_not_lie_on_each_other_are_refused(tmp_path, scene):
    write_band(tmp_path / "B04.tif", scene.B04.values[0])
    write_band(tmp_path / "B03.tif", scene.B03.values[0][2:])

    refused(run("info", tmp_path), 1, "grid")


def test_info_tells_what_is_recognised(tmp_path, scene):
    result = run("info", safe(tmp_path, scene))

    assert result.exit_code == 0
    for word in ("B02, B03, B04, B08", "EPSG:32633", "uint16"):
        assert word in result.stdout


def test_opening_reads_no_pixel_of_files_larger_than_memory(tmp_path):
    import netCDF4
    import zarr

    side = 150_000
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(tmp_path / "big.tif", "w", **profile, SPARSE_OK=True, BIGTIFF=True, compress="deflate"):
        pass
    group = zarr.open_group(tmp_path / "big.zarr", mode="w", zarr_format=3)
    group.create_array("B04", shape=(side, side), chunks=(512, 512), dtype="uint16", dimension_names=("y", "x"))
    with netCDF4.Dataset(tmp_path / "big.nc", "w") as file:
        for dim in ("y", "x"):
            file.createDimension(dim, side)
        file.createVariable("B04", "u2", ("y", "x"), zlib=True, chunksizes=(512, 512))

    for name in ("big.tif", "big.zarr", "big.nc"):
        cube = open_cube(str(tmp_path / name))
        assert cube.nbytes > 40e9
        part = cube.isel(y=slice(70_000, 70_004), x=slice(9, 12))
        assert (part if isinstance(part, xr.DataArray) else part.B04).values.size == 12


@pytest.mark.parametrize(("tiled", "chunk"), [(True, (512, 512)), (False, (74, 3500))])
def test_rasters_are_read_in_whole_blocks(tmp_path, tiled, chunk):
    path = tmp_path / "in.tif"
    blocks = {"tiled": True, "blockxsize": 128, "blockysize": 128} if tiled else {"blockysize": 2}
    write_band(path, np.zeros((600, 3500), "uint16"), **blocks)

    assert open_raster(path).data.chunksize == (1, *chunk)


def test_a_declared_scale_is_applied_and_counts_as_reflectance(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    with rasterio.open(source, "r+") as file:
        file.scales, file.offsets = (1e-4,) * 4, (-0.1,) * 4
    result = run("upscale", source, tmp_path / "out.zarr", "-m", "nearest")

    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(
        open_zarr(str(tmp_path / "out.zarr"))[0, ::4, ::4], (scene.B02[0].astype(float) - 1000) / 1e4, atol=6e-5
    )


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
        (["upscale", "{tif}", "{out}", "--moddel", "x"], 2, ["--moddel"]),
        (["upscale", "{tif}", "{out}", "-m", "sen3sr"], 1, ["sen3sr"]),
        (["upscale", "{tif}", "{out}", "-m", "bicubic", "-b", "B12"], 1, ["B12"]),
        (["upscale", "{tif}", "{out}", "-m", "bicubic"], 1, ["offset"]),
        (["upscale", "{text}", "{out}", "-m", "bicubic"], 1, ["cannot be opened"]),
        (["upscale", "nowhere.tif", "{out}", "-m", "bicubic"], 1, ["there is no nowhere.tif"]),
        (["upscale", "{empty}", "{out}", "-m", "bicubic"], 1, ["no file with the name of a Sentinel-2 band"]),
        (["upscale", "{tif}", "{out}", "-m", "sen2sr-lite", "--offset", "-1000", "--weights", "{text}"], 1, []),
        (["upscale", "{tif}", "s3://bucket/out.tif"], 2, ["local file"]),
        (["upscale", "{tif}", "/vsis3/bucket/out.zarr"], 2, ["no local path"]),
        (["upscale", "{tif}", "nosuch://out.zarr", "-m", "nearest", "--offset", "-1000"], 1, ["Protocol not known"]),
        (["info", "nosuch://in.zarr"], 1, ["cannot be opened"]),
        (["info", "https://127.0.0.1:9/in.zarr"], 1, ["cannot be opened"]),
        (["info", "https://127.0.0.1:9/in.tif"], 1, ["cannot be opened"]),
        (["info", "nowhere.zarr"], 1, ["there is no"]),
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


def test_a_broken_zarr_is_a_cube_error(tmp_path):
    (tmp_path / "in.zarr").mkdir()
    (tmp_path / "in.zarr" / "zarr.json").write_text("{")

    with pytest.raises(errors.CubeError, match="cannot be opened"):
        open_cube(str(tmp_path / "in.zarr"))


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


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
@pytest.mark.parametrize("name", [None, "reflectance"])
def test_a_stored_array_of_bands_is_that_array(tmp_path, scene, kind, name):
    path = tmp_path / ("in.nc" if kind == "netcdf" else "in.zarr")
    array = scene.to_dataarray("band", name=name).drop_vars("band")
    (array.to_netcdf if kind == "netcdf" else array.to_zarr)(path)

    opened = open_cube(str(path))
    assert isinstance(opened, xr.DataArray)
    assert opened.name == name
    names = ("--names", ",".join(RGBN))
    assert "B02, B03, B04, B08" in run("info", path, *names).stdout
    result = run("upscale", path, tmp_path / "out.zarr", "-m", "nearest", "--offset", -1000, *names)
    assert result.exit_code == 0, result.output
    written = open_zarr(str(tmp_path / "out.zarr"))
    np.testing.assert_allclose(written.sel(band="B03")[:, ::4, ::4], (scene.B03.astype(float) - 1000) / 1e4, atol=6e-5)


def test_a_call_with_nothing_left_to_write_says_so(tmp_path, scene):
    source = write_raster(tmp_path / "in.tif", scene.isel(time=0))
    order = ("upscale", source, tmp_path / "out.zarr", "-m", "nearest", "--offset", -1000)

    assert "nothing left to do" not in run(*order).stdout
    assert "nothing left to do" in run(*order).stdout


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
        ("{tif} {out} -m sen2sr-lite -b B10 --offset 0", "--bands asks"),
        ("{untold} {out} -m bicubic", "--offset -1000 where"),
        ("{floats} {out} -m bicubic --offset -1000 --quantification 100", "--quantification 100 and --offset -1000"),
        ("{floats} {out} -m bicubic", "--offset 0, or --offset -1000"),
        ("{halftold} {out} -m bicubic", "--offset with one number for each of the 2 dates"),
        ("{tif} {out} -m bicubic --offset -0.1", "--offset -1000"),
        ("{tree} {out} -m bicubic -b B05", "--part r20m"),
        ("{twins} {out} -m bicubic", "--part one"),
        ("{arrays} {out} -m bicubic", "--part data"),
        ("{tif} {out} -m bicubic --offset 0 --device tpu", "--device tpu: wanted"),
        ("{tif} {out} -m bicubic --offset 0 --weights x.safetensor", "--weights x.safetensor"),
        ("{tif} {out} -m sen2sr-lite --offset 0 --weights nowhere", "--weights nowhere is no file"),
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


def test_a_date_of_an_input_without_dates_is_refused(inputs):
    for name in ("undated", "tif"):
        result = run("upscale", inputs[name], inputs["out"], "-m", "nearest", "--offset", 0, "--date", "2023-07-01")

        refused(result, 1, "no dates", "--date")
    assert not inputs["out"].exists()


def test_the_nearest_date_is_found_in_any_order(scene):
    times = scene.time.values
    shuffled = scene.isel(time=[1, 0, 1]).assign_coords(time=[times[1], times[0], np.datetime64("NaT", "ns")])

    assert select_date(shuffled, "2023-04-01").time.values == times[0]
    assert select_date(scene.isel(time=[1, 1]), "2023-04-01").time.values == times[1]
    assert select_date(scene.isel(time=0), "2023-07-01").time.values == times[0]
    with pytest.raises(errors.OptionError, match="is no date"):
        select_date(scene, "")


def test_a_date_keeps_what_a_part_inherits(scene):
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"level": "L2A"}), "/r10m": scene})

    chosen = select_date(tree["r10m"], "2023-07-01")
    assert chosen.path == "/r10m"
    assert chosen.parent.attrs == {"level": "L2A"}
    assert chosen.time.values == scene.time.values[1]


def test_a_part_that_is_not_there_is_refused_with_those_that_are(inputs):
    refused(run("info", inputs["tree"], "--part", "r60m"), 1, "--part r60m", "r10m, r20m")
    refused(run("info", inputs["arrays"], "--part", "none"), 1, "data, more")
    refused(run("info", inputs["tif"], "--part", "r10m"), 1, "leave --part out")
    assert "B8A" in run("info", inputs["tree"], "--part", "r20m").stdout


def test_info_on_what_is_no_cube_fails(inputs):
    refused(run("info", inputs["alien"]), 1, "name of a Sentinel-2 band")
    refused(run("info", inputs["nameless"]), 1, "--names")


def test_info_warns_of_nothing_that_it_tells(tmp_path, scene):
    no_crs = scene.drop_vars("spatial_ref").drop_encoding()
    no_crs.assign_coords({dim: no_crs[dim].drop_attrs() for dim in ("y", "x")}).to_zarr(tmp_path / "in.zarr")

    result = run("info", tmp_path / "in.zarr")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "no CRS" in result.stdout
