"""Moving pictures: a frame for each date, one stretch for all, files that need neither ffmpeg nor a network."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from odc.geo.xr import xr_coords
from PIL import Image

import xr_sr
from tests.cubes import array, dataset, geobox_of, reflectance, times
from xr_sr.analytics.classes import CLASS_COLORS
from xr_sr.errors import CubeError, MissingLibraryError, OptionError, StoreError
from xr_sr.plot import animate
from xr_sr.plot.animation import Movie

mpl.use("Agg")


@pytest.fixture
def cube() -> xr.DataArray:
    return array(reflectance(3, 4, 24, 32))


def frames_of(movie: Movie) -> list[np.ndarray]:
    """(y, x, red green blue alpha) as drawn for each date."""
    (image,) = movie.figure.axes[0].images
    shown = []
    for number in range(len(movie.dates)):
        movie.animation._func(number)
        shown.append(np.asarray(image.get_array()))
    return shown


def test_each_date_is_a_frame_with_one_stretch(cube):
    movie = animate(cube, limits=(0.0, 0.4))

    assert movie.dates == ("2023-06-01", "2023-06-06", "2023-06-11")
    for frame, date in zip(frames_of(movie), cube, strict=True):
        shown = date.sel(band=["B04", "B03", "B02"]).transpose("y", "x", "band").values
        np.testing.assert_allclose(frame[..., :3], np.clip(shown / 0.4, 0, 1) * 255, atol=0.51)


def test_the_stretch_comes_from_all_dates(cube):
    brighter = cube.copy()
    brighter[2] *= 2
    first, last = (frames_of(animate(each))[0][..., :3].mean() for each in (cube, brighter))

    assert last < first * 0.9


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_files_have_all_dates_and_play_for_as_long_as_asked(cube, tmp_path, suffix):
    path = animate(cube, fps=4).save(tmp_path / f"series{suffix}", dpi=50)

    with Image.open(path) as found:
        assert found.n_frames == 3
        assert found.info["duration"] == 250
        pictures = []
        for number in range(3):
            found.seek(number)
            pictures.append(np.asarray(found.convert("RGB")))
    assert not (pictures[0] == pictures[1]).all() and not (pictures[1] == pictures[2]).all()
    assert [*tmp_path.iterdir()] == [path]


def test_the_page_works_offline(cube, tmp_path):
    html = animate(cube).save(tmp_path / "series.html", dpi=50).read_text(encoding="utf-8")

    assert html.count("data:image/png;base64") == 3
    assert not re.search(r"https?://|<link", html)
    for icon in set(re.findall(r'class="fa (fa-[a-z-]+)', html)):
        assert f".{icon}::before" in html


def test_maps_of_classes_and_quantities_are_animated_too(cube):
    mask = xr.DataArray(
        np.random.default_rng(0).choice([0.0, 1.0, np.nan], (3, 24, 32)),
        dims=("time", "y", "x"),
        coords={**xr_coords(geobox_of(24, 32)), "time": times(3)},
    )
    found = xr_sr.flood(xr_sr.water(mask, None, 0.5), times(3)[0], slice(times(3)[1], None)).compute()
    movie = animate(found)

    expected = [int(CLASS_COLORS["flooded"][place : place + 2], 16) for place in (1, 3, 5)]
    for frame, date in zip(frames_of(movie), found["flood"], strict=True):
        np.testing.assert_array_equal((frame[..., :3] == expected).all(axis=-1), date.values == 2)
    named = {text.get_text() for legend in movie.figure.legends for text in legend.get_texts()}
    assert "flooded" in named and not any(" ha" in name for name in named)
    assert len(frames_of(animate(cube.sr.index("NDVI")))) == 3


def test_south_up_grids_are_turned_over(cube):
    flipped = cube.isel(y=slice(None, None, -1))

    for one, other in zip(frames_of(animate(cube)), frames_of(animate(flipped)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_notebook_gets_the_page_in_a_frame(cube):
    assert animate(cube)._repr_html_().startswith("<iframe srcdoc=")


def test_what_does_not_move_is_refused(cube, tmp_path, monkeypatch):
    movie = animate(cube)

    with pytest.raises(CubeError, match="dates"):
        animate(dataset(reflectance(4, 24, 32)))
    with pytest.raises(OptionError, match="path=.*series.avi"):
        movie.save(tmp_path / "series.avi")
    with pytest.raises(StoreError, match="path=.*nowhere"):
        movie.save(tmp_path / "nowhere" / "series.gif")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingLibraryError, match="ffmpeg"):
        movie.save(tmp_path / "series.mp4")
    monkeypatch.setattr("xr_sr.plot.animation.MOST_FRAMES", 2)
    with pytest.raises(OptionError, match="3 dates"):
        animate(cube)
