"""The map of frequency: never water, never seen and each share have a colour of their own."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from odc.geo.xr import xr_coords

import xr_sr
from tests.cubes import geobox_of, times
from xr_sr.analytics import water_history
from xr_sr.errors import CubeError
from xr_sr.plot import frequency_map
from xr_sr.plot.floods import COLOURS

mpl.use("Agg")


@pytest.fixture
def history() -> xr.Dataset:
    values = np.random.default_rng(0).choice([0.0, 1.0, np.nan], (4, 40, 60), p=[0.7, 0.2, 0.1])
    values[:, :5, :5] = np.nan
    mask = xr.DataArray(values, dims=("time", "y", "x"), coords={**xr_coords(geobox_of(40, 60)), "time": times(4)})
    return water_history(xr_sr.water(mask, None, 0.5)).compute()


def image_of(figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def test_colours_follow_the_frequency(history):
    image, frequency = image_of(frequency_map(history)), history["frequency"].values

    np.testing.assert_allclose(
        image[frequency == 0], np.broadcast_to(to_rgb(COLOURS["dry"]), ((frequency == 0).sum(), 3))
    )
    np.testing.assert_allclose(image[:5, :5], np.broadcast_to(to_rgb(COLOURS["unknown"]), (5, 5, 3)))
    lightness = [image[frequency == share].mean() for share in (0.25, 0.5, 0.75, 1.0)]
    assert (np.diff(lightness) < 0).all()  # more is darker, also in grey


def test_the_key_names_what_is_there(history):
    def key(figure) -> set[str]:
        return {text.get_text() for legend in figure.legends for text in legend.get_texts()}

    assert key(frequency_map(history)) == {"never water", "never seen"}
    assert key(frequency_map(history["frequency"].isel(y=slice(5, None)))) == {"never water"}
    assert "0 to 4 dates" in frequency_map(history).axes[0].get_title(loc="left")


def test_large_maps_are_thinned(history):
    assert image_of(frequency_map(history, max_pixels=20)).shape == (14, 20, 3)


def test_what_is_no_frequency_is_refused(history):
    with pytest.raises(CubeError, match="water_history"):
        frequency_map(history["observations"])
    with pytest.raises(CubeError, match="water_history"):
        frequency_map(history[["first"]])
