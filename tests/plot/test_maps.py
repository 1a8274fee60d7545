"""Maps of classes and of frequency: pixels have the colors of the legend, and the legend has the areas."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pytest
import rioxarray
import xarray as xr
from matplotlib.colors import to_rgb
from odc.geo.xr import xr_coords

import xr_sr
from tests.cubes import geobox_of, times
from xr_sr.analytics import water_history
from xr_sr.analytics.area import area_text
from xr_sr.analytics.classes import CLASS_COLORS
from xr_sr.errors import CubeError, OptionError
from xr_sr.plot import flood_map, frequency_map

mpl.use("Agg")


@pytest.fixture
def found() -> xr.Dataset:
    """Two dates after one; each class somewhere in the second."""
    rng = np.random.default_rng(0)
    values = rng.choice([0.0, 1.0, np.nan], (3, 40, 60), p=[0.6, 0.3, 0.1])
    values[1] = 0
    mask = xr.DataArray(values, dims=("time", "y", "x"), coords={**xr_coords(geobox_of(40, 60)), "time": times(3)})
    return xr_sr.flood(xr_sr.water(mask, None, 0.5), times(3)[0], slice(times(3)[1], None)).compute()


def texts(figure: object) -> str:
    return "\n".join(text.get_text() for legend in figure.legends for text in legend.get_texts())


def image_of(figure: object) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def test_each_pixel_has_the_color_of_its_class(found):
    image = image_of(flood_map(found, date=1))

    names = dict(zip(found["flood"].attrs["flag_values"], found["flood"].attrs["flag_meanings"].split(), strict=True))
    expected = np.array([[to_rgb(CLASS_COLORS[names[code]]) for code in row] for row in found["flood"].values[1]])
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_the_legend_has_the_areas_of_the_date(found):
    figure = flood_map(found, date="2023-06-11")

    area = float(found["area"].sel(state="flooded")[1])
    assert f"flooded\n{area_text(area)}" in texts(figure)
    assert "2023-06-01 → 2023-06-11" in figure.axes[0].get_title(loc="left")


def test_classes_that_are_nowhere_are_left_out(found):
    assert "flooded" not in texts(flood_map(found, date=0))


def test_south_up_grids_are_turned_over(found):
    flipped = found.isel(y=slice(None, None, -1))

    np.testing.assert_array_equal(image_of(flood_map(flipped, date=1)), image_of(flood_map(found, date=1)))


def test_large_maps_are_thinned_and_areas_are_not(found):
    figure = flood_map(found, date=1, max_pixels=20)

    assert image_of(figure).shape[:2] == (14, 20)
    assert texts(figure) == texts(flood_map(found, date=1))


def test_water_and_agreement_are_drawn_too(found):
    mask = xr.DataArray(np.eye(8), dims=("y", "x"), coords=dict(xr_coords(geobox_of(8, 8))))
    water = xr_sr.water(mask, None, 0.5)

    assert "water" in texts(flood_map(water))
    assert "water in SR only" in texts(flood_map(water.sr.agreement(xr_sr.water(mask + 1, None, 0.5))))


def test_what_has_no_classes_is_refused(found):
    with pytest.raises(CubeError, match="found="):
        flood_map(found["area"])
    with pytest.raises(OptionError, match="2 dates"):
        flood_map(found, date=7)
    with pytest.raises(OptionError, match="date.*july"):
        flood_map(found, date="july")
    with pytest.raises(OptionError, match="2023-06-01"):
        flood_map(found.drop_vars("time"), date="2023-06-01")


def test_a_comparison_of_a_map_is_no_map_of_its_classes(found):
    """It keeps the attributes, by which true would be permanent water."""
    with pytest.raises(CubeError, match="dry"):
        flood_map(found["flood"] == 2)


def test_a_map_that_was_masked_is_unknown_there(found):
    clear = xr.zeros_like(found["flood"], bool)
    clear[..., :3] = True

    picture = image_of(flood_map(found["flood"].where(clear)))

    whole = image_of(flood_map(found))
    np.testing.assert_array_equal(picture[:, :3], whole[:, :3])
    np.testing.assert_allclose(picture[:, 3:] - to_rgb(CLASS_COLORS["unknown"]), 0, atol=1e-6)


def test_a_date_chosen_before_is_told(found):
    assert "2023-06-01 → 2023-06-11" in flood_map(found.isel(time=1)).axes[0].get_title(loc="left")


def test_a_map_is_the_same_from_a_geotiff(found, tmp_path):
    found["flood"].isel(time=1).sr.to_cog(tmp_path / "flood.tif", progress=False)
    read = rioxarray.open_rasterio(tmp_path / "flood.tif").squeeze()

    np.testing.assert_array_equal(image_of(flood_map(read)), image_of(flood_map(found, date=1)))
    assert "flooded" in texts(flood_map(read))


@pytest.fixture
def uncertain() -> xr.Dataset:
    """An index that rises from north to south, as estimate, deviation and four members; dry on the first date."""
    index = np.linspace(-1, 1, 24).repeat(30).reshape(1, 24, 30).astype("f4")
    estimate = xr.DataArray(
        np.concatenate([index * 0 - 0.9, index]), dims=("time", "y", "x"),
        coords={**xr_coords(geobox_of(24, 30)), "time": times(2)},
    )  # fmt: skip
    members = xr.concat([estimate + shift for shift in (-0.3, -0.1, 0.1, 0.3)], "member")
    return xr.Dataset({"estimate": estimate, "std": xr.full_like(estimate, 0.2), "members": members})


@pytest.mark.filterwarnings("ignore::xr_sr.errors.CalibrationWarning")
def test_the_hectares_of_a_class_are_those_of_its_pixels_in_the_map(uncertain):
    found = uncertain.sr.flood(*times(2), index=None, threshold=0.0).compute()

    figure = flood_map(found)

    image, text = image_of(figure), texts(figure)
    for name in ("dry", "flooded", "uncertain"):
        pixels = int((np.abs(image - to_rgb(CLASS_COLORS[name])).max(-1) < 1e-6).sum())
        share = float(found["flood"].sr.areas(area="projected").sel(state=name)[0])
        assert pixels > 0 and share == pytest.approx(0.01 * pixels)
        title = "uncertain (probability\nof water 5 to 95 %\nbefore or after)" if name == "uncertain" else name
        assert f"{title}\n{area_text(float(found['flood'].sr.areas().sel(state=name)[0]))}" in text
    assert "pixels\nof each color" in text
    assert float(found["area"].sel(state="flooded")[0]) > 1.1 * float(found["flood"].sr.areas().sel(state="flooded")[0])


@pytest.mark.filterwarnings("ignore::xr_sr.errors.CalibrationWarning")
def test_the_flooded_area_and_its_interval_have_lines_of_their_own(uncertain):
    found = uncertain.sr.flood(*times(2), index=None, threshold=0.0).compute()

    text = texts(flood_map(found))

    lower, area, upper = (
        area_text(float(found[name].sel(state="flooded")[0])) for name in ("area_lower", "area", "area_upper")
    )
    assert f"total flooded area:\n{area}, 90 % between\n{lower} and {upper}" in text
    assert "total" not in texts(flood_map(found.isel(y=slice(12, None))))  # its areas are of more than is drawn
    assert "total" not in texts(flood_map(found["flood"]))
    assert "total" not in texts(flood_map(uncertain.drop_vars("members").sr.flood(*times(2), index=None, threshold=0)))
    assert "flooded" in [line.get_label() for line in xr_sr.plot.series(found).axes[0].lines]


@pytest.mark.parametrize("members", [True, False])
def test_water_has_hectares_too(uncertain, members):
    cube = uncertain if members else uncertain.drop_vars("members")
    found = cube.sr.water(None, 0.0).compute()

    text = texts(flood_map(found, date=1, max_pixels=7))

    each = found["water"].sr.areas().isel(time=1).to_series()
    for name in ("dry", "water", "uncertain"):
        title = "uncertain (probability\nof water 5 to 95 %)" if name == "uncertain" else name
        assert f"{title}\n{area_text(each[name])}" in text
    assert "probability\nof water 10 to 90 %" in texts(flood_map(cube.sr.water(None, 0.0, limits=(0.1, 0.9)), date=1))
    assert "water\n" in texts(flood_map(xr_sr.water(uncertain["estimate"], None, 0.0), date=1))
    assert xr_sr.plot.series(found).axes[0].lines


def test_a_map_of_no_known_place_has_no_hectares(found):
    nowhere = found["flood"].drop_vars(["spatial_ref", "x", "y"], errors="ignore")

    assert " ha" not in texts(flood_map(nowhere, date=1)) and "flooded" in texts(flood_map(nowhere, date=1))


# Viénot, Brettel and Mollon 1999, doi:10.1002/(SICI)1520-6378(199908)24:4<243: linear RGB as seen without L or M cones.
DICHROMATS = {
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    "normal": np.eye(3),
}


@pytest.mark.parametrize("vision", DICHROMATS)
@pytest.mark.parametrize(
    "together",
    [
        ("dry", "permanent", "flooded", "receded", "uncertain", "unknown"),
        ("dry", "water", "uncertain", "unknown"),
        ("background", "water", "lr_only", "sr_only", "unknown"),
    ],
)
def test_colors_of_a_map_differ_for_every_vision(vision, together):
    from skimage.color import deltaE_ciede2000, rgb2lab

    def seen(name: str) -> np.ndarray:
        rgb = np.array(to_rgb(CLASS_COLORS[name]))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        mixed = np.clip(np.array(DICHROMATS[vision]) @ linear, 0, 1)
        back = np.where(mixed <= 0.0031308, mixed * 12.92, 1.055 * mixed ** (1 / 2.4) - 0.055)
        return rgb2lab(back[None, None])[0, 0]

    for one, other in itertools.combinations(together, 2):
        assert deltaE_ciede2000(seen(one), seen(other)) > 10, (one, other)


@pytest.fixture
def history() -> xr.Dataset:
    values = np.random.default_rng(0).choice([0.0, 1.0, np.nan], (4, 40, 60), p=[0.7, 0.2, 0.1])
    values[:, :5, :5] = np.nan
    mask = xr.DataArray(values, dims=("time", "y", "x"), coords={**xr_coords(geobox_of(40, 60)), "time": times(4)})
    return water_history(xr_sr.water(mask, None, 0.5)).compute()


def test_colors_follow_the_frequency(history):
    image, frequency = image_of(frequency_map(history)), history["frequency"].values

    np.testing.assert_allclose(
        image[frequency == 0], np.broadcast_to(to_rgb(CLASS_COLORS["dry"]), ((frequency == 0).sum(), 3))
    )
    np.testing.assert_allclose(image[:5, :5], np.broadcast_to(to_rgb(CLASS_COLORS["unknown"]), (5, 5, 3)))
    lightness = [image[frequency == share].mean() for share in (0.25, 0.5, 0.75, 1.0)]
    assert (np.diff(lightness) < 0).all()  # more is darker, also in gray


def test_the_key_names_what_is_there(history):
    def key(figure) -> set[str]:
        return {text.get_text() for legend in figure.legends for text in legend.get_texts()}

    assert key(frequency_map(history)) == {"never water", "never seen"}
    assert key(frequency_map(history["frequency"].isel(y=slice(5, None)))) == {"never water"}
    assert "0 to 4 dates" in frequency_map(history).axes[0].get_title(loc="left")


def test_large_maps_are_thinned(history):
    assert image_of(frequency_map(history, max_pixels=20)).shape == (14, 20, 3)


def test_what_is_no_frequency_is_refused(history):
    with pytest.raises(CubeError, match="history="):
        frequency_map(history["observations"])
    with pytest.raises(CubeError, match="history="):
        frequency_map(history[["first"]])
