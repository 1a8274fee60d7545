from __future__ import annotations

import json

import numpy as np
import odc.geo.xr  # noqa: F401
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from tests.io.zarr.scenes import BANDS, DATES, CountingKernel, cube, reflectance
from xr_sr.cube.grid import geobox_of
from xr_sr.errors import MissingBandError, OptionError, StoreError
from xr_sr.io.zarr import open_zarr, to_zarr

SHAPE = (40, 56)
GRIDS = {
    "north-up": GeoBox(SHAPE, Affine(2.5, 0, 499_977.5, 0, -2.5, 4_600_012.5), "EPSG:32633"),
    "south-up": GeoBox(SHAPE, Affine(2.5, 0, 5e5, 0, 2.5, 4.5e6), "EPSG:32733"),
    "degrees": GeoBox(SHAPE, Affine(1 / 44_444, 0, 8.1234567, 0, -1 / 44_444, 51.7654321), "EPSG:4326"),
    "thirds": GeoBox(SHAPE, Affine(10 / 3, 0, 500_003.3, 0, -10 / 3, 4.6e6), "EPSG:32633"),
    "rotated": GeoBox(
        SHAPE, Affine.translation(5e5, 4.6e6) @ Affine.rotation(20) @ Affine.scale(2.5, -2.5), "EPSG:32633"
    ),
    "no code": GeoBox(SHAPE, Affine(2.5, 0, 5e5, 0, -2.5, 4.6e6), "+proj=laea +lat_0=46.5 +lon_0=9.1 +ellps=GRS80"),
}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("grid", GRIDS)
def test_geobox_crs_and_transform_are_equal_after_the_round_trip(grid, zarr_format, tmp_path):
    geobox = GRIDS[grid]
    written = cube(geobox, dates=None)

    to_zarr(written, tmp_path / "out.zarr", zarr_format=zarr_format)
    read = open_zarr(tmp_path / "out.zarr")

    assert read.odc.geobox == geobox
    assert read.odc.geobox.crs == geobox.crs
    assert read.rio.transform() == geobox.affine
    assert read.rio.crs.to_wkt() == written.rio.crs.to_wkt()
    for dim in geobox.dimensions:
        np.testing.assert_array_equal(read[dim].values, written[dim].values)


@pytest.mark.parametrize("grid", ["north-up", "degrees", "rotated"])
def test_a_slice_keeps_its_place_and_gets_a_transform_of_its_own(grid, tmp_path):
    y, x = GRIDS[grid].dimensions
    part = cube(GRIDS[grid], dates=None).isel({y: slice(7, 30), x: slice(11, 50)})

    to_zarr(part, tmp_path / "out.zarr")
    read = open_zarr(tmp_path / "out.zarr")

    assert read.odc.geobox == geobox_of(read) == geobox_of(part)
    assert Affine.from_gdal(*map(float, read.spatial_ref.attrs["GeoTransform"].split())) == geobox_of(part).affine
    if grid == "north-up":
        assert read.rio.transform() == part.odc.geobox.affine
    np.testing.assert_array_equal(read.values, part.values)


def test_without_crs_places_are_kept(tmp_path):
    plain = cube(GeoBox(SHAPE, Affine(2.5, 0, 5e5, 0, -2.5, 4.6e6), None), dates=None)

    to_zarr(plain, tmp_path / "out.zarr")
    read = open_zarr(tmp_path / "out.zarr")

    assert read.odc.geobox == plain.odc.geobox and read.odc.geobox.crs is None
    xr.testing.assert_identical(read.compute(), plain.compute())


def test_without_any_coordinates_pixels_are_kept(tmp_path):
    plain = xr.DataArray(reflectance(40, 56), dims=("y", "x"))

    to_zarr(plain, tmp_path / "out.zarr")

    xr.testing.assert_identical(open_zarr(tmp_path / "out.zarr").compute(), plain)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dims", [("time", "band", "y", "x"), ("y", "x", "band", "time"), ("band", "y", "time", "x")])
