"""Maps of trust show the values that they are given, of the ground that is asked for, beside the right picture."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from tests.cubes import array
from xr_sr import errors
from xr_sr.cube.coordinates import coords
from xr_sr.plot import trust_maps
from xr_sr.plot.ternary_plot import QUANTITIES

TIMES = np.array(["2023-01-01", "2023-07-01"], "datetime64[ns]")


def grid(height: int, width: int, pixel: float = 2.5, *, south_up: bool = False) -> GeoBox:
    rise = pixel if south_up else -pixel
    return GeoBox((height, width), Affine(pixel, 0, 500_000, 0, rise, 5_000_000), "EPSG:32633")


def maps(*lead: str, height: int = 24, width: int = 32, geobox: GeoBox | None = None) -> xr.Dataset:
    """Three random maps, along model and time where asked."""
    sizes = [2 for _ in lead]
    three = np.random.default_rng(2).dirichlet((3, 2, 1), (*sizes, height, width))
    made = xr.Dataset({name: ((*lead, "y", "x"), three[..., n]) for n, name in enumerate(QUANTITIES)})
    made = made.assign_coords(coords(geobox or grid(height, width)))
    labels = {"model": ["bicubic", "network"], "time": TIMES}
    return made.assign_coords({name: labels[name] for name in lead})


def shown(figure, row: int = 0, columns: int = 4) -> list[np.ndarray]:
    """Return what the panels of a row show."""
    return [axes.images[0].get_array() for axes in figure.axes[row * columns : (row + 1) * columns]]


def test_maps_show_the_values_and_the_largest():
    given = maps()
    given["omission"][2, 3] = np.nan
    *three, largest = shown(trust_maps(given))

    for name, image in zip(QUANTITIES, three, strict=True):
        np.testing.assert_array_equal(image.filled(np.nan), given[name])
    stacked = np.stack([given[name].values for name in QUANTITIES])
    assert largest.mask[2, 3] and largest.mask.sum() == 1
    np.testing.assert_array_equal(largest.compressed(), stacked[:, ~largest.mask].argmax(axis=0))


def test_means_of_the_window_stand_above_the_maps():
    given = maps()
    titles = [axes.get_title(loc="left") for axes in trust_maps(given).axes[:4]]

    assert titles == [*(f"{name} {float(given[name].mean()):.2f}" for name in QUANTITIES), "prevailing"]


def test_each_model_has_a_row_and_its_own_picture():
    given = maps("model")
    cubes = {
        name: array(np.full((3, 24, 32), level, "float32"), ("B04", "B03", "B02"), geobox=grid(24, 32))
        for name, level in (("bicubic", 0.1), ("network", 0.2))
    }
    cubes["network"][:, 5, 6] = np.nan
    figure = trust_maps(given, sr=cubes)

    for row, name in enumerate(cubes):
        assert figure.axes[row * 5].get_title(loc="left") == name
        np.testing.assert_array_equal(shown(figure, row, 5)[1].filled(np.nan), given.improvement.sel(model=name))
    assert shown(figure, 1, 5)[0][5, 6, 3] == 0
    assert shown(figure, 0, 5)[0][5, 6, 3] == 1


def test_several_cubes_beside_maps_of_one_are_refused():
    given = maps("model")
    cube = array(np.full((3, 24, 32), 0.1, "float32"), ("B04", "B03", "B02"), geobox=grid(24, 32))
    cubes = {"bicubic": cube, "network": 2 * cube}

    with pytest.raises(errors.OptionError, match="model"):
        trust_maps(given.isel(model=0, drop=True), sr=cubes)
    for sr in (cube, {"network": cube}):
        assert len(trust_maps(given.isel(model=0, drop=True), sr=sr).axes[0].images) == 1
    assert len(trust_maps(given.isel(model=1), sr=cubes).axes[0].images) == 1


def test_one_cube_beside_maps_of_several_stands_beside_its_own():
    cube = array(np.full((3, 24, 32), 0.1, "float32"), ("B04", "B03", "B02"), geobox=grid(24, 32))

    figure = trust_maps(maps("model"), sr=cube.assign_attrs({"xr_sr:model": "network"}))

    assert [len(figure.axes[row * 5].images) for row in (0, 1)] == [0, 1]
    with pytest.raises(errors.OptionError, match="sr="):
        trust_maps(maps("model"), sr=cube)


@pytest.mark.parametrize("date", [1, -1, "2023-06-20", TIMES[1]])
def test_a_date_is_chosen_by_place_or_stamp(date):
    given = maps("time")
    figure = trust_maps(given, date=date)

    np.testing.assert_array_equal(shown(figure)[0].filled(np.nan), given.improvement[1])
    assert [text.get_text() for text in figure.texts] == ["2023-07-01"]


def test_only_the_window_is_computed():
    touched = []

    def touch(block, block_info=None):
        touched.append(block_info[None]["chunk-location"])
        return block + 1 / 3

    lazy = da.zeros((2048, 2048), chunks=256).map_blocks(touch, dtype="float64", meta=np.empty((0, 0)))
    given = xr.Dataset(dict.fromkeys(QUANTITIES, (("y", "x"), lazy)), coords(grid(2048, 2048)))

    trust_maps(given, max_pixels=400)
    assert set(touched) <= {(row, column) for row in (3, 4) for column in (3, 4)}
    # 10 pixels to the right of the corner, 20 below it, 12 high and 16 wide
    window = (500_025, 5_000_000 - 32 * 2.5, 500_065, 5_000_000 - 50)
    assert shown(trust_maps(given, window=window))[0].shape == (12, 16)


def test_maps_of_patches_lie_on_the_picture():
    patches = maps(height=4, width=5, geobox=grid(4, 5, 20.0))
    fine = np.random.default_rng(0).random((3, 30, 40)).astype("float32")  # the last patches reach beyond
    sr = array(fine, ("B04", "B03", "B02"), geobox=grid(30, 40))

    picture, improvement, *_ = shown(trust_maps(patches, sr=sr), columns=5)
    assert picture.shape == (30, 40, 4) and improvement.shape == (4, 5)


def test_north_is_up_on_a_south_up_grid():
    given = maps(geobox=grid(24, 32, south_up=True))

    np.testing.assert_array_equal(shown(trust_maps(given))[0].filled(np.nan), given.improvement[::-1])


def test_what_cannot_be_drawn_is_refused():
    given = maps("time")
    elsewhere = array(np.ones((3, 24, 32), "float32"), ("B04", "B03", "B02"))

    with pytest.raises(errors.CubeError, match="at='pixel'"):
        trust_maps(given.mean(["y", "x"]))
    with pytest.raises(errors.CubeError, match="select"):
        trust_maps(given.expand_dims(place=2))
    with pytest.raises(errors.OptionError, match="2 dates"):
        trust_maps(given, date=5)
    with pytest.raises(errors.OptionError, match="date"):
        trust_maps(given, date="yesteryear")
    with pytest.raises(errors.GridError, match="window="):
        trust_maps(given, window=(0, 0, 10, 10))
    with pytest.raises(errors.GridError, match="sr="):
        trust_maps(given, sr=elsewhere)
