"""Which bands a network leaves to guided fusion: the rule alone, on names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_sr.catalog import fallback
from xr_sr.errors import UnknownModelError

FINE = ("B02", "B03", "B04", "B08")
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")


@given(held=st.sets(st.sampled_from(COARSE)), apart=st.booleans(), lost=st.sets(st.sampled_from(FINE)))
def test_a_network_computes_all_of_its_wider_bands_or_none(held, apart, lost):
    wide = [band for band in COARSE if band in held]
    fine = [band for band in FINE if band not in lost]

    found = fallback.incomplete("sen2sr-v1", None, fine if apart else fine + wide, wide if apart else [])

    if not lost and held == set(COARSE):
        assert not found
    else:
        assert list(found) == wide
        assert all(set(missing) == {*lost, *COARSE} - held for missing in found.values())


def test_wider_bands_on_two_grids_are_no_input_of_a_network():
    assert fallback.incomplete("sen2sr-v1", ["swir16"], [*FINE, *COARSE[:3]], COARSE[3:]) == {"B11": ()}


@pytest.mark.parametrize("model", ["bicubic", "sen2sr-fast", "sen2sr-lite.rgbn-x4"])
def test_models_without_wider_bands_leave_none_to_it(model):
    assert not fallback.incomplete(model, ["B03", "B11"], [*FINE, "B11"], [])


def test_bands_that_nobody_asked_for_stay_out_of_it():
    assert not fallback.incomplete("sen2sr", ["B03"], [*FINE, "B11"], [])
    assert set(fallback.incomplete("sen2sr-lite", ["B03", "B11"], [*FINE, "B11", "B12"], [])) == {"B11"}
    with pytest.raises(UnknownModelError):
        fallback.incomplete("sen3sr", None, FINE, COARSE)


def test_bands_of_60_m_are_beyond_a_network_and_not_beyond_interpolation():
    assert fallback.beyond("sen2sr", ["B09", "red", "coastal"], fusing=False) == ("B09", "B01")
    assert not fallback.beyond("bicubic", ["B09"], fusing=False)
    assert not fallback.beyond("sen2sr", None, fusing=False)


def test_bands_that_need_no_other_wide_band_are_never_incomplete():
    """Those of `sen2sr`, but where the requested ones lie on two grids."""
    assert not fallback.incomplete("sen2sr", ["B11"], FINE, ["B11"])
    assert not fallback.incomplete("sen2sr", None, [*FINE, "B05", "B12"], [])
    assert set(fallback.incomplete("sen2sr", ["B05", "B11"], [*FINE, "B05"], ["B11"])) == {"B05", "B11"}