def test_a_data_array_comes_back_identical(dims, zarr_format, tmp_path):
    written = (
        cube()
        .transpose(*dims)
        .assign_coords(
            cloud=("time", [0.1, 0.5, 0.9]),
            tile=("time", ["33UUU", "33UUV", "32"]),
            sensor="S2A",
            doy=("time", [1, 6, 11]),
        )
    )

    to_zarr(written, tmp_path / "out.zarr", zarr_format=zarr_format)
    read = open_zarr(tmp_path / "out.zarr")

    assert read.dtype == np.float32 and read.chunks is not None
    xr.testing.assert_identical(read.compute(), written.compute())
    assert read.band.dtype == written.band.dtype


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_dataset_comes_back_identical_with_masks_classes_counts_and_the_rest(zarr_format, tmp_path):
    bands = cube().to_dataset("band")
    written = bands.assign(
        cloud=bands.B04 > 0.5,
        scl=(("y", "x"), (np.arange(40 * 56) % 12).astype("uint8").reshape(40, 56)),
        count=(("time", "y", "x"), np.full((3, 40, 56), 3, "int32")),
        baseline=("time", [5.09, 5.09, 4.0]),
        level="L2A",
    )
    written.attrs = {"title": "a test", "xr_sr:model": "test.x4", "nodata": np.nan}

    to_zarr(written, tmp_path / "out.zarr", zarr_format=zarr_format)
    read = open_zarr(tmp_path / "out.zarr")

    xr.testing.assert_identical(read.compute(), written.compute())
    assert list(read.data_vars) == list(written.data_vars)
    assert {name: read[name].dtype for name in read.data_vars} == {
        name: written[name].dtype for name in written.data_vars
    }


def test_values_are_float32_at_every_step_of_the_graph(tmp_path):
    to_zarr(cube(), tmp_path / "out.zarr")
    read = open_zarr(tmp_path / "out.zarr")

    assert read.dtype == read.data._meta.dtype == read[0, 0, :2, :2].compute().dtype == np.float32


def test_dates_that_came_late_are_sorted_in(tmp_path):
    to_zarr(cube(dates=DATES[1:]), tmp_path / "out.zarr")
    to_zarr(cube(dates=DATES[:1], values=reflectance(1, 2, 40, 56, seed=9)), tmp_path / "out.zarr")
    read = open_zarr(tmp_path / "out.zarr")

    np.testing.assert_array_equal(read.time.values, DATES)
    np.testing.assert_array_equal(read[0].values, reflectance(1, 2, 40, 56, seed=9)[0])


def test_dask_chunks_are_the_blocks_that_were_written_or_what_is_asked_for(tmp_path):
    to_zarr(cube(side=20), tmp_path / "out.zarr", chunks=4)

    assert open_zarr(tmp_path / "out.zarr").chunks == ((1, 1, 1), (2,), (20, 20), (20, 20, 16))
    assert open_zarr(tmp_path / "out.zarr", chunks={"x": -1, "time": 3}).chunks[-1] == (56,)


def test_levels_of_a_pyramid_are_opened_by_number_or_all_together(tmp_path):
    to_zarr(cube(), tmp_path / "out.zarr", pyramid=2)
    tree = open_zarr(tmp_path / "out.zarr", level="all")

    assert open_zarr(tmp_path / "out.zarr", level=2).shape == (3, 2, 10, 14)
    assert list(tree.children) == ["0", "1", "2"]
    assert tree["1"].dataset.odc.geobox.affine == Affine(5, 0, 5e5, 0, -5, 4.6e6)
    with pytest.raises(StoreError, match="0 to 2; level 3"):
        open_zarr(tmp_path / "out.zarr", level=3)


def test_what_goes_along_one_spatial_axis_stays_with_the_finest_level(tmp_path):
    written = cube(dates=DATES[:2]).assign_coords(detector=("x", np.arange(56)), tilt=(("time", "y"), np.ones((2, 40))))
    to_zarr(written, tmp_path / "out.zarr", pyramid=1)
    later = cube(dates=DATES[2:]).assign_coords(
        detector=("x", np.arange(56)), tilt=(("time", "y"), np.full((1, 40), 3.0))
    )
    to_zarr(later, tmp_path / "out.zarr", pyramid=1)

    fine, coarse = open_zarr(tmp_path / "out.zarr"), open_zarr(tmp_path / "out.zarr", level=1)
    assert fine.tilt.values[:, 0].tolist() == [1, 1, 3] and fine.detector.values[-1] == 55
    assert not {"tilt", "detector"} & set(coarse.coords)


def test_plain_xarray_reads_the_same(tmp_path):
    written = cube()
    to_zarr(written, tmp_path / "out.zarr")

    with xr.open_zarr(tmp_path / "out.zarr", decode_coords="all") as plain:
        assert plain.odc.geobox == written.odc.geobox
        np.testing.assert_allclose(plain.reflectance.values, written.values, rtol=1e-6)
        assert plain.sr_status.values.all()


