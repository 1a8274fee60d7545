"""Hectares of any mask: each pixel counts once, in the state that it has; whatever the mask is made of."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

import xr_sr
from xr_sr.errors import CubeError, GridError, OptionError

GRID = GeoBox((20, 30), Affine(10, 0, 600_000, 0, -10, 5_400_000), "EPSG:32633")
WATER = {"flag_values": [0, 1, 255], "flag_meanings": "dry water unknown"}


def on_grid(values, *, chunk: int | None = 7, name: str | None = None, **attrs: object) -> xr.DataArray:
    """A map on GRID; leading dimensions are time, then member."""
    values = np.asarray(values)
    dims = (*("time", "member")[: values.ndim - 2], "y", "x")
    array = xr.DataArray(values, dims=dims, coords=xr_coords(GRID), attrs=attrs, name=name)
    if "time" in dims:
        array = array.assign_coords(
            time=np.arange(values.shape[0]) * np.timedelta64(1, "D") + np.datetime64("2023-06-01", "ns")
        )
    return array if chunk is None else array.chunk(y=chunk, x=chunk)


def part(share: int) -> np.ndarray:
    """True in the first `share` rows."""
    values = np.zeros(GRID.shape, bool)
    values[:share] = True
    return values


def hectares(array: xr.DataArray, **options) -> dict[str, float]:
    return dict(
        zip(array.sr.areas(**options).state.values.tolist(), array.sr.areas(**options).values.tolist(), strict=True)
    )


PLANE = {"area": "projected"}
"""10 m x 10 m are 0.01 ha; a row of GRID has 0.3 ha."""


@pytest.mark.parametrize(
    ("values", "attrs", "expected"),
    [
        (part(5), {}, {"false": 4.5, "true": 1.5}),
        (part(5), WATER, {"false": 4.5, "true": 1.5}),  # a comparison keeps the attributes of its map
        (part(5).astype("uint8"), {}, {"false": 4.5, "true": 1.5, "unknown": 0}),
        (part(5).astype("int16"), {}, {"false": 4.5, "true": 1.5, "unknown": 0}),
        (np.where(part(2), 255, part(5)).astype("uint8"), {}, {"false": 4.5, "true": 0.9, "unknown": 0.6}),
        (np.where(part(2), np.nan, part(5)), {}, {"false": 4.5, "true": 0.9, "unknown": 0.6}),
        (np.where(part(2), 255, part(5)).astype("uint8"), WATER, {"dry": 4.5, "water": 0.9, "unknown": 0.6}),
        (np.where(part(2), np.nan, part(5)), WATER, {"dry": 4.5, "water": 0.9, "unknown": 0.6}),
        (np.where(part(2), 0.5, part(5)), WATER, {"dry": 4.5, "water": 0.9, "unknown": 0.6}),
        (part(5) * 7, {"flag_values": "0 7", "flag_meanings": "none some"}, {"none": 4.5, "some": 1.5, "unknown": 0}),
        (part(5) * 700, {"flag_values": [0, 700], "flag_meanings": "a b"}, {"a": 4.5, "b": 1.5, "unknown": 0}),
    ],
)
def test_each_kind_of_mask_is_read(values, attrs, expected):
    assert hectares(on_grid(values, **attrs), **PLANE) == pytest.approx(expected)


def test_scl_has_the_names_of_its_classes():
    scl = on_grid(np.where(part(5), 6, 4).astype("uint8"), name="SCL")

    found = hectares(scl, **PLANE)

    assert {name: value for name, value in found.items() if value} == pytest.approx({"water": 1.5, "vegetation": 4.5})
    assert hectares(scl, classes={"lake": 6}, **PLANE) == pytest.approx({"lake": 1.5, "other": 4.5})


def test_a_comparison_with_unknown_pixels_can_keep_them():
    ndvi = on_grid(np.where(part(2), np.nan, np.where(part(5), 0.6, 0.1)))

    green = (ndvi > 0.4).where(ndvi.notnull())

    assert hectares(green, **PLANE) == pytest.approx({"false": 4.5, "true": 0.9, "unknown": 0.6})


@settings(max_examples=20, deadline=None)
@given(
    codes=st.lists(st.integers(0, 12), min_size=1, max_size=5, unique=True),
    seed=st.integers(0, 99), chunk=st.sampled_from([None, 4, 11]),
)  # fmt: skip
def test_each_pixel_counts_once_whatever_the_chunks(codes, seed, chunk):
    values = np.random.default_rng(seed).integers(0, 13, (2, *GRID.shape)).astype("uint8")
    array = on_grid(values, chunk=chunk)

    found = array.sr.areas(classes={f"c{code}": code for code in codes})

    total = float(xr_sr.analytics.pixel_areas(array).sum()) / 10_000
    np.testing.assert_allclose(found.sum("state"), [total, total])
    count = [(values[0] == code).mean() * total for code in codes]
    np.testing.assert_allclose(found[0, : len(codes)], count, rtol=1e-6)


def test_dates_and_members_stay_and_nothing_is_computed():
    values = np.stack([np.stack([part(date + member) for member in range(2)]) for date in range(3)])
    array = on_grid(values).assign_coords(member=["a", "b"])

    found = array.sr.areas(**PLANE)

    assert found.chunks is not None and found.dims == ("time", "member", "state") and found.attrs["units"] == "ha"
    assert found.member.values.tolist() == ["a", "b"]
    np.testing.assert_allclose(found.sel(state="true"), [[0, 0.3], [0.3, 0.6], [0.6, 0.9]])
    table = on_grid(values[:, 0]).sr.areas().to_pandas()
    assert table.index.equals(array.indexes["time"]) and list(table) == ["false", "true"]


class TestWithWater:
    @pytest.fixture
    def water(self):
        scene = xr_sr.simulate_scene((48, 48), bands=["B03", "B08"], seed=1)
        return xr_sr.water(getattr(scene, "lr", scene), "NDWI", threshold=0.0)

    def test_water_gives_its_classes(self, water):
        found = water.sr.areas()

        assert found.state.values.tolist() == ["dry", "water", "unknown"]
        xr.testing.assert_allclose(found, xr_sr.areas(water))
        assert float(found.sum()) == pytest.approx(
            float(xr_sr.analytics.pixel_areas(water).sum()) * found.sizes.get("time", 1) / 1e4
        )

    def test_a_dataset_gives_the_areas_of_its_one_mask(self, water):
        other = water.astype("float32").drop_attrs(deep=False)

        xr.testing.assert_identical(xr.Dataset({"w": water, "b": other}).sr.areas(), water.sr.areas())
        with pytest.raises(CubeError, match=r"the Dataset has 'a', 'b'. Choose one: dataset\['name'\].sr.areas\(\)"):
            xr.Dataset({"a": water, "b": water}).sr.areas()
        with pytest.raises(CubeError, match="none among 'b'"):
            xr.Dataset({"b": other}).sr.areas()

    def test_a_file_of_ours_gives_the_same(self, water, tmp_path):
        one = water.isel(time=0) if "time" in water.dims else water
        path = one.sr.to_cog(tmp_path / "water.tif", progress=False)

        with rioxarray.open_rasterio(path) as read:
            np.testing.assert_allclose(read.sr.areas().squeeze(), one.sr.areas())


@pytest.mark.parametrize(
    ("array", "options", "error", "words"),
    [
        (on_grid(np.full(GRID.shape, 6, "uint8")), {}, CubeError, "the mask holds 6.*classes="),
        (on_grid(np.full(GRID.shape, 0.3)), {}, CubeError, r"the mask holds 0.3.*\(array > 0.4\)"),
        (on_grid(np.full(GRID.shape, "a", dtype=object)), {}, CubeError, "no mask"),
        (on_grid(np.zeros(GRID.shape, "complex64")), {}, CubeError, "of complex64"),
        (xr.DataArray(part(3), dims=("y", "x")), {}, GridError, "CRS"),
        (on_grid(part(3)), {"classes": ["water"]}, OptionError, "'water': 6"),
        (on_grid(part(3)), {"classes": {}}, OptionError, "'water': 6"),
        (on_grid(part(3)), {"classes": {"water": -1}}, OptionError, "'water': 6"),
        (on_grid(part(3)), {"classes": {"water": 0.5}}, OptionError, "'water': 6"),
        (on_grid(part(3)), {"area": "round"}, OptionError, "'projected'"),
        (xr.DataTree(), {}, CubeError, "a DataTree"),
    ],
)  # fmt: skip
def test_what_has_no_areas_is_refused(array, options, error, words):
    with pytest.raises(error, match=words):
        array.sr.areas(**options).compute()


def test_no_member_and_no_date_give_a_table_without_rows():
    water = on_grid(np.stack([part(5)] * 4).reshape(2, 2, *GRID.shape))

    members = water.isel(member=slice(0)).sr.areas()
    dates = water.isel(time=slice(0)).sr.areas()

    assert dict(members.sizes) == {"time": 2, "member": 0, "state": 2}
    assert dict(dates.sizes) == {"time": 0, "member": 2, "state": 2}
    assert members.compute().dtype == "float64"
