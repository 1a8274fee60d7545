"""Names of bands: every catalogue's, and what must never be taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xr_sr.bands import BANDS, find_band, is_flag_name, is_scl, match_bands, stated_gsd_m

NAMES = [band.name for band in BANDS]

# What each catalogue calls the bands, in the order of NAMES: facts/ecosystem C.
CATALOGUES = {
    "earth-search": "coastal blue green red rededge1 rededge2 rededge3 nir nir08 nir09 cirrus swir16 swir22",
    "planetary-computer": "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12",
    "cdse": "B01_60m B02_10m B03_10m B04_10m B05_20m B06_20m B07_20m B08_10m B8A_20m B09_60m B10_60m B11_20m B12_20m",
    "earth-engine": "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B10 B11 B12",
    "eopf": "b01 b02 b03 b04 b05 b06 b07 b08 b8a b09 b10 b11 b12",
    "xarray-eopf": "coastal blue green red rededge071 rededge075 rededge078 nir nir08 nir09 cirrus swir16 swir22",
}


def canonical(names: list[str]) -> list[str | None]:
    return [band.name if band else None for band in match_bands(names)]


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_every_name_of_every_catalogue_is_known(catalogue):
    assert [find_band(name).name for name in CATALOGUES[catalogue].split()] == NAMES


@pytest.mark.parametrize("write", [str.upper, str.lower, str.title, lambda name: f" {name} "])
def test_case_and_blanks_do_not_matter(write):
    names = [name for line in CATALOGUES.values() for name in line.split()]

    assert [find_band(write(name)) for name in names] == [find_band(name) for name in names]


def test_nir08_is_the_narrow_band():
    assert find_band("nir08").name == "B8A"
    assert find_band("nir").name == "B08"


@pytest.mark.parametrize(
    "name",
    [
        "SCL",
        "rededge",
        "B13",
        "B00",
        "B0",
        "b",
        "",
        "4",
        4,
        None,
        "band_4",
        "Band 4",
        "B4_std",
        "swir2",
        "visual",
        "wvp",
    ],
)
def test_what_is_not_the_name_of_one_band_is_none(name):
    assert find_band(name) is None


def test_no_alias_stands_for_two_bands():
    aliases = [alias for band in BANDS for alias in (band.name.lower(), *band.aliases)]

    assert len(aliases) == len(set(aliases))
    assert all(find_band(alias).name == band.name for band in BANDS for alias in band.aliases)


def test_table_is_ordered_by_wavelength_and_holds_the_native_grids():
    wavelengths = [band.wavelength_nm for band in BANDS]

    assert wavelengths == sorted(wavelengths)
    assert {band.name for band in BANDS if band.gsd_m == 10} == {"B02", "B03", "B04", "B08"}
    assert {band.name for band in BANDS if band.gsd_m == 60} == {"B01", "B09", "B10"}


def test_assets_of_real_items_are_found(shared: Path):
    for file in sorted((shared / "data" / "stac").glob("*.json")):
        assets = json.loads(file.read_text())["assets"]
        found = {band.name for band in match_bands(list(assets)) if band}

        assert {name for name in NAMES if name != "B10"} - found == set(), file.name


PREFIXES = st.sampled_from(["", "S2-L2A-", "T33UUU_20170216T102101_", "s2.", "nbart_", "MSI "])
SUFFIXES = st.sampled_from(["", "_mean", "-2020", "_surface", " reflectance"])


@settings(deadline=None)
@given(prefix=PREFIXES, suffix=SUFFIXES, names=st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_a_shared_prefix_and_suffix_is_taken_off(prefix, suffix, names):
    assert canonical([prefix + name + suffix for name in names]) == names


def test_colours_in_a_frame_need_a_witness():
    assert canonical(["nbart_red_edge_1", "nbart_coastal_aerosol", "nbart_nir_2"]) == ["B05", "B01", "B8A"]
    assert canonical(["red_tide", "chlorophyll"]) == [None, None]


def test_plain_names_beat_framed_ones():
    assert canonical(["B04", "B04_std", "S2-B03"]) == ["B04", None, None]


def test_only_the_frame_with_most_bands_counts():
    names = ["S2-L2A-B02", "S2-L2A-B03", "QC-B02", "S1-SIGMA0-VV"]

    assert canonical(names) == ["B02", "B03", None, None]


def test_file_names_of_mixed_resolution_share_their_frame():
    assert canonical(["T32_2020_B02_10m", "T32_2020_B8A_20m"]) == ["B02", "B8A"]


def test_descriptions_of_gdal_are_read():
    assert canonical(["B4, central wavelength 665 nm", "B8A, central wavelength 865 nm"]) == ["B04", "B8A"]


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=30), st.integers(), st.none(), st.floats())))
def test_any_names_are_answered_one_by_one(names):
    assert len(match_bands(names)) == len(names)


@pytest.mark.parametrize(
    "name", ["SCL", "scl", "SCL_20m", "QA60", "qa", "cloud_mask", "MSK_CLDPRB", "dataMask", "valid", "FLAGS"]
)
def test_flags_are_known_by_name(name):
    assert is_flag_name(name)


@pytest.mark.parametrize("name", [*NAMES, *(alias for band in BANDS for alias in band.aliases), "elevation", None, 3])
def test_bands_are_no_flags(name):
    assert not is_flag_name(name)


def test_scl_and_stated_resolution():
    assert [is_scl(name) for name in ("SCL", "scl_20m", "muscle", None)] == [True, True, False, False]
    assert [stated_gsd_m(name) for name in ("B02_10m", "SCL_20m", "B01-60M", "B02", 3)] == [10, 20, 60, None, None]