@pytest.mark.parametrize("options", [{}, {"zarr_format": 2}, {"pyramid": 1}], ids=str)
def test_a_store_that_plain_xarray_opened_can_be_saved_as_netcdf(options, tmp_path):
    written = cube().to_dataset("band").assign_coords(platform="s2a", clouds=("time", [1.0, 2.0, 3.0]))
    to_zarr(written.isel(time=[0, 1]), tmp_path / "out.zarr", **options)
    failing = cube(kernel=CountingKernel(fails_at=1)).to_dataset("band").assign_coords(written.coords)
    with pytest.raises(RuntimeError, match="the kernel failed"):  # so that a date is being added
        to_zarr(failing, tmp_path / "out.zarr", **options)

    group = "0" if "pyramid" in options else None
    with xr.open_zarr(tmp_path / "out.zarr", group=group, decode_coords="all") as plain:
        plain.to_netcdf(tmp_path / "all.nc")
        plain.B04.to_netcdf(tmp_path / "one.nc")

    for name in ("all.nc", "one.nc"):
        with xr.open_dataset(tmp_path / name) as again:
            np.testing.assert_allclose(again.B04, written.B04.isel(time=[0, 1]), atol=1e-6)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_ledger_is_no_data_variable_of_plain_xarray_and_goes_to_no_other_store(zarr_format, tmp_path):
    written = cube().to_dataset("band").assign_attrs(title="mine")
    to_zarr(written, tmp_path / "out.zarr", zarr_format=zarr_format)

    with xr.open_zarr(tmp_path / "out.zarr", decode_coords="all") as plain:
        assert set(plain.data_vars) == {"B04", "B03"}
        to_zarr(plain.astype("float32"), tmp_path / "again.zarr")

    assert "sr_status" not in open_zarr(tmp_path / "again.zarr").variables
    assert set(open_zarr(tmp_path / "out.zarr").attrs) == set(written.attrs)


def as_older_versions_wrote(path) -> None:
    """Turn a flat store into one of before: nested attributes, drafts of conventions, the ledger a data variable."""
    document = json.loads((path / "zarr.json").read_text())
    attrs = document["attributes"]
    attrs["xr_sr:store"] = json.loads(attrs["xr_sr:store"])
    del attrs["coordinates"]
    attrs["zarr_conventions"] = [{"uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f", "name": "proj:"}]
    (path / "zarr.json").write_text(json.dumps(document))
    document = json.loads((path / "sr_status/zarr.json").read_text())
    if pending := document["attributes"].get("xr_sr:pending"):
        document["attributes"]["xr_sr:pending"] = json.loads(pending)
    (path / "sr_status/zarr.json").write_text(json.dumps(document))


def test_stores_of_older_versions_are_read_and_extended(tmp_path):
    to_zarr(cube(dates=DATES[:1]), tmp_path)
    with pytest.raises(RuntimeError, match="the kernel failed"):
        to_zarr(cube(kernel=CountingKernel(fails_at=5)), tmp_path, region=1)
    as_older_versions_wrote(tmp_path)

    xr.testing.assert_identical(open_zarr(tmp_path).compute(), cube(dates=DATES[:1]).compute())
    to_zarr(cube(), tmp_path)

    xr.testing.assert_identical(open_zarr(tmp_path).compute(), cube().compute())


def test_what_others_wrote_is_not_opened(tmp_path):
    xr.Dataset({"a": ("x", [1])}).to_zarr(tmp_path / "other.zarr")

    with pytest.raises(StoreError, match=r"xarray\.open_zarr"):
        open_zarr(tmp_path / "other.zarr")
    with pytest.raises(StoreError, match=r"there is no .*missing\.zarr"):
        open_zarr(tmp_path / "missing.zarr")
    assert not (tmp_path / "missing.zarr").exists()


def test_a_view_can_be_written_to_another_store(tmp_path):
    to_zarr(cube(), tmp_path / "out.zarr")
    read = open_zarr(tmp_path / "out.zarr")

    to_zarr(read, tmp_path / "again.zarr")

    xr.testing.assert_identical(open_zarr(tmp_path / "again.zarr").compute(), read.compute())


def test_names_that_clash_with_coordinates_or_are_missing_survive(tmp_path):
    for number, name in enumerate(("band", "x")):
        written = cube(dates=None, name=name)
        to_zarr(written, tmp_path / f"{number}.zarr")

        xr.testing.assert_identical(open_zarr(tmp_path / f"{number}.zarr").compute(), written.compute())


