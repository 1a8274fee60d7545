"""Harmonize: against scikit-image and NumPy on whole arrays; chunked equals whole."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.exposure import match_histograms

from tests import cubes
from xr_sr import errors
from xr_sr.simulate import degrade, harmonization, harmonize, match_histogram

METHODS = ("histogram", "linear", "moments")


def source(*shape: int) -> xr.DataArray:
    return cubes.array(cubes.reflectance(*(shape or (4, 48, 56))))


def reference(*shape: int) -> xr.DataArray:
    values = cubes.reflectance(*(shape or (4, 48, 56)), seed=7)
    return cubes.array((0.03 + 0.8 * values**1.2).astype("float32"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("digits", [2, 8])
def test_match_histogram_is_the_one_of_scikit_image(dtype, digits):
    """digits: few make many equal values."""
    ours = cubes.reflectance(40, 30).round(digits).astype(dtype)
    theirs = cubes.reflectance(50, 70, seed=3).round(digits).astype(dtype)

    matched = match_histogram(ours, theirs)

    assert matched.dtype == dtype
    np.testing.assert_array_equal(matched, match_histograms(ours, theirs))


def test_match_histogram_leaves_nan_out():
    ours, theirs = cubes.reflectance(40, 30), cubes.reflectance(50, 70, seed=3)
    holed = np.concatenate([ours, np.full((5, 30), np.nan, "float32")])
    other = np.concatenate([theirs, np.full((5, 70), np.nan, "float32")])

    matched = match_histogram(holed, other)

    assert np.isnan(matched[40:]).all()
    np.testing.assert_array_equal(matched[:40], match_histogram(ours, theirs))


def test_histograms_of_a_cube_are_matched_band_by_band():
    ours, theirs = source(), reference(4, 30, 70)

    matched = harmonize(ours, theirs)

    expected = [match_histograms(*pair) for pair in zip(ours.values, theirs.values, strict=True)]
    np.testing.assert_array_equal(matched, np.stack(expected))
    xr.testing.assert_equal(matched.coords.to_dataset(), ours.coords.to_dataset())


def test_moments_become_those_of_the_reference():
    matched = harmonize(source(), reference(4, 30, 70), method="moments").astype("float64")

    theirs = reference(4, 30, 70).astype("float64")
    np.testing.assert_allclose(matched.mean(("y", "x")), theirs.mean(("y", "x")), rtol=1e-6)
    np.testing.assert_allclose(matched.std(("y", "x")), theirs.std(("y", "x")), rtol=1e-6)


def test_a_line_is_that_of_least_squares():
    ours, theirs = source(), reference()

    matched = harmonize(ours, theirs, method="linear")

    for band in range(4):
        gain, offset = np.polyfit(ours.values[band].ravel().astype("f8"), theirs.values[band].ravel().astype("f8"), 1)
        np.testing.assert_allclose(matched[band], gain * ours[band] + offset, rtol=1e-5)


@pytest.mark.parametrize("finer", ["source", "reference"])
def test_a_line_is_found_on_the_coarser_grid(finer):
    fine = source(4, 96, 96)
    coarse = 1.3 * degrade(fine, 4) + 0.02 if finer == "source" else (degrade(fine, 4) - 0.02) / 1.3
    ours, theirs = (fine, coarse) if finer == "source" else (coarse, fine)

    matched = harmonize(ours, theirs, method="linear")

    assert matched.shape == ours.shape
    np.testing.assert_allclose(matched, 1.3 * ours + 0.02, rtol=1e-4)


@settings(max_examples=8, deadline=None)
@given(
    method=st.sampled_from(METHODS),
    exact=st.booleans(),
    chunk=st.tuples(st.integers(15, 60), st.integers(15, 60), st.integers(1, 4)),
    each=st.sampled_from([(), ("time",)]),
)
def test_the_result_does_not_depend_on_chunks(method, exact, chunk, each):
    ours, theirs = source(2, 4, 48, 56), reference(2, 4, 48, 56)
    ours = ours.where(ours.x > ours.x[3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harmonization, "EXACT", 2**22 if exact else 0)
        whole = harmonize(ours, theirs, method=method, each=each).compute()
        cut = ours.chunk(y=chunk[0], x=chunk[1], band=chunk[2], time=1)
        tiled = harmonize(cut, theirs.chunk(y=chunk[1]), method=method, each=each)

    assert tiled.chunks == cut.chunks
    xr.testing.assert_allclose(tiled.compute(), whole, rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(whole), np.isnan(ours))


def test_counted_histograms_come_close_to_exact_ones(monkeypatch):
    ours, theirs = (np.random.default_rng(seed).normal(0.2, 0.03, (1, 400, 400)) for seed in (1, 2))
    ours, theirs = cubes.array(ours, ["B04"]), cubes.array(theirs * 1.2, ["B04"])
    exact = harmonize(ours, theirs).values
    monkeypatch.setattr(harmonization, "EXACT", 0)

    counted = harmonize(ours, theirs).values

    typical = (ours.values > 0.14) & (ours.values < 0.26)  # beyond, single pixels lie many steps apart
    assert np.abs(counted - exact)[typical].max() < 5e-5
    assert np.abs(counted - exact).mean() < 1e-5


def test_a_large_source_is_computed_twice_and_not_held(monkeypatch):
    monkeypatch.setattr(harmonization, "HELD", 0)
    monkeypatch.setattr(harmonization, "EXACT", 0)
    ours, theirs = source(2, 4, 48, 56).chunk(y=20), reference(2, 4, 48, 56).chunk(x=20)
    calls: list[int] = []

    def read(block: np.ndarray) -> np.ndarray:
        calls.append(1)
        return block

    counted = ours.copy(data=ours.data.map_blocks(read, dtype="float32", meta=ours.data._meta))

    result = harmonize(counted, theirs, each="time").compute(scheduler="sync")

    assert len(calls) == 2 * ours.data.npartitions
    monkeypatch.setattr(harmonization, "HELD", 2**30)
    xr.testing.assert_equal(result, harmonize(ours, theirs, each="time").compute())


def test_dates_are_harmonized_together_or_one_by_one():
    ours, theirs = source(3, 4, 20, 20), reference(3, 4, 20, 20)
    ours = ours * xr.DataArray([1.0, 1.5, 2.0], dims="time")

    together, apart = harmonize(ours, theirs, method="moments"), harmonize(ours, theirs, method="moments", each="time")

    np.testing.assert_allclose(together.mean(("time", "y", "x")), theirs.mean(("time", "y", "x")), rtol=1e-5)
    np.testing.assert_allclose(apart.mean(("y", "x")), theirs.mean(("y", "x")), rtol=1e-5)
    assert float(together[2].mean() - together[0].mean()) > 0.05
    one = harmonize(ours[1], theirs[1], method="moments")
    np.testing.assert_allclose(apart[1], one, rtol=1e-6)


def test_bands_go_by_name():
    ours, theirs = source(), reference()

    matched = harmonize(ours, theirs.isel(band=[3, 1, 0, 2]).assign_coords(band=["nir", "green", "red", "blue"]))

    np.testing.assert_array_equal(matched, harmonize(ours, theirs))
    with pytest.raises(errors.MissingBandError, match="B08"):
        harmonize(ours, theirs[:3])


def test_one_band_serves_all_where_the_reference_has_no_dimension_of_bands():
    ours, theirs = source(), reference()

    matched = harmonize(ours, theirs[0])

    np.testing.assert_array_equal(matched[2], match_histogram(ours.values[2], theirs.values[0]))


def test_flat_images_become_flat_ones():
    ours, theirs = source() * 0 + 0.2, reference()

    np.testing.assert_allclose(harmonize(ours, theirs, method="moments")[0], float(theirs[0].mean()), rtol=1e-5)
    np.testing.assert_allclose(harmonize(ours, theirs, method="linear")[0], float(theirs[0].mean()), rtol=1e-5)
    assert len(np.unique(harmonize(ours, theirs)[0])) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("exact", [0, 2**22])
def test_without_a_valid_pixel_all_is_nan(method, exact, monkeypatch):
    monkeypatch.setattr(harmonization, "EXACT", exact)

    assert np.isnan(harmonize(source(), reference() * np.nan, method=method)).all()


def test_nothing_is_computed_before_it_is_asked_for():
    def refuse(*_: object) -> np.ndarray:
        raise AssertionError("computed too early")

    data = dask.array.from_delayed(dask.delayed(refuse)(), (4, 48, 56), "float32")
    for method in METHODS:
        assert harmonize(cubes.array(data), cubes.array(data), method=method).chunks is not None


def test_curves_that_are_computed_now_are_not_computed_again():
    calls: list[int] = []

    def read(block: np.ndarray) -> np.ndarray:
        calls.append(1)
        return block

    ours, theirs = source().chunk(y=16), reference()
    counted = theirs.copy(data=theirs.chunk(y=16).data.map_blocks(read, dtype="float32", meta=ours.data._meta))

    matched = harmonize(ours, counted, now=True)
    first = len(calls)
    result = matched.compute()

    assert first == len(calls) == 3
    xr.testing.assert_equal(result, harmonize(ours, theirs).compute())


def test_what_cannot_be_compared_is_refused():
    dated = source(2, 4, 20, 20)

    with pytest.raises(errors.OptionError, match="'moments'"):
        harmonize(source(), reference(), method="gamma")
    with pytest.raises(errors.CubeError, match="time"):
        harmonize(dated[0], dated, method="linear")
    with pytest.raises(errors.GridError, match="dates"):
        harmonize(dated, dated[1:], method="linear")
    with pytest.raises(errors.CubeError, match="each="):
        harmonize(source(), reference(), each="time")


def test_a_dataset_is_told_how_to_become_an_array():
    cube = cubes.array(cubes.reflectance(4, 16, 16)).to_dataset("band")

    with pytest.raises(errors.CubeError, match=r'to_dataarray\("band"\)'):
        harmonize(cube, cube)


def test_the_old_spelling_works_with_a_warning():
    with pytest.warns(FutureWarning, match="harmonise.*harmonize"):
        from xr_sr.simulate import harmonise

    assert harmonise is harmonize
