"""What `repr` and Jupyter show of a cube: nothing is computed, nothing raises."""

from __future__ import annotations

import html
import warnings

import numpy as np
import pytest
import xarray as xr

from tests.cube.test_select import GB10, dataset, layer, stack
from tests.cubes import array, reflectance
from xr_sr.radiometry.summary import html_of, summary, summary_html, text_of

DATES = np.array(["2022-01-10", "2022-01-20", "2022-02-01"], dtype="datetime64[ns]")


def test_bands_grid_flags_and_the_rest_are_listed():
    ds = dataset("red", "nir", lead={"time": 2}, nodata=0).assign(
        SCL=layer(dtype="uint8"), s2_processing_baseline=("time", [5.09, 5.09]), AOT=layer(dtype="float32")
    )

    text = summary(ds)

    for part in (
        "Dataset", "B04 ('red'), B08 ('nir')", "time 2, y 8, x 6", "EPSG:32633", "pixels of 10 m", "uint16",
        "-1000", "nodata 0", "time 2, y 3, x 3", "SCL", "AOT",
    ):  # fmt: skip
        assert part in text


def test_each_run_of_dates_has_its_offset():
    cube = dataset("B04", lead={"time": 3}).assign_coords(
        time=DATES, s2_processing_baseline=("time", ["03.01", "03.01", "04.00"])
    )

    assert "2022-01-10 to 2022-01-20, 2 dates (offset 0 DN); 2022-02-01 (offset -1000 DN)" in summary(cube)


def test_an_offset_in_the_attributes_of_bands_is_shown():
    cube = array(np.full((1, 8, 8), 2000, "uint16"), ["B04"])
    cube.attrs["scale_factor"], cube.attrs["add_offset"] = 1e-4, -0.1

    assert "(DN - 1000) / 10000" in summary(cube)


def test_where_the_offset_is_unknown_the_way_to_say_it_is_shown():
    text = summary(array(np.full((1, 8, 8), 2000, "uint16"), ["B04"]))

    assert "uint16" in text and "offset=" in text


@pytest.mark.parametrize(
    "obj",
    [xr.DataArray(np.zeros(3)), xr.Dataset(), xr.DataTree(), 3, None, stack("VV"), dataset("B04").isel(y=slice(0))],
    ids=["vector", "no variables", "no nodes", "number", "None", "no bands", "no pixels"],
)
def test_what_is_no_cube_is_described_by_its_error(obj):
    assert "not a cube" in summary(obj)
    assert "not a cube" in summary_html(obj)


def test_coordinates_may_have_other_chunks_than_the_pixels():
    """As plain xarray opens a store: the coordinates along time are lazy, and of one chunk."""
    ds = dataset("red", "nir", lead={"time": 3}).chunk(time=1).assign_coords(clouds=("time", [1.0, 2.0, 3.0]))

    text = summary(ds.assign_coords(clouds=ds.clouds.chunk(time=3)))

    assert "B04 ('red'), B08 ('nir')" in text and "time 1, y 3, x 3" in text


def test_a_baseline_that_is_not_computed_yet_stays_so():
    ds = dataset("B04", lead={"time": 2}).assign_coords(
        s2_processing_baseline=("time", layer(lead={"time": 2}).data[:, 0, 0])
    )

    assert "s2_processing_baseline, not computed yet" in summary(ds)


@pytest.mark.parametrize(
    "select",
    [lambda cube: cube, lambda cube: cube.isel(time=slice(1, None), y=slice(4))],
)
def test_a_cube_reopened_from_zarr_shows_its_offsets(tmp_path, select):
    """Plain xarray opens coordinates along time lazily; they are small, and nothing else is read."""
    cube = array(np.full((3, 4, 8, 6), 2000, "uint16")).sr.set_radiometry(offset=[0, -1000, -1000]).rename("scene")
    cube.to_dataset().to_zarr(tmp_path / "cube.zarr")
    again = xr.open_zarr(tmp_path / "cube.zarr")["scene"].copy(data=layer(lead={"time": 3, "band": 4}).data)

    assert again.radiometry_offset.chunks
    assert "offset -1000 DN" in summary(select(again))
    assert "not computed yet" in summary(again.assign_coords(radiometry_offset=again.radiometry_offset + 1))


def test_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = summary(xr.DataArray(np.zeros((2, 3)), dims=("y", "x"), name="red"))

    assert "no CRS" in text
    assert "chunks" not in text