@pytest.mark.parametrize("name", [None, "stackstac-0123456789abcdef0123456789abcdef"])
def test_a_name_that_is_a_token_of_dask_is_none(name, tmp_path):
    """xarray names an array without a name by dask's key, which differs between dates; stackstac has its own."""
    first, second = (
        cube(dates=DATES[at : at + 1], name=name, values=reflectance(1, 2, 40, 56, seed=at)) for at in (0, 1)
    )
    if name is not None:
        second = second.rename(f"{name[:-1]}0")
    assert len({first.name, second.name, None}) == 3
    to_zarr(first, tmp_path / "out.zarr")
    to_zarr(second, tmp_path / "out.zarr")

    read = open_zarr(tmp_path / "out.zarr")
    assert read.name is None and read.sizes["time"] == 2
    assert "data" in xr.open_zarr(tmp_path / "out.zarr").data_vars


def test_the_spatial_axes_may_have_any_name(tmp_path):
    coords = xr_coords(GRIDS["degrees"])
    written = xr.DataArray(
        reflectance(2, *SHAPE), dims=("band", "latitude", "longitude"), coords={**coords, "band": list(BANDS)}, name="r"
    )
    to_zarr(written.rename(latitude="lat", longitude="lon"), tmp_path / "out.zarr")

    xr.testing.assert_identical(
        open_zarr(tmp_path / "out.zarr").compute(), written.rename(latitude="lat", longitude="lon")
    )


@pytest.fixture(scope="module")
def written() -> dict:
    store: dict = {}
    to_zarr(cube(GRIDS["north-up"]), store, pyramid=1, progress=False)
    return store


@pytest.mark.parametrize("level", ["1", "", None, 1.0, True, [0], np.array([1, 2])], ids=repr)
def test_a_level_is_a_whole_number_or_all(written, level):
    with pytest.raises(OptionError, match="level=.*'all'"):
        open_zarr(written, level=level)


@pytest.mark.parametrize(
    "chunks", [0, -2, 1.5, "20", True, {"nope": 3}, {"y": 0}, {"y": (3, 3)}, {"y": ()}, {"y": "b"}, (2, 2)], ids=repr
)
def test_chunks_are_such_as_dask_can_make(written, chunks):
    with pytest.raises(OptionError, match=r"chunks=.*\['time', .*None"):
        open_zarr(written, chunks=chunks)


@pytest.mark.parametrize("chunks", [7, -1, "auto", {"y": 7}, {"y": (30, 10), "time": -1}, {"x": "auto"}, {}], ids=repr)
def test_chunks_do_not_change_values(written, chunks):
    xr.testing.assert_equal(open_zarr(written, chunks=chunks).compute(), open_zarr(written).compute())


def test_chunks_of_a_dimension_hold_for_the_variables_that_have_it():
    """A variable without time beside those with it: xarray refuses chunks of a dimension that an array lacks."""
    dated = cube(GRIDS["north-up"])
    both = dated.to_dataset("band").assign(still=dated.isel(time=0, band=0, drop=True))
    store: dict = {}
    to_zarr(both, store, progress=False)

    read = open_zarr(store, chunks={"time": 1, "y": 20})

    assert read.still.chunks == ((20, 20), (56,))
    assert read[BANDS[0]].chunksizes["time"] == (1,) * dated.sizes["time"]


@pytest.mark.filterwarnings("error::xarray.SerializationWarning")
def test_a_coordinate_with_spaces_in_its_name_comes_back_as_one(tmp_path):
    written = cube(GRIDS["north-up"], dates=None).assign_coords({"cloud cover": 3.5})

    to_zarr(written, tmp_path / "out.zarr", progress=False)

    assert open_zarr(tmp_path / "out.zarr").coords["cloud cover"] == 3.5


@pytest.mark.parametrize(
    ("layout", "advice"), [({}, r"open_zarr\(path\)"), ({"pyramid": 1}, r"open_zarr\(path, level=0\)")]
)
def test_a_store_of_one_array_that_plain_xarray_opened_names_open_zarr(layout, advice, tmp_path):
    to_zarr(cube(dates=None), tmp_path, **layout)
    opened = xr.open_datatree(tmp_path, engine="zarr") if layout else xr.open_zarr(tmp_path)

    with pytest.raises(MissingBandError, match=rf"to_zarr: .*xr_sr\.{advice}"):
        opened.sr.upscale("bicubic")
