"""Indices: their formulas, the bands they read, the grids and types they come from."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from odc.geo.xr import wrap_xr

import xr_sr
from tests.cubes import RGBN, array, dataset, geobox_of, reflectance
from xr_sr.analytics import formulas
from xr_sr.analytics.formulas import parse
from xr_sr.errors import BandWarning, GridError, MissingBandError, MissingLibraryError, OptionError, StoreError


@pytest.fixture
def no_spyndex(monkeypatch):
    """As if spyndex were not installed."""
    monkeypatch.setattr(formulas, "find_spec", lambda name: None)
    formulas._of_spyndex.cache_clear()
    yield
    formulas._of_spyndex.cache_clear()


@pytest.fixture
def small_spyndex(tmp_path, monkeypatch):
    """A package called spyndex with two indices in the files of the real one; importing it would fail."""
    folder = tmp_path / "spyndex"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('no code of it may run')")
    common = {"reference": "https://doi.org/10.0/none", "long_name": "made up"}
    records = {
        "TWIN": {"formula": "(R - B) / (w * R + B ** 2.0)", "bands": ["R", "B", "w"], **common},
        "WAVE": {"formula": "N - R * (lambdaN - lambdaR)", "bands": ["N", "R", "lambdaN", "lambdaR"], **common},
        "COARSE": {"formula": "(S1 - S2) / (S1 + S2)", "bands": ["S1", "S2"], **common},
        "HEAT": {"formula": "T - R", "bands": ["T", "R"], **common},
        "NDVI": {"formula": "R - R", "bands": ["R"], **common},
    }
    (folder / "data" / "spectral-indices-dict.json").write_text(json.dumps({"SpectralIndices": records}))
    constants = {"w": {"default": 3.0}, "lambdaN": {"default": None}, "lambdaR": {"default": None}}
    (folder / "data" / "constants.json").write_text(json.dumps(constants))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spyndex", raising=False)
    formulas._of_spyndex.cache_clear()
    yield
    formulas._of_spyndex.cache_clear()


def two_grids(seed: int = 3) -> xr.DataTree:
    """Four bands at 10 m and two at 20 m over the same ground, as reflectance."""
    fine = dataset(reflectance(4, 12, 16, seed=seed))
    coarse = dataset(reflectance(2, 6, 8, seed=seed + 1), ("B11", "B12"), geobox=geobox_of(12, 16).zoom_out(2))
    return xr.DataTree.from_dict({"r10m": fine, "r20m": coarse})


class TestValues:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("NDVI", lambda b: (b["B08"] - b["B04"]) / (b["B08"] + b["B04"])),
            ("ndwi", lambda b: (b["B03"] - b["B08"]) / (b["B03"] + b["B08"])),
            ("EVI", lambda b: 2.5 * (b["B08"] - b["B04"]) / (b["B08"] + 6 * b["B04"] - 7.5 * b["B02"] + 1)),
            ("SAVI", lambda b: 1.5 * (b["B08"] - b["B04"]) / (b["B08"] + b["B04"] + 0.5)),
        ],
    )
    def test_values_are_those_of_the_paper(self, name, expected):
        values = reflectance(4, 9, 7)
        bands = dict(zip(RGBN, values.astype("float64"), strict=True))

        found = xr_sr.index(array(values), name)

        np.testing.assert_allclose(found.values, expected(bands), rtol=2e-5, atol=1e-6)
        assert found.dtype == "float32" and found.dims == ("y", "x")
        assert found.odc.geobox == array(values).odc.geobox

    def test_three_kinds_of_cube_give_the_same(self):
        tree = two_grids()

        of_tree = xr_sr.index(tree, "NDVI")
        of_dataset = xr_sr.index(tree["r10m"].to_dataset(), "NDVI")
        of_array = tree["r10m"].to_dataset().to_dataarray("band").sr.index("NDVI")

        xr.testing.assert_equal(of_tree, of_dataset)
        xr.testing.assert_equal(of_array.drop_vars("band", errors="ignore"), of_dataset)

    def test_names_of_catalogues_are_known(self):
        cube = dataset(reflectance(4, 5, 6))

        xr.testing.assert_equal(xr_sr.index(cube.rename(B04="red", B08="nir"), "NDVI"), xr_sr.index(cube, "NDVI"))

    def test_each_date_has_its_own_offset(self):
        """A baseline that adds 1000 DN to both bands would pull NDVI towards zero."""
        truth = np.round(reflectance(2, 4, 6, 6) * 10_000)
        truth[1] = truth[0]
        raised = truth + np.array([0, 1000]).reshape(2, 1, 1, 1)
        cube = array(raised.astype("uint16")).assign_coords(s2_processing_baseline=("time", [2.12, 5.09]))

        found = xr_sr.index(cube, "NDVI")

        np.testing.assert_array_equal(found[0].values, found[1].values)

    def test_dark_water_is_no_wild_number(self):
        """Slightly negative reflectance: one band makes the quotient 1, two leave it unknown."""
        values = np.array([[0.02, -0.001, 0.0], [-0.002, -0.003, 0.0]], "float32")[:, None, :]

        found = xr_sr.index(array(values, ("B03", "B08")), "NDWI").values[0]

        np.testing.assert_array_equal(found, np.array([1.0, np.nan, np.nan], "float32"))

    def test_nan_stays_nan_and_nothing_else_becomes_so(self):
        values = reflectance(4, 6, 6)
        values[0, 2, 3] = np.nan

        found = xr_sr.index(array(values), "NDVI")

        assert np.argwhere(np.isnan(found.values)).tolist() == [[2, 3]]

    def test_several_make_a_dataset(self):
        found = xr_sr.index(array(reflectance(4, 5, 5)), ["NDVI", "SAVI"], L=0.25)

        assert list(found) == ["NDVI", "SAVI"]
        xr.testing.assert_equal(found["SAVI"], xr_sr.index(array(reflectance(4, 5, 5)), "SAVI", L=0.25))


class TestGrids:
    def test_bands_on_two_grids_meet_on_the_finer_with_a_word(self):
        tree = two_grids()

        with pytest.warns(BandWarning, match="'B11' is repeated"):
            found = xr_sr.index(tree, "MNDWI")

        green, swir = tree["r10m/B03"].values, np.kron(tree["r20m/B11"].values, np.ones((2, 2)))
        np.testing.assert_allclose(found.values, (green - swir) / (green + swir), rtol=1e-5, atol=1e-6)
        assert found.odc.geobox == tree["r10m"].to_dataset().odc.geobox

    def test_or_on_the_coarser_without_one(self):
        tree = two_grids()
        tree["r10m/B03"][0, 0] = np.nan

        found = xr_sr.index(tree, "MNDWI", grid="coarse")

        green, swir = tree["r10m/B03"].values.reshape(6, 2, 8, 2).mean((1, 3)), tree["r20m/B11"].values
        np.testing.assert_allclose(found.values, (green - swir) / (green + swir), rtol=1e-5, atol=1e-6)
        assert np.isnan(found.values[0, 0])
        assert found.odc.geobox == tree["r20m"].to_dataset().odc.geobox

    def test_an_index_of_coarse_bands_alone_stays_coarse(self, small_spyndex):
        found = xr_sr.index(two_grids(), "COARSE")

        assert found.odc.geobox == two_grids()["r20m"].to_dataset().odc.geobox

    def test_grids_that_do_not_nest_are_refused(self):
        tree = two_grids()
        moved = tree["r20m"].to_dataset().isel(x=slice(1, None))

        with pytest.raises(GridError, match="grids"):
            xr_sr.index(xr.DataTree.from_dict({"r10m": tree["r10m"].to_dataset(), "r20m": moved}), "MNDWI", grid="fine")

    def test_a_band_that_is_nowhere_is_named(self):
        with pytest.raises(MissingBandError, match=r"B11.*choose an index"):
            xr_sr.index(two_grids()["r10m"].to_dataset(), "MNDWI")


class TestLaziness:
    def test_nothing_is_computed(self):
        def burst(block):
            raise AssertionError("a pixel was computed")

        values = da.map_blocks(burst, da.zeros((4, 8, 8), chunks=4), dtype="float32", meta=np.empty((0, 0, 0), "f4"))
        cube = array(reflectance(4, 8, 8)).copy(data=values)

        with dask.config.set(scheduler="synchronous"):
            assert xr_sr.index(cube, "NDVI").chunks is not None

    def test_chunks_change_no_bit(self):
        whole = array(reflectance(4, 30, 20))

        found = xr_sr.index(whole.chunk(band=1, y=7, x=6), "EVI")

        np.testing.assert_array_equal(found.values, xr_sr.index(whole, "EVI").values)


class TestStore:
    def test_bounded_indices_are_packed_and_others_are_not(self, tmp_path):
        maps = xr_sr.index(array(reflectance(4, 8, 8)), ["NDVI", "EVI"])

        maps.sr.to_zarr(tmp_path / "out.zarr", progress=False)
        again = xr_sr.open_zarr(tmp_path / "out.zarr")
        raw = xr.open_zarr(tmp_path / "out.zarr", mask_and_scale=False)

        assert raw["NDVI"].dtype == "int16" and raw["EVI"].dtype == "float32"
        assert again["NDVI"].attrs["xr_sr:index"] == "NDVI"
        np.testing.assert_array_equal(again["EVI"].values, maps["EVI"].values)
        assert abs(again["NDVI"] - maps["NDVI"]).max() <= 0.51e-4


class TestTable:
    @pytest.mark.parametrize("own", formulas.OWN, ids=lambda own: own.name)
    def test_every_index_of_ours_can_be_reckoned(self, own):
        letters = set(own.formula.letters)

        assert letters - set(own.constants) <= formulas.LETTERS.keys()
        assert formulas.constants_of(own, {}).keys() == letters - formulas.LETTERS.keys()

    def test_without_spyndex_the_message_says_how_to_get_it(self, no_spyndex):
        with pytest.raises(MissingLibraryError, match=r"xr-sr\[indices\]"):
            xr_sr.index(array(reflectance(4, 4, 4)), "GNDVI")

    def test_an_index_of_spyndex_is_read_as_data(self, small_spyndex):
        values = reflectance(4, 5, 5)
        red, blue = values[0].astype("float64"), values[2].astype("float64")

        found = xr_sr.index(array(values), "twin")
        other = xr_sr.index(array(values), "TWIN", w=1)

        np.testing.assert_allclose(found.values, (red - blue) / (3 * red + blue**2), rtol=1e-5)
        np.testing.assert_allclose(other.values, (red - blue) / (red + blue**2), rtol=1e-5)
        assert "spyndex" not in sys.modules

    def test_wavelengths_are_those_of_the_bands(self, small_spyndex):
        values = reflectance(4, 5, 5)

        found = xr_sr.index(array(values), "WAVE")

        np.testing.assert_allclose(found.values, values[3] - values[0] * (832.8 - 664.6), rtol=1e-5)

    def test_ours_stands_above_that_of_spyndex(self, small_spyndex):
        assert formulas.find_index("NDVI").text == "(N - R) / (N + R)"

    def test_misses_name_their_neighbours(self, small_spyndex):
        with pytest.raises(OptionError, match="near it: .*NDVI"):
            formulas.find_index("NDVI2")

    def test_a_name_of_both_lists_is_suggested_once(self, monkeypatch):
        monkeypatch.setattr(formulas, "_of_spyndex", lambda: {index.name: index for index in formulas.OWN})

        with pytest.raises(OptionError, match=r"near it: MNDWI, (?!.*MNDWI)"):
            formulas.find_index("MDNWI")

    def test_what_no_band_can_give_is_refused(self, small_spyndex):
        with pytest.raises(OptionError, match="needs 'T'"):
            xr_sr.index(array(reflectance(4, 4, 4)), "HEAT")

    def test_a_constant_that_is_not_there_is_refused(self):
        with pytest.raises(OptionError, match="no constant 'L'"):
            xr_sr.index(array(reflectance(4, 4, 4)), "NDVI", L=1)

    @pytest.mark.parametrize(
        "text", ["__import__('os')", "N.real", "N if R else B", "N[0]", "'a' + N", "N and R", "(N"]
    )
    def test_a_formula_is_arithmetic_and_nothing_else(self, text):
        with pytest.raises(OptionError):
            parse(text, name="bad")


def test_all_of_spyndex_parses_and_agrees_with_plain_arithmetic():
    """Against Python's own arithmetic on the text, for every index whose letters are bands and numbers."""
    if find_spec("spyndex") is None:
        pytest.skip("spyndex (the extra 'indices') is not installed")
    formulas._of_spyndex.cache_clear()
    values = reflectance(12, 4, 5, seed=5)
    cube = array(values, tuple(formulas.LETTERS.values()))
    letters = {letter: band.astype("float64") for letter, band in zip(formulas.LETTERS, values, strict=True)}
    reckoned = 0
    for entry in formulas._of_spyndex().values():
        try:
            constants = formulas.constants_of(entry, {})
        except OptionError:
            continue
        with np.errstate(all="ignore"):
            expected = eval(entry.text, {"__builtins__": {}}, letters | constants)  # the reference, on known text
            found = xr_sr.index(cube, entry.name).values
        if any(own.name.lower() == entry.name.lower() for own in formulas.OWN):
            continue
        near = np.isfinite(expected) & (abs(expected) < 1e4) & np.isfinite(found)
        strays = abs(found - expected)[near] / np.maximum(1, abs(expected[near]))
        reckoned += bool(near.any()) and float(np.median(strays)) < 1e-4

    assert reckoned > 150


