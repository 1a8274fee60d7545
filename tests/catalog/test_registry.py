"""The catalogue: names, the rule that picks a variant, and the table."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_sr.bands import BANDS
from xr_sr.catalog import registry
from xr_sr.catalog.listing import list_models
from xr_sr.catalog.models import Cascade, Network
from xr_sr.errors import (
    BandWarning,
    MissingBandError,
    ModelError,
    OptionError,
    UnknownModelError,
)

RGBN = ("B04", "B03", "B02", "B08")
TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


@pytest.fixture
def own_model(monkeypatch: pytest.MonkeyPatch) -> str:
    """A second network in the catalogue, for this test alone: it gives two more bands than it is asked to read."""
    spec = replace(
        registry.get("sen2sr-lite"), name="own.rednir-x2", bands=("B04", "B08"), bands_out=("B04", "B08"), scale=2
    )
    monkeypatch.setattr(registry, "current", registry.current)
    registry.register(spec)
    return spec.name


@pytest.mark.parametrize("name", registry.names())
def test_every_name_gives_its_own_model(name):
    assert registry.get(name).name == name


@pytest.mark.parametrize("family", registry.current.families)
def test_every_family_has_variants_that_bear_its_name(family):
    for name in registry.current.families[family]:
        assert registry.get(name).family == family
    assert registry.get(family).name == registry.current.families[family][0]


def test_every_network_says_all_that_a_user_must_know():
    for spec in map(registry.get, registry.names()):
        if isinstance(spec, Network):
            assert spec.bands
            assert max(spec.halo, spec.window) > 0
            assert spec.gsd_m
            assert spec.level
            assert spec.license
            assert spec.citation
            assert spec.weights is not None
            assert spec.url or spec.weights.home == "package"
            assert spec.weights.home == "authors" or len(bytes.fromhex(spec.weights.sha256)) == 32


def test_low_pass_of_sen2sr_lite_has_the_frequency_response_of_the_official_mask():
    """Officially exp(-d^2 / (2 * 35^2)) at d bins of 512; of a Gaussian in space it is exp(-(2 pi f sigma)^2 / 2)."""
    low_pass = registry.get("sen2sr-lite").low_pass

    for bins in (1, 10, 35, 70):
        response = math.exp(-((2 * math.pi * bins / 512 * low_pass.sigma) ** 2) / 2)
        assert response == pytest.approx(math.exp(-(bins**2) / (2 * 35**2)), rel=1e-12)


def test_size_and_hash_are_those_of_the_official_file(shared):
    import hashlib

    official = [spec for spec in map(registry.get, registry.names()) if spec.family == "sen2sr-lite"]
    assert len(official) == 3
    for spec in official:
        for file in spec.files:
            data = (shared / "weights" / file.path).read_bytes()
            assert len(data) == file.size
            assert hashlib.sha256(data).hexdigest() == file.sha256


def test_the_same_name_twice_is_an_error(own_model):
    for name in (own_model, "sen2sr-lite", "sen2sr"):
        with pytest.raises(ModelError, match="already"):
            registry.register(replace(registry.get(own_model), name=name))


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("bicubik", "'bicubic'"),
        ("SEN2SR-Lite", "'sen2sr-lite'"),
        ("sen2sr_lite", "'sen2sr-lite'"),
        ("gan", "There are"),
    ],
)
def test_a_miss_names_its_neighbours(wrong, near):
    with pytest.raises(UnknownModelError, match="no model") as caught:
        registry.get(wrong)

    assert near in str(caught.value)


@given(st.permutations(RGBN))
def test_without_bands_all_come_out_in_the_order_of_the_cube(available):
    spec, wanted = registry.choose("sen2sr-lite", available)

    assert spec.name == "sen2sr-lite.rgbn-x4"
    assert wanted == tuple(available)


def test_bands_that_nobody_asked_for_are_left_out_with_a_warning_that_names_them():
    with pytest.warns(BandWarning, match="'B01', 'B09'"):
        spec, wanted = registry.choose("sen2sr-lite", ["B01", *TEN, "B09"])

    assert spec.name == "sen2sr-lite.main"
    assert wanted == TEN


def test_bands_that_lack_the_others_they_need_are_left_out_too():
    with pytest.warns(BandWarning, match="'B11', 'B12'"):
        spec, wanted = registry.choose("sen2sr-lite", [*RGBN, "B11", "B12"])

    assert spec.name == "sen2sr-lite.rgbn-x4"
    assert wanted == RGBN


def test_asking_for_them_names_what_is_missing_and_the_bands_that_would_work():
    with pytest.raises(MissingBandError, match="'B05', 'B06', 'B07', 'B8A', 'B12'") as caught:
        registry.choose("sen2sr-lite", [*RGBN, "B11"], ["B03", "B11"])

    assert f"bands={list(RGBN)}" in str(caught.value)


def test_a_variant_reads_what_the_wanted_bands_need():
    mndwi = registry.choose("sen2sr-lite", TEN, ["B03", "B11"])[0]
    rgbn = registry.choose("sen2sr-lite.main", TEN, ["B03"])[0]

    assert set(mndwi.bands) == set(TEN)
    assert [role for role, _ in mndwi.parts] == ["x2", "fine", "x4"]
    assert set(rgbn.bands) == set(RGBN)
    assert [role for role, _ in rgbn.parts] == ["fine"]


def test_fusing_picks_the_part_that_brings_20_m_to_10_m():
    assert registry.choose("sen2sr-lite", TEN, fusing=True)[0].name == "sen2sr-lite.rswir-x2"
    with pytest.raises(ModelError, match="there already"):
        registry.choose("sen2sr-lite", TEN, ["B03"], fusing=True)


@given(st.lists(st.sampled_from(RGBN), min_size=1, unique=True))
def test_wanted_bands_come_out_in_the_order_asked_for(bands):
    assert registry.choose("sen2sr-lite", TEN, bands)[1] == tuple(bands)


def test_wanted_bands_may_be_called_by_any_alias():
    assert registry.choose("sen2sr-lite", TEN, ["red", "b8", "B02_10m"])[1] == ("B04", "B08", "B02")


def test_a_band_that_the_family_cannot_give_is_an_error_that_says_what_it_gives():
    with pytest.raises(ModelError, match="B02', 'B03', 'B04', 'B05'") as caught:
        registry.choose("sen2sr-lite", TEN, ["B04", "B09"])

    assert "['B09']" in str(caught.value)
    assert "bicubic" in str(caught.value)


@pytest.mark.parametrize("bands", [None, ["B04"]])
def test_a_missing_input_is_an_error_that_lists_needed_found_and_missing(bands):
    with pytest.raises(MissingBandError, match="reads") as caught:
        registry.choose("sen2sr-lite", ["B02", "B03", "B04"], bands)

    for part in (list(RGBN), ["B02", "B03", "B04"], ["B08"]):
        assert str(part) in str(caught.value)


@pytest.mark.parametrize("available", [(), ("B05", "B11")])
def test_a_cube_without_any_band_of_the_model_is_an_error(available):
    with pytest.raises(MissingBandError, match="reads"):
        registry.choose("sen2sr-lite", available)


@pytest.mark.parametrize("bands", [[], ["B04", "red"]])
def test_no_band_or_one_band_twice_is_an_error(bands):
    with pytest.raises(ModelError, match="each once"):
        registry.choose("sen2sr-lite", RGBN, bands)


def test_the_names_that_mean_one_band_are_named():
    with pytest.raises(ModelError, match="'B4' and 'red' are both B04"):
        registry.choose("sen2sr", RGBN, ["B4", "NIR", "red"])


@pytest.mark.parametrize("model", INTERPOLATIONS)
@given(available=st.lists(st.sampled_from([band.name for band in BANDS]), min_size=1, unique=True))
def test_interpolation_takes_any_band(model, available):
    assert registry.choose(model, available) == (registry.get(model), tuple(available))


def test_interpolation_leaves_it_to_pick_whether_the_wanted_bands_are_there():
    assert registry.choose("bicubic", ["B02", "B03"], ["B08"])[1] == ("B08",)


def test_bands_left_out_are_warned_of_at_the_callers_line():
    with pytest.warns(BandWarning, match="left out") as caught:
        registry.choose("sen2sr-lite.rgbn-x4", TEN)

    assert caught[0].filename == __file__


def test_the_first_variant_that_gives_all_wanted_bands_is_taken(own_model, monkeypatch):
    """The rule is data: a family of a small and a large variant picks by what is wanted."""
    families = {**registry.current.families, "both": (own_model, "sen2sr-lite.rgbn-x4")}
    monkeypatch.setattr(registry, "current", replace(registry.current, families=families))

    assert registry.choose("both", TEN, ["B08"])[0].name == own_model
    assert registry.choose("both", TEN, ["B08", "B02"])[0].name == "sen2sr-lite.rgbn-x4"
    assert registry.choose("both", RGBN)[0].name == "sen2sr-lite.rgbn-x4"


def test_the_table_has_a_row_for_every_model_in_reading_order():
    table = list_models().set_index("name")

    assert tuple(table.index) == registry.names()
    for family, variants in {**registry.current.families, **registry.current.fusing}.items():
        assert {family} == set(table.loc[list(variants), "family"])


def test_the_table_has_its_columns_by_old_spellings_with_a_warning():
    table = list_models()

    for old in (lambda: table["licence"], lambda: table.get("licence"), lambda: table.licence):
        with pytest.warns(FutureWarning, match="licence.* is now spelled .*license"):
            assert old().equals(table["license"])
    with pytest.warns(FutureWarning, match="'licence' is now spelled 'license'"):
        assert list(table[["name", "licence"]]) == ["name", "license"]
    with pytest.raises(AttributeError, match="licences"):
        table.licences  # noqa: B018
    assert type(table.set_index("name")).__name__ == "DataFrame"
    with pytest.raises(KeyError, match="no_such"):
        table["no_such"]


def test_the_table_narrows_by_band_and_scale(own_model):
    by_band = set(list_models(bands=["red", "B02"])["name"])
    by_scale = set(list_models(scale=2)["name"])

    records = {name: registry.get(name) for name in registry.names()}
    # A record without bands is of any band; one without a scale of its own takes that of the call.
    returns = {name: set(getattr(spec, "bands_out", ())) for name, spec in records.items()}
    scales = {name: spec.scale for name, spec in records.items() if isinstance(spec, Network | Cascade)}
    assert by_band == {name for name, bands in returns.items() if not bands or bands >= {"B04", "B02"}}
    assert by_band >= {*INTERPOLATIONS, "kriging", "glp-hpm", "bicubic.same-grid", "sen2sr.rgbn-x4", "sen2sr-lite.main"}
    assert own_model not in by_band
    assert by_scale == {*INTERPOLATIONS, "kriging", *(name for name, scale in scales.items() if scale == 2)}
    assert own_model in by_scale
    by_both = set(list_models(bands=["B11"], scale=8)["name"])
    assert by_both == {*INTERPOLATIONS, "kriging", *(n for n, x in scales.items() if x == 8 and "B11" in returns[n])}


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"scale": "x"}, OptionError, "scale='x'"),
        ({"scale": 2.5}, OptionError, "whole number"),
        ({"scale": 0}, OptionError, "at least 1"),
        ({"scale": True}, OptionError, "True"),
        ({"bands": ["foo", "B04"]}, MissingBandError, r"\['foo'\]"),
        ({"bands": "B04"}, OptionError, r"bands=\['B04'\]"),
    ],
)
def test_a_table_of_nonsense_is_refused(arguments, error, word):
    with pytest.raises(error, match=word):
        list_models(**arguments)


def test_the_table_knows_the_range_of_interpolation_and_bands_of_own_models(monkeypatch):
    monkeypatch.setattr(registry, "current", registry.current)
    registry.register(
        replace(registry.get("sen2sr-lite"), name="own.thermal-x4", bands=("thermal",), bands_out=("thermal",))
    )

    assert set(list_models(scale=16)["name"]) == {*INTERPOLATIONS, "kriging"}
    assert set(list_models(scale=24)["name"]) == {"kriging"}
    assert list_models(scale=25).empty
    assert "own.thermal-x4" in set(list_models(bands=["thermal"])["name"])


def test_small_weights_have_a_size(monkeypatch):
    lite = registry.get("sen2sr-lite")
    monkeypatch.setattr(registry, "current", registry.current)
    registry.register(replace(lite, name="own.small-x4", weights=replace(lite.weights, size=232)))

    sizes = list_models().set_index("name")["size_mb"]
    assert sizes["own.small-x4"] == 0.0002
    assert sizes["sen2sr.rgbn-x4"] == 0.3 and sizes["bicubic"] == 0


def test_the_table_says_where_the_weights_are(tmp_path: Path, monkeypatch):
    weights = registry.get("sen2sr-lite").weights
    wheres = []

    def where() -> str:
        table = list_models().set_index("name")
        return str(table.loc["sen2sr-lite.rgbn-x4", "where"])

    monkeypatch.setenv("XR_SR_CACHE", str(tmp_path / "cache"))
    for folder in (None, "cache", "mine"):
        if folder:
            path = tmp_path / folder / weights.path
            path.parent.mkdir(parents=True)
            path.write_bytes(b"\0" * weights.size)
        if folder == "mine":
            monkeypatch.setenv("XR_SR_WEIGHTS", str(tmp_path / folder))
        wheres.append(where())

    assert wheres == ["hub", "cache", "XR_SR_WEIGHTS"]


def test_listing_models_loads_no_torch():
    code = "import sys; from xr_sr.catalog.listing import list_models; list_models(); sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]

    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
