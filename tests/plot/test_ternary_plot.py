"""Points stand where their three numbers say, and a density counts every pixel once."""

from __future__ import annotations

import math
import sys

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.cubes import geobox_of
from xr_sr import errors
from xr_sr.cube.coordinates import coords
from xr_sr.plot import ternary
from xr_sr.plot.ternary_plot import BINS, QUANTITIES, cells, places

EDGES = np.linspace(0, 1, BINS + 1), np.linspace(0, math.sqrt(3) / 2, BINS + 1)


def shares(*shape: int, seed: int = 0) -> xr.Dataset:
    """Three numbers that add up to 1, along model, time, y and x as far as the shape goes."""
    three = np.random.default_rng(seed).dirichlet((4, 2, 1), shape)
    dims = ("model", "time", "y", "x")[: len(shape)]
    made = xr.Dataset({name: (dims, three[..., number]) for number, name in enumerate(QUANTITIES)})
    if len(shape) == 4:
        made = made.assign_coords(coords(geobox_of(*shape[-2:])))
    return made.assign_coords(model=[f"model {n}" for n in range(shape[0])])


def points(figure) -> list[np.ndarray]:
    return [group.get_offsets() for group in figure.axes[0].collections]


def test_corners_are_pure_and_the_center_is_even():
    x, y = places(*np.array([[1.0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]))

    np.testing.assert_allclose(x, [0.5, 0, 1, 0.5])
    np.testing.assert_allclose(y, [math.sqrt(3) / 2, 0, 0, math.sqrt(3) / 6])


def test_only_shares_matter_and_nothing_stands_nowhere():
    np.testing.assert_allclose(places(2.0, 4.0, 2.0), places(0.25, 0.5, 0.25))
    assert np.isnan(places(np.zeros(1), np.zeros(1), np.zeros(1))).all()


def test_each_model_has_points_of_its_own():
    values = shares(2, 5)
    values["omission"][0, 3] = np.nan
    figure = ternary(values, title="two models")

    first, second = points(figure)
    assert len(first) == 4 and len(second) == 5
    expected = places(*(values[name][1].values for name in QUANTITIES))
    np.testing.assert_allclose(second.T, expected)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["model 0", "model 1"]


def test_one_image_is_one_point():
    figure = ternary(shares(1).isel(model=0, drop=True))

    assert len(points(figure)[0]) == 1
    assert figure.axes[0].get_legend() is None


def test_a_density_counts_every_pixel_once():
    values = shares(1, 1, 20, 30)
    values["improvement"][0, 0, 3] = np.nan
    counted = cells(*(values[name].values for name in QUANTITIES), edges=EDGES)

    assert counted.sum() == 19 * 30
    assert cells(*np.eye(3), edges=EDGES).sum() == 3  # corners are inside


@pytest.mark.parametrize("chunks", [{"y": 7}, {"y": 9, "x": 11}])
def test_lazy_maps_give_the_same_picture(chunks):
    values = shares(2, 1, 20, 30)

    def drawn(correctness):
        figure = ternary(correctness)
        assert [axes.get_title() for axes in figure.axes[:2]] == ["model 0", "model 1"]
        return [axes.collections[0].get_array() for axes in figure.axes[:2]]

    for one, other in zip(drawn(values), drawn(values.chunk(chunks)), strict=True):
        np.testing.assert_array_equal(one.filled(0), other.filled(0))
        assert one.sum() == pytest.approx(1)


def test_of_lazy_maps_only_counts_are_kept():
    lazy = da.full((2048, 2048), 1 / 3, chunks=512)
    maps = xr.Dataset(dict.fromkeys(QUANTITIES, (("y", "x"), lazy))).assign_coords(coords(geobox_of(2048, 2048)))

    share = ternary(maps).axes[0].collections[0].get_array()
    assert share.shape == (BINS, BINS) and share.max() == 1


def test_a_single_cell_is_marked_on_a_scale_with_length():
    even = shares(1, 1, 20, 30) * 0 + 1 / 3
    axes, _ = ternary(even).axes

    cells_drawn, markers = axes.collections
    np.testing.assert_allclose(markers.get_offsets(), [[0.5, math.sqrt(3) / 6]], atol=1 / BINS)
    assert cells_drawn.norm.vmin < cells_drawn.norm.vmax
    assert len(ternary(shares(1, 1, 20, 30)).axes[0].collections) == 1


def test_without_numbers_there_is_no_triangle(monkeypatch):
    with pytest.raises(errors.CubeError, match="hallucination"):
        ternary(shares(2, 3).drop_vars("hallucination"))
    with pytest.raises(errors.CubeError, match="NaN"):
        ternary(shares(2, 3) * np.nan)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(errors.MissingLibraryError, match=r"xr-sr\[viz\]"):
        ternary(shares(2, 3))
