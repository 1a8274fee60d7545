"""`explain`: a plan says what `upscale` and `fuse` would do, without a pixel being read."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cube.test_select import GB10, dataset, layer
from tests.cubes import array, reflectance
from xr_sr.errors import MissingBandError, ModelError, OptionError, WeightsNotFoundError
from xr_sr.tiling.layer import TaskKeys

DATES = np.array(["2022-01-10", "2022-01-20", "2022-02-01"], dtype="datetime64[ns]")


def lines(plan) -> dict[str, str]:
    """Return the text of each line by its title."""
    return dict(line.strip().split("  ", 1) for line in repr(plan).splitlines()[1:])


def of(plan, title: str) -> str:
    return lines(plan)[title].strip()


@pytest.fixture
def series() -> xr.Dataset:
    """Three dates across the change of baseline, that fail when they are computed."""
    bands = dataset("B02", "B03", "B04", "B08", lead={"time": 3})
    return bands.assign_coords(time=DATES, s2_processing_baseline=("time", ["03.01", "03.01", "04.00"]))


def test_every_part_of_the_plan_has_a_line_and_no_pixel_is_read(series):
    plan = series.sr.explain(chunks=4)

    assert of(plan, "model").startswith("sen2sr.rgbn-x4")
    assert "sha256 c9b8c9507b65" in of(plan, "weights")
    assert of(plan, "bands") == "B02, B03, B04, B08"
    assert of(plan, "grid") == "EPSG:32633, 8 x 6 pixels of 10 m -> 32 x 24 pixels of 2.5 m"
    assert of(plan, "dates") == "2022-01-10 to 2022-01-20, 2 dates (offset 0 DN); 2022-02-01 (offset -1000 DN)"
    assert of(plan, "halo").startswith("14 pixels around each block")
    assert of(plan, "blocks") == "12 blocks (3 x 2 x 2) of up to 4 x 4 input pixels"
    assert of(plan, "output").startswith("36.9 kB")  # 3 dates x 4 bands x 32 x 24 x 4 bytes
    assert "MB" in of(plan, "memory")


def test_nodata_that_the_radiometry_names_is_not_repeated(series):
    plan = series.sr.explain("bicubic", nodata=[0, 7])

    assert of(plan, "radiometry").endswith("nodata 0, 7")
    assert "nodata" not in lines(plan)


@pytest.mark.parametrize("options", [{}, {"chunks": 4}, {"chunks": (5, 3)}, {"model": "bicubic", "scale": 3}])
def test_blocks_and_size_are_those_of_the_result(series, options):
    plan, result = series.sr.explain(**options), series.sr.upscale(**options)
    band = result["B04"]

    fine = tuple(tuple(size * plan.scale for size in sizes) for sizes in plan.blocks[-2:])
    assert (*plan.blocks[:-2], *fine) == band.chunks
    assert of(plan, "grid").endswith(f"{band.sizes['y']} x {band.sizes['x']} pixels of {10 / plan.scale:.3g} m")


def test_a_tree_says_where_its_coarse_bands_are_read(series):
    coarse = {name: layer(GB10.zoom_out(2)) for name in ("B05", "B06", "B07", "B8A", "B11", "B12")}
    tree = xr.DataTree.from_dict({"r10m": dataset(*series.data_vars), "r20m": xr.Dataset(coarse)})

    assert "on their own grid, pixels 2 times as wide" in of(tree.sr.explain(offset=0), "coarse bands")
    fused = tree.sr.explain(fuse=True, offset=0)
    assert of(fused, "grid").endswith("8 x 6 pixels of 10 m")
    assert "guided by B02, B03, B04, B08" in of(fused, "guided")
    with pytest.raises(OptionError, match=r"to=.*fuse=True"):
        tree.sr.explain(to=None)


def test_the_offsets_of_both_grids_are_shown(series):
    """A catalog may deliver the nodes of a tree with other offsets."""
    coarse = {name: layer(GB10.zoom_out(2), lead={"time": 3}) for name in ("B05", "B06", "B07", "B8A", "B11", "B12")}
    r20m = xr.Dataset(coarse).assign_coords(time=DATES, boa_add_offset=("time", [0, -1000, -1000]))
    tree = xr.DataTree.from_dict({"r10m": series, "r20m": r20m})

    for plan in (tree.sr.explain(), tree.sr.explain(fuse=True), series.sr.explain(other=r20m)):
        assert of(plan, "dates").startswith("2022-01-10 to 2022-01-20, 2 dates (offset 0 DN); 2022-02-01 (offset")
        assert of(plan, "coarse dates") == (
            "B05, B06, B07, B8A, B11, B12: 2022-01-10 (offset 0 DN); "
            "2022-01-20 to 2022-02-01, 2 dates (offset -1000 DN)"
        )
    assert "coarse dates" not in lines(series.sr.explain())


def test_reflectance_of_ours_is_said_to_be_that(series):
    of_dn, of_reflectance = (of(cube.sr.explain(), "radiometry") for cube in (series, series.sr.reflectance()))

    assert of_dn.startswith("reflectance = (DN + ")
    assert of_reflectance == f"the cube is reflectance already, read as {of_dn}"


def test_what_upscale_refuses_explain_refuses():
    cube = array(reflectance(1, 8, 8), ["B04"])

    with pytest.raises(MissingBandError, match="B08"):
        xr_sr.explain(cube)
    with pytest.raises(OptionError, match="steps"):
        xr_sr.explain(cube, "bicubic", steps=3)


def test_a_plan_needs_no_download(series, monkeypatch, tmp_path):
    monkeypatch.delenv("XR_SR_WEIGHTS", raising=False)
    monkeypatch.setenv("XR_SR_CACHE", str(tmp_path))
    monkeypatch.setenv("XR_SR_HUB", "http://127.0.0.1:9")

    plan = series.sr.explain("sen2sr-lite")

    assert of(plan, "weights").startswith("to be downloaded: ")
    assert not [*tmp_path.iterdir()]
    with pytest.raises(WeightsNotFoundError, match="sen2sr-lite"):
        series.sr.upscale("sen2sr-lite")


def test_a_folder_is_no_model(series, tmp_path):
    with pytest.raises(ModelError, match=r"model=.* folder.*weights="):
        series.sr.upscale(str(tmp_path))


def test_jupyter_shows_a_table(series):
    assert "<th" in series.sr.explain()._repr_html_()


def test_the_estimate_of_memory_grows_with_the_block(series):
    from xr_sr.pipeline.plan import memory_of_task

    step = series.sr.explain("bicubic", scale=4).steps[0]
    small, large = (memory_of_task(step, (1, side, side)) for side in (64, 512))

    assert 512 * 512 * 16 * 4 * 4 < large < 3 * 512 * 512 * 16 * 4 * 4  # at least the output, 4 bands in float32
    assert small < large / 20


@pytest.mark.parametrize("split", [False, True])
def test_planning_slices_no_array_and_writes_out_no_graph(split, monkeypatch):
    """Both cost a task for each chunk or block; the input has 4800 chunks."""
    data = da.zeros((3, 4, 20_480, 20_480), chunks=(1, 4, 512, 512), dtype="uint16")
    cube = array(data).assign_coords(time=DATES).sr.set_radiometry(offset=0)
    scl = (("time", "y", "x"), da.full((3, 20_480, 20_480), 4, chunks=(1, 512, 512), dtype="uint8"))
    cube = cube.to_dataset("band").assign(SCL=scl) if split else cube

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an array was sliced, or all keys were asked for")

    monkeypatch.setattr(da.Array, "__getitem__", refuse)
    monkeypatch.setattr(TaskKeys, "__iter__", refuse)
    fine = cube.sr.upscale()

    assert "4800 blocks" in repr(cube.sr.explain())
    results, inputs = ([each[name] for name in fine] if split else [each] for each in (fine, cube))
    own = {key for variable in inputs for key in variable.data.dask.layers}
    for result in results:
        made = {key: layer for key, layer in result.data.dask.layers.items() if key not in own}
        assert made and not [key for key, layer in made.items() if layer.is_materialized()]