def test_wrapped_maps_keep_their_place():
    cube = xr.Dataset({name: wrap_xr(reflectance(6, 5), geobox_of(6, 5)) for name in ("red", "nir")})

    assert cube.sr.index("NDVI").odc.geobox == geobox_of(6, 5)


def test_what_rests_on_a_model_says_so():
    scene = xr_sr.simulate_scene(16, dates=2, bands=["B03", "B08"])["lr/r10m"].to_dataset()
    fine = scene.sr.upscale("bicubic", scale=2)

    ndwi = fine.sr.index("NDWI")
    water = ndwi.sr.water(None, 0.1)
    flood = ndwi.sr.flood("2023-06-15", "2023-06-20", index=None, threshold=0.1)["flood"]
    history = xr_sr.analytics.water_history(water)["frequency"]
    for each in (ndwi, water, flood, history):
        assert each.attrs["xr_sr:model"] == "bicubic"
        assert each.attrs["xr_sr:note"] == "super-resolved, not observed"
        assert each.attrs["xr_sr:source_gsd_m"] == fine.attrs["xr_sr:source_gsd_m"]
    assert not {"xr_sr:model", "xr_sr:note"} & set(scene.sr.index("NDWI").attrs)


def test_a_store_does_not_go_on_with_another_constant(tmp_path):
    cube = array(np.stack([reflectance(4, 8, 8, seed=seed) for seed in (1, 2)]))
    place = str(tmp_path / "savi.zarr")
    xr_sr.to_zarr(xr_sr.index(cube.isel(time=slice(1)), "SAVI"), place)

    with pytest.raises(StoreError, match=r"constants"):
        xr_sr.to_zarr(xr_sr.index(cube, "SAVI", L=0.1), place)