def test_a_tree_names_the_node_that_is_read():
    tree = xr.DataTree.from_dict({"r10m": dataset("B04"), "r20m": dataset("B11", geobox=GB10.zoom_out(2))})

    assert "/r10m" in summary(tree)
    assert "other nodes  r20m: B11" in summary(tree)
    assert "other nodes" not in summary(tree["r20m"])


def test_jupyter_shows_the_same_lines_escaped():
    cube = array(reflectance(4, 8, 8)).rename(band="a<b")
    shown = cube.sr._repr_html_()

    for line in summary(cube).splitlines()[1:]:
        title, _, text = line.strip().partition("  ")
        assert f">{html.escape(title)}</th>" in shown
        assert f">{html.escape(text.strip())}</td>" in shown
    assert "a<b" not in html_of("a<b", [("c", "a<b")])
    assert text_of("a cube", [("c", "d"), ("long", "e")]) == "<a cube>\n  c     d\n  long  e"


def test_a_result_is_said_to_be_made_by_its_model():
    text = summary(dataset_of_dn().sr.upscale("bicubic"))

    assert "values   float32: reflectance\n" in text
    assert "made by  bicubic, from reflectance = (DN - 1000) / 10000" in text


def test_the_type_is_named_once():
    text = summary(array(reflectance(4, 8, 8)))

    assert "values  float32: reflectance, as handed in" in text
    assert text.count("float32") == 1


def test_reflectance_is_said_to_be_that_and_how_it_was_read():
    text = summary(dataset_of_dn().sr.reflectance())

    assert "values   float32: reflectance\n" in text
    assert "read as  reflectance = (DN - 1000) / 10000" in text


def test_one_offset_for_several_dates_leaves_the_dates():
    cube = dataset("B04", lead={"time": 3}).assign_coords(time=DATES)

    assert "dates   2022-01-10 to 2022-02-01, 3 dates" in summary(cube.sr.set_radiometry(offset=-1000))
    assert "dates" not in summary(dataset("B04").sr.set_radiometry(offset=-1000))


def dataset_of_dn() -> xr.Dataset:
    return (
        array(np.full((4, 8, 8), 2000, "uint16")).to_dataset("band").assign_coords({"s2:processing_baseline": "05.00"})
    )


@pytest.mark.parametrize("kind", ["DataArray", "Dataset"])
def test_an_estimate_with_its_error_is_described_as_such(kind):
    cube = array(reflectance(2, 12, 16), ("B04", "B08"))
    cube = cube if kind == "DataArray" else cube.to_dataset("band")
    within, drawn = cube.sr.interval(0.8, calibrated=False, model="kriging"), cube.sr.ensemble(4, seed=3, members=True)

    assert summary(within).splitlines()[:4] == [
        "<xr_sr: Dataset, an estimate with its error>",
        "  holds       estimate, std, lower, upper",
        "  interval    lower to upper, of level 0.8",
        "  calibrated  none",
    ]
    for made in (within, drawn):
        assert "bands       B04, B08" in summary(made) and "made by     kriging" in summary(made)
        assert "an estimate with its error" in summary_html(made)
    assert "holds       estimate, std, lower, upper, members" in summary(drawn)
    assert "drawn       4 members, seed 3" in summary(drawn)
    assert "calibrated  aerial" in summary(drawn) and max(map(len, summary(drawn).splitlines())) < 130


def test_parts_of_it_are_not_taken_for_images():
    made = array(reflectance(2, 12, 16), ("B04", "B08")).sr.ensemble(4, members=True, level=0.8)

    values = {
        name: next(line for line in summary(each).splitlines() if " values " in line) for name, each in made.items()
    }

    assert values["estimate"].endswith("float32: reflectance")
    assert values["std"].endswith("standard deviation of the error, in reflectance")
    assert values["lower"].endswith("lower bound of the interval of level 0.8, in reflectance")
    assert values["upper"].endswith("upper bound of the interval of level 0.8, in reflectance")
    assert values["members"].endswith("members of an ensemble, in reflectance")


def test_an_index_with_its_error_is_described_without_bands():
    made = array(reflectance(2, 12, 16), ("B04", "B08")).sr.interval(model="kriging").sr.index("NDVI")

    assert "an estimate with its error" in summary(made) and "size" in summary(made) and "Error" not in summary(made)
