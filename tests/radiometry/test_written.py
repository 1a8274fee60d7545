"""What set_radiometry writes is read by every later call, survives what xarray does, and yields to keywords."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, dataset, geobox_of, reflectance
from xr_sr.errors import OptionError, RadiometryError, RadiometryWarning

DAYS = np.array(["2020-06-01", "2023-06-01"], "datetime64[ns]")
VALUES = reflectance(4, 24, 24)


def season() -> xr.DataArray:
    """DN of two dates with different offsets and the same reflectance; nothing says so."""
    dn = np.round(VALUES * 10_000)
    dn = np.stack([dn, dn + 1000]).astype("uint16")
    dn[:, :, 0, 0] = 7
    return array(dn).assign_coords(time=DAYS)


def written() -> xr.DataArray:
    return season().sr.set_radiometry(offset=[0, -1000], nodata=7)


def is_right(cube: xr.DataArray | xr.Dataset) -> bool:
    """Whether reflectance is computed from the DN of each date with its own offset."""
    values = cube.sr.reflectance().transpose("time", "band", ...).values
    expected = np.broadcast_to(VALUES, values.shape).copy()
    expected[:, :, 0, 0] = np.nan
    return np.allclose(values, expected, atol=1e-4, equal_nan=True)


def test_without_it_the_offset_is_unknown():
    with pytest.raises(RadiometryError, match="offset="):
        season().sr.reflectance()

    assert is_right(written())


def test_pixels_and_the_input_stay_as_they_are():
    cube = season()
    before = cube.copy(deep=True)
    made = cube.sr.set_radiometry(offset=-1000, nodata=None, quantification=5000)

    xr.testing.assert_identical(cube, before)
    np.testing.assert_array_equal(made.values, cube.values)
    assert made.dims == cube.dims and made.dtype == cube.dtype


@pytest.mark.parametrize(
    "call",
    [
        lambda cube: cube.sr.upscale("bicubic", scale=2),
        lambda cube: cube.sr.index("NDVI"),
        lambda cube: cube.sr.water("NDWI"),
        lambda cube: cube.to_dataset("band").sr.index("NDVI"),
        lambda cube: xr_sr.metrics.consistency(cube, cube.sr.upscale("bicubic", scale=2)),
    ],
    ids=["upscale", "index", "water", "dataset", "consistency"],
)
def test_every_call_reads_it(call):
    passed = season().sr.reflectance(offset=[0, -1000], nodata=7)

    xr.testing.assert_allclose(call(written()).reset_coords(drop=True), call(passed).reset_coords(drop=True))


def test_evaluate_reads_it():
    sr = season().sr.upscale("bicubic", scale=2, offset=[0, -1000], nodata=7)
    hr = sr * 1.01

    by_dn = xr_sr.evaluate(written(), sr, hr)
    by_reflectance = xr_sr.evaluate(written().sr.reflectance(), sr, hr)

    xr.testing.assert_allclose(by_dn, by_reflectance)


@pytest.mark.parametrize("form", ["array", "dataset"])
def test_simulation_and_alignment_read_it(form):
    cube, passed = written(), season().sr.reflectance(offset=[0, -1000], nodata=7)
    if form == "dataset":
        cube, passed = (each.to_dataset("band").assign_attrs(each.attrs) for each in (cube, passed))
    for call in (
        lambda cube: xr_sr.simulate.degrade(cube, 2, noise="sentinel2"),
        lambda cube: cube.sr.align(0),
        lambda cube: xr_sr.align(passed, cube.isel(time=[0])),
    ):
        xr.testing.assert_allclose(*(each.reset_coords(drop=True).drop_attrs() for each in (call(cube), call(passed))))
        assert not [name for name in call(cube).attrs if name.startswith("xr_sr:dn_")]


def test_harmonize_hybrid_and_pairs_read_it(tmp_path):
    def dn_and_reflectance(values: np.ndarray) -> tuple[xr.DataArray, xr.DataArray]:
        geobox = geobox_of(24, 24).zoom_to(values.shape[-2:])
        dn = array(np.round(values * 10_000 + 1000).astype("uint16"), geobox=geobox).assign_coords(time=DAYS[1])
        return dn.sr.set_radiometry(offset=-1000), dn.sr.reflectance(offset=-1000)

    fine = reflectance(4, 24, 24).repeat(4, -1).repeat(4, -2) + 0.1 * reflectance(4, 96, 96)
    hr, hr_passed = dn_and_reflectance(fine)
    lr, lr_passed = dn_and_reflectance(fine.reshape(4, 24, 4, 24, 4).mean((2, 4)))

    for read, passed in (
        (xr_sr.simulate.harmonize(hr, lr), xr_sr.simulate.harmonize(hr_passed, lr_passed)),
        (xr_sr.simulate.hybrid(lr, lr, sigma=2), xr_sr.simulate.hybrid(lr_passed, lr_passed, sigma=2)),
    ):
        np.testing.assert_allclose(read, passed, atol=1e-6)
    options = {"size": 16, "max_shift": 99, "max_angle": 99}
    one = xr_sr.make_pairs(lr, hr, tmp_path / "one", **options)
    other = xr_sr.make_pairs(lr_passed, hr_passed, tmp_path / "other", **options)
    for name in ("lr", "hr"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)


def test_the_shown_cube_says_it():
    text = repr(written().sr)

    assert "offset -1000 DN" in text and "set_radiometry" in text and "nodata 7" in text


@pytest.mark.parametrize(
    "change",
    [
        lambda cube: cube.isel(x=slice(None), y=slice(None)),
        lambda cube: cube.isel(time=[1, 0]).isel(time=[1, 0]),
        lambda cube: cube.chunk({"x": 7}),
        lambda cube: cube.to_dataset("band").to_dataarray("band"),
        lambda cube: xr.concat([cube.isel(time=[0]), cube.isel(time=[1])], "time"),
        lambda cube: xr.concat([cube.isel(time=0), cube.isel(time=1)], "time"),
        lambda cube: xr.concat([cube.sel(band=[name]) for name in cube.band.values], "band"),
        lambda cube: cube.transpose("y", "x", "band", "time"),
    ],
    ids=["slice", "dates", "chunk", "dataset", "concat", "concat-scalars", "concat-bands", "transpose"],
)
def test_it_survives(change):
    assert is_right(change(written()))


def test_one_band_and_one_date_keep_it():
    one = written().to_dataset("band")["B04"].isel(time=1)

    np.testing.assert_allclose(one.sr.reflectance(), np.where(one == 7, np.nan, VALUES[0]), atol=1e-4)


def test_dates_written_one_by_one_keep_their_own_offset():
    parts = [
        season().isel(time=[place]).sr.set_radiometry(offset=offset, nodata=7) for place, offset in ((0, 0), (1, -1000))
    ]

    assert is_right(xr.concat(parts, "time"))


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
@pytest.mark.parametrize("nodata", [7, (7, 9), None])
def test_files_of_xarray_keep_it(tmp_path, kind, nodata):
    cube = season().sr.set_radiometry(offset=[0, -1000], nodata=nodata, quantification=5000).rename("scene")
    path = tmp_path / f"scene.{kind}"
    if kind == "netcdf":
        cube.to_netcdf(path)
        back = xr.open_dataarray(path)
    else:
        cube.to_dataset().to_zarr(path)
        back = xr.open_zarr(path)["scene"]

    xr.testing.assert_allclose(back.sr.reflectance(), cube.sr.reflectance())
    assert "/ 5000" in back.sr.reflectance().attrs["xr_sr:radiometry"]


def test_datasets_and_trees_are_written_too():
    flat = season().to_dataset("band")
    tree = xr.DataTree.from_dict({"/r10m": flat, "/quality": xr.Dataset({"B04": flat.B04})})

    made = xr_sr.set_radiometry(tree, offset=[0, -1000], nodata=7)

    assert is_right(made["r10m"].to_dataset().to_dataarray("band"))
    assert is_right(flat.sr.set_radiometry(offset=[0, -1000], nodata=7).to_dataarray("band"))
    assert "radiometry_offset" not in made["quality"].coords
    np.testing.assert_allclose(xr_sr.index(made, "NDVI"), xr_sr.index(flat, "NDVI", offset=[0, -1000], nodata=7))


def test_keywords_win():
    cube = season().isel(time=1).sr.set_radiometry(offset=0, nodata=None, quantification=5000)

    made = cube.sr.reflectance(offset=-1000, nodata=7, quantification=10_000)

    np.testing.assert_allclose(made, np.where(cube == 7, np.nan, VALUES), atol=1e-4)
    assert made.radiometry_offset == -1000


def test_it_counts_more_than_metadata():
    flagged = season().assign_coords({"boa_add_offset": ("time", [-1000, -1000])})

    assert is_right(flagged.sr.set_radiometry(offset=[0, -1000], nodata=7))


@pytest.mark.parametrize("options", [{"offset": -1000}, {"quantification": 2}, {"offset": 0, "reset": True}], ids=str)
@pytest.mark.parametrize(
    "converted",
    [
        lambda cube: cube.sr.reflectance(),
        lambda cube: cube.to_dataset("band").sr.upscale("bicubic", scale=2),
        lambda cube: xr.DataTree.from_dict({"r10m": cube.sr.reflectance().to_dataset("band")}),
    ],
    ids=["reflectance", "upscaled", "tree"],
)
def test_reflectance_of_ours_does_not_become_dn_again(converted, options):
    with pytest.raises(RadiometryError, match=r"reflectance already.*set_radiometry"):
        converted(written()).sr.set_radiometry(**options)


def test_nodata_can_be_written_into_reflectance_and_is_shown():
    result = season().sr.reflectance(offset=[0, -1000]).fillna(-9999).sr.set_radiometry(nodata=-9999)

    assert "reflectance; nodata -9999\n" in repr(result.sr)
    assert not (result.sr.reflectance() < -1).any()


def test_what_is_left_out_stays():
    cube = season().sr.set_radiometry(offset=[0, -1000])

    assert is_right(cube.sr.set_radiometry(nodata=7))
    assert "0 DN" not in repr(season().sr.set_radiometry(nodata=7).sr).split("dates")[1].split("\n")[0]


@pytest.mark.parametrize("form", ["array", "dataset", "tree"])
def test_it_can_be_removed(form):
    cube = season().assign_coords({"s2:processing_baseline": ("time", ["03.01", "05.09"])})
    if form == "array":
        bare = cube
    else:
        bare = cube.to_dataset("band")
        bare = bare if form == "dataset" else xr.DataTree.from_dict({"r10m": bare})
    made = bare.sr.set_radiometry(offset=-500, quantification=5000, nodata=9)

    xr.testing.assert_identical(made.sr.set_radiometry(reset=True), bare)
    assert "radiometry_offset" in (made["r10m"] if form == "tree" else made).coords
    xr.testing.assert_identical(
        made.sr.set_radiometry(nodata=7, reset=True).sr.reflectance(), bare.sr.set_radiometry(nodata=7).sr.reflectance()
    )


def test_what_is_not_of_set_radiometry_stays_where_it_is_removed():
    result = season().sr.reflectance(offset=[0, -1000])

    xr.testing.assert_identical(result.sr.set_radiometry(reset=True), result)


@pytest.mark.parametrize("name", ["offset", "quantification"])
def test_none_is_refused_with_the_way_to_remove(name):
    with pytest.raises(RadiometryError, match=rf"{name}=None.*reset=True"):
        season().sr.set_radiometry(**{name: None})


@pytest.mark.parametrize("joined", ["dates", "scalars"])
def test_joined_dates_of_different_quantification_raise(joined):
    """xr.concat keeps the attributes of the first cube; the coordinate has the number of each date."""
    parts = [
        season().isel(time=[place] if joined == "dates" else place).sr.set_radiometry(offset=0, quantification=number)
        for place, number in ((0, 10_000), (1, 5000))
    ]
    cube = xr.concat(parts, "time")

    with pytest.raises(RadiometryError, match=r"10000 for 2020-06-01.*5000 for 2023-06-01.*reflectance"):
        cube.sr.upscale("bicubic")
    assert "5000 for 2023-06-01" in repr(cube.sr)
    np.testing.assert_allclose(cube.sr.reflectance(quantification=10_000), cube / 1e4, rtol=1e-6)
    converted = xr.concat([part.sr.reflectance() for part in parts], "time")
    assert converted.sr.upscale("bicubic", scale=2).radiometry_quantification.values.tolist() == [10_000, 5000]


@pytest.mark.parametrize(("first", "second", "words"), [(0, 7, "0 for .*7 for"), (7, None, "7 for .*none for")])
@pytest.mark.parametrize("joined", ["dates", "scalars"])
def test_joined_dates_of_different_nodata_raise(joined, first, second, words):
    parts = [
        season().isel(time=[place] if joined == "dates" else place).sr.set_radiometry(offset=0, nodata=value)
        for place, value in ((0, first), (1, second))
    ]
    cube = xr.concat(parts, "time")

    with pytest.raises(RadiometryError, match=f"nodata.*{words} 2023-06-01.*reflectance"):
        cube.sr.upscale("bicubic")
    np.testing.assert_allclose(cube.sr.reflectance(nodata=None), cube / 1e4, rtol=1e-6)
    assert (
        xr.concat([part.sr.reflectance() for part in parts], "time").sr.upscale("bicubic", scale=2).sizes["time"] == 2
    )


def test_several_values_of_nodata_are_compared_each_and_replaced_together():
    parts = [
        season().isel(time=[place]).sr.set_radiometry(offset=0, nodata=values)
        for place, values in ((0, (0, 7)), (1, (0, 9)))
    ]

    with pytest.raises(RadiometryError, match="nodata.*7 for 2020-06-01.*9 for 2023-06-01"):
        xr.concat(parts, "time").sr.reflectance()
    again = parts[0].sr.set_radiometry(nodata=7)
    assert [name for name in again.coords if "nodata" in name] == ["radiometry_nodata"]
    assert is_right(
        xr.concat(
            [
                again.assign_coords(radiometry_offset=("time", [0.0])),
                season().isel(time=[1]).sr.set_radiometry(offset=-1000, nodata=7),
            ],
            "time",
        )
    )


def test_results_do_not_carry_it_on():
    made = written().sr.reflectance()

    assert not [name for name in made.attrs if name.startswith("xr_sr:dn_")]
    assert not [name for name in made.radiometry_offset.attrs if name.startswith("xr_sr:dn_")]
    xr.testing.assert_identical(made.sr.reflectance().drop_attrs(), made.drop_attrs())


def test_floats_are_declared_reflectance():
    cube = array(VALUES).assign_attrs({"s2:processing_baseline": "05.09"})

    made = cube.sr.set_radiometry(offset=0, quantification=1)

    np.testing.assert_array_equal(made.sr.reflectance(), VALUES)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, OptionError, "offset=.*nodata=.*quantification="),
        ({"offset": "raw"}, RadiometryError, "offset='raw'"),
        ({"offset": [0, -1000, 0]}, RadiometryError, "3 values.*'time'.*2"),
        ({"offset": True}, RadiometryError, "offset=True"),
        ({"nodata": "none"}, RadiometryError, "nodata='none'"),
        ({"quantification": 0}, RadiometryError, "quantification=0"),
        ({"quantification": 1e-4}, RadiometryError, "quantification=0.0001.*10_000"),
        ({"quantification": "ten"}, RadiometryError, "quantification='ten'"),
    ],
)
def test_wrong_values_raise(options, error, words):
    with pytest.raises(error, match=words):
        season().sr.set_radiometry(**options)


def test_a_dropped_coordinate_raises():
    with pytest.raises(RadiometryError, match="radiometry_offset"):
        written().drop_vars("radiometry_offset").sr.reflectance()


def test_bands_of_different_numbers_raise():
    cube = dataset(np.full((4, 8, 8), 2000, "uint16"))
    for name, per_unit in (("B04", 5000), ("B03", 10_000)):
        cube[name] = cube[[name]].sr.set_radiometry(offset=0, quantification=per_unit)[name]

    with pytest.raises(RadiometryError, match="dn_quantification"):
        cube[["B04", "B03"]].sr.reflectance()


def test_a_positive_offset_warns_once_when_it_is_written():
    with pytest.warns(RadiometryWarning, match="1000 is positive"):
        cube = season().sr.set_radiometry(offset=1000)

    with warnings.catch_warnings():
        warnings.simplefilter("error", RadiometryWarning)
        cube.sr.reflectance()


@pytest.mark.parametrize("form", ["array", "dataset", "tree"])
def test_reflectance_of_a_marked_cube_is_reflectance_to_every_later_call(form):
    marked = season().sr.set_radiometry(offset=-500, quantification=5000)
    cube = {
        "array": lambda: marked,
        "dataset": lambda: marked.to_dataset("band").sr.set_radiometry(offset=-500, quantification=5000),
        "tree": lambda: xr.DataTree.from_dict({"r10m": season().to_dataset("band")}).sr.set_radiometry(
            offset=-500, quantification=5000
        ),
    }[form]()
    once = cube.sr.reflectance()
    twice = once.sr.reflectance()

    if form == "tree":
        once, twice = once["r10m"].to_dataset(), twice["r10m"].to_dataset()
    xr.testing.assert_allclose(twice.compute(), once.compute())
    assert not [key for key in once.attrs if str(key).startswith("xr_sr:dn_")]


def test_a_geotiff_keeps_what_was_written(tmp_path):
    one = season().isel(time=1).sr.set_radiometry(offset=-1000, quantification=5000, nodata=[7, 9])
    one.sr.to_cog(tmp_path / "one.tif")

    read = xr_sr.open(tmp_path / "one.tif").sr.reflectance()
    expected = one.sr.reflectance().to_dataset("band")
    for name, band in expected.items():
        values = read[name] if isinstance(read, xr.Dataset) else read.sel(band=name)
        assert not [key for key in (*read.attrs, *values.attrs) if "dn_" in str(key)]
        np.testing.assert_allclose(np.squeeze(values.values), band.values, atol=1e-6)
    again = xr_sr.open(tmp_path / "one.tif").sr.upscale("nearest", scale=2)
    assert not [key for key in again.attrs if "dn_" in str(key)]
    np.testing.assert_array_equal(again.sr.reflectance(), again)