def test_letters_and_grids_that_nothing_has_are_refused():
    with pytest.raises(OptionError, match=r"\['l'\].*letters"):
        xr_sr.index(array(reflectance(4, 8, 8)), ["NDVI", "SAVI"], l=0.3)
    with pytest.raises(OptionError, match=r"grid='corse'.*None.*'fine'.*'coarse'"):
        xr_sr.index(xr_sr.sample("havel"), "MNDWI", grid="corse")


@pytest.mark.filterwarnings("error", "ignore::PendingDeprecationWarning", "ignore::xr_sr.errors.XrSrWarning")
@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("ATSAVI", {"sla": 1e300}),  # sla ** 2 of Python's numbers is an OverflowError
        ("ATSAVI", {"sla": 0.0, "slb": 0.0}),
        ("SAVI", {"L": 1e300}),
        ("SAVI", {"L": -1.0}),
        ("BAIS2", {}),  # the root of a negative number
        ("ARI", {}),  # 1 / 0
    ],
)
def test_what_has_no_value_is_nan_without_a_warning(name, constants):
    values = np.linspace(-0.4, 0.4, 12 * 16, dtype="float32").reshape(12, 4, 4)
    values[:, 0, 0] = 0
    cube = dataset(values, ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"])

    found = cube.sr.index(name, **constants).compute()

    assert found.dtype == np.float32 and found.shape == (4, 4)
    assert not np.isinf(found.values).any()
    if constants.get("sla"):
        assert np.isnan(found.values).all()


def test_an_index_without_bands_is_refused():
    """Of radar, where all letters are passed as numbers."""
    cube = dataset(np.full((1, 4, 4), 0.1, "float32"), ["B04"])

    with pytest.raises(OptionError, match="no band of Sentinel-2"):
        cube.sr.index("NDPolI", VV=0.1, VH=0.2)
